"""Which stackrbd this is: a digest of its own sources.

A version's number would not tell one checkout from the next.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_HOUSE = Path(__file__).resolve().parents[1]


def digest() -> str:
    """'sha256:' and 12 hex digits, of every source's name and bytes."""
    found = hashlib.sha256()
    for path in sorted(_HOUSE.rglob("*.py")):
        found.update(f"{path.relative_to(_HOUSE)}\0".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return f"sha256:{found.hexdigest()[:12]}"
