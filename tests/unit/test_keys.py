"""When a key was made, as its first letters say; nothing of a key besides is read."""

import base64
import re
import struct

import pytest

from fabfile.doctor import keys, observation

from .clouds import MADE, said
from .clouds import looked as looked_at
from .states import site


def key(made, kind=1):
    """A key as CryptoKey::encode writes it, with a secret of ones."""
    return base64.b64encode(struct.pack("<hIIh", kind, made, 5, 16) + b"\1" * 16).decode()


def heads(*listed):
    """What the question of a doctor keeps of `ceph auth list --format json`."""
    text = "".join(f'{{"entity":"{who}","key":"{text}","caps":{{}}}}' for who, text in listed)
    (read,) = [r for r in observation.reads(site(), site().admin) if r.id == "ceph.kinds"]
    return "\n".join(re.findall(read.args["only"], text))


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize(
    "made, told", [(MADE, {"volumes": MADE}), (4000000000, {"volumes": 4000000000}), (0, {})]
)
def test_a_key_says_when_it_was_made(kind, made, told):
    out = heads(("client.other", key(1)), ("client.volumes", key(made, kind)), ("mon.", key(2)))

    def change(cloud):
        cloud["ceph01"]["ceph.kinds"] = said(out)

    assert keys.made(site(), looked_at(change)) == told


def test_nothing_of_the_secret_is_read():
    assert heads(("client.volumes", key(MADE))).endswith(f'"key":"{key(MADE)[:8]}')
    assert base64.b64decode(key(MADE)[:8]) == struct.pack("<hI", 1, MADE)


def test_nothing_is_known_where_the_cluster_was_not_asked():
    def change(cloud):
        del cloud["ceph01"]["ceph.kinds"]

    assert keys.made(site(), looked_at(change)) == {}
