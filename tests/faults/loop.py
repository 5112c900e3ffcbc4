"""The fault-point loop: stops a whole `integrate` at each of its steps, and goes on.

    python -m tests.faults.loop points [--kind kill|cut] [--every N] [--first N]
    python -m tests.faults.loop operators [--times 50]

points: an undisturbed run gives the end state and the list of steps.  Then, for each
step's begin and end: the unconnected cloud, `integrate` until that event is in the
journal, kill -9 of the control side (or the link of that host cut, with this side's
connections through it), `integrate` again.
The end state must be the undisturbed one, byte for byte, with keys mapped to
placeholders; no restart is owed.  All the while a reader on each host looks at every
file some hundred times a second: each content that it saw must be a whole one.  Where a
file's step was stopped, the service that reads it is restarted in between, and must stand.

operators: two `integrate` started at random moments, so many times.

Resumes where it was stopped: results are kept in .fault-loop.jsonl.  Needs the lab
(`inv lab.up`) and leaves it up.
"""

import argparse
import contextlib
import difflib
import json
import random
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from fabfile.core import journal
from fabfile.core.contract import Locked
from fabfile.core.remote import options
from lab import network
from tests.lab.conftest import ACCESS, INV, PROJECT, by_ssh, on

HOSTS = ("ceph01", "controller01", "compute01", "compute02")
CLIENTS = HOSTS[1:]
KEPT = (
    "/etc/ceph /etc/glance /etc/cinder /etc/nova /etc/sudoers.d /etc/apt/sources.list.d "
    "/etc/apt/keyrings /etc/libvirt/secrets"
)
CONFS = {
    "controller01": ("/etc/glance/glance-api.conf", "/etc/cinder/cinder.conf"),
    "compute01": ("/etc/nova/nova.conf",),
    "compute02": ("/etc/nova/nova.conf",),
}
UNITS = {
    "controller01": ("glance-api", "cinder-volume"),
    "compute01": ("nova-compute",),
    "compute02": ("nova-compute",),
}
FREED = 40
"""Seconds after which a lock must be free whose holder's connection was cut."""
RESULTS = PROJECT / ".fault-loop.jsonl"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PACKAGES = "ceph-common python3-rbd qemu-block-extra"


def everywhere(action, hosts=HOSTS):
    with ThreadPoolExecutor() as pool:
        return dict(zip(hosts, pool.map(action, hosts), strict=True))


# The unconnected cloud


def remember(host):
    """Keeps the unconnected cloud's files on each host, once."""
    on(
        host,
        script=f"test -e /root/pristine.tar || tar cf /root/pristine.tar {KEPT} 2>/dev/null; "
        "test -s /root/pristine.tar",
    )


def forget(host, packages):
    """Puts a host back to that."""
    kept = [k for k in KEPT.split() if packages or not k.startswith("/etc/apt")]
    kept.remove("/etc/libvirt/secrets")
    script = "rm -rf /var/lib/stackrbd; "
    if host != "ceph01":
        if packages:
            script += f"apt-get -qq -y remove {PACKAGES} >/dev/null 2>&1; "
        script += (
            "for u in $(virsh -q secret-list 2>/dev/null | awk '{print $1}'); do "
            "virsh -q secret-undefine $u; done; "
        )
        script += f"rm -rf {' '.join(k + '/*' for k in kept)}; tar xf /root/pristine.tar -C /; "
        script += "rm -f /etc/ceph/ceph.conf; "
        if packages:  # the undisturbed run found no such folder
            script += "tar tf /root/pristine.tar etc/ceph/ > /dev/null 2>&1 || rm -rf /etc/ceph; "
    else:
        script += "rm -f /etc/sudoers.d/90-stackrbd-*; "
        script += "ceph config set mon mon_allow_pool_delete true; "
        script += (
            "for p in volumes images; do ceph osd pool rm $p $p "
            "--yes-i-really-really-mean-it 2>/dev/null; done; "
        )
        script += "for u in volumes images; do ceph auth del client.$u 2>/dev/null; done; "
    on(host, script=script + "true")


def unconnected(packages=False):
    """The cloud as before any run; packages: without the Ceph client and its source too."""
    everywhere(lambda host: forget(host, packages))
    from fabfile.cloud import connection, volume_types  # noqa: PLC0415

    cloud = connection.connect("stackrbd-lab", "/var/cache/stackrbd/lab/access/clouds.yaml")
    volume_types.remove(cloud, "rbd", made=True)


# What is compared


def keys():
    return {
        on("ceph01", "ceph", "auth", "get-key", f"client.{c}").strip(): f"<key {c}>"
        for c in ("volumes", "images")
    }


def state():
    """Every file, the caps, the secrets: with keys as placeholders."""
    names = keys()

    def text(host):
        # rbdmap is the package's, and comes but once.
        files = f"find {KEPT} -type f ! -name rbdmap"
        script = (
            f"{files} -printf '%p %m %u %g\\n' | sort; "
            f"{files} | sort | xargs -d '\\n' cat; "
            "virsh -q secret-list 2>/dev/null; "
            "for u in $(virsh -q secret-list 2>/dev/null | awk '{print $1}'); do "
            "virsh -q secret-get-value $u; done; ls /var/lib/stackrbd/pending_restarts 2>/dev/null; true"
        )
        found = on(host, script=script)
        for key, name in names.items():
            found = found.replace(key, name)
        return found

    found = everywhere(text)
    users = json.loads(on("ceph01", "ceph", "auth", "ls", "--format", "json"))["auth_dump"]
    found["caps"] = {u["entity"]: u["caps"] for u in users if u["entity"] in NAMES}
    pools = json.loads(on("ceph01", "ceph", "osd", "pool", "ls", "detail", "--format", "json"))
    found["pools"] = {
        p["pool_name"]: (p["size"], p["pg_num"], sorted(p["application_metadata"])) for p in pools
    }
    return found


def difference(expected, now):
    """The lines that are not the same, or the two values."""
    if not isinstance(expected, str):
        return f"{expected} {now}"
    lines = difflib.unified_diff(expected.splitlines(), now.splitlines(), "", "", "", "", 0)
    return " | ".join(list(lines)[:12])


NAMES = ("client.volumes", "client.images")


# What others see meanwhile

READER = """
import json, os, sys, threading, time
asked, last, seen = sys.argv[1:], {}, {}
end = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), end.set()), daemon=True).start()
while not end.wait(0.003):
    for path in asked:
        try:
            with open(path, "rb") as stream:
                now = os.fstat(stream.fileno())
                if last.get(path) == (now.st_ino, now.st_mtime_ns, now.st_size):
                    continue
                last[path] = now.st_ino, now.st_mtime_ns, now.st_size
                text = stream.read().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            text = None
        if text is not None or path in seen:
            seen.setdefault(path, {})[text] = True
print(json.dumps({path: list(texts) for path, texts in seen.items()}))
"""
KEYRINGS = ("/etc/ceph/ceph.client.images.keyring", "/etc/ceph/ceph.client.volumes.keyring")
READ = {host: (*paths, "/etc/ceph/ceph.conf", *KEYRINGS) for host, paths in CONFS.items()}


def texts():
    """{host: {path: text}} of all that is read, as it is now; keys as a placeholder."""

    def of(host):
        script = "for p in " + " ".join(READ[host]) + "; do echo @@ $p; cat $p 2>/dev/null; done"
        parts = on(host, script=script + "; true").split("@@ ")[1:]
        return {p.partition("\n")[0]: without_key(p.partition("\n")[2]) for p in parts}

    return everywhere(of, tuple(READ))


def without_key(text):
    return re.sub(r"(?m)^(\s*key\s*=\s*)\S+$", r"\1<key>", text)


class Readers:
    """A reader on each host that uses the cluster; stop() tells what no one should see."""

    def __init__(self, before, after):
        self._before, self._after = before, after
        # Python is fed its program by -c, its words in argv, and the end by standard input.
        self._started = {
            host: subprocess.Popen(
                by_ssh(host, shlex.join(["python3", "-c", READER, *paths])),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for host, paths in READ.items()
        }

    def stop(self):
        found = []
        for host, process in self._started.items():
            seen = json.loads(process.communicate(timeout=60)[0])
            for path, contents in seen.items():
                found += [
                    f"{host}: {path}: {why}"
                    for text in contents
                    if (why := self._fault(host, path, text))
                ]
        return found

    def _fault(self, host, path, text):
        if text is None:
            return "was not there for a moment"
        before, after = self._before[host][path], self._after[host][path]
        if path not in CONFS[host]:
            return "" if without_key(text) in (before, after) else f"a part: {len(text)} bytes"
        try:
            odd = options.stray_changes(before, text, differing(before, after))
        except options.ParseError as error:
            return str(error)
        return f"without {odd}" if odd else ""


def differing(before, after):
    """What an integration sets: the options that differ between two texts."""
    return [(s, k, None) for s, k in options.stray_changes(before, after, [])]


def could_not_start(point):
    """The services of a point's host that do not stand when they are restarted there."""
    _, host, thing, _ = point
    if host not in CONFS or not thing.startswith("/"):
        return []
    units = " ".join(UNITS[host])
    script = f"systemctl reset-failed {units}; systemctl restart {units}; sleep 3; "
    script += f"for u in {units}; do systemctl -q is-active $u || echo $u; done"
    return [f"{host}: {unit} does not stand" for unit in on(host, script=script).split()]


def owed():
    return {
        h: on(h, script="ls /var/lib/stackrbd/pending_restarts 2>/dev/null; true").split()
        for h in CLIENTS
    }


# Runs


def integrate():
    done = subprocess.run(
        [str(INV), "integrate", "--yes"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=900,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def begin():
    return subprocess.Popen(
        [str(INV), "integrate", "--yes"],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )


def once_free():
    """As integrate(), again while the run that was cut off still holds the site's lock.

    A host hears of its holder's end by silence, within half a minute.
    """
    began = time.monotonic()
    while True:
        code, text = integrate()
        if code != Locked.code or time.monotonic() - began > FREED:
            return code, text
        time.sleep(2)


def events_of(after):
    """The events of the newest run that began after a time."""
    for _, events in journal.runs():
        if events[0]["time"] >= after:
            return events
        return []
    return []


def numbered(events):
    """Points: [begin or done, host, thing, which one of those], as they are in every run.

    A secret's UUID is another one on another lab.  Not by the step's number: where packages
    are there already, the plan is a shorter one.
    """
    seen, found = Counter(), []
    for event in events:
        if event["event"] in ("begin", "done"):
            point = event["event"], event["host"], _UUID.sub("UUID", event["thing"])
            seen[point] += 1
            found.append([*point, seen[point]])
    return found


def until(process, after, point):
    """Waits until the event is in the journal; False if the run ended before."""
    while process.poll() is None:
        if point in numbered(events_of(after)):
            return True
        time.sleep(0.02)
    return False


def stop_there(point, kind):
    """The run up to the point, stopped there: what came of it, in a word."""
    after, process = time.time(), begin()
    if not until(process, after, point):
        return f"ended with {process.returncode} before"
    if kind == "kill" or point[1] == "cloud":
        process.kill()
        process.wait()
        return "killed"
    with cut_off(point[1], process.pid):
        time.sleep(3)
    process.wait(timeout=600)
    return f"cut, ended with {process.returncode}"


@contextlib.contextmanager
def cut_off(host, process):
    """The host's link is down, and a process's connections to it are broken."""
    link = network.link_of(host)
    subprocess.run(["ip", "link", "set", link, "down"], check=True)
    try:
        for port in ports(process, address(host)):
            kill = ["ss", "-K", "dst", address(host), "sport", "=", f":{port}"]
            subprocess.run(kill, check=True, capture_output=True)
        yield
    finally:
        subprocess.run(["ip", "link", "set", link, "up"], check=True)


def ports(process, there):
    """This side's ports of a process's connections to an address."""
    asked = ["ss", "-Htnp", "dst", there]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    mine = [line for line in said.splitlines() if f"pid={process}," in line]
    found = [line.split()[3].rpartition(":")[2] for line in mine]
    assert found, f"no connection of process {process} to {there} in:\n{said}"
    return found


def address(host):
    """Where the lab's SSH configuration says that a host is."""
    asked = ["ssh", "-G", "-F", str(ACCESS / "ssh_config"), host]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return re.search(r"^hostname (\S+)$", said, re.M).group(1)


def differences(expected, now):
    """What is not as an undisturbed run leaves it."""
    return [
        f"{where} differs: {difference(expected[where], now[where])}"
        for where in expected
        if now[where] != expected[where]
    ]


def one_point(point, kind, before, after, expected):
    unconnected(packages=point[2] in ("packages", "/etc/ceph") or "/etc/apt/" in point[2])
    readers = Readers(before, after)
    try:
        what = stop_there(point, kind)
        faults = could_not_start(point)
        code, text = once_free()
    finally:
        seen = readers.stop()
    if code:
        faults.append(f"the next run ended with {code}: {text[-600:]}")
    else:
        faults += differences(expected, state())
    faults += [f"{host}: owed {units}" for host, units in owed().items() if units]
    faults += ["the run never came there"] if what.startswith("ended") else []
    return {"point": point, "kind": kind, "stopped": what, "faults": [*faults, *seen]}


def points(kind, every, first):
    everywhere(remember)
    unconnected(packages=True)
    before, began = texts(), time.time()
    code, text = integrate()
    if code:
        sys.exit(f"the undisturbed run ended with {code}:\n{text}")
    after, expected = texts(), state()
    chosen = numbered(events_of(began))[first::every]
    known = {json.dumps(r["point"] + [r["kind"]]) for r in results()}
    for number, point in enumerate(chosen, 1):
        if json.dumps([*point, kind]) in known:
            continue
        clock = time.monotonic()
        result = one_point(point, kind, before, after, expected)
        with RESULTS.open("a") as stream:
            stream.write(json.dumps(result) + "\n")
        word = "FAULT " + "; ".join(result["faults"]) if result["faults"] else "ok"
        where = " ".join(map(str, point))
        print(
            f"{number}/{len(chosen)} {where}: {result['stopped']}: "
            f"{word} ({time.monotonic() - clock:.0f} s)",
            flush=True,
        )
    found = [r for r in results() if r["kind"] == kind and r["point"] in chosen]
    bad = sum(bool(r["faults"]) for r in found)
    print(f"{kind}: {len(found)} of {len(chosen)} points, {bad} with faults")
    return bad


def results():
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def operators(times):
    """Two at once, so many times: exactly one works, the end state is right."""
    everywhere(remember)
    unconnected()
    integrate()
    expected, bad = state(), 0
    for number in range(times):
        for host in ("compute01", "compute02"):
            on(host, script="sed -i '/^rbd_user/d' /etc/nova/nova.conf; rm -f /etc/ceph/ceph.conf")
        first = begin()
        time.sleep(random.uniform(0, 4))
        second = begin()
        ends = sorted((first.wait(300), second.wait(300)))
        right = ends in ([0, 0], [0, 5]) and normal(state()) == normal(expected)
        bad += not right
        print(f"{number + 1}/{times}: ended with {ends}: {'ok' if right else 'FAULT'}", flush=True)
    print(f"operators: {times} times, {bad} with faults")
    return bad


def normal(found):
    return json.dumps(found, sort_keys=True)


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("what", choices=["points", "operators"])
    words.add_argument("--kind", choices=["kill", "cut"], default="kill")
    words.add_argument("--every", type=int, default=1)
    words.add_argument("--first", type=int, default=0, help="of these, begin with this one")
    words.add_argument("--times", type=int, default=50)
    chosen = words.parse_args()
    if chosen.what == "points":
        sys.exit(bool(points(chosen.kind, chosen.every, chosen.first)))
    sys.exit(bool(operators(chosen.times)))


if __name__ == "__main__":
    main()
