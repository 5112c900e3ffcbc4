"""How a site is looked at: times of answers, what did not work, the order of releases."""

import json
import time

import pytest

from fabfile.core import site_file
from fabfile.core.contract import BadInput, Failed, Host, Read, Unreachable
from fabfile.doctor import checks
from fabfile.doctor.finding import ERROR, Finding, task, words
from fabfile.doctor.summary import summary
from fabfile.flow import session
from fabfile.flow.inspect import survey
from fabfile.flow.inspect.survey import TimedCollector
from fabfile.flow.session import Options
from fabfile.model import releases
from fabfile.report import text

from .clouds import found, hosts, kinds, looked
from .states import FSID, HOSTS, OTHER, THIRD, conf, secret, site

N1 = Host("n1", ("compute",))
ASKED = {N1: [Read("host", "host"), Read("pending_restarts", "pending_restarts")]}
NAMED = ("os", "name", "machine_id", "boot_id", "hostname", "version", "codename")
MACHINE = {**dict.fromkeys(NAMED, ""), "like": [], "time": 1000.0}


def hearing(monkeypatch, began, came, *messages):
    times = iter([began, *[came] * 9])
    monkeypatch.setattr("time.time", lambda: next(times))
    heard = TimedCollector(ASKED)
    for message in messages:
        heard.on_message("n1", {"t": "read", **message})
    return heard


def test_a_clock_is_between_the_asking_and_the_answer(monkeypatch):
    heard = hearing(monkeypatch, 990.0, 992.0, {"id": "host", "value": MACHINE})
    assert heard.clocks() == {"n1": (8.0, 10.0)}


def test_what_could_not_be_looked_at_is_known_by_its_read(monkeypatch):
    heard = hearing(
        monkeypatch,
        0.0,
        1.0,
        {"id": "pending_restarts", "error": "no"},
        {"id": "host", "value": {"time": 1}},
    )
    assert str(heard.errors["n1", "pending_restarts"]) == "no"
    assert "something else" in str(heard.errors["n1", "host"])
    assert heard.clocks() == {}
    with pytest.raises(Unreachable):
        heard.on_message("n1", {"t": "read", "id": "never", "value": 1})


def test_releases_in_the_order_of_time():
    names = releases.names(site_file.releases())
    assert names[:3] == ["grizzly", "havana", "icehouse"]
    assert names[-2:] == ["2026.1", "2026.2"]
    assert names.index("queens") < names.index("stein") < names.index("zed")


def test_every_hazard_names_releases_that_are_known():
    names = releases.names(site_file.releases())
    for hazard in site_file.hazards():
        assert {hazard.get("since", "zed"), hazard.get("until", "zed")} <= set(names)
        assert hazard["severity"] in ("error", "warning", "note")


def test_the_status_of_a_healthy_cloud():
    seen = looked()
    plan = checks.findings(site(), seen)[1]
    told = {**summary(site(), seen, plan), "last_run": None}
    shown = "\n".join(text.status(told))
    for said in (
        "glance, cinder  ctl",
        "compute         n1, n2",
        "16.2.15",
        "1 of 1 monitors in quorum",
        "zed: cinder 21.3.1",
        "monolithic on n1, n2",
        "rbd, size 3, 32 placement groups",
        "none: everything is as it should be",
    ):
        assert said in shown, shown


EVERYWHERE = "ceph01, cloud, ctl, n1, n2"


def a_private_secret(cloud):
    cloud["n1"]["libvirt.secrets"] = secret(FSID, private="yes")


@pytest.mark.parametrize(
    "change, more, lines",
    [
        (
            lambda c: c.pop("n2"),
            {"unreachable": {"n2": Unreachable("n2: no")}},
            ["unknown on n2; see inv doctor"],
        ),
        (
            lambda c: c["n2"].pop("nova.conf"),
            {"errors": {("n2", "nova.conf"): Failed("no")}},
            ["unknown on n2; see inv doctor"],
        ),
        (
            lambda c: c["n1"].update({"libvirt.secrets": {}}),
            {"errors": {("n2", "pending_restarts"): Failed("no")}},
            ["2 changes on n1 (compute.secret); see inv plan", "unknown on n2; see inv doctor"],
        ),
        (a_private_secret, {}, ["unknown on n1; see inv doctor"]),
        (
            lambda c: None,
            {"errors": {("ceph01", "ceph.users"): Failed("no")}},
            [f"unknown on {EVERYWHERE}; see inv doctor"],
        ),
        (
            lambda c: None,
            {"doubts": (("identity", BadInput("two; set one")),)},
            [f"unknown on {EVERYWHERE}; see inv doctor"],
        ),
    ],
)
def test_what_was_not_seen_is_not_called_right(change, more, lines):
    seen = looked(change, **more)
    plan = checks.findings(site(), seen)[1]
    shown = text.status({**summary(site(), seen, plan), "last_run": None})
    told = [li.split("drift", 1)[1].strip() for li in shown if "drift" in li]
    assert told == lines


def test_a_finding_as_a_person_reads_it():
    def change(cloud):
        cloud["n2"]["libvirt.secrets"] = {}

    shown = "\n".join(text.findings(found(change), site(), ""))
    assert shown.startswith("ERROR    n2: libvirt secret ")
    assert "mend     inv compute.secret --limit n2" in shown


STEPS = (words("look at it"), words("and think"), task("ceph.pools", limited=False), words("wait"))


def test_what_is_no_command_is_not_called_one():
    one = Finding(ERROR, "x", ("n1",), "a pool", "a", "b", "c", STEPS)
    shown = [line[9:] for line in text.findings([one], site(), "")][4:]
    assert shown == [
        "by hand  look at it",
        "         and think",
        "mend     inv ceph.pools",
        "by hand  wait",
    ]


class FakeFleet:
    """Hosts that answer what a test says, or are not there."""

    warnings: tuple = ()

    def __init__(self, cloud, gone=()):
        self.cloud, self.gone, self.trips, self.conversations = cloud, gone, {}, self

    def work(self, works, heard):
        for host, work in works.items():
            self.trips[host] = self.trips.get(host, 0) + 1
            for read in () if host in self.gone else work["reads"]:
                known = self.cloud[host]
                told = {"value": known[read["id"]]} if read["id"] in known else {"error": "no"}
                heard(host, {"t": "read", "id": read["id"], **told})
        gone = [host for host in self.gone if host in works]
        return {host: Unreachable(f"{host}: does not answer within 10 s") for host in gone}

    def raise_if_stopped(self):
        pass

    def stop(self):
        pass

    def close(self):
        pass


@pytest.fixture
def inspected(tmp_path, monkeypatch, capsys):
    """Runs doctor or status on a cloud; (exit code, the JSON document)."""
    file = tmp_path / "site.toml"
    text = 'name = "test"\n[hosts]\n'
    text += "".join(f"{n} = {{ roles = {h['roles']} }}\n" for n, h in HOSTS.items())
    file.write_text(text)

    def run(task, change=lambda cloud: None, gone=()):
        cloud = hosts()
        change(cloud)
        now = time.time()
        for seen in cloud.values():
            seen["host"].update(time=now, monotonic=now - 1e6)
        cloud["ceph01"]["ceph.kinds"] = kinds(int(now))
        monkeypatch.setattr(session, "_fleet", lambda *_: FakeFleet(cloud, gone))
        code = task({}, Options(str(file), json=True))
        return code, json.loads(capsys.readouterr().out)

    return run


def test_doctor_of_a_healthy_cloud_is_one_trip_and_0(inspected):
    code, told = inspected(survey.doctor)
    assert (code, told["healthy"], told["findings"]) == (0, True, [])
    assert set(told["trips"].values()) == {1}
    assert {row["odd"] for row in told["secrets"]} == {""}


def test_doctor_ends_with_3_where_something_is_wrong(inspected):
    code, told = inspected(survey.doctor, lambda c: c["n2"].update({"libvirt.secrets": {}}))
    assert (code, told["healthy"]) == (3, False)
    (one,) = told["findings"]
    assert one["mend"][0]["run"].startswith("inv compute.secret --site ")
    assert one["mend"][0]["run"].endswith(" --limit n2")


def test_doctor_ends_with_4_where_a_host_is_gone(inspected):
    code, told = inspected(survey.doctor, gone=("n1",))
    assert code == 4
    (one,) = told["findings"]
    assert (one["code"], one["hosts"]) == ("host.unreachable", ["n1"])


def test_doctor_looks_where_the_cluster_does_not_answer(inspected):
    def silent(cloud):
        for name in [n for n in cloud["ceph01"] if n.startswith("ceph.")]:
            del cloud["ceph01"][name]

    code, told = inspected(survey.doctor, silent)
    assert (code, [one["code"] for one in told["findings"]]) == (3, ["ceph.silent"])


def test_computes_that_disagree_and_nothing_that_says_who_is_right(inspected):
    def disagreeing(cloud):
        for name, uuid in (("n1", OTHER), ("n2", THIRD)):
            cloud[name].update({"nova.conf": conf(), "libvirt.secrets": secret(uuid)})
        cloud["ctl"]["cinder.conf"] = conf()

    code, told = inspected(survey.doctor, disagreeing)
    doubt = next(one for one in told["findings"] if one["code"] == "identity")
    assert code == 3 and OTHER in doubt["found"] and THIRD in doubt["found"]
    assert "secret_uuid" in doubt["mend"][0]["run"]


@pytest.mark.parametrize("gone", [("n1",), tuple(HOSTS)])
def test_status_ends_with_4_where_a_host_is_gone(inspected, gone):
    code, told = inspected(survey.status, gone=gone)
    assert (code, told["healthy"]) == (4, False)


def test_status_ends_with_0_whatever_is_wrong_with_hosts_that_answer(inspected):
    code, told = inspected(survey.status, lambda c: c["n2"].update({"libvirt.secrets": {}}))
    assert (code, told["healthy"]) == (0, False)


def test_status_as_json(inspected):
    code, told = inspected(survey.status)
    assert (code, told["drift"]["changes"], told["healthy"]) == (0, 0, True)
    assert told["libvirt"] == {"monolithic": ["n1", "n2"]}
    assert told["pools"]["volumes"]["applications"] == ["rbd"]
