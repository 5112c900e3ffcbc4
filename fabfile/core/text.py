"""Text for people: what a host said may hold anything, a list any number of names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fabfile.core.contract import CLOUD


def clean(text: str) -> str:
    """The text's lines without control characters, surrogates, or what turns letters round."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def few(names: Sequence[str], most: int = 2, spare: int = 1) -> str:
    """All names, or the first of many and how many more there are.

    spare: that many above most are still named.
    """
    if len(names) <= most + spare:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def named(hosts: Sequence[str]) -> str:
    """The hosts' names, or the first of many and how many more there are."""
    return few(hosts, 8, spare=2)


def counted_hosts(names: Collection[str]) -> str:
    """How many hosts these are; the cloud's API, which has a place among them, is none."""
    number = len({*names} - {CLOUD})
    hosts = f"{number} host{'' if number == 1 else 's'}"
    if CLOUD not in names:
        return hosts
    return f"{hosts} and the cloud's API" if number else "the cloud's API"
