"""How far hosts at work have come: counts, the slow and the failed, and the time left.

Pure: is told what is heard and what time it is; draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fabfile.core.contract import CLOUD
from fabfile.core.text import counted_hosts
from fabfile.flow.terminal.outcomes import named

MANY = 20
"""More hosts than this are told together, not a line a step."""
_PATIENCE = 3.0
"""Seconds after which a host without a word is shown by name."""
_FIRST, _LATER = 5.0, 0.2
"""A log's first line about the whole comes after so many seconds, and each further one
after at least as many, or so much of the time that went by: an hour is some 25 lines."""


@dataclass
class _Host:
    wanted: int
    heard: int = 0
    at: str = ""
    since: float = 0.0
    failed: str = ""

    @property
    def over(self) -> bool:
        return bool(self.failed) or self.heard >= self.wanted


@dataclass(frozen=True)
class Row:
    """A line about a host; failed: whether it went wrong there."""

    host: str
    text: str
    failed: bool = False


class Progress:
    """One piece of work on many hosts.

    what: a word for it; wanted: {host: how many answers or changes}; now: seconds.
    """

    def __init__(self, what: str, wanted: Mapping[str, int], now: float) -> None:
        self.what, self._began, self._next, self._moved = what, now, now + _FIRST, now
        self._hosts = {host: _Host(number) for host, number in wanted.items()}

    @property
    def many(self) -> bool:
        """Whether the hosts are too many for a line each."""
        return len(self._hosts) > MANY

    def on_progress(self, host: str, kind: str, text: str, now: float) -> None:
        """What was heard of a host: 'begin', 'done', 'read', 'failed', 'unknown'."""
        one = self._hosts.get(host)
        if one is None:
            return
        one.since = self._moved = now
        if kind == "begin":
            one.at = text
        elif kind in ("done", "read"):
            one.heard += 1
        elif kind in ("failed", "unknown"):
            one.failed = f"{kind.upper()} {text}".strip()

    def due(self, now: float) -> bool:
        """Whether a log is to have a line about the whole; says so once."""
        if now < self._next or all(host.over for host in self._hosts.values()):
            return False
        self._next = now + max(_FIRST, (now - self._began) * _LATER)
        return True

    def total(self, now: float, over: bool = False) -> str:
        """All hosts in a line, with rate and time left; over: the work has ended."""
        hosts, passed = self._hosts.values(), max(now - self._began, 0.001)
        came, failed = sum(h.over for h in hosts), sum(bool(h.failed) for h in hosts)
        shown = sum(host.over for name, host in self._hosts.items() if name != CLOUD)
        of = f"{shown} of " if {*self._hosts} - {CLOUD} else ""
        parts = [f"{self.what}: {of}{counted_hosts(self._hosts)} in {_time(passed)}"]
        if failed:
            parts.append(f"{failed} failed")
        if over or came == len(hosts):
            return ", ".join(parts)
        if now - self._moved > _PATIENCE:
            parts.append(f"no word for {_time(now - self._moved)}")
        elif came:
            rate = came / passed
            parts.append(f"{rate:.1f} a second" if rate >= 1 else f"{rate * 60:.0f} a minute")
            parts.append(f"about {_time((len(hosts) - came) / rate)} left")
        return ", ".join(parts)

    def line(self, now: float) -> str:
        """The same for a log, which has no rows: whoever keeps all waiting, by name."""
        waiting = [name for name, h in self._hosts.items() if not h.over]
        mute = waiting and now - self._moved > _PATIENCE
        return self.total(now) + (f" from {named(waiting)}" if mute else "")

    def rows(self, most: int, now: float) -> list[Row]:
        """The failed, then those that take longest, then those that have not said a word."""
        failed = [Row(n, h.failed, True) for n, h in self._hosts.items() if h.failed]
        at_work = sorted(
            (h.since, name, f"{h.heard} of {h.wanted}  {h.at}")
            for name, h in self._hosts.items()
            if h.since and not h.over
        )
        mute = [name for name, h in self._hosts.items() if not h.since and not h.over]
        rows = failed[-max(1, most // 2) :]
        rows += [Row(name, f"{_time(now - since):>5}  {at}") for since, name, at in at_work]
        if now - self._began >= _PATIENCE and len(mute) <= most - len(rows):
            waited = _time(now - self._began)
            rows += [Row(name, f"{waited:>5}  no answer yet") for name in mute]
        return rows[:most]


def _time(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 100 else f"{whole} s"
