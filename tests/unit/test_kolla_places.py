"""Hosts that have Ceph's files in several places: a controller in Kolla's containers.

Each service there reads a folder of its own; one of packages beside it has one folder for all.
"""

import pytest

from fabfile.audit import old_clients
from fabfile.backup import contents
from fabfile.core.contract import CLOUD, BadInput, Facts, Read
from fabfile.doctor import checks, parts, secret_holders
from fabfile.doctor.observation import Looked
from fabfile.model.site import Gone
from fabfile.resources import (
    auth,
    by_cluster,
    by_place,
    ceph_conf,
    in_force,
    keyrings,
    service_config,
)

from . import clouds, test_clusters, test_kolla
from .states import (
    BACKED_UP,
    DEBIAN,
    FSID,
    HOSTS,
    KEY,
    cluster,
    conf,
    file,
    release,
    site,
    user,
)

CONTROL = {"roles": ["glance", "cinder", "database"], "platform": "kolla"}
MIXED = {**HOSTS, "ctl": CONTROL, "n1": {"roles": ["compute"], "platform": "kolla"}}
ALL_IN_ONE = {**HOSTS, "ctl": {"roles": ["glance", "cinder", "compute"], "platform": "kolla"}}
GLANCE, VOLUME, BACKUP, NOVA = (
    f"/etc/kolla/{name}"
    for name in ("glance-api/ceph", "cinder-volume/ceph", "cinder-backup/ceph", "nova-compute")
)
CONF = f"[global]\nfsid = {FSID}\nmon_host = 10.0.0.1:6789\n"
IMAGES, BACKUPS = (f"sha256:{letter * 64}" for letter in "bc")
USERS = (user("images", IMAGES), user("volumes", KEY), user("backups", BACKUPS))
KEYS = {"images": IMAGES, "volumes": KEY, "backups": BACKUPS}


def backed_up(hosts=MIXED, **more):
    return site(**{**BACKED_UP, "hosts": hosts, "cinder": {"backup": {}}, **more})


def keyring(client, owner="root", mode="0660"):
    return file(f"[client.{client}]\n\tkey = {KEYS[client]}\n", owner, mode)


def there(service, *clients, text=CONF):
    """What is seen of one place that is as it should be."""
    found = {"ceph.folder": {"kind": "directory"}, "ceph.conf": file(text, mode="0660")}
    found |= {f"keyring.{client}": keyring(client) for client in clients}
    return {f"{name}@{service}": value for name, value in found.items()}


RIGHT = {
    **there("glance-api", "images"),
    **there("cinder-volume", "volumes"),
    **there("cinder-backup", "backups", "volumes"),
}
LIBRADOS = {"packages": {"librados2": "16.2.15"}, "host": {"hostname": "ctl"}}


def facts(it, **changed):
    """The cluster, and the controller as it should be, but for what is changed ('-': absent)."""
    seen = {**RIGHT, **changed}
    seen = {
        name: seen.get(name) for one in it.parts for name in asked(one) if name.startswith(FILES)
    }
    return Facts({"ceph01": cluster(users=USERS), "ctl": {**seen, **LIBRADOS}})


FILES = ("ceph.conf", "ceph.folder", "keyring.")


def asked(it, host="ctl"):
    """{read id: the path} of the files of Ceph's that a host is asked for."""
    own = [
        *ceph_conf.RESOURCE.reads(it, it.host(host)),
        *keyrings.RESOURCE.reads(it, it.host(host)),
    ]
    return {read.id: read.args.get("path", "") for read in own}


def test_each_service_in_a_container_has_its_files_in_its_own_folder():
    it = backed_up()
    found = {
        (b.service.name, b.client): (b.conf, b.keyring_path, b.unit, b.file, b.owner)
        for b in it.bindings_of(it.host("ctl"))
    }
    assert found == {
        (service, client): (
            f"{folder}/ceph.conf",
            f"{folder}/ceph.client.{client}.keyring",
            f"kolla-{service.replace('-', '_')}-container",
            f"/etc/kolla/{service}/{'glance-api' if client == 'images' else 'cinder'}.conf",
            "root",
        )
        for service, client, folder in (
            ("glance-api", "images", GLANCE),
            ("cinder-volume", "volumes", VOLUME),
            ("cinder-backup", "backups", BACKUP),
            ("cinder-backup", "volumes", BACKUP),
        )
    }
    for binding in it.bindings_of(it.host("ctl")):
        assert binding.named_conf == "/etc/ceph/ceph.conf"
        assert binding.named_keyring == f"/etc/ceph/ceph.client.{binding.client}.keyring"


@pytest.mark.parametrize(
    "hosts, expected",
    [
        (HOSTS, [None]),
        ({**HOSTS, "n1": {"roles": ["compute"], "platform": "kolla"}}, [None]),
        (MIXED, [None, "glance-api", "cinder-volume", "cinder-backup"]),
        (ALL_IN_ONE, [None, "glance-api", "cinder-volume", "cinder-backup"]),
    ],
)
def test_a_site_has_so_many_places(hosts, expected):
    it = backed_up(hosts)
    assert [one.place and one.place.name for one in it.places] == expected
    assert it.is_whole and (it.places == (it,)) == (len(expected) == 1)
    for one in it.places[1:]:
        assert one.admin == it.admin and one.places == (one,) and one.cluster == it.cluster
        assert [(h.name, h.roles) for h in one.all_hosts()] == [("ctl", (one.place.role,))]


def test_what_is_asked_carries_the_name_of_its_place():
    found = asked(backed_up(ALL_IN_ONE))
    assert {name: path for name, path in found.items() if name.startswith(FILES)} == {
        "ceph.folder": NOVA,
        "ceph.folder@glance-api": GLANCE,
        "ceph.folder@cinder-volume": VOLUME,
        "ceph.folder@cinder-backup": BACKUP,
        "ceph.conf": f"{NOVA}/ceph.conf",
        "ceph.conf@glance-api": f"{GLANCE}/ceph.conf",
        "ceph.conf@cinder-volume": f"{VOLUME}/ceph.conf",
        "ceph.conf@cinder-backup": f"{BACKUP}/ceph.conf",
        "keyring.images@glance-api": f"{GLANCE}/ceph.client.images.keyring",
        "keyring.volumes@cinder-volume": f"{VOLUME}/ceph.client.volumes.keyring",
        "keyring.backups@cinder-backup": f"{BACKUP}/ceph.client.backups.keyring",
        "keyring.volumes@cinder-backup": f"{BACKUP}/ceph.client.volumes.keyring",
    }
    assert {name.partition("@")[2] for name in asked(site())} == {""}


def test_a_place_has_what_is_its_own_and_the_clusters():
    it = backed_up(ALL_IN_ONE)
    seen = {
        "ceph.conf": 1,
        "ceph.conf@glance-api": 2,
        "keyring.volumes@cinder-volume": 3,
        "host": 4,
    }
    told = Facts({"ceph01": {"ceph.users": 5}, "ctl": seen, "n1": {"ceph.conf": 6}})
    views = [by_place.facts_of(one, told).hosts for one in it.places]
    assert [one.get("ctl") for one in views] == [
        {"ceph.conf": 1, "host": 4},
        {"ceph.conf": 2, "host": 4},
        {"keyring.volumes": 3, "host": 4},
        {"host": 4},
    ]
    assert all(one["ceph01"] == {"ceph.users": 5} for one in views)
    assert [("n1" in one) for one in views] == [True, False, False, False]


GONE = [
    ("all there", {}, []),
    ("a folder", {"ceph.folder@glance-api": None}, [GLANCE]),
    ("a ceph.conf", {"ceph.conf@cinder-volume": None}, [f"{VOLUME}/ceph.conf"]),
    (
        "monitors of old",
        {"ceph.conf@cinder-backup": file(CONF.replace("10.0.0.1", "10.0.0.9"), mode="0660")},
        [f"{BACKUP}/ceph.conf"],
    ),
    (
        "one of two keyrings of a client",
        {"keyring.volumes@cinder-backup": None},
        [f"{BACKUP}/ceph.client.volumes.keyring"],
    ),
    (
        "another key",
        {"keyring.images@glance-api": file("[client.images]\n\tkey = sha256:0\n", mode="0660")},
        [f"{GLANCE}/ceph.client.images.keyring"],
    ),
]


@pytest.mark.parametrize("said, changed, paths", GONE, ids=[row[0] for row in GONE])
def test_what_one_place_lacks_is_written_there(said, changed, paths):
    it = backed_up()
    seen = facts(it, **changed)
    changes = [*ceph_conf.RESOURCE.plan(it, seen), *keyrings.RESOURCE.plan(it, seen)]
    assert [one.args["path"] for one in changes] == paths
    for change in changes:
        assert change.host == "ctl"
        if change.verb == "write":
            assert (change.args["owner"], change.args["mode"]) == ("root", "0660")
        unit = f"kolla-{change.args['path'].split('/')[3].replace('-', '_')}-container"
        # Of a volume that it only backs up, cinder-backup opens the keyring each time.
        needs = change.verb == "write" and "volumes.keyring" not in change.args["path"]
        assert change.restarts == ((unit,) if needs else ())


def test_nothing_is_there_and_all_is_written_once():
    it = backed_up()
    seen = facts(it, **dict.fromkeys(RIGHT))
    changes = [*ceph_conf.RESOURCE.plan(it, seen), *keyrings.RESOURCE.plan(it, seen)]
    paths = [one.args["path"] for one in changes]
    assert len(paths) == len(set(paths)) == 10


def test_doctor_says_which_place_is_odd():
    it = backed_up()
    odd = {"keyring.volumes@cinder-backup": file("[client.volumes]\n\tkey = sha256:0", mode="0664")}
    looked = Looked(facts(it, **odd))
    rows = [row for row in secret_holders.table(it, looked) if row.kind == "keyring"]
    path = f"{BACKUP}/ceph.client.volumes.keyring"
    assert {row.name: row.odd for row in rows} == {
        f"{GLANCE}/ceph.client.images.keyring": "",
        f"{VOLUME}/ceph.client.volumes.keyring": "",
        f"{BACKUP}/ceph.client.backups.keyring": "",
        path: "another value",
    }
    found = [
        (one.code, one.thing)
        for place in it.places
        for room in checks.OF_A_PLACE
        for one in room.findings(place, parts.looked_at(place, looked))
    ]
    assert found == [("keyring.newline", path)]


def test_of_several_clusters_each_has_its_own_in_each_place():
    hosts = {"west01": {"roles": ["ceph"], "cluster": "west"}, **MIXED}
    it = test_clusters.two(hosts=hosts)
    found = {one.partition("@")[0] for one in asked(it) if one.endswith("@cinder-volume")}
    assert {"ceph.conf", "west/ceph.conf"} <= found
    part = it.part("west")
    (volume,) = (one for one in part.places if one.place and one.place.name == "cinder-volume")
    told = Facts({"ctl": {"west/ceph.conf@cinder-volume": 1, "ceph.conf@cinder-volume": 2}})
    view = by_place.facts_of(volume, by_cluster.facts_of(part, told))
    assert view.hosts["ctl"] == {"ceph.conf": 1}
    assert volume.bindings[0].conf == f"{VOLUME}/west.conf"
    named = {value for _, key, value in ceph_conf.of_clients(volume, volume.bindings)}
    assert all(value.startswith("/etc/ceph/west.client.") for value in named) and named


def test_one_client_of_two_services_is_refused_in_one_folder_alone():
    one = {"clients": {"volumes": {}}, "glance": {"client": "volumes"}}
    with pytest.raises(BadInput, match="glance.client: expected another client|cinder.client: exp"):
        site(**one)
    assert site(hosts=MIXED, **one).bindings


def test_the_data_pool_that_one_services_file_names_counts():
    it = backed_up()
    text = f"{CONF}[client.volumes]\nrbd_default_data_pool = data\n"
    seen = facts(it, **there("cinder-volume", "volumes", text=text))
    ((pool, binding),) = auth.data_pools(it, seen, "volumes").items()
    assert (pool, binding.conf) == ("data", f"{VOLUME}/ceph.conf")


def test_a_place_is_found_by_a_path():
    it = backed_up(ALL_IN_ONE)
    for path, name in (
        (f"{GLANCE}/ceph.conf", "glance-api"),
        (f"{BACKUP}/ceph.client.volumes.keyring", "cinder-backup"),
        (f"{NOVA}/ceph.conf", None),
        ("/elsewhere", None),
    ):
        found = by_place.on(it, "ctl", path)
        assert (found.place and found.place.name) == name


def test_a_client_whose_place_was_taken_is_looked_for_in_each_place():
    """cinder-volume and cinder-backup both had its keyring; one of somebody else's too stays."""
    it = site(
        hosts=MIXED,
        cinder={"client": "volumes-2", "backup": {}},
        clients={"volumes-2": {"replaces": "volumes"}, "images": {}, "backups": {}},
        pools={"volumes": {}, "images": {}, "backups": {}},
    )
    path = "ceph.client.volumes.keyring"
    reads = {read.id: read.args for read in old_clients._reads_of_cluster(it, it.host("ctl"))}
    assert {name: reads[name]["path"] for name in reads if name.startswith("keyring.")} == {
        "keyring.volumes@cinder-volume": f"{VOLUME}/{path}",
        "keyring.volumes@cinder-backup": f"{BACKUP}/{path}",
    }
    both = {f"keyring.volumes@cinder-{name}": keyring("volumes") for name in ("volume", "backup")}
    seen = Facts({"ceph01": cluster(users=USERS), "ctl": both})
    gone = [one.args["path"] for one in old_clients.retirement(it, seen, "volumes")[:-1]]
    assert gone == [f"{VOLUME}/{path}", f"{BACKUP}/{path}"]
    shared = file(f"{both['keyring.volumes@cinder-volume']['text']}[client.x]\n\tkey = a\n")
    seen.hosts["ctl"]["keyring.volumes@cinder-backup"] = shared
    gone = [one.args["path"] for one in old_clients.retirement(it, seen, "volumes")[:-1]]
    assert gone == [f"{VOLUME}/{path}"]


def test_what_leaves_is_taken_from_each_place():
    """Of a client that goes, the keyrings of both services; ceph.conf stays, as others read it."""
    it = backed_up()
    rest = it.without(Gone(clients=frozenset([("ceph", "volumes")]), backends=frozenset(["rbd"])))
    seen = facts(it)
    gone = keyrings.RESOURCE.leaving(it, rest, seen)
    assert [one.args["path"] for one in gone] == [
        f"{folder}/ceph.client.volumes.keyring" for folder in (VOLUME, BACKUP)
    ]
    assert ceph_conf.RESOURCE.leaving(it, rest, seen) == []


def test_backups_take_each_ceph_conf_and_no_other():
    it = backed_up()
    assert contents.folders(it, it.host("ctl")) == [
        "/etc/kolla",
        *(f"{folder}/ceph.conf" for folder in (GLANCE, VOLUME, BACKUP)),
    ]


def test_programs_are_begun_in_the_services_own_container():
    it = backed_up(ALL_IN_ONE)
    host = it.host("ctl")
    found = {b.service.name: b.platform.command("rbd-of-services") for b in it.bindings_of(host)}
    assert found == {
        name: [name.replace("-", "_"), "timeout", "20", "rbd"]
        for name in ("glance-api", "cinder-volume", "cinder-backup", "nova-compute")
    } | {"glance-api": ["glance_api", "timeout", "20", "rbd"]}
    assert it.platform_of(host).command("cinder-manage")[:1] == ["cinder_volume"]


def test_platform_changes_give_a_service_another_folder():
    flat = {"kolla": {"ceph_folders": {"glance-api": "/etc/kolla/glance-api"}}}
    it = site(hosts=MIXED, platform_changes=flat)
    confs = {b.service.name: b.conf for b in it.bindings_of(it.host("ctl"))}
    assert confs["glance-api"] == "/etc/kolla/glance-api/ceph.conf"
    assert confs["cinder-volume"] == f"{VOLUME}/ceph.conf"


def test_no_resource_asks_for_files_of_a_place_that_a_host_has_not():
    """On a controller in containers, no file in the folder that nova_compute has."""
    it = backed_up()
    reads: list[Read] = [read for one in checks.STAGES for read in one.reads(it, it.host("ctl"))]
    assert [read for read in reads if NOVA in str(read.args)] == []
    assert any(VOLUME in str(read.args) for read in reads)


OWN = [
    ("cinder", "/etc/kolla/cinder-volume/cinder.conf"),
    ("cinder.backup", "/etc/kolla/cinder-backup/cinder.conf"),
]


def of_cinder(volume=(("DEFAULT", "enabled_backends", ""),), backup=(), **api):
    """What a controller of Kolla's says of Cinder's two files."""
    seen = {
        "host": {"hostname": "ctl"},
        "cinder.conf": conf(*volume),
        "cinder.backup.conf": conf(*backup),
        "cinder.backup.unit": {"kolla-cinder_backup-container": {"LoadState": "loaded"}},
        "cinder.head": None,
        **{f"{name}.sources": {"main": path, "running": False, "files": []} for name, path in OWN},
    }
    cloud = {CLOUD: api} if api else {}
    return Facts({"ctl": seen, **cloud}, {"uuid.volumes": FSID}, release("zed"))


def test_the_ceph_conf_of_a_container_is_no_other_cluster():
    """cinder.conf has the container's own path; the host's is another one."""
    it, told = backed_up(), of_cinder(volume_services=[], backups=[])
    files = {one.thing: one.args["edits"] for one in service_config.cinder.plan(it, told)}
    done = [[tuple(edit) for edit in files[path]] for _, path in OWN]
    again = of_cinder(*done)  # nobody can say what backups there are, and nothing changes
    assert service_config.cinder.plan(it, again) == []


def test_cinder_backup_in_a_container_has_a_file_of_its_own():
    it, told = backed_up(), of_cinder(volume_services=[], backups=[])
    changes = {one.thing: one for one in service_config.cinder.plan(it, told)}
    assert list(changes) == [
        f"/etc/kolla/cinder-{name}/cinder.conf" for name in ("volume", "backup")
    ]
    for path, change in changes.items():
        keys = {key for _, key, _ in change.args["edits"]}
        assert ("backup_driver" in keys) == ("backup" in path)
        assert ("rbd_pool" in keys) == ("volume" in path)
        name = path.split("/")[3].replace("-", "_")
        assert change.restarts == (f"kolla-{name}-container",)
        assert ("begins" in change.args) == ("volume" in path)


def test_platforms_of_packages_have_no_folder_apart():
    assert DEBIAN["ceph_folders"] == {}


@pytest.mark.parametrize(
    "mains, expected",
    [
        ({}, ["glance", "cinder"]),
        ({"cinder": "/c", "cinder.backup": "/c"}, ["glance", "cinder"]),
        (dict(OWN), ["glance", "cinder", "cinder.backup"]),
    ],
)
def test_a_file_that_two_services_read_is_looked_at_once(mains, expected):
    seen = {f"{name}.conf": conf() for name in ("glance", "cinder", "cinder.backup")}
    seen |= {f"{name}.sources": {"main": path} for name, path in mains.items()}
    assert in_force.apart(seen, ("glance", "cinder", "cinder.backup", "nova")) == expected


# A doctor's look at all of it

_UNITS = ("kolla-glance_api-container", "kolla-cinder_volume-container")
_NAMES = {"glance_api": ("glance-api", "images"), "cinder_volume": ("cinder-volume", "volumes")}


def contained(cloud):
    """The healthy cloud's controller, with its services in containers."""
    ctl = cloud["ctl"]
    own = [name for name in ctl if name.startswith(("ceph.", "keyring", "keyfiles"))]
    was = {name: ctl.pop(name) for name in own}
    for service, client in _NAMES.values():
        text = was[f"keyring.{client}"]["text"]
        there = {
            "ceph.folder": was["ceph.folder"],
            "ceph.conf": {**was["ceph.conf"], "mode": "0660"},
            "ceph.keyrings": was["ceph.keyrings"],
            f"keyring.{client}": file(text, "root", "0660"),
            **{f"{kind}.{client}": {} for kind in ("keyrings", "keyfiles")},
        }
        ctl |= {f"{name}@{service}": seen for name, seen in there.items()}
    for service in ("glance", "cinder"):
        name = {"glance": "glance-api", "cinder": "cinder-volume"}[service]
        main = f"/etc/kolla/{name}/{'glance-api' if service == 'glance' else 'cinder'}.conf"
        ctl[f"{service}.sources"] |= {"main": main, "files": [[main, []]]}
    ctl |= {
        "kolla": {"/etc/kolla": True},
        "units": clouds.units(*_UNITS),
        "containers": {name: test_kolla.container(folder) for name, (folder, _) in _NAMES.items()},
    }
    for name, (_, client) in _NAMES.items():
        owner = name.partition("_")[0]
        entries = test_kolla.of_ceph(owner, client)
        ctl[f"copies.{name}"] = file(test_kolla.config(*entries), mode="0660")
        ctl[f"client.{name}"] = {"code": 0, "out": "", "err": ""}
    del ctl["cinder.head"], ctl["cinder.defaults"]


CONTROL_ALONE = {**HOSTS, "ctl": {"roles": ["glance", "cinder"], "platform": "kolla"}}


def spoilt(*names):
    def change(cloud):
        contained(cloud)
        for name in names:
            cloud["ctl"][name] = None

    return change


def unreadable(cloud):
    contained(cloud)
    text = cloud["ctl"]["ceph.conf@glance-api"]["text"]
    cloud["ctl"]["ceph.conf@glance-api"]["text"] = text.replace(clouds.MONITOR, "10.9.9.9")


def admins(cloud):
    contained(cloud)
    listed = "ceph.client.admin.keyring 0600 root root\n"
    cloud["ctl"]["ceph.keyrings@cinder-volume"] = clouds.said(listed)


FOUND = [
    ("healthy", contained, []),
    (
        "no ceph.conf",
        spoilt("ceph.conf@glance-api"),
        [("ceph.conf.missing", f"{GLANCE}/ceph.conf")],
    ),
    (
        "no keyring",
        spoilt("keyring.volumes@cinder-volume"),
        [("keyring.missing", f"{VOLUME}/ceph.client.volumes.keyring")],
    ),
    ("monitors of old", unreadable, [("ceph.conf.monitors", f"{GLANCE}/ceph.conf")]),
    ("the admin's key", admins, [("keyring.admin", f"{VOLUME}/ceph.client.admin.keyring")]),
]


@pytest.mark.parametrize("said, change, expected", FOUND, ids=[row[0] for row in FOUND])
def test_doctor_finds_it_in_its_place(said, change, expected):
    before = {(one.code, one.thing) for one in clouds.found()}
    it = site(hosts=CONTROL_ALONE)
    now = {(one.code, one.thing) for one in clouds.found(change, it)}
    assert now - before == set(expected)
    gone = {code for code, _ in before - now}
    assert gone <= {"keyring.admin"}
