"""Findings about clones: their format, and where volumes of no type go.

What may be required of clients is the resource's to say.
"""

from __future__ import annotations

from collections.abc import Iterator

from fabfile.doctor.finding import NOTE, Finding, words
from fabfile.doctor.observation import Looked
from fabfile.model.site import Site
from fabfile.resources import clone_format


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them."""
    yield from _format(site, looked)


def _format(site: Site, looked: Looked) -> Iterator[Finding]:
    """Why clones are of v1, where the site file leaves it open; see the resource's plan."""
    asked = {clone_format.REQUIRED, clone_format.FEATURES, "ceph.versions"}
    if not asked <= set(looked.facts.hosts.get(site.admin.name, {})):
        return
    found = clone_format.undecided(site, looked.facts)
    if found:
        yield Finding(
            NOTE,
            "ceph.clones.v1",
            (site.admin.name,),
            "clones of RBD",
            "; ".join(found),
            "that all who use the cluster read clones of v2",
            clone_format.V1,
            (words("upgrade these, and integrate plans it; or say clone_v2 = false"),),
        )
