"""What the Ceph cluster says of itself, parsed once for all who ask.

Knows the questions that every task needs and the shape of their answers; decides
nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fabfile.core.contract import BadInput, Facts, Failed, Host, Read

_CEPH = ["ceph", "--connect-timeout", "10", "--format", "json"]
_KEYS = r'"key":\s*"([^"]+)"'
STOPPING = ("MON_DOWN_NO_QUORUM", "OSD_FULL", "POOL_FULL")
"""Health codes at which nothing is altered; warnings of other kinds are not ours."""


@dataclass(frozen=True)
class Cluster:
    """The cluster as seen: monitors as ceph.conf's mon_host has them."""

    fsid: str
    monitors: tuple[str, ...]
    release: int
    pools: dict[str, dict[str, Any]]
    users: dict[str, dict[str, Any]]


def ceph(*words: str) -> list[str]:
    """An argument list for the ceph program, with its answer in JSON."""
    return [*_CEPH, *words]


def reads(site: Any, host: Host) -> list[Read]:
    """What the first Ceph host is asked; keys come back as fingerprints."""
    if host != site.admin:
        return []
    return [
        Read("ceph.health", "argv", {"argv": ceph("health", "detail")}),
        Read("ceph.monmap", "argv", {"argv": ceph("mon", "dump")}),
        Read("ceph.versions", "argv", {"argv": ceph("versions")}),
        Read("ceph.pools", "argv", {"argv": ceph("osd", "pool", "ls", "detail")}),
        Read("ceph.users", "argv", {"argv": ceph("auth", "ls"), "mask": [_KEYS]}),
    ]


def seen(site: Any, facts: Facts) -> Cluster:
    """The cluster of the facts.  Raises Failed where it must not be worked on."""
    admin = site.admin.name
    monmap = json.loads(facts.of(admin, "ceph.monmap")["out"])
    health = json.loads(facts.of(admin, "ceph.health")["out"])
    stopping = sorted(set(health.get("checks", {})) & set(STOPPING))
    if stopping:
        raise Failed(f"{admin}: the cluster says {', '.join(stopping)}; mend that first")
    pools = json.loads(facts.of(admin, "ceph.pools")["out"])
    users = json.loads(facts.of(admin, "ceph.users")["out"])["auth_dump"]
    return Cluster(
        fsid=monmap["fsid"],
        monitors=tuple(_mon_host(mon) for mon in sorted(monmap["mons"], key=lambda m: m["rank"])),
        release=_oldest(json.loads(facts.of(admin, "ceph.versions")["out"])),
        pools={pool["pool_name"]: pool for pool in pools},
        users={user["entity"]: user for user in users},
    )


def _mon_host(mon: dict[str, Any]) -> str:
    addresses = mon.get("public_addrs", {}).get("addrvec")
    if not addresses:
        return str(mon["addr"]).split("/", maxsplit=1)[0]
    return "[" + ",".join(f"{a['type']}:{a['addr']}" for a in addresses) + "]"


def _oldest(versions: dict[str, Any]) -> int:
    """The lowest major version among the monitors: 12 Luminous, 15 Octopus, 16 Pacific."""
    texts = versions.get("mon") or versions.get("overall") or {}
    majors = [int(text.split()[2].split(".")[0]) for text in texts]
    if not majors:
        raise BadInput("ceph versions: expected the monitors' versions, found none")
    return min(majors)
