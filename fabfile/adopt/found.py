"""What the hosts' files say of stores, backends and disks: found, and not judged yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabfile.core.contract import Json, Seen
from fabfile.model import services
from fabfile.model.deployment import OWN
from fabfile.model.option_values import as_uuid, items
from fabfile.model.services import Service
from fabfile.resources import in_force, librados, volume_backups
from fabfile.resources.ceph_conf import DATA_POOL
from fabfile.resources.glance_stores import RBD, kind
from fabfile.resources.in_force import Options, same
from fabfile.resources.volume_hosts import BOUND
from fabfile.resources.volume_storage import BY_DEFAULT, DRIVERS, enabled

SERVICES = services.SERVICES
GLANCE, CINDER, BACKUP, NOVA = (service.key for service in SERVICES)
CONF = "adopt.conf."
"""How the reads begin of each ceph.conf beside the usual one; its path follows."""


@dataclass(frozen=True)
class Place:
    """A store, a backend, backups or a compute's own disks on RBD, as one host's files have it.

    name: its section; data_pool: of the client, by ceph.conf; bound: what volume types name it by;
    label: its cluster's name in the site file, which no host's file says.
    """

    name: str
    pool: str
    client: str
    conf: str = ""
    uuid: str = ""
    bound: str = ""
    backend_host: str = ""
    zone: str = ""
    cluster: str = ""
    data_pool: str = ""
    label: str = OWN


@dataclass(frozen=True)
class OnHost:
    """What one service of a host has.

    places: those on RBD; others: names and kinds of what is elsewhere; default: the default
    store, or default volume type, that is said; in_default: what shows a backend in [DEFAULT].
    """

    places: tuple[Place, ...] = ()
    others: tuple[str, ...] = ()
    default: str = ""
    in_default: Place | str | None = None


def of(seen: Seen, service: Service) -> OnHost:
    """What a service of a host has, by all that it reads."""
    options = in_force.options(seen, service.key)
    read = {GLANCE: _stores, CINDER: _backends, BACKUP: _backups, NOVA: _disks}
    return read[service.key](options, seen)


def has_file(seen: Seen, service: Service) -> bool:
    """Whether the service's own file is there."""
    return seen.get(f"{service.key}.conf") is not None


def conf_text(seen: Seen, path: str) -> str:
    """A ceph.conf of a host; '' is the usual one, and what was not read is taken for that."""
    told = seen.get(f"{CONF}{path}") or seen.get("ceph.conf") or {}
    return str(told.get("text", ""))


def _stores(options: Options, seen: Seen) -> OnHost:
    listed = options.get(("DEFAULT", "enabled_backends"), "")
    if not listed:
        return _older_stores(options, seen)
    pairs = [entry.partition(":")[::2] for entry in items(listed)]
    named = [(name.strip(), kind(what.strip())) for name, what in pairs]
    places = [_store(options, seen, name, name) for name, what in named if what == RBD]
    others = [f"{name}:{what}" for name, what in named if what != RBD]
    default = options.get(("glance_store", "default_backend"), "")
    return OnHost(tuple(places), tuple(others), default)


def _older_stores(options: Options, seen: Seen) -> OnHost:
    """A list of kinds, whose options share one section."""
    kinds = [kind(one) for one in items(options.get(("glance_store", "stores"), ""))]
    section = "glance_store" if kinds else "DEFAULT"
    default = options.get((section, "default_store"), "")
    said = RBD in kinds or any(s == section and k == "rbd_store_pool" for s, k in options)
    places = [_store(options, seen, section, RBD)] if said else []
    others = [one for one in kinds if one != RBD]
    return OnHost(tuple(places), tuple(others), default if default != "file" or kinds else "")


def _store(options: Options, seen: Seen, section: str, name: str) -> Place:
    def said(key: str, default: str = "") -> str:
        return options.get((same(section), key)) or default

    conf = said("rbd_store_ceph_conf")
    client = said("rbd_store_user", "admin")
    pool = said("rbd_store_pool", "images")
    return Place(name, pool, client, conf, data_pool=_data(seen, conf, client))


def _backends(options: Options, seen: Seen) -> OnHost:
    names = enabled(options)
    on_rbd = [n for n in names if options.get((same(n), "volume_driver")) in DRIVERS]
    places = [_backend(options, seen, name) for name in on_rbd]
    default = options.get(("DEFAULT", "default_volume_type"), "")
    in_default: Place | str | None = None
    if not names and (driver := options.get(("DEFAULT", "volume_driver"))):
        in_default = _backend(options, seen, "DEFAULT") if driver in DRIVERS else driver
    others = [n for n in names if n not in on_rbd]
    return OnHost(tuple(places), tuple(others), default, in_default)


def _backend(options: Options, seen: Seen, section: str) -> Place:
    def said(key: str, default: str = "") -> str:
        return options.get((same(section), key)) or default

    client, conf = said("rbd_user", "admin"), said("rbd_ceph_conf")
    return Place(
        section,
        said("rbd_pool", "rbd"),
        client,
        conf,
        as_uuid(said("rbd_secret_uuid")),
        said(BOUND, BY_DEFAULT),
        said("backend_host"),
        said("backend_availability_zone"),
        said("rbd_cluster_name"),
        _data(seen, conf, client),
    )


def _backups(options: Options, _: Seen) -> OnHost:
    def said(key: str, default: str = "") -> str:
        return options.get(("DEFAULT", key)) or default

    kind_ = volume_backups.kind(options.get(volume_backups.DRIVER, ""))
    if kind_ != volume_backups.CEPH:
        return OnHost(others=(kind_,))
    conf, client = said("backup_ceph_conf"), said("backup_ceph_user", "cinder")
    return OnHost((Place("DEFAULT", said("backup_ceph_pool", "backups"), client, conf),))


def _disks(options: Options, _: Seen) -> OnHost:
    def said(key: str, default: str = "") -> str:
        return options.get(("libvirt", key)) or default

    own = Place(
        "libvirt",
        said("images_rbd_pool", "rbd"),
        said("rbd_user"),
        said("images_rbd_ceph_conf"),
        as_uuid(said("rbd_secret_uuid")),
    )
    # Without disks on RBD, the user there is what Nova falls back to for Cinder's volumes.
    return OnHost((own,)) if said("images_type") == "rbd" else OnHost(in_default=own)


def _data(seen: Seen, conf: str, client: str) -> str:
    said = librados.setting(conf_text(seen, conf), client, DATA_POOL)
    return said[1] if said else ""


def confs(seen: Seen) -> list[str]:
    """Each ceph.conf that a host's services name, the usual one's other names among them."""
    found = [place for service in SERVICES for place in of(seen, service).places]
    return list(dict.fromkeys(place.conf for place in found if place.conf))


def fsid(text: str) -> str:
    """The fsid that a ceph.conf says, in small letters; '' where it says none."""
    said = librados.setting(text, "", "fsid")
    return said[1].lower() if said else ""


def monitors(text: str) -> Iterator[str]:
    """What a ceph.conf says of where the monitors are."""
    return (line.value for line in librados.lines(text) if line.key == "mon_host" and line.value)


def majority(found: Mapping[str, Json]) -> tuple[Json, list[str]]:
    """(what most hosts have, the first of equals; the hosts that have something else)."""
    values: Sequence[Json] = list(dict.fromkeys(found.values()))
    most = max(values, key=lambda one: sum(one == other for other in found.values()))
    return most, [host for host, value in found.items() if value != most]
