"""What the site file says to leave as it is: a cloud that works is described, not altered."""

import pytest

from fabfile.core.contract import CLOUD, BadInput, Facts
from fabfile.resources import auth, service_config

from . import clouds
from .states import KEY, ZED, cluster, site, user
from .test_releases import written
from .test_several_stores import edits as stores_of
from .test_wanted_options import edits

POOLS = [clouds.pool("volumes"), clouds.pool("images")]
BARE = {"mon": "profile rbd", "osd": "profile rbd pool=images"}


@pytest.mark.parametrize("service", ["glance", "cinder", "nova"])
def test_what_is_recommended_is_left_out_and_the_identity_is_not(service):
    with_all, without = edits(service), edits(service, recommended=False)
    advised = {at: value for at, value in with_all.items() if at not in without}
    named = {key for _, key in advised}
    assert without.items() <= with_all.items()
    assert (
        named
        == {
            "glance": {"show_image_direct_url"},
            "cinder": {"report_discard_supported"},
            "nova": {"rbd_user", "rbd_secret_uuid"},
        }[service]
    )


def test_another_user_of_novas_stays_where_nothing_is_recommended():
    other = [("libvirt", "rbd_user", "nova"), ("libvirt", "rbd_secret_uuid", "x")]
    assert edits("nova", *other) != {}
    assert edits("nova", *other, recommended=False) == {}


def test_what_the_site_file_asks_for_is_set_all_the_same():
    asked = {"cinder": {"rbd": {"report_discard_supported": True}}}
    found = edits("cinder", recommended=False, options=asked)
    assert found["rbd", "report_discard_supported"] == "true"
    url = edits("glance", recommended=False, glance={"show_image_direct_url": False})
    assert url["DEFAULT", "show_image_direct_url"] == "False"


def test_the_default_store_stays_whatever_it_is():
    assert stores_of(site())["glance_store", "default_backend"] == "rbd"
    named = [("DEFAULT", "enabled_backends", "theirs:file"), (*DEFAULT_STORE, "theirs")]
    kept = stores_of(site(glance={"keep_default": True}), *named)
    assert DEFAULT_STORE not in kept
    assert kept["DEFAULT", "enabled_backends"] == "theirs:file,rbd:rbd"


DEFAULT_STORE = ("glance_store", "default_backend")


@pytest.mark.parametrize(
    "older, default",
    [
        ({}, "file"),
        ({"stores": "file,http"}, "file"),
        ({"stores": "file,swift", "default_store": "swift"}, "swift"),
        ({"stores": "file,swift", "default_store": "swift+https"}, "swift"),
        ({"stores": "glance.store.filesystem.Store", "default_store": "filesystem"}, "file"),
        ({"stores": "http,file", "default_store": "https"}, "http"),
        ({"stores": "rbd,http", "default_store": "rbd"}, "ours"),
        ({"stores": "rbd", "default_store": "rbd"}, "ours"),
        ({"stores": "cinder", "default_store": "cinder"}, "cinder"),
        ({"stores": "file,s3", "default_store": "s3+http"}, "s3"),
    ],
)
@pytest.mark.parametrize("empty", [[], [("DEFAULT", "enabled_backends", "")]])
def test_a_default_store_that_gets_a_name_stays_the_default_by_it(older, default, empty):
    """Without default_backend, glance-api does not start once its stores have names."""
    lines = [("glance_store", key, value) for key, value in older.items()]
    where = site(glance={"store": "ours", "keep_default": True})
    assert stores_of(where, *lines, *empty)[DEFAULT_STORE] == default


def test_before_stores_have_names_the_older_default_stays_unsaid():
    found = written("stein", "glance", {}, glance={"keep_default": True})
    assert not {key for _, key in found} & {"default_backend", "default_store"}


def planned(client, caps):
    seen = {"ceph01": cluster(POOLS, [user("images", KEY, caps), user("volumes", KEY, WHOLE)])}
    where = site(clients={"volumes": {}, "images": client})
    facts = Facts(seen, {}, ZED)
    return auth.plan(where, facts), auth.notes(where, facts, ())


WHOLE = {"mon": "allow *", "osd": "allow *", "mgr": "allow *"}


def test_caps_of_a_user_that_is_there_stay_and_what_they_lack_is_said():
    (widened,), _ = planned({}, BARE)
    assert widened.subject == "images"
    changes, notes = planned({"manage": False}, BARE)
    assert changes == []
    (note,) = notes
    assert "client.images" in note and "manage = true" in note and "mgr" in note


def test_caps_that_suffice_are_not_spoken_of():
    assert planned({"manage": False}, WHOLE) == ([], [])


def test_a_user_that_is_not_there_is_made_all_the_same():
    seen = {"ceph01": cluster(POOLS, [user("volumes", KEY, WHOLE)])}
    where = site(clients={"volumes": {}, "images": {"manage": False}})
    (made,) = auth.plan(where, Facts(seen, {}, ZED))
    assert (made.subject, made.sign) == ("images", "+")


def typed(**table):
    where = site(cloud="c", cinder={"backends": {"rbd": {"pool": "volumes", **table}}})
    seen = {"ceph01": cluster(), CLOUD: {"volume_types": {}}}
    return [c.subject for c in service_config.volume_type.plan(where, Facts(seen, {}, ZED))]


def test_a_backend_without_a_type_gets_none():
    assert typed() == ["rbd"]
    assert typed(without_type=True) == []


@pytest.mark.parametrize(
    "table, said",
    [
        ({"cinder": {"without_type": True, "volume_type": "x"}}, "no volume_type beside it"),
        ({"cinder": {"without_type": True, "qos": {"total_iops_sec": "1"}}}, "no qos beside it"),
        ({"cinder": {"without_type": True, "extra_specs": {"a": "b"}}}, "no extra_specs beside"),
        ({"glance": {"keep_default": True, "default_store": "rbd"}}, "no default_store beside"),
        ({"clients": {"volumes": {"manage": "no way"}, "images": {}}}, "clients.volumes.manage"),
        ({"recommended": 3}, "recommended"),
    ],
)
def test_what_cannot_be_meant_is_refused(table, said):
    with pytest.raises(BadInput) as refused:
        site(**table)
    assert said in str(refused.value)


def test_the_one_backend_may_be_without_a_type():
    (one,) = site(cinder={"without_type": True}).cinder.all
    assert one.volume_type is None
