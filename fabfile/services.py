"""services.*: restarts, only where something changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fabfile.command import command

if TYPE_CHECKING:
    from fabfile.resources.resource import Resource


@command(texts={"all": "all units of the site's roles, changed or not"})
def restart(all_: bool = False) -> list[Resource]:
    """Do the pending restarts, and watch that the services stay up."""
    from fabfile.resources import restarts  # noqa: PLC0415 (start-up time)

    return [restarts.every if all_ else restarts.RESOURCE]
