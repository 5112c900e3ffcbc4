"""What the images themselves say: sizes, snapshots, watchers, clones; of suspects, or of all.

Knows rbd's questions and their answers, and what they make of a finding; pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabfile.audit import deleted_parents
from fabfile.audit.compare import (
    DELETED,
    UUID,
    Finding,
    Names,
    Places,
    after_looking,
    attached,
    location,
    runs,
    settled,
    told,
    trash_id,
)
from fabfile.audit.database_rows import Rows, Volume
from fabfile.core import strict_json
from fabfile.core.contract import Failed, Json, typed
from fabfile.core.shapes import LINE, Shape
from fabfile.model.deployment import Cluster

_GIB = 1 << 30
_ENOENT = 2
NOT_THERE = (0, 1, _ENOENT, 22)
"""Exit codes by which rbd answers, also that something is not there."""
_TRASH_ID = re.compile(r"[0-9a-f]{1,64}")
Spec = tuple[str, str]
"""(pool, image)."""


@dataclass(frozen=True)
class Held:
    """One image.  size: bytes; watchers: None where nobody asked."""

    size: int
    snapshots: frozenset[str] = frozenset()
    watchers: tuple[str, ...] | None = None
    children: tuple[str, ...] = ()


# Questions, as argument lists for the first Ceph host


def names_of(cluster: Cluster, pool: str) -> list[str]:
    """Every name in a pool, a line each."""
    return cluster.rbd("ls", "-p", pool)


def trash_of(cluster: Cluster, pool: str) -> list[str]:
    """'id name' of all that is in a pool's trash, a line each."""
    return cluster.rbd("trash", "ls", "--all", "-p", pool)


def all_of(cluster: Cluster, pool: str) -> list[str]:
    """Sizes and snapshots of all images of a pool, as JSON over many lines."""
    return cluster.rbd("ls", "-l", "--format", "json", "--pretty-format", "-p", pool)


def suspects(
    cluster: Cluster, findings: Iterable[Finding]
) -> dict[str, tuple[list[str], Sequence[int]]]:
    """{id: (argv, exit codes that are answers)}: the closer look at what was found."""
    asked: dict[str, tuple[list[str], Sequence[int]]] = {}
    for finding in findings:
        spec = f"{finding.pool}/{finding.name}"
        if finding.kind == "trash":
            number, pool = trash_id(finding), finding.pool
            asked[f"long {pool}"] = (
                cluster.rbd("trash", "ls", "--all", "--long", "--format", "json", "-p", pool),
                (0,),
            )
            asked[f"children {spec}"] = (of_trash(cluster, pool, number), NOT_THERE)
        elif finding.kind == "attached" and finding.name:
            asked |= watching(cluster, [(finding.pool, finding.name)])
        elif finding.name:
            if finding.kind == "orphaned":
                asked |= of_an_orphan(cluster, finding.pool, finding.name)
            else:
                asked |= _info(cluster, spec)
    return asked


def _info(cluster: Cluster, spec: str) -> dict[str, tuple[list[str], Sequence[int]]]:
    return {f"info {spec}": (cluster.rbd("info", "--format", "json", spec), NOT_THERE)}


def of_an_orphan(
    cluster: Cluster, pool: str, name: str
) -> dict[str, tuple[list[str], Sequence[int]]]:
    """What an image is asked that may be nobody's."""
    spec = f"{pool}/{name}"
    more = {"children": cluster.rbd("children", "--all", "--format", "json", spec)}
    if name.endswith(DELETED):
        more["snapshots"] = cluster.rbd("snap", "ls", "--all", "--format", "json", spec)
    return {
        **_info(cluster, spec),
        **watching(cluster, [(pool, name)]),
        **{f"{what} {spec}": (argv, NOT_THERE) for what, argv in more.items()},
    }


def watching(cluster: Cluster, specs: Iterable[Spec]) -> dict[str, tuple[list[str], Sequence[int]]]:
    """Who has these images open."""
    return {
        f"status {pool}/{name}": (
            cluster.rbd("status", "--format", "json", f"{pool}/{name}"),
            NOT_THERE,
        )
        for pool, name in specs
    }


# Answers


def names(lines: Mapping[str, Iterable[str]], trash: Mapping[str, Iterable[str]]) -> Names:
    """{pool: lines} of names_of() and trash_of()."""
    trashed = {
        pool: {number: name for number, _, name in (line.partition(" ") for line in some)}
        for pool, some in trash.items()
    }
    return Names({pool: frozenset(some) for pool, some in lines.items()}, trashed)


def listed(pool: str, lines: Iterable[str]) -> dict[Spec, Held]:
    """The answer to all_of()."""
    sizes: dict[str, int] = {}
    snapshots: dict[str, set[str]] = {}
    for entry in _parsed("\n".join(lines) or "[]", _LISTED, "rbd ls -l"):
        if "snapshot" in entry:
            snapshots.setdefault(entry["image"], set()).add(entry["snapshot"])
        else:
            sizes[entry["image"]] = entry["size"]
    return {
        (pool, name): Held(size, frozenset(snapshots.get(name, ()))) for name, size in sizes.items()
    }


_LISTED: Shape = [{"image": LINE, "size": int, "snapshot?": LINE}]
_INFO: Shape = {
    "size": int,
    "features?": [LINE],
    "mirroring?": {"state?": LINE},
}
_WATCHER = {"address": LINE}
_STATUS: Shape = {"watchers?": ([_WATCHER], {"*": _WATCHER})}
_CHILDREN: Shape = ([({}, LINE)], {"*": ({}, LINE)})
_TRASH: Shape = [{"id": LINE, "status?": LINE, "source?": LINE}]


def _document(answer: Mapping[str, Json] | None, shape: Shape, what: str) -> Json:
    """What rbd says; None where it says nothing, or that it is not there.  Raises Failed."""
    if not answer or answer["code"] or not answer["out"].strip():
        return None
    return _parsed(answer["out"], shape, what)


def _parsed(text: str, shape: Shape, what: str) -> Json:
    found, said = strict_json.shaped(text, shape)
    if said:
        raise Failed(
            subject=what,
            expected="JSON as rbd writes it",
            found=f"{text[:80]!r} ({said[:200]})",
            advice="see what rbd says on the first Ceph host",
        )
    return found


def watchers(answer: Mapping[str, Json] | None) -> tuple[str, ...] | None:
    """Addresses; None where the image is not there.  Before Nautilus it is a dict."""
    status = _document(answer, _STATUS, "rbd status")
    if status is None:
        return None
    found = status.get("watchers", [])
    items = found.values() if isinstance(found, dict) else found
    return tuple(item["address"] for item in items)


def looked_at(
    places: Places, findings: Iterable[Finding], answers: Mapping[str, Json]
) -> list[Finding]:
    """The findings that stand after the closer look, each with what it showed."""
    found = []
    for finding in findings:
        spec = f"{finding.pool}/{finding.name}"
        one: Finding | None = finding
        if finding.kind == "trash":
            one = _in_trash(finding, spec, answers)
        elif finding.kind == "orphaned":
            one = _orphan(places, finding, spec, answers)
        elif finding.kind == "missing":
            one = _unless_it_came(finding, answers.get(f"info {spec}"))
        elif finding.kind == "attached" and finding.name:
            one = _opened(places, finding, spec, answers)
        if one:
            found.append(one)
    return found


def _unless_it_came(finding: Finding, info: Mapping[str, Json] | None) -> Finding | None:
    """What could not be looked at is not known to be gone."""
    if _document(info, _INFO, "rbd info") is not None:
        return None
    return after_looking(finding, "name") if info and info["code"] == _ENOENT else finding


def _opened(places: Places, finding: Finding, spec: str, answers: Mapping[str, Json]) -> Finding:
    """A volume that something has open is attached, whatever the rows say."""
    seen = watchers(answers.get(f"status {spec}"))
    if seen:
        sentence = f"{finding.sentence}; it is open at {', '.join(seen)}"
        return told(finding, sentence, places.by_hand("rbd", "status", spec))
    return finding if seen is None else after_looking(finding, "watchers")


def _in_trash(finding: Finding, spec: str, answers: Mapping[str, Json]) -> Finding | None:
    listed = answers.get(f"long {finding.pool}")
    entries = _document(listed, _TRASH, "rbd trash ls") or []
    entry = next((e for e in entries if e["id"] == trash_id(finding)), None)
    waits = entry is not None and "protected" in str(entry.get("status", ""))
    children = _document(answers.get(f"children {spec}"), _CHILDREN, "rbd children")
    if entry is None or waits or children:
        return None
    # What a migration or a mirror put there is not what somebody deleted.
    if str(entry.get("source", "USER")).upper() != "USER":
        return None
    seen = ["expired"] if "expired" in str(entry.get("status", "")) else []
    seen += ["clones", "free"] if children is not None else []
    return after_looking(finding, *seen)


def _orphan(
    places: Places, finding: Finding, spec: str, answers: Mapping[str, Json]
) -> Finding | None:
    answer = answers.get(f"info {spec}")
    info = _document(answer, _INFO, "rbd info")
    if info is None:
        went = answer is not None and answer["code"] == _ENOENT
        return None if went else finding
    children = _document(answers.get(f"children {spec}"), _CHILDREN, "rbd children")
    if finding.name.endswith(DELETED) and children:
        return None  # Cinder keeps it for its clones
    size = f"{info['size'] / _GIB:.2f} GiB"
    if children:
        return told(
            finding,
            f"no row names it ({size}); {len(children)} clones need it",
            places.by_hand("rbd", "children", "--all", spec),
        )
    status = _document(answers.get(f"status {spec}"), _STATUS, "rbd status")
    seen = watchers(answers.get(f"status {spec}"))
    if seen:
        return told(
            finding,
            f"no row names it ({size}); it is open at {', '.join(seen)}",
            places.by_hand("rbd", "status", spec),
        )
    looked = ["watchers"] if seen is not None else []
    looked += ["clones"] if children is not None else []
    looked += ["free"] if status is not None and _is_free(info, status) else []
    if finding.name.endswith(DELETED):
        return _deleted_parent(places, after_looking(finding, *looked), spec, size, answers)
    return told(after_looking(finding, *looked), f"no row names it ({size})")


def _deleted_parent(
    places: Places, finding: Finding, spec: str, size: str, answers: Mapping[str, Json]
) -> Finding:
    """What Cinder kept for its clones, and these are gone."""
    sentence = f"no row names it ({size}): a volume that was deleted while it had clones"
    there = _snapshots_of(spec, answers)
    look = places.by_hand("rbd", "snap", "ls", "--all", spec)
    if there is None:
        return told(finding, f"{sentence}; its snapshots were not told", look)
    if other := deleted_parents.foreign(there, places.volume_name):
        return told(finding, f"{sentence}; {', '.join(other[:3])} is no clone's snapshot", look)
    away = tuple(one.having_seen("snapshots") for one in finding.commands)
    first = (
        places.by_hand("rbd", *words).having_seen(*away[-1].looked)
        for words in deleted_parents.without_snapshots(spec, there)
    )
    return told(finding, f"{sentence}, which are gone", *first, *away)


def _snapshots_of(spec: str, answers: Mapping[str, Json]) -> list[Mapping[str, Json]] | None:
    """None where they were not told."""
    answer = answers.get(f"snapshots {spec}")
    found: list[Mapping[str, Json]] | None = _document(
        answer, deleted_parents.SNAPSHOTS, "rbd snap ls"
    )
    return found


def taken_away(
    spec: str, snapshot: str, answers: Mapping[str, Json]
) -> tuple[Sequence[deleted_parents.Words], str]:
    """(words for rbd that take an image away, why it stays) of one that is its asker's own.

    snapshot: the only one that it may have.  answers: to of_an_orphan().  Nothing, twice,
    where the image is not there.
    """
    answer = answers.get(f"info {spec}")
    info = _document(answer, _INFO, "rbd info")
    if info is None:
        gone = answer is not None and answer["code"] == _ENOENT
        return (), "" if gone else "rbd info says nothing of it"
    children = _document(answers.get(f"children {spec}"), _CHILDREN, "rbd children")
    status = _document(answers.get(f"status {spec}"), _STATUS, "rbd status")
    there = _snapshots_of(spec, answers)
    if children is None or status is None or there is None:
        return (), "its clones, snapshots and watchers were not all told"
    in_the_way = {
        f"{len(children)} clones need it": bool(children),
        "something has it open": bool(watchers(answers.get(f"status {spec}"))),
        "it has a snapshot of something else": any(_is_other(one, snapshot) for one in there),
        "it is mirrored, in a group or on its way": not _is_free(info, status),
    }
    if why := next((said for said, so in in_the_way.items() if so), ""):
        return (), why
    return (*deleted_parents.without_snapshots(spec, there), ("rm", "--no-progress", spec)), ""


def _is_other(one: Mapping[str, Json], snapshot: str) -> bool:
    return bool(one["name"] != snapshot) or one.get("namespace", {}).get("type", "user") != "user"


# What is in a trash, of one's own


def trash_ids(lines: Iterable[str], name: str) -> list[str]:
    """The ids of what had this name when it came into the trash; lines: of trash_of().

    Raises Failed for an id that is none.
    """
    trashed = names({}, {"": lines}).trash[""]
    found = [number for number, one in trashed.items() if one == name]
    if odd := next((number for number in found if not _TRASH_ID.fullmatch(number)), ""):
        raise Failed(
            subject="rbd trash ls",
            expected="the id of an image and its name, a line each",
            found=f"{odd[:80]!r}",
            advice="see what rbd says on the first Ceph host",
        )
    return found


def of_trash(cluster: Cluster, pool: str, number: str) -> list[str]:
    """The clones of what is in a trash."""
    return cluster.rbd("children", "-p", pool, "--image-id", number, "--format", "json")


def clones_of_trash(answer: Mapping[str, Json]) -> int | None:
    """How many; None where that was not told."""
    children = _document(answer, _CHILDREN, "rbd children")
    return None if children is None else len(children)


def _is_free(info: Mapping[str, Json], status: Mapping[str, Json]) -> bool:
    """Whether it is nobody's by Ceph's own words: not mirrored, in no group, not on its way."""
    mirrored = info.get("mirroring", {}).get("state", "disabled") != "disabled"
    moving = "migration" in status or "migrating" in info.get("features", ())
    return not (mirrored or moving or info.get("group"))


# All images, by choice


def to_watch(places: Places, before: Rows, after: Rows) -> list[Spec]:
    """The images whose watchers tell something: all volumes that are there to stay."""
    return sorted(
        (places.pool_of(v.host), places.volume_name % v.name_id)
        for v in _ours(places, before, after)
        if v.status in ("in-use", "available")
    )


def _ours(places: Places, before: Rows, after: Rows) -> list[Volume]:
    return [v for v in before.volume & after.volume if places.owns(v.host) and settled(v)]


def differing(
    places: Places,
    before: Rows,
    after: Rows,
    images: Mapping[Spec, Held],
    open_at: Mapping[Spec, tuple[str, ...] | None],
) -> list[Finding]:
    """Sizes, snapshots and watchers against the rows; an image that is not there is no matter."""
    found = [*_sizes(places, before, after, images), *_snapshots(places, before, after, images)]
    found += _watched(places, before, after, open_at)
    return sorted(found, key=lambda f: (f.kind, f.thing, f.pool, f.name, f.row))


def _sizes(
    places: Places, before: Rows, after: Rows, images: Mapping[Spec, Held]
) -> Iterator[Finding]:
    for volume in _ours(places, before, after):
        name = places.volume_name % volume.name_id
        held = images.get((places.pool_of(volume.host), name))
        if held and volume.status != "extending" and held.size != int(volume.size or 0) * _GIB:
            yield _other_size(places, volume, name, held.size)
    for image in before.image & after.image:
        at = location(places, image)
        held = images.get((at[0], at[1])) if at else None
        if at and held and image.status == "active" and image.size not in ("", str(held.size)):
            yield Finding(
                "size",
                "image",
                at[0],
                at[1],
                image.id,
                f"{image.size} bytes in Glance, {held.size} in the pool",
                (typed("openstack", "image", "show", image.id),),
            )


def _other_size(places: Places, volume: Volume, name: str, size: int) -> Finding:
    pool = places.pool_of(volume.host)
    spec = f"{pool}/{name}"
    command = places.by_hand("rbd", "resize", "--size", f"{volume.size}G", spec)
    if size > int(volume.size or 0) * _GIB:
        command = typed("openstack", "volume", "set", "--size", str(-(-size // _GIB)), volume.id)
    return Finding(
        "size",
        "volume",
        pool,
        name,
        volume.id,
        f"{volume.size} GiB in Cinder, {size / _GIB:g} GiB in the pool",
        (command,),
    )


def _snapshots(
    places: Places, before: Rows, after: Rows, images: Mapping[Spec, Held]
) -> Iterator[Finding]:
    known = {s.id for r in (before, after) for s in r.snapshot}
    for snapshot in before.snapshot & after.snapshot:
        volume = places.volume_name % snapshot.volume
        pool = next((p for p in sorted(places.volumes) if (p, volume) in images), "")
        held = images.get((pool, volume))
        name = places.snapshot_name % snapshot.id
        if held and snapshot.status == "available" and name not in held.snapshots:
            yield Finding(
                "missing",
                "snapshot",
                pool,
                f"{volume}@{name}",
                snapshot.id,
                "it is not in its volume's image",
                # One that a clone still needs may be in the snapshots' own trash.
                (places.by_hand("rbd", "snap", "ls", "--all", f"{pool}/{volume}"),),
            )
    first, _, last = places.snapshot_name.partition("%s")
    form = re.compile(rf"{re.escape(first)}({UUID}){re.escape(last)}")
    for (pool, image), held in images.items():
        for name in held.snapshots if pool in places.volumes else ():
            found = form.fullmatch(name)
            if found and found[1] not in known:
                look = places.by_hand("rbd", "children", "--all", f"{pool}/{image}")
                yield Finding(
                    "orphaned",
                    "snapshot",
                    pool,
                    f"{image}@{name}",
                    found[1],
                    "no row names it: it is nobody's where nothing was cloned from it, and no "
                    "other cloud or database has its row",
                    (look,),
                )
    for one in before.image & after.image:
        at = location(places, one)
        held = images.get((at[0], at[1])) if at else None
        if at and held and one.status == "active" and at[2] not in held.snapshots:
            spec = f"{at[0]}/{at[1]}@{at[2]}"
            yield Finding(
                "missing",
                "snapshot",
                at[0],
                f"{at[1]}@{at[2]}",
                one.id,
                "Glance's location names it, and no clone can be made without it",
                tuple(places.by_hand("rbd", "snap", deed, spec) for deed in ("create", "protect")),
            )


def _watched(
    places: Places, before: Rows, after: Rows, open_at: Mapping[Spec, tuple[str, ...] | None]
) -> Iterator[Finding]:
    running = {i.id for i in before.instance & after.instance if runs(i)}
    user = {
        a.volume: a.instance
        for a in before.attachment & after.attachment
        if a.status == "attached" and a.instance in running
    }
    for volume in _ours(places, before, after):
        name = places.volume_name % volume.name_id
        seen = open_at.get((places.pool_of(volume.host), name))
        if volume.status == "in-use" and volume.id in user and seen == ():
            # One that is attached to be read alone has no watcher.
            sentence = f"attached to instance {user[volume.id]}, and no hypervisor has it open"
            look = typed("openstack", "server", "show", user[volume.id])
            yield attached(places, volume, volume.id, sentence, look)
        elif volume.status == "available" and seen:
            # Cinder itself opens what it copies: who it is, the address tells.
            sentence = f"attached nowhere, and open at {', '.join(seen)}"
            look = places.by_hand("rbd", "status", f"{places.pool_of(volume.host)}/{name}")
            yield attached(places, volume, volume.id, sentence, look)
