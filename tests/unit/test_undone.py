"""What is taken back of a run, from what the hosts kept of it."""

import json

import pytest

from fabfile.core.contract import CLOUD, BadInput, Facts
from fabfile.resources.undone import Undone

from .states import site

WROTE = {
    "step": 0, "state": "done", "thing": "/etc/nova/nova.conf", "sentence": "set options",
    "sign": "~", "wave": 2, "verb_was": "edit", "verb": "write", "args": {"path": "/etc/x"},
    "guard": {"path": "/etc/x"}, "becomes": "bb", "was": "0640 aa", "is": "0640 bb",
    "now": "0640 bb",
}  # fmt: skip
ADDED = {**WROTE, "step": 1, "thing": "/etc/ceph/ceph.conf", "sign": "+", "verb": "remove",
         "was": None}  # fmt: skip
RESTARTED = {
    "step": 2, "state": "done", "thing": "nova-compute", "sentence": "restart", "sign": "!",
    "wave": 2, "verb_was": "restart", "verb": "restart", "args": {"units": ["nova-compute"]},
}  # fmt: skip
USER = {
    "step": 3, "state": "done", "thing": "user client.volumes", "sentence": "create", "sign": "+",
    "wave": 0, "verb_was": "run", "verb": "run", "args": {"argv": ["ceph", "auth", "del"]},
    "holds": ["volumes"], "was": None, "is": "aa", "now": "aa",
}  # fmt: skip
POOL = {"step": 4, "state": "done", "thing": "pool volumes", "sentence": "create", "sign": "+",
        "wave": 0, "verb_was": "run"}  # fmt: skip


def answer(value, code=0):
    return {"code": code, "out": value, "err": ""}


def facts(n1=(), ceph=(), images="[]", code=0):
    admin = {"run": list(ceph), "images.volumes": answer(images, code)}
    admin["trash.volumes"] = answer("[]", code)
    return Facts({"ceph01": admin, "n1": {"run": list(n1)}, "n2": {"run": []}})


def planned(seen):
    changes = Undone("r1").plan(site(), seen)
    return [(c.host, c.thing, c.sign, c.verb) for c in changes]


def test_backwards_and_the_restart_behind_it():
    assert planned(facts(n1=[WROTE, ADDED, RESTARTED])) == [
        ("n1", "/etc/ceph/ceph.conf", "-", "remove"),
        ("n1", "/etc/nova/nova.conf", "~", "write"),
        ("n1", "nova-compute", "!", "restart"),
    ]


def test_a_unit_that_did_not_stand_is_restarted_with_the_files_that_it_had():
    fell = {**RESTARTED, "state": "failed"}
    assert [thing for _, thing, *_ in planned(facts(n1=[WROTE, fell]))] == [
        "/etc/nova/nova.conf",
        "nova-compute",
    ]
    assert planned(facts(n1=[fell])) == []


def test_the_last_wave_first():
    changes = Undone("r1").plan(site(), facts(n1=[WROTE, RESTARTED], ceph=[USER]))
    assert {(c.host, c.wave) for c in changes} == {("n1", 1), ("ceph01", 3)}


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"now": "0640 aa"}, "nothing"),  # as it was already
        ({"now": "0640 cc"}, "stale"),
        ({"now": "0600 bb"}, "stale"),  # somebody changed the mode
        ({"now": None}, "stale"),
        ({"state": "failed", "now": "0640 cc"}, "nothing"),
        # Begun, and the host never said that it was done:
        ({"state": "begun", "is": None, "now": "0640 aa"}, "nothing"),
        ({"state": "begun", "is": None, "now": "0640 bb"}, "back"),
        ({"state": "begun", "is": None, "now": "0640 cc"}, "stale"),
        ({"state": "begun", "is": None, "now": None}, "stale"),
    ],
)
def test_only_what_is_still_as_the_run_left_it(change, expected):
    seen = facts(n1=[{**WROTE, **change}])
    if expected == "stale":
        with pytest.raises(BadInput, match="stale.*\n.*n1: /etc/nova/nova.conf"):
            planned(seen)
    else:
        assert bool(planned(seen)) == (expected == "back")


def test_no_restart_where_no_file_comes_back():
    assert planned(facts(n1=[{**WROTE, "now": "0640 aa"}, RESTARTED])) == []


@pytest.mark.parametrize(
    "images, code, stays",
    [("[]", 0, False), ("", 0, False), ("", 2, False), (json.dumps(["volume-1"]), 0, True)],
)
def test_a_user_whose_pool_holds_images_stays(images, code, stays):
    seen = facts(ceph=[USER], images=images, code=code)
    assert bool(planned(seen)) != stays
    notes = Undone("r1").notes(site(), seen, [])
    assert notes == (
        ["ceph01: user client.volumes (create) stays: pool volumes holds images"] if stays else []
    )


def test_a_pool_is_never_deleted():
    seen = facts(ceph=[POOL])
    assert planned(seen) == []
    assert "a pool is never deleted" in Undone("r1").notes(site(), seen, [])[0]


def test_a_run_of_which_nobody_knows():
    with pytest.raises(BadInput, match="no host knows of run 'r1'"):
        planned(facts())


MADE = {"thing": "volume type rbd", "sign": "+", "args": {"name": "rbd", "backend_name": "rbd"}}


@pytest.mark.parametrize(
    "now, expected",
    [
        ({"rbd": {"volume_backend_name": "rbd"}}, [(CLOUD, "volume type rbd", "-")]),
        ({"rbd": {"volume_backend_name": "other"}}, []),
        ({}, []),
    ],
)
def test_the_volume_type_goes_first_where_it_is_still_ours(now, expected):
    seen = facts(n1=[{**WROTE, "now": "0640 aa"}])
    seen = Facts({**seen.hosts, CLOUD: {"volume_types": now}})
    changes = Undone("r1", [MADE]).plan(site(), seen)
    assert [(c.host, c.thing, c.sign) for c in changes] == expected
    assert all(c.wave == 0 for c in changes)


def test_every_host_is_asked_and_the_first_ceph_host_for_images_too():
    asked = {h.name: [r.id for r in Undone("r1").reads(site(), h)] for h in site().all_hosts()}
    assert asked["n1"] == ["run"]
    assert asked["ceph01"] == [
        "run", "images.volumes", "trash.volumes", "images.images", "trash.images",
    ]  # fmt: skip
