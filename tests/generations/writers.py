"""Guests that write and read all the time: what they wrote last, and what they wrote long ago."""

import gzip
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import guest
from tests.lab import guests
from tests.lab.conftest import on

SECONDS = 600  # of patience with a turn: an emulated guest beside a cloud that starts
_LOOP = """
# In hundredths of a second.
now() { read up idle < /proc/uptime; echo ${up%.*}${up#*.}; }
timed() {
    since=$(now)
    "$@"
    lasted=$(($(now) - since))
    [ $lasted -le $pause ] || pause=$lasted
}
reads() {
    # From the disk itself, and not from memory.
    blockdev --flushbufs /dev/$1
    # 4: the kernel does not say so each time.
    echo 7 > /proc/sys/vm/drop_caches
    read=$(dd if=/dev/$1 bs=1M count=1 skip=$2 2> /dev/null | sha256sum)
    [ "$read" = "$(cat /tmp/$1-$2)" ] || wrong=$((wrong + 1))
}
writes() {
    dd if=/dev/urandom of=/tmp/data bs=1M count=1 2> /dev/null
    sha256sum < /tmp/data > /tmp/$1-$2
    dd if=/tmp/data of=/dev/$1 bs=1M seek=$2 conv=fsync,notrunc 2> /tmp/said || {
        failed=$((failed + 1))
        cat /tmp/said
    }
}
turn=0 wrong=0 failed=0 longest=0 pause=0
while :; do
    began=$(now)
    place=$((256 + turn % 24))
    disks=""
    for path in /sys/block/vd[a-z]; do
        [ "$(cat $path/size)" -ge 1048576 ] || continue
        disk=${path##*/}
        disks="$disks,$disk"
        # Of the last lap: two dozen turns ago.
        [ ! -f /tmp/$disk-$place ] || timed reads $disk $place
        timed writes $disk $place
        timed reads $disk $place
    done
    took=$((($(now) - began) / 100))
    [ $took -le $longest ] || longest=$took
    turn=$((turn + 1))
    told="$wrong wrong, $failed failed, longest $longest s, pause ${pause}0 ms"
    echo "stackrbd-writer: turn $turn on ${disks#,}: $told"
    sleep 1
done
"""
_TURN = re.compile(
    r"stackrbd-writer: turn (\d+) on (\S+): (\d+) wrong, (\d+) failed, "
    r"longest (\d+) s, pause (\d+) ms"
)
_KERNEL = re.compile(r"I/O error|Buffer I/O|EXT4-fs error|Remounting|Kernel panic")


@dataclass(frozen=True)
class Turn:
    """What a guest said last; wrong: reads that did not give what was written.

    longest: the turn that took most, in seconds; pause: the one write or read that did, in
    milliseconds, by the guest's own clock, which stands while QEMU has it stopped.
    """

    number: int
    disks: tuple[str, ...]
    wrong: int
    failed: int
    longest: int
    pause: int


def initrd(folder: Path) -> Path:
    """The guest's, with another /init laid over it: the kernel unpacks one archive on the other."""
    head = guest._INIT[: guest._INIT.index("\nwrite() {")]
    file = folder / "initrd"
    over = gzip.compress(archive({"init": (head + _LOOP).encode()}), mtime=0)
    file.write_bytes((guests.FILES / "initrd").read_bytes() + over)
    return file


def archive(files: dict[str, bytes]) -> bytes:
    """A cpio archive (newc) of files that may be run."""
    rows = [*files.items(), ("TRAILER!!!", b"")]
    return b"".join(_entry(number, name, text) for number, (name, text) in enumerate(rows, 1))


def _entry(number: int, name: str, text: bytes) -> bytes:
    called = name.encode() + b"\0"
    fields = (number, 0o100755, 0, 0, 1, 0, len(text), 0, 0, 0, 0, len(called), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + called
    return _whole(head) + _whole(text)


def _whole(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def last(told: str) -> Turn | None:
    """The last turn on a console; None before the first. AssertionError: a kernel's complaint."""
    if bad := _KERNEL.search(told):
        raise AssertionError(told[max(0, bad.start() - 300) : bad.end() + 300])
    found = _TURN.findall(told)
    if not found:
        return None
    number, disks, *rest = found[-1]
    return Turn(int(number), tuple(disks.split(",")), *map(int, rest))


@dataclass(frozen=True)
class Writer:
    """A guest with a disk in Ceph, of which the cloud is asked anew each time."""

    name: str
    id: str
    disk: str  # what the guest calls the volume
    volume: str

    def host(self, api: Any) -> str:
        """The compute on which it is now."""
        return str(api.compute.get_server(self.id).hypervisor_hostname).split(".")[0]

    def turn(self, api: Any, after: int = 0) -> Turn:
        """Waits for a turn beyond that one, on the volume too; raises where any was wrong."""
        until = time.monotonic() + SECONDS
        while True:
            told = str(api.compute.get_server_console_output(self.id)["output"])
            one = last(told)
            if one:
                assert (one.wrong, one.failed) == (0, 0), f"{self.name}: {one}"
            if one and one.number > after and self.disk in one.disks:
                break
            assert time.monotonic() < until, f"{self.name}: no turn after {after}: {told[-600:]}"
            time.sleep(3)
        said = on(self.host(api), "virsh", "domblkerror", self.id)
        assert "No errors found" in said, f"{self.name}: {said}"
        return one


def from_volume(api: Any, image: Any, name: str) -> Writer:
    """A guest whose root disk is a volume: a clone of the image."""
    volume = _volume(api, name, image_id=image.id)
    disk = {
        "uuid": volume.id,
        "source_type": "volume",
        "destination_type": "volume",
        "boot_index": 0,
    }
    return _writer(api, name, "vda", volume, {"block_device_mapping": [disk]})


def with_volume(api: Any, image: Any, name: str) -> Writer:
    """A guest with a disk of its compute's own, to which a volume is attached."""
    volume = _volume(api, name)
    made = _writer(api, name, "vdb", volume, {"image_id": image.id})
    api.compute.create_volume_attachment(made.id, volume_id=volume.id)
    api.block_storage.wait_for_status(volume, "in-use", ["error"], 2, 120)
    return made


def _volume(api: Any, name: str, **more: str) -> Any:
    volume = api.block_storage.create_volume(name=name, size=1, volume_type="rbd", **more)
    return api.block_storage.wait_for_status(volume, "available", ["error"], 2, 300)


def _writer(api: Any, name: str, disk: str, volume: Any, how: dict[str, Any]) -> Writer:
    flavor = api.compute.find_flavor("lab.tiny")
    server = api.compute.create_server(name=name, flavor_id=flavor.id, networks="none", **how)
    server = api.compute.wait_for_server(server, "ACTIVE", ["ERROR"], 2, 300)
    return Writer(name, server.id, disk, volume.id)
