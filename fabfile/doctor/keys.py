"""How old the clients' keys are: cephx writes into each key when it was made.

A key's first six bytes are its type and that time; the secret begins after twelve.  Only
the eight letters of base64 that hold the six are read.  Source: CryptoKey::encode.
"""

from __future__ import annotations

import base64
import re

from fabfile.doctor.observation import Looked
from fabfile.model.site import Site

_ONE = r'"entity":\s*"client\.([^"]+)"\s*"key":\s*"([A-Za-z0-9+/]{8})'
_FIRST = 1072915200
"""2004: before Ceph was, no key was made; a key without a time says 1970."""


def made(site: Site, looked: Looked) -> dict[str, int]:
    """{client: Unix time} of the site's clients whose key says it."""
    answer = looked.seen(site.admin.name, "ceph.kinds")
    told = re.findall(_ONE, answer["out"]) if answer else []
    found = {name: _time(head) for name, head in told}
    return {name: found[name] for name in site.clients if found.get(name, 0) >= _FIRST}


def _time(head: str) -> int:
    return int.from_bytes(base64.b64decode(head)[2:6], "little")
