"""A guest's kernel that this release's Nova takes for a disk: what is said of it.

Knows the words; who reads the files, and whether that stops a run, is others' matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fabfile.core.contract import BadInput, Json


def refusal(files: Sequence[str], nova: Mapping[str, Json]) -> BadInput | None:
    """Why the site's guest cannot be migrated there; None where it can.

    files: those of the guest's that bear a boot sector's mark; nova: what the release's table has
    of Nova.
    """
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
