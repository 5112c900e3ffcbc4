"""reconcile on a real cloud with faults planted; a record of it, tried and refused."""

import json
import uuid

import pytest

from fabfile.cloud import connection

from .conftest import ACCESS, inv, on

pytestmark = pytest.mark.lab


def reconciled(*words, expect=0):
    said = inv("reconcile", "--json", *words, expect=expect)
    return json.loads([line for line in said.splitlines() if line.startswith("{")][-1])


def sql(text):
    return on("controller01", script=f"mariadb -NB <<'SQL'\n{text}\nSQL\n")


@pytest.fixture(scope="module")
def volumes(integrated):
    """Seven volumes, a snapshot and two images, as the services made them; they stay."""
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as api:
        api.set_volume_quotas(api.current_project_id, volumes=30)
        made = [
            api.block_storage.create_volume(name=f"row-{n}", size=1, volume_type="rbd")
            for n in range(7)
        ]
        for one in made:
            api.block_storage.wait_for_status(one, "available", ["error"], 2, 300)
        snapshot = api.block_storage.create_snapshot(volume_id=made[3].id, name="row")
        api.block_storage.wait_for_status(snapshot, "available", ["error"], 2, 300)
        file = ACCESS / "guest" / "disk.raw"
        images = [
            api.image.create_image(
                name=f"row-{n}",
                disk_format="raw",
                container_format="bare",
                filename=str(file),
                validate_checksum=False,
                wait=True,
            )
            for n in range(2)
        ]
    return [one.id for one in made], snapshot.id, [one.id for one in images]


def test_a_cloud_that_agrees_has_no_finding(volumes):
    assert reconciled()["findings"] == []
    assert reconciled("--details")["findings"] == []


def test_ten_faults_are_the_ten_and_no_other(volumes):
    (gone, trashed, grown, snapped, cinders, claimed, _), snapshot, (image, _) = volumes
    stray = {kind: str(uuid.uuid4()) for kind in ("volume", "image", "snapshot", "server")}
    on(
        "ceph01",
        script=f"""
        rbd rm --no-progress volumes/volume-{gone}
        rbd trash mv volumes/volume-{trashed}
        rbd resize --no-progress --size 2G volumes/volume-{grown}
        rbd snap unprotect volumes/volume-{snapped}@snapshot-{snapshot} || true
        rbd snap rm --no-progress volumes/volume-{snapped}@snapshot-{snapshot}
        rbd snap create --no-progress volumes/volume-{snapped}@snapshot-{stray["snapshot"]}
        rbd create --size 1G volumes/volume-{stray["volume"]}
        rbd create --size 1G images/{stray["image"]}
        rbd snap unprotect images/{image}@snap
        rbd snap rm --no-progress images/{image}@snap
        rbd rm --no-progress images/{image}""",
    )
    sql(f"""USE cinder;
        UPDATE volumes SET status = 'in-use' WHERE id IN ('{cinders}', '{claimed}');
        INSERT INTO volume_attachment (id, volume_id, instance_uuid, attach_status, deleted)
        VALUES (UUID(), '{cinders}', '{stray["server"]}', 'attached', 0);""")
    found = reconciled("--details", expect=6)["findings"]
    assert sorted((f["kind"], f["thing"], f["row"]) for f in found) == sorted(
        [
            ("missing", "volume", gone),
            ("missing", "volume", trashed),
            ("size", "volume", grown),
            ("missing", "snapshot", snapshot),
            ("orphaned", "snapshot", stray["snapshot"]),
            ("orphaned", "volume", stray["volume"]),
            ("orphaned", "image", stray["image"]),
            ("missing", "image", image),
            ("attached", "volume", cinders),
            ("attached", "volume", claimed),
        ]
    )
    by_names = reconciled(expect=6)["findings"]
    assert {f["row"] for f in by_names} == {f["row"] for f in found} - {
        grown,
        snapshot,
        stray["snapshot"],
    }
    (restore,) = [f["command"] for f in by_names if f["row"] == trashed]
    on("ceph01", script=restore)  # each has the command that settles it
    assert trashed not in {f["row"] for f in reconciled(expect=6)["findings"]}


def test_the_tools_come_from_the_signed_source_and_a_record_stands_its_drill(kept):
    assert "not installed: age" in inv("backup.create", *kept, expect=3, also_errors=True)
    inv("backup.tools", "--yes", *kept)
    said = inv("backup.create", *kept, also_errors=True)
    assert "not in the backup" not in said  # the queue told its users
    assert "tables restored and equal" in inv("backup.verify", *kept)
    assert "here: backups" not in inv("doctor", *kept, expect=(0, 3))


def test_a_record_in_the_place_of_what_is_live(kept):
    sql("CREATE TABLE nova.stray (a INT)")
    inv("backup.restore", "--cloud", "stackrbd-lab", *kept, timeout=1800)
    assert sql("SHOW TABLES FROM nova LIKE 'stray'") == ""
    inv("backup.settle", "--yes", *kept)
    inv("integrate", "--check", *kept)
    inv("verify", *kept)
