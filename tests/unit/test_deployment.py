"""Bindings: which service uses which pool as which client, on which host."""

import re

import pytest

from fabfile.core.contract import BadInput, Facts
from fabfile.flow import gather
from fabfile.model import platforms, services
from fabfile.model import site as sites
from fabfile.model.services import CINDER_VOLUME, SERVICES, Service
from fabfile.resources import cluster, service_config

from .states import (
    DEBIAN,
    EPHEMERAL,
    FSID,
    HOSTS,
    OTHER,
    PLATFORMS,
    ZED,
    conf,
    site,
)

NOVA_VOLUMES = ("nova-compute", "volumes", "volumes", "libvirt", False, True)


@pytest.mark.parametrize(
    "host, more, expected",
    [
        ("ceph01", {}, []),
        (
            "ctl",
            {},
            [
                ("glance-api", "images", "images", "rbd", True, False),
                ("cinder-volume", "volumes", "volumes", "rbd", True, False),
            ],
        ),
        ("n1", {}, [NOVA_VOLUMES]),
        (
            "n1",
            EPHEMERAL,
            [
                ("nova-compute", "volumes", "volumes", "", False, True),
                ("nova-compute", "vms", "vms", "libvirt", True, True),
            ],
        ),
    ],
)
def test_a_hosts_bindings(host, more, expected):
    it = site(**more)
    found = [
        (b.service.name, b.client, b.pool, b.section, b.keyring, b.secret)
        for b in it.bindings_of(it.host(host))
    ]
    assert found == expected


def test_a_binding_knows_where_it_is_on_its_host():
    it = site(
        clients={
            "volumes": {"rwx": ["volumes"], "secret_uuid": OTHER},
            "images": {"rwx": ["images"]},
        }
    )
    found = {b.service.name: b for b in it.bindings}
    cinder = found["cinder-volume"]
    assert (cinder.unit, cinder.file, cinder.owner) == (
        "cinder-volume",
        "/etc/cinder/cinder.conf",
        "cinder",
    )
    assert cinder.keyring_path == "/etc/ceph/ceph.client.volumes.keyring"
    assert (cinder.conf, cinder.secret_uuid) == ("/etc/ceph/ceph.conf", OTHER)
    assert found["glance-api"].secret_uuid is None
    assert cinder.cluster.admin.name == "ceph01"


@pytest.mark.parametrize("ask", ["unit", "file", "owner"])
def test_a_service_that_a_platform_does_not_know_is_an_error(ask):
    stranger = Service("manila-share", "share", services.CINDER_VOLUME.phase, "manila")
    with pytest.raises(BadInput, match="expected manila-share, found none"):
        getattr(platforms.made_of(DEBIAN), ask)(stranger)


def test_a_program_that_a_platform_does_not_know_is_an_error():
    with pytest.raises(BadInput, match="expected cephadm, found none"):
        platforms.made_of(DEBIAN).command("cephadm", "ls")


@pytest.mark.parametrize("table", PLATFORMS, ids=lambda table: table["name"])
def test_every_platform_knows_its_services_and_every_program(table):
    found = platforms.made_of(table)
    mine = [one for one in SERVICES if one.name in found.units]
    for service in mine:
        assert found.unit(service) and found.file(service) and found.owner(service)
    assert mine == list(SERVICES) or found.containers
    own = ("cinder-manage",) if CINDER_VOLUME in mine else ()
    for program in ("ceph", "rbd", "virsh", "rbd-of-services", *own):
        assert found.command(program)
    for name, row in found.containers.items():
        assert set(row) == {"service", "folder", "takes", "user"} and row["service"] in found.units
        assert found.command(f"client-of-{name}")[0] == name and found.ways[name]


def _site_with(*tables, **more):
    return sites.check({"name": "test", "hosts": HOSTS, **more}, "site.toml", tables)


ARCH = {**DEBIAN, "name": "arch", "units": {**DEBIAN["units"], "glance-api": "openstack-glance"}}


@pytest.mark.parametrize(
    "more, expected",
    [
        ({}, ("debian", "glance-api")),
        ({"platform": "debian"}, ("debian", "glance-api")),
        ({"platform": "arch"}, ("arch", "openstack-glance")),
    ],
)
def test_the_site_file_chooses_the_platform_wherever_its_file_sorts(more, expected):
    it = _site_with(ARCH, DEBIAN, **more)
    found = it.platform_of(it.host("ctl"))
    assert (found.name, found.unit(services.GLANCE_API)) == expected


def test_a_platform_that_nobody_wrote_is_an_error():
    with pytest.raises(BadInput) as caught:
        _site_with(ARCH, DEBIAN, platform="plan9")
    assert str(caught.value) == ("site.toml: platform: expected one of arch, debian, found 'plan9'")


MIXED = {**HOSTS, "n2": {"roles": ["compute"], "platform": "arch"}}


@pytest.mark.parametrize(
    "more, expected",
    [
        ({}, {"ctl": "debian", "n1": "debian", "n2": "arch"}),
        ({"platform": "arch"}, {"ctl": "arch", "n1": "arch", "n2": "arch"}),
        ({"clusters": {"ceph": {"conf": "/srv/c.conf"}}}, {"n1": "debian", "n2": "arch"}),
    ],
)
def test_a_host_has_a_platform_of_its_own(more, expected):
    it = _site_with(ARCH, DEBIAN, **{"hosts": MIXED, **more})
    assert {name: it.platform_of(it.host(name)).name for name in expected} == expected


def test_one_plan_has_hosts_of_different_platforms():
    nova = {"units": {"nova-compute": "n-cpu"}, "files": {"nova-compute": "/srv/nova.conf"}}
    changes = {"units": {"glance-api": "apache2"}, "arch": nova}
    it = _site_with(ARCH, DEBIAN, hosts=MIXED, platform_changes=changes)
    seen = Facts(dict.fromkeys(("n1", "n2"), {"nova.conf": conf()}), {"uuid.volumes": FSID}, ZED)
    plan = service_config.nova.plan(it, seen)
    written = {change.host: (change.args["path"], change.restarts) for change in plan}
    assert written == {
        "n1": ("/etc/nova/nova.conf", ("nova-compute",)),
        "n2": ("/srv/nova.conf", ("n-cpu",)),
    }
    assert it.platform_of(it.host("ctl")).unit(services.GLANCE_API) == "apache2"
    assert it.platform_of(it.host("n2")).unit(services.GLANCE_API) == "openstack-glance"


def test_each_host_is_told_its_own_platforms_ways():
    ways = {"ceph": [["podman", "exec", "toolbox", "ceph"]]}
    it = _site_with(ARCH, DEBIAN, hosts=MIXED, platform_changes={"arch": {"ways": ways}})
    works = gather.works({it.host("n1"): [], it.host("n2"): []}, {}, it.platform_of)
    assert works["n1"]["ways"] == DEBIAN["ways"]
    assert works["n2"]["ways"] == {**DEBIAN["ways"], **ways}


def test_hosts_of_two_platforms_in_a_site_of_two_clusters():
    elsewhere = {**ARCH, "ceph": {**ARCH["ceph"], "folder": "/srv/ceph"}}
    hosts = {**MIXED, "west01": {"roles": ["ceph"], "cluster": "west"}}
    backends = {
        "rbd": {"client": "volumes", "pool": "volumes"},
        "west": {"cluster": "west", "client": "volumes", "pool": "volumes"},
    }
    west = {"pools": {"volumes": {}}, "clients": {"volumes": {"rwx": ["volumes"]}}}
    clients = {"volumes": {"rwx": ["volumes"]}, "images": {"rwx": ["images"]}}
    more = {"cinder": {"backends": backends}, "clusters": {"west": west}, "clients": clients}
    it = _site_with(elsewhere, DEBIAN, hosts=hosts, **more)
    confs = {
        name: {b.cluster.label: b.conf for b in it.bindings_of(it.host(name))}
        for name in ("n1", "n2")
    }
    assert confs["n1"] == {"ceph": "/etc/ceph/ceph.conf", "west": "/etc/ceph/west.conf"}
    assert confs["n2"] == {"ceph": "/etc/ceph/ceph.conf", "west": "/srv/ceph/west.conf"}


@pytest.mark.parametrize(
    "more, said",
    [
        (
            {"hosts": {**HOSTS, "n2": {"roles": ["compute"], "platform": "plan9"}}},
            "site.toml: hosts.n2.platform: expected one of arch, debian, found 'plan9'",
        ),
        (
            {"platform_changes": {"debian": {"units": {"glance-api": "x"}}}},
            "platform_changes.debian: expected it without debian, which is the site's own platform",
        ),
        (
            {"platform_changes": {"arch": {"unit": {"glance-api": "x"}}}},
            "platform_changes.arch: expected one of backup",
        ),
        (
            {"platform_changes": {"arch": {"units": {"glance-api": ["x"]}}}},
            "platform_changes.arch.units.glance-api: expected a text, found a list of texts",
        ),
        ({"platform_changes": {"arch": "x"}}, "platform_changes.arch: expected a table"),
        ({"platform_changes": {"plan9": {}}}, "platform_changes: expected one of backup"),
    ],
)
def test_what_is_said_of_another_platform_is_checked(more, said):
    with pytest.raises(BadInput, match=re.escape(said)):
        _site_with(ARCH, DEBIAN, **more)


@pytest.mark.parametrize("change", [{"more": {}}, {"units": None}])
def test_a_platforms_file_is_whole(change):
    table = {key: value for key, value in {**DEBIAN, **change}.items() if value is not None}
    with pytest.raises(BadInput, match="platform debian: missing, or not known"):
        platforms.made_of(table)


# What a site says of its hosts itself

SNAP = {"commands": {"ceph": ["/snap/bin/microceph.ceph"], "rbd": ["/snap/bin/microceph.rbd"]}}


def test_a_site_changes_rows_of_its_platform_and_no_others():
    changes = {**SNAP, "units": {"glance-api": "apache2"}, "ceph": {"folder": "/srv/ceph"}}
    it = _site_with(DEBIAN, platform_changes={**changes, "needed": ["python3"]})
    found, before = it.platform_of(it.host("ctl")), platforms.made_of(DEBIAN)
    assert found.command("ceph", "-s") == ["/snap/bin/microceph.ceph", "-s"]
    assert found.command("virsh", "list") == before.command("virsh", "list")
    assert found.unit(services.GLANCE_API) == "apache2"
    assert found.unit(services.CINDER_VOLUME) == before.unit(services.CINDER_VOLUME)
    assert (found.ceph["folder"], found.ceph["conf"]) == ("/srv/ceph", before.ceph["conf"])
    assert found.needed == ["python3"] and before.needed != ["python3"]
    assert cluster.ceph(it, "df")[0] == "/snap/bin/microceph.ceph"


def test_the_platform_that_is_chosen_is_the_one_that_is_changed():
    it = _site_with(ARCH, DEBIAN, platform="arch", platform_changes=SNAP)
    assert it.platform_of(it.host("ctl")).name == "arch"
    assert it.platform_of(it.host("ctl")).command("ceph") == ["/snap/bin/microceph.ceph"]


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"comands": SNAP["commands"]}, "platform_changes: expected one of backup, ceph, "),
        ({"name": "mine"}, "platform_changes: expected one of"),
        ({"commands": "ceph"}, "platform_changes.commands: expected a table, found a text"),
        (
            {"commands": {"ceph": "ceph"}},
            "platform_changes.commands.ceph: expected a list of texts",
        ),
        ({"commands": {"ceph": ["a\nb"]}}, "platform_changes"),
        (
            {"ways": {"ceph": ["podman", "exec"]}},
            "platform_changes.ways.ceph: expected a list of argument lists, found a list of texts",
        ),
        (
            {"commands": {"ceph": [["podman", "exec"]]}},
            "platform_changes.commands.ceph: expected a list of texts, found a list of argument",
        ),
        ({"commands": {"ceph": [""]}}, "platform_changes"),
        ({"commands": {"ceph": [1]}}, "platform_changes"),
        ({"commands": {"ceph": {"a": "b"}}}, "platform_changes"),
        (
            {"units": {"nova-compute": ["nova"]}},
            "platform_changes.units.nova-compute: expected a t",
        ),
        ({"systems": "debian"}, "platform_changes.systems: expected a list of texts, found a text"),
        ({"systems": {"a": "b"}}, "platform_changes.systems: expected a list of texts"),
        ({"units": []}, "platform_changes.units: expected a table, found a list of texts"),
    ],
)
def test_a_row_of_another_form_is_refused(changes, said):
    with pytest.raises(BadInput, match=said):
        _site_with(DEBIAN, platform_changes=changes)
