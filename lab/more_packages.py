"""Packages that a test puts onto a host, which no image has and the lab's repository has not.

Fetched once from Debian, as apt would fetch them for that image.

    python -m lab.more_packages HOST NAME...
"""

import subprocess
import sys
from pathlib import Path

from lab import access, cache_key, cloud, debian_sources, images, layers, places, remote
from lab.errors import LabError
from lab.generation import Generation
from lab.images import Image


def put(name: str, *packages: str) -> None:
    """Puts packages, with what they need, onto a host of the lab that runs. Raises LabError."""
    topology = cloud.running()
    if topology is None:
        raise LabError("no lab is running: inv lab.up")
    host = topology.host(name)
    debs = fetched(host.generation, host.image, *packages)
    remote.script(host, "rm -rf /root/debs; mkdir /root/debs")
    copy = ["scp", "-q", "-F", str(access.SSH_CONFIG), *map(str, debs), f"root@{name}:/root/debs/"]
    subprocess.run(copy, check=True, timeout=300)
    remote.script(host, "DEBIAN_FRONTEND=noninteractive dpkg -i /root/debs/*.deb")


def fetched(generation: Generation, kind: str, *names: str) -> list[Path]:
    """The .deb files that one of a generation's images lacks for them. Raises LabError."""
    image = Image(generation, kind)
    key = cache_key.of([*names, images.key(image)], [sys.modules[__name__]])
    folder = places.DOWNLOADS / generation.name / f"more-{key}"
    if not folder.is_dir():
        build = places.BUILDS / folder.name
        layers.remove_tree(build)
        build.mkdir(parents=True)
        try:
            layers.keep(_download(image, build, names), folder)
        finally:
            layers.remove_tree(build)
    return sorted(folder.glob("*.deb"))


def _download(image: Image, build: Path, names: tuple[str, ...]) -> Path:
    archives = build / "archives"
    with layers.chroot(images.layers_of(image), build / "chroot", archives) as root:
        sources = "\n".join(debian_sources.lines(image.generation)) + "\n"
        (root / "etc/apt/sources.list").write_text(sources)
        settings = root / "etc/apt/apt.conf.d/99lab"
        settings.write_text("\n".join(debian_sources.settings()) + "\n")
        images.apt(root, image, "update")
        images.apt(root, image, "install", "--download-only", *names)
    for rest in ("partial", "lock"):
        path = archives / rest
        layers.remove_tree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return archives


if __name__ == "__main__":
    try:
        put(*sys.argv[1:])
    except LabError as error:
        sys.exit(f"lab: {error}")
