"""Dumps, drills and restores by the agent, on a real MySQL."""

import re
import subprocess

import pytest

from .mysql import MySQL, mysql_programs  # noqa: F401 (a fixture)
from .test_records import COMMANDS, KEYSTONE, evil, members_of, packed, settled

FILLED = """
SET SESSION cte_max_recursion_depth = 5000;
CREATE DATABASE nova; USE nova;
CREATE TABLE a (id INT PRIMARY KEY, balance BIGINT NOT NULL);
CREATE TABLE b (id INT PRIMARY KEY, note TEXT, bin VARBINARY(40), doc JSON, at POINT, flag BIT(3),
  twice INT GENERATED ALWAYS AS (id * 2) STORED, `odd VALUES (),('` DOUBLE);
CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('c92a3e68beed');
CREATE TABLE loose (word VARCHAR(40));
INSERT INTO loose VALUES ('z'), ('a),('), (NULL), ('a),(');
INSERT INTO a WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
  SELECT i, 1000 FROM n;
INSERT INTO b (id, note, bin, doc, at, flag, `odd VALUES (),('`) SELECT id,
  'a\\nb -- c\\n-- Current Database: `x`\\n(1,''2''),(\\\\',
  UNHEX('00FF5C27'), '{"a": "),(\\\\"`"}', POINT(id, 1), 5, 0.1 FROM a;
INSTALL PLUGIN auth_socket SONAME 'auth_socket.so';
CREATE ROLE 'ro`le';
GRANT SELECT ON nova.* TO 'ro`le';
CREATE USER 'nova'@'%' IDENTIFIED BY 'hush' DEFAULT ROLE 'ro`le' WITH MAX_QUERIES_PER_HOUR 5000
  ATTRIBUTE '{"why": "it''s \\\\\\\\ DEFAULT ROLE"}';
GRANT ALL ON nova.* TO 'nova'@'%' WITH GRANT OPTION;
GRANT EXECUTE ON PROCEDURE keystone.p TO 'nova'@'%';
CREATE USER operator@localhost IDENTIFIED WITH auth_socket ACCOUNT LOCK;
GRANT PROXY ON operator@localhost TO 'nova'@'%';
ALTER USER root@localhost IDENTIFIED BY 'of root';
SET PERSIST max_connections = 77;
"""
USERS = """
SELECT * FROM mysql.user WHERE user NOT LIKE 'mysql.%' ORDER BY user, host;
SELECT * FROM mysql.db ORDER BY 1, 2, 3;
SELECT * FROM mysql.tables_priv ORDER BY 1, 2, 3, 4;
SELECT * FROM mysql.role_edges ORDER BY 1, 2, 3, 4;
SELECT * FROM mysql.default_roles ORDER BY 1, 2, 3, 4;
SELECT user, host, proxied_user, with_grant FROM mysql.proxies_priv ORDER BY 1, 2, 3;
SELECT db, user, routine_name, proc_priv FROM mysql.procs_priv;
SELECT * FROM mysql.global_grants WHERE user NOT LIKE 'mysql.%' ORDER BY 1, 2, 3;
"""
CHANGES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
"""When a password, or a right, was given: of the server that it was given to."""


@pytest.fixture(scope="module")
def programs(mysql_programs):  # noqa: F811
    """MySQL's, in the place of MariaDB's."""
    return mysql_programs


@pytest.fixture
def server(programs, folder):
    """A fresh live server, with odd data."""
    live = MySQL(programs, folder)
    live.make()
    live.sql(KEYSTONE)
    live.sql(FILLED)
    live.defaults.write_text(live.defaults.read_text() + "password=of root\n")
    yield live
    live.stop()


def users(live):
    return CHANGES.sub("then", live.sql(USERS))


def exchanged(live, folder):
    """The restored folder in the place of the live one, as the step `exchange` does it."""
    live.stop()
    live.data.rename(live.folder / "before")
    folder.rename(live.data)
    subprocess.run(["chown", "-R", "root", live.data], check=True)
    live.start()


def test_a_backup_is_tried_and_takes_the_place_of_the_live_databases(server, agent, key):
    private, recipient = key
    host = agent()
    data, manifest, why = host.record([recipient])
    assert why is None
    held = manifest["database"]
    assert held["schemas"] == ["keystone", "nova"]
    assert held["heads"] == {"nova": ["c92a3e68beed"]}
    assert held["loose"] == ["nova.loose"] and held["unsafe"] == []
    rows = {name: rows for name, (rows, _) in held["tables"].items()}
    assert (rows["nova.a"], rows["nova.b"], rows["nova.loose"]) == (3000, 3000, 4)
    assert rows["keystone.user"] == 2
    assert [one.partition(":")[0] for one in manifest["left"]] == ["SET PERSIST max_connections"]
    before, its_users = server.all(), users(server)

    value, why = host.restore(data, manifest, private)
    assert (why, value["tables"]) == (None, len(held["tables"]))
    assert settled(server) == ([], [], [])
    assert server.all() == before

    server.sql("DROP DATABASE nova; DROP USER 'nova'@'%'; DELETE FROM keystone.user")
    value, why = host.restore(data, manifest, private, keep=True)
    assert why is None
    exchanged(server, server.folder / value["folder"])
    assert server.all() == before
    assert users(server) == its_users
    assert "hush" not in server.sql("SHOW CREATE USER 'nova'@'%'")
    login = [*server.client(), "--user=nova", "--password=hush", "-e", "SELECT CURRENT_ROLE()"]
    done = subprocess.run(login, capture_output=True, text=True, check=False)
    assert done.stdout == "`ro``le`@`%`\n", done.stderr


@pytest.mark.parametrize(
    "sql, cause",
    [
        ("CREATE USER eve@'%'", "alters the server's own databases or users"),
        ("GRANT SHUTDOWN ON *.* TO 'mysql.sys'@localhost", "alters the server's own databases"),
        ("INSTALL COMPONENT 'file://component_validate_password'", "alters the server's own"),
        ("SET PERSIST max_connections = 7", "alters the server's own settings"),
        ("CREATE TABLE x.t (a INT) DATA DIRECTORY = '/tmp'", "refuses the dump: ERROR"),
        ("CREATE DATABASE y", "makes other databases"),
    ],
)
def test_a_dump_that_does_more_than_a_dump_is_refused(server, agent, key, sql, cause):
    dump = f"CREATE DATABASE x;\n{sql};\n-- Dump completed\n".encode()
    manifest = evil(dump)
    manifest["database"]["version"] = server.sql("SELECT VERSION()").strip()
    data = packed(server.programs, key[1], members_of(manifest, dump))
    value, why = agent().restore(data, manifest, key[0])
    assert value is None and cause in why, why
    assert settled(server) == ([], [], [])


def test_a_dump_runs_no_command_and_opens_no_file(server, agent, key, folder):
    """Each of those that MariaDB is tried with, one after the other."""
    mark, script, secret = folder / "open" / "mark", folder / "script", folder / "secret"
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    script.write_text(f"\\! touch {mark}\n")
    secret.write_text("hush-hush\n")
    host, version = agent(), server.sql("SELECT VERSION()").strip()
    for command in COMMANDS:
        words = command.format(mark=mark, script=script, secret=secret, live=server.data)
        sql = f"-- MySQL dump\n{words}\n-- Dump completed\n".encode()
        manifest = evil(sql)
        manifest["database"]["version"] = version
        data = packed(server.programs, key[1], members_of(manifest, sql))
        value, why = host.restore(data, manifest, key[0])
        assert value is None and why and "hush" not in why, (command, why)
        assert not mark.exists() and not (server.data / "mark").exists(), command


@pytest.mark.parametrize(
    "version, cause",
    [
        ("10.11.19-MariaDB", "takes no dump of it; install MariaDB"),
        ("99.0.1", "expected the same (99.0)"),
        ("8.1.0", "expected the same (8.1)"),
    ],
)
def test_a_backup_of_another_server_is_refused(server, agent, key, version, cause):
    manifest = evil(b"-- Dump completed\n")
    manifest["database"]["version"] = version
    data = packed(server.programs, key[1], members_of(manifest, b"-- Dump completed\n"))
    value, why = agent().restore(data, manifest, key[0])
    assert value is None and cause in why, why
    assert settled(server) == ([], [], [])
