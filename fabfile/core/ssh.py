"""The one module that speaks SSH: hosts, groups of them, and agents on them.

Knows how to reach a host by Fabric, with host keys checked, dead peers noticed and
the agent's conversation framed.  Does not know what the work means.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import random
import resource
import secrets
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import paramiko
from fabric import Config, Connection
from fabric.group import Group, GroupResult

from fabfile.core import agent_program, answers, framing, known_hosts
from fabfile.core.contract import (
    Host,
    Interrupted,
    Locked,
    NeedsPassword,
    Secret,
    Stop,
    Unknown,
    UnknownHostKey,
    Unreachable,
)

logging.getLogger("paramiko").addHandler(logging.NullHandler())

BEAT, SILENCE = 5.0, 25.0
"""Seconds: how often each side says that it lives; after how long it counts as cut."""
_TRIES = 4
"""Connections begun anew where an sshd that is too busy closed one (MaxStartups)."""
_WAITING = 8
"""Times forks: the hosts that may be at work or wait for a service to stand."""
_MOST_KEPT = 1024
"""Above so many hosts, each is connected to anew for a look and for its work."""
_BESIDE = 100
"""Open files besides the connections: known_hosts, the journal, a bastion's, a margin."""
_MOMENT = 1.0
"""Seconds for what takes none: a thread whose connection was shut down ends."""
_IDLE = 30.0
"""Seconds between two looks of a connection's thread, of which a kept one is nothing but."""
_LARGEST_LINE = 8 * 1024 * 1024
OnMessage = Callable[[str, Mapping[str, Any]], None]


class Pour(Protocol):
    """The other end of a stream of bytes from or to a host, on this machine."""

    def take(self, data: bytes) -> None:
        """Some bytes more from the host."""

    def give(self) -> bytes:
        """The next bytes for the host; none at their end."""


def _encode(value: Any) -> Any:
    if isinstance(value, Secret):
        return {"secret": value.reveal()}
    raise TypeError(f"{type(value).__name__} does not go over the wire")


class Conversations:
    """The conversations that go on now, so that all of them can be asked to end."""

    def __init__(self) -> None:
        self._stopping: Stop | None = None
        self._channels: dict[Any, bool] = {}
        self._lock = threading.Lock()

    def began(self, channel: Any, holds: bool) -> None:
        """A conversation that stop() is to end, or release() where it holds a lock."""
        with self._lock:
            self._channels[channel] = holds
        if self._stopping and not holds:
            _say_goodbye(channel)

    def ended(self, channel: Any) -> None:
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

    def go_on(self) -> None:
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


def _say_goodbye(channel: Any) -> None:
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        channel.shutdown_write()


class _Shared:
    """What all connections of a fleet have in common.

    keys: private keys that were read; compiled: whether the hosts' Python is like ours.
    """

    def __init__(self) -> None:
        self.conversations = Conversations()
        self.keys: dict[tuple[Any, ...], Any] = {}
        self.compiled = True


class _Compare(paramiko.MissingHostKeyPolicy):
    """Compares the key that a host shows with all that known_hosts has of it.

    Paramiko's own comparison knows one key of a type; so it is told of none, and asks here.
    """

    def __init__(self, label: str, trusted: known_hosts.KnownHosts) -> None:
        self._label, self._trusted = label, trusted

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        """Raises Unreachable before anything is sent to a host that is not the known one."""
        if key.get_base64() in self._trusted.revoked:
            raise Unreachable(f"{self._label}: its host key is marked @revoked")
        known = self._trusted.keys_of(hostname)
        if not known:
            raise self._unknown(hostname, key)
        if key.get_base64() not in {k.get_base64() for k in known}:
            raise paramiko.BadHostKeyException(hostname, key, known[0])

    def _unknown(self, hostname: str, key: Any) -> UnknownHostKey:
        fingerprint = known_hosts.fingerprint(key)
        why = f"{hostname} is not in known_hosts; it shows {key.get_name()} {fingerprint}"
        if self._trusted.has_authority(hostname):
            why += ", and a certificate authority of known_hosts, which is not supported, is for it"
        return UnknownHostKey(
            f"{self._label}: {why}. Compare it with the host's own (ssh-keygen -lf "
            "/etc/ssh/ssh_host_*_key.pub there), then: inv hosts.trust",
            known_hosts.line_of(hostname, key),
            fingerprint,
            str(self._trusted.files[0]),
        )


class _SSHConfig(paramiko.SSHConfig):
    """A parsed SSH configuration that is only read: each host is looked up once.

    Fabric asks again for every connection, and a lookup goes through all stanzas.
    """

    def __init__(self, parsed: paramiko.SSHConfig) -> None:
        super().__init__()
        self._config = parsed._config
        self._found: dict[str, Any] = {}

    def lookup(self, hostname: str) -> Any:
        """Paramiko's answer, of which each asker gets a copy."""
        if hostname not in self._found:
            self._found[hostname] = super().lookup(hostname)
        return copy.deepcopy(self._found[hostname])


class _Config(Config):
    """Fabric's, whose copies share the parsed SSH configuration.

    Fabric's own reads the files anew for each copy, and adds them to what it has.
    """

    def _clone_init_kwargs(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        # Not Fabric's, which copies all stanzas; Invoke's, which it extends.
        known = super(Config, self)._clone_init_kwargs(*args, **kwargs)
        return {**known, "ssh_config": self.base_ssh_config}


class _Client(paramiko.SSHClient):
    """Paramiko's, which reads each private key once for all connections of a fleet.

    An RSA key takes 140 ms to read; a file is tried as each type of key in turn.
    """

    keys: dict[tuple[Any, ...], Any]

    def _key_from_filepath(self, filename: str, klass: Any, password: Any) -> Any:
        at = (filename, klass, password)
        if at not in self.keys:
            try:
                self.keys[at] = super()._key_from_filepath(filename, klass, password)
            except (paramiko.SSHException, OSError) as error:
                self.keys[at] = error
        if isinstance(self.keys[at], Exception):
            raise self.keys[at].with_traceback(None)
        return self.keys[at]


class _Transport(paramiko.Transport):
    """Paramiko's, which looks ten times a second whether it was closed, on every connection."""

    _active_check_timeout = 1.0

    def close(self) -> None:
        """Its thread sees the end at once, not at its next look."""
        if self.active:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                self.sock.shutdown(socket.SHUT_RDWR)
            if isinstance(self.sock, socket.socket) and threading.current_thread() is not self:
                # First its thread, then the file: it may be about to wait for that very number,
                # which the next connection gets.
                self.join(_MOMENT)
        super().close()


class _Agent:
    """An agent on a host: the channel to it, and the modules that it has."""

    def __init__(self, channel: Any, compiled: bool) -> None:
        self.channel, self.nonce = channel, b""
        self.compiled, self._has = compiled, []  # type: ignore[var-annotated]

    def give(self, work: Mapping[str, Any]) -> bool:
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


class HostConnection(Connection):
    """A Fabric connection that checks host keys and can talk to an agent."""

    # Named here, or Invoke would put the assigned values into its configuration.
    host_name: str = ""
    _trusted: Any = None
    _password: Secret | None = None
    _shared: Any = None
    _opening: Any = None
    _agent: _Agent | None = None
    _holding: bool = False
    pour: Pour | None = None

    def prepare(
        self,
        name: str,
        trusted: known_hosts.KnownHosts,
        password: Secret | None,
        shared: _Shared,
    ) -> None:
        """Sets what Fabric's constructor has no parameter for."""
        self.host_name, self._trusted, self._password = name, trusted, password
        self._shared, self._opening = shared, threading.Lock()
        self.client = _Client()
        self.client.keys = shared.keys
        self.client.set_missing_host_key_policy(_Compare(name, trusted))
        self.connect_kwargs["transport_factory"] = self._transport

    def _transport(self, *args: Any, **kwargs: Any) -> Any:
        """Paramiko's, asking first for a key of a type that can be compared."""
        made = _Transport(*args, **kwargs)
        name = self.host if self.port == paramiko.config.SSH_PORT else f"[{self.host}]:{self.port}"
        options = made.get_security_options()
        options.key_types = self._trusted.first_known(name, options.key_types)
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
                    why = _cause(error, self)
                    self.close()
                    if attempt == _TRIES - 1 or not _too_busy(error):
                        raise Unreachable(f"{self.host_name}: {why}") from None
                    time.sleep(random.uniform(0.3, 1.5) * (attempt + 1))  # noqa: S311 (no secret)
            _notice_dead_peer(self.transport.sock)

    def open_gateway(self) -> Any:
        """A channel through the bastion, within the same time as a connection."""
        if not isinstance(self.gateway, HostConnection):
            return super().open_gateway()
        self.gateway.reach()
        try:
            return self.gateway.transport.open_channel(
                "direct-tcpip", (self.host, int(self.port)), ("", 0), timeout=10
            )
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(
                f"{self.host_name}: bastion {self.gateway.host_name} does not get through to "
                f"{self.host}:{self.port} ({error or type(error).__name__})"
            ) from None

    def converse(self, works: Mapping[str, dict[str, Any]], heard: OnMessage) -> str:
        """Gives this host's work to an agent there and passes on each of its messages.

        The agent stays for the next work; one that holds a lock is another one.
        Returns 'end', or 'cut' when the conversation ended without the last word.
        Raises Unreachable if the agent never started, Interrupted if it must not.
        """
        work = works[self.host_name]
        holds = "hold" in work
        if not holds:
            self._shared.conversations.go_on()
        self._holding = self._holding or holds
        agent, self._agent = (None, self._agent) if holds else (self._agent, None)
        began_anew = agent is None
        while True:
            agent = agent or self._started()
            given = agent.give(work)
            said = self._heard_of(agent, heard, holds) if given else "nothing"
            if said != "nothing":
                return said
            code = agent.left_with() if given else 0
            if code == agent_program.OTHER_PYTHON and agent.compiled:
                self._shared.compiled = False  # for all hosts, from now on
            elif began_anew:
                raise _no_agent(self.host_name, agent.channel)
            elif code != 0:
                return "cut"
            agent, began_anew = None, True

    def _heard_of(self, agent: _Agent, heard: OnMessage, holds: bool) -> str:
        self._shared.conversations.began(agent.channel, holds)
        said = "cut"
        try:
            said = self._listen(agent, heard)
        finally:
            self._shared.conversations.ended(agent.channel)
            if said == "end" and not holds and not agent.channel.eof_sent:
                self._agent = agent
            elif said != "nothing":
                agent.channel.close()
        return said

    def _started(self) -> _Agent:
        """A new agent, that waits for what it is to be."""
        self.reach()
        try:
            channel = self.transport.open_session(timeout=20)
            channel.settimeout(BEAT)
            channel.exec_command(self._command())
            if self._password:
                channel.sendall((self._password.reveal() + "\n").encode())
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.close()
            raise Unreachable(f"{self.host_name}: {error or 'the connection was cut'}") from None
        return _Agent(channel, self._shared.compiled)

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

    def _listen(self, agent: _Agent, heard: OnMessage) -> str:
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
            for message in frames.fed(data or b""):
                started, last = True, now
                if message["t"] in ("bytes", "want") and self.pour:
                    _poured(self.pour, channel, message)
                    continue
                if not answers.is_message(message):
                    raise answers.unasked(self.host_name)
                if message["t"] == "end":
                    return "end"
                if message["t"] != "beat":
                    heard(self.host_name, message)
            last = now if data and frames.speaking else last
            if data == b"" or now - last > SILENCE or frames.unheard > _LARGEST_LINE:
                break
        return "cut" if started else "nothing"


def _poured(pour: Pour, channel: Any, message: Mapping[str, Any]) -> None:
    """Takes bytes that the agent sends, or sends it the next that it wants.

    Nobody else sends on this channel meanwhile, so that nothing comes between.
    """
    if message["t"] == "bytes":
        pour.take(message["data"])
        return
    data = pour.give()
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


def _beat(channel: Any) -> bool:
    """Tells the agent that this side lives; False where the line is gone."""
    try:
        channel.sendall(b"\n")
    except (OSError, EOFError, paramiko.SSHException):
        return bool(channel.eof_sent)
    return True


def _too_busy(error: Exception) -> bool:
    """Whether sshd closed the connection before it spoke: MaxStartups, or a restart."""
    text = str(error)
    return isinstance(error, (EOFError, ConnectionResetError)) or (
        "Error reading SSH protocol banner" in text and "timed out" not in text.lower()
    )


def _notice_dead_peer(sock: Any) -> None:
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25000)
        sock.settimeout(_IDLE)  # its end is noticed at once, which a bastion's channel is not


def _cause(error: Exception, connection: Connection) -> str:
    where = f"{connection.host}:{connection.port}"
    if isinstance(error, paramiko.BadHostKeyException):
        return f"the host key of {where} is not the one in known_hosts; nothing was sent"
    transport = connection.client.get_transport()
    spoke = bool(transport and transport.remote_version)
    ended_at_login = spoke and "No existing session" in str(error)
    if isinstance(error, paramiko.AuthenticationException) or ended_at_login:
        return (
            f"{where} refuses user {connection.user}: check the key; an agent with many keys "
            "needs IdentityFile and IdentitiesOnly in the SSH configuration"
        )
    if "No existing session" in str(error) or "protocol banner" in str(error):
        return f"{where} takes connections but does not speak SSH within 15 s: is sshd frozen?"
    if isinstance(error, (TimeoutError, socket.timeout)):
        return f"{where} does not answer within 10 s"
    return f"{where}: {error or type(error).__name__}"


def _no_agent(host: str, channel: Any) -> Unreachable:
    said = b""
    while channel.recv_stderr_ready() and len(said) < 4000:
        said += channel.recv_stderr(4000)
    channel.status_event.wait(1)
    code = channel.recv_exit_status() if channel.exit_status_ready() else None
    channel.close()
    text = " ".join("".join(c if c.isprintable() else " " for c in _text(said)).split())
    if "password is required" in text or "a terminal is required" in text:
        return NeedsPassword(
            f"{host}: sudo asks for a password; run hosts.sudoers first, or name "
            "ssh.sudo_password_command"
        )
    if "must have a tty" in text:
        return Unreachable(
            f"{host}: sudo wants a terminal there (requiretty); take that out for this user: "
            "Defaults:USER !requiretty"
        )
    if "incorrect password" in text or "try again" in text:
        return Unreachable(f"{host}: sudo does not accept the password")
    if "not allowed" in text or "not in the sudoers" in text:
        return Unreachable(f"{host}: sudo does not allow python3 there ({text[-200:]})")
    if code == 127 or "not found" in text:
        return Unreachable(
            f"{host}: python3 or sudo is missing there; see inv hosts.check ({text[-200:]})"
        )
    return Unreachable(
        f"{host}: the agent did not start (exit code {code}); is the login shell a shell, "
        f"without ForceCommand? {text[-300:]}"
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


class RoleGroup(Group):
    """The hosts of a role; runs a method on all of them, so many at a time."""

    forks = 16
    keeps = True

    def _do(self, method: str, *args: Any, **kwargs: Any) -> GroupResult:
        """{connection: result or exception}; unlike Fabric's own, it never raises."""
        return self._each(lambda c: getattr(c, method)(*args, **kwargs), self.forks)

    def _each(self, action: Callable[[Any], Any], threads: int) -> GroupResult:
        results = GroupResult()

        def one(connection: Connection) -> Any:
            try:
                return action(connection)
            except Exception as error:
                return error

        with ThreadPoolExecutor(max(1, min(threads, len(self)))) as pool:
            for connection, result in zip(self, pool.map(one, self), strict=True):
                results[connection] = result
        return results

    def converse(self, works: Mapping[str, dict[str, Any]], heard: OnMessage) -> GroupResult:
        """HostConnection.converse on every member; one that only waits lets the next begin."""
        places = threading.Semaphore(self.forks)
        waiting = _WAITING if any("steps" in work for work in works.values()) else 1

        def one(connection: HostConnection) -> str:
            with _Place(places) as place:
                said = connection.converse(works, place.hearing(heard))
            if not self.keeps:
                connection.rest()
            return said

        return self._each(one, self.forks * waiting)


class _Place:
    """One of the places at work; given back early by a host that says that it waits."""

    def __init__(self, places: threading.Semaphore) -> None:
        self._places, self._left = places, False

    def __enter__(self) -> _Place:
        self._places.acquire()
        return self

    def __exit__(self, *why: object) -> None:
        self._leave()

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self._places.release()

    def hearing(self, heard: OnMessage) -> OnMessage:
        """As heard, and leaves the place at the first message that has 'waits'."""

        def also(host: str, message: Mapping[str, Any]) -> None:
            if message.get("waits"):
                self._leave()
            heard(host, message)

        return also


def _room_for(connections: int) -> bool:
    """Whether this process may have so many files open; it asks for more where it may."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _BESIDE
    if resource.RLIM_INFINITY in (now, most):
        return True
    if now < wanted <= most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return wanted <= most


class Hold:
    """The site's lock, held by an agent of its own until release()."""

    def __init__(self, fleet: Fleet, host: str, work: dict[str, Any]) -> None:
        self.number, self._fleet = 0, fleet
        self._why: Stop | None = None
        self._known, self._released = threading.Event(), False
        connection = fleet.group([host])[0]
        self._thread = threading.Thread(
            target=self._hold, args=(connection, {host: work}), daemon=True
        )
        self._thread.start()
        self._known.wait()
        if self._why:
            self._thread.join(10)
            raise self._why

    def _hold(self, connection: HostConnection, works: Mapping[str, dict[str, Any]]) -> None:
        try:
            connection.converse(works, self._heard)
        except Stop as stop:
            self._why = self._why or stop
        except Exception as error:
            self._why = self._why or Unknown(f"the site's lock: {error or type(error).__name__}")
        finally:
            self._known.set()
        if not self._released:
            # Nobody may write under a lock that is lost.
            lost = Unknown("the site's lock was lost: the connection to its host was cut")
            self._fleet.conversations.stop(lost)

    def _heard(self, host: str, message: Mapping[str, Any]) -> None:
        if message["t"] == "held":
            self.number = int(message["number"])
        elif message["t"] == "busy":
            self._released = True
            self._why = Locked(f"{host}: the site is locked by {message['who']}")
        self._known.set()

    def release(self) -> None:
        """Lets the next one in."""
        self._released = True
        self._fleet.conversations.release()
        self._thread.join(10)


class Fleet:
    """All hosts of a site, with their connections kept open for the run.

    settings: ssh_config (a path or None), forks, password (Secret or None).
    """

    def __init__(
        self,
        hosts: Iterable[Host],
        ssh_config: Path | None = None,
        forks: int = 16,
        password: Secret | None = None,
    ) -> None:
        self.hosts = {host.name: host for host in hosts}
        self._forks, self._password, self._lock = forks, password, threading.Lock()
        read = Config(runtime_ssh_path=str(ssh_config) if ssh_config else None)
        self._config = _Config(ssh_config=_SSHConfig(read.base_ssh_config))
        self._known: dict[tuple[str, ...], known_hosts.KnownHosts] = {}
        self._connections: dict[str, HostConnection] = {}
        self._bastions: dict[str, HostConnection] = {}
        self._shared = _Shared()
        self.conversations = self._shared.conversations
        self.trips: dict[str, int] = {}

    @property
    def warnings(self) -> list[str]:
        """Lines of known_hosts that could not be used."""
        return [w for known in self._known.values() for w in known.warnings]

    def _trusted(self, looked_up: Mapping[str, Any]) -> known_hosts.KnownHosts:
        named = looked_up.get("userknownhostsfile", "~/.ssh/known_hosts").split()
        system = looked_up.get("globalknownhostsfile", "/etc/ssh/ssh_known_hosts").split()
        paths = (*named, *system)
        if paths not in self._known:
            self._known[paths] = known_hosts.load(Path(p).expanduser() for p in paths)
        return self._known[paths]

    def _made(self, name: str, host: Host, password: Secret | None) -> HostConnection:
        looked_up = self._config.base_ssh_config.lookup(host.address or name)
        arguments = {"banner_timeout": 15, "auth_timeout": 15, "channel_timeout": 20}
        if looked_up.get("identitiesonly", "no") == "yes":
            arguments |= {"allow_agent": False, "look_for_keys": False}
        connection = HostConnection(
            host.address or name,
            user=host.user,
            port=host.port,
            gateway=self._bastion(looked_up.get("proxyjump", "none")),
            config=self._config.clone(),
            forward_agent=False,
            connect_timeout=10,
            connect_kwargs=arguments,
        )
        trusted = self._trusted(looked_up)
        connection.prepare(name, trusted, password, self._shared)
        return connection

    def _bastion(self, jumps: str) -> HostConnection | None:
        """The last of ProxyJump's hosts, opened once for all that go through it."""
        if jumps.lower() == "none":
            return None
        if jumps not in self._bastions:
            before, _, last = jumps.rpartition(",")
            user, _, rest = last.strip().rpartition("@")
            name, _, port = rest.partition(":")
            made = self._made(
                name, Host(name, (), None, user or None, int(port) if port else None), None
            )
            if before:
                made.gateway = self._bastion(before)
            self._bastions[jumps] = made
        return self._bastions[jumps]

    def _connection(self, name: str) -> HostConnection:
        if name not in self._connections:
            self._connections[name] = self._made(name, self.hosts[name], self._password)
        return self._connections[name]

    def give(self, password: Secret) -> None:
        """A sudo password for all hosts, asked for during the run."""
        self._password = password
        for connection in self._connections.values():
            connection.give(password)

    def group(self, names: Iterable[str]) -> RoleGroup:
        """The named hosts as a Fabric group with a bounded pool."""
        group = RoleGroup.from_connections([self._connection(n) for n in names])
        group.forks, group.keeps = self._forks, self._keeps()
        return group

    def _keeps(self) -> bool:
        """Whether a connection to each host can be kept."""
        return len(self.hosts) <= _MOST_KEPT and _room_for(len(self.hosts))

    def hold(self, host: str, work: dict[str, Any]) -> Hold:
        """Takes the site's lock there.  Raises Locked, or Unreachable."""
        return Hold(self, host, work)

    def work(
        self,
        works: Mapping[str, dict[str, Any]],
        heard: OnMessage,
        pours: Mapping[str, Pour] | None = None,
    ) -> dict[str, Stop]:
        """Gives every host its work at once; {host: why} for those that did not end.

        pours: {host: what takes the bytes that its work sends, and gives those that it wants}.
        """

        def one_at_a_time(host: str, message: Mapping[str, Any]) -> None:
            with self._lock:
                heard(host, message)

        faults: dict[str, Stop] = {}
        for name in works:
            self.trips[name] = self.trips.get(name, 0) + 1
        for name in works:
            self._connection(name).pour = (pours or {}).get(name)
        for connection, result in self.group(works).converse(works, one_at_a_time).items():
            if isinstance(result, Stop):
                faults[connection.host_name] = result
            elif isinstance(result, BaseException):
                raise result
            elif result == "cut":
                connection.close()
                faults[connection.host_name] = Unknown(
                    f"{connection.host_name}: the connection was cut while work was under way"
                )
        return faults

    def close(self) -> None:
        """Closes every connection that was opened."""
        for connection in (*self._connections.values(), *self._bastions.values()):
            connection.close()
