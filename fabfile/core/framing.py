"""What comes from an agent, taken apart: its messages, and bytes as they are.

    <nonce> {"t": "read", ...}\\n                a message
    <nonce> {"t": "bytes", "size": N}\\n N bytes  N bytes, whatever they are

Knows nothing of how they come; what else stands there is noise.
"""

from __future__ import annotations

from collections.abc import Iterator

from fabfile.core import strict_json
from fabfile.core.contract import Json

LARGEST_PIECE = 4 * 1024 * 1024


class Frames:
    """The agent's words in a stream that others may have written into as well.

    noise: bytes of whole lines that were not its own.
    """

    def __init__(self, nonce: bytes) -> None:
        self._nonce, self._rest = nonce, bytearray()
        self._pieces: list[bytes] = []
        self._wanted = 0
        self.noise = 0

    @property
    def speaking(self) -> bool:
        """Whether the agent has begun something that is not whole yet."""
        return bool(self._wanted) or self._rest.startswith(self._nonce)

    @property
    def longest_noise(self) -> int:
        """The longest stretch, in bytes, of what is no message."""
        return max(self.noise, len(self._rest))

    def feed(self, data: bytes) -> Iterator[dict[str, Json]]:
        """The messages that are whole now; {'t': 'bytes', 'data': ...} for bytes."""
        while data:
            if self._wanted:
                data = self._filled(data)
                if self._wanted:
                    return
                yield {"t": "bytes", "data": b"".join(self._pieces)}
                self._pieces = []
                continue
            line, found, rest = data.partition(b"\n")
            self._rest += line
            if not found:
                return
            whole, data = bytes(self._rest), rest
            self._rest.clear()
            message = self._message(whole)
            if message and message["t"] == "bytes" and _is_size(message.get("size")):
                self._wanted = message["size"]
            elif message:
                yield message

    def _filled(self, data: bytes) -> bytes:
        """Takes what belongs to the bytes under way; what is left over."""
        piece = data[: self._wanted]
        self._pieces.append(piece)
        self._wanted -= len(piece)
        return data[len(piece) :]

    def _message(self, line: bytes) -> dict[str, Json] | None:
        """The agent's message in a line; None for what somebody else printed there."""
        _, found, text = line.partition(self._nonce + b" ")
        try:
            message = strict_json.loads(text) if found else None
        except ValueError:
            message = None
        if isinstance(message, dict) and "t" in message:
            return message
        self.noise += len(line) + 1
        return None


def _is_size(value: object) -> bool:
    return type(value) is int and 0 < value <= LARGEST_PIECE
