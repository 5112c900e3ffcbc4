"""Backups: their manifests, seals, signatures, archives and dumps."""

import contextlib
import functools
import io
import json
import shutil
import tarfile
import tempfile
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fabfile.backup import age, contents, manifest, signature
from fabfile.backup.store import Store
from fabfile.core.contract import Facts, Host, Plan, Stop
from fabfile.core.remote import archive, backup_paths, digests, transfer
from fabfile.flow.backup import create
from fabfile.flow.terminal.screen import Screen

from ...unit import backups, states, test_age
from .. import world
from .case import AGENTS, Target, as_data, as_document, as_value
from .hosts import TOOLS, backup_clouds


def _manifest(case, data):
    about = manifest.parse(data, "manifest.json")
    case.say(create.told(about))
    for line in create.warnings(about):
        case.say(line)
    site = world.whole_site()
    with world.task(site, {}, {}) as opened:
        create.refuse_other_hosts(opened(), about)
    hosts = backup_clouds()[0][1]
    put = contents.PutBack(about, {}, "r1")
    seen = {name: dict(told) for name, told in hosts.items()}
    for name in about["hosts"]:
        known = seen.setdefault(name, {})
        versions = {"nova-common": "2:26.2.2-1", "mariadb-server": "1:10.11.19", **TOOLS}
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


TARGETS = {
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
}
