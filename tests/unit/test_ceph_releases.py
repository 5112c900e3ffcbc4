"""Ceph's versions as vendors write them, and what each of them knows."""

import base64

import pytest

from fabfile.model import ceph_releases
from fabfile.model.ceph_releases import AES256K, Feature

from . import clouds
from .clouds import found, said


@pytest.mark.parametrize(
    "text, numbers, final",
    [
        ("16.2.15", (16, 2, 15), True),
        ("1:16.2.15+ds-0+deb12u1", (16, 2, 15), True),  # Debian: an epoch
        ("2:19.2.6+ds-1~bpo13+1", (19, 2, 6), True),  # a backport's revision
        ("20.2.4~bpo12+1", (20, 2, 4), True),  # a rebuild, and no candidate
        ("17.2.6-pve1+3", (17, 2, 6), True),  # Proxmox
        ("20.2.4-0ubuntu0.26.04.1", (20, 2, 4), True),
        ("20.2.4-1jammy", (20, 2, 4), True),  # download.ceph.com
        ("16.2.10-248.el8cp", (16, 2, 10), True),  # Red Hat
        ("14.2.22.445+g9c8a8b0a7e-150300.3.3.1", (14, 2, 22), True),  # SUSE: how many commits on
        ("14.2.22-445-g9c8a8b0", (14, 2, 22), True),  # git describe
        ("20.2.4~rc1-1", (20, 2, 4), False),
        ("20.2.4-rc1", (20, 2, 4), False),
        ("20.2.4rc1", (20, 2, 4), False),
        ("20.2.0~git20250923.4c76c50-0ubuntu1", (20, 2, 0), False),  # Ubuntu's snapshots
        ("19.2.0~git20240301.4c76c50-0ubuntu6", (19, 2, 0), False),
        ("21.1.0", (21, 1, 0), True),  # x.1 is a candidate of x.2 by its number
        ("9.2-1", (9, 2, 0), True),
        ("v18.2.7", (18, 2, 7), True),
        ("ceph version 19.2.6 (abc) squid (stable)", (19, 2, 6), True),
        ("ceph version 20.3.0-1234-gabc (abc) tentacle (dev)", (20, 3, 0), True),
        ("ceph version Development (no_version) squid (dev)", None, True),
        ("", None, True),
        (None, None, True),
        ("none", None, True),
        ("16", None, True),
        ("1:", None, True),
        ("99999.1.2", None, True),
    ],
)
def test_versions_as_they_are_written(text, numbers, final):
    one = ceph_releases.version(text)
    assert (one and one.numbers) == numbers
    assert one is None or one.final == final


@pytest.mark.parametrize(
    "text, knows",
    [
        ("12.2.13", False),
        ("18.2.7", False),  # Reef has no answer to it
        ("19.2.5-1", False),
        ("19.2.6", True),
        ("2:19.2.6+ds-1~bpo13+1", True),
        ("19.3.0", True),
        ("20.2.0", False),
        ("20.2.3-pve2", False),
        ("20.2.4", True),
        ("20.2.4~rc1", False),
        ("20.2.5", True),
        ("21.0.0", False),  # development
        ("21.1.0", False),  # candidates
        ("21.2.0", True),
        ("21.2.0~rc2", False),
        ("22.1.0", True),
    ],
)
def test_keys_of_the_new_kind(text, knows):
    assert AES256K.known_to(ceph_releases.version(text)) == knows


def test_a_feature_says_since_when():
    assert AES256K.since() == "19.2.6, 20.2.4 or 21.2.0"
    assert Feature({13: (13, 2, 0)}).since() == "13.2.0"


@pytest.mark.parametrize(
    "name, major",
    [
        ("luminous", 12),
        ("Mimic", 13),
        ("umbrella", 21),
        ("vampyropod", 22),  # one to come: the names go through the alphabet
        ("Zebra", 26),
    ],
)
def test_names(name, major):
    assert ceph_releases.named(name) == major


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("ceph version 22.0.0 (abc) vampyropod (dev)", 22),
        ("ceph version Development (no_version) squid (dev)", 19),
        ("ceph version Development (no_version) vampyropod (dev)", 22),
        ("ceph version Development (no_version)", None),
        ("ceph version Development (no_version) custom (dev)", None),
        ("odd", None),
    ],
)
def test_the_release_of_a_daemon(text, number):
    assert ceph_releases.major(text) == number


@pytest.mark.parametrize(("number", "said"), [(None, ""), (12, ""), (21, ""), (22, "umbrella")])
def test_a_ceph_to_come_is_said(number, said):
    assert bool(ceph_releases.newer(number)) == bool(said)
    assert said in ceph_releases.newer(number)


@pytest.mark.parametrize("name", ["", "unknown", "rhcs", "v", "v16", "vesta 2", "vesta;rm"])
def test_a_name_that_is_none(name):
    assert ceph_releases.named(name) is None


def new_keys(version, since=clouds.MADE):
    def change(cloud):
        head = base64.b64encode(b"\2\0" + since.to_bytes(4, "little")).decode()
        cloud["ceph01"]["ceph.kinds"] = said(f'"entity":"client.volumes"\n"key":"{head}')
        for name in ("ctl", "n1", "n2"):
            cloud[name]["packages"].update(librbd1=version, librados2=version)

    return change


@pytest.mark.parametrize(
    "version, hosts",
    [
        ("2:19.2.6+ds-1", ()),
        ("20.2.4-1", ()),
        ("21.2.0-1", ()),
        ("20.2.0-1", ("ctl", "n1", "n2")),
        ("19.2.3-1", ("ctl", "n1", "n2")),
        ("20.2.4~rc1-1", ("ctl", "n1", "n2")),
    ],
)
def test_doctor_names_the_hosts_whose_librados_refuses_such_keys(version, hosts):
    told = [f for f in found(new_keys(version)) if f.code == "library.aes256k"]
    assert tuple(host for one in told for host in one.hosts) == hosts
    assert all("19.2.6, 20.2.4 or 21.2.0" in one.expected for one in told)
