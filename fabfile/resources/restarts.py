"""Which services are restarted: those whose files change, or that are still owed.

Knows the units; the watching of them is the agent's.  Source: procedure step 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fabfile.core.contract import Change, Facts, Host, Read

SEES_CHANGES = True
"""Asks the flow for the changes planned before this resource."""
UNITS = {
    "glance": ("glance-api", 1),
    "cinder": ("cinder-volume", 1),
    "compute": ("nova-compute", 2),
}


def reads(site: Any, host: Host) -> list[Read]:
    """The restarts that an earlier run left owed."""
    return [Read("owed", "owed")] if set(host.roles) & set(UNITS) else []


def plan(
    site: Any, facts: Facts, changes: Sequence[Change] = (), everything: bool = False
) -> list[Change]:
    """One restart a host, of all units that need it."""
    found = []
    for host in site.all_hosts():
        seen = facts.hosts.get(host.name)
        if seen is None or "owed" not in seen:
            continue
        units = [UNITS[role][0] for role in host.roles if role in UNITS]
        due = set(seen["owed"]) | {u for c in changes if c.host == host.name for u in c.restarts}
        due = {u for u in units if everything or u in due}
        for wave in (1, 2):
            now = [u for u, w in UNITS.values() if u in due and w == wave]
            if now:
                found.append(
                    Change(host.name, ", ".join(now), "restart, and watch it stand", "!",
                           "restart", {"units": now}, wave)
                )  # fmt: skip
    return found


class All:
    """services.restart --all: every unit of the site's roles."""

    SEES_CHANGES = True
    reads = staticmethod(reads)

    def plan(self, site: Any, facts: Facts, changes: Sequence[Change] = ()) -> list[Change]:
        """As the module's plan, with nothing left out."""
        return plan(site, facts, changes, everything=True)
