"""The services of this host, as systemd runs them.

The one module of the agent that knows the service manager and its journal.
Python 3.6, standard library alone.
"""

import _thread
import os
import pwd
import re

from . import containers, files, processes
from .places import as_bytes, from_bytes, native
from .processes import Failed, call, expect

PROPERTIES = [
    "LoadState",
    "UnitFileState",
    "ActiveState",
    "SubState",
    "Result",
    "ExecMainStatus",
    "MainPID",
    "NRestarts",
    "Job",
    "ActiveEnterTimestampMonotonic",
    "TimeoutStartUSec",
    "TimeoutStopUSec",
]
_OF_PROCESS = ["MainPID", "User", "ExecStart", "Environment", "EnvironmentFiles"]
MOST, MOST_OF_ALL = 900.0, 3000.0
"""Seconds that are waited, at the most, for one unit to stop or to start; for several."""
_USUAL = 90.0
"""Seconds of a unit that says nothing: systemd's own DefaultTimeoutStartSec."""
_MARGIN = 60.0
"""Seconds besides: systemd ends a process that does not stop, and begins one anew that fell."""
_SPANS = {
    "us": 1e-6,
    "\u03bcs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "month": 2629800.0,
    "y": 31557600.0,
}
_MOST_SHOWN, _MOST_PARTS = 1024 * 1024, 4096
"""Bytes and words of a service's command line, or of its environment."""
_KINDS = (".service", ".socket", ".target", ".timer")


def _full(names):
    """Units by their whole names: one without its kind is a service."""
    return [name if name.endswith(_KINDS) else name + ".service" for name in names]


def properties(names, wanted):
    """{unit: {property: [its values]}}, of all units by one program.  Raises Failed."""
    asked = ["systemctl", "show", "--no-pager", "-p", ",".join(["Id"] + wanted), "--"]
    blocks = expect(asked + _full(names))[1].split("\n\n") if names else []
    if len(blocks) != len(names):  # a blank line is within one of them
        if len(names) > 1:
            return {name: properties([name], wanted)[name] for name in names}
        blocks = ["\n".join(blocks)]
    found = {name: {} for name in names}
    for name, block in zip(names, blocks):
        for line in block.splitlines():
            key, equals, value = line.partition("=")
            if equals:
                found[name].setdefault(key, []).append(value)
    return found


_ahead, _lock = {}, _thread.allocate_lock()  # type: ignore[var-annotated]
"""{unit: what was told of its process, None where it was not asked yet} of this look."""


def look_ahead(names):
    """Of whose processes this look is going to ask: whoever asks first asks of all of them."""
    with _lock:
        _ahead.clear()
        _ahead.update(dict.fromkeys(names))


def of_processes(names):
    """{unit: {property: [its values]}} of how these units' processes are begun.  Raises Failed."""
    with _lock:
        known = {name: seen for name, seen in _ahead.items() if seen is not None}
        if not known.keys() >= set(names):
            asked = [name for name in dict.fromkeys([*names, *_ahead]) if name not in known]
            known.update(properties(asked, _OF_PROCESS))
            _ahead.update((name, known[name]) for name in _ahead)
        return {name: known[name] for name in names}


def show(names):
    """{unit: its systemd properties}; a unit that is not there has LoadState not-found."""
    shown = properties(names, PROPERTIES)
    found = {name: {key: values[-1] for key, values in shown[name].items()} for name in names}
    for name in names:
        container = containers.of_unit(name)
        if container and found[name].get("LoadState") == "not-found":
            found[name] = dict(found[name], **containers.shown(container))
    return found


def _by_engine(names):
    """(units of systemd's, containers that have none): Kolla-Ansible makes them since 2023.1."""
    asked = [name for name in names if containers.of_unit(name)]
    shown = properties(asked, ["LoadState"])
    alone = [name for name in asked if shown[name].get("LoadState") == ["not-found"]]
    return [name for name in names if name not in alone], [containers.of_unit(n) for n in alone]


def process(name):
    """The process that a service runs as, or would: what its options are found by.

    {'running': whether one runs, 'words': its command line, 'environment': {name: value},
    'home', 'folder': of its user, and its own}.  What the unit sets counts before what the
    process was given: a restart is what makes an edit count.
    Of a container of Kolla's: as containers.process() has it.
    """
    container = containers.of_unit(name)
    if container:
        return containers.process(container)
    shown = of_processes([name])[name]
    words, environment, folder = _looked_at((shown.get("MainPID") or ["0"])[0])
    running = bool(words)
    started = re.search(r"argv\[\]=(.*?) ; ignore_errors=", (shown.get("ExecStart") or [""])[0])
    environment.update(_environment(shown))
    return {
        "running": running,
        "words": words or (started.group(1).split() if started else []) or [name],
        "environment": environment,
        "home": environment.get("HOME") or _home((shown.get("User") or [""])[0]),
        "folder": folder,
    }


def _looked_at(pid):
    """A process's command line, environment and folder; empty where none runs."""
    place = "/proc/%s/" % pid
    try:
        if not int(pid):
            return [], {}, "/"
        words = [word for word in _parts(place + "cmdline") if word]
        given = _parts(place + "environ")
        environment = dict(one.split("=", 1) for one in given if "=" in one)
        environment.setdefault("HOME", _home(os.stat(place).st_uid))
        return words, environment, from_bytes(os.readlink(as_bytes(place + "cwd")))
    except (OSError, ValueError):
        return [], {}, "/"


def _parts(path):
    """What the kernel shows of a process's memory, by its zeros.  Raises Failed for too much.

    The process itself says where that memory begins and ends (prctl PR_SET_MM_MAP): it may be
    as large as it likes.
    """
    with open(path, "rb") as stream:
        data = stream.read(_MOST_SHOWN + 1)
    parts = from_bytes(data).split("\0")
    if len(data) > _MOST_SHOWN or len(parts) > _MOST_PARTS:
        said = (path, _MOST_SHOWN, _MOST_PARTS)
        raise Failed("%s: more than %d bytes or %d words: no service of OpenStack's" % said)
    return parts


def _home(user):
    """A user's home, by name or number, as os.path.expanduser finds it without HOME."""
    try:
        found = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(native(user))
        return from_bytes(os.fsencode(found.pw_dir))
    except KeyError:
        return "/root"


def _environment(shown):
    """What a unit itself puts into the environment; of its files, the later ones count."""
    found = {}
    for line in shown.get("Environment", ()):
        found.update(_assignments(line))
    for line in shown.get("EnvironmentFiles", ()):
        path = line.rpartition(" (ignore_errors=")[0] or line
        if not path.startswith("/") or not os.path.isfile(as_bytes(path)):
            continue
        text = processes.text(files.read(path) or b"")
        for key, value in re.findall(r"^[ \t]*([A-Za-z_][^\s=#;]*)=(.*)$", text, re.M):
            value = value.strip()
            quoted = len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]
            found[key] = value[1:-1] if quoted else value
    return found


def _assignments(text):
    import shlex  # noqa: PLC0415 (seldom needed)

    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def running():
    """The services that are at work or about to be."""
    asked = ["systemctl", "list-units", "--type=service", "--state=active,activating"]
    out = expect(asked + ["--plain", "--no-legend", "--no-pager"])[1]
    return [line.split()[0].rpartition(".")[0] for line in out.splitlines() if line.strip()]


def all_active(names):
    """Whether each of them is at work: is-active of several asks for only one that is."""
    return all(seen.get("ActiveState") == "active" for seen in show(names).values())


def there(names, may_be=("loaded",)):
    """What show() says, if each of them can be worked on.  Raises Failed, with all that cannot.

    may_be: the LoadStates of those that can.

    Asked first, always: for one unit that it does not know, systemd 262 does nothing with any of
    those that are named beside it, and an older one works on these.
    """
    seen = show(names)
    absent = [name for name in names if seen.get(name, {}).get("LoadState") not in may_be]
    if absent:
        states = [(name, seen.get(name, {}).get("LoadState", "not shown")) for name in absent]
        raise Failed("; ".join("%s: no such unit here (%s)" % state for state in states))
    return seen


def seconds(span):
    """A span as systemd prints it ('1min 30s') in seconds; None for one without an end."""
    if span == "infinity":
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z\u03bc]*)", span or "")
    known = [(float(number), _SPANS[name]) for number, name in parts if name in _SPANS]
    return sum(number * size for number, size in known) if known else _USUAL


def patience(seen, starts=True):
    """(seconds, words): how long these units may take, one after the other, by what each says.

    seen: what show() says of them.  One that is at rest need not stop; starts: they start too.
    Whoever waits less long takes a unit for lost that systemd itself still waits for.
    """
    total, capped = _MARGIN, []
    for name, unit in seen.items():
        asked = ["TimeoutStopUSec"] if unit.get("ActiveState") != "inactive" else []
        for limit in asked + (["TimeoutStartUSec"] if starts else []):
            own = seconds(unit.get(limit, ""))
            total += min(MOST, MOST if own is None else own)
            if own is None or own > MOST:
                capped.append("%s says %s=%s" % (name, limit, unit[limit]))
    words = "the units' own limits"
    if capped:
        words += ", where %s, and %d s are waited" % (", ".join(capped), MOST)
    return min(total, MOST_OF_ALL), words


def begin_restart(names):
    """Asks for a restart, and does not wait for its end; an engine's own restart is waited for."""
    names, alone = _by_engine(names)
    if names:
        call(["systemctl", "reset-failed", "--"] + _full(names))
        expect(["systemctl", "restart", "--no-block", "--"] + _full(names))
    for container in alone:
        containers.restart(container)


def stop(names):
    """Stops units and waits, as long as they say themselves.  Raises Failed."""
    seen = there(names, ("loaded", "masked"))  # one that is masked may run still
    most, words = patience(seen, starts=False)
    names, alone = _by_engine(names)
    for container in alone:
        containers.stop(container)
    if not names:
        return
    try:
        expect(["systemctl", "stop", "--"] + _full(names), timeout=int(most))
    except Failed as error:
        late = [
            "%s (%s)" % (name, unit.get("SubState", ""))
            for name, unit in show(names).items()
            if unit.get("ActiveState") not in ("inactive", "failed")
        ]
        if not late:
            raise
        said = (", ".join(late), int(most), words, error)
        raise Failed("not at rest: %s; %d s were given (%s); %s" % said)


def enable(names):
    """Has units start with the host.  Raises Failed."""
    there(names)
    names, _ = _by_engine(names)  # the engine's own policy starts the others
    if not names:
        return
    expect(["systemctl", "enable", "-q", "--"] + _full(names), timeout=120)


def last_lines(name):
    """The last lines that a service wrote to the journal, or a container to its engine."""
    container = containers.of_unit(name)
    if container and _by_engine([name])[1]:
        return containers.last_lines(container)
    return call(["journalctl", "-u", name, "-n", "4", "-o", "cat", "--no-pager"])[1].splitlines()
