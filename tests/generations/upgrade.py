"""An integrated cloud that goes from one generation to the next: `make upgrades`.

    python -m tests.generations.upgrade [--from NAME] [--to WAY] [--docs] [--stay]

WAY: ceph=NAME and openstack=NAME in their order, with commas between.

Two guests write and read all the time. Before and after each step doctor says what is needed; what
it names is done, and the canary flies. Prints a table as tests.generations does; --docs puts it
into docs/generations.md. Exit code 1: a step failed.
"""

import argparse
import json
import os
import shutil
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
from lab import generation, guest
from lab.errors import LabError
from tests.lab import guests
from tests.lab.conftest import ACCESS, PROJECT, inv, on, result

from . import openstack_upgrade, steps, writers
from .__main__ import PAGE, commit, outcomes
from .steps import Step, Walk
from .table import Run, replaced, section

Way = tuple[tuple[str, str], ...]  # (one of PARTS, a generation), in their order
UP = 300.0  # seconds for an OSD that comes back, and for the health to notice
FINISHED = "ceph.OSD_UPGRADE_FINISHED"
ACTION = "ceph osd require-osd-release"
KERNEL = "vmlinuz"
PARTS = {"ceph": "Ceph", "openstack": "OpenStack"}
WAY = (("ceph", "trixie"), ("openstack", "trixie"), ("ceph", "sid"))


@dataclass
class Upgrade(Walk):
    """What the steps of an upgrade tell each other."""

    pair: list[writers.Writer] = field(default_factory=list)
    turns: dict[str, int] = field(default_factory=dict)

    @property
    def site(self) -> Path:
        """The lab's, with a guest that each of the releases boots."""
        return self.folder / "site.toml"

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
    # What status says before Nova 31: with a boot sector's mark no guest could be migrated.
    files = shutil.copytree(guests.FILES, walk.folder / "guest")
    guest._without_mbr_signature(files / KERNEL)
    text = (PROJECT / "config/site.toml").read_text()
    assert str(guests.FILES) in text
    walk.site.write_text(text.replace(str(guests.FILES), str(files)))
    inv("hosts.packages", "--yes", *walk.at)
    done = result(inv("integrate", "--yes", "--json", *walk.at))
    inv("integrate", "--check", *walk.at)
    return f"{len(done['changes'])} changes, Ceph {walk.release()}"


def _guests(walk: Upgrade) -> str:
    with _cloud() as api:
        kernel = walk.folder / "guest" / KERNEL
        image = guests.images_of(api, writers.initrd(walk.folder), kernel)[-1]
        walk.pair = [
            writers.from_volume(api, image, "writes-on-its-root"),
            writers.with_volume(api, image, "writes-on-a-volume"),
        ]
    return _at_work(walk)


def _cloud() -> Any:
    return connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml"))


def _at_work(walk: Upgrade) -> str:
    """Both wrote and read since the last look, on the volume, and no turn of any was wrong."""
    said = []
    with _cloud() as api:
        for one in walk.pair:
            assert api.compute.get_server(one.id).status == "ACTIVE", one
            turn = one.turn(api, walk.turns.get(one.name, 0) + 2)
            walk.turns[one.name] = turn.number
            said.append(
                f"{one.name} on {one.host(api)}: {turn.number} turns on {one.disk}, none wrong, "
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


_until = partial(openstack_upgrade.until, seconds=UP)


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


def _control(to: str, walk: Upgrade) -> str:
    """The control services are of the other release; no compute is, and so Nova's stay down."""
    told = result(inv("status", "--json", *walk.at))["upgrades"]
    ahead = [line for line in told if line.startswith("Nova's control services can go to ")]
    assert ahead, told
    version = openstack_upgrade.control(walk.topology, to)
    old = {
        host
        for one in _findings(walk)
        if one["code"] == "nova.compute.old"
        for host in one["hosts"]
    }
    assert old == set(walk.computes), old
    refused = inv("integrate", "--check", *walk.at, expect=3, also_errors=True)
    assert "expected packages of one release" in refused, refused
    return f"before: {ahead[0]}; Nova {version}: TooOldComputeService, doctor: nova.compute.old"


def _beside(walk: Upgrade) -> str:
    with _cloud() as api:
        openstack_upgrade.check_off(walk.topology, api)
    return _at_work(walk)


def _compute(name: str, to: str, walk: Upgrade) -> str:
    """Its guests go to another compute, with Nova's and QEMU's other release on either side."""
    other = next(one for one in walk.computes if one != name)
    with _cloud() as api:
        for one in walk.pair:
            openstack_upgrade.moved(api, one, other)
        version = openstack_upgrade.compute(walk.topology, name, to, api)
    return f"nova-compute {version}; {_at_work(walk)}"


def _of_one_age(walk: Upgrade) -> str:
    with _cloud() as api:
        openstack_upgrade.check_on(walk.topology, api)
    found = _findings(walk)
    assert not {"nova.compute.old", "library.next"} & {one["code"] for one in found}, found
    return f"Nova's check is on again; doctor: {_named(found)}"


def parsed(way: str) -> Way:
    """The parts of a way, in their order.  Raises LabError."""
    found = tuple(tuple(word.split("=")) for word in way.split(","))
    if any(len(one) != 2 or one[0] not in PARTS or not one[1] for one in found):  # noqa: PLR2004
        raise LabError(f"{way}: expected ceph=NAME or openstack=NAME, with commas between")
    return tuple((part, name) for part, name in found)


def walked(way: Way, computes: tuple[str, ...]) -> tuple[Step, ...]:
    """The steps, of which each part brings the same."""
    found = [
        Step("lab.up", (), steps._up),
        Step("integrate", ("lab.up",), _of(_integrate)),
        Step("guests", ("integrate",), _of(_guests)),
    ]
    ready = "guests"
    for part, name in way:
        title = f"{name}: {PARTS[part]}"
        if part == "ceph":
            found += _steps_of_ceph(name, title, ready)
            # The next needs what this one's map requires.
            ready = f"{title}, after"
        else:
            found += _steps_of_openstack(name, title, ready, computes)
            ready = f"{title}, computes of one age"
        found += [
            Step(f"{title}: integrate", (ready,), _of(_brings)),
            Step(f"{title}: canary", (ready,), _of(_canary)),
            Step(f"{title}: guests still", (ready,), _of(_at_work)),
        ]
    return (*found, Step("lab.down", ("lab.up",), steps._down))


def _steps_of_ceph(name: str, title: str, ready: str) -> list[Step]:
    return [
        Step(f"{title}, before", (ready,), _of(_before)),
        Step(title, (ready,), _of(partial(_ceph, name))),
        Step(f"{title}, guests", (title,), _of(_at_work)),
        Step(f"{title}, after", (title,), _of(_after)),
    ]


def _steps_of_openstack(name: str, title: str, ready: str, computes: tuple[str, ...]) -> list[Step]:
    beside = f"{title}, beside older computes"
    found = [
        Step(title, (ready,), _of(partial(_control, name))),
        Step(beside, (title,), _of(_beside)),
    ]
    last = beside
    for one in computes:
        found.append(Step(f"{name}: {one}", (last,), _of(partial(_compute, one, name))))
        last = found[-1].name
    return [*found, Step(f"{title}, computes of one age", (last,), _of(_of_one_age))]


def _of(do: Callable[[Upgrade], str]) -> Callable[[Walk], str]:
    def done(walk: Walk) -> str:
        assert isinstance(walk, Upgrade)
        return do(walk)

    return done


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.generations.upgrade", description=__doc__)
    parser.add_argument("--from", default=generation.DEFAULT, dest="first")
    parser.add_argument("--to", default=",".join(map("=".join, WAY)), help="the way (default: it)")
    parser.add_argument("--docs", action="store_true", help="put the table into the page")
    parser.add_argument("--stay", action="store_true", help="leave the lab up at the end")
    words = parser.parse_args()
    os.environ[generation.VARIABLE] = words.first
    way = parsed(words.to)
    with tempfile.TemporaryDirectory(prefix="stackrbd-upgrade-") as folder:
        walk = Upgrade(words.first, "", "", Path(folder))
        todo = walked(way, walk.computes)[: -1 if words.stay else None]
        done = tuple(outcomes(walk, todo))
    to = ", then ".join(f"{PARTS[part]} to {name}" for part, name in way)
    title = f"{words.first}, upgraded: {to}"
    run = Run(title, time.strftime("%Y-%m-%d"), commit(), done)
    print(section(run), flush=True)
    if words.docs:
        PAGE.write_text(replaced(PAGE.read_text(), [run]))
    print(run.last)
    return 0 if run.good else 1


if __name__ == "__main__":
    sys.exit(main())
