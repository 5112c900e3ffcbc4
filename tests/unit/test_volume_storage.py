"""A backend that is in use: what integrating leaves as it is, refuses, or names."""

import pytest

from fabfile.core.contract import CLOUD, BadInput, Facts, Refused
from fabfile.resources import service_config, volume_hosts, volume_storage

from . import clouds
from .states import FSID, ZED, cluster, site
from .test_releases import planned, written
from .test_volume_hosts import PLACE, RBD, controller, facts, here, section, volume

ELSEWHERE = "/etc/ceph/east.conf"


def plan(where, seen):
    """What integrate makes of Cinder's file, services and volumes."""
    return [*service_config.cinder.plan(where, seen), *volume_hosts.plan(where, seen)]


def edits(changes):
    return {(s, k): v for c in changes for s, k, v in c.args.get("edits", ())}


def without(name, **options):
    """A section that lacks what an option is None for."""
    return [line for line in section(name, **options) if line[2] is not None]


@pytest.mark.parametrize(
    "lines, found",
    [
        (section(rbd_pool="default"), "rbd_pool = default"),
        (section(rbd_pool="Volumes"), "rbd_pool = Volumes"),
        (without("rbd", rbd_pool=None), "rbd_pool = rbd"),  # the driver's own
        ([*without("rbd", rbd_pool=None), ("backend_defaults", "rbd_pool", "x")], "rbd_pool = x"),
        (section(volume_driver="cinder.volume.drivers.lvm.LVMVolumeDriver"), "lvm.LVM"),
        (without("rbd", volume_driver=None), "lvm.LVM"),  # Cinder's own
        ([("rbd", "volume_group", "vg")], "lvm.LVM"),
        (section(rbd_ceph_conf=ELSEWHERE), f"rbd_ceph_conf = {ELSEWHERE}"),
        (section(rbd_cluster_name="east"), "rbd_cluster_name = east"),
        (section("RBD", rbd_pool="default"), "rbd_pool = default"),  # as oslo.config reads it
    ],
)
def test_a_section_with_volumes_is_not_led_elsewhere(lines, found):
    """04: none of the volumes would be found any more."""
    ctl = controller(*lines, enabled="lvm,rbd")
    for volumes in ([volume(PLACE, "in-use")], [volume("ctl@rbd")], [volume("ctl@rbd#X", "error")]):
        with pytest.raises(Refused) as stop:
            plan(here(), facts(ctl, volumes, ["ctl@rbd"]))
        assert found in stop.value.found and "1 volume on it: 1" in stop.value.found
        assert (stop.value.host, stop.value.subject) == ("ctl", "/etc/cinder/cinder.conf")
        assert "another cinder.backend than 'rbd'" in stop.value.advice


def test_the_pool_that_is_there_can_be_adopted():
    with pytest.raises(Refused, match=r"cinder\.pool = 'default', with \[pools\.default\]"):
        plan(here(), facts(controller(*section(rbd_pool="default")), [volume(PLACE)]))
    adopting = site(
        cloud="c",
        pools={"images": {}, "default": {}},
        clients={"volumes": {"rwx": ["default"], "rx": ["images"]}, "images": {"rwx": ["images"]}},
        cinder={"pool": "default", "volume_type": None},
    )
    seen = facts(controller(*section(rbd_pool="default")), [volume(PLACE)])
    assert ("rbd", "rbd_pool") not in edits(plan(adopting, seen))


@pytest.mark.parametrize("started", ["lvm,rbd", "lvm", "RBD"])
def test_what_cannot_be_seen_is_not_taken_for_no_volumes(started):
    ctl = controller(*section(rbd_pool="default"), enabled=started)
    seen = Facts({"ceph01": cluster(), "ctl": ctl}, {"uuid.volumes": FSID}, ZED)
    with pytest.raises(Refused, match="whether volumes are on it cannot be seen"):
        service_config.cinder.plan(here(), seen)


def test_a_section_that_is_switched_off_keeps_its_volumes_too():
    ctl = controller(*section(rbd_pool="default"), enabled="lvm")
    with pytest.raises(Refused, match="1 volume on it"):
        plan(here(), facts(ctl, [volume(PLACE)]))


@pytest.mark.parametrize(
    "own, lines, place",
    [
        ("box", section(backend_host="one", rbd_pool="x"), "one@rbd#rbd"),
        ("box", section(rbd_pool="x"), "box@rbd#rbd"),
        ("BOX", section(rbd_pool="x"), "box@rbd"),
        ("box", [*section(rbd_pool="x"), ("DEFAULT", "host", "named")], "named@rbd#rbd"),
    ],
)
def test_volumes_are_found_by_their_services_whole_name(own, lines, place):
    ctl = controller(*lines, own=own)
    with pytest.raises(Refused, match="1 volume on it"):
        plan(here(), facts(ctl, [volume(place)]))
    others = [volume("ctl9@rbd#rbd"), volume("box@lvm#lvm"), volume("")]
    assert edits(plan(here(), facts(ctl, others)))["rbd", "rbd_pool"] == "volumes"


def test_a_file_that_counts_more_is_not_taken_out_of_the_way():
    """The command that would take its line out would lead the volumes elsewhere."""
    ctl = controller(*section(), later=[("RBD", "rbd_pool", "other")])
    for seen in (facts(ctl, [volume(PLACE)]), Facts({"ctl": ctl}, {"uuid.volumes": FSID}, ZED)):
        with pytest.raises(Refused, match="rbd_pool = other; ") as stop:
            service_config.cinder.plan(here(), seen)
        assert (stop.value.subject, stop.value.mend) == ("/later", ())


@pytest.mark.parametrize("options", [{"rbd_user": "volumes"}, {"rbd_user": "volumes", "x": "y"}])
def test_a_section_that_never_was_a_backend_is_written(options):
    """It is not started, and says nothing of where volumes would lie."""
    lines = [("rbd", key, value) for key, value in options.items()]
    seen = {"ceph01": cluster(), "ctl": controller(*lines, enabled="lvm")}
    changes = service_config.cinder.plan(here(), Facts(seen, {"uuid.volumes": FSID}, ZED))
    assert edits(changes)["rbd", "rbd_pool"] == "volumes"


def test_another_backend_host_is_no_way_around():
    ctl = controller(*section(rbd_pool="default"))
    with pytest.raises(Refused, match="rbd_pool = default; 1 volume"):
        plan(here(backend_host="all"), facts(ctl, [volume(PLACE)]))


def test_a_section_without_volumes_is_changed_and_named():
    seen = facts(controller(*section(rbd_pool="default")), [volume("ctl@lvm#lvm")])
    changes = plan(here(), seen)
    assert edits(changes)["rbd", "rbd_pool"] == "volumes"
    assert volume_hosts.notes(here(), seen, changes) == [
        "ctl: [rbd] rbd_pool = default becomes volumes; no volume is on it"
    ]


def test_a_cluster_of_another_name_is_refused_with_or_without_volumes():
    """Nothing of ours sets it, and librados would look for another keyring."""
    with pytest.raises(Refused, match="rbd_cluster_name = east; no volume on it.*take .* out"):
        plan(here(), facts(controller(*section(rbd_cluster_name="east"))))


@pytest.mark.parametrize(
    "lines",
    [
        section(),
        section(rbd_ceph_conf=""),
        section(rbd_ceph_conf="/etc/ceph/ceph.conf", rbd_cluster_name="ceph"),
        section(volume_driver="cinder.volume.driver.RBDDriver"),
        [*without("rbd", rbd_pool=None), ("backend_defaults", "rbd_pool", "volumes")],
        [("lvm", "volume_group", "vg")],
        [("Rbd9", "rbd_pool", "other")],
    ],
)
def test_what_stays_where_it_is_is_no_matter(lines):
    started = "lvm,rbd" if ("rbd", "volume_backend_name", "rbd") in lines else "lvm"
    assert plan(here(), facts(controller(*lines, enabled=started), [volume("ctl@lvm#lvm")]))


def test_another_user_of_the_same_pool_is_named():
    ctl = controller(*section(rbd_user="cinder"))
    seen = facts(ctl, [volume(PLACE, "in-use")])
    assert edits(plan(here(), seen))["rbd", "rbd_user"] == "volumes"
    (note,) = volume_hosts.notes(here(), seen, [])
    assert "rbd_user = cinder becomes volumes" in note and "cinder.client = 'cinder'" in note
    assert volume_hosts.notes(here(), facts(controller(*section(rbd_user="volumes"))), []) == []


def test_the_name_that_the_driver_reports_by_itself_is_one_in_use():
    """Without a volume_backend_name it says RBD: with another, no volume can be extended."""
    ctl = controller(*without("rbd", volume_backend_name=None))
    seen = facts(ctl, [volume("ctl@rbd#RBD")])
    assert ("rbd", "volume_backend_name") not in edits(plan(here(), seen))
    assert volume_hosts.bound_name(here(), seen, here().cinder.all[0]) == "RBD"
    renamed = here(backend="ceph", replaces="rbd")
    assert edits(plan(renamed, seen))["ceph", "volume_backend_name"] == "RBD"
    assert volume_hosts.moves(renamed, seen)[0].new == "ctl@ceph#RBD"


def test_volumes_are_asked_for_where_a_section_lies_elsewhere():
    asked = [volume_storage.VOLUMES]
    for ctl in (
        controller(*section(rbd_pool="x")),
        controller(("DEFAULT", "volume_driver", "x"), enabled=""),
    ):
        assert volume_hosts.follow_up_reads(here(), facts(ctl)) == asked
    assert volume_hosts.follow_up_reads(here(), facts(RBD)) == []


# A backend in [DEFAULT]

D = "DEFAULT"
BEFORE_OCATA = ("havana", "icehouse", "juno", "kilo", "liberty", "mitaka", "newton")
LVM_OF_OLD = {
    (D, "iscsi_helper"): "tgtadm",
    (D, "volume_group"): "cinder-volumes",
    (D, "volume_name_template"): "volume-%s",
}


@pytest.mark.parametrize("release", BEFORE_OCATA)
@pytest.mark.parametrize(
    "active",
    [
        LVM_OF_OLD,
        {(D, "volume_group"): "vg"},
        {(D, "lvm_type"): "thin"},
        {(D, "iscsi_ip_address"): "10.0.0.1"},
        {(D, "volumes_dir"): "/var/lib/cinder/volumes"},
        {**LVM_OF_OLD, (D, "enabled_backends"): ""},
        {**LVM_OF_OLD, (D, "enabled_backends"): " , "},
        {(D, "volume_driver"): "cinder.volume.drivers.nfs.NfsDriver"},
    ],
)
def test_lvm_in_default_is_a_backend_without_being_named(release, active):
    """23: enabled_backends orphans its volumes as those of a driver that is named."""
    with pytest.raises(Refused, match=r"\[DEFAULT\].*would orphan its volumes; move it"):
        planned(release, "cinder", active)


@pytest.mark.parametrize("release", ["havana", "newton", "ocata", "zed", "2026.1"])
def test_an_empty_list_of_backends_is_none(release):
    active = {(D, "volume_driver"): "x.LVMVolumeDriver", (D, "enabled_backends"): ""}
    with pytest.raises(Refused, match="volume_driver = x.LVMVolumeDriver; .*would orphan"):
        planned(release, "cinder", active)


@pytest.mark.parametrize("release", ["ocata", "pike", "queens", "zed"])
def test_since_ocata_cinder_has_no_backend_in_default_by_default(release):
    assert written(release, "cinder", LVM_OF_OLD)[D, "enabled_backends"] == "rbd"


@pytest.mark.parametrize("release", [*BEFORE_OCATA, "zed"])
def test_a_file_with_sections_has_none_in_default(release):
    active = {**LVM_OF_OLD, (D, "volume_driver"): "x", (D, "enabled_backends"): "lvm"}
    assert written(release, "cinder", active)[D, "enabled_backends"] == "lvm,rbd"


@pytest.mark.parametrize("volumes, refused", [(["ctl#LVM", "ctl@x"], True), (["ctl@x"], False)])
def test_a_backend_in_default_without_volumes_may_go(volumes, refused):
    ctl = controller((D, "volume_driver", "x.LVMVolumeDriver"), enabled="")
    seen = facts(ctl, [volume(place) for place in volumes])
    if refused:
        with pytest.raises(Refused, match="1 volume on it"):
            plan(here(), seen)
    else:
        assert edits(plan(here(), seen))[D, "enabled_backends"] == "rbd"


@pytest.mark.parametrize(
    "active, refused",
    [
        ({(D, "volume_driver"): "cinder.volume.drivers.lvm.LVMISCSIDriver"}, True),
        (LVM_OF_OLD, True),
        ({(D, "volume_driver"): "cinder.volume.driver.RBDDriver", (D, "rbd_pool"): "x"}, True),
        ({(D, "volume_driver"): "cinder.volume.driver.RBDDriver"}, True),  # pool rbd
        ({(D, "volume_driver"): "cinder.volume.driver.RBDDriver", (D, "rbd_pool"): "volumes"}, 0),
        ({}, 0),
    ],
)
def test_grizzlys_one_backend_is_not_led_elsewhere(active, refused):
    if refused:
        with pytest.raises(BadInput, match="would be looked for in RBD"):
            planned("grizzly", "cinder", active)
    else:
        assert written("grizzly", "cinder", active)[D, "rbd_user"] == "volumes"


def test_doctor_sees_the_refusal_and_not_the_edit():
    def another_pool(cloud):
        cloud["ctl"]["cinder.conf"]["active"].append(["rbd", "rbd_pool", "default"])
        cloud["ctl"]["host"]["hostname"] = "ctl"
        assert cloud[CLOUD]["volumes"]

    (one,) = [f for f in clouds.found(another_pool) if f.thing.startswith("/etc/cinder")]
    assert one.code == "refused.controller.cinder" and "rbd_pool = default" in one.found
