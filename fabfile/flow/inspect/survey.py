"""doctor and status: looks at a whole site, whatever part of it answers.

Knows how the looking is done where hosts, programs or the cloud's API are missing; what
is wrong is fabfile/doctor's to say.  Writes nothing anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata, util
from typing import Any

from fabfile.core import site_file
from fabfile.core.contract import CLOUD, BadInput, Facts, Host, Read, Stop, Unreachable
from fabfile.doctor import backends, checks, hosts, pending_plan, secret_holders
from fabfile.doctor.finding import Finding, as_data, counts, healthy, sentence
from fabfile.doctor.observation import Looked, calm
from fabfile.doctor.summary import summary
from fabfile.flow import history, limit
from fabfile.flow.backup import create
from fabfile.flow.converge import Options, Run, text_of
from fabfile.flow.gather import Answers
from fabfile.flow.inspect import listing
from fabfile.flow.terminal import outcomes
from fabfile.model import releases
from fabfile.resources import secret_uuid


class Heard(Answers):
    """Answers that also tell when each came, and what could not be looked at.

    since: when they were asked for; at: {(host, read id): when it came} (Unix times).
    """

    def __init__(self, asked: Mapping[Host, Sequence[Read]]) -> None:
        super().__init__(asked)
        self.since = time.time()
        self.at: dict[tuple[str, str], float] = {}
        self.errors: dict[tuple[str, str], str] = {}

    def heard(self, host: str, message: Mapping[str, Any]) -> None:
        """As Answers has it."""
        now = time.time()
        super().heard(host, message)
        if message["t"] == "read":
            self.at[host, message["id"]] = now
            if message["id"] not in self.values[host]:
                said = message.get("error", "it answers something else than was asked")
                self.errors[host, message["id"]] = str(said)

    def unanswered(self, gone: set[str]) -> dict[tuple[str, str], str]:
        """{(host, read id): why} of what hosts that are there left out."""
        return {
            (host, read): "it was left without an answer"
            for host, read in self._verbs
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


def look(run: Run) -> Looked:
    """One look at all hosts, and a closer one where the first leaves a doubt."""
    site = run.site
    scope = [host for host in site.all_hosts() if run.in_scope(host)]
    run.screen.step("-", f"reading {len(scope)} hosts")
    asked = {host: run.questions(checks.STAGES, host) for host in scope}
    heard = Heard(asked)
    faults = outcomes.unreached(run.hear(asked, heard))
    answers, errors = heard.values, {**heard.unanswered(set(faults)), **heard.errors}
    for name in faults:
        if not answers[name]:
            del answers[name]
    doubts: list[tuple[str, str]] = []
    _cloud(run, answers, errors)
    known = _known(run, answers, doubts)
    name, table = _release(run, answers, doubts)
    seen = Looked(
        facts=Facts(answers, known, table),
        unreachable={n: (type(fault).__name__, str(fault)) for n, fault in faults.items()},
        errors=errors,
        clocks=_clocks(run, heard),
        here=_here(run),
        releases=tuple(release_names(site_file.releases())),
        release=name,
        hazards=tuple(site_file.hazards()),
        doubts=tuple(doubts),
    )
    if backends.orphaned(seen) and site.admin.name in answers:
        answers[site.admin.name] |= _images(run)
    return seen


def _cloud(run: Run, answers: dict[str, Any], errors: dict[tuple[str, str], str]) -> None:
    """What OpenStack's API tells, into answers; or why it does not, into errors."""
    if not run.site.cloud:
        return
    from fabfile.cloud import holdings, volume_types  # noqa: PLC0415

    try:
        connection = run.connection()
        types = {"volume_types": volume_types.read(connection)}
        answers[CLOUD] = {**types, **holdings.read(connection)}
    except Stop as stop:
        errors[CLOUD, "api"] = str(stop)


def _known(run: Run, answers: Mapping[str, Any], doubts: list[tuple[str, str]]) -> dict[str, str]:
    """The secrets' UUIDs and the source's key, as far as they are beyond doubt."""
    site, facts = run.site, Facts(answers)
    known: dict[str, str] = {}
    try:
        limit.refuse_one_host_under_two_names(answers)
    except BadInput as stop:
        doubts.append(("hosts.one", str(stop)))
    try:
        known |= {"apt.key": text_of(site.packages.key)} if site.packages.key else {}
    except BadInput as stop:
        doubts.append(("here.key", str(stop)))
    asked = {read.id for read in secret_uuid.reads(site, site.admin)}
    if asked <= set(answers.get(site.admin.name, {})):
        try:
            known |= secret_uuid.resolve(site, calm(site, facts))
        except Stop as stop:
            doubts.append(("identity", str(stop)))
    return known


def _release(
    run: Run, answers: Mapping[str, Any], doubts: list[tuple[str, str]]
) -> tuple[str, Mapping[str, Any]]:
    facts = Facts(answers)
    if not releases.asked(facts):
        return "", {}
    try:
        return releases.choose(run.site, facts, site_file.releases())
    except BadInput as stop:
        doubts.append(("release", str(stop)))
        return "", {}


def release_names(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """The releases' names, the oldest first: years and halves came before numbers."""
    versions = {float(v): str(n) for table in tables for v, n in table["versions"].items()}
    years = sorted(v for v in versions if v > 2000)
    return [versions[v] for v in (*years, *sorted(v for v in versions if v < 2000))]


def _clocks(run: Run, heard: Heard) -> dict[str, tuple[float, float]]:
    """Asks hosts whose clock may be off once more, alone: the shorter the trip, the sharper."""
    clocks = heard.clocks()
    doubtful = [run.site.host(name) for name in hosts.doubtful(run.site, clocks)]
    if doubtful:
        asked = {host: [Read("host", "host")] for host in doubtful}
        again = Heard(asked)
        run.hear(asked, again, quietly=True)
        clocks |= again.clocks()
    return clocks


def _images(run: Run) -> dict[str, Any]:
    """What lies in the volumes' pool: asked only where volumes are nobody's."""
    pool, admin = run.site.cinder.pool, run.site.admin
    asked = {admin: [Read(f"images.{pool}", "argv", {"argv": ["rbd", "ls", "-p", pool]})]}
    heard = Heard(asked)
    run.hear(asked, heard, quietly=True)
    return heard.values[admin.name]


def _here(run: Run) -> dict[str, Any]:
    """What is known of this machine."""
    file = site_file.expanded(run.site.clouds_yaml, "clouds_yaml") if run.site.clouds_yaml else None
    return {
        **{name: metadata.version(name) for name in ("fabric", "invoke")},
        "patchwork": util.find_spec("patchwork") is not None,
        "private": {str(file): file.stat().st_mode & 0o777} if file and file.is_file() else {},
        "known_hosts": run.fleet.warnings,
        "records": create.ages(run.site) if run.site.backup.recipients else None,
    }


# The tasks


def doctor(context: Any, options: Options) -> int:
    """Says what is wrong and what mends it: 0 healthy, 3 something found, 4 hosts unreachable."""
    with Run(context, options, "doctor") as run:
        seen = look(run)
        found, _ = checks.findings(run.site, seen)
        rows = secret_holders.table(run.site, seen)
        words = options.words_of_site
        listing.findings(run.screen, found, run.site, words)
        if secret_holders.odd(rows) and not pending_plan.is_unconnected(run.site, seen):
            run.screen.say("Who holds which secret:")
            listing.places(run.screen, rows)
        run.screen.say(_sentence(run, seen, found))
        run.screen.json(
            {
                "site": run.site.name,
                "healthy": healthy(found) and not seen.unreachable,
                "findings": [as_data(one, run.site, words) for one in found],
                "secrets": [asdict(row) for row in rows],
                "trips": run.fleet.trips,
            }
        )
    if seen.unreachable:
        return Unreachable.code
    return 0 if healthy(found) else BadInput.code


def _sentence(run: Run, seen: Looked, found: Sequence[Finding]) -> str:
    asked = len([host for host in run.site.all_hosts() if run.in_scope(host)])
    answered = asked - len(seen.unreachable)
    said = "Healthy" if healthy(found) and not seen.unreachable else "Not healthy"
    return f"{said}: {sentence(counts(found), answered, asked)}"


def _last_run(run: Run) -> dict[str, Any] | None:
    try:
        return history.last(run.site.name)
    except BadInput as unread:
        run.screen.say(f"Warning: {unread}")
        return None


def status(context: Any, options: Options) -> int:
    """Shows the site: roles, versions, pools, drift, the last run, and who holds which secret."""
    with Run(context, options, "status") as run:
        seen = look(run)
        found, plan = checks.findings(run.site, seen)
        rows = secret_holders.table(run.site, seen)
        told = summary(run.site, seen, plan)
        told["last_run"] = _last_run(run)
        run.screen.say(f"{run.site.name} ({run.path})")
        listing.status(run.screen, told)
        run.screen.say("  secrets")
        listing.places(run.screen, rows)
        run.screen.say(_sentence(run, seen, found) + "; see inv doctor")
        run.screen.json(
            {
                "site": run.site.name,
                **told,
                "secrets": [asdict(row) for row in rows],
                "findings": len(found),
                "healthy": healthy(found) and not seen.unreachable,
            }
        )
    return 0
