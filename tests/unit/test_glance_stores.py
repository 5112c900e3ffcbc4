"""Glance's stores that are in force: they stay, of every kind, or integrating is refused."""

import pytest

from fabfile.core.contract import BadInput

from .states import HOSTS
from .test_releases import planned, written

G = "glance_store"
HIDDEN = "sha256:" + "c" * 64


def stores(before, release="2024.1", **site):
    return written(release, "glance", before, **site)


@pytest.mark.parametrize(
    "listed, expected",
    [
        (None, "file:file,http:http,rbd:rbd"),  # what the library has without a list
        ("http", "file:file,http:http,rbd:rbd"),
        ("file", "file:file,rbd:rbd"),
        ("glance.store.http.Store", "file:file,http:http,rbd:rbd"),
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
    before = {} if listed is None else {(G, "stores"): listed}
    assert stores({**before, **empty})["DEFAULT", "enabled_backends"] == expected


@pytest.mark.parametrize("said", [{}, {(G, "stores"): "file,http"}])
@pytest.mark.parametrize("default", ["file", "http", "filesystem", None])
def test_the_stores_that_nobody_lists_stay_with_their_options(said, default):
    """An image with an http address is read by the store http, which nobody has to name."""
    before = {**said, (G, "https_insecure"): "false", (G, "filesystem_store_datadir"): "/srv"}
    found = stores({**before, **({(G, "default_store"): default} if default else {})})
    assert found["DEFAULT", "enabled_backends"] == "file:file,http:http,rbd:rbd"
    assert found["http", "https_insecure"] == "false"
    assert found["file", "filesystem_store_datadir"] == "/srv"
    assert found[G, "default_backend"] == "rbd"


@pytest.mark.parametrize(
    "release, said, folder",
    [
        ("2024.1", "file:///srv/staging", "/srv/staging"),
        ("2026.2", "file:///srv/staging", "/srv/staging"),
        ("2026.2", None, "/var/lib/glance/os_glance_staging_store"),
        ("2026.2", "http://elsewhere", "/var/lib/glance/os_glance_staging_store"),
        ("2024.1", None, None),
    ],
)
def test_where_images_come_in_stays(release, said, folder):
    """Beside a list of stores node_staging_uri is not read; since 2025.2 nothing is instead."""
    found = stores({("DEFAULT", "node_staging_uri"): said} if said else {}, release)
    assert found.get(("os_glance_staging_store", "filesystem_store_datadir")) == folder


def test_glances_own_stores_are_not_for_its_validator():
    """It knows the options of listed stores alone, by the store's kind."""
    (change,) = planned("2026.2", "glance")
    own = ["os_glance_staging_store", "os_glance_tasks_store"]
    assert change.args["validate"]["exclude"] == [*own, "rbd"]


@pytest.mark.parametrize("release", ["juno", "stein", "2024.1"])
@pytest.mark.parametrize(
    "default, listed, refused",
    [
        ("swift", None, True),
        ("swift+https", "file,http", True),
        ("vsphere", "file", True),
        ("http", "file", True),
        ("swift", "file,swift", False),
        ("swift+config", "glance.store.swift.Store", False),
        ("https", None, False),
        ("filesystem", "glance.store.filesystem.Store", False),
        ("rbd", None, False),  # half of an integration by hand
        ("", "file", False),
    ],
)
def test_a_default_that_no_list_has_is_refused(release, default, listed, refused):
    """Glance does not start with it: which of the two is meant is its operator's to say."""
    before = {(G, "default_store"): default, **({(G, "stores"): listed} if listed else {})}
    if not refused:
        assert stores(before, release)
        return
    with pytest.raises(BadInput, match=rf"default_store = {default[:5]}") as stop:
        stores(before, release)
    assert "to [glance_store] stores" in stop.value.advice


def test_folders_with_priorities_go_along_and_no_single_folder_beside():
    """Glance takes either the one or the others."""
    before = {(G, "filesystem_store_datadirs"): "/a:100", (G, "filesystem_store_datadir"): ""}
    found = stores(before)
    assert found["file", "filesystem_store_datadirs"] == "/a:100"
    assert not found["file", "filesystem_store_datadir"]


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


@pytest.mark.parametrize(
    "listed, name, refused",
    [
        ("file,http", "file", True),
        ("http", "file", True),  # file gets a name with any list
        ("rbd", "File", True),
        ("rbd", "http", False),
        ("http", "http", True),
    ],
)
def test_a_store_of_the_sites_name_but_another_kind_is_refused(listed, name, refused):
    """Glance starts with no list that has a name twice."""
    before = {(G, "stores"): listed, (G, "default_store"): listed.partition(",")[0]}
    if not refused:
        found = stores(before, glance={"store": name})["DEFAULT", "enabled_backends"]
        assert sorted(found.split(",")) == ["file:file", f"{name}:rbd"]
        return
    with pytest.raises(BadInput, match="change glance.store"):
        stores(before, glance={"store": name})


@pytest.mark.parametrize("theirs", ["Rbd", "RBD"])
@pytest.mark.parametrize("listed", ["{}:rbd", "file:file, {} : rbd"])
def test_a_store_of_the_same_name_in_other_letters_is_that_one(theirs, listed):
    """Locations of images have the store's name as it is; the two would be one section."""
    before = {
        ("DEFAULT", "enabled_backends"): listed.format(theirs),
        (theirs, "rbd_store_pool"): "images",
        (G, "default_backend"): theirs,
    }
    with pytest.raises(BadInput, match=f"glance.store = '{theirs}'"):
        stores(before)
    assert (G, "default_backend") not in stores(before, glance={"store": theirs})


CLASS = "glance.store.rbd.Store"
MINE = {("rbd", "rbd_store_pool"): "images", ("rbd", "rbd_store_user"): "images"}


@pytest.mark.parametrize(
    "listed, more, expected",
    [
        (f"rbd:{CLASS}", {}, None),
        (f"file:file, rbd : {CLASS}", {}, None),
        (f"file:file,old:{CLASS}", {("old", "rbd_store_pool"): "x"}, "file:file,old:rbd,rbd:rbd"),
        ("web:http", {}, "web:http,rbd:rbd"),
    ],
)
def test_a_store_that_is_listed_by_its_class_is_listed_once(listed, more, expected):
    """Glance takes the name of the class too; a name that is there twice it does not."""
    found = stores({("DEFAULT", "enabled_backends"): listed, **MINE, **more})
    assert found.get(("DEFAULT", "enabled_backends")) == expected


def test_so_in_the_older_list():
    assert (G, "stores") not in stores({(G, "stores"): f"glance.store.http.Store,{CLASS}"}, "stein")


@pytest.mark.parametrize("release", ["stein", "2024.1"])
@pytest.mark.parametrize(
    "before, refused",
    [
        # nothing is said of it: it has the pool that Glance has by default
        ({("DEFAULT", "enabled_backends"): "rbd:rbd"}, True),
        ({("DEFAULT", "enabled_backends"): f"rbd:{CLASS}"}, True),
        ({("DEFAULT", "enabled_backends"): "web:http"}, False),
        ({(G, "stores"): "file,rbd", (G, "default_store"): "rbd"}, True),
        ({(G, "stores"): "file,rbd"}, False),  # listed, and nobody ever used it
        ({("DEFAULT", "known_stores"): "file,rbd", (G, "rbd_store_user"): "x"}, True),
        ({("DEFAULT", "known_stores"): "file,rbd", (G, "rbd_store_pool"): "old"}, True),
        ({(G, "rbd_store_pool"): "old"}, False),  # not listed
    ],
)
def test_a_store_that_names_no_pool_is_in_glances_own(release, before, refused):
    named = ("DEFAULT", "enabled_backends") in before
    if named and release == "stein":
        return  # refused for another reason: it has no such list for production
    given = {
        "pools": {"volumes": {}, "quick": {}},
        "glance": {"pool": "quick"},
        "clients": {"volumes": {}, "images": {}},
    }
    if refused:
        with pytest.raises(BadInput, match="expected rbd_store_pool = quick, found"):
            stores(before, release, **given)
    else:
        assert "quick" in stores(before, release, **given).values()


TWO = {
    "hosts": {**HOSTS, "west01": {"roles": ["ceph"], "cluster": "west"}},
    "glance": {
        "keep_default": True,
        "stores": {
            "here": {"pool": "images"},
            "quick": {"pool": "quick"},
            "there": {"pool": "images", "cluster": "west"},
        },
    },
    "pools": {"volumes": {}, "images": {}, "quick": {}},
    "clients": {"volumes": {}, "images": {}},
    "clusters": {"west": {"pools": {"images": {}}, "clients": {"images": {}}}},
}


@pytest.mark.parametrize(
    "pool, conf_, name",
    [
        (None, None, "here"),
        ("images", "/etc/ceph/ceph.conf", "here"),
        ("images", "/etc/ceph/west.conf", "there"),
        ("quick", None, "quick"),
    ],
)
def test_the_older_store_goes_on_in_that_of_its_place_with_all_that_it_says(pool, conf_, name):
    """Of two clusters with a pool of one name, images went into the other one's from then on."""
    said = {"rbd_store_pool": pool, "rbd_store_ceph_conf": conf_, "rbd_store_user": "old"}
    more = {"rbd_store_chunk_size": "4", "rados_connect_timeout": "5", "rbd_thin_provisioning": "1"}
    before = {(G, "stores"): "http,rbd", (G, "default_store"): "rbd"}
    before |= {(G, key): value for key, value in {**said, **more}.items() if value}
    found = stores(before, **TWO)
    assert found[G, "default_backend"] == name
    assert {at[0] for at in found if at[1] in more} == {name}
    assert (
        more.items() <= {key: v for (section, key), v in found.items() if section == name}.items()
    )
    assert found[name, "rbd_store_user"] == "images"


def test_a_brace_in_an_option_that_goes_along_is_no_word_of_ours():
    folder = {(G, "filesystem_store_metadata_file"): "/srv/{a}/{}.json"}
    assert stores(folder)["file", "filesystem_store_metadata_file"] == "/srv/{a}/{}.json"


@pytest.mark.parametrize(
    "release, written", [("train", False), ("2025.1", False), ("2025.2", True)]
)
def test_a_pool_by_default_is_written_where_the_default_is_no_more(release, written):
    """glance_store 5.0 has no default in a store's own section."""
    before = {("DEFAULT", "enabled_backends"): "rbd:rbd", ("rbd", "rbd_store_user"): "images"}
    assert (stores(before, release).get(("rbd", "rbd_store_pool")) == "images") == written
