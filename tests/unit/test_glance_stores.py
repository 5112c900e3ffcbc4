"""Glance's stores that are in force: they stay, of every kind, or integrating is refused."""

import pytest

from fabfile.core.contract import BadInput

from .test_releases import written

G = "glance_store"
HIDDEN = "sha256:" + "c" * 64


def stores(before, release="2024.1", **site):
    return written(release, "glance", before, **site)


@pytest.mark.parametrize(
    "listed, expected",
    [
        ("file,http,swift", "file:file,http:http,swift:swift,rbd:rbd"),
        ("swift", "file:file,swift:swift,rbd:rbd"),
        ("file, cinder , s3", "file:file,cinder:cinder,s3:s3,rbd:rbd"),
        ("rbd,file,http", "file:file,http:http,rbd:rbd"),
        ("rbd", "file:file,rbd:rbd"),
        (
            "glance.store.filesystem.Store,glance.store.swift.Store",
            "file:file,swift:swift,rbd:rbd",
        ),
    ],
)
@pytest.mark.parametrize("empty", [{}, {("DEFAULT", "enabled_backends"): ""}])
def test_every_kind_of_the_older_list_gets_a_name(listed, expected, empty):
    """07: images in swift, or at an http address, could not be read any more."""
    assert stores({(G, "stores"): listed, **empty})["DEFAULT", "enabled_backends"] == expected


def test_each_takes_its_own_options_along():
    before = {
        (G, "stores"): "file,swift",
        (G, "default_store"): "swift",
        (G, "swift_store_container"): "glance",
        (G, "default_swift_reference"): "ref1",
        (G, "filesystem_store_datadir"): "/srv/images",
        (G, "filesystem_store_file_perm"): "0640",
    }
    found = stores(before)
    assert found["swift", "swift_store_container"] == "glance"
    assert found["swift", "default_swift_reference"] == "ref1"
    assert found["file", "filesystem_store_datadir"] == "/srv/images"
    assert found["file", "filesystem_store_file_perm"] == "0640"
    assert ("swift", "default_store") not in found and (
        "file",
        "swift_store_container",
    ) not in found


@pytest.mark.parametrize(
    "before, said",
    [
        ({(G, "stores"): "file,swift", (G, "swift_store_key"): HIDDEN}, "a credential of store"),
        ({(G, "stores"): "s3", (G, "s3_store_secret_key"): HIDDEN}, "a credential of store s3"),
        ({(G, "stores"): "cinder", (G, "cinder_store_password"): HIDDEN}, "of store cinder"),
        ({(G, "stores"): "file,vmware"}, "a store of kind vmware"),
        ({(G, "stores"): "sheepdog"}, "a store of kind sheepdog"),
        ({(G, "stores"): "rbd", (G, "rbd_store_pool"): "old"}, "rbd_store_pool = old"),
        ({(G, "stores"): "rbd", (G, "rbd_store_user"): "x", (G, "rbd_store_pool"): "Images"}, "Im"),
        (
            {(G, "stores"): "rbd", (G, "rbd_store_ceph_conf"): "/etc/ceph/east.conf"},
            "rbd_store_ceph_conf = /etc/ceph/east.conf",
        ),
        ({("DEFAULT", "enabled_backends"): "rbd:file"}, "another glance.store"),
        ({("DEFAULT", "enabled_backends"): "RBD : swift, x:file"}, "another glance.store"),
        (
            {("DEFAULT", "enabled_backends"): "rbd:rbd", ("rbd", "rbd_store_pool"): "old"},
            "rbd_store_pool = old",
        ),
    ],
)
def test_what_cannot_stay_is_refused_with_a_way_on(before, said):
    with pytest.raises(BadInput, match=said) as stop:
        stores(before)
    assert stop.value.advice and stop.value.host == "ctl"


@pytest.mark.parametrize("release", ["juno", "queens", "stein"])
def test_a_pool_with_images_stays_in_the_older_style_too(release):
    with pytest.raises(BadInput, match="rbd_store_pool = old"):
        stores({(G, "stores"): "rbd", (G, "rbd_store_pool"): "old"}, release)
    assert stores({(G, "stores"): "swift", (G, "swift_store_key"): HIDDEN}, release)


def test_stores_that_have_names_stay_beside():
    before = {("DEFAULT", "enabled_backends"): "fast:swift,old:rbd", ("old", "rbd_store_pool"): "x"}
    found = stores({**before, ("fast", "swift_store_key"): HIDDEN})
    assert found["DEFAULT", "enabled_backends"] == "fast:swift,old:rbd,rbd:rbd"
    assert not [at for at in found if at[0] in ("fast", "old")]


def test_a_store_of_the_sites_name_but_another_kind_is_refused_in_the_older_list():
    with pytest.raises(BadInput, match="change glance.store"):
        stores({(G, "stores"): "file,http"}, glance={"store": "file"})
