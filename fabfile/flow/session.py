"""One task's session with a site: its connections, its screen, its lock, its cloud.

Knows how hosts and the cloud are asked; what is planned and done with the answers is the
converger's matter.
"""

from __future__ import annotations

import contextlib
import getpass
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Context

from fabfile.cloud import connection, holdings
from fabfile.core import journal, site_file
from fabfile.core.contract import (
    BadInput,
    Facts,
    Failed,
    Host,
    Json,
    Message,
    NeedsPassword,
    Read,
    Secret,
    Stop,
)
from fabfile.flow import engine as engines
from fabfile.flow import gather, interrupts, own_site, rollout
from fabfile.flow import limit as limits
from fabfile.flow import supplied as handed
from fabfile.flow.terminal import outcomes
from fabfile.flow.terminal.screen import Screen, answer, attended
from fabfile.model.site import Site
from fabfile.resources import by_cluster, cluster

if TYPE_CHECKING:
    from fabfile.core.ssh import Fleet  # Fabric is slow to load
    from fabfile.model.site import Site

LOCK_DEADLINE = 86400
PATIENCE = 45
"""Seconds that an agent waits for one of an older run to end."""


@dataclass(frozen=True)
class Options:
    """The flags that all tasks have in common.

    plan: the plan file by which the site file was named, where the operator did not name it.
    """

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
    plan: str = ""

    @property
    def words_of_site(self) -> str:
        """' --site FILE' for a command that is to be typed, where the operator gave one."""
        return f" --site {shlex.quote(self.site)}" if self.site else ""


@dataclass
class Session:
    """A site, the hosts of --limit, and all that it takes to ask them.

    context: what travels between tasks.  id: the run's, under which it is recorded.
    under_lock: what a work says of the lock that it is done under; empty without one.
    """

    context: Context
    options: Options
    task: str
    path: Path
    site: Site
    screen: Screen
    limited: set[str]
    rollout: rollout.Rollout
    fleet: Fleet
    id: str
    under_lock: dict[str, Json] = field(default_factory=dict)
    engine: engines.Engine = field(init=False)
    _is_pinned: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        clusters = [part.cluster for part in self.site.parts]
        self.engine = engines.Local(self.fleet, clusters, lambda: self.supplied.keys)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *why: object) -> None:
        """Closes every connection that was opened."""
        self.close()

    def close(self) -> None:
        """Closes every connection that was opened."""
        self.engine.close()
        self.fleet.close()

    @cached_property
    def supplied(self) -> handed.Supplied:
        """What other teams handed over of their clusters; read once.  Raises BadInput."""
        return handed.read(self.site)

    def with_supplied(
        self, answers: Mapping[str, Mapping[str, Json]]
    ) -> dict[str, dict[str, Json]]:
        """Hosts' answers, with what stands for those of clusters that are supplied."""
        given = self.supplied.answers
        return {host: {**seen, **given.get(host, {})} for host, seen in answers.items()}

    def sharing(self, options: Options, task: str) -> Session:
        """A run of its own over the same connections and under the same lock.

        Its hosts are worked on from here.  Whoever opened this one closes both.
        """
        limited, paced = _scope(self.site, options)
        return replace(
            self,
            options=options,
            task=task,
            id=journal.new_id(),
            limited=limited,
            rollout=paced,
        )

    def in_scope(self, host: Host) -> bool:
        """Whether it is read: the limited ones, and where the identity is told."""
        return (
            host.name in self.limited
            or host in self.site.admins
            or bool({"glance", "cinder"} & set(host.roles))
        )

    # Hosts

    def ask(
        self, asked: Mapping[Host, Sequence[Read]], deadline: int = gather.DEADLINE
    ) -> dict[str, dict[str, Json]]:
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
    ) -> tuple[dict[str, dict[str, Json]], dict[str, Stop]]:
        """As ask(), and {host: why} of those that did not answer all.  Raises Interrupted.

        quietly: does not ask for a password.
        """
        facts = gather.FactCollector(asked)
        cut = self.dispatch(asked, facts, quietly, deadline)
        return facts.values, facts.wanting(cut)

    def dispatch(
        self,
        asked: Mapping[Host, Sequence[Read]],
        facts: gather.FactCollector,
        quietly: bool = False,
        deadline: int = gather.DEADLINE,
    ) -> dict[str, Stop]:
        """Asks hosts and collects what they answer; {host: why} of those that did not end.

        Raises Interrupted.  quietly: does not ask for a password.
        """
        works = gather.works(asked, self.under_lock, self.site.platform_of, deadline)
        with self.finishing():
            cut = self._probe(works, facts)
            needy = [n for n, fault in cut.items() if isinstance(fault, NeedsPassword)]
            if needy and not quietly and attended():
                self._ask_password(needy)
                for name in needy:
                    del cut[name]
                cut |= self._probe({name: works[name] for name in needy}, facts)
        self.fleet.conversations.raise_if_stopped()
        return cut

    def _probe(
        self, works: Mapping[str, dict[str, Json]], facts: gather.FactCollector
    ) -> dict[str, Stop]:
        """Asks hosts, while the screen shows how many have answered."""
        wanted = {host: len(work["reads"]) for host, work in works.items()}
        with self.screen.at_work("read", wanted) as on_progress:

            def on_message(host: str, message: Message) -> None:
                facts.on_message(host, message)
                on_progress(host, str(message["t"]))

            found = self.engine.probe(works, on_message)
            for host in found:
                on_progress(host, "failed")
            return found

    def _ask_password(self, hosts: Sequence[str]) -> None:
        """Once, for all hosts; it goes to sudo's standard input and nowhere else."""
        try:
            typed = getpass.getpass(f"sudo's password on {', '.join(hosts)}: ")
        except EOFError:
            raise BadInput("sudo: no password was typed; nothing was written") from None
        self.fleet.give(Secret(typed))

    def finishing(self) -> contextlib.AbstractContextManager[None]:
        """While this holds, a signal ends the work at the next step's end, and is raised then."""
        return interrupts.finishing(
            self.fleet.conversations.stop, self.screen.say, self.screen.leave
        )

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Holds the site's lock, and gives this run's number.  Raises Locked.

        Whatever writes does so under it, so that another cluster is refused here.
        """
        self.refuse_another_cluster()
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
        self.under_lock |= {
            "site": self.site.name,
            "number": hold.number,
            "who": who,
            "patience": PATIENCE,
        }
        try:
            yield hold.number
        finally:
            self.under_lock.clear()
            hold.release()

    def refuse_another_cluster(self) -> None:
        """Asks each first Ceph host, once a session, whether it is of the cluster that is pinned.

        Raises BadInput for another one, Failed where that cannot be known.
        """
        given = Facts({host: dict(seen) for host, seen in self.supplied.answers.items()})
        for part in (one for one in self.site.parts if one.is_supplied):
            cluster.fsid(part, by_cluster.facts_of(part, given))
        pinned = [part for part in self.site.parts if part.fsid and not part.is_supplied]
        if pinned and not self._is_pinned:
            asked = {self.site.host(part.admin.name): cluster.identity(part) for part in pinned}
            try:
                answers = self.ask(asked)
            except Failed as failed:
                failed.add(
                    "fsid: the site file pins the cluster, and nothing is written where it cannot "
                    "be asked which one it is; mend that, or take `fsid` out of the site file"
                )
                raise
            for part in pinned:
                cluster.fsid(part, Facts(answers))
            self._is_pinned = True

    # The cloud

    def connection(self) -> Any:
        """The site's cloud, by openstacksdk."""
        return connection.connect(str(self.site.cloud), self.site.clouds_yaml)

    def ask_cloud(self, asked: Sequence[Read]) -> dict[str, Json]:
        """{read id: value} of what the cloud's API can answer."""
        cloud = self.connection()
        known = [read for read in asked if read.verb in holdings.READS]  # the rest: any host's
        return {read.id: holdings.READS[read.verb](cloud) for read in known}

    # The operator

    def confirm(
        self,
        question: str = "Do this?",
        alone: str = "nobody is there to ask: give --yes, or --check to look only",
    ) -> None:
        """See confirmed."""
        confirmed(self.options, question, alone)


def confirmed(options: Options, question: str, alone: str) -> None:
    """Asks the operator.  Raises BadInput where nobody is there (alone), or says no."""
    if options.yes:
        return
    if not attended():
        raise BadInput(alone)
    if answer(f"{question} Only 'yes' goes on: ") != "yes":
        raise BadInput("not confirmed; nothing was written")


Engines = Mapping[str, Callable[[Session], engines.Engine]]
"""{a word of --engine: what makes that engine}, beside this process's own."""


def open_session(
    context: Context, options: Options, task: str = "", others: Engines | None = None
) -> Session:
    """A session on the site that the options name; connects to nothing yet.

    others: engines beside this process's own.  Raises BadInput.
    """
    path = site_file.locate(options.site)
    site = own_site.checked(path)
    options = replace(options, limit=limits.resolved(site, options.limit))
    screen = Screen(options.json)
    _ask_before_running(site, options, screen)
    session = session_over(context, options, task, path, site, screen)
    if options.engine not in ("", "local"):
        if any(part.is_supplied for part in site.parts):
            raise BadInput(
                "--engine: expected local where a cluster is supplied: its keys are in this "
                "process's memory alone"
            )
        session.engine = _other(options.engine, others or {})(session)
    return session


def session_over(  # noqa: PLR0913, PLR0917 (what a session is made of)
    context: Context, options: Options, task: str, path: Path, site: Site, screen: Screen
) -> Session:
    """A session on a site that is known already, whose hosts are reached from here."""
    limited, paced = _scope(site, options)
    return Session(
        context,
        options,
        task,
        path,
        site,
        screen,
        limited,
        paced,
        _fleet(site, paced.forks),
        journal.new_id(),
    )


def _ask_before_running(site: Site, options: Options, screen: Screen) -> None:
    """Shows what a site file that only a plan names would run on this machine, and asks.

    Raises BadInput where nobody says yes.
    """
    found = [*engines.local_commands(site.ssh), *handed.commands(site)] if options.plan else []
    if not found:
        return
    screen.say(f"The plan {options.plan} is of the site file {options.site}, which runs here:")
    for name, command in found:
        screen.say(f"  {name}: {command}", whole=True)
    confirmed(options, "Run that?", "nobody is there to ask: give --yes if that may be run")


def _scope(site: Site, options: Options) -> tuple[set[str], rollout.Rollout]:
    """The hosts of --limit, and how many of them at a time."""
    limited = limits.limited(site, options.limit)
    paced = rollout.of(
        site, limited, options.forks, options.serial, options.max_fail, options.canary
    )
    return limited, paced


def _fleet(site: Site, forks: int) -> Fleet:
    return engines.fleet(site.all_hosts(), site.ssh, forks)


def _other(word: str, others: Engines) -> Callable[[Session], engines.Engine]:
    if word not in others:
        raise BadInput(f"--engine: expected local or dask, found {word!r}")
    return others[word]
