"""What is fuzzed: one row for each kind of thing that comes from outside.

A target feeds one damaged input to whatever reads it, and then to everything pure that stands
on what was read.  It returns every text that would reach a terminal or a page.
"""

import contextlib
import functools
import io
import json
import os
import random
import shutil
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fabfile.audit import database_rows, frozen_monitors
from fabfile.backup import age, contents, manifest, signature
from fabfile.backup.store import Store
from fabfile.cloud import connection
from fabfile.core import answers, framing, journal, known_hosts, site_file, ssh_config, strict_json
from fabfile.core.contract import CLOUD, Facts, Host, Plan, Read, Stop
from fabfile.core.remote import (
    archive,
    backup_paths,
    configuration,
    database,
    digests,
    files,
    options,
    packages,
    processes,
    state,
    sudo_log,
    transfer,
    units,
)
from fabfile.core.text import clean
from fabfile.flow import converge, gather, history, move_monitors, plan_file
from fabfile.flow import limit as limits
from fabfile.flow import rollout as rollouts
from fabfile.flow.backup import create
from fabfile.flow.converge import Converger
from fabfile.flow.inspect import reconcile, reporting, survey
from fabfile.flow.session import Options
from fabfile.flow.terminal.screen import Screen
from fabfile.model import platforms
from fabfile.model import site as sites
from fabfile.report import document as documents
from fabfile.report.metrics import metrics
from fabfile.resources import backup_tools, ceph_conf, chain, client_limits, restarts
from fabfile.resources.rollback import Undone
from fabfile.workers import assign

from ..unit import (
    backups,
    clouds,
    reports,
    states,
    test_age,
    test_every_finding,
    test_evidence,
    test_framing,
    test_known_hosts,
    test_monitors,
    test_reconcile,
    test_rollback,
    test_sudo_log,
)
from . import mutation, world

ROOT = Path(__file__).parents[2]
AGENTS = (processes.Failed, files.Refused, OSError, ValueError)
"""What an agent's read may end in: it is said as that read's error."""


@dataclass
class Case:
    """One input's own things: chance, and a folder that is empty again for the next one."""

    rng: random.Random
    folder: Path
    texts: list[str] = field(default_factory=list)

    def say(self, text):
        """A line for a terminal, as Screen.say makes it."""
        self.texts.append(clean(text))

    def page(self, name, text):
        """A file that others read: the JUnit file must be XML."""
        if name.endswith(".xml"):
            ET.fromstring(text)  # noqa: S314 (it is our own)
        if not name.endswith(".json"):
            self.texts.append(text)

    def file(self, name, data):
        """A file of these bytes, for its owner alone."""
        path = self.folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)
        return path


@dataclass(frozen=True)
class Target:
    """kind: what comes from outside.  seeds: whole inputs.  damage(rng, one): a damaged one.

    act(case, input) reads it.  ends: what else than a Stop may end that.  share: of all inputs.
    """

    kind: str
    seeds: Callable[[], Sequence[Any]]
    damage: Callable[[random.Random, Any], Any]
    act: Callable[[Case, Any], None]
    ends: tuple[type[BaseException], ...] = ()
    share: int = 10


def _repeated(once):
    """Damages in one place or several."""

    def damage(rng, found):
        for _ in range(mutation.times(rng)):
            found = once(rng, found)
        return found

    return damage


as_value, as_data, as_text = map(_repeated, (mutation.value, mutation.data, mutation.text))


def as_document(rng, found):
    """Bytes of a JSON document: damaged as JSON, and sometimes as bytes."""
    made = json.dumps(as_value(rng, found)).encode("utf-8", "surrogatepass")
    return as_data(rng, made) if rng.random() < 0.3 else made


# Hosts

_TOOLS = {"age": "1", "zstd": "1"}


@functools.cache
def _clouds():
    """[(site, {host: answers}, what the cloud's API lists)]: every broken cloud of the tests."""
    found = []
    for change, more in test_every_finding.INPUTS:
        told = test_every_finding.copy.deepcopy(test_every_finding.BASE)
        change(told)
        site = more.get("site") or states.site(cloud="c")
        found.append((site, told, _api_of(told.pop(CLOUD, {}))))
    whole = clouds.hosts()
    whole["ctl"]["packages.records"] = {**dict.fromkeys(backup_tools.PACKAGES), **_TOOLS}
    return [*found, (world.whole_site(), whole, _api_of(clouds.API))]


def _api_of(seen):
    """What the API listed, of what was made of it."""
    attached = [
        {
            "volume_id": one["volume"],
            "instance": one["instance"],
            "connection_info": {
                "driver_volume_type": "rbd",
                "auth_username": one["user"],
                "secret_uuid": one["uuid"],
                "hosts": one["monitors"],
            },
        }
        for one in seen.get("attachments", ())
    ]
    services = [
        {
            "binary": "cinder-volume",
            "host": one["host"],
            "state": "up" if one["up"] else "down",
            "status": "enabled" if one["enabled"] else "disabled",
        }
        for one in seen.get("volume_services", ())
    ]
    types = [
        {"name": name, "extra_specs": specs} for name, specs in seen.get("volume_types", {}).items()
    ]
    return {
        "volumes": seen.get("volumes", []),
        "services": services,
        "attachments": attached,
        "types": types,
    }


def _damaged_cloud(rng, found):
    site, hosts, api = found
    hosts = {host: dict(seen) for host, seen in hosts.items()}
    for _ in range(mutation.times(rng)):
        roll, host = rng.random(), rng.choice([name for name in hosts if hosts[name]] or [None])
        if host is None or roll < 0.1:
            api = _damaged_api(rng, api)
        elif roll < 0.17:
            hosts[host].pop(rng.choice(list(hosts[host])))
        elif roll < 0.19:
            hosts[host] = {}
        else:
            read = rng.choice(list(hosts[host]))
            hosts[host][read] = mutation.value(rng, hosts[host][read])
    return site, hosts, api, rng.random()


def _damaged_api(rng, api):
    """Values of another kind; an attribute that is missing is None, as the SDK has it."""
    name = rng.choice(list(api))
    rows = [dict(row) for row in api[name]]
    for row in rows[:1]:
        key = rng.choice(list(row))
        row[key] = mutation.value(rng, row[key])
    return {**api, name: rows if rng.random() < 0.9 else rows * 3}


def _wire(case, roll):
    """What becomes of the hosts' bytes: mostly nothing."""
    return (lambda data: as_data(case.rng, data)) if roll < 0.1 else (lambda data: data)


def _on_hosts(act):
    """A target's function of (case, opened(), roll) on damaged hosts."""

    def acting(case, found):
        site, hosts, api, roll = found
        given = {"json": roll > 0.8, "diff": True}
        with world.task(site, world.now(hosts), api, _wire(case, roll), **given) as opened:
            act(case, opened, roll)

    return acting


def _looking(act):
    """A look ends with what it found, whatever a host says: a Stop would be one host's word."""

    def looking(case, opened, roll):
        try:
            act(case, opened, roll)
        except Stop as stop:
            raise AssertionError(f"a look was ended by {type(stop).__name__}: {stop}") from stop

    return looking


def _doctor(case, opened, roll):
    code = (survey.doctor, survey.status)[roll > 0.6]({}, Options())
    assert code in (0, 3, 4)


def _report(case, opened, roll):
    with opened("report") as session:
        told = reporting.look(session)
        for name, text in {**reporting.texts(told), "x.prom": metrics(told)}.items():
            case.page(name, text)


ALL = (*chain.RESOURCES, *chain.BESIDES, ceph_conf.of_the_cluster)
TASKS = (
    chain.RESOURCES,
    *([one] for one in ALL),
    [restarts.every],
    [*chain.RESOURCES, restarts.after_moves, restarts.after_clones],
    [client_limits.RESOURCE],
)
"""What tasks converge: the whole, and each of them alone."""


def _plan(case, opened, roll):
    converger = Converger(opened("integrate"))
    plan = converger.preview(TASKS[0] if roll < 0.5 else case.rng.choice(TASKS))
    data = journal.as_data(plan.changes)
    converge._refuse_stale(data, plan)
    converger.report(Plan(notes=plan.notes))


def _backup(case, opened, roll):
    session = opened("backup.create")
    site = session.site
    asked = {host: [Read("host", "host"), *contents.reads(site, host)] for host in site.all_hosts()}
    facts = Facts(session.ask({host: reads for host, reads in asked.items() if reads}))
    contents.refuse_without_tools(site, facts)
    about = contents.of_cluster(site, facts)
    held = {host.name: contents.of_host(site, facts, host.name) for host in contents.hosts(site)}
    contents.secrets(facts)
    contents.stopped(site, facts, list(held))
    json.dumps([about, held])


def _backup_clouds():
    site, hosts, api = _clouds()[-1]
    hosts = {name: dict(seen) for name, seen in hosts.items()}
    units_ = ["mariadb", "nova-api", "cinder-volume", "rabbitmq-server", "apache2"]
    hosts["ctl"]["units.active"] = units_
    for name in ("n1", "n2"):
        hosts[name]["secrets"] = clouds.said(f" UUID  Usage\n----\n {states.FSID}  ceph x\n")
    return [(site, hosts, api)]


def _mons(case, opened, roll):
    again = ((), (test_monitors.A,))[roll > 0.5]
    move_monitors.follow({}, Options(), roll > 0.3, again)


def _mons_clouds():
    found = []
    for lines in (test_monitors.STALE, test_monitors.STOPPED):
        hosts = clouds.hosts()
        seen = test_monitors.facts(lines, None).hosts
        control = {**states.file(""), "active": test_monitors.CONTROL["active"]}
        hosts["ceph01"] |= {**seen["ceph01"], "ceph.conf": states.file(clouds.CEPH_CONF)}
        hosts["ctl"] |= {"columns": test_evidence.COLUMNS, "rows": lines, "monitors.rows": lines}
        hosts["ctl"] |= {frozen_monitors.CONTROL: control}
        hosts["ctl"]["packages"] |= test_monitors.NOVA
        hosts["n1"][frozen_monitors.CONNECTOR] = seen["n1"][frozen_monitors.CONNECTOR]
        found.append((test_monitors.HERE, hosts, _api_of(clouds.API)))
    return found


def _reconcile(case, opened, roll):
    reconcile.show({}, Options(), roll > 0.5)


@functools.cache
def _reconcile_clouds():
    rows = [
        "\t".join((kind, *row)) for kind, some in test_reconcile.HEALTHY.items() for row in some
    ]
    rows += [f"cell\t{test_reconcile.an_id(n)}\tdb/{name}" for n, name in enumerate(["nova"])]
    volume, orphan = f"volume-{test_reconcile.V}", f"volume-{test_reconcile.S}"
    listed = [
        {"image": volume, "id": "a", "size": 2 << 30, "format": 2},
        {"image": volume, "snapshot": f"snapshot-{test_reconcile.S}", "size": 2 << 30},
        {"image": test_reconcile.G, "id": "c", "size": 4096},
    ]
    hosts = clouds.hosts()
    hosts["ctl"] |= {"columns": test_evidence.COLUMNS, "rows": rows}
    trashed = [{"id": "5e1f", "name": orphan, "source": "USER", "status": "expired at x"}]
    pools = clouds.answer(["volumes", "images", "vms", "bak"])
    hosts["ceph01"] |= {
        "ceph.pools": pools,
        "pools": pools,
        "users": hosts["ceph01"]["ceph.users"],
        "ls": [volume, orphan, test_reconcile.G, f"{test_reconcile.N}_disk", "odd"],
        "trash": [f"5e1f {orphan}"],
        "all": json.dumps(listed, indent=1).split("\n"),
        "info": clouds.answer({"name": orphan, "size": 1 << 30, "features": ["layering"]}),
        "children": clouds.answer([{"pool": "volumes", "image": "x"}]),
        "status": clouds.answer({"watchers": [{"address": "10.0.0.9:0/1"}]}),
        "long": clouds.answer(trashed),
    }
    older = {**hosts, "ceph01": {**hosts["ceph01"], "children": clouds.answer([])}}
    older["ceph01"]["status"] = clouds.answer({"watchers": {"w": {"address": "10.0.0.9:0/1"}}})
    return [(world.whole_site(), one, _api_of(clouds.API)) for one in (hosts, older)]


# Messages


def _frames(case, data):
    expected = answers.Expected("n1", _WORK)
    asked = {Host("n1", ()): [Read(**{k: v for k, v in r.items()}) for r in _WORK["reads"]]}
    facts = survey.TimedCollector(asked)
    frames, at = framing.Frames(test_framing.NONCE), 0
    awaited = assign.Awaited({"n1": _WORK})
    while at < len(data):
        size = case.rng.choice((1, 7, 100, 65536))
        for message in frames.feed(data[at : at + size]):
            if message["t"] in ("bytes", "want"):
                continue
            if not answers.is_message(message):
                raise answers.unasked("n1")
            for one in awaited.on_message("n1", expected.take(message)):
                facts.on_message("n1", one)
        at += size
    facts.clocks(), facts.faults(), facts.missing()
    assert frames.noise <= len(data) + 1


_WORK = {
    "reads": [
        {"id": "host", "verb": "host", "args": {}, "most": 1000},
        {"id": "rows", "verb": "rows", "args": {}, "most": 1000},
        {"id": "units", "verb": "units", "args": {"names": ["a"]}, "most": 1000},
    ],
    "steps": [{"id": 0}, {"id": 1}],
}


def _streams():
    said = (
        {"t": "busy", "who": "run r1"},
        {"t": "held", "number": 3},
        {"t": "part", "id": "rows", "lines": ["a", "b"]},
        {"t": "read", "id": "rows", "value": 2},
        {"t": "read", "id": "host", "value": clouds.machine(1)},
        {"t": "read", "id": "units", "value": clouds.units("a")},
        {"t": "begin", "step": 0, "waits": True},
        {"t": "done", "step": 0},
        {"t": "begin", "step": 1},
        {"t": "failed", "step": 1, "why": "no"},
        {"t": "refused", "why": "no"},
        {"t": "again", "why": "no"},
        {"t": "stage", "what": "x"},
        {"t": "transferred", "value": {}},
        {"t": "end"},
    )
    lines = [test_framing.said(json.dumps(one).encode()) for one in said]
    return [b"".join(lines), test_framing.STREAM, *lines]


def _json(case, data):
    with contextlib.suppress(ValueError):
        strict_json.loads(data)


# What is kept on this machine


EVENTS = [
    {
        "time": 1.0,
        "event": "run",
        "who": "op@here",
        "pid": 1,
        "site": "test",
        "file": "/s",
        "task": "integrate",
        "limit": "",
        "number": 7,
    },
    {"time": 2.0, "event": "left out", "host": "n2", "why": "no answer"},
    {"time": 3.0, "event": "begin", "host": "n1", "step": 0, "thing": "a file"},
    {"time": 4.0, "event": "done", "host": "n1", "step": 0, "thing": "a file"},
    {"time": 5.0, "event": "done", "host": "cloud", "step": 1, "thing": "volume type rbd"},
    {
        "time": 6.0,
        "event": "proof",
        "name": "an image",
        "ok": True,
        "detail": "x",
        "seconds": 3.9,
        "host": "n1",
    },
    {
        "time": 7.0,
        "event": "proof",
        "name": "it is attached",
        "ok": False,
        "detail": "gone",
        "seconds": 1.0,
    },
    {
        "time": 8.0,
        "event": "ended",
        "code": 1,
        "done": {"n1": 1},
        "failed": {"n2": "no"},
        "why": "it failed",
    },
]
CHANGES = [
    {
        "host": "n1",
        "thing": "a file",
        "sentence": "write",
        "sign": "+",
        "verb": "write",
        "args": {"path": "/x"},
        "wave": 2,
        "diff": ["+ x"],
        "restarts": [],
        "kind": "file",
        "subject": "/x",
        "stays": "",
    },
    {
        "host": "cloud",
        "thing": "volume type rbd",
        "sentence": "make it",
        "sign": "+",
        "verb": "volume_type",
        "args": {"name": "rbd", "backend_name": "rbd"},
        "wave": 3,
        "diff": [],
        "restarts": [],
        "kind": "volume_type",
        "subject": "rbd",
        "stays": "",
    },
]


def _journals():
    verify = [{**EVENTS[0], "task": "verify"}, *EVENTS[5:]]
    return [(EVENTS, CHANGES), (verify, []), (EVENTS[:3], CHANGES)]


def _damaged_journal(rng, found):
    events, changes = found
    what = rng.random()
    if what < 0.6:
        events = as_value(rng, events)
    if what > 0.4:
        changes = as_value(rng, changes)
    rows = events if isinstance(events, list) else [events]
    lines = [json.dumps(one).encode("utf-8", "surrogatepass") for one in rows]
    text, plan = b"\n".join(lines) + b"\n", json.dumps(changes).encode()
    if rng.random() < 0.25:
        text, plan = as_data(rng, text), as_data(rng, plan)
    return text, plan


def _journal(case, found):
    text, plan = found
    with mock.patch.dict("os.environ", XDG_STATE_HOME=str(case.folder)):
        folder = journal.folder() / "r1"
        case.file(folder / "events.jsonl", text)
        case.file(folder / "plan.json", plan)
        site = states.site()
        as_json, run = case.rng.random() < 0.3, case.rng.choice(("", "r1"))
        history.history(as_json)
        acts = (
            lambda: history.show("r1", as_json),
            lambda: limits.limited(site, limits.resolved(site, "@failed")),
            lambda: _undo(case, site, history.undone(run, site, set(site.hosts)), {}),
            lambda: history.last("test"),
        )
        for act in acts:
            with contextlib.suppress(Stop):
                act()
        runs = reporting.runs("test")
        if case.rng.random() < 0.8:
            return  # a page takes a hundred times longer than what it is made from
        told = {**_page_of(), "runs": runs}
        for name, made in {**reporting.texts(told), "x.prom": metrics(told)}.items():
            case.page(name, made)
        documents.last(told["runs"], True)


@functools.cache
def _page_of():
    return reports.told(runs=())


def _undo(case, site, undone, run):
    """The plan of an undo whose hosts answer this."""
    admin = {"images.volumes": states.said_by("[]"), "images.images": states.said_by("[]")}
    admin |= {"trash.volumes": states.said_by("[]"), "trash.images": states.said_by("[]")}
    hosts = {
        host: {"host": clouds.machine(n), "run": [], "pending_restarts": [], **run.get(host, {})}
        for n, host in enumerate(site.hosts)
    }
    hosts["ceph01"] = {**admin, **hosts["ceph01"]}
    with world.task(site, world.now(hosts), _api_of(clouds.API), diff=True) as opened:
        Converger(opened("undo")).preview([undone.resource])


STEPS = (
    *(test_rollback.WROTE, test_rollback.ADDED, test_rollback.RESTARTED, test_rollback.USER),
    *(test_rollback.POOL, test_rollback.FOLDER, test_rollback.INSIDE),
)


def _steps(case, found):
    """What a host kept of a run, from its file to the plan that takes it back."""
    data, roll = found
    with mock.patch.object(state, "STATE", str(case.folder)):
        case.file("runs/r1/steps.jsonl", data)
        try:
            steps = state.steps("r1")
        except AGENTS:
            return
    for step in steps:
        if step.get("guard"):
            step["now"] = case.rng.choice((None, "0640 bb", "aa"))
    host = "ceph01" if roll < 0.4 else "n1"
    run = {host: {"run": json.loads(json.dumps(steps))}}
    _undo(case, states.site(), Undone("r1"), run)


def _damaged_steps(rng, steps):
    made = as_value(rng, list(steps))
    rows = made if isinstance(made, list) else [made]
    data = "\n".join(map(json.dumps, rows)).encode() + b"\n"
    return as_data(rng, data) if rng.random() < 0.2 else data, rng.random()


def _plans():
    site = {"file": "/SITE", "sha256": "0" * 64}
    return [
        {
            "stackrbd plan": 1,
            "made": "2026-01-01T00:00:00Z",
            "by": "op@here",
            "site": site,
            "limit": "n*",
            "max_fail": "1",
            "left_out": {"n2": "it is silent"},
            "changes": CHANGES,
        }
    ]


def _plan_file(case, data):
    kept = plan_file.load(str(case.file("plan.json", data)))
    left = plan_file.left_out(kept)
    case.say(Screen(False).left_out({host: str(why) for host, why in left.items()}) or "")
    site = states.site()
    with contextlib.suppress(Stop):
        plan_file.site_of(kept)
    with contextlib.suppress(Stop):
        limits.limited(site, limits.resolved(site, kept["limit"]))
    with contextlib.suppress(Stop):
        rollouts.of(site, set(site.hosts), "", "", kept["max_fail"])
    with world.task(site, {}, {}) as opened, contextlib.suppress(Stop):
        Converger(opened("apply")).leave_out(left)
    converge._refuse_stale(kept["changes"], Plan())


# Backups


def _manifest(case, data):
    about = manifest.parse(data, "manifest.json")
    case.say(create.told(about))
    for line in create.warnings(about):
        case.say(line)
    site = world.whole_site()
    with world.task(site, {}, {}) as opened:
        create.refuse_other_hosts(opened(), about)
    hosts = _backup_clouds()[0][1]
    put = contents.PutBack(about, {}, "r1")
    seen = {name: dict(told) for name, told in hosts.items()}
    for name in about["hosts"]:
        known = seen.setdefault(name, {})
        versions = {"nova-common": "2:26.2.2-1", "mariadb-server": "1:10.11.19", **_TOOLS}
        known |= {"units.active": ["mariadb"], "packages.records": versions}
        known["waiting"] = {}
        for read in put.reads(site, Host(name, ())):
            if read.id.startswith("at "):
                known[read.id] = None if read.verb == "file" else {read.args["paths"][0]: False}
    facts = Facts(seen)
    contents.refuse_unfit(site, about, facts, bare=True)
    changes = put.plan(site, facts)
    Screen(False).plan(Plan(tuple(changes)), True)


def _stores():
    return [(backups.manifest(), {"time": 1700000000, "tables": 3, "seconds": 1.0})]


def _damaged_store(rng, found):
    about, drill = found
    roll = rng.random()
    return (
        as_document(rng, about) if roll < 0.5 else json.dumps(about).encode(),
        as_document(rng, drill) if roll > 0.4 else json.dumps(drill).encode(),
        rng.choice(("r", "r.part", ".r", "-r", "r\n", "\x1b[2J", "x" * 200, "é", "\udcff")),
        roll,
    )


@functools.cache
def _signer():
    return signature.Signer(Ed25519PrivateKey.from_private_bytes(b"k" * 32))


def _store(case, found):
    about, drill, name, roll = found
    trust = signature.Trust(frozenset([_signer().public]), unsigned=roll < 0.8)
    kept = Store(str(case.folder / "records"), "lab", trust)
    folder = kept.path / "r"
    case.file(folder / "manifest.json", about)
    case.file(folder / "verified.json", drill)
    for drilled in folder.parent.glob("r/*"):
        assert drilled.is_file()
    case.file(folder / "ctl.age", b"sealed")
    if roll > 0.7:
        sign = _signer().sign(about).encode()
        case.file(folder / "manifest.json.sig", as_data(case.rng, sign))
    with contextlib.suppress(OSError):
        shutil.copytree(folder, kept.path / name)
    for one, told in kept.all():
        case.say(create.told(told) + create._besides(one, told))
        kept.verified(one)
    with mock.patch.object(create, "store", lambda *_: kept):
        create.show(states.site(), roll > 0.5)
        create.ages(states.site())
    for act in (lambda: kept.named(""), kept.newest, kept.last_verified, lambda: kept.prune(1)):
        with contextlib.suppress(Stop):
            act()


def _signature(case, found):
    data, text = found
    who = signature.signer_of(data, text, "x.sig")
    signature.fingerprint(who)


def _damaged_signature(rng, found):
    data, text = found
    return (data, as_data(rng, text)) if rng.random() < 0.8 else (as_data(rng, data), text)


def _age(case, data):
    age.reseal(data, list(_identities()), "x.age")


@functools.cache
def _sealed():
    data, identity, _ = test_age.record()
    return data, identity


def _identities():
    return (_sealed()[1],)


def _age_key(case, data):
    age.load_identities(case.file("key", data))


def _signing_key(case, data):
    signature.load_key(case.file("key.sign", data))


@functools.cache
def _signing_keys():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        signature.save_key(path)
        return [path.read_bytes()]


@functools.cache
def _archives():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for name, data in (
            ("files/etc/nova/nova.conf", b"[DEFAULT]\n"),
            ("files/" + "x" * 150, b"y" * 700),
            ("sql/000001", b"-- Current Database: `nova`\n" * 50),
            ("manifest.json", b"{}"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = stream.getvalue().rstrip(b"\0")
    return [data + bytes(-len(data) % 512 + 1024)]


def _archive(case, data):
    for member in archive.members(io.BytesIO(data)):
        case.say(member.shown)
        if case.rng.random() < 0.5:
            member.read(4096)
        else:
            for _ in member.pieces():
                pass


def _dump(case, data):
    seen = digests.Digests(["nova.b"])
    for at in range(0, len(data), 50):
        seen.feed(data[at : at + 50])
    _ = seen.complete
    seen.summary()


DUMP = b"""-- MariaDB dump 10.19
-- Current Database: `nova`
CREATE DATABASE `nova`;
-- Table structure for table `a`
CREATE TABLE `a` (`id` int);
-- Dumping data for table `a`
/*!40000 ALTER TABLE `a` DISABLE KEYS */;
INSERT INTO `a` VALUES
(1,'x`y'),
(2,'z\\n');
/*!40000 ALTER TABLE `a` ENABLE KEYS */;
-- Dumping data for table `b`
INSERT INTO `b` VALUES
(1);
/*!40000 ALTER TABLE `b` ENABLE KEYS */;
-- Dump completed
"""


def _paths(case, found):
    if not isinstance(found, list) or len(found) != 3:
        return
    path, entry, entries = found
    case.say(
        backup_paths.fault(path, entry, entries if isinstance(entries, dict) else {}, ["/etc"])
    )


# What operators write


def _known_hosts(case, data):
    found = known_hosts.load([case.file("known_hosts", data)])
    for line in found.warnings:
        case.say(line)
    for name in ("ceph01", "[ctl.example.org]:2222", "*", "é", "x" * 300):
        keys = found.keys_of(name)
        found.has_authority(name)
        for key in keys:
            known_hosts.fingerprint(key), known_hosts.line_of(name, key)
        found.first_known(name, ["ssh-ed25519", "rsa-sha2-512", "x"])


def _known_lines():
    t = test_known_hosts
    return [
        "\n".join(
            (
                f"ceph01,10.0.0.1 ssh-ed25519 {t.CEPH} a comment",
                f"*.example.org,!ctl.* ecdsa-sha2-nistp256 {t.ECDSA}",
                f"{t.HASHED_CEPH01} ssh-ed25519 {t.CTL}",
                f"@revoked ceph01 ssh-ed25519 {t.CTL}",
                f"@cert-authority *.example.org ssh-ed25519 {t.CEPH}",
                f"[ctl]:2222 ssh-rsa {t.RSA.get_base64()}",
                "# a comment",
            )
        ).encode()
    ]


SSH_CONFIG = """Host n1 "n 2" !n3 *.x
  HostName %h.example.org
  User op
  Port 2222
  IdentityFile ~/.ssh/%r_%h
  UserKnownHostsFile ~/.ssh/known_hosts "${HOME}/two"
  ProxyJump op@jump:22
Match host n1 exec "test %h"
  ProxyCommand nc -X 5 %h %p
Match originalhost n* user op final
  CanonicalizeHostname no
Include other*
Host *
  HostKeyAlias x
"""


def _ssh_config(case, data):
    other = "Host n1\n  Port 23\n  Include other*\n"
    case.file("other", other.encode() if case.rng.random() < 0.1 else b"Host n1\n  User x\n")
    path = case.file("config", data.replace(b"other*", str(case.folder / "other*").encode()))
    found = ssh_config.Configuration(path, lambda command: case.rng.random() < 0.5)
    for name, command in found.commands():
        case.say(f"{name} {command}")
    for host in ("n1", "n 2", "a.x", "10.0.0.1"):
        with contextlib.suppress(Stop):
            found.lookup(host)


def _site_texts():
    found = [
        (ROOT / "config" / name).read_bytes()
        for name in ("site.toml", "site.large.toml", "start.toml")
    ]
    return [*found, WHOLE.encode()]


WHOLE = f"""name = "test"
fsid = "{states.FSID}"
release = "zed"
clone_v2 = true
cloud = "c"
clouds_yaml = "~/clouds.yaml"
[hosts]
ceph01 = {{ roles = ["ceph"], address = "10.0.0.1", user = "op", port = 22 }}
ctl = {{ roles = ["glance", "cinder", "database"] }}
n1 = {{ roles = ["compute"] }}
[pools.volumes]
size = 3
pg_num = 32
[pools.images]
[clients.volumes]
rwx = ["volumes"]
rx = ["images"]
secret_uuid = "{states.OTHER}"
[clients.images]
rwx = ["images"]
[rollout]
serial = "1,10%,50%"
max_fail = 1
[cinder]
backend = "rbd"
replaces = "ctl@lvm"
[options.cinder.rbd]
report_discard_supported = true
rbd_max_clone_depth = 5
hosts = ["a", 2]
[sudoers]
user = "op"
until = "203001010000Z"
[verify]
size = 5
[backup]
also = ["/etc/x"]
units = ["x"]
keep = 3
[dask]
scheduler = "tls://s:8786"
ca = "a"
cert = "b"
key = "c"
near = {{ "n*" = "rack1*" }}
"""


def _site(case, data):
    path = case.file("site.toml", data)
    site = sites.check(site_file.load_own(path), str(path), site_file.platforms())
    for host in site.all_hosts():
        gather.questions(site, survey.checks.STAGES, host)
        site.bindings_of(host)
        contents.folders(site, host)
    rollouts.of(site, limits.limited(site, ""), "", "", "")
    with mock.patch.object(create, "store", lambda *_: Store(str(case.folder), "x")):
        create.ages(site)


def _platform(case, found):
    platforms.made_of(found)


def _clouds_yaml(case, data):
    connection._region("c", case.file("clouds.yaml", data))


CLOUDS_YAML = b"""clouds:
  c:
    auth:
      auth_url: http://10.0.0.1:5000/v3
      username: admin
      password: x
      project_name: admin
      user_domain_name: Default
    region_name: RegionOne
    verify: true
    api_timeout: 5
    profile: x
    regions: [RegionOne, RegionTwo]
    identity_api_version: 3
  d: {profile: c}
"""


# On a host: what its own programs say


def _agent(read):
    """The outcome of an agent's read: its value goes the way of all answers."""

    def acting(case, text):
        said = processes.text(text) if isinstance(text, bytes) else text
        answer = (case.rng.choice((0, 0, 0, 1)), said, "err")
        with contextlib.ExitStack() as stack:
            for module in (units, packages, processes):
                for name in ("expect", "call"):
                    if hasattr(module, name):
                        stack.enter_context(
                            mock.patch.object(module, name, lambda *_, **__: answer)
                        )
            value = read(case, said)
        json.loads(json.dumps(value))

    return acting


SHOWN = """Id=nova-compute.service
LoadState=loaded
ActiveState=active
SubState=running
Result=success
MainPID=812
NRestarts=0
ActiveEnterTimestampMonotonic=1000000000

Id=x.service
LoadState=not-found
ActiveState=inactive
"""
PROCESS = """MainPID=0
User=nova
ExecStart={ path=/usr/bin/x ; argv[]=/usr/bin/x --config-dir /etc/x ; ignore_errors=no ; pid=0 }
Environment=OS_DEFAULT__HOST=x "A=b c" CEPH_ARGS=--id=x
EnvironmentFiles=/etc/default/nova (ignore_errors=yes)
"""
DPKG = "ii  ceph-common 16.2.15+ds-0+deb12u1\nun  age \nrc  zstd 1.5\n"
OPTIONS = """# a comment
[DEFAULT]
enabled_backends = rbd,lvm
transport_url = rabbit://x:y@z
[rbd]
rbd_pool: volumes
 more
rbd_user = "volumes"
[rbd]
rbd_pool = other
"""


def _options(case, text):
    options.active(text), options.effective(text)
    edits = [["DEFAULT", "host", "x"], ["new", "a", "b"], ["rbd", "rbd_pool", None]]
    options.edit(text, edits) if hasattr(options, "edit") else None
    return configuration.lines_of("/x", text.encode("utf-8", "surrogateescape"))


def _sources(case, text):
    return configuration.sources("nova-compute", "nova", "/etc/nova/nova.conf", (), ("CEPH_ARGS",))


def _sudo(case, text):
    return sudo_log.judged(text, "/usr/bin/python3")


def _fence(case, data):
    with mock.patch.object(state, "STATE", str(case.folder)):
        case.folder.chmod(0o700)
        case.file("fence", data)
        case.file("sites/test", data)
        with contextlib.suppress(state.Busy):
            state.raise_fence("test", 5)
        state.fenced("test", 5)
        try:
            handle, number = state.hold_site("test", "who")
        except state.Busy as busy:
            case.say(f"{busy}")
            return
        os.close(handle)
        json.dumps(number)


def _mariadb(case, text):
    return database.number_of(text)


TARGETS = {
    "doctor": Target(
        "hosts' answers, the cloud's API",
        _clouds,
        _damaged_cloud,
        _on_hosts(_looking(_doctor)),
        share=40,
    ),
    "report": Target(
        "hosts' answers, the cloud's API",
        _clouds,
        _damaged_cloud,
        _on_hosts(_looking(_report)),
        share=4,
    ),
    "plan": Target(
        "hosts' answers, the cloud's API", _clouds, _damaged_cloud, _on_hosts(_plan), share=60
    ),
    "backup": Target(
        "hosts' answers, the cloud's API",
        _backup_clouds,
        _damaged_cloud,
        _on_hosts(_backup),
        share=10,
    ),
    "mons": Target("database rows", _mons_clouds, _damaged_cloud, _on_hosts(_mons), share=20),
    "reconcile": Target(
        "database rows, rbd", _reconcile_clouds, _damaged_cloud, _on_hosts(_reconcile), share=40
    ),
    "frames": Target("wire messages", _streams, as_data, _frames, share=30),
    "json": Target("wire messages", _streams, as_data, _json),
    "journal": Target("journals", _journals, _damaged_journal, _journal, share=20),
    "steps": Target(
        "steps.jsonl",
        lambda: [list(STEPS), *([s] for s in STEPS)],
        _damaged_steps,
        _steps,
        share=20,
    ),
    "plan-file": Target("plan files", _plans, as_document, _plan_file, share=20),
    "manifest": Target(
        "backups", lambda: [backups.manifest(site="test")], as_document, _manifest, share=20
    ),
    "store": Target("backups", _stores, _damaged_store, _store, share=15),
    "signature": Target(
        "backups",
        lambda: [(b"data", _signer().sign(b"data").encode())],
        _damaged_signature,
        _signature,
    ),
    "age": Target("backups", lambda: [_sealed()[0]], as_data, _age),
    "age-key": Target("keys", lambda: [_sealed()[1].reveal().encode() + b"\n"], as_data, _age_key),
    "signing-key": Target("keys", _signing_keys, as_data, _signing_key),
    "archive": Target("backups", _archives, as_data, _archive, (*AGENTS, transfer.Gone)),
    "dump": Target("backups", lambda: [DUMP], as_data, _dump, AGENTS),
    "paths": Target(
        "backups",
        lambda: [[p, e, backups.FILES] for p, e in backups.FILES.items()],
        as_value,
        _paths,
    ),
    "known-hosts": Target("known_hosts", _known_lines, as_data, _known_hosts, share=20),
    "ssh-config": Target(
        "SSH configuration", lambda: [SSH_CONFIG.encode()], as_data, _ssh_config, share=20
    ),
    "site": Target("site files", _site_texts, as_data, _site, share=20),
    "clouds.yaml": Target("clouds.yaml", lambda: [CLOUDS_YAML], as_data, _clouds_yaml, share=5),
    "units": Target(
        "systemctl",
        lambda: [SHOWN],
        as_text,
        _agent(lambda c, t: units.show(["nova-compute", "x"])),
        AGENTS,
    ),
    "running": Target(
        "systemctl",
        lambda: ["a.service loaded active running A\n"],
        as_text,
        _agent(lambda c, t: units.running()),
        AGENTS,
        3,
    ),
    "sources": Target("systemctl", lambda: [PROCESS], as_text, _agent(_sources), AGENTS),
    "dpkg": Target(
        "dpkg",
        lambda: [DPKG],
        as_text,
        _agent(lambda c, t: packages.versions(["age", "zstd"])),
        AGENTS,
    ),
    "options": Target("services' files", lambda: [OPTIONS], as_text, _agent(_options), AGENTS),
    "sudo": Target(
        "sudo -l",
        lambda: [test_sudo_log.listed(bound="!/usr/bin/x log_input")],
        as_text,
        _agent(_sudo),
        AGENTS,
    ),
    "fence": Target(
        "a host's own state",
        lambda: [b'{"test": 3, "number": 4, "who": "x"}'],
        as_data,
        _fence,
        AGENTS,
    ),
    "mariadb": Target(
        "database rows",
        lambda: ["10.11.19-MariaDB-0+deb12u1"],
        as_text,
        _agent(_mariadb),
        AGENTS,
        3,
    ),
    "database-rows": Target(
        "database rows",
        lambda: [test_evidence.COLUMNS],
        as_value,
        lambda case, lines: _schemas(lines),
    ),
}


def _schemas(lines):
    if not world.pages(lines):
        return
    found = database_rows.schemas(lines)
    database_rows.question(found), frozen_monitors.question(found)
