"""Text for people: what a host said may hold anything, a list any number of names."""

from __future__ import annotations

import re
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
    kept = _padded(rows, widths, columns)
    return [line for row in rows for line in _narrow(row, widths[:kept], columns)]


def _padded(rows: Sequence[Sequence[str]], widths: Sequence[int], columns: int) -> int:
    """How many of the first columns stay below each other: what follows them has to have room.

    A cell of more than a third of a window hangs in any case.
    """
    for kept in range(len(widths) - 1, 0, -1):
        sizes = [len(cell) for row in rows for cell in row[kept:]]
        longest = max((one for one in sizes if one <= columns // 3), default=0)
        if sum(widths[:kept]) + 2 * kept + longest <= columns:
            return kept
    return 0


def _narrow(row: Sequence[str], widths: Sequence[int], columns: int) -> list[str]:
    """A row's lines; widths: of the first cells, which stay below those of other rows."""
    first = []
    for cell, width in zip(row, widths, strict=False):
        if len(cell) > width:
            break
        first.append(f"{cell:<{width}}")
    lines, rest = ["  ".join(first or row[:1])], row[max(len(first), 1) :]
    for cell in filter(None, rest):
        if len(lines[-1]) + 2 + len(cell) <= columns:
            lines[-1] += f"  {cell}"
        else:
            lines += hung(_HANGING, cell, columns)
    return [line.rstrip() for line in lines]


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


_OWN = re.compile(
    r"(?<![\w.:\[\]-])[\w.:\[\]-]+:\d+(?!\w)|SHA256:[\w+/=]+|(?<!\S)\S+(?= is not in known_hosts)"
)
"""An address, mostly with its port, and a key's fingerprint: each host has another."""


def without_own(host: str, text: str) -> str:
    """What is said, without what is each host's own."""
    text = _OWN.sub("it", text)
    if host in text:
        text = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "it", text)
    return re.sub(r"(^|; )it:? ", r"\1", text)


def fitted(text: str, columns: int) -> Iterator[str]:
    """Each line of a sentence, folded at words where it would run over; columns: as for table."""
    for line in text.split("\n"):
        if not columns or len(line) <= columns:
            yield line
        else:
            blanks = line[: len(line) - len(line.lstrip())]
            first, *rest = hung(f"{blanks}  ", line.lstrip(), columns)
            yield from (f"{blanks}{first.lstrip()}", *rest)


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


def counted(number: int, thing: str) -> str:
    """'1 host', '2 hosts'."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def counted_hosts(names: Collection[str]) -> str:
    """How many hosts these are; the cloud's API, which has a place among them, is none."""
    number = len({*names} - {CLOUD})
    hosts = counted(number, "host")
    if CLOUD not in names:
        return hosts
    return f"{hosts} and the cloud's API" if number else "the cloud's API"
