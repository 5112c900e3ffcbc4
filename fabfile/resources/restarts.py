"""Which services are restarted: those whose files change, or that are still owed.

Knows the units; the watching of them is the agent's.  Source: procedure step 12.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fabfile.core.contract import BadInput, Change, Facts, Host, Read
from fabfile.core.text import counted
from fabfile.model import services
from fabfile.model.phases import Phase
from fabfile.model.services import NOVA_COMPUTE
from fabfile.model.site import Site
from fabfile.resources import clone_format
from fabfile.resources.resource import Resource


def _owed(site: Site, host: Host) -> list[Read]:
    return [Read("pending_restarts", "pending_restarts")] if services.on(host) else []


def reads(site: Site, host: Host) -> list[Read]:
    """The restarts that an earlier run left owed; the guests of a compute, to be told of."""
    found = _owed(site, host)
    if NOVA_COMPUTE in services.on(host):
        asked = site.platform_of(host).question("virsh", "list", "--name")
        found.append(Read("guests", "argv", asked))
    return found


def plan(
    site: Site, facts: Facts, changes: Sequence[Change] = (), everything: bool = False
) -> list[Change]:
    """One restart a host, of all units that need it."""
    found = []
    needed: dict[str, set[str]] = {}
    for change in changes:
        needed.setdefault(change.host, set()).update({*change.restarts} - {clone_format.OWED})
    for name, names in clone_format.restarts(site, facts, changes).items():
        needed.setdefault(name, set()).update(names)
    for host in site.all_hosts():
        seen = facts.hosts.get(host.name)
        if seen is None or "pending_restarts" not in seen:
            continue
        units = _units(site, host)
        _refuse_unknown(host, needed.get(host.name, set()), units)
        due = set(seen["pending_restarts"]) | needed.get(host.name, set())
        for phase in Phase:
            now = [u for u, when in units.items() if when == phase and (everything or u in due)]
            if now:
                found.append(
                    Change(
                        host.name,
                        ", ".join(now),
                        "restart, and watch it stand",
                        "!",
                        "restart",
                        {"units": now},
                        phase,
                        kind="restart",
                        subject=" ".join(now),
                    )
                )
    return found


def _units(site: Site, host: Host) -> dict[str, Phase]:
    """{a host's unit: the phase in which it is restarted}, in the services' order."""
    platform = site.platform_of(host)
    return {platform.unit(service): service.phase for service in services.on(host)}


def _refuse_unknown(host: Host, needed: set[str], units: Collection[str]) -> None:
    """Raises BadInput for a restart that could not be planned, and so would never be done."""
    if unknown := sorted(needed - set(units)):
        known = ", ".join(units) or "none"
        raise BadInput(
            f"{host.name}: expected a restart of one of its units ({known}), found "
            f"{', '.join(unknown)}"
        )


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """The guests that run where a service is restarted: they go on running."""
    found = []
    for change in changes:
        seen = facts.hosts.get(change.host, {})
        if change.verb == "restart" and "guests" in seen:
            names = seen["guests"]["out"].split()
            if names:
                found.append(
                    f"{change.host}: while {change.thing} restarts, {counted(len(names), 'guest')} "
                    f"there will go on running: {', '.join(names[:8])}"
                )
    return found


def _after_moves(site: Site, facts: Facts, changes: Sequence[Change] = ()) -> list[Change]:
    """As plan, for the hosts on which volumes are moved."""
    hosts = {change.host for change in changes if change.kind == "volume_move"}
    return [change for change in plan(site, facts, changes) if change.host in hosts]


def _after_clones(site: Site, facts: Facts, changes: Sequence[Change] = ()) -> list[Change]:
    """As plan, for the hosts whose Cinder is to see that clones are of another format."""
    hosts = clone_format.restarts(site, facts, changes)
    return [change for change in plan(site, facts, changes) if change.host in hosts]


def _every(site: Site, facts: Facts, changes: Sequence[Change] = ()) -> list[Change]:
    """As plan, with nothing left out."""
    return plan(site, facts, changes, everything=True)


_TASK = "services.restart"
_OWED = Resource(_TASK, _owed, plan, sees_changes=True)
"""What is owed and nothing else: what looks again when the work was done."""
after_moves = Resource(_TASK, _owed, _after_moves, sees_changes=True)
"""What must not wait for a restart that comes later: a service whose volumes were moved."""
after_clones = Resource(_TASK, _owed, _after_clones, sees_changes=True)
"""What ceph.clones makes necessary on other hosts than the one where it is done."""
every = Resource(_TASK, reads, _every, notes, verify_with=_OWED, sees_changes=True)
"""services.restart --all: every unit of the site's roles."""
RESOURCE = Resource(_TASK, reads, plan, notes, verify_with=_OWED, sees_changes=True)
