"""Where the lab keeps things: the cache (survives `down`) and the running state."""

import os
from pathlib import Path

CACHE = Path(os.environ.get("STACKRBD_CACHE", "/var/cache/stackrbd")) / "lab"
STATE = Path("/var/lib/stackrbd-lab")

IMAGES = CACHE / "images"
CLOUDS = CACHE / "clouds"
DOWNLOADS = CACHE / "debs"
REPOSITORY = CACHE / "repository"
ACCESS = CACHE / "access"
PRISTINE = CACHE / "pristine"
LOGS = CACHE / "logs"
# On the cache's file system, so that what is done can be renamed to its place.
BUILDS = CACHE / "builds"

HOSTS = STATE / "hosts"
