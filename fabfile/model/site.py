"""The site file as a whole, checked all at once: how its tables meet, and what follows from them.

Does not open files or reach hosts; the tables themselves are in `site_tables`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from pydantic import (
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from fabfile.core.contract import CLOUD, BadInput, Host, Json
from fabfile.model import deployers, deployment, platforms, services, site_faults
from fabfile.model.advice import CEPHS_OWN
from fabfile.model.deployers import Deployer
from fabfile.model.deployment import OWN, Backend, Binding, Cluster, Use
from fabfile.model.platforms import Platform
from fabfile.model.site_tables import (
    ROLES,
    Backup,
    Cinder,
    Client,
    ClusterTable,
    Dask,
    Database,
    Deploy,
    Glance,
    HostTable,
    Name,
    Nova,
    Options,
    Packages,
    PlainText,
    PlatformChanges,
    Pool,
    Rollout,
    Ssh,
    Sudoers,
    Table,
    Uuid,
    Verify,
)
from fabfile.model.site_uses import Uses

T = TypeVar("T")
_NO_TABLE = ClusterTable()


def _not_written(client: Client | None, name: str, said: str, pools: Sequence[str]) -> list[str]:
    """Pools into which something writes, and which its client leaves out; name: its table."""
    return [
        f"{name}.rwx: expected {pool!r} too, into which {said} "
        "writes; or leave rwx out: then it is what its services need"
        for pool in pools
        if pool and client and client.rwx and pool not in client.rwx
    ]


@dataclass(frozen=True)
class Gone:
    """What is to go of a site: names of backends and stores; clients and pools, each with the
    label of its cluster.  A pool goes where it is named here, and never because nothing uses it."""

    backends: frozenset[str] = frozenset()
    stores: frozenset[str] = frozenset()
    clients: frozenset[tuple[str, str]] = frozenset()
    pools: frozenset[tuple[str, str]] = frozenset()


def _left(tables: Mapping[str, T], label: str, gone: Collection[tuple[str, str]]) -> dict[str, T]:
    """The tables of a cluster without those that go."""
    return {name: table for name, table in tables.items() if (label, name) not in gone}


class Site(Table):
    """A whole site file.

    clone_v2: whether RBD's clones are to be of v2; None: where all who use the cluster read them.
    recommended: whether options are set that are recommended, and no part of who uses which pool.
    platform: of the hosts that name none.
    platform_changes: what its hosts have otherwise than its file says; {another one's name: its}.
    deployer: whose the services' configuration is, a file of config/deployers; deploy: its host's.
    """

    name: Name
    fsid: Uuid | None = None
    release: Name = "auto"
    clone_v2: bool | None = None
    recommended: bool = True
    platform: Name = "debian"
    platform_changes: PlatformChanges = {}
    deployer: Name | None = None
    deploy: Deploy | None = None
    hosts: dict[Name, HostTable] = Field(min_length=1)
    pools: dict[Name, Pool] = {"volumes": Pool(), "images": Pool()}
    clients: dict[Name, Client] = {
        "volumes": Client(rwx=["volumes"], rx=["images"]),
        "images": Client(rwx=["images"]),
    }
    ssh: Ssh = Ssh()
    rollout: Rollout = Rollout()
    dask: Dask | None = None
    glance: Glance = Glance()
    cinder: Cinder = Cinder()
    nova: Nova = Nova()
    options: Options = {}
    packages: Packages = Packages()
    sudoers: Sudoers | None = None
    verify: Verify = Verify()
    database: Database = Database()
    backup: Backup = Backup()
    cloud: Name | None = None
    clouds_yaml: PlainText | None = None
    clusters: dict[Name, ClusterTable] = {}
    _platforms: dict[str, Platform] = PrivateAttr(default_factory=dict)
    _deployers: dict[str, Deployer] = PrivateAttr(default_factory=dict)
    _whole: Site | None = PrivateAttr(None)
    _label: str = PrivateAttr("")
    _of: Site | None = PrivateAttr(None)
    _place: services.Service | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _names_meet(self, info: ValidationInfo) -> Site:
        faults = [
            f"hosts.{name}: expected another name: {name!r} is {what} here"
            for name, what in self._taken_names().items()
            if name in self.hosts
        ]
        faults += [*self._clusters_meet(), *self._deployer_meets()]
        computes = [name for name, host in self.hosts.items() if "compute" in host.roles]
        faults += [
            f"nova.hosts: expected some of {', '.join(computes) or 'the computes (none)'}, "
            f"found {name!r}"
            for name in self.nova.hosts
            if name not in computes
        ]
        if faults:
            raise ValueError("\n".join(faults))
        for part in self.parts:
            faults += part.part_faults()
        folders = info.context or {}
        faults += self._shared_secrets() + self._shared_keyrings(folders)
        faults += self._nowhere_backed_up()
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _deployer_meets(self) -> Iterator[str]:
        """A deployer without a host and what it needs, and the reverse."""
        hosts = self.with_role("deploy")
        if not self.deployer:
            yield from (
                f"hosts.{host.name}: expected deployer beside it: 'deploy'" for host in hosts
            )
            if self.deploy:
                yield "deploy: expected deployer beside it, found none"
            return
        if len(hosts) != 1:
            yield f"hosts: expected one host of the role 'deploy', found {len(hosts)}"
        if self.release == "auto":
            yield "release: expected the one that is deployed, by name (zed), found 'auto'"
        for one in (one for one in self.cinder.all if one.replicates_to):
            yield (
                f"{one.said}.replicates_to: expected none beside deployer: {self.deployer} writes "
                "no replication_device; give it to its own input by hand"
            )
        for host in self.with_role(*services.ROLES):
            yield (
                f"hosts.{host.name}.roles: expected none of {', '.join(services.ROLES)}: what runs "
                f"there is in {self.deployer}'s own inventory, and is its to write"
            )

    def part_faults(self) -> list[str]:
        """What is wrong with the names of one cluster."""
        faults = [
            f"{where}: expected one of {', '.join(sorted(known)) or 'those of its cluster (none)'}"
            f", found {name!r}"
            for where, name, known in self._references()
            if name not in known
        ]
        if self.is_supplied:
            faults += [
                f"hosts.{host.name}: expected no host of the cluster {self.label}: it is supplied"
                for host in self.with_role("ceph")
            ]
        elif not self.with_role("ceph"):
            which = f"of the cluster {self._label} " if self._label else ""
            faults.append(f"hosts: no host {which}has the role 'ceph'")
        return faults + self._out_of_reach() + list(self._replaced_in_use())

    def _replaced_in_use(self) -> Iterator[str]:
        """Clients that take another's place, and cannot: that one's, or their own, is not free."""
        used, first = set(self.used_clients()), dict[str, str]()
        for name, old in self.replaced.items():
            said = f"{self.said_of_client(name)}.replaces"
            if re.fullmatch(CEPHS_OWN, old):
                yield (
                    f"{said}: expected a client of services alone, found {old!r}, by which the "
                    "cluster itself is run: its caps are not for a service, and it is never taken "
                    f"away; take {said} out, and integrate"
                )
            elif old == name or old in used or old in self.clients:
                yield (
                    f"{said}: expected a client that this site file uses no more, found {old!r}: "
                    f"name {name} where a service has {old}, and take {old}'s own table out"
                )
            elif name not in used:
                yield f"{said}: expected a service that logs in as {name}, found none"
            elif first.setdefault(old, name) != name:
                yield f"{said}: expected one client in the place of {old}, found {first[old]} too"

    @property
    def replaced(self) -> dict[str, str]:
        """{client: the one whose place it takes} of a part's cluster."""
        return {name: one.replaces for name, one in self.clients.items() if one.replaces}

    def _clusters_meet(self) -> Iterator[str]:
        """Clusters that are named and not there, or in each other's way."""
        known = {OWN, *self.clusters}
        named = self._named_clusters()
        named |= {
            f"hosts.{n}.cluster": host.cluster for n, host in self.hosts.items() if host.cluster
        }
        for where, name in named.items():
            if name not in known:
                yield (f"{where}: expected one of {', '.join(sorted(known))}, found {name!r}")
        for name, host in self.hosts.items():
            if host.cluster and "ceph" not in host.roles:
                yield (
                    f"hosts.{name}.cluster: expected none: a host without the role 'ceph' uses "
                    "what its services name"
                )
        for name in ("fsid", "clone_v2", "pools", "clients"):
            if OWN in self.clusters and name in self.clusters[OWN].model_fields_set:
                yield f"clusters.{OWN}.{name}: expected it at the top of the site file: {name}"
        for name in self.clusters:
            if name != OWN and name not in self.labels:
                yield (
                    f"clusters.{name}: expected a use of it, or a host of it, found none: name it "
                    f"as the cluster of a backend, a store or a host"
                )

    def _named_clusters(self) -> dict[str, str]:
        """{key of the site file: the cluster that it names}."""
        found = {f"{one.said}.cluster": one.cluster for one in self.glance.all}
        found |= {f"{one.said}.cluster": one.cluster for one in self.cinder.all}
        found |= {
            f"{one.said}.replicates_to": one.replicates_to
            for one in self.cinder.all
            if one.replicates_to
        }
        found |= {"cinder.backup.cluster": self.cinder.backup.cluster} if self.cinder.backup else {}
        return {**found, **({"nova.cluster": self.nova.cluster} if self.nova.ephemeral else {})}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The clusters that there are, by their names in the site file; its own one first."""
        used = {*self._named_clusters().values()}
        used |= {h.cluster or OWN for h in self.hosts.values() if "ceph" in h.roles}
        return tuple(name for name in dict.fromkeys((OWN, *self.clusters)) if name in used)

    @cached_property
    def parts(self) -> tuple[Site, ...]:
        """The site as each of its clusters has it: itself, where there is one of its own alone.

        A part has the pools, clients, backends, stores and hosts of its cluster; a host has in
        it the roles of those services that use the cluster.
        """
        alone = self._of or self._whole or self.labels == (OWN,) or not self.labels
        if alone:
            return (self,)
        return tuple(self._part(name) for name in self.labels)

    def part(self, label: str) -> Site:
        """The part of a cluster."""
        return next(one for one in self.parts if label in ("", one.label))

    def counterpart(self, label: str) -> Site:
        """As a cluster has it, also where nothing of this site uses that one any more."""
        return next((one for one in self.parts if one.label == label), None) or self._part(label)

    @cached_property
    def places(self) -> tuple[Site, ...]:
        """A cluster's part as each place has it where hosts have its files for services.

        Itself, where every host has one place for all of its services.  A container has a folder
        of its own: that place has the hosts where it is so, with its service's role alone; the
        first place is all that is not apart.
        """
        hosts = self.all_hosts() if self._of is None else ()
        apart = {one: None for host in hosts for one in self._apart(host)}
        if not apart:
            return (self,)
        return tuple(self.at(one) for one in (None, *apart))

    def at(self, service: services.Service | None) -> Site:
        """As the place of a service has it, be there one or not; None: as that of the rest."""
        hosts = {}
        for host in self.all_hosts():
            apart = {one.role for one in self._apart(host)}
            if service:
                roles = [service.role] if service.role in apart else []
            else:
                roles = [role for role in host.roles if role not in apart]
            if roles:
                hosts[host.name] = self.hosts[host.name].model_copy(update={"roles": roles})
        found = self._altered(hosts=hosts)
        found._of, found._place = self, service
        return found

    def _apart(self, host: Host) -> list[services.Service]:
        """The services of a host that have Ceph's files in a folder of their own."""
        folders = self._base(host).ceph_folders
        return [one for one in services.on(host) if one.name in folders] if folders else []

    @property
    def place(self) -> services.Service | None:
        """Whose place it is, of a part's places; None for the one of the rest."""
        return self._place

    @property
    def is_place(self) -> bool:
        """Whether it is one of several places of a part."""
        return self._of is not None

    def without(self, gone: Gone) -> Site:
        """The same without what is to go: what is left is to be as it was."""
        cinder, glance = self.cinder.model_copy(), self.glance.model_copy()
        types = {one.volume_type for one in cinder.all if one.name in gone.backends}
        if cinder.default_volume_type in types:
            cinder = cinder.model_copy(update={"default_volume_type": None})
        cinder._gone, glance._gone = gone.backends, gone.stores
        clusters = {
            name: table.model_copy(
                update={
                    "clients": _left(table.clients, name, gone.clients),
                    "pools": _left(table.pools, name, gone.pools),
                }
            )
            for name, table in self.clusters.items()
        }
        return self._altered(
            cinder=cinder,
            glance=glance,
            clients=_left(self.clients, OWN, gone.clients),
            pools=_left(self.pools, OWN, gone.pools),
            clusters=clusters,
        )

    @property
    def is_whole(self) -> bool:
        """Whether it is what the site file says, and no part of it."""
        return self._whole is None

    @property
    def whole(self) -> Site:
        """The site that it is a part of, or itself."""
        return self._whole or self

    @property
    def is_of_one(self) -> bool:
        """Whether it has one cluster."""
        return len(self.parts) == 1

    @property
    def siblings(self) -> tuple[Site, ...]:
        """The parts beside this one."""
        return tuple(p for p in self._whole.parts if p.label != self.label) if self._whole else ()

    @property
    def table(self) -> ClusterTable:
        """What [clusters.NAME] says of a part's cluster."""
        return self.clusters.get(self.label, _NO_TABLE)

    @property
    def is_supplied(self) -> bool:
        """Whether a part's cluster is another team's: nobody here has its admin key."""
        return self.table.access == "supplied"

    def used_clients(self) -> list[str]:
        """The clients by which services log in to a part's cluster."""
        return list(dict.fromkeys(use.client for use in self.uses()))

    @property
    def label(self) -> str:
        """The name of a part's cluster in the site file; of a whole site, of its first one."""
        return self._label or (self.labels or (OWN,))[0]

    def _part(self, label: str) -> Site:
        table = self.clusters.get(label, _NO_TABLE)
        own = self if label == OWN else table
        uses = [use for use in self.uses() if use.cluster == label]
        hosts = {}
        for name, host in self.hosts.items():
            mine = "ceph" in host.roles and (host.cluster or OWN) == label
            has = self._roles_of(host)  # cinder-backup's too, where cinder-volume's host has it
            roles = {use.service.role for use in uses if use.is_on(name, has)} | {"database"}
            kept = [role for role in has if role in roles or (role == "ceph" and mine)]
            if kept:
                hosts[name] = host.model_copy(update={"roles": kept})
        backup = self.cinder.backup
        backup = backup if backup and backup.cluster == label else None
        cinder = self.cinder.model_copy(update={"backup": backup})
        glance = self.glance.model_copy()
        cinder._only = glance._only = label
        disks = self.nova.ephemeral and self.nova.cluster == label
        found = self._altered(
            hosts=hosts,
            pools=own.pools,
            clients=own.clients,
            fsid=own.fsid,
            clone_v2=own.clone_v2,
            cinder=cinder,
            glance=glance,
            nova=self.nova.model_copy(update={"ephemeral": disks}),
        )
        found._whole, found._label = self, label
        return found

    def _altered(self, **fields: Any) -> Site:
        """The same with other fields, and nothing kept of what followed from these."""
        found = self.model_copy(update=fields)
        for name in [name for name in vars(found) if name not in type(self).model_fields]:
            del vars(found)[name]
        return found

    @property
    def _said(self) -> str:
        """Where a part's own tables are in the site file."""
        return f"clusters.{self._label}." if self._label not in ("", OWN) else ""

    def said_of_client(self, name: str) -> str:
        """The table of a part's client in the site file."""
        return f"{self._said}clients.{name}"

    def _references(self) -> list[tuple[str, str, Any]]:
        found: list[tuple[str, str, Any]] = [
            (f"{store.said}.{key}", named, known)
            for store in self.glance.all
            for key, named, known in (
                ("pool", store.pool, self.pools),
                ("client", store.client, self.clients),
            )
        ]
        for one in self.cinder.all:
            found.append((f"{one.said}.pool", one.pool, self.pools))
            found.append((f"{one.said}.client", one.client, self.clients))
            if one.data_pool:
                found.append((f"{one.said}.data_pool", one.data_pool, self.pools))
        for one in self._replicated_here():
            found.append((f"{one.said}.pool (replicates_to)", one.pool, self.pools))
            found.append((f"{one.said}.replicates_as", one.replicates_as, self.clients))
        if backup := self.cinder.backup:
            found.append(("cinder.backup.pool", backup.pool, self.pools))
            found.append(("cinder.backup.client", backup.client, self.clients))
        if self.nova.ephemeral:
            found.append(("nova.pool", self.nova.pool, self.pools))
            found.append(("nova.client", self.nova.client, self.clients))
        for name, client in self.clients.items():
            for kind, pools in (("rwx", client.rwx), ("rx", client.rx)):
                where = f"{self._said}clients.{name}.{kind}"
                found += [(where, pool, self.pools) for pool in pools]
        return found

    def _replicated_here(self) -> list[Backend]:
        """The backends of other clusters that are mirrored into a part's."""
        return [one for one in self.whole.cinder.all if one.replicates_to == self.label]

    def _taken_names(self) -> dict[str, str]:
        """{a name that no host can have: what it means}."""
        roles = {
            role: "every host of that role"
            for role in ROLES
            if {host.name for host in self.with_role(role)} - {role}
        }
        return {CLOUD: "the cloud's own API", "here": "this machine", **roles}

    def _shared_secrets(self) -> list[str]:
        """Clients of one UUID: a libvirt secret holds one client's key."""
        first: dict[str, str] = {}
        named = [
            (f"{part._said}clients.{name}", client.secret_uuid)
            for part in self.parts
            for name, client in part.clients.items()
        ]
        return [
            f"{said}.secret_uuid: expected one of its own, found that of "
            f"{first[uuid]}; take one of the two out"
            for said, text in named
            if (uuid := (text or "").lower()) and first.setdefault(uuid, said) != said
        ]

    def _shared_keyrings(self, apart: Mapping[str, Mapping[str, str]]) -> list[str]:
        """Clients that two services of one host would hold in one place, each for itself alone.

        Refused rather than made to work: librados looks in one place, the file there has one
        owner, and a group or an ACL that lets both read it is not ours to invent.
        apart: {a platform: its ceph_folders}, as the platforms are not here yet.
        """
        faults: dict[tuple[str, str], str] = {}
        for host in self.all_hosts():
            holders: dict[tuple[str, str, str], services.Service] = {}
            folders = apart.get(self.hosts[host.name].platform or self.platform, {})
            for use in self.uses():
                if not use.keyring or not use.is_on(host.name, host.roles):
                    continue
                client, owner = use.client, use.service
                place = folders.get(owner.name, "")
                first = holders.setdefault((use.cluster, client, place), owner)
                if first.project != owner.project:
                    faults.setdefault(
                        (client, owner.key),
                        (
                            f"{owner.key}.client: expected another client than {first.key}.client "
                            f"on a host of both ({host.name}): a keyring there is for one service "
                            f"alone; found {client!r} for both; give {owner.key} a client of its "
                            "own"
                        ),
                    )
        return list(faults.values())

    def _out_of_reach(self) -> list[str]:
        """Clients that nobody uses nor says anything of, and backends that theirs cannot write."""
        used = {use.client for use in self.uses()}
        faults = [
            f"{self._said}clients.{name}.rwx: expected the pools that it writes, found none: no "
            "service of this site file logs in by it"
            for name, client in self.clients.items()
            if not client.rwx and name not in used
        ]
        for one in self.cinder.all:
            client = self.clients.get(one.client)
            written = [one.pool] * bool(self.cinder.backends) + [one.data_pool]
            faults += _not_written(client, self.said_of_client(one.client), one.said, written)
        for one in self._replicated_here():
            client, said = self.clients.get(one.replicates_as), f"{one.said}.replicates_to"
            faults += _not_written(client, self.said_of_client(one.replicates_as), said, [one.pool])
        if backup := self.cinder.backup:
            client = self.clients.get(backup.client)
            faults += _not_written(
                client, self.said_of_client(backup.client), "cinder.backup", [backup.pool]
            )
        return faults + self._unfit_pools()

    def _nowhere_backed_up(self) -> list[str]:
        """A role without what it is for, and the reverse."""
        if self.deployer:
            return []
        named = [name for name, table in self.hosts.items() if "cinder-backup" in table.roles]
        if named and not self.cinder.backup:
            return [
                f"hosts.{named[0]}.roles: expected [cinder.backup] beside the role "
                "'cinder-backup', which says what pool it writes as which client, found none"
            ]
        if self.cinder.backup and not self.with_role("cinder-backup"):
            return ["cinder.backup: expected a host of the role 'cinder-backup', found none"]
        return []

    def _unfit_pools(self) -> list[str]:
        """Pools that hold no images, and data pools that nobody can be told of."""
        erasure = {name for name, pool in self.pools.items() if pool.erasure}
        faults = [
            f"{self._said}pools.{use.pool}: expected no erasure, as {use.service.key} keeps images "
            "there; let RBD keep their data in such a pool (data_pool of a backend)"
            for use in self.uses()
            if use.pool in erasure
        ]
        both = [h.name for h in self.with_role("cinder") if "ceph" in h.roles]
        if both and any(one.data_pool for one in self.cinder.all):
            faults.append(
                f"cinder: data_pool: expected no host of the roles cinder and ceph, found "
                f"{', '.join(both)}: ceph.conf, which names the pool, is the cluster's own there; "
                "write rbd_default_data_pool yourself, and list the pool in the client's rwx"
            )
        return list(dict.fromkeys(faults))

    def with_caps(self) -> Site:
        """The same, each client with the pools that its services use where it names none."""
        found = {part.label: part.clients_with_caps() for part in self.parts}
        tables = {
            name: table.model_copy(update={"clients": found.get(name, {})})
            for name, table in self.clusters.items()
            if name != OWN
        }
        own = self.clusters.get(OWN)
        clusters = {**({OWN: own} if own else {}), **tables}
        return self._altered(clients=found.get(OWN, self.clients), clusters=clusters)

    def clients_with_caps(self) -> dict[str, Client]:
        """The clients of one cluster, each with the pools that its services use."""
        images = [use.pool for use in self.uses() if use.service == services.GLANCE_API]
        volumes = [use.pool for use in self.uses() if use.service == services.CINDER_VOLUME]
        found = {}
        for name, client in self.clients.items():
            uses = [use for use in self.uses() if use.client == name]
            data = [b.data_pool for b in self.cinder.all if b.client == name and b.data_pool]
            rwx = client.rwx or list(dict.fromkeys([*(use.pool for use in uses), *data]))
            said = client.rwx or "rx" in client.model_fields_set
            backs_up = any(use.service == services.CINDER_BACKUP and use.section for use in uses)
            others = (services.GLANCE_API, services.CINDER_BACKUP)
            clones = any(use.service not in others for use in uses)
            read = [*(images if clones else ()), *(volumes if backs_up else ())]
            rx = client.rx if said else [pool for pool in dict.fromkeys(read) if pool not in rwx]
            found[name] = client.model_copy(update={"rwx": rwx, "rx": rx})
        return found

    @cached_property
    def _hosts(self) -> dict[str, Host]:
        """Made once: every resource asks for all hosts, for every host."""
        return {
            name: Host(name, self._roles_of(table), table.address, table.user, table.port)
            for name, table in self.hosts.items()
        }

    def _roles_of(self, table: HostTable) -> tuple[str, ...]:
        """Its roles; cinder-backup runs where cinder-volume does, unless some host has its role."""
        if self._of is not None:
            return tuple(table.roles)
        named = any("cinder-backup" in one.roles for one in self.hosts.values())
        more = self.cinder.backup and not named and "cinder" in table.roles
        return (*table.roles, "cinder-backup") if more else tuple(table.roles)

    def host(self, name: str) -> Host:
        """One host, as the rooms below know it."""
        return self._hosts[name]

    def all_hosts(self) -> list[Host]:
        """Every host, in the file's order."""
        return list(self._hosts.values())

    def with_role(self, *roles: str) -> list[Host]:
        """The hosts that have any of the roles, in the file's order."""
        if roles not in self._by_roles:
            self._by_roles[roles] = [h for h in self.all_hosts() if set(roles) & set(h.roles)]
        return list(self._by_roles[roles])

    @cached_property
    def _by_roles(self) -> dict[tuple[str, ...], list[Host]]:
        return {}

    @cached_property
    def admin(self) -> Host:
        """The first Ceph host: where the cluster is asked and altered; of several, the first's.

        Of a cluster that is supplied, a host that uses it.
        """
        if self._of is not None:
            return self._of.admin
        one = self.parts[0]
        roles = services.ROLES[1:] + services.ROLES[:1] if one.is_supplied else ("ceph",)
        first = next(host for role in roles for host in one.with_role(role))
        return self.host(first.name)

    @cached_property
    def admins(self) -> tuple[Host, ...]:
        """The first Ceph host of each cluster."""
        return tuple(self.host(part.admin.name) for part in self.parts)

    @property
    def written_by(self) -> Deployer | None:
        """Whose the services' configuration is; None where it is ours."""
        return self._deployers[self.deployer] if self.deployer else None

    @cached_property
    def handed(self) -> tuple[Binding, ...]:
        """What the deployer's services use, wherever it runs them: bindings of its host."""
        host = replace(self.with_role("deploy")[0], roles=services.ROLES)
        return deployment.bindings(host, self.uses(), lambda label: self._used_from(host, label))

    def _used_from(self, host: Host, label: str) -> tuple[Platform, Cluster]:
        return self.part(label).platform_of(host), self.part(label).cluster

    @cached_property
    def database_host(self) -> Host:
        """The host of OpenStack's databases.  Raises BadInput where not exactly one is named."""
        found = self.with_role("database")
        if len(found) != 1:
            names = ", ".join(host.name for host in found) or "none"
            raise BadInput(
                f"hosts: expected one host with the role 'database', found {names}: name the one "
                "whose MariaDB or MySQL holds OpenStack's databases (of a Galera cluster, any one)"
            )
        return found[0]

    def uses(self) -> tuple[Use, ...]:
        """What each service uses of the cluster, on whatever hosts it runs."""
        return self._uses

    @cached_property
    def _uses(self) -> tuple[Use, ...]:
        """Made once: each host's bindings and secrets are made of them."""
        if self._of is not None:
            return self._of.uses()
        if self._whole is not None:
            return tuple(use for use in self._whole.uses() if use.cluster == self._label)
        computes = frozenset(host.name for host in self.with_role("compute"))
        return Uses(self.glance, self.cinder, self.nova, computes, self._secret_uuid).all()

    def keeps_disks(self, host: Host) -> bool:
        """Whether a compute's own disks are asked onto RBD: of these alone it has the keyring."""
        return any(
            use.service == services.NOVA_COMPUTE and use.keyring
            for use in self.uses()
            if use.is_on(host.name, host.roles)
        )

    def _secret_uuid(self, cluster: str, client: str) -> str | None:
        """The one that the site names; of a client that it does not know, none."""
        known = self.clients if cluster == OWN else self.clusters[cluster].clients
        table = known.get(client)
        return table.secret_uuid if table else None

    @cached_property
    def cluster(self) -> Cluster:
        """The Ceph cluster that a part's services use; of several, the first."""
        if self._of is not None:
            return self._of.cluster
        one = self.parts[0]
        platform = one.platform_of(one.admin)
        conf = one._conf(one._base(one.admin)) or platform.ceph["conf"]
        name = platforms.librados_name(conf)
        return Cluster(name, one.fsid, one.admin, platform, one.label)

    def _conf(self, base: Platform) -> str:
        """The cluster's ceph.conf on hosts that use it; '' for the platform's own."""
        table = self.clusters.get(self.label)
        if table and table.conf:
            return table.conf
        return "" if self.label == OWN else f"{base.ceph['folder']}/{self.label}.conf"

    @property
    def platforms(self) -> Collection[Platform]:
        """All that there are, whether a host is of them or not."""
        return self._platforms.values()

    def _base(self, host: Host) -> Platform:
        """A host's platform as the site file has it: the host's own word, or the site's."""
        table = self.whole.hosts.get(host.name)
        return self._platforms[(table and table.platform) or self.platform]

    def platform_of(self, host: Host) -> Platform:
        """How a host's services are configured, run and installed: what the site file names.

        Of a part of a site, with its cluster's ceph.conf and keyrings, and how `ceph` is begun; of
        one of its places, with that one's folder.
        """
        if self._of is not None:
            whole = self._of.platform_of(self._of.host(host.name))
            return whole.at(self._place) if self._place else whole
        base = self._base(host)
        table = self.clusters.get(self.label, _NO_TABLE)
        if self._whole is None and (len(self.parts) > 1 or not table.model_fields_set):
            return base
        its_own = "ceph" in host.roles and (self.hosts[host.name].cluster or OWN) == self.label
        client = self._client_on(host) if self.is_supplied else ""
        known = base.name, its_own, client
        if known not in self._altered_platforms:
            self._altered_platforms[known] = self._altered_platform(base, table, its_own, client)
        return self._altered_platforms[known]

    def _client_on(self, host: Host) -> str:
        """As whom a cluster that is supplied is asked on a host; '' where no keyring is."""
        here = (use for use in self.uses() if use.is_on(host.name, host.roles))
        return next((use.client for use in here if use.keyring), "")

    @cached_property
    def _altered_platforms(self) -> dict[tuple[str, bool, str], Platform]:
        return {}

    def _altered_platform(
        self, base: Platform, table: ClusterTable, its_own: bool, client: str
    ) -> Platform:
        """A platform as it uses a cluster; its_own: on the cluster's own hosts.

        client: as whom it is asked where there is no admin.
        """
        conf = (table.own_conf if its_own else self._conf(base)) or base.ceph["conf"]
        conf = base.outside(conf)
        name = platforms.librados_name(conf)
        folder = base.ceph["folder"]
        ceph = {**base.ceph, "conf": conf}
        if conf != base.ceph["conf"]:
            ceph["keyring"] = f"{folder}/{name}.client.{{client}}.keyring"
        if not (its_own or self.is_supplied):
            return replace(base, ceph=ceph)
        of_conf = [] if conf == base.ceph["conf"] else ["--cluster", name, "-c", conf]
        login = ["--id", table.id or client] if table.id or client else []
        login += ["--keyring", table.keyring] if table.keyring else []
        begin = {name: list(base.commands[name]) for name in ("ceph", "rbd")}
        if table.ceph:
            begin = {"ceph": table.ceph, "rbd": table.rbd or _rbd_beside(table.ceph)}
        begin = {name: [*words, *of_conf, *login] for name, words in begin.items()}
        return replace(base, ceph=ceph, commands={**base.commands, **begin})

    def bindings_of(self, host: Host) -> tuple[Binding, ...]:
        """What uses the clusters on a host."""
        if host not in self._bindings:
            self._bindings[host] = deployment.bindings(
                host, self.uses(), lambda label: self._used_on(host, label)
            )
        return self._bindings[host]

    def _used_on(self, host: Host, label: str) -> tuple[Platform, Cluster]:
        part = self.part(label)
        there = host if part is self else part.host(host.name)
        return part.platform_of(there), part.cluster

    @cached_property
    def _bindings(self) -> dict[Host, tuple[Binding, ...]]:
        return {}

    def written_of(self, host: Host, service: services.Service) -> tuple[Binding, ...]:
        """What is written into a service's file on a host: each with a section of its own."""
        return tuple(b for b in self.bindings_of(host) if b.service == service and b.section)

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """What uses the cluster, on all hosts, in the file's order."""
        return tuple(one for host in self.all_hosts() for one in self.bindings_of(host))

    def secrets_on(self, host: Host) -> list[str]:
        """The clients of one cluster whose key a compute's libvirt is to hold."""
        found = (b.client for b in self.bindings_of(host) if b.secret)
        return list(dict.fromkeys(found))

    def secret_clients(self) -> dict[str, Client]:
        """The clients of one cluster whose key the computes' libvirt holds: {name: client}."""
        return {use.client: self.clients[use.client] for use in self.uses() if use.secret}


def _rbd_beside(ceph: Sequence[str]) -> list[str]:
    """How rbd is begun where ceph is begun so."""
    return [*ceph[:-1], f"{ceph[-1].removesuffix('ceph')}rbd"]


def check(
    raw: dict[str, Json],
    where: str,
    tables: Sequence[Mapping[str, Json]],
    deploying: Sequence[Mapping[str, Json]] = (),
) -> Site:
    """A Site of a parsed TOML file.

    tables: the platforms', as config/platforms/ has them; deploying: of config/deployers/.

    Raises BadInput with every fault of the file, each with its key, what was
    expected, what was found, and the nearest name for one that is not known.
    """
    try:
        apart = {table.get("name"): table.get("ceph_folders", {}) for table in tables}
        site = Site.model_validate(raw, context=apart).with_caps()
    except ValidationError as error:
        lines = [f"{where}: {line}" for line in site_faults.lines(error.errors(), raw, Site)]
        raise BadInput("\n".join(lines)) from None
    found = [platforms.made_of(table) for table in tables]
    site._platforms = {platform.name: platform for platform in found}
    if unknown := list(_unknown_platforms(site)):
        raise BadInput("\n".join(f"{where}: {fault}" for fault in unknown))
    if unable := list(_not_run_there(site)):
        raise BadInput("\n".join(f"{where}: {fault}" for fault in unable))
    site._deployers = {one.name: one for one in map(deployers.made_of, deploying)}
    if site.deployer and site.deployer not in site._deployers:
        known = ", ".join(sorted(site._deployers))
        raise BadInput(f"{where}: deployer: expected one of {known}, found {site.deployer!r}")
    if (
        site.written_by
        and site.written_by.needs_inventory
        and not (site.deploy and site.deploy.inventory)
    ):
        raise BadInput(
            f"{where}: deploy: expected a table with inventory, the deployer's own, found none"
        )
    for table in tables:
        changes, said = _changes_of(site, table["name"], f"{where}: platform_changes")
        if changes:
            made = platforms.made_of(platforms.altered(table, changes, said))
            site._platforms[made.name] = made
    if faults := list(dict.fromkeys([*_unused_sources(site), *_same_files(site)])):
        raise BadInput("\n".join(f"{where}: {fault}" for fault in faults))
    return site


def _unknown_platforms(site: Site) -> Iterator[str]:
    """Platforms that are named and have no file."""
    of_hosts = {f"hosts.{n}.platform": one.platform for n, one in site.hosts.items()}
    for where, name in {"platform": site.platform, **of_hosts}.items():
        if name and name not in site._platforms:
            known = ", ".join(sorted(site._platforms))
            yield f"{where}: expected one of {known}, found {name!r}"


def _not_run_there(site: Site) -> Iterator[str]:
    """Roles of hosts whose platform does not know the service."""
    for host in site.all_hosts():
        platform = site.platform_of(host)
        for service in services.on(host):
            if service.name not in platform.units:
                known = ", ".join(
                    one.role for one in services.SERVICES if one.name in platform.units
                )
                yield (
                    f"hosts.{host.name}.roles: expected of the platform {platform.name} no service "
                    f"but {known}, found {service.role}"
                )


def _changes_of(site: Site, name: str, where: str) -> tuple[Mapping[str, Json], str]:
    """(what a platform's hosts have otherwise, where the site file says it).

    The site's own platform needs no name: there, what is below other platforms' names is not meant.
    """
    said = site.platform_changes
    named = said.get(name, {})
    if not isinstance(named, Mapping):
        raise BadInput(f"{where}.{name}: expected a table, found another form")
    if name != site.platform or not named:
        own = {key: value for key, value in said.items() if key not in site._platforms}
        return (own, where) if name == site.platform else (named, f"{where}.{name}")
    raise BadInput(f"{where}.{name}: expected it without {name}, which is the site's own platform")


def _unused_sources(site: Site) -> Iterator[str]:
    """Sources of packages for a package manager that no host has."""
    managers = {site.platform_of(host).manager for host in site.all_hosts()}
    for manager, said in platforms.MANAGERS.items():
        if getattr(site.packages, said.partition(".")[2]) and manager not in managers:
            yield f"{said}: expected a host whose package manager is {manager}, found none"


def _same_files(site: Site) -> Iterator[str]:
    """Clusters that a host could not keep apart: by ceph.conf, or by how keyrings are called."""
    for host in site.all_hosts() if len(site.parts) > 1 else ():
        seen: dict[str, Binding] = {}
        for one in site.bindings_of(host):
            for what in (one.conf, platforms.librados_name(one.conf)):
                first = seen.setdefault(what, one)
                if first.cluster.label == one.cluster.label:
                    continue
                which = (
                    "own_conf"
                    if "ceph" in site.part(one.cluster.label).host(host.name).roles
                    else "conf"
                )
                named = f"clusters.{one.cluster.label}.{which}"
                other = f"that of the cluster {first.cluster.label} on {host.name}"
                if first.conf == one.conf:
                    yield f"{named}: expected another path than {other}, found {one.conf}"
                    break
                yield (
                    f"{named}: expected another name than {one.conf.rpartition('/')[2]}, by which "
                    f"librados would look for the keyrings of {first.cluster.label} on {host.name}"
                )
