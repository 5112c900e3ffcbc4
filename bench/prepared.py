"""What has to be there before a run: Debian's packages, the peers' own environment, keys.

All of it goes into the cache; nothing is installed on this machine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.places import CACHE, DEBS, HERE, KEYS, PEERS, RUN

_NEEDED = ("apt-get", "dpkg-deb", "unshare", "setpriv", "mount", "ip", "ssh", "ssh-keygen", "xargs")
REQUIREMENTS = HERE / "peers" / "requirements.txt"


def run(*argv: str | Path, cwd: Path | None = None) -> None:
    """Runs a program; its words are shown where it fails.  Raises SystemExit."""
    words = [str(word) for word in argv]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(words)}: {(done.stderr or done.stdout)[-1500:]}")


def require() -> None:
    """Raises SystemExit, in a sentence, where this machine cannot carry the fleet."""
    missing = [name for name in _NEEDED if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        raise SystemExit(f"bench: needs root and Debian with {', '.join(missing or _NEEDED)}")


def everything(hosts: int, peers: bool) -> None:
    """Fetches and makes what is missing for so many hosts."""
    for folder in (CACHE, KEYS, RUN, DEBS / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    KEYS.chmod(0o700)
    _packages()
    if peers:
        _peers()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_key, ["client", *(f"host{number:05d}" for number in range(hosts))]))


def _packages() -> None:
    """sshd with what it lacks here, and nova.conf as it is packaged."""
    if list(DEBS.glob("nova-common_*.deb")):
        return
    into = ["-o", f"Dir::Cache::archives={DEBS}", "-o", "APT::Sandbox::User=root"]
    quiet = ["apt-get", "-qq", "-y", "--no-install-recommends", *into]
    run("apt-get", "-qq", "update")
    run(*quiet, "--download-only", "install", "openssh-server")
    run("apt-get", "-qq", *into, "download", "nova-common", cwd=DEBS)


def _peers() -> None:
    """A virtual environment of the peers' own, made anew where the versions changed."""
    stamp = PEERS / "made-for"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(PEERS, ignore_errors=True)
    run(sys.executable, "-m", "venv", PEERS)
    run(PEERS / "bin" / "pip", "install", "-q", "--no-deps", "-r", REQUIREMENTS)
    stamp.write_text(wanted)


def _key(name: str) -> None:
    if not (KEYS / name).exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", KEYS / name)


def public(name: str) -> str:
    """The public half: type and key, without a comment."""
    kind, key, *_ = (KEYS / f"{name}.pub").read_text().split()
    return f"{kind} {key}"


def unpack(target: Path) -> None:
    """Debian's packages into a folder."""
    packages: Sequence[Path] = sorted(DEBS.glob("*.deb"))
    for package in packages:
        run("dpkg-deb", "-x", package, target)
    for name in ("bin", "lib", "sbin"):
        if (target / name).is_dir():  # here it is a link into usr
            shutil.copytree(target / name, target / "usr" / name, dirs_exist_ok=True, symlinks=True)
            shutil.rmtree(target / name)
