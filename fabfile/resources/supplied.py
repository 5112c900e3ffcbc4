"""A cluster of another team's: what it handed over stands for what the cluster would answer.

Its ceph.conf says who its monitors are, and its keyrings what the clients' keys are; nobody here
has an admin key, so that pools and caps are theirs to make (resources/request.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fabfile.core.contract import BadInput, Json
from fabfile.core.shapes import UUID, misfit
from fabfile.resources import librados

READ = "ceph.supplied"
"""The answer under which it is among a host's."""
_PORTS = {"v1": "6789", "v2": "3300"}
_ADDRESS = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-fA-F:.]{2,45}\]"
_ONE = re.compile(rf"(?:(v1|v2|any):)?({_ADDRESS})(?::([0-9]{{1,5}}))?(?:/[0-9]+)?")


def answer(where: str, text: str, keys: Mapping[str, str], release: int) -> dict[str, Json]:
    """What stands for the cluster's own answers.

    where: how the operator knows the file; keys: {client: fingerprint}.
    Raises BadInput for what is no ceph.conf of clients.
    """
    said = {line.key: line.value for line in librados.lines(text) if line.section == "global"}
    fsid = said.get("fsid", "")
    if misfit(fsid, UUID):
        raise BadInput(f"{where}: expected fsid = the cluster's UUID in [global], found {fsid!r}")
    secret = [line for line in librados.lines(text) if line.key in ("key", "keyfile")]
    if secret:
        raise BadInput(
            f"{where}: [{secret[0].section}] {secret[0].key}: expected no key in ceph.conf, which "
            "every user of a host reads: ask for it as a keyring"
        )
    mons = monitors(said.get("mon_host", ""))
    if not mons:
        raise BadInput(
            f"{where}: expected mon_host = the monitors' IP addresses in [global], found "
            f"{said.get('mon_host', '')[:80]!r}; ceph config generate-minimal-conf prints them"
        )
    return {"fsid": fsid, "mons": mons, "text": text, "keys": dict(keys), "release": release}


def monitors(mon_host: str) -> list[dict[str, Json]]:
    """The monitors of a mon_host, as 'mon dump' has them; [] where it names them otherwise.

    One without a port has those of both protocols, as librados takes it since Nautilus.
    """
    found: list[dict[str, Json]] = []
    # [v2:a:3300,v1:a:6789] is one monitor; an address in IPv6 has brackets of its own.
    for word in re.findall(r"\[v[12]:[^ ]*?\](?=[,; ]|$)|[^,; ]+", mon_host.strip()):
        group = word[1:-1].split(",") if word.startswith("[v") else [word]
        addresses = [_ONE.fullmatch(one.strip()) for one in group]
        if not all(addresses):
            return []
        told = [one for match in addresses if match for one in _of(match)]
        vector = [{"type": kind, "addr": f"{ip}:{port}/0"} for kind, ip, port in told]
        found.append({"rank": len(found), "public_addrs": {"addrvec": vector}})
    return found


def _of(match: re.Match[str]) -> list[tuple[str, str, str]]:
    kind, ip, port = match.groups()
    if kind and kind != "any":
        return [(kind, ip, port or _PORTS[kind])]
    if port:
        return [("v2" if port == _PORTS["v2"] else "v1", ip, port)]
    return [("v2", ip, _PORTS["v2"]), ("v1", ip, _PORTS["v1"])]
