"""services.*: restarts, only where something changed."""

from typing import Any

from fabfile.command import command


@command
def restart(all_: bool = False) -> list[Any]:
    """Restart what a change made necessary, and watch that it stands."""
    from fabfile.resources import restarts  # noqa: PLC0415

    return [restarts.All() if all_ else restarts]
