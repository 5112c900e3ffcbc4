"""The faults of a site file, a line each: its key, what was expected, and what was found.

Pure.  They are pydantic's errors, in words that say what to do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from fabfile.core.contract import Json
from fabfile.model.site_tables import KINDS

_TAGS = {"[key]", *KINDS.values()}
"""Pydantic's own, beside a file's keys."""
_PLACE = re.compile(r"<[^<>]+>")
"""What `init` leaves to be filled in."""


def lines(errors: Iterable[Any], raw: Json, table: type[BaseModel]) -> list[str]:
    """errors: as ValidationError.errors() has them; raw: the parsed file; table: of what it is."""
    return [line for error in errors for line in _fault(error, raw, table)]


def _fault(error: Any, raw: Json, table: type[BaseModel]) -> list[str]:
    place = [part for part in error["loc"] if part not in _TAGS]
    path = [str(part) for part in place]
    key = ".".join(part if part.isprintable() else repr(part) for part in path)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return [f"{key}: no such setting{_nearest(path, table)}"]
    if _PLACE.fullmatch(str(path[-1] if path else "")) or _PLACE.fullmatch(_said(raw, place)):
        return [f"{key}: fill this in: it is as the start has it"]
    if kind == "missing":
        return [f"{key}: expected a value, found none"]
    if kind == "value_error":
        return [f"{key}: {line}" if key else line for line in str(context["error"]).split("\n")]
    expected = re.sub(r"^(Input|String|List|Value) should ", "expected to ", error["msg"])
    return [f"{key}: {expected}{_found(raw, place)}"]


def _said(raw: Json, path: Any) -> str:
    """The text that the site file has there; '' where it is none."""
    found = _at(raw, path)
    return found if isinstance(found, str) else ""


def _at(raw: Json, path: Any) -> Json:
    for part in path:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return None
    return raw


def _found(raw: Json, path: Any) -> str:
    raw = _at(raw, path)
    if raw is None:
        return ""
    try:
        return f", found {raw!r}"[:120]
    except ValueError:
        return ", found a number of thousands of digits"


def _nearest(path: list[str], table: type[BaseModel]) -> str:
    """The key that was meant, of the table where the unknown one stands."""
    forms: list[Any] = [table]
    for part in path[:-1]:
        forms = [below for form in forms for below in _below(form, part)]
    known = {key for form in forms for key in getattr(form, "model_fields", ())}
    near = difflib.get_close_matches(path[-1], known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"


def _below(form: Any, part: str) -> Iterator[Any]:
    """The forms of what a table's key holds, or what stands under a name."""
    if isinstance(form, type) and issubclass(form, BaseModel):
        if part in form.model_fields:
            yield from _forms(form.model_fields[part].annotation)
    elif get_origin(form) in {dict, Mapping}:
        yield from _forms(get_args(form)[1])


def _forms(form: Any) -> Iterator[Any]:
    """A form, or each of those that it may be: X | None, Annotated[X, ...]."""
    if get_origin(form) in {None, dict, Mapping}:
        yield form
    else:
        for one in get_args(form):
            yield from _forms(one)
