"""What of a cluster's clients goes when a part of the site does, and what else logs in by one.

A client goes with the last service of the site that logs in by it.  Guests and attachments that
were made with it may be left all the same: then it stays, with its secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fabfile.core.contract import CLOUD, Facts, Read
from fabfile.model.site import Site
from fabfile.resources import cluster, domains, secret_uuid

ATTACHMENTS = Read("attachments", "attachments")
"""Every attachment of RBD that Cinder has, of all projects."""
MOST_GUESTS = 1024
"""Running guests of a compute; more are a fault, as what is not asked for would look absent."""


def clients(part: Site, rest: Site) -> list[str]:
    """A cluster's clients by which nothing of the rest logs in; part, rest: as that has them."""
    before, after = set(part.used_clients()), set(rest.used_clients())
    return [
        name
        for name in part.clients
        if name not in rest.clients or (name in before and name not in after)
    ]


def uses(part: Site, facts: Facts, client: str) -> list[str]:
    """Guests that run and attachments that were made with a client of a part; facts: its own."""
    return [*_guests(part, facts, client), *_attachments(part, facts, client)]


def _guests(part: Site, facts: Facts, client: str) -> Iterator[str]:
    found: dict[str, None] = {}
    for host, domain, disk in domains.running(facts.hosts):
        if _is_of(part, facts, client, (disk.user, disk.uuid, disk.monitors)):
            found[f"guest {domain} on {host}"] = None
    yield from found


def _attachments(part: Site, facts: Facts, client: str) -> Iterator[str]:
    for one in facts.hosts.get(CLOUD, {}).get(ATTACHMENTS.id) or ():
        if _is_of(part, facts, client, (one["user"], one["uuid"], one["monitors"])):
            yield f"attachment of volume {one['volume']}"


def _is_of(
    part: Site, facts: Facts, client: str, disk: tuple[str, str, list[str] | tuple[str, ...]]
) -> bool:
    """Whether a disk is one of this cluster's client: by its secret, or its name.

    The name may be of another cluster's client too: then the monitors tell.
    """
    user, uuid, monitors = disk
    if uuid and uuid == facts.known.get(secret_uuid.known_as(client)):
        return True
    if user != client:
        return False
    here = cluster.live(part, facts)
    known = {address.strip("[]") for address in monitors}
    return not (part.siblings and known and not known & here)


def named(things: Sequence[str], most: int = 3) -> str:
    """Some of them by their names, and how many more there are."""
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return f"{', '.join(things[:most])}{more}"
