"""An option's value as its type, as oslo.config reads it: when two texts mean the same.

Knows no option: what type one has follows from what a release's table writes for it.
Source: oslo_config/types.py.
"""

from __future__ import annotations

import re
import uuid

TEXT, BOOLEAN, NUMBER, LIST, UUID = "text", "boolean", "number", "list", "uuid"
_TRUE, _FALSE = ("true", "1", "on", "yes"), ("false", "0", "off", "no")


def kind_of(template: str) -> str:
    """The type of the option for which a table writes this."""
    if template.startswith("+"):
        return LIST
    if template == "{uuid}":
        return UUID
    if template == "{direct_url}" or template.lower() in ("true", "false"):
        return BOOLEAN
    return NUMBER if re.fullmatch(r"-?\d+", template) else TEXT


def equal(kind: str, old: str | None, new: str) -> bool:
    """Whether a service that has the old value has the new one already.

    A text counts as it stands: `Volumes` is another pool than `volumes`.
    """
    if old is None:
        return False
    return old == new or (
        (mine := _read(kind, old)) is not None and kind != TEXT and mine == _read(kind, new)
    )


def as_uuid(text: str) -> str:
    """A UUID in its usual form; '' for what libvirt takes for none.

    Hyphens may be anywhere between two bytes or be left out, as its virUUIDParse has it.
    """
    digits = re.sub(r"(?<=[0-9a-fA-F])-(?=[0-9a-fA-F])", "", text.strip())
    return str(uuid.UUID(digits)) if re.fullmatch(r"[0-9a-fA-F]{32}", digits) else ""


def items(value: str) -> list[str]:
    """A list's parts; of `name : type`, as Glance's stores are listed, without the spaces."""
    parts = [re.sub(r"\s*:\s*", ":", part.strip()) for part in value.split(",")]
    return [part for part in parts if part]


def with_item(value: str, item: str) -> str:
    """The list with one more part, if it is not there yet."""
    found = items(value)
    return ",".join(found if item in found else [*found, item])


_WHOLE = re.compile(r"\s*[-+]?[0-9]{1,20}\s*")
"""64 bits; Python itself refuses to read more than 4,300 digits, by a ValueError."""


def whole(text: str) -> int | None:
    """The whole number that a text says, as programs write one; None for any other text."""
    return int(text) if _WHOLE.fullmatch(text) else None


def _read(kind: str, text: str) -> bool | int | str | list[str] | None:
    """The value; None for what the service could not read as that type."""
    if kind == BOOLEAN:
        word = text.lower()
        return True if word in _TRUE else False if word in _FALSE else None
    if kind == NUMBER:
        return whole(text)
    if kind == UUID:
        return as_uuid(text) or None
    return items(text) if kind == LIST else text
