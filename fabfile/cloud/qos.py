"""Cinder's QoS specs: what limits the volumes of a type, and who enforces it.

Knows the specs, their consumer and the types that have them; asks the API itself, as the SDK's
releases differ in what they know of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fabfile.cloud.connection import Cloud, failures
from fabfile.cloud.volume_types import ALL, refuse_other
from fabfile.core.contract import Failed, Json
from fabfile.core.shapes import LINE, Shape

CONSUMER = "consumer"
_ID = {"id": LINE, "name": LINE}
_SPECS: Shape = {"qos_specs": [{**_ID, CONSUMER: LINE, "specs": {"*": LINE}}]}
_TYPES: Shape = {"qos_associations": [{**_ID, "association_type": LINE}]}


def read(connection: Cloud) -> dict[str, dict[str, Json]]:
    """{name: {'specs': {key: value}, the consumer among them, 'types': [names]}}."""
    with _understood("cannot be read"):
        return {
            one["name"]: {
                "specs": {CONSUMER: one[CONSUMER], **one["specs"]},
                "types": sorted(_types(connection, one["id"])),
            }
            for one in _all(connection)
        }


def ensure(
    connection: Cloud,
    name: str,
    specs: Mapping[str, str],
    was: Mapping[str, str | None],
    bound: bool,
) -> None:
    """Make the specs, or set these keys of them, and have the type of that name limited by them.

    was, bound: what the keys were, and whether the type had it, for who takes it back.  Idempotent.
    """
    with _understood(f"{name} was not set"):
        there = _named(connection, name)
        if there is None:
            wanted = {"qos_specs": {"name": name, **specs}}
            made = _asked(connection.block_storage.post("/qos-specs", json=wanted))
            refuse_other(made, {"qos_specs": _ID})
            there = made["qos_specs"]
        elif specs:
            body = {"qos_specs": dict(specs)}
            _asked(connection.block_storage.put(_at(there["id"]), json=body))
        if name not in _types(connection, there["id"]):
            _bind(connection, there["id"], name, "associate")


def remove(
    connection: Cloud,
    name: str,
    made: bool,
    was: Mapping[str, str | None],
    bound: bool,
) -> None:
    """Takes back what ensure() did: the specs that were made, else what it set of them."""
    with _understood(f"{name} is not taken back"):
        there = _named(connection, name)
        if there is None:
            return
        at, storage = _at(there["id"]), connection.block_storage
        if not bound and name in _types(connection, there["id"]):
            _bind(connection, there["id"], name, "disassociate")
        if made:
            _asked(storage.delete(at))
            return
        if old := {key: value for key, value in was.items() if value is not None}:
            _asked(storage.put(at, json={"qos_specs": old}))
        if new := [key for key in was if was[key] is None]:
            _asked(storage.put(f"{at}/delete_keys", json={"keys": new}))


VERBS: dict[str, Callable[..., None]] = {"qos": ensure, "no_qos": remove}


def _at(identifier: str) -> str:
    return f"/qos-specs/{identifier}"


def _all(connection: Cloud) -> list[dict[str, Json]]:
    found = _asked(connection.block_storage.get("/qos-specs"))
    refuse_other(found, _SPECS)
    specs: list[dict[str, Json]] = found["qos_specs"]
    return specs


def _named(connection: Cloud, name: str) -> dict[str, Json] | None:
    return next((one for one in _all(connection) if one["name"] == name), None)


def _types(connection: Cloud, identifier: str) -> list[str]:
    """The names of the types that have it."""
    found = _asked(connection.block_storage.get(f"{_at(identifier)}/associations"))
    refuse_other(found, _TYPES)
    return [one["name"] for one in found["qos_associations"]]


def _bind(connection: Cloud, identifier: str, volume_type: str, deed: str) -> None:
    kinds = {kind.name: kind.id for kind in connection.block_storage.types(**ALL)}
    if volume_type not in kinds:
        raise Failed(f"cinder: QoS: expected the volume type {volume_type}, found no such type")
    asked = {"vol_type_id": kinds[volume_type]}
    _asked(connection.block_storage.get(f"{_at(identifier)}/{deed}", params=asked))


def _asked(reply: Any) -> Json:
    """What the API answers; some deeds answer nothing."""
    from openstack.exceptions import raise_from_response  # noqa: PLC0415 (slow to load)

    raise_from_response(reply)
    return reply.json() if reply.content else {}


@contextmanager
def _understood(what: str) -> Iterator[None]:
    try:
        yield
    except failures() as error:
        raise Failed(
            f"cinder: QoS {what}: {error}; expected an account that may change QoS specs (admin)"
        ) from error
