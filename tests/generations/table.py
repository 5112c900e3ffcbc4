"""What came of the steps on one generation, as a table for docs/generations.md."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

OK, FAILED, LEFT_OUT = "ok", "FAILED", "not run"


@dataclass(frozen=True)
class Outcome:
    """One step's end: `said` is what it proved, or why it failed or was not run."""

    step: str
    status: str
    seconds: float
    said: str


@dataclass(frozen=True)
class Run:
    """All steps on one generation."""

    generation: str
    date: str
    commit: str
    outcomes: tuple[Outcome, ...]

    @property
    def last(self) -> str:
        """The last line: how many passed, failed and were not run, and the time."""
        counts = [
            f"{n} {status}"
            for status in (OK, FAILED, LEFT_OUT)
            if (n := sum(one.status == status for one in self.outcomes))
        ]
        seconds = sum(one.seconds for one in self.outcomes)
        return f"{', '.join(counts)} in {seconds:.0f} s"

    @property
    def good(self) -> bool:
        """Whether every step was run and passed."""
        return bool(self.outcomes) and all(one.status == OK for one in self.outcomes)


def section(run: Run) -> str:
    """The run as a section of the page."""
    lines = [
        f"## {run.generation}",
        "",
        f"{run.date}, commit {run.commit}: `{run.last}`",
        "",
        "| step | result | s | what it proved, or said |",
        "|---|---|---|---|",
    ]
    rows = (f"| {o.step} | {o.status} | {o.seconds:.0f} | {_cell(o.said)} |" for o in run.outcomes)
    return "\n".join([*lines, *rows]) + "\n"


def _cell(text: str) -> str:
    """One line that breaks no table."""
    return " ".join(text.split()).replace("|", "\\|")


def replaced(page: str, runs: Iterable[Run]) -> str:
    """The page with these runs' sections in the place of their older ones, or at its end."""
    for run in runs:
        own = re.compile(rf"^## {re.escape(run.generation)}\n.*?(?=^## |\Z)", re.M | re.S)
        text = section(run)
        if own.search(page):
            page = own.sub(lambda _, text=text: text + "\n", page).rstrip() + "\n"
        else:
            page = page.rstrip() + "\n\n" + text
    return page
