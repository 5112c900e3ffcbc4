"""Several RBD stores of Glance's: what the site file may say, and the plan that comes of it."""

import re

import pytest

from fabfile.core import site_file
from fabfile.core.contract import BadInput, Facts
from fabfile.resources import auth, service_config

from . import clouds
from .states import KEY, ZED, cluster, conf, release, site, sources, user

POOLS = {"volumes": {}, "images": {}, "quick": {}}
CLIENTS = {"volumes": {}, "images": {}}
STORES = {"rbd": {"pool": "images"}, "fast": {"pool": "quick"}}


def here(stores=None, **more):
    glance = {"stores": stores or STORES, **more.pop("glance", {})}
    return site(**{"pools": POOLS, "clients": CLIENTS, "glance": glance, **more})


def edits(it, *active, table=ZED):
    seen = {"glance.conf": conf(*active), "glance.sources": sources("glance")}
    changes = service_config.glance.plan(it, Facts({"ctl": seen}, {}, table))
    return {(s, k): v for change in changes for s, k, v in change.args["edits"]}


def test_the_one_store_and_a_table_for_it_are_the_same():
    old, new = site(), site(glance={"stores": {"rbd": {"pool": "images"}}})
    assert old.uses() == new.uses()
    assert edits(old) == edits(new) != {}


def test_each_store_is_written_and_others_stay():
    found = edits(here(), ("DEFAULT", "enabled_backends", "old:file, web:http"))
    assert found["DEFAULT", "enabled_backends"] == "old:file,web:http,rbd:rbd,fast:rbd"
    assert found["glance_store", "default_backend"] == "rbd"
    for name, pool in (("rbd", "images"), ("fast", "quick")):
        assert {k: v for (s, k), v in found.items() if s == name} == {
            "rbd_store_ceph_conf": "/etc/ceph/ceph.conf",
            "rbd_store_pool": pool,
            "rbd_store_user": "images",
        }
    there = [(s, k, v) for (s, k), v in found.items()]
    assert edits(here(), *there) == {}


def test_a_list_of_kinds_becomes_names_once():
    found = edits(here(), ("glance_store", "stores", "file,http,swift"))
    assert (
        found["DEFAULT", "enabled_backends"] == "file:file,http:http,swift:swift,rbd:rbd,fast:rbd"
    )


def test_the_default_store_is_the_one_that_is_named():
    found = edits(here(glance={"default_store": "fast"}))
    assert found["glance_store", "default_backend"] == "fast"


OLD = [("glance_store", "stores", "file,rbd"), ("glance_store", "default_store", "rbd")]


@pytest.mark.parametrize(
    "active, said",
    [
        # the unnamed store goes on in whichever of the site's has its pool
        ([*OLD, ("glance_store", "rbd_store_pool", "quick")], None),
        ([*OLD, ("glance_store", "rbd_store_pool", "images")], None),
        ([*OLD, ("glance_store", "rbd_store_pool", "third")], "rbd_store_pool = third"),
        (
            [("DEFAULT", "enabled_backends", "fast:rbd"), ("fast", "rbd_store_pool", "images")],
            r"\[fast\] rbd_store_pool = images",
        ),
        (
            [("DEFAULT", "enabled_backends", "fast:file")],
            "expected a store fast of kind rbd, or none of that name",
        ),
        ([("glance_store", "stores", "fast")], "a store of kind fast"),
    ],
)
def test_images_stay_where_they_are_found(active, said):
    if said is None:
        assert edits(here(), *active)["fast", "rbd_store_pool"] == "quick"
        return
    with pytest.raises(BadInput, match=said):
        edits(here(), *active)


@pytest.mark.parametrize("name", ["stein", "queens", "icehouse"])
def test_before_train_there_is_one(name):
    with pytest.raises(BadInput, match="expected one RBD store before Train, found rbd, fast"):
        edits(here(), table=release(name))
    assert edits(site(), table=release(name))


def test_who_makes_volumes_reads_the_images_of_every_store():
    it = here()
    assert it.clients["images"].rwx == ["images", "quick"]
    assert (it.clients["volumes"].rwx, it.clients["volumes"].rx) == (
        ["volumes"],
        ["images", "quick"],
    )
    two = here(
        {"rbd": {"pool": "images"}, "fast": {"pool": "quick", "client": "quick"}},
        clients={**CLIENTS, "quick": {}},
    )
    assert (two.clients["images"].rwx, two.clients["quick"].rwx) == (["images"], ["quick"])
    # Where Glance looks for clones before it deletes an image, each reads the volumes' pool.
    seen = Facts({"ceph01": cluster()}, {}, ZED)
    argv = {c.subject: c.args["argv"] for c in auth.plan(two, seen)}
    for name, pool in (("images", "images"), ("quick", "quick")):
        assert argv[name][-1].startswith(f"profile rbd pool={pool}, profile rbd-read-only pool=vol")


IN_BETWEEN = {"pool": "third", "client": "fast"}


@pytest.mark.parametrize(
    "stores",
    [
        {"a": {"pool": "quick"}, "b": {"pool": "third", "client": "more"}},
        {
            "a": {"pool": "quick"},
            "b": {"pool": "third", "client": "more"},
            "c": {"pool": "images", "client": "more"},
        },
        {"a": {"pool": "third"}, "b": {"pool": "quick", "client": "more"}},
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_caps_are_whole_at_once_where_a_pool_has_images_and_volumes(stores, there):
    """What one store's client was given made the other's look in more pools: in a third run."""
    it = site(
        pools={**POOLS, "third": {}},
        clients={"images": {}, "more": {}, "fast": {}},
        glance={"stores": stores},
        cinder={"backends": {"x": {**IN_BETWEEN, "pool": "volumes"}, "y": IN_BETWEEN}},
    )
    pools = [clouds.pool(name) for name in it.pools] if there else []
    users = {}
    for _ in range(2):
        has = [user(name, KEY, given) for name, given in users.items()]
        found = auth.plan(it, Facts({"ceph01": cluster(pools, has)}, {}, ZED))
        assert not (users and found), [change.diff for change in found]
        for change in found:
            argv = change.args["argv"]
            words = argv[argv.index(f"client.{change.subject}") + 1 :]
            users[change.subject] = dict(zip(words[::2], words[1::2], strict=True))
    assert "profile rbd-read-only pool=volumes" in users["more"]["osd"]


@pytest.mark.parametrize(
    "glance, said",
    [
        (
            {"stores": STORES, "pool": "images"},
            "glance: pool: expected glance.stores.NAME.pool, as [glance.stores] has all of them",
        ),
        ({"stores": STORES, "store": "x"}, "glance: store: expected the store's table, as"),
        ({"stores": {"a": {}}}, "glance.stores.a.pool: expected a value, found none"),
        ({"stores": STORES, "default_store": "file"}, "default_store: expected one of rbd, fast"),
        (
            {"stores": {"a": {"pool": "images"}, "A": {"pool": "quick"}}},
            "glance: stores: expected a name of its own for each, found 'a' twice",
        ),
        (
            {"stores": {"glance_store": {"pool": "images"}}},
            "glance: stores.glance_store: expected another name: that section is no store's",
        ),
        *(
            (
                {"stores": {name: {"pool": "images"}}},
                f"glance: stores.{name}: expected another name: that section is no store's",
            )
            for name in ("paste_deploy", "Database", "oslo_policy", "os_glance_tasks_store", "task")
        ),
        (
            {"stores": {"a": {"pool": "image"}}},
            "glance.stores.a.pool: expected one of images, quick, volumes, found 'image'",
        ),
        (
            {"stores": {"a": {"pool": "images", "cleint": "x"}}},
            "glance.stores.a.cleint: no such setting; did you mean 'client'?",
        ),
    ],
)
def test_a_fault_of_the_site_file_is_named_with_its_place(glance, said):
    with pytest.raises(BadInput) as caught:
        site(pools=POOLS, clients=CLIENTS, glance=glance)
    assert said in str(caught.value)


ONE_STORE = re.compile(
    r"(?<!options)\.glance\.(?!all\b|default\b|keep_default\b|show_image_direct_url\b|model_fields_set\b)\w+"
)


def test_nothing_but_the_site_file_knows_which_form_has_the_stores():
    model = site_file.PROJECT / "fabfile" / "model" / "site.py"
    found = [
        f"{path}: {match[0]}"
        for path in sorted((site_file.PROJECT / "fabfile").rglob("*.py"))
        if path != model
        for match in ONE_STORE.finditer(path.read_text())
    ]
    assert found == []
