"""Backups of a site that makes them: how old the last one is, the last that was verified, and
what lies among them that is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fabfile.core.contract import INV
from fabfile.doctor.finding import HERE, WARNING, Finding, task, words
from fabfile.doctor.observation import Looked
from fabfile.model.site import Site

_DAY = 86400
_OLD, _UNTRIED = 2, 35
"""Days: after which the newest backup, and the newest that was verified, are too old."""


def findings(site: Site, looked: Looked) -> list[Finding]:
    """No backup, an old one, none that was tried within a month; and what cannot be taken."""
    seen = looked.here.get("records")
    if seen is None:
        return []
    create, verify = task("backup.create", limited=False), task("backup.verify", limited=False)
    newest, tried = seen["newest"], seen["verified"]
    if newest is None:
        none = _one("records.none", "none", "one a day", "a lost database is lost", create)
        return [none, *_unfit(seen["unfit"])]
    found = _unfit(seen["unfit"])
    if newest > _OLD * _DAY:
        said = f"the newest is {newest / _DAY:.0f} days old"
        cause = "what was made since then is lost with the database"
        found.append(_one("records.old", said, f"at most {_OLD} days", cause, create))
    if tried is None or tried > _UNTRIED * _DAY:
        said = (
            "none was verified"
            if tried is None
            else (f"the newest that was verified is {tried / _DAY:.0f} days old")
        )
        cause = "a backup that was never restored may be useless"
        found.append(_one("records.untried", said, f"at most {_UNTRIED} days", cause, verify))
    return found


def _unfit(unfit: Mapping[str, str]) -> list[Finding]:
    """Those that are broken, or that no known key signed: forged, or from before backups were."""
    if not unfit:
        return []
    name, why = min(unfit.items())
    found = f"{len(unfit)} that cannot be taken, such as {_line(name)}: {_line(why)}"
    expected = "whole backups, each signed by a key of backup.signers"
    cause = "a disk that loses data, a backup from before they were signed, or one that is forged"
    mend = words(
        f"{INV} backup.list names each: find out who put it there and what became of it, and "
        "move it out of the folder"
    )
    return [_one("records.unfit", found, expected, cause, mend)]


def _line(text: str) -> str:
    return " ".join(text.split())


def _one(code: str, found: str, expected: str, cause: str, mend: Any) -> Finding:
    return Finding(WARNING, code, (HERE,), "backups", found, expected, cause, (mend,))
