"""What was left behind, as notes of doctor; and what looks alike and is somebody's."""

import base64

import pytest

from fabfile.doctor import checks, hygiene
from fabfile.doctor.finding import NOTE, commands
from fabfile.resources import secret_uuid

from . import clouds
from .clouds import CLOUD, VOLUME, found, looked, said
from .states import FSID, KEY, OTHER, answer, conf, file, secret, site, user

CLIENTS = {"volumes": {}, "images": {}, "old": {"rwx": ["volumes"]}}
CODES = {
    "user.unused", "key.old", "key.cipher", "libvirt.orphaned", "keyring.orphaned",
    "volume.type.orphaned", "cinder.row.left",
}  # fmt: skip
NAMES = {"ctl": "ctl"}


def both(*changes):
    def change(cloud):
        cloud["ctl"]["host"]["hostname"] = "ctl"
        for one in changes:
            one(cloud)

    return change


def users(*names):
    def change(cloud):
        clouds.altered(
            cloud, "ceph01", "ceph.users", lambda d: d["auth_dump"].extend(map(user, names))
        )

    return change


def attached(user_, uuid=OTHER):
    one = {"volume": VOLUME, "instance": "i", "user": user_, "uuid": uuid, "monitors": []}
    return lambda cloud: cloud[CLOUD]["attachments"].append(one)


def option(section, key, value):
    return lambda cloud: cloud["ctl"]["cinder.conf"]["active"].append([section, key, value])


def a_secret(name, uuid=OTHER):
    return lambda cloud: cloud["n1"]["libvirt.secrets"].update(secret(uuid, name, "sha256:x"))


def in_a_guest(uuid):
    xml = clouds.disk_xml(uuid, "gone", image="elsewhere/x")
    return lambda cloud: cloud["n1"]["domains"].update({"x": {"disks": said(xml)}})


def types(**kinds):
    return lambda cloud: cloud[CLOUD]["volume_types"].update(
        {name: {"volume_backend_name": bound} if bound else {} for name, bound in kinds.items()}
    )


def row(host, up=False):
    one = {"host": host, "up": up, "enabled": True}
    return lambda cloud: cloud[CLOUD]["volume_services"].append(one)


def on(host):
    one = {"id": VOLUME[:-1] + "2", "name": "v", "host": host, "status": "available", "type": ""}
    return lambda cloud: cloud[CLOUD]["volumes"].append(one)


def made(seconds, kind=1, client="volumes"):
    """A key of that age, when the hosts' clocks say 2026."""
    now = 1_800_000_000
    head = base64.b64encode(bytes([kind, 0]) + (now - seconds).to_bytes(4, "little")).decode()

    def change(cloud):
        cloud["ceph01"]["host"]["time"] = float(now)
        told = f'"entity":"client.{client}"\n"key":"{head}'
        cloud["ceph01"]["ceph.kinds"] = said(told)

    return change


def prefers(cipher):
    def change(cloud):
        clouds.altered(
            cloud,
            "ceph01",
            "ceph.monmap",
            lambda told: told.update(auth_preferred_cipher={"name": cipher}),
        )

    return change


def health(code):
    return lambda cloud: cloud["ceph01"].update({"ceph.health": answer({"checks": {code: {}}})})


def keyring(name, host="n1"):
    line = f"{name} 0640 cinder cinder\n"
    return lambda cloud: cloud[host].update({"ceph.keyrings": said(line)})


def conf_of(fsid):
    text = clouds.CEPH_CONF.replace(FSID, fsid)
    return lambda cloud: cloud["n1"].update({"ceph.conf": file(text)})


YEARS = 365 * 86400
GONE = "client.gone secret"
OLD = {"clients": CLIENTS}


@pytest.mark.parametrize(
    "change, more, code, mend",
    [
        (users("old"), OLD, "user.unused", "inv remove --client old"),
        (made(3 * YEARS), {}, "key.old", "give it a new key"),
        (both(prefers("aes256k"), made(YEARS)), {}, "key.cipher", "docs/upgrades.md"),
        (a_secret(GONE), {}, "libvirt.orphaned", "look first at: that Ceph has the same key"),
        (a_secret(f"{GONE} {OTHER}"), {}, "libvirt.orphaned", "look first"),
        (
            keyring("ceph.client.gone.keyring"),
            {},
            "keyring.orphaned",
            "which programs of that host",
        ),
        (types(slow="slow"), {}, "volume.type.orphaned", "openstack volume type delete"),
        (
            row("ctl@slow"),
            {},
            "cinder.row.left",
            "cinder-manage service remove cinder-volume ctl@slow",
        ),
    ],
)
def test_what_was_left_behind_is_a_note_with_the_way_to_settle_it(change, more, code, mend):
    where = site(**more)
    mine = [one for one in found(both(change), where) if one.code == code]
    assert [one.severity for one in mine] == [NOTE]
    assert mend in " ".join(step["run"] for step in commands(mine[0], where, ""))


@pytest.mark.parametrize(
    "change, more",
    [
        # A user that something logs in by, or that the site file does not name.
        (both(users("old"), attached("old")), OLD),
        (both(users("old"), option("lvm", "rbd_user", "old"), option(
            "lvm", "volume_driver", "cinder.volume.drivers.rbd.RBDDriver")), OLD),
        (users("somebodys"), {}),
        (lambda cloud: None, OLD),
        (both(users("old"), lambda cloud: cloud[CLOUD].pop("attachments")), OLD),
        (both(users("old"), lambda cloud: cloud["n2"].pop("nova.conf")), OLD),
        # Keys: young ones, ones without a time, of others, and where health says it itself.
        (made(YEARS), {}),
        (made(1_800_000_000), {}),
        (made(9 * YEARS, client="somebodys"), {}),
        (both(prefers("aes256k"), made(YEARS, kind=2)), {}),
        (both(prefers("aes"), made(YEARS)), {}),
        (both(prefers("aes256k"), made(YEARS), health("AUTH_INSECURE_CLIENT_KEY_TYPE")), {}),
        # Secrets: of a user that is there, in use, or called otherwise.
        (a_secret("client.volumes secret"), {}),
        (both(a_secret(GONE), attached("gone")), {}),
        (both(a_secret(GONE), in_a_guest(OTHER)), {}),
        (both(a_secret(GONE), option("theirs", "rbd_secret_uuid", OTHER.upper())), {}),
        (a_secret("their secret"), {}),
        (a_secret("client.gone secret of theirs"), {}),
        (a_secret("west client.gone secret"), {}),
        # Keyrings: of a user that is there, of another cluster, of Ceph's own, of a service.
        (keyring("ceph.client.volumes.keyring"), {}),
        (keyring("west.client.gone.keyring"), {}),
        (keyring("ceph.client.bootstrap-osd.keyring"), {}),
        (keyring("ceph.client.gone.keyring", "ceph01"), {}),
        (both(keyring("ceph.client.gone.keyring"), conf_of(OTHER)), {}),
        (both(keyring("ceph.client.gone.keyring", "ctl"), option("x", "rbd_user", "gone"), option(
            "x", "volume_driver", "cinder.volume.drivers.rbd.RBDDriver")), {}),
        (keyring("ceph.client.go ne.keyring"), {}),
        # Types: of no backend, of one that is there, and where strangers may have it.
        (types(any=""), {}),
        (types(fast="RBD"), {}),
        (both(types(slow="slow"), row("other@slow", up=True)), {}),
        (both(types(slow="slow"), row("other@x")), {}),
        (both(types(slow="slow"), option("DEFAULT", "enabled_backends", "rbd,lvm")), {}),
        # Rows: up, of another host, of a backend that is yet to come, of volumes.
        (row("ctl@slow", up=True), {}),
        (row("other@slow"), {}),
        (row("ctl"), {}),
        (both(row("ctl@slow"), on("ctl@slow#slow")), {}),
        (both(row("ctl@slow"), lambda cloud: cloud[CLOUD].update(left_out={"volumes": 1})), {}),
    ],
)  # fmt: skip
def test_what_is_somebodys_or_cannot_be_known_is_not_said(change, more):
    codes = {one.code for one in found(both(change), site(**more))}
    assert not codes & CODES


def test_a_backend_that_waits_for_integrate_has_its_row_and_type():
    def change(cloud):
        cloud["ctl"]["cinder.conf"] = {**cloud["ctl"]["cinder.conf"], **conf()}
        row("ctl@rbd")(cloud)

    codes = {one.code for one in found(both(change))}
    assert not codes & CODES


def test_a_cluster_that_must_not_be_worked_on_ends_no_look():
    where = site(**OLD)
    seen = looked(both(users("old"), health("OSD_FULL"), attached("old")))
    codes = {one.code for one in checks.findings(where, seen)[0]}
    assert "ceph.OSD_FULL" in codes and "user.unused" not in codes


def test_the_healthy_cloud_has_nothing_left_behind():
    assert found(both()) == []
    assert FSID and KEY


INPUTS = [
    row[:2]
    for row in test_what_was_left_behind_is_a_note_with_the_way_to_settle_it.pytestmark[0].args[1]
]
"""For the walk over every finding."""


def test_the_work_grows_with_the_hosts_and_not_with_their_square(monkeypatch):
    """Every host's options are gone through once, not once for each compute."""
    asked = []
    real = secret_uuid.named
    monkeypatch.setattr(secret_uuid, "named", lambda *given: asked.append(1) or real(*given))
    seen = looked()
    list(hygiene.findings(site(), seen))
    assert len(asked) == 2 * len(seen.facts.hosts)
