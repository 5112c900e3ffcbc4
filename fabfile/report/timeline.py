"""The runs as a row of bars, the oldest first: as high as they took long, by how they ended."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fabfile.report.markup import Element, el
from fabfile.report.shapes import Run
from fabfile.report.times import day, lasting, when

_HIGH, _BAR, _STEP = 64, 12, 16
_LONGEST = 3600
"""Seconds of the highest bar; heights grow with the logarithm."""
_DAY_WIDE = 44
KINDS = {
    "done": "good",
    **dict.fromkeys(("not ended", "unread", "interrupted", "unknown"), "unsure"),
}
"""What an outcome looks like; every other one is bad."""


def timeline(runs: Sequence[Run], room: int, name: str) -> Element:
    """The newest runs for which there is room (in units of width); runs come newest first."""
    shown = list(reversed(runs[: max(1, (room - _STEP) // _STEP)]))
    wide = max(room, _STEP * len(shown))
    return el(
        "svg",
        el("title", f"The last {len(shown)} runs, the newest at the right", id=f"bars-{name}"),
        el("path", d=f"M0 {_HIGH + 4.5}H{wide}", class_="network"),
        [_bar(run, n * _STEP + 2) for n, run in enumerate(shown)],
        [el("text", text, x=x, y=_HIGH + 20, class_="small") for x, text in _days(shown, wide)],
        viewBox=f"0 0 {wide} {_HIGH + 28}",
        width=wide,
        height=_HIGH + 28,
        class_=f"timeline {name}",
        role="img",
        aria_labelledby=f"bars-{name}",
    )


def _bar(run: Run, x: int) -> Element:
    """The bar, and a sign on it that needs no colour."""
    kind = KINDS.get(run["outcome"], "bad")
    part = math.log1p(min(max(run["seconds"], 0), _LONGEST)) / math.log1p(_LONGEST)
    high = round(10 + part * (_HIGH - 26))
    top = _HIGH + 2 - high
    told = f"{when(run['began'])}: {run['task']}, {run['outcome']}, {lasting(run['seconds'])}"
    return el(
        "g",
        el("title", told),
        el("rect", x=x, y=top, width=_BAR, height=high, rx=2),
        el(
            "text",
            {"good": "", "bad": "✕", "unsure": "?"}[kind],
            x=x + _BAR / 2,
            y=top - 3,
            text_anchor="middle",
            class_="small",
        ),
        class_=f"bar {kind}",
    )


def _days(shown: Sequence[Run], wide: int) -> list[tuple[int, str]]:
    """Where each day begins, as far as the labels have room."""
    found: list[tuple[int, str]] = []
    before = ""
    for number, run in enumerate(shown):
        today, x = day(run["began"]), number * _STEP + 2
        room = (not found or x - found[-1][0] >= _DAY_WIDE) and x + _DAY_WIDE <= wide
        if today != before and room:
            found.append((x, today))
            before = today
    return found
