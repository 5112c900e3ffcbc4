"""What runs here before a task does: this program's folder, and settings that may be code.

Invoke and Fabric read settings from /etc, the operator's home and the folder of tasks.py, and
run those that end in .py.  Nobody else may write these, nor the sources themselves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from fabfile.core import own_files

TOP = Path(__file__).parents[2]
_SETTINGS = [
    f"{name}.{suffix}" for name in ("invoke", "fabric") for suffix in ("yaml", "yml", "json", "py")
]


def refuse_alterable() -> None:
    """Raises BadInput where somebody else may write what is run here."""
    for path, what in _loaded():
        own_files.refuse_alterable(path, what)


def _loaded() -> Iterator[tuple[Path, str]]:
    """Each of them that is there, as the operator knows it."""
    if (TOP / "tasks.py").exists():
        yield TOP / "tasks.py", "the tasks"
    for name in ("fabfile", "config"):
        # Who may write a folder may put other files there; a file alone is seldom given away.
        for folder, below, _ in os.walk(TOP / name):
            below[:] = [one for one in below if one != "__pycache__"]
            yield Path(folder), "the program's sources"
    yield Path(sys.prefix), "the Python environment"
    home = os.path.expanduser("~/.")  # noqa: PTH111 (a name's beginning, no path; never raises)
    found = [f"{place}{name}" for place in (f"{TOP}/", home, "/etc/") for name in _SETTINGS]
    found.append(os.environ.get("INVOKE_RUNTIME_CONFIG", ""))
    for path in found:
        if path and os.path.exists(path):
            yield Path(path), "the settings of Invoke and Fabric"
