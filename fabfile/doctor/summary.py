"""A site in a few lines: who is who, which versions, which pools, how far it has drifted."""

from __future__ import annotations

import json
from typing import TypedDict

from fabfile.doctor import parts, services, upgrades, versions
from fabfile.doctor.observation import Looked
from fabfile.doctor.pending_plan import Planned
from fabfile.model.site import Site
from fabfile.model.site_tables import ROLES


class Drift(TypedDict):
    """What `integrate` would do, as far as it is known.

    tasks: names; known: whether nothing is unknown; unknown: names of hosts of which
    something could not be looked at or planned.
    """

    changes: int
    hosts: list[str]
    tasks: list[str]
    known: bool
    unknown: list[str]


class OpenStack(TypedDict):
    """release: the one that counts; note: '' or why that is another one than the hosts have.

    packages: {'nova 26.2.2': hosts}.
    """

    release: str
    note: str
    packages: dict[str, list[str]]


class Ceph(TypedDict):
    """The cluster; versions: {'16.2.15': daemons}."""

    fsid: str
    health: str
    codes: list[str]
    monitors: int
    quorum: int
    versions: dict[str, int]


class Pool(TypedDict):
    """A pool; None for what was not seen."""

    size: int | None
    pg_num: int | None
    applications: list[str]
    bytes: int | None
    full: float | None


class CephSide(TypedDict, total=False):
    """What Ceph says, where it answered."""

    ceph: Ceph
    pools: dict[str, Pool]


class Summary(CephSide):
    """A site in a few lines; what was not seen is left out.

    clusters: {name in the site file: what it says}, where there are several; ceph and pools are
    then the first one's.

    upgrades: what of it can go on, and what that needs before.
    """

    roles: dict[str, list[str]]
    silent: list[str]
    openstack: OpenStack
    libvirt: dict[str, list[str]]
    drift: Drift
    upgrades: list[str]
    clusters: dict[str, CephSide]


def summary(site: Site, looked: Looked, planned: Planned) -> Summary:
    """The site in a few lines."""
    sides = [(part.label, _ceph(part, parts.looked_of(part, looked))) for part in site.parts]
    return {
        "roles": {role: [h.name for h in site.with_role(role)] for role in ROLES},
        "silent": sorted(looked.unreachable),
        "openstack": {
            "release": looked.release,
            "note": looked.other_release.text if looked.other_release else "",
            "packages": versions.openstack(looked),
        },
        "libvirt": _libvirt(site, looked),
        "drift": drift(site, looked, planned),
        "upgrades": _ahead(site, looked),
        "clusters": {} if site.is_of_one else dict(sides),
        **sides[0][1],
    }


def _ahead(site: Site, looked: Looked) -> list[str]:
    found: dict[str, str] = {}
    for part in site.parts:
        for said in upgrades.ahead(part, parts.looked_of(part, looked)):
            found.setdefault(said, part.cluster.tag.rstrip("/"))
    return [f"{label}: {said}" if label else said for said, label in found.items()]


def drift(site: Site, looked: Looked, planned: Planned) -> Drift:
    """What `integrate` would do, as far as it is known."""
    unknown = _unknown(site, looked, planned)
    return {
        "changes": len(planned.changes),
        "hosts": sorted({change.host for _, change in planned.changes}),
        "tasks": list(dict.fromkeys(name for name, _ in planned.changes)),
        "known": not unknown,
        "unknown": sorted(unknown),
    }


def _unknown(site: Site, looked: Looked, planned: Planned) -> set[str]:
    """Every host that was asked, where the doubt is about the site or its cluster."""
    unknown = {*looked.unreachable, *(host for host, _ in looked.errors)}
    refused = [finding.hosts for finding in planned.refused.values()]
    if looked.doubts or {h.name for h in site.admins} & unknown or () in refused:
        return {*looked.facts.hosts, *unknown}
    return unknown.union(*refused)


def _libvirt(site: Site, looked: Looked) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for host in site.with_role("compute"):
        kind = services.daemons(looked.facts.hosts.get(host.name, {}))
        if kind:
            found.setdefault(kind, []).append(host.name)
    return found


def _ceph(site: Site, looked: Looked) -> CephSide:
    health, monmap, listed, used = (
        json.loads(answer["out"]) if (answer := looked.seen(site.admin.name, read)) else None
        for read in ("ceph.health", "ceph.monmap", "ceph.pools", "ceph.df")
    )
    found: CephSide = {}
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
