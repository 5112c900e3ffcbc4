"""Builds the hosts' images from Debian's packages: one base, one layer a kind.

An image is a folder in the cache, named by a hash of what it was made from; it is
there whole or not at all. Knows packages and files, not what the services say to
each other: that is in `ceph` and `openstack`.
"""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import cache_key, debian_sources, layers, places, standin
from lab.errors import LabError
from lab.programs import run
from lab.progress import say

BASE = (
    *("systemd", "systemd-sysv", "dbus", "iproute2", "procps", "less", "kmod"),
    *("openssh-server", "sudo", "python3", "eatmydata", "netbase"),
)
PACKAGES = {
    "ceph": ("ceph-mon", "ceph-mgr", "ceph-osd", "ceph-common"),
    "controller": (
        *("mariadb-server", "rabbitmq-server", "python3-pymysql"),
        *("keystone", "glance", "placement-api", "nova-api", "nova-conductor"),
        *("nova-scheduler", "neutron-api", "cinder-api", "cinder-scheduler"),
        # The old backend: Cinder's NFS driver on a share that bindfs mounts.
        *("cinder-volume", "nfs-common", "bindfs"),
    ),
    "compute": ("nova-compute", "nfs-common"),
}
# Not one of these may be in an image that OpenStack runs on.
CEPH_CLIENT = ("ceph-common", "python3-rbd", "python3-rados", "qemu-block-extra")

Units = Sequence[str]
_POLICY = "/usr/sbin/policy-rc.d"
_OPERATOR_UID = "1000"


def base_key() -> str:
    """A hash of all that the base is made from."""
    return cache_key.of([*BASE, *debian_sources.lines()], [sys.modules[__name__]])


def layer_key(kind: str) -> str:
    """A hash of all that a kind's layer is made from, its base included."""
    return cache_key.of([base_key(), kind, *PACKAGES[kind]], [standin])


def layers_of(kind: str) -> list[Path]:
    """The read-only folders of an image, topmost first."""
    return [_place(kind, layer_key(kind)), _place("base", base_key())]


def build() -> None:
    """Build what is missing of the images. Raises LabError."""
    base = _place("base", base_key())
    if not base.is_dir():
        _build_base(base)
    # The slow one first; two at a time is what two cores carry.
    with ThreadPoolExecutor(max_workers=2) as pool:
        order = ("controller", "compute", "ceph")
        for done in [pool.submit(_build_layer, kind, base) for kind in order]:
            done.result()


def _build_base(target: Path) -> None:
    say("image base: Debian's smallest system with systemd and sshd")
    build = _fresh_build("base")
    root = build / "root"
    settings = [f"--aptopt={line}" for line in debian_sources.settings()]
    slim = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "locale")]
    try:
        argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]
        argv += ["--dpkgopt=force-unsafe-io"]
        argv += [*settings, *slim, f"--include={','.join(BASE)}"]
        argv += [debian_sources.SUITE, str(root), *debian_sources.lines()]
        run(argv, log=_log("base"))
        _finish_base(root)
        layers.keep(root, target)
    finally:
        layers.remove_tree(build)


def _finish_base(root: Path) -> None:
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
    _units(root, disable=("systemd-networkd-wait-online", "apt-daily.timer"))
    _units(root, disable=("apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer"))
    _units(root, enable=("systemd-networkd", "ssh"))


def _build_layer(kind: str, base: Path) -> None:
    target = _place(kind, layer_key(kind))
    if target.is_dir():
        return
    say(f"image {kind}: {len(PACKAGES[kind])} packages and what they need")
    build = _fresh_build(kind)
    try:
        with layers.chroot([base], build, places.DOWNLOADS / kind) as root:
            _install(root, kind, build)
            _units(root, disable=_UNWANTED)
            _FINISH[kind](root)
            _without_way_out(root)
        layers.keep(build / "upper", target)
    finally:
        layers.remove_tree(build)
    say(f"image {kind}: built")


def _install(root: Path, kind: str, build: Path) -> None:
    names = list(PACKAGES[kind])
    if kind != "ceph":
        package = standin.build(kind, build)
        shutil.copy(package, root / "tmp")
        names.insert(0, f"/tmp/{package.name}")  # noqa: S108 - inside the chroot
    apt(root, kind, "update")
    apt(root, kind, "install", *names)
    if kind != "ceph":
        _check_without_ceph(root, kind)


def apt(root: Path, kind: str, *words: str) -> None:
    """Run apt-get in a chroot; its log is the kind's."""
    argv: list[str | Path] = [
        "chroot",
        root,
        "eatmydata",
        "apt-get",
        "-y",
        "-q",
        "--no-install-recommends",
    ]
    argv += ["-o", "APT::Keep-Downloaded-Packages=true", *words]
    run(argv, log=_log(kind), env={"DEBIAN_FRONTEND": "noninteractive"})


def _check_without_ceph(root: Path, kind: str) -> None:
    show = ["dpkg-query", "--showformat=${Package}\n", "--show"]
    installed = set(run(["chroot", root, *show]).split())
    wrong = sorted(installed.intersection((*CEPH_CLIENT, "librbd1", "librados2")))
    if wrong:
        raise LabError(f"image {kind}: holds {', '.join(wrong)}: expected no Ceph client")


# What Debian starts with a package and no lab host wants: other storage's daemons,
# and OpenStack's services, which start where the topology says so.
_UNWANTED = [
    "nvmf-autoconnect",
    "dm-event.socket",
    "lvm2-monitor",
    "lvm2-lvmpolld.socket",
    "blk-availability",
    "iscsid",
    "iscsid.socket",
    "open-iscsi",
    "multipathd",
    "tgt",
    "rtslib-fb-targetctl",
    "rpcbind",
    "rpcbind.socket",
    "nfs-client.target",
    "nfs-blkmap",
    "ceph-crash",
    "ceph.target",
    "mariadb",
    "rabbitmq-server",
    "epmd",
    "epmd.socket",
    "keystone",
    "glance-api",
    "placement-api",
    "neutron-api",
    "nova-api",
    "nova-api-metadata",
    "nova-conductor",
    "nova-scheduler",
    "nova-compute",
    "cinder-api",
    "cinder-scheduler",
    "cinder-volume",
    "libvirtd",
    "libvirt-guests",
]


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
    run(
        [
            "chroot",
            root,
            "sh",
            "-ec",
            "cd /tmp/kvm && apt-get -q download nova-compute-kvm",
        ]
    )
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
    for file in (root / "tmp").iterdir():
        file.unlink()


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


def _fresh_build(kind: str) -> Path:
    build = places.BUILDS / kind
    layers.remove_tree(build)
    build.mkdir(parents=True)
    return build


def _place(kind: str, key: str) -> Path:
    return places.IMAGES / f"{kind}-{key}"


def _log(kind: str) -> Path:
    places.LOGS.mkdir(parents=True, exist_ok=True)
    return places.LOGS / f"image-{kind}.log"
