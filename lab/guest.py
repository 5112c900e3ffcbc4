"""The guest that instances boot: Debian's kernel, busybox and one shell script.

It says on its serial console that it is up, and then writes to each disk that is
attached to it and reads it back. Needs no cloud image from anywhere.
"""

import gzip
import re
import shutil
import sys
from pathlib import Path

from lab import beside, cache_key, layers, places
from lab.errors import LabError
from lab.generation import Generation
from lab.programs import run
from lab.progress import say

FOLDER = places.ACCESS / "guest"
FILES = ("vmlinuz", "initrd", "disk.raw")
_KERNEL = "linux-image-cloud-amd64"
_DISK_MIB = 16
# In the order in which they are loaded; what is built in is not there.
_MODULES = (
    *("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev"),
    *("virtio_pci", "virtio_blk"),
)
_INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /bin
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
exec < /dev/null > /dev/ttyS0 2>&1
for file in /modules/*.ko; do insmod $file; done
echo "stackrbd-guest: up"

mib=16  # four of Ceph's objects: an emulated processor takes a second for some five MiB
# Of its input, and how far it is: who waits for a slow host sees that it works.
parts() {
    for n in $(seq 2 2 $mib); do
        dd bs=1M count=2 2> /dev/null
        echo "stackrbd-guest: $1 $n of $mib MiB" >&2
    done
}

write() {
    # To the disk itself: synced, caches dropped, read back from it.
    wrote=$(parts "$1: wrote" < /dev/urandom | tee /dev/$1 | sha256sum)
    sync
    blockdev --flushbufs /dev/$1
    echo 3 > /proc/sys/vm/drop_caches
    read=$(parts "$1: read" < /dev/$1 | sha256sum)
    if [ "$wrote" = "$read" ]; then
        echo "stackrbd-guest: wrote $((mib << 20)) bytes sha256 ${wrote%% *}, read back equal"
    else
        echo "stackrbd-guest: $1: wrote ${wrote%% *}, read back ${read%% *}: DIFFERENT"
    fi
}

# The first disk is the root disk: every other one is written to, once each time
# that it comes.
written=" "
while :; do
    still=" "
    for path in /sys/block/vd[b-z]; do
        [ -e "$path" ] || continue  # unquoted, it would be a pattern again
        disk=${path##*/}
        case "$written" in
            *" $disk "*) ;;
            *) echo "stackrbd-guest: disk $disk"; write $disk ;;
        esac
        still="$still$disk "
    done
    written=$still
    sleep 1
done
"""


def build(generation: Generation) -> None:
    """Make the guest's three files, unless they are there. Raises LabError."""
    mark = FOLDER / "made-from"
    signed = generation.guest_mbr_signature
    key = cache_key.of([] if signed else ["no signature"], [sys.modules[__name__]])
    if mark.is_file() and mark.read_text() == key:
        return
    say("guest: a kernel, busybox and a small disk")
    work = places.BUILDS / "guest"
    layers.remove_tree(work)
    out = work / "guest"
    out.mkdir(parents=True)
    # Old lists name kernels that the mirror has no more.
    run([*beside.outside(), "apt-get", "-qq", "update"])
    try:
        kernel = _unpack(_kernel_package(), work / "kernel")
        busybox = _unpack("busybox-static", work / "busybox") / "bin/busybox"
        (vmlinuz,) = (kernel / "boot").glob("vmlinuz-*")
        shutil.copy(vmlinuz, out / "vmlinuz")
        if not signed:
            _without_mbr_signature(out / "vmlinuz")
        _initrd(work / "tree", kernel, busybox, out / "initrd")
        _disk(out / "disk.raw")
        (out / mark.name).write_text(key)
        for file in out.iterdir():
            file.chmod(0o600)
        layers.remove_tree(FOLDER)
        FOLDER.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        layers.keep(out, FOLDER)
    finally:
        layers.remove_tree(work)


def _kernel_package() -> str:
    depends = run(["apt-cache", "depends", _KERNEL])
    found = re.search(r"Depends: (linux-image-\d\S+)", depends)
    if not found:
        raise LabError(f"{_KERNEL}: expected it to depend on a kernel image: {depends}")
    return found[1]


def _unpack(package: str, folder: Path) -> Path:
    folder.mkdir()
    # apt's own user cannot write here: it says so and downloads as root.
    run([*beside.outside(), "env", "-C", folder, "apt-get", "-qq", "download", package])
    (file,) = folder.glob("*.deb")
    run(["dpkg-deb", "--extract", file, folder / "tree"])
    return folder / "tree"


def _without_mbr_signature(kernel: Path) -> None:
    """Zero bytes 510 and 511: a boot sector's mark, for which QEMU does not ask a kernel."""
    with kernel.open("r+b") as file:
        file.seek(510)
        file.write(b"\0\0")


def _initrd(tree: Path, kernel: Path, busybox: Path, target: Path) -> None:
    (tree / "bin").mkdir(parents=True)
    (tree / "modules").mkdir()
    shutil.copy(busybox, tree / "bin/busybox")
    for number, name in enumerate(_MODULES):
        for file in kernel.rglob(f"{name}.ko"):
            shutil.copy(file, tree / f"modules/{number:02d}-{name}.ko")
    (tree / "init").write_text(_INIT)
    (tree / "init").chmod(0o755)
    pack = 'cd "$0" && "$1" find . | "$1" cpio -o -H newc > "$2"'
    archive = target.with_suffix(".cpio")
    run(["sh", "-ec", pack, tree, busybox, archive])
    target.write_bytes(gzip.compress(archive.read_bytes(), mtime=0))
    archive.unlink()


def _disk(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(_DISK_MIB * 1024 * 1024)
    run(["mkfs.ext4", "-q", "-L", "stackrbd-guest", file])
