"""An integrated cloud whose Ceph goes from one generation to the next: `make upgrades`.

    python -m tests.generations.upgrade [--from NAME] [--to NAME,NAME] [--docs] [--stay]

Two guests write and read all the time. Before and after each step doctor says what is needed; what
it names is done, and the canary flies. Prints a table as tests.generations does; --docs puts it
into docs/generations.md. Exit code 1: a step failed.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fabfile.cloud import connection
from fabfile.model import ceph_releases
from lab import generation
from tests.lab import guests
from tests.lab.conftest import ACCESS, inv, on, result

from . import steps, writers
from .__main__ import PAGE, commit, outcomes
from .steps import Step, Walk
from .table import Run, replaced, section

UP = 300.0  # seconds for an OSD that comes back, and for the health to notice
FINISHED = "ceph.OSD_UPGRADE_FINISHED"
ACTION = "ceph osd require-osd-release"


@dataclass
class Upgrade(Walk):
    """What the steps of an upgrade tell each other."""

    pair: list[writers.Writer] = field(default_factory=list)
    turns: dict[str, int] = field(default_factory=dict)

    def cluster(self) -> dict[str, Any]:
        """{kind of daemon: {version: how many}}."""
        return dict(json.loads(on("ceph01", "ceph", "--connect-timeout", "20", "versions")))

    def release(self) -> int:
        """The major version that all daemons are of."""
        (text,) = self.cluster()["overall"]
        number = ceph_releases.major(text)
        assert number, text
        return number


def _integrate(walk: Upgrade) -> str:
    inv("hosts.packages", "--yes", *walk.at)
    done = result(inv("integrate", "--yes", "--json", *walk.at))
    inv("integrate", "--check", *walk.at)
    return f"{len(done['changes'])} changes, Ceph {walk.release()}"


def _guests(walk: Upgrade) -> str:
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as api:
        image = guests.images_of(api, writers.initrd(walk.folder))[-1]
        walk.pair = [
            writers.from_volume(api, image, "writes-on-its-root"),
            writers.with_volume(api, image, "writes-on-a-volume"),
        ]
    return _at_work(walk)


def _at_work(walk: Upgrade) -> str:
    """Both wrote and read since the last look, on the volume, and no turn of any was wrong."""
    said = []
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as api:
        for one in walk.pair:
            assert api.compute.get_server(one.id).status == "ACTIVE", one
            turn = one.turn(api, walk.turns.get(one.name, 0) + 2)
            walk.turns[one.name] = turn.number
            said.append(
                f"{one.name} on {one.compute}: {turn.number} turns on {one.disk}, none wrong, "
                f"none failed, the longest {turn.longest} s"
            )
    return "; ".join(said)


def _findings(walk: Upgrade) -> list[dict[str, Any]]:
    said = result(inv("doctor", "--json", *walk.at, expect=(0, 3), timeout=300))
    return list(said["findings"])


def _named(found: list[dict[str, Any]]) -> str:
    codes = sorted({f"{one['severity']} {one['code']}" for one in found})
    return ", ".join(codes) or "nothing"


def _before(walk: Upgrade) -> str:
    """Nothing of an earlier step is left to be done; status says what comes next."""
    found = _findings(walk)
    assert FINISHED not in {one["code"] for one in found}, found
    told = result(inv("status", "--json", *walk.at))["upgrades"]
    assert any(line.startswith(f"Ceph {walk.release()} ") for line in told), told
    return f"doctor: {_named(found)}; status: {'; '.join(told)}"


def _ceph(to: str, walk: Upgrade) -> str:
    """The host is started from the other generation's image; its data is what it was."""
    was, fsid = walk.release(), on("ceph01", "ceph", "fsid")
    on("ceph01", "ceph", "osd", "set", "noout")
    began = time.monotonic()
    inv("lab.upgrade", "--generation", to, timeout=1800)
    _until("one OSD up, one version", partial(_is_whole, walk))
    seconds = time.monotonic() - began
    on("ceph01", "ceph", "osd", "unset", "noout")
    assert walk.release() > was and on("ceph01", "ceph", "fsid") == fsid
    return f"Ceph {was} to {walk.release()}, the same fsid; away for {seconds:.0f} s"


def _is_whole(walk: Upgrade) -> bool:
    try:
        up = json.loads(on("ceph01", script="ceph --connect-timeout 20 osd stat -f json"))
        return up["num_up_osds"] == up["num_osds"] and len(walk.cluster()["overall"]) == 1
    except AssertionError:  # on's: the monitor is not there yet
        return False


def _until(what: str, condition: Callable[[], object]) -> None:
    until = time.monotonic() + UP
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {UP:.0f} s"
        time.sleep(3)


def _after(walk: Upgrade) -> str:
    """Doctor names what is left to be done, and the release to name."""
    name = ceph_releases.NAMES[walk.release() - 1]
    found: list[dict[str, Any]] = []

    def seen() -> bool:
        found[:] = _findings(walk)
        return FINISHED in {one["code"] for one in found}

    _until(FINISHED, seen)
    mend = [step["run"] for one in found if one["code"] == FINISHED for step in one["mend"]]
    assert any(ACTION in step for step in mend), mend
    on("ceph01", "ceph", "osd", "require-osd-release", name)
    _until(f"{FINISHED} gone", lambda: not seen())
    return f"{FINISHED}: ceph osd require-osd-release {name}; then left: {_named(found)}"


def _brings(walk: Upgrade) -> str:
    planned = result(inv("integrate", "--check", "--json", *walk.at, expect=(0, 2)))["changes"]
    if not planned:
        return "nothing to do"
    inv("integrate", "--yes", *walk.at)
    inv("integrate", "--check", *walk.at)
    return "; ".join(f"{c['host']}: {c['thing']}: {c['sentence']}" for c in planned)


def _canary(walk: Upgrade) -> str:
    said = inv("verify", "--canary", "--json", *walk.at, timeout=3600, expect=(0, 6))
    checks = result(said)["checks"]
    failed = [f"{one['name']}: {one['detail']}" for one in checks if not one["ok"]]
    assert checks and failed == [], failed
    return f"{len(checks)} checks, live migrations and dependents with them"


def walked(to: tuple[str, ...]) -> tuple[Step, ...]:
    """The steps, of which each generation brings the same."""
    found = [
        Step("lab.up", (), steps._up),
        Step("integrate", ("lab.up",), _of(_integrate)),
        Step("guests", ("integrate",), _of(_guests)),
    ]
    ready = "guests"
    for name in to:
        ceph = f"{name}: Ceph"
        found += [
            Step(f"{name}: before", (ready,), _of(_before)),
            Step(ceph, (ready,), _of(partial(_ceph, name))),
            Step(f"{name}: guests", (ceph,), _of(_at_work)),
            Step(f"{name}: after", (ceph,), _of(_after)),
            Step(f"{name}: integrate", (ceph,), _of(_brings)),
            Step(f"{name}: canary", (ceph,), _of(_canary)),
            Step(f"{name}: guests still", (ceph,), _of(_at_work)),
        ]
        # The next needs what this one's map requires.
        ready = f"{name}: after"
    return (*found, Step("lab.down", ("lab.up",), steps._down))


def _of(do: Callable[[Upgrade], str]) -> Callable[[Walk], str]:
    def done(walk: Walk) -> str:
        assert isinstance(walk, Upgrade)
        return do(walk)

    return done


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.generations.upgrade", description=__doc__)
    parser.add_argument("--from", default=generation.DEFAULT, dest="first")
    parser.add_argument("--to", default="trixie,sid", help="generations of Ceph, in their order")
    parser.add_argument("--docs", action="store_true", help="put the table into the page")
    parser.add_argument("--stay", action="store_true", help="leave the lab up at the end")
    words = parser.parse_args()
    os.environ[generation.VARIABLE] = words.first
    to = tuple(words.to.split(","))
    todo = walked(to)[: -1 if words.stay else None]
    with tempfile.TemporaryDirectory(prefix="stackrbd-upgrade-") as folder:
        done = tuple(outcomes(Upgrade(words.first, "", "", Path(folder)), todo))
    title = f"{words.first}, its Ceph upgraded to {', then '.join(to)}"
    run = Run(title, time.strftime("%Y-%m-%d"), commit(), done)
    print(section(run), flush=True)
    if words.docs:
        PAGE.write_text(replaced(PAGE.read_text(), [run]))
    print(run.last)
    return 0 if run.good else 1


if __name__ == "__main__":
    sys.exit(main())
