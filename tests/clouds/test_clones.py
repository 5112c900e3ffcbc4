"""An image whose clone lives is deleted: what Glance answers, with both kinds of RBD's clones."""

import contextlib

import pytest
from openstack.exceptions import ConflictException

from fabfile.cloud import connection
from tests.lab.conftest import ACCESS, inv, on, result

pytestmark = pytest.mark.lab
CEPH = "ceph01"


@pytest.fixture(scope="module")
def api(integrated):
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


@contextlib.contextmanager
def clones_of(kind):
    on(CEPH, "rbd", "config", "pool", "set", "volumes", "rbd_default_clone_format", kind)
    try:
        yield
    finally:
        on(CEPH, "rbd", "config", "pool", "remove", "volumes", "rbd_default_clone_format")


def errors():
    said = inv("doctor", "--json", expect=(0, 3))
    return [one for one in result(said)["findings"] if one["severity"] == "error"]


def test_doctor_has_no_error_before(api):
    assert errors() == []


@pytest.mark.parametrize("kind", ["1", "2"])
def test_it_is_in_use_and_goes_when_its_clone_went(api, kind, tmp_path):
    """Zed's right answer is 409; without a look at the clones' pool it was 500."""
    file = tmp_path / "image.raw"
    file.write_bytes(b"an image of one mebibyte".ljust(1 << 20, b"."))
    image = api.image.create_image(
        name=f"cloned-{kind}",
        filename=str(file),
        disk_format="raw",
        container_format="bare",
        wait=True,
        validate_checksum=False,
    )
    storage = api.block_storage
    with clones_of(kind):
        volume = storage.create_volume(name="clone", size=1, image_id=image.id, volume_type="rbd")
        storage.wait_for_status(volume, "available", ["error"], 2, 180)
    children = on(CEPH, "rbd", "children", f"images/{image.id}@snap").split()
    assert children == [f"volumes/volume-{volume.id}"]
    status = on(CEPH, "rbd", "info", f"volumes/volume-{volume.id}")
    assert f"parent: images/{image.id}@snap" in status
    with pytest.raises(ConflictException, match="in use"):
        api.image.delete_image(image)
    assert api.image.get_image(image.id).status == "active"
    assert errors() == []
    storage.delete_volume(volume)
    storage.wait_for_delete(volume, 2, 120)
    api.image.delete_image(image)
    api.image.wait_for_delete(image, 2, 120)
    assert image.id not in on(CEPH, "rbd", "ls", "images").split()
