"""All that is found of a site: what the resources plan, and what they do not know of."""

from __future__ import annotations

from dataclasses import replace

from fabfile.core.contract import Stop
from fabfile.doctor import (
    backends,
    backups,
    ceph,
    client_side,
    clones,
    confinement,
    default_type,
    files,
    hosts,
    hygiene,
    left_behind,
    mirroring,
    observation,
    options,
    parts,
    pending_plan,
    reachability,
    rotation,
    services,
    upgrades,
    versions,
    volume_backups,
)
from fabfile.doctor.finding import ERROR, Finding, Step, folded, words
from fabfile.doctor.observation import Looked
from fabfile.model.site import Site
from fabfile.resources import chain

STAGES = (*chain.RESOURCES, observation.RESOURCE)
"""All that asks: the resources, and a doctor's own further questions."""
ROOMS = (hosts, confinement, options, backends, backups, default_type, left_behind)
OF_A_CLUSTER = (
    reachability,
    services,
    versions,
    upgrades,
    ceph,
    clones,
    mirroring,
    client_side,
    rotation,
    volume_backups,
    hygiene,
)
"""Rooms that look at one cluster and at the hosts that use it."""
OF_A_PLACE = (files,)
"""Rooms that look at a cluster's files where a host has them, be it in several places."""


def findings(site: Site, seen: Looked) -> tuple[list[Finding], pending_plan.Planned]:
    """(all findings, folded and the worst first; what integrate would do)."""
    plan = pending_plan.plan(site, seen)
    found = [_doubt(code, stop) for code, stop in seen.doubts]
    found += pending_plan.findings(site, seen, plan)
    for part in site.parts:
        looked = parts.looked_of(part, seen)
        for room in OF_A_CLUSTER:
            found += room.findings(part, looked)
        for place in part.places:
            for room in OF_A_PLACE:
                found += room.findings(place, parts.looked_at(place, looked))
    for room in ROOMS:
        found += room.findings(site, seen)
    return folded(_as_there(site, seen, one) for one in found), plan


def _as_there(site: Site, seen: Looked, finding: Finding) -> Finding:
    """The same, with commands for root's shell as they are begun on the host where it is."""

    def there(step: Step) -> Step:
        name = step.host or next(iter(finding.hosts), "")
        if step.kind != "root" or step.command is None or name not in site.hosts:
            return step
        begun = (seen.seen(name, "host") or {}).get("begun")
        platform = site.platform_of(site.host(name))
        return replace(step, command=platform.as_there(step.command, begun))

    return replace(finding, mend=tuple(map(there, finding.mend)))


def _doubt(code: str, stop: Stop) -> Finding:
    """What cannot be told of the site as a whole."""
    mend = (words(stop.advice),) if stop.advice else ()
    return Finding(ERROR, code, (), "the site", stop.summary, "", str(stop), mend)
