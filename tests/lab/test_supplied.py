"""A Ceph cluster of another team's: what they are asked for is enough, and no admin key is used.

Takes ten minutes: `make several`.
"""

import os

import pytest

from .conftest import inv, on, result

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_SEVERAL" not in os.environ, reason="minutes: make several"),
]
THEIRS = "ceph01"
OURS = ("controller01", "compute01", "compute02")
# Packages stay, and with them their /etc/ceph/rbdmap.
FILES = (
    "/etc/ceph/*.conf /etc/ceph/*.keyring "
    "/etc/cinder/cinder.conf /etc/glance/glance-api.conf /etc/nova/nova.conf"
)
HANDED_OVER = "# 4. To hand over"


@pytest.fixture
def words(lab, site, tmp_path):
    """A site without a host of Ceph's, to which `handed_over` gives what it needs."""
    table = f"""[clusters.ceph]
access = "supplied"
supplied_conf = "{tmp_path}/ceph.conf"
supplied_keyring = "{tmp_path}/{{client}}.keyring"
release = "pacific"

[glance]
store ="""
    return site(('ceph01 = { roles = ["ceph"] }\n', ""), ("[glance]\nstore =", table))


def handed_over(page, folder):
    """Carries the page out as the other team would, and brings what they hand over."""
    asked, mark, last = page.partition(HANDED_OVER)
    assert mark
    on(THEIRS, script=f"set -e\n{asked}")
    conf, *keyrings = [line for line in last.splitlines()[1:] if line.startswith("ceph ")]
    (folder / "ceph.conf").write_text(on(THEIRS, script=conf))
    for command in keyrings:
        path = folder / f"{command.rpartition('client.')[2]}.keyring"
        path.touch(mode=0o600)
        path.write_text(on(THEIRS, script=command))


def files():
    """Every file that we might write, to the byte, owners and modes included."""
    look = f"for f in {FILES}; do [ ! -e $f ] || {{ sha256sum $f; stat -c '%a %U %G' $f; }}; done"
    return {host: on(host, script=look) for host in OURS}


def test_what_is_asked_for_is_enough_and_all_of_ours_is_taken_back(words, tmp_path):
    before = files()
    said = inv("integrate", "--check", *words, expect=3, also_errors=True)
    assert "ceph.conf" in said and "inv ceph.request" in said
    page = inv("ceph.request", *words)
    pools = on(THEIRS, script="ceph osd pool ls").split()
    assert not {"volumes", "images"} & set(pools)  # it reaches no host
    handed_over(page, tmp_path)
    key = (tmp_path / "volumes.keyring").read_text().partition("key = ")[2].split()[0]

    inv("integrate", "--yes", *words)
    assert "nothing to do" in inv("integrate", "--check", *words).lower()
    inv("verify", *words)
    found = result(inv("doctor", "--json", *words, expect=(0, 3)))["findings"]
    assert [f for f in found if f["severity"] == "error"] == []
    assert "cluster.supplied" in {f["code"] for f in found}
    for host in OURS:
        keyrings = on(host, script="ls /etc/ceph").split()
        assert "ceph.client.admin.keyring" not in keyrings
        secrets = on(host, script="grep -rls 'client.admin' /etc/ceph /etc/libvirt || true")
        assert secrets == ""
    assert key not in page + said

    inv("undo", "--yes", *words)
    assert files() == before
