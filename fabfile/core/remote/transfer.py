"""Streams of bytes between this host and whoever sends its work: never whole in memory.

Knows pieces, and programs that they run through; does not know what they hold.
Python 3.6, standard library alone.
"""

import os
import threading

from .processes import Failed

PIECE = 256 * 1024
LONGEST = 7 * 86400
"""Seconds: a large database takes hours."""
AHEAD = 6
"""Pieces that are asked for before the first of them is used up: a slow line stays full."""


class Gone(Exception):
    """Whoever sends the work has left."""


class _Pump:
    """A thread of its own that moves bytes."""

    def __init__(self):
        self._error = None
        self.size = 0
        self._thread = threading.Thread(target=self._pump)
        self._thread.daemon = True
        self._thread.start()


class Out(_Pump):
    """What a program writes goes out as bytes."""

    def __init__(self, stream, talk, gone):
        self._stream, self._talk, self._gone = stream, talk, gone
        _Pump.__init__(self)

    def _pump(self):
        try:
            while True:
                data = os.read(self._stream.fileno(), PIECE)
                if not data or self._gone():
                    return
                self._talk.send_bytes(data)
                self.size += len(data)
        except OSError as error:
            self._error = error

    def join(self):
        """Waits until all has gone out.  Raises Gone where nobody takes it."""
        self._thread.join()
        if self._error or self._gone():
            raise Gone()


class In(_Pump):
    """The bytes that come in, into a program; asks for each piece."""

    def __init__(self, target, talk, asker):
        self._target, self._talk, self._asker = target, talk, asker
        _Pump.__init__(self)

    def _pump(self):
        try:
            for _ in range(AHEAD):
                self._talk.say(t="want")
            while True:
                data = self._asker.piece()
                if not data:
                    break
                write_all(self._target, data)
                self.size += len(data)
                self._talk.say(t="want")
        except OSError as error:
            self._error = error  # the program has ended; its own words say why
        self._target.close()

    def join(self):
        """Waits for the end.  Raises Gone where whoever sends it has left."""
        self._thread.join()
        if self._asker.gone():
            raise Gone()


def write_all(stream, data):
    """All of it into a pipe, which may take less at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(stream.fileno(), view) :]


def pieces(stream):
    """What a program writes, as it comes."""
    while True:
        data = os.read(stream.fileno(), PIECE)
        if not data:
            return
        yield data


class Cut(Failed):
    """A stream that ended before its time."""


def whole(stream, size):
    """So many bytes of a pipe.  Raises Cut where it ends before."""
    pieces = []
    while size:
        data = stream.read(min(size, PIECE))
        if not data:
            raise Cut("the backup ends too early")
        pieces.append(data)
        size -= len(data)
    return b"".join(pieces)
