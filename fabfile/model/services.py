"""The services that use a Ceph cluster: one table, a row each.

Knows what a service is called in the site file, the release tables and the platforms; where
its file is and who owns it is the platform's to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fabfile.core.contract import Host
from fabfile.model.phases import Phase


@dataclass(frozen=True)
class Service:
    """One program that uses the cluster.

    name: its key in a platform; role: of the hosts on which it runs; key: its table in the
    site file and in a release (of one whose project has another, that one's name and its own:
    'cinder.backup'); reads_conf: whether it reads ceph.conf at its start (QEMU reads
    it for each guest, so nova-compute need not be restarted for it).
    wsgi: the files that it names itself where a WSGI server runs it, in a variable's folder.
    """

    name: str
    role: str
    phase: Phase
    key: str
    reads_conf: bool = True
    wsgi: tuple[str, ...] = ()
    wsgi_folder: str = ""

    @property
    def project(self) -> str:
        """Whose files of options it reads, and as whose user it runs: 'cinder' of both."""
        return self.key.partition(".")[0]


_GLANCE = ("glance-api-paste.ini", "glance-image-import.conf", "glance-api.conf")
"""glance/common/wsgi_app.py: since Pike, with no arguments."""
SERVICES = (
    Service("glance-api", "glance", Phase.CONTROL, "glance", True, _GLANCE, "OS_GLANCE_CONFIG_DIR"),
    Service("cinder-volume", "cinder", Phase.CONTROL, "cinder"),
    Service("cinder-backup", "cinder-backup", Phase.CONTROL, "cinder.backup"),
    Service("nova-compute", "compute", Phase.COMPUTE, "nova", reads_conf=False),
)
GLANCE_API, CINDER_VOLUME, CINDER_BACKUP, NOVA_COMPUTE = SERVICES
ROLES = tuple(service.role for service in SERVICES)
"""The roles of hosts that use the cluster."""
_BY_KEY = {service.key: service for service in SERVICES}


def called(key: str) -> Service:
    """The service of a table of the site file: 'glance', 'cinder', 'cinder.backup' or 'nova'."""
    return _BY_KEY[key]


def of_roles(roles: Iterable[str]) -> tuple[Service, ...]:
    """The services that run where these roles are, in the table's order."""
    return tuple(service for service in SERVICES if service.role in roles)


def on(host: Host) -> tuple[Service, ...]:
    """The services of a host, in the table's order."""
    return of_roles(host.roles)


def first_phase(host: Host) -> Phase:
    """The phase in which a host is first worked on: that of its first service."""
    return min(service.phase for service in on(host))
