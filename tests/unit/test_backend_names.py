"""What a new backend means to types that are there: by its volume_backend_name, or by none."""

import pytest

from fabfile.core.contract import CLOUD, BadInput, Facts
from fabfile.resources import service_config

from .states import FSID, ZED, cluster, conf, site, sources

LVM = "cinder.volume.drivers.lvm.LVMVolumeDriver"
RBD = "cinder.volume.drivers.rbd.RBDDriver"


def lvm(name="lvm", **options):
    """A backend that is there."""
    return [
        ("DEFAULT", "enabled_backends", name),
        (name, "volume_driver", LVM),
        *((name, key, value) for key, value in options.items()),
    ]


def facts(lines, types=None, own=None):
    seen = {
        "cinder.conf": conf(*lines),
        "cinder.sources": sources("cinder"),
        "cinder.head": None,
        "host": {"hostname": "ctl"},
    }
    cloud = {} if types is None else {"volume_types": types, "volumes": [], "volume_services": []}
    return Facts(
        {"ctl": seen, "ceph01": cluster(), CLOUD: cloud}, {"uuid.volumes": FSID}, own or ZED
    )


def notes(lines, types=None, **cinder):
    it, seen = site(cloud="c", cinder=cinder), facts(lines, types)
    changes = service_config.cinder.plan(it, seen)
    return service_config.cinder.notes(it, seen, changes)


@pytest.mark.parametrize(
    "lines",
    [
        lvm(volume_backend_name="rbd"),
        lvm("SSD", volume_backend_name="rbd"),
        [*lvm("a,b"), ("b", "volume_driver", LVM), ("b", "volume_backend_name", "rbd")],
        [*lvm(), ("backend_defaults", "volume_backend_name", "rbd")],
        [*lvm(volume_backend_name="$x"), ("DEFAULT", "x", "rbd")],
        # RBD as well, and another pool's
        [
            ("DEFAULT", "enabled_backends", "hdd"),
            ("hdd", "volume_driver", RBD),
            ("hdd", "rbd_pool", "hdd"),
            ("hdd", "volume_backend_name", "rbd"),
        ],
    ],
)
def test_a_name_that_another_backend_bears_is_not_taken(lines):
    """Its types would have volumes made here, and ours there."""
    with pytest.raises(BadInput, match="volume_backend_name = rbd") as refused:
        service_config.cinder.plan(site(), facts(lines))
    assert "cinder.backend" in str(refused.value)


@pytest.mark.parametrize(
    "lines",
    [
        lvm(volume_backend_name="lvm"),
        lvm(volume_backend_name="RBD"),  # compared as it stands
        # not started: nobody's
        [*lvm(), ("old", "volume_driver", LVM), ("old", "volume_backend_name", "rbd")],
        # the same pool under another section's name, for who meant it so
        [
            ("DEFAULT", "enabled_backends", "theirs"),
            ("theirs", "volume_driver", RBD),
            ("theirs", "rbd_pool", "volumes"),
            ("theirs", "volume_backend_name", "rbd"),
        ],
        # it is so already, and nothing of it changes
        [
            ("DEFAULT", "enabled_backends", "lvm,rbd"),
            ("lvm", "volume_driver", LVM),
            ("lvm", "volume_backend_name", "rbd"),
            ("rbd", "volume_driver", RBD),
            ("rbd", "rbd_pool", "volumes"),
        ],
    ],
)
def test_another_name_is_in_nobodys_way(lines):
    assert service_config.cinder.plan(site(), facts(lines))


def test_two_backends_of_the_site_are_in_each_others_way_as_well():
    it = site(
        pools={"volumes": {}, "fast": {}, "images": {}},
        clients={"volumes": {}, "images": {}},
        cinder={"backends": {"rbd": {"pool": "volumes"}, "fast": {"pool": "fast"}}},
    )
    lines = [
        ("DEFAULT", "enabled_backends", "fast"),
        ("fast", "volume_driver", RBD),
        ("fast", "rbd_pool", "fast"),
        ("fast", "volume_backend_name", "rbd"),
    ]
    with pytest.raises(BadInput, match="volume_backend_name = rbd"):
        service_config.cinder.plan(it, facts(lines))


@pytest.mark.parametrize(
    "lines, types, named",
    [
        (lvm(), {"__DEFAULT__": {}}, ["no type", "__DEFAULT__"]),
        (lvm(), {}, ["no type"]),
        (lvm(), None, ["no type"]),
        (lvm(), {"gold": {"multiattach": "<is> True"}}, ["gold"]),
        ([*lvm(), ("DEFAULT", "default_volume_type", "gold")], {"gold": {}}, ["gold"]),
        (lvm(), {"gold": {"volume_backend_name": "rbd"}}, ["gold"]),
    ],
)
def test_whose_volumes_may_be_put_on_a_new_backend_is_said(lines, types, named):
    said = " ".join(notes(lines, types))
    assert [one in said for one in named] == [True] * len(named), said


LVMS = {"volume_backend_name": "lvm"}


@pytest.mark.parametrize(
    "lines, types, cinder",
    [
        ([*lvm(), ("DEFAULT", "default_volume_type", "old")], {"old": LVMS}, {}),
        (lvm(), {"__DEFAULT__": LVMS, "gold": LVMS}, {}),
        ([], {"__DEFAULT__": {}}, {}),  # there was none before
        # there already
        ([*lvm(), ("DEFAULT", "enabled_backends", "lvm,rbd")], {"__DEFAULT__": {}}, {}),
        # our own type is bound by the same run
        ([*lvm(), ("DEFAULT", "default_volume_type", "old")], {"old": LVMS, "rbd": {}}, {}),
    ],
)
def test_nothing_is_said_where_types_name_their_backends(lines, types, cinder):
    assert notes(lines, types, **cinder) == []


# A section's name as somebody wrote it


@pytest.mark.parametrize("theirs", ["Rbd", "RBD", "rBd"])
@pytest.mark.parametrize("listed", ["{}", "lvm,{}"])
def test_a_section_of_the_same_name_in_other_letters_is_that_one(theirs, listed):
    """One section for oslo.config, two services for Cinder: whose volumes are whose?"""
    lines = [
        ("DEFAULT", "enabled_backends", listed.format(theirs)),
        (theirs, "volume_driver", RBD),
        (theirs, "rbd_pool", "volumes"),
        ("lvm", "volume_driver", LVM),
    ]
    for more in ({}, {"replaces": f"gone@{theirs}"}):  # that one is another host's
        with pytest.raises(BadInput, match=f"cinder.backend = '{theirs}'"):
            service_config.cinder.plan(site(cinder=more), facts(lines))
    assert service_config.cinder.plan(site(cinder={"backend": theirs}), facts(lines))
    # One that is not started has no volumes by that name.
    assert service_config.cinder.plan(site(), facts([*lvm(), *lines[1:]]))


def test_it_is_renamed_where_the_site_file_says_so():
    lines = [
        ("DEFAULT", "enabled_backends", "Rbd"),
        ("Rbd", "volume_driver", RBD),
        ("Rbd", "rbd_pool", "volumes"),
    ]
    (change,) = service_config.cinder.plan(site(cinder={"replaces": "Rbd"}), facts(lines))
    assert ["DEFAULT", "enabled_backends", "rbd"] in change.args["edits"]
