"""backup.*, reconcile and recover: the databases beside the pools, kept and brought back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fabfile.command import command
from fabfile.core.contract import INV

if TYPE_CHECKING:
    from invoke import Context

    from fabfile.flow.session import Options
    from fabfile.resources.resource import Resource

_BACKUP = {"backup": f"its name in {INV} backup.list (default: the last one)"}
_OLDER = {"record": "backup"}
"""What --backup was called before a record was a run's alone."""
_FORGED = {
    "even_if_forged": "take a backup that nobody signed: whoever could write where it lay may "
    "have made it, with databases, users and files of their choice"
}
_CLOUD = {"cloud": "the cloud's name, in place of typing it"}


@command(
    flags=("site", "json", "details"),
    texts={
        "details": "ask every image for its size, snapshots and watchers (minutes for thousands)"
    },
)
def reconcile(context: Context, options: Options, details: bool = False) -> int:
    """Compare the databases' rows with what the pools hold, both ways; change nothing."""
    from fabfile.flow.inspect import reconcile as comparison  # noqa: PLC0415 (start-up time)

    return comparison.show(context, options, details)


@command
def tools() -> list[Resource]:
    """Install what makes backups (age, zstd) on the hosts that are backed up."""
    from fabfile.resources import backup_tools  # noqa: PLC0415 (start-up time)

    return [backup_tools.RESOURCE]


@command(
    flags=("site",),
    texts={
        "out": "the new file of the key that opens, for its owner alone; beside it, as FILE.sign, "
        "the one that signs (default: backup.identity, backup.signing_key of the site file)"
    },
)
def key(context: Context, options: Options, out: str = "") -> int:
    """Make the keys that open and sign backups, and print what the site file needs of them."""
    from fabfile.flow.backup import key as backup_key  # noqa: PLC0415 (start-up time)

    return backup_key.make(out, options.site)


@command(flags=("site", "json"))
def create(context: Context, options: Options) -> int:
    """Back up databases, keys, files and the Ceph side, sealed before they leave their host."""
    from fabfile.flow.backup import create as backup_create  # noqa: PLC0415 (start-up time)

    return backup_create.create(context, options)


@command(flags=("site", "json"), name="list", local=True)
def list_(context: Context, options: Options) -> int:
    """List the backups that are kept here, and when each was last verified."""
    from fabfile.flow import own_site  # noqa: PLC0415 (start-up time)
    from fabfile.flow.backup import create as backup_create  # noqa: PLC0415 (start-up time)

    return backup_create.show(own_site.named(options.site), options.json)


@command(flags=("site", "json"), texts={**_BACKUP, **_FORGED}, older=_OLDER)
def verify(
    context: Context, options: Options, backup: str = "", even_if_forged: bool = False
) -> int:
    """Restore a backup into a throwaway server on its host, and compare table by table."""
    from fabfile.flow.backup import create as backup_create  # noqa: PLC0415 (start-up time)

    return backup_create.verify(context, options, backup, even_if_forged)


@command(flags=("site", "check", "json"), texts={**_BACKUP, **_CLOUD, **_FORGED}, older=_OLDER)
def restore(
    context: Context,
    options: Options,
    backup: str = "",
    cloud: str = "",
    even_if_forged: bool = False,
) -> int:
    """Put a backup in the place of the live databases and files; what is live is kept."""
    from fabfile.flow.backup import restore as backup_restore  # noqa: PLC0415 (start-up time)

    return backup_restore.restore(context, options, backup, cloud, even_if_forged)


@command(flags=("site", "check", "yes", "json"))
def settle(context: Context, options: Options) -> int:
    """Delete, for good, the databases that earlier restores kept."""
    from fabfile.flow.backup import restore as backup_restore  # noqa: PLC0415 (start-up time)

    return backup_restore.settle(context, options)


@command(flags=("site", "check", "json"), texts={**_BACKUP, **_CLOUD, **_FORGED}, older=_OLDER)
def recover(
    context: Context,
    options: Options,
    backup: str = "",
    cloud: str = "",
    even_if_forged: bool = False,
) -> int:
    """Bring back a lost controller: restore onto a bare host, integrate, reconcile, verify."""
    from fabfile.flow.backup import restore as backup_restore  # noqa: PLC0415 (start-up time)

    return backup_restore.recover(context, options, backup, cloud, even_if_forged)
