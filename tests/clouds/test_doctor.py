"""Clouds that are broken on purpose, one after the other: doctor names the cause and what
mends it, that is run as it stands, and the cloud is healthy again.

docs/doctor.md has a row for each.
"""

import json
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import network, openstack_objects
from tests.lab.conftest import ACCESS, inv, on

pytestmark = pytest.mark.lab
CEPH, CTL, ONE, TWO = "ceph01", "controller01", "compute01", "compute02"
OTHER = "99999999-8888-4777-8666-555555555555"
VOLUMES = "/etc/ceph/ceph.client.volumes.keyring"
CONF = {name: f"/etc/{name}/{name}.conf" for name in ("nova", "cinder")}
CONF["glance"] = "/etc/glance/glance-api.conf"
OLDER = "service.older"
"""The note on a file that was written after its service began: our own sed is enough for it."""
EXPECTED = {OLDER, "volume.default"}
"""The other is the lab's own: volumes of no type go to its old backend."""
ODD = {
    "a-uuid-of-its-own",
    "usage-name-taken",
    "no-secret",
    "no-value",
    "stored-with-plain",
    "the-keys-name",
    "the-word-none",
    "private",
    "rotated-key",
    "keyring-missing",
    "keyring-of-another",
    "nova-against-cinder",
}
"""Clouds of which the truth table of secrets has an odd row, at each host that is named."""


@dataclass(frozen=True)
class Cloud:
    """One broken cloud.

    breaks: {host: a script of root's}.  codes: what doctor must find, and nothing else
    (EXPECTED aside).  host: the one that is broken.  words: what the cause there must say.
    after: takes away what stays when it is mended.  others: further hosts that are named.
    """

    name: str
    breaks: dict
    codes: tuple
    host: str
    words: str
    after: dict | None = None
    others: tuple = ()


def in_section(path, section, line):
    """A script that puts a line at the head of a section."""
    return f"sed -i '0,/^\\[{section}\\]/s//[{section}]\\n{line}/' {path}"


def instead(path, key, value):
    return f"sed -i 's/^{key} = .*/{key} = {value}/' {path}"


UUID = "u=$(virsh -q secret-list | awk '/client.volumes/ {print $1; exit}'); "
VALUE = UUID + "v=$(virsh -q secret-get-value $u); "


def stored(text):
    """A script that stores a text in place of the key, as --plain does."""
    return UUID + f"printf %s '{text}' | virsh -q secret-set-value $u --plain --file /dev/stdin"


def defined(uuid, value=True, **attributes):
    """A script that defines our secret anew, in another way."""
    told = {"ephemeral": "no", "private": "no", **attributes}
    words = " ".join(f'{name}="{text}"' for name, text in told.items())
    xml = (
        f'<secret {words}><uuid>{uuid}</uuid><usage type="ceph">'
        "<name>client.volumes secret</name></usage></secret>"
    )
    script = VALUE + "virsh -q secret-undefine $u; "
    script += f"echo '{xml}' | sed \"s/UUID/$u/\" | virsh -q secret-define /dev/stdin; "
    name = "$u" if uuid == "UUID" else uuid
    put = f'printf %s "$v" | virsh -q secret-set-value {name} --file /dev/stdin'
    return script + (put if value else "true")


def caps(client, **granted):
    words = " ".join(f"{daemon} '{text}'" for daemon, text in granted.items())
    return f"ceph auth caps client.{client} {words} 2>/dev/null"


RIGHT = {
    "volumes": caps(
        "volumes",
        mon="profile rbd",
        mgr="profile rbd pool=volumes",
        osd="profile rbd pool=volumes, profile rbd-read-only pool=images",
    ),
    "images": caps(
        "images",
        mon="profile rbd",
        mgr="profile rbd pool=images",
        osd="profile rbd pool=images, profile rbd-read-only pool=volumes",
    ),
}
ROTATED = (
    "umask 077; cd /root; ceph auth get client.volumes > /root/now 2>/dev/null; "
    "ceph-authtool -g -n client.volumes --create-keyring /root/new >/dev/null; "
    "grep caps /root/now >> /root/new; ceph auth import -i /root/new 2>/dev/null; "
    "rm -f /root/now /root/new"
)
HEALTH = "for i in $(seq 60); do ceph health detail | grep -q {} && break; sleep 1; done"
DEFAULTS = "/etc/default/cinder-volume"

BROKEN = [
    # Libvirt's secrets
    Cloud(
        "a-uuid-of-its-own",
        {TWO: defined(OTHER)},
        ("libvirt.uuid",),
        TWO,
        "a UUID of its own",
        {TWO: f"virsh -q secret-undefine {OTHER}"},
    ),
    Cloud(
        "usage-name-taken",
        {
            TWO: defined(OTHER) + "; " + f"printf %s bm90IG91cnM= | "
            f"virsh -q secret-set-value {OTHER} --file /dev/stdin"
        },
        ("libvirt.uuid",),
        TWO,
        "each usage name once",
        {TWO: f"virsh -q secret-undefine {OTHER}"},
    ),
    Cloud(
        "no-secret",
        {TWO: UUID + "virsh -q secret-undefine $u"},
        ("libvirt.missing",),
        TWO,
        "migrated here is stuck",
    ),
    Cloud(
        "no-value",
        {TWO: defined("UUID", value=False)},
        ("libvirt.value.none",),
        TWO,
        "never got a value",
    ),
    Cloud(
        "stored-with-plain",
        {TWO: VALUE + 'printf %s "$v" | virsh -q secret-set-value $u --plain --file /dev/stdin'},
        ("libvirt.value.plain",),
        TWO,
        "--plain",
    ),
    Cloud(
        "the-keys-name",
        {TWO: stored("client.volumes")},
        ("libvirt.value.name",),
        TWO,
        "the key's name",
    ),
    Cloud(
        "the-word-none",
        {ONE: stored("None"), TWO: stored("None")},
        ("libvirt.value.nothing",),
        ONE,
        "a template's empty value",
        others=(TWO,),
    ),
    Cloud(
        "private",
        {ONE: defined("UUID", private="yes")},
        ("refused.compute.secret",),
        ONE,
        "is private",
    ),
    Cloud(
        "ephemeral",
        {ONE: defined("UUID", ephemeral="yes")},
        ("libvirt.ephemeral",),
        ONE,
        "gone when libvirt restarts",
    ),
    Cloud(
        "rotated-key",
        {CEPH: ROTATED},
        ("libvirt.value.old", "keyring.value"),
        ONE,
        "rotated",
        others=(TWO, CTL),
    ),
    # Keyrings
    Cloud(
        "keyring-missing",
        {CTL: f"mv {VOLUMES} /root/away"},
        ("keyring.missing",),
        CTL,
        "no key to log in",
        {CTL: "rm -f /root/away"},
    ),
    Cloud(
        "keyring-of-another",
        {
            CTL: "sed s/client.images/client.volumes/ "
            f"/etc/ceph/ceph.client.images.keyring > {VOLUMES}"
        },
        ("keyring.value",),
        CTL,
        "the key of client.images",
    ),
    Cloud(
        "keyring-of-root",
        {CTL: f"chown root:root {VOLUMES}; chmod 600 {VOLUMES}"},
        ("keyring.owner",),
        CTL,
        "written as another user",
    ),
    Cloud(
        "keyring-open",
        {CTL: f"chmod 644 {VOLUMES}"},
        ("keyring.mode",),
        CTL,
        "others than its service",
    ),
    Cloud(
        "keyring-without-newline",
        {CTL: f"truncate -s -1 {VOLUMES}"},
        ("keyring.newline",),
        CTL,
        "appended",
    ),
    Cloud(
        "admin-key-on-a-compute",
        {ONE: "umask 077; echo '[client.admin]' > /etc/ceph/ceph.client.admin.keyring"},
        ("keyring.admin",),
        ONE,
        "owns the cluster",
    ),
    # ceph.conf
    Cloud(
        "ceph-conf-0600", {ONE: "chmod 600 /etc/ceph/ceph.conf"}, ("ceph.conf.mode",), ONE, "QEMU"
    ),
    Cloud(
        "ceph-conf-with-tabs",
        {ONE: "sed -i 's/^\\([a-z]\\)/\\t\\1/' /etc/ceph/ceph.conf"},
        ("ceph.conf.tabs",),
        ONE,
        "generate-minimal-conf",
    ),
    Cloud(
        "stale-monitor",
        {ONE: "sed -i 's/^mon_host.*/mon_host = 198.18.53.99/' /etc/ceph/ceph.conf"},
        ("ceph.conf.monitors",),
        ONE,
        "moved",
    ),
    Cloud(
        "another-clusters-conf",
        {TWO: f"sed -i 's/^fsid.*/fsid = {OTHER}/' /etc/ceph/ceph.conf"},
        ("refused.hosts.conf",),
        TWO,
        "another cluster",
        {TWO: "rm -f /etc/ceph/ceph.conf.of-another-cluster"},
    ),
    # The cluster
    Cloud(
        "caps-without-rbd-children",
        {
            CEPH: caps(
                "volumes",
                mon='allow r, allow command "osd blacklist"',
                osd="allow rwx pool=volumes, allow rx pool=images",
            )
        },
        ("user.caps",),
        CEPH,
        "rbd_children",
        {CEPH: RIGHT["volumes"]},
    ),
    Cloud(
        "caps-without-blacklist",
        {CEPH: RIGHT["volumes"].replace("mon 'profile rbd'", "mon 'allow r'")},
        ("user.caps",),
        CEPH,
        "exclusive lock",
        {CEPH: RIGHT["volumes"]},
    ),
    Cloud(
        "caps-too-broad",
        {CEPH: caps("volumes", mon="allow *", osd="allow *", mgr="allow *")},
        ("user.broad",),
        CEPH,
        "owns the whole cluster",
    ),
    Cloud(
        "pool-without-application",
        {CEPH: "ceph osd pool application disable volumes rbd --yes-i-really-mean-it 2>/dev/null"},
        ("pool.application",),
        CEPH,
        "rbd pool init",
    ),
    Cloud("full-ratios", {CEPH: "ceph osd set-full-ratio 0.99"}, ("ceph.ratios",), CEPH, "brim"),
    Cloud(
        "a-flag-left",
        {CEPH: "ceph osd set noout; " + HEALTH.format("noout")},
        ("ceph.OSDMAP_FLAGS",),
        CEPH,
        "left it",
    ),
    Cloud("no-quorum", {CEPH: "systemctl stop 'ceph-mon@*'"}, ("ceph.silent",), CEPH, "quorum"),
    # Options
    Cloud(
        "mixed-users",
        {TWO: instead(CONF["nova"], "rbd_user", "wrong")},
        ("options",),
        TWO,
        "names no user of its own",
    ),
    Cloud(
        "nova-against-cinder",
        {ONE: instead(CONF["nova"], "rbd_secret_uuid", OTHER)},
        ("options",),
        ONE,
        "names no secret of its own",
    ),
    Cloud(
        "upper-case-uuid",
        {CTL: f"sed -i -E 's/^(rbd_secret_uuid = )(.*)$/\\1\\U\\2/' {CONF['cinder']}"},
        ("uuid.upper",),
        CTL,
        "compare text",
    ),
    Cloud(
        "shadowed",
        {ONE: in_section("/etc/nova/nova-compute.conf", "libvirt", "rbd_user = shadow")},
        ("refused.compute.nova",),
        ONE,
        "reads it after",
    ),
    Cloud(
        "dead-option",
        {CTL: in_section(CONF["cinder"], "rbd", "glance_api_version = 2")},
        ("option.glance_api_version",),
        CTL,
        "removed in Queens",
    ),
    Cloud(
        "keyring-option",
        {CTL: in_section(CONF["cinder"], "rbd", "rbd_keyring_conf = x")},
        ("option.rbd_keyring_conf",),
        CTL,
        "OSSN-0085",
    ),
    Cloud(
        "locations-shown",
        {CTL: in_section(CONF["glance"], "DEFAULT", "show_multiple_locations = True")},
        ("option.show_multiple_locations",),
        CTL,
        "OSSN-0065",
    ),
    Cloud(
        "backup-driver",
        {CTL: in_section(CONF["cinder"], "DEFAULT", "backup_driver = cinder.backup.drivers.ceph")},
        ("option.backup_driver", "user.backup"),
        CTL,
        "refuses to start",
        {
            CTL: f"sed -i '/^backup_driver/d' {CONF['cinder']}",
            CEPH: "ceph auth del client.cinder 2>/dev/null",
        },
        (CEPH,),
    ),
    Cloud(
        "files-unread",
        {CTL: instead(CONF["glance"], "enabled_backends", "rbd:rbd")},
        ("glance.files",),
        CTL,
        "cannot be read",
    ),
    Cloud(
        "ceph-args",
        {
            CTL: f"touch {DEFAULTS}; for i in 1 2; do "
            f"echo 'CEPH_ARGS=\"--id volumes\"' >> {DEFAULTS}; done"
        },
        ("ceph.args",),
        CTL,
        "Grizzly",
    ),
    # Hosts
    Cloud(
        "no-rbd-in-qemu",
        {TWO: "dpkg --purge --force-depends qemu-block-extra >/dev/null 2>&1"},
        ("packages.missing",),
        TWO,
        "qemu's rbd driver",
    ),
    Cloud(
        "service-down", {TWO: "systemctl stop nova-compute"}, ("service.down",), TWO, "does not run"
    ),
    Cloud(
        "service-masked",
        {TWO: "systemctl stop nova-compute; systemctl mask nova-compute"},
        ("service.masked",),
        TWO,
        "keeps it from",
    ),
    Cloud(
        "libvirt-down",
        {ONE: "systemctl stop 'libvirtd*.socket' libvirtd"},
        ("libvirt.silent",),
        ONE,
        "no guest starts",
    ),
    Cloud(
        "restart-owed",
        {CTL: "d=/var/lib/stackrbd/pending_restarts; mkdir -p $d; touch $d/cinder-volume"},
        ("restart.owed",),
        CTL,
        "at its start",
    ),
]


def doctor(*words, expect=(0, 3)):
    """What doctor says, as JSON."""
    said = inv("doctor", "--json", *words, expect=expect, timeout=180)
    return json.loads(said.splitlines()[-1])


def findings(document):
    return [one for one in document["findings"] if one["code"] not in EXPECTED]


def healthy(seconds=90):
    """Waits until doctor finds nothing: a cluster takes a while to calm down."""
    until = time.monotonic() + seconds
    while left := findings(doctor()):
        assert time.monotonic() < until, left
        time.sleep(3)


def mend(one):
    """Runs a finding's commands as they stand; words are for people."""
    for step in one["mend"]:
        if step["kind"] == "task":
            inv(*step["run"].split()[1:], "--yes")
        elif step["kind"] == "root":
            for host in step["hosts"]:
                on(host, script=step["run"])
        elif step["kind"] == "here":
            subprocess.run(["sh", "-c", step["run"]], check=True)


@pytest.fixture(scope="module")
def cloud(integrated):
    """The integrated cloud, in which doctor finds nothing."""
    healthy()
    document = doctor(expect=0)
    assert document["healthy"] and findings(document) == []
    assert {row["odd"] for row in document["secrets"]} == {""}
    return document


def test_before_anything_is_integrated(lab):
    document = doctor(expect=0)
    assert [one["code"] for one in document["findings"]] == ["not.integrated"]


@pytest.mark.parametrize("broken", BROKEN, ids=[b.name for b in BROKEN])
def test_each_is_named_and_mended(cloud, broken):
    for host, script in broken.breaks.items():
        on(host, script=script)
    try:
        document = doctor()
        found = findings(document)
        for one in found:
            mend(one)
        healthy()
    except AssertionError:
        inv("lab.reset", timeout=600)  # the next cloud is broken in its own way alone
        inv("integrate", "--yes")
        raise
    finally:
        for host, script in (broken.after or {}).items():
            on(host, script=script)
    inv("integrate", "--check")
    if broken.after:
        healthy()
    # Once all is as before.
    assert {one["code"] for one in found} == set(broken.codes), found
    named = {broken.host, *broken.others}
    assert {host for one in found for host in one["hosts"]} == named, found
    assert any(broken.host in one["hosts"] and broken.words in one["cause"] for one in found)
    assert all(one["found"] and one["expected"] for one in found)
    for one in found:
        assert {step["kind"] for step in one["mend"]} - {"words"}, one
    odd = {host for row in document["secrets"] if row["odd"] for host in row["hosts"]}
    assert odd == (named if broken.name in ODD else set()), document["secrets"]


def test_a_password_file_that_others_may_read(cloud):
    path = ACCESS / "clouds.yaml"
    path.chmod(0o644)
    (one,) = findings(doctor(expect=3))
    assert one["code"] == "here.private"
    mend(one)
    assert path.stat().st_mode & 0o777 == 0o600
    healthy()


def test_a_host_that_is_cut_off_is_a_finding_and_the_others_are_looked_at(cloud):
    on(ONE, script=stored("None"))
    subprocess.run(["ip", "link", "set", network.link_of(TWO), "down"], check=True)
    try:
        found = {one["code"]: one for one in findings(doctor(expect=4))}
    finally:
        subprocess.run(["ip", "link", "set", network.link_of(TWO), "up"], check=True)
    assert found["host.unreachable"]["hosts"] == [TWO]
    assert found["libvirt.value.nothing"]["hosts"] == [ONE]
    mend(found["libvirt.value.nothing"])
    healthy()


PYTHON = "/usr/local/bin/python3"  # comes first in sudo's path
AHEAD = '#!/bin/sh\\nFAKETIME=+120s LD_PRELOAD=/root/faketime.so exec /usr/bin/python3 "$@"\\n'


def test_a_clock_that_is_two_minutes_ahead(cloud, tmp_path):
    """libfaketime, for what asks that host for its time; without it: tests/unit/test_doctor.py.

    Not for all of its programs: sshd's sandbox does not live with it.
    """
    packages = [*Path("/var/cache/apt/archives").glob("libfaketime_*.deb")]
    if not packages and shutil.which("apt-get"):
        subprocess.run(["apt-get", "-q", "download", "libfaketime"], cwd=tmp_path, check=False)
        packages = [*tmp_path.glob("libfaketime_*.deb")]
    if not packages:
        pytest.skip("libfaketime is neither in apt's cache nor to be fetched from here")
    subprocess.run(["dpkg-deb", "-x", packages[0], tmp_path / "x"], check=True)
    (library,) = (tmp_path / "x").rglob("libfaketime.so.1")
    copied = subprocess.run(
        [
            "ssh",
            "-F",
            ACCESS / "ssh_config",
            "-o",
            "BatchMode=yes",
            f"root@{TWO}",
            "cat > /root/faketime.so",
        ],
        input=library.read_bytes(),
        check=False,
    )
    assert copied.returncode == 0
    on(TWO, script=f"printf '{AHEAD}' > {PYTHON}; chmod 755 {PYTHON}")
    try:
        found = findings(doctor(expect=3))
    finally:
        on(TWO, script=f"rm -f {PYTHON} /root/faketime.so")
    (one,) = found
    assert (one["code"], one["severity"], one["hosts"]) == ("clock", "error", [TWO])
    assert re.fullmatch(r"about \+1(19|20|21) s against ceph01", one["found"])
    assert "timesyncd" in one["mend"][0]["run"]  # the hosts' one clock is the machine's
    healthy()


def test_what_is_odd_is_shown_where_people_look(cloud):
    on(TWO, script=stored("client.volumes"))
    shown = inv("doctor", expect=3)
    assert "Who holds which secret:" in shown and "<- another value" in shown
    assert "mend     inv compute.secret --limit compute02" in shown
    told = inv("status")
    for words in (
        "controller01",
        "monolithic on compute01, compute02",
        "HEALTH_OK",
        "last run",
        "1 change on compute02",
    ):
        assert words in told
    inv("compute.secret", "--yes")
    healthy()


def test_two_computes_that_disagree_where_nothing_says_who_is_right(cloud, site):
    """The one that a person must decide: the site file's setting mends it."""
    uuid = on(ONE, script=UUID + "echo $u").strip()
    for host in (ONE, TWO):
        on(host, script=f"sed -i '/^rbd_secret_uuid/d;/^rbd_user/d' {CONF['nova']}")
    on(CTL, script=f"sed -i '/^rbd_secret_uuid/d' {CONF['cinder']}")
    on(TWO, script=defined(OTHER))
    one = next(one for one in findings(doctor(expect=3)) if one["code"] == "identity")
    assert uuid in one["found"] and OTHER in one["found"]
    assert "set clients.volumes.secret_uuid" in one["mend"][0]["run"]
    old = 'volumes = { rwx = ["volumes"], rx = ["images"] }'
    words = site((old, old.replace("}", f', secret_uuid = "{uuid}" }}')))
    inv("integrate", "--yes", *words)
    on(TWO, script=f"virsh -q secret-undefine {OTHER}")
    healthy()


def test_volumes_of_a_backend_that_was_renamed(cloud, site):
    """The last: it leaves the cloud with another backend."""
    with openstack_objects.connected(ACCESS / "clouds.yaml") as api:
        storage = api.block_storage
        volume = storage.create_volume(name="of-the-old", size=1, volume_type="rbd")
        storage.wait_for_status(volume, "available", failures=["error"], interval=1, wait=120)
    words = site(
        ('backend = "rbd"', 'backend = "ceph"'), ('volume_type = "rbd"', 'volume_type = "ceph"')
    )
    inv("integrate", "--yes", *words)
    listed = "sed -i 's/^enabled_backends = .*/enabled_backends = nfs,ceph/' "
    on(CTL, script=f"{listed} {CONF['cinder']}; systemctl restart cinder-volume")
    orphans, until = [], time.monotonic() + 150
    while not orphans and time.monotonic() < until:  # Cinder calls a service down after 60 s
        time.sleep(5)
        found = findings(doctor(*words))
        orphans = [one for one in found if one["code"] == "cinder.orphans"]
    (one,) = orphans
    assert one["thing"] == "controller01@rbd#rbd" and one["severity"] == "error"
    (step,) = one["mend"]
    assert step["run"] == (
        "runuser -u cinder -- cinder-manage volume update_host "
        "--currenthost 'controller01@rbd#rbd' "
        "--newhost 'controller01@ceph#ceph'"
    )
    mend(one)
    assert findings(doctor(*words, expect=0)) == []
    with openstack_objects.connected(ACCESS / "clouds.yaml") as api:
        api.block_storage.delete_volume(volume)
        api.block_storage.wait_for_delete(volume, interval=1, wait=120)
