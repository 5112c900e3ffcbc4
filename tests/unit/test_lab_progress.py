"""The lab says what it does, and that it goes on where that takes long."""

import threading
import time

from lab import progress


def test_a_long_step_is_not_silent(capsys):
    progress.say("image compute: 300 packages")
    before = threading.active_count()
    said, until = capsys.readouterr().out, time.monotonic() + 60
    with progress.never_silent("logs are in /logs", silence=0.05):
        while said.count("goes on") < 2 and time.monotonic() < until:
            time.sleep(0.01)
            said += capsys.readouterr().out
    again = "... goes on after: image compute: 300 packages (logs are in /logs)"
    lines = [line.split("] ")[1] for line in said.splitlines()]
    assert lines[:3] == ["image compute: 300 packages", again, again]
    assert threading.active_count() == before
