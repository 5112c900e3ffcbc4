"""A backend in [DEFAULT]: by the operator's word it gets a section, and its volumes."""

import pytest

from fabfile.core.contract import BadInput, Refused
from fabfile.resources import default_backend, service_config, volume_storage
from fabfile.resources.volume_storage import DRIVER

from .states import KEY, release, site
from .test_volume_hosts import controller, facts, here, moved, volume

D, NEWTON = "DEFAULT", release("newton")
LVM = "cinder.volume.drivers.lvm.LVMVolumeDriver"
NFS = "cinder.volume.drivers.nfs.NfsDriver"
OURS = {"volume_driver": DRIVER, "rbd_pool": "volumes", "rbd_user": "volumes"}
TAKEN = {"replaces": "DEFAULT"}
BESIDE = {"default_section": "old"}


def default(enabled="", *lines, own="ctl", **options):
    """A host whose [DEFAULT] has these options."""
    return controller(
        *((D, key, value) for key, value in options.items()), *lines, enabled=enabled, own=own
    )


def seen(ctl, volumes=(), rows=(), of=NEWTON, **more):
    found = facts(ctl, map(volume, volumes), rows, **more)
    return type(found)(found.hosts, found.known, of)


def edits(where, told):
    changes = service_config.cinder.plan(where, told)
    return {(s, k): v for c in changes for s, k, v in c.args["edits"]}


@pytest.mark.parametrize(
    "cinder, ctl, volumes, rows, expected",
    [
        # taken: host and host#pool become host@section#pool; the pool is the name it bears
        (
            TAKEN,
            default(**OURS),
            ["ctl#RBD", "ctl"],
            ["ctl"],
            (
                [("ctl", "ctl#RBD", "ctl@rbd#RBD", True), ("ctl", "ctl", "ctl@rbd#RBD", True)],
                ["ctl"],
            ),
        ),
        (
            TAKEN,
            default(**OURS, volume_backend_name="CEPH"),
            ["ctl#CEPH"],
            ["ctl"],
            ([("ctl", "ctl#CEPH", "ctl@rbd#CEPH", True)], ["ctl"]),
        ),
        # under `host`, and under a name with an @ in it
        (
            TAKEN,
            default(**OURS, host="all"),
            ["all#RBD", "ctl#RBD"],
            ["all"],
            ([("ctl", "all#RBD", "all@rbd#RBD", True)], ["all"]),
        ),
        (
            TAKEN,
            default(**OURS, host="all@ceph"),
            ["all@ceph#RBD"],
            [],
            ([("ctl", "all@ceph#RBD", "all@ceph@rbd#RBD", True)], []),
        ),
        # a backend_host there is nobody's; the site's counts
        (
            {**TAKEN, "backend_host": "one"},
            default(**OURS, backend_host="none"),
            ["ctl#RBD"],
            [],
            ([("ctl", "ctl#RBD", "one@rbd#RBD", True)], []),
        ),
        # no volume yet, and the row goes all the same
        (TAKEN, default(**OURS), [], ["ctl"], ([], ["ctl"])),
        # a run that broke off: the file is written, [DEFAULT] stays in it and is not started
        (
            TAKEN,
            default("rbd", *[("rbd", k, v) for k, v in OURS.items()], **OURS),
            ["ctl#RBD"],
            ["ctl", "ctl@rbd"],
            ([("ctl", "ctl#RBD", "ctl@rbd#RBD", False)], ["ctl"]),
        ),
        # a host that is gone, and whose [DEFAULT] was like the one here
        (
            {"replaces": "gone@DEFAULT"},
            default("rbd", *[("rbd", k, v) for k, v in OURS.items()], **OURS),
            ["gone#RBD", "ctl@rbd#RBD"],
            [],
            ([("ctl", "gone#RBD", "ctl@rbd#RBD", False)], []),
        ),
        # beside ours: its pool stays whatever it is called
        (
            BESIDE,
            default(volume_driver=LVM, volume_group="vg"),
            ["ctl#LVM", "ctl"],
            ["ctl"],
            ([("ctl", "ctl#LVM", "ctl@old#LVM", True), ("ctl", "ctl", "ctl@old", True)], ["ctl"]),
        ),
        (
            BESIDE,
            default(volume_group="vg"),
            ["ctl#LVM_iSCSI"],
            [],
            ([("ctl", "ctl#LVM_iSCSI", "ctl@old#LVM_iSCSI", True)], []),
        ),
        (
            BESIDE,
            default(volume_driver=DRIVER, rbd_pool="another"),
            ["ctl#RBD"],
            [],
            ([("ctl", "ctl#RBD", "ctl@old#RBD", True)], []),
        ),
        # the same broken off
        (
            BESIDE,
            default(
                "old,rbd",
                ("old", "volume_driver", LVM),
                ("old", "volume_group", "vg"),
                volume_driver=LVM,
                volume_group="vg",
            ),
            ["ctl#LVM"],
            ["ctl", "ctl@old"],
            ([("ctl", "ctl#LVM", "ctl@old#LVM", False)], ["ctl"]),
        ),
        # done long ago
        (BESIDE, default("old,rbd", volume_driver=LVM), ["ctl@old#LVM"], ["ctl@old"], ([], [])),
        (TAKEN, default("rbd", **OURS), ["ctl@rbd#RBD"], ["ctl@rbd"], ([], [])),
        # nobody's word, and another host's volumes
        ({}, default("lvm", **OURS), ["ctl#RBD"], ["ctl"], ([], [])),
        (TAKEN, default(**OURS), ["far#RBD"], ["far"], ([], [])),
    ],
)
def test_what_is_moved(cinder, ctl, volumes, rows, expected):
    assert moved(here(**cinder), seen(ctl, volumes, rows)) == expected


def test_each_host_has_its_own():
    hosts = {"ctl2": default(**OURS, own="ctl2")}
    told = seen(default(**OURS), ["ctl#RBD", "ctl2#RBD"], ["ctl", "ctl2"], **hosts)
    assert moved(here(two=True, **TAKEN), told) == (
        [("ctl", "ctl#RBD", "ctl@rbd#RBD", True), ("ctl2", "ctl2#RBD", "ctl2@rbd#RBD", True)],
        ["ctl", "ctl2"],
    )


@pytest.mark.parametrize("of", ["havana", "newton", "ocata", "zed", "2026.2"])
def test_ours_is_listed_under_its_section_and_bears_its_name(of):
    """Since Ocata such a file starts nothing: the rows are of the years before."""
    ctl = default(**OURS, rbd_flatten_volume_from_snapshot="true", debug="true", rbd_secret_x="y")
    found = edits(here(**TAKEN), seen(ctl, ["ctl#RBD"], of=release(of)))
    assert found[D, "enabled_backends"] == "rbd"
    assert found["rbd", "volume_backend_name"] == "RBD"
    assert found["rbd", "rbd_flatten_volume_from_snapshot"] == "true"
    assert ("rbd", "debug") not in found


def test_a_backend_of_somebody_else_is_listed_before_ours():
    ctl = default(
        volume_driver=NFS,
        nfs_shares_config="/etc/cinder/{shares}",
        nas_secure_file_operations="false",
        volume_backend_name="nfs",
        rabbit_host="q",
        rbd_pool="x",
    )
    found = edits(here(**BESIDE), seen(ctl, ["ctl#nfs"]))
    assert found[D, "enabled_backends"] == "old,rbd"
    assert {k: v for (s, k), v in found.items() if s == "old"} == {
        "volume_driver": NFS,
        "nfs_shares_config": "/etc/cinder/{shares}",
        "nas_secure_file_operations": "false",
        "volume_backend_name": "nfs",
    }
    assert found["rbd", "volume_backend_name"] == "rbd"


def test_the_validator_is_told_that_both_sections_are_named_by_the_site():
    ctl = default(
        volume_driver=NFS, nfs_shares_config="/etc/cinder/shares", volume_backend_name="nfs"
    )
    (change,) = service_config.cinder.plan(here(**BESIDE), seen(ctl, ["ctl#nfs"]))
    assert change.args["validate"]["exclude"] == ["old", "rbd"]


def test_the_driver_that_nobody_names_is_named():
    found = edits(here(**BESIDE), seen(default(volume_group="vg", iscsi_helper="lioadm")))
    assert found["old", "volume_driver"] == volume_storage.value({}, D, "volume_driver")
    assert (found["old", "volume_group"], found["old", "iscsi_helper"]) == ("vg", "lioadm")


def test_volumes_of_no_type_may_be_put_on_ours_from_then_on():
    where, told = here(**BESIDE), seen(default(volume_driver=LVM))
    changes = service_config.cinder.plan(where, told)
    notes = service_config.cinder.notes(where, told, changes)
    assert any("volumes of no type may be put on rbd" in note for note in notes)


@pytest.mark.parametrize(
    "cinder, ctl, words",
    [
        # nobody said what is to become of it
        ({}, default(**OURS), "say cinder.replaces = 'DEFAULT'; else cinder.default_section"),
        ({}, default(volume_driver=LVM), "would orphan its volumes.*default_section = 'NAME'"),
        # not where the site's volumes are
        (
            TAKEN,
            default(volume_driver=LVM),
            r"\[DEFAULT\]: expected volume_driver.*default_section",
        ),
        (TAKEN, default(**{**OURS, "rbd_pool": "x"}), r"found .*rbd_pool = x"),
        # what cannot be copied
        (BESIDE, default(volume_driver="x.SanDriver"), "expected LVM, NFS or RBD.*by hand"),
        (BESIDE, default(volume_driver=LVM, chap_password=KEY), "found chap_password"),
        (BESIDE, default(volume_driver=LVM, use_chap_auth="true"), "found use_chap_auth"),
        (BESIDE, default(volume_driver=DRIVER, replication_device="a:b"), "replication_device"),
        (BESIDE, default(volume_driver=LVM, lvm_secret=KEY), "found lvm_secret"),
        # the name is another one's
        (
            BESIDE,
            default("", ("OLD", "volume_driver", LVM), volume_driver=LVM, volume_group="vg"),
            "found another volume_group",
        ),
    ],
)
def test_what_is_refused(cinder, ctl, words):
    with pytest.raises((BadInput, Refused), match=words):
        service_config.cinder.plan(here(**cinder), seen(ctl, ["ctl#LVM"]))


def test_without_the_cloud_it_is_refused():
    told = seen(default(**OURS))
    del told.hosts["cloud"]["volumes"], told.hosts["cloud"]["volume_services"]
    with pytest.raises(BadInput, match="cannot be seen"):
        moved(here(**TAKEN), told)


@pytest.mark.parametrize(
    "cinder, words",
    [
        ({**TAKEN, **BESIDE}, "expected none beside cinder.replaces = 'DEFAULT'"),
        ({"default_section": "RBD"}, "one of the site's backends"),
        (
            {"backend": "ceph", "replaces": "Old", **BESIDE},
            "expected another section than cinder.replaces, found 'old' for both",
        ),
        ({"default_section": "backend_defaults"}, "no backend's"),
        ({"default_section": "DEFAULT"}, "no backend's"),
    ],
)
def test_what_the_site_file_may_not_say(cinder, words):
    with pytest.raises(BadInput, match=words):
        here(**cinder)


def test_a_renamed_section_takes_its_other_options_along_once():
    lines = [("lvm9", "x", "y"), ("rbd", "rbd_max_clone_depth", "9"), ("rbd", "backend_host", "b")]
    ctl = controller(*lines, *[("rbd", k, v) for k, v in OURS.items()])
    where = here(backend="ceph", replaces="rbd")
    found = edits(where, seen(ctl))
    assert found["ceph", "rbd_max_clone_depth"] == "9" and ("ceph", "x") not in found
    backend = where.cinder.all[0]
    begun = {(s, k): v for (s, k), v in volume_storage.options_of(ctl).items()}
    begun[D, "enabled_backends"] = "lvm,ceph"
    assert default_backend.along(where, backend, begun) == {}
    mine = {**begun, (D, "enabled_backends"): "rbd", ("ceph", "rbd_max_clone_depth"): "1"}
    assert "rbd_max_clone_depth" not in default_backend.along(where, backend, mine)


def test_replicas_of_a_section_are_not_lost():
    lines = [
        *[("rbd", k, v) for k, v in OURS.items()],
        ("rbd", "replication_device", "backend_id:x"),
    ]
    renamed = {"backend": "ceph", "replaces": "rbd"}
    with pytest.raises(BadInput, match="replicates_to beside it"):
        edits(here(**renamed), seen(controller(*lines)))
    asked = site(
        cloud="c",
        cinder={**renamed, "volume_type": None},
        options={"cinder": {"ceph": {"replication_device": "backend_id:x"}}},
    )
    assert edits(asked, seen(controller(*lines)))["ceph", "replication_device"] == "backend_id:x"
