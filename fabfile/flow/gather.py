"""What hosts answer to what they were asked, and whether it can be an answer.

Knows reads and their shapes; does not know how a host is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fabfile.core.answers import IN_PARTS, unasked, wrong
from fabfile.core.contract import (
    CLOUD,
    Failed,
    Host,
    Json,
    Locked,
    Message,
    Read,
    Secret,
    Stop,
    Unbelieved,
)
from fabfile.flow.terminal import outcomes
from fabfile.model.platforms import Platform
from fabfile.model.site import Site
from fabfile.resources.resource import HOST, Resource

DEADLINE = 120
"""Seconds that a host may take to answer all."""


def as_data(reads: Sequence[Read]) -> list[dict[str, Json]]:
    """Reads as they go to an agent."""
    return [
        {"id": read.id, "verb": read.verb, "args": read.args, "most": read.most} for read in reads
    ]


def questions(site: Site, stages: Sequence[Resource], host: Host) -> list[Read]:
    """What all stages have to know of a host, each thing once."""
    asked: dict[str, Read] = {}
    for read in (read for stage in stages for read in stage.reads(site, host)):
        asked[read.id] = read.together(asked.get(read.id, read))
    if host.name != CLOUD:
        asked[HOST.id] = HOST
    return list(asked.values())


def works(
    asked: Mapping[Host, Sequence[Read]],
    under_lock: Mapping[str, Json],
    platform_of: Callable[[Host], Platform],
    deadline: int = DEADLINE,
) -> dict[str, dict[str, Json]]:
    """{host: its work}: questions as an engine takes them."""
    return {
        host.name: {
            "ways": platform_of(host).ways,
            **under_lock,
            "reads": as_data(reads),
            "deadline": deadline,
        }
        for host, reads in asked.items()
    }


class FactCollector:
    """The answers of hosts that were asked: values is {host: {read id: value}}."""

    def __init__(self, asked: Mapping[Host, Sequence[Read]]) -> None:
        self.values: dict[str, dict[str, Json]] = {host.name: {} for host in asked}
        self._asked = {(h.name, r.id): r for h, reads in asked.items() for r in reads}
        self._errors: dict[str, list[str]] = {}
        self._busy: dict[str, Stop] = {}
        self._parts: dict[tuple[str, str], list[str]] = {}

    def on_message(self, host: str, message: Message) -> None:
        """One message of a host's.  Raises Unreachable for an answer to nothing."""
        if message["t"] == "busy":
            self._busy[host] = Locked(host=host, found=f"{message['who']} is at work there")
        if message["t"] == "refused":
            self._wrong(host, message["why"])
        if message["t"] not in ("read", "part"):
            return
        read = self._asked.get((host, message["id"]))
        if read is None:
            raise unasked(host)
        if message["t"] == "part":
            self._parts.setdefault((host, message["id"]), []).extend(message["lines"])
            return
        if read.verb in IN_PARTS and "error" not in message:
            message = {**message, "value": self._whole(host, message)}
        if "error" in message:
            self._wrong(host, message["error"])
        elif said := wrong(read, message["value"]):
            self._wrong(host, f"{message['id']}: answers something else than was asked: {said}")
        else:
            value = message["value"]
            self.values[host][message["id"]] = Secret(value) if read.verb == "secret" else value

    def _whole(self, host: str, message: Message) -> Json:
        """The lines of all parts; None where they are not as many as the host says."""
        lines = self._parts.pop((host, message["id"]), [])
        return lines if len(lines) == message["value"] else None

    def _wrong(self, host: str, why: str) -> None:
        self._errors.setdefault(host, []).append(why)

    def faults(self) -> dict[str, Stop]:
        """{host: why} of those that could not look."""
        errors = {
            host: Failed(f"{host}: could not look: " + "\n".join(lines))
            for host, lines in self._errors.items()
        }
        return {**errors, **self._busy}

    def wanting(self, cut: Mapping[str, Stop]) -> dict[str, Stop]:
        """{host: why} of all that did not answer all; cut: those that did not end.

        Nothing is written by those that read: one that was cut was not reached, no more.
        """
        return {**self.missing(), **self.faults(), **outcomes.unreached(cut)}

    def missing(self) -> dict[str, Stop]:
        """{host: why} of those that have not answered all."""
        return {
            host: Unbelieved(host=host, found=f"left {name} without an answer")
            for host, name in self._asked
            if name not in self.values[host]
        }
