"""A database server of its own, beside the live one: for drills, and for what is to come.

Knows how a server is started apart: its own folder, socket and log, no network, no events, no
replication.  Reads the host's own settings, so that its folder can take the live one's place.
Python 3.6, standard library alone.
"""

import glob
import grp
import os
import pwd
import shutil
import signal
import time

from . import confinement, database, files, processes, sandbox, server_kinds, state
from .places import as_bytes, from_bytes
from .processes import Failed, Program

SERVER = server_kinds.MARIADB.server
"""The program of either kind."""
MARK = ".stackrbd-"
_LOGIN, _WAYS = "stackrbd-throwaway", "/run/stackrbd-throwaway-"
_START, _STOP = 120, 1800
"""Seconds for its start, and for its end, which writes out what is in memory."""
_APART = (
    "--skip-networking",
    "--skip-log-bin",
    "--event-scheduler=OFF",
    "--loose-wsrep-on=OFF",
    "--innodb-flush-log-at-trx-commit=0",
    "--performance-schema=OFF",
    "--innodb-buffer-pool-size=128M",
    "--loose-innodb-doublewrite=OFF",
    "--loose-innodb-buffer-pool-load-at-startup=OFF",
    "--max-allowed-packet=1G",
    "--local-infile=0",
)
_PARTS = (
    "innodb-data-home-dir",
    "innodb-doublewrite-dir",
    "innodb-log-group-home-dir",
    "innodb-undo-directory",
)
USER = "mysql"
"""The server's own user, whose folders these are; it is never root."""


def settings():
    """{name: value} that the live server would have, whether it runs or not."""
    argv = [processes.first_of(SERVER), "--verbose", "--help", "--user=" + USER]
    out = processes.expect(argv, timeout=60)[1]
    found, there = {}, False
    for line in out.splitlines():
        name, _, value = line.partition(" ")
        if there and name:
            found[name] = value.strip()
        there = there or line.startswith("-----")
    return found


def installed():
    """The kind of the server that is installed here.  Raises Failed for one not supported."""
    return server_kinds.kind_of_program(
        processes.expect([processes.first_of(SERVER), "--version"], timeout=60)[1]
    )


def datadir(mine=None):
    """The live server's folder.  Raises Failed where its data is not all there."""
    mine = mine or settings()
    path = _real(mine["datadir"])
    for name in _PARTS:
        other = mine.get(name, "")
        if other in ("", ".", "./", "(No default value)"):
            continue
        if _real(os.path.join(path, other)) != path:
            raise Failed("%s = %s: expected all of the server's data in %s" % (name, other, path))
    return path


def _real(path):
    return from_bytes(os.path.realpath(as_bytes(path)))


class Throwaway:
    """A server whose folder is beside the live one's; gone when it is left, unless kept.

    It reads what a backup holds.  So it sees neither the live server's folder nor what restores
    kept of it, nor a network; its statements open no file (secure-file-priv); and every program
    that speaks to it does so from a sandbox.
    """

    def __init__(self, run, apart):
        self.folder = datadir() + MARK + run
        self._log = os.path.join(state.STATE, "throwaway.log")
        self._program, self._kept = None, False
        self._way = _WAYS + os.urandom(8).hex()
        self._sandbox = apart
        self._kind = installed()
        words = ["--defaults-file=" + os.path.join(self._way, "login")]
        self.login = database.Login(words, apart.enter, self._kind)

    def __enter__(self):
        clear_leftovers()
        self._refuse_confined()
        try:
            user = pwd.getpwnam(USER)
        except KeyError:
            expected = (self._kind.name, USER, self._kind.name)
            raise Failed("expected %s's user %s, found none: is %s installed?" % expected)
        # By handle: the folder above may be the server's user's, who could put a link here.
        files.folder(self.folder, "0700", user.pw_name, grp.getgrgid(user.pw_gid).gr_name)
        try:
            self._make()
            self._make_way(user)
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
            shutil.rmtree(as_bytes(self.folder), ignore_errors=True)
        shutil.rmtree(self._way, ignore_errors=True)

    def _refuse_confined(self):
        """Raises Failed where AppArmor keeps the server to the live folder (Ubuntu's MySQL)."""
        program = processes.first_of(SERVER)
        if confinement.confines(program, MARK):
            raise Failed(
                "AppArmor keeps %s to its live folder, and no server can be started beside it: "
                "let its profile have %s*, as docs/recovery.md says" % (program, datadir() + MARK)
            )

    def _make_way(self, user):
        """The way in: a socket that all may reach, a password that the sandbox alone may read."""
        password = "Aa1-" + os.urandom(24).hex()  # as plugins that check passwords want them
        for name, owner, mode in (("", 0, 0o711), ("s", user.pw_uid, 0o711), ("empty", 0, 0o555)):
            path = os.path.join(self._way, name)
            os.mkdir(path, 0o700)
            os.chown(path, owner, -1)
            os.chmod(path, mode)
        login = "[client]\nuser=%s\npassword=%s\nsocket=%s\n" % (_LOGIN, password, self._socket)
        _write(os.path.join(self._way, "login"), login, 0, self._sandbox.id)
        first = (
            "CREATE USER {user} IDENTIFIED BY '{password}';",
            "GRANT ALL ON *.* TO {user} WITH GRANT OPTION;",
        )
        said = {"user": "'%s'@'localhost'" % _LOGIN, "password": password}
        lines = [line.format(**said) + "\n" for line in first + self._kind.first]
        _write(os.path.join(self._way, "first"), "".join(lines), user.pw_uid, user.pw_gid)

    @property
    def _socket(self):
        return os.path.join(self._way, "s", "s")

    def _make(self):
        programs, words = self._kind.install
        argv = [processes.first_of(programs), "--user=" + USER, "--datadir=" + self.folder]
        argv += words
        # It writes one file as root, which the server's user has to read (mysql_upgrade_info).
        processes.expect(argv, timeout=300, apart=lambda: os.umask(0o022))

    def _start(self):
        empty = os.path.join(self._way, "empty")
        log = "--log-error=" + self._kind.log.format(log=self._log)
        place = ["--datadir=" + self.folder, "--socket=" + self._socket]
        place += ["--pid-file=" + os.path.join(self.folder, "pid"), log]
        place += ["--secure-file-priv=" + empty, "--init-file=" + os.path.join(self._way, "first")]
        os.makedirs(state.STATE, 0o700, exist_ok=True)
        argv = [processes.first_of(SERVER), "--user=" + USER] + place
        argv += _APART + self._kind.apart
        open(self._log, "w").close()
        live = [datadir()] + _beside(MARK + "before-")
        self._program = Program(argv, 7 * 86400, apart=sandbox.hiding(live, empty))
        until = time.monotonic() + _START
        while not self._answers():
            if self._program.process.poll() is not None or time.monotonic() > until:
                raise Failed("the throwaway server does not start: " + self._last_words())
            time.sleep(0.3)

    def _answers(self):
        try:
            argv = [processes.first_of(self._kind.admin)] + self.login + ["ping"]
            return processes.call(argv, timeout=20, apart=self.login.apart)[0] == 0
        except Failed:
            return False

    def _last_words(self):
        with open(self._log, "rb") as stream:
            said = processes.text(stream.read()[-4000:]) + self._program.faults()
        lines = said.splitlines()
        found = " | ".join(line for line in lines if "ERROR" in line)
        return processes.said(found, 400) or "no reason is given"

    def keep(self):
        """Ends it cleanly and leaves its folder; what only it needed is taken away."""
        database.answer(self.login, "DROP USER '%s'@'localhost';" % _LOGIN)
        process = self._program.process
        process.send_signal(signal.SIGTERM)
        until = time.monotonic() + _STOP
        while process.poll() is None:
            if time.monotonic() > until:
                raise Failed("the throwaway server does not end within %d s" % _STOP)
            time.sleep(0.2)
        if process.returncode:
            raise Failed("the throwaway server did not end cleanly: " + self._last_words())
        files.discard(os.path.join(self.folder, "pid"))
        self._kept = True


def clear_leftovers():
    """What a drill that was killed left; this host's lock is held, so nobody uses it."""
    kept = _beside(MARK + "before-")
    for path in [path for path in _beside(MARK) if path not in kept] + glob.glob(_WAYS + "*"):
        shutil.rmtree(as_bytes(path), ignore_errors=True)


def _beside(mark):
    """What is beside the live server's folder, and is called like it and so."""
    folder, name = os.path.split(datadir())
    found = [from_bytes(one) for one in os.listdir(as_bytes(folder))]
    return [os.path.join(folder, one) for one in found if one.startswith(name + mark)]


def _write(path, text, owner, group):
    """A new file that its owner and group may read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
        os.fchown(handle, owner, group)
        os.fchmod(handle, 0o440)
