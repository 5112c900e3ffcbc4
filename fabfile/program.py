"""`stackrbd`: the same tasks as a command of its own, in any folder, without the lab's."""

from __future__ import annotations

from invoke import Program

from fabfile import namespace
from fabfile.core.contract import STACKRBD
from fabfile.version import __version__


def main() -> None:
    """The console script.  Ends the process with the task's exit code."""
    Program(__version__, namespace(), name=STACKRBD, binary=STACKRBD).run()
