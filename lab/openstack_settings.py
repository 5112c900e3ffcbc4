"""What the services' files say in the lab: pure data from a topology.

Only what differs from Debian's samples. Knows no host's state and writes nothing.
"""

import hashlib
import uuid

from lab.options import Settings
from lab.passwords import Passwords
from lab.topology import LabHost, Topology

# Debian's samples name it; another name gives EndpointNotFound in every service.
REGION = "regionOne"
OLD_BACKEND = "nfs"
SHARE_FOLDER = "/srv/cinder"
_MOUNTS = "/var/lib/cinder/mnt"


def share(host: LabHost) -> str:
    """The name of the old backend's share, as an NFS server would give it."""
    return f"{host.address}:{SHARE_FOLDER}"


def share_mount(host: LabHost) -> str:
    """Where os-brick expects that share to be mounted."""
    name = hashlib.md5(share(host).encode(), usedforsecurity=False).hexdigest()
    return f"{_MOUNTS}/{name}"


def files(host: LabHost, topology: Topology, passwords: Passwords) -> dict[str, Settings]:
    """Settings by file of all that `host` runs; its generation's own go over the common ones."""
    found = _files(host, topology, passwords)
    for file, more in host.generation.settings.items():
        for section, options in more.items() if file in found else ():
            found[file][section] = {**found[file].get(section, {}), **options}
    return found


def _files(host: LabHost, topology: Topology, passwords: Passwords) -> dict[str, Settings]:
    writer = _Writer(host, topology, passwords)
    found: dict[str, Settings] = {}
    if host.image == "compute":
        return {
            "etc/nova/nova.conf": writer.nova(),
            "etc/nova/nova-compute.conf": dict(_NOVA_COMPUTE),
        }
    if host.image == "controller":
        if "keystone" in host.runs:
            found["etc/keystone/keystone.conf"] = writer.keystone()
        if "glance" in host.runs:
            found["etc/glance/glance-api.conf"] = writer.glance()
        if "placement" in host.runs:
            found["etc/placement/placement.conf"] = writer.placement()
        if "nova" in host.runs:
            found["etc/nova/nova.conf"] = writer.nova()
        if "neutron" in host.runs:
            found["etc/neutron/neutron.conf"] = writer.neutron()
            found["etc/neutron/plugins/ml2/ml2_conf.ini"] = dict(_ML2)
        if any(name.startswith("cinder") for name in host.runs):
            found["etc/cinder/cinder.conf"] = writer.cinder()
    return found


# Debian starts nova-compute with this file last: what it says wins.
_NOVA_COMPUTE: Settings = {"libvirt": {"virt_type": "qemu", "cpu_mode": "none"}}
# Nova wants a Neutron that answers, not one that connects anything.
_ML2: Settings = {
    "ml2": {
        "type_drivers": "flat",
        "tenant_network_types": "",
        "mechanism_drivers": "",
        "extension_drivers": "port_security",
    }
}


def libvirt_files(host: LabHost) -> dict[str, str]:
    """Lines to add to libvirt's files on a compute."""
    return {
        # No cgroup v1 controllers, namespaces or seccomp inside nspawn.
        "etc/libvirt/qemu.conf": (
            "\ncgroup_controllers = []\nnamespaces = []\nseccomp_sandbox = 0\n"
        ),
        # All hosts see the machine's one DMI uuid otherwise, and libvirt migrates no
        # guest to a host of its own uuid. By TCP with no login: the bridge is the lab's.
        "etc/libvirt/libvirtd.conf": (
            f'\nhost_uuid = "{uuid.uuid5(uuid.NAMESPACE_DNS, host.name)}"\nauth_tcp = "none"\n'
        ),
    }


class _Writer:
    """The settings of one host's services."""

    def __init__(self, host: LabHost, topology: Topology, passwords: Passwords) -> None:
        self._host = host
        self._passwords = passwords
        self._database = topology.home("database").address
        self._keystone = f"http://{topology.home('keystone').address}:5000"
        self._glance = f"http://{topology.home('glance').address}:9292"
        queue = topology.home("queue").address
        self._queue = f"rabbit://openstack:{passwords.queue}@{queue}:5672/"

    def keystone(self) -> Settings:
        return {"database": self._db("keystone")}

    def glance(self) -> Settings:
        return {
            "database": self._db("glance"),
            "keystone_authtoken": self._token("glance"),
            "paste_deploy": {"flavor": "keystone"},
        }

    def placement(self) -> Settings:
        return {
            "placement_database": self._db("placement"),
            "keystone_authtoken": self._token("placement"),
        }

    def neutron(self) -> Settings:
        return {
            "DEFAULT": {"transport_url": self._queue, "service_plugins": ""},
            "database": self._db("neutron"),
            "keystone_authtoken": self._token("neutron"),
            "nova": self._client("nova"),
            "placement": self._client("placement"),
        }

    def cinder(self) -> Settings:
        return {
            "DEFAULT": {
                "transport_url": self._queue,
                "my_ip": self._host.address,
                "glance_api_servers": self._glance,
                "enabled_backends": OLD_BACKEND,
                "default_volume_type": OLD_BACKEND,
                "osapi_volume_workers": "1",
            },
            "database": self._db("cinder"),
            "keystone_authtoken": {
                **self._token("cinder"),
                # Detaching wants Nova's own token since CVE-2023-2088.
                "service_token_roles": "service",
                "service_token_roles_required": "true",
            },
            OLD_BACKEND: {
                "volume_driver": "cinder.volume.drivers.nfs.NfsDriver",
                "volume_backend_name": OLD_BACKEND,
                "nfs_shares_config": "/etc/cinder/nfs_shares",
                "nfs_mount_point_base": _MOUNTS,
                "nas_secure_file_operations": "false",
                "nas_secure_file_permissions": "false",
            },
        }

    def nova(self) -> Settings:
        settings: Settings = {
            "DEFAULT": {"transport_url": self._queue, "my_ip": self._host.address},
            "conductor": {"workers": "1"},
            "scheduler": {"workers": "1"},
            "keystone_authtoken": self._token("nova"),
            "placement": self._client("placement"),
            "neutron": self._client("neutron"),
            "service_user": {
                "send_service_user_token": "true",
                **self._client("nova"),
            },
            "spice": {"enabled": "false"},
            "vnc": {"enabled": "false"},
        }
        if "nova" in self._host.runs:
            settings["api_database"] = self._db("nova", "nova_api")
            settings["database"] = self._db("nova")
        return settings

    def _db(self, user: str, database: str | None = None) -> dict[str, str]:
        password = self._passwords.databases[user]
        where = f"{self._database}:3306/{database or user}"
        return {"connection": f"mysql+pymysql://{user}:{password}@{where}"}

    def _token(self, user: str) -> dict[str, str]:
        return {
            "www_authenticate_uri": self._keystone,
            **self._client(user),
        }

    def _client(self, user: str) -> dict[str, str]:
        return {
            "auth_type": "password",
            "auth_url": self._keystone,
            "project_domain_name": "Default",
            "user_domain_name": "Default",
            "project_name": "service",
            "username": user,
            "password": self._passwords.users[user],
            "region_name": REGION,
        }
