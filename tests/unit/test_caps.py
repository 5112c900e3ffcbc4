"""Capabilities as each Ceph release reads them, and what they grant."""

import pytest

from fabfile.core.contract import Facts, Refused
from fabfile.resources import auth, caps
from fabfile.resources import cluster as resources_cluster

from . import states
from .clouds import altered, found
from .states import cluster, site, user
from .test_auth import CAPS, IMAGES, caps_of

LUMINOUS, MIMIC, NAUTILUS, OCTOPUS, PACIFIC, SQUID = 12, 13, 14, 15, 16, 19


@pytest.mark.parametrize(
    "daemon, grant, release, fits",
    [
        # Words that are commands, and no grants: what older tools wrote beside them.
        ("osd", "osd blacklist", PACIFIC, False),
        ("osd", "osd blocklist", PACIFIC, False),
        ("mon", "osd blacklist", NAUTILUS, False),
        ("mon", 'allow command "osd blacklist"', PACIFIC, True),
        ("mon", 'allow command "osd blocklist"', LUMINOUS, True),
        ("mon", "allow command=osd-blacklist", LUMINOUS, True),
        ("mon", "allow command osd blacklist", PACIFIC, False),  # two words need quotes
        ("mon", 'allow command "auth get" with entity prefix client.', PACIFIC, True),
        ("mon", 'allow command "config-key get" with key="a,b;c"', PACIFIC, True),
        ("mon", "allow r", 10, True),
        ("mon", "allow wr", PACIFIC, False),  # in this order alone
        ("mon", "allow rwx", PACIFIC, True),
        ("mon", "allow all", PACIFIC, True),
        ("mon", "allow", PACIFIC, False),
        ("mon", "allow profile rbd", PACIFIC, True),
        ("mon", "profile rbd", PACIFIC, True),
        ("mon", "profile rbd pool=volumes", PACIFIC, False),  # the monitors' has no pool
        ("mon", "allow service mon r", PACIFIC, True),
        ("mon", "allow r network 10.0.0.0/8", NAUTILUS, True),
        ("mon", "allow r network 10.0.0.0/8", MIMIC, False),
        ("mon", "allow r fsname=cephfs", PACIFIC, True),
        ("mon", "allow r fsname=cephfs", NAUTILUS, False),
        ("osd", "profile rbd pool=volumes", LUMINOUS, True),
        ("osd", "profile rbd pool=volumes", 11, False),
        ("osd", "profile rbd pool volumes", PACIFIC, True),
        ("osd", 'profile rbd pool="my volumes"', PACIFIC, True),
        ("osd", "profile rbd pool=my volumes", PACIFIC, False),
        ("osd", "profile rbd pool=volumes namespace=a", PACIFIC, True),
        ("osd", "profile rbd pool=volumes network 10.0.0.0/8", NAUTILUS, True),
        ("osd", "profile rbd-read-only pool=images", PACIFIC, True),
        ("osd", "allow profile rbd pool=volumes", PACIFIC, False),  # of the OSD: no allow there
        ("osd", "allow rwx pool=volumes", 10, True),
        ("osd", "allow pool volumes rwx", 10, True),
        ("osd", "allow class-read object_prefix rbd_children", 10, True),
        ("osd", "allow r class-read pool=images object_prefix rbd_children", PACIFIC, True),
        ("osd", "allow * tag rbd pool=*", PACIFIC, True),
        ("osd", "allow rw tag cephfs data=a", PACIFIC, True),
        ("osd", "allow class rbd metadata_list pool=volumes", PACIFIC, True),
        ("osd", "allow rwx pool = volumes", PACIFIC, False),
        ("osd", "deny rwx pool=volumes", PACIFIC, False),
        ("mgr", "profile rbd pool=volumes", OCTOPUS, True),
        ("mgr", "profile rbd pool=volumes", NAUTILUS, False),  # the monitors' parser until then
        ("mgr", "profile rbd", NAUTILUS, True),
        ("mgr", "allow module rbd_support rw", OCTOPUS, True),
        ("mgr", "allow module rbd_support with pool=a r", PACIFIC, True),
        ("mgr", "allow module rbd_support rw", NAUTILUS, False),
        ("mds", "allow rw path=/a, whatever", PACIFIC, True),  # not ours to judge
    ],
)
def test_what_each_release_takes(daemon, grant, release, fits):
    assert caps.takes(daemon, grant, release) == fits


@pytest.mark.parametrize("release", [9, 11, 12, 13, 14, 15, 16, 18, 20, 21])
def test_what_is_written_is_what_that_release_takes(release):
    for client in states.site(**states.EPHEMERAL).clients.values():
        for daemon, text in auth.wanted_caps(client, release).items():
            assert all(caps.takes(daemon, grant, release) for grant in caps.grants(text))


@pytest.mark.parametrize(
    "text, parts",
    [
        ("", []),
        (" , ;; ", []),
        ("allow r,allow  w ;profile   rbd", ["allow r", "allow w", "profile rbd"]),
        ('allow command "a,  b;c" with k="x, y"', ['allow command "a,  b;c" with k="x, y"']),
        ("profile rbd pool='a, b', allow r", ["profile rbd pool='a, b'", "allow r"]),
        ('allow command "open, allow r', ['allow command "open', "allow r"]),
    ],
)
def test_grants_are_parted_as_ceph_parts_them(text, parts):
    assert caps.grants(text) == parts


def plan(volumes, major=16, **more):
    users = [user("volumes", caps=volumes), IMAGES]
    return auth.plan(site(**more), Facts({"ceph01": cluster(users=users, major=major)}))


@pytest.mark.parametrize("odd", ["osd blacklist", "osd blocklist", "rwx pool=volumes", "deny w"])
@pytest.mark.parametrize("daemon", ["osd", "mon", "mgr"])
def test_what_is_no_grant_is_left_out_and_named(odd, daemon):
    """A daemon reads all of a capability or nothing: it granted nothing while that stood there."""
    (change,) = plan({**CAPS["volumes"], daemon: f"{CAPS['volumes'][daemon]}, {odd}"})
    assert caps_of(change) == CAPS["volumes"]
    assert odd in change.sentence and any(odd in line for line in change.diff)
    assert change.args["undo"] is None and "refuse the caps" in change.stays


@pytest.mark.parametrize(
    "mend, major",
    [
        ({"osd": "profile rbd pool=images, allow rwx pool=my volumes"}, 16),
        ({"mon": "allow r, profile rbd pool=volumes"}, 16),
        ({"mgr": "allow wr"}, 16),
        ({"osd": "allow r network 10.0.0.0/8", "mon": "allow r"}, 13),
        # What is odd is not what has to be widened: 'auth caps' sets all of them.
        ({"mon": "allow wr, profile rbd", "osd": "profile rbd pool=volumes"}, 16),
    ],
)
def test_caps_that_this_release_would_refuse_are_known_before_anything_is_written(mend, major):
    with pytest.raises(Refused, match=r"ceph01: user client\.volumes: .*EINVAL") as stop:
        plan({**CAPS["volumes"], **mend}, major)
    assert f"caps that Ceph {major} can read" in stop.value.expected
    assert "ceph auth get client.volumes" in stop.value.advice


def test_caps_that_are_enough_are_left_alone_whatever_stands_beside_them():
    assert plan({**CAPS["volumes"], "mds": "anything, at all"}) == []


@pytest.mark.parametrize(
    "text, pools",
    [
        (
            "profile rbd pool=volumes, profile rbd-read-only pool=images",
            {"volumes": "rwx", "images": "rx"},
        ),
        ("allow class-read object_prefix rbd_children, allow rwx pool=vms", {"vms": "rwx"}),
        ("allow pool vms rwx, allow r pool vms", {"vms": "rwx"}),
        ('profile=rbd pool="my vms"', {"my vms": "rwx"}),
        ("allow r pool=a; allow w pool=a", {"a": "rw"}),
        ("profile rbd pool=a namespace=b", {}),  # not the pool, a part of it
        ("profile rbd, allow *, allow rwx", {}),  # no pool is named
        ("allow rwx pool=a object_prefix x", {}),
        ("osd blacklist", {}),
        ("", {}),
    ],
)
def test_pools_that_a_text_names(text, pools):
    assert caps.on_pools(text) == pools


HDD = {"osd": "profile rbd pool=volumes, profile rbd pool=hdd, profile rbd-read-only pool=images"}
BACKUPS = {"osd": "profile rbd pool=backups, profile rbd-read-only pool=volumes"}


@pytest.mark.parametrize(
    "users, pools",
    [
        ([], []),
        ([HDD], ["hdd", "volumes"]),
        ([HDD, BACKUPS], ["hdd", "volumes"]),  # who reads no image clones none
        ([{"osd": "profile rbd pool=images"}], []),  # Glance itself
        ([{"osd": "allow rwx pool=vms, allow rwx pool=images"}], ["vms"]),
        ([{"osd": "allow *"}, {"mon": "allow r"}, {}], []),
    ],
)
def test_where_images_may_be_cloned_to(users, pools):
    assert caps.cloned_into("images", users) == pools


def of_images(release, *others, major=16, there=("volumes", "images"), **more):
    """The OSDs' caps that client.images is given on an OpenStack release."""
    listed = [{"pool_name": name, "application_metadata": {"rbd": {}}} for name in there]
    users = [{"entity": f"client.u{n}", "caps": them} for n, them in enumerate(others)]
    seen = Facts(
        {"ceph01": cluster(pools=listed, users=users, major=major)}, {}, states.release(release)
    )
    made = {change.subject: change for change in auth.plan(site(**more), seen)}
    words = made["images"].args["argv"]
    return words[words.index("osd") + 1]


READS = "profile rbd pool=images, profile rbd-read-only pool=volumes"


@pytest.mark.parametrize(
    "release, text",
    [
        # What Glance does not look for, its client does not get to read: volumes are tenants' data.
        ("train", "profile rbd pool=images"),
        ("xena", "profile rbd pool=images"),
        ("yoga", READS),
        ("zed", READS),
        ("2023.1", READS),
        ("2023.2", "profile rbd pool=images"),
        ("2025.1", "profile rbd pool=images"),
    ],
)
def test_glance_reads_the_pools_of_clones_where_it_looks_there(release, text):
    assert of_images(release) == text


def test_pools_of_clones_are_those_of_every_backend():
    more = of_images("zed", HDD, there=("volumes", "images", "hdd"))
    assert more == f"{READS}, profile rbd-read-only pool=hdd"
    assert of_images("zed", HDD) == READS  # no such pool is there
    assert of_images("zed", major=11) == (
        "allow class-read object_prefix rbd_children, allow rwx pool=images, allow rx pool=volumes"
    )
    disks = of_images("zed", **states.EPHEMERAL)
    assert disks == f"{READS}, profile rbd-read-only pool=vms"


BESIDE = {"pools": {"volumes": {}, "images": {}, "more": {}}}
BOTH = {"clients": {"images": {}, "volumes": {"rwx": ["volumes", "more"], "rx": ["images"]}}}
EC = {"k": 2, "m": 1}


@pytest.mark.parametrize(
    "more, pools",
    [
        # A client of several pools: the first look has to see what the second one will.
        ({**BESIDE, **BOTH}, ["volumes", "more"]),
        (
            {
                "pools": {**BESIDE["pools"], "more": {"erasure": EC}},
                **BOTH,
            },
            ["volumes"],
        ),
        # cinder-backup as the client of a backend.
        (
            {
                **BESIDE,
                "clients": {"images": {}, "volumes": {}},
                "cinder": {"backup": {"pool": "more", "client": "volumes"}},
            },
            ["volumes", "more"],
        ),
        # As a client of its own: who reads no image clones none.
        (
            {
                **BESIDE,
                "clients": {"images": {}, "volumes": {}, "saved": {}},
                "cinder": {"backup": {"pool": "more", "client": "saved"}},
            },
            ["volumes"],
        ),
    ],
)
@pytest.mark.parametrize("made", [False, True])
def test_pools_of_clones_are_the_same_before_and_after_the_users_are_made(more, pools, made):
    here = site(**more)
    listed = [
        {"pool_name": name, "type": 3 if pool.erasure else 1} for name, pool in here.pools.items()
    ]
    users = [
        {"entity": f"client.{name}", "caps": auth.wanted_caps(client, 16)}
        for name, client in here.clients.items()
    ]
    seen = cluster(pools=listed * made, users=users * made)
    facts = Facts({"ceph01": seen}, {}, states.release("zed"))
    found = auth.clients(here, resources_cluster.seen(here, facts), facts.release)
    assert found["images"].rx == pools


def test_a_pool_of_data_alone_has_no_clones_to_look_for():
    pool = {"pool_name": "data", "type": 3, "application_metadata": {"rbd": {}}}
    them = {"osd": "profile rbd pool=volumes, profile rbd pool=data, profile rbd pool=images"}
    listed = [{**pool, "pool_name": "volumes", "type": 1}, pool]
    seen = cluster(pools=listed, users=[{"entity": "client.a", "caps": them}])
    here, facts = site(), Facts({"ceph01": seen}, {}, states.release("zed"))
    clients = auth.clients(here, resources_cluster.seen(here, facts), facts.release)
    assert clients["images"].rx == ["volumes"]


def test_what_the_site_file_gives_is_not_given_twice():
    clients = {
        "volumes": {"rwx": ["volumes"], "rx": ["images"]},
        "images": {"rwx": ["images"], "rx": ["volumes"]},
    }
    assert of_images("zed", clients=clients) == READS


def test_a_pool_of_an_odd_name_is_quoted():
    them = {"osd": 'profile rbd pool="my pool", profile rbd-read-only pool=images'}
    text = of_images("zed", them, there=("volumes", "images", "my pool"))
    assert text == f'{READS}, profile rbd-read-only pool="my pool"'
    assert all(caps.takes("osd", grant, 16) for grant in caps.grants(text))


# doctor


def without_the_clones_pool(cloud):
    osd = "profile rbd pool=images"
    altered(cloud, "ceph01", "ceph.users", lambda d: d["auth_dump"][1]["caps"].update(osd=osd))


def test_doctor_warns_where_glance_cannot_look_for_clones():
    (one,) = [f for f in found(without_the_clones_pool) if f.code == "user.caps"]
    assert (one.severity, one.thing) == ("warning", "user client.images")
    assert "Glance cannot look there for clones" in one.cause and "HTTP 500" in one.cause
    assert [step.text for step in one.mend] == ["ceph.auth"]


def test_caps_without_which_a_service_does_not_work_are_an_error():
    def change(cloud):
        altered(
            cloud, "ceph01", "ceph.users", lambda d: d["auth_dump"][1]["caps"].update(osd="allow r")
        )

    (one,) = [f for f in found(change) if f.code == "user.caps"]
    assert one.severity == "error"
