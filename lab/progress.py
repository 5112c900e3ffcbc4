"""One line per step with the time since the start; knows nothing of the steps."""

import time

_started = time.monotonic()


def say(text: str) -> None:
    """Print one line of progress, at once."""
    elapsed = int(time.monotonic() - _started)
    print(f"[{elapsed // 60:02d}:{elapsed % 60:02d}] {text}", flush=True)
