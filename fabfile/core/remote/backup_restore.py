"""Takes a backup in, into a throwaway server, and compares that table by table.

Nothing live is touched here: what is to take its place stays beside it, under
/var/lib/stackrbd/restore/RUN (files) and beside the live server's folder (databases).
Python 3.6, standard library alone.
"""

import json
import os
import re
import shutil
import subprocess
import tarfile
import time

from . import (
    archive,
    backup_paths,
    database,
    files,
    processes,
    sandbox,
    server_kinds,
    state,
    transfer,
)
from .digests import Digests, differing
from .places import as_bytes
from .processes import Failed, Program
from .throwaway import Throwaway, datadir

_MOST_NAMED = 8
_ORDER = ("files", "said", "users.sql", "sql", "manifest.json")
"""The members of a backup, as they follow each other."""
_MOST_SAID = 64
_SAID = re.compile(r"said/[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_TYPES = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}
_LARGEST_MANIFEST = 64 * 1024 * 1024
_READER = ("--batch", "--binary-mode", "--loose-sandbox", "--max-allowed-packet=1G")
"""How the client reads a dump: it takes no commands of its own out of it (\\!, source, tee)."""


def restore(talk, asker, run, identity, manifest, folders, keep):
    """Takes one backup in.  keep: leave what was made of it, for what follows.

    identity: {'secret': the key that opens this backup}; folders: below which its files are.
    Raises Failed, before anything of it is opened, for a file that is elsewhere.  Returns
    {'folder': the throwaway server's, or '', 'staged': where the files are, 'tables': how many}.
    """
    held = manifest["files"]
    if len(held) > backup_paths.MOST:
        raise Failed(
            "the backup holds what none holds: %d files and folders, where at most %d are expected"
            % (len(held), backup_paths.MOST)
        )
    strange = [backup_paths.fault(path, held[path], held, folders) for path in sorted(held)]
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
        self._place, self._said, self._pieces, self._size = 0, 0, 0, 0
        self._seen = set()  # type: ignore[var-annotated]
        self._sandbox = sandbox.Sandbox()

    def all(self, run, identity, keep):
        held = self._manifest.get("database")
        if not held:
            self._receive(identity)
            return {"folder": "", "tables": 0}
        self._room(held)
        with Throwaway(run, self._sandbox) as server:
            _refuse_older(database.version(server.login), held)
            self._digests = Digests(held["loose"])
            before = database.itself(server.login)
            argv = database.client(server.login, *_READER)
            apart = server.login.apart
            try:
                with Program(
                    argv, transfer.LONGEST, stdin=subprocess.PIPE, apart=apart
                ) as self._load:
                    self._receive(identity)
            finally:
                self._sandbox.end_all()
            self._refuse_more(server, held, before)
            self._compare("the backup's dump", held["tables"], self._digests)
            self._talk.say(t="stage", what="compare")
            again = Digests(held["loose"])
            argv = database.dump(server.login, held["schemas"])
            with Program(argv, transfer.LONGEST, apart=apart) as dump:
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

    def _refuse_more(self, server, held, before):
        """Raises Failed where the dump made more than its databases: users, plugins, routines."""
        found = database.schemas(server.login)
        if found != sorted(held["schemas"]):
            raise Failed("the backup's dump makes other databases than the manifest has")
        if database.itself(server.login) != before:
            raise Failed("the backup's dump alters the server's own databases or users")
        _refuse_settings(server, "dump")

    def _room(self, held):
        """Refuses to begin what cannot fit."""
        place = os.statvfs(as_bytes(os.path.dirname(datadir())))
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
        # What MariaDB's dump program says of users is partly of other versions.
        force = ("--force",) if server.login.kind.users_dump else ()
        argv = database.client(server.login, *(_READER + force))
        sql += b"\nFLUSH PRIVILEGES;\n"
        code, _, err = processes.call(argv, stdin=sql, timeout=300, apart=server.login.apart)
        self._sandbox.end_all()
        if code:
            raise Failed("the database's users: %s" % database.words_of(err))
        _refuse_settings(server, "users")

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
            apart = self._sandbox.enter
            with Program(zstd, transfer.LONGEST, stdin=opened.process.stdout, apart=apart) as plain:
                opened.process.stdout.close()
                coming = transfer.In(opened.process.stdin, self._talk, self._asker)
                try:
                    self._members(plain.process.stdout)
                except BaseException as error:
                    _until_ended((opened, plain, self._load))
                    for program in (opened, plain):
                        program.process.kill()
                    coming.join()
                    if isinstance(error, (OSError, ValueError, RecursionError, Failed)):
                        ended = self._load and self._load.process.poll() is not None
                        _own_words(opened, plain, self._load if ended else None)
                    if isinstance(error, (OSError, ValueError, RecursionError)):
                        raise Failed("the backup is broken: %s" % error)
                    raise
                coming.join()
                _own_words(opened, plain, None)
        if self._load:
            self._load.process.stdin.close()
            _own_words(None, None, self._load)
        if self._inner is None:
            raise Failed("the backup ends too early: it has no manifest")
        if self._manifest != self._inner:
            raise Failed("the manifest beside the backup is not the one inside it")

    def _members(self, stream):
        for member in archive.members(stream):
            if self._asker.gone():
                raise transfer.Gone()
            self._in_order(member)
            self._member(member)
        lacking = [path for path, entry in self._manifest["files"].items() if entry[0] == "file"]
        lacking = [path for path in lacking if "files" + path not in self._seen]
        if lacking:
            raise Failed("the backup is broken: %s is not in it" % lacking[0])

    def _in_order(self, member):
        """Raises Failed for what comes twice, too late, or is none of a backup's members."""
        top = member.name.partition("/")[0]
        if top not in _ORDER or member.name in self._seen or _ORDER.index(top) < self._place:
            raise Failed("the backup is broken: %s is not expected there" % member.shown)
        if top != "files" and member.type != tarfile.REGTYPE:
            raise Failed("the backup is broken: %s is not a file" % member.shown)
        if top != "sql":  # of these there are as many as the dump needs, in their own order
            self._seen.add(member.name)
        self._place = _ORDER.index(top)

    def _member(self, member):
        top = member.name.partition("/")[0]
        if top == "files":
            self._file(member)
        elif top == "sql":
            self._sql(member)
        elif member.name == "manifest.json":
            self._inner = json.loads(member.read(_LARGEST_MANIFEST).decode("ascii"))
        elif member.name == "users.sql" or _SAID.fullmatch(member.name):
            self._said += top == "said"
            if self._said > _MOST_SAID:
                raise Failed("the backup is broken: more than %d members of said/" % _MOST_SAID)
            self._stage(member.name, member.read(files.LARGEST))
        else:
            raise Failed("the backup is broken: %s is not expected there" % member.shown)

    def _file(self, member):
        """One of the manifest's files, with its content; a folder or link is in the manifest."""
        entry = self._manifest["files"].get(member.name[len("files") :])
        if not entry or _TYPES[entry[0]] != member.type or (entry[0] != "file" and member.size):
            raise Failed("the backup is broken: %s is not the manifest's" % member.shown)
        if entry[0] == "file":
            data = member.read(files.LARGEST)
            if files.sha256(data) != entry[4]:
                raise Failed("the backup is broken: %s has another sha256" % member.shown)
            self._stage(member.name, data)

    def _sql(self, member):
        """The next piece of the dump, into the client."""
        self._pieces += 1
        self._size += member.size
        held = self._manifest.get("database")
        expected = held and member.size and member.name == "sql/%06d" % self._pieces
        if not expected or self._size > held["size"]:
            raise Failed("the backup is broken: %s is not the manifest's" % member.shown)
        for data in member.pieces():
            self._digests.feed(data)
            transfer.write_all(self._load.process.stdin, data)

    def _stage(self, name, data):
        """A file below the folder of this restore; its owner and mode are the manifest's."""
        path = os.path.normpath(os.path.join(self._staged, name))
        if not path.startswith(self._staged + os.sep):
            raise Failed("the backup names a file outside of it: %r" % name[:80])
        os.makedirs(as_bytes(os.path.dirname(path)), 0o700, exist_ok=True)
        handle = os.open(
            as_bytes(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600
        )
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)


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


def _refuse_settings(server, what):
    """Raises Failed where a statement keeps settings in the folder that the live server gets."""
    name = server.login.kind.persisted
    if name and os.path.lexists(as_bytes(os.path.join(server.folder, name))):
        raise Failed("the backup's %s: alters the server's own settings (SET PERSIST)" % what)


def _refuse_older(version, held):
    """A server of another kind, or an older one, may not take its dump, nor its tables."""
    server_kinds.refuse_other(version, held["version"])
    known = {(10, 5): 25, (10, 6): 18, (10, 11): 8, (11, 0): 6, (11, 1): 5, (11, 2): 4, (11, 4): 2}
    number = server_kinds.number_of(version)
    sandboxed = "enable the sandbox mode" in held["first"]
    if sandboxed and number < (11, 5) and number[2] < known.get(number[:2], 1000):
        raise Failed(
            "the backup's dump begins with a line that the client of MariaDB %s does "
            "not know (sandbox mode): update it first" % version
        )
