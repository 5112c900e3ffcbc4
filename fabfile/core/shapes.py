"""The shapes of documents, as data: what a program's JSON is expected to be.

    str, int, float, bool     a value of that type; a float may be written as an int
    Text(pattern, 'a UUID')   a text of that form
    [shape]                   a list of such
    Row((shape, shape))       a list of just these
    {'name': shape}           an object that has these; 'name?' may be left out
    {'*': shape}              an object of any names
    (shape, shape)            one of these
    None                      null

Members that a shape does not name may be there, and nobody looks at them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fabfile.core.contract import Json

Shape = Any
"""One of the forms above."""
MOST_MEMBERS = 200_000
LONGEST_TEXT = 8 * 1024 * 1024
_LONGEST_NAME = 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_WORDS = {
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


@dataclass(frozen=True)
class Text:
    """A text that a pattern fits as a whole; what: how it is called."""

    pattern: str
    what: str


@dataclass(frozen=True)
class Row:
    """A list that has just these members, in this order."""

    members: tuple[Shape, ...]


LINE = Text(r"[^\x00-\x1f\x7f]{0,4096}", "one line of text")
UUID = Text(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "a UUID")


def misfit(value: Json, shape: Shape, at: str = "") -> str:
    """'' where the value has the shape; else where it has not: what is expected and found."""
    return next(_misfits(value, shape, at), "")


def _misfits(value: Json, shape: Shape, at: str) -> Iterator[str]:
    if isinstance(shape, tuple):
        if all(misfit(value, one, at) for one in shape):
            yield misfit(value, shape[0], at)
    elif isinstance(shape, dict):
        yield from _of_object(value, shape, at)
    elif isinstance(shape, (Row, list)):
        yield from _of_list(value, shape, at)
    elif not _is(value, shape):
        what = shape.what if isinstance(shape, Text) else _WORDS.get(shape, "null")
        yield _said(at, what, value)


def _of_list(value: Json, shape: Row | list[Shape], at: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield _said(at, "a list", value)
    elif isinstance(shape, Row) and len(value) != len(shape.members):
        yield _said(at, f"a list of {len(shape.members)}", value)
    elif len(value) > MOST_MEMBERS:
        yield _said(at, f"at most {MOST_MEMBERS} members", len(value))
    else:
        inner = shape.members if isinstance(shape, Row) else shape * len(value)
        for number, (one, form) in enumerate(zip(value, inner, strict=True)):
            yield from _misfits(one, form, f"{at}[{number}]")


def _of_object(value: Json, shape: dict[str, Shape], at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield _said(at, "an object", value)
        return
    if len(value) > MOST_MEMBERS:
        yield _said(at, f"at most {MOST_MEMBERS} members", len(value))
        return
    if "*" in shape and any(len(key) > _LONGEST_NAME or _CONTROL.search(key) for key in value):
        yield _said(at, "names of one line", "")
        return
    named = {name.removesuffix("?") for name in shape} - {"*"}
    for name, inner in shape.items():
        plain = name.removesuffix("?")
        below = f"{at}.{plain}" if at else plain
        if name == "*":
            for key, one in value.items():
                if key in named:
                    continue
                yield from _misfits(one, inner, f"{at}.{key[:40]}" if at else key[:40])
        elif plain in value:
            yield from _misfits(value[plain], inner, below)
        elif plain == name:
            yield f"{below}: expected {plain}, found none"


def _is(value: Json, shape: Shape) -> bool:
    if isinstance(shape, Text):
        return isinstance(value, str) and re.fullmatch(shape.pattern, value) is not None
    if shape is None:
        return value is None
    if shape is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if shape is str and isinstance(value, str):
        return len(value) <= LONGEST_TEXT
    return isinstance(value, shape) and not (shape is int and isinstance(value, bool))


def _said(at: str, expected: str, found: Json) -> str:
    shown = repr(found) if isinstance(found, (str, int, float, bool, type(None))) else ""
    found = shown[:80] or ("a list" if isinstance(found, list) else "an object")
    return (
        f"{at}: expected {expected}, found {found}" if at else f"expected {expected}, found {found}"
    )
