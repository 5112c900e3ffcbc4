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


class Leaving(IntEnum):
    """The order in which something is taken out of a site: nothing new comes first, data last.

    Each stands on what the one before took away: a key is in no file any more when its user goes.
    """

    API = 0
    CONTROL = 1
    COMPUTE = 2
    ROWS = 3
    KEYS = 4
    USERS = 5
    POOLS = 6
