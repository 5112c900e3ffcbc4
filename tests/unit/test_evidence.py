"""What was looked at beside rows and names: without it, nothing that takes away is shown."""

import json

import pytest

from fabfile.audit import compare, database_rows, evidence, rbd_images
from fabfile.audit.database_rows import Attachment, Cell, Disk, Image, Rows, Schemas
from fabfile.audit.evidence import Evidence

from . import test_reconcile as rows
from .states import FSID, answer, conf, site, sources

TAKES_AWAY = ("delete", "trash mv", "trash rm", "snap rm", "detached", "reboot", "blocklist")
STATES = {
    "volume": ({}, {"volumes": {f"volume-{rows.V}"}}),
    "image": ({}, {"images": set()}),
    "backup": ({}, {"bak": set()}),
    "disk": ({}, {"vms": set()}),
    "orphaned volume": ({}, {"volumes": {*rows.THERE["volumes"], f"volume-{rows.S}"}}),
    "orphaned image": ({}, {"images": {rows.G, rows.S}}),
    "orphaned backup": ({}, {"bak": {*rows.THERE["bak"], f"volume-{rows.S}.backup.base"}}),
    "orphaned disk": ({}, {"vms": {*rows.THERE["vms"], f"{rows.S}_disk"}}),
    "attached in Cinder": ({"disk": [Disk(rows.N, "", "local", "0")]}, {}),
    "attached nowhere": (
        {"volume": [rows.VOLUME, rows.FREE._replace(status="in-use")]},
        {},
    ),
}
"""{what is wrong: (rows, names)}."""


def found(state, seen, **answers):
    changed, pools = STATES[state]
    findings = rows.compared(rows.some(**changed), rows.names(**pools), evidence=seen)
    return rows.closer(findings, **answers)


def takes_away(findings):
    typed = [one.as_data()["command"] for one in findings]
    return [text for text in typed if any(word in text for word in TAKES_AWAY)]


def without(name):
    """All that can be looked at, but one."""
    if name == "owners":
        return Evidence(rows.ALL.looked, hosts=rows.ALL.hosts)
    if name == "hosts":
        return Evidence(rows.ALL.looked, owned=rows.ALL.owned, hosts=frozenset({"edge1"}))
    return Evidence(rows.ALL.looked - {name}, owned=rows.ALL.owned, hosts=rows.ALL.hosts)


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_taken_away_where_nothing_was_looked_at(state):
    changed, pools = STATES[state]
    before = rows.some(**changed)
    by_names = compare.compare(rows.PLACES, before, rows.names(**pools), before)
    assert by_names and takes_away(by_names) == []
    assert all("look first at" in one.settles or "show" in one.settles for one in by_names)


@pytest.mark.parametrize(
    "state, name",
    [
        ("volume", "databases"),
        ("volume", "backend"),
        ("volume", "hosts"),
        ("image", "databases"),
        ("backup", "backups"),
        ("backup", "databases"),
        ("orphaned volume", "owners"),
        ("orphaned volume", "databases"),
        ("orphaned image", "owners"),
        ("orphaned backup", "owners"),
        ("orphaned disk", "cells"),
        ("orphaned disk", "owners"),
        ("attached in Cinder", "cells"),
        ("attached nowhere", "cells"),
        ("attached nowhere", "databases"),
    ],
)
def test_one_thing_that_was_not_looked_at_is_enough(state, name):
    assert takes_away(found(state, rows.ALL))
    assert takes_away(found(state, without(name))) == []


REFUSED = {"code": 1, "out": "", "err": "rbd: operation not permitted"}
OPEN = answer({"watchers": [{"address": "10.0.0.9:0/1"}]})


def info(**more):
    return answer({"size": rows.GIB, **more})


@pytest.mark.parametrize(
    "state, answers",
    [
        ("volume", {"info": REFUSED}),
        ("image", {"info": REFUSED}),
        ("backup", {"info": REFUSED}),
        ("orphaned volume", {"children": REFUSED}),
        ("orphaned volume", {"status": REFUSED}),
        ("orphaned volume", {"status": OPEN}),
        ("orphaned volume", {"children": answer([{"pool": "vms", "image": "x"}])}),
        ("orphaned volume", {"info": REFUSED}),
        ("orphaned volume", {"info": info(mirroring={"state": "enabled", "primary": False})}),
        ("orphaned volume", {"info": info(group="volumes/g")}),
        ("orphaned volume", {"info": info(features=["layering", "migrating"])}),
        ("orphaned volume", {"status": answer({"watchers": [], "migration": {"state": "x"}})}),
        ("attached in Cinder", {"status": OPEN}),
        ("attached in Cinder", {"status": REFUSED}),
        ("attached nowhere", {"status": OPEN}),
    ],
)
def test_a_closer_look_that_failed_or_says_otherwise_leaves_it_alone(state, answers):
    left = found(state, rows.ALL, **answers)
    assert left and takes_away(left) == []


@pytest.mark.parametrize(
    "disk, status", [(Disk(rows.N, rows.W, "volume", ""), "in-use"), (None, "reserved")]
)
def test_a_volume_that_nova_has_is_not_given_back(disk, status):
    before = rows.some(
        volume=[rows.VOLUME, rows.FREE._replace(status=status)],
        disk=[*rows.HEALTHY["disk"], *([disk] if disk else [])],
    )
    assert takes_away(rows.closer(rows.compared(before))) == []


def test_an_attached_volume_of_another_backend_has_no_image_to_look_at():
    before = rows.some(
        volume=[rows.VOLUME, rows.FREE._replace(host="ctl@nfs#nfs", status="in-use")],
    )
    (one,) = rows.closer(rows.compared(before))
    assert (one.name, takes_away([one])) == ("", [])
    assert "who has it open" in one.settles


def test_many_names_without_a_row_are_another_clouds():
    strangers = {f"volume-{rows.an_id(n)}" for n in range(100, 120)}
    seen = rows.names(volumes={*rows.THERE["volumes"], *strangers})
    left = rows.closer(rows.compared(seen=seen))
    assert len(left) == 20 and takes_away(left) == []
    assert "another cloud's, or an older database" in left[0].settles


@pytest.mark.parametrize("source", ["MIGRATION", "MIRRORING"])
def test_what_a_migration_put_into_the_trash_is_left(source):
    seen = rows.names({"volumes": {"5e1f": f"volume-{rows.S}"}})
    entry = {"id": "5e1f", "status": "expired at Mon Nov 23 12:00:00 2026", "source": source}
    assert rows.closer(rows.compared(seen=seen), long=answer([entry])) == []


def test_the_trash_is_not_emptied_of_what_may_have_clones():
    seen = rows.names({"volumes": {"5e1f": f"volume-{rows.S}"}})
    entry = {"id": "5e1f", "status": "expired at Mon Nov 23 12:00:00 2026", "source": "USER"}
    (one,) = rows.closer(rows.compared(seen=seen), long=answer([entry]), children=REFUSED)
    assert takes_away([one]) == []
    (one,) = rows.closer(rows.compared(seen=seen), long=answer([entry]))
    assert takes_away([one])


# A name that comes from a row


@pytest.mark.parametrize(
    "evil", ["$(touch /tmp/owned)", "x; rm -rf /", "--os-cloud=x", "a\nb", "'", "-f", "`id`"]
)
def test_a_row_is_no_word_of_a_command_unless_it_is_a_uuid(evil):
    gone = Rows(
        image=frozenset({Image(evil, "active", "1", f"rbd://{FSID}/images/x/snap")}),
        volume=frozenset({rows.Volume(evil, evil, "available", "1", rows.HOST, "")}),
        attachment=frozenset({Attachment(evil, "v", "i", "attached")}),
        disk=frozenset({Disk(evil, evil, "volume", "")}),
        backup=frozenset({rows.Backup(evil, evil, "available", "ceph", "", "bak")}),
    )
    nothing = compare.Names({"volumes": frozenset(), "images": frozenset()}, {})
    for one in compare.compare(rows.PLACES, gone, nothing, gone, rows.ALL):
        assert evil not in one.settles
        assert one.as_data()["command"] == "" or evil not in str(one.as_data()["command"])


# The databases


COLUMNS = [*rows.COLUMNS, "nova_api\tcell_mappings\tdatabase_connection"]


def test_cells_are_asked_for_without_their_passwords():
    found_ = database_rows.schemas(COLUMNS)
    asked = database_rows.question(found_)
    assert "`nova_api`.cell_mappings" in asked
    assert "SUBSTRING_INDEX(m.database_connection, '@', -1)" in asked
    assert "cell_mappings" in database_rows.COLUMNS


@pytest.mark.parametrize(
    "places, seen",
    [
        (["db/nova_cell0", "db/nova"], True),
        (["db:3306/nova_cell0", "db:3306/nova"], True),
        (["db/nova_cell0", "db/nova", "cell1/nova_cell1"], False),  # on another server
        (["db/nova_cell0", "db/nova", "db/nova_cell1"], False),  # not there
        (["db/nova_cell0", "cell1/nova"], False),  # of the same name
        (["db/nova_cell0", ""], False),  # none was told
        (["db/nova_cell0", "{hostname}/{path}"], False),  # a template of Nova's
        ([], False),  # no cell_mappings: nobody says which cells there are
    ],
)
def test_cells_with_databases_of_their_own_are_not_seen(places, seen):
    cells = frozenset(Cell(rows.an_id(n), place) for n, place in enumerate(places))
    schemas = Schemas("cinder", "glance", ("nova", "nova_cell0"))
    assert evidence.cells_are_seen(schemas, Rows(cell=cells)) is seen


def test_a_second_cinder_on_the_same_server_is_said():
    second = [c.replace("cinder\t", "cinder_two\t") for c in COLUMNS if c.startswith("cinder")]
    assert database_rows.schemas([*COLUMNS, *second]).others == ("cinder_two",)
    assert database_rows.schemas(COLUMNS).others == ()


def test_an_instance_of_another_cell_loses_nothing():
    """The tables as the case has them: its instance is in the other cell's database."""
    before = rows.some(instance=[], disk=[])
    seen = Evidence(rows.ALL.looked - {"cells"}, owned=rows.ALL.owned, hosts=rows.ALL.hosts)
    left = rows.closer(rows.compared(before, evidence=seen))
    assert {one.kind for one in left} == {"attached", "orphaned"}
    assert takes_away(left) == []


# Who may write a pool


@pytest.mark.parametrize(
    "osd, writes",
    [
        ("profile rbd pool=volumes", True),
        ("profile rbd", True),
        ("allow *", True),
        ("allow rwx", True),
        ("allow rwx pool=volumes", True),
        ("allow rw pool=volumes namespace=x", True),
        ("allow rwx tag rbd volumes=*", True),
        ("allow class-read object_prefix rbd_children, allow rwx pool=volumes", True),
        ("allow class-write", True),
        ("profile something-new", True),
        ("profile rbd-read-only pool=volumes", False),
        ("profile rbd pool=others", False),
        ("allow rwx pool=volumes-2", False),
        ("allow r", False),
        ("allow rx pool=volumes", False),
        ("allow class-read object_prefix rbd_children", False),
        ("", False),
    ],
)
def test_who_may_write_a_pool(osd, writes):
    users = {"auth_dump": [{"entity": "client.cloud2", "caps": {"osd": osd}}]}
    assert list(evidence.writers(users, "volumes")) == ["client.cloud2"] * writes


@pytest.mark.parametrize("entity", ["client.admin", "osd.1", "mgr.x", "client.bootstrap-osd"])
def test_cephs_own_users_are_nobodys_cloud(entity):
    users = {"auth_dump": [{"entity": entity, "caps": {"osd": "allow *"}}]}
    assert list(evidence.writers(users, "volumes")) == []


def a_look(*options, users=(), more_pools=(), others=()):
    """What is gathered of a site whose cinder.conf has these options besides."""
    active = [
        ["rbd", "volume_driver", "cinder.volume.drivers.rbd.RBDDriver"],
        ["rbd", "rbd_pool", "volumes"],
        ["rbd", "rbd_user", "volumes"],
        ["rbd", "rbd_ceph_conf", "/etc/ceph/ceph.conf"],
        *options,
    ]
    ours = [
        {"entity": f"client.{name}", "key": "sha256:x", "caps": {"osd": f"profile rbd pool={name}"}}
        for name in ("volumes", "images")
    ]
    answers = {
        "ceph01": {
            "pools": answer(["volumes", "images", *more_pools]),
            "users": answer({"auth_dump": [*ours, *users]}),
        },
        "ctl": {
            "host": {"hostname": "controller01"},
            "cinder.conf": conf(*active),
            "cinder.sources": sources("cinder"),
        },
    }
    schemas = Schemas("cinder", "glance", ("nova", "nova_cell0"), others=tuple(others))
    cells = Rows(cell=frozenset({Cell("0", "db/nova_cell0"), Cell("1", "db/nova")}))
    return evidence.gathered(site(), answers, schemas, cells)


BACKUP = [
    ["DEFAULT", "backup_driver", "cinder.backup.drivers.ceph.CephBackupDriver"],
    ["DEFAULT", "backup_ceph_user", "backups"],
]


def test_all_is_gathered_of_a_site_whose_files_and_users_are_its_own():
    seen = a_look(*BACKUP)
    assert seen.looked == {"cells", "databases", "backend", "backups"}
    assert seen.owned == seen.pools == {"volumes", "images"}
    assert {"ctl", "controller01"} <= seen.hosts


@pytest.mark.parametrize(
    "options, name",
    [
        ([["rbd", "rbd_pool", "others"]], "backend"),
        ([["rbd", "rbd_ceph_conf", "/etc/ceph/second.conf"]], "backend"),
        ([["rbd", "rbd_cluster_name", "second"]], "backend"),
        ([*BACKUP, ["DEFAULT", "backup_ceph_conf", "/etc/ceph/backup.conf"]], "backups"),
        ([["DEFAULT", "backup_driver", "cinder.backup.drivers.swift.SwiftBackup"]], "backups"),
        ([], "backups"),
    ],
)
def test_options_that_lead_elsewhere_are_no_evidence(options, name):
    assert name not in a_look(*options).looked


@pytest.mark.parametrize("user", ["cloud2", "manila", "rbd-mirror.site-b", "kubernetes"])
def test_a_user_of_nobodys_who_may_write_a_pool_may_own_what_is_in_it(user):
    stranger = {"entity": f"client.{user}", "caps": {"osd": "profile rbd pool=volumes"}}
    assert a_look(users=[stranger]).owned == {"images"}


def test_another_database_is_no_evidence():
    assert "databases" not in a_look(others=["cinder_two"]).looked


def test_pools_that_the_cluster_does_not_have_are_not_asked():
    before = rows.some(
        backup=[rows.HEALTHY["backup"][0]._replace(pool="--help")],
        image=[Image(rows.G, "active", "4096", f"rbd://{FSID}/gone/{rows.G}/snap")],
    )
    seen = a_look(more_pools=["vms"])
    assert compare.pools(rows.PLACES, before, seen) == ["images", "vms", "volumes"]
    nothing = rows.names(images=set(), bak=set())
    assert [
        one.thing
        for one in compare.compare(rows.PLACES, before, nothing, before, seen)
        if one.kind == "missing"
    ] == ["image"]


def test_a_closer_look_asks_what_it_needs():
    findings = rows.compared(rows.some(disk=[Disk(rows.N, "", "local", "0")]))
    asked = rbd_images.suspects(site().cluster, findings)
    assert list(asked) == [f"status volumes/volume-{rows.V}"]
    assert json.loads(json.dumps(asked))
