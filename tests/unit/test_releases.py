"""What each OpenStack release is given, Grizzly to 2026.2: options and caps, as tables.

The values are typed from the releases' own documentation, not read from config/releases.
"""

import json

import pytest

from fabfile.core import site_file
from fabfile.core.contract import BadInput, Facts
from fabfile.model import releases
from fabfile.model import site as sites
from fabfile.resources import auth, service_config

from .states import EPHEMERAL

UUID = "6238f9e6-0382-4cef-a3f3-795a22ddc50e"

# release: (versions of nova, glance and cinder, Ceph's version at the time)
RELEASES = {
    "grizzly": (("1:2013.1.5-0ubuntu1",) * 3, "0.56.7"),
    "havana": (("1:2013.2.3-0ubuntu1~cloud0",) * 3, "0.67.9"),
    "icehouse": (("1:2014.1.5-0ubuntu1", "2014.1.3-12", "2014.1.3-11+deb8u1"), "0.80.11"),
    "juno": (("1:2014.2.4-0ubuntu1~cloud4",) * 3, "0.87.2"),
    "kilo": (("1:2015.1.4-0ubuntu2", "1:2015.1~rc1-0ubuntu1", "1:2015.1.1-0ubuntu2"), "0.94.10"),
    "liberty": (("2:12.0.4-0ubuntu1", "2:11.0.1-0ubuntu1", "2:7.0.2-0ubuntu1"), "9.2.1"),
    "mitaka": (("2:13.1.4-0ubuntu4", "2:12.0.0-0ubuntu2", "2:8.1.1-0ubuntu2"), "10.2.11"),
    "newton": (("2:14.1.0-0ubuntu1", "2:13.0.0-0ubuntu2", "2:9.1.4-0ubuntu1"), "10.2.11"),
    "ocata": (("2:15.1.5-0ubuntu1", "2:14.0.1-0ubuntu1", "2:10.0.8-0ubuntu1"), "10.2.11"),
    "pike": (("2:16.1.8-0ubuntu1", "2:15.0.1-0ubuntu1", "2:11.2.0-0ubuntu1"), "12.2.13"),
    "queens": (("2:17.0.13-0ubuntu5", "2:16.0.1-0ubuntu1", "2:12.0.10-0ubuntu2"), "12.2.13"),
    "rocky": (("2:18.3.0-0ubuntu1", "2:17.0.1-0ubuntu1", "2:13.0.9-0ubuntu1"), "13.2.10"),
    "stein": (("2:19.3.2-0ubuntu1", "2:18.0.1-0ubuntu1", "2:14.3.1-0ubuntu1"), "13.2.10"),
    "train": (("2:20.6.1-0ubuntu1", "2:19.0.4-0ubuntu1", "2:15.6.0-0ubuntu1"), "14.2.22"),
    "ussuri": (("2:21.2.4-0ubuntu2", "2:20.2.0-0ubuntu1", "2:16.4.2-0ubuntu2"), "15.2.17"),
    "victoria": (("2:22.0.1-2+deb11u1", "2:21.0.0-2", "2:17.0.1-1"), "14.2.21"),
    "wallaby": (("3:23.2.2-0ubuntu1", "2:22.1.1-0ubuntu1", "2:18.2.1-0ubuntu1"), "16.2.15"),
    "xena": (("3:24.2.1-0ubuntu1", "2:23.1.0-0ubuntu1", "2:19.3.0-0ubuntu1"), "16.2.15"),
    "yoga": (("3:25.2.1-0ubuntu2", "2:24.2.1-0ubuntu1", "2:20.3.1-0ubuntu1"), "17.2.7"),
    "zed": (("2:26.2.2-1~deb12u3", "2:25.1.0-2+deb12u1", "2:21.3.1-1~deb12u1"), "16.2.15"),
    "2023.1": (("3:27.5.1-0ubuntu1", "2:26.1.0-0ubuntu1", "2:22.3.0-0ubuntu1"), "17.2.9"),
    "2023.2": (("3:28.3.0-0ubuntu1", "2:27.1.0-0ubuntu1", "2:23.3.1-0ubuntu1"), "18.2.8"),
    "2024.1": (("3:29.2.0-0ubuntu1", "2:28.1.0-0ubuntu1", "2:24.2.0-0ubuntu1"), "19.2.3"),
    "2024.2": (("3:30.1.0-0ubuntu1", "2:29.0.0-0ubuntu1", "2:25.3.0-0ubuntu1"), "19.2.3"),
    "2025.1": (("2:31.0.0-6+deb13u1", "2:30.0.0-3", "2:26.0.0-2"), "18.2.7"),
    "2025.2": (("3:32.0.0-0ubuntu1", "2:31.0.0-0ubuntu1", "2:27.0.0-0ubuntu1"), "20.2.0"),
    "2026.1": (("3:33.0.0-0ubuntu1", "2:32.0.0-0ubuntu1", "2:28.0.0-0ubuntu1"), "20.2.4"),
    "2026.2": (("1:34.0.0~rc1-2", "2:33.0.0~rc1-1", "2:29.0.0~rc1-1"), "20.2.4"),
}
ORDER = list(RELEASES)


def spans(*parts):
    """{release: value} of (first, last, value); every release once."""
    found = {}
    for first, last, value in parts:
        for name in ORDER[ORDER.index(first) : ORDER.index(last) + 1]:
            assert name not in found
            found[name] = value
    assert list(found) == ORDER
    return found


def site(name="auto", **more):
    hosts = {
        "ceph01": {"roles": ["ceph"]},
        "ctl": {"roles": ["glance", "cinder"]},
        "n1": {"roles": ["compute"]},
    }
    raw = {"name": "test", "release": name, "hosts": hosts, **more}
    return sites.check(raw, "site.toml", site_file.platforms())


def conf(active=()):
    return {"sha256": "0" * 64, "active": [[*at, value] for at, value in dict(active).items()]}


HEAD = {"text": "start on runlevel [2345]\n", "sha256": "0" * 64}
HEAD |= {"mode": "0644", "owner": "root", "group": "root"}


def planned(name, service, active=(), **more):
    """The changes of one service's file, for a file with these options in force."""
    named = site(name, **more)
    table = releases.choose(named, Facts({}), site_file.releases()).table
    hosts = {
        "ctl": {"glance.conf": conf(active), "cinder.conf": conf(active), "cinder.head": HEAD},
        "n1": {"nova.conf": conf(active), "nova.disks": {}},
    }
    known = {"uuid.volumes": UUID, "uuid.vms": UUID}
    return getattr(service_config, service).plan(named, Facts(hosts, known, table))


def written(name, service, active=(), **more):
    """{(section, key): value} of the file's edits."""
    changes = planned(name, service, active, **more)
    return {(s, k): v for c in changes for s, k, v in c.args.get("edits", [])}


def options(**sections):
    return {(s, k): v for s, keys in sections.items() for k, v in keys.items()}


STORE = {
    "rbd_store_user": "images",
    "rbd_store_pool": "images",
    "rbd_store_ceph_conf": "/etc/ceph/ceph.conf",
}
DIRECT = {"show_image_direct_url": "True"}
FIRST = {"default_store": "rbd", "rbd_store_user": "images", "rbd_store_pool": "images"}
KNOWN = "glance.store.filesystem.Store,glance.store.http.Store,glance.store.rbd.Store"
SEVERAL = {
    "DEFAULT": {"enabled_backends": "file:file,http:http,rbd:rbd", **DIRECT},
    "glance_store": {"default_backend": "rbd"},
    "file": {"filesystem_store_datadir": "/var/lib/glance/images"},
    "rbd": STORE,
}
OWN_STORES = {
    name: {"filesystem_store_datadir": f"/var/lib/glance/{name}"}
    for name in ("os_glance_staging_store", "os_glance_tasks_store")
}
GLANCE = spans(
    ("grizzly", "grizzly", options(DEFAULT={**FIRST, **DIRECT})),
    (
        "havana",
        "havana",
        options(DEFAULT={"default_store": "rbd", **STORE, **DIRECT, "rbd_store_chunk_size": "8"}),
    ),
    (
        "icehouse",
        "icehouse",
        options(DEFAULT={"known_stores": KNOWN, "default_store": "rbd", **STORE, **DIRECT}),
    ),
    (
        "juno",
        "stein",
        options(
            DEFAULT=DIRECT,
            glance_store={"stores": "file,http,rbd", "default_store": "rbd", **STORE},
        ),
    ),
    ("train", "2025.1", options(**SEVERAL)),
    (
        "2025.2",
        "2026.2",
        options(**SEVERAL, **OWN_STORES),
    ),
)

BACKEND = {
    "volume_driver": "cinder.volume.drivers.rbd.RBDDriver",
    "volume_backend_name": "rbd",
    "rbd_pool": "volumes",
    "rbd_user": "volumes",
    "rbd_secret_uuid": UUID,
    "rbd_ceph_conf": "/etc/ceph/ceph.conf",
}
DISCARD = {"report_discard_supported": "true"}
V2 = {"enabled_backends": "rbd", "glance_api_version": "2"}
CINDER = spans(
    (
        "grizzly",
        "grizzly",
        options(
            DEFAULT={
                "volume_driver": "cinder.volume.driver.RBDDriver",
                "rbd_pool": "volumes",
                "rbd_user": "volumes",
                "rbd_secret_uuid": UUID,
            }
        ),
    ),
    ("havana", "liberty", options(DEFAULT=V2, rbd=BACKEND)),
    ("mitaka", "pike", options(DEFAULT=V2, rbd={**BACKEND, **DISCARD})),
    (
        "queens",
        "2026.2",
        options(DEFAULT={"enabled_backends": "rbd"}, rbd={**BACKEND, **DISCARD}),
    ),
)

VOLUMES = {"rbd_user": "volumes", "rbd_secret_uuid": UUID}
NOVA = spans(
    ("grizzly", "havana", options(DEFAULT=VOLUMES)),
    ("icehouse", "2026.2", options(libvirt=VOLUMES)),
)
VMS = {"rbd_user": "vms", "rbd_secret_uuid": UUID, "disk_cachemodes": "network=writeback"}
DISKS = {
    **VMS,
    "images_type": "rbd",
    "images_rbd_pool": "vms",
    "images_rbd_ceph_conf": "/etc/ceph/ceph.conf",
}
NO_INJECTION = {"inject_password": "false", "inject_key": "false", "inject_partition": "-2"}
NOVA_EPHEMERAL = spans(
    ("grizzly", "grizzly", None),
    (
        "havana",
        "havana",
        options(
            DEFAULT={
                **VMS,
                "libvirt_images_type": "rbd",
                "libvirt_images_rbd_pool": "vms",
                "libvirt_images_rbd_ceph_conf": "/etc/ceph/ceph.conf",
                "libvirt_inject_password": "false",
                "libvirt_inject_key": "false",
                "libvirt_inject_partition": "-2",
            }
        ),
    ),
    ("icehouse", "icehouse", options(libvirt={**DISKS, **NO_INJECTION})),
    ("juno", "2026.2", options(libvirt={**DISKS, "hw_disk_discard": "unmap"})),
)

CLASS_READ = "allow class-read object_prefix rbd_children, "
BLACKLIST = 'allow r, allow command "osd blacklist"'
OLD_CAPS = {
    "volumes": {
        "mon": BLACKLIST,
        "osd": CLASS_READ + "allow rwx pool=volumes, allow rx pool=images",
    },
    "images": {"mon": BLACKLIST, "osd": CLASS_READ + "allow rwx pool=images"},
}
PROFILES = {
    "volumes": {
        "mon": "profile rbd",
        "osd": "profile rbd pool=volumes, profile rbd-read-only pool=images",
    },
    "images": {"mon": "profile rbd", "osd": "profile rbd pool=images"},
}
WITH_MGR = {n: {**caps, "mgr": f"profile rbd pool={n}"} for n, caps in PROFILES.items()}
CAPS = spans(
    ("grizzly", "ocata", OLD_CAPS),
    ("pike", "train", PROFILES),
    ("ussuri", "ussuri", WITH_MGR),
    ("victoria", "victoria", PROFILES),  # Debian 11's Ceph is Nautilus
    ("wallaby", "2026.2", WITH_MGR),
)


@pytest.mark.parametrize("name", ORDER)
def test_every_release_is_in_one_file(name):
    tables = site_file.releases()
    assert sum(name in table["versions"].values() for table in tables) == 1
    assert releases.choose(site(name), Facts({}), tables).name == name


def test_no_version_is_in_two_files():
    numbers = [number for table in site_file.releases() for number in table["versions"]]
    assert len(numbers) == len(set(numbers)) == len(ORDER)


@pytest.mark.parametrize("package", [0, 1, 2])
@pytest.mark.parametrize("name", ORDER)
def test_every_release_is_told_by_any_of_its_packages(name, package):
    names = ("nova-common", "glance-common", "cinder-common")
    seen = {n: None for n in names} | {names[package]: RELEASES[name][0][package]}
    facts = Facts({"ctl": {releases.READ.id: seen}})
    assert releases.choose(site(), facts, site_file.releases()).name == name


@pytest.mark.parametrize("name", ORDER)
def test_glance(name):
    assert written(name, "glance") == GLANCE[name]
    assert planned(name, "glance", GLANCE[name]) == []


@pytest.mark.parametrize("name", ORDER)
def test_cinder(name):
    assert written(name, "cinder") == CINDER[name]
    assert written(name, "cinder", CINDER[name]) == {}


@pytest.mark.parametrize("name", ORDER)
def test_only_grizzly_needs_a_head(name):
    heads = [c for c in planned(name, "cinder") if c.verb == "write"]
    assert [c.diff for c in heads] == (
        [('+ env CEPH_ARGS="--id volumes"',)] if name == "grizzly" else []
    )


@pytest.mark.parametrize("name", ORDER)
def test_nova(name):
    assert written(name, "nova") == NOVA[name]
    assert planned(name, "nova", NOVA[name]) == []


@pytest.mark.parametrize("name", ORDER)
def test_nova_with_its_disks_on_rbd(name):
    expected = NOVA_EPHEMERAL[name]
    if expected is None:
        with pytest.raises(BadInput, match=r"^nova\.ephemeral: expected .*, found"):
            planned(name, "nova", **EPHEMERAL)
    else:
        assert written(name, "nova", **EPHEMERAL) == expected
        assert planned(name, "nova", expected, **EPHEMERAL) == []


@pytest.mark.parametrize("name", ORDER)
def test_units(name):
    units = ["glance-api", "cinder-volume", "nova-compute"]
    changes = [c for s in ("glance", "cinder", "nova") for c in planned(name, s)]
    restarted = [unit for c in changes for unit in c.restarts]
    assert restarted == ([] if name in ("grizzly", "havana") else units)


@pytest.mark.parametrize("name", ORDER)
def test_caps(name):
    answers = {
        "ceph.health": {"checks": {}},
        "ceph.monmap": {"fsid": UUID, "mons": [{"rank": 0, "addr": "10.0.0.1:6789/0"}]},
        "ceph.versions": {"mon": {f"ceph version {RELEASES[name][1]} (x) name (stable)": 1}},
        "ceph.pools": [],
        "ceph.users": {"auth_dump": []},
    }
    seen = {k: {"code": 0, "out": json.dumps(v), "err": ""} for k, v in answers.items()}
    changes = auth.plan(site(name), Facts({"ceph01": seen}))
    found = {}
    for change in changes:
        argv = change.args["argv"]
        client, *words = argv[argv.index("add") + 1 :]
        found[client] = dict(zip(words[::2], words[1::2], strict=True))
    assert found == {f"client.{n}": caps for n, caps in CAPS[name].items()}


SWIFT = "glance.store.swift.Store"


@pytest.mark.parametrize(
    "name, there, key, expected",
    [
        (
            "icehouse",
            {("DEFAULT", "known_stores"): SWIFT},
            ("DEFAULT", "known_stores"),
            f"{SWIFT},glance.store.rbd.Store",
        ),
        (
            "juno",
            {("DEFAULT", "known_stores"): SWIFT},
            ("glance_store", "stores"),
            f"{SWIFT},rbd",
        ),
        (
            "stein",
            {("glance_store", "stores"): "swift, http"},
            ("glance_store", "stores"),
            "swift,http,rbd",
        ),
        (
            "train",
            {("DEFAULT", "enabled_backends"): "fast:swift"},
            ("DEFAULT", "enabled_backends"),
            "fast:swift,rbd:rbd",
        ),
    ],
)
def test_stores_that_are_there_stay(name, there, key, expected):
    assert written(name, "glance", there)[key] == expected


@pytest.mark.parametrize(
    "name, service, there, said",
    [
        ("rocky", "glance", "fast:file", 'set release = "train"'),
        ("stein", "glance", "fast:file", 'set release = "train"'),
        ("grizzly", "cinder", "lvm", "ignores a backend in"),
    ],
)
def test_options_without_effect_are_refused(name, service, there, said):
    with pytest.raises(BadInput, match=said):
        planned(name, service, {("DEFAULT", "enabled_backends"): there})


@pytest.mark.parametrize("name", [name for name in ORDER if name != "grizzly"])
def test_a_backend_in_default_is_never_orphaned(name):
    with pytest.raises(BadInput, match="orphan"):
        planned(name, "cinder", {("DEFAULT", "volume_driver"): "lvm"})


# What deleting a thing with a clone is answered, (image, snapshot) by v1 and by v2: typed from the
# release notes of glance_store 3.0 and 4.6 and of Cinder 24
CLONES = spans(
    ("grizzly", "2023.1", [("in use", "busy"), ("in use", "deleted")]),
    ("2023.2", "2023.2", [("in use", "busy"), ("trash", "deleted")]),
    ("2024.1", "2026.2", [("in use", "deleted"), ("trash", "deleted")]),
)
LOOKS = spans(("grizzly", "xena", False), ("yoga", "2023.1", True), ("2023.2", "2026.2", False))


@pytest.mark.parametrize("name", ORDER)
def test_clones(name):
    table = releases.choose(site(name), Facts({}), site_file.releases()).table
    told = table["clones"]
    assert [(told["image"][v], told["snapshot"][v]) for v in ("v1", "v2")] == CLONES[name]
    assert told["volume"] == {"v1": "deleted", "v2": "deleted"}
    assert table["glance"].get("reads_clones", False) is LOOKS[name]
