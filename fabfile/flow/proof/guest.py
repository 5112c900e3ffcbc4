"""The operator's own guest for the proof: which of its files Nova may take for a disk.

Knows the first sector of its files; nothing is read but that.
"""

from __future__ import annotations

from pathlib import Path

from fabfile.core import site_file
from fabfile.model.site import Site

FILES = ("vmlinuz", "initrd")
"""What Nova fetches as it is, and so inspects."""
_MARK = b"\x55\xaa"
"""At 510 of a disk: its boot sector's. A kernel for BIOSes has it too; QEMU does not ask for it."""


def marked(site: Site) -> tuple[str, ...]:
    """The guest's files that bear a boot sector's mark; what cannot be read bears none."""
    if not site.verify.guest:
        return ()
    folder = site_file.expanded(site.verify.guest, "verify.guest")
    return tuple(name for name in FILES if _sector(folder / name)[510:512] == _MARK)


def _sector(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(512)
    except OSError:
        return b""
