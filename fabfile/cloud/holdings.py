"""What Cinder's API tells of volumes: where each belongs, who serves it, what it is attached by.

Knows the API's own fields; judges nothing.  Of an attachment's connection, which may hold
a key, nothing is taken but names, UUIDs and addresses.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from fabfile.core.contract import Failed

MOST = 5000
"""Volumes and attachments that are looked at."""


def read(connection: Any) -> dict[str, Any]:
    """{'volumes', 'volume_services', 'attachments': [...]}: the pseudo-host's facts.

    'left_out': {'volumes' or 'attachments': as many as are looked at}, where there are more.
    """
    from openstack.exceptions import SDKException  # noqa: PLC0415

    storage = connection.block_storage
    try:
        volumes, more_volumes = _first(storage.volumes(details=True, all_projects=True))
        attachments, more_attached = _first(storage.attachments(details=True, all_projects=True))
        return {
            "volumes": [{"id": v.id, "name": v.name, "host": v.host or ""} for v in volumes],
            "volume_services": [
                {"host": s.host, "up": s.state == "up", "enabled": s.status == "enabled"}
                for s in storage.services()
                if s.binary == "cinder-volume"
            ],
            "attachments": [told for a in attachments if (told := _attachment(a))],
            "left_out": {
                name: MOST
                for name, more in (("volumes", more_volumes), ("attachments", more_attached))
                if more
            },
        }
    except SDKException as error:
        raise Failed(
            f"cinder: volumes and services cannot be read: {error}; see that cinder-api is up, "
            "and that the account is an admin"
        ) from error


def _first(found: Iterable[Any]) -> tuple[list[Any], bool]:
    """(as many as are looked at, whether there are more)."""
    some = list(islice(found, MOST + 1))
    return some[:MOST], len(some) > MOST


def _attachment(attachment: Any) -> dict[str, Any] | None:
    """Of an RBD attachment, who, by which secret, and through which monitors."""
    info = attachment.connection_info or {}
    data = info.get("data", info)
    if "auth_username" not in data and info.get("driver_volume_type") != "rbd":
        return None
    return {
        "volume": str(attachment.volume_id),
        "instance": str(attachment.instance or ""),
        "user": str(data.get("auth_username") or ""),
        "uuid": str(data.get("secret_uuid") or "").lower(),
        "monitors": [str(host) for host in data.get("hosts") or ()],
    }
