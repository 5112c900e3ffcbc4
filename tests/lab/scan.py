"""The secret scan that goes on around every lab test.

Watches every process of the machine (the lab hosts' are among them), and looks
through the files and the journal that a test left behind on each host and on the
control side.  A key may be in its keyring, in libvirt's own store and in the monitors'.
"""

import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import beside

from . import key_watcher

KEY = key_watcher.KEY.pattern.decode()
ALLOWED = re.compile(
    r"/etc/ceph/(ceph|west)\.client\.[a-z0-9_.-]+\.keyring"
    r"|/etc/libvirt/secrets/[0-9a-f-]+\.base64"
    r"|/etc/kolla/nova-libvirt/secrets/[0-9a-f-]+\.base64"
    r"|/etc/kolla/(glance-api|cinder-volume|cinder-backup)/ceph/ceph\.client\.[a-z0-9_.-]+\.keyring"
    r"|/var/lib/containers/storage/overlay/[0-9a-f]+/(diff|merged)"  # of the same in containers
    r"(/etc/libvirt/secrets/[0-9a-f-]+\.base64|/etc/ceph/ceph\.client\.[a-z0-9_.-]+\.keyring)"
    r"|/var/lib/ceph/.*"
    r"|/var/lib/stackrbd/runs/[^/]+/[0-9a-f]{64}"  # 0600, root: what a keyring held before
)
# Where the tool would put temporary files on the control side.
SCRATCH = Path(tempfile.mkdtemp(prefix="stackrbd-tests-"))
FOLDERS = "/etc /root /home /tmp /run /var/log /var/tmp /var/lib /var/spool"
ON_A_HOST = f"""
find {FOLDERS} -xdev -path /var/log/journal -prune -o \\
    -type f -size -20M -newermt @%d -print0 2>/dev/null |
  xargs -0r grep -laE '{KEY}' 2>/dev/null
journalctl --no-pager -q -o cat --since @%d | grep -qaE '{KEY}' && echo journal
find /var/lib/stackrbd -type f -perm /077 2>/dev/null
true
"""


class Watcher:
    """key_watcher.py, at work from here until stop()."""

    def __init__(self):
        script = Path(__file__).with_name("key_watcher.py")
        self._process = subprocess.Popen(
            [*beside.outside(), sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def found(self):
        """The processes that showed a key since the last time, one line each."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found = []
        while (line := self._process.stdout.readline()) != ".\n":
            assert line, "key_watcher.py has ended"
            found.append(line.rstrip())
        return found

    def stop(self):
        self._process.communicate("")


def left_behind(hosts, since, on):
    """[host: path] where a key was written since that time (a Unix time)."""
    script = ON_A_HOST % (since, since)

    def look(host):
        lines = on(host, script=script).splitlines()
        return [f"{host}: {line}" for line in lines if not ALLOWED.fullmatch(line)]

    with ThreadPoolExecutor() as pool:
        found = [line for lines in pool.map(look, hosts) for line in lines]
    return found + _control_side(since)


def _control_side(since):
    places = [Path.home() / ".local" / "state" / "stackrbd", SCRATCH]
    age = ["-newermt", f"@{since}", "-type", "f", "-size", "-20M"]
    listed = subprocess.run(
        ["find", *map(str, places), "-xdev", *age], capture_output=True, text=True, check=False
    ).stdout.split("\n")
    return [f"control: {p}" for p in listed if p and re.search(KEY.encode(), _read(p))]


def _read(path):
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def now():
    """Now, as find and journalctl count, a second early: file times are coarse."""
    return int(time.time()) - 1
