"""OpenStack's own acceptance tests against the integrated lab: `make tempest`.

    python -m tests.tempest [--only REGEX] [--type NAME] [--list]

Tempest runs in an environment of its own (.tempest). What is selected stands in selected.txt,
what of it is left out and why in left_out.toml. Exit code 1: a test failed, or fewer than
LEAST passed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from lab import cloud as lab
from lab.errors import LabError

from . import cloud, conf
from .table import LeftOut, Outcome, table

LEAST = 150
AT_ONCE = 2
HERE = Path(__file__).parent
VENV = HERE.parents[1] / ".tempest"
RUN = VENV / "run"
SELECTED = HERE / "selected.txt"
LEFT_OUT = HERE / "left_out.toml"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.tempest", description=__doc__)
    parser.add_argument("--only", default="", help="of the selected tests those that match")
    parser.add_argument("--type", default="rbd", help="of volumes (%(default)s)")
    parser.add_argument("--list", action="store_true", help="name the tests, run none")
    words = parser.parse_args()
    topology = lab.running()
    left_out = LeftOut.read(LEFT_OUT, topology.home("glance").generation.name if topology else "")
    _workspace()
    if words.list:
        print("\n".join(_chosen(words.only, left_out)[1]))
        return 0
    began = time.monotonic()
    with cloud.prepared(words.type) as described:
        # First: what a test is called depends on it too (its tags).
        _write_conf(described)
        selected, running = _chosen(words.only, left_out)
        outcomes = _run(running)
    shown, good = table(selected, outcomes, left_out, time.monotonic() - began)
    print(shown)
    (RUN / "table.txt").write_text(shown + "\n")
    passed = sum(outcome.status == "success" for outcome in outcomes)
    return 0 if good and (words.only or passed >= LEAST) else 1


def _workspace() -> None:
    """A folder for stestr's record of runs, tempest's file and its log."""
    RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
    packages = next(VENV.glob("lib/python3*/site-packages"))
    (RUN / ".stestr.conf").write_text(
        f"[DEFAULT]\ntest_path={packages}/tempest/test_discover\ntop_dir={packages}\n"
        # A class is run by one worker, from its first test to its last.
        "group_regex=([^\\.]*\\.)*\n"
    )
    if not (RUN / ".stestr").is_dir():
        _stestr("init")


def _write_conf(described: conf.Cloud) -> None:
    path = RUN / "tempest.conf"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)  # it holds the admin's password
    path.write_text(conf.text(described, RUN))


def _chosen(only: str, left_out: LeftOut) -> tuple[list[str], list[str]]:
    """The selected tests that match, and those of them that are run.  Raises LabError."""
    everything = _selected()
    if unused := left_out.unused(everything):
        raise LabError(f"{LEFT_OUT}: no selected test is called so: {', '.join(unused)}")
    selected = [test for test in everything if re.search(only, test)]
    return selected, [test for test in selected if not left_out.reason(test)]


def _selected() -> list[str]:
    said = _stestr("list", "--include-list", str(SELECTED), output=subprocess.PIPE)
    return sorted(line for line in said.splitlines() if "." in line)


def _run(tests: list[str]) -> list[Outcome]:
    chosen = RUN / "chosen.txt"
    chosen.write_text("\n".join(tests) + "\n")
    words = ("--load-list", str(chosen), "--concurrency", str(AT_ONCE))
    _stestr("run", *words, expect=(0, 1))
    stream = subprocess.run(
        [VENV / "bin/stestr", "last", "--subunit"], cwd=RUN, stdout=subprocess.PIPE, check=False
    ).stdout
    (RUN / "last.subunit").write_bytes(stream)
    lines = subprocess.run(
        [VENV / "bin/python", HERE / "results.py"], input=stream, stdout=subprocess.PIPE, check=True
    ).stdout
    return [Outcome(**json.loads(line)) for line in lines.splitlines()]


def _stestr(*words: str, output: int | None = None, expect: tuple[int, ...] = (0,)) -> str:
    # The proxies of this machine are not for the lab's addresses.
    unwanted = ("http_proxy", "https_proxy", "all_proxy")
    inherited = {k: v for k, v in os.environ.items() if k.lower() not in unwanted}
    own = {
        "TEMPEST_CONFIG_DIR": str(RUN),
        "TEMPEST_CONFIG": "tempest.conf",
        "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        [VENV / "bin/stestr", *words],
        cwd=RUN,
        env={**inherited, **own},
        stdin=subprocess.DEVNULL,
        stdout=output,
        text=True,
        check=False,
    )
    if done.returncode not in expect:
        raise LabError(f"stestr {' '.join(words)}: exit {done.returncode}")
    return done.stdout or ""


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"tempest: {error}")
