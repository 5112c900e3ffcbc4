"""Reads OpenSSH's known_hosts line by line, and says which keys are a host's.

Paramiko's own loader gives up on a whole file at its first unusual line, takes a pattern
for a name, and keeps one key of a type.  Knows hashed names, patterns, ports and @revoked;
a certificate authority is known by the names that it is for, so that it can be refused in
words.  Does not connect to anything.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from fabfile.core import own_files

_HASHED = re.compile(r"\|1\|([A-Za-z0-9+/]{27}=)\|([A-Za-z0-9+/]{27}=)")
"""A salt and a SHA-1, 20 bytes each, in base64."""
_UNUSUAL = re.compile(r"[|*?!]")


class HostKey(Protocol):
    """What is asked of a key, which is one of Paramiko's."""

    def get_name(self) -> str:
        """Its type."""

    def get_base64(self) -> str:
        """As a line has it."""

    def asbytes(self) -> bytes:
        """As it is signed and compared."""


@dataclass
class KnownHosts:
    """Host keys by the names of their line, the revoked ones, and who else vouches.

    keys, authorities: in the files' order; names are as the line has them.
    files: where the lines came from; the first is where a new one would go.
    """

    keys: list[tuple[str, HostKey]] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    authorities: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def keys_of(self, name: str) -> list[HostKey]:
        """Every key that a host ('name' or '[name]:port') may show, of any type."""
        near = sorted([*self._plain.get(name.lower(), ()), *self._others])
        return [self.keys[n][1] for n in near if _is_for(self.keys[n][0], name)]

    @cached_property
    def _plain(self) -> dict[str, list[int]]:
        """{name: lines that name it in full, as most do}: a fleet's file is long."""
        found: dict[str, list[int]] = {}
        for number, (names, _) in enumerate(self.keys):
            if not _UNUSUAL.search(names):
                for name in set(names.lower().split(",")):
                    found.setdefault(name, []).append(number)
        return found

    @cached_property
    def _others(self) -> list[int]:
        """The lines that have to be looked at: hashed names, patterns, exceptions."""
        return [n for n, (names, _) in enumerate(self.keys) if _UNUSUAL.search(names)]

    def has_authority(self, name: str) -> bool:
        """Whether a certificate authority is named for this host."""
        return any(_is_for(names, name) for names in self.authorities)

    def first_known(self, name: str, algorithms: Sequence[str]) -> tuple[str, ...]:
        """The algorithms, those whose type of key is known of the host first, as ssh asks."""
        known = {key.get_name() for key in self.keys_of(name)}
        return tuple(sorted(algorithms, key=lambda a: _type_of(a) not in known))


def _type_of(algorithm: str) -> str:
    """The type of key that signs so: RSA's has more than one way."""
    return "ssh-rsa" if algorithm.startswith("rsa-sha2-") else algorithm


def _is_for(names: str, host: str) -> bool:
    """Whether a line's names are a host's, as sshd(8) has it: one '!' that fits says no."""
    host = host.lower()
    hashed = _HASHED.fullmatch(names)
    if hashed:
        salt, digest = (base64.b64decode(part) for part in hashed.groups())
        return hmac.digest(salt, host.encode(), "sha1") == digest
    fitting = [n for n in names.lower().split(",") if _fits(n.removeprefix("!"), host)]
    return bool(fitting) and not any(name.startswith("!") for name in fitting)


def _fits(pattern: str, host: str) -> bool:
    """Only '*' and '?' stand for something; brackets are those around a port's host."""
    return fnmatch.fnmatchcase(host, pattern.replace("[", "[[]"))


def load(paths: Iterable[Path]) -> KnownHosts:
    """All usable lines of the files; a file that is not there is an empty one.

    Raises BadInput for one that others may write: they would say who is a host.
    """
    found = KnownHosts()
    for path in paths:
        found.files.append(path)
        try:
            if str(path) != os.devnull:
                own_files.refuse_alterable(path, "known_hosts")
            lines = path.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            continue
        except OSError as error:
            found.warnings.append(f"{path}: {error.strerror}; left out")
            continue
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.strip().startswith("#"):
                _take(found, line.split(), f"{path}: line {number}")
    return found


def _take(found: KnownHosts, words: list[str], where: str) -> None:
    """Takes one line's words in, or a warning of it."""
    marker = words.pop(0) if words[0].startswith("@") else ""
    names, kind, text = [*words, "", "", ""][:3]
    key = _key(kind, text)
    if names.startswith("|") and not _HASHED.fullmatch(names):
        found.warnings.append(f"{where}: not a hashed name, expected |1|SALT|HASH; left out")
    elif marker == "@cert-authority" and names:
        found.authorities.append(names)
    elif key is None or marker not in ("", "@revoked"):
        found.warnings.append(f"{where}: not a host key, expected NAMES TYPE KEY; left out")
    elif marker:
        found.revoked.add(key.get_base64())
    else:
        found.keys.append((names, key))


_LONGEST_KEY = 8192
"""Letters: RSA of 16,384 bits, OpenSSH's most, has 2,760; paramiko's time grows with the square."""


def _key(kind: str, text: str) -> HostKey | None:
    """The key of a line; None where there is none of that type."""
    from paramiko.hostkeys import HostKeyEntry  # noqa: PLC0415 (slow to load)

    if len(text) > _LONGEST_KEY:
        return None
    try:
        entry = HostKeyEntry.from_line(f"x {kind} {text}")
    except Exception:  # what a damaged key makes its parser raise has no common class
        return None
    key: HostKey | None = entry.key if entry else None
    return key if key and key.get_name() == kind else None


def fingerprint(key: HostKey) -> str:
    """A key as ssh shows it: 'SHA256:...'."""
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def line_of(name: str, key: HostKey) -> str:
    """The known_hosts line of a host ('name' or '[name]:port')."""
    return f"{name} {key.get_name()} {key.get_base64()}"


def add(path: Path, lines: Iterable[str]) -> None:
    """Appends lines to a user's known_hosts; makes it, for the user alone, if needed."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "r+", encoding="utf-8", errors="surrogateescape") as stream:
        old = stream.read()
        gap = "\n" if old and not old.endswith("\n") else ""
        stream.write(gap + "".join(line + "\n" for line in lines))
        stream.flush()
        os.fsync(stream.fileno())
