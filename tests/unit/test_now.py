"""`inv` alone: what to do now, from what is known here."""

import json

import pytest

from fabfile.core import journal, site_file
from fabfile.flow.inspect import now
from fabfile.flow.session import Options
from tests.unit.test_site_schema import SITE


def run(task, outcome="done", name="r1"):
    return {"run": name, "site": "s", "task": task, "outcome": outcome, "changes": 1}


@pytest.mark.parametrize(
    "runs, expected",
    [
        ([], ["hosts.trust", "hosts.check", "plan", "integrate"]),
        ([run("integrate")], ["verify", "doctor", "report"]),
        ([run("apply")], ["verify", "doctor", "report"]),
        ([run("verify"), run("integrate")], ["doctor", "report"]),
        ([run("integrate"), run("verify"), run("integrate")], ["verify", "doctor", "report"]),
        ([run("backup.create"), run("integrate")], ["verify", "doctor", "report"]),
        ([run("ceph.pools"), run("integrate")], ["services.restart", "plan"]),
        ([run("undo"), run("integrate")], ["plan"]),
        ([run("verify")], ["plan"]),
        ([run("integrate", "failed")], ["show --run r1", "doctor", "integrate"]),
        ([run("integrate", "unknown")], ["show --run r1", "doctor", "integrate"]),
        ([run("verify", "unproved"), run("integrate")], ["show --run r1", "doctor", "verify"]),
        ([run("apply", "not ended")], ["show --run r1", "doctor", "plan"]),
        ([run("undo", "interrupted")], ["show --run r1", "doctor", "plan"]),
        ([run("backup.restore", "failed")], ["show --run r1", "doctor", "plan"]),
    ],
    ids=str,
)
def test_what_is_next_follows_from_the_runs(runs, expected):
    said, found = now.after(runs)
    assert [one.run for one in found] == [f"inv {words}" for words in expected]
    assert all(one.why for one in found)
    assert not runs or (runs[0]["task"] in said and runs[0]["outcome"] in said)


def test_a_fresh_checkout_is_told_of_the_lab_and_of_a_cloud_of_ones_own(
    tmp_path, monkeypatch, capsys
):
    """Its site file is the lab's: to trust and plan hosts that are not there leads nowhere."""
    monkeypatch.setattr(journal, "folder", lambda: tmp_path / "runs")
    monkeypatch.delenv("STACKRBD_SITE", raising=False)
    assert now.show(Options()) == 0
    said = capsys.readouterr().out
    assert "is the lab's site file" in said
    for words in ("make demo", "inv init --cloud NAME --ceph HOST", "inv plan"):
        assert f"\n  {words} " in said


@pytest.fixture
def shown(tmp_path, monkeypatch, capsys):
    """A function that runs it on a site file's text, and gives back what it prints."""
    monkeypatch.setattr(journal, "folder", lambda: tmp_path / "runs")

    def show(text, **options):
        path = tmp_path / "site.toml"
        if text is not None:
            path.write_text(text)
            path.chmod(0o600)
        assert now.show(Options(site=str(path), **options)) == 0
        return capsys.readouterr().out

    return show


def test_without_a_site_file_it_is_made(shown):
    said = shown(None)
    assert "there is no site file." in said
    assert "inv init --cloud NAME --ceph HOST  or: describe a cloud that runs" in said


def test_faults_are_told_first_and_not_all_of_them(shown):
    said = shown((site_file.CONFIG / "start.toml").read_text())
    assert said.count("fill this in") == 5 and "and 1 more" in said


def test_the_commands_name_the_site_file(shown):
    said = shown(SITE)
    assert "no run is recorded here." in said
    assert " plan --site /" in said and "integrate --site /" in said
    assert "backup.key" not in said
    assert "backup.key" in shown(SITE.replace('"glance",', '"glance", "database",'))


@pytest.mark.parametrize("more, open_", [("", True), ('\n[verify]\nimage = "x"\n', False)])
def test_what_proves_it_needs_a_guest_first(shown, tmp_path, more, open_):
    folder = tmp_path / "runs" / "2026-11-28T10-00-00Z-aaaa"
    folder.mkdir(parents=True)
    began = {"time": 1.0, "event": "run", "site": "s", "task": "integrate"}
    ended = {"time": 2.0, "event": "ended", "code": 0}
    (folder / "events.jsonl").write_text(f"{json.dumps(began)}\n{json.dumps(ended)}\n")
    said = " ".join(shown(SITE + more).split())
    assert ("fill in [verify] of site.toml (docs/verify.md)" in said) == open_
    assert "prove that it works" in said


def test_as_json(shown):
    told = json.loads(shown(SITE, json=True).splitlines()[-1])
    assert [one["run"].split()[1] for one in told["next"]][-1] == "integrate"
