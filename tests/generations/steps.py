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

from tests.lab.conftest import PROJECT, inv, on, result
from tests.lab.holdings import COMPUTES, held
from tests.lab.test_canary import STEPS as CANARY
from tests.lab.test_trust import state

SERVICES = (
    ("controller01", "glance-api"),
    ("controller01", "cinder-volume"),
    *((host, "nova-compute") for host in COMPUTES),
)
CALM = 120.0  # seconds for a cluster that was just touched


@dataclass
class Walk:
    """What the steps of one walk tell each other."""

    words: tuple[str, ...]  # of lab.up
    folder: Path  # for site files, backups, reports
    before: dict[str, Any] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # by the canary

    @property
    def site(self) -> tuple[str, str]:
        """The --site words of a site file whose backups have keys."""
        return ("--site", str(self.folder / "site.toml"))


@dataclass(frozen=True)
class Step:
    """A step, and those without which it says nothing."""

    name: str
    needs: tuple[str, ...]
    do: Callable[[Walk], str]


def _up(walk: Walk) -> str:
    if os.environ.get("STACKRBD_LAB") != "running":  # it is, and unconnected: a developer says so
        inv("lab.down", timeout=300)
    inv("lab.up", *walk.words, timeout=3 * 3600)
    return "booted, bootstrapped or from the cache, all units active"


ASKED = {
    "ceph01": ("ceph-mon", "python3"),
    "controller01": ("nova-api", "cinder-volume", "glance-api", "mariadb-server"),
    "compute01": ("nova-compute", "libvirt-daemon", "qemu-system-x86", "systemd"),
}


def _versions(_walk: Walk) -> str:
    found = []
    for host, packages in ASKED.items():
        show = f"dpkg-query -W -f '${{Package}} ${{Version}}\\n' {' '.join(packages)}"
        found += on(host, script=show).splitlines()
    assert len(found) == sum(map(len, ASKED.values())), found
    return ", ".join(found)


def _looks(walk: Walk) -> str:
    inv("hosts.check")
    inv("plan")
    said = result(inv("integrate", "--check", "--json", expect=2))
    assert not any("could not look" in str(note) for note in said.get("notes", [])), said["notes"]
    return f"{len(said['changes'])} changes planned, nothing written"


def _integrate(walk: Walk) -> str:
    # What packages bring stays: the rest is what undo must bring back.
    inv("hosts.packages", "--yes")
    walk.before = state()
    done = result(inv("integrate", "--yes", "--json"))
    walk.runs.append(done["run"])
    return f"{len(done['changes'])} changes in run {done['run']}"


def _again(_walk: Walk) -> str:
    there = state()
    assert "Nothing to do" in inv("integrate", "--yes")
    inv("integrate", "--check")
    assert state() == there
    return "nothing to do, no file touched"


def _secret(_walk: Walk) -> str:
    key = on("ceph01", "ceph", "auth", "get-key", "client.volumes").strip()
    uuids = set()
    for host in COMPUTES:
        uuid = on(host, "virsh", "-q", "secret-list").split()[0]
        uuids.add(uuid)
        assert on(host, "virsh", "-q", "secret-get-value", uuid).strip() == key, host
    assert len(uuids) == 1, uuids
    kind = "aes256k" if key.startswith("Ag") else "aes"
    return f"one UUID on {len(COMPUTES)} computes, the value is the cluster's key ({kind})"


def _verify(_walk: Walk) -> str:
    checks = result(inv("verify", "--json", timeout=1800))["checks"]
    assert checks
    assert [one["name"] for one in checks if not one["ok"]] == []
    return f"{len(checks)} checks"


def _canary(walk: Walk) -> str:
    there = held()
    said = inv("verify", "--canary", "--json", timeout=3600, expect=(0, 6))
    checks = result(said)["checks"]
    assert [f"{c['name']}: {c['detail']}" for c in checks if not c["ok"]] == []
    for host in COMPUTES:
        steps = [c["name"] for c in checks if c["host"] == host]
        assert steps == [f"{host}: {step}" for step in CANARY], steps
    walk.left = _more(there, held())
    told = [c["detail"] for c in checks if "live migration" in c["name"]]
    return f"{len(CANARY)} steps on {len(COMPUTES)} computes: {'; '.join(told)}"


def _more(before: dict[str, set[str]], after: dict[str, set[str]]) -> list[str]:
    return [f"{where}: {one}" for where in after for one in sorted(after[where] - before[where])]


def _leaves_nothing(walk: Walk) -> str:
    assert walk.left == [], walk.left
    return "clouds, pools, trash and libvirt hold what they held before the canary"


def _doctor(walk: Walk) -> str:
    until = time.monotonic() + CALM
    while left := _findings():
        assert time.monotonic() < until, left
        time.sleep(5)
    return "no error and no warning"


def _findings() -> list[str]:
    said = result(inv("doctor", "--json", expect=(0, 3), timeout=300))
    return [
        f"{one['severity']} {one['code']}: {one['found']}"
        for one in said["findings"]
        if one["severity"] != "note"
    ]


def _reconcile(_walk: Walk) -> str:
    said = inv("reconcile", "--json", "--details")
    found = json.loads([line for line in said.splitlines() if line.startswith("{")][-1])
    assert found["findings"] == []
    return "rows and images agree"


def _report(walk: Walk) -> str:
    out = walk.folder / "report"
    inv("report", "--out", str(out), "--prom", str(out / "site.prom"))
    sizes = {file.name: file.stat().st_size for file in out.iterdir()}
    assert {"report.html", "junit.xml"} <= set(sizes) and all(sizes.values()), sizes
    inv("status")
    return ", ".join(sorted(sizes))


def _backup(walk: Walk) -> str:
    said = inv("backup.key", "--out", str(walk.folder / "record.key"))
    table = f'{said[said.index("[backup]") :].rstrip()}\nfolder = "{walk.folder}/records"\n'
    text = (PROJECT / "config" / "site.toml").read_text()
    (walk.folder / "site.toml").write_text(text.replace("[backup]", table, 1))
    inv("backup.tools", "--yes", *walk.site)
    made = inv("backup.create", *walk.site, also_errors=True, timeout=1800)
    assert "not in the backup" not in made, made
    drill = inv("backup.verify", *walk.site, timeout=1800)
    assert "tables restored and equal" in drill
    equal = re.search(r"\d+ tables restored and equal", drill)
    return equal[0] if equal else "restored and equal"


def _restore(walk: Walk) -> str:
    script = "mariadb -NB <<'SQL'\nCREATE TABLE nova.stray (a INT);\nSQL\n"
    on("controller01", script=script)
    inv("backup.restore", "--cloud", "stackrbd-lab", *walk.site, timeout=900)
    seen = on("controller01", script="mariadb -NB -e \"SHOW TABLES FROM nova LIKE 'stray'\"")
    assert seen == ""
    inv("backup.settle", "--yes", *walk.site)
    inv("integrate", "--check", *walk.site)
    return "a table that was made since is gone; nothing left to integrate"


def _undo(walk: Walk) -> str:
    integrated = state()
    assert integrated != walk.before
    inv("undo", "--yes", "--run", walk.runs[0], timeout=1800)
    there = state()
    wrong = [host for host in there if there[host] != walk.before[host]]
    assert wrong == [], {host: _differ(walk.before[host], there[host]) for host in wrong}
    for host, unit in SERVICES:
        assert on(host, "systemctl", "is-active", unit).strip() == "active", (host, unit)
    return "files, caps and secrets as before, byte for byte; services active"


def _differ(old: Any, new: Any) -> list[Any]:
    if isinstance(old, dict):
        return sorted(set(map(str, old.items())) ^ set(map(str, new.items())))
    return sorted(set(old) ^ set(new))


def _once_more(walk: Walk) -> str:
    walk.runs.append(result(inv("integrate", "--yes", "--json"))["run"])
    inv("integrate", "--check")
    return "the same again, and nothing to do after it"


def _down(_walk: Walk) -> str:
    inv("lab.down", timeout=300)
    return "nothing is left but the cache"


# Undo comes before anything is in the pools: a user whose pools hold something stays.
STEPS = (
    Step("lab.up", (), _up),
    Step("versions", ("lab.up",), _versions),
    Step("check, plan", ("lab.up",), _looks),
    Step("integrate", ("lab.up",), _integrate),
    Step("second run", ("integrate",), _again),
    Step("undo", ("integrate",), _undo),
    Step("integrate anew", ("undo",), _once_more),
    Step("secret", ("integrate anew",), _secret),
    Step("verify", ("integrate anew",), _verify),
    Step("doctor", ("integrate anew",), _doctor),
    Step("reconcile", ("integrate anew",), _reconcile),
    Step("report, status", ("integrate anew",), _report),
    Step("canary", ("integrate anew",), _canary),
    Step("canary is gone", ("canary",), _leaves_nothing),
    Step("backup, drill", ("integrate anew",), _backup),
    Step("restore", ("backup, drill",), _restore),
    Step("lab.down", ("lab.up",), _down),
)
