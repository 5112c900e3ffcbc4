"""A signed APT repository with the Ceph client, and what makes records: the hosts' only source.

Holds what the controllers' and the computes' images of one generation lack for it, no more.
Its key lives as long as the signing takes; the public half stays beside it.
"""

import os
import shutil
import sys
from pathlib import Path

from lab import cache_key, debian_sources, images, layers, places
from lab.generation import Generation
from lab.images import Image
from lab.programs import run
from lab.progress import say

PORT = 8080
SUITE = "stackrbd"
COMPONENT = "main"
UNIT = "lab-apt-repository.service"
_ARCHITECTURE = "amd64"
_SIGNER = "stackrbd lab repository"
_KINDS = ("controller", "compute")
RECORDS = ("age", "zstd")
"""What makes and opens records, on the controller."""


def folder(generation: Generation) -> Path:
    """Where a generation's repository is in the cache; its name tells what it was made from."""
    keys = (images.key(Image(generation, kind)) for kind in _KINDS)
    parts = [*generation.ceph_client, *RECORDS, *keys]
    name = f"{generation.name}-{cache_key.of(parts, [sys.modules[__name__]])}"
    return places.REPOSITORY / name


def release_key(generation: Generation) -> str:
    """The public key, ASCII-armored."""
    return (folder(generation) / "release.asc").read_text()


def build(generation: Generation) -> None:
    """Fetch the packages and sign the index, unless it is done. Raises LabError."""
    if folder(generation).is_dir():
        return
    say("apt repository: the Ceph client, age and zstd for controller and compute")
    work = places.BUILDS / "repository"
    layers.remove_tree(work)
    pool = work / "tree/pool"
    pool.mkdir(parents=True)
    try:
        for kind in _KINDS:
            _download(Image(generation, kind), work / kind, pool)
        _index(work / "tree")
        _sign(work / "tree", work / "gnupg")
        layers.keep(work / "tree", folder(generation))
    finally:
        layers.remove_tree(work)


def unit_file() -> str:
    """The systemd unit that serves /srv/apt."""
    return (
        "[Unit]\nDescription=APT repository of the stackrbd lab\n"
        "After=systemd-networkd.service\n\n"
        "[Service]\nUser=nobody\nGroup=nogroup\n"
        f"ExecStart=/usr/bin/python3 -m http.server {PORT} --directory /srv/apt\n"
        "Restart=always\nRestartSec=1\n\n[Install]\nWantedBy=multi-user.target\n"
    )


def _download(image: Image, build: Path, pool: Path) -> None:
    """What apt would fetch for the Ceph client in that image, into the pool."""
    build.mkdir()
    archives = places.DOWNLOADS / image.generation.name / "ceph-client" / image.kind
    with layers.chroot(images.layers_of(image), build, archives) as root:
        sources = "\n".join(debian_sources.lines(image.generation)) + "\n"
        (root / "etc/apt/sources.list").write_text(sources)
        settings = root / "etc/apt/apt.conf.d/99lab"
        settings.write_text("\n".join(debian_sources.settings()) + "\n")
        for file in archives.glob("*.deb"):
            file.unlink()
        images.apt(root, image, "update")
        more = RECORDS if image.kind == "controller" else ()
        packages = (*image.generation.ceph_client, *more)
        images.apt(root, image, "install", "--download-only", *packages)
    for file in archives.glob("*.deb"):
        shutil.copy(file, pool)


def _index(tree: Path) -> None:
    packages = f"dists/{SUITE}/{COMPONENT}/binary-{_ARCHITECTURE}/Packages"
    (tree / packages).parent.mkdir(parents=True)
    # Paths in the index are relative to where apt-ftparchive runs.
    index = run(["env", "-C", tree, "apt-ftparchive", "packages", "pool"])
    (tree / packages).write_text(index)
    release = {
        "Origin": "stackrbd lab",
        "Label": "stackrbd lab",
        "Suite": SUITE,
        "Codename": SUITE,
        "Architectures": _ARCHITECTURE,
        "Components": COMPONENT,
    }
    argv = ["apt-ftparchive"]
    for name, value in release.items():
        argv += ["-o", f"APT::FTPArchive::Release::{name}={value}"]
    text = run([*argv, "release", tree / "dists" / SUITE])
    (tree / "dists" / SUITE / "Release").write_text(text)


def _sign(tree: Path, home: Path) -> None:
    home.mkdir(mode=0o700)
    release = tree / "dists" / SUITE / "Release"
    try:
        make = ("--passphrase", "", "--quick-generate-key", _SIGNER, "ed25519", "sign")
        _gpg(home, *make, "never")
        _gpg(home, "--clearsign", "--output", release.with_name("InRelease"), release)
        detached = release.with_name("Release.gpg")
        _gpg(home, "--armor", "--detach-sign", "--output", detached, release)
        (tree / "release.asc").write_text(_gpg(home, "--armor", "--export"))
    finally:
        run(["gpgconf", "--kill", "all"], env={"GNUPGHOME": str(home)})
    for item in tree.rglob("*"):
        os.chmod(item, 0o755 if item.is_dir() else 0o644)


def _gpg(home: Path, *words: str | Path) -> str:
    argv = ["gpg", "--batch", "--quiet", "--yes", "--pinentry-mode", "loopback"]
    return run([*argv, *words], env={"GNUPGHOME": str(home)})
