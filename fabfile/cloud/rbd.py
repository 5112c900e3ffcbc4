"""What rbd says of a volume's image: its parent, format, watchers, used bytes and snapshots.

Knows the words to ask by and the JSON that comes back; who runs them is the caller's matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, overload

from fabfile.core import strict_json
from fabfile.core.contract import Failed, Json
from fabfile.core.shapes import Shape


class Ceph(Protocol):
    """ceph(kind, volume id): the answer, as parse() gives it."""

    @overload
    def __call__(
        self, kind: Literal["parent", "clone", "content", "backup"], volume: str, /
    ) -> str: ...

    @overload
    def __call__(self, kind: Literal["watchers", "snapshots"], volume: str, /) -> list[str]: ...

    @overload
    def __call__(self, kind: Literal["used"], volume: str, /) -> int: ...


CONTENT, BACKUP = "content", "backup"
"""What is asked of all bytes of an image; and of a backup's image, which may not be there."""
NOT_THERE = 2
"""rbd's exit code for an image that is not there."""


def questions(rbd: Callable[..., list[str]], pool: str, backups: str = "") -> dict[str, list[str]]:
    """{kind: argv}; each '{}' in it stands for the volume's id.

    rbd: makes an argument list for that program.  backups: the pool of backups, of which
    '{}' is the volume's id with the end of their name.
    """
    image = pool + "/volume-{}"
    return {
        CONTENT: rbd("export", "--no-progress", image, "-"),
        BACKUP: rbd("info", "--format", "json", backups + "/volume-{}"),
        "parent": rbd("info", "--format", "json", image),
        "clone": rbd("info", "--format", "json", image),
        "watchers": rbd("status", "--format", "json", image),
        "used": rbd("du", "--format", "json", image),
        "snapshots": rbd("snap", "ls", "--format", "json", image),
    }


def parse(kind: str, text: str) -> str | int | list[str]:
    """What rbd's JSON says: parent str ('' if none), clone 'v1', 'v2' or '' (it is none),
    backup str (the image's name), watchers list[str], used bytes, snapshots list[str] (names).

    Raises Failed if it is not that command's JSON.
    """
    parser, shape = _PARSERS[kind]
    found, said = strict_json.shaped(text, shape)
    if said:
        raise Failed(
            f"rbd: {kind}: expected the command's JSON, found {text[:80]!r} ({said[:200]}); "
            "see that rbd on the Ceph host can read the pool"
        )
    return parser(found)


def _parent(info: Mapping[str, Json]) -> str:
    found = info.get("parent")
    return "{pool}/{image}@{snapshot}".format(**found) if found else ""


def _named(info: Mapping[str, Json]) -> str:
    return str(info["name"])


def _clone(info: Mapping[str, Json]) -> str:
    """The format of a clone; v2 is told since Mimic, where it came."""
    if not _parent(info):
        return ""
    return "v2" if "clone-child" in info.get("op_features", ()) else "v1"


def _watchers(status: Mapping[str, Json]) -> list[str]:
    found = status["watchers"]
    # Before Nautilus: {"watcher": {...}} in the place of a list.
    items = found.values() if isinstance(found, dict) else found
    return [item["address"] for item in items]


def _used(usage: Mapping[str, Json]) -> int:
    # One entry for the image and one for each of its snapshots.
    return sum(item["used_size"] for item in usage["images"])


def _snapshots(listed: list[Mapping[str, Json]]) -> list[str]:
    return [item["name"] for item in listed]


def addresses(watchers: list[str]) -> set[str]:
    """The hosts' addresses of watchers: '198.18.53.31:0/2714' is '198.18.53.31'."""
    return {watcher.rpartition(":")[0] for watcher in watchers}


_WATCHER = {"address": str}
_INFO: Shape = {
    "name": str,
    "parent?": (None, dict.fromkeys(("pool", "image", "snapshot"), str)),
    "op_features?": [str],
}
_PARSERS: dict[str, tuple[Callable[[Json], str | int | list[str]], Shape]] = {
    "parent": (_parent, _INFO),
    "clone": (_clone, _INFO),
    BACKUP: (_named, _INFO),
    "watchers": (_watchers, {"watchers": ([_WATCHER], {"*": _WATCHER})}),
    "used": (_used, {"images": [{"used_size": int}]}),
    "snapshots": (_snapshots, [{"name": str}]),
}
"""{kind: (what reads its document, the document's shape)}."""
