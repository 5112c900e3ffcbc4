"""backup.restore, backup.settle and recover: a record takes the live ones' place.

Knows the order: everything that can go wrong does so beside the live databases, which are
touched last, whole, and kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from fabfile.audit import database_rows
from fabfile.backup import contents
from fabfile.core import journal
from fabfile.core.contract import (
    CHANGES_PENDING,
    BadInput,
    Facts,
    Failed,
    Host,
    Plan,
    Read,
    Stop,
    Unproved,
)
from fabfile.flow.backup import create
from fabfile.flow.converge import Options, Run
from fabfile.flow.inspect import reconcile
from fabfile.flow.proof import verify
from fabfile.flow.terminal.screen import answer, attended
from fabfile.resources import chain, client_packages, cluster

_APART = ".stackrbd-"


def restore(context: Any, flags: Mapping[str, Any], record: str, cloud: str) -> int:
    """Puts a record in the place of the live databases and files."""
    with Run(context, Options(**flags), "backup.restore") as run:
        return Restoring(run, record, bare=False).all(cloud)


def recover(context: Any, flags: Mapping[str, Any], record: str, cloud: str) -> int:
    """A lost controller: restore onto a bare host with packages, integrate, reconcile, verify."""
    began = time.monotonic()
    with Run(context, Options(**flags), "recover") as run:
        said, site = run.screen.say, run.site
        code = Restoring(run, record, bare=True).all(cloud)
        if code:
            return code
    said(f"recover: restored after {_minutes(began)}; now integrate")
    options = {"site": flags.get("site", ""), "json": flags.get("json", False)}
    with Run(context, Options(**options, yes=True), "integrate") as run:
        run.report(run.converge(chain.stages()))
    said(f"recover: integrated after {_minutes(began)}; now reconcile")
    left: Unproved | None = None
    try:
        reconcile.show(context, options, details=False)
    except Unproved as unproved:
        left = unproved  # whatever came or went since the record was made; said to the last
    if site.cloud:
        said(f"recover: reconciled after {_minutes(began)}; now verify")
        verify.prove(context, options["site"], "", options["json"])
    said(f"recover: all of it took {_minutes(began)}")
    if left:
        raise left
    return 0


def _minutes(began: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    return f"{minutes} min {seconds} s"


class Restoring:
    """One record on its way into the place of the live ones.

    bare: the hosts may hold nothing yet, or nothing that is worth a safety record.
    """

    def __init__(self, run: Run, record: str, bare: bool) -> None:
        self._run, self._bare = run, bare
        self._store = create.store(run.site)
        self.name = self._store.named(record)
        self.manifest = self._store.manifest(self.name)
        create.refuse_other_hosts(run, self.manifest)
        self._hosts = list(self.manifest["hosts"])
        self._units: dict[str, Any] = {}  # what was at work before anything was stopped

    def all(self, cloud: str) -> int:
        """Plan, question, restore beside, compare, stop, safety record, put in place, start.

        cloud: its name, in place of typing it.  Raises Stop; what is live is untouched until
        the last step but one, and is kept.
        """
        run = self._run
        pours = create.opened(run.site, self.name)  # broken, or no key: known before all else
        facts = self._facts()
        contents.refuse_unfit(run.site, self.manifest, facts, self._bare)
        holds = self._holds_something()
        self._show(facts)
        if run.options.check:
            return CHANGES_PENDING
        self._confirm(cloud)
        with run.locked() as number:
            if self._bare:
                self._converge([client_packages, contents.tools], number)
            began = time.monotonic()
            taken = self._located(create.taken(run, number, self.manifest, pours, True))
            run.screen.step("-", f"restored and equal after {time.monotonic() - began:.0f} s")
            stops = self._converge([contents.Stopped(self._hosts)], number)
            try:
                if holds:
                    self._keep_safe(number)
                run.id = journal.new_id()
                put = contents.PutBack(self.manifest, taken, run.id)
                self._apply([put], number)
            except Stop as stop:
                again = f"; what was stopped: inv undo --run {stops}" if stops else ""
                stop.args = (
                    f"{stop}\nthe live databases are where they were, or kept beside "
                    f"them (.stackrbd-before-*){again}",
                )
                raise
        self._say_what_is_kept(taken)
        return 0

    # Look

    def _facts(self) -> Facts:
        run, site = self._run, self._run.site
        stages: list[Any] = [contents.PutBack(self.manifest, {}, run.id)]
        asked: dict[Host, list[Read]] = {
            site.host(name): run.questions(stages, site.host(name)) for name in self._hosts
        }
        asked[site.admin] = [*asked.get(site.admin, []), *cluster.reads(site, site.admin)]
        facts = Facts(run.ask(asked))
        self._units = {name: facts.of(name, contents.UNITS.id) for name in self._hosts}
        return facts

    def _holds_something(self) -> bool:
        """Whether there are databases that a safety record can be made of.

        Raises Failed where that is not known, unless bare hosts are expected.
        """
        run, host = self._run, self._run.site.database_host
        args = {"sql": database_rows.SCHEMAS, "defaults": run.site.database.defaults_file}
        answers, faults = run.asked({host: [Read("schemas", "rows", args)]})
        if faults and not self._bare:
            raise Failed(
                f"{faults[host.name]}\nno safety record can be made of what is there; "
                "for a host that has lost all: inv recover"
            )
        known = {
            s
            for held in self.manifest["hosts"].values()
            for s in held.get("database", {}).get("schemas", [])
        }
        strange = sorted(set(answers[host.name].get("schemas", [])) - known)
        if strange:
            raise BadInput(
                f"{host.name}: holds databases that the record has not: {', '.join(strange)}; they "
                "would be set aside: move them first"
            )
        return bool(answers[host.name].get("schemas"))

    def _show(self, facts: Facts) -> None:
        run, site = self._run, self._run.site
        changes = contents.stopped(site, facts, self._hosts)
        rest = contents.as_if_stopped(facts, self._hosts)
        changes += contents.PutBack(self.manifest, {}, run.id).plan(site, rest)
        run.screen.say(f"Record {self.name}: {create.told(self.manifest)}")
        run.screen.plan(Plan(tuple(changes)), run.options.diff)

    def _confirm(self, cloud: str) -> None:
        """The cloud's name, typed: nothing less puts a record in place."""
        name, given = self._run.site.name, cloud
        if not given:
            if not attended():
                raise BadInput("nobody is there to type the cloud's name: give --cloud NAME")
            given = answer(f"This replaces what is live. Type the cloud's name ({name}): ")
        if given != name:
            raise BadInput(f"expected the name of the cloud, {name!r}; nothing was written")

    # Do

    def _located(self, found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        return {
            host: {**one, "live": one["folder"].rpartition(_APART)[0]}
            for host, one in found.items()
        }

    def _converge(self, stages: list[Any], number: int) -> str:
        """A run of its own, under the lock that is held; its id, or nothing to do."""
        self._run.id = journal.new_id()
        return self._apply(stages, number)

    def _apply(self, stages: list[Any], number: int) -> str:
        run = self._run
        plan = run.plan(stages, run.probe(stages))
        if not plan:
            return ""
        run.apply(stages, plan, number)
        return run.id

    def _keep_safe(self, number: int) -> None:
        """A record of what is live, now that nobody writes to it any more."""
        run = self._run
        run.id = journal.new_id()
        run.screen.step("-", f"a safety record of what is live: {run.id}")
        facts = create.seen(run)
        hosts = {
            name: {**seen, contents.UNITS.id: self._units.get(name, seen.get(contents.UNITS.id))}
            for name, seen in facts.hosts.items()
        }
        create.make(run, Facts(hosts, facts.known), number)

    def _say_what_is_kept(self, taken: Mapping[str, Mapping[str, Any]]) -> None:
        run = self._run
        kept = [
            f"{host}: {one['live']}.stackrbd-before-{run.id}"
            for host, one in taken.items()
            if one["folder"]
        ]
        for line in kept:
            run.screen.say(f"Kept, the databases from before: {line}")
        run.screen.say(
            f"To go back: inv undo --run {run.id}; to take them away for good: inv backup.settle"
        )
        run.screen.json({"site": run.site.name, "record": self.name, "run": run.id, "kept": kept})


def settle(context: Any, flags: Mapping[str, Any]) -> int:
    """Takes away, for good, what restores kept of older databases."""
    with Run(context, Options(**flags), "backup.settle") as run:
        host = run.site.database_host
        args = {"sql": "SELECT @@datadir;", "defaults": run.site.database.defaults_file}
        answers = run.ask({host: [Read("datadir", "rows", args)]})
        return run.report(run.converge([contents.Old(answers[host.name]["datadir"][0])]))
