"""What makes backups (age, zstd), on every host of which one is made.

Knows those hosts, and the packages whose versions a backup notes.  Storage needs none of it: an
integration says what is missing and does not install it, so that a host whose sources lack age
does not stop it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fabfile.core.contract import INV, Change, Facts, Host, Read
from fabfile.model.phases import Phase
from fabfile.model.site import Site
from fabfile.resources import client_packages
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
    "mysql-server",
    "percona-server-server",
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
    """Whether they are installed, if the site has backups sealed for anybody, and from where."""
    if not site.backup.recipients or host not in hosts(site):
        return []
    return [INSTALLED, *client_packages.source_reads(site, host, TOOLS)]


def plan(site: Site, facts: Facts, before: Sequence[Change] = ()) -> list[Change]:
    """Installs what is missing, if the site has backups sealed for anybody.

    The site's own source is put there first, as for the client: a host whose client came from
    elsewhere has none yet.  before: what is planned already, which may bring it.
    """
    if not site.backup.recipients:
        return []
    written = {(change.host, change.subject) for change in before if change.kind == "source"}
    changes: list[Change] = []
    for host in hosts(site):
        missing = _missing(facts, host)
        if missing and site.packages.install:
            source, files = client_packages.source_of(site, facts, host, Phase.CONTROL, missing)
            changes += [one for one in files if (one.host, one.subject) not in written]
            args = {"packages": missing, "source": source}
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


def _missing(facts: Facts, host: Host) -> list[str]:
    seen = facts.hosts.get(host.name, {}).get(INSTALLED.id, {})
    return [name for name in TOOLS if name in seen and seen[name] is None]


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """The hosts of which no backup can be made yet, and the task that changes that."""
    lacking = [host.name for host in hosts(site) if _missing(facts, host)]
    if not lacking:
        return []
    return [
        f"{', '.join(lacking)}: {' or '.join(TOOLS)} is not installed, without which no backup is "
        f"made there; {INV} backup.tools installs them"
    ]


_TASK = "backup.tools"
RESOURCE = Resource(_TASK, reads, plan, client_packages.notes, sees_changes=True)
TOLD = Resource(_TASK, reads, notes=notes)
"""As part of a whole that does not depend on it: it is looked at, and nothing is planned."""
