"""Which hosts go to which worker, and which of them are over: pure.

Knows names and messages; what a worker is, and how it is reached, is an engine's matter.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fabfile.core import answers
from fabfile.core.contract import Json, Message


def shared_out(
    hosts: Iterable[str], workers: Mapping[str, str], at: Mapping[str, str], near: Mapping[str, str]
) -> dict[str, list[str]]:
    """{worker: hosts}: each to the worker where it was, where that is there, else to one near it.

    workers: {worker: its name}.  at: {host: worker}.  near: {pattern of hosts: pattern of
    names}; where nobody is near, or nothing is said, all count.  The least loaded gets it.
    """
    found: dict[str, list[str]] = {worker: [] for worker in workers}
    for host in hosts if workers else ():
        worker = at.get(host)
        if worker not in found:
            fit = _near(host, workers, near) or list(workers)
            worker = min(fit, key=lambda one: len(found[one]))
        found[str(worker)].append(host)
    return {worker: there for worker, there in found.items() if there}


def _near(host: str, workers: Mapping[str, str], near: Mapping[str, str]) -> list[str]:
    names = [name for pattern, name in near.items() if fnmatch.fnmatchcase(host, pattern)]
    return [w for w, name in workers.items() if any(fnmatch.fnmatchcase(name, n) for n in names)]


class Awaited:
    """What is still to be heard of hosts; what they read is held back until a host is over.

    So a host whose worker is lost can be asked again, and is not heard twice.
    """

    def __init__(self, works: Mapping[str, Mapping[str, Json]]) -> None:
        self._wanted = {host: _wanted(work) for host, work in works.items()}
        self._due = {host: answers.Expected(host, work) for host, work in works.items()}
        self._kept: dict[str, list[Message]] = {}

    def on_message(self, host: str, message: Message) -> list[Message]:
        """The messages that are to be passed on now.  Raises Unreachable for what is not due."""
        message = self._due[host].take(message)
        wanted = self._wanted.get(host, set())
        wanted.discard((message["t"], message.get("id", message.get("step"))))
        if message["t"] != "read":
            return [message]
        self._kept.setdefault(host, []).append(message)
        return self.kept(host) if not wanted else []

    def kept(self, host: str) -> list[Message]:
        """What was held back, once."""
        return self._kept.pop(host, [])

    def left(self) -> set[str]:
        """The hosts that are not over."""
        return {host for host, wanted in self._wanted.items() if wanted}


def _wanted(work: Mapping[str, Json]) -> set[tuple[str, Any]]:
    reads: Sequence[Mapping[str, Json]] = [*work.get("reads", ()), *work.get("then", ())]
    steps = {("done", step["id"]) for step in work.get("steps", ())}
    return {("read", read["id"]) for read in reads} | steps
