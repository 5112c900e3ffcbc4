"""`inv` alone: what to do now, as far as is known here; reaches no host."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fabfile.core import journal, site_file
from fabfile.core.contract import INV, BadInput
from fabfile.core.text import table
from fabfile.flow import history, own_site
from fabfile.flow.session import Options
from fabfile.flow.terminal.screen import Screen
from fabfile.model.site import Site
from fabfile.report.shapes import Told

_LOOKS = ("verify", "backup.verify", "backup.create")
"""Tasks with a record that alter no host's services."""
_WHOLE = ("integrate", "apply")
_MOST_FAULTS = 5
_RUNS = 50
"""So many of the newest are looked through."""


@dataclass(frozen=True)
class Next:
    """One thing to do.  run: the command; why: what it is for."""

    run: str
    why: str


def show(options: Options) -> int:
    """Prints where things stand, and the next commands."""
    stands, found = _found(options)
    tell(Screen(options.json), stands, found)
    return 0


def tell(screen: Screen, stands: str, found: Sequence[Next]) -> None:
    """Says where things stand, and the next commands."""
    screen.say(stands)
    screen.say_all(table([(f"  {one.run}", one.why) for one in found], screen.columns))
    screen.say(f"All tasks: {INV} --list; one of them: {INV} --help TASK")
    screen.json({"stands": stands, "next": [asdict(one) for one in found]})


def _found(options: Options) -> tuple[str, list[Next]]:
    words = options.words_of_site
    try:
        path = site_file.locate(options.site)
        if not path.exists():
            return f"{path}: there is no site file.", _start()
        site = own_site.checked(path)
    except BadInput as stop:
        faults = str(stop).splitlines()
        if "found none" in faults[0] and len(faults) == 1:
            return faults[0], _start()
        return few_lines(faults), [Next(f"{INV} config{words}", "when that is mended: what counts")]
    runs = (history.summary(run, events) for run, events in journal.runs())
    mine = [one for one in itertools.islice(runs, _RUNS) if one["site"] == site.name]
    stands, found = after(mine)
    if not (site.verify.image or site.verify.guest):
        found = [_with_a_guest(one, path) for one in found]
    if not mine and _is_the_labs(path):
        return f"{path} is the lab's site file, and no run is recorded here.", _of_a_checkout()
    return f"{site.name} ({path}): {stands}", [*_with(found, words), *_with(_backups(site), words)]


def _with_a_guest(one: Next, path: Path) -> Next:
    """What proves it needs a guest, which nobody has named yet."""
    if one.run != f"{INV} verify":
        return one
    return Next(one.run, f"{one.why}; first fill in [verify] of {path.name} (docs/verify.md)")


def few_lines(faults: Sequence[str]) -> str:
    """The first faults of a site file, and how many more there are."""
    more = len(faults) - _MOST_FAULTS
    return "\n".join([*faults[:_MOST_FAULTS], *([f"and {more} more"] if more > 0 else [])])


def _with(found: Sequence[Next], words: str) -> Iterator[Next]:
    for one in found:
        known = not one.run.startswith((f"{INV} show", f"{INV} history"))
        yield Next(one.run + (words if known else ""), one.why)


def _is_the_labs(path: Path) -> bool:
    """Whether it is a checkout's own file, as it came."""
    own = site_file.PROJECT / "config" / "site.toml"
    return path == own and (site_file.PROJECT / "lab").is_dir()


def _of_a_checkout() -> list[Next]:
    return [
        Next("make demo", "start the lab here (root, Debian 12), integrate it and prove it"),
        Next(f"{INV} plan", "where the lab is up: all that would be done; changes nothing"),
        Next(f"{INV} init --cloud NAME --ceph HOST", "or: describe a cloud of your own that runs"),
        Next(f"{INV} init", "or: a commented start for one, to fill in"),
    ]


def _start() -> list[Next]:
    return [
        Next(f"{INV} init", "a commented start, to fill in"),
        Next(f"{INV} init --cloud NAME --ceph HOST", "or: describe a cloud that runs"),
        Next(f"{INV} init --schema", "for an editor that completes it"),
    ]


def after(runs: Sequence[Told]) -> tuple[str, list[Next]]:
    """Where a site stands, and what is next.  runs: its recorded ones, the newest first."""
    if not runs:
        return "no run is recorded here.", [
            Next(f"{INV} hosts.trust", "where host keys are missing"),
            Next(f"{INV} hosts.check", "what each host lacks"),
            Next(f"{INV} plan", "all that would be done; changes nothing"),
            Next(f"{INV} integrate", "do it"),
        ]
    last = runs[0]
    said = f"the last run, {last['run']} ({last['task']}): {last['outcome']}."
    if last["outcome"] != "done":
        return said, [
            Next(f"{INV} show --run {last['run']}", "what it did, and why it ended so"),
            Next(f"{INV} doctor", "what is wrong, and what mends it"),
            Next(_again(last["task"]), "the same again: it begins with what it finds"),
        ]
    work = next((one for one in runs if one["task"] not in _LOOKS), None)
    if work is None:
        return said, [Next(f"{INV} plan", "all that would be done; changes nothing")]
    if work["task"] not in (*_WHOLE, "undo"):
        return said, [
            Next(f"{INV} services.restart", "the restarts that it may have left pending"),
            Next(f"{INV} plan", "what is still to do for the whole"),
        ]
    if work["task"] == "undo":
        return said, [Next(f"{INV} plan", "what integrate would do again")]
    proved = "verify" in [one["task"] for one in runs[: runs.index(work)]]
    looks = [
        Next(f"{INV} doctor", "whether it still is as it should be"),
        Next(f"{INV} report", "the same as a page, for others"),
    ]
    return said, looks if proved else [Next(f"{INV} verify", "prove that it works"), *looks]


def _again(task: str) -> str:
    """The command of a task that is begun again; a plan or a backup has to be named anew."""
    simple = task not in ("apply", "undo") and not task.startswith(("backup.", "recover"))
    return f"{INV} {task}" if simple else f"{INV} plan"


def _backups(site: Site) -> list[Next]:
    if site.backup.recipients or not site.with_role("database"):
        return []
    return [Next(f"{INV} backup.key", "make the key for backups: none are made yet")]
