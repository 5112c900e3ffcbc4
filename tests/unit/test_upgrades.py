"""An upgrade on its way: at each step, who is too far from whom, what comes before and after."""

from pathlib import Path

import pytest

from fabfile.doctor import ceph
from fabfile.doctor import upgrades as doctor
from fabfile.doctor.finding import ERROR, NOTE, SEVERITIES, WARNING, healthy
from fabfile.model import ceph_releases, upgrades
from fabfile.model.advice import shown
from fabfile.report import text

from . import clouds
from .clouds import looked
from .states import answer, file, site

CONF = clouds.CEPH_CONF + "[client]\n"
PROJECT = Path(__file__).parents[2]
PATCH = {14: "14.2.21", 16: "16.2.15", 18: "18.2.7", 19: "19.2.6", 20: "20.2.4", 40: "40.2.0"}


def daemons(cloud, mons, osds, required=None):
    """{major: how many} of each kind; required: by name."""

    def told(kind):
        return {f"ceph version {PATCH[n]} (x) name (stable)": many for n, many in kind.items()}

    both = {n: mons.get(n, 0) + osds.get(n, 0) for n in {*mons, *osds}}
    versions = {"mon": told(mons), "osd": told(osds), "overall": told(both)}
    cloud["ceph01"]["ceph.versions"] = answer(versions)
    if required:
        cloud["ceph01"]["ceph.required"]["out"] += f'\n"require_osd_release":"{required}"'


def libraries(cloud, *hosts, version):
    for host in hosts:
        cloud[host].setdefault("packages", {}).update(librados2=version, librbd1=version)


def nova(cloud, **versions):
    for host, version in versions.items():
        cloud[host]["packages"]["nova-common"] = version


def step(mons=None, osds=None, required=None, libs=None, **novas):
    """A cloud in the middle of it; libs: {host: version}."""

    def change(cloud):
        daemons(cloud, mons or {16: 3}, osds or {16: 6}, required)
        for host, version in (libs or {}).items():
            libraries(cloud, host, version=version)
        nova(cloud, **novas)

    return change


def gone(cloud, line="auth_supported = cephx", version="20.2.4"):
    """A ceph.conf with that line, and a librados of that version beside it."""
    cloud["n1"]["ceph.conf"] = file(f"{CONF}{line}\n")
    libraries(cloud, "n1", version=version)


def told(change):
    seen = looked(change)
    return {(f.severity, f.code) for f in doctor.findings(site(), seen)}


ALL = ("ctl", "n1", "n2")


@pytest.mark.parametrize(
    "change, expected",
    [
        # A cluster of one release, with hosts of that one or the one before.
        (step(), set()),
        (step(required="pacific"), set()),
        (step(libs={"n1": "15.2.17"}), set()),
        # The monitors went first, then some OSDs, then all.
        (step({18: 3}, {16: 6}, "pacific"), {(NOTE, "ceph.versions"), (NOTE, "library.next")}),
        (
            step({18: 3}, {16: 4, 18: 2}, "pacific"),
            {(NOTE, "ceph.versions"), (NOTE, "library.next")},
        ),
        (step({18: 3}, {18: 6}, "pacific"), {(NOTE, "library.next")}),
        (step({18: 3}, {18: 6}, "reef", dict.fromkeys(ALL, "18.2.7")), set()),
        # Clients first: the whole of OpenStack's hosts, then the cluster.
        (step(libs=dict.fromkeys(ALL, "18.2.7")), {(NOTE, "library.newer")}),
        # A host of the cluster alone is of the cluster.
        (step({16: 2, 18: 1}, {16: 6}, libs={"ceph01": "18.2.7"}), {(NOTE, "ceph.versions")}),
        # A release was left out, or the map was never raised.
        (
            step({20: 3}, {18: 6}, "octopus", dict.fromkeys(ALL, "20.2.4")),
            {(NOTE, "ceph.versions"), (ERROR, "ceph.osd.release")},
        ),
        (
            step({18: 3}, {18: 6}, "octopus", dict.fromkeys(ALL, "18.2.7")),
            {(ERROR, "ceph.osd.release")},
        ),
        (step({18: 3}, {18: 6}, "no such", dict.fromkeys(ALL, "18.2.7")), set()),
        # Nova: the control services of a trixie cloud beside a bookworm compute.
        (step(ctl="2:31.0.0-6", n1="2:26.2.2-1", n2="2:31.0.0-6"), {(ERROR, "nova.compute.old")}),
        (step(ctl="2:31.0.0-6", n1="2:29.0.0-1", n2="2:30.0.0-1"), set()),
        (step(ctl="3:34.0.0~rc1", n1="3:33.0.0-1", n2="3:32.0.0"), {(ERROR, "nova.compute.old")}),
        (step(ctl="2:26.2.2-1", n1="2:25.0.0", n2="2:26.2.2-1"), set()),
        (step(ctl="2:26.2.2-1", n1="2:24.0.0", n2="2:26.2.2-1"), {(ERROR, "nova.compute.old")}),
        # Of one that is not known, nothing is said; so of a compute that went first.
        (step(ctl="2:40.0.0-1", n1="2:26.2.2-1", n2="2:26.2.2-1"), set()),
        (step(ctl="1:2015.1.4", n1="1:2014.2", n2="1:2015.1.4"), set()),
        (step(ctl=None, n1="2:26.2.2-1", n2="2:31.0.0-6"), set()),
        (step(ctl="odd", n1="$(reboot)", n2="2:31.0.0-6"), set()),
        (step(ctl="2:26.2.2-1", n1="2:31.0.0-6", n2="2:31.0.0-6"), set()),
    ],
)
def test_each_step_of_an_upgrade(change, expected):
    assert told(change) == expected


@pytest.mark.parametrize(
    "osds, mend",
    [
        ({18: 6}, "require-osd-release"),
        ({16: 6}, "require-osd-release"),
        ({15: 0, 14: 6}, "release in between"),
    ],
)
def test_what_mends_a_map_that_is_too_old_depends_on_the_oldest_osd(osds, mend):
    required = "nautilus" if 14 in osds else "octopus" if 16 not in osds else "nautilus"
    osds = {n: many for n, many in osds.items() if many}
    (one,) = [
        f
        for f in doctor.findings(site(), looked(step({18: 3}, osds, required)))
        if f.code == "ceph.osd.release"
    ]
    assert mend in " ".join(s.text for s in one.mend)
    assert shown(one.mend[0].command).endswith("ceph versions")


@pytest.mark.parametrize(
    "osds, named",
    [
        ({18: 6}, "with reef, the oldest OSD's release"),
        ({18: 5, 20: 1}, "with reef, the oldest OSD's release"),
        ({20: 6}, "with tentacle, the oldest OSD's release"),
        # Not told, or of a release whose name nobody knows here.
        ({}, "with the name of the oldest OSD's release"),
        ({40: 6}, "with the name of the oldest OSD's release"),
    ],
)
def test_the_release_that_an_upgraded_map_is_to_require_is_named(osds, named):
    def change(cloud):
        daemons(cloud, {20: 3}, osds)
        check = {"severity": "HEALTH_WARN", "summary": {"message": "all OSDs are running it"}}
        cloud["ceph01"]["ceph.health"] = answer({"checks": {"OSD_UPGRADE_FINISHED": check}})

    found = ceph.findings(site(), looked(change))
    (one,) = [f for f in found if f.code == "ceph.OSD_UPGRADE_FINISHED"]
    assert shown(one.mend[0].command).endswith("ceph versions")
    (text,) = [s.text for s in one.mend if s.kind == "words"]
    assert f"ceph osd require-osd-release, {named}; it cannot be taken back" in text


def test_what_the_releases_that_come_in_need_is_said_with_its_source():
    (one,) = [
        f
        for f in doctor.findings(site(), looked(step({20: 1, 16: 2}, {16: 6})))
        if f.code == "ceph.versions"
    ]
    said = [s.text for s in one.mend]
    assert any(s.startswith("monitors first") for s in said)
    assert any(s.startswith("before: ") and "aes256k" in s for s in said)
    assert any(s.startswith("after: ") and "docs.ceph.com" in s for s in said)
    assert not any("FileStore" in s for s in said)  # of 18, which does not come


@pytest.mark.parametrize(
    "line, version, dead",
    [
        ("auth_supported = cephx", "20.2.4-1", True),
        ("auth supported = cephx", "20.2.4-1", True),
        ("  Auth-Supported=none", "21.2.0", True),
        ("auth_supported = cephx", "20.2.1", False),
        ("auth_supported = cephx", "18.2.7+ds-1", False),
        ("# auth_supported = cephx", "20.2.4-1", False),
        ("auth_supported_x = cephx", "20.2.4-1", False),
        ("auth_client_required = cephx", "20.2.4-1", False),
        ("auth_supported = cephx", "odd", False),
    ],
)
def test_an_option_of_ceph_conf_that_is_gone(line, version, dead):
    seen = looked(lambda cloud: gone(cloud, line, version))
    found = [f for f in doctor.findings(site(), seen) if f.code == "ceph.conf.dead"]
    assert bool(found) == dead
    for one in found:
        assert (one.severity, one.hosts, one.found) == (NOTE, ("n1",), line.strip())
        assert healthy(found)


def test_the_command_takes_that_line_out_and_what_goes_on_behind_it(tmp_path):
    import subprocess  # noqa: PLC0415

    path = tmp_path / "ceph.conf"
    rest = "[global]\nfsid = x\n; auth_supported = a\n"
    path.write_text(f"{rest}auth Supported = cephx, \\\n  none\nkeyring = y\n")

    (one,) = [f for f in doctor.findings(site(), looked(gone)) if f.code == "ceph.conf.dead"]
    _, _, script, _ = one.mend[0].command.argv
    subprocess.run(["sed", "-i", script, str(path)], check=True)
    assert path.read_text() == f"{rest}keyring = y\n"


def test_before_an_upgrade_status_says_what_can_come_and_what_it_needs():
    def change(cloud):
        step(required="octopus", libs={"n1": "15.2.17"}, ctl="2:26.2.2-1")(cloud)

    said = doctor.ahead(site(), looked(change))
    assert said[0] == "Ceph 16 (pacific) can go to quincy or reef, and no further at once"
    assert said[1].startswith("before: require_osd_release is octopus: raise it to pacific")
    assert any(s.startswith("before quincy: no monitor keeps its store in LevelDB") for s in said)
    assert any(s.startswith("before reef: no OSD is of FileStore") for s in said)
    assert "before reef: librados2 of n1 is too old: clients first" in said
    assert said[-2].startswith("Nova's control services can go to 27 while a compute has 26")
    assert said[-1].startswith("before Nova 27: service tokens from Nova to Cinder")
    healthy_ = doctor.ahead(site(), looked(lambda cloud: None))
    assert not any("clients first" in s or "require_osd" in s for s in healthy_)


@pytest.mark.parametrize("number", [len(ceph_releases.NAMES), len(ceph_releases.NAMES) + 1])
def test_after_the_newest_release_that_is_known_nothing_is_said(number):
    PATCH[number] = f"{number}.2.0"
    said = doctor.ahead(site(), looked(step({number: 3}, {number: 6})))
    assert not [s for s in said if "Ceph" in s or "ceph" in s]


def test_status_shows_it_a_line_each():
    told_ = {
        **dict.fromkeys(("roles", "libvirt"), {}),
        "silent": [],
        "openstack": {"release": "zed", "note": "", "packages": {}},
        "drift": {"changes": 0, "hosts": [], "tasks": [], "known": True, "unknown": []},
        "upgrades": ["one", "two"],
        "last_run": None,
    }
    lines = [line for line in text.status(told_) if line.strip().endswith(("one", "two"))]
    assert len(lines) == 2 and lines[0].split()[0] == "upgrades"


# The data


def test_every_row_has_a_source_and_is_of_a_release():
    assert set(upgrades.CEPH) <= set(range(1, len(ceph_releases.NAMES) + 1))
    for one in upgrades.CEPH.values():
        assert one.source.startswith("docs.ceph.com/") and (one.before or one.after)
    for one in upgrades.HEALTH.values():
        assert one.severity in SEVERITIES and one.mend
    for one in upgrades.OPENSTACK.values():
        assert one.source and (one.before or one.after)
    assert set(upgrades.OPENSTACK) <= set(upgrades.NOVA_OLDEST)
    for new, old in upgrades.NOVA_OLDEST.items():
        assert 1 <= new - old <= 2


@pytest.mark.parametrize("code", sorted(upgrades.HEALTH))
def test_the_ciphers_codes_have_their_cause_and_come_in_an_order(code):
    check = {"severity": "HEALTH_WARN", "summary": {"message": "it is so"}}

    def change(cloud):
        cloud["ceph01"]["ceph.health"] = answer({"checks": {code: check}})

    (one,) = [f for f in clouds.found(change) if f.code == f"ceph.{code}"]
    assert one.severity == upgrades.HEALTH[code].severity
    assert shown(one.mend[0].command).endswith("ceph health detail")
    if code in ("AUTH_INSECURE_CLIENT_KEY_TYPE", "AUTH_INSECURE_SERVICE_TICKETS"):
        assert one.mend[1].text.startswith("clients first")
    assert (one.severity == WARNING) == (upgrades.HEALTH[code].severity == "warning")


def test_the_page_has_the_same_facts():
    page = " ".join((PROJECT / "docs" / "upgrades.md").read_text().split())
    for number, one in upgrades.CEPH.items():
        assert f"| {number} {ceph_releases.NAMES[number - 1]} |" in page
        assert one.source.partition("/")[0] in page
    for new, old in upgrades.NOVA_OLDEST.items():
        assert f"| {new} | {old} |" in page
    for number, one in upgrades.OPENSTACK.items():
        assert f"| {number} " in page and one.source.partition(",")[0] in page
    assert all(code in page for code in upgrades.HEALTH)


@pytest.mark.parametrize(
    ("computes", "said"),
    [
        ({"n1": "2:29.0.0", "n2": "2:30.0.0"}, "can go to 31 while a compute has 29"),
        ({"n1": "2:31.0.0", "n2": "2:31.0.0"}, "can go to 33 while a compute has 31"),
        ({"n1": "2:34.0.0", "n2": "2:34.0.0"}, None),
        ({"n1": "2:25.0.0", "n2": "2:31.0.0"}, "can go to 27 while a compute has 25"),
        ({"n1": "2:20.0.0", "n2": "2:31.0.0"}, None),  # of one so old nothing is known here
        ({"n1": None, "n2": None}, None),
    ],
)
def test_how_far_novas_control_services_can_go(computes, said):
    lines = [s for s in doctor.ahead(site(), looked(step(**computes))) if "Nova" in s]
    assert bool(lines) == bool(said)
    assert said is None or said in lines[0]
    for line in lines[1:]:
        assert line.startswith("before Nova ")
