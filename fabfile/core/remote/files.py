"""Reads files and writes them whole, on a host.

Knows how a write survives a full disk, a crash and a reader in the middle: a
temporary file in the same folder, owner and mode before the first byte, fsync,
rename.  Does not know what any file is for.  Python 3.6, standard library alone.
"""

import errno
import grp
import os
import pwd
import stat
import subprocess

try:
    from _sha256 import sha256 as sha256_of
except ImportError:  # hashlib loads OpenSSL for it, a tenth of an agent's start
    from hashlib import sha256 as sha256_of

LARGEST = 16 * 1024 * 1024
PREFIX, SUFFIX = ".stackrbd-", ".new"


class Refused(Exception):
    """What a host will not do; the message says why."""


def sha256(data):
    return sha256_of(data).hexdigest()


def resolved(path):
    """The file behind a path: one symbolic link is followed, no chain.

    Raises Refused for anything that is not a regular file.
    """
    target = path
    if os.path.islink(path):
        target = os.path.join(os.path.dirname(path), os.readlink(path))
        if os.path.islink(target):
            raise Refused("%s: a link to a link; expected a file" % path)
    if os.path.lexists(target) and not os.path.isfile(target):
        raise Refused("%s: not a regular file" % path)
    return target


def read(path):
    """A file's bytes, or None where there is none."""
    target = resolved(path)
    try:
        with open(target, "rb") as stream:
            data = _bounded(stream)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    if len(data) > LARGEST:
        raise Refused("%s: larger than %d bytes" % (path, LARGEST))
    return data


def _bounded(stream):
    """At most a byte more than LARGEST, in pieces: the kernel refuses to fill a buffer of
    4 MiB or more from a file below /proc/sys (ENOMEM)."""
    pieces, size = [], 0
    while size <= LARGEST:
        piece = stream.read(65536)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _name(table, number):
    try:
        return table(number)[0]
    except KeyError:
        return str(number)


def describe(path):
    """Kind, mode ('0640'), owner and group of a path, or None where nothing is."""
    try:
        seen = os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise
    kind = "directory" if stat.S_ISDIR(seen.st_mode) else "file"
    return {
        "kind": kind if stat.S_ISDIR(seen.st_mode) or stat.S_ISREG(seen.st_mode) else "other",
        "mode": "%04o" % stat.S_IMODE(seen.st_mode),
        "owner": _name(pwd.getpwuid, seen.st_uid),
        "group": _name(grp.getgrgid, seen.st_gid),
        "mtime": seen.st_mtime,
    }


def _owner_ids(owner, group):
    try:
        uid = pwd.getpwnam(owner).pw_uid
        gid = grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise Refused("no such user or group here: %s" % error.args[0])
    return uid, gid


def sync_folder(path):
    """Makes what was renamed in a folder last."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _keep_attributes(source, target):
    """Owner, mode, ACL and extended attributes of the file being replaced."""
    subprocess.run(
        ["cp", "--attributes-only", "--preserve=all", "--", source, target],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _clear_leftovers(folder):
    """What a run that was killed left; the host's lock is held, so nobody uses it."""
    for name in os.listdir(folder):
        if name.startswith(PREFIX) and name.endswith(SUFFIX):
            os.unlink(os.path.join(folder, name))


def validate(command, path):
    """Runs a checking command on a file not yet in place; Refused if it objects."""
    argv = [path if word == "{}" else word for word in command]
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").replace(path, "the new file")
        raise Refused("%s objects: %s" % (argv[0], said.strip()[-500:]))


def _beside(folder):
    """(handle, path) of a new file that is nobody else's; tempfile is slow to import."""
    path = os.path.join(folder, PREFIX + os.urandom(8).hex() + SUFFIX)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600), path


def write(path, data, mode=None, owner=None, group=None, check=None):
    """Puts data in place of a file, whole or not at all.

    mode, owner, group: of the new file; left out, those of the old file.
    check: called with the new file's path before the rename; raises Refused.
    Raises Refused or OSError, with the old file untouched and nothing left behind.
    """
    target = resolved(path)
    folder = os.path.dirname(target)
    _clear_leftovers(folder)
    handle, temporary = _beside(folder)
    try:
        if os.path.exists(target):
            _keep_attributes(target, temporary)
        if mode is not None:
            os.fchown(handle, *_owner_ids(owner, group))
            os.fchmod(handle, int(mode, 8))
        elif not os.path.exists(target):
            raise Refused("%s: there is no such file" % path)
        with os.fdopen(os.dup(handle), "wb") as stream:
            stream.write(data)
        os.fsync(handle)
        if check:
            check(temporary)
        os.rename(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(handle)
    sync_folder(folder)


def attributes(path, mode, owner, group):
    """Gives a file or folder its owner and mode; the content stays."""
    os.chown(path, *_owner_ids(owner, group))
    os.chmod(path, int(mode, 8))


def folder(path, mode, owner, group):
    """Makes a folder with owner and mode; an existing one gets them."""
    if not os.path.isdir(path):
        os.mkdir(path, 0o700)
    attributes(path, mode, owner, group)


def exchange(path, new, old):
    """A folder in another's place, by two renames; OSError with everything as it was."""
    os.rename(path, old)
    try:
        os.rename(new, path)
    except OSError:
        os.rename(old, path)
        raise
    sync_folder(os.path.dirname(path))


def exchange_contents(path, new, old):
    """The same where the folder itself cannot be renamed: a mount, or an overlay's lower one.

    What was there is copied whole before anything is taken away.
    """
    import shutil  # noqa: PLC0415 (slow to load, seldom needed)

    beside = old + SUFFIX
    shutil.rmtree(beside, ignore_errors=True)
    argv = ["cp", "-a", "--", path, beside]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode:
        shutil.rmtree(beside, ignore_errors=True)
        raise Refused("%s: %s" % (old, done.stderr.decode("utf-8", "replace").strip()[-300:]))
    subprocess.run(["sync", "-f", beside])
    os.rename(beside, old)
    sync_folder(os.path.dirname(old))
    for name in os.listdir(path):
        entry = os.path.join(path, name)
        if os.path.isdir(entry) and not os.path.islink(entry):
            shutil.rmtree(entry)
        else:
            os.unlink(entry)
    for name in os.listdir(new):
        shutil.move(os.path.join(new, name), os.path.join(path, name))
    os.rmdir(new)
    subprocess.run(["sync", "-f", path])


def keep(store, data):
    """Puts old content into a folder of root alone, named by its sha256."""
    os.makedirs(store, mode=0o700, exist_ok=True)
    path = os.path.join(store, sha256(data))
    if not os.path.exists(path):
        handle = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(path + ".new", path)
    return path


def remove(path):
    """Takes a file away, and makes that last."""
    target = resolved(path)
    os.unlink(target)
    sync_folder(os.path.dirname(target))


def no_folder(path):
    """Takes a folder away, if it is empty."""
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise
