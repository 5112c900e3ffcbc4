"""Every task run by itself, in an order that has sense: the same state as the chain's."""

import pytest

from .conftest import UNCONNECTED, inv

ORDER = (
    "hosts.sudoers",
    "hosts.packages",
    "hosts.conf",
    "ceph.pools",
    "ceph.auth",
    "ceph.clones",
    "ceph.keyrings",
    "compute.secret",
    "controller.glance",
    "controller.cinder",
    "compute.nova",
    "services.restart",
)
pytestmark = pytest.mark.lab
LEAVES = UNCONNECTED


def test_each_task_alone_ends_where_the_chain_does(lab):
    inv("hosts.check")
    for task in ORDER:
        inv(task, "--check", expect=2)
        inv(task, "--yes")
        inv(task, "--check")
    assert "Nothing to do" in inv("integrate", "--check")
    inv("lab.reset", timeout=300)
    assert "+ pool volumes" in inv("integrate", "--check", expect=2)
