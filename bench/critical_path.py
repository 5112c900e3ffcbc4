"""The least wall time that a fleet with latency allows, counted by hand (bench/latency.py).

Seconds; trips are in round trips.  Knows the order of a run, and how many hosts are at work and
wait at a time; takes nothing from the product, so that it can differ.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench import latency

WAITING = 8
"""Times forks: hosts that may be at work or stand by until their service stands."""
KEPT = 1024
"""Hosts up to which connections are kept from the look to the work."""
LOOK, WORK = 3, 1
"""Round trips of a work: the agent's modules are 50 kB, which Linux sends in three flights; those
that write (8 kB) go with the work in one."""
_NEW_AGENT = latency.SESSION + latency.COMMAND + LOOK
_ANEW = latency.CONNECT + _NEW_AGENT


@dataclass(frozen=True)
class Path:
    """One run: computes, forks, and whether there is work (cold)."""

    hosts: int
    forks: int
    cold: bool

    @property
    def _all(self) -> int:
        return self.hosts + 1

    @property
    def look(self) -> float:
        """Round trips of one host's look, its connection with it."""
        return _ANEW

    @property
    def work(self) -> float:
        """Round trips of one host's work."""
        return WORK if self._all <= KEPT else _ANEW + WORK - 1

    def overlapped(self) -> float:
        """Hosts that wait make room for others, so many times forks at the most."""
        trip = latency.ROUND_TRIP
        # The lock, an agent of its own over the same connection; the cluster; then all others.
        before = (_ANEW + _NEW_AGENT) * trip
        looks = -(-self.hosts // self.forks) * self.look * trip
        if not self.cold:
            return before + looks
        stands = latency.RESTART + latency.WATCHING
        at_work = -(-self.hosts // self.forks) * self.work * trip + stands
        waves = -(-self.hosts // (self.forks * WAITING)) * (self.work * trip + stands)
        return before + looks + trip + max(at_work, waves)

    def one_after_the_other(self) -> float:
        """Hosts / forks times all that one host takes: nobody waits beside another's work."""
        takes = self.look + (self.work if self.cold else 0)
        stands = (latency.RESTART + latency.WATCHING) if self.cold else 0
        return self.hosts / self.forks * (takes * latency.ROUND_TRIP + stands)
