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
"""{role: (the unit that uses the cluster, the wave in which it is worked on)}."""


def _owed(site: Any, host: Host) -> list[Read]:
    return [Read("pending_restarts", "pending_restarts")] if set(host.roles) & set(UNITS) else []


def reads(site: Any, host: Host) -> list[Read]:
    """The restarts that an earlier run left owed; the guests of a compute, to be told of."""
    guests = Read("guests", "argv", {"argv": ["virsh", "-q", "list", "--name"]})
    return _owed(site, host) + ([guests] if "compute" in host.roles else [])


def plan(
    site: Any, facts: Facts, changes: Sequence[Change] = (), everything: bool = False
) -> list[Change]:
    """One restart a host, of all units that need it."""
    found = []
    needed: dict[str, set[str]] = {}
    for change in changes:
        needed.setdefault(change.host, set()).update(change.restarts)
    for host in site.all_hosts():
        seen = facts.hosts.get(host.name)
        if seen is None or "pending_restarts" not in seen:
            continue
        units = [UNITS[role][0] for role in host.roles if role in UNITS]
        due = set(seen["pending_restarts"]) | needed.get(host.name, set())
        due = {u for u in units if everything or u in due}
        for wave in (1, 2):
            now = [u for u, w in UNITS.values() if u in due and w == wave]
            if now:
                found.append(
                    Change(
                        host.name,
                        ", ".join(now),
                        "restart, and watch it stand",
                        "!",
                        "restart",
                        {"units": now},
                        wave,
                        kind="restart",
                        subject=" ".join(now),
                    )
                )
    return found


def notes(site: Any, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """The guests that run where a service is restarted: they go on running."""
    found = []
    for change in changes:
        seen = facts.hosts.get(change.host, {})
        if change.verb == "restart" and "guests" in seen:
            names = seen["guests"]["out"].split()
            if names:
                found.append(
                    f"{change.host}: {len(names)} guests run and go on running while "
                    f"{change.thing} restarts: {', '.join(names[:8])}"
                )
    return found


class Owed:
    """What is owed and nothing else: what looks again when the work was done."""

    SEES_CHANGES = True
    reads = staticmethod(_owed)
    plan = staticmethod(plan)


afterwards = Owed()


class AfterMoves:
    """What must not wait for a restart that comes later: a service whose volumes were moved."""

    SEES_CHANGES = True
    reads = staticmethod(_owed)

    def plan(self, site: Any, facts: Facts, changes: Sequence[Change] = ()) -> list[Change]:
        """As the module's plan, for the hosts on which volumes are moved."""
        hosts = {change.host for change in changes if change.kind == "volume_move"}
        return [change for change in plan(site, facts, changes) if change.host in hosts]


after_moves = AfterMoves()


class All:
    """services.restart --all: every unit of the site's roles."""

    SEES_CHANGES = True
    afterwards = Owed()
    reads = staticmethod(reads)
    notes = staticmethod(notes)

    def plan(self, site: Any, facts: Facts, changes: Sequence[Change] = ()) -> list[Change]:
        """As the module's plan, with nothing left out."""
        return plan(site, facts, changes, everything=True)
