"""Where the lab keeps things: the cache (survives `down`) and the running state.

A lab beside another one has a name (`lab.beside`), and with it a state, a lock, control groups,
links and builds of its own. The cache is shared: what is in it is named by what it was made of.
"""

import os
from pathlib import Path

CACHE = Path(os.environ.get("STACKRBD_CACHE", "/var/cache/stackrbd")) / "lab"
NAME = os.environ.get("STACKRBD_LAB_NAME", "")
# Of links, machines and groups as well.
SUFFIX = f"-{NAME}" if NAME else ""
LAB = f"stackrbd-lab{SUFFIX}"
STATE = Path("/var/lib") / LAB
LOCK = Path("/run") / f"{LAB}.lock"

IMAGES = CACHE / "images"
CLOUDS = CACHE / "clouds"
DOWNLOADS = CACHE / "debs"
REPOSITORY = CACHE / "repository"
ACCESS = CACHE / "access"
PRISTINE = CACHE / "pristine"
LOGS = CACHE / "logs"
# On the cache's file system, so that what is done can be renamed to its place.
BUILDS = CACHE / f"builds{SUFFIX}"

HOSTS = STATE / "hosts"


def others() -> list[Path]:
    """The states of the labs that are not this one."""
    return [place for place in STATE.parent.glob("stackrbd-lab*") if place != STATE]
