"""history, show and undo: what earlier runs did, from the records of both sides."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from fabfile.core import journal, own_files
from fabfile.core.contract import CLOUD, INV, BadInput, Json
from fabfile.core.shapes import LINE, misfit
from fabfile.core.text import hung, named, table
from fabfile.flow import own_site
from fabfile.flow.terminal.screen import Screen
from fabfile.model.site import Site
from fabfile.resources import in_force
from fabfile.resources.rollback import Undone

if TYPE_CHECKING:  # it is slow to load, with all of doctor
    from fabfile.report.shapes import Told

_OUTCOMES = {
    0: "done",
    1: "failed",
    3: "refused",
    4: "unreachable",
    5: "locked",
    6: "unproved",
    7: "unknown",
    130: "interrupted",
}


def summary(run: str, events: list[dict[str, Json]]) -> Told:
    """One run in a few words: whose, on what, how much, how long, and how it ended."""
    first, last = events[0], events[-1]
    ended, code = last["event"] == "ended", last.get("code", 1)
    open_end = "unread" if last["event"] == journal.UNREAD else "not ended"
    return {
        "run": run,
        "site": first.get("site", ""),
        "task": first.get("task", ""),
        "who": first.get("who", ""),
        "changes": sum(e["event"] == "done" for e in events),
        "seconds": round(last["time"] - first["time"], 1),
        "outcome": _OUTCOMES.get(code, str(code)) if ended else open_end,
    }


_SHOWN = 30
"""Runs that a screen has; a script gets all."""


def history(as_json: bool, site: str = "") -> int:
    """A line for each of the newest runs recorded here; of one site where its file is named."""
    screen = Screen(as_json)
    name = own_site.named(site).name if site else ""
    found = [summary(run, events) for run, events in journal.runs()]
    found = [one for one in found if name in ("", one["site"])]
    form = [
        "{run}",
        "{site}",
        "{task}",
        "{outcome}",
        "{changes:>3} changes",
        "{seconds:>6} s",
        "{who}",
    ]
    rows = [[cell.format(**entry) for cell in form] for entry in found[:_SHOWN]]
    screen.say_all(table(rows, screen.columns))
    if older := len(found) - len(rows):
        screen.say(f"and {older} older: {INV} history --json has them all")
    if not found:
        of = f" of site {name!r}" if name else ""
        screen.say(f"no runs{of} are recorded below {journal.folder()}")
    screen.json({"runs": found})
    return 0


def last(site: str) -> Told | None:
    """The site's newest run that is recorded here."""
    for run, events in journal.runs():
        if events[0].get("site") == site:
            return summary(run, events)
    return None


def show(run: str, as_json: bool) -> int:
    """One run, the newest where none is named: what was planned, what happened, how it ended."""
    screen = Screen(as_json)
    if not run:
        run = next((name for name, _ in journal.runs()), "")
        if not run:
            raise BadInput(f"no runs are recorded below {journal.folder()}")
    events, changes = journal.read(run)
    entry = summary(run, events)
    for name, value in entry.items():
        screen.say_all(hung(f"{name:<8} ", str(value), screen.columns))
    done = {(e["host"], e.get("step")) for e in events if e["event"] == "done" and "host" in e}
    planned(screen, changes, done)
    screen.say_all(_proved(events, screen.columns))
    if events[-1].get("why"):
        screen.say(str(events[-1]["why"]))
    screen.json({**entry, "plan": changes, "events": events})
    return 0


def _proved(events: Sequence[Mapping[str, Json]], columns: int) -> Iterator[str]:
    """The checks of a proof, as verify says them."""
    for one in events:
        if one["event"] == "proof":
            head = f"  {'ok' if one['ok'] else 'NOT':<5} "
            yield from hung(head, f"{one['name']}: {one['detail']}", columns)


def planned(
    screen: Screen, changes: Sequence[Mapping[str, Json]], done: Collection[tuple[Json, Json]]
) -> None:
    """A run's changes, those alike of several hosts together.  done: (host, number of the step)."""
    alike: dict[tuple[str, str], list[str]] = {}
    for number, change in enumerate(changes):
        state = "done" if (change["host"], number) in done else "-"
        sentence = f"{change['sign']} {change['thing']}: {change['sentence']}"
        alike.setdefault((state, sentence), []).append(change["host"])
    for (state, sentence), hosts in alike.items():
        label = f"  {state:<5} {hosts[0]:<14} "
        if len(hosts) > 1:
            label = " " * 8
            screen.say_all(hung(f"  {state:<5} ", named(hosts), screen.columns))
        screen.say_all(hung(label, sentence, screen.columns))


_OF_A_TYPE = {
    "name": LINE,
    "backend_name": LINE,
    "specs?": {"*": LINE},
    "was?": {"*": (None, LINE)},
}


_OF_QOS = {
    "name": LINE,
    "specs": {"*": LINE},
    "was": {"*": (None, LINE)},
    "bound": bool,
}
_TAKEN = {"name": LINE, "made": bool, "was?": {"*": (None, str)}}
_OF_THE_CLOUD = {
    "volume_type": _OF_A_TYPE,
    "qos": _OF_QOS,
    "no_volume_type": _TAKEN,
    "no_qos": {**_TAKEN, "bound": bool},
    "close_backend": {"service": LINE},
}
"""{verb of what is taken back through the cloud's API: the shape of its arguments}."""


def _is_odd(change: dict[str, Json]) -> bool:
    """Whether a change of a volume type or its QoS does not say of which."""
    shape = _OF_THE_CLOUD.get(change["verb"])
    return shape is not None and bool(misfit(change["args"], shape))


def undone(run: str, site: Site, limited: Collection[str]) -> Undone:
    """The resource that takes a run back: the one named, else the site's last that wrote.

    limited: the hosts that may be touched.  Raises BadInput where there is no such run.
    """
    if not run:
        for name, events in journal.runs():
            first = events[0]
            if first.get("site") != site.name or first.get("task") == "undo":
                continue
            journal.refuse_unread(name, events)
            if any(e["event"] in ("done", "begin", "unknown") for e in events):
                run = name
                break
        else:
            raise BadInput(
                f"undo: no run on site {site.name!r} is recorded here; name one by --run"
            )
    try:
        events, changes = journal.read(run)
    except BadInput:
        return Undone(run, (), limited)  # made elsewhere: the hosts know it
    own_files.refuse_alterable(journal.folder() / run / "events.jsonl", "the record of a run")
    journal.refuse_unread(run, events)
    whole = set(limited) >= set(site.hosts)
    cloud = [e for e in events if whole and e["event"] == "done" and e.get("host") == CLOUD]
    numbers = [event.get("step", -1) for event in cloud]
    if any(number not in range(len(changes)) or _is_odd(changes[number]) for number in numbers):
        raise BadInput(
            f"undo: {journal.folder() / run / 'plan.json'}: expected the plan of what the run did "
            "in the cloud's API, found it damaged or gone; take that back by hand"
        )
    done = [changes[number] for number in numbers]
    types = [change for change in done if change["verb"] in _OF_THE_CLOUD]
    worked = {str(e.get("host")) for e in events if e["event"] in ("begin", "done", "unknown")}
    if cloud and not types and worked == {CLOUD}:
        raise BadInput(
            f"undo: run {run} did nothing that is taken back: {done[0]['thing']} "
            f"({done[0]['sentence']}) stays: {done[0].get('stays') or 'it is as it is now'}; name "
            f"another one by --run ({INV} history)"
        )
    strangers = sorted(worked - {CLOUD, *site.hosts}) if whole else []
    there = {str(e.get("host")) for e in events if e["event"] == "done"}
    mine = sorted(there & set(site.hosts)) if whole else []
    return Undone(run, types, limited, strangers, _named(changes), mine)


def _named(changes: Sequence[dict[str, Json]]) -> set[str]:
    """The cephx clients that a run's edits made services name; its record may be damaged."""
    shape = {"edits": [[(None, LINE)]]}
    edits = [
        edit
        for one in changes
        if one["verb"] == "edit" and not misfit({"edits": one["args"].get("edits")}, shape)
        for edit in one["args"]["edits"]
    ]
    return {e[2] for e in edits if len(e) == 3 and e[1] in in_force.USER_OPTIONS and e[2]}  # noqa: PLR2004
