"""Ceph pools: there, of the right kind, initialised for RBD.

An existing pool's size and pg_num are never altered, and a pool of another
application is refused.  Before Luminous (12) a pool has no application, and there is
nothing to initialise.  Source: procedure step 1.
"""

from __future__ import annotations

from fabfile.core.contract import BadInput, Change, Facts, Json
from fabfile.model.phases import Phase
from fabfile.model.site import Pool, Site
from fabfile.resources import cluster
from fabfile.resources.resource import Resource

reads = cluster.reads
_STAYS = "a pool is never deleted"


def plan(site: Site, facts: Facts) -> list[Change]:
    """Creates and initialises what is missing.

    Raises BadInput for an erasure-coded pool or one of another application.
    """
    seen = cluster.seen(site, facts)
    changes: list[Change] = []
    for name, wanted in site.pools.items():
        pool = seen.pools.get(name)
        if pool is None:
            changes += _create(site, name, wanted)
        if (pool is None or _needs_init(name, pool)) and seen.release >= cluster.LUMINOUS:
            changes.append(_init(site, name))
    return changes


def _create(site: Site, name: str, wanted: Pool) -> list[Change]:
    host = site.admin.name
    argv = cluster.ceph(site, "osd", "pool", "create", name)
    if wanted.pg_num:
        argv += [str(wanted.pg_num), str(wanted.pg_num)]
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


def _init(site: Site, name: str) -> Change:
    host = site.admin.name
    argv = site.cluster.rbd("pool", "init", name)
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


def _needs_init(name: str, pool: dict[str, Json]) -> bool:
    if pool.get("type") == 3 or pool.get("erasure_code_profile"):
        raise BadInput(
            subject=f"pools.{name}", expected="a replicated pool", found="an erasure-coded one"
        )
    applications = set(pool.get("application_metadata", {}))
    if applications - {"rbd"}:
        found = ", ".join(sorted(applications))
        raise BadInput(
            subject=f"pools.{name}",
            expected="a pool for rbd",
            found=f"one for {found}",
            advice="name another",
        )
    return not applications


RESOURCE = Resource("ceph.pools", reads, plan)
