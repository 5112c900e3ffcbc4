"""A doctor's words on records."""

import pytest

from fabfile.core.contract import Facts
from fabfile.doctor import backups
from fabfile.doctor.observation import Looked

DAY = 86400


def codes(seen):
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
