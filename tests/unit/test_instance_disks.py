"""Disks that Nova made: what integrating leaves as it is, refuses, or names."""

import pytest

from fabfile.core.contract import BadInput, Facts, Refused
from fabfile.resources import instance_disks, restarts, service_config

from . import clouds
from .states import EPHEMERAL, FSID, OTHER, ZED, cluster, conf, site
from .test_releases import ORDER, planned, written

HERE = site(**EPHEMERAL)
QCOW2 = (("libvirt", "images_type", "qcow2"),)
RBD = (("libvirt", "images_type", "rbd"), ("libvirt", "images_rbd_pool", "vms"))
INSTANCE = "0f1e2d3c-0000-4000-8000-00000000000"


def disk(source, serial="", device="disk"):
    """A disk as it is kept of a domain's XML."""
    ending = f"\n<serial>{serial}" if serial else ""
    return f"<disk \n<source {source}>{ending}\n" if source else "<disk \n"


FILE = disk(f"file='/var/lib/nova/instances/{INSTANCE}1/disk'")
CONFIG_DRIVE = disk(f"file='/var/lib/nova/instances/{INSTANCE}1/disk.config'")
LVM = disk(f"dev='/dev/vg/{INSTANCE}1_disk'")
NO_TRAY = disk("")
IN_VMS = disk(f"protocol='rbd' name='vms/{INSTANCE}1_disk' index='1'")
IN_OLD = disk(f"protocol='rbd' name='old/{INSTANCE}1_disk'")
VOLUME = disk("protocol='rbd' name='volumes/volume-1' index='2'", OTHER)
ISCSI = disk("dev='/dev/disk/by-path/ip-10.0.0.1:3260-iscsi-x-lun-1'", OTHER)
NFS = disk("file='/var/lib/nova/mnt/x/volume-1'", OTHER)


def compute(active, *guests):
    """What a compute answers; guests: what is kept of each one's XML."""
    seen = {"nova.conf": conf(*active)}
    disks = {f"{INSTANCE}{n}": {"disks": clouds.said(text)} for n, text in enumerate(guests)}
    return {**seen, "nova.disks": disks}


def facts(**computes):
    known = {"uuid.volumes": FSID, "uuid.vms": OTHER}
    return Facts({"ceph01": cluster(), **computes}, known, ZED)


def edits(seen, where=HERE):
    changes = service_config.nova.plan(where, seen)
    return {c.host: {(s, k): v for s, k, v in c.args["edits"]} for c in changes}


@pytest.mark.parametrize(
    "active",
    [
        (),  # the default: qcow2 or raw files
        QCOW2,
        *((("libvirt", "images_type", kind),) for kind in ("lvm", "flat", "raw", "ploop", "RBD")),
    ],
)
@pytest.mark.parametrize("guest", [FILE, LVM, CONFIG_DRIVE, VOLUME + FILE, IN_OLD, ISCSI + LVM])
def test_instances_with_disks_elsewhere_are_named(active, guest):
    """06: at their next hard reboot these would be looked for in RBD."""
    with pytest.raises(Refused) as stop:
        edits(facts(n1=compute(active, VOLUME, guest)))
    assert (stop.value.host, stop.value.subject) == ("n1", "nova.ephemeral")
    assert f"1 instance with disks there: {INSTANCE}1" in stop.value.found
    assert "--limit '!n1'" in stop.value.advice and "shelve" in stop.value.advice


@pytest.mark.parametrize("guest", [VOLUME, ISCSI, NFS, VOLUME + NO_TRAY, IN_VMS, ""])
@pytest.mark.parametrize("active", [(), QCOW2])
def test_a_compute_without_such_instances_gets_its_disks_on_rbd(active, guest):
    seen = facts(n1=compute(active, guest), n2=compute(active))
    assert {e["libvirt", "images_type"] for e in edits(seen).values()} == {"rbd"}


@pytest.mark.parametrize(
    "active, guest, found",
    [
        ((RBD[0], ("libvirt", "images_rbd_pool", "old")), IN_OLD, "images_rbd_pool = old"),
        ((RBD[0],), disk("protocol='rbd' name='rbd/x_disk'"), "images_rbd_pool = rbd"),
        ((RBD[0], ("libvirt", "images_rbd_pool", "VMs")), IN_OLD, "images_rbd_pool = VMs"),
        (
            (*RBD, ("libvirt", "images_rbd_ceph_conf", "/etc/ceph/east.conf")),
            IN_VMS,
            "images_rbd_ceph_conf = /etc/ceph/east.conf",
        ),
    ],
)
def test_disks_that_are_on_rbd_keep_their_pool_and_cluster(active, guest, found):
    with pytest.raises(Refused, match=found):
        edits(facts(n1=compute(active, guest)))
    assert edits(facts(n1=compute(active)))["n1"]


def test_what_stays_where_it_is_asks_nobody():
    """An instance that was left elsewhere is another's fault, and no reason to stop."""
    seen = facts(n1={"nova.conf": conf(*RBD, ("libvirt", "images_rbd_ceph_conf", ""))})
    assert ("libvirt", "images_type") not in edits(seen)["n1"]
    assert edits(facts(n1=compute(RBD, FILE)))


def test_what_cannot_be_seen_is_not_taken_for_none():
    with pytest.raises(Refused, match="cannot be seen"):
        edits(facts(n1={"nova.conf": conf(*QCOW2)}))


def test_all_computes_are_named_at_once():
    seen = facts(n1=compute(QCOW2, FILE), n2=compute(QCOW2, LVM, FILE))
    with pytest.raises(Refused, match=r"n1: .*1 instance with.*; n2: .*2 instances") as stop:
        edits(seen)
    assert stop.value.host == "" and "--limit '!n1,!n2'" in stop.value.advice


def test_many_instances_are_counted():
    with pytest.raises(Refused, match=f"7 instances .*{INSTANCE}4 and 2 more"):
        edits(facts(n1=compute(QCOW2, *[FILE] * 7)))


def test_disks_are_asked_for_only_where_they_are_asked_onto_rbd():
    plain, host = site(), HERE.host("n1")
    assert instance_disks.reads(plain, plain.host("n1")) == []
    assert instance_disks.reads(HERE, HERE.host("ctl")) == []
    (read,) = instance_disks.reads(HERE, host)
    assert read in service_config.nova.reads(HERE, host)
    assert "--all" in read.args["argv"] and read.args["all"]  # those that are shut off too
    kept = read.args["then"]["disks"]["only"]
    assert not {"auth", "secret", "password"} & set(kept.replace("|", " ").split())


@pytest.mark.parametrize("name", [n for n in ORDER if n != "grizzly"])
def test_every_release_is_asked_by_its_own_names(name):
    key = ("DEFAULT", "libvirt_images_type") if name == "havana" else ("libvirt", "images_type")
    assert written(name, "nova", {key: "qcow2"}, **EPHEMERAL)[key] == "rbd"
    where = {**EPHEMERAL, "nova": {"ephemeral": True, "pool": "volumes"}}
    pool = (key[0], key[1].replace("type", "rbd_pool"))
    assert written(name, "nova", {key: "rbd", pool: "x"}, **where)[pool] == "volumes"


# Raw images


@pytest.mark.parametrize("value", ["False", "false", "0", "no", "off"])
def test_images_that_are_not_raw_are_refused_before_nova_is(value):
    active = (("DEFAULT", "force_raw_images", value),)
    with pytest.raises(Refused, match="nova-compute refuses to start") as stop:
        edits(facts(n1=compute(active)))
    assert stop.value.mend == ()
    with pytest.raises(Refused, match="force_raw_images"):
        edits(facts(n1=compute((*active, *RBD))))
    assert edits(facts(n1=compute(active)), site())["n1"]


@pytest.mark.parametrize("value", ["True", "1", "yes"])
def test_raw_images_are_right(value):
    assert edits(facts(n1=compute((("DEFAULT", "force_raw_images", value),))))["n1"]


# Whose disks


@pytest.mark.parametrize(
    "name, active, user",
    [
        ("newton", (*RBD, ("libvirt", "rbd_user", "nova")), "rbd_user = nova"),
        ("newton", (RBD[0], ("libvirt", "rbd_user", "nova")), "in pool rbd"),
        ("newton", RBD, r"rbd_user = \(none\)"),
    ],
)
def test_disks_on_rbd_that_the_site_does_not_name_keep_their_user(name, active, user):
    """nova.conf has one rbd_user: Cinder's client may not open the pool of these disks."""
    active = {(section, key): value for section, key, value in active}
    with pytest.raises(BadInput, match=user + ".*nova.ephemeral = true, nova.pool = "):
        planned(name, "nova", active)
    written(name, "nova", {**active, ("libvirt", "rbd_user"): "volumes"})


@pytest.mark.parametrize("user", [(), (("libvirt", "rbd_user", "nova"),)])
def test_since_ocata_the_user_of_these_disks_just_stays(user):
    active = {(s, k): v for s, k, v in (*RBD, *user)}
    assert ("libvirt", "rbd_user") not in written("zed", "nova", active)


def test_another_user_of_the_same_pool_is_named():
    seen = facts(n1=compute((*RBD, ("libvirt", "rbd_user", "nova")), IN_VMS))
    changes = service_config.nova.plan(HERE, seen)
    (note,) = service_config.nova.notes(HERE, seen, changes)
    assert "rbd_user = nova becomes vms" in note and "nova.client = 'nova'" in note
    again = facts(n1=compute((*RBD, ("libvirt", "rbd_user", "vms")), IN_VMS))
    assert service_config.nova.notes(HERE, again, service_config.nova.plan(HERE, again)) == []
    assert restarts.plan(HERE, seen, changes) == []


def test_havanas_names_are_looked_at_too():
    active = {("DEFAULT", "libvirt_images_type"): "rbd", ("DEFAULT", "rbd_user"): "nova"}
    with pytest.raises(BadInput, match="rbd_user = nova with libvirt_images_type = rbd"):
        planned("havana", "nova", active)
