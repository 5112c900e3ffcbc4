"""Commands that edit a file by its lines, as a person types them into root's shell.

Knows sed's quoting and the form of a file of options; runs nothing.
"""

from __future__ import annotations

import re
from dataclasses import replace

from fabfile.core.contract import Command, typed


def edit(script: str, path: str) -> Command:
    """The command for one sed script."""
    return typed("sed", "-i", script, path)


def appended(path: str, *lines: str) -> Command:
    """Adds lines to the end of a file."""
    return replace(typed("printf", r"%s\n", *lines), into=path)  # sed adds nothing to an empty one


def without(path: str, section: str, key: str) -> Command:
    """Takes an option's lines out of a file."""
    return edit(f"{_section(section)}{{/^{_plain(key)}[ \\t]*[=:]/d}}", path)


def without_in_ceph_conf(path: str, section: str, key: str, text: str) -> Command:
    """Takes an option's lines, with those that go on behind a backslash, out of a ceph.conf.

    text: of the file; what stands before its first heading is [global].
    """
    head = rf"^[ \t]*\[[ \t]*{re.escape(section)}[ \t]*\]"
    begin = (
        f"/^[ \\t]*\\[[ \\t]*{_plain(section)}[ \\t]*\\]/" if re.search(head, text, re.M) else "1"
    )
    lines = f"/^[ \\t]*{_plain(key)}[ \\t]*=/{{:a;/\\\\$/{{N;ba}};d}}"
    return edit(f"{begin},/^[ \\t]*\\[/{{{lines}}}", path)


def setting(path: str, section: str, key: str, value: str) -> Command:
    """Gives an option that is there another value."""
    new = re.sub(r"([\\/&])", r"\\\1", f"{key} = {value}")
    return edit(f"{_section(section)}s/^{_plain(key)}[ \\t]*[=:].*/{new}/", path)


def _section(name: str) -> str:
    return f"/^\\[{_plain(name)}\\]/,/^\\[/"


def _plain(word: str) -> str:
    return re.sub(r"([][\\/.*^$])", r"\\\1", word)
