"""Reads files and writes them whole, on a host.

Knows how a write survives a full disk, a crash, a reader in the middle, and somebody who
plays with the names meanwhile: a temporary file in the same open folder, owner and mode
before the first byte, fsync, a last look at what is replaced, rename.  Does not know what any
file is for.  Python 3.6, standard library alone.
"""

import contextlib
import errno
import grp
import os
import pwd
import stat

from . import places
from .places import Refused, as_bytes, native, same

# hashlib loads OpenSSL for it, a tenth of an agent's start.
try:
    from _sha256 import sha256 as sha256_of
except ImportError:
    try:
        from _sha2 import sha256 as sha256_of  # its name since 3.12
    except ImportError:
        from hashlib import sha256 as sha256_of

__all__ = ["Refused"]
LARGEST = 16 * 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PREFIX, SUFFIX = ".stackrbd-", ".new"
NOT_COPIED = ("security.capability", "security.ima", "security.evm")
"""Attributes that speak of a file's content, or give its content rights."""


_SHORT, _LONG, _FEW = 16 * 1024, 4 * 1024 * 1024, 4
_hashed = ()  # type: ignore[var-annotated]
"""(content, its SHA-256) of the last few, of _SHORT to _LONG bytes."""


def sha256(data):
    """The SHA-256 of some bytes.

    A step looks at one file half a dozen times: whether these are the bytes of a moment ago is
    compared in a fiftieth of the time in which they are hashed.
    """
    global _hashed  # noqa: PLW0603 (one tuple in another's place: threads see the one or the other)
    if not _SHORT < len(data) <= _LONG:
        return sha256_of(data).hexdigest()
    for known, digest in _hashed:
        if known == data:
            return digest
    digest = sha256_of(data).hexdigest()
    _hashed = ((bytes(data), digest),) + _hashed[: _FEW - 1]
    return digest


def read(path):
    """A file's bytes, or None where there is none."""
    return look(path)[0]


def look(path):
    """(a file's bytes, what it is), of one and the same file; (None, None) where there is none."""
    try:
        there = places.target(path)
    except FileNotFoundError:
        return None, None
    with there:
        return _looked(there)


def _looked(there):
    opened = there.open()
    if opened is None:
        return None, None
    handle, seen = opened
    try:
        return _content(there.path, handle), described(seen)
    finally:
        os.close(handle)


def content(there):
    """The bytes of the file in a place.  Raises Refused where none is, or not one."""
    data = _looked(there)[0]
    if data is None:
        raise there.replaced()
    return data


def _content(path, handle):
    """A file's bytes, in pieces: the kernel refuses to fill a buffer of 4 MiB or more from a
    file below /proc/sys (ENOMEM)."""
    pieces, size = [], 0
    while True:
        piece = os.pread(handle, 65536, size)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST:
            raise Refused("%s: larger than %d bytes" % (path, LARGEST))


def _name(table, number):
    try:
        return places.as_text(table(number)[0])
    except KeyError:
        return str(number)


def describe(path):
    """Kind, mode ('0640'), owner and group of a path, or None where nothing is."""
    try:
        there = places.target(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with there:
        seen = there.look()
        while seen is not None and stat.S_ISLNK(seen.st_mode):
            seen = there.target().look()
        return seen and described(seen)


def described(seen):
    """As describe(), of a state."""
    kind = "directory" if stat.S_ISDIR(seen.st_mode) else "file"
    return {
        "kind": kind if stat.S_ISDIR(seen.st_mode) or stat.S_ISREG(seen.st_mode) else "other",
        "mode": "%04o" % stat.S_IMODE(seen.st_mode),
        "owner": _name(pwd.getpwuid, seen.st_uid),
        "group": _name(grp.getgrgid, seen.st_gid),
        "mtime": seen.st_mtime,
    }


class Attributes:
    """Owner, group and mode that a file or folder is to have.  Raises Refused for no such."""

    def __init__(self, path, mode, owner, group):
        try:
            self.uid = pwd.getpwnam(native(owner)).pw_uid
            self.gid = grp.getgrnam(native(group)).gr_gid
        except KeyError as error:
            raise Refused("no such user or group here: %s" % places.as_text(error.args[0]))
        self.mode = int(mode, 8)
        if self.mode & ~0o7777:
            raise Refused("%s: no mode: %s" % (path, mode))
        self._path = path

    def put(self, handle):
        """Gives them to what is open there."""
        if self.mode & (stat.S_ISUID | stat.S_ISGID) and not stat.S_ISDIR(os.fstat(handle).st_mode):
            raise Refused("%s: mode %04o would run as another user" % (self._path, self.mode))
        os.fchown(handle, self.uid, self.gid)
        os.fchmod(handle, self.mode)


def _keep_attributes(old, new):
    """Owner, mode, access lists and extended attributes of the file being replaced.

    By handle: by name, whoever may write in the folder has them given to another file.
    """
    seen = os.fstat(old)
    os.fchown(new, seen.st_uid, seen.st_gid)
    os.fchmod(new, stat.S_IMODE(seen.st_mode) & 0o1777)
    try:
        names = os.listxattr(old)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        names = []
    for name in names:
        if name not in NOT_COPIED:
            try:
                os.setxattr(new, name, os.getxattr(old, name))
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.ENODATA):
                    raise


def _clear_leftovers(there):
    """What a run that was killed left; the host's lock is held, so nobody uses it."""
    for name in there.names():
        if name.startswith(as_bytes(PREFIX)) and name.endswith(as_bytes(SUFFIX)):
            with contextlib.suppress(OSError):  # a folder of that name is not ours
                os.unlink(name, dir_fd=there.folder)


_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
ANY = "any"
"""For `before`: whatever is there."""


def write(path, data, mode=None, owner=None, group=None, check=None, before=ANY):
    """Puts data in place of a file, whole or not at all.

    mode, owner, group: of the new file; left out, those of the old file.
    check: called with the new file's handle before the rename; raises Refused.
    before: the digest of what is to be replaced; None where nothing is.
    Raises Refused or OSError, with the old file untouched and nothing left behind.
    """
    with places.target(path) as there:
        old = there.open()
        try:
            if old is None and mode is None:
                raise Refused("%s: there is no such file" % path)
            wanted = None if mode is None else Attributes(path, mode, owner, group)
            _clear_leftovers(there)
            _replace(there, old and old[0], data, wanted, check, before)
        finally:
            if old is not None:
                os.close(old[0])


def _replace(there, old, data, wanted, check, before):
    temporary = as_bytes(PREFIX + os.urandom(8).hex() + SUFFIX)
    handle = os.open(temporary, _NEW, 0o600, dir_fd=there.folder)
    try:
        if old is not None:
            _keep_attributes(old, handle)
        if wanted:
            wanted.put(handle)
        with os.fdopen(os.dup(handle), "wb") as stream:
            stream.write(data)
        os.fsync(handle)
        if check:
            check(handle)
        _expect(there, old, before)
        os.rename(temporary, there.name, src_dir_fd=there.folder, dst_dir_fd=there.folder)
        now = there.look()
        if now is None or not same(now, os.fstat(handle)):
            raise there.replaced()
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=there.folder)
        raise
    finally:
        os.close(handle)
    there.sync()


def _expect(there, old, before):
    """Raises Refused where what is about to be replaced is not what was looked at."""
    now = there.look()
    if (now is None) != (old is None) or (now and not same(now, os.fstat(old))):
        raise there.replaced()
    seen = None if old is None else sha256(_content(there.path, old))
    if before not in (ANY, seen):
        raise there.replaced()


def remove(path, before=ANY):
    """Takes a file away, and makes that last.  before: as for write()."""
    with places.target(path) as there:
        opened = there.open()
        if opened is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        try:
            _expect(there, opened[0], before)
        finally:
            os.close(opened[0])
        os.unlink(there.name, dir_fd=there.folder)
        there.sync()


def attributes(path, mode, owner, group):
    """Gives a file or folder its owner and mode; the content stays."""
    wanted = Attributes(path, mode, owner, group)
    with places.target(path) as there:
        handle = _opened(there)
        try:
            if _would_hand_over(there, os.fstat(handle), wanted):
                raise Refused(
                    "%s: is root's, in a folder that is not root's alone: it is not given to %s, "
                    "as it could be another file that was put there; make that folder root's, or "
                    "give it by hand" % (path, owner)
                )
            wanted.put(handle)
        finally:
            os.close(handle)


def _opened(there):
    """A handle of the file or folder that is there."""
    seen = there.look()
    if seen is not None and stat.S_ISDIR(seen.st_mode):
        return os.open(there.name, _FOLDER, dir_fd=there.folder)
    found = there.open()
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), there.path)
    return found[0]


def _would_hand_over(there, seen, wanted):
    """Whether somebody would get a file of root's, who may have chosen which."""
    more = wanted.uid != seen.st_uid or wanted.gid != seen.st_gid or wanted.mode & ~seen.st_mode
    return bool(seen.st_uid == 0 and more and not there.by_root(seen))


def folder(path, mode, owner, group):
    """Makes a folder with owner and mode; an existing one gets them."""
    wanted = Attributes(path, mode, owner, group)
    with places.target(path) as there:
        if there.look() is not None:
            attributes(path, mode, owner, group)
            return
        os.mkdir(there.name, 0o700, dir_fd=there.folder)
        handle = os.open(there.name, _FOLDER, dir_fd=there.folder)
        try:
            if os.listdir(handle):
                raise there.replaced()
            wanted.put(handle)
        finally:
            os.close(handle)


def no_folder(path):
    """Takes a folder away, if it is empty."""
    try:
        with places.place(path) as there:
            os.rmdir(there.name, dir_fd=there.folder)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise


def discard(path):
    """Takes away what has a name, and is no folder; nothing where nothing is."""
    with contextlib.suppress(FileNotFoundError), places.place(path) as there:
        os.unlink(there.name, dir_fd=there.folder)


def rename(path, new):
    """Gives a file or folder another name.  No link is followed at the end of either."""
    with places.place(path) as old, places.place(new) as there:
        os.rename(old.name, there.name, src_dir_fd=old.folder, dst_dir_fd=there.folder)


def sync_folder(path):
    """Makes what was renamed in a folder last."""
    with places.place(path) as there:
        there.sync()


def keep(store, data):
    """Puts old content into a folder of root alone, named by its sha256."""
    os.makedirs(store, mode=0o700, exist_ok=True)
    path = os.path.join(store, sha256(data))
    if not os.path.exists(path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(path + ".new", flags, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(path + ".new", path)
    return path
