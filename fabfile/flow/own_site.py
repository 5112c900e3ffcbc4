"""The operator's own site file, read and checked."""

from __future__ import annotations

from pathlib import Path

from fabfile.core import site_file
from fabfile.model import site as sites
from fabfile.model.site import Site


def checked(path: Path) -> Site:
    """The site that a file describes.  Raises BadInput, with all of its faults."""
    raw = site_file.load_own(path)
    return sites.check(raw, str(path), site_file.platforms(), site_file.deployers())


def named(option: str) -> Site:
    """As checked(), of the file that --site names, or of the one that is taken without it."""
    return checked(site_file.locate(option))
