"""Text for people: a list of names of any length."""

import pytest

from fabfile.core.text import few


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
