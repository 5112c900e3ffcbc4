"""Faults G: concurrency, plans, audit; and the slow link."""

import contextlib
import itertools
import json
import random
import socket
import subprocess
import sys
import time

import pytest

from tests.lab.conftest import inv, on, result, start

from .conftest import alter, here, mended, nova_conf, refused, sshd_of

pytestmark = pytest.mark.lab
ADDRESS = {"compute01": "198.18.53.31"}
LINK = [sys.executable, "-m", "tests.faults.slow_link"]


@contextlib.contextmanager
def slow(host, delay, loss):
    """The host's link has so many milliseconds (both ways together) and percent of loss."""
    inside = ["nsenter", "-t", sshd_of(host), "-n", *LINK, "plain", "host0"]
    subprocess.run(inside, check=True)
    argv = [*LINK, host, str(delay), str(loss)]
    link = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert link.stdout.readline() == "ready\n"
    try:
        yield
    finally:
        said = link.communicate("")[0]
    assert int(said.split()[1].rstrip(",")) > 50, "the slow link carried nothing"


def test_12_300_ms_and_five_percent_loss(cloud):
    with slow("compute01", 300, 5):
        assert round_trip("compute01") > 250
        done = result(inv("integrate", "--check", "--json"))
        assert done["trips"]["compute01"] == 1
        alter()
        done = result(inv("integrate", "--yes", "--json"))
        assert [c["host"] for c in done["changes"]] == ["compute01"] * 2
        assert done["trips"]["compute01"] <= 4
    mended()


def round_trip(host):
    """Milliseconds that a connection takes, the median of some."""
    times = []
    for _ in range(5):
        began = time.monotonic()
        socket.create_connection((ADDRESS[host], 22), timeout=10).close()
        times.append((time.monotonic() - began) * 1000)
    return sorted(times)[2]


def test_67_two_operators_at_random_moments(cloud):
    for _ in range(4):
        alter("compute01")
        alter("compute02")
        first = start("integrate", "--yes")
        time.sleep(random.uniform(0, 3))
        second = start("integrate", "--yes")
        ends = (first.end(), second.end())
        assert set(ends) <= {0, 5} and 0 in ends, first.text + second.text
        for run in (first, second):
            if run.process.returncode == 5:
                assert "the site is locked by run" in run.text
    mended()


def test_68_the_lock_of_a_dead_run_frees_itself(cloud):
    alter()
    run = start("integrate", "--yes")
    run.until("reading")
    run.process.kill()
    run.end()
    inv("integrate", "--yes")


def test_68_the_lock_of_a_run_that_is_cut_off_frees_itself(cloud):
    """The holder's host hears nothing any more: it counts as dead after 30 s."""
    alter()
    run = start("integrate", "--yes")
    run.until("reading")
    run.process.send_signal(19)  # SIGSTOP: the process is there and says nothing
    refused(5, "integrate", "--yes")
    time.sleep(35)
    inv("integrate", "--yes")
    run.process.send_signal(18)
    assert run.end() != 0  # its lock is gone: it must not write any more
    mended()


@pytest.mark.parametrize("seed", range(3))
def test_70_check_says_two_exactly_when_something_would_change(cloud, seed):
    """Random damage over all hosts; what --check shows is what is then done."""
    chosen = random.Random(seed).sample(DAMAGE, random.Random(seed).randint(1, len(DAMAGE)))
    for host, script in chosen:
        on(host, script=script)
    shown = result(inv("integrate", "--check", "--json", expect=2))
    done = result(inv("integrate", "--yes", "--json"))
    assert done["changes"] == shown["changes"]
    again = result(inv("integrate", "--check", "--json"))
    assert again["changes"] == []


DAMAGE = [
    ("compute01", "sed -i '/^rbd_user/d' /etc/nova/nova.conf"),
    ("compute02", "sed -i 's/^rbd_secret_uuid.*/rbd_user = x/' /etc/nova/nova.conf"),
    ("compute01", "rm /etc/ceph/ceph.conf"),
    ("compute02", "chmod 600 /etc/ceph/ceph.conf"),
    ("controller01", "rm /etc/ceph/ceph.client.images.keyring"),
    ("controller01", "chmod 604 /etc/ceph/ceph.client.volumes.keyring"),
    ("controller01", "sed -i '/^rbd_pool/d' /etc/cinder/cinder.conf"),
    ("controller01", "sed -i '/^rbd_store_user/d' /etc/glance/glance-api.conf"),
    (
        "compute02",
        "for u in $(virsh -q secret-list | cut -d' ' -f2); do virsh secret-undefine $u; done",
    ),
    ("ceph01", "ceph auth caps client.images mon 'profile rbd'"),
    ("compute01", "touch /var/lib/stackrbd/pending_restarts/nova-compute"),
    ("controller01", "rm /etc/sudoers.d/90-stackrbd-operator"),
]


@pytest.mark.parametrize("seed", range(2))
def test_73_partial_runs_in_any_order_say_what_is_missing(cloud, seed):
    tasks = [
        "hosts.conf",
        "ceph.auth",
        "ceph.keyrings",
        "compute.secret",
        "controller.glance",
        "controller.cinder",
        "compute.nova",
    ]
    for host, script in DAMAGE[:9]:
        on(host, script=script)
    random.Random(seed).shuffle(tasks)
    for task in tasks:
        inv(task, "--yes")
    inv("services.restart", "--yes", expect=(0,))
    mended()


def test_75_a_full_disk_for_the_records(cloud, tmp_path):
    alter()
    place = tmp_path / "state"
    place.mkdir()
    with here(
        f"mount -t tmpfs -o size=16k none {place}; dd if=/dev/zero of={place}/f bs=1k "
        "2>/dev/null; true",
        f"umount {place}",
    ):
        said = inv("integrate", "--yes", env={"XDG_STATE_HOME": str(place)}, also_errors=True)
    assert "leaves no record here" in said
    mended()


def test_76_a_trail_on_both_sides(cloud):
    alter()
    run = result(inv("integrate", "--yes", "--json"))["run"]
    shown = json.loads(inv("show", "--run", run, "--json"))
    assert shown["outcome"] == "done" and "@" in shown["who"]
    logged = on("compute01", "journalctl", "-t", "stackrbd", "-o", "cat", "--no-pager")
    assert f"run {run} of {shown['who']}: /etc/nova/nova.conf, nova-compute" in logged
    steps = on("compute01", "cat", f"/var/lib/stackrbd/runs/{run}/steps.jsonl")
    states = [json.loads(line)["state"] for line in steps.splitlines()]
    assert states == ["begun", "done", "begun", "done"]
    assert on("compute01", "stat", "-c", "%a,%U", "/var/lib/stackrbd").strip() == "700,root"
    inv("undo", "--run", run, "--yes")
    assert "rbd_user" not in [line.split(" ")[0] for line in nova_conf().splitlines()]
    mended()


def test_10_a_host_that_goes_down_and_comes_back(cloud):
    """Its sshd and every process of the operator's end in the middle of the work."""
    alter()
    run = start("integrate", "--yes")
    run.until("compute01      ~ /etc/nova/nova.conf")
    on(
        "compute01",
        script="systemctl stop ssh; pkill -KILL -f stackrbd_remote; "
        "pkill -KILL -u operator; (sleep 4; systemctl start ssh) >/dev/null 2>&1 & true",
    )
    assert run.end() in (4, 7), run.text
    time.sleep(5)
    assert "nova-compute" in on("compute01", "ls", "/var/lib/stackrbd/pending_restarts")
    mended()


def test_14_the_operators_machine_dies(cloud):
    for after in itertools.islice(itertools.cycle([0.1, 0.8, 2.0]), 3):
        alter()
        run = start("integrate", "--yes")
        run.until("Plan:")
        time.sleep(after)
        run.process.kill()
        run.end()
        mended()
