"""Commands that edit a file by its lines, as a person types them into root's shell.

Knows sed's quoting and the form of a file of options; runs nothing.
"""

from __future__ import annotations

import re
import shlex


def edit(script: str, path: str) -> str:
    """The command for one sed script, which is quoted whether it needs it or not."""
    quoted = script.replace("'", "'\"'\"'")
    return f"sed -i '{quoted}' {shlex.quote(path)}"


def without(path: str, section: str, key: str) -> str:
    """Takes an option's lines out of a file."""
    return edit(f"{_section(section)}{{/^{_plain(key)}[ \\t]*[=:]/d}}", path)


def setting(path: str, section: str, key: str, value: str) -> str:
    """Gives an option that is there another value."""
    new = re.sub(r"([\\/&])", r"\\\1", f"{key} = {value}")
    return edit(f"{_section(section)}s/^{_plain(key)}[ \\t]*[=:].*/{new}/", path)


def _section(name: str) -> str:
    return f"/^\\[{_plain(name)}\\]/,/^\\[/"


def _plain(word: str) -> str:
    return re.sub(r"([][\\/.*^$])", r"\\\1", word)
