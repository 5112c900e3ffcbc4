"""Keyring files: who holds which, what is rewritten and what is only mended."""

import subprocess

import pytest

from fabfile.core import answers
from fabfile.core.contract import Facts, Host, Ref, Refused
from fabfile.core.remote import configuration, processes, steps
from fabfile.model.advice import shown
from fabfile.resources import ceph_conf, keyrings, sed

from .states import DIGEST, EPHEMERAL, KEY, cluster, file, site, sources, user

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


# Where librados looks

CONF = "/etc/ceph/ceph.conf"
ALONE = site(hosts={"ceph01": {"roles": ["ceph"]}, "ctl": {"roles": ["glance"]}})
"""Glance without Cinder beside it, for which the same ceph.conf counts."""
OURS = "/etc/ceph/ceph.client.images.keyring"
ELSEWHERE = "/etc/openstack/glance.keyring"
OTHER_KEY = HELD[::-1]
MAPPED = as_seen(RIGHT)


def at(text, images=MAPPED, there=None, alone=None, environment=None, users=USERS):
    """The plan of a host whose ceph.conf says this; there: {path: text of a keyring}."""
    conf = told_conf(text)
    seen = {
        "host": {"hostname": "ctl.example"},
        "ceph.conf": file(conf),
        "glance.sources": sources("glance", environment=environment),
        "keyring.images": images,
        "keyrings.images": {path: text and as_seen(text) for path, text in (there or {}).items()},
        "keyfiles.images": {
            p: file(processes.fingerprint(k), "glance") for p, k in (alone or {}).items()
        },
    }
    return keyrings.plan(ALONE, Facts({"ceph01": cluster(users=users), "ctl": seen}))


def told_conf(text):
    """ceph.conf as it leaves the host."""
    return processes.masked(text, ceph_conf.CREDENTIALS)


WRONG = f"[client.images]\n\tkey = {OTHER_KEY}\n"
BOTH = RIGHT + f"[client.glance]\n\tkey = {OTHER_KEY}\n"


@pytest.mark.parametrize(
    "text, more",
    [
        ("[global]\nkeyring = /etc/ceph/keyring\n", {"there": {"/etc/ceph/keyring": BOTH}}),
        ("keyring = /etc/ceph/keyring\n", {"there": {"/etc/ceph/keyring": BOTH}}),
        (
            "[client]\n  keyring=/etc/ceph/k ; all\n",
            {"there": {"/etc/ceph/k": RIGHT}, "images": None},
        ),
        (
            f"[client.images]\nkeyring = {ELSEWHERE}\n",
            {"there": {ELSEWHERE: RIGHT}, "images": None},
        ),
        (
            "[client.images]\nkeyring = /etc/ceph/$cluster.${type}.$id.key\n",
            {"there": {"/etc/ceph/ceph.client.images.key": RIGHT}, "images": None},
        ),
        (
            '[global]\nkeyring = "/none, /etc/ceph/$host.$name"\n',
            {"there": {"/none": None, "/etc/ceph/ctl.client.images": RIGHT}, "images": None},
        ),
        (
            "[global]\nkeyring = /a\n[client]\nkeyring = /b\n"
            f"[client.images]\nkeyring = {ELSEWHERE}\n",
            {"there": {"/a": WRONG, "/b": WRONG, ELSEWHERE: RIGHT}},
        ),
        (
            f"[client.images]\nkeyring = /a\n[global]\n[client.images]\nkeyring = {ELSEWHERE}\n",
            {"there": {"/a": WRONG, ELSEWHERE: RIGHT}},
        ),
        (
            "[client.cinder]\nkeyring = /a\n[osd]\nkeyring = /b\n",
            {"there": {"/a": WRONG, "/b": WRONG}},
        ),
        ("# keyring = /a\n; key = x\n[client.images2]\nkey = AQx\n", {"there": {"/a": WRONG}}),
        (f"[client.images]\nkey = {HELD}\n", {"images": None}),
        (f'[client.images]\n\tkey = "{HELD}" ; of old\n', {"images": as_seen(WRONG)}),
        (f"[client.images]\nkey = {HELD}\nkeyring = /a\n", {"there": {"/a": WRONG}}),
        (
            "[client.images]\nkeyfile = /etc/ceph/$id.secret\n",
            {"alone": {"/etc/ceph/images.secret": HELD}, "images": None},
        ),
        (f"[client.images]\nkey =\n[global]\nkey = {OTHER_KEY}\n", {}),
        ("", {"there": {"/etc/ceph/ceph.keyring": BOTH}, "images": None}),
        ("", {"environment": {"CEPH_KEYRING": ELSEWHERE}, "there": {ELSEWHERE: RIGHT}}),
        (
            f"[client]\nkeyring = {OURS}\n",
            {"environment": {"CEPH_KEYRING": ELSEWHERE}, "there": {ELSEWHERE: WRONG}},
        ),
        ("[client]\nkeyring = /root/k, " + OURS, {"there": {"/root/k": None}}),
    ],
)
def test_the_right_key_where_librados_looks_is_no_change(text, more):
    assert at(text, **more) == []


@pytest.mark.parametrize(
    "text, more, path",
    [
        ("", {"images": None}, OURS),
        ("", {"images": as_seen(WRONG)}, OURS),
        ("", {"images": None, "there": {"/etc/ceph/ceph.keyring": WRONG}}, OURS),
        (f"[client.images]\nkeyring = {ELSEWHERE}\n", {}, ELSEWHERE),
        (f"[client.images]\nkeyring = {ELSEWHERE}\n", {"there": {ELSEWHERE: WRONG}}, ELSEWHERE),
        (f"[client.images]\nkeyring = /a,{ELSEWHERE}\n", {"there": {ELSEWHERE: WRONG}}, ELSEWHERE),
        (f"[client]\nkeyring = /a {OURS}\n", {"there": {"/a": None}, "images": None}, OURS),
        ("[global]\nkeyring = /etc/$cluster.$name\n", {}, "/etc/ceph.client.images"),
        (
            f"[client]\nkeyring = {OURS}, /a\n",
            {"there": {"/a": RIGHT}, "images": as_seen(WRONG)},
            OURS,
        ),
    ],
)
def test_the_key_is_written_where_librados_looks(text, more, path):
    (change,) = at(text, **more)
    assert (change.verb, change.thing, change.args["path"]) == ("write", path, path)
    assert (change.args["owner"], change.args["mode"]) == ("glance", "0640")


@pytest.mark.parametrize(
    "text, more, place",
    [
        ("[global]\nkeyring = /etc/ceph/keyring\n", {}, "[global] keyring"),
        (
            "[global]\nkeyring = /k\n",
            {"there": {"/k": BOTH.replace(HELD, OTHER_KEY)}},
            "[global] keyring",
        ),
        (
            "[client]\nkeyring = /k\n",
            {"there": {"/k": "[client.admin]\nkey = AQ\n"}},
            "[client] keyring",
        ),
        (
            f"[client]\nkeyring = /k,{OURS}\n",
            {"there": {"/k": "[client.admin]\nkey = AQ\n"}},
            "[client] keyring",
        ),
        (
            "[client.images]\nkeyring = /k\n",
            {"there": {"/k": BOTH.replace(HELD, "AQx")}},
            "[client.images]",
        ),
        ("[client.images]\nkeyring = k\n", {}, "[client.images] keyring"),
        ("[client.images]\nkeyring =\n", {}, "[client.images] keyring"),
        ("", {"environment": {"CEPH_KEYRING": ELSEWHERE}}, "CEPH_KEYRING"),
        (f"[client.images]\n\tkey = {OTHER_KEY}\n", {}, "[client.images] key"),
        (f"key = {OTHER_KEY}\n[client]\nx = y\n", {}, "[global] key"),
        (f"[global]\nkey = {HELD}\n", {"users": ()}, "[global] key"),
        ("[client]\nkeyfile = /k\n", {}, "[client] keyfile"),
        ("[client]\nkeyfile = /k\n", {"alone": {"/k": OTHER_KEY}}, "[client] keyfile"),
    ],
)
def test_what_sets_our_keyring_aside_is_refused_with_a_way_on(tmp_path, text, more, place):
    with pytest.raises(Refused) as caught:
        at(text, **more)
    refused = caught.value
    assert refused.host == "ctl" and refused.subject == CONF and OTHER_KEY not in str(refused)
    assert place in f"{refused.found} {refused.why}"
    (command,) = refused.mend
    path = tmp_path / "ceph.conf"
    path.write_text(text)
    subprocess.run(["sh", "-c", shown(command).replace(CONF, str(path))], check=True)
    more = {**more, "users": USERS} if more.get("users") == () else more
    assert at(path.read_text(), **more) == []


def test_a_key_that_goes_on_in_the_next_line_is_taken_out_whole(tmp_path):
    path = tmp_path / "ceph.conf"
    path.write_text("[a]\nkey = 1\n [client.images ]\n\tkey = \\\n AQx\nb = 2\n[client]\nkey = 3\n")
    text = path.read_text()
    command = sed.without_in_ceph_conf(str(path), "client.images", "key", text)
    subprocess.run(["sh", "-c", shown(command)], check=True)
    assert path.read_text() == "[a]\nkey = 1\n [client.images ]\nb = 2\n[client]\nkey = 3\n"


@pytest.mark.parametrize(
    "owner, group, mode, opens",
    [
        ("glance", "glance", "0400", True),
        ("root", "root", "0644", True),
        ("root", "root", "0600", False),
        ("root", "root", "0640", False),
        ("root", "openstack", "0640", True),
        ("cinder", "cinder", "0600", False),
    ],
)
def test_a_keyring_that_the_service_cannot_open_is_passed_over(owner, group, mode, opens):
    wrong = {**as_seen("[client.admin]\nkey = AQ\n", owner, mode, group)}
    seen = {
        "ceph.conf": file(f"[client]\nkeyring = /k,{OURS}\n"),
        "keyring.images": MAPPED,
        "keyrings.images": {"/k": wrong},
    }
    facts = Facts({"ceph01": cluster(users=USERS), "ctl": seen})
    if opens:
        with pytest.raises(Refused):
            keyrings.plan(ALONE, facts)
    else:
        assert keyrings.plan(ALONE, facts) == []


def test_the_host_looks_at_every_file_that_may_count(tmp_path, monkeypatch):
    asked = {read.id: read.args for read in keyrings.reads(site(), site().host("ctl"))}
    conf, right = tmp_path / "ceph.conf", tmp_path / "ceph.client.images.k"
    conf.write_text(
        f"[global]\nkeyring = {tmp_path}/none, \\\n {tmp_path}/$cluster.${{type}}.$id.k ; {HELD}\n"
        f"[client.images]\nkeyfile = '{tmp_path}/secret'\n"
    )
    right.write_text(RIGHT)
    (tmp_path / "secret").write_text(HELD + "\n")
    monkeypatch.setattr(
        configuration.units,
        "process",
        lambda unit: {"environment": {"CEPH_KEYRING": f"{tmp_path}/of-{unit}"}},
    )
    found = configuration.named_files(**{**asked["keyrings.images"], "path": str(conf)})
    assert set(found) >= {f"{tmp_path}/none", str(right), f"{tmp_path}/of-glance-api"}
    assert {"/etc/ceph/ceph.client.images.keyring", "/etc/ceph/keyring.bin"} <= set(found)
    assert keyrings.held(found[str(right)]["text"], "images") == HELD_AS
    alone = configuration.named_files(**{**asked["keyfiles.images"], "path": str(conf)})
    assert alone[f"{tmp_path}/secret"]["text"].strip() == HELD_AS
    assert HELD not in str(found) + str(alone)
    assert answers.fits("named_files", found) and answers.fits("named_files", alone)


GLANCE = f'[client.glance]\n\tkey = {OTHER_KEY}\n\tcaps mon = "allow r"\n'
STALE = f"[client.images]\n\tkey = {HELD[::-1]}\n"


def joined(change, text):
    """What the file holds then."""
    content = [f"{HELD}" if isinstance(part, Ref) else part for part in change.args["content"]]
    return steps.joined("r1", content, text.encode())


@pytest.mark.parametrize(
    "before, after",
    [
        (STALE + GLANCE, RIGHT + GLANCE),
        (GLANCE + STALE, RIGHT + GLANCE),
        (GLANCE + STALE + GLANCE.replace("glance", "x"), None),
        (GLANCE, RIGHT + GLANCE),
        (f"# of ours\n{GLANCE}", RIGHT + GLANCE),
        (STALE, RIGHT),
        ("", RIGHT),
    ],
)
def test_keys_of_others_in_a_clients_own_file_stay(before, after):
    (change,) = plan(as_seen(before))
    assert change.verb == "write"
    assert joined(change, before) == (after or RIGHT + GLANCE + GLANCE.replace("glance", "x"))
    assert OTHER_KEY not in str(change) and HELD not in str(change)


@pytest.mark.parametrize(
    "attributes, kept",
    [
        ({"owner": "root", "mode": "0640", "group": "ceph-users"}, True),
        ({"owner": "root", "mode": "0644"}, True),
        ({"owner": "root", "mode": "0600"}, False),
    ],
)
def test_who_may_read_a_file_of_several_stays_where_the_service_may(attributes, kept):
    seen = as_seen(STALE + GLANCE, **attributes)
    (change,) = plan(seen)
    ours = {"owner": "glance", "group": "glance", "mode": "0640"}
    assert {k: change.args[k] for k in ours} == ({k: seen[k] for k in ours} if kept else ours)
    there = as_seen(RIGHT + GLANCE, **attributes)
    assert [one.verb for one in plan(there)] == ([] if kept else ["attributes"])
    assert [one.verb for one in plan(as_seen(RIGHT, **attributes))] != []


SHUT = "[client.images]\nkeyring = /srv/$name\n"


@pytest.mark.parametrize("there", [BOTH, GLANCE])
def test_a_file_of_others_that_the_service_cannot_open_is_not_written(there):
    with pytest.raises(Refused, match="a section of its own"):
        plan_of_shut(there)


def test_a_file_of_its_own_that_the_service_cannot_open_is_seen_all_the_same():
    for there in (RIGHT, STALE):
        (change,) = plan_of_shut(there)
        assert (change.verb, change.args["path"]) in (
            ("write", "/srv/client.images"),
            ("attributes", "/srv/client.images"),
        )
        assert change.args.get("before", DIGEST) == DIGEST  # not as if none were there


def plan_of_shut(there):
    conf, seen = file(SHUT), as_seen(there, "root", "0600")
    named = {"keyrings.images": {"/srv/client.images": seen}, "keyfiles.images": {}}
    host = {"host": {"hostname": "ctl"}, "ceph.conf": conf, "glance.sources": sources("glance")}
    facts = {"ceph01": cluster(users=USERS), "ctl": {**host, "keyring.images": None, **named}}
    return keyrings.plan(ALONE, Facts(facts))
