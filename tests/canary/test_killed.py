"""A canary that is killed at five moments, or interrupted: what it left is gone with the next."""

import signal
import time

import pytest

from tests.lab.conftest import start
from tests.lab.holdings import held, proofs

pytestmark = pytest.mark.lab
MOMENTS = [
    ("an image in Glance", 0.5),  # a volume is on its way
    ("is its clone", 3),  # an instance is being built
    ("is available", 1.5),  # a volume is being attached
    ("was in RBD, and is deleted", 2),  # an instance is on its way to the other compute
    ("is detached", 0.5),  # it is being removed
]


PATIENCE = 120
"""Seconds until a lock is free whose holder is dead: its host has to hear of that first."""


def begun():
    """A canary that has the site's lock, and has removed what it found."""
    until = time.monotonic() + PATIENCE
    while True:
        one = start("verify", "--canary")
        try:
            one.until("what earlier proofs left")
        except AssertionError:
            assert one.end() == 5 and time.monotonic() < until, one.text
        else:
            return one


def killed(words, seconds):
    """Runs a canary, kills it so long after these words; what it said."""
    one = begun()
    one.until(words)
    time.sleep(seconds)
    one.process.send_signal(signal.SIGKILL)
    one.end()
    return one.text


def test_killed_at_five_moments_and_run_again_nothing_is_left(integrated):
    before, seen = held(), set()
    for words, seconds in MOMENTS:
        said = killed(words, seconds)
        swept = next(line for line in said.splitlines() if "what earlier proofs left" in line)
        assert ("nothing is there" in swept) == (not seen), said
        left = proofs(held())
        assert left and not left & seen, f"killed after {words!r}: {left}, before {seen}"
        seen |= left
    assert len(seen) == len(MOMENTS)
    one = begun()
    assert " deleted" in one.text
    assert one.end(timeout=900) == 0
    assert held() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_its_kin_leave_nothing(integrated, number):
    before = held()
    one = begun()
    one.until("it is attached")
    one.process.send_signal(number)
    assert one.end() == 130
    assert "what the canary made is removed" in one.text
    assert held() == before
