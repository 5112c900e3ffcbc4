"""What is deleted while a clone of it lives, against a cloud that answers as releases do."""

import re

import pytest

from fabfile.cloud import canary
from fabfile.cloud.dependents import END, Expected
from fabfile.cloud.leftovers import MARK, Leftovers
from fabfile.core.contract import Interrupted

from . import states, test_canary
from .test_canary import RUN, fly, test_settings
from .test_proof import failed, settings  # noqa: F401 (a fixture)


class Cloud(test_canary.Cloud):
    """Plays deletion: what is kept while a clone lives, by its format and the release.

    image, snapshot, volume: 'deleted', 'in use', 'busy', or a status code.
    """

    def __init__(self, image="deleted", snapshot="deleted", volume="deleted", made="v2"):
        super().__init__()
        self.kept = {"image": image, "snapshot": snapshot, "volume": volume}
        self.made, self.copies, self.tried = made, False, []

    def create_volume(self, name, size, volume_type, metadata, **parent):
        made = super().create_volume(name, size, volume_type, metadata)
        made.parent = next(iter(parent.values()), "")
        made.snapshot_id = parent.get("snapshot_id")
        made.source_volume_id = parent.get("source_volume_id")
        return made

    def put(self, path, data, headers, timeout, connect_retries):
        assert data.read() in {b"guest", bytes(1024**2)}
        return test_canary.test_proof.Reply("")

    def _clones(self, thing):
        return [v for v in self._all("volume") if v.parent == thing.id and not self.copies]

    def _refused(self, thing, how):
        from openstack.exceptions import ConflictException, HttpException  # noqa: PLC0415

        self.tried.append(thing.name)
        if self._clones(thing) and how == "in use":
            raise ConflictException("in use")
        if self._clones(thing) and isinstance(how, int):
            error = HttpException("Internal Server Error")
            error.status_code = how
            raise error
        return bool(self._clones(thing)) and how == "busy"

    def delete_image(self, identifier, ignore_missing=True):
        thing = self.held[getattr(identifier, "id", identifier)]
        self._refused(thing, self.kept["image"])
        self._delete(thing)

    def delete_snapshot(self, snapshot):
        if not self._refused(snapshot, self.kept["snapshot"]):
            self._delete(snapshot)

    def delete_volume(self, thing, ignore_missing=True, force=False):
        one = self.held[getattr(thing, "id", thing)]
        assert not [s for s in self._all("snapshot") if s.of == one.id]  # Cinder answers 400
        if self._refused(one, self.kept["volume"]) is False:
            self._delete(one)

    def ceph(self, kind, volume):
        one = self.held[volume]
        if kind == "clone":
            return self.made if one.parent and not self.copies else ""
        if kind == "parent" and one.parent:
            return f"images/{one.parent}@snap"
        return super().ceph(kind, volume)


def proved(cloud, settings_, expected):
    found = fly(cloud, test_settings(settings_, computes=()), dependents=expected)
    return {check.name.split(" with a clone")[0]: check for check in found if "as it" in check.name}


def of(release, v2=None):
    return Expected(states.release(release)["clones"], v2)


@pytest.mark.parametrize(
    "release, made, image, snapshot",
    [
        ("zed", "v1", "in use", "busy"),
        ("zed", "v2", "in use", "deleted"),
        ("2023.2", "v2", "deleted", "deleted"),
        ("2025.1", "v1", "in use", "deleted"),
        ("2025.1", "v2", "deleted", "deleted"),
        ("queens", "v1", "in use", "busy"),
    ],
)
def test_what_the_release_answers_is_right_and_is_said(settings, release, made, image, snapshot):  # noqa: F811
    cloud = Cloud(image, snapshot, made=made)
    found = proved(cloud, settings, of(release))
    assert failed(found.values()) == {}
    assert {name: check.detail.split(",")[0] for name, check in found.items()} == {
        "an image": image,
        "a snapshot": snapshot,
        "a volume": "deleted",
    }
    assert all(f"a clone of {made}" in check.detail for check in found.values())
    assert ("SnapshotIsBusy" in found["a snapshot"].detail) == (snapshot == "busy")
    trash = release.startswith("20") and made == "v2"
    assert ("trash" in found["an image"].detail) == trash
    assert cloud.held == {}


@pytest.mark.parametrize(
    "case, expected, which, words",
    [
        ({"image": 500}, of("zed"), "an image", "found 500.*inv ceph.auth"),
        ({"image": 403}, of("zed"), "an image", "found 403"),
        ({"image": "in use"}, of("2025.1"), "an image", "expected it trash.*found it in use"),
        ({"snapshot": "busy"}, of("zed"), "a snapshot", "expected it deleted.*found it busy"),
        ({"volume": "busy"}, of("zed"), "a volume", "expected it deleted.*found it busy"),
        (
            {"made": "v1", "snapshot": "busy", "image": "in use"},
            of("zed", v2=True),
            "a snapshot",
            "expected it of v2.*inv ceph.clones",
        ),
    ],
)
def test_what_is_not_right_is_a_failure_with_its_reason(settings, case, expected, which, words):  # noqa: F811
    cloud = Cloud(**{"image": "in use", **case})
    found = proved(cloud, settings, expected)
    check = found[which]
    assert not check.ok
    assert re.search(words, check.detail, re.S)
    assert len(found) == 3  # the others were tried all the same
    assert cloud.held == {}


@pytest.mark.parametrize("v2", [None, False])
def test_a_site_that_stays_with_v1_is_told_so_and_has_no_failure(settings, v2):  # noqa: F811
    found = proved(Cloud("in use", "busy", made="v1"), settings, of("zed", v2))
    assert failed(found.values()) == {}
    assert found["a snapshot"].detail.startswith("busy, with a clone of v1 (SnapshotIsBusy)")


def test_a_release_that_is_not_known_has_no_expectation(settings):  # noqa: F811
    found = proved(Cloud("in use", "busy", "busy", made="v2"), settings, Expected())
    assert failed(found.values()) == {}


def test_what_cinder_copies_has_no_dependents(settings):  # noqa: F811
    """rbd_flatten_volume_from_snapshot, or a clone depth of 0."""
    cloud = Cloud()
    honest = cloud.ceph
    cloud.ceph = lambda kind, v: "" if kind == "clone" else honest(kind, v)
    found = proved(cloud, settings, of("zed"))
    assert "nothing depends on it" in found["a snapshot"].detail and cloud.held == {}


def test_it_is_left_out_where_it_is_not_asked_for(settings):  # noqa: F811
    cloud = Cloud()
    found = fly(cloud, test_settings(settings, computes=()))
    assert not [check for check in found if "with a clone" in check.name]
    assert not [name for name in cloud.tried if name.endswith(END)]


@pytest.mark.parametrize("at", [0, 2, 4])
def test_an_interrupt_removes_all_of_it(settings, at):  # noqa: F811
    """In the middle of each of the three: each has two checks, and something is made by then."""
    cloud, heard = Cloud("in use", "busy", made="v1"), []

    def raise_if_stopped():
        checks = [check for check in heard if "with a clone" in check.name]
        if len(checks) == at and any(END in thing.name for thing in cloud.held.values()):
            raise Interrupted("interrupted")

    with pytest.raises(Interrupted):
        fly(
            cloud,
            test_settings(settings, computes=()),
            heard.append,
            raise_if_stopped,
            dependents=of("zed"),
        )
    assert cloud.held == {}


def test_what_the_pools_keep_is_cleared_by_uuid_when_the_clone_is_gone(settings):  # noqa: F811
    cloud, cleared = Cloud(), []

    def clear(kind, parent, clone):
        assert not [one for one in cloud._all("volume") if one.name.endswith(END)]
        cleared.append((kind, parent, clone))
        return f"the {kind} is removed" if kind == "volume" else ""

    course = test_settings(settings, computes=())
    found = fly(cloud, course, dependents=of("2025.1"), clear=clear)
    assert failed(found) == {}
    name = f"id-{RUN}{{}}{END}"
    assert cleared == [
        ("image", name.format("image"), name.format("root")),
        ("volume", name.format("source"), name.format("clone")),
    ]
    said = {check.name: check.detail for check in found}
    assert said["a volume with a clone: all of it is removed"].endswith("; the volume is removed")
    assert not said["an image with a clone: all of it is removed"].endswith("; ")


def test_nothing_is_cleared_of_a_parent_whose_clone_was_not_made_or_stays(settings):  # noqa: F811
    cloud, cleared = Cloud(), []
    plain = cloud.create_volume

    def refused(name, size, volume_type, metadata, **parent):
        if parent:
            raise OSError("no clones today")
        return plain(name, size, volume_type, metadata)

    cloud.create_volume = refused
    fly(
        cloud,
        test_settings(settings, computes=()),
        dependents=of("2025.1"),
        clear=lambda *words: cleared.append(words) or "",
    )
    assert cleared == []


def test_what_a_killed_one_left_is_removed_clones_first(settings):  # noqa: F811
    """A snapshot that Cinder keeps for its clone would hold up the sweep until its time is up."""
    cloud = Cloud("in use", "busy", "busy", made="v1")
    marked = {"name": f"{RUN}x{END}", "size": 1, "volume_type": "rbd", "metadata": {MARK: "r0"}}
    source = cloud.create_volume(**marked)
    snapshot = cloud.create_snapshot(f"{RUN}s{END}", source.id, True, {MARK: "r0"})
    cloud.create_volume(**{**marked, "name": f"{RUN}y{END}"}, snapshot_id=snapshot.id)
    cloud.create_volume(**{**marked, "name": f"{RUN}z{END}"}, source_volume_id=source.id)
    told = Leftovers(cloud, 0, print).sweep(RUN)
    assert cloud.held == {} and "2 clones" in told


def test_no_compute_can_have_its_ending():
    with pytest.raises(Exception, match="hosts"):
        states.site(hosts={**states.HOSTS, f"n{END}": {"roles": ["compute"]}})
    assert canary.Flight(("a",), 1).dependents is None
