"""cephx users and their caps.

Caps are widened only: what somebody else granted stays.  Source: procedure step 6,
with 'profile rbd' since Luminous (12) and the mgr's since Octopus (15).
"""

from __future__ import annotations

import re

from fabfile.core.contract import Change, Facts, Json
from fabfile.model.phases import Phase
from fabfile.model.site import Client, Site
from fabfile.resources import cluster
from fabfile.resources.resource import Resource

reads = cluster.reads


def key_of(client: str) -> str:
    """The name of the Ref that stands for a client's key in a plan."""
    return f"key:client.{client}"


def key_command(client: str) -> list[str]:
    """What prints a client's key, on the first Ceph host."""
    return ["ceph", "--connect-timeout", "10", "auth", "get-key", f"client.{client}"]


def wanted_caps(client: Client, release: int) -> dict[str, str]:
    """{daemon: caps} of a client for a cluster of that major version."""
    if release < cluster.LUMINOUS:
        osd = ["allow class-read object_prefix rbd_children"]
        osd += [f"allow rwx pool={p}" for p in client.rwx] + [
            f"allow rx pool={p}" for p in client.rx
        ]
        return {"mon": 'allow r, allow command "osd blacklist"', "osd": ", ".join(osd)}
    osd = [f"profile rbd pool={p}" for p in client.rwx]
    osd += [f"profile rbd-read-only pool={p}" for p in client.rx]
    caps = {"mon": "profile rbd", "osd": ", ".join(osd)}
    if release >= cluster.OCTOPUS:
        caps["mgr"] = ", ".join(f"profile rbd pool={p}" for p in client.rwx)
    return caps


def plan(site: Site, facts: Facts) -> list[Change]:
    """Creates missing users and adds missing caps to existing ones."""
    seen = cluster.seen(site, facts)
    changes = []
    for name, client in site.clients.items():
        wanted = wanted_caps(client, seen.release)
        user = seen.users.get(f"client.{name}")
        if user is None:
            changes.append(_create(site, name, wanted, client.rwx))
        else:
            wider = widened(user["caps"], wanted)
            if wider != user["caps"]:
                changes.append(_widen(site, name, user["caps"], wider))
    return changes


def _grants(text: str) -> list[str]:
    return [re.sub(r"\s+", " ", grant).strip() for grant in text.split(",") if grant.strip()]


def widened(existing: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    """The existing caps, and what of the wanted ones they do not grant yet."""
    result = dict(existing)
    for daemon, text in wanted.items():
        have = _grants(existing.get(daemon, ""))
        missing = [g for g in _grants(text) if g not in have and not _covered(g, have)]
        if missing:
            result[daemon] = ", ".join(have + missing)
    return result


def _covered(grant: str, have: list[str]) -> bool:
    """Whether a broader grant of the same kind is there already."""
    if "allow *" in have:
        return True
    stronger = grant.replace("rbd-read-only", "rbd")
    return stronger in have or re.sub(r" pool=\S+", "", stronger) in have


def _pairs(caps: dict[str, str]) -> list[str]:
    return [word for daemon in sorted(caps) for word in (daemon, caps[daemon])]


def _guard(site: Site, name: str) -> dict[str, Json]:
    return {"argv": cluster.ceph(site, "auth", "get", f"client.{name}"), "absent": "ENOENT"}


def _create(site: Site, name: str, caps: dict[str, str], pools: list[str]) -> Change:
    # auth add, not get-or-create: it answers without the key.
    argv = cluster.ceph(site, "auth", "add", f"client.{name}", *_pairs(caps))
    undo = {
        "verb": "run",
        "args": {"argv": cluster.ceph(site, "auth", "del", f"client.{name}")},
        "guard": _guard(site, name),
        "holds": pools,
    }
    diff = tuple(f"+ {daemon}: {caps[daemon]}" for daemon in sorted(caps))
    return Change(
        site.admin.name,
        f"user client.{name}",
        "create",
        "+",
        "run",
        {"argv": argv, "undo": undo},
        wave=Phase.CLUSTER,
        diff=diff,
        kind="user",
        subject=name,
    )


def _widen(site: Site, name: str, old: dict[str, str], new: dict[str, str]) -> Change:
    argv = cluster.ceph(site, "auth", "caps", f"client.{name}", *_pairs(new))
    changed = [d for d in sorted(new) if old.get(d) != new[d]]
    diff = tuple(line for d in changed for line in (f"- {d}: {old.get(d, '')}", f"+ {d}: {new[d]}"))
    sentence = "widen its caps (" + ", ".join(changed) + ")"
    back = {
        "verb": "run",
        "args": {"argv": cluster.ceph(site, "auth", "caps", f"client.{name}", *_pairs(old))},
        "guard": _guard(site, name),
    }
    args = {"argv": argv, "undo": back if old else None}
    return Change(
        site.admin.name,
        f"user client.{name}",
        sentence,
        "~",
        "run",
        args,
        Phase.CLUSTER,
        diff=diff,
        kind="user",
        subject=name,
        stays="" if old else "it had no caps before, and 'auth caps' wants one at least",
    )


RESOURCE = Resource("ceph.auth", reads, plan)
