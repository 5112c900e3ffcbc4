"""The Debian package sources that this machine itself uses.

The lab names no mirror: it takes the machine's, Debian's suites alone, with the
machine's ways to reach them (proxy, date checks).
"""

import functools

from lab.errors import LabError
from lab.programs import run

SUITE = "bookworm"
_FIELDS = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
_REACH = (
    "Acquire::http",
    "Acquire::https",
    "Acquire::Check-",
    "Acquire::Retries",
    "Acquire::ForceIPv",
)


@functools.cache
def lines() -> tuple[str, ...]:
    """One-line sources of Debian's suites. Raises LabError when there are none."""
    found = _lines()
    if not found:
        # A machine made from a container image has dropped its package lists.
        run(["apt-get", "-qq", "update"])
        found = _lines()
    if not found:
        raise LabError(
            f"this machine has no APT source of Debian {SUITE}: expected one in "
            "/etc/apt/sources.list or /etc/apt/sources.list.d; add it, then "
            "`apt-get update`"
        )
    return tuple(found)


def settings() -> list[str]:
    """The lines of `apt-config dump` on how mirrors are reached."""
    dump = run(["apt-config", "dump"]).splitlines()
    return [line for line in dump if line.startswith(_REACH) and not line.endswith('"";')]


def _lines() -> list[str]:
    targets = run(["apt-get", "indextargets", "--format", _FIELDS, "Created-By: Packages"])
    rows = (line.split("|") for line in targets.splitlines())
    return sorted(
        {
            f"deb {uri} {release} {component}"
            for origin, uri, release, component in rows
            if origin.startswith("Debian") and release.startswith((SUITE, "stable"))
        }
    )
