"""cephx users and their caps: as much as the site's services need on these releases.

Caps are widened only: what somebody else granted stays.  What this Ceph would refuse is known
before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from fabfile.core.contract import Change, Facts, Host, Json, Read, Refused
from fabfile.model import advice, ceph_releases, releases
from fabfile.model.deployment import Binding, Cluster, Use
from fabfile.model.phases import Leaving, Phase
from fabfile.model.services import CINDER_BACKUP, GLANCE_API
from fabfile.model.site import Site
from fabfile.model.site_tables import Client
from fabfile.resources import by_cluster, by_place, caps, ceph_conf, cluster, librados
from fabfile.resources.client_packages import is_client
from fabfile.resources.leaving import clients as clients_leaving
from fabfile.resources.leaving import named, used_by
from fabfile.resources.pools import is_erasure_coded
from fabfile.resources.resource import Leaves, Resource, Stays


def reads(site: Site, host: Host) -> list[Read]:
    """The cluster's side; the OpenStack release, of which Glance's needs depend; ceph.conf."""
    found = cluster.reads(site, host)
    if GLANCE_API.role in host.roles:
        found.append(releases.READ)
    return [*found, *by_place.reads(site, host, _conf_of)]


def _conf_of(place: Site, host: Host) -> list[Read]:
    of_others = is_client(host) and "ceph" not in host.roles
    return [ceph_conf.read_of(place, host)] if of_others else []


def key_of(of: Cluster, client: str) -> str:
    """The name of the Ref that stands for a client's key in a plan."""
    return f"key:{of.tag}client.{client}"


def key_read(clusters: Sequence[Cluster], name: str) -> tuple[Host, Read]:
    """(where it is asked, what prints it) of a client's key, by the name of its Ref."""
    tag, _, client = name.removeprefix("key:").rpartition("client.")
    one = next(one for one in clusters if one.tag == tag)
    return one.admin, Read(
        name, "secret", {"argv": one.ceph("auth", "get-key", f"client.{client}")}
    )


wanted_caps, widened = caps.wanted, caps.widened
DATA_POOL = ceph_conf.DATA_POOL
_WHOLE = {"allow *", "allow all", "allow rwx", "profile rbd"}
"""Grants by which every pool may be written."""
_ALL = _WHOLE - {"profile rbd"}
_CHILDREN = "allow class-read object_prefix rbd_children"
"""What RBD's own clients had beside their pools before there were profiles."""


def clients(site: Site, seen: cluster.Cluster, release: Mapping[str, Json]) -> dict[str, Client]:
    """The site's clients, each with all that its services do on that OpenStack release.

    Where Glance looks for the clones of an image before it deletes it, its client reads the
    pools that they may be in, of other backends too: every pool into which a user of the
    cluster may clone, or may when this is done.
    """
    found = dict(site.clients)
    if not release.get("glance", {}).get("reads_clones"):
        return found
    before: dict[str, Client] = {}
    while found != before:  # what one store's client is given may be what another's looks for
        before = dict(found)
        for glance in (use for use in site.uses() if use.service == GLANCE_API):
            _give_clones(site, seen, glance, found)
    return found


def _give_clones(site: Site, seen: cluster.Cluster, glance: Use, found: dict[str, Client]) -> None:
    """Adds to the client of one of Glance's stores the pools in which its images' clones may be."""
    no_clones = (GLANCE_API, CINDER_BACKUP)  # a backup is a copy
    pools = [use.pool for use in site.uses() if use.service not in no_clones]
    into = caps.cloned_into(glance.pool, _caps_to_be(found, seen))
    for one in site.clients.values():  # of those that are not to be altered too
        into += one.rwx if glance.pool in (*one.rx, *one.rwx) else []
    pools += [pool for pool in into if _holds_heads(site, seen, pool)]
    mine = found[glance.client]
    more = [p for p in dict.fromkeys(pools) if p not in (*mine.rwx, *mine.rx)]
    found[glance.client] = mine.model_copy(update={"rx": [*mine.rx, *more]})


def _caps_to_be(clients: Mapping[str, Client], seen: cluster.Cluster) -> Iterator[caps.Caps]:
    """What users have when this is done, so that a second look sees no more: one that writes a
    pool already may be given the images beside it."""
    for name, client in clients.items():
        user = seen.users.get(f"client.{name}")
        had = user.get("caps", {}) if user else _granted_before(seen, client)
        if user is None or client.manage:
            yield widened(had, wanted_caps(client, seen.release))
    yield from (user.get("caps", {}) for user in seen.users.values())


def _holds_heads(site: Site, seen: cluster.Cluster, pool: str) -> bool:
    """Whether it is there, or will be, and may hold images and not only the data of others."""
    if pool in seen.pools:
        return not is_erasure_coded(seen.pools[pool])
    return pool in site.pools and not site.pools[pool].erasure


def plan(site: Site, facts: Facts) -> list[Change]:
    """Creates missing users and adds missing caps to existing ones.

    Raises Refused for caps in force that this Ceph would not take again.
    """
    seen = cluster.seen(site, facts)
    changes = []
    for name, client in clients(site, seen, facts.release).items():
        wanted = wanted_caps(client, seen.release)
        user = seen.users.get(f"client.{name}")
        old = user.get("caps", {}) if user else _granted_before(seen, client)
        _refuse_without_data(site, facts, name, {**old, **widened(old, wanted)})
        if user is None:
            wider = widened(old, wanted)
            _refuse_unreadable(site, name, wider, seen.release)
            changes.append(_create(site, name, wider, client.rwx))
            continue
        wider = widened(old, wanted)
        if wider != old and client.manage:
            _refuse_unreadable(site, name, wider, seen.release)
            changes.append(_widen(site, name, old, wider, seen.release))
    return changes


def _granted_before(seen: cluster.Cluster, client: Client) -> caps.Caps:
    """The caps of the client whose place it takes, what somebody else granted with them."""
    there = seen.users.get(f"client.{client.replaces}") if client.replaces else None
    found: caps.Caps = there["caps"] if there else {}
    return found


def data_pools(site: Site, facts: Facts, client: str) -> dict[str, Binding]:
    """{pool in which RBD keeps a client's data: by whose ceph.conf}, as the hosts have them."""
    found: dict[str, Binding] = {}
    for place in site.places:
        there = by_place.facts_of(place, facts).hosts
        for binding in place.bindings:
            text = (there.get(binding.host.name, {}).get("ceph.conf") or {}).get("text", "")
            said = librados.setting(text, client, DATA_POOL) if binding.client == client else None
            if said and said[1]:
                found.setdefault(said[1], binding)
    return found


def _refuse_without_data(site: Site, facts: Facts, name: str, them: caps.Caps) -> None:
    """A pool that a host's ceph.conf alone names is granted by nobody but the site file.

    Whoever is root on a compute could otherwise have any pool granted.
    """
    granted = caps.on_pools(them.get("osd", ""))
    if not site.clients[name].rwx or _WHOLE & set(caps.grants(them.get("osd", ""))):
        return
    for pool, binding in data_pools(site, facts, name).items():
        if "w" not in granted.get(pool, ""):
            raise Refused(
                host=binding.host.name,
                subject=binding.conf,
                expected=f"{DATA_POOL} that client.{name} may write",
                found=f"{pool!r}",
                why="RBD keeps the data of each new image there, and none could be made",
                advice=f"list that pool under [pools] of the site file and in clients.{name}.rwx, "
                "or take the line out",
            )


def _unreadable(them: caps.Caps, release: int) -> list[str]:
    return [
        f"{daemon}: {grant}"
        for daemon, text in sorted(them.items())
        for grant in caps.grants(text)
        if not caps.takes(daemon, grant, release)
    ]


def _refuse_unreadable(site: Site, name: str, new: caps.Caps, release: int) -> None:
    """'ceph auth caps' takes all of a user's caps or none: one that it cannot read stops all."""
    odd = _unreadable(new, release)
    if odd:
        entity = f"client.{name}"
        look = site.cluster.platform.by_hand("ceph", "auth", "get", entity)
        raise Refused(
            host=site.admin.name,
            subject=f"user {entity}",
            expected=f"caps that Ceph {release} can read",
            found="; ".join(odd),
            why="it would refuse all of the user's caps for these (EINVAL), at the time of writing",
            advice=f"look at them ({advice.shown(look)}), and set all of its caps without them, or "
            "in the words that this release has",
        )


def _pairs(them: caps.Caps) -> list[str]:
    return [word for daemon in sorted(them) for word in (daemon, them[daemon])]


def _guard(site: Site, name: str) -> dict[str, Json]:
    return {"argv": cluster.ceph(site, "auth", "get", f"client.{name}"), "absent": "ENOENT"}


def _create(site: Site, name: str, them: caps.Caps, pools: Sequence[str]) -> Change:
    # auth add, not get-or-create: it answers without the key.
    argv = cluster.ceph(site, "auth", "add", f"client.{name}", *_pairs(them))
    undo = {
        "verb": "run",
        "args": {"argv": cluster.ceph(site, "auth", "del", f"client.{name}")},
        "guard": _guard(site, name),
        "holds": pools,
    }
    diff = tuple(f"+ {daemon}: {them[daemon]}" for daemon in sorted(them))
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


def _widen(site: Site, name: str, old: caps.Caps, new: caps.Caps, release: int) -> Change:
    argv = cluster.ceph(site, "auth", "caps", f"client.{name}", *_pairs(new))
    changed = [d for d in sorted(new) if old.get(d) != new[d]]
    diff = tuple(line for d in changed for line in (f"- {d}: {old.get(d, '')}", f"+ {d}: {new[d]}"))
    sentence = "widen its caps (" + ", ".join(changed) + ")"
    none = [g for d in changed for g in caps.grants(old.get(d, "")) if caps.is_no_grant(d, g)]
    if none:
        sentence += f", without what is no grant: {', '.join(none)}"
    stays = ""
    if not old:
        stays = "it had no caps before, and 'auth caps' wants one at least"
    elif _unreadable(old, release):
        stays = "Ceph would refuse the caps that it had before"
    back = {
        "verb": "run",
        "args": {"argv": cluster.ceph(site, "auth", "caps", f"client.{name}", *_pairs(old))},
        "guard": _guard(site, name),
    }
    args = {"argv": argv, "undo": None if stays else back}
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
        stays=stays,
    )


def leaving(site: Site, rest: Site, facts: Facts) -> Leaves:
    """The users that go; one by which more logs in than the site says stays."""
    seen = cluster.seen(site, facts)
    wanted = clients(site, seen, facts.release)
    found: list[Change | Stays] = []
    for name in clients_leaving(site, rest):
        if (user := seen.users.get(f"client.{name}")) is None:
            continue
        why = _needed(site, facts, name, wanted[name], user.get("caps", {}))
        found.append(Stays("", f"user client.{name}", why) if why else _delete(site, name, user))
    return found


def _needed(site: Site, facts: Facts, name: str, wanted: Client, has: caps.Caps) -> str:
    """What else a user is for than what the site says; '' for nothing."""
    if re.fullmatch(advice.CEPHS_OWN, name):
        return "the cluster itself is run by it"
    if used := used_by(site, facts, name):
        return named(used)
    if _WHOLE & set(caps.grants(has.get("osd", ""))):
        return "it may use every pool: somebody else may log in by it"
    if more := beyond(wanted, has):
        return (
            f"it has {more}, which the site file does not give it: somebody else may log in by it"
        )
    return ""


def beyond(wanted: Client, has: caps.Caps) -> str:
    """What a user has beside the site's pools, in words; '' for nothing."""
    pools = sorted(set(caps.on_pools(has.get("osd", ""))) - {*wanted.rwx, *wanted.rx})
    more = [f"caps on pool {', '.join(pools)}"] if pools else []
    return ", ".join([*more, *_of_other_kinds(has)])


def _of_other_kinds(has: caps.Caps) -> Iterator[str]:
    """Grants that are on no whole pool: of a namespace, a tag, a metadata server, the cluster."""
    for daemon, text in sorted(has.items()):
        for grant in caps.grants(text):
            on_pool = daemon == "osd" and (caps.on_pools(grant) or grant == _CHILDREN)
            harmless = daemon in ("mon", "mgr") and grant not in _ALL
            if not on_pool and not harmless:
                yield f"{daemon} {grant!r}"


def _delete(site: Site, name: str, user: dict[str, Json]) -> Change:
    of_cluster, entity = site.cluster, f"client.{name}"
    undo = {
        "verb": "run",
        "args": {
            "argv": of_cluster.ceph("auth", "import", "-i", "/dev/stdin"),
            "stdin": [{"old": of_cluster.ceph("auth", "get", entity)}],
        },
        "guard": _guard(site, name),
    }
    has = user.get("caps", {})
    return Change(
        site.admin.name,
        f"user {entity}",
        "delete",
        "-",
        "run",
        {"argv": cluster.ceph(site, "auth", "del", entity), "undo": undo},
        Leaving.USERS,
        diff=tuple(f"- {daemon}: {has[daemon]}" for daemon in sorted(has)),
        kind="user",
        subject=name,
    )


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """That this Ceph is newer than all whose caps are known; caps that are left as they are."""
    text = ceph_releases.newer(cluster.release(facts, site.admin.name))
    return [*([f"{site.admin.name}: {text}"] if text else []), *_left_alone(site, facts)]


def _left_alone(site: Site, facts: Facts) -> Iterator[str]:
    """What users that are there lack, of whom the site file says that they stay."""
    seen = cluster.seen(site, facts)
    for name, client in clients(site, seen, facts.release).items():
        user = seen.users.get(f"client.{name}")
        if user is None or client.manage:
            continue
        wider = widened(user["caps"], wanted_caps(client, seen.release))
        if lacking := [
            f"{d} {wider[d]!r}" for d in sorted(wider) if user["caps"].get(d) != wider[d]
        ]:
            yield (
                f"user client.{name}: expected {', '.join(lacking)}: it stays as it is; manage = "
                f"true under [clients.{name}] widens its caps"
            )


RESOURCE = by_cluster.each(Resource("ceph.auth", reads, plan, notes, leaving=leaving), alters=True)
