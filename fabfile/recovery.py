"""backup.*, reconcile and recover: the databases beside the pools, kept and brought back."""

from typing import Any

from invoke import task

from fabfile.command import HELP, guarded, refuse_dry


@task(
    help={
        **{name: HELP[name] for name in ("site", "json")},
        "details": "ask every image for its size, snapshots and watchers (minutes for thousands)",
    }
)
def reconcile(context: Any, site: str = "", json: bool = False, details: bool = False) -> None:
    """Compare the databases' rows with what the pools hold, both ways; change nothing."""
    from fabfile.flow import reconciling  # noqa: PLC0415

    refuse_dry(context)
    guarded(lambda: reconciling.show(context, {"site": site, "json": json}, details))
