"""A terminal's recording as a picture: SVG that loads nothing.  Pure."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

WIDE, HEAD, TAIL = 100, 9, 7
"""Columns, and a command's first and last lines that are shown of a long output."""
_LOADED = re.compile(r"@font-face \{\{.*?\}\}\s*", re.S)
_FORMAT = _LOADED.sub("", CONSOLE_SVG_FORMAT).replace(
    "Fira Code, monospace", "ui-monospace, 'DejaVu Sans Mono', monospace"
)
_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]|\x1b[()][A-Z0-9]|[\x00-\x08\x0b\x0c\x0e-\x1a]")
"""What a terminal does beside showing letters and their colours."""


def lines_of(output: str) -> list[str]:
    """A recording's lines with their colours; of one that was written over, what stayed."""
    kept = _MOVES.sub("", output.replace("\r\n", "\n"))
    found = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in kept.split("\n")]
    while found and not found[-1]:
        found.pop()
    return found


def shortened(lines: Sequence[str]) -> list[str]:
    """The first and last lines of many, and how many stand between them."""
    left = len(lines) - HEAD - TAIL
    if left <= 1:
        return list(lines)
    return [*lines[:HEAD], f"\x1b[2m... {left} more lines ...\x1b[0m", *lines[-TAIL:]]


def svg(title: str, runs: Iterable[tuple[str, str]]) -> str:
    """The picture.  runs: (command, its output as a terminal got it)."""
    console = Console(record=True, width=WIDE, file=io.StringIO(), force_terminal=True)
    for number, (command, output) in enumerate(runs):
        if number:
            console.print()
        console.print(Text(f"$ {command}", "bold"))
        for line in shortened(lines_of(output)):
            console.print(Text.from_ansi(line, no_wrap=True, overflow="ellipsis"))
    return console.export_svg(title=title, code_format=_FORMAT, unique_id="stackrbd")
