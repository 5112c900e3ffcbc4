"""What of a host's files a backup may hold: the one place that decides.

Asked when a backup is made (what does not pass is left out, and named), before one is restored,
and on the host once more.  Knows paths, modes and owners; opens nothing.
Python 3.6, standard library alone.
"""

import os
import re

MOST = 50_000
"""Files, folders and links of one host; one of OpenStack's has hundreds.

The operator's machine hears of them in one line, which has room for no more (8 MiB)."""
MODE = 0o775
"""The bits of a mode that are kept: no set-uid, set-gid, sticky; nothing that all may write."""
_MODE = re.compile(r"0[0-7][0-7][0145]")
_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?")
_CONTENT = {
    "file": re.compile(r"[0-9a-f]{64}"),
    "directory": re.compile(""),
    "link": re.compile(r"[^\x00-\x1f\x7f]{1,1024}"),
}
"""What is said of a content: a file's sha256, where a link leads."""
_LONGEST = 1024
_ALTERNATIVES = "/etc/alternatives"
"""Debian's links for /etc/mysql/my.cnf and others go through here; packages make what is there."""


def path_fault(path):
    """Why this is no plain path from /, or ''."""
    if not isinstance(path, str) or not path.startswith("/") or len(path) > _LONGEST:
        return "expected a path from / of at most %d characters" % _LONGEST
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
        return "expected a path without control characters"
    if os.path.normpath(path) != path or path.startswith("//"):
        return "expected %s" % os.path.normpath("/" + path.lstrip("/"))
    return ""


def is_within(path, folders):
    """Whether a path is one of the folders, or below one."""
    return any(path == top or path.startswith(top.rstrip("/") + "/") for top in folders)


def entry_fault(entry):
    """Why this is not [kind, mode, owner, group, content] as a backup writes it, or ''."""
    if not isinstance(entry, list) or [type(word) for word in entry] != [str] * 5:
        return "expected [kind, mode, owner, group, content]"
    kind, mode, owner, group, content = entry
    if kind not in _CONTENT:
        return "expected a file, a directory or a link, found %r" % kind[:20]
    if not _OWNER.fullmatch(owner) or not _OWNER.fullmatch(group):
        return "expected an owner and a group, found %r and %r" % (owner[:40], group[:40])
    if kind != "link" and not _MODE.fullmatch(mode):
        return (
            "expected a mode without set-uid, set-gid and sticky bits that not all may write "
            "with, found %r" % mode[:20]
        )
    if not _CONTENT[kind].fullmatch(content):
        return "expected a file's sha256, a link's target or nothing, found %r" % content[:70]
    return ""


def place_fault(path, entry, folders):
    """Why this is not among what is backed up of a host, or ''.  Both have their form."""
    if not is_within(path, folders):
        return "is not below what is backed up of this host"
    if entry[0] != "link":
        return ""
    target = os.path.normpath(os.path.join(os.path.dirname(path), entry[4]))
    if is_within(target, folders) or os.path.dirname(target) == _ALTERNATIVES:
        return ""
    return "is a link to %s, which is not below what is backed up of this host" % entry[4][:200]


def parent_fault(path, entries):
    """Why this cannot be in a folder of the backup, or ''.  entries: {path: entry}."""
    above = os.path.dirname(path)
    while above != "/":
        if above in entries and entries[above][0] != "directory":
            return "is below %s, which is a %s" % (above, entries[above][0])
        above = os.path.dirname(above)
    return ""


def fault(path, entry, entries, folders=None):
    # type: (object, object, object, object) -> str
    """The first reason why a backup may not hold this, as a sentence; '' where it may.

    folders: what is backed up of the host, where that is known.
    """
    why = path_fault(path) or entry_fault(entry) or parent_fault(path, entries)
    if not why and folders is not None:
        why = place_fault(path, entry, folders)
    if not why:
        return ""
    return "%s: %s" % ("".join(c if c.isprintable() else "?" for c in str(path)[:200]), why)
