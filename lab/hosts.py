"""Starts and stops the hosts: systemd-nspawn on an overlay, one process tree each.

Knows nothing of what runs inside. A host's folder under the state holds its
overlay and the id of the process that carries it.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import cgroups, layers, network, places
from lab.errors import LabError
from lab.topology import LabHost, Topology

_PROPAGATE = Path("/run/systemd/nspawn/propagate")
# Seconds. A state that is kept must have been shut down; one that is dropped need not.
CLEANLY = 90.0
_BRIEFLY, _AT_ONCE = 6.0, 0.0
_KILL_SECONDS = 10
# systemd's own signal for "power off".
_POWER_OFF = signal.SIGRTMIN + 4


def folder(name: str) -> Path:
    """The running state of a host."""
    return places.HOSTS / name


def root(name: str) -> Path:
    """Where a host's merged root is mounted."""
    return folder(name) / "root"


def mount(host: LabHost, lower: list[Path]) -> Path:
    """Mount a host's root on the layers `lower`; returns where."""
    at = root(host.name)
    if not layers.mounts_below(at):
        layers.mount_overlay(lower, folder(host.name) / "upper", folder(host.name) / "work", at)
    return at


def start(
    host: LabHost,
    topology: Topology,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Boot a mounted host; returns at once.  options, environment: of nspawn, beside the usual."""
    network.remove_link(host.name)
    if text := host.generation.nspawn_resolv_conf:
        (root(host.name) / "etc/resolv.conf").write_text(text)
    argv = ["systemd-nspawn", "-q", "-D", str(root(host.name))]
    argv += ["-M", network.machine_of(host.name), f"--hostname={host.name}"]
    argv += ["--register=no", "--keep-unit", "--boot", "--capability=all"]
    argv += [f"--network-bridge={topology.bridge}", "--link-journal=no"]
    argv += ["--console=passive", "--resolv-conf=off", "--timezone=off"]
    argv += ["--bind=/dev/fuse", *host.generation.nspawn_options, *options]
    # One process of ours between, to enter the host's own control group first.
    with open(folder(host.name) / "console.log", "ab") as console:
        carrier = subprocess.Popen(
            argv,
            env={**os.environ, **host.generation.nspawn_environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
            preexec_fn=lambda: cgroups.enter(host.name),  # noqa: PLW1509 - no threads
        )
    (folder(host.name) / "pid").write_text(f"{carrier.pid} {_born(carrier.pid)}\n")


def carrier(name: str) -> int | None:
    """The id of the running nspawn process of a host, or None."""
    try:
        pid, born = (folder(name) / "pid").read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if _born(int(pid)) == born else None


def started() -> list[str]:
    """The names of hosts that have a folder in the state, running or not."""
    if not places.HOSTS.is_dir():
        return []
    return sorted(item.name for item in places.HOSTS.iterdir())


def drop(names: list[str]) -> None:
    """End hosts and remove what they wrote."""
    stop(names, patience=_AT_ONCE)
    for name in names:
        remove(name)


def stop(names: list[str], patience: float = _BRIEFLY) -> None:
    """Power hosts off, all at once; after `patience` seconds kill what is left."""
    waiting = {name: pid for name in names if (pid := carrier(name))}
    for pid in waiting.values():
        for child in _children(pid):
            _send(child, _POWER_OFF)
    deadline = time.monotonic() + patience
    while any(map(_alive, waiting.values())) and time.monotonic() < deadline:
        time.sleep(0.2)
    for name in names:
        _kill_rest(name, waiting.get(name))
        (folder(name) / "pid").unlink(missing_ok=True)


def unmount(name: str) -> None:
    """Unmount a stopped host's root. Raises LabError when it is held."""
    layers.unmount_below(folder(name))


def remove(name: str) -> None:
    """Remove a stopped host's state and all that nspawn kept for it."""
    layers.remove_tree(folder(name))
    cgroups.remove(name)
    with contextlib.suppress(OSError):
        (_PROPAGATE / network.machine_of(name)).rmdir()


def _kill_rest(name: str, pid: int | None) -> None:
    """The last resort: only processes of this host's own control group."""
    end(cgroups.members(name) | ({pid} if pid and _alive(pid) else set()))


def end(processes: set[int]) -> None:
    """Kill these and wait until they are gone. Raises LabError when they are not."""
    for pid in processes:
        _send(pid, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_SECONDS
    while any(map(_alive, processes)):
        if time.monotonic() > deadline:
            left = sorted(filter(_alive, processes))
            raise LabError(f"processes {left} were killed and do not end")
        time.sleep(0.05)


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _born(pid: int) -> str | None:
    """The start time of a process in clock ticks: tells a reused id."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None
