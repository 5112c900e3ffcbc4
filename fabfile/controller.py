"""controller.*: Glance and Cinder on RBD, beside what is there."""

from typing import Any

from fabfile.command import command


@command
def glance() -> list[Any]:
    """Add the RBD store to Glance; old images stay readable."""
    from fabfile.resources import service_config  # noqa: PLC0415 (start-up time)

    return [service_config.glance]


@command
def cinder() -> list[Any]:
    """Add the RBD backend to Cinder, and a volume type bound to it."""
    from fabfile.resources import restarts, service_config, volume_hosts  # noqa: PLC0415 (start-up time)

    return [service_config.cinder, volume_hosts, restarts.after_moves, service_config.volume_type]
