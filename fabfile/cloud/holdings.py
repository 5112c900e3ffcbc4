"""What Cinder's API tells of volumes: where each belongs, who serves it, what it is attached by.

Knows the API's own fields; judges nothing.  Of an attachment's connection, which may hold
a key, nothing is taken but names, UUIDs and addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from itertools import islice
from typing import TYPE_CHECKING, TypedDict, TypeVar, cast

from fabfile.cloud import qos, volume_types
from fabfile.cloud.connection import Cloud, reading
from fabfile.cloud.user import stores_of
from fabfile.cloud.volume_types import refuse_other, vars_of
from fabfile.core.contract import Json
from fabfile.core.shapes import LINE, Shape

if TYPE_CHECKING:
    from openstack.block_storage.v3.attachment import Attachment as CinderAttachment
    from openstack.block_storage.v3.backup import Backup as CinderBackup
    from openstack.block_storage.v3.volume import Volume as CinderVolume

T = TypeVar("T")

MOST = 5000
"""Volumes, backups and attachments that a doctor looks at."""


class Volume(TypedDict):
    """A volume; host: host@backend#pool, or ''; type: its volume type's name, or ''."""

    id: str
    name: str
    host: str
    status: str
    type: str


class Service(TypedDict):
    """A cinder-volume, or cinder-backup, that Cinder has a row of."""

    host: str
    up: bool
    enabled: bool


class Backup(TypedDict):
    """A backup of a volume; container: where its driver has it, '' for nowhere yet; objects: how
    many, of drivers that cut it up."""

    id: str
    container: str
    objects: int
    status: str


class Attachment(TypedDict):
    """An attachment of RBD: who, by which secret, and through which monitors."""

    volume: str
    instance: str
    user: str
    uuid: str
    monitors: list[str]


class StoredImage(TypedDict):
    """An image; stores: those that Glance says it is in, by names; none where it does not say."""

    id: str
    status: str
    stores: list[str]


class Holdings(TypedDict):
    """What a doctor wants besides.

    left_out: {'volumes' or 'attachments': as many as are looked at}, where there are more.
    """

    volumes: list[Volume]
    volume_services: list[Service]
    backup_services: list[Service]
    backups: list[Backup]
    attachments: list[Attachment]
    left_out: dict[str, int]


def volumes(connection: Cloud) -> list[Volume]:
    """Those of all projects."""
    with _reading():
        return [_volume(v) for v in _all_volumes(connection)]


def services(connection: Cloud) -> list[Service]:
    """Every cinder-volume that Cinder has a row of."""
    return _services(connection)["cinder-volume"]


def _services(connection: Cloud) -> dict[str, list[Service]]:
    """Every cinder-volume and cinder-backup that Cinder has a row of."""
    found: dict[str, list[Service]] = {"cinder-volume": [], "cinder-backup": []}
    with _reading():
        for s in connection.block_storage.services():
            row: Service = {
                "host": s.host,
                "up": s.state == "up",
                "enabled": s.status == "enabled",
            }
            if s.binary in found:
                found[s.binary].append(row)
    shape = {name: [{"host": LINE}] for name in found}
    refuse_other(found, shape)
    return found


def backups(connection: Cloud) -> list[Backup]:
    """Those of all projects."""
    with _reading():
        return [_backup(b) for b in _all_backups(connection)]


def _backup(backup: CinderBackup) -> Backup:
    found = {name: getattr(backup, name) or "" for name in ("id", "container", "status")}
    found["objects"] = backup.object_count or 0
    refuse_other({"backup": found}, {"backup": _BACKUP})
    return cast(Backup, found)


def attachments(connection: Cloud) -> list[Attachment]:
    """Every attachment of RBD, of all projects; none of a Cinder that keeps none (before Ocata)."""
    from openstack.exceptions import NotFoundException  # noqa: PLC0415 (slow to load)

    with _reading():
        try:
            found = list(_all_attachments(connection))
        except NotFoundException:
            return []
        return [told for one in found if (told := _attachment(one))]


def images(connection: Cloud) -> list[StoredImage]:
    """Those of all projects, hidden ones too, with the stores that Glance says they are in."""
    found: list[StoredImage] = []
    with _reading("glance: images"):
        for hidden in (False, True):
            for image in connection.image.images(is_hidden=hidden, visibility="all"):
                status = str(image.status or "")
                found.append({"id": str(image.id), "status": status, "stores": stores_of(image)})
    refuse_other(found, [{"id": LINE, "status": LINE, "stores": [LINE]}])
    return found


def read(connection: Cloud) -> Holdings:
    """All that a doctor wants besides."""
    with _reading():
        some, more = _first(_all_volumes(connection))
        backed_up, _ = _first(_all_backups(connection))  # that there are some is what counts
        attached, more_attached = _first(_all_attachments(connection))
        rows = _services(connection)
        return {
            "volumes": [_volume(v) for v in some],
            "volume_services": rows["cinder-volume"],
            "backup_services": rows["cinder-backup"],
            "backups": [_backup(b) for b in backed_up],
            "attachments": [told for a in attached if (told := _attachment(a))],
            "left_out": {
                name: MOST
                for name, there in (("volumes", more), ("attachments", more_attached))
                if there
            },
        }


READS: dict[str, Callable[[Cloud], object]] = {
    "volume_types": volume_types.read,
    "guarded_types": volume_types.guarded,
    "qos_specs": qos.read,
    "volume_services": services,
    "volumes": volumes,
    "backups": backups,
    "attachments": attachments,
    "images": images,
}
"""What the pseudo-host can be asked, by a Read's verb."""


def _reading(what: str = "cinder: volumes and services") -> AbstractContextManager[None]:
    return reading(what, "its API is up, and that the account is an admin")


def _all_volumes(connection: Cloud) -> Iterable[CinderVolume]:
    return connection.block_storage.volumes(details=True, all_projects=True)


def _all_attachments(connection: Cloud) -> Iterable[CinderAttachment]:
    return connection.block_storage.attachments(details=True, all_projects=True)


def _all_backups(connection: Cloud) -> Iterable[CinderBackup]:
    return connection.block_storage.backups(all_projects=True)


def _volume(volume: CinderVolume) -> Volume:
    found = {name: getattr(volume, name) or "" for name in ("id", "name", "host", "status")}
    found["type"] = getattr(volume, "volume_type", None) or ""
    refuse_other({"volume": found}, {"volume": _VOLUME})
    return cast(Volume, found)


_VOLUME: Shape = {**dict.fromkeys(("id", "host", "status"), LINE), "name": str, "type": str}
_BACKUP: Shape = {"id": LINE, "container": str, "objects": int, "status": LINE}
_DATA: Shape = {
    **dict.fromkeys(("auth_username?", "secret_uuid?", "driver_volume_type?"), (None, LINE)),
    "hosts?": (None, [LINE]),
}
_ATTACHED: Shape = {
    "volume_id": (None, LINE),
    "instance": (None, LINE),
    "connection_info": (None, {**_DATA, "data?": (None, _DATA)}),
}


def _first(found: Iterable[T]) -> tuple[list[T], bool]:
    """(as many as are looked at, whether there are more)."""
    some = list(islice(found, MOST + 1))
    return some[:MOST], len(some) > MOST


def _attachment(attachment: CinderAttachment) -> Attachment | None:
    """Of an RBD attachment, who, by which secret, and through which monitors."""
    told: dict[str, Json] = vars_of(attachment, *_ATTACHED)
    refuse_other({"attachment": told}, {"attachment": _ATTACHED})
    info: dict[str, Json] = told["connection_info"] or {}
    data = info.get("data") or info
    if "auth_username" not in data and info.get("driver_volume_type") != "rbd":
        return None
    return {
        "volume": str(attachment.volume_id),
        "instance": str(attachment.instance or ""),
        "user": str(data.get("auth_username") or ""),
        "uuid": str(data.get("secret_uuid") or "").lower(),
        "monitors": [str(host) for host in data.get("hosts") or ()],
    }
