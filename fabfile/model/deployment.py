"""Who uses which pool of which cluster, where: a site's bindings.

Knows nothing of files and of what was seen; every resource goes through the bindings, so that
another backend, cluster or service is another binding and no other code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from fabfile.core.contract import Host
from fabfile.model.platforms import Platform
from fabfile.model.services import Service

OWN = "ceph"
"""The cluster whose pools and clients are the site file's own [pools] and [clients]."""


LIBRADOS_CONF = "/etc/ceph/ceph.conf"
"""The ceph.conf that librados reads where an option names none, whichever cluster it leads to."""

DEFAULT = "DEFAULT"
"""The section of a backend that has none of its own: Cinder knew such a one until Newton."""


@dataclass(frozen=True)
class Cluster:
    """A Ceph cluster: admin is the host where it is asked and altered, platform that host's.

    name: as librados has it ($cluster), by which keyrings are called; fsid: None until the
    cluster itself has said it; label: its name in the site file.
    """

    name: str
    fsid: str | None
    admin: Host
    platform: Platform
    label: str = OWN

    @property
    def tag(self) -> str:
        """What tells its answers, keys and UUIDs from those of the site file's own cluster."""
        return "" if self.label == OWN else f"{self.label}/"

    def ceph(self, *words: str) -> list[str]:
        """An argument list for the ceph program; a cluster that is down does not hold us up."""
        return self.platform.command("ceph", "--connect-timeout", "10", *words)

    def rbd(self, *words: str) -> list[str]:
        """An argument list for the rbd program."""
        return self.platform.command("rbd", *words)


@dataclass(frozen=True)
class Backend:
    """One of Cinder's backends, whichever form of the site file has it.

    name: its section in cinder.conf; said: its table in the site file; replaces: the backend,
    or the service HOST@BACKEND, whose volumes it gets (DEFAULT: the one that has no section);
    specs: its volume type's extra specs beside volume_backend_name; zone: its availability zone,
    '' for the one of [DEFAULT]; data_pool: where RBD keeps the data of new volumes, '' for the
    pool itself; qos: the QoS specs of its type, with their consumer; replicates_to: the cluster,
    by its name in the site file, into which its pool is mirrored, '' for none; replicates_as: the
    client there.
    """

    name: str
    client: str
    pool: str
    said: str = "cinder"
    backend_host: str | None = None
    replaces: str | None = None
    volume_type: str | None = None
    specs: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""
    data_pool: str = ""
    qos: Mapping[str, str] = field(default_factory=dict)
    cluster: str = OWN
    replicates_to: str = ""
    replicates_as: str = ""


@dataclass(frozen=True)
class Store:
    """One of Glance's RBD stores.  name: its section in glance-api.conf; said: its table."""

    name: str
    client: str
    pool: str
    said: str = "glance"
    cluster: str = OWN


@dataclass(frozen=True)
class Use:
    """What the site file asks for a service, on whatever hosts it runs.

    section: the store's or backend's section in the service's file, '' where nothing is written
    there of it; keyring: whether the service itself opens the pool (for attached volumes, libvirt
    hands the key to QEMU); secret: whether libvirt holds the client's key; secret_uuid: the one
    that the site names; hosts: on which of them, None for all.
    """

    service: Service
    client: str
    pool: str
    section: str
    keyring: bool = True
    secret: bool = False
    secret_uuid: str | None = None
    cluster: str = OWN
    hosts: frozenset[str] | None = None

    def is_on(self, name: str, roles: Collection[str]) -> bool:
        """Whether it is on a host of that name and these roles."""
        return self.service.role in roles and (self.hosts is None or name in self.hosts)


@dataclass(frozen=True)
class Binding:
    """One service on one host that uses one pool of one cluster as one cephx client."""

    service: Service
    host: Host
    platform: Platform
    cluster: Cluster
    client: str
    pool: str
    section: str
    secret_uuid: str | None
    keyring: bool
    secret: bool

    @property
    def unit(self) -> str:
        """What restarts the service."""
        return self.platform.unit(self.service)

    @property
    def file(self) -> str:
        """The service's file of options."""
        return self.platform.file(self.service)

    @property
    def owner(self) -> str:
        """The user as whom the service runs."""
        return self.platform.owner(self.service)

    @property
    def conf(self) -> str:
        """The cluster's ceph.conf on this host."""
        return self.platform.ceph["conf"]

    @property
    def confs(self) -> tuple[str, ...]:
        """What an option may name to lead to this cluster; '' where that is librados' default."""
        return (self.named_conf, "") if self.named_conf == LIBRADOS_CONF else (self.named_conf,)

    @property
    def named_conf(self) -> str:
        """The cluster's ceph.conf as the service has it: what its options name."""
        return self.platform.inside(self.conf)

    @property
    def keyring_path(self) -> str:
        """Where librados looks for the client's keyring."""
        return self.platform.keyring(self.client)

    @property
    def named_keyring(self) -> str:
        """The same as the service has it."""
        return self.platform.inside(self.keyring_path)


def bindings(
    host: Host, uses: Iterable[Use], of: Callable[[str], tuple[Platform, Cluster]]
) -> tuple[Binding, ...]:
    """A host's bindings: what the site asks for each service that runs there.

    of: how a cluster of that name in the site file is used on this host, and the cluster.
    """
    return tuple(
        Binding(
            use.service,
            host,
            platform.at(use.service),
            cluster,
            use.client,
            use.pool,
            use.section,
            use.secret_uuid,
            use.keyring,
            use.secret,
        )
        for use in uses
        if use.is_on(host.name, host.roles)
        for platform, cluster in [of(use.cluster)]
    )
