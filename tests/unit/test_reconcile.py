"""Rows against names: what is a finding, and what only looks like one."""

import json
import re
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from fabfile.audit import compare, database_rows, rbd_images
from fabfile.audit.database_rows import (
    Attachment,
    Backup,
    Disk,
    Image,
    Instance,
    Rows,
    Snapshot,
    Volume,
)
from fabfile.audit.evidence import Evidence
from fabfile.audit.rbd_images import Held
from fabfile.core.contract import BadInput

from .states import FSID, site

PLACES = compare.Places(site().cluster, FSID, {"rbd": "volumes"}, frozenset({"images"}), "vms")
HOST = "ctl@rbd#rbd"
GIB = 1 << 30


def an_id(number):
    return str(uuid.UUID(int=number))


V, W, S, A, N, G, B = map(an_id, range(1, 8))
LOCATION = f"rbd://{FSID}/images/{G}/snap"
VOLUME = Volume(V, V, "in-use", "2", HOST, "")
FREE = Volume(W, W, "available", "1", HOST, "")
HEALTHY = {
    "volume": [VOLUME, FREE],
    "snapshot": [Snapshot(S, V, "available", "2", HOST)],
    "attachment": [Attachment(A, V, N, "attached")],
    "backup": [Backup(B, V, "available", "cinder.backup.drivers.ceph.CephBackupDriver", "", "bak")],
    "image": [Image(G, "active", "4096", LOCATION)],
    "instance": [Instance(N, "active", "1", "n1")],
    "disk": [Disk(N, "", "local", "0"), Disk(N, V, "volume", "")],
}
THERE = {
    "volumes": {f"volume-{V}", f"volume-{W}"},
    "images": {G},
    "vms": {f"{N}_disk", f"{N}_disk.config"},
    "bak": {f"volume-{V}.backup.base"},
}


def some(**kinds):
    return Rows(**{kind: frozenset(found) for kind, found in {**HEALTHY, **kinds}.items()})


def names(trash=None, **pools):
    there = {pool: frozenset(found) for pool, found in {**THERE, **pools}.items()}
    return compare.Names(there, trash or {})


ALL = Evidence(
    frozenset({"cells", "databases", "backend", "backups"}),
    owned=frozenset({"volumes", "images", "vms", "bak"}),
    hosts=frozenset({"ctl"}),
)
"""Everything that can be looked at beside rows and names."""


def compared(before=None, seen=None, after=None, evidence=ALL):
    before = before or some()
    return compare.compare(PLACES, before, seen or names(), after or before, evidence)


def closer(findings, **answers):
    """After a closer look, in which every image is as nobody needs it: {question: answer}."""
    given = {
        "info": GONE,
        "children": answer([]),
        "status": answer({"watchers": []}),
        "long": answer([]),
        **answers,
    }
    asked = rbd_images.suspects(site().cluster, findings)
    there = {
        f"info {f.pool}/{f.name}": answer({"size": GIB}) for f in findings if f.kind == "orphaned"
    }
    told_ = {name: given[name.partition(" ")[0]] for name in asked}
    if "info" not in answers:
        told_ |= {name: value for name, value in there.items() if name in told_}
    return rbd_images.looked_at(PLACES, findings, told_)


def told(findings):
    return [(f.kind, f.thing, f.row, f.settles) for f in findings]


def test_a_cloud_that_agrees_has_no_finding():
    assert compared() == []
    assert compare.pools(PLACES, some()) == ["bak", "images", "vms", "volumes"]


@pytest.mark.parametrize(
    "changed, expected",
    [
        (
            {"volumes": {f"volume-{V}"}},
            ("missing", "volume", W, f"openstack volume delete --force {W}"),
        ),
        ({"images": set()}, ("missing", "image", G, f"openstack image delete {G}")),
        ({"bak": set()}, ("missing", "backup", B, f"openstack volume backup delete --force {B}")),
        ({"vms": {f"{N}_disk.config"}}, ("missing", "disk", N, f"openstack server show {N}")),
        (
            {"volumes": {*THERE["volumes"], f"volume-{S}"}},
            ("orphaned", "volume", S, f"rbd trash mv volumes/volume-{S}"),
        ),
        ({"images": {G, S}}, ("orphaned", "image", S, f"rbd trash mv images/{S}")),
        (
            {"vms": {*THERE["vms"], f"{S}_disk"}},
            ("orphaned", "disk", S, f"rbd trash mv vms/{S}_disk"),
        ),
        (
            {"bak": {*THERE["bak"], f"volume-{S}.backup.base"}},
            ("orphaned", "backup", S, f"rbd trash mv bak/volume-{S}.backup.base"),
        ),
    ],
)
def test_what_one_side_alone_has(changed, expected):
    assert told(closer(compared(seen=names(**changed)))) == [expected]


def test_an_image_in_the_trash_is_brought_back_by_its_id():
    seen = names({"volumes": {"5e1f": f"volume-{W}"}}, volumes={f"volume-{V}"})
    (found,) = compared(seen=seen)
    assert found.settles == "rbd trash restore -p volumes 5e1f"


@pytest.mark.parametrize(
    "volume",
    [FREE._replace(status=status) for status in ("creating", "error", "deleting", "downloading")]
    + [
        FREE._replace(host="ctl@nfs#nfs"),
        FREE._replace(host=""),
        FREE._replace(migration="migrating"),
    ],
)
def test_a_volume_that_needs_no_image_here_misses_none(volume):
    before = some(volume=[VOLUME, volume])
    assert compared(before, names(volumes={f"volume-{V}"})) == []


def test_an_image_that_any_row_knows_is_no_orphan():
    elsewhere = FREE._replace(host="ctl@other-rbd#x", status="error")
    assert compared(some(volume=[VOLUME, elsewhere])) == []


def test_a_migrated_volume_has_its_image_under_another_id():
    moved = FREE._replace(name_id=S)
    seen = names(volumes={f"volume-{V}", f"volume-{S}"})
    assert compared(some(volume=[VOLUME, moved]), seen) == []
    assert [f.name for f in compared(some(volume=[VOLUME, moved]))] == [f"volume-{S}"]


def test_what_came_or_went_meanwhile_is_no_finding():
    fewer = some(volume=[VOLUME])
    assert compared(before=fewer, after=some()) == []  # its row came after the first look
    assert compared(before=some(), after=fewer) == []  # its row went before the second
    without = names(volumes={f"volume-{V}"})
    assert compared(before=some(), seen=without, after=fewer) == []
    assert compared(before=fewer, seen=without, after=some()) == []


@pytest.mark.parametrize(
    "rows_, sentence, command",
    [
        (
            {"disk": [Disk(N, "", "local", "0")]},
            f"attached to instance {N} in Cinder, not in Nova",
            f"openstack --os-volume-api-version 3.27 volume attachment delete {A}",
        ),
        (
            {"disk": [*HEALTHY["disk"], Disk(N, W, "volume", "")]},
            f"attached to instance {N} in Nova, not in Cinder",
            f"openstack server show {N}",
        ),
        (
            {"volume": [VOLUME, FREE._replace(status="in-use")]},
            "in use, and attached nowhere",
            f"openstack volume set --state available --detached {W}",
        ),
        (
            {"volume": [VOLUME._replace(status="available"), FREE]},
            "available, and attached",
            f"openstack volume set --state in-use --attached {V}",
        ),
    ],
)
def test_attached_in_one_and_not_in_the_other(rows_, sentence, command):
    (found,) = closer(compared(some(**rows_)))
    assert (found.kind, found.sentence, found.settles) == ("attached", sentence, command)


def test_an_attachment_that_is_only_reserved_is_enough_for_nova():
    reserved = HEALTHY["attachment"][0]._replace(status="reserved")
    assert compared(some(attachment=[reserved])) == []


THERE_TOO = f"rbd://{an_id(9)}/images/{G}/snap"


@pytest.mark.parametrize(
    "locations, pool",
    [
        ([THERE_TOO], {G}),
        ([LOCATION, THERE_TOO], {G}),
        (["swift+https://x/y"], {G}),
        ([""], {G}),
        ([f"rbd://{FSID.upper()}/images/{G}/snap"], {G}),
        ([f"rbd://{FSID}/images/{G}/snap".replace("/images/", "/%69mages/")], {G}),
    ],
)
def test_a_location_elsewhere_is_no_fault(locations, pool):
    rows_ = some(image=[Image(G, "active", "4096", one) for one in locations])
    assert compared(rows_, names(images=pool)) == []
    assert compare.elsewhere(PLACES, rows_) == locations.count(THERE_TOO)


@pytest.mark.parametrize("other", [THERE_TOO, "file:///var/lib/glance/images/x", "cinder://x/y"])
def test_an_image_that_has_another_location_is_not_deleted(other):
    rows_ = some(image=[Image(G, "active", "4096", one) for one in (LOCATION, other)])
    (found,) = closer(compared(rows_, names(images=set())))
    assert (found.kind, found.row) == ("missing", G)
    assert found.as_data()["command"] == ""
    assert "every location of the image" in found.settles


def test_names_that_are_not_openstacks_are_left_alone_and_counted():
    seen = names(volumes={*THERE["volumes"], "mine", "volume-x"}, vms={*THERE["vms"], "iso"})
    assert compared(seen=seen) == []
    assert compare.foreign(PLACES, seen) == {"volumes": 2, "vms": 1}


def test_the_sites_own_name_templates_hold():
    places = replace(PLACES, volume_name="vol_%s")
    seen = names(volumes={f"vol_{V}", f"vol_{W}", f"vol_{S}"})
    found = compare.compare(places, some(), seen, some())
    assert [(f.kind, f.row) for f in found] == [("orphaned", S)]


@pytest.mark.parametrize("odd", ["a b", "$(touch /tmp/owned)", "-p", "x\ny", ""])
def test_an_id_of_another_form_is_no_word_of_a_command(odd):
    trash = {"volumes": {odd: f"volume-{W}"}}
    (found,) = compared(seen=names(trash, volumes={f"volume-{V}"}))
    assert found.as_data()["command"] == ""
    assert "not of the form" in found.settles


# The closer look


def answer(document, code=0):
    return {"code": code, "out": json.dumps(document), "err": ""}


GONE = {"code": 2, "out": "", "err": "No such file or directory"}


def orphan(name, **answers):
    seen = names(volumes={*THERE["volumes"], name})
    spec = f"volumes/{name}"
    given = {
        f"info {spec}": answer({"size": GIB}),
        f"children {spec}": answer([]),
        f"status {spec}": answer({"watchers": []}),
    }
    if name.endswith(compare.DELETED):
        given[f"snapshots {spec}"] = answer(CLONES_SNAP)
    given |= {f"{question} {spec}": value for question, value in answers.items()}
    findings = compared(seen=seen)
    assert {*rbd_images.suspects(site().cluster, findings)} == {*given}
    return rbd_images.looked_at(PLACES, findings, given)


def test_an_orphan_is_shown_with_its_size():
    (found,) = orphan(f"volume-{S}")
    assert found.sentence == "no row names it (1.00 GiB)"


def test_an_orphan_that_is_in_use_is_not_to_be_moved():
    (found,) = orphan(f"volume-{S}", status=answer({"watchers": [{"address": "10.0.0.1:0/1"}]}))
    assert "open at 10.0.0.1:0/1" in found.sentence
    assert found.settles == f"rbd status volumes/volume-{S}"
    (found,) = orphan(f"volume-{S}", children=answer([{"pool": "volumes", "image": "x"}]))
    assert "1 clones need it" in found.sentence


def test_what_went_meanwhile_or_is_kept_for_clones_is_no_finding():
    assert orphan(f"volume-{S}", info=GONE) == []
    assert orphan(f"volume-{S}.deleted", children=answer([{"image": "x"}])) == []
    assert len(orphan(f"volume-{S}.deleted")) == 1


SNAP = f"volume-{B}.clone_snap"


def snap(name=SNAP, protected="true", **namespace):
    """As rbd snap ls --all lists one since Nautilus."""
    kind = {"type": "user", **namespace}
    return {"id": 4, "name": name, "size": GIB, "protected": protected, "namespace": kind}


CLONES_SNAP = [snap()]
KEPT = f"volumes/volume-{S}.deleted"
AWAY = f"rbd trash mv {KEPT}"
SNAP_AWAY = f"rbd snap unprotect {KEPT}@{SNAP} && rbd snap rm {KEPT}@{SNAP}"


@pytest.mark.parametrize(
    "snapshots, command",
    [
        ([snap()], f"{SNAP_AWAY} && {AWAY}"),
        ([snap(protected="false")], f"rbd snap rm {KEPT}@{SNAP} && {AWAY}"),
        ([snap(protected=False)], f"rbd snap rm {KEPT}@{SNAP} && {AWAY}"),
        ([snap(protected="")], f"rbd snap rm {KEPT}@{SNAP} && {AWAY}"),
        ([snap(protected=True)], f"{SNAP_AWAY} && {AWAY}"),
        ([snap(protected="yes")], f"{SNAP_AWAY} && {AWAY}"),
        # Before Nautilus neither is told.
        ([{"id": 4, "name": SNAP, "size": GIB}], f"{SNAP_AWAY} && {AWAY}"),
        (
            [snap(), snap(f"volume-{A}.clone_snap")],
            f"{SNAP_AWAY.replace(B, A)} && {SNAP_AWAY} && {AWAY}",
        ),
        ([], AWAY),
    ],
)
def test_what_cinder_kept_for_clones_that_are_gone_has_the_commands_that_clear_it(
    snapshots, command
):
    (found,) = orphan(f"volume-{S}.deleted", snapshots=answer(snapshots))
    assert (found.kind, found.row, found.settles) == ("orphaned", S, command)
    assert "deleted while it had clones, which are gone" in found.sentence
    assert found.as_data()["command"] == command


LOOK = f"rbd snap ls --all {KEPT}"


@pytest.mark.parametrize(
    "answers, shown",
    [
        # A snapshot that is no clone's of Cinder's, or that is not told.
        ({"snapshots": answer([snap(), snap(f"snapshot-{B}")])}, LOOK),
        ({"snapshots": answer([snap("by hand")])}, LOOK),
        ({"snapshots": answer([snap(f"volume-{B}.clone_snap.old")])}, LOOK),
        ({"snapshots": answer([snap(f"x-volume-{B}.clone_snap")])}, LOOK),
        ({"snapshots": answer([snap(f"volume-{B}.clone_snap; reboot")])}, LOOK),
        ({"snapshots": answer([snap("volume-$(reboot).clone_snap")])}, LOOK),
        ({"snapshots": answer([snap(type="trash", original_name=SNAP)])}, LOOK),
        ({"snapshots": answer([snap(type="mirror")])}, LOOK),
        ({"snapshots": answer([snap(type="group")])}, LOOK),
        ({"snapshots": GONE}, LOOK),
        ({"snapshots": {"code": 22, "out": "", "err": "unrecognised option '--all'"}}, LOOK),
        # What could speak against it, and was not told or does.
        ({"children": GONE}, "what was cloned from it"),
        ({"status": GONE}, "who has it open"),
        ({"info": answer({"size": GIB, "mirroring": {"state": "enabled"}})}, "whether it is"),
        ({"info": answer({"size": GIB, "group": "g"})}, "whether it is mirrored"),
        ({"status": answer({"watchers": [{"address": "10.0.0.1:0/1"}]})}, "rbd status"),
    ],
)
def test_what_was_kept_is_not_cleared_by_a_command_while_something_speaks_for_it(answers, shown):
    (found,) = orphan(f"volume-{S}.deleted", **answers)
    assert shown in found.settles
    assert "snap rm" not in found.settles and "trash" not in found.as_data()["command"]


@pytest.mark.parametrize("state", [[{"image": "x"}], ["volumes/x"]])
def test_a_clone_of_either_format_keeps_its_parent(state):
    """v1's and v2's are listed alike."""
    assert orphan(f"volume-{S}.deleted", children=answer(state)) == []


def test_a_row_that_lives_is_no_leftover_and_its_data_is_not_gone():
    there = {f"volume-{V}", f"volume-{W}.deleted"}
    (found,) = closer(compared(seen=names(volumes=there)))
    assert (found.kind, found.row) == ("missing", W)
    assert found.settles == f"openstack volume show {W}"
    assert f"there as volume-{W}.deleted" in found.sentence
    going = some(volume=[VOLUME, FREE._replace(status="deleting")])
    assert compared(going, names(volumes=there)) == []
    moved = some(volume=[VOLUME, FREE._replace(name_id=S, status="deleting")])
    assert compared(moved, names(volumes={f"volume-{V}", f"volume-{S}.deleted"})) == []


def many(kind, first=0x1000, count=200):
    return {kind % an_id(number) for number in range(first, first + count)}


@pytest.mark.parametrize(
    "there, commands",
    [
        # Hundreds that were kept say nothing of whose the pool is ...
        ({*THERE["volumes"], *many("volume-%s.deleted")}, 200),
        # ... those without the end do, and a pool in which the database knows nothing.
        ({*THERE["volumes"], *many("volume-%s"), f"volume-{S}.deleted"}, 0),
        ({f"volume-{S}.deleted"}, 0),
    ],
)
def test_what_is_kept_piles_up(there, commands):
    rows_ = some(volume=[one for one in (VOLUME, FREE) if f"volume-{one.id}" in there])
    found = compared(rows_, names(volumes=there))
    kept = [f for f in found if f.name.endswith(".deleted")]
    asked = rbd_images.suspects(site().cluster, kept)
    easy = {"info": {"size": GIB}, "children": [], "status": {"watchers": []}, "snapshots": []}
    told_ = {name: answer(easy[name.partition(" ")[0]]) for name in asked}
    found = rbd_images.looked_at(PLACES, kept, told_)
    assert sum(bool(f.as_data()["command"]) for f in found) == commands


def test_an_image_that_came_meanwhile_is_not_missing():
    findings = compared(seen=names(volumes={f"volume-{V}"}))
    spec = f"volumes/volume-{W}"
    assert rbd_images.looked_at(PLACES, findings, {f"info {spec}": answer({"size": GIB})}) == []
    assert len(rbd_images.looked_at(PLACES, findings, {f"info {spec}": GONE})) == 1


@pytest.mark.parametrize(
    "status, children, count",
    [
        ("expired at Mon Nov 23 12:00:00 2026", [], 1),
        ("protected until Mon Nov 30 12:00:00 2026", [], 0),
        ("expired at Mon Nov 23 12:00:00 2026", [{"image": "x"}], 0),
    ],
)
def test_the_trash_holds_what_waits_or_is_needed(status, children, count):
    findings = compared(seen=names({"volumes": {"5e1f": f"volume-{S}"}}))
    spec = f"volumes/volume-{S} (5e1f)"
    told_ = {
        "long volumes": answer([{"id": "5e1f", "name": f"volume-{S}", "status": status}]),
        f"children {spec}": answer(children),
    }
    assert {*rbd_images.suspects(site().cluster, findings)} == {*told_}
    found = rbd_images.looked_at(PLACES, findings, told_)
    assert [f.settles for f in found] == ["rbd trash rm volumes/5e1f"] * count


# Every image, by choice

IMAGES = {
    ("volumes", f"volume-{V}"): Held(2 * GIB, frozenset({f"snapshot-{S}"})),
    ("volumes", f"volume-{W}"): Held(GIB, frozenset({f"volume-{S}.clone_snap"})),
    ("images", G): Held(4096, frozenset({"snap"})),
}
OPEN = {("volumes", f"volume-{V}"): ("10.0.0.1:0/1",), ("volumes", f"volume-{W}"): ()}


def differing(images=None, open_at=None):
    return rbd_images.differing(
        PLACES, some(), some(), {**IMAGES, **(images or {})}, {**OPEN, **(open_at or {})}
    )


def test_images_that_agree_have_no_finding():
    assert differing() == []
    assert rbd_images.to_watch(PLACES, some(), some()) == sorted(OPEN)


@pytest.mark.parametrize(
    "images, open_at, kind, thing, command",
    [
        (
            {("volumes", f"volume-{V}"): Held(GIB, frozenset({f"snapshot-{S}"}))},
            {},
            "size",
            "volume",
            f"rbd resize --size 2G volumes/volume-{V}",
        ),
        (
            {("volumes", f"volume-{W}"): Held(3 * GIB - 5)},
            {},
            "size",
            "volume",
            f"openstack volume set --size 3 {W}",
        ),
        (
            {("images", G): Held(8192, frozenset({"snap"}))},
            {},
            "size",
            "image",
            f"openstack image show {G}",
        ),
        (
            {("volumes", f"volume-{V}"): Held(2 * GIB)},
            {},
            "missing",
            "snapshot",
            f"rbd snap ls --all volumes/volume-{V}",
        ),
        (
            {("volumes", f"volume-{W}"): Held(GIB, frozenset({f"snapshot-{B}"}))},
            {},
            "orphaned",
            "snapshot",
            f"rbd children --all volumes/volume-{W}",
        ),
        (
            {("images", G): Held(4096)},
            {},
            "missing",
            "snapshot",
            f"rbd snap create images/{G}@snap && rbd snap protect images/{G}@snap",
        ),
        (
            {},
            {("volumes", f"volume-{V}"): ()},
            "attached",
            "volume",
            f"openstack server show {N}",
        ),
        (
            {},
            {("volumes", f"volume-{W}"): ("10.0.0.9:0/7",)},
            "attached",
            "volume",
            f"rbd status volumes/volume-{W}",
        ),
    ],
)
def test_what_an_image_itself_shows(images, open_at, kind, thing, command):
    (found,) = differing(images, open_at)
    assert (found.kind, found.thing, found.settles) == (kind, thing, command)


def test_what_is_not_there_is_no_second_finding():
    assert differing(open_at={("volumes", f"volume-{V}"): None}) == []
    gone = {spec: one for spec, one in IMAGES.items() if spec != ("volumes", f"volume-{V}")}
    assert rbd_images.differing(PLACES, some(), some(), gone, OPEN) == []


def test_the_listing_of_a_pool_is_read():
    text = json.dumps(
        [
            {"image": "a", "id": "1", "size": 7, "format": 2},
            {"image": "a", "id": "1", "snapshot": "s", "snapshot_id": 3, "size": 7, "format": 2},
        ],
        indent=4,
    )
    assert rbd_images.listed("p", text.split("\n")) == {("p", "a"): Held(7, frozenset({"s"}))}
    assert rbd_images.listed("p", []) == {}


# The questions


COLUMNS = [
    *(f"cinder\tvolumes\t{c}" for c in ("id", "_name_id", "migration_status")),
    "cinder\tsnapshots\tid",
    "cinder\tvolume_attachment\tinstance_uuid",
    *(f"cinder\tbackups\t{c}" for c in ("service", "service_metadata")),
    "glance\timages\tid",
    "glance\timage_locations\tvalue",
    *(f"{n}\tinstances\tid" for n in ("nova", "nova_cell0")),
    *(f"{n}\tblock_device_mapping\tid" for n in ("nova", "nova_cell0")),
]


def test_databases_are_known_by_their_tables():
    found = database_rows.schemas(COLUMNS)
    assert found.names() == ["cinder", "glance", "nova", "nova_cell0"]
    asked = database_rows.question(found)
    assert asked.count("SELECT '") == 9
    assert "`nova_cell0`.instances" in asked


def test_a_release_without_a_column_is_not_asked_for_it():
    old = [c for c in COLUMNS if not re.search("_name_id|migration|attachment|backups", c)]
    asked = database_rows.question(database_rows.schemas(old))
    assert "_name_id" not in asked and "attachment" not in asked and "backups" not in asked


@pytest.mark.parametrize("gone", ["cinder", "glance"])
def test_a_host_without_the_databases_is_refused(gone):
    with pytest.raises(BadInput, match=f"expected one of {gone}'s, found none"):
        database_rows.schemas([c for c in COLUMNS if not c.startswith(gone)])


def test_a_copy_of_a_database_is_not_taken_for_it():
    copy = [c.replace("cinder", "cinder_old") for c in COLUMNS if c.startswith("cinder")]
    assert database_rows.schemas([*COLUMNS, *copy]).cinder == "cinder"
    renamed = [c.replace("cinder\t", "cinder_new\t") for c in COLUMNS]
    with pytest.raises(BadInput, match="found cinder_new, cinder_old"):
        database_rows.schemas([*renamed, *copy])


@pytest.mark.parametrize(
    "line, expected",
    [
        ("a\tb", ["a", "b"]),
        (r"a\tb" + "\t" + r"c\\n" + "\t" + r"d\ne", ["a\tb", r"c\n", "d\ne"]),
        ("\\", ["\\"]),
    ],
)
def test_cells_are_read_as_the_client_writes_them(line, expected):
    assert list(database_rows.cells(line)) == expected


def test_rows_are_read_by_kind():
    lines = [f"volume\t{V}\t{V}\tavailable\t2\t{HOST}\t", f"disk\t{N}\t\tlocal\t0"]
    found = database_rows.rows(lines)
    assert found.volume == {Volume(V, V, "available", "2", HOST, "")}
    assert found.disk == {Disk(N, "", "local", "0")}


# As many as there may be


def test_a_hundred_thousand_of_each_in_a_minute_and_500_mb():
    program = Path(__file__).with_name("many_rows.py")
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        timeout=200,
    )
    said = json.loads(done.stdout)
    assert said["findings"] == 10
    assert said["rows"] >= 100_000
    assert said["names"] >= 100_000
    assert said["seconds"] < 60
    assert said["megabytes"] < 500


@pytest.mark.parametrize(
    "word", ["no-such-pool", "--conf=/tmp/evil.conf", "-c", "a b", "x\ny", "é"]
)
def test_a_pool_that_a_tenant_made_up_is_left_out_and_settles_nothing(word):
    """`openstack volume backup create --container WORD`, by any user of the cloud."""
    rows = some(
        backup=[
            database_rows.Backup(B, V, status, "cinder.backup.drivers.ceph", "", word)
            for status in ("error", "available")
        ]
    )
    assert compare.strangers(PLACES, rows, ["volumes", "images", "vms"]) == [word]
    assert not [f for f in compared(rows) if f.pool == word]
    assert compare.strangers(PLACES, rows, ["images", word]) == []


TWO = replace(PLACES, backends={"rbd": "volumes", "fast": "quick"})


@pytest.mark.parametrize(
    "host, there, expected",
    [
        ("ctl@fast#fast", {"quick": {f"volume-{V}"}}, []),
        ("ctl@rbd#rbd", {"volumes": {f"volume-{V}"}}, []),
        # its row names one pool, and it lies in the other: nothing is offered that takes it away
        (
            "ctl@fast#fast",
            {"volumes": {f"volume-{V}"}},
            [("missing", "quick", "its image is in pool volumes, and its row names a backend of")],
        ),
        # also where Cinder began to delete it there
        (
            "ctl@fast#fast",
            {"volumes": {f"volume-{V}.deleted"}},
            [("missing", "quick", "its image is in pool volumes, and its row names a backend of")],
        ),
        ("ctl@fast#fast", {}, [("missing", "quick", "its data is gone")]),
        ("ctl@lvm#lvm", {"volumes": {f"volume-{V}"}}, []),
        # and an image in either pool that no row names is nobody's
        (
            "ctl@fast#fast",
            {"quick": {f"volume-{V}", f"volume-{W}"}},
            [("orphaned", "quick", "no")],
        ),
    ],
)
def test_a_volume_is_looked_for_where_its_backend_keeps_it(host, there, expected):
    rows = Rows(volume=frozenset([Volume(V, V, "available", "1", host, "")]))
    pools = {pool: frozenset(there.get(pool, ())) for pool in ("volumes", "quick", "images")}
    found = compare.compare(TWO, rows, compare.Names(pools, {}), rows, ALL)
    assert [(f.kind, f.pool) for f in found] == [(kind, pool) for kind, pool, _ in expected]
    for one, (_, _, words) in zip(found, expected, strict=True):
        assert one.sentence.startswith(words)
        if "its image is in" in words:
            assert one.settles == f"openstack volume show {V}"


def test_sizes_snapshots_and_watchers_are_those_of_each_backends_pool():
    volume = Volume(V, V, "available", "2", "ctl@fast#fast", "")
    rows = Rows(
        volume=frozenset([volume]),
        snapshot=frozenset([Snapshot(S, V, "available", "2", "ctl@fast#fast")]),
    )
    image = ("quick", f"volume-{V}")
    assert rbd_images.to_watch(TWO, rows, rows) == [image]
    held = {image: Held(GIB, frozenset())}
    found = rbd_images.differing(TWO, rows, rows, held, {image: ("10.0.0.9",)})
    assert [(f.kind, f.thing, f.pool) for f in found] == [
        ("attached", "volume", "quick"),
        ("missing", "snapshot", "quick"),
        ("size", "volume", "quick"),
    ]


def test_the_places_are_those_of_the_site_file():
    pools = {"volumes": {}, "quick": {}, "images": {}, "vms": {}}
    it = site(
        pools=pools,
        clients={"volumes": {}, "images": {}, "vms": {}},
        cinder={"backends": {"rbd": {"pool": "volumes"}, "fast": {"pool": "quick"}}},
        nova={"ephemeral": True},
    )
    found = compare.places(it, FSID, {})
    assert (found.backends, found.images, found.vms) == (TWO.backends, {"images"}, "vms")
    assert compare.places(site(), FSID, {}).vms is None
