"""backup.create, backup.list and backup.verify: backups made, shown, and tried.

Brings together what a backup holds (fabfile.backup.contents), how it travels (transfer) and where
it is kept (fabfile.backup.store).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from invoke import Context

from fabfile.backup import age, contents
from fabfile.backup import manifest as manifests
from fabfile.backup.store import AHEAD, Incoming, Outgoing, Store
from fabfile.core import journal, site_file
from fabfile.core.contract import INV, BadInput, Facts, Failed, Host, Json, Read, Stop
from fabfile.core.text import counted
from fabfile.flow.backup import key
from fabfile.flow.backup.transfer import transferred
from fabfile.flow.session import Options, Session, open_session
from fabfile.flow.terminal import outcomes
from fabfile.flow.terminal.screen import Screen
from fabfile.model.site import Site
from fabfile.resources import backup_tools


def store(site: Site, unsigned: bool = False) -> Store:
    """Where a site's backups are; unsigned: one that nobody signed is taken as well."""
    return Store(site.backup.folder, site.name, key.trust(site, unsigned))


# Making one


def create(context: Context, options: Options) -> int:
    """Makes a backup of the site, and prunes the oldest ones."""
    with open_session(context, options, "backup.create") as session:
        facts = seen(session)
        contents.refuse_without_tools(session.site, facts)
        key.signer(session.site)
        with session.locked() as number:
            name = make(session, facts, number)
        kept = store(session.site)
        manifest = kept.manifest(name)
        for line in warnings(manifest):
            session.screen.say(f"Warning: {line}")
        pruned = kept.prune(session.site.backup.keep, name)
        for why in pruned.unfit.values():
            session.screen.say(f"Warning: does not count, and is not pruned: {why}")
        gone = pruned.gone
        session.screen.say(
            f"Backup {name}: {told(manifest)}" + (f"; pruned {len(gone)}" if gone else "")
        )
        session.screen.say(f"Try it: {INV} backup.verify --backup {name}")
        session.screen.json(
            {
                "site": session.site.name,
                "record": name,
                "manifest": manifest,
                "pruned": gone,
                "unfit": pruned.unfit,
            }
        )
    return 0


def seen(session: Session) -> Facts:
    """What a backup says of cluster and hosts; computes that do not answer are left out."""
    asked: dict[Host, list[Read]] = {}
    for host in session.site.all_hosts():
        if reads := contents.reads(session.site, host):
            asked[host] = reads
    answers, faults = session.asked(asked)
    needed = {host.name for host in (*session.site.admins, *backup_tools.hosts(session.site))}
    wrong = {host: fault for host, fault in faults.items() if host in needed}
    if wrong:
        raise outcomes.worst(wrong)
    for name, fault in faults.items():
        session.screen.say(f"Warning: left out: {outcomes.cause(name, fault)}")
    told = {host: one for host, one in answers.items() if host not in faults}
    return Facts(session.with_supplied(told))


def make(session: Session, facts: Facts, number: int) -> str:
    """A backup, kept whole under its final name, or not at all; returns its name.

    Raises Failed, Unknown, Interrupted...; what came until then is taken away.
    """
    site, kept = session.site, store(session.site)
    cluster = contents.of_cluster(site, facts)
    head = {"format": 1, "site": site.name, "fsid": cluster["fsid"], "record": session.id}
    signer = key.signer(site)
    part = kept.begin(session.id)
    record = journal.Journal(session.id, site=site.name, task=session.task)
    try:
        streams = {
            host.name: Incoming(part / f"{host.name}.age") for host in backup_tools.hosts(site)
        }
        works = {
            host: _work(site, host, {**head, **contents.of_host(site, facts, host)}, cluster)
            for host in streams
        }
        session.screen.step("-", f"backing up {', '.join(streams)}")
        said = transferred(session, number, "create", works, streams)
        hosts = {host: {**said[host], **stream.close()} for host, stream in streams.items()}
        manifest = {
            **head,
            "time": int(time.time()),
            "who": journal.who(),
            "ceph": cluster,
            "secrets": contents.secrets(facts),
            "hosts": hosts,
        }
        _refuse_unshaped(manifest)
        kept.finish(part, manifest, signer)
    except BaseException as error:
        kept.drop(part)
        code = error.code if isinstance(error, Stop) else 1
        record.event("ended", code=code, why=str(error))
        raise
    record.event("ended", code=0, record=session.id)
    return session.id


def _refuse_unshaped(manifest: Mapping[str, Json]) -> None:
    """Raises Failed where a host said of its part what no backup says: it is not signed."""
    faults = manifests.faults_of(manifest)
    if faults:
        raise Failed(
            "what the hosts say of their backups has not its form; nothing is kept: "
            + "; ".join(faults[:5])
        )


def _work(
    site: Site, host: str, about: Mapping[str, Json], cluster: Mapping[str, Json]
) -> dict[str, Json]:
    database = site.with_role("database")
    holds = bool(database) and site.database_host.name == host
    dumped = {"defaults": site.database.defaults_file, "heads": contents.HEADS} if holds else None
    return {
        "recipients": site.backup.recipients,
        "folders": contents.folders(site, site.host(host)),
        "said": {"ceph.json": json.dumps(cluster, indent=1)},
        "commands": contents.COMMANDS if holds else {},
        "dumped": dumped,
        "about": dict(about),
    }


# Showing them


def told(manifest: Mapping[str, Json]) -> str:
    """A backup in a line."""
    if "broken" in manifest:
        return str(manifest["broken"])
    hosts = manifest["hosts"]
    tables = [t for held in hosts.values() for t in held.get("database", {}).get("tables", {})]
    size = sum(held["size"] for held in hosts.values())
    rows = sum(
        rows
        for held in hosts.values()
        for rows, _ in held.get("database", {}).get("tables", {}).values()
    )
    made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(manifest["time"]))
    return (
        f"made {made}, {counted(len(hosts), 'host')}, {counted(len(tables), 'table')}, "
        f"{counted(rows, 'row')}, {size / 1e6:.1f} MB sealed"
    )


def warnings(manifest: Mapping[str, Json]) -> list[str]:
    """What a backup could not hold as it should."""
    found = []
    for host, held in manifest["hosts"].items():
        unsafe = held.get("database", {}).get("unsafe", [])
        if unsafe:
            found.append(
                f"{host}: these tables' engines know no transactions; what was written "
                f"to them during the dump may be torn: {', '.join(unsafe)}"
            )
        found += [f"{host}: not in the backup: {line}" for line in held.get("left", [])]
    return found


def show(site: Site, as_json: bool) -> int:
    """A line for each backup, the newest first."""
    screen, kept = Screen(as_json), store(site)
    found = []
    for name, manifest in kept.all():
        drill = kept.verified(name)
        stood = f"verified {_age(time.time() - drill['time'])} ago" if drill else "never verified"
        screen.say(f"{name}  {told(manifest)}{_besides(name, manifest)}; {stood}")
        found.append({"record": name, "verified": drill, "manifest": manifest})
    if not found:
        screen.say(f"no backup is in {kept.path}; {INV} backup.create makes one")
    screen.json({"site": site.name, "folder": str(kept.path), "records": found})
    return 0


def _besides(name: str, manifest: Mapping[str, Json]) -> str:
    """What is to be known before one takes this backup for the last."""
    said = ""
    if manifest.get("record", name) != name:
        said += f"; a copy of {manifest['record']}"
    if manifest.get("time", 0) > time.time() + AHEAD:
        said += "; dated after now: a clock is, or was, wrong"
    return said


def _age(seconds: float) -> str:
    hours = int(seconds // 3600)
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours"


def ages(site: Site) -> dict[str, Json]:
    """{'newest', 'verified': seconds since the newest backup, and since the newest tried one,
    'unfit': {name: why it cannot be taken}}."""
    kept = store(site)
    newest = kept.newest()
    tried = kept.last_verified()
    return {
        "newest": time.time() - newest[1]["time"] if newest else None,
        "verified": tried[1] if tried else None,
        "unfit": {name: about["broken"] for name, about in kept.all() if "broken" in about},
    }


# Trying one


def opened(site: Site, kept: Store, name: str, manifest: Mapping[str, Json]) -> dict[str, Outgoing]:
    """{host: its part of a backup, on its way}.  Raises BadInput for a broken one, or no key."""
    identities = age.load_identities(site_file.expanded(site.backup.identity, "backup.identity"))
    return kept.outgoing(name, manifest, identities)


def taken(
    session: Session,
    number: int,
    manifest: Mapping[str, Json],
    streams: Mapping[str, Outgoing],
    keep: bool,
) -> dict[str, dict[str, Json]]:
    """Records restored beside the live ones on their hosts, and compared.  Raises Failed."""
    outer = ("size", "sha256")
    works = {
        host: {
            "identity": stream.identity,
            "manifest": {k: v for k, v in manifest["hosts"][host].items() if k not in outer},
            "folders": contents.folders(session.site, session.site.host(host)),
            "keep": keep,
        }
        for host, stream in streams.items()
    }
    session.screen.step("-", f"restoring into throwaway servers on {', '.join(works)}")
    try:
        return transferred(session, number, "restore", works, streams)
    finally:
        for stream in streams.values():
            stream.close()


def verify(context: Context, options: Options, record: str, unsigned: bool = False) -> int:
    """A restore drill: opened, restored into a throwaway server, compared table by table."""
    with open_session(context, options, "backup.verify") as session:
        kept = store(session.site, unsigned)
        name = kept.named(record)
        manifest = kept.manifest(name)
        refuse_other_hosts(session, manifest)
        streams, began = opened(session.site, kept, name, manifest), time.monotonic()
        warn_of_forgery(session, kept, name)
        with session.locked() as number:
            found = taken(session, number, manifest, streams, False)
        seconds = round(time.monotonic() - began, 1)
        tables = sum(one["tables"] for one in found.values())
        if not tables:
            raise Failed(f"backup {name} holds no table")
        kept.stood(name, tables=tables, seconds=seconds)
        session.screen.say(
            f"Backup {name} stood its drill: {tables} tables restored and equal, in {seconds} s"
        )
        session.screen.json(
            {"site": session.site.name, "record": name, "tables": tables, "seconds": seconds}
        )
    return 0


def warn_of_forgery(session: Session, kept: Store, name: str) -> None:
    """Says so where a backup is taken that nobody signed."""
    if not kept.is_signed(name):
        session.screen.say(
            f"Warning: nobody signed the backup {name}: whoever could write where it lay may have "
            "made it, with databases, users and files of their choice"
        )


def refuse_other_hosts(session: Session, manifest: Mapping[str, Json]) -> None:
    """Raises BadInput for a backup of another site, or of hosts that the site has not."""
    strangers = [host for host in manifest["hosts"] if host not in session.site.hosts]
    if manifest["site"] != session.site.name or strangers:
        raise BadInput(
            f"the backup is of the site {manifest['site']!r} and of hosts "
            f"{', '.join(manifest['hosts'])}; expected {session.site.name!r}"
        )
