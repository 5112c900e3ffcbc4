"""init --cloud: looks at a running cloud and writes a site file of it; writes on no host.

Knows who is asked, and when; what follows from the answers is fabfile/adopt's to say.  Two trips
to each host: what it is, and what the plan of the draft wants to know.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from invoke import Context

from fabfile.adopt import candidates, found, inventory, look, settled, site_text
from fabfile.adopt.draft import Draft, Heard, Remark, drafted
from fabfile.adopt.forms import fits
from fabfile.cloud import connection, machines, offered
from fabfile.core import own_files, site_file
from fabfile.core.contract import INV, BadInput, Failed, Json, Seen, Stop, Unreachable
from fabfile.core.text import counted, counted_hosts, few
from fabfile.doctor.observation import Looked
from fabfile.flow.inspect import survey
from fabfile.flow.inspect.survey import TimedCollector
from fabfile.flow.session import Options, Session, session_over
from fabfile.flow.terminal import outcomes
from fabfile.flow.terminal.screen import Screen
from fabfile.model import site as sites
from fabfile.model import site_tables
from fabfile.resources import cluster

_NAMED = connection.Named("--cloud", "--clouds-yaml FILE")
_MOST_SHOWN = 40
"""Lines of what the plan would still do, in the file and on the screen."""


@dataclass(frozen=True)
class Asked:
    """The flags of the task."""

    out: str
    cloud: str = ""
    ceph: str = ""
    inventory: str = ""
    clouds_yaml: str = ""
    ssh_config: str = ""
    sudo_password_command: str = ""

    @property
    def head(self) -> dict[str, Json]:
        """What of the site file the operator says.  Raises BadInput."""
        if self.cloud and not fits(site_tables.Name, self.cloud):
            raise BadInput(f"--cloud: expected a name of clouds.yaml, found {self.cloud[:80]!r}")
        said = {"cloud": self.cloud, "clouds_yaml": self._path(self.clouds_yaml, "--clouds-yaml")}
        named = {"name": self.cloud or "my-cloud"}
        return {**named, **{key: text for key, text in said.items() if text}, **self._ssh()}

    def _ssh(self) -> dict[str, Json]:
        try:
            command = shlex.split(self.sudo_password_command)
        except ValueError as error:
            raise BadInput(f"--sudo-password-command: {error}") from None
        found: dict[str, Json] = {}
        if path := self._path(self.ssh_config, "--ssh-config"):
            found["config"] = path
        if command:
            found["sudo_password_command"] = command
        return {"ssh": found} if found else {}

    @staticmethod
    def _path(text: str, flag: str) -> str:
        """As it stands in the file: it is read from whatever folder."""
        return str(site_file.expanded(text, flag).absolute()) if text else ""


def adopt(context: Context, options: Options, asked: Asked) -> int:
    """Looks, and writes the file: 0; 4 where hosts were not reached and are left out.

    Raises Stop where nothing was written.
    """
    began = time.monotonic()
    path = site_file.expanded(asked.out, "--out")
    site_file.refuse_existing(path)
    screen = Screen(options.json)
    api, types, offers = _cloud(asked, screen)
    ceph = [word.strip() for word in asked.ceph.split(",") if word.strip()]
    chosen = candidates.chosen(ceph, _listed(asked), api)
    if not chosen.candidates:
        raise BadInput(
            "no host is named, by the API or an inventory: name Ceph's by --ceph HOST, and the "
            "others by --inventory FILE"
        )
    head = asked.head
    raw = look.provisional(chosen, head.get("ssh", {}))
    tables = site_file.platforms()
    site = sites.check(raw, "the hosts that are named", tables)
    with session_over(context, options, "init", path, site, screen) as session:
        heard = Heard(chosen, {}, api=api, types=types, head=head, tables=site_file.releases())
        heard, looking = _look(session, heard)
        draft = settled.loadable(drafted(heard, looking.site), tables)
        done = settled.settled(draft, _look_again(looking, draft), tables)
        took = time.monotonic() - began
        text = site_text.written(done.draft, _head(done, asked, took), offers)
        sites.check(site_file.parsed(text, str(path)), str(path), tables)
        site_file.write_new(path, text)
        _report(session, path, done, took)
    gone = heard.unreachable.keys() & done.draft.left_out.keys()
    return Unreachable.code if gone else 0


def _cloud(asked: Asked, screen: Screen) -> tuple[Json, Json, Json]:
    """(machines, types and QoS, flavors and images) as the API has them; None without a cloud."""
    if not asked.cloud:
        return None, None, None
    file = asked.head.get("clouds_yaml")
    screen.step("-", f"asking the API of {asked.cloud}")
    opened = connection.connect(asked.cloud, file, _NAMED)
    return machines.read(opened), machines.typed(opened), _offered(opened, screen)


def _offered(opened: connection.Cloud, screen: Screen) -> Json:
    """The flavors and images; None, and why, where they are not to be had: they only help."""
    try:
        return offered.read(opened)
    except Failed as stop:
        screen.say(f"None is proposed for [verify]: {stop}")
        return None


def _listed(asked: Asked) -> list[inventory.Listed]:
    if not asked.inventory:
        return []
    path = site_file.expanded(asked.inventory, "--inventory")
    try:
        text = own_files.read(path, "the inventory").decode("utf-8")
    except OSError as error:
        raise BadInput(f"--inventory: {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"--inventory: {path}: byte {error.start}: expected UTF-8") from None
    return inventory.parsed(text, str(path))


# The first trip


def _look(session: Session, heard: Heard) -> tuple[Heard, Session]:
    """What all candidates say; the cluster too.  Raises Stop where that is not to be had.

    The session: the same, with the host that answers for the cluster.
    """
    site, known = session.site, bool(heard.chosen.with_role("ceph"))
    hosts = site.all_hosts()
    session.screen.step("-", f"reading {counted_hosts([host.name for host in hosts])}")
    asked = {host: look.reads(site, host, known and host == site.admin) for host in hosts}
    collected = TimedCollector(asked)
    faults = outcomes.unreached(session.dispatch(asked, collected))
    answers: dict[str, Seen] = {n: seen for n, seen in collected.values.items() if seen}
    gone = {name: stop for name, stop in faults.items() if name not in answers}
    if known and site.admin.name in gone:
        raise gone[site.admin.name]
    if not answers:
        raise outcomes.worst(gone)
    errors: dict[tuple[str, str], Stop] = dict(collected.errors)
    others = look.of_other_platforms(site, answers, site_file.platforms())
    if others:
        heard, session = _on_platforms(session, heard, others)
        answers, errors = _asked_again(session, known, others, answers, errors)
    heard = replace(
        heard,
        answers=answers,
        unreachable={name: str(stop) for name, stop in gone.items()},
        errors={at: str(stop) for at, stop in errors.items()},
    )
    if not known:
        heard, session = _find_admin(session, heard)
    _refuse_without_cluster(session, errors)
    return _look_further(session, heard), session


def _on_platforms(
    session: Session, heard: Heard, others: Mapping[str, str]
) -> tuple[Heard, Session]:
    """The same, where hosts turned out to be of other platforms: {host: its own}."""
    chosen = heard.chosen.on_platforms(others)
    raw = look.provisional(chosen, heard.head.get("ssh", {}))
    site = sites.check(raw, "the hosts that are named", site_file.platforms())
    return replace(heard, chosen=chosen), replace(session, site=site)


def _asked_again(
    session: Session,
    known: bool,
    others: Collection[str],
    answers: Mapping[str, Seen],
    errors: Mapping[tuple[str, str], Stop],
) -> tuple[dict[str, Seen], dict[tuple[str, str], Stop]]:
    """The answers and errors, those of these hosts by their own platforms' names and programs."""
    site = session.site
    asked = {
        host: look.reads(site, host, known and host == site.admin)
        for host in map(site.host, others)
    }
    collected = TimedCollector(asked)
    faults = outcomes.unreached(session.dispatch(asked, collected))
    for name, stop in faults.items():
        if not collected.values[name]:
            raise stop
    own = {name: seen for name, seen in collected.values.items() if seen}
    rest = {at: stop for at, stop in errors.items() if at[0] not in own}
    return {**answers, **own}, {**rest, **collected.errors}


def _look_further(session: Session, heard: Heard) -> Heard:
    """With what is asked only where there are several clusters; what is not answered is said."""
    asked = look.further(session.site, heard.answers)
    if not asked:
        return heard
    collected = TimedCollector(asked)
    faults = outcomes.unreached(session.dispatch(asked, collected))
    errors = {
        (name, read.id): faults[name] for name in faults for read in asked[session.site.host(name)]
    }
    answers = {
        name: {**seen, **collected.values.get(name, {})} for name, seen in heard.answers.items()
    }
    told = {at: str(stop) for at, stop in {**errors, **collected.errors}.items()}
    return replace(heard, answers=answers, errors={**heard.errors, **told})


def _find_admin(session: Session, heard: Heard) -> tuple[Heard, Session]:
    """The host that has the admin keyring, and what it says.  Raises BadInput where none has."""
    site = session.site
    holding = [
        host
        for host in site.all_hosts()
        if (heard.answers.get(host.name, {}).get(look.THERE) or {}).get(look.admin_key(site, host))
    ]
    if not holding:
        raise BadInput(_no_admin(heard))
    admin = holding[0]
    chosen = heard.chosen.with_ceph(look.first_of_each(heard.answers, [h.name for h in holding]))
    raw = look.provisional(chosen, {})
    mine = replace(session, site=sites.check(raw, "the hosts", site_file.platforms()))
    answers = mine.ask({mine.site.admin: look.of_the_cluster(mine.site)})
    seen = {**heard.answers[admin.name], **answers[admin.name]}
    return replace(heard, chosen=chosen, answers={**heard.answers, admin.name: seen}), mine


def _no_admin(heard: Heard) -> str:
    texts = [found.conf_text(seen, "") for seen in heard.answers.values()]
    named = [one for text in texts for one in found.monitors(text)]
    known = f" (ceph.conf names monitors at {few(list(dict.fromkeys(named)))})" if named else ""
    return (
        "--ceph: expected a host with the cluster's admin keyring, found none among those that the "
        f"API and the inventory name: name one by --ceph HOST{known}; nothing was written"
    )


def _refuse_without_cluster(session: Session, errors: Mapping[tuple[str, str], Stop]) -> None:
    """Raises what kept the cluster's first host from answering for it."""
    admin = session.site.admin
    wanted = {read.id for read in cluster.reads(session.site, admin)}
    for (host, read), stop in errors.items():
        if host == admin.name and read in wanted:
            stop.add(f"{host} has to answer for the cluster: name another host by --ceph")
            raise stop


# The second trip


def _look_again(session: Session, draft: Draft) -> Looked:
    """What the plan of the draft wants to know, and the doctor."""
    site = sites.check(draft.raw, "the draft", site_file.platforms())
    mine = replace(session, site=site, limited=set(site.hosts))
    return survey.look(mine)


# What is said


def _head(done: settled.Settled, asked: Asked, took: float) -> list[str]:
    where = f"cloud {asked.cloud}" if asked.cloud else "the hosts"
    lines = [
        f"{where}, as it was on {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC; it took "
        f"{took:.0f} s to look ({INV} init).",
        f"What else can be said here: docs/own-cloud.md; a start with all tables: {INV} init.",
    ]
    lines += _of_the_plan(done)
    return [*lines, ""]


def _of_the_plan(done: settled.Settled) -> list[str]:
    if not (done.changes or done.refused):
        return ["Its plan was empty when it was written."]
    lines = [f"Its plan was not empty: {counted(len(done.changes), 'change')}, with restarts."]
    lines += [f"  refused: {text}" for text in done.refused]
    lines += [f"  {c.sign} {c.host}: {c.thing}: {c.sentence}" for c in done.changes]
    more = len(lines) - _MOST_SHOWN
    return [*lines[:_MOST_SHOWN], f"  and {more} more"] if more > 0 else lines


def _report(session: Session, path: Path, done: settled.Settled, took: float) -> None:
    screen, draft = session.screen, done.draft
    doubts = [one for one in draft.remarks if one.doubtful]
    for one in doubts:
        screen.say(f"Doubtful: {_place(one)}{one.text}")
    for name, (_, why) in draft.left_out.items():
        screen.say(f"Left out: {name}: {why}")
    screen.say_all(_of_the_plan(done))
    hosts = draft.raw["hosts"]
    screen.say(
        f"{path}: written in {took:.1f} s, of {counted_hosts(hosts)}; "
        f"{counted(len(doubts), 'doubt')}, "
        f"{counted(len(draft.left_out), 'host')} left out. Read it, then:"
    )
    site = f"--site {shlex.quote(str(path))}"
    if done.changes or done.refused:
        screen.say(f"  {INV} plan {site}", whole=True)
    screen.say(f"  {INV} doctor {site}", whole=True)
    lacks = "[verify]" if "cloud" in draft.raw else "`cloud` and [verify]"
    screen.say(
        f"{INV} verify needs {lacks} of that file filled in, and only you know which guest may "
        "prove it: a flavor, and an image or a folder (docs/verify.md). Then:"
    )
    screen.say(f"  {INV} verify {site}", whole=True)
    screen.json(
        {
            "site": draft.raw["name"],
            "file": str(path),
            "connected": draft.connected,
            "hosts": hosts,
            "doubts": [{"at": list(one.at), "text": one.text} for one in doubts],
            "left_out": {name: why for name, (_, why) in draft.left_out.items()},
            "changes": len(done.changes),
            "refused": list(done.refused),
            "seconds": round(took, 1),
            "trips": session.fleet.trips,
        }
    )


def _place(one: Remark) -> str:
    return f"{'.'.join(one.at)}: " if one.at else ""
