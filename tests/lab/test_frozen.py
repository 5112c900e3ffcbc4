"""Attachments that keep monitors which are gone: named, and made anew where it is asked.

What is kept is put there by hand; monitors that really move: test_mons.py. Both: `make mons`.
"""

import os

import pytest

from fabfile.cloud import connection

from . import guests
from .conftest import ACCESS, inv, on, result
from .guests import CONTROL, give_nova_manage_an_account, kept, notes

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_MONS" not in os.environ, reason="minutes: make mons"),
]
GONE = {"198.18.53.91", "198.18.53.92"}
LIVE = {"198.18.53.11"}
PAST = "".join(
    f"UPDATE {table} SET connection_info = JSON_SET(connection_info, '{path}', "  # noqa: S608
    "JSON_ARRAY('198.18.53.91', '198.18.53.92')) WHERE deleted = 0 AND "
    f"JSON_EXTRACT(connection_info, '{path}') IS NOT NULL;\n"
    for table in guests.TABLES.values()
    for path in ("$.data.hosts", "$.hosts")
)


@pytest.fixture(scope="module")
def api(integrated):
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


@pytest.fixture(scope="module")
def both(api):
    """(one that runs, one that is stopped), whose lists in both databases are of the past."""
    with (
        guests.image_of_a_guest(api) as image,
        guests.guest(api, image, "frozen-runs") as running,
        guests.guest(api, image, "frozen-stands") as stopped,
    ):
        stopped.stopped()
        on(CONTROL, script=f"mariadb <<'SQL'\n{PAST}\nSQL\n")
        assert kept(running) == kept(stopped) == {"nova": GONE, "cinder": GONE}
        yield running, stopped


def test_each_is_named_with_what_it_needs(both):
    running, stopped = both
    told = notes(inv("ceph.mons", "--check", "--json"))
    assert set(told) == {running.id, stopped.id}
    assert "neither started anew nor migrated" in told[running.id]
    assert told[running.id].endswith(f"inv ceph.mons --hard-reboot {running.id}")
    assert told[stopped.id].endswith("it cannot be started; inv ceph.mons --refresh")
    found = result(inv("doctor", "--json", expect=3))["findings"]
    named = {f["thing"].split()[-1] for f in found if f["code"] == "attachment.monitors"}
    assert named == {running.volume.id, stopped.volume.id}


def test_a_stopped_instance_is_refreshed_and_starts(api, both):
    running, stopped = both
    said = inv("ceph.mons", "--yes", "--refresh", expect=3, also_errors=True)
    assert "[cinder] auth_type: expected the account by which nova-manage asks Cinder" in said
    give_nova_manage_an_account()
    planned = inv("ceph.mons", "--check", "--refresh", "--json", expect=2)
    assert [(c["host"], c["thing"]) for c in result(planned)["changes"]] == [
        (CONTROL, f"attachment of volume {stopped.volume.id} to instance {stopped.id}")
    ]
    inv("ceph.mons", "--yes", "--refresh")
    assert kept(stopped) == {"nova": LIVE, "cinder": LIVE}
    assert kept(running)["nova"] == GONE and running.status() == "ACTIVE"
    api.compute.start_server(stopped.server)
    api.compute.wait_for_server(stopped.server, "ACTIVE", ["ERROR"], 2, 300)
    stopped.said("read back equal")
    assert stopped.watchers()


def test_a_running_instance_by_its_id_is_stopped_refreshed_and_started(both):
    running, _ = both
    running.writes(11)
    said = inv("ceph.mons", "--yes", "--hard-reboot", running.id, "--json")
    assert [(c["host"], c["sentence"]) for c in result(said)["changes"]] == [
        ("cloud", "stop"),
        (CONTROL, "make it anew, with the live monitors"),
        ("cloud", "start, with the live monitors"),
    ]
    assert kept(running) == {"nova": LIVE, "cinder": LIVE}
    running.said("read back equal")
    running.writes(22)
    assert notes(inv("ceph.mons", "--check", "--json")) == {}
    inv("integrate", "--check")
