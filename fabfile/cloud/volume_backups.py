"""A volume of known content is backed up and restored into a new one, which must have the same.

Knows the order, and what Ceph must say at each step; all that it makes is named and marked as the
proof's is.  The content is compared byte by byte: by the SHA-256 of what rbd exports.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from fabfile.cloud.rbd import Ceph
from fabfile.cloud.user import ProofSettings, User
from fabfile.core.contract import Unproved

if TYPE_CHECKING:
    from openstack.block_storage.v3.backup import Backup
    from openstack.block_storage.v3.volume import Volume

_MIB = 1 << 20
_GIB = 1 << 30


class Backups:
    """The chain; its steps answer a sentence or raise."""

    def __init__(self, user: User, settings: ProofSettings, ceph: Ceph) -> None:
        self._user, self._settings, self._ceph = user, settings, ceph
        self._volume: Volume
        self._restored: Volume
        self._backup: Backup
        self._content = ""

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """Each with what it is called; one is of use only where those before it passed."""
        kind = self._settings.volume_type
        return [
            ("Cinder has a cinder-backup that is up", self._up),
            (f"a {kind} volume of known content", self._make),
            ("the volume is backed up into its pool", self._back_up),
            (f"the backup is restored into a new {kind} volume", self._restore),
            ("what is restored is what was backed up", self._compare),
            ("the backup is deleted, and its image", self._delete),
        ]

    def _up(self) -> str:
        self._user.backups_are_made()
        return "it is up"

    def _make(self) -> str:
        known = content(self._settings.run_id)
        image = self._user.seed("image-backup", known)
        self._volume = self._user.clone("backed-up", image)
        self._content = self._ceph("content", self._volume.id)
        wanted = digest(known, _GIB * int(self._volume.size))
        if self._content != wanted:
            raise Unproved(
                f"ceph: volume {self._volume.id}: expected the content of image {image.id} "
                f"({wanted}), found {self._content}; see the logs of cinder-volume and glance-api"
            )
        return f"volume {self._volume.id} has {self._content}"

    def _back_up(self) -> str:
        volume = self._volume.id
        self._backup = self._user.backup("backup", self._volume)
        image = self._image()
        if not image:
            raise Unproved(
                f"ceph: backup {self._backup.id} of volume {volume}: expected its image in pool "
                f"{self._settings.backups}, found none; see which driver and pool cinder-backup "
                f"has (Cinder says it is in {self._backup.container!r})"
            )
        mark = f"backup.{self._backup.id}.snap."
        there = any(name.startswith(mark) for name in self._ceph("snapshots", volume))
        how = "by its difference from nothing" if there else "as a copy, without a snapshot of it"
        return f"backup {self._backup.id} is in {self._settings.backups}/{image}, {how}"

    def _image(self) -> str:
        """The name of the backup's image; older releases have one for all backups of a volume."""
        volume = self._volume.id
        own = self._ceph("backup", f"{volume}.backup.{self._backup.id}")
        return own or self._ceph("backup", f"{volume}.backup.base")

    def _restore(self) -> str:
        empty = self._user.volume("restored", int(self._volume.size))
        self._restored = self._user.restore(self._backup, empty)
        return f"backup {self._backup.id} is restored into volume {self._restored.id}"

    def _compare(self) -> str:
        found = self._ceph("content", self._restored.id)
        if found != self._content:
            raise Unproved(
                f"ceph: volume {self._restored.id}, restored from backup {self._backup.id}: "
                f"expected {self._content}, found {found}: what is restored is not what was backed "
                "up; trust no backup until cinder-backup's log says why"
            )
        return f"both have {found}"

    def _delete(self) -> str:
        self._user.delete_backup(self._backup)
        if image := self._image():
            raise Unproved(
                f"ceph: backup {self._backup.id} is deleted: expected its image to be gone, found "
                f"{self._settings.backups}/{image} still; see cinder-backup's log"
            )
        return f"backup {self._backup.id} is gone, and its image"


def content(run: str) -> bytes:
    """A MiB that is no other run's, and has no zeros in a row that could be left out."""
    return hashlib.shake_256(run.encode()).digest(_MIB)


def digest(known: bytes, size: int) -> str:
    """The SHA-256 of a volume of so many bytes that begins with these, and is empty else."""
    found = hashlib.sha256(known)
    rest = size - len(known)
    block = bytes(_MIB)
    for _ in range(rest // _MIB):
        found.update(block)
    found.update(bytes(rest % _MIB))
    return found.hexdigest()
