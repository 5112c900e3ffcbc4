"""What the page's sections say beside the document's own words; no markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fabfile.core.text import counted, counted_hosts
from fabfile.report import canary
from fabfile.report import document as documents
from fabfile.report.shapes import Check, Document, Host
from fabfile.report.times import lasting, when

_KINDS = {
    "error": "error",
    "warning": "warning",
    "note": "",
    "done": "good",
    "ok": "good",
    "not ended": "unsure",
    "unread": "unsure",
    "interrupted": "unsure",
    "unknown": "unsure",
}


def kind(word: str) -> str:
    """How a word stands out: 'error', 'bad', 'warning', 'good', 'unsure' or ''."""
    return _KINDS.get(word, "bad")


def pairs(told: Mapping[str, str]) -> str:
    """'nova 26.2.2, cinder 21.3.1'."""
    return ", ".join(f"{name} {said}" for name, said in told.items())


def share(seconds: float, longest: float) -> str:
    """How long a bar is, in hundredths of the longest."""
    return f"{max(1, seconds / longest * 100):.0f}"


class Part(NamedTuple):
    """A section's head; name: also its template's."""

    name: str
    title: str
    said: str


def parts(document: Document) -> list[Part]:
    """The sections in the page's order."""
    hosts = f"{document['answered']} of {document['asked']} answered"
    states = counted(len(alike(document["hosts"])), "state")
    runs = len(document["runs"])
    return [
        Part("topology", "Who holds which key", counted(len(document["hosts"]), "host")),
        Part("findings", "Findings", _severities(document)),
        Part("secrets", "The truth table of secrets", _differing(document)),
        Part("drift", "Drift", _pending(document)),
        Part("verify", "Verify", _passed(document)),
        Part("hosts", "Hosts", f"{hosts}; {states}"),
        Part(
            "runs",
            "Runs",
            f"the last {runs} that are recorded here" if runs else "none is recorded here",
        ),
        Part("versions", "Versions", ""),
    ]


def _severities(document: Document) -> str:
    return ", ".join(counted(n, name) for name, n in document["counts"].items() if n) or "none"


def _differing(document: Document) -> str:
    odd, rows = sum(bool(p["odd"]) for p in document["secrets"]), len(document["secrets"])
    return f"{odd} of {rows} differ" if odd else "all equal" if rows else "nothing seen"


def _pending(document: Document) -> str:
    drift = document["drift"]
    if document["pending"]:
        return f"{counted(drift['changes'], 'change')} on {counted_hosts(drift['hosts'])}"
    return "none" if drift["known"] else "not known"


def _passed(document: Document) -> str:
    last = documents.last(document["runs"], verify=True)
    if last is None:
        return "never recorded here"
    good = sum(bool(check["ok"]) for check in last["checks"])
    return f"{good} of {len(last['checks'])} passed, {when(last['began'])}"


class Tile(NamedTuple):
    """A number that leads to its section."""

    to: str
    label: str
    value: str
    more: str
    kind: str


def tiles(document: Document) -> list[Tile]:
    """What a manager looks at first."""
    counts, drift = document["counts"], document["drift"]
    answered, asked = document["answered"], document["asked"]
    worst = "bad" if counts["error"] else "warning" if counts["warning"] else "good"
    more = [f"on {counted_hosts(drift['hosts'])}"] if drift["changes"] else []
    more += [] if drift["known"] else ["not all is known"]
    state = "good" if answered == asked else "bad"
    return [
        Tile("hosts", "Hosts that answered", f"{answered} of {asked}", "", state),
        Tile("findings", "Findings", _severities(document), "", worst),
        Tile(
            "drift",
            "Changes pending",
            str(drift["changes"]),
            "; ".join(more),
            "warning" if more else "good",
        ),
        _ran("runs", "Last run", document, verify=False),
        _ran("verify", "Last verify", document, verify=True),
    ]


def _ran(to: str, label: str, document: Document, verify: bool) -> Tile:
    last = documents.last(document["runs"], verify)
    if last is None:
        return Tile(to, label, "never", "none is recorded here", "")
    outcome = last["outcome"] if not verify or last["outcome"] != "done" else "passed"
    ago = f"{lasting(max(0.0, document['made'] - last['ended']))} ago"
    state = {0: "good", None: ""}.get(last["code"], "bad")
    return Tile(to, label, outcome, ago if verify else f"{last['task']}, {ago}", state)


class Proof(NamedTuple):
    """A proof's checks: the canary's by step and by compute, and those to be told one by one.

    slowest: of the steps; longest: of the checks; in seconds, and never 0.
    """

    steps: list[canary.StepTimes]
    slowest: float
    computes: dict[str, list[Check]]
    shared: list[Check]
    longest: float


def proof(checks: Sequence[Check]) -> Proof:
    """The checks as they are told."""
    steps = canary.steps(checks)
    return Proof(
        steps,
        max((one["slowest"] or 0 for one in steps), default=0) or 1,
        canary.computes(checks),
        [check for check in checks if not check.get("host") or not check["ok"]],
        max((check["seconds"] or 0 for check in checks), default=0) or 1,
    )


def alike(hosts: Sequence[Host]) -> list[list[Host]]:
    """Hosts of equal state together, the worst first."""
    together: dict[tuple[object, ...], list[Host]] = {}
    for host in hosts:
        together.setdefault(_state(host), []).append(host)
    return sorted(together.values(), key=_badness)


def _state(host: Host) -> tuple[object, ...]:
    return (
        host["state"],
        tuple(host["roles"]),
        host["system"],
        tuple(host["versions"].items()),
        tuple(host["units"].items()),
        tuple(host["findings"].items()),
        host["pending"],
    )


def _badness(some: Sequence[Host]) -> tuple[bool, int, int, int]:
    found = some[0]["findings"]
    return (
        some[0]["state"] != "silent",
        -found.get("error", 0),
        -found.get("warning", 0),
        -some[0]["pending"],
    )
