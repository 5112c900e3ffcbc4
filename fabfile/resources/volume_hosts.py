"""Which cinder-volume each volume belongs to, and what follows when that one is renamed.

A volume's row names its service: host@backend#pool.  `backend` is a section of cinder.conf,
`host` its backend_host or the host's own name, `pool` its volume_backend_name.  When one of
the first two changes, no service has the volumes any more until `cinder-manage volume
update_host` was said; it is said between the edit and the restart, for a cinder-volume counts
and resumes what is its own when it starts.  The third is never changed.  Of a backend in
[DEFAULT] the service is the host alone, and its volumes' place host#pool.
Source: cinder/cmd/manage.py, cinder/cmd/volume.py and init_host of cinder/volume/manager.py
(Zed).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fabfile.core.contract import CLOUD, BadInput, Change, Facts, Failed, Host, Json, Read
from fabfile.core.text import counted
from fabfile.model.deployment import DEFAULT, Backend
from fabfile.model.phases import Leaving, Phase
from fabfile.model.platforms import Platform
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import active_active, default_backend, in_force, volume_storage
from fabfile.resources.in_force import Options, same
from fabfile.resources.resource import Leaves, Resource, Stays
from fabfile.resources.volume_storage import (
    BY_DEFAULT,
    DRIVERS,
    SERVICES,
    VOLUMES,
    options_of,
    refuse_another_storage,
)

BOUND = "volume_backend_name"
"""A section's option, and the extra spec by which a type names its backend."""
GUARDED = Read("guarded_types", "guarded_types")
"""What volume types have beside their extra specs, and a removal could not bring back."""
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
        return [SERVICES] if site.cloud else []
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
    planned = moves(site, facts)
    places = {*_leaving(site, facts), *(move.old for move in planned)}
    active_active.refuse_moves(site, facts, places)
    found = [_moved(site, facts, move) for move in planned]
    return found + [row_taken_away(site, *row) for row in _rows(site, facts)]


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """How many volumes become another's, and what that is to their users."""
    volumes = Counter(v["host"] for v in facts.hosts.get(CLOUD, {}).get("volumes", ()))
    found = [
        f"{counted(volumes[place], 'volume')} on {place}: guests keep their disks; what is asked "
        "of them until cinder-volume stands again is lost, so let nobody create or attach one now"
        for change in changes
        if change.kind == "volume_move" and (place := change.subject)
    ]
    found += _become_one(changes)
    for host in _hosts(site, facts):
        found += volume_storage.notes(site, facts, host)
    return found + _beside(site, facts)


def _become_one(changes: Sequence[Change]) -> Iterator[str]:
    """Volumes of several services that get one name: which were whose, no row says any more."""
    services: dict[str, dict[str, None]] = {}
    for change in (one for one in changes if one.kind == "volume_move"):
        new = change.args["argv"][-1].partition("#")[0]
        services.setdefault(new, {})[change.subject.partition("#")[0]] = None
    for new, old in services.items():
        if len(old) > 1:
            yield (
                f"volumes on {_names(old)} all become {new}'s, and nobody can tell them apart "
                "afterwards: an undo gives all of them to one of these services, as it finds them"
            )


def moves(site: Site, facts: Facts) -> list[Move]:
    """What is to be moved, one for each place that holds volumes.

    Raises BadInput where volumes are being worked on, or lie on another storage.
    """
    if not _concerned(site, facts) or "volumes" not in facts.hosts.get(CLOUD, {}):
        return []
    volumes = facts.of(CLOUD, "volumes")
    places = dict.fromkeys(v["host"] for v in volumes if v["host"])
    borne = {service for one in _named(site, facts) for service in one.now.values()}
    others = {service.partition("#")[0] for service in places}
    found = []
    for place in places:
        heir = _heir(site, facts, place)
        if heir is None:
            continue
        named, backend = heir
        new = _coming(site, named, backend)
        if backend:
            new += f"#{backend_name(backend, options_of(facts.hosts[named.host]))}"
        else:
            new += "".join(place.partition("#")[1:])
        refuse_at_work(place, volumes)
        # Where the file goes back, a section that is altered looks for them in its old pool again.
        altered = backend and volume_storage.elsewhere_now(
            site, facts, backend, options_of(facts.hosts[named.host])
        )
        back = new.partition("#")[0] not in (others if altered else borne | others)
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
            found=f"{counted(len(busy), 'volume')} on {place}, being worked on",
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


def row_taken_away(site: Site, host: str, service: str, heir: str = "") -> Change:
    """heir: the service that comes with its place, and whose row goes when this is undone."""
    platform = site.platform_of(site.host(host))

    def remove(row: str) -> dict[str, Json]:
        argv = platform.command("cinder-manage", "service", "remove", CINDER_VOLUME.name, row)
        return {"argv": argv, "ok": [0, _NOT_THERE], "timeout": 120}

    args = remove(service)
    if heir:
        args["undo"] = {"verb": "run", "args": remove(heir), "service": heir}
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
        stays="" if heir else "a service writes its row itself when it starts",
    )


def leaving(site: Site, rest: Site, facts: Facts) -> Leaves:
    """The services of backends that go: closed first, so that no volume comes; then their rows."""
    kept = {backend.name for backend in rest.cinder.all}
    rows = {row["host"]: row for row in facts.hosts.get(CLOUD, {}).get("volume_services", ())}
    found: list[Change | Stays] = []
    for backend in (one for one in site.cinder.all if one.name not in kept):
        for service, host in services_of(site, facts, backend).items():
            if service not in rows:
                continue
            if rows[service]["enabled"]:
                found.append(_closed(service))
            found.append(replace(row_taken_away(site, host, service), wave=Leaving.ROWS))
    return found


def begins(site: Site, facts: Facts, host: Host) -> list[str]:
    """The services that a host has by the site's file, and of which Cinder has no row yet.

    None where Cinder is not asked or a host does not say its name, and none that comes with
    another's volumes: whose row goes for it, brings it back.
    """
    rows = facts.hosts.get(CLOUD, {}).get("volume_services")
    if rows is None:
        return []
    try:
        known = {row["host"] for row in rows} | {heir for _, _, heir in _rows(site, facts)}
        mine = [one for one in _named(site, facts) if one.host == host.name]
    except Failed:
        return []
    return sorted({s for one in mine for s in {*one.then.values()} - {*one.now.values()}} - known)


def services_of(site: Site, facts: Facts, backend: Backend) -> dict[str, str]:
    """{a backend's service, host@section: the host of the site that runs it}."""
    found: dict[str, str] = {}
    for host in _hosts(site, facts):
        options = options_of(facts.hosts[host.name])
        own = volume_storage.own_name(facts.hosts[host.name], options)
        for name in (backend_host(backend, options) or own, own):
            found.setdefault(f"{name}@{backend.name}", host.name)
    return found


def _closed(service: str) -> Change:
    return Change(
        CLOUD,
        f"service {service}",
        "disable: nothing is to come while it goes",
        "~",
        "close_backend",
        {"service": service},
        Leaving.API,
        kind="service",
        subject=service,
    )


def _rows(site: Site, facts: Facts) -> list[tuple[str, str, str]]:
    """(where it is said, service, the one that comes new for it or '') of rows that go."""
    known = {service["host"] for service in facts.of(CLOUD, "volume_services")}
    found = []
    for service in sorted(known & _leaving(site, facts)):
        if heir := _heir(site, facts, service):
            new = _coming(site, *heir)
            found.append((heir[0].host, service, "" if new in known else new))
    return found


def _beside(site: Site, facts: Facts) -> list[str]:
    """Of another backend that stays and serves the same pool: a rename, or meant so."""
    found = []
    ours = {name for one in site.cinder.all for name in (one.name, _replaced(one))}
    for host in _hosts(site, facts):
        options = options_of(facts.hosts[host.name])
        others = [s for s in volume_storage.enabled(options) if s not in ours]
        found += [
            f"{host.name}: backend {section} serves pool {one.pool} too; it stays, "
            f"with its volumes. If {one.name} is to take its place: "
            f"{one.said}.replaces = {section!r}"
            for section in others
            for one in site.cinder.all
            if not volume_storage.elsewhere(site, one, options, section)
        ]
    return found


# Names


def backend_host(backend: Backend, options: Options) -> str:
    """The backend_host that a backend of the site is to have; '' for none.

    The one of the site file, else its own, else that of the backend whose place it takes.
    """
    own = options.get((same(backend.name), "backend_host"), "")
    old = _replaced(backend)
    taken = options.get((same(old), "backend_host"), "") if old not in ("", DEFAULT) else ""
    return str(backend.backend_host or own or taken)


def renamed(backend: Backend, options: Options, own: str) -> str:
    """The enabled section whose place a backend of the site takes on a host; '' for none."""
    section = _replaced(backend)
    if section == backend.name or section not in volume_storage.started(options):
        return ""
    explicit = "@" in (backend.replaces or "")
    return (
        ""
        if explicit and volume_storage.service(options, own, section) != _service(backend)
        else section
    )


def enabled(site: Site, table: Mapping[str, Json], seen: Mapping[str, Json], where: str) -> str:
    """A host's enabled_backends, each of the site's in the place of the one that it replaces.

    table: the release's, of Cinder.  Raises BadInput where that one's volumes lie on another
    storage.
    """
    options = options_of(seen)
    if theirs := default_backend.section(site, table, options):
        return theirs
    names = volume_storage.enabled(options)
    taken = {}
    for backend in (one for one in site.cinder.all if one.replaces):
        section = renamed(backend, options, volume_storage.own_name(seen, options))
        if section:
            refuse_another_storage(site, backend, options, section, where)
            taken[section] = backend.name
    if not taken:
        return options.get(("DEFAULT", "enabled_backends"), "")
    return ",".join(dict.fromkeys(taken.get(name, name) for name in names))


def backend_name(backend: Backend, options: Options) -> str:
    """The volume_backend_name of a backend of the site: the one in use is never replaced.

    Its own, else that of the backend whose place it takes, else the section's name.  Volume
    types are bound to it, and Cinder refuses to bind a type anew that volumes have.
    """
    for section in (backend.name, _replaced(backend)):
        if (same(section), BOUND) in options:
            return options[same(section), BOUND]
        if options.get((same(section), "volume_driver")) in DRIVERS:
            return BY_DEFAULT
    return backend.name


def refuse_borne(site: Site, backend: Backend, options: Options) -> None:
    """Raises BadInput where a new backend would bear another one's section, or volume_backend_name.

    A section in other letters is the same to oslo.config, and another service to Cinder; of a type
    that names the other, volumes would be made on either backend.
    """
    sections, alone = volume_storage.enabled(options), backend.said == "cinder"
    if backend.name in sections:
        return
    letters = (one for one in sections if same(one) == same(backend.name) != "")
    # HOST@SECTION is another host's: the section of that name here is not the one that goes.
    taken = "" if "@" in (backend.replaces or "") else _replaced(backend)
    if (theirs := next(letters, "")) and theirs != taken:
        raise BadInput(
            subject=f"{backend.said}: [{backend.name}]",
            expected="the section's name as enabled_backends has it",
            found=f"[{theirs}], in other letters",
            why="it would be started twice, and each has its own volumes",
            advice=f"cinder.backend = {theirs!r}" if alone else f"[cinder.backends.{theirs}]",
        )
    name = backend_name(backend, options)
    for section in sections:
        if section == _replaced(backend) or options.get((same(section), BOUND)) != name:
            continue
        if volume_storage.elsewhere(site, backend, options, section):
            key = "cinder.backend" if alone else "name in [cinder.backends]"
            raise BadInput(
                subject=f"{backend.said}: [{backend.name}]",
                expected=f"a {BOUND} that no other backend bears",
                found=f"[{section}] {BOUND} = {name}",
                why="a volume of a type that names it would be made on either, as the scheduler "
                "likes",
                advice=f"name another section: another {key} than {backend.name!r}",
            )


def bound_name(site: Site, facts: Facts, backend: Backend) -> str:
    """The volume_backend_name to which a backend's volume type is bound."""
    for host in _hosts(site, facts):
        return backend_name(backend, options_of(facts.hosts[host.name]))
    return backend.name


def type_stays(site: Site, rest: Site, facts: Facts, backend: Backend) -> str:
    """Why the volume type of a backend that goes stays, with its limits; '' where it goes.

    It may name another backend by now, or one that others bear too: volumes are made there then.
    """
    specs = facts.hosts.get(CLOUD, {}).get("volume_types", {}).get(str(backend.volume_type))
    if specs is None:
        return ""
    bound = specs.get(BOUND)
    if bound not in (bound_name(site, facts, backend), backend.name):
        return f"it names backend {bound or '(none)'} now"
    if guarded := facts.hosts[CLOUD].get(GUARDED.id, {}).get(str(backend.volume_type)):
        return (
            f"it is {' and '.join(guarded)}, and would not be so when an undo made it anew: delete "
            "it yourself"
        )
    others = _bearers(site, rest, facts, bound)
    return f"it names backend {bound}, which {', '.join(others)} is too ({BOUND})" if others else ""


def _bearers(site: Site, rest: Site, facts: Facts, name: str) -> list[str]:
    """The enabled backends that bear a volume_backend_name, without those that are not of the rest.

    As 'ctl: [section]'.
    """
    kept = {same(one.name) for one in rest.cinder.all}
    gone = {same(one.name) for one in site.cinder.all} - kept
    return [
        f"{host.name}: [{section}]"
        for host in _hosts(site, facts)
        if (options := options_of(facts.hosts[host.name]))
        for section in volume_storage.enabled(options)
        if same(section) not in gone and options.get((same(section), BOUND)) == name
    ]


def _file(site: Site, host: str) -> str:
    return site.platform_of(site.host(host)).file(CINDER_VOLUME)


def _replaced(backend: Backend) -> str:
    return str(backend.replaces or "").rpartition("@")[2]


def _service(backend: Backend) -> str:
    """What a backend's `replaces` names as Cinder has it: HOST@DEFAULT is called HOST."""
    return str(backend.replaces or "").removesuffix(f"@{DEFAULT}")


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
            for section in volume_storage.started(options)
        }
        gone = {renamed(one, options, own) for one in site.cinder.all} | {DEFAULT}
        then = {section: name for section, name in now.items() if section not in gone}
        if theirs := default_backend.section(site, facts.release["cinder"], options):
            then[theirs] = f"{own}@{theirs}"
        for one in site.cinder.all:
            then[one.name] = f"{backend_host(one, options) or own}@{one.name}"
        found.append(_Named(host.name, own, now, then))
    return found


def _concerned(site: Site, facts: Facts) -> bool:
    """Whether there may be volumes whose place is about to have another name."""
    said = any(one.replaces for one in site.cinder.all) or bool(site.cinder.default_section)
    return (said and bool(_named(site, facts))) or bool(_leaving(site, facts))


def _leaving(site: Site, facts: Facts) -> set[str]:
    """Services of this site whose names nobody bears when the plan is done."""
    named = _named(site, facts)
    stay = {service for one in named for service in one.then.values()}
    rows = {s["host"] for s in facts.hosts.get(CLOUD, {}).get("volume_services", ())}
    known = rows | {service for one in named for service in one.now.values()}
    return {service for service in known - stay if _heir(site, facts, service)}


def _heir(site: Site, facts: Facts, place: str) -> tuple[_Named, Backend | None] | None:
    """The host and its backend that has the volumes of a place; None where it is not ours to say.

    No backend: the one of [DEFAULT] that is not the site's, in the section that it is given.
    Raises BadInput for volumes that are not known to lie in the backend's pool.
    """
    named, service = _named(site, facts), place.partition("#")[0]
    if not named or any(service in one.then.values() for one in named):
        return None
    owner, _, section = service.rpartition("@")
    if not owner or any(service == n.own for n in named):
        owner, section = service, DEFAULT
    backend = _named_by(site, service, section)
    if backend is None:
        return _given_a_section(site, facts, named, owner) if section == DEFAULT else None
    one = next((n for n in named if service in n.now.values() or owner == n.own), None)
    if one is None and service == _service(backend):
        _refuse_alive(site, facts, backend)
        one = named[0]
    if one and section != backend.name:
        options = options_of(facts.hosts[one.host])
        where = f"{one.host}: {_file(site, one.host)}"
        refuse_another_storage(site, backend, options, section, where)
    return (one, backend) if one else None


def _coming(site: Site, named: _Named, backend: Backend | None) -> str:
    """The service that has the volumes then; see _heir()."""
    return named.then[backend.name if backend else str(site.cinder.default_section)]


def _given_a_section(
    site: Site, facts: Facts, named: Sequence[_Named], owner: str
) -> tuple[_Named, None] | None:
    """The host whose backend in [DEFAULT] gets a section, or has it since a run that broke off."""
    one = next((n for n in named if n.own == owner), None)
    if one is None or site.cinder.default_section not in one.then:
        return None
    options = options_of(facts.hosts[one.host])
    default_backend.refuse(site, options, one.host, _file(site, one.host))
    return one, None


def _named_by(site: Site, service: str, section: str) -> Backend | None:
    """The backend of the site that a service is said to be, or to become."""
    backends = site.cinder.all
    said = [one for one in backends if service == _service(one) or section == _replaced(one)]
    return next(iter([*said, *(one for one in backends if section == one.name)]), None)


def _refuse_alive(site: Site, facts: Facts, backend: Backend) -> None:
    """Raises BadInput where a host that is not of this site serves that name."""
    service = _service(backend)
    owed = any(
        site.platform_of(host).unit(CINDER_VOLUME)
        in facts.hosts.get(host.name, {}).get("pending_restarts", ())
        for host in site.all_hosts()
    )
    rows = facts.hosts.get(CLOUD, {}).get("volume_services", ())
    if not owed and any(row["host"] == service and row["up"] for row in rows):
        raise BadInput(
            subject=f"{backend.said}.replaces",
            expected="a service that is down",
            found=f"{service} up on a host that is not in the site file",
            advice="stop it there, and run this again a minute later",
        )


def _names(names: Iterable[str]) -> str:
    some = sorted(names)
    return ", ".join(some[:5]) + (f" and {len(some) - 5} more" if len(some) > 5 else "")


RESOURCE = Resource("controller.cinder", reads, plan, notes, follow_up_reads, leaving=leaving)
