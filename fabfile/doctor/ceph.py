"""Findings about the cluster itself: health by its codes, quorum, room, pools, users."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from fabfile.core.contract import Json
from fabfile.doctor import hosts, versions
from fabfile.doctor.finding import ERROR, NOTE, WARNING, Finding, Step, root, task, words
from fabfile.doctor.observation import Looked
from fabfile.doctor.secret_holders import sections
from fabfile.model.platforms import Platform
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Client, Site
from fabfile.resources import auth

_SAID_ELSEWHERE = ("POOL_APP_NOT_ENABLED", "POOL_NO_REDUNDANCY", "OSD_OUT_OF_ORDER_FULL")
_Kind = tuple[str, str, tuple[Step, ...]]
_FULL = "writes stop when an OSD is full: guests see I/O errors or hang"
_UNSAFE = "auth_allow_insecure_global_id_reclaim"


def restart(platform: Platform, daemon: str) -> Step:
    """Restarts the cluster's daemons of a kind: mon, mgr or osd."""
    return root(platform.by_hand("restart", *platform.daemons[daemon]))


def _codes(platform: Platform) -> dict[str, _Kind]:
    """{a code of Ceph's health: (severity, cause, what mends it)}."""
    typed = platform.by_hand

    def ceph(*argv: str) -> Step:
        return root(typed("ceph", *argv))

    show = ceph("health", "detail")
    return {
        "MON_DOWN": (
            WARNING,
            "a monitor is out of the quorum; with a majority gone all clients hang",
            (restart(platform, "mon"),),
        ),
        "MON_CLOCK_SKEW": (
            ERROR,
            "the monitors' clocks differ by more than 50 ms: elections and cephx tickets fail",
            (hosts.set_clock(platform),),
        ),
        "MON_DISK_LOW": (WARNING, "a monitor stops when its disk is full", (show,)),
        "MON_DISK_CRIT": (ERROR, "a monitor stops when its disk is full", (show,)),
        "OSD_DOWN": (
            WARNING,
            "OSDs are down: their data has fewer copies",
            (restart(platform, "osd"),),
        ),
        "OSD_FULL": (ERROR, _FULL, (ceph("osd", "df"), words("add OSDs or delete data"))),
        "OSD_BACKFILLFULL": (WARNING, _FULL, (ceph("osd", "df"), words("add OSDs or delete data"))),
        "OSD_NEARFULL": (WARNING, _FULL, (ceph("osd", "df"), words("add OSDs or delete data"))),
        "POOL_FULL": (ERROR, _FULL, (ceph("df"), words("raise its quota, or add OSDs"))),
        "POOL_NEAR_FULL": (WARNING, _FULL, (ceph("df"), words("raise its quota, or add OSDs"))),
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
            (
                root(f"{typed('ceph', 'osd', 'dump')} | grep flags"),
                words(typed("ceph", "osd", "unset", "FLAG")),
            ),
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
        "RECENT_CRASH": (
            NOTE,
            "a daemon crashed lately",
            (ceph("crash", "ls-new"), ceph("crash", "archive-all")),
        ),
        "MGR_DOWN": (
            WARNING,
            "no manager: no tasks of rbd_support, no statistics",
            (restart(platform, "mgr"),),
        ),
    }


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them; none where the cluster did not answer."""
    admin = site.admin.name
    if looked.seen(admin, "ceph.health"):
        yield from _health(site, looked)
    if looked.seen(admin, "ceph.monmap"):
        yield from _quorum(site, json.loads(looked.seen(admin, "ceph.monmap")["out"]))
    if looked.seen(admin, "ceph.ratios"):
        yield from _ratios(site, looked.seen(admin, "ceph.ratios")["out"])
    if looked.seen(admin, "ceph.pools"):
        pools = {p["pool_name"]: p for p in json.loads(looked.seen(admin, "ceph.pools")["out"])}
        yield from _pools(site, pools)
    if looked.seen(admin, "ceph.users"):
        yield from _users(site, looked)


def _health(site: Site, looked: Looked) -> Iterator[Finding]:
    admin = site.admin.name
    health = json.loads(looked.seen(admin, "ceph.health")["out"])
    typed = site.cluster.platform.by_hand
    codes, show = _codes(site.cluster.platform), root(typed("ceph", "health", "detail"))
    muted = {mute.get("code") for mute in health.get("mutes", ())}
    for code, check in sorted(health.get("checks", {}).items()):
        if code in muted or code in _SAID_ELSEWHERE:
            continue
        severe = check.get("severity") == "HEALTH_ERR"
        severity, cause, mend = codes.get(
            code, (ERROR if severe else NOTE, "Ceph says so; its manual names each code", (show,))
        )
        found = check.get("summary", {}).get("message", "") or code
        flags = re.match(r"([a-z,-]+) flag\(s\) set", found)
        if flags:
            names = flags.group(1).split(",")
            mend = (root("; ".join(typed("ceph", "osd", "unset", name) for name in names)),)
        yield Finding(
            severity, f"ceph.{code}", (admin,), f"health: {code}", found, "HEALTH_OK", cause, mend
        )


def _quorum(site: Site, monmap: dict[str, Json]) -> Iterator[Finding]:
    admin, platform = site.admin.name, site.cluster.platform
    quorum = set(monmap.get("quorum", ()))
    out = [mon["name"] for mon in monmap["mons"] if quorum and mon["rank"] not in quorum]
    if out:
        yield Finding(
            WARNING,
            "ceph.quorum",
            (admin,),
            "the quorum",
            f"without {', '.join(out)}",
            f"all {len(monmap['mons'])} monitors",
            "one more that ends may stop every client",
            (words(f"on {', '.join(out)}: {restart(platform, 'mon').text}"),),
        )


def _ratios(site: Site, text: str) -> Iterator[Finding]:
    admin, typed = site.admin.name, site.cluster.platform.by_hand
    ratios = {name: float(value) for name, value in re.findall(r'"(\w+)":\s*([0-9.]+)', text)}
    known = {"nearfull_ratio": 0.85, "backfillfull_ratio": 0.90, "full_ratio": 0.95}
    have = [ratios[name] for name in known if name in ratios]
    if len(have) == 3 and (have != sorted(have) or have[2] > 0.97):
        commands = [
            typed("ceph", "osd", f"set-{n.replace('_', '-')}", str(v))
            for n, v in reversed(known.items())
        ]
        found = ", ".join(f"{name} {ratios[name]}" for name in known)
        yield Finding(
            WARNING,
            "ceph.ratios",
            (admin,),
            "the full ratios",
            found,
            "nearfull < backfillfull < full, at most 0.97",
            "a cluster that fills to the brim cannot be mended by deleting",
            (root(" && ".join(commands)),),
        )


def _pools(site: Site, pools: dict[str, Json]) -> Iterator[Finding]:
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
        elif size > 1 and least == 1:
            yield Finding(
                WARNING,
                "pool.min_size",
                (admin,),
                f"pool {name}",
                "min_size 1",
                f"min_size {max(2, size - 1)}",
                "writes go on with a single copy: the next disk that dies loses them",
                (
                    root(
                        typed("ceph", "osd", "pool", "set", name, "min_size", str(max(2, size - 1)))
                    ),
                ),
            )
        groups = pool.get("pg_num", 0)
        if groups & (groups - 1) and pool.get("pg_autoscale_mode") != "on":
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


def _users(site: Site, looked: Looked) -> Iterator[Finding]:
    admin = site.admin.name
    answer = looked.seen(admin, "ceph.users")
    users = {u["entity"]: u.get("caps", {}) for u in json.loads(answer["out"])["auth_dump"]}
    release = versions.of_cluster(site, looked)
    for name, client in site.clients.items():
        caps = users.get(f"client.{name}", {})
        broad = [d for d, text in caps.items() if "allow *" in text]
        if broad and release:
            wanted = auth.wanted_caps(client, release)
            yield Finding(
                WARNING,
                "user.broad",
                (admin,),
                f"user client.{name}",
                "; ".join(f"{d}: {caps[d]}" for d in sorted(broad)),
                "; ".join(f"{d}: {wanted[d]}" for d in sorted(wanted)),
                "whoever gets this key from a service's host owns the whole cluster",
                (root(_caps_command(site, f"client.{name}", wanted)),),
            )
    if site.nova.ephemeral and site.glance.show_image_direct_url:
        client = site.clients[site.nova.client]
        if site.glance.pool not in client.rwx:
            yield Finding(
                NOTE,
                "user.snapshots",
                (admin,),
                f"user client.{site.nova.client}",
                f"pool {site.glance.pool} is read only",
                "written too",
                "Nova's snapshots of instances on RBD fall back to whole copies",
                (
                    words(
                        f"put {site.glance.pool!r} into clients.{site.nova.client}.rwx of the site "
                        "file"
                    ),
                    task("ceph.auth", limited=False),
                ),
            )
    yield from _backup(site, looked, users, release)


def _backup(site: Site, looked: Looked, users: Json, release: int | None) -> Iterator[Finding]:
    """cinder-backup's own user, where it is turned on."""
    admin = site.admin.name
    volumes = [use.pool for use in site.uses() if use.service == CINDER_VOLUME]
    for seen in looked.facts.hosts.values():
        options = sections(seen.get("cinder.conf")).get("DEFAULT", {})
        if "backup.drivers.ceph" not in options.get("backup_driver", "") or not release:
            continue
        name = options.get("backup_ceph_user", "cinder")
        pool = options.get("backup_ceph_pool", "backups")
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
                (root(_caps_command(site, entity, wider)),),
            )


def _caps_command(site: Site, entity: str, caps: dict[str, str], deed: str = "caps") -> str:
    pairs = [word for daemon in sorted(caps) for word in (daemon, caps[daemon])]
    return site.cluster.platform.by_hand("ceph", "auth", deed, entity, *pairs)
