"""Several clusters: what the site file may say, and the plan that comes of it."""

import copy

import pytest

from fabfile.audit import evidence
from fabfile.core.contract import CLOUD, BadInput, Facts, Stop
from fabfile.doctor import checks, secret_holders, uses
from fabfile.doctor.observation import Looked
from fabfile.model.deployment import OWN
from fabfile.report import document, text
from fabfile.resources import (
    auth,
    by_cluster,
    chain,
    instance_disks,
    libvirt_secret,
    secret_uuid,
    service_config,
)
from fabfile.resources.rollback import Undone

from . import clouds
from .states import (
    EPHEMERAL,
    FSID,
    HOSTS,
    OTHER,
    THIRD,
    VIRSH_READS_FILES,
    ZED,
    answer,
    cluster,
    conf,
    connected,
    file,
    release,
    secret,
    site,
    sources,
    user,
)

WEST = {
    "pools": {"volumes": {}, "images": {}},
    "clients": {"volumes": {}, "images": {}},
}
"""The same names as in the site's own cluster: another team's habit is no other."""
BACKENDS = {
    "rbd": {"pool": "volumes"},
    "west": {"pool": "volumes", "cluster": "west"},
}
STORES = {"rbd": {"pool": "images"}, "west": {"pool": "images", "cluster": "west"}}


def two(west=None, **more):
    """A site of two clusters, whose pools and clients have the same names."""
    hosts = {
        "ceph01": {"roles": ["ceph"]},
        "west01": {"roles": ["ceph"], "cluster": "west"},
        **{name: table for name, table in HOSTS.items() if name != "ceph01"},
    }
    given = {
        "cloud": "c",
        "hosts": hosts,
        "cinder": {"backends": BACKENDS},
        "glance": {"stores": STORES},
        "clusters": {"west": {**WEST, **(west or {})}},
        **more,
    }
    return site(**given)


MONITORS = {FSID: "10.0.0.1:6789/0", OTHER: "10.9.0.1:6789/0"}


def ceph_side(fsid, users=(), pools=("volumes", "images")):
    """What a cluster's first host answers, under plain names."""
    seen = cluster([clouds.pool(name) for name in pools], users, mons=(MONITORS[fsid],))
    return {
        **seen,
        **connected("luminous", required="mimic"),
        "ceph.monmap": answer(
            {"fsid": fsid, "mons": [{"rank": 0, "addr": MONITORS[fsid]}]},
        ),
        "ceph.kinds": clouds.said(),
        "pending_restarts": [],
        "host": clouds.machine(7),
    }


def named(label, seen):
    """Answers as a cluster beside the site's own has them: what is its own carries its name."""
    own = by_cluster._OF_A_CLUSTER
    return {f"{label}/{k}" if k.startswith(own) else k: v for k, v in seen.items()}


def nothing(users=((), ())):
    """What hosts answer of which none has anything yet."""
    folder = {"ceph.folder": clouds.FOLDER, "ceph.conf": None}
    keys = {f"keyring.{client}": None for client in ("volumes", "images")}
    keys |= dict.fromkeys(clouds.NAMED, {})
    both = {**folder, **named("west", folder)}
    mine = {
        "host": clouds.machine(1),
        "packages": {**clouds.CLIENT, **clouds.LIBRARIES, "glance-common": "2:25.1.0-2"},
        "kolla": {"/etc/kolla": False},
        "pending_restarts": [],
    }
    ctl = {
        **mine,
        **both,
        **keys,
        **named("west", keys),
        **{f"{name}.conf": conf() for name in ("glance", "cinder")},
        **{f"{name}.sources": sources(name) for name in ("glance", "cinder")},
        "cinder.head": None,
    }
    compute = {
        **mine,
        **both,
        "nova.conf": conf(),
        "nova.sources": sources("nova"),
        secret_uuid.SECRETS: {},
        libvirt_secret.OPTIONS: VIRSH_READS_FILES,
        instance_disks.READ: {},
        "guests": clouds.said(),
    }
    return {
        "ceph01": ceph_side(FSID, users[0]),
        "west01": named("west", ceph_side(OTHER, users[1])),
        "ctl": ctl,
        "n1": compute,
        "n2": copy.deepcopy(compute),
        CLOUD: {"volume_types": {}, "volume_services": [], "volumes": []},
    }


def planned(where, seen, table=ZED):
    """All that integrate would do."""
    facts = Facts(seen, secret_uuid.resolve(where, Facts(seen)), table)
    changes = []
    for resource in chain.RESOURCES:
        changes += resource.planned(where, facts, tuple(changes))
    return changes


def of(changes, kind):
    return [c for c in changes if c.kind == kind]


# The plan


def test_both_clusters_are_planned_for_whole():
    changes = planned(two(), nothing())
    assert [(c.host, c.subject) for c in of(changes, "user")] == [
        ("ceph01", "volumes"),
        ("ceph01", "images"),
        ("west01", "volumes"),
        ("west01", "images"),
    ]
    assert [
        (c.host, c.args["path"], c.args["content"][1].name) for c in of(changes, "keyring")
    ] == [
        ("ctl", "/etc/ceph/ceph.client.images.keyring", "key:client.images"),
        ("ctl", "/etc/ceph/ceph.client.volumes.keyring", "key:client.volumes"),
        ("ctl", "/etc/ceph/west.client.images.keyring", "key:west/client.images"),
        ("ctl", "/etc/ceph/west.client.volumes.keyring", "key:west/client.volumes"),
    ]
    files = {(c.host, c.subject): "".join(c.args["content"]) for c in of(changes, "ceph_conf")}
    assert set(files) == {
        (host, f"/etc/ceph/{name}.conf")
        for host in ("ctl", "n1", "n2")
        for name in ("ceph", "west")
    }
    assert f"fsid = {OTHER}\nmon_host = 10.9.0.1:6789\n" in files["n1", "/etc/ceph/west.conf"]
    assert "keyring" not in files["n1", "/etc/ceph/west.conf"] + files["ctl", "/etc/ceph/ceph.conf"]
    for client in ("images", "volumes"):
        line = f"[client.{client}]\nkeyring = /etc/ceph/west.client.{client}.keyring\n"
        assert line in files["ctl", "/etc/ceph/west.conf"]


def test_a_secret_for_each_cluster_and_client():
    changes = planned(two(), nothing())
    found = [(c.host, c.subject, c.args["stdin"][0]) for c in of(changes, "secret")]
    assert [(host, uuid) for host, uuid, _ in found] == [
        (host, uuid) for uuid in (FSID, OTHER) for host in ("n1", "n2")
    ]
    assert "<name>client.volumes secret</name>" in found[0][2]
    assert "<name>west client.volumes secret</name>" in found[2][2]
    keys = [(c.subject, c.args["stdin"][0].name) for c in of(changes, "secret_value")]
    assert keys[1:3] == [(FSID, "key:client.volumes"), (OTHER, "key:west/client.volumes")]


def edits(changes, host, service):
    (change,) = [
        c for c in of(changes, "options") + of(changes, "recommended") if c.subject == service
    ]
    return {(s, k): v for s, k, v in change.args["edits"]}


def test_options_lead_each_section_to_its_cluster():
    changes = planned(two(), nothing())
    cinder = edits(changes, "ctl", "cinder")
    keys = ("rbd_ceph_conf", "rbd_cluster_name", "rbd_user", "rbd_secret_uuid")
    assert [cinder.get(("rbd", key)) for key in keys] == [
        "/etc/ceph/ceph.conf",
        None,
        "volumes",
        FSID,
    ]
    assert [cinder["west", key] for key in keys] == [
        "/etc/ceph/west.conf",
        "west",
        "volumes",
        OTHER,
    ]
    glance = edits(changes, "ctl", "glance")
    assert glance["west", "rbd_store_ceph_conf"] == "/etc/ceph/west.conf"
    assert glance["rbd", "rbd_store_ceph_conf"] == "/etc/ceph/ceph.conf"


LVM = [("DEFAULT", "enabled_backends", "lvm"), ("lvm", "volume_driver", "some.Lvm")]


def test_a_note_is_said_once():
    """Of Glance's file enabled_backends is another option than of Cinder's, and says no backend."""
    seen = nothing()
    seen["ctl"]["cinder.conf"] = conf(*LVM)
    facts = Facts(seen, secret_uuid.resolve(two(), Facts(seen)), ZED)
    changes, said = planned(two(), seen), []
    for resource in chain.RESOURCES:
        said += resource.notes(two(), facts, changes)
    assert any("may be put on rbd, west" in note for note in said)
    assert len(said) == len(set(said))


# What is there


KEYS = {
    (FSID, "volumes"): "sha256:" + "a" * 64,
    (FSID, "images"): "sha256:" + "b" * 64,
    (OTHER, "volumes"): "sha256:" + "c" * 64,
    (OTHER, "images"): "sha256:" + "d" * 64,
}
OWNERS = {"volumes": "cinder", "images": "glance"}
LABELS = {FSID: "ceph", OTHER: "west"}


def integrated(where=None):
    """What hosts answer of which all have all."""
    where = where or two()
    users = []
    for part, fsid in zip(where.parts, LABELS, strict=True):
        wanted = auth.clients(
            part, auth.cluster.seen(part, Facts({part.admin.name: ceph_side(fsid)})), ZED
        )
        users.append(
            [
                user(name, KEYS[fsid, name], auth.wanted_caps(one, 16))
                for name, one in wanted.items()
            ]
        )
    seen = nothing(users)
    for change in planned(where, nothing()):
        if change.kind == "ceph_conf":
            name = "ceph.conf" if change.subject == "/etc/ceph/ceph.conf" else "west/ceph.conf"
            seen[change.host][name] = file("".join(change.args["content"]))
        if change.kind in ("options", service_config.RECOMMENDED):
            host = seen[change.host]
            host[f"{change.subject}.conf"] |= conf(*change.args["edits"])
    for (fsid, client), key in KEYS.items():
        there = file(f"[client.{client}]\n\tkey = {key}\n", OWNERS[client], "0640")
        tag = "" if fsid == FSID else "west/"
        seen["ctl"][f"{tag}keyring.{client}"] = there
    for host in ("n1", "n2"):
        own = secret(FSID, value=KEYS[FSID, "volumes"])
        seen[host][secret_uuid.SECRETS] = own | secret(
            OTHER, "west client.volumes secret", KEYS[OTHER, "volumes"]
        )
    bound = {"rbd": {"volume_backend_name": "rbd"}, "west": {"volume_backend_name": "west"}}
    seen[CLOUD]["volume_types"] = bound
    return seen


def test_nothing_is_planned_for_what_is_there():
    assert planned(two(), integrated()) == []


def without(host, name):
    def change(seen):
        seen[host][name] = None

    return change


def another_key(host, name, client):
    def change(seen):
        seen[host][name] = file(f"[client.{client}]\n\tkey = sha256:{'e' * 64}\n", "cinder", "0640")

    return change


def no_secret(uuid):
    return lambda seen: seen["n2"][secret_uuid.SECRETS].pop(uuid)


def moved(host, name, address):
    def change(seen):
        monitors = [{"rank": 0, "addr": address}]
        fsid = OTHER if name.startswith("west/") else FSID
        seen[host][name] = answer({"fsid": fsid, "mons": monitors})

    return change


def option(section, key, value):
    def change(seen):
        active = [a for a in seen["ctl"]["cinder.conf"]["active"] if a[:2] != [section, key]]
        more = [[section, key, value]] if value else []
        seen["ctl"]["cinder.conf"]["active"] = [*active, *more]

    return change


ONE_THING = [
    # what is otherwise, {(host, kind, subject)} of the plan beside restarts
    (without("ctl", "west/keyring.volumes"), {("ctl", "keyring", "volumes")}),
    (without("ctl", "keyring.volumes"), {("ctl", "keyring", "volumes")}),
    (another_key("ctl", "west/keyring.volumes", "volumes"), {("ctl", "keyring", "volumes")}),
    (without("n1", "west/ceph.conf"), {("n1", "ceph_conf", "/etc/ceph/west.conf")}),
    (without("n1", "ceph.conf"), {("n1", "ceph_conf", "/etc/ceph/ceph.conf")}),
    (no_secret(OTHER), {("n2", "secret", OTHER), ("n2", "secret_value", OTHER)}),
    (no_secret(FSID), {("n2", "secret", FSID), ("n2", "secret_value", FSID)}),
    (
        moved("west01", "west/ceph.monmap", "10.9.0.2:6789/0"),
        {(h, "ceph_conf", "/etc/ceph/west.conf") for h in ("ctl", "n1", "n2")},
    ),
    (
        moved("ceph01", "ceph.monmap", "10.0.0.2:6789/0"),
        {(h, "ceph_conf", "/etc/ceph/ceph.conf") for h in ("ctl", "n1", "n2")},
    ),
    (option("west", "rbd_secret_uuid", ""), {("ctl", "options", "cinder")}),
    (option("west", "rbd_cluster_name", ""), {("ctl", "options", "cinder")}),
]


@pytest.mark.parametrize("change, expected", ONE_THING)
def test_one_thing_of_one_cluster_is_one_change(change, expected):
    seen = integrated()
    change(seen)
    found = {(c.host, c.kind, c.subject) for c in planned(two(), seen) if c.kind != "restart"}
    assert found == expected


# Secrets that are in use


def test_each_section_tells_its_own_clusters_uuid():
    """Both clusters have a client of that name; an attachment has one or the other's UUID."""
    seen = integrated()
    option("west", "rbd_secret_uuid", THIRD)(seen)
    known = secret_uuid.resolve(two(), Facts(seen))
    assert known == {"uuid.volumes": FSID, "west/uuid.volumes": THIRD}


@pytest.mark.parametrize(
    "west, key, expected",
    [
        ("west client.volumes secret", KEYS[OTHER, "volumes"], THIRD),
        # Another's, with our name: not with this cluster's key.
        ("west client.volumes secret", KEYS[FSID, "volumes"], OTHER),
        # The site's own cluster's name is not this one's.
        ("client.volumes secret", KEYS[OTHER, "volumes"], OTHER),
    ],
)
def test_a_secret_that_libvirt_has_is_found_by_its_name_and_key(west, key, expected):
    seen = nothing(
        [[user("volumes", KEYS[FSID, "volumes"])], [user("volumes", KEYS[OTHER, "volumes"])]]
    )
    seen["n1"][secret_uuid.SECRETS] = secret(THIRD, west, key)
    assert secret_uuid.resolve(two(), Facts(seen))["west/uuid.volumes"] == expected


def test_one_uuid_for_both_clusters_is_refused():
    seen = integrated()
    option("west", "rbd_secret_uuid", FSID)(seen)
    with pytest.raises(
        BadInput, match=r"clusters\.west\.clients\.volumes: expected a secret UUID of"
    ):
        secret_uuid.resolve(two(), Facts(seen))


def test_of_a_backend_that_left_nova_has_the_next_ones_uuid():
    """The site file still names the first one: what nova.conf has now is not its secret."""
    seen = integrated()
    for key in ("rbd_secret_uuid", "rbd_user", "volume_driver"):
        option("rbd", key, "")(seen)
    option("DEFAULT", "enabled_backends", "west")(seen)
    for host in ("n1", "n2"):
        file = seen[host]["nova.conf"]
        assert ["libvirt", "rbd_secret_uuid", FSID] in file["active"]
        file["active"] = [[*a[:2], OTHER if a[2] == FSID else a[2]] for a in file["active"]]
        del seen[host][secret_uuid.SECRETS][FSID]
    known = secret_uuid.resolve(two(), Facts(seen))
    assert known == {"uuid.volumes": FSID, "west/uuid.volumes": OTHER}


# The site file

FAULTS = [
    ({"glance": {"cluster": "wst"}}, "glance.cluster: expected one of ceph, west, found 'wst'"),
    (
        {"cinder": {"backends": {"a": {"pool": "volumes", "cluster": "x"}}}},
        "cinder.backends.a.cluster: expected one of ceph, west, found 'x'",
    ),
    (
        {"cinder": {"backends": {"a": {"pool": "fast", "cluster": "west"}}}},
        "cinder.backends.a.pool: expected one of images, volumes, found 'fast'",
    ),
    (
        {"west": {"clients": {"images": {}}}},
        "cinder.backends.west.client: expected one of images, found 'volumes'",
    ),
    (
        {"west": {"clients": {"volumes": {}, "images": {}, "more": {}}}},
        "clusters.west.clients.more.rwx: expected the pools that it writes, found none",
    ),
    (
        {"west": {"clients": {"volumes": {"rwx": ["imags"]}, "images": {}}}},
        "clusters.west.clients.volumes.rwx: expected one of images, volumes, found 'imags'",
    ),
    ({"west": {"fsdi": OTHER}}, "clusters.west.fsdi: no such setting; did you mean 'fsid'?"),
    ({"west": {"pools": {"volumes": {"siz": 1}, "images": {}}}}, "did you mean 'size'?"),
    ({"west": {"conf": "west.conf"}}, "clusters.west.conf: expected to be a path from /"),
    ({"west": {"ceph": ["/usr/bin/cephx"]}}, "clusters.west: rbd: expected how rbd is begun there"),
    (
        {"clusters": {"ceph": {"fsid": FSID}, "west": WEST}},
        "clusters.ceph.fsid: expected it at the top of the site file: fsid",
    ),
    (
        {"clusters": {"west": WEST, "east": WEST}},
        "clusters.east: expected a use of it, or a host of it, found none",
    ),
    (
        {"hosts": {**HOSTS, "n1": {"roles": ["compute"], "cluster": "west"}}},
        "hosts.n1.cluster: expected none: a host without the role 'ceph' uses what its services",
    ),
    ({"hosts": HOSTS}, "hosts: no host of the cluster west has the role 'ceph'"),
    (
        {
            "clients": {
                "volumes": {"rwx": ["volumes"], "secret_uuid": OTHER},
                "images": {"rwx": ["images"]},
            },
            "west": {"clients": {"volumes": {"secret_uuid": OTHER}, "images": {}}},
        },
        "clusters.west.clients.volumes.secret_uuid: expected one of its own, found that of clients",
    ),
    (
        {"west": {"conf": "/etc/ceph/ceph.conf"}},
        "clusters.west.conf: expected another path than that of the cluster ceph on ctl",
    ),
    (
        {"west": {"conf": "/srv/ceph.conf"}},
        "clusters.west.conf: expected another name than ceph.conf, by which librados would look",
    ),
]


@pytest.mark.parametrize("more, said", FAULTS)
def test_a_fault_is_named_with_its_place(more, said):
    with pytest.raises(BadInput) as caught:
        two(**more)
    assert said in str(caught.value)


def shown(where):
    """What the resources plan, for a site of one cluster."""
    return where.uses(), [vars(b) for b in where.bindings]


def test_the_sites_own_cluster_needs_no_table():
    plain = site()
    assert plain.parts == (plain,) and plain.is_whole and plain.labels == (OWN,)
    assert site(clusters={"ceph": {}}).bindings == plain.bindings
    one = site(clusters={"ceph": {"ceph": ["cephadm", "shell", "--", "ceph"], "id": "ops"}})
    assert one.cluster.ceph("df") == [
        *["cephadm", "shell", "--", "ceph", "--id", "ops"],
        *["--connect-timeout", "10", "df"],
    ]
    assert one.cluster.rbd("ls") == ["cephadm", "shell", "--", "rbd", "--id", "ops", "ls"]
    assert shown(one)[0] == shown(plain)[0]


PROGRAMS = [
    # [clusters.west], how ceph and rbd are begun on its hosts
    ({}, ["ceph"], ["rbd"]),
    (
        {"own_conf": "/etc/ceph/west.conf"},
        ["ceph", "--cluster", "west", "-c", "/etc/ceph/west.conf"],
        ["rbd", "--cluster", "west", "-c", "/etc/ceph/west.conf"],
    ),
    (
        {"ceph": ["/snap/bin/microceph.ceph"]},
        ["/snap/bin/microceph.ceph"],
        ["/snap/bin/microceph.rbd"],
    ),
    (
        {"id": "ops", "keyring": "/etc/ceph/ops.keyring"},
        ["ceph", "--id", "ops", "--keyring", "/etc/ceph/ops.keyring"],
        ["rbd", "--id", "ops", "--keyring", "/etc/ceph/ops.keyring"],
    ),
    ({"ceph": ["/opt/c"], "rbd": ["/opt/r"]}, ["/opt/c"], ["/opt/r"]),
]


@pytest.mark.parametrize("table, ceph, rbd", PROGRAMS)
def test_programs_are_begun_as_the_table_says(table, ceph, rbd):
    west = two(table).part("west").cluster
    assert (west.ceph("x"), west.rbd("x")) == ([*ceph, "--connect-timeout", "10", "x"], [*rbd, "x"])
    typed = west.platform.by_hand("ceph", "df")
    assert typed.argv == (*ceph, "df")


PATHS = [
    ({}, "/etc/ceph/west.conf", "/etc/ceph/west.client.volumes.keyring", "west"),
    ({"conf": "/etc/ceph/b.conf"}, "/etc/ceph/b.conf", "/etc/ceph/b.client.volumes.keyring", "b"),
    ({"conf": "/srv/c/b.conf"}, "/srv/c/b.conf", "/etc/ceph/b.client.volumes.keyring", "b"),
]


@pytest.mark.parametrize("table, path, keyring, name", PATHS)
def test_files_are_called_as_the_cluster_is(table, path, keyring, name):
    where = two(table)
    (use,) = [b for b in where.bindings if b.section == "west" and b.service.key == "cinder"]
    assert (use.conf, use.keyring_path, use.cluster.name) == (path, keyring, name)


def test_a_cluster_of_its_own_name_may_be_the_only_one():
    hosts = {**HOSTS, "ceph01": {"roles": ["ceph"], "cluster": "west"}}
    one = site(
        hosts=hosts,
        cinder={"cluster": "west"},
        glance={"cluster": "west"},
        clusters={"west": {**WEST, "fsid": OTHER}},
    )
    assert one.labels == ("west",) and one.admin.name == "ceph01"
    assert one.parts[0].fsid == OTHER and one.cluster.name == "west"
    assert {b.conf for b in one.bindings} == {"/etc/ceph/west.conf"}


def test_a_service_that_uses_one_cluster_is_no_client_of_the_other():
    where = two(
        glance={"pool": "images"}, west={"pools": {"volumes": {}}, "clients": {"volumes": {}}}
    )
    west = where.part("west")
    assert west.host("ctl").roles == ("cinder",) and not west.glance.all
    assert west.clients["volumes"].rx == []
    hosts = {**HOSTS, "west01": {"roles": ["ceph", "compute"], "cluster": "west"}}
    cinder = {"backends": {"rbd": {"pool": "volumes"}}}
    disks = {"ephemeral": True, "client": "volumes", "pool": "volumes", "cluster": "west"}
    volumes = {"pools": {"volumes": {}}, "clients": {"volumes": {}}}
    with pytest.raises(
        BadInput, match=r"clusters\.west\.own_conf: expected another path than that"
    ):
        two(hosts=hosts, cinder=cinder, glance={}, nova=disks, west=volumes)
    volumes["own_conf"] = "/etc/ceph/west.conf"
    where = two(hosts=hosts, cinder=cinder, glance={}, nova=disks, west=volumes)
    assert where.part("ceph").host("west01").roles == ("compute",)
    assert where.part("west").host("west01").roles == ("ceph", "compute")
    assert "ctl" not in where.part("west").hosts
    assert where.part("west").nova.ephemeral and not where.part("ceph").nova.ephemeral


# Which cluster it is


@pytest.mark.parametrize(
    "pinned, said",
    [
        ({"fsid": FSID}, None),
        ({"fsid": THIRD}, "ceph01: expected the cluster"),
        ({"west": {"fsid": OTHER}}, None),
        ({"west": {"fsid": THIRD}}, r"west01: expected the cluster(.|\n)*\(cluster west"),
    ],
)
def test_each_clusters_fsid_is_pinned_for_itself(pinned, said):
    if not said:
        assert planned(two(**pinned), nothing())
        return
    with pytest.raises(BadInput, match=said):
        planned(two(**pinned), nothing())


@pytest.mark.parametrize(
    "name, of, said",
    [
        ("newton", "nova", "expected one client for all of them before Ocata"),
        ("queens", "glance", "one RBD store before Train"),
    ],
)
def test_what_an_old_release_cannot_do_is_refused(name, of, said):
    facts = Facts(nothing(), {"uuid.volumes": FSID, "west/uuid.volumes": OTHER}, release(name))
    with pytest.raises(BadInput, match=said):
        getattr(service_config, of).plan(two(), facts)


SECTIONS = {"glance": "rbd", "nova": "libvirt", "cinder": "rbd"}
CONFS = {
    "glance": "rbd_store_ceph_conf",
    "nova": "images_rbd_ceph_conf",
    "cinder": "rbd_ceph_conf",
}


@pytest.mark.parametrize("name", ["stein", "zed", "2026.2"])
@pytest.mark.parametrize("service", CONFS)
@pytest.mark.parametrize(
    "conf_, environment, written",
    [
        ("/etc/ceph/west.conf", {}, True),
        ("/etc/ceph/west.conf", {"CEPH_CONF": "/etc/ceph/west.conf"}, False),
        ("/srv/ceph.conf", {}, True),
        ("/etc/ceph/ceph.conf", {}, False),
    ],
)
def test_a_section_that_names_no_ceph_conf_is_librados_own(
    name, service, conf_, environment, written
):
    """It looks at /etc/ceph/ceph.conf there, whichever cluster the site file has for it."""
    table = release(name)
    older = service == "glance" and name == "stein"
    section = "glance_store" if older else SECTIONS[service]
    hosts = {**HOSTS, "ceph01": {"roles": ["ceph"], "cluster": "west"}}
    only = {"cluster": "west"}
    west = {"pools": EPHEMERAL["pools"], "clients": EPHEMERAL["clients"], "conf": conf_}
    nova = {**only, "ephemeral": True}
    one = site(hosts=hosts, cinder=only, glance=only, nova=nova, clusters={"west": west})
    host = "n1" if service == "nova" else "ctl"
    there = [(section, "weight", "1")]
    seen = {
        f"{service}.conf": conf(*there),
        f"{service}.sources": sources(service, environment=environment),
        "cinder.head": None,
        "nova.disks": {},
    }
    known = {"uuid.volumes": FSID, "uuid.vms": OTHER}
    (change,) = getattr(service_config, service).plan(one, Facts({host: seen}, known, table))
    edits = {(s, key): value for s, key, value in change.args["edits"]}
    assert edits.get((section, CONFS[service])) == (conf_ if written else None)


@pytest.mark.parametrize("name, has", [("zed", True), ("liberty", True), ("kilo", False)])
def test_cinder_is_told_the_name_since_liberty(name, has):
    """One cluster that is called otherwise: an old Nova attaches by one user and secret."""
    hosts = {**HOSTS, "ceph01": {"roles": ["ceph"], "cluster": "west"}}
    only = {"cluster": "west"}
    one = site(hosts=hosts, cinder=only, glance=only, clusters={"west": WEST})
    facts = Facts({"ctl": {"cinder.conf": conf(), "cinder.head": None}}, {}, release(name))
    (change,) = service_config.cinder.plan(one, facts)
    assert (["rbd", "rbd_cluster_name", "west"] in change.args["edits"]) == has
    assert ["rbd", "rbd_ceph_conf", "/etc/ceph/west.conf"] in change.args["edits"]


# The way back


@pytest.mark.parametrize(
    "host, holding, stays",
    [
        ("west01", ("west01", "west/images.volumes"), True),
        ("west01", ("ceph01", "images.volumes"), False),
        ("ceph01", ("ceph01", "images.volumes"), True),
        ("ceph01", ("west01", "west/images.volumes"), False),
    ],
)
def test_a_user_stays_where_its_own_clusters_pool_holds_images(host, holding, stays):
    where = two()
    step = {
        "verb": "run",
        "verb_was": "run",
        "state": "done",
        "sign": "+",
        "thing": "user client.volumes",
        "sentence": "create",
        "args": {"argv": ["x"]},
        "wave": 0,
        "holds": ["volumes"],
        "was": None,
        "is": "1",
        "now": "1",
    }
    undone = Undone("r1")
    seen = {}
    for one in where.all_hosts():
        asked = [read.id for read in undone.reads(where, one)]
        seen[one.name] = {name: clouds.said("[]") for name in asked if "." in name}
    seen[holding[0]][holding[1]] = clouds.said('["x"]')
    seen[host]["run"] = [step]
    changes = undone.plan(where, Facts(seen))
    assert [c.host for c in changes] == ([] if stays else [host])


# What doctor says

KNOWN = {"uuid.volumes": FSID, "west/uuid.volumes": OTHER}
_OF_THE_CLUSTER = ("ceph.ratios", "ceph.df", "ceph.daemons", "ceph.orchestrator")


def healthy():
    """What the hosts of two healthy clusters answer a doctor."""
    base, seen = clouds.hosts(), integrated()
    found = {name: {**base[name], **seen[name]} for name in ("ceph01", "ctl", "n1", "n2")}
    for name in ("ctl", "n1", "n2"):
        found[name]["packages"] = base[name]["packages"]
        found[name] |= named("west", {"ceph.keyrings": clouds.said()})
    for host in ("ctl", "n1", "n2"):
        found[host]["host"] = base[host]["host"]
    found["ceph01"]["host"] = base["ceph01"]["host"]
    own = {name: base["ceph01"][name] for name in _OF_THE_CLUSTER}
    found["west01"] = {**seen["west01"], **named("west", own)}
    found["west01"] |= {name: base["ceph01"][name] for name in ("disk", "programs")}
    found[CLOUD] = {
        "volume_types": {**seen[CLOUD]["volume_types"], "__DEFAULT__": {}},
        "volume_services": [
            {"host": f"ctl@{name}", "up": True, "enabled": True} for name in ("rbd", "west")
        ],
        "volumes": [],
        "attachments": [],
    }
    for name in ("n1", "n2"):
        found[name]["domains"] = {}
    return found


def look_at(change=lambda cloud: None, known=None, **more):
    cloud = copy.deepcopy(healthy())
    change(cloud)
    facts = Facts(cloud, KNOWN if known is None else known, ZED)
    given = {"here": {}, "releases": clouds.RELEASES, "release": "zed", "hazards": clouds.HAZARDS}
    return Looked(facts, **{**given, **more})


def codes(change=lambda cloud: None, **more):
    """{(code, hosts, thing)} of what doctor finds."""
    found, _ = checks.findings(two(), look_at(change, **more))
    return {(one.code, one.hosts, one.thing) for one in found if one.code != "volume.default"}


def test_two_healthy_clusters_yield_nothing():
    assert codes() == set()


def guest(uuid, monitor, user_="volumes"):
    """A guest with a disk, and its attachment."""

    def change(cloud):
        disk = clouds.disk_xml(uuid, user_, (monitor,))
        cloud["n1"]["domains"] = {clouds.INSTANCE: {"disks": clouds.said(disk)}}
        cloud[CLOUD]["attachments"] = [
            {
                "volume": clouds.VOLUME,
                "instance": clouds.INSTANCE,
                "user": user_,
                "uuid": uuid,
                "monitors": [monitor],
            }
        ]

    return change


def health(host, name, code):
    return lambda cloud: cloud[host].update({name: answer({"checks": {code: {}}})})


def gone(host, *names):
    def change(cloud):
        for name in names:
            cloud[host].pop(name)

    return change


_WEST_CEPH = ("west/ceph.health", "west/ceph.monmap", "west/ceph.users", "west/ceph.pools")

DISEASES = [
    (without("ctl", "west/keyring.volumes"), "keyring.missing", "ctl"),
    (without("n1", "west/ceph.conf"), "ceph.conf.missing", "n1"),
    (no_secret(OTHER), "libvirt.missing", "n2"),
    (no_secret(FSID), "libvirt.missing", "n2"),
    (health("west01", "west/ceph.health", "MON_DOWN"), "ceph.MON_DOWN", "west01"),
    (health("ceph01", "ceph.health", "MON_DOWN"), "ceph.MON_DOWN", "ceph01"),
    (health("west01", "west/ceph.health", "OSD_FULL"), "ceph.OSD_FULL", "west01"),
    (
        lambda cloud: clouds.altered(cloud, "west01", "west/ceph.pools", lambda d: d.pop()),
        "pool.missing",
        "west01",
    ),
    (
        lambda cloud: clouds.altered(
            cloud, "west01", "west/ceph.users", lambda d: d["auth_dump"].pop()
        ),
        "user.missing",
        "west01",
    ),
    (guest(FSID, "10.9.0.1"), "guest.uuid", "n1"),  # west's, by the monitors; with the other UUID
    (guest(OTHER, "10.0.0.1"), "guest.uuid", "n1"),
    (guest(THIRD, "10.9.0.1"), "attachment.uuid", CLOUD),
    (guest(OTHER, "10.9.0.7"), "guest.monitors", "n1"),
    (guest(FSID, "10.0.0.7"), "attachment.monitors", CLOUD),
    (
        moved("west01", "west/ceph.monmap", "10.9.0.2:6789/0"),
        "ceph.conf.monitors",
        "ctl",
    ),
]


@pytest.mark.parametrize("change, code, host", DISEASES)
def test_what_is_wrong_with_one_cluster_is_said_of_it(change, code, host):
    found = codes(change)
    assert (code, host) in {(one[0], name) for one in found for name in one[1]}
    other = {"west01": "ceph01", "ceph01": "west01"}.get(host)
    assert not any(other in one[1] for one in found)


@pytest.mark.parametrize("uuid, monitor", [(FSID, "10.0.0.1"), (OTHER, "10.9.0.1")])
def test_a_guest_of_either_cluster_is_healthy(uuid, monitor):
    assert codes(guest(uuid, monitor)) == set()


def test_a_cluster_that_is_silent_leaves_the_other_one_looked_at():
    errors = {("west01", name): Stop("timed out", host="west01") for name in _WEST_CEPH}

    def change(cloud):
        gone("west01", *_WEST_CEPH)(cloud)
        without("ctl", "keyring.images")(cloud)

    found = codes(change, known={"uuid.volumes": FSID}, errors=errors)
    assert ("ceph.silent", ("west01",), "the cluster") in found
    assert ("keyring.missing", ("ctl",), "/etc/ceph/ceph.client.images.keyring") in found


def test_the_truth_table_has_each_clusters_identity():
    rows = secret_holders.table(two(), look_at(guest(OTHER, "10.9.0.1")))
    assert secret_holders.odd(rows) == []
    told = {(row.kind, row.client, row.uuid, row.value) for row in rows}
    for label, fsid in (("volumes", FSID), ("west/volumes", OTHER)):
        key = KEYS[fsid, "volumes"]
        assert {("Ceph", label, "", key), ("keyring", label, "", key)} <= told
        assert {("cinder.conf", label, fsid, ""), ("libvirt", label, fsid, key)} <= told
    assert ("guest", "west/volumes", OTHER, "") in told
    assert ("attachment", "west/volumes", OTHER, "") in told
    assert ("guest", "volumes", OTHER, "") not in told


@pytest.mark.parametrize(
    "change, label",
    [
        (no_secret(OTHER), "west/volumes"),
        (option("west", "rbd_secret_uuid", THIRD), "west/volumes"),
        (option("rbd", "rbd_secret_uuid", THIRD), "volumes"),
        (another_key("ctl", "west/keyring.volumes", "volumes"), "west/volumes"),
        (another_key("ctl", "keyring.volumes", "volumes"), "volumes"),
        (guest(FSID, "10.9.0.1"), "west/volumes"),
    ],
)
def test_what_is_odd_is_in_its_own_clusters_rows(change, label):
    rows = secret_holders.table(two(), look_at(change))
    assert {row.client for row in secret_holders.odd(rows)} == {label}


def test_the_report_tells_of_both():
    looked = look_at()
    found, plan = checks.findings(two(), looked)
    rows = secret_holders.table(two(), looked)
    told = document.document(two(), looked, found, rows, plan, "")
    assert told["clusters"]["west"]["ceph"]["fsid"] == OTHER
    assert told["ceph"]["fsid"] == told["clusters"]["ceph"]["ceph"]["fsid"] == FSID
    assert told["monitors"] == ["10.0.0.1:6789", "10.9.0.1:6789"]
    assert {"volumes", "west/volumes", "images", "west/images"} == set(told["clients"])
    assert {one["state"] for one in told["holders"]} == {"ok"}
    lines = list(text.status({**told, "last_run": None}))
    assert any("Ceph west" in line and OTHER in line for line in lines)
    assert any("pool west volumes" in line for line in lines)


# Whose an option is that is not said: librados' own /etc/ceph/ceph.conf, and no part's

CEPHS = "cinder.backup.drivers.ceph.CephBackupDriver"


def backing_up(path, backup_user="keeper"):
    """Changes a cloud to one whose cinder-backup is on Ceph; path: backup_ceph_conf."""

    def change(cloud):
        more = [["DEFAULT", "backup_driver", CEPHS], ["DEFAULT", "backup_ceph_user", backup_user]]
        more += [["DEFAULT", "backup_ceph_conf", path]] if path else []
        cloud["ctl"]["cinder.conf"]["active"] += more

    return change


WHOSE = [("", OWN), ("/etc/ceph/ceph.conf", OWN), ("/etc/ceph/west.conf", "west")]


@pytest.mark.parametrize(("path", "label"), WHOSE)
def test_backups_are_of_the_cluster_that_their_ceph_conf_names(path, label):
    looked = look_at(backing_up(path))
    found, _ = checks.findings(two(), looked)
    missed = [one.hosts for one in found if one.code == "user.backup"]
    assert missed == [(two().part(label).admin.name,)]
    for part in two().parts:
        conf_ = part.platform_of(part.host("ctl")).ceph["conf"]
        others = uses.others_of_conf(part, looked, "ctl", conf_)
        assert ("cinder.conf [DEFAULT]" in others) == (part.label == label)
        answers = {"ctl": looked.facts.hosts["ctl"]}
        assert evidence._backups_are_ours(part, answers) == (part.label == label)


def test_backups_that_the_site_file_describes_are_missed_nowhere_else():
    with_backups = two(
        cinder={"backends": BACKENDS, "backup": {}},
        pools={"volumes": {}, "images": {}, "backups": {}},
        clients={"volumes": {}, "images": {}, "backups": {}},
    )
    found, _ = checks.findings(with_backups, look_at(backing_up("", "backups")))
    assert "user.backup" not in {one.code for one in found}


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("west", "rbd_pool", "zone", {OWN: {"volumes"}, "west": {"zone"}}),
        ("rbd", "rbd_pool", "zone", {OWN: {"zone"}, "west": {"volumes"}}),
        ("rbd", "rbd_ceph_conf", "", {OWN: {"volumes"}, "west": {"volumes"}}),
    ],
)
def test_a_client_writes_the_pools_of_its_own_cluster(section, key, value, expected):
    looked = look_at(option(section, key, value))
    for part in two().parts:
        assert uses.pools_of(part, looked, "volumes")[0] == expected[part.label]
