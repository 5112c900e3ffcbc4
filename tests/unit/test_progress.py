"""How far hosts have come: what is heard and what time it is in, lines out."""

import pytest

from fabfile.flow.terminal.progress import MANY, Progress


def progress(hosts=4, wanted=2, heard=(), began=100.0):
    """heard: (seconds after the beginning, host, kind, text)."""
    made = Progress("done", {f"n{number}": wanted for number in range(1, hosts + 1)}, began)
    for after, host, kind, *text in heard:
        made.on_progress(host, kind, *(text or [""]), began + after)
    return made


ONE_DONE = [(1, "n1", "done"), (2, "n1", "done")]


@pytest.mark.parametrize(
    "heard, after, expected",
    [
        ([], 1, "done: 0 of 4 hosts in 1 s"),
        ([], 5, "done: 0 of 4 hosts in 5 s, no word for 5 s"),
        (ONE_DONE, 2, "done: 1 of 4 hosts in 2 s, 30 a minute, about 6 s left"),
        (ONE_DONE, 10, "done: 1 of 4 hosts in 10 s, no word for 8 s"),
        (
            [(0, "n1", "failed", "no")],
            0.5,
            "done: 1 of 4 hosts in 0 s, 1 failed, 2.0 a second, about 1 s left",
        ),
        (
            [(1, f"n{n}", "failed", "no") for n in range(1, 5)],
            9,
            "done: 4 of 4 hosts in 9 s, 4 failed",
        ),
        ([(1, "n9", "done")], 1, "done: 0 of 4 hosts in 1 s"),  # none of ours
        (ONE_DONE, 3600, "done: 1 of 4 hosts in 60 min 0 s, no word for 59 min 58 s"),
    ],
)
def test_the_whole_in_a_line(heard, after, expected):
    assert progress(heard=heard).total(100.0 + after) == expected


@pytest.mark.parametrize(
    "heard, after, most, expected",
    [
        ([], 1, 9, []),
        (
            [],
            4,
            9,
            [
                "n1   4 s  no answer yet",
                "n2   4 s  no answer yet",
                "n3   4 s  no answer yet",
                "n4   4 s  no answer yet",
            ],
        ),
        ([], 4, 3, []),  # too many to be named
        (
            [(1, "n2", "begin", "a"), (2, "n1", "begin", "b")],
            2,
            9,
            ["n2   1 s  0 of 2  a", "n1   0 s  0 of 2  b"],
        ),  # the slowest first
        (
            [(1, "n2", "begin", "a"), (2, "n3", "failed", "no")],
            2,
            9,
            ["n3 FAILED no", "n2   1 s  0 of 2  a"],
        ),
        ([(1, "n2", "unknown")], 2, 9, ["n2 UNKNOWN"]),
        (ONE_DONE, 2, 9, []),
        (
            [(1, f"n{n}", "failed", "no") for n in range(1, 4)] + [(1, "n4", "begin", "a")],
            2,
            4,
            ["n2 FAILED no", "n3 FAILED no", "n4   1 s  0 of 2  a"],
        ),  # room for those at work
    ],
)
def test_the_failed_and_the_slow_are_on_top(heard, after, most, expected):
    rows = progress(heard=heard).rows(most, 100.0 + after)
    assert [f"{row.host} {row.text}" for row in rows] == expected
    assert [row.failed for row in rows] == ["ED" in row or "KNOWN" in row for row in expected]


@pytest.mark.parametrize("room", [1, 3, 12])
def test_there_are_never_more_rows_than_room(room):
    heard = [(1, f"n{n}", "failed" if n % 2 else "begin", "x") for n in range(1, 200)]
    assert len(progress(1000, heard=heard).rows(room, 102.0)) == room


def test_a_log_of_an_hour_has_some_thirty_lines():
    made = progress(1000)
    assert sum(made.due(100.0 + second) for second in range(3600)) in range(20, 35)
    assert not progress().due(101.0)


def test_a_log_names_who_keeps_all_waiting():
    heard = [(n / 10, f"n{n}", "done") for n in range(1, 999)]
    made = progress(1000, wanted=1, heard=heard)
    assert made.line(100.0 + 99.9).endswith(" a second, about 0 s left")
    assert made.line(100.0 + 110).endswith("no word for 10 s from n999, n1000")


def test_work_that_has_ended_has_no_time_left_and_no_further_line():
    assert progress(heard=ONE_DONE).total(102.0, over=True) == "done: 1 of 4 hosts in 2 s"
    assert not progress(1, heard=ONE_DONE).due(200.0)


@pytest.mark.parametrize("hosts, many", [(1, False), (MANY, False), (MANY + 1, True)])
def test_many_are_more_than_a_screen_bears(hosts, many):
    assert progress(hosts).many is many


@pytest.mark.parametrize(
    "hosts, over, said",
    [
        (["n1", "n2", "cloud"], ["n1"], "done: 1 of 2 hosts and the cloud's API in "),
        (
            ["n1", "n2", "cloud"],
            ["n1", "n2", "cloud"],
            "done: 2 of 2 hosts and the cloud's API in ",
        ),
        (["cloud"], ["cloud"], "done: the cloud's API in "),
        (["n1"], [], "done: 0 of 1 host in "),
    ],
)
def test_the_clouds_api_is_told_apart(hosts, over, said):
    progress = Progress("done", dict.fromkeys(hosts, 1), 0.0)
    for host in over:
        progress.on_progress(host, "done", "", 1.0)
    assert progress.total(2.0, over=True).startswith(said)
