"""A site file's text: TOML with a comment at each key of which something is to be known.

Source: toml.io, v1.0.0 (basic strings; no control character in a comment but a tab).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from fabfile.adopt import guest
from fabfile.adopt.clusters import At
from fabfile.adopt.draft import Draft, Remark
from fabfile.adopt.forms import remark
from fabfile.core.contract import INV, Json

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_APART = (
    *(("glance", "stores"), ("glance", "stores", "*")),
    *(("cinder", "backends"), ("cinder", "backends", "*"), ("cinder", "backup")),
    *(("clusters", "*"), ("clusters", "*", "pools"), ("clusters", "*", "clients")),
)
"""Inner tables that have a head of their own; all others are written as lines, or in one."""
DOUBTFUL = "# Doubtful: "


def written(draft: Draft, head: Sequence[str], offered: Json = None) -> str:
    """The whole file.

    head: lines of what was looked at, and when; offered: as fabfile.cloud.offered has it, None
    where that is not known.
    """
    return "\n".join([*map(_comment, head), *_Text(draft).lines(), *_guest(offered), ""])


def quoted(text: str) -> str:
    """A basic string of TOML's: JSON's, without a raw DEL, and no lone surrogate."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    """A key, bare where it may be."""
    return name if _BARE.fullmatch(name) else quoted(name)


def value(one: Json) -> str:
    """A value in one line.  Raises TypeError for what no site file has."""
    if isinstance(one, bool):
        return "true" if one else "false"
    if isinstance(one, (int, float)):
        return repr(one)
    if isinstance(one, str):
        return quoted(one)
    if isinstance(one, Mapping):
        pairs = ", ".join(f"{key(name)} = {value(inner)}" for name, inner in one.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(one, Sequence):
        return f"[{', '.join(map(value, one))}]"
    raise TypeError(f"no value of a site file: {type(one).__name__}")


def _comment(text: str) -> str:
    line = remark(text)
    return f"# {line}" if line else "#"


def _is_apart(at: At) -> bool:
    return any(
        len(at) == len(known) and all(k in ("*", name) for k, name in zip(known, at, strict=True))
        for known in _APART
    )


class _Text:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._said: dict[At, list[Remark]] = {}
        for one in draft.remarks:
            self._said.setdefault(self._place(one.at), []).append(one)

    def _place(self, at: At) -> At:
        """The key of the remark, or the table that is there of its way."""
        table: Json = self._draft.raw
        for depth, name in enumerate(at):
            if not isinstance(table, Mapping) or name not in table:
                return at[:depth]
            table = table[name]
        return at

    def lines(self) -> Iterator[str]:
        raw = self._draft.raw
        yield from self._remarks(())
        for name in (n for n in _HEAD if n in raw):
            yield from self._pair((name,), raw[name])
        for name in (n for n in _TABLES if n in raw):
            yield from self._table((name,), raw[name])

    def _table(self, at: At, table: Mapping[str, Json]) -> Iterator[str]:
        below = {n: t for n, t in table.items() if _is_apart((*at, n))}
        plain = {n: v for n, v in table.items() if n not in below}
        if plain or not below or at in self._said:
            yield ""
            yield from self._remarks(at)
            yield f"[{'.'.join(map(key, at))}]"
        for inner, one in plain.items():
            yield from self._pair((*at, inner), one)
        if at == ("hosts",):
            yield from self._left_out()
        for inner, one in below.items():
            yield from self._table((*at, inner), one)

    def _pair(self, at: At, one: Json) -> Iterator[str]:
        yield from self._remarks(at)
        if isinstance(one, Mapping):
            for name in one:
                yield from self._remarks((*at, name))
        yield f"{key(at[-1])} = {value(one)}"

    def _remarks(self, at: At) -> Iterator[str]:
        for text in dict.fromkeys((one.text, one.doubtful) for one in self._said.get(at, ())):
            yield f"{DOUBTFUL if text[1] else '# '}{remark(text[0])}"

    def _left_out(self) -> Iterator[str]:
        """Hosts that are named and not described: to be taken in where what is said is mended."""
        for name, (table, why) in self._draft.left_out.items():
            yield f"{DOUBTFUL}{remark(why)}"
            yield f"#{key(name)} = {value(table)}"


_MOST_IMAGES = 5


def _guest(offered: Json) -> Iterator[str]:
    """What nobody can find, for the operator to say; names are of what is there."""
    told = offered or {"flavors": [], "images": []}
    flavors, images = guest.flavors(told), guest.images(told)[:_MOST_IMAGES]
    yield from ("", f"# {INV} verify needs this filled in: only you know which guest may prove it.")
    yield from ("# An image, or a folder with a guest of your own: docs/verify.md.", "#[verify]")
    smallest = "  # the smallest there is" if flavors else ""
    yield f"#flavor = {quoted((flavors or ['<a flavor that is there>'])[0])}{smallest}"
    yield from (f"#image = {quoted(name)}" for name in images or ["<a raw image that is in RBD>"])
    yield '#guest = "<folder>"'


_HEAD = ("name", "fsid", "release", "cloud", "clouds_yaml", "platform", "clone_v2", "recommended")
_TABLES = (
    *("ssh", "hosts", "pools", "clients", "clusters", "glance", "cinder", "nova"),
    "packages",
    "platform_changes",
)
