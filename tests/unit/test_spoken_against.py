"""Commands that doctor does not print, as something that it can see speaks against them."""

import pytest

from fabfile.doctor.finding import commands

from . import clouds
from .clouds import altered, said
from .states import KEY, site, user

RBD = "cinder.volume.drivers.rbd.RBDDriver"


def printed(code, change, site_=None, thing=""):
    """[(whether it is a command, the text)] of the findings of that code; None for no finding."""
    whole = site_ or site()
    found = [one for one in clouds.found(change, whole) if one.code == code and thing in one.thing]
    steps = [step for one in found for step in commands(one, whole, "")]
    return [(step["kind"] != "words", step["run"]) for step in steps] if found else None


def typed(code, change, site_=None, thing=""):
    """The commands alone, tasks of ours left out."""
    told = printed(code, change, site_, thing) or ()
    return [text for command, text in told if command and not text.startswith("inv ")]


# Users of the cluster's own, and those of whom nobody can see what they do


def has(name, **caps):
    def change(document):
        document["auth_dump"] = [u for u in document["auth_dump"] if u["entity"] != name]
        document["auth_dump"].append({**user("x", KEY, caps), "entity": name})

    return lambda cloud: altered(cloud, "ceph01", "ceph.users", change)


ALL = dict.fromkeys(("mon", "osd", "mgr", "mds"), "allow *")


def logging_in_as(name):
    clients = {name: {"rwx": ["volumes"], "rx": ["images"]}, "images": {"rwx": ["images"]}}
    return site(clients=clients, cinder={"client": name})


@pytest.mark.parametrize("name", ["admin", "bootstrap-osd", "crash", "crash.ceph01", "fs.x"])
@pytest.mark.parametrize("caps", [ALL, {"mon": "allow *"}, {"osd": "allow *", "mon": "allow r"}])
def test_caps_of_a_user_of_cephs_own_are_never_narrowed(name, caps):
    """'ceph auth caps client.admin' with less than all locks everybody out of the cluster."""
    if name == "fs.x":
        caps = {**caps, "mds": "allow *"}  # it mounts a file system: who knows where
    told = printed("user.broad", has(f"client.{name}", **caps), logging_in_as(name), name)
    assert told and [text for command, text in told if command] == []


def test_another_users_caps_are_still_narrowed():
    told = typed("user.broad", has("client.volumes", mon="allow *", osd="allow *"))
    assert len(told) == 1 and told[0].startswith("ceph auth caps client.volumes ")


# Pools


def in_volumes(**settings):
    def change(pools):
        pools[0].update(settings)

    return lambda cloud: altered(cloud, "ceph01", "ceph.pools", change)


def asked(**settings):
    return site(pools={"volumes": settings, "images": {}})


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"size": 3, "min_size": 1}, ["ceph osd pool set volumes min_size 2"]),
        ({"size": 4, "min_size": 1}, ["ceph osd pool set volumes min_size 2"]),
        ({"size": 5, "min_size": 1}, ["ceph osd pool set volumes min_size 3"]),
        # With as many as there are, each OSD that is restarted stops the guests.
        ({"size": 2, "min_size": 1}, []),
    ],
)
def test_a_least_number_of_copies_leaves_one_to_be_lost(settings, expected):
    assert typed("pool.min_size", in_volumes(**settings)) == expected
    assert printed("pool.min_size", in_volumes(**settings))


@pytest.mark.parametrize(
    "settings, wanted",
    [
        ({"size": 3, "min_size": 1}, {"min_size": 1}),
        ({"size": 2, "min_size": 1}, {"size": 2, "min_size": 1}),
        ({"size": 3, "min_size": 2}, {}),
    ],
)
def test_a_number_that_the_site_file_says_is_no_fault(settings, wanted):
    assert printed("pool.min_size", in_volumes(**settings), asked(**wanted)) is None


# Keyrings


def keyring(line, *sections, service="cinder"):
    def change(cloud):
        cloud["ctl"]["ceph.keyrings"] = said(f"{line}\n")
        cloud["ctl"][f"{service}.conf"]["active"] += [
            [name, key, value] for name, options in sections for key, value in options.items()
        ]

    return change


OTHER = ("hdd", {"volume_driver": RBD, "rbd_user": "other", "rbd_pool": "hdd"})
STORE = ("theirs", {"rbd_store_user": "other", "rbd_store_pool": "hdd"})
BACKUP = (
    "DEFAULT",
    {"backup_driver": "cinder.backup.drivers.ceph.CephBackupDriver", "backup_ceph_user": "other"},
)
OPEN = "ceph.client.other.keyring 0644"


@pytest.mark.parametrize(
    "change, command",
    [
        (keyring(f"{OPEN} manila manila"), True),
        (keyring(f"{OPEN} cinder cinder", OTHER), True),
        (keyring(f"{OPEN} root cinder", OTHER), False),  # root's own: anybody may read it so
        (keyring(f"{OPEN} root root"), False),
        # Tools of Ceph give what they make to its own user, whoever reads it.
        (keyring(f"{OPEN} ceph ceph"), False),
        (keyring(f"{OPEN} 167 167"), False),
        (keyring(f"{OPEN} ceph ceph", OTHER), False),
        # One of the host's services logs in by it, as a stranger.
        (keyring(f"{OPEN} nova nova", OTHER), False),
        (keyring(f"{OPEN} manila manila", STORE, service="glance"), False),
        (keyring(f"{OPEN} manila manila", BACKUP), False),
        (keyring(f"{OPEN} manila cinder", OTHER), True),  # by its group
        (keyring("other.client.other.keyring 0644 manila manila", OTHER), False),
    ],
)
def test_a_keyring_is_closed_where_no_service_reads_it_as_a_stranger(change, command):
    told = typed("keyring.open", change)
    assert bool(told) == command
    assert printed("keyring.open", change)


def test_a_keyring_is_not_closed_where_a_service_was_not_seen():
    def change(cloud):
        keyring(f"{OPEN} manila manila")(cloud)
        del cloud["ctl"]["glance.conf"]

    assert typed("keyring.open", change) == []


@pytest.mark.parametrize(
    "name, command",
    [
        ("ceph.client.admin.keyring", True),
        ("backup.client.admin.keyring", False),  # another cluster's: it may be all that there is
        ("prod.client.admin.keyring", False),
        ("ceph.client.admin.keyring.bak", False),
        ("old-ceph.client.admin.keyring", False),
    ],
)
def test_an_admins_key_of_another_cluster_is_not_removed(name, command):
    change = keyring(f"{name} 0600 root root")
    assert bool(typed("keyring.admin", change)) == command
    assert printed("keyring.admin", change)


# Glance's stores


def stores(*lines):
    def change(cloud):
        active = cloud["ctl"]["glance.conf"]["active"]
        active[:] = [one for one in active if one[1] not in ("enabled_backends", "stores")]
        active += [list(line) for line in lines]

    return change


@pytest.mark.parametrize(
    "enabled, expected",
    [
        ("rbd:rbd", "enabled_backends = rbd:rbd,file:file"),
        ("swift:swift,rbd:rbd", "enabled_backends = swift:swift,rbd:rbd,file:file"),
        # That name is another store's: two of one name, and the first one's images are gone.
        ("file:swift,rbd:rbd", ""),
        ("rbd:rbd, File:http", ""),
        ("FILE:s3", ""),
    ],
)
def test_a_store_for_files_takes_no_name_of_anothers(enabled, expected):
    told = typed("glance.files", stores(("DEFAULT", "enabled_backends", enabled)))
    assert [expected in text for text in told[:1]] == ([True] if expected else [])
    assert printed("glance.files", stores(("DEFAULT", "enabled_backends", enabled)))


@pytest.mark.parametrize(
    "line",
    [
        "ceph.client.x.keyring zz root root",
        "ceph.client.x.keyring 0999 root root",
        "ceph.client.x.keyring 99999999999999999999 root root",
        "old copy.client.x.keyring 0644 root root",
        "ceph.client.admin.keyring (copy).keyring 0600 root root",
        "ceph.client.x.keyring 0644 ro\u202eot root",
        "ceph.client.x.keyring 0644",
        "ceph.client.x.keyring 0644 root root more",
        "ceph.client.x.keyring",
        " ",
    ],
)
def test_a_line_that_tells_of_no_file_says_nothing(line):
    """A blank in a file's name, or root of a hostile host."""
    for code in ("keyring.open", "keyring.admin"):
        assert printed(code, keyring(line)) is None
