"""verify: the source's own confirmation, on the site's cloud.

Brings together the cloud's side (fabfile/cloud) and what Ceph says of each volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fabfile.core.contract import BadInput, Failed, Read, Stop, Unproved
from fabfile.core.journal import Journal
from fabfile.flow.converge import Options, Run


def prove(context: Any, site: str, limit: str, as_json: bool) -> int:
    """Runs the proof and prints its checks.

    Raises Unproved naming the first thing that did not work; all that was made for
    the proof is removed in any case.
    """
    from fabfile.cloud import proof  # noqa: PLC0415

    with Run(context, Options(site=site, limit=limit, json=as_json), "verify") as run:
        record = Journal(run.id, site=run.site.name, task="verify")
        try:
            if not run.site.cloud or not run.site.cinder.volume_type:
                raise BadInput("verify: expected `cloud` and cinder.volume_type in the site file")
            _report(run, record, proof.prove(
                run.connection(),
                _settings(run, record.id),
                lambda kind, volume: _ceph(run, kind, volume),
                lambda text: run.screen.step("verify", text),
            ))  # fmt: skip
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


def _settings(run: Run, run_id: str) -> Any:
    from fabfile.cloud.user import ProofSettings  # noqa: PLC0415

    site = run.site
    guest = Path(site.verify.guest).expanduser() if site.verify.guest else None
    if not guest and not site.verify.image:
        raise BadInput("verify: expected verify.image (an image's name) or verify.guest (a folder)")
    return ProofSettings(
        volume_type=str(site.cinder.volume_type),
        flavor=site.verify.flavor,
        computes=tuple(h.name for h in site.with_role("compute") if h.name in run.limited),
        run_id=run_id.rsplit("-", 1)[1],
        size=site.verify.size,
        image=site.verify.image,
        guest_kernel=guest / "vmlinuz" if guest else None,
        guest_initrd=guest / "initrd" if guest else None,
        guest_disk=guest / "disk.raw" if guest else None,
        store=site.glance.store,
    )


def _ceph(run: Run, kind: str, volume: str) -> Any:
    """What Ceph says of a volume: its parent, its watchers, its used bytes."""
    from fabfile.cloud import rbd  # noqa: PLC0415

    template = rbd.questions(run.site.cinder.pool)[kind]
    argv = [word.replace("{}", volume) for word in template]
    admin = run.site.admin
    answers = run.ask({admin: [Read("rbd", "argv", {"argv": argv})]})
    if not answers[admin.name]:
        raise Failed(f"{admin.name}: no answer to {' '.join(argv)}")
    return rbd.parse(kind, answers[admin.name]["rbd"]["out"])
