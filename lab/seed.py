"""What makes an image's copy one certain host: name, address, keys, user.

Written once into a host's own layer, before its first start.
"""

import hashlib
import os
from pathlib import Path

from lab import access, network
from lab.programs import run
from lab.topology import LabHost, Topology


def write(root: Path, host: LabHost, topology: Topology) -> None:
    """Write the host's own files into its mounted root."""
    _put(root, "etc/hostname", f"{host.name}\n")
    _put(root, "etc/hosts", _hosts_file(topology))
    _put(root, "etc/nsswitch.conf", _NSSWITCH)
    # Stable, and not the same on two hosts.
    name = f"stackrbd-lab {topology.name} {host.name}".encode()
    _put(
        root,
        "etc/machine-id",
        hashlib.md5(name, usedforsecurity=False).hexdigest() + "\n",
    )
    file = network.host_file(host.address, topology.netmask)
    _put(root, "etc/systemd/network/10-lab.network", file)
    _ssh(root, host)
    _password(root)


_NSSWITCH = """\
passwd: files
group: files
shadow: files
hosts: files
networks: files
protocols: files
services: files
"""


def _hosts_file(topology: Topology) -> str:
    names = [f"{host.address} {host.name}\n" for host in topology.hosts]
    return "127.0.0.1 localhost\n" + "".join(names)


def _ssh(root: Path, host: LabHost) -> None:
    private = access.host_key(host)
    _put(root, "etc/ssh/ssh_host_ed25519_key", private.read_text(), mode=0o600)
    _put(root, "etc/ssh/ssh_host_ed25519_key.pub", access.public_key(private))
    for home, owner in (("root", 0), ("home/operator", 1000)):
        folder = root / home / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        _put(
            root,
            f"{home}/.ssh/authorized_keys",
            access.public_key(access.KEY),
            mode=0o600,
        )
        group = os.stat(root / home).st_gid
        os.chown(folder, owner, group)
        os.chown(folder / "authorized_keys", owner, group)


def _password(root: Path) -> None:
    password = access.PASSWORD.read_text().strip()
    run(["chroot", root, "chpasswd"], stdin=f"operator:{password}\n")


def _put(root: Path, name: str, text: str, mode: int = 0o644) -> None:
    file = root / name
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
