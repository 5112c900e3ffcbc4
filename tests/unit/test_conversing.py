"""Which agent gets a host's work, by what became of the one before."""

import errno
import socket
import threading
import time
from types import SimpleNamespace

import paramiko
import pytest

from fabfile.core import agent_program, known_hosts
from fabfile.core.contract import (
    LoginRefused,
    NoAgent,
    NoPython,
    NoSession,
    UnknownName,
    Unreachable,
)
from fabfile.core.ssh import connecting, conversing

OTHER = agent_program.OTHER_PYTHON
WORK = {"n1": {"reads": []}}


class Agent:
    """An agent that takes work (or not), says something, and ends with a code."""

    compiled = True
    channel = None

    def __init__(self, said="end", code=None, takes=True):
        self.said, self.code, self._takes = said, code, takes

    def give(self, work):
        return self._takes

    def left_with(self):
        return self.code


class Host(conversing.HostConnection):
    """A host whose agents are those of a list."""

    _coming = ()
    started = 0

    def _started(self):
        self.started += 1
        agent = self._coming.pop(0)
        agent.compiled = self._shared.compiled
        return agent

    def _dispatch(self, agent, heard, holds):
        return agent.said


@pytest.fixture
def host(monkeypatch):
    monkeypatch.setattr(conversing, "_no_agent", lambda name, agent: Unreachable(name))

    def made(kept, *coming):
        one = Host("127.0.0.1")
        one.prepare("n1", None, None, conversing.Shared())
        one._agent, one._coming = kept, list(coming)
        return one

    return made


@pytest.mark.parametrize(
    ("kept", "coming", "said"),
    [
        (None, [Agent()], "end"),
        (Agent(), [], "end"),
        (Agent(takes=False), [Agent()], "end"),
        # It had waited too long and had left when the work came: nothing was begun.
        (Agent("nothing", 0), [Agent()], "end"),
        # Nobody knows what it did.
        (Agent("nothing", None), [], "cut"),
        (Agent("nothing", 75), [], "cut"),
        (Agent("cut"), [], "cut"),
        (None, [Agent("cut")], "cut"),
        (None, [Agent("nothing", OTHER), Agent()], "end"),
        (Agent("nothing", 0), [Agent("nothing", OTHER), Agent()], "end"),
    ],
)
def test_who_does_the_work(host, kept, coming, said):
    one = host(kept, *coming)
    assert one.converse(WORK, None) == said
    assert one.started == len(coming)


@pytest.mark.parametrize(
    "coming",
    [
        [Agent("nothing", 127)],
        [Agent("nothing", None)],
        # A host that goes on saying so is asked twice, not for ever.
        [Agent("nothing", OTHER), Agent("nothing", OTHER)],
    ],
)
def test_an_agent_that_never_starts_is_unreachable(host, coming):
    one = host(None, *coming)
    with pytest.raises(Unreachable):
        one.converse(WORK, None)
    assert one.started == len(coming)


def test_one_host_with_another_python_tells_for_all(host):
    one = host(None, Agent("nothing", OTHER), Agent())
    one.converse(WORK, None)
    assert one._shared.compiled is False


def test_a_connection_that_is_closed_leaves_no_thread():
    ours, theirs = socket.socketpair()
    server, made = paramiko.Transport(theirs), connecting.Transport(ours)
    server.add_server_key(paramiko.ECDSAKey.generate())
    server.start_server(event=threading.Event(), server=paramiko.ServerInterface())
    made.start_client(timeout=10)
    ours.settimeout(connecting.IDLE)
    began = time.monotonic()
    made.close()
    assert not made.is_alive() and time.monotonic() - began < connecting.MOMENT
    server.close()


class Sshd(paramiko.ServerInterface):
    """A server that lets everybody in, and is slow or odd after that; released at the end."""

    def __init__(self, opens="", runs="", code=0):
        self.opens, self.runs, self.code = opens, runs, code
        self.released = threading.Event()

    def check_auth_none(self, username):
        return paramiko.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username):
        return "none"

    def check_channel_request(self, kind, chanid):
        if self.opens == "slow":  # as behind a PAM module that waits for something
            self.released.wait(20)
        refused = paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        if self.opens == "cut":
            self.transport.close()
        return refused if self.opens == "refused" else paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        if self.runs == "slow":
            self.released.wait(20)
        if self.runs == "cut":
            self.transport.close()
        if self.runs == "":
            threading.Timer(0.05, self._end, [channel]).start()  # after the answer to this
        return self.runs != "refused"

    def _end(self, channel):
        channel.send_exit_status(self.code)
        channel.close()


@pytest.fixture
def behind(monkeypatch):
    """A connection to such a server, logged in."""
    monkeypatch.setattr(connecting, "SESSION", 0.4)
    made = []

    def logged_in(server):
        ours, theirs = socket.socketpair()
        server.transport = paramiko.Transport(theirs)
        server.transport.add_server_key(paramiko.ECDSAKey.generate())
        server.transport.start_server(event=threading.Event(), server=server)
        transport = connecting.Transport(ours)
        transport.start_client(timeout=10)
        transport.auth_none("op")
        one = conversing.HostConnection("10.0.0.9", user="op", config=connecting.SharingConfig())
        one.prepare("n1", known_hosts.KnownHosts(), None, conversing.Shared())
        one.transport = one.client._transport = transport
        made.append((server, one))
        return one

    yield logged_in
    for server, one in made:
        server.released.set()
        one.close()
        server.transport.close()


NO_SESSION = r"^n1: 10.0.0.9:22 lets user op log in, and"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"opens": "slow"}, f"{NO_SESSION} no session opens within 0.4 s"),
        ({"opens": "refused"}, rf"{NO_SESSION} opens no session \(Administratively"),
        ({"opens": "cut"}, f"{NO_SESSION} then ends the connection"),
        ({"runs": "slow"}, f"{NO_SESSION} no session opens within 0.4 s"),
        ({"runs": "refused"}, f"{NO_SESSION} then ends the connection"),
        ({"runs": "cut"}, f"{NO_SESSION} then ends the connection"),
    ],
)
@pytest.mark.parametrize("way", ["agent", "command"])
def test_a_login_that_leads_to_no_session_is_said_to_be_that(behind, way, how, said):
    one = behind(Sshd(**how))
    began = time.monotonic()
    with pytest.raises(NoSession, match=said):
        one._started() if way == "agent" else one.ask(lambda c: c.run("true", hide=True, warn=True))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("code", [0, 1])
def test_a_command_that_ends_is_an_answer(behind, code):
    one = behind(Sshd(code=code))
    assert one.ask(lambda c: c.run("which x", hide=True, warn=True)).exited == code


def test_a_command_that_hangs_is_no_answer(behind):
    server = Sshd(runs="begun")
    with pytest.raises(NoSession, match="within 0.4 s"):
        behind(server).ask(lambda c: c.run("which x", hide=True, warn=True))


CUT = "Authentication failed: transport shut down or saw EOF"
"""Paramiko 3 and 4, auth_handler.wait_for_response."""


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (paramiko.AuthenticationException("Authentication timeout."), NoSession, "within 15 s"),
        (paramiko.AuthenticationException("Authentication failed."), LoginRefused, "refuses user"),
        (paramiko.AuthenticationException(CUT), LoginRefused, "ends the connection at the login"),
        (TimeoutError(), Unreachable, "does not answer within 10 s"),
    ],
)
def test_why_a_login_fails(behind, error, kind, said):
    why = connecting.fault("n1", error, behind(Sshd()))
    assert type(why) is kind and said in why.found
    assert ("a host at its limit" in why.advice) == ("ends the connection" in said)


def at_connecting(error, host="10.0.0.9", gateway=None):
    """What is said of an error before the host spoke."""
    one = conversing.HostConnection(host, user="op", gateway=gateway)
    one.prepare("n1", known_hosts.KnownHosts(), None, conversing.Shared())
    return connecting.fault("n1", error, one)


def no_banner(why):
    """Paramiko's, whose text does not tell what it is about (Transport._check_banner)."""
    error = paramiko.SSHException(f"Error reading SSH protocol banner{why}")
    error.__context__ = why
    return error


def of_each(*codes):
    """Paramiko's of a host with several addresses."""
    found = {(f"10.0.0.{n}", 22): OSError(code, "x") for n, code in enumerate(codes)}
    return paramiko.ssh_exception.NoValidConnectionsError(found)


REFUSED, NO_ROUTE = errno.ECONNREFUSED, errno.EHOSTUNREACH


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (of_each(REFUSED), "refuses connections"),
        (of_each(REFUSED, REFUSED), "refuses connections"),
        (of_each(NO_ROUTE), "a firewall turns connections away (No route to host)"),
        (of_each(NO_ROUTE, REFUSED), "(No route to host); 10.0.0.9:22 refuses connections"),
        (OSError(errno.ENETUNREACH, "x"), "no route leads from here (Network is unreachable)"),
        (OSError(errno.EHOSTDOWN, "x"), "is down"),
        (PermissionError(errno.EACCES, "x"), "forbids the connection (Permission denied)"),
        (PermissionError(errno.EPERM, "x"), "forbids the connection (Operation not permitted)"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "ends them before a login"),
        (BrokenPipeError(errno.EPIPE, "x"), "ends them before a login"),
        (EOFError(), "ends them before a login"),
        (no_banner(EOFError()), "ends them before a login"),
        (paramiko.SSHException("transport shut down or saw EOF"), "ends them before a login"),
        (no_banner(ConnectionResetError(errno.ECONNRESET, "Reset")), "ends them before a login"),
        (no_banner(TimeoutError()), "says nothing within 15 s: is its sshd frozen"),
        (paramiko.SSHException("No existing session"), "nothing within 10 s: is its sshd frozen"),
        (no_banner(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no")), "but not in SSH"),
        (paramiko.SSHException('Indecipherable protocol version "HTTP/1.1"'), "but not in SSH"),
        (paramiko.SSHException("Invalid SSH banner"), "but not in SSH"),
        (TimeoutError(), "does not answer within 10 s"),
        (TimeoutError(errno.ETIMEDOUT, "x"), "does not answer within 10 s"),
        (OSError(errno.EMFILE, "Too many open files"), "10.0.0.9:22: Too many open files"),
        (paramiko.SSHException("no kex that both know"), "10.0.0.9:22: no kex that both know"),
    ],
)
def test_why_nothing_is_reached_is_said_as_it_was_seen(error, said):
    why = at_connecting(error)
    assert type(why) is Unreachable and said in why.found
    assert "Errno" not in str(why) and ("frozen" in str(why)) == ("frozen" in said)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (paramiko.SSHException("No existing session"), "nothing comes through its ProxyCommand"),
        (no_banner(TimeoutError()), "nothing comes through its ProxyCommand"),
        (paramiko.ProxyCommandFailure("nc x", "Broken pipe"), "ProxyCommand ended (Broken pipe)"),
    ],
)
def test_what_comes_through_a_command_is_said_of_the_command(error, said):
    assert said in at_connecting(error, gateway="nc %h %p").found


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "the name ceph01 is not known"),
        (socket.gaierror(socket.EAI_NODATA, "x"), "the name ceph01 is not known"),
        (socket.gaierror(socket.EAI_ADDRFAMILY, "x"), "the name ceph01 is not known"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "no name server answers for the name ceph01"),
        (socket.gaierror(socket.EAI_FAIL, "x"), "the name server fails at the name ceph01"),
        (UnicodeError("label too long"), "the name ceph01 is not known"),
    ],
)
def test_a_name_that_is_not_found_says_where_names_come_from(error, said):
    why = at_connecting(error, "ceph01")
    assert type(why) is UnknownName and why.code == Unreachable.code and why.found == said
    for source in ("~/.ssh/config", "--ssh-config FILE", "[ssh]", "DNS", "/etc/hosts"):
        assert source in str(why)
    assert "Errno" not in str(why)


def test_an_sshd_that_ends_connections_is_never_said_to_be_slow():
    """As Paramiko raises it in truth."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def end():
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=end, daemon=True).start()
        one = conversing.HostConnection(
            "127.0.0.1", user="op", port=server.getsockname()[1], connect_timeout=10
        )
        one.prepare("n1", known_hosts.KnownHosts(), None, conversing.Shared())
        with pytest.raises(Unreachable, match="ends them before a login"):
            one.reach()
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (None, NoAgent, "nothing comes of sudo and python3 within 25 s"),
        (1, NoAgent, r"did not start \(exit code 1\)"),
        (127, NoPython, "python3 or sudo is missing"),
    ],
)
def test_an_agent_that_does_not_start_is_no_host_that_is_down(code, kind, said):
    class Silent(Agent):
        channel = SimpleNamespace(close=lambda: None)

        def complained(self):
            return ""

    with pytest.raises(kind, match=said):
        raise conversing._no_agent("n1", Silent(code=code))


def test_a_copy_of_the_configuration_is_as_invokes_own_copies_are():
    known = {"run": {"warn": True}, "sudo": {"user": "op"}}
    config = connecting.SharingConfig(overrides=known, ssh_config=paramiko.SSHConfig())
    copy, invokes = config.clone(), super(connecting.SharingConfig, config).clone()
    assert type(copy) is type(config) and vars(copy) == vars(invokes)
    copy.run.warn, copy.sudo.user = False, "another"
    assert (config.run.warn, config.sudo.user) == (True, "op")
    assert copy.base_ssh_config is config.base_ssh_config
