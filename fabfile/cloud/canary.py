"""The canary: on every compute, what a user's instance needs of Ceph, from boot to migration.

Knows the steps, their order, and how many computes are at it at a time.  It changes no
configuration; what it makes is named and marked as the proof's is, removed as soon as a
compute is through, and swept up in the end, after a failure and an interrupt too.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from fabfile.cloud import rbd, waiting
from fabfile.cloud.checks import Check, Checks
from fabfile.cloud.connection import Cloud
from fabfile.cloud.dependents import END, Clear, Dependents, Expected
from fabfile.cloud.leftovers import PREFIX, Leftovers
from fabfile.cloud.proof import made_of, risen, watchers
from fabfile.cloud.rbd import Ceph
from fabfile.cloud.user import ProofSettings, User, hypervisor, placed
from fabfile.core.contract import Unproved

if TYPE_CHECKING:
    from openstack.block_storage.v3.volume import Volume
    from openstack.compute.v2.hypervisor import Hypervisor
    from openstack.compute.v2.server import Server
    from openstack.image.v2.image import Image

Step = tuple[str, Callable[[], str]]
LAST = "all of it is removed"
MIGRATION = "live migration with the volume attached"


@dataclass(frozen=True)
class Flight:
    """Where the canary goes, besides the settings' computes.

    targets: computes that an instance may migrate to.  at_once: computes at a time.
    backend: where the settings' volume type is not there (yet), a private one of this
    backend is made for the time; '' makes none.  dependents: what is right where something is
    deleted that has a clone; None leaves that out.  clear: takes away what only the pools
    still show of that.
    """

    targets: tuple[str, ...]
    at_once: int
    backend: str = ""
    dependents: Expected | None = None
    clear: Clear = lambda kind, parent, clone: ""  # noqa: E731


@dataclass(frozen=True)
class Listener:
    """Who is told: of each check as it ends; and what raises Interrupted to stop it all."""

    on_check: Callable[[Check], None]
    say: Callable[[str], None]
    raise_if_stopped: waiting.RaiseIfStopped


def prove(
    connect: Callable[[], Cloud],
    settings: ProofSettings,
    flight: Flight,
    ceph: Ceph,
    listener: Listener,
) -> list[Check]:
    """Every check, on every compute of the settings; without computes, of the storage alone.

    connect: makes a connection; each thread has its own.  A check that failed is in the
    list, and ends its compute's chain.  Raises Interrupted, after all is removed.
    """
    connection = connect()
    checks = Checks(lambda text: None, listener.on_check, listener.raise_if_stopped, settings.about)
    leftovers = Leftovers(connection, settings.timeout, listener.say)
    try:
        checks.check("what earlier proofs left is gone", partial(leftovers.sweep, PREFIX))
        _Canary(connect, connection, settings, flight, ceph, listener, checks).all()
    finally:
        own = f"{PREFIX}{settings.run_id}-"
        checks.finish("everything is deleted again", partial(leftovers.sweep, own))
    return checks.all


def destinations(
    names: Sequence[str], targets: Sequence[str], up: Callable[[str], bool]
) -> dict[str, str]:
    """{compute: where its instance migrates to}: the next of the targets that is up, or ''.

    One after the other in a ring, so that no compute takes more than its share.
    """
    found = {}
    for number, name in enumerate(names):
        at = targets.index(name) if name in targets else number
        ring = [*targets[at + 1 :], *targets[: at + 1]]
        found[name] = next((other for other in ring if other != name and up(other)), "")
    return found


class _Canary:
    """One run: what all computes share."""

    def __init__(  # noqa: PLR0913, PLR0917 (what it is made of)
        self,
        connect: Callable[[], Cloud],
        connection: Cloud,
        settings: ProofSettings,
        flight: Flight,
        ceph: Ceph,
        listener: Listener,
        checks: Checks,
    ) -> None:
        self._connect, self._settings, self._flight = connect, settings, flight
        self._ceph, self._listener, self._checks = ceph, listener, checks
        self._user = User(connection, settings, listener.raise_if_stopped)
        self._image: Image
        self._nodes: dict[str, Hypervisor] = {}

    def all(self) -> None:
        """The shared image, then the computes, a few at a time."""
        if not self._checks.check("an image in Glance", self._upload):
            return
        if self._flight.backend and not self._checks.check("a volume type", self._type):
            return
        names = self._settings.computes
        if names and not self._checks.check("Nova knows the computes", self._look):
            return
        to = destinations(names, self._flight.targets, self._up)
        crews: queue.SimpleQueue[Cloud] = queue.SimpleQueue()
        for _ in range(min(self._flight.at_once, len(names) or 1)):
            crews.put(self._connect())
        with ThreadPoolExecutor(self._flight.at_once) as pool:
            works = [
                pool.submit(self._one, crews, name, to.get(name, "")) for name in names or [""]
            ]
            for work in works:
                work.result()
        if self._flight.dependents is not None:
            self._delete_parents(self._flight.dependents)

    def _delete_parents(self, expected: Expected) -> None:
        """Once, whatever the number of computes: Glance's and Cinder's matter alone."""
        connection = self._connect()
        user = User(connection, self._settings, self._listener.raise_if_stopped)
        remove = self._removing(connection, END)
        Dependents(user, self._ceph, expected, remove, self._flight.clear).all(self._checks)

    def _upload(self) -> str:
        self._user.glance_answers()
        self._image = self._user.image()
        return placed(self._image, self._settings.store)

    def _type(self) -> str:
        wanted = self._settings.volume_type
        if self._user.has_type(wanted):
            return f"{wanted} is there"
        made = self._user.volume_type("type", self._flight.backend)
        self._settings = replace(self._settings, volume_type=made)
        return f"{wanted} is not there yet: {made}, a private one, for the time"

    def _look(self) -> str:
        there = self._user.hypervisors()
        for name in {*self._settings.computes, *self._flight.targets}:
            try:
                self._nodes[name] = hypervisor(name, there)
            except Unproved:
                if name in self._settings.computes:
                    raise
        return f"{len(there)} hypervisors"

    def _up(self, name: str) -> bool:
        node = self._nodes.get(name)
        return node is not None and (node.state, node.status) == ("up", "enabled")

    def _one(self, crews: queue.SimpleQueue[Cloud], name: str, to: str) -> None:
        """The chain of one compute, and its end."""
        connection = crews.get()
        user = User(connection, self._settings, self._listener.raise_if_stopped)
        course = _Course(name, user, self._image, self._ceph, self._settings)
        here, there = self._nodes.get(name), self._nodes.get(to)
        try:
            if name and not there:
                self._listener.say(f"{name}: no {MIGRATION}: no other compute may take it")
            steps = course.steps(here, there) if here is not None else course.storage()
            # The generator stops at the first that fails.
            all(self._checks.check(text, act, name) for text, act in steps)
            self._checks.check(LAST, self._removing(connection, _end(name)), name, last=True)
        finally:
            crews.put(connection)

    def _removing(self, connection: Cloud, end: str) -> Callable[[], str]:
        leftovers = Leftovers(connection, self._settings.timeout, self._listener.say)
        own = f"{PREFIX}{self._settings.run_id}-"
        return partial(leftovers.remove, own, end)


class _Course:
    """What is done on one compute; the steps answer a sentence or raise."""

    def __init__(
        self, name: str, user: User, image: Image, ceph: Ceph, settings: ProofSettings
    ) -> None:
        self._name, self._user, self._image = name, user, image
        self._ceph, self._settings = ceph, settings
        self._root: Volume
        self._server: Server
        self._volume: Volume
        self._used = 0
        self._wrote = "\0"

    def storage(self) -> list[Step]:
        """What needs no compute."""
        return [
            ("a volume from the image is its clone", self._clone),
            ("a snapshot of it in RBD", lambda: self._snapshot(self._root)),
        ]

    def steps(self, here: Hypervisor, there: Hypervisor | None) -> list[Step]:
        """All of it, on this hypervisor; there: the one to migrate to, or None."""
        guest = self._settings.guest
        return [
            ("a volume from the image is its clone", self._clone),
            ("an instance boots from it here", partial(self._boot, here)),
            ("a volume is made", self._make),
            ("it is attached", self._attach),
            *([("the guest writes and reads back", self._write)] if guest else []),
            ("Ceph names who watches it", self._watched),
            *([("what was written is in Ceph", self._rose)] if guest else []),
            ("a snapshot of it in RBD", lambda: self._snapshot(self._volume)),
            *([(MIGRATION, partial(self._migrate, there))] if there else []),
            *([("the guest writes there too", self._again)] if there and guest else []),
            *([("it is detached", self._detach)] if guest else []),
        ]

    def _called(self, what: str) -> str:
        return what + _end(self._name)

    def _clone(self) -> str:
        self._root = self._user.clone(self._called("root"), self._image)
        return made_of(self._root, self._image, self._ceph, self._settings)

    def _boot(self, here: Hypervisor) -> str:
        disk = {
            "uuid": self._root.id,
            "source_type": "volume",
            "destination_type": "volume",
            "boot_index": 0,
            "delete_on_termination": False,
        }
        self._user.ready(self._name)
        asked = self._user.boot(self._called("server"), here.name, block_device_mapping=[disk])
        self._server = self._user.up(asked, self._name)
        found = self._server.hypervisor_hostname
        if found != here.name:
            raise Unproved(
                f"nova: server {asked.id}: expected it on {here.name}, found it on {found}; "
                "expected an account that may name the hypervisor (admin)"
            )
        return f"server {asked.id} runs on {found}"

    def _make(self) -> str:
        self._volume = self._user.volume(self._called("volume"), 1)
        self._used = self._ceph("used", self._volume.id)
        return f"volume {self._volume.id} is available; {self._used} bytes used"

    def _attach(self) -> str:
        self._user.attach(self._server, self._volume, self._name)
        return f"volume {self._volume.id} is attached to server {self._server.id}"

    def _write(self) -> str:
        line = self._user.console(
            self._server, "read back equal", bad=": DIFFERENT", but=self._wrote
        )
        self._wrote = line.strip()
        return self._wrote

    def _watched(self) -> str:
        found = watchers(self._volume, self._name, self._ceph)
        return f"volume {self._volume.id} is watched by {', '.join(found)}"

    def _rose(self) -> str:
        return risen(self._volume, self._used, self._ceph)

    def _snapshot(self, volume: Volume) -> str:
        snapshot = self._user.snapshot(self._called("snapshot"), volume)
        name = f"snapshot-{snapshot.id}"
        found = self._ceph("snapshots", volume.id)
        if name not in found:
            raise Unproved(
                f"ceph: volume {volume.id}: expected the snapshot {name}, found "
                f"{', '.join(found) or 'none'}; see that this is the pool of the backend"
            )
        self._user.delete_snapshot(snapshot, volume)
        if name in self._ceph("snapshots", volume.id):
            raise Unproved(f"ceph: volume {volume.id}: {name} is there, and Cinder deleted it")
        return f"{name} of volume {volume.id} was in RBD, and is deleted"

    def _migrate(self, there: Hypervisor) -> str:
        before = rbd.addresses(self._ceph("watchers", self._volume.id))
        source = self._server.hypervisor_hostname
        self._server = self._user.migrate(self._server, there)
        found = self._user.until(
            f"ceph: volume {self._volume.id}: its watchers",
            lambda: self._ceph("watchers", self._volume.id),
            lambda found: found and not before & rbd.addresses(found),
            end=f"expected them on {there.name} alone, and {', '.join(sorted(before))} gone",
        )
        told = ", ".join(sorted(rbd.addresses(found)))
        return f"server {self._server.id} went from {source} to {there.name}; watched by {told}"

    def _again(self) -> str:
        """Off and on again, on the compute that took it: the guest writes to what comes."""
        self._user.detach(self._server, self._volume)
        self._user.attach(self._server, self._volume, self._server.hypervisor_hostname)
        return self._write()

    def _detach(self) -> str:
        self._user.detach(self._server, self._volume)
        return f"volume {self._volume.id} is detached"


def _end(name: str) -> str:
    """How the names end of what is made for a compute; no host's name has this sign."""
    return f"@{name}"
