"""make bench: rounds of all ways in turn, cold and converged, and a report of them.

Everything runs in namespaces of its own (mounts, processes, network), so that nothing
outlives it, whatever ends it.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import fleet, measured, points, prepared, report, ways
from bench.places import CACHE, PROJECT, RUN

_KEPT = ("/proc", "/dev", "/sys")
_INSIDE = "STACKRBD_BENCH_INSIDE"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--hosts", type=int, default=50, help="computes (default: 50)")
    parser.add_argument("--forks", type=int, default=32, help="hosts at a time (default: 32)")
    parser.add_argument("--rounds", type=int, default=3, help="of all ways (default: 3)")
    parser.add_argument("--ways", default=",".join(ways.WAYS), help="some of: %(default)s")
    parser.add_argument(
        "--against", default="", metavar="FOLDER", help="another checkout, as one more way: before"
    )
    parser.add_argument("--docs", action="store_true", help="write docs/speed.md and .svg")
    parser.add_argument(
        "--show",
        default="",
        choices=["", *points.POINTS],
        metavar="POINT",
        help="show one thing instead: %(choices)s",
    )
    parser.add_argument(
        "--within",
        default="",
        metavar="COMMAND",
        help="run a shell command beside a pristine fleet instead",
    )
    return parser.parse_args()


def main() -> int:
    """Outside: prepares, and starts itself again inside."""
    options = _arguments()
    if os.environ.get(_INSIDE):
        return inside(options)
    prepared.require()
    lock = _alone()
    peers = not options.show and bool({"pyinfra", "ansible"} & _names(options))
    real = 1 if options.show == "latency" else max(options.hosts, points.SMALL)
    prepared.everything(real + 1, peers)
    measured.make_groups()
    # Each of the two ends what it started when it dies itself, in whatever way.
    shut = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--mount",
        "--propagation",
        "private",
        "--net",
        "--pid",
    ]
    argv = [*shut, sys.executable, "-m", "bench", *sys.argv[1:]]
    child = subprocess.Popen(argv, cwd=PROJECT, env={**os.environ, _INSIDE: "1"})
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # by nohup
            signal.signal(number, signal.default_int_handler)
    try:
        return child.wait()
    except KeyboardInterrupt:
        child.kill()  # and with it, by --kill-child, all that runs inside
        child.wait()
        return 130
    finally:
        measured.remove_groups()
        os.close(lock)


def _alone() -> int:
    """A handle that holds bench's lock: two at a time would measure each other."""
    handle = os.open("/run/lock/stackrbd-bench", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SystemExit("bench: another one runs on this machine") from None
    return handle


def _names(options: argparse.Namespace) -> set[str]:
    unknown = set(options.ways.split(",")) - set(ways.WAYS)
    if unknown:
        raise SystemExit(f"bench: --ways: expected some of {', '.join(ways.WAYS)}: {unknown}")
    return set(options.ways.split(","))


def inside(options: argparse.Namespace) -> int:
    """In the namespaces: the fleet, the rounds, the report."""
    _forget_mounts()
    prepared.run("ip", "link", "set", "lo", "up")
    prepared.run("mount", "-t", "tmpfs", "-o", "mode=0755", "bench", RUN)
    fleet.make_base()
    if options.show:
        return points.show(options.show, options.hosts, options.forks)
    hosts = fleet.Fleet(options.hosts, measured.enter(measured.HOSTS))
    ways.write_files(hosts.hosts, options.forks)
    if options.within:
        with hosts.up():
            return subprocess.run(["sh", "-c", options.within], check=False).returncode  # noqa: S602
    chosen = [way(options.forks) for name, way in ways.WAYS.items() if name in _names(options)]
    if options.against:
        chosen.append(ways.before(Path(options.against)))
    rounds = [_round(hosts, chosen, number) for number in range(1, options.rounds + 1)]
    document = {"hosts": options.hosts, "forks": options.forks, "rounds": rounds}
    (CACHE / "results.json").write_text(json.dumps(document, indent=1))
    print(report.table(document))
    if options.docs:
        report.write(document, PROJECT / "docs")
    return 0


def _forget_mounts() -> None:
    """Others' mounts: while this namespace held them, nobody could end them."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in reversed(points):
        if point != "/" and not point.startswith(_KEPT):
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)


Round = dict[str, dict[str, dict[str, float]]]


def _round(hosts: fleet.Fleet, chosen: Sequence[ways.Way], number: int) -> Round:
    """{way: {'cold', 'converged': figures}}; all must come to one end state."""
    found, states = {}, {}
    for way in chosen:
        with hosts.up():
            costs = {}
            for phase in ("cold", "converged"):
                log = RUN / f"{way.name}-{phase}.log"
                cost = measured.run(way.argv, way.env, way.cwd, log, hosts.counts)
                states[way.name] = hosts.end_state()
                costs[phase] = cost.each(len(hosts.computes))
                print(f"round {number}: {way.name:<15} {phase:<9} {cost.wall:7.2f} s", flush=True)
            found[way.name] = costs
    if len(set(states.values())) != 1:
        raise SystemExit(f"bench: the ways come to different ends: {states}")
    return found


if __name__ == "__main__":
    sys.exit(main())
