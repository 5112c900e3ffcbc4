"""A lab beside another one on the same machine, in namespaces of its own.

    .venv/bin/python -m lab.beside b .venv/bin/inv lab.up
    .venv/bin/python -m lab.beside b .venv/bin/inv integrate --yes
    .venv/bin/python -m lab.beside b .venv/bin/inv lab.down
    .venv/bin/python -m lab.beside b --end

Every lab has the same addresses, the same files to log in by and the same name of a site. In a
network namespace the addresses are its own; in a mount namespace it finds its own files at the
places where every site file and test looks for them. The first command makes the namespaces,
`--end` takes them away. What is left to tell labs apart (hosts, control groups, folders) has the
lab's name in it: `places`.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from lab import layers, places
from lab.errors import LabError
from lab.programs import run, succeeds

COMMAND = ".venv/bin/python -m lab.beside {name}"
# Of links: a host's may have an alternative name, a bridge may not (15 characters).
_NAME = re.compile(r"[a-z0-9]{1,8}")
_RUNS = Path("~/.local/state/stackrbd")
_SETUP = """\
ip link set lo up
mount --bind {own}/access {access}
mount --bind {own}/runs {runs}
"""


def is_apart() -> bool:
    """Whether we are in namespaces that this module made: another access folder is mounted."""
    return places.ACCESS in layers.mounts_below(places.ACCESS)


def outside() -> list[str]:
    """The words before a command that must run in the machine's first network, from a lab too.

    Only there does the kernel tell of the programs that start.
    """
    if not places.NAME:
        return []
    return ["nsenter", f"--net={_handles(places.NAME) / 'outside'}"]


def argv(name: str, command: list[str]) -> list[str]:
    """The words that run `command` in the namespaces of the lab `name`; makes these first.

    Raises LabError.
    """
    _check(name)
    if not _is_there(name):
        _make(name)
    enter = ["nsenter", f"--net={_handles(name) / 'net'}", f"--mount={_handles(name) / 'mount'}"]
    # Entering leaves the folder that we are in.
    return [*enter, "env", "-C", os.getcwd(), f"STACKRBD_LAB_NAME={name}", *command]


def end(name: str) -> None:
    """Take the namespaces away, and what was kept for them. Raises LabError."""
    _check(name)
    state = Path("/var/lib") / f"stackrbd-lab-{name}"
    if state.exists():
        command = COMMAND.format(name=name)
        raise LabError(f"the lab {name!r} is there, expected none: {command} inv lab.down")
    for folder in (_handles(name), _own(name)):
        layers.remove_tree(folder)


def main(words: list[str]) -> int:
    """NAME COMMAND... or NAME --end; the exit code is 1 where it cannot."""
    if len(words) < 2:  # noqa: PLR2004
        print(f"usage: {COMMAND.format(name='NAME')} COMMAND... | --end", file=sys.stderr)
        return 2
    try:
        if words[1:] == ["--end"]:
            end(words[0])
            return 0
        found = argv(words[0], words[1:])
    except (LabError, OSError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return subprocess.run(found, check=False).returncode


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise LabError(f"{name!r}: expected a lab's name of at most eight letters and digits")
    if os.geteuid() != 0:
        raise LabError(f"a lab needs root, found user id {os.geteuid()}")


def _handles(name: str) -> Path:
    return Path("/run") / f"stackrbd-beside-{name}"


def _own(name: str) -> Path:
    return Path("/var/lib") / f"stackrbd-beside-{name}"


def _is_there(name: str) -> bool:
    return any(point.name == "mount" for point in layers.mounts_below(_handles(name)))


def _make(name: str) -> None:
    handles, own = _handles(name), _own(name)
    for folder in (handles, own):
        layers.remove_tree(folder)
        folder.mkdir(mode=0o700)
    runs = _RUNS.expanduser()
    for folder in (places.ACCESS, runs, own / "runs"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # With the keys of the cache: its kept clouds let nobody else in.
    run(["cp", "-a", places.ACCESS, own / "access"])
    # A mount namespace is held by a file on a mount that no other namespace sees.
    run(["mount", "--bind", handles, handles])
    run(["mount", "--make-private", handles])
    for kind in ("net", "mount", "outside"):
        (handles / kind).touch()
    run(["mount", "--bind", "/proc/self/ns/net", handles / "outside"])
    words = {"own": own, "access": places.ACCESS, "runs": runs}
    script = _SETUP.format(**{key: shlex.quote(str(path)) for key, path in words.items()})
    hold = [f"--net={handles / 'net'}", f"--mount={handles / 'mount'}"]
    if not succeeds(["unshare", *hold, "sh", "-euc", script]):
        layers.remove_tree(handles)
        raise LabError(f"the namespaces of {name!r} could not be made: unshare, ip, mount --bind")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
