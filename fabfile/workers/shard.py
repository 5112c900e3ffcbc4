"""What a worker does for a run: works on its share of the hosts, with the local engine.

Knows what was ordered and what was heard of the hosts since; who asks for it, and over what
wire, is not its matter.  Its keys and its SSH configuration are this machine's own.

Whoever ordered a shard asks for its news without a pause.  Where nobody asks any more, the
hosts are left after the step that each is at, as they are by a run that dies.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fabfile.core import source_digest
from fabfile.core.contract import Failed, Host, Json, Message, Stop, Unknown
from fabfile.core.ssh import conversing
from fabfile.flow import engine
from fabfile.flow.terminal import outcomes
from fabfile.model.deployment import Cluster

PAUSE, LONGEST, WATCH = 0.3, 2.0, 1.0
"""Seconds: between two answers with news, until one without, between looks at who asks."""
IDLE = 300.0
"""Seconds for which connections are kept for a run that orders nothing: it may be asking."""
_EDITION = source_digest.digest()
_working: dict[str, _Working] = {}


@dataclass(frozen=True)
class Order:
    """Part of a run: what is to be done ('probe' or 'apply'), on which hosts, and how.

    works: {host: work}; clusters: where the keys are; forks: hosts at a time; config: the site's
    [ssh].
    """

    run: str
    phase: str
    works: Mapping[str, Json]
    hosts: tuple[Host, ...]
    clusters: tuple[Cluster, ...]
    config: Any
    forks: int


@dataclass(frozen=True)
class News:
    """What was heard since: [(host, message)]; faults only when the shard is over."""

    said: list[tuple[str, Mapping[str, Json]]]
    faults: dict[str, Stop] | None
    warnings: tuple[str, ...] = ()


def here(dask_worker: Any = None) -> tuple[str, str]:
    """The worker's name, and the edition at work here where its sources are still the same.

    dask_worker: put in by dask, which goes by the parameter's name.
    """
    now = source_digest.digest()
    name = str(getattr(dask_worker, "name", ""))
    return name, now if now == _EDITION else f"{now}, and {_EDITION} when it was started"


def begin(order: Order) -> None:
    """Begins a shard; returns at once."""
    _working.setdefault(order.run, _Working(order.run)).begin(order)


async def news(run: str, stop: Stop | None) -> News:
    """What was heard since, as soon as there is something.  KeyError for a run not known here.

    stop: ends every agent after the step that it is at.
    """
    working = _working[run]
    if stop:
        working.stop(stop)
    until = time.monotonic() + LONGEST
    await asyncio.sleep(PAUSE)
    while not working.has_news() and time.monotonic() < until:
        await asyncio.sleep(PAUSE)
    return working.news()


def end(run: str) -> None:
    """Closes what was kept for a run."""
    working = _working.pop(run, None)
    if working:
        working.close()


class _Working:
    """One run's hosts here: their connections are kept from one shard to the next."""

    def __init__(self, run: str) -> None:
        self._run, self._asked = run, time.monotonic()
        self._lock = threading.Lock()
        self._said: list[tuple[str, Mapping[str, Json]]] = []
        self._faults: dict[str, Stop] | None = None
        self._engine: engine.Local | None = None
        self._busy = False
        self._why: Stop | None = None

    def begin(self, order: Order) -> None:
        """In a thread of its own, and another that looks whether anybody asks."""
        first = self._engine is None and not self._busy
        self._asked, self._busy, self._faults = time.monotonic(), True, None
        threading.Thread(target=self._do, args=(order,), daemon=True).start()
        if first:
            threading.Thread(target=self._watch, daemon=True).start()

    def _do(self, order: Order) -> None:
        try:
            faults = self._done(order)
        except Stop as stop:
            faults = dict.fromkeys(order.works, stop)
        except Exception as error:
            logging.getLogger(__name__).exception("a shard of run %s", order.run)
            faults = dict.fromkeys(order.works, Failed(f"its worker: {error!r}"))
        with self._lock:
            # Of a kind that is its text and no more: it travels.
            self._faults = {host: outcomes.worst({host: f}) for host, f in faults.items()}
            self._busy = False

    def _done(self, order: Order) -> dict[str, Stop]:
        if not self._engine:
            fleet = engine.fleet(order.hosts, order.config, order.forks, " on the worker")
            self._engine = engine.Local(fleet, order.clusters)
            fleet.hosts |= {one.admin.name: one.admin for one in order.clusters}
        self._engine.fleet.hosts |= {host.name: host for host in order.hosts}
        if self._why:
            self.stop(self._why)
        faults: dict[str, Stop] = getattr(self._engine, order.phase)(order.works, self._on_message)
        return faults

    def _on_message(self, host: str, message: Message) -> None:
        with self._lock:
            self._said.append((host, message))

    def _watch(self) -> None:
        while _working.get(self._run) is self:
            time.sleep(WATCH)
            quiet = time.monotonic() - self._asked
            if self._busy and quiet > conversing.SILENCE and not self._why:
                self.stop(Unknown("nobody asked any more what became of it"))
            if not self._busy and quiet > (conversing.SILENCE if self._why else IDLE):
                end(self._run)

    def stop(self, why: Stop) -> None:
        """Ends every agent after the step that it is at, and begins no other."""
        self._why = why
        if self._engine:
            self._engine.fleet.conversations.stop(why)

    def has_news(self) -> bool:
        """Whether something was heard, or all is over."""
        return bool(self._said) or self._faults is not None

    def news(self) -> News:
        """What was heard since the last time."""
        self._asked = time.monotonic()
        with self._lock:
            said, self._said = self._said, []
            warnings = self._engine.warnings() if self._engine else ()
            return News(said, self._faults, tuple(warnings))

    def close(self) -> None:
        """Closes every connection."""
        if self._engine:
            self._engine.fleet.close()
