"""Findings about backups of volumes: whether Cinder has who makes them, and what they leave behind.

Knows Cinder's rows of its services, and the options of cinder-backup; what a file is to have is
the resource's to plan.
"""

from __future__ import annotations

from collections.abc import Iterator

from fabfile.core.contract import CLOUD
from fabfile.doctor.finding import ERROR, NOTE, RESTART_ALL, WARNING, Finding, words
from fabfile.doctor.observation import Looked
from fabfile.model.option_values import whole
from fabfile.model.services import CINDER_BACKUP, CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import in_force, volume_backups
from fabfile.resources.volume_backups import CEPH, DRIVER

_OF_CEPH = "backup_ceph_"


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them."""
    if site.cinder.backup:
        yield from _down(site, looked)
        yield from _snapshots(site, looked)
    else:
        yield from _without_effect(site, looked)


def _down(site: Site, looked: Looked) -> Iterator[Finding]:
    """A unit may be at work and its driver not: Cinder counts such a one as down."""
    rows = looked.seen(CLOUD, "backup_services")
    if rows is None:
        return
    hosts = tuple(host.name for host in site.with_role(CINDER_BACKUP.role))
    some_up = any(row["up"] and row["enabled"] for row in rows)
    if not rows:
        yield Finding(
            ERROR,
            "volume.backup.down",
            hosts,
            CINDER_BACKUP.name,
            "no service of that name in Cinder",
            "one up",
            "it never came to tell Cinder of itself: see its log; no volume can be backed up",
            (RESTART_ALL,),
        )
    for row in rows:
        if not row["up"] and row["enabled"]:
            yield Finding(
                WARNING if some_up else ERROR,
                "volume.backup.down",
                hosts,
                f"{CINDER_BACKUP.name} on {row['host']}",
                "down for Cinder",
                "up",
                "it does not run, or its driver does not start (no pool, no key, another "
                "class): see its log; of a host that is gone, the row stays",
                (
                    RESTART_ALL,
                    words(
                        f"of a host that is gone: cinder-manage service remove, for {row['host']}"
                    ),
                ),
            )


def _snapshots(site: Site, looked: Looked) -> Iterator[Finding]:
    """Of each backup, a snapshot stays in the volume's own pool, where nothing bounds them."""
    table = looked.facts.release.get(CINDER_VOLUME.key, {}).get("backup", {})
    name = table.get("asked", {}).get("max_snapshots")
    backup = site.cinder.backup
    if not name or backup is None or backup.max_snapshots is not None:
        return
    for host in site.with_role(CINDER_BACKUP.role):
        seen = looked.facts.hosts.get(host.name, {})
        if not seen.get(f"{CINDER_BACKUP.key}.conf"):
            continue
        options = volume_backups.options_of(seen)
        if volume_backups.kind(options.get(DRIVER, "")) == CEPH and not whole(
            options.get(("DEFAULT", name), "0")
        ):
            yield Finding(
                NOTE,
                "volume.backup.snapshots",
                (host.name,),
                site.platform_of(host).file(CINDER_BACKUP),
                f"no {name}",
                f"{name} = a number",
                "of each incremental backup a snapshot stays in the pool of volumes, as long as "
                "the backup is there; with it, the newest alone do",
                (words("say cinder.backup.max_snapshots in the site file (0: all are to stay)"),),
            )


def _without_effect(site: Site, looked: Looked) -> Iterator[Finding]:
    """Options of Ceph's driver beside another one."""
    for host in site.with_role(CINDER_VOLUME.role):
        seen = looked.facts.hosts.get(host.name, {})
        options = in_force.options(seen, CINDER_VOLUME.key)
        names = sorted(k for s, k in options if s == "DEFAULT" and k.startswith(_OF_CEPH))
        driver = options.get(DRIVER, "")
        if names and volume_backups.kind(driver) != CEPH:
            yield Finding(
                NOTE,
                "volume.backup.options",
                (host.name,),
                site.platform_of(host).file(CINDER_VOLUME),
                f"{', '.join(names)}, and backup_driver is {driver or 'not said'}",
                "Ceph's driver, or none of them",
                "nobody reads them: backups of volumes go elsewhere",
                (
                    words(
                        "if they are to go to Ceph: [cinder.backup] in the site file "
                        "(docs/volume-backups.md); else take them out"
                    ),
                ),
            )
