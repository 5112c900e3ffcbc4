"""The truth table: every place that holds the RBD identity, and which one is odd.

The identity is a client's name, the UUID of its libvirt secret, and its key, of which
only fingerprints are here.  The truth is what Ceph says of the key, and the UUID that
the resources resolve; where they cannot, what most places say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from fabfile.core.contract import CLOUD, Json
from fabfile.doctor import parts
from fabfile.doctor.observation import Looked
from fabfile.model.deployment import Binding
from fabfile.model.site import Site
from fabfile.resources import cluster, keyrings, libvirt_secret, secret_uuid
from fabfile.resources.domains import disks


@dataclass(frozen=True)
class Place:
    """One row: '' is what that place does not hold.

    kind: 'Ceph', 'keyring', 'cinder.conf', 'nova.conf', 'libvirt', 'guest' or 'attachment'.
    odd: what is not equal there, or ''.
    """

    kind: str
    hosts: tuple[str, ...]
    name: str
    client: str
    uuid: str = ""
    usage: str = ""
    value: str = ""
    odd: str = ""


def table(site: Site, looked: Looked) -> list[Place]:
    """All rows, equal ones of several hosts as one."""
    found: dict[Place, list[str]] = {}
    for part in site.parts:
        seen = parts.looked_of(part, looked)
        for client in part.clients:
            rows = [*_rows(part, seen, client), *_in_use(part, looked, client)]
            known = secret_uuid.known_as(client) in seen.facts.known
            uuid, key = _truth(part, seen, client, rows)
            for row in rows:
                name, odd = label_of(part, client), _odd(row, uuid, key, known)
                judged = replace(row, odd=odd, hosts=(), client=name)
                found.setdefault(judged, []).extend(row.hosts)
    return [replace(row, hosts=tuple(dict.fromkeys(hosts))) for row, hosts in found.items()]


def label_of(part: Site, client: str) -> str:
    """A client's name as a person is told it: of another cluster, with that one's."""
    return f"{part.cluster.tag}{client}"


def odd(rows: Iterable[Place]) -> list[Place]:
    """The rows that differ."""
    return [row for row in rows if row.odd]


def _truth(site: Site, looked: Looked, client: str, rows: list[Place]) -> tuple[str, str]:
    uuid = looked.facts.known.get(secret_uuid.known_as(client), "")
    if not uuid:
        uuid = _most(row.uuid.lower() for row in rows)
    key = next((row.value for row in rows if row.kind == "Ceph"), "")
    return uuid, key or _most(row.value for row in rows)


def _most(values: Iterable[str]) -> str:
    counted = Counter(filter(None, values)).most_common(1)
    return counted[0][0] if counted else ""


def _odd(row: Place, uuid: str, key: str, known: bool) -> str:
    if known and row.kind == "libvirt" and row.uuid and row.uuid.lower() != uuid:
        return ""  # somebody else's, with our usage name: it may stay
    said = []
    if row.kind == "libvirt" and not row.uuid:
        said.append("no such secret")
    elif row.uuid and uuid and row.uuid.lower() != uuid:
        said.append("another UUID")
    if row.kind in ("Ceph", "keyring") and not row.value:
        said.append("no key")
    elif row.kind == "libvirt" and row.uuid and not row.value:
        said.append("no value")
    elif row.value and key and row.value != key:
        said.append("another value")
    return ", ".join(said)


def _rows(site: Site, looked: Looked, client: str) -> Iterator[Place]:
    yield from _ceph(site, looked, client)
    for place in site.places:
        yield from _keyrings(place, parts.looked_at(place, looked), client)
    if client in site.secret_clients():
        yield from _configured(site, looked, client)
        yield from _libvirt(site, looked, client)


def _keyrings(site: Site, looked: Looked, client: str) -> Iterator[Place]:
    for host in site.all_hosts():
        for binding in keyrings.wanted(site, host):
            seen = looked.facts.hosts.get(host.name, {})
            if binding.client == client and f"keyring.{client}" in seen:
                path, value = _keyring(binding, seen)
                yield Place("keyring", (host.name,), path, client, value=value)


def _in_use(site: Site, looked: Looked, client: str) -> Iterator[Place]:
    """Guests and attachments of a cluster's client; looked: as the whole site has it."""
    if client in site.secret_clients():
        yield from _guests(site, looked, client)
        yield from _attachments(site, looked, client)


def _keyring(binding: Binding, seen: Mapping[str, Json]) -> tuple[str, str]:
    """(path, key) of what a service reads; of its own file where it can open none."""
    found = keyrings.held_by(binding, seen)
    if found.source.option == "key":
        return binding.conf, found.value
    if found.path or found.source.option != "keyring":
        return found.path or binding.keyring_path, found.value
    own = keyrings.seen_at(binding, seen, binding.keyring_path) or {}
    return binding.keyring_path, keyrings.held(own.get("text", ""), binding.client) or ""


def _ceph(site: Site, looked: Looked, client: str) -> Iterator[Place]:
    admin = site.admin.name
    users = cluster.users_seen(looked.facts, admin)
    if users is not None:
        key = users.get(f"client.{client}", {}).get("key", "")
        yield Place("Ceph", (admin,), "ceph auth", client, value=key)


def _configured(site: Site, looked: Looked, client: str) -> Iterator[Place]:
    for host, seen in looked.facts.hosts.items():
        for name in ("cinder", "nova"):
            for one in secret_uuid.named_of(site, host, seen, name):
                if one.client == client:
                    where = f"[{one.section}]"
                    uuid = one.uuid if "-" not in one.text else one.text
                    yield Place(f"{name}.conf", (host,), where, client, uuid=uuid or one.text)


def _libvirt(site: Site, looked: Looked, client: str) -> Iterator[Place]:
    wanted = looked.facts.known.get(secret_uuid.known_as(client), "")
    for host in site.with_role("compute"):
        secrets = looked.seen(host.name, secret_uuid.SECRETS)
        if secrets is None:
            continue
        ours = False
        for uuid, answers in secrets.items():
            usage = libvirt_secret.usage_of(answers["xml"]["out"]) or ""
            if uuid.lower() != wanted and not usage.startswith(
                secret_uuid.usage_name(site.cluster, client)
            ):
                continue
            ours = ours or uuid.lower() == wanted or not wanted
            value = answers["value"]["out"].strip() if answers["value"]["code"] == 0 else ""
            yield Place("libvirt", (host.name,), "secret", client, uuid, usage, value)
        if not ours and client in site.secrets_on(host):
            yield Place("libvirt", (host.name,), "secret", client)


def _is_of(site: Site, looked: Looked, user: str, monitors: Iterable[str], uuid: str) -> bool:
    found = parts.of_disk(site.whole, looked, user, set(monitors), uuid)
    return not found or found[0].label == site.label


def _guests(site: Site, looked: Looked, client: str) -> Iterator[Place]:
    for host, seen in looked.facts.hosts.items():
        for domain, answers in (seen.get("domains") or {}).items():
            uuids = {
                d.uuid
                for d in disks(answers["disks"]["out"])
                if d.user == client and _is_of(site, looked, client, d.monitors, d.uuid)
            }
            for uuid in sorted(uuids):
                yield Place("guest", (host,), domain, client, uuid=uuid)


def _attachments(site: Site, looked: Looked, client: str) -> Iterator[Place]:
    for attachment in looked.seen(CLOUD, "attachments") or ():
        uuid, known = attachment["uuid"], attachment["monitors"]
        if attachment["user"] == client and _is_of(site, looked, client, known, uuid):
            yield Place("attachment", (CLOUD,), f"volume {attachment['volume']}", client, uuid=uuid)
