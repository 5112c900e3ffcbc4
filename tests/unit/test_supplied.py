"""A cluster of another team's: what is handed over stands for its answers; what it is asked for."""

import shlex
import sys

import pytest

from fabfile.core.contract import CLOUD, BadInput, Facts, Host, Ref, Secret
from fabfile.doctor import checks, observation
from fabfile.flow import engine
from fabfile.flow import supplied as handed
from fabfile.model.phases import Phase
from fabfile.resources import by_cluster, chain, request, secret_uuid, supplied
from fabfile.resources.rollback import Undone

from . import clouds
from .states import FSID, HOSTS, OTHER, ZED, conf, file, secret, site
from .test_clusters import BACKENDS, KEYS, STORES, WEST, named, nothing, of, planned, two

CONF = f"[global]\nfsid = {FSID}\nmon_host = [v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0] 10.0.0.2\n"
KEY = "AQBsb2NrZWRsb2NrZWRsb2NrZWRsb2NrZWRsb2NrZQ=="
GIVEN = {
    "access": "supplied",
    "supplied_conf": "~/from-storage/ceph.conf",
    "supplied_keyring": "~/from-storage/ceph.client.{client}.keyring",
}
WITHOUT = {name: table for name, table in HOSTS.items() if name != "ceph01"}


def only(more=None, **fields):
    """A site whose only cluster is another team's."""
    return site(hosts=WITHOUT, clusters={"ceph": {**GIVEN, **(more or {})}}, **fields)


def answer(fsid=FSID, text=CONF):
    keys = {name: KEYS[fsid, name] for name in ("volumes", "images")}
    return supplied.answer("clusters.ceph.supplied_conf", text, keys, 19)


# What is handed over

MONITORS = [
    ("10.0.0.1", [["v2:10.0.0.1:3300/0", "v1:10.0.0.1:6789/0"]]),
    ("10.0.0.1:6789,10.0.0.2:3300", [["v1:10.0.0.1:6789/0"], ["v2:10.0.0.2:3300/0"]]),
    (
        "[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0],[v2:10.0.0.2:3300/0,v1:10.0.0.2:6789/0]",
        [
            ["v2:10.0.0.1:3300/0", "v1:10.0.0.1:6789/0"],
            ["v2:10.0.0.2:3300/0", "v1:10.0.0.2:6789/0"],
        ],
    ),
    ("[v2:10.0.0.1:3300/0]; v1:10.0.0.2:6790", [["v2:10.0.0.1:3300/0"], ["v1:10.0.0.2:6790/0"]]),
    ("[fd00::1]:6789", [["v1:[fd00::1]:6789/0"]]),
    ("[v2:[fd00::1]:3300/0,v1:[fd00::1]:6789/0]", [["v2:[fd00::1]:3300/0", "v1:[fd00::1]:6789/0"]]),
    ("mon1.example.org", []),
    ("10.0.0.1 mon2", []),
    ("10.0.0.1; rm -rf /", []),
    ("", []),
]


@pytest.mark.parametrize("text, expected", MONITORS)
def test_monitors_are_read_as_librados_has_them(text, expected):
    found = [
        [f"{one['type']}:{one['addr']}" for one in mon["public_addrs"]["addrvec"]]
        for mon in supplied.monitors(text)
    ]
    assert found == expected


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "expected fsid = the cluster's UUID"),
        ("[global]\nfsid = x\n", "expected fsid = the cluster's UUID"),
        (f"[global]\nfsid = {FSID}\n", "expected mon_host = the monitors' IP addresses"),
        (f"[global]\nfsid = {FSID}\nmon_host = mon1\n", "ceph config generate-minimal-conf"),
        (f"{CONF}[client.volumes]\nkey = {KEY}\n", r"\[client\.volumes\] key: expected no key"),
    ],
)
def test_what_is_no_ceph_conf_of_clients_is_refused(text, said):
    with pytest.raises(BadInput, match=said) as caught:
        answer(text=text)
    assert KEY not in str(caught.value)


def folder(tmp_path, keyring=f"[client.{{}}]\n\tkey = {KEY}\n"):
    """What the other team sent, in a folder of the operator's."""
    (tmp_path / "ceph.conf").write_text(CONF)
    for client in ("volumes", "images"):
        path = tmp_path / f"{client}.keyring"
        path.write_text(keyring.format(client))
        path.chmod(0o600)
    return {
        "supplied_conf": str(tmp_path / "ceph.conf"),
        "supplied_keyring": str(tmp_path / "{client}.keyring"),
    }


@pytest.mark.parametrize("form", [f"[client.{{}}]\n\tkey = {KEY}\n", f"{KEY}\n"])
def test_files_are_read_and_keys_stay_secrets(tmp_path, form):
    found = handed.read(only(folder(tmp_path, form)))
    assert found.keys == {f"key:client.{name}": Secret(KEY) for name in ("volumes", "images")}
    told = found.answers["ctl"][supplied.READ]
    assert told["keys"] == dict.fromkeys(("volumes", "images"), Secret(KEY).fingerprint)
    assert KEY not in repr(found) and told["release"] == 19


def test_a_command_prints_them(tmp_path):
    prints = "import sys; print(open(sys.argv[1]).read())"
    given = folder(tmp_path)
    command = {name: [sys.executable, "-c", prints, path] for name, path in given.items()}
    assert handed.read(only(command)).keys == handed.read(only(given)).keys


def test_commands_are_known_before_they_run():
    """A plan's site file is somebody else's: what it would run is shown first."""
    it = only({"supplied_keyring": ["vault", "get", "ceph/{client}"]})
    assert handed.commands(it) == [("clusters.ceph.supplied_keyring", "vault get 'ceph/{client}'")]
    assert handed.commands(only()) == handed.commands(site()) == []


def spoilt(name, text=None, mode=0o600):
    def change(path):
        file_ = path / name
        if text is None:
            file_.unlink()
        else:
            file_.write_text(text)
            file_.chmod(mode)

    return change


@pytest.mark.parametrize(
    "change, said",
    [
        (spoilt("images.keyring"), "clusters.ceph.supplied_keyring: .*No such file"),
        (
            spoilt("images.keyring", "[client.other]\n\tkey = AQ==\n"),
            r"expected a keyring with \[cl",
        ),
        (spoilt("images.keyring", KEY, 0o644), "images.keyring"),
        (spoilt("ceph.conf"), "clusters.ceph.supplied_conf: .*No such file"),
        (spoilt("ceph.conf", "\u00e9" * 3), "expected text of ASCII"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, change, said):
    given = folder(tmp_path)
    change(tmp_path)
    with pytest.raises(BadInput, match=said) as caught:
        handed.read(only(given))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "argv, said",
    [
        (["/nonexistent/x"], "No such file"),
        (["false"], "printed nothing"),
        (["true"], "printed noth"),
    ],
)
def test_a_command_that_prints_nothing_is_named(tmp_path, argv, said):
    with pytest.raises(BadInput, match=f"supplied_keyring: {argv[0]}.*{said}"):
        handed.read(only({**folder(tmp_path), "supplied_keyring": argv}))


def test_keys_are_put_in_and_no_host_is_asked_for_them():
    class Fleet:
        def __init__(self):
            self.given = []

        def work(self, works, heard):
            self.given.append(works)
            return {}

    it, fleet = only(), Fleet()
    keys = {"key:client.volumes": Secret(KEY)}
    local = engine.Local(fleet, [part.cluster for part in it.parts], lambda: keys)
    steps = [{"id": 1, "args": {"stdin": [Ref("key:client.volumes")]}}]
    local.apply({"n1": {"site": "x", "number": 7, "who": "me", "steps": steps}}, None)
    (works,) = fleet.given
    assert works["n1"]["steps"][0]["args"]["stdin"] == [Secret(KEY)]


# The plan


def hosts(integrated=False):
    """What hosts answer that use the other team's cluster alone."""
    plain = {
        host: {name: value for name, value in seen.items() if not name.startswith("west/")}
        for host, seen in nothing().items()
        if host not in ("ceph01", "west01")
    }
    plain["ctl"][supplied.READ] = answer()
    if integrated:
        for change in planned(only(cloud="c"), hosts()):
            seen = plain.get(change.host, {})
            if change.kind == "ceph_conf":
                seen["ceph.conf"] = file("".join(change.args["content"]))
            if change.kind in ("options", "recommended"):
                seen[f"{change.subject}.conf"] |= conf(*change.args["edits"])
        for client, owner in (("volumes", "cinder"), ("images", "glance")):
            text = f"[client.{client}]\n\tkey = {KEYS[FSID, client]}\n"
            plain["ctl"][f"keyring.{client}"] = file(text, owner, "0640")
        for host in ("n1", "n2"):
            plain[host][secret_uuid.SECRETS] = secret(FSID, value=KEYS[FSID, "volumes"])
        plain[CLOUD]["volume_types"] = {"rbd": {"volume_backend_name": "rbd"}}
    return plain


def test_all_but_the_clusters_own_is_planned():
    changes = planned(only(cloud="c"), hosts())
    assert {c.kind for c in changes} == {
        *("ceph_conf", "keyring", "secret", "secret_value", "options", "restart", "volume_type"),
    } | {c.kind for c in changes if c.kind == "recommended"}
    assert all(c.wave != Phase.CLUSTER for c in changes)
    (conf_,) = [c for c in of(changes, "ceph_conf") if c.host == "n1"]
    assert "".join(conf_.args["content"]) == CONF
    assert {c.args["content"][1].name for c in of(changes, "keyring")} == {
        "key:client.images",
        "key:client.volumes",
    }
    assert [c.subject for c in of(changes, "secret")] == [FSID, FSID]


def test_nothing_is_planned_for_what_is_there():
    assert planned(only(cloud="c"), hosts(True)) == []


def test_another_key_that_is_handed_over_goes_everywhere():
    seen = hosts(True)
    seen["ctl"][supplied.READ]["keys"]["volumes"] = "sha256:" + "9" * 64
    found = {(c.host, c.kind) for c in planned(only(cloud="c"), seen) if c.kind != "restart"}
    assert found == {("ctl", "keyring"), ("n1", "secret_value"), ("n2", "secret_value")}


def test_monitors_that_moved_are_brought_everywhere():
    seen = hosts(True)
    seen["ctl"][supplied.READ] = answer(text=CONF.replace("10.0.0.2", "10.0.0.9"))
    found = {(c.host, c.kind) for c in planned(only(cloud="c"), seen) if c.kind != "restart"}
    assert found == {(host, "ceph_conf") for host in ("ctl", "n1", "n2")}


@pytest.mark.parametrize("where", [only(), only(cloud="c", fsid=FSID)])
def test_nothing_is_asked_as_an_admin(where):
    stages = [*chain.RESOURCES, *chain.BESIDES, observation.RESOURCE, Undone("r").resource]
    asked = [
        read
        for host in (*where.all_hosts(), Host(CLOUD, ()))
        for stage in stages
        for read in stage.reads(where, host)
    ]
    assert asked and not [r for r in asked if r.args.get("argv", [""])[0] in ("ceph", "rbd")]


def test_the_fsid_is_pinned_by_what_was_handed_over():
    with pytest.raises(BadInput, match=f"expected the cluster {OTHER}"):
        planned(only(cloud="c", fsid=OTHER), hosts())


def test_it_may_stand_beside_a_cluster_of_ones_own():
    west = {**WEST, **GIVEN}
    own = {name: table for name, table in two().hosts.items() if name != "west01"}
    tables = {name: table.model_dump(exclude_none=True) for name, table in own.items()}
    where = site(
        cloud="c",
        hosts=tables,
        cinder={"backends": BACKENDS},
        glance={"stores": STORES},
        clusters={"west": west},
    )
    seen = nothing()
    del seen["west01"]
    seen["ctl"] |= named("west", {supplied.READ: answer(OTHER, CONF.replace(FSID, OTHER))})
    changes = planned(where, seen)
    assert {c.host for c in of(changes, "user")} == {"ceph01"}
    keyrings = [c.args["path"] for c in of(changes, "keyring")]
    assert "/etc/ceph/west.client.volumes.keyring" in keyrings and len(keyrings) == 4
    secrets = [c.subject for c in of(changes, "secret") if c.host == "n1"]
    assert secrets == [FSID, OTHER]
    (west_conf,) = [c for c in of(changes, "ceph_conf") if c.thing.endswith("west.conf")][:1]
    assert "keyring = /etc/ceph/west.client.volumes.keyring" in "".join(west_conf.args["content"])


def test_doctor_finds_nothing_where_all_is_there():
    seen, base = hosts(True), clouds.hosts()
    for host in ("ctl", "n1", "n2"):
        seen[host] = {**base[host], **seen[host]}
        seen[host] |= {name: base[host][name] for name in ("host", "packages")}
        seen[host].pop("domains", None)
    seen[CLOUD] |= {
        "volume_types": {"rbd": {"volume_backend_name": "rbd"}, "__DEFAULT__": {}},
        "volume_services": [{"host": "ctl@rbd", "up": True, "enabled": True}],
        "attachments": [],
    }
    facts = Facts(seen, {"uuid.volumes": FSID}, ZED)
    given = {"here": {}, "releases": clouds.RELEASES, "release": "zed", "hazards": ()}
    looked = observation.Looked(facts, **given)
    found, _ = checks.findings(only(cloud="c"), looked)
    assert {one.code for one in found} - {"volume.default"} == {"cluster.supplied"}
    seen["ctl"]["as.images.images"] = clouds.said(code=2) | {"err": "x\nrbd: error opening pool\n"}
    found, _ = checks.findings(only(cloud="c"), looked)
    assert [(one.thing, one.found) for one in found if one.code == "client.pool"] == [
        ("pool images as client.images", "rbd: error opening pool")
    ]


def test_each_client_is_asked_with_its_own_keyring():
    where = only(cloud="c")
    asked = {r.id: r.args.get("argv") for r in observation.reads(where, where.host("ctl"))}
    assert asked["as.volumes.volumes"][2:] == [
        *["rbd", "--cluster", "ceph", "-c", "/etc/ceph/ceph.conf"],
        *["--id", "volumes", "ls", "-p", "volumes"],
    ]
    assert "as.images.images" in asked


# The site file


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: only({"supplied_conf": None}), "supplied_conf: expected to be|supplied_conf"),
        (
            lambda: site(clusters={"ceph": {"supplied_conf": "x"}}),
            'expected access = "supplied" bes',
        ),
        (lambda: only({"supplied_keyring": "/k/one"}), "supplied_keyring: expected {client} in it"),
        (lambda: only({"release": "zed2"}), "release: expected a release of Ceph's, found 'zed2'"),
        (lambda: only({"id": "admin"}), "id: expected none: no host of a supplied cluster"),
        (
            lambda: site(clusters={"ceph": GIVEN}),
            r"hosts\.ceph01: expected no host of the cluster ceph: it is supplied",
        ),
    ],
)
def test_a_fault_of_the_site_file_is_named(make, said):
    with pytest.raises(BadInput, match=said):
        make()


def test_it_is_asked_by_a_host_that_uses_it_as_a_client():
    where = only()
    assert where.admin.name == "ctl"
    begun = where.parts[0].cluster.rbd("ls")
    assert begun[0] == "rbd" and begun[1] == "--id" and begun[2] in where.clients
    assert by_cluster.reads(where, where.admin, lambda part, host: []) == []


# The page


PAGE_SITE = {
    "pools": {"volumes": {"size": 3, "device_class": "ssd"}, "images": {"pg_num": 64}},
    "cloud": "c",
}


def test_the_page_has_what_integrate_would_make_with_its_reasons():
    part = only(**PAGE_SITE).parts[0]
    lines = request.page(part, ZED)
    said = "\n".join(lines)
    commands = [shlex.split(line) for line in lines if line and not line.startswith("#")]
    assert {words[0] for words in commands} == {"ceph", "rbd"}
    assert ["ceph", "osd", "pool", "create", "volumes"] in commands
    assert ["rbd", "pool", "init", "images"] in commands
    assert ["ceph", "osd", "set-require-min-compat-client", "mimic"] in commands
    users = {words[3]: words[4:] for words in commands if words[1:3] == ["auth", "add"]}
    assert set(users) == {"client.volumes", "client.images"}
    assert "profile rbd pool=volumes, profile rbd-read-only pool=images" in users["client.volumes"]
    assert ["ceph", "auth", "get", "client.images"] in commands
    assert "# client.volumes: cinder-volume keeps its images in pool volumes" in said
    assert "--id" not in said and "--connect-timeout" not in said


def test_the_page_says_the_words_of_the_clusters_release():
    part = only({"release": "mimic"}, **PAGE_SITE).parts[0]
    with pytest.raises(BadInput, match="pg_num"):
        request.page(part, ZED)  # a pool wants a number before Octopus
    pools = {"volumes": {"pg_num": 64}, "images": {"pg_num": 64}}
    part = only({"release": "mimic"}, pools=pools).parts[0]
    users = [line for line in request.page(part, ZED) if "auth add" in line]
    assert users and not any("mgr" in line for line in users)


def test_clones_that_are_not_wanted_are_not_asked_for():
    part = only(clone_v2=False).parts[0]
    assert not any("min-compat" in line for line in request.page(part, ZED))
