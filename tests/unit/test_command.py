"""What a task's end looks like to the operator."""

import subprocess
import sys

import pytest
from invoke import Exit, MockContext

import fabfile
from fabfile import command
from fabfile.core.contract import BadInput
from fabfile.core.site_file import PROJECT
from fabfile.flow import interrupts


def test_a_stop_is_said_without_control_characters(monkeypatch):
    monkeypatch.setattr(interrupts, "raising", lambda: None)

    def action():
        raise BadInput("n1: found \x1b[2J\nand\rmore")

    with pytest.raises(Exit) as caught:
        command.guarded(action)
    assert (caught.value.code, caught.value.message) == (3, "stackrbd: n1: found ?[2J\nand?more")


TASKS = {name: fabfile.ns[name] for name in fabfile.ns.task_names}
"""{as an operator types it: the task}."""
FLAGS = [(name, flag) for name, one in TASKS.items() for flag in one.get_arguments()]


def test_a_letter_is_one_flag_everywhere_and_h_is_help():
    """Invoke's own choice gave -h to --check, --schema and --hard-reboot, and -r to five flags."""
    letters = {(flag.name, short) for _, flag in FLAGS for short in flag.names if len(short) == 1}
    assert letters == {(name, s) for name, s in command.SHORT.items()}
    assert len({short for _, short in letters}) == len(letters)
    assert not {"h", "e", "n", "p", "w", "T", "F", "V"} & {short for _, short in letters}


def test_a_flag_that_takes_a_value_takes_one_everywhere():
    kinds = {}
    for name, flag in FLAGS:
        kinds.setdefault(flag.name, {}).setdefault(flag.kind, []).append(name)
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


def test_what_reaches_hosts_says_which_ones_and_in_json():
    """Where one of several flags is, its companions are."""
    local = {"history", "show", "now", "config", "init", "backup.key", "backup.list", "hosts.trust"}
    for name, one in TASKS.items():
        has = {flag.name for flag in one.get_arguments()}
        assert ("check" in has) == ("dry_run" in has), name
        assert "json" in has or name in local, name
        assert "site" in has or name in {"apply", "show", "init"}, name
        assert "limit" in has or "forks" not in has or name == "apply", name


@pytest.mark.parametrize("words", [["init", "-h"], ["recover", "-h"], ["ceph.mons", "-h"]])
def test_h_after_a_task_is_help_and_does_nothing(words, tmp_path):
    argv = [sys.executable, "-m", "invoke", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 0 and "Docstring:" in done.stdout, done.stderr
    assert not (PROJECT / "site.schema.json").exists()


def test_a_flag_is_understood_by_its_older_name():
    """--record was a backup's name; a record is a run's alone (docs/architecture.md)."""
    given = []

    @command.command(flags=("site",), older={"record": "backup"}, local=True)
    def one(context, options, backup=""):
        given.append(backup)
        return 0

    one(MockContext(), record="a", backup="", site="")
    one(MockContext(), record="", backup="b", site="")
    assert given == ["a", "b"]
    for name in ("recover", "backup.verify", "backup.restore"):
        assert {"backup", "record"} <= {flag.name for flag in TASKS[name].get_arguments()}


IGNORING = """
import signal, sys
from fabfile.flow import interrupts
signal.signal(signal.SIGHUP, getattr(signal, sys.argv[1]))
interrupts.raising()
with interrupts.finishing(print, print, print):
    print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
    print(callable(signal.getsignal(signal.SIGTERM)))
print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
"""


@pytest.mark.parametrize("before, ignored", [("SIG_IGN", "True"), ("SIG_DFL", "False")])
def test_under_nohup_a_logout_stops_nothing(before, ignored):
    argv = [sys.executable, "-c", IGNORING, before]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert said == [ignored, "True", ignored]


def test_what_writes_known_hosts_is_no_dry_run():
    argv = [sys.executable, "-m", "invoke", "--dry", "hosts.trust"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 3 and "--check" in done.stderr


UNREAD = """
import os, subprocess, sys
read, write = os.pipe()
os.close(read)
both = {"stderr": write} if "both" in sys.argv[1] else {"stderr": subprocess.PIPE}
done = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=write, check=False, **both)
sys.stderr.buffer.write(done.stderr or b"")
sys.exit(done.returncode)
"""
HEAD = [sys.executable, "-c", UNREAD]
INVOKE = [sys.executable, "-m", "invoke"]


@pytest.mark.parametrize("ended", ["stdout", "both"])
@pytest.mark.parametrize(
    "program",
    [
        [*INVOKE, "--list"],
        [*INVOKE, "--help", "integrate"],
        [*INVOKE, "--help", "doctor"],
        [sys.executable, "-m", "fabric", "--list"],
    ],
    ids=lambda argv: " ".join(argv[2:]),
)
def test_what_nobody_reads_ends_without_a_traceback(ended, program, tmp_path):
    """inv --list | head: 141 (128 + SIGPIPE), as the shell's own tools."""
    argv = [*HEAD, ended, *program]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert (done.returncode, done.stderr) == (141, "")


LONG = """
import sys
from fabfile.core import output
output.survive_readers()
for number in range(100000):
    print(number)
print("the run goes on to its end", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("code", [0, 3])
def test_a_reader_that_leaves_ends_no_run(code):
    argv = ["sh", "-c", '"$0" -c "$1" "$2" | head -n 2', sys.executable, LONG, str(code)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert (done.stdout, done.stderr) == ("0\n1\n", "the run goes on to its end\n")


def test_what_is_read_keeps_its_exit_code():
    argv = [sys.executable, "-c", LONG, "3"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 3 and done.stdout.endswith("99999\n")


def flags_of(name):
    return {flag.name for flag in fabfile.namespace()[name].get_arguments()}


def tasks_with(flag):
    return {name for name in fabfile.namespace().task_names if flag in flags_of(name)}


def test_check_is_understood_as_dry_run_wherever_it_is():
    assert tasks_with("dry_run") == tasks_with("check") >= {"integrate", "undo", "ceph.pools"}


@pytest.mark.parametrize("given", [{"check": True}, {"dry_run": True}, {}])
def test_both_words_ask_for_the_same(monkeypatch, given):
    seen = []
    monkeypatch.setattr(command, "guarded", lambda action: action())

    @command.command(flags=("check", "site"))
    def look(context, options):
        """Looks."""
        seen.append((options.check, options.site))
        return 0

    look(MockContext(), **{"check": False, "dry_run": False, "site": "s", **given})
    assert seen == [(bool(given), "s")]


ONE_NAME = {
    "dry": "check",
    "simulate": "check",
    "force": "yes",
    "assume_yes": "yes",
    "output": "out",
    "parallel": "forks",
    "batch": "serial",
    "config": "site",
}
"""{how another tool calls it: how it is called here}"""


def test_an_option_has_one_name_everywhere():
    found = set().union(*map(flags_of, fabfile.namespace().task_names))
    assert found & set(ONE_NAME) == set()


def test_inv_alone_says_what_to_do_now():
    assert fabfile.namespace().default == "now"
