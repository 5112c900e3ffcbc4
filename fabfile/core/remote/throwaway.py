"""A database server of its own, beside the live one: for drills, and for what is to come.

Knows how MariaDB is started apart: its own folder, socket and log, no network, no events, no
replication.  Reads the host's own settings, so that its folder can take the live one's place.
Python 3.6, standard library alone.
"""

import grp
import os
import pwd
import shutil
import signal
import time

from . import files, processes, state
from .processes import Failed, Program

SERVER, INSTALL = ("mariadbd", "mysqld"), ("mariadb-install-db", "mysql_install_db")
MARK = ".stackrbd-"
_START, _STOP = 120, 1800
"""Seconds for its start, and for its end, which writes out what is in memory."""
_APART = (
    "--skip-networking",
    "--skip-log-bin",
    "--loose-skip-slave-start",
    "--event-scheduler=OFF",
    "--loose-wsrep-on=OFF",
    "--innodb-flush-log-at-trx-commit=0",
    "--performance-schema=OFF",
    "--innodb-buffer-pool-size=128M",
    "--loose-innodb-doublewrite=OFF",
    "--loose-innodb-buffer-pool-load-at-startup=OFF",
    "--max-allowed-packet=1G",
)


def settings():
    """{name: value} that the live server would have, whether it runs or not."""
    argv = [processes.first_of(SERVER), "--verbose", "--help", "--user=" + _user()]
    out = processes.expect(argv, timeout=60)[1]
    found, there = {}, False
    for line in out.splitlines():
        name, _, value = line.partition(" ")
        if there and name:
            found[name] = value.strip()
        there = there or line.startswith("-----")
    return found


def _user():
    return "mysql" if "mysql" in (user.pw_name for user in pwd.getpwall()) else "root"


def datadir(mine=None):
    """The live server's folder.  Raises Failed where its data is not all there."""
    mine = mine or settings()
    path = os.path.realpath(mine["datadir"])
    for name in ("innodb-data-home-dir", "innodb-log-group-home-dir", "innodb-undo-directory"):
        other = mine.get(name, "")
        if other in ("", ".", "./", "(No default value)"):
            continue
        if os.path.realpath(os.path.join(path, other)) != path:
            raise Failed("%s = %s: expected all of the server's data in %s" % (name, other, path))
    return path


class Throwaway:
    """A server whose folder is beside the live one's; gone when it is left, unless kept."""

    def __init__(self, run):
        self.folder = datadir() + MARK + run
        self._log = os.path.join(state.STATE, "throwaway.log")
        self._program, self._kept = None, False
        self.login = ["--no-defaults", "--user=root", "--socket=" + os.path.join(self.folder, "s")]

    def __enter__(self):
        clear_leftovers()
        user = pwd.getpwnam(_user())
        # By handle: the folder above may be the server's user's, who could put a link here.
        files.folder(self.folder, "0700", user.pw_name, grp.getgrgid(user.pw_gid).gr_name)
        try:
            self._make()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *why):
        if self._program:
            self._program.__exit__()
            self._program = None
        if not self._kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self):
        argv = [processes.first_of(INSTALL), "--user=" + _user(), "--datadir=" + self.folder]
        processes.expect(argv + ["--skip-test-db", "--skip-name-resolve"], timeout=300)

    def _start(self):
        place = ["--datadir=" + self.folder, "--socket=" + os.path.join(self.folder, "s")]
        place += ["--pid-file=" + os.path.join(self.folder, "pid"), "--log-error=" + self._log]
        os.makedirs(state.STATE, 0o700, exist_ok=True)
        argv = [processes.first_of(SERVER), "--user=" + _user()] + place + list(_APART)
        open(self._log, "w").close()
        self._program = Program(argv, 7 * 86400)
        until = time.monotonic() + _START
        while not self._answers():
            if self._program.process.poll() is not None or time.monotonic() > until:
                raise Failed("the throwaway server does not start: " + self._last_words())
            time.sleep(0.3)

    def _answers(self):
        try:
            argv = [processes.first_of(("mariadb-admin", "mysqladmin"))] + self.login + ["ping"]
            return processes.call(argv, timeout=20)[0] == 0
        except Failed:
            return False

    def _last_words(self):
        with open(self._log, "rb") as stream:
            lines = processes.text(stream.read()[-4000:]).splitlines()
        found = " | ".join(line for line in lines if "ERROR" in line)
        return processes.said(found, 400) or "no reason is given"

    def keep(self):
        """Ends it cleanly and leaves its folder; what only it needed is taken away."""
        process = self._program.process
        process.send_signal(signal.SIGTERM)
        until = time.monotonic() + _STOP
        while process.poll() is None:
            if time.monotonic() > until:
                raise Failed("the throwaway server does not end within %d s" % _STOP)
            time.sleep(0.2)
        if process.returncode:
            raise Failed("the throwaway server did not end cleanly: " + self._last_words())
        for name in ("s", "pid"):
            files.discard(os.path.join(self.folder, name))
        self._kept = True


def clear_leftovers():
    """What a drill that was killed left; this host's lock is held, so nobody uses it."""
    live = datadir()
    folder, name = os.path.split(live)
    for entry in os.listdir(folder):
        if entry.startswith(name + MARK) and not entry.startswith(name + MARK + "before-"):
            shutil.rmtree(os.path.join(folder, entry), ignore_errors=True)
