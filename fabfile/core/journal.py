"""A run's own record on the control side: plan and events, for its owner alone.

Knows a folder and JSON; a secret cannot be written into it (Secret refuses).
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from fabfile.core.contract import Plan, Ref


def folder() -> Path:
    """Where runs are kept: below XDG_STATE_HOME, else ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "stackrbd" / "runs"


def _plain(value: Any) -> Any:
    if isinstance(value, Ref):
        return {"ref": value.name}
    raise TypeError(f"{type(value).__name__} does not go into the journal")


class Journal:
    """One run: its id, its plan, its events as they happen."""

    def __init__(self, site: str) -> None:
        self.id = time.strftime("%Y-%m-%dT%H-%M-%SZ-", time.gmtime()) + secrets.token_hex(2)
        self.path = folder() / self.id
        self.path.mkdir(mode=0o700, parents=True)
        self._events = self._open("events.jsonl")
        self.event("run", site=site, user=os.environ.get("USER", "?"), pid=os.getpid())

    def _open(self, name: str) -> Any:
        handle = os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(handle, "w")

    def event(self, kind: str, **what: Any) -> None:
        """Appends one event, whole lines only."""
        line = {"time": round(time.time(), 3), "event": kind, **what}
        self._events.write(json.dumps(line, default=_plain) + "\n")
        self._events.flush()

    def plan(self, plan: Plan) -> None:
        """Keeps what is going to be done."""
        with self._open("plan.json") as stream:
            json.dump(as_data(plan), stream, default=_plain, indent=1)

    def close(self) -> None:
        """No more events."""
        self._events.close()


def as_data(plan: Plan) -> list[dict[str, Any]]:
    """The changes as JSON has them, Refs by name."""
    text = json.dumps([dataclasses.asdict(c) for c in plan.changes], default=_plain)
    data: list[dict[str, Any]] = json.loads(text)
    return data
