"""The one module that speaks SSH: hosts, groups of them, and agents on them.

Knows how to reach a host by Fabric, with host keys checked, dead peers noticed and
the agent's conversation framed.  Does not know what the work means.
"""

from __future__ import annotations

import json
import logging
import secrets
import shlex
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko
from fabric import Config, Connection
from fabric.group import Group, GroupResult

from fabfile.core import known_hosts
from fabfile.core.contract import Host, Secret, Stop, Unknown, Unreachable

logging.getLogger("paramiko").addHandler(logging.NullHandler())

SILENCE = 45.0
"""Seconds without a word (agents say every 5 s that they live) before a cut."""
_LARGEST_LINE = 8 * 1024 * 1024
_REMOTE = Path(__file__).parent / "remote"
_BOOTSTRAP = """\
import sys,json,types
b=sys.stdin.buffer
l=b.readline()
while l and not l.startswith(b'stackrbd:'):l=b.readline()
if not l:sys.exit(76)
p=types.ModuleType('stackrbd_remote');p.__path__=[];sys.modules[p.__name__]=p
for n,s in json.loads(l[9:].decode()):
 m=types.ModuleType('stackrbd_remote.'+n);m.__package__=p.__name__
 sys.modules[m.__name__]=m;setattr(p,n,m);exec(compile(s,n+'.py','exec'),m.__dict__)
m.main()
"""

OnMessage = Callable[[str, Mapping[str, Any]], None]


def _program() -> bytes:
    """The agent's sources, in the order in which they import each other."""
    sources = [(n, (_REMOTE / f"{n}.py").read_text()) for n in ("files", "options", "agent")]
    return b"stackrbd:" + json.dumps(sources).encode() + b"\n"


def _encode(value: Any) -> Any:
    if isinstance(value, Secret):
        return {"secret": value.reveal()}
    raise TypeError(f"{type(value).__name__} does not go over the wire")


class HostConnection(Connection):
    """A Fabric connection that checks host keys and can talk to an agent."""

    # Named here, or Invoke would put the assigned values into its configuration.
    host_name: str = ""
    _trusted: Any = None
    _password: Secret | None = None

    def prepare(self, host: Host, trusted: known_hosts.KnownHosts, password: Secret | None) -> None:
        """Sets what Fabric's constructor has no parameter for."""
        self.host_name, self._trusted, self._password = host.name, trusted, password
        self.client._system_host_keys = trusted.keys
        self.client.set_missing_host_key_policy(paramiko.RejectPolicy())

    def reach(self) -> None:
        """Opens the connection; raises Unreachable with the cause in words."""
        try:
            self.open()
        except Exception as error:
            raise Unreachable(f"{self.host_name}: {_cause(error, self)}") from None
        key = self.transport.get_remote_server_key()
        if key.get_base64() in self._trusted.revoked:
            self.close()
            raise Unreachable(f"{self.host_name}: its host key is marked @revoked")
        _notice_dead_peer(self.transport.sock)

    def converse(self, works: Mapping[str, dict[str, Any]], heard: OnMessage) -> str:
        """Runs an agent with this host's work and passes on each of its messages.

        Returns 'end', or 'cut' when the conversation ended without the last word.
        Raises Unreachable if the agent never started.
        """
        self.reach()
        nonce = "\x1e" + secrets.token_hex(8)
        work = dict(works[self.host_name], nonce=nonce)
        try:
            channel = self.transport.open_session(timeout=20)
            channel.settimeout(SILENCE)
            channel.exec_command(self._command())
            if self._password:
                channel.sendall((self._password.reveal() + "\n").encode())
            channel.sendall(_program() + json.dumps(work, default=_encode).encode() + b"\n")
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise Unreachable(f"{self.host_name}: {error or 'the connection was cut'}") from None
        return self._listen(channel, nonce.encode(), heard)

    def _command(self) -> str:
        sudo = "sudo -S -p ''" if self._password else "sudo -n"
        return f"{sudo} python3 -I -S -c {shlex.quote(_BOOTSTRAP)}"

    def _listen(self, channel: Any, nonce: bytes, heard: OnMessage) -> str:
        started, rest = False, b""
        while True:
            try:
                data = channel.recv(65536)
            except (OSError, EOFError):
                data = b""
            rest += data
            *lines, rest = rest.split(b"\n")
            for line in lines:
                _, found, text = line.partition(nonce + b" ")
                if not found:
                    continue
                started = True
                message = json.loads(text)
                if message["t"] == "end":
                    channel.close()
                    return "end"
                if message["t"] != "beat":
                    heard(self.host_name, message)
            if not data or len(rest) > _LARGEST_LINE:
                break
        if started:
            return "cut"
        raise Unreachable(f"{self.host_name}: {_no_agent(channel)}")


def _notice_dead_peer(sock: Any) -> None:
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25000)


def _cause(error: Exception, connection: Connection) -> str:
    where = f"{connection.host}:{connection.port}"
    if isinstance(error, paramiko.BadHostKeyException):
        return f"the host key of {where} is not the one in known_hosts; nothing was sent"
    if isinstance(error, paramiko.AuthenticationException):
        return f"{where} refuses user {connection.user}: check the key or the agent"
    if "not found in known_hosts" in str(error):
        return (
            f"{where} is not in known_hosts: check its fingerprint, then "
            f"ssh-keyscan -p {connection.port} {connection.host} >> ~/.ssh/known_hosts"
        )
    if isinstance(error, (TimeoutError, socket.timeout)):
        return f"{where} does not answer within 10 s"
    return f"{where}: {error or type(error).__name__}"


def _no_agent(channel: Any) -> str:
    said = b""
    while channel.recv_stderr_ready() and len(said) < 4000:
        said += channel.recv_stderr(4000)
    text = " ".join(c for c in said.decode("utf-8", "replace").split() if c.isprintable())
    code = channel.recv_exit_status() if channel.exit_status_ready() else None
    if "password is required" in text:
        return (
            "sudo asks for a password; run hosts.sudoers first, or name ssh.sudo_password_command"
        )
    if "incorrect password" in text or "try again" in text:
        return "sudo does not accept the password"
    if code == 127 or "not found" in text:
        return f"python3 or sudo is missing there; see inv hosts.check ({text[-200:]})"
    return f"the agent did not start (exit code {code}): {text[-300:]}"


class RoleGroup(Group):
    """The hosts of a role; runs a method on all of them, so many at a time."""

    forks = 16

    def _do(self, method: str, *args: Any, **kwargs: Any) -> GroupResult:
        """{connection: result or exception}; unlike Fabric's own, it never raises."""
        results = GroupResult()

        def one(connection: Connection) -> Any:
            try:
                return getattr(connection, method)(*args, **kwargs)
            except Exception as error:
                return error

        with ThreadPoolExecutor(max(1, min(self.forks, len(self)))) as pool:
            for connection, result in zip(self, pool.map(one, self), strict=True):
                results[connection] = result
        return results

    def converse(self, works: Mapping[str, dict[str, Any]], heard: OnMessage) -> GroupResult:
        """HostConnection.converse on every member."""
        return self._do("converse", works, heard)


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
        self._config = Config(runtime_ssh_path=str(ssh_config) if ssh_config else None)
        self._config.load_ssh_config()
        self._known: dict[tuple[str, ...], known_hosts.KnownHosts] = {}
        self._connections: dict[str, HostConnection] = {}
        self.trips: dict[str, int] = {}

    def _trusted(self, looked_up: Mapping[str, Any]) -> known_hosts.KnownHosts:
        named = looked_up.get("userknownhostsfile", "~/.ssh/known_hosts").split()
        paths = (*named, "/etc/ssh/ssh_known_hosts")
        if paths not in self._known:
            self._known[paths] = known_hosts.load(Path(p).expanduser() for p in paths)
        return self._known[paths]

    def _connection(self, name: str) -> HostConnection:
        if name not in self._connections:
            host = self.hosts[name]
            looked_up = self._config.base_ssh_config.lookup(host.address or name)
            connection = HostConnection(
                host.address or name,
                user=host.user,
                port=host.port,
                config=self._config.clone(),
                forward_agent=False,
                connect_timeout=10,
                connect_kwargs={"banner_timeout": 15, "auth_timeout": 15, "channel_timeout": 20},
            )
            connection.prepare(host, self._trusted(looked_up), self._password)
            self._connections[name] = connection
        return self._connections[name]

    def group(self, names: Iterable[str]) -> RoleGroup:
        """The named hosts as a Fabric group with a bounded pool."""
        group = RoleGroup.from_connections([self._connection(n) for n in names])
        group.forks = self._forks
        return group

    def work(self, works: Mapping[str, dict[str, Any]], heard: OnMessage) -> dict[str, Stop]:
        """Gives every host its work at once; {host: why} for those that did not end."""
        lock = self._lock

        def one_at_a_time(host: str, message: Mapping[str, Any]) -> None:
            with lock:
                heard(host, message)

        faults: dict[str, Stop] = {}
        for name in works:
            self.trips[name] = self.trips.get(name, 0) + 1
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
        for connection in self._connections.values():
            connection.close()
