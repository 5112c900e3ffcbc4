"""inv report: what it reads, where it writes, and what it refuses before it looks."""

import json
import stat
import time

import pytest

from fabfile.core import journal
from fabfile.core.contract import BadInput, Change, Plan
from fabfile.flow import session
from fabfile.flow.inspect import reporting
from fabfile.flow.session import Options

from .clouds import hosts
from .states import HOSTS
from .test_survey import FakeFleet

FILES = {"report.html", "report.json", "junit.xml"}


@pytest.fixture
def reported(tmp_path, monkeypatch, capsys):
    """Runs report on a made-up cloud; (exit code, the JSON document)."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "site.toml"
    rows = "".join(f"{n} = {{ roles = {h['roles']} }}\n" for n, h in HOSTS.items())
    file.write_text(f'name = "test"\n[hosts]\n{rows}')
    fleets = []

    def run(out="", prom="", change=lambda cloud: None, gone=()):
        cloud = hosts()
        change(cloud)
        for seen in cloud.values():
            seen["host"].update(time=time.time(), monotonic=time.time() - 1e6)
        fleets.append(FakeFleet(cloud, gone))
        monkeypatch.setattr(session, "_fleet", lambda *_: fleets[-1])
        capsys.readouterr()
        code = reporting.report({}, Options(str(file), json=True), str(out), str(prom))
        return code, json.loads(capsys.readouterr().out)

    run.fleets = fleets
    return run


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_it_writes_three_files_for_the_operator_alone(reported, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    code, told = reported(out)
    assert (code, told["healthy"]) == (0, True)
    assert {p.name for p in out.iterdir()} == FILES
    assert {mode(p) for p in out.iterdir()} == {0o600}
    assert {str(out / name) for name in FILES} == set(told["files"])
    document = json.loads((out / "report.json").read_text())
    assert document["site"] == "test" and document["by"] and document["version"]
    assert abs(document["made"] - time.time()) < 60


def test_it_looks_as_doctor_does_one_trip_a_host_and_nothing_written(reported, tmp_path):
    reported(tmp_path)
    assert set(reported.fleets[-1].trips.values()) == {1}
    assert not (tmp_path / "state" / "stackrbd" / "runs").exists()


def test_without_a_folder_it_is_beside_the_records(reported):
    _, told = reported()
    folder = journal.folder().parent / "reports" / "test"
    assert {str(folder / name) for name in FILES} == set(told["files"])
    assert {mode(p) for p in (folder, folder.parent, folder.parent.parent)} == {0o700}


def test_metrics_alone_or_beside(reported, tmp_path):
    prom = tmp_path / "stackrbd.prom"
    _, told = reported(prom=prom)
    assert told["files"] == [str(prom)] and mode(prom) == 0o644
    assert 'stackrbd_healthy{site="test"} 1\n' in prom.read_text()
    assert not (tmp_path / "state").exists()
    _, told = reported(out=tmp_path, prom=prom)
    assert len(told["files"]) == 4


def test_it_is_0_whatever_was_found_and_says_it(reported, tmp_path):
    code, told = reported(tmp_path, change=lambda c: c["n2"].update({"libvirt.secrets": {}}))
    assert (code, told["healthy"], told["counts"]["error"]) == (0, False, 1)
    html = (tmp_path / "report.html").read_text()
    # The site file was named, so the commands name it too.
    assert f"inv compute.secret --site {tmp_path / 'site.toml'} --limit n2" in html
    code, told = reported(tmp_path, gone=("n1",))
    assert (code, told["healthy"], told["drift"]["known"]) == (0, False, False)


@pytest.mark.parametrize(
    "out, prom, words",
    [
        ("site.toml/below", "", "--out: .*site.toml/below: Not a directory"),
        ("site.toml", "", "--out: .*expected a folder, found a file"),
        ("", "metrics.txt", "--prom: .*expected a name that ends in .prom"),
        ("", "site.toml/a.prom", "--prom: .*expected a folder, found a file"),
        ("", "site.toml/below/a.prom", "--prom: .*site.toml/below: Not a directory"),
    ],
)
def test_what_is_not_fit_is_refused_before_any_look(reported, tmp_path, out, prom, words):
    with pytest.raises(BadInput, match=words):
        reported(tmp_path / out if out else "", tmp_path / prom if prom else "")
    assert reported.fleets[-1].trips == {}


@pytest.mark.parametrize("out", ["new", "a/b/c", "a/../b", "umlaut ü"])
def test_a_folder_that_is_not_there_is_made(reported, tmp_path, out):
    reported(tmp_path / out)
    assert (tmp_path / out / "report.html").is_file()
    assert (tmp_path / out).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("folder", ["new", "a/b/c", "a/../b"])
def test_the_metrics_folder_is_made_for_the_exporter(reported, tmp_path, folder):
    reported(prom=tmp_path / folder / "a.prom")
    assert mode(tmp_path / folder / "a.prom") == 0o644
    assert mode(tmp_path / folder) & 0o700 == 0o700


def test_a_state_folder_that_cannot_be_made(reported, tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(BadInput, match="name a folder by --out"):
        reported()


def record(name, began, *events, task="integrate", site="test", changes=()):
    made = journal.Journal(name, site=site, task=task)
    made.plan(Plan(tuple(changes)))
    for kind, what in events:
        made.event(kind, **what)
    path = made.path / "events.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for number, line in enumerate(lines):
        line["time"] = began + number
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_runs_are_those_of_the_site_newest_first(reported, tmp_path):
    change = Change("n1", "nova.conf", "set 2 options", "~", "edit", {}, 2)
    step = {"host": "n1", "step": 0}
    record(
        "2026-01-01T00-00-00Z-aaaa",
        100.0,
        ("begin", step),
        ("done", step),
        ("ended", {"code": 0}),
        changes=[change],
    )
    record("2026-01-02T00-00-00Z-aaaa", 200.0, ("ended", {"code": 1}), site="other")
    proof = {"name": "an image in Glance", "ok": True, "detail": "it is", "seconds": 2.5}
    record(
        "2026-01-03T00-00-00Z-aaaa", 300.0, ("proof", proof), ("ended", {"code": 0}), task="verify"
    )
    record("2026-01-04T00-00-00Z-aaaa", 400.0, ("begin", step), changes=[change])
    reported(tmp_path)
    runs = json.loads((tmp_path / "report.json").read_text())["runs"]
    assert [(r["task"], r["outcome"], r["began"]) for r in runs] == [
        ("integrate", "not ended", 400.0),
        ("verify", "done", 300.0),
        ("integrate", "done", 100.0),
    ]
    assert [r["steps"][0]["done"] if r["steps"] else None for r in runs] == [0, None, 1]
    html = (tmp_path / "report.html").read_text()
    assert "an image in Glance" in html and "set 2 options" in html


def test_only_the_newest_runs_are_told(reported, tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "MOST_RUNS", 3)
    monkeypatch.setattr(reporting, "MOST_WITH_STEPS", 1)
    change = Change("n1", "nova.conf", "set", "~", "edit", {}, 2)
    for day in range(1, 6):
        record(
            f"2026-01-0{day}T00-00-00Z-aaaa", 100.0 * day, ("ended", {"code": 0}), changes=[change]
        )
    runs = reporting.runs("test")
    assert [r["run"][:10] for r in runs] == ["2026-01-05", "2026-01-04", "2026-01-03"]
    assert [len(r["steps"]) for r in runs] == [1, 0, 0]


def test_the_newest_verify_is_told_however_long_ago(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(reporting, "MOST_RUNS", 2)
    record("2026-01-01T00-00-00Z-aaaa", 100.0, ("ended", {"code": 0}), task="verify")
    for day in range(2, 6):
        record(f"2026-01-0{day}T00-00-00Z-aaaa", 100.0 * day, ("ended", {"code": 0}))
    assert [r["task"] for r in reporting.runs("test")] == ["integrate", "integrate", "verify"]
