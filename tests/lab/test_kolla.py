"""A compute in Kolla's containers beside one of packages: integrated in one plan, and undone.

One compute of the lab is moved into containers that Kolla's own start.sh and set_configs.py
start, with Kolla-Ansible's files and units around them: `make kolla`.
"""

import os
import time

import pytest

from fabfile.cloud import connection
from lab import cloud, containers

from . import guests
from .conftest import ACCESS, PROJECT, fresh_lab, inv, on, result

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        "STACKRBD_KOLLA" not in os.environ, reason="a quarter of an hour: make kolla"
    ),
]
KOLLA, PACKAGES, CONTROL = "compute02", "compute01", "controller01"
ROW = f'{KOLLA} = {{ roles = ["compute"] }}'
MIXED = (ROW, f'{KOLLA} = {{ roles = ["compute"], platform = "kolla" }}')
LIBVIRT, COMPUTE = (one.unit for one in containers.CONTAINERS["nova-compute"])
FILES = """
cd /etc/kolla
find . -type f -exec sha256sum {} + | sort
find . -printf '%p %m %u %g\\n' | sort
"""
HELD = """
for uuid in $(podman exec nova_libvirt virsh -q secret-list | awk '{print $1}'); do
    value=$(podman exec nova_libvirt virsh -q secret-get-value $uuid)
    file=$(cat /etc/kolla/nova-libvirt/secrets/$uuid.base64)
    [ "$value" = "$file" ] && echo "$uuid"
done
"""
"""The UUIDs of libvirt's secrets whose value is that of their file."""


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A site file of both kinds of computes (its --site words), and what Kolla's had before."""
    if os.environ.get("STACKRBD_LAB") != "running":
        fresh_lab()
        cloud.into_containers(KOLLA)
    text = (PROJECT / "config/site.toml").read_text()
    assert ROW in text
    path = tmp_path_factory.mktemp("mixed") / "site.toml"
    path.write_text(text.replace(*MIXED))
    return ("--site", str(path)), on(KOLLA, script=FILES)


@pytest.fixture(scope="module")
def integrated(mixed):
    """The same, integrated; the result of that run."""
    words, _ = mixed
    return words, result(inv("integrate", "--yes", "--json", *words, timeout=1200))


@pytest.fixture(scope="module")
def api(integrated):
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


def began(name):
    return on(KOLLA, "podman", "inspect", "-f", "{{.State.StartedAt}}", name).strip()


def test_a_host_of_containers_is_refused_as_one_of_packages(mixed):
    said = inv("plan", "--limit", KOLLA, expect=3, also_errors=True)
    assert "services in Kolla's containers read other files" in said


def test_both_kinds_are_one_plan(integrated):
    _, said = integrated
    assert {KOLLA, PACKAGES, CONTROL} <= {change["host"] for change in said["changes"]}
    paths = [change["thing"] for change in said["changes"] if change["host"] == KOLLA]
    assert "packages" not in paths
    assert "/etc/kolla/nova-libvirt/config.json" in paths
    assert any("kolla-ansible reconfigure" in note for note in said["notes"])


def test_a_second_run_changes_nothing(integrated):
    words, _ = integrated
    before = on(KOLLA, script=FILES), began("nova_compute"), began("nova_libvirt")
    assert result(inv("integrate", "--yes", "--json", *words))["changes"] == []
    assert (on(KOLLA, script=FILES), began("nova_compute"), began("nova_libvirt")) == before


def test_the_container_has_what_was_written(integrated):
    told = on(KOLLA, script="podman exec nova_compute stat -c '%a %U' /etc/ceph/ceph.conf")
    assert told == "600 nova\n"


def test_it_is_proved_on_both(integrated):
    words, _ = integrated
    for name in (KOLLA, PACKAGES):
        assert "Proved: 12 of 12 checks" in inv("verify", "--limit", name, *words)


def test_doctor_and_status_look_into_the_containers(integrated):
    words, _ = integrated
    said = inv("doctor", *words)
    assert "Healthy: 0 errors, 0 warnings" in said
    assert f"monolithic on {PACKAGES}, {KOLLA}" in inv("status", *words)


def test_a_secret_outlives_the_container_of_libvirt(api):
    """A guest with a volume begins again by it."""
    with (
        guests.image_of_a_guest(api) as image,
        guests.guest(api, image, "kolla", availability_zone=f"nova:{KOLLA}") as one,
    ):
        assert one.compute == KOLLA
        uuids, since = on(KOLLA, script=HELD).split(), began("nova_libvirt")
        assert len(uuids) == 1
        on(KOLLA, "systemctl", "restart", LIBVIRT)
        until = time.monotonic() + 60
        while began("nova_libvirt") == since or on(KOLLA, script=HELD).split() != uuids:
            assert time.monotonic() < until
            time.sleep(2)
        api.compute.reboot_server(one.id, "HARD")
        time.sleep(5)
        api.compute.wait_for_server(one.server, "ACTIVE", ["ERROR"], 2, 300)
        disks = on(KOLLA, "podman", "exec", "nova_libvirt", "virsh", "-q", "domblklist", one.id)
        assert one.volume.id in disks


def test_without_units_the_engine_restarts(integrated):
    """As Kolla-Ansible left it up to Zed: policies of the engine, and no unit."""
    words, _ = integrated
    away = f"mkdir /root/units; mv /etc/systemd/system/{COMPUTE}.service /root/units"
    on(KOLLA, script=f"systemctl stop {COMPUTE}; {away}; systemctl daemon-reload")
    on(KOLLA, "podman", "start", "nova_compute")
    try:
        since = began("nova_compute")
        inv("services.restart", "--all", "--yes", "--limit", KOLLA, *words)
        assert began("nova_compute") > since
        on(KOLLA, "podman", "stop", "nova_compute")
        said = inv("doctor", "--limit", KOLLA, *words, expect=(0, 2, 3, 4), also_errors=True)
        assert COMPUTE in said
    finally:
        on(KOLLA, script="mv /root/units/* /etc/systemd/system; systemctl daemon-reload")
        on(KOLLA, "systemctl", "start", COMPUTE)


def test_it_is_taken_back_byte_for_byte(mixed, integrated):
    words, before = mixed
    since = began("nova_compute")
    inv("undo", "--yes", "--run", integrated[1]["run"], *words)
    assert on(KOLLA, script=FILES) == before
    assert on(KOLLA, "podman", "exec", "nova_libvirt", "virsh", "-q", "secret-list").strip() == ""
    assert began("nova_compute") > since
