"""A backend whose volumes are mirrored into another cluster: what is written, and missed."""

import json

import pytest

from fabfile.core.contract import CLOUD, BadInput, Facts, Refused
from fabfile.doctor import mirroring as room
from fabfile.doctor.finding import ERROR, WARNING
from fabfile.doctor.observation import Looked
from fabfile.model import advice
from fabfile.resources import by_cluster, mirroring, secret_uuid

from .states import OTHER, THIRD, ZED, answer, conf, release, said_by
from .test_clusters import edits, named, nothing, planned, two

ONE = {"rbd": {"pool": "volumes", "replicates_to": "west"}}
STORE = {"rbd": {"pool": "images"}}
TYPE = {"replication_enabled": "<is> True"}
UUID = secret_uuid.derived("volumes", OTHER)
"""No backend has that client there."""
DEVICE = f"backend_id:west,conf:/etc/ceph/west.conf,user:volumes,secret_uuid:{UUID}"


RBD_16 = (
    said_by(
        '{"mode":"image","site_name":"west","peers":[{"uuid":"393e725e-20d6-4efd-894d-8a3c9530b568",'
        '"direction":"rx-only","site_name":"west","mirror_uuid":"","client_name":"client.x"}]}'
    ),
    said_by(
        '{"summary":{"health":"WARNING","daemon_health":"UNKNOWN","image_health":"WARNING",'
        '"states":{"unknown":1}}}'
    ),
)
"""What it says of a pool, and of its state."""


def mirrored(backends=None, **more):
    """The volumes of the site's own cluster are copied into west, where nothing else is."""
    west = {"pools": {"volumes": {}}, "clients": {"volumes": {}}}
    given = {"cinder": {"backends": backends or ONE}, "glance": {"stores": STORE}, **more}
    return two(west, **given)


def info(mode="image", *directions):
    return answer({"mode": mode, "site_name": "x", "peers": [{"direction": d} for d in directions]})


def status(daemon="OK", image="OK", **states):
    summary = {"health": image, "daemon_health": daemon, "image_health": image, "states": states}
    return answer({"summary": summary})


def cloud(here, there, statuses=(None, None)):
    """What hosts answer, with both clusters' mirroring."""
    seen = nothing()
    for host, tag, told, state in (
        ("ceph01", "", here, statuses[0]),
        ("west01", "west/", there, statuses[1]),
    ):
        seen[host][f"{tag}ceph.mirror.volumes"] = told
        seen[host][f"{tag}ceph.mirrored.volumes"] = state or status()
    return seen


def test_everything_that_a_failover_needs_is_planned():
    changes = planned(mirrored(), nothing())
    found = {(c.host, c.kind, c.subject) for c in changes}
    assert {
        ("west01", "user", "volumes"),
        ("ctl", "keyring", "volumes"),
        ("ctl", "ceph_conf", "/etc/ceph/west.conf"),
        ("n1", "ceph_conf", "/etc/ceph/west.conf"),
        ("n1", "secret", UUID),
        ("n2", "secret_value", UUID),
    } <= found
    (west,) = [c for c in changes if (c.host, c.kind) == ("west01", "user")]
    assert "profile rbd pool=volumes" in str(west.args)
    cinder = edits(changes, "ctl", "cinder")
    assert cinder["rbd", "replication_device"] == DEVICE
    assert cinder["rbd", "rbd_ceph_conf"] == "/etc/ceph/ceph.conf"
    assert {section for section, _ in cinder} == {"DEFAULT", "rbd"}
    nova = [str(c.args["edits"]) for c in changes if c.thing.endswith("nova.conf")]
    assert nova and UUID not in str(nova)


def test_the_client_there_may_be_called_otherwise():
    west = {"pools": {"volumes": {}}, "clients": {"copies": {}}}
    where = two(
        west,
        cinder={"backends": {"rbd": {**ONE["rbd"], "replicates_as": "copies"}}},
        glance={"stores": STORE},
    )
    seen = nothing()
    seen["ctl"]["west/keyring.copies"] = None
    assert (
        "user:copies" in edits(planned(where, seen), "ctl", "cinder")["rbd", "replication_device"]
    )


@pytest.mark.parametrize("of, works", [("newton", False), ("ocata", True), ("2026.2", True)])
def test_since_ocata(of, works):
    if works:
        found = edits(planned(mirrored(), nothing(), release(of)), "ctl", "cinder")
        assert found["rbd", "replication_device"] == DEVICE
    else:
        with pytest.raises(BadInput, match="replicates_to: expected none before Ocata"):
            planned(mirrored(), nothing(), release(of))


def test_nothing_is_asked_where_nothing_is_mirrored():
    for part in two().parts:
        assert mirroring.reads(part, part.admin) == []
    ids = [
        read.id
        for host in mirrored().all_hosts()
        for read in mirroring.RESOURCE.reads(mirrored(), host)
    ]
    assert ids == [
        "ceph.mirror.volumes",
        "ceph.mirrored.volumes",
        "west/ceph.mirror.volumes",
        "west/ceph.mirrored.volumes",
    ]


@pytest.mark.parametrize(
    "lines, refused",
    [
        ([], False),
        ([DEVICE], False),
        (["conf:/x.conf, backend_id:west"], False),
        (["backend_id:east,conf:/etc/ceph/east.conf"], True),
        (["backend_id:east", DEVICE], True),
        ([DEVICE, DEVICE], True),
        (["backend_id:west2"], True),
        (["backend_id"], True),
        ([DEVICE.replace(UUID, UUID.upper())], False),
        ([DEVICE.replace(UUID, THIRD)], True),
    ],
)
def test_other_replicas_are_not_set_aside(lines, refused):
    seen = nothing()
    seen["ctl"]["cinder.conf"] = conf(*[("RBD", "replication_device", line) for line in lines])
    if refused:
        with pytest.raises(Refused, match="replication_device"):
            planned(mirrored(), seen)
    else:
        planned(mirrored(), seen)


@pytest.mark.parametrize(
    "here, there, statuses, expected",
    [
        (info("image", "rx-tx"), info("image", "rx-tx"), (None, None), []),
        # what rbd says of a pool without mirroring: its status is an error (22)
        (
            info("disabled"),
            info("disabled"),
            ({"code": 22, "out": "", "err": "rbd: mirroring not enabled on the pool"},) * 2,
            [("ceph01", "mirror.off", ERROR), ("west01", "mirror.off", ERROR)],
        ),
        (
            info("pool", "rx-tx"),
            info("image", "rx-only"),
            (None, None),
            [("ceph01", "mirror.off", ERROR)],
        ),
        (
            info("image"),
            info("image"),
            (None, None),
            [("ceph01", "mirror.peer", WARNING), ("west01", "mirror.peer", ERROR)],
        ),
        (
            info("image", "tx-only"),
            info("image", "rx-only"),
            (None, None),
            [("ceph01", "mirror.peer", WARNING)],
        ),
        # as rbd 16.2 says it, with a peer and no daemon
        (
            RBD_16[0],
            RBD_16[0],
            (RBD_16[1], status()),
            [("ceph01", "mirror.daemon", WARNING)],
        ),
        # Nautilus: peers without a direction, one health for all
        (
            answer({"mode": "image", "peers": [{"uuid": "u"}]}),
            answer({"mode": "image", "peers": [{"uuid": "u"}]}),
            (answer({"summary": {"health": "OK"}}), answer({"summary": {"health": "UNKNOWN"}})),
            [("west01", "mirror.daemon", ERROR)],
        ),
        (
            info("image", "rx-tx"),
            info("image", "rx-tx"),
            (status("UNKNOWN"), status("ERROR")),
            [("ceph01", "mirror.daemon", WARNING), ("west01", "mirror.daemon", ERROR)],
        ),
        (
            info("image", "rx-tx"),
            info("image", "rx-tx"),
            (status("OK", "WARNING"), status("OK", "WARNING", starting_replay=2)),
            [("west01", "mirror.images", WARNING)],
        ),
        # no pool yet, no answer, and answers that are none
        ({"code": 2, "out": "", "err": "no such pool"}, None, (None, None), []),
        ({"code": 0, "out": "[]", "err": ""}, {"code": 0, "out": "{", "err": ""}, (None, None), []),
        (
            answer({"mode": ["image"], "peers": 3}),
            info("image", "rx-only"),
            (None, None),
            [("ceph01", "mirror.off", ERROR)],
        ),
        (
            answer({"mode": "image", "peers": {"a": 1}}),
            info("image", "rx-only"),
            (None, None),
            [("ceph01", "mirror.peer", WARNING)],
        ),
        (
            info("image", "rx-only"),
            info("image", "rx-only"),
            (None, answer({"summary": [], "x": 1})),
            [],
        ),
    ],
)
def test_what_keeps_volumes_from_being_copied(here, there, statuses, expected):
    where, seen = mirrored(), cloud(here, there, statuses)
    found = []
    for part in where.parts:
        looked = Looked(by_cluster.facts_of(part, Facts(seen, {}, ZED)))
        found += room.findings(part, looked)
    assert [(f.hosts[0], f.code, f.severity) for f in found] == expected
    for finding in found:
        assert finding.thing.startswith("pool volumes of ")
        for step in finding.mend:
            assert step.text or advice.may_be_typed(step.command)


def broken(here, there, statuses=(None, None)):
    """As an input of the walk over all findings: (what changes a cloud, what else is known)."""
    seen = cloud(here, there, statuses)

    def change(whole):
        whole["ceph01"] |= {k: v for k, v in seen["ceph01"].items() if "ceph.mirror" in k}
        whole["west01"] = seen["west01"]

    return change, {"site": mirrored()}


BROKEN = [
    broken(info("disabled"), info("pool")),
    broken(info("image"), info("image", "rx-only"), (None, status("UNKNOWN"))),
    broken(
        info("image", "rx-only"), info("image", "rx-only"), (None, status("OK", "ERROR", error=1))
    ),
]


def test_the_plan_that_writes_it_says_what_is_missed():
    where, seen = mirrored(), cloud(info("disabled"), info("image"))
    facts = Facts(seen, secret_uuid.resolve(where, Facts(seen)), ZED)
    said = mirroring.RESOURCE.notes(where, facts, planned(where, seen))
    assert [note.partition(":")[0] for note in said] == ["ceph01", "west01"]
    assert "rbd mirror pool enable volumes image" in said[0]
    assert "bootstrap import --site-name west volumes" in said[1]
    assert mirroring.RESOURCE.notes(where, facts, []) == []


@pytest.mark.parametrize(
    "backend, words",
    [
        ({"replicates_to": "ceph"}, "expected another cluster than its own"),
        ({"replicates_to": "east"}, "replicates_to: expected one of ceph, west"),
        ({"replicates_as": "x"}, "expected replicates_to beside it"),
        ({"replicates_to": "west", "replicates_as": "x"}, "replicates_as: expected one of volumes"),
        (
            {"replicates_to": "west", "pool": "images"},
            "pool .replicates_to.: expected one of volumes",
        ),
        ({"extra_specs": TYPE}, "expected replicates_to beside it"),
        (
            {"replicates_to": "west", "extra_specs": {**TYPE, "multiattach": "<is> True"}},
            "or multiattach, found both",
        ),
    ],
)
def test_what_the_site_file_may_not_say(backend, words):
    with pytest.raises(BadInput, match=words):
        mirrored({"rbd": {"pool": "volumes", **backend}})


def test_a_client_that_may_not_write_there_is_refused():
    west = {"pools": {"volumes": {}, "x": {}}, "clients": {"volumes": {"rwx": ["x"]}}}
    with pytest.raises(BadInput, match=r"clusters.west.clients.volumes"):
        two(west, cinder={"backends": ONE}, glance={"stores": STORE})


def test_both_ways_at_once():
    """Each cluster has volumes of its own, and copies of the other's."""
    backends = {
        "rbd": {"pool": "volumes", "replicates_to": "west"},
        "west": {"pool": "volumes", "cluster": "west", "replicates_to": "ceph"},
    }
    found = edits(planned(mirrored(backends), nothing()), "ctl", "cinder")
    assert found["rbd", "replication_device"] == DEVICE.replace(UUID, OTHER)
    assert found["west", "replication_device"].startswith(
        "backend_id:ceph,conf:/etc/ceph/ceph.conf"
    )
    assert [m.copies for part in mirrored(backends).parts for m in mirroring.mirrored(part)] == [
        True,
        True,
    ]


@pytest.mark.parametrize("turned", [False, True])
def test_a_backend_that_is_not_mirrored_may_be_in_the_same_pool(turned):
    backends = {**ONE, "plain": {"pool": "volumes", "volume_type": "plain"}}
    where = mirrored(dict(reversed(backends.items())) if turned else backends)
    here = mirroring.mirrored(where.part("ceph"))
    assert here == [mirroring.Mirrored("volumes", "west", False)]


def test_the_type_asks_for_it_as_it_is_typed():
    where = mirrored({"rbd": {**ONE["rbd"], "extra_specs": TYPE}})
    seen = nothing()
    (change,) = [c for c in planned(where, seen) if c.host == CLOUD and c.kind == "volume_type"]
    assert change.args["specs"] == TYPE
    assert json.dumps(named("west", {"ceph.mirror.x": 1})) == '{"west/ceph.mirror.x": 1}'
