"""cinder-backup on Ceph: its options, and what would strand backups that are there.

A backup's row names the driver that made it, and its container: of Ceph's, the pool.  Under
another driver Cinder neither restores nor deletes it ("the backup service currently configured is
not the backup service that was used to create this backup").  So a driver that is in use is
never replaced without a word of the site file.
Source: cinder/backup/manager.py, cinder/backup/drivers/ceph.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fabfile.core.contract import CLOUD, BadInput, Facts, Host, Json, Read, Refused, Seen
from fabfile.core.text import counted
from fabfile.model.deployment import Binding
from fabfile.model.services import CINDER_BACKUP, CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.model.site_tables import CinderBackup
from fabfile.resources import in_force
from fabfile.resources.in_force import Options

BACKUPS = Read("backups", "backups")
"""All backups of volumes, of all projects, as Cinder's API tells them."""
UNIT = "cinder.backup.unit"
"""Read: whether cinder-backup is installed."""
CEPH, BY_DEFAULT = "ceph", "swift"
"""Kinds of drivers; the one that Cinder has where nobody names any."""
DRIVER = ("DEFAULT", "backup_driver")
_AT = ("DEFAULT", "backup_ceph_conf")
WHERE = (DRIVER, ("DEFAULT", "backup_ceph_pool"), _AT)
"""What says where backups are."""
CONF = "/etc/ceph/ceph.conf"
"""What backup_ceph_conf, and librados, have where nobody names any."""
_OWN = ("backup_", "restore_discard_excess_bytes")
"""How the options begin that cinder-backup alone reads."""


def is_own(section: str, key: str) -> bool:
    """Whether an option is of cinder-backup alone: cinder-volume need not know it."""
    return section == "DEFAULT" and key.startswith(_OWN)


def reads(site: Site, host: Host) -> list[Read]:
    """Its options, and whether it is there at all."""
    if CINDER_BACKUP.role not in host.roles:
        return []
    unit = site.platform_of(host).unit(CINDER_BACKUP)
    asked = in_force.reads(site, host, CINDER_BACKUP)
    return [*asked, Read(UNIT, "units", {"names": [unit]})]


def follow_up_reads(site: Site, facts: Facts) -> list[Read]:
    """The backups, which may be many: asked only where their driver or pool is about to change."""
    there = "volume_services" in facts.hosts.get(CLOUD, {})
    return [BACKUPS] if there and any(_changing(site, facts)) else []


def options_of(seen: Seen) -> Options:
    """The options of a host's cinder-backup that are in force."""
    return in_force.options(seen, CINDER_BACKUP.key)


def kind(driver: str) -> str:
    """A driver's kind, by its module or class: 'nfs' of cinder.backup.drivers.nfs.NFSBackupDriver.

    Before Kilo modules were of cinder.backup.services.
    """
    parts = driver.split(".")
    if parts[:2] == ["cinder", "backup"] and len(parts) > 3:
        return parts[3]
    return driver or BY_DEFAULT


def table(site: Site, data: Json) -> Sequence[Json]:
    """What is written of it, beside the release's options: those that the site file says.

    data: the release's table of Cinder.  Raises BadInput for what that release does not know.
    """
    backup, release = _said(site), data.get("backup")
    if not release:
        raise BadInput(
            subject="cinder.backup",
            expected="none before Havana, whose cinder-backup knows no Ceph",
            found="a table of that name",
        )
    names = release["asked"]
    for name in backup.asked:
        if name not in names:
            raise BadInput(
                subject=f"cinder.backup.{name}",
                expected="none: this release of cinder-backup has no such option",
                found=backup.asked[name],
                advice="take the line out",
            )
    said = {names[name]: value for name, value in backup.asked.items()}
    return [release["options"], {"DEFAULT": said}]


def refuse(site: Site, facts: Facts, binding: Binding, release: Json) -> None:
    """Raises BadInput where it is not installed, or would strand backups that are there.

    release: that release's table of it.
    """
    seen = facts.hosts[binding.host.name]
    _refuse_absent(binding, seen)
    if release.get("loads_backends") and CINDER_VOLUME.role not in binding.host.roles:
        raise BadInput(
            host=binding.host.name,
            subject="cinder.backup",
            expected="the role 'cinder' too",
            found=", ".join(binding.host.roles),
            why="before Pike cinder-backup opens volumes by the backends of its own host",
        )
    options = options_of(seen)
    before = _before(site, options)
    if not before or before == _said(site).replaces:
        return
    backups = facts.hosts.get(CLOUD, {}).get(BACKUPS.id)
    if backups is None:
        raise BadInput(
            host=binding.host.name,
            subject=binding.file,
            expected="the site file's cloud and an answer of Cinder's API",
            found="neither",
            why=f"{_words(before, options)} would be replaced, and whether backups are "
            "there cannot be seen",
            advice=f"name the cloud; or say cinder.backup.replaces = {before!r}",
        )
    if stranded := list(_set_aside(site, backups, options)):
        raise _strands(site, binding, options, stranded)


def _strands(
    site: Site, binding: Binding, options: Options, stranded: Sequence[Mapping[str, Json]]
) -> Refused:
    """What is raised; a container may be of a tenant's own words."""
    before, pool = _before(site, options), _pool(options)
    places = sorted({str(one["container"])[:80] for one in stranded})
    adopt = ""
    where = f"pool {_said(site).pool}"
    if before == CEPH and not _same_cluster(site, options):
        where += f" of {_conf(site)}"
        adopt = (
            f"if {options.get(_AT, CONF)} is of that very cluster (its fsid), name {_conf(site)} "
            "there yourself; else stay on theirs (cinder.backup.cluster), or "
        )
    elif before == CEPH and places == [pool]:
        adopt = f"adopt their pool (cinder.backup.pool = {pool!r}), or "
    more = " and more" if len(places) > 3 else ""
    return Refused(
        host=binding.host.name,
        subject=binding.file,
        expected=f"no backups but in {where}",
        found=f"{len(stranded)} in {', '.join(map(repr, places[:3]))}{more}, as of "
        f"{_words(before, options)}",
        why="Cinder restores and deletes a backup only with the driver that made it",
        advice=f"{adopt}delete them first, or set them aside for as long as the driver is another: "
        f"cinder.backup.replaces = {before!r}",
    )


def others(site: Site, backups: Iterable[Mapping[str, Json]]) -> Iterator[Mapping[str, Json]]:
    """The backups that hold data somewhere else than in the site's pool.

    Ceph's driver alone counts no objects; what has no container never held anything.
    """
    pool = _said(site).pool
    return (
        one for one in backups if one["container"] and (one["container"] != pool or one["objects"])
    )


def _set_aside(
    site: Site, backups: Sequence[Mapping[str, Json]], options: Options
) -> Iterator[Mapping[str, Json]]:
    """The backups that another driver, pool or cluster has than Cinder is to ask.

    Of Ceph's no row names the cluster: with another one, the pool's name tells nothing.
    """
    elsewhere = kind(options.get(DRIVER, "")) == CEPH and not _same_cluster(site, options)
    return (one for one in backups if one["container"]) if elsewhere else others(site, backups)


def notes(site: Site, facts: Facts, host: str) -> list[str]:
    """What becomes of the backups that there are, where the driver changes."""
    backups = facts.hosts.get(CLOUD, {}).get(BACKUPS.id) or ()
    options = options_of(facts.hosts[host])
    count = len(list(_set_aside(site, backups, options)))
    before = _before(site, options)
    if not before:
        return []
    then = (
        f"; set aside: {counted(count, 'backup')}, to be restored or deleted again when it is back"
    )
    return [
        f"{host}: backups of volumes go to pool {_said(site).pool} from now on (before: "
        f"{_words(before, options)}){then if count else ''}"
    ]


def _changing(site: Site, facts: Facts) -> Iterator[str]:
    for host in site.with_role(CINDER_BACKUP.role):
        seen = facts.hosts.get(host.name, {})
        if seen.get(f"{CINDER_BACKUP.key}.conf"):
            yield _before(site, options_of(seen))


def _before(site: Site, options: Options) -> str:
    """The kind of driver whose backups are not the site's own; '' where nothing is replaced."""
    found = kind(options.get(DRIVER, ""))
    same_pool = _pool(options) == _said(site).pool
    return "" if found == CEPH and same_pool and _same_cluster(site, options) else found


def _same_cluster(site: Site, options: Options) -> bool:
    """Whether the ceph.conf in force is that of the site's cluster of backups."""
    return options.get(_AT, CONF) == _conf(site)


def _conf(site: Site) -> str:
    """The ceph.conf by which cinder-backup finds its own pool, as its file has it."""
    mine = (b for b in site.bindings if b.service == CINDER_BACKUP and b.section)
    return next((binding.named_conf for binding in mine), CONF)


def _pool(options: Options) -> str:
    return options.get(("DEFAULT", "backup_ceph_pool"), "backups")


def _words(before: str, options: Options) -> str:
    if before == CEPH:
        conf = options.get(_AT, CONF)
        return f"Ceph's driver with pool {_pool(options)} and {conf}"
    if DRIVER not in options:
        return f"{BY_DEFAULT}, the driver where none is named"
    return f"backup_driver = {options[DRIVER]}"


def _refuse_absent(binding: Binding, seen: Seen) -> None:
    state = (seen.get(UNIT) or {}).get(binding.unit, {}).get("LoadState")
    if state == "not-found":
        raise Refused(
            host=binding.host.name,
            subject=binding.unit,
            expected="a service of that name",
            found="none",
            advice="install it there first (on Debian and Ubuntu the package cinder-backup); or "
            "name the hosts on which it runs by the role 'cinder-backup'",
        )


def _said(site: Site) -> CinderBackup:
    """Its table; who asks has a binding of cinder-backup, and so has the site file."""
    return site.cinder.backup or CinderBackup()
