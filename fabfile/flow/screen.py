"""What the operator sees: the plan, the progress, the recap.

Knows how to print; decides nothing.  With --json, only JSON goes to standard
output, and everything for people to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from fabfile.core.contract import Plan

_COLOURS = {"+": "32", "~": "33", "-": "31", "!": "36"}


def clean(text: str) -> str:
    """Lines for people, without control characters: what a host said may hold any."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


class Screen:
    """Prints plain lines; in colour on a terminal."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._out = sys.stderr if as_json else sys.stdout
        self._colour = self._out.isatty() and "NO_COLOR" not in os.environ

    def say(self, text: str = "") -> None:
        """One or more lines for people, without control characters."""
        print(clean(text), file=self._out, flush=True)

    def step(self, host: str, text: str) -> None:
        """One line of progress."""
        self.say(f"{time.strftime('%H:%M:%S')} {host:<14} {text}")

    def _sign(self, sign: str) -> str:
        return f"\x1b[{_COLOURS[sign]}m{sign}\x1b[0m" if self._colour else sign

    def plan(self, plan: Plan, diff: bool) -> None:
        """Every change by host; hosts with equal work are folded together."""
        by_host: dict[str, list[Any]] = {}
        for change in plan.changes:
            by_host.setdefault(change.host, []).append(change)
        folded: dict[tuple[Any, ...], list[str]] = {}
        for host, changes in by_host.items():
            key = tuple((c.sign, c.thing, c.sentence, c.diff) for c in changes)
            folded.setdefault(key, []).append(host)
        for lines, hosts in folded.items():
            self.say(", ".join(hosts))
            for sign, thing, sentence, detail in lines:
                print(f"  {self._sign(sign)} ", end="", file=self._out)
                self.say(f"{thing}: {sentence}")
                for line in detail if diff else ():
                    self.say(f"      {line}")
        signs = [c.sign for c in plan.changes]
        self.say(
            f"Plan: {signs.count('+')} to add, {signs.count('~')} to change, "
            f"{signs.count('-')} to remove, {signs.count('!')} restarts "
            f"on {len(by_host)} hosts"
        )
        for note in plan.notes:
            self.say(f"Note: {note}")

    def nothing(self, plan: Plan) -> None:
        """An empty plan."""
        self.say("Nothing to do: everything is as it should be.")
        for note in plan.notes:
            self.say(f"Note: {note}")

    def json(self, document: Mapping[str, Any]) -> None:
        """The one JSON document of --json."""
        if self._json:
            print(json.dumps(document, indent=1))
