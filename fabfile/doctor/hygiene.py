"""What was left behind in a cluster: users nobody needs, secrets of none, keys of long ago.

Each is a note: it works without being mended.  Only what is the site file's own, or what nothing
here can be of, is named; what another cloud or team may need is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fabfile.core.contract import CLOUD, Host, Seen, Stop, typed
from fabfile.doctor import keys, parts, uses
from fabfile.doctor.files import LISTED
from fabfile.doctor.finding import NOTE, Finding, root, task, words
from fabfile.doctor.observation import Looked
from fabfile.model import advice
from fabfile.model.site import Site
from fabfile.resources import (
    client_limits,
    cluster,
    leaving,
    librados,
    secret_uuid,
)
from fabfile.resources.libvirt_secret import usage_of

_OLD = 2 * 365 * 86400
"""Seconds after which a key is said to be old."""
_DAY = 86400


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """Of one cluster: its users, keys, keyrings and secrets."""
    users = cluster.users_seen(looked.facts, site.admin.name)
    if users is None or site.is_supplied or not looked.seen(site.admin.name, "ceph.monmap"):
        return
    yield from _unused(site, looked, set(users))
    yield from _ages(site, looked)
    yield from _ciphers(site, looked)
    for place in site.places:
        there = parts.looked_at(place, looked)
        for host in place.all_hosts():
            if "ceph" not in host.roles:
                yield from _keyrings(place, there, host, set(users))
    needed = _needed(looked)
    for host in site.with_role("compute"):
        yield from _secrets(site, looked, host.name, set(users), needed)


def _unused(site: Site, looked: Looked, users: set[str]) -> Iterator[Finding]:
    """Users of the site file by which nothing that was seen logs in."""
    used = set(site.used_clients())
    complete = all(uses.files_seen(site, looked, host.name) for host in site.all_hosts())
    if not complete or looked.seen(CLOUD, "attachments") is None:
        return
    for name in site.clients:
        if name in used or f"client.{name}" not in users:
            continue
        named = any(uses.services_of(looked, host.name, name) for host in site.all_hosts())
        if named or _logs_in(site, looked, name):
            continue
        yield Finding(
            NOTE,
            "user.unused",
            (site.admin.name,),
            f"user client.{name}",
            "no service, guest or attachment that logs in by it",
            "a use, or no such user",
            f"{site.said_of_client(name)} of the site file is for nothing that was seen; where a "
            "program that stackrbd does not know of logs in by it, leave it",
            (task("remove", "--client", f"{site.cluster.tag}{name}", limited=False),),
        )


def _logs_in(site: Site, looked: Looked, client: str) -> bool:
    """Whether a guest or an attachment does; where that cannot be told, it may."""
    try:
        return bool(leaving.uses(site, looked.facts, client))
    except Stop:
        return True


def _ages(site: Site, looked: Looked) -> Iterator[Finding]:
    """Keys that are years old, as they say themselves."""
    now = float((looked.seen(site.admin.name, "host") or {}).get("time") or 0.0)
    for name, made in keys.made(site, looked).items():
        days = int(now - made) // _DAY
        if now - made > _OLD:
            yield Finding(
                NOTE,
                "key.old",
                (site.admin.name,),
                f"user client.{name}",
                f"a key of {days // 365} years",
                "a younger one",
                "whoever had a copy of it since (a backup, a host that was given away) still has "
                "the pools",
                (words("give it a new key without a pause, when it suits: docs/rotation.md"),),
            )


def _ciphers(site: Site, looked: Looked) -> Iterator[Finding]:
    """Keys of the old kind, where the cluster makes new ones and its health says nothing."""
    if not cluster.makes_aes256k(looked.facts, site.admin.name):
        return
    answer = looked.seen(site.admin.name, client_limits.KINDS)
    health = looked.seen(site.admin.name, "ceph.health")
    if not answer or (health and "AUTH_INSECURE_CLIENT_KEY_TYPE" in health["out"]):
        return
    for name in re.findall(r'"entity":\s*"client\.([^"]+)"\s*"key":\s*"AQ', answer["out"]):
        if name in site.clients:
            yield Finding(
                NOTE,
                "key.cipher",
                (site.admin.name,),
                f"user client.{name}",
                "a key of the old kind (aes)",
                "one of the new kind (aes256k), as this cluster makes them",
                "CVE-2025-30156; it works as long as the cluster lets it",
                (
                    words(
                        "docs/rotation.md gives it one without a pause; every librados has to know "
                        "the new kind first (docs/upgrades.md)"
                    ),
                ),
            )


# Keyrings and secrets


def _keyrings(site: Site, looked: Looked, host: Host, users: set[str]) -> Iterator[Finding]:
    """Keyrings called as this cluster's are, whose user it does not have."""
    platform = site.platform_of(host)
    form = re.escape(platform.keyring("\0")).replace("\0", "([A-Za-z0-9_.-]+)")
    seen = looked.facts.hosts.get(host.name, {})
    ours = {b.keyring_path for b in site.whole.bindings_of(site.whole.host(host.name))}
    if not _is_this_cluster(site, looked, seen) or not uses.files_seen(site, looked, host.name):
        return
    for line in (seen.get("ceph.keyrings") or {}).get("out", "").splitlines():
        told = LISTED.fullmatch(line)
        path = f"{platform.ceph['folder']}/{told[1]}" if told else ""
        client = re.fullmatch(form, path)
        if not client or path in ours or f"client.{client[1]}" in users:
            continue
        cephs_own = re.fullmatch(advice.CEPHS_OWN, client[1])
        if cephs_own or uses.services_of(looked, host.name, client[1]):
            continue
        yield Finding(
            NOTE,
            "keyring.orphaned",
            (host.name,),
            path,
            f"client.{client[1]}, a user that the cluster does not have",
            "no such file",
            "no file of options here names that user; a program with a ceph.conf of its own may",
            (root(typed("rm", path)),),
        )


def _is_this_cluster(site: Site, looked: Looked, seen: Seen) -> bool:
    """Whether a host's ceph.conf is of this cluster, by the fsid that it names."""
    text = (seen.get("ceph.conf") or {}).get("text", "")
    try:
        fsid = cluster.fsid(site, looked.facts)
    except Stop:
        return False
    return any(one.key == "fsid" and one.value.lower() == fsid for one in librados.lines(text))


def _secrets(
    site: Site, looked: Looked, host: str, users: set[str], needed: set[str]
) -> Iterator[Finding]:
    """libvirt's secrets with a usage name of ours, whose user no cluster of the site has.

    needed: UUIDs that something names, as _needed tells.
    """
    for uuid, answers in (looked.seen(host, secret_uuid.SECRETS) or {}).items():
        usage = usage_of(answers["xml"]["out"]) or ""
        begin = re.escape(f"{site.label} " if site.cluster.tag else "")
        ours = re.fullmatch(rf"{begin}client\.([A-Za-z0-9_.-]+) secret(?: {uuid})?", usage)
        if not ours or f"client.{ours[1]}" in users or uuid.lower() in needed:
            continue
        by_hand = site.platform_of(site.host(host)).by_hand
        undefine = by_hand("virsh", "secret-undefine", uuid.lower())
        yield Finding(
            NOTE,
            "libvirt.orphaned",
            (host,),
            f"libvirt secret {uuid.lower()}",
            f"the key of client.{ours[1]}, a user that the cluster does not have",
            "no such secret",
            "no guest, attachment or file of options names it; a cluster beside this one may have "
            "a user of that name",
            (root(undefine),),
        )


def _needed(looked: Looked) -> set[str]:
    """UUIDs that options, guests or attachments name, and those that the site is to have."""
    found = {v for k, v in looked.facts.known.items() if k.rpartition("/")[2].startswith("uuid.")}
    for seen in looked.facts.hosts.values():
        found |= {one.uuid for name in ("cinder", "nova") for one in secret_uuid.named(seen, name)}
        for answers in (seen.get("domains") or {}).values():
            found |= set(re.findall(r"uuid='([0-9a-fA-F-]{36})'", answers["disks"]["out"]))
    found |= {one["uuid"] for one in looked.seen(CLOUD, "attachments") or ()}
    return {uuid.lower() for uuid in found}
