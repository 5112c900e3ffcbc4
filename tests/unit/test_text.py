"""Text for people: a list of names of any length."""

import pytest

from fabfile.core.text import counted_hosts, few


@pytest.mark.parametrize(
    "names, how, expected",
    [
        ("", {}, ""),
        ("abc", {}, "a, b, c"),
        ("abcd", {}, "a, b and 2 more"),
        ("abcd", {"spare": 2}, "a, b, c, d"),
        ("abcde", {"most": 3}, "a, b, c and 2 more"),
    ],
)
def test_few(names, how, expected):
    assert few(list(names), **how) == expected


@pytest.mark.parametrize(
    "names, said",
    [
        ([], "0 hosts"),
        (["n1"], "1 host"),
        (["n1", "n2"], "2 hosts"),
        (["n1", "cloud"], "1 host and the cloud's API"),
        (["cloud", "n1", "n2", "n3", "n4"], "4 hosts and the cloud's API"),
        (["cloud"], "the cloud's API"),
    ],
)
def test_the_clouds_api_is_no_host(names, said):
    assert counted_hosts(names) == counted_hosts({name: 1 for name in names}) == said
