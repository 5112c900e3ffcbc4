"""So many hosts at a time, so many that may fail: by the flags, else by the site file."""

import pytest

from fabfile.core.contract import BadInput
from fabfile.flow import rollout

from .states import site

BOTH = {"roles": ["ceph", "compute"]}
FLEET = {
    "ceph01": {"roles": ["ceph"]},
    "ctl": {"roles": ["glance"]},
    "both": BOTH,
    **{f"n{number}": {"roles": ["compute"]} for number in range(1, 10)},
}


def paced(serial="", max_fail="", forks="", limited=FLEET, **more):
    return rollout.of(site(hosts=FLEET, **more), limited, forks, serial, max_fail)


@pytest.mark.parametrize(
    "serial, hosts, expected",
    [
        ("1", 3, [1, 1, 1]),
        ("2", 5, [2, 2, 1]),
        ("9", 3, [3]),
        ("100%", 7, [7]),
        ("50%", 7, [3, 3, 1]),
        ("1%", 3, [1, 1, 1]),  # at least one
        ("1,100%", 10, [1, 9]),
        ("1,10%,50%", 20, [1, 2, 10, 7]),
        ("1, 3", 8, [1, 3, 3, 1]),
        ("5,1", 3, [3]),
        ("1", 0, []),
    ],
)
def test_a_batchs_size_is_its_word_and_the_last_one_repeats(serial, hosts, expected):
    assert rollout.sizes(serial, hosts) == expected


@pytest.mark.parametrize(
    "serial, gated, expected",
    [("", False, [12]), ("", True, [1, 1, 6, 4]), ("5", True, [5, 5, 2])],
)
def test_a_gate_has_batches_to_stand_between(serial, gated, expected):
    hosts = {
        "ceph01": {"roles": ["ceph"]},
        **{f"n{number}": {"roles": ["compute"]} for number in range(12)},
    }
    found = rollout.of(site(hosts=hosts), hosts, "", serial, "", gated)
    assert [len(batch) for batch in found.batches({h: 1 for h in hosts if h != "ceph01"})] == (
        expected
    )


@pytest.mark.parametrize("serial", ["0", "0%", "-1", "x", "1,", ",", "1;2", "101%", "1.5", "%"])
def test_what_is_no_batch_is_bad_input_before_anything_is_read(serial):
    with pytest.raises(BadInput, match="--serial: expected N or N%.*found"):
        paced(serial)


@pytest.mark.parametrize(
    "serial, wave, expected",
    [
        ("", ["n1", "n2", "ctl"], [["n1", "n2", "ctl"]]),
        ("1", [], []),
        ("", [], []),
        ("1", ["ceph01", "ctl"], [["ceph01", "ctl"]]),
        ("1", ["n1", "n2"], [["n1"], ["n2"]]),
        ("2", ["n3", "n1", "n2"], [["n3", "n1"], ["n2"]]),
        ("1", ["n1", "ctl", "both"], [["ctl"], ["n1"], ["both"]]),
        ("1,100%", ["n1", "n2", "n3", "n4"], [["n1"], ["n2", "n3", "n4"]]),
    ],
)
def test_the_others_of_a_wave_come_first_and_its_computes_in_batches(serial, wave, expected):
    found = paced(serial).batches({host: f"work of {host}" for host in wave})
    assert [list(batch) for batch in found] == expected
    assert all(work == f"work of {host}" for batch in found for host, work in batch.items())


@pytest.mark.parametrize(
    "max_fail, failed, goes_on",
    [
        ("", [], True),
        ("", ["n1"], False),
        ("1", ["n1"], True),
        ("1", ["n1", "n2"], False),
        ("9%", ["n1"], False),  # of ten, less than one
        ("10%", ["n1"], True),
        ("19%", ["n1", "n2"], False),
        ("100%", [f"n{number}" for number in range(1, 10)], True),
        ("100%", ["n1", "ctl"], False),
        ("100%", ["ceph01"], False),
        ("100%", ["both"], False),
    ],
)
def test_so_many_computes_may_fail_and_no_other_host(max_fail, failed, goes_on):
    assert paced(max_fail=max_fail).tolerates(failed) is goes_on


def test_a_share_is_of_the_computes_that_the_run_is_about():
    assert paced(max_fail="50%", limited={"n1", "n2", "ctl"}).allowed == 1
    assert paced(max_fail="50%").allowed == 5


@pytest.mark.parametrize("max_fail", ["x", "-1", "101%", "1,2", "%"])
def test_what_is_no_share_is_bad_input(max_fail):
    with pytest.raises(BadInput, match="--max-fail: expected N.*found"):
        paced(max_fail=max_fail)


@pytest.mark.parametrize("forks", ["0", "257", "x", "-1", "99999"])
def test_forks_have_their_bounds(forks):
    with pytest.raises(BadInput, match="--forks: expected 1 to 256, found"):
        paced(forks=forks)


def test_a_flag_wins_over_the_site_file():
    said = {"ssh": {"forks": 3}, "rollout": {"serial": 2, "max_fail": "20%"}}
    ours, given = paced(**said), paced("1", "0", "7", **said)
    assert (ours.forks, ours.serial, ours.allowed) == (3, "2", 2)
    assert (given.forks, given.serial, given.allowed) == (7, "1", 0)
