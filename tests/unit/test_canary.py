"""The canary's course against a cloud that is played: what it asks, in which order, what stays."""

import threading
from dataclasses import replace
from types import SimpleNamespace as Thing

import pytest

from fabfile.cloud import canary, waiting
from fabfile.cloud.leftovers import MARK
from fabfile.core.contract import Interrupted

from . import test_proof
from .test_proof import failed, settings  # noqa: F401 (a fixture)

RUN = "stackrbd-proof-r1-"
SHARED = 4
"""What earlier ones left, the image, the computes, and that all is deleted."""


class Cloud(test_proof.Cloud):
    """Plays what the canary asks besides: types, pools, snapshots, hypervisors, migration."""

    def __init__(self, **more):
        super().__init__(**more)
        self.kinds, self.pools = ["rbd"], ["ctl@rbd#rbd"]
        self.states = {"c1": "up", "c2": "up"}
        self.gives_up, self.at_work, self.most, self.count = False, 0, 0, 0
        self.lock = threading.Lock()

    def images(self, limit=None):
        return iter(self._all("image"))

    def types(self, is_public=None):
        public = [Thing(name=name, id=name, description="") for name in self.kinds]
        return public + (self._all("type") if is_public == "None" else [])

    def create_type(self, name, description, is_public):
        assert not is_public
        return self._keep("type", name, "", description=description)

    def update_type_extra_specs(self, kind, volume_backend_name):
        kind.backend = volume_backend_name

    def backend_pools(self):
        return [Thing(name=name) for name in self.pools]

    def delete_type(self, kind):
        self._delete(kind)

    def create_snapshot(self, name, volume_id, is_forced, metadata):
        assert is_forced
        return self._keep("snapshot", name, "available", metadata=metadata, of=volume_id)

    def get_snapshot(self, thing):
        return self._get(thing)

    def delete_snapshot(self, snapshot):
        self._delete(snapshot)

    def hypervisors(self, details):
        return [
            Thing(name=f"{name}.lab", service_details={"host": name}, state=state, status="enabled")
            for name, state in self.states.items()
        ]

    def create_server(self, name, hypervisor_hostname, **more):
        (disk,) = more.pop("block_device_mapping")
        assert disk["boot_index"] == 0 and "clone" not in disk
        with self.lock:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        made = super().create_server(name, hypervisor_hostname, **more)
        made.task_state = None
        return made

    def delete_server(self, thing, ignore_missing=True):
        with self.lock:
            self.at_work -= 1
        super().delete_server(thing)

    def get_server_console_output(self, server, length):
        self.count += 1
        return {"output": f"stackrbd-guest: up\nwrote {self.count}, read back equal\n"}

    def live_migrate_server(self, server, host, block_migration):
        assert block_migration == "auto"
        if not self.gives_up:
            server.hypervisor_hostname = f"{host}.lab"

    def server_actions(self, server):
        return [
            Thing(action=kind, request_id="req-1") for kind in ("attach_volume", "live-migration")
        ]

    def ceph(self, kind, volume):
        """As rbd would say of a volume of this cloud."""
        one = self.held[volume]
        if kind == "parent":
            return f"images/id-{RUN}disk@snap"
        if kind == "snapshots":
            return [f"snapshot-{s.id}" for s in self._all("snapshot") if s.of == volume]
        if kind == "watchers":
            host = one.name.rpartition("@")[2]
            (server,) = [s for s in self._all("server") if s.name.endswith(f"@{host}")]
            return [f"{server.hypervisor_hostname}:0/1"]
        self.count += 1
        return self.count


def fly(cloud, wanted, hear=lambda check: None, raise_if_stopped=lambda: None, said=None, **flight):
    course = canary.Flight(**{"targets": ("c1", "c2"), "at_once": 2, **flight})
    listener = canary.Listener(hear, (said if said is not None else []).append, raise_if_stopped)
    return canary.prove(lambda: cloud, wanted, course, cloud.ceph, listener)


def steps(found, host="c1"):
    return [check.name.removeprefix(f"{host}: ") for check in found if check.host == host]


def test_every_compute_goes_through_every_step_and_nothing_stays(settings):  # noqa: F811
    cloud, heard = Cloud(), []
    found = fly(cloud, settings, heard.append)
    assert failed(found) == {}
    assert (
        steps(found)
        == steps(found, "c2")
        == [
            "a volume from the image is its clone",
            "an instance boots from it here",
            "a volume is made",
            "it is attached",
            "the guest writes and reads back",
            "Ceph names who watches it",
            "what was written is in Ceph",
            "a snapshot of it in RBD",
            "live migration with the volume attached",
            "the guest writes there too",
            "it is detached",
            "all of it is removed",
        ]
    )
    assert len(found) == SHARED + 2 * 12 and heard == found
    assert [check.last for check in found if check.host == "c1"] == [False] * 11 + [True]
    assert cloud.held == {}


def test_the_guest_must_write_anew_where_it_came_to(settings):  # noqa: F811
    cloud = Cloud()
    cloud.get_server_console_output = lambda server, length: {
        "output": "stackrbd-guest: up\nwrote 1, read back equal"
    }
    assert set(failed(fly(cloud, settings))) == {
        "c1: the guest writes there too",
        "c2: the guest writes there too",
    }
    assert cloud.held == {}


class Slow(Cloud):
    """Its Nova forgets an attachment some questions after Cinder did."""

    def __init__(self, **more):
        super().__init__(**more)
        self.leaving = {}

    def delete_volume_attachment(self, server, volume):
        self.held[volume.id].status = "available"
        self.leaving[volume.id] = 3

    def volume_attachments(self, server):
        found = super().volume_attachments(server)
        for one in found:
            left = self.leaving.get(one.volume_id, 0)
            self.leaving[one.volume_id] = left - 1
            if left == 1:
                self.attachments.remove(one)
        return found

    def create_volume_attachment(self, server, volume_id):
        if self.leaving.get(volume_id, 0) > 0:
            raise test_proof.refusal("already attached", 400)
        super().create_volume_attachment(server, volume_id)


def test_a_volume_comes_on_again_once_nova_has_forgotten_it(settings, monkeypatch):  # noqa: F811
    monkeypatch.setattr(waiting, "_PAUSE_SECONDS", 0)
    assert failed(fly(Slow(), replace(settings, timeout=5))) == {}


def test_a_migration_that_nova_gives_up_is_told_with_its_reason(settings):  # noqa: F811
    cloud = Cloud()
    cloud.gives_up = True
    why = failed(fly(cloud, settings))["c1: live migration with the volume attached"]
    assert "expected it on c2.lab, found it on c1.lab still" in why and "OSError: no ceph" in why
    assert cloud.held == {}


def test_an_instance_that_still_watches_from_where_it_was(settings):  # noqa: F811
    cloud = Cloud()
    honest = cloud.ceph
    cloud.ceph = lambda kind, v: ["c1.lab:0/1"] if kind == "watchers" else honest(kind, v)
    why = failed(fly(cloud, settings))["c1: live migration with the volume attached"]
    assert "expected them on c2.lab alone, and c1.lab gone" in why


def test_a_failure_ends_its_own_computes_chain_alone(settings):  # noqa: F811
    cloud = Cloud()
    plain = cloud.create_server

    def only_c2(name, hypervisor_hostname, **more):
        made = plain(name, hypervisor_hostname, **more)
        made.status = "ERROR" if hypervisor_hostname == "c1.lab" else "ACTIVE"
        return made

    cloud.create_server = only_c2
    found = fly(cloud, settings)
    assert set(failed(found)) == {"c1: an instance boots from it here"}
    assert steps(found)[-2:] == ["an instance boots from it here", "all of it is removed"]
    assert len(steps(found, "c2")) == 12
    assert cloud.held == {}


def test_as_many_at_a_time_as_are_asked_for(settings):  # noqa: F811
    cloud = Cloud()
    assert failed(fly(cloud, settings, at_once=1)) == {}
    assert cloud.most == 1


def test_without_another_compute_it_does_not_migrate_and_says_so(settings):  # noqa: F811
    cloud, said = Cloud(), []
    cloud.states["c2"] = "down"
    found = fly(cloud, test_settings(settings, computes=("c1",)), said=said)
    assert "live migration with the volume attached" not in steps(found)
    assert said == ["c1: no live migration with the volume attached: no other compute may take it"]
    assert failed(found) == {}


def test_settings(settings, **more):  # noqa: F811, PT028
    return settings.__class__(**{**vars(settings), **more})


test_settings.__test__ = False


def test_the_storage_alone_needs_no_compute(settings):  # noqa: F811
    cloud = Cloud()
    found = fly(cloud, test_settings(settings, computes=()))
    assert [check.name for check in found if not check.host] == [
        "what earlier proofs left is gone",
        "an image in Glance",
        "a volume from the image is its clone",
        "a snapshot of it in RBD",
        "all of it is removed",
        "everything is deleted again",
    ]
    assert failed(found) == {} and cloud.held == {}


def test_where_the_volume_type_is_not_there_yet_a_private_one_is_made(settings):  # noqa: F811
    cloud = Cloud()
    cloud.kinds = []
    used = set()
    plain = cloud.create_volume
    cloud.create_volume = lambda **asked: used.add(asked["volume_type"]) or plain(**asked)
    assert failed(fly(cloud, settings, backend="rbd")) == {}
    assert used == {f"id-{RUN}type"} and cloud.held == {}


def test_a_backend_that_the_scheduler_does_not_know(settings):  # noqa: F811
    cloud = Cloud()
    cloud.kinds, cloud.pools = [], ["ctl@nfs#nfs"]
    why = failed(fly(cloud, settings, backend="rbd"))["a volume type"]
    assert "cinder-scheduler to know a pool" in why and "ctl@nfs#nfs" in why


def test_an_interrupt_ends_every_chain_and_removes_all(settings):  # noqa: F811
    cloud, heard = Cloud(), []

    def raise_if_stopped():
        if any("is attached" in check.name for check in heard):
            raise Interrupted("interrupted")

    with pytest.raises(Interrupted):
        fly(cloud, settings, heard.append, raise_if_stopped)
    assert cloud.held == {}
    assert heard[-1].name == "everything is deleted again" and heard[-1].ok


def test_what_a_killed_one_left_goes_first_and_what_is_anothers_stays(settings):  # noqa: F811
    cloud = Cloud()
    mark = {MARK: "r0"}
    for kind in ("server", "volume", "snapshot", "image"):
        cloud._keep(kind, f"stackrbd-proof-r0-{kind}", "available", metadata=mark, of="")
    cloud._keep("type", "stackrbd-proof-r0-type", "", description=f"{MARK} r0")
    cloud._keep("volume", "stackrbd-proof-mine", "available", metadata={})
    cloud.at_work = 1
    (first, *_) = fly(cloud, settings)
    assert first.detail == ("1 servers, 1 snapshots, 1 volumes, 1 images, 1 types deleted")
    assert {thing.name for thing in cloud.held.values()} == {"stackrbd-proof-mine"}


@pytest.mark.parametrize(
    "names, targets, down, expected",
    [
        (["a", "b"], ["a", "b"], "", {"a": "b", "b": "a"}),
        (["a", "b", "c"], ["a", "b", "c"], "", {"a": "b", "b": "c", "c": "a"}),
        (["a", "b", "c"], ["a", "b", "c"], "b", {"a": "c", "b": "c", "c": "a"}),
        (["a"], ["a"], "", {"a": ""}),
        (["a"], [], "", {"a": ""}),
        (["a"], ["a", "b"], "b", {"a": ""}),
        (["b"], ["a", "b", "c"], "", {"b": "c"}),
        (["x"], ["a", "b"], "", {"x": "b"}),
    ],
)
def test_where_instances_migrate_to(names, targets, down, expected):
    assert canary.destinations(names, targets, lambda name: name not in down) == expected
