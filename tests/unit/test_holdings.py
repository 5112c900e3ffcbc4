"""What Cinder's API tells of volumes, and that there may be more than is looked at."""

from types import SimpleNamespace

import pytest

from fabfile.cloud import holdings


def connection(volumes, attachments):
    info = {
        "driver_volume_type": "rbd",
        "auth_username": "volumes",
        "secret_uuid": "AB",
        "hosts": ["10.0.0.1"],
    }
    there = {
        "volumes": [
            SimpleNamespace(id=str(n), name="v", host=None, status="creating")
            for n in range(volumes)
        ],
        "attachments": [
            SimpleNamespace(volume_id=str(n), instance="i", connection_info=info)
            for n in range(attachments)
        ],
    }
    storage = SimpleNamespace(
        services=list,
        backups=lambda all_projects: [],
        **{name: lambda found=found, **_: iter(found) for name, found in there.items()},
    )
    return SimpleNamespace(block_storage=storage)


@pytest.mark.parametrize(
    "volumes, attachments, left_out",
    [
        (3, 3, []),
        (4, 0, ["volumes"]),
        (2, 4, ["attachments"]),
        (9, 9, ["volumes", "attachments"]),
    ],
)
def test_what_is_left_out_is_known(monkeypatch, volumes, attachments, left_out):
    monkeypatch.setattr(holdings, "MOST", 3)
    found = holdings.read(connection(volumes, attachments))
    assert found["left_out"] == dict.fromkeys(left_out, 3)
    assert len(found["volumes"]) == min(volumes, 3)
    assert len(found["attachments"]) == min(attachments, 3)


@pytest.mark.parametrize(
    "told, expected",
    [
        ({}, {"container": "backups", "objects": 0}),
        ({"container": None, "object_count": None}, {"container": "", "objects": 0}),
        ({"object_count": 7}, {"container": "backups", "objects": 7}),
    ],
)
def test_backups_are_told_with_their_place(told, expected):
    plain = {"id": "b", "container": "backups", "object_count": 0, "status": "available"}
    row = SimpleNamespace(**{**plain, **told})
    storage = SimpleNamespace(backups=lambda all_projects: [row])
    found = holdings.backups(SimpleNamespace(block_storage=storage))
    assert found == [{"id": "b", "status": "available", **expected}]


KINDS = ("volume", "backup")


def test_the_services_are_told_by_their_kind():
    rows = [
        SimpleNamespace(binary=f"cinder-{kind}", host=kind, state="up", status="enabled")
        for kind in ("volume", "backup", "scheduler")
    ]
    whole = connection(0, 0)
    whole.block_storage.services = lambda: rows
    found = holdings.read(whole)
    hosts = {kind: [one["host"] for one in found[f"{kind}_services"]] for kind in KINDS}
    assert hosts == {kind: [kind] for kind in KINDS}
