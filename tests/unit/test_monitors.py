"""Monitors that were moved: what each instance needs, and what is done about it."""

import json

import pytest
from invoke.parser import Parser

from fabfile import namespace
from fabfile.audit import frozen_monitors
from fabfile.audit.database_rows import Schemas
from fabfile.core.contract import CLOUD, BadInput, Facts
from fabfile.core.remote import steps
from fabfile.resources import ceph_conf
from fabfile.resources.domains import READ as DOMAINS

from .clouds import disk_xml, said
from .states import FSID, HOSTS, cluster, conf, file, site, sources

HERE = site(cloud="c", hosts={**HOSTS, "ctl": {"roles": ["glance", "cinder", "database"]}})
LIVE = ("10.0.0.1:6789/0", "10.0.0.2:6789/0")
NOW, PART, GONE = ["10.0.0.1", "10.0.0.2"], ["10.0.0.1", "10.9.9.2"], ["10.9.9.1", "10.9.9.2"]
A, B = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
V, W = "cccccccc-0000-4000-8000-000000000003", "dddddddd-0000-4000-8000-000000000004"
CONNECTOR = '{"host": "n1", "ip": "10.0.0.9"}'
NOVA = {"nova-common": "2:26.2.2-1", "glance-common": "2:25.1.0-2", "cinder-common": "2:21.3.1-1"}
MANAGED = {"nova-manage.conf", "nova-manage.sources"}
CONTROL = conf(("api_database", "connection", "sha256:x"), ("cinder", "auth_type", "password"))


def rows(*attached, state="active", host="n1", locked="0", instance=A):
    """The database's lines: one instance, and (side, volume, monitors) of its attachments."""
    lines = [f"instance\t{instance}\t{state}\t{host}\t{locked}"]
    return lines + [f"{s}\t{instance}\t{v}\t{json.dumps(m)}" for s, v, m in attached]


def facts(lines, guest=None, control=CONTROL, packages=None, connector=CONNECTOR, **more):
    """guest: the monitors in the XML of instance A, if it runs."""
    domains = {A: {"disks": said(disk_xml(monitors=guest or (), image=f"volumes/volume-{V}"))}}
    return Facts(
        {
            "ceph01": cluster(mons=LIVE),
            "ctl": {
                frozen_monitors.ROWS: list(lines),
                "nova-manage.conf": control,
                "packages": packages or NOVA,
                "host": {"hostname": "ctl"},
            },
            "n1": {
                DOMAINS: domains if guest else {},
                "host": {"hostname": "box1"},
                frozen_monitors.CONNECTOR: said(f"a warning\n{connector}\n"),
            },
            **more,
        }
    )


def needed(seen):
    kept = frozen_monitors.kept(seen.hosts["ctl"][frozen_monitors.ROWS])
    return [(n.instance.id, n.what, n.volumes) for n in frozen_monitors.needs(HERE, seen, kept)]


@pytest.mark.parametrize(
    "lines, guest, expected",
    [
        (rows(("nova", V, NOW), ("cinder", V, NOW)), NOW, []),
        (rows(("nova", V, list(reversed(NOW)))), None, []),
        (rows(("nova", V, GONE), ("cinder", V, GONE)), GONE, [(A, "restart", (V,))]),
        (rows(("nova", V, PART)), NOW, [(A, "restart", (V,))]),
        (rows(("nova", V, NOW), ("cinder", V, GONE)), NOW, [(A, "restart", (V,))]),
        (
            rows(("nova", V, GONE), ("nova", W, GONE), state="stopped"),
            None,
            [(A, "refresh", (V, W))],
        ),
        (rows(("nova", V, NOW)), GONE, [(A, "hard reboot", ())]),
        (rows(), GONE, [(A, "hard reboot", ())]),
        (rows(("nova", V, GONE), state="shelved_offloaded"), None, [(A, "nothing", (V,))]),
        (rows(("nova", V, GONE), state="paused"), None, [(A, "nothing", (V,))]),
        # an attachment that keeps no list (it was reserved and never connected)
        (rows(("cinder", V, [])), None, []),
        # another tenant's: no instance of Nova's
        ([f"cinder\t{B}\t{V}\t{json.dumps(GONE)}"], None, []),
    ],
)
def test_what_an_instance_needs(lines, guest, expected):
    assert needed(facts(lines, guest)) == expected


def test_guests_with_disks_in_another_cluster_are_not_looked_at():
    xml = said(disk_xml(monitors=GONE, image="others/volume-1"))
    assert needed(facts(rows(), n2={DOMAINS: {A: {"disks": xml}}})) == []


@pytest.mark.parametrize(
    "state, listed, words",
    [
        (
            "stopped",
            GONE,
            "none of its monitors is left: it cannot be started; inv ceph.mons --refresh",
        ),
        ("stopped", PART, "some of its monitors are gone: it starts as long as one is left"),
        ("active", GONE, f"neither started anew nor migrated; inv ceph.mons --hard-reboot {A}"),
        ("shelved_offloaded", GONE, "it attaches its volumes anew when it is unshelved"),
        ("shelved", GONE, "bring it to rest"),
    ],
)
def test_each_is_told_with_its_command(state, listed, words):
    seen = facts(rows(("nova", V, listed), state=state))
    (note,) = frozen_monitors.Frozen("q").notes(HERE, seen, [])
    assert note.startswith(f"instance {A} ({state}), volume {V}: ") and words in note


def test_without_a_database_that_is_said():
    seen = Facts({"ceph01": cluster(mons=LIVE)})
    assert "attachments were not looked at" in frozen_monitors.Frozen("").notes(site(), seen, [])[0]


# What is done


def planned(seen, **asked):
    asked = {"computes": frozenset({"n1"}), **asked}
    changes = frozen_monitors.Frozen("q", **asked).plan(HERE, seen)
    return [(c.wave, c.host, c.verb, c.args.get("instance") or c.args["argv"][-1]) for c in changes]


STALE = rows(("nova", V, GONE), ("cinder", V, GONE))
STOPPED = rows(("nova", V, GONE), state="stopped")


@pytest.mark.parametrize(
    "lines, guest, asked, expected",
    [
        (STALE, GONE, {}, []),
        (STALE, GONE, {"refresh": True}, []),
        (STOPPED, None, {"refresh": True}, [(2, "ctl", "run", V)]),
        (
            STALE,
            GONE,
            {"restart": (A,)},
            [(1, CLOUD, "server_stop", A), (2, "ctl", "run", V), (3, CLOUD, "server_start", A)],
        ),
        # it was stopped by a run that ended there
        (STOPPED, None, {"restart": (A,)}, [(2, "ctl", "run", V), (3, CLOUD, "server_start", A)]),
        (
            rows(("nova", V, NOW), state="stopped"),
            None,
            {"restart": (A,)},
            [(3, CLOUD, "server_start", A)],
        ),
        (rows(("nova", V, NOW)), GONE, {"restart": (A,)}, [(3, CLOUD, "server_hard_reboot", A)]),
        (rows(("nova", V, NOW)), NOW, {"restart": (A,)}, []),
    ],
)
def test_what_is_done_where_it_is_asked_for(lines, guest, asked, expected):
    assert planned(facts(lines, guest), **asked) == expected


def test_the_connector_of_the_instances_own_compute_goes_by_standard_input():
    (change,) = frozen_monitors.Frozen("q", refresh=True).plan(HERE, facts(STOPPED))
    assert change.args["stdin"] == [CONNECTOR]
    assert change.args["argv"][:4] == ["runuser", "-u", "nova", "--"]
    assert CONNECTOR not in " ".join(change.args["argv"])
    by_name = facts(rows(("nova", V, GONE), state="stopped", host="box1"))
    assert frozen_monitors.Frozen("q", refresh=True).plan(HERE, by_name)


@pytest.mark.parametrize(
    "seen, asked, words",
    [
        (facts(STALE), {"restart": (B,)}, f"found {B}, which Nova does not have"),
        (
            facts(rows(("nova", V, GONE), state="paused")),
            {"restart": (A,)},
            r"bring it to rest \(stopped\) first",
        ),
        (
            facts(rows(("nova", V, GONE), state="stopped", locked="1")),
            {"refresh": True},
            f"openstack server unlock {A}",
        ),
        (
            facts(STOPPED, packages={**NOVA, "nova-common": "2:22.0.1-2"}),
            {"refresh": True},
            r"ctl: expected Nova 24 .Xena.*found 2:22.0.1-2; shelve and unshelve",
        ),
        (
            facts(STOPPED, packages={**NOVA, "nova-common": None}),
            {"refresh": True},
            "found no package of it",
        ),
        (
            facts(STOPPED, control=conf(("api_database", "connection", "x"))),
            {"refresh": True},
            r"\[cinder\] auth_type: expected the account",
        ),
        (facts(STOPPED, control=None), {"refresh": True}, r"nova-manage and \[api_database\]"),
        (
            facts(rows(("nova", V, GONE), state="stopped", host="far")),
            {"refresh": True},
            "far: expected a compute of the site file",
        ),
    ],
)
def test_what_cannot_be_done_is_said(seen, asked, words):
    with pytest.raises(BadInput, match=words):
        frozen_monitors.Frozen("q", **asked).plan(HERE, seen)


CELLS, ACCOUNT = CONTROL["active"]
FOLDER = "/etc/nova/nova.conf.d/50-cells.conf"


@pytest.mark.parametrize(
    "own, more",
    [
        ([], {"after": {FOLDER: [CELLS, ACCOUNT]}}),
        ([CELLS], {"after": {FOLDER: [ACCOUNT]}}),
        ([ACCOUNT], {"before": {"/usr/share/nova/nova-dist.conf": [CELLS]}}),
        ([CELLS, ("CINDER", "auth_section", "keystone_authtoken")], {}),
    ],
)
def test_nova_manage_is_set_up_where_it_reads_so(own, more):
    """It reads nova.conf.d as every program of Nova does."""
    seen = facts(STOPPED, control=conf(*own))
    seen.hosts["ctl"]["nova-manage.sources"] = sources("nova", **more)
    assert frozen_monitors.Frozen("q", refresh=True).plan(HERE, seen)


def test_only_computes_that_matter_say_their_connector():
    seen = facts(STOPPED)
    kept = frozen_monitors.kept(STOPPED)
    assert frozen_monitors.computes(kept, HERE, seen) == {"n1"}
    frozen = frozen_monitors.Frozen("q", refresh=True, computes=frozenset({"n1"}))
    asked = {h.name: {r.id for r in frozen.reads(HERE, h)} for h in HERE.all_hosts()}
    assert frozen_monitors.CONNECTOR in asked["n1"] and frozen_monitors.CONNECTOR not in asked["n2"]
    assert asked["ctl"] == {frozen_monitors.ROWS, *MANAGED, "packages"}
    looking = {r.id for h in HERE.all_hosts() for r in frozen_monitors.Frozen("q").reads(HERE, h)}
    assert not looking & {frozen_monitors.CONNECTOR, *MANAGED}
    assert frozen.reread_hosts(HERE) == {"ctl", "n1", "n2"}
    assert frozen_monitors.Frozen("q").reread_hosts(HERE) == set()


def test_of_a_connection_only_the_monitors_are_asked_for():
    columns = frozenset(
        {
            ("cinder", "volume_attachment", "connection_info"),
            ("nova", "instances", "locked"),
        }
    )
    sql = frozen_monitors.question(Schemas("cinder", "glance", ("nova", "nova_cell0"), columns))
    statements = sql.strip().splitlines()
    assert [s.split(",")[0] for s in statements] == [
        "SELECT 'instance'",
        "SELECT 'nova'",
        "SELECT 'instance'",
        "SELECT 'nova'",
        "SELECT 'cinder'",
    ]
    assert sql.count("connection_info") == sql.count("JSON_EXTRACT(") == 9
    assert {part.split("'")[1] for part in sql.split("connection_info, ")[1:]} == {
        "$.driver_volume_type",
        "$.data.hosts",
        "$.hosts",
    }
    old = frozen_monitors.question(Schemas("cinder", "glance", ("nova",), frozenset()))
    assert "volume_attachment" not in old and "IFNULL(0, '')" in old


# The cluster's own files

TEXT = f"[global]\nfsid = {FSID}\nmon_host = 10.9.9.1, 10.9.9.2\n# a note\n[mon]\nx = y\n"


def of_ceph(text):
    seen = Facts(
        {"ceph01": {**cluster(mons=LIVE), "ceph.conf": text and file(text, "ceph", "0640")}}
    )
    return ceph_conf.of_the_cluster.plan(site(), seen)


def test_the_clusters_own_file_gets_the_live_monitors_and_nothing_else():
    (change,) = of_ceph(TEXT)
    new = TEXT.replace("10.9.9.1, 10.9.9.2", "10.0.0.1:6789 10.0.0.2:6789")
    assert steps.joined("r1", change.args["content"], TEXT.encode()) == new
    assert (change.args["owner"], change.args["mode"], change.wave) == ("ceph", "0640", 0)
    assert change.restarts == ()


@pytest.mark.parametrize(
    "text",
    [None, f"[global]\nfsid = {FSID}\n", TEXT.replace("10.9.9.1, 10.9.9.2", "10.0.0.2 10.0.0.1")],
)
def test_a_file_that_names_no_monitors_or_the_live_ones_stays(text):
    assert of_ceph(text) == []


def test_another_clusters_file_is_refused():
    with pytest.raises(BadInput, match="belongs to another cluster"):
        of_ceph(TEXT.replace(FSID, "99999999-8888-4777-8666-555555555555"))


def test_ids_are_given_one_by_one():
    parsed = Parser(contexts=namespace().to_contexts())
    found = parsed.parse_argv(["ceph.mons", "--hard-reboot", A, "--hard-reboot", B])
    (context,) = [one for one in found if one.name == "ceph.mons"]
    assert context.as_kwargs["hard_reboot"] == [A, B]
