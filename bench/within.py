"""Runs inv in a process of its own, and says what is left in it when the task has ended.

    python -m bench.within OUT [--kept N] [--costs] [--record FILE] -- integrate --yes ...

OUT gets JSON: the names of threads besides the first, and the number of sockets.
--kept: hosts up to which connections are kept, to measure both ways.  --costs: each agent notes
on its host what its processor time goes into (bench/costs_on_host.py).  --record: FILE gets what
the hosts said; --replay, --replay-done: hosts that say it again, pristine or converged
(bench/latency.py).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench import latency


def left_over(patience: float = 1.0) -> dict[str, object]:
    """What is there besides the main thread; a thread that was told to end has a moment."""
    until = time.monotonic() + patience
    while True:
        threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
        sockets = sum(map(_is_socket, os.listdir("/proc/self/fd")))
        if not (threads or sockets) or time.monotonic() > until:
            return {"threads": threads, "sockets": sockets}
        time.sleep(0.02)


def _is_socket(handle: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{handle}").startswith("socket:")
    except OSError:
        return False


def _send_costs_too() -> None:
    """Has agents count, by one more module behind their own."""
    from fabfile.core import agent_program  # noqa: PLC0415

    own, counter = agent_program.sources, Path(__file__).with_name("costs_on_host.py").read_text()

    def sources(names: Iterable[str]) -> list[tuple[str, str]]:
        more = [("costs", counter)] if names == agent_program.READING else []
        return own(names) + more

    agent_program.sources = sources


def main(argv: Sequence[str]) -> int:
    """The task's exit code."""
    from invoke.main import program  # noqa: PLC0415

    own, task = argv[: argv.index("--")], argv[argv.index("--") + 1 :]
    if "--kept" in own:
        from fabfile.core import ssh  # noqa: PLC0415

        ssh._MOST_KEPT = int(own[own.index("--kept") + 1])
    if "--costs" in own:
        _send_costs_too()
    recorder = latency.Recorder() if "--record" in own else None
    for flag in ("--replay", "--replay-done"):
        if flag in own:
            said = Path(own[own.index(flag) + 1])
            latency.stand_in(latency.Script.load(said, flag == "--replay-done"))
    code = 0
    try:
        program.run(["inv", *task])
    except SystemExit as ended:
        code = int(ended.code or 0)
    Path(own[0]).write_text(json.dumps(left_over()))
    if recorder:
        Path(own[own.index("--record") + 1]).write_text(json.dumps(recorder.found()))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
