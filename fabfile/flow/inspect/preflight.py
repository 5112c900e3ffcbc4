"""hosts.check: what a host must have before anything else can run there.

Plain commands through patchwork, because the agent needs python3 itself.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from fabfile.core.contract import INV, Stop, Unreachable
from fabfile.core.text import hung
from fabfile.flow.session import Options, open_session
from fabfile.flow.terminal import outcomes
from fabfile.flow.terminal.screen import Screen


def _have_program() -> Any:
    """patchwork's; of a wheel, which cannot require patchwork (it wants Fabric 2), the same here.

    patchwork 1.0.1 (2018) imports invoke.vendor.six, which Invoke 2 dropped.
    """
    import invoke.vendor  # noqa: PLC0415 (start-up time)
    import six  # noqa: PLC0415 (start-up time)

    sys.modules.setdefault("invoke.vendor.six", six)
    if not hasattr(invoke.vendor, "six"):
        invoke.vendor.six = six  # type: ignore[attr-defined]
    try:
        from patchwork import environment  # noqa: PLC0415 (is mended first)
    except ModuleNotFoundError:
        return lambda c, name: c.run(f"which {name}", hide=True, warn=True)
    return environment.have_program


def show(context: Any, options: Options) -> int:
    """Prints what each host lacks; raises Unreachable if one cannot be worked on."""
    have = _have_program()
    with open_session(context, options) as session:
        site = session.site
        group = session.fleet.group([name for name in site.hosts if name in session.limited])

        def missing(connection: Any) -> list[str]:
            needed = site.platform_of(site.host(connection.host_name)).needed
            return [p for p in needed if not connection.ask(lambda c, p=p: have(c, p))]

        found = {one.host_name: told for one, told in group.each(missing).items()}
        return report(session.screen, found)


def report(screen: Screen, found: Mapping[str, list[str] | BaseException]) -> int:
    """Says how each host is, those alike in one line.  Raises Unreachable, or an error of ours.

    found: {host: the programs that it lacks, or why it was not reached}.
    """
    said, unusable = {}, []
    for host, told in found.items():
        if isinstance(told, BaseException) and not isinstance(told, Stop):
            raise told
        if isinstance(told, Stop):
            said[host] = f"not reached: {outcomes.cause(host, told)}"
        else:
            said[host] = f"lacks {', '.join(told)}" if told else "ready"
        unusable += [host] if told else []
    for line in outcomes.told(said):
        screen.say_all(hung("", line, screen.columns))
    screen.json({"hosts": said, "unusable": unusable})
    if unusable:
        many = "a host" if len(unusable) == 1 else f"{len(unusable)} hosts"
        raise Unreachable(
            f"{many} of {len(found)} cannot be worked on, as said above. Mend that (a host key: "
            f"{INV} hosts.trust; what it lacks: its own packages), and run {INV} hosts.check again"
        )
    return 0
