"""Backups of a Galera cluster's member, and its restore: two real members on one host apart."""

import json
import time

import pytest

from .chroots import kept_cloud

CONTROLLER = "controller01"
CONTENT = "CHECKSUM TABLE keystone.user, keystone.local_user, cinder.volumes, nova.services;"
OPTIONS = """
[mariadbd]
wsrep_on = ON
wsrep_provider = /usr/lib/galera/libgalera_smm.so
wsrep_cluster_name = apart
wsrep_cluster_address = gcomm://127.9.0.21,127.9.0.22
wsrep_sst_method = rsync
binlog_format = ROW
innodb_autoinc_lock_mode = 2
"""
MEMBERS = {
    "127.9.0.21": "--pid-file=/run/mysqld/apart.pid",
    "127.9.0.22": "--pid-file=/run/mysqld/2.pid --datadir=/var/lib/mysql2 --port=3307 "
    "--socket=/run/mysqld/2.sock --log-error=/var/log/mysql2",
}
FIRST, SECOND = MEMBERS


def started(hosts, address, *more):
    """A member, in the background; true when it answers and has all that the others have."""
    own = (
        f"{MEMBERS[address]} --wsrep-node-address={address} --wsrep-node-name={address} "
        f"--wsrep-sst-receive-address={address}:4444 --wsrep-provider-options="
        f"'gmcast.listen_addr=tcp://{address}:4567;ist.recv_addr={address}:4568'"
    )
    hosts.on(
        CONTROLLER,
        "mkdir -p /run/mysqld; chown mysql /run/mysqld; "
        f"setsid nice /usr/sbin/mariadbd --user=mysql {own} {' '.join(more)} "
        "</dev/null >/dev/null 2>&1 &",
    )
    limit = time.monotonic() + 240
    while "Synced" not in asked(hosts, address, "SHOW STATUS LIKE 'wsrep_local_state_comment'"):
        assert time.monotonic() < limit, hosts.on(CONTROLLER, "tail -40 /var/log/mysql2 || true")
        time.sleep(1)


def asked(hosts, address, sql):
    socket = "--socket=/run/mysqld/2.sock" if address == SECOND else ""
    return hosts.on(CONTROLLER, f"mariadb {socket} -NB <<'END' 2>/dev/null || true\n{sql}\nEND")


def stopped(hosts, address):
    socket = "--socket=/run/mysqld/2.sock" if address == SECOND else ""
    hosts.on(CONTROLLER, f"mariadb-admin {socket} shutdown")


def size(hosts):
    return asked(hosts, FIRST, "SHOW STATUS LIKE 'wsrep_cluster_size'").split()[-1]


@pytest.fixture(scope="module")
def together(hosts):
    """The controller's databases as those of two members."""
    assert kept_cloud().is_dir()
    hosts.with_key()
    stopped(hosts, FIRST)
    hosts.on(CONTROLLER, f"cat > /etc/mysql/mariadb.conf.d/99-galera.cnf <<'END'\n{OPTIONS}\nEND")
    started(hosts, FIRST, "--wsrep-new-cluster")
    hosts.on(CONTROLLER, "install -d -o mysql -m 700 /var/lib/mysql2")
    started(hosts, SECOND)
    assert size(hosts) == "2"
    return hosts


def test_a_member_is_backed_up_tried_and_restored_when_it_is_alone(together):
    hosts = together
    before = asked(hosts, FIRST, CONTENT)
    assert asked(hosts, SECOND, CONTENT) == before
    said = hosts.inv("backup.create", "--json")
    record = json.loads([line for line in said.splitlines() if line.startswith("{")][-1])["record"]
    assert "561 tables restored and equal" in hosts.inv("backup.verify", "--backup", record)
    assert size(hosts) == "2"  # the drill's server was no third

    harm = (
        "SET foreign_key_checks = 0; DELETE FROM keystone.local_user; DROP TABLE cinder.snapshots;"
    )
    asked(hosts, FIRST, harm)
    words = ("backup.restore", "--backup", record, "--cloud", "apart")
    assert "Galera" in hosts.inv(*words, expect=3)
    stopped(hosts, SECOND)
    assert "Galera" in hosts.inv(*words, expect=3)  # alone, and a member still

    # docs/recovery.md: apart, restored, together again.
    hosts.on(
        CONTROLLER,
        "systemctl set-environment MYSQLD_OPTS=--wsrep-on=OFF; systemctl restart mariadb",
    )
    hosts.inv(*words, timeout=900)
    assert asked(hosts, FIRST, CONTENT) == before
    hosts.on(CONTROLLER, "systemctl unset-environment MYSQLD_OPTS; systemctl stop mariadb")
    started(hosts, FIRST, "--wsrep-new-cluster")
    hosts.on(CONTROLLER, "rm -rf /var/lib/mysql2/*")
    started(hosts, SECOND)
    assert size(hosts) == "2"
    assert asked(hosts, FIRST, CONTENT) == asked(hosts, SECOND, CONTENT) == before
