"""Where backups are kept on the operator's side: a folder a backup, whole or under no final name.

    NAME/manifest.json       what the backup is, with each part's sha256; no secret
    NAME/manifest.json.sig   who made it
    NAME/HOST.age            what a host sent, sealed before it left it
    NAME/verified.json       the last drill that it stood

Whoever can write here can put anything here.  So nothing is read before its signature was, the
manifest's bytes are read once, and a part is sent as it was when its sha256 was compared.
Knows files; does not know what a backup is for, and never sees one open.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fabfile.backup import age, manifest, signature
from fabfile.backup.signature import Signer, Trust
from fabfile.core import atomic_write, own_files, site_file
from fabfile.core.contract import INV, BadInput, Failed, Json, Secret

PIECE = 256 * 1024
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_PART = ".partial"
_MANIFEST, _SIGNATURE, _DRILL = "manifest.json", "manifest.json.sig", "verified.json"
_MOST_NAMED = 5
AHEAD = 3600
"""Seconds: a backup that is dated so far after now is not ordered among the others."""


class Incoming:
    """What a host sends, on its way into a file; a ByteStream."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream = own_files.new(path, buffering=0)
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
    """A kept file on its way to a host, sealed for it anew; a ByteStream.

    held: the 'size' and 'sha256' that its manifest has of it.  Raises BadInput where it is another,
    before anything of it is decoded.  The header is the one whose sha256 was compared: its key
    opens no payload that was put in the old one's place since.
    """

    def __init__(self, path: Path, held: Mapping[str, Json], identities: list[Secret]) -> None:
        self._stream = _opened(path)
        try:
            head = self._stream.read(age.MOST_HEADER)
            _refuse_other(path, self._stream, head, held)
            new = age.reseal(head, identities, str(path))
            self._stream.seek(new.skip)
        except BaseException:
            self._stream.close()
            raise
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


@dataclass
class Pruned:
    """gone: the backups that were deleted.  unfit: {name: why it does not count}."""

    gone: list[str] = field(default_factory=list)
    unfit: dict[str, str] = field(default_factory=dict)


class Store:
    """The folder of one site's backups.

    trust: whose backups are taken; nobody's, unless it is said.
    """

    def __init__(self, folder: str, site: str, trust: Trust | None = None) -> None:
        self.path = site_file.expanded(folder, "backup.folder") / site
        self._trust = trust or Trust()

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

    def finish(self, part: Path, about: Mapping[str, Json], signer: Signer | None = None) -> Path:
        """The manifest beside what came, signed, and the final name.  Raises Failed."""
        final = part.with_name(part.name.removesuffix(_PART))
        text = _as_json(about)
        try:
            atomic_write.put(part / _MANIFEST, text, 0o600)
            if signer:
                atomic_write.put(part / _SIGNATURE, signer.sign(text.encode()), 0o600)
            part.rename(final)
            atomic_write.sync(self.path)
        except OSError as error:
            raise Failed(f"{part}: {error.strerror}; the backup is not kept") from None
        return final

    def prune(self, most: int, made: str = "") -> Pruned:
        """Deletes the oldest, by their manifests' time, where more than that many are whole.

        What is not whole, not signed, named by hand or dated after now does not count, and stays;
        so do the one that was just made, and the newest of which a drill was passed.
        """
        found, whole = Pruned(), []
        for name, about in self.all():
            why = self._unfit(name, about)
            if why:
                found.unfit[name] = why
            else:
                whole.append(name)
        tried = next((name for name in whole if self.verified(name)), None)
        kept = [made] if made in whole else []
        kept += [name for name in whole if name != made][: most - len(kept)]
        for name in whole:
            if name not in (*kept, tried):
                self._delete(name, found)
        return found

    def _unfit(self, name: str, about: Mapping[str, Json]) -> str:
        """Why a backup does not count, or nothing."""
        if "broken" in about:
            return str(about["broken"])
        if about["record"] != name:
            return f"{self.path / name}: a copy of {about['record']} that was named by hand"
        if about["time"] > time.time() + AHEAD:
            return f"{self.path / name}: is dated after now: a clock was, or is, wrong"
        try:
            self._refuse_altered(name, about)
        except BadInput as error:
            return str(error)
        return ""

    def _delete(self, name: str, found: Pruned) -> None:
        """First its name: what is half deleted is no backup."""
        path = self.path / name
        part = path.with_name(name + _PART)
        try:
            path.rename(part)
            shutil.rmtree(part)
        except OSError as error:
            found.unfit[name] = f"{error.filename or path}: {error.strerror}; it was not deleted"
        else:
            found.gone.append(name)

    # Finding one

    def all(self) -> Iterator[tuple[str, dict[str, Json]]]:
        """(name, manifest), the newest first; then (name, {'broken': why}) of the others."""
        read = {name: self._readable(name) for name in self._names()}
        whole = [name for name, about in read.items() if "broken" not in about]
        for name in sorted(whole, key=lambda name: (read[name]["time"], name), reverse=True):
            yield name, read[name]
        for name in sorted(set(read) - set(whole)):
            yield name, read[name]

    def _names(self) -> list[str]:
        try:
            found = sorted(path.name for path in self.path.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BadInput(f"backup.folder: {self.path}: {error.strerror}") from None
        return [
            name
            for name in found
            if not name.startswith(".") and not name.endswith(_PART) and (self.path / name).is_dir()
        ]

    def _readable(self, name: str) -> dict[str, Json]:
        try:
            return self.manifest(name)
        except BadInput as error:
            return {"broken": str(error)}

    def named(self, name: str) -> str:
        """The backup of that name, or the last whole one.  Raises BadInput."""
        if _NAME.fullmatch(name) and not name.endswith(_PART) and (self.path / name).is_dir():
            return name
        if name:
            raise BadInput(f"--backup: no backup {name!r} in {self.path}; see {INV} backup.list")
        found = list(self.all())
        whole = [name for name, about in found if "broken" not in about]
        newest = self.newest()
        if newest and newest[0] != whole[0]:
            raise BadInput(
                f"{self.path / whole[0]}: is dated after now: this clock is wrong, or was then; "
                f"which one is the last is not known: name it, as by --backup {newest[0]}"
            )
        if whole:
            return whole[0]
        if found:
            broken = "\n  ".join(str(about["broken"]) for _, about in found[:_MOST_NAMED])
            raise BadInput(f"no backup in {self.path} can be taken:\n  {broken}")
        raise BadInput(f"no backup is in {self.path}; {INV} backup.create makes one")

    def newest(self) -> tuple[str, dict[str, Json]] | None:
        """(name, manifest) of the last whole one that is not dated after now, if there is any."""
        now = time.time() + AHEAD
        return next((one for one in self.all() if one[1].get("time", now + 1) <= now), None)

    def is_signed(self, name: str) -> bool:
        """Whether somebody signed a backup; by whom, manifest() has looked."""
        return os.path.lexists(self.path / name / _SIGNATURE)

    def manifest(self, name: str) -> dict[str, Json]:
        """What a backup says that it is, once it is known who says so.  Raises BadInput.

        Its bytes are read once: ask once, and hand on what was answered.
        """
        path = self.path / name / _MANIFEST
        data = _read(path, manifest.LARGEST)
        self._refuse_stranger(path, data)
        return manifest.parse(data, str(path))

    def _refuse_stranger(self, path: Path, data: bytes) -> None:
        """Raises BadInput for what nobody signed, somebody unknown, or another manifest."""
        where = path.with_name(_SIGNATURE)
        if not self.is_signed(path.parent.name):
            if self._trust.unsigned:
                return
            raise BadInput(
                f"{path.parent}: the backup is not signed: who made it is not known, and it may be "
                "forged. Only if you know where it has been all the time: --even-if-forged"
            )
        who = signature.signer_of(data, _read(where, signature.LARGEST), str(where))
        if who not in self._trust.signers:
            raise BadInput(
                f"{where}: expected one of backup.signers, found {signature.fingerprint(who)}; if "
                f'that key makes backups of this site: [backup] signers = ["{who}"]'
            )

    def sealed(self, name: str, host: str) -> Path:
        """A host's part of a backup."""
        return self.path / name / f"{host}.age"

    def outgoing(
        self, name: str, about: Mapping[str, Json], identities: list[Secret]
    ) -> dict[str, Outgoing]:
        """{host: its part, on its way}.  Raises BadInput for one that is not what was kept."""
        found: dict[str, Outgoing] = {}
        try:
            for host, held in about["hosts"].items():
                found[host] = Outgoing(self.sealed(name, host), held, identities)
        except BaseException:
            for stream in found.values():
                stream.close()
            raise
        return found

    def refuse_altered(self, name: str) -> None:
        """Raises BadInput where a part is not what was kept: cut, altered or gone."""
        self._refuse_altered(name, self.manifest(name))

    def _refuse_altered(self, name: str, about: Mapping[str, Json]) -> None:
        for host, held in about["hosts"].items():
            path = self.sealed(name, host)
            with _opened(path) as stream:
                _refuse_other(path, stream, b"", held)

    # Drills

    def stood(self, name: str, **what: Json) -> None:
        """Notes that a drill was passed.  Raises Failed where that cannot be written."""
        path = self.path / name / _DRILL
        try:
            atomic_write.put(path, _as_json({"time": int(time.time()), **what}), 0o600)
        except OSError as error:
            raise Failed(
                f"{path}: {error.strerror}; the drill was passed, and is not noted"
            ) from None

    def verified(self, name: str) -> dict[str, Json] | None:
        """The last drill that a backup stood."""
        try:
            found = json.loads(_read(self.path / name / _DRILL, 65536))
        except (BadInput, ValueError, RecursionError):
            return None
        dated = isinstance(found, dict) and type(found.get("time")) is int
        return found if dated and 0 <= found["time"] < 2**40 else None

    def last_verified(self) -> tuple[str, float] | None:
        """(the newest backup that stood a drill, its age in seconds), if there is any."""
        now = time.time()
        for name, about in self.all():
            if about.get("time", now + AHEAD + 1) <= now + AHEAD and self.verified(name):
                return name, now - about["time"]
        return None


def _opened(path: Path) -> BinaryIO:
    """A kept file to be read.  Raises BadInput for what is none: a pipe would never end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        said = "a link" if path.is_symlink() else error.strerror
        raise BadInput(f"{path}: the backup is broken: {said}") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BadInput(f"{path}: the backup is broken: expected a file")
    return os.fdopen(handle, "rb")


def _read(path: Path, most: int) -> bytes:
    """All of a small file.  Raises BadInput."""
    try:
        with _opened(path) as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise BadInput(f"{path}: the backup is broken: {error.strerror}") from None
    if len(data) > most:
        raise BadInput(f"{path}: the backup is broken: larger than {most} bytes")
    return data


def _refuse_other(path: Path, stream: BinaryIO, head: bytes, held: Mapping[str, Json]) -> None:
    """Raises BadInput where a file is not the manifest's; head: what was read of it already."""
    try:
        size = os.fstat(stream.fileno()).st_size
        if size != held["size"]:
            raise BadInput(f"{path}: the backup is cut: {size} bytes, expected {held['size']}")
        digest = hashlib.sha256(head)
        while data := stream.read(1 << 20):
            digest.update(data)
    except OSError as error:
        raise BadInput(f"{path}: the backup is broken: {error.strerror}") from None
    if digest.hexdigest() != held["sha256"]:
        raise BadInput(f"{path}: the backup was altered: its sha256 is not the manifest's")


def _as_json(value: Mapping[str, Json]) -> str:
    return json.dumps(value, indent=1, sort_keys=True)
