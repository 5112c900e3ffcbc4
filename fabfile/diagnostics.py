"""doctor, status and report: what is wrong, what there is, what was done; all look only."""

from typing import Any

from invoke import task

from fabfile.command import HELP, guarded, refuse_dry

_FLAGS = {name: HELP[name] for name in ("site", "json")} | {"limit": "hosts to look at"}


@task(help=_FLAGS)
def doctor(context: Any, site: str = "", limit: str = "", json: bool = False) -> None:
    """Say what is wrong, why, and which command mends it; writes nothing on any host."""
    from fabfile.flow.converge import Options  # noqa: PLC0415
    from fabfile.flow.inspect import survey  # noqa: PLC0415

    refuse_dry(context)
    guarded(lambda: survey.doctor(context, Options(site, limit, json=json)))


@task(help=_FLAGS)
def status(context: Any, site: str = "", limit: str = "", json: bool = False) -> None:
    """Show the site: roles, versions, pools, drift, the last run, who holds which secret."""
    from fabfile.flow.converge import Options  # noqa: PLC0415
    from fabfile.flow.inspect import survey  # noqa: PLC0415

    refuse_dry(context)
    guarded(lambda: survey.status(context, Options(site, limit, json=json)))


@task(
    help={
        **_FLAGS,
        "out": "the folder for report.html, report.json and junit.xml",
        "prom": "write metrics for the node exporter into this file (name.prom)",
    }
)
def report(  # noqa: PLR0913, PLR0917 (flags)
    context: Any,
    site: str = "",
    limit: str = "",
    out: str = "",
    prom: str = "",
    json: bool = False,
) -> None:
    """Write the site's state and its runs as one page, with JSON and JUnit; or as metrics."""
    from fabfile.flow.converge import Options  # noqa: PLC0415
    from fabfile.flow.inspect import reporting  # noqa: PLC0415

    refuse_dry(context)
    guarded(lambda: reporting.report(context, Options(site, limit, json=json), out, prom))
