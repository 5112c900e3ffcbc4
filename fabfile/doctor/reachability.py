"""Findings about what was not reached or could not be looked at: which is not absent."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from fabfile.core.contract import CLOUD
from fabfile.doctor.finding import ERROR, RESTART_ALL, Finding, Step, root, task, words
from fabfile.doctor.observation import Looked


def findings(site: Any, looked: Looked) -> Iterator[Finding]:
    """All of them."""
    yield from _reach(looked)
    yield from _errors(site, looked)


_FAULTS: dict[str, tuple[str, str, tuple[Step, ...]]] = {
    "UnknownHostKey": ("host.key", "its host key is in no known_hosts", (task("hosts.trust"),)),
    "NeedsPassword": ("host.sudo", "sudo asks for a password there", (task("hosts.sudoers"),)),
}


def _reach(looked: Looked) -> Iterator[Finding]:
    for host, (kind, text) in looked.unreachable.items():
        said = text.removeprefix(f"{host}: ")
        code, cause, mend = _FAULTS.get(kind, ("host.unreachable", "", ()))
        if not mend:
            cause, mend = _why(said)
        yield Finding(ERROR, code, (host,), "reach", said, "an agent that answers", cause, mend)


def _why(said: str) -> tuple[str, tuple[Step, ...]]:
    if "not the one in known_hosts" in said or "@revoked" in said:
        return "the host was made anew, or somebody stands between", (
            words(
                "compare ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub there with known_hosts; "
                "only then take the old line out (ssh-keygen -R), and: inv hosts.trust"
            ),
        )
    if "refuses user" in said:
        return "no key of yours is in its authorized_keys", (
            words("ssh-copy-id there, or name IdentityFile in the SSH configuration"),
        )
    if "requiretty" in said or "sudo" in said:
        return "sudo does not let the agent run", (task("hosts.check", limited=False),)
    if "python3" in said:
        return "the agent needs python3 there", (task("hosts.check", limited=False),)
    return "the host is down, or a firewall drops what is sent to it", (
        words("see that it runs and that its sshd is reached; then look again"),
    )


def _errors(site: Any, looked: Looked) -> Iterator[Finding]:
    """What could not be looked at; equal causes as one."""
    admin = site.admin.name
    silent = {
        read: why
        for (host, read), why in looked.errors.items()
        if host == admin and read.startswith("ceph.")
    }
    if silent:
        why = next(iter(silent.values()))
        yield Finding(
            ERROR,
            "ceph.silent",
            (admin,),
            "the cluster",
            why,
            "an answer within 10 s",
            "its monitors have no quorum, or ceph.conf or the admin keyring there is not right",
            (
                root("systemctl restart ceph-mon.target"),
                words("then, on every monitor's host: ceph daemon mon.$(hostname -s) mon_status"),
            ),
        )
    said = set()
    for (host, read), why in looked.errors.items():
        about = (host, "virsh" if why.startswith("virsh") else read)
        if about in said or (host == admin and read in silent):
            continue
        said.add(about)
        yield _error(host, read, why)


def _error(host: str, read: str, why: str) -> Finding:
    if why.startswith("virsh"):
        told = why.partition(": ")[2] or why
        return Finding(
            ERROR,
            "libvirt.silent",
            (host,),
            "libvirt",
            told,
            "an answer",
            "libvirtd is down: no guest starts here, and no volume is attached",
            (
                root(
                    "systemctl unmask libvirtd; systemctl start libvirtd.socket; "
                    "systemctl start libvirtd"
                ),
                RESTART_ALL,
            ),
        )
    if "move it away" in why:
        path = why.partition(":")[0]
        return Finding(
            ERROR,
            "file.kind",
            (host,),
            path,
            why.partition("found ")[2].partition(";")[0],
            "a plain file",
            "something else stands where a file of ours is to be",
            (root(f"mv {shlex.quote(path)} {shlex.quote(path)}.moved-away"), task("integrate")),
        )
    what = "OpenStack's API" if host == CLOUD else read
    return Finding(
        ERROR,
        "not.seen",
        (host,),
        what,
        why,
        "an answer",
        "it could not be looked at, which is not the same as absent",
        (words("mend what it says, then look again"),),
    )
