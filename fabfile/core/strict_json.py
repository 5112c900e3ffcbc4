"""JSON from outside: the language itself, within bounds.

Python's own reader takes NaN, numbers of any length, halves of letters, and dies of deep nesting
by a RecursionError.  Raises ValueError for all of these, and for nothing else.
"""

from __future__ import annotations

import json
import math
import re

from fabfile.core.contract import Json
from fabfile.core.shapes import Shape, misfit

MOST = 64 * 1024 * 1024
"""Letters or bytes of one document."""
_LONGEST_NUMBER = 40
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Half of a letter; those between stand for bytes that are no UTF-8, as Python has them."""


def loads(text: str | bytes, most: int = MOST) -> Json:
    """What a text says.  Raises ValueError for what is no JSON, or beyond the bounds."""
    if len(text) > most:
        raise ValueError(f"larger than {most} bytes")
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    if _HALF.search(text):
        raise ValueError("half of a letter")
    try:
        found = json.loads(text, parse_int=_int, parse_float=_float, parse_constant=_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if "\\u" in text and _has_half(found):
        raise ValueError("half of a letter")
    return found


def shaped(text: str, shape: Shape) -> tuple[Json, str]:
    """What a text says, and '' or why that is not of the shape; None for what is no JSON."""
    try:
        found = loads(text)
    except ValueError as error:
        return None, str(error)
    return found, misfit(found, shape)


def _has_half(value: Json) -> bool:
    """Whether a text in it has half of a letter, written as \\ud800."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str) and _HALF.search(one):
            return True
        if isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list):
            waiting += one
    return False


def _int(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("a number of too many digits")
    return int(text)


def _float(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError("a number that is none")
    return found


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no number")
