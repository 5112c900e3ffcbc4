"""A run's record: for its owner alone, and never with a secret in it."""

import json
import os
import re
import resource
import signal
import stat
import tracemalloc

import pytest

from fabfile.core import journal, strict_json
from fabfile.core.contract import BadInput, Change, Plan, Ref, Secret
from fabfile.flow import history, limit
from manual import reference

from .states import HOSTS, site

TEXT = "AQBsb2NrZWQgaW4gYSB0ZXN0IGZpbGU/AAAA+A=="


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def record(home):
    before = os.umask(0)
    yield journal.Journal(journal.new_id(), site="lab")
    os.umask(before)


def plan_of(**args):
    return Plan((Change("n1", "a file", "write", "+", "write", args, 2),))


def events(record):
    return [json.loads(line) for line in (record.path / "events.jsonl").read_text().splitlines()]


def test_it_is_for_its_owner_alone_whatever_the_umask(record):
    record.plan(plan_of())
    modes = {p.name: oct(stat.S_IMODE(p.stat().st_mode)) for p in record.path.iterdir()}
    assert modes == {"events.jsonl": "0o600", "plan.json": "0o600"}
    for path in (record.path, journal.folder(), journal.folder().parent):
        assert oct(stat.S_IMODE(path.stat().st_mode)) == "0o700"


@pytest.mark.parametrize("state", ["state", None])
def test_where_it_is_kept(tmp_path, monkeypatch, state):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    if state:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / state))
    assert journal.folder() == tmp_path / (state or ".local/state") / "stackrbd" / "runs"


def test_two_runs_in_one_second_are_two(record):
    other = journal.Journal(journal.new_id(), site="lab")
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
    assert change["args"]["content"] == ["key = ", {"ref": "key:client.volumes"}]


def test_an_event_names_a_secret(record):
    record.event("begin", needs=Ref("key:client.volumes"))
    assert events(record)[1]["needs"] == {"ref": "key:client.volumes"}


def test_a_record_that_cannot_be_written_is_said_once(tmp_path, monkeypatch, capsys):
    (tmp_path / "stackrbd").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    record = journal.Journal(journal.new_id(), site="lab")
    record.event("done", host="n1")
    assert capsys.readouterr().err.count("leaves no record") == 1


def test_a_run_cut_off_in_the_middle_of_a_line_can_still_be_read(record):
    with (record.path / "events.jsonl").open("a") as stream:
        stream.write('{"event": "do')
    assert [e["event"] for e in journal.read(record.id)[0]] == ["run"]
    assert [name for name, _ in journal.runs()] == [record.id]


@pytest.mark.parametrize("name", ["", "nobody", "../../etc", "a/b", "x" * 200])
def test_a_run_that_is_not_there_is_bad_input(record, name):
    with pytest.raises(BadInput, match="inv history"):
        journal.read(name)


def test_old_runs_are_pruned_by_number_and_age(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(journal, "MOST_RUNS", 3)
    for day in range(1, 6):
        (journal.folder() / f"2026-01-0{day}").mkdir(parents=True)
    os.utime(journal.folder() / "2026-01-05", (0, 0))
    journal.Journal("2026-02-01")
    assert sorted(p.name for p in journal.folder().iterdir()) == [
        "2026-01-03",
        "2026-01-04",
        "2026-02-01",
    ]


GOOD = b'{"time": 1.0, "event": "run", "site": "lab", "task": "integrate"}\n'
ENDED = b'{"time": 2.0, "event": "ended", "code": 0, "failed": {}}\n'


def keep(name, events, plan=None):
    path = journal.folder() / name
    path.mkdir(parents=True)
    (path / "events.jsonl").write_bytes(events)
    if plan is not None:
        (path / "plan.json").write_bytes(plan)


PROOF = (
    b'{"time": 1.5, "event": "proof", "name": "a volume", "ok": true, "detail": "made", '
    b'"seconds": 1}\n'
    b'{"time": 1.6, "event": "proof", "name": "an image", "ok": false, "detail": "in files", '
    b'"seconds": 1}\n'
)


def test_the_newest_run_is_shown_with_what_a_proof_found(home, capsys):
    with pytest.raises(BadInput, match="no runs are recorded"):
        history.show("", False)
    keep("2026-11-27T10-00-00Z-aaaa", GOOD + ENDED)
    keep("2026-11-28T10-00-00Z-aaaa", GOOD + PROOF + ENDED)
    assert history.show("", False) == 0
    shown = capsys.readouterr().out
    assert "2026-11-28T10-00-00Z-aaaa" in shown
    assert "  ok    a volume: made\n  NOT   an image: in files\n" in shown


@pytest.mark.parametrize("number, older", [(30, ""), (31, "and 1 older: "), (40, "and 10 older: ")])
def test_the_newest_runs_are_listed(home, capsys, number, older):
    for one in range(number):
        keep(f"2026-11-{one % 28 + 1:02d}T10-00-{one:02d}Z-aaaa", GOOD + ENDED)
    assert history.history(False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("T10-00-" in line for line in lines) == 30
    assert ("older" in lines[-1]) == bool(older) and lines[-1].startswith(older)


@pytest.mark.parametrize(
    "odd",
    [
        b"\xff\xfe",
        b"5",
        b"[]",
        b"{}",
        b"null",
        b'{"event": "run"}',
        b"[" * 100_000,
        b'{"time": "x", "event": "run"}',
        b'{"time": null, "event": "run"}',
        b'{"time": NaN, "event": "run"}',
        b'{"time": 1e300, "event": "run"}',
        b'{"time": -1, "event": "run"}',
        b'{"time": 1, "event": "done", "host": []}',
        b'{"time": 1, "event": "done", "host": "n1", "step": {}}',
        b'{"time": 1, "event": "ended", "code": [1]}',
        b'{"time": 1, "event": "ended", "code": 0, "failed": 5}',
        b'{"time": 1, "event": "proof", "name": "x", "ok": "no"}',
        b'{"time": 1, "event": "proof", "name": "x", "ok": true, "detail": "", "seconds": "long"}',
        b'{"time": 1, "event": "proof", "name": "x", "detail": "", "seconds": 1}',
        b'{"time": 1, "event": "proof", "name": "x", "ok": true, "seconds": 1}',
        b'{"time": 1, "event": "proof", "name": "x", "ok": true, "detail": ""}',
        b'{"time": 1, "event": "run", "site": ["lab"]}',
        b'{"time": 1, "event": "run", "who": "\\ud800"}',
        b'{"time": ' + b"9" * 5000 + b', "event": "run"}',
    ],
)
def test_a_line_that_is_no_event_is_passed_over(home, odd):
    keep("r0", GOOD + ENDED)
    keep("r1", GOOD + odd + b"\n")
    keep("r2", odd + b"\n")
    assert [run for run, _ in journal.runs()] == ["r1", "r0"]
    assert history.history(False) == history.show("r1", False) == 0
    assert history.last("lab")["run"] == "r1"


@pytest.mark.parametrize(
    "named, runs",
    [("lab", ["r2", "r1"]), ("other", ["r3"]), ("none", []), ("", ["r3", "r2", "r1"])],
)
def test_history_of_one_site(home, tmp_path, capsys, named, runs):
    for run, of in (("r1", b"lab"), ("r2", b"lab"), ("r3", b"other")):
        keep(run, GOOD.replace(b"lab", of) + ENDED)
    path = tmp_path / "site.toml"
    path.write_text(f'name = "{named}"\nhosts.n1.roles = ["ceph"]\n')
    path.chmod(0o600)
    assert history.history(False, str(path) if named else "") == 0
    said = capsys.readouterr().out
    assert re.findall(r"^r\d", said, re.MULTILINE) == runs
    assert ("no runs of site 'none'" in said) is not bool(runs)


@pytest.mark.parametrize("code", sorted(reference.codes().keys() - {reference.PENDING}))
def test_how_a_run_ended_is_a_word(home, code):
    keep("r1", GOOD + b'{"time": 2, "event": "ended", "code": %d}\n' % code)
    assert not history.last("lab")["outcome"].isdigit()


ODD_CHANGES = (
    {"host": {}},
    {"host": None},
    {"thing": 5},
    {"sign": "<"},
    {"args": []},
    {"args": {}},
    {"args": {"name": [], "backend_name": "rbd"}},
    {"args": {"name": "rbd", "backend_name": "rbd", "was": {"x": 5}}},
    {"args": {"name": "rbd", "backend_name": "rbd", "was": ["x"]}},
    {"args": {"name": "rbd", "backend_name": "rbd", "specs": {"x": "a\nb"}}},
    {"verb": "qos", "args": {"name": "rbd", "specs": {}, "was": {}}},
    {"verb": "qos", "args": {"name": "rbd", "specs": {"x": 1}, "was": {}, "bound": True}},
    {"wave": "1"},
    {"diff": "x"},
)


def change_of(**odd):
    whole = {
        **dict.fromkeys(("thing", "sentence"), "x"),
        "host": "cloud",
        "verb": "volume_type",
        "sign": "+",
        "args": {"name": "rbd", "backend_name": "rbd"},
        "wave": 3,
    }
    return json.dumps([{**whole, **odd}]).encode()


@pytest.mark.parametrize(
    "plan",
    [
        None,
        b"",
        b"{}",
        b"5",
        b"[1]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'[{"host": "n1"}]',
        *(change_of(**odd) for odd in ODD_CHANGES),
    ],
)
def test_a_plan_that_is_damaged_is_named_where_it_is_needed(home, plan):
    keep("r1", GOOD + b'{"time": 2.0, "event": "done", "host": "cloud", "step": 0}\n', plan)
    assert history.show("r1", False) == 0
    with pytest.raises(BadInput, match="plan.json: expected the plan of what the run did"):
        history.undone("r1", site(name="lab"), set(HOSTS))
    assert history.undone("r1", site(name="lab"), {"n1"}).cloud == []


@pytest.mark.parametrize(
    "more, hosts, words",
    [
        (
            {"stays": "a guest keeps the new client"},
            ["cloud"],
            r"\(x\) stays: a guest keeps the new",
        ),
        ({}, ["cloud"], "name another one by --run"),
        ({}, ["cloud", "ctl"], None),  # what it did on a host is taken back, or told there
        ({"verb": "volume_type", "args": {"name": "a", "backend_name": "b"}}, ["cloud"], None),
    ],
)
def test_a_run_that_moved_guests_alone_says_why_nothing_is_taken_back(home, more, hosts, words):
    moved = {"verb": "server_migrate", "args": {"instance": "i"}, **more}
    done = "".join(
        json.dumps({"time": 2.0, "event": "done", "host": host, "step": 0}) + "\n" for host in hosts
    )
    keep("r1", GOOD + done.encode(), change_of(**moved))
    if words is None:
        assert history.undone("", site(name="lab"), set(HOSTS)).run == "r1"
        return
    with pytest.raises(BadInput, match=words):
        history.undone("", site(name="lab"), set(HOSTS))


def test_hosts_that_are_gone_from_the_site_are_told_to_undo(home):
    keep("r1", GOOD + b'{"time": 2.0, "event": "done", "host": "n9", "step": 0}\n', b"[]")
    assert history.undone("", site(name="lab"), set(HOSTS)).strangers == ["n9"]
    assert history.undone("", site(name="lab"), {"n1"}).strangers == []


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(home, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", closed)  # root may read everything
    with pytest.raises(BadInput, match="runs: Permission denied: expected the records of runs"):
        history.history(False)


def test_a_plan_without_room_is_warned_of(home, capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    record = journal.Journal("r1", site="lab")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        record.plan(plan_of(content=["y" * 5000]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert "warning" in capsys.readouterr().err.lower()


def test_without_a_home_it_says_how_to_name_a_folder(monkeypatch):
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4294960000)
    with pytest.raises(BadInput, match="set HOME, or name a folder by XDG_STATE_HOME"):
        journal.folder()


def a_line(letters):
    """A whole event of so many bytes."""
    head, tail = b'{"time": 1.0, "event": "failed", "host": "n1", "why": "', b'"}\n'
    return head + b"x" * (letters - len(head) - len(tail)) + tail


SMALL = b'{"time":1,"event":""}\n'


@pytest.fixture
def bounds(monkeypatch):
    """Small ones, of each kind its own."""
    monkeypatch.setattr(journal, "MOST_LETTERS", 1 << 16)
    monkeypatch.setattr(journal, "MOST_LINES", 500)
    monkeypatch.setattr(strict_json, "MOST", 1 << 16)
    tracemalloc.start()
    yield
    tracemalloc.stop()


BEYOND = {
    "of small events": lambda most: GOOD + SMALL * (most // len(SMALL) + 1),
    "one event too long": lambda most: GOOD + a_line(most),
    "a line that never ends": lambda most: GOOD + b"x" * most,
    "events, then zeros": lambda most: GOOD + SMALL + bytes(most),
    "empty lines": lambda most: GOOD + b"\n" * most,
    "its end is there, and too late": lambda most: GOOD + a_line(most) + ENDED,
}


@pytest.mark.parametrize("found", BEYOND.values(), ids=BEYOND)
def test_a_record_beyond_the_bound_is_read_that_far_and_said(home, bounds, found, capsys):
    keep("r1", found(40 * journal.MOST_LETTERS))
    keep("r0", GOOD + b'{"time": 2.0, "event": "done", "host": "n9"}\n' + ENDED)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    assert history.show("r1", False) == history.history(False) == 0
    assert tracemalloc.get_traced_memory()[1] - before < 12 * journal.MOST_LETTERS
    said = capsys.readouterr().out
    assert "expected a record of at most 500 events and 65536 bytes, found more" in said
    assert re.search(r"r1 .* unread ", said) and re.search(r"r0 .* done ", said)
    for run in ("", "r1"):  # not r0, which is older
        with pytest.raises(BadInput, match="r1/events.jsonl: expected a record of at most"):
            history.undone(run, site(name="lab"), set(HOSTS))
    with pytest.raises(BadInput, match="r1/events.jsonl: expected a record of at most"):
        limit.resolved(site(name="lab"), "@failed")


@pytest.mark.parametrize("letters", [0, -1])
def test_a_record_up_to_the_bound_is_read_whole(home, bounds, letters):
    keep("r1", GOOD + a_line(journal.MOST_LETTERS - len(GOOD) - len(ENDED) + letters) + ENDED)
    assert [e["event"] for e in journal.read("r1")[0]] == ["run", "failed", "ended"]


@pytest.mark.parametrize("name", ["events.jsonl", "plan.json"])
def test_what_is_no_file_is_not_waited_for(home, name):
    keep("r1", GOOD + ENDED, b"[]")
    (journal.folder() / "r1" / name).unlink()
    os.mkfifo(journal.folder() / "r1" / name)
    assert [run for run, _ in journal.runs()] == ["r1"] * (name != "events.jsonl")
    if name != "events.jsonl":
        assert journal.read("r1")[1] == []


def test_a_plan_beyond_the_bound_is_none(home, bounds):
    keep("r1", GOOD + ENDED, change_of() + b" " * 40 * strict_json.MOST)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    assert journal.read("r1")[1] == []
    assert tracemalloc.get_traced_memory()[1] - before < 12 * strict_json.MOST
