"""hosts.trust: takes hosts' keys into known_hosts, after a person compared them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from invoke import Context

from fabfile.core import known_hosts
from fabfile.core.contract import LoginRefused, Stop, UnknownHostKey, Unreachable
from fabfile.core.text import table
from fabfile.flow.session import Options, Session, open_session
from fabfile.flow.terminal import outcomes
from fabfile.flow.terminal.screen import Screen

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
    others: dict[str, str] = {}
    group = session.fleet.group(sorted(session.limited))
    for connection, fault in group._do("reach").items():
        if isinstance(fault, UnknownHostKey):
            unknown[fault.line] = fault
        elif isinstance(fault, Exception) and not isinstance(fault, LoginRefused):
            name = connection.host_name
            others[name] = outcomes.cause(name, fault) if isinstance(fault, Stop) else str(fault)
    return list(unknown.values()), outcomes.told(others)


def _take(session: Session, unknown: list[UnknownHostKey]) -> None:
    to_compare(session.screen, unknown)
    session.confirm(
        "Are these the hosts' keys?",
        "nobody is there to compare them: give --yes if that was done",
    )
    for file in {fault.file for fault in unknown}:
        known_hosts.add(Path(file), [f.line for f in unknown if f.file == file])
        session.screen.say(f"{file}: {sum(f.file == file for f in unknown)} lines added")


def to_compare(screen: Screen, unknown: Sequence[UnknownHostKey]) -> None:
    """Shows hosts' keys, and how to compare them."""
    keys = [(*fault.line.split(" ", 2)[:2], fault.fingerprint) for fault in unknown]
    rows = [(f"  {name}", kind, fingerprint) for name, kind, fingerprint in keys]
    screen.say_all(table(rows, screen.columns))
    screen.say(
        "Compare with each host's own: ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub", whole=True
    )
