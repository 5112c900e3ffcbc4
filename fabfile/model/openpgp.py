"""Whose an OpenPGP key is: the fingerprints that an operator compares.

Knows armour and the packets of public keys; checks no signature.  Source: RFC 9580.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

_ARMOUR = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\n]+\n)*?\r?\n(.*?)"
    r"-----END PGP PUBLIC KEY BLOCK-----",
    re.DOTALL,
)
_PUBLIC_KEY = 6


def fingerprints(text: str) -> list[str]:
    """The fingerprints of the primary keys of an armoured file, in groups of four letters.

    Empty where it holds none that can be read.
    """
    found = []
    for block in _ARMOUR.findall(text):
        body = re.sub(r"\n=[A-Za-z0-9+/]{4}\s*$", "", block)
        try:
            data = base64.b64decode("".join(body.split()), validate=True)
            found += [_fingerprint(key) for tag, key in _packets(data) if tag == _PUBLIC_KEY]
        except (binascii.Error, IndexError, ValueError):
            return []
    return found


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, body) of each.  Raises ValueError or IndexError for what are none."""
    at = 0
    while at < len(data):
        tag = data[at]
        if not tag & 0x80:
            raise ValueError("expected a packet")
        if tag & 0x40:
            kind, (size, at) = tag & 0x3F, _new_length(data, at + 1)
        else:
            kind, wide = (tag >> 2) & 0x0F, 1 << (tag & 3)
            if wide > 4:
                raise ValueError("expected a packet of a known length")
            size, at = int.from_bytes(data[at + 1 : at + 1 + wide], "big"), at + 1 + wide
        if at + size > len(data):
            raise ValueError("expected a whole packet")
        yield kind, data[at : at + size]
        at += size


def _new_length(data: bytes, at: int) -> tuple[int, int]:
    """(the body's length, where it begins)."""
    first = data[at]
    if first < 192:
        return first, at + 1
    if first < 224:
        return ((first - 192) << 8) + data[at + 1] + 192, at + 2
    if first < 255:
        raise ValueError("expected a packet in one piece")
    return int.from_bytes(data[at + 1 : at + 5], "big"), at + 5


def _fingerprint(key: bytes) -> str:
    """Of a version 4 key SHA-1, of a version 6 one SHA-256.  Raises ValueError for others."""
    if key[0] == 4:
        made = hashlib.sha1(b"\x99" + len(key).to_bytes(2, "big") + key)  # noqa: S324 (its form)
    elif key[0] == 6:
        made = hashlib.sha256(b"\x9b" + len(key).to_bytes(4, "big") + key)
    else:
        raise ValueError("expected a key of version 4 or 6")
    digits = made.hexdigest().upper()
    return " ".join(digits[n : n + 4] for n in range(0, len(digits), 4))
