"""A backend and a store are taken out again: refused while in use, and nothing is left of them.

Takes a quarter of an hour: `make several`.
"""

import os
import time

import pytest
from openstack import exceptions

from fabfile.cloud import connection

from .conftest import ACCESS, inv, on, result
from .test_several import COMPUTES, CONTROLLER, SEVERAL, secrets, sums, types

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_SEVERAL" not in os.environ, reason="minutes: make several"),
]
BACKENDS = tuple((old, new.replace('default_volume_type = "quick"\n', "")) for old, new in SEVERAL)
"""As there, without a default type, which Cinder lets nobody delete."""
STORES = (
    (
        "images = { size = 1, pg_num = 32 }",
        "images = { size = 1, pg_num = 32 }\nmore = { size = 1, pg_num = 8 }",
    ),
    ('images = { rwx = ["images"] }', "images = {}\nmore = {}"),
    ('volumes = { rwx = ["volumes"], rx = ["images"] }', "volumes = {}"),
    (
        'store = "rbd"',
        '[glance.stores.rbd]\npool = "images"\n'
        '[glance.stores.more]\npool = "more"\nclient = "more"',
    ),
)
KEYRINGS = "stat -c '%a %U %G' /etc/ceph/ceph.client.{}.keyring 2>&1 || true"


@pytest.fixture(scope="module")
def api(lab):
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


def users():
    return on("ceph01", script="ceph auth ls 2>/dev/null | grep ^client || true").split()


def pools():
    return on("ceph01", script="ceph osd pool ls").split()


def services(api):
    return {one.host for one in api.block_storage.services() if one.binary == "cinder-volume"}


def test_a_backend_is_refused_while_in_use_and_gone_when_free(lab, api, site):
    inv("integrate", "--yes", timeout=1800)
    before, kinds, rows = sums(), types(api), services(api)
    words = site(*BACKENDS)
    inv("integrate", "--yes", *words, timeout=1800)
    wait_for(lambda: f"{CONTROLLER}@fast" in services(api), "the backend's first report")
    assert secrets(COMPUTES[0]) == "2"
    came = sums()

    volume = api.block_storage.create_volume(name="there", size=1, volume_type="quick")
    api.block_storage.wait_for_status(volume, "available", ["error"], 2, 120)
    look = ("remove", "--backend", "fast", "--check")
    refused = inv(*look, *words, expect=3, also_errors=True)
    assert volume.id in refused and "--type rbd --retype-policy on-demand" in refused
    assert sums() == came
    api.block_storage.delete_volume(volume)
    api.block_storage.wait_for_delete(volume, 2, 120)

    planned = result(inv(*look, "--json", *words, expect=2))
    assert ("cloud", "volume type quick") in {(c["host"], c["thing"]) for c in planned["changes"]}
    assert any("[cinder.backends.fast]" in note for note in planned["notes"])
    done = result(inv("remove", "--backend", "fast", "--yes", "--json", *words, timeout=900))
    assert sums() == before
    assert types(api) == kinds and services(api) == rows
    for host in COMPUTES:
        assert secrets(host) == "1"
    assert "No such file" in on(CONTROLLER, script=KEYRINGS.format("fast"))
    assert "client.fast" not in users() and "fast" in pools()
    assert "Nothing to do" in inv(*look, *words)
    # What is left of the site file is in force as it was.
    inv("integrate", "--check")
    inv("verify", timeout=1800)

    # There and back again: key, secret's value, type and row are what they were.
    inv("undo", "--yes", "--run", done["run"], *words, timeout=900)
    assert sums() == came
    assert secrets(COMPUTES[0]) == "2" and "client.fast" in users()
    inv("integrate", "--check", *words)
    checks = result(inv("verify", "--json", *words, timeout=1800))["checks"]
    assert all(check["ok"] for check in checks)

    # The pool goes by its name alone, and only empty.
    inv("remove", "--backend", "fast", "--and-pool", "fats", "--yes", *words, expect=3)
    ask = ("remove", "--backend", "fast", "--and-pool", "fast", "--yes")
    for script, said in (
        ("rbd create --size 1 fast/somebodys", "pool fast: it is not empty: 1 image"),
        ("rbd trash mv fast/somebodys", "1 image in the trash"),
    ):
        on("ceph01", script=script)
        assert said in inv(*ask, *words, expect=3, also_errors=True)
    on("ceph01", script="rbd trash purge fast")
    allowed = on("ceph01", script="ceph config get mon mon_allow_pool_delete").strip()
    on("ceph01", script="ceph config set mon mon_allow_pool_delete true")
    try:
        inv(*ask, *words, timeout=900)
    finally:
        on("ceph01", script=f"ceph config set mon mon_allow_pool_delete {allowed}")
    assert "fast" not in pools() and sums() == before
    inv("integrate", "--check")


def wait_for(there, what):
    """A service says that it is there some seconds after its start."""
    until = time.monotonic() + 120
    while not there():
        assert time.monotonic() < until, what
        time.sleep(2)


def glance_answers(api):
    try:
        return bool(api.image)
    except exceptions.SDKException:  # it was just restarted
        return False


def stored(api, store):
    """The id of an image that is in that store."""
    body = {"name": "there", "container_format": "bare", "disk_format": "raw"}
    image = api.image.post("/images", json=body).json()["id"]
    headers = {"Content-Type": "application/octet-stream", "X-Image-Meta-Store": store}
    api.image.put(f"/images/{image}/file", data=b"x" * 512, headers=headers)
    api.image.wait_for_status(api.image.get_image(image), "active", ["killed"], 2, 120)
    return image


def test_a_store_is_refused_while_it_has_an_image_and_gone_when_free(lab, api, site):
    inv("integrate", "--yes", timeout=1800)
    before = sums()
    words = site(*STORES)
    inv("integrate", "--yes", *words, timeout=1800)
    came = sums()
    wait_for(lambda: glance_answers(api), "Glance after its restart")
    image = stored(api, "more")
    try:
        refused = inv("remove", "--store", "more", "--check", *words, expect=3, also_errors=True)
        assert image in refused and "glance stores-delete" in refused
    finally:
        api.image.delete_image(image)
    assert sums() == came
    inv("remove", "--store", "more", "--yes", *words, timeout=900)
    assert sums() == before
    assert "client.more" not in users()
    inv("integrate", "--check")
