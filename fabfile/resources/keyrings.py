"""Keyring files: on the hosts that need them, for their service alone.

The one that counts is the one that librados reads there: ceph.conf may name another, or hold the
key itself.  What holds the cluster's key stays as it is.
Source: procedure step 7; nova's own keyring only where ephemeral disks are on RBD.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from fabfile.core.contract import Change, Facts, Host, Read, Ref, Refused, Seen
from fabfile.model import services
from fabfile.model.deployment import Binding
from fabfile.model.phases import Leaving
from fabfile.model.services import CINDER_BACKUP
from fabfile.model.site import Site
from fabfile.resources import by_cluster, by_place, ceph_conf, cluster, in_force, librados, sed
from fabfile.resources.auth import key_of
from fabfile.resources.leaving import clients as clients_leaving
from fabfile.resources.leaving import in_force_as
from fabfile.resources.librados import KeySource
from fabfile.resources.resource import Leaves, Resource, Stays

_KEY = r'^\s*key\s*=\s*"?([^"\s;#]+)'
MASK = (
    r'(?i)key\s*=\s*["\']?([^"\'\s;#]+)',
    r"(?<!client\.)(A[Qg][A-D][A-Za-z0-9+/]{6,}={0,2})",
)
"""What is called a key, and what looks like one of cephx, wherever it stands."""
_LISTS = r"^[ \t]*keyring[ \t]*=[ \t]*([^#;\n]*(?:;[ \t]*[/$][^#;\n]*)*)"
_KEYFILES = r"^[ \t]*keyfile[ \t]*=[ \t]*([^#;\n]*)"
_FIT_MODES = ("0640", "0600", "0440", "0400")


@dataclass(frozen=True)
class Held:
    """What librados finds of a client's key on a host.

    source: where it looks; path: the file that it reads, '' for none; seen: what is there;
    value: the key as a fingerprint, '' for none.
    """

    source: KeySource
    path: str
    seen: Seen | None
    value: str


def wanted(site: Site, host: Host) -> list[Binding]:
    """Of each client whose service opens its pools with a keyring of its own, one binding."""
    found: dict[str, Binding] = {}
    # The service that has the client in its options, before one that is told it with a volume.
    for binding in sorted(site.bindings_of(host), key=lambda one: not one.section):
        if binding.keyring:
            found.setdefault(binding.client, binding)
    return list(found.values())


def reads(site: Site, host: Host) -> list[Read]:
    """The cluster's side, ceph.conf, and each keyring with its key as a fingerprint."""
    found = cluster.reads(site, host)
    for binding in wanted(site, host):
        found.append(ceph_conf.read_of(site, host))
        found += in_force.reads(site, host, binding.service)
        found.append(read_of(binding.client, binding.keyring_path))
        found += _elsewhere(binding)
    return found


def read_of(client: str, path: str) -> Read:
    """A client's keyring, its key as a fingerprint."""
    return Read(f"keyring.{client}", "file", {"path": path, "text": True, "mask": list(MASK)})


def leaving(site: Site, rest: Site, facts: Facts) -> Leaves:
    """The keyrings of clients that go, on every host of a service; a file of several stays."""
    found: list[Change | Stays] = []
    for client in clients_leaving(site, rest):
        used = dict(in_force_as(site, facts, client))
        for host in (one for one in site.all_hosts() if services.on(one)):
            seen = facts.hosts.get(host.name, {}).get(f"keyring.{client}")
            if seen is None:
                continue
            path = site.platform_of(host).keyring(client)
            others = set(librados.clients_in(seen.get("text", ""))) - {f"client.{client}"}
            if others:
                why = f"it has {', '.join(sorted(others))} too"
                found.append(Stays(host.name, path, why))
                continue
            if host.name in used:
                found.append(Stays(host.name, path, used[host.name]))
                continue
            found.append(_gone(host.name, path, client, seen))
    return found


def _gone(host: str, path: str, client: str, seen: Seen) -> Change:
    key = held(seen.get("text", ""), client)
    return Change(
        host,
        path,
        f"take away: nothing here logs in as client.{client} any more",
        "-",
        "remove",
        {"path": path, "before": seen["sha256"]},
        Leaving.KEYS,
        diff=(f"- key {key}",) if key else (),
        kind="keyring",
        subject=client,
    )


def _elsewhere(binding: Binding) -> list[Read]:
    """The other files in which librados may find the client's key."""
    words = librados.words_of(binding.cluster.name, binding.client, "")
    args = {
        "path": binding.conf,
        "match": _LISTS,
        "between": librados.BETWEEN,
        "words": {f"${name}": word for name, word in words.items()},
        "mask": list(MASK),
        "also": [librados.KEYRINGS],
        "variable": [binding.unit, librados.VARIABLE],
    }
    alone = {**args, "match": _KEYFILES, "mask": [r"(\S+)"], "also": [], "variable": None}
    return [
        Read(f"keyrings.{binding.client}", "named_files", args),
        Read(f"keyfiles.{binding.client}", "named_files", alone),
    ]


def plan(site: Site, facts: Facts) -> list[Change]:
    """Writes keyrings that are missing or hold another key; mends owner and mode."""
    users = cluster.seen(site, facts).users
    changes = []
    for host in site.all_hosts():
        if host.name not in facts.hosts:
            continue
        for binding in wanted(site, host):
            key = users.get(f"client.{binding.client}", {}).get("key")
            seen = facts.hosts[host.name]
            found = _of(binding, seen, key)
            if not found and binding.client in opened_by_path(site, host):
                found = _in_its_place(binding, _own(binding, seen), key)
            changes += found
    return changes


def opened_by_path(site: Site, host: Host) -> set[str]:
    """Clients whose keyring is looked for in its usual place alone, whatever ceph.conf names.

    os-brick, by which cinder-backup opens a volume, reads no ceph.conf of the host
    (RBDConnector._check_or_get_keyring_contents).
    """
    if CINDER_BACKUP not in services.on(host):
        return set()
    return {backend.client for backend in site.cinder.all}


def _in_its_place(binding: Binding, ours: Seen | None, key: str | None) -> list[Change]:
    """What is missing there, where librados itself has the key from elsewhere."""
    fits = ours is not None and held(ours.get("text", ""), binding.client) == key
    if fits and ours is not None and _opens(binding, ours):
        return []
    return [_write(binding, binding.keyring_path, ours, key)]


def held_by(binding: Binding, seen: Seen) -> Held:
    """Where librados finds the key of a binding's client, and what it finds there."""
    client = binding.client
    hostname = (seen.get("host") or {}).get("hostname", "")
    words = librados.words_of(binding.cluster.name, client, hostname)
    environment = (seen.get(f"{binding.service.key}.sources") or {}).get("environment", {})
    text = (seen.get("ceph.conf") or {}).get("text", "")
    source = librados.key_source(text, client, words, environment)
    read = "keyfiles" if source.option == "keyfile" else "keyrings"
    source = replace(source, paths=tuple(map(binding.platform.outside, source.paths)))
    there = {**(seen.get(f"{read}.{client}") or {}), binding.keyring_path: _own(binding, seen)}
    path = next((p for p in source.paths if there.get(p) and _opens(binding, there[p])), "")
    text = (there.get(path) or {}).get("text", "")
    value = {"key": source.value, "keyfile": text.strip()}.get(source.option)
    return Held(source, path, there.get(path), held(text, client) or "" if value is None else value)


def _own(binding: Binding, seen: Seen) -> Seen | None:
    """What is where librados looks by default, for this client alone."""
    found: Seen | None = seen.get(f"keyring.{binding.client}")
    return found


def seen_at(binding: Binding, seen: Seen, path: str) -> Seen | None:
    """What was seen at a path where a binding's key may be."""
    there = {
        **(seen.get(f"keyrings.{binding.client}") or {}),
        binding.keyring_path: _own(binding, seen),
    }
    return there.get(path)


def _opens(binding: Binding, seen: Seen) -> bool:
    """Whether the service's user may open a file; it may be of groups that are not seen here."""
    mode, owner = int(seen["mode"], 8), binding.owner
    of_group = mode & 0o040 and seen["group"] != "root"
    return bool(mode & 0o004 or of_group or (mode & 0o400 and seen["owner"] == owner))


def _of(binding: Binding, seen: Seen, key: str | None) -> list[Change]:
    """What is missing for one binding.  Raises Refused where that is not ours to write."""
    found, ours = held_by(binding, seen), _own(binding, seen)
    if found.source.option != "keyring":
        if key is None or found.value != key:
            raise _set_aside(binding, found, seen)
        return []
    if key is not None and found.value == key and found.path != binding.keyring_path:
        return []
    path = _place(binding, found, seen)
    there = ours if path == binding.keyring_path else seen_at(binding, seen, path)
    if key is None or there is None or held(there.get("text", ""), binding.client) != key:
        return [_write(binding, path, there, key)]
    modes = (*_FIT_MODES, binding.platform.ceph["keyring_mode"])
    fits = (there["owner"], there["group"]) == (binding.owner,) * 2 and there["mode"] in modes
    fits = fits or bool(of_others(there, binding.client)) and _opens(binding, there)
    return [] if fits else [_attributes(binding, path, there)]


def _place(binding: Binding, found: Held, seen: Seen) -> str:
    """Where the key is to be written, so that librados finds it.  Raises Refused."""
    own, paths = binding.keyring_path, found.source.paths
    if own in paths and (not found.path or paths.index(own) <= paths.index(found.path)):
        return own
    path = found.path or (paths[0] if paths else "")
    if not _is_the_clients_own(binding, found, path, seen_at(binding, seen, path)):
        raise _named_elsewhere(binding, found, path)
    return path


def _is_the_clients_own(binding: Binding, found: Held, path: str, there: Seen | None) -> bool:
    """Whether a file that ceph.conf names may be written for this client alone.

    there: what is at the path, also where the service cannot open it.
    """
    client = f"client.{binding.client}"
    if not path.startswith("/") or found.source.place == librados.VARIABLE:
        return False
    if found.seen is None and not (found.source.place == client or "$" in found.source.value):
        return False
    names = librados.clients_in((there or {}).get("text", ""))
    return there is None or (there["kind"] == "file" and set(names) <= {client})


def _set_aside(binding: Binding, found: Held, seen: Seen) -> Refused:
    """A `key` or `keyfile` of ceph.conf that is not the cluster's: ours would not be read."""
    source, conf = found.source, binding.conf
    text = (seen.get("ceph.conf") or {}).get("text", "")
    return Refused(
        host=binding.host.name,
        subject=conf,
        found=f"[{source.place}] {source.option} = {source.value}",
        why=f"librados takes it before any keyring, and it is not the key of "
        f"client.{binding.client}",
        advice=f"take the line out of {conf}: the key goes into {binding.keyring_path}",
        mend=[sed.without_in_ceph_conf(conf, source.place, source.option, text)],
    )


def _named_elsewhere(binding: Binding, found: Held, path: str) -> Refused:
    """A keyring that is not this client's alone, or that cannot be written."""
    source, client = found.source, f"client.{binding.client}"
    own = ("", f"[{client}]", f"keyring = {binding.named_keyring}")
    where = f"[{source.place}] keyring" if source.place != librados.VARIABLE else source.place
    return Refused(
        host=binding.host.name,
        subject=binding.conf,
        expected=f"the key of {client} in {path or source.value}",
        found="no such file" if found.seen is None else "none, or another",
        why=f"librados looks there and not in {binding.keyring_path}: {where} = {source.value}",
        advice=f"give {client} a section of its own in {binding.conf}, with keyring = "
        f"{binding.named_keyring}",
        mend=[sed.appended(binding.conf, *own)],
    )


def held(text: str, client: str) -> str | None:
    """The key (its fingerprint) under the client's own heading, whatever the spacing and quotes."""
    section = re.search(rf"^\[client\.{re.escape(client)}\]([^\[]*)", text, re.M)
    key = re.search(_KEY, section.group(1), re.M) if section else None
    return key.group(1) if key else None


def of_others(seen: Seen, client: str) -> list[dict[str, list[int]]]:
    """The lines of a keyring that hold other users' keys, as a host keeps them; [] for none."""
    found: list[dict[str, list[int]]] = []
    theirs = False
    for n, line in enumerate(re.findall("[^\n]*\n|[^\n]+", seen.get("text", ""))):
        if names := librados.clients_in(line):
            theirs = names[0] != f"client.{client}"
        if theirs:
            ceph_conf.keep(found, n, n + 1)
    return found


def _write(binding: Binding, path: str, seen: Seen | None, key: str | None) -> Change:
    """What others have in that file stays; so does who may read it, where the service may."""
    client, owner = binding.client, binding.owner
    old = held(seen.get("text", ""), client) if seen else None
    owned = {"mode": binding.platform.ceph["keyring_mode"], "owner": owner, "group": owner}
    sentence = f"write the key of client.{client}, for {owner} alone"
    theirs = of_others(seen, client) if seen else []
    if seen and theirs:
        sentence = f"write the key of client.{client}, beside those of others"
        owned = {name: seen[name] for name in owned} if _opens(binding, seen) else owned
    access = "{owner}:{group} {mode}".format(**owned)
    diff = [f"+ key {key or '(made during the run)'}", f"+ {access}"]
    return Change(
        binding.host.name,
        path,
        sentence,
        "~" if seen else "+",
        "write",
        {
            "path": path,
            "content": [
                f"[client.{client}]\n\tkey = ",
                Ref(key_of(binding.cluster, client)),
                "\n",
                *theirs,
            ],
            **owned,
            "before": seen["sha256"] if seen else None,
        },
        binding.service.phase,
        diff=tuple([f"- key {old}"] * bool(old) + diff),
        # Of a volume that it only backs up, cinder-backup opens the keyring each time.
        restarts=(binding.unit,) if binding.section else (),
        kind="keyring",
        subject=client,
    )


def _attributes(binding: Binding, path: str, seen: Seen) -> Change:
    owner, mode = binding.owner, binding.platform.ceph["keyring_mode"]
    diff = (f"- {seen['owner']}:{seen['group']} {seen['mode']}", f"+ {owner}:{owner} {mode}")
    args = {"path": path, "mode": mode, "owner": owner, "group": owner}
    return Change(
        binding.host.name,
        path,
        f"owner and group {owner}, mode {mode}",
        "~",
        "attributes",
        args,
        binding.service.phase,
        diff=diff,
        kind="keyring",
        subject=binding.client,
    )


RESOURCE = by_cluster.each(by_place.each(Resource("ceph.keyrings", reads, plan, leaving=leaving)))
