"""What SELinux and AppArmor keep this host's programs from, and the labels of files.

Knows the two's own words; not which of what they say matters.  Python 3.6, standard library alone.
"""

import os
import re

from .places import as_bytes
from .processes import Failed, call, text

_ENFORCE, _APPARMOR = "/sys/fs/selinux/enforce", "/sys/module/apparmor/parameters/enabled"
_PROFILES, _OWN = "/sys/kernel/security/apparmor/profiles", "/etc/apparmor.d/local/usr.sbin."
_AUDIT = "/var/log/audit/audit.log"
_LAST_BYTES, _MOST = 4 * 1024 * 1024, 200
_FIELD = r'(\w+)=("[^"]*"|\S+)'
_WHEN = r"audit\((\d+)\.|^(\d+)\."
_RELABEL = r"^Would relabel (.+) from (\S+) to (\S+)$"


def _first(path):
    try:
        with open(path) as there:
            return there.read(16).strip()
    except OSError:
        return ""


def mode():
    """'enforcing', 'permissive', or 'off' where there is no SELinux."""
    return {"1": "enforcing", "0": "permissive"}.get(_first(_ENFORCE), "off")


def restore(path):
    """Gives a new file or folder the label that the host's policy has for it."""
    if mode() != "off":
        code, _, err = call(["restorecon", path])
        if code:
            raise Failed("restorecon %s: %s" % (path, err.strip()[-200:]))


def confines(program, mark):
    """Whether AppArmor enforces a profile of a program in /usr/sbin, and the host's own lines for
    it do not have `mark`."""
    mine = re.compile(r"^(/usr/sbin/)?%s \(enforce\)$" % re.escape(program), re.M)
    return bool(mine.search(_whole(_PROFILES))) and mark not in _whole(_OWN + program)


def _whole(path):
    try:
        with open(path, errors="replace") as there:
            return there.read()
    except OSError:
        return ""


def confinement(paths, seconds):
    """What is kept from whom on this host.

    paths: files whose labels are looked at; seconds: how long ago a denial may have been.
    {'selinux': see mode(), 'labels': [{'path', 'is', 'should'}], 'denials': [{'by', 'does', 'who',
    'what', 'kind', 'comm', 'permitted': whether it was only noted, 'last': Unix time}]}, equal
    denials once.  Where neither is on, nothing is asked.
    """
    selinux, apparmor = mode(), _first(_APPARMOR) == "Y"
    found = {"selinux": selinux, "labels": [], "denials": []}
    if selinux != "off":
        found["labels"] = _labels([path for path in paths if os.path.exists(as_bytes(path))])
    if selinux != "off" or apparmor:
        found["denials"] = denials(_lines(seconds))
    return found


def _labels(paths):
    if not paths:
        return []
    code, out, err = call(["restorecon", "-n", "-v"] + paths)
    if code:
        raise Failed("restorecon: %s" % err.strip()[-200:])
    rows = (re.match(_RELABEL, line) for line in out.splitlines())
    return [dict(zip(("path", "is", "should"), row.groups())) for row in rows if row]


def _lines(seconds):
    """The lines of the audit log's end and of the kernel's that may tell of a denial: (time, line).

    Without auditd the kernel says them itself.
    """
    now = _now()
    argv = ["journalctl", "-q", "--no-pager", "-o", "short-unix", "-n", "20000"]
    argv += ["--since=@%d" % (now - seconds), "_TRANSPORT=kernel", "+", "_TRANSPORT=audit"]
    code, out, err = call(argv, timeout=60)
    if code:
        raise Failed("journalctl: %s" % err.strip()[-200:])
    for line in _log_end().splitlines() + out.splitlines():
        if "denied" not in line and '"DENIED"' not in line:
            continue
        when = re.search(_WHEN, line)
        last = float(when.group(1) or when.group(2)) if when else 0.0
        if last >= now - seconds:
            yield last, line


def _now():
    import time  # noqa: PLC0415 (for tests: a clock of their own)

    return time.time()


def _log_end():
    try:
        with open(_AUDIT, "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _LAST_BYTES))
            return text(log.read(_LAST_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return ""


def denials(lines):
    """The denials of lines: the last of equal ones, the latest first.  lines: (time, line)."""
    found = {}
    for last, line in lines:
        one = _of_selinux(line) or _of_apparmor(line)
        if one:
            key = tuple(sorted(one.items()))
            found[key] = max(found.get(key, 0.0), last)
    latest = sorted(found, key=found.get, reverse=True)[:_MOST]
    return [dict(key, last=found[key]) for key in latest]


def _fields(line):
    return {name: _plain(value.strip('"')) for name, value in re.findall(_FIELD, line)}


def _plain(value):
    return re.sub(r"[\x00-\x1f\x7f]", "?", value)[:300]


def _of_selinux(line):
    """Source: avc_audit_pre_callback() and avc_audit_post_callback() of the kernel."""
    act = re.search(r"avc:\s+denied\s+\{ ([^}]+) \}", line)
    fields = _fields(line) if act else {}
    who = fields.get("scontext", "").split(":")
    if len(who) < 3:
        return None
    what = fields.get("path") or fields.get("name") or fields.get("dest") or fields.get("src") or ""
    return {
        "by": "selinux",
        "does": _plain(act.group(1)),
        "who": who[2],
        "what": what,
        "kind": fields.get("tclass", ""),
        "comm": fields.get("comm", ""),
        "permitted": fields.get("permissive") == "1",
    }


def _of_apparmor(line):
    """Source: audit_pre() and file_audit_cb() of the kernel's security/apparmor."""
    fields = _fields(line)
    if fields.get("apparmor") != "DENIED":
        return None
    return {
        "by": "apparmor",
        "does": fields.get("denied_mask") or fields.get("operation", ""),
        "who": fields.get("profile", ""),
        "what": fields.get("name", ""),
        "kind": fields.get("operation", ""),
        "comm": fields.get("comm", ""),
        "permitted": False,
    }
