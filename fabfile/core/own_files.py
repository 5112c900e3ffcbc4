"""Files of this machine that decide what is run here, or who is trusted.

As ssh has it for its own: such a file, and every folder and link on its path, belongs to the
operator or to root, and nobody else may write there.  Else another user of this machine would
decide.  Where that holds, no one can put another file in its place between the look and the
reading.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from fabfile.core.contract import BadInput

MOST = 16 << 20
"""Bytes of such a file; a plan of thousands of hosts has a few MB."""
_MOST_LINKS = 40
_ACL = "system.posix_acl_access"


def read(path: Path, what: str, most: int = MOST) -> bytes:
    """A file's bytes.  Raises OSError, or BadInput where others may write it or it is no file.

    what: how the operator knows it, such as 'the site file'.
    """
    refuse_alterable(path, what)
    with opened(path, what) as stream:
        found = stream.read(most + 1)
    if len(found) > most:
        raise BadInput(f"{path}: {what}: expected at most {most} bytes, found more")
    return found


def opened(path: Path, what: str) -> BinaryIO:
    """A file, to be read.  Raises OSError, or BadInput for what is none."""
    # A pipe that nobody writes into would be waited for.
    stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise BadInput(f"{path}: {what}: expected a file, found something else")
    return cast(BinaryIO, stream)


def new(path: Path, buffering: int = -1) -> BinaryIO:
    """A file for its owner alone, to be written.  Raises OSError, also where something is there."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return cast(BinaryIO, os.fdopen(handle, "wb", buffering))


def make_key(path: Path, text: bytes) -> None:
    """A key in a new file for its owner alone.  Raises BadInput where something is there."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        stream = new(path)
    except FileExistsError:
        raise BadInput(f"{path}: is there already; a key is never written over") from None
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    with stream:
        stream.write(text)


def read_key(path: Path, what: str, most: int = MOST) -> bytes:
    """As read(), of a key: others may not even read it."""
    refuse_readable(path, what)
    return read(path, what, most)


def refuse_alterable(path: Path, what: str) -> None:
    """Raises BadInput where somebody else may write a file, or a folder or link on its path.

    Raises OSError where it is not there.
    """
    where, why, mend = fault(path) or ("", "", "")
    if why:
        at = "" if where == str(path) else f"{where}: "
        raise BadInput(
            f"{path}: {what}: {at}{why}; who may write there decides what is done with your rights:"
            f" {mend}, or take a copy in a folder that is yours alone"
        )


def refuse_readable(path: Path, what: str) -> None:
    """As refuse_alterable, and where others may read a key.  Raises OSError."""
    refuse_alterable(path, what)
    if why := readable(path):
        raise BadInput(f"{path}: {what}: {why}")


def readable(path: Path) -> str:
    """That others may read a key, and what mends it; '' where they may not.  Raises OSError."""
    mode = path.stat().st_mode & 0o777
    mend = f"chmod 600 {shlex.quote(str(path))}"
    return f"others may read it (mode {mode:04o}); {mend}" if mode & 0o077 else ""


def fault(path: Path) -> tuple[str, str, str] | None:
    """(where, what is wrong there, what mends it) of a path that others may alter.

    Raises OSError where it is not there.
    """
    for where, seen in _nodes(str(path)):
        why, mend = _fault(where, seen)
        if why:
            return where, why, mend
    return None


def _nodes(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every folder, link and file that is gone through from the root to a path's end."""
    at, links = "/", 0
    ahead = _parts(path if path.startswith("/") else f"{Path.cwd()}/{path}")
    yield at, os.lstat(at)
    while ahead:
        part = ahead.pop()
        if part == "..":
            at = os.path.dirname(at)  # `at` has no link in it
            continue
        node = os.path.join(at, part)
        seen = os.lstat(node)
        yield node, seen
        if not stat.S_ISLNK(seen.st_mode):
            at = node
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        aim = os.readlink(node)
        at = "/" if aim.startswith("/") else at
        ahead += _parts(aim)


def _parts(path: str) -> list[str]:
    """A path's parts, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _mine() -> set[int]:
    """Root, and who runs this, also by sudo."""
    mine = {0, os.geteuid()}
    by_sudo = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and by_sudo.isdecimal():
        mine.add(int(by_sudo))
    return mine


def _fault(where: str, seen: os.stat_result) -> tuple[str, str]:
    """(what is wrong with one of the nodes, what mends it); ('', '') where nothing is."""
    mode, node = seen.st_mode, shlex.quote(where)
    # Of a link the mode says nothing; in a sticky folder, what is another's cannot be replaced.
    fixed = stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and mode & stat.S_ISVTX)
    why, mend = "", ""
    if seen.st_uid not in _mine():
        why, mend = f"it belongs to {_name_of(seen.st_uid)}", f"chown {os.geteuid()} {node}"
    elif mode & 0o002 and not fixed:
        why, mend = f"others may write it (mode {mode & 0o7777:04o})", f"chmod o-w {node}"
    elif mode & 0o020 and not fixed and _has_acl(where):
        why, mend = "its access list lets others write it", f"setfacl -b {node}"
    elif mode & 0o020 and not fixed and not _is_alone(seen.st_uid, seen.st_gid):
        group = _group_of(seen.st_gid)
        why = f"the group {group} may write it (mode {mode & 0o7777:04o})"
        mend = f"chmod g-w {node}"
    return why, mend


def _has_acl(where: str) -> bool:
    """Whether the group's bits are the mask of an access list."""
    try:
        return bool(os.getxattr(where, _ACL))
    except OSError:
        return False


def _is_alone(uid: int, gid: int) -> bool:
    """Whether a group is its user's own, as Debian and others make one for each."""
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    alone = set(group.gr_mem) <= {user.pw_name}
    return alone and user.pw_gid == gid and user.pw_name == group.gr_name


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _group_of(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
