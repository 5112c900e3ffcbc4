"""What is taken back of a run, from what the hosts kept of it."""

import json

import pytest

from fabfile.core.contract import CLOUD, BadInput, Facts, Host
from fabfile.resources.rollback import Undone

from .states import HOSTS, site

WROTE = {
    "step": 0,
    "state": "done",
    "thing": "/etc/nova/nova.conf",
    "sentence": "set options",
    "sign": "~",
    "wave": 2,
    "verb_was": "edit",
    "verb": "write",
    "args": {"path": "/etc/x"},
    "guard": {"path": "/etc/x"},
    "becomes": "bb",
    "was": "0640 aa",
    "is": "0640 bb",
    "now": "0640 bb",
}
ADDED = {
    **WROTE,
    "step": 1,
    "thing": "/etc/ceph/ceph.conf",
    "sign": "+",
    "verb": "remove",
    "was": None,
}
RESTARTED = {
    "step": 2,
    "state": "done",
    "thing": "nova-compute",
    "sentence": "restart",
    "sign": "!",
    "wave": 2,
    "verb_was": "restart",
    "verb": "restart",
    "args": {"units": ["nova-compute"]},
}
USER = {
    "step": 3,
    "state": "done",
    "thing": "user client.volumes",
    "sentence": "create",
    "sign": "+",
    "wave": 0,
    "verb_was": "run",
    "verb": "run",
    "args": {"argv": ["ceph", "auth", "del"]},
    "holds": ["volumes"],
    "was": None,
    "is": "aa",
    "now": "aa",
}
POOL = {
    "step": 4,
    "state": "done",
    "thing": "pool volumes",
    "kind": "pool",
    "subject": "volumes",
    "sentence": "create",
    "sign": "+",
    "wave": 0,
    "verb_was": "run",
}


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


def test_a_pool_stays_also_beside_a_user_of_its_name_that_goes():
    pool = {**POOL, "kind": "pool", "subject": "volumes"}
    user = {**USER, "kind": "user", "subject": "volumes"}
    (note,) = Undone("r1").notes(site(), facts(ceph=[user, pool]), [])
    assert "a pool is never deleted" in note


@pytest.mark.parametrize(
    "step, why",
    [
        ({**POOL, "kind": "thing", "stays": "it has a reason"}, "it has a reason"),
        ({**POOL, "kind": "thing", "stays": ""}, "it is not taken back by this tool"),
        ({**POOL, "kind": "thing"}, "it is not taken back by this tool"),  # recorded long ago
    ],
)
def test_a_step_without_a_way_back_says_itself_why_it_stays(step, why):
    (note,) = Undone("r1").notes(site(), facts(n1=[step]), [])
    assert note.endswith(f"stays: {why}")


def test_a_run_of_which_nobody_knows():
    with pytest.raises(BadInput, match="no host knows of run 'r1'"):
        planned(facts())


MADE = {
    "thing": "volume type rbd",
    "sign": "+",
    "verb": "volume_type",
    "args": {"name": "rbd", "backend_name": "rbd"},
}


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


def test_a_run_that_its_hosts_do_not_know_leaves_the_cloud_alone():
    """A lab, or hosts, made anew under the same site's name: its volume type is another one's."""
    seen = Facts({**facts().hosts, CLOUD: {"volume_types": {"rbd": BOUND_TO}}})
    with pytest.raises(BadInput, match="no host knows of run 'r1': it was another cloud's"):
        Undone("r1", [MADE], hosts=["n1"]).plan(site(), seen)
    assert Undone("r1", [MADE]).plan(site(), seen)  # it worked in the API alone


@pytest.mark.parametrize(
    "guarded, stays",
    [
        ({}, ""),
        ({"other": ["encrypted"]}, ""),
        ({"rbd": ["encrypted"]}, "encrypted"),
        ({"rbd": ["private", "encrypted"]}, "private and encrypted"),
    ],
)
def test_a_type_that_somebody_gave_more_since_stays(guarded, stays):
    there = {"volume_types": {"rbd": BOUND_TO}, "guarded_types": guarded}
    seen = Facts({**facts(n1=[{**WROTE, "now": "0640 aa"}]).hosts, CLOUD: there})
    undone = Undone("r1", [MADE])
    assert "guarded_types" in [read.id for read in undone.reads(site(), Host(CLOUD, ()))]
    changes = undone.plan(site(), seen)
    assert [c.thing for c in changes if c.host == CLOUD] == ([] if stays else ["volume type rbd"])
    said = [f"volume type rbd stays: it is {stays} since the run made it; delete it yourself"]
    assert undone.notes(site(), seen, changes) == (said if stays else [])


SPECS = {"specs": {"x": "1", "y": "2"}, "was": {"x": None, "y": "0"}}
BOUND_TO = {"volume_backend_name": "rbd"}


@pytest.mark.parametrize(
    "more, now, expected",
    [
        # bound and no more: as before there were others
        ({}, BOUND_TO, ("unbind", {"name": "rbd", "made": False})),
        # what it was is what comes back
        (SPECS, {**BOUND_TO, "x": "1", "y": "2"}, ("as before: x, y", {"x": None, "y": "0"})),
        # what somebody changed since stays
        (SPECS, {**BOUND_TO, "x": "9", "y": "2"}, ("as before: y", {"y": "0"})),
        (SPECS, {**BOUND_TO, "x": "9"}, None),
        (
            {"specs": {"x": "1"}, "was": {"volume_backend_name": None, "x": None}},
            {**BOUND_TO, "x": "1"},
            ("as before: volume_backend_name, x", {"volume_backend_name": None, "x": None}),
        ),
    ],
)
def test_a_type_that_was_there_has_its_extra_specs_back(more, now, expected):
    done = {**MADE, "sign": "~", "args": {**MADE["args"], **more}}
    seen = facts(n1=[{**WROTE, "now": "0640 aa"}])
    seen = Facts({**seen.hosts, CLOUD: {"volume_types": {"rbd": now}}})
    changes = [c for c in Undone("r1", [done]).plan(site(), seen) if c.host == CLOUD]
    if expected is None:
        assert changes == []
        return
    (change,) = changes
    args = {"name": "rbd", "made": False, **({"was": expected[1]} if more else {})}
    assert (change.sign, change.sentence, change.args) == ("~", expected[0], args)


def test_every_host_is_asked_and_the_first_ceph_host_for_images_too():
    asked = {h.name: [r.id for r in Undone("r1").reads(site(), h)] for h in site().all_hosts()}
    assert asked["n1"] == ["run", "pending_restarts", "domains"]
    assert asked["ceph01"] == [
        "run",
        "pending_restarts",
        "ceph.rules",
        "ceph.pools",
        "images.volumes",
        "trash.volumes",
        "images.images",
        "trash.images",
    ]


def test_restarts_that_are_owed_when_files_come_back_are_noted_first():
    changes = Undone("r1").plan(site(), facts(n1=[WROTE, RESTARTED]))
    assert [(c.verb, c.restarts) for c in changes] == [
        ("write", ("nova-compute",)),
        ("restart", ()),
    ]


def test_an_undo_that_was_broken_off_before_its_restart_goes_on_there():
    seen = facts(n1=[{**WROTE, "now": "0640 aa"}, RESTARTED])
    seen.hosts["n1"]["pending_restarts"] = ["nova-compute"]
    assert [thing for _, thing, *_ in planned(seen)] == ["nova-compute"]


def test_a_user_of_a_pool_that_the_site_file_does_not_name_stays():
    seen = facts(ceph=[{**USER, "holds": ["oldpool"]}])
    assert planned(seen) == []
    (note,) = Undone("r1").notes(site(), seen, [])
    assert "pool oldpool holds images was not seen" in note


WEST = {
    "west01": {"roles": ["ceph"], "cluster": "west"},
    "west02": {"roles": ["ceph"], "cluster": "west"},
}


@pytest.mark.parametrize("first", ["west01", "west02"])
@pytest.mark.parametrize(
    "there, holds", [([], None), (["volume-1"], "pool volumes holds images")], ids=["empty", "used"]
)
def test_a_user_is_of_its_hosts_cluster_whichever_host_is_its_first_now(first, there, holds):
    hosts = {"ceph01": HOSTS["ceph01"], first: WEST[first], **WEST, "ctl": HOSTS["ctl"]}
    named = {"pools": {"volumes": {}}, "clients": {"volumes": {}}}
    it = site(
        hosts=hosts,
        clusters={"west": named},
        cinder={
            "backends": {"w": {"cluster": "west", "pool": "volumes"}, "rbd": {"pool": "volumes"}}
        },
    )
    assert [host.name for host in it.admins] == ["ceph01", first]
    empty = {
        f"{kind}.{pool}": answer("[]")
        for kind in ("images", "trash")
        for pool in ("volumes", "images")
    }
    seen = Facts({name: {} for name in hosts})
    seen.hosts["ceph01"] |= empty
    seen.hosts[first] |= {"west/trash.volumes": answer("[]")}
    seen.hosts[first] |= {"west/images.volumes": answer(json.dumps(there))}
    seen.hosts["west01"]["run"] = [USER]
    undone = Undone("r1")
    assert [c.host for c in undone.plan(it, seen)] == ["west01"] * (not there)
    said = undone.notes(it, seen, [])
    assert said == [f"west01: {USER['thing']} (create) stays: {holds}"] * bool(there)


@pytest.mark.parametrize(
    "step", [USER, {**USER, "kind": "crush_rule", "subject": "x", "holds": []}]
)
def test_what_was_done_where_no_cluster_is_any_more_stays(step):
    seen = Facts({name: {"run": []} for name in HOSTS})
    seen.hosts["n2"]["run"] = [step]
    assert Undone("r1").plan(site(), seen) == []
    (said,) = Undone("r1").notes(site(), seen, [])
    assert "was not seen" in said


def test_a_step_that_failed_before_it_began_left_nothing():
    failed = {"step": 0, "state": "failed", "why": "/etc/x: changed since the plan was made"}
    assert [thing for _, thing, *_ in planned(facts(n1=[failed, WROTE]))] == [WROTE["thing"]]
    assert Undone("r1").notes(site(), facts(n1=[failed]), []) == []


@pytest.mark.parametrize(
    "left, now, expected",
    [
        ({"is": "bb"}, "bb", 1),
        ({"is": "bb"}, "aa", 0),
        ({"is": "bb"}, "of another", 0),
        ({"is": "aa"}, "of another", 0),
        ({}, "of another", 0),
        ({}, "aa", 0),
    ],
)
def test_a_command_that_failed_is_taken_back_where_it_took_effect(left, now, expected):
    command = {
        **WROTE,
        "verb_was": "run",
        "verb": "run",
        "args": {"argv": ["x"]},
        "state": "failed",
        "was": "aa",
        "now": now,
    }
    del command["becomes"], command["is"]
    assert len(planned(facts(n1=[command | left]))) == expected


def test_on_a_host_of_two_waves_the_restart_is_behind_the_last_file():
    first = {**WROTE, "step": 5, "thing": "/etc/glance/g", "wave": 1}
    units = {**RESTARTED, "step": 6, "wave": 1, "args": {"units": ["glance-api"]}}
    changes = Undone("r1").plan(site(), facts(n1=[first, units, WROTE, RESTARTED]))
    assert [(c.wave, c.thing) for c in changes] == [
        (1, "/etc/nova/nova.conf"),
        (2, "/etc/glance/g"),
        (2, "glance-api, nova-compute"),
    ]


def test_a_limited_undo_minds_its_own_hosts_alone():
    seen = facts(n1=[WROTE], ceph=[{**USER, "now": "changed"}])
    with pytest.raises(BadInput, match="stale"):
        Undone("r1").plan(site(), seen)
    changes = Undone("r1", limited={"n1"}).plan(site(), seen)
    assert [c.host for c in changes] == ["n1"]


def test_hosts_that_the_site_file_no_longer_names_are_told():
    (note,) = Undone("r1", strangers=["n9"]).notes(site(), facts(n1=[WROTE]), [])
    assert note == "n9: is not in the site file; what the run did there stays"


FOLDER = {
    **ADDED,
    "thing": "/etc/ceph",
    "verb_was": "folder",
    "verb": "no_folder",
    "args": {"path": "/etc/ceph"},
}
INSIDE = {**ADDED, "args": {"path": "/etc/ceph/ceph.conf"}}


@pytest.mark.parametrize(
    "names, verbs", [(["ceph.conf"], ["remove", "no_folder"]), (["ceph.conf", "k"], ["remove"])]
)
def test_a_folder_that_others_fill_stays(names, verbs):
    seen = facts(n1=[{**FOLDER, "names": names}, INSIDE])
    changes = Undone("r1").plan(site(), seen)
    assert [c.verb for c in changes] == verbs
    notes = Undone("r1").notes(site(), seen, changes)
    assert bool(notes) == ("no_folder" not in verbs) and all("it holds k" in n for n in notes)
