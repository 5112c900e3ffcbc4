"""The format of RBD's clones: v2, where all who use the cluster can read it.

With v1 a snapshot that has a clone can be neither unprotected nor removed: Cinder answers
SnapshotIsBusy, Glance that the image is in use.  librbd makes v2 where the cluster requires
clients of Mimic (rbd_default_clone_format = auto).  The requirement is raised and never lowered.
Sources: ceph.com, New in Mimic: Simplified RBD Image Cloning; docs.ceph.com, Minimum Compatible
Client; the warning of Cinder's RBD driver ('Not using v2 clone API', since Wallaby).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from fabfile.core.contract import BadInput, Change, Facts, Host, Json, Read
from fabfile.model import advice, ceph_releases, services
from fabfile.model.ceph_releases import CLONE_V2
from fabfile.model.phases import Phase
from fabfile.model.site import Site
from fabfile.resources import by_cluster, cluster
from fabfile.resources.client_packages import client_hosts, older_client
from fabfile.resources.resource import Resource

KIND = "clone_format"
REQUIRED, FEATURES = "ceph.required", "ceph.features"
OWED = "cinder-volume-after-clones"
"""The pending restart of Cinder on other hosts: noted where the requirement is raised, before that
is done, so that a run that is cut leaves it there."""
_LIBRARY = "librbd1"
_NEEDED = "mimic"
_LOOKS_LIKE = ceph_releases.NAMES.index("luminous") + 1
"""Mimic has no feature bits of its own: what is connected says Luminous of every release from
then to Quincy (ceph.git 70adcbbc, 'validate SERVER_REEF').  Hosts' packages tell the rest."""
_EINVAL = 22


def reads(site: Site, host: Host) -> list[Read]:
    """What the cluster requires of clients, and who is connected; hosts' librbd."""
    found = cluster.reads(site, host)
    if host in client_hosts(site):
        found += [
            Read("packages", "packages", {"names": [_LIBRARY]}),
            Read("host", "host"),
        ]
    if host != site.admin:
        return found
    features = {"argv": cluster.ceph(site, "features"), "ok": [0, _EINVAL]}
    owed = Read("pending_restarts", "pending_restarts")
    return [*found, read_required(site), Read(FEATURES, "argv", features), owed]


def read_required(site: Site) -> Read:
    """What the cluster requires of clients and OSDs, and what its map needs of clients now."""
    only = r'"(?:(?:require_)?min_compat_client|require_osd_release)":\s*"[^"]*"'
    return Read(REQUIRED, "argv", {"argv": cluster.ceph(site, "osd", "dump"), "only": only})


def required(site: Site, facts: Facts) -> str | None:
    """The oldest release that the cluster requires of clients, by name; None where none is."""
    return _named(site, facts, "require_min_compat_client")


def in_use(site: Site, facts: Facts) -> str | None:
    """The oldest release that can read the cluster's map as it is, by name."""
    return _named(site, facts, "min_compat_client")


def _named(site: Site, facts: Facts, key: str) -> str | None:
    answer = facts.hosts.get(site.admin.name, {}).get(REQUIRED)
    found = re.search(rf'"{key}":\s*"([^"]*)"', answer["out"]) if answer else None
    return found.group(1) if found else None


def is_v2(name: str | None) -> bool | None:
    """Whether clones are of v2 where that release is required; None where it is not known.

    A name that is not known is one of a release to come.
    """
    if name is None:
        return None
    number = ceph_releases.named(name)
    return number is None or number >= min(CLONE_V2.first)


def obstacles(site: Site, facts: Facts) -> list[str]:
    """Why v2 is not to be required: each who could not read it, or of whom that is not known."""
    found = list(_of_cluster(site, facts))
    return found + [why for host in client_hosts(site) for why in _of_host(host, facts)]


def _of_cluster(site: Site, facts: Facts) -> Iterator[str]:
    seen = facts.hosts[site.admin.name]
    for daemons, version in _daemons(seen):
        if not CLONE_V2.known_to(version):
            yield f"{daemons} of Ceph {'.'.join(map(str, version.numbers))}"
    if required(site, facts) is None:
        yield "the cluster does not say what it requires of clients (before Luminous)"
    connected = _connected(seen[FEATURES])
    if connected is None:
        yield "the cluster does not say who is connected (ceph features)"
    for (kind, name), number in sorted((connected or {}).items()):
        release = ceph_releases.named(name)
        if release is None or release < _LOOKS_LIKE:
            some = "s that look" if number > 1 else " that looks"
            yield f"{number} connected {kind}{some} like {_shown(name)}"


def _shown(name: str) -> str:
    """A release's name as the cluster says it, on one line."""
    return name if name.isalnum() else repr(name[:40])


def _daemons(seen: Mapping[str, Json]) -> Iterator[tuple[str, ceph_releases.Version]]:
    """The monitors' and OSDs' versions, as far as they are told."""
    answer = seen["ceph.versions"]
    told = _document(answer["out"]) if answer["code"] == 0 else None
    for key, words in (("mon", "monitors"), ("osd", "OSDs")):
        found = (told or {}).get(key)
        for text, _ in found if isinstance(found, _Pairs) else ():
            if version := ceph_releases.version(text):
                yield words, version


def _connected(answer: Mapping[str, Json]) -> dict[tuple[str, str], int] | None:
    """{(kind, release that it looks like): how many}; None for another document.

    Luminous writes a group of each kind under the same key; later releases a list.
    """
    if answer["code"] != 0:
        return None
    told = _document(answer["out"])
    if told is None:
        return None
    found: dict[tuple[str, str], int] = {}
    for kind in ("client", "mds", "mgr"):
        groups = told.get(kind, [])
        groups = [one for _, one in groups] if isinstance(groups, _Pairs) else groups
        for group in groups if isinstance(groups, list) else [groups]:
            one = dict(group) if isinstance(group, _Pairs) else None
            if one is None or not isinstance(one.get("num"), int):
                return None
            at = kind, str(one.get("release", ""))
            found[at] = found.get(at, 0) + one["num"]
    return found


class _Pairs(list[tuple[str, Json]]):
    """A JSON object with keys that come twice."""

    def get(self, key: str, other: Json = None) -> Json:
        return next((value for name, value in self if name == key), other)


def _document(text: str) -> Json:
    """An object of JSON, its keys as they come; None for anything else."""
    try:
        found = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, _Pairs) else None


def _of_host(host: Host, facts: Facts) -> Iterator[str]:
    seen = facts.hosts.get(host.name, {})
    if _is_unread(host, facts):
        yield f"{host.name} was not read"
    elif older := older_client(seen, _LIBRARY, CLONE_V2):
        yield f"{host.name}: {older}"


def _is_unread(host: Host, facts: Facts) -> bool:
    return not {"packages", "host"} <= set(facts.hosts.get(host.name, {}))


def _waits(site: Site, facts: Facts) -> bool:
    """Whether hosts that are not read (--limit, --max-fail) alone stand in the way."""
    known = [host for host in client_hosts(site) if not _is_unread(host, facts)]
    return not any(_of_cluster(site, facts)) and not any(any(_of_host(h, facts)) for h in known)


def plan(site: Site, facts: Facts) -> list[Change]:
    """Requires clients of Mimic, where that is asked for, or left open and nobody is shut out.

    Raises BadInput where it is asked for and somebody could not read such clones; hosts that are
    not read are waited for.
    """
    cluster.seen(site, facts)
    if site.clone_v2 is False or is_v2(required(site, facts)):
        return []
    if found := obstacles(site, facts):
        if site.clone_v2 and not _waits(site, facts):
            raise BadInput(
                subject="clone_v2",
                expected=f"that all who use the cluster are of {_NEEDED.capitalize()} or later",
                found="; ".join(found),
                why="they could not open clones of the newer format",
                advice="upgrade them first, or take clone_v2 out of the site file",
            )
        return []
    old = required(site, facts)
    raising = cluster.ceph(site, "osd", "set-require-min-compat-client", _NEEDED)
    back = site.cluster.platform.by_hand("ceph", "osd", "set-require-min-compat-client", str(old))
    return [
        Change(
            site.admin.name,
            "clones of RBD",
            f"require clients of {_NEEDED} or later: clones are of v2, and a snapshot that has one "
            "can be deleted",
            "~",
            "run",
            {"argv": raising},
            Phase.CLUSTER,
            diff=(f"- require_min_compat_client {old}", f"+ require_min_compat_client {_NEEDED}"),
            restarts=(OWED,),
            kind=KIND,
            subject=_NEEDED,
            stays="clones that were made since are of v2; to let older clients in again: "
            f"{advice.shown(back)}",
        )
    ]


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """Why clones stay as they are, where the site file does not say that they are to."""
    found = undecided(site, facts)
    return [f"clones of RBD stay of v1: {'; '.join(found)}; {V1}"] if found else []


V1 = (
    "a snapshot or an image that has such a clone cannot be deleted (clone_v2 = false in the site "
    "file leaves it at that)"
)


def undecided(site: Site, facts: Facts) -> list[str]:
    """Why v2 is not planned, and not refused either; empty where it is planned, or is there."""
    if site.clone_v2 is False or site.admin.name not in facts.hosts:
        return []
    if is_v2(required(site, facts)) or (site.clone_v2 and not _waits(site, facts)):
        return []
    return obstacles(site, facts)


def restarts(site: Site, facts: Facts, changes: Sequence[Change]) -> dict[str, set[str]]:
    """{host: units} that are restarted after it: Cinder's driver looks once, after its start.

    Also where an earlier run raised the requirement and came no further.
    """
    if not _is_due(site, facts, changes):
        return {}
    service = services.CINDER_VOLUME
    hosts = site.with_role(service.role)
    return {host.name: {site.platform_of(host).unit(service)} for host in hosts}


def _is_due(site: Site, facts: Facts, changes: Sequence[Change]) -> bool:
    return bool(_owing(site, facts, changes))


def _owing(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """The first Ceph hosts where that is noted, or about to be."""
    planned = {change.host for change in changes if change.kind == KIND}
    return [
        admin.name
        for admin in site.admins
        if OWED in facts.hosts.get(admin.name, {}).get("pending_restarts", ())
        or admin.name in planned
    ]


def _restarted(site: Site, facts: Facts, changes: Sequence[Change] = ()) -> list[Change]:
    """Notes that nothing is owed any more, behind the restarts of every host of Cinder's."""
    planned = {(c.host, unit) for c in changes if c.kind == "restart" for unit in c.args["units"]}
    needed = {
        (host, unit) for host, units in restarts(site, facts, changes).items() for unit in units
    }
    if not needed or not needed <= planned:
        return []
    return [
        Change(
            admin,
            "clones of RBD",
            "note that Cinder was restarted and makes them of v2",
            "~",
            "restarted",
            {"units": [OWED]},
            Phase.COMPUTE,  # behind that of the restarts: no fault of theirs is borne
            kind="note",
            subject=OWED,
            stays="nothing of the cloud is changed by it",
        )
        for admin in _owing(site, facts, changes)
    ]


RESOURCE = by_cluster.each(Resource("ceph.clones", reads, plan, notes), alters=True)
RESTARTED = Resource("ceph.clones", lambda site, host: [], _restarted, sees_changes=True)
"""Behind the restarts."""
