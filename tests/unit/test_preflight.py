"""hosts.check: each host in its words, hosts alike in one line, and what to do then."""

import pytest

from fabfile.core.contract import Unreachable
from fabfile.flow.inspect import preflight
from fabfile.flow.terminal.screen import Screen

MANY = [f"n{n}" for n in range(1000)]


def deaf(host):
    return Unreachable(f"{host}: 10.0.0.1:22 does not answer within 10 s")


@pytest.mark.parametrize(
    "found, said, fault",
    [
        ({"n1": [], "n2": []}, ["n1: ready", "n2: ready"], ""),
        ({"n1": ["python3"], "n2": []}, ["n1: lacks python3", "n2: ready"], "a host of 2 cannot"),
        (
            {"n1": deaf("n1")},
            ["n1: not reached: 10.0.0.1:22 does not answer within 10 s"],
            "a host of 1 cannot",
        ),
        (
            {name: deaf(name) for name in MANY},
            [
                "1000 hosts: not reached: it does not answer within 10 s: n0, n1, n2, n3, n4, n5, "
                "n6, n7 and 992 more"
            ],
            "1000 hosts of 1000 cannot be worked on, as said above.*hosts.check again$",
        ),
        (dict.fromkeys(MANY[:4], []), ["4 hosts: ready: n0, n1, n2, n3"], ""),
    ],
    ids=["two", "one lacks", "one is deaf", "all are deaf", "four"],
)
def test_each_host_is_told_once(found, said, fault, capsys):
    if fault:
        with pytest.raises(Unreachable, match=fault):
            preflight.report(Screen(False), found)
    else:
        assert preflight.report(Screen(False), found) == 0
    assert capsys.readouterr().out.splitlines() == said


def test_an_error_of_ours_is_no_hosts():
    with pytest.raises(KeyError):
        preflight.report(Screen(False), {"n1": KeyError("x")})
