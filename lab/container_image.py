"""An image of OpenStack's services as Kolla has them, and podman for hosts: kept in the cache.

The image is made of Debian's packages; what starts a container of it is Kolla's own (start.sh,
set_configs.py, each service's extend_start.sh, from PyPI).
"""

import shutil
import sys
from pathlib import Path

from lab import beside, cache_key, images, layers, places, podman
from lab.generation import Generation
from lab.images import Image
from lab.programs import run
from lab.progress import say

KOLLA = "17.9.0"
NAME = "localhost/kolla/services"
_SERVICES = (
    *("dumb-init", "sudo", "python3-yaml", "nova-compute", "libvirt-daemon-system"),
    *("libvirt-clients", "qemu-system-x86", "qemu-utils", "python3-libvirt", "swtpm"),
    *("cinder-volume", "cinder-backup", "glance-api", "nfs-common", "python3-pymysql"),
    "dmidecode",  # os-brick asks it where /sys has no DMI
    *("python3-rbd", "python3-rados", "ceph-common", "qemu-block-extra"),
)
# kolla/common/users.py
_USERS = {"nova": 42436, "cinder": 42407, "glance": 42415}
_GROUP = 42400
_EXTEND = {
    "nova": ("nova-libvirt", "nova-base", "nova-compute"),
    "glance": ("glance-base", "glance-api"),
    "cinder": ("cinder-base", "cinder-volume"),
}
"""{project: the images whose start has a part of its own}; the last is what the base begins."""
KINDS = ("compute", "controller")
"""The kinds of hosts that get an engine."""
_SHARE = "usr/local/share/kolla"
_BEGUN = ('ENTRYPOINT ["dumb-init","--single-child","--"]', 'CMD ["kolla_start"]')


def build(generation: Generation) -> Path:
    """Make what is missing of the engine's layers and the image; returns their folder."""
    of_kinds = {kind: Image(generation, kind) for kind in KINDS}
    compute = of_kinds["compute"]
    words = [*podman.ENGINE, *_SERVICES, KOLLA, *map(images.key, of_kinds.values())]
    key = cache_key.of(words, [sys.modules[__name__], podman])
    target = places.CACHE / "containers" / f"{generation.name}-{key}"
    if target.is_dir():
        return target
    part = places.BUILDS / "containers"
    layers.remove_tree(part)
    (part / "done").mkdir(parents=True)
    say("containers: podman, and an image of OpenStack's services")
    for kind, image in of_kinds.items():
        with podman.installed(
            part / engine_of(kind), images.layers_of(image), podman.ENGINE, image
        ):
            pass
    base = images.layers_of(compute)[-1:]
    with podman.installed(part / "services", base, _SERVICES, compute) as root:
        _bring_kolla(root, part)
        _users(root)
        podman.pack(root, part / "services.tar")
    lower = [part / engine_of("compute") / "upper", *images.layers_of(compute)]
    podman.bring(part, lower, part / "services.tar", NAME, _BEGUN)
    for kind in KINDS:
        (part / engine_of(kind) / "upper").rename(part / "done" / engine_of(kind))
    layers.keep(part / "done", target)
    layers.remove_tree(part)
    return target


def engine_of(kind: str) -> str:
    """Where the layer with the engine of hosts of a kind is."""
    return f"engine-{kind}"


def _bring_kolla(root: Path, part: Path) -> None:
    """What starts a container of Kolla's, as its Dockerfiles place it."""
    argv = [*beside.outside(), sys.executable, "-m", "pip", "-q", "download", "--no-deps"]
    run([*argv, "--no-binary", ":none:", "-d", part / "pypi", f"kolla=={KOLLA}"])
    (wheel,) = (part / "pypi").glob("*.whl")
    shutil.unpack_archive(wheel, part / "pypi", "zip")
    (docker,) = (part / "pypi").glob("*.data/data/share/kolla/docker")
    names = {
        "start.sh": "start",
        "set_configs.py": "set_configs",
        "copy_cacerts.sh": "copy_cacerts",
    }
    for file, name in names.items():
        _program(root / f"usr/local/bin/kolla_{name}", (docker / "base" / file).read_text())
    # Kolla has an image for each service; here one has the scripts of all, told by the variable.
    (root / _SHARE).mkdir(parents=True, exist_ok=True)
    for project, parts in _EXTEND.items():
        for name in parts:
            shutil.copy(docker / project / name / "extend_start.sh", root / _SHARE / f"{name}.sh")
        begun = root / f"usr/local/bin/kolla_{project}_extend_start"
        _program(begun, f". /{_SHARE}/{parts[-1]}.sh\n")
    _program(root / "usr/local/bin/kolla_extend_start", f". /{_SHARE}/$LAB_EXTEND.sh\n")
    (root / "etc/iscsi").mkdir(exist_ok=True)
    allowed = root / "etc/sudoers.d/kolla_cinder_volume_sudoers"
    shutil.copy(docker / "cinder/cinder-volume/cinder_sudoers", allowed)
    allowed.chmod(0o440)
    sudoers = root / "etc/sudoers"
    sudoers.write_text((docker / "base/sudoers").read_text())
    sudoers.chmod(0o440)


def _program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def _users(root: Path) -> None:
    """Kolla's numbers for the services' users, and its group."""
    run(["chroot", root, "groupadd", "-g", str(_GROUP), "kolla"])
    for name, number in _USERS.items():
        podman.renumber(root, name, number, number)
        run(["chroot", root, "usermod", "-a", "-G", "kolla", name])
    run(["chroot", root, "usermod", "-a", "-G", "libvirt", "nova"])
    log = root / "var/log/kolla"
    log.mkdir()
    run(["chroot", root, "chown", "root:kolla", "/var/log/kolla"])
    log.chmod(0o2775)
    # An image of Kolla's has the services' files from config.json alone.
    own = ("nova/nova.conf", "nova/nova-compute.conf", "cinder/cinder.conf")
    for name in (*own, "glance/glance-api.conf"):
        (root / "etc" / name).unlink(missing_ok=True)
