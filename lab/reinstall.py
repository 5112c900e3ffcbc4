"""A host's disk with another generation's image below, and what the host wrote kept.

As when an operator installs a machine anew and leaves its data: the packages are the new
image's, /etc/ceph and /var/lib/ceph are the old ones. Knows folders alone; `cloud` stops and
starts the host.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from lab import hosts, images, kept, layers, seed
from lab.errors import LabError
from lab.programs import run
from lab.topology import LabHost, Topology

_PACKAGES = "var/lib/dpkg/status"
DATA = "var/lib/ceph"
# Of the system and not of the host: an old list would hide accounts that the new packages have.
_ACCOUNTS = ("passwd", "group", "shadow", "gshadow")


def written(state: Path, name: str) -> list[Path]:
    """What a host wrote, topmost first: since its start, and while it was bootstrapped."""
    return [hosts.folder(name) / "upper", state / name]


def check(old: LabHost, new: LabHost, state: Path) -> None:
    """Raises LabError where the host's own layers do not fit on the other image.

    Both images must be there.
    """
    own = written(state, old.name)
    for layer in own:
        if os.path.lexists(layer / _PACKAGES):
            raise LabError(
                f"{old.name}: packages were installed on it since ({layer / _PACKAGES}), expected "
                f"those of its image alone: another image below them would be a system of two; "
                "inv lab.up has --generation and --ceph-generation"
            )
    before, after = (images.layers_of(kept.image_of(host)) for host in (old, new))
    for kind, file in enumerate(("passwd", "group")):
        ids = _owners(own, kind)
        there, then = _names(before, file), _names(after, file)
        wrong = sorted(number for number in ids if there.get(number) != then.get(number))
        if wrong:
            told = ", ".join(f"{n}: {there.get(n)}, then {then.get(n)}" for n in wrong)
            raise LabError(f"{old.name}: owners of /{DATA} are others in the new image: {told}")


def remount(host: LabHost, topology: Topology, state: Path) -> None:
    """Mount a stopped host's root anew: its own layers on the image that it has now."""
    hosts.unmount(host.name)
    # A volatile overlay is not mounted a second time with the work folder that it had.
    layers.remove_tree(hosts.folder(host.name) / "work")
    image = images.layers_of(kept.image_of(host))
    root = hosts.mount(host, [state / host.name, *image])
    for name in _ACCOUNTS:
        run(["cp", "-a", "--remove-destination", _first(image, f"etc/{name}"), root / "etc" / name])
    seed.write(root, host, topology)


def _owners(own: Iterable[Path], kind: int) -> set[int]:
    """The ids of users (kind 0) or groups (1) that own the data."""
    found = set()
    for layer in own:
        for folder, below, files in os.walk(layer / DATA):
            for name in (".", *below, *files):
                status = os.lstat(Path(folder) / name)
                found.add((status.st_uid, status.st_gid)[kind])
    return found


def _names(image: Sequence[Path], file: str) -> dict[int, str]:
    """{id: name} of an image's passwd or group."""
    rows = [line.split(":") for line in _first(image, f"etc/{file}").read_text().splitlines()]
    return {int(row[2]): row[0] for row in rows}


def _first(image: Sequence[Path], name: str) -> Path:
    return next(layer / name for layer in image if (layer / name).exists())
