"""A MySQL server's users as SQL that can be said twice: its dump program says none.

Each user as SHOW CREATE USER and SHOW GRANTS have it, with the password's hash in hexadecimal.
Python 3.6, standard library alone.
"""

import re

from .processes import Failed

_NAME = "`(?:[^`]|``)*`@`(?:[^`]|``)*`"
_USER = re.compile(
    r"CREATE USER (%s) (IDENTIFIED WITH [^`]*?)(?: (DEFAULT ROLE %s(?:,%s)*))?( REQUIRE .*)"
    % (_NAME, _NAME, _NAME),
    re.S,
)
"""Between a user's name and its roles are names of plugins and hexadecimal numbers alone."""
_SESSION = "SET SESSION sql_mode = '', SESSION print_identified_with_as_hex = ON;\n"
_NAMES = "SELECT user, host FROM mysql.user WHERE user NOT IN (%s) ORDER BY 1, 2;"
_PLUGINS = "SELECT name, dl FROM mysql.plugin WHERE name %s (SELECT plugin FROM mysql.user);"
_INSTALL = (
    "SET @said = IF(EXISTS(SELECT 1 FROM information_schema.plugins WHERE plugin_name = '%s'), "
    "'DO 0', 'INSTALL PLUGIN %s SONAME ''%s'''); PREPARE said FROM @said; EXECUTE said;"
)
_NOT_TAKEN = (
    "SELECT CONCAT('plugin ', name) FROM mysql.plugin WHERE name NOT IN "
    "(SELECT plugin FROM mysql.user) UNION ALL "
    "SELECT CONCAT('function ', name) FROM mysql.func UNION ALL "
    "SELECT CONCAT('component ', component_urn) FROM mysql.component UNION ALL "
    "SELECT CONCAT('SET PERSIST ', variable_name) FROM performance_schema.persisted_variables;"
)


def users(ask, reserved):
    """The SQL.  ask: SQL -> rows of columns as --batch writes them; reserved: the server's own."""
    names = ask(_NAMES % ", ".join("'%s'" % name for name in reserved))
    names = ["%s@%s" % (_quoted(user), _quoted(host)) for user, host in names]
    said, roles = ["SET SESSION sql_mode = '';"], []
    for row in ask(_PLUGINS % "IN"):
        if not all(re.match(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z", word) for word in row):
            raise Failed("a plugin of the database: expected a name, found %r" % (row,))
        said.append(_INSTALL % (row[0], row[0], row[1]))
    for (row,) in ask(_SESSION + "".join("SHOW CREATE USER %s;\n" % name for name in names)):
        name, how, its_roles, rest = _parts(unescaped(row))
        # First all of them: a right may be that of a user who comes later.
        said.append("CREATE USER IF NOT EXISTS %s %s%s;" % (name, how, rest))
        said.append("ALTER USER %s %s%s;" % (name, how, rest))
        if its_roles:
            roles.append("ALTER USER %s %s;" % (name, its_roles))
    grants = ask(_SESSION + "".join("SHOW GRANTS FOR %s;\n" % name for name in names))
    said += [unescaped(row[0]) + ";" for row in grants] + roles
    return "\n".join(said) + "\n"


def not_taken(ask):
    """What is the server's own besides its users, by name."""
    return [unescaped(row[0]) for row in ask(_NOT_TAKEN)]


def _parts(statement):
    """(name, how it is let in, its default roles or None, the rest) of a CREATE USER."""
    found = _USER.match(statement)
    if not found or found.end() != len(statement):
        raise Failed("a user of the database: expected CREATE USER as of MySQL, found another form")
    return found.groups()


def _quoted(name):
    return "`%s`" % unescaped(name).replace("`", "``")


def unescaped(column):
    """A column as it is, of --batch, which writes some characters as two."""
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found.group(1), found.group(1)), column)


_ESCAPES = {"n": "\n", "t": "\t", "0": "\0"}
