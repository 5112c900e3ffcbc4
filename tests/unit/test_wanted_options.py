"""What an operator chose stays; what is recommended is set where nobody says anything; what the
site file asks for is passed through."""

import pytest

from fabfile.core.contract import BadInput, Facts
from fabfile.core.remote import configuration
from fabfile.model import releases, site_tables
from fabfile.resources import instance_disks, service_config, wanted_options

from . import clouds
from .states import EPHEMERAL, FSID, ZED, conf, site, sources
from .test_releases import planned as of_release

SERVICES = {"glance": "ctl", "cinder": "ctl", "nova": "n1"}


def changes(service, *active, **more):
    seen = {f"{service}.conf": conf(*active), f"{service}.sources": sources(service)}
    seen |= {"host": {"hostname": "ctl"}, "cinder.head": None, instance_disks.READ: {}}
    facts = {SERVICES[service]: seen}
    known = {"uuid.volumes": FSID, "uuid.vms": FSID}
    return getattr(service_config, service).plan(site(**more), Facts(facts, known, ZED))


def edits(service, *active, **more):
    made = changes(service, *active, **more)
    return {(s, k): v for change in made for s, k, v in change.args["edits"]}


def fresh(service, **more):
    return [(s, k, v) for (s, k), v in edits(service, **more).items()]


TUNED = {
    "cinder": [
        ("rbd", "rbd_max_clone_depth", "0"),
        ("rbd", "rados_connect_timeout", "-1"),
        ("rbd", "rados_connect_timeout", "30"),
        ("rbd", "rbd_store_chunk_size", "8"),
        ("rbd", "rbd_flatten_volume_from_snapshot", "true"),
        ("rbd", "report_discard_supported", "false"),
        ("backend_defaults", "report_discard_supported", "False"),
        ("rbd", "rbd_exclusive_cinder_pool", "false"),
    ],
    "glance": [
        ("rbd", "rbd_store_chunk_size", "64"),
        ("DEFAULT", "show_image_direct_url", "False"),
        ("rbd", "rbd_thin_provisioning", "true"),
    ],
    "nova": [
        ("libvirt", "rbd_connect_timeout", "30"),
    ],
}
ROWS = [(service, line) for service, lines in TUNED.items() for line in lines]


@pytest.mark.parametrize("service, line", ROWS)
def test_what_an_operator_chose_stays(service, line):
    rest = [one for one in fresh(service) if one[1] != line[1]]
    assert changes(service, *rest, line) == []
    assert (line[0], line[1]) not in edits(service, line)


@pytest.mark.parametrize("value", ["none", "network=none", "file=directsync,network=writethrough"])
@pytest.mark.parametrize("key", ["disk_cachemodes", "hw_disk_discard"])
def test_what_an_operator_chose_for_ephemeral_disks_stays(key, value):
    rest = [one for one in fresh("nova", **EPHEMERAL) if one[1] != key]
    assert changes("nova", *rest, ("libvirt", key, value), **EPHEMERAL) == []


@pytest.mark.parametrize(
    "name", ["havana", "icehouse", "juno", "mitaka", "pike", "queens", "train"]
)
@pytest.mark.parametrize("service", ["glance", "cinder", "nova"])
def test_in_every_release_recommended_values_are_set_only_where_absent(name, service):
    made = of_release(name, service)
    options = [(s, k, v) for c in made for s, k, v in c.args.get("edits", [])]
    table = releases.choose(site(release=name), Facts({}), clouds.site_file.releases()).table[
        service
    ]
    ours = ("rbd_user", "rbd_secret_uuid")
    advised = [
        one for one in options if wanted_options.reason(table, one[1]) and one[1] not in ours
    ]
    for section, key, _ in advised:
        others = {(s, k): v for s, k, v in options if k != key}
        assert of_release(name, service, {**others, (section, key): "of an operator"}) == []


def test_what_is_recommended_is_a_change_of_its_own_kind_with_its_reason():
    rest = [one for one in fresh("cinder") if one[1] != "report_discard_supported"]
    (change,) = changes("cinder", *rest)
    assert change.kind == "recommended" and change.restarts == ("cinder-volume",)
    (whole,) = changes("cinder")
    assert whole.kind == "options"

    def broken(cloud):
        active = cloud["ctl"]["cinder.conf"]["active"]
        active[:] = [line for line in active if line[1] != "report_discard_supported"]

    (one,) = [f for f in clouds.found(broken) if f.code.startswith("options")]
    assert (one.severity, one.code) == ("note", "options")
    assert "what guests free stays used" in one.cause


def test_without_disks_of_its_own_novas_user_and_secret_are_no_more_than_recommended():
    def broken(cloud):
        for name in ("n1", "n2"):
            cloud[name]["nova.conf"]["active"] = []

    found = [f for f in clouds.found(broken) if f.code.startswith("options")]
    assert {(f.severity, f.code) for f in found} == {("note", "options")}
    assert "where Cinder names no" in found[0].cause
    (change,) = changes("nova", ("libvirt", "rbd_user", "x"), ("libvirt", "rbd_secret_uuid", FSID))
    assert change.kind == "options" and change.args["edits"] == [["libvirt", "rbd_user", "volumes"]]


def test_the_user_of_disks_that_the_site_file_does_not_know_is_not_touched():
    assert changes("nova", ("libvirt", "images_type", "rbd")) == []
    assert changes("nova", ("libvirt", "images_type", "rbd"), ("libvirt", "rbd_user", "x")) == []


@pytest.mark.parametrize(
    "named, line, planned",
    [
        ({}, "False", None),
        ({}, "0", None),
        ({"show_image_direct_url": True}, "False", "True"),
        ({"show_image_direct_url": False}, "true", "False"),
        ({"show_image_direct_url": True}, "yes", None),
    ],
)
def test_what_the_site_file_names_counts(named, line, planned):
    at = ("DEFAULT", "show_image_direct_url")
    assert edits("glance", (*at, line), glance=named).get(at) == planned


@pytest.mark.parametrize(
    "service, section, without",
    [("cinder", "rbd", "rbd_ceph_conf"), ("glance", "rbd", "rbd_store_ceph_conf")],
)
def test_a_default_counts_where_the_section_is_there(service, section, without):
    rest = [one for one in fresh(service) if one[1] != without]
    assert edits(service, *rest) == {}
    assert edits(service, *rest, (section, without, "")) == {}
    with pytest.raises(BadInput, match="could not be read any more|volumes"):
        edits(service, *rest, (section, without, "/etc/ceph/other.conf"))


def test_a_default_is_not_ours_where_the_environment_says_another():
    rest = [one for one in fresh("cinder") if one[1] != "rbd_ceph_conf"]
    told = sources("cinder", environment={"CEPH_CONF": "/etc/ceph/other.conf"})
    seen = {"cinder.conf": conf(*rest), "cinder.sources": told, "cinder.head": None}
    facts = Facts({"ctl": {**seen, "host": {"hostname": "ctl"}}}, {"uuid.volumes": FSID}, ZED)
    (change,) = service_config.cinder.plan(site(), facts)
    assert change.args["edits"] == [["rbd", "rbd_ceph_conf", "/etc/ceph/ceph.conf"]]


# Asked for

ASKED = {
    "cinder": {
        "rbd": {"rbd_max_clone_depth": 10, "report_discard_supported": False},
        "DEFAULT": {"allowed_direct_url_schemes": ["cinder", "rbd"], "state_path": "${home}/c {x}"},
        "ssd": {"rbd_pool": "ssd"},
    }
}


def test_what_is_asked_for_is_passed_through():
    made = edits("cinder", options=ASKED)
    assert made["rbd", "rbd_max_clone_depth"] == "10"
    assert made["rbd", "report_discard_supported"] == "false"
    assert made["DEFAULT", "allowed_direct_url_schemes"] == "cinder,rbd"
    assert made["DEFAULT", "state_path"] == "${home}/c {x}"
    assert made["ssd", "rbd_pool"] == "ssd"
    assert not set(edits("glance", options=ASKED)) & set(ASKED["cinder"])


@pytest.mark.parametrize(
    "asked, there, same",
    [
        (10, "010", True),
        (10, "11", False),
        (True, "Yes", True),
        (True, "false", False),
        (["a", "b"], "a,\n b", True),
        (["a", "b"], "b,a", False),
        ("Volumes", "volumes", False),
        ("$host/x", "ctl/x", True),
    ],
)
def test_what_is_asked_for_is_compared_as_its_type(asked, there, same):
    active = [*fresh("cinder"), ("DEFAULT", "host", "ctl"), ("x", "y", there)]
    planned = edits("cinder", *active, options={"cinder": {"x": {"y": asked}}})
    assert bool(planned) != same


@pytest.mark.parametrize(
    "service, section, key, value",
    [
        ("cinder", "rbd", "rbd_pool", "other"),
        ("cinder", "DEFAULT", "enabled_backends", ["lvm"]),
        ("cinder", "rbd", "volume_driver", "x"),
        ("glance", "glance_store", "default_backend", "file"),
    ],
)
def test_what_the_rest_of_the_site_file_decides_is_not_asked_for_otherwise(
    service, section, key, value
):
    with pytest.raises(BadInput, match=rf"^options.{service}.{section}.{key}: expected .* found"):
        edits(service, options={service: {section: {key: value}}})


@pytest.mark.parametrize(
    "options",
    [
        {"cinder": {"DEFAULT": {"transport_url": "x"}}},
        {"cinder": {"DEFAULT": {"rabbit_password": "x"}}},
        {"glance": {"swift": {"swift_store_key": "x"}}},
        {"nova": {"database": {"connection": "mysql://u:p@h/n"}}},
        {"nova": {"x": {"proxy": "http://u:p@h/"}}},
        {"cinder": {"rbd": {"a\nb": "x"}}},
        {"cinder": {"rbd": {"a = b": "x"}}},
        {"cinder": {"rbd": {"a": "x\n[keystone]"}}},
        {"cinder": {"rbd": {"a": ["x", "y\n"]}}},
        {"cinder": {"rbd": {"a": ["x,y"]}}},
        {"cinder": {"rbd]\n[x": {"a": "x"}}},
        {"cinder": {"rbd": {"a": {"b": "c"}}}},
        {"neutron": {"DEFAULT": {"a": "b"}}},
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_the_site_file(options):
    with pytest.raises(BadInput) as caught:
        site(options=options)
    assert "options" in str(caught.value) and "u:p@h" not in str(caught.value)


def test_what_carries_a_credential_is_told_as_the_agent_tells_it():
    assert site_tables._CREDENTIAL.pattern == configuration.CREDENTIAL.pattern
    assert site_tables._LOGIN.pattern == configuration.URL_LOGIN.pattern
