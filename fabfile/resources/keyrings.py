"""Keyring files: on the hosts that need them, for their service alone.

Source: procedure step 7; nova's own keyring only where ephemeral disks are on RBD.
"""

from __future__ import annotations

import re

from fabfile.core.contract import Change, Facts, Host, Read, Ref, Seen
from fabfile.model.deployment import Binding
from fabfile.model.site import Site
from fabfile.resources import cluster
from fabfile.resources.auth import key_of
from fabfile.resources.resource import Resource

_KEY = r'^\s*key\s*=\s*"?([^"\s;#]+)'
_MASK = (
    r'(?i)key\s*=\s*["\']?([^"\'\s;#]+)',
    r"(?<!client\.)(A[Qg][A-D][A-Za-z0-9+/]{6,}={0,2})",
)
"""What is called a key, and what looks like one of cephx, wherever it stands."""
MODE = "0640"
_FIT_MODES = ("0640", "0600", "0440", "0400")


def wanted(site: Site, host: Host) -> list[Binding]:
    """The bindings of a host whose service opens its pool with a keyring of its own."""
    return [binding for binding in site.bindings_of(host) if binding.keyring]


def reads(site: Site, host: Host) -> list[Read]:
    """The cluster's side, and each keyring with its key as a fingerprint."""
    found = cluster.reads(site, host)
    for binding in wanted(site, host):
        args = {"path": binding.keyring_path, "text": True, "mask": list(_MASK)}
        found.append(Read(f"keyring.{binding.client}", "file", args))
    return found


def plan(site: Site, facts: Facts) -> list[Change]:
    """Writes keyrings that are missing or hold another key; mends owner and mode."""
    users = cluster.seen(site, facts).users
    changes = []
    for host in site.all_hosts():
        if host.name not in facts.hosts:
            continue
        for binding in wanted(site, host):
            client, owner = binding.client, binding.owner
            seen = facts.of(host.name, f"keyring.{client}")
            key = users.get(f"client.{client}", {}).get("key")
            if seen is None or key is None or held(seen["text"], client) != key:
                changes.append(_write(binding, seen, key))
            elif (seen["owner"], seen["group"]) != (owner, owner) or seen["mode"] not in _FIT_MODES:
                changes.append(_attributes(binding, seen))
    return changes


def held(text: str, client: str) -> str | None:
    """The key (its fingerprint) under the client's own heading, whatever the spacing and quotes."""
    section = re.search(rf"^\[client\.{re.escape(client)}\]([^\[]*)", text, re.M)
    key = re.search(_KEY, section.group(1), re.M) if section else None
    return key.group(1) if key else None


def _write(binding: Binding, seen: Seen, key: str | None) -> Change:
    client, owner, path = binding.client, binding.owner, binding.keyring_path
    old = held(seen["text"], client) if seen else None
    diff = [f"+ key {key or '(made during the run)'}", f"+ {owner}:{owner} {MODE}"]
    return Change(
        binding.host.name,
        path,
        f"write the key of client.{client}, for {owner} alone",
        "~" if seen else "+",
        "write",
        {
            "path": path,
            "content": [f"[client.{client}]\n\tkey = ", Ref(key_of(client)), "\n"],
            "mode": MODE,
            "owner": owner,
            "group": owner,
            "before": seen["sha256"] if seen else None,
        },
        binding.service.phase,
        diff=tuple([f"- key {old}"] * bool(old) + diff),
        restarts=(binding.unit,),
        kind="keyring",
        subject=client,
    )


def _attributes(binding: Binding, seen: Seen) -> Change:
    owner, path = binding.owner, binding.keyring_path
    diff = (f"- {seen['owner']}:{seen['group']} {seen['mode']}", f"+ {owner}:{owner} {MODE}")
    args = {"path": path, "mode": MODE, "owner": owner, "group": owner}
    return Change(
        binding.host.name,
        path,
        f"owner and group {owner}, mode {MODE}",
        "~",
        "attributes",
        args,
        binding.service.phase,
        diff=diff,
        kind="keyring",
        subject=binding.client,
    )


RESOURCE = Resource("ceph.keyrings", reads, plan)
