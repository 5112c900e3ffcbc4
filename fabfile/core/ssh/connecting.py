"""What a connection does otherwise than Paramiko's and Fabric's own.

Knows host keys, ciphers, private keys, the parsed SSH configuration, dead peers, and what
an error at connecting means in words.  Does not know what is said over the connection.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
from fabric import Config, Connection
from invoke.config import copy_dict

from fabfile.core import known_hosts, own_files, ssh_config
from fabfile.core.contract import (
    INV,
    BadInput,
    Json,
    LoginRefused,
    NoSession,
    UnknownHostKey,
    UnknownName,
    Unreachable,
    WrongHostKey,
)

logging.getLogger("paramiko").addHandler(logging.NullHandler())

MOMENT = 1.0
"""Seconds for what takes none: a thread whose connection was shut down ends."""
SESSION = 20
"""Seconds in which a session is to open after a login, and a command to begin in it."""
LOGIN = 15
"""Seconds in which a login is to be answered."""
CONNECT, BANNER = 10, 15
"""Seconds in which a connection is to stand and speak SSH, and its first line is to come."""
_HEAD = 256
"""Bytes of a file that say whether it is a private key."""
IDLE = 30.0
"""Seconds between two looks of a connection's thread, of which a kept one is nothing but."""

ReadKeys = dict[tuple[str, type[paramiko.PKey], str | None], "paramiko.PKey | Exception"]
"""Private keys by file, type and password; or why one could not be read."""


class Compare(paramiko.MissingHostKeyPolicy):
    """Compares the key that a host shows with all that known_hosts has of it.

    Paramiko's own comparison knows one key of a type; so it is told of none, and asks here.
    """

    def __init__(self, label: str, trusted: known_hosts.KnownHosts, alias: str = "") -> None:
        self._label, self._trusted, self._alias = label, trusted, alias

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        """Raises Unreachable before anything is sent to a host that is not the known one."""
        hostname = self._alias or hostname
        if key.get_base64() in self._trusted.revoked:
            raise WrongHostKey(host=self._label, found="its host key is marked @revoked")
        known = self._trusted.keys_of(hostname)
        if not known:
            raise self._unknown(hostname, key)
        if key.get_base64() not in {k.get_base64() for k in known}:
            raise paramiko.BadHostKeyException(hostname, key, known[0])

    def _unknown(self, hostname: str, key: paramiko.PKey) -> UnknownHostKey:
        fingerprint = known_hosts.fingerprint(key)
        why = f"{hostname} is not in known_hosts; it shows {key.get_name()} {fingerprint}"
        if self._trusted.has_authority(hostname):
            why += ", and a certificate authority of known_hosts, which is not supported, is for it"
        return UnknownHostKey(
            f"{self._label}: {why}. Compare it with the host's own (ssh-keygen -lf "
            f"/etc/ssh/ssh_host_*_key.pub there), then: {INV} hosts.trust",
            known_hosts.line_of(hostname, key),
            fingerprint,
            str(self._trusted.files[0]),
            host=self._label,
            found=why,
        )


class SSHConfig(paramiko.SSHConfig):
    """The SSH configuration as OpenSSH reads it, in the form that Fabric asks for."""

    def __init__(self, read: ssh_config.Configuration) -> None:
        super().__init__()
        self._read = read

    def lookup(self, hostname: str) -> paramiko.SSHConfigDict:
        """What holds for a host, of which each asker gets a copy."""
        return paramiko.SSHConfigDict(copy.deepcopy(self._read.lookup(hostname)))


class PlainNames:
    """Before Invoke's classes, which list all names of an object at each assignment."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in vars(self) or hasattr(type(self), name):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)


class SharingConfig(PlainNames, Config):
    """Fabric's, whose copies share the parsed SSH configuration.

    Fabric's own reads the files anew for each copy, and adds them to what it has.
    """

    @staticmethod
    def global_defaults() -> dict[str, Json]:
        """Fabric's; but what is typed here is no command's there."""
        known = Config.global_defaults()
        return {**known, "run": {**known["run"], "in_stream": False}}

    def clone(self, into: type[Config] | None = None) -> Config:
        """As Invoke's, which makes one anew for each host, and merges all of its sources again."""
        if into not in {None, type(self)}:
            return super().clone(into)
        made = object.__new__(type(self))
        for name, value in vars(self).items():
            object.__setattr__(made, name, copy_dict(value) if isinstance(value, dict) else value)
        return made

    def _clone_init_kwargs(self, *args: object, **kwargs: object) -> dict[str, Json]:
        # Not Fabric's, which copies all stanzas; Invoke's, which it extends.
        known = super(Config, self)._clone_init_kwargs(*args, **kwargs)
        return {**known, "ssh_config": self.base_ssh_config}


class OpenKey(paramiko.SSHException):
    """A private key that others may read: as ssh, we do not use it."""


def open_key(path: Path) -> str:
    """Why ssh would not use a file as a private key: others may read it; '' where it would.

    As ssh has it (sshkey_perm_ok in authfile.c): of one's own files alone.  IdentityFile may name a
    public key, whose other half an agent holds.
    """
    try:
        if path.stat().st_uid != os.getuid() or not (why := own_files.readable(path)):
            return ""
        with own_files.opened(path, "a key") as stream:
            is_private = b"PRIVATE KEY" in stream.read(_HEAD)
    except (OSError, BadInput):
        return ""
    return f"{path}: a private key: {why}" if is_private else ""


class Client(paramiko.SSHClient):
    """Paramiko's, which reads each private key once for all connections of a fleet.

    An RSA key takes 140 ms to read; a file is tried as each type of key in turn.  One that others
    may read is left out, which Paramiko would use.
    """

    keys: ReadKeys

    def _key_from_filepath(
        self, filename: str, klass: type[paramiko.PKey], password: str | None
    ) -> paramiko.PKey:
        at = (filename, klass, password)
        if at not in self.keys:
            try:
                if why := open_key(Path(filename)):
                    raise OpenKey(why)
                self.keys[at] = super()._key_from_filepath(filename, klass, password)
            except (paramiko.SSHException, OSError) as error:
                self.keys[at] = error
        if isinstance(self.keys[at], Exception):
            raise self.keys[at].with_traceback(None)
        return self.keys[at]


class Transport(paramiko.Transport):
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
                self.join(MOMENT)
        super().close()


def notice_dead_peer(sock: object) -> None:
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25000)
        sock.settimeout(IDLE)  # its end is noticed at once, which a bastion's channel is not


def too_busy(error: Exception) -> bool:
    """Whether sshd closed the connection before it spoke: MaxStartups, or a restart."""
    text = str(error)
    return isinstance(error, (EOFError, ConnectionResetError)) or (
        "Error reading SSH protocol banner" in text and "timed out" not in text.lower()
    )


_SLOW_LOGIN = (
    "see what is slow in a login there (its sshd's journal; PAM's modules, a directory service "
    "or DNS that does not answer): ssh -v shows where it waits"
)


_MANY_KEYS = (
    "an agent with many keys needs IdentityFile and IdentitiesOnly in the SSH configuration"
)
_OR_BUSY = (
    "; a host at its limit ends logins too (LoginGraceTime): its sshd's journal says which it was, "
    "and fewer --forks load it less"
)


def no_session(name: str, error: Exception | None, connection: Connection) -> NoSession:
    """Why no command runs on a host whose login worked; error: None where it took too long."""
    where, who = f"{connection.host}:{connection.port}", connection.user
    took_long = error is None or "Timeout opening channel" in str(error)
    if took_long or isinstance(error, TimeoutError):
        said = f"lets user {who} log in, and no session opens within {SESSION} s"
    elif isinstance(error, paramiko.ChannelException):
        said = f"lets user {who} log in, and opens no session ({error.text})"
    else:
        said = f"lets user {who} log in, and then ends the connection"
    return NoSession(host=name, found=f"{where} {said}", advice=_SLOW_LOGIN)


def begin(channel: paramiko.Channel, command: str) -> None:
    """Begins a command.  Raises TimeoutError where the host does not say that it did.

    Paramiko's own waits for ever.
    """
    with given_up(channel.close) as late:
        try:
            channel.exec_command(command)
        except paramiko.SSHException:
            if late.is_set():
                raise TimeoutError from None
            raise


@contextlib.contextmanager
def given_up(give_up: Callable[[], object]) -> Iterator[threading.Event]:
    """Calls give_up where the block does not end within SESSION seconds; the event says that."""
    late = threading.Event()

    def too_late() -> None:
        late.set()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            give_up()  # the other end may have gone meanwhile

    timer = threading.Timer(SESSION, too_late)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def fault(name: str, error: Exception, connection: Connection) -> Unreachable:
    """What an error at connecting means, of the host that the site file calls so."""
    where = f"{connection.host}:{connection.port}"
    if isinstance(error, paramiko.BadHostKeyException):
        return WrongHostKey(
            host=name,
            found=f"the host key of {where} is not the one in known_hosts",
            advice="nothing was sent",
        )
    client = connection.client
    transport = client.get_transport()
    spoke = bool(transport and transport.remote_version)
    if isinstance(error, paramiko.AuthenticationException) and "timeout" in str(error).lower():
        said = f"{where} does not answer the login of user {connection.user} within {LOGIN} s"
        return NoSession(host=name, found=said, advice=_SLOW_LOGIN)
    if isinstance(error, (socket.gaierror, UnicodeError)) and not spoke:
        code = error.errno if isinstance(error, OSError) else None
        found = _OF_NAMES.get(code or 0, _NO_NAME).format(connection.host)
        return UnknownName(host=name, found=found, advice=_NAMES)
    # Paramiko's words for a connection that ended while it asked, whatever ended it.
    cut = any(words in str(error) for words in ("No existing session", "transport shut down"))
    if isinstance(error, paramiko.AuthenticationException) or (spoke and cut):
        keys = client.keys.values() if isinstance(client, Client) else ()
        left = sorted({f"; not used: {key}" for key in keys if isinstance(key, OpenKey)})
        refuses = "ends the connection at the login of" if cut else "refuses"
        return LoginRefused(
            host=name,
            found=f"{where} {refuses} user {connection.user}: check the key{''.join(left)}",
            advice=_MANY_KEYS + (_OR_BUSY if cut else ""),
        )
    through = isinstance(connection.gateway, str)
    return Unreachable(host=name, found=_cause(error, where, through))


_NO_NAME = "the name {} is not known"
_OF_NAMES = {
    socket.EAI_AGAIN: "no name server answers for the name {}",
    socket.EAI_FAIL: "the name server fails at the name {}",
}
"""What an error of getaddrinfo(3) means."""
_NAMES = (
    "names come from HostName in the ssh_config that is in use (~/.ssh/config, or [ssh] config of "
    "the site file, or --ssh-config FILE at init), from DNS and /etc/hosts"
)
_ENDS = (
    "takes connections and ends them before a login: is its sshd too busy (MaxStartups) or none?"
)
_DOWN = "is not reached: it is down, or a firewall turns connections away"
_FORBIDDEN = "is not tried: a firewall or a policy of this machine forbids the connection"
_OF_THE_NETWORK = {
    errno.ECONNREFUSED: "refuses connections: is its sshd down, or at another port?",
    errno.EHOSTUNREACH: _DOWN,
    errno.EHOSTDOWN: _DOWN,
    errno.ENETUNREACH: "is in a network to which no route leads from here",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.ECONNRESET: _ENDS,
    errno.EPIPE: _ENDS,
}
"""What an error of connect(2), and of the connection before a login, means."""


_NO_SSH = "answers, but not in SSH: is that the port of its sshd?"


def _cause(error: BaseException, where: str, through: bool) -> str:
    """through: whether a ProxyCommand makes the connection."""
    # Paramiko's text of a first line that it could not read does not say why.
    of_banner = error.__context__ if "protocol banner" in str(error) else None
    if isinstance(of_banner, TimeoutError) or "No existing session" in str(error):
        seconds = BANNER if of_banner else CONNECT
        if through:
            return f"{where}: nothing comes through its ProxyCommand within {seconds} s"
        return (
            f"{where} takes connections, and says nothing within {seconds} s: is its sshd frozen?"
        )
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        each = (_cause(one, where, through) for one in error.errors.values())
        return "; ".join(dict.fromkeys(each))
    return _seen(of_banner or error, where)


def _seen(error: BaseException, where: str) -> str:
    if isinstance(error, TimeoutError):
        return f"{where} does not answer within {CONNECT} s"
    if isinstance(error, paramiko.ProxyCommandFailure):
        return f"{where}: its ProxyCommand ended ({error.error})"
    if isinstance(error, EOFError) or "transport shut down" in str(error):
        return f"{where} {_ENDS}"
    if isinstance(error, OSError) and error.errno in _OF_THE_NETWORK:
        return f"{where} {_OF_THE_NETWORK[error.errno]} ({os.strerror(error.errno)})"
    odd = "Indecipherable" in str(error) or "Invalid SSH banner" in str(error)
    if odd or isinstance(error, UnicodeError):
        return f"{where} {_NO_SSH}"
    said = error.strerror if isinstance(error, OSError) else ""
    return f"{where}: {said or error or type(error).__name__}"
