"""The canary on both computes: all its steps, its record, its report, and that nothing stays."""

import json

import pytest

from .conftest import INTEGRATED, inv, result
from .holdings import COMPUTES, held

pytestmark = pytest.mark.lab
LEAVES = INTEGRATED
STEPS = [
    "a volume from the image is its clone",
    "an instance boots from it here",
    "a volume is made",
    "it is attached",
    "the guest writes and reads back",
    "Ceph names who watches it",
    "what was written is in Ceph",
    "a snapshot of it in RBD",
    "live migration with the volume attached",
    "the guest writes there too",
    "it is detached",
    "all of it is removed",
]


PARENTS = {"an image": "in use", "a snapshot": "deleted", "a volume": "deleted"}
"""What Zed answers of each while a clone of v2 lives."""


@pytest.fixture(scope="module")
def flown(integrated):
    """A canary on all computes: what was there before, and its --json's documents."""
    before = held()
    said = inv("verify", "--canary", "--json", timeout=900)
    return before, [json.loads(line) for line in said.splitlines()]


def test_every_step_on_every_compute_and_nothing_stays(flown):
    before, documents = flown
    checks = documents[-1]["checks"]
    assert [check["name"] for check in checks if not check["ok"]] == []
    for host in COMPUTES:
        assert [c["name"] for c in checks if c["host"] == host] == [f"{host}: {s}" for s in STEPS]
    assert held() == before


def test_what_has_a_clone_is_deleted_or_kept_as_this_release_does(flown):
    checks = flown[1][-1]["checks"]
    told = {
        c["name"].partition(" with a clone")[0]: c["detail"]
        for c in checks
        if " as it" in c["name"]
    }
    assert {what: detail.split(",")[0].split(":")[0] for what, detail in told.items()} == PARENTS
    assert all("a clone of v2" in detail for detail in told.values())


def test_instances_migrated_between_the_two(flown):
    told = {c["host"]: c["detail"] for c in flown[1][-1]["checks"] if STEPS[8] in c["name"]}
    assert " from compute01 to compute02; watched by 198.18.53.32" in told["compute01"]
    assert " from compute02 to compute01; watched by 198.18.53.31" in told["compute02"]


def test_times_are_in_the_record_and_in_the_report(flown, tmp_path):
    run = result(inv("history", "--json"))["runs"][0]["run"]
    events = result(inv("show", "--run", run, "--json"))["events"]
    proved = [event for event in events if event["event"] == "proof"]
    assert len(proved) == 4 + 2 * len(PARENTS) + 2 * len(STEPS)
    assert all(event["seconds"] >= 0 for event in proved)
    inv("report", "--out", str(tmp_path), "--limit", "compute01")
    page = (tmp_path / "report.html").read_text()
    assert "The canary on the computes" in page and "Each of 2 computes" in page
    xml = (tmp_path / "junit.xml").read_text()
    assert "compute02: live migration with the volume attached" in xml


def test_a_sample_is_one_compute_and_a_limit_is_that_one(flown):
    before, _ = flown
    said = inv("verify", "--canary", "--sample", "1", "--limit", "compute02")
    assert "no live migration" in said and "compute01" not in said
    assert held() == before


def test_what_is_no_sample_is_refused(integrated):
    assert "--sample" in inv("verify", "--sample", "1", expect=3, also_errors=True)
    assert "--at-once" in inv("verify", "--canary", "--at-once", "0", expect=3, also_errors=True)
