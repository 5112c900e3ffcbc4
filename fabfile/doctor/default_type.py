"""Findings about volumes of no type: which backend they go to.

Knows default_volume_type and the types' extra specs; whether the site's own type is bound is the
resource's to plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fabfile.core.contract import CLOUD, Json
from fabfile.doctor.finding import NOTE, RESTART_ALL, Finding, Step, words
from fabfile.doctor.observation import Looked
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import in_force, volume_storage
from fabfile.resources.service_config import UNNAMED


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """One where the site has a type of its own, and others may go to another backend."""
    types = looked.seen(CLOUD, "volume_types") or {}
    asked = site.cinder.default_volume_type
    ours = [one.volume_type for one in site.cinder.all if one.volume_type in types]
    if asked or not ours:
        return  # what is asked for is the resource's to plan
    wanted = str(ours[0])
    for host in site.with_role(CINDER_VOLUME.role):
        seen = looked.facts.hosts.get(host.name, {})
        if not in_force.is_read(seen, CINDER_VOLUME.key):
            continue
        options = in_force.options(seen, CINDER_VOLUME.key)
        if len(set(volume_storage.enabled(options))) < 2:
            continue  # where there is one backend, there is nowhere else to go
        name = options.get(("DEFAULT", "default_volume_type"), "")
        found = _goes_to(name, types, ours)
        if found:
            yield Finding(
                NOTE,
                "volume.default",
                (host.name,),
                "volumes of no type",
                found,
                f"default_volume_type = {wanted}",
                "who names no type when making a volume leaves it to this option; integrating "
                "does not alter it, as it is for all who use the cloud",
                (_mend(wanted), RESTART_ALL),
            )


def _goes_to(name: str, types: Json, wanted: Sequence[str | None]) -> str:
    """Where such volumes go; '' where that is a backend of the site's."""
    key = "volume_backend_name"
    ours = {types[one].get(key) for one in wanted}
    bound = types.get(name or UNNAMED, {}).get(key)
    set_to = f"default_volume_type = {name}" if name else "no default_volume_type"
    if name in wanted or (bound and bound in ours):
        return ""
    if name and name not in types:
        return f"{set_to}, and there is no such type: a volume of no type is refused"
    if bound:
        return f"{set_to}: they go to backend {bound}"
    return f"{set_to}: they go to any backend, as the scheduler likes"


def _mend(wanted: str) -> Step:
    return words(
        f"if they are to be on RBD: default_volume_type = {wanted} in [DEFAULT] of cinder.conf, on "
        "the hosts of cinder-api and cinder-volume"
    )
