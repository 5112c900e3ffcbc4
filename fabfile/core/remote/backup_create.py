"""Makes a backup of this host: files, what commands say, the dump of its databases.

    files/etc/...   as they are, with owner and mode
    said/NAME       what a command printed, or what came with the work
    users.sql       the database's users
    sql/000001 ...  the dump, in pieces at line ends
    manifest.json   the last member: what all of it is

One tar, through zstd and age, and out: nothing of it is ever whole in memory or in a file.
Python 3.6, standard library alone.
"""

import itertools
import json
import os
import re
import stat
import subprocess
import tarfile
import time

from . import backup_paths, database, files, places, processes, transfer
from .digests import Digests
from .processes import Failed, Program

PIECE = 4 * 1024 * 1024
LARGEST_MANIFEST = 8 * 1024 * 1024 - 4096
"""Bytes: the operator's machine hears it in one message, of which it takes no more."""
TRIES = 3


class Changed(Exception):
    """The schema changed during the dump; args[0] says what was seen of it."""


def create(talk, asker, run, recipients, folders, said, commands, dumped, about):
    """Sends a backup; returns its manifest.

    said: {name: text}; commands: {name: argv}; dumped: None, or how the databases are asked
    ({'defaults', 'heads'}); about: more for the manifest.
    """
    for attempt in range(1, TRIES + 1):
        try:
            making = _Making(talk, asker, recipients)
            return making.backup(folders, said, commands, dumped, dict(about, run=run))
        except Changed as why:
            last = str(why)
            if attempt < TRIES:
                talk.say(t="again", why=last)
    raise Failed(
        "the schema changed during each of %d dumps (%s): let the migration end first"
        % (TRIES, last)
    )


class _TooMany(Exception):
    """There are more files and folders than a backup has room for."""


class _Making:
    """One backup on its way."""

    def __init__(self, talk, asker, recipients):
        self._talk, self._asker = talk, asker
        self._age = [processes.first_of(("age",))]
        for recipient in recipients:
            self._age += ["-r", recipient]
        self._zstd = [processes.first_of(("zstd",)), "-q", "-1", "-c"]
        self._target, self._folders = None, ()
        self.files, self.left, self._seen = {}, [], 0  # type: ignore[var-annotated]

    def backup(self, folders, said, commands, dumped, about):
        with Program(self._zstd, transfer.LONGEST, stdin=subprocess.PIPE) as zstd:  # noqa: SIM117
            with Program(self._age, transfer.LONGEST, stdin=zstd.process.stdout) as age:
                zstd.process.stdout.close()
                out = transfer.Out(age.process.stdout, self._talk, self._asker.gone)
                self._target = zstd.process.stdin
                try:
                    manifest = self._members(folders, said, commands, dumped, about)
                    self._target.close()
                    zstd.expect()
                    age.expect()
                except BaseException as error:
                    if not isinstance(error, BrokenPipeError):
                        age.process.kill()
                    out.join()  # nothing of it goes out after this
                    if isinstance(error, BrokenPipeError):
                        age.expect()
                        zstd.expect()
                    raise
                out.join()
        return manifest

    def _members(self, folders, said, commands, dumped, about):
        manifest = dict(about, format=1, host=places.as_text(os.uname()[1]), time=int(time.time()))
        self._folders = folders
        self._all_below(folders)
        for name, text in said.items():
            self._member("said/" + name, text.encode("utf-8"))
        for name, argv in commands.items():
            self._command(name, argv)
        if dumped:
            manifest["database"] = self._databases(**dumped)
        manifest["files"], manifest["left"] = self.files, self.left
        self._member("manifest.json", _as_json(manifest))
        self._put(bytes(2 * tarfile.BLOCKSIZE))
        return manifest

    def _all_below(self, folders):
        for folder in folders:
            before = self._seen
            try:
                self._folder(folder)
            except _TooMany:
                seen = (backup_paths.MOST, folder, self._seen - before)
                raise Failed(
                    "expected at most %d files and folders to back up, found more; below %s are at "
                    "least %d: take away there what is no configuration" % seen
                )

    # Members of the tar

    def _put(self, data):
        if self._asker.gone():
            raise transfer.Gone()
        transfer.write_all(self._target, data)

    def _member(self, name, data, **about):
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = len(data), 0o600, int(time.time())
        for key, value in about.items():
            setattr(info, key, value)
        self._put(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
        self._put(data)
        self._put(bytes(-len(data) % tarfile.BLOCKSIZE))

    def _folder(self, path):
        """What a path names, and all below it; what somebody else leads astray is left, by name."""
        try:
            with places.place(path) as there:
                seen = there.look()
                names = self._entry(path, there, seen) if seen else []
        except FileNotFoundError:
            return
        except files.Refused as error:
            self._leave(str(error))
            return
        for name in names:
            self._folder(os.path.join(path, name))

    def _leave(self, why):
        """Names what is not in the backup, on one line."""
        self.left.append("".join(c if c.isprintable() else "?" for c in why))

    def _text(self, path, name):
        """A name as a backup has it; None, and said, where it is no UTF-8."""
        try:
            return name.decode("utf-8")
        except UnicodeDecodeError:
            self._leave("%s: %s is no name in UTF-8" % (path, places.as_text(name)))
            return None

    def _names(self, path, there):
        """The names that are in a folder, in their order.  Raises _TooMany."""
        found = list(itertools.islice(there.names(there.name), backup_paths.MOST - self._seen + 1))
        self._seen += len(found)
        if self._seen > backup_paths.MOST:
            raise _TooMany()
        texts = [self._text(path, name) for name in sorted(found)]
        return [name for name in texts if name is not None]

    def _entry(self, path, there, seen):
        """Puts one file, folder or link in; the names that are in a folder."""
        if path in self.files:
            return []  # a folder of the site's own may be below one that is taken anyway
        described = files.described(seen)
        mode = int(described["mode"], 8)
        owner = ["%04o" % (mode & backup_paths.MODE), described["owner"], described["group"]]
        about = {"uname": owner[1], "gname": owner[2], "mtime": int(seen.st_mtime)}
        names, data = [], b""  # type: ignore[var-annotated]
        if stat.S_ISLNK(seen.st_mode):
            target = self._text(path, os.readlink(there.name, dir_fd=there.folder))
            if target is None:
                return []
            about.update(type=tarfile.SYMTYPE, linkname=target)
            entry = ["link", "0777"] + owner[1:] + [target]
        elif stat.S_ISDIR(seen.st_mode):
            names = self._names(path, there)
            about.update(type=tarfile.DIRTYPE)
            entry = ["directory"] + owner + [""]
        elif stat.S_ISREG(seen.st_mode):
            data = files.content(there)
            entry = ["file"] + owner + [files.sha256(data)]
        else:
            return []
        why = backup_paths.fault(path, entry, self.files, self._folders)
        if why:
            self._leave(why)
            return []
        if entry[0] != "link" and mode != mode & backup_paths.MODE:
            self._leave("%s: of its mode %04o, %s is kept" % (path, mode, entry[1]))
        self.files[path] = entry
        self._member("files" + path, data, mode=int(entry[1], 8), **about)
        return names

    def _command(self, name, argv):
        """What a command prints; one that is not here, or fails, is named."""
        try:
            code, out, _ = processes.call(argv, timeout=120)
        except Failed as error:
            self._leave("%s: %s" % (name, error))
            return
        if code:  # its words may tell more than is good
            self.left.append("%s: %s: exit code %d" % (name, argv[0], code))
        else:
            self._member("said/" + name, out.encode("utf-8"))

    # The databases

    def _databases(self, defaults, heads):
        how = database.login(defaults)
        found = {"version": database.version(how), "schemas": database.schemas(how)}
        if not found["schemas"]:
            raise Failed("the database server holds no database but its own; is it the right one?")
        before = database.structure(how)
        found["heads"] = database.heads(how, heads)
        found["unsafe"] = [row[0] for row in database.answer(how, database.UNSAFE)]
        found["loose"] = [row[0] for row in database.answer(how, database.WITHOUT_A_KEY)]
        found["space"] = database.size(how)
        self._member("users.sql", database.users(how).encode("utf-8"))
        for name in database.not_taken(how):
            self._leave("%s: the database server's own, which no backup has" % name)
        digests = Digests(found["loose"])
        found["size"] = self._dump(database.dump(how, found["schemas"]), digests)
        if database.structure(how) != before or database.schemas(how) != found["schemas"]:
            raise Changed("its structure is another one than before")
        found["tables"] = digests.summary()
        found["first"] = processes.text(digests.first or b"")
        return found

    def _dump(self, argv, digests):
        """The dump's pieces; returns how many bytes they were."""
        size, number, parts, held = 0, 0, [], 0  # type: ignore[var-annotated]
        with Program(argv, transfer.LONGEST) as program:
            for data in transfer.pieces(program.process.stdout):
                digests.feed(data)
                size += len(data)
                parts.append(data)
                held += len(data)
                cut = data.rfind(b"\n") + 1
                if held >= PIECE and cut:
                    number += 1
                    parts[-1] = data[:cut]
                    self._member("sql/%06d" % number, b"".join(parts))
                    parts, held = [data[cut:]], len(data) - cut
            _end_of_dump(program)
        if held:
            self._member("sql/%06d" % (number + 1), b"".join(parts))
        if not digests.complete:
            raise Failed("the dump ends without its last line")
        return size


def _as_json(manifest):
    """A manifest's bytes.  Raises Failed for more of them than go into one message."""
    data = json.dumps(manifest, sort_keys=True).encode("ascii")
    if len(data) > LARGEST_MANIFEST:
        tables = manifest.get("database", {}).get("tables", {})
        raise Failed(
            "the names of %d files and folders, and of %d tables, are a manifest of %d bytes; "
            "expected at most %d: take away in the folders what is no configuration"
            % (len(manifest["files"]), len(tables), len(data), LARGEST_MANIFEST)
        )
    return data


def _end_of_dump(program):
    """Raises Changed where a table was altered under the dump, Failed for all else."""
    program.process.wait()
    said = program.faults()
    if program.process.returncode and re.search(r"\b(1412|1146|1051|1054|1356)\b", said):
        raise Changed(said[-200:])
    program.expect()
