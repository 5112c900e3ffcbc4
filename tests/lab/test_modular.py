"""Libvirt in modules on one compute, monolithic on the other: `make modular`.

Debian's packages have libvirtd alone, so the lab builds virtqemud, virtsecretd and the others of
Debian's own source package, and switches a compute to them as it runs.
"""

import os
import time

import pytest

from fabfile.cloud import connection
from lab import cloud

from . import guests
from .conftest import ACCESS, fresh_lab, inv, on, result

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        "STACKRBD_MODULAR" not in os.environ, reason="a quarter of an hour: make modular"
    ),
]
MODULAR, MONOLITHIC = "compute02", "compute01"
# Packages stay, and with them their /etc/ceph/rbdmap.
LIBVIRT = """
cd /etc
rest="ceph -mindepth 1 ! -name rbdmap"
find libvirt nova $rest -type f -exec sha256sum {} + 2> /dev/null | sort
find libvirt nova $rest -printf '%p %m %u %g\\n' 2> /dev/null | sort
virsh -q secret-list
"""
VALUES = """
for uuid in $(virsh -q secret-list | awk '{print $1}'); do
    virsh -q secret-get-value $uuid | sha256sum
done
"""


@pytest.fixture(scope="module")
def modular():
    """The unconnected cloud with one compute in modules; what that one had before."""
    if os.environ.get("STACKRBD_LAB") != "running":
        fresh_lab()
        cloud.into_modules(MODULAR)
    return on(MODULAR, script=LIBVIRT)


@pytest.fixture(scope="module")
def integrated(modular):
    """The same, integrated; the result of that run."""
    return result(inv("integrate", "--yes", "--json", timeout=1200))


@pytest.fixture(scope="module")
def api(integrated):
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


def codes(expect=0):
    """{code: finding} of a look at the whole cloud."""
    return {one["code"]: one for one in result(inv("doctor", "--json", expect=expect))["findings"]}


def mend(finding):
    """Does what a finding shows, word by word."""
    for step in finding["mend"]:
        if step["kind"] == "root":
            for host in step["hosts"]:
                on(host, script=step["run"])
        elif step["kind"] == "task":
            inv(*step["run"].split()[1:], "--yes")


def test_its_libvirt_is_in_modules(modular):
    active = on(MODULAR, "systemctl", "list-units", "--plain", "--no-legend", "virt*.socket")
    assert "virtqemud.socket" in active and "virtsecretd.socket" in active
    assert "qemu" in on(MODULAR, script="virsh -c qemu:///system capabilities | head -3000")


def test_one_plan_connects_both(integrated):
    secrets = {one["host"] for one in integrated["changes"] if "libvirt secret" in one["thing"]}
    assert secrets == {MODULAR, MONOLITHIC}


def test_a_second_run_changes_nothing(integrated):
    assert result(inv("integrate", "--yes", "--json"))["changes"] == []


def test_doctor_and_status_say_who_is_which(integrated):
    assert "Healthy: 0 errors, 0 warnings" in inv("doctor")
    told = inv("status")
    assert f"modular on {MODULAR}\n" in told and f"monolithic on {MONOLITHIC}\n" in told


def test_a_secret_outlives_its_daemons(api):
    """A guest with a volume goes on, and begins again by it."""
    with (
        guests.image_of_a_guest(api) as image,
        guests.guest(api, image, "modular", availability_zone=f"nova:{MODULAR}") as one,
    ):
        values = on(MODULAR, script=VALUES)
        assert values
        on(MODULAR, "systemctl", "restart", "virtsecretd", "virtqemud")
        assert on(MODULAR, script=VALUES) == values
        one.writes(7)
        api.compute.reboot_server(one.id, "HARD")
        time.sleep(5)
        api.compute.wait_for_server(one.server, "ACTIVE", ["ERROR"], 2, 300)
        assert one.volume.id in on(MODULAR, "virsh", "-q", "domblklist", one.id)
        assert "0 findings in" in inv("reconcile")


def test_guests_migrate_between_both_kinds(integrated):
    """In both directions, with a volume attached, by Nova."""
    checks = result(inv("verify", "--canary", "--json", timeout=1200))["checks"]
    assert [check["name"] for check in checks if not check["ok"]] == []
    told = {c["host"]: c["detail"] for c in checks if "live migration" in c["name"]}
    assert f" from {MODULAR} to {MONOLITHIC}" in told[MODULAR]
    assert f" from {MONOLITHIC} to {MODULAR}" in told[MONOLITHIC]


@pytest.mark.parametrize("mask", [False, True], ids=["stopped", "masked"])
def test_nobody_keeps_the_secrets_and_the_command_shown_mends_it(integrated, mask):
    units = "virtsecretd.socket virtsecretd-ro.socket virtsecretd-admin.socket"
    on(MODULAR, script=f"systemctl stop virtsecretd.service {units}")
    if mask:
        on(MODULAR, script="systemctl mask virtsecretd.socket")
    mend(codes(expect=3)["libvirt.virtsecretd"])
    assert not {code for code in codes() if code.startswith("libvirt")}


MONOLITHIC_UNITS = "libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd.service"


def test_libvirtd_beside_them_is_said(integrated):
    """As somebody starts it by an old habit: systemd stops virtproxyd, and no other of them."""
    on(MODULAR, script=f"systemctl -q unmask {MONOLITHIC_UNITS}; systemctl start libvirtd.socket")
    one = codes(expect=3)["libvirt.both"]
    assert "which of the two libvirt daemons has the running guests" in one["mend"][0]["run"]
    # A person has looked: none of them has any.
    on(MODULAR, script=f"systemctl disable --now {MONOLITHIC_UNITS}")
    mend(one)
    assert not {code for code in codes() if code.startswith("libvirt")}
    on(MODULAR, "virsh", "-q", "secret-list")


def test_it_is_taken_back_byte_for_byte(modular, integrated):
    inv("undo", "--yes", "--run", integrated["run"])
    assert on(MODULAR, script=LIBVIRT) == modular
