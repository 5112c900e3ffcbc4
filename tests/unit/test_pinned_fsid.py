"""A pinned cluster: every task that writes asks first which one it is, before even the lock.

The walk is over all tasks that there are: one that comes is walked over too, unless it is named
among those that write nothing, and those are walked over to see that they do not.
"""

from types import SimpleNamespace

import pytest
from invoke import Config, Context, Exit

import fabfile
from fabfile.backup.store import Store
from fabfile.core.answers import IN_PARTS
from fabfile.core.contract import Unreachable
from fabfile.flow import session as sessions
from fabfile.flow.backup import create, key

from . import fleets
from .states import FSID, OTHER, answer, cluster

SITE = f"""\
name = "prod"
fsid = "{OTHER}"
cloud = "prod"
cinder.volume_type = "rbd"
verify.image = "cirros"
sudoers.user = "alice"
clients.volumes.replaces = "old"
clients.images.rwx = ["images"]
backup.recipients = ["age1{"q" * 58}"]
hosts.ceph01.roles = ["ceph"]
hosts.ctl.roles = ["glance", "cinder", "database"]
hosts.n1.roles = ["compute"]
"""
RUN = "2030-01-01T00-00-00Z-ffff"
HELD = {"files": {}, "versions": {}, "units": [], "size": 1, "sha256": ""}
BACKUP = {"format": 1, "site": "prod", "fsid": FSID, "time": 1, "hosts": {"ctl": HELD}}
GIVEN = {
    "undo": {"run": RUN},
    "services.restart": {"all_": True},
    "remove": {"store": "rbd"},
    "backup.restore": {"cloud": "prod"},
    "recover": {"cloud": "prod"},
}
"""What a task has to be given beside --site and --yes."""
LOOKS_ONLY = {
    "plan",
    "doctor",
    "status",
    "report",
    "reconcile",
    "hosts.check",
    "backup.list",
    "history",
    "config",
    "now",
    "ceph.request",
    "show",
}
"""Tasks that write on no host; they say what they see, of whichever cluster it is."""
HERE_ALONE = {"init", "backup.key", "hosts.trust"}
"""Tasks that write on the operator's machine and nowhere else."""
WRITING = sorted(
    name
    for name in fabfile.namespace().task_names
    if name not in LOOKS_ONLY | HERE_ALONE | {"apply"}
)


class Fleet(fleets.StandIn):
    """Hosts of another cloud, with work to be done on each; wrote: whatever was asked to write."""

    warnings = ()

    def __init__(self, seen):
        self.wrote, self.trips, self.seen = [], {"ceph01": 1}, seen
        self.conversations = SimpleNamespace(raise_if_stopped=lambda: None, stop=lambda: None)

    def hold(self, host, work):
        self.wrote.append((host, "lock"))
        return SimpleNamespace(number=1, release=lambda: None)

    def api(self):
        self.wrote.append(("cloud", "API"))
        raise Unreachable("the cloud does not answer")

    def group(self, names):
        return SimpleNamespace(_do=lambda method: {}, each=lambda action: {})

    def close(self):
        pass

    def work(self, works, heard, streams=None):
        return super().work(works, heard)

    def one(self, host, work, say):
        if "transfer" in work:
            self.wrote.append((host, work["transfer"]))
        for read in [*work.get("reads", ()), *work.get("then", ())]:
            self.answer(host, read, say)
        for step in work.get("steps", ()):
            self.wrote.append((host, step["verb"]))
            say(t="begin", step=step["id"])
            say(t="done", step=step["id"])

    def answer(self, host, read, say):
        known = {**self.seen, **BY_NAME}.get(read["id"])
        if read["verb"] in IN_PARTS:
            lines = COLUMNS if known is None else known
            say(t="part", id=read["id"], lines=lines)
            say(t="read", id=read["id"], value=len(lines))
        elif isinstance(known, str):
            say(t="read", id=read["id"], error=known)
        elif read["verb"] == "packages":
            named = {**dict.fromkeys(read["args"]["names"]), **INSTALLED}
            say(t="read", id=read["id"], value=named)
        elif read["verb"] == "exists":
            say(t="read", id=read["id"], value=dict.fromkeys(read["args"]["paths"], False))
        elif known is not None:
            say(t="read", id=read["id"], value=known)
        elif read["verb"] in {"host", *VALUES}:
            super().answer(host, read, say)
        else:
            say(t="read", id=read["id"], error="nobody knows")

    def values(self, host):
        known = {"os": "debian", "like": [], "name": "Debian", "machine_id": host, "boot_id": "b"}
        known |= {"version": "12", "codename": "bookworm"}
        return {"host": {**known, "hostname": host}, **VALUES}


COLUMNS = [
    f"{schema}\t{table}\tid"
    for schema, tables in {
        "cinder": ("volumes", "snapshots"),
        "glance": ("images", "image_locations"),
        "nova": ("instances", "block_device_mapping"),
    }.items()
    for table in tables
]
INSTALLED = {"age": "1", "zstd": "1"}
BY_NAME = {
    "old": {"code": 0, "err": "", "out": "/var/lib/mysql.stackrbd-before-2030\n"},
    "schemas": [],
    "datadir": ["/var/lib/mysql/"],
}
KEPT = {
    "step": 0,
    "state": "done",
    "thing": "/etc/nova/nova.conf",
    "sentence": "set",
    "sign": "~",
    "wave": 2,
    "verb_was": "edit",
    "verb": "write",
    "args": {"path": "/etc/x"},
    "was": "a",
    "is": "b",
    "now": "b",
}
VALUES = {
    "pending_restarts": ["glance-api", "cinder-volume", "nova-compute"],
    "argv": {"code": 0, "out": "[]", "err": ""},
    "rows": COLUMNS,
    "run": [KEPT],
    "running_units": [],
    "options": None,
    "named_files": {},
    "sources": {"main": "", "running": False, "files": [], "environment": {}},
}
"""What each verb reads on a host of which everything is still to be done."""


@pytest.fixture
def at(tmp_path, monkeypatch):
    """Runs a task on another cloud than the pinned one; (what ended it, what was written)."""
    file = fleets.at_home(tmp_path, monkeypatch, SITE)
    monkeypatch.setattr(Store, "named", lambda self, name: "r")
    monkeypatch.setattr(Store, "manifest", lambda self, name: BACKUP)
    monkeypatch.setattr(create, "opened", lambda *given: {})
    monkeypatch.setattr(key, "signer", lambda site: None)
    monkeypatch.chdir(tmp_path)

    def ran(name, site=SITE, seen=None, **flags):
        fleet = Fleet(seen or cluster())
        monkeypatch.setattr(sessions, "_fleet", lambda *given: fleet)
        monkeypatch.setattr(sessions.Session, "connection", lambda self: fleet.api())
        (tmp_path / "site.toml").write_text(site)
        task = fabfile.namespace()[name]
        known = {argument.name for argument in task.get_arguments()}
        given = {"site": file, "yes": True, **GIVEN.get(name, {}), **flags}
        try:
            task(Context(Config()), **{k: v for k, v in given.items() if k.rstrip("_") in known})
        except Exit as ended:
            return str(ended.message), fleet.wrote
        return "", fleet.wrote

    return ran


@pytest.mark.parametrize("name", WRITING)
def test_another_cloud_behind_the_same_names_is_refused_before_the_lock(at, name):
    said, wrote = at(name)
    assert not wrote, said
    assert f"expected the cluster {OTHER}" in said and "another cloud" in said


def test_the_same_walk_writes_on_the_cluster_that_is_pinned_or_where_none_is(at):
    for site in (SITE.replace(OTHER, FSID), SITE.replace(f'fsid = "{OTHER}"\n', "")):
        _, wrote = at("services.restart", site)
        assert ("ceph01", "lock") in wrote and ("ctl", "restart") in wrote


@pytest.mark.parametrize("name", sorted(LOOKS_ONLY))
def test_what_looks_only_writes_nothing_on_another_cloud(at, name):
    _, wrote = at(name, run=RUN) if name == "show" else at(name)
    assert not [one for one in wrote if one != ("cloud", "API")]


@pytest.mark.parametrize(
    "monmap, said",
    [
        ("ceph01: timed out", "timed out"),
        (answer({"mons": []}), "fsid"),
        (answer([]), "fsid"),
        ({"code": 0, "out": "", "err": ""}, "fsid"),
        (answer({"fsid": None, "mons": []}), "fsid"),
        (answer({"fsid": 7, "mons": []}), "fsid"),
        (answer({"fsid": "", "mons": []}), "fsid"),
    ],
)
def test_a_cluster_that_does_not_say_which_it_is_is_not_the_pinned_one(at, monmap, said):
    found, wrote = at("services.restart", seen={**cluster(), "ceph.monmap": monmap})
    assert not wrote and said in found


def test_its_case_does_not_matter(at):
    _, wrote = at("services.restart", SITE.replace(OTHER, FSID.upper()))
    assert wrote


def test_it_is_asked_once_a_run(at, monkeypatch):
    asked = []
    monkeypatch.setattr(
        sessions.Session,
        "ask",
        lambda self, reads, *more: asked.append(reads) or {"ceph01": cluster()},
    )
    at("services.restart", SITE.replace(OTHER, FSID))
    assert len(asked) == 1
