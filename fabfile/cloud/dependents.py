"""Deletes an image, a snapshot and a volume of which a clone lives, and says what is answered.

Knows the three, and what each answer means; what is right on a release, and how clones are
made there, comes with the settings.  All that it makes is named and marked as the proof's is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fabfile.cloud.checks import Checks
from fabfile.cloud.proof import cloned
from fabfile.cloud.rbd import Ceph
from fabfile.cloud.user import User
from fabfile.core.contract import INV, Unproved

if TYPE_CHECKING:
    from openstack.block_storage.v3.volume import Volume

END = "+clone"
"""How the names end of what is made here; no host's name has this sign."""
DELETED, TRASH, IN_USE, BUSY = "deleted", "trash", "in use", "busy"
_GONE = (DELETED, TRASH)


@dataclass(frozen=True)
class Expected:
    """What is right here.

    answers: {'image', 'snapshot' or 'volume': {'v1' or 'v2': answer}}, of the release; empty where
    that is not known.  v2: whether the site has its clones of v2; None where it leaves it open.
    """

    answers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    v2: bool | None = None


Clear = Callable[[str, str, str], str]
"""clear('image' or 'volume', parent, clone): takes away what a release leaves of a parent in its
pool, also once its clone is gone; a sentence, or '' where nothing was left."""


class Dependents:
    """Each of the three as a check; each is removed as soon as it has answered.

    remove: takes away what the API shows of it; clear: what only the pools show.
    """

    def __init__(
        self, user: User, ceph: Ceph, expected: Expected, remove: Callable[[], str], clear: Clear
    ) -> None:
        self._user, self._ceph, self._expected = user, ceph, expected
        self._remove, self._clear = remove, clear
        self._tried: tuple[str, str, str] | None = None

    def all(self, checks: Checks) -> None:
        """All three, whether or not another one fails."""
        for what, act in (
            ("an image", self._image),
            ("a snapshot", self._snapshot),
            ("a volume", self._volume),
        ):
            try:
                checks.check(f"{what} with a clone is deleted, or kept, as it should be", act)
            finally:
                checks.finish(f"{what} with a clone: all of it is removed", self._removed)

    def _removed(self) -> str:
        said = self._remove()
        # Only what was ours to delete, by UUID, and only when the clone is gone.
        tried, self._tried = self._tried, None
        return "; ".join(filter(None, (said, self._clear(*tried) if tried else "")))

    def _image(self) -> str:
        image = self._user.seed(f"image{END}")
        clone = self._user.clone(f"root{END}", image)
        cloned(clone, image, self._ceph)
        self._tried = ("image", image.id, clone.id)
        return self._judged("image", clone, self._user.try_image(image))

    def _snapshot(self) -> str:
        source = self._user.volume(f"source{END}", 1)
        snapshot = self._user.snapshot(f"snapshot{END}", source)
        clone = self._user.volume(f"clone{END}", 1, snapshot_id=snapshot.id)
        return self._judged("snapshot", clone, self._user.try_snapshot(snapshot, source))

    def _volume(self) -> str:
        source = self._user.volume(f"source{END}", 1)
        clone = self._user.volume(f"clone{END}", 1, source_volume_id=source.id)
        self._tried = ("volume", source.id, clone.id)
        return self._judged("volume", clone, self._user.try_volume(source))

    def _judged(self, what: str, clone: Volume, found: str) -> str:
        """A sentence where it is what this release answers; else Unproved."""
        made = self._ceph("clone", clone.id)
        if not made:
            return f"{found}: volume {clone.id} is a copy and no clone, and nothing depends on it"
        wanted = self._expected.answers.get(what, {}).get(made, "")
        known = f"{found}, with a clone of {made}"
        if self._expected.v2 and made == "v1":
            raise Unproved(
                f"ceph: a {what} with a clone: expected it of v2 (clone_v2 of the site file), "
                f"found it of v1; {INV} ceph.clones, and restart cinder-volume; or Ceph's "
                "rbd_default_clone_format says 1"
            )
        if found not in _GONE and wanted in _GONE:
            raise Unproved(
                f"cinder: a {what} with a clone of {made}: expected it {wanted}, as this release "
                f"does, found it {found}; see the logs of glance-api and cinder-volume"
            )
        return known + _means(found, wanted, made)


def _means(found: str, wanted: str, made: str) -> str:
    """What a user of the cloud has of it."""
    if found == DELETED and wanted == TRASH:
        return "; its RBD image stays in the pool's trash, of a user's image too (docs/clones.md)"
    if found == BUSY:
        return f" (SnapshotIsBusy): with clones of {made}, this release keeps it"
    if found == IN_USE:
        return ": this release keeps it until its clones are gone"
    return ""
