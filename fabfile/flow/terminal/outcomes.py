"""How each host fared, and how that is told of a thousand of them.

Knows hosts' names and what was said of each; hosts of which the same is said are told
in one line.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fabfile.core import text as texts
from fabfile.core.contract import Stop, Unreachable

FEW, MOST = 3, 160
"""Hosts with a line each; letters of a cause in a recap."""
named = texts.named


def told(said: Mapping[str, str]) -> list[str]:
    """Lines of {host: what is said of it}; more than a few with the same are folded."""
    alike: dict[str, list[str]] = {}
    for host, text in said.items():
        alike.setdefault(texts.without_own(host, text), []).append(host)
    lines = []
    for text, hosts in alike.items():
        if len(hosts) <= FEW:
            lines += [f"{host}: {said[host]}" for host in hosts]
        else:
            lines.append(f"{len(hosts)} hosts: {text}: {named(hosts)}")
    return lines


def cause(host: str, fault: Stop) -> str:
    """A fault's text without its host's name at the head."""
    return str(fault).removeprefix(f"{host}: ")


def causes(faults: Mapping[str, Stop]) -> dict[str, str]:
    """{host: its fault's text}, as the journal keeps it."""
    return {host: cause(host, fault) for host, fault in faults.items()}


def unreached(faults: Mapping[str, Stop]) -> dict[str, Stop]:
    """The same, where one that was cut had nothing to write."""
    return {
        host: fault
        if isinstance(fault, Unreachable)
        else Unreachable(str(fault), host=host, found=cause(host, fault))
        for host, fault in faults.items()
    }


def worst(faults: Mapping[str, Stop], more: str = "") -> Stop:
    """All faults as one, of the kind whose exit code counts; more: what else is to be said."""
    return _of_kind(faults, "\n".join([*told(causes(faults)), *filter(None, [more])]))


def left(faults: Mapping[str, Stop], next_: str) -> Stop:
    """What ends a run that went on without hosts, of which all was said before."""
    hosts = f"{len(faults)} hosts were" if len(faults) > 1 else f"{next(iter(faults))} was"
    return _of_kind(faults, f"{hosts} left out or failed, as said above; {next_}")


def _of_kind(faults: Mapping[str, Stop], text: str) -> Stop:
    most = max(faults.values(), key=lambda fault: fault.code)
    kind: type[Stop] = Unreachable if isinstance(most, Unreachable) else type(most)
    found: Stop = kind(text)
    return found


def recap(
    planned: Mapping[str, int],
    done: Mapping[str, int],
    begun: Collection[str],
    faults: Mapping[str, Stop],
) -> list[str]:
    """How far each host came, hosts of one outcome and cause in one line.

    planned, done: numbers of changes by host.  begun: hosts whose turn had come.
    """
    said = {}
    for host in {**planned, **faults}:
        count = f"{done.get(host, 0)} of {planned[host]} done" if host in planned else ""
        said[host] = count or "left out"
        if host in faults:
            said[host] += f"; {' '.join(cause(host, faults[host]).split())[:MOST]}"
        elif host not in begun:
            said[host] += "; not begun"
    return told(said)
