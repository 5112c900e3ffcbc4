"""Findings about the services: running, older than their files, and libvirt's daemons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fabfile.core.contract import Host, Seen
from fabfile.doctor import parts
from fabfile.doctor.finding import ERROR, NOTE, RESTART_ALL, Finding, Step, root, task, words
from fabfile.doctor.observation import Looked
from fabfile.model import advice, services
from fabfile.model.option_values import whole
from fabfile.model.platforms import Platform
from fabfile.model.services import Service
from fabfile.model.site import Site
from fabfile.resources import ceph_conf, keyrings


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them."""
    for host in site.all_hosts():
        seen = looked.facts.hosts.get(host.name, {})
        yield from _units(site.platform_of(host), host, seen)
        yield from _daemons(site.platform_of(host), host.name, seen)
    for place in site.places:
        there = parts.looked_at(place, looked).facts.hosts
        for host in place.all_hosts():
            yield from _newer(place, host, there.get(host.name, {}))


def _units(platform: Platform, host: Host, seen: Seen) -> Iterator[Finding]:
    typed = platform.by_hand
    for unit, state in seen.get("units", {}).items():
        if state.get("LoadState") == "masked":
            yield Finding(
                ERROR,
                "service.masked",
                (host.name,),
                unit,
                "masked",
                "active",
                "somebody keeps it from being started",
                (root(typed("unmask", unit)), root(typed("enable", unit)), RESTART_ALL),
            )
        elif state.get("LoadState") != "loaded":
            yield Finding(
                ERROR,
                "service.absent",
                (host.name,),
                unit,
                "no such unit",
                "active",
                "the role of this host in the site file is another one's, or the service is not "
                "installed",
                (words("install it, or take the role from the host"),),
            )
        elif state.get("ActiveState") not in ("active", "activating", "reloading"):
            found = f"{state.get('ActiveState')} ({state.get('Result', '')})"
            yield Finding(
                ERROR,
                "service.down",
                (host.name,),
                unit,
                found,
                "active",
                f"it does not run; its last words: {advice.shown(typed('log', unit, '-n', '20'))}",
                (RESTART_ALL,),
            )


def _newer(site: Site, host: Host, seen: Seen) -> Iterator[Finding]:
    """Files that were written after the service began: it may not know them."""
    clock = seen.get("host", {})
    if not {"monotonic", "time"} <= set(clock):
        return
    for service in services.on(host):
        unit = site.platform_of(host).unit(service)
        state = seen.get("units", {}).get(unit, {})
        since = (whole(str(state.get("ActiveEnterTimestampMonotonic", ""))) or 0) / 1e6
        if (
            not since
            or state.get("ActiveState") != "active"
            or unit in seen.get("pending_restarts", ())
        ):
            continue
        began = clock["time"] - clock["monotonic"] + since
        newer = [
            path
            for path, file in _read_by(site, host, service, seen)
            if file and file.get("mtime", 0) > began + 1
        ]
        if newer:
            yield Finding(
                NOTE,
                "service.older",
                (host.name,),
                unit,
                f"began before {', '.join(newer)}",
                "begun after its files",
                "the file was written since, and nobody restarted it: it may work with old content",
                (RESTART_ALL,),
            )


def _read_by(site: Site, host: Host, service: Service, seen: Seen) -> Iterator[tuple[str, Any]]:
    yield site.platform_of(host).file(service), seen.get(f"{service.key}.conf")
    for binding in keyrings.wanted(site, host):
        if binding.service == service:
            yield binding.keyring_path, seen.get(f"keyring.{binding.client}")
    if service.reads_conf:
        yield ceph_conf.path_of(site, host), seen.get("ceph.conf")


def daemons(seen: Seen) -> str:
    """'monolithic', 'modular', 'both', 'none', or '' where it was not looked at."""
    if "libvirt.daemons" not in seen:
        return ""
    up = _active(seen)
    # In a container of Kolla's it is the one daemon, too.
    old = any(name.startswith(("libvirtd.", "kolla-nova_libvirt-")) for name in up)
    new = any(name.startswith("virtqemud.") for name in up)
    return {(1, 0): "monolithic", (0, 1): "modular", (1, 1): "both"}.get((old, new), "none")


def installed(units: Mapping[str, Mapping[str, str]] | None) -> set[str]:
    """Those of the units, as they were shown, that are there at all."""
    return {name for name, unit in (units or {}).items() if unit.get("LoadState") != "not-found"}


def meant(units: Mapping[str, Mapping[str, str]] | None) -> set[str]:
    """Which of 'libvirtd' and 'virtqemud' is to serve there: of both, the one that is enabled.

    Fedora and its like have both installed.
    """
    kinds = ("libvirtd", "virtqemud")
    there = installed(units)
    known = {name: unit for name, unit in (units or {}).items() if name in there}
    some = {kind for kind in kinds if any(name.startswith(f"{kind}.") for name in known)}
    enabled = {
        kind
        for kind in some
        for name, unit in known.items()
        if name.startswith(f"{kind}.") and unit.get("UnitFileState", "").startswith("enabled")
    }
    return enabled if len(some) > 1 and enabled else some


def begun(
    platform: Platform, units: Mapping[str, Mapping[str, str]], name: str, how: str = "start"
) -> Iterator[Step]:
    """What starts a unit, or 'enable-now's it; one that is masked is not started before."""
    if units.get(name, {}).get("LoadState") == "masked":
        yield root(platform.by_hand("unmask", name))
    yield root(platform.by_hand(how, name))


def _active(seen: Seen) -> set[str]:
    shown = seen["libvirt.daemons"]
    return {name for name, unit in shown.items() if unit.get("ActiveState") == "active"}


def _daemons(platform: Platform, host: str, seen: Seen) -> Iterator[Finding]:
    typed, units = platform.by_hand, platform.daemons
    shown = seen.get("libvirt.daemons") or {}
    kind, there = daemons(seen), installed(shown)
    if kind == "both":
        yield Finding(
            ERROR,
            "libvirt.both",
            (host,),
            "libvirt",
            "libvirtd and virtqemud at once",
            "one",
            "each has secrets of its own: what is set in one is not found by the other",
            (
                *(root(typed("disable-now", name)) for name in units["libvirtd"] if name in there),
                # libvirtd took its place, and clients of before 5.7 know no other.
                *(root(typed("start", name)) for name in units["virtproxyd"] if name in there),
                task("compute.secret"),
                RESTART_ALL,
            ),
        )
    if kind == "modular" and not any(n.startswith("virtsecretd.") for n in _active(seen)):
        keepers = [name for name in units["virtsecretd"] if name in there]
        mend = [step for name in keepers for step in begun(platform, shown, name, "enable-now")]
        yield Finding(
            ERROR,
            "libvirt.virtsecretd",
            (host,),
            "libvirt",
            "virtqemud without virtsecretd",
            "virtsecretd.socket active",
            "nobody keeps the secrets that guests' disks name",
            (
                *(mend or [words("install virtsecretd there: libvirt-daemon-driver-secret")]),
                task("compute.secret"),
            ),
        )
