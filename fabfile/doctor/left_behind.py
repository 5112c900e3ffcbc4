"""What was left behind in Cinder: rows of services and volume types whose backend is gone.

Each is a note.  Nothing is said where a cinder-volume that the site file does not name may have
that backend, or where a file of options was not seen.
"""

from __future__ import annotations

from collections.abc import Iterator

from fabfile.core.contract import CLOUD, Command, Stop
from fabfile.doctor.finding import NOTE, Finding, root, words
from fabfile.doctor.observation import Looked
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import in_force, volume_hosts, volume_storage


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """Rows of services, and types, whose backend is in no file any more."""
    rows = looked.seen(CLOUD, "volume_services")
    hosts = site.with_role(CINDER_VOLUME.role)
    if rows is None or not all((looked.seen(h.name, "cinder.conf") or {}) for h in hosts):
        return
    started: set[str] = set()
    owners: set[str] = set()
    names: set[str] = {one.name for one in site.cinder.all}
    for host in hosts:
        seen = looked.facts.hosts[host.name]
        options = volume_storage.options_of(seen)
        try:
            own = volume_storage.own_name(seen, options)
        except Stop:
            return
        owners.add(own)
        for section in volume_storage.enabled(options):
            started.add(volume_storage.service(options, own, section))
            names.add(_name_of(options, section))
    yield from _rows(site, looked, started, owners)
    strangers = [row["host"] for row in rows if row["host"].partition("@")[0] not in owners]
    if started and not strangers and "" not in names:
        yield from _types(looked, names)


def _name_of(options: in_force.Options, section: str) -> str:
    """The volume_backend_name of a section; '' where its driver alone knows it."""
    named = options.get((in_force.same(section), volume_hosts.BOUND))
    rbd = volume_storage.value(options, section, "volume_driver") in volume_storage.DRIVERS
    return named or (volume_storage.BY_DEFAULT if rbd else "")


def _rows(site: Site, looked: Looked, started: set[str], owners: set[str]) -> Iterator[Finding]:
    """Rows of services of the site's hosts that nothing starts, and that no volume is of."""
    volumes = looked.seen(CLOUD, "volumes")
    left_out = "volumes" in (looked.seen(CLOUD, "left_out") or {})
    if volumes is None or left_out or not started:
        return
    full = {volume["host"].partition("#")[0] for volume in volumes}
    wanted = {f"{own}@{one.name}" for own in owners for one in site.cinder.all}
    for row in looked.seen(CLOUD, "volume_services"):
        owner, at, _ = row["host"].partition("@")
        odd = row["host"] in started | full | wanted
        if row["up"] or not at or owner not in owners or odd:
            continue
        cinder = site.with_role(CINDER_VOLUME.role)[0]
        platform = site.platform_of(cinder)
        argv = platform.command(
            "cinder-manage", "service", "remove", CINDER_VOLUME.name, row["host"]
        )
        gone = Command(tuple(argv), tuple(argv[argv.index("cinder-manage") :]))
        yield Finding(
            NOTE,
            "cinder.row.left",
            (CLOUD,),
            f"service {row['host']}",
            "down, in no file of options, and without volumes",
            "no such row",
            "its backend was taken out, and its row stayed",
            (root(gone, cinder.name),),
        )


def _types(looked: Looked, names: set[str]) -> Iterator[Finding]:
    """Types that are bound to a name that no backend bears."""
    for name, specs in (looked.seen(CLOUD, "volume_types") or {}).items():
        bound = specs.get(volume_hosts.BOUND)
        if not bound or in_force.same(bound) in map(in_force.same, names):
            continue
        yield Finding(
            NOTE,
            "volume.type.orphaned",
            (CLOUD,),
            f"volume type {name}",
            f"bound to backend {bound}",
            "a backend that some cinder-volume has",
            "a volume of that type cannot be made: no backend bears that name",
            (words("openstack volume type delete, which Cinder refuses while volumes have it"),),
        )
