"""Counts, within an agent on a simulated host, what its processor time goes into.

Sent by bench behind the agent's own modules, which it wraps; the product has no part in it.
What it found is added to OUT when the agent ends: a JSON document a line.
"""

import json
import os
import resource
import threading
import time

from stackrbd_remote import (  # type: ignore[import-not-found]
    agent,
    configuration,
    files,
    options,
    processes,
    reads,
)

OUT = "/var/lib/bench/costs"
_agent = os.getpid()
_found = {}  # type: ignore[var-annotated]
_names = {}  # type: ignore[var-annotated]
_inner = threading.local()


def _add(what, seconds, times=1):
    seen = _found.setdefault(what, [0, 0.0])
    seen[0] += times
    seen[1] += seconds


def counted(what, function):
    """The function, its own time (this thread's, without what is counted within) noted."""

    def wrapped(*args, **kwargs):
        before, _inner.time = getattr(_inner, "time", 0.0), 0.0
        start = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent = time.thread_time() - start
            _add(what, spent - _inner.time)
            _inner.time = before + spent

    return wrapped


def _naming(start):
    """What starts a program, counted; its own time is told by its name when it ends."""

    def started(argv, *args, **how):
        process = start(argv, *args, **how)
        _names[process.pid] = os.path.basename(argv[0])
        return process

    return counted("to start programs", started)


_real_exit = os._exit


def _waitpid(pid, flags):
    found, status, used = os.wait4(pid, flags)
    if found in _names:
        _add("program " + _names.pop(found), used.ru_utime + used.ru_stime)
    return found, status


def _ended(code):
    if os.getpid() != _agent:
        _real_exit(code)  # a copy of this process
    own = resource.getrusage(resource.RUSAGE_SELF)
    all_of_it = own.ru_utime + own.ru_stime
    _add("agent, all of its own", all_of_it)
    with open(OUT, "a") as stream:
        stream.write(json.dumps(_found) + "\n")
    _real_exit(code)


def _wrap():
    own = resource.getrusage(resource.RUSAGE_SELF)
    _add("interpreter, and the agent's modules", own.ru_utime + own.ru_stime)
    os.waitpid, os._exit = _waitpid, _ended
    processes._started = _naming(processes._started)
    processes._Spawned = _naming(processes._Spawned)
    processes._communicate = counted("to hear programs", processes._communicate)
    processes.masked = counted("to mask", processes.masked)
    files.sha256 = counted("SHA-256", files.sha256)
    files.look = counted("to read files", files.look)
    files.describe = counted("to look at paths", files.describe)
    files.write = counted("to write files", files.write)
    options._scan = counted("to parse options", options._scan)
    configuration.lines_of = counted("lines of options", configuration.lines_of)
    os.fsync = counted("fsync", os.fsync)
    json.dumps = counted("JSON out", json.dumps)
    json.loads = counted("JSON in", json.loads)
    for verb, read in reads.READS.items():
        reads.READS[verb] = counted("read " + verb, read)
    real = agent._do
    agent._do = lambda work, *more: counted(
        "work: look" if "reads" in work else "work: write", real
    )(work, *more)


_wrap()
