"""backup.* and recover as an operator types them, against whole hosts."""

import json


def result(said):
    return json.loads(said.splitlines()[-1])


def test_a_record_is_made_listed_tried_and_restored(hosts):
    hosts.inv("backup.create", expect=3)  # for nobody
    hosts.with_key()
    made = hosts.inv("backup.create")
    assert "Record " in made
    print(made)
    assert "never verified" in hosts.inv("backup.list")
    print(hosts.inv("backup.verify"))
    assert "verified 0 hours ago" in hosts.inv("backup.list")
    before = hosts.sql("CHECKSUM TABLE keystone.user, cinder.volumes;")
    hosts.sql(
        "SET foreign_key_checks = 0; DELETE FROM keystone.local_user; "
        "DROP TABLE cinder.snapshots; CREATE TABLE nova.x (a INT);"
    )
    hosts.on("controller01", "rm -rf /etc/keystone/fernet-keys; echo >> /etc/nova/nova.conf")
    print(hosts.inv("backup.restore", "--check", expect=2))
    print(hosts.inv("backup.restore", "--cloud", "apart"))
    assert hosts.sql("CHECKSUM TABLE keystone.user, cinder.volumes;") == before
    print(
        hosts.on("controller01", "ls -l /var/lib /etc/keystone/fernet-keys; systemctl list-units")
    )
