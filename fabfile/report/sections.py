"""The page's sections: each of one part of the document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fabfile.core.contract import Json
from fabfile.report import canary
from fabfile.report import document as documents
from fabfile.report.markup import Child, Element, el
from fabfile.report.picture import NARROW, WIDE, picture
from fabfile.report.pieces import badge, chips, counted, fold, names, row, section, table
from fabfile.report.shapes import Check, Client, Document, Host, Run
from fabfile.report.text import folded
from fabfile.report.timeline import timeline
from fabfile.report.times import lasting, when
from fabfile.report.topology import in_words, topology

NEW, MOST_ROWS = 10, 200
"""Runs that are shown unfolded; rows of a plan."""
_SIGNS = {"+": "new", "~": "altered", "-": "taken away", "!": "restart"}


def site(document: Document) -> Element:
    """The picture, and the same in words."""
    return section(
        "topology",
        "Who holds which key",
        counted(len(document["hosts"]), "host"),
        el(
            "p",
            "Services hold keys; a key opens pools: rwx to write, rx to read only. "
            "A dashed red arrow is not as it should be.",
            class_="soft",
        ),
        el(
            "div",
            picture(topology(document), WIDE, "wide"),
            picture(topology(document, most=1), NARROW, "narrow"),
            class_="scroll",
            tabindex=0,
            role="group",
            aria_label="The picture",
        ),
        fold("The same in words", el("ul", [el("li", said) for said in in_words(document)])),
    )


def findings(document: Document) -> Element:
    """What is wrong, and the commands that mend it."""
    found = document["findings"]
    counts = [counted(n, severity) for severity, n in document["counts"].items() if n]
    return section(
        "findings",
        "Findings",
        ", ".join(counts) or "none",
        el("ul", [_finding(one) for one in found], class_="plain")
        if found
        else el("p", "Nothing was found."),
    )


def _finding(one: Mapping[str, Json]) -> Element:
    told = [("found", one["found"]), ("expected", one["expected"]), ("why", one["cause"])]
    head = el("h3", badge(one["severity"]), " ", one["thing"])
    where: list[Child] = [el("dt", "where"), el("dd", names(one["hosts"]) or "the site")]
    rest = [[el("dt", label), el("dd", text)] for label, text in told if text]
    mend = [el("dt", "mend"), el("dd", [_step(step) for step in one["mend"]])]
    return el("li", head, el("dl", where, rest, mend if one["mend"] else None), class_="finding")


def _step(step: Mapping[str, Json]) -> list[Child]:
    if step["kind"] == "words":
        return [el("p", step["run"])]
    where = el("p", "as root on ", names(step["hosts"]), class_="soft") if step["hosts"] else None
    return [where, el("pre", el("code", step["run"]))]


def secrets(document: Document) -> Element:
    """The truth table; guests and attachments that are as they should be as a number."""
    odd, rows = sum(bool(p["odd"]) for p in document["secrets"]), len(document["secrets"])
    return section(
        "secrets",
        "The truth table of secrets",
        f"{odd} of {rows} differ" if odd else "all equal" if rows else "nothing seen",
        el(
            "p",
            "One row for each place that holds the RBD identity. Keys are compared by "
            "fingerprints; no key leaves its host.",
            class_="soft",
        ),
        table(
            "Places that hold the identity",
            ("", "place", "where", "client", "secret UUID", "value", "differs"),
            [_place(place, _where(place, n)) for place, n in folded(document["secrets"])],
        ),
        el("h3", "The keys"),
        table(
            "The clients' keys",
            ("client", "fingerprint", "made", "writes", "reads"),
            [_key(name, c, document["made"]) for name, c in document["clients"].items()],
        ),
        el("p", "A key's own first bytes say when it was made.", class_="soft"),
    )


def _where(place: Mapping[str, Json], number: int) -> Child:
    if number:
        return counted(number, place["kind"])
    if place["kind"] in ("guest", "attachment"):
        return [names(place["hosts"]), f" {place['name']}"]
    return names(place["hosts"])


def _place(place: Mapping[str, Json], where: Child) -> Element:
    return row(
        badge("differs", "bad") if place["odd"] else badge("ok"),
        place["kind"],
        where,
        place["client"],
        el("td", el("span", place["uuid"], class_="mono") if place["uuid"] else None),
        el("td", el("span", place["value"][:19], class_="mono") if place["value"] else None),
        place["odd"],
        odd=bool(place["odd"]),
    )


def _key(name: str, client: Client, now: float) -> Element:
    made = client["made"]
    return row(
        f"client.{name}",
        el("span", client["value"][:19] or "not seen", class_="mono"),
        f"{when(made)} ({lasting(now - made)} ago)" if made else "not known",
        ", ".join(client["rwx"]),
        ", ".join(client["rx"]),
    )


def drift(document: Document) -> Element:
    """What integrate would do now."""
    pending, told = document["pending"], document["drift"]
    unknown = (
        None
        if told["known"]
        else el(
            "p",
            badge("not all is known", "warning"),
            " Not everything could be looked at or planned: the findings say what.",
        )
    )
    if not pending:
        calm = el("p", "Everything is as it should be.") if told["known"] else unknown
        return section("drift", "Drift", "none" if told["known"] else "not known", calm)
    more = len(pending) - MOST_ROWS
    return section(
        "drift",
        "Drift",
        f"{counted(told['changes'], 'change')} on {counted(len(told['hosts']), 'host')}",
        unknown,
        el(
            "p",
            "What integrate would do now; ",
            el("code", "inv plan"),
            " shows it with diffs.",
            class_="soft",
        ),
        table(
            "Changes that are pending",
            ("what", "task", "thing", "change", "hosts"),
            [
                row(
                    _sign(one["sign"]),
                    el("span", one["task"], class_="mono"),
                    one["thing"],
                    one["sentence"],
                    names(one["hosts"]),
                )
                for one in pending[:MOST_ROWS]
            ],
        ),
        el("p", f"And {more} more.") if more > 0 else None,
    )


def _sign(sign: str) -> Child:
    return [el("span", sign[:1], class_="mono"), f" {_SIGNS.get(sign, '')}"]


def verify(document: Document) -> Element:
    """The last proof's steps, and how long each took."""
    last = documents.last(document["runs"], verify=True)
    if last is None:
        return section(
            "verify",
            "Verify",
            "never recorded here",
            el("p", "To prove that it works: ", el("code", "inv verify")),
        )
    checks = last["checks"]
    good = sum(bool(check["ok"]) for check in checks)
    return section(
        "verify",
        "Verify",
        f"{good} of {len(checks)} passed, {when(last['began'])}",
        el(
            "p",
            badge(last["outcome"]),
            f" {last['run']}, {lasting(last['seconds'])}, by ",
            last["who"],
        ),
        el("p", last["why"]) if last["why"] else None,
        proved(checks),
    )


def proved(checks: Sequence[Check]) -> list[Child]:
    """Checks: the canary's by step, over all computes, and each of them in a fold."""
    shared = [check for check in checks if not check.get("host") or not check["ok"]]
    each = [check for check in checks if check.get("host")]
    longest = max((check["seconds"] or 0 for check in checks), default=0) or 1
    found: list[Child] = []
    if each:
        steps = canary.steps(checks)
        most = max((one["slowest"] or 0 for one in steps), default=0) or 1
        found.append(
            table(
                "The canary on the computes",
                ("", "step", "computes", "median", "longest", "slowest on", "failed on"),
                [_flown(one, most) for one in steps],
            )
        )
    if shared:
        found.append(
            _checks(
                "Steps for all, and those that failed" if each else "Steps of the last verify",
                shared,
                longest,
            )
        )
    by_host = canary.computes(each)
    if each:
        found.append(
            fold(
                f"Each of {counted(len(by_host), 'compute')}",
                [
                    fold(
                        [name, f" {lasting(sum(c['seconds'] or 0 for c in some))}"],
                        _checks(f"The canary on {name}", some, longest),
                    )
                    for name, some in list(by_host.items())[:MOST_ROWS]
                ],
            )
        )
    return found


def _flown(one: canary.StepTimes, most: float) -> Element:
    failed = one["failed"]
    slowest: list[Child] = (
        [] if one["slowest"] is None else [lasting(one["slowest"]), _share(one["slowest"], most)]
    )
    return row(
        badge("failed") if failed else badge("ok"),
        one["step"],
        str(one["computes"]),
        "" if one["median"] is None else lasting(one["median"]),
        slowest,
        one["on"],
        names(failed),
        odd=bool(failed),
    )


def _checks(caption: str, checks: Sequence[Check], longest: float) -> Element:
    heads = ("", "step", "time", "what was seen")
    return table(caption, heads, [_check(check, longest) for check in checks])


def _share(seconds: float, longest: float) -> Element:
    return el(
        "span",
        class_="share",
        style=f"width:{max(1, seconds / longest * 100):.0f}%",
        aria_hidden="true",
    )


def _check(check: Check, longest: float) -> Element:
    seconds = check["seconds"] or 0
    return row(
        badge("ok") if check["ok"] else badge("failed"),
        check["name"],
        [lasting(seconds), _share(seconds, longest)],
        check["detail"],
        odd=not check["ok"],
    )


def hosts(document: Document) -> Element:
    """All hosts, those of equal state in one row, with a box that finds a name."""
    together: dict[tuple[object, ...], list[Host]] = {}
    for host in document["hosts"]:
        together.setdefault(_state(host), []).append(host)
    alike = sorted(together.values(), key=_badness)
    return section(
        "hosts",
        "Hosts",
        f"{document['answered']} of {document['asked']} answered; {counted(len(alike), 'state')}",
        el(
            "p",
            el("label", "Find hosts by name, role or version ", for_="filter"),
            el("input", type="search", id="filter", autocomplete="off", spellcheck="false"),
            el("span", id="filtered", role="status"),
            class_="filter",
            hidden=True,
        ),
        table(
            "Hosts, those of one state together",
            ("", "hosts", "roles", "system", "versions", "services", "pending"),
            [_alike(some) for some in alike],
        ),
    )


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


def _alike(some: Sequence[Host]) -> Element:
    one = some[0]
    found = [badge(counted(n, severity), severity) for severity, n in one["findings"].items()]
    silent = {"silent": badge("silent"), "not asked": badge("not asked", "unsure")}
    versions = ", ".join(f"{name} {version}" for name, version in one["versions"].items())
    who = [host["name"] for host in some]
    listed = chips(who)
    return row(
        [silent.get(one["state"]), found or (badge("ok") if one["state"] == "answered" else None)],
        fold(counted(len(who), "host"), listed) if len(who) > 1 else listed,
        ", ".join(one["roles"]),
        one["system"],
        versions,
        ", ".join(f"{unit} {state}" for unit, state in one["units"].items()),
        counted(one["pending"], "change") if one["pending"] else "",
        odd=one["state"] == "silent" or bool(one["findings"].get("error")),
    )


def runs(document: Document) -> Element:
    """When what was done: a bar a run, and each run with its steps."""
    found = document["runs"]
    if not found:
        return section(
            "runs",
            "Runs",
            "none is recorded here",
            el("p", "Nothing was done from this machine yet."),
        )
    wide, narrow = timeline(found, 840, "bars"), timeline(found, 300, "bars-narrow")
    wide.set("class", "timeline wide")
    narrow.set("class", "timeline narrow")
    older = [_run(one) for one in found[NEW:]]
    return section(
        "runs",
        "Runs",
        f"the last {len(found)} that are recorded here",
        el(
            "p",
            "A bar for each run, the newest at the right; a higher one took longer. "
            "✕: it failed; ?: its end is not known.",
            class_="soft",
        ),
        wide,
        narrow,
        [_run(one) for one in found[:NEW]],
        fold(f"{counted(len(older), 'earlier run')}", older) if older else None,
    )


def _run(one: Run) -> Element:
    line = el(
        "span",
        el("span", when(one["began"])),
        el("strong", one["task"]),
        el("span", badge(one["outcome"])),
        el("span", counted(one["changes"], "change")),
        el("span", lasting(one["seconds"])),
        el("span", one["who"], class_="who soft"),
        class_="line",
    )
    steps = [
        row(
            _sign(step["sign"]),
            step["thing"],
            step["sentence"],
            names(step["hosts"]),
            f"{step['done']} of {len(step['hosts'])}",
        )
        for step in one["steps"][:MOST_ROWS]
    ]
    why = el("pre", one["why"]) if one["why"] else None
    gate = (
        fold("The canary at the gate", proved(one["checks"]))
        if one["checks"] and one["task"] != "verify"
        else None
    )
    if not (steps or why or gate):
        return el("div", line, class_="run")
    told = table("Steps of the run", ("what", "thing", "change", "hosts", "done"), steps)
    more = len(one["steps"]) - MOST_ROWS
    return el(
        "div",
        fold(
            line,
            el(
                "div",
                el("p", "Run ", el("code", one["run"])),
                why,
                told if steps else None,
                gate,
                el("p", f"And {more} more: inv show --run {one['run']}") if more > 0 else None,
                class_="steps",
            ),
        ),
        class_="run",
    )


def versions(document: Document) -> Element:
    """Ceph, OpenStack, libvirt, and ourselves."""
    told: list[tuple[str, Child]] = []
    ceph = document.get("ceph")
    if ceph:
        each = ", ".join(f"{v} ({counted(n, 'daemon')})" for v, n in ceph["versions"].items())
        told += [("Ceph", each), ("fsid", el("span", ceph["fsid"], class_="mono"))]
    told.append(("OpenStack", document["openstack"]["release"] or "of no one release"))
    for name, where in sorted(document["openstack"]["packages"].items()):
        told.append((name, names(where)))
    for kind, where in document["libvirt"].items():
        told.append((f"libvirt, {kind}", names(where)))
    told += [("stackrbd", document["version"]), ("site file", el("code", document["file"]))]
    return section(
        "versions",
        "Versions",
        "",
        el("dl", [[el("dt", label), el("dd", text)] for label, text in told]),
    )
