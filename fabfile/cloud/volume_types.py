"""Cinder's volume types and the backend that each one names.

Knows the types and their extra specs; which ones there should be is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from fabfile.cloud.connection import Cloud, failures, reading
from fabfile.core.contract import Failed, Json
from fabfile.core.shapes import LINE, Shape, misfit

if TYPE_CHECKING:
    from openstack.block_storage.v3.type import Type

KEY = "volume_backend_name"
"""The extra spec by which a type names its backend."""
ALL = {"is_public": "None"}
"""How types are asked for, private ones too: the word; without it Cinder lists the public ones
(_parse_is_public of cinder/api/v3/types.py, Juno to 2026.2; before, all are public)."""


def read(connection: Cloud) -> dict[str, dict[str, str]]:
    """{name: {extra spec: value}}."""
    found = {"types": [vars_of(k, "name", "extra_specs") for k in _types(connection)]}
    refuse_other(found, {"types": [{"name": LINE, "extra_specs": (None, {"*": str})}]})
    return {kind["name"]: dict(kind["extra_specs"] or {}) for kind in found["types"]}


def guarded(connection: Cloud) -> dict[str, list[str]]:
    """{name: 'private', 'encrypted'} of types that have what nobody here would make again."""
    found = {}
    for kind in _types(connection):
        said = ["private"] * (kind.is_public is False)
        said += ["encrypted"] * _is_encrypted(connection, kind)
        if said:
            found[str(kind.name)] = said
    return found


def _is_encrypted(connection: Cloud, kind: Type) -> bool:
    from openstack.exceptions import NotFoundException, raise_from_response  # noqa: PLC0415 (slow)

    with reading("cinder: what encrypts the volume types", "the account is an admin"):
        reply = connection.block_storage.get(f"/types/{kind.id}/encryption")
        try:
            raise_from_response(reply)
        except NotFoundException:  # a Cinder without that extension
            return False
        return bool(reply.json().get("encryption_id"))


def vars_of(told: object, *names: str) -> dict[str, Json]:
    """Those attributes of one of the SDK's objects."""
    return {name: getattr(told, name) for name in names}


def refuse_other(
    found: Json,
    shape: Shape,
    what: str = "cinder",
    leads: str = "address leads to cinder-api itself",
) -> None:
    """Raises Failed where an API says something of another kind than its documents have."""
    if said := misfit(found, shape):
        raise Failed(
            f"{what}: {said}; expected what the API's reference has: see that the catalog's {leads}"
        )


def ensure(
    connection: Cloud,
    name: str,
    backend_name: str,
    specs: Mapping[str, str] | None = None,
    was: Mapping[str, str | None] | None = None,
) -> None:
    """Make the type, or give it this volume_backend_name; others stay. Idempotent.

    specs: more extra specs; was: what they were, for who takes it back.
    """
    storage = connection.block_storage
    found = {kind.name: kind for kind in _types(connection)}
    wanted = {KEY: backend_name, **(specs or {})}
    try:
        kind = found.get(name) or storage.create_type(name=name)
        have = kind.extra_specs or {}
        missing = {key: value for key, value in wanted.items() if have.get(key) != value}
        if missing:
            storage.update_type_extra_specs(kind, **missing)
    except failures() as error:
        told = ", ".join(f"{key} = {value}" for key, value in wanted.items())
        raise Failed(
            f"cinder: volume type {name}: {told} was not set: "
            f"{error}; expected an account that may change types (admin), and a type that no "
            "volume has where its extra specs change"
        ) from error


def remove(
    connection: Cloud, name: str, made: bool, was: Mapping[str, str | None] | None = None
) -> None:
    """Takes back what ensure() did: the type that was made, else the extra specs that were set.

    was: what each of these was before; without it, volume_backend_name was not there.
    Raises Failed where volumes still use it.
    """
    storage = connection.block_storage
    kind = {kind.name: kind for kind in _types(connection)}.get(name)
    if kind is None:
        return
    try:
        if made:
            storage.delete_type(kind)
            return
        before = {KEY: None} if was is None else was
        if old := {key: value for key, value in before.items() if value is not None}:
            storage.update_type_extra_specs(kind, **old)
        if new := [key for key in before if before[key] is None]:
            storage.delete_type_extra_specs(kind, new)
    except failures() as error:
        raise Failed(
            f"cinder: volume type {name} is not taken away: {error}; a type that volumes "
            "use stays: delete or retype those first"
        ) from error


VERBS: dict[str, Callable[..., None]] = {"volume_type": ensure, "no_volume_type": remove}


def _types(connection: Cloud) -> list[Type]:
    with reading("cinder: the volume types", "cinder-api is up and the catalog names it"):
        return list(connection.block_storage.types(**ALL))
