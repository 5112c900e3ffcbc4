"""What another team is asked to make on its cluster: the commands, each with its reason.

They are those that would be planned for an empty cluster of ours, in the words of its release.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from fabfile.core.contract import Change, Facts, Json, typed
from fabfile.model import advice, services
from fabfile.model import ceph_releases as ceph
from fabfile.model.site import Site
from fabfile.resources import auth, cluster, pools

_NOBODYS = "00000000-0000-4000-8000-000000000000"


def page(part: Site, release: Mapping[str, Json]) -> list[str]:
    """The lines of the page for a part's cluster; release: OpenStack's table.  Raises BadInput."""
    facts = Facts({part.admin.name: _empty(part)}, {}, release)
    return [
        f"# What OpenStack ({part.name}) asks of the Ceph cluster {part.label}, on a host with its",
        "# admin key. Nothing here is secret; the keyrings of the last part are.",
        "",
        "# 1. Pools: images of guests' disks and of Glance",
        *_told(part, pools.plan(part, facts)),
        "",
        "# 2. Users, each with as much as its services need",
        *_users(part, auth.plan(part, facts)),
        "",
        *_minimum(part),
        "# 4. To hand over: the monitors and fsid; a keyring for each user, by a way that is safe",
        advice.shown(typed("ceph", "config", "generate-minimal-conf")),
        *(advice.shown(typed("ceph", "auth", "get", f"client.{n}")) for n in part.used_clients()),
    ]


def _empty(part: Site) -> dict[str, Json]:
    """The answers of a cluster that has nothing yet."""
    version = f"ceph version {ceph.named(part.table.release)}.2.0 (x) name (stable)"
    tables = part.pools.values()
    rules = [table.crush_rule for table in tables if table.crush_rule]
    answers: dict[str, Json] = {
        "ceph.health": {"checks": {}},
        "ceph.monmap": {
            "fsid": part.fsid or _NOBODYS,
            "mons": [{"rank": 0, "addr": "192.0.2.1:1"}],
        },
        "ceph.version": {"version": version},
        "ceph.versions": {"mon": {version: 1}},
        "ceph.pools": [],
        "ceph.users": {"auth_dump": []},
        "ceph.rules": [{"rule_id": 0, "rule_name": name, "steps": []} for name in rules],
        "ceph.classes": sorted({table.device_class for table in tables if table.device_class}),
    }
    return {name: {"code": 0, "out": json.dumps(said)} for name, said in answers.items()}


def _told(part: Site, changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        yield f"# {change.thing}: {change.sentence}"
        yield _plain(part, change)


def _plain(part: Site, change: Change) -> str:
    """A change's command as the other team types it."""
    argv = list(change.args["argv"])
    for begin, program in ((cluster.ceph(part), "ceph"), (part.cluster.rbd(), "rbd")):
        if argv[: len(begin)] == begin:
            command = typed(program, *argv[len(begin) :])
            return advice.shown(command.having_seen("room", "healthy"))  # the pool is new
    return advice.shown(typed(*argv))


def _users(part: Site, changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        mine = [use for use in part.uses() if use.client == change.subject]
        for who, keeps, pool in dict.fromkeys((u.service.name, u.keyring, u.pool) for u in mine):
            does = "keeps its images in" if keeps else "attaches what is in"
            yield f"# client.{change.subject}: {who} {does} pool {pool}"
        if any(_clones(use.service) for use in mine):
            yield f"# client.{change.subject}: volumes are clones of images, which it only reads"
        yield _plain(part, change)


def _clones(service: services.Service) -> bool:
    return service == services.CINDER_VOLUME


def _minimum(part: Site) -> Iterator[str]:
    if part.clone_v2 is False:
        return
    yield "# 3. Clients of Mimic or later: clones are of v2 then: snapshots with one can go."
    yield "# Ceph refuses it while an older client is connected; ceph features says which one is."
    yield "ceph osd set-require-min-compat-client mimic"
    yield ""
