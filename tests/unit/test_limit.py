"""Which hosts a run is about, and which are not fit for it."""

import pytest

from fabfile.core import journal
from fabfile.core.contract import BadInput, Unreachable
from fabfile.flow import limit as limits

from .states import site


@pytest.mark.parametrize(
    "limit, expected",
    [
        ("", {"ceph01", "ctl", "n1", "n2"}),
        ("n1", {"n1"}),
        ("n*", {"n1", "n2"}),
        ("compute", {"n1", "n2"}),
        ("compute,ctl", {"n1", "n2", "ctl"}),
        ("compute, !n2", {"n1"}),
        ("!compute", {"ceph01", "ctl"}),
        ("!n1", {"ceph01", "ctl", "n2"}),
        ("glance", {"ctl"}),
    ],
)
def test_names_globs_roles_and_what_is_taken_away(limit, expected):
    assert limits.limited(site(), limit) == expected


@pytest.mark.parametrize(
    "limit, said",
    [
        ("nobody", "'nobody' is no host or role; hosts are ceph01, ctl, n1, n2"),
        ("cthl", "did you mean 'ctl'"),
        ("n1,!n1", "leaves no host"),
        ("!*", "leaves no host"),
        (",", "leaves no host"),
        ("n1;n2", "is no host or role"),
    ],
)
def test_what_fits_nothing_is_bad_input(limit, said):
    with pytest.raises(BadInput, match=said):
        limits.limited(site(), limit)


def recorded(monkeypatch, *runs):
    """Runs as the journal has them, newest first: (site, the last event)."""
    found = [
        (f"run{n}", [{"event": "run", "site": name}, last]) for n, (name, last) in enumerate(runs)
    ]
    monkeypatch.setattr(journal, "runs", lambda: iter(found))


@pytest.mark.parametrize(
    "limit, expected",
    [
        ("@failed", {"n1", "n2"}),
        ("@failed, !n2", {"n1"}),
        ("ctl,@failed", {"ctl", "n1", "n2"}),
        ("!@failed", {"ceph01", "ctl"}),
    ],
)
def test_the_last_run_that_says_how_hosts_fared_names_the_failed(monkeypatch, limit, expected):
    recorded(
        monkeypatch,
        ("other", {"event": "ended", "failed": {"ctl": "x"}}),
        ("test", {"event": "done", "host": "n1"}),  # was killed
        ("test", {"event": "ended", "failed": {"n2": "x", "n1": "y", "sold": "z"}}),
        ("test", {"event": "ended", "failed": {"ceph01": "x"}}),
    )
    assert limits.limited(site(), limits.resolved(site(), limit)) == expected


@pytest.mark.parametrize(
    "runs, said",
    [
        ([], "expected a run on site 'test'"),
        ([("other", {"event": "ended", "failed": {"n1": "x"}})], "expected a run on site 'test'"),
        ([("test", {"event": "ended", "code": 0})], "expected a run on site 'test'"),
        ([("test", {"event": "ended", "failed": {}})], "run0, the last here, left no host"),
    ],
)
def test_nobody_is_known_to_have_failed(monkeypatch, runs, said):
    recorded(monkeypatch, *runs)
    with pytest.raises(BadInput, match=said):
        limits.resolved(site(), "@failed")


@pytest.mark.parametrize("limit", ["", "n1", "compute,!n2", ","])
def test_other_limits_need_no_journal(monkeypatch, limit):
    monkeypatch.setattr(journal, "runs", None)
    assert limits.resolved(site(), limit) == limit


def host(machine, boot="b", **more):
    return {"host": {"machine_id": machine, "boot_id": boot, **more}}


def test_one_machine_under_two_names_is_refused():
    with pytest.raises(BadInput, match="n1 and n2 are one machine"):
        limits.refuse_one_host_under_two_names({"n1": host("a"), "n2": host("a")})


@pytest.mark.parametrize(
    "answers",
    [
        {"n1": host("a"), "n2": host("b")},
        {"n1": host("a", "x"), "n2": host("a", "y")},  # two machines of one image
        {"n1": host(""), "n2": host("")},
        {"n1": {}, "n2": host("a")},
    ],
)
def test_machines_that_are_two_are_not(answers):
    limits.refuse_one_host_under_two_names(answers)


def test_a_sudo_that_keeps_its_input_is_refused_for_all_hosts_at_once():
    answers = {n: host("a", sudo_keeps=["log_input"] * (n != "n2")) for n in ("n1", "n2", "n3")}
    with pytest.raises(Unreachable, match="^n1, n3: sudo keeps what passes through it"):
        limits.refuse_where_input_is_kept(answers)
    limits.refuse_where_input_is_kept({"n2": answers["n2"], "cloud": {}})


NAMES = [f"n{number}" for number in range(200)]


@pytest.mark.parametrize(
    "word, expected", [("", 200), ("3", 3), ("5%", 10), ("1%", 2), ("500", 200), ("100%", 200)]
)
def test_a_sample_has_so_many_in_their_order(word, expected):
    found = limits.sampled(NAMES, word, "run-1")
    assert len(found) == expected
    assert found == [name for name in NAMES if name in found]


def test_a_sample_is_another_in_another_run_and_at_least_one():
    assert limits.sampled(NAMES, "9", "a") == limits.sampled(NAMES, "9", "a")
    assert limits.sampled(NAMES, "9", "a") != limits.sampled(NAMES, "9", "b")
    assert len(limits.sampled(NAMES[:3], "1%", "a")) == 1
    assert limits.sampled([], "1", "a") == []


@pytest.mark.parametrize("word", ["0", "0%", "-1", "x", "101%", "1,2"])
def test_what_is_no_sample_is_bad_input(word):
    with pytest.raises(BadInput, match="--sample: expected N, or N%"):
        limits.sampled(NAMES, word, "a")
