"""A whole run over hosts of which some fail: who is worked on, what is told, how it ends.

The fleet is a stand-in that answers as agents do; everything else is the real thing.
"""

import json
from types import SimpleNamespace

import pytest

from fabfile.command import converging
from fabfile.core import journal
from fabfile.core.contract import (
    BadInput,
    Change,
    Failed,
    Interrupted,
    Read,
    Unknown,
    Unproved,
    Unreachable,
)
from fabfile.flow import plan_file, session
from fabfile.flow.session import Options
from fabfile.resources.resource import Resource

from . import fleets

SITE = """\
name = "x"
hosts.ceph01.roles = ["ceph"]
hosts.ctl.roles = ["glance"]
hosts.both.roles = ["ceph", "compute"]
"""
SITE += "".join(f'hosts.n{number}.roles = ["compute"]\n' for number in range(1, 6))
FLEET = [f"n{number}" for number in range(1, 6)]


class Fleet(fleets.StandIn):
    """Hosts that owe a restart each until they are told to do it.

    dead: {host: why}; failing: hosts whose step does not work; cut: hosts whose connection
    is cut in their step; stubborn: hosts that say that it was done, and do not.
    """

    warnings = ()

    def __init__(self):
        self.owed = {name: ["unit"] for name in [*FLEET, "ctl", "both"]}
        self.dead, self.failing, self.cut, self.stubborn = {}, set(), set(), set()
        self.wrote, self.read, self.trips = [], [], {"ceph01": 1}
        self.conversations = SimpleNamespace(raise_if_stopped=lambda: None, stop=lambda: None)
        self.then = lambda: None
        self.kept = {}

    def hold(self, host, work):
        return SimpleNamespace(number=1, release=lambda: None)

    def close(self):
        pass

    def work(self, works, heard):
        steps = sorted(host for host, work in works.items() if "steps" in work)
        if steps:
            self.wrote.append(steps)
        else:
            self.read.append(sorted(works))
        return super().work(works, heard)

    def one(self, host, work, say):
        if host in self.dead:
            return Unreachable(f"{host}: {self.dead[host]}")
        for read in work.get("reads", ()):
            self.answer(host, read, say)
        for step in work.get("steps", ()):
            say(t="begin", step=step["id"])
            if host in self.cut:
                return Unknown(f"{host}: the connection was cut while work was under way")
            if host in self.failing:
                say(t="failed", step=step["id"], why="it would not")
                return None
            if host not in self.stubborn:
                self.owed[host] = []
            if step["verb"] == "write":
                self.kept[host] = [{**one, "now": one["was"]} for one in self.kept[host]]
            say(t="done", step=step["id"])
        for read in work.get("then", ()):
            self.answer(host, read, say)
        return None

    def values(self, host):
        return {
            "pending_restarts": self.owed.get(host, []),
            "each": {},
            "run": self.kept.get(host, []),
            "argv": {"code": 0, "out": "[]", "err": ""},
        }


def restarts(site, facts):
    """What is owed, in the computes' wave, or in that of the control services."""
    return [
        Change(
            host.name,
            "unit",
            "restart",
            "!",
            "restart",
            {"units": ["unit"]},
            2 if "compute" in host.roles else 1,
        )
        for host in fleets.owing(site, facts)
    ]


RESTARTS = Resource("integrate", fleets.owed, restarts)


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    monkeypatch.setattr("fabfile.flow.executor.ASK_AGAIN", 1)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    made = Fleet()
    monkeypatch.setattr(session, "_fleet", lambda *_: made)
    monkeypatch.setattr(session.Session, "confirm", lambda self: made.then())
    made.site = fleets.at_home(tmp_path, monkeypatch, SITE)
    return made


def run(fleet, **flags):
    return fleets.outcome(RESTARTS, site=fleet.site, **flags)


def ended():
    """The last event of the newest record."""
    return next(iter(journal.runs()))[1][-1]


def test_control_services_come_first_and_whole_then_computes_in_batches(fleet):
    assert run(fleet, serial="1,50%") == (0, "")
    assert fleet.wrote == [["ctl"], ["both"], ["n1", "n2", "n3"], ["n4", "n5"]]
    assert (ended()["code"], ended()["failed"]) == (0, {})


def test_without_serial_a_wave_is_one_batch(fleet):
    run(fleet)
    assert fleet.wrote == [["ctl"], ["both", *FLEET]]


def test_a_host_that_is_dead_stops_all_before_anything_is_written(fleet):
    fleet.dead["n2"] = "does not answer"
    code, said = run(fleet)
    assert (code, fleet.wrote) == (4, [])
    assert said == "n2: does not answer\nnothing was written anywhere"


def test_with_max_fail_the_rest_is_done_and_the_dead_are_left_out(fleet, capsys):
    fleet.dead["n2"] = "does not answer"
    code, said = run(fleet, max_fail="1")
    assert fleet.wrote == [["ctl"], ["both", "n1", "n3", "n4", "n5"]]
    assert (code, said) == (
        4,
        "n2 was left out or failed, as said above; for these alone: --limit @failed",
    )
    out = capsys.readouterr().out
    assert "Left out: n2: does not answer" in out
    assert "  6 hosts: 1 of 1 done: ctl, both, n1, n3, n4, n5\n" in out
    assert "  n2: left out; does not answer\n" in out
    assert (ended()["code"], ended()["failed"]) == (4, {"n2": "does not answer"})


def test_a_dead_host_is_asked_once_in_a_run(fleet):
    fleet.dead["n2"] = "does not answer"
    run(fleet, max_fail="1", yes=False)
    assert sum("n2" in hosts for hosts in fleet.read) == 1


@pytest.mark.parametrize("max_fail", ["1", "30%"])
def test_more_dead_than_are_borne_stop_all(fleet, max_fail):
    fleet.dead |= {"n2": "does not answer", "n3": "refuses user x"}
    code, said = run(fleet, max_fail=max_fail)
    assert (code, fleet.wrote) == (4, [])
    assert "n2: does not answer\nn3: refuses user x\n--max-fail allows 1 " in said


@pytest.mark.parametrize("host", ["ceph01", "ctl", "both"])
def test_a_host_that_is_no_mere_compute_stops_all(fleet, host):
    fleet.dead[host] = "does not answer"
    assert run(fleet, max_fail="100%")[0] == 4
    assert fleet.wrote == []


def test_a_failed_canary_stops_before_the_next_batch(fleet, capsys):
    fleet.failing.add("n1")
    code, said = run(fleet, serial="2,100%")
    assert fleet.wrote == [["ctl"], ["both", "n1"]]
    assert (code, said) == (1, "n1: unit: it would not")
    out = capsys.readouterr().out
    assert "  4 hosts: 0 of 1 done; not begun: n2, n3, n4, n5\n" in out
    assert "  n1: 0 of 1 done; unit: it would not\n" in out
    assert ended()["failed"] == {"n1": "unit: it would not"}


def test_failures_are_counted_over_all_batches(fleet):
    fleet.failing |= {"n1", "n3"}
    code, said = run(fleet, serial="1", max_fail="1")
    assert fleet.wrote == [["ctl"], ["both"], ["n1"], ["n2"], ["n3"]]
    assert code == 1 and "--max-fail allows 1 computes" in said


def test_the_left_out_count_too(fleet):
    fleet.dead["n1"] = "does not answer"
    fleet.failing.add("n2")
    assert run(fleet, serial="1", max_fail="1")[0] == 4
    assert fleet.wrote == [["ctl"], ["both"], ["n2"]]


def test_a_failure_that_is_borne_leaves_the_rest_done_and_verified(fleet):
    fleet.failing.add("n1")
    assert run(fleet, serial="1", max_fail="1")[0] == 1
    assert {host for host, owed in fleet.owed.items() if owed} == {"n1"}
    assert ended()["failed"] == {"n1": "unit: it would not"}


def test_control_services_that_fail_stop_all(fleet):
    fleet.failing.add("ctl")
    assert run(fleet, max_fail="100%")[0] == 1
    assert fleet.wrote == [["ctl"]]


def test_what_was_cut_is_unknown_and_counts(fleet):
    fleet.cut |= {"n1", "n2"}
    code, _ = run(fleet, max_fail="2")
    assert code == 7 and set(ended()["failed"]) == {"n1", "n2"}
    assert "it answers again: 0 changes made there" in ended()["failed"]["n1"]


def test_what_was_not_done_is_seen_although_others_failed(fleet):
    fleet.stubborn.add("n3")
    fleet.failing.add("n1")
    assert run(fleet, max_fail="1")[0] == Unproved.code


def test_failed_hosts_alone_by_limit(fleet):
    fleet.dead["n2"] = "does not answer"
    fleet.failing.add("n4")
    run(fleet, max_fail="2")
    fleet.dead.clear()
    fleet.failing.clear()
    fleet.wrote.clear()
    assert run(fleet, limit="@failed")[0] == 0
    assert fleet.wrote == [["n2", "n4"]]


def test_those_that_are_still_dead_are_recorded_although_nothing_was_to_do(fleet):
    fleet.dead["n2"] = "does not answer"
    run(fleet, max_fail="1")
    assert run(fleet, max_fail="1")[0] == 4
    assert (ended()["code"], ended()["failed"]) == (4, {"n2": "does not answer"})
    assert run(fleet, limit="@failed", max_fail="100%", check=True)[0] == 4
    assert len(list(journal.runs())) == 2


def test_check_says_so_too_and_records_nothing(fleet):
    fleet.dead["n2"] = "does not answer"
    code, said = run(fleet, check=True, max_fail="1")
    assert code == 4 and said.endswith("nothing was written anywhere")
    assert list(journal.runs()) == []


def test_a_host_that_dies_while_the_question_stands_is_left_out(fleet, capsys):
    fleet.then = lambda: fleet.dead.update(n3="does not answer")
    assert run(fleet, yes=False, max_fail="1")[0] == 4
    assert fleet.wrote == [["ctl"], ["both", "n1", "n2", "n4", "n5"]]
    assert capsys.readouterr().out.count("Left out: n3") == 1


def test_a_host_that_comes_back_while_the_question_stands_stays_left_out(fleet):
    fleet.dead["n3"] = "does not answer"
    fleet.then = fleet.dead.clear
    assert run(fleet, yes=False, max_fail="1")[0] == 4
    assert fleet.wrote == [["ctl"], ["both", "n1", "n2", "n4", "n5"]]


@pytest.mark.parametrize("yes", [True, False])
def test_a_kept_plan_leaves_out_whom_it_left_out(fleet, tmp_path, yes):
    fleet.dead["n3"] = "does not answer"
    kept = str(tmp_path / "plan.json")
    options = Options(site=fleet.site, check=True, max_fail="2")
    with converging({}, options, "plan") as made:
        plan_file.save(kept, made.session, made.preview([RESTARTS]))
    fleet.dead = {"n4": "refuses user x"}
    document = plan_file.load(kept)
    options = Options(plan_file.site_of(document), yes=yes, max_fail=document["max_fail"])
    with converging({}, options, "apply") as made, pytest.raises(Unreachable, match="2 hosts were"):
        made.leave_out(plan_file.left_out(document))
        made.report(made.apply_kept([RESTARTS], document["changes"]))
    assert fleet.wrote == [["ctl"], ["both", "n1", "n2", "n5"]]


def test_more_left_out_than_borne_ends_before_it_begins(fleet):
    with converging({}, Options(site=fleet.site), "apply") as made, pytest.raises(Unreachable):
        made.leave_out({"n3": Unreachable("n3: does not answer")})


def test_json_is_a_document_a_line_and_the_last_one_is_the_result(fleet, capsys):
    fleet.dead["n2"] = "does not answer"
    fleet.failing.add("n4")
    run(fleet, max_fail="2", json=True, serial="100%")
    *events, result = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [(event["event"], event.get("host")) for event in events]
    assert kinds[0] == ("left out", "n2")
    assert kinds[1] == ("plan", None)
    assert ("begin", "n1") in kinds and ("done", "n1") in kinds and ("failed", "n4") in kinds
    assert kinds[-1] == ("ended", None)
    assert set(result) == {
        "site",
        "changed",
        "pending",
        "changes",
        "notes",
        "run",
        "trips",
        "failed",
    }
    assert result["failed"] == {"n2": "does not answer", "n4": "unit: it would not"}
    assert {change["host"] for change in result["changes"]} == {"ctl", "both", *FLEET} - {"n2"}


@pytest.mark.parametrize("limit", ["@failed", "n1,@failed"])
def test_nobody_failed(fleet, limit):
    with pytest.raises(BadInput, match="@failed: expected a run on site 'x'"):
        session.open_session({}, Options(site=fleet.site, limit=limit))
    run(fleet)
    with pytest.raises(BadInput, match="the last here, left no host behind"):
        session.open_session({}, Options(site=fleet.site, limit=limit))


def test_bad_flags_are_said_before_anything_is_read(fleet):
    for flags in ({"serial": "x"}, {"max_fail": "x"}, {"forks": "x"}):
        with pytest.raises(BadInput, match="expected"):
            session.open_session({}, Options(site=fleet.site, **flags))


def test_what_could_not_look_is_no_absence(fleet, monkeypatch):
    def deaf(self, host, read, say):
        say(t="read", id=read["id"], **({"error": "no virsh"} if host == "n2" else {"value": []}))

    monkeypatch.setattr(Fleet, "answer", deaf)
    with converging({}, Options(site=fleet.site), "x") as made:
        asked = {
            made.site.host(name): [Read("pending_restarts", "pending_restarts")]
            for name in ("n1", "n2")
        }
        with pytest.raises(Failed, match="n2: could not look: no virsh"):
            made.session.ask(asked)


# The gate


GATED = """\
cloud = "x"
verify.guest = "/nowhere"
"""
WROTE = {
    "step": 0,
    "state": "done",
    "thing": "nova.conf",
    "sentence": "set",
    "sign": "~",
    "wave": 2,
    "verb_was": "edit",
    "verb": "write",
    "args": {"path": "/x"},
    "was": "a",
    "is": "b",
    "now": "b",
}
RESTART = {
    "step": 1,
    "state": "done",
    "thing": "unit",
    "sentence": "restart",
    "sign": "!",
    "wave": 2,
    "verb_was": "restart",
    "verb": "restart",
    "args": {"units": ["unit"]},
}


@pytest.fixture
def canary(fleet, monkeypatch):
    """Flights, as [(computes, targets, the hosts that were worked on until then)].

    dies_on: computes ('' for none) where a check fails.
    """
    with open(fleet.site, "a") as site:
        site.write(GATED)
    monkeypatch.setattr(session.Session, "ask_cloud", lambda self, reads: {})
    flown = SimpleNamespace(flights=[], dies_on=set(), raises=None)

    def fly(run, record, computes, targets, at_once, makes_types, expected):
        assert makes_types  # a backend may be new, and its type comes last
        assert (expected is None) == bool(computes)  # deletion is Glance's and Cinder's matter
        flown.flights.append((list(computes), list(targets), len(fleet.wrote)))
        if flown.raises:
            raise flown.raises
        name = next((c for c in computes or [""] if c in flown.dies_on), None)
        return [SimpleNamespace(name=f"{name}: it is attached", ok=name is None, detail="no key")]

    monkeypatch.setattr("fabfile.flow.proof.verify.run_canary", fly)
    monkeypatch.setattr(session.Session, "connection", lambda self: None)
    monkeypatch.setattr("fabfile.cloud.offered.lacking", lambda cloud, flavor, image: {})
    return flown


def test_each_batch_is_proved_before_the_next_begins(fleet, canary):
    assert run(fleet, canary=True, serial="2,2") == (0, "")
    assert fleet.wrote == [["ctl"], ["both", "n1"], ["n2", "n3"], ["n4", "n5"]]
    assert canary.flights == [
        ([], [], 1),
        (["both", "n1"], ["both", "n1"], 2),
        (["n2", "n3"], ["both", "n1", "n2", "n3"], 3),
        (["n4", "n5"], ["both", *FLEET], 4),
    ]


def test_without_a_word_there_are_batches(fleet, canary):
    run(fleet, canary=True)
    assert fleet.wrote == [["ctl"], ["both"], ["n1"], ["n2", "n3", "n4"], ["n5"]]


def test_a_dead_canary_stops_there_takes_that_batch_back_and_says_why(fleet, canary, capsys):
    canary.dies_on = {"n2"}
    fleet.kept = {name: [WROTE] for name in ("ctl", "n1", "n2", "n3")}
    code, said = run(fleet, canary=True, serial="1,1,2")
    assert code == Unproved.code
    assert said.splitlines() == [
        "the canary died:",
        "  n2: it is attached: no key",
        "n2, n3: what this run did there was taken back; no later batch was begun",
    ]
    assert fleet.wrote == [["ctl"], ["both"], ["n1"], ["n2", "n3"], ["n2", "n3"]]
    assert "  n4: 0 of 1 done; not begun\n" in capsys.readouterr().out


def test_the_taking_back_is_a_run_of_its_own_and_the_batch_is_left_as_failed(fleet, canary):
    canary.dies_on = {"n1"}
    fleet.kept = {"n1": [WROTE]}
    run(fleet, canary=True, serial="2,2")
    tasks = {events[0]["task"]: events for _, events in journal.runs()}
    assert [e["thing"] for e in tasks["undo"] if e["event"] == "done"] == ["nova.conf"]
    assert (tasks["undo"][-1]["event"], tasks["undo"][-1]["failed"]) == ("ended", {})
    (closed,) = [e for e in tasks["integrate"] if e["event"] == "gate closed"]
    assert closed["hosts"] == ["both", "n1"] and "no key" in closed["why"]
    assert set(tasks["integrate"][-1]["failed"]) == {"both", "n1"}


@pytest.mark.parametrize(
    "kept, goes",
    [({"begins": ["ctl@ceph"]}, True), ({"volumes": "ctl@ceph#rbd"}, False)],
    ids=["rows may stay", "volumes must be seen"],
)
def test_files_go_back_where_cinder_does_not_answer(fleet, canary, monkeypatch, capsys, kept, goes):
    def ask_cloud(self, reads):
        if any(read.id == "volumes" for read in reads):
            raise Failed("cinder: volumes and services cannot be read: 503")
        return {}

    monkeypatch.setattr(session.Session, "ask_cloud", ask_cloud)
    canary.dies_on = {"n1"}
    fleet.kept = {"n1": [{**WROTE, **kept}]}
    code, _ = run(fleet, canary=True, serial="1")
    assert code == Unproved.code
    assert fleet.wrote == [["ctl"], ["both"], ["n1"], *([["n1"]] * goes)]
    out = " ".join(capsys.readouterr().out.split())
    assert ("n1: service ctl@ceph stays, as Cinder's API was not asked" in out) is goes
    assert ("cinder-manage service remove cinder-volume ctl@ceph" in out) is goes
    assert ("Warning: cinder: volumes and services cannot be read: 503" in out) is goes


def test_a_step_that_fails_closes_the_gate_too(fleet, canary):
    fleet.failing.add("n1")
    fleet.kept["n1"] = [{**RESTART, "state": "failed"}]
    code, said = run(fleet, canary=True, serial="1")
    assert fleet.wrote == [["ctl"], ["both"], ["n1"]]
    assert code == 1
    assert said.splitlines() == [
        "n1: unit: it would not",
        "n1: this run did nothing there that can be taken back but restarts; "
        "no later batch was begun",
    ]


def test_control_services_at_which_it_is_closed_leave_the_computes_alone(fleet, canary):
    canary.dies_on, fleet.kept = {""}, {"ctl": [{**WROTE, "wave": 1}]}
    code, said = run(fleet, canary=True)
    assert code == Unproved.code and "ctl: what this run did there was taken back" in said
    assert fleet.wrote == [["ctl"], ["ctl"]]


def test_a_taking_back_that_does_not_work_says_how_to_go_on(fleet, canary):
    canary.dies_on = {"n1"}
    fleet.kept = {"n1": [{**WROTE, "now": "somebody's"}]}
    code, said = run(fleet, canary=True, serial="2,2")
    assert code == Unproved.code
    assert "taking it back on both, n1 did not work (stale: " in said
    assert "inv undo --run run-000 --limit both,n1" in said


def test_a_canary_that_cannot_fly_closes_the_gate(fleet, canary):
    canary.raises = Unreachable("cloud x: Keystone does not answer")
    code, said = run(fleet, canary=True)
    assert code == Unproved.code
    assert said.startswith("the canary cannot fly: cloud x: Keystone does not answer")


def test_an_interrupted_canary_takes_nothing_back(fleet, canary):
    canary.raises = Interrupted("interrupted")
    fleet.kept = {"ctl": [WROTE]}
    assert run(fleet, canary=True)[0] == 130
    assert fleet.wrote == [["ctl"]]


def test_without_the_flag_nothing_is_proved(fleet, canary):
    run(fleet)
    assert canary.flights == []


def test_without_means_to_prove_it_nothing_is_read(fleet):
    with pytest.raises(BadInput, match="--canary: expected `cloud` and cinder.volume_type"):
        fleets.outcome(RESTARTS, site=fleet.site, canary=True)
    assert fleet.read == []
