"""Backups of a site that makes them: how old the last one is, and the last that was verified."""

from __future__ import annotations

from typing import Any

from fabfile.doctor.finding import HERE, WARNING, Finding, task
from fabfile.doctor.observation import Looked
from fabfile.model.site import Site

_DAY = 86400
_OLD, _UNTRIED = 2, 35
"""Days: after which the newest backup, and the newest that was verified, are too old."""


def findings(site: Site, looked: Looked) -> list[Finding]:
    """No record, an old one, or none that was tried within a month."""
    seen = looked.here.get("records")
    if seen is None:
        return []
    create, verify = task("backup.create", limited=False), task("backup.verify", limited=False)
    newest, tried = seen["newest"], seen["verified"]
    if newest is None:
        return [_one("records.none", "none", "one a day", "a lost database is lost", create)]
    found = []
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


def _one(code: str, found: str, expected: str, cause: str, mend: Any) -> Finding:
    return Finding(WARNING, code, (HERE,), "backups", found, expected, cause, (mend,))
