"""ceph.*: pools, users and keyrings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fabfile.command import command

if TYPE_CHECKING:
    from invoke import Context

    from fabfile.flow.session import Options
    from fabfile.resources.resource import Resource


@command
def pools() -> list[Resource]:
    """Create the pools and initialise them for RBD."""
    from fabfile.resources import pools as resource  # noqa: PLC0415 (start-up time)

    return [resource.RESOURCE]


@command
def auth() -> list[Resource]:
    """Create the cephx users; widen the caps of existing ones."""
    from fabfile.resources import auth as resource  # noqa: PLC0415 (start-up time)

    return [resource.RESOURCE]


@command
def clones() -> list[Resource]:
    """Have RBD make clones of v2, so that snapshots with clones can be deleted; restart Cinder."""
    from fabfile.resources import clone_format, restarts  # noqa: PLC0415 (start-up time)

    return [clone_format.RESOURCE, restarts.after_clones, clone_format.RESTARTED]


@command
def keyrings() -> list[Resource]:
    """Put each keyring on the hosts that need it, for its service alone."""
    from fabfile.resources import client_limits  # noqa: PLC0415 (start-up time)
    from fabfile.resources import keyrings as resource  # noqa: PLC0415 (start-up time)

    return [resource.RESOURCE, client_limits.RESOURCE]


@command(flags=("site", "json"))
def request(context: Context, options: Options) -> int:
    """Print what another team is asked to make on its cluster (access = "supplied")."""
    from fabfile.flow import request as asking  # noqa: PLC0415 (start-up time)

    return asking.show(options)


@command(
    flags=("site", "limit", "check", "diff", "yes", "json", "refresh", "hard_reboot"),
    texts={
        "refresh": "make the attachments of stopped instances again (Nova 24, Xena, or later)",
        "hard_reboot": "an instance (its id) that is stopped, refreshed and started; repeatable",
    },
    iterable=["hard_reboot"],
)
def mons(
    context: Context,
    options: Options,
    refresh: bool = False,
    hard_reboot: Sequence[str] | None = None,
) -> int:
    """After monitors were moved: ceph.conf everywhere, and what attachments and guests need."""
    from fabfile.flow import move_monitors  # noqa: PLC0415 (start-up time)

    return move_monitors.follow(context, options, refresh, tuple(hard_reboot or ()))


@command(
    flags=("site", "check", "diff", "yes", "json"),
    texts={
        "move": "bring guests over: migrate (live), or reboot (stop, attach anew, start)",
        "instance": "an instance (its id) that is moved, and no other; repeatable",
        "to": "refuse to go on where the new keys are not of that kind: aes256k",
    },
    iterable=["instance"],
)
def rotate(
    context: Context,
    options: Options,
    move: str = "",
    instance: Sequence[str] | None = None,
    to: str = "",
) -> int:
    """A new key without a pause: the next stage of clients that replace others."""
    from fabfile.flow import rotate as rotating  # noqa: PLC0415 (start-up time)

    return rotating.rotate(context, options, move, tuple(instance or ()), to)
