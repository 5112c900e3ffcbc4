"""What holds for large fleets, shown one by one: memory, dead hosts, workers that die.

Each point prints what it measured beside what is asked for, and raises SystemExit where
something is not so.  Knows the product's command line and what it prints.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench import critical_path, fleet, measured, wanted, ways
from bench.places import PROJECT, RUN

SMALL = 200
"""The fleet beside which a larger one is looked at."""
DEADLINE = 15.0
"""Seconds after which a host that takes a connection and says nothing is given up."""
EACH = 10
"""Hosts of each kind of fault."""
LEFT = RUN / "left-over.json"


def _task(*more: str, kept: int | None = None, task: str = "integrate") -> list[str]:
    own = [str(LEFT), *(["--kept", str(kept)] if kept is not None else [])]
    words = [task, "--yes", "--site", str(ways.SITE), *more]
    return [sys.executable, "-m", "bench.within", *own, "--", *words]


def _cost(
    hosts: fleet.Fleet, argv: Sequence[str], name: str, code: int = 0
) -> tuple[measured.Cost, str]:
    """(what a task costs, what it said)."""
    log = RUN / f"{name}.log"
    env = {**ways.environment(), "PYTHONPATH": str(PROJECT)}
    checked = ["sh", "-c", '"$@"; test $? -eq "$0"', str(code), *argv]
    cost = measured.run(checked, env, PROJECT, log, hosts.counts)
    left = json.loads(LEFT.read_text())
    if left["threads"] or left["sockets"]:
        raise SystemExit(f"bench: {name}: left over: {left}")
    return cost, log.read_text()


def _shown(name: str, cost: measured.Cost, hosts: int) -> str:
    each = cost.each(hosts)
    return (
        f"{name:<22} {cost.wall:7.1f} s  control CPU {each['control_cpu']:5.1f} ms/host  "
        f"host CPU {each['host_cpu']:4.0f} ms/host  peak {cost.peak:5.0f} MB  "
        f"connections {each['connections']:.1f} a host"
    )


def _say(text: str) -> None:
    print(text, flush=True)


_missed: list[str] = []


def _demand(holds: bool, text: str) -> None:
    """Says whether something is as asked for; what is not ends bench when all was shown."""
    _say(f"  {'ok ' if holds else 'NOT'} {text}")
    if not holds:
        _missed.append(text)


def show(point: str, computes: int, forks: int) -> int:
    """The exit code: 1 where something is not as asked for."""
    POINTS[point](computes, forks)
    return 1 if _missed else 0


# 1,000 hosts with one command


def scale(computes: int, forks: int) -> None:
    """Memory, control CPU a host beside that of 200, and that nothing is left over.

    The small fleet comes before and after the large one: what else the machine does
    meanwhile counts for both.
    """
    small, most = min(SMALL, computes), 150 + 0.1 * computes
    found: dict[tuple[int, str], list[float]] = {}
    for number in (small, computes, small):
        for phase, cost in _cold_and_converged(number, forks):
            _say(_shown(f"{number} hosts, {phase}", cost, number))
            found.setdefault((number, phase), []).append(cost.control_cpu / number * 1e3)
            if number == computes:
                _demand(cost.peak <= most, f"peak {cost.peak:.0f} MB, at most {most:.0f}")
    for phase in ("cold", "converged"):
        ours, beside = (median(found[number, phase]) for number in (computes, small))
        _demand(
            ours <= beside,
            f"{phase}: control CPU {ours:.1f} ms a host, at most the {beside:.1f} of {small} hosts",
        )
    _demand(True, "no thread and no socket was left over in any run")


def _cold_and_converged(
    computes: int, forks: int, kept: int | None = None
) -> Iterator[tuple[str, measured.Cost]]:
    hosts = _fleet(computes, forks)
    with hosts.up():
        for phase in ("cold", "converged"):
            yield phase, _cost(hosts, _task(kept=kept), f"{computes}-{phase}")[0]
            hosts.end_state()


def _fleet(computes: int, forks: int, more: str = "") -> fleet.Fleet:
    hosts = fleet.Fleet(computes, measured.enter(measured.HOSTS))
    ways.write_files(hosts.hosts, forks, more)
    return hosts


# A run, and its way back


def undo(computes: int, forks: int) -> None:
    """After an undo every host's files and secrets are again as they were."""
    hosts = _fleet(computes, forks)
    with hosts.up():
        _cost(hosts, _task(), "integrate")
        hosts.end_state()
        changed = [host for host in hosts.computes if hosts.altered(host)]
        _demand(changed == hosts.computes, f"a run changes all {computes} hosts: {len(changed)}")
        _, said = _cost(hosts, _task(), "converged")
        _demand("Nothing to do" in said, "a second run finds nothing to do")
        hosts.end_state()
        cost, _ = _cost(hosts, _task(task="undo"), "undo")
        _say(_shown("undo", cost, computes))
        left = {what for host in hosts.computes for what in hosts.altered(host)}
        _demand(not left, f"no file and no secret of the run is left: {sorted(left)}")
        again = {hosts.restarted(host) for host in hosts.computes}
        _demand(again == {2}, f"each was restarted once more: {again}")


# Both ways of keeping connections


def kept(computes: int, forks: int) -> None:
    """One connection a host and run, and one for each phase."""
    for name, most in (("kept", computes + 1), ("anew for each phase", 0)):
        for phase, cost in _cold_and_converged(computes, forks, most):
            _say(_shown(f"{name}, {phase}", cost, computes))


# doctor, beside the same loop over ssh


def doctor(computes: int, forks: int) -> None:
    """What a look costs beside a loop over ssh, and that it finds the one host that is ill."""
    hosts = _fleet(computes, forks)
    with hosts.up():
        _cost(hosts, _task(), "integrate")
        hosts.end_state()
        kinds: dict[str, Callable[[], measured.Cost]] = {
            "doctor": lambda: _looked(hosts, 0)[0],
            "integrate, converged": lambda: _cost(hosts, _task(), "converged")[0],
            "openssh, python": lambda: _loop(hosts, ways.openssh_python(forks)),
            "openssh, sh": lambda: _loop(hosts, ways.openssh(forks)),
        }
        found: dict[str, list[measured.Cost]] = {name: [] for name in kinds}
        for name, look in [*kinds.items()] * LOOKS:
            found[name].append(look())
            _say(_shown(name, found[name][-1], computes))
        ours = found["doctor"]
        cpu = median(cost.control_cpu / computes * 1e3 for cost in ours)
        _demand(cpu <= CONTROL_CPU, f"control CPU {cpu:.1f} ms a host, at most {CONTROL_CPU:.0f}")
        for name in [*kinds][1:]:
            _say("  doctor : " + _ratios(name, ours, found[name]))
        most = max(cost.sessions for cost in ours) / len(hosts.hosts)
        _demand(most == 1, f"{most:.2f} trips a host, one")
        ill = hosts.computes[computes // 2]
        hosts.within(ill, "rm /var/lib/bench/secrets/*")
        _, told = _looked(hosts, 3)
        named = [(one["code"], one["hosts"]) for one in told["findings"]]
        _demand(named == [("libvirt.missing", [ill.name])], f"one without its secret: {named}")


LOOKS = 3
"""Rounds of all, in turn."""
CONTROL_CPU = 8.0
"""What a look at a host may cost here, in ms."""


def _ratios(name: str, ours: Sequence[measured.Cost], beside: Sequence[measured.Cost]) -> str:
    """The medians of the rounds' own ratios."""
    told = []
    for figure, title in (
        ("wall", "wall"),
        ("control_cpu", "control CPU"),
        ("host_cpu", "host CPU"),
    ):
        each = [getattr(a, figure) / getattr(b, figure) for a, b in zip(ours, beside, strict=True)]
        told.append(f"{title} {median(each):.2f}")
    return f"{name:<22} {', '.join(told)}"


def _looked(hosts: fleet.Fleet, code: int) -> tuple[measured.Cost, dict[str, Any]]:
    """(what a look at all hosts costs, what doctor says as JSON)."""
    argv = [sys.executable, "-m", "bench.within", str(LEFT), "--"]
    argv += ["doctor", "--json", "--site", str(ways.SITE)]
    cost, said = _cost(hosts, argv, "doctor", code)
    documents = [line for line in said.splitlines() if line.startswith("{")]
    told: dict[str, Any] = json.loads(documents[-1])
    if told["healthy"] == bool(code):
        raise SystemExit(f"bench: doctor: {told['findings']}")
    return cost, told


def _loop(hosts: fleet.Fleet, way: ways.Way) -> measured.Cost:
    """What a loop of one script a host over ssh costs, where nothing is to be done."""
    return measured.run(way.argv, way.env, way.cwd, RUN / "loop.log", hosts.counts)


# Hosts that take time and no processor


FORKS, MOST_ROUNDS = (32, 100, 200), 64
"""Hosts at a time at which a fleet with latency is looked at, unless it takes more rounds."""


def waits(computes: int, forks: int) -> None:
    """Markdown: a run's wall time beside its critical path, where hosts take time and no CPU.

    One simulated host says what all of them then say (bench/latency.py).
    """
    said = _recorded(forks)
    small = min(SMALL, computes)
    each: dict[tuple[int, int, bool], float] = {}
    _say(f"| {' | '.join(_WAITS)} |\n{'|---' * len(_WAITS)}|")
    for number in (*([small] if small < computes else []), computes):
        for at_a_time in (forks for forks in FORKS if number <= MOST_ROUNDS * forks):
            for cold in (True, False):
                before = measured.starved()
                cost = _waited(said, number, at_a_time, cold)
                path = critical_path.Path(number, at_a_time, cold)
                each[number, at_a_time, cold] = cost.control_cpu / number * 1e3
                of_small = each[number, at_a_time, cold] / each[small, at_a_time, cold]
                _say(_row(path, cost, measured.starved() - before, of_small))


_WAITS = (
    "hosts",
    "forks",
    "",
    "wall s",
    "of it, short of a processor s",
    "critical path s",
    "wall : path",
    "one after the other s",
    "control CPU ms/host",
    f"of {SMALL} hosts'",
    "peak MB",
)


def _row(path: critical_path.Path, cost: measured.Cost, starved: float, of_small: float) -> str:
    least = path.overlapped()
    return (
        f"| {path.hosts:,} | {path.forks} | {'cold' if path.cold else 'converged'} "
        f"| {cost.wall:.1f} | {starved:.1f} | {least:.1f} | {cost.wall / least:.2f} "
        f"| {path.one_after_the_other():.0f} | {cost.control_cpu / path.hosts * 1e3:.1f} "
        f"| {of_small:.2f} | {cost.peak:.0f} |"
    )


def _recorded(forks: int) -> Path:
    """What one real agent says in a cold and in a converged run."""
    hosts, both = _fleet(1, forks), {}
    with hosts.up():
        for phase in ("cold", "converged"):
            at = RUN / f"{phase}.json"
            _cost(hosts, _with(_task(), "--record", str(at)), phase)
            both[phase] = json.loads(at.read_text())
    said = RUN / "said.json"
    said.write_text(json.dumps(both))
    return said


def _with(task: list[str], *more: str) -> list[str]:
    """The same with more of bench.within's own words."""
    at = task.index("--")
    return [*task[:at], *more, *task[at:]]


def _waited(said: Path, computes: int, forks: int, cold: bool) -> measured.Cost:
    """One run on hosts that begin pristine, or converged."""
    hosts = fleet.Fleet(computes, measured.enter(measured.HOSTS))  # its names: none of it is up
    ways.write_site(hosts.hosts, forks)
    task = _with(_task(), "--replay" if cold else "--replay-done", str(said))
    cost, told = _cost(hosts, task, f"{computes}-{forks}-{cold}")
    if ("Nothing to do" in told) == cold:
        raise SystemExit(f"bench: {computes} hosts with latency: {told[-2000:]}")
    return cost


# What a host's time goes into


def costs(computes: int, forks: int) -> None:
    """Markdown: what an agent spends on a host, cold and converged, largest first.

    Medians of all computes; each piece's own time, without those that are counted within it.
    """
    hosts = _fleet(computes, forks)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    with hosts.up():
        for phase in ("cold", "converged"):
            argv = _task()
            argv.insert(argv.index("--"), "--costs")
            total = _cost(hosts, argv, phase)[0].host_cpu * 1e3 / computes
            each = [_counted(host) for host in hosts.computes]
            names = {name for one in each for name in one}
            found[phase] = {
                name: (
                    median(one.get(name, (0, 0.0))[0] for one in each),
                    median(one.get(name, (0, 0.0))[1] for one in each) * 1e3,
                )
                for name in names
            }
            found[phase]["all of the host, with sshd"] = (1, total)
    _say("| piece | cold: times | ms | converged: times | ms |\n|---|---|---|---|---|")
    none = (0, 0.0)
    for name in sorted(found["cold"], key=lambda name: -found["cold"][name][1]):
        (times, cold), (again, warm) = (found[p].get(name, none) for p in ("cold", "converged"))
        _say(f"| {name} | {times:.0f} | {cold:.1f} | {again:.0f} | {warm:.1f} |")


def _counted(host: fleet.Simulated) -> dict[str, tuple[float, float]]:
    """{piece: (times, seconds)} of the newest agent there."""
    lines = (host.at / "upper/var/lib/bench/costs").read_text().splitlines()
    counted: dict[str, tuple[float, float]] = json.loads(lines[-1])
    return counted


# Dead hosts, frozen ones, and some without sudo


def faulty(computes: int, forks: int) -> None:
    """The rest is done in time, the faulty are named, and --limit @failed runs just these."""
    hosts = _fleet(computes, forks)
    with hosts.up():
        undisturbed, _ = _cost(hosts, _task(), "undisturbed")
        hosts.end_state()
    _say(_shown("undisturbed", undisturbed, computes))
    kinds = _spread(hosts.computes)
    bad = [host for kind in kinds.values() for host in kind]
    with contextlib.ExitStack() as stack:
        dead, frozen, refused = kinds.values()
        plugs = [_drops(host.address) for host in dead] + [_hangs(h.address) for h in frozen]
        stack.enter_context(hosts.up({*dead, *frozen}))
        for host in refused:
            hosts.within(host, "touch /var/lib/bench/no-sudo")
        disturbed, said = _cost(hosts, _task("--max-fail", str(len(bad))), "disturbed", 4)
        _say(_shown("disturbed", disturbed, computes))
        hosts.end_state([host for host in hosts.computes if host not in bad])
        most = 1.3 * undisturbed.wall + DEADLINE
        _demand(
            disturbed.wall <= most,
            f"{disturbed.wall:.1f} s, at most {most:.1f} "
            f"(1.3 times {undisturbed.wall:.1f}, and {DEADLINE:.0f})",
        )
        for words, kind in kinds.items():
            lines = [line for line in said.splitlines() if words in line and "left out;" in line]
            names = {name for line in lines for name in re.findall(r"compute\d+", line)}
            _demand(names == {h.name for h in kind}, f"the recap: {' | '.join(lines)[:150]}")
        for plug in plugs:
            plug.close()
        for host in (*dead, *frozen):
            hosts.start(host)
        for host in refused:
            hosts.within(host, "rm /var/lib/bench/no-sudo")
        before = hosts.sessions()
        _cost(hosts, _task("--limit", "@failed"), "again")
        used = {name for name, count in hosts.sessions().items() if count > before.get(name, 0)}
        wanted_now = {h.name for h in bad} | {hosts.hosts[0].name}
        _demand(
            used == wanted_now,
            f"--limit @failed: sessions on {len(used)} hosts, the "
            f"{len(bad)} and the first Ceph host",
        )
        hosts.end_state()
        _demand(True, f"all {computes} hosts are right, with one restart each")


def _spread(computes: Sequence[fleet.Simulated]) -> dict[str, list[fleet.Simulated]]:
    """{what the recap says: hosts}: one beside the other, in the middle of the fleet."""
    start = len(computes) // 2
    some = [list(computes[start + n * EACH : start + (n + 1) * EACH]) for n in range(3)]
    words = ("does not answer within", "does not speak SSH", "sudo does not allow")
    return dict(zip(words, some, strict=True))


class _Plug:
    """Sockets in a dead host's place."""

    def __init__(self, *sockets: socket.socket) -> None:
        self._sockets = sockets

    def close(self) -> None:
        for one in self._sockets:
            one.close()


def _hangs(address: str) -> _Plug:
    """Takes connections, and says nothing."""
    listener = socket.create_server((address, 22), backlog=64)
    return _Plug(listener)


def _drops(address: str) -> _Plug:
    """Drops what would begin a connection: a queue that is full, and that nobody empties."""
    listener = socket.create_server((address, 22), backlog=0)
    filling = []
    while True:
        one = socket.socket()
        filling.append(one)
        one.settimeout(0.3)
        try:
            one.connect((address, 22))
        except TimeoutError:
            return _Plug(listener, *filling)


# Two dask workers, of which one is killed


def dask(computes: int, forks: int) -> None:
    """All hosts end right, with one restart each; the key was never with the scheduler."""
    certificate = _certificate()
    hosts = _fleet(computes, forks, _DASK.format(port=_PORT, pem=certificate))
    with hosts.up(), _cluster(certificate) as (scheduler, workers):
        killed: list[str] = []
        threading.Thread(target=_kill_midway, args=(hosts, workers[0], killed), daemon=True).start()
        cost, said = _cost(hosts, _task("--engine", "dask"), "dask")
        _say(_shown("two workers, one killed", cost, computes))
        _demand(bool(killed), f"the first worker was killed when {''.join(killed)} were restarted")
        lost = [line for line in said.splitlines() if "is gone" in line]
        _demand(len(lost) == 1, f"it was noticed: {' '.join(lost)[:150]}")
        hosts.end_state()
        _demand(True, f"all {computes} hosts are right, with one restart each")
        _demand(not _holds(scheduler.pid, wanted.KEY), "the key is nowhere in the scheduler")
        _demand(_holds(workers[1].pid, wanted.KEY), "(it is found so in the worker's)")
        again, said = _cost(hosts, _task("--engine", "dask"), "dask-again")
        _say(_shown("one worker, converged", again, computes))
        _demand("Nothing to do" in said, "a second run finds nothing to do")
        hosts.end_state()


_PORT = 8786
_DASK = (
    '[dask]\nscheduler = "tls://127.0.0.1:{port}"\nca = "{pem}"\ncert = "{pem}"\nkey = "{pem}"\n'
)


def _certificate() -> Path:
    """One self-signed certificate for all, with its key."""
    from distributed import Security  # noqa: PLC0415 (an extra)

    made, path = Security.temporary(), RUN / "dask.pem"
    path.touch(0o600)
    path.write_text(f"{made.tls_client_cert}\n{made.tls_client_key}")
    return path


@contextlib.contextmanager
def _cluster(pem: Path) -> Iterator[tuple[Any, list[Any]]]:
    """(a scheduler, two workers), as an operator starts them."""
    tls = [f"--tls-{name}={pem}" for name in ("ca-file", "cert", "key")]
    here = ["--host", "127.0.0.1", "--no-dashboard"]

    def started(name: str, cwd: Path, *argv: str) -> Any:
        words = [sys.executable, "-m", "dask", *argv, *tls, *here]
        with (RUN / f"{name}.log").open("wb") as log:
            env = ways.environment()
            return subprocess.Popen(words, env=env, cwd=cwd, stdout=log, stderr=log)

    # The scheduler has no stackrbd: it carries what it does not understand.
    scheduler = started("scheduler", RUN, "scheduler", "--protocol", "tls", "--port", str(_PORT))
    workers = [
        started(
            name,
            PROJECT,
            "worker",
            f"tls://127.0.0.1:{_PORT}",
            "--name",
            name,
            "--no-nanny",
            "--nthreads",
            "1",
        )
        for name in ("east", "west")
    ]
    try:
        for name in ("east", "west"):
            _wait_for("Registered to", RUN / f"{name}.log")
        yield scheduler, workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


def _wait_for(words: str, log: Path, patience: float = 60.0) -> None:
    until = time.monotonic() + patience
    while words not in log.read_text():
        if time.monotonic() > until:
            raise SystemExit(f"bench: expected {words!r}:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)


def _kill_midway(hosts: fleet.Fleet, worker: Any, killed: list[str]) -> None:
    """Kills it when a quarter of the hosts were restarted."""
    while (count := hosts.restarts()) < len(hosts.computes) / 4:
        time.sleep(0.1)
    os.kill(worker.pid, signal.SIGKILL)
    killed.append(f"{count} of {len(hosts.computes)} hosts")


def _holds(pid: int, text: str) -> bool:
    """Whether a process has a text somewhere in its memory."""
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, mode, *_ = line.split()
            if not mode.startswith("rw"):
                continue
            start, end = (int(word, 16) for word in where.split("-"))
            with contextlib.suppress(OSError, ValueError):
                memory.seek(start)
                if text.encode() in memory.read(end - start):
                    return True
    return False


POINTS: dict[str, Callable[[int, int], None]] = {
    "scale": scale,
    "undo": undo,
    "kept": kept,
    "faulty": faulty,
    "dask": dask,
    "doctor": doctor,
    "costs": costs,
    "latency": waits,
}
