"""From a cloud that is broken in one place to the one finding that names it."""

import base64
import inspect
import json

import pytest

from fabfile import namespace
from fabfile.core.answers import fits
from fabfile.core.contract import (
    CLOUD,
    BadInput,
    Change,
    Facts,
    Failed,
    LoginRefused,
    NeedsPassword,
    NoAgent,
    NoPython,
    NoSession,
    Secret,
    SudoRefused,
    Unbelieved,
    UnknownHostKey,
    UnknownName,
    Unreachable,
    WrongHostKey,
)
from fabfile.core.remote import reads
from fabfile.doctor import backends, checks, diagnosis
from fabfile.doctor import hosts as machines
from fabfile.doctor.finding import ERROR, NOTE, WARNING, commands, folded, healthy
from fabfile.flow import gather
from fabfile.model.advice import shown
from fabfile.model.releases import Other
from fabfile.resources import backup_tools, chain, domains
from fabfile.resources.sed import setting, without

from . import clouds
from .clouds import IMAGES, INSTANCE, MONITOR, VOLUME, altered, disk_xml, found, looked, said
from .states import FSID, KEY, OTHER, answer, conf, file, secret, site, sources

COMPUTES = ("n1", "n2")


def fingerprint(text):
    return Secret(text).fingerprint


def test_a_healthy_cloud_yields_nothing():
    assert found() == []


def test_the_healthy_cloud_answers_exactly_what_is_asked():
    for name, seen in clouds.hosts().items():
        asked = {r.id: r.verb for r in gather.questions(site(), checks.STAGES, site().host(name))}
        assert set(seen) == set(asked), name
        assert {i for i, verb in asked.items() if not fits(verb, seen[i])} == set(), name


def test_every_question_is_one_that_a_host_understands():
    for host in site().all_hosts():
        for read in gather.questions(site(), checks.STAGES, host):
            inspect.signature(reads.READS[read.verb]).bind(**json.loads(json.dumps(read.args)))


def test_every_cause_is_of_a_task_of_the_chain():
    assert set(diagnosis.WHY) <= {resource.task for resource in chain.RESOURCES}


def test_what_the_chain_says_mends_it_is_a_task_that_can_be_typed():
    assert {resource.task for resource in chain.RESOURCES} <= set(namespace().task_names)


# What resources find: the cause and the task


def the_one(change, **more):
    (one,) = found(change, **more)
    return one


def ran(one, site_words=""):
    return [(c["run"], c["hosts"]) for c in commands(one, site(), site_words)]


def value(cloud, text, peeled="", host="n2"):
    """libvirt's value as its fingerprint says it."""
    cloud[host]["libvirt.secrets"] = secret(FSID, value=text)
    cloud[host]["libvirt.secrets"][FSID]["value"]["peeled"] = peeled


def lenient(name):
    """What libvirt answers for a name that it took for base64."""
    kept = name.replace(".", "")
    return base64.b64encode(base64.b64decode(kept[: len(kept) // 4 * 4])).decode()


SECRET_ON_N2 = [("inv compute.secret --limit n2", [])]


@pytest.mark.parametrize(
    "change, code",
    [
        (lambda c: value(c, fingerprint("QVE="), peeled=KEY), "libvirt.value.plain"),
        (lambda c: value(c, fingerprint("x"), fingerprint("client.volumes")), "libvirt.value.name"),
        (lambda c: value(c, fingerprint(lenient("client.volumes"))), "libvirt.value.name"),
        (lambda c: value(c, fingerprint("None")), "libvirt.value.nothing"),
        (lambda c: value(c, fingerprint("x"), fingerprint("None")), "libvirt.value.nothing"),
        (lambda c: value(c, IMAGES), "libvirt.value.other"),
        (lambda c: value(c, fingerprint("a key of old")), "libvirt.value.old"),
        (lambda c: value(c, None), "libvirt.value.none"),
        (lambda c: c["n2"].update({"libvirt.secrets": {}}), "libvirt.missing"),
        (lambda c: c["n2"].update({"libvirt.secrets": secret(OTHER)}), "libvirt.uuid"),
    ],
)
def test_secrets(change, code):
    one = the_one(change)
    assert (one.severity, one.code, one.hosts) == (ERROR, code, ("n2",))
    assert ran(one) == SECRET_ON_N2


def test_a_rotated_key_is_found_in_every_place():
    def rotated(cloud):
        new = fingerprint("new")
        altered(cloud, "ceph01", "ceph.users", lambda d: d["auth_dump"][0].update(key=new))

    by_code = {one.code: one for one in found(rotated)}
    assert set(by_code) == {"libvirt.value.old", "keyring.value"}
    assert by_code["libvirt.value.old"].hosts == COMPUTES
    assert ran(by_code["libvirt.value.old"]) == [("inv compute.secret --limit compute", [])]
    assert ran(by_code["keyring.value"], " --site s.toml") == [
        ("inv ceph.keyrings --site s.toml --limit ctl", []),
        ("inv services.restart --site s.toml --limit ctl", []),
    ]
    assert "rotated" in by_code["keyring.value"].cause


def keyring(text=None, owner="cinder", mode="0640"):
    def change(cloud):
        kept = cloud["ctl"]["keyring.volumes"]["text"]
        cloud["ctl"]["keyring.volumes"] = file(text or kept, owner, mode)

    return change


def caps(**altered_caps):
    def change(document):
        document["auth_dump"][0]["caps"].update(altered_caps)

    return lambda cloud: altered(cloud, "ceph01", "ceph.users", change)


def capless(cloud):
    """A user whose caps nobody ever set: Ceph lists none."""
    altered(cloud, "ceph01", "ceph.users", lambda document: document["auth_dump"][0].pop("caps"))


def confined(**of):
    """A denial on the controller."""
    one = {"by": "selinux", "does": "read", "who": "glance_api_t", "kind": "file", "comm": "x"}
    row = {**one, "permitted": False, "last": 1.0, **of}
    return lambda c: c["ctl"]["confinement"].update(selinux="enforcing", denials=[row])


def ceph_conf(text=clouds.CEPH_CONF, mode="0644", host="n1"):
    return lambda cloud: cloud[host].update({"ceph.conf": file(text, mode=mode)})


def an_option(service, section, key, text, host="ctl"):
    """One option more, or another value."""

    def change(cloud):
        seen = cloud[host][f"{service}.conf"]
        rest = [line for line in seen["active"] if line[:2] != [section, key]]
        seen["active"] = [*rest, *([[section, key, text]] if text is not None else [])]

    return change


def in_pools(**altered_pool):
    def change(document):
        document[0].update(altered_pool)

    return lambda cloud: altered(cloud, "ceph01", "ceph.pools", change)


def no_image_pool(cloud):
    altered(cloud, "ceph01", "ceph.pools", lambda pools: pools.pop())


def later(cloud):
    after = {"/etc/nova/x.conf": [["libvirt", "rbd_user", "odd"]]}
    cloud["n1"]["nova.sources"] = sources("nova", after)


def owed(cloud):
    cloud["ctl"]["pending_restarts"] = ["cinder-volume"]


def lacks(package):
    return lambda cloud: cloud["n1"]["packages"].update({package: None})


ON_CTL = " --limit ctl"
RESTARTED = f"inv services.restart{ON_CTL}"


@pytest.mark.parametrize(
    "change, severity, code, mend",
    [
        (keyring(owner="root"), ERROR, "keyring.owner", [f"inv ceph.keyrings{ON_CTL}"]),
        (keyring(mode="0644"), WARNING, "keyring.mode", [f"inv ceph.keyrings{ON_CTL}"]),
        (
            keyring("[client.odd]\nkey = x\n"),
            ERROR,
            "keyring.section",
            [f"inv ceph.keyrings{ON_CTL}", RESTARTED],
        ),
        (
            lambda c: c["ctl"].update({"keyring.volumes": None}),
            ERROR,
            "keyring.missing",
            [f"inv ceph.keyrings{ON_CTL}", RESTARTED],
        ),
        (ceph_conf(mode="0600"), ERROR, "ceph.conf.mode", ["inv hosts.conf --limit n1"]),
        (
            lambda c: c["n1"].update({"ceph.conf": None}),
            ERROR,
            "ceph.conf.missing",
            ["inv hosts.conf --limit n1"],
        ),
        (
            ceph_conf(clouds.CEPH_CONF.replace(MONITOR, "10.9.9.9")),
            ERROR,
            "ceph.conf.monitors",
            ["inv hosts.conf --limit n1"],
        ),
        (
            ceph_conf(clouds.CEPH_CONF.replace(MONITOR, f"10.9.9.9,{MONITOR}")),
            WARNING,
            "ceph.conf.monitors",
            ["inv hosts.conf --limit n1"],
        ),
        (
            caps(osd="allow rwx pool=volumes, allow rx pool=images"),
            ERROR,
            "user.caps",
            ["inv ceph.auth"],
        ),
        (caps(mgr=""), WARNING, "user.caps", ["inv ceph.auth"]),
        (in_pools(application_metadata={}), WARNING, "pool.application", ["inv ceph.pools"]),
        (no_image_pool, ERROR, "pool.missing", ["inv ceph.pools"]),
        (lacks("qemu-block-extra"), ERROR, "packages.missing", ["inv hosts.packages --limit n1"]),
        (
            an_option("cinder", "rbd", "rbd_secret_uuid", None),
            ERROR,
            "options",
            [f"inv controller.cinder{ON_CTL}", RESTARTED],
        ),
        (
            an_option("glance", "DEFAULT", "show_image_direct_url", None),
            NOTE,
            "options",
            [f"inv controller.glance{ON_CTL}", RESTARTED],
        ),
        (
            an_option("nova", "libvirt", "rbd_user", "odd", "n1"),
            WARNING,
            "options",
            ["inv compute.nova --limit n1", "inv services.restart --limit n1"],
        ),
        (owed, WARNING, "restart.owed", [RESTARTED]),
        (
            lambda c: c[CLOUD].update(volume_types={}),
            NOTE,
            "volume.type",
            ["inv controller.cinder"],
        ),
    ],
)
def test_what_the_resources_find(change, severity, code, mend):
    one = the_one(change)
    assert (one.severity, one.code) == (severity, code)
    assert [command for command, _ in ran(one)] == mend
    assert one.found and one.expected and one.cause


@pytest.mark.parametrize(
    "change, words",
    [
        (caps(osd="allow rwx pool=volumes, allow rx pool=images"), "rbd_children"),
        (caps(mon="allow r"), "exclusive lock"),
        (caps(osd="profile rbd pool=volumes"), "pool images cannot be read"),
        (caps(osd="profile rbd-read-only pool=images"), "pool volumes cannot be written"),
        (capless, "pool volumes cannot be written"),
        (lacks("qemu-block-extra"), "qemu's rbd driver"),
        (ceph_conf(mode="0600"), "QEMU"),
        (keyring(f"[client.volumes]\nkey = {IMAGES}\n"), "the key of client.images"),
    ],
)
def test_the_cause_is_in_the_fields_words(change, words):
    assert words in the_one(change).cause


# What resources refuse: their sentence, and the way on


def test_a_shadowed_option_is_taken_out_and_the_task_goes_on():
    one = the_one(later)
    assert (one.code, one.hosts) == ("refused.compute.nova", ("n1",))
    assert (one.thing, one.found) == ("/etc/nova/x.conf", "[libvirt] rbd_user = odd")
    assert one.cause.startswith("the service reads it after")
    assert ran(one) == [
        (shown(without("/etc/nova/x.conf", "libvirt", "rbd_user")), ["n1"]),
        ("inv compute.nova --limit n1", []),
        ("inv services.restart --all --limit n1", []),
    ]


def test_a_private_secret_hides_no_other_host():
    def change(cloud):
        cloud["n1"]["libvirt.secrets"] = secret(FSID, private="yes")
        cloud["n2"]["libvirt.secrets"] = {}

    by_code = {one.code: one for one in found(change)}
    assert set(by_code) == {"refused.compute.secret", "libvirt.missing"}
    assert ran(by_code["refused.compute.secret"]) == [
        (f"virsh secret-undefine {FSID}", ["n1"]),
        ("inv compute.secret --limit n1", []),
    ]


def test_another_clusters_ceph_conf():
    one = the_one(ceph_conf(clouds.CEPH_CONF.replace(FSID, OTHER)))
    assert (one.code, one.hosts) == ("refused.hosts.conf", ("n1",))
    assert ran(one)[0] == ("mv /etc/ceph/ceph.conf /etc/ceph/ceph.conf.of-another-cluster", ["n1"])


def test_a_pool_of_another_kind_says_what_the_resource_says():
    one = the_one(in_pools(application_metadata={"cephfs": {}}))
    assert one.code == "refused.ceph.pools"
    assert (one.expected, one.found) == ("a pool for rbd", "one for cephfs")


def test_a_cloud_without_rbd_is_one_note():
    def change(cloud):
        altered(cloud, "ceph01", "ceph.users", lambda d: d["auth_dump"].clear())
        cloud["ctl"].update({"cinder.conf": conf(), "glance.conf": conf()})
        for name in COMPUTES:
            cloud[name].update({"nova.conf": conf(), "libvirt.secrets": {}, "domains": {}})
        cloud[CLOUD].update(volumes=[], attachments=[])

    one = the_one(change)
    assert (one.severity, one.code) == (NOTE, "not.integrated")
    assert ran(one) == [("inv integrate", [])]


def test_a_host_of_records_without_their_tools():
    recipient = "age1" + "q" * 58
    kept = site(backup={"recipients": [recipient]})

    def change(cloud):
        tools = dict.fromkeys([*backup_tools.PACKAGES, *backup_tools.TOOLS])
        cloud["ctl"]["packages.records"] = tools

    (one,) = [f for f in found(change, kept) if f.code == "packages.records"]
    assert (one.severity, one.hosts) == (WARNING, ("ctl",))
    assert ran(one) == [("inv backup.tools --limit ctl", [])]


@pytest.mark.parametrize("version", ["ceph version Development (no_version)", "odd"])
def test_a_ceph_of_no_number_is_said_once_and_the_rest_is_looked_at(version):
    def change(cloud):
        cloud["ceph01"]["ceph.version"] = answer({"version": version})
        cloud["ceph01"]["ceph.versions"] = answer({"mon": {version: 1}, "overall": {version: 1}})
        backup(cloud)
        in_pools(size=1)(cloud)

    by_code = {one.code: one for one in found(change)}
    assert set(by_code) == {"refused.ceph.pools", "pool.size"}
    assert version in by_code["refused.ceph.pools"].found


OTHERS = {"newer": NOTE, "mixed": NOTE, "stale": WARNING}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_release_that_is_another_one_than_counts(kind):
    one = the_one(lambda cloud: None, other_release=Other(kind, "OpenStack Nova 35 is newer"))
    assert (one.severity, one.code, one.hosts) == (OTHERS[kind], f"release.{kind}", ())
    assert one.found == "OpenStack Nova 35 is newer" and one.expected == "zed" and one.mend


def of_ceph(number):
    def change(cloud):
        version = f"ceph version {number} (abc) vampyropod (dev)"
        cloud["ceph01"]["ceph.version"] = answer({"version": version})
        cloud["ceph01"]["ceph.versions"] = answer({"mon": {version: 3}, "overall": {version: 3}})

    return change


def test_a_ceph_that_is_newer_than_all_that_are_known():
    (one,) = [f for f in found(of_ceph("22.0.0")) if f.code == "ceph.newer"]
    assert (one.severity, one.hosts, one.expected) == (NOTE, ("ceph01",), "umbrella")


def test_another_cloud_behind_the_names_is_said_once():
    said_by = [one.code for one in found(site_=site(fsid=OTHER))]
    assert said_by == ["refused.ceph.pools"]


# What no resource knows


def health(code, severity="HEALTH_WARN", said="it is so"):
    check = {"severity": severity, "summary": {"message": said}}
    return lambda c: c["ceph01"].update({"ceph.health": answer({"checks": {code: check}})})


def monitors(cloud):
    both = [{"rank": n, "name": f"m{n}", "addr": f"10.0.0.{n + 1}:6789/0"} for n in (0, 1)]
    cloud["ceph01"]["ceph.monmap"] = answer({"fsid": FSID, "mons": both, "quorum": [0]})
    for name in ("ctl", *COMPUTES):
        text = clouds.CEPH_CONF.replace(":6789", ":6789,10.0.0.2:6789")
        cloud[name]["ceph.conf"] = file(text)


def ratios(cloud):
    cloud["ceph01"]["ceph.ratios"] = said(
        '"full_ratio":0.99\n"backfillfull_ratio":0.9\n"nearfull_ratio":0.85'
    )


def disk(free, inodes=10**6):
    return lambda c: c["n1"].update(disk={"/": [free, 10**10, inodes, 10**6]})


def unit(host="ctl", name="cinder-volume", **state):
    return lambda cloud: cloud[host]["units"][name].update(state)


def newer(cloud):
    cloud["ctl"]["cinder.conf"]["mtime"] = clouds.BEGAN + 60


def daemons(**states):
    return lambda cloud: cloud["n1"].update({"libvirt.daemons": clouds.daemons(**states)})


def backup(cloud):
    for key, text in (
        ("backup_driver", "cinder.backup.drivers.ceph.CephBackupDriver"),
        ("backup_ceph_user", "backups"),
    ):
        an_option("cinder", "DEFAULT", key, text)(cloud)


def guest(**more):
    return lambda c: c["n1"].update(domains={INSTANCE: {"disks": said(disk_xml(**more))}})


def guests(looked_at, running):
    """A compute with so many guests; one that is gone since then is none that was left out."""

    def change(cloud):
        names = [f"d-{n}" for n in range(running)]
        cloud["n1"]["guests"] = said("\n".join(names))
        cloud["n1"]["domains"] = {n: {"disks": said(disk_xml())} for n in names[:looked_at]}

    return change


def both(*changes):
    return lambda cloud: [change(cloud) for change in changes]


@pytest.mark.parametrize("since", ["", "9" * 5000, "\u00b2", "\u0663", "1e9", "x"])
def test_a_service_that_began_nobody_knows_when_is_not_called_older(since):
    change = both(newer, unit(ActiveEnterTimestampMonotonic=since))
    assert "service.older" not in {one.code for one in found(change)}


def attached(**more):
    return lambda cloud: cloud[CLOUD]["attachments"][0].update(more)


def versions(cloud):
    kinds = {f"ceph version {v} (x) name (stable)": 1 for v in ("16.2.15", "16.2.14")}
    cloud["ceph01"]["ceph.versions"] = answer({"mon": kinds, "overall": kinds})


def new_keys(cloud):
    """Keys of type 2, which librados refuses before 20.2.4."""
    head = base64.b64encode(b"\2\0" + clouds.MADE.to_bytes(4, "little")).decode()
    cloud["ceph01"]["ceph.kinds"] = said(f'"entity":"client.volumes"\n"key":"{head}')


def ephemeral_secret(cloud):
    xml = cloud["n1"]["libvirt.secrets"][FSID]["xml"]
    xml["out"] = xml["out"].replace("ephemeral='no'", "ephemeral='yes'")


def no_file_store(cloud):
    an_option("glance", "DEFAULT", "enabled_backends", "rbd:rbd")(cloud)


@pytest.mark.parametrize(
    "change, severity, code, mend",
    [
        (health("MON_CLOCK_SKEW"), ERROR, "ceph.MON_CLOCK_SKEW", "compare the clocks"),
        (health("OSD_FULL", "HEALTH_ERR"), ERROR, "ceph.OSD_FULL", "ceph osd df"),
        (
            health("OSDMAP_FLAGS", said="noout,noscrub flag(s) set"),
            WARNING,
            "ceph.OSDMAP_FLAGS",
            "ceph osd unset noout ceph osd unset noscrub",
        ),
        (
            health("OSD_UPGRADE_FINISHED"),
            WARNING,
            "ceph.OSD_UPGRADE_FINISHED",
            "cannot be taken back",
        ),
        (health("DAEMON_OLD_VERSION"), WARNING, "ceph.DAEMON_OLD_VERSION", "monitors, managers"),
        (health("NOT_KNOWN_HERE"), NOTE, "ceph.NOT_KNOWN_HERE", "ceph health detail"),
        (health("NOT_KNOWN_HERE", "HEALTH_ERR"), ERROR, "ceph.NOT_KNOWN_HERE", "ceph health"),
        (monitors, WARNING, "ceph.quorum", "see on its own host why mon.m1"),
        (ratios, WARNING, "ceph.ratios", "ceph osd set-full-ratio 0.95"),
        (in_pools(size=1), WARNING, "pool.size", "ceph osd df tree"),
        (in_pools(min_size=1), WARNING, "pool.min_size", "set volumes min_size 2"),
        (in_pools(pg_num=48, pg_autoscale_mode="off"), NOTE, "pool.pg_num", "pg_num 64"),
        (caps(mon="allow *"), WARNING, "user.broad", "ceph auth caps client.volumes mgr"),
        (backup, ERROR, "user.backup", "ceph auth add client.backups mgr"),
        (disk(10**8), WARNING, "disk", "du -xhd1 /"),
        (disk(10**6), ERROR, "disk", "du -xhd1 /"),
        (disk(10**10, inodes=5), ERROR, "disk", "du -xhd1 /"),
        (unit(ActiveState="failed"), ERROR, "service.down", "services.restart --all"),
        (unit(LoadState="masked"), ERROR, "service.masked", "systemctl unmask cinder-volume"),
        (unit(LoadState="not-found"), ERROR, "service.absent", "install it"),
        (newer, NOTE, "service.older", "inv services.restart --all --limit ctl"),
        (
            daemons(
                libvirtd__socket="active", virtqemud__socket="active", virtsecretd__socket="active"
            ),
            ERROR,
            "libvirt.both",
            "which of the two libvirt daemons",
        ),
        (
            daemons(virtqemud__socket="active", virtsecretd__socket="inactive"),
            ERROR,
            "libvirt.virtsecretd",
            "virtsecretd.socket",
        ),
        (lambda c: c["n1"]["packages"].update(librbd1="17.2.7"), WARNING, "library.mixed", "apt"),
        (
            lambda c: c["n1"]["packages"].update(librbd1="12.2.1", librados2="12.2.1"),
            WARNING,
            "library.old",
            "apt",
        ),
        (new_keys, ERROR, "library.aes256k", "--only-upgrade -y librados2"),
        (lambda c: c["n1"]["host"].update(sudo_keeps=["log_output"]), ERROR, "sudo.log", "!log"),
        (ceph_conf(clouds.CEPH_CONF.replace("fsid", "\tfsid")), NOTE, "ceph.conf.tabs", "sed -i"),
        (
            confined(what="6789", kind="tcp_socket", does="name_connect"),
            ERROR,
            "selinux.denied",
            "setsebool -P glance_api_can_network on",
        ),
        (confined(what="ceph.conf", who="svirt_t"), ERROR, "selinux.denied", "audit2why"),
        (confined(what="/run/ceph", permitted=True), NOTE, "selinux.denied", "openstack-selinux"),
        (
            confined(by="apparmor", who=f"libvirt-{OTHER}", what="/run/ceph/a.asok", does="wr"),
            WARNING,
            "apparmor.denied",
            "/run/ceph/** wr,' to /etc/apparmor.d/local/abstractions/libvirt-qemu",
        ),
        (
            lambda c: c["ctl"]["confinement"].update(
                labels=[{"path": "/etc/ceph/ceph.conf", "is": "u:o:tmp_t", "should": "u:o:etc_t"}]
            ),
            WARNING,
            "selinux.label",
            "restorecon -v /etc/ceph/ceph.conf",
        ),
        (
            ceph_conf(f"{clouds.CEPH_CONF}[client.volumes]\nkey = {KEY}\n", host="ctl"),
            WARNING,
            "ceph.conf.key",
            "sed -i",
        ),
        (keyring(f"[client.volumes]\n\tkey = {KEY}"), NOTE, "keyring.newline", "sed -i '$a\\'"),
        (
            lambda c: c["n1"].update(
                {"ceph.keyrings": said("ceph.client.admin.keyring 600 root root\n")}
            ),
            WARNING,
            "keyring.admin",
            "rm /etc",
        ),
        (
            lambda c: c["ctl"].update(
                {"ceph.keyrings": said("ceph.client.odd.keyring 644 root root\n")}
            ),
            WARNING,
            "keyring.open",
            "which programs of that host read it",
        ),
        (
            lambda c: c["ctl"].update(
                {"ceph.keyrings": said("ceph.client.odd.keyring 644 gnocchi gnocchi\n")}
            ),
            WARNING,
            "keyring.open",
            "chmod o= /etc/ceph/ceph.client.odd.keyring",
        ),
        (an_option("cinder", "rbd", "rbd_secret_uuid", FSID.upper()), NOTE, "uuid.upper", FSID),
        (
            an_option("cinder", "rbd", "glance_api_version", "2"),
            NOTE,
            "option.glance_api_version",
            "sed -i",
        ),
        (
            an_option("cinder", "DEFAULT", "backup_driver", "cinder.backup.drivers.ceph"),
            ERROR,
            "option.backup_driver",
            "CephBackupDriver",
        ),
        (
            an_option("cinder", "rbd", "rbd_keyring_conf", "/etc/ceph/x"),
            NOTE,
            "option.rbd_keyring_conf",
            "sed -i",
        ),
        (
            an_option("nova", "libvirt", "live_migration_flag", "X", "n1"),
            NOTE,
            "option.live_migration_flag",
            "sed -i",
        ),
        (
            an_option("glance", "DEFAULT", "show_multiple_locations", "True"),
            WARNING,
            "option.show_multiple_locations",
            "sed -i",
        ),
        (no_file_store, WARNING, "glance.files", "file:file"),
        (
            lambda c: c["ctl"].update({"cinder.defaults": said("1:CEPH_ARGS=x\n2:CEPH_ARGS=x\n")}),
            NOTE,
            "ceph.args",
            "/CEPH_ARGS/d",
        ),
        (versions, NOTE, "ceph.versions", "ceph versions"),
        (ephemeral_secret, WARNING, "libvirt.ephemeral", "secret-undefine"),
        (guest(uuid=OTHER), WARNING, "guest.uuid", f"openstack server reboot --hard {INSTANCE}"),
        (
            both(guest(monitors=("10.9.9.9",)), lambda c: c[CLOUD].update(attachments=[])),
            WARNING,
            "guest.monitors",
            f"ceph.mons --hard-reboot {INSTANCE}",
        ),
        (
            attached(uuid=OTHER),
            WARNING,
            "attachment.uuid",
            f"volume_attachment refresh {INSTANCE} {VOLUME}",
        ),
        (guests(64, 70), NOTE, "guests.left.out", "virsh dumpxml"),
        (
            lambda c: c[CLOUD].update(left_out={"volumes": 5000}),
            NOTE,
            "volumes.left.out",
            "openstack volume list",
        ),
        (
            lambda c: c[CLOUD].update(left_out={"attachments": 5000}),
            NOTE,
            "attachments.left.out",
            "volume attachment list",
        ),
        (
            attached(monitors=["10.9.9.9"]),
            WARNING,
            "attachment.monitors",
            f"--hard-reboot {INSTANCE}",
        ),
    ],
)
def test_what_no_resource_knows(change, severity, code, mend):
    mine = [one for one in found(change) if one.code == code]
    assert len(mine) == 1, found(change)
    assert mine[0].severity == severity
    assert mend in " ".join(command for command, _ in ran(mine[0]))


def not_raw(images_type):
    """17: images that are not raw, which is a fault with disks on RBD alone."""

    def change(cloud):
        an_option("nova", "DEFAULT", "force_raw_images", "False", "n1")(cloud)
        an_option("nova", "libvirt", "images_type", images_type, "n1")(cloud)

    return change


def test_images_that_are_not_raw_are_a_fault_with_disks_on_rbd():
    (one,) = [f for f in found(not_raw("rbd")) if f.code == "option.force_raw_images"]
    assert one.severity == ERROR


@pytest.mark.parametrize(
    "change",
    [
        guest(monitors=("10.9.9.9", MONITOR)),
        guest(monitors=("10.9.9.9",)),  # its attachment is up to date
        guest(image="elsewhere/x", uuid=OTHER),
        attached(user="somebody", uuid=OTHER),
        guests(64, 64),
        guests(3, 4),
        in_pools(pg_num=48),
        health("POOL_NO_REDUNDANCY"),
        unit(ActiveState="activating"),
        keyring('[client.volumes]\n\tkey = "' + KEY + '"\n'),
        ceph_conf(clouds.CEPH_CONF.replace("[global]\n", "[global]\n\t# a note\n")),
        an_option("nova", "DEFAULT", "force_raw_images", "False", "n1"),
        *(not_raw(kind) for kind in ("qcow2", "flat", "raw", "lvm", "ploop", "default", "", "RBD")),
        an_option("cinder", "DEFAULT", "backup_driver", "cinder.backup.drivers.nfs.NFSBackup"),
        daemons(virtqemud__service="active", virtsecretd__socket="active"),
        lambda c: c["n1"]["libvirt.secrets"].update(secret(OTHER, "somebody else's", "x")),
        lambda c: c["n1"]["libvirt.secrets"].update(secret(OTHER)),
        lambda c: c["ctl"].update({"cinder.defaults": said("1:#CEPH_ARGS=x\n")}),
        confined(what="/etc/shadow"),
        confined(what="ceph.conf", who="sshd_t"),
        confined(what="3306", kind="tcp_socket", does="name_connect"),
        confined(what="6789", kind="file"),
        confined(by="apparmor", who="/usr/sbin/tcpdump", what="/etc/ceph/ceph.conf"),
    ],
)
def test_what_is_no_fault_is_not_said(change):
    assert [one for one in found(change) if one.code != "libvirt.usage"] == []


@pytest.mark.parametrize(
    "diff, expected",
    [((), "not as it should be"), (("- a = 1", "+ a = 2", "- b"), "a = 1; b")],
)
def test_a_resource_of_which_nothing_more_is_known_has_a_finding(diff, expected):
    """A new one needs no row of the doctor's."""
    change = Change("n1", "a thing", "make it so", "~", "write", {}, 1, diff)
    one = diagnosis.finding("hosts.new", site(), Facts({}), change)
    assert (one.severity, one.code, one.thing) == (WARNING, "pending.hosts.new", "a thing")
    assert (one.found, one.expected) == (expected, "make it so")
    assert [c["run"] for c in commands(one, site(), "")] == ["inv hosts.new --limit n1"]


LATER, ELSEWHERE = "/etc/cinder/cinder.conf.d/50-local.conf", "/usr/share/cinder/cinder-dist.conf"
OLD_BACKUP = ("DEFAULT", "backup_driver", "cinder.backup.drivers.ceph")
NEW_BACKUP = ("DEFAULT", "backup_driver", "cinder.backup.drivers.ceph.CephBackupDriver")
MODULE = {"OS_DEFAULT__BACKUP_DRIVER": OLD_BACKUP[2]}


@pytest.mark.parametrize(
    "own, more, place, mend",
    [
        ((), {"after": {LATER: [OLD_BACKUP]}}, f"{LATER} [DEFAULT]", f"' {LATER}"),
        ((), {"before": {ELSEWHERE: [OLD_BACKUP]}}, f"{ELSEWHERE} [DEFAULT]", f"' {ELSEWHERE}"),
        ([NEW_BACKUP], {"after": {LATER: [OLD_BACKUP]}}, f"{LATER} [DEFAULT]", f"' {LATER}"),
        ([OLD_BACKUP], {"after": {LATER: [NEW_BACKUP]}}, "", ""),
        ([NEW_BACKUP], {"before": {ELSEWHERE: [OLD_BACKUP]}}, "", ""),
        ([OLD_BACKUP], {"environment": {"OS_DEFAULT__BACKUP_DRIVER": NEW_BACKUP[2]}}, "", ""),
        (
            [NEW_BACKUP],
            {"environment": MODULE},
            "OS_DEFAULT__BACKUP_DRIVER",
            f"set OS_DEFAULT__BACKUP_DRIVER={NEW_BACKUP[2]} in the environment of cinder-volume",
        ),
        (
            [
                ("DEFAULT", "backup_driver", "${modules}.ceph"),
                ("DEFAULT", "modules", OLD_BACKUP[2]),
            ],
            {},
            "",
            "",
        ),
        (
            [("DEFAULT", "backup_driver", "$module"), ("DEFAULT", "module", OLD_BACKUP[2])],
            {},
            "/etc/cinder/cinder.conf [DEFAULT]",
            "' /etc/cinder/cinder.conf",
        ),
    ],
)
def test_an_unsafe_option_counts_where_it_is_in_force(own, more, place, mend):
    """A file that is read later, the environment, a reference: what the service has, counts."""

    def change(cloud):
        cloud["ctl"]["cinder.conf"]["active"] += [list(line) for line in own]
        cloud["ctl"]["cinder.sources"] = sources("cinder", **more)

    said = [one for one in found(change) if one.code == "option.backup_driver"]
    assert [one.thing for one in said] == ([place] if place else [])
    assert all(mend in " ".join(c["run"] for c in commands(one, site(), "")) for one in said)


@pytest.mark.parametrize("where", ["after", "before"])
def test_the_user_of_backups_is_found_wherever_it_is_said(where):
    lines = [NEW_BACKUP, ("DEFAULT", "backup_ceph_user", "backups")]

    def change(cloud):
        cloud["ctl"]["cinder.sources"] = sources("cinder", **{where: {LATER: lines}})

    (said,) = [one for one in found(change) if one.code == "user.backup"]
    assert said.thing == "user client.backups"


def test_a_backend_that_another_file_names_is_no_orphan_that_is_taken_away():
    """Its host is named in a file beside cinder.conf: it is one of the site's."""
    looked_at = looked(lambda cloud: None)
    assert not backends._is_gone(site(), looked_at, "shared@old")

    def change(cloud):
        lines = [("backend_defaults", "backend_host", "x"), ("rbd", "backend_host", "shared")]
        cloud["ctl"]["cinder.sources"] = sources("cinder", after={LATER: lines})

    assert backends._is_gone(site(), looked(change), "shared@old")


def test_dead_options_are_those_of_the_release():
    change = an_option("cinder", "DEFAULT", "glance_api_version", "2")
    assert {one.code for one in found(change, release="pike")} == set()
    assert {one.code for one in found(change, release="queens")} == {"option.glance_api_version"}


# Volumes that are nobody's


def orphan(cloud, **more):
    cloud[CLOUD]["volumes"].append({"id": "9", "name": "w", "host": "ctl@old#old"})
    cloud["ceph01"].update(more)


def test_orphans_in_the_pool_are_given_to_the_backend_that_is_up():
    listed = {"images.volumes": said(f"volume-{VOLUME}\nvolume-9\n")}
    one = the_one(lambda c: orphan(c, **listed))
    assert (one.severity, one.code, one.thing) == (ERROR, "cinder.orphans", "ctl@old#old")
    assert ran(one) == [
        (
            "runuser -u cinder -- cinder-manage volume update_host --currenthost 'ctl@old#old' "
            "--newhost 'ctl@rbd#rbd'",
            ["ctl"],
        ),
    ]


def test_orphans_elsewhere_are_for_a_person():
    one = the_one(orphan)
    assert [c["kind"] for c in commands(one, site(), "")] == ["words"]


def test_a_backend_that_is_down():
    one = the_one(lambda c: c[CLOUD]["volume_services"][0].update(up=False))
    assert (one.code, ran(one)) == ("cinder.down", [("inv services.restart --all --limit ctl", [])])


# Clocks


@pytest.mark.parametrize(
    "bounds, code",
    [
        ((119.0, 121.0), ERROR),
        ((-21.0, -20.0), WARNING),
        ((-0.5, 8.0), None),
        ((3.0, 4.0), None),
    ],
)
def test_a_clock_that_is_surely_off(bounds, code):
    clocks = {**dict.fromkeys(site().hosts, (-0.1, 0.9)), "n1": bounds}
    assert [(f.code, f.severity, f.hosts) for f in found(clocks=clocks)] == (
        [("clock", code, ("n1",))] if code else []
    )


def test_a_doubt_is_looked_at_again_together_with_the_monitor():
    near = dict.fromkeys(site().hosts, (-0.1, 9.0))
    assert machines.doubtful(site(), near) == set()
    assert machines.doubtful(site(), {**near, "n2": (6.0, 14.0)}) == {"ceph01", "n2"}


# What could not be looked at


def without_answers(host, *ids):
    def change(cloud):
        for name in ids or list(cloud[host]):
            del cloud[host][name]
        if not ids:
            del cloud[host]

    return change


def test_a_host_that_does_not_answer_is_a_finding_and_the_rest_is_looked_at():
    def change(cloud):
        without_answers("n2")(cloud)
        cloud["n1"]["libvirt.secrets"] = {}

    silent = {"n2": Unreachable(host="n2", found="10.0.0.9:22 does not answer within 10 s")}
    codes = {(one.code, one.hosts) for one in found(change, unreachable=silent)}
    assert codes == {("host.unreachable", ("n2",)), ("libvirt.missing", ("n1",))}


FAULTS = (
    *(
        UnknownHostKey,
        NeedsPassword,
        LoginRefused,
        UnknownName,
        NoPython,
        SudoRefused,
        WrongHostKey,
    ),
    *(NoSession, NoAgent, Unbelieved),
)


@pytest.mark.parametrize(
    "kind, text, code, mend",
    [
        (UnknownHostKey, "is not in known_hosts", "host.key", "hosts.trust --limit n2"),
        (NeedsPassword, "sudo asks", "host.sudo", "inv hosts.sudoers --limit n2"),
        (LoginRefused, "x refuses user y", "host.unreachable", "ssh-copy-id"),
        (UnknownName, "the name n2 is not known", "host.unreachable", "`address`"),
        (NoPython, "python3 or sudo is missing", "host.unreachable", "inv hosts.check"),
        (SudoRefused, "sudo wants a terminal", "host.unreachable", "inv hosts.check"),
        (WrongHostKey, "it is another", "host.unreachable", "ssh-keygen -lf"),
        (NoSession, "lets user op log in", "host.session", "what a login waits for"),
        (NoAgent, "the agent did not start", "host.agent", "sudo -n python3 -V"),
        (Unbelieved, "answers what it was not asked", "host.agent", "writes to the output"),
        (Unreachable, "does not answer within 10 s", "host.unreachable", "see that it runs"),
    ],
)
def test_why_a_host_is_not_reached(kind, text, code, mend):
    one = the_one(without_answers("n2"), unreachable={"n2": kind(host="n2", found=text)})
    assert one.code == code
    assert mend in ran(one)[0][0]
    assert ("is down" in one.cause) == (kind is Unreachable)


def test_a_cluster_that_is_silent_is_one_finding_and_hosts_are_looked_at():
    ids = [name for name in clouds.hosts()["ceph01"] if name.startswith("ceph.")]
    errors = {("ceph01", name): Failed("ceph: exit code 1: timed out") for name in ids}

    def change(cloud):
        without_answers("ceph01", *ids)(cloud)
        cloud["n1"]["packages"]["qemu-block-extra"] = None

    codes = {one.code for one in found(change, errors=errors, known={})}
    assert codes == {"ceph.silent", "packages.missing"}


def test_libvirt_that_is_down_is_one_finding():
    ids = ("libvirt.secrets", "guests", "domains")
    errors = {("n1", name): Failed("virsh -q list: exit code 1: no socket") for name in ids}
    change = without_answers("n1", *ids)
    one = the_one(change, errors=errors)
    assert (one.code, one.hosts) == ("libvirt.silent", ("n1",))


def unsealed(status="243", state="failed", unit="libvirtd.service"):
    def change(cloud):
        without_answers("n1", "libvirt.secrets", "guests", "domains")(cloud)
        other = {"LoadState": "loaded", "ActiveState": state, "ExecMainStatus": status}
        cloud["n1"]["libvirt.daemons"][unit] = other

    return change


NO_VIRSH = {("n1", name): Failed("virsh: exit code 1: no socket") for name in ("guests", "domains")}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (unsealed(), "libvirt.credentials"),
        (unsealed(unit="virtsecretd.service"), "libvirt.credentials"),
        (unsealed(state="activating"), "libvirt.credentials"),  # systemd begins it again and again
        (unsealed(state="active"), "libvirt.silent"),  # an older start failed
        (unsealed(status="1"), "libvirt.silent"),
        (unsealed(status="0"), "libvirt.silent"),
        (unsealed(status=""), "libvirt.silent"),
    ],
)
def test_libvirt_that_cannot_open_its_secrets_is_known(change, code):
    codes = [f.code for f in found(change, errors=NO_VIRSH) if f.code.startswith("libvirt.")]
    assert codes == [code]


def test_what_mends_a_key_that_is_sealed_to_another_host():
    (one,) = [f for f in found(unsealed(), errors=NO_VIRSH) if f.code == "libvirt.credentials"]
    key = "/var/lib/libvirt/secrets/secrets-encryption-key"
    runs = [run for run, _ in ran(one)]
    assert "credential.secret" in runs[0] and "vTPM" in runs[0]
    assert runs[1] == f"mv {key} {key}.of-another-host"
    assert runs[2:] == [
        "systemctl unmask libvirtd",
        "systemctl start libvirtd.socket",
        "systemctl start libvirtd",
        "inv compute.secret --limit n1",
        "inv services.restart --all --limit n1",
    ]


def test_without_trouble_of_virsh_an_old_status_says_nothing():
    def change(cloud):
        cloud["n1"]["libvirt.daemons"]["libvirtd.service"]["ExecMainStatus"] = "243"

    assert found(change) == []


@pytest.mark.parametrize(
    ("installed", "mends"),
    [
        (
            {"libvirtd__service": "failed", "libvirtd__socket": "failed"},
            [
                "systemctl unmask libvirtd",
                "systemctl start libvirtd.socket",
                "systemctl start libvirtd",
            ],
        ),
        # Before 5.6 libvirt had no sockets of systemd's.
        (
            {"libvirtd__service": "failed"},
            ["systemctl unmask libvirtd", "systemctl start libvirtd"],
        ),
        (
            {"virtqemud__socket": "failed", "virtsecretd__socket": "failed"},
            ["systemctl start virtqemud.socket", "systemctl start virtsecretd.socket"],
        ),
        ({"virtqemud__socket": "failed"}, ["systemctl start virtqemud.socket"]),
        (
            {"virtqemud__socket": "failed", "virtproxyd__socket": "masked"},
            [
                "systemctl start virtqemud.socket",
                "systemctl unmask virtproxyd.socket",
                "systemctl start virtproxyd.socket",
            ],
        ),
        # Fedora and its like have both; the one that is enabled is to serve.
        (
            {"virtqemud__socket": "failed enabled", "libvirtd__service": "failed disabled"},
            ["systemctl start virtqemud.socket"],
        ),
        (
            {"virtqemud__socket": "failed", "libvirtd__service": "failed enabled"},
            ["systemctl unmask libvirtd", "systemctl start libvirtd"],
        ),
        ({"virtqemud__socket": "failed enabled", "libvirtd__service": "failed enabled"}, []),
        ({"virtqemud__socket": "failed", "libvirtd__service": "failed"}, []),
    ],
)
def test_only_units_that_are_there_are_started_each_by_itself(installed, mends):
    ids = ("libvirt.secrets", "guests", "domains")

    def change(cloud):
        without_answers("n1", *ids)(cloud)
        cloud["n1"]["libvirt.daemons"] = {**clouds.ABSENT, **clouds.daemons(**installed)}

    errors = {("n1", name): Failed("virsh -q list: exit code 1: no socket") for name in ids}
    one = next(f for f in found(change, errors=errors) if f.code == "libvirt.silent")
    typed = [run for run, _ in ran(one) if not run.startswith("see which")]
    assert typed == [*mends, "inv services.restart --all --limit n1"]


@pytest.mark.parametrize(
    ("keeper", "mends"),
    [
        ("inactive", ["systemctl enable --now virtsecretd.socket"]),
        (
            "masked",
            [
                "systemctl unmask virtsecretd.socket",
                "systemctl enable --now virtsecretd.socket",
            ],
        ),
        (None, ["install virtsecretd there: libvirt-daemon-driver-secret"]),
    ],
)
def test_who_keeps_secrets_is_started_as_it_is_there(keeper, mends):
    states = {"virtqemud__socket": "active", "virtsecretd__socket": keeper}
    shown = clouds.daemons(**{name: state for name, state in states.items() if state})

    def change(cloud):
        cloud["n1"]["libvirt.daemons"] = {**clouds.ABSENT, **shown}

    one = next(f for f in found(change) if f.code == "libvirt.virtsecretd")
    assert [run for run, _ in ran(one)] == [*mends, "inv compute.secret --limit n1"]


def test_where_libvirtd_goes_away_again_its_socket_is_virtproxyds():
    kinds = ("libvirtd__socket", "virtqemud__socket", "virtsecretd__socket")
    shown = clouds.daemons(**dict.fromkeys(kinds, "active"), virtproxyd__socket="inactive")
    one = next(
        f
        for f in found(lambda c: c["n1"].update({"libvirt.daemons": shown}))
        if f.code == "libvirt.both"
    )
    assert ("systemctl start virtproxyd.socket", ["n1"]) in ran(one)


def test_a_cloud_that_is_full_is_still_looked_at():
    def change(cloud):
        health("OSD_FULL", "HEALTH_ERR")(cloud)
        cloud["n1"]["libvirt.secrets"] = {}

    assert {one.code for one in found(change)} == {"ceph.OSD_FULL", "libvirt.missing"}


def test_a_uuid_that_is_in_doubt_is_said_and_nothing_is_planned_from_it():
    several = BadInput(found="several are in use", advice="set clients.volumes.secret_uuid")
    doubt = ("identity", several)
    (one,) = found(known={}, doubts=(doubt,))
    assert (one.code, ran(one)) == ("identity", [("set clients.volumes.secret_uuid", [])])


# Findings themselves


def test_equal_findings_are_one_and_the_worst_comes_first():
    def change(cloud):
        for name in COMPUTES:
            cloud[name]["libvirt.secrets"] = {}
        owed(cloud)

    assert [(f.code, f.hosts) for f in found(change)] == [
        ("libvirt.missing", COMPUTES),
        ("restart.owed", ("ctl",)),
    ]


def test_notes_alone_are_healthy():
    assert healthy(folded(found(newer)))
    assert not healthy(folded(found(owed)))


def test_a_value_with_slashes_is_set_by_sed(tmp_path):
    import subprocess  # noqa: PLC0415

    path = tmp_path / "x.conf"
    path.write_text("[a]\nk = 1\n[b/c]\nk = 1\nother = 2\n[d]\nk = 1\n")
    subprocess.run(["sh", "-c", shown(setting(str(path), "b/c", "k", "x/y & z"))], check=True)
    assert path.read_text() == "[a]\nk = 1\n[b/c]\nk = x/y & z\nother = 2\n[d]\nk = 1\n"
    subprocess.run(["sh", "-c", shown(without(str(path), "b/c", "k"))], check=True)
    assert path.read_text() == "[a]\nk = 1\n[b/c]\nother = 2\n[d]\nk = 1\n"


def test_disks_of_a_guest():
    text = disk_xml(OTHER.upper(), monitors=("a", "b"))
    (one,) = domains.disks(text)
    assert one == domains.Disk(f"volumes/volume-{VOLUME}", "volumes", OTHER, ("a", "b"))
    assert domains.disks("<disk \n<disk ") == []


@pytest.mark.parametrize(
    "text, code",
    [
        ("keyring = /etc/ceph/keyring\n", "refused.ceph.keyrings"),
        ("[client.volumes]\nkeyring = /etc/openstack/cinder.keyring\n", "keyring.missing"),
        (f"[client.volumes]\n\tkey = sha256:{'c' * 64}\n", "refused.ceph.keyrings"),
    ],
)
def test_a_ceph_conf_that_sends_librados_elsewhere_is_found(text, code):
    def change(cloud):
        cloud["ctl"]["ceph.conf"] = file(clouds.CEPH_CONF + text)

    assert code in {finding.code for finding in clouds.found(change)}


def test_monitors_that_an_older_client_cannot_read_are_an_error():
    def change(cloud):
        cloud["n1"]["packages"]["librados2"] = "12.2.13-0ubuntu0.18.04.11"
        named = f"mon_host = [v2:{clouds.MONITOR}:3300,v1:{clouds.MONITOR}:6789]"
        text = clouds.CEPH_CONF.replace(f"mon_host = {clouds.MONITOR}:6789", named)
        cloud["n1"]["ceph.conf"] = file(text)

    (one,) = [finding for finding in clouds.found(change) if finding.code == "ceph.conf.msgr2"]
    assert one.severity == ERROR and one.hosts == ("n1",) and "12.2.13" in one.cause


@pytest.mark.parametrize(
    "text, wrong",
    [
        (FSID, False),
        (FSID.replace("-", ""), False),
        ("None", True),
        ("", True),
        (f"{FSID} #add here", True),
        ("{{ uuid }}", True),
        (FSID[:-1], True),
    ],
)
def test_a_secrets_uuid_that_is_none_is_an_error(text, wrong):
    change = an_option("cinder", "rbd", "rbd_secret_uuid", text)
    codes = {finding.code for finding in found(change)}
    assert ("option.rbd_secret_uuid" in codes) == wrong


def test_backends_that_another_file_enables_have_no_orphans():
    def change(cloud):
        more = {"/etc/cinder/cinder.conf.d/a.conf": [["DEFAULT", "enabled_backends", "rbd,ssd"]]}
        cloud["ctl"]["cinder.sources"] = sources("cinder", more)
        cloud[CLOUD]["volumes"].append(
            {"id": "2", "name": "w", "host": "ctl@ssd#ssd", "status": "available"}
        )

    assert [one.code for one in found(change) if "ctl@ssd" in one.found] == ["cinder.down"]
