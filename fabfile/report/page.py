"""The document as one page of HTML, which needs nothing from outside.

Knows the order of the page; style, script and frame are page.html's, and are handed in.
"""

from __future__ import annotations

import base64
import hashlib
import re
from string import Template

from fabfile.report import document as documents
from fabfile.report import sections
from fabfile.report.markup import Element, el, html
from fabfile.report.pieces import badge, counted
from fabfile.report.shapes import Document
from fabfile.report.times import lasting, when

_PARTS = (
    sections.site,
    sections.findings,
    sections.secrets,
    sections.drift,
    sections.verify,
    sections.hosts,
    sections.runs,
    sections.versions,
)


def page(document: Document, frame: str) -> str:
    """The whole page.  frame: page.html's text."""
    parts = [part(document) for part in _PARTS]
    title = el("title", f"stackrbd: {document['site']}, {when(document['made'])}")
    body = [
        el("a", "To the findings", href="#findings", class_="skip"),
        _head(document),
        _ways(parts),
        el("main", parts),
        el(
            "footer",
            "Made by ",
            el("code", "inv report"),
            ", which reads only. "
            "Fingerprints are no keys; all the same, keep this page as you keep your site file.",
        ),
    ]
    return Template(frame).substitute(
        policy=_policy(frame),
        title=html(title).removeprefix("<title>").removesuffix("</title>"),
        body="\n".join(html(one) for one in body),
    )


def _policy(frame: str) -> str:
    """Nothing is loaded, and no script runs but the page's own, whatever a host said."""
    (script,) = re.findall(r"<script>(.*?)</script>", frame, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _head(document: Document) -> Element:
    good = document["healthy"]
    return el(
        "header",
        el("p", "stackrbd report", class_="kicker"),
        el("h1", document["site"]),
        el(
            "p",
            badge("Healthy" if good else "Not healthy", "good" if good else "bad"),
            f" {documents.sentence(document)}",
            class_="verdict",
        ),
        el("p", f"Made {when(document['made'])} by {document['by']}", class_="soft"),
        el("ul", [el("li", tile) for tile in _tiles(document)], class_="tiles"),
    )


def _ways(parts: list[Element]) -> Element:
    links = []
    for part in parts:
        head = part.find(".//h2")
        title = head.text if head is not None else ""
        links.append(el("li", el("a", title, href=f"#{part.get('id')}")))
    return el("nav", el("ul", links), aria_label="Sections")


def _tiles(document: Document) -> list[Element]:
    """What a manager looks at first."""
    counts, drift = document["counts"], document["drift"]
    kind = "bad" if counts["error"] else "warning" if counts["warning"] else "good"
    answered = document["answered"] == document["asked"]
    found = ", ".join(counted(n, severity) for severity, n in counts.items() if n) or "none"
    more = [f"on {counted(len(drift['hosts']), 'host')}"] if drift["changes"] else []
    more += [] if drift["known"] else ["not all is known"]
    return [
        _tile(
            "hosts",
            "Hosts that answered",
            f"{document['answered']} of {document['asked']}",
            "",
            "good" if answered else "bad",
        ),
        _tile("findings", "Findings", found, "", kind),
        _tile(
            "drift",
            "Changes pending",
            str(drift["changes"]),
            "; ".join(more),
            "warning" if more else "good",
        ),
        _ran("runs", "Last run", document, verify=False),
        _ran("verify", "Last verify", document, verify=True),
    ]


def _ran(to: str, label: str, document: Document, verify: bool) -> Element:
    last = documents.last(document["runs"], verify)
    if last is None:
        return _tile(to, label, "never", "none is recorded here", "")
    outcome = last["outcome"] if not verify or last["outcome"] != "done" else "passed"
    ago = f"{lasting(max(0.0, document['made'] - last['ended']))} ago"
    kind = {0: "good", None: ""}.get(last["code"], "bad")
    return _tile(to, label, outcome, ago if verify else f"{last['task']}, {ago}", kind)


def _tile(to: str, label: str, value: str, more: str, kind: str) -> Element:
    return el(
        "a",
        el("span", label, class_="label"),
        el("span", value, class_="value"),
        el("span", more, class_="more") if more else None,
        href=f"#{to}",
        class_=kind or None,
    )
