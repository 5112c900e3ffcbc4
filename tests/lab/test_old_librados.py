"""Before a rotation to keys of the new kind, clients that cannot read them are found.

A Ceph that makes such keys (sid's) under an OpenStack whose librados is older: minutes, and a lab
of its own (`make rotation`).
"""

import os

import pytest

from .conftest import inv, on
from .test_rotation import Turned, key_of, logs_in, make_old_keys, users
from .test_several import COMPUTES, CONTROLLER, secrets, sums

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_ROTATION" not in os.environ, reason="make rotation"),
]


@pytest.fixture(scope="module")
def old_clients():
    """Integrated, with keys of the old kind, on a cluster that makes the new one from now on."""
    if os.environ.get("STACKRBD_LAB") != "running":
        inv("lab.down", timeout=300)
        inv("lab.up", "--ceph-generation", "sid", timeout=2400)
    make_old_keys()
    inv("integrate", "--yes")
    on("ceph01", "ceph", "mon", "set", "auth_preferred_cipher", "aes256k")
    yield
    if os.environ.get("STACKRBD_LAB") != "running":
        inv("lab.down", timeout=300)


def seen():
    """Files of options to the byte, keyrings, libvirt's secrets and the cluster's users."""
    keyrings = {host: on(host, script="ls -l /etc/ceph") for host in (CONTROLLER, *COMPUTES)}
    return sums(), keyrings, {host: secrets(host) for host in COMPUTES}, users()


def test_a_librados_that_cannot_read_the_new_keys_is_found_and_nothing_is_touched(
    old_clients, tmp_path
):
    site, before = Turned(None, [], tmp_path).site(2), seen()
    for words in (("--check",), ("--yes",), ("--to", "aes256k", "--yes")):
        said = inv("ceph.rotate", *words, *site, expect=3, also_errors=True)
        assert "librados2" in said and "it refuses keys of the new kind" in said, said
        print(said)
    assert seen() == before

    # What that is for: who has such a key gets in nowhere with that librados; the old one does.
    assert logs_in("volumes", key_of("volumes"))
    caps = ("mon", "profile rbd", "osd", "profile rbd pool=volumes")
    on("ceph01", "ceph", "auth", "get-or-create", "client.new", *map(repr, caps))
    key = key_of("new")
    assert key.reveal().startswith("Ag") and not logs_in("new", key)
    on("ceph01", "ceph", "auth", "del", "client.new")
    inv("integrate", "--check")
