"""The path of a user on each generation of the lab: `make generations` (GEN=name for one).

    python -m tests.generations [NAME...] [--today] [--main] [--ceph NAME] [--topology FILE]
                                [--docs] [--stay]

Prints a table for each; --docs puts it into docs/generations.md. Exit code 1: a step failed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from lab import generation
from tests.lab.conftest import PROJECT

from .steps import STEPS, Step, Walk
from .table import FAILED, LEFT_OUT, OK, Outcome, Run, replaced, section

PAGE = PROJECT / "docs" / "generations.md"
# Of which the day chooses one: those whose whole walk has passed. Not the default one, which has
# its own tests, nor Debian's unstable one, of which each day brings another.
BY_DAY = ("trixie", "bullseye")
SAID = 600  # characters of a failure that a cell of the table holds


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.generations", description=__doc__)
    parser.add_argument("names", nargs="*", help="generations (default: all)")
    parser.add_argument("--today", action="store_true", help="the one that the date chooses")
    parser.add_argument("--main", action="store_true", help="the main job's steps alone")
    parser.add_argument("--ceph", default="", help="the Ceph hosts' generation, where another")
    parser.add_argument("--topology", default="", help="the hosts (default: the small one)")
    parser.add_argument("--docs", action="store_true", help="put the tables into the page")
    parser.add_argument("--stay", action="store_true", help="leave the lab up at the end")
    words = parser.parse_args()
    names = [of_day(date.today())] if words.today else words.names or generation.names()
    steps = tuple(step for step in STEPS if step.main or not words.main)
    steps = steps[:-1] if words.stay else steps
    runs = []
    for name in names:
        runs.append(_walked(name, words.ceph, words.topology, steps))
        print(section(runs[-1]), flush=True)
        if words.docs:
            PAGE.write_text(replaced(PAGE.read_text(), runs[-1:]))
    for run in runs:
        print(f"{run.generation}: {run.last}")
    return 0 if runs and all(run.good for run in runs) else 1


def of_day(day: date) -> str:
    """The generation that a day's tests go through beside the default one: each in its turn."""
    return BY_DAY[day.toordinal() % len(BY_DAY)]


def _walked(name: str, ceph: str, file: str, steps: tuple[Step, ...]) -> Run:
    # For all that the steps start, and for the lab's modules here.
    os.environ[generation.VARIABLE] = name
    with tempfile.TemporaryDirectory(prefix="stackrbd-generation-") as folder:
        walk = Walk(name, ceph, file, Path(folder))
        title = _title(walk)
        done = tuple(outcomes(walk, steps))
    return Run(title, time.strftime("%Y-%m-%d"), commit(), done)


def _title(walk: Walk) -> str:
    """The section of the page: one for each topology and pair of generations."""
    hosts = f"topology {walk.topology.name}" if walk.file else ""
    ceph = f"Ceph of {walk.ceph}" if walk.ceph else ""
    return ", ".join(filter(None, (walk.generation, ceph, hosts)))


def outcomes(walk: Walk, steps: tuple[Step, ...]) -> Iterator[Outcome]:
    without = {step.name for step in steps}  # of the walk's: what has not passed yet
    for step in steps:
        outcome = _outcome(walk, step, without)
        if outcome.status == OK:
            without.discard(step.name)
        line = f"{outcome.status:8} {step.name:16} {outcome.seconds:5.0f} s  {outcome.said}"
        print(line, flush=True)
        yield outcome


def _outcome(walk: Walk, step: Step, without: set[str]) -> Outcome:
    if missing := [name for name in step.needs if name in without]:
        return Outcome(step.name, LEFT_OUT, 0, f"needs {', '.join(missing)}")
    began = time.monotonic()
    try:
        status, said = OK, step.do(walk)
    except Exception as error:  # any: a failed step is a row of the table
        traceback.print_exc()
        status, said = FAILED, f"{type(error).__name__}: {error}"[:SAID]
    return Outcome(step.name, status, time.monotonic() - began, said)


def commit() -> str:
    def git(*argv: str) -> str:
        return subprocess.run(
            ["git", *argv], cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()

    changed = "+" if git("status", "--porcelain", "--untracked-files=no") else ""
    return git("rev-parse", "--short=7", "HEAD") + changed


if __name__ == "__main__":
    sys.exit(main())
