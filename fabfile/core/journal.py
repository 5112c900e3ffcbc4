"""A run's own record on the control side: plan and events, for its owner alone.

Knows a folder and JSON; a secret cannot be written into it (Secret refuses).  A record
that cannot be written (a full disk) is said once, and does not stop the work.
"""

from __future__ import annotations

import errno
import getpass
import json
import os
import re
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from fabfile.core import own_files, strict_json
from fabfile.core.contract import INV, BadInput, Change, Json, Plan, Ref
from fabfile.core.shapes import Shape, Text, misfit

MOST_RUNS, MOST_DAYS = 200, 365
_RUN = re.compile(r"^[A-Za-z0-9_.-]{1,80}$")


def folder() -> Path:
    """Where runs are kept: below XDG_STATE_HOME, else ~/.local/state.  Raises BadInput."""
    state = os.environ.get("XDG_STATE_HOME")
    try:
        return Path(state or Path.home() / ".local" / "state") / "stackrbd" / "runs"
    except RuntimeError:
        raise BadInput(
            f"user {os.getuid()} has no home folder here, where runs are recorded: set HOME, or "
            "name a folder by XDG_STATE_HOME"
        ) from None


def new_id() -> str:
    """A name for a run, in the order of time."""
    return time.strftime("%Y-%m-%dT%H-%M-%SZ-", time.gmtime()) + secrets.token_hex(2)


def who() -> str:
    """The operator: user@machine, and from where, if it was by SSH."""
    client = os.environ.get("SSH_CONNECTION", "").split(" ", maxsplit=1)[0]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}" + (f" from {client}" if client else "")


def _plain(value: object) -> dict[str, str]:
    if isinstance(value, Ref):
        return {"ref": value.name}
    raise TypeError(f"{type(value).__name__} does not go into the journal: it may be a secret")


class Journal:
    """One run: its id, its plan, its events as they happen.

    on_event: called with each event, when it is written.
    """

    on_event: Callable[[Mapping[str, Json]], None] | None = None

    def __init__(self, run: str, **what: Json) -> None:
        self.id, self.path = run, folder() / run
        self._warned = False
        _prune()
        try:
            # One by one: of a folder's parents, mkdir() leaves the mode to the umask.
            for path in (*reversed(self.path.parents[:2]), self.path):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            own_files.refuse_alterable(self.path, "the records of runs")
        except OSError as error:
            self._warn(error)
        self.event("run", who=who(), pid=os.getpid(), **what)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            print(
                f"stackrbd: warning: {self.path}: {error.strerror}: this run leaves no record "
                "here; the hosts keep theirs",
                file=sys.stderr,
            )

    def _append(self, name: str, text: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            handle = os.open(self.path / name, flags, 0o600)
            try:
                data = text.encode()
                if os.write(handle, data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(handle)
        except OSError as error:
            self._warn(error)

    def event(self, kind: str, **what: Json) -> None:
        """Appends one event, whole lines only."""
        line = {"time": round(time.time(), 3), "event": kind, **what}
        self._append("events.jsonl", json.dumps(line, default=_plain) + "\n")
        if self.on_event:
            self.on_event(line)

    def plan(self, plan: Plan) -> None:
        """Keeps what is going to be done."""
        # A change a line: with json's own indent, a thousand hosts' plan takes seconds.
        lines = ",\n".join(json.dumps(vars(c), default=_plain) for c in plan.changes)
        self._append("plan.json", f"[\n{lines}\n]\n")


def as_data(changes: Sequence[Change]) -> list[dict[str, Json]]:
    """Changes as JSON has them; a Ref is {'ref': name}, as in events."""
    # Not asdict(): it would take the Refs apart itself.
    text = json.dumps([vars(c) for c in changes], default=_plain)
    data: list[dict[str, Json]] = json.loads(text)
    return data


def _prune() -> None:
    """Takes away what is too old, or too much."""
    names = sorted((p for p in folder().glob("*") if _RUN.match(p.name)), reverse=True)
    for number, path in enumerate(names):
        try:
            age = (time.time() - path.stat().st_mtime) / 86400
            if number >= MOST_RUNS or age > MOST_DAYS:
                shutil.rmtree(path)
        except OSError:
            continue


# Reading what was recorded

CHANGES: Shape = [
    {
        **dict.fromkeys(("host", "thing", "sentence", "verb"), str),
        "sign": Text("[-+~!]", "a sign"),
        "args": {},
        "wave": int,
        **dict.fromkeys(("kind?", "subject?", "stays?"), str),
        **dict.fromkeys(("diff?", "restarts?"), [str]),
    }
]
"""A plan's changes, as as_data() writes them; the first records have no more than is needed."""
_EVENT: Shape = {
    "time": float,
    "event": str,
    **dict.fromkeys(("host?", "site?", "task?", "who?", "why?", "name?", "detail?"), str),
    **dict.fromkeys(("code?", "step?"), int),
    "failed?": {"*": str},
    "ok?": bool,
    "seconds?": float,
}
_PROOF: Shape = {**_EVENT, "name": str, "ok": bool, "detail": str, "seconds": float}
MOST_LINES, MOST_LETTERS = 200_000, 32 << 20
"""Of a run's record that is read: two events for each of twenty changes on 5,000 hosts."""
UNREAD = "unread"
"""The event behind which a record has more than is read of one."""
_LATEST = 253402300800
"""The year 10000: what is later has no date."""


def runs() -> Iterator[tuple[str, list[dict[str, Json]]]]:
    """(id, events) of every run recorded here, newest first."""
    try:
        names = sorted(os.listdir(folder()), reverse=True)
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as error:
        raise BadInput(
            f"{folder()}: {error.strerror}: expected the records of runs; make the folder "
            "readable, or name another one by XDG_STATE_HOME"
        ) from None
    for name in names:
        events = _events(folder() / name)
        if events:
            yield name, events


def read(run: str) -> tuple[list[dict[str, Json]], list[dict[str, Json]]]:
    """(events, planned changes) of a run.  Raises BadInput for one not recorded here."""
    path = folder() / run
    events = _events(path) if _RUN.match(run) else []
    if not events:
        raise BadInput(f"--run: no record of {run!r} below {folder()}; see {INV} history")
    most = strict_json.MOST
    try:
        with own_files.opened(path / "plan.json", "a run's plan") as stream:
            changes = strict_json.loads(stream.read(most + 1), most)
    except (OSError, ValueError, BadInput):
        changes = []
    return events, [] if misfit(changes, CHANGES) else changes


def _is_proof(event: Json) -> bool:
    """Whether it says that it is a check of a proof, which is told as a whole."""
    return isinstance(event, dict) and event.get("event") == "proof"


def refuse_unread(run: str, events: Sequence[Mapping[str, Json]]) -> None:
    """Raises BadInput where not all of a run's record was read, for what needs all of it."""
    if events[-1]["event"] == UNREAD:
        raise BadInput(f"{folder() / run / 'events.jsonl'}: {events[-1]['why']}")


def _events(path: Path) -> list[dict[str, Json]]:
    """What could be read of a run's events; UNREAD is the last one where there are more."""
    try:
        with own_files.opened(path / "events.jsonl", "a run's record") as stream:
            return _within_bounds(stream)
    except (OSError, BadInput):
        return []


def _within_bounds(stream: BinaryIO) -> list[dict[str, Json]]:
    found: list[dict[str, Json]] = []
    lines = letters = 0
    while line := stream.readline(MOST_LETTERS - letters + 1):
        lines, letters = lines + 1, letters + len(line)
        if lines > MOST_LINES or letters > MOST_LETTERS:
            return [*found, _unread(found[-1]["time"])] if found else []
        event = _event(line)
        if event:
            found.append(event)
    return found


def _unread(when: float) -> dict[str, Json]:
    why = (
        f"expected a record of at most {MOST_LINES} events and {MOST_LETTERS} bytes, found "
        "more: what is behind them was not read; see what wrote so much into it, and move the "
        "run's folder away"
    )
    return {"time": when, "event": UNREAD, "why": why}


def _event(line: bytes) -> dict[str, Json] | None:
    """The event of a line; None for what is none, as where a run was killed in a line's middle."""
    try:
        event = strict_json.loads(line)
    except ValueError:
        return None
    shape = _PROOF if _is_proof(event) else _EVENT
    return event if not misfit(event, shape) and 0 <= event["time"] < _LATEST else None
