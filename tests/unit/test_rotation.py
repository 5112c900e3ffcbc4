"""A client that takes another's place: the gate, who is moved, and the old one's end."""

import json
import re

import pytest

from fabfile.audit import old_clients
from fabfile.audit.database_rows import Schemas
from fabfile.audit.frozen_monitors import CONNECTOR
from fabfile.core.contract import CLOUD, BadInput, Facts, Host
from fabfile.doctor import rotation as in_doctor
from fabfile.doctor.observation import Looked
from fabfile.flow import history
from fabfile.resources import auth, client_limits, rotation, secret_uuid, service_config
from fabfile.resources.domains import READ as DOMAINS
from fabfile.resources.rollback import Undone

from . import test_supplied
from .clouds import disk_xml, said
from .states import (
    FSID,
    HOSTS,
    KEY,
    OTHER,
    THIRD,
    ZED,
    cluster,
    conf,
    file,
    recorded,
    secret,
    site,
    sources,
    user,
)

CLIENTS = {"volumes-2": {"replaces": "volumes"}, "images": {}}
NEXT = {"cinder": {"client": "volumes-2"}, "clients": CLIENTS}
WITH_ROWS = {**HOSTS, "ctl": {"roles": ["glance", "cinder", "database"]}}
HERE = site(cloud="c", hosts=WITH_ROWS, **NEXT)
NEW_KEY = "sha256:" + "b" * 64
MONITOR = "10.0.0.1"
A, B = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
V, W = "cccccccc-0000-4000-8000-000000000003", "dddddddd-0000-4000-8000-000000000004"


# The site file


@pytest.mark.parametrize(
    "clients, words",
    [
        ({"volumes": {"replaces": "old"}, "images": {}}, None),
        ({"volumes": {"replaces": "admin"}, "images": {}}, "by which the cluster itself is run"),
        ({"volumes": {"replaces": "crash.h"}, "images": {}}, "take clients.volumes.replaces out"),
        ({"volumes": {"replaces": "volumes"}, "images": {}}, "clients.volumes.replaces: expected a "
         "client that this site file uses no more, found 'volumes'"),
        ({"volumes": {"replaces": "images"}, "images": {}}, "uses no more, found 'images'"),
        (
            {"volumes": {"replaces": "old"}, "images": {"replaces": "old"}},
            "clients.images.replaces: expected one client in the place of old, found volumes too",
        ),
        (
            {"volumes": {}, "images": {}, "more": {"rwx": ["volumes"], "replaces": "old"}},
            "clients.more.replaces: expected a service that logs in as more, found none",
        ),
        (
            {"volumes": {"replaces": "old"}, "images": {}, "old": {"rwx": ["volumes"]}},
            "uses no more, found 'old': name volumes where a service has old, and take old's own",
        ),
    ],
)  # fmt: skip
def test_a_client_takes_the_place_of_one_that_nobody_is_to_have(clients, words):
    if words is None:
        assert site(clients=clients).replaced == {"volumes": "old"}
        return
    with pytest.raises(BadInput) as caught:
        site(clients=clients)
    assert words in str(caught.value)


# The user and the secret


@pytest.mark.parametrize(
    "before, wanted",
    [
        (None, "profile rbd pool=volumes, profile rbd-read-only pool=images"),
        # What somebody granted by hand goes on: the services may rest on it.
        ({"osd": "profile rbd pool=volumes, profile rbd pool=fast"}, "profile rbd pool=volumes, "
         "profile rbd pool=fast, profile rbd-read-only pool=images"),
        ({"osd": "allow *"}, "allow *"),
    ],
)  # fmt: skip
def test_the_new_user_has_what_the_old_one_has(before, wanted):
    users = [user("volumes", KEY, before)] if before else []
    changes = auth.plan(site(**NEXT), Facts({"ceph01": cluster(users=users)}, {}, ZED))
    argv = next(c.args["argv"] for c in changes if c.subject == "volumes-2")
    assert argv[argv.index("osd") + 1] == wanted


def resolved(secrets, here=None, **conf_of):
    seen = {"cinder.conf": conf(), "cinder.sources": sources("cinder"), **conf_of}
    hosts = {
        "ceph01": cluster(users=[user("volumes"), user("volumes-2", NEW_KEY)]),
        "ctl": seen,
        "n1": {secret_uuid.SECRETS: secrets},
    }
    here = here or site(**NEXT)
    return secret_uuid.resolve(here, Facts(hosts))["uuid.volumes-2"]


def in_cinder(client, uuid):
    return conf(
        ("DEFAULT", "enabled_backends", "rbd"),
        ("rbd", "volume_driver", "cinder.volume.drivers.rbd.RBDDriver"),
        ("rbd", "rbd_pool", "volumes"),
        ("rbd", "rbd_user", client),
        ("rbd", "rbd_secret_uuid", uuid),
    )


def test_a_secret_of_the_old_client_is_never_taken():
    derived = resolved(secret(FSID))
    assert derived not in (FSID, "") and resolved(secret(FSID)) == derived
    # By Cinder's options alone: the compute that has it is down.
    assert resolved({}, **{"cinder.conf": in_cinder("volumes", FSID)}) == derived
    assert resolved({}) == FSID
    # Once it is there, it stays, whatever else there is.
    mine = secret(OTHER, "client.volumes-2 secret", NEW_KEY)
    assert resolved({**secret(FSID), **mine}) == OTHER
    said_so = site(cinder=NEXT["cinder"], clients={**CLIENTS, "volumes-2": {
        "replaces": "volumes", "secret_uuid": FSID}})  # fmt: skip
    with pytest.raises(BadInput, match="libvirt holds the key of client.volumes"):
        resolved(secret(FSID), said_so)
    said_so = site(cinder=NEXT["cinder"], clients={**CLIENTS, "volumes-2": {
        "replaces": "volumes", "secret_uuid": THIRD}})  # fmt: skip
    assert resolved(secret(FSID), said_so) == THIRD


def kinds(**of):
    text = [
        f'"entity":"client.{name.replace("_", "-")}","key":"{key}AAAAAAA"'
        for name, key in of.items()
    ]
    told = "\n".join(re.findall(client_limits._HEAD, "\n".join(text)))
    return {"code": 0, "out": told, "err": ""}


@pytest.mark.parametrize(
    "users, told, preferred, words",
    [
        ((), kinds(), "aes256k", None),
        ((), kinds(), "aes", "expected a cluster that makes keys of the new kind"),
        ((), kinds(), "", "expected a cluster that makes keys of the new kind"),
        (("volumes-2",), kinds(volumes_2="Ag"), "aes", None),
        (("volumes-2",), kinds(volumes_2="AQ"), "aes256k", "name another client in its place"),
        (("volumes-2",), kinds(volumes="Ag"), "aes256k", "name another client in its place"),
        # The old one's kind is no matter.
        (("volumes", "volumes-2"), kinds(volumes="AQ", volumes_2="Ag"), "aes256k", None),
    ],
)
def test_new_keys_are_of_the_kind_that_is_asked_for(users, told, preferred, words):
    ceph = cluster(users=[user(name) for name in users])
    monmap = json.loads(ceph["ceph.monmap"]["out"])
    if preferred:
        monmap["auth_preferred_cipher"] = {"name": preferred}
    ceph |= {"ceph.monmap": said(json.dumps(monmap)), client_limits.KINDS: told}
    if words is None:
        rotation.refuse_old_kind(HERE, Facts({"ceph01": ceph}))
        return
    with pytest.raises(BadInput, match=words):
        rotation.refuse_old_kind(HERE, Facts({"ceph01": ceph}))


# The gate: Cinder names it when every compute can attach by it

READY = secret(OTHER, "client.volumes-2 secret", NEW_KEY)


def cinder_plan(now, n1, n2, here=None):
    hosts = {
        "ceph01": cluster(users=[user("volumes"), user("volumes-2", NEW_KEY)]),
        "ctl": {"cinder.conf": now, "cinder.sources": sources("cinder"), "packages": {}},
    }
    for name, found in (("n1", n1), ("n2", n2)):
        if found is not None:
            hosts[name] = {secret_uuid.SECRETS: found}
    facts = Facts(hosts, {"uuid.volumes-2": OTHER}, ZED)
    return service_config.cinder.plan(here or site(**NEXT), facts)


@pytest.mark.parametrize(
    "n1, n2, words",
    [
        (READY, READY, None),
        (READY, {}, f"n2: it has no libvirt secret {OTHER}"),
        ({}, {}, f"n1: it has no libvirt secret {OTHER}, and 1 compute more"),
        (READY, None, "n2: it was not looked at"),
        (READY, secret(OTHER, value=KEY), f"n2: its libvirt secret {OTHER} holds another key"),
        (READY, secret(OTHER, value=None), f"n2: its libvirt secret {OTHER} holds another key"),
    ],
)
def test_cinder_goes_over_when_every_compute_can_attach(n1, n2, words):
    now = in_cinder("volumes", FSID)
    if words is None:
        (change,) = cinder_plan(now, n1, n2)
        assert ["rbd", "rbd_user", "volumes-2"] in change.args["edits"]
        return
    with pytest.raises(BadInput) as caught:
        cinder_plan(now, n1, n2)
    assert words in str(caught.value) and "inv ceph.rotate" in str(caught.value)


def test_who_takes_nobodys_place_is_not_held_up():
    assert cinder_plan(conf(), {}, None)  # a new integration
    without = site(cinder=NEXT["cinder"], clients={"volumes-2": {}, "images": {}})
    assert cinder_plan(in_cinder("volumes-2", FSID), {}, {}, without)


# Sessions


def monitors_say(*documents, code=0):
    only = rotation.sessions(HERE).args["then"]["sessions"]["only"]
    return {
        f"mon.m{number}": {
            "sessions": {"code": code, "out": "\n".join(re.findall(only, text)), "err": ""}
        }
        for number, text in enumerate(documents)
    }


def session(entity, address="10.0.0.9"):
    where = {"type": "any", "addr": f"{address}:0", "nonce": 1}
    return {"name": "client.?", "entity_name": entity, "addrs": {}, "socket_addr": where}


REAL = recorded("mon_sessions")["out"]


@pytest.mark.parametrize(
    "told, client, expected",
    [
        (monitors_say(REAL), "volumes-2", ["198.18.53.31"]),
        (monitors_say(json.dumps(json.loads(REAL))), "volumes-2", ["198.18.53.31"]),
        (monitors_say(REAL), "volumes", []),
        (monitors_say(REAL, json.dumps([session("client.volumes")])), "volumes", ["10.0.0.9"]),
        (
            monitors_say(json.dumps([session("client.volumes", "[fd00::9]"), session("mgr.x")])),
            "volumes",
            ["[fd00::9]"],
        ),
        # A session counts wherever it comes from.
        (monitors_say('[{"entity_name": "client.volumes"}]'), "volumes", ["somewhere"]),
        # What names it otherwise is nobody's session.
        (monitors_say(json.dumps([session("client.volumes-3"), session("osd.0")])), "volumes", []),
        (monitors_say("", code=22), "volumes", None),
        # Who asks is logged in: an answer of another form is none.
        (monitors_say('[{"name": "client.4", "entity": "client.volumes"}]'), "volumes", None),
        (monitors_say("[]"), "volumes", None),
        (monitors_say(REAL, "[]"), "volumes", None),
        ({}, "volumes", None),
        (None, "volumes", None),
    ],
)
def test_who_is_logged_in(told, client, expected):
    facts = Facts({"ceph01": {rotation.SESSIONS: told}})
    assert rotation.logged_in(HERE, facts, client) == expected


def test_monitors_are_named_as_they_are_told():
    read = rotation.sessions(HERE)
    told = "epoch 2\nfsid x\n0: [v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0] mon.a\n1: 10.0.0.2 mon.b; x"
    assert re.findall(read.args["match"], told) == ["mon.a", "mon.b"]
    assert "{}" in read.args["then"]["sessions"]["argv"]


# Instances


def rows(*attached, state="active", host="n1", locked="0", instance=A):
    """The database's lines: one instance, and (side, volume, client[, monitors]) of its disks."""
    lines = [f"instance\t{instance}\t{state}\t{host}\t{locked}"]
    for side, volume, client, *monitors in attached:
        told = json.dumps([client, *(monitors or [[MONITOR]])])
        lines.append(f"{side}\t{instance}\t{volume}\t{told}")
    return lines


NOVA = {"nova-common": "2:26.2.2-1", "glance-common": "2:25.1.0-2", "cinder-common": "2:21.3.1-1"}
CONTROL = conf(("api_database", "connection", "sha256:x"), ("cinder", "auth_type", "password"))
QUIET = monitors_say(REAL)


def facts(lines=(), guest="", sessions=QUIET, users=("volumes", "volumes-2"), secrets=None, **ctl):
    """guest: as which client instance A has its disk open, if it runs."""
    domains = {A: {"disks": said(disk_xml(user_=guest, monitors=(MONITOR,)))}} if guest else {}
    keys = {"volumes": KEY, "volumes-2": NEW_KEY}
    return Facts(
        {
            "ceph01": {
                **cluster(users=[user(name, keys[name]) for name in users]),
                rotation.SESSIONS: sessions,
            },
            "ctl": {
                old_clients.ROWS: list(lines),
                "cinder.conf": in_cinder("volumes-2", OTHER),
                "cinder.sources": sources("cinder"),
                "nova-manage.conf": CONTROL,
                "packages": NOVA,
                "keyring.volumes": file("x"),
                **ctl,
            },
            "n1": {
                DOMAINS: domains,
                "host": {"hostname": "box1"},
                CONNECTOR: said('{"host": "n1"}'),
                secret_uuid.SECRETS: secrets or {},
            },
            "n2": {DOMAINS: {}, "host": {"hostname": "box2"}, secret_uuid.SECRETS: {}},
        }
    )


@pytest.mark.parametrize(
    "lines, guest, expected",
    [
        (rows(("nova", V, "volumes-2"), ("cinder", V, "volumes-2")), "volumes-2", []),
        (rows(("nova", V, "volumes"), ("cinder", V, "volumes")), "volumes", [("migrate", (V,))]),
        # One side alone is enough: Nova starts it by its own.
        (rows(("nova", V, "volumes-2"), ("cinder", V, "volumes")), "", [("migrate", (V,))]),
        (rows(("nova", V, "volumes"), ("nova", W, "volumes"), state="stopped"), "",
         [("refresh", (V, W))]),
        # Nova's own disks: of them there is no attachment.
        (rows(), "volumes", [("hard reboot", ())]),
        ([], "volumes", [("hard reboot", ())]),
        (rows(("nova", V, "volumes"), state="shelved_offloaded"), "", [("nothing", (V,))]),
        (rows(("nova", V, "volumes"), state="paused"), "", [("rest", (V,))]),
        ([f'cinder\t\t{V}\t["volumes", ["{MONITOR}"]]'], "", [("rest", (V,))]),
        # Of before the monitors were moved, or of a cluster that the site file does not name.
        (rows(("nova", V, "volumes", ["10.9.9.9"])), "", [("rest", (V,))]),
        (rows(("nova", V, "volumes", ["10.9.9.9"]), state="stopped"), "", [("rest", (V,))]),
        (rows(("nova", V, "volumes", ["10.9.9.9"]), ("nova", W, "volumes")), "",
         [("migrate", (V, W))]),
        # Shelved alone, it is started with what it has; offloaded, and running all the same.
        (rows(("nova", V, "volumes"), state="shelved"), "", [("rest", (V,))]),
        (rows(("nova", V, "volumes"), state="shelved_offloaded"), "volumes", [("rest", (V,))]),
        (rows(("nova", V, "volumes", [])), "", [("migrate", (V,))]),
        # An attachment that was never connected names nobody.
        (rows(("cinder", V, None, None)), "", []),
        ([f"cinder\t{A}\t{V}\t"], "", []),
    ],
)  # fmt: skip
def test_what_an_instance_needs(lines, guest, expected):
    seen = facts(lines, guest)
    found = old_clients.needs(HERE, seen, old_clients.kept(lines), "volumes")
    assert [(need.what, need.volumes) for need in found] == expected


def test_the_monitors_of_another_cluster_of_the_site_tell_its_clients():
    lines = rows(("nova", V, "volumes", ["10.9.9.9"]))
    found = old_clients.kept(lines)
    assert old_clients.needs(HERE, facts(lines), found, "volumes", {"10.9.9.9"}) == []
    domains = {A: {"disks": said(disk_xml(user_="volumes", monitors=("10.9.9.9",)))}}
    seen = facts()
    seen.hosts["n1"][DOMAINS] = domains
    assert [n.what for n in old_clients.needs(HERE, seen, old_clients.kept([]), "volumes")] == [
        "rest"
    ]
    assert not old_clients.needs(HERE, seen, old_clients.kept([]), "volumes", {"10.9.9.9"})


ON_OLD = rows(("nova", V, "volumes"), ("cinder", V, "volumes"))
ASLEEP = rows(("nova", V, "volumes"), state="stopped")


@pytest.mark.parametrize(
    "move, lines, guest, only, expected",
    [
        ("migrate", ON_OLD, "volumes", (), ["server_migrate"]),
        ("reboot", ON_OLD, "volumes", (), ["server_stop", "run", "server_start"]),
        ("migrate", ASLEEP, "", (), ["run"]),
        ("reboot", ASLEEP, "", (), ["run"]),
        ("migrate", rows(), "volumes", (), []),
        ("reboot", rows(), "volumes", (), ["server_hard_reboot"]),
        ("migrate", ON_OLD, "volumes", (B,), []),
        ("migrate", ON_OLD, "volumes", (A,), ["server_migrate"]),
        ("migrate", rows(("nova", V, "volumes"), state="paused"), "", (), []),
        # A run that ended between stop and start is gone on with, by its name.
        ("reboot", ASLEEP, "", (A,), ["run", "server_start"]),
        ("reboot", rows(("nova", V, "volumes-2"), state="stopped"), "", (A,), ["server_start"]),
        ("reboot", rows(("nova", V, "volumes-2"), state="stopped"), "", (), []),
        ("migrate", ASLEEP, "", (A,), ["run"]),
        ("reboot", rows(("nova", V, "volumes-2"), state="paused"), "", (A,), []),
        # What was moved already is not moved again.
        ("migrate", rows(("nova", V, "volumes-2")), "volumes-2", (A,), []),
    ],
)
def test_how_it_is_moved(move, lines, guest, only, expected):
    stage = old_clients.OldClients("q", move, only, frozenset({"n1"}))
    changes = stage.plan(HERE, facts(lines, guest))
    assert [change.verb for change in changes] == expected
    assert [change.wave for change in changes] == sorted(change.wave for change in changes)


def test_an_instance_of_two_old_clients_is_stopped_and_started_once():
    here = site(
        cloud="c",
        hosts=WITH_ROWS,
        cinder={"client": "volumes-2"},
        glance={"client": "images-2"},
        clients={"volumes-2": {"replaces": "volumes"}, "images-2": {"replaces": "images"}},
    )
    stage = old_clients.OldClients("q", "reboot", (), frozenset({"n1"}))
    changes = stage.plan(here, facts(rows(("nova", V, "volumes"), ("nova", W, "images"))))
    verbs = [change.verb for change in changes]
    assert sorted(verbs) == ["run", "run", "server_start", "server_stop"]
    asleep = old_clients.OldClients("q", "reboot", (A,), frozenset({"n1"}))
    changes = asleep.plan(here, facts(rows(("nova", V, "volumes"), state="stopped")))
    assert [change.verb for change in changes] == ["run", "server_start"]
    # It was deleted since it was named.
    assert asleep.plan(here, facts([])) == []


@pytest.mark.parametrize(
    "move, lines, only, words",
    [
        ("migrate", rows(("nova", V, "volumes"), state="paused"), (A,), "bring it to rest"),
        ("migrate", rows(("nova", V, "volumes"), locked="1"), (), "openstack server unlock"),
        ("reboot", rows(("nova", V, "volumes"), locked="1"), (), "openstack server unlock"),
    ],
)
def test_what_cannot_be_moved_is_refused_with_the_way(move, lines, only, words):
    stage = old_clients.OldClients("q", move, only, frozenset({"n1"}))
    with pytest.raises(BadInput, match=words):
        stage.plan(HERE, facts(lines, "volumes"))


@pytest.mark.parametrize(
    "move, only, expected", [("migrate", (), []), ("reboot", (), ["n1"]), ("reboot", (B,), [])]
)
def test_a_connector_is_asked_of_computes_that_need_it(move, only, expected):
    found = old_clients.kept(ON_OLD)
    assert sorted(old_clients.computes(HERE, facts(), found, move, only)) == expected


# The end

OPEN = monitors_say(json.dumps([session("client.volumes")]))
OLD_SECRET = secret(FSID)


@pytest.mark.parametrize(
    "more, words",
    [
        ({"lines": ON_OLD}, f"inv ceph.rotate --instance {A} --move migrate or "),
        ({"lines": ON_OLD}, f"instance {A} (active), volume {V}: still client.volumes"),
        ({"guest": "volumes"}, f"instance {A}: still client.volumes: its domain has a disk by it"),
        ({"sessions": OPEN}, "client.volumes is logged in from 10.0.0.9"),
        ({"sessions": monitors_say("", code=22)}, "the monitors do not say who is logged in"),
        ({"sessions": None}, "the monitors do not say who is logged in"),
        ({"cinder.conf": in_cinder("volumes", FSID)}, "ctl: [rbd] rbd_user names client.volumes"),
        (
            {"glance.conf": conf(("rbd", "rbd_store_user", "volumes")),
             "glance.sources": sources("glance")},
            "ctl: [rbd] rbd_store_user names client.volumes",
        ),
    ],
)  # fmt: skip
def test_a_client_that_somebody_has_is_not_retired(more, words):
    seen, stage = facts(secrets=OLD_SECRET, **more), old_clients.OldClients("q")
    assert stage.plan(HERE, seen) == []
    assert any(words in note for note in stage.notes(HERE, seen, [])), stage.notes(HERE, seen, [])


@pytest.mark.parametrize("host", ["n1", "n2", "ctl"])
@pytest.mark.parametrize("lines", [[], ON_OLD])
def test_while_a_host_was_not_looked_at_nobody_is_retired(host, lines):
    """[rollout] max_fail goes on without it: its guests and options were not seen."""
    seen, stage = facts(lines, secrets=OLD_SECRET), old_clients.OldClients("q")
    del seen.hosts[host]
    assert stage.plan(HERE, seen) == []
    notes = stage.notes(HERE, seen, [])
    assert f"{host} was not looked at: while it is not, nobody is retired" in notes
    seen = facts(users=("volumes-2",), **{"keyring.volumes": None})
    del seen.hosts[host]
    assert not any("is gone" in note for note in stage.notes(HERE, seen, []))


def test_a_keyring_with_others_keys_stays():
    text = "[client.volumes]\n\tkey = a\n[client.backup]\n\tkey = b\n"
    seen, stage = facts(**{"keyring.volumes": file(text)}), old_clients.OldClients("q")
    changes = stage.plan(HERE, seen)
    assert [c.kind for c in changes] == ["user"]
    path = "/etc/ceph/ceph.client.volumes.keyring"
    assert f"ctl: {path} stays: it has client.backup too" in stage.notes(HERE, seen, changes)
    (read,) = [r for r in stage.reads(HERE, HERE.host("ctl")) if r.id == "keyring.volumes"]
    assert read.args["mask"] and read.args["text"]


@pytest.mark.parametrize(
    "driver, user_, held",
    [
        ("cinder.backup.drivers.ceph", None, True),
        ("cinder.backup.drivers.ceph.CephBackupDriver", None, True),
        ("cinder.backup.drivers.ceph.CephBackupDriver", "cinder-2", False),
        ("cinder.backup.drivers.nfs.NFSBackupDriver", None, False),
        (None, None, False),
    ],
)
def test_cinder_backup_logs_in_as_cinder_where_nobody_says_otherwise(driver, user_, held):
    here = site(
        cloud="c",
        hosts=WITH_ROWS,
        cinder={"client": "cinder-2"},
        clients={"cinder-2": {"replaces": "cinder"}, "images": {}},
    )
    now = [("DEFAULT", "backup_driver", driver), ("DEFAULT", "backup_ceph_user", user_)]
    seen = facts(**{"cinder.conf": conf(*(one for one in now if one[2]))})
    named = rotation.named_by(here, seen, "cinder")
    assert named == (["ctl: [DEFAULT] backup_ceph_user"] if held else [])


@pytest.mark.parametrize(
    "osd, words",
    [
        ("profile rbd pool=volumes, profile rbd pool=manila", "caps on pool manila"),
        (
            "profile rbd pool=volumes, allow rw tag cephfs data=x",
            "osd 'allow rw tag cephfs data=x'",
        ),
        ("profile rbd pool=volumes, profile rbd-read-only pool=images", None),
    ],
)
def test_caps_beyond_the_sites_are_told_at_the_end(osd, words):
    seen, stage = facts(**{"keyring.volumes": None}), old_clients.OldClients("q")
    users = [user("volumes", KEY, {"osd": osd}), user("volumes-2", NEW_KEY)]
    seen.hosts["ceph01"] |= cluster(users=users)
    changes = stage.plan(HERE, seen)
    assert [one.kind for one in changes] == ["user"]
    notes = stage.notes(HERE, seen, changes)
    assert [f"client.volumes has {words}, which" in note for note in notes] == (
        [True] if words else []
    )


def test_without_the_databases_nobody_is_retired():
    seen, stage = facts(secrets=OLD_SECRET), old_clients.OldClients("")
    assert stage.plan(HERE, seen) == []
    assert "attachments were not looked at" in stage.notes(HERE, seen, [])[0]


@pytest.mark.parametrize(
    "more, expected",
    [
        ({}, ["remove /etc/ceph/ceph.client.volumes.keyring", f"run {FSID}", "run client.volumes"]),
        # A shelved instance attaches anew.
        (
            {"lines": rows(("nova", V, "volumes"), state="shelved_offloaded")},
            ["remove /etc/ceph/ceph.client.volumes.keyring", f"run {FSID}", "run client.volumes"],
        ),
        # Stopped in the middle: what is left.
        ({"keyring.volumes": None}, [f"run {FSID}", "run client.volumes"]),
        ({"keyring.volumes": None, "secrets": {}}, ["run client.volumes"]),
        ({"keyring.volumes": None, "secrets": {}, "users": ("volumes-2",)}, []),
        # Somebody else's key under another UUID.
        (
            {"keyring.volumes": None, "secrets": secret(THIRD, value=NEW_KEY)},
            ["run client.volumes"],
        ),
    ],
)
def test_what_is_left_of_it_goes_and_the_user_last(more, expected):
    stage = old_clients.OldClients("q")
    changes = stage.plan(HERE, facts(**{"secrets": OLD_SECRET, **more}))
    assert [f"{c.verb} {c.args.get('path') or c.args['argv'][-1]}" for c in changes] == expected
    assert [c.wave for c in changes] == sorted(c.wave for c in changes)
    notes = stage.notes(HERE, facts(**{"secrets": OLD_SECRET, **more}), changes)
    gone = "client.volumes is gone: take clients.volumes-2.replaces out of the site file"
    assert notes == ([] if expected else [gone])


def test_of_another_teams_user_what_is_ours_goes():
    """Neither its key nor who is logged in is known here; the secret bears the cluster's name."""
    supplied = {"access": "supplied", "supplied_conf": "/x", "supplied_keyring": "/{client}"}
    here = site(
        hosts={**WITH_ROWS},
        clusters={"west": {**supplied, "pools": {"volumes": {}},
                           "clients": {"volumes-2": {"replaces": "volumes"}}}},
        cinder={"client": "volumes-2", "cluster": "west"},
        clients={"images": {}},
    )  # fmt: skip
    part = here.part("west")
    handed = test_supplied.answer()
    handed["keys"] = {"volumes-2": NEW_KEY}
    secrets = {**secret(FSID, "west client.volumes secret"), **secret(OTHER)}
    admin = part.admin.name
    seen = {admin: {"ceph.supplied": handed}, "n1": {secret_uuid.SECRETS: secrets}}
    changes = old_clients.retirement(part, Facts(seen), "volumes")
    assert [(c.host, c.subject) for c in changes] == [("n1", FSID)]


def test_the_user_comes_back_with_its_key_where_the_run_is_taken_back():
    (user_,) = old_clients.OldClients("q").plan(HERE, facts(**{"keyring.volumes": None}))
    undo = user_.args["undo"]
    assert undo["args"]["argv"][-4:] == ["auth", "import", "-i", "-"]
    assert undo["args"]["stdin"] == [{"old": ["ceph", "--connect-timeout", "10", "auth", "get",
                                              "client.volumes"]}]  # fmt: skip
    assert KEY not in json.dumps(user_.args)


def test_the_question_reads_the_clients_name_and_no_key():
    schemas = Schemas(
        nova=("nova",),
        cinder="cinder",
        glance="glance",
        columns={("cinder", "volume_attachment", "connection_info")},
    )
    sql = old_clients.question(schemas)
    assert sql.count("auth_username") == 4 and "secret" not in sql and sql.count("SELECT") == 3


def test_of_another_teams_cluster_the_databases_are_looked_at_too():
    supplied = {"access": "supplied", "supplied_conf": "/x", "supplied_keyring": "/{client}"}
    here = site(
        clusters={"west": {**supplied, "pools": {"volumes": {}},
                           "clients": {"volumes-2": {"replaces": "volumes"}}}},
        cinder={"client": "volumes-2", "cluster": "west"},
        clients={"images": {}},
    )  # fmt: skip
    part = here.part("west")
    seen = Facts({part.admin.name: {"ceph.supplied": test_supplied.answer()}})
    none = old_clients.kept([])
    assert old_clients.OldClients("q").in_use(part, seen, none, "volumes") == []
    (why,) = old_clients.OldClients("").in_use(part, seen, none, "volumes")
    assert "attachments were not looked at" in why


def test_a_section_of_another_service_is_not_another_clusters():
    west = {"access": "supplied", "supplied_conf": "/x", "supplied_keyring": "/{client}"}
    here = site(
        clusters={"west": {**west, "pools": {"volumes": {}}, "clients": {"volumes": {}}}},
        cinder={"backend": "rbd", "cluster": "west"},
        glance={"client": "images-2"},
        clients={"images-2": {"replaces": "images"}},
    )
    own = next(part for part in here.parts if part.replaced)
    line = ("rbd", "rbd_store_user", "images")
    seen = {"glance.conf": conf(line), "glance.sources": sources("glance")}
    seen |= {"cinder.conf": in_cinder("images", FSID), "cinder.sources": sources("cinder")}
    assert rotation.named_by(own, Facts({"ctl": seen}), "images") == ["ctl: [rbd] rbd_store_user"]


def test_cinders_database_without_novas_is_no_look_at_attachments():
    columns = {("cinder", "volume_attachment", "connection_info")}
    alone = Schemas(nova=(), cinder="cinder", glance="glance", columns=columns)
    assert old_clients.question(alone) == ""


# What doctor says, and what an undo leaves


@pytest.mark.parametrize(
    "more, found, mend",
    [
        ({"users": ("volumes",), "cinder.conf": in_cinder("volumes", FSID)},
         "client.volumes-2 is not there yet; ctl: [rbd] rbd_user names it", "ceph.rotate"),
        ({"guest": "volumes"}, "1 running guests have disks by it", "ceph.rotate"),
        ({}, "no service and no running guest has it", "ceph.rotate"),
        ({"users": ("volumes-2",)}, "it is gone", "take clients.volumes-2.replaces out"),
    ],
)  # fmt: skip
def test_doctor_says_how_far_it_is(more, found, mend):
    (one,) = in_doctor.findings(HERE, Looked(facts(**more)))
    assert (one.severity, one.code, one.thing) == ("note", "client.replaced", "client.volumes")
    assert one.found == found and mend in f"{one.mend[0].text} {one.mend[0].command!r}"


def test_doctor_says_nothing_where_nobody_is_replaced_or_ceph_says_nothing():
    assert in_doctor.findings(site(), Looked(facts())) == []
    assert in_doctor.findings(HERE, Looked(Facts({}))) == []


@pytest.mark.parametrize("uuid, stays", [(FSID, True), (OTHER, False)])
def test_an_undo_takes_no_secret_away_from_a_guest(uuid, stays):
    step = {
        "step": 1, "state": "done", "verb_was": "run", "verb": "run", "sign": "+", "wave": 2,
        "thing": f"libvirt secret {uuid}", "sentence": "define", "kind": "secret", "subject": uuid,
        "args": {"argv": ["virsh", "secret-undefine", uuid]}, "was": None, "is": "aa", "now": "aa",
    }  # fmt: skip
    running = {A: {"disks": said(disk_xml(uuid=FSID))}}
    here = Facts({"n1": {"run": [step], DOMAINS: running, "pending_restarts": []}})
    undone = Undone("r")
    assert bool(undone.plan(site(), here)) != stays
    notes = undone.notes(site(), here, [])
    assert [A in note for note in notes] == [True] * stays


# Stages are taken back backwards

KEYRING = "/etc/ceph/ceph.client.volumes-2.keyring"
CONF = "/etc/cinder/cinder.conf"


def step_of(kind, subject, thing, sign="+", verb="remove", **args):
    return {
        "step": 1, "state": "done", "verb_was": "write", "verb": verb, "sign": sign, "wave": 2,
        "thing": thing, "sentence": "x", "kind": kind, "subject": subject,
        "args": {"path": thing, **args}, "was": None, "is": "aa", "now": "aa",
    }  # fmt: skip


FIRST = {
    "ceph01": [step_of("user", "volumes-2", "user client.volumes-2", verb="run", argv=["ceph"])],
    "ctl": [step_of("keyring", "volumes-2", KEYRING)],
    "n1": [step_of("secret", OTHER, f"libvirt secret {OTHER}", verb="run", argv=["virsh"])],
}
SECOND = {"ctl": [step_of("options", "cinder", CONF, "~", "write")]}
BOTH = {**FIRST, "ctl": [*FIRST["ctl"], *SECOND["ctl"]]}
ATTACHED = {"volume": V, "instance": A, "user": "volumes-2", "uuid": OTHER, "monitors": []}


def taken_back(run, guest="", attached=(), old=0, limited=None, named=(), **ctl):
    seen = facts(guest=guest, **ctl)
    for host in seen.hosts:
        seen.hosts[host] |= {"run": run.get(host, []), "pending_restarts": []}
    seen.hosts["ceph01"]["ceph.old.volumes"] = {"code": old, "out": "", "err": ""}
    seen.hosts[CLOUD] = {"attachments": list(attached)}
    return Undone("r", (), limited, (), named).plan(HERE, seen)


BACK = {"cinder.conf": in_cinder("volumes", FSID)}
"""What services have once the second stage was taken back."""


@pytest.mark.parametrize(
    "run, more, words",
    [
        (FIRST, {}, "expected one that nobody has.*found ctl: .rbd. rbd_user"),
        (FIRST, {"guest": "volumes-2", **BACK}, f"guest {A} on n1.*replaces = 'volumes-2'"),
        (FIRST, {"attached": [ATTACHED], **BACK}, f"attachment of volume {V}"),
        ({"ctl": FIRST["ctl"]}, {}, "take the later run back first"),
        ({"n1": FIRST["n1"]}, {}, "take the later run back first"),
        (FIRST, {"limited": {"ctl"}}, "take the later run back first"),
        (FIRST, BACK, None),
        # What one run did, one undo takes back.
        (BOTH, {}, None),
        (BOTH, {"guest": "volumes-2"}, "guest"),
        # A batch whose gate did not pass.
        ({"n1": FIRST["n1"]}, {"limited": {"n1"}}, None),
        ({"ceph01": [step_of("pool", "x", "pool x")]}, {}, None),
        # The services' stage, once the end has been.
        (SECOND, {"named": {"volumes-2"}, "old": 2}, "the run that took it away"),
        (SECOND, {"named": {"volumes-2"}}, None),
        (SECOND, {"named": {"images"}, "old": 2}, None),
        ({}, {"named": {"volumes-2"}, "old": 2, **BACK}, "no host knows"),
    ],
)
def test_stages_are_taken_back_backwards(run, more, words):
    if words is None:
        assert taken_back(run, **more)
        return
    with pytest.raises(BadInput, match=words):
        taken_back(run, **more)


def test_what_an_undo_asks_in_a_rotation_and_only_then():
    def asked(where, host):
        return {read.id for read in Undone("r").reads(where, host)}

    old = "ceph.old.volumes"
    (read,) = [one for one in Undone("r").reads(HERE, HERE.host("ceph01")) if one.id == old]
    assert read.args["mask"] and read.args["argv"][-2:] == ["get", "client.volumes"]
    assert "cinder.conf" in asked(HERE, HERE.host("ctl"))
    assert "attachments" in asked(HERE, Host(CLOUD, ()))
    plain = site(cloud="c")
    assert not {old, "cinder.conf", "attachments"} & set().union(
        *(asked(plain, host) for host in (*plain.all_hosts(), Host(CLOUD, ())))
    )


@pytest.mark.parametrize(
    "edits, named",
    [
        ([["rbd", "rbd_user", "volumes-2"], ["rbd", "rbd_pool", "x"]], {"volumes-2"}),
        ([["rbd", "rbd_user", None]], set()),
        ("rbd_user", set()),
        ([["rbd_user"], 3], set()),
        (None, set()),
    ],
)
def test_whom_a_runs_edits_named_is_read_of_its_record(edits, named):
    assert history._named([{"verb": "edit", "args": {"edits": edits}}]) == named
