"""What a database server is, what of another it takes, and MySQL's users as SQL."""

import re

import pytest

from fabfile.core.contract import BadInput, Host
from fabfile.core.remote import confinement, server_kinds, users_by_sql
from fabfile.core.remote.processes import Failed
from fabfile.core.remote.server_kinds import MARIADB, MYSQL
from fabfile.flow.backup import restore


@pytest.mark.parametrize(
    "version, comment, kind",
    [
        ("10.11.19-MariaDB-0+deb12u1", "Debian 12", MARIADB),
        ("11.8.9-MariaDB-0+deb13u1 from Debian", "", MARIADB),
        ("5.5.68-MariaDB", "MariaDB Server", MARIADB),
        ("8.0.46-0ubuntu0.24.04.5", "(Ubuntu)", MYSQL),
        ("8.0.36-28", "Percona Server (GPL), Release 28, Revision 47601f19", MYSQL),
        ("8.4.6", "MySQL Community Server - GPL", MYSQL),
        ("9.7.4-2", "(Debian)", MYSQL),
        ("5.7.44", "MySQL Community Server (GPL)", None),
        ("8.0.11-TiDB-v7.5.0", "TiDB Server (Apache License 2.0)", None),
        ("8.0.28", "Aurora", None),
    ],
)
def test_a_server_is_known_by_what_it_says(version, comment, kind):
    if kind:
        assert server_kinds.kind_of(version, comment) is kind
        return
    with pytest.raises(Failed, match="expected MariaDB, or MySQL or Percona Server 8.0 or newer"):
        server_kinds.kind_of(version, comment)


@pytest.mark.parametrize(
    "said, kind",
    [
        ("mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (x)", MARIADB),
        ("mysqld  Ver 10.3.39-MariaDB for Linux on x86_64 (MariaDB Server)", MARIADB),
        ("/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))", MYSQL),
        ("mysqld  Ver 8.0.36-28 for Linux on x86_64 (Percona Server (GPL), Release 28)", MYSQL),
        ("mysqld  Ver 5.7.44 for Linux on x86_64 (MySQL Community Server (GPL))", None),
        ("mysqld: no such option", None),
    ],
)
def test_an_installed_server_is_known_by_its_program(said, kind):
    if kind:
        assert server_kinds.kind_of_program(said) is kind
        return
    with pytest.raises(Failed, match="expected"):
        server_kinds.kind_of_program(said)


@pytest.mark.parametrize(
    "version, held, refused",
    [
        ("10.11.19-MariaDB", "10.11.2-MariaDB", None),
        ("11.8.3-MariaDB", "10.11.19-MariaDB", None),
        ("10.6.1-MariaDB", "10.11.19-MariaDB", "the same or a newer one"),
        ("8.0.46-0ubuntu0.24.04.5", "8.0.36-28", None),
        ("8.4.6", "8.0.46", "expected the same (8.0)"),
        ("8.0.46", "8.4.6", "expected the same (8.4)"),
        ("8.0.46", "10.11.19-MariaDB", "takes no dump of it; install MariaDB here"),
        ("10.11.19-MariaDB", "8.0.46", "takes no dump of it; install MySQL here"),
    ],
)
def test_a_server_takes_dumps_of_its_kind_alone(version, held, refused):
    if not refused:
        server_kinds.refuse_other(version, held)
        return
    with pytest.raises(Failed, match=re.escape(refused)):
        server_kinds.refuse_other(version, held)


REST = " REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK"
HOW = "IDENTIFIED WITH 'caching_sha2_password' AS 0x2441"
CREATED = {
    "`ro``le`@`%`": f"CREATE USER `ro``le`@`%` {HOW}{REST}",
    "`nova`@`%`": f"CREATE USER `nova`@`%` {HOW} DEFAULT ROLE `ro``le`@`%`,`b`@`%`{REST} "
    'ATTRIBUTE \'{"why": "\\\\\\\\ DEFAULT ROLE `x`@`%` REQUIRE"}\'',
    "`a\tb`@`localhost`": "CREATE USER `a\\tb`@`localhost` IDENTIFIED WITH 'auth_socket'" + REST,
}


def answers(created=CREATED, plugin=("auth_socket", "auth_socket.so")):
    """A server that answers as MySQL does, with its columns as --batch writes them."""

    def ask(sql):
        if "FROM mysql.plugin" in sql:
            return [list(plugin)]
        if sql.startswith("SELECT user, host"):
            assert "'mysql.session'" in sql
            names = [name.strip("`").split("`@`") for name in created]
            return [[u.replace("``", "`").replace("\t", "\\t"), h] for u, h in names]
        assert sql.startswith("SET SESSION sql_mode = '', SESSION print_identified_with_as_hex")
        asked = re.findall(r"(SHOW CREATE USER|SHOW GRANTS FOR) (.*);", sql)
        if asked[0][0] == "SHOW CREATE USER":
            return [[created[name]] for _, name in asked]
        return [[f"GRANT USAGE ON *.* TO {name}".replace("\t", "\\t")] for _, name in asked]

    return ask


def test_users_are_said_twice_and_their_roles_when_all_are_there():
    lines = users_by_sql.users(answers(), MYSQL.reserved).splitlines()
    assert lines[0] == "SET SESSION sql_mode = '';"
    assert "INSTALL PLUGIN auth_socket SONAME ''auth_socket.so''" in lines[1]
    assert lines[2:4] == [
        f"CREATE USER IF NOT EXISTS `ro``le`@`%` {HOW}{REST};",
        f"ALTER USER `ro``le`@`%` {HOW}{REST};",
    ]
    # What looks like roles in a comment is none.
    said = f'{HOW}{REST} ATTRIBUTE \'{{"why": "\\\\ DEFAULT ROLE `x`@`%` REQUIRE"}}\';'
    assert lines[4] == f"CREATE USER IF NOT EXISTS `nova`@`%` {said}"
    assert lines[6].startswith("CREATE USER IF NOT EXISTS `a\tb`@`localhost` IDENTIFIED")
    assert lines[8:11] == [f"GRANT USAGE ON *.* TO {name};" for name in CREATED]
    assert lines[11:] == ["ALTER USER `nova`@`%` DEFAULT ROLE `ro``le`@`%`,`b`@`%`;"]


@pytest.mark.parametrize(
    "more",
    [
        {"created": {"`x`@`%`": "CREATE USER `x`@`%` WITH SOMETHING"}},
        {"plugin": ("auth_socket'; DROP", "auth_socket.so")},
        {"plugin": ("auth_socket", "../x.so")},
    ],
)
def test_a_form_that_is_not_known_is_refused(more):
    with pytest.raises(Failed, match="expected"):
        users_by_sql.users(answers(**more), MYSQL.reserved)


@pytest.mark.parametrize(
    "profiles, own, confined",
    [
        ("", "", False),
        ("/usr/sbin/mysqld (enforce)\n", "", True),
        ("man_groff (enforce)\nmysqld (enforce)\n", "# nothing\n", True),
        ("/usr/sbin/mysqld (complain)\n", "", False),
        ("/usr/sbin/mysqld (enforce)\n", "/var/lib/mysql.stackrbd-*/** rwk,\n", False),
        ("/usr/sbin/mysqld-akonadi (enforce)\n", "", False),
    ],
)
def test_a_profile_keeps_a_server_to_its_folder(tmp_path, monkeypatch, profiles, own, confined):
    (tmp_path / "profiles").write_text(profiles)
    (tmp_path / "own.mysqld").write_text(own)
    monkeypatch.setattr(confinement, "_PROFILES", str(tmp_path / "profiles"))
    monkeypatch.setattr(confinement, "_OWN", str(tmp_path / "own."))
    assert confinement.confines("mysqld", ".stackrbd-") is confined


@pytest.mark.parametrize(
    "row, cluster",
    [
        ("wsrep_on\tON", "a Galera cluster"),
        ("group_replication_group_name\taa-bb", "group replication"),
    ],
)
def test_a_member_of_a_cluster_is_not_restored(row, cluster):
    restore._refuse_member(Host("ctl", frozenset()), [])
    with pytest.raises(BadInput) as refused:
        restore._refuse_member(Host("ctl", frozenset()), [row])
    assert cluster in str(refused.value)
