"""Reads OpenSSH's known_hosts line by line.

Paramiko's own loader gives up on a whole file at its first unusual line.  Knows
hashed names, ports and @revoked; says which lines it could not use, certificate
authorities among them.  Does not connect to anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class KnownHosts:
    """Host keys by name, and the revoked ones."""

    keys: Any
    revoked: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)


def load(paths: Iterable[Path]) -> KnownHosts:
    """All usable lines of the files; a file that is not there is an empty one."""
    from paramiko.hostkeys import HostKeys  # noqa: PLC0415

    found = KnownHosts(HostKeys())
    for path in paths:
        try:
            lines = path.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            continue
        for number, line in enumerate(lines, 1):
            _take(found, line.strip(), f"{path}: line {number}")
    return found


def _take(found: KnownHosts, line: str, where: str) -> None:
    from paramiko.hostkeys import HostKeyEntry, InvalidHostKey  # noqa: PLC0415

    if not line or line.startswith("#"):
        return
    if line.startswith("@cert-authority"):
        found.warnings.append(f"{where}: certificate authorities are not supported")
        return
    revoked = line.startswith("@revoked")
    try:
        entry = HostKeyEntry.from_line(line.removeprefix("@revoked").strip())
    except (InvalidHostKey, ValueError):
        entry = None
    if entry is None or entry.key is None:
        found.warnings.append(f"{where}: not a host key; left out")
    elif revoked:
        found.revoked.add(entry.key.get_base64())
    else:
        for name in entry.hostnames:
            found.keys.add(name, entry.key.get_name(), entry.key)
