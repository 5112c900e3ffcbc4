"""What the canary's deleted parents leave in the pools: taken away, and nothing else is."""

import contextlib
import json
import os
import uuid
from types import SimpleNamespace as Thing

import pytest

from fabfile.core.contract import Failed, Interrupted, Unreachable
from fabfile.flow.proof import parents

from . import test_agent
from .states import site

PARENT, CLONE, OTHER = (str(uuid.UUID(int=number)) for number in (1, 2, 3))
SPEC = f"volumes/volume-{PARENT}.deleted"
SNAP = f"volume-{CLONE}.clone_snap"
LOCK = {"site": "x", "number": 7, "who": "run 1", "patience": 9}


def snap(name=SNAP, protected="true", kind="user"):
    return {"name": name, "protected": protected, "namespace": {"type": kind}}


class Ceph:
    """A Ceph host, as a session and as rbd: {spec: what is said of it}, and the trash."""

    def __init__(self, images=None, trash=(), clones=()):
        self.site, self.under_lock, self.engine = site(), dict(LOCK), self
        self.images, self.trash, self.clones = images or {}, list(trash), clones
        self.did, self.works, self.refuses, self.cut = [], [], "", None
        self.fleet = Thing(conversations=Thing(raise_if_stopped=lambda: None))

    def finishing(self):
        return contextlib.nullcontext()

    def ask(self, asked):
        ((host, reads),) = asked.items()
        return {host.name: {read.id: self._answer(read.args["argv"]) for read in reads}}

    def _answer(self, argv):
        words = [word for word in argv[1:] if word not in ("--format", "json", "--all")]
        if words[:2] == ["trash", "ls"]:
            assert "json" not in argv  # a reader of lines; rbd's JSON of it differs by release
            return self.trash if words[3] == "images" else []
        if "--image-id" in words:
            return self._said(self.clones)
        image = self.images.get(words[-1])
        if image is None:
            return {"code": 2, "out": "", "err": "No such file or directory"}
        plain = {"info": {"size": 1}, "status": {"watchers": []}, "children": [], "snap": [snap()]}
        return self._said({**plain, **image}[words[0]])

    def _said(self, document):
        if document is None:
            return {"code": 22, "out": "", "err": "Invalid argument"}
        return {"code": 0, "out": json.dumps(document), "err": ""}

    def apply(self, works, heard):
        ((host, work),) = works.items()
        self.works.append(work)
        for step in work["steps"]:
            words = " ".join(step["args"]["argv"])
            if self.refuses and self.refuses in words:
                heard(host, {"t": "failed", "step": step["id"], "why": "rbd: exit code 16: busy"})
                break
            self.did.append(words)
            heard(host, {"t": "done", "step": step["id"]})
        return {host: self.cut} if self.cut else {}


def cleared(ceph, kind="volume"):
    return parents.clear(ceph, ceph.site.cinder.all[0], kind, PARENT, CLONE)


def test_a_volume_that_cinder_kept_is_removed_with_its_snapshot():
    ceph = Ceph({SPEC: {}})
    assert cleared(ceph) == f"{SPEC}, which Cinder kept, is removed"
    assert ceph.did == [
        f"rbd snap unprotect {SPEC}@{SNAP}",
        f"rbd snap rm {SPEC}@{SNAP}",
        f"rbd rm --no-progress {SPEC}",
    ]
    (work,) = ceph.works
    assert {name: work[name] for name in LOCK} == LOCK and not work["prunes"]
    assert [step["stays"] for step in work["steps"]] == ["the canary made it"] * 3


@pytest.mark.parametrize(
    "image, deeds",
    [({"snap": [snap(protected="false")]}, ["snap", "rm"]), ({"snap": []}, ["rm"])],
)
def test_what_is_left_of_it_is_enough(image, deeds):
    ceph = Ceph({SPEC: image})
    assert cleared(ceph).endswith("is removed")
    assert [words.split()[1] for words in ceph.did] == deeds


@pytest.mark.parametrize(
    "images",
    [
        {},
        {f"volumes/volume-{OTHER}.deleted": {}},  # somebody else's
        {f"volumes/volume-{PARENT}": {}},  # not deleted
        {f"images/volume-{PARENT}.deleted": {}},
    ],
)
def test_what_is_not_there_or_is_not_its_own_is_left_alone(images):
    ceph = Ceph(images)
    assert cleared(ceph) == "" and ceph.works == []


@pytest.mark.parametrize(
    "image, why",
    [
        ({"children": [{"pool": "volumes", "image": "x"}]}, "1 clones need it"),
        ({"children": ["volumes/x"]}, "1 clones need it"),
        ({"children": None}, "were not all told"),
        ({"status": {"watchers": [{"address": "10.0.0.1:0/1"}]}}, "something has it open"),
        ({"status": None}, "were not all told"),
        ({"snap": None}, "were not all told"),
        ({"snap": [snap(), snap(f"volume-{OTHER}.clone_snap")]}, "a snapshot of something else"),
        ({"snap": [snap(f"snapshot-{CLONE}")]}, "a snapshot of something else"),
        ({"snap": [snap(kind="trash")]}, "a snapshot of something else"),
        ({"snap": [snap("$(reboot)")]}, "a snapshot of something else"),
        ({"info": {"size": 1, "mirroring": {"state": "enabled"}}}, "it is mirrored"),
        ({"info": {"size": 1, "group": "g"}}, "it is mirrored, in a group"),
        ({"info": {"size": 1, "features": ["migrating"]}}, "it is mirrored"),
        ({"info": None}, "rbd info says nothing"),
        ({"children": {"a": {"b": 1}, "c": "d"}}, "2 clones need it"),
        ({"snap": ["x"]}, "JSON as rbd writes it"),
        ({"snap": [{"name": "a\nb"}]}, "JSON as rbd writes it"),
    ],
)
def test_what_something_needs_stays_and_that_is_said(image, why):
    ceph = Ceph({SPEC: image})
    assert why in cleared(ceph)
    assert "inv reconcile" in cleared(ceph)
    assert ceph.works == []


HERE = [f"5e1f {PARENT}"]


def test_an_image_that_glance_left_in_the_trash_is_removed_by_its_id():
    ceph = Ceph(trash=[*HERE, f"aa {OTHER}"])
    assert (
        cleared(ceph, "image") == f"{PARENT}, which Glance left in the trash of images, is removed"
    )
    assert ceph.did == ["rbd trash rm --no-progress images/5e1f"]


@pytest.mark.parametrize(
    "trash, clones, said",
    [
        ([], [], ""),
        ([f"aa {OTHER}"], [], ""),
        ([f"aa {PARENT}-x", f"bb x{PARENT}", "cc", "", f"{PARENT} dd"], [], ""),
        (HERE, [{"pool": "volumes", "image": "x"}], "1 clones need it"),
        (HERE, None, "its clones were not told"),
        ([*HERE, f"bb {PARENT}"], [], "2 times in the trash"),
        ([f"$(reboot) {PARENT}"], [], "expected the id of an image"),
        ([f"-p {PARENT}"], [], "expected the id of an image"),
        ([f"; reboot {PARENT}"], [], ""),
    ],
)
def test_of_the_trash_nothing_else_is_touched(trash, clones, said):
    ceph = Ceph(trash=trash, clones=clones)
    found = cleared(ceph, "image")
    assert said in found and bool(found) == bool(said)
    assert ceph.works == []


@pytest.mark.parametrize("refuses", ["snap unprotect", "snap rm", "rm --no-progress"])
def test_what_rbd_refuses_stays_and_that_is_said(refuses):
    ceph = Ceph({SPEC: {}})
    ceph.refuses = refuses
    assert "stays: " in cleared(ceph) and "busy" in cleared(ceph)
    assert not any(refuses in words for words in ceph.did)


@pytest.mark.parametrize("cut", [Failed("ended"), Unreachable("down")])
def test_a_host_that_is_cut_off_is_said(cut):
    ceph = Ceph({SPEC: {}})
    ceph.cut = cut
    assert "stays: " in cleared(ceph)


def test_an_interrupt_goes_through():
    ceph = Ceph({SPEC: {}})

    def stopped():
        raise Interrupted("interrupted")

    ceph.fleet.conversations.raise_if_stopped = stopped
    with pytest.raises(Interrupted):
        cleared(ceph)


@pytest.mark.parametrize("code, did", [(0, 3), (16, 1)])
def test_the_agent_takes_what_is_sent(tmp_path, code, did):
    """The steps as they are, by a real agent, beside the steps of the last canary."""
    log, program = tmp_path / "log", tmp_path / "rbd"
    program.write_text(f'#!/bin/sh\necho "$*" >> {log}\nexit {code}\n')
    program.chmod(0o755)

    def apply(works, heard):
        ((host, work),) = works.items()
        for step in work["steps"]:
            step["args"]["argv"][0] = str(program)  # an agent's PATH is its own
        agent = test_agent.Agent(tmp_path, **work)
        for message in agent.all():
            heard(host, message)
        agent.process.kill()
        return {}

    for _ in range(2):
        ceph = Ceph({SPEC: {}})
        ceph.apply = apply
        said = cleared(ceph)
        assert said.endswith("is removed") if code == 0 else "exit code 16" in said
        assert len(log.read_text().splitlines()) == did
        log.write_text("")
    # One record, older than any run's: what can be taken back is not pushed out.
    assert os.listdir(tmp_path / "state" / "runs") == ["1970-01-01T00-00-00Z-0000"]
