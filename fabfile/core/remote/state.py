"""What a host keeps of the runs that worked on it: below /var/lib/stackrbd, for root.

    lock            held by the one agent that may write
    fence           {site: number of the newest run that came here}
    pending_restarts/UNIT  a restart that a write made necessary and that was not done yet
    runs/ID/        steps.jsonl, and old contents, named by their sha256
    sites/NAME      on the first Ceph host: who is at work on the site

Python 3.6, standard library alone.
"""

import errno
import fcntl
import json
import os
import re
import stat
import time

from . import files, processes
from .places import as_bytes, as_text

STATE = "/var/lib/stackrbd"
MOST_RUNS, MOST_DAYS = 20, 90
RUN = r"^[A-Za-z0-9_.-]{1,80}$"


class Busy(Exception):
    """Another run holds this host or the site; args[0] says who."""


def _folder(*names):
    path = os.path.join(STATE, *names)
    os.makedirs(path, mode=0o700, exist_ok=True)
    _expect_ours(STATE)
    return path


def _expect_ours(path):
    """Raises Refused where somebody else could lead root astray among locks and old contents."""
    seen = os.lstat(path)
    if seen.st_uid not in (0, os.geteuid()) or seen.st_mode & 0o022:
        said = (path, seen.st_uid, stat.S_IMODE(seen.st_mode))
        raise files.Refused(
            "%s: expected a folder of root's alone, found one of user %d with mode %04o; look who "
            "changed that, then: chown root: %s; chmod 700 %s" % (said + (path, path))
        )


def _open(path):
    return os.open(as_bytes(path), os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _save(handle, value):
    data = json.dumps(value).encode("ascii")
    os.ftruncate(handle, 0)
    os.pwrite(handle, data, 0)
    os.fsync(handle)


def _load(handle):
    try:
        value = json.loads(os.pread(handle, 65536, 0).decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _number(value, name):
    found = value.get(name)
    return found if isinstance(found, (int, float)) else 0


# The fence and the lock: an agent of an older run cannot write any more.


def raise_fence(site, number):
    """Says that run `number` came here; Busy when a newer one did."""
    handle = _open(os.path.join(_folder(), "fence"))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        known = _load(handle)
        newest = _number(known, site)
        if newest > number:
            raise Busy("a newer run has been here: number %s, this one's is %s" % (newest, number))
        if newest < number:
            known[site] = number
            _save(handle, known)
    finally:
        os.close(handle)


def fenced(site, number):
    """Whether a newer run came here since."""
    handle = _open(os.path.join(_folder(), "fence"))
    try:
        return _number(_load(handle), site) > number
    finally:
        os.close(handle)


def take_lock(who, patience, gone):
    """Takes the host's lock; an older agent gets so many seconds to end its step."""
    handle = _open(os.path.join(_folder(), "lock"))
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if time.monotonic() > until or gone():
                raise Busy(processes.text(os.pread(handle, 400, 0)) or "another run")
            time.sleep(0.2)
    os.ftruncate(handle, 0)
    os.pwrite(handle, who.encode("utf-8", "replace"), 0)
    return handle


def let_others_end(work, gone):
    """Before a look under the site's lock: no step of an older run is under way here.

    Raises Busy where one does not end in time.  Writes nothing without the lock.
    """
    if "number" in work:
        raise_fence(work["site"], work["number"])
        os.close(take_lock(work["who"], work["patience"], gone))


def hold_site(site, who):
    """Takes the site's lock: (its handle, this run's number); Busy says who has it."""
    handle = _open(os.path.join(_folder("sites"), site))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Busy(_load(handle).get("who", "another run"))
    # The clock, where the last number is gone (another first host, a disk that was full).
    number = max(_number(_load(handle), "number") + 1, int(time.time()))
    _save(handle, {"number": number, "who": who, "since": time.time()})
    return handle, number


# Restarts that writes made necessary

_PENDING, _PENDING_BEFORE = "pending_restarts", "owed"
"""The folder of their names, and that of an earlier version, which an upgrade may find."""


def _names(folder):
    path = os.path.join(STATE, folder)
    return [as_text(name) for name in os.listdir(path)] if os.path.isdir(path) else []


def pending_restarts():
    """The units whose restart was made necessary by a write and was not done yet."""
    return sorted({*_names(_PENDING), *_names(_PENDING_BEFORE)})


def mark_restart(units):
    """Notes, before a write, which restarts it will make necessary."""
    for unit in units:
        os.close(_open(os.path.join(_pending(), os.path.basename(unit))))


def clear_restart(unit):
    """The restart was done."""
    try:
        os.unlink(as_bytes(os.path.join(_pending(), os.path.basename(unit))))
    except FileNotFoundError:
        pass


def _pending():
    """The folder, with what an earlier version noted; for those who may write here."""
    folder, before = _folder(_PENDING), os.path.join(STATE, _PENDING_BEFORE)
    for name in _names(_PENDING_BEFORE):
        os.rename(os.path.join(before, name), os.path.join(folder, name))
    if os.path.isdir(before):
        os.rmdir(before)
    return folder


# Runs


def _run(run):
    if not re.match(RUN, run):
        raise files.Refused("not the name of a run: %r" % run)
    return os.path.join(STATE, "runs", run)


def begin(run, prunes):
    """A run's folder; prunes: older ones go, by number and age (an undo needs what they kept)."""
    folder = _folder("runs", os.path.basename(_run(run)))
    others = sorted(n for n in os.listdir(os.path.dirname(folder)) if n != run and re.match(RUN, n))
    for number, name in enumerate(reversed(others if prunes else ()), 2):
        path = _run(name)
        age = (time.time() - os.stat(path).st_mtime) / 86400
        if number > MOST_RUNS or age > MOST_DAYS:
            import shutil  # noqa: PLC0415 (slow to load, seldom needed)

            shutil.rmtree(path, ignore_errors=True)
    return folder


def note(run, **step):
    """Appends one line about a step, on the disk before anything else happens."""
    path = os.path.join(_run(run), "steps.jsonl")
    line = (json.dumps(step) + "\n").encode("ascii")
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line  # behind what a power cut left of a line
        if os.write(handle, line) != len(line):
            os.ftruncate(handle, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        os.fsync(handle)
    finally:
        os.close(handle)


def steps(run):
    """A run's steps here: [{'step', 'state': 'begun' | 'done' | 'failed', ...}]."""
    data = files.read(os.path.join(_run(run), "steps.jsonl")) or b""
    found = {}  # type: ignore[var-annotated]
    for line in processes.text(data).splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue  # the last line of a host that lost its power
        if not isinstance(entry, dict) or type(entry.get("step")) is not int:
            continue
        found.setdefault(entry["step"], {}).update(entry)
    return list(found.values())


def runs():
    """The names of the runs that left something here, oldest first."""
    folder = os.path.join(STATE, "runs")
    return sorted(map(as_text, os.listdir(folder))) if os.path.isdir(folder) else []


def keep(run, data):
    """Keeps old content; its name is its sha256."""
    files.keep(_run(run), data)
    return files.sha256(data)


def kept(run, sha256):
    """Old content.  Raises Refused where it is gone or was altered."""
    path = os.path.join(_run(run), os.path.basename(sha256))
    data = files.read(path)
    if data is None or files.sha256(data) != sha256:
        raise files.Refused("%s: what was kept is gone; it cannot be brought back" % path)
    return data
