"""The secret in each compute's libvirt: what is defined, and how its value travels."""

import xml.etree.ElementTree as ET

import pytest

from fabfile.core.contract import BadInput, Facts, Failed, Ref
from fabfile.resources import libvirt_secret

from .states import EPHEMERAL, FSID, KEY, OTHER, THIRD, cluster, secret, site, user

NEW_KEY = "sha256:" + "b" * 64


VOLUMES = (user("volumes"),)


def plan(n1, users=VOLUMES, known=None, **more):
    hosts = {"ceph01": cluster(users=users), "n1": {"libvirt.secrets": n1}}
    known = known or {"uuid.volumes": FSID}
    return libvirt_secret.plan(site(**more), Facts(hosts, known))


def defined(change):
    """(uuid, usage type, name, ephemeral, private) of the XML that is sent."""
    assert change.args["argv"] == ["virsh", "-q", "secret-define", "/dev/stdin"]
    root = ET.fromstring("".join(change.args["stdin"]))  # noqa: S314 (our own)
    usage = root.find("usage")
    return (
        root.findtext("uuid"),
        usage.get("type"),
        usage.findtext("name"),
        root.get("ephemeral"),
        root.get("private"),
    )


def test_a_missing_secret_is_defined_and_then_filled():
    define, fill = plan({})
    assert defined(define) == (FSID, "ceph", "client.volumes secret", "no", "no")
    assert fill.args["argv"][2:5] == ["secret-set-value", "--secret", FSID]
    assert [(c.host, c.verb, c.sign, c.wave) for c in (define, fill)] == [("n1", "run", "+", 2)] * 2
    assert fill.diff == ("- value (none)", f"+ value {KEY}")


def test_the_key_goes_by_standard_input_and_never_by_an_argument():
    fill = plan({})[1]
    assert fill.args["stdin"] == [Ref("key:client.volumes")]
    assert fill.args["argv"][-2:] == ["--file", "/dev/stdin"]
    assert fill.args["stdin"] == [Ref("key:client.volumes")]


@pytest.mark.parametrize("value", [KEY, KEY + "\n", f" {KEY} \n"])
def test_values_are_compared_without_the_newline_of_virsh(value):
    assert plan(secret(FSID, value=value)) == []


def test_a_changed_key_is_set_anew_under_the_same_uuid():
    (fill,) = plan(secret(FSID.upper()), users=[user("volumes", NEW_KEY)])
    assert (fill.sign, fill.args["argv"][4]) == ("~", FSID)
    assert fill.diff == (f"- value {KEY}", f"+ value {NEW_KEY}")


def test_a_key_that_the_run_makes_is_waited_for():
    (fill,) = plan(secret(FSID), users=[])
    assert fill.args["stdin"] == [Ref("key:client.volumes")]
    assert fill.diff[1] == "+ value (made during the run)"


@pytest.mark.parametrize(
    "there, name",
    [
        (secret(OTHER, name="somebody else's"), "client.volumes secret"),
        (secret(OTHER, name="client.volumes"), "client.volumes secret"),
        (secret(OTHER), f"client.volumes secret {FSID}"),
        ({**secret(OTHER), **secret(THIRD, "x")}, f"client.volumes secret {FSID}"),
    ],
)
def test_a_name_that_is_taken_gets_longer(there, name):
    assert defined(plan(there)[0])[2] == name


def test_a_secret_of_another_kind_is_no_hindrance():
    there = secret(OTHER)
    there[OTHER]["xml"]["out"] = (
        f"<secret ephemeral='no' private='yes'><uuid>{OTHER}</uuid>"
        "<usage type='volume'><volume>/a.img</volume></usage></secret>"
    )
    assert defined(plan(there)[0])[2] == "client.volumes secret"


def test_a_private_secret_is_named_with_its_host():
    with pytest.raises(BadInput, match=f"^n1: libvirt secret {FSID} is private"):
        plan(secret(FSID, private="yes", value=None))


def test_a_client_of_its_own_for_novas_disks_has_its_own_secret():
    users = [user("volumes"), user("vms", NEW_KEY)]
    known = {"uuid.volumes": FSID, "uuid.vms": OTHER}
    define, fill = plan(secret(FSID), users, known, **EPHEMERAL)
    assert defined(define)[:3] == (OTHER, "ceph", "client.vms secret")
    assert (fill.args["argv"][4], fill.args["stdin"]) == (OTHER, [Ref("key:client.vms")])
    there = {**secret(FSID), **secret(OTHER, "client.vms secret", NEW_KEY)}
    assert plan(there, users, known, **EPHEMERAL) == []


def test_only_computes_that_were_asked_are_planned():
    assert {c.host for c in plan({})} == {"n1"}


def test_what_is_no_xml_is_named():
    with pytest.raises(Failed, match="^virsh secret-dumpxml: expected a secret's XML, found ''"):
        libvirt_secret.usage_of("")
