"""A site in a few lines: who is who, which versions, which pools, how far it has drifted."""

from __future__ import annotations

import json
from typing import Any

from fabfile.core.contract import Change
from fabfile.doctor import services, versions
from fabfile.doctor.looked import Looked
from fabfile.resources.site import ROLES


def summary(site: Any, looked: Looked, changes: tuple[tuple[str, Change], ...]) -> dict[str, Any]:
    """{what: value}; what was not seen is left out.

    drift: what `integrate` would do: {'changes': number, 'hosts': names, 'tasks': names}.
    """
    found: dict[str, Any] = {
        "roles": {role: [h.name for h in site.with_role(role)] for role in ROLES},
        "silent": sorted(looked.unreachable),
        "openstack": {"release": looked.release, "packages": versions.openstack(looked)},
        "libvirt": _libvirt(site, looked),
        "drift": {
            "changes": len(changes),
            "hosts": sorted({change.host for _, change in changes}),
            "tasks": list(dict.fromkeys(name for name, _ in changes)),
        },
    }
    return found | _ceph(site, looked)


def _libvirt(site: Any, looked: Looked) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for host in site.with_role("compute"):
        kind = services.daemons(looked.facts.hosts.get(host.name, {}))
        if kind:
            found.setdefault(kind, []).append(host.name)
    return found


def _ceph(site: Any, looked: Looked) -> dict[str, Any]:
    health, monmap, listed, used = (
        json.loads(answer["out"]) if (answer := looked.seen(site.admin.name, read)) else None
        for read in ("ceph.health", "ceph.monmap", "ceph.pools", "ceph.df")
    )
    found: dict[str, Any] = {}
    if health and monmap:
        found["ceph"] = {
            "fsid": monmap["fsid"],
            "health": health.get("status", ""),
            "codes": sorted(health.get("checks", {})),
            "monitors": len(monmap["mons"]),
            "quorum": len(monmap.get("quorum", monmap["mons"])),
            "versions": versions.ceph(site, looked),
        }
    if listed is not None:
        stats = {pool["name"]: pool.get("stats", {}) for pool in (used or {}).get("pools", ())}
        found["pools"] = {
            pool["pool_name"]: {
                "size": pool.get("size"),
                "pg_num": pool.get("pg_num"),
                "applications": sorted(pool.get("application_metadata", {})),
                "bytes": stats.get(pool["pool_name"], {}).get("bytes_used"),
                "full": stats.get(pool["pool_name"], {}).get("percent_used"),
            }
            for pool in listed
            if pool["pool_name"] in site.pools
        }
    return found
