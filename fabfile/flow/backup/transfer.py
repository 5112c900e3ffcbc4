"""Backups on their way between hosts and this machine, under the site's lock.

Knows what hosts say of it; what is in a backup is fabfile.backup's and the agent's matter.
"""

from __future__ import annotations

from collections.abc import Mapping

from fabfile.backup.store import Incoming, Outgoing
from fabfile.core import journal
from fabfile.core.contract import Failed, Json, Locked, Message, Stop, Unknown
from fabfile.flow.session import PATIENCE, Session
from fabfile.flow.terminal import outcomes

DEADLINE = 7 * 86400
"""Seconds: a large database takes hours; a line that is dead is noticed otherwise."""
_STAGES = {"compare": "restored; comparing table by table"}


def transferred(
    session: Session,
    number: int,
    verb: str,
    works: Mapping[str, Mapping[str, Json]],
    streams: Mapping[str, Incoming | Outgoing],
) -> dict[str, dict[str, Json]]:
    """{host: what came of it}.  Raises the hosts' faults as one.

    verb: 'create' or 'restore'; works: {host: its arguments}; streams: {host: the other end}.
    """
    values: dict[str, dict[str, Json]] = {}
    faults: dict[str, Stop] = {}

    def on_message(host: str, message: Message) -> None:
        kind = message["t"]
        if kind == "transferred":
            values[host] = message["value"]
        elif kind == "refused":
            faults[host] = Failed(host=host, found=str(message["why"]))
        elif kind == "busy":
            faults[host] = Locked(host=host, found=f"{message['who']} is at work there")
        elif kind == "again":
            stream = streams[host]
            if isinstance(stream, Incoming):
                stream.restart()
            session.screen.step(host, f"the schema changed ({message['why']}): dumped again")
        elif kind == "stage":
            session.screen.step(host, _STAGES.get(str(message["what"]), str(message["what"])))

    who = f"run {session.id} ({session.task}) of {journal.who()}"
    common = {
        "transfer": verb,
        "site": session.site.name,
        "number": number,
        "who": who,
        "run": session.id,
        "patience": PATIENCE,
        "deadline": DEADLINE,
    }
    with session.finishing():
        cut = session.fleet.work(
            {host: {**common, "args": dict(args)} for host, args in works.items()},
            on_message,
            streams,
        )
    # Nothing live is written: a host that was cut off was not reached, no more.
    lost = {host: fault for host, fault in cut.items() if isinstance(fault, Unknown)}
    faults = {**cut, **outcomes.unreached(lost), **faults}
    for host in works:
        if host not in values and host not in faults:
            faults[host] = Failed(host=host, found="ended without a word")
    if faults:
        raise outcomes.worst(faults)
    session.fleet.conversations.raise_if_stopped()
    return values
