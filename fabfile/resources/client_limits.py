"""What a host's librados cannot do with this cluster, known before anything is written there.

A host that gets a key, or options that lead to the cluster, has to be able to log in: else its
services fail when they are restarted, in the middle of a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set

from fabfile.core.contract import Change, Facts, Host, Read, Refused
from fabfile.model import ceph_releases
from fabfile.model.ceph_releases import AES256K, Version
from fabfile.model.site import Site
from fabfile.resources import by_cluster, clone_format, cluster
from fabfile.resources.client_packages import client_hosts
from fabfile.resources.resource import Resource

LIBRARY = "librados2"
KINDS = "ceph.kinds"
_HEAD = r'"entity":\s*"[^"]*"|"key":\s*"A[A-Za-z0-9+/]{7}'
"""Of a key, its type and when it was made; nothing of what is secret (fabfile/doctor/keys.py)."""
_NEW_KIND = r'"entity":\s*"client\.([^"]+)"\s*"key":\s*"Ag'
"""A key of type 2 (little-endian) begins so in base64."""
_LEADS_THERE = ("keyring", "secret_value", "options")
"""Kinds of changes after which a host logs in to the cluster."""


def kinds(site: Site) -> Read:
    """Of which kind each user's key is."""
    return Read(KINDS, "argv", {"argv": cluster.ceph(site, "auth", "list"), "only": _HEAD})


def of_new_kind(site: Site, text: str) -> list[str]:
    """The site's clients whose key is of type 2, of the answer to kinds()."""
    return [name for name in re.findall(_NEW_KIND, text) if name in site.clients]


def reads(site: Site, host: Host) -> list[Read]:
    """The keys' kinds and what the cluster's map needs; hosts' librados."""
    found = (
        [kinds(site), clone_format.read_required(site), *cluster.identity(site)]
        if host == site.admin
        else []
    )
    if host in client_hosts(site):
        found.append(Read("packages", "packages", {"names": [LIBRARY]}))
    return found


def plan(site: Site, facts: Facts, changes: Sequence[Change] = ()) -> list[Change]:
    """Nothing; raises Refused for a host that could not log in after what is planned for it."""
    led = {change.host for change in changes if change.kind in _LEADS_THERE}
    made = {one.subject for one in changes if (one.kind, one.sign) == ("user", "+")}
    coming = made if cluster.makes_aes256k(facts, site.admin.name) else set()
    for host in client_hosts(site):
        if host.name not in led:
            continue
        text = facts.hosts.get(host.name, {}).get("packages", {}).get(LIBRARY)
        version = ceph_releases.version(text)
        for expected, why in _too_old(site, facts, host, version, coming) if version else ():
            platform = site.platform_of(host)
            raise Refused(
                host=host.name,
                subject=LIBRARY,
                expected=expected,
                found=str(text),
                why=why,
                advice="upgrade it there, or leave the host out (--limit)",
                mend=[platform.by_hand("upgrade", *platform.packages["libraries"])],
            )
    return []


def _too_old(
    site: Site, facts: Facts, host: Host, version: Version, coming: Set[str]
) -> Iterator[tuple[str, str]]:
    """(what would do, why this one does not) of a host's librados.

    coming: clients that get a key of the new kind by what is planned.
    """
    needed = clone_format.in_use(site, facts)
    number = ceph_releases.named(needed or "")
    if number and version.major < number:
        yield (
            f"Ceph {number} ({needed}) or later",
            "the cluster uses features of that release: older clients cannot read its map",
        )
    answer = facts.hosts.get(site.admin.name, {}).get(KINDS)
    used = {binding.client for binding in site.bindings_of(host)}
    new = [name for name in of_new_kind(site, answer["out"] if answer else "") if name in used]
    if new and not AES256K.known_to(version):
        yield (
            f"{AES256K.since()}, or later",
            f"it refuses keys of the new kind (aes256k): client.{', client.'.join(new)}",
        )
    if (soon := sorted(coming & used)) and not AES256K.known_to(version):
        yield (
            f"{AES256K.since()}, or later",
            f"it refuses keys of the new kind, and the cluster makes no other now "
            f"(auth_preferred_cipher is aes256k): client.{', client.'.join(soon)}, yet to be made",
        )


RESOURCE = by_cluster.each(Resource("ceph.keyrings", reads, plan, sees_changes=True))
