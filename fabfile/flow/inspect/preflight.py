"""hosts.check: what a host must have before anything else can run there.

Plain commands through patchwork, because the agent needs python3 itself.
"""

from __future__ import annotations

import sys
from typing import Any

from fabfile.core.contract import Unreachable
from fabfile.flow.session import Options, open_session


def _patchwork() -> Any:
    """patchwork 1.0.1 (2018) imports invoke.vendor.six, which Invoke 2 dropped."""
    import invoke.vendor  # noqa: PLC0415 (start-up time)
    import six  # noqa: PLC0415 (start-up time)

    sys.modules.setdefault("invoke.vendor.six", six)
    if not hasattr(invoke.vendor, "six"):
        invoke.vendor.six = six  # type: ignore[attr-defined]
    try:
        from patchwork import environment  # noqa: PLC0415 (is mended first)
    except ModuleNotFoundError:
        raise Unreachable("patchwork is missing: run `make install`") from None
    return environment


def show(context: Any, options: Options) -> int:
    """Prints a line a host; raises Unreachable if one cannot be worked on."""
    have, lacking = _patchwork().have_program, []
    with open_session(context, options) as session:
        site = session.site
        group = session.fleet.group(session.site.hosts)
        for connection, fault in group._do("reach").items():
            if fault is not None:
                lacking.append(str(fault))
                continue
            needed = site.platform_of(site.host(connection.host_name)).needed
            missing = [p for p in needed if not have(connection, p)]
            session.screen.step(
                connection.host_name, f"lacks {', '.join(missing)}" if missing else "ready"
            )
            lacking += [f"{connection.host_name}: lacks {p}" for p in missing]
    if lacking:
        raise Unreachable("\n".join(lacking))
    return 0
