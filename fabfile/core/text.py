"""Text for people: what a host said may hold anything, a list any number of names."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Sequence

from fabfile.core.contract import CLOUD


def clean(text: str) -> str:
    """The text's lines without control characters, surrogates, or what turns letters round."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


_HANGING = "    "
_WIDEST = 40
"""Of a column, in letters: what is longer goes on, and two blanks follow it."""


def table(rows: Sequence[Sequence[str]], columns: int = 0) -> list[str]:
    """Rows of cells, each column as wide as what is in it.

    columns: a window's, or 0 for no bound.  Where a line would run over, each row has as many
    lines as its cells need, the further ones hanging: a terminal would break it anywhere.
    """
    if not rows:
        return []
    widths = [min(_WIDEST, max(map(len, column))) for column in zip(*rows, strict=True)]
    whole = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if not columns or max(map(len, whole)) <= columns:
        return whole
    return [line for row in rows for line in _narrow(row, columns)]


def _narrow(row: Sequence[str], columns: int) -> list[str]:
    lines = [row[0]]
    for cell in filter(None, row[1:]):
        if len(lines[-1]) + 2 + len(cell) <= columns:
            lines[-1] += f"  {cell}"
        else:
            lines += hung(_HANGING, cell, columns)
    return lines


def hung(label: str, text: str, columns: int = 0) -> Iterator[str]:
    """A label and its text, whose further lines begin below the text and not below the label.

    columns: as for table; a word is never broken, so that what is copied is whole.
    """
    room = columns - len(label)
    lines = (
        textwrap.wrap(text, max(room, 20), break_long_words=False, break_on_hyphens=False)
        if columns
        else [text]
    )
    for number, line in enumerate(lines or [""]):
        yield (" " * len(label) if number else label) + line


def few(names: Sequence[str], most: int = 2, spare: int = 1) -> str:
    """All names, or the first of many and how many more there are.

    spare: that many above most are still named.
    """
    if len(names) <= most + spare:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def named(hosts: Sequence[str]) -> str:
    """The hosts' names, or the first of many and how many more there are."""
    return few(hosts, 8, spare=2)


def counted_hosts(names: Collection[str]) -> str:
    """How many hosts these are; the cloud's API, which has a place among them, is none."""
    number = len({*names} - {CLOUD})
    hosts = f"{number} host{'' if number == 1 else 's'}"
    if CLOUD not in names:
        return hosts
    return f"{hosts} and the cloud's API" if number else "the cloud's API"
