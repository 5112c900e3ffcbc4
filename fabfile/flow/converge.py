"""Probe, plan, apply, verify, record: what every task does.

Knows the order and the outcome; what must be true is the resources' to say, how a
host is reached is core's.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fabfile import context as travelling
from fabfile.core import journal, site_file
from fabfile.core.contract import (
    CHANGES_PENDING,
    CLOUD,
    BadInput,
    Change,
    Facts,
    Host,
    NeedsPassword,
    Plan,
    Read,
    Secret,
    Seen,
    Stop,
    Unproved,
)
from fabfile.flow import engine, gather, history, interrupts, rollout
from fabfile.flow import limit as limits
from fabfile.flow.executor import PATIENCE, Again, Applying
from fabfile.flow.terminal import outcomes
from fabfile.flow.terminal.screen import Screen, answer, attended
from fabfile.model import releases
from fabfile.model import site as sites
from fabfile.resources import secret_uuid

LOCK_DEADLINE = 86400
_TAKEN_OVER = 0.001
"""What is added to a run's number where a worker was lost; the next run's is 1 higher."""


@dataclass(frozen=True)
class Options:
    """The flags that all tasks have in common."""

    site: str = ""
    limit: str = ""
    check: bool = False
    diff: bool = False
    yes: bool = False
    json: bool = False
    forks: str = ""
    serial: str = ""
    max_fail: str = ""
    engine: str = ""
    canary: bool = False

    @property
    def words_of_site(self) -> str:
        """' --site FILE' for a command that is to be typed, where the operator gave one."""
        return f" --site {shlex.quote(self.site)}" if self.site else ""


@dataclass
class Run:
    """One task at work on one site: connections, facts and keys of this run.

    failed: the hosts that it goes on without, and why.
    """

    context: Any
    options: Options
    task: str = ""
    screen: Screen = field(init=False)

    def __post_init__(self) -> None:
        self.screen = Screen(self.options.json)
        self.path = site_file.locate(self.options.site)
        self.site = sites.check(site_file.load(self.path), str(self.path), site_file.platforms())
        limit = limits.resolved(self.site, self.options.limit)
        self.options = replace(self.options, limit=limit)
        self.limited = limits.limited(self.site, limit)
        self.pace = rollout.of(
            self.site,
            self.limited,
            self.options.forks,
            self.options.serial,
            self.options.max_fail,
            self.options.canary,
        )
        if self.options.canary:
            self._refuse_without_canary()
        self.failed: dict[str, Stop] = {}
        self._record: journal.Journal | None = None
        self._tables = site_file.releases()
        self.fleet = self._fleet()
        self.id = journal.new_id()
        self.engine = self._engine()
        self.facts = Facts({})
        self._under_lock: dict[str, Any] = {}
        self._stages: Sequence[Any] = ()

    def _refuse_without_canary(self) -> None:
        from fabfile.flow.proof import verify  # noqa: PLC0415 (it proves by runs)

        verify.refuse_without_means(self.site, "--canary")

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *why: object) -> None:
        """Closes every connection that was opened."""
        self.close()

    def close(self) -> None:
        """Closes every connection that was opened."""
        self.engine.close()
        self.fleet.close()

    def _fleet(self) -> Any:
        return engine.fleet(self.site.all_hosts(), self.site.ssh, self.pace.forks)

    def _engine(self) -> engine.Engine:
        """What --engine asks for.  Raises BadInput."""
        if self.options.engine in ("", "local"):
            return engine.Local(self.fleet, self.site.admin)
        if self.options.engine != "dask":
            raise BadInput(f"--engine: expected local or dask, found {self.options.engine!r}")
        from fabfile.workers import dask_engine, pool  # noqa: PLC0415 (an extra, slow to load)

        return pool.Elsewhere(dask_engine.Dask(self.site.dask), self)

    # Probe

    def probe(self, stages: Sequence[Any], seen: Mapping[str, Seen] | None = None) -> Facts:
        """Asks the cluster first, then every other host once for all stages.

        seen: hosts' answers that are still true, so that these are not asked again.
        """
        admin = self.site.admin
        scope = [h for h in self.site.all_hosts() if self.in_scope(h)]
        out = {CLOUD, *self.failed}
        answers = {name: dict(known) for name, known in (seen or {}).items() if name not in out}
        asked = {h: self.questions(stages, h) for h in scope}
        ids = {read.id for reads in asked.values() for read in reads}
        asked = {h: reads for h, reads in asked.items() if h.name not in answers}
        if asked:
            self.screen.step("-", f"reading {len(asked)} hosts")
        cluster_side = {admin: asked.pop(admin, [])}
        for part in (cluster_side, asked):
            answers |= self._read({h: reads for h, reads in part.items() if reads})
        asked_of_cloud = self.questions(stages, Host(CLOUD, ())) if self.site.cloud else []
        if asked_of_cloud:
            answers[CLOUD] = self._ask_cloud(asked_of_cloud)
        facts = Facts(answers)
        limits.refuse_where_input_is_kept(answers)
        limits.refuse_one_host_under_two_names(answers)
        known = {"apt.key": text_of(self.site.packages.key)} if self.site.packages.key else {}
        if ids & secret_uuid.IDS:
            known |= secret_uuid.resolve(self.site, facts)
        travelling.remember(self.context, known)
        asks = releases.asked(facts)
        table = releases.choose(self.site, facts, self._tables)[1] if asks else {}
        facts = self.facts = Facts(answers, travelling.recall(self.context), table)
        closer = [r for s in stages if hasattr(s, "closer") for r in s.closer(self.site, facts)]
        if closer and self.site.cloud:
            answers[CLOUD] = {**answers.get(CLOUD, {}), **self._ask_cloud(closer)}
        return self.facts

    def questions(self, stages: Sequence[Any], host: Host) -> list[Read]:
        """What all stages have to know of a host, each thing once."""
        asked: dict[str, Read] = {}
        for read in (read for stage in stages for read in stage.reads(self.site, host)):
            asked[read.id] = read.together(asked.get(read.id, read))
        if host.name != CLOUD:
            asked["host"] = Read("host", "host")
        return list(asked.values())

    def in_scope(self, host: Host) -> bool:
        """Whether it is read: the limited ones, and where the identity is told."""
        return host.name not in self.failed and (
            host.name in self.limited
            or host == self.site.admin
            or bool({"glance", "cinder"} & set(host.roles))
        )

    def _read(self, asked: Mapping[Host, Sequence[Read]]) -> dict[str, dict[str, Any]]:
        """As ask(), but goes on without the hosts that may fail."""
        answers, faults = self.asked(asked)
        self.leave_out(faults)
        return {name: seen for name, seen in answers.items() if name not in faults}

    def leave_out(self, faults: Mapping[str, Stop]) -> None:
        """Goes on without these hosts.  Raises what kept them, where that is not borne."""
        self.failed |= faults
        self.go_on()
        for host, why in outcomes.causes(faults).items():
            self.screen.event("left out", host=host, why=why)

    def go_on(self) -> None:
        """Raises the hosts' faults as one, where they are more than --max-fail allows."""
        if not self.failed or self.pace.bears(self.failed):
            return
        allowed = self.pace.allowed
        raise outcomes.worst(
            self.failed,
            f"--max-fail bears {allowed} computes that fail, and no other host" if allowed else "",
        )

    def ask(
        self, asked: Mapping[Host, Sequence[Read]], deadline: int = gather.DEADLINE
    ) -> dict[str, dict[str, Any]]:
        """{host: {read id: value}}; a read 'secret' comes back as a Secret.

        Raises Unreachable, Locked, Interrupted, or Failed for what could not look.
        """
        answers, faults = self.asked(asked, deadline=deadline)
        if faults:
            raise outcomes.worst(faults)
        return answers

    def asked(
        self,
        asked: Mapping[Host, Sequence[Read]],
        quietly: bool = False,
        deadline: int = gather.DEADLINE,
    ) -> tuple[dict[str, dict[str, Any]], dict[str, Stop]]:
        """As ask(), and {host: why} of those that did not answer all.  Raises Interrupted.

        quietly: does not ask for a password.
        """
        answers = gather.Answers(asked)
        cut = self.hear(asked, answers, quietly, deadline)
        return answers.values, answers.wanting(cut)

    def hear(
        self,
        asked: Mapping[Host, Sequence[Read]],
        answers: gather.Answers,
        quietly: bool = False,
        deadline: int = gather.DEADLINE,
    ) -> dict[str, Stop]:
        """Lets answers hear what the hosts say; {host: why} of those that did not come to an end.

        Raises Interrupted.  quietly: does not ask for a password.
        """
        works = gather.works(asked, self._under_lock, deadline)
        with self.finishing():
            cut = self._work(works, answers)
            needy = [n for n, fault in cut.items() if isinstance(fault, NeedsPassword)]
            if needy and not quietly and attended():
                self._ask_password(needy)
                for name in needy:
                    del cut[name]
                cut |= self._work({name: works[name] for name in needy}, answers)
        self.fleet.conversations.go_on()
        return cut

    def _work(
        self, works: Mapping[str, dict[str, Any]], answers: gather.Answers
    ) -> dict[str, Stop]:
        """Asks hosts, while the screen shows how many have answered."""
        wanted = {host: len(work["reads"]) for host, work in works.items()}
        with self.screen.at_work("read", wanted) as told:

            def heard(host: str, message: Mapping[str, Any]) -> None:
                answers.heard(host, message)
                told(host, str(message["t"]))

            found = self.engine.probe(works, heard)
            for host in found:
                told(host, "failed")
            return found

    def _ask_password(self, hosts: Sequence[str]) -> None:
        """Once, for all hosts; it goes to sudo's standard input and nowhere else."""
        try:
            typed = getpass.getpass(f"sudo's password on {', '.join(hosts)}: ")
        except EOFError:
            raise BadInput("sudo: no password was typed; nothing was written") from None
        self.fleet.give(Secret(typed))

    def finishing(self) -> Any:
        """While this holds, a signal ends the work at the next step's end, and is raised then."""
        return interrupts.finishing(
            self.fleet.conversations.stop, self.screen.say, self.screen.leave
        )

    def connection(self) -> Any:
        """The site's cloud, by openstacksdk."""
        from fabfile.cloud import connection  # noqa: PLC0415

        return connection.connect(str(self.site.cloud), self.site.clouds_yaml)

    def _ask_cloud(self, asked: Sequence[Read]) -> dict[str, Any]:
        from fabfile.cloud import holdings  # noqa: PLC0415

        connection = self.connection()
        known = [read for read in asked if read.verb in holdings.READS]  # the rest: any host's
        return {read.id: holdings.READS[read.verb](connection) for read in known}

    # Plan

    def plan(self, stages: Sequence[Any], facts: Facts) -> Plan:
        """All stages as one plan; restarts last in their wave."""
        changes: list[Change] = []
        notes: list[str] = []
        for stage in stages:
            more = {"changes": changes} if getattr(stage, "SEES_CHANGES", False) else {}
            changes += [c for c in stage.plan(self.site, facts, **more) if self._may_touch(c)]
            if hasattr(stage, "notes"):
                notes += stage.notes(self.site, facts, changes)
        if self.failed:
            notes += secret_uuid.unseen(self.site, facts)
        return Plan(tuple(changes), tuple(notes), outcomes.causes(self.failed))

    def _may_touch(self, change: Change) -> bool:
        return change.host in self.limited or (change.host == CLOUD and not self.options.limit)

    # The whole

    def look(self, stages: Sequence[Any]) -> Plan:
        """The plan, shown; nothing is written anywhere."""
        try:
            plan = self.plan(stages, self.probe(stages))
        except Stop as stop:
            stop.args = (f"{stop}\nnothing was written anywhere",)
            raise
        for warning in self.engine.warnings():
            self.screen.say(f"Warning: {warning}")
        shown = {"changes": _as_shown(plan), "notes": plan.notes, "left_out": plan.left_out}
        self.screen.event("plan", site=self.site.name, **shown)
        if plan:
            self.screen.plan(plan, self.options.diff)
        else:
            self.screen.nothing(plan)
        return plan

    def converge(self, stages: Sequence[Any]) -> Plan:
        """All five steps; returns the plan that was carried out (or is pending).

        Raises Stop; with --check, nothing is written.
        """
        if self.options.yes and not self.options.check:
            with self.locked() as number:
                plan = self.look(stages)
                return self.apply(stages, plan, number) if plan else plan
        plan = self.look(stages)
        if self.options.check or not plan:
            return plan
        self.confirm()
        return self.carry_out(stages, journal.as_data(plan.changes))

    def apply_kept(self, stages: Sequence[Any], kept: Sequence[Mapping[str, Any]]) -> Plan:
        """A kept plan: shown and asked for (unless --yes), then carried out, or stale."""
        if not self.options.yes:
            now = self.look(stages)
            _refuse_stale([c for c in kept if c.get("host") not in self.failed], now)
            self.confirm()
        return self.carry_out(stages, kept)

    def carry_out(self, stages: Sequence[Any], expected: Sequence[Mapping[str, Any]]) -> Plan:
        """Looks once more, under the site's lock, and does what was shown; nothing else.

        expected: the plan's changes, as the journal writes them.
        Raises BadInput ('stale') where the plan would now be another one.
        """
        with self.locked() as number:
            shown = set(self.failed)
            plan = self.plan(stages, self.probe(stages))
            new = {host: why for host, why in plan.left_out.items() if host not in shown}
            self.screen.left_out(new)
            _refuse_stale([c for c in expected if c.get("host") not in self.failed], plan)
            return self.apply(stages, plan, number)

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Holds the site's lock, and gives this run's number.  Raises Locked."""
        who = f"run {self.id} ({self.task}) of {journal.who()}"
        work = {"hold": True, "site": self.site.name, "who": who, "deadline": LOCK_DEADLINE}
        admin = self.site.admin.name
        try:
            hold = self.fleet.hold(admin, work)
        except NeedsPassword:
            if not attended():
                raise
            self._ask_password([admin])
            hold = self.fleet.hold(admin, work)
        self._under_lock = {
            "site": self.site.name,
            "number": hold.number,
            "who": who,
            "patience": PATIENCE,
        }
        try:
            yield hold.number
        finally:
            self._under_lock = {}
            hold.release()

    def _recorded(self, **what: Any) -> journal.Journal:
        """A record of this run on this side, and the hosts that it goes on without."""
        record = journal.Journal(
            self.id,
            site=self.site.name,
            file=str(self.path.resolve()),
            task=self.task,
            limit=self.options.limit,
            **what,
        )
        for host, fault in self.failed.items():
            record.event("left out", host=host, why=outcomes.cause(host, fault))
        record.heard = self.screen.heard
        return record

    def apply(self, stages: Sequence[Any], plan: Plan, number: int) -> Plan:
        """Does a plan that was made under the site's lock, looks again, and records it all.

        number: the lock's.  Raises Stop; Unproved where the second look finds work.
        """
        record = self._record = self._recorded(number=number)
        record.plan(plan)
        again = [getattr(stage, "afterwards", stage) for stage in stages]
        then = {name: self.questions(again, self.site.host(name)) for name in plan.hosts()}
        work, self._stages = Applying(self, plan, record, number, then), stages
        if self.options.canary:
            work.gate = self._gate(record)
        try:
            with self.finishing(), self.screen.at_work("done", work.planned()):
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
        self.screen.say(
            f"Done: {sum(work.done.values())} changes, at most {max(self.fleet.trips.values())} "
            f"round trips a host. "
            + ("" if self.task == "undo" else f"To take them back: inv undo --run {self.id}")
        )
        return plan

    def _gate(self, record: journal.Journal) -> Any:
        from fabfile.flow.proof.gate import Gate  # noqa: PLC0415 (it proves by runs)

        return Gate(self, record)

    def take_back(self, hosts: Collection[str]) -> Plan:
        """What this run did on these hosts, undone as inv undo does it, by a run of its own.

        Under this one's lock, and over its connections.  Raises Stop.
        """
        options = replace(
            self.options,
            limit=",".join(sorted(hosts)),
            check=False,
            diff=False,
            yes=True,
            serial="",
            max_fail="0",
            engine="",
            canary=False,
        )
        back = Run(self.context, options, "undo")
        back.close()
        back.fleet, back.screen, back._under_lock = self.fleet, self.screen, self._under_lock
        back.engine = engine.Local(self.fleet, self.site.admin)
        stages = [history.undone(self.id, self.site, back.limited)]
        plan = back.plan(stages, back.probe(stages))
        if plan:
            self.screen.plan(plan, False)
            back.apply(stages, plan, self._under_lock["number"])
        return plan

    def _still_true(
        self, stages: Sequence[Any], seen: Mapping[str, Seen]
    ) -> dict[str, Mapping[str, Any]]:
        """What need not be asked again after the work; seen: what hosts said at its end."""
        anew = {name for s in stages if hasattr(s, "anew") for name in s.anew(self.site)}
        known = {name: found for name, found in self.facts.hosts.items() if name not in anew}
        return {**known, **{name: found for name, found in seen.items() if name not in anew}}

    def look_again(self, hosts: Collection[str]) -> Again:
        """What hosts say in the middle of this run, and what would be planned for them."""
        stages, lock = self._stages, self._under_lock
        lock["number"] = round(lock["number"] + _TAKEN_OVER, 3)
        this = Read("this run", "run", {"run": self.id})
        asked = {
            host: [*self.questions(stages, host), this]
            for host in map(self.site.host, sorted(hosts))
        }
        answers, faults = self.asked(asked, quietly=True)
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

    def _ended(self, record: journal.Journal, work: Applying, code: int, why: str = "") -> None:
        more = {"why": why} if why else {}
        failed = outcomes.causes(self.failed)
        record.event("ended", code=code, done=work.done, failed=failed, **more)
        for line in work.recap():
            self.screen.say(f"  {line}")

    def confirm(
        self,
        question: str = "Do this?",
        alone: str = "nobody is there to ask: give --yes, or --check to look only",
    ) -> None:
        """Asks the operator.  Raises BadInput where nobody is there (alone), or says no."""
        if self.options.yes:
            return
        if not attended():
            raise BadInput(alone)
        if answer(f"{question} Only 'yes' goes on: ") != "yes":
            raise BadInput("not confirmed; nothing was written")

    def report(self, plan: Plan) -> int:
        """Prints --json's result; the exit code.

        Raises what kept hosts from being read or worked on, if there are any.
        """
        pending = self.options.check and bool(plan)
        self.screen.json(
            {
                "site": self.site.name,
                "changed": bool(plan) and not pending,
                "pending": pending,
                "changes": _as_shown(plan),
                "notes": plan.notes,
                "run": self.id if plan and not pending else None,
                "trips": self.fleet.trips,
                "failed": outcomes.causes(self.failed),
            }
        )
        if self.failed:
            raise self._without()
        return CHANGES_PENDING if pending else 0

    def _without(self) -> Stop:
        """That hosts are left; recorded, so that --limit @failed finds them."""
        if self.options.check:
            return outcomes.left(self.failed, "nothing was written anywhere")
        if not self._record:
            self._record = self._recorded()
            failed = outcomes.causes(self.failed)
            code = max(fault.code for fault in self.failed.values())
            self._record.event("ended", code=code, failed=failed)
        return outcomes.left(self.failed, "for these alone: --limit @failed")


def _as_shown(plan: Plan) -> list[dict[str, Any]]:
    return [
        {"host": c.host, "thing": c.thing, "sign": c.sign, "sentence": c.sentence, "diff": c.diff}
        for c in plan.changes
    ]


def _refuse_stale(expected: Sequence[Mapping[str, Any]], now: Plan) -> None:
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


def _key(change: Mapping[str, Any]) -> str:
    """What tells a change from others: a large fleet's are not compared each with each."""
    return json.dumps(change, sort_keys=True)


def text_of(path: str) -> str:
    """The text of a source's key.  Raises BadInput."""
    try:
        return site_file.expanded(path, "packages.key").read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"packages.key: {path}: expected an ASCII-armoured key: {error}",
            subject=f"packages.key: {path}",
            expected="an ASCII-armoured key",
            found=str(error),
        ) from None
