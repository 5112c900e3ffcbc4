"""Packages that a test puts onto a host, which no image has and the lab's repository has not.

Fetched once from Debian, as apt would fetch them for that image.
"""

import sys
from pathlib import Path

from lab import cache_key, debian_sources, images, layers, places
from lab.generation import Generation
from lab.images import Image


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
