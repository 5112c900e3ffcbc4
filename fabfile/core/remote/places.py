"""What a path names, folder by folder, whoever may write there.

Root works in folders of services' users (/etc/nova is nova's), where a name can be another
thing a moment later.  So a path is walked once, from the root folder down, and what is done is
done by the open folder's handle; no name is looked up a second time.

A link that only root can have put where it is counts, as everywhere.  In a folder of somebody
else a link is followed to a name beside it, and nowhere else: it could lead to any file.

Names are bytes for the system: on Python 3.6 the locale would decide what a text may hold.
Python 3.6, standard library alone.
"""

import errno
import os
import stat

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTRY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST_LINKS = 16


class Refused(Exception):
    """What a host will not do; the message says why."""


def as_bytes(text):
    """A text as the system has it, whatever the locale."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def from_bytes(data):
    """What the system gave as bytes, as a text that as_bytes() turns into the same bytes."""
    return data.decode("utf-8", "surrogateescape")


def as_text(name):
    """A name that the system gave, as it may be shown and sent."""
    return os.fsencode(name).decode("utf-8", "replace")


def native(text):
    """A text for those of Python's functions that take no bytes: it is given as it is."""
    return os.fsdecode(as_bytes(text))


def _is_ours(seen):
    return seen.st_uid in (0, os.geteuid())


def same(one, other):
    """Whether both are one and the same file."""
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


class Place:
    """A name in an open folder.

    path: as it was asked for, for messages; folder: the handle of the folder; name: in bytes;
    held: whether nobody but root can have chosen which folder that is.
    """

    def __init__(self, path, folder, name, held, links=0):
        self.path, self.folder, self.name, self.held = path, folder, name, held
        self._links = links

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.close()

    def close(self):
        if self.folder is not None:
            os.close(self.folder)
            self.folder = None

    def by_root(self, seen):
        """Whether only root can have put this entry here."""
        folder = os.fstat(self.folder)
        if not (self.held and _is_ours(folder)):
            return False
        # A group's right to write is what an access list may grant at most: one look is enough.
        alone = not folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        return alone or bool(folder.st_mode & stat.S_ISVTX) and _is_ours(seen)

    def look(self):
        """The entry's own state, or None where nothing is."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _pinned(self):
        """(handle, state) of the entry itself, link or not; the handle stands for it alone."""
        handle = os.open(self.name, _ENTRY, dir_fd=self.folder)
        return handle, os.fstat(handle)

    def _entered(self):
        """The folder of that name, in which this place's next name is looked for."""
        handle, seen = self._pinned()
        try:
            if not stat.S_ISLNK(seen.st_mode):
                self._into(os.open(b".", _FOLDER, dir_fd=handle), self.by_root(seen))
                return []
            return self._followed(handle, seen)
        finally:
            os.close(handle)

    def _into(self, folder, held):
        os.close(self.folder)
        self.folder, self.held = folder, held

    def _followed(self, handle, seen):
        """The names that a link stands for, from here or (then this is at the top) from there."""
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self.path)
        target = os.readlink(b"", dir_fd=handle)
        if not self.by_root(seen) and b"/" in target:
            said = (self.path, as_text(self.name), as_text(target))
            raise Refused(
                "%s: %s is a link to %s, in a folder that is not root's alone: it is not followed, "
                "as it could lead anywhere; put the file itself there" % said
            )
        if target.startswith(b"/"):
            self._into(os.open(b"/", _FOLDER), True)
        return _names(target)

    def _walk(self, names):
        """Goes down all names but the last, which is this place's then."""
        names = list(names)
        while names:
            self.name = names.pop(0)
            if names:
                names = self._entered() + names
        return self

    def target(self):
        """Becomes the place behind it, where a link is here: one link, no chain of them."""
        seen = self.look()
        if seen is None or not stat.S_ISLNK(seen.st_mode):
            return self
        try:
            handle, seen = self._pinned()
        except FileNotFoundError:
            return self
        try:
            if not stat.S_ISLNK(seen.st_mode):
                return self
            names = self._followed(handle, seen) or [b"."]
        finally:
            os.close(handle)
        return self._walk(names)

    # Files

    def open(self):
        """(handle, state) of the file that is here, or None where nothing is.

        Raises Refused for another kind of thing, and for a file that has other names too where
        somebody else may have given it this one: it could be any file of root's.
        """
        seen = self.look()
        if seen is None:
            return None
        if stat.S_ISLNK(seen.st_mode):
            raise Refused("%s: a link to a link; expected a file" % self.path)
        self._expect_file(seen)
        try:
            handle = os.open(self.name, _READ, dir_fd=self.folder)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                raise self.replaced()
            raise
        try:
            found = os.fstat(handle)
            self._expect_file(found)
            if found.st_nlink > 1 and not self.by_root(found):
                raise Refused(
                    "%s: this file has %d names (hard links), and somebody else than root may "
                    "have given it this one; copy it, and put the copy there"
                    % (self.path, found.st_nlink)
                )
        except BaseException:
            os.close(handle)
            raise
        return handle, found

    def _expect_file(self, seen):
        if not stat.S_ISREG(seen.st_mode):
            raise Refused("%s: not a regular file" % self.path)

    def replaced(self):
        """What is raised where something else is here than a moment ago."""
        return Refused(
            "%s: somebody puts other things there at this moment; run it again when that is over"
            % self.path
        )

    def sync(self):
        """Makes what was renamed in the folder last."""
        handle = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.folder)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def names(self, of=b"."):
        """Each name in the folder, or in the one of that name in it; in bytes, in no order.

        One at a time: whose folder it is may fill it.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(of, flags, dir_fd=self.folder)
        try:
            # By its number in /proc: Python 3.6 has no scandir() of a handle.
            with os.scandir(b"/proc/self/fd/%d" % handle) as entries:
                for entry in entries:
                    yield entry.name
        finally:
            os.close(handle)


def _names(path):
    return [name for name in path.split(b"/") if name not in (b"", b".")]


def place(path):
    """Where a path leads, its last name not followed.  Raises OSError, or Refused."""
    names = _names(as_bytes(path))
    if not path.startswith("/") or "\0" in path:
        raise Refused("%r: expected an absolute path" % path)
    made = Place(path, os.open(b"/", _FOLDER), b".", True)
    try:
        return made._walk(names)
    except BaseException:
        made.close()
        raise


def target(path):
    """Where a path leads, a link at its end followed.  Raises OSError, or Refused."""
    made = place(path)
    try:
        return made.target()
    except BaseException:
        made.close()
        raise
