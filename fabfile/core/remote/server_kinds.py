"""What differs between the database servers that backups are made of: MariaDB, and MySQL 8 and on.

A table, and how a kind is told by what a server or its program says of itself.  Percona Server is
MySQL with another name.  Python 3.6, standard library alone.
"""

import re
from collections import namedtuple

from .processes import Failed

Kind = namedtuple(
    "Kind",
    "key name client dump server admin install log least newer innodb fresh own_tables dump_more "
    "users_dump reserved apart first persisted",
)
"""key: how its units begin; client, dump, server, admin, install (the last makes a new folder):
programs, the first that is here, install with words of its own; log: where a server apart says its
faults; least: the oldest version; newer: whether a newer one takes a dump; innodb: the catalogue's
table of InnoDB's tables; fresh: what makes the catalogue tell sizes as they are now; own_tables:
of the schema mysql, which no dump of databases alters; dump_more, apart: more options of the dump
program, and of a server apart; users_dump: those by which the dump program says users, if it does;
reserved: users that are the server's own; first: what a server apart does first, with a password;
persisted: the file of a folder in which SET PERSIST keeps settings."""

_TABLES = "user db tables_priv columns_priv procs_priv proxies_priv func plugin servers "

MARIADB = Kind(
    key="mariadb",
    name="MariaDB",
    client=("mariadb", "mysql"),
    dump=("mariadb-dump", "mysqldump"),
    server=("mariadbd", "mysqld"),
    admin=("mariadb-admin", "mysqladmin"),
    install=(("mariadb-install-db", "mysql_install_db"), ("--skip-test-db", "--skip-name-resolve")),
    log="{log}",
    least=(5, 5),
    newer=True,
    innodb="innodb_sys_tables",
    fresh="",
    own_tables=_TABLES + "global_priv roles_mapping",
    dump_more=(),
    users_dump=("--system=users", "--insert-ignore"),
    reserved=(),
    apart=("--skip-symbolic-links", "--loose-skip-slave-start"),
    first=(),
    persisted=None,
)
MYSQL = Kind(
    key="mysql",
    name="MySQL",
    client=("mysql",),
    dump=("mysqldump",),
    server=("mysqld",),
    admin=("mysqladmin",),
    install=(
        ("mysqld",),
        (
            "--initialize-insecure",
            "--skip-log-bin",
            "--secure-file-priv=NULL",
            "--log-error=stderr",
        ),
    ),
    log="stderr",
    least=(8, 0),
    # Privileges are named anew with each: what SHOW GRANTS says of root in 8.0, 8.4 does not know.
    newer=False,
    innodb="innodb_tables",
    fresh="SET SESSION information_schema_stats_expiry = 0;\n",  # else up to a day old
    own_tables=_TABLES + "global_grants role_edges default_roles component password_history",
    dump_more=("--set-gtid-purged=OFF", "--column-statistics=0", "--no-tablespaces"),
    users_dump=(),
    reserved=("mysql.infoschema", "mysql.session", "mysql.sys"),
    apart=("--loose-skip-symbolic-links", "--loose-skip-replica-start", "--loose-mysqlx=OFF"),
    first=(  # a new folder's root has no password, and all may reach the socket
        "ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}' ACCOUNT LOCK;",
        "GRANT PROXY ON ''@'' TO {user} WITH GRANT OPTION;",
    ),
    persisted="mysqld-auto.cnf",
)
_STRANGE = "tidb|aurora|vitess|oceanbase|singlestore|memsql|starrocks|doris"
"""Servers that say a version of MySQL's, and are not MySQL."""


def number_of(text):
    """(10, 11, 19) of '10.11.19-MariaDB-0+deb12u1'.  Raises Failed."""
    found = re.match(r"([0-9]{1,9})\.([0-9]{1,9})(?:\.([0-9]{1,9}))?", text)
    if not found:
        raise Failed("the database's version: expected numbers, found %r" % text[:80])
    return tuple(int(n) for n in found.groups("0"))


def named(version):
    # type: (str) -> Kind
    """The kind that a version names, supported or not."""
    return MARIADB if "mariadb" in version.lower() else MYSQL


def kind_of(version, comment=""):
    """The kind of a server, by its version and version_comment.  Raises Failed for another one."""
    kind = named(version)
    strange = re.search(_STRANGE, version + " " + comment, re.I)
    if strange or number_of(version)[:2] < kind.least:
        raise Failed(
            "the database is %s (%s): expected MariaDB, or MySQL or Percona Server 8.0 or newer; "
            "nothing else is supported" % (version, comment)
        )
    return kind


def kind_of_program(said):
    """The kind of a server by its program's line: 'mysqld  Ver 8.0.36 for Linux on x86_64'."""
    found = re.search(r"\bVer ([0-9]+\.[0-9]+\S*)(.*)", said)
    if not found:
        raise Failed("the database server's program: expected a version, found %r" % said[:80])
    return kind_of(*found.groups())


def refuse_other(version, held):
    """Raises Failed where a server does not take the dump of another: another kind, or older."""
    has, was = kind_of(version), kind_of(held)
    if has is not was:
        raise Failed(
            "the backup is of %s %s, and this host has %s %s, which takes no dump of it; install "
            "%s here, or restore where it is" % (was.name, held, has.name, version, was.name)
        )
    now, then = number_of(version)[:2], number_of(held)[:2]
    if now < then or (now > then and not has.newer):
        expected = "the same or a newer one" if has.newer else "the same (%d.%d)" % then
        raise Failed(
            "the backup is of %s %s, and this host has %s: expected %s"
            % (was.name, held, version, expected)
        )
