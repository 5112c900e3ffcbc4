"""Hosts that answer with latency and take no processor time: in paramiko's place alone.

What they say was said by the real agent on one simulated host (Recorder); when they say it is
counted in round trips, and in the seconds of a restart.  All above is the product's own: Fabric's
connection, the conversation with its frames and checks, the pool of threads, the run.
"""

from __future__ import annotations

import collections
import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from bench.fleet import Simulated
from fabfile.core import framing

ROUND_TRIP, RESTART, WATCHING = 0.02, 2.0, 4.0
"""Seconds: there and back; what a unit takes to stop and start; what an agent then looks at it."""
CONNECT = 5
"""Round trips of a connection: TCP, both sides' names, keys exchanged, service, signature."""
SESSION, COMMAND = 1, 1
"""Round trips until a channel is open, and until its command has begun."""
_FLIGHT = 10 * 1448
"""Bytes that Linux sends before it hears anything (RFC 6928); then twice as many, and so on."""
_BEAT = 5.0
"""Seconds between an agent's signs of life (core/remote/agent.py)."""

Messages = list[dict[str, Any]]
Timed = list[tuple[float, dict[str, Any]]]


def flights(size: int) -> int:
    """Round trips until so many bytes are there and answered, on a line that was idle."""
    count, window = 1, _FLIGHT
    while size > window:
        count, size, window = count + 1, size - window, window * 2
    return count


# What is said: as the real agent said it


class Recorder:
    """Notes each work and what the agent said to it, of the runs of this process.

    As JSON: {'reads' or 'then': {host: {read's id: messages}}, 'steps': {host: {step: messages}}}.
    """

    def __init__(self) -> None:
        from fabfile.core.ssh import conversing  # noqa: PLC0415 (Fabric is slow to load)

        self._works: dict[bytes, tuple[str, Mapping[str, Any]]] = {}
        self._said: dict[bytes, Messages] = collections.defaultdict(list)
        works, said, real = self._works, self._said, conversing._Agent.give

        def give(agent: Any, work: Mapping[str, Any]) -> bool:
            given = real(agent, work)
            works[agent.nonce] = agent.expected._host, work
            return given

        class Frames(framing.Frames):
            def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
                for message in super().feed(data):
                    said[self._nonce].append(message)
                    yield message

        mock.patch.object(conversing._Agent, "give", give).start()
        mock.patch.object(framing, "Frames", Frames).start()

    def found(self) -> dict[str, Any]:
        """All of it so far."""
        document: dict[str, Any] = {"reads": {}, "then": {}, "steps": {}}
        for nonce, (host, work) in self._works.items():
            steps = {step["id"]: _named(step) for step in work.get("steps", ())}
            for message in self._said[nonce]:
                if message["t"] in ("read", "part"):
                    kind, name = "reads" if "reads" in work else "then", message["id"]
                elif message.get("step") in steps:
                    kind, name = "steps", steps[message["step"]]
                else:
                    continue
                document[kind].setdefault(host, {}).setdefault(name, []).append(message)
        return document


def _named(step: Mapping[str, Any]) -> str:
    return f"{step['verb']} {step['thing']}: {step['sentence']}"


class Script:
    """What a host says, by what was recorded: another host's words, with its own identity.

    cold, converged: two runs' recordings, the second of a host on which nothing is to be done.
    """

    def __init__(self, cold: Mapping[str, Any], converged: Mapping[str, Any], done: bool) -> None:
        self._cold, self._converged, self._all_done = cold, converged, done
        self._done: set[str] = set()

    @classmethod
    def load(cls, path: Path, done: bool) -> Script:
        """From a file with both; done: all hosts are converged."""
        both = json.loads(path.read_text())
        return cls(both["cold"], both["converged"], done)

    def to(self, work: Mapping[str, Any], address: str) -> Timed:
        """(seconds after the one before, message) of all that is said to a work."""
        host = _model(address)
        if "hold" in work:
            return [(0, {"t": "held", "number": 1})]
        if "reads" in work:
            done = self._all_done or address in self._done
            known = (self._converged if done else self._cold)["reads"][host]
            said = self._read(work["reads"], known, address)
        else:
            known = {**self._cold["then"].get(host, {}), **self._converged["reads"][host]}
            said = [*self._steps(work["steps"], self._cold["steps"][host])]
            said += self._read(work["then"], known, address)
            self._done.add(address)
        return [*said, (0, {"t": "end"})]

    @staticmethod
    def _read(reads: Messages, known: Mapping[str, Messages], address: str) -> Timed:
        return [(0, _own(message, address)) for read in reads for message in known[read["id"]]]

    @staticmethod
    def _steps(steps: Messages, known: Mapping[str, Messages]) -> Iterator[tuple[float, Any]]:
        for step in steps:
            takes = RESTART + WATCHING if step["verb"] == "restart" else 0
            for message in known[_named(step)]:
                yield takes if message["t"] == "done" else 0, {**message, "step": step["id"]}


def _model(address: str) -> str:
    """Whose words a host says: its own, or the first compute's."""
    ceph = Simulated(0)
    return ceph.name if address == ceph.address else Simulated(1).name


def _own(message: dict[str, Any], address: str) -> dict[str, Any]:
    """What differs from host to host, and from one time to another."""
    value = message.get("value")
    if message.get("id") != "host" or not isinstance(value, dict):
        return message
    mine: dict[str, Any] = {"machine_id": hashlib.sha256(address.encode()).hexdigest()[:32]}
    clocks = {"time": time.time(), "monotonic": time.monotonic()}
    mine |= {name: now for name, now in clocks.items() if name in value}
    return {**message, "value": {**value, **mine}}


# When it is said: in the places of paramiko's channel, transport and client


class Channel:
    """One agent: takes works, and says what the script has, each message at its time."""

    def __init__(self, script: Script, address: str) -> None:
        self._script, self._address, self._timeout = script, address, 0.0
        self._due: collections.deque[tuple[float, bytes]] = collections.deque()
        self._news, self._nonce, self._ends = threading.Condition(), "", float("inf")
        self._holds = self.closed = self.eof_received = self.eof_sent = False

    def settimeout(self, seconds: float) -> None:
        """How long recv waits."""
        self._timeout = seconds

    def exec_command(self, command: str) -> None:
        """The agent starts."""
        time.sleep(COMMAND * ROUND_TRIP)

    def sendall(self, data: bytes) -> None:
        """A work behind its modules, or a sign of life."""
        size = len(data)
        while data.startswith(b"stackrbd:"):
            head, _, rest = data.partition(b"\n")
            data = rest[int(head.split(b":")[2]) :]
        if not data.strip():
            return
        work = json.loads(data)
        self._holds = "hold" in work
        self._nonce = work["nonce"]
        self._plan(self._script.to(work, self._address), flights(size) * ROUND_TRIP)

    def _plan(self, said: Timed, first: float) -> None:
        at = time.monotonic() + first
        with self._news:
            for takes, message in said:
                for beat in range(1, int(takes / _BEAT) + 1):
                    self._due.append((at + beat * _BEAT, self._line({"t": "beat"})))
                at += takes
                self._due.append((at, self._line(message)))
            self._news.notify_all()

    def _line(self, message: dict[str, Any]) -> bytes:
        return f"{self._nonce} {json.dumps(message)}\n".encode()

    def recv(self, size: int) -> bytes:
        """What has come by now; waits for it as paramiko's does."""
        until = time.monotonic() + self._timeout
        with self._news:
            while True:
                now = time.monotonic()
                if self._due and self._due[0][0] <= now:
                    return self._come(size, now)
                if self.closed or now >= self._ends:
                    return b""
                if now >= until:
                    return self._silence()
                next_due = self._due[0][0] if self._due else until
                self._news.wait(max(0.0, min(until, next_due, self._ends) - now))

    def _silence(self) -> bytes:
        """One that holds a lock says nothing but that it lives."""
        if self._holds and not self.eof_sent:
            return self._line({"t": "beat"})
        raise TimeoutError

    def _come(self, size: int, now: float) -> bytes:
        found = b""
        while self._due and self._due[0][0] <= now and len(found) < size:
            found += self._due.popleft()[1]
        if len(found) > size:
            self._due.appendleft((now, found[size:]))
        return found[:size]

    def shutdown_write(self) -> None:
        """The agent hears that its asker leaves: one that only holds a lock says its last word."""
        self.eof_sent = True
        self._plan([(0, {"t": "end"})], ROUND_TRIP)
        self._ends = time.monotonic() + ROUND_TRIP

    def close(self) -> None:
        """Nothing more comes."""
        with self._news:
            self.closed = True
            self._news.notify_all()


class Transport:
    """A line that is open; each session is a channel of it."""

    sock = None

    def __init__(self, script: Script, address: str) -> None:
        self._script, self._address, self.active = script, address, True

    def open_session(self, timeout: float) -> Channel:
        """After one round trip."""
        time.sleep(SESSION * ROUND_TRIP)
        return Channel(self._script, self._address)


class Client:
    """In the place of core.ssh.connecting's Client, which is paramiko's SSHClient."""

    script: Script

    def __init__(self) -> None:
        self.keys: object = {}
        self._transport: Transport | None = None

    def set_missing_host_key_policy(self, policy: object) -> None:
        """A host here shows no key."""

    def connect(self, hostname: str, **how: object) -> None:
        """As many round trips as a connection takes."""
        time.sleep(CONNECT * ROUND_TRIP)
        self._transport = Transport(self.script, hostname)

    def get_transport(self) -> Transport | None:
        """The line, once it is open."""
        return self._transport

    def close(self) -> None:
        """The line's end."""
        if self._transport:
            self._transport.active = False


def stand_in(script: Script) -> None:
    """From now on this process's hosts are the script's."""
    from fabfile.core.ssh import connecting  # noqa: PLC0415 (Fabric is slow to load)

    Client.script = script
    mock.patch.object(connecting, "Client", Client).start()
