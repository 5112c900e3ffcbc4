"""hosts.trust: takes hosts' keys into known_hosts, after a person compared them."""

from __future__ import annotations

from pathlib import Path

from invoke import Context

from fabfile.core import known_hosts
from fabfile.core.contract import LoginRefused, UnknownHostKey, Unreachable
from fabfile.flow.session import Options, Session, open_session

_ROUNDS = 4
"""A bastion's key comes first, then those of the hosts behind it."""


def trust(context: Context, options: Options) -> int:
    """Shows every unknown key's fingerprint, asks, and appends the lines.

    Raises Unreachable for hosts that cannot be reached for another reason; a changed or
    revoked key is never taken.
    """
    for _ in range(_ROUNDS):
        with open_session(context, options) as session:
            unknown, others = _look(session)
        if not unknown:
            break
        _take(session, unknown)
    if others:
        raise Unreachable("\n".join(others))
    session.screen.say("Every host's key is in known_hosts.")
    return 0


def _look(session: Session) -> tuple[list[UnknownHostKey], list[str]]:
    unknown: dict[str, UnknownHostKey] = {}
    others: list[str] = []
    for fault in session.fleet.group(sorted(session.limited))._do("reach").values():
        if isinstance(fault, UnknownHostKey):
            unknown[fault.line] = fault
        elif isinstance(fault, Exception) and not isinstance(fault, LoginRefused):
            others.append(str(fault))
    return list(unknown.values()), others


def _take(session: Session, unknown: list[UnknownHostKey]) -> None:
    for fault in unknown:
        name, kind, _ = fault.line.split(" ", 2)
        session.screen.say(f"  {name:<24} {kind:<20} {fault.fingerprint}")
    session.screen.say("Compare with each host's own: ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub")
    session.confirm(
        "Are these the hosts' keys?",
        "nobody is there to compare them: give --yes if that was done",
    )
    for file in {fault.file for fault in unknown}:
        known_hosts.add(Path(file), [f.line for f in unknown if f.file == file])
        session.screen.say(f"{file}: {sum(f.file == file for f in unknown)} lines added")
