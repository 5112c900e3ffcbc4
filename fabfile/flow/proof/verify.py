"""verify: the source's own confirmation on the site's cloud, and the canary on its computes.

Brings together the cloud's side (fabfile/cloud) and what Ceph says of each volume.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fabfile.core import site_file
from fabfile.core.contract import BadInput, Failed, Interrupted, Read, Stop, Unproved
from fabfile.core.journal import Journal
from fabfile.flow import interrupts
from fabfile.flow import limit as limits
from fabfile.flow.converge import Options, Run
from fabfile.model.site import MOST_AT_ONCE
from fabfile.report import canary as told


def prove(context: Any, site: str, limit: str, as_json: bool) -> int:
    """Runs the proof and prints its checks.

    Raises Unproved naming the first thing that did not work; all that was made for
    the proof is removed in any case.
    """
    from fabfile.cloud import proof  # noqa: PLC0415

    with Run(context, Options(site=site, limit=limit, json=as_json), "verify") as run:
        record = Journal(run.id, site=run.site.name, task="verify")
        try:
            refuse_without_means(run.site, "verify")
            # The lock: what it finds of another proof is then dead, and may be removed.
            with run.locked():
                _report(
                    run,
                    record,
                    proof.prove(
                        run.connection(),
                        _settings(run, _computes(run)),
                        lambda kind, volume: _ceph(run, kind, volume),
                        lambda text: run.screen.step("verify", text),
                    ),
                )
            record.event("ended", code=0)
        except Stop as stop:
            record.event("ended", code=stop.code, why=str(stop))
            raise
    return 0


def _report(run: Run, record: Journal, found: Sequence[Any]) -> None:
    """Shows and records each check.  Raises Unproved where one failed."""
    for check in found:
        record.event("proof", **asdict(check))
        word = "ok" if check.ok else "NOT"
        run.screen.say(f"  {word:<4}{check.seconds:6.1f} s  {check.name}: {check.detail}")
    run.screen.json({"site": run.site.name, "checks": [asdict(c) for c in found]})
    if not all(check.ok for check in found):
        raise Unproved("the proof failed; see the lines above that begin with NOT")


# The canary


def canary(context: Any, options: Options, sample: str, at_once: str) -> int:
    """Flies the canary on the computes of --limit, or some of them, under the site's lock."""
    with Run(context, options, "verify") as run:
        refuse_without_means(run.site, "verify --canary")
        here = _computes(run)
        computes = limits.sampled(here, sample, run.id)
        number = _at_once(at_once) if at_once else run.site.verify.at_once
        with run.locked():
            record = Journal(run.id, site=run.site.name, task="verify", limit=options.limit)
            record.heard = run.screen.heard
            try:
                found = fly(run, record, computes, here, number)
            except Stop as stop:
                record.event("ended", code=stop.code, why=str(stop))
                raise
            died = failures(found)
            why = {"why": died} if died else {}
            record.event("ended", code=Unproved.code if died else 0, **why)
        _recap(run, found)
    return 0


def fly(  # noqa: PLR0913, PLR0917 (what a flight is)
    run: Run,
    record: Journal,
    computes: Sequence[str],
    targets: Sequence[str],
    at_once: int,
    backend: str = "",
) -> list[Any]:
    """The canary's checks, shown and recorded as they end; without computes, the storage's.

    Raises Interrupted, Unreachable or BadInput; a check that failed is in the list.
    """
    from fabfile.cloud.canary import Flight, Listener, prove  # noqa: PLC0415

    stopping, asking = threading.Event(), threading.Lock()

    def go_on() -> None:
        if stopping.is_set():
            raise Interrupted("interrupted; what the canary made is removed")

    def ceph(kind: str, volume: str) -> Any:
        with asking:
            return _ceph(run, kind, volume)

    def hear(check: Any) -> None:
        record.event("proof", **asdict(check))
        text = f"{check.seconds:6.1f} s  {told.step(asdict(check))}: {check.detail}"
        show = run.screen.done if check.ok else run.screen.step
        show(check.host or "canary", text if check.ok else f"FAILED {text}")

    say = run.screen.say
    with (
        interrupts.finishing(stopping.set, say, run.screen.leave),
        run.screen.at_work("canary", dict.fromkeys(computes, 1)) as on_screen,
    ):

        def heard(check: Any) -> None:
            hear(check)
            if check.host and not check.ok:
                on_screen(check.host, "failed")
            elif check.host and check.last:
                on_screen(check.host, "done")

        flight = Flight(tuple(targets), at_once, backend)
        listener = Listener(heard, say, go_on)
        return prove(run.connection, _settings(run, computes), flight, ceph, listener)


def _recap(run: Run, found: Sequence[Any]) -> None:
    """What it came to, by step.  Raises Unproved where a check failed."""
    checks = [asdict(check) for check in found]
    for one in told.steps(checks):
        times = (
            f"median {one['median']:.1f} s, longest {one['slowest']:.1f} s on {one['on']}"
            if one["on"]
            else "nowhere"
        )
        run.screen.say(
            f"  {one['computes'] - len(one['failed'])} of {one['computes']}  {one['step']}: {times}"
        )
    run.screen.json({"site": run.site.name, "checks": checks})
    died = failures(found)
    if died:
        raise Unproved(f"the canary died:\n  {died}")


def failures(found: Sequence[Any]) -> str:
    """The checks that failed, a line each; '' where all passed."""
    return "\n  ".join(f"{check.name}: {check.detail}" for check in found if not check.ok)


def _at_once(word: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", word) or not 1 <= int(word) <= MOST_AT_ONCE:
        raise BadInput(f"--at-once: expected 1 to {MOST_AT_ONCE}, found {word!r}")
    return int(word)


def _computes(run: Run) -> list[str]:
    return [host.name for host in run.site.with_role("compute") if host.name in run.limited]


# What both need


def refuse_without_means(site: Any, what: str) -> None:
    """Raises BadInput where the site file does not say with what to prove anything."""
    if not site.cloud or not site.cinder.volume_type:
        raise BadInput(f"{what}: expected `cloud` and cinder.volume_type in the site file")
    if not site.verify.guest and not site.verify.image:
        raise BadInput(
            f"{what}: expected verify.image (an image's name) or verify.guest (a folder)"
        )


def _settings(run: Run, computes: Sequence[str]) -> Any:
    from fabfile.cloud.user import ProofSettings  # noqa: PLC0415

    site = run.site
    guest = site_file.expanded(site.verify.guest, "verify.guest") if site.verify.guest else None
    return ProofSettings(
        volume_type=str(site.cinder.volume_type),
        flavor=site.verify.flavor,
        computes=tuple(computes),
        run_id=run.id.rsplit("-", 1)[1],
        size=site.verify.size,
        image=site.verify.image,
        guest_kernel=guest / "vmlinuz" if guest else None,
        guest_initrd=guest / "initrd" if guest else None,
        guest_disk=guest / "disk.raw" if guest else None,
        store=site.glance.store,
    )


def _ceph(run: Run, kind: str, volume: str) -> Any:
    """What Ceph says of a volume: its parent, its watchers, its used bytes, its snapshots."""
    from fabfile.cloud import rbd  # noqa: PLC0415

    template = rbd.questions(run.site.cinder.pool)[kind]
    argv = [word.replace("{}", volume) for word in template]
    admin = run.site.admin
    answers = run.ask({admin: [Read("rbd", "argv", {"argv": argv})]})
    if not answers[admin.name]:
        raise Failed(f"{admin.name}: no answer to {' '.join(argv)}")
    return rbd.parse(kind, answers[admin.name]["rbd"]["out"])
