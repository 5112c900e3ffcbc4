"""Findings from the resources' own plans: what `integrate` would do is what is wrong.

Knows which task belongs to which resource, and how a plan is made where some hosts or
some answers are missing; has no rule of its own about what must be true.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fabfile.core.contract import CLOUD, Change, Facts, Host, Refused, Stop
from fabfile.core.text import counted
from fabfile.doctor import diagnosis, parts, uses
from fabfile.doctor.finding import NOTE, Finding, task
from fabfile.doctor.observation import Looked, calm
from fabfile.model.site import Site
from fabfile.resources import (
    by_cluster,
    chain,
    cluster,
    in_force,
    libvirt_secret,
    secret_uuid,
    service_config,
    volume_hosts,
)
from fabfile.resources.resource import HOST, Resource

_NAMES_UUIDS = (libvirt_secret.RESOURCE, service_config.cinder, service_config.nova)
_OF_A_RELEASE = (
    service_config.glance,
    service_config.cinder,
    service_config.nova,
    volume_hosts.RESOURCE,
)


@dataclass(frozen=True)
class Planned:
    """changes: by task, all that `integrate` would do; refused: what it would not, once each.

    beside: by task, what is missing and no part of an integration; labels: of each of changes,
    the cluster that it is of, '' for the site as a whole.
    """

    changes: tuple[tuple[str, Change], ...]
    refused: Mapping[Hashable, Finding]
    beside: tuple[tuple[str, Change], ...] = ()
    labels: tuple[str, ...] = ()


def plan(site: Site, looked: Looked) -> Planned:
    """Every resource's plan, as far as what was seen allows it."""
    refused: dict[Hashable, Finding] = {}
    changes: list[tuple[str, tuple[str, Change]]] = []
    for resource in chain.RESOURCES:
        for part in site.parts if resource.of_a_cluster else (site,):
            made = _planned(part, looked, [resource], refused)
            there = [one for _, one in changes]
            label = "" if part.is_whole else part.label
            changes += [(label, one) for one in made if one not in there]
    beside = _planned(site, looked, chain.BESIDES, refused)
    labels = tuple(label for label, _ in changes)
    return Planned(tuple(one for _, one in changes), refused, tuple(beside), labels)


def _planned(
    site: Site, looked: Looked, resources: Iterable[Resource], refused: dict[Hashable, Finding]
) -> list[tuple[str, Change]]:
    changes: list[tuple[str, Change]] = []
    facts = calm(site, looked.facts)
    for resource in resources:
        if _undecided(site, looked, resource):
            continue
        for only, made in _attempts(site, _complete(site, facts, resource), resource):
            if isinstance(made, Stop):
                # What stops every resource is said once.
                seen = _looked_besides(site, looked, made)
                refused.setdefault(made.about, diagnosis.refusal(resource.task, made, seen))
            else:
                changes += [(resource.task, c) for c in made if only in ("", c.host)]
    return changes


def _looked_besides(site: Site, looked: Looked, stop: Stop) -> set[str]:
    """What of the host speaks for a refusal's commands: nobody else reads the file."""
    host, path = stop.host, stop.subject
    if host not in site.hosts or "ceph" in site.host(host).roles:
        return set()
    whole = uses.files_seen(site, looked, host)
    alone = whole and not uses.others_of_conf(site, looked, host, path)
    return {"readers"} if alone else set()


def findings(site: Site, looked: Looked, planned: Planned) -> list[Finding]:
    """One for each change that is not said by another; one in all for a cloud without RBD."""
    said = {stop.about for _, stop in looked.doubts}
    found = [one for about, one in planned.refused.items() if about not in said]
    if planned.changes and is_unconnected(site, looked):
        hosts = {change.host for _, change in planned.changes} - {CLOUD}
        found.append(
            Finding(
                NOTE,
                "not.integrated",
                (),
                "the site",
                "no cephx user, secret or option of it",
                "an integrated cloud",
                f"it was never integrated: {counted(len(planned.changes), 'change')} on "
                f"{counted(len(hosts), 'host')}",
                (task("integrate", limited=False),),
            )
        )
        return found
    labels = (*planned.labels, *("" for _ in planned.beside))
    facts = {
        label: calm(part, parts.looked_of(part, looked).facts)
        for label in dict.fromkeys(labels)
        for part in (site.part(label) if label else site,)
    }
    told = zip(labels, (*planned.changes, *planned.beside), strict=True)
    for label, (name, change) in told:
        part = site.part(label) if label else site
        one = diagnosis.finding(name, part, facts[label], change)
        found += [one] if one else []
    return found


def is_unconnected(site: Site, looked: Looked) -> bool:
    """Whether nothing of the identity is anywhere yet."""
    for part in site.parts:
        users = cluster.users_seen(parts.looked_of(part, looked).facts, part.admin.name)
        if users is None or any(f"client.{name}" in users for name in part.clients):
            return False
    hosts = looked.facts.hosts.values()
    found = [in_force.options(seen, name) for seen in hosts for name in ("cinder", "nova")]
    return not any(key == "rbd_user" for options in found for _, key in options)


def _undecided(site: Site, looked: Looked, resource: Resource) -> bool:
    """Whether something is missing without which the resource cannot speak at all."""
    wanted = {
        by_cluster.tagged(part, secret_uuid.known_as(client))
        for part in site.parts
        for client in part.secret_clients()
    }
    if resource in _NAMES_UUIDS and not wanted <= set(looked.facts.known):
        return True
    if resource in _OF_A_RELEASE and not looked.facts.release:
        return True
    return any(
        not _asked(site, admin, resource) <= set(looked.facts.hosts.get(admin.name, {}))
        for admin in site.admins
    )


def _asked(site: Site, host: Host, resource: Resource) -> set[str]:
    """What the resource asks of a host, by id; who it is, each host is asked in any case."""
    found = {read.id for read in resource.reads(site, host)}
    return found | {HOST.id} if found and host.name != CLOUD else found


def _complete(site: Site, facts: Facts, resource: Resource) -> Facts:
    """The facts of those hosts that answered all that the resource asks."""
    hosts = {}
    for name, seen in facts.hosts.items():
        if name != CLOUD and name not in site.hosts:
            continue  # of another cluster alone
        host = Host(CLOUD, ()) if name == CLOUD else site.host(name)
        if _asked(site, host, resource) <= set(seen):
            hosts[name] = seen
    return replace(facts, hosts=hosts)


def _attempts(
    site: Site, facts: Facts, resource: Resource
) -> Iterator[tuple[str, Sequence[Change] | Stop]]:
    """('', the changes of all hosts); where the resource refuses a host, each host for itself.

    Each: the host whose changes count, and its changes or what stops them.
    """
    whole = _attempt(site, facts, resource)
    if not isinstance(whole, Stop) or not (isinstance(whole, Refused) or whole.host in site.hosts):
        yield "", whole
        return
    admins = [admin.name for admin in site.admins]
    for name in facts.hosts:
        few = {n: seen for n, seen in facts.hosts.items() if n in (*admins, name)}
        yield name, _attempt(site, replace(facts, hosts=few), resource)


def _attempt(site: Site, facts: Facts, resource: Resource) -> Sequence[Change] | Stop:
    try:
        return tuple(resource.plan(site, facts))
    except Stop as stop:
        return stop
