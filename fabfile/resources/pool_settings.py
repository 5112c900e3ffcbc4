"""What a pool is like: copies, placement groups, CRUSH rule, quota, compression.

A pool that is made gets what the site file says.  One that is there is compared with it and shown;
it is altered where its table says `manage = true`, and no setting that the table does not name.
Source: OSDMonitor::prepare_command_pool_set (0 and 'unset' take an option of a pool away) and
prepare_new_pool of Ceph; docs.ceph.com, Pools and CRUSH Maps (device classes).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabfile.core.contract import BadInput, Change, Facts, Host, Json, Read
from fabfile.model.phases import Phase
from fabfile.model.site import Site
from fabfile.model.site_tables import Pool
from fabfile.resources import cluster

Found = Mapping[str, Json]
"""A pool as 'osd pool ls detail' has it."""
NAUTILUS = 14
_GIB = 1 << 30


@dataclass(frozen=True)
class Setting:
    """One setting: what Ceph calls it, and what it is of a pool, as a command takes it.

    since: the first release that has it; moves: whether data goes to other OSDs for it; quota:
    whether it is one; text: whether it is an option of a pool's that is a text, or not there.
    """

    key: str
    now: Callable[[Found], str]
    since: int = 0
    moves: bool = False
    quota: bool = False
    text: bool = False

    def before(self, pool: Found) -> str:
        """What sets it to what it is now, or takes it away."""
        absent = self.text and self.key not in pool.get("options", {})
        return "unset" if absent else self.now(pool)


def _plain(key: str, default: str) -> Callable[[Found], str]:
    return lambda pool: _text(pool.get(key, default))


def _option(key: str, default: str) -> Callable[[Found], str]:
    return lambda pool: _text(pool.get("options", {}).get(key, default))


def _text(value: Json) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _groups(pool: Found) -> str:
    return str(pool.get("pg_num_target", pool.get("pg_num", 0)))


SIZE = Setting("size", _plain("size", "3"), moves=True)
RULE = Setting("crush_rule", _plain("crush_rule", ""), moves=True)
GROUPS = Setting("pg_num", _groups, NAUTILUS, moves=True)
LEAST = Setting("min_size", _plain("min_size", "2"))
AUTOSCALE = Setting("pg_autoscale_mode", _plain("pg_autoscale_mode", "off"), NAUTILUS)
SETTINGS = (
    SIZE,
    LEAST,
    RULE,
    AUTOSCALE,
    GROUPS,
    Setting("target_size_ratio", _option("target_size_ratio", "0"), NAUTILUS, moves=True),
    Setting("compression_mode", _option("compression_mode", "none"), cluster.LUMINOUS, text=True),
    Setting(
        "compression_algorithm",
        _option("compression_algorithm", "unset"),
        cluster.LUMINOUS,
        text=True,
    ),
    Setting("max_bytes", _plain("quota_max_bytes", "0"), quota=True),
    Setting("max_objects", _plain("quota_max_objects", "0"), quota=True),
)
"""In the order in which they are set."""


@dataclass(frozen=True)
class Difference:
    """A setting of a pool that is not as the site file says; managed: whether it is altered."""

    pool: str
    setting: Setting
    now: str
    wanted: str
    managed: bool


def reads(site: Site, host: Host) -> list[Read]:
    """The CRUSH rules and classes, and how full pools are: each where the site file needs it."""
    if host != site.admin:
        return []
    found = []
    if any(pool.crush_rule or pool.device_class for pool in site.pools.values()):
        found += cluster.crush(site)
    if any(pool.manage for pool in site.pools.values()):
        found.append(cluster.df(site))
    return found


def plan(site: Site, facts: Facts, name: str) -> list[Change]:
    """What a pool is to have besides, new or there."""
    seen, wanted = cluster.seen(site, facts), site.pools[name]
    pool = seen.pools.get(name)
    missing = _of(site, facts, name)
    if pool is not None and not wanted.manage:
        return []
    for one in missing if pool is not None else ():
        _refuse_what_stops(site, facts, one, pool or {})
    if pool is not None and SIZE in [one.setting for one in missing]:
        missing = [one for one in missing if one.setting != LEAST]
    found = [_change(site, one, pool) for one in missing]
    making = _rule_made(site, facts, name)
    return [*([making] if making else []), *found]


def differences(site: Site, facts: Facts) -> Iterator[Difference]:
    """Of the pools that are there."""
    if cluster.handed_over(facts, site.admin.name):
        return
    there = cluster.seen(site, facts).pools
    for name in site.pools:
        if name in there:
            yield from _of(site, facts, name)


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """What stays otherwise than the site file says, and what moves data."""
    found, stays = [], dict[str, list[str]]()
    for one in differences(site, facts):
        if not one.managed:
            said = f"{one.setting.key} {one.now}, {one.wanted} in the site file"
            stays.setdefault(one.pool, []).append(said)
        elif felt := _felt(site, facts, one):
            found.append(
                f"pool {one.pool}: {one.setting.key} {one.now} becomes {one.wanted}: {felt}"
            )
    return found + [
        f"pool {name}: {'; '.join(said)}: it stays as it is; manage = true under [pools.{name}] "
        "alters it"
        for name, said in stays.items()
    ]


def _felt(site: Site, facts: Facts, one: Difference) -> str:
    """What a change of a pool that is there means to its users; '' for nothing."""
    size = site.pools[one.pool].size or cluster.seen(site, facts).pools[one.pool].get("size", 3)
    if one.setting == SIZE and int(one.wanted) < int(one.now):
        alone = ": one is left, and a disk that dies takes volumes with it"
        return "copies are taken away" + alone * (one.wanted == "1")
    if one.setting == LEAST and one.wanted == str(size) != "1":
        return "every OSD that is down stops those who use it, until it is up or its data is moved"
    if not one.setting.moves and (one.setting, one.wanted) != (AUTOSCALE, "on"):
        return ""
    return (
        f"its data ({_used(site, facts, one.pool)}) moves between OSDs from then on. Requests go "
        "on, slower; the cluster must have the room; ceph status says how far it is"
    )


def _refuse_what_stops(site: Site, facts: Facts, one: Difference, pool: Found) -> None:
    """Raises BadInput for a setting at which requests to a pool would wait from then on.

    Source: PrimaryLogPG::do_op (a full pool), PeeringState (fewer copies than min_size) of Ceph.
    """
    where, key = f"pools.{one.pool}", one.setting.key
    if one.setting.quota and int(one.wanted) and not 0 < int(one.now) <= int(one.wanted):
        holds = cluster.stored(site, facts, one.pool).get(key)
        if holds is None or holds >= int(one.wanted):
            raise BadInput(
                subject=f"{where}.{'quota' if key == 'max_bytes' else 'quota_objects'}",
                expected=f"more than {holds}, which it holds" if holds else "how much it holds",
                found=one.wanted if holds else "no answer of ceph df",
                why="a pool that is full refuses every write, and guests stand still",
            )
    if one.setting == LEAST and int(one.wanted) > int(one.now):
        size = site.pools[one.pool].size or pool.get("size", 3)
        if int(one.wanted) > size:
            raise BadInput(
                subject=f"{where}.min_size", expected=f"at most its size, {size}", found=one.wanted
            )
    least = 0
    if one.setting in (LEAST, SIZE):
        least = site.pools[one.pool].min_size or _with_size(int(one.wanted))
    if least > int(LEAST.now(pool)) and (lacks := cluster.short(facts, site.admin.name)):
        raise BadInput(
            subject=f"{where}.{key}",
            expected="a cluster whose placement groups have all their copies",
            found=", ".join(lacks),
            why="those that have fewer than min_size stand still at once",
            advice="run it again once ceph status says so",
        )


def _used(site: Site, facts: Facts, name: str) -> str:
    used = cluster.bytes_used(site, facts).get(name)
    return "how much was not told" if used is None else f"{used / _GIB:.1f} GiB"


def _of(site: Site, facts: Facts, name: str) -> list[Difference]:
    """The settings of one pool that are not as its table says."""
    seen, table = cluster.seen(site, facts), site.pools[name]
    pool = seen.pools.get(name)
    wanted = _wanted(site, facts, name, table, pool)
    found: list[Difference] = []
    for setting in SETTINGS:
        value = wanted.get(setting.key)
        if value is None or (pool is None and setting in (SIZE, GROUPS)):
            continue
        now = _now(facts, site, setting, pool) if pool is not None else ""
        if setting == LEAST and pool is not None and SIZE in [one.setting for one in found]:
            now = str(_with_size(int(wanted[SIZE.key])))
        if now != value:
            _refuse_older(name, setting, seen.release)
            found.append(Difference(name, setting, now, value, table.manage or pool is None))
    return found


def _with_size(size: int) -> int:
    """What Ceph makes of min_size where it is told a size, unless its options say otherwise."""
    return size - size // 2


def _now(facts: Facts, site: Site, setting: Setting, pool: Found) -> str:
    now = setting.now(pool)
    if setting != RULE:
        return now
    return next((r.name for r in cluster.crush_rules(site, facts) if str(r.id) == now), now)


def _wanted(site: Site, facts: Facts, name: str, table: Pool, pool: Found | None) -> dict[str, str]:
    """{Ceph's name: the value} of what the table says; the autoscaler has its own pg_num."""
    said = {
        "size": table.size,
        "min_size": table.min_size,
        "pg_autoscale_mode": table.pg_autoscale_mode,
        "target_size_ratio": table.target_size_ratio,
        "compression_mode": table.compression_mode,
        "compression_algorithm": table.compression_algorithm,
        "max_bytes": table.quota_bytes,
        "max_objects": table.quota_objects,
    }
    found = {key: _text(value) for key, value in said.items() if value is not None}
    mode = table.pg_autoscale_mode or (pool or {}).get("pg_autoscale_mode")
    if table.pg_num and mode != "on":
        found["pg_num"] = str(table.pg_num)
    if rule := _rule_of(site, facts, name, pool):
        found["crush_rule"] = rule
    return found


def _refuse_older(name: str, setting: Setting, release: int) -> None:
    if release < setting.since:
        raise BadInput(
            subject=f"pools.{name}",
            expected=f"no {setting.key} before Ceph {setting.since}",
            found=f"Ceph {release}",
            advice="take it out of the site file, or upgrade the cluster first",
        )


# CRUSH rules


def _rule_of(site: Site, facts: Facts, name: str, pool: Found | None) -> str:
    """The rule that a pool is to have; '' where the site file asks for none.

    One that takes OSDs of the class alone is right, whatever it is called.  Raises BadInput for a
    rule or class that is not there.
    """
    table = site.pools[name]
    if table.erasure or not (table.crush_rule or table.device_class):
        return ""
    rules = {rule.name: rule for rule in cluster.crush_rules(site, facts)}
    if table.crush_rule:
        if table.crush_rule not in rules:
            raise _no_such(f"pools.{name}.crush_rule", rules, table.crush_rule)
        if not rules[table.crush_rule].replicated:
            raise BadInput(
                subject=f"pools.{name}.crush_rule",
                expected="a rule for replicated pools",
                found=f"{table.crush_rule}, for erasure-coded ones",
            )
        return table.crush_rule
    device = str(table.device_class)
    now = str((pool or {}).get("crush_rule", ""))
    for rule in rules.values():
        if str(rule.id) == now and rule.takes_only(device):
            return rule.name
    classes = cluster.device_classes(site, facts)
    if device not in classes:
        raise _no_such(f"pools.{name}.device_class", classes, device)
    ours = _our_rule(device)
    if ours in rules and not rules[ours].takes_only(device):
        raise BadInput(
            subject=f"CRUSH rule {ours}",
            expected=f"OSDs of class {device} alone",
            found=", ".join(rules[ours].takes),
            advice=f"name a rule that does: pools.{name}.crush_rule in place of device_class",
        )
    if ours in rules and "osd" in rules[ours].domains:
        raise BadInput(
            subject=f"CRUSH rule {ours}",
            expected="a copy on each host",
            found="a copy on each osd, of one host too",
            advice=f"where that is meant, name it: pools.{name}.crush_rule = {ours!r}",
        )
    return ours


def _our_rule(device: str) -> str:
    return f"replicated_{device}"


def _no_such(subject: str, known: Mapping[str, object] | Sequence[str], found: str) -> BadInput:
    expected = f"one of {', '.join(sorted(known)) or 'none that are there'}"
    return BadInput(subject=subject, expected=expected, found=found)


def _rule_made(site: Site, facts: Facts, name: str) -> Change | None:
    """What makes a class's rule, by the first pool that needs it."""
    pools = cluster.seen(site, facts).pools
    needed: dict[str, str] = {}
    for one, table in site.pools.items():
        if one not in pools or table.manage:
            rule = _rule_of(site, facts, one, pools.get(one))
            needed.setdefault(rule, one)
    rule = _rule_of(site, facts, name, pools.get(name))
    rules = [known.name for known in cluster.crush_rules(site, facts)] if rule else []
    if not rule or rule in rules or needed.get(rule) != name:
        return None
    device = str(site.pools[name].device_class)
    look = cluster.ceph(site, "osd", "crush", "rule", "dump", rule)
    return Change(
        site.admin.name,
        f"CRUSH rule {rule}",
        f"make: a copy on each host, OSDs of class {device} alone",
        "+",
        "run",
        {
            "argv": cluster.ceph(
                site, "osd", "crush", "rule", "create-replicated", rule, "default", "host", device
            ),
            "undo": {
                "verb": "run",
                "args": {"argv": cluster.ceph(site, "osd", "crush", "rule", "rm", rule)},
                "guard": {"argv": look, "absent": "ENOENT"},
            },
        },
        wave=Phase.CLUSTER,
        kind="crush_rule",
        subject=rule,
    )


# The command, and the way back


def _set(site: Site, name: str, setting: Setting, value: str) -> list[str]:
    if setting.quota:
        return cluster.ceph(site, "osd", "pool", "set-quota", name, setting.key, value)
    sure = ["--yes-i-really-mean-it"] if setting == SIZE and value == "1" else []
    return cluster.ceph(site, "osd", "pool", "set", name, setting.key, value, *sure)


_NOW = r"(?m)^pool \d+ '{}' "
_GUARDS = {
    SIZE: _NOW + r".*?(size \d+ min_size \d+)",
    GROUPS: _NOW + r"(?:.* pg_num_target|(?!.* pg_num_target ).* pg_num) (\d+)",
}
"""{setting: what of 'osd pool ls detail' says it, its pool in place of {}}, where 'osd pool get'
says another thing: min_size, which goes with the size, by size alone; and the placement groups of
today, which managers take to their target in the hours after it was set."""


def _guard(site: Site, name: str, setting: Setting) -> dict[str, Json]:
    """What tells whether a setting is still as it was left."""
    if setting in _GUARDS:
        only = _GUARDS[setting].replace("{}", re.escape(name))
        return {"argv": site.cluster.ceph("osd", "pool", "ls", "detail"), "only": only}
    argv = cluster.ceph(site, "osd", "pool", "get", name, setting.key)
    return {"argv": argv, "absent": "ENOENT"}


def _least(site: Site, name: str, value: Json) -> dict[str, Json]:
    """What sets min_size behind the size, with which Ceph alters it (since Octopus, always)."""
    return {"then": [_set(site, name, LEAST, str(value))]} if value else {}


def _change(site: Site, one: Difference, pool: Found | None) -> Change:
    """A quota's question also tells what is used, so that nobody could say whose change it was."""
    name, key, stays = one.pool, one.setting.key, ""
    if pool is None:
        stays = "a pool is never deleted"
    elif one.setting.quota:
        stays = f"{key} was {one.now}, and what the pool holds by now may be more"
    old = one.setting.before(pool) if pool is not None and one.setting != RULE else one.now
    back: dict[str, Json] = {"argv": _set(site, name, one.setting, old)}
    args: dict[str, Json] = {"argv": _set(site, name, one.setting, one.wanted)}
    was, becomes = [f"{key} {one.now}"] * (pool is not None), [f"{key} {one.wanted}"]
    if one.setting == SIZE and pool is not None:
        least = site.pools[name].min_size
        back |= _least(site, name, pool.get("min_size"))
        args |= _least(site, name, least)
        if least:
            was, becomes = [*was, f"min_size {LEAST.now(pool)}"], [*becomes, f"min_size {least}"]
    if not stays:
        args["undo"] = {"verb": "run", "args": back, "guard": _guard(site, name, one.setting)}
    return Change(
        site.admin.name,
        f"pool {name}",
        ", ".join(becomes),
        "+" if pool is None else "~",
        "run",
        args,
        wave=Phase.CLUSTER,
        diff=(*(f"- {line}" for line in was), *(f"+ {line}" for line in becomes)),
        kind="pool_setting",
        subject=name,
        stays=stays,
    )
