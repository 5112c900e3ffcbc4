"""The proof: rbd's answers, and its course against a cloud that is played."""

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace as Thing

import pytest
from openstack.exceptions import HttpException

from fabfile.cloud import checks, proof, rbd, user, volume_backups, waiting
from fabfile.cloud.leftovers import MARK
from fabfile.core.contract import Failed, Unproved

from .states import site

ID = "2a9d5b7a-5b65-47ce-9a26-9c7c44a7e29d"
INFO = {
    "name": f"volume-{ID}",
    "id": "5e7b6a1f0c3d",
    "size": 1073741824,
    "objects": 256,
    "order": 22,
    "object_size": 4194304,
    "snapshot_count": 0,
    "block_name_prefix": "rbd_data.5e7b6a1f0c3d",
    "format": 2,
    "features": ["layering", "exclusive-lock", "object-map", "fast-diff"],
    "op_features": [],
    "flags": [],
    "create_timestamp": "Mon Nov 23 12:05:40 2026",
}
PARENT = {
    "pool": "images",
    "pool_namespace": "",
    "image": "282fdb81-4efd-42b3-b36f-417c5c963c66",
    "id": "5e7b1c8a9f20",
    "snapshot": "snap",
    "trash": False,
    "overlap": 16777216,
}
WATCHER = {"address": "198.18.53.31:0/2714", "client": 24131, "cookie": 1398}
USED = {"name": f"volume-{ID}", "provisioned_size": 5368709120, "used_size": 67108864}


@pytest.mark.parametrize(
    ("kind", "found", "meant"),
    [
        ("parent", INFO, ""),
        ("parent", INFO | {"parent": PARENT}, f"images/{PARENT['image']}@snap"),
        ("clone", INFO, ""),
        ("clone", INFO | {"parent": PARENT}, "v1"),
        ("clone", INFO | {"parent": PARENT, "op_features": ["clone-child"]}, "v2"),
        # A parent of clones of v2, which is itself a clone of v1.
        ("clone", INFO | {"parent": PARENT, "op_features": ["clone-parent", "snap-trash"]}, "v1"),
        ("clone", {"name": "before Mimic", "parent": PARENT}, "v1"),
        ("watchers", {"watchers": []}, []),
        ("watchers", {"watchers": [WATCHER]}, ["198.18.53.31:0/2714"]),
        ("watchers", {"watchers": {"watcher": WATCHER}}, ["198.18.53.31:0/2714"]),
        ("used", {"images": [USED]}, 67108864),
        ("used", {"images": [USED | {"snapshot": "s"}, USED]}, 134217728),
        ("snapshots", [], []),
        ("backup", INFO | {"name": f"volume-{ID}.backup.base"}, f"volume-{ID}.backup.base"),
        ("snapshots", [{"id": 4, "name": "snapshot-1", "size": 1}], ["snapshot-1"]),
    ],
)
def test_parse(kind, found, meant):
    assert rbd.parse(kind, json.dumps(found)) == meant


@pytest.mark.parametrize("text", ["", "rbd: error opening pool", "{}", "[]", "null", "[1]"])
@pytest.mark.parametrize("kind", ["parent", "clone", "backup", "watchers", "used", "snapshots"])
def test_what_is_not_the_answer_is_an_error(kind, text):
    if (kind, text) == ("snapshots", "[]"):
        return  # the one answer of these that is one
    with pytest.raises(Failed, match=f"rbd: {kind}: expected"):
        rbd.parse(kind, text)


def test_a_watchers_address_is_its_hosts():
    assert rbd.addresses(["198.18.53.31:0/2714", "198.18.53.31:0/99", "[fd00::1]:0/5"]) == {
        "198.18.53.31",
        "[fd00::1]",
    }


def test_questions_are_argument_lists_for_one_volume():
    asked = rbd.questions(site().cluster.rbd, "volumes")
    assert asked["used"][-1].format(ID) == f"volumes/volume-{ID}"
    assert {kind: argv[1] for kind, argv in asked.items()} == {
        "content": "export",
        "backup": "info",
        "parent": "info",
        "clone": "info",
        "watchers": "status",
        "used": "du",
        "snapshots": "snap",
    }


def test_require_names_all_that_failed():
    found = [checks.Check(name, name == "b", f"why {name}", 1) for name in "abc"]
    with pytest.raises(Unproved, match="(?s)a: why a.*c: why c") as caught:
        checks.require(found)
    assert "why b" not in str(caught.value)
    checks.require(found[1:2])


UP = {"state": "up", "status": "enabled"}


def refusal(text, status):
    error = HttpException(text)
    error.status_code = status
    return error


class Cloud:
    """Plays Nova, Cinder and Glance as far as the proof asks them, and no more."""

    def __init__(self, line="stackrbd-guest: wrote 1 bytes, read back equal"):
        self.held = {}
        self.deleted = []
        self.stores = []  # of each image that is sent
        self.console = ["stackrbd-guest: up", line]
        self.attached_status = "in-use"
        self.interrupt = False
        self.attachments = []
        self.twice, self.lost = 0, False  # an answer to a second try; that the first one was lost
        self.nodes = {"c1": [UP], "c2": [UP]}
        self.backup_state, self.backup_status, self.restored = "up", "available", []
        self.unheard = 0  # so many backups find no service
        self.compute = self.block_storage = self.image = self

    def _keep(self, kind, name, status, **more):
        thing = Thing(id=f"id-{name}", name=name, kind=kind, status=status, **more)
        self.held[thing.id] = thing
        return thing

    def _all(self, kind):
        return [thing for thing in self.held.values() if thing.kind == kind]

    def servers(self):
        return self._all("server")

    def volumes(self):
        return self._all("volume")

    def images(self):
        return self._all("image")

    def snapshots(self, volume_id=None):
        return self._all("snapshot")

    def types(self, is_public=None):
        return self._all("type")

    def backups(self):
        return self._all("backup")

    def services(self):
        return [Thing(binary="cinder-backup", state=self.backup_state)]

    def create_backup(self, name, volume_id, description):
        more = {"volume_id": volume_id, "description": description, "container": "backups"}
        if self.unheard:
            self.unheard -= 1
            reason = "Service not found for creating backup."
            return self._keep("backup", name, "error", fail_reason=reason, **more)
        return self._keep("backup", name, self.backup_status, fail_reason="no pool", **more)

    def restore_backup(self, backup, volume):
        assert self.held[volume].status == "available"
        self.restored.append((backup, volume))

    def delete_backup(self, thing, force=False):
        assert self.held[self.held[thing].volume_id], "its volume goes later"
        self._delete(thing)

    def _get(self, thing):
        return self.held[getattr(thing, "id", thing)]

    get_server = get_volume = get_image = get_backup = _get

    def find_volume(self, identifier, ignore_missing):
        return self.held.get(identifier)

    def _delete(self, thing, ignore_missing=True, force=False):
        self.deleted.append(getattr(thing, "id", thing))
        del self.held[self.deleted[-1]]

    delete_volume = delete_image = _delete

    def delete_server(self, thing, ignore_missing=True):
        self._delete(thing)
        for volume in self.volumes():
            volume.status = "available"

    def hypervisors(self, details):
        return [
            Thing(name=f"{name}.lab", service_details={"host": name}, **self._said(name))
            for name in self.nodes
        ]

    def _said(self, name):
        """The first of what Nova says of a compute; the last one stays."""
        said = self.nodes[name]
        return said.pop(0) if len(said) > 1 else said[0]

    def find_flavor(self, name, ignore_missing):
        return Thing(id="flavor")

    def post(self, path, json):
        assert path == "/images"
        more = {"properties": {MARK: json[MARK], "stores": "rbd"}}
        more |= {"size": 1, "min_disk": 0}
        return Reply(self._keep("image", json["name"], "active", **more).id)

    def put(self, path, data, headers, timeout, connect_retries):
        self.sent = data.read()
        assert set(self.sent) <= set(b"guest\0") or self.sent == volume_backups.content("r1")
        self.stores.append(headers["X-Image-Meta-Store"])
        self.held[path.split("/")[2]].properties["stores"] = self.stores[-1]
        return Reply("")

    def create_volume(self, name, size, volume_type, metadata, image_id=None):
        return self._keep("volume", name, "available", metadata=metadata, size=size)

    def create_server(self, name, hypervisor_hostname, metadata, **more):
        if self.interrupt:
            raise KeyboardInterrupt
        more = {"metadata": metadata, "hypervisor_hostname": hypervisor_hostname}
        return self._keep("server", name, "ACTIVE", fault=None, **more)

    def create_volume_attachment(self, server, volume_id):
        self.held[volume_id].status = self.attached_status
        self.attachments.append(Thing(server=server.id, volume_id=volume_id))
        if self.twice:
            raise refusal("already attached", self.twice)

    def volume_attachments(self, server):
        return [one for one in self.attachments if one.server == server.id and not self.lost]

    def delete_volume_attachment(self, server, volume):
        self.held[volume.id].status = "available"
        self.attachments = [one for one in self.attachments if one.volume_id != volume.id]
        if self.twice:
            raise refusal("no such attachment", 404)

    def get_server_console_output(self, server, length):
        return {"output": "\n".join(self.console)}

    def server_actions(self, server):
        return [Thing(action="attach_volume", request_id="req-1")]

    def get_server_action(self, request, server):
        event = {"result": "Error", "traceback": "Traceback\nOSError: no ceph\n"}
        return Thing(events=[event], message=None)

    def get(self, path, params, microversion):
        return Thing(ok=True, json=lambda: {"messages": []})


class Reply:
    """What requests gives back."""

    status_code = 201

    def __init__(self, identifier):
        self.json = lambda: {"id": identifier}


@pytest.fixture
def settings(tmp_path):
    guest = tmp_path / "guest"
    guest.write_bytes(b"guest")
    return user.ProofSettings(
        volume_type="rbd",
        flavor="tiny",
        computes=("c1", "c2"),
        run_id="r1",
        guest_kernel=guest,
        guest_initrd=guest,
        guest_disk=guest,
        store="rbd",
        timeout=0,
    )


def ceph_of(parent="images/id-stackrbd-proof-r1-disk@snap", watchers=("1.2.3.4:0/1",)):
    """A Ceph in which a volume holds more each time that it is asked."""
    used = iter(range(0, 1000, 10))
    given = {"parent": lambda: parent, "watchers": lambda: list(watchers)}
    given["used"] = lambda: next(used)
    return lambda kind, volume: given[kind]()


def failed(found):
    return {check.name: check.detail for check in found if not check.ok}


def test_all_is_proved_on_every_compute_and_nothing_stays(settings):
    cloud = Cloud()
    found = proof.prove(cloud, settings, ceph_of(), lambda text: None)
    assert failed(found) == {}
    assert len(found) == 3 + 1 + 2 * (1 + 7)
    assert cloud.held == {}
    assert all(gone.startswith("id-stackrbd-proof-r1-") for gone in cloud.deleted)


@pytest.mark.parametrize(
    "status, lost, proved",
    [(400, False, True), (409, False, True), (400, True, False), (503, False, False)],
)
def test_what_the_session_asks_twice_is_done_once(settings, status, lost, proved):
    """The first answer was lost with its connection; the second one is a refusal."""
    cloud = Cloud()
    cloud.twice, cloud.lost = status, lost
    found = failed(proof.prove(cloud, settings, ceph_of(), lambda text: None))
    assert (found == {}) is proved, found


def test_a_guest_that_reads_back_something_else_is_a_failure(settings):
    cloud = Cloud("stackrbd-guest: vdb: wrote a, read back b: DIFFERENT")
    found = failed(proof.prove(cloud, settings, ceph_of(), lambda text: None))
    assert set(found) == {f"c{n}: the guest writes and reads back" for n in (1, 2)}
    assert "DIFFERENT" in found["c1: the guest writes and reads back"]
    assert cloud.held == {}


DOWN, OFF = {**UP, "state": "down"}, {**UP, "status": "disabled"}


def test_a_compute_that_nova_hears_a_little_later_is_waited_for(settings, monkeypatch):
    monkeypatch.setattr(waiting, "_PAUSE_SECONDS", 0)
    cloud = Cloud()
    cloud.nodes["c2"] = [DOWN] * 9 + [UP]
    settings = replace(settings, timeout=5)
    assert failed(proof.prove(cloud, settings, ceph_of(), lambda text: None)) == {}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            DOWN,
            "nova-compute of c1: not there after 0 s; last: enabled: Nova counts it as down; "
            "see that nova-compute runs on c1 and reaches the message queue",
        ),
        (
            OFF,
            "nova-compute of c1 is disabled: expected enabled; leave it out (--limit), or: "
            "openstack compute service set --enable c1 nova-compute",
        ),
    ],
)
def test_a_compute_that_takes_no_instance_is_named_and_the_others_are_proved(settings, said, words):
    cloud = Cloud()
    cloud.nodes["c1"] = [said]
    found = proof.prove(cloud, settings, ceph_of(), lambda text: None)
    assert failed(found) == {"c1: an instance is asked for": f"nova: {words}"}
    assert sum(check.name.startswith("c2: ") for check in found) == 8


def test_nova_that_gives_up_is_told_with_its_reason(settings):
    cloud = Cloud()
    cloud.attached_status = "available"
    found = failed(proof.prove(cloud, settings, ceph_of(), lambda text: None))
    assert "OSError: no ceph" in found["c1: Nova attaches the volume"]


@pytest.mark.parametrize(
    ("ceph", "name", "words"),
    [
        (ceph_of(parent=""), "a clone of the image as rbd volume", "no parent"),
        (ceph_of(watchers=()), "c1: Ceph names the hypervisor as watcher", "nobody"),
    ],
)
def test_what_ceph_does_not_confirm_is_a_failure(settings, ceph, name, words):
    found = failed(proof.prove(Cloud(), settings, ceph, lambda text: None))
    assert words in found[name]


def test_an_interrupt_cleans_up_and_goes_on(settings):
    cloud = Cloud()
    cloud.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        proof.prove(cloud, settings, ceph_of(), lambda text: None)
    assert cloud.held == {}
    assert len(cloud.deleted) == 3


def test_leftovers_go_and_what_has_no_mark_stays(settings):
    cloud, said = Cloud(), []
    mark = {"metadata": {MARK: "r0"}}
    cloud._keep("volume", "stackrbd-proof-r0-clone", "error", **mark)
    cloud._keep("volume", "stackrbd-proof-of-my-own", "available", metadata={})
    cloud._keep("server", "web", "ACTIVE", metadata={})
    proof.prove(cloud, settings, ceph_of(), said.append)
    assert {thing.name for thing in cloud.held.values()} == {
        "stackrbd-proof-of-my-own",
        "web",
    }
    assert any("has no mark: it stays" in text for text in said)


@pytest.mark.parametrize("scheme", ["file", "rbd"])
def test_an_image_in_files_is_not_accepted(scheme):
    url = f"{scheme}:///somewhere"
    image = Thing(id="i", name="n", direct_url=url, locations=None, properties={})
    if scheme == "file":
        with pytest.raises(Unproved, match="found it in files"):
            user.placed(image, None)
    else:
        assert user.placed(image, None) == "image i is active in rbd"


@pytest.mark.parametrize(
    "told, said",
    [
        ({"store": "rbd"}, "rbd"),
        ({"properties": {"stores": "rbd,other"}}, "rbd, other"),
        ({"store": "ceph", "locations": [{"url": "rbd://a"}, {"url": "rbd://b"}]}, "ceph, rbd"),
        ({"direct_url": None}, "a store that Glance does not name"),
    ],
)
def test_where_an_image_lies_is_said_once(told, said):
    base = {"id": "i", "name": "n", "direct_url": "rbd://x", "locations": None, "properties": {}}
    assert user.placed(Thing(**{**base, **told}), None) == f"image i is active in {said}"


def test_an_unknown_compute_is_named_with_those_that_are_there(settings):
    there = user.User(Cloud(), settings).hypervisors()
    assert [user.hypervisor(name, there).name for name in ("c1", "c1.lab")] == ["c1.lab"] * 2
    with pytest.raises(Unproved, match=r"c9: .* among c1\.lab, c2\.lab"):
        user.hypervisor("c9", there)


def test_where_there_are_several_each_check_says_what_it_is_about(settings):
    found = proof.prove(Cloud(), replace(settings, about="fast"), ceph_of(), lambda text: None)
    assert found and all(check.name.endswith(" (fast)") for check in found)


def test_an_image_in_each_further_store_is_cloned_from_there(settings):
    cloud, asked = Cloud(), []

    def ceph(kind, volume):
        asked.append(kind)
        return f"images/id-stackrbd-proof-r1-{'image-fast' if len(asked) > 1 else 'disk'}@snap"

    found = proof.prove(
        cloud, replace(settings, computes=(), stores=("fast",)), ceph, lambda text: None
    )
    assert failed(found) == {}
    assert "an image in store fast, and a clone of it as rbd volume" in [one.name for one in found]
    assert cloud.stores[-1] == "fast" and set(cloud.stores[:-1]) == {"rbd"}
    assert cloud.held == {}


# A backup, and what is restored from it

OWN, OLD = "{}.backup.id-stackrbd-proof-r1-backup", "{}.backup.base"
SOURCE, RESTORED = (f"id-stackrbd-proof-r1-{name}" for name in ("backed-up", "restored"))
SMALL = 1 << 21
KNOWN = volume_backups.digest(volume_backups.content("r1"), SMALL)


@pytest.fixture
def small(monkeypatch):
    """A GiB is less here: its digest takes seconds."""
    monkeypatch.setattr(volume_backups, "_GIB", SMALL)


def ceph_with_backups(cloud, image=OWN, other=None, stays=False, snapshots=True):
    """As ceph_of; image: how the backup's is called; other: what is restored instead."""
    plain = ceph_of()
    held = {SOURCE: KNOWN, RESTORED: other or KNOWN}

    def ceph(kind, volume):
        if kind == "content":
            return held[volume]
        if kind == "backup":
            there = stays or any(thing.kind == "backup" for thing in cloud.held.values())
            fits = image and volume == image.format(SOURCE)
            return f"volume-{volume}" if there and fits else ""
        if kind == "snapshots":
            return ["backup.id-stackrbd-proof-r1-backup.snap.1700000000.12"] if snapshots else []
        return plain(kind, volume)

    return ceph


@pytest.mark.parametrize(
    "image, snapshots, how", [(OWN, True, "by its difference"), (OLD, False, "as a copy")]
)
def test_a_backup_is_made_restored_and_compared(settings, small, image, snapshots, how):
    cloud = Cloud()
    ceph = ceph_with_backups(cloud, image, snapshots=snapshots)
    found = proof.prove(cloud, replace(settings, backups="backups"), ceph, lambda text: None)
    assert failed(found) == {}
    (made,) = [c.detail for c in found if c.name == "the volume is backed up into its pool"]
    assert f"backups/volume-{image.format(SOURCE)}" in made and how in made
    assert cloud.restored == [("id-stackrbd-proof-r1-backup", RESTORED)]
    assert cloud.held == {}


@pytest.mark.parametrize("seconds, passes", [(60, True), (-1, False)])
def test_a_backup_is_asked_for_again_until_the_scheduler_hears(settings, small, seconds, passes):
    """cinder-backup is up before the scheduler knows of it; it is not waited for for ever."""
    cloud = Cloud()
    cloud.unheard = 2
    wanted = replace(settings, backups="backups", timeout=seconds)
    found = failed(proof.prove(cloud, wanted, ceph_with_backups(cloud), lambda text: None))
    assert (found == {}) is passes
    assert all("Service not found" in said for said in found.values())
    assert cloud.held == {}


@pytest.mark.parametrize(
    "change, more, name, words",
    [
        ({"backup_state": "down"}, {}, "Cinder has a cinder-backup that is up", "expected one up"),
        ({"backup_status": "error"}, {}, "the volume is backed up into its pool", "no pool"),
        ({}, {"image": ""}, "the volume is backed up into its pool", "found none"),
        ({}, {"other": "f" * 64}, "what is restored is what was backed up", "trust no backup"),
        ({}, {"stays": True}, "the backup is deleted, and its image", "found backups/volume-"),
    ],
)
def test_a_backup_that_is_no_backup_is_a_failure(settings, small, change, more, name, words):
    cloud = Cloud()
    vars(cloud).update(change)
    ceph = ceph_with_backups(cloud, **more)
    found = failed(
        proof.prove(cloud, replace(settings, backups="backups"), ceph, lambda text: None)
    )
    assert list(found) == [name] and words in found[name]
    assert cloud.held == {}


def test_without_it_no_backup_is_made(settings):
    cloud = Cloud()
    found = proof.prove(cloud, settings, ceph_of(), lambda text: None)
    assert not any("backup" in check.name for check in found) and cloud.restored == []


def test_an_interrupt_in_a_restore_leaves_nothing(settings, small):
    cloud = Cloud()

    def interrupted(backup, volume):
        cloud.held[volume].status = "available"
        raise KeyboardInterrupt

    cloud.restore_backup = interrupted
    ceph = ceph_with_backups(cloud)
    with pytest.raises(KeyboardInterrupt):
        proof.prove(cloud, replace(settings, backups="backups"), ceph, lambda text: None)
    assert cloud.held == {}


def test_a_volume_that_a_fallen_cinder_backup_left_is_deleted_by_force(settings, small):
    """Its backup stays at creating: an administrator's reset ends that, and the volume's never."""
    cloud, forced = Cloud(), {}
    plain = cloud.delete_volume

    def create(name, volume_id, description):
        cloud.held[volume_id].status = "backing-up"
        more = {"volume_id": volume_id, "description": description, "container": None}
        return cloud._keep("backup", name, "error", fail_reason="reset", **more)

    def delete(thing, ignore_missing=True, force=False):
        forced[thing] = force
        plain(thing, ignore_missing, force)

    cloud.create_backup, cloud.delete_volume = create, delete
    ceph = ceph_with_backups(cloud)
    found = failed(
        proof.prove(
            cloud, replace(settings, backups="backups", computes=()), ceph, lambda text: None
        )
    )
    assert list(found) == ["the volume is backed up into its pool"]
    assert forced[SOURCE] and cloud.held == {}


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 5, 3 << 20])
def test_the_digest_is_of_the_whole_volume(size):
    known = volume_backups.content("r1")
    whole = known + bytes(size - len(known))
    assert volume_backups.digest(known, size) == hashlib.sha256(whole).hexdigest()
    assert volume_backups.content("r2") != known and 0 not in known[:4]
