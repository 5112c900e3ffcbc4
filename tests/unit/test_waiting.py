"""How long is waited for what a cloud does: since it last moved, and not for ever."""

from types import SimpleNamespace as Thing

import pytest

from fabfile.cloud import user, waiting
from fabfile.core.contract import Unproved

SECONDS = 300
UP, LATE = "stackrbd-guest: up", "[ 120.5] INFO: task dd blocked for more than 120 seconds."


def part(number: int) -> str:
    return f"stackrbd-guest: vdb: wrote {number} of 64 MiB"


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(waiting, "time", Thing(monotonic=lambda: self.now, sleep=self.sleep))

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


class Nova:
    """A console, of which each line is there from a second on; `stays` lines are told."""

    def __init__(self, clock, lines, stays=60):
        self.clock, self.lines, self.stays = clock, lines, stays

    def get_server_console_output(self, _server, _length):
        there = [line for at, line in self.lines if at <= self.clock.now]
        return {"output": "\n".join(there[-self.stays :])}


def heard(clock, lines, stays=60):
    settings = user.ProofSettings("rbd", "tiny", (), "r1", timeout=SECONDS)
    nova = Thing(compute=Nova(clock, lines, stays), block_storage=None, image=None)
    return user.User(nova, settings).console(Thing(name="s", id="1"), "read back equal")


DONE = "stackrbd-guest: wrote 67108864 bytes, read back equal"


@pytest.mark.parametrize(
    "lines",
    [
        [(0, UP), (299, DONE)],
        [(0, UP), (290, part(8)), (580, part(16)), (870, DONE)],
        [(0, UP), (290, part(8)), (300, LATE), (580, DONE)],
        [(250, UP), (540, DONE)],
        # Almost all that there is in all.
        [(0, UP), *((n * 290, part(n * 8)) for n in range(1, 5)), (1199, DONE)],
    ],
)
def test_a_guest_that_goes_on_is_waited_for(clock, lines):
    assert heard(clock, lines) == DONE


@pytest.mark.parametrize(
    ("lines", "after"),
    [
        ([], 301),
        ([(0, UP), (302, DONE)], 301),
        ([(0, UP), (100, part(8)), (402, DONE)], 401),
        # What its kernel complains of is no progress, nor that it fills the window.
        ([(0, UP), *((n, f"{LATE} {n}") for n in range(0, 600, 20)), (600, DONE)], 301),
        # One who moves for ever without an end.
        ([(n * 50, part(n)) for n in range(100)], 1201),
    ],
)
def test_one_that_does_not_is_not(clock, lines, after):
    with pytest.raises(Unproved, match=f"'read back equal': not there after {after} s"):
        heard(clock, lines, stays=5)


def test_other_waits_know_no_progress(clock):
    statuses = iter(range(1000))
    with pytest.raises(Unproved, match="not there after 301 s"):
        waiting.until("it", lambda: Thing(status=str(next(statuses))), lambda _: 0, seconds=300)
