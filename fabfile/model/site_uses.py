"""What each service of a site uses of which cluster, as the site file's tables ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fabfile.model import services
from fabfile.model.deployment import Use
from fabfile.model.site_tables import Cinder, Glance, Nova

_LIBVIRT, _BACKUP = "libvirt", "DEFAULT"
"""The sections of nova.conf and cinder.conf that have all of Nova's, and of cinder-backup's."""


@dataclass(frozen=True)
class Uses:
    """computes: the hosts that run Nova's; secret_uuid: of (cluster, client), as the site says.

    Nova hands Cinder's volumes to QEMU, by libvirt's secret; of its own it has disks only where
    they are asked onto RBD.
    """

    glance: Glance
    cinder: Cinder
    nova: Nova
    computes: frozenset[str]
    secret_uuid: Callable[[str, str], str | None]

    def all(self) -> tuple[Use, ...]:
        """Of Glance, Cinder and Nova, in this order."""
        glance = (
            Use(services.GLANCE_API, one.client, one.pool, one.name, cluster=one.cluster)
            for one in self.glance.all
        )
        return (*glance, *self._volumes(), *self._replicas(), *self._backups(), *self._disks())

    def _volumes(self) -> Iterator[Use]:
        for one in self.cinder.all:
            uuid = self.secret_uuid(one.cluster, one.client)
            used = one.client, one.pool, one.name
            yield Use(services.CINDER_VOLUME, *used, secret_uuid=uuid, cluster=one.cluster)

    def _replicas(self) -> Iterator[Use]:
        """The pool of the same name in the cluster into which a backend's volumes are mirrored.

        cinder-volume demotes, promotes and enables images on both sides.
        """
        for cluster, client, pool in dict.fromkeys(
            (one.replicates_to, one.replicates_as, one.pool)
            for one in self.cinder.all
            if one.replicates_to
        ):
            uuid = self.secret_uuid(cluster, client)
            service = services.CINDER_VOLUME
            yield Use(service, client, pool, "", secret_uuid=uuid, cluster=cluster)

    def _of_volumes(self) -> dict[tuple[str, str], str]:
        """{(cluster, client): a pool} by which volumes are attached; the first backend's first."""
        found: dict[tuple[str, str], str] = {}
        for one in self.cinder.all:
            found.setdefault((one.cluster, one.client), one.pool)
        for one in self.cinder.all:
            if one.replicates_to:
                found.setdefault((one.replicates_to, one.replicates_as), one.pool)
        return found

    def _backups(self) -> Iterator[Use]:
        """Its own pool; and each volume as the client of its backend.

        It opens a volume as that client, by the keyring in its usual place (os_brick/initiator/
        connectors/rbd.py), makes a snapshot of it, and hands both users to rbd export-diff and
        import-diff (cinder/backup/drivers/ceph.py).
        """
        own, service = self.cinder.backup, services.CINDER_BACKUP
        if own is None:
            return
        yield Use(service, own.client, own.pool, _BACKUP, cluster=own.cluster)
        for (cluster, client), pool in self._of_volumes().items():
            if (cluster, client) != (own.cluster, own.client):
                yield Use(service, client, pool, "", cluster=cluster)

    def _disks(self) -> Iterator[Use]:
        """Of all computes; or, where some have their own disks on RBD, of these and of the rest."""
        named = frozenset(self.nova.hosts)
        rest = self.computes - named
        if not (named and rest):
            yield from self._disks_on(None, self.nova.ephemeral)
            return
        yield from self._disks_on(named, True)
        yield from self._disks_on(rest, False)

    def _disks_on(self, hosts: frozenset[str] | None, own: bool) -> Iterator[Use]:
        """A secret for each client of Cinder's; nova.conf names one user alone.

        It is that of Nova's own disks where they are on RBD, else the first backend's.
        """
        nova, compute, clients = self.nova, services.NOVA_COMPUTE, self._of_volumes()
        first = next(iter(clients), None)
        for (cluster, client), pool in clients.items():
            if own and (cluster, client) == (nova.cluster, nova.client):
                continue
            section = _LIBVIRT if not own and (cluster, client) == first else ""
            uuid = self.secret_uuid(cluster, client)
            yield Use(compute, client, pool, section, False, True, uuid, cluster, hosts)
        if own:
            uuid = self.secret_uuid(nova.cluster, nova.client)
            disks = nova.client, nova.pool, _LIBVIRT
            yield Use(compute, *disks, True, True, uuid, nova.cluster, hosts)
