"""An engine whose hosts are worked on elsewhere: by workers, over some carrier.

Knows workers by a word each, and what they say of their hosts; what carries it is the
carrier's matter, what a worker does is shard's.  A worker that dies while it asks hosts has
them asked by another; of one that dies while it writes, the hosts are `Lost`, and the run
looks at them again.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from fabfile.core import source_digest
from fabfile.core.contract import BadInput, Lost, Message, Stop, Unreachable
from fabfile.core.ssh import conversing
from fabfile.core.text import counted
from fabfile.flow.engine import OnMessage, Works
from fabfile.flow.session import Session
from fabfile.workers import assign, shard

_LOOK = 2.0
"""Seconds between two looks at which workers are there."""
Inbox = queue.Queue[tuple[str, Any]]


class Carrier(Protocol):
    """What carries calls to workers, at most once each."""

    def workers(self) -> set[str]:
        """Those that are there; none where nobody can be asked."""

    def call(self, worker: str, function: Any, *args: Any) -> Any:
        """What a function of shard answers there.

        Raises ConnectionError where the worker did not answer, TypeError for what must
        not travel.
        """

    def close(self) -> None:
        """Leaves no connection behind."""


class Elsewhere:
    """The workers of one run; the site's lock stays with the run's own fleet."""

    def __init__(self, carrier: Carrier, session: Session) -> None:
        self._carrier, self._session = carrier, session
        self._near = session.site.dask.near if session.site.dask else {}
        self._fit: dict[str, str] = {}
        self._at: dict[str, str] = {}
        self._gone: set[str] = set()
        self._warnings: dict[str, None] = {}
        unfit = self._greet()
        if unfit or not self._fit:
            carrier.close()
            raise BadInput("\n".join(unfit)) if unfit else Unreachable("no worker is there")

    def _greet(self) -> list[str]:
        """Takes in the workers that have come, but those of which it says what is wrong."""
        there, unfit = self._carrier.workers() - self._gone, []
        self._fit = {worker: name for worker, name in self._fit.items() if worker in there}
        for worker in sorted(there - set(self._fit)):
            name, why = self._met(worker)
            if why:
                unfit.append(f"worker {name or worker}: {why}")
                self._gone.add(worker)
            else:
                self._fit[worker] = name or worker
        return unfit

    def _met(self, worker: str) -> tuple[str, str]:
        """(its name, what keeps it from being used)."""
        here = source_digest.digest()
        try:
            name, there = self._carrier.call(worker, shard.here)
        except ConnectionError as error:
            return "", f"no stackrbd answers there ({error}); start it in a copy of this one"
        if there != here:
            return name, f"another stackrbd: expected {here}, found {there}; start it from a copy"
        return name, ""

    def probe(self, works: Works, on_message: OnMessage) -> dict[str, Stop]:
        """See engine.  Hosts whose worker dies are asked by another."""
        faults = self.apply(works, on_message, "probe")
        again = {host: works[host] for host, f in faults.items() if isinstance(f, Lost)}
        if again:
            faults = {h: f for h, f in faults.items() if h not in again} | self.probe(
                again, on_message
            )
        return faults

    def apply(self, works: Works, on_message: OnMessage, phase: str = "apply") -> dict[str, Stop]:
        """See engine."""
        self._greet()
        shares = assign.shared_out(works, self._fit, self._at, self._near)
        if not shares:
            return {h: Unreachable(host=h, found="no worker is left to reach it") for h in works}
        inbox: Inbox = queue.Queue()
        for worker, hosts in shares.items():
            self._at |= dict.fromkeys(hosts, worker)
            order = self._order(phase, {host: works[host] for host in hosts})
            threading.Thread(target=self._follow, args=(worker, order, inbox), daemon=True).start()
        trips = self._session.fleet.trips
        trips |= {host: trips.get(host, 0) + 1 for host in works}
        return self._followed(shares, assign.Awaited(works), inbox, on_message)

    def _order(self, phase: str, works: Works) -> shard.Order:
        site, forks = self._session.site, self._session.rollout.forks
        hosts = tuple(site.host(name) for name in works)
        clusters = tuple(part.cluster for part in site.parts)
        return shard.Order(self._session.id, phase, works, hosts, clusters, site.ssh, forks)

    def _follow(self, worker: str, order: shard.Order, inbox: Inbox) -> None:
        """In a thread: orders a shard, and asks for its news until it is over."""
        try:
            self._carrier.call(worker, shard.begin, order)
            while worker not in self._gone:
                stopping = self._session.fleet.conversations.stopping
                news = self._carrier.call(worker, shard.news, order.run, stopping)
                inbox.put((worker, news))
                if news.faults is not None:
                    return
        except Exception as error:
            inbox.put((worker, error))

    def _followed(
        self,
        shares: Mapping[str, Sequence[str]],
        awaited: assign.Awaited,
        inbox: Inbox,
        on_message: OnMessage,
    ) -> dict[str, Stop]:
        """Passes on what the workers say, until each is over or gone."""
        faults: dict[str, Stop] = {}
        spoke = dict.fromkeys(shares, time.monotonic())
        looked = time.monotonic()
        while spoke:
            gone: dict[str, str] = {}
            with contextlib.suppress(queue.Empty):
                worker, news = inbox.get(timeout=_LOOK)
                if isinstance(news, TypeError):
                    raise news  # a secret among the works: it never left this process
                if isinstance(news, Exception):
                    gone[worker] = str(news)
                elif worker in spoke:
                    spoke[worker] = time.monotonic()
                    faults |= self._pass_on(shares[worker], news, awaited, on_message)
                    if news.faults is not None:
                        del spoke[worker]
            if inbox.empty() and time.monotonic() - looked > _LOOK:
                gone |= self._missing(spoke)
                looked = time.monotonic()
            for worker in set(gone) & set(spoke):
                del spoke[worker]
                left = awaited.left()
                faults |= self._lost(worker, gone[worker], [h for h in shares[worker] if h in left])
        return faults

    def _missing(self, spoke: Mapping[str, float]) -> dict[str, str]:
        """{worker: why} of those of which nothing is to be heard any more."""
        silent = {w for w, last in spoke.items() if time.monotonic() - last > conversing.SILENCE}
        left = set(spoke) - self._carrier.workers()
        return dict.fromkeys(silent, "it is silent") | dict.fromkeys(left, "nobody has it any more")

    def _pass_on(
        self, hosts: Sequence[str], news: shard.News, awaited: assign.Awaited, on_message: OnMessage
    ) -> dict[str, Stop]:
        """Passes on one worker's news; {host: why} of those that are over with a fault."""
        faults: dict[str, Stop] = {}
        said: list[tuple[str, Message]] = []
        for host, message in news.said:
            if host in hosts and host not in faults:  # a worker speaks of its own hosts alone
                try:
                    said += [(host, one) for one in awaited.on_message(host, message)]
                except Stop as stop:
                    faults[host] = stop
        if news.faults is not None:
            said += [(host, one) for host in hosts for one in awaited.kept(host)]
            faults = {h: fault for h, fault in news.faults.items() if h in hosts} | faults
        for host, message in said:
            try:
                on_message(host, message)
            except Stop as stop:
                faults.setdefault(host, stop)
        self._warnings |= dict.fromkeys(news.warnings)
        return faults

    def _lost(self, worker: str, why: str, hosts: Sequence[str]) -> dict[str, Stop]:
        name = self._fit.get(worker, worker)
        self._gone.add(worker)
        self._session.screen.step(
            "-", f"worker {name} is gone ({why}); {counted(len(hosts), 'host')} with it"
        )
        return {
            h: Lost(host=h, found=f"worker {name}, which was at work there, is gone") for h in hosts
        }

    def warnings(self) -> Sequence[str]:
        """See engine."""
        return list(self._warnings)

    def close(self) -> None:
        """Leaves nothing behind, here or with the workers."""
        for worker in self._fit:
            with contextlib.suppress(Exception):  # whoever is gone has nothing to be closed
                self._carrier.call(worker, shard.end, self._session.id)
        self._carrier.close()
