"""services.*: restarts, only where something changed."""

from typing import Any

from fabfile.command import command


@command
def restart(all_: bool = False) -> list[Any]:
    """Do the pending restarts, and watch that the services stay up."""
    from fabfile.resources import restarts  # noqa: PLC0415

    return [restarts.All() if all_ else restarts]
