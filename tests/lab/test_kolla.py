"""A compute, then a controller too, in Kolla's containers beside a compute of packages: integrated
in one plan, and undone.

One compute of the lab is moved into containers that Kolla's own start.sh and set_configs.py
start, with Kolla-Ansible's files and units around them; then glance-api, cinder-volume and
cinder-backup of the controller, which keeps database, queue and APIs: `make kolla`.
"""

import os
import time

import pytest

from fabfile.cloud import connection
from lab import cloud, containers

from . import guests
from .conftest import ACCESS, PROJECT, fresh_lab, inv, on, result
from .test_volume_backups import BACKED_UP

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_KOLLA" not in os.environ, reason="half an hour: make kolla"),
]
KOLLA, PACKAGES, CONTROL = "compute02", "compute01", "controller01"
ROW = f'{KOLLA} = {{ roles = ["compute"] }}'
MIXED = (ROW, f'{KOLLA} = {{ roles = ["compute"], platform = "kolla" }}')
OF_CONTROL = f'{CONTROL} = {{ roles = ["glance", "cinder", "database"] }}'
CONTROLLED = (OF_CONTROL, OF_CONTROL.replace(" }", ', platform = "kolla" }'))
SERVICES = [one for name in ("glance", "cinder-volume") for one in containers.CONTAINERS[name]]
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


def began(name, host=KOLLA):
    return on(host, "podman", "inspect", "-f", "{{.State.StartedAt}}", name).strip()


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


# The controller too


@pytest.fixture(scope="module")
def control(mixed, tmp_path_factory):
    """A site file of both, with cinder-backup (its --site words), and what Kolla's had before."""
    if os.environ.get("STACKRBD_LAB") != "running":
        cloud.into_containers(CONTROL)
    text = (PROJECT / "config/site.toml").read_text()
    for old, new in (MIXED, CONTROLLED, *BACKED_UP):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path_factory.mktemp("control") / "site.toml"
    path.write_text(text)
    return ("--site", str(path)), {host: on(host, script=FILES) for host in (CONTROL, KOLLA)}


@pytest.fixture(scope="module")
def whole(control):
    """The same, integrated; the result of that run."""
    words, _ = control
    return words, result(inv("integrate", "--yes", "--json", *words, timeout=1200))


def test_a_controller_of_containers_is_refused_as_one_of_packages(control):
    said = inv("plan", "--limit", CONTROL, expect=3, also_errors=True)
    assert "services in Kolla's containers read other files" in said


def test_controller_and_computes_are_one_plan(whole):
    _, said = whole
    there = {(change["host"], change["thing"]) for change in said["changes"]}
    assert {KOLLA, PACKAGES, CONTROL} <= {host for host, _ in there}
    assert (CONTROL, "packages") not in there
    for one in SERVICES:
        assert (CONTROL, f"{one.folder}/config.json") in there
        assert (CONTROL, f"{one.folder}/ceph/ceph.conf") in there


def sums_and_starts():
    starts = [began(one.name, CONTROL) for one in SERVICES]
    return on(CONTROL, script=FILES), on(KOLLA, script=FILES), starts


def test_a_second_run_of_all_changes_nothing(whole):
    words, _ = whole
    before = sums_and_starts()
    assert result(inv("integrate", "--yes", "--json", *words))["changes"] == []
    assert sums_and_starts() == before


IN_THEM = {
    "glance_api": ["images"],
    "cinder_volume": ["volumes"],
    "cinder_backup": ["backups", "volumes"],
}


def written(name):
    """What a container has of Ceph's, with mode and owner."""
    look = f"podman exec {name} find /etc/ceph -type f -name 'ceph.c*' -printf '%f %m %u\\n' | sort"
    return on(CONTROL, script=look).splitlines()


def opens(name, client):
    """Whether the service's client reads its pool from within, with what is there."""
    return (
        on(CONTROL, "podman", "exec", name, "rbd", "--id", client, "ls", "-p", client) is not None
    )


def test_each_container_has_its_own_and_opens_its_pool(whole):
    for one in SERVICES:
        names = [f"ceph.client.{client}.keyring" for client in IN_THEM[one.name]]
        assert written(one.name) == [f"{n} 600 {one.user}" for n in [*names, "ceph.conf"]]
        assert opens(one.name, IN_THEM[one.name][0])


def test_all_of_it_is_proved(whole):
    """Image, clone, attached volume on each compute, a backup of it and that one restored."""
    words, _ = whole
    checks = result(inv("verify", "--json", *words, timeout=1800))["checks"]
    assert [check for check in checks if not check["ok"]] == []
    names = [check["name"] for check in checks]
    assert "what is restored is what was backed up" in names


def test_what_looks_sees_into_the_controllers_containers(whole):
    words, _ = whole
    assert "Healthy: 0 errors, 0 warnings" in inv("doctor", *words)
    assert result(inv("reconcile", "--json", *words))["findings"] == []
    for one in SERVICES:
        on(CONTROL, "rm", f"{one.folder}/ceph/ceph.conf")
    found = result(inv("doctor", "--json", *words, expect=3))["findings"]
    assert {f["thing"] for f in found if f["code"] == "ceph.conf.missing"} == {
        f"{one.folder}/ceph/ceph.conf" for one in SERVICES
    }
    inv("hosts.conf", "--yes", *words)
    inv("services.restart", "--yes", *words)
    assert "Healthy: 0 errors, 0 warnings" in inv("doctor", *words)


def test_what_was_written_outlives_the_containers(whole):
    words, _ = whole
    before = {one.name: written(one.name) for one in SERVICES}
    for one in SERVICES:
        since = began(one.name, CONTROL)
        on(CONTROL, "systemctl", "restart", one.unit)
        until = time.monotonic() + 120
        while began(one.name, CONTROL) == since or written(one.name) != before[one.name]:
            assert time.monotonic() < until
            time.sleep(2)
    inv("verify", "--limit", PACKAGES, *words, timeout=1800)


def test_the_controller_is_taken_back_byte_for_byte(control, whole):
    words, before = control
    since = [began(one.name, CONTROL) for one in SERVICES]
    inv("undo", "--yes", "--run", whole[1]["run"], *words, timeout=900)
    assert {host: on(host, script=FILES) for host in before} == before
    for one, then in zip(SERVICES, since, strict=True):
        assert began(one.name, CONTROL) > then
