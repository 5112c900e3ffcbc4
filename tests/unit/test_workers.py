"""A whole run by workers elsewhere, of which some die: nothing is done twice, nothing is lost.

Carrier and hosts are stand-ins; what travels is pickled, as it would be.
"""

import asyncio
import inspect
import pickle
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from fabfile import command
from fabfile.command import converging
from fabfile.core import journal, source_digest
from fabfile.core.contract import (
    BadInput,
    Change,
    Interrupted,
    Ref,
    Secret,
    UnknownHostKey,
    Unreachable,
)
from fabfile.flow import engine, session
from fabfile.flow.session import Options
from fabfile.resources.resource import Resource
from fabfile.workers import pool, shard

from . import fleets

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
SITE = 'name = "x"\nhosts.ceph01.roles = ["ceph"]\n'
SITE += "".join(f'hosts.n{number}.roles = ["compute"]\n' for number in range(1, 7))
SITE += 'dask = { scheduler = "tls://s:1", ca = "a", cert = "b", key = "c" }\n'
HOSTS = [f"n{number}" for number in range(1, 7)]
KEY = "AQBvery+secret=="


class World:
    """The hosts: what was done on each, in whatever order; who kills whom.

    kills: {(phase, host): when}: its worker dies 'before' or 'after' that host's step; where
    it is 'within', the agent there still ends the step that it is at.
    """

    def __init__(self):
        self.restarts, self.owed = {n: 0 for n in HOSTS}, {n: ["u"] for n in HOSTS}
        self.steps, self.kills, self.dead = {n: [] for n in HOSTS}, {}, {}
        self.carrier, self.slow, self.then = None, 0.0, lambda: None
        self.agents, self.mercy, self.fence = {}, True, dict.fromkeys(HOSTS, 0)

    def restart(self, host, step):
        self.then()
        self.owed[host] = []
        self.restarts[host] += 1
        self.steps[host].append({"step": step, "state": "done"})


class WorkersFleet(fleets.StandIn):
    """A worker's fleet, of stand-in hosts."""

    warnings = ("known_hosts: line 3: odd",)

    def __init__(self, world, hosts):
        self.world, self.hosts = world, {host.name: host for host in hosts}
        self.conversations = Conversations()
        self.closed = False

    def one(self, host, work, say):
        world = self.world
        assert host in self.hosts
        if host in world.dead:
            return world.dead[host]
        if self.conversations.stopping:
            return self.conversations.stopping
        if work.get("number", 0) < world.fence.get(host, 0):
            return say(t="busy", who="a newer run")
        world.fence[host] = work.get("number", 0)
        phase = "apply" if "steps" in work else "probe"
        if host in world.agents:
            world.agents[host].join()  # as an agent that takes the host's lock
        when = world.kills.get((phase, host))
        if self.world.carrier.alive == {self.world.carrier.where[host]} and world.mercy:
            when = None  # the last one is spared
        if when == "before":
            world.carrier.kill(host)
        for read in work.get("reads", ()):
            self.answer(host, read, say)
        for step in work.get("steps", ()):
            assert step["args"]["key"].reveal() == KEY
            say(t="begin", step=step["id"])
            if when == "within" and not world.restarts[host]:
                world.agents[host] = threading.Timer(0.8, world.restart, (host, step["id"]))
                world.agents[host].start()
                world.carrier.kill(host)
            time.sleep(world.slow)
            world.restart(host, step["id"])
            if when == "after":
                world.carrier.kill(host)
            say(t="done", step=step["id"])
        for read in work.get("then", ()):
            self.answer(host, read, say)
        return None

    def values(self, host):
        told = {"thing": "t", "sentence": "s", "sign": "!", "verb_was": "restart", "wave": 2}
        return {
            "pending_restarts": self.world.owed.get(host, []),
            "secret": KEY,
            "run": [{**told, **step} for step in self.world.steps.get(host, [])],
        }

    def close(self):
        self.closed = True


class Conversations:
    """What the operator asked to stop."""

    stopping = None

    def stop(self, why=None):
        self.stopping = why or Interrupted("interrupted")

    def raise_if_stopped(self):
        if self.stopping:
            raise self.stopping


class Carrier:
    """Workers in this process, each with runs of its own; keeps the bytes that travelled."""

    def __init__(self, *names):
        self.alive, self.met, self.bytes = set(names), {}, []
        self.where, self.frozen, self.closed = {}, set(), False

    def kill(self, host):
        """The host's worker is no more, and neither is this thread of it."""
        self.alive.discard(self.where[host])
        raise SystemExit

    def workers(self):
        return set(self.alive)

    def call(self, worker, function, *args):
        sent = pickle.dumps(args)
        self.bytes.append(sent)
        self._there(worker)
        args = pickle.loads(sent)  # noqa: S301 (our own)
        if function is shard.here:
            return self.met.get(worker, (f"{worker}-name", source_digest.digest()))
        if function is shard.begin:
            args = [replace(args[0], run=worker + args[0].run)]
            self.where |= dict.fromkeys(args[0].works, worker)
        else:
            args = [worker + args[0], *args[1:]]
        answer = function(*args)
        answer = asyncio.run(answer) if inspect.iscoroutine(answer) else answer
        self._there(worker)
        self.bytes.append(pickle.dumps(answer))
        return pickle.loads(self.bytes[-1])  # noqa: S301 (our own)

    def _there(self, worker):
        while worker in self.frozen and not self.closed:
            time.sleep(0.05)
        if self.closed or worker not in self.alive:
            raise ConnectionError(f"{worker} closed the connection")

    def close(self):
        self.closed = True


def restarts(site, facts):
    """What is owed, with a key among a step's arguments."""
    args = {"units": ["u"], "key": Ref("key:client.volumes")}
    owing = fleets.owing(site, facts)
    return [Change(host.name, "unit", "restart", "!", "restart", args, 2) for host in owing]


RESTARTS = Resource("integrate", fleets.owed, restarts)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(shard, "PAUSE", 0.01)
    monkeypatch.setattr(shard, "LONGEST", 0.1)
    monkeypatch.setattr(pool, "_LOOK", 0.2)
    monkeypatch.setattr(shard, "_working", {})
    made, control = World(), SimpleNamespace(trips={}, close=lambda: None)
    made.site, made.control, made.fleets = fleets.at_home(tmp_path, monkeypatch, SITE), control, []
    control.conversations = Conversations()
    control.hold = lambda host, work: SimpleNamespace(number=1, release=lambda: None)
    made.carrier = Carrier("a", "b")

    def fleet(hosts, config, forks, where):
        made.fleets.append(WorkersFleet(made, hosts))
        return made.fleets[-1]

    monkeypatch.setattr(engine, "fleet", fleet)
    monkeypatch.setattr(session, "_fleet", lambda *_: control)
    monkeypatch.setattr(command, "_dask", lambda one: pool.Elsewhere(made.carrier, one))
    yield made
    assert made.carrier.closed


def run(world, resource=RESTARTS, **flags):
    return fleets.outcome(resource, site=world.site, engine="dask", **flags)


def opened(world):
    with converging({}, Options(site=world.site, engine="dask"), "x") as made:
        return made


def once(world):
    return set(world.restarts.values()) == {1}


def test_two_workers_do_all_hosts_and_keep_them(world, capsys):
    assert run(world) == (0, "")
    assert once(world) and set(world.carrier.where.values()) == {"a", "b"}
    assert len(world.fleets) == 2 and all(fleet.closed for fleet in world.fleets)
    assert world.control.trips["n1"] == 2
    assert "Warning: known_hosts: line 3: odd" in capsys.readouterr().out


def test_no_key_travels_in_either_direction(world):
    run(world)
    sent = b"".join(world.carrier.bytes)
    assert b"key:client.volumes" in sent and KEY.encode() not in sent


def test_a_secret_among_the_works_ends_the_run_before_it_leaves(world):
    change = Change("n1", "u", "s", "!", "restart", {"key": Secret(KEY)}, 2)
    stages = [replace(RESTARTS, plan=lambda site, facts: [change])]
    with converging({}, Options(site=world.site, yes=True, engine="dask"), "x") as made:
        plan = made.plan(stages, made.probe(stages))
        step = {"id": 0, "args": dict(plan.changes[0].args)}
        with pytest.raises(TypeError, match="a secret is not written anywhere"):
            made.session.engine.apply({"n1": {"steps": [step]}}, None)
    assert KEY.encode() not in b"".join(world.carrier.bytes)


def test_hosts_of_a_worker_that_dies_while_it_asks_are_asked_by_another(world, capsys):
    world.kills["probe", "n3"] = "before"
    assert run(world) == (0, "")
    assert once(world) and len(world.carrier.alive) == 1
    assert "worker a-name is gone (a closed the connection); 3 hosts" in capsys.readouterr().out


@pytest.mark.parametrize("when", ["before", "within", "after"])
def test_a_worker_that_dies_in_the_middle_of_its_work_is_taken_over_from(world, when):
    world.kills["apply", "n3"] = when
    assert run(world) == (0, "")
    assert once(world) and len(world.carrier.alive) == 1
    events = next(iter(journal.runs()))[1]
    assert [e["host"] for e in events if e["event"] == "done"].count("n3") == 1
    assert {e["host"] for e in events if e["event"] == "taken over"} >= {"n3"}
    assert events[-1]["done"] == dict.fromkeys(HOSTS, 1)
    # What the lost worker might still send is refused there.
    assert 1 < world.fence["n3"] < 2


def test_what_somebody_else_changed_meanwhile_is_left_to_the_next_run(world):
    def other(site, facts):
        sentence = "restart" if len(world.carrier.alive) == 2 else "restart it for another"
        return [replace(change, sentence=sentence) for change in restarts(site, facts)]

    world.kills["apply", "n3"] = "before"
    assert run(world, replace(RESTARTS, plan=other)) == (
        1,
        "n3: unit: changed since the plan was made\nn5: unit: changed since the plan was made",
    )
    assert {host for host, count in world.restarts.items() if not count} == {"n3", "n5"}


def test_when_no_worker_is_left_it_is_unknown_what_was_done(world):
    world.mercy = False
    world.kills |= {("apply", "n1"): "after", ("apply", "n2"): "after"}
    code, said = run(world)
    assert code == 7
    assert "and what it did is not known: no worker is left to reach it" in said
    assert world.restarts["n1"] == world.restarts["n2"] == 1


def test_when_no_worker_is_left_while_all_are_asked_nothing_was_written(world):
    world.mercy = False
    world.kills |= {("probe", "n1"): "before", ("probe", "n2"): "before"}
    code, said = run(world)
    assert code == 4
    assert "no worker is left to reach it" in said and "nothing was written anywhere" in said


def test_a_silent_worker_counts_as_gone(world, monkeypatch):
    monkeypatch.setattr(pool.conversing, "SILENCE", 0.6)
    with converging({}, Options(site=world.site, yes=True, engine="dask"), "x") as made:
        world.carrier.frozen.add("a")
        made.probe([RESTARTS])
        assert made.session.engine._gone == {"a"}


def test_a_worker_that_nobody_asks_stops_and_forgets(world, monkeypatch):
    monkeypatch.setattr(shard.conversing, "SILENCE", 0.2)
    monkeypatch.setattr(shard, "WATCH", 0.1)
    world.slow = 0.5
    with converging({}, Options(site=world.site, yes=True, engine="dask"), "x") as made:
        made.probe([RESTARTS])
        steps = [{"id": 0, "args": {"key": Ref("key:client.volumes")}}]
        lock = {"site": "x", "number": 1, "who": "w", "patience": 1}
        works = {host: {**lock, "steps": steps} for host in HOSTS}
        shard.begin(replace(made.session.engine._order("apply", works), run="alone"))
        until = time.monotonic() + 15
        while "alone" in shard._working and time.monotonic() < until:
            time.sleep(0.1)
        assert "alone" not in shard._working
    assert 0 < sum(world.restarts.values()) < len(HOSTS)


def test_the_operators_stop_reaches_the_workers(world):
    world.slow = 0.3
    world.then = world.control.conversations.stop
    code, said = run(world)
    assert (code, said) == (130, "interrupted")
    assert sum(world.restarts.values()) < len(HOSTS)


def test_hosts_faults_come_back_in_words(world):
    world.dead["n2"] = UnknownHostKey("n2: is not in known_hosts", "line", "SHA256:x", "file")
    world.dead["n3"] = Unreachable("n3: does not answer")
    code, said = run(world)
    assert code == 4 and "n2: is not in known_hosts\nn3: does not answer" in said
    world.carrier.closed = False
    assert run(world, max_fail="2")[0] == 4
    assert {host for host, count in world.restarts.items() if not count} == {"n2", "n3"}


def test_a_worker_that_cannot_begin_says_why_for_each_host(world, monkeypatch):
    def none(*args):
        raise BadInput("ssh.config: /x: no such file on the worker")

    monkeypatch.setattr(engine, "fleet", none)
    code, said = run(world)
    assert code == 4 and "ssh.config: /x: no such file on the worker" in said


@pytest.mark.parametrize(
    "met, words",
    [
        (("east", "sha256:0"), "worker east: another stackrbd: expected sha256:"),
        (None, "worker a: no stackrbd answers there (a closed the connection)"),
    ],
)
def test_a_worker_of_another_edition_is_refused(world, met, words):
    if met:
        world.carrier.met["a"] = met
    else:
        world.carrier.workers = lambda: {"a", "b"}
        world.carrier.alive = {"b"}
    with pytest.raises(BadInput) as caught:
        opened(world)
    assert words in str(caught.value)


def test_where_no_worker_is_nothing_begins(world):
    world.carrier.alive.clear()
    with pytest.raises(Unreachable, match="no worker is there"):
        opened(world)


ODD = {
    "of a host of another worker": lambda host: ("n9", {"t": "busy", "who": "x"}),
    "no kind": lambda host: (host, {"t": []}),
    "a kind that no agent says": lambda host: (host, {"t": "trust me"}),
    "a read that was not asked": lambda host: (host, {"t": "read", "id": "z", "value": 1}),
    "no name of the read": lambda host: (host, {"t": "read", "id": ["z"], "value": 1}),
    "lines that are none": lambda host: (host, {"t": "part", "id": "z", "lines": 1}),
    "a step that was not given": lambda host: (host, {"t": "done", "step": 999}),
}


@pytest.mark.parametrize("what", ODD)
def test_what_a_worker_says_of_hosts_is_checked_as_what_they_say(world, monkeypatch, what):
    there, told = shard.news, []

    async def news(run, stop):
        found = await there(run, stop)
        computes = {host for host, _ in found.said} - {"ceph01"}
        if not told and computes:
            told.append(ODD[what](min(computes)))
            found = replace(found, said=[told[0], *found.said])
        return found

    monkeypatch.setattr(shard, "news", news)
    code, said = run(world)
    host = told[0][0]
    if host in HOSTS:
        assert (code, said.splitlines()[0]) == (4, f"{host}: answers what it was not asked")
    else:
        assert (code, said) == (0, "") and once(world)


def test_a_worker_says_nothing_of_the_faults_of_others(world, monkeypatch):
    there = shard.news

    async def news(run, stop):
        found = await there(run, stop)
        faults = None if found.faults is None else {**found.faults, "n9": Unreachable("x")}
        return replace(found, faults=faults)

    monkeypatch.setattr(shard, "news", news)
    assert run(world) == (0, "")
