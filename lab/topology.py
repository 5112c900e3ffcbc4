"""Reads a topology file: which hosts there are and what runs on each.

Knows the services' names, not how they are set up.
"""

import ipaddress
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import places
from lab.errors import LabError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "topologies"
IMAGES = ("ceph", "controller", "compute")
SERVICES = {
    "ceph": ("ceph-mon", "ceph-mgr", "ceph-osd", "apt-repository"),
    "controller": (
        *("database", "queue", "keystone", "glance", "placement", "nova", "neutron"),
        *("cinder-api", "cinder-scheduler", "cinder-volume"),
    ),
    "compute": ("nova-compute",),
}
# Each is the one place that the others are told to find it at.
ONCE = (
    "apt-repository",
    *SERVICES["controller"],
)


@dataclass(frozen=True)
class LabHost:
    """One host: its name, its address, its image's kind and what it runs."""

    name: str
    address: str
    image: str
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Topology:
    """A whole cloud as its file describes it."""

    name: str
    bridge: str
    prefix: str
    control: str
    osd_size_gib: int
    osd_memory_mib: int
    hosts: tuple[LabHost, ...]
    text: str

    def running(self, service: str) -> tuple[LabHost, ...]:
        """The hosts that run `service`, in the file's order."""
        return tuple(host for host in self.hosts if service in host.runs)

    def home(self, service: str) -> LabHost:
        """The one host of a service that has one home."""
        return self.running(service)[0]

    def host(self, name: str) -> LabHost:
        """The host called `name`; LabError when there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        names = ", ".join(host.name for host in self.hosts)
        raise LabError(f"no host {name!r} in topology {self.name}: it has {names}")

    @property
    def netmask(self) -> int:
        """The prefix's length, as in /24."""
        return ipaddress.ip_network(self.prefix).prefixlen


def load(file: Path | str) -> Topology:
    """Read and check `file`. Raises LabError that names the key at fault."""
    path = Path(file)
    try:
        text = path.read_text()
        data = tomllib.loads(text)
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}: expected a topology file") from error
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"{path}: not TOML: {error}") from error
    try:
        topology = _topology(data, text)
    except KeyError as error:
        raise LabError(f"{path}: the key {error} is missing") from error
    _check(path, topology)
    return topology


def _topology(data: dict[str, Any], text: str) -> Topology:
    hosts = tuple(
        LabHost(name, item["address"], item["image"], tuple(item["runs"]))
        for name, item in data["hosts"].items()
    )
    network, ceph = data["network"], data["ceph"]
    return Topology(
        name=data["name"],
        bridge=network["bridge"] + places.SUFFIX,
        prefix=network["prefix"],
        control=network["control"],
        osd_size_gib=ceph["osd_size_gib"],
        osd_memory_mib=ceph["osd_memory_mib"],
        hosts=hosts,
        text=text,
    )


def _check(path: Path, topology: Topology) -> None:
    network = ipaddress.ip_network(topology.prefix)
    for host in topology.hosts:
        where = f"{path}: hosts.{host.name}"
        if host.image not in IMAGES:
            raise LabError(f"{where}.image: expected one of {IMAGES}: {host.image!r}")
        if ipaddress.ip_address(host.address) not in network:
            raise LabError(f"{where}.address: {host.address} is not in {network}")
        for service in host.runs:
            if service not in SERVICES[host.image]:
                known = ", ".join(SERVICES[host.image])
                raise LabError(f"{where}.runs: {service!r}: expected some of {known}")
    for service in ONCE:
        if len(topology.running(service)) != 1:
            found = len(topology.running(service))
            raise LabError(f"{path}: {service} on {found} hosts, expected exactly 1")
    for service in ("ceph-mon", "ceph-mgr", "ceph-osd", "nova-compute"):
        if not topology.running(service):
            raise LabError(f"{path}: {service}: expected at least one host")
