"""Findings about the cluster itself: health by its codes, quorum, room, pools, users."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from fabfile.core.contract import Command, Json, Stop
from fabfile.doctor import daemons, hosts, uses, versions
from fabfile.doctor.finding import ERROR, NOTE, WARNING, Finding, Step, root, task, words
from fabfile.doctor.observation import Looked
from fabfile.model import advice, ceph_releases, upgrades
from fabfile.model.platforms import Platform
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.model.site_tables import Client
from fabfile.resources import auth, cluster, in_force, pool_settings
from fabfile.resources.caps import grants

_SAID_ELSEWHERE = ("POOL_APP_NOT_ENABLED", "POOL_NO_REDUNDANCY", "OSD_OUT_OF_ORDER_FULL")
_Kind = tuple[str, str, tuple[Step, ...]]
_FULL = "writes stop when an OSD is full: guests see I/O errors or hang"
_UNSAFE = "auth_allow_insecure_global_id_reclaim"


def _codes(platform: Platform) -> dict[str, _Kind]:
    """{a code of Ceph's health: (severity, cause, what mends it)}.

    What restarts a daemon is not here: the check's details say which one (_mends).
    """
    typed = platform.by_hand

    def ceph(*argv: str) -> Step:
        return root(typed("ceph", *argv))

    show = ceph("health", "detail")
    full = (ceph("osd", "df"), words("add OSDs or delete data"))
    pool_full = (ceph("df"), words("raise its quota, or add OSDs"))
    return {
        "MON_DOWN": (
            WARNING,
            "a monitor is out of the quorum; with a majority gone all clients hang",
            (show,),
        ),
        "MON_CLOCK_SKEW": (
            ERROR,
            "the monitors' clocks differ by more than 50 ms: elections and cephx tickets fail",
            (show,),
        ),
        "MON_DISK_LOW": (WARNING, "a monitor stops when its disk is full", (show,)),
        "MON_DISK_CRIT": (ERROR, "a monitor stops when its disk is full", (show,)),
        "OSD_DOWN": (WARNING, "OSDs are down: their data has fewer copies", (show,)),
        "OSD_HOST_DOWN": (
            WARNING,
            "all OSDs of a host are down: see that the host runs and is reached",
            (show,),
        ),
        "OSD_FULL": (ERROR, _FULL, full),
        "OSD_BACKFILLFULL": (WARNING, _FULL, full),
        "OSD_NEARFULL": (WARNING, _FULL, full),
        "POOL_FULL": (ERROR, _FULL, pool_full),
        "POOL_NEAR_FULL": (WARNING, _FULL, pool_full),
        "PG_AVAILABILITY": (
            ERROR,
            "some data is not served now: guests that touch it hang",
            (show,),
        ),
        "PG_DAMAGED": (ERROR, "some data is damaged", (show,)),
        "PG_DEGRADED": (WARNING, "some data has fewer copies than it should", (show,)),
        "OBJECT_UNFOUND": (ERROR, "some data cannot be found on any OSD", (show,)),
        "SLOW_OPS": (WARNING, "some requests take longer than 30 s: guests feel it", (show,)),
        "OSDMAP_FLAGS": (
            WARNING,
            "somebody set noout, pause or a flag like it, and left it",
            (ceph("osd", "dump"), words("take away the flags that nobody needs any more")),
        ),
        "AUTH_INSECURE_GLOBAL_ID_RECLAIM": (
            WARNING,
            "clients older than CVE-2021-20288 are at work",
            (show, words("upgrade the clients that it names")),
        ),
        "AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED": (
            WARNING,
            "CVE-2021-20288: old clients may take another's session",
            (ceph("config", "set", "mon", _UNSAFE, "false"),),
        ),
        "MON_MSGR2_NOT_ENABLED": (
            NOTE,
            "clients use the older protocol",
            (ceph("mon", "enable-msgr2"),),
        ),
        # docs.ceph.com, Health checks: what an upgrade leaves to be done.
        "OSD_UPGRADE_FINISHED": (
            WARNING,
            "every OSD runs the newer release and the map does not require it yet: what is new "
            "there is not in use, and an older OSD may join",
            (ceph("versions"), _require("with the name of the oldest OSD's release")),
        ),
        "DAEMON_OLD_VERSION": (
            WARNING,
            "daemons are of several releases for longer than an upgrade takes",
            (
                ceph("versions"),
                words(
                    "finish it in Ceph's order: monitors, managers, OSDs; the clients (librados2 "
                    "and librbd1 of OpenStack's hosts) come before only where keys of the new "
                    "kind are to be used"
                ),
            ),
        ),
        "RECENT_CRASH": (
            NOTE,
            "a daemon crashed lately",
            (ceph("crash", "ls-new"), words("once it is understood, archive it by its id")),
        ),
        "MGR_DOWN": (WARNING, "no manager: no tasks of rbd_support, no statistics", (show,)),
        **{
            code: (one.severity, one.cause, (show, *map(words, one.mend)))
            for code, one in upgrades.HEALTH.items()
        },
    }


def _require(which: str) -> Step:
    """What an upgrade ends with, by a person: it is for good."""
    return words(
        f"once nothing is to go back: ceph osd require-osd-release, {which}; it cannot be taken "
        "back. Only then think of require-min-compat-client, and only as far as the oldest client "
        "allows"
    )


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them; none where the cluster did not answer."""
    admin = site.admin.name
    if looked.seen(admin, "ceph.health"):
        yield from _health(site, looked)
    if looked.seen(admin, "ceph.monmap"):
        yield from _quorum(site, looked, json.loads(looked.seen(admin, "ceph.monmap")["out"]))
    if looked.seen(admin, "ceph.ratios"):
        yield from _ratios(site, looked, looked.seen(admin, "ceph.ratios")["out"])
    if looked.seen(admin, "ceph.pools"):
        pools = {p["pool_name"]: p for p in json.loads(looked.seen(admin, "ceph.pools")["out"])}
        yield from _pools(site, looked, pools)
        yield from _other_settings(site, looked)
    yield from _users(site, looked)


def _health(site: Site, looked: Looked) -> Iterator[Finding]:
    admin = site.admin.name
    health = json.loads(looked.seen(admin, "ceph.health")["out"])
    codes, show = (
        _codes(site.cluster.platform),
        root(site.cluster.platform.by_hand("ceph", "health", "detail")),
    )
    muted = {mute.get("code") for mute in health.get("mutes", ())}
    for code, check in sorted(health.get("checks", {}).items()):
        if code in muted or code in _SAID_ELSEWHERE:
            continue
        severe = check.get("severity") == "HEALTH_ERR"
        severity, cause, mend = codes.get(
            code, (ERROR if severe else NOTE, "Ceph says so; its manual names each code", (show,))
        )
        mend = _mends(site, looked, code, check) or mend
        found = check.get("summary", {}).get("message", "") or code
        yield Finding(
            severity, f"ceph.{code}", (admin,), f"health: {code}", found, "HEALTH_OK", cause, mend
        )


def _checks(site: Site, looked: Looked) -> dict[str, Json]:
    """Every check of the cluster's health, muted ones too."""
    answer = looked.seen(site.admin.name, "ceph.health")
    return dict(json.loads(answer["out"]).get("checks", {})) if answer else {}


def _mends(site: Site, looked: Looked, code: str, check: Mapping[str, Json]) -> tuple[Step, ...]:
    """What the details of a check allow to say; () where the code alone decides."""
    if code in ("OSD_DOWN", "MON_DOWN"):
        some, whole = daemons.named(code, check)
        # Of a host whose OSDs are all down, units that were seen say that the host itself is up.
        away = code == "OSD_DOWN" and "OSD_HOST_DOWN" in _checks(site, looked)
        if some and not (away and not all(daemons.host_of(site, looked, one) for one in some)):
            return daemons.restarts(site, looked, some, whole)
    if code == "MON_CLOCK_SKEW":
        return _skewed(site, looked, check)
    if code == "OSDMAP_FLAGS":
        return _flags(site, looked, check)
    if of_all := {"MGR_DOWN": _managers, "OSD_UPGRADE_FINISHED": _upgraded}.get(code):
        return of_all(site, looked)
    if code == "AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED":
        forbid = site.cluster.platform.by_hand("ceph", "config", "set", "mon", _UNSAFE, "false")
        needed = "AUTH_INSECURE_GLOBAL_ID_RECLAIM" in _checks(site, looked)
        return (root(forbid if needed else forbid.having_seen("clients")),)
    return ()


def _upgraded(site: Site, looked: Looked) -> tuple[Step, ...]:
    """Names the release that is to be required, where every OSD's version is known by a name."""
    oldest = min(versions.kinds(looked, site.admin.name)["osd"], default=0)
    if not 0 < oldest <= len(ceph_releases.NAMES):
        return ()
    show = site.cluster.platform.by_hand("ceph", "versions")
    return root(show), _require(f"with {ceph_releases.NAMES[oldest - 1]}, the oldest OSD's release")


def _skewed(site: Site, looked: Looked, check: Mapping[str, Json]) -> tuple[Step, ...]:
    """Sets the clock of the monitors that are off; where most are, the leader's may be the one."""
    some, whole = daemons.named("MON_CLOCK_SKEW", check)
    answer = looked.seen(site.admin.name, "ceph.monmap")
    monitors = len(json.loads(answer["out"])["mons"]) if answer else 0
    if not some or not whole or 2 * len(some) >= monitors:
        return (
            words(
                "compare the clocks of all monitors' hosts (timedatectl, chronyc tracking) before "
                "one is set: each is measured against the leader's"
            ),
        )
    steps = []
    for one in some:
        host = daemons.host_of(site, looked, one)
        if host:
            steps.append(replace(hosts.set_clock(site.platform_of(host)), host=host.name))
        else:
            steps.append(words(f"see on the host of {one.name} what keeps its time"))
    return tuple(steps)


def _managers(site: Site, looked: Looked) -> tuple[Step, ...]:
    """Starts the managers that do not run, where they were seen."""
    stopped = [unit for unit in daemons.of_kind(site, looked, "mgr") if not unit.active]
    return tuple(daemons.unit_step(site, unit) for unit in stopped)


_UNSET = {"pauserd": "pause", "pausewr": "pause"}
"""What a flag is unset by, where that is another word."""


def _flags(site: Site, looked: Looked, check: Mapping[str, Json]) -> tuple[Step, ...]:
    """Takes away flags that were left, where nobody is at work on the cluster."""
    summary = check.get("summary")
    told = str(summary.get("message", "")) if isinstance(summary, dict) else ""
    flags = re.fullmatch(r"([a-z,-]+) flag\(s\) set", told)
    if not flags:
        return ()
    typed = site.cluster.platform.by_hand
    names = dict.fromkeys(_UNSET.get(name, name) for name in flags.group(1).split(","))
    commands = [typed("ceph", "osd", "unset", name) for name in names]
    at_work = set(_checks(site, looked)) & _AT_WORK
    if not at_work and len(versions.ceph(site, looked)) == 1:
        commands = [command.having_seen("maintenance") for command in commands]
    return tuple(root(command) for command in commands)


_AT_WORK = {
    "OSD_DOWN",
    "OSD_HOST_DOWN",
    "OSD_RACK_DOWN",
    "OSD_FLAGS",
    "MON_DOWN",
    "MGR_DOWN",
    "PG_DEGRADED",
    "PG_AVAILABILITY",
    "PG_RECOVERY_FULL",
    "PG_BACKFILL_FULL",
    "OBJECT_MISPLACED",
    "OSD_UPGRADE_FINISHED",
    "DAEMON_OLD_VERSION",
    "UPGRADE_EXCEPTION",
    "HOST_IN_MAINTENANCE",
    "CEPHADM_PAUSED",
}
"""Checks that tell of somebody at work, or of data on its way."""


def _quorum(site: Site, looked: Looked, monmap: dict[str, Json]) -> Iterator[Finding]:
    admin = site.admin.name
    quorum = set(monmap.get("quorum", ()))
    missing = [mon for mon in monmap["mons"] if quorum and mon["rank"] not in quorum]
    out = [mon.get("name", f"rank {mon['rank']}") for mon in missing]
    if out:
        some = [daemons.Daemon("mon", name) for name in out]
        yield Finding(
            WARNING,
            "ceph.quorum",
            (admin,),
            "the quorum",
            f"without {', '.join(out)}",
            f"all {len(monmap['mons'])} monitors",
            "one more that ends may stop every client",
            daemons.restarts(site, looked, some, whole=True),
        )


def _ratios(site: Site, looked: Looked, text: str) -> Iterator[Finding]:
    admin, typed = site.admin.name, site.cluster.platform.by_hand
    ratios = {name: float(value) for name, value in re.findall(r'"(\w+)":\s*(\d+(?:\.\d+)?)', text)}
    known = {"nearfull_ratio": 0.85, "backfillfull_ratio": 0.90, "full_ratio": 0.95}
    have = [ratios[name] for name in known if name in ratios]
    if len(have) == 3 and (have != sorted(have) or have[2] > 0.97):
        commands = [
            typed("ceph", "osd", f"set-{n.replace('_', '-')}", str(v))
            for n, v in reversed(known.items())
        ]
        if _all_below(site, looked, ratios, known["backfillfull_ratio"]):
            commands = [command.having_seen("usage") for command in commands]
        found = ", ".join(f"{name} {ratios[name]}" for name in known)
        yield Finding(
            WARNING,
            "ceph.ratios",
            (admin,),
            "the full ratios",
            found,
            "nearfull < backfillfull < full, at most 0.97",
            "a cluster that fills to the brim cannot be mended by deleting",
            tuple(root(command) for command in commands),
        )


def _all_below(site: Site, looked: Looked, ratios: Mapping[str, float], share: float) -> bool:
    """Whether every OSD is less full than that: Ceph says nothing of a ratio that is below it."""
    full = {"OSD_FULL", "OSD_BACKFILLFULL", "OSD_NEARFULL"} & set(_checks(site, looked))
    seen = looked.seen(site.admin.name, "ceph.health") is not None
    return seen and not full and min(ratios.values()) <= share


def _is_calm(site: Site, looked: Looked) -> bool:
    """Whether every placement group has all its copies."""
    seen = looked.seen(site.admin.name, "ceph.health") is not None
    return seen and not cluster.SHORT & set(_checks(site, looked))


def _pools(site: Site, looked: Looked, pools: dict[str, Json]) -> Iterator[Finding]:
    admin, typed = site.admin.name, site.cluster.platform.by_hand
    for name, wanted in site.pools.items():
        pool = pools.get(name)
        if pool is None:
            continue
        size, least = pool.get("size", 3), pool.get("min_size", 2)
        if size == 1 and wanted.size != 1:
            yield Finding(
                WARNING,
                "pool.size",
                (admin,),
                f"pool {name}",
                "size 1",
                "size 3",
                "one disk that dies takes volumes with it",
                (root(typed("ceph", "osd", "pool", "set", name, "size", "3")),),
            )
        elif size > 1 and least == 1 and wanted.min_size != 1:
            yield Finding(
                WARNING,
                "pool.min_size",
                (admin,),
                f"pool {name}",
                "min_size 1",
                f"min_size {_least(size)}",
                "writes go on with a single copy: the next disk that dies loses them",
                (_raised(site, looked, name, size),),
            )
        groups = pool.get("pg_num", 0)
        moving = pool.get("pg_num_target", groups) != groups
        if groups & (groups - 1) and not moving and pool.get("pg_autoscale_mode") != "on":
            power = 1 << groups.bit_length()
            yield Finding(
                NOTE,
                "pool.pg_num",
                (admin,),
                f"pool {name}",
                f"pg_num {groups}",
                "a power of two",
                "placement groups of two sizes: data is spread unevenly",
                (root(typed("ceph", "osd", "pool", "set", name, "pg_num", str(power))),),
            )


def _least(size: int) -> int:
    """Ceph's own default of min_size, and two."""
    return max(2, size - size // 2)


def _raised(site: Site, looked: Looked, name: str, size: int) -> Step:
    """A higher min_size, where an OSD may still be lost without a stop."""
    if _least(size) >= size:
        return words(
            f"a copy more first (size {size + 1}), where there is room: with {size} copies and "
            f"min_size {_least(size)}, every OSD that is down stops the guests"
        )
    argv = ("osd", "pool", "set", name, "min_size", str(_least(size)))
    safer = site.cluster.platform.by_hand("ceph", *argv)
    return root(safer.having_seen("healthy") if _is_calm(site, looked) else safer)


def _other_settings(site: Site, looked: Looked) -> Iterator[Finding]:
    """What the site file says of pools that are there, and leaves as it is."""
    found: dict[str, list[pool_settings.Difference]] = {}
    if _cluster(site, looked) is None:
        return
    try:
        for one in pool_settings.differences(site, looked.facts):
            if not one.managed:
                found.setdefault(one.pool, []).append(one)
    except Stop:
        return  # it is a refusal of the resource's
    for name, some in found.items():
        yield Finding(
            NOTE,
            "pool.settings",
            (site.admin.name,),
            f"pool {name}",
            ", ".join(f"{one.setting.key} {one.now}" for one in some),
            ", ".join(f"{one.setting.key} {one.wanted}" for one in some),
            "the site file says so, and what is there is altered where it is told to be alone",
            (words(f"manage = true under [pools.{name}]; or say there what is"),),
        )


def _users(site: Site, looked: Looked) -> Iterator[Finding]:
    admin = site.admin.name
    held = cluster.users_seen(looked.facts, admin)
    if held is None:
        return
    users = {name: user["caps"] for name, user in held.items()}
    release = versions.of_cluster(site, looked)
    for name in site.clients:
        caps = users.get(f"client.{name}", {})
        broad = [d for d, text in caps.items() if _is_broad(text)]
        if broad and release:
            narrower, seen = _narrower(site, looked, name, caps)
            yield Finding(
                WARNING,
                "user.broad",
                (admin,),
                f"user client.{name}",
                "; ".join(f"{d}: {caps[d]}" for d in sorted(broad)),
                "; ".join(f"{d}: {narrower[d]}" for d in sorted(narrower)),
                "whoever gets this key from a service's host owns the whole cluster",
                (_narrowing(site, name, narrower, seen),),
            )
    default = site.glance.default
    mine = default.cluster == site.nova.cluster
    if site.nova.ephemeral and site.glance.show_image_direct_url and mine:
        client, pool = site.clients[site.nova.client], default.pool
        if pool not in client.rwx:
            yield Finding(
                NOTE,
                "user.snapshots",
                (admin,),
                f"user client.{site.nova.client}",
                f"pool {pool} is read only",
                "written too",
                "Nova's snapshots of instances on RBD fall back to whole copies",
                (
                    words(f"put {pool!r} into clients.{site.nova.client}.rwx of the site file"),
                    task("ceph.auth", limited=False),
                ),
            )
    yield from _backup(site, looked, users, release)


def _narrowing(site: Site, name: str, caps: dict[str, str], seen: bool) -> Step:
    """What takes 'allow *' away; of a user by which the cluster is run, nobody takes it."""
    if re.fullmatch(advice.CEPHS_OWN, name):
        return words(
            f"leave client.{name} its caps, by which the cluster itself is run, and give the "
            "services a client of their own: another name in the site file"
        )
    command = _caps_command(site, f"client.{name}", caps)
    return root(command.having_seen("uses") if seen else command)


_ALL = ("allow *", "allow all")


def _is_broad(text: str) -> bool:
    """Whether it grants all there is; 'allow * pool=x' is no more than that pool."""
    return any(grant in _ALL for grant in grants(text))


def _cluster(site: Site, looked: Looked) -> cluster.Cluster | None:
    """The cluster as resources see it; None where it must not be worked on, or is not seen."""
    reads = (read.id for read in cluster.reads(site, site.admin))
    if not all(looked.seen(site.admin.name, read) for read in reads):
        return None
    try:
        return cluster.seen(site, looked.facts)
    except Stop:
        return None


def _narrower(
    site: Site, looked: Looked, name: str, caps: Mapping[str, str]
) -> tuple[dict[str, str], bool]:
    """(caps without 'allow *' that take away nothing which is in use, whether all was seen).

    'ceph auth caps' replaces them all: what is granted for other pools stays, and every pool is
    in them that a service's file gives to this user.
    """
    cluster_seen, facts = _cluster(site, looked), looked.facts
    client, release = site.clients[name], cluster.release(facts, site.admin.name)
    if cluster_seen:
        client = auth.clients(site, cluster_seen, facts.release)[name]
    used, complete = uses.pools_of(site, looked, name)
    # Who has a file system mounted by that user is nowhere to be seen.
    complete = complete and cluster_seen is not None and bool(facts.release) and "mds" not in caps
    rwx = list(dict.fromkeys([*client.rwx, *sorted(used)]))
    rx = [pool for pool in client.rx if pool not in rwx]
    wanted = auth.wanted_caps(Client(rwx=rwx, rx=rx), release)
    kept = {
        daemon: ", ".join(grant for grant in grants(text) if grant not in _ALL)
        for daemon, text in caps.items()
    }
    known = {*rwx, *rx, *(p for one in site.clients.values() for p in (*one.rwx, *one.rx))}
    others = uses.rbd_pools(site, looked) - known if _is_broad(caps.get("osd", "")) else set()
    found = auth.widened({d: text for d, text in kept.items() if text}, wanted)
    return found, complete and not others


def _backup(site: Site, looked: Looked, users: Json, release: int | None) -> Iterator[Finding]:
    """cinder-backup's own user, where it is turned on and the site file says nothing of it."""
    admin = site.admin.name
    if site.whole.cinder.backup:
        return
    volumes = [use.pool for use in site.uses() if use.service == CINDER_VOLUME]
    for host in site.with_role(CINDER_VOLUME.role):
        seen = looked.facts.hosts.get(host.name, {})
        told = in_force.by_section(in_force.options(seen, CINDER_VOLUME.key))
        options = told.get("DEFAULT", {})
        if "backup.drivers.ceph" not in options.get("backup_driver", "") or not release:
            continue
        if not uses.leads_here(site, host.name, options.get("backup_ceph_conf", "")):
            continue  # backups are in another cluster
        name = options.get("backup_ceph_user", "cinder")
        pool = options.get("backup_ceph_pool", "backups")
        if not uses.is_pool(pool):
            continue  # it would be a grant of another kind
        wanted = auth.wanted_caps(Client(rwx=[pool], rx=volumes), release)
        entity = f"client.{name}"
        if entity not in users:
            command = _caps_command(site, entity, wanted, "add")
            yield Finding(
                ERROR,
                "user.backup",
                (admin,),
                f"user {entity}",
                "no such cephx user",
                "the user of backup_ceph_user",
                "cinder-backup cannot log in to Ceph",
                (root(command),),
            )
            continue
        wider = auth.widened(users[entity], wanted)
        if wider != users[entity]:
            yield Finding(
                WARNING,
                "user.backup",
                (admin,),
                f"user {entity}",
                "; ".join(f"{d}: {users[entity].get(d, '(none)')}" for d in sorted(wanted)),
                "; ".join(f"{d}: {wider[d]}" for d in sorted(wider)),
                "cinder-backup cannot read volumes, or write its own pool",
                # Nothing is taken away: it is what there is, and more.
                (root(_caps_command(site, entity, wider).having_seen("uses")),),
            )


def _caps_command(site: Site, entity: str, caps: dict[str, str], deed: str = "caps") -> Command:
    pairs = [word for daemon in sorted(caps) for word in (daemon, caps[daemon])]
    return site.cluster.platform.by_hand("ceph", "auth", deed, entity, *pairs)
