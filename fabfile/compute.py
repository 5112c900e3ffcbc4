"""compute.*: libvirt's secret and Nova's options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fabfile.command import command

if TYPE_CHECKING:
    from fabfile.resources.resource import Resource


@command
def secret() -> list[Resource]:
    """Give every compute's libvirt the same secret UUID and the cluster's key."""
    from fabfile.resources import client_limits, libvirt_secret  # noqa: PLC0415 (start-up time)

    return [libvirt_secret.RESOURCE, client_limits.RESOURCE]


@command
def nova() -> list[Resource]:
    """Name the RBD user and the secret to Nova; ephemeral disks by choice."""
    from fabfile.resources import service_config  # noqa: PLC0415 (start-up time)

    return [service_config.nova]
