"""The document as one page of HTML, which needs nothing from outside.

Knows what the templates are given; the page itself is theirs.  What is put into them stays
text, and has no letters that a page must not have.
"""

from __future__ import annotations

import base64
import functools
import hashlib

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fabfile.core.contract import INV
from fabfile.core.text import clean, counted, few
from fabfile.report import document as documents
from fabfile.report import sections
from fabfile.report.markup import Element, html
from fabfile.report.picture import NARROW, WIDE, picture
from fabfile.report.shapes import Document
from fabfile.report.text import folded
from fabfile.report.timeline import timeline
from fabfile.report.times import lasting, when
from fabfile.report.topology import in_words, topology

MOST_ROWS = 200
"""Rows of a plan, and computes of a proof."""


def page(document: Document) -> str:
    """The whole page."""
    return (
        _environment()
        .get_template("page.html")
        .render(
            document=document,
            sentence=documents.sentence(document),
            tiles=sections.tiles(document),
            parts=sections.parts(document),
            pictures=[
                _drawn(picture(topology(document), WIDE, "wide")),
                _drawn(picture(topology(document, most=1), NARROW, "narrow")),
            ],
            words=in_words(document),
            timelines=[
                _drawn(timeline(document["runs"], 840, "wide")),
                _drawn(timeline(document["runs"], 300, "narrow")),
            ],
            verified=documents.last(document["runs"], verify=True),
        )
    )


@functools.cache
def _environment() -> Environment:
    """Made once: it is the templates that take time, and not a page."""
    made = Environment(
        loader=PackageLoader("fabfile.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_readable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"most_rows": MOST_ROWS, "inv": INV}
    made.filters |= {
        "alike": sections.alike,
        "counted": counted,
        "digest": _digest,
        "few": few,
        "folded": folded,
        "kind": sections.kind,
        "lasting": lasting,
        "pairs": sections.pairs,
        "proof": sections.proof,
        "share": sections.share,
        "when": when,
    }
    return made


def _readable(value: object) -> object:
    """What is put into a page: nothing for None, and of a text what can be shown."""
    if value is None:
        return ""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _digest(script: str) -> str:
    """By which the page's policy knows its own script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _drawn(element: Element) -> Markup:
    return Markup(html(element))  # noqa: S704 (elements escape their text themselves)
