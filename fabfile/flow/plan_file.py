"""A plan kept in a file: shown today, carried out tomorrow, or refused as stale.

The file names what would be done; it is not trusted with it.  `apply` looks again,
plans again, and goes on only where the new plan is the kept one, change by change.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from fabfile.core import journal
from fabfile.core.contract import BadInput, Plan, Stop, Unreachable

FORMAT = 1
_LATER: dict[str, Any] = {"max_fail": "", "left_out": {}}
"""What the first files of this format do not have."""


def digest(path: Path) -> str:
    """A file's sha256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save(out: str, run: Any, plan: Plan) -> None:
    """Writes the plan for its owner alone.  Raises BadInput where a file is already."""
    document = {
        "stackrbd plan": FORMAT,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "by": journal.who(),
        "site": {"file": str(run.path.resolve()), "sha256": digest(run.path)},
        "limit": run.options.limit,
        "max_fail": run.options.max_fail,
        "left_out": plan.left_out,
        "changes": journal.as_data(plan.changes),
    }
    path = Path(out).expanduser()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadInput(f"--out: {path}: is there already; name another file") from None
    except OSError as error:
        raise BadInput(f"--out: {path}: {error.strerror}") from None
    with os.fdopen(handle, "w") as stream:
        json.dump(document, stream, indent=1)
    run.screen.say(f"The plan is in {path}. To do it: inv apply {path}")


def load(name: str) -> dict[str, Any]:
    """The file's document.  Raises BadInput for anything else than a whole plan."""
    path = Path(name).expanduser()
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; inv plan --out FILE writes one") from None
    except ValueError as error:
        raise BadInput(
            f"{path}: expected a plan by inv plan --out, found no JSON: {error}"
        ) from None
    wanted = {"stackrbd plan", "made", "by", "site", "limit", "changes"}
    if not isinstance(document, dict) or set(document) - set(_LATER) != wanted:
        raise BadInput(f"{path}: expected a plan by inv plan --out, found something else")
    if document["stackrbd plan"] != FORMAT:
        found = document["stackrbd plan"]
        raise BadInput(f"{path}: expected format {FORMAT}, found {found!r}; plan anew")
    return {**_LATER, **document}


def left_out(document: dict[str, Any]) -> dict[str, Stop]:
    """{host: why} of those that the plan goes on without, whether they answer now or not."""
    return {host: Unreachable(f"{host}: {why}") for host, why in document["left_out"].items()}


def site_of(document: dict[str, Any]) -> str:
    """The plan's site file.  Raises BadInput ('stale') where it was changed since."""
    path = Path(document["site"]["file"])
    try:
        same = digest(path) == document["site"]["sha256"]
    except OSError as error:
        raise BadInput(f"{path}: the plan's site file: {error.strerror}") from None
    if not same:
        raise BadInput(f"stale: {path} was changed since the plan was made; plan anew")
    return str(path)
