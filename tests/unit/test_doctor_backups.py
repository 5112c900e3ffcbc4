"""A doctor's words on records."""

import pytest

from fabfile.core.contract import Facts
from fabfile.doctor import backups
from fabfile.doctor.observation import Looked

DAY = 86400


def codes(seen):
    seen = seen and {"unfit": {}, **seen}
    return [f.code for f in backups.findings(None, Looked(Facts({}), here={"records": seen}))]


@pytest.mark.parametrize(
    "seen, expected",
    [
        (None, []),
        ({"newest": None, "verified": None}, ["records.none"]),
        ({"newest": 3600, "verified": None}, ["records.untried"]),
        ({"newest": 3600, "verified": 20 * DAY}, []),
        ({"newest": 3 * DAY, "verified": 3 * DAY}, ["records.old"]),
        ({"newest": 40 * DAY, "verified": 40 * DAY}, ["records.old", "records.untried"]),
    ],
)
def test_records_are_wanted_new_and_tried(seen, expected):
    assert codes(seen) == expected


@pytest.mark.parametrize("newest", [None, 3600])
def test_what_cannot_be_taken_is_said_by_its_first(newest):
    unfit = {"r2": "x", "r1\n": "/b/r1: the backup is not signed"}
    seen = {"newest": newest, "verified": 3600, "unfit": unfit}
    found = backups.findings(None, Looked(Facts({}), here={"records": seen}))
    (one,) = [finding for finding in found if finding.code == "records.unfit"]
    assert "2 that cannot be taken, such as r1" in one.found and "not signed" in one.found
    assert [step.kind for step in one.mend] == ["words"]
