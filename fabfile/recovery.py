"""backup.*, reconcile and recover: the databases beside the pools, kept and brought back."""

from typing import Any

from invoke import task

from fabfile.command import HELP, command, guarded, refuse_dry


@task(
    help={
        **{name: HELP[name] for name in ("site", "json")},
        "details": "ask every image for its size, snapshots and watchers (minutes for thousands)",
    }
)
def reconcile(context: Any, site: str = "", json: bool = False, details: bool = False) -> None:
    """Compare the databases' rows with what the pools hold, both ways; change nothing."""
    from fabfile.flow.inspect import reconcile as comparison  # noqa: PLC0415

    refuse_dry(context)
    guarded(lambda: comparison.show(context, {"site": site, "json": json}, details))


_LOOK = {name: HELP[name] for name in ("site", "json")}
_RECORD = {"record": "its name in inv backup.list (else the last one)"}
_CLOUD = {"cloud": "the cloud's name, in place of typing it"}


@command
def tools() -> list[Any]:
    """Install what makes backups (age, zstd) on the hosts that are backed up."""
    from fabfile.backup import contents  # noqa: PLC0415

    return [contents.tools]


@task(
    help={
        "out": "the new file, for its owner alone (else backup.identity of the site file)",
        "site": HELP["site"],
    }
)
def key(context: Any, out: str = "", site: str = "") -> None:
    """Make the key that opens backups, and print the recipient that they are sealed for."""
    from fabfile.flow.backup import key as backup_key  # noqa: PLC0415

    refuse_dry(context)
    guarded(lambda: backup_key.make(out, site))


@task(help=_LOOK)
def create(context: Any, site: str = "", json: bool = False) -> None:
    """Back up databases, keys, files and the Ceph side, sealed before they leave their host."""
    from fabfile.flow.backup import create as backup_create  # noqa: PLC0415

    refuse_dry(context)
    guarded(lambda: backup_create.create(context, {"site": site, "json": json}))


@task(name="list", help=_LOOK)
def list_(context: Any, site: str = "", json: bool = False) -> None:
    """List the backups that are kept here, and when each was last verified."""
    from fabfile.flow.backup import create as backup_create  # noqa: PLC0415
    from fabfile.flow.backup import key as backup_key  # noqa: PLC0415

    guarded(lambda: backup_create.show(backup_key.site_of(site), json))


@task(help={**_LOOK, **_RECORD})
def verify(context: Any, record: str = "", site: str = "", json: bool = False) -> None:
    """Restore a backup into a throwaway server on its host, and compare table by table."""
    from fabfile.flow.backup import create as backup_create  # noqa: PLC0415

    refuse_dry(context)
    guarded(lambda: backup_create.verify(context, {"site": site, "json": json}, record))


@task(help={**_LOOK, **_RECORD, **_CLOUD, "check": HELP["check"]})
def restore(  # noqa: PLR0913, PLR0917 (flags)
    context: Any,
    record: str = "",
    cloud: str = "",
    site: str = "",
    check: bool = False,
    json: bool = False,
) -> None:
    """Put a backup in the place of the live databases and files; what is live is kept."""
    from fabfile.flow.backup import restore as backup_restore  # noqa: PLC0415

    refuse_dry(context)
    flags = {"site": site, "check": check, "json": json}
    guarded(lambda: backup_restore.restore(context, flags, record, cloud))


@task(help={**_LOOK, "yes": HELP["yes"], "check": HELP["check"]})
def settle(
    context: Any, site: str = "", check: bool = False, yes: bool = False, json: bool = False
) -> None:
    """Delete, for good, the databases that earlier restores kept."""
    from fabfile.flow.backup import restore as backup_restore  # noqa: PLC0415

    refuse_dry(context)
    flags = {"site": site, "check": check, "yes": yes, "json": json}
    guarded(lambda: backup_restore.settle(context, flags))


@task(help={**_LOOK, **_RECORD, **_CLOUD, "check": HELP["check"]})
def recover(  # noqa: PLR0913, PLR0917 (flags)
    context: Any,
    record: str = "",
    cloud: str = "",
    site: str = "",
    check: bool = False,
    json: bool = False,
) -> None:
    """Bring back a lost controller: restore onto a bare host, integrate, reconcile, verify."""
    from fabfile.flow.backup import restore as backup_restore  # noqa: PLC0415

    refuse_dry(context)
    flags = {"site": site, "check": check, "json": json}
    guarded(lambda: backup_restore.recover(context, flags, record, cloud))
