"""The order in which a site is worked on: each phase is done before the next begins."""

from __future__ import annotations

from enum import IntEnum


class Phase(IntEnum):
    """A number too: hosts record it with each step, and an undo goes backwards."""

    CLUSTER = 0
    CONTROL = 1
    COMPUTE = 2
    API = 3


LAST = Phase.API
