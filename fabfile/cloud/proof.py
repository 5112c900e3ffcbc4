"""The proof: an instance on a compute writes to a volume, and Ceph has seen it.

Knows what a user of the cloud would do: upload an image, make volumes, boot, attach,
look at the console; and asks Ceph, by the caller's callable, whether it was really
there. Changes no configuration, and leaves nothing behind: everything is named
stackrbd-proof-RUN-... and carries a mark, and is deleted in the end.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any

from fabfile.core.contract import Failed, Stop, Unproved

PREFIX = "stackrbd-proof-"
MARK = "stackrbd_proof"
"""The metadata key (images: the property) whose value is the run's id."""

_GIB = 1024**3
_PAUSE_SECONDS = 1.0
_CONSOLE_LINES = 60
_PASSING = ("creating", "downloading", "attaching", "detaching", "reserved", "in-use")

Ceph = Callable[[str, str], Any]
Say = Callable[[str], None]


@dataclass(frozen=True)
class ProofSettings:
    """What to prove and with what.

    size: GiB of the volume for the first compute; further computes get 1 GiB each.
    image: name of an existing image; None: the guest of the three paths is uploaded.
    computes: names of hypervisors (or of nova-compute's hosts).
    store: Glance's store; None: its default, which must not be files.
    timeout: seconds that any single wait may take.
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


@dataclass(frozen=True)
class Check:
    """One thing that was proved, or was not; detail is a sentence either way."""

    name: str
    ok: bool
    detail: str
    seconds: float


def ceph_questions(pool: str) -> dict[str, list[str]]:
    """{kind: argv}; each '{}' in it stands for the volume's id."""
    image = pool + "/volume-{}"
    return {
        "parent": ["rbd", "info", "--format", "json", image],
        "watchers": ["rbd", "status", "--format", "json", image],
        "used": ["rbd", "du", "--format", "json", image],
    }


def parse(kind: str, text: str) -> Any:
    """What rbd's JSON says: parent str ('' if none), watchers list[str], used bytes.

    Raises Failed if it is not that command's JSON.
    """
    try:
        return _PARSERS[kind](json.loads(text))
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise Failed(
            f"rbd: {kind}: expected the command's JSON, found {text[:80]!r}; "
            "see that rbd on the Ceph host can read the pool"
        ) from error


def _parent(info: dict[str, Any]) -> str:
    info["name"]
    found = info.get("parent")
    return "{pool}/{image}@{snapshot}".format(**found) if found else ""


def _watchers(status: dict[str, Any]) -> list[str]:
    found = status["watchers"]
    # Before Nautilus: {"watcher": {...}} in the place of a list.
    items = found.values() if isinstance(found, dict) else found
    return [item["address"] for item in items]


def _used(usage: dict[str, Any]) -> int:
    # One entry for the image and one for each of its snapshots.
    return sum(item["used_size"] for item in usage["images"])


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "parent": _parent,
    "watchers": _watchers,
    "used": _used,
}


def require(checks: Iterable[Check]) -> None:
    """Raise Unproved with the sentences of all checks that failed."""
    failed = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
    if failed:
        raise Unproved("the proof failed: " + "\n  ".join(failed))


def prove(connection: Any, settings: ProofSettings, ceph: Ceph, say: Say) -> list[Check]:
    """Prove it on every compute of the settings; delete all, come what may.

    ceph(kind, volume id): the answer as parse() gives it. A check that failed is in
    the list (see require); later checks that need it are left out. Ctrl-C cleans up
    and goes on as KeyboardInterrupt.
    """
    run = _Proof(connection, settings, ceph, say)
    run.check("what earlier proofs left is gone", partial(run.sweep, PREFIX))
    try:
        run.all()
    except KeyboardInterrupt:
        say("proof: interrupted; deleting what it made")
        raise
    finally:
        own = f"{PREFIX}{settings.run_id}-"
        run.check("everything is deleted again", partial(run.sweep, own))
    return run.checks


class _Proof:
    """One run; its methods answer a sentence or raise."""

    def __init__(self, connection: Any, settings: ProofSettings, ceph: Ceph, say: Say) -> None:
        self.compute = connection.compute
        self.storage = connection.block_storage
        self.glance = connection.image
        self.settings = settings
        self.ceph = ceph
        self.say = say
        self.checks: list[Check] = []
        self.image: Any = None
        self.volumes: dict[str, Any] = {}
        self.servers: dict[str, Any] = {}
        self.used: dict[str, int] = {}

    def check(self, name: str, act: Callable[[], str]) -> bool:
        """Carry out one step and note what came of it; only bugs go through."""
        self.say(f"proof: {name} ...")
        start = time.monotonic()
        try:
            ok, detail = True, act()
        except _expected() as error:
            ok, detail = False, str(error)
        seconds = time.monotonic() - start
        self.checks.append(Check(name, ok, detail, seconds))
        self.say(f"proof: {'ok' if ok else 'FAILED'} ({seconds:.1f} s) {detail}")
        return ok

    def all(self) -> None:
        """Every check in its order; a chain ends where one of it fails."""
        first, size = self.settings.volume_type, self.settings.size
        if not self.check("an image in Glance", self.make_image):
            return
        for name in self.settings.computes:
            self.check(f"{name}: an instance is asked for", partial(self.boot, name))
        self.check(f"a clone of the image as {first} volume", self.make_clone)
        for name in self.settings.computes:
            if name in self.servers:
                self.prove_on(name, size)
            size = 1

    def prove_on(self, name: str, size: int) -> None:
        """The chain of one compute."""
        guest = self.settings.image is None
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

    # -- Glance

    def make_image(self) -> str:
        """Find the image of the settings, or upload the guest; say where it lies."""
        wanted = self.settings
        if wanted.image is not None:
            self.image = self.glance.find_image(wanted.image, ignore_missing=True)
            if self.image is None:
                raise Unproved(
                    f"glance: no image {wanted.image!r}; expected an active image; "
                    "upload it, or name another one"
                )
        else:
            self.image = self._upload_guest()
        return _placed(self.image, wanted.store)

    def _upload_guest(self) -> Any:
        wanted = self.settings
        kernel = self._upload("kernel", "aki", wanted.guest_kernel)
        ramdisk = self._upload("ramdisk", "ari", wanted.guest_initrd)
        with_kernel = {"kernel_id": kernel.id, "ramdisk_id": ramdisk.id}
        return self._upload("disk", "raw", wanted.guest_disk, **with_kernel)

    def _upload(self, what: str, form: str, path: Any, **properties: str) -> Any:
        if path is None:
            raise Unproved(
                f"proof: no guest {what} is given, and no image; expected an existing "
                "image by name, or the guest's three files"
            )
        body = {
            "name": self._name(what),
            "disk_format": form,
            "container_format": "bare" if form == "raw" else form,
            MARK: self.settings.run_id,
            **properties,
        }
        identifier = _answer(self.glance.post("/images", json=body)).json()["id"]
        self._send(identifier, path)
        return self._wait(
            f"glance: image {body['name']}",
            lambda: self.glance.get_image(identifier),
            lambda image: image.status == "active",
            fatal=("killed", "deleted"),
        )

    def _send(self, identifier: str, path: Any) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        if self.settings.store:
            headers["X-Image-Meta-Store"] = self.settings.store
        with open(path, "rb") as stream:
            reply = self.glance.put(
                f"/images/{identifier}/file",
                data=stream,
                headers=headers,
                timeout=self.settings.timeout,
                # A second try would send what is left of the stream.
                connect_retries=0,
            )
        _answer(reply)

    # -- Cinder

    def make_volume(self, name: str, size: int) -> str:
        """An empty volume, and what Ceph says that it holds before any write."""
        volume = self._volume(f"volume-{name}", size)
        self.volumes[name] = volume
        self.used[name] = self.ceph("used", volume.id)
        return f"volume {volume.id} is available; {self.used[name]} bytes used"

    def make_clone(self) -> str:
        """A volume from the image; Ceph must name the image as its parent."""
        size = max(1, self.image.min_disk or 0, math.ceil(_bytes(self.image) / _GIB))
        volume = self._volume("clone", size, image_id=self.image.id)
        parent = self.ceph("parent", volume.id)
        if self.image.id not in parent:
            raise Unproved(
                f"ceph: volume {volume.id}: expected a clone of image {self.image.id}, "
                f"found {parent or 'no parent'}: Cinder copied it; see that the image "
                "is raw and in RBD, that Glance shows its location "
                "(show_image_direct_url), and that volumes may read the images' pool"
            )
        return f"volume {volume.id} is a clone of {parent}"

    def _volume(self, what: str, size: int, **more: str) -> Any:
        made = self.storage.create_volume(
            name=self._name(what),
            size=size,
            volume_type=self.settings.volume_type,
            metadata=self._mark(),
            **more,
        )
        return self._volume_when(made, "available")

    def _volume_when(self, volume: Any, status: str, fatal: tuple[str, ...] = ()) -> Any:
        return self._wait(
            f"cinder: volume {volume.name} ({volume.id})",
            lambda: self.storage.get_volume(volume.id),
            lambda now: now.status == status,
            fatal=("error", "error_attaching", "error_detaching", *fatal),
            why=lambda now: self._message(now.id),
        )

    def _message(self, volume: str) -> str:
        """What Cinder tells its user about this volume; '' if it tells nothing."""
        reply = self.storage.get("/messages", params={"resource_uuid": volume}, microversion="3.5")
        found = reply.json().get("messages", []) if reply.ok else []
        return found[0].get("user_message", "") if found else ""

    # -- Nova

    def boot(self, name: str) -> str:
        """Ask for an instance on this compute and no other (Nova 2.74 and later)."""
        hypervisor = self._hypervisor(name)
        server = self.compute.create_server(
            name=self._name(f"server-{name}"),
            flavor_id=self._flavor().id,
            image_id=self.image.id,
            networks="none",
            hypervisor_hostname=hypervisor,
            metadata=self._mark(),
        )
        self.servers[name] = server
        return f"server {server.id} is to run on {hypervisor}"

    def _hypervisor(self, name: str) -> str:
        found = {item.name: _service_host(item) for item in self._hypervisors()}
        fitting = [key for key, host in found.items() if name in (key, host)]
        fitting = fitting or [key for key in found if key.split(".")[0] == name]
        if len(fitting) != 1:
            raise Unproved(
                f"nova: {name}: expected one hypervisor of this name, found "
                f"{len(fitting)} among {', '.join(sorted(found)) or 'none'}; see that "
                "nova-compute is up there, and which name it reports"
            )
        return fitting[0]

    def _hypervisors(self) -> list[Any]:
        return list(self.compute.hypervisors(details=True))

    def _flavor(self) -> Any:
        flavor = self.compute.find_flavor(self.settings.flavor, ignore_missing=True)
        if flavor is None:
            raise Unproved(
                f"nova: no flavor {self.settings.flavor!r}; expected a small one that "
                "fits the image; create it, or name another one"
            )
        return flavor

    def wait_up(self, name: str) -> str:
        """ACTIVE, and (our guest) ready to see a disk come."""
        server = self._wait(
            f"nova: server {self.servers[name].name} on {name}",
            lambda: self.compute.get_server(self.servers[name].id),
            lambda now: now.status == "ACTIVE",
            fatal=("ERROR",),
            why=lambda now: (now.fault or {}).get("message", ""),
        )
        if self.settings.image is None:
            self._console(server, "stackrbd-guest: up")
        return f"server {server.id} runs on {server.hypervisor_hostname or name}"

    def attach(self, name: str) -> str:
        """Attach the volume; back at 'available' means that Nova gave up.

        Nova has reserved it when the call returns (up to microversion 2.100).
        """
        server, volume = self.servers[name], self.volumes[name]
        self.compute.create_volume_attachment(server, volume_id=volume.id)
        try:
            self._volume_when(volume, "in-use", fatal=("available",))
        except Unproved as error:
            more = self._action(server, "attach_volume")
            raise Unproved(
                f"{error}; expected in-use; Nova gave up: {more or 'no reason'}; see "
                f"nova-compute's log on {name}"
            ) from error
        return f"volume {volume.id} is attached to server {server.id}"

    def _action(self, server: Any, kind: str) -> str:
        """The end of what Nova noted about the server's last action of this kind."""
        for action in self.compute.server_actions(server):
            if action.action == kind:
                one = self.compute.get_server_action(action.request_id, server)
                return _event(one)
        return ""

    def wait_wrote(self, name: str) -> str:
        """The guest's own line, with the digest of what it wrote."""
        return self._console(self.servers[name], "read back equal", bad=": DIFFERENT").strip()

    def watched(self, name: str) -> str:
        """While it is attached, the hypervisor watches the image in Ceph."""
        volume = self.volumes[name]
        found = self.ceph("watchers", volume.id)
        if not found:
            raise Unproved(
                f"ceph: volume {volume.id} is attached on {name} and nobody watches "
                "it; expected the hypervisor's client; see the disk in `virsh dumpxml`"
            )
        return f"volume {volume.id} is watched by {', '.join(found)}"

    def rose(self, name: str) -> str:
        """What the guest wrote is counted in the pool."""
        before, now = self.used[name], self.ceph("used", self.volumes[name].id)
        if now <= before:
            raise Unproved(
                f"ceph: volume {self.volumes[name].id}: expected more than {before} "
                f"bytes used after the guest wrote, found {now}; see whether this is "
                "the pool that the volume type's backend writes to"
            )
        return f"volume {self.volumes[name].id} uses {now} bytes, before {before}"

    def detach(self, name: str) -> str:
        """Detach while the instance runs, as a user would."""
        server, volume = self.servers[name], self.volumes[name]
        self.compute.delete_volume_attachment(server, volume)
        self._volume_when(volume, "available")
        return f"volume {volume.id} is detached"

    def remove(self, name: str) -> str:
        """Not our guest: it may not let go of a disk; without it the disk is free."""
        self.compute.delete_server(self.servers[name])
        self._volume_when(self.volumes[name], "available")
        return f"volume {self.volumes[name].id} is free"

    def _console(self, server: Any, wanted: str, bad: str = "\0") -> str:
        """The console's line with the wanted words; Unproved at the bad ones."""

        def tail() -> list[str]:
            found = self.compute.get_server_console_output(server, _CONSOLE_LINES)
            return (found.get("output") or "").splitlines()

        def told(lines: list[str]) -> str:
            return next((x for x in reversed(lines) if wanted in x or bad in x), "")

        where = f"nova: console of server {server.name} ({server.id})"
        lines = self._wait(f"{where}: {wanted!r}", tail, told)
        if bad in told(lines):
            raise Unproved(f"{where}: expected {wanted!r}, found {told(lines)!r}")
        return told(lines)

    # -- cleaning up

    def sweep(self, prefix: str) -> str:
        """Delete what has a name of this prefix and carries the mark.

        Goes on where one thing stays; Unproved names all that stayed.
        """
        trouble: list[str] = []
        kinds = (self._servers, self._volumes, self._images)
        counts = [act(prefix, trouble) for act in kinds]
        if trouble:
            raise Unproved("not all is deleted: " + "\n  ".join(trouble))
        return "{} servers, {} volumes, {} images deleted".format(*counts)

    def _servers(self, prefix: str, trouble: list[str]) -> int:
        found = self._ours(self.compute.servers(), prefix)
        for item in found:
            _attempt(trouble, self.compute.delete_server, item)
        _attempt(trouble, self._gone, "nova: server", found, self.compute.servers)
        return len(found)

    def _volumes(self, prefix: str, trouble: list[str]) -> int:
        found = self._ours(self.storage.volumes(), prefix)
        _attempt(trouble, self._at_rest, found)
        for item in found:
            _attempt(trouble, self._delete_volume, item)
        _attempt(trouble, self._gone, "cinder: volume", found, self.storage.volumes)
        return len(found)

    def _images(self, prefix: str, trouble: list[str]) -> int:
        found = self._ours(self.glance.images(), prefix)
        for item in found:
            _attempt(trouble, self._delete_image, item)
        return len(found)

    def _ours(self, items: Iterable[Any], prefix: str) -> list[Any]:
        named = [item for item in items if (item.name or "").startswith(prefix)]
        marked = [item for item in named if _marked(item)]
        for item in named:
            if item not in marked:
                self.say(f"proof: {item.name} ({item.id}) has no mark: it stays")
        return marked

    def _at_rest(self, volumes: list[Any]) -> None:
        """Cinder refuses to delete a volume that is on its way."""
        wanted = {item.id: item.name for item in volumes}
        self._wait(
            f"cinder: volume {', '.join(wanted.values())}",
            lambda: self._left(wanted, self.storage.volumes),
            lambda found: all(item.status not in _PASSING for item in found),
            end="expected it to be at rest, so that it can be deleted",
        )

    def _delete_volume(self, volume: Any) -> None:
        now = self.storage.find_volume(volume.id, ignore_missing=True)
        if now is None or now.status == "deleting":
            return
        # Any other state (error_deleting of an earlier run) takes an administrator.
        force = now.status not in ("available", "error")
        self.storage.delete_volume(now.id, ignore_missing=True, force=force)

    def _delete_image(self, image: Any) -> None:
        """Glance refuses for as long as a clone in RBD is not quite gone."""
        from openstack.exceptions import ConflictException  # noqa: PLC0415

        def delete() -> bool:
            try:
                self.glance.delete_image(image.id, ignore_missing=True)
            except ConflictException:
                return False
            return True

        self._wait(
            f"glance: image {image.name} ({image.id})",
            delete,
            bool,
            end="expected it to be deleted, it is still in use",
        )

    def _gone(self, what: str, items: list[Any], listing: Callable[..., Any]) -> None:
        wanted = {item.id: item.name for item in items}
        self._wait(
            f"{what} {', '.join(wanted.values())}",
            lambda: self._left(wanted, listing),
            lambda found: not found,
            fatal=("error_deleting",),
            end="expected it to be gone; delete it by hand",
        )

    @staticmethod
    def _left(wanted: dict[str, str], listing: Callable[..., Any]) -> list[Any]:
        # Nothing wanted, nothing asked.
        return [item for item in listing() if item.id in wanted] if wanted else []

    # -- waiting

    def _wait(  # noqa: PLR0913 - one loop for all waits
        self,
        what: str,
        ask: Callable[[], Any],
        done: Callable[[Any], Any],
        *,
        fatal: tuple[str, ...] = (),
        why: Callable[[Any], str] = lambda now: "",
        end: str = "",
    ) -> Any:
        """Ask until it is done; Unproved, with the last answer, at the deadline."""
        deadline = time.monotonic() + self.settings.timeout
        while True:
            now, state = _asked(ask)
            if state is None:
                if done(now):
                    return now
                state = _status(now)
                if any(word in fatal for word in state.split(", ")):
                    raise Unproved(f"{what}: {_because(state, why, now)}")
            if time.monotonic() > deadline:
                late = f"not there after {self.settings.timeout:.0f} s; last: "
                found = f"{late}{_because(state, why, now)}"
                raise Unproved("; ".join(filter(None, (f"{what}: {found}", end))))
            time.sleep(_PAUSE_SECONDS)

    def _name(self, what: str) -> str:
        return f"{PREFIX}{self.settings.run_id}-{what}"

    def _mark(self) -> dict[str, str]:
        return {MARK: self.settings.run_id}


def _expected() -> tuple[type[Exception], ...]:
    """What says that the proof failed, and not that this program has a bug."""
    from keystoneauth1.exceptions import ClientException  # noqa: PLC0415
    from openstack.exceptions import SDKException  # noqa: PLC0415

    return Stop, OSError, SDKException, ClientException


def _attempt(trouble: list[str], act: Callable[..., Any], *args: Any) -> None:
    try:
        act(*args)
    except _expected() as error:
        trouble.append(str(error))


def _asked(ask: Callable[[], Any]) -> tuple[Any, str | None]:
    """(answer, None), or (None, why not) while a service is just not answering."""
    from keystoneauth1.exceptions import ConnectFailure  # noqa: PLC0415
    from openstack.exceptions import HttpException  # noqa: PLC0415

    try:
        return ask(), None
    except ConnectFailure as error:
        return None, str(error)
    except HttpException as error:
        # A service that is restarting; also a console that is not there yet.
        if error.status_code in (404, 409, 500, 502, 503, 504):
            return None, str(error)
        raise


def _answer(reply: Any) -> Any:
    from openstack.exceptions import raise_from_response  # noqa: PLC0415

    raise_from_response(reply)
    return reply


def _because(state: str, why: Callable[[Any], str], now: Any) -> str:
    reason = why(now) if now is not None else ""
    return f"{state}: {reason}" if reason else state


def _status(answer: Any) -> str:
    """The status of one thing or of several, or the last lines of a console."""
    if not isinstance(answer, list):
        return str(getattr(answer, "status", answer))
    words = [str(getattr(item, "status", item)) for item in answer[-3:]]
    return ", ".join(words) or "nothing yet"


def _marked(item: Any) -> bool:
    # Images keep what Glance does not know among their properties.
    for held in (getattr(item, "metadata", None), getattr(item, "properties", None)):
        if MARK in (held or {}):
            return True
    return False


def _bytes(image: Any) -> int:
    return max(getattr(image, "virtual_size", None) or 0, image.size or 0)


def _service_host(hypervisor: Any) -> str:
    service = getattr(hypervisor, "service_details", None) or {}
    return service.get("host", "")


def _event(action: Any) -> str:
    """The event that failed: its details (2.84: the name of the exception) and its
    traceback's last line (administrators: what was raised, or where)."""
    for event in action.events or []:
        found = event if isinstance(event, dict) else event.to_dict()
        if found.get("result") == "Error":
            end = (found.get("traceback") or "").strip().splitlines()[-1:]
            told = [found.get("details") or "", *end]
            return ": ".join(text.strip() for text in told if text.strip())
    return action.message or ""


def _placed(image: Any, store: str | None) -> str:
    """Where the image lies, as far as Glance tells; Unproved if it is in files."""
    stores = _words(getattr(image, "store", None)) or _words(_extra(image, "stores"))
    urls = [getattr(image, "direct_url", None) or ""]
    urls += [item.get("url", "") for item in getattr(image, "locations", None) or []]
    schemes = sorted({url.split(":")[0] for url in urls if url})
    what = f"glance: image {image.name} ({image.id})"
    if store and stores and store not in stores:
        raise Unproved(f"{what}: expected store {store}, found {', '.join(stores)}")
    if "file" in schemes or "file" in stores:
        raise Unproved(
            f"{what}: expected it in RBD, found it in files; make RBD Glance's default "
            "store, and restart glance-api"
        )
    told = ", ".join([*stores, *schemes]) or "a store that Glance does not name"
    return f"image {image.id} is active in {told}"


def _extra(image: Any, name: str) -> Any:
    return (getattr(image, "properties", None) or {}).get(name)


def _words(value: Any) -> list[str]:
    """['a', 'b'] of 'a,b', of a list, of None."""
    items = value.split(",") if isinstance(value, str) else value or []
    return [str(item).strip() for item in items]
