"""Takes a backup in, into a throwaway server, and compares that table by table.

Nothing live is touched here: what is to take its place stays beside it, under
/var/lib/stackrbd/restore/RUN (files) and beside the live server's folder (databases).
Python 3.6, standard library alone.
"""

import json
import os
import shutil
import subprocess
import tarfile
import time

from . import backup_paths, database, processes, state, transfer
from .digests import Digests, differing
from .processes import Failed, Program
from .throwaway import Throwaway, datadir

_MOST_NAMED = 8


def restore(talk, asker, run, identity, manifest, folders, keep):
    """Takes one backup in.  keep: leave what was made of it, for what follows.

    identity: {'secret': the key that opens this backup}; folders: below which its files are.
    Raises Failed, before anything of it is opened, for a file that is elsewhere.  Returns
    {'folder': the throwaway server's, or '', 'staged': where the files are, 'tables': how many}.
    """
    files = manifest["files"]
    strange = [backup_paths.fault(path, files[path], files, folders) for path in sorted(files)]
    if any(strange):
        raise Failed("the backup holds what none holds: " + next(filter(None, strange)))
    staged = os.path.join(state.STATE, "restore", run)
    shutil.rmtree(os.path.dirname(staged), ignore_errors=True)
    os.makedirs(staged, 0o700)
    try:
        taking = _Taking(talk, asker, staged, manifest)
        found = taking.all(run, identity["secret"], keep)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    if not keep:
        shutil.rmtree(staged)
    return dict(found, staged=staged)


class _Taking:
    """One backup on its way in."""

    def __init__(self, talk, asker, staged, manifest):
        self._talk, self._asker, self._staged = talk, asker, staged
        self._manifest = manifest
        self._inner, self._load, self._digests = None, None, None

    def all(self, run, identity, keep):
        held = self._manifest.get("database")
        if not held:
            self._receive(identity)
            return {"folder": "", "tables": 0}
        self._room(held)
        with Throwaway(run) as server:
            _refuse_older(database.version(server.login), held)
            self._digests = Digests(held["loose"])
            argv = database.client(server.login, "--batch", "--max-allowed-packet=1G")
            with Program(argv, transfer.LONGEST, stdin=subprocess.PIPE) as self._load:
                self._receive(identity)
            self._compare("the backup's dump", held["tables"], self._digests)
            self._talk.say(t="stage", what="compare")
            again = Digests(held["loose"])
            with Program(database.dump(server.login, held["schemas"]), transfer.LONGEST) as dump:
                for data in transfer.pieces(dump.process.stdout):
                    again.feed(data)
                    if self._asker.gone():
                        raise transfer.Gone()
                dump.expect()
            self._compare("the restored server", held["tables"], again)
            if keep:
                self._users(server)
                server.keep()
            return {"folder": server.folder, "tables": len(held["tables"])}

    def _room(self, held):
        """Refuses to begin what cannot fit."""
        place = os.statvfs(os.path.dirname(datadir()))
        needed = int(held["space"] * 1.3) + 300 * 1024 * 1024
        if place.f_bavail * place.f_frsize < needed:
            raise Failed(
                "expected %d MiB free for the throwaway server, found %d"
                % (needed >> 20, place.f_bavail * place.f_frsize >> 20)
            )

    def _compare(self, what, expected, digests):
        if not digests.complete:
            raise Failed("%s ends without its last line" % what)
        wrong = differing(expected, digests.summary())
        if wrong:
            more = ", and %d more" % (len(wrong) - _MOST_NAMED) if wrong[_MOST_NAMED:] else ""
            said = "; ".join(wrong[:_MOST_NAMED])
            raise Failed("%s is not what was backed up: %s%s" % (what, said, more))

    def _users(self, server):
        with open(os.path.join(self._staged, "users.sql"), "rb") as stream:
            sql = stream.read()
        argv = database.client(server.login, "--batch", "--force")
        code, _, err = processes.call(argv, stdin=sql + b"\nFLUSH PRIVILEGES;\n", timeout=300)
        if code:
            raise Failed("the database's users: %s" % database.words_of(err))

    # The way in

    def _receive(self, identity):
        """Opens the backup as it comes, and gives every member its place."""
        read, write = os.pipe()
        os.write(write, identity.encode("ascii") + b"\n")
        os.close(write)
        age = [processes.first_of(("age",)), "-d", "-i", "/dev/fd/%d" % read]
        try:
            opened = Program(age, transfer.LONGEST, stdin=subprocess.PIPE, fds=(read,))
        finally:
            os.close(read)
        with opened:
            zstd = [processes.first_of(("zstd",)), "-q", "-d", "-c"]
            with Program(zstd, transfer.LONGEST, stdin=opened.process.stdout) as plain:
                opened.process.stdout.close()
                coming = transfer.In(opened.process.stdin, self._talk, self._asker)
                try:
                    self._members(plain.process.stdout)
                except BaseException as error:
                    _until_ended((opened, plain, self._load))
                    opened.process.kill()
                    coming.join()
                    if isinstance(error, (tarfile.TarError, OSError)):
                        _own_words(opened, plain, self._load)
                        raise Failed("the backup is broken: %s" % error)
                    raise
                coming.join()
                _own_words(opened, plain, None)
        if self._load:
            self._load.process.stdin.close()
            _own_words(None, None, self._load)
        if self._inner is None:
            raise Failed("the backup ends too early: it has no manifest")
        beside = {key: value for key, value in self._manifest.items() if key in self._inner}
        if beside != self._inner:
            raise Failed("the manifest beside the backup is not the one inside it")

    def _members(self, stream):
        with tarfile.open(mode="r|", fileobj=_Whole(stream), bufsize=transfer.PIECE) as tar:
            for member in tar:
                if self._asker.gone():
                    raise transfer.Gone()
                self._member(tar, member)
        while stream.read(transfer.PIECE):
            pass

    def _member(self, tar, member):
        top = member.name.partition("/")[0]
        if not member.isreg():
            return  # the manifest has folders and links
        if top == "sql":
            source = tar.extractfile(member)
            for data in iter(lambda: source.read(transfer.PIECE), b""):
                if self._digests:
                    self._digests.feed(data)
                    transfer.write_all(self._load.process.stdin, data)
        elif member.name == "manifest.json":
            self._inner = json.loads(tar.extractfile(member).read().decode("ascii"))
        elif top in ("files", "said", "users.sql"):
            self._stage(member.name, tar.extractfile(member).read())

    def _stage(self, name, data):
        """A file below the folder of this restore; its owner and mode are the manifest's."""
        path = os.path.normpath(os.path.join(self._staged, name))
        if not path.startswith(self._staged + os.sep):
            raise Failed("the backup names a file outside of it: %r" % name[:80])
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)


class _Whole:
    """A pipe that gives as many bytes as are asked for, as tarfile wants them."""

    def __init__(self, stream):
        self._stream = stream

    def read(self, size):
        parts = []
        while size:
            data = self._stream.read(size)
            if not data:
                break
            parts.append(data)
            size -= len(data)
        return b"".join(parts)


def _until_ended(programs):
    """Gives those a moment that have seen a fault, to end by themselves."""
    until = time.monotonic() + 2
    while time.monotonic() < until:
        if any(p and p.process.poll() for p in programs):
            time.sleep(0.2)  # the others see it too
            return
        time.sleep(0.05)


def _own_words(opened, plain, load):
    """Raises Failed with the cause, by whichever program noticed it first."""
    if opened and opened.process.wait() > 0:
        raise Failed("the backup is altered, cut, or sealed for another key: " + opened.faults())
    if plain and plain.process.wait() > 0:
        raise Failed("the backup is broken: " + plain.faults())
    if load and load.process.wait() > 0:
        raise Failed("the throwaway server refuses the dump: " + database.words_of(load.faults()))


def _refuse_older(version, held):
    """An older MariaDB than the backup's may not take its dump, nor its tables."""
    if database.number_of(version)[:2] < database.number_of(held["version"])[:2]:
        raise Failed(
            "the backup is of MariaDB %s, and this host has %s: expected the same or a "
            "newer one" % (held["version"], version)
        )
    known = {(10, 5): 25, (10, 6): 18, (10, 11): 8, (11, 0): 6, (11, 1): 5, (11, 2): 4, (11, 4): 2}
    number = database.number_of(version)
    sandboxed = "enable the sandbox mode" in held["first"]
    if sandboxed and number < (11, 5) and number[2] < known.get(number[:2], 1000):
        raise Failed(
            "the backup's dump begins with a line that the client of MariaDB %s does "
            "not know (sandbox mode): update it first" % version
        )
