"""A run's record: for its owner alone, and never with a secret in it."""

import json
import os
import stat

import pytest

from fabfile.core import journal
from fabfile.core.contract import Change, Plan, Ref, Secret

TEXT = "AQBsb2NrZWQgaW4gYSB0ZXN0IGZpbGU/AAAA+A=="


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    before = os.umask(0)
    made = journal.Journal("lab")
    yield made
    made.close()
    os.umask(before)


def plan_of(**args):
    return Plan((Change("n1", "a file", "write", "+", "write", args, 2),))


def events(record):
    return [json.loads(line) for line in (record.path / "events.jsonl").read_text().splitlines()]


def test_it_is_for_its_owner_alone_whatever_the_umask(record):
    record.plan(plan_of())
    modes = {p.name: oct(stat.S_IMODE(p.stat().st_mode)) for p in record.path.iterdir()}
    assert modes == {"events.jsonl": "0o600", "plan.json": "0o600"}
    assert oct(stat.S_IMODE(record.path.stat().st_mode)) == "0o700"


@pytest.mark.parametrize("state", ["state", None])
def test_where_it_is_kept(tmp_path, monkeypatch, state):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    if state:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / state))
    assert journal.folder() == tmp_path / (state or ".local/state") / "stackrbd" / "runs"


def test_two_runs_in_one_second_are_two(record):
    other = journal.Journal("lab")
    other.close()
    assert other.path.parent == record.path.parent
    assert other.id != record.id


def test_events_are_there_as_soon_as_they_happen(record):
    record.event("done", host="n1", thing="a\nb", why=None)
    first, second = events(record)
    assert (first["event"], first["site"], first["pid"]) == ("run", "lab", os.getpid())
    assert (second["event"], second["host"], second["thing"]) == ("done", "n1", "a\nb")
    assert first["time"] <= second["time"]


def test_a_secret_in_an_event_is_refused_and_nothing_of_it_written(record):
    with pytest.raises(TypeError):
        record.event("done", why=["x", {"key": Secret(TEXT)}])
    assert [e["event"] for e in events(record)] == ["run"]


@pytest.mark.parametrize("args", [{"stdin": [Secret(TEXT)]}, {"content": Secret(TEXT)}])
def test_a_secret_in_a_plan_is_refused(record, args):
    with pytest.raises(TypeError, match="secret"):
        record.plan(plan_of(**args))
    assert TEXT not in "".join(p.read_text() for p in record.path.iterdir())


def test_a_secret_in_words_is_three_stars(record):
    key = Secret(TEXT)
    record.event("failed", why=f"{key} {key!r} {[key]}", other=str(key))
    assert (events(record)[1]["why"], events(record)[1]["other"]) == ("*** *** [***]", "***")


def test_a_plan_names_its_secrets(record):
    record.plan(plan_of(content=["key = ", Ref("key:client.volumes")]))
    (change,) = json.loads((record.path / "plan.json").read_text())
    assert (change["host"], change["verb"], change["wave"]) == ("n1", "write", 2)
    assert change["args"]["content"][0] == "key = "
    assert "key:client.volumes" in change["args"]["content"][1].values()


def test_an_event_names_a_secret(record):
    record.event("begin", needs=Ref("key:client.volumes"))
    assert events(record)[1]["needs"] == {"ref": "key:client.volumes"}
