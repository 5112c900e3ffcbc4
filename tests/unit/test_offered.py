"""What the cloud offers a guest: what is believed, what is proposed, what is lacking."""

from types import SimpleNamespace as Thing

import pytest
from keystoneauth1.exceptions import EndpointNotFound
from openstack.exceptions import DuplicateResource, HttpException

from fabfile.adopt import guest
from fabfile.cloud import offered
from fabfile.core.contract import Failed


def flavor(name, ram=64, disk=1):
    return Thing(name=name, ram=ram, disk=disk)


def image(name, status="active", disk_format="raw", **more):
    return Thing(name=name, status=status, disk_format=disk_format, **more)


def cloud(flavors=(), images=(), error=None):
    """A cloud of these, as things or by names alone."""
    flavors = [flavor(one) if isinstance(one, str) else one for one in flavors]
    images = [image(one) if isinstance(one, str) else one for one in images]

    def listed(found):
        if error:
            raise error
        return iter(found)

    def found(among, name):
        same = [one for one in listed(among) if one.name == name]
        if len(same) > 1:
            raise DuplicateResource(f"More than one exists with the name {name!r}.")
        return same[0] if same else None

    compute = Thing(
        flavors=lambda: listed(flavors),
        find_flavor=lambda name, ignore_missing: found(flavors, name),
    )
    glance = Thing(
        images=lambda: listed(images),
        find_image=lambda name, ignore_missing: found(images, name),
    )
    return Thing(compute=compute, image=glance)


@pytest.mark.parametrize(
    "flavors, expected",
    [
        ([], []),
        ([flavor("a", 512, 1), flavor("b", 192, 20), flavor("c", 192, 1)], ["c", "b", "a"]),
        ([flavor("z", 64, 0), flavor("y", 64, 0)], ["y", "z"]),
        ([flavor(""), flavor("ok")], ["ok"]),
        ([flavor("x" * 1001), flavor("\ud800"), flavor("ok")], ["ok"]),
        ([flavor("AQBSdFtnAAAAABAAbGFiIGtleSBvZiBzdGFja3JiZA=="), flavor("ok")], ["ok"]),
    ],
)
def test_the_smallest_flavor_is_first(flavors, expected):
    assert guest.flavors(offered.read(cloud(flavors))) == expected


@pytest.mark.parametrize(
    "images, expected",
    [
        ([], []),
        ([image("b"), image("a")], ["a", "b"]),
        ([image("a", "queued"), image("b", "deactivated"), image("c")], ["c"]),
        ([image("a", disk_format="qcow2"), image("z")], ["z", "a"]),
        ([image(None), image(""), image("a", disk_format=None)], ["a"]),
        ([image("a", direct_url="file:///x"), image("b", direct_url="rbd://f/i/x/snap")], ["b"]),
        ([image("a", locations=[{"url": "file:///x"}]), image("b", locations=[])], ["b"]),
        ([image("a", properties={"stores": "file"}), image("b", store="rbd")], ["b"]),
        ([image("twice"), image("twice"), image("a")], ["a"]),
        ([image("twice", "queued"), image("twice"), image("a")], ["a"]),
    ],
)
def test_images_that_are_active_and_have_a_name_of_their_own(images, expected):
    assert guest.images(offered.read(cloud(images=images))) == expected


@pytest.mark.parametrize(
    "flavors, images",
    [
        ([flavor(None)], []),
        ([flavor("a\nb")], []),
        ([flavor("a", ram="64")], []),
        ([flavor("a", disk=None)], []),
        ([flavor("a", ram=True)], []),
        ([], [image(["x"])]),
        ([], [image("a\x1b[2J")]),
        ([], [image("a", status=None)]),
        ([], [image("a", disk_format={})]),
    ],
)
def test_what_is_no_answer_is_not_believed(flavors, images):
    with pytest.raises(Failed, match="expected what the API's reference has"):
        offered.read(cloud(flavors, images))


ERRORS = [HttpException("no"), EndpointNotFound("no")]


@pytest.mark.parametrize("error", ERRORS)
def test_an_api_that_does_not_answer_is_said_and_lacks_nothing(error):
    with pytest.raises(Failed, match="nova-api and glance-api are up"):
        offered.read(cloud(error=error))
    assert offered.lacking(cloud(error=error), "a", "b") == {}


@pytest.mark.parametrize(
    "wanted, expected",
    [
        (("f", "i"), {}),
        (("f", None), {}),
        (("g", None), {"flavor": "there is none of that name"}),
        (("g", "j"), dict.fromkeys(("flavor", "image"), "there is none of that name")),
        (("f", "queued"), {"image": "it is 'queued', not active"}),
        (("f", "twice"), {"image": "several have that name: give the id of one"}),
    ],
)
def test_what_is_lacking(wanted, expected):
    images = ["i", image("queued", "queued"), "twice", "twice"]
    assert offered.lacking(cloud(["f"], images), *wanted) == expected


def test_only_so_many_are_looked_at():
    many = [flavor(f"f{number}") for number in range(offered.MOST + 5)]
    assert len(offered.read(cloud(many))["flavors"]) == offered.MOST
