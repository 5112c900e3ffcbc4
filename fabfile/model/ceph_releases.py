"""Ceph's versions, and which of them first knows a thing: data, each row with its source.

Knows how packages and daemons write a version; decides nothing of what is done with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

NAMES = (
    *("argonaut", "bobtail", "cuttlefish", "dumpling", "emperor", "firefly", "giant", "hammer"),
    *("infernalis", "jewel", "kraken", "luminous", "mimic", "nautilus", "octopus", "pacific"),
    *("quincy", "reef", "squid", "tentacle", "umbrella"),
)
"""The releases' names; the first is number 1.  Source: docs.ceph.com, releases."""
_VERSION = re.compile(
    r"(?:ceph version )?(?:\d+:)?v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?!\d)(?P<rest>\S*)"
)
_BEFORE_IT = re.compile(r"[~.+-]?(?:rc|alpha|beta|pre|dev)\d*\b|~git", re.I)
"""What makes a version one before its number; '~bpo12+1' is a rebuild of the thing itself."""


@dataclass(frozen=True)
class Version:
    """A Ceph version.  final: not a candidate or snapshot on the way to that number."""

    numbers: tuple[int, int, int]
    final: bool = True

    @property
    def major(self) -> int:
        """16 of 16.2.15."""
        return self.numbers[0]

    def reaches(self, first: tuple[int, int, int]) -> bool:
        """Whether it is that one or a later one."""
        return self.numbers > first or (self.final and self.numbers == first)


def version(text: str | None) -> Version | None:
    """The version that a package or a daemon names, whatever its vendor adds; None for others.

    '1:16.2.15+ds-0+deb12u1', '17.2.6-pve1', '14.2.22.445+g9c8a', '16.2.10-248.el8cp',
    '20.2.4~rc1-1', 'ceph version 19.2.6 (abc) squid (stable)'.
    """
    found = _VERSION.match((text or "").strip())
    if not found:
        return None
    major, minor, patch = (int(number or 0) for number in found.group(1, 2, 3))
    return Version((major, minor, patch), not _BEFORE_IT.match(found["rest"]))


def named(name: str) -> int | None:
    """The major version of a release's name; None for a name that is not known.

    Names go through the alphabet: one that begins with a later letter than the newest is one of
    a release to come.
    """
    low = name.lower()
    if low in NAMES:
        return NAMES.index(low) + 1
    to_come = re.fullmatch(r"[a-z]{3,20}", low) and low[0] > NAMES[-1][0]
    return len(NAMES) + ord(low[0]) - ord(NAMES[-1][0]) if to_come else None


def major(text: str) -> int | None:
    """The major version that a daemon says; a build without a number says its release's name.

    'ceph version Development (no_version) squid (dev)'.
    """
    if one := version(text):
        return one.major
    found = re.search(r"^ceph version \S+ \(\S+\) ([a-z]+) \(", text)
    return named(found.group(1)) if found else None


def newer(number: int | None) -> str:
    """'', or that this major version is newer than all that are known here."""
    if number is None or number <= len(NAMES):
        return ""
    return f"Ceph {number} is newer than all that is known here: it is taken as {NAMES[-1]}"


@dataclass(frozen=True)
class Feature:
    """Something that Ceph can do since a version.

    first: {major version: the first of it that can}; later ones than the last can, and earlier
    ones than the first cannot.  older_systems: the last ones whose own client cannot.
    """

    first: Mapping[int, tuple[int, int, int]]
    older_systems: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def known_to(self, one: Version) -> bool:
        """Whether that version can do it."""
        if one.major > max(self.first):
            return True
        return one.major in self.first and one.reaches(self.first[one.major])

    def since(self) -> str:
        """'19.2.6, 20.2.4 or 21.2.0': for people."""
        *most, last = (".".join(map(str, numbers)) for numbers in self.first.values())
        return " or ".join(filter(None, (", ".join(most), last)))


AES256K = Feature({19: (19, 2, 6), 20: (20, 2, 4), 21: (21, 2, 0)})
"""Keys of type 2.  Source: the answer to CVE-2025-30156 (Ceph 19.2.6 and 20.2.4, August 2026);
rook.io, CephX Keys and Rotation: 'beginning with 19.2.6, 20.2.4, 21.2.0'."""
CLONE_V2 = Feature({13: (13, 2, 0)}, {"debian": (10, 99), "ubuntu": (18, 99)})
"""Clones whose parent needs no protection.  Source: ceph.com, New in Mimic: Simplified RBD Image
Cloning.  Debian 10 and Ubuntu 18.04 have 12.2."""
MSGR2 = Feature({14: (14, 1, 0)}, {"debian": (10, 99), "ubuntu": (19, 4)})
"""Monitors' addresses with their kind, [v2:...,v1:...], in mon_host.  Source: docs.ceph.com,
Messenger v2 (Nautilus).  Debian 10 has 12.2, Ubuntu 18.04 has 12.2, 19.04 has 13.2."""
