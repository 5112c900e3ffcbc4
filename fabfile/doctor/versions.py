"""Findings about versions: Ceph's libraries against the cluster and its keys, the releases."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from fabfile.core.contract import Stop
from fabfile.doctor.finding import ERROR, NOTE, RESTART_ALL, WARNING, Finding, Step, root, words
from fabfile.doctor.observation import Looked
from fabfile.model import ceph_releases, releases
from fabfile.model.ceph_releases import AES256K
from fabfile.model.site import Site
from fabfile.resources import client_limits, cluster


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them."""
    yield from _libraries(site, looked)
    yield from _releases(site, looked)


def _upgrade(site: Site, host: str) -> Step:
    platform = site.platform_of(site.host(host))
    packages = *platform.packages["libraries"], platform.packages["client"][0]
    return root(platform.by_hand("upgrade", *packages))


_OTHER = {
    "newer": (
        NOTE,
        "what is new in that release, or gone from it, is not known here",
        words("look for an update of this program; try it on one compute first (--limit)"),
    ),
    "mixed": (
        NOTE,
        "an upgrade is under way, or was left half done",
        words('finish the upgrade; then release = "auto" in the site file'),
    ),
    "stale": (
        WARNING,
        "options are written as another release needs them",
        words('release = "auto" in the site file, or the name of the release that is there'),
    ),
}


def _releases(site: Site, looked: Looked) -> Iterator[Finding]:
    """Releases of OpenStack and Ceph that are others than those which count, or not known."""
    if other := looked.other_release:
        severity, cause, step = _OTHER[other.kind]
        code, expected = f"release.{other.kind}", looked.release
        yield Finding(severity, code, (), "OpenStack", other.text, expected, cause, (step,))
    if text := ceph_releases.newer(of_cluster(site, looked)):
        _, cause, step = _OTHER["newer"]
        expected = ceph_releases.NAMES[-1]
        host = (site.admin.name,)
        yield Finding(NOTE, "ceph.newer", host, "the cluster", text, expected, cause, (step,))


def _libraries(site: Site, looked: Looked) -> Iterator[Finding]:
    cluster_is = of_cluster(site, looked)
    new_keys = _new_keys(site, looked)
    for host, seen in looked.facts.hosts.items():
        libraries = seen.get("packages", {})
        rados, rbd = libraries.get("librados2"), libraries.get("librbd1")
        if rados and rbd and rados != rbd:
            yield Finding(
                WARNING,
                "library.mixed",
                (host,),
                "librbd1, librados2",
                f"{rbd}, {rados}",
                "the same version of both",
                "they came from two sources: Python programs that load both may crash",
                (_upgrade(site, host), RESTART_ALL),
            )
        old = ceph_releases.version(rados)
        mine = [name for name in new_keys if name in _clients(site, host)]
        if old and mine and not AES256K.known_to(old):
            yield Finding(
                ERROR,
                "library.aes256k",
                (host,),
                "librados2",
                str(rados),
                f"{AES256K.since()}, or later",
                f"keys of the new kind (aes256k) are refused there: {', '.join(mine)}",
                (_upgrade(site, host), RESTART_ALL),
            )
        if old and cluster_is and old.major < cluster_is - 2:
            yield Finding(
                WARNING,
                "library.old",
                (host,),
                "librados2",
                str(rados),
                f"at most two releases behind the cluster's {cluster_is}",
                "Ceph is tested with clients of two releases back",
                (_upgrade(site, host), RESTART_ALL),
            )


def _clients(site: Site, host: str) -> set[str]:
    """Those as whom a host logs in; facts may be of the cloud too, which is no host."""
    if host not in site.hosts:
        return set()
    return {binding.client for binding in site.bindings_of(site.host(host))}


def of_cluster(site: Site, looked: Looked) -> int | None:
    """The major version of the oldest monitor; None where none was told, or no number."""
    if not {"ceph.version", "ceph.versions"} <= set(looked.facts.hosts.get(site.admin.name, {})):
        return None
    try:
        return cluster.release(looked.facts, site.admin.name)
    except Stop:
        return None


def kinds(looked: Looked, admin: str) -> Mapping[str, set[int]]:
    """{'mon' or 'osd': major versions}; none where they were not told."""
    answer = looked.seen(admin, "ceph.versions")
    told = json.loads(answer["out"]) if answer and answer["code"] == 0 else {}
    return {
        kind: {n for text in told.get(kind) or {} if (n := ceph_releases.major(text))}
        for kind in ("mon", "osd")
    }


def _new_keys(site: Site, looked: Looked) -> list[str]:
    answer = looked.seen(site.admin.name, client_limits.KINDS)
    return client_limits.of_new_kind(site, answer["out"] if answer else "")


def openstack(looked: Looked) -> dict[str, list[str]]:
    """{'nova 26.2.2': [hosts]}: the services' versions, as the packages say."""
    found: dict[str, list[str]] = {}
    for host, seen in looked.facts.hosts.items():
        for package, version in sorted(seen.get("packages", {}).items()):
            if version and package in releases.PACKAGES:
                name = package.partition("-")[0]
                bare = re.sub(r"^\d+:", "", version).partition("-")[0]
                found.setdefault(f"{name} {bare}", []).append(host)
    return found


def ceph(site: Site, looked: Looked) -> dict[str, int]:
    """{'16.2.15': daemons}."""
    answer = looked.seen(site.admin.name, "ceph.versions")
    if not answer or answer["code"] != 0:
        return {}
    told = json.loads(answer["out"])
    overall = told.get("overall") or told.get("mon") or {}
    found = {}
    for text, count in overall.items():
        number = re.match(r"ceph version (\S+)", text)
        found[number.group(1) if number else text] = count
    return found
