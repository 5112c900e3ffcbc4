"""Builds the hosts' images from Debian's packages: a base a generation, one layer a kind.

Which packages, the generation says (lab/generations/). An image is a folder in the
cache, named by a hash of what it was made from; it is there whole or not at all.
Knows packages and files, not what the services say to each other: that is in `ceph`
and `openstack`.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab import beside, cache_key, debian_sources, layers, places, standin
from lab.errors import LabError
from lab.generation import Generation
from lab.programs import run
from lab.progress import say

Units = Sequence[str]
_POLICY = "/usr/sbin/policy-rc.d"
_OPERATOR_UID = "1000"


@dataclass(frozen=True)
class Image:
    """What a host is started from: a kind of a generation."""

    generation: Generation
    kind: str

    @property
    def packages(self) -> Sequence[str]:
        """The packages that are asked for."""
        return self.generation.packages[self.kind]

    def __str__(self) -> str:
        return f"{self.generation.name}-{self.kind}"


def key(image: Image) -> str:
    """A hash of all that an image's layer is made from, its base included."""
    base, generation = _base_of(image), image.generation
    words = [*base.packages, *debian_sources.lines(generation), *generation.unwanted["base"]]
    below = cache_key.of(words, [sys.modules[__name__]])
    if image == base:
        return below
    own = json.dumps(generation.standin.get(image.kind, {}), sort_keys=True)
    words = [below, image.kind, own, *image.packages, *generation.unwanted["layer"]]
    return cache_key.of([*words, *generation.ceph_client], [standin])


def layers_of(image: Image) -> list[Path]:
    """The read-only folders of an image, topmost first."""
    return [_place(image), _place(_base_of(image))]


def downloads(image: Image) -> Path:
    """Where packages stay that were downloaded for an image."""
    return places.DOWNLOADS / image.generation.name / image.kind


def build(wanted: Collection[Image]) -> None:
    """Build what is missing of these images. Raises LabError."""
    for base in {_base_of(image) for image in wanted}:
        if not _place(base).is_dir():
            _build_base(base)
    # The slow one first; two at a time is what two cores carry.
    slow = ("controller", "compute", "ceph")
    with ThreadPoolExecutor(max_workers=2) as pool:
        order = sorted(wanted, key=lambda image: slow.index(image.kind))
        for done in [pool.submit(_build_layer, image) for image in order]:
            done.result()


def _base_of(image: Image) -> Image:
    return Image(image.generation, "base")


def _build_base(image: Image) -> None:
    say(f"image {image}: Debian's smallest system with systemd and sshd")
    build = _fresh_build(image)
    root = build / "root"
    settings = [f"--aptopt={line}" for line in debian_sources.settings()]
    slim = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "locale")]
    try:
        # A lab beside another one has no way to a mirror from its own network.
        argv = [*beside.outside(), "mmdebstrap", "--mode=root", "--variant=minbase"]
        argv += ["--format=directory", "--dpkgopt=force-unsafe-io"]
        argv += [*settings, *slim, f"--include={','.join(image.packages)}"]
        argv += [image.generation.suite, str(root), *debian_sources.lines(image.generation)]
        run(argv, log=_log(image))
        _finish_base(root, image.generation)
        layers.keep(root, _place(image))
    finally:
        layers.remove_tree(build)


def _finish_base(root: Path, generation: Generation) -> None:
    """What every host has in common: its user, its sshd, its network, no way out."""
    policy = root / _POLICY.lstrip("/")
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/machine-id").write_text("")
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    (root / "etc/ssh/sshd_config.d/lab.conf").write_text(
        "UseDNS no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        # Tests open many connections at once.
        "MaxStartups 100:30:200\nMaxSessions 100\n"
    )
    # Debian has a group of this name already (37, from base-passwd).
    argv = ["useradd", "--create-home", "--uid", _OPERATOR_UID, "--shell", "/bin/bash"]
    argv += ["--gid", "operator", "--groups", "sudo", "operator"]
    run(["chroot", root, *argv])
    _units(root, disable=generation.unwanted["base"])
    _units(root, enable=("systemd-networkd", "ssh"))


def _build_layer(image: Image) -> None:
    target = _place(image)
    if target.is_dir():
        return
    say(f"image {image}: {len(image.packages)} packages and what they need")
    build = _fresh_build(image)
    try:
        with layers.chroot([_place(_base_of(image))], build, downloads(image)) as root:
            _install(root, image, build)
            _units(root, disable=image.generation.unwanted["layer"])
            _FINISH[image.kind](root)
            _without_way_out(root)
        layers.keep(build / "upper", target)
    finally:
        layers.remove_tree(build)
    say(f"image {image}: built")


def _install(root: Path, image: Image, build: Path) -> None:
    names = list(image.packages)
    relations = image.generation.standin.get(image.kind)
    if relations:
        package = standin.build(relations, build)
        shutil.copy(package, root / "tmp")
        names.insert(0, f"/tmp/{package.name}")  # noqa: S108 - inside the chroot
    apt(root, image, "update")
    apt(root, image, "install", *names)
    if relations:
        _check_without_ceph(root, image)


def apt(root: Path, image: Image, *words: str) -> None:
    """Run apt-get in a chroot; its log is the image's."""
    argv: list[str | Path] = [
        *beside.outside(),
        "chroot",
        root,
        "eatmydata",
        "apt-get",
        "-y",
        "-q",
        "--no-install-recommends",
    ]
    argv += ["-o", "APT::Keep-Downloaded-Packages=true", *words]
    run(argv, log=_log(image), env={"DEBIAN_FRONTEND": "noninteractive"})


def _check_without_ceph(root: Path, image: Image) -> None:
    show = ["dpkg-query", "--showformat=${Package}\n", "--show"]
    installed = set(run(["chroot", root, *show]).split())
    ceph = (*image.generation.ceph_client, "librbd1", "librados2")
    wrong = sorted(installed.intersection(ceph))
    if wrong:
        raise LabError(f"image {image}: holds {', '.join(wrong)}: expected no Ceph client")


def _finish_ceph(root: Path) -> None:
    shutil.rmtree(root / "var/lib/ceph/mon", ignore_errors=True)


def _finish_controller(root: Path) -> None:
    # Eight processes per API, of Nova's sixteen, are minutes of start-up on two cores.
    for file in (root / "etc").glob("*/*-uwsgi.ini"):
        text = file.read_text()
        fewer = "2" if re.search(r"(?m)^threads = 1$", text) else "1"
        file.write_text(re.sub(r"(?m)^processes = \d+$", f"processes = {fewer}", text))


def _finish_compute(root: Path) -> None:
    # The file that the stand-in's model ships, as it is.
    layer = root / "tmp/kvm"
    layer.mkdir()
    download = "cd /tmp/kvm && apt-get -q download nova-compute-kvm"
    run([*beside.outside(), "chroot", root, "sh", "-ec", download])
    (package,) = layer.glob("*.deb")
    run(["dpkg-deb", "--extract", package, layer / "tree"])
    shutil.copy(layer / "tree/etc/nova/nova-compute.conf", root / "etc/nova")
    shutil.rmtree(layer)
    run(["chroot", root, "usermod", "-a", "-G", "libvirt", "nova"])
    (root / "etc/libvirt/qemu/networks/autostart/default.xml").unlink(missing_ok=True)


_FINISH = {
    "ceph": _finish_ceph,
    "controller": _finish_controller,
    "compute": _finish_compute,
}


def _without_way_out(root: Path) -> None:
    """Take away what the build alone needed: mirrors, their settings, policy-rc.d."""
    sources = root / "etc/apt/sources.list.d"
    for file in (*sources.iterdir(), *(root / "etc/apt/apt.conf.d").glob("99*")):
        file.unlink()
    (root / "etc/apt/sources.list").write_text("# The lab's hosts have no way out.\n")
    shutil.rmtree(root / "var/lib/apt/lists")
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)
    for name in (_POLICY, "/etc/resolv.conf"):
        (root / name.lstrip("/")).unlink(missing_ok=True)
    for item in (root / "tmp").iterdir():
        # A folder is sid's: its packages make what systemd-tmpfiles would at boot.
        shutil.rmtree(item) if item.is_dir() else item.unlink()


def _units(root: Path, *, enable: Units = (), disable: Units = ()) -> None:
    """Enable or disable units; one that is not installed is left out."""
    for verb, names in (("enable", enable), ("disable", disable)):
        there = [name for name in names if _has_unit(root, name)]
        if there:
            run(["chroot", root, "systemctl", "--quiet", verb, *there])


def _has_unit(root: Path, name: str) -> bool:
    file = name if "." in name else f"{name}.service"
    folders = ("lib/systemd/system", "etc/systemd/system", "etc/init.d")
    return any(
        os.path.lexists(root / folder / item)
        for folder, item in zip(folders, (file, file, name), strict=True)
    )


def _fresh_build(image: Image) -> Path:
    build = places.BUILDS / str(image)
    layers.remove_tree(build)
    build.mkdir(parents=True)
    return build


def _place(image: Image) -> Path:
    return places.IMAGES / f"{image}-{key(image)}"


def _log(image: Image) -> Path:
    places.LOGS.mkdir(parents=True, exist_ok=True)
    return places.LOGS / f"image-{image}.log"
