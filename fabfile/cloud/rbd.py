"""What rbd says of a volume's image: its parent, watchers, used bytes and snapshots.

Knows the words to ask by and the JSON that comes back; who runs them is the caller's matter.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fabfile.core.contract import Failed

Ceph = Callable[[str, str], Any]
"""ceph(kind, volume id): the answer, as parse() gives it."""


def questions(pool: str) -> dict[str, list[str]]:
    """{kind: argv}; each '{}' in it stands for the volume's id."""
    image = pool + "/volume-{}"
    return {
        "parent": ["rbd", "info", "--format", "json", image],
        "watchers": ["rbd", "status", "--format", "json", image],
        "used": ["rbd", "du", "--format", "json", image],
        "snapshots": ["rbd", "snap", "ls", "--format", "json", image],
    }


def parse(kind: str, text: str) -> Any:
    """What rbd's JSON says: parent str ('' if none), watchers list[str], used bytes,
    snapshots list[str] (names).

    Raises Failed if it is not that command's JSON.
    """
    try:
        return _PARSERS[kind](json.loads(text))
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise Failed(
            f"rbd: {kind}: expected the command's JSON, found {text[:80]!r}; "
            "see that rbd on the Ceph host can read the pool"
        ) from error


def _parent(info: dict[str, Any]) -> str:
    info["name"]
    found = info.get("parent")
    return "{pool}/{image}@{snapshot}".format(**found) if found else ""


def _watchers(status: dict[str, Any]) -> list[str]:
    found = status["watchers"]
    # Before Nautilus: {"watcher": {...}} in the place of a list.
    items = found.values() if isinstance(found, dict) else found
    return [item["address"] for item in items]


def _used(usage: dict[str, Any]) -> int:
    # One entry for the image and one for each of its snapshots.
    return sum(item["used_size"] for item in usage["images"])


def _snapshots(listed: list[dict[str, Any]]) -> list[str]:
    if not isinstance(listed, list):
        raise TypeError("no list of snapshots")
    return [item["name"] for item in listed]


def addresses(watchers: list[str]) -> set[str]:
    """The hosts' addresses of watchers: '198.18.53.31:0/2714' is '198.18.53.31'."""
    return {watcher.rpartition(":")[0] for watcher in watchers}


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "parent": _parent,
    "watchers": _watchers,
    "used": _used,
    "snapshots": _snapshots,
}
