"""What the operator sees: the plan, the progress, the recap.

Knows how to print; decides nothing.  With --json, only JSON goes to standard output, a
document a line, and everything for people to standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from fabfile.core.contract import Change, Json, Plan
from fabfile.core.text import clean, counted_hosts, fitted, hung
from fabfile.flow.terminal import outcomes
from fabfile.flow.terminal.progress import MANY, Progress

if TYPE_CHECKING:
    from fabfile.flow.terminal.live import Rows  # rich is slow to load

_COLOURS = {"+": "32", "~": "33", "-": "31", "!": "36"}
_NEXT_ROWS, _NEXT_LINE = 0.4, 1.0
"""Seconds between two looks at the progress: for rows on a terminal, for lines of a log."""
_SHOW_CURSOR = "\x1b[?25h\n"
OnProgress = Callable[[str, str], None]


def attended() -> bool:
    """Whether somebody is there to ask."""
    return sys.stdin is not None and sys.stdin.isatty()


def answer(question: str) -> str:
    """What the operator types; nothing for the end of input."""
    try:
        return input(question).strip()
    except EOFError:
        return ""


@contextlib.contextmanager
def _listened_to(out: TextIO) -> Iterator[None]:
    """Whoever listens may go (head, a terminal): the work goes on, and the record is kept."""
    try:
        yield
    except BrokenPipeError:
        _into_nothing(out)
    except OSError as error:
        _into_nothing(out)
        with contextlib.suppress(OSError):
            print(f"stackrbd: what is said here is lost: {error.strerror}", file=sys.stderr)


def _into_nothing(out: TextIO) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, out.fileno())
    os.close(nothing)


class Screen:
    """Prints plain lines; on a terminal in colour, with rows for the hosts at work."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._out = (sys.stderr if as_json else sys.stdout) or Path(os.devnull).open("w")  # noqa: SIM115
        for stream in filter(None, (sys.stdout, self._out)):
            if hasattr(stream, "reconfigure"):  # of another locale than the letters
                stream.reconfigure(errors="backslashreplace")
        terminal = self._out.isatty()
        self._colour = terminal and "NO_COLOR" not in os.environ
        # JSON on the same terminal would run into the rows.
        plain = os.environ.get("TERM") == "dumb" or os.environ.get("CI")
        self._draws = (
            terminal and not plain and not (as_json and sys.stdout and sys.stdout.isatty())
        )
        self._lock = threading.RLock()
        self._progress: Progress | None = None
        self._rows: Rows | None = None

    @property
    def columns(self) -> int:
        """The window's width; 0 where what is said goes to no window."""
        return shutil.get_terminal_size().columns if self._out.isatty() else 0

    def say(self, text: str = "", whole: bool = False) -> None:
        """One or more lines for people, without control characters; folded to the window.

        whole: it holds a command, a path or a value that is copied: the terminal may break it.
        """
        if not whole:
            text = "\n".join(fitted(text, self.columns))
        with self._lock:
            if self._rows:
                with _listened_to(self._out):
                    self._rows.say(clean(text))
            else:
                self._print(clean(text), self._out)

    def say_all(self, lines: Iterable[str]) -> None:
        """Lines that are laid out already, and commands: each as it is."""
        for line in lines:
            self.say(line, whole=True)

    @staticmethod
    def _print(text: str, out: TextIO, end: str = "\n") -> None:
        with _listened_to(out):
            print(text, end=end, file=out, flush=True)

    def step(self, host: str, text: str) -> None:
        """One line of progress."""
        label = f"{time.strftime('%H:%M:%S')} {host:<14} "
        lines = text.split("\n")
        for number, line in enumerate(lines):
            self.say_all(hung(" " * len(label) if number else label, line, self.columns))

    def done(self, host: str, text: str) -> None:
        """A line for a step that was done, unless there are many hosts with such lines."""
        if not (self._progress and self._progress.many):
            self.step(host, text)

    # Hosts at work

    @contextlib.contextmanager
    def at_work(self, what: str, wanted: Mapping[str, int]) -> Iterator[OnProgress]:
        """Shows how hosts come on; yields what is to be called with (host, kind).

        wanted: {host: how many answers or changes}.  Within another one, shows nothing.
        """
        if self._progress:
            yield lambda host, kind: None
            return
        self._progress = progress = Progress(what, wanted, time.monotonic())
        over = threading.Event()
        looking = threading.Thread(target=self._look, args=(progress, over), daemon=True)
        if self._draws or progress.many:
            looking.start()
        try:
            yield self._on_progress
        finally:
            over.set()
            if looking.ident:
                looking.join()
            self._no_rows()
            self._progress = None
            if progress.many:
                self.step("-", progress.total(time.monotonic(), over=True))

    def _on_progress(self, host: str, kind: str, text: str = "") -> None:
        with self._lock:
            if self._progress:
                self._progress.on_progress(host, kind, clean(text), time.monotonic())

    def _look(self, progress: Progress, over: threading.Event) -> None:
        try:
            while not over.wait(_NEXT_ROWS if self._draws else _NEXT_LINE):
                with self._lock:
                    self._show(progress, time.monotonic())
        except OSError:
            return  # the terminal has gone; the work goes on

    def _show(self, progress: Progress, now: float) -> None:
        if not self._draws:
            if progress.due(now):
                self.step("-", progress.line(now))
            return
        if not self._rows:
            from fabfile.flow.terminal.live import Rows  # noqa: PLC0415 (rich is slow to load)

            self._rows = Rows(self._out, self._colour)
        self._rows.draw(progress.rows(self._rows.room, now), progress.total(now))

    def _no_rows(self) -> None:
        with self._lock:
            if self._rows:
                self._rows.close()
            self._rows = None

    def leave(self) -> None:
        """Puts the terminal right, where the process ends at once."""
        if self._rows:
            os.write(self._out.fileno(), _SHOW_CURSOR.encode())

    # What happened, for --json and the rows

    def event(self, kind: str, **what: Json) -> None:
        """One event that no journal has."""
        self.on_event({"time": round(time.time(), 3), "event": kind, **what})

    def on_event(self, line: Mapping[str, Json]) -> None:
        """One event, as the journal has it: {'event': 'done', 'host': ..., ...}."""
        self.json(line)
        if "host" in line:
            self._on_progress(line["host"], line["event"], line.get("why") or line.get("thing", ""))

    def json(self, document: Mapping[str, Json]) -> None:
        """One document of --json, in one line; the last one is the result."""
        if self._json:
            with self._lock:
                self._print(json.dumps(document), sys.stdout)

    # The plan

    def _sign(self, sign: str) -> str:
        return f"\x1b[{_COLOURS[sign]}m{sign}\x1b[0m" if self._colour else sign

    def plan(self, plan: Plan, diff: bool) -> None:
        """Every change by host; hosts with equal work are folded together."""
        by_host: dict[str, list[Change]] = {}
        for change in plan.changes:
            by_host.setdefault(change.host, []).append(change)
        folded: dict[tuple[Any, ...], list[str]] = {}
        for host, changes in by_host.items():
            key = tuple((c.sign, c.thing, c.sentence, c.diff) for c in changes)
            folded.setdefault(key, []).append(host)
        for lines, hosts in folded.items():
            self.say_all(hung("", outcomes.named(hosts), self.columns))
            for sign, thing, sentence, detail in lines:
                first, *rest = hung("    ", f"{thing}: {sentence}", self.columns)
                self._print(f"  {self._sign(sign)} ", self._out, "")
                self.say_all([first[4:], *rest])
                for line in detail if diff else ():
                    self.say(f"      {line}", whole=True)
        signs = [c.sign for c in plan.changes]
        self.say(
            f"Plan: {signs.count('+')} to add, {signs.count('~')} to change, "
            f"{signs.count('-')} to remove, {signs.count('!')} restarts "
            f"on {counted_hosts(by_host)}"
        )
        self._beside(plan)

    def nothing(self, plan: Plan) -> None:
        """An empty plan."""
        self.say("Nothing to do: everything is as it should be.")
        self._beside(plan)

    def _beside(self, plan: Plan) -> None:
        for note in plan.notes[:MANY]:
            self.say_all(hung("Note: ", note, self.columns))
        if len(plan.notes) > MANY:
            self.say(f"Note: {len(plan.notes) - MANY} more such notes (--json has all)")
        self.left_out(plan.left_out)

    def left_out(self, said: Mapping[str, str]) -> None:
        """The hosts that the plan goes on without: {host: why}."""
        for line in outcomes.told(said):
            self.say_all(hung("Left out: ", line, self.columns))
