"""A connection that talks to an agent on its host: frames, beats, bytes, and its end.

Knows how an agent is started, given work, listened to, and what its silence means.  Does
not know what the work means.
"""

from __future__ import annotations

import contextlib
import json
import random
import secrets
import shlex
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import paramiko
from fabric import Connection
from invoke.exceptions import ThreadException

from fabfile.core import agent_program, answers, framing, known_hosts
from fabfile.core.contract import (
    INV,
    Interrupted,
    Json,
    Message,
    NeedsPassword,
    NoAgent,
    NoPython,
    NoSession,
    Secret,
    Stop,
    SudoRefused,
    Unbelieved,
    Unreachable,
)
from fabfile.core.ssh import connecting

BEAT, SILENCE = 5.0, 25.0
"""Seconds: how often each side says that it lives; after how long it counts as cut."""
_TRIES = 4
"""Connections begun anew where an sshd that is too busy closed one (MaxStartups)."""
_LARGEST_LINE = 8 * 1024 * 1024
_LONGEST_COMPLAINT = 4000
T = TypeVar("T")
_CUT = (OSError, EOFError, paramiko.SSHException)
_SLOW_START = (
    "how long does it take, and what does it say? (a login shell's files, sudo's PAM, DNS)"
)
OnMessage = Callable[[str, Message], None]


class ByteStream(Protocol):
    """The other end of a stream of bytes from or to a host, on this machine."""

    def take(self, data: bytes) -> None:
        """Some bytes more from the host."""

    def give(self) -> bytes:
        """The next bytes for the host; none at their end."""


def _encode(value: object) -> dict[str, str]:
    if isinstance(value, Secret):
        return {"secret": value.reveal()}
    raise TypeError(f"{type(value).__name__} does not go over the wire")


class Conversations:
    """The conversations that go on now, so that all of them can be asked to end."""

    def __init__(self) -> None:
        self._stopping: Stop | None = None
        self._channels: dict[paramiko.Channel, bool] = {}
        self._lock = threading.Lock()

    def began(self, channel: paramiko.Channel, holds: bool) -> None:
        """A conversation that stop() is to end, or release() where it holds a lock."""
        with self._lock:
            self._channels[channel] = holds
        if self._stopping and not holds:
            _say_goodbye(channel)

    def ended(self, channel: paramiko.Channel) -> None:
        """It is over."""
        with self._lock:
            self._channels.pop(channel, None)

    def stop(self, why: Stop | None = None) -> None:
        """Ends every agent after the step that it is at, and begins no other."""
        self._stopping = why or Interrupted("interrupted; run it again to go on")
        self._end(False)

    @property
    def stopping(self) -> Stop | None:
        """What stop() was called for, if it was."""
        return self._stopping

    def raise_if_stopped(self) -> None:
        """Raises what stop() was called for, if it was."""
        if self._stopping:
            raise self._stopping

    def release(self) -> None:
        """Ends the agents that hold a lock."""
        self._end(True)

    def _end(self, holds: bool) -> None:
        with self._lock:
            channels = [c for c, held in self._channels.items() if held == holds]
        for channel in channels:
            _say_goodbye(channel)


def _say_goodbye(channel: paramiko.Channel) -> None:
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        channel.shutdown_write()


class Shared:
    """What all connections of a fleet have in common.

    keys: private keys that were read; compiled: whether the hosts' Python is like ours.
    """

    def __init__(self) -> None:
        self.conversations = Conversations()
        self.keys: connecting.ReadKeys = {}
        self.compiled = True


class _Agent:
    """An agent on a host: the channel to it, and the modules that it has."""

    def __init__(self, channel: paramiko.Channel, compiled: bool) -> None:
        self.channel, self.nonce = channel, b""
        self.expected = answers.Expected("", {})
        self.compiled, self._has = compiled, []  # type: ignore[var-annotated]

    def give(self, work: Mapping[str, Json]) -> bool:
        """Sends work, and before it the modules that are missing; False if nobody is there."""
        if self.channel.closed or self.channel.eof_received:
            return False
        needed = agent_program.needed_for(work)
        missing = [modules for modules in needed if modules not in self._has]
        nonce = "\x1e" + secrets.token_hex(8)
        sent = [agent_program.packed(modules, self.compiled) for modules in missing]
        sent.append(json.dumps({**work, "nonce": nonce}, default=_encode).encode() + b"\n")
        try:
            self.channel.sendall(b"".join(sent))
        except (OSError, EOFError, paramiko.SSHException):
            return False
        self._has += missing
        self.nonce = nonce.encode()
        return True

    def left_with(self) -> int | None:
        """The exit code with which it ended by itself, having begun nothing; None if unknown."""
        self.channel.status_event.wait(1)
        return self.channel.recv_exit_status() if self.channel.exit_status_ready() else None

    def complained(self) -> str:
        """What its start said on standard error, in one printable line."""
        said = b""
        while self.channel.recv_stderr_ready() and len(said) < _LONGEST_COMPLAINT:
            said += self.channel.recv_stderr(_LONGEST_COMPLAINT)
        text = said.decode("utf-8", "replace")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class HostConnection(connecting.PlainNames, Connection):
    """A Fabric connection that checks host keys and can talk to an agent."""

    # Named here, or Invoke would put the assigned values into its configuration.
    host_name: str = ""
    _alias: str = ""
    inline_ssh_env: bool = True
    _trusted: known_hosts.KnownHosts = None  # type: ignore[assignment]
    _password: Secret | None = None
    _shared: Shared = None  # type: ignore[assignment]
    _opening: threading.Lock = None  # type: ignore[assignment]
    _agent: _Agent | None = None
    _holding: bool = False
    stream: ByteStream | None = None

    def prepare(
        self,
        name: str,
        trusted: known_hosts.KnownHosts,
        password: Secret | None,
        shared: Shared,
        alias: str = "",
    ) -> None:
        """Sets what Fabric's constructor has no parameter for; alias: HostKeyAlias."""
        self.host_name, self._trusted, self._password = name, trusted, password
        self._shared, self._opening = shared, threading.Lock()
        self.client = connecting.Client()
        self.client.keys = shared.keys
        self._alias = alias
        self.client.set_missing_host_key_policy(connecting.Compare(name, trusted, alias))
        self.connect_kwargs["transport_factory"] = self._transport

    def _transport(self, *args: object, **kwargs: object) -> connecting.Transport:
        """Paramiko's, asking first for a key of a type that can be compared."""
        made = connecting.Transport(*args, **kwargs)
        name = self.host if self.port == paramiko.config.SSH_PORT else f"[{self.host}]:{self.port}"
        options = made.get_security_options()
        options.key_types = self._trusted.first_known(self._alias or name, options.key_types)
        # First those that need no MAC: paramiko compares one byte by byte, in Python.
        options.ciphers = tuple(sorted(options.ciphers, key=lambda name: "-gcm@" not in name))
        return made

    def give(self, password: Secret) -> None:
        """The sudo password, asked for after the connection was made."""
        self._password = password

    def reach(self) -> None:
        """Opens the connection; raises Unreachable with the cause in words."""
        with self._opening:
            if self.is_connected:
                return
            for attempt in range(_TRIES):
                try:
                    self.open()
                    break
                except Unreachable:
                    raise
                except Exception as error:
                    why = connecting.fault(self.host_name, error, self)
                    self.close()
                    if attempt == _TRIES - 1 or not connecting.too_busy(error):
                        raise why from None
                    time.sleep(random.uniform(0.3, 1.5) * (attempt + 1))  # noqa: S311 (no secret)
            connecting.notice_dead_peer(self.transport.sock)

    def get_gateway(self) -> None:
        """None: whoever makes the connection looks it up, and knows what 'none' means."""

    def open_gateway(self) -> paramiko.Channel | paramiko.ProxyCommand:
        """A channel through the bastion, within the same time as a connection."""
        if isinstance(self.gateway, str):
            return paramiko.ProxyCommand(shlex.join(["/bin/sh", "-c", f"exec {self.gateway}"]))
        self.gateway.reach()
        try:
            return self.gateway.transport.open_channel(
                "direct-tcpip", (self.host, int(self.port)), ("", 0), timeout=10
            )
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(
                host=self.host_name,
                found=f"bastion {self.gateway.host_name} does not get through to "
                f"{self.host}:{self.port} ({error or type(error).__name__})",
            ) from None

    def converse(self, works: Mapping[str, dict[str, Json]], on_message: OnMessage) -> str:
        """Gives this host's work to an agent there and passes on each of its messages.

        The agent stays for the next work; one that holds a lock is another one.
        Returns 'end', or 'cut' when the conversation ended without the last word.
        Raises Unreachable if the agent never started, Interrupted if it must not.
        """
        work = works[self.host_name]
        holds = "hold" in work
        if not holds:
            self._shared.conversations.raise_if_stopped()
        self._holding = self._holding or holds
        agent, self._agent = (None, self._agent) if holds else (self._agent, None)
        began_anew = agent is None
        while True:
            agent = agent or self._started()
            agent.expected = answers.Expected(self.host_name, work)
            given = agent.give(work)
            ending = self._dispatch(agent, on_message, holds) if given else "nothing"
            if ending != "nothing":
                return ending
            code = agent.left_with() if given else 0
            if code == agent_program.OTHER_PYTHON and agent.compiled:
                self._shared.compiled = False  # for all hosts, from now on
            elif began_anew:
                raise _no_agent(self.host_name, agent)
            elif code != 0:
                return "cut"
            agent, began_anew = None, True

    def _dispatch(self, agent: _Agent, on_message: OnMessage, holds: bool) -> str:
        self._shared.conversations.began(agent.channel, holds)
        ending = "cut"
        try:
            ending = self._listen(agent, on_message)
        finally:
            self._shared.conversations.ended(agent.channel)
            if ending == "end" and not holds and not agent.channel.eof_sent:
                self._agent = agent
            elif ending != "nothing":
                agent.channel.close()
        return ending

    def _started(self) -> _Agent:
        """A new agent, that waits for what it is to be."""
        channel = self.create_session()
        try:
            channel.settimeout(BEAT)
            connecting.begin(channel, self._command())
            if self._password:
                channel.sendall((self._password.reveal() + "\n").encode("utf-8", "surrogateescape"))
        except _CUT as error:
            raise self._no_session(error) from None
        return _Agent(channel, self._shared.compiled)

    def create_session(self) -> paramiko.Channel:
        """A channel for one command, also for Fabric's run().  Raises NoSession."""
        self.reach()
        try:
            return self.transport.open_session(timeout=connecting.SESSION)
        except _CUT as error:
            raise self._no_session(error) from None

    def _no_session(self, error: Exception | None) -> NoSession:
        why = connecting.no_session(self.host_name, error, self)
        self.close()
        return why

    def ask(self, question: Callable[[HostConnection], T]) -> T:
        """What plain commands answer.  Raises Unreachable where none runs, or none ends in time.

        For what comes before an agent: a command that is cut off is no 'no'.
        """
        self.reach()
        with connecting.given_up(self.close) as late:
            try:
                found = question(self)
                if not late.is_set() and self.is_connected:
                    return found
                error: Exception = EOFError()
            except (*_CUT, ThreadException, NoSession) as why:
                error = why
        if isinstance(error, NoSession) and not late.is_set():
            raise error
        raise self._no_session(None if late.is_set() else error) from None

    def close(self) -> None:
        """Ends the agent too, if one is there."""
        self._agent = None
        super().close()

    def rest(self) -> None:
        """Closes a connection of a large fleet's, unless a lock is held through it."""
        if not self._holding:
            self.close()

    def _command(self) -> str:
        sudo = "sudo -S -p ''" if self._password else "sudo -n"
        return f"{sudo} python3 -I -S -c {shlex.quote(agent_program.BOOTSTRAP)}"

    def _listen(self, agent: _Agent, on_message: OnMessage) -> str:
        """Passes on the agent's messages; what else is said there counts for nothing.

        Returns 'end', 'cut', or 'nothing' where it said none at all.
        """
        channel, frames = agent.channel, framing.Frames(agent.nonce)
        started = False
        spoke = last = time.monotonic()
        while True:
            try:
                data = channel.recv(65536)
            except TimeoutError:
                data = None
            except (OSError, EOFError):
                data = b""
            now = time.monotonic()
            if now - spoke >= BEAT:
                spoke, data = now, data if _beat(channel) else data or b""
            for message in frames.feed(data or b""):
                started, last = True, now
                if message["t"] in ("bytes", "want") and self.stream:
                    _moved(self.stream, channel, message)
                    continue
                if message["t"] == "end":
                    return "end"
                if message["t"] != "beat":
                    on_message(self.host_name, agent.expected.take(message))
            if now > agent.expected.until:
                raise Unbelieved(
                    host=self.host_name,
                    found="says that it is at work, and does not end",
                    expected="an end at the deadline that it was given",
                )
            last = now if data and frames.speaking else last
            if data == b"" or now - last > SILENCE or frames.longest_noise > _LARGEST_LINE:
                break
        return "cut" if started else "nothing"


def _moved(stream: ByteStream, channel: paramiko.Channel, message: Message) -> None:
    """Takes bytes that the agent sends, or sends it the next that it wants.

    Nobody else sends on this channel meanwhile, so that nothing comes between.
    """
    if message["t"] == "bytes":
        stream.take(message["data"])
        return
    data = stream.give()
    unsent = memoryview(b"bytes:%d\n" % len(data) + data)
    until = time.monotonic() + SILENCE
    while unsent and time.monotonic() < until:
        try:
            unsent = unsent[channel.send(unsent) :]
            until = time.monotonic() + SILENCE
        except TimeoutError:
            continue  # the host takes nothing just now
        except (OSError, EOFError, paramiko.SSHException):
            break
    if unsent:
        channel.close()


def _beat(channel: paramiko.Channel) -> bool:
    """Tells the agent that this side lives; False where the line is gone."""
    try:
        channel.sendall(b"\n")
    except (OSError, EOFError, paramiko.SSHException):
        return bool(channel.eof_sent)
    return True


def _no_agent(host: str, agent: _Agent) -> Unreachable:
    code, text = agent.left_with(), agent.complained()
    agent.channel.close()
    if "password is required" in text or "a terminal is required" in text:
        return NeedsPassword(
            host=host,
            found="sudo asks for a password",
            advice="run hosts.sudoers first, or name ssh.sudo_password_command",
        )
    if "must have a tty" in text:
        return SudoRefused(
            host=host,
            found="sudo wants a terminal there (requiretty)",
            advice="take that out for this user: Defaults:USER !requiretty",
        )
    if "incorrect password" in text or "try again" in text:
        return SudoRefused(host=host, found="sudo does not accept the password")
    if "not allowed" in text or "not in the sudoers" in text:
        said = f"sudo does not allow python3 there ({text[-200:]})"
        return SudoRefused(host=host, found=said)
    if code == 127 or "not found" in text:
        return NoPython(
            host=host,
            found="python3 or sudo is missing there",
            advice=f"see {INV} hosts.check ({text[-200:]})",
        )
    return _not_started(host, code, text)


def _not_started(host: str, code: int | None, text: str) -> NoAgent:
    if code is None:
        return NoAgent(
            host=host,
            found=f"a session opens, and nothing comes of sudo and python3 within {SILENCE:.0f} s",
            advice=f"type there: sudo -n python3 -V; {_SLOW_START} {text[-300:]}".strip(),
        )
    return NoAgent(
        host=host,
        found=f"the agent did not start (exit code {code})",
        advice=f"is the login shell a shell, without ForceCommand? {text[-300:]}",
    )
