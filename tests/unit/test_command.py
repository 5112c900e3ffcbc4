"""What a task's end looks like to the operator."""

import subprocess
import sys

import pytest
from invoke import Exit

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
