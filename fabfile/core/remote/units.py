"""The services of this host, as systemd runs them.

The one module of the agent that knows the service manager and its journal.
Python 3.6, standard library alone.
"""

from .processes import call, expect

PROPERTIES = [
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "MainPID",
    "NRestarts",
    "Job",
    "ActiveEnterTimestampMonotonic",
]
_KINDS = (".service", ".socket", ".target", ".timer")


def _full(names):
    """Units by their whole names: one without its kind is a service."""
    return [name if name.endswith(_KINDS) else name + ".service" for name in names]


def show(names):
    """{unit: its systemd properties}; a unit that is not there has LoadState not-found."""
    asked = ["systemctl", "show", "--no-pager", "-p", "Id," + ",".join(PROPERTIES), "--"]
    blocks = expect(asked + _full(names))[1].split("\n\n")
    seen = [dict(line.split("=", 1) for line in b.splitlines() if "=" in line) for b in blocks]
    return dict(zip(names, seen))


def main_process(name):
    """The number of the process that a service runs as, in words; '' where none runs."""
    shown = expect(["systemctl", "show", "-p", "MainPID", "--"] + _full([name]))[1]
    pid = shown.strip().partition("=")[2]
    return "" if pid == "0" else pid


def running():
    """The services that are at work or about to be."""
    asked = ["systemctl", "list-units", "--type=service", "--state=active,activating"]
    out = expect(asked + ["--plain", "--no-legend", "--no-pager"])[1]
    return [line.split()[0].rpartition(".")[0] for line in out.splitlines()]


def all_active(names):
    """Whether each of them is at work."""
    return not call(["systemctl", "is-active", "--"] + _full(names), timeout=30)[0]


def begin_restart(names):
    """Asks for a restart, and does not wait for its end."""
    call(["systemctl", "reset-failed", "--"] + _full(names))
    expect(["systemctl", "restart", "--no-block", "--"] + _full(names))


def stop(names, timeout):
    """Stops units and waits."""
    expect(["systemctl", "stop", "--"] + _full(names), timeout=timeout)


def enable(names):
    """Has units start with the host."""
    expect(["systemctl", "enable", "-q", "--"] + _full(names), timeout=120)


def last_lines(name):
    """The last lines that a service wrote to the journal."""
    return call(["journalctl", "-u", name, "-n", "4", "-o", "cat", "--no-pager"])[1].splitlines()
