"""What a deleted volume leaves in its pool: 'NAME.deleted', with a snapshot for each of its clones.

Cinder renames a volume that has clones, and removes it with the last of them; from 2024.1 on it
does not, so that it stays for ever (docs/clones.md).  Pure: which snapshots are of clones, and what
takes such an image away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from fabfile.audit.compare import UUID
from fabfile.core.contract import Json
from fabfile.core.shapes import LINE, Shape

SNAPSHOTS: Shape = [{"name": LINE, "protected?": (LINE, bool), "namespace?": {"type?": LINE}}]
"""rbd snap ls --all --format json; before Nautilus it does not tell what is protected."""

Words = tuple[str, ...]
"""Words for rbd."""


def is_clones(name: str, volume_name: str) -> bool:
    """Whether a snapshot's name is that of a clone's, as create_cloned_volume gives it."""
    first, _, last = volume_name.partition("%s")
    return bool(re.fullmatch(re.escape(first) + UUID + re.escape(f"{last}.clone_snap"), name))


def foreign(snapshots: Iterable[Mapping[str, Json]], volume_name: str) -> list[str]:
    """The snapshots of an image that no clone of Cinder's was made from, by name."""
    return sorted(
        one["name"]
        for one in snapshots
        if one.get("namespace", {}).get("type", "user") != "user"
        or not is_clones(one["name"], volume_name)
    )


def without_snapshots(spec: str, snapshots: Iterable[Mapping[str, Json]]) -> Sequence[Words]:
    """What takes an image's snapshots away, where none of them has a clone any more."""
    found: list[Words] = []
    for one in sorted(snapshots, key=lambda one: str(one["name"])):
        snap = f"{spec}@{one['name']}"
        # Cinder protects each; where that is not told, it did.
        if str(one.get("protected", "true")).lower() not in ("false", "no", ""):
            found.append(("snap", "unprotect", snap))
        found.append(("snap", "rm", snap))
    return found
