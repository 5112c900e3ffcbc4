"""Looks for cephx keys in every process's arguments and environment, over and over.

Run on the lab's machine it sees the processes of all lab hosts too.  Prints what it
found, one line each, when standard input ends.
"""

import os
import re
import select
import sys

KEY = re.compile(rb"AQ[A-Za-z0-9+/]{36}==")


def look(found):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as stream:
                    text = stream.read()
            except OSError:
                continue
            if KEY.search(text):
                found.add(f"{name}: {KEY.sub(b'<KEY>', text)[:200]!r}")


def main():
    found, rounds = set(), 0
    while not select.select([sys.stdin], [], [], 0.005)[0]:
        look(found)
        rounds += 1
    print(f"rounds: {rounds}")
    print("\n".join(sorted(found)))


if __name__ == "__main__":
    main()
