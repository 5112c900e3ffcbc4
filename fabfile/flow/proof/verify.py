"""verify: the source's own confirmation on the site's cloud, and the canary on its computes.

Brings together the cloud's side (fabfile/cloud) and what Ceph says of each volume.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from invoke import Context

from fabfile.adopt import guest as means
from fabfile.cloud import canary as flights
from fabfile.cloud import offered, proof, rbd
from fabfile.cloud.checks import Check
from fabfile.cloud.dependents import Expected
from fabfile.cloud.user import ProofSettings
from fabfile.core import site_file
from fabfile.core.contract import BadInput, Facts, Failed, Interrupted, Json, Read, Stop, Unproved
from fabfile.core.journal import Journal
from fabfile.core.text import few, hung
from fabfile.flow import gather, interrupts
from fabfile.flow import limit as limits
from fabfile.flow.proof import guest, parents
from fabfile.flow.session import Options, Session, open_session
from fabfile.model import releases
from fabfile.model.deployment import Backend
from fabfile.model.site import Site
from fabfile.model.site_tables import MOST_AT_ONCE
from fabfile.report import canary as told
from fabfile.resources import guest_kernel


def prove(context: Context, options: Options) -> int:
    """Runs the proof and prints its checks.

    Raises Unproved naming the first thing that did not work; all that was made for
    the proof is removed in any case.
    """
    with open_session(context, options, "verify") as session:
        record = Journal(session.id, site=session.site.name, task="verify")
        try:
            refuse_without_means(session, "verify")
            # The lock: what it finds of another proof is then dead, and may be removed.
            with session.locked():
                refuse_absent(session, "verify")
                found = [
                    check
                    for backend in proved(session.site)
                    for check in proof.prove(
                        session.connection(),
                        _settings(session, backend, _computes(session)),
                        partial(_ceph, session, backend),
                        lambda text: session.screen.step("verify", text),
                    )
                ]
                _report(session, record, found)
            record.event("ended", code=0)
        except Stop as stop:
            record.event("ended", code=stop.code, why=str(stop))
            raise
    return 0


def _report(session: Session, record: Journal, found: Sequence[Check]) -> None:
    """Shows and records each check.  Raises Unproved where one failed."""
    for check in found:
        record.event("proof", **asdict(check))
        word = "ok" if check.ok else "NOT"
        label = f"  {word:<4}{check.seconds:6.1f} s  "
        columns = session.screen.columns
        session.screen.say_all(hung(label, f"{check.name}: {check.detail}", columns))
    session.screen.json({"site": session.site.name, "checks": [asdict(c) for c in found]})
    if died := sum(not check.ok for check in found):
        raise Unproved(
            f"{died} of {len(found)} checks failed; see the lines above that begin with NOT"
        )
    _say_proved(session, found)


def _say_proved(session: Session, found: Sequence[Check]) -> None:
    """The verdict where all passed; a Stop is that of what failed."""
    session.screen.say(f"Proved: {len(found)} of {len(found)} checks")


# The canary


def canary(context: Context, options: Options, sample: str, at_once: str) -> int:
    """Flies the canary on the computes of --limit, or some of them, under the site's lock."""
    with open_session(context, options, "verify") as session:
        refuse_without_means(session, "verify --canary")
        refuse_kernel(session)
        here = _computes(session)
        computes = limits.sampled(here, sample, session.id)
        number = _at_once(at_once) if at_once else session.site.verify.at_once
        with session.locked():
            record = Journal(session.id, site=session.site.name, task="verify", limit=options.limit)
            record.on_event = session.screen.on_event
            try:
                refuse_absent(session, "verify --canary")
                found = run_canary(
                    session, record, computes, here, number, expected=dependents(session)
                )
            except Stop as stop:
                record.event("ended", code=stop.code, why=str(stop))
                raise
            died = failures(found)
            why = {"why": died} if died else {}
            record.event("ended", code=Unproved.code if died else 0, **why)
        _recap(session, found)
    return 0


def run_canary(  # noqa: PLR0913, PLR0917 (what a flight is)
    session: Session,
    record: Journal,
    computes: Sequence[str],
    targets: Sequence[str],
    at_once: int,
    makes_types: bool = False,
    expected: Expected | None = None,
) -> list[Check]:
    """The canary's checks, shown and recorded as they end; without computes, the storage's.

    Each backend is proved in its turn.  makes_types: whether one whose type is not there yet has a
    private one made for the time; expected: what is right where something is deleted that has a
    clone; None leaves that out.

    Raises Interrupted, Unreachable or BadInput; a check that failed is in the list.
    """
    stopping, asking = threading.Event(), threading.Lock()

    def raise_if_stopped() -> None:
        if stopping.is_set():
            raise Interrupted("interrupted; what the canary made is removed")

    def ceph(backend: Backend, kind: str, volume: str) -> Json:
        with asking:
            return _ceph(session, backend, kind, volume)

    def clear(backend: Backend, kind: str, parent: str, clone: str) -> str:
        with asking:
            return parents.clear(session, backend, kind, parent, clone)

    def keep(check: Check) -> None:
        record.event("proof", **asdict(check))
        text = f"{check.seconds:6.1f} s  {told.step(asdict(check))}: {check.detail}"
        show = session.screen.done if check.ok else session.screen.step
        show(check.host or "canary", text if check.ok else f"FAILED {text}")

    say = session.screen.say
    with (
        interrupts.finishing(stopping.set, say, session.screen.leave),
        session.screen.at_work("canary", dict.fromkeys(computes, 1)) as on_progress,
    ):

        def show_progress(check: Check) -> None:
            keep(check)
            if check.host and not check.ok:
                on_progress(check.host, "failed")
            elif check.host and check.last:
                on_progress(check.host, "done")

        listener = flights.Listener(show_progress, say, raise_if_stopped)
        found: list[Check] = []
        for backend in proved(session.site):
            made = backend.name if makes_types else ""
            # What a clone keeps from being deleted is the release's matter, and no backend's.
            settings = _settings(session, backend, computes)
            dependent = expected if settings.clones else None
            expected = None if settings.clones else expected
            flight = flights.Flight(
                tuple(targets), at_once, made, dependent, partial(clear, backend)
            )
            found += flights.prove(
                session.connection, settings, flight, partial(ceph, backend), listener
            )
        return found


def dependents(session: Session) -> Expected:
    """What this site's release answers; nothing is expected where the packages do not tell it."""
    table = _release(session)
    return (
        Expected(table["clones"], session.site.clone_v2)
        if table
        else Expected(v2=session.site.clone_v2)
    )


def _release(session: Session) -> releases.Table | None:
    """The table of the site's release; None where the packages do not tell it."""
    site = session.site
    asked = {host: [releases.READ] for host in site.with_role("glance", "cinder")}
    answers = session.ask(asked) if asked else {}
    try:
        return releases.choose(site, Facts(answers), site_file.releases()).table
    except BadInput:
        return None


def refuse_kernel(session: Session) -> None:
    """Raises BadInput for a guest that this release's Nova would not migrate."""
    if files := guest.marked(session.site):
        why = guest_kernel.refusal(files, (_release(session) or {}).get("nova", {}))
        if why:
            raise why


def _recap(session: Session, found: Sequence[Check]) -> None:
    """What it came to, by step.  Raises Unproved where a check failed."""
    checks = [asdict(check) for check in found]
    for one in told.steps(checks):
        times = (
            f"median {one['median']:.1f} s, longest {one['slowest']:.1f} s on {one['on']}"
            if one["on"]
            else "nowhere"
        )
        session.screen.say(
            f"  {one['computes'] - len(one['failed'])} of {one['computes']}  {one['step']}: {times}"
        )
    session.screen.json({"site": session.site.name, "checks": checks})
    died = failures(found)
    if died:
        raise Unproved(f"the canary died:\n  {died}")
    _say_proved(session, found)


def failures(found: Sequence[Check]) -> str:
    """The checks that failed, a line each; '' where all passed."""
    return "\n  ".join(f"{check.name}: {check.detail}" for check in found if not check.ok)


def _at_once(word: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", word) or not 1 <= int(word) <= MOST_AT_ONCE:
        raise BadInput(f"--at-once: expected 1 to {MOST_AT_ONCE}, found {word!r}")
    return int(word)


def _computes(session: Session) -> list[str]:
    return [host.name for host in session.site.with_role("compute") if host.name in session.limited]


# What both need

_MOST_NAMED = 10
"""Flavors, or images, that a refusal names."""
_CONTENT_SECONDS = 900
"""All bytes of a volume of 1 GiB, of a cluster that is slow."""


def proved(site: Site) -> list[Backend]:
    """The backends that are proved: those of which a volume can be asked for, by its type."""
    return [one for one in site.cinder.all if one.volume_type]


def refuse_without_means(session: Session, what: str) -> None:
    """Raises BadInput where the site file does not say with what to prove anything."""
    site = session.site
    if not site.cloud or not proved(site):
        raise BadInput(f"{what}: expected `cloud` and cinder.volume_type in {session.path}")
    if not site.verify.guest and not site.verify.image:
        raise BadInput(
            f"{what}: expected in [verify] of {session.path} an `image` (its name) or a `guest` (a "
            f"folder), found neither; fill in one of them, and a `flavor` that the cloud has "
            f"({site.verify.flavor} where none is said): docs/verify.md"
        )


def refuse_absent(session: Session, what: str) -> None:
    """Raises BadInput where the cloud has not the flavor or image that the site file names."""
    wanted, cloud = session.site.verify, session.connection()
    lacking = offered.lacking(cloud, wanted.flavor, wanted.image)
    if not lacking:
        return
    try:
        there = offered.read(cloud)
    except Failed:  # what is lacking is known already
        there = {"flavors": [], "images": []}
    names = {"flavor": means.flavors(there), "image": means.images(there)}
    raise BadInput(
        "\n".join(
            f"{what}: {session.path}: verify.{kind}: {getattr(wanted, kind)!r}: {fault}; expected "
            f"one of: {few(names[kind], _MOST_NAMED, spare=0) or 'none is there'}"
            for kind, fault in lacking.items()
        )
    )


def _settings(session: Session, backend: Backend, computes: Sequence[str]) -> ProofSettings:
    site = session.site
    given = site.verify.guest
    folder = site_file.expanded(given, "verify.guest") if given else None
    store = parents.store_of(site, backend)
    mine = [one for one in site.glance.all if one.cluster == backend.cluster]
    first = next(one for one in proved(site) if one.cluster == backend.cluster)
    return ProofSettings(
        volume_type=str(backend.volume_type),
        flavor=site.verify.flavor,
        computes=tuple(computes),
        run_id=session.id.rsplit("-", 1)[1],
        size=site.verify.size,
        image=site.verify.image,
        guest_kernel=folder / "vmlinuz" if folder else None,
        guest_initrd=folder / "initrd" if folder else None,
        guest_disk=folder / "disk.raw" if folder else None,
        store=store.name,
        stores=tuple(one.name for one in mine if one != store and backend == first),
        about=backend.name if len(site.cinder.all) > 1 else "",
        clones=bool(mine),
        backups=site.cinder.backup.pool if site.cinder.backup else "",
    )


def _ceph(session: Session, backend: Backend, kind: str, volume: str) -> Json:
    """What Ceph says of a volume: its parent, its watchers, its used bytes, its snapshots.

    Of its content, the SHA-256; of a backup's image its name, '' where it is not there.
    """
    site, backup = session.site, session.site.cinder.backup
    of_backup = kind == rbd.BACKUP and backup is not None
    part = site.part(backup.cluster if backup and of_backup else backend.cluster)
    template = rbd.questions(part.cluster.rbd, backend.pool, backup.pool if backup else "")[kind]
    argv = [word.replace("{}", volume) for word in template]
    client = backup.client if backup and of_backup else backend.client
    argv += ["--id", client] if part.is_supplied else []
    admin = site.host(part.admin.name)
    read = Read("rbd", "argv", {"argv": argv, "ok": [0, rbd.NOT_THERE]})
    if kind == rbd.CONTENT:
        read = Read("rbd", "digest", {"argv": argv, "timeout": _CONTENT_SECONDS})
    elif kind != rbd.BACKUP:
        read = Read("rbd", "argv", {"argv": argv})
    deadline = _CONTENT_SECONDS if kind == rbd.CONTENT else gather.DEADLINE
    found = session.ask({admin: [read]}, deadline).get(admin.name)
    if not found:
        raise Failed(f"{admin.name}: no answer to {' '.join(argv)}")
    if kind == rbd.CONTENT:
        return found["rbd"]["sha256"]
    return "" if found["rbd"]["code"] else rbd.parse(kind, found["rbd"]["out"])
