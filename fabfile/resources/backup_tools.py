"""What makes backups (age, zstd), on every host of which one is made.

Knows those hosts, and the packages whose versions a backup notes.
"""

from __future__ import annotations

from fabfile.core.contract import Change, Facts, Host, Read
from fabfile.model.phases import Phase
from fabfile.model.site import Site
from fabfile.resources.client_packages import source_list
from fabfile.resources.resource import Resource

PACKAGES = (
    "keystone",
    "glance-common",
    "cinder-common",
    "nova-common",
    "neutron-common",
    "placement-common",
    "heat-common",
    "barbican-common",
    "octavia-common",
    "manila-common",
    "mariadb-server",
    "rabbitmq-server",
    "ceph-common",
)
TOOLS = ("age", "zstd")
"""What makes backups, on every host of which one is made."""
INSTALLED = Read("packages.records", "packages", {"names": sorted({*PACKAGES, *TOOLS})})


def hosts(site: Site) -> list[Host]:
    """The hosts of which backups are made: databases, and the services that the site names."""
    found: list[Host] = site.with_role("database", "glance", "cinder")
    return found


def reads(site: Site, host: Host) -> list[Read]:
    """Whether they are installed, if the site has backups sealed for anybody."""
    return [INSTALLED] if site.backup.recipients and host in hosts(site) else []


def plan(site: Site, facts: Facts) -> list[Change]:
    """Installs what is missing, if the site has backups sealed for anybody."""
    if not site.backup.recipients:
        return []
    changes = []
    for host in hosts(site):
        seen = facts.hosts.get(host.name, {}).get(INSTALLED.id, {})
        missing = [name for name in TOOLS if name in seen and seen[name] is None]
        if missing and site.packages.install:
            args = {"packages": missing, "source": source_list(site, host)}
            words = "install " + " ".join(missing)
            changes.append(
                Change(
                    host.name,
                    "packages for backups",
                    words,
                    "+",
                    "install",
                    args,
                    Phase.CONTROL,
                    kind="tools",
                    subject=" ".join(missing),
                    stays="packages stay installed",
                )
            )
    return changes


RESOURCE = Resource("backup.tools", reads, plan)
