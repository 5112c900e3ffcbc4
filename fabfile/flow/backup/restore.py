"""backup.restore, backup.settle and recover: a backup takes the live ones' place.

Knows the order: everything that can go wrong does so beside the live databases, which are
touched last, whole, and kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from invoke import Context

from fabfile.audit import database_rows
from fabfile.backup import contents
from fabfile.core.contract import (
    CHANGES_PENDING,
    INV,
    BadInput,
    Facts,
    Failed,
    Host,
    Json,
    Plan,
    Read,
    Stop,
    Unproved,
)
from fabfile.flow import gather
from fabfile.flow.backup import create, key
from fabfile.flow.converge import Converger
from fabfile.flow.inspect import reconcile
from fabfile.flow.proof import verify
from fabfile.flow.session import Options, Session, open_session
from fabfile.flow.terminal.screen import answer, attended
from fabfile.resources import backup_tools, by_cluster, chain, client_packages, cluster
from fabfile.resources.resource import Resource

_APART = ".stackrbd-"
_CLUSTERED = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_on', 'group_replication_group_name') "
    "AND Value NOT IN ('', 'OFF');"
)
"""A row, where a server is a member of a cluster: of Galera's, or of MySQL's group replication."""
_CLUSTERS = {"wsrep_on": "a Galera cluster", "group_replication_group_name": "group replication"}


def restore(
    context: Context, options: Options, record: str, cloud: str, unsigned: bool = False
) -> int:
    """Puts a backup in the place of the live databases and files."""
    with open_session(context, options, "backup.restore") as session:
        return Restoring(session, record, False, unsigned).all(cloud)


def recover(
    context: Context, options: Options, record: str, cloud: str, unsigned: bool = False
) -> int:
    """A lost controller: restore onto a bare host with packages, integrate, reconcile, verify."""
    began = time.monotonic()
    with open_session(context, options, "recover") as session:
        said, site = session.screen.say, session.site
        code = Restoring(session, record, True, unsigned).all(cloud)
        if code:
            return code
    said(f"recover: restored after {_minutes(began)}; now integrate")
    looking = Options(site=options.site, json=options.json)
    with open_session(context, replace(looking, yes=True), "integrate") as session:
        converger = Converger(session)
        converger.report(converger.converge(chain.RESOURCES))
    said(f"recover: integrated after {_minutes(began)}; now reconcile")
    left: Unproved | None = None
    try:
        reconcile.show(context, looking, details=False)
    except Unproved as unproved:
        left = unproved  # whatever came or went since the backup was made; said to the last
    if site.cloud:
        said(f"recover: reconciled after {_minutes(began)}; now verify")
        verify.prove(context, looking)
    said(f"recover: all of it took {_minutes(began)}")
    if left:
        raise left
    return 0


def _minutes(began: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    return f"{minutes} min {seconds} s"


class Restoring:
    """One backup on its way into the place of the live ones.

    bare: the hosts may hold nothing yet, or nothing that is worth a safety backup.
    unsigned: a backup that nobody signed is taken as well.
    """

    def __init__(self, session: Session, record: str, bare: bool, unsigned: bool = False) -> None:
        self._session, self._bare = session, bare
        self._store = create.store(session.site, unsigned)
        self.name = self._store.named(record)
        self.manifest = self._store.manifest(self.name)
        create.refuse_other_hosts(session, self.manifest)
        self._hosts = list(self.manifest["hosts"])
        self._failed: dict[str, Stop] = {}
        self._units: dict[str, Json] = {}  # what was at work before anything was stopped

    def all(self, cloud: str) -> int:
        """Plan, question, restore beside, compare, stop, safety backup, put in place, start.

        cloud: its name, in place of typing it.  Raises Stop; what is live is untouched until
        the last step but one, and is kept.
        """
        session = self._session
        # Broken, or no key: known before all else.
        streams = create.opened(session.site, self._store, self.name, self.manifest)
        facts = self._facts()
        contents.refuse_unfit(session.site, self.manifest, facts, self._bare)
        holds = self._holds_something()
        if holds:
            key.signer(session.site)  # for the safety backup
        self._show(facts)
        if session.options.check:
            return CHANGES_PENDING
        self._confirm(cloud)
        with session.locked() as number:
            if self._bare:
                self._converge([client_packages.RESOURCE, backup_tools.RESOURCE], number)
            began = time.monotonic()
            taken = self._located(create.taken(session, number, self.manifest, streams, True))
            session.screen.step("-", f"restored and equal after {time.monotonic() - began:.0f} s")
            stops = self._converge([contents.Stopped(self._hosts).resource], number)
            try:
                if holds:
                    self._keep_safe(number)
                last = self._new_run()
                put = contents.PutBack(self.manifest, taken, last.id)
                self._apply(last, [put.resource], number)
            except Stop as stop:
                again = f"; what was stopped: {INV} undo --run {stops}" if stops else ""
                stop.add(
                    "the live databases are where they were, or kept beside "
                    f"them (.stackrbd-before-*){again}"
                )
                raise
        self._say_what_is_kept(taken, last.id)
        return 0

    # Look

    def _facts(self) -> Facts:
        session, site = self._session, self._session.site
        stages = [contents.PutBack(self.manifest, {}, session.id).resource]
        asked: dict[Host, list[Read]] = {
            site.host(name): gather.questions(site, stages, site.host(name)) for name in self._hosts
        }
        for admin in site.admins:
            mine = by_cluster.reads(site, admin, cluster.reads)
            asked[admin] = [*asked.get(admin, []), *mine]
        facts = Facts(session.with_supplied(session.ask(asked)))
        self._units = {name: facts.of(name, contents.UNITS.id) for name in self._hosts}
        return facts

    def _holds_something(self) -> bool:
        """Whether there are databases that a safety backup can be made of.

        Raises Failed where that is not known, unless bare hosts are expected.
        """
        session, host = self._session, self._session.site.database_host
        asked = {"schemas": database_rows.SCHEMAS, "cluster": _CLUSTERED}
        defaults = session.site.database.defaults_file
        reads = [Read(k, "rows", {"sql": sql, "defaults": defaults}) for k, sql in asked.items()]
        answers, faults = session.asked({host: reads})
        if faults and not self._bare:
            raise Failed(
                f"{faults[host.name]}\nno safety backup can be made of what is there; "
                f"for a host that has lost all: {INV} recover"
            )
        _refuse_member(host, answers[host.name].get("cluster", ()))
        known = {
            s
            for held in self.manifest["hosts"].values()
            for s in held.get("database", {}).get("schemas", [])
        }
        strange = sorted(set(answers[host.name].get("schemas", [])) - known)
        if strange:
            raise BadInput(
                f"{host.name}: holds databases that the backup has not: {', '.join(strange)}; they "
                "would be set aside: move them first"
            )
        return bool(answers[host.name].get("schemas"))

    def _show(self, facts: Facts) -> None:
        session, site = self._session, self._session.site
        changes = contents.stopped(site, facts, self._hosts)
        rest = contents.as_if_stopped(facts, self._hosts)
        changes += contents.PutBack(self.manifest, {}, session.id).plan(site, rest)
        session.screen.say(f"Backup {self.name}: {create.told(self.manifest)}")
        create.warn_of_forgery(session, self._store, self.name)
        session.screen.plan(Plan(tuple(changes)), session.options.diff)

    def _confirm(self, cloud: str) -> None:
        """The cloud's name, typed: nothing less puts a backup in place."""
        name, given = self._session.site.name, cloud
        if not given:
            if not attended():
                raise BadInput("nobody is there to type the cloud's name: give --cloud NAME")
            given = answer(f"This replaces what is live. Type the cloud's name ({name}): ")
        if given != name:
            raise BadInput(f"expected the name of the cloud, {name!r}; nothing was written")

    # Do

    def _located(self, found: Mapping[str, Mapping[str, Json]]) -> dict[str, dict[str, Json]]:
        return {
            host: {**one, "live": one["folder"].rpartition(_APART)[0]}
            for host, one in found.items()
        }

    def _new_run(self) -> Session:
        """The session of a run of its own, under the lock that is held."""
        return self._session.sharing(self._session.options, self._session.task)

    def _converge(self, stages: list[Resource], number: int) -> str:
        """A run of its own, under the lock that is held; its id, or nothing to do."""
        return self._apply(self._new_run(), stages, number)

    def _apply(self, session: Session, stages: list[Resource], number: int) -> str:
        converger = Converger(session, failed=self._failed)
        plan = converger.plan(stages, converger.probe(stages))
        if not plan:
            return ""
        converger.apply(stages, plan, number)
        return session.id

    def _keep_safe(self, number: int) -> None:
        """A backup of what is live, now that nobody writes to it any more."""
        session = self._new_run()
        session.screen.step("-", f"a safety backup of what is live: {session.id}")
        facts = create.seen(session)
        hosts = {
            name: {**seen, contents.UNITS.id: self._units.get(name, seen.get(contents.UNITS.id))}
            for name, seen in facts.hosts.items()
        }
        create.make(session, Facts(hosts, facts.known), number)

    def _say_what_is_kept(self, taken: Mapping[str, Mapping[str, Json]], run: str) -> None:
        screen = self._session.screen
        kept = [
            f"{host}: {one['live']}.stackrbd-before-{run}"
            for host, one in taken.items()
            if one["folder"]
        ]
        for line in kept:
            screen.say(f"Kept, the databases from before: {line}")
        screen.say(f"To go back: {INV} undo --run {run}", whole=True)
        screen.say(f"To take them away for good: {INV} backup.settle", whole=True)
        screen.json(
            {"site": self._session.site.name, "record": self.name, "run": run, "kept": kept}
        )


def _refuse_member(host: Host, rows: Sequence[str]) -> None:
    """Raises BadInput for a server of a cluster.

    Beside others it takes their databases as it starts, and alone it does not start without word.
    """
    for name, _, value in (row.partition("\t") for row in rows):
        raise BadInput(
            host=host.name,
            subject="the database server",
            expected=f"a server that is no member of {_CLUSTERS.get(name, 'a cluster')}",
            found=f"{name} = {value}",
            why="as it starts, the others' databases would take the place of the restored ones",
            advice="take the cluster apart first, and put it together again afterwards "
            "(docs/recovery.md, A Galera cluster)",
        )


def settle(context: Context, options: Options) -> int:
    """Takes away, for good, what restores kept of older databases."""
    with open_session(context, options, "backup.settle") as session:
        host = session.site.database_host
        args = {"sql": "SELECT @@datadir;", "defaults": session.site.database.defaults_file}
        answers = session.ask({host: [Read("datadir", "rows", args)]})
        converger = Converger(session)
        old = contents.Old(answers[host.name]["datadir"][0])
        return converger.report(converger.converge([old.resource]))
