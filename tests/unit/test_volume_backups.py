"""cinder-backup: who uses what, its options by release, and what would strand backups."""

import pytest

from fabfile.audit import compare, database_rows, evidence, rbd_images
from fabfile.core.contract import CLOUD, BadInput, Facts, Refused
from fabfile.doctor import options, uses
from fabfile.doctor import volume_backups as doctor
from fabfile.doctor.observation import Looked
from fabfile.model import services
from fabfile.resources import auth, keyrings, pools, restarts, service_config, volume_backups

from .clouds import HAZARDS, RELEASES
from .states import BACKED_UP, FSID, HOSTS, KEY, cluster, conf, file, release, site, sources, user
from .test_releases import ORDER, spans

ALONE = {**HOSTS, "bk": {"roles": ["cinder-backup"]}}
CLASS = "cinder.backup.drivers.ceph.CephBackupDriver"
NFS = "cinder.backup.drivers.nfs.NFSBackupDriver"
DRIVER = ("DEFAULT", "backup_driver")
ON_CEPH = [(*DRIVER, CLASS), ("DEFAULT", "backup_ceph_user", "backups")]
UNIT = {"cinder-backup": {"LoadState": "loaded", "ActiveState": "active"}}
ABSENT = {"cinder-backup": {"LoadState": "not-found", "ActiveState": "inactive"}}


def backed_up(backup=None, **more):
    return site(**{**BACKED_UP, "cinder": {"backup": backup or {}}, **more})


def asked(active, unit=None):
    """What a host with cinder-backup answers."""
    found = {"cinder.backup.conf": conf(*active), "cinder.backup.sources": sources("cinder.backup")}
    return {**found, "cinder.backup.unit": unit or UNIT}


def facts(active=(), backups=(), name="zed", host="ctl", volumes=True, unit=None):
    """A site's answers; backups: None where the API was not asked."""
    seen = {"host": {"hostname": host}, **asked(active, unit)}
    if volumes:
        seen |= {"cinder.conf": conf(*active), "cinder.head": None}
    api = {"volume_services": []} | ({} if backups is None else {"backups": list(backups)})
    hosts = {host: seen} | ({} if backups is None else {CLOUD: api})
    return Facts(hosts, {"uuid.volumes": FSID}, release(name))


def backup(container, objects=0):
    return {"id": "b1", "container": container, "objects": objects, "status": "available"}


def edits(change):
    return {(s, k): v for s, k, v in change.args["edits"]}


def planned(it, seen):
    return service_config.cinder.plan(it, seen)


# Who uses what


@pytest.mark.parametrize(
    "hosts, runs",
    [(HOSTS, ["ctl"]), (ALONE, ["bk"])],
    ids=["where cinder-volume runs", "where the role is given"],
)
def test_it_runs_on_cinders_hosts_unless_a_host_has_its_role(hosts, runs):
    it = backed_up(hosts=hosts)
    assert [host.name for host in it.with_role("cinder-backup")] == runs
    found = [
        (b.client, b.pool, b.section, b.keyring, b.secret, b.unit, b.file, b.owner)
        for b in it.bindings_of(it.host(runs[0]))
        if b.service == services.CINDER_BACKUP
    ]
    where = ("cinder-backup", "/etc/cinder/cinder.conf", "cinder")
    assert found == [
        ("backups", "backups", "DEFAULT", True, False, *where),
        ("volumes", "volumes", "", True, False, *where),
    ]


def test_without_the_table_nothing_of_it_is_there():
    assert site().with_role("cinder-backup") == []
    assert services.CINDER_BACKUP not in {use.service for use in site().uses()}


@pytest.mark.parametrize(
    "more, said",
    [
        ({"cinder": {}, "hosts": ALONE}, r"hosts\.bk\.roles: expected \[cinder\.backup\]"),
        ({"pools": {"volumes": {}, "images": {}}}, r"cinder\.backup\.pool: expected one of"),
        ({"clients": {"volumes": {}, "images": {}}}, r"cinder\.backup\.client: expected one of"),
        (
            {"clients": {"volumes": {}, "images": {}, "backups": {"rwx": ["images"]}}},
            r"clients\.backups\.rwx: expected 'backups' too, into which cinder\.backup writes",
        ),
        ({"cinder": {"backup": {"client": "images"}}}, r"cinder\.backup\.client: expected another"),
        ({"cinder": {"backup": {"poool": "x"}}}, r"no such setting; did you mean 'pool'"),
        (
            {"hosts": {n: t for n, t in HOSTS.items() if n != "ctl"}},
            r"cinder\.backup: expected a host of the role 'cinder-backup', found none",
        ),
        ({"pools": {**BACKED_UP["pools"], "backups": {"erasure": {"k": 2, "m": 1}}}}, "no erasure"),
    ],
)
def test_what_does_not_meet_is_said(more, said):
    with pytest.raises(BadInput, match=said):
        site(**{**BACKED_UP, **more})


def test_several_backends_keep_their_tables_beside_it():
    two = {"rbd": {"pool": "volumes"}, "fast": {"pool": "fast", "client": "fast"}}
    it = site(
        cinder={"backends": two, "backup": {}},
        pools={**BACKED_UP["pools"], "fast": {}},
        clients={**BACKED_UP["clients"], "fast": {}},
    )
    uses = [u.client for u in it.uses() if u.service == services.CINDER_BACKUP]
    assert uses == ["backups", "volumes", "fast"]
    assert it.clients["backups"].rx == ["volumes", "fast"]


READ = "profile rbd-read-only pool="


@pytest.mark.parametrize(
    "more, major, osd",
    [
        ({}, 16, f"profile rbd pool=backups, {READ}volumes"),
        (
            {},
            10,
            "allow class-read object_prefix rbd_children, allow rwx pool=backups, "
            "allow rx pool=volumes",
        ),
    ],
)
def test_its_user_writes_its_pool_and_reads_the_volumes(more, major, osd):
    it = backed_up(**more)
    (made,) = [
        c
        for c in auth.plan(it, Facts({"ceph01": cluster(major=major)}, {}, release("zed")))
        if c.subject == "backups"
    ]
    assert made.args["argv"][made.args["argv"].index("osd") + 1] == osd


def test_it_may_share_the_client_of_volumes():
    it = backed_up({"client": "volumes"}, clients={"volumes": {}, "images": {}})
    assert (it.clients["volumes"].rwx, it.clients["volumes"].rx) == (
        ["volumes", "backups"],
        ["images"],
    )


@pytest.mark.parametrize("name", ["queens", "xena", "zed", "2026.2"])
def test_glance_looks_for_no_clones_among_backups(name):
    it = backed_up()
    seen = facts(name=name)
    found = auth.clients(
        it, type("Seen", (), {"users": {}, "pools": {}, "release": 16})(), seen.release
    )["images"]
    assert "backups" not in found.rx


def test_its_pool_is_made_for_rbd():
    seen = Facts({"ceph01": cluster()}, {}, release("zed"))
    found = [c.kind for c in pools.plan(backed_up(), seen) if c.subject == "backups"]
    assert found == ["pool", "pool_application"]


# Keyrings

USERS = [user("volumes"), user("images"), user("backups")]


def held(**more):
    named = {f"{kind}.{c}": {} for kind in ("keyrings", "keyfiles") for c in ("volumes", "backups")}
    return {**asked([]), "ceph.conf": file(""), "host": {"hostname": "bk"}, **named, **more}


def test_a_host_of_it_alone_gets_both_keys_and_a_restart_for_its_own():
    it = backed_up(hosts=ALONE)
    seen = {"keyring.volumes": None, "keyring.backups": None}
    hosts = {"ceph01": cluster(users=USERS), "bk": held(**seen)}
    found = keyrings.plan(it, Facts(hosts, {}, release("zed")))
    assert [(c.subject, c.args["owner"], c.args["mode"], c.restarts) for c in found] == [
        ("backups", "cinder", "0640", ("cinder-backup",)),
        ("volumes", "cinder", "0640", ()),
    ]


def test_on_a_host_of_both_the_volumes_key_is_cinder_volumes_to_restart_for():
    it = backed_up()
    found = {b.client: b.service.name for b in keyrings.wanted(it, it.host("ctl"))}
    assert found == {
        "images": "glance-api",
        "volumes": "cinder-volume",
        "backups": "cinder-backup",
    }


def test_a_right_keyring_is_left_alone():
    it = backed_up(hosts=ALONE)
    right = {
        f"keyring.{c}": file(f"[client.{c}]\n\tkey = {KEY}\n", "cinder", "0640")
        for c in ("volumes", "backups")
    }
    hosts = {"ceph01": cluster(users=USERS), "bk": held(**right)}
    assert keyrings.plan(it, Facts(hosts, {}, release("zed"))) == []


ELSEWHERE = "[client.volumes]\nkeyring = /etc/ceph/volumes.key\n"
HELD = file(f"[client.volumes]\n\tkey = {KEY}\n", "cinder", "0640")


@pytest.mark.parametrize(
    "own, written",
    [
        (None, ["/etc/ceph/ceph.client.volumes.keyring"]),
        (HELD, []),
        ({**HELD, "owner": "root", "group": "root"}, ["/etc/ceph/ceph.client.volumes.keyring"]),
    ],
    ids=["not there", "there", "nobody's to read"],
)
@pytest.mark.parametrize("line", [ELSEWHERE, f"[client.volumes]\nkey = {KEY}\n"], ids=len)
def test_a_volumes_keyring_is_in_its_usual_place_whatever_ceph_conf_names(line, own, written):
    """os-brick opens a volume without the host's ceph.conf."""
    it = backed_up(hosts=ALONE)
    right = file(f"[client.backups]\n\tkey = {KEY}\n", "cinder", "0640")
    named = {"keyrings.volumes": {"/etc/ceph/volumes.key": HELD}} if "keyring" in line else {}
    seen = {**named, "ceph.conf": file(line), "keyring.volumes": own, "keyring.backups": right}
    hosts = {"ceph01": cluster(users=USERS), "bk": held(**seen)}
    found = keyrings.plan(it, Facts(hosts, {}, release("zed")))
    assert [c.thing for c in found] == written
    assert all(c.args["owner"] == "cinder" and c.restarts == () for c in found)


# Options

DRIVERS = spans(
    ("grizzly", "grizzly", None),
    ("havana", "pike", "cinder.backup.drivers.ceph"),
    ("queens", "2026.2", CLASS),
)
CEPHS = {("DEFAULT", "backup_ceph_user"): "backups"}


@pytest.mark.parametrize("name", [name for name in ORDER if name != "grizzly"])
def test_each_release_is_given_its_driver_and_its_user(name):
    it = backed_up(hosts={**ALONE, "bk": {"roles": ["cinder", "cinder-backup"]}})
    seen = facts(host="bk", name=name)
    (change,) = planned(it, seen)
    found = {at: v for at, v in edits(change).items() if volume_backups.is_own(*at)}
    assert found[DRIVER] == DRIVERS[name]
    # What is the release's own default is not written, where its section is there.
    rest = {at: v for at, v in found.items() if at not in (DRIVER,)}
    assert rest == {
        ("DEFAULT", "backup_ceph_conf"): "/etc/ceph/ceph.conf",
        ("DEFAULT", "backup_ceph_pool"): "backups",
        **CEPHS,
    }


def test_before_havana_there_is_none():
    with pytest.raises(BadInput, match="none before Havana"):
        planned(backed_up(hosts=ALONE), facts(host="bk", name="grizzly", volumes=False))


ASKED = {
    "chunk_size": (67108864, "backup_ceph_chunk_size", "67108864", "havana"),
    "stripe_unit": (4096, "backup_ceph_stripe_unit", "4096", "havana"),
    "stripe_count": (2, "backup_ceph_stripe_count", "2", "havana"),
    "discard_excess_bytes": (False, "restore_discard_excess_bytes", "false", "havana"),
    "image_journals": (True, "backup_ceph_image_journals", "true", "pike"),
    "max_snapshots": (3, "backup_ceph_max_snapshots", "3", "2025.1"),
}


@pytest.mark.parametrize("name", ["havana", "ocata", "pike", "zed", "2024.2", "2025.1", "2026.2"])
@pytest.mark.parametrize("key", ASKED)
def test_an_option_is_written_where_the_release_has_it_and_else_refused(key, name):
    value, option, text, since = ASKED[key]
    it = backed_up({key: value}, hosts={**ALONE, "bk": {"roles": ["cinder", "cinder-backup"]}})
    seen = facts(host="bk", name=name)
    if ORDER.index(name) < ORDER.index(since):
        with pytest.raises(BadInput, match=rf"cinder\.backup\.{key}: .*has no such option"):
            planned(it, seen)
        return
    (change,) = planned(it, seen)
    assert edits(change)["DEFAULT", option] == text


def volumes_of(it, **more):
    """What cinder-volume has once it is as the site says."""
    (change,) = planned(site(), facts(**more))
    return [tuple(edit) for edit in change.args["edits"]]


@pytest.mark.parametrize(
    "name, more, units",
    [
        ("zed", [], ("cinder-backup",)),
        # Up to Ocata it opens volumes by the backends of its own file.
        ("ocata", [], ("cinder-volume", "cinder-backup")),
        ("havana", [], ()),
    ],
)
def test_beside_a_backend_that_is_there_it_alone_is_restarted(name, more, units):
    it = backed_up()
    there = volumes_of(it, name=name)
    (change,) = planned(it, facts(there, name=name))
    assert {k for _, k in edits(change)} >= {"backup_driver", "backup_ceph_user"}
    assert change.restarts == units


def test_one_edit_of_the_file_for_both_services():
    (change,) = planned(backed_up(), facts())
    assert {"rbd", "DEFAULT"} == {s for s, _ in edits(change)}
    assert change.restarts == ("cinder-volume", "cinder-backup")
    assert len(change.args["edits"]) == len(edits(change))


def test_as_it_should_be_nothing_is_planned_and_nothing_asked():
    it = backed_up(cloud="c")
    there = [*volumes_of(it), *ON_CEPH]
    seen = facts(there, backups=None)
    assert planned(it, seen) == []
    assert service_config.cinder.follow_up_reads(it, seen) == []


@pytest.mark.parametrize(
    "options, restarted",
    [
        ({"DEFAULT": {"backup_compression_algorithm": "none"}}, ("cinder-backup",)),
        ({"rbd": {"rbd_max_clone_depth": 9}}, ("cinder-volume",)),
        ({"DEFAULT": {"osapi_volume_workers": 2}}, ("cinder-volume", "cinder-backup")),
    ],
)
def test_an_option_that_is_asked_for_restarts_whom_it_concerns(options, restarted):
    it = backed_up(options={"cinder": options})
    (change,) = planned(it, facts([*volumes_of(it), *ON_CEPH]))
    assert change.restarts == restarted
    assert len(change.args["edits"]) == 1


def test_an_option_that_the_table_decides_is_not_asked_for_otherwise():
    it = backed_up(options={"cinder": {"DEFAULT": {"backup_driver": NFS}}})
    with pytest.raises(BadInput, match=r"options\.cinder\.DEFAULT\.backup_driver"):
        planned(it, facts())


def test_a_host_of_it_alone_gets_no_backend():
    it = backed_up(hosts=ALONE, options={"cinder": {"rbd": {"rbd_max_clone_depth": 9}}})
    (change,) = planned(it, facts(host="bk", volumes=False))
    assert {s for s, _ in edits(change)} == {"DEFAULT"}
    assert change.restarts == ("cinder-backup",)
    (restart,) = restarts.plan(
        it, Facts({"bk": {"pending_restarts": []}}, {}, release("zed")), [change]
    )
    assert restart.args["units"] == ["cinder-backup"]


def test_up_to_ocata_it_runs_beside_cinder_volume():
    it = backed_up(hosts=ALONE)
    with pytest.raises(BadInput, match="expected the role 'cinder' too"):
        planned(it, facts(host="bk", volumes=False, name="ocata"))


def test_where_it_is_not_installed_that_is_said_first():
    with pytest.raises(Refused, match="install it there first") as caught:
        planned(backed_up(), facts(unit=ABSENT))
    assert caught.value.host == "ctl"


def test_a_file_that_is_not_there_is_said():
    seen = facts()
    seen.hosts["ctl"]["cinder.backup.conf"] = None
    with pytest.raises(BadInput, match="no such file"):
        planned(backed_up(), seen)


# Backups that are there


@pytest.mark.parametrize(
    "driver, found",
    [
        ("", "swift"),
        ("cinder.backup.services.swift", "swift"),
        ("cinder.backup.drivers.swift.SwiftBackupDriver", "swift"),
        ("cinder.backup.drivers.ceph", "ceph"),
        (CLASS, "ceph"),
        (NFS, "nfs"),
        ("acme.Driver", "acme.Driver"),
        ("cinder.backup", "cinder.backup"),
    ],
)
def test_a_drivers_kind(driver, found):
    assert volume_backups.kind(driver) == found


OLD_POOL = [(*DRIVER, CLASS), ("DEFAULT", "backup_ceph_pool", "old")]
OTHER_CLUSTER = [(*DRIVER, CLASS), ("DEFAULT", "backup_ceph_conf", "/etc/ceph/other.conf")]


@pytest.mark.parametrize(
    "active, backups, replaces, said",
    [
        ([], [], None, None),
        ([], [backup("volumebackups", 3)], None, "replaces = 'swift'"),
        ([], [backup("volumebackups", 3)], "swift", None),
        ([], [backup("volumebackups", 3)], "nfs", "replaces = 'swift'"),
        # A tenant may call a container of Swift as our pool is called.
        ([], [backup("backups", 3)], None, "1 in 'backups'"),
        # Ours, of before an undo; and one that never came to hold anything.
        ([], [backup("backups"), backup("")], None, None),
        ([(*DRIVER, NFS)], [], None, None),
        ([(*DRIVER, NFS)], [backup("aa/bb/x", 2)], None, "replaces = 'nfs'"),
        ([(*DRIVER, NFS)], [backup("aa/bb/x", 2)], "nfs", None),
        ([(*DRIVER, NFS)], None, None, "an answer of Cinder's API"),
        ([(*DRIVER, NFS)], None, "nfs", None),
        ([], None, None, "swift, the driver where none is named would be replaced"),
        (OLD_POOL, [], None, None),
        (OLD_POOL, [backup("old")], None, "adopt their pool (cinder.backup.pool = 'old')"),
        (OLD_POOL, [backup("old"), backup("more")], None, "2 in 'more', 'old'"),
        (OLD_POOL, [backup("old")], "ceph", None),
        (OTHER_CLUSTER, None, None, "other.conf would be replaced"),
        ([(*DRIVER, CLASS)], None, None, None),
        ([(*DRIVER, "cinder.backup.drivers.ceph")], None, None, None),
        # Words of a tenant's stay in one line.
        ([], [backup("a\nb", 1)], None, r"1 in 'a\nb'"),
    ],
)
def test_backups_that_are_there_are_not_stranded_without_a_word(active, backups, replaces, said):
    it = backed_up({"replaces": replaces} if replaces else {}, hosts=ALONE, cloud="c")
    seen = facts(active, backups, host="bk", volumes=False)
    if said is None:
        assert planned(it, seen)
        return
    with pytest.raises(BadInput) as caught:
        planned(it, seen)
    assert said in str(caught.value)


WEST = {
    "hosts": {**HOSTS, "west01": {"roles": ["ceph"], "cluster": "west"}},
    "clients": {"volumes": {}, "images": {}},
    "pools": {"volumes": {}, "images": {}},
    "clusters": {"west": {"pools": {"backups": {}}, "clients": {"backups": {}}}},
    "cloud": "c",
}
AT = ("DEFAULT", "backup_ceph_conf")
IN_WEST = [*ON_CEPH, (*AT, "/etc/ceph/west.conf")]


@pytest.mark.parametrize(
    "active, backups, replaces, count",
    [
        ([*ON_CEPH, (*AT, "/etc/ceph/ceph.conf")], [backup("backups")], None, 1),
        (ON_CEPH, [backup("backups"), backup("")], None, 1),
        ([*ON_CEPH, (*AT, "/etc/ceph/ceph.conf")], [backup("backups")], "ceph", None),
        (ON_CEPH, [backup("")], None, None),
        (IN_WEST, [backup("backups")], None, None),
        ([(*DRIVER, NFS)], [backup("backups")], None, None),
    ],
    ids=["named", "by default", "by choice", "hold nothing", "there already", "before an undo"],
)
def test_a_pool_of_that_name_in_another_cluster_has_other_backups(active, backups, replaces, count):
    it = backed_up({"cluster": "west"} | ({"replaces": replaces} if replaces else {}), **WEST)
    seen = facts([*volumes_of(it), *active], backups)
    if count is None:
        changes = planned(it, seen)
        notes = service_config.cinder.notes(it, seen, changes)
        assert any("set aside: 1 backup" in note for note in notes) == bool(replaces)
        return
    with pytest.raises(Refused, match=f"{count} in 'backups', as of Ceph's driver with") as caught:
        planned(it, seen)
    assert "no backups but in pool backups of /etc/ceph/west.conf" in str(caught.value)
    assert "stay on theirs (cinder.backup.cluster)" in str(caught.value)
    assert "adopt" not in str(caught.value)


def test_the_hosts_of_a_cluster_that_has_backups_alone_are_known():
    """cinder-backup is there without a word of its role, where cinder-volume uses another one."""
    it = backed_up({"cluster": "west"}, **WEST)
    roles = {part.label: part.host("ctl").roles for part in it.parts}
    assert roles == {"ceph": ("glance", "cinder", "cinder-backup"), "west": ("cinder-backup",)}
    of_backups = [b for b in it.bindings_of(it.host("ctl")) if b.service == services.CINDER_BACKUP]
    assert [(b.client, b.conf) for b in of_backups] == [
        ("backups", "/etc/ceph/west.conf"),
        ("volumes", "/etc/ceph/ceph.conf"),
    ]


def test_the_backups_are_asked_for_where_their_driver_changes():
    it = backed_up(hosts=ALONE, cloud="c")
    for active, expected in (([], 1), ([(*DRIVER, NFS)], 1), (ON_CEPH, 0)):
        seen = facts(active, host="bk", volumes=False)
        assert len(service_config.cinder.follow_up_reads(it, seen)) == expected
    assert service_config.cinder.follow_up_reads(site(), facts()) == []


def test_a_file_that_somebody_manages_is_said_of_a_host_of_it_alone():
    it = backed_up(hosts=ALONE)
    seen = facts(host="bk", volumes=False)
    seen.hosts["bk"]["cinder.backup.conf"]["managed"] = "# Managed by Chef"
    notes = service_config.cinder.notes(it, seen, planned(it, seen))
    assert any("'# Managed by Chef'" in note for note in notes)


def test_the_plan_says_what_becomes_of_backups_that_are_set_aside():
    it = backed_up({"replaces": "nfs"}, hosts=ALONE, cloud="c")
    seen = facts([(*DRIVER, NFS)], [backup("aa/bb/x", 2)], host="bk", volumes=False)
    (note,) = service_config.cinder.notes(it, seen, planned(it, seen))
    assert note.startswith("bk: backups of volumes go to pool backups from now on (before: ")
    assert "set aside: 1 backup" in note


REFUSED = (
    (backed_up(), facts(unit=ABSENT)),
    (backed_up(), facts([(*DRIVER, NFS)], [backup("aa/bb/x", 2)])),
)
"""(site, answers) whose plan is refused."""


# What a doctor makes of it


@pytest.mark.parametrize(
    "name, key, value, severity",
    [
        ("zed", "backup_ceph_max_snapshots", "3", "note"),
        ("2025.1", "backup_ceph_max_snapshots", "3", None),
        ("ocata", "backup_ceph_image_journals", "true", "note"),
        ("pike", "backup_ceph_image_journals", "true", None),
        ("pike", "backup_driver", CLASS, "error"),
        ("queens", "backup_driver", CLASS, None),
        ("rocky", "backup_driver", "cinder.backup.drivers.ceph", None),
        ("stein", "backup_driver", "cinder.backup.drivers.ceph", "error"),
    ],
)
@pytest.mark.parametrize("files", [("cinder.backup",), ("cinder", "cinder.backup")], ids=len)
def test_options_that_a_release_does_not_read_are_said_once(files, name, key, value, severity):
    line = ("DEFAULT", key, value)
    seen = {f"{one}.conf": conf(line) for one in files}
    looked = Looked(Facts({"bk": seen}), releases=RELEASES, release=name, hazards=HAZARDS)
    it = backed_up(hosts=ALONE)
    found = [f.severity for f in options.findings(it, looked) if f.code == f"option.{key}"]
    assert found == ([severity] if severity else [])


def test_what_it_uses_is_known_on_a_host_of_it_alone():
    it = site(hosts=HOSTS)
    active = [(*DRIVER, CLASS), ("DEFAULT", "backup_ceph_user", "admin")]
    looked = Looked(Facts({"bk": asked(active)}))
    assert uses.admins(looked, "bk") == ["cinder.conf [DEFAULT]"]
    assert uses.others_of_conf(it, looked, "bk", "/etc/ceph/ceph.conf") == ["cinder.conf [DEFAULT]"]
    assert uses.others_of_conf(backed_up(), looked, "bk", "/etc/ceph/ceph.conf") == []
    assert uses.pools_of(it, looked, "admin")[0] == {"backups"}


ROW = {"host": "bk", "up": True, "enabled": True}
DOWN = {**ROW, "up": False}


@pytest.mark.parametrize(
    "rows, expected",
    [
        (None, []),
        ([ROW], []),
        ([], ["error"]),
        ([DOWN], ["error"]),
        ([ROW, {**DOWN, "host": "old"}], ["warning"]),
        ([ROW, {**DOWN, "enabled": False}], []),
        ([{**ROW, "enabled": False}, DOWN], ["error"]),
    ],
)
def test_a_cinder_backup_that_cinder_does_not_hear_is_found(rows, expected):
    hosts = {CLOUD: {} if rows is None else {"backup_services": rows}}
    found = list(doctor.findings(backed_up(hosts=ALONE), Looked(Facts(hosts, {}, release("zed")))))
    assert [f.severity for f in found] == expected
    assert all(f.code == "volume.backup.down" and f.hosts == ("bk",) for f in found)


LIMIT = ("DEFAULT", "backup_ceph_max_snapshots")


@pytest.mark.parametrize(
    "name, active, said, found",
    [
        ("2025.1", ON_CEPH, {}, 1),
        ("2025.1", [*ON_CEPH, (*LIMIT, "0")], {}, 1),
        ("2025.1", [*ON_CEPH, (*LIMIT, "5")], {}, 0),
        ("2025.1", ON_CEPH, {"max_snapshots": 0}, 0),
        ("2025.1", [(*DRIVER, NFS)], {}, 0),
        ("2024.2", ON_CEPH, {}, 0),
    ],
)
def test_snapshots_that_nothing_bounds_are_said_where_the_release_can(name, active, said, found):
    seen = Looked(facts(active, host="bk", volumes=False, name=name))
    told = list(doctor.findings(backed_up(said, hosts=ALONE), seen))
    assert [f.code for f in told] == ["volume.backup.snapshots"] * found


@pytest.mark.parametrize(
    "active, found",
    [
        ([], 0),
        ([("DEFAULT", "backup_ceph_user", "b")], 1),
        ([("DEFAULT", "backup_ceph_user", "b"), (*DRIVER, NFS)], 1),
        ([("DEFAULT", "backup_ceph_user", "b"), (*DRIVER, CLASS)], 0),
        ([("rbd", "backup_ceph_user", "b")], 0),
    ],
)
def test_options_of_cephs_driver_beside_another_one_are_said(active, found):
    told = list(doctor.findings(site(), Looked(facts(active))))
    assert [f.code for f in told] == ["volume.backup.options"] * found


# Rows and images

OLD, NEW, LEFT = (f"0000000{n}-0000-4000-8000-000000000000" for n in (1, 2, 3))


def rows_of(*backups):
    made = (
        database_rows.Backup(one, OLD, "available", CLASS, f'{{"base": "{name}"}}', "backups")
        for one, name in backups
    )
    return database_rows.Rows(backup=frozenset(made))


def test_the_pool_of_backups_is_looked_at_also_where_no_row_names_it():
    places = compare.places(backed_up(), FSID, {})
    assert "backups" in compare.pools(places, database_rows.Rows())
    assert compare.strangers(places, rows_of((NEW, "x")), []) == []
    assert compare.places(site(), FSID, {}).backups is None


@pytest.mark.parametrize(
    "name, orphaned",
    [
        (f"volume-{OLD}.backup.{NEW}", False),  # since Queens: of its own, and of those built on it
        (f"volume-{OLD}.backup.base", False),  # older ones have one for all
        (f"volume-{LEFT}.backup.{NEW}", True),
        (f"volume-{LEFT}.backup.base", True),
    ],
)
def test_an_image_of_a_backup_is_an_orphan_only_without_its_row(name, orphaned):
    places = compare.places(backed_up(), FSID, {})
    there = compare.Names({"backups": frozenset({name, f"volume-{OLD}.backup.{NEW}"})}, {})
    rows = rows_of((NEW, f"volume-{OLD}.backup.{NEW}"))
    found = [(f.kind, f.thing) for f in compare.compare(places, rows, there, rows)]
    assert found == ([("orphaned", "backup")] if orphaned else [])


def test_the_snapshots_that_backups_leave_in_volumes_are_nobodys_orphans():
    places = compare.places(backed_up(), FSID, {})
    volume = database_rows.Volume(OLD, OLD, "available", "1", "ctl@rbd#rbd", "")
    rows = database_rows.Rows(volume=frozenset({volume}))
    held = rbd_images.Held(1 << 30, frozenset({f"backup.{NEW}.snap.1700000000.12"}))
    images = {("volumes", f"volume-{OLD}"): held}
    assert list(rbd_images.differing(places, rows, rows, images, {})) == []


@pytest.mark.parametrize(
    "active, known",
    [
        (ON_CEPH, True),
        ([(*DRIVER, NFS)], False),
        (None, False),
        ([*ON_CEPH, OTHER_CLUSTER[1]], False),
    ],
)
def test_whose_backups_they_are_is_told_by_every_host_of_it(active, known):
    seen = {} if active is None else asked(active)
    schemas = database_rows.Schemas("cinder", "glance", ("nova",))
    gathered = evidence.gathered(
        backed_up(hosts=ALONE), {"bk": seen}, schemas, database_rows.Rows()
    )
    assert ("backups" in gathered.looked) is known
