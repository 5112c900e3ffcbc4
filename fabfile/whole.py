"""The top-level tasks: integrate, verify and init."""

from typing import Any

from invoke import task

from fabfile.command import HELP, command, guarded, refuse_dry


@command
def integrate() -> list[Any]:
    """Put this site's OpenStack onto its Ceph: all steps, as one plan."""
    from fabfile.flow import chain  # noqa: PLC0415

    return chain.stages()


@task(help={"site": HELP["site"], "limit": "computes to prove it on", "json": HELP["json"]})
def verify(context: Any, site: str = "", limit: str = "", json: bool = False) -> None:
    """Prove it: an image, a volume, a clone, a guest that writes; all removed again."""
    from fabfile.flow import proving  # noqa: PLC0415

    refuse_dry(context)
    guarded(lambda: proving.prove(context, site, limit, json))


@task(help={"out": "where to write it (never over an existing file)"})
def init(context: Any, out: str = "mysite.toml") -> None:
    """Write a commented start of a site file of your own."""
    from fabfile.core import site_file  # noqa: PLC0415

    refuse_dry(context)
    guarded(lambda: site_file.start(out))
