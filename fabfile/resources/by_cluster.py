"""A resource that knows one cluster, for a site of several: asked and planned for each part.

A host may have the same thing of two clusters (a ceph.conf, a keyring), so that what is read of a
cluster beside the site file's own carries its name: 'west/ceph.conf'.  In a part's facts the names
are the plain ones again, and nothing of another cluster is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from fabfile.core.contract import CLOUD, Change, Facts, Host, Read, Stop
from fabfile.model.site import Site
from fabfile.resources.resource import Leaves, Resource, Stays

_OF_A_CLUSTER = ("ceph.", "keyring.", "keyrings.", "keyfiles.", "images.", "trash.", "uuid.", "as.")
"""How the names of what is a cluster's own begin; the rest is the host's."""


def tagged(part: Site, name: str) -> str:
    """A read's id, or a known thing's name, as the whole site has it."""
    return f"{part.cluster.tag}{name}" if name.startswith(_OF_A_CLUSTER) else name


def facts_of(part: Site, facts: Facts) -> Facts:
    """The facts as a part has them: its hosts, its cluster's answers under their plain names."""
    if part.is_whole:
        return facts
    hosts = {
        name: untagged(part, seen)
        for name, seen in facts.hosts.items()
        if name in part.hosts or name == CLOUD
    }
    return replace(facts, hosts=hosts, known=untagged(part, facts.known))


def untagged(part: Site, named: Mapping[str, Any]) -> dict[str, Any]:
    """What is a part's of what is named so, under plain names."""
    tag = part.cluster.tag
    found = {}
    for name, value in named.items():
        own = name.removeprefix(tag)
        mine = own != name or not tag or not name.startswith(_OF_A_CLUSTER)
        if "/" not in own and mine:
            found[own] = value
    return found


def reads(site: Site, host: Host, ask: Callable[[Site, Host], Iterable[Read]]) -> list[Read]:
    """What each part asks of a host."""
    return [
        replace(read, id=tagged(part, read.id))
        for part in site.parts
        if host.name == CLOUD or host.name in part.hosts
        for read in ask(part, host if host.name == CLOUD else part.host(host.name))
        if not (part.is_supplied and _is_of_an_admin(part, read))
    ]


def _is_of_an_admin(part: Site, read: Read) -> bool:
    """Whether it asks the cluster itself: what was handed over stands for the answer."""
    begin = part.cluster.platform.commands
    argv = list(read.args.get("argv", ()))
    return any(argv[: len(begin[name])] == list(begin[name]) for name in ("ceph", "rbd"))


@contextmanager
def saying_which(part: Site) -> Iterator[None]:
    """A Stop that the block raises says of which cluster it is, where there are several; once, as
    what a host did not answer is raised by each who asks for it."""
    try:
        yield
    except Stop as stop:
        if part.cluster.tag and part.label not in stop.clusters:
            stop.clusters += (part.label,)
            stop.add(f"(cluster {part.label}: [clusters.{part.label}] in the site file)")
        raise


def each(one: Resource, alters: bool = False) -> Resource:
    """The resource of a site of several clusters, of one that knows one.

    alters: whether it alters the cluster itself, which is another team's where that is supplied.
    """

    def its(site: Site) -> list[Site]:
        return [part for part in site.parts if not (alters and part.is_supplied)]

    def ask(site: Site, host: Host) -> Sequence[Read]:
        return reads(site, host, one.reads)

    def plan(site: Site, facts: Facts, before: Sequence[Change] = ()) -> Sequence[Change]:
        found: list[Change] = []
        for part in its(site):
            with saying_which(part):
                planned = one.planned(part, facts_of(part, facts), _of(part, before))
            found += [change for change in planned if change not in found]  # one folder of two
        return found

    def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> Sequence[str]:
        return [
            said
            for part in its(site)
            for said in one.notes(part, facts_of(part, facts), _of(part, changes))
        ]

    def follow_up(site: Site, facts: Facts) -> Sequence[Read]:
        return [
            replace(read, id=tagged(part, read.id))
            for part in site.parts
            for read in one.follow_up_reads(part, facts_of(part, facts))
        ]

    def leaving(site: Site, rest: Site, facts: Facts) -> Leaves:
        found: list[Change | Stays] = []
        for part in its(site):
            with saying_which(part):
                left = rest.counterpart(part.label)
                found += one.leaving(part, left, facts_of(part, facts))
        return found

    def again(site: Site) -> Collection[str]:
        return {name for part in site.parts for name in one.reread_hosts(part)}

    return replace(
        one,
        of_a_cluster=True,
        reads=ask,
        plan=plan,
        notes=notes,
        follow_up_reads=follow_up,
        reread_hosts=again,
        leaving=leaving if one.leaves else one.leaving,
    )


def _of(part: Site, changes: Sequence[Change]) -> list[Change]:
    """Those on a part's hosts."""
    return [one for one in changes if part.is_whole or one.host in part.hosts]
