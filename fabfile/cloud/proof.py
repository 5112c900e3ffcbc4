"""The proof: an instance on a compute writes to a volume, and Ceph has seen it.

Knows the order of what a user does, and asks Ceph, by the caller's callable, whether it was
really there. Changes no configuration, and leaves nothing behind: everything is named
stackrbd-proof-RUN-... and carries a mark, and is deleted in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from fabfile.cloud.checks import Check, Checks, Say
from fabfile.cloud.connection import Cloud
from fabfile.cloud.leftovers import PREFIX, Leftovers
from fabfile.cloud.rbd import Ceph
from fabfile.cloud.user import ProofSettings, User, placed
from fabfile.cloud.volume_backups import Backups
from fabfile.core.contract import Unproved

if TYPE_CHECKING:
    from openstack.block_storage.v3.volume import Volume
    from openstack.compute.v2.server import Server
    from openstack.image.v2.image import Image


def prove(connection: Cloud, settings: ProofSettings, ceph: Ceph, say: Say) -> list[Check]:
    """Prove it on every compute of the settings; delete all, come what may.

    ceph(kind, volume id): the answer as rbd.parse() gives it. A check that failed is in
    the list (see checks.require); later checks that need it are left out. Ctrl-C cleans up
    and goes on as KeyboardInterrupt.
    """
    checks = Checks(say, about=settings.about)
    run = _Proof(User(connection, settings), settings, ceph, checks.check)
    sweep = Leftovers(connection, settings.timeout, say).sweep
    checks.check("what earlier proofs left is gone", partial(sweep, PREFIX))
    try:
        run.all()
    except KeyboardInterrupt:
        say("proof: interrupted; deleting what it made")
        raise
    finally:
        own = f"{PREFIX}{settings.run_id}-"
        checks.finish("everything is deleted again", partial(sweep, own))
    return checks.all


class _Proof:
    """One run; its methods answer a sentence or raise."""

    def __init__(
        self,
        user: User,
        settings: ProofSettings,
        ceph: Ceph,
        check: Callable[[str, Callable[[], str]], bool],
    ) -> None:
        self.user = user
        self.settings = settings
        self.ceph = ceph
        self.check = check
        self.image: Image
        self.volumes: dict[str, Volume] = {}
        self.servers: dict[str, Server] = {}
        self.used: dict[str, int] = {}

    def all(self) -> None:
        """Every check in its order; a chain ends where one of it fails."""
        first, size = self.settings.volume_type, self.settings.size
        if not self.check("an image in Glance", self.make_image):
            return
        for name in self.settings.computes:
            self.check(f"{name}: an instance is asked for", partial(self.boot, name))
        self.check(f"a clone of the image as {first} volume", self.make_clone)
        for store in self.settings.stores:
            what = f"an image in store {store}, and a clone of it as {first} volume"
            self.check(what, partial(self.make_in_store, store))
        if self.settings.backups:
            backups = Backups(self.user, self.settings, self.ceph)
            # The generator stops at the first that fails.
            all(self.check(text, act) for text, act in backups.steps())
        for name in self.settings.computes:
            if name in self.servers:
                self.prove_on(name, size)
            size = 1

    def prove_on(self, name: str, size: int) -> None:
        """The chain of one compute."""
        guest = self.settings.guest
        kind = self.settings.volume_type
        steps: list[tuple[str, Callable[[str], str]]] = [
            (f"a {kind} volume of {size} GiB", lambda n: self.make_volume(n, size)),
            ("the instance is up", self.wait_up),
            ("Nova attaches the volume", self.attach),
            *([("the guest writes and reads back", self.wait_wrote)] if guest else []),
            ("Ceph names the hypervisor as watcher", self.watched),
            *([("the data is in Ceph", self.rose)] if guest else []),
            ("the volume is free again", self.detach if guest else self.remove),
        ]
        # The generator stops at the first that fails.
        all(self.check(f"{name}: {text}", partial(act, name)) for text, act in steps)

    def make_image(self) -> str:
        """Find the image of the settings, or upload the guest; say where it lies."""
        self.image = self.user.image()
        return placed(self.image, self.settings.store)

    def make_volume(self, name: str, size: int) -> str:
        """An empty volume, and what Ceph says that it holds before any write."""
        volume = self.user.volume(f"volume-{name}", size)
        self.volumes[name] = volume
        self.used[name] = self.ceph("used", volume.id)
        return f"volume {volume.id} is available; {self.used[name]} bytes used"

    def make_clone(self) -> str:
        """A volume from the image; Ceph must name the image as its parent."""
        return made_of(self.user.clone("clone", self.image), self.image, self.ceph, self.settings)

    def make_in_store(self, store: str) -> str:
        """A small image there, and a volume from it; Ceph must name the image as its parent."""
        user = self.user.in_store(store)
        image = user.seed(f"image-{store}")
        told = placed(image, store)
        return f"{told}; {cloned(user.clone(f'clone-{store}', image), image, self.ceph)}"

    def boot(self, name: str) -> str:
        """Ask for an instance on this compute and no other."""
        node = self.user.ready(name).name
        server = self.user.boot(f"server-{name}", node, image_id=self.image.id)
        self.servers[name] = server
        return f"server {server.id} is to run on {node}"

    def wait_up(self, name: str) -> str:
        """It runs."""
        server = self.user.up(self.servers[name], name)
        return f"server {server.id} runs on {server.hypervisor_hostname or name}"

    def attach(self, name: str) -> str:
        """Nova attaches the volume."""
        server, volume = self.servers[name], self.volumes[name]
        self.user.attach(server, volume, name)
        return f"volume {volume.id} is attached to server {server.id}"

    def wait_wrote(self, name: str) -> str:
        """The guest's own line, with the digest of what it wrote."""
        return self.user.console(self.servers[name], "read back equal", bad=": DIFFERENT").strip()

    def watched(self, name: str) -> str:
        """While it is attached, the hypervisor watches the image in Ceph."""
        volume = self.volumes[name]
        return f"volume {volume.id} is watched by {', '.join(watchers(volume, name, self.ceph))}"

    def rose(self, name: str) -> str:
        """What the guest wrote is counted in the pool."""
        return risen(self.volumes[name], self.used[name], self.ceph)

    def detach(self, name: str) -> str:
        """Detach while the instance runs, as a user would."""
        self.user.detach(self.servers[name], self.volumes[name])
        return f"volume {self.volumes[name].id} is detached"

    def remove(self, name: str) -> str:
        """Not our guest: it may not let go of a disk; without it the disk is free."""
        self.user.delete_server(self.servers[name], self.volumes[name])
        return f"volume {self.volumes[name].id} is free"


# What Ceph must say


def made_of(volume: Volume, image: Image, ceph: Ceph, settings: ProofSettings) -> str:
    """A sentence where the volume is of the image as it should be; else Unproved."""
    if settings.clones:
        return cloned(volume, image, ceph)
    return f"volume {volume.id} is a copy: no store is in its cluster"


def cloned(volume: Volume, image: Image, ceph: Ceph) -> str:
    """A sentence where Ceph names the image as the volume's parent; else Unproved."""
    parent = ceph("parent", volume.id)
    if image.id not in parent:
        raise Unproved(
            f"ceph: volume {volume.id}: expected a clone of image {image.id}, "
            f"found {parent or 'no parent'}: Cinder copied it; see that the image "
            "is raw and in RBD, that Glance shows its location "
            "(show_image_direct_url), and that volumes may read the images' pool"
        )
    return f"volume {volume.id} is a clone of {parent}"


def watchers(volume: Volume, where: str, ceph: Ceph) -> list[str]:
    """Who watches an attached volume; Unproved if nobody does."""
    found = ceph("watchers", volume.id)
    if not found:
        raise Unproved(
            f"ceph: volume {volume.id} is attached on {where} and nobody watches "
            "it; expected the hypervisor's client; see the disk in `virsh dumpxml`"
        )
    return found


def risen(volume: Volume, before: int, ceph: Ceph) -> str:
    """A sentence where a volume uses more bytes than before; else Unproved."""
    now = ceph("used", volume.id)
    if now <= before:
        raise Unproved(
            f"ceph: volume {volume.id}: expected more than {before} "
            f"bytes used after the guest wrote, found {now}; see whether this is "
            "the pool that the volume type's backend writes to"
        )
    return f"volume {volume.id} uses {now} bytes, before {before}"
