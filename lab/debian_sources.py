"""The Debian package sources that this machine itself uses, for any generation's suites.

The lab names no mirror: it takes the machine's, Debian's suites alone, with the
machine's ways to reach them (proxy, date checks). Another generation's suites are on
the same mirrors.
"""

import functools
from pathlib import Path

from lab import beside
from lab.errors import LabError
from lab.generation import Generation
from lab.programs import run

# The machine's own (lab/machine.py asks for Debian 12).
_MACHINES = ("bookworm", "stable")
_FIELDS = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
_REACH = (
    "Acquire::http",
    "Acquire::https",
    "Acquire::Check-",
    "Acquire::Retries",
    "Acquire::ForceIPv",
)


def lines(generation: Generation) -> tuple[str, ...]:
    """One-line sources of a generation's suites. Raises LabError when there are none."""
    found = {line for row in _rows() if (line := _line(generation, *row))}
    if not found:
        raise LabError(
            f"this machine has no APT source of Debian {_MACHINES[0]}, and so no mirror for "
            f"{generation.suite}: expected one in /etc/apt/sources.list or "
            "/etc/apt/sources.list.d; add it, then `apt-get update`"
        )
    return tuple(sorted(found))


def settings() -> list[str]:
    """The lines of `apt-config dump` on how mirrors are reached."""
    dump = run(["apt-config", "dump"]).splitlines()
    return [line for line in dump if line.startswith(_REACH) and not line.endswith('"";')]


def write(root: Path, generation: Generation, *, source: bool = False) -> None:
    """Write them into a root, and the ways to reach them; source: those of sources as well."""
    some = list(lines(generation))
    if source:
        some += [line.replace("deb ", "deb-src ", 1) for line in some]
    (root / "etc/apt/sources.list").write_text("\n".join(some) + "\n")
    (root / "etc/apt/apt.conf.d/99lab").write_text("\n".join(settings()) + "\n")


def _line(generation: Generation, uri: str, release: str, component: str) -> str | None:
    """The machine's source with the generation's suite in the place of its own, or None."""
    suite = generation.suite + release.removeprefix(_own(release))
    if suite not in generation.suites:
        return None
    options = f"[{generation.source_options}] " if generation.source_options else ""
    # The machine's own suite by the name that the machine has for it.
    ours = release if generation.suite == _MACHINES[0] else suite
    return f"deb {options}{uri} {ours} {component}"


def _own(release: str) -> str:
    return release.split("-", maxsplit=1)[0]


@functools.cache
def _rows() -> tuple[tuple[str, str, str], ...]:
    """URI, release and component of the machine's sources of Debian's own suites."""
    found = _targets()
    if not found:
        # A machine made from a container image has dropped its package lists.
        run([*beside.outside(), "apt-get", "-qq", "update"])
        found = _targets()
    return found


def _targets() -> tuple[tuple[str, str, str], ...]:
    targets = run(["apt-get", "indextargets", "--format", _FIELDS, "Created-By: Packages"])
    rows = (line.split("|") for line in targets.splitlines())
    return tuple(
        (uri, release, component)
        for origin, uri, release, component in rows
        if origin.startswith("Debian") and _own(release) in _MACHINES
    )
