"""What the hosts' files say of stores, backends and disks: found, and not judged yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabfile.core.contract import Json, Seen
from fabfile.model import services
from fabfile.model.option_values import as_uuid, items
from fabfile.model.services import Service
from fabfile.resources import in_force, librados
from fabfile.resources.ceph_conf import DATA_POOL
from fabfile.resources.glance_stores import RBD, kind
from fabfile.resources.in_force import Options, same
from fabfile.resources.volume_hosts import BOUND
from fabfile.resources.volume_storage import BY_DEFAULT, DRIVERS, enabled

SERVICES = (services.GLANCE_API, services.CINDER_VOLUME, services.NOVA_COMPUTE)
"""Those that a site file is written of; cinder-backup is not among them."""
GLANCE, CINDER, NOVA = (service.key for service in SERVICES)


@dataclass(frozen=True)
class Place:
    """A store, a backend or a compute's own disks on RBD, as one host's files have it.

    name: its section; data_pool: of the client, by ceph.conf; bound: what volume types name it by.
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
    text = (seen.get("ceph.conf") or {}).get("text", "")
    return {GLANCE: _stores, CINDER: _backends, NOVA: _disks}[service.key](options, text)


def has_file(seen: Seen, service: Service) -> bool:
    """Whether the service's own file is there."""
    return seen.get(f"{service.key}.conf") is not None


def _stores(options: Options, text: str) -> OnHost:
    listed = options.get(("DEFAULT", "enabled_backends"), "")
    if not listed:
        return _older_stores(options, text)
    pairs = [entry.partition(":")[::2] for entry in items(listed)]
    named = [(name.strip(), kind(what.strip())) for name, what in pairs]
    places = [_store(options, text, name, name) for name, what in named if what == RBD]
    others = [f"{name}:{what}" for name, what in named if what != RBD]
    default = options.get(("glance_store", "default_backend"), "")
    return OnHost(tuple(places), tuple(others), default)


def _older_stores(options: Options, text: str) -> OnHost:
    """A list of kinds, whose options share one section."""
    kinds = [kind(one) for one in items(options.get(("glance_store", "stores"), ""))]
    section = "glance_store" if kinds else "DEFAULT"
    default = options.get((section, "default_store"), "")
    said = RBD in kinds or any(s == section and k == "rbd_store_pool" for s, k in options)
    places = [_store(options, text, section, RBD)] if said else []
    others = [one for one in kinds if one != RBD]
    return OnHost(tuple(places), tuple(others), default if default != "file" or kinds else "")


def _store(options: Options, text: str, section: str, name: str) -> Place:
    def said(key: str, default: str = "") -> str:
        return options.get((same(section), key)) or default

    conf = said("rbd_store_ceph_conf")
    client = said("rbd_store_user", "admin")
    pool = said("rbd_store_pool", "images")
    return Place(name, pool, client, conf, data_pool=_data(text, client))


def _backends(options: Options, text: str) -> OnHost:
    names = enabled(options)
    on_rbd = [n for n in names if options.get((same(n), "volume_driver")) in DRIVERS]
    places = [_backend(options, text, name) for name in on_rbd]
    default = options.get(("DEFAULT", "default_volume_type"), "")
    in_default: Place | str | None = None
    if not names and (driver := options.get(("DEFAULT", "volume_driver"))):
        in_default = _backend(options, text, "DEFAULT") if driver in DRIVERS else driver
    others = [n for n in names if n not in on_rbd]
    return OnHost(tuple(places), tuple(others), default, in_default)


def _backend(options: Options, text: str, section: str) -> Place:
    def said(key: str, default: str = "") -> str:
        return options.get((same(section), key)) or default

    client = said("rbd_user", "admin")
    return Place(
        section,
        said("rbd_pool", "rbd"),
        client,
        said("rbd_ceph_conf"),
        as_uuid(said("rbd_secret_uuid")),
        said(BOUND, BY_DEFAULT),
        said("backend_host"),
        said("backend_availability_zone"),
        said("rbd_cluster_name"),
        _data(text, client),
    )


def _disks(options: Options, text: str) -> OnHost:
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


def _data(text: str, client: str) -> str:
    said = librados.setting(text, client, DATA_POOL)
    return said[1] if said else ""


def monitors(seen: Seen) -> Iterator[str]:
    """What a host's ceph.conf says of where the monitors are."""
    text = (seen.get("ceph.conf") or {}).get("text", "")
    return (line.value for line in librados.lines(text) if line.key == "mon_host" and line.value)


def majority(found: Mapping[str, Json]) -> tuple[Json, list[str]]:
    """(what most hosts have, the first of equals; the hosts that have something else)."""
    values: Sequence[Json] = list(dict.fromkeys(found.values()))
    most = max(values, key=lambda one: sum(one == other for other in found.values()))
    return most, [host for host, value in found.items() if value != most]
