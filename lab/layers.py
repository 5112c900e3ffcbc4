"""Overlay mounts, the chroot in which packages go in, and layers kept whole.

Knows mounts and folders; what goes into a layer is `images`' matter.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.errors import LabError
from lab.programs import run


def mount_overlay(lower: Sequence[Path], upper: Path, work: Path, at: Path) -> None:
    """Mount `lower` (topmost first) with a writable `upper` at the folder `at`."""
    for folder in (upper, work, at):
        folder.mkdir(parents=True, exist_ok=True)
    # volatile: no sync reaches the disk. A lab that lost its machine is built
    # anew anyway, and databases and dpkg sync at every step.
    options = (
        f"lowerdir={':'.join(str(item) for item in lower)},upperdir={upper},workdir={work},volatile"
    )
    run(["mount", "-t", "overlay", "stackrbd-lab", "-o", options, at])


def mounts_below(folder: Path) -> list[Path]:
    """Mount points at or below `folder`, the deepest first."""
    root = str(folder.resolve())
    points = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        point = line.split()[1].encode().decode("unicode_escape")
        if point == root or point.startswith(root + "/"):
            points.append(Path(point))
    return sorted(points, key=lambda item: len(str(item)), reverse=True)


def unmount_below(folder: Path) -> None:
    """Unmount all at or below `folder`; raises LabError when one is held."""
    for point in mounts_below(folder):
        for attempt in range(5):
            done = subprocess.run(
                ["umount", str(point)], capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                break
            if attempt == 4:  # noqa: PLR2004 - the last attempt
                raise LabError(f"umount {point}: {done.stderr.strip()}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(["sleep", "1"], timeout=5, check=False)


def remove_tree(folder: Path) -> None:
    """Remove `folder` with all in it, but never across a mount."""
    if folder.exists():
        unmount_below(folder)
        shutil.rmtree(folder)


@contextlib.contextmanager
def chroot(lower: Sequence[Path], build: Path, archives: Path) -> Iterator[Path]:
    """A root in which packages can be installed; its changes are in build/upper.

    `archives` becomes its store of downloaded packages. All mounts go on every
    way out.
    """
    root = build / "root"
    try:
        mount_overlay(lower, build / "upper", build / "work", root)
        with open_to_packages(root, archives):
            yield root
    finally:
        unmount_below(build)


@contextlib.contextmanager
def open_to_packages(root: Path, archives: Path) -> Iterator[None]:
    """In a mounted root, what apt wants of a system; `archives` as above.

    It looks names up as this machine does; its /etc/resolv.conf stays so.
    """
    archives.mkdir(parents=True, exist_ok=True)
    store, names = root / "var/cache/apt/archives", root / "etc/nsswitch.conf"
    store.mkdir(parents=True, exist_ok=True)
    try:
        run(["mount", "-t", "proc", "proc", root / "proc"])
        run(["mount", "-t", "sysfs", "-o", "ro", "sysfs", root / "sys"])
        run(["mount", "--bind", "/dev", root / "dev"])
        run(["mount", "--bind", archives, store])
        run(["mount", "--bind", "/etc/nsswitch.conf", names])
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        yield
    finally:
        for place in (names, store, root / "dev", root / "sys", root / "proc"):
            unmount_below(place)


def keep(source: Path, target: Path) -> None:
    """Move a finished folder to its place in the cache: whole or not at all."""
    os.sync()
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError:
        # Another file system: copy beside the target, then rename.
        beside = target.with_name(target.name + ".part")
        shutil.rmtree(beside, ignore_errors=True)
        run(["cp", "-a", "--sparse=always", source, beside])
        beside.rename(target)
        shutil.rmtree(source)
