"""What is taken out of a cloud again: what uses it is refused; what goes, in which order, and why
the rest stays."""

import contextlib
import copy
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace as Thing

import pytest

from fabfile.cloud import holdings, volume_services
from fabfile.core.contract import CLOUD, BadInput, Facts, Failed, Host, Refused
from fabfile.core.remote import options
from fabfile.flow import history
from fabfile.model.phases import Leaving
from fabfile.resources import (
    auth,
    ceph_conf,
    chain,
    domains,
    in_use,
    keyrings,
    leaving,
    removal,
    rotation,
    secret_uuid,
    service_config,
    volume_hosts,
)
from fabfile.resources.rollback import Undone

from . import clouds, test_clusters
from .states import (
    FSID,
    HOSTS,
    KEY,
    OTHER,
    THIRD,
    ZED,
    answer,
    conf,
    file,
    release,
    secret,
    site,
    sources,
    user,
)
from .test_several import nothing
from .test_volume_hosts import volume

ID = "0f1e0000-0000-4000-8000-00000000000{}"
FAST, QUICK_KEY = OTHER, "sha256:" + "c" * 64
STORES = {"stores": {"rbd": {"pool": "images"}, "more": {"pool": "more", "client": "more"}}}
POOLS = {"volumes": {}, "fast": {}, "images": {}, "more": {}}
CLIENTS = {"volumes": {}, "fast": {}, "images": {}, "more": {}, "old": {"rwx": ["fast"]}}
CLIENTS["cinder"] = {"rwx": ["volumes"]}
KEYS = {"volumes": KEY, "fast": QUICK_KEY, "images": KEY, "more": KEY, "old": THIRD}


def here(**more):
    """Two backends and two stores, each with a client of its own; and a client of nobody."""
    backends = {
        "rbd": {"pool": "volumes"},
        "fast": {"pool": "fast", "client": "fast", "volume_type": "quick"},
    }
    cinder = {"backends": backends, **more.pop("cinder", {})}
    given = {"pools": POOLS, "clients": CLIENTS, "glance": STORES, "cinder": cinder, "cloud": "c"}
    hosts = {name: table for name, table in HOSTS.items() if name != "n2"}
    return site(**{"hosts": hosts, **given, **more})


def integrated(where):
    """What hosts answer where all that the site file asks for is there."""
    known = {"uuid.volumes": FSID, "uuid.fast": FAST}
    empty = nothing(where)
    for host in ("ctl", "n1"):
        empty[host]["ceph.conf"] = file(clouds.CEPH_CONF)
    facts = Facts(empty, known, ZED)
    wanted = auth.clients(where, Thing(users={}, pools={}, release=16), ZED)
    users = [user(n, KEYS.get(n, KEY), auth.wanted_caps(c, 16)) for n, c in wanted.items()]
    seen = nothing(where, users)
    for name, host in (("glance", "ctl"), ("cinder", "ctl"), ("nova", "n1")):
        (change,) = getattr(service_config, name).plan(where, facts)
        seen[host][f"{name}.conf"] = conf(*change.args["edits"])
    for client, owner in (("volumes", "cinder"), ("fast", "cinder"), ("images", "glance")):
        text = f"[client.{client}]\n\tkey = {KEYS[client]}\n"
        seen["ctl"][f"keyring.{client}"] = file(text, owner, "0640")
    seen["ctl"]["keyring.more"] = file("[client.more]\n\tkey = x\n", "glance", "0640")
    secrets = {**secret(FSID), **secret(FAST, "client.fast secret", QUICK_KEY)}
    seen["n1"] |= {secret_uuid.SECRETS: secrets, domains.READ: {}, "pending_restarts": []}
    for host in ("ctl", "n1"):
        seen[host]["ceph.conf"] = file(clouds.CEPH_CONF)
    seen["n1"]["guests"] = {"code": 0, "out": "", "err": ""}
    for pool in where.pools:
        seen["ceph01"] |= {f"images.{pool}": said("[]"), f"trash.{pool}": said("[]")}
        seen["ceph01"][f"ceph.namespaces.{pool}"] = said("[]")
    df = [{"name": pool, "stats": {"stored": 0, "objects": 3}} for pool in where.pools]
    seen["ceph01"] |= {"ceph.df": answer({"pools": df}), in_use.POOL_DELETE: said("true")}
    seen["ceph01"][rotation.SESSIONS] = sessions("client.admin", "client.volumes")
    rows = [{"host": f"ctl@{name}", "up": True, "enabled": True} for name in ("rbd", "fast")]
    types = {"rbd": {"volume_backend_name": "rbd"}, "quick": {"volume_backend_name": "fast"}}
    seen[CLOUD] = {
        "volume_services": rows,
        "volumes": [],
        "volume_types": types,
        "qos_specs": {},
        "attachments": [],
        "glance.images": [],
    }
    return seen


def sessions(*names, code=0):
    there = [
        {"entity_name": n, "socket_addr": {"type": "any", "addr": "10.0.0.9:0"}} for n in names
    ]
    return {"mon.a": {"sessions": said(json.dumps(there), code)}}


def said(text, code=0):
    return {"code": code, "out": text, "err": ""}


def planned(change=lambda seen: None, where=None, limited=None, **asked):
    """(the site, its facts, the removal) of a cloud where all is there, changed in one place."""
    where = where or here()
    seen = integrated(where)
    change(seen)
    known = {"uuid.volumes": FSID, "uuid.fast": FAST}
    one = removal.Removal(removal.Asked(**asked), limited or set(where.hosts))
    return where, Facts(seen, known, ZED), one


def plan(*given, **asked):
    where, facts, one = planned(*given, **asked)
    return one.plan(where, facts)


def words(changes):
    return [(c.host, c.sign, c.thing, Leaving(c.wave).name) for c in changes]


CONF = "/etc/cinder/cinder.conf"
BACKEND = [
    (CLOUD, "~", "service ctl@fast", "API"),
    (CLOUD, "-", "volume type quick", "API"),
    ("ctl", "~", CONF, "CONTROL"),
    ("ctl", "!", "cinder-volume", "CONTROL"),
    ("ctl", "-", "service ctl@fast", "ROWS"),
    ("n1", "-", f"libvirt secret {FAST}", "KEYS"),
    ("ctl", "-", "/etc/ceph/ceph.client.fast.keyring", "KEYS"),
    ("ceph01", "-", "user client.fast", "USERS"),
]
STORE = [
    ("ctl", "~", "/etc/glance/glance-api.conf", "CONTROL"),
    ("ctl", "!", "glance-api", "CONTROL"),
    ("ctl", "-", "/etc/ceph/ceph.client.more.keyring", "KEYS"),
    ("ceph01", "-", "user client.more", "USERS"),
]


@pytest.mark.parametrize(
    "asked, expected",
    [
        ({"backend": "fast"}, BACKEND),
        (
            {"backend": "fast", "and_pool": "fast"},
            [*BACKEND, ("ceph01", "-", "pool fast", "POOLS")],
        ),
        ({"store": "more"}, STORE),
        ({"client": "old"}, [("ceph01", "-", "user client.old", "USERS")]),
    ],
)
def test_what_goes_in_which_order(asked, expected):
    assert words(plan(**asked)) == expected


def edited(change, text):
    """The file as the host makes it of the change."""
    return options.edit(text, change.args["edits"])


def test_a_file_is_what_it_was_before_the_backend_came():
    before = "[DEFAULT]\nenabled_backends = rbd\n\n[rbd]\nrbd_pool = volumes\n# a word\n"
    (edit,) = [c for c in plan(backend="fast") if c.verb == "edit"]
    came = service_config.cinder.plan(here(), Facts(nothing(here()), {"uuid.fast": FAST}, ZED))
    mine = [e for e in came[0].args["edits"] if e[0] == "fast"]
    after = options.edit(before, [["DEFAULT", "enabled_backends", "rbd,fast"], *mine])
    assert "[fast]" in after and edited(edit, after) == before
    # So it is where another one came behind it.
    later = f"{after}\n[slow]\nrbd_pool = slow\n"
    assert edited(edit, later) == f"{before}\n[slow]\nrbd_pool = slow\n"
    # What an operator wrote there himself stays, under its heading.
    noted = f"{after}# mine\n"
    assert edited(edit, noted) == f"{before}\n[fast]\n# mine\n"


@pytest.mark.parametrize("theirs", ["more", "More", "MORE"])
def test_a_store_that_was_the_default_leaves_it_to_one_that_stays(theirs):
    """Its section goes whatever its letters: a list that names it still would not start."""

    def in_letters(seen):
        for line in seen["ctl"]["glance.conf"]["active"]:
            line[0] = theirs if line[0] == "more" else line[0]
            line[2] = line[2].replace("more:rbd", f"{theirs}:rbd")
            line[2] = theirs if line[1] == "default_backend" else line[2]

    stores = {**STORES, "default_store": "more"}
    (edit, *_) = plan(in_letters, where=here(glance=stores), store="more")
    assert ["glance_store", "default_backend", "rbd"] in edit.args["edits"]
    assert ["DEFAULT", "enabled_backends", "file:file,http:http,rbd:rbd"] in edit.args["edits"]


@pytest.mark.parametrize(
    "listed, default",
    [
        ("web:http,disk:file,rbd:rbd", "disk"),
        ("web:glance.store.http.Store,far:swift,rbd:rbd", "far"),
        ("web:http,rbd:rbd", "web"),
    ],
)
def test_no_image_can_be_put_into_a_store_that_only_reads(listed, default):
    """With such a default every upload for which nobody names a store fails."""
    seen = {
        "glance.conf": conf(
            ("DEFAULT", "enabled_backends", listed), ("glance_store", "default_backend", "rbd")
        ),
        "glance.sources": sources("glance"),
    }
    clients = {**CLIENTS, "more": {"rwx": ["more"]}}
    where = here(glance={"stores": {"rbd": {"pool": "images"}}}, clients=clients)
    rest = where.without(removal.gone(where, removal.Asked(store="rbd")))
    (edit,) = service_config.glance.leaving(where, rest, Facts({"ctl": seen}, {}, ZED))
    assert ["glance_store", "default_backend", default] in edit.args["edits"]


def test_the_first_backends_user_and_secret_leave_nova_for_the_seconds():
    changes = plan(backend="rbd")
    (nova,) = [c for c in changes if c.thing == "/etc/nova/nova.conf"]
    assert nova.args["edits"] == [
        ["libvirt", "rbd_user", "fast"],
        ["libvirt", "rbd_secret_uuid", FAST],
    ]
    assert ("n1", "!", "nova-compute", "COMPUTE") in words(changes)


# What is in use


def volumes(*places, **more):
    def change(seen):
        found = [{**volume(p, number=ID.format(n)), "type": ""} for n, p in enumerate(places)]
        seen[CLOUD]["volumes"] = [{**one, **more} for one in found]

    return change


def images(pool, *names):
    listed = ", ".join(f'"{name}"' for name in names)
    return lambda seen: seen["ceph01"].update({f"images.{pool}": said(f"[{listed}]")})


def cloud(**answers):
    return lambda seen: seen[CLOUD].update(answers)


def without_cloud(seen):
    del seen[CLOUD]["volumes"]


def guest(seen):
    disk = clouds.disk_xml(THIRD, "old", image=f"fast/volume-{ID.format(1)}")
    seen["n1"][domains.READ] = {clouds.INSTANCE: {"disks": said(disk)}}


def attached(client, uuid):
    one = {"volume": ID.format(1), "instance": "i", "user": client, "uuid": uuid, "monitors": []}
    return cloud(attachments=[one])


def lines(section, **given):
    def change(seen):
        active = seen["ctl"]["cinder.conf"]["active"]
        left = [one for one in active if (one[0], one[1]) not in {(section, k) for k in given}]
        seen["ctl"]["cinder.conf"]["active"] = left + [[section, k, v] for k, v in given.items()]

    return change


def pool(**more):
    def change(seen):
        listed = [clouds.pool(name) for name in POOLS if name != "fast"]
        seen["ceph01"]["ceph.pools"] = answer([*listed, clouds.pool("fast", **more)])

    return change


def users(osd):
    there = [user("other", KEY, {"osd": osd})]
    return lambda seen: seen["ceph01"].update({"ceph.users": answer({"auth_dump": there})})


def logged_in(*names, code=0):
    return lambda seen: seen["ceph01"].update({rotation.SESSIONS: sessions(*names, code=code)})


def df(count):
    stats = [{"name": "fast", "stats": {"objects": count}}]
    return lambda seen: seen["ceph01"].update({"ceph.df": answer({"pools": stats})})


def told(image, status, *stores):
    return cloud(**{"glance.images": [{"id": image, "status": status, "stores": list(stores)}]})


RETYPE = f"openstack volume set --type rbd --retype-policy on-demand {ID.format(0)}"
COPY = f"glance image-import --import-method copy-image --stores rbd {ID.format(3)}"
B, S, C = {"backend": "fast"}, {"store": "more"}, {"client": "old"}
P = {**B, "and_pool": "fast"}


@pytest.mark.parametrize(
    "change, asked, said_",
    [
        (volumes("ctl@fast#fast"), B, f"1 volume on ctl@fast#fast (with their snapshots): {ID}"),
        (volumes("ctl@fast#fast"), B, RETYPE),
        (volumes("ctl@FAST#x", status="error"), B, "1 volume on ctl@FAST#x"),
        (volumes("else@fast#fast"), B, "1 volume on else@fast#fast"),
        (volumes("ctl@rbd#rbd", type="quick"), B, "volume type quick: 1 volume of it elsewhere"),
        (without_cloud, B, "whether volumes are on it cannot be seen; name the cloud"),
        (images("fast", f"volume-{ID.format(1)}"), B, "1 image of volumes that Cinder does not"),
        (images("fast", f"volume-{ID.format(1)}.deleted"), B, "inv reconcile"),
        (lambda seen: seen["ceph01"].pop("images.fast"), B, "its images could not be seen"),
        (
            cloud(volume_services=[{"host": "x@fast", "up": True, "enabled": True}]),
            B,
            "service x@fast is up, on a host that the site file does not name",
        ),
        (lines("DEFAULT", default_volume_type="quick"), B, "Cinder keeps its default type"),
        (lines("fast", rbd_pool="theirs"), B, "[fast] rbd_pool = theirs, not fast"),
        (lines("DEFAULT", enabled_backends="fast"), B, "cinder-volume would have no backend left"),
        (images("more", ID.format(3)), S, f"store more: 1 image in pool more: {ID.format(3)}"),
        (images("more", ID.format(3)), S, COPY),
        (images("more", ID.format(3)), S, "take it out of more (glance stores-delete)"),
        (
            told(ID.format(3), "active", "rbd", "more"),
            S,
            f"store more: 1 image: {ID.format(3)}",
        ),
        (guest, C, f"client.old: 1 log in by it: guest {clouds.INSTANCE} on n1"),
        (attached("old", ""), C, f"attachment of volume {ID.format(1)}"),
        (lines("lvm", rbd_user="old"), C, "ctl: [lvm] rbd_user = old; name another there first"),
        (
            lines("DEFAULT", backup_driver="cinder.backup.drivers.ceph.CephBackupDriver"),
            {"client": "cinder"},
            "ctl: [DEFAULT] backup_ceph_user = cinder; name another there first",
        ),
        # Somebody that the site file does not name.
        (logged_in("client.admin", "client.old"), C, "client.old: it is logged in from 10.0.0.9;"),
        (logged_in("client.admin", code=22), C, "the monitors do not say who is logged in"),
        (logged_in(), C, "the monitors do not say who is logged in"),
        (lambda seen: seen["ceph01"].pop(rotation.SESSIONS), C, "ceph daemon mon.ID sessions"),
        (lambda seen: None, {"client": "volumes"}, "the site file has it for cinder-volume"),
        (images("fast", "mine"), P, "pool fast: it is not empty: 1 image"),
        (
            lambda seen: seen["ceph01"].update({"trash.fast": said('[{"id": "1"}]')}),
            P,
            "1 image in the trash",
        ),
        (
            lambda seen: seen["ceph01"].update({"ceph.namespaces.fast": said('[{"name": "n"}]')}),
            P,
            "1 namespace",
        ),
        (lambda seen: seen["ceph01"].pop("trash.fast"), P, "whether it holds trash was not seen"),
        (df(4000), P, "it is not empty: 4000 objects"),
        (lambda seen: seen["ceph01"].pop("ceph.df"), P, "whether it holds objects was not seen"),
        (pool(application_metadata={"rgw": {}}), P, "it is for rgw"),
        (users("profile rbd pool=fast"), P, "client.other may use it"),
        (users("profile rbd pool=fast namespace=t"), P, "client.other may use it"),
        (users("allow rwx pool 'fast' object_prefix x"), P, "client.other may use it"),
        (
            lambda seen: seen["ceph01"].update({in_use.POOL_DELETE: said("false\n")}),
            P,
            "ceph config set mon mon_allow_pool_delete true",
        ),
    ],
)  # fmt: skip
def test_what_is_in_use_is_refused_with_the_way_on(change, asked, said_):
    with pytest.raises(Refused) as caught:
        plan(change, **asked)
    assert said_.format(0) in str(caught.value)


POOL_OF_TWO = {"stores": {"rbd": {"pool": "images"}, "more": {"pool": "images", "client": "more"}}}


@pytest.mark.parametrize(
    "status, stores, held",
    [
        ("active", ["more"], True),
        ("active", ["rbd", "More"], True),  # as the list has it, whose section is the same
        ("active", ["rbd"], False),
        # Of before there were stores; of one that is on its way.
        ("active", [], True),
        ("deactivated", [], True),
        ("saving", [], True),
        ("importing", [], True),
        ("queued", [], False),
        ("killed", [], False),
    ],
)
def test_an_image_that_glance_tells_no_store_of_may_be_in_a_pool_of_two(status, stores, held):
    where = here(glance=POOL_OF_TWO, pools={k: v for k, v in POOLS.items() if k != "more"})
    change = told(ID.format(3), status, *stores)
    if not held:
        assert plan(change, where, store="more")
        return
    with pytest.raises(Refused, match=f"store more: 1 image.*{ID.format(3)}"):
        plan(change, where, store="more")


def test_a_list_that_another_file_has_is_named():
    later = {"/later": [("DEFAULT", "enabled_backends", "rbd,fast")]}

    def change(seen):
        seen["ctl"]["cinder.sources"] = sources("cinder", later)

    with pytest.raises(Refused, match="the service reads it after .*cinder.conf, where rbd is to"):
        plan(change, backend="fast")


@pytest.mark.parametrize(
    "name, asked, said_",
    [
        ("stein", S, "store more: before Train Glance has one RBD store"),
        ("grizzly", B, "backend fast: before Havana there is one backend"),
    ],
)
def test_what_an_old_release_has_once_goes_with_its_service(name, asked, said_):
    where, facts, one = planned(**asked)
    with pytest.raises(Refused, match=said_):
        one.plan(where, replace(facts, release=release(name)))


@pytest.mark.parametrize(
    "more, said_",
    [
        ({"cinder": {"backup": {"cluster": "west"}}}, "expected no cinder.backup there"),
        (
            {"nova": {"ephemeral": True, "client": "volumes", "pool": "vms", "cluster": "west"}},
            "expected no nova.ephemeral there",
        ),
    ],
)
def test_a_cluster_that_backups_or_disks_are_on_stays(more, said_):
    west = {
        "pools": {"volumes": {}, "images": {}, "backups": {}, "vms": {}},
        "clients": {"volumes": {}, "images": {}, "backups": {}, "vms": {}},
    }
    cinder = {"backends": test_clusters.BACKENDS, **more.pop("cinder", {})}
    used = {n: west["clients"][n] for n in ("volumes", "images")}
    used |= {"backups": {}} if cinder.get("backup") is not None else {}
    where = test_clusters.two({**west, "clients": used}, cinder=cinder, **more)
    with pytest.raises(BadInput, match=said_):
        removal.gone(where, removal.Asked(cluster="west"))


def test_all_that_uses_it_is_said_at_once():
    def change(seen):
        volumes("ctl@fast#fast", "ctl@fast#fast", "ctl@fast#fast", "ctl@fast#fast")(seen)
        lines("DEFAULT", default_volume_type="quick")(seen)

    with pytest.raises(Refused) as caught:
        plan(change, backend="fast")
    text = str(caught.value)
    assert "and 1 more" in text and "default type" in text and text.startswith("backend fast is")


@pytest.mark.parametrize(
    "asked, said_",
    [
        ({}, "expected one of --backend, --store, --client, --cluster"),
        ({"backend": "slow"}, "--backend: expected one of the site file's: rbd, fast, found 'sl"),
        ({"store": "rbd2"}, "--store: expected one of the site file's: rbd, more, found 'rbd2'"),
        ({"client": "nova"}, "--client: expected one of the site file's"),
        ({"cluster": "ceph"}, r"--cluster: expected one of the site file's \[clusters\]: none"),
        ({"backend": "fast", "and_pool": "fats"}, "--and-pool: expected a pool that nothing else"),
        ({"backend": "fast", "and_pool": "volumes"}, "uses: fast, found 'volumes'"),
        ({"store": "more", "and_pool": "images"}, "uses: more, found 'images'"),
    ],
)
def test_a_name_that_is_not_of_it_is_refused(asked, said_):
    with pytest.raises(BadInput, match=said_):
        plan(**asked)


# What stays


def notes(*given, **asked):
    where, facts, one = planned(*given, **asked)
    return "\n".join(one.notes(where, facts, one.plan(where, facts)))


def caps(text, **more):
    def change(seen):
        there = [user("fast", QUICK_KEY, {"osd": text, **more}), user("volumes"), user("images")]
        seen["ceph01"]["ceph.users"] = answer({"auth_dump": there})

    return change


def specs(name, types):
    return cloud(qos_specs={name: {"specs": {"consumer": "front-end"}, "types": types}})


def more_lines(*given):
    def change(seen):
        active = seen["ctl"]["cinder.conf"]["active"]
        said_anew = {line[:2] for line in given}
        left = [one for one in active if (one[0], one[1]) not in said_anew]
        seen["ctl"]["cinder.conf"]["active"] = [*left, *map(list, given)]

    return change


QOS = {"fast": {"pool": "fast", "client": "fast", "volume_type": "quick", "qos": {"a_sec": "1"}}}
LIMITED = {"cinder": {"backends": {"rbd": {"pool": "volumes"}, **QOS}}}
SHARED = {
    "cinder": {
        "backends": {
            "rbd": {"pool": "volumes"},
            "fast": {"pool": "fast", "client": "volumes", "volume_type": "quick"},
        }
    },
    "clients": {name: table for name, table in CLIENTS.items() if name not in ("fast", "old")},
}


@pytest.mark.parametrize(
    "change, more, absent, said_",
    [
        (lambda seen: None, {}, "pool", "pool fast stays; --and-pool fast deletes it"),
        (images("fast", "mine"), {}, "pool", "pool fast stays (1 image)"),
        (lambda seen: None, SHARED, "user", "[cinder.backends.fast], pools.fast"),
        (lambda seen: None, SHARED, "libvirt", "take out of the site file"),
        (attached("fast", FAST), {}, "libvirt", f"attachment of volume {ID.format(1)}"),
        (attached("fast", FAST), {}, "user", "user client.fast stays: attachment of volume"),
        (attached("fast", THIRD), {}, "user", "user client.fast stays: attachment of volume"),
        (caps("profile rbd pool=fast, profile rbd pool=x"), {}, "user", "it has caps on pool x"),
        (caps("allow rwx"), {}, "user", "it may use every pool"),
        (
            caps("profile rbd pool=fast, allow rw pool=x namespace=y"),
            {},
            "user",
            "it has osd 'allow rw pool=x namespace=y', which the site file does not give it",
        ),
        (caps("allow rw tag cephfs data=home"), {}, "user", "it has osd 'allow rw tag cephfs"),
        (caps("profile rbd pool=fast", mds="allow rw"), {}, "user", "it has mds 'allow rw'"),
        (caps("profile rbd pool=fast", mon="allow *"), {}, "user", "it has mon 'allow *'"),
        (
            lambda seen: seen["ctl"].update(
                {"keyring.fast": file("[client.fast]\nkey = a\n[client.b]\nkey = b\n", "cinder")}
            ),
            {},
            "/etc/ceph/ceph.client.fast",
            "it has client.b too",
        ),
        (
            cloud(volume_types={"quick": {"volume_backend_name": "slow"}}),
            {},
            "volume type",
            "volume type quick stays: it names backend slow now",
        ),
        (
            more_lines(
                ("DEFAULT", "enabled_backends", "rbd,fast,lvm"),
                ("lvm", "volume_backend_name", "fast"),
            ),
            {},
            "volume type",
            "volume type quick stays: it names backend fast, which ctl: [lvm] is too",
        ),
        (
            more_lines(("rbd", "volume_backend_name", "fast")),
            {},
            "volume type",
            "volume type quick stays: it names backend fast, which ctl: [rbd] is too",
        ),
        (specs("quick", ["quick", "x"]), LIMITED, "QoS", "QoS quick stays: type x has it too"),
        (
            cloud(guarded_types={"quick": ["private", "encrypted"], "x": ["private"]}),
            {},
            "volume type",
            "volume type quick stays: it is private and encrypted, and would not be so when an "
            "undo made it anew: delete it yourself",
        ),
    ],
)
def test_what_others_use_stays_and_is_said(change, more, absent, said_):
    where = here(**copy.deepcopy(more))
    assert not [c.thing for c in plan(change, where, backend="fast") if c.thing.startswith(absent)]
    assert said_ in notes(change, where, backend="fast")


def of_others(host, service, *more, enabled=None):
    """Lines of a file of options that the site file knows nothing of, and what is started too."""

    def change(seen):
        active = seen[host][f"{service}.conf"]["active"]
        for line in active:
            line[2] += f",{enabled}" if enabled and line[1] == "enabled_backends" else ""
        gone = {(section, key) for section, key, _ in more}
        left = [line for line in active if (line[0], line[1]) not in gone]
        seen[host][f"{service}.conf"]["active"] = [*left, *map(list, more)]

    return change


THEIRS, AS_MORE = [("theirs", "rbd_user", "fast")], [("fast", "rbd_user", "more")]
BACKUPS = [("DEFAULT", "backup_driver", "cinder.backup.drivers.ceph.CephBackupDriver")]


@pytest.mark.parametrize(
    "change, asked, client, why",
    [
        # A backend that the site file does not have, by the client of one that goes.
        (of_others("ctl", "cinder", *THEIRS, enabled="theirs"), B, "fast", "[theirs] rbd_user"),
        # Glance's store of a client that Cinder's backend of that name has too.
        (of_others("ctl", "cinder", *AS_MORE), S, "more", "[fast] rbd_user = more"),
        (
            of_others("ctl", "glance", ("x", "rbd_store_user", "fast"), enabled="x:rbd"),
            B,
            "fast",
            "[x] rbd_store_user = fast",
        ),
        (
            of_others("n1", "nova", ("libvirt", "rbd_user", "fast")),
            B,
            "fast",
            "n1: [libvirt] rbd_user = fast",
        ),
        (
            of_others("ctl", "cinder", *BACKUPS, ("DEFAULT", "backup_ceph_user", "fast")),
            B,
            "fast",
            "[DEFAULT] backup_ceph_user = fast",
        ),
        # Of before: no list names it, and nobody reads it.
        (of_others("ctl", "cinder", *THEIRS), B, "fast", None),
        # Another program's user of the same name.
        (of_others("ctl", "cinder", ("DEFAULT", "rabbit_user", "fast")), B, "fast", None),
    ],
)
def test_a_client_by_which_a_service_of_others_logs_in_stays(change, asked, client, why):
    """Its key was taken away everywhere, and what the site file does not know stood still."""
    mine = (f"user client.{client}", f"libvirt secret {FAST}", f".{client}.keyring")
    goes = {one.thing for one in plan(change, **asked) if one.thing.endswith(mine)}
    if why is None:
        assert len(goes) == len(mine)
        return
    assert not [one for one in goes if one.startswith(("user", "libvirt"))]
    assert why in notes(change, **asked)
    assert bool(goes) == ("n1:" in why)  # on the controller nobody reads that file any more


def test_limits_go_before_their_type_and_come_back_after_it():
    where = here(**copy.deepcopy(LIMITED))
    changes = plan(specs("quick", ["quick"]), where, backend="fast")
    api = [c for c in changes if c.host == CLOUD]
    assert [c.kind for c in api] == ["service", "qos", "volume_type"]
    done = [{"verb": c.verb, "thing": c.thing, "sign": c.sign, "args": c.args} for c in api]
    rows = [{"host": "ctl@fast", "up": True, "enabled": False}]
    seen = {CLOUD: {"volume_types": {}, "qos_specs": {}, "volume_services": rows}}
    back = Undone("r", done).plan(where, Facts({"ceph01": {"run": []}, **seen}, {}, ZED))
    made = [(c.verb, c.args) for c in back]
    assert ("open_backend", {"service": "ctl@fast"}) in made
    type_ = ("volume_type", {"name": "quick", "backend_name": "fast", "specs": {}})
    front = {"consumer": "front-end"}
    limits = {"name": "quick", "specs": front, "was": {"consumer": None}, "bound": False}
    assert made.index(type_) < made.index(("qos", limits))
    # What is there again by another's hand is left.
    there = {
        "volume_types": {"quick": {}},
        "qos_specs": {"quick": {}},
        "volume_services": [{"host": "ctl@fast", "up": True, "enabled": True}],
    }
    facts = Facts({"ceph01": {"run": []}, CLOUD: there}, {}, ZED)
    assert Undone("r", done).plan(where, facts) == []


@pytest.mark.parametrize(
    "change",
    [
        cloud(volume_types={"quick": {"volume_backend_name": "slow"}}),
        more_lines(("rbd", "volume_backend_name", "fast")),
        cloud(guarded_types={"quick": ["private"]}),
    ],
)
def test_the_limits_of_a_type_that_stays_stay(change):
    def both(seen):
        specs("quick", ["quick"])(seen)
        change(seen)

    where = here(**copy.deepcopy(LIMITED))
    assert [c.kind for c in plan(both, where, backend="fast") if c.host == CLOUD] == ["service"]
    assert "QoS quick stays: its type stays: it" in notes(both, where, backend="fast")


@pytest.mark.parametrize(
    "osd",
    ["allow class-read object_prefix rbd_children, allow rwx pool=fast", "profile rbd pool=fast"],
)
def test_a_user_with_what_the_site_gives_it_goes(osd):
    mon = 'allow r, allow command "osd blacklist"'
    assert "user" in [c.kind for c in plan(caps(osd, mon=mon), backend="fast")]


@pytest.mark.parametrize("osd", ["profile rbd pool=fast-2", "profile rbd pool=fast.x namespace=t"])
def test_a_pool_of_a_longer_name_is_another(osd):
    assert "pool" in [c.kind for c in plan(users(osd), **P)]


# The same command goes on


def after(seen, changes):
    """The answers once these changes are done."""
    for change in changes:
        if change.host == CLOUD:
            name = change.subject
            kinds = {"volume_type": "volume_types", "qos": "qos_specs"}
            if change.kind in kinds:
                seen[CLOUD][kinds[change.kind]].pop(name, None)
            else:
                rows = seen[CLOUD]["volume_services"]
                next(r for r in rows if r["host"] == name)["enabled"] = False
        elif change.kind == "options":
            at = f"{change.subject}.conf"
            active = seen[change.host][at]["active"]
            text = "".join(f"[{s}]\n{k} = {v}\n" for s, k, v in active)
            left = options.active(options.edit(text, change.args["edits"]))
            seen[change.host][at]["active"] = [list(one) for one in left]
            seen[change.host]["pending_restarts"] = list(change.restarts)
        elif change.kind == "restart":
            seen[change.host]["pending_restarts"] = []
        elif change.kind == "service_row":
            rows = seen[CLOUD]["volume_services"]
            seen[CLOUD]["volume_services"] = [r for r in rows if r["host"] != change.subject]
        elif change.kind == "keyring":
            seen[change.host][f"keyring.{change.subject}"] = None
        elif change.kind == "secret":
            del seen[change.host][secret_uuid.SECRETS][change.subject]
        elif change.kind == "user":
            listed = json.loads(seen[change.host]["ceph.users"]["out"])["auth_dump"]
            left = [u for u in listed if u["entity"] != f"client.{change.subject}"]
            seen[change.host]["ceph.users"] = answer({"auth_dump": left})
        elif change.kind == "pool":
            listed = [clouds.pool(n) for n in POOLS if n != change.subject]
            seen[change.host]["ceph.pools"] = answer(listed)


@pytest.mark.parametrize("asked", [P, S, {"backend": "rbd"}, {**S, "and_pool": "more"}])
def test_broken_off_anywhere_the_same_command_does_the_rest(asked):
    whole = plan(**asked)
    assert whole
    for number in range(len(whole) + 1):
        rest = plan(lambda seen, n=number: after(seen, whole[:n]), **asked)
        assert words(rest) == words(whole[number:]), number
    told = notes(lambda seen: after(seen, whole), **asked)
    assert "\ntake out of the site file: " in f"\n{told}"


# --limit


def closed(seen):
    next(row for row in seen[CLOUD]["volume_services"] if row["host"] == "ctl@fast")["enabled"] = (
        False
    )


@pytest.mark.parametrize(
    "limited, kept, users",
    [
        # The compute's secret is beyond the limit: the user waits for it.
        ({"ctl"}, BACKEND[1:7], "user client.fast stays: it goes when the hosts beyond --limit"),
        # The backend still runs on the controller: its secret stays on the compute too.
        ({"n1"}, BACKEND[1:4], f"libvirt secret {FAST} stays: it goes when the hosts beyond"),
        ({"ctl", "n1"}, BACKEND[1:], "with --limit, nothing is done through the cloud's API"),
    ],
)
def test_what_stands_on_hosts_beyond_the_limit_waits(limited, kept, users):
    assert words(plan(closed, backend="fast", limited=limited)) == kept
    assert users in notes(closed, backend="fast", limited=limited)


@pytest.mark.parametrize("limited", [{"ctl"}, {"n1"}, {"ctl", "n1"}, {"ctl", "ceph01"}])
def test_with_a_limit_a_backend_that_is_open_is_not_begun_with(limited):
    """Its service is closed through the cloud's API alone: a volume could come while it goes."""
    assert words(plan(backend="fast", limited=limited)) == BACKEND[:2]  # that no limit lets through
    assert f"{CONF} stays: it goes when" in notes(backend="fast", limited=limited)


@pytest.mark.parametrize(
    "asked, kept",
    [({"backend": "fast"}, BACKEND[1:4]), (S, STORE[:2]), (C, []), (P, BACKEND[1:4])],
)
def test_of_a_host_that_was_not_looked_at_nothing_is_known_to_be_done(asked, kept):
    """With --limit the others are not even read: guests and secrets of n1 are not seen."""

    def unread(seen):
        closed(seen)
        del seen["n1"]

    limited = {"ctl", "ceph01"}
    assert words(plan(unread, **asked, limited=limited)) == kept
    assert "stays: it goes when the hosts beyond --limit" in notes(unread, **asked, limited=limited)


# In the middle of a rotation


@pytest.mark.parametrize(
    "there, refused",
    [(["fast", "quickly"], True), (["fast"], False), (["fast", "old"], False)],
)
def test_a_client_that_takes_anothers_place_goes_after_that_one(there, refused):
    where = here(clients={**CLIENTS, "fast": {"replaces": "quickly"}})

    def change(seen):
        seen["ceph01"]["ceph.users"] = answer({"auth_dump": [user(n, KEY, {}) for n in there]})

    if not refused:
        assert ("ceph01", "-", "user client.fast", "USERS") in words(
            plan(change, where, backend="fast")
        )
        return
    with pytest.raises(Refused, match="takes the place of client.quickly, .*inv ceph.rotate"):
        plan(change, where, backend="fast")


# The cloud's API


class Api:
    """Cinder's API, as far as services go."""

    def __init__(self, *volumes_, fails=False, deaf=()):
        """deaf: what it answers to, and does not do."""
        self.said, self._volumes, self._fails = [], volumes_, fails
        self._deaf, self._status = deaf, "enabled"
        self.block_storage = self

    def put(self, path, json):
        deed = path.rpartition("/")[2]
        self.said.append((deed, json["host"]))
        if deed not in self._deaf:
            self._status = "enabled" if deed == "enable" else "disabled"
        reply = Thing(url=path, status_code=403 if self._fails else 200, headers={}, content=b"")
        reply.json = dict
        reply.reason, reply.text, reply.request = "no", "", Thing(method="PUT", url=path)
        return reply

    def volumes(self, **_):
        return [Thing(id="v", name="n", host=host, status="creating") for host in self._volumes]

    def services(self):
        row = {"binary": "cinder-volume", "host": "ctl@fast", "state": "up"}
        return [Thing(**row, status=self._status)]


def test_a_service_is_closed_and_opened_where_a_volume_came_in_between():
    api = Api("ctl@rbd#rbd", None)
    volume_services.close(api, "ctl@fast")
    assert api.said == [("disable", "ctl@fast")]
    api = Api("ctl@fast#fast")
    with pytest.raises(Failed, match="1 volume came there since the plan"):
        volume_services.close(api, "ctl@fast")
    assert api.said == [("disable", "ctl@fast"), ("enable", "ctl@fast")]
    with pytest.raises(Failed, match=r"disable: .*expected an account"):
        volume_services.close(Api(fails=True), "ctl@fast")


OF_2026_2 = {"disable", "enable"}


@pytest.mark.parametrize(
    "deaf, volumes_, said, why",
    [
        ({}, [], ["disable"], None),
        (OF_2026_2, [], ["disable", "disable-log-reason"], None),
        (
            OF_2026_2,
            ["ctl@fast#fast"],
            ["disable", "disable-log-reason", "enable"],
            "service ctl@fast: .*as 2026.2 does: .*cinder-manage service remove",
        ),
        (
            {*OF_2026_2, "disable-log-reason"},
            [],
            ["disable", "disable-log-reason", "enable"],
            "its row says enabled; nothing was taken away",
        ),
    ],
)
def test_that_cinder_did_what_it_answers_is_looked_at(deaf, volumes_, said, why):
    api = Api(*volumes_, deaf=deaf)
    with pytest.raises(Failed, match=why) if why else contextlib.nullcontext():
        volume_services.close(api, "ctl@fast")
    assert [deed for deed, _ in api.said] == said


# Of several clusters


def test_a_cluster_goes_with_its_backends_and_file_and_no_pool_unasked():
    where, seen = test_clusters.two(), test_clusters.integrated()
    for part in where.parts:
        tag = part.cluster.tag
        for name in part.pools:
            listed = {f"{tag}images.{name}": said("[]"), f"{tag}trash.{name}": said("[]")}
            seen[part.admin.name] |= listed
    rows = [{"host": f"h1@{name}", "up": True, "enabled": True} for name in ("rbd", "west")]
    seen[CLOUD] |= {"volumes": [], "volume_services": rows, "attachments": []}
    seen[CLOUD]["glance.images"] = []
    known = secret_uuid.resolve(where, Facts(seen))
    one = removal.Removal(removal.Asked(cluster="west"), set(where.hosts))
    facts = Facts(seen, known, ZED)
    found = words(one.plan(where, facts))
    west = where.part("west").admin.name
    assert (west, "-", "user client.volumes", "USERS") in found
    assert not [c for c in found if c[0] == "ceph01" or c[3] == "POOLS"]
    for host in ("ctl", "n1", "n2"):
        assert (host, "-", "/etc/ceph/west.conf", "KEYS") in found
    assert ("ctl", "-", "/etc/ceph/west.client.images.keyring", "KEYS") in found
    assert [c for c in found if c[2] == f"libvirt secret {OTHER}"] and not [
        c for c in found if c[2] == f"libvirt secret {FSID}"
    ]
    told = "\n".join(one.notes(where, facts, one.plan(where, facts)))
    assert "[cinder.backends.west], [glance.stores.west], [clusters.west]" in told
    assert "sudoers" not in told


@pytest.mark.parametrize(
    "asked, there, said_",
    [
        ({"cluster": "west"}, True, "west01: /etc/sudoers.d/90-stackrbd-ops stays, as this run"),
        ({"cluster": "west"}, False, ""),
        ({"backend": "west"}, True, ""),  # its store needs the cluster still
        ({"backend": "rbd"}, True, ""),
    ],
)
def test_the_operators_way_in_to_the_hosts_of_a_cluster_that_goes_is_said_to_stay(
    asked, there, said_
):
    where, seen = test_clusters.two(sudoers={"user": "ops"}), test_clusters.integrated()
    west = where.part("west").admin
    one = removal.Removal(removal.Asked(**asked), set(where.hosts))
    rest = where.without(removal.gone(where, one.asked))
    read = "sudoers" in [read.id for read in one.reads(where, west)]
    assert read == (asked == {"cluster": "west"})
    seen[west.name]["sudoers"] = file("x") if there and read else None
    found = "\n".join(removal._sudoers_stay(where, rest, Facts(seen)))
    assert found.startswith(said_) and bool(found) == bool(said_)


# What each resource makes, it takes away


def test_every_resource_that_makes_something_of_a_client_or_backend_takes_it_away():
    makes = {one.task for one in chain.RESOURCES if one.leaves}
    assert makes == {
        "ceph.pools",
        "ceph.auth",
        "ceph.keyrings",
        "hosts.conf",
        "hosts.packages",
        "compute.secret",
        "controller.glance",
        "controller.cinder",
        "compute.nova",
    }


def test_a_client_of_the_cluster_itself_is_never_deleted():
    where = here(clients={**CLIENTS, "admin": {"rwx": ["fast"]}})
    assert not plan(where=where, client="admin")
    assert "user client.admin stays: the cluster itself" in notes(where=where, client="admin")


def test_a_data_pool_is_said_with_the_pool():
    backends = {
        "rbd": {"pool": "volumes"},
        "fast": {"pool": "fast", "client": "fast", "volume_type": "quick", "data_pool": "ec"},
    }
    clients = {name: table for name, table in CLIENTS.items() if name != "old"}
    where = here(cinder={"backends": backends}, pools={**POOLS, "ec": {}}, clients=clients)
    told = notes(where=where, backend="fast")
    assert "pool ec stays; --and-pool ec" in told and "pools.ec, pools.fast" in told
    pools = [c.subject for c in plan(
        lambda seen: seen["ceph01"].update({"ceph.pools": answer(
            [clouds.pool(name) for name in (*POOLS, "ec")])}),
        where, backend="fast", and_pool="fast, ec",
    ) if c.kind == "pool"]  # fmt: skip
    assert pools == ["fast", "ec"]


SAID = {**CLIENTS, "volumes": {"rwx": ["volumes", "fast"]}}


@pytest.mark.parametrize(
    "clients, asked, lines",
    [
        (CLIENTS, {"backend": "fast"}, ["[cinder.backends.fast]", "clients.fast"]),  # old has it
        (SAID, {"backend": "fast"}, ["[cinder.backends.fast]", "clients.fast"]),
        (
            {**CLIENTS, "old": {"rwx": ["volumes"]}},
            {"backend": "fast"},
            ["[cinder.backends.fast]", "clients.fast", "pools.fast"],
        ),
        (
            {**SAID, "old": {"rwx": ["fast", "more"]}},
            {"backend": "fast", "and_pool": "fast"},
            [
                "[cinder.backends.fast]",
                "clients.fast",
                "pools.fast",
                "fast of clients.volumes",
                "fast of clients.old",
            ],
        ),
        (
            {**SAID, "fast": {"rwx": ["fast"]}},
            {"store": "more"},
            ["[glance.stores.more]", "clients.more", "pools.more"],
        ),
    ],
)
def test_the_site_file_can_be_read_without_the_lines_that_are_named(clients, asked, lines):
    where = here(clients=clients)
    told = notes(where=where, **asked).rpartition("out of the site file: ")[2]
    assert told == ", ".join(lines)
    left = {
        "pools": {k: v for k, v in POOLS.items() if f"pools.{k}" not in lines},
        "clients": copy.deepcopy({k: v for k, v in clients.items() if f"clients.{k}" not in lines}),
        "glance": copy.deepcopy(STORES),
        "cinder": {"backends": {"rbd": {"pool": "volumes"}}},
    }
    for line in lines:
        pool, _, client = line.partition(" of clients.")
        if client:
            left["clients"][client]["rwx"].remove(pool)
    if "store" in asked:
        del left["glance"]["stores"]["more"]
        left["cinder"] = {"backends": {n: {"pool": n, "client": n} for n in ("volumes", "fast")}}
    hosts = {name: table for name, table in HOSTS.items() if name != "n2"}
    assert site(hosts=hosts, **left)


@pytest.mark.parametrize(
    "of, asked, said_",
    [
        ("glance", {"store": "rbd"}, "names no store then, and cannot be without one (it would be"),
        ("cinder", {"backend": "rbd"}, "names no backend then, and cannot be without one"),
        ("cinder", {"store": "more"}, None),
    ],
)
def test_that_the_last_of_the_site_goes_is_said(of, asked, said_):
    """Without its lines the site file asks for the one by default, or cannot be read."""
    alone = {
        "glance": {"stores": {"rbd": {"pool": "images"}}},
        "cinder": {"backends": {"rbd": {"pool": "volumes"}}},
    }
    clients = {**CLIENTS, "fast": {"rwx": ["fast"]}, "more": {"rwx": ["more"]}}
    hosts = {name: table for name, table in HOSTS.items() if name != "n2"}
    both = {"glance": STORES, "cinder": alone["cinder"], of: alone[of]}
    where = site(hosts=hosts, pools=POOLS, clients=clients, cloud="c", **both)

    def beside(seen):
        for line in seen["ctl"]["cinder.conf"]["active"]:
            line[2] = f"lvm,{line[2]}" if line[1] == "enabled_backends" else line[2]

    told = notes(beside, where=where, **asked)
    assert said_ in told if said_ else "cannot be without" not in told


def test_a_data_pools_line_goes_with_its_client():
    text = "[global]\nfsid = x\n\n[client.fast]\nrbd_default_data_pool = ec\n"
    gone = [("fast", ceph_conf.DATA_POOL, "ec")]
    assert ceph_conf._without_options(text, gone) == "[global]\nfsid = x\n"
    more = f"{text}keyring = /x\n\n[client.b]\nkeyring = /y\n"
    assert "[client.fast]\nkeyring = /x\n" in ceph_conf._without_options(more, gone)
    assert ceph_conf._with_options("[global]\nfsid = x\n", gone) == text


def test_reads_are_asked_once_and_of_the_right_hosts():
    where = here()
    one = removal.Removal(removal.Asked(backend="fast", and_pool="fast"), set(where.hosts))
    ids = {host.name: [r.id for r in one.reads(where, host)] for host in where.all_hosts()}
    assert "ceph.namespaces.fast" in ids["ceph01"] and "ceph.namespaces.more" not in ids["ceph01"]
    assert domains.READ in ids["n1"] and domains.READ not in ids["ctl"]
    asked = [r.id for r in one.reads(where, Host(CLOUD, ()))]
    assert leaving.ATTACHMENTS.id in asked and in_use.IMAGES.id not in asked
    assert volume_hosts.GUARDED.id in asked
    assert keyrings.read_of("fast", "/x").id in ids["ctl"]
    assert list(itertools.chain(*ids.values()))


# The way back of what virsh and ceph are told


def undo_of(kind):
    (change,) = [c for c in plan(backend="fast") if c.kind == kind]
    return change.args["undo"]


def test_a_secret_comes_back_with_its_value(tmp_path):
    undo = undo_of("secret")
    told = [part["old"][-2:] for part in undo["args"]["stdin"]]
    assert told == [["secret-dumpxml", FAST], ["secret-get-value", FAST]]
    argv = undo["args"]["argv"]
    cut = argv.index("--")
    assert argv[4:cut][-2:] == ["secret-define", "/dev/stdin"]
    assert "secret-set-value" in argv[cut:] and FAST in argv[cut:]
    keep = [["sh", "-c", f"cat > {tmp_path}/{name}"] for name in ("xml", "value")]
    given = "<secret>\n  <uuid>u</uuid>\n</secret>\n\nQUJD\n"
    program = [sys.executable, *argv[1:4], *keep[0], "--", *keep[1]]
    subprocess.run(program, input=given.encode(), check=True)
    assert (tmp_path / "xml").read_text() == "<secret>\n  <uuid>u</uuid>\n</secret>"
    assert (tmp_path / "value").read_text() == "QUJD"
    broken = [sys.executable, *argv[1:4], "false", "--", *keep[1]]
    assert subprocess.run(broken, input=given.encode(), stderr=-1, check=False).returncode


def test_a_secret_without_a_value_comes_back_without(tmp_path):
    def change(seen):
        seen["n1"][secret_uuid.SECRETS] = secret(FAST, "client.fast secret", "")

    (gone,) = [c for c in plan(change, backend="fast") if c.kind == "secret"]
    assert [part["old"][-2] for part in gone.args["undo"]["args"]["stdin"]] == ["secret-dumpxml"]
    assert gone.args["undo"]["args"]["argv"][-1] == "--"


def test_a_user_comes_back_with_its_key():
    undo = undo_of("user")
    assert undo["args"]["argv"][-4:] == ["auth", "import", "-i", "/dev/stdin"]
    assert undo["args"]["stdin"][0]["old"][-3:] == ["auth", "get", "client.fast"]
    assert "--format" not in undo["args"]["stdin"][0]["old"]


@pytest.mark.parametrize(
    "image, stores",
    [
        ({"store": None, "properties": {"stores": "rbd,more"}}, ["rbd", "more"]),
        ({"store": "more", "properties": {}}, ["more"]),
        ({"store": None, "properties": {}}, []),
    ],
)
def test_images_are_told_with_their_stores_hidden_ones_too(image, stores):
    asked = []

    def images_(is_hidden, visibility):
        assert visibility == "all"
        asked.append(is_hidden)
        return [Thing(id=ID.format(1), status="active", **image)] if is_hidden else []

    found = holdings.images(Thing(image=Thing(images=images_)))
    assert found == [{"id": ID.format(1), "status": "active", "stores": stores}]
    assert asked == [False, True]


def test_what_is_recorded_of_it_is_believed():
    for change in plan(specs("quick", ["quick"]), here(**copy.deepcopy(LIMITED)), backend="fast"):
        if change.host == CLOUD:
            assert not history._is_odd({"verb": change.verb, "args": change.args})
    assert history._is_odd({"verb": "no_volume_type", "args": {"name": "x\ny", "made": True}})
    assert history._is_odd({"verb": "close_backend", "args": {}})
