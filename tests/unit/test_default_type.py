"""Volumes of no type: which backend they go to, and what doctor says of it."""

import pytest

from fabfile.core.contract import CLOUD

from .clouds import found
from .states import site

RBD = {"volume_backend_name": "rbd"}
LVM = {"volume_backend_name": "lvm"}


def told(backends="lvm,rbd", default=None, types=None, **more):
    """What doctor finds of it: (severity, found) of each."""

    def change(cloud):
        active = cloud["ctl"]["cinder.conf"]["active"]
        active[:] = [line for line in active if line[1] != "enabled_backends"]
        active += [["DEFAULT", "enabled_backends", backends]]
        active += [["lvm", "volume_driver", "cinder.volume.drivers.lvm.LVMVolumeDriver"]]
        if default is not None:
            active.append(["DEFAULT", "default_volume_type", default])
        cloud[CLOUD]["volume_types"] = {"rbd": RBD} if types is None else types

    here = site(**more)
    return [(f.severity, f.found) for f in found(change, here) if f.code == "volume.default"]


@pytest.mark.parametrize(
    "case, words",
    [
        # The new type is there, and who names none gets what the scheduler likes.
        ({}, "no default_volume_type: they go to any backend"),
        ({"types": {"rbd": RBD, "__DEFAULT__": {}}}, "they go to any backend"),
        ({"types": {"rbd": RBD, "__DEFAULT__": LVM}}, "they go to backend lvm"),
        ({"default": "lvm", "types": {"rbd": RBD, "lvm": LVM}}, "= lvm: they go to backend lvm"),
        ({"default": "fast", "types": {"rbd": RBD, "fast": {}}}, "= fast: they go to any backend"),
        ({"default": "gone"}, "there is no such type: a volume of no type is refused"),
        ({"default": ""}, "no default_volume_type"),
    ],
)
def test_volumes_of_no_type_that_may_go_elsewhere_are_a_note(case, words):
    ((severity, said),) = told(**case)
    assert severity == "note" and words in said


@pytest.mark.parametrize(
    "case",
    [
        {"backends": "rbd"},  # there is nowhere else to go
        {"backends": "rbd, rbd"},
        {"default": "rbd"},
        {"types": {"rbd": RBD, "__DEFAULT__": RBD}},
        {"default": "ceph", "types": {"rbd": RBD, "ceph": RBD}},  # another name for our backend
        {"types": {}},  # the types are not known, or ours is planned
        {"types": {"lvm": LVM}},
        {"cinder": {"volume_type": None}},  # the site wants no type
    ],
)
def test_what_is_right_or_not_known_is_not_said(case):
    assert told(**case) == []


@pytest.mark.parametrize(
    "backends, severity, words",
    [
        ("rbd", "note", "recommended"),  # one backend: nobody gets a volume of another
        ("lvm,rbd", "warning", "the scheduler chooses"),
        ("rbd, lvm, nfs", "warning", "nobody can ask for a volume of this backend"),
    ],
)
def test_a_type_that_is_missing_matters_where_there_are_other_backends(backends, severity, words):
    def change(cloud):
        active = cloud["ctl"]["cinder.conf"]["active"]
        active[:] = [line for line in active if line[1] != "enabled_backends"]
        active.append(["DEFAULT", "enabled_backends", backends])
        cloud[CLOUD]["volume_types"] = {"rbd": {}}

    (one,) = [f for f in found(change) if f.code == "volume.type"]
    assert one.severity == severity and words in one.cause
