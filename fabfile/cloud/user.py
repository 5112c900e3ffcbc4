"""What a user of the cloud does: uploads an image, makes volumes, boots, attaches, looks.

Knows the APIs of Glance, Cinder and Nova as their users see them.  Each act waits for its
end and names and marks what it makes, so that leftovers finds it.
"""

from __future__ import annotations

import copy
import io
import math
import shlex
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from fabfile.cloud import waiting
from fabfile.cloud.connection import Cloud
from fabfile.cloud.leftovers import MARK, PREFIX
from fabfile.cloud.volume_types import ALL
from fabfile.core.contract import INV, Json, Unproved

if TYPE_CHECKING:
    from openstack.block_storage.v3.backup import Backup
    from openstack.block_storage.v3.snapshot import Snapshot
    from openstack.block_storage.v3.volume import Volume
    from openstack.compute.v2.flavor import Flavor
    from openstack.compute.v2.hypervisor import Hypervisor
    from openstack.compute.v2.server import Server
    from openstack.compute.v2.server_action import ServerAction
    from openstack.image.v2.image import Image
    from requests import Response

T = TypeVar("T")
_GIB = 1024**3
_SEED = 1024**2
_CONSOLE_LINES = 60
GUEST = "stackrbd-guest:"
"""How a line begins that our guest prints on its console."""
HEARD = 90
"""Seconds after which Nova hears a nova-compute that lives: it tells so every 10."""
_UNHEARD = "Service not found"
"""What a backup failed of whose cinder-backup is up, and has not told the scheduler of itself yet.

It does so once a minute (cinder/scheduler/manager.py and host_manager.py, since Victoria).
"""


@dataclass(frozen=True)
class ProofSettings:
    """What to prove and with what.

    size: GiB of the volume for the first compute; further computes get 1 GiB each.
    image: name of an existing image; None: the guest of the three paths is uploaded.
    computes: names of hypervisors (or of nova-compute's hosts).
    store: Glance's store; None: its default, which must not be files.  stores: more of them, into
    which an image is put and cloned from.
    timeout: seconds that any single wait may take with nothing that moves.
    about: the backend that is proved, where there are several; '' otherwise.  clones: whether a
    volume is a clone of its image; of another cluster's, Cinder makes a copy.
    backups: the pool into which cinder-backup writes; '' proves no backup.
    """

    volume_type: str
    flavor: str
    computes: tuple[str, ...]
    run_id: str
    size: int = 5
    image: str | None = None
    guest_kernel: str | PathLike[str] | None = None
    guest_initrd: str | PathLike[str] | None = None
    guest_disk: str | PathLike[str] | None = None
    store: str | None = None
    timeout: float = 300
    about: str = ""
    stores: tuple[str, ...] = ()
    clones: bool = True
    backups: str = ""

    @property
    def guest(self) -> bool:
        """Whether what boots is our own guest, which says on its console what it does."""
        return self.image is None


class User:
    """One who may do all this; every act raises Unproved where it does not come off."""

    def __init__(
        self,
        connection: Cloud,
        settings: ProofSettings,
        raise_if_stopped: waiting.RaiseIfStopped = lambda: None,
    ) -> None:
        self._compute = connection.compute
        self._storage = connection.block_storage
        self._glance = connection.image
        self._settings = settings
        self._raise_if_stopped = raise_if_stopped
        self._listens_until: float | None = None

    def in_store(self, store: str) -> User:
        """The same, who puts images into another store of Glance's."""
        other = copy.copy(self)
        other._settings = replace(self._settings, store=store)
        return other

    def until(  # noqa: PLR0913 (as waiting.until)
        self,
        what: str,
        ask: Callable[[], T],
        done: Callable[[T], object],
        *,
        seconds: float | None = None,
        fatal: tuple[str, ...] = (),
        why: Callable[[T], str] = lambda now: "",
        progress: Callable[[T], str] = lambda now: "",
        end: str = "",
    ) -> T:
        """waiting.until, for as long as the settings say where nothing else is said."""
        if seconds is None:
            seconds = self._settings.timeout
        return waiting.until(
            what,
            ask,
            done,
            seconds=seconds,
            fatal=fatal,
            why=why,
            progress=progress,
            end=end,
            raise_if_stopped=self._raise_if_stopped,
        )

    # Glance

    def glance_answers(self) -> None:
        """Wait for Glance, which may have been restarted just now."""
        self.until("glance: its API", lambda: next(self._glance.images(limit=1), True), bool)

    def image(self) -> Image:
        """The image of the settings, or the guest, uploaded."""
        wanted = self._settings.image
        if wanted is None:
            return self._upload_guest()
        found = self._glance.find_image(wanted, ignore_missing=True)
        if found is None:
            raise Unproved(
                f"glance: no image {wanted!r}; expected an active image; "
                "upload it, or name another one"
            )
        return found

    def _upload_guest(self) -> Image:
        wanted = self._settings
        kernel = self._upload("kernel", wanted.guest_kernel)
        ramdisk = self._upload("ramdisk", wanted.guest_initrd)
        with_kernel = {"kernel_id": kernel.id, "ramdisk_id": ramdisk.id}
        return self._upload("disk", wanted.guest_disk, **with_kernel)

    def _upload(self, what: str, path: str | PathLike[str] | None, **properties: str) -> Image:
        """All raw: a Nova that inspects images migrates no instance with an 'aki' or 'ari'."""
        if path is None:
            raise Unproved(
                f"proof: no guest {what} is given, and no image; expected an existing "
                "image by name, or the guest's three files"
            )
        body = {
            "name": self._name(what),
            "disk_format": "raw",
            "container_format": "bare",
            **self._mark(),
            **properties,
        }
        with open(path, "rb") as stream:
            return self._filled(body, stream)

    def seed(self, what: str, content: bytes = bytes(_SEED)) -> Image:
        """A small raw image of no use but as a parent, or for its content."""
        body = {
            "name": self._name(what),
            "disk_format": "raw",
            "container_format": "bare",
            **self._mark(),
        }
        return self._filled(body, io.BytesIO(content))

    def _filled(self, body: dict[str, str], stream: BinaryIO) -> Image:
        identifier = _answer(self._glance.post("/images", json=body)).json()["id"]
        self._send(identifier, stream)
        return self.until(
            f"glance: image {body['name']}",
            lambda: self._glance.get_image(identifier),
            lambda image: image.status == "active",
            fatal=("killed", "deleted"),
        )

    def _send(self, identifier: str, stream: BinaryIO) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        if self._settings.store:
            headers["X-Image-Meta-Store"] = self._settings.store
        reply = self._glance.put(
            f"/images/{identifier}/file",
            data=stream,
            headers=headers,
            timeout=self._settings.timeout,
            # A second try would send what is left of the stream.
            connect_retries=0,
        )
        _answer(reply)

    def try_image(self, image: Image) -> str:
        """Deletes it: 'deleted', or 'in use' where Glance keeps it.  Raises Unproved."""
        from openstack.exceptions import (  # noqa: PLC0415 (slow to load)
            ConflictException,
            HttpException,
        )

        try:
            self._glance.delete_image(image.id, ignore_missing=False)
        except ConflictException:
            return "in use"
        except HttpException as error:
            raise Unproved(
                f"glance: image {image.name} ({image.id}), which has a clone: expected it deleted, "
                f"or in use (409), found {error.status_code}: {error}; its user may not look into "
                f"the pools of clones: {INV} ceph.auth; see glance-api's log"
            ) from error
        return "deleted"

    # Cinder

    def volume(self, what: str, size: int, **more: str) -> Volume:
        """A volume of the settings' type, of so many GiB."""
        made = self._storage.create_volume(
            name=self._name(what),
            size=size,
            volume_type=self._settings.volume_type,
            metadata=self._mark(),
            **more,
        )
        return self.volume_when(made, "available")

    def clone(self, what: str, image: Image) -> Volume:
        """A volume from an image, as large as that needs."""
        size = max(1, image.min_disk or 0, math.ceil(_bytes(image) / _GIB))
        return self.volume(what, size, image_id=image.id)

    def snapshot(self, what: str, volume: Volume) -> Snapshot:
        """A snapshot of a volume, attached or not."""
        made = self._storage.create_snapshot(
            name=self._name(what), volume_id=volume.id, is_forced=True, metadata=self._mark()
        )
        return self.until(
            f"cinder: snapshot {made.name} ({made.id})",
            lambda: self._storage.get_snapshot(made.id),
            lambda now: now.status == "available",
            fatal=("error",),
        )

    def delete_snapshot(self, snapshot: Snapshot, volume: Volume) -> None:
        """Delete it, and wait until it is gone."""
        self._storage.delete_snapshot(snapshot)
        self.until(
            f"cinder: snapshot {snapshot.name} ({snapshot.id})",
            lambda: [
                s for s in self._storage.snapshots(volume_id=volume.id) if s.id == snapshot.id
            ],
            lambda found: not found,
            fatal=("error_deleting",),
            end="expected it to be gone",
        )

    def try_snapshot(self, snapshot: Snapshot, volume: Volume) -> str:
        """Deletes it: 'deleted', or 'busy' where Cinder gives it back.  Raises Unproved."""
        self._storage.delete_snapshot(snapshot)
        left = self._settled(
            f"snapshot {snapshot.name} ({snapshot.id})",
            lambda: [
                s for s in self._storage.snapshots(volume_id=volume.id) if s.id == snapshot.id
            ],
        )
        return "busy" if left else "deleted"

    def try_volume(self, volume: Volume) -> str:
        """Deletes it: 'deleted', or 'busy' where Cinder gives it back.  Raises Unproved."""
        self._storage.delete_volume(volume.id, ignore_missing=False)
        left = self._settled(
            f"volume {volume.name} ({volume.id})",
            lambda: [v for v in self._storage.volumes() if v.id == volume.id],
        )
        return "busy" if left else "deleted"

    def _settled(self, what: str, ask: Callable[[], list[T]]) -> list[T]:
        """What is left of a thing that Cinder was told to delete, when it has made up its mind."""
        return self.until(
            f"cinder: {what}",
            ask,
            lambda found: all(getattr(one, "status", "") != "deleting" for one in found),
            fatal=("error_deleting", "error"),
            end="expected it to be gone, or back",
        )

    def backups_are_made(self) -> None:
        """Wait for a cinder-backup that Cinder counts as up: it may have begun just now."""
        self.until(
            "cinder: cinder-backup",
            lambda: [
                one.state for one in self._storage.services() if one.binary == "cinder-backup"
            ],
            lambda states: "up" in states,
            seconds=min(HEARD, self._settings.timeout),
            end="expected one up; see its log on its host: it is down for Cinder too where its "
            "driver finds no pool or no key",
        )

    def backup(self, what: str, volume: Volume) -> Backup:
        """A whole backup of a volume that nobody uses; anew while no service is known."""
        until = time.monotonic() + min(HEARD, self._settings.timeout)
        while True:
            made = self._backed_up(what, volume)
            reason = str(made.fail_reason or "")
            if made.status == "available":
                return made
            if _UNHEARD not in reason or time.monotonic() > until:
                raise Unproved(f"cinder: backup {made.name} ({made.id}): {made.status}: {reason}")
            self.delete_backup(made)

    def _backed_up(self, what: str, volume: Volume) -> Backup:
        made = self._storage.create_backup(
            name=self._name(what),
            volume_id=volume.id,
            description=f"{MARK} {self._settings.run_id}",
        )
        return self.until(
            f"cinder: backup {made.name} ({made.id})",
            lambda: self._storage.get_backup(made.id),
            lambda now: now.status in {"available", "error"},
        )

    def restore(self, backup: Backup, volume: Volume) -> Volume:
        """The volume, when it has what the backup holds."""
        self._storage.restore_backup(backup.id, volume.id)
        return self.volume_when(volume, "available", fatal=("error_restoring",))

    def delete_backup(self, backup: Backup) -> None:
        """Delete it, and wait until it is gone."""
        self._storage.delete_backup(backup.id)
        self.until(
            f"cinder: backup {backup.name} ({backup.id})",
            lambda: [one for one in self._storage.backups() if one.id == backup.id],
            lambda found: not found,
            fatal=("error", "error_deleting"),
            end="expected it to be gone",
        )

    def volume_type(self, what: str, backend: str) -> str:
        """The id of a private volume type of a backend, made when the scheduler knows that."""
        self.until(
            f"cinder: backend {backend}",
            lambda: [pool.name for pool in self._storage.backend_pools()],
            lambda names: any(f"@{backend}#" in name for name in names),
            end=f"expected cinder-scheduler to know a pool of it; see that cinder-volume is up "
            f"and that {backend} is among enabled_backends",
        )
        name = self._name(what)
        kind = self._storage.create_type(
            name=name, description=f"{MARK} {self._settings.run_id}", is_public=False
        )
        self._storage.update_type_extra_specs(kind, volume_backend_name=backend)
        return str(kind.id)

    def has_type(self, name: str) -> bool:
        """Whether there is such a volume type."""
        return any(kind.name == name for kind in self._storage.types(**ALL))

    def volume_when(self, volume: Volume, status: str, fatal: tuple[str, ...] = ()) -> Volume:
        """The volume, when it has this status."""
        return self.until(
            f"cinder: volume {volume.name} ({volume.id})",
            lambda: self._storage.get_volume(volume.id),
            lambda now: now.status == status,
            fatal=("error", "error_attaching", "error_detaching", *fatal),
            why=lambda now: self._message(now.id),
        )

    def _message(self, volume: str) -> str:
        """What Cinder tells its user about this volume; '' if it tells nothing."""
        reply = self._storage.get("/messages", params={"resource_uuid": volume}, microversion="3.5")
        found = reply.json().get("messages", []) if reply.ok else []
        return found[0].get("user_message", "") if found else ""

    # Nova

    def hypervisors(self) -> list[Hypervisor]:
        """All of them."""
        return list(self._compute.hypervisors(details=True))

    def ready(self, name: str) -> Hypervisor:
        """The hypervisor of this name, once Nova hears its nova-compute; Unproved if it does not.

        It may have begun just now, and a restored database has the time of its record: all that
        are asked for are waited for together.
        """
        if self._listens_until is None:
            self._listens_until = time.monotonic() + min(HEARD, self._settings.timeout)
        node = self.until(
            f"nova: nova-compute of {name}",
            lambda: hypervisor(name, self.hypervisors()),
            lambda now: now.state == "up",
            seconds=max(0, self._listens_until - time.monotonic()),
            why=lambda now: f"Nova counts it as {now.state}",
            end=f"see that nova-compute runs on {name} and reaches the message queue",
        )
        if node.status != "enabled":
            raise Unproved(
                f"nova: nova-compute of {name} is {node.status}: expected enabled; "
                "leave it out (--limit), or: openstack compute service set --enable "
                f"{shlex.quote(service_host(node) or name)} nova-compute"
            )
        return node

    def boot(self, what: str, hypervisor: str, **disk: object) -> Server:
        """Ask for an instance on this hypervisor and no other (Nova 2.74 and later).

        disk: image_id, or block_device_mapping.
        """
        return self._compute.create_server(
            name=self._name(what),
            flavor_id=self._flavor().id,
            networks="none",
            hypervisor_hostname=hypervisor,
            metadata=self._mark(),
            **disk,
        )

    def _flavor(self) -> Flavor:
        wanted = self._settings.flavor
        flavor = self._compute.find_flavor(wanted, ignore_missing=True)
        if flavor is None:
            raise Unproved(
                f"nova: no flavor {wanted!r}; expected a small one that "
                "fits the image; create it, or name another one"
            )
        return flavor

    def up(self, server: Server, where: str) -> Server:
        """The instance when it is ACTIVE, and (our guest) ready to see a disk come."""
        server = self.until(
            f"nova: server {server.name} on {where}",
            lambda: self._compute.get_server(server.id),
            lambda now: now.status == "ACTIVE",
            fatal=("ERROR",),
            why=lambda now: (now.fault or {}).get("message", ""),
        )
        if self._settings.guest:
            self.console(server, f"{GUEST} up")
        return server

    def attach(self, server: Server, volume: Volume, where: str) -> None:
        """Attach the volume; back at 'available' means that Nova gave up.

        Nova has reserved it when the call returns (up to microversion 2.100).
        """
        self._once(
            lambda: self._compute.create_volume_attachment(server, volume_id=volume.id),
            lambda: volume.id in self._attached(server),
        )
        try:
            self.volume_when(volume, "in-use", fatal=("available",))
        except Unproved as error:
            more = self._last_action(server, "attach_volume")
            raise Unproved(
                f"{error}; expected in-use; Nova gave up: {more or 'no reason'}; see "
                f"nova-compute's log on {where}"
            ) from error

    @staticmethod
    def _once(ask: Callable[[], object], is_begun: Callable[[], bool]) -> None:
        """Asks Nova for what it does once alone.

        The session asks again when a connection breaks, and the first time may have come through:
        then the second one is refused.
        """
        from openstack.exceptions import HttpException  # noqa: PLC0415 (slow to load)

        try:
            ask()
        except HttpException as error:
            if error.status_code not in (400, 404, 409) or not is_begun():
                raise

    def _last_action(self, server: Server, kind: str) -> str:
        """The end of what Nova noted about the server's last action of this kind."""
        for action in self._compute.server_actions(server):
            if action.action == kind:
                one = self._compute.get_server_action(action.request_id, server)
                return _event(one)
        return ""

    def migrate(self, server: Server, to: Hypervisor) -> Server:
        """The instance, after a live migration to this hypervisor."""
        self._once(
            lambda: self._compute.live_migrate_server(
                server, host=service_host(to), block_migration="auto"
            ),
            lambda: self._compute.get_server(server.id).task_state == "migrating",
        )
        now = self.until(
            f"nova: live migration of server {server.name} to {to.name}",
            lambda: self._compute.get_server(server.id),
            lambda now: now.status == "ACTIVE" and not now.task_state,
            fatal=("ERROR",),
            why=lambda now: (now.fault or {}).get("message", ""),
        )
        if now.hypervisor_hostname != to.name:
            more = self._last_action(server, "live-migration")
            raise Unproved(
                f"nova: server {server.id}: expected it on {to.name}, found it on "
                f"{now.hypervisor_hostname} still; Nova gave up: {more or 'no reason'}; see "
                f"nova-compute's logs there and on {to.name}"
            )
        return now

    def detach(self, server: Server, volume: Volume) -> None:
        """Detach while the instance runs.

        Cinder has the volume free before Nova has forgotten it, and till then nothing attaches it.
        """
        self._once(
            lambda: self._compute.delete_volume_attachment(server, volume),
            lambda: self._storage.get_volume(volume.id).status in ("detaching", "available"),
        )
        self.volume_when(volume, "available")
        self.until(
            f"nova: volume {volume.id}'s leave from server {server.name} ({server.id})",
            lambda: self._attached(server),
            lambda there: volume.id not in there,
        )

    def _attached(self, server: Server) -> list[str]:
        """The volumes that Nova has as attached."""
        return [one.volume_id for one in self._compute.volume_attachments(server)]

    def delete_server(self, server: Server, volume: Volume) -> None:
        """Delete the instance, and wait until the volume that it had is free."""
        self._compute.delete_server(server)
        self.volume_when(volume, "available")

    def console(self, server: Server, wanted: str, bad: str = "\0", but: str = "\0") -> str:
        """The console's line with the wanted words; Unproved at the bad ones.

        A guest that says how far it is has more time; a kernel's complaints give it none.
        but: a line that was there before, and does not count.
        """

        def tail() -> list[str]:
            found = self._compute.get_server_console_output(server, _CONSOLE_LINES)
            return (found.get("output") or "").splitlines()

        def told(lines: list[str]) -> str:
            found = [x for x in lines if (wanted in x or bad in x) and but not in x]
            return found[-1] if found else ""

        where = f"nova: console of server {server.name} ({server.id})"
        lines = self.until(
            f"{where}: {wanted!r}",
            tail,
            told,
            progress=lambda lines: next((x for x in reversed(lines) if GUEST in x), ""),
        )
        if bad in told(lines):
            raise Unproved(f"{where}: expected {wanted!r}, found {told(lines)!r}")
        return told(lines)

    def _name(self, what: str) -> str:
        return f"{PREFIX}{self._settings.run_id}-{what}"

    def _mark(self) -> dict[str, str]:
        return {MARK: self._settings.run_id}


def hypervisor(name: str, items: Iterable[Hypervisor]) -> Hypervisor:
    """The hypervisor of this name, or of this nova-compute's host.  Raises Unproved."""
    found = {item.name: item for item in items}
    fitting = [key for key, item in found.items() if name in (key, service_host(item))]
    fitting = fitting or [key for key in found if key.split(".")[0] == name]
    if len(fitting) != 1:
        raise Unproved(
            f"nova: {name}: expected one hypervisor of this name, found "
            f"{len(fitting)} among {', '.join(sorted(found)) or 'none'}; see that "
            "nova-compute is up there, and which name it reports"
        )
    return found[fitting[0]]


def service_host(hypervisor: Hypervisor) -> str:
    """The name of the nova-compute that a hypervisor belongs to; '' where it is not told."""
    service = getattr(hypervisor, "service_details", None) or {}
    return str(service.get("host", ""))


def placed(image: Image, store: str | None) -> str:
    """Where the image lies, as far as Glance tells; Unproved if it is in files."""
    stores = stores_of(image)
    schemes = _schemes(image)
    what = f"glance: image {image.name} ({image.id})"
    if store and stores and store not in stores:
        raise Unproved(f"{what}: expected store {store}, found {', '.join(stores)}")
    if in_files(image):
        raise Unproved(
            f"{what}: expected it in RBD, found it in files; where it was there before RBD "
            "was, upload it anew, or name another one; else make RBD Glance's default store, and "
            "restart glance-api"
        )
    told = ", ".join(dict.fromkeys([*stores, *schemes])) or "a store that Glance does not name"
    return f"image {image.id} is active in {told}"


def _answer(reply: Response) -> Response:
    from openstack.exceptions import raise_from_response  # noqa: PLC0415 (slow to load)

    raise_from_response(reply)
    return reply


def _bytes(image: Image) -> int:
    return max(getattr(image, "virtual_size", None) or 0, image.size or 0)


def _event(action: ServerAction) -> str:
    """The event that failed: its details (2.84: the name of the exception) and its
    traceback's last line (administrators: what was raised, or where)."""
    for event in action.events or []:
        found = event if isinstance(event, dict) else event.to_dict()
        if found.get("result") == "Error":
            end = (found.get("traceback") or "").strip().splitlines()[-1:]
            told = [found.get("details") or "", *end]
            return ": ".join(text.strip() for text in told if text.strip())
    return action.message or ""


def in_files(image: Image) -> bool:
    """Whether Glance says that an image is in files."""
    return "file" in (*_schemes(image), *stores_of(image))


def _schemes(image: Image) -> list[str]:
    """What the URLs of an image begin with, as far as Glance shows them."""
    urls = [getattr(image, "direct_url", None) or ""]
    urls += [item.get("url", "") for item in getattr(image, "locations", None) or []]
    return sorted({url.split(":")[0] for url in urls if url})


def stores_of(image: Image) -> list[str]:
    """The stores that Glance says an image is in; none where it does not say."""
    return _words(getattr(image, "store", None)) or _words(_extra(image, "stores"))


def _extra(image: Image, name: str) -> Json:
    return (getattr(image, "properties", None) or {}).get(name)


def _words(value: Json) -> list[str]:
    """['a', 'b'] of 'a,b', of a list, of None."""
    items = value.split(",") if isinstance(value, str) else value or []
    return [str(item).strip() for item in items]
