"""`stackrbd`, the command of its own: what it is called, what it says, which site file it takes."""

import ast
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import tomli

from fabfile import namespace
from fabfile.core import contract, site_file
from fabfile.core.contract import BadInput
from fabfile.core.site_file import PROJECT
from fabfile.version import __version__

HOUSE = PROJECT / "fabfile"
WORD = re.compile(r"\binv (?!lab\.)(?:--|[a-z]|$)")
"""A task as it is typed.  The lab's are the checkout's, which `inv` alone has."""
CANONICAL = {"fabfile/model/advice.py"}
"""Its table has the forms of commands, of which it makes texts itself."""


def sentences(tree):
    """(line, text) of every string of a source that is no docstring."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.lineno, node.value


def said_by_name(text):
    return [line for line, said in sentences(ast.parse(text)) if WORD.search(said)]


@pytest.mark.parametrize(
    "text, expected",
    [
        ('x = "see inv doctor"', [1]),
        ('x = f"{n}: see inv backup.list"', [1]),
        ('x = f"see {INV} doctor"', []),
        ('"""inv doctor has it"""\nx = "for the lab: inv lab.up"', []),
        ('x = f(\n"a",\n"inv --list")', [3]),
        ('x = "what is invalid"', []),
    ],
)
def test_a_command_by_name_would_be_noticed(text, expected):
    assert said_by_name(text) == expected


def test_no_sentence_knows_how_the_program_was_called():
    """contract.INV is the one that knows."""
    found = {
        str(path.relative_to(PROJECT)): said_by_name(path.read_text())
        for path in HOUSE.rglob("*.py")
    }
    assert {path for path, lines in found.items() if lines} == CANONICAL
    templates = (HOUSE / "report" / "templates").glob("*")
    assert [path.name for path in templates if WORD.search(path.read_text())] == []


CALLED = "import sys; sys.argv[0] = sys.argv[1]; from fabfile.core.contract import INV; print(INV)"


@pytest.mark.parametrize(
    "name, expected",
    [
        ("/opt/venv/bin/stackrbd", "stackrbd"),
        ("stackrbd", "stackrbd"),
        ("/x/stackrbd/bin/inv", "inv"),
        ("/x/.venv/bin/invoke", "inv"),
        ("/x/bin/fab", "fab"),
        ("/x/invoke/__main__.py", "inv"),
        ("/x/bin/pytest", "inv"),
        ("", "inv"),
    ],
)
def test_what_is_to_be_typed_begins_with_what_was_typed(name, expected):
    argv = [sys.executable, "-c", CALLED, name]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout.strip() == expected


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STACKRBD_SITE", raising=False)
    for module in (site_file, contract):
        monkeypatch.setattr(module, "INV", "stackrbd")
    return tmp_path


@pytest.mark.parametrize(
    "there, expected",
    [
        (["site.toml"], "site.toml"),
        (["config/site.toml"], "config/site.toml"),
        (["mysite.toml"], "mysite.toml"),
        (["other.toml", "mysite.toml"], "mysite.toml"),
    ],
)
def test_the_site_file_of_the_folder_is_taken(here, there, expected):
    for name in there:
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).touch()
    assert site_file.locate("") == here / expected
    assert site_file.locate("~/x.toml") == Path("~/x.toml").expanduser()


@pytest.mark.parametrize(
    "there, expected",
    [
        ([], "found none: stackrbd init writes a start, --site or STACKRBD_SITE names one"),
        (["other.toml"], "found none"),
        (["site.toml", "mysite.toml"], "found site.toml and mysite.toml: --site or STACKRBD_SITE"),
    ],
)
def test_none_and_two_are_refused(here, there, expected):
    for name in there:
        (here / name).touch()
    with pytest.raises(BadInput, match=re.escape(expected)):
        site_file.locate("")


@pytest.mark.parametrize("option", ["", "site.toml", "sub/site.toml"])
def test_a_folder_that_is_gone_is_said(here, option):
    (here / "gone").mkdir()
    os.chdir(here / "gone")
    (here / "gone").rmdir()
    try:
        with pytest.raises(BadInput, match="there is no folder here any more|no such file"):
            site_file.load_own(site_file.locate(option))
    finally:
        os.chdir(here)


def test_the_environment_names_one_before_the_folder(here, monkeypatch):
    (here / "site.toml").touch()
    monkeypatch.setenv("STACKRBD_SITE", "/x/y.toml")
    assert site_file.locate("") == Path("/x/y.toml")


def test_inv_takes_the_checkouts_wherever_it_is_called(here, monkeypatch):
    monkeypatch.setattr(site_file, "INV", "inv")
    (here / "site.toml").touch()
    assert site_file.locate("") == PROJECT / "config" / "site.toml"


@pytest.mark.parametrize("typed", ["inv", "stackrbd", "fab"])
def test_the_start_names_the_command_that_was_typed(here, monkeypatch, typed):
    monkeypatch.setattr(site_file, "INV", typed)
    site_file.start("new.toml")
    said = (here / "new.toml").read_text()
    plain = (site_file.CONFIG / "start.toml").read_text()
    assert set(re.findall(r"\b(?:inv|stackrbd|fab)\b(?= )", said)) == {typed}
    assert tomli.loads(said) == tomli.loads(plain)
    assert len(said.splitlines()) == len(plain.splitlines())


# The wheel, with this environment's packages: tests/package has one that stands alone.


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    argv = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([sys.executable, *argv, "-w", folder, PROJECT], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def started(wheel, tmp_path_factory):
    """A function that starts the installed wheel's stackrbd in an empty folder."""
    top = tmp_path_factory.mktemp("installed")
    venv.create(top / "venv", with_pip=False)
    python = top / "venv" / "bin" / "python"
    argv = ["-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run([sys.executable, *argv], check=True)
    packages = next((top / "venv" / "lib").glob("python3*/site-packages"))
    packages.joinpath("these.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith("site-packages")) + "\n"
    )
    (top / "empty").mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("STACKRBD_", "PYTHON"))}

    def run(*argv):
        return subprocess.run(
            [top / "venv" / "bin" / "stackrbd", *argv],
            capture_output=True,
            text=True,
            check=False,
            cwd=top / "empty",
            env={**kept, "HOME": str(top)},
        )

    return run


def test_the_wheel_has_what_runs_and_no_more(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "fabfile",
        f"stackrbd-{__version__}.dist-info",
    }
    data = {
        str(path.relative_to(PROJECT))
        for path in (PROJECT / "config").rglob("*.toml")
        if not path.name.startswith("site.")
    }
    assert {f"fabfile/{name}" for name in data} <= set(names)
    assert not [name for name in names if "__pycache__" in name or "local" in name]


def test_the_wheel_starts_where_nothing_is(started):
    assert started("--version").stdout == f"stackrbd {__version__}\n"
    listed = started("--list").stdout
    assert all(f"  {name} " in listed for name in namespace().task_names)
    assert "lab." not in listed
    assert "_complete_stackrbd" in started("--print-completion-script", "bash").stdout
    assert "backup.create" in started("--complete", "--", "stackrbd ba").stdout.split()
    assert started("--help", "plan").stdout.startswith("Usage: stackrbd ")
    none = started("plan")
    assert none.returncode == 3 and "stackrbd init writes a start" in none.stderr
    assert "stackrbd hosts.check --site mysite.toml" in started("init").stdout
    begun = started("plan")
    assert begun.returncode == 3 and "mysite.toml: " in begun.stderr
    unknown = started("show", "--run", "r1")
    assert unknown.returncode == 3 and unknown.stderr.endswith("see stackrbd history\n")


def test_the_wheel_has_the_tables_of_releases(started):
    path = "from fabfile.core import site_file as s; print(len(s.releases()), len(s.platforms()))"
    found = started("--version")  # made first
    python = Path(found.args[0]).with_name("python")
    argv = [python, "-c", path]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.split() == [str(len(site_file.releases())), str(len(site_file.platforms()))]
