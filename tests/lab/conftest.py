"""The lab's own fixtures: a whole unconnected cloud, brought up anew for the tests."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import cloud, generation

from . import scan

PROJECT = Path(__file__).resolve().parents[2]
INV = PROJECT / ".venv" / "bin" / "inv"
CACHE = Path("/var/cache/stackrbd/lab")
ACCESS = CACHE / "access"
PACKAGED = CACHE / "pristine" / generation.default()  # three files as Debian ships them


def inv(*words, expect=0, timeout=900, also_errors=False, env=None):
    """Runs `inv` as an operator would; its standard output (and errors, where asked)."""
    done = subprocess.run(
        [str(INV), *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        check=False,
        env=environment(env),
    )
    expected = expect if isinstance(expect, tuple) else (expect,)
    assert done.returncode in expected, (
        f"inv {' '.join(words)}: exit {done.returncode}, expected {expect}\n"
        f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    )
    assert "Traceback" not in done.stderr
    return done.stdout + (done.stderr if also_errors else "")


def result(said):
    """The result of a task with --json: the last of the documents, a line each."""
    return json.loads(said.splitlines()[-1])


def environment(more):
    """The operator's, with a folder for temporary files that the scan looks through."""
    return {**os.environ, "TMPDIR": str(scan.SCRATCH), **(more or {})}


STARTED = []


class Started:
    """An `inv` at work: its output so far, and its end."""

    def __init__(self, words, env):
        self.text = ""
        self.process = subprocess.Popen(
            [str(INV), *words],
            cwd=PROJECT,
            text=True,
            bufsize=1,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(env),
        )

        STARTED.append(self.process)

    def until(self, words):
        """Waits for a line that holds the words."""
        for line in self.process.stdout:
            self.text += line
            if words in line:
                return
        raise AssertionError(f"ended without {words!r}:\n{self.text}")

    def end(self, timeout=300):
        """Waits for its end; the exit code."""
        self.text += self.process.communicate(timeout=timeout)[0]
        assert "Traceback" not in self.text
        return self.process.returncode


def start(*words, env=None):
    """Starts `inv` and leaves it at work."""
    return Started(words, env)


def by_ssh(host, *argv):
    """The words that run a command as root on a lab host."""
    config = str(ACCESS / "ssh_config")
    return ["ssh", "-F", config, "-o", "BatchMode=yes", f"root@{host}", "--", *argv]


def on(host, *argv, script=None, timeout=120):
    """Runs a command as root on a lab host; its standard output."""
    command = by_ssh(host, *(argv if script is None else ("bash", "-s")))
    done = subprocess.run(
        command, input=script or "", capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{host}: {argv or script}: {done.stderr}"
    return done.stdout


def fresh_lab():
    """The unconnected cloud, brought up anew."""
    if os.geteuid() != 0:
        pytest.fail("the lab tests need root on Debian 12; unit tests alone: make unit")
    LEFT.clear()
    if os.environ.get("STACKRBD_LAB") != "running":  # it is: a developer says so
        inv("lab.down", timeout=300)
        inv("lab.up", timeout=2400)
    return on


LEFT = {}
"""{state: what a test of that state gets} of the cloud as the last file of tests left it.

A file that leaves it as it found it, or resets it, says so: LEAVES = UNCONNECTED or INTEGRATED.
"""
UNCONNECTED, INTEGRATED = "unconnected", "integrated"


@pytest.fixture(scope="module")
def leaves(request):
    """A function of (state, what was got): the next file may have it too, if nothing failed."""
    failed = request.session.testsfailed
    noted = {}
    yield noted.__setitem__
    LEFT.clear()
    state = getattr(request.module, "LEAVES", None)
    if state in noted and request.session.testsfailed == failed:
        LEFT[state] = noted[state]


@pytest.fixture(scope="module")
def lab(leaves):
    """The unconnected cloud; each file of tests begins with it."""
    got = LEFT.pop(UNCONNECTED, None) or fresh_lab()
    leaves(UNCONNECTED, got)
    return got


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
    for process in STARTED:
        process.kill()
        process.wait()
    STARTED.clear()
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
    argv = ["timeout", "5", *by_ssh(host, "true")]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@pytest.fixture
def site(tmp_path):
    """Writes a site file (and an ssh_config) that differ from the lab's; its --site words."""

    def write(*replaced, ssh=()):
        text = (PROJECT / "config" / "site.toml").read_text()
        if ssh:
            config = tmp_path / "ssh_config"
            settings = (ACCESS / "ssh_config").read_text()
            for old, new in ssh:
                assert old in settings, old
                settings = settings.replace(old, new)
            config.write_text(settings)
            text = text.replace(f'config = "{ACCESS}/ssh_config"', f'config = "{config}"')
        for old, new in replaced:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "site.toml"
        path.write_text(text)
        return ("--site", str(path))

    return write


@pytest.fixture(scope="module")
def integrated(request, leaves):
    """The cloud after one `inv integrate --yes`; its JSON."""
    from .holdings import held  # noqa: PLC0415 - which needs this module

    if INTEGRATED in LEFT:
        said, was = LEFT.pop(INTEGRATED)
        inv("integrate", "--check")
        assert held() == was
    else:
        request.getfixturevalue("lab")
        said = result(inv("integrate", "--yes", "--json"))
        was = held()
    leaves(INTEGRATED, (said, was))
    return said


@pytest.fixture(scope="module")
def kept(integrated, tmp_path_factory):
    """A site file whose records are sealed and signed by the tests' own keys: its --site words."""
    folder = tmp_path_factory.mktemp("kept")
    said = inv("backup.key", "--out", str(folder / "record.key"))
    table = f'{said[said.index("[backup]") :].rstrip()}\nfolder = "{folder}/records"\n'
    text = (PROJECT / "config" / "site.toml").read_text()
    path = folder / "site.toml"
    path.write_text(text.replace("[backup]", table, 1))
    return ("--site", str(path))


class Terminal:
    """An `inv` on a terminal of its own, at which somebody types."""

    def __init__(self, *words):
        self.text = ""
        self._pid, self._end = pty.fork()
        if self._pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in what `&` starts
            os.chdir(PROJECT)
            os.execv(INV, [str(INV), *words])  # noqa: S606 (no shell is wanted)

    def until(self, words, timeout=60):
        """Reads until the words stand there."""
        limit = time.monotonic() + timeout
        while words not in self.text:
            if not self._read(limit - time.monotonic()):
                raise AssertionError(f"no {words!r} in:\n{self.text}")

    def _read(self, timeout):
        if not select.select([self._end], [], [], max(0, timeout))[0]:
            return False
        try:
            data = os.read(self._end, 65536)
        except OSError:
            data = b""  # Linux says so when the other side is closed
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    def type(self, line):
        os.write(self._end, line.encode() + b"\n")

    def end(self):
        """The exit code."""
        while self._read(300):
            pass
        os.close(self._end)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
