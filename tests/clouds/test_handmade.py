"""A cloud that was integrated by hand works, and is called so; it is adopted, and given back."""

import pytest

from fabfile.cloud import connection
from tests.lab import guests
from tests.lab.conftest import ACCESS, inv, on, result

from . import handmade

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def number(lab):
    """The UUID that the operator chose."""
    return handmade.integrate_by_hand()


@pytest.fixture(scope="module")
def api(number):
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


@pytest.fixture(scope="module")
def adopted(number):
    """What was there before, and the run that took the cloud over."""
    before = handmade.state()
    return before, result(inv("integrate", "--yes", "--json"))


def errors(said):
    return [one for one in result(said)["findings"] if one["severity"] == "error"]


def test_it_works_before_anything_of_ours_was_there(api):
    with guests.image_of_a_guest(api) as image, guests.guest(api, image, "by-hand") as one:
        assert one.watchers()
        clone = api.block_storage.create_volume(
            name="clone", size=1, image_id=image.id, volume_type="rbd"
        )
        api.block_storage.wait_for_status(clone, "available", ["error"], 2, 180)
        api.block_storage.delete_volume(clone)
        api.block_storage.wait_for_delete(clone, 2, 120)


def test_doctor_finds_no_error_on_a_cloud_that_works(number):
    assert errors(inv("doctor", "--json", expect=(0, 3))) == []


def test_the_plan_adopts_what_is_there(number):
    planned = result(inv("plan", "--json"))
    text = " ".join(str(change) for change in planned["changes"])
    things = [(c["host"], c["thing"]) for c in planned["changes"]]
    assert not [t for t in things if t[0] in handmade.COMPUTES and "libvirt secret" in t[1]], things
    assert not [t for t in things if t[1].startswith(("pool ", "packages"))], things
    assert "rbd_secret_uuid" not in text or number in text


def test_integrate_takes_it_over_and_the_second_run_is_empty(adopted, number):
    assert "Nothing to do" in inv("integrate", "--yes")
    inv("integrate", "--check")
    assert f"rbd_secret_uuid = {number}" in on(
        handmade.CONTROLLER, "grep", "^rbd_secret_uuid", "/etc/cinder/cinder.conf"
    )
    for host in handmade.COMPUTES:
        assert on(host, "virsh", "-q", "secret-list").split()[0] == number


def test_it_is_proved_by_a_guest(adopted):
    inv("verify", timeout=900)
    assert errors(inv("doctor", "--json", expect=(0, 3))) == []


def test_undo_gives_the_handmade_cloud_back_byte_for_byte(adopted, api):
    before, done = adopted
    inv("undo", "--yes", "--run", done["run"])
    now = handmade.state()
    assert {at: text for at, text in now.items() if text != before[at]} == {}
    assert errors(inv("doctor", "--json", expect=(0, 3))) == []
    volume = api.block_storage.create_volume(name="after", size=1, volume_type="rbd")
    api.block_storage.wait_for_status(volume, "available", ["error"], 2, 120)
    api.block_storage.delete_volume(volume)
    api.block_storage.wait_for_delete(volume, 2, 120)
