"""Checks: the steps of a proof, each with what came of it and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fabfile.cloud import waiting
from fabfile.core.contract import Unproved

Say = Callable[[str], None]


@dataclass(frozen=True)
class Check:
    """One thing that was proved, or was not; detail is a sentence either way."""

    name: str
    ok: bool
    detail: str
    seconds: float


class Checks:
    """The checks of one proof, in the order in which they ended."""

    def __init__(self, say: Say) -> None:
        self.all: list[Check] = []
        self._say = say

    def check(self, name: str, act: Callable[[], str]) -> bool:
        """Carry out one step and note what came of it; only bugs go through."""
        self._say(f"proof: {name} ...")
        start = time.monotonic()
        try:
            ok, detail = True, act()
        except waiting.expected() as error:
            ok, detail = False, str(error)
        seconds = time.monotonic() - start
        self.all.append(Check(name, ok, detail, seconds))
        self._say(f"proof: {'ok' if ok else 'FAILED'} ({seconds:.1f} s) {detail}")
        return ok


def require(checks: Iterable[Check]) -> None:
    """Raise Unproved with the sentences of all checks that failed."""
    failed = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
    if failed:
        raise Unproved("the proof failed: " + "\n  ".join(failed))
