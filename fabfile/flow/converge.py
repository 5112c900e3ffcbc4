"""Probe, plan, apply, verify, record: what every task does.

Knows the order and the outcome; what must be true is the resources' to say, how a
host is reached is core's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from fabfile import context as travelling
from fabfile.core import journal
from fabfile.core.contract import (
    CHANGES_PENDING,
    CLOUD,
    INV,
    BadInput,
    Change,
    Facts,
    Failed,
    Host,
    Json,
    Plan,
    Read,
    Seen,
    Stop,
    Unproved,
    Unreachable,
)
from fabfile.core.text import counted, counted_hosts
from fabfile.flow import gather, history
from fabfile.flow import limit as limits
from fabfile.flow.executor import Again, Executor, Gate
from fabfile.flow.session import Session
from fabfile.flow.settle import settle
from fabfile.flow.terminal import outcomes
from fabfile.model import releases
from fabfile.resources import secret_uuid
from fabfile.resources.resource import Resource

_TAKEN_OVER = 0.001
"""What is added to a run's number where a worker was lost; the next run's is 1 higher."""


class Converger:
    """One task's stages at work on the hosts of a session: facts, plan and outcome of a run.

    gate: makes what has to be passed between two batches, where there is such a thing.
    failed: the hosts that it goes on without, and why; those that others left before it.
    """

    def __init__(
        self,
        session: Session,
        gate: Callable[[Converger, journal.Journal], Gate] | None = None,
        failed: dict[str, Stop] | None = None,
    ) -> None:
        self.session, self._make_gate = session, gate
        self.site, self.screen = session.site, session.screen
        self.failed: dict[str, Stop] = {} if failed is None else failed
        self.facts = Facts({})
        self._record: journal.Journal | None = None
        self._stages: Sequence[Resource] = ()
        self._other_release: releases.Other | None = None

    # Probe

    def probe(self, stages: Sequence[Resource], seen: Mapping[str, Seen] | None = None) -> Facts:
        """Asks the clusters first, then every other host once for all stages.

        seen: hosts' answers that are still true, so that these are not asked again.
        """
        scope = [h for h in self.site.all_hosts() if self._in_scope(h)]
        out = {CLOUD, *self.failed}
        answers = {name: dict(known) for name, known in (seen or {}).items() if name not in out}
        asked = {h: gather.questions(self.site, stages, h) for h in scope}
        asked = {h: reads for h, reads in asked.items() if h.name not in answers}
        if asked:
            self.screen.step("-", f"reading {counted_hosts([host.name for host in asked])}")
        cluster_side = {admin: asked.pop(admin, []) for admin in self.site.admins}
        for part in (cluster_side, asked):
            answers |= self._read({h: reads for h, reads in part.items() if reads})
        asked_of_cloud = (
            gather.questions(self.site, stages, Host(CLOUD, ())) if self.site.cloud else []
        )
        if asked_of_cloud:
            answers[CLOUD] = self.session.ask_cloud(asked_of_cloud)
        answers = self.session.with_supplied(answers)
        limits.refuse_where_input_is_kept(answers)
        settled = settle(self.site, Facts(answers))
        travelling.remember(self.session.context, settled.known)
        known = travelling.recall(self.session.context)
        facts = self.facts = Facts(answers, known, settled.table)
        self._other_release = settled.other
        more = [read for stage in stages for read in stage.follow_up_reads(self.site, facts)]
        if more and self.site.cloud:
            answers[CLOUD] = {**answers.get(CLOUD, {}), **self._of_cloud(more)}
        return self.facts

    def _of_cloud(self, asked: Sequence[Read]) -> dict[str, Json]:
        """As the session has it; nothing where its API fails, and no read of these is needed."""
        try:
            return self.session.ask_cloud(asked)
        except (BadInput, Failed, Unreachable) as stop:
            if any(read.needed for read in asked):
                raise
            self.screen.say(f"Warning: {stop}")
            return {}

    def _in_scope(self, host: Host) -> bool:
        """Whether it is read: those of the session, but the ones that failed."""
        return host.name not in self.failed and self.session.in_scope(host)

    def _read(self, asked: Mapping[Host, Sequence[Read]]) -> dict[str, dict[str, Json]]:
        """As ask(), but goes on without the hosts that may fail."""
        answers, faults = self.session.asked(asked)
        self.leave_out(faults)
        return {name: seen for name, seen in answers.items() if name not in faults}

    def leave_out(self, faults: Mapping[str, Stop]) -> None:
        """Goes on without these hosts.  Raises what kept them, where that is not borne."""
        self.failed |= faults
        self.session.rollout.raise_if_stopped(self.failed)
        for host, why in outcomes.causes(faults).items():
            self.screen.event("left out", host=host, why=why)

    # Plan

    def plan(self, stages: Sequence[Resource], facts: Facts) -> Plan:
        """All stages as one plan; restarts last in their wave."""
        changes: list[Change] = []
        notes = [self._other_release.text] if self._other_release else []
        for stage in stages:
            planned = stage.planned(self.site, facts, changes)
            changes += [change for change in planned if self._may_touch(change)]
            notes += stage.notes(self.site, facts, changes)
        notes += secret_uuid.unusable(facts)
        notes += secret_uuid.left_alone(self.site, facts)
        notes += secret_uuid.unseen(self.site, facts)
        return Plan(tuple(changes), tuple(notes), outcomes.causes(self.failed))

    def _may_touch(self, change: Change) -> bool:
        return change.host in self.session.limited or (
            change.host == CLOUD and not self.session.options.limit
        )

    # The whole

    def preview(self, stages: Sequence[Resource]) -> Plan:
        """The plan, shown; nothing is written anywhere."""
        try:
            plan = self.plan(stages, self.probe(stages))
        except Stop as stop:
            stop.add("nothing was written anywhere")
            raise
        for warning in self.session.engine.warnings():
            self.screen.say(f"Warning: {warning}")
        shown = {"changes": _as_shown(plan), "notes": plan.notes, "left_out": plan.left_out}
        self.screen.event("plan", site=self.site.name, **shown)
        if plan:
            self.screen.plan(plan, self.session.options.diff)
        else:
            self.screen.nothing(plan)
        return plan

    def converge(self, stages: Sequence[Resource]) -> Plan:
        """All five steps; returns the plan that was carried out (or is pending).

        Raises Stop; with --check, nothing is written.
        """
        if self.session.options.yes and not self.session.options.check:
            with self.session.locked() as number:
                plan = self.preview(stages)
                return self.apply(stages, plan, number) if plan else plan
        plan = self.preview(stages)
        if self.session.options.check or not plan:
            return plan
        self.session.confirm()
        return self.carry_out(stages, journal.as_data(plan.changes))

    def apply_kept(self, stages: Sequence[Resource], kept: Sequence[Mapping[str, Json]]) -> Plan:
        """A kept plan: shown and asked for (unless --yes), then carried out, or stale."""
        if not self.session.options.yes:
            now = self.preview(stages)
            _refuse_stale([c for c in kept if c.get("host") not in self.failed], now)
            self.session.confirm()
        return self.carry_out(stages, kept)

    def carry_out(self, stages: Sequence[Resource], expected: Sequence[Mapping[str, Json]]) -> Plan:
        """Looks once more, under the site's lock, and does what was shown; nothing else.

        expected: the plan's changes, as the journal writes them.
        Raises BadInput ('stale') where the plan would now be another one.
        """
        with self.session.locked() as number:
            shown = set(self.failed)
            plan = self.plan(stages, self.probe(stages))
            new = {host: why for host, why in plan.left_out.items() if host not in shown}
            self.screen.left_out(new)
            _refuse_stale([c for c in expected if c.get("host") not in self.failed], plan)
            return self.apply(stages, plan, number)

    def _recorded(self, **what: Json) -> journal.Journal:
        """A record of this run on this side, and the hosts that it goes on without."""
        record = journal.Journal(
            self.session.id,
            site=self.site.name,
            file=str(self.session.path.resolve()),
            task=self.session.task,
            limit=self.session.options.limit,
            **what,
        )
        for host, fault in self.failed.items():
            record.event("left out", host=host, why=outcomes.cause(host, fault))
        record.on_event = self.screen.on_event
        return record

    def apply(self, stages: Sequence[Resource], plan: Plan, number: int) -> Plan:
        """Does a plan that was made under the site's lock, looks again, and records it all.

        number: the lock's.  Raises Stop; Unproved where the second look finds work.
        """
        record = self._record = self._recorded(number=number)
        record.plan(plan)
        again = [stage.verify_with or stage for stage in stages]
        work, self._stages = self._executor(plan, record, number, again), stages
        try:
            with self.session.finishing(), self.screen.at_work("done", work.planned()):
                work.all()
            left = self.plan(again, self.probe(again, self._still_true(again, work.seen.values)))
            record.event("verified", left=len(left.changes))
            if left:
                self.screen.plan(left, True)
                raise Unproved("after the work, a second look found the above still to be done")
        except Stop as stop:
            self._ended(record, work, stop.code, str(stop))
            raise
        self._ended(record, work, max((fault.code for fault in self.failed.values()), default=0))
        self._say_done(work)
        return plan

    def _executor(
        self, plan: Plan, record: journal.Journal, number: int, again: Sequence[Resource]
    ) -> Executor:
        site = self.site
        return Executor(
            self.session,
            plan,
            record,
            number,
            {name: gather.questions(site, again, site.host(name)) for name in plan.hosts()},
            self.failed,
            self.resurvey,
            self._make_gate(self, record) if self._make_gate else None,
        )

    def _say_done(self, work: Executor) -> None:
        task, run = self.session.task, self.session.id
        self.screen.say(
            f"Done: {counted(sum(work.done.values()), 'change')}, at most "
            f"{counted(max(self.session.fleet.trips.values()), 'round trip')} a host."
        )
        if task != "undo":
            self.screen.say(f"To take them back: {INV} undo --run {run}", whole=True)

    def take_back(self, hosts: Collection[str]) -> Plan:
        """What this run did on these hosts, undone as inv undo does it, by a run of its own.

        Under this one's lock, and over its connections.  Raises Stop.
        """
        options = replace(
            self.session.options,
            limit=",".join(sorted(hosts)),
            check=False,
            diff=False,
            yes=True,
            serial="",
            max_fail="0",
            engine="",
            canary=False,
        )
        session = self.session.sharing(options, "undo")
        back = Converger(session)
        stages = [history.undone(self.session.id, self.site, session.limited).resource]
        plan = back.plan(stages, back.probe(stages))
        if plan:
            self.screen.plan(plan, False)
            back.apply(stages, plan, session.under_lock["number"])
        return plan

    def _still_true(
        self, stages: Sequence[Resource], seen: Mapping[str, Seen]
    ) -> dict[str, Mapping[str, Json]]:
        """What need not be asked again after the work; seen: what hosts said at its end."""
        again = {name for stage in stages for name in stage.reread_hosts(self.site)}
        known = {name: found for name, found in self.facts.hosts.items() if name not in again}
        return {**known, **{name: found for name, found in seen.items() if name not in again}}

    def resurvey(self, hosts: Collection[str]) -> Again:
        """What hosts say in the middle of this run, and what would be planned for them."""
        stages, lock = self._stages, self.session.under_lock
        lock["number"] = round(lock["number"] + _TAKEN_OVER, 3)
        this = Read("this run", "run", {"run": self.session.id})
        asked = {
            host: [*gather.questions(self.site, stages, host), this]
            for host in map(self.site.host, sorted(hosts))
        }
        answers, faults = self.session.asked(asked, quietly=True)
        answers = self.session.with_supplied(answers)
        seen = {host: found for host, found in answers.items() if host not in faults}
        done = {
            host: {s["step"] for s in found["this run"] if s["state"] == "done"}
            for host, found in seen.items()
        }
        facts = Facts({**self.facts.hosts, **seen}, self.facts.known, self.facts.release)
        changes: dict[str, list[Change]] = {}
        for change in self.plan(stages, facts).changes:
            changes.setdefault(change.host, []).append(change)
        return Again(lock["number"], changes, done, faults)

    def _ended(self, record: journal.Journal, work: Executor, code: int, why: str = "") -> None:
        more = {"why": why} if why else {}
        failed = outcomes.causes(self.failed)
        record.event("ended", code=code, done=work.done, failed=failed, **more)
        for line in work.recap():
            self.screen.say(f"  {line}")

    def report(self, plan: Plan) -> int:
        """Prints --json's result; the exit code.

        Raises what kept hosts from being read or worked on, if there are any.
        """
        pending = self.session.options.check and bool(plan)
        self.screen.json(
            {
                "site": self.site.name,
                "changed": bool(plan) and not pending,
                "pending": pending,
                "changes": _as_shown(plan),
                "notes": plan.notes,
                "run": self.session.id if plan and not pending else None,
                "trips": self.session.fleet.trips,
                "failed": outcomes.causes(self.failed),
            }
        )
        if self.failed:
            raise self._without()
        return CHANGES_PENDING if pending else 0

    def _without(self) -> Stop:
        """That hosts are left; recorded, so that --limit @failed finds them."""
        if self.session.options.check:
            return outcomes.left(self.failed, "nothing was written anywhere")
        if not self._record:
            self._record = self._recorded()
            failed = outcomes.causes(self.failed)
            code = max(fault.code for fault in self.failed.values())
            self._record.event("ended", code=code, failed=failed)
        return outcomes.left(self.failed, "for these alone: --limit @failed")


def _as_shown(plan: Plan) -> list[dict[str, Json]]:
    return [
        {"host": c.host, "thing": c.thing, "sign": c.sign, "sentence": c.sentence, "diff": c.diff}
        for c in plan.changes
    ]


def _refuse_stale(expected: Sequence[Mapping[str, Json]], now: Plan) -> None:
    """Raises BadInput naming each change that only one of the two plans has."""
    old, new = list(expected), journal.as_data(now.changes)
    if old == new:
        return
    keys = [{_key(c) for c in changes} for changes in (old, new)]
    odd = [c for c in old if _key(c) not in keys[1]] + [c for c in new if _key(c) not in keys[0]]
    named = sorted({f"{c.get('host')}: {c.get('thing')}" for c in odd})
    raise BadInput(
        "stale: since the plan was made, this changed:\n  "
        + "\n  ".join(named or ["the order of the changes"])
        + "\nnothing was written; plan anew"
    )


def _key(change: Mapping[str, Json]) -> str:
    """What tells a change from others: a large fleet's are not compared each with each."""
    return json.dumps(change, sort_keys=True)
