"""controller.*: Glance and Cinder on RBD, beside what is there."""

from typing import Any

from fabfile.command import command


@command
def glance() -> list[Any]:
    """Add the RBD store to Glance; old images stay readable."""
    from fabfile.resources import settings  # noqa: PLC0415

    return [settings.glance]


@command
def cinder() -> list[Any]:
    """Add the RBD backend to Cinder, and a volume type bound to it."""
    from fabfile.resources import backends, restarts, settings  # noqa: PLC0415

    return [settings.cinder, backends, restarts.after_moves, settings.volume_type]
