"""What an operator pipes into head: a reader that leaves ends no run, and makes no traceback.

Knows standard output and standard error as files; nothing of what is said.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SIGPIPES = 141
"""The exit code by which a shell knows a program that wrote to nobody: 128 + SIGPIPE."""


class _Stream(io.FileIO):
    """A file whose reader may leave: what is said from then on goes nowhere.

    A run that changes hosts goes on to its end: its journal has all that was not read.
    """

    left = False

    def write(self, data: ReadableBuffer, /) -> int:
        """As FileIO's, except that nobody has to read."""
        try:
            return super().write(data)
        except BrokenPipeError:
            _Stream.left = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes


def survive_readers() -> None:
    """From now on this process's own output may be left unread; it then ends with SIGPIPES.

    A stream that somebody has replaced (a test) is left alone.
    """
    if sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        return
    for name in ("stdout", "stderr"):
        old = getattr(sys, name)
        if not isinstance(old, io.TextIOWrapper):
            continue
        old.flush()
        raw = _Stream(old.fileno(), "w", closefd=False)
        new = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=old.encoding,
            errors=old.errors,
            line_buffering=old.line_buffering,
            write_through=old.write_through,
        )
        setattr(sys, name, new)
    atexit.register(_end)


def _end() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:  # begun with >&-
                stream.flush()
    if _Stream.left:
        os._exit(SIGPIPES)
