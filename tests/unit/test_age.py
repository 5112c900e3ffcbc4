"""age's header: opened with the operator's key, sealed anew for a key of one time."""

import base64
import time

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
    again = age.reseal(data, [age.new_identity()[0], identity], "r")
    assert again.skip == skip
    assert data[skip:] == b"the rest, as it is"
    assert again.identity != identity
    third = age.reseal(again.header + b"x", [again.identity], "r")
    assert third.identity != again.identity
    with pytest.raises(BadInput, match="is sealed for 1 other keys"):
        age.reseal(again.header, [identity], "r")


def test_stanzas_of_other_kinds_are_passed_over():
    data, identity, _ = record()
    grease = b"-> grease-x a b\n" + base64.b64encode(b"g" * 48) + b"\n\n"
    head = data.replace(b"-> X25519", grease + b"-> X25519", 1)
    with pytest.raises(BadInput, match="its header was altered"):  # the MAC covers them
        age.reseal(head, [identity], "r")


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
        age.reseal(harm(data), [identity], "r")


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


INTRO = b"age-encryption.org/v1\n"
X25519 = b"-> X25519 " + b"A" * 43 + b"\n"
BODY = b"A" * 43 + b"\n"
MAC = b"--- " + b"A" * 43 + b"\n"
FULL = b"A" * 64 + b"\n"
FAT = {
    "a body without an end": INTRO + X25519 + FULL * 400_000,
    "a body of 20 MB": INTRO + X25519 + FULL * 300_000 + b"\n" + MAC,
    "a line without an end": INTRO + b"-> X25519 " + b"A" * 30_000_000,
    "a body's line without an end": INTRO + X25519 + b"A" * 30_000_000,
    "a MAC without an end": INTRO + X25519 + BODY + b"--- " + b"A" * 30_000_000,
    "a MAC that is cut": INTRO + X25519 + BODY + MAC[:-1],
    "a word a byte": INTRO + b"-> X25519" + b" A" * 15_000_000 + b"\n" + BODY + MAC,
    "100,000 recipients": INTRO + (X25519 + BODY) * 100_000 + MAC,
    "21 recipients": INTRO + (X25519 + BODY) * 21 + MAC,
    "100,000 of other kinds": INTRO + b"-> x\n\n" * 100_000 + MAC,
    "no end of lines": INTRO + b"\n" * 30_000_000,
    "nothing but an intro": INTRO,
    "a recipient without a body": INTRO + X25519 + MAC,
    "a recipient without a share": INTRO + b"-> X25519\n" + BODY + MAC,
    "a share that is no base64": INTRO + b"-> X25519 !!!!\n" + BODY + MAC,
    "a share of another length": INTRO + b"-> X25519 AAAA\n" + BODY + MAC,
    "a body of another length": INTRO + X25519 + b"AAAA\n" + MAC,
    "a share of the low order": INTRO + X25519 + BODY + MAC,
    "an arrow alone": INTRO + b"->\n\n" + MAC,
    "a version to come": INTRO.replace(b"v1", b"v2") + X25519 + BODY + MAC,
    "a header in armour": b"-----BEGIN AGE ENCRYPTED FILE-----\n" + base64.b64encode(INTRO),
    "a passphrase": INTRO + b"-> scrypt " + b"A" * 22 + b" 18\n" + BODY + MAC,
    "a passphrase of many years": INTRO + b"-> scrypt " + b"A" * 22 + b" 62\n" + BODY + MAC,
    "a passphrase beside a key": INTRO + X25519 + BODY + b"-> scrypt A 1\n" + BODY + MAC,
}


@pytest.mark.parametrize("name", FAT)
def test_no_header_takes_long(name):
    identities = [age.new_identity()[0] for _ in range(age.MOST_RECIPIENTS)]
    began = time.process_time()
    with pytest.raises(BadInput) as stop:
        age.reseal(FAT[name], identities, "r")
    assert time.process_time() - began < 1.0
    assert "r: " in str(stop.value)
    if "passphrase" in name:
        assert "expected a recipient's key" in str(stop.value)


def test_a_header_of_as_many_recipients_as_there_may_be_opens_with_the_last():
    data, identity, skip = record()
    stanza = data[len(INTRO) : data.index(b"---")]
    other = X25519 + BODY
    head = INTRO + other * (age.MOST_RECIPIENTS - 1) + stanza + b"---"
    mac = base64.b64encode(age._mac(b"k" * 16, head)).rstrip(b"=")
    again = age.reseal(head + b" " + mac + b"\nrest", [identity], "r")
    assert again.skip == len(head) + 45


def test_every_cut_and_every_altered_byte_of_a_header_is_refused_in_words():
    data, identity, skip = record()
    for at in range(skip):
        with pytest.raises(BadInput):
            age.reseal(data[:at], [identity], "r")
        for bit in (1, 128):
            with pytest.raises(BadInput):
                age.reseal(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :], [identity], "r")


def test_more_keys_than_a_header_has_are_refused(tmp_path):
    lines = [age.new_identity()[0].reveal() for _ in range(age.MOST_RECIPIENTS + 1)]
    (tmp_path / "key").write_text("\n".join(lines))
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(BadInput, match="at most 20 keys, found 21"):
        age.load_identities(tmp_path / "key")
