"""The lab's own fixtures: a whole unconnected cloud, brought up anew for the tests."""

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import cloud

from . import scan

PROJECT = Path(__file__).resolve().parents[2]
INV = PROJECT / ".venv" / "bin" / "inv"
CACHE = Path("/var/cache/stackrbd/lab")
ACCESS = CACHE / "access"


def inv(*words, expect=0, timeout=900):
    """Runs `inv` as an operator would; its standard output."""
    done = subprocess.run(
        [str(INV), *words], cwd=PROJECT, capture_output=True, text=True, timeout=timeout,
        stdin=subprocess.DEVNULL, check=False, env={**os.environ, "TMPDIR": str(scan.SCRATCH)},
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


@pytest.fixture(scope="session")
def watcher():
    """Looks at every process of the machine, all the time."""
    watching = scan.Watcher()
    yield watching
    watching.stop()
    shutil.rmtree(scan.SCRATCH)


@pytest.fixture(autouse=True)
def no_key_is_shown(request, watcher):
    """Around every lab test: no key in a process, file, journal or log."""
    since = scan.now()
    watcher.found()
    yield
    shown = watcher.found() + scan.left_behind(running(), since, on)
    if request.node.get_closest_marker("plants_a_key"):
        assert shown, "the scan did not find the key that was planted"
    else:
        assert shown == []


def running():
    """The lab hosts that answer now."""
    topology = cloud.running()
    names = [host.name for host in topology.hosts] if topology else []
    with ThreadPoolExecutor() as pool:
        return [n for n, answers in zip(names, pool.map(_answers, names), strict=True) if answers]


def _answers(host):
    probe = ["ssh", "-F", str(ACCESS / "ssh_config"), "-o", "BatchMode=yes"]
    argv = [*probe, "-o", "ConnectTimeout=3", f"root@{host}", "--", "true"]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def integrated(lab):
    """The cloud after one `inv integrate --yes`; its JSON."""
    return json.loads(inv("integrate", "--yes", "--json"))
