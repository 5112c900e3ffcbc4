"""Backups are sealed by age (age-encryption.org/v1): the part that the operator's side needs.

Knows age's keys and its header.  The operator's key never leaves this machine: of a backup
that is sent to a host, only the header is sealed anew, for a key that is made for this one
time; the rest goes as it is, and is opened there by age itself.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # slow to load
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305


from fabfile.core import own_files
from fabfile.core.contract import INV, BadInput, Secret

_INTRO = b"age-encryption.org/v1\n"
_LABEL = b"age-encryption.org/v1/X25519"
_COLUMNS = 64
_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_PUBLIC, _PRIVATE = "age", "age-secret-key-"
MOST_HEADER = 64 * 1024
"""Bytes that a header is looked for in; one of MOST_RECIPIENTS keys has 2,200."""
MOST_RECIPIENTS = 20
"""For as many keys a backup is sealed, and as many are tried: each pair costs a computation."""


def new_identity() -> tuple[Secret, str]:
    """(a new private key, its recipient), as age-keygen writes them."""
    private = secrets.token_bytes(32)
    return Secret(_bech32(_PRIVATE, private).upper()), _bech32(_PUBLIC, _public(private))


def save_identity(path: Path) -> str:
    """Makes a key in a new file for its owner alone; returns its recipient.

    Raises BadInput where something is there already.
    """
    private, recipient = new_identity()
    own_files.make_key(path, f"# public key: {recipient}\n{private.reveal()}\n".encode("ascii"))
    return recipient


def load_identities(path: Path) -> list[Secret]:
    """The keys in a file of age's.  Raises BadInput for one that others may read."""
    try:
        lines = own_files.read_key(path, "backup.identity", 65536).decode("ascii").splitlines()
    except FileNotFoundError:
        raise BadInput(
            f"{path}: expected the key that opens the backups (backup.identity), found "
            f"no such file; {INV} backup.key makes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: expected age's key: {error}") from None
    found = [Secret(line.strip()) for line in lines if line.strip() and not line.startswith("#")]
    if len(found) > MOST_RECIPIENTS:
        raise BadInput(f"{path}: expected at most {MOST_RECIPIENTS} keys, found {len(found)}")
    if not found or any(_key_of(one) is None for one in found):
        raise BadInput(
            f"{path}: expected AGE-SECRET-KEY-1... lines; keys with a passphrase, of "
            "SSH or of plugins are not supported"
        )
    return found


@dataclass(frozen=True)
class Resealed:
    """A header in place of the first `skip` bytes of a backup, and the key that opens it."""

    header: bytes
    skip: int
    identity: Secret


def reseal(data: bytes, identities: list[Secret], where: str) -> Resealed:
    """Opens a backup's header with one of the keys and seals it for a new one.

    data: its first MOST_HEADER bytes.  Raises BadInput for what is no header, was altered, or was
    sealed for other keys.
    """
    head, stanzas, mac, skip = _header(data, where)
    for share, body in stanzas:
        for identity in identities:
            file_key = _unwrapped(share, body, identity)
            if file_key is None:
                continue
            if not hmac.compare_digest(_mac(file_key, head), mac):
                raise BadInput(f"{where}: its header was altered")
            return _sealed(file_key, skip)
    raise BadInput(
        f"{where}: is sealed for {len(stanzas)} other keys than the one given (backup.identity)"
    )


def _header(data: bytes, where: str) -> tuple[bytes, list[tuple[bytes, bytes]], bytes, int]:
    """(what the MAC is of, [(share, body)] of X25519 stanzas, the MAC, where the payload begins).

    One pass over at most MOST_HEADER bytes.
    """
    if not data.startswith(_INTRO):
        raise BadInput(f"{where}: expected a backup sealed by age, found something else")
    lines = data[:MOST_HEADER].split(b"\n")[1:-1]  # what is behind the last line's end is cut
    stanzas, at = [], 0
    try:
        while not lines[at].startswith(b"--- "):
            begin, words = at + 1, lines[at].split(b" ")
            at = next(n for n in range(begin, len(lines)) if len(lines[n]) < _COLUMNS) + 1
            stanzas.append((words, b"".join(lines[begin:at])))
            if words[0] != b"->" or len(stanzas) > MOST_RECIPIENTS:
                raise ValueError
        if any(words[1] == b"scrypt" for words, _ in stanzas):
            raise BadInput(f"{where}: is sealed with a passphrase, expected a recipient's key")
        head = _INTRO + b"".join(line + b"\n" for line in lines[:at])
        opened = [
            (_unbase64(words[2]), _unbase64(body))
            for words, body in stanzas
            if words[1] == b"X25519" and len(words) == 3
        ]
        return head + b"---", opened, _unbase64(lines[at][4:]), len(head) + len(lines[at]) + 1
    except (ValueError, IndexError, StopIteration):
        raise BadInput(
            f"{where}: its header is broken, has more than {MOST_RECIPIENTS} recipients or more "
            f"than {MOST_HEADER} bytes"
        ) from None


def _sealed(file_key: bytes, skip: int) -> Resealed:
    identity, _ = new_identity()
    private = _key_of(identity) or b""
    ephemeral = secrets.token_bytes(32)
    share = _public(ephemeral)
    body = _cipher(_wrap_key(ephemeral, _public(private), share, _public(private))).encrypt(
        bytes(12), file_key, b""
    )
    head = _INTRO + b"-> X25519 " + _base64(share) + b"\n" + _base64(body) + b"\n---"
    return Resealed(head + b" " + _base64(_mac(file_key, head)) + b"\n", skip, identity)


def _unwrapped(share: bytes, body: bytes, identity: Secret) -> bytes | None:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 (slow to load)

    private = _key_of(identity)
    if private is None or len(share) != 32 or len(body) != 32:
        return None
    try:
        key = _wrap_key(private, share, share, _public(private))
        return bytes(_cipher(key).decrypt(bytes(12), body, b""))
    except (InvalidTag, ValueError):
        return None


# What age is made of; cryptography is slow to load


def _public(private: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.x25519 import (  # noqa: PLC0415 (slow to load)
        X25519PrivateKey,
    )

    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _wrap_key(private: bytes, other: bytes, share: bytes, recipient: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.x25519 import (  # noqa: PLC0415 (slow to load)
        X25519PrivateKey,
        X25519PublicKey,
    )

    secret = X25519PrivateKey.from_private_bytes(private).exchange(
        X25519PublicKey.from_public_bytes(other)
    )
    return _derived(secret, share + recipient, _LABEL)


def _derived(secret: bytes, salt: bytes, info: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 (slow to load)
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415 (slow to load)

    return HKDF(SHA256(), 32, salt or None, info).derive(secret)


def _mac(file_key: bytes, head: bytes) -> bytes:
    return hmac.digest(_derived(file_key, b"", b"header"), head, "sha256")


def _cipher(key: bytes) -> ChaCha20Poly1305:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # noqa: PLC0415 (slow to load)

    return ChaCha20Poly1305(key)


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _unbase64(text: bytes) -> bytes:
    """Raises ValueError also for another text of the same bytes."""
    data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    if _base64(data) != text:
        raise ValueError
    return data


# Bech32, BIP 173: how age writes keys.  Ours, because the packages of it on PyPI are of 2020
# (bech32) or bring a whole wallet along (bip-utils); pyrage, age itself, makes and reads keys,
# but seals no header anew without the payload.


def _bech32(name: str, data: bytes) -> str:
    values = _regrouped(data, 8, 5, True)
    check = _polymod(_expanded(name) + values + [0] * 6) ^ 1
    values += [(check >> 5 * (5 - i)) & 31 for i in range(6)]
    return name + "1" + "".join(_LETTERS[v] for v in values)


def _key_of(identity: Secret) -> bytes | None:
    """The 32 bytes of AGE-SECRET-KEY-1..., or None for what is none."""
    name, _, text = identity.reveal().lower().rpartition("1")
    if name != _PRIVATE or any(letter not in _LETTERS for letter in text):
        return None
    values = [_LETTERS.index(letter) for letter in text]
    if _polymod(_expanded(name) + values) != 1:
        return None
    data = bytes(_regrouped(bytes(values[:-6]), 5, 8, False))
    return data if len(data) == 32 else None


def _expanded(name: str) -> list[int]:
    return [ord(c) >> 5 for c in name] + [0] + [ord(c) & 31 for c in name]


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, number in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= number if top >> bit & 1 else 0
    return check


def _regrouped(data: bytes, old: int, new: int, pad: bool) -> list[int]:
    found, held, bits = [], 0, 0
    for value in data:
        held, bits = held << old | value, bits + old
        while bits >= new:
            bits -= new
            found.append(held >> bits & ((1 << new) - 1))
    if pad and bits:
        found.append(held << (new - bits) & ((1 << new) - 1))
    return found
