"""A slow, lossy link: Ethernet frames of one host carried over by this process.

    python -m tests.faults.slow_link HOST DELAY_MS LOSS_PERCENT
    python -m tests.faults.slow_link plain LINK     (within the host's own network namespace)

Takes the host's veth off its lab's bridge, puts a pair of its own between them, and
hands every frame on after the delay, or not at all.  Puts all back when standard input
ends.  (This kernel has no netem.)  Prints 'ready', and in the end how many frames it
carried and lost.
"""

import array
import fcntl
import heapq
import itertools
import random
import select
import socket
import struct
import subprocess
import sys
import time

from lab import network

PORT, INNER = "srbdslow0", "srbdslow1"
SIOCETHTOOL, ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO = (
    0x8946,
    0x17,
    0x1F,
    0x24,
    0x2C,
)


def ip(*words):
    subprocess.run(["ip", "link", *words], check=True)


def plain(name):
    """No checksum or segmentation is left to hardware that is not there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for what in (ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM):
            held = array.array("B", struct.pack("II", what, 0))
            request = struct.pack("16sP", name.encode(), held.buffer_info()[0])
            try:
                fcntl.ioctl(control, SIOCETHTOOL, request)
            except OSError:
                continue  # not every kind of link has every setting


def tap(name):
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    link.bind((name, 0))
    return link


def carry(outer, inner, delay, loss):
    other, queue, count = {outer: inner, inner: outer}, [], itertools.count()
    carried = lost = 0
    while True:
        wait = max(0.0, queue[0][0] - time.monotonic()) if queue else 1.0
        ready = select.select([outer, inner, sys.stdin], [], [], wait)[0]
        for link in ready:
            if link is sys.stdin:
                return carried, lost
            frame, source = link.recvfrom(65536)
            if source[2] == socket.PACKET_OUTGOING:
                continue
            if random.random() < loss:
                lost += 1
                continue
            carried += 1
            heapq.heappush(queue, (time.monotonic() + delay, next(count), other[link], frame))
        while queue and queue[0][0] <= time.monotonic():
            _, _, link, frame = heapq.heappop(queue)
            try:
                link.send(frame)
            except OSError:
                lost += 1


def main():
    if sys.argv[1] == "plain":
        plain(sys.argv[2])
        return
    host, delay, loss = sys.argv[1], float(sys.argv[2]) / 2000, float(sys.argv[3]) / 100
    own, bridge = network.ends_of(host)  # a socket knows no alternative names
    ip("add", PORT, "type", "veth", "peer", "name", INNER)
    try:
        for name in (PORT, INNER):
            plain(name)
            ip("set", name, "up")
        ip("set", PORT, "master", bridge)
        ip("set", own, "nomaster")
        print("ready", flush=True)
        carried, lost = carry(tap(own), tap(INNER), delay, loss)
        print(f"carried {carried}, lost {lost}", flush=True)
    finally:
        ip("set", own, "master", bridge)
        ip("delete", PORT)


if __name__ == "__main__":
    main()
