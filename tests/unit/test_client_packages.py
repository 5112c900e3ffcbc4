"""The client's packages: what is missing, from a signed source where one is named."""

import pytest

from fabfile.core.contract import BadInput, Facts
from fabfile.resources import client_packages

from .states import DIGEST, HOSTS, site

ALL_THERE = {"ceph-common": "16.2.15", "python3-rbd": "16.2.15", "qemu-block-extra": "1:7.2"}
SOURCE = "deb [arch=amd64 signed-by=/etc/apt/keyrings/ceph.asc] https://mirror/ceph bookworm main"
SIGNED = {"packages": {"source": SOURCE, "key": "release.asc"}}
NOT_YET = {"apt.key": None, "apt.source": None}


def system(os="debian", like=(), name="Debian 12"):
    return {"os": os, "like": list(like), "name": name}


DEBIAN = system()


def plan(missing=(), host="n1", seen=NOT_YET, kolla=False, system=DEBIAN, **more):
    answers = {
        "host": system,
        "kolla": {"/etc/kolla": kolla},
        "packages": {**ALL_THERE, **dict.fromkeys(missing)},
        **seen,
    }
    return client_packages.plan(site(**more), Facts({host: answers}, {"apt.key": "KEY\n"}))


@pytest.mark.parametrize("more", [{}, SIGNED])
def test_what_is_installed_is_left_alone(more):
    assert plan(**more) == []


@pytest.mark.parametrize(
    "host, roles, needed",
    [
        ("ctl", ["cinder"], False),
        ("ctl", ["glance"], False),
        ("ctl", ["glance", "cinder", "database"], False),
        ("n1", ["compute"], True),
        ("ctl", ["cinder", "compute"], True),
    ],
)
def test_qemus_driver_is_needed_where_guests_run(host, roles, needed):
    """Cinder and Glance use librbd; a controller without the driver lacks nothing."""
    hosts = {**HOSTS, host: {**HOSTS.get(host, {}), "roles": roles}}
    changes = plan(["qemu-block-extra"], host, hosts=hosts)
    assert bool(changes) == needed


@pytest.mark.parametrize(
    "host, wave, missing",
    [
        ("ctl", 1, ["python3-rbd"]),
        ("ctl", 1, ["ceph-common", "python3-rbd"]),
        ("n1", 2, ["python3-rbd"]),
        ("n1", 2, list(ALL_THERE)),
    ],
)
def test_only_what_is_missing_is_installed(host, wave, missing):
    (change,) = plan(missing, host)
    assert (change.host, change.verb, change.sign, change.wave) == (host, "install", "+", wave)
    assert change.args == {"packages": missing, "source": None}
    assert change.sentence == "install " + " ".join(missing)


def test_nothing_is_installed_where_the_site_says_no():
    assert plan(list(ALL_THERE), packages={"install": False}) == []


def test_key_and_source_come_before_the_packages():
    key, source, install = plan(["ceph-common"], **SIGNED)
    assert key.args["path"] == "/etc/apt/keyrings/ceph.asc"
    assert key.args["content"] == ["KEY\n"]
    assert source.args["content"] == [SOURCE + "\n"]
    assert install.args == {"packages": ["ceph-common"], "source": source.args["path"]}
    for change in (key, source):
        assert (change.verb, change.sign, change.args["before"]) == ("write", "+", None)
        assert (change.args["mode"], change.args["owner"]) == ("0644", "root")


def test_an_older_key_and_source_are_replaced_as_seen():
    old = {"sha256": DIGEST}
    key, source, _ = plan(["ceph-common"], seen={"apt.key": old, "apt.source": None}, **SIGNED)
    assert (key.sign, key.args["before"]) == ("~", DIGEST)
    assert (source.sign, source.args["before"]) == ("+", None)


@pytest.mark.parametrize("signed_by", ["ceph.asc", "", "~/ceph.asc"])
def test_a_source_without_the_path_of_its_key_is_refused(signed_by):
    source = f"deb [signed-by={signed_by}] https://mirror/ceph bookworm main"
    with pytest.raises(BadInput, match="^packages.source: expected .signed-by=/path/to/key"):
        plan(["ceph-common"], packages={"source": source, "key": "release.asc"})


@pytest.mark.parametrize("missing", [[], ["ceph-common"]])
@pytest.mark.parametrize(
    "more, said",
    [
        ({"system": system("rocky", ["rhel", "fedora"], "Rocky 9")}, "found Rocky 9"),
        ({"system": system("", [], "an unknown system")}, "found an unknown system"),
        ({"kolla": True}, "/etc/kolla is there"),
    ],
)
def test_other_systems_are_refused_before_anything_is_planned(missing, more, said):
    with pytest.raises(BadInput, match=f"^n1: .*{said}"):
        plan(missing, **more)


@pytest.mark.parametrize(
    "known", [system("ubuntu", ["debian"]), system("linuxmint", ["ubuntu", "debian"])]
)
def test_relatives_of_debian_are_known(known):
    assert plan(system=known) == []


def test_only_clients_are_asked():
    signed = site(hosts={**HOSTS, "ceph02": {"roles": ["ceph"]}}, **SIGNED)
    asked = {
        host.name: {read.id: read.args for read in client_packages.reads(signed, host)}
        for host in signed.all_hosts()
    }
    assert [name for name, reads in asked.items() if reads] == ["ctl", "n1", "n2"]
    assert asked["n1"]["packages"] == {"names": list(ALL_THERE)}
    assert asked["n1"]["apt.key"] == {"path": "/etc/apt/keyrings/ceph.asc"}
    assert "apt.key" not in {r.id for r in client_packages.reads(site(), site().host("n1"))}
