"""A running cloud described: the file loads, its plan is empty, what is doubtful stands at it."""

import copy

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from fabfile.adopt import look, site_text
from fabfile.adopt import settled as settling
from fabfile.adopt.draft import Draft, Remark
from fabfile.adopt.forms import remark
from fabfile.core.contract import CLOUD, Failed
from fabfile.model import site as sites
from fabfile.resources import chain

from . import adopted as a
from . import clouds
from .states import FSID, KEY, OTHER, PLATFORMS, THIRD, secret, user


def told(seen, **more):
    """(the file's text, the doubts, what its plan would still do)."""
    done, text, _ = a.adopted(seen, **more)
    return text, [one.text for one in done.draft.remarks if one.doubtful], a.shown(done)


def test_a_cloud_integrated_by_hand_is_described_and_nothing_is_planned():
    done, text, site = a.adopted()
    assert a.shown(done) == []
    assert [one for one in done.draft.remarks if one.doubtful] == []
    (backend,), (store,) = site.cinder.all, site.glance.all
    assert (backend.name, backend.pool, backend.client) == (a.BACKEND, a.POOL, a.CLIENT)
    assert (store.name, store.pool, store.client) == (a.STORE, a.IMAGES, a.READER)
    assert backend.volume_type == "fast"
    assert site.clients[a.CLIENT].secret_uuid == OTHER
    assert site.fsid == FSID
    assert (site.pools[a.IMAGES].size, site.pools[a.POOL].size) == (2, 3)
    roles = {name: table.roles for name, table in site.hosts.items()}
    assert roles == {
        "ceph01": ["ceph"],
        "ctl": ["glance", "cinder", "database"],
        "n1": ["compute"],
        "n2": ["compute"],
    }
    assert "sha256:" not in text


def test_what_an_integration_would_improve_is_said_at_the_key_that_declines_it():
    _, text, site = a.adopted()
    assert (site.recommended, site.clone_v2) == (False, False)
    assert site.clients[a.READER].manage is False
    assert site.clients[a.CLIENT].manage is True
    assert f"nova.conf: libvirt.rbd_user = {a.CLIENT}, libvirt.rbd_secret_uuid = {OTHER}" in text
    assert f"profile rbd-read-only pool={a.POOL}" in text


def test_without_what_it_declines_the_plan_would_say_the_same():
    done, text, _ = a.adopted()
    for line in ("recommended = false", "clone_v2 = false", ", manage = false"):
        text = text.replace(line, "")
    text = text.replace("{ manage = false }", "{}")
    raw = tomli.loads(text)
    again = settling._planned(
        Draft(raw, connected=True), a.looked(Draft(raw), a.hosts(), a.TYPES), PLATFORMS
    )
    kinds = {change.kind for change in again.changes}
    assert {"user", "clone_format", "recommended"} <= kinds


def ours():
    """The cloud as stackrbd leaves it, with what the first trip asks."""
    seen = {**clouds.hosts()}
    mine = a.hosts()
    for name, answers in seen.items():
        for read in (look.UNITS, look.THERE, "ceph.rules", "ceph.classes"):
            if read in mine[name]:
                answers[read] = mine[name][read]
    return seen


OURS = {"volume_types": {"rbd": {"volume_backend_name": "rbd"}}, "qos_specs": {}}


def test_a_cloud_that_was_integrated_by_us_needs_to_decline_nothing():
    done, text, site = a.adopted(ours(), types=OURS)
    assert a.shown(done) == []
    assert (site.recommended, site.clone_v2, site.packages.install) == (True, None, True)
    assert [b.name for b in site.cinder.all] == ["rbd"]
    assert "Doubtful" not in text


def unconnected():
    """Four hosts with an old NFS backend and nothing of Ceph's."""
    seen = a.hosts()
    seen["ceph01"] |= clouds.cluster(mons=(f"{clouds.MONITOR}:6789/0",))
    cinder = [line for line in a.CINDER if line[0] == "nfs"]
    seen["ctl"] |= {
        "cinder.conf": a.described([("DEFAULT", "enabled_backends", "nfs"), *cinder]),
        "glance.conf": a.described([]),
    }
    for name in ("ctl", "n1", "n2"):
        seen[name] |= {"ceph.conf": None, "ceph.folder": None}
        seen[name]["packages"] = {**seen[name]["packages"], **dict.fromkeys(clouds.CLIENT)}
    for name in ("n1", "n2"):
        seen[name]["libvirt.secrets"] = {}
    for read in list(seen["ctl"]):
        if read.startswith("keyring."):
            seen["ctl"][read] = None
    for client in ("images", "volumes"):
        seen["ctl"] |= {f"keyring.{client}": None, **a.unanswered([client])}
    return seen


def test_an_unconnected_cloud_is_described_and_what_is_missing_is_said():
    types = {"volume_types": {"nfs": {"volume_backend_name": "nfs"}}, "qos_specs": {}}
    done, text, site = a.adopted(unconnected(), types=types)
    assert not done.draft.connected
    assert "other backends stay as they are: nfs" in text
    assert text.count("has nothing on RBD yet") == 2
    assert "it is not there yet" in text and "no such user yet" in text
    things = " ".join(a.shown(done))
    for what in (
        "pool volumes",
        "client.images",
        "install ceph-common",
        "nova.conf",
        "volume type",
    ):
        assert what in things, what
    assert site.recommended and site.clone_v2 is None and site.packages.install


def test_the_section_of_an_older_backend_is_not_taken():
    seen = unconnected()
    seen["ctl"]["cinder.conf"] = a.described(
        [("DEFAULT", "enabled_backends", "rbd"), ("rbd", "volume_driver", "some.Other")]
    )
    _, _, site = a.adopted(seen, types={"volume_types": {}, "qos_specs": {}})
    assert [one.name for one in site.cinder.all] == ["ceph"]


OLDER = [
    ("glance_store", "stores", "file,http,rbd"),
    ("glance_store", "default_store", "rbd"),
    ("glance_store", "rbd_store_pool", a.IMAGES),
    ("glance_store", "rbd_store_user", a.READER),
]
QUEENS = {
    "nova-common": "2:17.0.13-1",
    "glance-common": "2:16.0.1-1",
    "cinder-common": "2:12.0.9-1",
}


def test_a_list_of_kinds_is_right_before_train_and_gets_names_since():
    seen = altered("ctl", glance__conf=a.described(OLDER))
    text, _, shown = told(seen)
    (only,) = shown
    assert only.startswith("ctl: /etc/glance/glance-api.conf: set DEFAULT.enabled_backends")
    assert "glance-api.conf: DEFAULT.show_image_direct_url = True\n" in text
    for answers in seen.values():
        installed = answers["packages"]
        answers["packages"] = {n: v and QUEENS.get(n, v) for n, v in installed.items()}
    text, doubts, shown = told(seen)
    assert (doubts, shown) == ([], [])
    assert tomli.loads(text)["glance"]["stores"] == {"rbd": {"pool": a.IMAGES, "client": a.READER}}


# What is doubtful


def with_second_controller(**files):
    seen = a.hosts()
    second = a.controller(5, up=("glance-api", "cinder-volume"), **files)
    return {**seen, "ctl2": {**second, "packages": seen["ctl"]["packages"]}}


TWO = {
    **a.API,
    "services": [*a.SERVICES, {"binary": "cinder-volume", "host": "ctl2@x", "up": True}],
}


def altered(host, **answers):
    seen = a.hosts()
    seen[host] |= {name.replace("__", "."): value for name, value in answers.items()}
    return seen


def in_default():
    lines = [("DEFAULT", k, v) for s, k, v in a.CINDER if s == a.BACKEND]
    return altered("ctl", cinder__conf=a.described(lines))


def one_client():
    lines = a.edited(a.GLANCE, (a.STORE, "rbd_store_user", a.CLIENT))
    return altered("ctl", glance__conf=a.described(lines))


def one_client_on_two_hosts():
    seen = one_client()
    ctl = seen["ctl"]
    ctl[look.UNITS] = a.units("cinder-volume")
    seen["img"] = {
        **clouds.service_host(7),
        look.UNITS: a.units("glance-api"),
        look.THERE: a.there(),
        "packages": ctl["packages"],
        "glance.conf": ctl["glance.conf"],
        "glance.sources": ctl["glance.sources"],
        "units": clouds.units("glance-api"),
        "glance.files": clouds.said(""),
        f"keyring.{a.CLIENT}": a.keyring(a.CLIENT, "glance"),
        **a.unanswered([a.CLIENT]),
    }
    return seen


ON_IMG = {**a.API, "services": [*a.SERVICES, {"binary": "nova-scheduler", "host": "img", "up": 1}]}


def older(package, version):
    seen = a.hosts()
    seen["n2"]["packages"] = {**seen["n2"]["packages"], package: version}
    return seen


def kolla():
    return altered("n2", **{look.THERE.replace(".", "__"): a.there(kolla=True)})


def without_user():
    lines = a.edited(a.CINDER, (a.BACKEND, "rbd_user", None))
    return altered("ctl", cinder__conf=a.described(lines))


def rbd_disks():
    seen = a.hosts()
    for host, pool in (("n1", a.POOL), ("n2", a.IMAGES)):
        seen[host] |= a.with_disks(pool)
    return seen


def bad_name():
    lines = a.edited(a.CINDER, (a.BACKEND, "rbd_pool", 'x"\n[hosts]\nevil = 1'))
    return altered("ctl", cinder__conf=a.described(lines))


def two_uuids():
    return altered("n2", **{"libvirt__secrets": secret(THIRD, f"client.{a.CLIENT} secret")})


def differing_pools():
    lines = a.edited(a.CINDER, (a.BACKEND, "rbd_pool", "other"))
    return with_second_controller(cinder=lines)


DOUBTS = [
    ("one client for glance and cinder, one host", one_client, {}, "serves cinder there too"),
    ("one client, two hosts", one_client_on_two_hosts, {"api": ON_IMG}, "both glance and cinder"),
    ("pools that differ between hosts", differing_pools, {"api": TWO}, "pool 'vol-ssd'"),
    ("a backend in [DEFAULT]", in_default, {}, "its backend is in [DEFAULT] (RBD, pool 'vol-ssd')"),
    ("no volume type", a.hosts, {"types": {"volume_types": {}, "qos_specs": {}}}, "no volume type"),
    ("several releases", lambda: older("nova-common", "3:27.0.0-1"), {}, "several releases: "),
    ("containers", kolla, {}, "hand over to Kolla-Ansible, or name the platform kolla"),
    ("no user", without_user, {}, "it logs in as client.admin"),
    ("disks in two pools", rbd_disks, {}, "n1 has [libvirt] pool 'vol-ssd'"),
    ("a name that is no name", bad_name, {}, "no name that a site file takes"),
]


@pytest.mark.parametrize(
    "build, more, said", [row[1:] for row in DOUBTS], ids=[r[0] for r in DOUBTS]
)
def test_what_is_doubtful_stands_in_the_file_and_what_is_described_is_as_it_is(build, more, said):
    text, doubts, shown = told(build(), **more)
    left = [line for line in text.splitlines() if line.startswith(site_text.DOUBTFUL)]
    assert any(said in line for line in left), text
    refused = [one for one in shown if "Kolla" not in one and "release" not in one]
    assert refused == []


def test_computes_with_different_uuids_are_said_and_stay_in_the_plan():
    text, doubts, shown = told(two_uuids())
    assert f"n2 has its key under {THIRD}, and not under {OTHER}" in " ".join(doubts)
    assert any(one.startswith(f"n2: libvirt secret {OTHER}") for one in shown)


def test_a_host_that_does_not_answer_is_left_out_with_its_address_and_why():
    why = {"n2": "n2: no route to host"}
    text, _, shown = told(a.hosts(), unreachable=why.items())
    assert shown == []
    assert "# Doubtful: not reached: n2: no route to host\n" in text
    assert '#n2 = { roles = ["compute"], address = "10.0.0.32" }' in text
    assert "n2" not in tomli.loads(text)["hosts"]


def test_without_cinders_host_the_computes_are_left_out_too():
    text, _, shown = told(a.hosts(), unreachable={"ctl": "no route"}.items())
    assert not any(one.startswith(("n1", "n2", "ctl", "cloud: volume")) for one in shown)
    assert list(tomli.loads(text)["hosts"]) == ["ceph01"]
    assert "whose secret a compute holds" in text


def test_a_host_that_the_api_alone_names_is_left_out():
    api = {
        **a.API,
        "services": [*a.SERVICES, {"binary": "nova-compute", "host": "gone", "up": False}],
    }
    text, _, shown = told(a.hosts(), api=api, unreachable={"gone": "it has no address"}.items())
    assert shown == []
    assert '#gone = { roles = ["compute"] }' in text


@pytest.mark.parametrize(
    "name, called", [("shared", "shared"), ("rbd:volumes", "host-rbd-volumes")]
)
def test_a_shared_name_of_cinders_services_is_no_host(name, called):
    lines = a.edited(a.CINDER, (a.BACKEND, "backend_host", name))
    row = {"binary": "cinder-volume", "host": f"{name}@{a.BACKEND}", "up": True}
    text, doubts, shown = told(
        altered("ctl", cinder__conf=a.described(lines)),
        api={**a.API, "services": [*a.SERVICES, row]},
        unreachable={called: "no such name"}.items(),
        rows={"volume_services": [{"host": f"{name}@{a.BACKEND}", "up": True, "enabled": True}]},
    )
    assert (doubts, shown) == ([], [])
    assert f'backend_host = "{name}"' in text
    assert f"{called} is a name of Cinder's services, and no host" in text


ZONED = {"volume_backend_name": "SSD", "RESKEY:availability_zones": "az1,az2"}
STORE = ("glance_store", "default_backend")


@pytest.mark.parametrize(
    "option, values, said",
    [
        ((a.BACKEND, "backend_host"), ("hub", "hub"), ""),
        ((a.BACKEND, "backend_host"), ("hub", None), "(ctl: hub, ctl2: none)"),
        ((a.BACKEND, "backend_host"), (None, "hub"), "(ctl: none, ctl2: hub)"),
        ((a.BACKEND, "backend_availability_zone"), ("az1", "az1"), ""),
        ((a.BACKEND, "backend_availability_zone"), ("az1", "az2"), "(ctl: az1, ctl2: az2)"),
        (STORE, (a.STORE, a.STORE), ""),
        (STORE, (a.STORE, "file"), f"{a.STORE}, file"),
        (STORE, ("file", a.STORE), f"file, {a.STORE}"),
    ],
)
def test_what_differs_between_hosts_is_said_and_no_host_gets_anothers(option, values, said):
    """With one host's backend_host for all, volumes of the others would be given to its name."""
    seen = a.hosts()
    seen["ctl2"] = {**copy.deepcopy(seen["ctl"]), "host": {**clouds.machine(4), "hostname": "ctl2"}}
    services, rows = list(a.SERVICES), []
    for host, value in zip(("ctl", "ctl2"), values, strict=True):
        file = "glance" if option == STORE else "cinder"
        lines = a.GLANCE if option == STORE else a.CINDER
        seen[host][f"{file}.conf"] = a.described(a.edited(lines, (*option, value)))
        hub = value if option[1] == "backend_host" and value else host
        rows.append({"host": f"{hub}@{a.BACKEND}", "up": True, "enabled": True})
        services.append({"binary": "cinder-volume", "host": f"{host}@nfs", "up": True})
    text, doubts, shown = told(
        seen,
        api={**a.API, "services": services},
        types={**a.TYPES, "volume_types": {"fast": ZONED}},
        rows={"volume_services": rows},
    )
    assert set(tomli.loads(text)["hosts"]) == {"ceph01", "ctl", "ctl2", "n1", "n2"}
    assert shown == []
    assert len(doubts) == bool(said)
    assert all(said in one for one in doubts)


def test_one_machine_under_two_names_is_one_host():
    seen = a.hosts()
    seen["vip"] = {**seen["ctl"]}
    api = {**a.API, "services": [*a.SERVICES, {"binary": "nova-api", "host": "vip", "up": True}]}
    text, doubts, shown = told(seen, api=api)
    assert (doubts, shown) == ([], [])
    assert "vip is this machine too" in text
    assert "vip" not in tomli.loads(text)["hosts"]


def test_stores_of_another_kind_and_the_default_stay():
    lines = a.edited(a.GLANCE, ("glance_store", "default_backend", "file"))
    text, _, shown = told(altered("ctl", glance__conf=a.described(lines)))
    assert shown == []
    assert "keep_default = true" in text and "the default store is 'file'" in text


def test_several_backends_come_with_their_own_types_limits_and_zones():
    seen = a.hosts(pools=[clouds.pool(n, crush_rule=0) for n in (a.POOL, a.IMAGES, "slow")])
    more = [("hdd", k, v) for s, k, v in a.CINDER if s == a.BACKEND]
    more = a.edited(
        more,
        ("hdd", "rbd_pool", "slow"),
        ("hdd", "volume_backend_name", "HDD"),
        ("hdd", "backend_availability_zone", "az2"),
    )
    lines = a.edited(
        [*a.CINDER, *more],
        ("DEFAULT", "enabled_backends", f"{a.BACKEND},hdd"),
        ("DEFAULT", "default_volume_type", "big"),
    )
    seen["ctl"]["cinder.conf"] = a.described(lines)
    types = {
        "volume_types": {
            **a.TYPES["volume_types"],
            "big": {"volume_backend_name": "HDD", "RESKEY:availability_zones": "az2", "x:y": "z"},
        },
        "qos_specs": {
            "big": {"specs": {"consumer": "both", "total_iops_sec": "9"}, "types": ["big"]}
        },
    }
    done, _, site = a.adopted(seen, types=types)
    two = {one.name: one for one in site.cinder.all}
    assert two["hdd"].volume_type == "big" and two["hdd"].zone == "az2"
    assert two["hdd"].specs["x:y"] == "z" and two["hdd"].qos["total_iops_sec"] == "9"
    assert site.cinder.default_volume_type == "big"
    caps = [one for one in a.shown(done) if "user client" not in one]
    assert caps == []


def test_two_backends_of_one_name_share_no_type():
    more = [("hdd", k, v) for s, k, v in a.CINDER if s == a.BACKEND]
    lines = a.edited([*a.CINDER, *more], ("DEFAULT", "enabled_backends", f"{a.BACKEND},hdd"))
    done, text, site = a.adopted(altered("ctl", cinder__conf=a.described(lines)))
    assert a.shown(done) == []
    assert [one.volume_type for one in site.cinder.all] == ["fast", None]


def test_disks_of_all_computes_on_rbd_are_described():
    lines = [("libvirt", "images_type", "rbd"), ("libvirt", "images_rbd_pool", "vms")]
    lines += [("libvirt", "rbd_user", "nova"), ("libvirt", "rbd_secret_uuid", THIRD)]
    caps = {"mon": "profile rbd", "osd": "profile rbd pool=vms, profile rbd-read-only pool=img"}
    users = [user(n, a.KEYS[n], a.CAPS[n]) for n in a.KEYS] + [user("nova", KEY, caps)]
    pools = [clouds.pool(name, crush_rule=0) for name in (a.POOL, a.IMAGES, "vms")]
    seen = a.hosts()
    seen["ceph01"] |= clouds.cluster(pools, users, mons=(f"{clouds.MONITOR}:6789/0",))
    for name in ("n1", "n2"):
        seen[name] |= {
            "nova.conf": a.described(lines),
            "keyring.nova": a.file(f"[client.nova]\n\tkey = {KEY}\n", "nova", "0640"),
            **a.unanswered(["nova"]),
        }
        seen[name]["libvirt.secrets"] |= secret(THIRD, "client.nova secret", KEY)
    done, _, site = a.adopted(seen)
    assert (site.nova.ephemeral, site.nova.client, site.nova.pool) == (True, "nova", "vms")
    assert site.clients["nova"].secret_uuid == THIRD
    assert a.shown(done) == []


BY_DEFAULT = [
    ("cinder", (a.BACKEND, "volume_backend_name", None), "RBD"),
    ("glance", (a.STORE, "rbd_store_pool", None), "images"),
    ("glance", (a.STORE, "rbd_store_ceph_conf", None), None),
]


@pytest.mark.parametrize("service, change, default", BY_DEFAULT)
def test_what_the_release_has_by_default_anyway_is_not_planned(service, change, default):
    """It was: each service was restarted for a line that changes nothing."""
    pools = [clouds.pool(name, crush_rule=0) for name in (a.POOL, a.IMAGES, "images")]
    caps = {a.READER: {"mon": "profile rbd", "osd": "profile rbd pool=images"}}
    seen = a.hosts(pools=pools, caps=caps if default == "images" else None)
    lines = {"cinder": a.CINDER, "glance": a.GLANCE}[service]
    seen["ctl"][f"{service}.conf"] = a.described(a.edited(lines, change))
    types = {**a.TYPES, "volume_types": {"fast": {"volume_backend_name": "RBD"}}}
    done, _, site = a.adopted(seen, types=types if default == "RBD" else a.TYPES)
    assert [one for one in a.shown(done) if one.startswith("ctl")] == []
    assert site.cinder.all[0].volume_type == "fast"


def test_where_disks_alone_can_be_described_nothing_is_planned_either():
    """Of a cloud that is in use, nothing is altered: caps that a client has are left."""
    odd = [
        (s.replace(a.STORE, "c\u00e4"), k, v.replace(a.STORE, "c\u00e4")) for s, k, v in a.GLANCE
    ]
    seen = a.hosts(caps={a.CLIENT: {"mon": "profile rbd", "osd": f"profile rbd pool={a.POOL}"}})
    seen["ctl"]["glance.conf"] = a.described(odd)
    lines = [(s.replace(a.BACKEND, "o\u00e4"), k, v) for s, k, v in a.CINDER]
    lines = a.edited(lines, ("DEFAULT", "enabled_backends", "nfs,o\u00e4"))
    seen["ctl"]["cinder.conf"] = a.described(lines)
    for name in ("n1", "n2"):
        seen[name] |= a.with_disks(a.POOL)
    done, text, site = a.adopted(seen)
    assert site.nova.ephemeral and not site.with_role("glance", "cinder")
    assert a.shown(done) == [] and "manage = false" in text


UNSEEN = [
    (("ctl", "cinder.conf"), "cinder is left out: cinder.conf could not be looked at: broken"),
    (("ctl", "glance.sources"), "glance is left out: glance.sources could not be looked at"),
    (("n2", "nova.conf"), "compute is left out: nova.conf could not be looked at: broken"),
    (("n2", "libvirt.secrets"), "n2: libvirt.secrets could not be looked at: broken"),
]


@pytest.mark.parametrize("at, said", UNSEEN)
def test_what_could_not_be_looked_at_is_not_absent(at, said):
    seen = a.hosts()
    host, read = at
    del seen[host][read]
    text, doubts, shown = told(seen, errors={at: "broken"}.items())
    assert said in text
    assert not any("RBD yet" in line for line in text.splitlines())
    assert shown == []


def test_a_host_without_any_of_these_services_is_named_and_no_doubt():
    seen = a.hosts()
    seen["sched"] = {**clouds.service_host(9), look.UNITS: a.units(), look.THERE: a.there()}
    row = {"binary": "nova-scheduler", "host": "sched", "up": True}
    text, doubts, shown = told(seen, api={**a.API, "services": [*a.SERVICES, row]})
    assert (doubts, shown) == ([], [])
    assert "# sched: named by the API (nova-scheduler); none of these services runs there" in text


def test_no_cluster_no_file():
    seen = a.hosts()
    seen["ceph01"]["ceph.monmap"] = clouds.said("not JSON")
    with pytest.raises(Failed):
        a.adopted(seen)


def test_every_resource_is_asked_by_the_second_look():
    done, _, site = a.adopted()
    seen = {**a.hosts(), CLOUD: {**a.TYPES, **a.VOLUMES}}
    for resource in chain.RESOURCES:
        for host in site.all_hosts():
            missing = {one.id for one in resource.reads(site, host)} - set(seen[host.name])
            assert missing == set(), (resource.task, host.name)


# Hostile words

HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["a]\n[b", '"""', "#", "\x00", "\x7f", "\u2028", "x" * 5000, "ok", "volumes"]),
)
PLACES = [
    ("cinder", a.BACKEND, "rbd_pool"),
    ("cinder", a.BACKEND, "rbd_user"),
    ("cinder", a.BACKEND, "rbd_secret_uuid"),
    ("cinder", a.BACKEND, "rbd_ceph_conf"),
    ("cinder", a.BACKEND, "backend_host"),
    ("cinder", a.BACKEND, "backend_availability_zone"),
    ("cinder", a.BACKEND, "volume_backend_name"),
    ("cinder", "DEFAULT", "enabled_backends"),
    ("cinder", "DEFAULT", "default_volume_type"),
    ("cinder", "DEFAULT", "host"),
    ("glance", a.STORE, "rbd_store_pool"),
    ("glance", a.STORE, "rbd_store_user"),
    ("glance", "DEFAULT", "enabled_backends"),
    ("glance", "glance_store", "default_backend"),
]


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(PLACES), HOSTILE)
def test_whatever_an_option_says_the_file_loads(place, word):
    service, section, key = place
    lines = {"cinder": a.CINDER, "glance": a.GLANCE}[service]
    seen = altered(
        "ctl", **{f"{service}__conf": a.described(a.edited(lines, (section, key, word)))}
    )
    draft, text = a.drafted_text(seen)
    assert tomli.loads(text) == draft.raw
    assert draft.raw["hosts"]["ceph01"]["roles"] == ["ceph"]


@settings(deadline=None, max_examples=40)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_whatever_the_api_says_the_file_loads(name, key, value):
    types = copy.deepcopy(a.TYPES)
    types["volume_types"][name] = {"volume_backend_name": "SSD", key: value}
    types["qos_specs"][name] = {"specs": {"consumer": value, key: value}, "types": [name, "fast"]}
    api = copy.deepcopy(a.API)
    api["services"].append({"binary": key, "host": value, "up": True})
    api["hypervisors"].append({"host": value, "address": key})
    draft, text = a.drafted_text(api=api, types=types)
    assert tomli.loads(text) == draft.raw


@given(st.text(), st.text(), st.text(max_size=20))
def test_texts_come_back_as_they_were(name, text, more):
    assert tomli.loads(f"{site_text.key(name)} = {site_text.value(text)}") == {name: text}
    table = {name: [text, 1, True, 0.5, {more: text}]}
    assert tomli.loads(f"x = {site_text.value(table)}") == {"x": table}


@given(st.text())
def test_a_comment_is_one_line_that_says_nothing_else(text):
    draft = Draft({"name": "a", "hosts": {}}, (Remark(("name",), text), Remark(("hosts",), text)))
    assert tomli.loads(site_text.written(draft, [text])) == {"name": "a", "hosts": {}}
    assert "\n" not in remark(text)


def test_no_value_that_looks_like_a_key_gets_into_the_file():
    looks = "AQDKkjFmAAAAABAAl5s8m1bQq1zGZbH0fQ1ZMw=="
    lines = a.edited(a.CINDER, (a.BACKEND, "rbd_pool", looks), (a.BACKEND, "rbd_user", looks))
    text, _, _ = told(altered("ctl", cinder__conf=a.described(lines)))
    assert looks[:20] not in text


def test_a_draft_that_the_site_file_refuses_describes_no_service():
    raw = {"name": "a", "hosts": {"c": {"roles": ["ceph", "cinder"]}, "d": {"roles": ["compute"]}}}
    raw["cinder"] = {"backends": {"default": {"pool": "nowhere"}}}
    found = settling.loadable(Draft(raw), PLATFORMS)
    sites.check(found.raw, "x", PLATFORMS)
    assert found.raw["hosts"] == {"c": {"roles": ["ceph"]}}
    assert "d" in found.left_out
    assert any("could not be described" in one.text for one in found.remarks)
