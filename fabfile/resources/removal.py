"""Takes a part of a site out: a plan like any other, made from what is there and nothing else.

What goes is what the site file asks for and would not ask for without that part; each resource
says itself how its own is taken away (Resource.leaving).  No run's record is read: what is gone
already is not planned again, so that the same command goes on where one was broken off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from fabfile.core.contract import CLOUD, BadInput, Change, Facts, Host, Read
from fabfile.model import services
from fabfile.model.deployment import OWN
from fabfile.model.phases import Leaving
from fabfile.model.services import NOVA_COMPUTE
from fabfile.model.site import Gone, Site
from fabfile.model.site_tables import Cinder, Glance
from fabfile.resources import (
    by_cluster,
    by_place,
    chain,
    cluster,
    domains,
    in_use,
    keyrings,
    leaving,
    operator_sudo,
    pool_contents,
    restarts,
    rotation,
    volume_hosts,
    volume_storage,
)
from fabfile.resources.resource import Resource, Stays

_STAGES = tuple(one for one in reversed(chain.RESOURCES) if one.leaves)
"""The reverse of the procedure's order: what was made last goes first."""


def gone(site: Site, asked: Asked) -> Gone:
    """What is to go, by names that the site file has.  Raises BadInput for others."""
    if not any((asked.backend, asked.store, asked.client, asked.cluster)):
        raise BadInput("remove: expected one of --backend, --store, --client, --cluster")
    backends = _known("--backend", asked.backend, [one.name for one in site.cinder.all])
    stores = _known("--store", asked.store, [one.name for one in site.glance.all])
    label = asked.cluster
    clients = [(part.label, name) for part in site.parts for name in part.clients]
    if label:
        _refuse_cluster(site, label)
        backends |= {one.name for one in site.cinder.all if one.cluster == label}
        stores |= {one.name for one in site.glance.all if one.cluster == label}
    of_name = _of_cluster("--client", asked.client, clients)
    of_name |= {one for one in clients if one[0] == label}
    found = Gone(frozenset(backends), frozenset(stores), frozenset(of_name))
    pools = [name.strip() for name in asked.and_pool.split(",") if name.strip()]
    in_use.refuse_unnamed(site, site.without(found), pools)
    going = [(part.label, name) for part in site.parts for name in part.pools if name in pools]
    twice = sorted({name for _, name in going if [n for _, n in going].count(name) > 1})
    if twice:
        raise BadInput(
            subject="--and-pool",
            expected="a pool of one cluster",
            found=f"{twice[0]}, of several",
            advice="delete it by hand",
        )
    return replace(found, pools=frozenset(going))


@dataclass(frozen=True)
class Asked:
    """What the operator named: '' for nothing; and_pool: names with commas."""

    backend: str = ""
    store: str = ""
    client: str = ""
    cluster: str = ""
    and_pool: str = ""

    @property
    def said(self) -> str:
        """As it is said in sentences."""
        named = (("backend", self.backend), ("store", self.store), ("client", self.client))
        words = [f"{what} {name}" for what, name in (*named, ("cluster", self.cluster)) if name]
        return ", ".join(words)


def _known(flag: str, name: str, there: Sequence[str]) -> set[str]:
    if name and name not in there:
        raise BadInput(
            subject=flag,
            expected=f"one of the site file's: {', '.join(there) or 'none'}",
            found=repr(name),
            advice="remove goes by the site file: leave it there until it is gone",
        )
    return {name} if name else set()


def _of_cluster(flag: str, name: str, there: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """The client of that name, or of 'CLUSTER/NAME'."""
    label, _, own = name.rpartition("/")
    _known(flag, own, [client for _, client in there])
    found = {one for one in there if one[1] == own and label in ("", one[0])}
    if own and len(found) != 1:
        told = ", ".join(sorted(f"{where}/{client}" for where, client in there if client == own))
        raise BadInput(subject=flag, expected=f"one of {told}", found=repr(name))
    return found


def _refuse_cluster(site: Site, label: str) -> None:
    """Raises BadInput for a cluster that does not go as a whole."""
    others = [part.label for part in site.parts if part.label != OWN]
    if label not in others:
        raise BadInput(
            subject="--cluster",
            expected=f"one of the site file's [clusters]: {', '.join(others) or 'none'}",
            found=repr(label),
            advice="what is on the site's own cluster goes by --backend and --store",
        )
    for said, there in (
        ("cinder.backup", site.cinder.backup and site.cinder.backup.cluster == label),
        ("nova.ephemeral", site.nova.ephemeral and site.nova.cluster == label),
    ):
        if there:
            raise BadInput(
                subject=f"--cluster {label}",
                expected=f"no {said} there",
                found=f"{said} of the site file",
                advice="give it another cluster, or take it out of the site file and its options "
                "out of the service's file, first",
            )


@dataclass(frozen=True)
class Removal:
    """What is to go of a site.  limited: the hosts that may be touched."""

    asked: Asked
    limited: Collection[str]

    @property
    def resource(self) -> Resource:
        """As the resource of the task remove."""
        return Resource("remove", self.reads, self.plan, self.notes)

    def reads(self, site: Site, host: Host) -> list[Read]:
        """What the resources ask of a host, and what may use what is to go."""
        found = [read for one in _STAGES for read in one.reads(site, host)]
        if host.name == CLOUD:
            more = [volume_storage.VOLUMES, leaving.ATTACHMENTS, in_use.IMAGES]
            wanted = gone(site, self.asked)
            more = more if wanted.stores else more[:2]
            more += [volume_hosts.GUARDED] if wanted.backends else []
            return [*found, *more] if site.cloud else []
        found += restarts.RESOURCE.reads(site, host)
        if host.name in _hosts_leaving(site, site.without(gone(site, self.asked))):
            found += operator_sudo.reads(site, host)
        found += by_cluster.reads(site, host, self._of_a_cluster)
        if NOVA_COMPUTE.role in host.roles:
            found.append(_domains(site, host))
        return found

    def _of_a_cluster(self, part: Site, host: Host) -> Iterator[Read]:
        yield from pool_contents.reads(part, host)
        wanted = gone(part.whole, self.asked)
        pools = [pool for label, pool in wanted.pools if label == part.label]
        if pools and host == part.admin:
            yield from pool_contents.namespaces(part, host, pools)
            yield cluster.df(part)
            argv = part.cluster.ceph("config", "get", "mon", "mon_allow_pool_delete")
            yield Read(in_use.POOL_DELETE, "argv", {"argv": argv, "ok": [0, 1, 2, 22]})
        if host == part.admin and in_use.of_others(part, part.whole.without(wanted)):
            yield rotation.sessions(part)
        gone_clients = leaving.clients(part, part.whole.without(wanted).counterpart(part.label))
        yield from by_place.reads(
            part,
            host,
            lambda place, at: (
                keyrings.read_of(client, place.platform_of(at).keyring(client))
                for client in (gone_clients if services.on(at) else ())
            ),
        )

    def plan(self, site: Site, facts: Facts) -> list[Change]:
        """All that goes, the first thing first.

        Raises Refused with all that uses it.
        """
        return [change for change in self._changes(site, facts) if isinstance(change, Change)]

    def _changes(self, site: Site, facts: Facts) -> list[Change | Stays]:
        rest = site.without(gone(site, self.asked))
        in_use.refuse(site, rest, facts, self.asked.said)
        found = [one for stage in _STAGES for one in stage.leaving(site, rest, facts)]
        changes = [one for one in found if isinstance(one, Change)]
        changes += restarts.plan(site, facts, changes)
        kept, waiting = self._in_order(site, facts, sorted(changes, key=_place))
        stays = [one for one in found if isinstance(one, Stays)]
        return [*kept, *stays, *(Stays(c.host, c.thing, _WAITS) for c in waiting)]

    def _in_order(
        self, site: Site, facts: Facts, changes: Sequence[Change]
    ) -> tuple[list[Change], list[Change]]:
        """(what may be done, what waits until all before it is done on hosts beyond --limit).

        Of a host that was not looked at nobody knows whether it is done there.  With --limit
        nothing is done through the cloud's API: behind a service that is open, all waits.
        """
        kept: list[Change] = []
        waiting: list[Change] = []
        may = {CLOUD, *self.limited}
        open_before = any(services.on(h) and h.name not in facts.hosts for h in site.all_hosts())
        is_open = self._is_limited(site) and any(c.kind == "service" for c in changes)
        for wave in Leaving:
            mine = [change for change in changes if change.wave == wave]
            if (wave >= Leaving.ROWS and open_before) or (wave > Leaving.API and is_open):
                waiting += mine
                continue
            kept += mine
            open_before |= any(c.host not in may for c in mine)
        return kept, waiting

    def _is_limited(self, site: Site) -> bool:
        return bool(set(site.hosts) - set(self.limited))

    def notes(self, site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
        """What stays and why; what to take out of the site file afterwards."""
        found = [
            f"{'cluster' if not one.host else one.host}: {one.thing} stays: {one.why}"
            for one in self._changes(site, facts)
            if isinstance(one, Stays)
        ]
        wanted = gone(site, self.asked)
        rest = site.without(wanted)
        found += restarts.notes(site, facts, changes)
        if self._is_limited(site):
            found.append(f"with --limit, nothing is done through the cloud's API: {_WAITS}")
        found += _pools_stay(site, rest, facts)
        found += _defaults(site, rest)
        found += _without_any(site, rest)
        found += _sudoers_stay(site, rest, facts)
        lines = list(dict.fromkeys(_lines(site, rest, wanted)))
        when = "when it is done, take out of" if changes else "take out of"
        return [*found, f"{when} the site file: {', '.join(lines)}"]


def _place(change: Change) -> tuple[int, bool]:
    """Closing comes before all else: only then is it known that nothing came in between."""
    return change.wave, change.kind != "service"


_WAITS = "it goes when the hosts beyond --limit are done: run it again without --limit"


def _domains(site: Site, host: Host) -> Read:
    asked = domains.read(site.platform_of(host), leaving.MOST_GUESTS)
    return Read(asked.id, asked.verb, {**asked.args, "all": True})


def _pools_stay(site: Site, rest: Site, facts: Facts) -> Iterator[str]:
    """Pools that nothing of the site uses then, and that are not deleted."""
    for part in site.parts:
        left = rest.counterpart(part.label)
        for pool in sorted(in_use.used_pools(part) - in_use.used_pools(left)):
            if pool not in left.pools:
                continue
            held = pool_contents.empty(part, facts, pool) if not part.is_supplied else ""
            yield (
                f"pool {pool} stays{f' ({held})' if held else ''}; --and-pool {pool} deletes it, "
                "when it is empty, the trash included"
            )
        if part.is_supplied:
            for client in leaving.clients(part, left):
                yield f"user client.{client} stays: the team of cluster {part.label} deletes it"


def _defaults(site: Site, rest: Site) -> Iterator[str]:
    if site.glance.all and rest.glance.all and site.glance.default != rest.glance.default:
        yield (
            f"images for which nobody names a store go to {rest.glance.default.name} from then on"
        )


def _without_any(site: Site, rest: Site) -> Iterator[str]:
    """That the site file, without the lines that go, would ask for another one of them."""
    for what, table, before, after, kind in (
        ("store", "glance", site.glance, rest.glance, Glance),
        ("backend", "cinder", site.cinder, rest.cinder, Cinder),
    ):
        if before.all and not after.all:
            one = kind().all[0]
            yield (
                f"the site file names no {what} then, and cannot be without one (it would be "
                f"{one.name} in pool {one.pool}): before the next run say in [{table}] which "
                "comes; where none is to come, do not integrate with this site file any more"
            )


def _hosts_leaving(site: Site, rest: Site) -> list[str]:
    """The hosts of a cluster that goes as a whole: nobody logs in to them any more."""
    labels = {part.label for part in site.parts if _goes(part, rest)}
    return [name for name, table in site.hosts.items() if table.cluster in labels]


def _goes(part: Site, rest: Site) -> bool:
    return part.label != OWN and not rest.counterpart(part.label).uses()


def _sudoers_stay(site: Site, rest: Site, facts: Facts) -> Iterator[str]:
    """The operator's sudoers file on those hosts: this very run got in by it."""
    hosts = [n for n in _hosts_leaving(site, rest) if facts.hosts.get(n, {}).get("sudoers")]
    if hosts and site.sudoers:
        path = operator_sudo.path_of(site.sudoers.user)
        yield f"{', '.join(hosts)}: {path} stays, as this run got in by it: take it away by hand"


def _lines(site: Site, rest: Site, wanted: Gone) -> Iterator[str]:
    """The tables and lines of the site file that are of what goes."""
    yield from (f"[{one.said}]" for one in site.cinder.all if one.name in wanted.backends)
    yield from (f"[{one.said}]" for one in site.glance.all if one.name in wanted.stores)
    if site.glance.default.name in wanted.stores:
        yield "default_store of [glance], where it is said"
    for part in site.parts:
        left = rest.counterpart(part.label)
        if _goes(part, rest):
            yield f"[clusters.{part.label}]"
            for name, table in site.hosts.items():
                if table.cluster == part.label:
                    yield f"hosts.{name}"
            continue
        said = part.said_of_client("").removesuffix("clients.")
        going = leaving.clients(part, left)
        yield from (f"{said}clients.{name}" for name in going)
        for pool in sorted(in_use.used_pools(part) - in_use.used_pools(left)):
            named = [
                c for c, table in part.clients.items() if c not in going and pool in table.said
            ]
            if pool in left.pools and named:
                continue  # nothing uses it, and a client that stays may
            yield f"{said}pools.{pool}"
            yield from (f"{pool} of {said}clients.{client}" for client in named)
