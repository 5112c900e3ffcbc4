"""A backend that is renamed: whose volumes are moved, when they are not, and the way back."""

from types import SimpleNamespace

import pytest

from fabfile.cloud import holdings
from fabfile.core import answers
from fabfile.core.contract import CLOUD, BadInput, Facts, Host, Read
from fabfile.flow import gather
from fabfile.flow.session import Session
from fabfile.model.platforms import made_of
from fabfile.resources import chain, restarts, service_config, volume_hosts, volume_storage
from fabfile.resources.rollback import Undone

from . import clouds
from .states import DEBIAN, FSID, HOSTS, ZED, cluster, conf, site, sources

OLD = {"volume_driver": volume_storage.DRIVER, "rbd_pool": "volumes", "volume_backend_name": "rbd"}
TWO = {**HOSTS, "ctl2": {"roles": ["cinder"]}}


def here(**cinder):
    """A site whose [cinder] says this; with two hosts of cinder-volume where asked."""
    hosts = TWO if cinder.pop("two", False) else HOSTS
    return site(cloud="c", hosts=hosts, cinder={"volume_type": None, **cinder})


def section(name="rbd", **options):
    return [(name, key, value) for key, value in {**OLD, **options}.items()]


def controller(*lines, enabled="lvm,rbd", own="ctl", later=(), owed=()):
    """What a host of cinder-volume answers."""
    active = [("DEFAULT", "enabled_backends", enabled), *lines]
    return {
        "cinder.conf": conf(*active),
        "cinder.sources": sources("cinder", {"/later": later}),
        "cinder.head": None,
        "host": {"hostname": own},
        "pending_restarts": list(owed),
    }


def volume(place, status="available", number="1"):
    return {"id": number, "name": "v", "host": place, "status": status}


def facts(ctl, volumes=(), rows=(), up=True, **more):
    """up: whether the services of the rows are."""
    services = [{"host": row, "up": up, "enabled": True} for row in rows]
    asked = {"volume_services": services, "volumes": list(volumes), "volume_types": {}}
    hosts = {"ceph01": cluster(), "ctl": ctl, CLOUD: asked, **more}
    return Facts(hosts, {"uuid.volumes": FSID}, ZED)


def moved(where, seen):
    """[(host, old, new, whether it is taken back)] and the rows that are taken away."""
    changes = volume_hosts.plan(where, seen)
    moves = [
        (c.host, c.args["argv"][8], c.args["argv"][10], c.args["undo"] is not None)
        for c in changes
        if "update_host" in c.args["argv"]
    ]
    return moves, [c.args["argv"][-1] for c in changes if "remove" in c.args["argv"]]


CEPH = {"backend": "ceph", "replaces": "rbd"}
PLACE = "ctl@rbd#rbd"
RBD = controller(*section())
BESIDE = controller(enabled="lvm")


@pytest.mark.parametrize(
    "cinder, ctl, volumes, rows, expected",
    [
        # renamed: moved, and the row goes
        (CEPH, RBD, [PLACE], ["ctl@rbd"], ([("ctl", PLACE, "ctl@ceph#rbd", True)], ["ctl@rbd"])),
        (
            CEPH,
            RBD,
            [PLACE, "ctl@lvm#lvm"],
            ["ctl@rbd", "ctl@lvm"],
            ([("ctl", PLACE, "ctl@ceph#rbd", True)], ["ctl@rbd"]),
        ),
        (CEPH, RBD, [], ["ctl@rbd"], ([], ["ctl@rbd"])),
        # each pool of the old service is a place
        (
            CEPH,
            RBD,
            ["ctl@rbd", "ctl@rbd#X"],
            [],
            (
                [
                    ("ctl", "ctl@rbd", "ctl@ceph#rbd", True),
                    ("ctl", "ctl@rbd#X", "ctl@ceph#rbd", True),
                ],
                [],
            ),
        ),
        # the new name is somebody's already: there is no exact way back
        (CEPH, RBD, [PLACE, "ctl@ceph#rbd"], [], ([("ctl", PLACE, "ctl@ceph#rbd", False)], [])),
        # a row that an earlier run left is nobody
        (
            CEPH,
            RBD,
            [PLACE],
            ["ctl@rbd", "ctl@ceph"],
            ([("ctl", PLACE, "ctl@ceph#rbd", True)], ["ctl@rbd"]),
        ),
        # the file was written, and the run died: its section stays in the file, not enabled
        (
            CEPH,
            controller(*section(), *section("ceph"), enabled="lvm,ceph"),
            [PLACE],
            ["ctl@rbd", "ctl@ceph"],
            ([("ctl", PLACE, "ctl@ceph#rbd", False)], ["ctl@rbd"]),
        ),
        # the old one stays beside the new one
        ({"backend": "ceph"}, RBD, [PLACE], ["ctl@rbd"], ([], [])),
        # backend_host: set, changed, or by the host's own name
        (
            {"backend_host": "all"},
            RBD,
            [PLACE],
            ["ctl@rbd"],
            ([("ctl", PLACE, "all@rbd#rbd", True)], ["ctl@rbd"]),
        ),
        (
            {"backend_host": "all"},
            controller(*section(backend_host="one")),
            ["one@rbd#rbd"],
            [],
            ([("ctl", "one@rbd#rbd", "all@rbd#rbd", True)], []),
        ),
        ({}, controller(*section(backend_host="one")), ["one@rbd#rbd"], ["one@rbd"], ([], [])),
        (
            {"backend_host": "all"},
            controller(*section(), ("DEFAULT", "host", "box")),
            ["box@rbd#rbd"],
            [],
            ([("ctl", "box@rbd#rbd", "all@rbd#rbd", True)], []),
        ),
        (
            {"backend_host": "all"},
            controller(*section(), later=[("rbd", "backend_host", "late")]),
            ["late@rbd#rbd"],
            [],
            ([("ctl", "late@rbd#rbd", "all@rbd#rbd", True)], []),
        ),
        # a backend_host goes along to the section that takes the place
        (
            CEPH,
            controller(*section(backend_host="one")),
            ["one@rbd#rbd"],
            [],
            ([("ctl", "one@rbd#rbd", "one@ceph#rbd", True)], []),
        ),
        # the volume_backend_name in use goes along, and is never replaced
        (
            CEPH,
            controller(*section(volume_backend_name="CEPH")),
            ["ctl@rbd#CEPH"],
            ["ctl@rbd"],
            ([("ctl", "ctl@rbd#CEPH", "ctl@ceph#CEPH", True)], ["ctl@rbd"]),
        ),
        (
            {},
            controller(*section(volume_backend_name="CEPH")),
            ["ctl@rbd#CEPH"],
            ["ctl@rbd"],
            ([], []),
        ),
        # what is not ours to say
        (CEPH, RBD, ["other@rbd#rbd", "ctl@nfs#nfs", ""], ["other@rbd"], ([], [])),
        # one service by its whole name
        (
            {"replaces": "gone@rbd"},
            RBD,
            ["gone@rbd#rbd"],
            ["ctl@rbd"],
            ([("ctl", "gone@rbd#rbd", "ctl@rbd#rbd", False)], []),
        ),
        # its own section is altered, for no volume is there: an undo leads it elsewhere again
        (
            CEPH,
            controller(
                *section(),
                *section("ceph", rbd_pool="others", volume_backend_name="C"),
                enabled="ceph,rbd",
            ),
            [PLACE],
            ["ctl@rbd", "ctl@ceph"],
            ([("ctl", PLACE, "ctl@ceph#C", True)], ["ctl@rbd"]),
        ),
        (
            CEPH,
            controller(*section(), *section("ceph", volume_backend_name="C"), enabled="ceph,rbd"),
            [PLACE],
            ["ctl@rbd", "ctl@ceph"],
            ([("ctl", PLACE, "ctl@ceph#C", False)], ["ctl@rbd"]),
        ),
    ],
)
def test_what_is_moved(cinder, ctl, volumes, rows, expected):
    seen = facts(ctl, map(volume, volumes), rows, up=rows != ["other@rbd"])
    assert moved(here(**cinder), seen) == expected


def test_two_hosts_under_one_backend_host():
    seen = facts(
        RBD,
        [volume(PLACE), volume("ctl2@rbd#rbd")],
        ["ctl@rbd", "ctl2@rbd"],
        ctl2=controller(*section(), own="ctl2"),
    )
    moves, rows = moved(here(two=True, backend_host="all"), seen)
    assert moves == [
        ("ctl", PLACE, "all@rbd#rbd", True),
        ("ctl2", "ctl2@rbd#rbd", "all@rbd#rbd", True),
    ]
    assert rows == ["ctl2@rbd", "ctl@rbd"]
    assert told_apart(here(two=True, backend_host="all"), seen) == [
        "volumes on ctl2@rbd, ctl@rbd all become all@rbd's, and nobody can tell them apart "
        "afterwards: an undo gives all of them to one of these services, as it finds them"
    ]


def told_apart(where, seen):
    """What is said of volumes that get one name."""
    notes = volume_hosts.notes(where, seen, volume_hosts.plan(where, seen))
    return [note for note in notes if "tell them apart" in note]


def test_two_hosts_are_renamed_each_for_itself():
    seen = facts(
        RBD, [volume(PLACE), volume("ctl2@rbd#rbd")], [], ctl2=controller(*section(), own="ctl2")
    )
    assert moved(here(two=True, **CEPH), seen)[0] == [
        ("ctl", PLACE, "ctl@ceph#rbd", True),
        ("ctl2", "ctl2@rbd#rbd", "ctl2@ceph#rbd", True),
    ]
    assert told_apart(here(two=True, **CEPH), seen) == []


def test_two_pools_of_one_service_are_still_its_own():
    seen = facts(RBD, [volume("ctl@rbd"), volume("ctl@rbd#X")])
    assert told_apart(here(**CEPH), seen) == []


@pytest.mark.parametrize(
    "cinder, seen, words",
    [
        (CEPH, facts(RBD, [volume(PLACE, "deleting")]), "being worked on: 1 .deleting.*again"),
        (
            {"replaces": "lvm"},
            facts(controller(*section(volume_driver="lvm.Driver")), [volume("ctl@lvm#lvm")]),
            r"\[lvm\]: expected volume_driver",
        ),
        (
            CEPH,
            facts(controller(*section(rbd_pool="others")), [volume(PLACE)]),
            "rbd_pool = volumes .* found .*rbd_pool = others",
        ),
        (CEPH, facts(controller(enabled="ceph"), [volume(PLACE)]), r"volume_driver = \(none\)"),
        (
            {"replaces": "far@rbd"},
            facts(RBD, [volume("far@rbd#rbd")], ["far@rbd"]),
            "found far@rbd up on a host that is not in the site file",
        ),
        (CEPH, Facts({"ctl": RBD}, {}, ZED), "ctl@rbd would have another name"),
    ],
)
def test_what_is_refused(cinder, seen, words):
    with pytest.raises(BadInput, match=words):
        volume_hosts.plan(here(**cinder), seen)


@pytest.mark.parametrize("status", ["in-use", "error", "error_deleting", "reserved"])
def test_a_volume_at_rest_is_moved(status):
    assert moved(here(**CEPH), facts(RBD, [volume(PLACE, status)]))[0]


def test_volumes_are_asked_for_only_where_a_name_changes():
    cloud = Host(CLOUD, ())
    assert [r.id for r in volume_hosts.reads(here(), cloud)] == ["volume_services"]
    assert volume_hosts.reads(site(), cloud) == []
    seen = facts(RBD, rows=["ctl@rbd", "ctl@lvm"])
    assert volume_hosts.follow_up_reads(here(), seen) == []
    assert volume_hosts.follow_up_reads(here(**CEPH), seen) == [volume_storage.VOLUMES]
    assert volume_hosts.follow_up_reads(here(backend_host="all"), seen) == [volume_storage.VOLUMES]


def test_of_all_stages_the_cloud_is_asked_what_it_can_answer(monkeypatch):
    stages, cloud = chain.RESOURCES, Host(CLOUD, ())
    one = site(cloud="c", sudoers={"user": "op"})
    asked = gather.questions(one, stages, cloud)
    assert {read.verb for read in asked} == {"file", "volume_types", "volume_services"}
    monkeypatch.setattr(holdings, "READS", dict.fromkeys(holdings.READS, lambda _: "answer"))
    run = SimpleNamespace(connection=lambda: None)
    assert set(Session.ask_cloud(run, asked)) == {"volume_types", "volume_services"}


def test_a_release_without_sections_has_no_backend_to_rename():
    old = {"cinder": {"options": {"DEFAULT": {"rbd_pool": "{pool}"}}}}
    seen = facts(controller(enabled=""), [volume("ctl")])
    assert volume_hosts.plan(here(**CEPH), Facts(seen.hosts, {}, old)) == []


# The file, the restart, the types: in what order


def whole(where, seen):
    """[(wave, host, what)] of the stages that a rename is about."""
    changes = []
    for stage in (
        service_config.cinder,
        volume_hosts.RESOURCE,
        restarts.after_moves,
        service_config.volume_type,
    ):
        changes += stage.planned(where, seen, changes)
    return [(c.wave, c.host, c.thing) for c in changes], changes


def test_the_file_then_the_volumes_then_the_restart_and_the_row_last():
    seen = facts(RBD, [volume(PLACE)], ["ctl@rbd"])
    seen.hosts[CLOUD]["volume_types"] = {"rbd": {"volume_backend_name": "rbd"}}
    order, changes = whole(here(volume_type="rbd", **CEPH), seen)
    assert order == [
        (1, "ctl", "/etc/cinder/cinder.conf"),
        (1, "ctl", f"volumes on {PLACE}"),
        (3, "ctl", "service ctl@rbd"),
        (1, "ctl", "cinder-volume"),
    ]
    edits = {(s, k): v for s, k, v in changes[0].args["edits"]}
    assert edits["DEFAULT", "enabled_backends"] == "lvm,ceph"
    assert edits["ceph", "volume_backend_name"] == "rbd"
    assert ("ceph", "backend_host") not in edits


def test_sections_are_compared_as_the_service_does():
    seen = facts(controller(*section("ceph", volume_backend_name="X"), enabled="Ceph"))
    where = here(backend="Ceph")
    assert volume_hosts.bound_name(where, seen, where.cinder.all[0]) == "X"
    (change,) = service_config.cinder.plan(where, seen)
    assert "volume_backend_name" not in [edit[1] for edit in change.args["edits"]]


def test_a_volume_backend_name_in_use_is_never_replaced():
    seen = facts(controller(*section(volume_backend_name="CEPH")))
    (change,) = service_config.cinder.plan(here(), seen)
    assert ["rbd", "volume_backend_name"] not in [edit[:2] for edit in change.args["edits"]]
    seen.hosts[CLOUD]["volume_types"] = {"rbd": {}}
    (change,) = service_config.volume_type.plan(here(volume_type="rbd"), seen)
    assert change.args["backend_name"] == "CEPH"


def test_backend_host_is_written_and_goes_along():
    def edits(where, ctl):
        (change, *_) = service_config.cinder.plan(where, facts(ctl))
        return {(s, k): v for s, k, v in change.args["edits"]}

    assert edits(here(backend_host="all"), RBD)["rbd", "backend_host"] == "all"
    bearing = controller(*section(backend_host="one"))
    assert edits(here(**CEPH), bearing)["ceph", "backend_host"] == "one"
    assert ("rbd", "backend_host") not in edits(here(), bearing)


def test_a_file_is_not_edited_for_what_would_be_refused():
    with pytest.raises(BadInput, match=r"cinder.replaces: ctl: /etc/cinder/cinder.conf: \[rbd\]"):
        service_config.cinder.plan(here(**CEPH), facts(controller(*section(rbd_pool="others"))))


def test_a_type_of_a_backend_that_stays_is_refused_with_both_ways_out():
    seen = facts(RBD)
    seen.hosts[CLOUD]["volume_types"] = {"rbd": {"volume_backend_name": "rbd"}}
    with pytest.raises(BadInput, match="name another type; or, .* cinder.replaces = 'rbd'"):
        service_config.volume_type.plan(here(backend="ceph", volume_type="rbd"), seen)
    (note,) = volume_hosts.notes(here(backend="ceph"), seen, [])
    assert "backend rbd serves pool volumes too; it stays" in note


def test_the_plan_says_how_many_volumes_and_what_it_is_to_users():
    where, seen = here(**CEPH), facts(RBD, [volume(PLACE), volume(PLACE, number="2")])
    (note,) = volume_hosts.notes(where, seen, volume_hosts.plan(where, seen))
    assert note.startswith(f"2 volumes on {PLACE}: guests keep their disks")


def test_the_backend_is_in_the_chain_behind_its_file():
    stages = chain.RESOURCES
    assert stages.index(volume_hosts.RESOURCE) == stages.index(service_config.cinder) + 1
    assert stages.index(volume_hosts.RESOURCE) < stages.index(restarts.RESOURCE)


def test_both_stages_ask_the_same_question_under_one_name():
    host = here().host("ctl")
    asked = {r.id: r for r in service_config.cinder.reads(here(), host)}
    for read in volume_hosts.reads(here(), host):
        assert asked.get(read.id, read) == read


# The way back


def step(**more):
    """What the host kept of a move."""
    back = {"argv": volume_hosts.update_host(made_of(DEBIAN), "ctl@ceph#rbd", PLACE)}
    return {
        "step": 1,
        "state": "done",
        "thing": f"volumes on {PLACE}",
        "sentence": "s",
        "sign": "~",
        "wave": 1,
        "verb_was": "run",
        "verb": "run",
        "args": back,
        "volumes": "ctl@ceph#rbd",
        "was": None,
        **more,
    }


def back(*volumes, steps=None, rows=(), up=True, owed=(), others=(), limited=None):
    """others: what the run did on a second host of cinder-volume."""
    services = [{"host": row, "up": up} for row in rows]
    cloud = {"volumes": list(volumes), "volume_services": services}
    mine = {"run": steps or [step()], "pending_restarts": list(owed)}
    seen = {"ctl": mine, "ctl2": {"run": [*others]}, "ceph01": {"run": []}, CLOUD: cloud}
    return Undone("r1", limited=limited).plan(here(two=True), Facts(seen))


def row_step(change):
    """What the host keeps of a row that was taken away, as the agent makes it of the change."""
    label = {key: getattr(change, key) for key in ("thing", "sentence", "sign", "wave")}
    done = {"step": 2, "state": "done", "verb_was": change.verb, "was": None}
    return {**label, **done, **change.args["undo"]}


def test_undo_moves_back_what_is_there():
    (change,) = back(volume("ctl@ceph#rbd"), volume("ctl@lvm#lvm"))
    assert change.args["argv"][-3:] == ["ctl@ceph#rbd", "--newhost", PLACE]
    assert back(volume(PLACE)) == []
    with pytest.raises(BadInput, match="being worked on"):
        back(volume("ctl@ceph#rbd", "creating"))


@pytest.mark.parametrize(
    "known, back",
    [(["ctl@rbd"], "ctl@ceph"), (["ctl@rbd", "ctl@ceph"], None)],
    ids=["the run made the new row", "it was there before"],
)
def test_the_row_that_a_run_made_goes_with_it(known, back):
    """Else the scheduler gives volumes to a service that nobody is, until it counts as down."""
    *_, row = volume_hosts.plan(here(**CEPH), facts(RBD, [volume(PLACE)], known))
    assert row.args.get("undo", {}).get("service") == back
    assert bool(row.stays) is not bool(back)


def test_undo_takes_that_row_away_behind_the_restart():
    *_, row = volume_hosts.plan(here(**CEPH), facts(RBD, [volume(PLACE)], ["ctl@rbd"]))
    kept = row_step(row)
    run = Read("run", "run", {"run": "r1"})
    assert answers.wrong(run, [step(), kept]) == ""
    restart = {"verb": "restart", "verb_was": "restart", "args": {"units": ["cinder-volume"]}}
    steps = [step(), {**step(), **restart, "thing": "cinder-volume", "sign": "!"}, kept]
    del steps[1]["volumes"]
    changes = back(volume("ctl@ceph#rbd"), steps=steps, rows=["ctl@ceph"])
    last = changes[-1]
    assert last.args["argv"][-4:] == ["service", "remove", "cinder-volume", "ctl@ceph"]
    assert last.wave > max(change.wave for change in changes[:-1])
    assert back(steps=steps, rows=["ctl@rbd"]) == []


@pytest.mark.parametrize(
    "more, found, rows, begun",
    [
        ({}, BESIDE, [], ["ctl@rbd"]),
        ({}, BESIDE, ["ctl@lvm"], ["ctl@rbd"]),
        ({}, BESIDE, ["ctl@rbd"], None),
        ({"backend_host": "hub"}, BESIDE, [], ["hub@rbd"]),
        ({}, controller(*section()[:1]), [], None),
        (CEPH, RBD, ["ctl@rbd"], None),
    ],
    ids=["new", "beside", "known before", "shared", "started before", "comes with the volumes"],
)
def test_a_files_edit_says_which_services_begin_with_it(more, found, rows, begun):
    seen = facts(found, [volume(PLACE)] if more is CEPH else [], rows)
    (change,) = service_config.cinder.plan(here(**more), seen)
    assert (change.verb, change.args.get("begins")) == ("edit", begun)


def test_what_nobody_can_see_does_not_begin():
    seen = facts(BESIDE)
    del seen.hosts[CLOUD]["volume_services"]
    (change,) = service_config.cinder.plan(here(), seen)
    assert "begins" not in change.args
    (change,) = service_config.cinder.plan(here(), facts({**BESIDE, "host": {"hostname": ""}}))
    assert "begins" not in change.args


EDITED = {
    **step(verb="write", verb_was="edit", args={"path": "/etc/cinder/cinder.conf"}),
    **{"wave": 1, "is": "0640 b", "now": "0640 b", "was": "0640 a", "begins": ["ctl@ceph"]},
}
del EDITED["volumes"]


@pytest.mark.parametrize(
    "more, volumes, rows, goes",
    [
        ({}, [], ["ctl@ceph", "ctl@rbd"], True),
        ({}, [], ["ctl@rbd"], False),
        ({}, ["ctl@ceph#rbd"], ["ctl@ceph"], False),
        ({}, ["ctl@rbd#rbd", ""], ["ctl@ceph"], True),
        ({"begins": []}, [], ["ctl@ceph"], False),
        ({"now": "0640 a"}, [], ["ctl@ceph"], False),
    ],
    ids=["there", "gone", "has volumes", "others have", "said nothing", "taken back, and up"],
)
def test_undo_takes_away_the_rows_of_services_that_a_file_began(more, volumes, rows, goes):
    edited = {**EDITED, **more}
    assert answers.wrong(Read("run", "run", {"run": "r1"}), [edited]) == ""
    changes = back(*map(volume, volumes), steps=[edited], rows=rows)
    removed = [c.args["argv"][-4:] for c in changes if c.verb == "run"]
    assert removed == [["service", "remove", "cinder-volume", "ctl@ceph"]] * goes
    assert [c.verb for c in changes] == ["write"] * (edited["now"] != "0640 a") + ["run"] * goes


@pytest.mark.parametrize(
    "up, owed, volumes, goes",
    [
        (False, [], [], True),
        (False, [], ["ctl@ceph#rbd"], False),
        (True, [], [], False),
        (True, ["cinder-volume"], [], True),
    ],
    ids=["down", "has volumes", "up: somebody's", "not restarted yet"],
)
def test_an_undo_that_was_broken_off_takes_the_rows_away_later(up, owed, volumes, goes):
    restart = {"verb": "restart", "verb_was": "restart", "args": {"units": ["cinder-volume"]}}
    steps = [{**EDITED, "now": EDITED["was"]}, {**EDITED, **restart}]
    rows = ["ctl@ceph"]
    changes = back(*map(volume, volumes), steps=steps, rows=rows, up=up, owed=owed)
    assert [c.verb for c in changes] == ["restart"] * len(owed) + ["run"] * goes


@pytest.mark.parametrize(
    "more, limited, goes",
    [({}, {"ctl"}, False), ({}, None, True), ({"now": "0640 a"}, {"ctl"}, True)],
    ids=["the other host serves it still", "of both", "taken back there"],
)
def test_a_row_that_another_host_shares_stays_with_it(more, limited, goes):
    shared = {**EDITED, "begins": ["all@ceph"]}
    changes = back(steps=[shared], rows=["all@ceph"], others=[{**shared, **more}], limited=limited)
    removed = {c.args["argv"][-1] for c in changes if c.verb == "run"}
    assert removed == ({"all@ceph"} if goes else set())


def test_no_row_goes_where_the_volumes_were_not_seen():
    services = [{"host": "ctl@ceph", "up": True}]
    seen = Facts({"ctl": {"run": [EDITED]}, CLOUD: {"volume_services": services}})
    undone = Undone("r1")
    changes = undone.plan(here(), seen)
    assert [c.verb for c in changes] == ["write"]
    (note,) = undone.notes(here(), seen, changes)
    assert "ctl: service ctl@ceph stays, as Cinder's API was not asked" in note
    assert undone.notes(here(), seen, []) == []


def test_undo_asks_of_cinder_only_what_the_run_changed_there():
    undone = Undone("r1")
    rows = {**step(), "service": "ctl@ceph"}
    del rows["volumes"]

    def asked(*steps):
        return [r.id for r in undone.follow_up_reads(here(), Facts({"ctl": {"run": [*steps]}}))]

    assert asked(step()) == ["volumes"]
    assert asked(step(), rows) == ["volumes", "volume_services"]
    assert asked(EDITED) == ["volumes", "volume_services"]
    assert asked({**EDITED, "begins": []}) == []
    assert asked() == []


def test_undo_can_be_without_the_rows_that_files_began_and_not_without_moved_volumes():
    def needed(*steps):
        facts = Facts({"ctl": {"run": [*steps]}})
        return [r.needed for r in Undone("r1").follow_up_reads(here(), facts)]

    assert needed(EDITED) == [False, False]
    assert needed(step()) == [True]
    assert needed(EDITED, step()) == [True, False]


# doctor


def test_doctor_says_what_the_plan_does_and_by_the_same_rule():
    def moved_away(cloud):
        cloud[CLOUD]["volumes"] = [volume("ctl@old#old")]
        cloud[CLOUD]["volume_services"].append({"host": "ctl@old", "up": False, "enabled": True})
        cloud["ctl"]["cinder.conf"]["active"] += [list(o) for o in section("old")]
        cloud["ctl"]["host"]["hostname"] = "ctl"

    where = site(cloud="c", cinder={"replaces": "old"})
    found = {f.code: f for f in clouds.found(moved_away, where)}
    assert set(found) == {"cinder.renamed", "cinder.row"}
    assert found["cinder.renamed"].found == "ctl@old#old"
    assert found["cinder.renamed"].expected == "ctl@rbd#rbd"
    assert found["cinder.renamed"].mend[0].text == "controller.cinder"
    assert volume_hosts.RESOURCE.task == "controller.cinder"
