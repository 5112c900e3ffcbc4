"""Ceph pools: there, of the right kind, initialised for RBD.

What an existing pool is like is altered where the site file says so alone (pool_settings), and
a pool of another application is refused.  Before Luminous (12) a pool has no application, and
there is nothing to initialise.  A pool that no service names may be erasure-coded: RBD keeps data
there (rbd_default_data_pool), and the rest in a replicated one.  Source: procedure step 1;
docs.ceph.com, Erasure code with overwrites.
"""

from __future__ import annotations

from dataclasses import replace

from fabfile.core.contract import BadInput, Change, Facts, Host, Json, Read, Refused
from fabfile.model.phases import Leaving, Phase
from fabfile.model.site import Site
from fabfile.model.site_tables import Erasure, Pool
from fabfile.resources import by_cluster, cluster, pool_settings
from fabfile.resources.resource import Leaves, Resource, Stays


def reads(site: Site, host: Host) -> list[Read]:
    """The cluster, and what of it the pools' settings need."""
    return [*cluster.reads(site, host), *pool_settings.reads(site, host)]


_STAYS = "a pool is never deleted"


_LABELS = frozenset({"cinder-volume", "cinder-backup", "glance-image", "nova-vms"})
"""Applications of pools that are RBD's by another name.  Source: openstack-helm's pool jobs."""


def plan(site: Site, facts: Facts) -> list[Change]:
    """Creates and initialises what is missing.

    Raises BadInput for an erasure-coded pool that a service names, or one of another application,
    and for a pool that this Ceph would not create.
    """
    seen = cluster.seen(site, facts)
    changes: list[Change] = []
    for name, wanted in site.pools.items():
        pool = seen.pools.get(name)
        if pool is None:
            _refuse_without_number(name, wanted, seen.release)
            changes += _create(site, name, wanted)
        _refuse_other_kind(name, wanted, pool)
        if pool is not None and wanted.erasure and not _takes_overwrites(pool):
            changes.append(_overwrites(site, name))
        changes += pool_settings.plan(site, facts, name)
        if (pool is None or _needs_init(site, name, pool)) and seen.release >= cluster.LUMINOUS:
            changes.append(_init(site, name))
    return changes


def _refuse_without_number(name: str, wanted: Pool, release: int) -> None:
    """Before Octopus 'osd pool create' wants a pg_num (EINVAL).  Source: MonCommands.h."""
    if not wanted.pg_num and release < cluster.OCTOPUS:
        raise BadInput(
            subject=f"pools.{name}.pg_num",
            expected=f"a number (Ceph {release} makes no pool without)",
            found="none",
            advice="about 100 for each OSD and pool, divided by the pool's size, as a power of two",
        )


def _create(site: Site, name: str, wanted: Pool) -> list[Change]:
    host = site.admin.name
    argv = cluster.ceph(site, "osd", "pool", "create", name)
    if wanted.pg_num:
        argv += [str(wanted.pg_num), str(wanted.pg_num)]
    if wanted.erasure:
        argv += ["erasure", _profile(name)]
    size = f", size {wanted.size}" if wanted.size else ""
    groups = f"{wanted.pg_num} placement groups" if wanted.pg_num else "its autoscaler's pg_num"
    made = Change(
        host,
        f"pool {name}",
        f"create, {groups}{size}",
        "+",
        "run",
        {"argv": argv},
        wave=Phase.CLUSTER,
        kind="pool",
        subject=name,
        stays=_STAYS,
    )
    changes = [made]
    if wanted.erasure:
        changes = [_profile_made(site, name, wanted, wanted.erasure), made, _overwrites(site, name)]
    if wanted.size:
        sized = cluster.ceph(site, "osd", "pool", "set", name, "size", str(wanted.size))
        if wanted.size == 1:
            sized.append("--yes-i-really-mean-it")
        changes.append(
            Change(
                host,
                f"pool {name}",
                f"size {wanted.size}",
                "+",
                "run",
                {"argv": sized},
                wave=Phase.CLUSTER,
                kind="pool_size",
                subject=name,
                stays=_STAYS,
            )
        )
    return changes


def _profile(name: str) -> str:
    return f"stackrbd-{name}"


def _profile_made(site: Site, name: str, wanted: Pool, code: Erasure) -> Change:
    """Ceph keeps a profile as long as a pool has it: it is the pool's own."""
    words = [f"k={code.k}", f"m={code.m}", f"crush-failure-domain={code.failure_domain}"]
    words += [f"crush-device-class={wanted.device_class}"] if wanted.device_class else []
    argv = cluster.ceph(site, "osd", "erasure-code-profile", "set", _profile(name), *words)
    return _step(site, name, f"erasure code {' '.join(words)}", argv, "pool_profile")


def _overwrites(site: Site, name: str) -> Change:
    argv = cluster.ceph(site, "osd", "pool", "set", name, "allow_ec_overwrites", "true")
    return _step(site, name, "allow overwrites, which RBD needs", argv, "pool_overwrites")


def _step(site: Site, name: str, sentence: str, argv: list[str], kind: str) -> Change:
    return Change(
        site.admin.name,
        f"pool {name}",
        sentence,
        "+",
        "run",
        {"argv": argv},
        wave=Phase.CLUSTER,
        kind=kind,
        subject=name,
        stays=_STAYS,
    )


def _refuse_other_kind(name: str, wanted: Pool, pool: dict[str, Json] | None) -> None:
    """A pool's kind is for ever: data would have to be moved to another pool."""
    if pool is None or not wanted.erasure or is_erasure_coded(pool):
        return
    raise BadInput(
        subject=f"pools.{name}",
        expected="an erasure-coded pool",
        found="a replicated one",
        advice="a pool cannot become another kind: name another, or take erasure out",
    )


def _init(site: Site, name: str) -> Change:
    host = site.admin.name
    argv = site.cluster.rbd("pool", "init", name)
    if site.pools[name].erasure:  # it holds data alone, and no image
        argv = cluster.ceph(site, "osd", "pool", "application", "enable", name, "rbd")
    sentence = "initialise for RBD (application rbd)"
    return Change(
        host,
        f"pool {name}",
        sentence,
        "~",
        "run",
        {"argv": argv},
        wave=Phase.CLUSTER,
        kind="pool_application",
        subject=name,
        stays="no application is taken from a pool, which may hold images",
    )


def _needs_init(site: Site, name: str, pool: dict[str, Json]) -> bool:
    if is_erasure_coded(pool):
        _refuse_unfit(site, name, pool)
    applications = set(pool.get("application_metadata", {}))
    other = applications - {"rbd"}
    if other and other <= _LABELS:
        if "rbd" in applications:
            return False
        enable = ("osd", "pool", "application", "enable", name, "rbd", "--yes-i-really-mean-it")
        raise Refused(
            host=site.admin.name,
            subject=f"pools.{name}",
            expected="a pool for rbd",
            found=f"one for {', '.join(sorted(other))}",
            why="images of RBD under another label: caps and commands go by the application rbd",
            advice="enable rbd for it too",
            mend=[site.cluster.platform.by_hand("ceph", *enable)],
        )
    if other:
        found = ", ".join(sorted(applications))
        raise BadInput(
            subject=f"pools.{name}",
            expected="a pool for rbd",
            found=f"one for {found}",
            advice="name another",
        )
    return not applications


def leaving(site: Site, rest: Site, facts: Facts) -> Leaves:
    """The pools that go, by their names alone: who asks has seen that they are empty."""
    there = cluster.seen(site, facts).pools
    found: list[Change | Stays] = []
    for name in (one for one in site.pools if one not in rest.pools and one in there):
        sure = "--yes-i-really-really-mean-it"
        argv = cluster.ceph(site, "osd", "pool", "rm", name, name, sure)
        found.append(_leaves(site, name, "delete: it is empty", argv, "pool"))
        if there[name].get("erasure_code_profile") == _profile(name):
            profile = cluster.ceph(site, "osd", "erasure-code-profile", "rm", _profile(name))
            found.append(_leaves(site, name, "its erasure code", profile, "pool_profile"))
    return found


def _leaves(site: Site, name: str, sentence: str, argv: list[str], kind: str) -> Change:
    made = _step(site, name, sentence, argv, kind)
    return replace(made, sign="-", wave=Leaving.POOLS, stays="a pool that is gone is made anew")


def is_erasure_coded(pool: dict[str, Json]) -> bool:
    """Whether it holds no heads of images, which need a replicated one."""
    return bool(pool.get("type") == 3 or pool.get("erasure_code_profile"))


def _takes_overwrites(pool: dict[str, Json]) -> bool:
    return "ec_overwrites" in str(pool.get("flags_names", "")).split(",")


def _refuse_unfit(site: Site, name: str, pool: dict[str, Json]) -> None:
    """Raises BadInput for one that a service names, or that cannot hold RBD's data."""
    if name in {use.pool for use in site.uses()}:
        raise BadInput(
            subject=f"pools.{name}",
            expected="a replicated pool",
            found="an erasure-coded one",
            advice="name a replicated one, and let RBD keep data in this one "
            f"(rbd_default_data_pool = {name}, for the client of the service)",
        )
    if not _takes_overwrites(pool) and not site.pools[name].erasure:
        allow = ("osd", "pool", "set", name, "allow_ec_overwrites", "true")
        raise Refused(
            host=site.admin.name,
            subject=f"pools.{name}",
            expected="an erasure-coded pool with overwrites",
            found="one without",
            why="RBD overwrites parts of objects",
            advice="allow overwrites (its OSDs must be BlueStore)",
            mend=[site.cluster.platform.by_hand("ceph", *allow)],
        )


RESOURCE = by_cluster.each(
    Resource("ceph.pools", reads, plan, pool_settings.notes, leaving=leaving), alters=True
)
