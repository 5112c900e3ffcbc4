"""The path of a user on one generation's lab, a function a step; each says what it proved.

A step fails by raising; what needs another step that failed is not run.
"""

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import topology
from lab.generation import tomllib
from lab.topology import Topology
from tests.lab.conftest import PROJECT, inv, on, result
from tests.lab.holdings import held
from tests.lab.test_canary import STEPS as CANARY
from tests.lab.test_trust import state

UNITS = {"glance": "glance-api", "cinder-volume": "cinder-volume", "nova-compute": "nova-compute"}
CALM = 120.0  # seconds for a cluster that was just touched


@dataclass
class Walk:
    """What the steps of one walk tell each other."""

    generation: str
    ceph: str  # the Ceph hosts' generation, '' where it is the same
    file: str  # the topology's, '' for the small one
    folder: Path  # for site files, backups, reports
    before: dict[str, Any] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # by the canary

    @property
    def words(self) -> tuple[str, ...]:
        """What lab.up is told."""
        given = {"topology": self.file, "generation": self.generation, "ceph-generation": self.ceph}
        return tuple(word for name, one in given.items() if one for word in (f"--{name}", one))

    @property
    def topology(self) -> Topology:
        """The hosts that the lab has."""
        file = self.file or topology.FOLDER / "small.toml"
        return topology.load(file, self.generation, self.ceph)

    @property
    def computes(self) -> tuple[str, ...]:
        """The hosts that instances run on."""
        return tuple(host.name for host in self.topology.running("nova-compute"))

    @property
    def site(self) -> Path:
        """The site file of these hosts."""
        name = self.topology.name
        return PROJECT / "config" / ("site.toml" if name == "small" else f"site.{name}.toml")

    @property
    def cloud(self) -> str:
        """What a restore asks to be typed: the site's name."""
        return str(tomllib.loads(self.site.read_text())["name"])

    @property
    def at(self) -> tuple[str, str]:
        """The --site words of that."""
        return ("--site", str(self.site))

    @property
    def sealed(self) -> tuple[str, str]:
        """The --site words of a site file whose backups have keys."""
        return ("--site", str(self.folder / "site.toml"))

    def state(self) -> dict[str, Any]:
        """What is ours on all hosts, byte for byte."""
        return state(tuple(host.name for host in self.topology.hosts))


@dataclass(frozen=True)
class Step:
    """A step, and those of a walk without which it says nothing; `main`: of the main job."""

    name: str
    needs: tuple[str, ...]
    do: Callable[[Walk], str]
    main: bool = False


def _up(walk: Walk) -> str:
    if os.environ.get("STACKRBD_LAB") != "running":  # it is, and unconnected: a developer says so
        inv("lab.down", timeout=300)
    inv("lab.up", *walk.words, timeout=3 * 3600)
    return "booted, bootstrapped or from the cache, all units active"


ASKED = {
    "ceph-mon": ("ceph-mon", "python3"),
    "nova": ("nova-api",),
    "cinder-volume": ("cinder-volume",),
    "glance": ("glance-api",),
    "database": ("mariadb-server",),
    "nova-compute": ("nova-compute", "libvirt-daemon", "qemu-system-x86", "systemd"),
}
"""{what runs on a host: the packages whose versions are told of the first such host}."""


def _versions(walk: Walk) -> str:
    found = []
    for service, packages in ASKED.items():
        show = f"dpkg-query -W -f '${{Package}} ${{Version}}\\n' {' '.join(packages)}"
        found += on(walk.topology.running(service)[0].name, script=show).splitlines()
    assert len(found) == sum(map(len, ASKED.values())), found
    return ", ".join(found)


def _looks(walk: Walk) -> str:
    inv("hosts.check", *walk.at)
    inv("plan", *walk.at)
    said = result(inv("integrate", "--check", "--json", *walk.at, expect=2))
    assert not any("could not look" in str(note) for note in said.get("notes", [])), said["notes"]
    return f"{len(said['changes'])} changes planned, nothing written"


def _integrate(walk: Walk) -> str:
    # What packages bring stays: the rest is what undo must bring back.
    inv("hosts.packages", "--yes", *walk.at)
    walk.before = walk.state()
    done = result(inv("integrate", "--yes", "--json", *walk.at))
    walk.runs.append(done["run"])
    return f"{len(done['changes'])} changes in run {done['run']}"


def _again(walk: Walk) -> str:
    there = walk.state()
    assert "Nothing to do" in inv("integrate", "--yes", *walk.at)
    inv("integrate", "--check", *walk.at)
    assert walk.state() == there
    return "nothing to do, no file touched"


def _secret(walk: Walk) -> str:
    key = on("ceph01", "ceph", "auth", "get-key", "client.volumes").strip()
    uuids = set()
    for host in walk.computes:
        uuid = on(host, "virsh", "-q", "secret-list").split()[0]
        uuids.add(uuid)
        assert on(host, "virsh", "-q", "secret-get-value", uuid).strip() == key, host
    assert len(uuids) == 1, uuids
    kind = "aes256k" if key.startswith("Ag") else "aes"
    return f"one UUID on {len(walk.computes)} computes, the value is the cluster's key ({kind})"


def _verify(walk: Walk) -> str:
    checks = result(inv("verify", "--json", *walk.at, timeout=1800))["checks"]
    assert checks
    failed = [f"{one['name']}: {one['detail']}" for one in checks if not one["ok"]]
    assert failed == [], failed
    return f"{len(checks)} checks"


def _canary(walk: Walk) -> str:
    there = held(walk.computes)
    said = inv("verify", "--canary", "--json", *walk.at, timeout=3600, expect=(0, 6))
    checks = result(said)["checks"]
    failed = [f"{one['name']}: {one['detail']}" for one in checks if not one["ok"]]
    assert failed == [], failed
    for host in walk.computes:
        steps = [c["name"] for c in checks if c["host"] == host]
        assert steps == [f"{host}: {step}" for step in CANARY], steps
    walk.left = _more(there, held(walk.computes))
    told = [c["detail"] for c in checks if "live migration" in c["name"]]
    return f"{len(CANARY)} steps on {len(walk.computes)} computes: {'; '.join(told)}"


def _more(before: dict[str, set[str]], after: dict[str, set[str]]) -> list[str]:
    return [f"{where}: {one}" for where in after for one in sorted(after[where] - before[where])]


def _leaves_nothing(walk: Walk) -> str:
    assert walk.left == [], walk.left
    _reconcile(walk)
    return "clouds, pools, trash and libvirt hold what they held before the canary"


def _doctor(walk: Walk) -> str:
    until = time.monotonic() + CALM
    while left := _findings(walk):
        assert time.monotonic() < until, left
        time.sleep(5)
    return "no error and no warning"


def _findings(walk: Walk) -> list[str]:
    said = result(inv("doctor", "--json", *walk.at, expect=(0, 3), timeout=300))
    return [
        f"{one['severity']} {one['code']}: {one['found']}"
        for one in said["findings"]
        if one["severity"] != "note"
    ]


def _reconcile(walk: Walk) -> str:
    said = inv("reconcile", "--json", "--details", *walk.at)
    found = json.loads([line for line in said.splitlines() if line.startswith("{")][-1])
    assert found["findings"] == [], found["findings"]
    return "rows and images agree"


def _report(walk: Walk) -> str:
    out = walk.folder / "report"
    inv("report", "--out", str(out), "--prom", str(out / "site.prom"), *walk.at)
    sizes = {file.name: file.stat().st_size for file in out.iterdir()}
    assert {"report.html", "junit.xml"} <= set(sizes) and all(sizes.values()), sizes
    inv("status", *walk.at)
    return ", ".join(sorted(sizes))


def _backup(walk: Walk) -> str:
    said = inv("backup.key", "--out", str(walk.folder / "record.key"))
    table = f'{said[said.index("[backup]") :].rstrip()}\nfolder = "{walk.folder}/records"\n'
    text = walk.site.read_text()
    (walk.folder / "site.toml").write_text(text.replace("[backup]", table, 1))
    inv("backup.tools", "--yes", *walk.sealed)
    made = inv("backup.create", *walk.sealed, also_errors=True, timeout=1800)
    assert "not in the backup" not in made, made
    drill = inv("backup.verify", *walk.sealed, timeout=1800)
    assert "tables restored and equal" in drill
    equal = re.search(r"\d+ tables restored and equal", drill)
    return equal[0] if equal else "restored and equal"


def _restore(walk: Walk) -> str:
    script = "mariadb -NB <<'SQL'\nCREATE TABLE nova.stray (a INT);\nSQL\n"
    database = walk.topology.home("database").name
    on(database, script=script)
    inv("backup.restore", "--cloud", walk.cloud, *walk.sealed, timeout=900)
    seen = on(database, script="mariadb -NB -e \"SHOW TABLES FROM nova LIKE 'stray'\"")
    assert seen == ""
    inv("backup.settle", "--yes", *walk.sealed)
    inv("integrate", "--check", *walk.sealed)
    return "a table that was made since is gone; nothing left to integrate"


def _undo(walk: Walk) -> str:
    integrated = walk.state()
    assert integrated != walk.before
    inv("undo", "--yes", "--run", walk.runs[0], *walk.at, timeout=1800)
    there = walk.state()
    wrong = [host for host in there if there[host] != walk.before[host]]
    assert wrong == [], {host: _differ(walk.before[host], there[host]) for host in wrong}
    for service, unit in UNITS.items():
        for host in walk.topology.running(service):
            assert on(host.name, "systemctl", "is-active", unit).strip() == "active", (host, unit)
    return "files, caps and secrets as before, byte for byte; services active"


def _differ(old: Any, new: Any) -> list[Any]:
    if isinstance(old, dict):
        return sorted(set(map(str, old.items())) ^ set(map(str, new.items())))
    return sorted(set(old) ^ set(new))


def _once_more(walk: Walk) -> str:
    walk.runs.append(result(inv("integrate", "--yes", "--json", *walk.at))["run"])
    inv("integrate", "--check", *walk.at)
    return "the same again, and nothing to do after it"


def _down(_walk: Walk) -> str:
    inv("lab.down", timeout=300)
    return "nothing is left but the cache"


# Undo comes before anything is in the pools: a user whose pools hold something stays.
STEPS = (
    Step("lab.up", (), _up, main=True),
    Step("versions", ("lab.up",), _versions, main=True),
    Step("check, plan", ("lab.up",), _looks, main=True),
    Step("integrate", ("lab.up",), _integrate, main=True),
    Step("second run", ("integrate",), _again, main=True),
    Step("undo", ("integrate",), _undo),
    Step("integrate anew", ("undo",), _once_more),
    Step("secret", ("integrate anew",), _secret),
    Step("verify", ("integrate", "integrate anew"), _verify, main=True),
    Step("doctor", ("integrate anew",), _doctor),
    Step("reconcile", ("integrate anew",), _reconcile),
    Step("report, status", ("integrate anew",), _report),
    Step("canary", ("integrate anew",), _canary),
    Step("canary is gone", ("canary",), _leaves_nothing),
    Step("backup, drill", ("integrate anew",), _backup),
    Step("restore", ("backup, drill",), _restore),
    Step("lab.down", ("lab.up",), _down, main=True),
)
