"""Where backups are kept on the operator's side: a folder a backup, whole or under no final name.

    NAME/manifest.json   what the backup is; no secret
    NAME/HOST.age        what a host sent, sealed before it left it
    NAME/verified.json   the last drill that it stood

Knows files; does not know what a backup is for, and never sees one open.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from fabfile.backup import age
from fabfile.core import atomic_write, site_file
from fabfile.core.contract import BadInput, Failed, Json, Secret

PIECE = 256 * 1024
_NAME = re.compile(r"^[A-Za-z0-9_.-]{1,80}$")
_PART = ".partial"


class Incoming:
    """What a host sends, on its way into a file; a ByteStream."""

    def __init__(self, path: Path) -> None:
        self.path = path
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._stream = os.fdopen(handle, "wb", buffering=0)
        self._digest, self.size = hashlib.sha256(), 0

    def take(self, data: bytes) -> None:
        """Some bytes more.  Raises Failed where there is no room for them."""
        try:
            view = memoryview(data)
            while view:
                view = view[self._stream.write(view) :]
        except OSError as error:
            raise Failed(f"{self.path}: {error.strerror}; the backup is not kept") from None
        self._digest.update(data)
        self.size += len(data)

    def give(self) -> bytes:
        """Nothing: this way only comes."""
        return b""

    def restart(self) -> None:
        """Forgets what came: it is sent again."""
        self._stream.seek(0)
        self._stream.truncate()
        self._digest, self.size = hashlib.sha256(), 0

    def close(self) -> dict[str, Json]:
        """On the disk; {'size', 'sha256'}.  Raises Failed where that did not work."""
        try:
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise Failed(f"{self.path}: {error.strerror}; the backup is not kept") from None
        finally:
            self._stream.close()
        return {"size": self.size, "sha256": self._digest.hexdigest()}


class Outgoing:
    """A kept file on its way to a host, sealed for it anew; a ByteStream."""

    def __init__(self, path: Path, identities: list[Secret]) -> None:
        self._stream: BinaryIO = path.open("rb")
        new = age.reseal(self._stream, identities, str(path))
        self.identity, self._head = new.identity, new.header

    def take(self, data: bytes) -> None:
        """Nothing is to come this way."""
        raise Failed(f"{len(data)} bytes came where none were asked for")

    def give(self) -> bytes:
        """The next piece."""
        head, self._head = self._head, b""
        return head or self._stream.read(PIECE)

    def close(self) -> None:
        """It is over."""
        self._stream.close()


class Store:
    """The folder of one site's backups."""

    def __init__(self, folder: str, site: str) -> None:
        self.path = site_file.expanded(folder, "backup.folder") / site

    # Keeping one

    def begin(self, name: str) -> Path:
        """A new backup's folder, under a name that is not final.

        Clears what was broken off: under the site's lock, nobody else is at it.
        """
        try:
            for path in (*reversed(self.path.parents), self.path):
                path.mkdir(mode=0o700, exist_ok=True)
            for left in self.path.glob(f"*{_PART}"):
                shutil.rmtree(left, ignore_errors=True)
            part = self.path / (name + _PART)
            part.mkdir(mode=0o700)
        except OSError as error:
            raise BadInput(f"backup.folder: {self.path}: {error.strerror}") from None
        return part

    def drop(self, part: Path) -> None:
        """A backup that did not become one."""
        shutil.rmtree(part, ignore_errors=True)

    def finish(self, part: Path, manifest: Mapping[str, Json]) -> Path:
        """The manifest beside what came, and the final name.  Raises Failed."""
        final = part.with_name(part.name.removesuffix(_PART))
        try:
            _save_json(part / "manifest.json", manifest)
            part.rename(final)
            atomic_write.sync(self.path)
        except OSError as error:
            raise Failed(f"{part}: {error.strerror}; the backup is not kept") from None
        return final

    def prune(self, most: int) -> list[str]:
        """Takes the oldest away; never the newest of which a drill was passed."""
        names = [name for name, _ in self.all()]
        spared = next((n for n in names if self.verified(n)), None)
        gone = [name for name in names[most:] if name != spared]
        for name in gone:
            shutil.rmtree(self.path / name, ignore_errors=True)
        return gone

    # Finding one

    def all(self) -> Iterator[tuple[str, dict[str, Json]]]:
        """(name, manifest), the newest first; a manifest that cannot be read is {'broken'}."""
        for path in sorted(self.path.glob("*"), reverse=True):
            if path.is_dir() and not path.name.endswith(_PART):
                try:
                    yield path.name, self.manifest(path.name)
                except BadInput as error:
                    yield path.name, {"broken": str(error)}

    def named(self, name: str) -> str:
        """The backup of that name, or the last whole one.  Raises BadInput."""
        if name and _NAME.match(name) and (self.path / name).is_dir():
            return name
        if name:
            raise BadInput(f"--record: no backup {name!r} in {self.path}; see inv backup.list")
        for found, manifest in self.all():
            if "broken" not in manifest:
                return found
        raise BadInput(f"no backup is in {self.path}; inv backup.create makes one")

    def manifest(self, name: str) -> dict[str, Json]:
        """What a backup says that it is.  Raises BadInput where that cannot be read."""
        path = self.path / name / "manifest.json"
        try:
            found: dict[str, Json] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise BadInput(f"{path}: the backup is broken: {error}") from None
        if not _is_manifest(found):
            raise BadInput(f"{path}: expected a backup of format 1, found another")
        return found

    def sealed(self, name: str, host: str) -> Path:
        """A host's part of a backup."""
        return self.path / name / f"{host}.age"

    def refuse_altered(self, name: str) -> None:
        """Raises BadInput where a part is not what was kept: cut, altered or gone."""
        for host, held in self.manifest(name)["hosts"].items():
            path = self.sealed(name, host)
            try:
                size = path.stat().st_size
                digest = _digest(path) if size == held["size"] else ""
            except OSError as error:
                raise BadInput(f"{path}: the backup is broken: {error.strerror}") from None
            if size != held["size"]:
                raise BadInput(f"{path}: the backup is cut: {size} bytes, expected {held['size']}")
            if digest != held["sha256"]:
                raise BadInput(f"{path}: the backup was altered: its sha256 is not the manifest's")

    # Drills

    def stood(self, name: str, **what: Json) -> None:
        """Notes that a drill was passed.  Raises Failed where that cannot be written."""
        path = self.path / name / "verified.json"
        try:
            _save_json(path, {"time": int(time.time()), **what})
        except OSError as error:
            raise Failed(
                f"{path}: {error.strerror}; the drill was passed, and is not noted"
            ) from None

    def verified(self, name: str) -> dict[str, Json] | None:
        """The last drill that a backup stood."""
        try:
            found = json.loads((self.path / name / "verified.json").read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        dated = isinstance(found, dict) and isinstance(found.get("time"), (int, float))
        return found if dated else None

    def last_verified(self) -> tuple[str, float] | None:
        """(the newest backup that stood a drill, its age in seconds), if there is any."""
        for name, manifest in self.all():
            if "time" in manifest and self.verified(name):
                return name, time.time() - manifest["time"]
        return None


def _is_manifest(found: object) -> bool:
    """Whether it says what is read of a manifest; of one that was damaged, it may not."""
    return (
        isinstance(found, dict)
        and found.get("format") == 1
        and isinstance(found.get("time"), (int, float))
        and isinstance(found.get("site"), str)
        and isinstance(found.get("hosts"), dict)
        and bool(found["hosts"])
        and all(map(_is_held, found["hosts"].values()))
    )


def _is_held(held: object) -> bool:
    """As _is_manifest, for one host's part."""
    if not isinstance(held, dict):
        return False
    database, left = held.get("database", {}), held.get("left", [])
    tables = database.get("tables", {}) if isinstance(database, dict) else None
    return (
        isinstance(held.get("size"), int)
        and isinstance(held.get("sha256"), str)
        and isinstance(left, list)
        and isinstance(tables, dict)
        and isinstance(database.get("unsafe", []), list)
        and all(
            isinstance(t, list) and len(t) == 2 and isinstance(t[0], int) for t in tables.values()
        )
    )


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while data := stream.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


def _save_json(path: Path, value: Mapping[str, Json]) -> None:
    atomic_write.put(path, json.dumps(value, indent=1, sort_keys=True), 0o600)
