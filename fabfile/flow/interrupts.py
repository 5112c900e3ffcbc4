"""Ctrl-C and its kin while hosts are at work: finish the write under way, then stop."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from fabfile.core.contract import INV

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def finishing(
    stop: Callable[[], None], say: Callable[[str], None], leave: Callable[[], None]
) -> Iterator[None]:
    """Within it, the first signal calls stop() once; the second leave(), and ends the process."""
    count = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 1:
            # Not here: the main thread may hold a lock that stop() needs.
            threading.Thread(target=stop, daemon=True).start()
            say("Stopping: the step under way on each host is finished. Once more stops at once.")
        else:
            try:  # the terminal may be gone
                leave()
                sys.stdout.flush()
                sys.stderr.write(
                    f"stackrbd: stopped at once; see {INV} history, and run it again\n"
                )
            finally:
                os._exit(130)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = _heeded(SIGNALS)
    before = [signal.signal(number, handle) for number in heeded]
    try:
        yield
    finally:
        for number, old in zip(heeded, before, strict=True):
            signal.signal(number, old)


def raising() -> None:
    """SIGTERM and SIGHUP as Ctrl-C, wherever nothing is under way on a host."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in _heeded(SIGNALS[1:]):
            signal.signal(number, handle)


def _heeded(numbers: Sequence[signal.Signals]) -> list[signal.Signals]:
    """Without SIGHUP where whoever started this (nohup) has it ignored."""
    hung_up = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in numbers if number != signal.SIGHUP or not hung_up]
