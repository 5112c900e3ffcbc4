"""hosts.check: what a host must have before anything else can run there.

Plain commands through patchwork, because the agent needs python3 itself.
"""

from __future__ import annotations

import sys
from typing import Any

from fabfile.core.contract import Stop, Unreachable
from fabfile.flow.session import Options, open_session


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
    """Prints a line a host; raises Unreachable if one cannot be worked on."""
    have, lacking = _have_program(), []
    with open_session(context, options) as session:
        site = session.site
        group = session.fleet.group(session.site.hosts)

        def missing(connection: Any) -> list[str]:
            needed = site.platform_of(site.host(connection.host_name)).needed
            return [p for p in needed if not connection.ask(lambda c, p=p: have(c, p))]

        for connection, found in group.each(missing).items():
            name = connection.host_name
            if isinstance(found, Stop):
                session.screen.step(name, "not reached: " + (found.found or str(found)))
                lacking.append(str(found))
            elif isinstance(found, BaseException):
                raise found
            else:
                session.screen.step(name, f"lacks {', '.join(found)}" if found else "ready")
                lacking += [f"{name}: lacks {p}" for p in found]
    if lacking:
        raise Unreachable("\n".join(lacking))
    return 0
