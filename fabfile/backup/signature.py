"""Backups are signed: who made one is known before anything of it is read.

age seals for anybody who has the recipient, which is no secret: that a backup opens says nothing
of where it comes from.  So whoever makes backups signs each one's manifest, which has the sha256
of every sealed part, with an Ed25519 key; who may have made backups is in the site file
(backup.signers).  Keys and signatures are OpenSSH's (PROTOCOL.sshsig, PROTOCOL.key), so that
`ssh-keygen -Y verify` tells the same without this tool (docs/recovery.md).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fabfile.core import own_files
from fabfile.core.contract import INV, BadInput

if TYPE_CHECKING:  # slow to load
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NAMESPACE = "stackrbd-backup"
"""What such a signature is for: one that the key made for anything else does not hold here."""
KIND = "ssh-ed25519"
LARGEST = 4096
"""Bytes of a signature, or of a key's file; both are a tenth of it."""
_MAGIC, _HASH = b"SSHSIG", "sha512"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


@dataclass(frozen=True)
class Trust:
    """Whose backups are taken.

    signers: public keys, 'ssh-ed25519 AAAA...'.  unsigned: whether one that nobody signed is
    taken as well; one whose signature is wrong, or somebody else's, never is.
    """

    signers: frozenset[str] = frozenset()
    unsigned: bool = False


class Signer:
    """The key that signs; it stays on this machine."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._blob = _string(KIND) + _string(key.public_key().public_bytes_raw())
        self.public = f"{KIND} {base64.b64encode(self._blob).decode()}"

    def sign(self, data: bytes) -> str:
        """The data's signature, as `ssh-keygen -Y sign` writes it."""
        made = _string(KIND) + _string(self._key.sign(_signed(data)))
        words = (self._blob, NAMESPACE, "", _HASH, made)
        blob = _MAGIC + struct.pack(">I", 1) + b"".join(_string(word) for word in words)
        text = base64.b64encode(blob).decode()
        lines = [text[at : at + 70] for at in range(0, len(text), 70)]
        return "\n".join([_BEGIN, *lines, _END, ""])


def save_key(path: Path) -> str:
    """Makes a key in a new file for its owner alone; returns its public half.

    Raises BadInput where something is there already.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 (slow to load)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 (slow to load)
        Ed25519PrivateKey,
    )

    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    own_files.make_key(path, text)
    return Signer(key).public


def load_key(path: Path) -> Signer:
    """The key in a file of OpenSSH's.  Raises BadInput for none, or one that others may read."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 (slow to load)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 (slow to load)
        Ed25519PrivateKey,
    )
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 (slow to load)
        load_ssh_private_key,
    )

    try:
        text = own_files.read_key(path, "backup.signing_key", LARGEST)
    except FileNotFoundError:
        raise BadInput(
            f"{path}: expected the key that signs backups (backup.signing_key), found no such "
            f"file; {INV} backup.key makes it, and leaves the key that opens backups as it is"
        ) from None
    except OSError as error:
        raise BadInput(f"{path}: expected the key that signs backups: {error.strerror}") from None
    try:
        key = load_ssh_private_key(text, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a passphrase
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(f"{path}: expected an Ed25519 key of OpenSSH's without a passphrase")
    return Signer(key)


def signer_of(data: bytes, text: bytes, where: str) -> str:
    """Who signed the data, as 'ssh-ed25519 AAAA...'.

    Raises BadInput where the text is no signature, or is one of something else.
    """
    try:
        holds, blob = _checked(data, text)
    except (ValueError, struct.error, binascii.Error):
        raise BadInput(f"{where}: expected a signature of OpenSSH's for {NAMESPACE}") from None
    if not holds:
        raise BadInput(f"{where}: what was signed is another: the backup was altered")
    return f"{KIND} {base64.b64encode(blob).decode()}"


def fingerprint(public: str) -> str:
    """As `ssh-keygen -l` shows a key."""
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _checked(data: bytes, text: bytes) -> tuple[bool, bytes]:
    """(whether the signature is this data's, the key's blob).  Raises ValueError for no form."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 (slow to load)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 (slow to load)
        Ed25519PublicKey,
    )

    begin, *lines, end = text.decode("ascii").splitlines() or ["", ""]
    if (begin, end) != (_BEGIN, _END):
        raise ValueError
    blob = base64.b64decode("".join(lines), validate=True)
    version, parts = blob[len(_MAGIC) :][:4], list(_strings(blob[len(_MAGIC) + 4 :]))
    if not blob.startswith(_MAGIC) or version != struct.pack(">I", 1):
        raise ValueError
    key, namespace, _, digest, made = parts
    if (namespace, digest) != (NAMESPACE.encode(), _HASH.encode()):
        raise ValueError
    kind, public = _strings(key)
    made_kind, signature = _strings(made)
    if {kind, made_kind} != {KIND.encode()}:
        raise ValueError
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _signed(data))
    except InvalidSignature:
        return False, key
    return True, key


def _signed(data: bytes) -> bytes:
    """What the key signs in place of the data."""
    words = (NAMESPACE, "", _HASH, hashlib.sha512(data).digest())
    return _MAGIC + b"".join(_string(word) for word in words)


def _string(value: str | bytes) -> bytes:
    """As SSH writes a string: its length, and itself."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(data)) + data


def _strings(data: bytes) -> Iterator[bytes]:
    """The strings in a row.  Raises ValueError, struct.error where one is cut."""
    while data:
        (size,) = struct.unpack(">I", data[:4])
        if len(data) < 4 + size:
            raise ValueError
        yield data[4 : 4 + size]
        data = data[4 + size :]
