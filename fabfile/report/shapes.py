"""The shapes of the document's parts, as report.json has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from fabfile.core.contract import Json
from fabfile.doctor.summary import Summary

Check = Mapping[str, Json]
"""A step of a proof, as the journal has it: {'name', 'ok', 'detail', 'seconds', 'host'}."""


class Host(TypedDict):
    """A host: who it is, what runs there, what was found and what is pending there."""

    name: str
    roles: list[str]
    address: str | None
    state: str
    system: str
    versions: dict[str, str]
    units: dict[str, str]
    findings: dict[str, int]
    pending: int


class Seen(TypedDict):
    """Of a host, what itself says."""

    state: str
    system: str
    versions: dict[str, str]
    units: dict[str, str]


class Holder(TypedDict):
    """Hosts of one state that hold a client's key."""

    role: str
    client: str
    by: str
    state: str
    said: str
    hosts: list[str]


class Client(TypedDict):
    """A client's key: its fingerprint, when it was made, and its pools."""

    value: str
    made: float | None
    rwx: list[str]
    rx: list[str]


class Pending(TypedDict):
    """A change that is pending, on one or more hosts."""

    task: str
    sign: str
    thing: str
    sentence: str
    hosts: list[str]


class RunStep(TypedDict):
    """A step of a run, on one or more hosts; done: on how many."""

    sign: str
    thing: str
    sentence: str
    hosts: list[str]
    done: int


class Told(TypedDict):
    """A run, as history has it."""

    run: str
    site: str
    task: str
    who: str
    changes: int
    seconds: float
    outcome: str


class Run(Told):
    """A run: when, and what was planned and done in it."""

    began: float
    ended: float
    code: int | None
    why: str
    steps: list[RunStep]
    checks: list[Check]


Format = TypedDict("Format", {"stackrbd report": int})


class State(Summary, Format):
    """The site's state: all of the document but who made it, and the runs."""

    site: str
    healthy: bool
    counts: dict[str, int]
    asked: int
    answered: int
    cloud: bool
    findings: Sequence[Mapping[str, Json]]
    secrets: Sequence[Mapping[str, Json]]
    holders: list[Holder]
    clients: dict[str, Client]
    pending: list[Pending]
    monitors: list[str]
    networks: dict[str, list[str]]
    hosts: list[Host]


class Document(State):
    """The whole document: the state, who made it, and the runs, the newest first."""

    made: float
    by: str
    version: str
    file: str
    runs: list[Run]
