"""What still uses a backend, a store, a client or a pool that is to go, and the way on: pure.

By what Cinder's and Glance's API say, by the pools' images, by running guests and by the files of
options.  What could not be seen is in use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabfile.core.contract import CLOUD, INV, BadInput, Facts, Json, Read, Refused, typed
from fabfile.core.text import counted
from fabfile.model import advice
from fabfile.model.deployment import Backend, Store
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import (
    by_cluster,
    caps,
    cluster,
    in_force,
    leaving,
    pool_contents,
    pools,
    rotation,
    volume_hosts,
    volume_storage,
)
from fabfile.resources.leaving import named

IMAGES = Read("glance.images", "images")
"""Every image of Glance's, with the stores that it says they are in."""
_WITHOUT_DATA = ("queued", "killed", "deleted")
"""Statuses of images that have nothing in any store."""
POOL_DELETE = "ceph.pool.delete"
_MOST_OBJECTS = 32
"""Objects by which RBD keeps an empty pool: its directories, and what it says of itself."""
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_VOLUME = re.compile(rf"volume-{_UUID}(?:\.deleted)?")
_IMAGE = re.compile(_UUID)


@dataclass(frozen=True)
class InUse:
    """One reason why something cannot go: what it is, what was found, and the way on."""

    what: str
    found: str
    way: str

    def __str__(self) -> str:
        return f"{self.what}: {self.found}; {self.way}"


def refuse(site: Site, rest: Site, facts: Facts, said: str) -> None:
    """Raises Refused with all that uses what is to go.  said: that, as the operator named it."""
    found = list(dict.fromkeys(map(str, _all(site, rest, facts))))
    if found:
        raise Refused(
            "\n  ".join([f"{said} is in use; nothing was written anywhere:", *found]),
            subject=said,
            found="; ".join(found),
        )


def _all(site: Site, rest: Site, facts: Facts) -> Iterator[InUse]:
    backends = {one.name for one in rest.cinder.all}
    for backend in (one for one in site.cinder.all if one.name not in backends):
        yield from _backend(site, rest, facts, backend)
    stores = {one.name for one in rest.glance.all}
    for store in (one for one in site.glance.all if one.name not in stores):
        yield from _store(site, rest, facts, store)
    for part in site.parts:
        left = rest.counterpart(part.label)
        yield from _clients(part, left, facts)
        for pool in (one for one in part.pools if one not in left.pools):
            yield from _pool(part, left, facts, pool)


# A backend


def _backend(site: Site, rest: Site, facts: Facts, one: Backend) -> Iterator[InUse]:
    what = f"backend {one.name}"
    if not volume_storage.has_sections(facts):
        yield InUse(what, "before Havana there is one backend", "it goes with cinder-volume alone")
        return
    volumes = facts.hosts.get(CLOUD, {}).get("volumes")
    if volumes is None:
        unseen = "whether volumes are on it cannot be seen"
        yield InUse(what, unseen, "name the cloud in the site file")
        return
    there = [v for v in volumes if _section(v["host"]) == in_force.same(one.name)]
    for place in dict.fromkeys(v["host"] for v in there):
        ids = [v["id"] for v in there if v["host"] == place]
        yield InUse(
            what,
            f"{counted(len(ids), 'volume')} on {place} (with their snapshots): {named(ids)}",
            _moved_away(rest, ids[0]),
        )
    mine = {id(v) for v in there}
    others = [v["id"] for v in volumes if v["type"] == one.volume_type and id(v) not in mine]
    if one.volume_type and others:
        found = f"{counted(len(others), 'volume')} of it elsewhere: {named(others)}"
        yield InUse(f"volume type {one.volume_type}", found, _moved_away(rest, others[0]))
    yield from _unknown_volumes(site, rest, facts, one, {v["id"] for v in there})
    yield from _foreign(site, facts, one)
    yield from _configured(site, facts, one)


def _section(place: str) -> str:
    """The section of host@section#pool."""
    return in_force.same(place.partition("#")[0].rpartition("@")[2])


def _moved_away(rest: Site, volume: str) -> str:
    """How a volume goes to a backend that stays, or goes for good."""
    kinds = [one.volume_type for one in rest.cinder.all if one.volume_type]
    delete = "or delete it with its snapshots (openstack volume delete)"
    if not kinds:
        return f"move each to a backend that stays (openstack volume migrate), {delete}"
    retype = ("volume", "set", "--type", kinds[0], "--retype-policy", "on-demand", volume)
    return f"move each, for one: {advice.shown(typed('openstack', *retype))}; {delete}"


def _unknown_volumes(
    site: Site, rest: Site, facts: Facts, one: Backend, known: set[str]
) -> Iterator[InUse]:
    """Images in its pool that are called as volumes are, and that no row is seen to have."""
    part = site.part(one.cluster)
    left = rest.counterpart(part.label)
    if part.is_supplied or one.pool in used_pools(left):
        return
    names = pool_contents.names(part, facts, one.pool)
    what = f"pool {one.pool} of backend {one.name}"
    if names is None:
        yield InUse(what, "its images could not be seen", "see what rbd ls says there")
        return
    stray = [n for n in names if _VOLUME.fullmatch(n) and n[7:43] not in known]
    if stray:
        many = counted(len(stray), "image")
        found = f"{many} of volumes that Cinder does not tell of: {named(stray)}"
        yield InUse(what, found, f"see what they are: {advice.shown(typed('inv', 'reconcile'))}")


def used_pools(part: Site) -> set[str]:
    """The pools that a part's services use, data pools too."""
    used = {use.pool for use in part.uses()}
    return used | {one.data_pool for one in part.cinder.all if one.data_pool}


def _foreign(site: Site, facts: Facts, one: Backend) -> Iterator[InUse]:
    """A service of that section on a host that the site file does not name."""
    ours = volume_hosts.services_of(site, facts, one)
    for row in facts.hosts.get(CLOUD, {}).get("volume_services", ()):
        if row["up"] and row["host"] not in ours and _section(row["host"]) == one.name.lower():
            yield InUse(
                f"backend {one.name}",
                f"service {row['host']} is up, on a host that the site file does not name",
                "name that host in the site file, or stop its cinder-volume first",
            )


def _configured(site: Site, facts: Facts, one: Backend) -> Iterator[InUse]:
    """What files of options have under its name, and lead elsewhere or to its type."""
    for host in site.with_role("cinder"):
        seen = facts.hosts.get(host.name, {})
        if not seen.get("cinder.conf"):
            continue
        options = volume_storage.options_of(seen)
        where = f"{host.name}: {site.platform_of(host).file(CINDER_VOLUME)}"
        default = options.get(("DEFAULT", "default_volume_type"))
        if one.volume_type and default == one.volume_type:
            yield InUse(
                f"volume type {one.volume_type}",
                f"{where}: default_volume_type = {default}, and Cinder keeps its default type",
                "say another cinder.default_volume_type (or none, and take the line out), then "
                f"{INV} controller.cinder, and restart cinder-api",
            )
        if any(section == in_force.same(one.name) for section, _ in options):
            off = volume_storage.elsewhere(site, one, options, one.name)
            for key, (found, expected) in off.items():
                yield InUse(
                    f"backend {one.name}",
                    f"{where}: [{one.name}] {key} = {found or '(none)'}, not {expected or 'none'}",
                    "the section is not the site file's backend: take it out by hand",
                )


# A store


def _store(site: Site, rest: Site, facts: Facts, one: Store) -> Iterator[InUse]:
    what = f"store {one.name}"
    if "{store}" not in facts.release.get("glance", {}).get("options", {}):
        yield InUse(what, "before Train Glance has one RBD store", "it goes with Glance alone")
        return
    told = facts.hosts.get(CLOUD, {}).get(IMAGES.id)
    mine = in_force.same(one.name)  # a list in other letters names the same section
    by_api = [i["id"] for i in told or () if mine in map(in_force.same, i["stores"])]
    if by_api:
        yield InUse(
            what, f"{counted(len(by_api), 'image')}: {named(by_api)}", _copied(rest, one, by_api[0])
        )
        return
    part = site.part(one.cluster)
    left = rest.counterpart(part.label)
    alone = one.pool not in used_pools(left)
    names = pool_contents.names(part, facts, one.pool) if not part.is_supplied else None
    if alone and names is not None:
        held = [name for name in names if _IMAGE.fullmatch(name)]
        if held:
            found = f"{counted(len(held), 'image')} in pool {one.pool}: {named(held)}"
            yield InUse(what, found, _copied(rest, one, held[0]))
    elif told is not None:
        yield from _untold(what, told)
    else:
        unseen = f"whether images are in it cannot be seen (pool {one.pool} has others' too)"
        yield InUse(what, unseen, "name the cloud in the site file")


def _untold(what: str, told: Sequence[Mapping[str, Json]]) -> Iterator[InUse]:
    """Images that have data, or are about to, in a store that Glance does not tell (yet)."""
    found = [i for i in told if not i["stores"] and i["status"] not in _WITHOUT_DATA]
    if found:
        ids = [f"{one['id']} ({one['status']})" for one in found]
        show = advice.shown(typed("openstack", "image", "show", found[0]["id"]))
        yield InUse(
            what,
            f"{counted(len(ids), 'image')} of which Glance names no store: {named(ids)}",
            f"wait for those that are being made; of others see their stores ({show})",
        )


def _copied(rest: Site, one: Store, image: str) -> str:
    """How an image goes into a store that stays, and out of this one."""
    delete = "or delete it (openstack image delete)"
    if not rest.glance.all:
        return f"copy each into another store, {delete}"
    to = rest.glance.default.name
    copy = ("image-import", "--import-method", "copy-image", "--stores", to, image)
    return (
        f"copy each, for one: {advice.shown(typed('glance', *copy))}, and then take it out of "
        f"{one.name} (glance stores-delete); {delete}"
    )


# A client


def _clients(part: Site, rest: Site, facts: Facts) -> Iterator[InUse]:
    """Clients by which something logs in, or that take the place of one that is there."""
    yield from _in_the_middle(part, rest, facts)
    for name in (one for one in part.clients if one not in rest.clients):
        what = f"client.{name}"
        users = [use for use in rest.uses() if use.client == name]
        if users:
            by = sorted({f"{use.service.name} ({use.pool})" for use in users})
            way = "name another client there and integrate, or remove that backend or store"
            yield InUse(what, f"the site file has it for {', '.join(by)}", way)
            continue
        mine = by_cluster.facts_of(part, facts)
        if leaving.ATTACHMENTS.id not in facts.hosts.get(CLOUD, {}):
            unseen = "whether attachments were made with it cannot be seen"
            yield InUse(what, unseen, "name the cloud in the site file")
        elif used := leaving.uses(part, mine, name):
            way = "stop those instances, or attach their volumes anew, first"
            yield InUse(what, f"{len(used)} log in by it: {named(used)}", way)
        yield from _named_in_files(part, mine, name)
        if name in of_others(part, rest.whole):
            yield from _logged_in(part, mine, name)


def of_others(part: Site, rest: Site) -> list[str]:
    """A cluster's clients that go and that no service of the site has: who does, monitors tell.

    rest: the whole of it.  The cluster's own users never go.
    """
    if part.is_supplied:
        return []
    going, used = leaving.clients(part, rest.counterpart(part.label)), part.used_clients()
    return [n for n in going if n not in used and not re.fullmatch(advice.CEPHS_OWN, n)]


def _logged_in(part: Site, facts: Facts, client: str) -> Iterator[InUse]:
    if f"client.{client}" not in cluster.seen(part, facts).users:
        return
    at, what = rotation.logged_in(part, facts, client), f"client.{client}"
    if at is None:
        look = advice.shown(typed("ceph", "daemon", "mon.ID", "sessions"))
        yield InUse(
            what,
            "the monitors do not say who is logged in (Octopus or later do)",
            f"look on each monitor's host ({look}), and take the user away by hand",
        )
    elif at:
        yield InUse(what, f"it is logged in from {named(at)}", "end what that is")


def _in_the_middle(part: Site, rest: Site, facts: Facts) -> Iterator[InUse]:
    """A client that goes while the one whose place it takes is there: nobody would retire that."""
    users = cluster.users_seen(by_cluster.facts_of(part, facts), part.admin.name)
    for new in leaving.clients(part, rest):
        old = part.replaced.get(new)
        if old and (f"client.{old}" in users if users is not None else not part.is_supplied):
            yield InUse(
                f"client.{new}",
                f"it takes the place of client.{old}, which is there still",
                f"end that first: {advice.shown(typed('inv', 'ceph.rotate'))}, until client.{old} "
                "is gone",
            )


def _named_in_files(part: Site, facts: Facts, client: str) -> Iterator[InUse]:
    for said in leaving.named_in_files(part, facts, client):
        yield InUse(f"client.{client}", said, "name another there first")


# A pool


def _pool(part: Site, rest: Site, facts: Facts, pool: str) -> Iterator[InUse]:
    """Why a pool whose name was typed is not deleted."""
    what, here = f"pool {pool}", by_cluster.facts_of(part, facts)
    if part.is_supplied:
        yield InUse(what, "its cluster is another team's", "ask that team")
        return
    seen = cluster.seen(part, here)
    if pool not in seen.pools:
        return
    if pool in used_pools(rest):
        yield InUse(what, "the site file has it for what stays", "take --and-pool out")
    if held := pool_contents.empty(part, facts, pool):
        empty = "see what it is (rbd ls, rbd trash ls --all, rbd namespace ls), or leave the pool"
        yield InUse(what, f"it is not empty: {held}", empty)
    erasure = pools.is_erasure_coded(seen.pools[pool])
    objects = cluster.stored(part, here, pool).get("max_objects")
    if objects is None or objects > (0 if erasure else _MOST_OBJECTS):
        unseen = "whether it holds objects was not seen"
        count = unseen if objects is None else counted(objects, "object")
        yield InUse(what, f"it is not empty: {count}", "see what it is (rados ls), or leave it")
    other = sorted(set(seen.pools[pool].get("application_metadata", {})) - {"rbd"})
    if other:
        yield InUse(what, f"it is for {', '.join(other)}", "leave it, or ask who uses it")
    going = {f"client.{name}" for name in leaving.clients(part, rest)}
    ours = going | {f"client.{name}" for name in part.clients}
    users = sorted(
        entity
        for entity, user in seen.users.items()
        if entity not in ours and caps.names_pool(user.get("caps", {}).get("osd", ""), pool)
    )
    if users:
        yield InUse(what, f"{named(users)} may use it", "leave it, or ask who that is")
    yield from _may_be_deleted(part, here, what)


def _may_be_deleted(part: Site, facts: Facts, what: str) -> Iterator[InUse]:
    """The monitors refuse to delete a pool unless they are told otherwise."""
    told = facts.hosts.get(part.admin.name, {}).get(POOL_DELETE)
    if told and told["code"] == 0 and told["out"].strip().strip('"').lower() == "false":
        allow = part.cluster.platform.by_hand(
            "ceph", "config", "set", "mon", "mon_allow_pool_delete", "true"
        )
        yield InUse(
            what,
            "the monitors delete no pool (mon_allow_pool_delete is false)",
            f"{advice.shown(allow)}, and false again afterwards",
        )


def refuse_unnamed(site: Site, rest: Site, typed_pools: Sequence[str]) -> None:
    """Raises BadInput for a pool that is none of what goes."""
    parts = [(part, rest.counterpart(part.label)) for part in site.parts]
    going = (used_pools(part) - used_pools(left) for part, left in parts)
    known = sorted(set().union(*going))
    for pool in typed_pools:
        if pool not in known:
            raise BadInput(
                subject="--and-pool",
                expected=f"a pool that nothing else uses: {', '.join(known) or 'none'}",
                found=repr(pool),
            )
