"""What the cloud offers to who makes a guest: its flavors and images.

Knows the APIs' own fields; which of them is chosen is not known here.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from fabfile.cloud.connection import Cloud, failures, reading
from fabfile.cloud.user import in_files
from fabfile.cloud.volume_types import refuse_other, vars_of
from fabfile.core.contract import Json
from fabfile.core.shapes import LINE, Shape

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 1000
"""Flavors and images that are looked at."""
_SHAPE: Shape = {
    "flavors": [{"name": LINE, "ram": int, "disk": int}],
    # Of an image Glance wants neither a name nor a format.
    "images": [
        {"name": (None, LINE), "status": LINE, "disk_format": (None, LINE), "in_files": bool}
    ],
}


def read(connection: Cloud) -> dict[str, Json]:
    """{'flavors': [{'name', 'ram' (MiB), 'disk' (GiB)}], 'images': [{'name', 'status',
    'disk_format', 'in_files'}]}, as the account sees them.  Raises Failed.
    """
    with reading("the cloud's flavors and images", "nova-api and glance-api are up"):
        flavors = list(islice(connection.compute.flavors(), MOST))
        images = list(islice(connection.image.images(), MOST))
    found: dict[str, Json] = {
        "flavors": [vars_of(one, "name", "ram", "disk") for one in flavors],
        "images": [
            {**vars_of(one, "name", "status", "disk_format"), "in_files": in_files(one)}
            for one in images
        ],
    }
    leads = "addresses lead to nova-api and glance-api themselves"
    refuse_other(found, _SHAPE, "the cloud's flavors and images", leads)
    return found


def lacking(connection: Cloud, flavor: str, image: str | None) -> dict[str, str]:
    """{'flavor' or 'image': what is wrong with the one of that name or id}; {} where all is right.

    An API that does not answer lacks nothing: who makes the guest waits for it, and says so.
    """
    found = {"flavor": _fault(lambda: connection.compute.find_flavor(flavor, ignore_missing=True))}
    if image is not None:
        found["image"] = _fault(
            lambda: connection.image.find_image(image, ignore_missing=True), status="active"
        )
    return {kind: fault for kind, fault in found.items() if fault}


def _fault(find: Callable[[], object], status: str = "") -> str:
    from openstack.exceptions import DuplicateResource  # noqa: PLC0415 (slow to load)

    try:
        found = find()
    except DuplicateResource:
        return "several have that name: give the id of one"
    except failures():
        return ""
    if found is None:
        return "there is none of that name"
    now = getattr(found, "status", None)
    return f"it is {str(now)[:40]!r}, not active" if status and now != status else ""
