"""Programs that read what a stranger may have written: without rights, network or neighbours.

A user id that nobody has, in namespaces of its own, with small limits; or (a server that needs its
own user) in a namespace in which folders are hidden.  What cannot be set apart is not started.
Python 3.6, standard library alone.
"""

import grp
import os
import pwd
import random
import resource
import signal

from .places import as_bytes
from .processes import Failed

_IDS = range(61184, 65520)
"""Ids for passing users (systemd takes its own from here as well): no package's, no person's."""
_NEWNS, _NEWIPC, _NEWNET = 0x00020000, 0x08000000, 0x40000000
_BIND, _REC, _PRIVATE = 0x1000, 0x4000, 0x40000
_NO_NEW_PRIVILEGES = 38
_LIMITS = ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_NPROC, 64), (resource.RLIMIT_FSIZE, 1 << 24))


def _libc():
    try:
        import ctypes  # noqa: PLC0415 (slow to load, seldom needed)
    except ImportError as error:
        raise Failed("Python's ctypes is not here, by which programs are set apart: %s" % error)
    libc = ctypes.CDLL(None, use_errno=True)

    def must(name, *words):
        if getattr(libc, name)(*words):
            raise OSError(ctypes.get_errno(), name)

    return must


class Sandbox:
    """An id that nobody has, and the way into it; a program's `apart`."""

    def __init__(self):
        self._must, self.id = _libc(), _free()

    def enter(self):
        """Between fork and exec: for good."""
        self._must("unshare", _NEWNS | _NEWIPC | _NEWNET)
        for what, most in _LIMITS:
            resource.setrlimit(what, (most, most))
        self._become()
        self._must("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)

    def _become(self):
        os.setgroups([])
        os.setgid(self.id)
        os.setuid(self.id)

    def end_all(self):
        """Ends whatever still runs with this id: what a program that was entered left behind."""
        child = os.fork()
        if child == 0:
            try:
                self._become()
                os.kill(-1, signal.SIGKILL)  # all that it may, but this one; none can be forked
            finally:
                os._exit(0)
        os.waitpid(child, 0)


def hiding(folders, empty):
    """The way into a namespace in which these folders are empty; a program's `apart`."""
    must = _libc()
    there = [as_bytes(folder) for folder in folders if os.path.isdir(as_bytes(folder))]

    def enter():
        must("unshare", _NEWNS | _NEWIPC | _NEWNET)
        must("mount", None, b"/", None, _REC | _PRIVATE, None)  # or it would be hidden for all
        for folder in there:
            must("mount", as_bytes(empty), folder, None, _BIND, None)

    return enter


def _free():
    """An id that neither a user, a group nor a process has."""
    taken = {user.pw_uid for user in pwd.getpwall()} | {group.gr_gid for group in grp.getgrall()}
    for name in os.listdir("/proc"):
        try:
            taken.add(os.stat("/proc/" + name).st_uid)
        except OSError:
            pass  # it has ended
    return random.choice([number for number in _IDS if number not in taken])  # noqa: S311
