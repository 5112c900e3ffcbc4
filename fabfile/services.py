"""services.*: restarts, only where something changed."""

from typing import Any

from fabfile.command import command


@command(texts={"all": "all units of the site's roles, changed or not"})
def restart(all_: bool = False) -> list[Any]:
    """Do the pending restarts, and watch that the services stay up."""
    from fabfile.resources import restarts  # noqa: PLC0415 (start-up time)

    return [restarts.All() if all_ else restarts]
