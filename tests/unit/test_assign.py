"""Which hosts go to which worker, when a host is over, and what is left of a host's steps."""

import pytest

from fabfile.core.contract import Change
from fabfile.flow.executor import still_to_do
from fabfile.workers.assign import Awaited, shared_out

HOSTS = ["n1", "n2", "n3", "n4"]
TWO = {"a": "east-1", "b": "west-1"}


@pytest.mark.parametrize(
    "workers, at, near, expected",
    [
        (TWO, {}, {}, {"a": ["n1", "n3"], "b": ["n2", "n4"]}),
        ({"a": "x"}, {}, {}, {"a": HOSTS}),
        ({}, {}, {}, {}),
        (TWO, {"n1": "b", "n3": "b"}, {}, {"b": ["n1", "n3"], "a": ["n2", "n4"]}),
        # The worker where they were is gone.
        ({"b": "x"}, {"n1": "a", "n2": "b"}, {}, {"b": HOSTS}),
        (TWO, {}, {"n[12]": "west-*"}, {"b": ["n1", "n2"], "a": ["n3", "n4"]}),
        (TWO, {}, {"n1": "east-1", "*": "west-*"}, {"a": ["n1"], "b": ["n2", "n3", "n4"]}),
        # Nobody is near: all count.
        (TWO, {}, {"*": "north-*"}, {"a": ["n1", "n3"], "b": ["n2", "n4"]}),
    ],
)
def test_hosts_are_shared_out(workers, at, near, expected):
    assert shared_out(HOSTS, workers, at, near) == expected


def read(name):
    return {"t": "read", "id": name, "value": 1}


def test_what_a_host_reads_is_passed_on_whole_or_not_at_all():
    awaited = Awaited({"n1": {"reads": [{"id": "a"}, {"id": "b"}]}, "n2": {"reads": [{"id": "a"}]}})
    assert awaited.on_message("n1", read("a")) == []
    assert awaited.left() == {"n1", "n2"}
    assert awaited.on_message("n1", read("b")) == [read("a"), read("b")]
    assert awaited.left() == {"n2"} and awaited.kept("n1") == []


def test_a_host_that_answers_in_part_has_that_kept():
    awaited = Awaited({"n1": {"reads": [{"id": "a"}, {"id": "b"}]}})
    awaited.on_message("n1", read("a"))
    assert awaited.kept("n1") == [read("a")] and awaited.left() == {"n1"}


def test_steps_are_passed_on_at_once_and_the_reads_after_them_end_it():
    awaited = Awaited({"n1": {"steps": [{"id": 4}, {"id": 9}], "then": [{"id": "a"}]}})
    said = [{"t": what, "step": step} for step in (4, 9) for what in ("begin", "done")]
    for message in said:
        assert awaited.on_message("n1", message) == [message]
    assert awaited.left() == {"n1"}
    assert awaited.on_message("n1", read("a")) == [read("a")]
    assert awaited.left() == set()


def test_who_was_asked_nothing_is_over():
    assert Awaited({"n1": {"steps": [], "then": []}}).left() == set()
    busy = {"t": "busy", "who": "x"}
    assert Awaited({"n1": {}}).on_message("n1", busy) == [busy]


def change(thing, sentence="s"):
    return Change("n1", thing, sentence, "+", "run", {"argv": ["x"]}, 2)


CONF, NOVA, RESTART = change("conf"), change("nova"), change("unit")
PLANNED = [(3, CONF), (4, NOVA), (5, RESTART)]


@pytest.mark.parametrize(
    "done, now, left, odd",
    [
        ((), [CONF, NOVA, RESTART], PLANNED, []),
        ({3}, [NOVA, RESTART], PLANNED[1:], []),
        # Done, although the host has no word of its end.
        ({3}, [RESTART], PLANNED[2:], []),
        ({3, 4, 5}, [], [], []),
        # Planned at each look, whatever was done: a restart of everything.
        ({3, 4, 5}, [RESTART], [], []),
        # Another's work since, and what nobody was shown.
        ({3}, [change("nova", "other"), RESTART], PLANNED[2:], [NOVA]),
        ({3, 4, 5}, [change("else")], [], []),
    ],
)
def test_what_is_still_to_be_done(done, now, left, odd):
    assert still_to_do(PLANNED, done, now) == (left, odd)
