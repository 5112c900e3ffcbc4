"""What we write for OpenStack-Ansible, its roles' templates make into what hosts of packages have.

The roles of each release, with their defaults and group_vars and our variables over them, rendered
by Jinja.  Compared are effective values, as oslo.config and os-brick read them.
"""

import re

import pytest
import yaml

from fabfile.core.remote import options
from fabfile.model import services
from fabfile.resources import secret_uuid
from fabfile.resources.in_force import same

from ..unit import deployed, states
from . import openstack_ansible
from .openstack_ansible import Role
from .packages import lacking

RELEASES = sorted(path.parent.name for path in openstack_ansible.ROLES.glob("*/os_cinder"))
pytestmark = pytest.mark.skipif(
    not RELEASES, reason="STACKRBD_OSA_ROLES names a folder of RELEASE/ROLE"
)
BASE = "/etc/openstack_deploy/"
POOLS = {"volumes": {}, "images": {}}
ONE = {"cinder": {"backend": "rbd"}}
TWO = {
    "cinder": {
        "backends": {
            "rbd": {"client": "volumes", "pool": "volumes"},
            "ssd": {"client": "fast", "pool": "fast", "backend_host": "rbd"},
        },
        "backup": {},
    },
    "pools": {**POOLS, "fast": {}, "backups": {}, "vms": {}},
    "clients": {"volumes": {}, "fast": {}, "images": {}, "backups": {}, "vms": {}},
    "nova": {"ephemeral": True, "client": "vms", "pool": "vms"},
    "options": {"cinder": {"ssd": {"rbd_max_clone_depth": 3}}},
}
CLUSTERS = {
    "cinder": {
        "backends": {
            "rbd": {"client": "volumes", "pool": "volumes"},
            "far": {"client": "far", "pool": "volumes", "cluster": "west"},
        }
    },
    "clusters": {"west": {"pools": {"volumes": {}}, "clients": {"far": {}}}},
}
STORES = {
    "pools": {**POOLS, "pics": {}},
    "glance": {
        "stores": {
            "fast": {"client": "images", "pool": "images"},
            "rbd": {"client": "images", "pool": "pics"},
        },
        "default_store": "fast",
    },
}
CASES = [
    (release, name, tables)
    for release in RELEASES
    for name, tables in {
        "one": ONE,
        "two": TWO,
        "clusters": CLUSTERS,
        **({"stores": STORES} if release not in ("zed", "2023.1") else {}),
    }.items()
]
OF = {
    "glance": ("os_glance", "glance-api.conf.j2", ["glance_all", "glance_api"]),
    "cinder": ("os_cinder", "cinder.conf.j2", ["cinder_all", "cinder_volume", "cinder_backup"]),
    "cinder.backup": (
        "os_cinder",
        "cinder.conf.j2",
        ["cinder_all", "cinder_volume", "cinder_backup"],
    ),
    "nova": ("os_nova", "nova.conf.j2", ["nova_all", "nova_compute"]),
}
OVERRIDES = {
    "glance": "glance_glance_api_conf_overrides",
    "cinder": "cinder_cinder_conf_overrides",
    "cinder.backup": "cinder_cinder_conf_overrides",
    "nova": "nova_nova_conf_overrides",
}


@pytest.mark.parametrize("release, name, tables", CASES, ids=[f"{r}-{n}" for r, n, _ in CASES])
def test_the_roles_templates_make_of_it_what_packages_have(release, name, tables):
    hosts = dict(deployed.HOSTS)
    if "clusters" in tables:
        hosts["west01"] = {"roles": ["ceph"], "cluster": "west"}
    site = deployed.site(release, deployer="openstack-ansible", hosts=hosts, **tables)
    before = {
        name: (
            openstack_ansible.ROLES / release / "openstack-ansible/etc/openstack_deploy" / name
        ).read_text()
        for name in ("user_variables.yml", "user_secrets.yml")
    }
    texts = deployed.carried_out(deployed.planned(site, before), before)
    assert not deployed.planned(site, texts), "a second run has nothing to do"
    said = {
        **yaml.safe_load(texts["user_secrets.yml"]),
        **yaml.safe_load(texts["user_variables.yml"]),
    }
    files = {f"{BASE}{name}": text for name, text in texts.items()}

    uuids = _secrets(release, said, files)
    known = {secret_uuid.known_as(client): uuid for client, uuid in uuids.items()}
    known |= {f"west/{name}": uuid for name, uuid in known.items() if "far" in name}
    for service in services.SERVICES:
        if not any(one.service == service and one.section for one in site.handed):
            continue
        if service == services.NOVA_COMPUTE and not site.nova.ephemeral:
            continue
        now = _effective(release, service, said, files)
        assert len(lacking(release, known, service, {}, **tables)) > 1, "it asks for something"
        assert lacking(release, known, service, now, **tables) == {}
    _conf_and_keyrings(release, site, said, files)


def _effective(release, service, said, files):
    """{(section, option): value} of a service's file, its role's overrides laid over it."""
    role_name, template, groups = OF[service.key]
    role = Role(release, role_name, said, files, groups)
    if service == services.NOVA_COMPUTE:  # as its tasks and the playbook have it
        role.variables |= {"nova_virt_type": "kvm", **role.get("nova_virt_types")["kvm"]}
        cinder = Role(release, "os_cinder", said, files, OF["cinder"][2])
        role.variables["nova_cinder_rbd_inuse"] = cinder.get("cinder_backend_rbd_inuse")
    text = role.rendered(template)
    now = {(same(s), k): v.strip('"') for s, k, v in options.active(text)}
    for section, table in role.get(OVERRIDES[service.key]).items():
        now |= {(same(section), key): str(value) for key, value in table.items()}
    return now


def _secrets(release, said, files):
    """{client: its UUID in libvirt}, as ceph_client gives them to it; one of each name."""
    role = Role(release, "ceph_client", said, files, ["nova_all", "nova_compute"])
    found = {role.get("nova_ceph_client"): role.get("nova_ceph_client_uuid")}
    for one in role.made(said.get("ceph_extra_confs", [])):
        assert files[one["keyring_src"]].startswith(f"[client.{one['client_name']}]")
        if one["client_name"] in found:
            assert one["secret_uuid"] == found[one["client_name"]]
        found[one["client_name"]] = one["secret_uuid"]
    return found


def _conf_and_keyrings(release, site, said, files):
    """The text of ceph.conf, and a keyring for each client that the role looks for."""
    for service in services.SERVICES:
        role = Role(release, "ceph_client", said, files, OF[service.key][2])
        conf = role.get("ceph_conf_file")
        assert ("global", "fsid", states.FSID) in options.active(conf)
        clients = (
            [one["name"] for one in role.get("ceph_client_filtered_clients")]
            if isinstance(role.get("ceph_client_filtered_clients")[0], dict)
            else role.get("ceph_client_filtered_clients")
        )
        extra = [one["client_name"] for one in said.get("ceph_extra_confs", [])]
        for client in clients:
            text = files[f"{role.get('ceph_keyrings_dir')}/{client}.keyring"]
            (key,) = re.findall(r"(?m)^\s*key\s*=\s*(.*)$", text)
            assert key == deployed.SECRET
        for one in site.handed:
            if one.service == service and one.keyring:
                assert one.client in [*clients, *extra]
