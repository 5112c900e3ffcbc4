"""A cloud of OpenStack-Ansible's: its own files are edited on its deploy host, and nothing else."""

import pytest
import yaml

from fabfile.core import site_file
from fabfile.core.remote import reads
from fabfile.model import deployers, services
from fabfile.resources import deployer, deployer_files, secret_uuid

from . import deployed, states
from .deployed import CINDER, NOVA, SECRETS, VARIABLES, carried_out, of_osa, planned

(OSA,) = [
    deployers.made_of(one) for one in site_file.deployers() if one["name"] == "openstack-ansible"
]
RELEASES = [name for form in OSA.forms.values() for name in form.releases]
VMS = {
    "nova": {"ephemeral": True, "client": "vms", "pool": "vms"},
    "pools": {"volumes": {}, "images": {}, "vms": {}},
    "clients": {"volumes": {}, "images": {}, "vms": {}},
}
SAME = {
    **VMS,
    "nova": {"ephemeral": True, "client": "volumes", "pool": "vms"},
    "clients": {"volumes": {}, "images": {}},
}
FAST = {
    "pools": {"volumes": {}, "images": {}, "fast": {}},
    "clients": {"volumes": {}, "images": {}, "fast": {}},
    "cinder": {
        "backends": {
            "rbd": {"client": "volumes", "pool": "volumes"},
            "ssd": {"client": "fast", "pool": "fast"},
        }
    },
}
WEST = {
    "hosts": {**deployed.HOSTS, "west01": {"roles": ["ceph"], "cluster": "west"}},
    "clusters": {"west": {"pools": {"volumes": {}}, "clients": {"far": {}}}},
    "cinder": {
        "backends": {
            "rbd": {"client": "volumes", "pool": "volumes"},
            "far": {"client": "far", "pool": "volumes", "cluster": "west"},
        }
    },
}
BACKUP = {**states.BACKED_UP}
STORES = {
    "pools": {"volumes": {}, "images": {}, "pics": {}},
    "glance": {
        "stores": {
            "fast": {"client": "images", "pool": "images"},
            "slow": {"client": "images", "pool": "pics"},
        },
        "default_store": "fast",
    },
}
CONF = f"[global]\nfsid = {states.FSID}\nmon_host = 10.0.0.1\n"


def site(release="2025.1", **more):
    return deployed.site(release, deployer="openstack-ansible", **more)


def made(it, texts=None):
    """{path below /etc/openstack_deploy: text} after a run, which a second one finds right."""
    before = of_osa(texts)
    found = carried_out(planned(it, texts), before)
    assert planned(it, found) == []
    return found


def variables(found):
    return yaml.safe_load(found["user_variables.yml"])


TABLES = {
    "volumes": {},
    "disks": VMS,
    "one client": SAME,
    "two": FAST,
    "west": WEST,
    "backup": BACKUP,
}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("tables", TABLES.values(), ids=TABLES)
def test_a_second_run_has_nothing_to_do(release, tables):
    found = made(site(release, **tables))
    said = variables(found)
    assert found["user_variables.yml"].startswith(VARIABLES)
    assert said["glance_default_store"] == "rbd" and said["cinder_ceph_client"] == "volumes"
    assert said["cinder_backends"]["rbd"]["rbd_pool"] == "volumes"
    assert said["cinder_backends"]["rbd"]["rbd_secret_uuid"] == "{{ cinder_ceph_client_uuid }}"
    assert said["ceph_keyrings_dir"] == "/etc/openstack_deploy/ceph"
    assert f"fsid = {states.FSID}" in found["ceph/ceph.conf"]
    assert {"ceph/images.keyring", "ceph/volumes.keyring"} <= set(found)


def test_secrets_keep_all_their_lines_and_get_a_uuid():
    found = made(site())["user_secrets.yml"]
    uuid = f"cinder_ceph_client_uuid: {states.FSID}"
    assert found == SECRETS.replace("cinder_ceph_client_uuid:", uuid)
    (change,) = [c for c in planned(site()) if c.subject.endswith("user_secrets.yml")]
    assert "hunter2" not in repr(change)


def test_nova_of_another_client_has_a_uuid_of_its_own_and_cinders_is_an_extra_one():
    found = made(site(**VMS))
    new = secret_uuid.derived("vms", states.FSID)
    assert found["user_secrets.yml"].endswith(f"nova_ceph_client_uuid: {new}\n")
    said = variables(found)
    assert (said["nova_ceph_client"], said["nova_libvirt_images_rbd_pool"]) == ("vms", "vms")
    assert said["ceph_extra_confs"] == [
        {
            "client_name": "volumes",
            "keyring_src": "/etc/openstack_deploy/ceph/volumes.keyring",
            "keyring_dest": "/etc/ceph/ceph.client.volumes.keyring",
            "secret_uuid": states.FSID,
        }
    ]


def test_nova_of_cinders_client_has_cinders_uuid():
    found = made(site(**SAME))
    assert "nova_ceph_client_uuid" not in found["user_secrets.yml"]
    assert "ceph_extra_confs" not in variables(found)


def test_a_backend_of_another_cluster_brings_its_files_and_its_secret():
    found = made(site(**WEST))
    assert f"fsid = {states.OTHER}" in found["ceph/west.conf"]
    (extra,) = variables(found)["ceph_extra_confs"]
    assert extra == {
        "client_name": "far",
        "keyring_src": "/etc/openstack_deploy/ceph/west.far.keyring",
        "keyring_dest": "/etc/ceph/west.client.far.keyring",
        "secret_uuid": variables(found)["cinder_backends"]["far"]["rbd_secret_uuid"],
        "src": "/etc/openstack_deploy/ceph/west.conf",
        "dest": "/etc/ceph/west.conf",
    }
    assert variables(found)["cinder_backends"]["far"]["rbd_ceph_conf"] == "/etc/ceph/west.conf"


def test_backups_are_switched_on_by_true_and_not_by_a_text():
    said = variables(made(site(**BACKUP)))
    assert said["cinder_service_backup_program_enabled"] is True
    assert said["cinder_service_backup_ceph_user"] == "backups"


def test_stores_of_other_names_have_their_options_beside_them():
    said = variables(made(site("2025.1", **STORES)))
    assert said["glance_default_store"]["name"] == "fast"
    assert said["glance_default_store"]["config"]["rbd_store_pool"] == "images"
    named = [
        one["name"] if isinstance(one, dict) else one for one in said["glance_additional_stores"]
    ]
    assert named[:3] == ["http", "cinder", "slow"] and "'file'" in named[3]


@pytest.mark.parametrize(
    "said, expected",
    [
        ("", ["http", "cinder", OSA.defaults["glance_default_store"]]),
        ("glance_default_store: file\n", ["http", "cinder", "file"]),
        ("glance_default_store: file\nglance_additional_stores: []\n", ["file"]),
        ("glance_default_store: swift\nglance_additional_stores:\n  - http\n", ["http", "swift"]),
    ],
)
def test_images_of_the_store_that_was_the_default_stay_readable(said, expected):
    texts = {"user_variables.yml": VARIABLES + said}
    it = site()
    changes = planned(it, texts)
    notes = "\n".join(deployer.notes(it, deployed.facts(it, of_osa(texts)), changes))
    assert "stay readable" in notes and "os-cinder-install.yml" in notes
    assert variables(made(it, texts))["glance_additional_stores"] == expected


THEIRS = """\
cinder_backends:
  # of the old array
  netapp:
    volume_driver: cinder.volume.drivers.netapp.common.NetAppDriver
    netapp_password: hunter2
  rbd:
    volume_driver: cinder.volume.drivers.rbd.RBDDriver
    rbd_pool: volumes  # since 2021
    rbd_user: "{{ cinder_ceph_client }}"
    rbd_secret_uuid: "{{ cinder_ceph_client_uuid }}"
    volume_backend_name: RBD  # theirs
# the end
"""


def test_other_backends_and_what_is_right_already_stay_byte_by_byte():
    texts = {"user_variables.yml": VARIABLES + THEIRS, "ceph/ceph.conf": CONF}
    it = site()
    found = made(it, texts)["user_variables.yml"]
    kept = [line for line in (VARIABLES + THEIRS).splitlines() if line not in found.splitlines()]
    assert [line.split(":")[0] for line in kept] in ([], ["    volume_backend_name"])
    assert "    netapp_password: hunter2\n" in found and "sha256" not in found
    (change,) = [c for c in planned(it, texts) if c.subject.endswith("user_variables.yml")]
    assert "hunter2" not in repr(change)
    assert list(variables({"user_variables.yml": found})["cinder_backends"]) == ["netapp", "rbd"]


@pytest.mark.parametrize(
    "said",
    [
        "cinder_backends: {}  # none\n",
        "cinder_backends:\n",
        "cinder_backends:\n  # none yet\n\n",
        "cinder_backends: {lvm: {volume_group: cinder-volumes}}\n",
        "cinder_backends:\n  lvm: {volume_group: cinder-volumes}\n  rbd: {}\n",
        "cinder_backends:\n    lvm:\n        volume_group: cinder-volumes\n",
        "cinder_backends:\n  lvm:\n    volume_group: cinder-volumes",
    ],
)
def test_a_table_is_filled_in_whichever_form_it_has(said):
    found = variables(made(site(), {"user_variables.yml": VARIABLES + said}))["cinder_backends"]
    assert found["rbd"]["rbd_user"] == "volumes"
    if "lvm" in said:
        assert found["lvm"] == {"volume_group": "cinder-volumes"}


@pytest.mark.parametrize(
    "secrets, said",
    [
        (f"cinder_ceph_client_uuid: {CINDER}\n", ""),
        (
            "$ANSIBLE_VAULT;1.1;AES256\n6162\n",
            f"cinder_ceph_client_uuid: {CINDER}\nnova_ceph_client_uuid: {CINDER}\n",
        ),
    ],
)
def test_a_uuid_that_is_there_is_used(secrets, said):
    texts = {"user_secrets.yml": secrets, "user_variables.yml": VARIABLES + said}
    it = site()
    assert made(it, texts)["user_secrets.yml"] == secrets
    told = deployer._told(it, deployed.facts(it, of_osa(texts)))
    assert {told.uuid_of(one) for one in it.handed if one.service.key == "cinder"} == {CINDER}


RBD = "volume_driver: cinder.volume.drivers.rbd.RBDDriver"
USED = {"ceph/ceph.conf": CONF}


def _said(text, **files):
    return {"user_variables.yml": VARIABLES + text, **USED, **files}


REFUSED = {
    "no variables": ("zed", {}, {"user_variables.yml": None}, "no such file"),
    "encrypted secrets": (
        "zed",
        {},
        {"user_secrets.yml": "$ANSIBLE_VAULT;1.1;AES256\n61\n"},
        "in user_variables.yml, as it is",
    ),
    "a UUID in the inventory": (
        "zed",
        {},
        {"deployer.inventory": "cinder_ceph_client_uuid:\n"},
        "found it in /etc/openstack_deploy/openstack_user_config.yml",
    ),
    "no UUID": ("zed", {}, _said("cinder_ceph_client_uuid: x\n"), "a UUID, found x"),
    "backends of a storage host": (
        "2025.1",
        {},
        {"deployer.inventory": "      cinder_backends:\n"},
        "no cinder_backends there",
    ),
    "another file of variables": ("2025.1", {}, {"globals.d": "cinder_backends:\n"}, "counts"),
    "another folder for keyrings": (
        "zed",
        {},
        {"user_variables.yml": "ceph_keyrings_dir: /srv/keys\n"},
        "expected ceph_keyrings_dir: /etc/openstack_deploy/ceph, found /srv/keys",
    ),
    "ceph.conf in a variable": (
        "zed",
        {},
        {"user_variables.yml": "ceph_conf_file: |\n  [global]\n  fsid = x\n"},
        "move its text to /etc/openstack_deploy/ceph/ceph.conf",
    ),
    "a cluster in use that cannot be told": (
        "zed",
        {},
        {"user_variables.yml": "glance_default_store: rbd\n"},
        "ceph.conf of the cluster that is in use",
    ),
    "another cluster": (
        "zed",
        {},
        {"ceph/ceph.conf": CONF.replace(states.FSID, states.OTHER)},
        states.OTHER,
    ),
    "a cluster of another name": ("zed", {}, _said("ceph_cluster_name: west\n"), "found west"),
    "images in another pool": (
        "2025.1",
        {},
        _said("glance_default_store: rbd\nglance_rbd_store_pool: pics\n"),
        "expected the pool images of the store rbd, found pics",
    ),
    "images in another pool of a store's own": (
        "2025.1",
        {},
        _said("glance_default_store: {name: rbd, type: rbd, config: {rbd_store_pool: pics}}\n"),
        "expected the pool images of the store rbd, found pics",
    ),
    "images in another store": (
        "2025.1",
        STORES,
        _said("glance_default_store: rbd\n"),
        "expected glance_default_store: one of",
    ),
    "a store that an expression decides": (
        "2025.1",
        {},
        _said('glance_default_store: "{{ x | default(1) }}"\n'),
        "cannot be told",
    ),
    "a list of stores of another name": (
        "2025.1",
        {},
        _said("glance_available_stores: [rbd]\n"),
        "no glance_available_stores",
    ),
    "volumes in another pool": (
        "2025.1",
        {},
        _said(f"cinder_backends:\n  rbd:\n    {RBD}\n    rbd_pool: vols\n"),
        "expected cinder_backends.rbd.rbd_pool: volumes, found vols",
    ),
    "a UUID of a backend's own": (
        "2025.1",
        {},
        _said(f"cinder_backends:\n  rbd:\n    {RBD}\n    rbd_secret_uuid: {NOVA}\n"),
        "rbd_secret_uuid",
    ),
    "a backend of another driver": (
        "2025.1",
        {},
        _said("cinder_backends: {rbd: {volume_driver: x.LVM}}\n"),
        "expected cinder_backends.rbd: on RBD, found x.LVM",
    ),
    "another backend of Cinder's client": (
        "2025.1",
        {},
        _said(
            f"cinder_backends:\n  old:\n    {RBD}\n    rbd_pool: old\n"
            '    rbd_user: "{{ cinder_ceph_client }}"\n'
        ),
        "found cinder, of old",
    ),
    "backends that an expression decides": (
        "2025.1",
        {},
        _said('cinder_backends: "{{ x }}"\n'),
        "cannot be told",
    ),
    "overrides that an expression decides": (
        "2025.1",
        {},
        _said('nova_nova_conf_overrides: "{{ x }}"\n'),
        "cannot be told",
    ),
    "disks of which nothing is said": (
        "2025.1",
        {},
        _said("nova_libvirt_images_rbd_pool: vms\n"),
        "ephemeral = true",
    ),
    "disks in another pool": (
        "2025.1",
        VMS,
        _said("nova_libvirt_images_rbd_pool: disks\n"),
        "expected nova_libvirt_images_rbd_pool: vms, found disks",
    ),
    "two UUIDs of one client": (
        "2025.1",
        SAME,
        {"user_secrets.yml": f"nova_ceph_client_uuid: {NOVA}\ncinder_ceph_client_uuid: {CINDER}\n"},
        "libvirt takes one secret of a client",
    ),
    "backups of which nothing is said": (
        "2025.1",
        {},
        _said(
            "cinder_service_backup_program_enabled: true\n"
            "cinder_service_backup_driver: cinder.backup.drivers.ceph.CephBackupDriver\n"
        ),
        "[cinder.backup]",
    ),
    "backups in another pool": (
        "2025.1",
        BACKUP,
        _said(
            "cinder_service_backup_program_enabled: true\n"
            "cinder_service_backup_driver: cinder.backup.drivers.ceph.CephBackupDriver\n"
            "cinder_service_backup_ceph_pool: old\n"
        ),
        "found old",
    ),
    "backups that an expression decides": (
        "2025.1",
        {},
        _said('cinder_service_backup_program_enabled: "{{ x() }}"\n'),
        "yes or no",
    ),
    "a store of another name": ("2023.1", {"glance": {"store": "ceph"}}, {}, "called rbd"),
    "a client's name on two clusters": (
        "2025.1",
        {
            **WEST,
            "clusters": {"west": {"pools": {"volumes": {}}, "clients": {"volumes": {}}}},
            "cinder": {
                "backends": {
                    "rbd": {"client": "volumes", "pool": "volumes"},
                    "far": {"client": "volumes", "pool": "volumes", "cluster": "west"},
                }
            },
        },
        {},
        "a client's name on one cluster alone",
    ),
    "images on another cluster": (
        "2025.1",
        {
            "hosts": WEST["hosts"],
            "clusters": {"west": {"pools": {"images": {}}, "clients": {"images": {}}}},
            "clients": {"volumes": {}},
            "pools": {"volumes": {}},
            "glance": {"cluster": "west"},
        },
        {},
        "glance on a cluster called ceph, found west",
    ),
    "an option with a template in it": (
        "2025.1",
        {"options": {"cinder": {"rbd": {"rbd_flatten_volume_from_snapshot": "{{ x }}"}}}},
        {},
        "no template in [rbd]",
    ),
}


@pytest.mark.parametrize("release, tables, texts, said", REFUSED.values(), ids=REFUSED)
def test_what_it_cannot_carry_out_is_refused_with_a_way_on(release, tables, texts, said):
    deployed.is_refused(site(release, **tables), texts, said)


@pytest.mark.parametrize(
    "name, text, seen",
    [
        ("user_net.yml", "cinder_backends:\n", {"cinder_backends"}),
        ("user_variables_ceph.yml", "ceph_conf_file: x\n", {"ceph_conf_file"}),
        ("user_variables.yml", "cinder_backends:\n", set()),
        ("user_secrets.yml", "cinder_ceph_client_uuid:\n", set()),
        ("user_variables.yml.example", "cinder_backends:\n", set()),
        ("conf.d/cinder.yml", "cinder_backends:\n", set()),
    ],
)
def test_other_files_of_variables_are_seen(tmp_path, name, text, seen):
    assert _grepped(tmp_path, "deployer.later", name, text) == seen


@pytest.mark.parametrize(
    "name, text, seen",
    [
        ("openstack_user_config.yml", "a:\n      cinder_backends:\n", {"cinder_backends"}),
        ("conf.d/cinder.yml", "      cinder_backends:\n", {"cinder_backends"}),
        ("group_vars/cinder_volume.yml", "cinder_backends: {}\n", {"cinder_backends"}),
        ("openstack_user_config.yml.example", "cinder_backends:\n", set()),
    ],
)
def test_variables_of_hosts_and_groups_are_seen(tmp_path, name, text, seen):
    assert _grepped(tmp_path, "deployer.inventory", name, text) == seen


def _grepped(folder, read_id, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    it = site()
    (read,) = [r for r in deployer.reads(it, it.host("deploy01")) if r.id == read_id]
    argv = [word.replace("/etc/openstack_deploy", str(folder)) for word in read.args["argv"]]
    out = reads.argv(argv, read.args["ok"], read.args["mask"])["out"]
    return deployer_files.names_in(out) & deployer_files.variables_of(OSA)


@pytest.mark.parametrize("release", RELEASES)
def test_each_form_speaks_of_services_that_there_are(release):
    form = OSA.form(release)
    keys = {one.key for one in services.SERVICES}
    assert set(form.globals) == set(form.renders) == keys
    assert {*OSA.keyrings, *OSA.confs, *OSA.tables} == keys
