"""What runs on a host: answers reads, carries out steps, and says so as it goes.

Comes in on standard input together with its work, and leaves nothing behind but
what the steps write.  Knows a few verbs; does not know Ceph or OpenStack.  Between
two steps it looks whether whoever sent it is still there.  Python 3.6, standard
library alone.
"""

import fcntl
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time

from . import files, options

STATE = "/var/lib/stackrbd"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    "LANG": "C",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
}
CREDENTIAL = re.compile(
    r"password|passwd|key|secret|token|connection|transport_url|credential", re.I
)
URL_LOGIN = re.compile(r"://[^/\s@]*:[^/\s@]*@")
BEAT = 5.0


class Failed(Exception):
    """A read or step that did not work; the message is shown to the operator."""


class Conversation:
    """The way back: one JSON document a line, each behind the run's nonce."""

    def __init__(self, nonce, stream):
        self._nonce, self._stream, self._lock = nonce, stream, threading.Lock()

    def say(self, **message):
        line = "%s %s\n" % (self._nonce, json.dumps(message))
        with self._lock:
            self._stream.write(line.encode("ascii"))
            self._stream.flush()

    def beat_forever(self):
        """Keeps saying that this end is alive, while a long step works."""
        while True:
            time.sleep(BEAT)
            self.say(t="beat")


def fingerprint(text):
    """How a secret is shown and compared: never itself."""
    return "sha256:" + files.sha256(text.strip().encode("utf-8", "surrogateescape"))


def masked(text, patterns):
    """The text with the first group of each pattern replaced by its fingerprint."""
    for pattern in patterns:
        text = re.sub(pattern, _mask_group, text, flags=re.M)
    return text


def _mask_group(found):
    whole, start = found.group(0), found.start(0)
    inner = found.start(1) - start, found.end(1) - start
    return whole[: inner[0]] + fingerprint(found.group(1)) + whole[inner[1] :]


# Processes

_running = set()  # type: ignore[var-annotated]


def _kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass


def call(argv, stdin=b"", timeout=60, killable=True):
    """(exit code, output, errors) of a command with a clean environment.

    Past the timeout its whole process group is ended and Failed raised; one that
    is not killable (a package manager) is waited for instead.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise Failed("%s: %s" % (argv[0], error.strerror))
    if killable:
        _running.add(process)
    try:
        out, err = process.communicate(stdin, timeout=timeout if killable else None)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        process.communicate()
        raise Failed("%s: no answer within %d s" % (" ".join(argv[:3]), timeout))
    finally:
        _running.discard(process)
    return process.returncode, _text(out), _text(err)


def _text(data):
    return data.decode("utf-8", "replace")


def expect(argv, ok=(0,), **how):
    """As call(), but an exit code outside ok is a Failed with what was said."""
    code, out, err = call(argv, **how)
    if code not in ok:
        said = (err.strip() or out.strip())[-600:]
        raise Failed("%s: exit code %d: %s" % (" ".join(argv[:4]), code, said))
    return code, out, err


# Reads: none of them changes anything.


def read_host():
    """Who this host is."""
    release = {}
    for line in (files.read("/etc/os-release") or b"").decode("utf-8", "replace").splitlines():
        key, _, value = line.partition("=")
        release[key] = value.strip().strip("\"'")
    return {
        "os": release.get("ID", ""),
        "like": release.get("ID_LIKE", "").split(),
        "version": release.get("VERSION_ID", ""),
        "codename": release.get("VERSION_CODENAME", ""),
        "name": release.get("PRETTY_NAME", "an unknown system"),
        "machine_id": _text(files.read("/etc/machine-id") or b"").strip(),
        "python": "%d.%d" % sys.version_info[:2],
        "hostname": os.uname()[1],
        "time": time.time(),
    }


def read_file(path, text=False, mask=()):
    """What a path is, and its text where asked, masked."""
    seen = files.describe(path)
    if seen and seen["kind"] == "file":
        data = files.read(path)
        seen["sha256"] = files.sha256(data)
        if text:
            seen["text"] = masked(_text(data), mask)
    return seen


def hidden(name, value, plain):
    """Whether an option's value carries a credential."""
    if name in plain:
        return False
    return bool(CREDENTIAL.search(name) or URL_LOGIN.search(value))


def read_options(path, plain=()):
    """A file of options: its digest, and its active lines with credentials masked."""
    data = files.read(path)
    if data is None:
        return None
    seen = files.describe(path)
    seen["sha256"] = files.sha256(data)
    try:
        lines = options.active(data.decode("utf-8", "surrogateescape"))
    except options.ParseError as error:
        raise Failed("%s: %s" % (path, error))
    seen["active"] = [[s, k, fingerprint(v) if hidden(k, v, plain) else v] for s, k, v in lines]
    return seen


def read_argv(argv, ok=(0,), mask=(), timeout=30, only=None):
    """A command's answer: exit code and output; only keeps lines of a pattern."""
    code, out, err = expect(argv, ok, timeout=timeout)
    out = masked(out, mask)
    if only:
        out = "\n".join(re.findall(only, out))
    return {"code": code, "out": out, "err": err.strip()[-600:]}


def read_each(argv, match, then, timeout=30, most=64):
    """Asks further for every name that a first command lists.

    then: {what: {argv with '{}' for the name, ok, mask}}.
    """
    out = expect(argv, timeout=timeout)[1]
    names = re.findall(match, out)[:most]
    return {
        name: {
            what: read_argv(
                [name if word == "{}" else word for word in question["argv"]],
                question.get("ok", (0,)),
                question.get("mask", ()),
                timeout,
            )
            for what, question in then.items()
        }
        for name in names
    }


def read_packages(names):
    """{package: version, or None where it is not installed} by dpkg."""
    form = "${db:Status-Abbrev} ${Package} ${Version}\n"
    out = expect(["dpkg-query", "-W", "-f", form, "--"] + list(names), (0, 1))[1]
    found = dict.fromkeys(names)
    for line in out.splitlines():
        state, _, rest = line.partition(" ")
        if state.startswith("ii"):
            name, _, version = rest.strip().partition(" ")
            found[name] = version
    return found


UNIT = [
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "MainPID",
    "NRestarts",
    "Job",
    "ActiveEnterTimestampMonotonic",
]


def read_units(names):
    """{unit: its systemd properties}; a unit that is not there has LoadState not-found."""
    argv = ["systemctl", "show", "--no-pager", "-p", "Id," + ",".join(UNIT), "--"]
    blocks = expect(argv + [n + ".service" for n in names])[1].split("\n\n")
    units = [dict(line.split("=", 1) for line in b.splitlines() if "=" in line) for b in blocks]
    return dict(zip(names, units))


def read_owed():
    """The units whose restart was made necessary by a write and is still owed."""
    folder = os.path.join(STATE, "owed")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def read_exists(paths):
    """{path: whether something is there}."""
    return {path: os.path.lexists(path) for path in paths}


READS = {
    "host": read_host,
    "file": read_file,
    "options": read_options,
    "argv": read_argv,
    "each": read_each,
    "packages": read_packages,
    "units": read_units,
    "owed": read_owed,
    "exists": read_exists,
}


# Steps: each changes one thing, whole or not at all.


def joined(parts):
    """Content as it comes: plain text, and secrets wrapped as {'secret': text}."""
    return "".join(p["secret"] if isinstance(p, dict) else p for p in parts)


def guarded(path, before):
    """The file's bytes, if they are still those that the plan was made from."""
    data = files.read(path)
    seen = files.sha256(data) if data is not None else None
    if seen != before:
        raise Failed("%s: changed since the plan was made; run it again to plan anew" % path)
    return data


def step_edit(run, path, edits, before):
    data = guarded(path, before)
    text = data.decode("utf-8", "surrogateescape")
    result = options.edit(text, edits)
    stray = options.stray_changes(text, result, edits)
    if stray:
        raise Failed("%s: the edit would also change %s; nothing was written" % (path, stray))
    files.keep(run, data)
    files.write(path, result.encode("utf-8", "surrogateescape"))


def step_write(run, path, content, mode, owner, group, before, check=None):
    data = guarded(path, before)
    if data is not None:
        files.keep(run, data)
    files.write(path, joined(content).encode("utf-8"), mode, owner, group, check)


def step_attributes(run, path, mode, owner, group):
    files.attributes(path, mode, owner, group)


def step_folder(run, path, mode, owner, group):
    files.folder(path, mode, owner, group)


def step_run(run, argv, stdin=(), ok=(0,), timeout=60, capture=False):
    out = expect(argv, ok, stdin=joined(stdin).encode("utf-8"), timeout=timeout)[1]
    return {"secret": out.strip()} if capture else None


def step_install(run, packages, source=None):
    """Installs packages; where a source list is named, only that one is refreshed."""
    apt = [
        "apt-get",
        "-q",
        "-y",
        "-o",
        "DPkg::Lock::Timeout=120",
        "-o",
        "Acquire::http::Timeout=20",
    ]
    if source:
        only = ["-o", "Dir::Etc::sourcelist=" + source, "-o", "Dir::Etc::sourceparts=-"]
        expect(apt + only + ["-o", "APT::Get::List-Cleanup=0", "update"], timeout=180)
    quiet = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]
    expect(
        apt + quiet + ["--no-install-recommends", "install", "--"] + list(packages), killable=False
    )


def step_restart(run, units, settle=4.0, timeout=150):
    """Restarts units together and watches them until each has stood for a while.

    settle: seconds that a unit must stay up with the same process.
    """
    names = [u + ".service" for u in units]
    call(["systemctl", "reset-failed", "--"] + names)
    expect(["systemctl", "restart", "--no-block", "--"] + names)
    until, since, standing = time.time() + timeout, {}, {}
    while len(standing) < len(units):
        time.sleep(0.5)
        now, seen = time.time(), read_units(units)
        for unit in units:
            _fail_if_dead(unit, seen[unit], since)
            identity = (seen[unit].get("MainPID"), seen[unit].get("NRestarts"))
            if seen[unit]["ActiveState"] != "active" or seen[unit].get("Job", "0") not in ("", "0"):
                standing.pop(unit, None)
                since.pop(unit, None)
            elif since.setdefault(unit, (identity, now))[0] != identity:
                raise Failed(
                    "%s came up and died within %d s%s" % (unit, settle, _last_words(unit))
                )
            elif now - since[unit][1] >= settle:
                standing[unit] = True
        if now > until:
            late = [u for u in units if u not in standing]
            raise Failed("not up within %d s: %s" % (timeout, ", ".join(late)))
    for unit in units:
        _pay(unit)


def _fail_if_dead(unit, seen, since):
    if seen["LoadState"] != "loaded":
        raise Failed("%s: no such unit here (%s)" % (unit, seen["LoadState"]))
    if seen["ActiveState"] == "failed" or (unit in since and seen["ActiveState"] != "active"):
        raise Failed("%s did not stay up (%s)%s" % (unit, seen["Result"], _last_words(unit)))


def _last_words(unit):
    out = call(["journalctl", "-u", unit, "-n", "4", "-o", "cat", "--no-pager"])[1]
    lines = [line for line in out.splitlines() if not CREDENTIAL.search(line)]
    return "; its last words: " + " | ".join(lines)[-400:] if lines else ""


def _owed(unit):
    return os.path.join(STATE, "owed", os.path.basename(unit))


def owe(units):
    """Notes on the host, before a write, which restarts it will make necessary."""
    os.makedirs(os.path.join(STATE, "owed"), mode=0o700, exist_ok=True)
    for unit in units:
        os.close(os.open(_owed(unit), os.O_CREAT | os.O_WRONLY, 0o600))


def _pay(unit):
    try:
        os.unlink(_owed(unit))
    except FileNotFoundError:
        pass


STEPS = {
    "edit": step_edit,
    "write": step_write,
    "attributes": step_attributes,
    "folder": step_folder,
    "run": step_run,
    "install": step_install,
    "restart": step_restart,
}


# The two kinds of work


def answer_reads(work, talk):
    """Answers every read, four at a time: most of them wait for a program."""
    places = threading.Semaphore(4)

    def answer(read):
        with places:
            try:
                talk.say(t="read", id=read["id"], value=READS[read["verb"]](**read["args"]))
            except (Failed, files.Refused, OSError) as error:
                talk.say(t="read", id=read["id"], error=str(error))

    threads = [threading.Thread(target=answer, args=(read,)) for read in work["reads"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def abandoned():
    """Whether standard input has ended: the operator left, or the line is cut."""
    ready = select.select([0], [], [], 0)[0]
    return bool(ready) and os.read(0, 1) == b""


def scrubbed(text, step):
    """An error's text without any secret that the step carried."""
    for part in list(step["args"].get("content", ())) + list(step["args"].get("stdin", ())):
        if isinstance(part, dict):
            text = text.replace(part["secret"], "***")
    return text


def carry_out(work, talk):
    """Does the steps in order, announces each before and after, stops at the first fault."""
    os.makedirs(STATE, mode=0o700, exist_ok=True)
    lock = os.open(os.path.join(STATE, "lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        talk.say(t="busy", who=_text(os.read(lock, 200)))
        return
    os.truncate(lock, 0)
    os.pwrite(lock, work["who"].encode("utf-8"), 0)
    kept = os.path.join(STATE, "runs", os.path.basename(work["run"]))
    for step in work["steps"]:
        if abandoned():
            return
        talk.say(t="begin", step=step["id"])
        try:
            owe(step.get("restarts", ()))
            out = STEPS[step["verb"]](kept, **step["args"])
        except (Failed, files.Refused, OSError, ValueError) as error:
            talk.say(t="failed", step=step["id"], why=scrubbed(str(error), step))
            return
        talk.say(t="done", step=step["id"], out=out)


def _past_deadline(signum, frame):
    for process in list(_running):
        _kill_group(process)
    os._exit(75)


def main():
    """Reads its work from standard input, one JSON line; ends with the message 'end'."""
    os.umask(0o077)
    work = json.loads(sys.stdin.buffer.readline().decode("utf-8"))
    talk = Conversation(work["nonce"], sys.stdout.buffer)
    signal.signal(signal.SIGALRM, _past_deadline)
    signal.alarm(work["deadline"])
    beat = threading.Thread(target=talk.beat_forever)
    beat.daemon = True
    beat.start()
    try:
        if "reads" in work:
            answer_reads(work, talk)
        else:
            carry_out(work, talk)
        talk.say(t="end")
    except BrokenPipeError:
        os._exit(74)
