"""The Pythons of this machine that a host may have: what the agent is run with in tests."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

MINORS = range(6, 15)


def _is_one(program: str, minor: int) -> bool:
    """Whether it starts, as a Python 3 of that number: a name on PATH may be pyenv's, and empty."""
    asked = [program, "-I", "-S", "-c", "import sys; print(sys.version_info[:2])"]
    try:
        done = subprocess.run(asked, capture_output=True, timeout=60, check=False)
    except OSError:
        return False
    return done.stdout.strip() == f"(3, {minor})".encode()


@functools.cache
def found(minor: int) -> str | None:
    """A Python 3.minor on PATH, or of pyenv; None where there is none."""
    name = f"python3.{minor}"
    ours = sorted((Path.home() / ".pyenv/versions").glob(f"3.{minor}.*/bin/{name}"))
    programs = [shutil.which(name), *map(str, ours)]
    return next((p for p in programs if p and _is_one(p, minor)), None)
