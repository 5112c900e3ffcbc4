"""Finds what a proof made, by name and mark, and deletes it, also after one that was killed.

Knows how each kind is let go of; what has no mark is somebody else's and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from fabfile.cloud import waiting
from fabfile.cloud.connection import Cloud
from fabfile.cloud.volume_types import ALL
from fabfile.core.contract import Unproved

if TYPE_CHECKING:
    from openstack.block_storage.v3.volume import Volume
    from openstack.compute.v2.server import Server
    from openstack.image.v2.image import Image
    from openstack.resource import Resource

    R = TypeVar("R", bound=Resource)
P = ParamSpec("P")

PREFIX = "stackrbd-proof-"
MARK = "stackrbd_proof"
"""The metadata key (images: the property) whose value is the run's id; a volume type's
description begins with it."""

_PASSING = (
    "creating",
    "downloading",
    "attaching",
    "detaching",
    "reserved",
    "in-use",
    "restoring",
)
"""Of a volume that is backed up or restored into, the backup is waited for, and gone before: where
cinder-backup fell, the volume would never rest."""


@dataclass(frozen=True)
class Ours:
    """What names have that are looked for: this beginning, and this end."""

    prefix: str
    end: str = ""

    def named(self, name: str) -> bool:
        """Whether it is such a name."""
        return name.startswith(self.prefix) and name.endswith(self.end)


Kind = Callable[[Ours, list[str]], int]


class Leftovers:
    """What proofs have in a cloud.

    seconds: how long any single wait may take.  say: is told what stays.
    """

    def __init__(self, connection: Cloud, seconds: float, say: Callable[[str], None]) -> None:
        self._compute = connection.compute
        self._storage = connection.block_storage
        self._glance = connection.image
        self._seconds = seconds
        self._say = say

    def sweep(self, prefix: str) -> str:
        """Delete what has a name of this prefix and carries the mark.

        Goes on where one thing stays; Unproved names all that stayed.
        """
        kinds = (
            self._servers,
            self._backups,
            self._clones,
            self._snapshots,
            self._volumes,
            self._images,
            self._types,
        )
        return self._delete(kinds, Ours(prefix))

    def remove(self, prefix: str, end: str) -> str:
        """As sweep(), of instances and volumes alone, whose names have this end too."""
        kinds = (self._servers, self._clones, self._snapshots, self._volumes)
        return self._delete(kinds, Ours(prefix, end))

    def _delete(self, kinds: Sequence[Kind], ours: Ours) -> str:
        trouble: list[str] = []
        counts = [(act.__name__.strip("_"), act(ours, trouble)) for act in kinds]
        if trouble:
            raise Unproved("not all is deleted: " + "\n  ".join(trouble))
        found = [f"{number} {kind}" for kind, number in counts if number]
        return f"{', '.join(found)} deleted" if found else "nothing is there"

    def _servers(self, ours: Ours, trouble: list[str]) -> int:
        found = self._ours(self._compute.servers(), ours)
        _attempt(trouble, self._still, found)
        for item in found:
            _attempt(trouble, self._compute.delete_server, item)
        _attempt(trouble, self._gone, "nova: server", found, self._compute.servers)
        return len(found)

    def _still(self, servers: list[Server]) -> None:
        """An instance that is deleted while it migrates leaves half of itself on two computes."""
        wanted = {item.id: item.name for item in servers}
        waiting.until(
            f"nova: server {', '.join(wanted.values())}",
            lambda: _left(wanted, self._compute.servers),
            lambda found: all(item.status != "MIGRATING" for item in found),
            seconds=self._seconds,
            end="expected the migration to end; nova live-migration-abort ends it",
        )

    def _backups(self, ours: Ours, trouble: list[str]) -> int:
        """Before their volumes, in which Ceph's driver keeps a snapshot of each."""
        found = self._ours(self._storage.backups(), ours)
        _attempt(trouble, self._at_rest, "backup", found, self._storage.backups)
        for item in found:
            force = item.status not in ("available", "error")
            _attempt(trouble, self._storage.delete_backup, item.id, force=force)
        _attempt(trouble, self._gone, "cinder: backup", found, self._storage.backups)
        return len(found)

    def _snapshots(self, ours: Ours, trouble: list[str]) -> int:
        found = self._ours(self._storage.snapshots(), ours)
        _attempt(trouble, self._at_rest, "snapshot", found, self._storage.snapshots)
        for item in found:
            _attempt(trouble, self._storage.delete_snapshot, item)
        _attempt(trouble, self._gone, "cinder: snapshot", found, self._storage.snapshots)
        return len(found)

    def _clones(self, ours: Ours, trouble: list[str]) -> int:
        """Volumes that were made from others: those may be kept for as long as these are there."""
        found = self._ours(self._storage.volumes(), ours)
        return self._free(list(filter(_is_clone, found)), trouble)

    def _volumes(self, ours: Ours, trouble: list[str]) -> int:
        return self._free(self._ours(self._storage.volumes(), ours), trouble)

    def _free(self, found: list[Volume], trouble: list[str]) -> int:
        _attempt(trouble, self._at_rest, "volume", found, self._storage.volumes)
        for item in found:
            _attempt(trouble, self._delete_volume, item)
        _attempt(trouble, self._gone, "cinder: volume", found, self._storage.volumes)
        return len(found)

    def _images(self, ours: Ours, trouble: list[str]) -> int:
        found = self._ours(self._glance.images(), ours)
        for item in found:
            _attempt(trouble, self._delete_image, item)
        return len(found)

    def _types(self, ours: Ours, trouble: list[str]) -> int:
        found = self._ours(self._storage.types(**ALL), ours)
        for item in found:
            _attempt(trouble, self._storage.delete_type, item)
        return len(found)

    def _ours(self, items: Iterable[R], ours: Ours) -> list[R]:
        named = [item for item in items if ours.named(item.name or "")]
        marked = [item for item in named if _marked(item)]
        for item in named:
            if item not in marked:
                self._say(f"proof: {item.name} ({item.id}) has no mark: it stays")
        return marked

    def _at_rest(self, what: str, items: list[R], listing: Callable[[], Iterable[R]]) -> None:
        """Cinder refuses to delete what is on its way."""
        wanted = {item.id: item.name for item in items}
        waiting.until(
            f"cinder: {what} {', '.join(wanted.values())}",
            lambda: _left(wanted, listing),
            lambda found: all(item.status not in _PASSING for item in found),
            seconds=self._seconds,
            end="expected it to be at rest, so that it can be deleted",
        )

    def _delete_volume(self, volume: Volume) -> None:
        now = self._storage.find_volume(volume.id, ignore_missing=True)
        if now is None or now.status == "deleting":
            return
        # Any other state (error_deleting of an earlier run) takes an administrator.
        force = now.status not in ("available", "error")
        self._storage.delete_volume(now.id, ignore_missing=True, force=force)

    def _delete_image(self, image: Image) -> None:
        """Glance refuses for as long as a clone in RBD is not quite gone."""
        from openstack.exceptions import ConflictException  # noqa: PLC0415 (slow to load)

        def delete() -> bool:
            try:
                self._glance.delete_image(image.id, ignore_missing=True)
            except ConflictException:
                return False
            return True

        waiting.until(
            f"glance: image {image.name} ({image.id})",
            delete,
            bool,
            seconds=self._seconds,
            end="expected it to be deleted, it is still in use",
        )

    def _gone(self, what: str, items: list[R], listing: Callable[[], Iterable[R]]) -> None:
        wanted = {item.id: item.name for item in items}
        waiting.until(
            f"{what} {', '.join(wanted.values())}",
            lambda: _left(wanted, listing),
            lambda found: not found,
            seconds=self._seconds,
            fatal=("error_deleting",),
            end="expected it to be gone; delete it by hand",
        )


def _is_clone(volume: Volume) -> bool:
    names = ("snapshot_id", "source_volume_id")
    return any(getattr(volume, name, None) for name in names)


def _attempt(
    trouble: list[str], act: Callable[P, object], *args: P.args, **kwargs: P.kwargs
) -> None:
    try:
        act(*args, **kwargs)
    except waiting.expected() as error:
        trouble.append(str(error))


def _left(wanted: dict[str, str], listing: Callable[[], Iterable[R]]) -> list[R]:
    # Nothing wanted, nothing asked.
    return [item for item in listing() if item.id in wanted] if wanted else []


def _marked(item: Resource) -> bool:
    # A volume type has no metadata of its own, nor had a backup before 3.43.
    if (getattr(item, "description", None) or "").startswith(MARK):
        return True
    # Images keep what Glance does not know among their properties.
    for held in (getattr(item, "metadata", None), getattr(item, "properties", None)):
        if MARK in (held or {}):
            return True
    return False
