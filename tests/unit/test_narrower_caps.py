"""What a doctor prints for a user with 'allow *': never less than what is in use.

'ceph auth caps' replaces all caps of a user: a pool that is not named is taken away.
"""

import shlex
from dataclasses import replace

import pytest

from fabfile.doctor import ceph, finding
from fabfile.model import advice
from fabfile.resources import caps as ceph_caps

from . import clouds, states

RBD = "cinder.volume.drivers.rbd.RBDDriver"


def has(name, **caps):
    """The user has these caps."""

    def change(document):
        for user in document["auth_dump"]:
            if user["entity"] == f"client.{name}":
                user["caps"].update(caps)

    return lambda cloud: clouds.altered(cloud, "ceph01", "ceph.users", change)


def section(name, service="cinder", **options):
    """A section of a service's file on the controller."""

    def change(cloud):
        lines = [[name, key, value] for key, value in options.items()]
        cloud["ctl"][f"{service}.conf"]["active"] += lines

    return change


def another(name, **caps):
    """One more user of the cluster, who may clone."""

    def change(cloud):
        clouds.altered(
            cloud,
            "ceph01",
            "ceph.users",
            lambda d: d["auth_dump"].append({"entity": name, "key": "x", "caps": caps}),
        )
        clouds.altered(
            cloud, "ceph01", "ceph.pools", lambda pools: pools.append(clouds.pool("ssd-volumes"))
        )

    return change


def told(name, *changes, **more):
    """(the caps that are printed for the user by daemon, whether they are a command)."""

    def change(cloud):
        for one in changes:
            one(cloud)

    (broad,) = (
        one
        for one in clouds.found(change, **more)
        if one.code == "user.broad" and one.thing == f"user client.{name}"
    )
    (step,) = finding.commands(broad, states.site(), "")
    command = broad.mend[0].command
    pairs = command.argv[command.argv.index(f"client.{name}") + 1 :]
    if step["kind"] == "root":
        assert shlex.split(step["run"])[-len(pairs) :] == list(pairs)
    return dict(zip(pairs[::2], pairs[1::2], strict=True)), step["kind"] == "root"


BACKENDS = (
    "profile rbd pool=volumes, profile rbd pool=hdd-volumes, profile rbd pool=backups, "
    "profile rbd-read-only pool=images"
)
HDD = section("hdd", volume_driver=RBD, rbd_user="volumes", rbd_pool="hdd-volumes")


@pytest.mark.parametrize(
    "name, changes, kept",
    [
        ("volumes", [has("volumes", mon="allow *", osd=BACKENDS), HDD], "hdd-volumes backups"),
        ("volumes", [has("volumes", mon="allow *", osd=BACKENDS)], "hdd-volumes backups"),
        ("volumes", [has("volumes", mon="allow *"), HDD], "hdd-volumes"),
        ("volumes", [has("volumes", osd="allow *"), HDD], "hdd-volumes"),
        ("volumes", [has("volumes", osd="allow all"), HDD], "hdd-volumes"),
        ("volumes", [has("volumes", mon="allow *"), section("e", volume_driver=RBD)], "volumes"),
        (
            "volumes",
            [
                has("volumes", mon="allow *"),
                section(
                    "DEFAULT",
                    backup_driver="cinder.backup.drivers.ceph.CephBackupDriver",
                    backup_ceph_user="volumes",
                    backup_ceph_pool="kept",
                ),
            ],
            "kept",
        ),
        (
            "volumes",
            [
                has("volumes", mon="allow *"),
                section("cheap", "glance", rbd_store_user="volumes", rbd_store_pool="cheap-images"),
            ],
            "cheap-images",
        ),
        ("images", [has("images", osd="allow *")], "images volumes"),
        ("images", [has("images", mon="allow *")], "images volumes"),
        (
            "images",
            [
                has("images", osd="allow *"),
                another(
                    "client.ssd",
                    osd="profile rbd pool=ssd-volumes, profile rbd-read-only pool=images",
                ),
            ],
            "images volumes ssd-volumes",
        ),
    ],
)
def test_no_pool_that_is_in_use_is_taken_away(name, changes, kept):
    caps, _ = told(name, *changes)
    assert set(kept.split()) <= set(ceph_caps.on_pools(caps["osd"])), caps["osd"]
    assert not any("allow *" in text or "allow all" in text for text in caps.values())


def test_a_comma_within_quotes_does_not_part_a_grant():
    quoted = 'allow *, allow command "config-key get" with key="a,b"'
    caps, _ = told("volumes", has("volumes", mon=quoted))
    assert 'allow command "config-key get" with key="a,b"' in caps["mon"]


@pytest.mark.parametrize(
    "release, pools, command",
    [
        ("xena", {"images": "rwx"}, True),  # Glance does not look for clones there
        ("yoga", {"images": "rwx", "volumes": "rx"}, True),
        ("zed", {"images": "rwx", "volumes": "rx"}, True),
        ("", {"images": "rwx"}, False),  # what it needs is not known: nothing to type
    ],
)
def test_pools_of_clones_are_kept_where_the_release_looks_there(release, pools, command):
    look = clouds.looked(has("images", osd="allow *"))
    table = states.release(release) if release else {}
    look = replace(look, facts=replace(look.facts, release=table))
    (broad,) = (f for f in ceph.findings(states.site(), look) if f.code == "user.broad")
    argv = broad.mend[0].command.argv
    assert ceph_caps.on_pools(argv[argv.index("osd") + 1]) == pools
    assert advice.may_be_typed(broad.mend[0].command) == command


@pytest.mark.parametrize("text", ["allow * pool=volumes", "allow * tag rbd pool=*"])
def test_all_of_one_pool_is_not_the_whole_cluster(text):
    found = clouds.found(has("volumes", osd=f"{BACKENDS}, {text}"))
    assert [one for one in found if one.code == "user.broad"] == []
