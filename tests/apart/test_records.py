"""Dumps and drills by the agent, on a real MariaDB."""

import contextlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pytest

from fabfile.backup import age
from fabfile.core.remote import backup_restore, database, processes

from .programs import Server

KEYSTONE = """\
CREATE DATABASE keystone; USE keystone;
CREATE TABLE user (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(64) CHARACTER SET utf8mb4);
INSERT INTO user (name) VALUES ('Zoë 🦑'), ('NULL');
CREATE VIEW names AS SELECT name FROM user;
DELIMITER //
CREATE PROCEDURE p() BEGIN
-- Dumping data for table `user`
  SELECT 1;
END//
CREATE TRIGGER t BEFORE INSERT ON user FOR EACH ROW SET NEW.name = UPPER(NEW.name)//
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM user WHERE id < 0//
DELIMITER ;
"""
_NOVA = """
CREATE DATABASE nova; USE nova;
CREATE TABLE a (id INT PRIMARY KEY, balance BIGINT NOT NULL);
CREATE TABLE b (id INT PRIMARY KEY, balance BIGINT NOT NULL, note TEXT, bin VARBINARY(40));
CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('c92a3e68beed');
CREATE TABLE loose (word VARCHAR(40));
INSERT INTO loose VALUES ('z'), ('a'), (NULL), ('a');
INSERT INTO a SELECT seq, 1000 FROM seq_1_to_1000;
INSERT INTO b SELECT seq, 1000, 'a\\nb -- c\\n-- Current Database: `x`\\n(1,''2'');',
  UNHEX('00FF5C27') FROM seq_1_to_1000;
CREATE USER 'nova'@'%' IDENTIFIED BY 'hush'; GRANT ALL ON nova.* TO 'nova'@'%';
"""
ACCOUNTS = "".join((KEYSTONE, _NOVA))


@pytest.fixture
def filled(server):
    server.sql(ACCOUNTS)
    return server


def test_a_record_is_restored_and_compared(filled, agent, key):
    private, recipient = key
    host = agent()
    data, manifest, why = host.record([recipient])
    assert why is None
    assert data.startswith(b"age-encryption.org/v1\n")
    held = manifest["database"]
    assert held["schemas"] == ["keystone", "nova"]
    assert held["heads"] == {"nova": ["c92a3e68beed"]}
    assert held["loose"] == ["nova.loose"]
    assert held["tables"]["nova.b"][0] == 1000
    assert held["tables"]["keystone.user"][0] == 2
    before = filled.all()
    value, why = host.restore(data, manifest, private)
    assert why is None
    assert value["tables"] == len(held["tables"])
    assert filled.all() == before
    assert [p.name for p in filled.folder.iterdir() if "stackrbd-" in p.name] == []


def left_behind(live):
    """What a drill or a dump left on the host: folders, processes, staged files."""
    folders = [p.name for p in live.folder.iterdir() if "stackrbd-" in p.name]
    staged = list((live.folder / "state" / "restore").glob("*"))
    here = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        mine = str(live.folder).encode()
        if any(mine in word for word in words) and b"age" not in words[0]:
            here.append(b" ".join(words))
    own = f"--datadir={live.data} ".encode()
    return folders, staged, [words for words in here if own not in words + b" "]


def settled(live):
    """The same, once whatever was killed has gone."""
    until = time.monotonic() + 20
    while any(left_behind(live)[2:]) and time.monotonic() < until:
        time.sleep(0.2)
    return left_behind(live)


def balances(live):
    return live.sql(
        "SELECT (SELECT SUM(balance) FROM nova.a) + (SELECT SUM(balance) FROM nova.b)"
    ).strip()


class Writer:
    """Moves balances between two tables of the live server until it is stopped."""

    def __init__(self, live, statement=None):
        self.statement = statement or (
            "START TRANSACTION; SET @n = FLOOR(RAND() * 100), @i = 1 + FLOOR(RAND() * 1000), "
            "@j = 1 + FLOOR(RAND() * 1000); UPDATE nova.a SET balance = balance - @n WHERE "
            "id = @i; UPDATE nova.b SET balance = balance + @n WHERE id = @j; COMMIT;\n"
        )
        self.process = subprocess.Popen(
            live.client(),
            stdin=subprocess.PIPE,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.going, self.count = True, 0
        self.thread = threading.Thread(target=self._write)
        self.thread.start()

    def _write(self):
        while self.going:
            self.process.stdin.write(self.statement)
            self.process.stdin.flush()
            self.count += 1
            time.sleep(0.002)

    def stop(self):
        self.going = False
        self.thread.join()
        self.process.stdin.close()
        self.process.wait(300)  # what is in the pipe is still carried out


DUMPS = int(os.environ.get("STACKRBD_DUMPS", "5"))


def test_every_dump_under_writers_is_balanced(filled, agent, key, folder):
    """Each is unpacked by hand, without this tool, into a server of its own."""
    private, recipient = key
    identity = folder / "key"
    identity.write_text(private.reveal() + "\n")
    (folder / "other").mkdir()
    other = Server(filled.programs, folder / "other")
    other.make()
    writers = [Writer(filled) for _ in range(3)]
    try:
        host = agent()
        for _ in range(DUMPS):
            data, manifest, why = host.record([recipient])
            assert why is None
            (folder / "record").write_bytes(data)
            by_hand = (
                f"{filled.programs}/age -d -i {identity} {folder}/record | zstd -dc | "
                f"tar -xO --wildcards 'sql/*' | {' '.join(other.client())}"
            )
            subprocess.run(["bash", "-o", "pipefail", "-c", by_hand], check=True)
            assert balances(other) == "2000000"
    finally:
        for writer in writers:
            writer.stop()
        other.stop()
    assert min(writer.count for writer in writers) > 10 * DUMPS


def test_a_schema_that_changes_meanwhile_is_noticed_and_dumped_again(filled, agent, key):
    more = "EXECUTE IMMEDIATE CONCAT('CREATE TABLE nova.t', UUID_SHORT(), ' (id INT)');\n"
    changing = Writer(filled, more)
    try:
        host = agent()
        data, manifest, why = host.record([key[1]])
    finally:
        changing.stop()
    assert host.again == 2
    assert "the schema changed during each of 3 dumps" in why
    data, manifest, why = host.record([key[1]])
    assert (host.again, why) == (0, None)
    assert host.restore(data, manifest, key[0])[1] is None


@pytest.mark.parametrize("statement", ["TRUNCATE nova.a", "ALTER TABLE nova.a FORCE"])
def test_a_table_that_is_made_anew_has_another_structure(filled, statement):
    def structure():
        return sorted(
            filled.sql(database.STRUCTURE.format(innodb="innodb_sys_tables")).splitlines()
        )

    before = structure()
    filled.sql("INSERT INTO nova.b VALUES (5000, 1, '', ''); DELETE FROM nova.b WHERE id = 5000")
    assert structure() == before
    filled.sql(statement)
    assert structure() != before


def test_engines_without_transactions_are_named(filled, agent, key):
    filled.sql("CREATE TABLE nova.m (id INT) ENGINE=MyISAM")
    data, manifest, why = agent().record([key[1]])
    assert why is None
    assert manifest["database"]["unsafe"] == ["nova.m (MyISAM)"]


KILLS = int(os.environ.get("STACKRBD_KILLS", "6"))


@pytest.mark.parametrize("way", ["kill", "leave"])
def test_a_dump_that_is_broken_off_leaves_nothing(filled, agent, key, way):
    filled.sql(
        "USE nova; INSERT INTO b SELECT seq, 0, REPEAT(UUID(), 30), '' FROM seq_1001_to_60000"
    )
    before = filled.all()
    for _ in range(KILLS):
        host = agent()
        host.give(transfer="create", args=arguments(filled, key))
        time.sleep(random.uniform(0.05, 1.2))
        if way == "kill":
            host.process.kill()
        else:
            host.process.stdin.close()
        data, manifest, why = host.take()
        assert (manifest, why) == (None, "cut")
        host.process.wait(30)
    assert settled(filled) == ([], [], [])
    assert filled.all() == before


def arguments(live, key):
    return {
        "recipients": [key[1]],
        "folders": [],
        "said": {},
        "commands": {},
        "about": {},
        "dumped": {"defaults": str(live.defaults), "heads": {"alembic_version": "version_num"}},
    }


@pytest.mark.parametrize("moment", [0.3, 2.0, 4.0, 6.0])
def test_a_drill_that_is_broken_off_leaves_nothing_live_touched(filled, agent, key, moment):
    data, manifest, why = agent().record([key[1]])
    before = filled.all()
    host = agent()
    threading.Timer(moment, host.process.kill).start()
    with contextlib.suppress(BrokenPipeError):
        assert host.restore(data, manifest, key[0], keep=True)[1] in ("cut", None)
    host.process.wait(30)
    settled(filled)
    assert filled.all() == before
    assert agent().restore(data, manifest, key[0])[1] is None  # clears what was left
    assert settled(filled) == ([], [], [])


def cut(data):
    return data[: len(data) // 2]


def cut_at_the_end(data):
    return data[:-1]


def altered(data):
    at = len(data) * 2 // 3
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("harm", [cut, cut_at_the_end, altered])
def test_a_record_that_is_cut_or_altered_is_refused_with_its_cause(filled, agent, key, harm):
    host = agent()
    data, manifest, _ = host.record([key[1]])
    before = filled.all()
    value, why = host.restore(harm(data), manifest, key[0], keep=True)
    assert "the backup is altered, cut, or sealed for another key" in why
    assert settled(filled) == ([], [], [])
    assert filled.all() == before
    assert host.restore(data, manifest, key[0])[1] is None  # the same agent goes on


def test_a_record_for_somebody_else_is_refused(filled, agent, key):
    host = agent()
    data, manifest, _ = host.record([age.new_identity()[1]])
    value, why = host.restore(data, manifest, key[0])
    assert "no identity matched any of the recipients" in why
    assert settled(filled) == ([], [], [])


@pytest.mark.parametrize(
    "change, cause",
    [
        (lambda held: held.update(version="99.1.2-MariaDB"), "expected the same or a newer one"),
        (lambda held: held["tables"].update({"nova.a": [7, "x"]}), "nova.a: 1000 rows, expected 7"),
        (lambda held: held["tables"].pop("nova.b"), "nova.b is there besides"),
    ],
)
def test_a_manifest_that_is_not_the_records_is_refused(filled, agent, key, change, cause):
    host = agent()
    data, manifest, _ = host.record([key[1]])
    change(manifest["database"])
    value, why = host.restore(data, manifest, key[0])
    assert cause in why or "is not the one inside it" in why
    assert settled(filled) == ([], [], [])


@pytest.mark.parametrize(
    "version, refused",
    [
        ("10.11.7-MariaDB", "does not know (sandbox mode)"),
        ("10.6.17-MariaDB", "expected the same or a newer one"),
        ("10.11.8-MariaDB-log", None),
        ("11.4.1-MariaDB", "does not know (sandbox mode)"),
        ("11.8.3-MariaDB", None),
        ("12.0.1-MariaDB", None),
    ],
)
def test_an_older_mariadb_is_refused(version, refused):
    held = {"version": "10.11.19-MariaDB", "first": "/*M!999999\\- enable the sandbox mode */"}
    if refused is None:
        backup_restore._refuse_older(version, held)
        return
    with pytest.raises(processes.Failed, match=re.escape(refused)):
        backup_restore._refuse_older(version, held)


def test_what_a_broken_statement_holds_is_never_shown(filled, agent, key, folder):
    """A dump with an error in it: the client's words would show the row."""
    host = agent()
    filled.sql("INSERT INTO nova.loose VALUES ('hush-hush')")
    data, manifest, _ = host.record([key[1]])
    (folder / "key").write_text(key[0].reveal() + "\n")
    (folder / "record").write_bytes(data)
    script = f"""cd {folder} && mkdir x && {filled.programs}/age -d -i key record | zstd -dc |
      tar -x -C x && sed -i 's/^INSERT INTO `loose`/INSERT INOT `loose`/' x/sql/* && cd x &&
      tar -c users.sql sql/* manifest.json | zstd -1 | {filled.programs}/age -r {key[1]} > ../bad"""
    subprocess.run(["bash", "-ec", script], check=True)
    value, why = host.restore((folder / "bad").read_bytes(), manifest, key[0])
    assert "ERROR 1064" in why
    assert "hush" not in why


@pytest.fixture
def small(server, folder):
    """The live server's folder on a file system with little room."""
    server.stop()
    place = folder / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", place], check=True)
    shutil.move(server.data, place / "data")
    server.data = place / "data"
    server.start()
    yield server
    server.stop()
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_refused_before_and_said_during(small, agent, key):
    small.sql(ACCOUNTS)
    host = agent()
    data, manifest, _ = host.record([key[1]])
    before = small.all()
    manifest["database"]["space"] = 10**9
    value, why = host.restore(data, manifest, key[0])
    assert "MiB free for the throwaway server" in why
    manifest["database"]["space"] = 0
    filler = small.folder / "small" / "filler"
    with filler.open("wb") as stream:
        stream.write(bytes(215 * 1024 * 1024))
    value, why = host.restore(data, manifest, key[0])
    assert value is None
    assert re.search("free for|does not start|refuses the dump|exit code", why)
    filler.unlink()
    assert small.all() == before


# Made by somebody who means ill, and signed by somebody who was deceived


def packed(programs, recipient, members):
    """(a backup of these members, its digest's size) as anybody can make one."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data, *more in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), more[0] if more else tarfile.REGTYPE
            tar.addfile(info, io.BytesIO(data))
    data = buffer.getvalue()
    end = len(data) - len(data.rstrip(b"\0")) - (-len(data.rstrip(b"\0")) % 512)
    data = data[: len(data) - end] + bytes(1024)
    age_, zstd = f"{programs}/age -r {recipient}", "zstd -qc"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{zstd} | {age_}"],
        input=data,
        capture_output=True,
        check=True,
    ).stdout


def evil(sql, **more):
    tables = {"x.t": [0, "0" * 64]}
    held = {"version": "10.4.0-MariaDB", "schemas": ["x"], "heads": {}, "unsafe": [], "loose": []}
    held |= {"space": 1, "size": len(sql), "tables": tables, "first": ""}
    return {"files": {}, "left": [], "units": [], "versions": {}, "database": held, **more}


def members_of(manifest, sql):
    text = json.dumps(manifest).encode()
    return [("users.sql", b""), ("sql/000001", sql), ("manifest.json", text)]


COMMANDS = (
    "\\! touch {mark}",
    "system touch {mark}",
    "SELECT 1; \\! touch {mark}",
    "/*M!999999\\! touch {mark} */",
    "/*!100100 \\! touch {mark} */;",
    "DELIMITER //\n\\! touch {mark}\n//",
    "source {script}",
    "\\. {script}",
    "tee {mark}",
    "\\T {mark}",
    "pager touch {mark}",
    "CREATE DATABASE x; USE x; CREATE TABLE t (a TEXT); LOAD DATA LOCAL INFILE '{secret}' INTO "
    "TABLE t; SELECT * FROM t INTO OUTFILE '{mark}';",
    "CREATE DATABASE x; USE x; CREATE TABLE t (a TEXT); LOAD DATA INFILE '{secret}' INTO TABLE t;",
    "SELECT 'x' INTO OUTFILE '{mark}';",
    "SELECT 'x' INTO DUMPFILE '{live}/mark';",
    "SET GLOBAL general_log_file = '{live}/mark'; SET GLOBAL general_log = 1; SELECT 1;",
    "CREATE DATABASE x; CREATE DEFINER=root@localhost PROCEDURE x.p() SQL SECURITY DEFINER "
    "SELECT 1 INTO OUTFILE '{mark}'; CALL x.p();",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_dump_runs_no_command_and_opens_no_file(filled, agent, key, folder, command):
    mark, script, secret = folder / "open" / "mark", folder / "script", folder / "secret"
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    script.write_text(f"\\! touch {mark}\n")
    script.chmod(0o644)
    secret.write_text("hush-hush\n")
    words = command.format(mark=mark, script=script, secret=secret, live=filled.data)
    sql = f"-- MariaDB dump\n{words}\n-- Dump completed\n".encode()
    manifest = evil(sql)
    data = packed(filled.programs, key[1], members_of(manifest, sql))
    before = filled.all()
    value, why = agent().restore(data, manifest, key[0])
    assert value is None and why and "hush" not in why
    assert not mark.exists() and not (filled.data / "mark").exists()
    assert settled(filled) == ([], [], [])
    assert filled.all() == before


@pytest.mark.parametrize(
    "change, cause",
    [
        (lambda m: m[::-1], "is not expected there"),
        (lambda m: [m[0], m[0], *m[1:]], "users.sql is not expected there"),
        (lambda m: m[:-1], "it has no manifest"),
        (lambda m: [*m, ("manifest.json", b"{}")], "is not expected there"),
        (lambda m: [("etc/passwd", b"x"), *m], "is not expected there"),
        (lambda m: [("/etc/passwd", b"x"), *m], "is not expected there"),
        (lambda m: [("files/../../etc/passwd", b"x"), *m], "is not the manifest's"),
        (lambda m: [("files/etc/x", b"x"), *m], "is not the manifest's"),
        (lambda m: [("files/etc/x", b"", tarfile.CHRTYPE), *m], "is not the manifest's"),
        (lambda m: [("said/../x", b"x"), *m], "is not expected there"),
        (lambda m: [("said/x", b"", tarfile.SYMTYPE), *m], "is not a file"),
        (lambda m: [("said/x", b"x" * (17 << 20)), *m], "has more than"),
        (lambda m: [m[0], ("sql/000002", b"x"), m[2]], "is not the manifest's"),
        (lambda m: [m[0], m[1], ("sql/000002", b"x"), m[2]], "is not the manifest's"),
        (lambda m: [*m[:2], ("manifest.json", b"{}")], "is not the one inside it"),
        (lambda m: [*m[:2], ("manifest.json", b"[" * 100_000)], "the backup is broken"),
        (lambda m: [*m[:2], ("manifest.json", b"\xff")], "the backup is broken"),
        (lambda m: [("x" * 9000, b"x"), *m], "a long name has more than"),
        (lambda m: [("x", b"x" * (1 << 20), tarfile.XHDTYPE), *m], "is not expected there"),
    ],
)
def test_what_no_backup_is_made_of_is_refused(filled, agent, key, change, cause):
    sql = b"-- MariaDB dump\n-- Dump completed\n"
    manifest = evil(sql)
    members = change(members_of(manifest, sql))
    value, why = agent().restore(packed(filled.programs, key[1], members), manifest, key[0])
    assert value is None and cause in why, why
    assert settled(filled) == ([], [], [])


def test_a_dump_that_alters_the_servers_own_users_is_refused(filled, agent, key):
    sql = b"CREATE DATABASE x;\nCREATE USER eve@'%';\n-- Dump completed\n"
    manifest = evil(sql)
    data = packed(filled.programs, key[1], members_of(manifest, sql))
    value, why = agent().restore(data, manifest, key[0])
    assert "alters the server's own databases or users" in why
