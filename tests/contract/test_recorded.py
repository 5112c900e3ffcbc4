"""What a real Ceph 16 answered, through the resources' plans: the shapes are right."""

import json

import pytest

from fabfile.core.contract import BadInput, Facts, Failed
from fabfile.resources import auth, ceph_conf, pools, secret_uuid

from ..unit.states import answer, cluster, file, recorded, site

FSID = "92cc3b4f-3ac6-47eb-971b-7184c8e38ebf"
MONITORS = " ".join(f"[v2:198.18.53.{n}:3300,v1:198.18.53.{n}:6789]" for n in (11, 12, 13))
FOLDER = {"kind": "directory", "mode": "0755", "owner": "root", "group": "root"}
REAL = {
    "ceph.health": recorded("health_detail"),
    "ceph.monmap": recorded("mon_dump"),
    "ceph.versions": recorded("versions"),
    "ceph.pools": recorded("osd_pool_ls_detail"),
    "ceph.users": cluster()["ceph.users"],  # not recorded: it holds keys
}


def facts(conf=None, **answers):
    client = {"ceph.folder": FOLDER, "ceph.conf": conf}
    return Facts({"ceph01": {**REAL, **answers}, "n1": client})


def changed(name, change):
    """A recorded answer, altered in one place."""
    document = json.loads(recorded(name)["out"])
    change(document)
    return answer(document)


def test_the_monitor_map_becomes_ceph_conf():
    (change,) = ceph_conf.plan(site(), facts())
    (text,) = change.args["content"]
    assert f"\nfsid = {FSID}\n" in text
    assert f"\nmon_host = {MONITORS}\n" in text


@pytest.mark.parametrize(
    "mon_host, left",
    [
        (MONITORS, 0),
        ("198.18.53.11,198.18.53.12,198.18.53.13", 0),
        ("198.18.53.11,198.18.53.12", 1),
    ],
)
def test_ceph_conf_of_that_cluster_is_known(mon_host, left):
    conf = file(f"[global]\nfsid = {FSID}\nmon_host = {mon_host}\n")
    assert len(ceph_conf.plan(site(), facts(conf))) == left


def test_monitors_come_by_rank():
    shuffled = changed("mon_dump", lambda d: d["mons"].reverse())
    (change,) = ceph_conf.plan(site(), facts(**{"ceph.monmap": shuffled}))
    assert MONITORS in change.args["content"][0]


def test_pools_that_are_there_need_nothing():
    assert pools.plan(site(), facts()) == []


def test_a_pool_without_an_application_needs_one():
    def plain(document):
        (volumes,) = [p for p in document if p["pool_name"] == "volumes"]
        volumes["application_metadata"] = {}

    (change,) = pools.plan(site(), facts(**{"ceph.pools": changed("osd_pool_ls_detail", plain)}))
    assert change.args["argv"] == ["rbd", "pool", "init", "volumes"]


def test_cephs_own_pool_is_not_taken_for_rbd():
    table = {"volumes": {}, "images": {}, "device_health_metrics": {}}
    with pytest.raises(BadInput, match="^pools.device_health_metrics: .*found one for mgr"):
        pools.plan(site(pools=table), facts())


def test_caps_are_those_for_pacific():
    caps = [c.args["argv"] for c in auth.plan(site(), facts())]
    assert [argv[argv.index("mgr") + 1] for argv in caps] == [
        "profile rbd pool=volumes",
        "profile rbd pool=images",
    ]


def test_the_oldest_monitor_counts():
    def upgrading(document):
        document["mon"]["ceph version 14.2.22 (ca74598065) nautilus (stable)"] = 1

    seen = facts(**{"ceph.versions": changed("versions", upgrading)})
    assert all("mgr" not in c.args["argv"] for c in auth.plan(site(), seen))


def test_the_clusters_fsid_becomes_the_secrets_uuid():
    assert secret_uuid.resolve(site(), facts()) == {"uuid.volumes": FSID}


def test_a_healthy_cluster_that_fills_up_is_not_altered():
    def full(document):
        document["checks"]["POOL_FULL"] = {"severity": "HEALTH_ERR"}

    with pytest.raises(Failed, match="POOL_FULL"):
        pools.plan(site(), facts(**{"ceph.health": changed("health_detail", full)}))
