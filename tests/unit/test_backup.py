"""What a backup holds, what it must fit, and the order in which it takes the live ones' place."""

import contextlib
import json

import pytest

from fabfile.backup import contents
from fabfile.core import site_file
from fabfile.core.contract import BadInput, Facts
from fabfile.model import platforms
from fabfile.resources import backup_tools, chain

from .states import FSID, cluster, site

RECIPIENT = "age1" + "q" * 58
INSTALLED = {"nova-common": "2:26.2.2-1~deb12u3", "mariadb-server": "1:10.11.19-0+deb12u1"}
UNITS = (
    "mariadb",
    "nova-api",
    "keystone",
    "cinder-volume",
    "rabbitmq-server",
    "ssh",
    "nova-compute",
    "neutron-openvswitch-agent",
    "lab-share",
    "glance-api",
)
NOVA = ["file", "0640", "root", "nova", "f" * 64]


def a_site(installs=True, **more):
    hosts = {"ceph01": {"roles": ["ceph"]}, "ctl": {"roles": ["glance", "cinder", "database"]}}
    table = {"recipients": [RECIPIENT], "units": ["lab-share"], **more}
    return site(hosts=hosts, backup=table, packages={"install": installs})


def listed(units):
    return list(units)


def seen(units=UNITS, installed=None, **more):
    packages = {
        **dict.fromkeys([*backup_tools.PACKAGES, *backup_tools.TOOLS]),
        "age": "1",
        "zstd": "1",
    }
    packages.update(INSTALLED if installed is None else installed)
    return {"packages.records": packages, "units.active": listed(units), **more}


def facts(**ctl):
    return Facts({"ceph01": cluster(), "ctl": seen(**ctl)})


def manifest(**more):
    held = {
        "versions": INSTALLED,
        "units": ["mariadb", "rabbitmq-server", "keystone", "nova-api"],
        "files": {
            "/etc/nova": ["directory", "0755", "root", "root", ""],
            "/etc/nova/nova.conf": NOVA,
            "/etc/mysql/my.cnf": ["link", "0777", "root", "root", "/etc/alternatives/my"],
        },
        "database": {
            "version": "10.11.19-MariaDB",
            "schemas": ["nova"],
            "tables": {"nova.a": [1, "x"]},
        },
    }
    return {"site": "test", "fsid": FSID, "hosts": {"ctl": {**held, **more}}}


def test_units_are_those_of_openstack_in_the_order_of_their_start():
    assert contents.active(a_site(), listed(UNITS)) == [
        "mariadb",
        "rabbitmq-server",
        "keystone",
        "glance-api",
        "nova-api",
        "cinder-volume",
        "lab-share",
    ]


def test_services_are_stopped_the_last_to_start_first_and_the_database_stays():
    changes = contents.Stopped(["ctl"]).plan(a_site(), facts())
    stopped = [change.args["units"] for change in changes]
    assert stopped == [
        ["cinder-volume"],
        ["lab-share"],
        ["nova-api"],
        ["glance-api"],
        ["keystone"],
        ["rabbitmq-server"],
    ]
    assert {change.verb for change in changes} == {"stop"}
    assert contents.Stopped(["ctl"]).plan(a_site(), facts(units=["mariadb", "nova-compute"])) == []


def at_rest(**more):
    now = {
        "at /etc/nova": {"kind": "directory", "mode": "0755", "owner": "root", "group": "root"},
        "at /etc/nova/nova.conf": None,
        "at /etc/mysql/my.cnf": {"/etc/mysql/my.cnf": False},
        "waiting": {"/data.stackrbd-r1": True, "/s": True, "/s/said/rabbitmq.json": True},
    }
    return Facts({"ctl": seen(units=["mariadb"], **{**now, **more})})


TAKEN = {"ctl": {"folder": "/data.stackrbd-r1", "staged": "/s", "live": "/data"}}


@pytest.mark.parametrize(
    "platform, version, unit",
    [
        ("debian", "10.11.19-MariaDB", "mariadb"),
        ("debian", "8.0.46-0ubuntu0.24.04.5", "mysql"),
        ("el", "10.5.22-MariaDB", "mariadb"),
        ("el", "8.0.36-28", "mysqld"),
        ("kolla", "8.0.36", "mysql"),
    ],
)
def test_the_unit_that_rests_is_the_servers(platform, version, unit):
    (found,) = [one for one in site_file.platforms() if one["name"] == platform]
    assert contents._database_unit(platforms.made_of(found), version) == unit


def test_files_come_first_then_databases_queue_and_services():
    changes = contents.PutBack(manifest(), TAKEN, "r2").plan(a_site(), at_rest())
    assert [(c.thing, c.verb) for c in changes] == [
        ("/etc/nova/nova.conf", "place"),
        ("/etc/mysql/my.cnf", "run"),
        ("databases", "exchange"),
        ("rabbitmq-server", "enable"),
        ("rabbitmq-server", "restart"),
        ("queue", "run"),
        ("keystone", "enable"),
        ("keystone", "restart"),
        ("nova-api", "enable"),
        ("nova-api", "restart"),
        ("/s", "run"),
    ]
    place, _, exchange = changes[:3]
    assert place.args["staged"] == "/s/files/etc/nova/nova.conf"
    assert exchange.args == {
        "path": "/data",
        "new": "/data.stackrbd-r1",
        "unit": "mariadb",
        "old": "/data.stackrbd-before-r2",
    }


def test_what_is_in_place_needs_nothing_more():
    conf = {"kind": "file", "mode": "0640", "owner": "root", "group": "nova", "sha256": "f" * 64}
    done = at_rest(
        **{
            "at /etc/nova/nova.conf": conf,
            "at /etc/mysql/my.cnf": {"/etc/mysql/my.cnf": True},
            "waiting": {"/data.stackrbd-r1": False, "/s": False, "/s/said/rabbitmq.json": False},
            "units.active": listed(["mariadb", "rabbitmq-server", "keystone", "nova-api"]),
        }
    )
    assert contents.PutBack(manifest(), TAKEN, "r2").plan(a_site(), done) == []


@pytest.mark.parametrize(
    "record, installed, cause",
    [
        ({**manifest(), "site": "other"}, None, "of the site 'other'"),
        ({**manifest(), "fsid": "0"}, None, "another cloud"),
        ({**manifest(), "hosts": {"gone": manifest()["hosts"]["ctl"]}}, None, "the site has not"),
        (manifest(versions={"nova-common": "2:27.0-1"}), None, "the schema of nova-common 2:27"),
        (manifest(versions={"mariadb-server": "1:11.4.2"}), None, "mariadb-server 1:11.4"),
        (manifest(), {}, "is not installed; a bare host needs its packages first"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(record, installed, cause):
    with pytest.raises(BadInput, match=cause):
        contents.refuse_unfit(a_site(), record, facts(installed=installed))


SHA = "a" * 64
FILE = ["file", "0644", "root", "root", SHA]
STRANGE = {
    "/root/.ssh/authorized_keys": FILE,
    "/etc/cron.d/x": FILE,
    "/etc/nova/../sudoers.d/y": FILE,
    "/etc/nova/./x": FILE,
    "/etc/nova//x": FILE,
    "//etc/nova/x": FILE,
    "/etc/nova/": FILE,
    "/etc/novax": FILE,
    "/etc/nova.d/x": FILE,
    "/etc": ["directory", "0755", "root", "root", ""],
    "/": ["directory", "0755", "root", "root", ""],
    "etc/nova/x": FILE,
    "": FILE,
    "/etc/nova/a\nb": FILE,
    "/etc/nova/a\0b": FILE,
    "/etc/nova/" + "x" * 5000: FILE,
    "/usr/local/bin/ceph": ["file", "4755", "root", "root", SHA],
    "/etc/nova/suid": ["file", "4755", "root", "root", SHA],
    "/etc/nova/sgid": ["file", "2755", "root", "root", SHA],
    "/etc/nova/sticky": ["directory", "1755", "root", "root", ""],
    "/etc/nova/all": ["file", "0666", "root", "root", SHA],
    "/etc/nova/open": ["directory", "0777", "root", "root", ""],
    "/etc/nova/mode": ["file", "u+s", "root", "root", SHA],
    "/etc/nova/long": ["file", "00755", "root", "root", SHA],
    "/etc/nova/number": ["file", 420, "root", "root", SHA],
    "/etc/nova/device": ["block", "0644", "root", "root", ""],
    "/etc/nova/pipe": ["fifo", "0644", "root", "root", ""],
    "/etc/nova/hard": ["hardlink", "0644", "root", "root", "/etc/shadow"],
    "/etc/nova/owner": ["file", "0644", "root:root", "root", SHA],
    "/etc/nova/nobody": ["file", "0644", "", "root", SHA],
    "/etc/nova/option": ["file", "0644", "--reference=/x", "root", SHA],
    "/etc/nova/digest": ["file", "0644", "root", "root", "../x"],
    "/etc/nova/few": ["file", "0644"],
    "/etc/nova/many": [*FILE, "x"],
    "/etc/nova/none": None,
    "/etc/nova/table": {"kind": "file"},
    "/etc/nova/l": ["link", "0777", "root", "root", "/etc/shadow"],
    "/etc/nova/l2": ["link", "0777", "root", "root", "../shadow"],
    "/etc/nova/l3": ["link", "0777", "root", "root", "/etc/nova/../cron.d"],
    "/etc/nova/l4": ["link", "0777", "root", "root", "/etc/alternatives/../shadow"],
    "/etc/nova/l5": ["link", "0777", "root", "root", ""],
    "/etc/nova/l6": ["link", "0777", "root", "root", "/etc/alternatives/x/y"],
}


@pytest.mark.parametrize("path", STRANGE)
def test_what_no_backup_holds_is_put_nowhere(path):
    record = manifest(files={path: STRANGE[path]})
    with pytest.raises(BadInput, match=r"does not fit:\n  ctl: .*(expected|is not below)"):
        contents.refuse_unfit(a_site(), record, facts())


@pytest.mark.parametrize("kind", ["link", "file"])
def test_nothing_is_put_below_what_is_no_folder(kind):
    above = {"link": ["link", "0777", "root", "root", "/etc/glance"], "file": FILE}[kind]
    record = manifest(files={"/etc/nova/d": above, "/etc/nova/d/e/f": FILE})
    with pytest.raises(BadInput, match=f"is below /etc/nova/d, which is a {kind}"):
        contents.refuse_unfit(a_site(), record, facts())


PLAIN = {
    "/etc/nova": ["directory", "0750", "root", "nova", ""],
    "/etc/nova/nova.conf": NOVA,
    "/etc/nova/.hidden": FILE,
    "/etc/nova/a b": FILE,
    "/etc/nova/..data": FILE,
    "/etc/nova/caf\u00e9": FILE,
    "/etc/nova/gone": ["file", "0640", "64060", "64060", SHA],
    "/etc/nova/l": ["link", "0777", "root", "root", "nova.conf"],
    "/etc/nova/l2": ["link", "0777", "root", "root", "../glance/x"],
    "/etc/mysql/my.cnf": ["link", "0777", "root", "root", "/etc/alternatives/my.cnf"],
    "/etc/ceph/ceph.conf": FILE,
    "/srv/own": FILE,
}


def test_what_backups_are_made_of_is_taken():
    site = a_site(also=["/srv//own/"])
    contents.refuse_unfit(site, manifest(files=PLAIN), facts())
    with pytest.raises(BadInput, match=r"/srv/own: is not below.*\n.*backup.also") as stop:
        contents.refuse_unfit(a_site(), manifest(files=PLAIN), facts())
    assert str(stop.value).count("is not below") == 1


@pytest.mark.parametrize("version", ["2:26.0.0-1", "2:26.9-0", "2:25.1-1"])
def test_the_same_or_an_older_schema_fits(version):
    held = manifest(versions={"nova-common": version, "ceph-common": "99.0"})
    contents.refuse_unfit(a_site(), held, facts())


@pytest.mark.parametrize(
    "bare, installs, fits", [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_bare_host_may_lack_what_makes_records_where_it_is_installed(bare, installs, fits):
    record = manifest(versions={"age": "1.1.1-1+b3", "zstd": "1.5.4+dfsg2-5"})
    lacking = facts(installed={"age": None, "zstd": None})
    with contextlib.nullcontext() if fits else pytest.raises(BadInput, match="ctl: age"):
        contents.refuse_unfit(a_site(installs), record, lacking, bare)


def test_nothing_is_recorded_for_nobody_or_without_the_tools():
    with pytest.raises(BadInput, match="found none; inv backup.key"):
        contents.refuse_without_tools(a_site(recipients=[]), facts())
    hosts = {"ceph01": {"roles": ["ceph"]}, "ctl": {"roles": ["glance", "cinder"]}}
    with pytest.raises(BadInput, match="one host with the role 'database', found none"):
        nobody = site(hosts=hosts, backup={"recipients": [RECIPIENT]})
        contents.refuse_without_tools(nobody, facts())
    without = facts(installed={"age": None})
    with pytest.raises(BadInput, match="ctl: not installed: age; inv backup.tools"):
        contents.refuse_without_tools(a_site(), without)
    (change,) = backup_tools.plan(a_site(), without)
    assert change.args["packages"] == ["age"]
    assert backup_tools.plan(a_site(), facts()) == []
    assert backup_tools.plan(a_site(recipients=[]), without) == []


@pytest.mark.parametrize(
    "lacking, table, noted",
    [
        ({"age": None, "zstd": None}, {}, True),
        ({"age": None}, {}, True),
        ({"zstd": None}, {"installs": False}, True),
        ({}, {}, False),
        ({"age": None}, {"recipients": []}, False),
    ],
)
def test_what_only_backups_need_is_no_part_of_an_integration(lacking, table, noted):
    here, seen_ = a_site(**table), facts(installed=lacking)
    parts = [one for one in chain.RESOURCES if one.task == "backup.tools"]
    assert [change for one in parts for change in one.plan(here, seen_)] == []
    asked = [one for one in parts if one.reads(here, here.host("ctl"))]
    (notes,) = [one.notes(here, seen_, []) for one in asked] or [[]]
    assert len(notes) == noted
    assert all("ctl:" in note and "inv backup.tools" in note for note in notes)


def test_no_key_is_in_what_is_said_of_the_cluster():
    found = contents.of_cluster(a_site(), facts())
    assert found["fsid"] == FSID
    assert "key" not in json.dumps(found["users"])


@pytest.mark.parametrize(
    "table, cause",
    [
        ({"recipients": ["ssh-ed25519 AAAA"]}, "a recipient of age"),
        ({"recipients": ["age1" + "b" * 58]}, "a recipient of age"),
        ({"also": ["etc/x"]}, "a path from /"),
        ({"keep": 0}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_table_is_refused(table, cause):
    with pytest.raises(BadInput, match=cause):
        a_site(**table)
