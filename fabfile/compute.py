"""compute.*: libvirt's secret and Nova's options."""

from typing import Any

from fabfile.command import command


@command
def secret() -> list[Any]:
    """Give every compute's libvirt the same secret UUID and the cluster's key."""
    from fabfile.resources import libvirt_secret  # noqa: PLC0415 (start-up time)

    return [libvirt_secret]


@command
def nova() -> list[Any]:
    """Name the RBD user and the secret to Nova; ephemeral disks by choice."""
    from fabfile.resources import service_config  # noqa: PLC0415 (start-up time)

    return [service_config.nova]
