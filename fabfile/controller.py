"""controller.*: Glance and Cinder on RBD, beside what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fabfile.command import command

if TYPE_CHECKING:
    from fabfile.resources.resource import Resource


@command
def glance() -> list[Resource]:
    """Add the RBD store to Glance; old images stay readable."""
    from fabfile.resources import service_config  # noqa: PLC0415 (start-up time)

    return [service_config.glance]


@command
def cinder() -> list[Resource]:
    """Add the RBD backend to Cinder, and a volume type bound to it."""
    from fabfile.resources import (  # noqa: PLC0415 (start-up time)
        restarts,
        service_config,
        volume_hosts,
        volume_qos,
    )

    return [
        service_config.cinder,
        volume_hosts.RESOURCE,
        restarts.after_moves,
        service_config.volume_type,
        volume_qos.RESOURCE,
    ]
