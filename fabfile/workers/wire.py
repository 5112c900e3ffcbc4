"""Asks a dask scheduler over TLS, and reads answers in which nothing can be run.

Knows dask's frames and how a worker's answers are written as JSON.  dask's own client unpickles
what it hears: `deserializers=["msgpack"]` holds for '__Serialized__' alone, and a message's
'__Pickled__' and a worker's exception are loaded whatever it says (distributed/protocol/core.py,
2026.8).  So any worker could run code here.  This one reads msgpack and JSON alone, and not more
than MOST bytes.
"""

from __future__ import annotations

import inspect
import json
import socket
import ssl
import struct
import sys
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fabfile.core import contract, strict_json
from fabfile.core.contract import Json, Stop
from fabfile.workers import shard

MOST, MOST_FRAMES, MOST_TEXT = 256 << 20, 10_000, 4096
"""Bytes of an answer; frames of one; characters of what a worker says went wrong."""
PATIENCE = 120.0
"""Seconds for which the whole of a worker's answer is waited for."""


def _kinds(kind: type[Stop]) -> dict[str, type[Stop]]:
    found = {kind.__name__: kind}
    for below in kind.__subclasses__():
        if below.__module__ == contract.__name__:
            found |= _kinds(below)
    return found


async def answered(function: Any, *args: Any, dask_worker: Any = None) -> bytes:
    """On the worker: what a function of shard says, as JSON.  dask_worker: put in by dask."""
    try:
        said = function(dask_worker) if function is shard.here else function(*args)
        said = await said if inspect.isawaitable(said) else said
    except Exception as error:
        return json.dumps({"error": str(error) or type(error).__name__}).encode()
    return json.dumps({"said": _plain(said)}).encode()


def _plain(said: Any) -> Json:
    if not isinstance(said, shard.News):
        return said
    found = said.faults
    faults = None if found is None else {h: [type(f).__name__, str(f)] for h, f in found.items()}
    return {"said": said.said, "faults": faults, "warnings": said.warnings}


def heard(function: Any, data: bytes) -> Any:
    """What `answered` wrote.  Raises ConnectionError for anything else, and for an error there."""
    try:
        found = strict_json.loads(data, MOST)
    except ValueError:
        raise ConnectionError("its answer is not JSON") from None
    if not isinstance(found, dict) or not found:
        raise _Shape("an answer")
    if isinstance(found.get("error"), str):
        raise ConnectionError(_line(found["error"]))
    said = found.get("said")
    if function is shard.here:
        return _here(said)
    return _news(said) if function is shard.news else None


class _Shape(ConnectionError):
    def __init__(self, what: str) -> None:
        super().__init__(f"its answer has another shape: expected {what}")


def _here(said: Json) -> tuple[str, str]:
    if not (_is_texts(said) and len(said) == 2):
        raise _Shape("its name and edition")
    return _line(said[0]), _line(said[1])


def _news(said: Json) -> shard.News:
    if not isinstance(said, dict) or not _is_texts(said.get("warnings")):
        raise _Shape("news")
    heard, faults = said.get("said"), said.get("faults")
    if not isinstance(heard, list) or not all(_is_said(one) for one in heard):
        raise _Shape("hosts and their messages")
    if faults is not None and not (
        isinstance(faults, dict)
        and all(_is_texts(f) and len(f) == 2 and f[0] in _KINDS for f in faults.values())
    ):
        raise _Shape("hosts and their faults")
    ended = (
        None
        if faults is None
        else {h: _KINDS[k](said[:MOST_TEXT]) for h, (k, said) in faults.items()}
    )
    return shard.News([(host, m) for host, m in heard], ended, tuple(said["warnings"]))


def _is_texts(found: Json) -> bool:
    return isinstance(found, list) and all(isinstance(one, str) for one in found)


def _is_said(one: Json) -> bool:
    pair = isinstance(one, list) and len(one) == 2
    return pair and isinstance(one[0], str) and isinstance(one[1], dict) and "t" in one[1]


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:MOST_TEXT])


_KINDS = _kinds(Stop)


class Scheduler:
    """One scheduler, by its address; each question has a connection of its own."""

    def __init__(self, address: str, ca: str, cert: str, key: str, timeout: float) -> None:
        """Raises OSError (ssl's are) for files that are no certificates."""
        parts = urlsplit(address)
        self._at, self._timeout = (parts.hostname or "", parts.port or 0), timeout
        # dask's certificates are checked against the authority, not against names.
        self._context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
        self._context.check_hostname = False
        self._context.load_cert_chain(cert, key)

    def workers(self) -> set[str]:
        """The addresses of those that are there.  Raises OSError."""
        found, _ = self._asked({"op": "ncores"}, self._timeout)
        return {one for one in found if isinstance(one, str)}

    def run(self, worker: str, function: Any, *args: Any) -> bytes:
        """The bytes that a worker's function returned.  Raises OSError."""
        from distributed.protocol import pickle  # noqa: PLC0415 (an extra, slow to load)

        called = {"op": "run", "function": pickle.dumps(answered), "wait": True}
        called |= {"args": pickle.dumps((function, *args)), "kwargs": pickle.dumps({})}
        asked = {"op": "broadcast", "msg": called, "workers": [worker], "on_error": "ignore"}
        answers, frames = self._asked(asked, PATIENCE)
        answer = answers.get(worker)
        if not isinstance(answer, dict):
            raise ConnectionError("it did not answer")
        if answer.get("status") != "OK":
            raise ConnectionError(_line(str(answer.get("exception_text", "it failed"))))
        return _result(answer.get("result"), frames)

    def _asked(
        self, message: Mapping[str, Any], patience: float
    ) -> tuple[dict[Any, Any], list[bytes]]:
        """(what was answered, all frames of it).  Raises OSError."""
        with (
            socket.create_connection(self._at, timeout=self._timeout) as plain,
            self._context.wrap_socket(plain) as line,
        ):
            python = list(sys.version_info[:3])
            _write(line, {"compression": None, "python": python, "pickle-protocol": 5})
            _read(line, time.monotonic() + self._timeout)
            _write(line, {**message, "reply": True})
            return _answer(_read(line, time.monotonic() + patience))


def _answer(frames: list[bytes]) -> tuple[dict[Any, Any], list[bytes]]:
    found = _unpacked(frames[0])
    if not isinstance(found, dict):
        raise _Shape("a scheduler's answer")
    return found, frames


def _result(mark: Any, frames: list[bytes]) -> bytes:
    """The bytes of a result, whatever its header says that they are."""
    at = mark.get("__Serialized__") if isinstance(mark, dict) else None
    if not isinstance(at, int) or not 0 < at < len(frames):
        raise _Shape("bytes")
    header = _unpacked(frames[at])
    number = header.get("num-sub-frames") if isinstance(header, dict) else None
    if not isinstance(number, int) or not 0 <= number < len(frames) - at:
        raise _Shape("bytes")
    if any(header.get("compression") or ()):
        raise ConnectionError("its answer is compressed: set distributed.comm.compression: false")
    return b"".join(frames[at + 1 : at + 1 + number])


def _unpacked(frame: bytes) -> Any:
    import msgpack  # noqa: PLC0415 (comes with dask)

    try:
        return msgpack.loads(frame, strict_map_key=False, raw=False)
    except Exception:  # msgpack's have no common class
        raise ConnectionError("its answer is not msgpack") from None


def _write(line: ssl.SSLSocket, message: Mapping[str, Any]) -> None:
    import msgpack  # noqa: PLC0415 (comes with dask)

    frame = msgpack.dumps(message, use_bin_type=True)
    line.sendall(struct.pack("<QQQ", 16 + len(frame), 1, len(frame)) + frame)


def _read(line: ssl.SSLSocket, until: float) -> list[bytes]:
    _, number = struct.unpack("<QQ", _exactly(line, 16, until))
    if not 0 < number <= MOST_FRAMES:
        raise _Shape(f"at most {MOST_FRAMES} frames")
    lengths = struct.unpack(f"<{number}Q", _exactly(line, 8 * number, until))
    if sum(lengths) > MOST:
        raise _Shape(f"at most {MOST} bytes")
    return [_exactly(line, length, until) for length in lengths]


def _exactly(line: ssl.SSLSocket, length: int, until: float) -> bytes:
    """So many bytes by then, however slowly they come.  Raises OSError."""
    found = bytearray()
    while len(found) < length:
        line.settimeout(max(0.001, until - time.monotonic()))
        more = line.recv(min(length - len(found), 1 << 20))
        if not more:
            raise ConnectionError("the connection to it ended")
        found += more
    return bytes(found)
