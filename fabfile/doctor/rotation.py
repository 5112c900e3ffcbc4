"""Clients whose place others take: how far that is, and what is done next."""

from __future__ import annotations

from collections.abc import Iterator

from fabfile.core.contract import Facts
from fabfile.doctor.finding import NOTE, Finding, task, words
from fabfile.doctor.observation import Looked, calm
from fabfile.model.site import Site
from fabfile.resources import cluster, rotation


def findings(site: Site, looked: Looked) -> list[Finding]:
    """One for each client of a part's cluster that takes another's place."""
    users = cluster.users_seen(looked.facts, site.admin.name)
    if users is None:
        return []
    facts = calm(site, looked.facts)
    return [one for new, old in site.replaced.items() for one in _of(site, facts, users, new, old)]


def _of(
    site: Site, facts: Facts, users: dict[str, dict[str, object]], new: str, old: str
) -> Iterator[Finding]:
    guests = rotation.open_disks(site, facts, old, None if site.siblings else ())
    hosts = tuple(dict.fromkeys(host for host, _ in guests))
    named = rotation.named_by(site, facts, old)
    said = [
        "" if f"client.{new}" in users else f"client.{new} is not there yet",
        f"{', '.join(named[:3])} names it" if named else "",
        f"{len(guests)} running guests have disks by it" if guests else "",
    ]
    if f"client.{old}" in users or any(said):
        found = "; ".join(filter(None, said)) or "no service and no running guest has it"
        mend = task("ceph.rotate", limited=False)
    else:
        found = "it is gone"
        mend = words(f"take {site.said_of_client(new)}.replaces out of the site file")
    yield Finding(
        NOTE,
        "client.replaced",
        hosts,
        f"client.{old}",
        found,
        f"client.{new} in its place",
        "a key is rotated a stage at a time (docs/rotation.md)",
        (mend,),
    )
