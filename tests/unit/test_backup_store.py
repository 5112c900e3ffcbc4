"""Records on the operator's side: whole, or under no final name; the oldest go."""

import functools
import json
import os
import shutil
import time

import pytest

from fabfile.backup import age as age_format
from fabfile.backup import store as backup_store
from fabfile.backup.store import Incoming
from fabfile.core.contract import BadInput, Failed

from . import backups
from .backups import HELD, a_signer, a_store, manifest


@pytest.fixture
def signer(tmp_path):
    return a_signer(tmp_path)


@pytest.fixture
def store(tmp_path, signer):
    return a_store(tmp_path, signer)


@pytest.fixture
def keep(signer):
    """Keeps a signed backup."""
    return functools.partial(backups.keep, signer=signer)


def test_a_record_is_found_by_name_or_as_the_last(store, keep):
    with pytest.raises(BadInput, match="inv backup.create makes one"):
        store.named("")
    store.begin("x")
    keep(store, "2026-01", time=1000)
    keep(store, "2026-02", time=2000)
    assert store.named("") == "2026-02"
    assert store.named("2026-01") == "2026-01"
    for name in ("2026-03", "../lab", "a/b", "..", ".", "2026-01\n", "x.partial"):
        with pytest.raises(BadInput, match="no backup"):
            store.named(name)


def test_only_its_owner_may_read_it(store, keep):
    path = keep(store, "r")
    assert path.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in path.iterdir()} == {0o600}


def test_what_was_broken_off_is_no_record_and_is_cleared(store, keep):
    part = store.begin("r1")
    (part / "ctl.age").write_bytes(b"half")
    assert list(store.all()) == []
    store.begin("r2")
    assert not part.exists()


def test_what_is_sent_again_takes_the_place_of_what_came(store, keep):
    part = store.begin("r")
    stream = Incoming(part / "ctl.age")
    stream.take(b"x" * 1000)
    stream.restart()
    stream.take(b"abc")
    assert stream.close()["size"] == 3
    assert (part / "ctl.age").read_bytes() == b"abc"


def test_a_full_disk_is_a_failure_with_its_cause(store, monkeypatch):
    stream = Incoming(store.begin("r") / "ctl.age")

    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(stream, "_stream", Full())
    with pytest.raises(Failed, match="No space left"):
        stream.take(b"x")


def a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def a_link(path, to):
    path.unlink()
    path.symlink_to(to)


def a_folder(path):
    path.unlink()
    path.mkdir()


def grown(path):
    with path.open("ab") as stream:
        stream.write(b"x")


def sparse(path):
    os.truncate(path, 1 << 40)


def every_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = [
    *((lambda p, n=n: os.truncate(p, n), f"is cut: {n} bytes, expected 6") for n in range(6)),
    (grown, "is cut: 7 bytes, expected 6"),
    (sparse, "is cut"),
    (every_byte, "was altered"),
    (lambda p: p.unlink(), "is broken: No such file"),
    (a_pipe, "expected a file"),
    (a_folder, "expected a file"),
    (lambda p: a_link(p, "/dev/zero"), "is broken: a link"),
    (lambda p: a_link(p, "nowhere"), "is broken: a link"),
    (lambda p: a_link(p, p.name), "is broken: a link"),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("harm, cause", DAMAGE)
def test_a_broken_part_is_refused(store, keep, harm, cause):
    path = keep(store, "r")
    store.refuse_altered("r")
    harm(path / "ctl.age")
    with pytest.raises(BadInput, match=cause):
        store.refuse_altered("r")
    with pytest.raises(BadInput, match=cause):
        store.outgoing("r", store.manifest("r"), [])


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "harm, cause",
    [
        (lambda p: os.truncate(p, 0), "altered"),
        (lambda p: os.truncate(p, 100), "altered"),
        (lambda p: p.unlink(), "No such file"),
        (lambda p: p.write_text("{"), "altered"),
        (every_byte, "altered"),
        (grown, "altered"),
        (sparse, "larger than"),
        (a_pipe, "expected a file"),
        (a_folder, "expected a file"),
        (lambda p: a_link(p, "/dev/zero"), "is broken: a link"),
    ],
)
def test_a_broken_manifest_is_refused_listed_and_not_the_last(store, keep, harm, cause):
    keep(store, "r1", time=1000)
    harm(keep(store, "r2", time=2000) / "manifest.json")
    with pytest.raises(BadInput, match=cause):
        store.manifest("r2")
    assert [name for name, about in store.all() if "broken" in about] == ["r2"]
    assert store.named("") == "r1"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("harm", [a_pipe, a_folder, sparse, lambda p: a_link(p, "/dev/zero")])
def test_a_note_of_a_drill_that_is_no_file_is_none(store, keep, harm):
    path = keep(store, "r")
    store.stood("r", tables=1)
    harm(path / "verified.json")
    assert store.verified("r") is None


# Which ones are pruned


def names(store):
    return [name for name, about in store.all() if "broken" not in about]


def test_the_oldest_are_pruned_but_the_last_verified_is_not(store, keep):
    for number in range(6):
        keep(store, f"r{number}", time=1000 + number)
    store.stood("r0", tables=1)
    store.stood("r1", tables=1)
    assert store.prune(2).gone == ["r3", "r2", "r0"]
    assert names(store) == ["r5", "r4", "r1"]
    assert store.last_verified()[0] == "r1"
    assert store.prune(2).gone == []


NOW = int(time.time())
OLDER = NOW - 9_000_000


def copied_by_hand(store, keep):
    shutil.copytree(keep(store, "old", time=OLDER), store.path / "before-upgrade")
    shutil.rmtree(store.path / "old")


def many_copies_of_the_oldest(store, keep):
    for number in range(20):
        shutil.copytree(keep(store, f"old{number}", time=OLDER), store.path / f"zz{number}")


def dated_far_ahead(store, keep):
    keep(store, "2099-01-01T00-00-00Z-aaaa", time=NOW + 2_000_000_000)


def dated_ahead_and_in_order(store, keep):
    for hour in range(5):
        keep(store, f"a{hour}", time=NOW + 7200 + hour)


def made_as_one_was_and_another_clock(store, keep):
    keep(store, "z", time=NOW + 60)  # less ahead than clocks may differ


def broken(store, keep):
    (keep(store, "zbroken", time=NOW) / "manifest.json").write_text("{")


def cut_short(store, keep):
    os.truncate(keep(store, "zcut", time=NOW) / "ctl.age", 2)


def rotten(store, keep):
    every_byte(keep(store, "zrot", time=NOW) / "ctl.age")


def part_gone(store, keep):
    (keep(store, "zgone", time=NOW) / "ctl.age").unlink()


def nobody_signed(store, keep):
    backups.keep(store, "zforged", time=NOW)


def no_folder_of_ours(store, keep):
    (store.path / "zzz").mkdir(parents=True)
    (store.path / "file").write_text("x")


STRAY = {
    copied_by_hand: "before-upgrade",
    many_copies_of_the_oldest: "zz",
    dated_far_ahead: "2099",
    dated_ahead_and_in_order: "a",
    made_as_one_was_and_another_clock: "",
    broken: "zbroken",
    cut_short: "zcut",
    rotten: "zrot",
    part_gone: "zgone",
    nobody_signed: "zforged",
    no_folder_of_ours: "zzz",
}


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("stray", STRAY)
def test_the_one_just_made_stays_and_what_is_not_whole_does_not_count(store, keep, stray, most):
    stray(store, keep)
    for number in range(4):
        keep(store, f"m{number}", time=NOW - 100 + number)
    keep(store, "made", time=NOW)
    before = {path.name for path in store.path.iterdir()}
    pruned = store.prune(most, "made")
    assert "made" in names(store)
    assert sorted(set(pruned.gone)) == sorted(before - {p.name for p in store.path.iterdir()})
    assert set(pruned.unfit) >= {n for n in before if STRAY[stray] and n.startswith(STRAY[stray])}
    assert all(str(store.path) in why for why in pruned.unfit.values())
    assert not set(pruned.unfit) & set(pruned.gone)
    whole = [name for name in names(store) if name not in pruned.unfit]
    assert len(whole) == most


def test_a_clock_that_went_back_takes_no_newer_one(store, keep, monkeypatch):
    for number in range(3):
        keep(store, f"r{number}", time=NOW + number)
    monkeypatch.setattr(backup_store.time, "time", lambda: NOW - 86400.0)
    keep(store, "made", time=NOW - 86400)
    pruned = store.prune(1, "made")
    assert pruned.gone == []
    assert set(pruned.unfit) == {"r0", "r1", "r2"}
    assert all("dated after now" in why for why in pruned.unfit.values())


def test_which_one_is_the_last_is_not_guessed_where_a_clock_is_wrong(store, keep):
    keep(store, "ahead", time=NOW + 86400)
    assert store.named("") == "ahead"  # nothing else is there
    keep(store, "r", time=NOW)
    with pytest.raises(BadInput, match="dated after now.*--backup r"):
        store.named("")
    assert store.named("ahead") == "ahead"


def test_what_cannot_be_deleted_is_named(store, keep, monkeypatch):
    keep(store, "r1", time=1000)
    keep(store, "r2", time=2000)

    def fails(path):
        raise OSError(13, "Permission denied", str(path))

    monkeypatch.setattr(backup_store.shutil, "rmtree", fails)
    pruned = store.prune(1, "r2")
    assert pruned.gone == [] and "Permission denied; it was not deleted" in pruned.unfit["r1"]


def test_the_age_of_the_last_verified_is_the_records(store, keep):
    assert store.last_verified() is None
    keep(store, "r", time=int(time.time()) - 7200)
    store.stood("r", tables=1)
    name, age = store.last_verified()
    assert name == "r" and 7190 < age < 7300


def test_a_drill_that_cannot_be_noted_is_a_failure_with_its_cause(store, keep):
    keep(store, "r")
    (store.path / "r" / "verified.json").mkdir()
    with pytest.raises(Failed, match=r"verified\.json: Is a directory"):
        store.stood("r", tables=1)
    assert sorted(p.name for p in (store.path / "r").iterdir() if p.name.startswith(".")) == []


def test_a_kept_file_goes_out_under_a_key_of_one_time(store, keep):
    made = age_format._sealed(b"k" * 16, 0)
    keep(store, "r", data=made.header + b"payload" * 100_000)
    stream = store.outgoing("r", store.manifest("r"), [made.identity])["ctl"]
    pieces = list(iter(stream.give, b""))
    stream.close()
    assert b"".join(pieces).endswith(b"payload")
    assert max(map(len, pieces)) <= backup_store.PIECE
    assert made.identity != stream.identity
    again = age_format.reseal(store.sealed("r", "ctl").read_bytes(), [made.identity], "r")
    assert len(b"".join(pieces)) == len(again.header) + 700_000


def test_a_manifest_is_json_for_people(store, keep):
    path = keep(store, "r")
    assert json.loads((path / "manifest.json").read_text())["site"] == "lab"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "{}",
        '{"time": "x"}',
        '{"time": NaN}',
        '{"time": 1e999}',
        '{"time": -1}',
        '{"time": true}',
        "[" * 100_000,
        '{"time": ' + "1" * 5000 + "}",
    ],
)
def test_a_drill_that_was_damaged_is_none(store, keep, text):
    (keep(store, "r") / "verified.json").write_text(text)
    assert store.verified("r") is None


def test_a_part_that_is_exchanged_after_it_was_compared_goes_out_as_it_was(store, keep):
    """Whoever can write there can do so between two looks."""
    made, other = age_format._sealed(b"k" * 16, 0), age_format._sealed(b"o" * 16, 0)
    path = keep(store, "r", data=made.header + b"payload") / "ctl.age"
    stream = store.outgoing("r", store.manifest("r"), [made.identity, other.identity])["ctl"]
    (path.parent / "new").write_bytes(other.header + b"PAYLOAD")
    (path.parent / "new").rename(path)
    assert b"".join(iter(stream.give, b"")).endswith(b"payload")
    stream.close()


def test_a_part_in_a_folder_above_is_never_asked_for(store, keep):
    for name in ("../../x", "a/b", ".", "..", "", "a\0b", "a\n"):
        keep(store, "r", **{"hosts": {name: HELD}})
        with pytest.raises(BadInput, match="the backup is broken"):
            store.manifest("r")
        shutil.rmtree(store.path / "r")
    assert manifest()["hosts"]["ctl"]["size"] == 6
