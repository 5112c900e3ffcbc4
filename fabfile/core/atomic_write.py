"""Files of the operator's own, written whole or not at all.

Knows temporary files and renames; not what is in them.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fabfile.core.contract import BadInput


def made(option: str, folder: Path, mode: int = 0o700) -> Path:
    """A folder, made with that mode where it is not there.  Raises BadInput."""
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        if not folder.exists():
            raise BadInput(f"{option}: {folder}: {error.strerror}; name another folder") from None
    refuse_unfit(option, folder)
    return folder


def refuse_unfit(option: str, folder: Path) -> None:
    """Raises BadInput where no file can be written into a folder: said before any work."""
    if not folder.exists():
        raise BadInput(f"{option}: {folder}: no such folder; make it, or name another one")
    if not folder.is_dir():
        raise BadInput(f"{option}: {folder}: expected a folder, found a file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInput(f"{option}: {folder}: no right to write there; name another folder")


def write(option: str, files: Mapping[Path, str], mode: int) -> None:
    """Writes all files, each by a rename; none is begun before all texts are on the disk.

    Raises BadInput, with what was there before still there.
    """
    ready: dict[Path, Path] = {}
    try:
        for path, text in files.items():
            if path.is_dir():
                raise BadInput(f"{option}: {path}: expected a file or nothing, found a folder")
            ready[path] = _beside(path, text, mode)
        for path in files:
            ready[path].replace(path)
            del ready[path]
        for folder in {path.parent for path in files}:
            sync(folder)
    except OSError as error:
        raise BadInput(f"{option}: {error.filename or path}: {error.strerror}") from None
    finally:
        for left in ready.values():
            with contextlib.suppress(OSError):
                left.unlink()


def put(path: Path, text: str, mode: int) -> None:
    """As write(), of one file that nobody named.  Raises OSError, with the old one still there."""
    made = _beside(path, text, mode)
    try:
        made.replace(path)
    except OSError:
        made.unlink()
        raise
    sync(path.parent)


def _beside(path: Path, text: str, mode: int) -> Path:
    """The text in a temporary file of the same folder, on the disk."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".new", dir=path.parent)
    made = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(text.encode())
            os.fchmod(handle, mode)
            stream.flush()
            os.fsync(handle)
    except BaseException:
        made.unlink()
        raise
    return made


def sync(folder: Path) -> None:
    """A folder's names on the disk.  Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
