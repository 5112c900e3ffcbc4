"""Findings about what was not reached or could not be looked at: which is not absent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fabfile.core.contract import (
    CLOUD,
    INV,
    Failed,
    LoginRefused,
    NeedsPassword,
    NoAgent,
    NoPython,
    NoSession,
    Stop,
    SudoRefused,
    Unbelieved,
    UnknownHostKey,
    UnknownName,
    WrongHostKey,
    typed,
)
from fabfile.doctor import daemons, services
from fabfile.doctor.finding import ERROR, RESTART_ALL, Finding, Step, root, task, words
from fabfile.doctor.observation import CEPH_PROGRAMS, PROGRAMS, Looked
from fabfile.model.site import Site
from fabfile.resources import domains, secret_uuid

_SEALED = "/var/lib/libvirt/secrets/secrets-encryption-key"
"""By what libvirt 12 encrypts its secrets: sealed to the host by systemd-creds."""
_NO_CREDENTIALS = "243"
"""How a unit ends whose credentials systemd cannot unseal (systemd.exec, EXIT_CREDENTIALS)."""
_OF_LIBVIRT = (secret_uuid.SECRETS, domains.READ, "guests")
"""Reads that virsh answers."""


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them."""
    yield from _reach(looked)
    yield from _errors(site, looked)


_SUDO = (task("hosts.check", limited=False),)
_FAULTS: dict[type[Stop], tuple[str, str, tuple[Step, ...]]] = {
    UnknownHostKey: ("host.key", "its host key is in no known_hosts", (task("hosts.trust"),)),
    NeedsPassword: ("host.sudo", "sudo asks for a password there", (task("hosts.sudoers"),)),
    WrongHostKey: (
        "host.unreachable",
        "the host was made anew, or somebody stands between",
        (
            words(
                "compare ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub there with known_hosts; "
                f"only then take the old line out (ssh-keygen -R), and: {INV} hosts.trust"
            ),
        ),
    ),
    LoginRefused: (
        "host.unreachable",
        "no key of yours is in its authorized_keys",
        (words("ssh-copy-id there, or name IdentityFile in the SSH configuration"),),
    ),
    UnknownName: (
        "host.unreachable",
        "this machine finds no address for its name",
        (
            words(
                "write its `address` into the site file, or a Host block with HostName into the "
                "SSH configuration; then look again"
            ),
        ),
    ),
    NoSession: (
        "host.session",
        "it is up and knows the user; what it does at a login (PAM, a directory service, DNS) is "
        "slow or refuses, and so no command runs there",
        (
            words(
                "see there, at its console or with ssh -v, what a login waits for: its sshd's "
                "journal, /etc/pam.d/sshd, loginctl list-sessions; then look again"
            ),
        ),
    ),
    NoAgent: (
        "host.agent",
        "it is up and its login works; its login shell, a ForceCommand or a slow sudo keeps "
        "commands from being run",
        (words("type there, over ssh: sudo -n python3 -V; what it says is the cause"),),
    ),
    Unbelieved: (
        "host.agent",
        "it is up and its login works; what answers there is no agent that was asked this",
        (words("see what else writes to the output of a command over ssh there, and look again"),),
    ),
    SudoRefused: ("host.unreachable", "sudo does not let the agent run", _SUDO),
    NoPython: ("host.unreachable", "the agent needs python3 there", _SUDO),
}
_SILENT = (
    "host.unreachable",
    "the host is down, or a firewall drops what is sent to it",
    (words("see that it runs and that its sshd is reached; then look again"),),
)


def _reach(looked: Looked) -> Iterator[Finding]:
    for host, stop in looked.unreachable.items():
        code, cause, mend = _FAULTS.get(type(stop), _SILENT)
        found = "; ".join(filter(None, (stop.found, stop.advice))) or str(stop)
        yield Finding(ERROR, code, (host,), "reach", found, "an agent that answers", cause, mend)


def _errors(site: Site, looked: Looked) -> Iterator[Finding]:
    """What could not be looked at; equal causes as one."""
    admin = site.admin.name
    silent = {
        read: stop
        for (host, read), stop in looked.errors.items()
        if host == admin and read.startswith("ceph.")
    }
    if _no_program(site, silent.values()):
        yield _without_program(site, looked)
    elif silent:
        why = str(next(iter(silent.values())))
        yield Finding(
            ERROR,
            "ceph.silent",
            (admin,),
            "the cluster",
            why,
            "an answer within 10 s",
            "its monitors have no quorum, or ceph.conf or the admin keyring there is not right",
            (
                *_stopped_monitors(site, looked),
                words(
                    "on every monitor's host: see that its monitor runs, what its log says, and "
                    "what it knows of the others (ceph daemon mon.NAME mon_status)"
                ),
            ),
        )
    said = set()
    for (host, read), stop in looked.errors.items():
        about = (host, "libvirt" if _is_of_libvirt(read, stop) else read)
        if about in said or (host == admin and read in silent):
            continue
        said.add(about)
        yield _error(site, looked, host, read, stop)


def _no_program(site: Site, silent: Iterable[Stop]) -> bool:
    """Whether the host has no program by which the cluster is asked: which says nothing of it."""
    program = site.cluster.ceph()[0]
    return any(f"{program}: no such program here" in str(stop) for stop in silent)


def _without_program(site: Site, looked: Looked) -> Finding:
    admin, program = site.admin.name, site.cluster.ceph()[0]
    answer = looked.seen(admin, PROGRAMS)
    there = [path for path in (answer["out"].split() if answer else ()) if path in CEPH_PROGRAMS]
    begun = CEPH_PROGRAMS[there[0]] if there else ("...",)
    begin = ", ".join(f'"{word}"' for word in begun)
    table = f"clusters.{site.label}" if site.cluster.tag else "platform_changes.commands"
    platform = words(
        f"say in the site file how it is begun: [{table}] ceph = [{begin}], rbd likewise"
    )
    if there:
        found = f"no {program} in PATH, but {', '.join(there)}"
        mend: tuple[Step, ...] = (platform,)
    else:
        looked_in = ", ".join(["PATH", *(CEPH_PROGRAMS if answer else ())])
        found = f"no {program} in {looked_in}"
        mend = (words("install ceph-common there, with ceph.conf and the admin keyring"), platform)
    return Finding(
        ERROR,
        "ceph.program",
        (admin,),
        "the cluster",
        found,
        "the program by which the cluster is asked",
        "nothing is known of the cluster, its quorum included: nobody could ask it",
        mend,
    )


def _is_of_libvirt(read: str, stop: Stop) -> bool:
    """Whether it is virsh that failed there."""
    return read in _OF_LIBVIRT and isinstance(stop, Failed)


def _stopped_monitors(site: Site, looked: Looked) -> tuple[Step, ...]:
    """Starts the monitors that were seen not to run; one that runs is left alone."""
    stopped = [unit for unit in daemons.of_kind(site, looked, "mon") if not unit.active]
    return tuple(daemons.unit_step(site, unit) for unit in stopped)


def _libvirt_up(site: Site, looked: Looked, host: str) -> tuple[Step, ...]:
    """Starts that one of libvirt's daemons which is installed there."""
    platform = site.platform_of(site.host(host))
    units = looked.seen(host, "libvirt.daemons") or {}
    typed, there, meant = platform.by_hand, services.installed(units), services.meant(units)
    if len(meant) > 1:
        return (words("see which of libvirtd and virtqemud serves there, and why it is down"),)
    if "virtqemud" in meant:
        names = ("virtqemud.socket", *platform.daemons["virtsecretd"])
        sockets = [name for name in (*names, *platform.daemons["virtproxyd"]) if name in there]
        return tuple(step for name in sockets for step in services.begun(platform, units, name))
    socket, *_ = platform.daemons["libvirtd"]
    name = socket.removesuffix(".socket")
    start = [one for one in (socket, name) if one == name or one in there]
    return (root(typed("unmask", name)), *(root(typed("start", one)) for one in start))


def _unsealable(looked: Looked, host: str) -> list[str]:
    """Those of libvirt's units that do not start there because their credential is not opened."""
    units = looked.seen(host, "libvirt.daemons") or {}
    return sorted(
        name
        for name, unit in units.items()
        if unit.get("ExecMainStatus") == _NO_CREDENTIALS and unit.get("ActiveState") != "active"
    )


def _of_another_host(site: Site, looked: Looked, host: str, names: Iterable[str]) -> Finding:
    """No answer of the host is needed to put the key aside: libvirt alone reads it, and cannot."""
    aside = typed("mv", _SEALED, f"{_SEALED}.of-another-host").having_seen("readers")
    return Finding(
        ERROR,
        "libvirt.credentials",
        (host,),
        "libvirt",
        f"{', '.join(names)}: systemd cannot unseal its credential (status {_NO_CREDENTIALS})",
        f"{_SEALED} as systemd-creds sealed it on this host",
        "libvirt encrypts its secrets by that key, which is sealed to one host: to its "
        "/var/lib/systemd/credential.secret, its TPM and its machine-id; this host was cloned, its "
        "root made anew, or /etc or /var brought from another: no guest starts here",
        (
            words(
                "where that credential.secret is still at hand, put it back and start libvirt; "
                "else all of libvirt's secrets here are lost, those of vTPMs and encrypted volumes "
                "too, and the key is put aside so that a new one is made"
            ),
            root(aside),
            *_libvirt_up(site, looked, host),
            task("compute.secret"),
            RESTART_ALL,
        ),
    )


def _error(site: Site, looked: Looked, host: str, read: str, stop: Stop) -> Finding:
    if _is_of_libvirt(read, stop) and (names := _unsealable(looked, host)):
        return _of_another_host(site, looked, host, names)
    if _is_of_libvirt(read, stop):
        return Finding(
            ERROR,
            "libvirt.silent",
            (host,),
            "libvirt",
            stop.found or str(stop),
            "an answer",
            "libvirtd is down: no guest starts here, and no volume is attached",
            (*_libvirt_up(site, looked, host), RESTART_ALL),
        )
    if stop.subject:
        return Finding(
            ERROR,
            "file.kind",
            (host,),
            stop.subject,
            stop.found,
            "a plain file",
            "something else stands where a file of ours is to be",
            (
                root(typed("ls", "-ld", stop.subject)),
                words("see who reads it; move it away, and then"),
                task("integrate"),
            ),
        )
    what = "OpenStack's API" if host == CLOUD else read
    return Finding(
        ERROR,
        "not.seen",
        (host,),
        what,
        str(stop),
        "an answer",
        "it could not be looked at, which is not the same as absent",
        (words("mend what it says, then look again"),),
    )
