"""doctor, status and report: what is wrong, what there is, what was done; all look only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fabfile.command import command

if TYPE_CHECKING:
    from invoke import Context

    from fabfile.flow.session import Options

_LIMIT = {"limit": "hosts to look at"}


@command(flags=("site", "limit", "json"), texts=_LIMIT)
def doctor(context: Context, options: Options) -> int:
    """Say what is wrong, why, and which command mends it; writes nothing on any host."""
    from fabfile.flow.inspect import survey  # noqa: PLC0415 (start-up time)

    return survey.doctor(context, options)


@command(flags=("site", "limit", "json"), texts=_LIMIT)
def status(context: Context, options: Options) -> int:
    """Show the site: roles, versions, pools, drift, the last run, who holds which secret."""
    from fabfile.flow.inspect import survey  # noqa: PLC0415 (start-up time)

    return survey.status(context, options)


@command(flags=("site", "json"), local=True)
def now(context: Context, options: Options) -> int:
    """Say what to do now, as far as is known here; reaches no host."""
    from fabfile.flow.inspect import now as knowing  # noqa: PLC0415 (start-up time)

    return knowing.show(options)


@command(flags=("site", "json"), local=True)
def config(context: Context, options: Options) -> int:
    """Show every value that counts and where it is said; reaches no host."""
    from fabfile.flow.inspect import effective  # noqa: PLC0415 (start-up time)

    return effective.show(options)


@command(
    flags=("site", "limit", "out", "prom", "json"),
    texts={
        **_LIMIT,
        "out": "the folder for report.html, report.json and junit.xml",
        "prom": "write metrics for the node exporter into this file (name.prom)",
    },
)
def report(context: Context, options: Options, out: str = "", prom: str = "") -> int:
    """Write the site's state and its runs as one page, with JSON and JUnit; or as metrics."""
    from fabfile.flow.inspect import reporting  # noqa: PLC0415 (start-up time)

    return reporting.report(context, options, out, prom)
