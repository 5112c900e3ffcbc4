"""Probe, plan, apply, verify, record: what every task does.

Knows the order and the outcome; what must be true is the resources' to say, how a
host is reached is core's.
"""

from __future__ import annotations

import fnmatch
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fabfile import context as travelling
from fabfile.core import journal, site_file
from fabfile.core.contract import (
    CHANGES_PENDING,
    CLOUD,
    BadInput,
    Change,
    Facts,
    Failed,
    Host,
    Locked,
    Plan,
    Read,
    Ref,
    Secret,
    Stop,
    Unknown,
    Unproved,
    Unreachable,
)
from fabfile.flow.screen import Screen
from fabfile.resources import auth, identity, release
from fabfile.resources import site as sites

PROBE_DEADLINE, APPLY_DEADLINE = 120, 1800


@dataclass(frozen=True)
class Options:
    """The flags that all tasks have in common."""

    site: str = ""
    limit: str = ""
    check: bool = False
    diff: bool = False
    yes: bool = False
    json: bool = False


@dataclass
class Run:
    """One task at work on one site: connections, facts and keys of this run."""

    context: Any
    options: Options
    screen: Screen = field(init=False)

    def __post_init__(self) -> None:
        self.screen = Screen(self.options.json)
        path = site_file.locate(self.options.site)
        self.site = sites.check(site_file.load(path), str(path))
        self.limited = _limited(self.site, self.options.limit)
        self._tables = site_file.releases()
        self._keys: dict[str, Secret] = {}
        self.fleet = self._fleet()

    def _fleet(self) -> Any:
        from fabfile.core.ssh import Fleet  # noqa: PLC0415 (Fabric is slow to load)

        ssh = self.site.ssh
        config = Path(ssh.config).expanduser() if ssh.config else None
        if config and not config.exists():
            raise BadInput(f"ssh.config: {config}: no such file (for the lab: inv lab.up)")
        password = _printed(ssh.sudo_password_command) if ssh.sudo_password_command else None
        return Fleet(self.site.all_hosts(), config, ssh.forks, password)

    # Probe

    def probe(self, stages: Sequence[Any]) -> Facts:
        """Asks the cluster first, then every other host once for all stages."""
        admin = self.site.admin
        scope = [h for h in self.site.all_hosts() if self._in_scope(h)]
        self.screen.step("-", f"reading {len(scope)} hosts")
        asked = {h: _questions(stages, self.site, h) for h in scope}
        ids = {read.id for reads in asked.values() for read in reads}
        cluster_side = {admin: asked.pop(admin)}
        answers: dict[str, dict[str, Any]] = {}
        for part in (cluster_side, asked):
            answers |= self.ask({h: reads for h, reads in part.items() if reads})
        if self.site.cloud and _questions(stages, self.site, Host(CLOUD, ())):
            answers[CLOUD] = self._ask_cloud()
        facts = Facts(answers)
        known = {"apt.key": _text_of(self.site.packages.key)} if self.site.packages.key else {}
        if ids & identity.IDS:
            known |= identity.resolve(self.site, facts)
        travelling.remember(self.context, known)
        needs_release = any(release.READ.id in seen for seen in answers.values())
        table = release.choose(self.site, facts, self._tables)[1] if needs_release else {}
        return Facts(answers, travelling.recall(self.context), table)

    def _in_scope(self, host: Host) -> bool:
        return (
            host.name in self.limited
            or host == self.site.admin
            or bool({"glance", "cinder"} & set(host.roles))
        )

    def ask(self, asked: Mapping[Host, Sequence[Read]]) -> dict[str, dict[str, Any]]:
        """{host: {read id: value}}.  Raises Unreachable, or Failed for what could not look."""
        works = {
            host.name: {"reads": [asdict(r) for r in reads], "deadline": PROBE_DEADLINE}
            for host, reads in asked.items()
        }
        answers: dict[str, dict[str, Any]] = {name: {} for name in works}
        errors: list[str] = []

        def heard(host: str, message: Mapping[str, Any]) -> None:
            if message["t"] == "read" and "error" in message:
                errors.append(f"{host}: {message['error']}")
            elif message["t"] == "read":
                answers[host][message["id"]] = message["value"]

        faults = self.fleet.work(works, heard)
        if faults:
            causes = "\n".join(str(fault) for fault in faults.values())
            raise Unreachable(f"{causes}\nnothing was written anywhere")
        if errors:
            raise Failed("could not look:\n" + "\n".join(errors) + "\nnothing was written anywhere")
        return answers

    def _connection(self) -> Any:
        from fabfile.cloud import connection  # noqa: PLC0415

        return connection.connect(str(self.site.cloud), self.site.clouds_yaml)

    def _ask_cloud(self) -> dict[str, Any]:
        from fabfile.cloud import volume_types  # noqa: PLC0415

        return volume_types.read(self._connection())

    # Plan

    def plan(self, stages: Sequence[Any], facts: Facts) -> Plan:
        """All stages as one plan; restarts last in their wave."""
        changes: list[Change] = []
        for stage in stages:
            more = {"changes": changes} if getattr(stage, "SEES_CHANGES", False) else {}
            changes += [c for c in stage.plan(self.site, facts, **more) if self._may_touch(c)]
        return Plan(tuple(changes))

    def _may_touch(self, change: Change) -> bool:
        return change.host in self.limited or (change.host == CLOUD and not self.options.limit)

    # Apply

    def apply(self, plan: Plan, record: journal.Journal) -> None:
        """Carries the plan out, wave by wave; the first fault stops before the next wave."""
        for wave in plan.waves():
            self._fetch_keys(wave)
            cloud = wave.pop(CLOUD, [])
            if wave:
                self._apply_hosts(wave, record)
            for change in cloud:
                self._apply_cloud(change, record)

    def _fetch_keys(self, wave: Mapping[str, Sequence[Change]]) -> None:
        needed = {n for changes in wave.values() for c in changes for n in c.needs}
        missing = sorted(needed - set(self._keys))
        if not missing:
            return
        steps = [
            {
                "id": i,
                "verb": "run",
                "args": {"argv": auth.key_command(n.split("client.", 1)[1]), "capture": True},
            }
            for i, n in enumerate(missing)
        ]
        faults: list[str] = []

        def heard(host: str, message: Mapping[str, Any]) -> None:
            if message["t"] == "done":
                self._keys[missing[message["step"]]] = Secret(message["out"]["secret"])
            elif message["t"] == "failed":
                faults.append(f"{host}: {message['why']}")

        cut = self.fleet.work({self.site.admin.name: self._work(steps, "keys")}, heard)
        if cut or faults:
            raise Failed("\n".join([*map(str, cut.values()), *faults]))

    def _work(self, steps: list[dict[str, Any]], run: str) -> dict[str, Any]:
        return {"steps": steps, "run": run, "who": run, "deadline": APPLY_DEADLINE}

    def _apply_hosts(self, wave: Mapping[str, Sequence[Change]], record: journal.Journal) -> None:
        works = {
            host: self._work([self._step(i, c) for i, c in enumerate(changes)], record.id)
            for host, changes in wave.items()
        }
        failed: list[str] = []
        busy: list[str] = []

        def heard(host: str, message: Mapping[str, Any]) -> None:
            if message["t"] == "busy":
                busy.append(f"{host}: run {message['who']} is at work there")
                return
            change = wave[host][message["step"]]
            what = f"{change.sign} {change.thing}: {change.sentence}"
            record.event(message["t"], host=host, thing=change.thing, why=message.get("why"))
            if message["t"] == "done":
                self.screen.step(host, what)
            elif message["t"] == "failed":
                failed.append(f"{host}: {change.thing}: {message['why']}")
                self.screen.step(host, f"FAILED {what}")

        faults = self.fleet.work(works, heard)
        if failed:
            raise Failed("\n".join([*failed, *map(str, faults.values())]))
        if faults:
            listed = "\n".join(map(str, faults.values()))
            raise Unknown(f"{listed}\nwhat was done there is not known: run it again to read it")
        if busy:
            raise Locked("\n".join(busy))

    def _step(self, number: int, change: Change) -> dict[str, Any]:
        return {
            "id": number,
            "verb": change.verb,
            "args": self._resolved(dict(change.args)),
            "restarts": list(change.restarts),
        }

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return self._keys[value.name]
        if isinstance(value, dict):
            return {k: self._resolved(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._resolved(v) for v in value]
        return value

    def _apply_cloud(self, change: Change, record: journal.Journal) -> None:
        from fabfile.cloud import volume_types  # noqa: PLC0415

        record.event("begin", host=CLOUD, thing=change.thing)
        volume_types.ensure(self._connection(), **change.args)
        record.event("done", host=CLOUD, thing=change.thing)
        self.screen.step(CLOUD, f"{change.sign} {change.thing}: {change.sentence}")

    # The whole

    def converge(self, stages: Sequence[Any]) -> Plan:
        """All five steps; returns the plan that was carried out (or is pending).

        Raises Stop; with --check, nothing is written.
        """
        plan = self.plan(stages, self.probe(stages))
        if not plan:
            self.screen.say("Nothing to do: everything is as it should be.")
            return plan
        self.screen.plan(plan, self.options.diff)
        if self.options.check:
            return plan
        self._confirm()
        record = journal.Journal(self.site.name)
        try:
            record.plan(plan)
            self.apply(plan, record)
            left = self.plan(stages, self.probe(stages))
            record.event("verified", left=len(left.changes))
            if left:
                self.screen.plan(left, True)
                raise Unproved("after the work, a second look found the above still to be done")
        except Stop as stop:
            record.event("stopped", code=stop.code, why=str(stop))
            raise
        finally:
            record.close()
        self.screen.say(f"Done. The record of this run: {record.path}")
        return plan

    def _confirm(self) -> None:
        if self.options.yes:
            return
        if not sys.stdin.isatty():
            raise BadInput("nobody is there to ask: give --yes, or --check to look only")
        if input("Do this? Only 'yes' goes on: ").strip() != "yes":
            raise BadInput("not confirmed; nothing was written")

    def report(self, plan: Plan) -> int:
        """Prints --json's document; the exit code."""
        pending = self.options.check and bool(plan)
        self.screen.json({
            "site": self.site.name,
            "changed": bool(plan) and not pending,
            "pending": pending,
            "changes": [
                {"host": c.host, "thing": c.thing, "sign": c.sign, "sentence": c.sentence,
                 "diff": c.diff}
                for c in plan.changes
            ],
            "trips": self.fleet.trips,
        })  # fmt: skip
        return CHANGES_PENDING if pending else 0


def _questions(stages: Sequence[Any], site: Any, host: Host) -> list[Read]:
    asked = {read.id: read for stage in stages for read in stage.reads(site, host)}
    return list(asked.values())


def _limited(site: Any, limit: str) -> set[str]:
    """The hosts of --limit: names, globs and roles by commas, '!' takes away."""
    if not limit:
        return set(site.hosts)
    words = [w.strip() for w in limit.split(",") if w.strip()]
    found: set[str] = set() if any(not w.startswith("!") for w in words) else set(site.hosts)
    for word in words:
        pattern = word.removeprefix("!")
        hits = {
            h.name
            for h in site.all_hosts()
            if fnmatch.fnmatchcase(h.name, pattern) or pattern in h.roles
        }
        if not hits:
            known = ", ".join(site.hosts)
            raise BadInput(f"--limit: {pattern!r} is no host or role; hosts are {known}")
        found = found - hits if word.startswith("!") else found | hits
    if not found:
        raise BadInput(f"--limit: {limit!r} leaves no host")
    return found


def _printed(command: Sequence[str]) -> Secret:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode or not done.stdout.strip():
        raise BadInput(f"ssh.sudo_password_command: {command[0]} printed no password")
    return Secret(done.stdout.splitlines()[0])


def _text_of(path: str) -> str:
    try:
        return Path(path).expanduser().read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"packages.key: {path}: expected an ASCII-armoured key: {error}") from None
