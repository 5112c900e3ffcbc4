"""Restarts: of what changes and of what is owed, on the host where it runs."""

import pytest

from fabfile.core.contract import BadInput, Change, Facts
from fabfile.model import site as sites
from fabfile.resources import restarts

from .states import DEBIAN, HOSTS, site

ALL_IN_ONE = {"ceph01": {"roles": ["ceph"]}, "one": {"roles": ["compute", "cinder", "glance"]}}


def change(host, *units):
    return Change(host, "a file", "write", "~", "write", {}, 1, restarts=units)


def facts(**owed):
    return Facts({host: {"pending_restarts": list(units)} for host, units in owed.items()})


def planned(changes, resource=restarts, hosts=HOSTS):
    return [(c.host, c.args["units"], c.wave) for c in changes(resource, site(hosts=hosts))]


@pytest.mark.parametrize(
    "changes, owed, expected",
    [
        ([], {}, []),
        ([change("ctl")], {}, []),
        ([change("ctl", "glance-api")], {}, [("ctl", ["glance-api"], 1)]),
        ([change("n2", "nova-compute")], {}, [("n2", ["nova-compute"], 2)]),
        ([], {"n1": ["nova-compute"]}, [("n1", ["nova-compute"], 2)]),
        (
            [change("n1", "nova-compute")] * 2,
            {"n1": ["nova-compute"]},
            [("n1", ["nova-compute"], 2)],
        ),
        (
            [change("ctl", "cinder-volume")],
            {"ctl": ["glance-api"]},
            [("ctl", ["glance-api", "cinder-volume"], 1)],
        ),
        ([], {"ctl": ["nova-compute"], "n2": ["sshd"]}, []),
        ([change("ceph01", "glance-api")], {}, []),
    ],
)
def test_restarted_is_what_changes_or_is_owed(changes, owed, expected):
    seen = facts(**{"ctl": [], "n1": [], "n2": [], **owed})
    assert planned(lambda r, s: r.plan(s, seen, changes)) == expected


@pytest.mark.parametrize(
    "host, units, known",
    [
        ("n1", ["glance-api"], "nova-compute"),
        ("n1", ["nova-compute", "nova_compute"], "nova-compute"),
        ("ctl", ["cinder-backup"], "glance-api, cinder-volume"),
    ],
)
def test_a_restart_of_an_unknown_unit_is_never_dropped(host, units, known):
    seen = facts(ctl=[], n1=[])
    with pytest.raises(BadInput) as caught:
        restarts.plan(site(), seen, [change(host, *units)])
    assert str(caught.value) == (
        f"{host}: expected a restart of one of its units ({known}), found {units[-1]}"
    )


def test_a_platforms_own_units_are_restarted():
    seen = facts(ctl=[], n1=["openstack-nova-compute"])
    units = {"units": {**DEBIAN["units"], "nova-compute": "openstack-nova-compute"}}
    it = sites.check({"name": "test", "hosts": HOSTS}, "site.toml", [{**DEBIAN, **units}])
    (found,) = restarts.plan(it, seen)
    assert (found.host, found.args["units"]) == ("n1", ["openstack-nova-compute"])


def test_a_host_that_was_not_asked_is_not_restarted():
    seen = Facts({"n1": {"pending_restarts": []}, "n2": {}})
    changes = [change(host, "nova-compute") for host in ("n1", "n2", "ctl")]
    assert planned(lambda r, s: r.plan(s, seen, changes)) == [("n1", ["nova-compute"], 2)]


def test_one_host_of_all_roles_restarts_control_services_first():
    seen = facts(one=["nova-compute", "cinder-volume", "glance-api"])
    assert planned(lambda r, s: r.plan(s, seen), hosts=ALL_IN_ONE) == [
        ("one", ["glance-api", "cinder-volume"], 1),
        ("one", ["nova-compute"], 2),
    ]


def test_all_restarts_every_unit_of_the_roles_and_no_other():
    seen = facts(ctl=[], n1=[], n2=["glance-api"])
    assert planned(lambda r, s: r.plan(s, seen), restarts.every) == [
        ("ctl", ["glance-api", "cinder-volume"], 1),
        ("n1", ["nova-compute"], 2),
        ("n2", ["nova-compute"], 2),
    ]


def test_a_restart_is_a_step_of_the_agent():
    (found,) = restarts.plan(site(), facts(n1=["nova-compute"]))
    assert (found.verb, found.sign, found.thing) == ("restart", "!", "nova-compute")


@pytest.mark.parametrize(
    "host, asked",
    [("ceph01", []), ("ctl", ["pending_restarts"]), ("n1", ["pending_restarts", "argv"])],
)
def test_hosts_with_services_are_asked_what_they_owe(host, asked):
    assert [r.verb for r in restarts.reads(site(), site().host(host))] == asked
