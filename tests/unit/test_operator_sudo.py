"""The operator's sudoers file: said plainly, checked before it counts."""

import pytest

from fabfile.core.contract import Facts
from fabfile.resources import operator_sudo

from .states import DIGEST, HOSTS, file, site

SAID = "# stackrbd: this operator may run EVERYTHING as root without a password.\n"
TEXT = SAID + "operator ALL=(root) NOPASSWD: ALL\n"


def plan(seen, host="n1", **sudoers):
    table = {"user": "operator", **sudoers}
    return operator_sudo.plan(site(sudoers=table), Facts({host: {"sudoers": seen}}))


@pytest.mark.parametrize(
    "sudoers, line",
    [
        ({}, "operator ALL=(root) NOPASSWD: ALL"),
        ({"user": "jane.doe"}, "jane.doe ALL=(root) NOPASSWD: ALL"),
        (
            {"until": "20301231235959Z"},
            "operator ALL=(root) NOTAFTER=20301231235959Z NOPASSWD: ALL",
        ),
    ],
)
def test_what_is_granted(sudoers, line):
    (change,) = plan(None, **sudoers)
    assert change.args["content"] == [f"{SAID}{line}\n"]
    assert change.diff == ("+ " + SAID.rstrip(), "+ " + line)


def test_a_missing_file_is_written_for_root_and_checked_by_visudo():
    (change,) = plan(None)
    path = "/etc/sudoers.d/90-stackrbd-operator"
    assert (change.host, change.thing, change.verb, change.sign) == ("n1", path, "write", "+")
    assert change.args == {
        "path": path,
        "content": [TEXT],
        "mode": "0440",
        "owner": "root",
        "group": "root",
        "before": None,
        "check": ["visudo", "-cf", "{}"],
    }
    assert change.sentence == "operator may run ALL as root without a password"


@pytest.mark.parametrize(
    "seen, right",
    [
        (file(TEXT, mode="0440"), True),
        (file(TEXT, "operator", "0440"), False),
        (file(TEXT, "root", "0440", "operator"), False),
        (file(TEXT, mode="0640"), False),
        (file(TEXT, mode="0444"), False),
        (file(TEXT + "mallory ALL=(root) NOPASSWD: ALL\n", mode="0440"), False),
        (file(TEXT.replace("operator ALL", "operator2 ALL"), mode="0440"), False),
        (file("", mode="0440"), False),
    ],
)
def test_the_file_is_that_and_nothing_else(seen, right):
    changes = plan(seen)
    assert [(c.sign, c.args["before"]) for c in changes] == ([] if right else [("~", DIGEST)])


def test_a_term_that_changes_is_written():
    assert len(plan(file(TEXT, mode="0440"), until="20301231235959Z")) == 1


def test_sudo_skips_names_with_a_dot():
    assert "." not in plan(None, user="jane.doe.x")[0].args["path"].rsplit("/", 1)[1]


@pytest.mark.parametrize(
    "roles, wave",
    [(["ceph"], 0), (["ceph", "compute"], 0), (["compute", "glance"], 2), (["glance"], 1)],
)
def test_the_wave_of_a_host(roles, wave):
    found = site(hosts={**HOSTS, "h": {"roles": roles}}, sudoers={"user": "operator"})
    (change,) = operator_sudo.plan(found, Facts({"h": {"sudoers": None}}))
    assert change.wave == wave


def test_nothing_is_read_or_granted_unless_it_is_asked_for():
    assert operator_sudo.plan(site(), Facts({"n1": {}})) == []
    assert operator_sudo.reads(site(), site().host("n1")) == []
    (read,) = operator_sudo.reads(site(sudoers={"user": "op"}), site().host("n1"))
    assert read.args == {"path": operator_sudo.path_of("op"), "text": True}
