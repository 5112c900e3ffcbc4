"""Database rows against the names in the pools, both ways: what one side alone has.

Pure, and quick enough for 100,000 of each.  Rows are read before and after the names: what
came or went meanwhile is no finding.  Of each finding it says which command settles it; it
runs none.  Sizes, snapshots and watchers are `held`'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from fabfile.audit.database_rows import Backup, Image, Instance, Rows, Volume
from fabfile.model.deployment import Cluster
from fabfile.model.services import CINDER_VOLUME, GLANCE_API, NOVA_COMPUTE
from fabfile.model.site import Site

UUID = r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
_HAVE_AN_IMAGE = {
    "available",
    "in-use",
    "reserved",
    "attaching",
    "detaching",
    "backing-up",
    "extending",
    "restoring-backup",
    "retyping",
    "maintenance",
    "awaiting-transfer",
    "uploading",
    "error_deleting",
    "error_extending",
    "error_restoring",
    "error_backing-up",
}
"""Statuses of a volume that has its image; in the others it may come or go, or never was."""
_HAVE_A_DISK = {"active", "stopped", "paused", "suspended", "rescued", "resized", "shelved"}
GONE = "its data is gone"


@dataclass(frozen=True)
class Places:
    """Where a site has what: pools, Cinder's backend, how images are named.

    vms: None where ephemeral disks are not in a pool.
    """

    cluster: Cluster
    fsid: str
    volumes: str
    images: str
    vms: str | None
    backend: str
    volume_name: str = "volume-%s"
    snapshot_name: str = "snapshot-%s"

    def by_hand(self, program: str, *words: str) -> str:
        """A command for the cluster, as a person types it where it is asked."""
        return self.cluster.platform.by_hand(program, *words)

    def owns(self, host: str) -> bool:
        """Whether a row's 'host@backend#pool' is of the site's backend."""
        return host.partition("@")[2].partition("#")[0] == self.backend


@dataclass(frozen=True)
class Names:
    """What the pools hold: {pool: names}, and {pool: {id: name}} of what is in their trash."""

    there: Mapping[str, frozenset[str]]
    trash: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Finding:
    """One thing that does not agree.

    kind: missing, orphaned, size, attached or trash; thing: volume, snapshot, image, backup
    or disk; pool and name: of the image that it is about, which is worth a closer look
    where there is one; row: the id in the database; command: what settles it.
    """

    kind: str
    thing: str
    pool: str
    name: str
    row: str
    sentence: str
    command: str


def places(site: Site, fsid: str, options: Mapping[str, str]) -> Places:
    """A site's places; fsid: the cluster's; options: cinder.conf's [DEFAULT]."""
    named = {
        key: options[key]
        for key in ("volume_name_template", "snapshot_name_template")
        if options.get(key, "").count("%s") == 1
    }
    uses = {use.service: use for use in site.uses()}
    volumes, images = uses[CINDER_VOLUME], uses[GLANCE_API]
    # Of Nova's own uses, the last is that of its disks; the first, of Cinder's volumes.
    disks = uses[NOVA_COMPUTE].pool
    return Places(
        site.cluster,
        fsid,
        volumes.pool,
        images.pool,
        disks if site.nova.ephemeral else None,
        volumes.section,
        named.get("volume_name_template", "volume-%s"),
        named.get("snapshot_name_template", "snapshot-%s"),
    )


def pools(places: Places, rows: Rows) -> list[str]:
    """The pools whose names are needed."""
    found = {places.volumes, places.images} | ({places.vms} if places.vms else set())
    found |= {b.pool for b in rows.backup if _is_cephs(b) and b.pool}
    found |= {at[0] for at in (location(places, i) for i in rows.image) if at}
    return sorted(found)


def strangers(places: Places, rows: Rows, there: Collection[str]) -> list[str]:
    """The pools that rows alone name, and the cluster has not.

    A tenant says which container a backup goes to: that word is no pool until Ceph says so.
    """
    own = {places.volumes, places.images, places.vms}
    return [pool for pool in pools(places, rows) if pool not in own and pool not in there]


def compare(places: Places, before: Rows, names: Names, after: Rows) -> list[Finding]:
    """All that rows and names alone tell, in a stable order."""
    found = [
        *_missing(places, before, names, after),
        *_orphaned(places, before, names, after),
        *_attached(before, after),
    ]
    return sorted(found, key=lambda f: (f.kind, f.thing, f.pool, f.name, f.row))


def foreign(places: Places, names: Names) -> dict[str, int]:
    """{pool: how many names in it are of a form that OpenStack does not give}."""
    form = re.compile("|".join((_volume_form(places), *_FORMS)))
    counts = {p: sum(not form.fullmatch(n) for n in some) for p, some in names.there.items()}
    return {pool: count for pool, count in counts.items() if count}


# Rows without an image


def _missing(places: Places, before: Rows, names: Names, after: Rows) -> Iterator[Finding]:
    for volume in before.volume & after.volume:
        if places.owns(volume.host) and settled(volume):
            name = places.volume_name % volume.name_id
            yield from _unless_there(
                places,
                names,
                "volume",
                places.volumes,
                (name,),
                volume.id,
                f"openstack volume delete --force {volume.id}",
            )
    for image in before.image & after.image:
        yield from _missing_image(places, image, names)
    for backup in before.backup & after.backup:
        if _is_cephs(backup) and backup.status == "available":
            yield from _unless_there(
                places,
                names,
                "backup",
                backup.pool,
                tuple(_names_of(backup)),
                backup.id,
                f"openstack volume backup delete --force {backup.id}",
            )
    if places.vms:
        roots = {d.instance for d in before.disk if d.kind == "local" and d.boot == "0"}
        for one in before.instance & after.instance:
            if one.state in _HAVE_A_DISK and one.host and one.id in roots:
                yield from _unless_there(
                    places,
                    names,
                    "disk",
                    places.vms,
                    (f"{one.id}_disk",),
                    one.id,
                    f"openstack server delete {one.id}",
                )


def settled(volume: Volume) -> bool:
    """Whether a volume's image must be there, and is not on its way."""
    moving = volume.migration not in ("", "success", "error")
    return volume.status in _HAVE_AN_IMAGE and not moving


def _missing_image(places: Places, image: Image, names: Names) -> Iterator[Finding]:
    if image.status != "active" or not image.location.startswith("rbd://"):
        return
    delete = f"openstack image delete {image.id}"
    at = location(places, image)
    if at:
        yield from _unless_there(places, names, "image", at[0], (at[1],), image.id, delete)
    elif _cluster_of(image) not in ("", places.fsid):
        yield Finding(
            "missing",
            "image",
            "",
            "",
            image.id,
            f"its location names another cluster ({_cluster_of(image)})",
            delete,
        )


def _unless_there(  # noqa: PLR0913, PLR0917 (a row's place, and what settles it)
    places: Places,
    names: Names,
    thing: str,
    pool: str,
    candidates: tuple[str, ...],
    row: str,
    command: str,
) -> Iterator[Finding]:
    # Of a pool that was not looked at, nothing is known.
    if pool not in names.there or any(name in names.there[pool] for name in candidates):
        return
    for name in candidates:
        for number, trashed in names.trash.get(pool, {}).items():
            if trashed == name:
                back = places.by_hand("rbd", "trash", "restore", "-p", pool, number)
                yield Finding("missing", thing, pool, name, row, "it is in the pool's trash", back)
                return
    yield Finding("missing", thing, pool, candidates[0], row, GONE, command)


def _cluster_of(image: Image) -> str:
    parts = image.location.removeprefix("rbd://").split("/")
    return parts[0] if len(parts) == 4 else ""


def location(places: Places, image: Image) -> tuple[str, str, str] | None:
    """(pool, image, snapshot) of 'rbd://fsid/pool/image/snapshot', if it is of this cluster."""
    parts = image.location.removeprefix("rbd://").split("/")
    if not image.location.startswith("rbd://") or len(parts) != 4 or parts[0] != places.fsid:
        return None
    return parts[1], parts[2], parts[3]


def _is_cephs(backup: Backup) -> bool:
    return "ceph" in backup.service


def _names_of(backup: Backup) -> list[str]:
    """What the image of a backup may be called, the likeliest first."""
    found = [f"volume-{backup.volume}.backup.{backup.id}", f"volume-{backup.volume}.backup.base"]
    try:
        told = json.loads(backup.metadata or "{}").get("base")
    except (ValueError, AttributeError):
        told = None
    return [told, *found] if isinstance(told, str) else found


# Images without a row

_FORMS = (
    rf"volume-(?P<backed>{UUID})\.backup\.(?:base|{UUID})",
    rf"(?P<instance>{UUID})_disk(?:\.\w+)?",
    rf"(?P<image>{UUID})",
)


def _volume_form(places: Places) -> str:
    first, _, last = places.volume_name.partition("%s")
    return rf"{re.escape(first)}(?P<volume>{UUID}){re.escape(last)}(?P<deleted>\.deleted)?"


class _Known:
    """What the rows know, of either moment: an image that one of them names is no orphan."""

    def __init__(self, places: Places, moments: Iterable[Rows]) -> None:
        rows = list(moments)
        self.volumes = {v.name_id for r in rows for v in r.volume}
        self.volumes |= {v.id for r in rows for v in r.volume}
        self.backups = {n for r in rows for b in r.backup for n in _names_of(b)}
        self.instances = {i.id for r in rows for i in r.instance}
        self.images = {i.id for r in rows for i in r.image}
        self.images |= {at[1] for r in rows for i in r.image if (at := location(places, i))}
        self._form = re.compile("|".join((_volume_form(places), *_FORMS)))

    def stranger(self, name: str) -> tuple[str, str] | None:
        """(thing, id) of an image's name that is OpenStack's and that no row has."""
        found = self._form.fullmatch(name)
        if not found:
            return None
        if found["backed"]:
            return None if name in self.backups else ("backup", found["backed"])
        if found["deleted"]:
            return "volume", found["volume"]
        for thing, known in (("volume", self.volumes), ("image", self.images)):
            if found[thing]:
                return None if found[thing] in known else (thing, found[thing])
        return None if found["instance"] in self.instances else ("disk", found["instance"])


def _orphaned(places: Places, before: Rows, names: Names, after: Rows) -> Iterator[Finding]:
    known = _Known(places, (before, after))
    for pool, some in names.there.items():
        for name in some:
            stranger = known.stranger(name)
            if stranger and (stranger[0] != "image" or pool == places.images):
                away = places.by_hand("rbd", "trash", "mv", f"{pool}/{name}")
                yield Finding(
                    "orphaned", stranger[0], pool, name, stranger[1], "no row names it", away
                )
    for pool, trashed in names.trash.items():
        for number, name in trashed.items():
            stranger = known.stranger(name)
            if stranger:
                away = places.by_hand("rbd", "trash", "rm", f"{pool}/{number}")
                yield Finding(
                    "trash",
                    stranger[0],
                    pool,
                    f"{name} ({number})",
                    stranger[1],
                    "deleted, and its time is over",
                    away,
                )


def trash_id(finding: Finding) -> str:
    """The id of what a finding about the trash is about."""
    return finding.name.rpartition("(")[2].rstrip(")")


# Attached in one and not in the other


def _attached(before: Rows, after: Rows) -> Iterator[Finding]:
    nova = {(d.volume, d.instance) for r in (before, after) for d in r.disk if d.volume}
    cinder = {(a.volume, a.instance) for r in (before, after) for a in r.attachment}
    for one in before.attachment & after.attachment:
        if one.status == "attached" and one.instance and (one.volume, one.instance) not in nova:
            yield Finding(
                "attached",
                "volume",
                "",
                "",
                one.volume,
                f"attached to instance {one.instance} in Cinder, not in Nova",
                f"openstack --os-volume-api-version 3.27 volume attachment delete {one.id}",
            )
    for disk in before.disk & after.disk:
        if disk.volume and (disk.volume, disk.instance) not in cinder:
            yield Finding(
                "attached",
                "volume",
                "",
                "",
                disk.volume,
                f"attached to instance {disk.instance} in Nova, not in Cinder",
                f"openstack server remove volume {disk.instance} {disk.volume}",
            )
    yield from _contradictory(before, after)


def _contradictory(before: Rows, after: Rows) -> Iterator[Finding]:
    """Volumes whose status says something else than their attachments."""
    some = {a.volume for r in (before, after) for a in r.attachment}
    full = {a.volume for a in before.attachment & after.attachment if a.status == "attached"}
    known = before.attachment or after.attachment
    for volume in before.volume & after.volume:
        if volume.status == "in-use" and known and volume.id not in some:
            yield attached(
                volume,
                "in use, and attached nowhere",
                f"openstack volume set --state available --detached {volume.id}",
            )
        elif volume.status == "available" and volume.id in full:
            yield attached(
                volume,
                "available, and attached",
                f"openstack volume set --state in-use --attached {volume.id}",
            )


def attached(
    volume: Volume, sentence: str, command: str, spec: tuple[str, str] = ("", "")
) -> Finding:
    """A volume whose status and attachments do not fit; spec: its image, where that was seen."""
    return Finding("attached", "volume", *spec, volume.id, sentence, command)


def runs(instance: Instance) -> bool:
    """Whether an instance's hypervisor has its volumes open."""
    return instance.state == "active" and instance.power == "1"


def told(finding: Finding, sentence: str, command: str | None = None) -> Finding:
    """The same, after a closer look."""
    return replace(finding, sentence=sentence, command=command or finding.command)
