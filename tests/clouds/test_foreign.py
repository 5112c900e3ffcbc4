"""What comes from elsewhere (a backup, a plan, another cloud behind the names) runs nothing.

On the integrated cloud; after each refusal no host has a file that was written.
"""

import json
import os
import shutil
import time
import uuid
from pathlib import Path

import pytest

from fabfile.backup import signature
from fabfile.flow import plan_file
from tests.lab.conftest import inv, kept  # noqa: F401 (a fixture)
from tests.lab.test_trust import touched

pytestmark = pytest.mark.lab
REFUSED = 3
NOBODY = 65534
COMMAND = "sudo_password_command = ["


@pytest.fixture
def untouched(integrated):
    """Nothing of a watched folder is written on any host while the test runs."""
    time.sleep(2)
    mark = int(time.time())
    time.sleep(1)
    yield
    assert touched(mark) == []


def refused(*words):
    said = inv(*words, expect=REFUSED, also_errors=True)
    assert "Traceback" not in said
    return " ".join(said.split())


@pytest.fixture(scope="module")
def backup(integrated, kept):  # noqa: F811
    """A backup of this cloud's, signed by its operator: its folder."""
    inv("backup.tools", "--yes", *kept)
    inv("backup.create", *kept)
    (manifest,) = Path(kept[1]).parent.glob("records/**/manifest.json")
    return manifest.parent


def rewritten(path):
    """Another host's name in the manifest, as whoever keeps the store can write it."""
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace("controller01", "controller02"))


def signed_by_a_stranger(path):
    rewritten(path)
    signature.save_key(path / "other")
    signed = signature.load_key(path / "other").sign((path / "manifest.json").read_bytes())
    (path / "manifest.json.sig").write_text(signed)


def not_signed(path):
    (path / "manifest.json.sig").unlink()


@pytest.mark.parametrize(
    "forge, said",
    [
        (rewritten, "was altered"),
        (signed_by_a_stranger, "expected one of backup.signers"),
        (not_signed, "is not signed"),
    ],
)
def test_a_forged_backup_is_not_restored(backup, kept, untouched, forge, said):  # noqa: F811
    copy = backup.with_name("forged")
    shutil.copytree(backup, copy)
    try:
        forge(copy)
        words = ("--backup", "forged", "--cloud", "stackrbd-lab", *kept)
        assert said in refused("backup.restore", *words)
    finally:
        shutil.rmtree(copy)


@pytest.mark.parametrize("task", ["integrate", "ceph.auth", "services.restart", "undo"])
def test_a_pinned_cluster_with_another_behind_the_names(site, untouched, task):
    pinned = uuid.uuid4()
    words = site(('release = "auto"', f'fsid = "{pinned}"\nrelease = "auto"'))
    assert str(pinned) in refused(task, "--yes", *words)


def test_a_plan_of_another_user_runs_nothing(tmp_path, site, untouched):
    ran = tmp_path / "ran"
    words = site((COMMAND, f'{COMMAND}"touch", "{ran}", '))
    plan = tmp_path / "plan.json"
    plan.write_text(_of(words[1]))
    os.chown(plan, NOBODY, -1)
    assert "the plan" in refused("apply", str(plan))
    assert not ran.exists()


def test_a_plan_from_elsewhere_shows_what_its_site_file_runs(tmp_path, site, untouched):
    ran = tmp_path / "ran"
    words = site((COMMAND, f'{COMMAND}"touch", "{ran}", '))
    plan = tmp_path / "plan.json"
    plan.write_text(_of(words[1]))
    assert f"touch {ran}" in refused("apply", str(plan))
    assert not ran.exists()


def _of(path):
    """A plan with no change, of that site file."""
    whose = {"file": path, "sha256": plan_file.digest(Path(path))}
    head = {"stackrbd plan": 1, "made": "", "by": "", "limit": "", "changes": []}
    return json.dumps({**head, "site": whose})
