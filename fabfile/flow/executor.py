"""Carries a plan out, wave by wave, and knows for each host how far it came.

A connection that is cut leaves 'unknown': the host is asked again when it answers.  A
host whose worker is gone is looked at again, and the rest is done by another.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from fabfile.cloud import qos, servers, volume_services, volume_types
from fabfile.core import journal
from fabfile.core.answers import unasked
from fabfile.core.contract import (
    CLOUD,
    Change,
    Failed,
    Interrupted,
    Json,
    Locked,
    Lost,
    Message,
    Plan,
    Read,
    Stop,
    Unknown,
    Unproved,
)
from fabfile.core.text import counted
from fabfile.flow import gather
from fabfile.flow.session import PATIENCE, Session
from fabfile.flow.terminal import outcomes

DEADLINE = 3600
"""Seconds that one host's part of a wave may take, a package manager's time aside.

More than the agent waits for units that need long to stop and to start (core/remote/units.py).
"""
ASK_AGAIN = 60
"""Seconds for which a host that was cut off is asked again."""

Numbered = Sequence[tuple[int, Change]]


class Again(NamedTuple):
    """A second look at hosts in the middle of a run.

    changes: {host: what would be planned for it now}.  done: {host: this run's steps that were
    done there}, by the hosts' own records.  faults: {host: why} of those that did not say.
    number: the run's from now on, so that the hosts refuse what a lost worker still sends.
    """

    number: float
    changes: Mapping[str, Sequence[Change]]
    done: Mapping[str, Collection[int]]
    faults: Mapping[str, Stop]


class Gate(Protocol):
    """What a batch has to pass before the next one begins."""

    def passed(self, hosts: Collection[str]) -> None:
        """Tries the hosts on which all was done.  Raises Unproved where it does not pass."""

    def closed(self, hosts: Collection[str], why: Stop) -> Stop:
        """Takes a batch back; what ends the run."""


class Executor:
    """One plan on its way: what was done of it, outcomes by host.

    then: {host: what is read there once all is done}.  failed: {host: why} of those that the
    run goes on without; more come in here.  resurvey: looks at hosts whose worker is gone.
    """

    def __init__(  # noqa: PLR0913, PLR0917 (the parts of a run)
        self,
        session: Session,
        plan: Plan,
        record: journal.Journal,
        number: int,
        then: Mapping[str, Sequence[Read]],
        failed: dict[str, Stop],
        resurvey: Callable[[Collection[str]], Again],
        gate: Gate | None = None,
    ) -> None:
        self._session, self._plan, self._record, self._then = session, plan, record, then
        self._failures, self._resurvey, self._gate = failed, resurvey, gate
        self.seen = gather.FactCollector(
            {session.site.host(name): reads for name, reads in then.items()}
        )
        self._common = {
            "run": record.id,
            "site": session.site.name,
            "number": number,
            "who": f"run {record.id} of {journal.who()}",
            "patience": PATIENCE,
            "deadline": DEADLINE,
            "log": True,
            "prunes": session.task != "undo",
        }
        self.done: dict[str, int] = {}
        self._steps_done: set[int] = set()
        self._begun: set[str] = set()

    def all(self) -> None:
        """Every wave, its computes in batches; more faults than are borne stop before the next.

        Raises Interrupted, Unknown, Locked, Failed or Unreachable, the first that fits.
        """
        waves = self._plan.waves()
        last = {host: number for number, wave in enumerate(waves) for host in wave}
        for number, wave in enumerate(waves):
            cloud = wave.pop(CLOUD, [])
            there = {host: work for host, work in wave.items() if host not in self._failures}
            for batch in self._session.rollout.batches(there):
                self._batch(batch, {host for host in batch if last[host] == number})
            for step, change in cloud:
                self._cloud(step, change)

    def _batch(self, batch: Mapping[str, Numbered], ready: Collection[str]) -> None:
        """One batch, through the gate where there is one: what does not pass is taken back."""
        if self._gate is None:
            self._hosts(batch, ready)
            return
        try:
            self._hosts(batch, ready)
            self._gate.passed(set(ready) - set(self._failures))
        except (Failed, Unproved) as why:
            raise self._gate.closed(set(batch), why) from why

    def planned(self) -> Counter[str]:
        """{host: how many changes}."""
        return Counter(change.host for change in self._plan.changes)

    def recap(self) -> list[str]:
        """How far each host came; hosts that came as far are in one line."""
        return outcomes.recap(self.planned(), self.done, self._begun, self._failures)

    # The hosts

    def _hosts(self, wave: Mapping[str, Numbered], ready: Collection[str]) -> None:
        """One wave; ready: the hosts that are looked at again when it is done."""
        works = {
            host: {
                **self._common,
                "ways": self._session.site.platform_of(self._session.site.host(host)).ways,
                "steps": [as_step(i, c) for i, c in changes],
                "then": gather.as_data(self._then[host]) if host in ready else [],
            }
            for host, changes in wave.items()
        }
        cut = self._session.engine.apply(works, self._listener(wave))
        self._begun |= set(wave)
        for host, fault in cut.items():
            if not isinstance(fault, (Unknown, Interrupted)):
                self._kept_out(host, fault)
        lost = {h: f for h, f in cut.items() if isinstance(f, Lost) and h not in self._failures}
        unknown = [host for host, f in cut.items() if isinstance(f, Unknown) and host not in lost]
        self._session.fleet.conversations.raise_if_stopped()
        if unknown:
            self._ask_again(unknown)
        if lost:
            self._take_over({host: wave[host] for host in lost}, lost, ready)
        for host, fault in self.seen.faults().items():
            self._kept_out(host, fault)
        self._session.rollout.raise_if_stopped(self._failures)

    def _kept_out(self, host: str, fault: Stop) -> None:
        """A fault that is no step's."""
        if host not in self._failures:
            self._record.event("failed", host=host, why=outcomes.cause(host, fault))
            self._failed(host, fault)

    def _failed(self, host: str, fault: Stop) -> None:
        self._failures.setdefault(host, fault)

    def _listener(self, wave: Mapping[str, Numbered]) -> Callable[[str, Message], None]:
        changes = {number: change for numbered in wave.values() for number, change in numbered}

        def on_message(host: str, message: Message) -> None:
            if message["t"] == "busy":
                self._kept_out(host, Locked(host=host, found=f"{message['who']} is at work there"))
                return
            if message["t"] == "refused":
                self._kept_out(host, Failed(host=host, found=message["why"]))
                return
            if message["t"] in ("read", "part"):
                self.seen.on_message(host, message)
                return
            if message.get("step") not in changes:
                raise unasked(host)
            change = changes[message["step"]]
            self._begun.add(host)
            why = {"why": message["why"]} if "why" in message else {}
            self._record.event(
                message["t"], host=host, step=message["step"], thing=change.thing, **why
            )
            if message["t"] == "done":
                self._steps_done.add(message["step"])
                self._count(host, change)
            elif message["t"] == "failed":
                self._failed(
                    host, Failed(host=host, subject=change.thing, found=str(message["why"]))
                )
                self._session.screen.step(host, f"FAILED {_words(change)}")

        return on_message

    def _ask_again(self, hosts: Sequence[str]) -> None:
        """What the hosts that were cut off say of this run, as soon as they answer."""
        for host in hosts:
            self._record.event("unknown", host=host)
            self._session.screen.step(host, "UNKNOWN: the connection was cut; asking again")
        until, found = time.monotonic() + ASK_AGAIN, dict.fromkeys(hosts, "")
        while not all(found.values()) and time.monotonic() < until:
            found |= self._steps_of([host for host, text in found.items() if not text])
            time.sleep(1)
        for host, text in found.items():
            known = text or "it does not answer, and what was done there is not known"
            again = "run it again: it begins with what is"
            self._failed(
                host, Unknown(host=host, found=f"the connection was cut; {known}; {again}")
            )

    def _take_over(
        self, wave: Mapping[str, Numbered], lost: Mapping[str, Stop], ready: Collection[str]
    ) -> None:
        """Looks at hosts whose worker is gone, and does what is still to be done there."""
        for host, fault in lost.items():
            self._record.event("taken over", host=host, why=outcomes.cause(host, fault))
        again = self._resurvey(set(wave))
        self._common["number"] = again.number
        rest = {host: self._rest(host, steps, again, lost[host]) for host, steps in wave.items()}
        there = {
            host: steps
            for host, steps in rest.items()
            if host not in self._failures and (steps or host in ready)
        }
        if there:
            self._hosts(there, ready)

    def _rest(self, host: str, numbered: Numbered, again: Again, lost: Stop) -> Numbered:
        """One host's steps that are still to be done; tells what became of the others."""
        if host in again.faults:
            why = f"{outcomes.cause(host, lost)}, and what it did is not known"
            why += f": {outcomes.cause(host, again.faults[host])}"
            self._kept_out(host, Unknown(host=host, found=why))
            return []
        now = again.changes.get(host, ())
        left, odd = still_to_do(numbered, again.done.get(host, ()), now)
        if odd:
            named = ", ".join(sorted({change.thing for change in odd}))
            self._kept_out(
                host, Failed(host=host, subject=named, found="changed since the plan was made")
            )
            return []
        self._found_done(host, [step for step in numbered if step not in left])
        return left

    def _found_done(self, host: str, numbered: Numbered) -> None:
        """Steps that were done, and of which the word was lost with the worker."""
        for number, change in numbered:
            if number not in self._steps_done:
                self._steps_done.add(number)
                self._record.event("done", host=host, step=number, thing=change.thing)
                self._count(host, change)

    def _steps_of(self, hosts: Sequence[str]) -> dict[str, str]:
        """{host: what it did of this run} of those that answer."""
        read = Read("run", "run", {"run": self._record.id})
        answers, faults = self._session.asked(
            {self._session.site.host(h): [read] for h in hosts}, True
        )
        return {
            host: self._found_again(host, seen["run"])
            for host, seen in answers.items()
            if host not in faults
        }

    def _found_again(self, host: str, steps: Sequence[Mapping[str, Json]]) -> str:
        count = sum(step["state"] == "done" for step in steps)
        begun = [step["thing"] for step in steps if step["state"] == "begun"]
        self.done[host] = max(self.done.get(host, 0), count)
        self._record.event("asked again", host=host, done=count, begun=begun)
        unfinished = f", {', '.join(begun)} begun and not finished" if begun else ""
        return f"it answers again: {counted(self.done[host], 'change')} made there{unfinished}"

    # The cloud

    def _cloud(self, step: int, change: Change) -> None:
        self._session.fleet.conversations.raise_if_stopped()
        self._begun.add(CLOUD)
        self._record.event("begin", host=CLOUD, step=step, thing=change.thing)
        verbs = {**volume_types.VERBS, **qos.VERBS, **servers.VERBS, **volume_services.VERBS}
        verbs[change.verb](self._session.connection(), **change.args)
        self._record.event("done", host=CLOUD, step=step, thing=change.thing)
        self._count(CLOUD, change)

    def _count(self, host: str, change: Change) -> None:
        self.done[host] = self.done.get(host, 0) + 1
        self._session.screen.done(host, _words(change))


def as_step(number: int, change: Change) -> dict[str, Json]:
    """A change as it goes to an agent; number: its place in the plan."""
    return {
        "id": number,
        "verb": change.verb,
        "args": dict(change.args),
        "restarts": list(change.restarts),
        "thing": change.thing,
        "sentence": change.sentence,
        "sign": change.sign,
        "kind": change.kind,
        "subject": change.subject,
        "stays": change.stays,
        "wave": change.wave,
    }


def still_to_do(
    numbered: Numbered, done: Collection[int], now: Sequence[Change]
) -> tuple[list[tuple[int, Change]], list[Change]]:
    """(what is left of one host's steps, those of it that would be another step now).

    done: the numbers that were done.  now: what would be planned for the host.
    A step that is neither done nor planned any more had its effect.
    """
    things = {(change.thing, change.verb) for change in now}
    open_ = [step for step in numbered if step[0] not in done]
    left = [(number, change) for number, change in open_ if change in now]
    odd = [c for _, c in open_ if c not in now and (c.thing, c.verb) in things]
    return left, odd


def _words(change: Change) -> str:
    return f"{change.sign} {change.thing}: {change.sentence}"
