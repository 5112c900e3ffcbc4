"""What a host can be asked; none of it changes anything.

Does not know Ceph or OpenStack: paths, commands and patterns come with the question.
Python 3.6, standard library alone.
"""

import binascii
import os
import re
import sys
import threading
import time

from . import (
    apt,
    configuration,
    confinement,
    containers,
    dnf,
    files,
    packages,
    processes,
    state,
    sudo_log,
    units,
)
from .places import as_bytes, as_text, from_bytes
from .processes import Failed, expect, fingerprint, masked

MANAGED = re.compile(r"^\s*[#;].*(?:managed by|puppet|ansible managed|chef|juju).*$", re.I | re.M)


def host():
    """Who this host is."""
    release = {}
    for line in processes.text(files.read("/etc/os-release") or b"").splitlines():
        key, _, value = line.partition("=")
        release[key] = value.strip().strip("\"'")
    return {
        "os": release.get("ID", ""),
        "like": release.get("ID_LIKE", "").split(),
        "version": release.get("VERSION_ID", ""),
        "codename": release.get("VERSION_CODENAME", ""),
        "name": release.get("PRETTY_NAME", "an unknown system"),
        "machine_id": processes.text(files.read("/etc/machine-id") or b"").strip(),
        "boot_id": processes.text(files.read("/proc/sys/kernel/random/boot_id") or b"").strip(),
        "python": "%d.%d" % sys.version_info[:2],
        "hostname": as_text(os.uname()[1]),
        "begun": processes.otherwise(),
        **sudo_log.seen({from_bytes(k): from_bytes(v) for k, v in os.environb.items()}),
        "monotonic": time.monotonic(),
        "time": time.time(),  # the last: it is said at once
    }


def file(path, text=False, mask=(), kind="file"):
    """What a path is, and a file's text where asked, masked.

    Something of another kind there is nothing to be worked on: Failed.
    """
    seen = files.describe(path)
    data = None
    if kind == "file" and seen and seen["kind"] == kind:
        data, seen = files.look(path)  # of one and the same file
    if seen and seen["kind"] != kind:
        found = "something else" if seen["kind"] == "other" else "a " + seen["kind"]
        wrong = Failed("%s: expected a %s, found %s; move it away" % (path, kind, found))
        wrong.about = {"subject": path, "found": found}
        raise wrong
    if data is not None:
        seen["sha256"] = files.sha256(data)
        if text:
            seen["text"] = masked(processes.text(data), mask)
    return seen


def option_file(path, plain=()):
    """A file of options: its digest, and its active lines with credentials masked."""
    data, seen = files.look(path)
    if data is None:
        return None
    seen["sha256"] = files.sha256(data)
    seen["managed"] = (MANAGED.findall(processes.text(data[:4000])) or [None])[0]
    seen["active"] = configuration.lines_of(path, data, plain)
    return seen


_told_once = {}  # type: ignore[var-annotated]


def argv(
    argv, ok=(0,), mask=(), timeout=30, only=None, peel=False, once=False, program=0, told=None
):
    """A command's answer: exit code and output; only keeps what fits a pattern.

    program: how many words begin a program that takes several commands (see _jobs); told: what
    it said already.

    peel: also the fingerprint of what the output is in base64 ('peeled').
    once: what a program says of itself, which stays as it is while this agent is here.
    """
    if once and tuple(argv) in _told_once:
        return _told_once[tuple(argv)]
    said = expect(argv, ok, quiet=bool(mask), timeout=timeout) if told is None else (0, told, "")
    answer = _answer(*said, mask, only, peel)
    if once:
        _told_once[tuple(argv)] = answer
    return answer


def _answer(code, out, err, mask=(), only=None, peel=False):
    answer = {"code": code, "err": processes.said(err)}
    if peel:
        answer["peeled"] = _peeled(out)
    out = masked(out, mask)
    if only:
        out = "\n".join(re.findall(only, out))
    answer["out"] = out
    return answer


def _peeled(text):
    try:
        inner = binascii.a2b_base64(text.encode("ascii")).decode("ascii")
    except ValueError:
        return ""
    return fingerprint(inner) if inner.strip().isprintable() else ""


def lines(argv, timeout=600):
    """A command's output in pages of lines: for what has no bound."""
    return processes.lines(argv, timeout=timeout)


def digest(argv, timeout=600):
    """The SHA-256 of a command's output, and its bytes: for what is too much to be sent."""
    import hashlib  # noqa: PLC0415 (slow to load, and fast for what is much)

    found, size = hashlib.sha256(), 0
    with processes.Program(argv, timeout) as program:
        for data in iter(lambda: os.read(program.process.stdout.fileno(), processes.PAGE), b""):
            found.update(data)
            size += len(data)
        program.expect()
    return {"sha256": found.hexdigest(), "bytes": size}


def rows(sql, defaults=None, timeout=600):
    """What the database of this host answers, in pages of lines; see database.rows()."""
    from . import database  # noqa: PLC0415 (sent with this question alone)

    return database.rows(sql, defaults, timeout)


def secret(argv, timeout=30):
    """A command's answer as it is: for a key on its way to the one place that sends it."""
    return expect(argv, quiet=True, timeout=timeout)[1].strip()


def each(argv, match, then, timeout=30, most=64, all=False, at_once=None, program=0, told=None):
    """Asks further for every name that a first command lists, or for the first so many.

    then: {what: a question as for argv, with '{}' for the name}.  all: more names than most
    are a Failed, as what is not asked for would look absent.  at_once: {'argv': what answers two
    questions, one behind the other, 'ends': the end of what it says to the first one}.
    program, told: as for argv.
    """
    out = expect(argv, timeout=timeout)[1] if told is None else told
    names = re.findall(match, out)
    if all and len(names) > most:
        raise Failed("%s: names %d things, more than %d" % (" ".join(argv[:3]), len(names), most))
    names = names[:most]
    if at_once:
        return {
            name: _both(_about(name, at_once["argv"]), at_once["ends"], then, timeout)
            for name in names
        }
    return {
        name: {
            what: READS["argv"](
                **dict(question, argv=_about(name, question["argv"]), timeout=timeout)
            )
            for what, question in then.items()
        }
        for name in names
    }


def _about(name, argv):
    return [word.replace("{}", name) for word in argv]


def _both(argv, ends, then, timeout):
    """Two answers of one program, whose exit code is that of the second one.

    The end of the first one is the proof that there was one.
    """
    (first, one), (second, other) = [
        (what, {name: question[name] for name in ("mask", "only", "peel") if name in question})
        for what, question in then.items()
    ]
    ok = then[second].get("ok", (0,))
    code, out, err = expect(argv, ok, quiet=True, timeout=timeout)
    told, end, rest = out.partition(ends)
    if not end:
        raise Failed("%s: no %s: %s" % (" ".join(argv), ends, processes.said(err)))
    return {
        first: _answer(0, told + end, "", **one),
        second: _answer(code, rest, err, **other),
    }


def exists(paths):
    """{path: whether something is there}."""
    return {path: os.path.lexists(as_bytes(path)) for path in paths}


def disk(paths):
    """{path: [bytes free, bytes, inodes free, inodes]} of the folders that are there."""
    found = {}
    for path in paths:
        if os.path.isdir(as_bytes(path)):
            seen = os.statvfs(as_bytes(path))
            found[path] = [
                seen.f_bavail * seen.f_frsize,
                seen.f_blocks * seen.f_frsize,
                seen.f_favail,
                seen.f_files,
            ]
    return found


def now_of(guard):
    """The digest of what a guard names, as it is now; None where nothing is.

    guard: {'path': file}, {'units': services that are to be at work} or
    {'argv': command, 'absent': what it says where nothing is, 'only': what of its output counts,
    all where it has nothing of that}.
    """
    if "units" in guard:
        return "active" if units.all_active(guard["units"]) else None
    if "path" in guard:
        seen, data = files.describe(guard["path"]), None
        if seen and seen["kind"] == "file":
            data, seen = files.look(guard["path"])
        if seen is None:
            return None
        attributes = "%s %s %s" % (seen["mode"], seen["owner"], seen["group"])
        return attributes if data is None else attributes + " " + files.sha256(data)
    code, out, err = processes.call(guard["argv"], timeout=30)
    if code and not re.search(guard.get("absent", ""), err, re.I):
        raise Failed(
            "%s: exit code %d: %s" % (" ".join(guard["argv"][:3]), code, processes.said(err, 300))
        )
    if guard.get("only"):
        out = "\n".join(re.findall(guard["only"], out)) or out
    return None if code else files.sha256(out.encode("utf-8", "surrogateescape"))


def run(run):
    """What a run did here: its steps, each with what its guard says now."""
    steps = state.steps(run)
    for step in steps:
        if step.get("guard"):
            step["now"] = now_of(step["guard"])
        folder = as_bytes(step["args"]["path"]) if step.get("verb") == "no_folder" else b""
        if folder and os.path.isdir(folder):
            step["names"] = sorted(as_text(name) for name in os.listdir(folder))
    return steps


READS = {
    "host": host,
    "file": file,
    "options": option_file,
    "sources": configuration.sources,
    "named_files": configuration.named_files,
    "argv": argv,
    "lines": lines,
    "digest": digest,
    "rows": rows,
    "secret": secret,
    "each": each,
    "packages": packages.versions,
    "containers": containers.look,
    "repository": apt.repository,
    "repositories": dnf.repositories,
    "units": units.show,
    "running_units": units.running,
    "pending_restarts": state.pending_restarts,
    "exists": exists,
    "disk": disk,
    "confinement": confinement.confinement,
    "run": run,
    "runs": state.runs,
}


def _in_parts(name, pages, talk):
    """Says an answer page by page; returns how many lines they were."""
    count = 0
    for page in pages:
        talk.say(t="part", id=name, lines=page)
        count += len(page)
    return count


_AT_ONCE = 4
"""Reads: most of them wait for a program."""


def answer(asked, talk, gone):
    """Answers every read, so many at a time.

    gone: a callable that says whether the asker has left.
    """
    waiting = list(reversed(_jobs(asked)))
    units.look_ahead(_units_of(asked))

    def some():
        while waiting and not gone():
            try:
                job = waiting.pop()
            except IndexError:
                return  # another one was faster
            _answer_all(job, talk)

    threads = [threading.Thread(target=some) for _ in asked[:_AT_ONCE]]
    for thread in threads:
        thread.daemon = True
        thread.start()
    for thread in threads:
        while thread.is_alive() and not gone():
            thread.join(0.5)
            talk.flush()  # what is known now does not wait for the slowest
    talk.flush()
    units.look_ahead(())
    if gone():
        processes.guard().end_all()


def _units_of(asked):
    """The units whose processes these reads ask of."""
    found = [read["args"]["unit"] for read in asked if read["verb"] == "sources"]
    venvs = any(read["verb"] == "packages" for read in asked)
    return [unit for unit in found if not containers.of_unit(unit)] + (
        packages.units_of_venvs() if venvs and found else []
    )


def _jobs(asked):
    """The reads, in lists of those that one start of a program can answer.

    virsh takes several commands, and a start of it takes longer than all that it is asked.
    """
    jobs, of_programs = [], {}  # type: ignore[var-annotated]
    for read in asked:
        words = read["args"].get("program", 0)
        job = of_programs.setdefault(tuple(read["args"]["argv"][:words]), []) if words else []
        if not job:
            jobs.append(job)
        job.append(read)
    return jobs


def _answer_all(job, talk):
    """Answers these reads: each by a start of its own where one of them may have failed."""
    if len(job) > 1:
        words = job[0]["args"]["program"]
        commands = [read["args"]["argv"] for read in job]
        try:
            told = processes.together(commands[0][:words], [one[words:] for one in commands])
        except (Failed, OSError) as error:
            for read in job:
                talk.say_soon(t="read", id=read["id"], error=str(error))
            return
        for read, out in zip(job, told or ()):
            read["args"]["told"] = out
    for read in job:
        _one(read, talk)


def _one(read, talk):
    """Answers one read."""
    try:
        value = READS[read["verb"]](**read["args"])
        if hasattr(value, "__next__"):
            value = _in_parts(read["id"], value, talk)
        talk.say_soon(t="read", id=read["id"], value=value)
    except (Failed, files.Refused, OSError, ValueError) as error:
        talk.say_soon(t="read", id=read["id"], error=str(error), **getattr(error, "about", {}))
