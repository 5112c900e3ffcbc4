"""report: what was looked at and what was done, for readers: a page, data, JUnit, Prometheus.

Knows which records are told and where the files go; writes nothing on any host.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from fabfile.core import atomic_write, journal, site_file
from fabfile.core.contract import INV, BadInput
from fabfile.doctor import checks, secret_holders
from fabfile.flow import history
from fabfile.flow.inspect import survey
from fabfile.flow.session import Options, Session, open_session
from fabfile.report import document as documents
from fabfile.report.junit import junit
from fabfile.report.metrics import metrics
from fabfile.report.shapes import Document, Run
from fabfile.version import __version__

MOST_RUNS, MOST_WITH_STEPS = 60, 10
"""Runs that are told, and those of them whose plans are."""
OWN, READABLE = 0o600, 0o644
"""Modes: of what is for the operator alone; of what the exporter, another user, reads."""


def report(context: Any, options: Options, out: str, prom: str) -> int:
    """Looks at the site and writes the files; always 0 where they are written.

    Raises BadInput for a folder that is not fit, before anything is looked at.
    """
    metric = _metric_file(prom) if prom else None
    with open_session(context, options, "report") as session:
        folder = None if prom and not out else _folder(session.site.name, out)
        told = look(session)
        files = {folder / name: text for name, text in texts(told).items()} if folder else {}
        if folder:
            atomic_write.write("--out", files, OWN)
        if metric:
            atomic_write.write("--prom", {metric: metrics(told)}, READABLE)
            files[metric] = ""
        for path in files:
            session.screen.say(f"{path}: written")
        said = "Healthy" if told["healthy"] else "Not healthy"
        session.screen.say(f"{said}: {documents.sentence(told)}; see {INV} doctor")
        session.screen.json(
            {
                "site": session.site.name,
                "healthy": told["healthy"],
                "counts": told["counts"],
                "drift": told["drift"],
                "files": [str(path) for path in files],
            }
        )
    return 0


def look(session: Session) -> Document:
    """The whole document of a site: what is, and what was done."""
    seen = survey.look(session)
    found, plan = checks.findings(session.site, seen)
    rows = secret_holders.table(session.site, seen)
    return {
        **documents.document(session.site, seen, found, rows, plan, session.options.words_of_site),
        "made": time.time(),
        "by": journal.who(),
        "version": __version__,
        "file": str(session.path),
        "runs": runs(session.site.name),
    }


def texts(told: Document) -> dict[str, str]:
    """{file's name: its text} of a document."""
    from fabfile.report.page import page  # noqa: PLC0415 (Jinja is loaded when a page is made)

    return {
        "report.html": page(told),
        "report.json": json.dumps(told, indent=1) + "\n",
        "junit.xml": junit(told),
    }


def runs(site: str) -> list[Run]:
    """The site's newest runs that are recorded here, the newest first.

    The last verify is among them however long ago it was, and so is the last run beside it.
    """
    found: list[Run] = []
    kinds: set[bool] = set()
    with_steps = 0
    for name, events in journal.runs():
        if events[0].get("site") != site:
            continue
        verify = events[0].get("task") == "verify"
        if len(found) >= MOST_RUNS and verify in kinds:
            continue
        planned = journal.read(name)[1] if with_steps < MOST_WITH_STEPS else []
        with_steps += bool(planned)
        found.append(documents.ran(history.summary(name, events), events, planned))
        kinds.add(verify)
        if len(found) >= MOST_RUNS and len(kinds) == 2:
            break
    return found


def _folder(site: str, out: str) -> Path:
    """Where the files go: --out, made where it is not there, else beside the records of runs."""
    if out:
        return atomic_write.made("--out", site_file.expanded(out, "--out"))
    folder = journal.folder().parent / "reports" / site
    try:
        for path in (*reversed(folder.parents[:2]), folder):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: {error.strerror}; name a folder by --out") from None
    return folder


def _metric_file(prom: str) -> Path:
    path = site_file.expanded(prom, "--prom")
    if path.suffix != ".prom":
        raise BadInput(
            f"--prom: {path}: expected a name that ends in .prom: the exporter reads no other"
        )
    atomic_write.made("--prom", path.parent, 0o755)  # the exporter, another user, reads there
    return path
