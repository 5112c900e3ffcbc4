"""The guest that proves a cloud: which of its flavors and images are proposed, in which order."""

from __future__ import annotations

from collections import Counter

from fabfile.adopt.forms import fits
from fabfile.core.contract import Json
from fabfile.model import site_tables


def flavors(offered: Json) -> list[str]:
    """Their names, the smallest first: by memory, then disk, then name."""
    known = sorted((one["ram"], one["disk"], one["name"]) for one in offered["flavors"])
    return _names([name for _, _, name in known])


def images(offered: Json) -> list[str]:
    """The names of those that are active; raw ones first, as only of these a volume is a clone.

    A name that several have names none.  One of which Glance says that it is in files proves
    nothing of RBD.
    """
    times = Counter(one["name"] for one in offered["images"])
    known = sorted(
        (one["disk_format"] != "raw", one["name"])
        for one in offered["images"]
        if one["status"] == "active" and one["name"] and times[one["name"]] == 1
        if not one["in_files"]
    )
    return _names([name for _, name in known])


def _names(found: list[str]) -> list[str]:
    return [name for name in found if name and fits(site_tables.PlainText, name)]
