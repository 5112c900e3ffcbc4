"""The one decorator: flags, exit codes, and no traceback for what is no bug.

A task's body answers which resources it is about, or does its work by the flow.
Loads nothing but Invoke: `inv --list` must stay quick.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from invoke import Argument, Context, Exit, Task, task

from fabfile.core.contract import INV, STACKRBD

if TYPE_CHECKING:
    from fabfile.flow.converge import Converger
    from fabfile.flow.engine import Engine
    from fabfile.flow.proof.gate import CanaryGate
    from fabfile.flow.session import Options, Session
    from fabfile.resources.resource import Resource

FLAGS: Mapping[str, tuple[str | bool, str]] = {
    "site": (
        "",
        "the site file (default: STACKRBD_SITE, then config/site.toml"
        + (", site.toml or mysite.toml of this folder)" if INV == STACKRBD else ")"),
    ),
    "limit": ("", "hosts to touch: names, globs, roles or @failed, with commas; '!' excludes"),
    "check": (False, "show what would be done, change nothing; exits with 2 if there is something"),
    "diff": (False, "show what changes inside each file and object"),
    "yes": (False, "do it without asking"),
    "json": (False, "print JSON on standard output, one document a line; the last is the result"),
    "forks": ("", "hosts at a time (default: ssh.forks of the site file)"),
    "serial": ("", "computes in a batch: N, N% or a list such as 1,10%,50% (the last one repeats)"),
    "max_fail": (
        "",
        "computes (N or N%) that may fail or be unreachable while the rest goes on",
    ),
    "engine": ("", "where hosts are reached from: local (default), or dask: the workers of [dask]"),
    "canary": (
        False,
        "prove each batch by the canary before the next; the first that fails is taken back",
    ),
}
"""The flags that tasks have in common: {name: (default, help)}; fields of Options."""
ALSO: Mapping[str, tuple[str, str]] = {"dry_run": ("check", "the same as --check")}
"""{a flag as users of other tools know it: (which flag it is, help)}, beside that one."""
SHORT: Mapping[str, str] = {
    "site": "s",
    "limit": "l",
    "check": "c",
    "diff": "d",
    "yes": "y",
    "json": "j",
    "forks": "f",
    "max_fail": "m",
    "out": "o",
    "run": "r",
}
"""{a flag: its letter}, the same for every task; -h is help everywhere, and others have none."""
_GIVEN = ("context", "options")
"""The parameters of a task's function that are no flags."""


class Lettered(Task[Any]):
    """A task whose flags have the letters of SHORT: Invoke would give each task others."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Invoke's own, as often as it is asked: that takes the help away at the first time."""
        kept = dict(self.help)
        try:
            return super().get_arguments(ignore_unknown_help)
        finally:
            self.help = kept

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> dict[str, Any]:
        """Invoke's own, with the one letter that a flag has everywhere, or none."""
        found: dict[str, Any] = super().arg_opts(name, default, taken_names)
        found["names"] = [*found["names"][:1], *filter(None, [SHORT.get(name)])]
        return found


def guarded(action: Callable[[], int]) -> None:
    """Runs an action; a Stop becomes its sentence and its exit code."""
    from fabfile.core import own_code  # noqa: PLC0415 (start-up time)
    from fabfile.core.contract import Interrupted, Stop  # noqa: PLC0415 (start-up time)
    from fabfile.core.text import clean  # noqa: PLC0415 (start-up time)
    from fabfile.flow import interrupts  # noqa: PLC0415 (start-up time)

    interrupts.raising()
    try:
        own_code.refuse_alterable()
        code = action()
    except Stop as stop:
        raise Exit(clean(f"stackrbd: {stop}"), code=stop.code) from None
    except KeyboardInterrupt:
        raise Exit("stackrbd: interrupted; run it again to go on", code=Interrupted.code) from None
    if code:
        raise Exit(code=code)


def refuse_dry(context: Context) -> None:
    """Invoke's own --dry skips only some of the work: refused in words."""
    if context.config.run.dry:
        raise Exit("stackrbd: Invoke's --dry would still write; use --check", code=3)


@overload
def command(body: Callable[..., Sequence[Resource]]) -> Task[Any]: ...
@overload
def command(
    body: None = None,
    *,
    flags: Sequence[str] = (),
    texts: Mapping[str, str] | None = None,
    older: Mapping[str, str] | None = None,
    local: bool = False,
    **more: Any,
) -> Callable[[Callable[..., Any]], Task[Any]]: ...
def command(
    body: Callable[..., Any] | None = None,
    *,
    flags: Sequence[str] = (),
    texts: Mapping[str, str] | None = None,
    older: Mapping[str, str] | None = None,
    local: bool = False,
    **more: Any,
) -> Any:
    """Makes a task of a function that returns the resources to converge.

    flags: then the function does the work itself, by (context, options, own parameters), and
    returns the exit code; the common flags named here are its options.  Where own ones are
    among them, they stand there, else first: help shows them in this order.
    texts: of own flags, or in place of the common ones'.  older: {a name of before: the own flag
    that it is now}.  local: it asks no host, so that --dry is harmless.  more: goes to Invoke's
    task.
    """
    if body is None:
        given = {"flags": flags, "texts": texts, "older": older, "local": local}
        return functools.partial(command, **given, **more)
    act, before = body if flags else _converging(body), dict(older or {})
    own = [p for p in inspect.signature(body).parameters.values() if p.name not in _GIVEN]
    parameters = _signature(own, flags or tuple(FLAGS))
    parameters = [*parameters, *(_renamed(own, old, new) for old, new in before.items())]

    @functools.wraps(body)
    def run(context: Context, **given: Any) -> None:
        from fabfile.flow.session import Options  # noqa: PLC0415 (start-up time)

        if not local:
            refuse_dry(context)
        for old, new in before.items():
            if said := given.pop(old, None):
                given[new] = said
        common = {n: given.pop(n) for n in list(given) if n not in {p.name for p in own}}
        for other, (name, _) in ALSO.items():
            common |= {name: common.pop(other) or common[name]} if other in common else {}
        guarded(lambda: act(context, Options(**common), **given))

    first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([first, *parameters])  # type: ignore[attr-defined]
    del run.__wrapped__
    known = {name: text for name, (_, text) in (*FLAGS.items(), *ALSO.items())}
    known |= {old: f"the same as --{new}, by its older name" for old, new in before.items()}
    shown = {p.name: known[p.name] for p in parameters if p.name in known} | dict(texts or {})
    return task(help=shown, klass=Lettered, **more)(run)


def _converging(body: Callable[..., Sequence[Resource]]) -> Callable[..., int]:
    def act(context: Context, options: Options, **own: Any) -> int:
        with converging(context, options, body.__name__) as converger:
            return converger.report(converger.converge(body(**own)))

    return act


def _signature(
    own: Sequence[inspect.Parameter], flags: Sequence[str]
) -> Sequence[inspect.Parameter]:
    """Own and common flags, in the order in which Invoke is to see them."""
    named = {p.name: p for p in own}
    found = [p for p in own if p.name not in flags]
    defaults = {name: FLAGS[name][0] for name in flags if name not in named}
    defaults |= {other: False for other, (name, _) in ALSO.items() if name in flags}
    for name in dict.fromkeys((*flags, *defaults)):
        found.append(
            named.get(name)
            or inspect.Parameter(
                name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=defaults[name]
            )
        )
    return [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in found]


def _renamed(own: Sequence[inspect.Parameter], old: str, new: str) -> inspect.Parameter:
    """A flag under its older name."""
    (named,) = (p for p in own if p.name == new)
    return named.replace(name=old, kind=inspect.Parameter.KEYWORD_ONLY)


# What --engine and --canary ask for


@contextlib.contextmanager
def converging(context: Any, options: Options, name: str) -> Iterator[Converger]:
    """A converger over a session of its own, with the engine and the gate of the options.

    name: the task's.  Raises BadInput.
    """
    from fabfile.flow.converge import Converger  # noqa: PLC0415 (start-up time)
    from fabfile.flow.session import open_session  # noqa: PLC0415 (start-up time)

    with open_session(context, options, name, {"dask": _dask}) as session:
        yield Converger(session, _gate(session) if options.canary else None)


def _gate(session: Session) -> type[CanaryGate]:
    """What proves a canary.  Raises BadInput where it cannot."""
    from fabfile.flow.proof import gate, verify  # noqa: PLC0415 (start-up time)

    verify.refuse_without_means(session, "--canary")
    verify.refuse_kernel(session)
    verify.refuse_absent(session, "--canary")
    return gate.CanaryGate


def _dask(session: Session) -> Engine:
    from fabfile.workers import dask_engine, pool  # noqa: PLC0415 (an extra, slow to load)

    return pool.Elsewhere(dask_engine.Dask(session.site.dask), session)
