"""Whether a text has a form that the site file has, before it gets into one."""

from __future__ import annotations

import functools
import re
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fabfile.core.text import clean

_LONGEST = 300
_KEY = re.compile(r"(?<![A-Za-z0-9+/])A[Qg][A-D][A-Za-z0-9+/]{20,}={0,2}")
"""A key of cephx, wherever somebody put it."""


def fits(kind: Any, value: object) -> bool:
    """Whether the site file takes a value where it has that form (site.Name, site.Uuid ...).

    What looks like a key has no form at all.
    """
    if isinstance(value, str) and _KEY.search(value):
        return False
    try:
        _adapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def remark(text: str) -> str:
    """A text for a comment: one line, of letters that can be seen."""
    line = _KEY.sub("(a key)", " ".join(clean(text).split()))
    return line if len(line) <= _LONGEST else line[: _LONGEST - 4] + " ..."
