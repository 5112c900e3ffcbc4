"""A compute that could not be read takes its own changes out of the plan, and no others'."""

from types import SimpleNamespace

import pytest

from fabfile.core import site_file
from fabfile.core.contract import BadInput, Facts, Host, Read, Unreachable
from fabfile.flow import gather
from fabfile.flow.converge import Converger
from fabfile.model import releases
from fabfile.model.releases import Other
from fabfile.resources import chain, secret_uuid

from .states import (
    DEBIAN,
    EPHEMERAL,
    OTHER,
    VIRSH_READS_FILES,
    cluster,
    conf,
    connected,
    secret,
    site,
    sources,
    user,
)

A_DEBIAN = {"os": "debian", "like": [], "name": "Debian 12", "hostname": "h"}
CLIENTS = ("images", "volumes", "vms")
ANSWERS = {
    "host": A_DEBIAN,
    "kolla": {"/etc/kolla": False},
    "packages": {
        **dict.fromkeys((*DEBIAN["packages"]["client"], *DEBIAN["packages"]["nova-compute"])),
        "nova-common": "2:26.2.2-1",
    },
    "sudoers": None,
    "ceph.folder": None,
    "ceph.conf": None,
    "keyring.images": None,
    "keyring.volumes": None,
    "keyring.vms": None,
    **{f"{kind}.{client}": {} for kind in ("keyrings", "keyfiles") for client in CLIENTS},
    "libvirt.secrets": {},
    "virsh.secret-set-value": VIRSH_READS_FILES,
    "pending_restarts": ["nova-compute"],
    "guests": {"code": 0, "out": "", "err": ""},
    "cinder.head": None,
    "glance.sources": sources("glance"),
    "cinder.sources": sources("cinder"),
    "nova.sources": sources("nova"),
    "glance.conf": conf(),
    "cinder.conf": conf(),
    "nova.conf": conf(),
    "nova.disks": {},
}
V2 = connected(required="mimic")
SITES = [{}, EPHEMERAL, {"sudoers": {"user": "op"}}]


def facts(site, left_out=(), **more):
    """Of hosts on which nothing is done yet; left_out: hosts that were not read."""
    hosts = {"ceph01": {**cluster(users=[user("volumes")]), **V2, "sudoers": None}}
    for host in site.all_hosts():
        asked = {r.id for stage in chain.RESOURCES for r in stage.reads(site, host)}
        hosts.setdefault(host.name, {name: ANSWERS[name] for name in asked & set(ANSWERS)})
    hosts = {name: {**seen, **more.get(name, {})} for name, seen in hosts.items()}
    seen = Facts({name: hosts[name] for name in hosts if name not in left_out})
    table = releases.choose(site, seen, site_file.releases()).table
    return Facts(seen.hosts, secret_uuid.resolve(site, seen), table)


def planned(site, seen, failed=None):
    return plan_of(site, seen, failed)


def plan_of(site, seen, failed=None, other=None):
    run = SimpleNamespace(
        site=site, failed=failed or {}, _may_touch=lambda change: True, _other_release=other
    )
    return Converger.plan(run, chain.RESOURCES, seen)


def test_a_plan_says_first_that_the_release_is_another_one():
    plan = plan_of(site(), facts(site()), other=Other("newer", "Nova 35 is newer"))
    assert plan.notes[0] == "Nova 35 is newer"


@pytest.mark.parametrize("more", SITES)
@pytest.mark.parametrize("left_out", [["n2"], ["n1", "n2"]])
def test_nothing_else_is_planned_otherwise(more, left_out):
    here = site(**more)
    whole, rest = (planned(here, facts(here, out)) for out in ((), left_out))
    assert {change.host for change in whole.changes} == {"ceph01", "ctl", "n1", "n2"}
    assert list(rest.changes) == [c for c in whole.changes if c.host not in left_out]


WAYLESS = ("install", "enable", "no_folder")
"""Verbs whose steps keep no way back."""


@pytest.mark.parametrize("more", SITES)
def test_what_nothing_takes_back_says_why_it_stays(more):
    here = site(**more)
    missing = {name: {"packages": dict.fromkeys(ANSWERS["packages"])} for name in ("ctl", "n1")}
    changes = planned(here, facts(here, **missing)).changes
    without = [
        change
        for change in changes
        if change.verb in WAYLESS or (change.verb == "run" and not change.args.get("undo"))
    ]
    assert {change.kind for change in without} >= {"pool", "packages"}
    assert [change.thing for change in without if not change.stays] == []


def test_that_a_uuid_there_was_not_seen_is_noted():
    here, failed = site(), {"n2": Unreachable("n2: x")}
    (note,) = planned(here, facts(here, ["n2"]), failed).notes
    assert note.startswith("clients.volumes: no host that was read uses a secret UUID")
    in_use = facts(here, ["n2"], n1={"libvirt.secrets": secret(OTHER)})
    assert planned(here, in_use, failed).notes == ()
    assert planned(here, facts(here)).notes == ()


@pytest.mark.parametrize(
    "left_out, told",
    [
        ([], []),
        (["n2"], ["volumes", "vms"]),
        (["n1", "n2"], ["volumes"]),  # no host that is read has Nova's own
    ],
)
def test_a_limited_run_says_whose_uuid_computes_that_are_not_in_it_may_have(left_out, told):
    here = site(**EPHEMERAL)
    notes = planned(here, facts(here, left_out)).notes
    assert [note.partition(":")[0] for note in notes] == [f"clients.{name}" for name in told]


def test_a_compute_with_a_uuid_of_its_own_stops_a_run_on_all_as_the_note_of_the_limited_one_said():
    here = site(**EPHEMERAL)

    def of_nova(uuid):
        at = {"images_type": "rbd", "images_rbd_pool": "vms", "rbd_user": "vms"}
        lines = [("libvirt", key, value) for key, value in (at | {"rbd_secret_uuid": uuid}).items()]
        return {"nova.conf": conf(*lines), "libvirt.secrets": secret(uuid, "client.vms secret")}

    theirs = {"n2": of_nova(OTHER)}
    limited = facts(here, ["n2"], **theirs)
    assert "set clients.vms.secret_uuid to that first" in planned(here, limited).notes[-1]
    with pytest.raises(BadInput, match="several secret UUIDs are in use"):
        facts(here, n1=of_nova(limited.known["uuid.vms"]), **theirs)
    vms = {**EPHEMERAL["clients"]["vms"], "secret_uuid": OTHER}
    followed = site(**{**EPHEMERAL, "clients": {**EPHEMERAL["clients"], "vms": vms}})
    for left_out in (["n2"], []):
        assert facts(followed, left_out, **theirs).known["uuid.vms"] == OTHER


def test_a_uuid_that_is_set_needs_no_note():
    clients = {"volumes": {"rwx": ["volumes"], "secret_uuid": OTHER}, "images": {"rwx": ["images"]}}
    here = site(clients=clients)
    assert planned(here, facts(here, ["n2"]), {"n2": Unreachable("n2: x")}).notes == ()


def test_without_any_host_of_a_release_there_is_nothing_to_set():
    here = site(hosts={"ceph01": {"roles": ["ceph"]}, "n1": {"roles": ["compute"]}})
    seen = Facts({"ceph01": {**cluster(), **V2}}, {"uuid.volumes": OTHER})
    assert {change.host for change in planned(here, seen).changes} == {"ceph01"}


def test_a_host_that_says_too_little_is_none_that_has_nothing():
    asked = {Host("n1", ()): [Read("a", "pending_restarts"), Read("b", "pending_restarts")]}
    answers = gather.FactCollector(asked)
    answers.on_message("n1", {"t": "read", "id": "a", "value": []})
    assert {host: str(why) for host, why in answers.missing().items()} == {
        "n1": "n1: left b without an answer"
    }
    answers.on_message("n1", {"t": "read", "id": "b", "value": []})
    assert answers.missing() == answers.faults() == {}


def test_who_could_not_look_is_named_with_every_reason():
    asked = {
        Host(name, ()): [Read("a", "pending_restarts"), Read("b", "pending_restarts")]
        for name in ("n1", "n2")
    }
    answers = gather.FactCollector(asked)
    answers.on_message("n1", {"t": "read", "id": "a", "error": "a: no"})
    answers.on_message("n1", {"t": "read", "id": "b", "value": "x"})
    answers.on_message("n2", {"t": "busy", "who": "run x"})
    said = {host: (fault.code, str(fault)) for host, fault in answers.faults().items()}
    assert said == {
        "n1": (
            1,
            "n1: could not look: a: no\nb: answers something else than was asked: "
            "expected a list, found 'x'",
        ),
        "n2": (5, "n2: run x is at work there"),
    }
