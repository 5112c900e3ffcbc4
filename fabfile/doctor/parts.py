"""A site of several clusters, as each of them is looked at."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace

from fabfile.core.contract import CLOUD
from fabfile.doctor.observation import Looked
from fabfile.model.site import Site
from fabfile.resources import by_cluster, by_place, cluster, secret_uuid


def looked_of(part: Site, looked: Looked) -> Looked:
    """What was seen of one cluster and of the hosts that use it, under plain names."""
    if part.is_whole:
        return looked
    return replace(
        looked,
        facts=by_cluster.facts_of(part, looked.facts),
        unreachable={h: why for h, why in looked.unreachable.items() if h in part.hosts},
        errors={
            (host, name): why
            for (host, read), why in looked.errors.items()
            if host in part.hosts or host == CLOUD
            for name in by_cluster.untagged(part, {read: why})
        },
    )


def looked_at(place: Site, looked: Looked) -> Looked:
    """What was seen of a part, as one of its places has it."""
    if not place.is_place:
        return looked
    return replace(looked, facts=by_place.facts_of(place, looked.facts))


def live_monitors(part: Site, looked: Looked) -> frozenset[str]:
    """The addresses of a cluster's live monitors, as far as it has said them."""
    answer = looked_of(part, looked).seen(part.admin.name, "ceph.monmap")
    named = cluster.monitors(json.loads(answer["out"])) if answer else ()
    return cluster.addresses(" ".join(named))


def of_disk(
    site: Site, looked: Looked, user: str, monitors: Collection[str], uuid: str
) -> list[Site]:
    """The parts of which a guest's disk or an attachment may be.

    Two clusters may have a client of one name: its monitors tell them apart, else its secret.
    """
    found = [part for part in site.parts if user in part.clients]
    known = {address.strip("[]") for address in monitors}
    near = [part for part in found if known & live_monitors(part, looked)]
    named = [part for part in found if uuid and uuid == wanted_uuid(part, looked, user)]
    return near or named or found


def wanted_uuid(part: Site, looked: Looked, client: str) -> str:
    """The UUID of a client's secret; '' where it is in doubt."""
    name = by_cluster.tagged(part, secret_uuid.known_as(client))
    return looked.facts.known.get(name, "")
