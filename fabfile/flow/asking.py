"""What hosts answer to what they were asked, and whether it can be an answer.

Knows reads and their shapes; does not know how a host is reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fabfile.core.answers import fits, unasked
from fabfile.core.contract import Failed, Host, Locked, Read, Secret


def as_data(reads: Sequence[Read]) -> list[dict[str, Any]]:
    """Reads as they go to an agent."""
    return [vars(read) for read in reads]


class Answers:
    """The answers of hosts that were asked: values is {host: {read id: value}}."""

    def __init__(self, asked: Mapping[Host, Sequence[Read]]) -> None:
        self.values: dict[str, dict[str, Any]] = {host.name: {} for host in asked}
        self._verbs = {(h.name, r.id): r.verb for h, reads in asked.items() for r in reads}
        self._errors: list[str] = []
        self._busy: list[str] = []

    def heard(self, host: str, message: Mapping[str, Any]) -> None:
        """One message of a host's.  Raises Unreachable for an answer to nothing."""
        if message["t"] == "busy":
            self._busy.append(f"{host}: {message['who']} is at work there")
        if message["t"] != "read":
            return
        verb = self._verbs.get((host, message["id"]))
        if verb is None:
            raise unasked(host)
        if "error" in message:
            self._errors.append(f"{host}: {message['error']}")
        elif not fits(verb, message["value"]):
            self._errors.append(f"{host}: {message['id']}: answers something else than was asked")
        else:
            value = message["value"]
            self.values[host][message["id"]] = Secret(value) if verb == "secret" else value

    def refuse(self) -> None:
        """Raises Locked or Failed for the hosts that could not look."""
        if self._busy:
            raise Locked("\n".join(self._busy))
        if self._errors:
            raise Failed("could not look:\n" + "\n".join(self._errors))
