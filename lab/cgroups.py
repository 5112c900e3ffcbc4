"""A control group of its own for each host, and one for what `up` itself runs.

Without one, the systemds of all hosts would share their caller's group and stop
each other's services; and what a killed `up` left behind could not be told from
other processes. Knows the folders under /sys/fs/cgroup alone.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from lab.places import LAB

_ROOTS = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")


def enter(name: str) -> None:
    """Move the calling process into the group called `name` (made if need be)."""
    for root in _roots():
        folder = root / LAB / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").write_text(str(os.getpid()))


@contextlib.contextmanager
def within(name: str) -> Iterator[None]:
    """Be in the group for a while: all programs started meanwhile are in it too."""
    homes = {root: root / _own(root) for root in _roots()}
    enter(name)
    try:
        yield
    finally:
        for home in homes.values():
            (home / "cgroup.procs").write_text(str(os.getpid()))


def members(name: str) -> set[int]:
    """The processes in the group and below it."""
    found: set[int] = set()
    for root in _roots():
        # Groups go while their processes end: Path.rglob raises for one that it just saw.
        for folder, _, _ in os.walk(root / LAB / name):
            with contextlib.suppress(OSError):
                file = Path(folder, "cgroup.procs")
                found.update(int(word) for word in file.read_text().split())
    return found


def remove(name: str | None = None) -> None:
    """Remove an emptied group, or all of the lab's."""
    for root in _roots():
        top = root / LAB / name if name else root / LAB
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def _roots() -> list[Path]:
    found = [Path(root) for root in _ROOTS if Path(root, "cgroup.procs").exists()]
    return found[:2]


def _own(root: Path) -> str:
    """Our own group in a hierarchy, relative to its root."""
    wanted = {"systemd": "name=systemd"}.get(root.name, "")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == wanted:
            return path.lstrip("/")
    return ""
