"""The topology as SVG: boxes in rows, arrows between them, at any width.

Knows geometry; what a box says is topology's.  Colours come by class from the page's style,
and so do the letters' sizes: those of a Pen are repeated there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fabfile.report.markup import Element, el
from fabfile.report.topology import Box, Link, Topology

_WIDE, _BOLD = 0.6, 0.68
"""A letter's width, of the font's size: the widest of the fonts named in the page's style
(DejaVu Sans) has narrower ones on average."""


@dataclass(frozen=True)
class Pen:
    """Sizes of one drawing, in units; the picture is wider where its boxes need it.

    least: of a box's width.  title, text, small: of letters.
    """

    width: int
    gap: int = 14
    pad: int = 10
    line: int = 16
    least: int = 110
    title: int = 14
    text: int = 12
    small: int = 11


WIDE = Pen(840)
NARROW = Pen(298, gap=8, pad=6, line=14, least=80, title=12, text=11, small=10)


@dataclass(frozen=True)
class _Placed:
    """A box with its text broken into lines, and its place."""

    box: Box
    title: tuple[str, ...]
    lines: tuple[str, ...]
    x: float
    y: float
    wide: float
    high: float

    @property
    def bottom(self) -> float:
        return self.y + self.high


@dataclass(frozen=True)
class _Label:
    """An arrow's label below its source: broken into lines, and its place."""

    lines: tuple[str, ...]
    left: float
    top: float
    wide: float
    high: float

    def meets(self, other: _Label) -> bool:
        """Whether the two would lie over each other."""
        apart = self.left + self.wide <= other.left or other.left + other.wide <= self.left
        under = self.top >= other.top + other.high or other.top >= self.top + self.high
        return not (apart or under)


def picture(seen: Topology, pen: Pen, name: str) -> Element:
    """The picture; name: the beginning of its ids in the page."""
    most = max((len(row) for row in seen.rows), default=1)
    wide = max(pen.width, most * (pen.least + pen.gap) + 3 * pen.gap)
    services = _row(seen.rows[0], pen, pen.gap / 2, wide - pen.gap / 2, 4)
    y = _below(services, 4) + _room(seen.links, services, pen)
    keys = _row(seen.rows[1], pen, pen.gap / 2, wide - pen.gap / 2, y)
    network = _below(keys, y) + _room(seen.links, keys, pen)
    pools = _row(seen.rows[2], pen, 2 * pen.gap, wide - 2 * pen.gap, network + 50)
    text = _below(pools, network + 50) + pen.line + 6
    title = _wrapped(seen.cluster.title, pen.title, wide - 4 * pen.gap, _BOLD)
    said = [x for t in seen.cluster.lines for x in _wrapped(t, pen.text, wide - 4 * pen.gap)]
    high = text + pen.line * (len(title) + len(said)) + 2
    placed = {one.box.id: one for one in (*services, *keys, *pools)}
    return el(
        "svg",
        el("title", "Who holds which key, and what it opens", id=f"{name}-title"),
        _markers(name),
        el(
            "rect",
            x=1,
            y=f"{network + 12:g}",
            width=f"{wide - 2:g}",
            height=f"{high - network - 14:g}",
            rx=10,
            class_=f"ceph {_class(seen.cluster.state)}",
        ),
        el("path", d=f"M1 {network:g}H{wide - 1:g}", class_="network"),
        [_box(one, "service", pen) for one in services],
        [_box(one, "key", pen) for one in keys],
        [_box(one, "pool", pen) for one in pools],
        _arrows(seen.links, placed, pen, name),
        _network(seen.network, network, wide, pen),
        _text(title, 2 * pen.gap, text, pen, "title"),
        _text(said, 2 * pen.gap, text + pen.line * len(title), pen, "said"),
        viewBox=f"0 0 {wide:g} {high:g}",
        width=f"{wide:g}",
        height=f"{high:g}",
        class_=f"picture {name}",
        role="img",
        aria_labelledby=f"{name}-title",
        style=f"min-width:{wide:g}px" if pen is NARROW else None,
    )


def _class(state: str) -> str:
    return state.replace(" ", "-")


def _wrapped(text: str, size: int, wide: float, letter: float = _WIDE) -> tuple[str, ...]:
    """The text in lines that fit; a word that does not is broken, behind a hyphen or a dot."""
    most = max(4, int(wide / (size * letter)))
    lines = [""]
    pieces = re.compile(rf"[^-.]{{1,{most - 1}}}[-.]?|[-.]")
    for word in text.split():
        parts = [word] if len(word) <= most else pieces.findall(word)
        for number, part in enumerate(parts):
            glue = "" if number or not lines[-1] else " "
            if len(lines[-1] + glue + part) <= most:
                lines[-1] += glue + part
            else:
                lines.append(part)
    return tuple(line for line in lines if line)


def _row(boxes: Sequence[Box], pen: Pen, left: float, right: float, y: float) -> list[_Placed]:
    """Boxes beside each other, as wide as there is room, all as high as the highest."""
    if not boxes:
        return []
    room = right - left - pen.gap * (len(boxes) - 1)
    wide = min(300.0, room / len(boxes))
    start = left + (room - wide * len(boxes)) / 2
    texts = [
        (
            _wrapped(box.title, pen.title, wide - 2 * pen.pad, _BOLD),
            tuple(x for line in box.lines for x in _wrapped(line, pen.text, wide - 2 * pen.pad)),
        )
        for box in boxes
    ]
    high = 2 * pen.pad + pen.line * max(len(title) + len(lines) for title, lines in texts)
    return [
        _Placed(box, title, lines, start + n * (wide + pen.gap), y, wide, high)
        for n, (box, (title, lines)) in enumerate(zip(boxes, texts, strict=True))
    ]


def _below(row: Sequence[_Placed], y: float) -> float:
    return max((one.bottom for one in row), default=y)


def _text(lines: Sequence[str], x: float, y: float, pen: Pen, kind: str) -> list[Element]:
    return [
        el("text", line, x=f"{x:g}", y=f"{y + n * pen.line:g}", class_=kind)
        for n, line in enumerate(lines)
    ]


def _box(one: _Placed, kind: str, pen: Pen) -> Element:
    x, y = one.x + pen.pad, one.y + pen.pad + pen.text
    return el(
        "g",
        el(
            "rect",
            x=f"{one.x:g}",
            y=f"{one.y:g}",
            width=f"{one.wide:g}",
            height=f"{one.high:g}",
            rx=8,
        ),
        _text(one.title, x, y, pen, "title"),
        _text(one.lines, x, y + pen.line * len(one.title), pen, "said"),
        class_=f"box {kind} {_class(one.box.state)}",
    )


def _network(text: str, y: float, wide: float, pen: Pen) -> Element:
    """The network's name, over whatever passes its line."""
    lines = _wrapped(text, pen.small, wide - 4 * pen.gap)[:1]
    long = max((len(line) for line in lines), default=0) * pen.small * _WIDE + 8
    return el(
        "g",
        el("title", text),
        el("rect", x=f"{pen.gap:g}", y=f"{y - 8:g}", width=f"{long:g}", height=16, rx=7),
        _text(lines, pen.gap + 5, y + 4, pen, "small"),
        class_="label",
    )


# Arrows and their labels


def _markers(name: str) -> Element:
    return el(
        "defs",
        [
            el(
                "marker",
                el("path", d="M0 0L8 4L0 8z"),
                id=f"{name}-{state}",
                class_=f"head {state}",
                viewBox="0 0 8 8",
                refX=7,
                refY=4,
                markerWidth=10,
                markerHeight=10,
                markerUnits="userSpaceOnUse",
                orient="auto",
            )
            for state in ("ok", "odd", "not-seen")
        ],
    )


def _room(links: Sequence[Link], row: Sequence[_Placed], pen: Pen) -> float:
    """The height between a row and the next: for the labels, and for the arrows to bend."""
    labels = [label for one in row for label in _labels(links, one, pen).values()]
    return (
        max(
            (label.top + label.high - one.bottom for one in row[:1] for label in labels),
            default=0.0,
        )
        + 44
    )


def _labels(links: Sequence[Link], source: _Placed, pen: Pen) -> dict[Link, _Label]:
    """The labels of a box's arrows: below it, and below each other where they would meet."""
    found: dict[Link, _Label] = {}
    mine = [link for link in links if link.source == source.box.id]
    for number, link in enumerate(mine):
        x = source.x + source.wide * (number + 1) / (len(mine) + 1)
        lines = _wrapped(link.label, pen.small, source.wide + pen.gap - 12)
        wide = max(len(line) for line in lines) * pen.small * _WIDE + 8
        edge = source.x + source.wide + pen.gap / 2 - wide
        left = min(max(x - wide / 2, source.x - pen.gap / 2), edge)
        high = (pen.small + 1) * len(lines) + 4
        label = _Label(lines, left, source.bottom + 12, wide, high)
        for other in found.values():
            if label.meets(other):
                label = _Label(lines, left, other.top + other.high + 3, wide, high)
        found[link] = label
    return found


def _arrows(
    links: Sequence[Link], placed: Mapping[str, _Placed], pen: Pen, name: str
) -> list[Element]:
    """All curves, then all labels, so that none is crossed out."""
    drawn = _in_order(links, placed)
    curves, labels = [], []
    for source in placed.values():
        for link, label in _labels(drawn, source, pen).items():
            target = placed[link.target]
            mine = [other for other in drawn if other.source == link.source]
            x = source.x + source.wide * (mine.index(link) + 1) / (len(mine) + 1)
            there = sorted(
                (o for o in drawn if o.target == link.target), key=lambda o: placed[o.source].x
            )
            to = target.x + target.wide * (there.index(link) + 1) / (len(there) + 1)
            curves.append(_curve(link, x, source.bottom, label.top, to, target.y - 1, name))
            labels.append(_tag(link, label, pen))
    return curves + labels


def _in_order(links: Sequence[Link], placed: Mapping[str, _Placed]) -> list[Link]:
    """Those between boxes that are there, so that arrows of one box do not cross."""
    there = [link for link in links if {link.source, link.target} <= set(placed)]
    return sorted(there, key=lambda link: placed[link.target].x)


def _curve(  # noqa: PLR0913, PLR0917 (two points, and a bend)
    link: Link, x: float, y: float, down: float, to: float, end: float, name: str
) -> Element:
    bend = max(24.0, (end - y) / 2)
    state = _class(link.state)
    return el(
        "path",
        d=f"M{x:g} {y:g}V{down:g}C{x:g} {down + bend:g} {to:g} {end - bend:g} {to:g} {end:g}",
        class_=f"arrow {state}",
        marker_end=f"url(#{name}-{state})",
    )


def _tag(link: Link, label: _Label, pen: Pen) -> Element:
    middle = label.left + label.wide / 2
    return el(
        "g",
        el("title", link.label),
        el(
            "rect",
            x=f"{label.left:g}",
            y=f"{label.top:g}",
            width=f"{label.wide:g}",
            height=f"{label.high:g}",
            rx=7,
        ),
        [
            el(
                "text",
                line,
                x=f"{middle:g}",
                y=f"{label.top + (pen.small + 1) * (n + 1):g}",
                text_anchor="middle",
                class_="small",
            )
            for n, line in enumerate(label.lines)
        ],
        class_=f"label {_class(link.state)}",
    )
