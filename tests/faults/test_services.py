"""Faults D: services."""

import time

import pytest

from tests.lab.conftest import inv, on, result

from .conftest import alter, done_and_undone, mended, refused

pytestmark = pytest.mark.lab
FOLDER = "/run/systemd/system/nova-compute.service.d"


def unit(settings, host="compute01"):
    """nova-compute with other settings; afterwards as it was, and running."""
    do = f"mkdir -p {FOLDER}; printf '[Service]\\n{settings}\\n' > {FOLDER}/fault.conf; "
    undo = f"rm -rf {FOLDER}; systemctl daemon-reload; systemctl reset-failed nova-compute; "
    return done_and_undone(
        host, do + "systemctl daemon-reload", undo + "systemctl restart nova-compute"
    )


def owed(host="compute01"):
    return on(host, "ls", "/var/lib/stackrbd/pending_restarts").split()


def test_39_a_service_that_dies_after_a_while_is_a_failure(cloud):
    alter()
    with unit('ExecStart=\\nExecStart=/bin/sh -c "sleep 3; echo last words; exit 1"\\nRestart=no'):
        said = refused(1, "integrate", "--yes")
        assert "compute01: nova-compute" in said and "last words" in said
        assert "compute01: 1 of 2 done" in said
        assert owed() == ["nova-compute"]
    mended()
    assert owed() == []


def test_39_a_service_that_systemd_restarts_for_ever(cloud):
    alter()
    settings = 'ExecStart=\\nExecStart=/bin/sh -c "sleep 2; exit 1"\\nRestart=always\\nRestartSec=1'
    with unit(settings):
        assert "compute01: nova-compute" in refused(1, "integrate", "--yes")
    mended()


def test_40_a_masked_unit_is_named(cloud):
    alter()
    undo = "systemctl unmask --runtime nova-compute; systemctl restart nova-compute"
    with done_and_undone("compute01", "systemctl mask --runtime nova-compute", undo):
        assert "nova-compute: no such unit here (masked)" in refused(1, "integrate", "--yes")
    mended()


def test_40_a_unit_that_is_not_there_is_named(cloud):
    alter()
    path = "$(systemctl show -p FragmentPath --value nova-compute)"
    do = f"p={path}; echo $p > /root/unit-path; mv $p /root/unit; "
    do += "mv /etc/init.d/nova-compute /root/init; systemctl daemon-reload"
    undo = "mv /root/unit $(cat /root/unit-path); mv /root/init /etc/init.d/nova-compute; "
    undo += "systemctl daemon-reload; "
    with done_and_undone("compute01", do, undo + "systemctl restart nova-compute"):
        assert "no such unit here" in refused(1, "integrate", "--yes")
    mended()


def test_41_a_unit_that_does_not_stop(cloud):
    """It is waited for as long as it says itself; then systemd ends it, and it is begun anew."""
    alter()
    settings = 'ExecStart=\\nExecStart=/bin/sh -c "trap true TERM; while :; do sleep 1; done"\\n'
    with unit(settings + "TimeoutStopSec=40\\nType=simple"):
        on("compute01", script="systemctl restart --no-block nova-compute; sleep 4")
        before = on("compute01", "systemctl", "show", "-P", "MainPID", "nova-compute")
        began = time.monotonic()
        inv("integrate", "--yes")
        assert time.monotonic() - began >= 40
        assert on("compute01", "systemctl", "show", "-P", "MainPID", "nova-compute") != before
    mended()


def test_42_the_start_limit(cloud):
    again = "for i in 1 2 3 4 5 6 7 8; do systemctl restart nova-compute; done; true"
    with unit("[Unit]\\nStartLimitBurst=3\\nStartLimitIntervalSec=300"):
        on("compute01", script=again)
        inv("services.restart", "--all", "--limit", "compute01", "--yes")
    mended()


GUEST = """
cat > /root/guest.xml <<'X'
<domain type='qemu'><name>fault-guest</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64'>hvm</type></os></domain>
X
virsh -q create /root/guest.xml
"""


def test_43_guests_are_named_and_go_on_running(cloud):
    alter()
    with done_and_undone("compute01", GUEST, "virsh -q destroy fault-guest; rm /root/guest.xml"):
        pid = on("compute01", script="cat /run/libvirt/qemu/fault-guest.pid")
        assert "1 guest there will go on running" in inv("integrate", "--check", expect=2)
        inv("integrate", "--yes")
        assert on("compute01", script="cat /run/libvirt/qemu/fault-guest.pid") == pid
        on("compute01", "kill", "-0", pid.strip())
    mended()


def test_44_one_of_several_fails_and_the_rest_is_known(cloud):
    alter("compute01")
    alter("compute02")
    with unit("ExecStart=\\nExecStart=/bin/false\\nRestart=no", "compute02"):
        said = refused(1, "integrate", "--yes")
        assert "compute01: 2 of 2 done" in said and "compute02: 1 of 2 done" in said
    shown = result(inv("integrate", "--check", "--json", expect=2))
    assert [(c["host"], c["sign"]) for c in shown["changes"]] == [("compute02", "!")]
    mended()
