"""A lab's host on another generation's image: what it wrote stays, what does not fit is refused."""

import gzip
import json
import os
import subprocess
from types import SimpleNamespace

import pytest

from lab import cloud, generation, kept, reinstall, topology
from lab.errors import LabError
from tests.generations import upgrade, writers

SMALL = topology.FOLDER / "small.toml"
LARGE = topology.FOLDER / "large.toml"
CEPH = "64045"


def _lists(*rows):
    return "".join(f"{row}\n" for row in ("root:x:0:0::/root:/bin/sh", *rows))


@pytest.fixture
def disk(monkeypatch, tmp_path):
    """The layers of ceph01 of two generations: {name: folder}."""
    found = {name: tmp_path / name for name in ("upper", "kept", "bookworm", "trixie")}
    for folder in found.values():
        (folder / reinstall.DATA / "mon").mkdir(parents=True)
        (folder / "etc").mkdir()
    for name in ("bookworm", "trixie"):
        for file in ("passwd", "group"):
            (found[name] / "etc" / file).write_text(_lists(f"ceph:x:{CEPH}:"))
        (found[name] / "etc/group").write_text("root:x:0:\nceph:x:64045:\n")
        (found[name] / "etc/passwd").write_text(
            _lists("ceph:x:64045:64045::/var/lib/ceph:/bin/false")
        )
    monkeypatch.setattr(reinstall, "written", lambda state, name: [found["upper"], found["kept"]])
    monkeypatch.setattr(reinstall.images, "layers_of", lambda image: [found[image.generation.name]])
    return found


def _checked():
    old, new = (topology.load(SMALL, name).host("ceph01") for name in ("bookworm", "trixie"))
    reinstall.check(old, new, SMALL.parent)


def _owned(disk, layer, uid, gid):
    file = disk[layer] / reinstall.DATA / "mon/store.db"
    file.touch()
    os.chown(file, uid, gid)


@pytest.mark.parametrize(("uid", "gid"), [(64045, 64045), (0, 64045), (0, 0)])
def test_a_host_with_data_alone_is_taken(uid, gid, disk):
    _owned(disk, "kept", uid, gid)
    _checked()


@pytest.mark.parametrize("layer", ["upper", "kept"])
def test_a_host_on_which_packages_were_installed_since_is_refused(layer, disk):
    (disk[layer] / "var/lib/dpkg").mkdir()
    (disk[layer] / "var/lib/dpkg/status").touch()
    with pytest.raises(LabError, match="ceph01: packages were installed.*--ceph-generation"):
        _checked()


def test_packages_that_were_removed_since_are_noticed_too(disk):
    """Overlayfs marks a file that is gone; nothing can be read from it."""
    (disk["upper"] / "var/lib/dpkg").mkdir()
    (disk["upper"] / "var/lib/dpkg/status").symlink_to("/nowhere")
    with pytest.raises(LabError, match="packages were installed"):
        _checked()


@pytest.mark.parametrize("layer", ["upper", "kept"])
@pytest.mark.parametrize(
    ("file", "row", "uid", "gid", "said"),
    [
        ("passwd", "ceph:x:167:167::/:/bin/false", 64045, 0, "64045: ceph, then None"),
        ("passwd", "other:x:64045:64045::/:/bin/false", 64045, 0, "64045: ceph, then other"),
        ("group", "ceph:x:167:", 0, 64045, "64045: ceph, then None"),
    ],
)
def test_data_of_owners_that_the_new_image_does_not_have_is_refused(  # noqa: PLR0913, PLR0917
    file, row, uid, gid, said, layer, disk
):
    _owned(disk, layer, uid, gid)
    (disk["trixie"] / "etc" / file).write_text(f"root:x:0:0::/:/bin/sh\n{row}\n")
    with pytest.raises(LabError, match=f"owners of /var/lib/ceph are others.*{said}"):
        _checked()


@pytest.mark.parametrize(
    ("file", "chosen", "words"),
    [
        (SMALL, {}, "bookworm"),
        (SMALL, {"ceph01": "trixie"}, "ceph of trixie, else bookworm"),
        (LARGE, {"ceph01": "trixie"}, "ceph of trixie and bookworm, else bookworm"),
        (
            LARGE,
            {"ceph01": "sid", "ceph02": "sid", "ceph03": "sid"},
            "ceph of sid, else bookworm",
        ),
    ],
)
def test_hosts_of_one_kind_may_be_of_several_generations(file, chosen, words):
    before = topology.load(file, "bookworm")
    after = before.with_generations(chosen)
    assert after.generations == words
    assert {h.name for h in after.hosts if h.generation.name != "bookworm"} == set(chosen)
    assert (after.description == before.description) is not bool(chosen)


def test_all_of_cephs_hosts_upgraded_are_the_lab_that_is_asked_for_so():
    upgraded = topology.load(SMALL, "bookworm").with_generations({"ceph01": "trixie"})
    assert upgraded.description == topology.load(SMALL, "bookworm", "trixie").description


@pytest.mark.parametrize(
    ("chosen", "said"), [({"ceph09": "sid"}, "no host 'ceph09'"), ({"ceph01": "x"}, "generation")]
)
def test_a_name_that_there_is_not_is_refused(chosen, said):
    with pytest.raises(LabError, match=said):
        topology.load(SMALL, "bookworm").with_generations(chosen)


@pytest.fixture
def lab(monkeypatch, tmp_path):
    """A lab in a folder, of which nothing is started: what was done, in order."""
    done = []
    for name in ("_RUNNING", "_GENERATIONS", "_UPGRADED", "_STARTED_FROM"):
        monkeypatch.setattr(cloud, name, tmp_path / name)
    monkeypatch.setattr(cloud.places, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(cloud.places, "CACHE", tmp_path)
    (tmp_path / "_RUNNING").write_text(LARGE.read_text())
    (tmp_path / "_GENERATIONS").write_text(json.dumps({"name": "bookworm", "ceph": ""}))
    (tmp_path / "_STARTED_FROM").write_text(str(tmp_path))
    monkeypatch.setattr(cloud.machine, "require", lambda: None)
    monkeypatch.setattr(cloud.cgroups, "enter", lambda name: None)
    monkeypatch.setattr(cloud.cgroups, "_roots", list)
    monkeypatch.setattr(cloud.images, "build", lambda wanted: done.append(("build", len(wanted))))
    monkeypatch.setattr(
        reinstall, "check", lambda old, new, state: done.append(("check", old.name))
    )
    monkeypatch.setattr(
        cloud.hosts, "stop", lambda names, patience=0: done.append(("stop", *names))
    )
    monkeypatch.setattr(cloud.hosts, "started", lambda: ["ceph01", "ceph02", "ceph03"])
    monkeypatch.setattr(cloud.hosts, "drop", lambda names: done.append(("drop", *names)))
    monkeypatch.setattr(
        reinstall, "remount", lambda host, *_: done.append(("remount", str(kept.image_of(host))))
    )
    monkeypatch.setattr(
        cloud.hosts,
        "start",
        lambda host, _: done.append(("start", host.name, host.generation.name)),
    )
    monkeypatch.setattr(cloud.readiness, "wait", lambda *_: None)
    return done


def _steps(name, to):
    return [("stop", name), ("remount", f"{to}-ceph"), ("start", name, to)]


def test_hosts_go_one_after_the_other_and_the_lab_remembers_of_what_they_are(lab):
    cloud.upgrade(("ceph02",), "trixie")
    assert lab == [("build", 1), ("check", "ceph02"), *_steps("ceph02", "trixie")]
    assert cloud.running().host("ceph02").generation == generation.load("trixie")
    lab.clear()
    cloud.upgrade((), "sid")
    names = ("ceph01", "ceph02", "ceph03")
    checks = [("check", name) for name in names]
    assert lab == [("build", 1), *checks, *(s for name in names for s in _steps(name, "sid"))]
    assert cloud.running().generations == "ceph of sid, else bookworm"


def test_what_was_upgraded_is_as_lab_up_left_it_after_a_reset(lab, monkeypatch):
    cloud.upgrade(("ceph01",), "trixie")
    lab.clear()
    monkeypatch.setattr(
        cloud, "_start", lambda of, some: lab.extend((h.name, h.generation.name) for h in some)
    )
    cloud.reset()
    assert lab[1:] == [(f"ceph0{n}", "bookworm") for n in (1, 2, 3)]
    assert cloud.running().generations == "bookworm"


def test_without_a_lab_there_is_nothing_to_upgrade(lab):
    cloud._STARTED_FROM.unlink()
    with pytest.raises(LabError, match="no whole lab is running.*inv lab.up"):
        cloud.upgrade((), "trixie")
    assert lab == []


def test_a_host_that_does_not_fit_stops_before_any_is_stopped(lab, monkeypatch):
    def refuses(old, _new, _state):
        raise LabError(f"{old.name}: packages")

    monkeypatch.setattr(reinstall, "check", refuses)
    with pytest.raises(LabError, match="ceph01: packages"):
        cloud.upgrade((), "trixie")
    assert lab == [("build", 1)]
    assert cloud.running().generations == "bookworm"


GOOD = "stackrbd-writer: turn 7 on vda,vdb: 0 wrong, 0 failed, longest 41 s, pause 1250 ms\n"


@pytest.mark.parametrize(
    ("told", "turn"),
    [
        ("", None),
        ("stackrbd-guest: up\n", None),
        (GOOD, writers.Turn(7, ("vda", "vdb"), 0, 0, 41, 1250)),
        (
            GOOD + GOOD.replace("turn 7", "turn 8").replace("0 wrong", "2 wrong"),
            writers.Turn(8, ("vda", "vdb"), 2, 0, 41, 1250),
        ),
        (
            GOOD + "stackrbd-writer: turn 8 on vda,vd",
            writers.Turn(7, ("vda", "vdb"), 0, 0, 41, 1250),
        ),
    ],
)
def test_the_last_whole_line_of_a_guest_counts(told, turn):
    assert writers.last(told) == turn


@pytest.mark.parametrize(
    "line",
    [
        "blk_update_request: I/O error, dev vdb, sector 524288",
        "Buffer I/O error on dev vda, logical block 0",
        "Kernel panic - not syncing",
    ],
)
def test_a_complaint_of_a_guests_kernel_is_a_fault_however_the_turns_went(line):
    with pytest.raises(AssertionError, match=line[:9]):
        writers.last(f"{GOOD}[ 99.1] {line}\n{GOOD}")


class _Api:
    """A cloud whose guest's console says one text after the other."""

    def __init__(self, *told):
        self.compute, self._told = self, list(told)

    def get_server(self, _id):
        return SimpleNamespace(hypervisor_hostname="compute01.lab")

    def get_server_console_output(self, _id):
        return {"output": self._told.pop(0) if len(self._told) > 1 else self._told[0]}


ONE = writers.Writer("w", "id", "vdb", "volume")


@pytest.fixture
def asked(monkeypatch):
    """Time passes at once; libvirt has no error of a disk."""
    clock = iter(range(0, 100_000, 30))
    monkeypatch.setattr(writers.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(writers.time, "sleep", lambda _: None)
    monkeypatch.setattr(writers, "on", lambda *_: "No errors found\n")


def test_a_guest_is_waited_for_until_it_wrote_to_its_volume_again(asked):
    early = GOOD.replace("vda,vdb", "vda").replace("turn 7", "turn 9")
    api = _Api("", early, GOOD, GOOD.replace("turn 7", "turn 10"))
    assert ONE.turn(api, 7).number == 10


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (GOOD.replace("0 wrong", "1 wrong"), "w: .*wrong=1"),
        (GOOD.replace("0 failed", "3 failed"), "w: .*failed=3"),
        (GOOD, "w: no turn after 7"),
        ("", "w: no turn after 7"),
    ],
)
def test_a_guest_that_read_something_else_or_stands_is_named(told, said, asked):
    with pytest.raises(AssertionError, match=said):
        ONE.turn(_Api(told), 7)


def test_a_disk_that_qemu_has_an_error_of_is_a_fault(asked, monkeypatch):
    monkeypatch.setattr(writers, "on", lambda *_: "vdb: unspecified error\n")
    with pytest.raises(AssertionError, match="w: vdb: unspecified"):
        ONE.turn(_Api(GOOD), 0)


def test_the_archive_that_is_laid_over_the_guests_is_one_that_a_kernel_unpacks():
    """newc: each head is 110 bytes and a name, each part fills whole words."""
    found, rest = {}, writers.archive({"init": b"#!/bin/sh\n", "a": b"x" * 5})
    while rest:
        assert rest[:6] == b"070701"
        mode, size, name = (int(rest[n : n + 8], 16) for n in (14, 54, 94))
        head = -(-(110 + name) // 4) * 4
        called = rest[110 : 110 + name]
        assert called[-1:] == b"\0" and mode == 0o100755
        found[called[:-1]] = rest[head : head + size]
        rest = rest[head + -(-size // 4) * 4 :]
    assert found == {b"init": b"#!/bin/sh\n", b"a": b"x" * 5, b"TRAILER!!!": b""}


def test_the_guests_own_start_stands_before_the_turns(monkeypatch, tmp_path):
    monkeypatch.setattr(writers.guests, "FILES", tmp_path)
    (tmp_path / "initrd").write_bytes(gzip.compress(b"first"))
    out = tmp_path / "out"
    out.mkdir()
    text = gzip.decompress(writers.initrd(out).read_bytes())  # both, one behind the other
    assert text.startswith(b"first070701") and b"insmod" in text and b"stackrbd-writer" in text
    script = text[text.index(b"#!/bin/busybox") : text.index(b"070701", 11)].rstrip(b"\0")
    subprocess.run(["sh", "-n"], input=script, check=True)
    assert b"every other one is written to" not in script  # the guest's own loop is not there


def test_each_step_of_an_upgrade_stands_behind_what_it_needs():
    seen = set()
    way = upgrade.walked(upgrade.WAY, ("compute01", "compute02"))
    for step in way:
        assert set(step.needs) <= seen, step.name
        seen.add(step.name)
    needs = {step.name: step.needs for step in way}
    assert needs["sid: Ceph"] == ("trixie: OpenStack, computes of one age",)
    assert needs["trixie: compute02"] == ("trixie: compute01",)


@pytest.mark.parametrize("way", ["trixie", "nova=trixie", "ceph=", "ceph=trixie,"])
def test_a_way_that_names_no_part_or_generation_is_refused(way):
    with pytest.raises(LabError, match="ceph=NAME or openstack=NAME"):
        upgrade.parsed(way)
