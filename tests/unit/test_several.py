"""Several backends of Cinder's: what the site file may say, and the plan that comes of it."""

import copy
import re
from types import SimpleNamespace as Thing

import pytest

from fabfile.cloud import leftovers, machines, volume_types
from fabfile.core import site_file
from fabfile.core.contract import CLOUD, BadInput, Facts, Failed, Refused
from fabfile.model import releases
from fabfile.resources import (
    auth,
    chain,
    instance_disks,
    keyrings,
    libvirt_secret,
    secret_uuid,
    service_config,
    volume_hosts,
)
from fabfile.resources.rollback import Undone

from . import clouds
from .states import (
    FSID,
    OTHER,
    VIRSH_READS_FILES,
    ZED,
    cluster,
    conf,
    file,
    release,
    secret,
    site,
    sources,
    user,
)
from .test_volume_hosts import PLACE, controller, facts, section, volume

POOLS = {"volumes": {}, "fast": {}, "images": {}}
CLIENTS = {"volumes": {}, "fast": {}, "images": {}}
BACKENDS = {
    "rbd": {"pool": "volumes"},
    "fast": {"pool": "fast", "client": "fast", "volume_type": "quick"},
}
ONE_CLIENT = {"rbd": {"pool": "volumes"}, "fast": {"pool": "fast"}}


def several(backends=None, clients=None, **more):
    """A site of two backends, on two pools; with two clients unless they say otherwise."""
    cinder = {"backends": backends or BACKENDS, **more.pop("cinder", {})}
    named = clients or CLIENTS
    return site(cloud="c", pools=POOLS, clients=named, cinder=cinder, **more)


def shared(**more):
    """Both backends by one client."""
    return several(ONE_CLIENT, {"volumes": {}, "images": {}}, **more)


# The site file


def test_the_one_backend_and_a_table_for_it_are_the_same():
    old, new = site(), site(cinder={"backends": {"rbd": {"pool": "volumes"}}})
    assert old.uses() == new.uses()
    assert [vars(one) | {"said": ""} for one in old.cinder.all] == [
        vars(one) | {"said": ""} for one in new.cinder.all
    ]
    before = [c for r in chain.RESOURCES for c in planned(old, r)]
    assert before and before == [c for r in chain.RESOURCES for c in planned(new, r)]


def planned(where, resource, cloud=None):
    """A resource's plan for a cloud where nothing is integrated; () where more has to be seen."""
    seen = cloud or nothing(where)
    try:
        known = secret_uuid.resolve(where, Facts(seen))
        return resource.planned(where, Facts(seen, known, ZED), ())
    except KeyError:
        return ()


def nothing(where, users=()):
    """What hosts answer of which none has anything yet."""
    ctl = {
        **{f"{name}.conf": conf() for name in ("glance", "cinder")},
        **{f"{name}.sources": sources(name) for name in ("glance", "cinder")},
        "cinder.head": None,
        "host": {"hostname": "ctl"},
        "pending_restarts": [],
        **{f"keyring.{client}": None for client in where.clients},
    }
    compute = {
        "nova.conf": conf(),
        "nova.sources": sources("nova"),
        secret_uuid.SECRETS: {},
        libvirt_secret.OPTIONS: VIRSH_READS_FILES,
        instance_disks.READ: {},
    }
    asked = {"volume_types": {}, "volume_services": [], "volumes": []}
    return {
        "ceph01": cluster(pools=[clouds.pool(name) for name in where.pools], users=users),
        "ctl": ctl,
        "n1": compute,
        CLOUD: asked,
    }


FAULTS = [
    (
        {"backends": {"a": {"pool": "volumes"}}, "default_volume_type": "b"},
        "cinder: default_volume_type: expected one of a, found 'b'",
    ),
    (
        {"backends": BACKENDS, "pool": "volumes"},
        "cinder: pool: expected cinder.backends.NAME.pool, as [cinder.backends] has all of them",
    ),
    (
        {"backends": BACKENDS, "backend": "ceph"},
        "cinder: backend: expected the backend's table, as [cinder.backends]",
    ),
    ({"backends": {"a": {}}}, "cinder.backends.a.pool: expected a value, found none"),
    (
        {"backends": {"a": {"pool": "volumes"}, "A": {"pool": "fast"}}},
        "cinder: backends: expected a name of its own for each, found 'a' twice",
    ),
    (
        {"backends": {"a": {"pool": "volumes"}, "b": {"pool": "fast", "volume_type": "a"}}},
        "cinder: backends: expected a volume_type of its own for each, found 'a' twice",
    ),
    (
        {
            "backends": {
                "a": {"pool": "volumes", "replaces": "x"},
                "b": {"pool": "volumes", "replaces": "x"},
            }
        },
        "cinder: backends: expected a replaces of its own for each, found 'x' twice",
    ),
    (
        {"backends": {"a": {"pool": "volumes"}, "b": {"pool": "volumes", "replaces": "a"}}},
        "cinder: backends.b.replaces: expected another backend than a (cinder.backends.a)",
    ),
    (
        {"backends": {"DEFAULT": {"pool": "volumes"}}},
        "cinder: backends.DEFAULT: expected another name: that section is no backend's",
    ),
    *(
        (
            {"backends": {name: {"pool": "volumes"}}},
            f"cinder: backends.{name}: expected another name",
        )
        for name in (
            *("backend_defaults", "database", "Keystone_authtoken", "oslo_messaging_rabbit"),
            *("nova", "service_user", "fc-zone-manager", "coordination", "profiler_otlp"),
        )
    ),
    (
        {"backends": {"a": {"pool": "volume"}}},
        "cinder.backends.a.pool: expected one of fast, images, volumes, found 'volume'",
    ),
    (
        {"backends": {"a": {"pool": "fast", "client": "quick"}}},
        "cinder.backends.a.client: expected one of fast, images, volumes, found 'quick'",
    ),
    (
        {"backends": {"a": {"pool": "fast", "availabilty_zone": "x"}}},
        "cinder.backends.a.availabilty_zone: no such setting; did you mean 'availability_zone'?",
    ),
    (
        {"backends": {"a": {"pool": "fast", "extra_specs": {"volume_backend_name": "x"}}}},
        "cinder.backends.a.extra_specs.volume_backend_name: expected to be an extra spec's name",
    ),
    (
        {"backends": {"a": {"pool": "fast", "extra_specs": {"multiattach": True}}}},
        "cinder.backends.a.extra_specs.multiattach: expected to be a valid string, found True",
    ),
    (
        {"backends": {"a": {"pool": "fast", "extra_specs": {"x": "a\nb"}}}},
        "cinder.backends.a.extra_specs.x: expected to match pattern",
    ),
]


@pytest.mark.parametrize("cinder, said", FAULTS)
def test_a_fault_of_the_site_file_is_named_with_its_place(cinder, said):
    clients = {"volumes": {"rwx": ["volumes"]}, "fast": {"rwx": ["fast"]}, "images": {}}
    with pytest.raises(BadInput) as caught:
        site(pools=POOLS, clients=clients, cinder=cinder)
    assert f"site.toml: {said}" in str(caught.value)


CAPS = [
    # clients as typed, backends, {client: (rwx, rx)}
    (CLIENTS, BACKENDS, {"volumes": (["volumes"], ["images"]), "fast": (["fast"], ["images"])}),
    (
        {"volumes": {}, "images": {}},
        ONE_CLIENT,
        {"volumes": (["volumes", "fast"], ["images"]), "images": (["images"], [])},
    ),
    # What is typed wins.
    (
        {"volumes": {"rwx": ["volumes", "fast"]}, "images": {"rwx": ["images"], "rx": ["fast"]}},
        ONE_CLIENT,
        {"volumes": (["volumes", "fast"], []), "images": (["images"], ["fast"])},
    ),
    (
        {"volumes": {"rx": []}, "images": {}},
        ONE_CLIENT,
        {"volumes": (["volumes", "fast"], [])},
    ),
]


@pytest.mark.parametrize("clients, backends, expected", CAPS)
def test_a_client_may_what_its_services_do(clients, backends, expected):
    it = several(backends, clients)
    found = {name: (it.clients[name].rwx, it.clients[name].rx) for name in expected}
    assert found == expected


@pytest.mark.parametrize(
    "clients, said",
    [
        (
            {"volumes": {"rwx": ["volumes"]}, "images": {}},
            "clients.volumes.rwx: expected 'fast' too, into which cinder.backends.fast writes",
        ),
        (
            {"volumes": {}, "images": {}, "fast": {}},
            "clients.fast.rwx: expected the pools that it writes, found none: no service",
        ),
        ({"volumes": {"rwx": []}, "images": {}}, "clients.volumes.rwx: "),
    ],
)
def test_a_client_without_caps_is_named(clients, said):
    with pytest.raises(BadInput, match=said.replace("[", r"\[")):
        several(ONE_CLIENT, clients)


def test_nova_holds_a_secret_for_each_client_and_names_the_first():
    def novas(it):
        host = it.host("n1")
        return [(b.client, b.section, b.keyring, b.secret) for b in it.bindings_of(host)]

    assert novas(several()) == [
        ("volumes", "libvirt", False, True),
        ("fast", "", False, True),
    ]
    assert novas(shared()) == [("volumes", "libvirt", False, True)]
    pools, clients = {**POOLS, "vms": {}}, {**CLIENTS, "vms": {}}
    disks = {"nova": {"ephemeral": True}, "pools": pools, "clients": clients}
    assert novas(site(cinder={"backends": BACKENDS}, **disks)) == [
        ("volumes", "", False, True),
        ("fast", "", False, True),
        ("vms", "libvirt", True, True),
    ]
    own = {**disks, "nova": {"ephemeral": True, "client": "fast"}, "clients": CLIENTS}
    assert novas(site(cinder={"backends": BACKENDS}, **own)) == [
        ("volumes", "", False, True),
        ("fast", "libvirt", True, True),
    ]


# The plan


def edits_of(where, *active, of="cinder", table=ZED, known=None):
    seen = nothing(where)
    host = "n1" if of == "nova" else "ctl"
    seen[host][f"{of}.conf"] = conf(*active)
    uuids = known or {f"uuid.{name}": FSID for name in where.clients}
    changes = getattr(service_config, of).plan(where, Facts(seen, uuids, table))
    return {(s, k): v for change in changes for s, k, v in change.args.get("edits", ())}


def test_one_edit_has_every_backend_and_keeps_others():
    uuids = {"uuid.volumes": FSID, "uuid.fast": OTHER}
    found = edits_of(several(), ("DEFAULT", "enabled_backends", "nfs, lvm"), known=uuids)
    assert found["DEFAULT", "enabled_backends"] == "nfs,lvm,rbd,fast"
    for name, pool, client, uuid in (
        ("rbd", "volumes", "volumes", FSID),
        ("fast", "fast", "fast", OTHER),
    ):
        mine = {key: value for (s, key), value in found.items() if s == name}
        assert mine == {
            "volume_driver": "cinder.volume.drivers.rbd.RBDDriver",
            "volume_backend_name": name,
            "rbd_pool": pool,
            "rbd_user": client,
            "rbd_ceph_conf": "/etc/ceph/ceph.conf",
            "rbd_secret_uuid": uuid,
            "report_discard_supported": "true",
        }


def test_what_is_there_is_not_written_again():
    where = several()
    all_ = [(s, k, v) for (s, k), v in edits_of(where).items()]
    assert edits_of(where, *all_) == {}
    without = [line for line in all_ if line[0] != "fast"]
    assert {s for s, _ in edits_of(where, *without)} == {"fast"}


def test_backend_defaults_count_for_each():
    shared_ = ("backend_defaults", "report_discard_supported", "true")
    found = edits_of(several(), shared_)
    assert ("rbd", "report_discard_supported") not in found
    assert ("fast", "report_discard_supported") not in found


def test_what_is_asked_for_one_section_is_that_ones():
    options = {"cinder": {"fast": {"rbd_max_clone_depth": 9}}}
    found = edits_of(several(options=options))
    assert found["fast", "rbd_max_clone_depth"] == "9"
    assert ("rbd", "rbd_max_clone_depth") not in found


def test_the_validator_leaves_out_every_section_of_ours():
    (change,) = service_config.cinder.plan(
        several(), Facts(nothing(several()), {"uuid.volumes": FSID, "uuid.fast": OTHER}, ZED)
    )
    assert change.args["validate"]["exclude"] == ["fast", "rbd"]


def test_nova_conf_names_the_first_client():
    uuids = {"uuid.volumes": FSID, "uuid.fast": OTHER}
    found = edits_of(several(), of="nova", known=uuids)
    assert (found["libvirt", "rbd_user"], found["libvirt", "rbd_secret_uuid"]) == ("volumes", FSID)


@pytest.mark.parametrize("name, has", [("pike", True), ("zed", True), ("ocata", False)])
def test_a_zone_is_a_backends_own_since_pike(name, has):
    backends = {**ONE_CLIENT, "fast": {"pool": "fast", "availability_zone": "az2"}}
    where = several(backends, {"volumes": {}, "images": {}})
    if not has:
        with pytest.raises(BadInput, match=r"backends\.fast\.availability_zone: expected none bef"):
            edits_of(where, table=release(name))
        return
    found = edits_of(where, table=release(name))
    assert found["fast", "backend_availability_zone"] == "az2"
    assert ("rbd", "backend_availability_zone") not in found
    assert where.cinder.all[1].specs == {"RESKEY:availability_zones": "az2"}


OLD = [
    # release, service, the site, what is said
    ("grizzly", "cinder", shared, "expected one backend before Havana, found rbd, fast"),
    ("newton", "nova", several, "expected one client for all of them before Ocata, found volumes"),
    ("icehouse", "nova", several, "expected one client for all of them before Ocata"),
]


@pytest.mark.parametrize("name, of, where, said", OLD)
def test_what_an_old_release_cannot_do_is_refused(name, of, where, said):
    with pytest.raises(BadInput, match=said):
        edits_of(where(), of=of, table=release(name))


@pytest.mark.parametrize("name", sorted({"newton", "ocata", "zed"} & set(clouds.RELEASES)))
def test_one_client_for_all_backends_goes_everywhere_since_havana(name):
    assert edits_of(shared(), of="nova", table=release(name))


def test_the_default_type_is_written_where_it_is_asked_for():
    found = edits_of(several(cinder={"default_volume_type": "quick"}))
    assert found["DEFAULT", "default_volume_type"] == "quick"
    assert ("DEFAULT", "default_volume_type") not in edits_of(several())


def test_users_keyrings_and_secrets_are_each_clients_own():
    where = several()
    seen = nothing(where)
    known = secret_uuid.resolve(where, Facts(seen))
    assert known["uuid.volumes"] == FSID
    assert known["uuid.fast"] not in ("", FSID)
    now = Facts(seen, known, ZED)
    users = {c.subject: c.args["argv"] for c in auth.plan(where, now)}
    assert set(users) == {"volumes", "fast", "images"}
    assert "profile rbd pool=fast, profile rbd-read-only pool=images" in users["fast"]
    files = [c.subject for c in keyrings.plan(where, now) if c.host == "ctl"]
    assert sorted(files) == ["fast", "images", "volumes"]
    secrets = [(c.host, c.kind, c.subject) for c in libvirt_secret.plan(where, now)]
    assert secrets == [
        ("n1", kind, known[f"uuid.{client}"])
        for client in ("volumes", "fast")
        for kind in ("secret", "secret_value")
    ]


def test_one_client_has_one_user_one_keyring_one_secret():
    where = shared()
    seen = nothing(where)
    now = Facts(seen, secret_uuid.resolve(where, Facts(seen)), ZED)
    (user,) = [c for c in auth.plan(where, now) if c.subject == "volumes"]
    assert (
        "profile rbd pool=volumes, profile rbd pool=fast, profile rbd-read-only pool=images"
        in (user.args["argv"])
    )
    assert [c.subject for c in keyrings.plan(where, now)] == ["images", "volumes"]
    assert len(libvirt_secret.plan(where, now)) == 2


# Names and places


def test_each_backend_takes_the_place_of_its_own():
    backends = {
        "one": {"pool": "volumes", "replaces": "rbd"},
        "two": {"pool": "fast", "replaces": "old"},
        "three": {"pool": "volumes"},
    }
    where = several(backends, {"volumes": {}, "images": {}})
    lines = [*section(), *section("old", rbd_pool="fast", volume_backend_name="o")]
    seen = facts(
        controller(*lines, enabled="lvm,rbd,old"),
        [volume(PLACE), volume("ctl@old#o", number="2"), volume("ctl@lvm#lvm", number="3")],
        ["ctl@rbd", "ctl@old", "ctl@lvm"],
    )
    assert [(m.old, m.new) for m in volume_hosts.moves(where, seen)] == [
        (PLACE, "ctl@one#rbd"),
        ("ctl@old#o", "ctl@two#o"),
    ]
    taken = [c.subject for c in volume_hosts.plan(where, seen) if c.kind == "service_row"]
    assert taken == ["ctl@old", "ctl@rbd"]
    (change,) = service_config.cinder.plan(where, seen)
    found = {(s, k): v for s, k, v in change.args["edits"]}
    assert found["DEFAULT", "enabled_backends"] == "lvm,one,two,three"
    assert (found["one", "volume_backend_name"], found["two", "volume_backend_name"]) == (
        "rbd",
        "o",
    )


@pytest.mark.parametrize(
    "backends, said",
    [
        (
            {"one": {"pool": "fast", "replaces": "rbd"}},
            r"cinder\.backends\.one\.replaces: .*rbd_po",
        ),
        ({"rbd": {"pool": "fast"}}, r"another name in \[cinder\.backends\] than 'rbd'"),
    ],
)
def test_volumes_are_not_led_into_another_backends_pool(backends, said):
    where = several({"own": {"pool": "volumes"}, **backends}, {"volumes": {}, "images": {}})
    seen = facts(controller(*section()), [volume(PLACE)], ["ctl@rbd"])
    with pytest.raises((BadInput, Refused), match=said):
        service_config.cinder.plan(where, seen)


# Types


def types(there, backends=BACKENDS, clients=CLIENTS):
    """[(name, sign, what)] of the types that are made or bound."""
    where = several(backends, clients)
    seen = nothing(where)
    seen[CLOUD]["volume_types"] = there
    changes = service_config.volume_type.plan(where, Facts(seen, {}, ZED))
    return [(c.subject, c.sign, c.sentence, c.args) for c in changes]


BOUND = {"rbd": {"volume_backend_name": "rbd"}, "quick": {"volume_backend_name": "fast"}}
SPECS = {"rbd": {"pool": "volumes", "extra_specs": {"multiattach": "<is> True", "x": "1"}}}


def test_each_backend_has_a_type_of_its_own():
    assert [one[:3] for one in types({})] == [
        ("rbd", "+", "bind to backend rbd"),
        ("quick", "+", "bind to backend fast"),
    ]
    assert [one[:3] for one in types({"quick": {}, "rbd": BOUND["rbd"]})] == [
        ("quick", "~", "bind to backend fast")
    ]
    assert types(BOUND) == []
    with pytest.raises(BadInput, match=r"cinder\.backends\.fast\.volume_type: quick is bound to b"):
        types({**BOUND, "quick": {"volume_backend_name": "rbd"}})


@pytest.mark.parametrize(
    "there, expected",
    [
        (
            {},
            (
                "+",
                "bind to backend rbd, multiattach = <is> True, x = 1",
                {"multiattach": None, "x": None},
            ),
        ),
        (
            {"rbd": {"volume_backend_name": "rbd", "x": "1", "other": "y"}},
            ("~", "multiattach = <is> True", {"multiattach": None}),
        ),
        (
            {"rbd": {"volume_backend_name": "rbd", "x": "2", "multiattach": "<is> True"}},
            ("~", "x = 1", {"x": "2"}),
        ),
        ({"rbd": {"volume_backend_name": "rbd", "x": "1", "multiattach": "<is> True"}}, None),
    ],
)
def test_extra_specs_are_the_site_files_and_others_stay(there, expected):
    found = types(there, SPECS, {"volumes": {}, "images": {}})
    if expected is None:
        assert found == []
        return
    ((name, sign, sentence, args),) = found
    bound = {"volume_backend_name": None} if sign == "+" else {}
    assert (name, sign, sentence) == ("rbd", *expected[:2])
    assert args["was"] == {**bound, **expected[2]}
    assert args["specs"] == {key: SPECS["rbd"]["extra_specs"][key] for key in expected[2]}


class Types:
    """Cinder's API, as far as types go: {name: extra specs}.

    private: the names of those that it lists where that is asked for; encrypted: {name: what it
    answers of its encryption}.
    """

    def __init__(self, private=(), encrypted=None, **there):
        self.there, self.private, self.encrypted = there, private, encrypted or {}
        self.block_storage = self

    def types(self, is_public=None):
        return [
            Thing(name=name, extra_specs=specs, id=name, is_public=name not in self.private)
            for name, specs in self.there.items()
            if is_public == "None" or name not in self.private
        ]

    def get(self, path):
        body = self.encrypted.get(path.split("/")[2], {})
        code = 200 if isinstance(body, dict) else body
        said = {"json": lambda: body, "headers": {}, "url": path, "content": "", "reason": "no"}
        return Thing(status_code=code, **said)

    def create_type(self, name):
        assert name not in self.there, "409: it exists"
        self.there[name] = {}
        return Thing(name=name, extra_specs={})

    def update_type_extra_specs(self, kind, **specs):
        self.there[kind.name].update(specs)

    def delete_type_extra_specs(self, kind, keys):
        for key in keys:
            del self.there[kind.name][key]

    def delete_type(self, kind):
        del self.there[kind.name]


@pytest.mark.parametrize("private", [(), ("rbd",)], ids=["public", "private"])
@pytest.mark.parametrize(
    "there",
    [
        {},
        {"rbd": {}},
        {"rbd": {"volume_backend_name": "rbd", "x": "2", "other": "y"}},
        {"rbd": {"multiattach": "<is> False"}, "another": {"x": "1"}},
    ],
)
def test_a_type_is_made_as_planned_and_taken_back_as_it_was(there, private):
    there = copy.deepcopy(there)
    before = copy.deepcopy(there)
    where = several(SPECS, {"volumes": {}, "images": {}})

    def plan(resource, *cloud):
        seen = {**nothing(where), CLOUD: {"volume_types": volume_types.read(api)}}
        return resource.plan(where, Facts(seen, {}, ZED), *cloud)

    api = Types(private, **there)
    (change,) = plan(service_config.volume_type)
    assert change.sign == ("~" if "rbd" in there else "+")
    volume_types.VERBS[change.verb](api, **change.args)
    assert api.there["rbd"].items() >= {"volume_backend_name": "rbd", "x": "1"}.items()
    assert plan(service_config.volume_type) == []
    done = {"thing": change.thing, "sign": change.sign, "args": change.args}
    seen = {CLOUD: {"volume_types": volume_types.read(api)}, "n1": {"run": []}}
    (back,) = Undone("r1", [done]).plan(where, Facts(seen, {}, ZED))
    volume_types.VERBS[back.verb](api, **back.args)
    assert api.there == before


def test_of_types_is_told_what_nobody_here_would_make_again():
    encrypted = {"gold": {"encryption_id": "1", "cipher": "aes-xts-plain64"}, "old": 404}
    api = Types(("secret", "gold"), encrypted, rbd={}, secret={}, gold={}, old={})
    assert set(volume_types.read(api)) == {"rbd", "secret", "gold", "old"}
    assert volume_types.guarded(api) == {"secret": ["private"], "gold": ["private", "encrypted"]}
    with pytest.raises(Failed, match="what encrypts the volume types cannot be read"):
        volume_types.guarded(Types((), {"rbd": 403}, rbd={}))


def test_a_file_of_init_names_no_type_that_a_proof_has_left():
    left = {f"{leftovers.PREFIX}x": {"volume_backend_name": "rbd"}}
    api = Types(tuple(left), rbd={}, **left)
    api.get = lambda path: Thing(status_code=200, content="x", json=lambda: {"qos_specs": []})
    assert machines.typed(api) == {"volume_types": {"rbd": {}}, "qos_specs": {}}


def test_a_new_default_type_is_said_to_be_for_all():
    where = several(cinder={"default_volume_type": "quick"})
    seen = nothing(where)
    seen["ctl"]["cinder.conf"] = conf(("DEFAULT", "default_volume_type", "lvm"))
    now = Facts(seen, {"uuid.volumes": FSID, "uuid.fast": OTHER}, ZED)
    changes = service_config.cinder.plan(where, now)
    (note,) = service_config.cinder.notes(where, now, changes)
    assert "default_volume_type = quick (before: lvm)" in note and "cinder-api is restarted" in note
    assert (
        service_config.cinder.notes(several(), now, service_config.cinder.plan(several(), now))
        == []
    )


def test_releases_are_those_that_the_tables_name():
    assert {"ocata", "pike"} <= set(releases.names(clouds.site_file.releases()))


# What doctor says of them

FAST_KEY = "sha256:" + "c" * 64
UUIDS = {"uuid.volumes": FSID, "uuid.fast": OTHER}
ALL_BOUND = {**BOUND, "__DEFAULT__": {}}


def healthy(cloud):
    """The healthy cloud with the second backend too."""
    where = several()
    seen = auth.cluster.seen(where, Facts(cloud))
    users = []
    for name, client in auth.clients(where, seen, ZED).items():
        key = {"volumes": clouds.KEY, "images": clouds.IMAGES}.get(name, FAST_KEY)
        users.append(user(name, key, auth.wanted_caps(client, 16)))
    clouds.altered(cloud, "ceph01", "ceph.users", lambda d: d.update(auth_dump=users))
    clouds.altered(cloud, "ceph01", "ceph.pools", lambda d: d.append(clouds.pool("fast")))
    ctl = cloud["ctl"]
    ctl["keyring.fast"] = file(f"[client.fast]\n\tkey = {FAST_KEY}\n", "cinder", "0640")
    ctl |= {"keyrings.fast": {}, "keyfiles.fast": {}}
    lines = [(s, k, v) for (s, k), v in edits_of(where, known=UUIDS).items()]
    for service, has in (("cinder", lines), ("glance", None)):
        if has:
            ctl[f"{service}.conf"] = {**ctl[f"{service}.conf"], **conf(*has)}
    for name in ("n1", "n2"):
        cloud[name]["libvirt.secrets"] |= secret(OTHER, "client.fast secret", FAST_KEY)
    cloud[CLOUD] |= {
        "volume_types": ALL_BOUND,
        "volume_services": [
            {"host": f"ctl@{name}", "up": True, "enabled": True} for name in ("rbd", "fast")
        ],
    }


def said_of(change=lambda cloud: None):
    """The findings' codes, and what they are about."""

    def both(cloud):
        healthy(cloud)
        change(cloud)

    found = clouds.found(both, several(), known=UUIDS)
    return sorted({(one.code, one.thing) for one in found if one.code != "volume.default"})


def gone(service, *keys):
    def change(cloud):
        for key in keys:
            cloud[service].pop(key)
            cloud[service][key] = None

    return change


def down(cloud):
    """The second one's service, which has a volume."""
    cloud[CLOUD]["volume_services"][1].update(up=False)
    cloud[CLOUD]["volumes"].append(volume("ctl@fast#fast", number="7"))


def lost(cloud):
    """A volume of a name that no service has; it lies in the second one's pool."""
    cloud[CLOUD]["volumes"].append(volume("ctl@old#old", number="7"))
    cloud["ceph01"] |= {
        "images.volumes": clouds.said("volume-1\n"),
        "images.fast": clouds.said("volume-7\n"),
    }


def test_lost_volumes_are_given_to_the_backend_in_whose_pool_they_lie():
    def both(cloud):
        healthy(cloud)
        lost(cloud)

    found = clouds.found(both, several(), known=UUIDS)
    (one,) = [one for one in found if one.code == "cinder.orphans"]
    assert one.mend[0].command.argv[-2:] == ("--newhost", "ctl@fast#fast")


def test_two_healthy_backends_yield_nothing():
    assert said_of() == []


@pytest.mark.parametrize(
    "change, expected",
    [
        (gone("ctl", "keyring.fast"), ("keyring.missing", "/etc/ceph/ceph.client.fast.keyring")),
        (
            lambda cloud: cloud["n2"].update({"libvirt.secrets": secret(FSID)}),
            ("libvirt.missing", f"libvirt secret {OTHER}"),
        ),
        (
            lambda cloud: clouds.altered(
                cloud, "ceph01", "ceph.pools", lambda d: d.remove(clouds.pool("fast"))
            ),
            ("pool.missing", "pool fast"),
        ),
        (
            lambda cloud: clouds.altered(
                cloud, "ceph01", "ceph.users", lambda d: d["auth_dump"].pop(1)
            ),
            ("user.missing", "user client.fast"),
        ),
        (
            lambda cloud: cloud[CLOUD].update(volume_types={"rbd": BOUND["rbd"]}),
            ("volume.type", "volume type quick"),
        ),
        (down, ("cinder.down", "ctl@fast#fast")),
    ],
)
def test_what_is_wrong_with_the_second_one_is_said(change, expected):
    assert expected in said_of(change)


ONE_BACKEND = re.compile(
    r"(?<!options)\.cinder\.(?!all\b|of_section\b|default_(volume_type|section)\b|active_active\b|backup\b)\w+"
)


def test_nothing_but_the_site_file_knows_which_form_has_the_backends():
    """What asks for the one backend would be wrong where there are several."""
    model = site_file.PROJECT / "fabfile" / "model" / "site.py"
    found = [
        f"{path}: {match[0]}"
        for path in sorted((site_file.PROJECT / "fabfile").rglob("*.py"))
        if path != model
        for match in ONE_BACKEND.finditer(path.read_text())
    ]
    assert found == []
