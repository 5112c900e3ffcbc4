"""The containers of this host, by docker or podman: what one is, and what it copies at its start.

The one module of the agent that knows the engines; both take the same words.  Knows the form of
the config.json by which Kolla's containers copy their files, and no service.
Python 3.6, standard library alone.  Source: kolla's docker/base/set_configs.py.
"""

import json
import os
import re

from . import files, processes
from .processes import Failed, call, expect

ENGINES = ("docker", "podman")
_UNIT = r"kolla-([A-Za-z0-9][A-Za-z0-9_.-]*)-container(?:\.service)?\Z"
_CONFIG = "/var/lib/kolla/config_files"
STRATEGY = "KOLLA_CONFIG_STRATEGY"
TELLS = "packages"
"""The ways, where there are some, of who knows versions: the Python of each container."""
_STATES = {"running": "active", "restarting": "activating", "paused": "inactive"}


def of_unit(unit):
    """The container that a unit of Kolla-Ansible's runs; None for another unit."""
    match = re.match(_UNIT, unit)
    return match.group(1) if match else None


def engine():
    """The engine that is there.  Raises Failed where none is."""
    return processes.first_of(ENGINES)


def _inspected(name):
    """What the engine says of a container, None where it has none of that name."""
    argv = [engine(), "container", "inspect", name]
    code, out, err = call(argv, timeout=30)
    if code:
        if re.search("no such (?:object|container)", err, re.I):
            return None
        raise Failed("%s: exit code %d: %s" % (" ".join(argv), code, processes.said(err)))
    try:
        (found,) = json.loads(out)
        return found["State"], found.get("Config") or {}, found.get("Mounts") or [], found
    except (ValueError, KeyError, TypeError):
        raise Failed("%s: its answer is not understood" % " ".join(argv))


def _environment(config):
    given = [one for one in config.get("Env") or [] if isinstance(one, str) and "=" in one]
    return dict(one.split("=", 1) for one in given)


def _folder(mounts):
    """The host's folder from which a container copies its files."""
    for mount in mounts:
        if str(mount.get("Destination", "")).rstrip("/") == _CONFIG:
            return str(mount.get("Source", "")).rstrip("/")
    return ""


def look(names):
    """{container: {'running', 'strategy', 'folder', 'engine'}, or None where there is none}.

    strategy: when it copies its files (COPY_ALWAYS, COPY_ONCE); folder: from where.
    """
    found = {}
    for name in names:
        seen = _inspected(name)
        found[name] = seen and {
            "running": seen[0].get("Running") is True,
            "strategy": _environment(seen[1]).get(STRATEGY, ""),
            "folder": _folder(seen[2]),
            "engine": engine(),
        }
    return found


def shown(name):
    """A container as systemd would show a unit that runs it."""
    seen = _inspected(name)
    if seen is None:
        return {"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead"}
    state, _, _, whole = seen
    status = str(state.get("Status", ""))
    code = state.get("ExitCode")
    idle = "inactive" if status == "created" or code in (0, 137, 143) else "failed"
    active = _STATES.get(status, idle)
    return {
        "LoadState": "loaded",
        "ActiveState": active,
        "SubState": status,
        "Result": "success" if active != "failed" else "exit-code",
        "ExecMainStatus": str(code),
        "MainPID": str(state.get("Pid") or 0),
        "NRestarts": str(whole.get("RestartCount") or 0),
        "Job": "",
        "ActiveEnterTimestampMonotonic": "0",
        "TimeoutStartUSec": "1min 30s",
        "TimeoutStopUSec": "1min 30s",
    }


def restart(name):
    """Restarts a container by its engine, and waits for that."""
    expect([engine(), "restart", name], timeout=180)


def stop(name):
    """Stops a container by its engine."""
    expect([engine(), "stop", name], timeout=180)


def last_lines(name):
    """The last lines that a container wrote."""
    _, out, err = call([engine(), "logs", "--tail", "4", name])
    return (out + err).splitlines()


def process(name):
    """The process of a container, as units.process() has that of a unit.

    words: the command that config.json names; copies: {a path in the container: the file of the
    host that it is copied from}.  Its own command line is the wrapper's.
    """
    seen = _inspected(name)
    if seen is None:
        raise Failed("%s: no such container here" % name)
    folder = _folder(seen[2])
    told = _told(folder) if folder else {}
    copies = {}
    for one in told.get("config_files", ()):
        source, dest = str(one.get("source", "")), str(one.get("dest", ""))
        if source.startswith(_CONFIG + "/") and dest.startswith("/"):
            copies[dest] = folder + source[len(_CONFIG) :]
    return {
        "running": seen[0].get("Running") is True,
        "words": str(told.get("command", name)).split(),
        "environment": _environment(seen[1]),
        "home": "/",
        "folder": "/",
        "copies": copies,
    }


def _told(folder):
    path = os.path.join(folder, "config.json")
    try:
        found = json.loads(processes.text(files.read(path) or b"{}"))
        told = [one for one in found.get("config_files", ()) if isinstance(one, dict)]
    except (ValueError, AttributeError, TypeError):
        raise Failed("%s: it is no config.json of Kolla's" % path)
    return {"command": found.get("command", ""), "config_files": told}


_IN_CONTAINER = """
import subprocess, sys
names = sys.argv[1:]
for argv in (
    ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package} ${Version}\\\\n", "--"],
    ["rpm", "-q", "--qf", "ii  %{NAME} %{VERSION}-%{RELEASE}\\\\n", "--"],
):
    try:
        subprocess.call(argv + names, stderr=subprocess.DEVNULL)
    except OSError:
        pass
try:
    from importlib.metadata import version
except ImportError:
    from pkg_resources import get_distribution
    version = lambda name: get_distribution(name).version
for name in names:
    try:
        if name.endswith("-common"):
            print("ii  %s %s" % (name, version(name[: -len("-common")])))
    except Exception:
        pass
"""
"""Services that were built from source are known to their Python alone."""


def package_lines(names):
    """What dpkg would list of these packages, by each container's Python; see apt.listed().

    A container that is not there has no services; one that is there and cannot say is an error.
    """
    ways = processes.WAYS[TELLS] if names else ()
    there = [way for way in ways if way[0] not in processes.WAYS or _inspected(way[0])]
    if names and not there:
        raise Failed("%s: no such container here" % ", ".join(way[0] for way in ways))
    return "".join(_listed_by(way, names) for way in there)


def _listed_by(way, names):
    code, out, err = call(list(way) + ["-I", "-c", _IN_CONTAINER] + list(names), timeout=60)
    if code and not out:
        raise Failed("packages in %s: exit code %d: %s" % (way[0], code, processes.said(err)))
    return out
