"""Both kinds of cephx keys, wherever a key's form is known: CryptoKey::encode writes them so."""

import base64
import re

import pytest

from fabfile.core.contract import Secret
from fabfile.core.remote import processes
from fabfile.doctor import keys
from fabfile.resources import ceph_conf, client_limits, keyrings
from tests.lab import key_watcher

MADE = 1_750_000_000


def key(kind, size, secret=b"\xfb"):
    """A key of that type with a secret of so many bytes."""
    head = kind.to_bytes(2, "little") + MADE.to_bytes(4, "little") + bytes(4)
    return base64.b64encode(head + size.to_bytes(2, "little") + secret * size).decode()


AES, AES256K = key(1, 16), key(2, 32)


def test_what_the_forms_are():
    assert (AES[:2], len(AES)) == ("AQ", 40) and (AES256K[:2], len(AES256K)) == ("Ag", 60)


FORMS = {
    "aes": AES,
    "aes256k": AES256K,
    "0": key(1, 16, b"\0"),
    "0k": key(2, 32, b"\0"),
    # Whatever length a secret has: with no '=' at its end, with one, with two.
    **{f"{kind}-{size}": key(kind, size) for kind in (1, 2) for size in (16, 24, 32, 48, 64, 128)},
}


@pytest.mark.parametrize("one", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("words", ["{}", "x {} y", "key = {}", '"key":"{}"', "a\n{}\nb", "-k={}"])
def test_a_key_of_either_kind_is_seen_and_masked(one, words):
    text = words.format(one)
    assert key_watcher.KEY.search(text.encode())
    assert one not in processes.said(text) and one[3:20] not in processes.said(text)
    for masks in (keyrings.MASK, ceph_conf.CREDENTIALS[-1:]):
        assert one in {found for mask in masks for found in re.findall(mask, text)}


@pytest.mark.parametrize(
    "text",
    [
        "MIIDXTCCAkWgAwIBAgIJAKL0UG+mRKSzMA0GCSqGSIb3DQEBCwUAMEUxCzAJBgNV",
        "AQEBBQADggEPADCCAQoCggEBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4",
        "--gpu-preferences=WAAAAAAAAAAgAAAEAAAAAAAAAAAAAAAAAABgAAEAAAAAAAAAAAAAAAAAAAACAAAAAAAAAA",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCAAAAwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "client.AQuila", "AQ==", f"{AES[:16]} is the head of one", "Ag" + "x" * 20,
    ],
)  # fmt: skip
def test_what_is_no_key_is_none_for_the_watcher(text):
    assert not key_watcher.KEY.search(text.encode())


@pytest.mark.parametrize("one", [AES, AES256K], ids=["aes", "aes256k"])
def test_a_keyring_holds_a_key_of_either_kind(one):
    text = f'[client.volumes]\n\tkey = {one}\n\tcaps mon = "profile rbd"\n'
    assert keyrings.held(text, "volumes") == one


@pytest.mark.parametrize(("one", "new"), [(AES, False), (AES256K, True)], ids=["aes", "aes256k"])
def test_the_head_tells_the_kind_and_the_time_and_nothing_of_the_secret(one, new):
    told = re.findall(client_limits._HEAD, f'"entity": "client.volumes", "key": "{one}"')
    assert told[1].endswith(one[:8]) and one[8:] not in told[1]
    text = f'"entity":"client.volumes"\n"key":"{one[:8]}'
    assert bool(re.findall(client_limits._NEW_KIND, text)) is new
    assert keys._time(one[:8]) == MADE


def test_two_keys_that_begin_alike_are_two():
    other = key(2, 32, b"\xfc")
    assert AES256K[:16] == other[:16] and Secret(AES256K).fingerprint != Secret(other).fingerprint
