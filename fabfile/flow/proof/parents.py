"""What the canary's deleted parents leave in the pools once their clones are gone, taken away.

Cinder from 2024.1 on keeps a volume that had a clone for ever, and Glance from 2023.2 on leaves an
image that had one in the trash (docs/clones.md).  Nothing goes but what bears the UUID of a thing
that this proof itself made and deleted, and only when Ceph says that no clone needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fabfile.audit import rbd_images
from fabfile.audit.compare import DELETED
from fabfile.audit.deleted_parents import Words
from fabfile.core.contract import (
    INV,
    Change,
    Failed,
    Interrupted,
    Json,
    Locked,
    Message,
    Read,
    Stop,
)
from fabfile.flow.executor import DEADLINE, as_step
from fabfile.flow.session import Session
from fabfile.flow.terminal import outcomes
from fabfile.model.deployment import Backend, Store
from fabfile.model.phases import Phase
from fabfile.model.site import Site


def clear(session: Session, backend: Backend, kind: str, parent: str, clone: str) -> str:
    """Takes away what is left of a parent, under the site's lock; '' where nothing is.

    backend: the one whose volumes they are; kind: 'volume' or 'image'; parent, clone: the UUIDs of
    what was made.  What stays is said.  Raises Interrupted.
    """
    part = session.site.part(backend.cluster)
    try:
        if kind == "volume":
            return _volume(session, part, backend.pool, parent, clone)
        store = store_of(session.site, backend)
        return _image(session, session.site.part(store.cluster), store.pool, parent)
    except Interrupted:
        raise
    except Stop as stop:
        return f"what is left of it stays: {' '.join(str(stop).split())} ({INV} reconcile)"


def store_of(site: Site, backend: Backend) -> Store:
    """Where the image is of which a backend's volumes are made: of its own cluster, if may be."""
    default = site.glance.default
    mine = [one for one in site.glance.all if one.cluster == backend.cluster]
    return next((one for one in mine if one == default), (*mine, default)[0])


def _volume(session: Session, part: Site, pool: str, parent: str, clone: str) -> str:
    cluster = part.cluster
    name = f"volume-{parent}{DELETED}"
    spec = f"{pool}/{name}"
    answers = _ask(session, part, rbd_images.of_an_orphan(cluster, pool, name))
    deeds, why = rbd_images.taken_away(spec, f"volume-{clone}.clone_snap", answers)
    if why:
        return f"{spec} stays: {why} ({INV} reconcile)"
    if not deeds:
        return ""
    _do(session, part, name, deeds)
    return f"{spec}, which Cinder kept, is removed"


def _image(session: Session, part: Site, pool: str, parent: str) -> str:
    cluster = part.cluster
    listed = Read("trash", "lines", {"argv": rbd_images.trash_of(cluster, pool)})
    found = rbd_images.trash_ids(_answers(session, part, [listed])["trash"], parent)
    if not found:
        return ""
    if len(found) > 1:
        return f"{parent} is {len(found)} times in the trash of {pool}: it stays ({INV} reconcile)"
    asked = {"clones": (rbd_images.of_trash(cluster, pool, found[0]), rbd_images.NOT_THERE)}
    clones = rbd_images.clones_of_trash(_ask(session, part, asked)["clones"])
    if clones != 0:
        why = "its clones were not told" if clones is None else f"{clones} clones need it"
        return f"{parent} stays in the trash of {pool}: {why} ({INV} reconcile)"
    _do(session, part, parent, [("trash", "rm", "--no-progress", f"{pool}/{found[0]}")])
    return f"{parent}, which Glance left in the trash of {pool}, is removed"


def _ask(
    session: Session, part: Site, asked: Mapping[str, tuple[list[str], Sequence[int]]]
) -> dict[str, Json]:
    reads = [
        Read(name, "argv", {"argv": argv, "ok": list(ok)}) for name, (argv, ok) in asked.items()
    ]
    return _answers(session, part, reads)


def _answers(session: Session, part: Site, reads: Sequence[Read]) -> dict[str, Json]:
    admin = session.site.host(part.admin.name)
    return session.ask({admin: reads})[admin.name]


def _do(session: Session, part: Site, name: str, deeds: Sequence[Words]) -> None:
    """One trip.  Raises Failed where one of them did not work."""
    admin, rbd = part.admin.name, part.cluster.rbd
    steps = [as_step(at, _change(admin, name, rbd(*words))) for at, words in enumerate(deeds)]
    faults: list[Stop] = []

    def on_message(host: str, message: Message) -> None:
        if message["t"] == "busy":
            faults.append(Locked(host=host, found=f"{message['who']} is at work there"))
        elif message["t"] in ("failed", "refused"):
            faults.append(Failed(host=host, subject=name, found=str(message["why"])))

    work = {
        **session.under_lock,
        "run": _RUN,
        "deadline": DEADLINE,
        "ways": part.cluster.platform.ways,
        "log": True,
        "prunes": False,
        "steps": steps,
        "then": [],
    }
    with session.finishing():
        cut = session.engine.apply({admin: work}, on_message)
    session.fleet.conversations.raise_if_stopped()
    faults += [Failed(host=host, subject=name, found=str(why)) for host, why in cut.items()]
    if faults:
        raise outcomes.worst({admin: faults[0]})


def _change(host: str, name: str, argv: list[str]) -> Change:
    return Change(
        host,
        f"proof {name}",
        "what the canary left",
        "-",
        "run",
        {"argv": argv, "timeout": _SECONDS},
        Phase.CLUSTER,
        kind="proof",
        subject=name,
        stays="the canary made it",
    )


_SECONDS = 120
"""A volume of 1 GiB without data."""
_RUN = "1970-01-01T00-00-00Z-0000"
"""The name under which a host keeps these steps: one, and the oldest, for a host keeps some runs
alone, and a canary a day would push out those that can be taken back."""
