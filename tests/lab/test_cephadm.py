"""A cloud on a cluster that cephadm runs: `make cephadm`.

The lab's Ceph host is made anew: monitor, manager and OSD are cephadm's containers and units, the
orchestrator answers, and no program of Ceph's is on the host.
"""

import json
import os
import shlex
import time

import pytest

from lab import cloud

from .conftest import fresh_lab, inv, on, result

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        "STACKRBD_CEPHADM" not in os.environ, reason="a quarter of an hour: make cephadm"
    ),
]
CEPH = "ceph01"
SHELL = "cephadm shell -- ceph"


@pytest.fixture(scope="module")
def cluster():
    """The unconnected cloud, its cluster by cephadm; the cluster's fsid."""
    if os.environ.get("STACKRBD_LAB") != "running":
        fresh_lab()
        cloud.into_cephadm(CEPH)
    return on(CEPH, script=f"{SHELL} fsid 2> /dev/null").strip()


@pytest.fixture(scope="module")
def integrated(cluster):
    """The same, integrated; the result of that run."""
    return result(inv("integrate", "--yes", "--json", timeout=1800))


def doctor(expect=0):
    return result(inv("doctor", "--json", expect=expect))["findings"]


def health():
    """{code: check} of the cluster's health."""
    return json.loads(on(CEPH, script=f"{SHELL} health detail -f json 2> /dev/null"))["checks"]


def until(condition, seconds=240):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(2)


def unit(fsid, daemon):
    return f"ceph-{fsid}@{daemon}.service"


def daemons():
    """{a daemon: its state}, as cephadm has them on its host."""
    return {one["name"]: one["state"] for one in json.loads(on(CEPH, "cephadm", "ls"))}


def test_the_host_has_no_program_of_cephs(cluster):
    assert on(CEPH, script="command -v ceph rbd ceph-osd || echo none") == "none\n"
    kinds = {name.partition(".")[0] for name, state in daemons().items() if state == "running"}
    assert {"mon", "mgr", "osd"} <= kinds
    rows = json.loads(on(CEPH, script=f"{SHELL} orch ps -f json 2> /dev/null"))
    assert "osd" in {row["daemon_type"] for row in rows}


def test_a_second_run_changes_nothing(integrated):
    assert integrated["changes"]
    assert result(inv("integrate", "--yes", "--json", timeout=1200))["changes"] == []


def test_it_is_proved(integrated):
    assert "Proved: 20 of 20 checks" in inv("verify")


def test_doctor_finds_nothing_and_rows_agree_with_images(integrated):
    assert "Healthy: 0 errors, 0 warnings" in inv("doctor")
    inv("reconcile", "--details")


# A unit of cephadm's starts its container anew by itself, a few times.
FOR_GOOD = """
mkdir -p /run/systemd/system/{unit}.d
printf '[Service]\\nRestart=no\\n' > /run/systemd/system/{unit}.d/lab.conf
systemctl daemon-reload
podman kill ceph-{fsid}-osd-0
"""
BROKEN = {"its unit is stopped": "systemctl stop {unit}", "its container is killed": FOR_GOOD}


@pytest.mark.parametrize("how", BROKEN.values(), ids=BROKEN)
def test_a_broken_osd_is_named_and_what_is_shown_mends_it(cluster, integrated, how):
    name = unit(cluster, "osd.0")
    on(CEPH, script=how.format(unit=name, fsid=cluster))
    until(lambda: "OSD_DOWN" in health())
    one = next(one for one in doctor(expect=3) if one["code"] == "ceph.OSD_DOWN")
    (step,) = one["mend"]
    assert step["run"] == f"{SHELL} orch daemon restart osd.0"
    assert (step["kind"], step["hosts"]) == ("root", [CEPH])
    on(CEPH, script=f"rm -rf /run/systemd/system/{name}.d; systemctl daemon-reload")
    on(CEPH, script=step["run"])
    until(lambda: "OSD_DOWN" not in health())


def test_without_a_manager_units_are_named(cluster, integrated):
    """The orchestrator is the manager's: nobody would carry its command out."""
    manager = next(name for name in daemons() if name.startswith("mgr."))
    both = [unit(cluster, "osd.0"), *(unit(cluster, n) for n in daemons() if n.startswith("mgr."))]
    on(CEPH, "systemctl", "stop", *both)
    until(lambda: {"OSD_DOWN", "MGR_DOWN"} <= set(health()))
    found = {f["code"]: f for f in doctor(expect=3)}
    runs = [
        step["run"] for code in ("ceph.OSD_DOWN", "ceph.MGR_DOWN") for step in found[code]["mend"]
    ]
    assert f"systemctl restart ceph-{cluster}@osd.0" in runs
    assert f"systemctl restart ceph-{cluster}@{manager}" in runs
    for run in runs:
        on(CEPH, script=run)
    until(lambda: not {"OSD_DOWN", "MGR_DOWN"} & set(health()))


def test_it_is_taken_back(cluster, integrated):
    inv("undo", "--yes", "--run", integrated["run"], timeout=1200)
    # Their names alone leave the container: podman has what it prints in the journal.
    names = "ceph auth ls 2> /dev/null | grep -E '^[a-z]+[.]'"
    users = on(CEPH, script=f"cephadm shell -- sh -c {shlex.quote(names)}").split()
    assert "client.admin" in users
    assert not {"client.volumes", "client.images"} & set(users)
