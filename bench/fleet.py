"""The simulated fleet: N computes and a Ceph host, each behind an sshd of its own.

A host is an overlay over this machine's root and a common layer (stand-ins, nova.conf),
in a mount namespace of its own, on an address of 127/8.  Starts and ends them, and says
what became of them; what is run against them is not its matter.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import prepared, wanted
from bench.places import HERE, KEYS, RUN

_SSHD = """\
Port 22
HostKey /etc/ssh/bench_host_key
AuthorizedKeysFile /etc/ssh/bench_client.pub
StrictModes no
UsePAM no
UseDNS no
PidFile none
PermitRootLogin prohibit-password
MaxStartups 1000
MaxSessions 100
LogLevel VERBOSE
Subsystem sftp /usr/lib/openssh/sftp-server
"""
_START = """\
mount -t overlay bench -o lowerdir={base}:/,upperdir={at}/upper,workdir={at}/work {at}/root
mount --bind /proc {at}/root/proc
mount --bind /dev {at}/root/dev
exec chroot {at}/root /usr/sbin/sshd -D -E /var/log/sshd.log -o ListenAddress={address}
"""
_EMPTY = ("root", "tmp", "var/log")
_ABSENT = ("etc/ceph", "etc/kolla", "var/lib/stackrbd", "etc/update-motd.d")
"""Whatever this machine has there is not the hosts'."""
_STATE = "var/lib/bench"
_SHOWN = ("etc/ceph", "etc/nova/nova.conf", f"{_STATE}/secrets", f"{_STATE}/restarts")


@dataclass(frozen=True)
class Simulated:
    """One host: its place in the fleet (0 is the Ceph host), name and address."""

    number: int

    @property
    def name(self) -> str:
        return f"compute{self.number:05d}" if self.number else "ceph01"

    @property
    def address(self) -> str:
        return f"127.1.{self.number // 250}.{self.number % 250 + 1}"

    @property
    def at(self) -> Path:
        return RUN / "hosts" / self.name


def make_base() -> None:
    """The layer that all hosts have in common."""
    base = RUN / "base"
    prepared.unpack(base)
    for path in _EMPTY:
        (base / path).mkdir(parents=True, exist_ok=True)
        os.setxattr(base / path, "trusted.overlay.opaque", b"y")
    for path in _ABSENT:
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        os.mknod(base / path, stat.S_IFCHR, 0)  # overlayfs: nothing is here
    (base / "root").chmod(0o700)
    (base / "tmp").chmod(0o1777)
    for folder in ("usr/local/bin", "usr/share/bench/ceph", "run/sshd", "etc/nova"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    for standin in (HERE / "standins").iterdir():
        shutil.copy(standin, base / "usr/local/bin" / standin.name)
    for name, text in wanted.answers().items():
        (base / "usr/share/bench/ceph" / name).write_text(text)
    installed = "".join(f"{name} {version}\n" for name, version in wanted.PACKAGES.items())
    (base / "usr/share/bench/packages").write_text(installed)
    _accounts(base)
    shutil.copy(base / "usr/share/nova-common/nova.conf", base / "etc/nova/nova.conf")
    os.chown(base / "etc/nova/nova.conf", 0, 64060)
    (base / "etc/nova/nova.conf").chmod(0o640)
    (base / "etc/ssh/sshd_config").write_text(_SSHD)
    (base / "etc/ssh/bench_client.pub").write_text(prepared.public("client") + "\n")


def _accounts(base: Path) -> None:
    """Those of a Debian compute: sshd's own, and nova's."""
    users = "root:x:0:0::/root:/bin/sh\nsshd:x:105:65534::/run/sshd:/bin/false\n"
    users += "nova:x:64060:64060::/var/lib/nova:/bin/false\nnobody:x:65534:65534::/:/bin/false\n"
    (base / "etc/passwd").write_text(users)
    (base / "etc/group").write_text("root:x:0:\ntty:x:5:\nnova:x:64060:\nnogroup:x:65534:\n")
    (base / "etc/shadow").write_text("root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n")


class Fleet:
    """All hosts, up from the first line of `with fleet.up():` to its end."""

    def __init__(self, computes: int, enter: Callable[[], None]) -> None:
        self.hosts = [Simulated(number) for number in range(computes + 1)]
        self._enter = enter
        self._started: dict[Simulated, subprocess.Popen[bytes]] = {}

    @property
    def computes(self) -> list[Simulated]:
        return self.hosts[1:]

    @contextlib.contextmanager
    def up(self, without: Collection[Simulated] = ()) -> Iterator[None]:
        """Pristine hosts that answer, but some; all of them are gone afterwards."""
        try:
            for host in self.hosts:
                self._make(host)
            there = [host for host in self.hosts if host not in without]
            for host in there:
                self._start(host)
            for host in there:
                _wait(host)
            yield
        finally:
            self._end()

    def start(self, host: Simulated) -> None:
        """One that was not up until now."""
        self._start(host)
        _wait(host)

    def _make(self, host: Simulated) -> None:
        for folder in ("upper", "work", "root"):
            (host.at / folder).mkdir(parents=True)
        for folder in ("etc/ssh", f"{_STATE}/secrets"):
            (host.at / "upper" / folder).mkdir(parents=True)
        (host.at / "upper" / _STATE / "restarts").touch()
        identity = hashlib.sha256(host.name.encode()).hexdigest()[:32]
        (host.at / "upper/etc/machine-id").write_text(identity + "\n")
        key = host.at / "upper/etc/ssh/bench_host_key"
        shutil.copy(KEYS / f"host{host.number:05d}", key)

    def _start(self, host: Simulated) -> None:
        script = _START.format(base=RUN / "base", at=host.at, address=host.address)
        argv = ["unshare", "--mount", "sh", "-euc", script]
        self._started[host] = subprocess.Popen(
            argv,
            preexec_fn=self._enter,  # noqa: PLW1509
            stdin=subprocess.DEVNULL,
        )

    def _end(self) -> None:
        for process in self._started.values():
            process.send_signal(signal.SIGKILL)
        for process in self._started.values():
            process.wait()
        self._started.clear()
        shutil.rmtree(RUN / "hosts", ignore_errors=True)

    def within(self, host: Simulated, script: str) -> None:
        """Runs a shell script in a host's own view."""
        at = ["nsenter", "--mount", "--target", str(self._started[host].pid)]
        prepared.run(*at, "chroot", host.at / "root", "sh", "-euc", script)

    # What became of them

    def counts(self) -> tuple[int, int]:
        """(connections, sessions) that all sshds have seen since they started."""
        accepted = sum(_log(host).count("Accepted publickey") for host in self.hosts)
        return accepted, sum(self.sessions().values())

    def sessions(self) -> dict[str, int]:
        """{host: sessions} since they started."""
        return {host.name: _log(host).count("Starting session:") for host in self.hosts}

    def restarts(self) -> int:
        """How many there were on all hosts."""
        return sum(len(_restarts(host)) for host in self.computes)

    def restarted(self, host: Simulated) -> int:
        """How many restarts there were on a host."""
        return len(_restarts(host))

    def altered(self, host: Simulated) -> list[str]:
        """The files (secrets are files here) that are not as the hosts' common layer has them."""
        upper, base = host.at / "upper", RUN / "base"
        found = []
        for shown in _SHOWN[:-1]:
            for path in [upper / shown, *(upper / shown).rglob("*")]:
                name = path.relative_to(upper)
                if path.is_file() and not _same(path, base / name):
                    found.append(str(name))
        return found

    def end_state(self, computes: Sequence[Simulated] = ()) -> str:
        """The computes' (or these computes') one state as a digest.

        Raises SystemExit where two differ, or where one was not restarted once.
        """
        found: dict[str, str] = {}
        for host in computes or self.computes:
            restarts = _restarts(host)
            if len(restarts) != 1:
                raise SystemExit(f"bench: {host.name}: {len(restarts)} restarts, expected 1")
            found.setdefault(_digest(host.at / "upper"), host.name)
        if len(found) != 1:
            raise SystemExit(f"bench: hosts differ: {found}")
        return next(iter(found))


def _restarts(host: Simulated) -> list[str]:
    return (host.at / "upper" / _STATE / "restarts").read_text().splitlines()


def _same(path: Path, before: Path) -> bool:
    """Whether a file is as the hosts' common layer has it: bytes, mode and owner."""
    if not before.is_file() or path.read_bytes() != before.read_bytes():
        return False
    now, then = path.stat(), before.stat()
    return (now.st_mode, now.st_uid, now.st_gid) == (then.st_mode, then.st_uid, then.st_gid)


def _log(host: Simulated) -> str:
    path = host.at / "upper/var/log/sshd.log"
    return path.read_text() if path.exists() else ""


def _digest(upper: Path) -> str:
    """Of names, modes, owners and bytes of what a way has to change."""
    lines = []
    for shown in _SHOWN[:-1]:
        top = upper / shown
        for path in [top, *sorted(top.rglob("*"))]:
            if not path.exists():
                raise SystemExit(f"bench: {path} is missing")
            seen = path.stat()
            data = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            # The secrets' modes are the stand-in's own.
            mode = f"{seen.st_mode:o}" if path.is_relative_to(upper / "etc") else ""
            lines.append(f"{path.relative_to(upper)} {mode} {seen.st_uid}:{seen.st_gid} {data}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _wait(host: Simulated, patience: float = 30.0) -> None:
    until = time.monotonic() + patience
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host.address, 22), 5) as sock:
            sock.settimeout(5)
            if sock.recv(4) == b"SSH-":
                return
        if time.monotonic() > until:
            raise SystemExit(f"bench: {host.name}: its sshd does not answer")
        time.sleep(0.02)
