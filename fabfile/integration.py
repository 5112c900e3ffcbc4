"""The top-level tasks: the whole chain, its plan, its proof and its way back."""

from typing import Any

from invoke import task

from fabfile.command import HELP, command, guarded, refuse_dry


@command
def integrate() -> list[Any]:
    """Put this site's OpenStack onto its Ceph: all steps, as one plan."""
    from fabfile.resources import chain  # noqa: PLC0415

    return chain.stages()


@task(
    help={
        **{name: HELP[name] for name in ("site", "limit", "json", "forks", "max_fail", "engine")},
        "out": "keep the plan in a new file, for inv apply",
    }
)
def plan(  # noqa: PLR0913, PLR0917 (flags)
    context: Any,
    site: str = "",
    limit: str = "",
    out: str = "",
    json: bool = False,
    forks: str = "",
    max_fail: str = "",
    engine: str = "",
) -> None:
    """Show all that integrate would do, with diffs; write nothing on any host."""
    refuse_dry(context)
    flags = {
        "site": site,
        "limit": limit,
        "json": json,
        "forks": forks,
        "max_fail": max_fail,
        "engine": engine,
    }
    guarded(lambda: _plan(context, out, flags))


def _plan(context: Any, out: str, flags: dict[str, Any]) -> int:
    from fabfile.flow import plan_file  # noqa: PLC0415
    from fabfile.flow.converge import Options, Run  # noqa: PLC0415
    from fabfile.resources import chain  # noqa: PLC0415

    with Run(context, Options(check=True, diff=True, **flags), "plan") as run:
        found = run.look(chain.stages())
        if out and found:
            plan_file.save(out, run, found)
        elif out:
            run.screen.say(f"{out}: not written: there is nothing to keep")
        run.report(found)
    return 0


@task(
    help={
        "file": "a plan by inv plan --out",
        **{name: HELP[name] for name in ("yes", "json", "forks", "serial", "engine", "canary")},
        "max_fail": f"{HELP['max_fail']} (else as for the plan)",
    }
)
def apply(  # noqa: PLR0913, PLR0917 (flags)
    context: Any,
    file: str,
    yes: bool = False,
    json: bool = False,
    forks: str = "",
    serial: str = "",
    max_fail: str = "",
    engine: str = "",
    canary: bool = False,
) -> None:
    """Do what a kept plan says and nothing else; refuse where anything changed since."""
    refuse_dry(context)
    flags = {
        "yes": yes,
        "json": json,
        "forks": forks,
        "serial": serial,
        "max_fail": max_fail,
        "engine": engine,
        "canary": canary,
    }
    guarded(lambda: _apply(context, file, flags))


def _apply(context: Any, file: str, flags: dict[str, Any]) -> int:
    from fabfile.flow import plan_file  # noqa: PLC0415
    from fabfile.flow.converge import Options, Run  # noqa: PLC0415
    from fabfile.resources import chain  # noqa: PLC0415

    kept = plan_file.load(file)
    flags["max_fail"] = flags["max_fail"] or kept["max_fail"]
    options = Options(plan_file.site_of(kept), kept["limit"], diff=True, **flags)
    with Run(context, options, "apply") as run:
        run.leave_out(plan_file.left_out(kept))
        return run.report(run.apply_kept(chain.stages(), kept["changes"]))


@task(
    help={
        **{
            name: HELP[name]
            for name in (
                "site",
                "limit",
                "check",
                "diff",
                "yes",
                "json",
                "forks",
                "serial",
                "engine",
            )
        },
        "run": "the run to take back (else this site's last; see inv history)",
    }
)
def undo(  # noqa: PLR0913, PLR0917 (flags)
    context: Any,
    run: str = "",
    site: str = "",
    limit: str = "",
    check: bool = False,
    diff: bool = False,
    yes: bool = False,
    json: bool = False,
    forks: str = "",
    serial: str = "",
    engine: str = "",
) -> None:
    """Take a run back: files, caps, secrets and services; never a pool, never data."""
    refuse_dry(context)
    flags = {
        "site": site,
        "limit": limit,
        "check": check,
        "diff": diff,
        "yes": yes,
        "json": json,
        "forks": forks,
        "serial": serial,
        "engine": engine,
    }
    guarded(lambda: _undo(context, run, flags))


def _undo(context: Any, run_id: str, flags: dict[str, Any]) -> int:
    from fabfile.flow import history as runs  # noqa: PLC0415
    from fabfile.flow.converge import Options, Run  # noqa: PLC0415

    # What the cluster holds is taken away last, from under whoever would be left behind.
    with Run(context, Options(**flags, max_fail="0"), "undo") as run:
        return run.report(run.converge([runs.undone(run_id, run.site, run.limited)]))


@task(help={"json": HELP["json"]})
def history(context: Any, json: bool = False) -> None:
    """List the runs recorded here: when, what, by whom, and how they ended."""
    from fabfile.flow import history as runs  # noqa: PLC0415

    guarded(lambda: runs.history(json))


@task(help={"run": "its name in inv history", "json": HELP["json"]})
def show(context: Any, run: str, json: bool = False) -> None:
    """Show one run: what was planned, what was done, how it ended."""
    from fabfile.flow import history as runs  # noqa: PLC0415

    guarded(lambda: runs.show(run, json))


@task(
    help={
        "site": HELP["site"],
        "limit": "computes to prove it on",
        "json": HELP["json"],
        "canary": "on every compute: boot from volume, attach, write, snapshot, live migration",
        "sample": "with --canary: on N or N% of the computes, chosen by chance",
        "at_once": "with --canary: computes at a time (else verify.at_once of the site file)",
    }
)
def verify(  # noqa: PLR0913, PLR0917 (flags)
    context: Any,
    site: str = "",
    limit: str = "",
    json: bool = False,
    canary: bool = False,
    sample: str = "",
    at_once: str = "",
) -> None:
    """Prove it: an image, a volume, a clone, a guest that writes; all removed again."""
    refuse_dry(context)
    flags = {"site": site, "limit": limit, "json": json}
    guarded(lambda: _verify(context, flags, canary, sample, at_once))


def _verify(context: Any, flags: dict[str, Any], canary: bool, sample: str, at_once: str) -> int:
    from fabfile.core.contract import BadInput  # noqa: PLC0415
    from fabfile.flow.converge import Options  # noqa: PLC0415
    from fabfile.flow.proof import verify as proof  # noqa: PLC0415

    if canary:
        return proof.canary(context, Options(**flags), sample, at_once)
    if sample or at_once:
        raise BadInput("verify: --sample and --at-once are for --canary: give that too")
    return proof.prove(context, flags["site"], flags["limit"], flags["json"])


@task(help={"out": "where to write it (never over an existing file)"})
def init(context: Any, out: str = "mysite.toml") -> None:
    """Write a commented start of a site file of your own."""
    from fabfile.core import site_file  # noqa: PLC0415

    refuse_dry(context)
    guarded(lambda: site_file.start(out))
