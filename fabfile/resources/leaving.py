"""What of a cluster's clients goes when a part of the site does, and what else logs in by one.

A client goes with the last service of the site that logs in by it.  Guests and attachments that
were made with it may be left all the same: then it stays, with its secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fabfile.core.contract import CLOUD, Facts, Read
from fabfile.model.option_values import items
from fabfile.model.site import Site
from fabfile.resources import cluster, domains, in_force, secret_uuid

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


def used_by(part: Site, facts: Facts, client: str) -> list[str]:
    """All that a client of a part stays for, also when the site's services do not use it."""
    return [*uses(part, facts, client), *(said for _, said in in_force_as(part, facts, client))]


def in_force_as(part: Site, facts: Facts, client: str) -> list[tuple[str, str]]:
    """(host, option) by which a service that is not the site's logs in as that client."""
    return [
        (host, f"{host}: [{section}] {key} = {client}")
        for host, options, (section, key) in _named_in_files(part, facts, client)
        if _is_in_force(options, section, key)
    ]


def named_in_files(part: Site, facts: Facts, client: str) -> list[str]:
    """Options that name the client, in sections that are not the site's, in force or not."""
    return [
        f"{host}: [{section}] {key} = {client}"
        for host, _, (section, key) in _named_in_files(part, facts, client)
    ]


def _named_in_files(
    part: Site, facts: Facts, client: str
) -> Iterator[tuple[str, in_force.Options, tuple[str, str]]]:
    """(host, what is in force there, the option); facts: the part's own."""
    ours = {
        (use.service.project, in_force.same(use.section))
        for use in part.whole.uses()
        if use.client == client
    }
    for host, seen in facts.hosts.items():
        for service in ("cinder", "glance", "nova", "cinder.backup"):
            if not seen.get(f"{service}.conf"):
                continue
            options = in_force.with_default_users(in_force.options(seen, service))
            for (section, key), value in options.items():
                mine = (service.partition(".")[0], section) in ours
                if key in in_force.USER_OPTIONS and value == client and not mine:
                    yield host, options, (section, key)


def _is_in_force(options: in_force.Options, section: str, key: str) -> bool:
    """Whether a service reads it: a section that no list names is one of before."""
    listed = items(options.get(("DEFAULT", "enabled_backends"), ""))
    names = {in_force.same(one.partition(":")[0]) for one in listed}
    return not names or section in names or key == "backup_ceph_user"


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
