"""Who may write what runs here before a task does, and what says whom passwords are sent to."""

import os
import sys
from pathlib import Path

import pytest
from invoke import Exit
from openstack.config import loader

from fabfile.cloud import connection
from fabfile.command import guarded
from fabfile.core import journal, own_code
from fabfile.core.contract import BadInput

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")


@pytest.fixture
def top(tmp_path, monkeypatch):
    """A copy of this program as far as it counts, a home and a Python environment."""
    for folder in ("fabfile/core", "fabfile/core/__pycache__", "config/releases", "venv", "home"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "tasks.py").touch()
    monkeypatch.setattr(own_code, "TOP", tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("INVOKE_RUNTIME_CONFIG", raising=False)
    return tmp_path


def given(path):
    os.chown(path, NOBODY, NOBODY)


def opened(path):
    path.chmod(0o777)


def to_a_group(path):
    os.chown(path, -1, 4242)
    path.chmod(0o775)


def another_made(path):
    path.write_text("raise SystemExit\n")
    given(path)


def a_link_of_another(path):
    path.symlink_to("/etc/passwd")
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def a_link_to_what_another_made(path):
    another_made(path.parent / "elsewhere")
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    "name, done, what",
    [
        ("", opened, "the tasks"),
        ("tasks.py", given, "the tasks"),
        ("tasks.py", opened, "the tasks"),
        ("fabfile", to_a_group, "the program's sources"),
        ("fabfile/core", opened, "the program's sources"),
        ("fabfile/core", given, "the program's sources"),
        ("config/releases", to_a_group, "the program's sources"),
        ("venv", opened, "the Python environment"),
        ("invoke.yaml", another_made, "settings of Invoke"),
        ("invoke.py", another_made, "settings of Invoke"),
        ("invoke.json", a_link_of_another, "settings of Invoke"),
        ("fabric.yml", a_link_to_what_another_made, "settings of Invoke"),
        ("home/.invoke.py", another_made, "settings of Invoke"),
        ("home/.fabric.py", another_made, "settings of Invoke"),
        ("home/.fabric.yaml", a_link_of_another, "settings of Invoke"),
    ],
)
def test_what_runs_here_is_written_by_nobody_else(top, name, done, what):
    own_code.refuse_alterable()
    done(top / name if name else top)
    with pytest.raises(BadInput) as found:
        own_code.refuse_alterable()
    assert what in str(found.value) and "who may write there decides" in str(found.value)


def test_settings_that_the_environment_names_count(top, monkeypatch):
    another_made(top / "run.yaml")
    own_code.refuse_alterable()
    monkeypatch.setenv("INVOKE_RUNTIME_CONFIG", str(top / "run.yaml"))
    with pytest.raises(BadInput, match="run.yaml: the settings of Invoke"):
        own_code.refuse_alterable()


@pytest.mark.parametrize("name", ["invoke.yaml", "home/.fabric.py"])
def test_settings_of_ones_own_are_taken_and_links_to_nothing_are_none(top, name):
    (top / name).touch()
    own_code.refuse_alterable()
    (top / name).unlink()
    (top / name).symlink_to(top / name)
    own_code.refuse_alterable()


def test_a_task_is_refused_in_words(top, monkeypatch):
    opened(top / "fabfile")
    with pytest.raises(Exit, match="the program's sources: others may write it") as found:
        guarded(lambda: pytest.fail("it ran"))
    assert found.value.code == 3


CLOUD = "clouds: {x: {auth: {auth_url: 'http://ours', username: u, password: p, project_name: n}}}"
THEIRS = "clouds: {x: {auth: {auth_url: 'http://theirs'}}}"


@pytest.fixture
def places(top, monkeypatch):
    """The folders in which openstacksdk looks: the current one, and the operator's own."""
    for name in ("here", "mine"):
        (top / name).mkdir()
    for kind, files in (("clouds", "CONFIG"), ("secure", "SECURE"), ("clouds-public", "VENDOR")):
        names = [str(top / place / f"{kind}.yaml") for place in ("here", "mine")]
        monkeypatch.setattr(loader, f"{files}_FILES", names)
    (top / "mine" / "clouds.yaml").write_text(CLOUD)
    (top / "here").chmod(0o1777)
    return top


def planted(path):
    path.write_text(THEIRS)
    given(path)
    return path


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("name", ["secure.yaml", "clouds-public.yaml", "clouds.yaml"])
def test_nobody_else_says_whom_the_password_is_sent_to(places, name, named):
    file = str(places / "mine" / "clouds.yaml") if named else None
    assert connection._region("x", file).get_auth_args()["auth_url"] == "http://ours"
    path = planted(places / "here" / name)
    if named and name == "clouds.yaml":
        assert connection._region("x", file).get_auth_args()["auth_url"] == "http://ours"
        return
    with pytest.raises(BadInput, match="the clouds' credentials: it belongs to nobody") as found:
        connection._region("x", file)
    assert str(found.value).startswith(f"{path}: ")


@pytest.mark.parametrize("variable", ["OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE"])
def test_what_the_environment_names_is_looked_at(places, monkeypatch, variable):
    monkeypatch.setenv(variable, str(planted(places / "here" / "theirs.yaml")))
    with pytest.raises(BadInput, match="theirs.yaml: the clouds' credentials"):
        connection._region("x", None)


@pytest.mark.parametrize("done", [opened, given, to_a_group])
@pytest.mark.parametrize("name", ["state", "state/stackrbd", "state/stackrbd/runs"])
def test_records_go_to_no_folder_of_others(tmp_path, monkeypatch, name, done):
    folder = tmp_path / "state" / "stackrbd" / "runs"
    folder.mkdir(parents=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert journal.Journal("r1").path == folder / "r1"
    done(tmp_path / name)
    with pytest.raises(BadInput, match="the records of runs"):
        journal.Journal("r2")
    assert not [
        path for path in Path(folder).iterdir() if list(path.glob("*")) and path.name != "r1"
    ]
