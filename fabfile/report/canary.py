"""The canary's checks, told by step: how long each took, where it took longest, where it failed.

Knows checks as the journal has them: {'name', 'ok', 'detail', 'seconds', 'host'}.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

from fabfile.report.shapes import Check


class StepTimes(TypedDict):
    """A step on all computes.

    computes: how many; median and slowest: seconds, of those where it worked (None where it
    worked nowhere); on: the slowest compute; failed: the computes where it did not.
    """

    step: str
    computes: int
    median: float | None
    slowest: float | None
    on: str
    failed: list[str]


def steps(checks: Iterable[Check]) -> list[StepTimes]:
    """One for each step that computes went through, in the order in which it was first done."""
    found: dict[str, list[Check]] = {}
    for check in checks:
        if check.get("host"):
            found.setdefault(step(check), []).append(check)
    return [_told(name, some) for name, some in found.items()]


def step(check: Check) -> str:
    """A check's name without its compute's."""
    return str(check["name"]).removeprefix(f"{check.get('host')}: ")


def _told(name: str, some: Sequence[Check]) -> StepTimes:
    good = sorted((float(c["seconds"] or 0), str(c["host"])) for c in some if c["ok"])
    slowest, on = good[-1] if good else (None, "")
    return {
        "step": name,
        "computes": len(some),
        "median": _median([seconds for seconds, _ in good]),
        "slowest": slowest,
        "on": on,
        "failed": [str(c["host"]) for c in some if not c["ok"]],
    }


def _median(sorted_: Sequence[float]) -> float | None:
    middle = sorted_[(len(sorted_) - 1) // 2 : len(sorted_) // 2 + 1]
    return sum(middle) / len(middle) if middle else None


def computes(checks: Iterable[Check]) -> dict[str, list[Check]]:
    """{compute: its checks}, in the order in which they ended."""
    found: dict[str, list[Check]] = {}
    for check in checks:
        if check.get("host"):
            found.setdefault(str(check["host"]), []).append(check)
    return found
