"""Sentences are for people: put in other words at random, everything but the output is the same."""

import random
import string

import pytest

from fabfile.core.contract import Change, Facts, Stop
from fabfile.doctor import checks
from fabfile.doctor.summary import drift
from fabfile.resources.rollback import Undone

from . import clouds
from . import test_doctor as broken
from . import test_rollback as kept
from .clouds import altered, looked
from .states import FSID, OTHER, secret, site

SHOWN = ("thing", "sentence")
"""What an operator is shown of a change, and of a step that a host keeps."""
TOLD = ("text", "expected", "found", "why", "advice")
"""What an operator is shown of an error."""
LETTERS = string.ascii_letters + string.digits + ":;,. /"


def a_sentence(text):
    """Any other sentence; of nothing, nothing."""
    return "".join(random.choices(LETTERS, k=random.randint(1, 60))) if text else text


@pytest.fixture
def other_words(monkeypatch):
    """From now on every change and every error is told in other words."""
    change, stop = Change.__init__, Stop.__init__

    def changed(self, *args, **more):
        change(self, *args, **more)
        for name in SHOWN:
            object.__setattr__(self, name, a_sentence(getattr(self, name)))

    def stopped(self, text="", **fields):
        stop(self, text, **fields)
        self.args = (a_sentence(str(self)),)
        for name in TOLD[1:]:
            setattr(self, name, a_sentence(getattr(self, name)))

    def begin():
        monkeypatch.setattr(Change, "__init__", changed)
        monkeypatch.setattr(Stop, "__init__", stopped)

    return begin


def other_cluster(cloud):
    broken.ceph_conf(clouds.CEPH_CONF.replace(FSID, OTHER))(cloud)


def no_number(cloud):
    """A Ceph whose version nothing can be planned for: every resource of it says so."""
    version = "ceph version Development (no_version)"
    said = {"mon": {version: 1}, "overall": {version: 1}}
    altered(cloud, "ceph01", "ceph.versions", lambda told: (told.clear(), told.update(said)))


def a_private_secret(cloud):
    cloud["n1"]["libvirt.secrets"] = secret(FSID, private="yes")
    cloud["n2"]["libvirt.secrets"] = {}


def no_file_on_one(cloud):
    """What a resource refuses of one compute hides nothing of the other."""
    cloud["n1"]["nova.conf"] = None
    broken.an_option("nova", "libvirt", "rbd_user", "odd", "n2")(cloud)


def moved_away(cloud):
    cloud["ctl"]["cinder.conf"]["active"].append(["rbd", "backend_host", "ctl2"])
    cloud[clouds.CLOUD]["volumes"][0]["host"] = "old@rbd#rbd"


BROKEN = [
    broken.later,
    broken.owed,
    broken.no_image_pool,
    broken.in_pools(application_metadata={}),
    broken.in_pools(application_metadata={"cephfs": {}}),
    broken.in_pools(type=3),
    broken.caps(mgr=""),
    broken.caps(osd="allow rwx pool=volumes"),
    broken.keyring(owner="root"),
    broken.keyring("[client.odd]\nkey = x\n"),
    broken.lacks("qemu-block-extra"),
    broken.ceph_conf(mode="0600"),
    broken.ceph_conf(clouds.CEPH_CONF.replace(clouds.MONITOR, "10.9.9.9")),
    broken.an_option("cinder", "rbd", "rbd_secret_uuid", None),
    broken.an_option("nova", "libvirt", "rbd_user", "odd", "n1"),
    broken.an_option("cinder", "DEFAULT", "enabled_backends", "lvm"),
    lambda cloud: broken.value(cloud, broken.fingerprint("None")),
    lambda cloud: cloud["ctl"].update({"cinder.conf": None}),
    lambda cloud: cloud["n2"].update({"libvirt.secrets": {}}),
    lambda cloud: cloud[clouds.CLOUD].update(volume_types={}),
    lambda cloud: cloud[clouds.CLOUD].update(
        volume_types={"rbd": {"volume_backend_name": "another"}}
    ),
    a_private_secret,
    other_cluster,
    no_file_on_one,
    no_number,
    moved_away,
]


def shape(change, **more):
    """All of a doctor's answer but its words: findings, what mends them, the plan, the drift."""
    seen = looked(change, **more)
    found, plan = checks.findings(site(), seen)
    told = [
        (one.severity, one.code, one.hosts, [(s.kind, s.limited, s.host) for s in one.mend])
        for one in found
    ]
    typed = {s.text for one in found for s in one.mend if s.kind != "words"}
    changes = [(task, c.host, c.kind, c.subject, c.verb, c.args) for task, c in plan.changes]
    refused = [(one.code, one.hosts) for one in plan.refused.values()]
    return sorted(told), typed, changes, refused, drift(site(), seen, plan)


@pytest.mark.parametrize("change", BROKEN)
def test_a_doctor_finds_the_same(other_words, change):
    before = shape(change)
    assert any(before[0])
    other_words()
    assert shape(change) == before


@pytest.mark.parametrize("kind", broken.FAULTS)
def test_why_a_host_is_not_reached_is_the_errors_kind(other_words, kind):
    def silent():
        return shape(broken.without_answers("n2"), unreachable={"n2": kind(host="n2", found="x")})

    before = silent()
    other_words()
    assert silent() == before


def test_what_every_resource_refuses_is_one_finding(other_words):
    other_words()
    assert [code for code, _ in shape(no_number)[3]] == ["refused.ceph.pools"]


RUNS = [
    {"n1": [kept.WROTE, kept.ADDED, kept.RESTARTED]},
    {"n1": [{**kept.WROTE, "now": "0640 cc"}]},
    {"ceph": [kept.USER, kept.POOL]},
    {"ceph": [kept.USER, kept.POOL], "images": '["v"]'},
]


def undone(run):
    """What an undo would do, or that it would do nothing; and how much of the run stays."""
    facts = Facts({**kept.facts(**run).hosts})
    resource = Undone("r1")
    try:
        changes = resource.plan(site(), facts)
    except Stop as stop:
        return type(stop)
    notes = resource.notes(site(), facts, changes)
    return [(c.host, c.sign, c.verb, c.args, c.wave) for c in changes], len(notes)


def reworded(run):
    """The run as its hosts would have kept it in other words."""
    return {
        where: [{**step, **{name: a_sentence(step[name]) for name in SHOWN}} for step in steps]
        if isinstance(steps, list)
        else steps
        for where, steps in run.items()
    }


@pytest.mark.parametrize("run", RUNS)
def test_an_undo_takes_back_the_same(other_words, run):
    before = undone(run)
    other_words()
    assert undone(reworded(run)) == before
