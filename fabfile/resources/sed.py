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
    """Takes an option out of a file, with the indented lines that its value goes on in."""
    return edit(_of_option(section, key, "d"), path)


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
    return edit(_of_option(section, key, f"/^[ \\t]/d;s/.*/{new}/;x"), path)


def _of_option(section: str, key: str, deed: str) -> str:
    """What is done to an option's lines; the hold space has the line that the value begins in."""
    of_section = f"/^\\[{_plain(section)}\\]/,/^\\[/"
    return f"{of_section}{{/^[ \\t]/!h;x;/^{_plain(key)}[ \\t]*[=:]/{{x;{deed}}};x}}"


def _plain(word: str) -> str:
    return re.sub(r"([][\\/.*^$])", r"\\\1", word)
