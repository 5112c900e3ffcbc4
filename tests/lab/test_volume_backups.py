"""cinder-backup on Ceph, from nothing and back: a volume is backed up, restored, and compared.

Takes a quarter of an hour: `make several`.
"""

import os

import pytest

from fabfile.cloud import connection
from lab import more_packages

from .conftest import ACCESS, inv, on, result

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_SEVERAL" not in os.environ, reason="minutes: make several"),
]
CONTROLLER = "controller01"
CONF = "/etc/cinder/cinder.conf"
KEYRING = "/etc/ceph/ceph.client.backups.keyring"
BACKED_UP = (
    ("images = { size = 1, pg_num = 32 }", "images = { size = 1, pg_num = 32 }\n"
     "backups = { size = 1, pg_num = 8 }"),
    ('images = { rwx = ["images"] }', 'images = { rwx = ["images"] }\nbackups = {}'),
    ('volume_type = "rbd"\n', 'volume_type = "rbd"\n[cinder.backup]\nchunk_size = 67108864\n'),
)  # fmt: skip


@pytest.fixture(scope="module")
def api(lab):
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


def installed():
    """Puts cinder-backup onto the controller; os-brick asks dmidecode where /sys has no DMI."""
    more_packages.put(CONTROLLER, "cinder-backup", "dmidecode")


def sums():
    look = f"sha256sum {CONF}; stat -c '%a %U %G' {CONF}; ls {KEYRING} 2>/dev/null || true"
    return on(CONTROLLER, script=look)


def began(unit):
    return on(CONTROLLER, "systemctl", "show", "-p", "ActiveEnterTimestamp", unit)


def images(pool):
    return on("ceph01", script=f"rbd ls -p {pool}").split()


def test_a_backup_from_nothing_proved_and_taken_back(lab, api, site):
    inv("lab.reset", timeout=600)
    inv("integrate", "--yes", timeout=1800)
    words = site(*BACKED_UP)

    # Where it is not installed, that is said before anything is written.
    said = inv("integrate", "--yes", *words, expect=3, also_errors=True)
    assert "install it there first" in said and "nothing was written anywhere" in said
    installed()
    before = sums()
    volume_began = began("cinder-volume")

    planned = result(inv("plan", "--json", *words))
    assert any("backups of volumes go to pool backups" in note for note in planned["notes"])
    done = result(inv("integrate", "--yes", "--json", *words, timeout=1800))
    inv("integrate", "--check", *words)
    assert began("cinder-volume") == volume_began  # it alone was restarted
    assert on(CONTROLLER, script=f"stat -c '%a %U %G' {KEYRING}").strip() == "640 cinder cinder"
    caps = on("ceph01", script="ceph auth get client.backups 2>/dev/null")
    assert "profile rbd pool=backups" in caps and "profile rbd-read-only pool=volumes" in caps

    checks = result(inv("verify", "--json", *words, timeout=1800))["checks"]
    assert all(check["ok"] for check in checks)
    names = [check["name"] for check in checks]
    assert "what is restored is what was backed up" in names
    assert images("backups") == [] and list(api.block_storage.backups()) == []

    # A backup that stays is known to reconcile and to doctor, and cannot be stranded.
    volume = api.block_storage.create_volume(name="kept", size=1, volume_type="rbd")
    api.block_storage.wait_for_status(volume, "available", ["error"], 2, 120)
    backup = api.block_storage.create_backup(name="kept", volume_id=volume.id)
    api.block_storage.wait_for_status(backup, "available", ["error"], 2, 300)
    assert len(images("backups")) == 1
    assert result(inv("reconcile", "--json", *words))["findings"] == []
    found = result(inv("doctor", "--json", *words, expect=(0, 3)))["findings"]
    assert [f for f in found if f["severity"] == "error" or "backup" in f["code"]] == []
    elsewhere = site(*BACKED_UP, ("chunk_size", 'pool = "images"\nchunk_size'))
    said = inv("plan", *elsewhere, expect=3, also_errors=True)
    assert "cinder.backup.pool = 'backups'" in said
    words = site(*BACKED_UP)

    api.block_storage.delete_backup(backup)
    api.block_storage.wait_for_delete(backup, 2, 120)
    api.block_storage.delete_volume(volume)
    api.block_storage.wait_for_delete(volume, 2, 120)
    assert images("backups") == []
    inv("undo", "--yes", "--run", done["run"], *words, timeout=900)
    assert sums() == before
    assert "client.backups" not in on("ceph01", script="ceph auth ls 2>/dev/null | grep ^client")
    inv("integrate", "--check")
