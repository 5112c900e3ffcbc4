"""A plan kept in a file: shown today, carried out tomorrow, or refused as stale.

The file names what would be done; it is not trusted with it.  `apply` looks again,
plans again, and goes on only where the new plan is the kept one, change by change.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from fabfile.core import atomic_write, journal, own_files, site_file, strict_json
from fabfile.core.contract import INV, BadInput, Json, Plan, Stop, Unreachable
from fabfile.core.shapes import misfit
from fabfile.flow.session import Session

FORMAT = 1
_LATER: dict[str, Json] = {"max_fail": "", "left_out": {}}
"""What the first files of this format do not have."""


def _texts(value: Json) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _is_path(text: str) -> bool:
    """Whether it leads to the same file from everywhere."""
    return text.startswith("/") and "\0" not in text


_FORMS: dict[str, Callable[[Json], bool]] = {
    "made": lambda v: isinstance(v, str),
    "by": lambda v: isinstance(v, str),
    "site": lambda v: _texts(v) and set(v) == {"file", "sha256"} and _is_path(v["file"]),
    "limit": lambda v: isinstance(v, str),
    "max_fail": lambda v: isinstance(v, str),
    "left_out": _texts,
    "changes": lambda v: not misfit(v, journal.CHANGES),
}


def digest(path: Path) -> str:
    """A site file's sha256.  Raises BadInput for one that others may alter."""
    return hashlib.sha256(own_files.read(path, "the site file")).hexdigest()


def save(out: str, session: Session, plan: Plan) -> None:
    """Writes the plan for its owner alone.  Raises BadInput where a file is already."""
    document = {
        "stackrbd plan": FORMAT,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "by": journal.who(),
        "site": {"file": str(session.path.resolve()), "sha256": digest(session.path)},
        "limit": session.options.limit,
        "max_fail": session.options.max_fail,
        "left_out": plan.left_out,
        "changes": journal.as_data(plan.changes),
    }
    path = site_file.expanded(out, "--out")
    atomic_write.made("--out", path.parent)
    try:
        stream = own_files.new(path)
    except FileExistsError:
        raise BadInput(f"--out: {path}: is there already; name another file") from None
    except OSError as error:
        raise BadInput(f"--out: {path}: {error.strerror}") from None
    try:
        with stream:
            stream.write(json.dumps(document, indent=1).encode())
    except OSError as error:
        path.unlink()
        raise BadInput(f"--out: {path}: {error.strerror}; nothing was kept") from None
    session.screen.say(f"The plan is in {path}. To do it:")
    session.screen.say(f"  {INV} apply {shlex.quote(str(path))}", whole=True)


def load(name: str) -> dict[str, Json]:
    """The file's document.  Raises BadInput for anything else than a whole plan."""
    path = site_file.expanded(name, "apply")
    try:
        document = strict_json.loads(own_files.read(path, "the plan"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; {INV} plan --out FILE writes one") from None
    except ValueError as error:
        raise BadInput(
            f"{path}: expected a plan by {INV} plan --out, found no JSON: {error}"
        ) from None
    wanted = {"stackrbd plan", "made", "by", "site", "limit", "changes"}
    if not isinstance(document, dict) or set(document) - set(_LATER) != wanted:
        raise BadInput(f"{path}: expected a plan by {INV} plan --out, found something else")
    if document["stackrbd plan"] != FORMAT:
        found = document["stackrbd plan"]
        raise BadInput(f"{path}: expected format {FORMAT}, found {found!r}; plan anew")
    whole = {**_LATER, **document}
    wrong = [name for name, fits in _FORMS.items() if not fits(whole[name])]
    if wrong:
        raise BadInput(f"{path}: {', '.join(wrong)}: not as {INV} plan --out writes it; plan anew")
    return whole


def left_out(document: dict[str, Json]) -> dict[str, Stop]:
    """{host: why} of those that the plan goes on without, whether they answer now or not."""
    return {host: Unreachable(host=host, found=why) for host, why in document["left_out"].items()}


def site_of(document: dict[str, Json]) -> str:
    """The plan's site file.  Raises BadInput ('stale') where it was changed since."""
    path = Path(document["site"]["file"])
    try:
        same = digest(path) == document["site"]["sha256"]
    except OSError as error:
        raise BadInput(f"{path}: the plan's site file: {error.strerror}") from None
    if not same:
        raise BadInput(f"stale: {path} was changed since the plan was made; plan anew")
    return str(path)
