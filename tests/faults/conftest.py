"""An integrated cloud on which faults are made, each mended by the test that made it."""

import contextlib
import subprocess
from pathlib import Path

import pytest

from lab import cgroups, network
from tests.lab.conftest import (  # noqa: F401 (fixtures)
    ACCESS,
    PROJECT,
    fresh_lab,
    inv,
    no_key_is_shown,
    on,
    site,
    watcher,
)


@pytest.fixture(scope="session")
def cloud():
    """The small cloud, integrated."""
    fresh_lab()
    inv("integrate", "--yes")
    return on


def refused(code, *words, **how):
    """Runs `inv`, which must end with that code; all that it said."""
    return inv(*words, expect=code, also_errors=True, **how)


def alter(host="compute01"):
    """Makes work for compute.nova on one host."""
    on(host, script="sed -i '/^rbd_user/d' /etc/nova/nova.conf")


def mended():
    """Everything is as integrate leaves it; what was altered is put back first."""
    inv("integrate", "--yes")
    inv("integrate", "--check")


def nova_conf(host="compute01"):
    return on(host, "cat", "/etc/nova/nova.conf")


@contextlib.contextmanager
def done_and_undone(host, do, undo):
    """Does something on a host, and takes it back whatever happens."""
    on(host, script=do)
    try:
        yield
    finally:
        on(host, script=undo)


@contextlib.contextmanager
def here(do, undo):
    """As done_and_undone, on this machine (the network's side)."""
    subprocess.run(do, shell=True, check=True)  # noqa: S602 (the test's own words)
    try:
        yield
    finally:
        subprocess.run(undo, shell=True, check=True)  # noqa: S602


def cut(host):
    """The host's link is down."""
    link = network.link_of(host)
    return here(f"ip link set {link} down", f"ip link set {link} up")


def silent(*hosts):
    """No packet of the hosts' gets through, and nobody is told: their links stay up."""
    links = [network.ends_of(host) for host in hosts]
    return here(
        "; ".join(f"ip link set {link} nomaster" for link, _ in links),
        "; ".join(f"ip link set {link} master {bridge}" for link, bridge in links),
    )


def sshd_of(host):
    """The process id, on this machine, of the sshd of this lab's host."""
    for number in cgroups.members(host):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{number}/cmdline").read_bytes().startswith(b"sshd: /usr/sbin/sshd"):
                return str(number)
    raise AssertionError(f"no sshd of {host} is found")
