"""From what was seen to what is planned: the resources, as tables."""

import pytest

from fabfile.core.contract import BadInput, Facts
from fabfile.resources import auth, libvirt_secret, pools, secret_uuid, service_config

from .states import (
    EPHEMERAL,
    FSID,
    OTHER,
    VIRSH_READS_FILES,
    ZED,
    cluster,
    conf,
    secret,
    site,
    user,
)

VOLUMES = (user("volumes"),)


VIRSH = {"virsh.secret-set-value": VIRSH_READS_FILES}


def facts(n1=None, n2=None, cinder=(), nova=(), users=VOLUMES):
    hosts = {
        "ceph01": cluster(users=users),
        "ctl": {"cinder.conf": conf(*cinder)},
        "n1": {"libvirt.secrets": n1 or {}, "nova.conf": conf(*nova), **VIRSH},
        "n2": {"libvirt.secrets": n2 or {}, "nova.conf": conf(*nova), **VIRSH},
    }
    return Facts(hosts)


IN_CINDER = (("rbd", "rbd_user", "volumes"), ("rbd", "rbd_secret_uuid", OTHER.upper()))


@pytest.mark.parametrize(
    "seen, expected",
    [
        (facts(), FSID),
        (facts(cinder=IN_CINDER), OTHER),
        (facts(nova=(("libvirt", *IN_CINDER[0][1:]), ("libvirt", *IN_CINDER[1][1:]))), OTHER),
        (facts(n1=secret(OTHER.upper())), OTHER),
        (facts(n1=secret(FSID), n2=secret(OTHER), cinder=IN_CINDER), OTHER),
        (facts(n1=secret(OTHER, name="somebody else's")), FSID),
    ],
)
def test_the_uuid_in_use_is_adopted(seen, expected):
    assert secret_uuid.resolve(site(), seen) == {"uuid.volumes": expected}


def test_a_setting_that_differs_from_the_one_in_use_is_refused():
    clients = {
        "volumes": {"rwx": ["volumes"], "secret_uuid": FSID},
        "images": {"rwx": ["images"]},
    }
    with pytest.raises(BadInput, match=f"expected {OTHER}, in use by cinder.conf, found {FSID}"):
        secret_uuid.resolve(site(clients=clients), facts(cinder=IN_CINDER))
    assert secret_uuid.resolve(site(clients=clients), facts())["uuid.volumes"] == FSID


def test_computes_that_disagree_are_refused_with_the_list():
    with pytest.raises(BadInput, match=f"{OTHER}, {FSID}"):
        secret_uuid.resolve(site(), facts(n1=secret(FSID), n2=secret(OTHER)))


@pytest.mark.parametrize("in_use, setting", [((), FSID), (IN_CINDER, OTHER)])
def test_two_clients_that_would_have_one_uuid_are_refused(in_use, setting):
    vms = {**EPHEMERAL["clients"]["vms"], "secret_uuid": setting}
    clients = {**EPHEMERAL["clients"], "vms": vms}
    with pytest.raises(BadInput, match=f"^clients.vms: .* found {setting}, .* clients.volumes's"):
        secret_uuid.resolve(site(**{**EPHEMERAL, "clients": clients}), facts(cinder=in_use))


def planned(seen, uuid=FSID):
    known = Facts(seen.hosts, {"uuid.volumes": uuid})
    return [(c.host, c.args["argv"][2], c.sign) for c in libvirt_secret.plan(site(), known)]


@pytest.mark.parametrize(
    "n1, expected",
    [
        (secret(FSID), []),
        (secret(FSID.upper()), []),
        ({}, [("n1", "secret-define", "+"), ("n1", "secret-set-value", "+")]),
        (secret(FSID, value=None), [("n1", "secret-set-value", "+")]),
        (secret(FSID, value="sha256:bb"), [("n1", "secret-set-value", "~")]),
        (secret(OTHER), [("n1", "secret-define", "+"), ("n1", "secret-set-value", "+")]),
    ],
)
def test_secret(n1, expected):
    assert planned(facts(n1=n1, n2=secret(FSID))) == expected


def test_a_taken_usage_name_is_not_taken_away():
    seen = Facts(facts(n1=secret(OTHER), n2=secret(FSID)).hosts, {"uuid.volumes": FSID})
    define = libvirt_secret.plan(site(), seen)[0]
    assert f"<name>client.volumes secret {FSID}</name>" in define.args["stdin"][0]


def test_a_private_secret_is_refused():
    with pytest.raises(BadInput, match="private"):
        planned(facts(n1=secret(FSID, private="yes")))


def pool(name, **more):
    return {"pool_name": name, "type": 1, "application_metadata": {"rbd": {}}, **more}


@pytest.mark.parametrize(
    "existing, expected",
    [
        ([pool("volumes"), pool("images")], []),
        ([pool("volumes", size=2, pg_num=8), pool("images")], []),
        (
            [pool("volumes", application_metadata={}), pool("images")],
            [["rbd", "pool", "init", "volumes"]],
        ),
    ],
)
def test_pools(existing, expected):
    seen = Facts({"ceph01": cluster(pools=existing)})
    assert [c.args["argv"] for c in pools.plan(site(), seen)] == expected


@pytest.mark.parametrize(
    "odd", [pool("volumes", application_metadata={"cephfs": {}}), pool("volumes", type=3)]
)
def test_a_pool_of_another_kind_is_refused(odd):
    with pytest.raises(BadInput, match="pools.volumes: expected"):
        pools.plan(site(), Facts({"ceph01": cluster(pools=[odd])}))


VOLUMES_16 = {
    "mon": "profile rbd",
    "osd": "profile rbd pool=volumes, profile rbd-read-only pool=images",
    "mgr": "profile rbd pool=volumes",
}


@pytest.mark.parametrize(
    "caps, expected",
    [
        (VOLUMES_16, None),
        (
            {**VOLUMES_16, "osd": "profile rbd-read-only  pool=images,profile rbd pool=volumes"},
            None,
        ),
        ({"mon": "allow *", "osd": "allow *", "mgr": "allow *"}, None),
        ({**VOLUMES_16, "osd": "profile rbd"}, None),
        (
            {**VOLUMES_16, "osd": "profile rbd pool=volumes, profile rbd pool=vms"},
            "profile rbd pool=volumes, profile rbd pool=vms, profile rbd-read-only pool=images",
        ),
    ],
)
def test_caps_are_widened_only(caps, expected):
    users = [
        user("volumes", caps=caps),
        user("images", caps={d: "allow *" for d in ("mon", "osd", "mgr")}),
    ]
    changes = auth.plan(site(), Facts({"ceph01": cluster(users=users)}))
    assert bool(changes) == (expected is not None)
    if expected:
        argv = changes[0].args["argv"]
        assert argv[argv.index("osd") + 1] == expected


def test_caps_by_ceph_release():
    client = site().clients["volumes"]
    assert auth.wanted_caps(client, 16) == VOLUMES_16
    assert "mgr" not in auth.wanted_caps(client, 14)
    assert "class-read object_prefix rbd_children" in auth.wanted_caps(client, 11)["osd"]


def cinder_edits(*active):
    seen = {"cinder.conf": conf(*active), "cinder.head": None}
    known = Facts({"ctl": seen}, {"uuid.volumes": FSID}, ZED)
    changes = service_config.cinder.plan(site(), known)
    return {(s, k): v for c in changes for s, k, v in c.args["edits"]}


def test_cinder_goes_beside_what_is_there():
    edits = cinder_edits(("DEFAULT", "enabled_backends", "lvm, nfs"))
    assert edits["DEFAULT", "enabled_backends"] == "lvm,nfs,rbd"
    assert edits["rbd", "rbd_secret_uuid"] == FSID
    in_force = [(*at, value) for at, value in edits.items()]
    assert cinder_edits(*in_force) == {}


def test_a_backend_in_default_is_never_orphaned():
    with pytest.raises(BadInput, match="orphan"):
        cinder_edits(("DEFAULT", "volume_driver", "cinder.volume.drivers.lvm.LVMVolumeDriver"))
