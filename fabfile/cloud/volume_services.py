"""Closes a backend's service to new volumes, and opens it again.

Cinder's scheduler passes by a service that is disabled; what it chose before may still come, so
that the volumes are looked at once more when it is closed.  Whether the row says so is looked
at too: the API of 2026.2 (Cinder 29.0) answers 200 to `disable` and `enable` and leaves the row as
it is, and hears `disable-log-reason` alone (cinder/api/v3/services.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fabfile.cloud import holdings
from fabfile.cloud.connection import Cloud, failures
from fabfile.core.contract import Failed
from fabfile.core.text import counted

_BINARY = "cinder-volume"
_WHY = "stackrbd: this backend is being taken out"


def close(connection: Cloud, service: str) -> None:
    """No new volume is put there.  Raises Failed where one came since the plan was made."""
    _say(connection, "disable", service)
    try:
        if _is_open(connection, service):
            _say(connection, "disable-log-reason", service, disabled_reason=_WHY)
        if _is_open(connection, service):
            raise Failed(
                f"cinder: service {service}: Cinder answered that it is disabled, and its row says "
                "enabled; nothing was taken away: disable it by hand, and run it again"
            )
        there = [
            volume["id"]
            for volume in holdings.volumes(connection)
            if volume["host"].partition("#")[0].lower() == service.lower()
        ]
        if there:
            raise Failed(
                f"cinder: service {service}: {counted(len(there), 'volume')} came there since the "
                f"plan was made ({there[0]}); it is open again, and nothing was taken away: run it "
                "again"
            )
    except Failed:
        open_again(connection, service)
        raise


def open_again(connection: Cloud, service: str) -> None:
    """The reverse.  Raises Failed where Cinder does not do it."""
    _say(connection, "enable", service)
    if not _is_open(connection, service):
        raise Failed(
            f"cinder: service {service}: Cinder answered that it is enabled, and its row says "
            "disabled, as 2026.2 does: no new volume comes there. Remove its row by cinder-manage "
            "service remove on its controller; the service writes a new one, enabled, at once"
        )


VERBS: dict[str, Callable[..., None]] = {"close_backend": close, "open_backend": open_again}


def _is_open(connection: Cloud, service: str) -> bool:
    """Whether its row says so; one that is not there (any more) is as its service writes it."""
    rows = {row["host"]: row["enabled"] for row in holdings.services(connection)}
    return rows.get(service, True)


def _say(connection: Cloud, deed: str, service: str, **more: str) -> None:
    from openstack.exceptions import raise_from_response  # noqa: PLC0415 (slow to load)

    body = {"binary": _BINARY, "host": service, **more}
    try:
        reply: Any = connection.block_storage.put(f"/os-services/{deed}", json=body)
        raise_from_response(reply)
    except failures() as error:
        raise Failed(
            f"cinder: service {service}: {deed}: {error}; expected an account that may do "
            "that (admin)"
        ) from error
