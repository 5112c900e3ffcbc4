"""What is in force of a service's options, held against oslo.config itself."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oslo_config import cfg

from fabfile.core.contract import Facts, Refused
from fabfile.core.remote import options, processes
from fabfile.model import option_values
from fabfile.resources import in_force, secret_uuid, service_config, volume_hosts

from .states import FSID, KEY, OTHER, THIRD, ZED, cluster, conf, secret, site, sources, user

RBD = "cinder.volume.drivers.rbd.RBDDriver"
LATER = "/etc/cinder/cinder.conf.d/50-local.conf"


def cinder(*active, **more):
    """What a host of cinder-volume answers; more: as for states.sources()."""
    return {
        "cinder.conf": conf(*active),
        "cinder.sources": sources("cinder", **more),
        "cinder.head": None,
        "host": {"hostname": "ctl"},
    }


def planned(seen, **known):
    facts = Facts({"ctl": seen}, {"uuid.volumes": FSID, **known}, ZED)
    changes = service_config.cinder.plan(site(), facts)
    return {(s, k): v for c in changes for s, k, v in c.args["edits"]}


OURS = [(s, k, v) for (s, k), v in planned(cinder()).items()]


def without(key, lines=None):
    return [line for line in lines or OURS if line[1] != key]


@pytest.mark.parametrize(
    "lines, expected",
    [
        ({"after": {"/a": [("rbd", "rbd_pool", "b")]}}, "b"),
        ({"after": {"/a": [("RBD", "rbd_pool", "b")], "/b": [("rbd", "rbd_pool", "c")]}}, "c"),
        ({"before": {"/a": [("rbd", "rbd_pool", "b")]}}, "a"),
        (
            {"environment": {"OS_RBD__RBD_POOL": "e"}, "after": {"/a": [("rbd", "rbd_pool", "b")]}},
            "e",
        ),
        ({"environment": {"OS_DEFAULT__RBD_POOL": "e", "OS_RBD_RBD_POOL": "f"}}, "a"),
    ],
)
def test_the_last_one_counts_and_the_environment_before_all(lines, expected):
    assert (
        in_force.options(cinder(("rbd", "rbd_pool", "a"), **lines), "cinder")["rbd", "rbd_pool"]
        == expected
    )


@pytest.mark.parametrize(
    "value, expected",
    [
        ("$pool", "of the section"),
        ("${pool}-ssd", "of the section-ssd"),
        ("$host", "of DEFAULT"),
        ("${other.pool}", "of another"),
        ("$other.pool", "of another"),
        ("${OTHER.pool}", "of another"),
        ("$far", "of DEFAULT"),
        ("$$pool", "$pool"),
        (r"\$pool", "$pool"),
        ("$nothing", "$nothing"),
        ("${UUID_of_it}", "${UUID_of_it}"),
        ("$", "$"),
        ("a$1b", "a$1b"),
        ("$circle", "$circle"),
    ],
)
def test_references(value, expected):
    seen = cinder(
        ("DEFAULT", "host", "of DEFAULT"),
        ("DEFAULT", "pool", "not this one"),
        ("Other", "pool", "of another"),
        ("rbd", "far", "${DEFAULT.host}"),
        ("rbd", "circle", "$circle"),
        ("rbd", "pool", "of the section"),
        ("rbd", "x", value),
    )
    assert in_force.options(seen, "cinder")["rbd", "x"] == expected


@pytest.mark.parametrize(
    "lines, expected",
    [
        ([("x", "a$x")], "a$x"),
        ([("x", "$x$x$x")], "$x$x$x"),
        ([("x", "$y"), ("y", "<$x>")], "<$x>"),
        ([("x", "$y"), ("y", "${z}"), ("z", "$y")], "$y"),
        ([("x", "$y-$y"), ("y", "b")], "b-b"),
        ([("x", "$y$z"), ("y", "$z"), ("z", "b")], "bb"),
        ([("x", "")], ""),
        ([("x", "$y"), ("y", "")], ""),
    ],
)
def test_a_circle_stays_as_it_is_written_and_what_is_none_does_not(lines, expected):
    found = in_force.options(cinder(*[("rbd", key, value) for key, value in lines]), "cinder")
    assert found["rbd", "x"] == expected


LONG = [(f"k{n}", f"$k{n + 1}" * 20) for n in range(12)]  # 20 ** 12 letters, if it were filled in


@pytest.mark.parametrize(
    "lines",
    [
        [*LONG, ("k12", "a")],
        [*LONG, ("k12", "$k0" * 20)],
        [(f"k{n}", f"$k{n + 1}") for n in range(5000)],
        [(f"k{n}", "".join(f"$k{m}" for m in range(40))) for n in range(40)],
        [("k0", "$k0" * 10000)],
    ],
)
def test_a_file_of_references_to_references_has_a_bound(lines):
    """A host's file is data: it takes neither the time nor the memory of who looks at it."""
    found = in_force.options(cinder(*[("rbd", key, value) for key, value in lines]), "cinder")
    assert len(found["rbd", "k0"]) < 300_000


SHARED = [
    ("DEFAULT", "enabled_backends", "ssd, rbd"),
    ("backend_defaults", "volume_driver", RBD),
    ("backend_defaults", "rbd_secret_uuid", OTHER),
    ("backend_defaults", "backend_host", "shared"),
    ("rbd", "rbd_user", "volumes"),
    ("rbd", "rbd_pool", "volumes"),
    ("SSD", "rbd_user", "volumes"),
    ("SSD", "volume_driver", "other"),
]


def test_a_backend_has_what_the_defaults_say_for_all():
    found = in_force.by_section(in_force.options(cinder(*SHARED), "cinder"))
    assert found["rbd"]["volume_driver"] == RBD and found["ssd"]["volume_driver"] == "other"
    assert found["rbd"]["rbd_secret_uuid"] == OTHER == found["ssd"]["rbd_secret_uuid"]
    assert "backend_host" not in found["rbd"]
    assert "rbd_secret_uuid" not in found["DEFAULT"]
    edits = planned(cinder(*SHARED), **{"uuid.volumes": OTHER})
    assert ("rbd", "volume_driver") not in edits and ("rbd", "rbd_secret_uuid") not in edits
    assert (
        volume_hosts.backend_host(site().cinder.all[0], in_force.options(cinder(*SHARED), "cinder"))
        == ""
    )


# The UUID in use


def resolved(*active, computes=(), nova=(), **more):
    hosts = {
        "ceph01": cluster(users=[user("volumes")]),
        "ctl": cinder(*active, **more),
        "n1": {"nova.conf": conf(*nova), "libvirt.secrets": dict(computes)},
    }
    return secret_uuid.resolve(site(), Facts(hosts))["uuid.volumes"]


USER = ("rbd", "rbd_user", "volumes")
AT = ("rbd", "rbd_secret_uuid", OTHER)


@pytest.mark.parametrize(
    "active, more",
    [
        (SHARED, {}),
        ([USER, AT], {}),
        ([USER], {"before": {"/usr/share/cinder/cinder-dist.conf": [AT]}}),
        ([USER], {"after": {LATER: [AT]}}),
        ([USER, ("rbd", "rbd_secret_uuid", FSID)], {"after": {LATER: [AT]}}),
        ([USER], {"environment": {"OS_RBD__RBD_SECRET_UUID": OTHER}}),
        ([USER, ("rbd", "rbd_secret_uuid", "$uuid"), ("DEFAULT", "uuid", OTHER)], {}),
        ([("rbd", "rbd_user", "${a.name}"), ("a", "name", "volumes"), AT], {}),
        ([("backend_defaults", "rbd_user", "volumes"), AT, ("rbd", "rbd_pool", "volumes")], {}),
        ([("backend_defaults", "rbd_user", "volumes"), ("backend_defaults", *AT[1:])], {}),
        ([USER, ("rbd", "rbd_secret_uuid", OTHER.replace("-", "").upper())], {}),
        (
            [
                ("DEFAULT", "enabled_backends", "rbd"),
                *([USER, AT]),
                ("old", "rbd_user", "volumes"),
                ("old", "rbd_secret_uuid", THIRD),
            ],
            {},
        ),
    ],
)
def test_the_uuid_in_use_is_found_wherever_the_service_finds_it(active, more):
    assert resolved(*active, **more) == OTHER


NO_UUIDS = [
    "3f2ee568-97a8-4416-9865-a4567aa69b53 #add here",
    "3f2ee568-97a8-4416-9865-a4567aa69b53; old",
    "None",
    "null",
    "<UUID>",
    "${UUID_of_secret_in_libvirt}",
    "{{ cinder_ceph_client_uuid }}",
    "%SERVICE_UUID%",
    "3f2ee568-97a8-4416-9865-a4567aa69b5",
    "3f2ee568-97a8-4416-9865-a4567aa69b53a",
    "3f2ee568-97a8-4416-9865-a4567aa69b5g",
    "-f3f2ee568-97a8-4416-9865-a4567aa69b53",
    "{3f2ee568-97a8-4416-9865-a4567aa69b53}",
    "urn:uuid:3f2ee568-97a8-4416-9865-a4567aa69b53",
    "3f2ee568-97a8-4416-9865\na4567aa69b53",
    "client.volumes secret",
    "--file /etc/shadow",
    "\u0663f2ee568-97a8-4416-9865-a4567aa69b53",
]


@pytest.mark.parametrize("text", NO_UUIDS)
def test_what_is_no_uuid_is_none_and_is_said(text):
    active = [USER, ("rbd", "rbd_secret_uuid", text)]
    assert resolved(*active) == FSID
    assert resolved(*active, computes=secret(OTHER).items()) == OTHER
    nova = [("libvirt", "rbd_user", "volumes"), ("libvirt", "rbd_secret_uuid", text)]
    assert resolved(nova=nova) == FSID
    seen = cinder(*active)
    assert planned(seen)["rbd", "rbd_secret_uuid"] == FSID
    (note,) = secret_uuid.unusable(Facts({"ctl": seen}))
    assert note.startswith("ctl: cinder.conf: [rbd] rbd_secret_uuid = ") and "no UUID" in note


@pytest.mark.parametrize(
    "text", [OTHER, OTHER.upper(), OTHER.replace("-", ""), f" {OTHER} ", "1111" + OTHER[4:]]
)
def test_what_libvirt_takes_for_the_uuid_is_it(text):
    assert option_values.as_uuid(text) == OTHER
    assert (
        secret_uuid.unusable(Facts({"ctl": cinder(USER, ("rbd", "rbd_secret_uuid", text))})) == []
    )


# What is set aside


@pytest.mark.parametrize(
    "more, subject",
    [
        ({"after": {LATER: [("RBD", "rbd_user", "other")]}}, LATER),
        ({"after": {LATER: [("DEFAULT", "enabled_backends", "lvm")]}}, LATER),
        ({"environment": {"OS_RBD__RBD_USER": "other"}}, "OS_RBD__RBD_USER"),
        ({"read": False, "after": {"/opt/cinder.conf": []}}, "cinder-volume"),
        ({"read": False}, "cinder-volume"),
    ],
)
@pytest.mark.parametrize("active", [(), OURS])
def test_what_would_have_no_effect_is_refused(more, subject, active):
    if more.get("read") is False and active:
        active = without("rbd_pool")
    with pytest.raises(Refused) as caught:
        planned(cinder(*active, **more))
    assert caught.value.subject == subject and caught.value.advice
    for command in caught.value.mend:
        assert LATER in command.argv
    assert bool(caught.value.mend) == (subject == LATER)


@pytest.mark.parametrize(
    "active, more",
    [
        (without("rbd_pool"), {"after": {LATER: [("rbd", "rbd_pool", "volumes")]}}),
        (without("rbd_pool"), {"before": {"/dist": [("rbd", "rbd_pool", "volumes")]}}),
        (without("rbd_pool"), {"environment": {"OS_RBD__RBD_POOL": "volumes"}}),
        (OURS, {"before": {"/dist": [("rbd", "rbd_pool", "other")]}}),
        (
            [*without("rbd_pool"), ("rbd", "rbd_pool", "x")],
            {"after": {LATER: [("rbd", "rbd_pool", "volumes")]}},
        ),
        (OURS, {"after": {LATER: [("rbd", "rados_connect_timeout", "05")]}}),
    ],
)
def test_what_is_in_force_is_no_change(active, more):
    assert planned(cinder(*active, **more)) == {}


def test_a_list_grows_from_what_is_in_force():
    before = {"/usr/share/cinder/cinder-dist.conf": [("DEFAULT", "enabled_backends", "lvm,\nnfs")]}
    assert planned(cinder(before=before))["DEFAULT", "enabled_backends"] == "lvm,nfs,rbd"


# Values as their types


@pytest.mark.parametrize(
    "template, old, same",
    [
        ("{pool}", "volumes", True),
        ("{pool}", "Volumes", False),
        ("{pool}", " volumes", False),
        ("{pool}", "\nvolumes", False),
        ("{client}", "VOLUMES", False),
        ("{conf}", "/etc/Ceph/ceph.conf", False),
        ("cinder.volume.drivers.rbd.RBDDriver", "cinder.volume.drivers.RBD.RBDDriver", False),
        ("true", "True", True),
        ("true", "1", True),
        ("true", "on", True),
        ("true", "YES", True),
        ("true", "false", False),
        ("true", "t", False),
        ("true", "\ntrue", False),
        ("false", "0", True),
        ("false", "Off", True),
        ("{direct_url}", "true", True),
        ("5", "05", True),
        ("5", "+5", True),
        ("5", " 5 ", True),
        ("5", "\n5", True),
        ("5", "5.0", False),
        ("5", "6", False),
        ("5", "5" * 5000, False),
        ("5", "\u0665", False),
        ("-2", "-2", True),
        ("{uuid}", FSID.upper(), True),
        ("{uuid}", FSID.replace("-", ""), True),
        ("{uuid}", f"{FSID} #", False),
        ("+rbd", "lvm,rbd", True),
        ("+rbd", "lvm,\nrbd", True),
        ("+rbd", " lvm , rbd ,", True),
        ("+rbd", "rbd,lvm", False),
        ("+rbd", "lvm,RBD", False),
        ("+rbd:rbd", "file:file, rbd : rbd", None),
    ],
)
def test_values_are_compared_as_their_type(template, old, same):
    words = {"pool": "volumes", "client": "volumes", "conf": "/etc/ceph/ceph.conf"}
    new = template.format(**words, uuid=FSID, direct_url="True")
    if new.startswith("+"):
        new = "lvm,rbd" if same is not None else "file:file,rbd:rbd"
    kind = option_values.kind_of(template)
    assert option_values.equal(kind, old, new) is (same is not False)


def test_a_value_over_several_lines_that_means_the_same_is_no_change():
    text = "[DEFAULT]\nenabled_backends =\n    lvm,\n    rbd\n"
    lines = [tuple(line) for line in options.active(text)]
    rest = without("enabled_backends")
    assert planned(cinder(*lines, *rest)) == {}


# Held against oslo.config

GROUPS, KEYS = ("DEFAULT", "rbd", "Rbd", "b"), ("k", "rbd_pool", "x")
plain = st.text(st.sampled_from("ab1 -#;='\"\\"), max_size=4).map(str.strip)
references = st.sampled_from(["$k", "${x}", "$b.k", "${rbd.x}", "$$", r"\$k", "$ k", "a$x/b"])
values = st.lists(plain | references, max_size=3).map("".join)
lines_of_files = st.lists(
    st.tuples(st.sampled_from(GROUPS), st.sampled_from(KEYS), values), max_size=5
)
variables = st.dictionaries(
    st.sampled_from(["OS_DEFAULT__K", "OS_RBD__X", "OS_B__RBD_POOL", "OS_RBD__RBD_POOL"]),
    values,
    max_size=2,
)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(written=st.lists(lines_of_files, min_size=1, max_size=3), environment=variables)
def test_any_files_and_environment_as_oslo_reads_them(tmp_path_factory, written, environment):
    folder = tmp_path_factory.mktemp("files")
    paths, read = [], []
    for number, lines in enumerate(written):
        paths.append(str(folder / f"{number}.conf"))
        text = "".join(f"[{section}]\n{key} = {value}\n" for section, key, value in lines)
        (folder / f"{number}.conf").write_text(text)
        read.append([paths[-1], options.active(text)])
    seen = {"nova.sources": {"main": "", "files": read, "environment": environment}}
    found = in_force.options(seen, "nova")
    conf_ = cfg.ConfigOpts()
    for group in ("DEFAULT", "rbd", "b"):
        for key in KEYS:
            if (group, key) in found:
                conf_.register_opt(cfg.StrOpt(key), group=None if group == "DEFAULT" else group)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        conf_([f"--config-file={path}" for path in paths], default_config_dirs=[])
        for (group, key), value in found.items():
            if in_force._REFERENCE.search(value):
                continue  # what oslo.config makes of it depends on what a service registers
            try:
                theirs = getattr(conf_ if group == "DEFAULT" else getattr(conf_, group), key)
            except (AttributeError, ValueError, RecursionError, cfg.Error):
                continue  # it refuses to be read at all
            assert value == theirs


# A secret that has our name and no more


@pytest.mark.parametrize(
    "value, adopted",
    [(KEY, True), ("sha256:" + "9" * 64, False), (None, False), (processes.fingerprint(""), False)],
)
def test_a_libvirt_secret_is_adopted_by_its_value_and_not_by_its_name(value, adopted):
    held = secret(OTHER, value=value)
    assert resolved(computes=held.items()) == (OTHER if adopted else FSID)
    named = [USER, ("rbd", "rbd_secret_uuid", OTHER)]
    assert resolved(*named, computes=held.items()) == OTHER
    seen = {"ceph01": cluster(users=[user("volumes")]), "n1": {"libvirt.secrets": held}}
    said = secret_uuid.left_alone(site(), Facts(seen, {"uuid.volumes": FSID}))
    assert bool(said) != adopted and all(OTHER in one for one in said)
    assert secret_uuid.left_alone(site(), Facts(seen, {"uuid.volumes": OTHER})) == []


def test_a_key_that_was_stored_as_text_is_this_clusters_key_too():
    held = secret(OTHER, value="sha256:" + "9" * 64)
    held[OTHER]["value"]["peeled"] = KEY
    assert resolved(computes=held.items()) == OTHER


def test_without_a_user_in_the_cluster_no_secret_is_ours():
    hosts = {"ceph01": cluster(), "n1": {"libvirt.secrets": secret(OTHER)}}
    assert secret_uuid.resolve(site(), Facts(hosts))["uuid.volumes"] == FSID
