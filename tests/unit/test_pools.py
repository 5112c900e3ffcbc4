"""Pools: made as the site says, and never altered once they are there."""

import pytest

from fabfile.core.contract import BadInput, Facts, Failed
from fabfile.resources import pools

from .states import cluster, site


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
