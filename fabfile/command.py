"""The one decorator: common flags, exit codes, and no traceback for what is no bug.

A task's body answers which resources it is about; all else is the flow's.
Loads nothing but Invoke: `inv --list` must stay quick.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from invoke import Exit, Task, task

HELP = {
    "site": "the site file (else STACKRBD_SITE, else config/site.toml)",
    "limit": "hosts to touch: names, globs, roles or @failed by commas; '!' takes away",
    "check": "show what would be done, change nothing; exits 2 if there is something",
    "diff": "show what changes inside each file and object",
    "yes": "do it without asking",
    "json": "print JSON on standard output, a document a line; the last is the result",
    "forks": "hosts at a time (else ssh.forks of the site file)",
    "serial": "computes a batch: N, N% or a list such as 1,10%,50% (the last one repeats)",
    "max_fail": "computes (N or N%) that may fail or be unreachable while the rest goes on",
    "canary": "prove each batch by the canary before the next; the first that fails is undone",
    "engine": "where hosts are worked on from: local (else), or dask: the workers of [dask]",
}
_FLAGS = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
    for name, default in (
        ("site", ""),
        ("limit", ""),
        ("check", False),
        ("diff", False),
        ("yes", False),
        ("json", False),
        ("forks", ""),
        ("serial", ""),
        ("max_fail", ""),
        ("engine", ""),
        ("canary", False),
    )
]
Body = Callable[..., Sequence[Any]]


def guarded(action: Callable[[], int]) -> None:
    """Runs an action; a Stop becomes its sentence and its exit code."""
    from fabfile.core.contract import Interrupted, Stop  # noqa: PLC0415
    from fabfile.core.text import clean  # noqa: PLC0415
    from fabfile.flow import interrupts  # noqa: PLC0415

    interrupts.raising()
    try:
        code = action()
    except Stop as stop:
        raise Exit(clean(f"stackrbd: {stop}"), code=stop.code) from None
    except KeyboardInterrupt:
        raise Exit("stackrbd: interrupted; run it again to go on", code=Interrupted.code) from None
    if code:
        raise Exit(code=code)


def refuse_dry(context: Any) -> None:
    """Invoke's own --dry skips only some of the work: refused in words."""
    if context.config.run.dry:
        raise Exit("stackrbd: Invoke's --dry would still write; use --check", code=3)


def command(body: Body) -> Task[Any]:
    """Makes a task of a function that returns the resources to converge."""

    @functools.wraps(body)
    def run(context: Any, **flags: Any) -> None:
        refuse_dry(context)
        own = {n: flags.pop(n) for n in list(flags) if n in inspect.signature(body).parameters}
        guarded(lambda: _converge(context, body.__name__, body(**own), flags))

    own_flags = list(inspect.signature(body).parameters.values())
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([context, *own_flags, *_FLAGS])  # type: ignore[attr-defined]
    del run.__wrapped__  # type: ignore[attr-defined]
    shown = {n: h for n, h in HELP.items()}
    if "all_" in inspect.signature(body).parameters:
        shown["all"] = "all units of the site's roles, changed or not"
    made: Task[Any] = task(help=shown)(run)
    return made


def _converge(context: Any, task: str, stages: Sequence[Any], flags: dict[str, Any]) -> int:
    from fabfile.flow.converge import Options, Run  # noqa: PLC0415

    with Run(context, Options(**flags), task) as run:
        return run.report(run.converge(stages))
