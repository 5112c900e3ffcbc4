"""What is fuzzed: one row for each kind of thing that comes from outside, a file for each room.

A target feeds one damaged input to whatever reads it, and then to everything pure that stands
on what was read.  It says every text that would reach a terminal or a page.
"""

from . import agent, backup, hosts, kept, messages, written
from .case import Case, Target

TARGETS = {
    name: target
    for room in (hosts, messages, kept, backup, written, agent)
    for name, target in room.TARGETS.items()
}

__all__ = ["TARGETS", "Case", "Target"]
