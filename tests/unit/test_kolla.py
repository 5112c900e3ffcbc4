"""Hosts of Kolla's containers: what is copied into them, libvirt's secrets, and the engines.

The files and answers are those of a compute of the lab (podman 4.3, Kolla 17.9), or what the
templates of kolla-ansible 15.6 and 22.2 make.
"""

import json

import pytest

from fabfile.core.contract import BadInput, Facts, Failed, Ref, Refused
from fabfile.core.remote import configuration, packages, processes, units
from fabfile.core.remote import containers as engine
from fabfile.model.site import Gone
from fabfile.resources import chain, client_packages, containers, libvirt_secret, secret_files

from .states import (
    BACKED_UP,
    EPHEMERAL,
    FSID,
    HOSTS,
    KEY,
    PLATFORMS,
    VIRSH_READS_FILES,
    cluster,
    file,
    secret,
    site,
    user,
)

KOLLA = next(table for table in PLATFORMS if table["name"] == "kolla")
MIXED = {**HOSTS, "n1": {"roles": ["compute"], "platform": "kolla"}}
SOURCES = "/var/lib/kolla/config_files"


def entry(source, dest, owner="nova", **more):
    return {"source": f"{SOURCES}/{source}", "dest": dest, "owner": owner, "perm": "0600", **more}


NOVA = entry("nova.conf", "/etc/nova/nova.conf")
LIBVIRTD = entry("libvirtd.conf", "/etc/libvirt/libvirtd.conf", "root")
CONF = entry("ceph.conf", "/etc/ceph/ceph.conf", optional=True)
SECRETS = entry("secrets", "/etc/libvirt/secrets", "root", optional=True, merge=True)
KEYRING = "ceph.client.vms.keyring"


def config(*files, command="nova-compute"):
    return json.dumps({"command": command, "config_files": list(files)}, indent=4) + "\n"


def container(folder, **more):
    found = {"running": True, "strategy": "COPY_ALWAYS", "folder": f"/etc/kolla/{folder}"}
    return {**found, "engine": "podman", **more}


RIGHT = {
    "containers": {
        "nova_compute": container("nova-compute"),
        "nova_libvirt": container("nova-libvirt"),
    },
    "copies.nova_compute": file(config(NOVA, CONF), mode="0660"),
    "copies.nova_libvirt": file(config(LIBVIRTD, SECRETS), mode="0660"),
    "client.nova_compute": {"code": 0, "out": "", "err": ""},
    "client.nova_libvirt": {"code": 0, "out": "", "err": ""},
}


def copies(seen=None, **more):
    facts = Facts({"n1": {**RIGHT, **(seen or {})}})
    return containers.plan(site(hosts=MIXED, **more), facts)


def test_what_is_copied_already_is_left_alone():
    assert copies() == []


COPIED = [
    ("zed without Ceph", (NOVA,), [CONF]),
    ("zed with Nova's disks on RBD", (NOVA, entry("ceph.conf", "/etc/ceph/ceph.conf")), []),
    ("a pattern into a folder", (NOVA, entry("ceph.*", "/etc/ceph/")), []),
    ("a whole folder", (NOVA, {"source": SOURCES, "dest": "/etc/ceph"}), []),
    ("into another place", (NOVA, entry("ceph.conf", "/etc/other/ceph.conf")), [CONF]),
    ("another cluster's", (NOVA, entry("west.conf", "/etc/ceph/west.conf")), [CONF]),
    ("a file whose name begins alike", (NOVA, entry("ceph", "/etc/ceph")), [CONF]),
]


@pytest.mark.parametrize("said, there, new", COPIED, ids=[row[0] for row in COPIED])
def test_what_is_missing_is_written_behind_what_is_there(said, there, new):
    before = file(config(*there), mode="0660")
    changes = copies({"copies.nova_compute": before})
    assert len(changes) == bool(new)
    for change in changes:
        assert (change.verb, change.kind) == ("write", "copies")
        assert change.restarts == ("kolla-nova_compute-container",)
        lines = before["text"].splitlines(keepends=True)
        text = "".join(
            "".join(lines[slice(*part["lines"])]) if isinstance(part, dict) else part
            for part in change.args["content"]
        )
        assert json.loads(text)["config_files"] == [*there, *new]
        assert (change.args["mode"], change.args["before"]) == ("0660", before["sha256"])


def test_libvirt_is_not_restarted_for_its_secrets():
    (change,) = copies({"copies.nova_libvirt": file(config(LIBVIRTD))})
    assert change.thing == "/etc/kolla/nova-libvirt/config.json" and change.restarts == ()
    assert any('"merge": true' in line for line in change.diff)


def test_a_keyring_is_copied_where_nova_has_disks_of_its_own():
    (change,) = copies(**EPHEMERAL)
    client = site(**EPHEMERAL).nova.client
    assert f"ceph.client.{client}.keyring" in "".join(change.diff)


ABSENT = {"code": 1, "out": "", "err": "ModuleNotFoundError: No module named 'rbd'"}
REFUSED = [
    ({"containers": {**RIGHT["containers"], "nova_libvirt": None}}, {}, "a container of that name"),
    (
        {"containers": {**RIGHT["containers"], "nova_compute": container("elsewhere")}},
        {},
        "/etc/kolla/nova-compute mounted at",
    ),
    (
        {
            "containers": {
                **RIGHT["containers"],
                "nova_compute": container("nova-compute", strategy="COPY_ONCE"),
            }
        },
        {},
        "KOLLA_CONFIG_STRATEGY=COPY_ALWAYS, found COPY_ONCE",
    ),
    ({"client.nova_libvirt": ABSENT}, {}, "nova_libvirt: expected the Ceph client in its image"),
    ({"client.nova_compute": ABSENT}, EPHEMERAL, "nova_compute: expected the Ceph client"),
]


@pytest.mark.parametrize("seen, more, said", REFUSED, ids=[row[2] for row in REFUSED])
def test_what_a_container_cannot_be_given_is_refused(seen, more, said):
    with pytest.raises(Refused, match=said):
        copies(seen, **more)


def test_novas_image_needs_no_client_where_it_opens_no_pool():
    assert copies({"client.nova_compute": ABSENT}) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"config_files": 1}', '{"config_files": [{"source": 1, "dest": "/"}]}']
)
def test_what_is_no_config_json_is_refused(text):
    with pytest.raises(Failed, match="expected what the container is to copy"):
        copies({"copies.nova_compute": file(text)})


# A controller's: each has a folder of Ceph's files of its own

CONTROL = {**HOSTS, "ctl": {"roles": ["glance", "cinder"], "platform": "kolla"}}
NAMES = ("glance_api", "cinder_volume", "cinder_backup")
FOLDERS = {name: name.replace("_", "-") for name in NAMES}
NOTHING = file(config(entry("x.conf", "/etc/x.conf")), mode="0660")
CONTROLLER = {
    "containers": {name: container(folder) for name, folder in FOLDERS.items()},
    **{f"copies.{name}": NOTHING for name in NAMES},
    **{f"client.{name}": {"code": 0, "out": "", "err": ""} for name in NAMES},
}


def control(**seen):
    more = {**BACKED_UP, "cinder": {"backup": {}}, "hosts": CONTROL}
    return containers.plan(site(**more), Facts({"ctl": {**CONTROLLER, **seen}}))


def added(change):
    """What is written behind the one entry that is there."""
    text = "".join(
        "".join(NOTHING["text"].splitlines(keepends=True)[slice(*part["lines"])])
        if isinstance(part, dict)
        else part
        for part in change.args["content"]
    )
    return json.loads(text)["config_files"][1:]


def of_ceph(owner, *clients):
    names = ["ceph.conf", *(f"ceph.client.{client}.keyring" for client in clients)]
    return [entry(f"ceph/{name}", f"/etc/ceph/{name}", owner, optional=True) for name in names]


def test_each_container_of_a_controller_copies_what_is_its_own():
    found = {one.thing.split("/")[3]: (added(one), one.restarts) for one in control()}
    assert found == {
        FOLDERS[name]: (of_ceph(owner, *clients), (f"kolla-{name}-container",))
        for name, owner, clients in (
            ("glance_api", "glance", ["images"]),
            ("cinder_volume", "cinder", ["volumes"]),
            ("cinder_backup", "cinder", ["backups", "volumes"]),
        )
    }


WHOLE = entry("ceph", "/etc/ceph", "cinder")
FLAT = entry("ceph.conf", "/etc/ceph/ceph.conf", "cinder", optional=True)


def test_the_folder_of_2023_2_is_one_entry():
    whole = {f"copies.{name}": file(config(NOVA, WHOLE)) for name in NAMES}
    assert control(**whole) == []


def test_the_files_of_2023_1_are_refused_until_the_site_file_says_where():
    seen = {"copies.cinder_volume": file(config(NOVA, FLAT))}
    with pytest.raises(Refused, match=r"found .*/ceph.conf: .*platform_changes.kolla.ceph_folders"):
        control(**seen)
    flat = {"kolla": {"ceph_folders": {"cinder-volume": "/etc/kolla/cinder-volume"}}}
    it = site(hosts=CONTROL, platform_changes=flat)
    changes = containers.plan(it, Facts({"ctl": {**CONTROLLER, **seen}}))
    (volume,) = (one for one in changes if "cinder-volume" in one.thing)
    assert "ceph.client.volumes.keyring" in "".join(volume.diff)
    assert "ceph.conf" not in "".join(volume.diff)


def test_the_entries_of_a_client_that_goes_are_taken_out():
    """Of those that are there, ours; one of Kolla's own form stays, and the rest in its order."""
    two = {"backends": {"rbd": {"pool": "volumes"}, "new": {"pool": "volumes", "client": "more"}}}
    clients = {"volumes": {}, "images": {}, "more": {}}
    it = site(hosts=CONTROL, cinder=two, clients=clients)
    rest = it.without(Gone(backends=frozenset(["new"]), clients=frozenset([("ceph", "more")])))
    ours = of_ceph("cinder", "volumes", "more")
    theirs = {name: value for name, value in ours[2].items() if name != "optional"}
    before = file(config(NOVA, *ours, theirs), mode="0660")
    seen = {**CONTROLLER, "copies.cinder_volume": before}
    (change,) = containers.leaving(it, rest, Facts({"ctl": seen}))
    assert change.thing == "/etc/kolla/cinder-volume/config.json" and change.restarts == ()
    assert [line[0] for line in change.diff].count("+") == 0
    assert "".join(change.diff).count("ceph.client.more.keyring") == 2  # source and dest, once
    assert containers.leaving(it, it, Facts({"ctl": seen})) == []
    assert containers.leaving(it, rest, Facts({})) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_controllers_image_without_the_client_is_refused(name):
    with pytest.raises(Refused, match=f"{name}: expected the Ceph client in its image"):
        control(**{f"client.{name}": ABSENT})


# Which hosts


@pytest.mark.parametrize(
    "hosts, there, said",
    [
        (HOSTS, True, 'platform = "kolla" for n1'),
        (MIXED, False, "expected the files of a host of the platform kolla, found no such folder"),
    ],
)
def test_a_host_of_the_other_kind_is_refused(hosts, there, said):
    machine = {"os": "debian", "like": [], "name": "Debian 12"}
    seen = {"host": machine, "kolla": {"/etc/kolla": there}, "packages": {}}
    with pytest.raises(BadInput, match=said):
        client_packages.plan(site(hosts=hosts), Facts({"n1": seen}))


@pytest.mark.parametrize("system", ["debian", "ubuntu", "rocky"])
def test_nothing_is_installed_on_a_host_of_containers(system):
    machine = {"os": system, "like": [], "name": system}
    seen = {"host": machine, "kolla": {"/etc/kolla": True}, "packages": {}}
    assert client_packages.plan(site(hosts=MIXED), Facts({"n1": seen})) == []


def test_no_source_of_packages_is_asked_of_a_host_of_containers():
    source = "deb [signed-by=/etc/apt/keyrings/x.asc] https://mirror/ceph bookworm main"
    mixed = site(hosts=MIXED, packages={"source": source, "key": "release.asc"})
    asked = {
        name: {read.id for read in client_packages.reads(mixed, mixed.host(name))}
        for name in ("n1", "n2")
    }
    assert asked["n1"] == {"host", "packages", "kolla"} < asked["n2"]


def test_options_name_what_the_container_has():
    mixed = site(hosts=MIXED)
    (binding,) = mixed.bindings_of(mixed.host("n1"))
    assert binding.conf == "/etc/kolla/nova-compute/ceph.conf"
    assert binding.named_conf == "/etc/ceph/ceph.conf"
    assert binding.platform.outside("/etc/ceph/x") == "/etc/kolla/nova-compute/x"
    assert binding.platform.outside("/etc/cephx") == "/etc/cephx"


def test_the_note_names_hosts_of_containers_that_change():
    changes = copies({"copies.nova_compute": file(config(NOVA))})
    (note,) = containers.notes(site(hosts=MIXED), Facts({}), changes)
    assert note.startswith("n1: kolla-ansible reconfigure")
    assert containers.notes(site(hosts=MIXED), Facts({}), []) == []
    assert containers.TOLD in chain.RESOURCES


# libvirt's secrets

FOLDER = "/etc/kolla/nova-libvirt/secrets"
XML = f"<secret><uuid>{FSID}</uuid></secret>"
DIGEST = "c" * 64


def values(value=KEY, xml=XML):
    lines = [f"{FOLDER}/{FSID}.xml:{xml}"] * bool(xml)
    lines += [f"{FOLDER}/{FSID}.base64:{value}"] * bool(value)
    names = [".xml"] * bool(xml) + [".base64"] * bool(value)
    return {
        "libvirt.folder": {"kind": "directory"},
        secret_files.VALUES: {"code": 0, "out": "\n".join(lines), "err": ""},
        secret_files.DIGESTS: {
            "code": 0,
            "out": "".join(f"{DIGEST}  {FOLDER}/{FSID}{name}\n" for name in names),
            "err": "",
        },
    }


NONE = {**values("", ""), "libvirt.folder": None}
STALE = "sha256:" + "d" * 64
PLANNED = [
    ("all there", secret(FSID), values(), KEY, []),
    ("nothing", {}, NONE, None, ["define", "set", "folder", ".xml", ".base64"]),
    ("defined live alone", secret(FSID), NONE, KEY, ["folder", ".xml", ".base64"]),
    ("files alone", {}, values(), KEY, ["define", "set"]),
    ("an old value in the file", secret(FSID), values(STALE), KEY, [".base64"]),
    ("a key that is made in the run", secret(FSID), values(), None, ["set", ".base64"]),
    ("no definition", secret(FSID), values(xml=""), KEY, [".xml"]),
]


@pytest.mark.parametrize("said, live, files, key, expected", PLANNED, ids=[p[0] for p in PLANNED])
def test_a_secret_is_defined_live_and_in_files(said, live, files, key, expected):
    seen = {"libvirt.secrets": live, libvirt_secret.OPTIONS: VIRSH_READS_FILES, **files}
    users = (user("volumes", key=key),) if key else ()
    facts = Facts({"ceph01": cluster(users=users), "n1": seen}, {"uuid.volumes": FSID})
    changes = libvirt_secret.plan(site(hosts=MIXED), facts)
    words = {"secret": "define", "secret_value": "set"}
    ends = {f"{FOLDER}/{FSID}{end}": end for end in (".xml", ".base64")}
    done = [words.get(one.kind) or ends.get(one.subject, one.verb) for one in changes]
    assert done == expected
    for change in changes:
        if change.kind == "secret_file" and change.verb == "write":
            assert change.args["mode"] == "0600"
            known = change.subject in files[secret_files.DIGESTS]["out"]
            assert change.args["before"] == (DIGEST if known else None)
        if change.subject.endswith(".base64"):
            assert change.args["content"] == [Ref("key:client.volumes")]
        if change.kind == "secret":
            assert change.args["argv"][:3] == ["nova_libvirt", "virsh", "-q"]


def test_packages_have_no_such_files():
    assert secret_files.reads(site(), site().host("n1")) == []


# On the host

INSPECTED = {
    "State": {"Status": "running", "Running": True, "Pid": 353, "ExitCode": 0},
    "RestartCount": 0,
    "Config": {"Env": ["PATH=/usr/bin", "KOLLA_CONFIG_STRATEGY=COPY_ALWAYS", "CEPH_ARGS=--id x"]},
    "Mounts": [
        {"Source": "/run", "Destination": "/run"},
        {"Source": "/etc/kolla/nova-compute", "Destination": f"{SOURCES}/"},
    ],
}
ENGINE = """#!/bin/sh
echo "$0 $@" >> {folder}/said
case "$*" in
    "container inspect nova_compute") cat {folder}/inspected;;
    "container inspect"*) echo "Error: no such container $3" >&2; exit 125;;
    "logs"*) echo last words;;
esac
"""
SYSTEMCTL = """#!/bin/sh
echo "$0 $@" >> {folder}/said
case "$*" in
    *kolla-nova_libvirt*) printf 'Id=x\\nLoadState=loaded\\nActiveState=active\\n';;
    show*) printf 'Id=x\\nLoadState=not-found\\nActiveState=inactive\\n';;
esac
"""


@pytest.fixture(params=["docker", "podman"])
def host(request, tmp_path, monkeypatch):
    """A host with that engine, one container without a unit, and one with it."""
    monkeypatch.setitem(processes.ENVIRONMENT, "PATH", f"{tmp_path}:/usr/bin:/bin")
    inspected(tmp_path)
    for name, text in ((request.param, ENGINE), ("systemctl", SYSTEMCTL)):
        path = tmp_path / name
        path.write_text(text.format(folder=tmp_path))
        path.chmod(0o755)
    return tmp_path


def inspected(folder, **more):
    mounts = [dict(one) for one in INSPECTED["Mounts"]]
    mounts[1]["Source"] = str(folder)
    (folder / "inspected").write_text(json.dumps([{**INSPECTED, "Mounts": mounts, **more}]))


def test_what_a_container_is(host):
    found = engine.look(["nova_compute", "nova_libvirt"])
    assert found["nova_libvirt"] is None
    assert found["nova_compute"]["strategy"] == "COPY_ALWAYS"
    assert found["nova_compute"]["folder"] == str(host)


NAME = "kolla-nova_compute-container"
STATES = [
    ({"Status": "running", "Running": True, "Pid": 353, "ExitCode": 0}, "active", "353"),
    ({"Status": "restarting", "Running": False, "Pid": 0, "ExitCode": 1}, "activating", "0"),
    ({"Status": "exited", "Running": False, "Pid": 0, "ExitCode": 143}, "inactive", "0"),
    ({"Status": "exited", "Running": False, "Pid": 0, "ExitCode": 1}, "failed", "0"),
]


@pytest.mark.parametrize("state, active, pid", STATES, ids=[s[1] for s in STATES])
def test_a_container_without_a_unit_is_shown_as_one(host, state, active, pid):
    inspected(host, State=state)
    found = units.show([NAME])[NAME]
    assert (found["LoadState"], found["ActiveState"], found["MainPID"]) == ("loaded", active, pid)


def test_a_unit_counts_where_it_is_there(host):
    assert units.show(["kolla-nova_libvirt-container"])["kolla-nova_libvirt-container"] == {
        "Id": "x",
        "LoadState": "loaded",
        "ActiveState": "active",
    }
    assert "inspect" not in (host / "said").read_text()


def test_what_has_neither_is_no_unit(host):
    with pytest.raises(processes.Failed, match="kolla-glance_api-container: no such unit here"):
        units.there(["kolla-glance_api-container"])


def test_the_engine_restarts_what_has_no_unit(host):
    units.begin_restart([NAME])
    said = (host / "said").read_text()
    assert "restart nova_compute" in said and "systemctl restart" not in said
    units.begin_restart(["kolla-nova_libvirt-container"])
    assert "systemctl restart --no-block -- kolla-nova_libvirt" in (host / "said").read_text()
    assert units.last_lines(NAME) == ["last words"]


READ = [
    ("nova-compute", [NOVA], ["nova.conf"]),
    (
        "nova-compute --config-file /etc/nova/nova.conf --config-file=/etc/nova/more.conf",
        [NOVA, entry("more.conf", "/etc/nova/more.conf")],
        ["nova.conf", "more.conf"],
    ),
    (
        "nova-compute",
        [NOVA, entry("a.conf", "/etc/nova/nova.conf.d/a.conf")],
        ["a.conf", "nova.conf"],
    ),
    ("nova-compute", [entry("other.conf", "/etc/nova/nova.conf")], []),
]


@pytest.mark.parametrize("command, files, expected", READ)
def test_which_files_the_service_in_it_reads(host, command, files, expected):
    (host / "config.json").write_text(config(*files, command=command))
    for name in ("nova.conf", "more.conf", "a.conf"):
        (host / name).write_text("[DEFAULT]\nx = 1\n")
    found = configuration.sources(NAME, "nova", str(host / "nova.conf"), variables=["CEPH_ARGS"])
    assert [path for path, _ in found["files"]] == [str(host / name) for name in expected]
    assert found["running"] and found["environment"] == {"CEPH_ARGS": "--id x"}


def test_versions_are_those_of_the_container(host, monkeypatch):
    """A service that was built from source is known to its Python alone."""
    monkeypatch.setitem(processes.WAYS, "packages", [["python3"]])
    found = packages.versions(["pytest-common", "nova-nothing"])
    assert found == {"pytest-common": None, "nova-nothing": None} or found["pytest-common"]
    assert packages.versions([]) == {}


def test_versions_are_asked_of_each_container_that_is_there(host, monkeypatch):
    """The one of the host is podman or docker; of the two named, one is not there."""
    script = '#!/bin/sh\ncase "$*" in *inspect*nova_compute*) cat {0}/inspected;;\n'
    script += '*inspect*) echo "Error: no such container x" >&2; exit 125;;\n'
    script += '*exec*) echo "ii  nova-common 3:26.2";; esac\n'
    name = next(one for one in ("docker", "podman") if (host / one).exists())
    (host / name).write_text(script.format(host))
    way = [[name, "exec", "-i", "nova_compute"]]
    monkeypatch.setitem(processes.WAYS, "nova_compute", way)
    monkeypatch.setitem(processes.WAYS, "glance_api", [[name, "exec", "-i", "glance_api"]])
    told = [["glance_api", "python3"], ["nova_compute", "python3"]]
    monkeypatch.setitem(processes.WAYS, "packages", told)
    assert packages.versions(["nova-common"]) == {"nova-common": "3:26.2"}
    monkeypatch.setitem(processes.WAYS, "packages", told[:1])
    with pytest.raises(processes.Failed, match="glance_api: no such container here"):
        packages.versions(["nova-common"])
    (host / name).write_text(script.format(host).replace('echo "ii  nova-common 3:26.2"', "exit 1"))
    monkeypatch.setitem(processes.WAYS, "packages", told)
    with pytest.raises(processes.Failed, match="packages in nova_compute: exit code 1"):
        packages.versions(["nova-common"])


def test_the_files_of_a_secret_that_goes_are_taken_away():
    mixed, seen = site(hosts=MIXED), values()
    gone = secret_files.leaving(mixed, mixed.host("n1"), "volumes", FSID, seen)
    assert [(one.verb, one.args["path"], one.args["before"]) for one in gone] == [
        ("remove", f"{FOLDER}/{FSID}{end}", DIGEST) for end in (".xml", ".base64")
    ]
    assert secret_files.leaving(mixed, mixed.host("n1"), "volumes", FSID, NONE) == []
    assert secret_files.leaving(mixed, mixed.host("n2"), "volumes", FSID, {}) == []


def test_the_folder_of_several_secrets_is_made_once():
    mixed = site(hosts=MIXED, **EPHEMERAL)
    clients = sorted(mixed.secret_clients())
    known = {f"uuid.{client}": FSID[:-1] + str(n) for n, client in enumerate(clients)}
    seen = {"libvirt.secrets": {}, libvirt_secret.OPTIONS: VIRSH_READS_FILES, **NONE}
    changes = libvirt_secret.plan(mixed, Facts({"ceph01": cluster(), "n1": seen}, known))
    assert len(clients) == 2
    assert [one.verb for one in changes if one.kind == "secret_file"].count("folder") == 1
