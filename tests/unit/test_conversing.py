"""Which agent gets a host's work, by what became of the one before."""

import socket
import threading
import time

import paramiko
import pytest

from fabfile.core import agent_program
from fabfile.core.contract import Unreachable
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
