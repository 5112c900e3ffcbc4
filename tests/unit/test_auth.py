"""cephx users: made without showing the key, widened without taking anything away."""

import pytest

from fabfile.core.contract import BadInput, Facts, Refused
from fabfile.core.remote import processes
from fabfile.resources import auth

from .states import ZED, answer, cluster, file, site, user

CAPS = {
    "volumes": {
        "mgr": "profile rbd pool=volumes",
        "mon": "profile rbd",
        "osd": "profile rbd pool=volumes, profile rbd-read-only pool=images",
    },
    "images": {
        "mgr": "profile rbd pool=images",
        "mon": "profile rbd",
        "osd": "profile rbd pool=images",
    },
}
IMAGES = user("images", caps=CAPS["images"])


def plan(*users, major=16):
    return auth.plan(site(), Facts({"ceph01": cluster(users=users, major=major)}))


def caps_of(change):
    """{daemon: caps} of the argument list, after the user's name."""
    words = change.args["argv"]
    words = words[words.index("client.volumes") + 1 :]
    return dict(zip(words[::2], words[1::2], strict=True))


def widened(caps):
    """The caps that are set in place of these, or None where they stay."""
    changes = plan(IMAGES, user("volumes", caps=caps))
    return caps_of(*changes) if changes else None


def test_missing_users_are_made_by_a_command_that_shows_no_key():
    changes = plan()
    assert [c.thing for c in changes] == ["user client.volumes", "user client.images"]
    made = changes[0]
    assert made.args["argv"][5:8] == ["auth", "add", "client.volumes"]
    assert caps_of(made) == CAPS["volumes"]
    assert (made.host, made.sign, made.verb, made.wave) == ("ceph01", "+", "run", 0)
    assert made.diff == tuple(f"+ {daemon}: {caps}" for daemon, caps in CAPS["volumes"].items())


def test_only_the_missing_user_is_made():
    assert [c.thing for c in plan(IMAGES)] == ["user client.volumes"]
    assert plan(IMAGES, user("volumes", caps=CAPS["volumes"])) == []


def test_what_somebody_else_granted_stays():
    other = {"mds": "allow rw", "osd": "allow rwx pool=backups", "mon": "allow r"}
    assert widened(other) == {
        "mds": "allow rw",
        "mgr": "profile rbd pool=volumes",
        "mon": "allow r, profile rbd",
        "osd": "allow rwx pool=backups, " + CAPS["volumes"]["osd"],
    }


def test_widened_caps_are_enough_the_next_time():
    once = widened({"osd": "profile rbd pool=vms", "mon": "allow r"})
    assert once is not None
    assert widened(once) is None


THEIRS = "profile rbd pool=volumes, profile rbd pool=backups"


@pytest.mark.parametrize(
    "had, more, reads",
    [
        (THEIRS, {}, ["volumes", "backups"]),
        (f"{THEIRS}, profile rbd pool=gone", {}, ["volumes", "backups"]),
        (None, {"replaces": "old"}, ["volumes", "backups"]),
        (THEIRS, {"manage": False}, ["volumes"]),
        (f"{THEIRS}, profile rbd pool=images", {"manage": False}, ["volumes", "backups"]),
    ],
)
def test_glance_reads_at_once_what_another_client_may_clone_into_after_the_run(had, more, reads):
    clients = {"volumes": {"rwx": ["volumes"], "rx": ["images"], **more}}
    here = site(clients={**clients, "images": {"rwx": ["images"]}})
    pools = [{"pool_name": name, "type": 1} for name in ("volumes", "images", "backups")]
    users = {"someone": {"osd": THEIRS}, "old": {"osd": THEIRS}}
    users |= {"volumes": {"osd": had}} if had else {}
    for _ in range(2):
        told = [user(name, caps=them) for name, them in users.items()]
        seen = Facts({"ceph01": cluster(pools, told)}, release=ZED)
        changes = auth.plan(here, seen)
        for change in changes:
            words = change.args["argv"][change.args["argv"].index("auth") + 2 :]
            users[words[0].removeprefix("client.")] = dict(
                zip(words[1::2], words[2::2], strict=True)
            )
    assert not changes  # the second time
    them = auth.caps.on_pools(users["images"]["osd"])
    assert {pool for pool in them if them[pool] == "rx"} == set(reads)


@pytest.mark.parametrize(
    "daemon, caps, missing",
    [
        ("mon", "allow r", "profile rbd"),
        ("mon", "profile rbd-read-only", "profile rbd"),
        ("osd", "profile rbd-read-only", CAPS["volumes"]["osd"]),
        (
            "osd",
            "profile rbd-read-only pool=volumes, profile rbd-read-only pool=images",
            "profile rbd pool=volumes",
        ),
        ("osd", "allow *  pool=volumes", CAPS["volumes"]["osd"]),
        (
            "osd",
            "profile rbd pool=volumes-old, profile rbd pool=images",
            "profile rbd pool=volumes",
        ),
        ("mgr", "allow r", "profile rbd pool=volumes"),
    ],
)
def test_a_narrower_grant_is_not_enough(daemon, caps, missing):
    found = widened({**CAPS["volumes"], daemon: caps})[daemon]
    assert found == f"{' '.join(caps.split())}, {missing}"


@pytest.mark.parametrize(
    "daemon, caps",
    [
        ("mon", "allow *"),
        ("mon", " allow  r ,  profile  rbd "),
        ("osd", "allow *"),
        ("osd", "profile rbd"),
        ("osd", "profile rbd pool=images, profile rbd pool=volumes"),
        ("mgr", "profile rbd"),
    ],
)
def test_a_broader_grant_is_enough(daemon, caps):
    assert widened({**CAPS["volumes"], daemon: caps}) is None


def test_the_change_shows_only_the_daemons_that_change():
    (change,) = plan(IMAGES, user("volumes", caps={**CAPS["volumes"], "mgr": "allow r"}))
    assert (change.sign, change.sentence) == ("~", "widen its caps (mgr)")
    assert change.args["argv"][5:8] == ["auth", "caps", "client.volumes"]
    assert change.diff == ("- mgr: allow r", "+ mgr: allow r, profile rbd pool=volumes")
    assert caps_of(change).keys() == {"mgr", "mon", "osd"}


@pytest.mark.parametrize("major, daemons", [(15, {"mgr", "mon", "osd"}), (14, {"mon", "osd"})])
def test_caps_for_the_mgr_since_octopus(major, daemons):
    assert caps_of(plan(IMAGES, major=major)[0]).keys() == daemons


@pytest.mark.parametrize("major, profile", [(12, True), (11, False)])
def test_profiles_since_luminous(major, profile):
    caps = caps_of(plan(major=major)[0])
    old = (
        "allow class-read object_prefix rbd_children, allow rwx pool=volumes, allow rx pool=images"
    )
    assert caps["osd"] == (CAPS["volumes"]["osd"] if profile else old)
    assert ("profile" in caps["mon"]) == profile


def test_a_key_is_asked_for_by_its_clients_name():
    it = site().cluster
    assert auth.key_of(it, "volumes") == "key:client.volumes"
    host, read = auth.key_read([it], "key:client.volumes")
    assert (host.name, read.verb) == ("ceph01", "secret")
    assert read.args["argv"][-3:] == ["auth", "get-key", "client.volumes"]


@pytest.mark.parametrize("name", ["key", "pending_key"])
def test_no_users_key_leaves_the_host(name):
    (read,) = [r for r in auth.reads(site(), site().admin) if r.id == "ceph.users"]
    told = processes.masked(f'{{"{name}": "AQBsb2NrZWQ=="}}', read.args["mask"])
    assert told == f'{{"{name}": "{processes.fingerprint("AQBsb2NrZWQ==")}"}}'


@pytest.mark.parametrize("versions", [{}, {"ceph version Development (no_version)": 3}])
def test_a_ceph_of_no_number_is_said(versions):
    seen = {**cluster(), "ceph.versions": answer({"mon": versions})}
    with pytest.raises(BadInput, match=r"ceph01: ceph versions: expected .*16\.2\.15.*, found"):
        auth.plan(site(), Facts({"ceph01": seen}))


@pytest.mark.parametrize("caps, back", [({"mon": "allow r"}, ["mon", "allow r"]), ({}, None)])
def test_caps_that_were_none_cannot_be_set_again(caps, back):
    (change,) = plan(IMAGES, user("volumes", caps=caps))
    undo = change.args["undo"]
    assert (undo["args"]["argv"][-2:] if undo else None) == back


# A data pool that a host's ceph.conf names

DATA = "rbd_default_data_pool = fast"
LISTED = {"pools": {"volumes": {}, "images": {}, "fast": {}}}
GIVEN = {
    **LISTED,
    "clients": {
        "volumes": {"rwx": ["volumes", "fast"], "rx": ["images"]},
        "images": {"rwx": ["images"]},
    },
}


def with_conf(text, *users, host="n1", **more):
    seen = {"ceph01": cluster(users=users), host: {"ceph.conf": file(text)}}
    return auth.plan(site(**more), Facts(seen))


def has(osd):
    return user("volumes", caps={**CAPS["volumes"], "osd": f"{CAPS['volumes']['osd']}, {osd}"})


@pytest.mark.parametrize(
    "text",
    [
        f"[client.volumes]\n{DATA}\n",
        f"[client]\n\t{DATA}\n",
        f"[global]\n{DATA} ; a comment\n",
        "[client.volumes]\nrbd default data pool = 'fast'\n",
        f"[global]\nrbd_default_data_pool = volumes\n[client.volumes]\n{DATA}\n",
    ],
)
@pytest.mark.parametrize("users", [(), (IMAGES, user("volumes", caps=CAPS["volumes"]))])
@pytest.mark.parametrize("more", [{}, LISTED])
def test_a_data_pool_that_nobody_may_write_is_refused(text, users, more):
    """Volumes could not be made; granted it is by the site file, not by a host's file."""
    with pytest.raises(Refused, match="n1: /etc/ceph/ceph.conf: .*'fast'") as refusal:
        with_conf(text, *users, **more)
    assert "clients.volumes.rwx" in refusal.value.advice


@pytest.mark.parametrize(
    "text, users, more",
    [
        (f"[client.volumes]\n{DATA}\n", (), GIVEN),
        (f"[client.volumes]\n{DATA}\n", (has("profile rbd pool=fast"),), {}),
        (f"[client.volumes]\n{DATA}\n", (has("allow rwx pool=fast"),), {}),
        (f"[client.volumes]\n{DATA}\n", (has("profile rbd"),), {}),
        (f"[client.volumes]\n{DATA}\n", (user("volumes", caps={"osd": "allow *"}),), {}),
        ("[client.volumes]\nrbd_default_data_pool =\n", (), {}),
        ("[client.volumes]\nrbd_default_data_pool = volumes\n", (), {}),
        (f"[client.other]\n{DATA}\n", (), {}),
        (f"[client.images]\n{DATA}\n", (), {}),  # no service of that host is that client
        (f"#{DATA}\n", (), {}),
        (f"[global]\n{DATA}\n[client.volumes]\nrbd_default_data_pool = volumes\n", (), {}),
        ("", (), {}),
    ],
)
def test_a_data_pool_that_may_be_written_is_none_of_ours(text, users, more):
    with_conf(text, *users, **more)


def test_a_data_pool_is_not_granted_by_reading_alone():
    with pytest.raises(Refused):
        with_conf(f"[client]\n{DATA}\n", has("profile rbd-read-only pool=fast"))
