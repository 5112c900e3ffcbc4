"""What came of a run of tempest, as a table: passed, skipped by reason, failed, the time."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import tomli

_PASSED, _SKIPPED = "success", "skip"


@dataclass(frozen=True)
class Outcome:
    """One test's end; `test` is setUpClass (a class) where a whole class was skipped or failed."""

    test: str
    status: str
    seconds: float
    reason: str
    traceback: str


@dataclass(frozen=True)
class LeftOut:
    """The tests that are not run on this lab: a regular expression and its reason each."""

    rows: tuple[tuple[re.Pattern[str], str], ...]

    @classmethod
    def read(cls, path: Path, generation: str) -> "LeftOut":
        """From the data file, a lab's generation's rows; ValueError where a row has no reason."""
        rows = []
        for row in tomli.loads(path.read_text()).get("left_out", []):
            of = row.pop("generations", [generation])
            if not row.get("reason", "").strip() or set(row) != {"tests", "reason"}:
                raise ValueError(f"{path}: expected tests and a reason: {row}")
            if generation in of:
                rows.append((re.compile(row["tests"]), " ".join(row["reason"].split())))
        return cls(tuple(rows))

    def reason(self, test: str) -> str | None:
        """Why a test is left out, or None."""
        return next((why for wanted, why in self.rows if wanted.search(test)), None)

    def unused(self, tests: Iterable[str]) -> list[str]:
        """The rows that no test matches any more."""
        names = list(tests)
        return [w.pattern for w, _ in self.rows if not any(map(w.search, names))]


def table(
    selected: list[str], outcomes: list[Outcome], left_out: LeftOut, seconds: float
) -> tuple[str, bool]:
    """The table's text, and whether nothing failed and every test ended somehow."""
    passed = [o for o in outcomes if o.status == _PASSED]
    failed = [o for o in outcomes if o.status not in (_PASSED, _SKIPPED)]
    skipped = _skipped(selected, outcomes, left_out)
    lost = _lost(selected, outcomes, left_out)
    lines = [f"{len(selected):5}  selected", f"{len(passed):5}  passed"]
    lines += [f"{sum(skipped.values()):5}  skipped:"]
    lines += [f"{count:10}  {why}" for why, count in skipped.most_common()]
    lines += [f"{len(failed):5}  failed"]
    lines += [f"{'':10}  {o.test}: {_last_line(o.traceback)}" for o in failed]
    if lost:
        lines += [f"{len(lost):5}  never ended", *(f"{'':10}  {test}" for test in lost)]
    lines += [f"time: {int(seconds) // 60} min {int(seconds) % 60} s"]
    return "\n".join(lines), not failed and not lost


def _skipped(selected: list[str], outcomes: list[Outcome], left_out: LeftOut) -> Counter[str]:
    """{reason: tests}, a class that was skipped as a whole counted by its tests."""
    counted: Counter[str] = Counter()
    for test in selected:
        why = left_out.reason(test)
        if why:
            counted[f"left out: {why}"] += 1
    for outcome in outcomes:
        if outcome.status == _SKIPPED:
            tests = _of_class(outcome.test, selected)
            counted[outcome.reason.strip()] += sum(not left_out.reason(t) for t in tests)
    return counted


def _lost(selected: list[str], outcomes: list[Outcome], left_out: LeftOut) -> list[str]:
    ended = {t for o in outcomes for t in _of_class(o.test, selected)}
    return [t for t in selected if t not in ended and not left_out.reason(t)]


def _of_class(name: str, selected: list[str]) -> list[str]:
    """The tests that an outcome stands for: itself, or all of setUpClass (module.Class)."""
    found = re.fullmatch(r"(?:setUpClass|tearDownClass) \((.*)\)", name)
    if not found:
        return [name]
    return [test for test in selected if test.startswith(found[1] + ".")]


def _last_line(traceback: str) -> str:
    lines = traceback.strip().splitlines()
    return lines[-1].strip()[:200] if lines else "no traceback"
