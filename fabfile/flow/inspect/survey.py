"""doctor and status: looks at a whole site, whatever part of it answers.

Knows how the looking is done where hosts, programs or the cloud's API are missing; what
is wrong is fabfile/doctor's to say.  Writes nothing anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

from fabfile.cloud import holdings, qos, volume_types
from fabfile.core import site_file
from fabfile.core.contract import (
    CLOUD,
    INV,
    BadInput,
    Facts,
    Failed,
    Host,
    Json,
    Read,
    Stop,
    Unreachable,
)
from fabfile.core.text import counted
from fabfile.doctor import backends, checks, hosts, pending_plan, secret_holders
from fabfile.doctor.finding import Finding, as_data, counts, healthy, sentence
from fabfile.doctor.observation import Looked, calm
from fabfile.doctor.summary import summary
from fabfile.flow import gather, history
from fabfile.flow.backup import create
from fabfile.flow.gather import FactCollector
from fabfile.flow.proof import guest
from fabfile.flow.session import Options, Session, open_session
from fabfile.flow.settle import Doubts, settle
from fabfile.flow.terminal import outcomes
from fabfile.model import releases
from fabfile.model.site import Site
from fabfile.report import text
from fabfile.report.shapes import Told
from fabfile.resources import by_cluster, volume_qos


class TimedCollector(FactCollector):
    """Facts that also tell when each came, and what could not be looked at.

    since: when they were asked for; at: {(host, read id): when it came} (Unix times).
    """

    def __init__(self, asked: Mapping[Host, Sequence[Read]]) -> None:
        super().__init__(asked)
        self.since = time.time()
        self.at: dict[tuple[str, str], float] = {}
        self.errors: dict[tuple[str, str], Stop] = {}

    def on_message(self, host: str, message: Mapping[str, Json]) -> None:
        """As FactCollector has it."""
        now = time.time()
        super().on_message(host, message)
        if message["t"] == "read":
            self.at[host, message["id"]] = now
            if message["id"] not in self.values[host]:
                self.errors[host, message["id"]] = self._error(host, message)

    @staticmethod
    def _error(host: str, message: Mapping[str, Json]) -> Stop:
        if "error" not in message:
            return Stop("it answers something else than was asked", host=host)
        about = {name: str(message.get(name, "")) for name in ("subject", "found")}
        return Failed(str(message["error"]), host=host, **about)

    def unanswered(self, gone: set[str]) -> dict[tuple[str, str], Stop]:
        """{(host, read id): why} of what hosts that are there left out."""
        return {
            (host, read): Stop("it was left without an answer", host=host)
            for host, read in self._asked
            if host not in gone and read not in self.values[host]
        }

    def clocks(self) -> dict[str, tuple[float, float]]:
        """{host: (least, most)} by which each host's clock is before ours.

        An answer was made after it was asked for, and before it came.
        """
        return {
            host: (seen["host"]["time"] - self.at[host, "host"], seen["host"]["time"] - self.since)
            for host, seen in self.values.items()
            if "time" in seen.get("host", {})
        }


def look(session: Session) -> Looked:
    """One look at all hosts, and a closer one where the first leaves a doubt."""
    site = session.site
    scope = [host for host in site.all_hosts() if session.in_scope(host)]
    session.screen.step("-", f"reading {counted(len(scope), 'host')}")
    asked = {host: gather.questions(site, checks.STAGES, host) for host in scope}
    collected = TimedCollector(asked)
    faults = outcomes.unreached(session.dispatch(asked, collected))
    answers = collected.values
    errors = {**collected.unanswered(set(faults)), **collected.errors}
    for name in faults:
        if not answers[name]:
            del answers[name]
    doubts = Doubts()
    with doubts.about("here.supplied"):
        for name, given in session.supplied.answers.items():
            answers.get(name, {}).update(given)
    _cloud(session, answers, errors)
    here = _here(session, doubts)
    settled = settle(site, calm(site, Facts(answers)), doubts.about)
    seen = Looked(
        facts=Facts(answers, settled.known, settled.table),
        unreachable=faults,
        errors=errors,
        clocks=_clocks(session, collected),
        here=here,
        releases=tuple(releases.names(site_file.releases())),
        release=settled.release,
        other_release=settled.other,
        hazards=tuple(site_file.hazards()),
        doubts=tuple(doubts.kept),
    )
    if backends.orphaned(seen):
        for name, found in _images(session, answers).items():
            answers[name] |= found
    return seen


def _cloud(session: Session, answers: dict[str, Json], errors: dict[tuple[str, str], Stop]) -> None:
    """What OpenStack's API tells, into answers; or why it does not, into errors."""
    if not session.site.cloud:
        return
    try:
        connection = session.connection()
        types: dict[str, Json] = {"volume_types": volume_types.read(connection)}
        if volume_qos.asked(session.site):
            types["qos_specs"] = qos.read(connection)
        answers[CLOUD] = {**types, **holdings.read(connection)}
    except Stop as stop:
        errors[CLOUD, "api"] = stop


def _clocks(session: Session, collected: TimedCollector) -> dict[str, tuple[float, float]]:
    """Asks hosts whose clock may be off once more, alone: the shorter the trip, the sharper."""
    clocks = collected.clocks()
    doubtful = [session.site.host(name) for name in hosts.doubtful(session.site, clocks)]
    if doubtful:
        asked = {host: [Read("host", "host")] for host in doubtful}
        again = TimedCollector(asked)
        session.dispatch(asked, again, quietly=True)
        clocks |= again.clocks()
    return clocks


def _images(session: Session, answers: Mapping[str, Json]) -> dict[str, dict[str, Json]]:
    """What lies in the volumes' pools: asked only where volumes are nobody's."""
    site = session.site
    asked = {
        admin: by_cluster.reads(site, admin, _of_pools)
        for admin in site.admins
        if admin.name in answers
    }
    collected = TimedCollector(asked)
    session.dispatch(asked, collected, quietly=True)
    return collected.values


def _of_pools(site: Site, host: Host) -> list[Read]:
    return [
        Read(f"images.{pool}", "argv", {"argv": site.cluster.rbd("ls", "-p", pool)})
        for pool in dict.fromkeys(one.pool for one in site.cinder.all)
        if host == site.admin
    ]


def _here(session: Session, doubts: Doubts) -> dict[str, Json]:
    """What is known of this machine; a file of its own that is not fit ends no look at hosts."""
    site, file, records = session.site, None, None
    with doubts.about("here.cloud"):
        file = site_file.expanded(site.clouds_yaml, "clouds_yaml") if site.clouds_yaml else None
    with doubts.about("here.records"):
        records = create.ages(site) if site.backup.recipients else None
    return {
        **{name: metadata.version(name) for name in ("fabric", "invoke")},
        "private": {str(file): file.stat().st_mode & 0o777} if file and file.is_file() else {},
        "known_hosts": session.fleet.warnings,
        "guest": guest.marked(site),
        "records": records,
    }


# The tasks


def doctor(context: Any, options: Options) -> int:
    """Says what is wrong and what mends it: 0 healthy, 3 something found, 4 hosts unreachable."""
    with open_session(context, options, "doctor") as session:
        seen = look(session)
        found, _ = checks.findings(session.site, seen)
        rows = secret_holders.table(session.site, seen)
        words = options.words_of_site
        session.screen.say_all(text.findings(found, session.site, words, session.screen.columns))
        if secret_holders.odd(rows) and not pending_plan.is_unconnected(session.site, seen):
            session.screen.say("Who holds which secret:")
            session.screen.say_all(
                text.places([asdict(row) for row in rows], session.screen.columns)
            )
        session.screen.say(_sentence(session, seen, found))
        session.screen.json(
            {
                "site": session.site.name,
                "healthy": healthy(found) and not seen.unreachable,
                "findings": [as_data(one, session.site, words) for one in found],
                "secrets": [asdict(row) for row in rows],
                "trips": session.fleet.trips,
            }
        )
    if seen.unreachable:
        return Unreachable.code
    return 0 if healthy(found) else BadInput.code


def _say_places(session: Session, rows: Sequence[secret_holders.Place]) -> None:
    session.screen.say_all(text.places([asdict(row) for row in rows], session.screen.columns))


def _sentence(session: Session, seen: Looked, found: Sequence[Finding]) -> str:
    asked = len([host for host in session.site.all_hosts() if session.in_scope(host)])
    answered = asked - len(seen.unreachable)
    said = "Healthy" if healthy(found) and not seen.unreachable else "Not healthy"
    return f"{said}: {sentence(counts(found), answered, asked)}"


def _last_run(session: Session) -> Told | None:
    try:
        return history.last(session.site.name)
    except BadInput as unread:
        session.screen.say(f"Warning: {unread}")
        return None


def status(context: Any, options: Options) -> int:
    """Shows the site: roles, versions, pools, drift, the last run, and who holds which secret.

    0 whatever it shows, 4 hosts unreachable: for what is wrong there is doctor.
    """
    with open_session(context, options, "status") as session:
        seen = look(session)
        found, plan = checks.findings(session.site, seen)
        rows = secret_holders.table(session.site, seen)
        told = {**summary(session.site, seen, plan), "last_run": _last_run(session)}
        session.screen.say(f"{session.site.name} ({session.path})")
        session.screen.say_all(text.status(told, session.screen.columns))
        session.screen.say("  secrets")
        _say_places(session, rows)
        session.screen.say(_sentence(session, seen, found) + f"; see {INV} doctor")
        session.screen.json(
            {
                "site": session.site.name,
                **told,
                "secrets": [asdict(row) for row in rows],
                "findings": len(found),
                "healthy": healthy(found) and not seen.unreachable,
            }
        )
    return Unreachable.code if seen.unreachable else 0
