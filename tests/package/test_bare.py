"""The wheel and its own requirements, alone in an environment, as pipx installs it."""

import re
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
        (["init"], 0, r"^mysite.toml: written"),
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
