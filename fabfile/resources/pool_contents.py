"""What lies in a cluster's pools: the images of RBD, what is in the trash, and namespaces.

Knows rbd's questions and how its answers are read; what could not be seen is never empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from fabfile.core import strict_json
from fabfile.core.contract import Facts, Host, Json, Read
from fabfile.core.text import counted
from fabfile.model.site import Site
from fabfile.resources import by_cluster

_NO_POOL = 2
_KINDS = ("images", "trash")
_NO_NAMESPACES = (1, 22)
"""How rbd ends that knows none: before Nautilus."""


def reads(site: Site, host: Host) -> Iterator[Read]:
    """Which of a cluster's pools hold images, on its first Ceph host."""
    if host != site.admin:
        return
    for pool in site.pools:
        argv = site.cluster.rbd("ls", "--format", "json", "-p", pool)
        yield Read(f"images.{pool}", "argv", {"argv": argv, "ok": [0, _NO_POOL]})
        trash = site.cluster.rbd("trash", "ls", "--all", "--format", "json", "-p", pool)
        yield Read(f"trash.{pool}", "argv", {"argv": trash, "ok": [0, _NO_POOL]})


def namespaces(site: Site, host: Host, pools: Iterable[str]) -> Iterator[Read]:
    """The namespaces of pools: what is in them, no list of images has."""
    if host == site.admin:
        for pool in pools:
            argv = site.cluster.rbd("namespace", "ls", "--format", "json", "-p", pool)
            args = {"argv": argv, "ok": [0, _NO_POOL, *_NO_NAMESPACES]}
            yield Read(f"ceph.namespaces.{pool}", "argv", args)


def listed(answer: Mapping[str, Json] | None) -> list[Json] | None:
    """What rbd lists, nothing where there is no such pool; None for what is no list."""
    if answer is None:
        return None
    if answer["code"] == _NO_POOL or (answer["code"] == 0 and not answer["out"]):
        return []
    try:
        found = strict_json.loads(answer["out"])
    except ValueError:
        return None
    return found if isinstance(found, list) else None


def names(part: Site, facts: Facts, pool: str) -> list[str] | None:
    """The images of a pool by their names; None where they were not seen."""
    found = _seen(part, facts, f"images.{pool}")
    return found if found is None else [str(name) for name in found]


def empty(part: Site, facts: Facts, pool: str) -> str:
    """'' for a pool that holds nothing of RBD's, the trash included; else what it holds."""
    for kind in _KINDS:
        found = _seen(part, facts, f"{kind}.{pool}")
        if found is None:
            return f"whether it holds {kind} was not seen"
        if found:
            return counted(len(found), "image") + (" in the trash" if kind != "images" else "")
    answer = by_cluster.facts_of(part, facts).hosts.get(part.admin.name, {})
    spaces = answer.get(f"ceph.namespaces.{pool}")
    if spaces and spaces["code"] in _NO_NAMESPACES:
        return ""
    found = listed(spaces)
    if found is None:
        return "whether it has namespaces was not seen"
    return counted(len(found), "namespace") if found else ""


def _seen(part: Site, facts: Facts, read: str) -> list[Json] | None:
    return listed(by_cluster.facts_of(part, facts).hosts.get(part.admin.name, {}).get(read))
