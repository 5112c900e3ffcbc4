"""Messages and bytes, however a channel cuts them."""

import pytest

from fabfile.core.framing import Frames

NONCE = b"\x1enonce"
PIECE = bytes(range(256)) + b"\n" + NONCE + b' {"t": "end"}\n'


def said(text):
    return NONCE + b" " + text + b"\n"


STREAM = (
    b"noise\n"
    + said(b'{"t": "read", "id": "x", "value": 1}')
    + said(b'{"t": "bytes", "size": %d}' % len(PIECE))
    + PIECE
    + said(b'{"t": "beat"}')
    + b"more noise\n"
    + said(b'{"t": "end"}')
)


@pytest.mark.parametrize("size", [1, 2, 5, 64, 10**6])
def test_bytes_are_not_taken_for_messages(size):
    frames, found = Frames(NONCE), []
    for at in range(0, len(STREAM), size):
        found += frames.feed(STREAM[at : at + size])
    assert [message["t"] for message in found] == ["read", "bytes", "beat", "end"]
    assert found[1]["data"] == PIECE
    assert frames.noise == len(b"noise\nmore noise\n")
    assert not frames.speaking


@pytest.mark.parametrize("size", [b"0", b"-1", b"99999999999", b'"7"', b"null"])
def test_a_size_that_cannot_be_meant_is_a_message_and_no_bytes(size):
    frames = Frames(NONCE)
    (message,) = frames.feed(said(b'{"t": "bytes", "size": %s}' % size))
    assert "data" not in message


def test_something_begun_counts_as_speaking():
    frames = Frames(NONCE)
    assert list(frames.feed(said(b'{"t": "bytes", "size": 5}') + b"ab")) == []
    assert frames.speaking
    (message,) = frames.feed(b"cde")
    assert message["data"] == b"abcde"
    assert not frames.speaking
    assert list(frames.feed(NONCE[:3])) == []
    assert frames.longest_noise == len(b"") + 3


def test_no_depth_of_brackets_is_a_message():
    frames = Frames(NONCE)
    assert list(frames.feed(said(b"[" * 200_000) + said(b'{"t": "end"}'))) == [{"t": "end"}]
