"""age's header: opened with the operator's key, sealed anew for a key of one time."""

import base64
import io

import pytest

from fabfile.backup import age
from fabfile.core.contract import BadInput, Secret

# Of the right form; its check letters are wrong.
KEY = "AGE-SECRET-KEY-1QYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSDK9VWV"


def record():
    """(a sealed file, the key that opens it, how long its header is)."""
    made = age._sealed(b"k" * 16, 0)
    return made.header + b"the rest, as it is", made.identity, len(made.header)


def test_a_key_is_written_as_age_writes_it(tmp_path):
    path = tmp_path / "keys" / "record.key"
    recipient = age.save_identity(path)
    assert recipient.startswith("age1") and len(recipient) == 62
    assert path.stat().st_mode & 0o777 == 0o600
    (identity,) = age.load_identities(path)
    assert identity.reveal().startswith("AGE-SECRET-KEY-1")
    assert "SECRET" not in repr(identity)
    with pytest.raises(BadInput, match="is there already"):
        age.save_identity(path)


def test_a_record_is_sealed_anew_and_opens_with_the_new_key_alone():
    data, identity, skip = record()
    stream = io.BytesIO(data)
    again = age.reseal(stream, [age.new_identity()[0], identity], "r")
    assert again.skip == skip == stream.tell()
    assert stream.read() == b"the rest, as it is"
    assert again.identity != identity
    third = age.reseal(io.BytesIO(again.header + b"x"), [again.identity], "r")
    assert third.identity != again.identity
    with pytest.raises(BadInput, match="is sealed for 1 other keys"):
        age.reseal(io.BytesIO(again.header), [identity], "r")


def test_stanzas_of_other_kinds_are_passed_over():
    data, identity, _ = record()
    grease = b"-> grease-x a b\n" + base64.b64encode(b"g" * 48) + b"\n\n"
    head = data.replace(b"-> X25519", grease + b"-> X25519", 1)
    with pytest.raises(BadInput, match="its header was altered"):  # the MAC covers them
        age.reseal(io.BytesIO(head), [identity], "r")


@pytest.mark.parametrize(
    "harm, cause",
    [
        (lambda data: b"x" + data, "expected a backup sealed by age"),
        (lambda data: b"", "expected a backup sealed by age"),
        (lambda data: data[:60], "its header is broken"),
        (lambda data: data.replace(b"--- ", b"--- A"), "its header"),
    ],
)
def test_what_is_no_header_is_said(harm, cause):
    data, identity, _ = record()
    with pytest.raises(BadInput, match=cause):
        age.reseal(io.BytesIO(harm(data)), [identity], "r")


@pytest.mark.parametrize(
    "text, mode, cause",
    [
        (None, 0o600, "no such file"),
        ("", 0o600, "expected AGE-SECRET-KEY-1"),
        ("ssh-ed25519 AAAA\n", 0o600, "are not supported"),
        (KEY[:-1] + "X\n", 0o600, "expected AGE-SECRET-KEY-1"),
        ("AGE-SECRET-KEY-1", 0o644, "others may read it"),
    ],
)
def test_a_key_that_is_none_is_refused(tmp_path, text, mode, cause):
    path = tmp_path / "key"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(BadInput, match=cause):
        age.load_identities(path)


def test_bech32_holds_every_bit():
    for number in range(40):
        private = bytes((number * 7 + i * 13) % 256 for i in range(32))
        text = age._bech32("age-secret-key-", private).upper()
        assert age._key_of(Secret(text)) == private
        wrong = text[:-1] + ("Q" if text[-1] != "Q" else "P")
        assert age._key_of(Secret(wrong)) is None
