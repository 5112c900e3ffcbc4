"""Before a rotation to keys of the new kind, clients that cannot read them are found.

A Ceph that makes such keys (sid's), under an OpenStack whose librados is older on all hosts, and
under one where a single compute was left behind: minutes, and a lab of its own (`make rotation`).
"""

import os
import shutil

import pytest

from lab import apt_repository, cloud, generation, hosts, images
from lab.images import Image

from .conftest import inv, on
from .test_rotation import Turned, key_of, logs_in, make_old_keys, users
from .test_several import COMPUTES, CONTROLLER, secrets, sums

LEFT = COMPUTES[1]
CAPS = ("mon", "profile rbd", "osd", "profile rbd pool=volumes")
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_ROTATION" not in os.environ, reason="make rotation"),
]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((("--ceph-generation", "sid"), "", CONTROLLER), id="all hosts"),
        pytest.param((("--generation", "sid"), LEFT, LEFT), id="one compute"),
    ],
)
def first_found(request):
    """Integrated, with keys of the old kind, on a cluster that makes the new one from now on.

    The first host, as the site has them, whose librados cannot read it.
    """
    words, left_behind, found = request.param
    inv("lab.down", timeout=300)
    inv("lab.up", *words, timeout=2400)
    make_old_keys()
    inv("integrate", "--yes")
    if left_behind:
        _leave_behind(left_behind)
    on("ceph01", "ceph", "mon", "set", "auth_preferred_cipher", "aes256k")
    yield found
    inv("lab.down", timeout=300)


def _leave_behind(host):
    """The Ceph client of trixie on a host of sid: what stays where an upgrade passed one by."""
    older = generation.load("trixie")
    with cloud._building(older.name):
        images.build({Image(older, kind) for kind in ("controller", "compute")})
        apt_repository.build(older)
    folder = hosts.root(host) / "root/older"
    shutil.copytree(apt_repository.folder(older) / "pool", folder)
    # Ceph's own, and what they need that is not there by that name.
    on(
        host,
        script="""\
set -e
cd /root/older
for file in *.deb; do
    name=$(dpkg-deb -f $file Package)
    case "$(dpkg-deb -f $file Source)" in
        "ceph" | "ceph "*) ;;
        *) ! dpkg-query -W $name > /dev/null 2>&1 || continue ;;
    esac
    wanted="$wanted $file"
done
# The Python there is newer than their Python's part asks for, which nothing here loads, and usermod
# refuses what trixie's script asks of it about a user that is there.
mkdir bin
printf '#!/bin/sh\\n' > bin/usermod
chmod +x bin/usermod
PATH=$PWD/bin:$PATH dpkg -i --force-depends $wanted < /dev/null > /dev/null
""",
    )
    assert on(host, script="dpkg-query -W -f '${Version}' librados2").startswith("18.")


def seen():
    """Files of options to the byte, keyrings, libvirt's secrets and the cluster's users."""
    keyrings = {host: on(host, script="ls -l /etc/ceph") for host in (CONTROLLER, *COMPUTES)}
    return sums(), keyrings, {host: secrets(host) for host in COMPUTES}, users()


def test_a_librados_that_cannot_read_the_new_keys_is_found_and_nothing_is_touched(
    first_found, tmp_path
):
    site, before = Turned(None, [], tmp_path).site(2), seen()
    for words in (("--check",), ("--yes",), ("--to", "aes256k", "--yes")):
        said = inv("ceph.rotate", *words, *site, expect=3, also_errors=True)
        assert f"{first_found}: librados2" in said, said
        assert "it refuses keys of the new kind" in said, said
        print(said)
    assert seen() == before

    # What that is for: who has such a key gets in nowhere with that librados; the old one does.
    on("ceph01", "ceph", "auth", "get-or-create", "client.new", *map(repr, CAPS))
    key = key_of("new")
    assert key.reveal().startswith("Ag")
    for host in (CONTROLLER, *COMPUTES):
        assert logs_in("volumes", key_of("volumes"), host)
        assert logs_in("new", key, host) == (first_found == LEFT != host), host
    on("ceph01", "ceph", "auth", "del", "client.new")
    inv("integrate", "--check")
