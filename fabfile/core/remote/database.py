"""The database server of a host, asked as root by its own client.

Knows MariaDB's (and MySQL's) programs; no password goes through it: root is let in by
the socket, by /root/.my.cnf, or by a file of options that the host has.
Python 3.6, standard library alone.
"""

from . import processes

CLIENTS = ("mariadb", "mysql")


def client(defaults=None, *words):
    """The client's words; defaults: a file on this host that says how to log in."""
    name = processes.first_of(CLIENTS)
    found = [name] + (["--defaults-extra-file=" + defaults] if defaults else [])
    return found + ["--default-character-set=utf8mb4"] + list(words)


def rows(sql, defaults=None, timeout=600):
    """Pages of lines, a row each, its columns parted by tabs, as --batch writes them.

    All statements see one moment of the database (of tables that know transactions).
    """
    head = "START TRANSACTION WITH CONSISTENT SNAPSHOT;\n"
    argv = client(defaults, "--batch", "--skip-column-names", "--quick")
    return processes.lines(argv, (head + sql).encode("utf-8"), timeout)
