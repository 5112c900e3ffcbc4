"""The tar inside a backup, read as strictly as it is written: names, sizes and kinds bounded.

Python's tarfile reads whatever a header announces into memory, and knows kinds of members that no
backup has.  Python 3.6, standard library alone.
"""

import tarfile

from . import transfer
from .processes import Failed

BLOCK = tarfile.BLOCKSIZE
_LONGEST_NAME = 8192


class Member:
    """One member: its name, its type as tar has it, its size; its content by read() or pieces()."""

    def __init__(self, info, name, stream):
        self.name, self.type, self.size = name, info.type, info.size
        self._stream = stream

    def read(self, most):
        """All of it.  Raises Failed where it is larger."""
        if self.size > most:
            raise Failed("the backup is broken: %s has more than %d bytes" % (self.shown, most))
        return b"".join(self.pieces())

    def pieces(self):
        """Its content as it comes, and what fills its last block."""
        left = self.size
        while left:
            data = transfer.whole(self._stream, min(left, transfer.PIECE))
            left -= len(data)
            yield data
        transfer.whole(self._stream, -self.size % BLOCK)

    @property
    def shown(self):
        """Its name on one line."""
        return "".join(c if c.isprintable() else "?" for c in self.name[:200])


def members(stream):
    """Each member in its order; the content of one is read before the next is asked for.

    Raises Failed for what is no tar of a backup's, ends too early or goes on after its end.
    """
    longer = None
    while True:
        block = transfer.whole(stream, BLOCK)
        if block == bytes(BLOCK):
            break
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.TarError as error:
            raise Failed("the backup is broken: %s" % error)
        if info.size < 0:
            raise Failed("the backup is broken: a member of %d bytes" % info.size)
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            data = Member(info, "a long name", stream).read(_LONGEST_NAME)
            if info.type == tarfile.GNUTYPE_LONGNAME:
                longer = data.split(b"\0")[0].decode("utf-8", "surrogateescape")
            continue
        yield Member(info, longer or info.name, stream)
        longer = None
    if longer or transfer.whole(stream, BLOCK) != bytes(BLOCK) or stream.read(1):
        raise Failed("the backup is broken: something follows its end")
