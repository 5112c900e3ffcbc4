"""A cloud that a deployer writes: its own files are edited on its host, and nothing else."""

import re

import pytest

from fabfile.core import site_file
from fabfile.core.contract import BadInput
from fabfile.core.remote import reads, steps
from fabfile.core.remote.processes import masked
from fabfile.model import deployers, services
from fabfile.resources import ceph_conf, chain, deployer, deployer_files

from . import deployed, states
from .deployed import CINDER, GLOBALS, NOVA, PASSWORDS, carried_out, files, planned, site

(KOLLA,) = [deployers.made_of(one) for one in site_file.deployers() if one["name"] == "kolla"]
RELEASES = [name for form in KOLLA.forms.values() for name in form.releases]
LISTS = [name for name in RELEASES if KOLLA.form(name).lists]
VMS = {"nova": {"ephemeral": True, "client": "vms", "pool": "vms"}}
VMS |= {"pools": {"volumes": {}, "images": {}, "vms": {}}}
VMS |= {"clients": {"volumes": {}, "images": {}, "vms": {}}}
FAST = {
    "pools": {"volumes": {}, "images": {}, "fast": {}},
    "clients": {"volumes": {}, "images": {}},
}
BACKENDS = {
    "rbd-1": {"client": "volumes", "pool": "volumes"},
    "ssd": {"client": "volumes", "pool": "fast"},
}
WEST_HOSTS = {**deployed.HOSTS, "west01": {"roles": ["ceph"], "cluster": "west"}}
IMAGES = {"clusters": {"west": {"pools": {"images": {}}, "clients": {"images": {}}}}}
VOLUMES = {"clusters": {"west": {"pools": {"volumes": {}}, "clients": {"volumes": {}}}}}
OVERRIDE = "config/cinder/cinder-volume.conf"
NO_BACKUPS = "enable_cinder: yes\nenable_cinder_backup: no\n"
ON, DISKS = "cinder_backend_ceph: yes\n", "nova_backend_ceph: yes\n"


def made(it, texts=None):
    """{path below /etc/kolla: text} after a run, which a second one finds right."""
    before = files(texts)
    found = carried_out(planned(it, texts), before)
    assert planned(it, found) == []
    return found


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("more", [{}, VMS], ids=["volumes", "disks too"])
def test_a_second_run_has_nothing_to_do(release, more):
    found = made(site(release, cinder={"backend": "rbd-1"}, **more))
    keyrings = {name for name in found if name.endswith(".keyring")}
    assert keyrings == {
        "config/glance/ceph.client.images.keyring",
        "config/cinder/cinder-volume/ceph.client.volumes.keyring",
        "config/nova/ceph.client.volumes.keyring",
        *(["config/nova/ceph.client.vms.keyring"] if more else []),
    }
    for name in ("glance", "cinder", "nova"):
        assert f"fsid = {states.FSID}" in found[f"config/{name}/ceph.conf"]
    assert found["passwords.yml"] == PASSWORDS
    assert found["globals.yml"].startswith(GLOBALS)


def test_what_the_file_says_already_stays_byte_by_byte():
    mine = (
        f"{GLOBALS}cinder_backend_ceph: true  # since 2021\n"
        'ceph_nova_user: "{{ ceph_cinder_user }}"\nceph_cinder_user: volumes\n'
        "#ceph_cinder_pool_name: volumes\n"
    )
    found = made(site("zed"), {"globals.yml": mine})["globals.yml"]
    assert "cinder_backend_ceph: true  # since 2021\n" in found
    assert '#ceph_cinder_pool_name: volumes\nceph_cinder_pool_name: "volumes"\n' in found
    assert [line for line in mine.splitlines() if line not in found.splitlines()] == []


@pytest.mark.parametrize("release", LISTS)
def test_other_backends_of_a_list_stay(release):
    mine = (
        f"{GLOBALS}cinder_ceph_backends:\n  # theirs\n  - name: old\n    cluster: ceph\n"
        '    enabled: "{{ cinder_backend_ceph | bool }}"\n'
    )
    found = made(site(release), {"globals.yml": mine})["globals.yml"]
    assert found.startswith(mine)
    assert "  - name: rbd\n    cluster: ceph\n" in found


@pytest.mark.parametrize(
    "items", ["[x, [y], {name: [z]}]", "[{name: {a: b}}]", "{name: rbd}", "x", "[]", "\n- y\n- {}"]
)
def test_items_of_another_form_end_no_look(items):
    texts = {"globals.yml": f"{GLOBALS}cinder_ceph_backends: {items}\n"}
    assert "name: rbd\n" in made(site("2025.1"), texts)["globals.yml"]


def test_a_second_backend_is_an_override_where_the_release_has_one_alone():
    one = site("zed", cinder={"backends": BACKENDS}, **FAST)
    found = made(one)[OVERRIDE]
    assert "enabled_backends = rbd-1,ssd\n" in found
    assert "[ssd]\n" in found and "rbd_pool = fast\n" in found
    assert "[rbd-1]" not in found
    theirs = "[DEFAULT]\n# mine\nenabled_backends = lvm-1,rbd-1\n"
    found = made(one, {OVERRIDE: theirs})[OVERRIDE]
    assert "# mine\nenabled_backends = lvm-1,rbd-1,ssd\n" in found


@pytest.mark.parametrize("release", [name for name in LISTS if name >= "2025"])
def test_a_second_backend_is_an_item_where_there_are_lists(release):
    found = made(site(release, cinder={"backends": BACKENDS}, **FAST))
    assert "  - name: ssd\n" in found["globals.yml"] and "pool: fast\n" in found["globals.yml"]
    assert "config/cinder/cinder-volume.conf" not in found


def test_backups_have_both_keyrings_and_what_the_site_file_asks():
    tables = {**states.BACKED_UP, "cinder": {"backup": {"chunk_size": 1048576}}}
    found = made(site("zed", **tables))
    below = "config/cinder/cinder-backup/ceph.client"
    assert {f"{below}.volumes.keyring", f"{below}.backups.keyring"} <= set(found)
    assert 'ceph_cinder_backup_user: "backups"' in found["globals.yml"]
    assert (
        found["config/cinder/cinder-backup.conf"] == "[DEFAULT]\nbackup_ceph_chunk_size = 1048576\n"
    )


def test_stores_of_two_clusters():
    stores = {
        "rbd": {"client": "images", "pool": "images"},
        "far": {"client": "images", "pool": "images", "cluster": "west"},
    }
    glance = {"stores": stores, "default_store": "rbd"}
    it = site("2026.1", hosts=WEST_HOSTS, glance=glance, **IMAGES)
    found = made(it)
    assert f"fsid = {states.OTHER}" in found["config/glance/west.conf"]
    assert "keyring = /etc/ceph/west.client.images.keyring" in found["config/glance/west.conf"]
    assert "config/glance/west.client.images.keyring" in found
    assert "  - name: far\n    type: rbd\n    cluster: west\n" in found["globals.yml"]


@pytest.mark.parametrize("release", LISTS)
def test_volumes_and_backups_on_a_cluster_beside_that_of_the_images(release):
    disks = release >= "2025.1"
    found = made(site(release, hosts=WEST_HOSTS, **deployed.elsewhere(disks)))
    assert {name for name in found if "west.client" in name} == {
        "config/cinder/cinder-volume/west.client.volumes.keyring",
        "config/cinder/cinder-backup/west.client.volumes.keyring",
        "config/cinder/cinder-backup/west.client.backups.keyring",
        "config/nova/west.client.volumes.keyring",
        *(["config/nova/west.client.vms.keyring"] if disks else []),
    }
    variable = "ceph_cluster" if disks else "nova_ceph_cluster"
    assert f'\n{variable}: "west"\n' in found["globals.yml"]


@pytest.mark.parametrize(
    "said, kept",
    [
        ("", True),
        ("glance_backend_file: no\n", False),
        ("glance_backend_ceph: yes\n", False),
        ("glance_backend_file: yes\n", False),
    ],
)
def test_images_in_files_stay_readable_unless_somebody_says_otherwise(said, kept):
    texts = {"globals.yml": f"{GLOBALS}{said}"}
    it = site("2026.1")
    changes = planned(it, texts)
    found = carried_out(changes, files(texts))["globals.yml"]
    assert ('glance_backend_file: "yes"' in found) is kept
    notes = "\n".join(deployer.notes(it, deployed.facts(it, files(texts)), changes))
    assert ("stay readable" in notes) is kept


# Secrets' UUIDs


@pytest.mark.parametrize(
    "passwords, expected",
    [
        ("rbd_secret_uuid:\ncinder_rbd_secret_uuid:\n", [f"cinder_rbd_secret_uuid: {states.FSID}"]),
        ("a: b", [f"cinder_rbd_secret_uuid: {states.FSID}"]),
        (f"cinder_rbd_secret_uuid: '{CINDER}' # kept\n", []),
    ],
)
def test_a_uuid_is_made_where_none_is(passwords, expected):
    found = made(site("zed"), {"passwords.yml": passwords})["passwords.yml"]
    assert [line for line in found.splitlines() if line not in passwords.splitlines()] == expected


@pytest.mark.parametrize(
    "passwords",
    [
        f'"cinder_rbd_secret_uuid": {CINDER}\n',
        f"'cinder_rbd_secret_uuid': '{CINDER}'\n",
        f"\ufeffcinder_rbd_secret_uuid: {CINDER}\n",
        f"a: b\r\ncinder_rbd_secret_uuid: {CINDER}\r\n",
        f"cinder_rbd_secret_uuid:\ncinder_rbd_secret_uuid: {CINDER.upper()}\n",
    ],
)
def test_a_uuid_that_is_there_is_never_replaced(passwords):
    found = made(site("zed"), {"passwords.yml": passwords})
    assert found["passwords.yml"] == passwords


@pytest.mark.parametrize(
    "passwords, expected",
    [
        ("cinder_rbd_secret_uuid:\ncinder_rbd_secret_uuid: ~\na: b\n", "{0}:\n{0}: {1}\na: b\n"),
        ("cinder_rbd_secret_uuid: # of all\na: b\n", "{0}: {1} # of all\na: b\n"),
        ('cinder_rbd_secret_uuid: ""  # of all\n', '{0}: "{1}"  # of all\n'),
        ("a: b\r\ncinder_rbd_secret_uuid:\r\nc: d\r\n", "a: b\r\n{0}: {1}\r\nc: d\r\n"),
        ("cinder_rbd_secret_uuid: Null", "{0}: {1}"),
        ("cinder_rbd_secret_uuid:\n  # none\n\na: b\n", "{0}: {1}\n  # none\n\na: b\n"),
        ("# cinder_rbd_secret_uuid: none\n", "# {0}: none\n{0}: {1}\n"),
    ],
)
def test_a_uuid_is_put_into_the_place_that_is_empty(passwords, expected):
    found = made(site("zed"), {"passwords.yml": passwords})["passwords.yml"]
    assert found == expected.format("cinder_rbd_secret_uuid", states.FSID)


def test_the_uuid_of_passwords_counts_everywhere():
    it = site("2026.1", cinder={"backend": "rbd"}, **VMS)
    told = deployer._told(it, deployed.facts(it, files()))
    found = {(one.service.key, one.client): told.uuid_of(one) for one in it.handed}
    assert found["cinder", "volumes"] == found["nova", "volumes"] == CINDER
    assert found["nova", "vms"] == NOVA


# What is refused

UUID = {"clients": {"volumes": {"secret_uuid": states.OTHER}, "images": {}}}
TWO_LOGINS = {"volumes": {}, "images": {}, "fast": {}}
REFUSED = {
    "globals.yml is not there": ("zed", {}, {"globals.yml": None}, "no such file"),
    "passwords.yml is not there": ("zed", {}, {"passwords.yml": None}, "no such file"),
    "no YAML": ("zed", {}, {"globals.yml": "a: b: c\n"}, "expected variables in YAML"),
    "vault": ("zed", {}, {"passwords.yml": "$ANSIBLE_VAULT;1.1;AES256\n61\n"}, "Ansible Vault"),
    "no UUID": ("zed", {}, {"passwords.yml": "cinder_rbd_secret_uuid: x\n"}, "a UUID, or nothing"),
    "a UUID in a block": (
        "zed",
        {},
        {"passwords.yml": "cinder_rbd_secret_uuid: !vault |\n  61\n"},
        "a UUID, or nothing",
    ),
    "a UUID on the next line": (
        "zed",
        {},
        {"passwords.yml": f"cinder_rbd_secret_uuid:\n\n  {CINDER}\n"},
        "a value of another form",
    ),
    "indented passwords": (
        "zed",
        {},
        {"passwords.yml": f"  a: b\n  cinder_rbd_secret_uuid: {CINDER}\n"},
        "a value of another form",
    ),
    "passwords in JSON": (
        "zed",
        {},
        {"passwords.yml": f'{{"cinder_rbd_secret_uuid": "{CINDER}", "a": "hunter2"}}\n'},
        "a value of another form",
    ),
    "passwords in JSON, on lines": (
        "zed",
        {},
        {"passwords.yml": f'{{\n  "cinder_rbd_secret_uuid": "{CINDER}",\n  "a": "hunter2"}}\n'},
        "a value of another form",
    ),
    "a UUID kept in globals": (
        "zed",
        {},
        {
            "globals.yml": f"{GLOBALS}cinder_rbd_secret_uuid: {CINDER}\n",
            "passwords.yml": "a: b\n",
        },
        "found it in /etc/kolla/globals.yml",
    ),
    "a UUID kept in globals.d": (
        "zed",
        {},
        {"globals.d": "cinder_rbd_secret_uuid:\n", "passwords.yml": "a: b\n"},
        "found it in /etc/kolla/globals.d",
    ),
    "a switch that another variable decides": (
        "zed",
        {},
        {"globals.yml": f'{GLOBALS}cinder_backend_ceph: "{{{{ x | bool }}}}"\n'},
        "expected cinder_backend_ceph: yes or no, found {{ x | bool }}",
    ),
    "disks that another variable decides": (
        "2026.1",
        VMS,
        {"globals.yml": f"{GLOBALS}nova_backend_ceph: !vault x\n"},
        "expected nova_backend_ceph: yes or no",
    ),
    "backups that another variable decides": (
        "2026.1",
        {},
        {"globals.yml": "enable_cinder: yes\nenable_cinder_backup: \"{{ b('x') }}\"\n"},
        "expected enable_cinder_backup: yes or no",
    ),
    "another folder for config": (
        "zed",
        {},
        {"globals.yml": f"{GLOBALS}node_custom_config: /srv/kolla\n"},
        "expected node_custom_config: /etc/kolla/config, found /srv/kolla",
    ),
    "a backend's other pool in a list": (
        "2025.1",
        {},
        {
            "globals.yml": f"{GLOBALS}{ON}cinder_ceph_backends:\n"
            "  - {name: rbd, cluster: ceph, pool: vols, enabled: true}\n"
        },
        "expected cinder_ceph_backends, rbd: pool: volumes, found vols",
    ),
    "a backend's other cluster in a list": (
        "2024.1",
        {},
        {"globals.yml": f"{GLOBALS}{ON}cinder_ceph_backends: [{{name: rbd, cluster: west}}]\n"},
        "expected cinder_ceph_backends, rbd: cluster: ceph, found west",
    ),
    "a store's other pool in a list": (
        "2026.1",
        {},
        {
            "globals.yml": f"{GLOBALS}glance_backend_ceph: yes\nglance_ceph_backends:\n"
            "- name: rbd\n  pool: pics\n"
        },
        "expected glance_ceph_backends, rbd: pool: images, found pics",
    ),
    "other backends beside, in globals.d": (
        "zed",
        {**FAST, "cinder": {"backends": BACKENDS}},
        {"globals.d": "enable_cinder_backend_lvm:\n"},
        "the whole list",
    ),
    "images in files, in globals.d": ("zed", {}, {"globals.d": "glance_backend_file\n"}, "counts"),
    "the folder for config in globals.d": (
        "zed",
        {},
        {"globals.d": "  'node_custom_config' :\n"},
        "counts more",
    ),
    "a file of globals.d that is encrypted": (
        "zed",
        {},
        {"globals.d": "$ANSIBLE_VAULT\n"},
        "expected none that Ansible Vault has encrypted",
    ),
    "a pool that the inventory says": (
        "zed",
        {},
        {"deployer.inventory": "  ceph_cinder_pool_name:\ncinder_backend_ceph=\n"},
        "expected no ceph_cinder_pool_name, cinder_backend_ceph there",
    ),
    "a UUID kept in the inventory": (
        "zed",
        {},
        {"deployer.inventory": "cinder_rbd_secret_uuid:\n", "passwords.yml": "a: b\n"},
        "found it in /etc/kolla/multinode",
    ),
    "other backends beside, in the inventory": (
        "zed",
        {**FAST, "cinder": {"backends": BACKENDS}},
        {"deployer.inventory": "x enable_cinder_backend_lvm=\n"},
        "the whole list",
    ),
    "another UUID": ("zed", UUID, {}, "a UUID in use is never replaced"),
    "a store of another name": ("zed", {"glance": {"store": "ceph"}}, {}, "called rbd"),
    "a pool in use": (
        "zed",
        {},
        {"globals.yml": f"{NO_BACKUPS}cinder_backend_ceph: yes\nceph_cinder_pool_name: vols\n"},
        "expected ceph_cinder_pool_name: volumes, found vols",
    ),
    "images in use": (
        "zed",
        {},
        {"globals.yml": f"{GLOBALS}glance_backend_ceph: yes\nceph_glance_pool_name: pics\n"},
        "expected ceph_glance_pool_name: images, found pics",
    ),
    "images in use, of a list's items": (
        "2025.1",
        {},
        {
            "globals.yml": f"{GLOBALS}glance_backend_ceph: yes\nceph_glance_pool_name: pics\n"
            "glance_ceph_backends: [{name: rbd, type: rbd}]\n"
        },
        "expected ceph_glance_pool_name: images, found pics",
    ),
    "disks in use": (
        "zed",
        VMS,
        {"globals.yml": f"{NO_BACKUPS}nova_backend_ceph: yes\nceph_nova_pool_name: disks\n"},
        "expected ceph_nova_pool_name: vms, found disks",
    ),
    "disks of which nothing is said": (
        "2026.1",
        {},
        {"globals.yml": f"{NO_BACKUPS}nova_backend_ceph: true\n"},
        "ephemeral = true",
    ),
    "backups of which nothing is said": (
        "zed",
        {},
        {"globals.yml": "enable_cinder: yes\n"},
        "cinder.backup",
    ),
    "no Cinder": ("zed", {}, {"globals.yml": "a: b\n"}, 'expected enable_cinder: "yes"'),
    "a later file": ("2026.1", {}, {"globals.d": "ceph_cinder_user\n"}, "counts more"),
    "two logins of Cinder's": (
        "2026.1",
        {
            "pools": FAST["pools"],
            "clients": TWO_LOGINS,
            "cinder": {"backends": {**BACKENDS, "ssd": {"client": "fast", "pool": "fast"}}},
        },
        {},
        "one client, of one cluster, for all of cinder's pools",
    ),
    "other backends beside": (
        "zed",
        {**FAST, "cinder": {"backends": BACKENDS}},
        {"globals.yml": f"{GLOBALS}enable_cinder_backend_lvm: yes\n"},
        "the whole list",
    ),
    "two clusters of an older release": (
        "zed",
        {"hosts": WEST_HOSTS, **VOLUMES, "cinder": {"cluster": "west"}, "clients": {"images": {}}},
        {},
        "cinder on a cluster called ceph, found west",
    ),
    **{
        f"disks on another cluster, {release}": (
            release,
            {"hosts": WEST_HOSTS, **deployed.elsewhere()},
            {},
            "nova on a cluster called ceph, found west",
        )
        for release in ("2023.2", "2024.1", "2024.2")
    },
}


@pytest.mark.parametrize("release, tables, texts, said", REFUSED.values(), ids=REFUSED)
def test_what_it_cannot_carry_out_is_refused_with_a_way_on(release, tables, texts, said):
    deployed.is_refused(site(release, **tables), texts, said)


@pytest.mark.parametrize(
    "tables, said",
    [
        ({"deployer": "kolla", "release": "zed"}, "deploy: expected a table with inventory"),
        (
            {"deployer": "kolla", "hosts": {"c": {"roles": ["ceph"]}}},
            "one host of the role 'deploy'",
        ),
        ({"deploy": {"inventory": "/i"}}, "deploy: expected deployer beside it"),
        ({"hosts": {"c": {"roles": ["ceph", "deploy"]}}}, "expected deployer beside it"),
        (
            {"deployer": "kolla", "deploy": {"inventory": "/i"}},
            "release: expected the one that is deployed",
        ),
        (
            {"deployer": "kola", "release": "zed", "deploy": {"inventory": "/i"}},
            "deployer: expected one of kolla, openstack-ansible, found 'kola'",
        ),
        (
            {"deployer": "kolla", "hosts": {**deployed.HOSTS, "n1": {"roles": ["compute"]}}},
            "hosts.n1.roles: expected none of",
        ),
    ],
)
def test_a_site_file_says_all_that_is_needed(tables, said):
    with pytest.raises(BadInput, match=re.escape(said)):
        states.site(**{"hosts": deployed.HOSTS, **tables})


@pytest.mark.parametrize("release", ["yoga", "grizzly"])
def test_a_release_whose_deployer_is_not_known_is_refused(release):
    with pytest.raises(BadInput, match="expected one whose kolla is known here: zed"):
        planned(site(release))


# Nothing that is secret leaves the host


def test_passwords_stay_on_their_host():
    it = site("zed")
    (read,) = [r for r in deployer.reads(it, it.host("deploy01")) if r.id == "deployer.passwords"]
    text = f"{PASSWORDS}ssh_key:\n  private_key: |\n    -----BEGIN KEY-----\n    abc\nx: y # z\n"
    seen = masked(text, read.args["mask"])
    assert CINDER in seen and NOVA in seen
    for word in ("hunter2", "BEGIN", "abc", "private_key", "# z"):
        assert word not in seen
    assert len(seen.splitlines()) == len(text.splitlines())


@pytest.mark.parametrize(
    "line, stays",
    [
        ("keystone_admin_password: abc123", False),
        ('s3_secret_key: "abc123"', False),
        ("  api_token: abc123  # c", False),
        ("  netapp: {login: x, san_password: abc123, pool: y}", False),
        ('  \'{"san_password": "abc123"}\'', False),
        ("  x: {a_password: 'k,}abc123', b: c}", False),
        ("    secret_uuid: abc123", True),
        ("  rbd: {rbd_secret_uuid: abc123, keyring: abc123}", True),
        ("ceph_nova_keyring: abc123", True),
        ("cinder_rbd_secret_uuid: abc123", True),
        ("docker_namespace: abc123", True),
    ],
)
def test_credentials_of_globals_are_masked(line, stays):
    it = site("zed")
    (read,) = [r for r in deployer.reads(it, it.host("deploy01")) if r.id == "deployer.globals"]
    assert ("abc123" in masked(line, read.args["mask"])) is stays


@pytest.mark.parametrize("name", ["passwords.yml", "globals.yml"])
def test_a_last_line_without_an_end_is_kept_too(name):
    texts = {"passwords.yml": "a: b\n"}
    texts[name] = (GLOBALS if name == "globals.yml" else "") + "admin_password: hunter2"
    found = made(site("zed"), texts)[name]
    assert found.startswith(f"{texts[name]}\n") and "sha256" not in found


@pytest.mark.parametrize("old", ["", "k: s", "a\nk: s", "k: s\n", "k: s\nk: s", "k: s\n\nb"])
@pytest.mark.parametrize("new", ["{}", "{}\nx\n", "x\n{}", "x\n{}\n", "{}\nk: t", "{}\n\n"])
def test_lines_that_stay_are_never_sent(old, new):
    seen = masked(old, [r"^k: (\S+)$"])
    parts = ceph_conf.parts(seen, new.format(seen))
    assert "sha256" not in repr(parts)
    assert steps.joined("run", parts, old.encode()) == new.format(old)


def test_a_masked_password_is_not_written_back():
    texts = {"passwords.yml": "admin_password: hunter2\nrbd_secret_uuid:\n"}
    (change,) = [c for c in planned(site("zed"), texts) if c.subject.endswith("passwords.yml")]
    assert change.args["content"][0] == {"lines": [0, 2]}
    assert "hunter2" not in repr(change)


@pytest.mark.parametrize(
    "name, text, named",
    [
        ("a.yml", "ceph_cinder_user: x\n", "ceph_cinder_user"),
        ("a.yml", '"ceph_cinder_user" : x\n', "ceph_cinder_user"),
        ("a.yml", "\ufeffceph_cinder_user: x\n", "ceph_cinder_user"),
        ("a.yml", "  ceph_cinder_user: x\r\n", "ceph_cinder_user"),
        ("a.yml", "{ceph_cinder_user: x}\n", "ceph_cinder_user"),
        ("a.yml", "enable_cinder_backend_lvm: yes\n", "enable_cinder_backend_lvm"),
        ("a.yml", "$ANSIBLE_VAULT;1.1;AES256\n61\n", "$ANSIBLE_VAULT"),
        ("a.yml", "ceph_cinder_user_of_mine: x\n# ceph_cinder_user: x\n", ""),
        ("a.yaml", "ceph_cinder_user: x\n", ""),
    ],
)
@pytest.mark.parametrize("linked", [False, True])
def test_what_is_in_globals_d_is_seen(tmp_path, name, text, named, linked):
    folder = tmp_path / "globals.d"
    folder.mkdir()
    (tmp_path / "elsewhere").write_bytes(text.encode())
    if linked:
        (folder / name).symlink_to(tmp_path / "elsewhere")
    else:
        (folder / name).write_bytes(text.encode())
    it = site("zed")
    (read,) = [r for r in deployer.reads(it, it.host("deploy01")) if r.id == "deployer.later"]
    argv = [word.replace("/etc/kolla", str(tmp_path)) for word in read.args["argv"]]
    out = reads.argv(argv, read.args["ok"])["out"]
    assert deployer_files.names_in(out) == ({named} if named else set())


@pytest.mark.parametrize(
    "name, text, named",
    [
        ("multinode", "[cinder:vars]\nceph_cinder_pool_name = vols\n", "ceph_cinder_pool_name"),
        (
            "multinode",
            "n1 ansible_password=hunter2 a='b hunter2' ceph_nova_user=x\n",
            "ceph_nova_user",
        ),
        ("group_vars/all.yml", "ceph_cinder_pool_name: vols\n", "ceph_cinder_pool_name"),
        ("group_vars/all/ceph", "'nova_backend_ceph': yes\n", "nova_backend_ceph"),
        ("host_vars/n1.yml", "---\nenable_cinder_backend_lvm: 1\n", "enable_cinder_backend_lvm"),
        ("multinode", "all:\n  vars:\n    ceph_cinder_user: x\n", "ceph_cinder_user"),
        ("multinode", "# n1 ceph_nova_user=x\n; ceph_nova_user=x\nmy_ceph_nova_user=x\n", ""),
        ("group_vars/all.yml", "a: '{{ ceph_nova_user }}'\nceph_nova_user_x: 1\n", ""),
        ("group_vars/vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n61\n", ""),
        ("other_vars/all.yml", "ceph_cinder_pool_name: vols\n", ""),
    ],
)
def test_what_is_in_the_inventory_is_seen(tmp_path, name, text, named):
    (tmp_path / "multinode").write_text("[control]\n")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    it = site("zed")
    (read,) = [r for r in deployer.reads(it, it.host("deploy01")) if r.id == "deployer.inventory"]
    argv = [word.replace("/etc/kolla", str(tmp_path)) for word in read.args["argv"]]
    out = reads.argv(argv, read.args["ok"], read.args["mask"])["out"]
    found = deployer_files.names_in(out)
    assert "hunter2" not in out
    assert named in found if named else not {n for n in found if "ceph_nova" in n or "$" in n}


def test_a_folder_that_cannot_be_read_is_not_one_without_files():
    it = site("zed")
    facts = deployed.facts(it, files())
    denied = "grep: /etc/kolla/globals.d/a.yml: Permission denied\n"
    facts.hosts["deploy01"]["deployer.later"] = {"code": 2, "out": "", "err": denied}
    with pytest.raises(BadInput, match="Permission denied"):
        deployer.plan(it, facts)


def test_no_fingerprint_and_no_lost_letter_is_written_back():
    item = "cinder_ceph_backends:\n-   name: rbd\n    {}\n"
    for line in ("api_key: hunter2", "x: caf\ufffd"):
        with pytest.raises(BadInput, match="as they are") as caught:
            planned(site("2025.1"), {"globals.yml": f"{GLOBALS}{item.format(line)}"})
        assert "hunter2" not in str(caught.value)


def test_a_keyring_that_is_encrypted_is_not_overwritten():
    path = "config/nova/ceph.client.volumes.keyring"
    texts = {path: "$ANSIBLE_VAULT;1.1;AES256\n6162\n"}
    it = site("zed")
    found = made(it, texts)
    assert found[path] == texts[path]
    notes = deployer.notes(it, deployed.facts(it, found), [])
    assert [path in note and "Ansible Vault" in note for note in notes] == [True]


# The rest of the house


def test_no_other_resource_plans_for_the_deployers_hosts():
    it = site("zed")
    facts = deployed.facts(it, files())
    found = [
        change for one in chain.RESOURCES if not one.sees_changes for change in one.plan(it, facts)
    ]
    assert {c.host for c in found} == {"ceph01", "deploy01"}
    assert {c.kind for c in found if c.host == "deploy01"} == {deployer_files.KIND}


def test_the_plan_says_the_deployers_own_command():
    it = site("2024.2", **VMS)
    facts = deployed.facts(it, files())
    said = "\n".join(deployer.notes(it, facts, deployer.plan(it, facts)))
    assert "kolla-ansible reconfigure -i /etc/kolla/multinode --tags glance,cinder" in said
    assert "does not start from there again" in said
    assert deployer.notes(it, facts, []) == []


@pytest.mark.parametrize("release", RELEASES)
def test_each_form_speaks_of_services_that_there_are(release):
    form = KOLLA.form(release)
    keys = {one.key for one in services.SERVICES}
    assert set(form.globals) == set(form.renders) == keys
    assert {table["service"] for table in form.lists.values()} <= keys
    assert {*KOLLA.keyrings, *KOLLA.confs, *KOLLA.overrides} == keys
