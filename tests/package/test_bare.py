"""The wheel and its own requirements, alone in an environment, as pipx installs it."""

import os
import re
import shutil
import subprocess
import sys
import venv

import pytest

from fabfile.core.site_file import PROJECT
from fabfile.version import __version__


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The bin folder of an environment with the wheel, in the locked versions."""
    top = tmp_path_factory.mktemp("bare")
    pip = [sys.executable, "-m", "pip"]
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", top, PROJECT]
    subprocess.run([*pip, *build], check=True)
    locked = re.findall(
        r"^\S+==\S+(?: ; [^\\\n]+)?", (PROJECT / "requirements.lock").read_text(), re.M
    )
    (top / "locked.txt").write_text("\n".join(locked))
    venv.create(top / "venv", with_pip=False)
    into = [*pip, "--python", top / "venv" / "bin" / "python", "install", "--quiet"]
    subprocess.run([*into, "-c", top / "locked.txt", next(top.glob("*.whl"))], check=True)
    return top / "venv" / "bin"


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return tmp_path_factory.mktemp("empty")


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["--version"], 0, rf"^stackrbd {re.escape(__version__)}$"),
        (["--list"], 0, r"^  integrate  +Put this site's OpenStack onto its Ceph"),
        (["doctor"], 3, r"found none: stackrbd init writes a start"),
        (["now"], 0, r"^  stackrbd init --cloud NAME --ceph HOST"),
        (["init", "-h"], 0, r"^Usage: stackrbd .* init"),
        (["init"], 0, r"^mysite.toml: written"),
        (["init", "--schema"], 0, r"^site.schema.json: written"),
        (["now"], 0, r"mysite.toml: name: fill this in"),
        (["config"], 3, r"mysite.toml: name: fill this in"),
        (["hosts.check"], 3, r"mysite.toml: name: "),
        (["report"], 3, r"mysite.toml: name: "),
        (["backup.key", "--out", "k.key"], 0, r"^recipients = \[\"age1"),
        (["history"], 0, ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_starts_with_nothing_around_it(bare, empty, words, code, said):
    env = {"HOME": str(empty), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run(
        [bare / "stackrbd", *words], capture_output=True, text=True, check=False, cwd=empty, env=env
    )
    assert done.returncode == code, done.stderr
    assert re.search(said, done.stdout + done.stderr, re.M)
    assert "Traceback" not in done.stderr


SITE = """
name = "mine"
release = "zed"
[hosts]
n1 = { roles = ["ceph", "glance", "cinder", "compute"] }
[pools]
volumes = {}
images = {}
[clients]
volumes = {}
images = {}
"""


def test_the_tables_of_the_releases_are_in_it(bare, tmp_path):
    """`config` of a site file that is filled in needs platforms and releases of the wheel."""
    (tmp_path / "site.toml").write_text(SITE)
    (tmp_path / "site.toml").chmod(0o600)
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run(
        [bare / "stackrbd", "config"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    assert "[rbd] rbd_pool = volumes  # zed, as the site says" in done.stdout


@pytest.mark.skipif(not shutil.which("pipx"), reason="no pipx here: pip install pipx")
def test_pipx_installs_it(tmp_path):
    folders = {name: str(tmp_path / name) for name in ("PIPX_HOME", "PIPX_BIN_DIR", "PIPX_MAN_DIR")}
    env = {**os.environ, **folders}
    subprocess.run(["pipx", "install", PROJECT], check=True, env=env, cwd=tmp_path)
    argv = [tmp_path / "PIPX_BIN_DIR" / "stackrbd", "--version"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == f"stackrbd {__version__}\n"
