"""RBD's clones: v2 where all who use the cluster can read it, and said why where they cannot."""

import pytest

from fabfile.core.contract import BadInput, Facts
from fabfile.model.phases import Phase
from fabfile.resources import clone_format, restarts

from .clouds import found
from .states import answer, cluster, connected, said_by, site

RAISED = ["osd", "set-require-min-compat-client", "mimic"]


def host(version="16.2.15+ds-0", system=("debian", "12")):
    name, number = system
    return {
        "packages": {"librbd1": version},
        "host": {"os": name, "version": number, "name": f"{name} {number}"},
        "pending_restarts": [],
    }


def facts(*releases, required="luminous", major=16, **more):
    """A cloud; more: other answers of hosts, or of the cluster ('ceph01')."""
    told = {**cluster(major=major), **connected(*releases, required=required)}
    hosts = {"ceph01": told, "ctl": host(), "n1": host(), "n2": host()}
    return Facts({name: {**seen, **more.get(name, {})} for name, seen in hosts.items()})


def plan(seen, **more):
    return [c.args["argv"][-3:] for c in clone_format.plan(site(**more), seen)]


def noted(seen, **more):
    return clone_format.notes(site(**more), seen, [])


@pytest.mark.parametrize("setting", [{}, {"clone_v2": True}])
@pytest.mark.parametrize("releases", [(), ("luminous",), ("luminous", "reef", "squid")])
@pytest.mark.parametrize("required", ["jewel", "luminous"])
def test_v2_is_required_where_all_can_read_it(setting, releases, required):
    seen = facts(*releases, required=required)
    assert plan(seen, **setting) == [RAISED]
    assert noted(seen, **setting) == []


def test_the_change_is_one_of_the_cluster_and_says_why_it_stays():
    (change,) = clone_format.plan(site(), facts())
    assert (change.host, change.wave, change.sign) == ("ceph01", Phase.CLUSTER, "~")
    assert change.diff == (
        "- require_min_compat_client luminous",
        "+ require_min_compat_client mimic",
    )
    assert "ceph osd set-require-min-compat-client luminous" in change.stays


@pytest.mark.parametrize("setting", [{}, {"clone_v2": True}, {"clone_v2": False}])
@pytest.mark.parametrize(
    "required", ["mimic", "nautilus", "pacific", "squid", "umbrella", "a-release-to-come"]
)
def test_it_is_never_lowered(setting, required):
    seen = facts("jewel", required=required, n1=host("12.2.13"))
    assert (plan(seen, **setting), noted(seen, **setting)) == ([], [])


def test_v1_can_be_chosen():
    assert (plan(facts(), clone_v2=False), noted(facts(), clone_v2=False)) == ([], [])
    old = facts("jewel")
    assert (plan(old, clone_v2=False), noted(old, clone_v2=False)) == ([], [])


LUMINOUS_S = (
    '{"mon": {"group": {"features": "0x1", "release": "luminous", "num": 3}},'
    ' "client": {"group": {"features": "0x1", "release": "jewel", "num": 2},'
    ' "group": {"features": "0x2", "release": "luminous", "num": 5}}}'
)
"""What Luminous answers: a key for each group, and always the same."""


@pytest.mark.parametrize(
    "seen, why",
    [
        (facts("luminous", "jewel"), "1 connected client that looks like jewel"),
        (facts("jewel", "jewel", "hammer"), "2 connected clients that look like jewel"),
        (facts("unknown"), "like unknown"),
        (facts("jew\nel"), r"like 'jew\nel'"),
        (facts(""), "like ''"),
        (facts(ceph01={"ceph.features": said_by(LUMINOUS_S)}), "2 connected clients"),
        (facts(ceph01={"ceph.features": said_by("[]")}), "does not say who is connected"),
        (facts(ceph01={"ceph.features": said_by("no JSON")}), "does not say who is connected"),
        (facts(ceph01={"ceph.features": said_by("[" * 10**5)}), "does not say who is connected"),
        (facts(ceph01={"ceph.features": said_by('{"client": [1]}')}), "does not say who"),
        (facts(ceph01={"ceph.features": said_by('{"client": [{"num": "x"}]}')}), "does not say"),
        (facts(ceph01={"ceph.features": said_by("", 22)}), "does not say who is connected"),
        (facts(ceph01={"ceph.required": said_by("")}), "does not say what it requires"),
        (facts(major=12), "monitors of Ceph 12.2.15"),
        (facts(n1=host("12.2.11+dfsg1-2.1")), "n1: librbd1 12.2.11+dfsg1-2.1"),
        (facts(ctl=host("10.2.11-2")), "ctl: librbd1 10.2.11-2"),
        (facts(ctl=host("13.1.1-1")), "ctl: librbd1 13.1.1-1"),  # a candidate
        (facts(ctl=host("odd")), "ctl: librbd1 odd"),
        (facts(n2=host(None, ("ubuntu", "18.04"))), "n2: librbd1 of ubuntu 18.04"),
        (facts(n2=host(None, ("debian", "10"))), "n2: librbd1 of debian 10"),
    ],
)
def test_who_cannot_read_it_is_named(seen, why):
    assert plan(seen) == []
    (note,) = noted(seen)
    assert why in note and "clone_v2 = false" in note and "\n" not in note
    with pytest.raises(BadInput, match="clone_v2: expected that all") as stop:
        plan(seen, clone_v2=True)
    assert why in stop.value.found


@pytest.mark.parametrize(
    "system", [("debian", "12"), ("debian", ""), ("ubuntu", "20.04"), ("rocky", "9.4")]
)
def test_what_is_not_installed_yet_is_what_the_system_brings(system):
    assert plan(facts(ctl=host(None, system))) == [RAISED]


def without(seen, *names):
    return Facts({name: told for name, told in seen.hosts.items() if name not in names})


@pytest.mark.parametrize("setting", [{}, {"clone_v2": True}])
@pytest.mark.parametrize("left_out", [("n2",), ("ctl", "n1", "n2")])
def test_a_host_that_was_not_read_may_be_of_any_age_and_is_waited_for(setting, left_out):
    some = without(facts(), *left_out)
    assert plan(some, **setting) == []
    (note,) = noted(some, **setting)
    assert all(f"{name} was not read" in note for name in left_out)


@pytest.mark.parametrize("more", [{"n1": host("12.2.13")}, {"ctl": host("10.2.11")}])
def test_who_is_too_old_is_refused_also_where_others_were_not_read(more):
    with pytest.raises(BadInput, match="n2 was not read"):
        plan(without(facts(**more), "n2"), clone_v2=True)
    with pytest.raises(BadInput, match="jewel"):
        plan(without(facts("jewel"), "n2"), clone_v2=True)


def test_daemons_of_an_upgrade_under_way_count():
    osds = {"ceph version 16.2.15 (x)": 2, "ceph version 12.2.13 (x)": 1}
    versions = answer({"mon": {"ceph version 16.2.15 (x)": 3}, "osd": osds})
    seen = facts(ceph01={"ceph.versions": versions})
    assert plan(seen) == [] and "OSDs of Ceph 12.2.13" in noted(seen)[0]


def test_cinder_is_restarted_after_it_and_nothing_else():
    seen = facts()
    changes = clone_format.plan(site(), seen)
    for resource in (restarts, restarts.after_clones):
        made = resource.plan(site(), seen, changes)
        assert [(c.host, c.args["units"], c.wave) for c in made] == [
            ("ctl", ["cinder-volume"], Phase.CONTROL)
        ]
        assert resource.plan(site(), seen, []) == []


TWO = {
    "hosts": {
        "ceph01": {"roles": ["ceph"]},
        "ctl": {"roles": ["glance", "cinder"]},
        "n1": {"roles": ["cinder"]},
        "n2": {"roles": ["compute"]},
    }
}
ONE = {"hosts": {"ceph01": {"roles": ["ceph", "cinder"]}, "n2": {"roles": ["compute", "glance"]}}}


def staged(seen, touch=lambda change: True, **more):
    """What an integration plans of it, as Converger.plan puts it together."""
    changes = []
    for stage in (clone_format.RESOURCE, restarts.RESOURCE, clone_format.RESTARTED):
        changes += [c for c in stage.planned(site(**more), seen, changes) if touch(c)]
    return changes


def done(seen, changes):
    """The facts after these changes, as the agents leave them: notes are made before the deed."""
    hosts = {name: dict(answers) for name, answers in seen.hosts.items()}
    for change in changes:
        at = hosts[change.host]
        owed = {*at.get("pending_restarts", ()), *change.restarts}
        if change.verb in ("restart", "restarted"):
            owed -= set(change.args["units"])
        at["pending_restarts"] = sorted(owed)
        if change.kind == clone_format.KIND:
            at |= connected("luminous", required="mimic")
    return Facts(hosts)


def cut_after(seen, changes, number):
    """The facts where a run was cut: the last change was noted, and not done."""
    found = done(seen, changes[:number])
    for change in changes[number : number + 1]:
        owed = {*found.hosts[change.host].get("pending_restarts", ()), *change.restarts}
        found.hosts[change.host]["pending_restarts"] = sorted(owed)
    return found


@pytest.mark.parametrize("more, cinders", [({}, ["ctl"]), (TWO, ["ctl", "n1"]), (ONE, ["ceph01"])])
@pytest.mark.parametrize("number", range(5))
def test_a_run_that_is_cut_anywhere_leaves_the_restart_owed(more, cinders, number):
    """Cinder's driver looks once, after its start: without the restart clones stay of v1."""
    seen = facts("luminous", ceph01={**host(), "pending_restarts": []})
    changes = staged(seen, **more)
    assert [c.verb for c in changes] == ["run", *["restart"] * len(cinders), "restarted"]
    assert [c.wave for c in changes] == sorted(c.wave for c in changes)
    left = cut_after(seen, changes, min(number, len(changes) - 1))
    again = staged(left, **more)
    assert [c.host for c in again if c.verb == "restart"] == cinders
    assert (again[0].kind == clone_format.KIND) == (number == 0)
    assert staged(done(left, again), **more) == []
    assert staged(done(seen, changes), **more) == []


@pytest.mark.parametrize("away", ["ctl", "n1"])
@pytest.mark.parametrize("how", ["unread", "limit"])
def test_it_stays_owed_while_a_host_of_cinders_is_left_out(away, how):
    seen = facts("luminous", required="mimic", ceph01={"pending_restarts": [clone_format.OWED]})
    if how == "unread":
        some = Facts({name: told for name, told in seen.hosts.items() if name != away})
        changes = staged(some, **TWO)
    else:
        changes = staged(seen, lambda change: change.host != away, **TWO)
    assert [c.verb for c in changes] == ["restart"]
    assert clone_format.OWED in done(seen, changes).hosts["ceph01"]["pending_restarts"]


# doctor


def features(required, *releases):
    return lambda cloud: cloud["ceph01"].update(connected(*releases, required=required))


def clones(change, **more):
    return [
        (f.severity, f.code, [step.text for step in f.mend])
        for f in found(change, site(**more))
        if "clone" in f.code
    ]


def test_doctor_recommends_v2_and_says_what_is_in_the_way():
    assert clones(features("mimic", "luminous")) == []
    assert clones(features("luminous", "luminous")) == [("note", "ceph.clones", ["ceph.clones"])]
    ((severity, code, (mend,)),) = clones(features("luminous", "jewel"))
    assert (severity, code) == ("note", "ceph.clones.v1")
    assert "clone_v2" in mend
    assert clones(features("luminous", "jewel"), clone_v2=False) == []
    ((severity, code, _),) = clones(features("luminous", "jewel"), clone_v2=True)
    assert (severity, code) == ("error", "refused.ceph.clones")
