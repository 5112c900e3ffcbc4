"""A client that takes another's place: when services may leave the old one, and who still has it.

A key is not replaced under those who use it.  A second user gets the same caps and a key of its
own; each service, and each guest, goes over to it at its time; the first one is then retired.  A
guest's disk has the client with which it was attached for as long as it is open, and a cluster
asks for the key again when a ticket has run out.  Source: docs/rotation.md, where it was seen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabfile.core.contract import CLOUD, INV, BadInput, Facts, Host, Json, Read
from fabfile.core.text import counted
from fabfile.model import services
from fabfile.model.deployment import Binding
from fabfile.model.services import NOVA_COMPUTE, Service
from fabfile.model.site import Site
from fabfile.resources import (
    by_cluster,
    client_limits,
    cluster,
    domains,
    in_force,
    leaving,
    secret_uuid,
)

SESSIONS = "ceph.sessions"
_ENTITY = r'"entity_name":\s*"([^"]*)"'
_ADDRESS = r'"socket_addr":\s*\{\s*"type":\s*"[^"]*",\s*"addr":\s*"([^"]+):\d+"'


def sessions(site: Site) -> Read:
    """Who is logged in at each monitor: every librados client is at one of them (Octopus)."""
    ask = site.cluster.ceph("--format", "json", "tell", "{}", "sessions")
    only = re.sub(r"\((?!\?)", "(?:", f"{_ENTITY}|{_ADDRESS}")
    return Read(
        SESSIONS,
        "each",
        {
            "argv": site.cluster.ceph("mon", "dump"),
            "match": r"(?m)^\d+: .* (mon\.[^\s;]+)",
            "then": {"sessions": {"argv": ask, "ok": [0, 22], "only": only}},
        },
    )


def logged_in(site: Site, facts: Facts, client: str) -> list[str] | None:
    """The addresses from which a client is logged in; None where monitors do not say.

    Whoever asks is logged in himself: an answer that names nobody is one of another form.
    """
    answers: Mapping[str, Json] = facts.hosts.get(site.admin.name, {}).get(SESSIONS) or {}
    told = [one["sessions"] for one in answers.values()]
    if not told or any(one["code"] or not re.search(_ENTITY, one["out"]) for one in told):
        return None
    found: list[list[str]] = []
    for one in told:
        for name, address in re.findall(f"{_ENTITY}|{_ADDRESS}", one["out"]):
            if not address:
                found.append([name, ""])
            elif found and not found[-1][1]:
                found[-1][1] = address
    return sorted(address or "somewhere" for name, address in found if name == f"client.{client}")


def named_by(
    site: Site, facts: Facts, client: str, without: Collection[tuple[str, str]] = ()
) -> list[str]:
    """Places in services' options that name a client of a part's cluster: 'ctl: [rbd] rbd_user'.

    without: (host, file) that are not looked at.
    """
    return [
        f"{host.name}: [{section}] {key}"
        for host in site.all_hosts()
        for service in services.on(host)
        if (host.name, site.platform_of(host).file(service)) not in without
        for section, key in _named(
            site, service, in_force.options(facts.hosts.get(host.name, {}), service.key), client
        )
    ]


def _named(
    site: Site, service: Service, now: in_force.Options, client: str
) -> Iterator[tuple[str, str]]:
    """The options of one service that name the client, and are not another cluster's."""
    uses = (use for part in site.siblings for use in part.uses())
    others = {in_force.same(use.section) for use in uses if use.service.key == service.key}
    for (section, key), value in in_force.with_default_users(now).items():
        if key in in_force.USER_OPTIONS and value == client and section not in others:
            yield section, key


def open_disks(
    site: Site, facts: Facts, client: str, elsewhere: Collection[str] | None = None
) -> list[tuple[str, str]]:
    """[(compute, domain)] of running guests that have a disk open as a client of this cluster.

    elsewhere: as is_of has it.
    """
    now = cluster.seen(site, facts).addresses
    found = (
        (host, domain)
        for host, domain, disk in domains.running(facts.hosts)
        if disk.user == client and is_of(now, disk.monitors, elsewhere)
    )
    return list(dict.fromkeys(found))


def is_of(
    now: Collection[str], monitors: Collection[str], elsewhere: Collection[str] | None = None
) -> bool:
    """Whether what names these monitors may be of the cluster that has those: of none, it may.

    elsewhere: the monitors of the site's other clusters.  What names neither may be of before the
    monitors were moved (docs/monitors.md); it counts where these are given.
    """
    named = set(monitors)
    if not named or not now or named & set(now):
        return True
    return elsewhere is not None and not named & set(elsewhere)


def uses(
    site: Site, facts: Facts, client: str, without: Collection[tuple[str, str]] = ()
) -> list[str]:
    """Services, running guests and attachments that have a client of that name, in words.

    The monitors do not count: what has another cluster's of that name is named too.
    """
    guests = [
        f"guest {domain} on {host}"
        for host, domain, disk in domains.running(facts.hosts)
        if disk.user == client
    ]
    attached = facts.hosts.get(CLOUD, {}).get(leaving.ATTACHMENTS.id) or ()
    volumes = [f"attachment of volume {one['volume']}" for one in attached if one["user"] == client]
    return list(dict.fromkeys([*named_by(site, facts, client, without), *guests, *volumes]))


def uuids(facts: Facts, client: str) -> set[str]:
    """The secrets by which services, guests and attachments have a client of that name."""
    found = {disk.uuid for _, _, disk in domains.running(facts.hosts) if disk.user == client}
    attached = facts.hosts.get(CLOUD, {}).get(leaving.ATTACHMENTS.id) or ()
    found |= {one["uuid"] for one in attached if one["user"] == client}
    for seen in facts.hosts.values():
        for service in services.SERVICES:
            now = in_force.options(seen, service.key)
            mine = {
                s for (s, key), v in now.items() if key in in_force.USER_OPTIONS and v == client
            }
            found |= {now.get((section, "rbd_secret_uuid"), "").lower() for section in mine}
    return found - {""}


# The kind of the key


def refuse_old_kind(site: Site, facts: Facts) -> None:
    """Raises BadInput where a client that takes another's place has, or would get, an aes key.

    facts: a part's, with client_limits' reads.
    """
    users = cluster.seen(site, facts).users
    answer = facts.hosts.get(site.admin.name, {}).get(client_limits.KINDS)
    new_kind = client_limits.of_new_kind(site, answer["out"] if answer else "")
    for name in site.replaced:
        if f"client.{name}" in users:
            if name not in new_kind:
                raise BadInput(
                    subject=f"client.{name}",
                    expected="a key of the new kind (aes256k)",
                    found="one of the old kind, or one that was not seen",
                    advice="name another client in its place: one whose key is yet to be made",
                )
        elif not cluster.makes_aes256k(facts, site.admin.name):
            raise BadInput(
                subject=f"client.{name}",
                expected="a cluster that makes keys of the new kind (aes256k)",
                found="one that makes the old kind",
                advice="ceph mon set auth_preferred_cipher aes256k (19.2.6, 20.2.4, 21.2.0 and "
                "later have it): docs/upgrades.md has the steps before it",
            )


# The gate


@dataclass(frozen=True)
class Unready:
    """A compute on which nothing could be attached as the new client, and why."""

    host: str
    why: str


def unready(site: Site, facts: Facts, client: str) -> list[Unready]:
    """The computes of a part that cannot attach as the client yet; what was not seen cannot."""
    key = cluster.seen(site, facts).users.get(f"client.{client}", {}).get("key")
    uuid = facts.known.get(secret_uuid.known_as(client), "")
    uses = [use for use in site.uses() if use.secret and use.client == client]
    return [
        Unready(host.name, why)
        for host in (site.with_role(NOVA_COMPUTE.role) if uses else ())
        if (why := _lacking(facts, host, uuid, key))
    ]


def _lacking(facts: Facts, host: Host, uuid: str, key: str | None) -> str:
    secrets = facts.hosts.get(host.name, {}).get(secret_uuid.SECRETS)
    if secrets is None:
        return "it was not looked at"
    held = {name.lower(): one["value"] for name, one in secrets.items()}.get(uuid)
    if held is None:
        return f"it has no libvirt secret {uuid}"
    if not key or held["code"] or held["out"].strip() != key:
        return f"its libvirt secret {uuid} holds another key"
    return ""


def refuse_unready(
    site: Site, facts: Facts, bindings: Sequence[Binding], now: in_force.Options
) -> None:
    """Raises BadInput where a service would name a client by whom computes cannot attach yet.

    now: what is in force for the service.
    """
    for binding in bindings:
        part = site.part(binding.cluster.label)
        old = part.replaced.get(binding.client, "")
        if not old or not [*_named(part, binding.service, now, old)]:
            continue
        if left := unready(part, by_cluster.facts_of(part, facts), binding.client):
            more = f", and {counted(len(left) - 1, 'compute')} more" if len(left) > 1 else ""
            raise BadInput(
                subject=f"client.{binding.client}, in the place of client.{old}",
                expected="its key in the libvirt of every compute, before Cinder names it",
                found=f"{left[0].host}: {left[0].why}{more}",
                why="nothing could be attached there",
                advice=f"{INV} ceph.rotate does it in its order (docs/rotation.md)",
            )
