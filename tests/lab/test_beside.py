"""Two labs at once: the second has the same addresses, and neither sees the other."""

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ACCESS, INTEGRATED, INV, PROJECT, inv, on

pytestmark = pytest.mark.lab
LEAVES = INTEGRATED
NAME = "two"


def beside(*words, expect=0):
    done = subprocess.run(
        [sys.executable, "-m", "lab.beside", NAME, *map(str, words)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def second(integrated):
    """Another lab, without its computes; taken away in any case."""
    try:
        beside(INV, "lab.up", "--without", "compute01,compute02")
        yield
    finally:
        beside(INV, "lab.down")
        beside("--end")


def running(status):
    return {line.split()[0] for line in status.splitlines() if " running " in line}


def by_ssh(*argv):
    return beside("ssh", "-F", ACCESS / "ssh_config", "root@controller01", *argv)


def test_a_second_lab_runs_beside_the_first(second):
    on("controller01", "touch", "/root/of-the-first")
    by_ssh("touch", "/root/of-the-second")
    ours = on("controller01", "ls", "/root").split()  # with what earlier tests left there
    assert "of-the-first" in ours and "of-the-second" not in ours
    assert by_ssh("ls", "/root").split() == ["of-the-second"]
    assert running(beside(INV, "lab.status")) == {"ceph01", "controller01"}
    assert "lab.down" in beside("--end", expect=1)


def test_the_second_leaves_nothing_and_the_first_runs_on(integrated):
    left = [*Path("/var/lib").glob(f"stackrbd-*-{NAME}"), *Path("/run").glob(f"stackrbd-*-{NAME}*")]
    assert left == []
    assert f"-{NAME}" not in Path("/proc/self/mounts").read_text()
    assert len(running(inv("lab.status"))) == 4
