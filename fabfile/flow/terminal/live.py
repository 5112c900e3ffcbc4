"""Rows at the foot of a terminal, drawn anew a few times a second.

Knows the terminal, by rich; what the rows say is not its matter.  Loaded only where rows
are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from fabfile.flow.terminal.progress import Row

_ELSE = 4
"""Lines of a window that are left to what else is said."""


class Rows:
    """The rows, there until close(); what is said meanwhile stands above them."""

    def __init__(self, out: IO[str], colour: bool) -> None:
        self._console = Console(
            file=out, no_color=not colour, highlight=False, markup=False, emoji=False
        )
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    @property
    def room(self) -> int:
        """How many hosts have a row in a window of this height."""
        return max(1, min(12, self._console.height - _ELSE))

    def draw(self, rows: Sequence[Row], total: str) -> None:
        """Replaces what stands there; a line too long for the window is cut."""
        lines = [Text(total, "bold", no_wrap=True, overflow="ellipsis")]
        for row in rows:
            style = "red" if row.failed else ""
            text = f"  {row.host:<14} {row.text}".replace("\n", " ")
            lines.append(Text(text, style, no_wrap=True, overflow="ellipsis"))
        self._live.update(Group(*lines), refresh=True)

    def say(self, text: str) -> None:
        """Lines above the rows, which stay."""
        self._console.print(Text(text), soft_wrap=True)

    def close(self) -> None:
        """Takes the rows away."""
        self._live.stop()
