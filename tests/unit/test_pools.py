"""Pools: made as the site says, and never altered once they are there."""

import pytest

from fabfile.core.contract import BadInput, Facts, Failed, Refused
from fabfile.model.advice import shown
from fabfile.resources import auth, pools

from .states import answer, cluster, site


def pool(name, **more):
    return {"pool_name": name, "type": 1, "application_metadata": {"rbd": {}}, **more}


def plan(wanted, *existing, **more):
    found = {"images": {}, "volumes": wanted}
    seen = cluster(pools=[pool("images"), *existing], **more)
    return pools.plan(site(pools=found), Facts({"ceph01": seen}))


def words(change):
    """The command without the ceph program's own options."""
    argv = change.args["argv"]
    return " ".join(argv[5:] if argv[0] == "ceph" else argv)


@pytest.mark.parametrize(
    "wanted, commands",
    [
        ({}, ["osd pool create volumes"]),
        ({"pg_num": 32}, ["osd pool create volumes 32 32"]),
        ({"size": 2}, ["osd pool create volumes", "osd pool set volumes size 2"]),
        (
            {"size": 1, "pg_num": 8},
            [
                "osd pool create volumes 8 8",
                "osd pool set volumes size 1 --yes-i-really-mean-it",
            ],
        ),
    ],
)
def test_a_missing_pool_is_made_sized_and_initialised(wanted, commands):
    changes = plan(wanted)
    assert [words(c) for c in changes] == [*commands, "rbd pool init volumes"]
    assert {(c.host, c.thing, c.verb, c.wave) for c in changes} == {
        ("ceph01", "pool volumes", "run", 0)
    }


@pytest.mark.parametrize(
    "wanted, sentence",
    [
        ({}, "create, its autoscaler's pg_num"),
        ({"size": 3, "pg_num": 64}, "create, 64 placement groups, size 3"),
    ],
)
def test_the_operator_is_told_what_is_made(wanted, sentence):
    made = plan(wanted)[0]
    assert (made.sign, made.sentence) == ("+", sentence)


def test_a_pool_that_is_there_is_never_altered():
    assert plan({"size": 3, "pg_num": 64}, pool("volumes", size=1, pg_num=8)) == []


@pytest.mark.parametrize("major, commands", [(12, ["rbd pool init volumes"]), (10, [])])
def test_before_luminous_there_is_nothing_to_initialise(major, commands):
    there = {"pool_name": "volumes", "type": 1}
    assert [words(c) for c in plan({}, there, major=major)] == commands
    made = [words(c) for c in plan({"pg_num": 8}, major=major)]
    assert made == ["osd pool create volumes 8 8", *commands]


def test_before_luminous_a_pool_of_another_kind_is_named():
    with pytest.raises(BadInput, match="found an erasure-coded one"):
        plan({}, {"pool_name": "volumes", "type": 3}, major=10)


def test_the_cluster_is_asked_by_commands_that_every_release_has_or_may_refuse():
    asked = {read.id: read.args for read in pools.reads(site(), site().admin)}
    assert asked["ceph.versions"]["ok"] == [0, 22]
    assert asked["ceph.version"]["argv"][-1] == "version"
    assert asked["ceph.users"]["argv"][-2:] == ["auth", "list"]


def test_pools_that_nobody_asked_for_are_left_alone():
    mds = pool("cephfs_data", application_metadata={"cephfs": {}})
    assert plan({}, pool("volumes"), mds, pool("archive", type=3)) == []


@pytest.mark.parametrize(
    "odd, said",
    [
        ({"type": 3}, "found an erasure-coded one"),
        ({"erasure_code_profile": "k4m2"}, "found an erasure-coded one"),
        ({"application_metadata": {"rgw": {}}}, "found one for rgw"),
        ({"application_metadata": {"rbd": {}, "cephfs": {}}}, "found one for cephfs, rbd"),
    ],
)
def test_a_pool_of_another_kind_is_named(odd, said):
    with pytest.raises(BadInput, match=f"^pools.volumes: expected .*{said}"):
        plan({}, pool("volumes", **odd))


@pytest.mark.parametrize("label", ["cinder-volume", "cinder-backup", "glance-image", "nova-vms"])
def test_a_pool_of_rbd_by_another_label_has_a_way_on(label):
    with pytest.raises(Refused, match=f"ceph01: pools.volumes: .*found one for {label}") as stop:
        plan({}, pool("volumes", application_metadata={label: {}}))
    assert tuple(map(shown, stop.value.mend)) == (
        "ceph osd pool application enable volumes rbd --yes-i-really-mean-it",
    )
    assert plan({}, pool("volumes", application_metadata={label: {}, "rbd": {}})) == []


@pytest.mark.parametrize("other", ["cephfs", "rgw", "mgr", "cinder-volume2", "Cinder-Volume"])
def test_a_pool_of_others_is_not_talked_into_rbd(other):
    """Enabled for rbd too, images would lie among the files of another service."""
    for labels in ({other: {}}, {other: {}, "cinder-volume": {}}):
        with pytest.raises(BadInput, match="name another") as stop:
            plan({}, pool("volumes", application_metadata=labels))
        assert not isinstance(stop.value, Refused)


def with_data(**more):
    """A plan for a site whose client writes another pool, which is there like this."""
    wanted = {"pools": {"images": {}, "volumes": {}, "data": {}}}
    clients = {"volumes": {"rwx": ["volumes", "data"]}, "images": {"rwx": ["images"]}}
    there = [pool("images"), pool("volumes"), pool("data", **more)]
    seen = Facts({"ceph01": cluster(pools=there)})
    here = site(**wanted, clients=clients)
    return pools.plan(here, seen), auth.plan(here, seen)


OVERWRITES = "hashpspool,ec_overwrites"


def test_a_pool_for_data_alone_may_be_erasure_coded():
    made, users = with_data(type=3, erasure_code_profile="k4m2", flags_names=OVERWRITES)
    assert made == []
    assert "profile rbd pool=data" in " ".join(users[0].args["argv"])
    made, _ = with_data(type=3, flags_names=OVERWRITES, application_metadata={})
    assert [words(c) for c in made] == ["rbd pool init data"]


@pytest.mark.parametrize("flags", ["hashpspool", "", "no_ec_overwrites", None])
def test_one_without_overwrites_has_a_way_on(flags):
    with pytest.raises(Refused, match="with overwrites, found one without") as stop:
        with_data(type=3, flags_names=flags)
    assert tuple(map(shown, stop.value.mend)) == (
        "ceph osd pool set data allow_ec_overwrites true",
    )


def test_a_pool_that_a_service_names_holds_heads_of_images():
    with pytest.raises(BadInput, match="rbd_default_data_pool = volumes"):
        plan({}, pool("volumes", type=3, flags_names=OVERWRITES))


@pytest.mark.parametrize("major, fits", [(12, False), (14, False), (15, True), (19, True)])
def test_before_octopus_no_pool_is_made_without_a_number(major, fits):
    if fits:
        assert words(plan({}, major=major)[0]) == "osd pool create volumes"
        return
    with pytest.raises(BadInput, match=rf"pools.volumes.pg_num: expected a number \(Ceph {major}"):
        plan({}, major=major)
    assert plan({"pg_num": 32}, major=major)
    assert plan({}, pool("volumes"), major=major) == []


@pytest.mark.parametrize("code", ["MON_DOWN_NO_QUORUM", "OSD_FULL", "POOL_FULL"])
def test_a_cluster_in_need_is_not_altered(code):
    with pytest.raises(Failed, match=f"^ceph01: the cluster says {code}; mend that first"):
        plan({}, checks=["OSD_DOWN", code])


def test_a_warning_is_not_ours():
    checks = ["OSD_DOWN", "POOL_NO_REDUNDANCY", "OSD_NEARFULL"]
    assert [words(c) for c in plan({}, checks=checks)][0] == "osd pool create volumes"


@pytest.mark.parametrize("read", ["monmap", "health", "users", "pools", "version", "versions"])
@pytest.mark.parametrize("out", ["", "null", "5", "Warning\n{}", "[" * 100_000])
def test_what_ceph_would_not_say_is_named(read, out):
    seen = cluster(major=11 if read == "version" else 16)
    seen[f"ceph.{read}"] = {"code": 0, "out": out, "err": ""}
    with pytest.raises(Failed, match=f"^ceph01: ceph {read}: expected JSON.*, found"):
        pools.plan(site(), Facts({"ceph01": seen}))


@pytest.mark.parametrize(
    "read, document",
    [
        ("pools", [5]),
        ("pools", [{"pool_name": ["volumes"]}]),
        ("pools", [{"pool": "volumes"}]),
        ("pools", [pool("images"), {"pool_name": "volumes", "application_metadata": ["rbd"]}]),
        ("users", {"auth_dump": {"entity": "client.volumes"}}),
        ("users", {"auth_dump": [None]}),
        ("users", {"auth_dump": [{"entity": 5}]}),
        ("users", {"auth_dump": [{"entity": "client.volumes", "caps": "allow *"}]}),
        ("users", {"auth_dump": [{"entity": "client.volumes", "caps": {"osd": ["allow *"]}}]}),
        ("users", {"auth_dump": [{"entity": "client.volumes", "key": {"a": 1}}]}),
    ],
)
def test_items_that_are_none_of_cephs_are_named(read, document):
    seen = {**cluster(), f"ceph.{read}": answer(document)}
    for resource in (pools, auth):
        with pytest.raises(Failed, match=f"^ceph01: ceph {read}: expected JSON as Ceph writes it"):
            resource.plan(site(), Facts({"ceph01": seen}))
