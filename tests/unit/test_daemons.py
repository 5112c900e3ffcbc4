"""A daemon of Ceph that is down: the command names it and its host, or there is none."""

import pytest

from fabfile.core.contract import Failed
from fabfile.doctor import observation
from fabfile.doctor.finding import commands

from . import clouds
from .clouds import said
from .states import HOSTS, RECORDED, answer, site

CEPHS = {**HOSTS, "ceph02": {"roles": ["ceph"]}, "ceph05": {"roles": ["ceph"]}}
FSID = "6238f9e6-0382-4cef-a3f3-795a22ddc50e"
OSD = "osd.17 (root=default,rack=r1,host=ceph05) is down"
MON = "mon.ceph05 (rank 2) addr [v2:10.0.0.3:3300/0,v1:10.0.0.3:6789/0] is down (out of quorum)"
SKEW = "mon.ceph05 clock skew 0.08s > max 0.05s (latency 0.0006s)"
PACKAGES = "ceph-osd@17.service loaded failed\nceph-mon@ceph05.service loaded failed"
CEPHADM = f"ceph-{FSID}@osd.17.service loaded failed\nceph-{FSID}@mon.ceph05.service loaded failed"
REAL = (RECORDED / "ceph16_units.txt").read_text()
SNAP = "snap.microceph.osd.service loaded active\nsnap.microceph.mon.service loaded failed"


def typed(code, *details, units="", orchestrator="", count=None, more=()):
    """[(command, hosts)] that doctor shows for a health check; words are left out."""

    def change(cloud):
        check = {
            "severity": "HEALTH_WARN",
            "summary": {"message": "so", "count": count or len(details)},
            "detail": [{"message": text} for text in details],
        }
        checks = {code: check, **{name: {} for name in more}}
        cloud["ceph01"]["ceph.health"] = answer({"checks": checks})
        cloud["ceph01"]["ceph.orchestrator"] = said(f'"{orchestrator}"\n')
        cloud["ceph05"] = {"host": clouds.machine(5), "ceph.daemons": said(units)}

    hosts = site(hosts=CEPHS)
    found = [one for one in clouds.found(change, hosts) if one.code == f"ceph.{code}"]
    steps = [step for one in found for step in commands(one, hosts, "")]
    return [(step["run"], step["hosts"]) for step in steps if step["kind"] == "root"]


@pytest.mark.parametrize(
    "code, detail, given, expected",
    [
        ("OSD_DOWN", OSD, {"units": PACKAGES}, ("systemctl restart ceph-osd@17", ["ceph05"])),
        ("MON_DOWN", MON, {"units": PACKAGES}, ("systemctl restart ceph-mon@ceph05", ["ceph05"])),
        (
            "OSD_DOWN",
            OSD,
            {"units": CEPHADM, "orchestrator": "cephadm"},
            ("ceph orch daemon restart osd.17", ["ceph01"]),
        ),
        (
            "OSD_DOWN",
            OSD,
            {"orchestrator": "cephadm"},
            ("ceph orch daemon restart osd.17", ["ceph01"]),
        ),
        (
            "MON_DOWN",
            MON,
            {"orchestrator": "cephadm"},
            ("ceph orch daemon restart mon.ceph05", ["ceph01"]),
        ),
        ("MON_DOWN", MON, {"units": SNAP}, ("snap restart microceph.mon", ["ceph05"])),
    ],
)
def test_the_daemon_and_its_host_are_named(code, detail, given, expected):
    if "units" in given and "microceph" in given["units"]:
        detail = detail.replace("mon.ceph05", "mon.h5")  # MicroCeph names it by the host's name
    assert typed(code, detail, **given) == [expected]


@pytest.mark.parametrize(
    "code, detail, given",
    [
        ("OSD_DOWN", OSD, {}),  # how it is run was not seen
        ("OSD_DOWN", OSD, {"orchestrator": "rook"}),
        ("OSD_DOWN", OSD, {"units": SNAP}),  # all OSDs of that host are one service
        ("OSD_DOWN", OSD.replace("ceph05", "elsewhere"), {"units": PACKAGES}),
        ("MON_DOWN", MON.replace("mon.ceph05", "mon.c"), {"units": PACKAGES}),
    ],
)
def test_where_it_was_not_seen_there_is_no_command(code, detail, given):
    assert typed(code, detail, **given) == []


@pytest.mark.parametrize(
    "detail", ["", "osd.17 is odd", "osd.$(id) (root=default,host=ceph05) is down", OSD + "; x"]
)
def test_details_of_another_form_restart_nothing(detail):
    assert typed("OSD_DOWN", detail, units=PACKAGES) == [("ceph health detail", ["ceph01"])]


def test_a_host_that_is_down_is_not_mended_by_restarts():
    shown = typed("OSD_DOWN", OSD, more=["OSD_HOST_DOWN"])
    assert shown == [("ceph health detail", ["ceph01"])]


def test_a_host_that_answers_and_has_all_its_osds_down_is():
    shown = typed("OSD_DOWN", OSD, units=CEPHADM, orchestrator="cephadm", more=["OSD_HOST_DOWN"])
    assert shown == [("ceph orch daemon restart osd.17", ["ceph01"])]


def test_units_as_a_cluster_of_cephadms_has_them():
    """Recorded on the lab: cephadm 16.2.15, its orchestrator at work."""
    shown = typed("OSD_DOWN", OSD.replace("osd.17", "osd.0"), units=REAL)
    assert shown == [("ceph orch daemon restart osd.0", ["ceph01"])]
    stopped = REAL.replace("loaded active", "loaded inactive")
    names = {line.split()[0].removesuffix(".service") for line in REAL.splitlines()}
    managers = {f"systemctl restart {name}" for name in names if "@mgr." in name}
    assert len(managers) == 2
    assert {run for run, _ in typed("MGR_DOWN", units=stopped)} == managers


def test_several_are_restarted_each_on_its_host():
    second = PACKAGES + "\nceph-osd@18.service loaded failed"
    shown = typed("OSD_DOWN", OSD, OSD.replace("17", "18"), units=second, count=9)
    assert [text for text, _ in shown] == [
        "systemctl restart ceph-osd@17",
        "systemctl restart ceph-osd@18",
    ]


def test_a_clock_is_not_set_where_the_leaders_may_be_the_wrong_one():
    assert typed("MON_CLOCK_SKEW", SKEW, units=PACKAGES) == []


@pytest.mark.parametrize("code", ["OSD_DOWN", "MON_DOWN", "MGR_DOWN", "MDS_ALL_DOWN", "PG_DAMAGED"])
def test_no_detail_no_restart(code):
    assert all("restart" not in text for text, _ in typed(code, units=PACKAGES))


def test_no_ceph_program_there_restarts_no_monitor():
    asked = [read for read in clouds.hosts()["ceph01"] if read.startswith("ceph.")]

    def change(cloud):
        for read in asked:
            if read != "ceph.daemons":
                del cloud["ceph01"][read]

    why = Failed("ceph: no such program here")
    found = clouds.found(change, errors={("ceph01", read): why for read in asked}, known={})
    steps = [step for one in found for step in commands(one, site(), "")]
    assert all("restart ceph-mon" not in step["run"] for step in steps if step["kind"] == "root")


# No program to ask the cluster with


MISSING = Failed("ceph: no such program here")


def without_ceph(said_=None):
    """(change, errors) of a cloud whose first Ceph host has no ceph program."""
    asked = [read for read in clouds.hosts()["ceph01"] if read.startswith("ceph.")]
    asked.remove("ceph.daemons")

    def change(cloud):
        for read in asked:
            del cloud["ceph01"][read]
        if said_ is not None:
            cloud["ceph01"]["programs"] = said(said_, code=int(not said_))

    return change, {("ceph01", read): MISSING for read in asked}


@pytest.mark.parametrize(
    "programs, found, begun",
    [
        ("/snap/bin/ceph\n", "no ceph in PATH, but /snap/bin/ceph", 'ceph = ["/snap/bin/ceph"]'),
        (
            "/usr/sbin/cephadm\n",
            "no ceph in PATH, but /usr/sbin/cephadm",
            'ceph = ["/usr/sbin/cephadm", "shell", "--", "ceph"]',
        ),
        (
            "/snap/bin/ceph\n/usr/bin/cephadm\n",
            "no ceph in PATH, but /snap/bin/ceph, /usr/bin/cephadm",
            'ceph = ["/snap/bin/ceph"]',
        ),
        ("", "no ceph in PATH, /snap/bin/ceph", "install ceph-common"),
        ("/tmp/ceph; reboot\n", "no ceph in PATH, /snap/bin/ceph", "install ceph-common"),
        (None, "no ceph in PATH", "install ceph-common"),
    ],
)
def test_without_a_ceph_program_nothing_is_said_of_the_quorum(programs, found, begun):
    change, errors = without_ceph(programs)
    (one,) = (f for f in clouds.found(change, errors=errors, known={}) if f.thing == "the cluster")
    steps = commands(one, site(), "")
    assert (one.code, one.hosts) == ("ceph.program", ("ceph01",))
    assert one.found.startswith(found)
    assert "monitors have no quorum" not in one.cause
    assert begun in steps[0]["run"]
    assert {step["kind"] for step in steps} == {"words"}


def test_programs_that_begin_ceph_are_looked_for_where_they_are_kept():
    (read,) = (r for r in observation.reads(site(), site().admin) if r.id == "programs")
    assert {"/snap/bin/ceph", "/usr/sbin/cephadm"} <= set(read.args["argv"])
    assert read.args["ok"] == [0, 1]
