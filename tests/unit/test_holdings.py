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
