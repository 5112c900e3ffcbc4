"""Volumes of one cluster are mirrored into another one, by rbd-mirror: `make several`.

The lab of two clusters, with the package rbd-mirror on a host of each.
"""

import os
import time

import pytest

from fabfile.cloud import connection
from lab import more_packages

from . import guests
from .conftest import ACCESS, PROJECT, inv, on, result
from .test_whole_site import whole  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_SEVERAL" not in os.environ, reason="minutes: make several"),
]
SITES = {"ceph01": "ceph", "west01": "west"}
POOL = "volumes"


@pytest.fixture(scope="module")
def words(whole, tmp_path_factory):  # noqa: F811
    """The site of two clusters, whose first backend is mirrored into west."""
    text = (PROJECT / "config" / "site.two-clusters.toml").read_text()
    old = '[cinder.backends.rbd]\npool = "volumes"\n'
    assert old in text
    more = 'replicates_to = "west"\nextra_specs = { replication_enabled = "<is> True" }\n'
    path = tmp_path_factory.mktemp("mirrored") / "site.toml"
    path.write_text(text.replace(old, old + more))
    return ("--site", str(path))


@pytest.fixture(scope="module")
def api():
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


def codes(words):
    said = result(inv("doctor", "--json", *words, expect=(0, 3)))["findings"]
    return sorted(f["code"] for f in said if f["code"].startswith("mirror."))


def rbd(host, *argv):
    return on(host, "rbd", *argv, "-p", POOL)


def until(true, seconds=240):
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit
        time.sleep(3)


@pytest.fixture(scope="module")
def daemons():
    """What doctor advises, as an operator does it; and a daemon in each cluster."""
    for host in SITES:
        on(host, script=f"rbd mirror pool enable {POOL} image")
    token = on(
        "west01", script=f"umask 077; rbd mirror pool peer bootstrap create --site-name west {POOL}"
    )
    on(
        "ceph01",
        script=f"umask 077; cat > /root/token <<'END'\n{token}END\n"
        f"rbd mirror pool peer bootstrap import --site-name ceph {POOL} /root/token\n"
        "rm /root/token",
    )
    for host in SITES:
        more_packages.put(host, "rbd-mirror")
        on(
            host,
            script="""
            ceph auth get-or-create client.rbd-mirror.x mon 'profile rbd-mirror' \
                osd 'profile rbd' mgr 'profile rbd' > /etc/ceph/ceph.client.rbd-mirror.x.keyring
            setsid rbd-mirror --id rbd-mirror.x --foreground </dev/null >/var/log/rbd-mirror 2>&1 &
            sleep 1""",
        )


def test_a_volume_is_mirrored_and_doctor_says_what_is_missed(words, api, request):
    planned = result(inv("plan", "--json", *words))
    assert any("rbd mirror pool enable" in n or "volumes" in n for n in planned["notes"])
    inv("integrate", "--yes", *words, timeout=2400)
    inv("integrate", "--check", *words)
    conf = on("controller01", "cat", "/etc/cinder/cinder.conf")
    assert "replication_device = backend_id:west,conf:/etc/ceph/west.conf,user:volumes," in conf
    assert codes(words) == ["mirror.off", "mirror.off"]

    request.getfixturevalue("daemons")
    until(lambda: codes(words) == [])
    storage = api.block_storage
    volume = storage.create_volume(name="mirrored", size=1, volume_type="rbd")
    storage.wait_for_status(volume, "available", ["error"], 2, 300)
    name = f"volume-{volume.id}"
    until(lambda: name in rbd("west01", "ls"))
    until(
        lambda: "up+replaying" in on("west01", "rbd", "mirror", "image", "status", f"{POOL}/{name}")
    )
    assert codes(words) == []
    storage.delete_volume(volume)
    storage.wait_for_delete(volume, 2, 300)
    until(lambda: name not in rbd("west01", "ls"))


def of_backend(api):
    (found,) = [s for s in api.block_storage.services() if s.host == "controller01@rbd"]
    return found


def test_after_a_failover_a_guest_writes_to_the_copy(words, api, daemons):
    storage = api.block_storage
    volume = storage.create_volume(name="lost", size=1, volume_type="rbd")
    storage.wait_for_status(volume, "available", ["error"], 2, 300)
    image = f"{POOL}/volume-{volume.id}"
    on("ceph01", "rbd", "bench", "--io-type", "write", "--io-total", "8M", image)
    look = f"rbd export --no-progress {image} - 2> /dev/null | sha256sum"
    until(lambda: image.partition("/")[2] in rbd("west01", "ls"))
    until(lambda: on("west01", script=look) == on("ceph01", script=look))

    asked = {"host": of_backend(api).host, "backend_id": "west"}
    assert storage.put("/os-services/failover_host", json=asked).status_code == 202  # noqa: PLR2004
    until(lambda: of_backend(api).replication_status == "failed-over")
    assert storage.get_volume(volume).replication_status == "failed-over"
    inv("integrate", "--check", *words)
    assert [code for code in codes(words) if code != "mirror.images"] == []
    with (
        guests.image_of_a_guest(api) as of_guest,
        guests.guest(api, of_guest, "lost", volume=volume) as one,
    ):
        address = f"watcher={on(one.compute, 'hostname', '-I').split()[0]}:"
        assert address in on("west01", "rbd", "status", image)
        assert address not in on("ceph01", "rbd", "status", image)
