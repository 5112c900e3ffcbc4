"""ceph.*: pools, users and keyrings."""

from typing import Any

from fabfile.command import command


@command
def pools() -> list[Any]:
    """Create the pools and initialise them for RBD."""
    from fabfile.resources import pools as resource  # noqa: PLC0415

    return [resource]


@command
def auth() -> list[Any]:
    """Create the cephx users; widen the caps of existing ones."""
    from fabfile.resources import auth as resource  # noqa: PLC0415

    return [resource]


@command
def keyrings() -> list[Any]:
    """Put each keyring on the hosts that need it, for its service alone."""
    from fabfile.resources import keyrings as resource  # noqa: PLC0415

    return [resource]
