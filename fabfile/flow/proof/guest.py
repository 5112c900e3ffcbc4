"""The operator's own guest for the proof: whether this release's Nova takes its kernel.

Knows the first sector of its files; nothing is read but that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fabfile.core import site_file
from fabfile.core.contract import BadInput, Json
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


def refusal(files: tuple[str, ...], nova: Mapping[str, Json]) -> BadInput | None:
    """Why this guest cannot be migrated there; nova: what the release's table has of Nova."""
    if not files or not nova.get("inspects_kernels"):
        return None
    return BadInput(
        subject="verify.guest",
        expected="a guest that this release's Nova migrates",
        found=f"a boot sector's mark (bytes 510 and 511 are 55 aa) in {', '.join(files)}",
        why="since 2025.1 Nova takes it for a disk: a live migration ends with 'Image does not "
        "pass safety check: mbr'",
        advice="write zeros to these two bytes (QEMU asks no kernel for them; lab/guest.py does "
        "it), or name verify.image in place of the guest",
    )
