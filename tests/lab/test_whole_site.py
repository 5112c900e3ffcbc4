"""One site of several of everything, from nothing and back: two clusters, three backends beside NFS
(one with its data in an erasure-coded pool), two stores beside files, cinder-backup, and Nova's own
disks on RBD on one compute, in files on the other.

Takes half an hour: `make several`.
"""

import os
from pathlib import Path

import pytest
import tomli

from fabfile.cloud import connection
from lab import topology

from . import guests
from .conftest import ACCESS, inv, on, result
from .test_volume_backups import installed

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_SEVERAL" not in os.environ, reason="half an hour: make several"),
]
TOPOLOGY = ("--topology", str(topology.FOLDER / "two-clusters.toml"))
SITE = ("--site", "config/site.two-clusters.toml")
CONTROLLER, COMPUTES = "controller01", ("compute01", "compute02")
OURS = (CONTROLLER, *COMPUTES)
CEPH = {"ceph": "ceph01", "west": "west01"}
# Packages stay, and with them their /etc/ceph/rbdmap.
FILES = (
    "/etc/ceph/*.conf /etc/ceph/*.keyring /etc/sudoers.d/* /etc/apt/sources.list.d/* "
    "/etc/cinder/cinder.conf /etc/glance/glance-api.conf /etc/nova/nova.conf"
)
UNITS = ("glance-api", "cinder-volume", "cinder-backup", "nova-compute")
# {type of volumes: (its cluster's host, its pool)}
BACKENDS = {
    "rbd": ("ceph01", "volumes"),
    "west": ("west01", "volumes"),
    "big": ("west01", "big"),
}


@pytest.fixture(scope="module")
def whole():
    """The lab of two clusters, where cinder-backup is installed; taken down afterwards."""
    if os.environ.get("STACKRBD_LAB") != "running":
        inv("lab.down", timeout=300)
        inv("lab.up", *TOPOLOGY, timeout=2400)
    installed()
    yield
    if os.environ.get("STACKRBD_LAB") != "running":
        inv("lab.down", timeout=300)


@pytest.fixture(scope="module")
def api(whole):
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


def state(api):
    """All that an undo brings back: files to the byte, secrets, users, types, Cinder's services."""
    look = f"for f in {FILES}; do [ ! -e $f ] || {{ sha256sum $f; stat -c '%a %U %G' $f; }}; done"
    found = {host: on(host, script=look) for host in OURS}
    found |= {f"secrets of {host}": on(host, "virsh", "-q", "secret-list") for host in COMPUTES}
    for host in CEPH.values():
        found[f"users of {host}"] = on(host, script="ceph auth ls 2> /dev/null | grep -v key:")
        found[f"sudoers of {host}"] = on(host, script="sha256sum /etc/sudoers.d/*")
    found["types"] = {t.name: dict(t.extra_specs) for t in api.block_storage.types()}
    rows = [s.host for s in api.block_storage.services() if s.binary == "cinder-volume"]
    found["services"] = sorted(rows)
    return found


def touched():
    """Times of files and starts of services, which a second run leaves alone."""
    look = f"stat -c '%n %Y %Z' {FILES} 2> /dev/null || true"
    units = " ".join(UNITS)
    asked = f"{look}; systemctl show -p ActiveEnterTimestamp -p MainPID {units}"
    return {host: on(host, script=asked) for host in OURS}


def test_all_of_it_from_nothing_proved_adopted_and_taken_back(api, tmp_path):
    before = state(api)
    done = result(inv("integrate", "--yes", "--json", *SITE, timeout=1800))
    assert len(done["notes"]) == len(set(done["notes"]))
    inv("integrate", "--check", *SITE)
    at = touched()
    assert "Nothing to do" in inv("integrate", "--yes", *SITE)
    assert touched() == at

    fsids = [on(host, "ceph", "fsid").strip() for host in CEPH.values()]
    assert len(set(fsids)) == 2
    every_identity_is_in_the_truth_table(fsids)
    one_instance_has_volumes_of_both(api)

    said = inv("reconcile", *SITE)
    assert "cluster ceph: 0 findings" in said and "cluster west: 0 findings" in said
    adopted_in_an_empty_folder(tmp_path, fsids)
    every_backend_store_and_backup_is_proved()

    inv("undo", "--yes", "--run", done["run"], *SITE, timeout=1800)
    assert state(api) == before


def every_identity_is_in_the_truth_table(fsids):
    """Who holds which key under which UUID, of both clusters; and nothing is an error."""
    told = result(inv("doctor", "--json", *SITE, expect=(0, 3)))
    assert [f for f in told["findings"] if f["severity"] == "error"] == []
    found = {(s["kind"], s["client"]): s for s in told["secrets"]}
    clients = ("volumes", "vms", "west/volumes", "west/big")
    uuids = [found["libvirt", client]["uuid"] for client in clients]
    assert len(set(uuids)) == len(clients)
    assert [uuids[0], uuids[2]] == fsids
    for client in (*clients, "images", "backups", "west/images"):
        value = found["Ceph", client]["value"]
        keyring = found["keyring", client]
        assert keyring["value"] == value
        name, _, label = client.rpartition("/")[::-1]
        assert keyring["name"] == f"/etc/ceph/{label or 'ceph'}.client.{name}.keyring"
    for client in clients:
        assert found["libvirt", client]["value"] == found["Ceph", client]["value"]
        computes = [COMPUTES[0]] if client == "vms" else [*COMPUTES]
        assert found["libvirt", client]["hosts"] == computes
    assert found["keyring", "vms"]["hosts"] == [COMPUTES[0]]


def every_backend_store_and_backup_is_proved():
    checks = result(inv("verify", "--json", *SITE, timeout=3000))["checks"]
    assert [check["name"] for check in checks if not check["ok"]] == []
    about = {check["name"]: check["detail"] for check in checks}
    for name, (_, _pool) in BACKENDS.items():
        store = "west" if name != "rbd" else "rbd"
        assert store in about[f"an image in Glance ({name})"].rpartition(" in ")[2]
        assert f"a clone of the image as {name} volume ({name})" in about
        assert f"what is restored is what was backed up ({name})" in about
        for host in COMPUTES:
            assert f"{host}: Ceph names the hypervisor as watcher ({name})" in about


def one_instance_has_volumes_of_both(api):
    """It writes to each and reads it back; each lies where it should, and Nova's disk too."""
    with guests.image_of_a_guest(api) as image:
        with guests.guest(api, image, "of-both", availability_zone="nova:compute01") as one:
            attached_from_both(api, one)
        with guests.guest(api, image, "of-files", availability_zone="nova:compute02") as other:
            assert on("ceph01", script="rbd ls -p vms").split() == []
            on("compute02", "test", "-s", f"/var/lib/nova/instances/{other.id}/disk")


def attached_from_both(api, one):
    more = []
    for count, kind in enumerate(("west", "big"), start=2):
        volume = api.block_storage.create_volume(name=kind, size=1, volume_type=kind)
        api.block_storage.wait_for_status(volume, "available", ["error"], 2, 120)
        api.compute.create_volume_attachment(one.server, volume_id=volume.id)
        api.block_storage.wait_for_status(volume, "in-use", ["error"], 2, 120)
        one.said("read back equal", times=count)
        more.append(volume)
    for kind, volume in zip(BACKENDS, (one.volume, *more), strict=True):
        host, pool = BACKENDS[kind]
        watched = on(host, "rbd", "status", f"{pool}/volume-{volume.id}")
        assert "watcher=" in watched
    big = on("west01", "rbd", "info", f"big/volume-{more[1].id}")
    assert "data_pool: data" in big
    assert f"{one.id}_disk" in on("ceph01", script="rbd ls -p vms").split()
    found = result(inv("doctor", "--json", *SITE, expect=(0, 3)))["findings"]
    assert [f for f in found if f["severity"] == "error"] == []
    for volume in more:
        api.compute.delete_volume_attachment(one.server, volume.id)
        api.block_storage.wait_for_status(volume, "available", ["error"], 2, 120)
        api.block_storage.delete_volume(volume)
        api.block_storage.wait_for_delete(volume, 2, 120)


def adopted_in_an_empty_folder(folder, fsids):
    """A site file of what runs, whose plan is empty."""
    path = folder / "adopted.toml"
    words = ("--cloud", "stackrbd-lab", "--ceph", ",".join(CEPH.values()), "--out", str(path))
    words += ("--clouds-yaml", str(ACCESS / "clouds.yaml"))
    words += ("--ssh-config", str(ACCESS / "ssh_config"))
    words += ("--sudo-password-command", f"cat {ACCESS}/operator.password")
    told = result(inv("init", *words, "--json"))
    assert (told["changes"], told["refused"], told["doubts"]) == (0, [], [])
    assert "Nothing to do" in inv("integrate", "--check", "--site", str(path))
    raw = tomli.loads(Path(path).read_text())
    assert [raw["fsid"], raw["clusters"]["west"]["fsid"]] == fsids
    where = {name: one.get("cluster", "ceph") for name, one in raw["cinder"]["backends"].items()}
    assert where == {"rbd": "ceph", "west": "west", "big": "west"}
    assert raw["cinder"]["backup"] == {"pool": "backups", "client": "backups"}
    disks = {"ephemeral": True, "hosts": ["compute01"], "pool": "vms", "client": "vms"}
    assert raw["nova"] == disks
