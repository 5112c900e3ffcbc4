"""Ceph's files on hosts that have them in several places: asked and planned for each.

A container has a folder of its own, so that a host may have the same file of one cluster, and the
same client's keyring, more than once.  What is read there carries its service's name:
'ceph.conf@glance-api'.  In a place's facts the names are the plain ones again, and nothing of
another place is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fabfile.core.contract import CLOUD, Change, Facts, Host, Read
from fabfile.model.site import Site
from fabfile.resources.resource import Leaves, Resource

_OF_A_PLACE = (
    *("ceph.conf", "ceph.folder", "ceph.keyrings"),
    *("keyring.", "keyrings.", "keyfiles.", "as."),
)
"""How the names of what is a place's own begin; the rest is the host's, or the cluster's."""


def named(place: Site, name: str) -> str:
    """A read's id as the place's part has it."""
    own = place.place and name.startswith(_OF_A_PLACE)
    return f"{name}@{place.place.name}" if place.place and own else name


def is_of(name: str, thing: str) -> bool:
    """Whether a read's id is that of a thing, of whatever place."""
    return name.partition("@")[0] == thing


def on(part: Site, host: str, path: str) -> Site:
    """The place of a host that has a path in its folder; the first of all where none has."""
    there = [place for place in part.places if host in place.hosts]
    folders = {place.platform_of(place.host(host)).ceph["folder"]: place for place in there}
    within = [folder for folder in folders if path.startswith(f"{folder}/") or path == folder]
    return folders[max(within, key=len)] if within else (*there, part)[0]


def plain(place: Site, things: Mapping[str, Any]) -> dict[str, Any]:
    """What is a place's of what is named so, under plain names."""
    own, found = place.place.name if place.place else "", {}
    for name, value in things.items():
        base, _, at = name.partition("@") if name.startswith(_OF_A_PLACE) else (name, "", own)
        if at == own:
            found[base] = value
    return found


def facts_of(place: Site, facts: Facts) -> Facts:
    """A part's facts as one of its places has them: of its hosts, and of the cluster's own."""
    if not place.is_place:
        return facts
    kept = {*place.hosts, place.admin.name, CLOUD}
    hosts = {name: plain(place, seen) for name, seen in facts.hosts.items() if name in kept}
    return replace(facts, hosts=hosts)


def reads(part: Site, host: Host, ask: Callable[[Site, Host], Iterable[Read]]) -> list[Read]:
    """What each place of a part asks of a host."""
    if len(part.places) == 1:
        return list(ask(part, host))
    return [
        replace(read, id=named(place, read.id))
        for place in part.places
        if host.name == CLOUD or host.name in place.hosts
        for read in ask(place, host if host.name == CLOUD else place.host(host.name))
    ]


def each(one: Resource) -> Resource:
    """The resource of a part whose hosts have several places, of one that knows one."""

    def plan(part: Site, facts: Facts) -> Sequence[Change]:
        return [
            change for place in part.places for change in one.plan(place, facts_of(place, facts))
        ]

    def leaving(part: Site, rest: Site, facts: Facts) -> Leaves:
        return [
            left
            for place in part.places
            for left in one.leaving(
                place, rest.at(place.place) if place.is_place else rest, facts_of(place, facts)
            )
        ]

    return replace(
        one,
        reads=lambda part, host: reads(part, host, one.reads),
        plan=plan,
        leaving=leaving if one.leaves else one.leaving,
    )
