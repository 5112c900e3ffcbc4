"""What the page's sections are put together from: badges, tables, folds, lists of hosts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fabfile.core.text import few
from fabfile.report.markup import Child, Element, el

_SHORT = {"", "place", "what", "task", "time", "fingerprint", "made", "roles", "pending", "done"}
_LONG = {"secret UUID", "value"}
"""Columns that are not broken into lines; and those that are not where there is much room."""
NAMED = 10
"""Hosts that are named; the names of more are folded."""
_KINDS = {
    "error": "error",
    "warning": "warning",
    "note": "",
    "done": "good",
    "ok": "good",
    "not ended": "unsure",
    "interrupted": "unsure",
    "unknown": "unsure",
}


def badge(word: str, kind: str | None = None) -> Element:
    """A word that stands out; kind: 'good', 'bad', 'warning', 'unsure' or '', else by the word."""
    return el("span", word, class_=f"badge {_KINDS.get(word, 'bad') if kind is None else kind}")


def section(name: str, title: str, count: str, *children: Child) -> Element:
    """A part of the page that folds."""
    head = el("summary", el("h2", title), el("span", count, class_="count"))
    return el("section", el("details", head, *children, open=True), id=name)


def fold(title: Child, *children: Child) -> Element:
    """Something to be unfolded."""
    return el("details", el("summary", title), *children)


def counted(number: int, thing: str) -> str:
    """'1 host', '2 hosts'."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def names(hosts: Sequence[str], most: int = NAMED) -> Child:
    """The hosts' names; of many, the first, and all in a fold."""
    if len(hosts) <= most:
        return ", ".join(hosts)
    return fold(few(hosts, 4), chips(hosts))


def chips(hosts: Iterable[str]) -> Element:
    """All the names, side by side."""
    return el("ul", [el("li", name) for name in hosts], class_="names")


def row(*cells: Child, odd: bool = False) -> Element:
    """A table's row; a cell may be an element 'td' of its own."""
    made = [c if isinstance(c, Element) and c.tag == "td" else el("td", c) for c in cells]
    return el("tr", made, class_="odd" if odd else None, role="row")


def table(caption: str, heads: Sequence[str], rows: Iterable[Element]) -> Element:
    """A table that a narrow window shows as cards; its roles stay a table's there."""
    body = []
    for one in rows:
        for head, cell in zip(heads, one, strict=True):
            cell.set("role", "cell")
            if head in _SHORT | _LONG:
                cell.set("class", "tight" if head in _SHORT else "long")
            if head:
                cell.set("data-label", head)
        body.append(one)
    top = [
        el(
            "th",
            el("span", h or "state", class_=None if h else "unseen"),
            scope="col",
            role="columnheader",
        )
        for h in heads
    ]
    return el(
        "table",
        el("caption", caption, class_="unseen"),
        el("thead", el("tr", top, role="row"), role="rowgroup"),
        el("tbody", body, role="rowgroup"),
        class_="cards",
        role="table",
    )
