"""Records on the operator's side: whole, or under no final name; the oldest go."""

import json
import os
import time

import pytest

from fabfile.backup import age as age_format
from fabfile.backup import store as backup_store
from fabfile.backup.store import Incoming, Outgoing, Store
from fabfile.core.contract import BadInput, Failed


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "records"), "lab")


def keep(store, name, data=b"sealed", **more):
    part = store.begin(name)
    stream = Incoming(part / "ctl.age")
    stream.take(data)
    held = {**stream.close(), "files": {}}
    manifest = {"format": 1, "site": "lab", "time": time.time(), "hosts": {"ctl": held}, **more}
    return store.finish(part, manifest)


def test_a_record_is_found_by_name_or_as_the_last(store):
    with pytest.raises(BadInput, match="inv backup.create makes one"):
        store.named("")
    keep(store, "2026-01")
    keep(store, "2026-02")
    assert store.named("") == "2026-02"
    assert store.named("2026-01") == "2026-01"
    for name in ("2026-03", "../lab", "a/b"):
        with pytest.raises(BadInput, match="no backup"):
            store.named(name)


def test_only_its_owner_may_read_it(store):
    path = keep(store, "r")
    assert path.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in path.iterdir()} == {0o600}


def test_what_was_broken_off_is_no_record_and_is_cleared(store):
    part = store.begin("r1")
    (part / "ctl.age").write_bytes(b"half")
    assert list(store.all()) == []
    store.begin("r2")
    assert not part.exists()


def test_what_is_sent_again_takes_the_place_of_what_came(store):
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


@pytest.mark.parametrize(
    "harm, cause",
    [
        (lambda p: os.truncate(p / "ctl.age", 2), "is cut: 2 bytes, expected 6"),
        (lambda p: (p / "ctl.age").write_bytes(b"saeled"), "was altered"),
        (lambda p: (p / "ctl.age").unlink(), "is broken"),
        (lambda p: (p / "manifest.json").write_text("{"), "is broken"),
        (lambda p: (p / "manifest.json").write_text('{"format": 2}'), "format 1"),
        (lambda p: (p / "manifest.json").write_text("[]"), "format 1"),
    ],
)
def test_a_broken_record_is_refused(store, harm, cause):
    path = keep(store, "r")
    store.refuse_altered("r")
    harm(path)
    with pytest.raises(BadInput, match=cause):
        store.refuse_altered("r")


def test_a_broken_manifest_is_listed_and_is_not_the_last(store):
    keep(store, "r1")
    (keep(store, "r2") / "manifest.json").write_text("{")
    assert [name for name, manifest in store.all() if "broken" in manifest] == ["r2"]
    assert store.named("") == "r1"


def test_the_oldest_are_pruned_but_the_last_verified_is_not(store):
    for number in range(6):
        keep(store, f"r{number}")
    store.stood("r0", tables=1)
    store.stood("r1", tables=1)
    assert store.prune(2) == ["r3", "r2", "r0"]
    assert [name for name, _ in store.all()] == ["r5", "r4", "r1"]
    assert store.last_verified()[0] == "r1"
    assert store.prune(2) == []


def test_the_age_of_the_last_verified_is_the_records(store):
    assert store.last_verified() is None
    keep(store, "r", time=time.time() - 7200)
    store.stood("r", tables=1)
    name, age = store.last_verified()
    assert name == "r" and 7190 < age < 7300


def test_a_drill_that_cannot_be_noted_is_a_failure_with_its_cause(store):
    keep(store, "r")
    (store.path / "r" / "verified.json").mkdir()
    with pytest.raises(Failed, match=r"verified\.json: Is a directory"):
        store.stood("r", tables=1)
    assert sorted(p.name for p in (store.path / "r").iterdir() if p.name.startswith(".")) == []


def test_a_kept_file_goes_out_under_a_key_of_one_time(store):
    made = age_format._sealed(b"k" * 16, 0)
    keep(store, "r", made.header + b"payload" * 100_000)
    stream = Outgoing(store.sealed("r", "ctl"), [made.identity])
    pieces = list(iter(stream.give, b""))
    stream.close()
    assert b"".join(pieces).endswith(b"payload")
    assert max(map(len, pieces)) <= backup_store.PIECE
    assert made.identity != stream.identity
    again = age_format.reseal(store.sealed("r", "ctl").open("rb"), [made.identity], "r")
    assert len(b"".join(pieces)) == len(again.header) + 700_000


def test_a_manifest_is_json_for_people(store):
    path = keep(store, "r")
    assert json.loads((path / "manifest.json").read_text())["site"] == "lab"


HELD = {"size": 1, "sha256": ""}


@pytest.mark.parametrize(
    "more",
    [
        {"hosts": ["a"]},
        {"hosts": {"a": {}}},
        {"hosts": {"a": 5}},
        {"hosts": {}},
        {"hosts": {"a": HELD}, "time": "x"},
        {"hosts": {"a": HELD}, "site": 5},
        {"hosts": {"a": {**HELD, "size": "x"}}},
        {"hosts": {"a": {**HELD, "database": []}}},
        {"hosts": {"a": {**HELD, "database": {"tables": {"t": 5}}}}},
        {"hosts": {"a": {**HELD, "left": 5}}},
    ],
)
def test_a_manifest_that_was_damaged_is_no_record(store, more):
    path = keep(store, "r") / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, **more}))
    with pytest.raises(BadInput, match="expected a backup of format 1"):
        store.manifest("r")


@pytest.mark.parametrize("text", ["", "5", "{}", '{"time": "x"}', "[" * 100_000])
def test_a_drill_that_was_damaged_is_none(store, text):
    (keep(store, "r") / "verified.json").write_text(text)
    assert store.verified("r") is None
