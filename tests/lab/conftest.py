"""The lab's own fixtures: a whole unconnected cloud, brought up anew for the tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
INV = PROJECT / ".venv" / "bin" / "inv"
ACCESS = Path("/var/cache/stackrbd/lab/access")


def inv(*words, expect=0, timeout=900):
    """Runs `inv` as an operator would; its standard output."""
    done = subprocess.run(
        [str(INV), *words], cwd=PROJECT, capture_output=True, text=True, timeout=timeout,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == expect, (
        f"inv {' '.join(words)}: exit {done.returncode}, expected {expect}\n"
        f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    )
    assert "Traceback" not in done.stderr
    return done.stdout


def on(host, *argv, script=None):
    """Runs a command as root on a lab host; its standard output."""
    command = ["ssh", "-F", str(ACCESS / "ssh_config"), "-o", "BatchMode=yes", f"root@{host}"]
    if script is None:
        command += ["--", *argv]
    else:
        command += ["--", "bash", "-s"]
    done = subprocess.run(
        command, input=script or "", capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{host}: {argv or script}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def lab():
    """The unconnected cloud."""
    if os.geteuid() != 0:
        pytest.fail("the lab tests need root on Debian 12; unit tests alone: make unit")
    inv("lab.down", timeout=300)
    inv("lab.up", timeout=2400)
    return on


class KeyPoller:
    """tests/lab/key_poller.py, at work from here until stop()."""

    def __init__(self):
        script = Path(__file__).with_name("key_poller.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def stop(self):
        """(rounds looked, lines found)."""
        first, *found = self._process.communicate("")[0].splitlines()
        return int(first.split()[1]), [line for line in found if line]


@pytest.fixture
def key_poller():
    poller = KeyPoller()
    yield poller
    if poller._process.poll() is None:
        poller.stop()


@pytest.fixture(scope="session")
def integrated(lab):
    """The cloud after one `inv integrate --yes`; its JSON."""
    return json.loads(inv("integrate", "--yes", "--json"))
