"""What a run costs: processor time by control groups, memory, bytes on the wire.

The groups are cgroup v2's, whose cpu.stat needs no controller; everything on `lo` is the
run's own, since it has a network of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "stackrbd-bench"
CONTROL, HOSTS = "control", "hosts"


@dataclass(frozen=True)
class Cost:
    """One run of one way.

    Seconds: wall, control_cpu, host_cpu.  peak: MB (proportional set size of all control
    processes, sampled).  kilobytes, packets: both directions.
    """

    wall: float
    control_cpu: float
    host_cpu: float
    peak: float
    kilobytes: float
    packets: int
    connections: int
    sessions: int

    def each(self, hosts: int) -> dict[str, float]:
        """The figures as the table has them: per host where that means something."""
        found = asdict(self)
        for name in ("control_cpu", "host_cpu"):
            found[name] = found[name] * 1000 / hosts
        for name in ("kilobytes", "packets", "connections", "sessions"):
            found[name] = found[name] / hosts
        return found


def _root() -> Path:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(point) / NAME
    raise SystemExit("bench: needs cgroup v2 (mount -t cgroup2), found none")


def make_groups() -> None:
    """The two groups; what an earlier run left is used again."""
    for name in (CONTROL, HOSTS):
        (_root() / name).mkdir(parents=True, exist_ok=True)


def remove_groups() -> None:
    """Takes the groups away, once their last process has gone."""
    for path in (_root() / CONTROL, _root() / HOSTS, _root()):
        for _ in range(50):
            with contextlib.suppress(FileNotFoundError, OSError):
                path.rmdir()
            if not path.exists():
                break
            time.sleep(0.1)


def enter(name: str) -> Callable[[], None]:
    """What a child calls before it becomes its program."""
    procs = _root() / name / "cgroup.procs"

    def entered() -> None:
        procs.write_text("0")

    return entered


def _cpu(name: str) -> float:
    for line in (_root() / name / "cpu.stat").read_text().splitlines():
        if line.startswith("usage_usec "):
            return int(line.split()[1]) / 1e6
    raise SystemExit("bench: cpu.stat says no usage_usec")


def starved() -> float:
    """Seconds in which something of the control side waited for a processor so far."""
    for line in (_root() / CONTROL / "cpu.pressure").read_text().splitlines():
        if line.startswith("some "):
            return int(line.rpartition("total=")[2]) / 1e6
    raise SystemExit("bench: cpu.pressure says no 'some'")


def _members(name: str) -> list[int]:
    return [int(pid) for pid in (_root() / name / "cgroup.procs").read_text().split() if pid != "0"]


def _wire() -> tuple[int, int]:
    """(bytes, packets) sent on lo so far."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name.strip() == "lo":
            words = rest.split()
            return int(words[8]), int(words[9])
    return 0, 0


class _Peak:
    """Looks at the control processes' memory, a few times a second."""

    def __init__(self) -> None:
        self.megabytes, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.2):
            self.megabytes = max(self.megabytes, sum(map(_pss, _members(CONTROL))) / 1024)

    def end(self) -> float:
        """The most that was seen, in MB."""
        self._over.set()
        self._thread.join()
        return self.megabytes


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def run(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    counts: Callable[[], tuple[int, int]],
) -> Cost:
    """Runs a way's command to its end.  Raises SystemExit with its last lines if it fails."""
    before = _cpu(CONTROL), _cpu(HOSTS), _wire(), counts()
    peak, start = _Peak(), time.monotonic()
    with log.open("wb") as sink:
        done = subprocess.run(
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            preexec_fn=enter(CONTROL),
            check=False,  # noqa: PLW1509
        )
    wall, megabytes = time.monotonic() - start, peak.end()
    _end_the_rest()
    after = _cpu(CONTROL), _cpu(HOSTS), _wire(), counts()
    if done.returncode:
        raise SystemExit(f"bench: {argv[0]}: exit {done.returncode}\n{log.read_text()[-3000:]}")
    return Cost(
        wall=wall,
        control_cpu=after[0] - before[0],
        host_cpu=after[1] - before[1],
        peak=megabytes,
        kilobytes=(after[2][0] - before[2][0]) / 1000,
        packets=after[2][1] - before[2][1],
        connections=after[3][0] - before[3][0],
        sessions=after[3][1] - before[3][1],
    )


def _end_the_rest() -> None:
    """Connections that a peer keeps open for its next run: that one begins anew."""
    for _ in range(50):
        left = _members(CONTROL)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if not left:
            return
        time.sleep(0.1)
