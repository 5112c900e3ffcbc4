"""Database rows against the names in the pools, both ways: what one side alone has.

Pure, and quick enough for 100,000 of each.  Rows are read before and after the names: what
came or went meanwhile is no finding.  Of each finding it says which command settles it; it
runs none.  Sizes, snapshots and watchers are `held`'s.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote

from fabfile.audit.database_rows import Backup, Image, Instance, Rows, Volume
from fabfile.audit.evidence import NOTHING, Evidence
from fabfile.core import strict_json
from fabfile.core.contract import Command, typed
from fabfile.model import advice
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
DELETED = ".deleted"
"""What Cinder puts behind the name of a volume that it deleted while that had clones."""


@dataclass(frozen=True)
class Places:
    """Where a site has what: pools, how images are named.

    backends: {Cinder's section: its pool}; images: the pools of Glance's stores; vms: None where
    ephemeral disks are not in a pool; backups: None where the site file says nothing of them;
    keeps_backups: whether cinder-backup keeps them in this cluster.
    """

    cluster: Cluster
    fsid: str
    backends: Mapping[str, str]
    images: frozenset[str]
    vms: str | None
    volume_name: str = "volume-%s"
    snapshot_name: str = "snapshot-%s"
    backups: str | None = None
    keeps_backups: bool = True

    def by_hand(self, program: str, *words: str) -> Command:
        """A command for the cluster, as a person types it where it is asked."""
        return self.cluster.platform.by_hand(program, *words)

    @property
    def volumes(self) -> frozenset[str]:
        """The pools of all backends."""
        return frozenset(self.backends.values())

    def owns(self, host: str) -> bool:
        """Whether a row's 'host@backend#pool' is of a backend of the site's."""
        return _section(host) in self.backends

    def pool_of(self, host: str) -> str:
        """Where the volumes of such a row lie.  Raises KeyError for another's."""
        return self.backends[_section(host)]


def _section(host: str) -> str:
    return host.partition("@")[2].partition("#")[0]


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
    where there is one; row: the id in the database; commands: what settles it, one after the
    other; what of them is shown, model.advice decides.
    """

    kind: str
    thing: str
    pool: str
    name: str
    row: str
    sentence: str
    commands: tuple[Command, ...]

    @property
    def settles(self) -> str:
        """The commands as they are typed, or what is to be looked at first."""
        return advice.shown(*self.commands)

    def as_data(self) -> dict[str, str]:
        """As JSON has it: 'command' where there is one to be typed, else what to 'look' at."""
        told = {name: value for name, value in vars(self).items() if name != "commands"}
        settled_by = all(map(advice.may_be_typed, self.commands))
        return {
            **told,
            "command": self.settles if settled_by else "",
            "look": "" if settled_by else self.settles,
        }


def places(site: Site, fsid: str, options: Mapping[str, str]) -> Places:
    """A site's places; fsid: the cluster's; options: cinder.conf's [DEFAULT]."""
    named = {
        key: options[key]
        for key in ("volume_name_template", "snapshot_name_template")
        if options.get(key, "").count("%s") == 1
    }
    uses = site.uses()
    # Of Nova's uses, that of its own disks alone opens a pool with a keyring of its own.
    disks = [use.pool for use in uses if use.service == NOVA_COMPUTE and use.keyring]
    return Places(
        site.cluster,
        fsid,
        {use.section: use.pool for use in uses if use.service == CINDER_VOLUME and use.section},
        frozenset(use.pool for use in uses if use.service == GLANCE_API),
        disks[0] if disks else None,
        named.get("volume_name_template", "volume-%s"),
        named.get("snapshot_name_template", "snapshot-%s"),
        site.cinder.backup.pool if site.cinder.backup else None,
        site.is_whole or bool(site.cinder.backup) or _leads_here(site, options),
    )


def _leads_here(site: Site, options: Mapping[str, str]) -> bool:
    """Whether cinder-backup's options lead to a part's cluster."""
    mine = {conf for b in site.bindings if b.service == CINDER_VOLUME for conf in b.confs}
    return options.get("backup_ceph_conf", "") in mine


def pools(places: Places, rows: Rows, seen: Evidence = NOTHING) -> list[str]:
    """The pools whose names are needed, as far as the cluster has them."""
    found = places.volumes | places.images | {p for p in (places.vms, places.backups) if p}
    found |= {b.pool for b in rows.backup if places.keeps_backups and _is_cephs(b) and b.pool}
    found |= {at[0] for at in (location(places, i) for i in rows.image) if at}
    return sorted(pool for pool in found if seen.has(pool))


def strangers(places: Places, rows: Rows, there: Collection[str]) -> list[str]:
    """The pools that rows alone name, and the cluster has not.

    A tenant says which container a backup goes to: that word is no pool until Ceph says so.
    """
    own = {*places.volumes, *places.images, places.vms, places.backups}
    return [pool for pool in pools(places, rows) if pool not in own and pool not in there]


def compare(
    places: Places, before: Rows, names: Names, after: Rows, seen: Evidence = NOTHING
) -> list[Finding]:
    """All that rows and names alone tell, in a stable order.

    seen: what was looked at besides, without which no command is shown that takes away.
    """
    found = [
        *_missing(places, before, names, after, seen),
        *_orphaned(places, before, names, after, seen),
        *_attached(places, before, after, seen),
    ]
    return sorted(found, key=lambda f: (f.kind, f.thing, f.pool, f.name, f.row))


def foreign(places: Places, names: Names) -> dict[str, int]:
    """{pool: how many names in it are of a form that OpenStack does not give}."""
    form = re.compile("|".join((_volume_form(places), *_FORMS)))
    counts = {p: sum(not form.fullmatch(n) for n in some) for p, some in names.there.items()}
    return {pool: count for pool, count in counts.items() if count}


# Rows without an image


def _missing(
    places: Places, before: Rows, names: Names, after: Rows, seen: Evidence
) -> Iterator[Finding]:
    attached = {d.volume for r in (before, after) for d in r.disk if d.volume}
    for volume in before.volume & after.volume:
        if places.owns(volume.host) and settled(volume):
            away = typed("openstack", "volume", "delete", "--force", volume.id)
            away = away.having_seen(*seen.of_volume(volume.host))
            if volume.id not in attached and volume.status not in ("in-use", "reserved"):
                away = away.having_seen("nova")
            name = places.volume_name % volume.name_id
            row = _Row(places, names, "volume", volume.id)
            pool = places.pool_of(volume.host)
            yield from _in_another_pool(row, pool, name) or _unless_there(row, pool, (name,), away)
    yield from _missing_images(places, before, names, after, seen)
    for backup in before.backup & after.backup:
        there = places.keeps_backups and _is_cephs(backup) and seen.has(backup.pool)
        if there and backup.status == "available":
            away = typed("openstack", "volume", "backup", "delete", "--force", backup.id)
            row = _Row(places, names, "backup", backup.id)
            away = away.having_seen(*seen.looked)
            yield from _unless_there(row, backup.pool, tuple(_names_of(backup)), away)
    if places.vms:
        roots = {d.instance for d in before.disk if d.kind == "local" and d.boot == "0"}
        for one in before.instance & after.instance:
            if one.state in _HAVE_A_DISK and one.host and one.id in roots:
                # Its compute may keep its disks elsewhere: nothing is offered but a look.
                look = typed("openstack", "server", "show", one.id)
                row = _Row(places, names, "disk", one.id)
                yield from _unless_there(row, places.vms, (f"{one.id}_disk",), look)


def settled(volume: Volume) -> bool:
    """Whether a volume's image must be there, and is not on its way."""
    moving = volume.migration not in ("", "success", "error")
    return volume.status in _HAVE_AN_IMAGE and not moving


def _missing_images(
    places: Places, before: Rows, names: Names, after: Rows, seen: Evidence
) -> Iterator[Finding]:
    """Active images of which a location of this cluster is not there.

    An image may have several locations, in several clusters and stores: it is gone where all
    of them were looked at, and none is there.
    """
    locations: dict[str, set[str]] = {}
    for image in before.image | after.image:
        locations.setdefault(image.id, set()).add(image.location)
    for image in before.image & after.image:
        at = location(places, image)
        if image.status != "active" or not at:
            continue
        if not seen.has(at[0]):
            look = typed("openstack", "image", "show", image.id)
            sentence = f"the cluster has no pool {at[0]}"
            yield Finding("missing", "image", at[0], "", image.id, sentence, (look,))
            continue
        away = typed("openstack", "image", "delete", image.id).having_seen(*seen.looked)
        if locations[image.id] == {image.location}:
            away = away.having_seen("locations")
        row = _Row(places, names, "image", image.id)
        yield from _unless_there(row, at[0], (at[1],), away)


@dataclass(frozen=True)
class _Row:
    """What a row is of, and where its image is looked for."""

    places: Places
    names: Names
    thing: str
    id: str


def _in_another_pool(row: _Row, pool: str, name: str) -> list[Finding]:
    """A volume whose row names one backend, and whose image is in another's pool."""
    there = row.names.there
    either = {name, f"{name}{DELETED}"}
    rest = sorted(row.places.volumes - {pool})
    others = [p for p in rest if not either.isdisjoint(there.get(p, frozenset()))]
    if not others or name in there.get(pool, ()):
        return []
    look = typed("openstack", "volume", "show", row.id)
    sentence = f"its image is in pool {others[0]}, and its row names a backend of pool {pool}"
    return [Finding("missing", row.thing, pool, name, row.id, sentence, (look,))]


def _unless_there(
    row: _Row, pool: str, candidates: tuple[str, ...], command: Command
) -> Iterator[Finding]:
    # Of a pool that was not looked at, nothing is known.
    there = row.names.there
    if pool not in there or any(name in there[pool] for name in candidates):
        return
    for name in candidates:
        if row.thing == "volume" and f"{name}{DELETED}" in there[pool]:
            look = typed("openstack", "volume", "show", row.id)
            sentence = f"its image is there as {name}{DELETED}: Cinder began to delete it"
            yield Finding("missing", row.thing, pool, name, row.id, sentence, (look,))
            return
        for number, trashed in row.names.trash.get(pool, {}).items():
            if trashed == name:
                back = row.places.by_hand("rbd", "trash", "restore", "-p", pool, number)
                sentence = "it is in the pool's trash"
                yield Finding("missing", row.thing, pool, name, row.id, sentence, (back,))
                return
    yield Finding("missing", row.thing, pool, candidates[0], row.id, GONE, (command,))


def location(places: Places, image: Image) -> tuple[str, str, str] | None:
    """(pool, image, snapshot) of 'rbd://fsid/pool/image/snapshot', if it is of this cluster."""
    parts = [unquote(part) for part in image.location.removeprefix("rbd://").split("/")]
    if not image.location.startswith("rbd://") or len(parts) != 4:
        return None
    if parts[0].lower() != places.fsid.lower():
        return None
    return parts[1], parts[2], parts[3]


def elsewhere(places: Places, rows: Rows) -> int:
    """How many locations of images are in another cluster of Ceph's."""
    ours = sum(location(places, image) is not None for image in rows.image)
    return sum(image.location.startswith("rbd://") for image in rows.image) - ours


def _is_cephs(backup: Backup) -> bool:
    return "ceph" in backup.service


def _names_of(backup: Backup) -> list[str]:
    """What the image of a backup may be called, the likeliest first."""
    found = [f"volume-{backup.volume}.backup.{backup.id}", f"volume-{backup.volume}.backup.base"]
    try:
        told = strict_json.loads(backup.metadata or "{}").get("base")
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
    return (
        rf"{re.escape(first)}(?P<volume>{UUID}){re.escape(last)}(?P<deleted>{re.escape(DELETED)})?"
    )


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
        for thing, known in (("volume", self.volumes), ("image", self.images)):
            if found[thing]:
                return None if found[thing] in known else (thing, found[thing])
        return None if found["instance"] in self.instances else ("disk", found["instance"])


def _orphaned(
    places: Places, before: Rows, names: Names, after: Rows, seen: Evidence
) -> Iterator[Finding]:
    known = _Known(places, (before, after))
    for pool, some in names.there.items():
        strangers = [(name, one) for name in some if (one := known.stranger(name))]
        strangers = [
            (name, one) for name, one in strangers if one[0] != "image" or pool in places.images
        ]
        # What Cinder kept for clones never has a row: it says nothing of whose the pool is.
        kept = sum(name.endswith(DELETED) for name, _ in strangers)
        share = _are_few(len(strangers) - kept, len(some) - kept)
        for name, (thing, row) in strangers:
            away = places.by_hand("rbd", "trash", "mv", f"{pool}/{name}")
            away = _seen_of(away, thing, seen.of_pool(pool) | share)
            yield Finding("orphaned", thing, pool, name, row, "no row names it", (away,))
    for pool, trashed in names.trash.items():
        strangers = [(n, one) for n, name in trashed.items() if (one := known.stranger(name))]
        share = _are_few(len(strangers), len(names.there.get(pool, ())) + len(trashed))
        for number, (thing, row) in strangers:
            away = places.by_hand("rbd", "trash", "rm", f"{pool}/{number}")
            away = _seen_of(away, thing, seen.of_pool(pool) | share)
            name, why = f"{trashed[number]} ({number})", "deleted, and its time is over"
            yield Finding("trash", thing, pool, name, row, why, (away,))


def _are_few(strangers: int, everything: int) -> frozenset[str]:
    """Whether that many names without a row are leftovers: of many, another cloud has the rows."""
    known = everything - strangers
    few = known > 0 and strangers <= min(known, max(3, known // 10))
    return frozenset({"share"} if few else ())


def _seen_of(command: Command, thing: str, looked: Iterable[str]) -> Command:
    """Nova's cells are looked at for what Nova may have a row of; no cell has others."""
    return command.having_seen(*looked, *([] if thing == "disk" else ["cells"]))


def trash_id(finding: Finding) -> str:
    """The id of what a finding about the trash is about."""
    return finding.name.rpartition("(")[2].rstrip(")")


# Attached in one and not in the other


def _attached(places: Places, before: Rows, after: Rows, seen: Evidence) -> Iterator[Finding]:
    nova = {(d.volume, d.instance) for r in (before, after) for d in r.disk if d.volume}
    cinder = {(a.volume, a.instance) for r in (before, after) for a in r.attachment}
    volumes = {v.id: v for r in (before, after) for v in r.volume}
    for one in before.attachment & after.attachment:
        if one.status == "attached" and one.instance and (one.volume, one.instance) not in nova:
            away = typed(*_ATTACHMENT, "delete", one.id).having_seen(*seen.looked, "nova")
            sentence = f"attached to instance {one.instance} in Cinder, not in Nova"
            yield attached(places, volumes.get(one.volume), one.volume, sentence, away)
    for disk in before.disk & after.disk:
        if disk.volume and (disk.volume, disk.instance) not in cinder:
            look = typed("openstack", "server", "show", disk.instance)
            sentence = f"attached to instance {disk.instance} in Nova, not in Cinder"
            yield attached(places, volumes.get(disk.volume), disk.volume, sentence, look)
    yield from _contradictory(places, before, after, seen)


_ATTACHMENT = ("openstack", "--os-volume-api-version", "3.27", "volume", "attachment")


def _contradictory(places: Places, before: Rows, after: Rows, seen: Evidence) -> Iterator[Finding]:
    """Volumes whose status says something else than their attachments."""
    some = {a.volume for r in (before, after) for a in r.attachment}
    full = {a.volume for a in before.attachment & after.attachment if a.status == "attached"}
    nova = {d.volume for r in (before, after) for d in r.disk if d.volume}
    known = before.attachment or after.attachment
    for volume in before.volume & after.volume:
        if volume.status == "in-use" and known and volume.id not in some:
            free = typed(*_SET, "available", "--detached", volume.id).having_seen(*seen.looked)
            free = free if volume.id in nova else free.having_seen("nova")
            yield attached(places, volume, volume.id, "in use, and attached nowhere", free)
        elif volume.status == "available" and volume.id in full:
            used = typed(*_SET, "in-use", "--attached", volume.id)
            yield attached(places, volume, volume.id, "available, and attached", used)


_SET = ("openstack", "volume", "set", "--state")


def attached(
    places: Places, volume: Volume | None, row: str, sentence: str, command: Command
) -> Finding:
    """A volume whose status and attachments do not fit; its image is named where it is ours."""
    pool, name = "", ""
    if volume and places.owns(volume.host):
        pool, name = places.pool_of(volume.host), places.volume_name % volume.name_id
    return Finding("attached", "volume", pool, name, row, sentence, (command,))


def runs(instance: Instance) -> bool:
    """Whether an instance's hypervisor has its volumes open."""
    return instance.state == "active" and instance.power == "1"


def told(finding: Finding, sentence: str, *commands: Command) -> Finding:
    """The same, after a closer look."""
    return replace(finding, sentence=sentence, commands=commands or finding.commands)


def after_looking(finding: Finding, *looked: str) -> Finding:
    """The same, after something more was looked at that could speak against its commands."""
    return replace(finding, commands=tuple(one.having_seen(*looked) for one in finding.commands))
