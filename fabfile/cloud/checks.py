"""Checks: the steps of a proof, each with what came of it and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fabfile.cloud import waiting
from fabfile.core.contract import Interrupted, Unproved

Say = Callable[[str], None]


@dataclass(frozen=True)
class Check:
    """One thing that was proved, or was not; detail is a sentence either way.

    host: the compute that it is about, where it is about one; the name begins with it.
    last: whether it is that compute's last.
    """

    name: str
    ok: bool
    detail: str
    seconds: float
    host: str = ""
    last: bool = False


class Checks:
    """The checks of one proof, in the order in which they ended; threads may share them.

    about: what the proof is about, where there are several; each name says it.  on_check: called
    with each as it ends; raise_if_stopped: where none is to begin any more.
    """

    def __init__(
        self,
        say: Say,
        on_check: Callable[[Check], None] = lambda check: None,
        raise_if_stopped: waiting.RaiseIfStopped = lambda: None,
        about: str = "",
    ) -> None:
        self.all: list[Check] = []
        self._about = f" ({about})" if about else ""
        self._say, self._on_check, self._raise_if_stopped = say, on_check, raise_if_stopped

    def check(self, name: str, act: Callable[[], str], host: str = "", last: bool = False) -> bool:
        """Carry out one step and note what came of it; only bugs and Interrupted go through."""
        self._raise_if_stopped()
        return self.finish(f"{host}: {name}" if host else name, act, host, last)

    def finish(self, name: str, act: Callable[[], str], host: str = "", last: bool = False) -> bool:
        """As check(), for what is done after an interrupt too."""
        name += self._about
        self._say(f"proof: {name} ...")
        start = time.monotonic()
        try:
            ok, detail = True, act()
        except Interrupted:
            raise
        except waiting.expected() as error:
            ok, detail = False, str(error)
        seconds = time.monotonic() - start
        found = Check(name, ok, detail, seconds, host, last)
        self.all.append(found)
        self._on_check(found)
        self._say(f"proof: {'ok' if ok else 'FAILED'} ({seconds:.1f} s) {detail}")
        return ok


def require(checks: Iterable[Check]) -> None:
    """Raise Unproved with the sentences of all checks that failed."""
    failed = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
    if failed:
        raise Unproved("the proof failed: " + "\n  ".join(failed))
