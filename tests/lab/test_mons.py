"""Three monitors move to new addresses, one after the other, while an instance runs.

Takes minutes on the larger topology: `make mons`.
"""

import json
import os
import time

import pytest

from fabfile.cloud import connection

from . import guests
from .conftest import ACCESS, inv, on, result
from .guests import CONTROL, give_nova_manage_an_account, kept, notes

SITE = ("--site", "config/site.large.toml")
TOPOLOGY = ("--topology", "lab/topologies/large.toml")
MONITORS = {"ceph01": "198.18.53.51", "ceph02": "198.18.53.52", "ceph03": "198.18.53.53"}
CLIENTS = ("controller01", "controller02", "compute01", "compute02", "compute03")
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_MONS" not in os.environ, reason="minutes: make mons"),
]

MOVE = """
ip addr add {new}/24 dev host0
printf '[mon.{host}]\\npublic_addr = {new}\\n' >> /etc/ceph/ceph.conf
ceph auth get mon. -o /root/mon.keyring 2> /dev/null
systemctl stop ceph-mon@{host}
ceph mon remove {host}
ceph mon getmap -o /root/monmap
mv /var/lib/ceph/mon/ceph-{host} /root/mon.before
mkdir /var/lib/ceph/mon/ceph-{host}
ceph-mon --mkfs -i {host} --monmap /root/monmap --keyring /root/mon.keyring
chown -R ceph:ceph /var/lib/ceph/mon
rm /root/mon.keyring /root/monmap
systemctl reset-failed ceph-mon@{host}
systemctl start ceph-mon@{host}
"""
"""A monitor that leaves the map, gets another address and comes back (Ceph's manual, "Changing
a monitor's IP address")."""


@pytest.fixture(scope="module")
def large():
    """The larger lab, integrated."""
    if os.environ.get("STACKRBD_LAB") != "running":
        inv("lab.down", timeout=300)
        inv("lab.up", *TOPOLOGY, timeout=2400)
    inv("integrate", "--yes", *SITE)
    yield
    if os.environ.get("STACKRBD_LAB") != "running":
        inv("lab.down", timeout=300)


@pytest.fixture(scope="module")
def api(large):
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


@pytest.fixture(scope="module")
def image(api):
    with guests.image_of_a_guest(api) as made:
        yield made


@pytest.fixture(scope="module")
def running(api, image):
    with guests.guest(api, image, "mons-runs") as made:
        yield made


@pytest.fixture(scope="module")
def stopped(api, image):
    with guests.guest(api, image, "mons-stands") as made:
        yield made.stopped()


def quorum():
    """The monitors that agree."""
    said = on("ceph01", "ceph", "--connect-timeout", "20", "quorum_status", "--format", "json")
    return set(json.loads(said)["quorum_names"])


def moved(host, new):
    """Moves one monitor, and waits until all of them agree again."""
    on(host, script="set -e\n" + MOVE.format(host=host, new=new))
    until = time.monotonic() + 300
    while quorum() != set(MONITORS):
        assert time.monotonic() < until, quorum()
        time.sleep(2)


def monitors_of(host):
    return on(host, "grep", "^mon_host", "/etc/ceph/ceph.conf")


def test_before_anything_moves_there_is_nothing_to_do(running, stopped):
    said = inv("ceph.mons", "--check", "--json", *SITE)
    assert notes(said) == {}
    assert (
        kept(running)["nova"]
        == kept(running)["cinder"]
        == {
            "198.18.53.11",
            "198.18.53.12",
            "198.18.53.13",
        }
    )
    running.writes(11)


@pytest.mark.parametrize("number, host", list(enumerate(MONITORS, 1)))
def test_each_monitor_moves_while_the_instance_runs(running, stopped, number, host):
    new = MONITORS[host]
    moved(host, new)
    done = result(inv("ceph.mons", "--yes", "--json", *SITE))
    assert {c["host"] for c in done["changes"] if c["thing"] == "/etc/ceph/ceph.conf"} == {
        *MONITORS,
        *CLIENTS,
    }
    for name in (*MONITORS, *CLIENTS):
        assert new in monitors_of(name)
    inv("ceph.mons", "--check", *SITE)
    told = notes(inv("ceph.mons", "--check", "--json", *SITE))
    some = "none of its monitors is left" if number == len(MONITORS) else "some of its monitors"
    assert some in told[running.id] and f"--hard-reboot {running.id}" in told[running.id]
    assert some in told[stopped.id] and told[stopped.id].endswith("inv ceph.mons --refresh")
    assert running.status() == "ACTIVE"
    running.writes(20 + number)
    assert running.watchers()


def test_an_osd_that_restarts_is_found_again_by_the_guest_that_runs(running):
    """Its client has followed the map: what comes after is told by the new monitors."""
    before = running.watchers()
    on(
        "ceph02",
        script="systemctl restart 'ceph-osd@*'; for i in $(seq 60); do "
        "ceph osd stat | grep -q '3 up' && exit 0; sleep 1; done; exit 1",
    )
    running.writes(33)
    assert running.watchers()[0]["client"] == before[0]["client"]


def test_doctor_names_them_and_nova_manage_needs_an_account(running, stopped):
    found = result(inv("doctor", "--json", *SITE, expect=3))["findings"]
    named = {f["thing"].split()[-1] for f in found if f["code"] == "attachment.monitors"}
    assert named == {running.volume.id, stopped.volume.id}
    said = inv("ceph.mons", "--yes", "--refresh", *SITE, expect=3, also_errors=True)
    assert "[cinder] auth_type: expected the account by which nova-manage asks Cinder" in said
    give_nova_manage_an_account()


def test_a_stopped_instance_is_refreshed_and_starts(api, running, stopped):
    planned = inv("ceph.mons", "--check", "--refresh", "--json", *SITE, expect=2)
    assert [(c["host"], c["thing"]) for c in result(planned)["changes"]] == [
        (CONTROL, f"attachment of volume {stopped.volume.id} to instance {stopped.id}")
    ]
    inv("ceph.mons", "--yes", "--refresh", *SITE)
    assert kept(stopped)["nova"] == kept(stopped)["cinder"] == set(MONITORS.values())
    assert running.status() == "ACTIVE" and kept(running)["nova"] != set(MONITORS.values())
    assert set(notes(inv("ceph.mons", "--check", "--json", *SITE))) == {running.id}
    api.compute.start_server(stopped.server)
    api.compute.wait_for_server(stopped.server, "ACTIVE", ["ERROR"], 2, 300)
    stopped.said("read back equal")
    assert stopped.watchers()


def test_a_running_instance_by_its_id_is_stopped_refreshed_and_started(running):
    said = inv("ceph.mons", "--yes", "--hard-reboot", running.id, "--json", *SITE)
    assert [(c["host"], c["sentence"]) for c in result(said)["changes"]] == [
        ("cloud", "stop"),
        (CONTROL, "make it anew, with the live monitors"),
        ("cloud", "start, with the live monitors"),
    ]
    assert kept(running)["nova"] == set(MONITORS.values())
    running.said("read back equal")
    running.writes(44)
    assert notes(inv("ceph.mons", "--check", "--json", *SITE)) == {}
    assert [
        f
        for f in result(inv("doctor", "--json", *SITE, expect=(0, 3)))["findings"]
        if f["code"].endswith("monitors")
    ] == []
    inv("integrate", "--check", *SITE)
