"""What a host's own programs and files say to the agent there."""

import contextlib
import json
import os
from unittest import mock

from fabfile.core.remote import (
    apt,
    configuration,
    confinement,
    dnf,
    options,
    processes,
    server_kinds,
    state,
    sudo_log,
    units,
)

from ...unit import test_confinement, test_sudo_log
from ...unit.test_dnf import TABLE
from .case import AGENTS, Target, as_data, as_text


def _agent(read):
    """The outcome of an agent's read: its value goes the way of all answers."""

    def acting(case, text):
        said = processes.text(text) if isinstance(text, bytes) else text
        answer = (case.rng.choice((0, 0, 0, 1)), said, "err")
        with contextlib.ExitStack() as stack:
            for module in (units, apt, dnf, processes):
                for name in ("expect", "call"):
                    if hasattr(module, name):
                        stack.enter_context(
                            mock.patch.object(module, name, lambda *_, **__: answer)
                        )
            value = read(case, said)
        json.loads(json.dumps(value))

    return acting


SHOWN = """Id=nova-compute.service
LoadState=loaded
ActiveState=active
SubState=running
Result=success
MainPID=812
NRestarts=0
ActiveEnterTimestampMonotonic=1000000000

Id=x.service
LoadState=not-found
ActiveState=inactive
"""
PROCESS = """MainPID=0
User=nova
ExecStart={ path=/usr/bin/x ; argv[]=/usr/bin/x --config-dir /etc/x ; ignore_errors=no ; pid=0 }
Environment=OS_DEFAULT__HOST=x "A=b c" CEPH_ARGS=--id=x
EnvironmentFiles=/etc/default/nova (ignore_errors=yes)
"""
DPKG = "ii  ceph-common 16.2.15+ds-0+deb12u1\nun  age \nrc  zstd 1.5\n"
OPTIONS = """# a comment
[DEFAULT]
enabled_backends = rbd,lvm
transport_url = rabbit://x:y@z
[rbd]
rbd_pool: volumes
 more
rbd_user = "volumes"
[rbd]
rbd_pool = other
"""


def _options(case, text):
    options.active(text), options.effective(text)
    edits = [["DEFAULT", "host", "x"], ["new", "a", "b"], ["rbd", "rbd_pool", None]]
    options.edit(text, edits) if hasattr(options, "edit") else None
    return configuration.lines_of("/x", text.encode("utf-8", "surrogateescape"))


def _sources(case, text):
    return configuration.sources("nova-compute", "nova", "/etc/nova/nova.conf", (), ("CEPH_ARGS",))


def _sudo(case, text):
    return sudo_log.judged(text, "/usr/bin/python3")


def _fence(case, data):
    with mock.patch.object(state, "STATE", str(case.folder)):
        case.folder.chmod(0o700)
        case.file("fence", data)
        case.file("sites/test", data)
        with contextlib.suppress(state.Busy):
            state.raise_fence("test", 5)
        state.fenced("test", 5)
        try:
            handle, number = state.hold_site("test", "who")
        except state.Busy as busy:
            case.say(f"{busy}")
            return
        os.close(handle)
        json.dumps(number)


def _mariadb(case, text):
    return server_kinds.number_of(text)


TARGETS = {
    "units": Target(
        "systemctl",
        lambda: [SHOWN],
        as_text,
        _agent(lambda c, t: units.show(["nova-compute", "x"])),
        AGENTS,
    ),
    "running": Target(
        "systemctl",
        lambda: ["a.service loaded active running A\n"],
        as_text,
        _agent(lambda c, t: units.running()),
        AGENTS,
        3,
    ),
    "sources": Target("systemctl", lambda: [PROCESS], as_text, _agent(_sources), AGENTS),
    "dpkg": Target(
        "dpkg",
        lambda: [DPKG],
        as_text,
        _agent(lambda c, t: apt.versions(["age", "zstd"])),
        AGENTS,
    ),
    "denials": Target(
        "the audit log",
        lambda: [test_confinement.selinux(), test_confinement.apparmor()],
        as_text,
        _agent(lambda c, t: confinement.denials((1.0, line) for line in t.splitlines())),
        AGENTS,
    ),
    "rpm": Target(
        "rpm -q",
        lambda: ["age 1.1-1.el9\npackage zstd is not installed\n"],
        as_text,
        _agent(lambda c, t: dnf.versions(["age", "zstd"])),
        AGENTS,
    ),
    "dnf": Target(
        "dnf --assumeno",
        lambda: [TABLE],
        as_text,
        _agent(lambda c, t: dnf.transaction(t)),
        AGENTS,
    ),
    "options": Target("services' files", lambda: [OPTIONS], as_text, _agent(_options), AGENTS),
    "sudo": Target(
        "sudo -l",
        lambda: [test_sudo_log.listed(bound="!/usr/bin/x log_input")],
        as_text,
        _agent(_sudo),
        AGENTS,
    ),
    "fence": Target(
        "a host's own state",
        lambda: [b'{"test": 3, "number": 4, "who": "x"}'],
        as_data,
        _fence,
        AGENTS,
    ),
    "mariadb": Target(
        "database rows",
        lambda: ["10.11.19-MariaDB-0+deb12u1"],
        as_text,
        _agent(_mariadb),
        AGENTS,
        3,
    ),
}
