"""Ceph's daemons by their own names: which one a health check is about, and what restarts it.

A command names one daemon on the host that runs it, by the way that cluster is run there:
systemd's units of packages, cephadm, MicroCeph.  Where that was not seen (a host that the site
file does not have, Rook, details that say something else) there is no command.
Source: the health checks of src/mon/OSDMonitor, HealthMonitor.cc (Luminous to Tentacle).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fabfile.core.contract import Host, Json, typed
from fabfile.doctor.finding import Step, root, words
from fabfile.doctor.observation import ORCHESTRATOR, UNITS, Looked
from fabfile.model.site import Site

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_MOST = 8
"""Daemons that are named one by one; of more, something else is wrong."""


@dataclass(frozen=True)
class Daemon:
    """One daemon; place: its host as Ceph has it, '' where Ceph does not say."""

    kind: str
    id: str
    place: str = ""

    @property
    def name(self) -> str:
        """As Ceph has it: 'osd.17'."""
        return f"{self.kind}.{self.id}"


class Unit(NamedTuple):
    """A unit of a daemon's on a host of the site; style: 'systemd', 'cephadm' or 'microceph'."""

    host: Host
    style: str
    name: str
    active: bool


_DETAILS = {
    "OSD_DOWN": rf"(?P<kind>osd)\.(?P<id>\d+) \((?:[^()]*,)?host=(?P<place>{_NAME})\) is down",
    "MON_DOWN": rf"(?P<kind>mon)\.(?P<id>{_NAME}) \(rank \d+\) addr .* is down \(out of quorum\)",
    "MON_CLOCK_SKEW": rf"(?P<kind>mon)\.(?P<id>{_NAME}) (?:addr \S+ )?clock skew .*",
}


def details(check: Mapping[str, Json]) -> list[str]:
    """The lines of a health check that say what it is about."""
    told = check.get("detail")
    lines = told if isinstance(told, list) else []
    return [str(line.get("message", "")) for line in lines if isinstance(line, dict)]


def named(code: str, check: Mapping[str, Json]) -> tuple[list[Daemon], bool]:
    """(the daemons that a health check names, whether these are all that it is about)."""
    lines = details(check)
    found = [re.fullmatch(_DETAILS[code], line) for line in lines]
    known = [Daemon(**one.groupdict()) for one in found if one]
    summary = check.get("summary")
    count = summary.get("count") if isinstance(summary, dict) else None
    told = count if isinstance(count, int) and code != "MON_CLOCK_SKEW" else len(lines)
    return list(dict.fromkeys(known)), bool(known) and len(known) == len(lines) >= told


def restarts(site: Site, looked: Looked, some: Iterable[Daemon], whole: bool) -> tuple[Step, ...]:
    """What restarts these daemons, each on its host; words for what was not seen.

    whole: whether no other is down beside them.
    """
    daemons = list(some)
    steps = [_restart(site, looked, one) for one in daemons[:_MOST]]
    if not whole or len(daemons) > _MOST:
        steps.append(words("not all that is down is named here: ceph health detail names it"))
    return tuple(dict.fromkeys(steps))


def host_of(site: Site, looked: Looked, daemon: Daemon) -> Host | None:
    """The one host of the site that runs a daemon."""
    found = {unit.host for unit in _units_of(site, looked, daemon)}
    return found.pop() if len(found) == 1 else None


def of_kind(site: Site, looked: Looked, kind: str) -> list[Unit]:
    """The units of all daemons of a kind that were seen."""
    return [u for u in _units(site, looked) if _is_of_kind(u, kind)]


def unit_step(site: Site, unit: Unit) -> Step:
    """Restarts one unit on its host."""
    if unit.style == "microceph":
        command = typed("snap", "restart", unit.name)
    else:
        command = site.platform_of(unit.host).by_hand("restart", unit.name)
    return root(command.having_seen("daemon"), unit.host.name)


def orchestrator(site: Site, looked: Looked) -> str:
    """'cephadm', 'rook', another's name, or '' where there is none or it was not seen."""
    answer = looked.seen(site.admin.name, ORCHESTRATOR)
    if not answer or answer["code"] != 0:
        return ""
    return str(answer["out"]).strip().strip('"')


def _restart(site: Site, looked: Looked, daemon: Daemon) -> Step:
    units = _units_of(site, looked, daemon)
    if len(units) == 1 and units[0].style == "systemd":
        return unit_step(site, units[0])
    if len(units) == 1 and units[0].style == "microceph":
        return _of_the_snap(site, units[0], daemon)
    if orchestrator(site, looked) == "cephadm" or {u.style for u in units} == {"cephadm"}:
        return _by_cephadm(site, looked, daemon)
    where = f" on {daemon.place}" if daemon.place else ""
    if orchestrator(site, looked) == "rook":
        return words(
            f"{daemon.name}{where} is a pod: see why Rook does not keep it up (kubectl, in the "
            "cluster's namespace)"
        )
    return words(
        f"see on its own host{where} why {daemon.name} does not run, and start it there; how it "
        "is run was not seen from here: a host with the role 'ceph' in the site file is looked at"
    )


def _by_cephadm(site: Site, looked: Looked, daemon: Daemon) -> Step:
    """Through the orchestrator; where there is no manager, nobody would carry it out."""
    managers = of_kind(site, looked, "mgr")
    units = _units_of(site, looked, daemon)
    if managers and not any(unit.active for unit in managers) and len(units) == 1:
        return unit_step(site, units[0])
    argv = ("orch", "daemon", "restart", daemon.name)
    command = site.cluster.platform.by_hand("ceph", *argv).having_seen("daemon")
    return root(command, site.admin.name)


def _of_the_snap(site: Site, unit: Unit, daemon: Daemon) -> Step:
    """MicroCeph runs all OSDs of a host as one service: those that are up would go down too."""
    if daemon.kind == "osd":
        return words(
            f"on {unit.host.name}: snap.microceph.osd runs all its OSDs, those that are up too; "
            f"see in its log (snap logs microceph.osd) why {daemon.name} is down"
        )
    return unit_step(site, unit)


# The units that were seen


def _units(site: Site, looked: Looked) -> Iterator[Unit]:
    for host in site.with_role("ceph"):
        answer = looked.seen(host.name, UNITS)
        for line in answer["out"].splitlines() if answer else ():
            name, _, state = (line.split() + ["", "", ""])[:3]
            style = _style(name)
            if style:
                service = name.removesuffix(".service")
                plain = service.removeprefix("snap.") if style == "microceph" else service
                yield Unit(host, style, plain, state == "active")


def _style(unit: str) -> str:
    if re.fullmatch(rf"ceph-(?:mon|mgr|osd|mds)@{_NAME}\.service", unit):
        return "systemd"
    if re.fullmatch(rf"ceph-[0-9a-f-]{{36}}@{_NAME}\.service", unit):
        return "cephadm"
    if re.fullmatch(r"snap\.microceph\.(?:mon|mgr|osd|mds)\.service", unit):
        return "microceph"
    return ""


def _is_of_kind(unit: Unit, kind: str) -> bool:
    if unit.style == "microceph":
        return unit.name == f"microceph.{kind}"
    head, _, rest = unit.name.partition("@")
    return head == f"ceph-{kind}" or (unit.style == "cephadm" and rest.startswith(f"{kind}."))


def _units_of(site: Site, looked: Looked, daemon: Daemon) -> list[Unit]:
    """The units that run a daemon.  Where Ceph says its host, those of that host alone."""
    return [
        unit
        for unit in of_kind(site, looked, daemon.kind)
        if _runs(unit, daemon, names := _names(looked, unit.host))
        and (not daemon.place or daemon.place in names)
    ]


def _runs(unit: Unit, daemon: Daemon, names: set[str]) -> bool:
    if unit.style == "systemd":
        return unit.name == f"ceph-{daemon.kind}@{daemon.id}"
    if unit.style == "cephadm":
        return unit.name.partition("@")[2] == daemon.name
    # MicroCeph calls its monitors and managers by their hosts' names.
    return daemon.kind == "osd" or daemon.id in names


def _names(looked: Looked, host: Host) -> set[str]:
    """What a host is called: in the site file, and by itself."""
    itself = str((looked.seen(host.name, "host") or {}).get("hostname", ""))
    return {host.name, itself, itself.partition(".")[0]} - {""}
