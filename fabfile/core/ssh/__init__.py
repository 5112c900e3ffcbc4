"""The one room that speaks SSH: the hosts of a site, groups of them, and the site's lock.

Knows how many hosts are at work at once, and whose connections are kept.  How one is
reached is `connecting`'s, how an agent there is talked to is `conversing`'s.
"""

from __future__ import annotations

import re
import resource
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fabric.group import Group, GroupResult

from fabfile.core import known_hosts
from fabfile.core.contract import (
    BadInput,
    Failed,
    Host,
    Json,
    Locked,
    Message,
    Secret,
    Stop,
    Unknown,
)
from fabfile.core.ssh import connecting
from fabfile.core.ssh.conversing import ByteStream, HostConnection, OnMessage, Shared
from fabfile.core.ssh_config import Configuration, nameless

_WAITING = 8
"""Times forks: the hosts that may be at work or wait for a service to stand."""
_MOST_KEPT = 1024
"""Above so many hosts, each is connected to anew for a look and for its work."""
_JUMP = re.compile(
    r"(ssh://)?((?P<user>.+)@)?(?P<name>\[[^\]]+\]|[^:@\[\]]+)(:(?P<port>[0-9]{1,5}))?/?"
)
"""One of ProxyJump's hosts, as ssh_config(5) has it."""


def _is_port(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,5}", text)) and 0 < int(text) < 1 << 16


_EXEC = 30
"""Seconds that a command of Match exec may take."""
_BESIDE = 100
"""Open files besides the connections: known_hosts, the journal, a bastion's, a margin."""


class RoleGroup(Group):
    """The hosts of a role; runs a method on all of them, so many at a time."""

    forks = 16
    keeps = True

    def _do(self, method: str, *args: object, **kwargs: object) -> GroupResult:
        """{connection: result or exception}; unlike Fabric's own, it never raises."""
        return self._each(lambda c: getattr(c, method)(*args, **kwargs), self.forks)

    def each(self, action: Callable[[HostConnection], object]) -> GroupResult:
        """{connection: what the action returns or raises}, so many at a time."""
        return self._each(action, self.forks)

    def _each(self, action: Callable[[HostConnection], object], threads: int) -> GroupResult:
        results = GroupResult()

        def one(connection: HostConnection) -> object:
            try:
                return action(connection)
            except Exception as error:
                return error

        with ThreadPoolExecutor(max(1, min(threads, len(self)))) as pool:
            for connection, result in zip(self, pool.map(one, self), strict=True):
                results[connection] = result
        return results

    def converse(self, works: Mapping[str, dict[str, Json]], on_message: OnMessage) -> GroupResult:
        """HostConnection.converse on every member; one that only waits lets the next begin."""
        places = threading.Semaphore(self.forks)
        waiting = _WAITING if any("steps" in work for work in works.values()) else 1

        def one(connection: HostConnection) -> str:
            with _Place(places) as place:
                ending = connection.converse(works, place.watching(on_message))
            if not self.keeps:
                connection.rest()
            return ending

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

    def watching(self, on_message: OnMessage) -> OnMessage:
        """Passes messages on, and leaves the place at the first message that has 'waits'."""

        def also(host: str, message: Message) -> None:
            if message.get("waits"):
                self._leave()
            on_message(host, message)

        return also


def _ended_well(command: str) -> bool:
    """Whether a command of Match exec says yes, run as ssh runs it."""
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", f"exec {command}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_EXEC,
        )
    except subprocess.TimeoutExpired:
        raise BadInput(f"Match exec: {command}: no answer within {_EXEC} s") from None
    return done.returncode == 0


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

    def __init__(self, fleet: Fleet, host: str, work: dict[str, Json]) -> None:
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

    def _hold(self, connection: HostConnection, works: Mapping[str, dict[str, Json]]) -> None:
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

    def _heard(self, host: str, message: Message) -> None:
        if message["t"] == "held":
            self.number = int(message["number"])
        elif message["t"] == "busy":
            self._released = True
            self._why = Locked(f"{host}: the site is locked by {message['who']}")
        elif message["t"] == "refused":
            self._released = True
            self._why = Failed(host=host, found=message["why"])
        self._known.set()

    def release(self) -> None:
        """Lets the next one in."""
        self._released = True
        self._fleet.conversations.release()
        self._thread.join(10)


class Fleet:
    """All hosts of a site, with their connections kept open for the run.

    settings: ssh_config (None: ssh's own places), forks, password (Secret or None).
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
        read = Configuration(ssh_config, _ended_well)
        self._config = connecting.SharingConfig(ssh_config=connecting.SSHConfig(read))
        self._known: dict[tuple[str, ...], known_hosts.KnownHosts] = {}
        self._connections: dict[str, HostConnection] = {}
        self._bastions: dict[str, HostConnection] = {}
        self._opening: set[str] = set()
        self._shared = Shared()
        self.conversations = self._shared.conversations
        self.trips: dict[str, int] = {}

    @property
    def warnings(self) -> list[str]:
        """Lines of known_hosts that could not be used."""
        return [w for known in self._known.values() for w in known.warnings]

    def _trusted(self, looked_up: Mapping[str, Json]) -> known_hosts.KnownHosts:
        named = looked_up.get("userknownhostsfile", ["~/.ssh/known_hosts"])
        system = looked_up.get("globalknownhostsfile", ["/etc/ssh/ssh_known_hosts"])
        paths = tuple(path for path in (*named, *system) if path.lower() != "none")
        if paths not in self._known:
            self._known[paths] = known_hosts.load(Path(p).expanduser() for p in paths)
        return self._known[paths]

    def _made(self, name: str, host: Host, password: Secret | None) -> HostConnection:
        looked_up = self._config.base_ssh_config.lookup(host.address or name)
        port = looked_up.get("port", "22")
        if not _is_port(port):
            raise BadInput(
                f"{name}: its SSH configuration: Port: expected a number from 1 to 65535, found "
                f"{port[:80]}"
            )
        for path in looked_up.get("identityfile", ()):
            if why := connecting.open_key(Path(path)):
                raise BadInput(f"{name}: its SSH configuration: IdentityFile: {why}")
        arguments = {
            "banner_timeout": connecting.BANNER,
            "auth_timeout": connecting.LOGIN,
            "channel_timeout": connecting.SESSION,
        }
        if looked_up.get("identitiesonly", "no").lower() in {"yes", "true"}:
            arguments |= {"allow_agent": False, "look_for_keys": False}
        if looked_up.get("identityagent", "").lower() == "none":
            arguments["allow_agent"] = False
        connection = HostConnection(
            host.address or name,
            user=host.user,
            port=host.port,
            gateway=self._gateway(looked_up),
            config=self._config.clone(),
            forward_agent=False,
            connect_timeout=connecting.CONNECT,
            connect_kwargs=arguments,
        )
        if not connection.user:
            raise nameless()
        trusted, alias = self._trusted(looked_up), looked_up.get("hostkeyalias", "")
        connection.prepare(name, trusted, password, self._shared, alias)
        return connection

    def _gateway(self, looked_up: Mapping[str, Json]) -> HostConnection | str | None:
        """The bastion, or the command that connects, whichever ssh would use."""
        command = looked_up.get("proxycommand", "none")
        if command.lower() != "none":
            return str(command)
        return self._bastion(looked_up.get("proxyjump", "none"))

    def _bastion(self, jumps: str) -> HostConnection | None:
        """The last of ProxyJump's hosts, opened once for all that go through it."""
        if jumps.lower() == "none":
            return None
        if jumps in self._opening:
            raise BadInput(f"ProxyJump: {jumps}: is to be reached through itself; except it there")
        if jumps not in self._bastions:
            self._opening.add(jumps)
            try:
                self._bastions[jumps] = self._last_of(jumps)
            finally:
                self._opening.discard(jumps)
        return self._bastions[jumps]

    def _last_of(self, jumps: str) -> HostConnection:
        before, _, last = jumps.rpartition(",")
        found = _JUMP.fullmatch(last.strip())
        if not found or not _is_port(found["port"] or "22"):
            raise BadInput(f"ProxyJump: expected [USER@]HOST[:PORT], found {last.strip()!r}")
        user, name, port = found["user"], found["name"].strip("[]"), found["port"]
        made = self._made(name, Host(name, (), None, user, int(port) if port else None), None)
        if before:
            made.gateway = self._bastion(before)
        return made

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
        group: RoleGroup = RoleGroup.from_connections([self._connection(n) for n in names])
        group.forks, group.keeps = self._forks, self._keeps()
        return group

    def _keeps(self) -> bool:
        """Whether a connection to each host can be kept."""
        return len(self.hosts) <= _MOST_KEPT and _room_for(len(self.hosts))

    def hold(self, host: str, work: dict[str, Json]) -> Hold:
        """Takes the site's lock there.  Raises Locked, or Unreachable."""
        return Hold(self, host, work)

    def work(
        self,
        works: Mapping[str, dict[str, Json]],
        on_message: OnMessage,
        streams: Mapping[str, ByteStream] | None = None,
    ) -> dict[str, Stop]:
        """Gives every host its work at once; {host: why} for those that did not end.

        streams: {host: what takes the bytes that its work sends, and gives those that it wants}.
        """

        def one_at_a_time(host: str, message: Message) -> None:
            with self._lock:
                on_message(host, message)

        faults: dict[str, Stop] = {}
        for name in works:
            self.trips[name] = self.trips.get(name, 0) + 1
        for name in works:
            self._connection(name).stream = (streams or {}).get(name)
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
