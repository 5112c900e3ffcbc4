"""Records on their way between hosts and this machine, under the site's lock.

Knows what hosts say of it; what is in a record is the resources' and the agent's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fabfile.core import journal
from fabfile.core.contract import Failed, Locked, Stop, Unknown
from fabfile.flow.executor import PATIENCE
from fabfile.flow.terminal import outcomes

DEADLINE = 7 * 86400
"""Seconds: a large database takes hours; a line that is dead is noticed otherwise."""
_STAGES = {"compare": "restored; comparing table by table"}


def poured(
    run: Any,
    number: int,
    verb: str,
    works: Mapping[str, Mapping[str, Any]],
    pours: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """{host: what came of it}.  Raises the hosts' faults as one.

    verb: 'create' or 'restore'; works: {host: its arguments}; pours: {host: the other end}.
    """
    values: dict[str, dict[str, Any]] = {}
    faults: dict[str, Stop] = {}

    def heard(host: str, message: Mapping[str, Any]) -> None:
        kind = message["t"]
        if kind == "poured":
            values[host] = message["value"]
        elif kind == "refused":
            faults[host] = Failed(f"{host}: {message['why']}")
        elif kind == "busy":
            faults[host] = Locked(f"{host}: {message['who']} is at work there")
        elif kind == "again":
            pours[host].restart()
            run.screen.step(host, f"the schema changed ({message['why']}): dumped again")
        elif kind == "stage":
            run.screen.step(host, _STAGES.get(message["what"], message["what"]))

    who = f"run {run.id} ({run.task}) of {journal.who()}"
    common = {
        "pour": verb,
        "site": run.site.name,
        "number": number,
        "who": who,
        "run": run.id,
        "patience": PATIENCE,
        "deadline": DEADLINE,
    }
    with run.finishing():
        cut = run.fleet.work(
            {host: {**common, "args": dict(args)} for host, args in works.items()}, heard, pours
        )
    # Nothing live is written: a host that was cut off was not reached, no more.
    lost = {host: fault for host, fault in cut.items() if isinstance(fault, Unknown)}
    faults = {**cut, **outcomes.unreached(lost), **faults}
    for host in works:
        if host not in values and host not in faults:
            faults[host] = Failed(f"{host}: ended without a word")
    if faults:
        raise outcomes.worst(faults)
    run.fleet.conversations.go_on()
    return values
