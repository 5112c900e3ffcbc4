"""Keyring files: who holds which, what is rewritten and what is only mended."""

import pytest

from fabfile.core.contract import Facts, Host, Ref
from fabfile.core.remote import processes
from fabfile.resources import keyrings

from .states import DIGEST, EPHEMERAL, KEY, cluster, file, site, user

HELD = "AQBsb2NrZWQgaW4gYSB0ZXN0IGZpbGU/AAAA+A=="
HELD_AS = processes.fingerprint(HELD)
USERS = (user("images", HELD_AS), user("volumes", KEY))
RIGHT = f"[client.images]\n\tkey = {HELD}\n"
READS = {read.id: read.args for read in keyrings.reads(site(), site().host("ctl"))}
VOLUMES = file(f"[client.volumes]\n\tkey = {KEY}\n", "cinder", "0640")


def told(text):
    """The file's text as it leaves the host."""
    return processes.masked(text, READS["keyring.images"]["mask"])


def as_seen(text, owner="glance", mode="0640", group=None):
    """The file as the agent tells it: with the key as its fingerprint."""
    return file(told(text), owner, mode, group)


def plan(images, users=USERS):
    seen = {"keyring.images": images, "keyring.volumes": VOLUMES}
    return keyrings.plan(site(), Facts({"ceph01": cluster(users=users), "ctl": seen}))


WRITTEN_BY_OTHERS = [
    RIGHT,
    RIGHT.rstrip("\n"),
    f"[client.images]\nkey={HELD}",
    f'[client.images]\n    key = "{HELD}"   \n\tcaps mon = "profile rbd"\n',
    f'[client.images]\n\tcaps mon = "allow *"\n\tkey = {HELD}\n',
    f"[client.admin]\n\tkey = {HELD[::-1]}\n[client.images]\n\tkey = {HELD}\n",
    f"[client.images]\n\tkey = {HELD}\n[client.images2]\n\tkey = {HELD[::-1]}\n",
    f"# a note\n[client.images]\n\n\tauid = 0\n\tkey = {HELD}\n",
    f"[client.images]\n\tkey = {HELD} ; since Monday\n",
    f'[client.images]\n\tkey="{HELD}"# of old\n',
    f"[client.images]\n# key = {HELD[::-1]}\n\tkey = {HELD}\n;key={HELD[::-1]}\n",
]


@pytest.mark.parametrize("text", WRITTEN_BY_OTHERS)
def test_the_right_key_is_found_however_it_is_written(text):
    assert plan(as_seen(text)) == []


@pytest.mark.parametrize("text", WRITTEN_BY_OTHERS)
def test_no_key_leaves_the_host(text):
    assert HELD_AS in told(text)
    assert HELD not in told(text)
    assert HELD[::-1] not in told(text)


@pytest.mark.parametrize("key", [HELD, "AQBsb2NrZWQ==", f"Ag{HELD[2:]}"])
@pytest.mark.parametrize(
    "line",
    [
        "key = {} ; old",
        "# key = {}",
        "# it was {} until Monday",
        "#{}",
        "old-{}.",
        "Key={}",
        "key = '{}'",
        "key =\n{}",
        "{}",
        'caps mon = "{}"',
        "key = x, {}",
    ],
)
def test_no_key_leaves_the_host_wherever_it_stands(line, key):
    text = f"[client.images]\n\t{line.format(key)}\n"
    assert key.rstrip("=") not in told(text)
    assert processes.fingerprint(key) in told(text)


@pytest.mark.parametrize(
    "text",
    [
        "[client.AQBuild-images]\n",
        '\tcaps osd = "profile rbd pool=backups, allow rx pool=images"\n',
        "# /etc/ceph/ceph.client.images.keyring\n",
    ],
)
def test_what_is_no_key_is_left_readable(text):
    assert told(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f"[client.images]\n\tkey = {HELD[::-1]}\n",
        f"[client.images2]\n\tkey = {HELD}\n",
        f"[client.admin]\n\tkey = {HELD}\n[client.images]\n",
        f"[client.images]\n[client.admin]\n\tkey = {HELD}\n",
        f"[client.images]\n#\tkey = {HELD}\n",
        "",
    ],
)
def test_a_file_without_the_right_key_is_written_anew(text):
    (change,) = plan(as_seen(text))
    assert (change.verb, change.sign, change.args["before"]) == ("write", "~", DIGEST)


def test_a_missing_file_is_written_for_its_service_alone():
    (change,) = plan(None)
    assert change.args == {
        "path": "/etc/ceph/ceph.client.images.keyring",
        "content": ["[client.images]\n\tkey = ", Ref("key:client.images"), "\n"],
        "mode": "0640",
        "owner": "glance",
        "group": "glance",
        "before": None,
    }
    assert (change.host, change.verb, change.sign, change.wave) == ("ctl", "write", "+", 1)
    assert Ref("key:client.images") in change.args["content"]
    assert change.restarts == ("glance-api",)
    assert change.diff == (f"+ key {HELD_AS}", "+ glance:glance 0640")


def test_a_key_that_is_replaced_is_shown_as_fingerprints():
    (change,) = plan(as_seen(f"[client.images]\n\tkey = {HELD[::-1]}\n"))
    old = processes.fingerprint(HELD[::-1])
    assert change.diff == (f"- key {old}", f"+ key {HELD_AS}", "+ glance:glance 0640")


@pytest.mark.parametrize("text", [RIGHT, ""])
def test_a_key_that_the_run_makes_is_waited_for(text):
    (change,) = plan(as_seen(text), users=USERS[1:])
    assert change.verb == "write"
    assert Ref("key:client.images") in change.args["content"]
    assert "+ key (made during the run)" in change.diff


@pytest.mark.parametrize(
    "owner, group, mode, fits",
    [
        ("glance", "glance", "0640", True),
        ("glance", "glance", "0600", True),
        ("glance", "glance", "0440", True),
        ("glance", "glance", "0400", True),
        ("glance", "glance", "0644", False),
        ("glance", "glance", "0660", False),
        ("glance", "glance", "0604", False),
        ("glance", "users", "0640", False),
        ("glance", "root", "0600", False),
        ("root", "glance", "0640", False),
        ("root", "root", "0640", False),
        ("cinder", "cinder", "0600", False),
    ],
)
def test_owner_and_mode_are_mended_without_touching_the_content(owner, group, mode, fits):
    changes = plan(as_seen(RIGHT, owner, mode, group))
    assert bool(changes) != fits
    for change in changes:
        args = {"mode": "0640", "owner": "glance", "group": "glance"}
        assert (change.verb, change.sign) == ("attributes", "~")
        assert change.args == {"path": "/etc/ceph/ceph.client.images.keyring", **args}
        assert change.diff == (f"- {owner}:{group} {mode}", "+ glance:glance 0640")


@pytest.mark.parametrize(
    "roles, more, expected",
    [
        (("ceph",), {}, []),
        (("glance",), {}, [("images", "glance", "glance-api", 1)]),
        (("cinder",), {}, [("volumes", "cinder", "cinder-volume", 1)]),
        (("compute",), {}, []),
        (("compute",), EPHEMERAL, [("vms", "nova", "nova-compute", 2)]),
    ],
)
def test_who_holds_which_keyring(roles, more, expected):
    found = keyrings.wanted(site(**more), Host("h", roles))
    assert [(b.client, b.owner, b.unit, b.service.phase) for b in found] == expected


def test_novas_keyring_comes_with_its_disks():
    hosts = {"ceph01": cluster(), "n1": {"keyring.vms": None}}
    assert keyrings.plan(site(), Facts(hosts)) == []
    (change,) = keyrings.plan(site(**EPHEMERAL), Facts(hosts))
    assert (change.host, change.wave, change.args["owner"]) == ("n1", 2, "nova")
    assert change.restarts == ("nova-compute",)
