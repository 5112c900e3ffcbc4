"""Two RBD backends, each with a pool, a client and a type of its own, from nothing and back.

Takes a quarter of an hour: `make several`.
"""

import os
import time

import pytest

from fabfile.cloud import connection, qos

from .conftest import ACCESS, inv, on, result

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_SEVERAL" not in os.environ, reason="minutes: make several"),
]
CONTROLLER, COMPUTES = "controller01", ("compute01", "compute02")
FILES = ("/etc/cinder/cinder.conf", "/etc/glance/glance-api.conf", "/etc/nova/nova.conf")
SEVERAL = (
    ("volumes = { size = 1, pg_num = 32 }", "volumes = { size = 1, pg_num = 32 }\n"
     "fast = { size = 1, pg_num = 8 }"),
    ('volumes = { rwx = ["volumes"], rx = ["images"] }', "volumes = {}\nfast = {}"),
    (
        'backend = "rbd"\nvolume_type = "rbd"',
        """default_volume_type = "quick"
[cinder.backends.rbd]
pool = "volumes"
[cinder.backends.fast]
pool = "fast"
client = "fast"
volume_type = "quick"
extra_specs = { "stackrbd:kind" = "quick" }""",
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def api(lab):
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


def sums():
    """What the hosts' files are like, to the byte, owners and modes included."""
    said = {}
    for host in (CONTROLLER, *COMPUTES):
        look = "[ ! -e $f ] || { sha256sum $f; stat -c '%a %U %G' $f; }"
        said[host] = on(host, script=f"for f in {' '.join(FILES)}; do {look}; done")
    return said


def secrets(host):
    return on(host, script="virsh secret-list | grep -ci 'ceph' || true").strip()


def types(api):
    return {t.name: dict(t.extra_specs) for t in api.block_storage.types()}


def test_two_backends_from_nothing_proved_and_taken_back(lab, api, site):
    inv("lab.reset", timeout=300)
    words = site(*SEVERAL)
    files, kinds = sums(), types(api)

    planned = result(inv("plan", "--json", *words))
    said = [(c["host"], c["thing"], c["sentence"]) for c in planned["changes"]]
    assert len(said) == len(set(said))  # nothing is planned twice
    assert ("ceph01", "user client.fast", "create") in said
    assert any("default_volume_type = quick (before: " in note for note in planned["notes"])
    done = result(inv("integrate", "--yes", "--json", *words, timeout=1800))

    # The same question once more: nothing is left.
    inv("integrate", "--check", *words)
    conf = on(CONTROLLER, script="cat /etc/cinder/cinder.conf")
    enabled = next(line for line in conf.splitlines() if line.startswith("enabled_backends"))
    assert {"rbd", "fast"} <= set(enabled.partition("=")[2].replace(" ", "").split(","))
    assert types(api)["quick"] == {"volume_backend_name": "fast", "stackrbd:kind": "quick"}
    assert types(api)["rbd"] == {"volume_backend_name": "rbd"}
    for host in COMPUTES:
        assert secrets(host) == "2"
    key = on(CONTROLLER, script="stat -c '%a %U %G' /etc/ceph/ceph.client.fast.keyring").strip()
    assert key == "640 cinder cinder"

    # Each is proved by its own type, in its own pool, on each compute.
    checks = result(inv("verify", "--json", *words, timeout=1800))["checks"]
    assert all(check["ok"] for check in checks)
    for name, kind in (("rbd", "rbd"), ("fast", "quick")):
        about = [c["name"] for c in checks if c["name"].endswith(f" ({name})")]
        assert f"a clone of the image as {kind} volume ({name})" in about
        for host in COMPUTES:
            assert f"{host}: Ceph names the hypervisor as watcher ({name})" in about

    # A volume of each lies where it should, and both can be had by one instance's user.
    for kind, pool in (("rbd", "volumes"), ("quick", "fast")):
        volume = api.block_storage.create_volume(name=f"in-{pool}", size=1, volume_type=kind)
        api.block_storage.wait_for_status(volume, "available", ["error"], 2, 120)
        listed = on("ceph01", script=f"rbd ls -p {pool}").split()
        assert f"volume-{volume.id}" in listed
        api.block_storage.delete_volume(volume)
        api.block_storage.wait_for_delete(volume, 2, 120)

    found = result(inv("doctor", "--json", *words, expect=(0, 3)))["findings"]
    assert [f for f in found if f["severity"] == "error"] == []
    assert not any(f["code"].startswith("pending.") for f in found)

    inv("undo", "--yes", "--run", done["run"], *words, timeout=900)
    assert sums() == files
    assert types(api) == kinds
    for host in COMPUTES:
        assert secrets(host) == "0"
    users = on("ceph01", script="ceph auth ls 2>/dev/null | grep ^client || true")
    assert "client.fast" not in users


def test_a_second_backend_comes_beside_one_that_has_volumes(lab, api, site):
    """The site file of one backend is integrated; the same in tables plans the second one alone."""
    inv("integrate", "--yes", timeout=1800)
    volume = api.block_storage.create_volume(name="first", size=1, volume_type="rbd")
    api.block_storage.wait_for_status(volume, "available", ["error"], 2, 120)
    before = sums()
    words = site(*SEVERAL)
    planned = result(inv("plan", "--json", *words))
    assert not any("volumes on" in c["thing"] for c in planned["changes"])
    edits = [c for c in planned["changes"] if c["thing"] == "/etc/cinder/cinder.conf"]
    assert len(edits) == 1 and "rbd." not in edits[0]["sentence"].replace("fast.rbd_", "")
    done = result(inv("integrate", "--yes", "--json", *words, timeout=1800))
    inv("integrate", "--check", *words)
    assert api.block_storage.get_volume(volume.id).host == f"{CONTROLLER}@rbd#rbd"
    inv("verify", *words, timeout=1800)
    inv("undo", "--yes", "--run", done["run"], *words, timeout=900)
    assert sums() == before
    inv("integrate", "--check")
    api.block_storage.delete_volume(volume)
    api.block_storage.wait_for_delete(volume, 2, 120)


def zones_of(api):
    """{a service of Cinder's: its availability zone}."""
    return {one.host: one.availability_zone for one in api.block_storage.services()}


def test_a_backend_with_a_zone_and_limits_has_them_and_so_has_its_type(api, site):
    inv("integrate", "--yes", timeout=1800)
    limits = 'qos = { total_iops_sec = "5000" }'
    more = f'availability_zone = "z2"\n{limits}\nextra_specs'
    words = site(*SEVERAL, ("extra_specs", more))
    done = result(inv("integrate", "--yes", "--json", *words, timeout=1800))
    inv("integrate", "--check", *words)
    # A service that was there before tells its new zone with its next report.
    until = time.monotonic() + 60
    while (zones := zones_of(api))[f"{CONTROLLER}@fast"] != "z2" and time.monotonic() < until:
        time.sleep(2)
    assert (zones[f"{CONTROLLER}@fast"], zones[f"{CONTROLLER}@rbd"] == "z2") == ("z2", False)
    assert types(api)["quick"]["RESKEY:availability_zones"] == "z2"
    specs = {"consumer": "front-end", "total_iops_sec": "5000"}
    assert qos.read(api) == {"quick": {"specs": specs, "types": ["quick"]}}
    inv("undo", "--yes", "--run", done["run"], *words, timeout=900)
    assert qos.read(api) == {}
    inv("integrate", "--check")


def test_two_stores_of_glance_are_proved_and_taken_back(lab, site):
    inv("integrate", "--yes", timeout=1800)
    before = sums()
    words = site(
        ("images = { size = 1, pg_num = 32 }", "images = { size = 1, pg_num = 32 }\n"
         "more = { size = 1, pg_num = 8 }"),
        ('images = { rwx = ["images"] }', "images = {}"),
        ('volumes = { rwx = ["volumes"], rx = ["images"] }', "volumes = {}"),
        ('store = "rbd"', '[glance.stores.rbd]\npool = "images"\n'
         '[glance.stores.more]\npool = "more"'),
    )  # fmt: skip
    done = result(inv("integrate", "--yes", "--json", *words, timeout=1800))
    inv("integrate", "--check", *words)
    conf = on(CONTROLLER, script="cat /etc/glance/glance-api.conf")
    enabled = next(line for line in conf.splitlines() if line.startswith("enabled_backends"))
    assert "rbd:rbd" in enabled and "more:rbd" in enabled
    checks = result(inv("verify", "--json", *words, timeout=1800))["checks"]
    (one,) = [c for c in checks if c["name"].startswith("an image in store more, and a clone of")]
    assert one["ok"] and "more/" in one["detail"]
    inv("undo", "--yes", "--run", done["run"], *words, timeout=900)
    assert sums() == before
    inv("integrate", "--check")


def test_a_pool_is_altered_by_manage_alone_and_set_back(lab, site):
    inv("integrate", "--yes", timeout=1800)

    def mode():
        said = on("ceph01", script="ceph osd pool get volumes compression_mode 2>&1 || true")
        return said.strip()

    before = mode()
    plain = "volumes = { size = 1, pg_num = 32 }"
    wanted = 'volumes = { size = 1, pg_num = 32, compression_mode = "passive" }'
    words = site((plain, wanted))
    planned = result(inv("plan", "--json", *words))
    assert planned["changes"] == []
    assert any("compression_mode none, passive in the site file" in n for n in planned["notes"])
    words = site((plain, wanted.replace(" }", ", manage = true }")))
    done = result(inv("integrate", "--yes", "--json", *words))
    assert mode() == "compression_mode: passive"
    inv("integrate", "--check", *words)
    inv("undo", "--yes", "--run", done["run"], *words)
    inv("integrate", "--check")
    assert mode() == before
