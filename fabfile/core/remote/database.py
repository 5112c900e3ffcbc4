"""The database server of a host, asked and dumped as root by its own programs.

Knows their catalogue, and by server_kinds what differs; no password goes through it: root is let
in by the socket, by /root/.my.cnf, or by a file of options that the host has.  `login` is the
words that a program gets first.  Python 3.6, standard library alone.
"""

import re

from . import files, processes, server_kinds, users_by_sql

SYSTEM = "('information_schema', 'mysql', 'performance_schema', 'sys')"


class Login(list):  # type: ignore[type-arg]
    """The words by which a program gets in; apart: with which rights it runs (see sandbox).

    kind: the server's, of server_kinds; None until it was asked.
    """

    def __init__(self, words=(), apart=None, kind=None):
        list.__init__(self, words)
        self.apart, self.kind = apart, kind


def login(defaults=None):
    """How root logs in; defaults: a file of options on this host."""
    return Login(["--defaults-extra-file=" + defaults] if defaults else [])


def client(how, *words):
    """The client's argument list."""
    words = ["--default-character-set=utf8mb4", "--local-infile=0"] + list(words)
    kind = how.kind or server_kinds.MARIADB  # whose programs' names are tried first
    return [processes.first_of(kind.client)] + how + words


def asked(how, sql, timeout=600):
    """Pages of lines, a row each, its columns parted by tabs, as --batch writes them."""
    argv = client(how, "--batch", "--skip-column-names", "--quick")
    return processes.lines(argv, sql.encode("utf-8"), timeout, apart=how.apart)


def rows(sql, defaults=None, timeout=600):
    """As asked(); all statements see one moment of the tables that know transactions."""
    return asked(login(defaults), "START TRANSACTION WITH CONSISTENT SNAPSHOT;\n" + sql, timeout)


def answer(how, sql):
    """All rows at once, each a list of columns."""
    return [line.split("\t") for page in asked(how, sql) for line in page]


def version(how):
    """The server's version.  Raises Failed for a server that is not supported."""
    found, comment = answer(how, "SELECT VERSION(), @@version_comment;")[0]
    how.kind = server_kinds.kind_of(found, comment)
    return found


def kind_of(how):
    """The server's kind.  Raises Failed for a server that is not supported."""
    if how.kind is None:
        version(how)
    return how.kind


def schemas(how):
    """Every database that is not the server's own."""
    sql = "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN %s;"
    return sorted(row[0] for row in answer(how, sql % SYSTEM) if not row[0].startswith("#mysql50#"))


def own(column="table_schema"):
    """The condition that a row is not of the server's own databases."""
    return "%s NOT IN %s" % (column, SYSTEM)


STRUCTURE = "".join(
    "SELECT '%s', %s FROM information_schema.%s WHERE %s;\n" % part
    for part in (
        (
            "table",
            "table_schema, table_name, engine, table_collation, create_options",
            "tables",
            own() + " AND table_type <> 'VIEW'",
        ),
        (
            "made",
            "name, table_id, space, flag",
            "{innodb}",
            "name LIKE '%/%' AND name NOT LIKE '%#%'",
        ),
        (
            "column",
            "table_schema, table_name, column_name, ordinal_position, column_type, "
            "is_nullable, IFNULL(column_default, ''), extra",
            "columns",
            own(),
        ),
        (
            "index",
            "table_schema, table_name, index_name, column_name, seq_in_index, non_unique",
            "statistics",
            own(),
        ),
        (
            "key",
            "table_schema, table_name, constraint_name, column_name, "
            "IFNULL(referenced_table_name, '')",
            "key_column_usage",
            own(),
        ),
        ("view", "table_schema, table_name, SHA2(view_definition, 256), definer", "views", own()),
        (
            "routine",
            "routine_schema, routine_name, SHA2(routine_definition, 256), definer",
            "routines",
            own("routine_schema"),
        ),
        (
            "trigger",
            "trigger_schema, trigger_name, SHA2(action_statement, 256), event_object_table",
            "triggers",
            own("trigger_schema"),
        ),
        (
            "event",
            "event_schema, event_name, SHA2(event_definition, 256), status",
            "events",
            own("event_schema"),
        ),
    )
)
"""Everything that a change of the schema changes; a table that is made anew, or emptied by
TRUNCATE, has another number.  (Its time of creation is its file's: any row changes that.)"""
UNSAFE = (
    "SELECT CONCAT(table_schema, '.', table_name, ' (', IFNULL(t.engine, 'none'), ')') "
    "FROM information_schema.tables t LEFT JOIN information_schema.engines e "
    "ON e.engine = t.engine WHERE table_type = 'BASE TABLE' AND "
    "IFNULL(e.transactions, 'NO') <> 'YES' AND " + own() + " ORDER BY 1;"
)
"""The tables that a single transaction cannot show as they were at one moment."""
WITHOUT_A_KEY = (
    "SELECT CONCAT(t.table_schema, '.', t.table_name) FROM information_schema.tables t "
    "LEFT JOIN information_schema.statistics s ON s.table_schema = t.table_schema AND "
    "s.table_name = t.table_name AND s.index_name = 'PRIMARY' WHERE table_type = 'BASE TABLE' "
    "AND s.index_name IS NULL AND " + own("t.table_schema") + " ORDER BY 1;"
)
_SIZE = "SELECT IFNULL(SUM(data_length + index_length), 0) FROM information_schema.tables WHERE "


def size(how):
    """Bytes that all databases take."""
    return int(answer(how, kind_of(how).fresh + _SIZE + own() + ";")[0][0])


def structure(how):
    """A digest of the structure of all databases."""
    sql = STRUCTURE.format(innodb=kind_of(how).innodb)
    lines = sorted(line for page in asked(how, sql) for line in page)
    return files.sha256("\n".join(lines).encode("utf-8"))


def heads(how, tables):
    """{database: its migrations' versions}, by the tables in which such tools keep them.

    tables: {table: the column that tells}.
    """
    found = {}  # type: ignore[var-annotated]
    listed = ", ".join("'%s'" % name for name in sorted(tables))
    sql = "SELECT table_schema, table_name FROM information_schema.tables WHERE %s AND table_name"
    for schema, table in answer(how, (sql + " IN (%s);") % (own(), listed)):
        place = "`%s`.`%s`" % (schema.replace("`", "``"), table)
        got = answer(how, "SELECT %s FROM %s ORDER BY 1;" % (tables[table], place))
        found[schema] = sorted(found.get(schema, []) + [row[0] for row in got])
    return found


def dump(how, names, *more):
    """The dump program's argument list: all databases, as they were at one moment."""
    return (
        [processes.first_of(kind_of(how).dump)]
        + how
        + [
            "--single-transaction",
            "--quick",
            "--routines",
            "--events",
            "--triggers",
            "--hex-blob",
            "--order-by-primary",
            "--skip-dump-date",
            "--default-character-set=utf8mb4",
            "--net-buffer-length=1M",
            "--max-allowed-packet=1G",
        ]
        + list(kind_of(how).dump_more)
        + list(more)
        + ["--databases"]
        + list(names)
    )


_ITSELF = "CHECKSUM TABLE %s;\n"
_ITS_SCHEMAS = "".join(
    "SELECT '%s', %s FROM information_schema.%s WHERE %s IN ('mysql', 'sys');\n" % part
    for part in (
        ("table", "table_schema, table_name, table_type", "tables", "table_schema"),
        ("view", "table_schema, table_name, SHA2(view_definition, 256)", "views", "table_schema"),
        (
            "routine",
            "routine_schema, routine_name, SHA2(routine_definition, 256)",
            "routines",
            "routine_schema",
        ),
        (
            "trigger",
            "trigger_schema, trigger_name, SHA2(action_statement, 256)",
            "triggers",
            "trigger_schema",
        ),
        (
            "event",
            "event_schema, event_name, SHA2(event_definition, 256)",
            "events",
            "event_schema",
        ),
    )
)
"""Who may do what in a server, its plugins and functions, and what its own databases hold."""


def itself(how):
    """A digest of the server's own part, which a dump of databases leaves alone."""
    own_tables = ", ".join("mysql." + name for name in kind_of(how).own_tables.split())
    sql = _ITSELF % own_tables + _ITS_SCHEMAS
    lines = sorted(line for page in asked(how, sql) for line in page)
    return files.sha256("\n".join(lines).encode("utf-8"))


def users(how):
    """The server's users and what they may, as SQL that can be said twice."""
    kind = kind_of(how)
    if not kind.users_dump:
        return users_by_sql.users(lambda sql: answer(how, sql), kind.reserved)
    argv = [processes.first_of(kind.dump)] + how + list(kind.users_dump)
    return processes.expect(argv, timeout=120)[1]


def not_taken(how):
    """What is the server's own and comes with no dump, nor with users(): by name."""
    if kind_of(how).users_dump:
        return []
    return users_by_sql.not_taken(lambda sql: answer(how, sql))


def words_of(said):
    """What a client's error may be shown as: never the statement, which holds data."""
    found = re.findall(r"ERROR \d+ \([0-9A-Z]+\) at line \d+|ERROR \d+ \([0-9A-Z]+\)", said)
    return found[-1] if found else "no reason was given"
