"""Where bench keeps things: a cache that stays, and a folder that is gone with the run."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).parent
CACHE = Path(os.environ.get("STACKRBD_CACHE", "/var/cache/stackrbd")) / "bench"
DEBS, KEYS, PEERS = CACHE / "debs", CACHE / "keys", CACHE / "peers"
RUN = CACHE / "run"
"""Within a run, a file system in memory that nobody else sees."""
