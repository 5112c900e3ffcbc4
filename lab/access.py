"""How the control side gets into the hosts: keys, known_hosts, ssh_config.

The folder's path is stable, since the default site file refers to it; the keys in
it are made once and stay in the cache. The operator's password is random.
"""

import hashlib
import os
import secrets
from pathlib import Path

from lab import places
from lab.programs import run
from lab.topology import LabHost, Topology

KEY = places.ACCESS / "id_ed25519"
KNOWN_HOSTS = places.ACCESS / "known_hosts"
SSH_CONFIG = places.ACCESS / "ssh_config"
PASSWORD = places.ACCESS / "operator.password"
_HOST_KEYS = places.CACHE / "host-keys"


def write_private(path: Path, text: str) -> None:
    """Write a file that root alone may read, from its first byte, whole or not."""
    beside = path.with_name(path.name + ".part")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    beside.rename(path)


def prepare(topology: Topology) -> None:
    """Make what is missing of keys and password, and write the ssh files."""
    for folder in (places.ACCESS, _HOST_KEYS):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    if not KEY.exists():
        _make_key(KEY, "stackrbd-lab")
    if not PASSWORD.exists():
        write_private(PASSWORD, secrets.token_urlsafe(18) + "\n")
    for host in topology.hosts:
        if not host_key(host).exists():
            _make_key(host_key(host), host.name)
    write_private(KNOWN_HOSTS, "".join(map(_known, topology.hosts)))
    write_private(SSH_CONFIG, "\n".join(map(_stanza, topology.hosts)))


def host_key(host: LabHost) -> Path:
    """The private ssh host key of a host, by name: it outlives the host."""
    return _HOST_KEYS / host.name


def fingerprint(topology: Topology) -> str:
    """A hash of all that the hosts hold of this folder."""
    parts = [public_key(KEY), PASSWORD.read_text()]
    parts += [public_key(host_key(host)) for host in topology.hosts]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def public_key(private: Path) -> str:
    """The one line of the public half."""
    return private.with_name(private.name + ".pub").read_text()


def _make_key(path: Path, comment: str) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
    path.with_name(path.name + ".pub").chmod(0o600)


def _known(host: LabHost) -> str:
    kind, key = public_key(host_key(host)).split()[:2]
    return f"{host.name},{host.address} {kind} {key}\n"


def _stanza(host: LabHost) -> str:
    return (
        f"Host {host.name} {host.address}\n"
        f"    HostName {host.address}\n"
        "    User operator\n"
        f"    IdentityFile {KEY}\n"
        "    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {KNOWN_HOSTS}\n"
        "    GlobalKnownHostsFile /dev/null\n"
        "    StrictHostKeyChecking yes\n"
    )
