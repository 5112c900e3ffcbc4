"""What we write for Kolla-Ansible, its own genconfig makes into what hosts of packages have.

Each release's real roles and templates, of PyPI; only the container by which a running cloud would
be asked is stood in for.  Compared are effective values, as oslo.config and os-brick read them.
"""

import json
import re
from pathlib import PurePath

import pytest

from fabfile.core.remote import options
from fabfile.model import option_values, services
from fabfile.resources.in_force import same

from ..unit import deployed, states
from . import kolla
from .packages import lacking

VERSIONS = kolla.installed()
pytestmark = pytest.mark.skipif(not VERSIONS, reason="make handover brings Kolla-Ansible here")
POOLS = {"volumes": {}, "images": {}}
ONE = {"cinder": {"backend": "rbd-1"}}
TWO = {
    "cinder": {
        "backends": {
            "rbd-1": {"client": "volumes", "pool": "volumes"},
            "ssd": {"client": "volumes", "pool": "fast", "backend_host": "rbd"},
        },
        "backup": {},
    },
    "pools": {**POOLS, "fast": {}, "backups": {}, "vms": {}},
    "clients": {"volumes": {}, "images": {}, "backups": {}, "vms": {}},
    "nova": {"ephemeral": True, "client": "vms", "pool": "vms"},
    "options": {"cinder": {"ssd": {"rbd_max_clone_depth": 3}}},
}
STORES = {
    "glance": {
        "stores": {
            "rbd": {"client": "images", "pool": "images"},
            "west": {"client": "images", "pool": "images", "cluster": "west"},
        },
        "default_store": "rbd",
    },
    "clusters": {"west": {"pools": {"images": {}}, "clients": {"images": {}}}},
}


def _cases(release):
    """{name: tables of a site file} of what a release can do; each one costs minutes."""
    if release in ("zed", "2023.1"):
        return {"two": TWO, "one": ONE}
    disks = release >= "2025.1"
    return {"two": {**TWO, **STORES}, "elsewhere": deployed.elsewhere(disks), "one": ONE}


CASES = [
    (version, name, tables)
    for version, release in VERSIONS.items()
    for name, tables in _cases(release).items()
]


PLACES = {
    "glance": "glance-api/glance-api.conf",
    "cinder": "cinder-volume/cinder.conf",
    "cinder.backup": "cinder-backup/cinder.conf",
    "nova": "nova-compute/nova.conf",
}


@pytest.mark.parametrize("version, name, tables", CASES, ids=[f"{v}-{n}" for v, n, _ in CASES])
def test_genconfig_makes_of_it_what_packages_have(version, name, tables, tmp_path):
    release = VERSIONS[version]
    texts = {
        "globals.yml": kolla.globals_of(version, tmp_path),
        "passwords.yml": kolla.passwords_of(version, tmp_path),
    }
    if "backup" not in tables.get("cinder", {}):
        texts["globals.yml"] += 'enable_cinder_backup: "no"\n'
    hosts = dict(deployed.HOSTS)
    if "clusters" in tables:
        hosts["west01"] = {"roles": ["ceph"], "cluster": "west"}
    site = deployed.site(release, hosts=hosts, **tables)
    changes = deployed.planned(site, texts)
    told = deployed.carried_out(changes, texts)
    assert not deployed.planned(site, told), "a second run has nothing to do"

    node = kolla.rendered(version, tmp_path, told)

    uuids = dict(re.findall(r"(?m)^((?:cinder_)?rbd_secret_uuid): (\S+)", told["passwords.yml"]))
    tag = next(one for one in site.handed if one.service.key == "cinder").cluster.tag
    known = {
        f"{tag}uuid.volumes": uuids["cinder_rbd_secret_uuid"],
        f"{tag}uuid.vms": uuids["rbd_secret_uuid"],
    }
    for service in services.SERVICES:
        if not any(one.service == service and one.section for one in site.handed):
            continue
        text = (node / PLACES[service.key]).read_text()
        now = {(same(s), k): v.strip('"') for s, k, v in options.active(text)}
        assert len(lacking(release, known, service, {}, **tables)) > 1, "it asks for something"
        assert lacking(release, known, service, now, **tables) == {}
    glance = options.active((node / PLACES["glance"]).read_text())
    (listed,) = [v for s, k, v in glance if (s, k) == ("DEFAULT", "enabled_backends")]
    assert "file:file" in option_values.items(listed), "images that are there stay readable"
    _keys_and_conf(node, site, uuids)


def _keys_and_conf(node, site, uuids):
    """ceph.conf and keyrings where each service looks, and libvirt's secrets with their keys."""
    for one in site.handed:
        service = PLACES[one.service.key].partition("/")[0]
        if service == "nova-compute" and not site.nova.ephemeral:
            continue
        there = _copied(node / service)
        fsid = states.OTHER if one.cluster.label == "west" else states.FSID
        assert ("global", "fsid", fsid) in options.active(there[one.conf].read_text())
        if one.keyring:
            assert deployed.SECRET in there[one.keyring_path].read_text()
    named = [uuids["cinder_rbd_secret_uuid"]] + [uuids["rbd_secret_uuid"]] * site.nova.ephemeral
    for uuid in named:
        value = (node / f"nova-libvirt/secrets/{uuid}.base64").read_text().strip()
        assert value == deployed.SECRET


def _copied(folder):
    """{a path in a container: the file that its config.json has copied there}."""
    found = {}
    for one in json.loads((folder / "config.json").read_text())["config_files"]:
        sources = list(folder.glob(one["source"].removeprefix("/var/lib/kolla/config_files/")))
        assert sources or one.get("optional"), f"{one['source']}: no such file"
        for source in sources:
            place = PurePath(one["dest"]) / (source.name if one["dest"].endswith("/") else "")
            below = source.rglob("*") if source.is_dir() else [source]
            found |= {str(place / path.relative_to(source)): path for path in below}
    return found
