"""What the Ceph cluster says of itself, in one shape for all who ask.

Knows the questions that every task needs and the shape of their answers; decides
nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from fabfile.core.contract import BadInput, Facts, Failed, Host, Json, Read
from fabfile.model.site import Site

KEYS = r'key":\s*"([^"]+)"'
"""A user's key, and the pending_key that is to follow it."""
LUMINOUS, OCTOPUS = 12, 15
_EINVAL = 22
"""How the ceph program ends for a command that its monitors do not know."""
STOPPING = ("MON_DOWN_NO_QUORUM", "OSD_FULL", "POOL_FULL")
"""Health codes at which nothing is altered; warnings of other kinds are not ours."""


@dataclass(frozen=True)
class Cluster:
    """The cluster as seen: monitors as ceph.conf's mon_host has them.

    older: the same for clients before Nautilus, which read v1 addresses alone.
    """

    fsid: str
    monitors: tuple[str, ...]
    older: tuple[str, ...]
    release: int
    pools: dict[str, dict[str, Json]]
    users: dict[str, dict[str, Json]]

    @property
    def addresses(self) -> frozenset[str]:
        """Where the live monitors are, as guests and attachments name them."""
        return addresses(" ".join(self.monitors))


def addresses(text: str) -> frozenset[str]:
    """The IP addresses of a mon_host, whatever its notation; IPv6 ones without brackets."""
    found = re.findall(r"\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]", text)
    return frozenset(address.strip("[]") for address in found)


def monitors(monmap: Json) -> tuple[str, ...]:
    """The monitors of 'mon dump', each as ceph.conf's mon_host has it."""
    return tuple(map(_mon_host, _ranked(monmap)))


def _ranked(monmap: Json) -> list[dict[str, Json]]:
    return sorted(monmap["mons"], key=lambda mon: mon["rank"])


def ceph(site: Site, *words: str) -> list[str]:
    """An argument list for the ceph program, with its answer in JSON."""
    return site.cluster.ceph("--format", "json", *words)


def reads(site: Site, host: Host) -> list[Read]:
    """What the first Ceph host is asked; keys come back as fingerprints.

    'versions' and 'auth ls' are Luminous's (12); 'version' (of the one monitor that answers)
    and 'auth list' every release has.
    """
    if host != site.admin:
        return []
    return [
        Read("ceph.health", "argv", {"argv": ceph(site, "health", "detail")}),
        *identity(site),
        Read("ceph.version", "argv", {"argv": ceph(site, "version")}),
        Read("ceph.versions", "argv", {"argv": ceph(site, "versions"), "ok": [0, _EINVAL]}),
        Read("ceph.pools", "argv", {"argv": ceph(site, "osd", "pool", "ls", "detail")}),
        Read("ceph.users", "argv", {"argv": ceph(site, "auth", "list"), "mask": [KEYS]}),
    ]


def pool_names(site: Site, facts: Facts) -> list[str]:
    """The pools, of the answer to 'osd pool ls'.  Raises Failed where that is none."""
    return [str(name) for name in _told(facts, site.admin.name, "ceph.pools")]


def identity(site: Site) -> list[Read]:
    """What tells which cluster this is, where it lives included."""
    return [Read("ceph.monmap", "argv", {"argv": ceph(site, "mon", "dump")})]


def fsid(site: Site, facts: Facts) -> str:
    """The cluster's fsid, of the answer to identity().

    Raises BadInput where the site file pins another one, Failed where there is none.
    """
    found: str = _monmap(site, facts)["fsid"].lower()
    return found


def _monmap(site: Site, facts: Facts) -> Json:
    admin = site.admin.name
    monmap = _told(facts, admin, "ceph.monmap", "fsid", "mons")
    found = monmap["fsid"]
    if not isinstance(found, str):
        raise Failed(host=admin, subject="ceph monmap", expected="a text fsid", found=repr(found))
    if site.fsid and found.lower() != site.fsid.lower():
        raise BadInput(
            f"{admin}: expected the cluster {site.fsid} (fsid of the site file), found "
            f"{found}: this is another cloud; nothing was written there: look at where the site "
            "file's names lead",
            host=admin,
            subject="fsid",
            expected=f"the cluster {site.fsid} (fsid of the site file)",
            found=found,
            advice="this is another cloud",
        )
    return monmap


def seen(site: Site, facts: Facts) -> Cluster:
    """The cluster of the facts.  Raises Failed where it must not be worked on."""
    admin = site.admin.name
    monmap = _monmap(site, facts)
    health = _told(facts, admin, "ceph.health")
    stopping = sorted(set(health.get("checks", {})) & set(STOPPING))
    if stopping:
        raise Failed(
            f"{admin}: the cluster says {', '.join(stopping)}; mend that first",
            host=admin,
            subject="the cluster",
            found=", ".join(stopping),
            advice="mend that first",
        )
    pools = _told(facts, admin, "ceph.pools")
    _refuse_odd(admin, "ceph pools", pools, _is_pool)
    users = _told(facts, admin, "ceph.users", "auth_dump")["auth_dump"]
    _refuse_odd(admin, "ceph users", users, _is_user)
    return Cluster(
        fsid=monmap["fsid"],
        monitors=monitors(monmap),
        older=tuple(filter(None, map(_older, _ranked(monmap)))),
        release=release(facts, admin),
        pools={pool["pool_name"]: pool for pool in pools},
        users={user["entity"]: user for user in users},
    )


def _refuse_odd(admin: str, what: str, items: Json, fits: Callable[[Json], bool]) -> None:
    """Raises Failed for a list of which an item is none of Ceph's."""
    odd = [one for one in items if not fits(one)] if isinstance(items, list) else [items]
    if odd:
        raise Failed(
            host=admin, subject=what, expected="what Ceph lists there", found=repr(odd[0])[:80]
        )


def _is_pool(one: Json) -> bool:
    if not isinstance(one, dict) or not isinstance(one.get("pool_name"), str):
        return False
    return isinstance(one.get("application_metadata", {}), dict)


def _is_user(one: Json) -> bool:
    """Caps are texts by the daemon's name; the key is a fingerprint."""
    if not isinstance(one, dict) or not isinstance(one.get("entity"), str):
        return False
    caps = one.get("caps", {})
    texts = [one.get("key", ""), *caps.values()] if isinstance(caps, dict) else [None]
    return all(isinstance(text, str) for text in texts)


def _told(facts: Facts, admin: str, read: str, *names: str) -> Json:
    """An answer's document.  Raises Failed where it is no such thing as Ceph says there."""
    out = facts.of(admin, read)["out"]
    try:
        found = json.loads(out)
    except (ValueError, RecursionError):
        found = None
    kind = list if read == "ceph.pools" else dict
    if not isinstance(found, kind) or any(name not in found for name in names):
        expected = " with ".join(["JSON", *filter(None, [" and ".join(names)])])
        raise Failed(
            host=admin, subject=read.replace(".", " "), expected=expected, found=repr(out[:80])
        )
    return found


def _mon_host(mon: dict[str, Json]) -> str:
    addresses = mon.get("public_addrs", {}).get("addrvec")
    if not addresses:
        return str(mon["addr"]).split("/", maxsplit=1)[0]
    return "[" + ",".join(f"{a['type']}:{a['addr']}" for a in addresses) + "]"


def _older(mon: dict[str, Json]) -> str:
    """A monitor's v1 address; '' where it has none."""
    if not (addresses := mon.get("public_addrs", {}).get("addrvec")):
        return _mon_host(mon)
    return next((str(a["addr"]) for a in addresses if a["type"] in ("v1", "any")), "")


def release(facts: Facts, admin: str) -> int:
    """The lowest major version among the monitors: 12 Luminous, 15 Octopus, 16 Pacific.

    Raises BadInput for versions that are no numbers.
    """
    all_of_them = facts.of(admin, "ceph.versions")
    if all_of_them["code"] == _EINVAL:
        texts = [_told(facts, admin, "ceph.version", "version")["version"]]
    else:
        versions = _told(facts, admin, "ceph.versions")
        texts = list(versions.get("mon") or versions.get("overall") or ())
    found = [re.match(r"ceph version (\d+)\.", text) for text in texts]
    majors = [int(version.group(1)) for version in found if version]
    if not majors or len(majors) < len(found):
        raise BadInput(
            host=admin,
            subject="ceph versions",
            expected="the monitors' versions, as 'ceph version 16.2.15'",
            found=", ".join(texts) or "none",
        )
    return min(majors)
