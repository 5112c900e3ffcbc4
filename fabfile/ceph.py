"""ceph.*: pools, users and keyrings."""

from typing import Any

from invoke import task

from fabfile.command import HELP, command, guarded, refuse_dry


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


@task(
    iterable=["hard_reboot"],
    help={
        **{name: HELP[name] for name in ("site", "limit", "check", "diff", "yes", "json")},
        "refresh": "make the attachments of stopped instances anew (Nova 24, Xena, or later)",
        "hard_reboot": "an instance (its id) that is stopped, refreshed and started; repeatable",
    },
)
def mons(  # noqa: PLR0913, PLR0917 (flags)
    context: Any,
    site: str = "",
    limit: str = "",
    check: bool = False,
    diff: bool = False,
    yes: bool = False,
    json: bool = False,
    refresh: bool = False,
    hard_reboot: Any = None,
) -> None:
    """After monitors were moved: ceph.conf everywhere, and what attachments and guests need."""
    from fabfile.flow import move_monitors  # noqa: PLC0415

    refuse_dry(context)
    flags = {"site": site, "limit": limit, "check": check, "diff": diff, "yes": yes, "json": json}
    guarded(lambda: move_monitors.follow(context, flags, refresh, tuple(hard_reboot or ())))
