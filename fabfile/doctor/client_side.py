"""Findings about a cluster of another team's, from its clients' side: as far as their caps allow.

Whether a client may read a pool is asked with its own keyring, where that is.  What only an admin
could tell is said to be not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

from fabfile.core.contract import INV, Host, Read
from fabfile.doctor import parts
from fabfile.doctor.finding import ERROR, NOTE, Finding, words
from fabfile.doctor.observation import Looked, client_read
from fabfile.model.deployment import Binding
from fabfile.model.site import Site
from fabfile.resources import keyrings


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them; none of a cluster whose admin key is here."""
    if not site.is_supplied:
        return
    for place in site.places:
        there = parts.looked_at(place, looked)
        for host in place.all_hosts():
            for binding in keyrings.wanted(place, host):
                yield from _pools(site, there, host, binding)
    yield Finding(
        NOTE,
        "cluster.supplied",
        (),
        f"the cluster {site.label}",
        "its health, quorum, room and settings, and what its users may write, not looked at",
        "an admin's access, or its own team's monitoring",
        "it is another team's: no admin key is here; that volumes can be written, "
        f"{INV} verify shows",
        (words(f"{INV} ceph.request prints what that team is asked to make"),),
    )


def _pools(site: Site, looked: Looked, host: Host, binding: Binding) -> Iterator[Finding]:
    """Pools that a client cannot read; nothing of one whose keyring is yet to come."""
    for use in (one for one in site.uses() if one.client == binding.client):
        read: Read = client_read(binding, use.pool)
        answer = looked.seen(host.name, read.id)
        if not answer or not answer["code"] or not looked.seen(host.name, f"keyring.{use.client}"):
            continue
        last = (answer["err"].strip().splitlines() or [f"exit code {answer['code']}"])[-1]
        yield Finding(
            ERROR,
            "client.pool",
            (host.name,),
            f"pool {use.pool} as client.{use.client}",
            last[:200],
            "that its images can be listed",
            "the pool is not there, the user's caps do not have it, its key is another one by now, "
            "or no monitor is reached from here",
            (words(f"send that team what {INV} ceph.request prints"),),
        )
