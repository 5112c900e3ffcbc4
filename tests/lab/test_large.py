"""The larger topology: three Ceph hosts, two controllers, three computes; and a late compute."""

import pytest

from .conftest import inv, on

SITE = ("--site", "config/site.large.toml")
COMPUTES = ("compute01", "compute02", "compute03")
pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def large():
    """The larger lab with one compute not started yet; taken down afterwards."""
    topology = ("--topology", "lab/topologies/large.toml")
    inv("lab.down", timeout=300)
    inv("lab.up", *topology, "--without", "compute03", timeout=2400)
    yield topology
    inv("lab.down", timeout=300)


def test_integrates_and_a_late_compute_gets_the_same_secret(large):
    inv("integrate", "--yes", *SITE, expect=4)  # compute03 is down: nothing is written
    inv("integrate", "--yes", "--limit", "!compute03", *SITE)
    inv("integrate", "--check", "--limit", "!compute03", *SITE)
    inv("lab.up", *large, timeout=600)
    inv("integrate", "--yes", "--limit", "compute03", *SITE)
    key = on("ceph01", "ceph", "auth", "get-key", "client.volumes").strip()
    uuids = {host: on(host, "virsh", "-q", "secret-list").split()[0] for host in COMPUTES}
    assert len(set(uuids.values())) == 1
    for host, uuid in uuids.items():
        assert on(host, "virsh", "-q", "secret-get-value", uuid).strip() == key
    # What --limit left out: the operator's file on the cluster's hosts, the volume type.
    inv("integrate", "--yes", *SITE)
    inv("integrate", "--check", *SITE)


def test_the_proof(large):
    inv("verify", *SITE, timeout=900)
