"""Looks for cephx keys in the arguments and environment of every process there is.

Run on the lab's machine it sees the processes of all lab hosts too.  The kernel tells
of each program as it starts, and this one runs before all others, so that the shortest
is seen on a busy machine too; all are looked at once a second besides.  Prints what it
found, one line each, and a '.' when told to catch up.
"""

import os
import re
import select
import socket
import struct
import sys
import time

KEY = re.compile(
    rb"A[Qg][A-Za-z0-9+/]{36}==|Ag[A-Za-z0-9+/]{57}="
    rb"|A[Qg][A-D][A-Za-z0-9+/]{3}[BFJNRVZdhlptx159][Q-Za-z0-9+/]"
    rb"[A-Za-z0-9+/]{4}[A-O][A-Za-z0-9+/][AEIMQUYcgkosw048]A[A-Za-z0-9+/]{16,}={0,2}"
)
"""A cephx key of type 1 (aes), and one of type 2 (aes256k), whose secret is twice as long; and one
of any other length, by its head: type, seconds (2012 to 2038), nanoseconds, a length below 256."""
TEST = re.compile(rb"PYTEST_CURRENT_TEST=[^\0]*")
"""A test that runs beside this one has made-up keys in its name; no run of ours sets it."""
UNIT_TESTS = re.compile(rb"\0tests[/.](unit|fuzz)")
"""They hand made-up keys to programs of their own, and may run beside the lab's tests."""
NETLINK_CONNECTOR, CN_IDX_PROC, LISTEN, EXEC = 11, 1, 1, 0x2
HEADER = struct.Struct("=IHHII")  # nlmsghdr
MESSAGE = struct.Struct("=IIIIHH")  # cn_msg
EVENT = struct.Struct("=IIQII")  # proc_event: what, cpu, timestamp, pid, tgid


def subscribed():
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR)
    events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    events.bind((0, CN_IDX_PROC))
    order = MESSAGE.pack(CN_IDX_PROC, 1, 0, 0, 4, 0) + struct.pack("=I", LISTEN)
    events.send(HEADER.pack(HEADER.size + len(order), 3, 0, 0, os.getpid()) + order)
    events.setblocking(False)
    return events


def look(pid, found):
    for name in ("cmdline", "environ"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as stream:
                text = TEST.sub(b"", stream.read())
        except OSError:
            continue
        if KEY.search(text) and not below_unit_tests(pid):
            line = f"{name}: {KEY.sub(b'<KEY>', text)[:200]!r}"
            if line not in found:
                found.add(line)
                print(line, flush=True)


def below_unit_tests(pid):
    """Whether pytest started it, or one that started it, for the unit tests."""
    while int(pid) > 1:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as stream:
                if UNIT_TESTS.search(stream.read()):
                    return True
            with open(f"/proc/{pid}/stat") as stream:
                pid = stream.read().rpartition(")")[2].split()[1]
        except OSError:
            return False
    return False


def started(events, found):
    """Looks at every program that was started since the last time."""
    while True:
        try:
            data = events.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            continue  # more programs at once than the kernel keeps: the round below sees the rest
        what, _, _, _, pid = EVENT.unpack_from(data, HEADER.size + MESSAGE.size)
        if what == EXEC:
            look(pid, found)


def before_all_others():
    """Where the kernel lets it: else a program that ends at once is gone before it is looked at."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        os.nice(-20)


def main():
    before_all_others()
    events, found, last = subscribed(), set(), 0.0
    while True:
        ready = select.select([sys.stdin, events], [], [], 1.0)[0]
        started(events, found)
        if time.monotonic() - last > 1 or sys.stdin in ready:
            last = time.monotonic()
            for pid in filter(str.isdigit, os.listdir("/proc")):
                look(pid, found)
        if sys.stdin in ready:
            if not sys.stdin.readline():
                return
            print(".", flush=True)


if __name__ == "__main__":
    main()
