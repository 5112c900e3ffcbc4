"""Keyring files: on the hosts that need them, for their service alone.

Source: procedure step 7; nova's own keyring only where ephemeral disks are on RBD.
"""

from __future__ import annotations

import re
from typing import Any

from fabfile.core.contract import Change, Facts, Host, Read, Ref
from fabfile.resources import cluster
from fabfile.resources.auth import key_of
from fabfile.resources.restarts import UNITS

_KEY = r'^\s*key\s*=\s*"?([^"\s;#]+)'
_MASK = (
    r'(?i)key\s*=\s*["\']?([^"\'\s;#]+)',
    r"(?<!client\.)(A[Qg][A-D][A-Za-z0-9+/]{6,}={0,2})",
)
"""What is called a key, and what looks like one of cephx, wherever it stands."""
MODE = "0640"
_FIT_MODES = ("0640", "0600", "0440", "0400")


def wanted(site: Any, host: Host) -> list[tuple[str, str, str, int]]:
    """[(client, owner, unit, wave)] of the keyrings that a host needs."""
    found = []
    if "glance" in host.roles:
        found.append((site.glance.client, "glance", *UNITS["glance"]))
    if "cinder" in host.roles:
        found.append((site.cinder.client, "cinder", *UNITS["cinder"]))
    if "compute" in host.roles and site.nova.ephemeral:
        found.append((site.nova.client, "nova", *UNITS["compute"]))
    return found


def path_of(client: str) -> str:
    """Where librados looks for a client's keyring."""
    return f"/etc/ceph/ceph.client.{client}.keyring"


def reads(site: Any, host: Host) -> list[Read]:
    """The cluster's side, and each keyring with its key as a fingerprint."""
    found = cluster.reads(site, host)
    for client, *_ in wanted(site, host):
        args = {"path": path_of(client), "text": True, "mask": list(_MASK)}
        found.append(Read(f"keyring.{client}", "file", args))
    return found


def plan(site: Any, facts: Facts) -> list[Change]:
    """Writes keyrings that are missing or hold another key; mends owner and mode."""
    users = cluster.seen(site, facts).users
    changes = []
    for host in site.all_hosts():
        if host.name not in facts.hosts:
            continue
        for client, owner, unit, wave in wanted(site, host):
            seen = facts.of(host.name, f"keyring.{client}")
            key = users.get(f"client.{client}", {}).get("key")
            if seen is None or key is None or held(seen["text"], client) != key:
                changes.append(_write(host.name, client, owner, unit, wave, seen, key))
            elif (seen["owner"], seen["group"]) != (owner, owner) or seen["mode"] not in _FIT_MODES:
                changes.append(_attributes(host.name, client, owner, wave, seen))
    return changes


def held(text: str, client: str) -> str | None:
    """The key (its fingerprint) under the client's own heading, whatever the spacing and quotes."""
    section = re.search(rf"^\[client\.{re.escape(client)}\]([^\[]*)", text, re.M)
    key = re.search(_KEY, section.group(1), re.M) if section else None
    return key.group(1) if key else None


def _write(
    host: str, client: str, owner: str, unit: str, wave: int, seen: Any, key: str | None
) -> Change:
    old = held(seen["text"], client) if seen else None
    diff = [f"+ key {key or '(made during the run)'}", f"+ {owner}:{owner} {MODE}"]
    return Change(
        host,
        path_of(client),
        f"write the key of client.{client}, for {owner} alone",
        "~" if seen else "+",
        "write",
        {
            "path": path_of(client),
            "content": [f"[client.{client}]\n\tkey = ", Ref(key_of(client)), "\n"],
            "mode": MODE,
            "owner": owner,
            "group": owner,
            "before": seen["sha256"] if seen else None,
        },
        wave,
        diff=tuple([f"- key {old}"] * bool(old) + diff),
        needs=(key_of(client),),
        restarts=(unit,),
        kind="keyring",
        subject=client,
    )


def _attributes(host: str, client: str, owner: str, wave: int, seen: Any) -> Change:
    diff = (f"- {seen['owner']}:{seen['group']} {seen['mode']}", f"+ {owner}:{owner} {MODE}")
    args = {"path": path_of(client), "mode": MODE, "owner": owner, "group": owner}
    sentence = f"owner and group {owner}, mode {MODE}"
    return Change(
        host,
        path_of(client),
        sentence,
        "~",
        "attributes",
        args,
        wave,
        diff=diff,
        kind="keyring",
        subject=client,
    )
