"""One line per step with the time since the start; knows nothing of the steps."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SILENCE = 30.0
_started = time.monotonic()
_last = (_started, "")


def say(text: str) -> None:
    """Print one line of progress, at once."""
    global _last  # noqa: PLW0603 (what was said is one thing of the whole process)
    _last = (time.monotonic(), text)
    _print(text)


@contextmanager
def never_silent(hint: str, silence: float = _SILENCE) -> Iterator[None]:
    """Say that it goes on, whenever nothing was said for so many seconds.

    hint: where to look meanwhile.
    """
    over = threading.Event()
    watch = threading.Thread(target=_repeat, args=(over, hint, silence), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _repeat(over: threading.Event, hint: str, silence: float) -> None:
    told = time.monotonic()
    while not over.wait(silence / 10):
        said, text = _last
        if time.monotonic() - max(said, told) >= silence:
            told = time.monotonic()
            _print(f"... goes on after: {text} ({hint})")


def _print(text: str) -> None:
    elapsed = int(time.monotonic() - _started)
    print(f"[{elapsed // 60:02d}:{elapsed % 60:02d}] {text}", flush=True)
