"""Findings about pools whose volumes are mirrored into another cluster, on both sides."""

from __future__ import annotations

from collections.abc import Iterator

from fabfile.doctor.finding import ERROR, WARNING, Finding, root, words
from fabfile.doctor.observation import Looked
from fabfile.model.site import Site
from fabfile.resources import mirroring


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """Of one cluster.  What keeps copies from being made is an error; the way back can wait."""
    for fault in mirroring.faults(site, looked.facts):
        wrong = fault.pool.copies or fault.what == "off"
        yield Finding(
            ERROR if wrong and fault.what != "images" else WARNING,
            f"mirror.{fault.what}",
            (site.admin.name,),
            f"pool {fault.pool.pool} of {site.label}",
            fault.found,
            fault.expected,
            fault.why,
            (root(fault.command) if fault.command else words(fault.advice),),
        )
