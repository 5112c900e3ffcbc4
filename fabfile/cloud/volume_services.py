"""Closes a backend's service to new volumes, and opens it again.

Cinder's scheduler passes by a service that is disabled; what it chose before may still come, so
that the volumes are looked at once more when it is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fabfile.cloud import holdings
from fabfile.cloud.connection import Cloud, failures
from fabfile.core.contract import Failed

_BINARY = "cinder-volume"


def close(connection: Cloud, service: str) -> None:
    """No new volume is put there.  Raises Failed where one came since the plan was made."""
    _say(connection, "disable", service)
    try:
        there = [
            volume["id"]
            for volume in holdings.volumes(connection)
            if volume["host"].partition("#")[0].lower() == service.lower()
        ]
        if there:
            raise Failed(
                f"cinder: service {service}: {len(there)} volumes came there since the plan was "
                f"made ({there[0]}); it is open again, and nothing was taken away: run it again"
            )
    except Failed:
        _say(connection, "enable", service)
        raise


def open_again(connection: Cloud, service: str) -> None:
    """The reverse."""
    _say(connection, "enable", service)


VERBS: dict[str, Callable[..., None]] = {"close_backend": close, "open_backend": open_again}


def _say(connection: Cloud, deed: str, service: str) -> None:
    from openstack.exceptions import raise_from_response  # noqa: PLC0415 (slow to load)

    body = {"binary": _BINARY, "host": service}
    try:
        reply: Any = connection.block_storage.put(f"/os-services/{deed}", json=body)
        raise_from_response(reply)
    except failures() as error:
        raise Failed(
            f"cinder: service {service} was not {deed}d: {error}; expected an account that may do "
            "that (admin)"
        ) from error
