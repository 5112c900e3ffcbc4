"""Podman in a host of the lab: its packages as a layer, its settings, images without a registry.

Knows nothing of what runs in a container: `containers` has Kolla's, `cephadm` has Ceph's.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab import debian_sources, hosts, images, layers, places, readiness
from lab.images import Image
from lab.programs import run
from lab.topology import LabHost, Topology

ENGINE = ("podman", "runc", "conmon")
_STORE = "/usr/lib/containers/storage"
_OPTIONS = ("--system-call-filter=bpf",)
# Under cgroup v1 podman finds no controller that it may write to.
_ENVIRONMENT = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
_STORAGE = f"""\
[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
[storage.options]
additionalimagestores = ["{_STORE}"]
"""
_CONTAINERS = """\
[containers]
pids_limit = 0
keyring = false
[engine]
runtime = "runc"
"""


@contextlib.contextmanager
def installed(
    build: Path, lower: Sequence[Path], packages: Sequence[str], image: Image
) -> Iterator[Path]:
    """A root with these packages, which nothing is started of; its layer is build/upper."""
    build.mkdir()
    archives = places.DOWNLOADS / image.generation.name / f"containers-{build.name}"
    with layers.chroot(lower, build, archives) as root:
        debian_sources.write(root, image.generation)
        policy = root / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        images.apt(root, image, "update")
        images.apt(root, image, "install", *packages)
        (root / "etc/apt/sources.list").write_text("# The lab's hosts have no way out.\n")
        for file in (root / "etc/apt/apt.conf.d/99lab", policy, root / "etc/resolv.conf"):
            file.unlink()
        layers.remove_tree(root / "var/lib/apt/lists")
        yield root


def renumber(root: Path, user: str, uid: int, gid: int) -> None:
    """Give a user and its group other numbers, and their files with them."""
    had = run(["chroot", root, "id", "-u", user]).strip()
    of = run(["chroot", root, "id", "-g", user]).strip()
    run(["chroot", root, "groupmod", "-g", str(gid), user])
    run(["chroot", root, "usermod", "-u", str(uid), user])
    for word, program, old, new in (("-uid", "chown", had, uid), ("-gid", "chgrp", of, gid)):
        argv: list[str | Path] = ["find", root, "-xdev", word, old, "-exec", program, "-h"]
        run([*argv, str(new), "{}", "+"])


def pack(root: Path, archive: Path) -> None:
    """A root as what an image is made of."""
    argv: list[str | Path] = ["tar", "-C", root, "--one-file-system", "--numeric-owner"]
    run([*argv, "--exclude=./var/cache/apt/archives/*", "-cf", archive, "."])


def bring(
    part: Path, lower: Sequence[Path], archive: Path, name: str, changes: Sequence[str]
) -> None:
    """Make an image of a packed root, into the store part/done/store, which hosts read.

    lower: layers with podman in them; changes: of the image, as in a Containerfile.
    """
    store = part / "done/store"
    store.mkdir()
    with layers.chroot(lower, part / "import", part / "none") as root:
        for folder in ("srv/store", "srv/part"):
            (root / folder).mkdir()
        run(["mount", "--bind", store, root / "srv/store"])
        run(["mount", "--bind", part, root / "srv/part"])
        (root / "etc/containers/containers.conf").write_text(_CONTAINERS)
        argv: list[str | Path] = ["chroot", root, "podman", "--root", "/srv/store"]
        argv += ["--storage-driver", "overlay", "import"]
        argv += [word for change in changes for word in ("--change", change)]
        run([*argv, f"/srv/part/{archive.relative_to(part)}", name])
    archive.unlink()


def configure(root: Path) -> None:
    """Podman's settings in a host's mounted root."""
    (root / "etc/containers").mkdir(exist_ok=True)
    for name, text in (("storage", _STORAGE), ("containers", _CONTAINERS)):
        (root / f"etc/containers/{name}.conf").write_text(text)
    (root / "lib/modules").mkdir(exist_ok=True)


def start(host: LabHost, topology: Topology, store: Path) -> None:
    """Boot a mounted host that has podman, with the images of a store, and wait for its ssh."""
    own = hosts.folder(host.name) / "containers"
    own.mkdir(exist_ok=True)
    binds = [f"--bind={own}:/var/lib/containers", f"--bind-ro={store}:{_STORE}"]
    hosts.start(host, topology, [*_OPTIONS, *binds], _ENVIRONMENT)
    readiness.wait_for_ssh([host])
