"""ceph.conf as librados reads it: the answers are those of ceph-conf 16.2.15, recorded."""

import time

import pytest

from fabfile.resources import librados

TEXT = """[global]
keyring = /g
[client]
 keyring = "/c a" ; x
[ client.volumes ]
key ring = /spaced
keyring = /trimmed
[client.images]
keyring=/i\\#x
key-ring = /dash
Keyring = /upper
[client.b]
keyring = /a, \\
   /b
[client.q]
keyring = '/q'  # c
[client.e]
keyring =
[client.h]
keyring = a"b"
[client.d]
keyring = /1
[global]
mon   host = 10.0.0.1
mon-host = 10.0.0.2
[client.d]
keyring = /2
"""
ANSWERS = {
    "volumes": ("client", "/c a"),
    "images": ("client.images", "/i#x"),
    "b": ("client.b", "/a,     /b"),
    "q": ("client.q", "/q"),
    "e": ("client.e", ""),
    "h": ("client.h", 'a"b"'),
    "d": ("client.d", "/2"),
    "z": ("client", "/c a"),
}


@pytest.mark.parametrize("client", ANSWERS)
def test_a_keyring_is_looked_up_as_ceph_looks_it_up(client):
    assert librados.setting(TEXT, client, "keyring") == ANSWERS[client]


def test_blanks_in_a_name_are_underscores_and_hyphens_are_not():
    assert librados.setting(TEXT, "volumes", "mon_host") == ("global", "10.0.0.1")
    assert librados.setting("[global]\nmon-host = 10.0.0.2\n", "volumes", "mon_host") is None


@pytest.mark.parametrize(
    "value, expected",
    [
        ("/etc/ceph/$cluster.$name.keyring", "/etc/ceph/ceph.client.volumes.keyring"),
        ("/${type}/${id}-$host", "/client/volumes-ctl"),
        ("/$pid.$nothing/$", "/$pid.$nothing/$"),
    ],
)
def test_metavariables(value, expected):
    words = librados.words_of("ceph", "volumes", "ctl.example.org")
    assert librados.expanded(value, words) == expected


@pytest.mark.parametrize(
    "listed", ["/a,/b", "/a;/b", "/a /b", " /a , /b ", "/a,\n /b", "/a=/b", "/a,,/b,"]
)
def test_lists(listed):
    assert librados.files(listed, {}) == ("/a", "/b")


@pytest.mark.parametrize(
    "text",
    [
        " " * 200_000,
        "a " * 100_000,
        " \t" * 100_000 + "=",
        "[a" * 100_000,
        "a" + " " * 200_000 + "b",
    ],
    ids=["blanks", "words", "no-name", "brackets", "a-gap"],
)
def test_a_file_of_one_odd_line_takes_no_time(text):
    """Seconds of CPU: the time of such a line grows with its length, not with its square."""
    began = time.process_time()
    librados.lines(text)
    assert time.process_time() - began < 3
