"""Nova's own disks on RBD on some computes, and where they were on the rest."""

import pytest

from fabfile.core.contract import BadInput, Facts
from fabfile.doctor import secret_holders
from fabfile.doctor.observation import Looked
from fabfile.model.deployment import OWN
from fabfile.report import document
from fabfile.resources import instance_disks, request, secret_uuid, service_config

from . import adopted as a
from . import clouds
from . import test_clusters as two
from .states import EPHEMERAL, FSID, OTHER, THIRD, ZED, cluster, conf, secret, site
from .test_instance_disks import FILE, INSTANCE
from .test_supplied import only

SOME = {**EPHEMERAL, "nova": {"ephemeral": True, "hosts": ["n1"]}}
DISKS = {"ephemeral": True, "cluster": "west", "hosts": ["n1"]}
WEST = {
    "pools": {"volumes": {}, "images": {}, "vms": {}},
    "clients": {"volumes": {}, "images": {}, "vms": {}},
}


def uses_of(where, host):
    """{client: (the section of nova.conf, whether it has a keyring)} of a compute."""
    bindings = where.bindings_of(where.host(host))
    return {f"{b.cluster.tag}{b.client}": (b.section, b.keyring) for b in bindings}


def test_each_group_has_what_it_needs_and_no_more():
    where = site(**SOME)
    assert uses_of(where, "n1") == {"volumes": ("", False), "vms": ("libvirt", True)}
    assert uses_of(where, "n2") == {"volumes": ("libvirt", False)}
    assert [where.keeps_disks(where.host(name)) for name in ("n1", "n2", "ctl")] == [
        True,
        False,
        False,
    ]
    assert where.clients["vms"].rwx == ["vms"]


def test_all_computes_named_are_as_none_named():
    every = site(**{**EPHEMERAL, "nova": {"ephemeral": True, "hosts": ["n1", "n2"]}})
    assert every.uses() == site(**EPHEMERAL).uses()


def test_one_client_of_volumes_and_disks_is_there_once():
    where = site(nova={"ephemeral": True, "hosts": ["n1"], "client": "volumes", "pool": "volumes"})
    assert uses_of(where, "n1") == {"volumes": ("libvirt", True)}
    assert uses_of(where, "n2") == {"volumes": ("libvirt", False)}


@pytest.mark.parametrize(
    ("nova", "said"),
    [
        ({"hosts": ["n1"]}, "nova: hosts: expected ephemeral = true beside it"),
        ({"ephemeral": True, "hosts": ["n7"]}, "nova.hosts: expected some of n1, n2, found 'n7'"),
        ({"ephemeral": True, "hosts": ["ctl"]}, "nova.hosts: expected some of n1, n2, found 'ctl'"),
    ],
)
def test_what_does_not_meet_is_said(nova, said):
    with pytest.raises(BadInput, match=said):
        site(**{**EPHEMERAL, "nova": nova})


def answers(**n2):
    disks = {f"{INSTANCE}1": {"disks": clouds.said(FILE)}}
    plain = {"nova.conf": conf(), "nova.disks": {}}
    return {"ceph01": cluster(), "n1": plain, "n2": {**plain, "nova.disks": disks, **n2}}


def test_the_plan_puts_the_disks_of_one_group_onto_rbd():
    """An instance with a local disk on the other group stops nobody: nobody looks for it."""
    where = site(**SOME)
    facts = Facts(answers(), {"uuid.volumes": FSID, "uuid.vms": OTHER}, ZED)
    assert [r.id for r in instance_disks.reads(where, where.host("n1"))] == [instance_disks.READ]
    assert instance_disks.reads(where, where.host("n2")) == []
    instance_disks.refuse(where, facts)
    changes = service_config.nova.plan(where, facts)
    said = {c.host: {(s, k): v for s, k, v in c.args["edits"]} for c in changes}
    assert said["n1"]["libvirt", "images_type"] == "rbd"
    assert (said["n1"]["libvirt", "rbd_user"], said["n2"]["libvirt", "rbd_user"]) == (
        "vms",
        "volumes",
    )
    assert not any("images" in key for _, key in said["n2"])
    assert said["n2"]["libvirt", "rbd_secret_uuid"] == FSID


def test_the_disks_may_be_of_another_cluster_than_the_rest():
    where = two.two(west=WEST, nova=DISKS)
    assert uses_of(where, "n1") == {
        "volumes": ("", False),
        "west/volumes": ("", False),
        "west/vms": ("libvirt", True),
    }
    assert uses_of(where, "n2") == {"volumes": ("libvirt", False), "west/volumes": ("", False)}
    assert [host.name for host in where.part("west").with_role("compute")] == ["n1", "n2"]


def test_whose_the_section_is_depends_on_the_compute():
    """[libvirt] is west's where the disks are, and on the rest that of the first backend."""
    where = two.two(west=WEST, nova=DISKS)
    seen = {
        "nova.conf": conf(("libvirt", "rbd_user", "volumes"), ("libvirt", "rbd_secret_uuid", THIRD))
    }
    for label, host, uuids in ((OWN, "n2", [THIRD]), (OWN, "n1", []), ("west", "n2", [])):
        part = where.part(label)
        named = secret_uuid.named_of(part, host, seen, "nova")
        assert [one.uuid for one in named] == uuids, (label, host)


def test_a_cloud_whose_computes_differ_so_is_described():
    seen = a.hosts()
    seen["n1"] |= a.with_disks(a.POOL)
    done, text, found = a.adopted(seen)
    assert found.nova.hosts == ["n1"]
    assert found.hosts["n2"].roles == ["compute"]
    assert "Doubtful" not in text
    assert a.shown(done) == []


@pytest.mark.parametrize("there", [True, False])
def test_the_truth_table_misses_a_secret_where_it_has_to_be(there):
    where = site(**SOME)
    volumes = secret(FSID, "client.volumes secret")
    disks = secret(OTHER, "client.vms secret") if there else {}
    hosts = {"ceph01": cluster(), "n1": {secret_uuid.SECRETS: volumes | disks}}
    hosts["n2"] = {secret_uuid.SECRETS: volumes}
    looked = Looked(Facts(hosts, {"uuid.volumes": FSID, "uuid.vms": OTHER}, ZED))
    found = secret_holders.table(where, looked)
    of_disks = [(p.hosts, p.uuid) for p in found if (p.kind, p.client) == ("libvirt", "vms")]
    assert of_disks == [(("n1",), OTHER if there else "")]
    missed = [p.hosts for p in found if p.kind == "libvirt" and "no such secret" in p.odd]
    assert missed == ([] if there else [("n1",)])
    held = [(h, c) for h, role, c, by in document._holding(where) if by == "libvirt secret"]
    assert held == [("n1", "volumes"), ("n1", "vms"), ("n2", "volumes")]


def test_another_team_is_told_once_who_attaches_its_volumes():
    """Both groups attach them, one of them as nova.conf's own user."""
    (part,) = only(**SOME).parts
    said = [line for line in request.page(part, ZED) if line.startswith("# client.")]
    assert [line for line in said if "nova-compute attaches" in line] == [
        "# client.volumes: nova-compute attaches what is in pool volumes"
    ]
    assert len(said) == len(set(said))
