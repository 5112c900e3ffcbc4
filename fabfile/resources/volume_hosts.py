"""Which cinder-volume each volume belongs to, and what follows when that one is renamed.

A volume's row names its service: host@backend#pool.  `backend` is a section of cinder.conf,
`host` its backend_host or the host's own name, `pool` its volume_backend_name.  When one of
the first two changes, no service has the volumes any more until `cinder-manage volume
update_host` was said; it is said between the edit and the restart, for a cinder-volume counts
and resumes what is its own when it starts.  The third is never changed.
Source: cinder/cmd/manage.py, cinder/cmd/volume.py and init_host of cinder/volume/manager.py
(Zed).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fabfile.core.contract import CLOUD, BadInput, Change, Facts, Host, Json, Read
from fabfile.model.phases import Phase
from fabfile.model.platforms import Platform
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import in_force, volume_storage
from fabfile.resources.in_force import Options, same
from fabfile.resources.resource import Resource
from fabfile.resources.volume_storage import (
    BY_DEFAULT,
    DRIVERS,
    VOLUMES,
    options_of,
    refuse_another_storage,
)

_AT_REST = ("available", "in-use", "reserved", "maintenance", "awaiting-transfer")
_PATIENCE = 900
"""Seconds for one update_host: it writes a row at a time."""
_NOT_THERE = 2


class Move(NamedTuple):
    """All volumes of one place become another's.

    host: where it is said; old, new: host@backend#pool; back: whether nobody bears the new
    name yet, nor has a volume it, so that the way back is known.
    """

    host: str
    old: str
    new: str
    back: bool


@dataclass(frozen=True)
class _Named:
    """One host's services, {section: host@section}: now by its files, and by the site file."""

    host: str
    own: str
    now: Mapping[str, str]
    then: Mapping[str, str]


# What is asked


def reads(site: Site, host: Host) -> list[Read]:
    """The options of each cinder-volume, and the services that Cinder knows."""
    if host.name == CLOUD:
        return [Read("volume_services", "volume_services")] if site.cloud else []
    if "cinder" not in host.roles:
        return []
    asked = in_force.reads(site, host, CINDER_VOLUME)
    return [*asked, Read("pending_restarts", "pending_restarts")]


def follow_up_reads(site: Site, facts: Facts) -> list[Read]:
    """The volumes, which may be many: asked only where a service's name is about to change."""
    there = "volume_services" in facts.hosts.get(CLOUD, {})
    asked = _concerned(site, facts) or volume_storage.at_stake(site, facts)
    return [VOLUMES] if there and asked else []


# What is planned


def plan(site: Site, facts: Facts) -> list[Change]:
    """Gives the volumes of each name that goes to the one that comes, and takes its row away.

    Raises BadInput where that cannot be known, must wait, or cannot be meant.
    """
    if not _concerned(site, facts):
        return []
    if "volumes" not in facts.hosts.get(CLOUD, {}):
        gone = _names(_leaving(site, facts))
        raise BadInput(
            f"cinder: {gone} would have another name, and whether volumes are on it cannot be "
            "seen: expected the site file's cloud and an answer of Cinder's API, found neither",
            subject="cinder",
            expected="the site file's cloud and an answer of Cinder's API",
            found="neither",
            advice=f"{gone} would have another name, and whether volumes are on it cannot be seen",
        )
    found = [_moved(site, facts, move) for move in moves(site, facts)]
    return found + [_row_taken_away(site, host, service) for host, service in _rows(site, facts)]


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """How many volumes become another's, and what that is to their users."""
    volumes = Counter(v["host"] for v in facts.hosts.get(CLOUD, {}).get("volumes", ()))
    found = [
        f"{volumes[place]} volumes on {place}: guests keep their disks; what is asked of them "
        "until cinder-volume stands again is lost, so let nobody create or attach one now"
        for change in changes
        if change.kind == "volume_move" and (place := change.subject)
    ]
    for host in _hosts(site, facts):
        found += volume_storage.notes(site, facts, host)
    return found + _beside(site, facts)


def moves(site: Site, facts: Facts) -> list[Move]:
    """What is to be moved, one for each place that holds volumes.

    Raises BadInput where volumes are being worked on, or lie on another storage.
    """
    if not _concerned(site, facts) or "volumes" not in facts.hosts.get(CLOUD, {}):
        return []
    volumes = facts.of(CLOUD, "volumes")
    places = dict.fromkeys(v["host"] for v in volumes if v["host"])
    borne = {service for one in _named(site, facts) for service in one.now.values()}
    found = []
    for place in places:
        named = _heir(site, facts, place)
        if named is None:
            continue
        options = options_of(facts.hosts[named.host])
        new = f"{named.then[site.cinder.backend]}#{backend_name(site, options)}"
        refuse_at_work(place, volumes)
        back = new.partition("#")[0] not in borne | {other.partition("#")[0] for other in places}
        found.append(Move(named.host, place, new, back))
    return found


def refuse_at_work(place: str, volumes: Iterable[Mapping[str, Json]]) -> None:
    """Raises BadInput while something is being done with a volume of the place."""
    busy = [
        f"{v['id']} ({v['status']})"
        for v in volumes
        if v["host"] == place and v["status"] not in _AT_REST and "error" not in v["status"]
    ]
    if busy:
        raise BadInput(
            subject="cinder",
            found=f"{len(busy)} volumes on {place} are being worked on",
            why=_names(busy),
            advice="what their service does would be lost: run it again when that is done",
        )


def update_host(platform: Platform, old: str, new: str) -> list[str]:
    """The argument list that gives all volumes of one place to another."""
    return platform.command(
        "cinder-manage", "volume", "update_host", "--currenthost", old, "--newhost", new
    )


def _moved(site: Site, facts: Facts, move: Move) -> Change:
    platform = site.platform_of(site.host(move.host))
    undo = {
        "verb": "run",
        "args": {"argv": update_host(platform, move.new, move.old), "timeout": _PATIENCE},
        "volumes": move.new,
    }
    args = {
        "argv": update_host(platform, move.old, move.new),
        "timeout": _PATIENCE,
        "undo": undo if move.back else None,
    }
    by_hand = facts.release["cinder"].get("by_hand")
    return Change(
        move.host,
        f"volumes on {move.old}",
        f"give them to {move.new}",
        "~",
        "run",
        args,
        CINDER_VOLUME.phase,
        (f"- host {move.old}", f"+ host {move.new}"),
        restarts=() if by_hand else (platform.unit(CINDER_VOLUME),),
        kind="volume_move",
        subject=move.old,
        stays="" if move.back else "its new place had volumes or a service of its own before",
    )


def _row_taken_away(site: Site, host: str, service: str) -> Change:
    argv = site.platform_of(site.host(host)).command(
        "cinder-manage", "service", "remove", CINDER_VOLUME.name, service
    )
    args = {"argv": argv, "ok": [0, _NOT_THERE], "timeout": 120}
    # The last wave: a process that has not been restarted yet would write it anew.
    return Change(
        host,
        f"service {service}",
        "remove its row: no service has that name any more",
        "-",
        "run",
        args,
        Phase.API,
        kind="service_row",
        subject=service,
        stays="a service writes its row itself when it starts",
    )


def _rows(site: Site, facts: Facts) -> list[tuple[str, str]]:
    """(where it is said, service) of the rows whose names go."""
    known = {service["host"] for service in facts.of(CLOUD, "volume_services")}
    leaving = sorted(known & _leaving(site, facts))
    return [(one.host, s) for s in leaving if (one := _heir(site, facts, s))]


def _beside(site: Site, facts: Facts) -> list[str]:
    """Of another backend that stays and serves the same pool: a rename, or meant so."""
    found = []
    for host in _hosts(site, facts):
        options = options_of(facts.hosts[host.name])
        for section in volume_storage.enabled(options):
            mine = section in (site.cinder.backend, _replaced(site))
            if not mine and not volume_storage.elsewhere(site, options, section):
                found.append(
                    f"{host.name}: backend {section} serves pool {site.cinder.pool} too; it stays, "
                    f"with its volumes. If {site.cinder.backend} is to take its place: "
                    f"cinder.replaces = {section!r}"
                )
    return found


# Names


def backend_host(site: Site, options: Options) -> str:
    """The backend_host that the site's backend is to have; '' for none.

    The one of the site file, else its own, else that of the backend whose place it takes.
    """
    own = options.get((same(site.cinder.backend), "backend_host"), "")
    taken = options.get((same(_replaced(site)), "backend_host"), "") if _replaced(site) else ""
    return str(site.cinder.backend_host or own or taken)


def renamed(site: Site, options: Options, own: str) -> str:
    """The enabled section whose place the site's backend takes on a host; '' for none."""
    section = _replaced(site)
    if section == site.cinder.backend or section not in volume_storage.enabled(options):
        return ""
    explicit = "@" in (site.cinder.replaces or "")
    return (
        ""
        if explicit and volume_storage.service(options, own, section) != site.cinder.replaces
        else section
    )


def enabled(site: Site, seen: Mapping[str, Json], where: str) -> str:
    """A host's enabled_backends, the site's backend in the place of the one that it replaces.

    Raises BadInput where that one's volumes lie on another storage.
    """
    options = options_of(seen)
    section = (
        renamed(site, options, volume_storage.own_name(seen, options))
        if site.cinder.replaces
        else ""
    )
    if not section:
        return options.get(("DEFAULT", "enabled_backends"), "")
    refuse_another_storage(site, options, section, where)
    backend = site.cinder.backend
    names = [backend if name == section else name for name in volume_storage.enabled(options)]
    return ",".join(dict.fromkeys(names))


def backend_name(site: Site, options: Options) -> str:
    """The volume_backend_name of the site's backend: the one in use is never replaced.

    Its own, else that of the backend whose place it takes, else the section's name.  Volume
    types are bound to it, and Cinder refuses to bind a type anew that volumes have.
    """
    for section in (site.cinder.backend, _replaced(site)):
        if (same(section), "volume_backend_name") in options:
            return options[same(section), "volume_backend_name"]
        if options.get((same(section), "volume_driver")) in DRIVERS:
            return BY_DEFAULT
    return str(site.cinder.backend)


def bound_name(site: Site, facts: Facts) -> str:
    """The volume_backend_name to which the site's volume type is bound."""
    for host in _hosts(site, facts):
        return backend_name(site, options_of(facts.hosts[host.name]))
    return str(site.cinder.backend)


def _file(site: Site, host: str) -> str:
    return site.platform_of(site.host(host)).file(CINDER_VOLUME)


def _replaced(site: Site) -> str:
    return str(site.cinder.replaces or "").rpartition("@")[2]


def _hosts(site: Site, facts: Facts) -> list[Host]:
    return [h for h in site.with_role("cinder") if facts.hosts.get(h.name, {}).get("cinder.conf")]


def _named(site: Site, facts: Facts) -> list[_Named]:
    """Of each host with cinder-volume; of none where this release has no backend sections."""
    if not volume_storage.has_sections(facts):
        return []
    found = []
    for host in _hosts(site, facts):
        seen = facts.hosts[host.name]
        options = options_of(seen)
        own = volume_storage.own_name(seen, options)
        now = {
            section: volume_storage.service(options, own, section)
            for section in volume_storage.enabled(options)
        }
        gone = renamed(site, options, own)
        then = {section: name for section, name in now.items() if section != gone}
        backend = site.cinder.backend
        then[backend] = f"{backend_host(site, options) or own}@{backend}"
        found.append(_Named(host.name, own, now, then))
    return found


def _concerned(site: Site, facts: Facts) -> bool:
    """Whether there may be volumes whose place is about to have another name."""
    replaces = bool(site.cinder.replaces) and bool(_named(site, facts))
    return replaces or bool(_leaving(site, facts))


def _leaving(site: Site, facts: Facts) -> set[str]:
    """Services of this site whose names nobody bears when the plan is done."""
    named = _named(site, facts)
    stay = {service for one in named for service in one.then.values()}
    rows = {s["host"] for s in facts.hosts.get(CLOUD, {}).get("volume_services", ())}
    known = rows | {service for one in named for service in one.now.values()}
    return {service for service in known - stay if _heir(site, facts, service)}


def _heir(site: Site, facts: Facts, place: str) -> _Named | None:
    """The host whose backend has the volumes of a place; None where that is not ours to say.

    Raises BadInput for volumes that are not known to lie in the site's pool.
    """
    named, service = _named(site, facts), place.partition("#")[0]
    if not named or any(service in one.then.values() for one in named):
        return None
    owner, _, section = service.rpartition("@")
    if service != site.cinder.replaces and section not in (site.cinder.backend, _replaced(site)):
        return None
    one = next((n for n in named if service in n.now.values() or owner == n.own), None)
    if one is None and service == site.cinder.replaces:
        _refuse_alive(site, facts, service)
        one = named[0]
    if one and section != site.cinder.backend:
        options = options_of(facts.hosts[one.host])
        refuse_another_storage(site, options, section, f"{one.host}: {_file(site, one.host)}")
    return one


def _refuse_alive(site: Site, facts: Facts, service: str) -> None:
    """Raises BadInput where a host that is not of this site serves that name."""
    owed = any(
        site.platform_of(host).unit(CINDER_VOLUME)
        in facts.hosts.get(host.name, {}).get("pending_restarts", ())
        for host in site.all_hosts()
    )
    rows = facts.hosts.get(CLOUD, {}).get("volume_services", ())
    if not owed and any(row["host"] == service and row["up"] for row in rows):
        raise BadInput(
            subject="cinder.replaces",
            expected="a service that is down",
            found=f"{service} up on a host that is not in the site file",
            advice="stop it there, and run this again a minute later",
        )


def _names(names: Iterable[str]) -> str:
    some = sorted(names)
    return ", ".join(some[:5]) + (f" and {len(some) - 5} more" if len(some) > 5 else "")


RESOURCE = Resource("controller.cinder", reads, plan, notes, follow_up_reads)
