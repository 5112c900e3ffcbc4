"""What is told of many hosts: once, with their number and names."""

import time

import pytest

from fabfile.core.contract import (
    Failed,
    Interrupted,
    Locked,
    NeedsPassword,
    Unknown,
    UnknownHostKey,
    Unreachable,
)
from fabfile.flow.terminal import outcomes

FOUR = ("n1", "n2", "n3", "n4")


@pytest.mark.parametrize(
    "text, same",
    [
        ("10.0.0.{}:22 does not answer within 10 s", "does not answer within 10 s"),
        ("{}:22 refuses user x: check the key", "refuses user x: check the key"),
        ("[fd00::{}]:22: no route", "no route"),
        ("fd00::{}:22 does not answer", "does not answer"),
        ("the host key of n{}:22 is not known", "the host key of it is not known"),
        ("it shows ssh-ed25519 SHA256:abc{}+/. Compare", "shows ssh-ed25519 it. Compare"),
        ("10.0.0.{} is not in known_hosts; it", "is not in known_hosts; it"),
        ("n{} says no", "says no"),
        ("sudo asks for a password", "sudo asks for a password"),
    ],
)
def test_what_is_each_hosts_own_does_not_keep_apart_what_is_alike(text, same):
    said = {host: text.format(host[1]) for host in FOUR}
    assert outcomes.told(said) == [f"4 hosts: {same}: n1, n2, n3, n4"]


def test_a_name_within_a_word_is_no_name():
    said = dict.fromkeys("abcd", "all is done and bad")
    assert outcomes.told(said) == ["4 hosts: all is done and bad: a, b, c, d"]


def test_a_few_have_a_line_each_with_all_that_was_said():
    said = {"n1": "10.0.0.1:22 is deaf", "n2": "10.0.0.2:22 is deaf", "n3": "it would not"}
    assert outcomes.told(said) == [f"{host}: {text}" for host, text in said.items()]


@pytest.mark.parametrize(
    "count, expected",
    [
        (1, "n0"),
        (10, "n0, n1, n2, n3, n4, n5, n6, n7, n8, n9"),
        (11, "n0, n1, n2, n3, n4, n5, n6, n7 and 3 more"),
        (970, "n0, n1, n2, n3, n4, n5, n6, n7 and 962 more"),
    ],
)
def test_all_are_named_while_they_are_few(count, expected):
    assert outcomes.named([f"n{number}" for number in range(count)]) == expected


@pytest.mark.parametrize(
    "faults, kind",
    [
        ([Failed, Unreachable], Unreachable),
        ([Locked, Unreachable], Locked),
        ([Failed, Unknown, Locked], Unknown),
        ([Interrupted, Unknown], Interrupted),
        ([Failed, Failed], Failed),
        ([NeedsPassword, Failed], Unreachable),
    ],
)
def test_the_highest_exit_code_counts(faults, kind):
    found = outcomes.worst({f"n{n}": fault(f"n{n}: x") for n, fault in enumerate(faults)}, "so")
    assert type(found) is kind
    assert str(found).split("\n") == [f"n{n}: x" for n in range(len(faults))] + ["so"]


def test_a_host_key_that_is_unknown_is_one_that_is_unreachable():
    found = outcomes.worst({"n1": UnknownHostKey("n1: not known", "line", "SHA256:x", "file")})
    assert (type(found), str(found)) == (Unreachable, "n1: not known")


def test_a_read_that_was_cut_is_not_unknown():
    found = outcomes.unreached({"n1": Unknown("n1: cut"), "n2": NeedsPassword("n2: sudo")})
    assert {host: fault.code for host, fault in found.items()} == {"n1": 4, "n2": 4}


@pytest.mark.parametrize(
    "planned, done, begun, faults, expected",
    [
        ({"a": 2}, {"a": 2}, "a", {}, ["a: 2 of 2 done"]),
        ({"a": 2}, {}, "a", {"a": Failed("a: no")}, ["a: 0 of 2 done; no"]),
        ({"a": 2, "b": 1}, {}, "", {}, ["a: 0 of 2 done; not begun", "b: 0 of 1 done; not begun"]),
        ({}, {}, "", {"a": Unreachable("a: no\n  at all")}, ["a: left out; no at all"]),
        (
            dict.fromkeys("abcde", 6),
            {**dict.fromkeys("abcd", 6), "e": 2},
            "abcde",
            {"e": Failed("e: x")},
            ["4 hosts: 6 of 6 done: a, b, c, d", "e: 2 of 6 done; x"],
        ),
        (
            {"ok": 1},
            {"ok": 1},
            ["ok"],
            {h: Unreachable(f"{h}: 10.0.0.{h[1]}:22 is deaf") for h in FOUR},
            ["ok: 1 of 1 done", "4 hosts: left out; is deaf: n1, n2, n3, n4"],
        ),
    ],
)
def test_the_recap_is_by_outcome(planned, done, begun, faults, expected):
    assert outcomes.recap(planned, done, begun, faults) == expected


@pytest.mark.parametrize("long", ["x", "1:", "a.b:", "SHA256:", "x is not in known_host ", "n1"])
def test_a_long_text_of_a_host_takes_no_time(long):
    begun = time.process_time()
    outcomes.told({"n1": long * (65536 // len(long))})
    assert time.process_time() - begun < 2
