"""What the Ceph cluster says of itself, in one shape for all who ask.

Knows the questions that every task needs and the shape of their answers; decides
nothing.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from fabfile.core import strict_json
from fabfile.core.contract import Args, BadInput, Facts, Failed, Host, Json, Read
from fabfile.core.shapes import LINE, UUID, Shape, Text, misfit
from fabfile.model import ceph_releases
from fabfile.model.site import Site
from fabfile.resources import supplied

KEYS = r'key":\s*"([^"]+)"'
"""A user's key, and the pending_key that is to follow it."""
LUMINOUS, OCTOPUS = 12, 15
_EINVAL = 22
"""How the ceph program ends for a command that its monitors do not know."""
ADDRESS = Text(
    r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-fA-F:.]{2,45}\]):[0-9]{1,5}(?:/[0-9]+)?",
    "an address with its port",
)
"""As Ceph writes a monitor's; it becomes a line of configuration on every host."""
_PUBLIC = {"addrvec?": [{"type": Text("v1|v2|any", "v1, v2 or any"), "addr": ADDRESS}]}
MONMAP: Shape = {
    "fsid": UUID,
    "mons": [{"rank": int, "name?": LINE, "addr?": LINE, "public_addrs?": _PUBLIC}],
    "quorum?": [int],
    "auth_preferred_cipher?": {"name": LINE},
}
HEALTH: Shape = {
    "checks?": {"*": {"severity?": LINE, "summary?": {"message?": str}, "detail?": [{}]}},
    "mutes?": [{"code?": LINE}],
}
VERSION: Shape = {"version": LINE}
VERSIONS: Shape = {"*": {"*": int}}
POOLS: Shape = [
    {
        "pool_name": LINE,
        **dict.fromkeys(("type?", "size?", "min_size?", "pg_num?", "pg_num_target?"), int),
        **dict.fromkeys(("crush_rule?", "quota_max_bytes?", "quota_max_objects?"), int),
        "options?": {"*": (float, LINE, bool)},
        "pg_autoscale_mode?": LINE,
        "erasure_code_profile?": LINE,
        "application_metadata?": {"*": {}},
    }
]
USERS: Shape = {"auth_dump": [{"entity": LINE, "key?": LINE, "caps?": {"*": LINE}}]}
_STATS = dict.fromkeys(("bytes_used?", "stored?", "objects?"), int)
DF: Shape = {"pools?": [{"name": LINE, "stats?": {**_STATS, "percent_used?": float}}]}
_STEP = {"op": LINE, "item_name?": LINE, "type?": LINE}
RULES: Shape = [{"rule_id": int, "rule_name": LINE, "type?": int, "steps": [_STEP]}]
"""osd crush rule dump; what a rule takes is a root, or root~class; type: as a pool's."""
_TOLD = {
    "ceph.health": HEALTH,
    "ceph.monmap": MONMAP,
    "ceph.version": VERSION,
    "ceph.versions": VERSIONS,
    "ceph.pools": POOLS,
    "ceph.users": USERS,
    "ceph.rules": RULES,
    "ceph.classes": [LINE],
    "ceph.df": DF,
}
"""What is believed of Ceph's answers: the shape of each."""
STOPPING = ("MON_DOWN_NO_QUORUM", "OSD_FULL", "POOL_FULL")
"""Health codes at which nothing is altered; warnings of other kinds are not ours."""
SHORT = frozenset({"OSD_DOWN", "OSD_HOST_DOWN", "PG_DEGRADED", "PG_AVAILABILITY", "OBJECT_UNFOUND"})
"""Health codes at which placement groups lack copies."""


@dataclass(frozen=True)
class Rule:
    """A CRUSH rule: its id, what it takes (default, default~ssd), of which each copy is on one.

    replicated: whether it is for pools of copies.
    """

    id: int
    name: str
    takes: tuple[str, ...]
    domains: tuple[str, ...] = ()
    replicated: bool = True

    def takes_only(self, device: str) -> bool:
        """Whether it goes to OSDs of that class alone."""
        return bool(self.takes) and all(one.endswith(f"~{device}") for one in self.takes)


@dataclass(frozen=True)
class Cluster:
    """The cluster as seen: monitors as ceph.conf's mon_host has them.

    older: the same for clients before Nautilus, which read v1 addresses alone.  conf: the ceph.conf
    that was handed over; pools are then not known.
    """

    fsid: str
    monitors: tuple[str, ...]
    older: tuple[str, ...]
    release: int
    pools: dict[str, dict[str, Json]]
    users: dict[str, dict[str, Json]]
    conf: str = ""

    @property
    def addresses(self) -> frozenset[str]:
        """Where the live monitors are, as guests and attachments name them."""
        return addresses(" ".join(self.monitors))


def addresses(text: str) -> frozenset[str]:
    """The IP addresses of a mon_host, whatever its notation; IPv6 ones without brackets."""
    found = re.findall(r"\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]", text)
    return frozenset(address.strip("[]") for address in found)


def monitors(monmap: Json) -> tuple[str, ...]:
    """The monitors of 'mon dump' that have an address, each as ceph.conf's mon_host has it."""
    return tuple(filter(None, map(_mon_host, _ranked(monmap))))


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
        _read("ceph.health", {"argv": ceph(site, "health", "detail")}),
        *identity(site),
        _read("ceph.version", {"argv": ceph(site, "version")}),
        _read("ceph.versions", {"argv": ceph(site, "versions"), "ok": [0, _EINVAL]}),
        _pools(site),
        _read("ceph.users", {"argv": ceph(site, "auth", "list"), "mask": [KEYS]}),
    ]


def _pools(site: Site) -> Read:
    return _read("ceph.pools", {"argv": ceph(site, "osd", "pool", "ls", "detail")})


def rules_in_use(site: Site) -> list[Read]:
    """The CRUSH rules, and the pools, which say by which rule each lies."""
    return [*crush(site)[:1], _pools(site)]


def pools_of_rule(site: Site, facts: Facts, rule: str) -> set[str]:
    """The pools that lie by a rule, of the answers to rules_in_use(); none where not asked."""
    numbers = [one.id for one in crush_rules(site, facts) if one.name == rule]
    pools = _told(facts, site.admin.name, "ceph.pools") if numbers else ()
    return {pool["pool_name"] for pool in pools if pool.get("crush_rule") in numbers}


def crush(site: Site) -> list[Read]:
    """The CRUSH rules, and the classes of OSDs that there are."""
    return [
        _read("ceph.rules", {"argv": ceph(site, "osd", "crush", "rule", "dump")}),
        _read("ceph.classes", {"argv": ceph(site, "osd", "crush", "class", "ls")}),
    ]


def crush_rules(site: Site, facts: Facts) -> list[Rule]:
    """Of the answers to crush(); none where they were not asked."""
    if "ceph.rules" not in facts.hosts.get(site.admin.name, {}):
        return []
    return [
        Rule(
            told["rule_id"],
            told["rule_name"],
            tuple(step.get("item_name", "") for step in told["steps"] if step["op"] == "take"),
            tuple(step["type"] for step in told["steps"] if "type" in step),
            told.get("type", 1) == 1,
        )
        for told in _told(facts, site.admin.name, "ceph.rules")
    ]


def device_classes(site: Site, facts: Facts) -> list[str]:
    """The classes of OSDs, of the answers to crush()."""
    return [str(name) for name in _told(facts, site.admin.name, "ceph.classes")]


def df(site: Site) -> Read:
    """How full pools are."""
    return _read("ceph.df", {"argv": ceph(site, "df")})


def bytes_used(site: Site, facts: Facts) -> dict[str, int]:
    """{pool: bytes}, of the answer to df(); nothing where it was not asked."""
    if "ceph.df" not in facts.hosts.get(site.admin.name, {}):
        return {}
    told = _told(facts, site.admin.name, "ceph.df").get("pools", ())
    pairs = ((one["name"], one.get("stats", {}).get("bytes_used")) for one in told)
    return {name: used for name, used in pairs if used is not None}


def stored(site: Site, facts: Facts, pool: str) -> dict[str, int]:
    """What a quota counts of a pool ('max_bytes', 'max_objects'), as far as df() was answered.

    Before Nautilus what is used is what is stored; since then it is all copies.
    """
    if "ceph.df" not in facts.hosts.get(site.admin.name, {}):
        return {}
    told = _told(facts, site.admin.name, "ceph.df").get("pools", ())
    stats: dict[str, int] = next((one.get("stats", {}) for one in told if one["name"] == pool), {})
    found = {"max_bytes": stats.get("stored", stats.get("bytes_used"))}
    found["max_objects"] = stats.get("objects")
    return {key: value for key, value in found.items() if value is not None}


def short(facts: Facts, admin: str) -> list[str]:
    """The health codes, muted ones too, at which placement groups lack copies."""
    return sorted(SHORT & set(_told(facts, admin, "ceph.health").get("checks", {})))


def pool_names(site: Site, facts: Facts) -> list[str]:
    """The pools, of the answer to 'osd pool ls'.  Raises Failed where that is none."""
    return [str(name) for name in _told(facts, site.admin.name, "ceph.pools", [LINE])]


def _read(name: str, args: Args) -> Read:
    return Read(name, "argv", args, told=_TOLD[name])


def identity(site: Site) -> list[Read]:
    """What tells which cluster this is, where it lives included."""
    return [_read("ceph.monmap", {"argv": ceph(site, "mon", "dump")})]


def makes_aes256k(facts: Facts, admin: str) -> bool:
    """Whether a key that is made now is of the new kind, as 'mon dump' says since 20.2.4.

    An answer that says nothing of it is of a cluster that knows no other than the old one.
    """
    if "ceph.monmap" not in facts.hosts.get(admin, {}):
        return False
    told = _told(facts, admin, "ceph.monmap")
    return bool(told.get("auth_preferred_cipher", {}).get("name") == "aes256k")


def fsid(site: Site, facts: Facts) -> str:
    """The cluster's fsid, of the answer to identity().

    Raises BadInput where the site file pins another one, Failed where there is none.
    """
    found: str = _monmap(site, facts)["fsid"].lower()
    return found


def live(site: Site, facts: Facts) -> frozenset[str]:
    """Where the monitors are, of the answer to identity() alone."""
    return addresses(" ".join(monitors(_monmap(site, facts))))


def _monmap(site: Site, facts: Facts) -> Json:
    admin = site.admin.name
    monmap = handed_over(facts, admin) or _told(facts, admin, "ceph.monmap")
    found = monmap["fsid"]
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
    if given := handed_over(facts, admin):
        return Cluster(
            fsid=given["fsid"],
            monitors=monitors(given),
            older=tuple(filter(None, map(_older, _ranked(given)))),
            release=given["release"],
            pools={},
            users=users(facts, admin),
            conf=given["text"],
        )
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
    if not monitors(monmap):
        raise Failed(
            host=admin, subject="ceph monmap", expected="monitors with addresses", found="none"
        )
    return Cluster(
        fsid=monmap["fsid"],
        monitors=monitors(monmap),
        older=tuple(filter(None, map(_older, _ranked(monmap)))),
        release=release(facts, admin),
        pools={pool["pool_name"]: pool for pool in pools},
        users=users(facts, admin),
    )


def handed_over(facts: Facts, admin: str) -> Json:
    """What another team handed over of its cluster, as supplied.answer() has it; None for ours."""
    return facts.hosts.get(admin, {}).get(supplied.READ)


def users(facts: Facts, admin: str) -> dict[str, dict[str, Json]]:
    """{entity: cephx user} that a host has of the cluster.  Raises Failed."""
    if given := handed_over(facts, admin):
        keys = given["keys"].items()
        named = ((f"client.{name}", key) for name, key in keys)
        return {entity: {"entity": entity, "key": key, "caps": {}} for entity, key in named}
    told = _told(facts, admin, "ceph.users")["auth_dump"]
    return {user["entity"]: {"caps": {}, **user} for user in told}


def users_seen(facts: Facts, admin: str) -> dict[str, dict[str, Json]] | None:
    """As users(), for who looks alone: None where that was not told, or not as Ceph tells it."""
    if handed_over(facts, admin):
        return users(facts, admin)
    if facts.hosts.get(admin, {}).get("ceph.users") is None:
        return None
    try:
        return users(facts, admin)
    except Failed:
        return None


def _told(facts: Facts, admin: str, read: str, shape: Shape = None) -> Json:
    """An answer's document.  Raises Failed where it is no such thing as Ceph says there."""
    out, subject = facts.of(admin, read)["out"], read.replace(".", " ")
    found, said = strict_json.shaped(out, shape) if shape else _document(out, read)
    if found is None:
        raise Failed(host=admin, subject=subject, expected="JSON", found=repr(out[:80]))
    if said:
        raise Failed(host=admin, subject=subject, expected="JSON as Ceph writes it", found=said)
    return found


@functools.lru_cache(maxsize=16)
def _document(text: str, read: str) -> tuple[Json, str]:
    """As strict_json.shaped; every resource reads the same few answers, and changes none."""
    return strict_json.shaped(text, _TOLD[read])


def _mon_host(mon: dict[str, Json]) -> str:
    addresses = mon.get("public_addrs", {}).get("addrvec")
    if not addresses:
        plain = mon.get("addr", "")
        return "" if misfit(plain, ADDRESS) else str(plain).split("/", maxsplit=1)[0]
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
    if given := handed_over(facts, admin):
        return int(given["release"])
    all_of_them = facts.of(admin, "ceph.versions")
    if all_of_them["code"] == _EINVAL:
        texts = [_told(facts, admin, "ceph.version")["version"]]
    else:
        versions = _told(facts, admin, "ceph.versions")
        texts = list(versions.get("mon") or versions.get("overall") or ())
    found = [ceph_releases.major(text) for text in texts]
    majors = [number for number in found if number is not None]
    if not majors or len(majors) < len(found):
        raise BadInput(
            host=admin,
            subject="ceph versions",
            expected="the monitors' versions, as 'ceph version 16.2.15'",
            found=", ".join(texts) or "none",
        )
    return min(majors)
