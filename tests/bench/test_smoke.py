"""make bench on four hosts: all come to their end, and nothing of it outlives it.

Needs root and network namespaces; where they are missing, this fails and says so.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import measured
from bench.places import CACHE, PROJECT, RUN

PATIENCE = 120.0
"""Seconds; the first one on a machine brings packages, too."""


@pytest.fixture(autouse=True)
def nothing_is_left():
    """After each test, also one that failed."""
    if os.geteuid() != 0:
        pytest.fail("the bench needs root; tests that need no host: make unit")
    yield
    assert left_over() == []


def left_over():
    """What a bench may leave on this machine: processes, groups, files of its run."""
    found = [f"{pid}: {words}" for pid, words in processes() if "ListenAddress=127.1." in words]
    found += [str(path) for path in (*RUN.glob("*"), measured._root()) if path.exists()]
    return found


def processes():
    for place in Path("/proc").glob("[0-9]*"):
        try:
            yield place.name, (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has ended meanwhile


def start(*words):
    argv = [sys.executable, "-m", "bench", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(argv, cwd=PROJECT, text=True, stdin=subprocess.DEVNULL, **pipes)


def bench(*words):
    """What a bench says that came to its end."""
    process = start(*words)
    try:
        said, _ = process.communicate(timeout=PATIENCE)
    except BaseException:
        process.terminate()  # and with it, all that it started
        process.communicate(timeout=20)
        raise
    assert process.returncode == 0, said
    return said


def test_a_round_cold_and_converged():
    bench("--hosts", "4", "--rounds", "1", "--ways", "stackrbd")
    (found,) = json.loads((CACHE / "results.json").read_text())["rounds"]
    assert [*found["stackrbd"]] == ["cold", "converged"]


def test_a_run_and_its_undo():
    assert "  NOT " not in bench("--hosts", "4", "--show", "undo")


def test_hosts_that_take_time_and_no_processor():
    rows = [
        line for line in bench("--hosts", "5", "--show", "latency").splitlines() if "| 5 |" in line
    ]
    assert [row.split(" | ")[2] for row in rows] == ["cold", "converged"] * 3


def test_one_that_is_ended_half_way_takes_its_hosts_along():
    process = start("--hosts", "4", "--rounds", "1", "--ways", "stackrbd")
    try:
        until = time.monotonic() + PATIENCE
        while not any("ListenAddress=127.1." in words for _, words in processes()):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 130, said
