"""Reads a topology file: which hosts there are, of which generation, and what runs on each.

Knows the services' names, not how they are set up.
"""

import ipaddress
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab import generation, places
from lab.errors import LabError
from lab.generation import Generation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "topologies"
IMAGES = generation.KINDS
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
    """One host: its name, its address, its image's generation and kind, and what it runs.

    cluster: of a Ceph host, which cluster it is of; '' is the cloud's first one.
    """

    name: str
    address: str
    image: str
    runs: tuple[str, ...]
    generation: Generation
    cluster: str = ""

    @property
    def units(self) -> list[str]:
        """The systemd units of all that it runs (Ceph's are named in `ceph`)."""
        units = self.generation.units
        return [unit for name in units if name in self.runs for unit in units[name]]


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
    def clusters(self) -> "tuple[Topology, ...]":
        """Of each Ceph cluster, in the file's order: the same with its own hosts alone."""
        ceph = [host for host in self.hosts if host.image == "ceph"]
        names = dict.fromkeys(host.cluster for host in ceph)
        return tuple(
            replace(self, hosts=tuple(host for host in ceph if host.cluster == name))
            for name in names
        )

    @property
    def generations(self) -> str:
        """The hosts' generations in words: "trixie", or "ceph of sid, else trixie"."""
        main = self.home("keystone").generation.name
        kinds: dict[str, dict[str, None]] = {}
        for host in self.hosts:
            kinds.setdefault(host.image, {})[host.generation.name] = None
        others = [f"{kind} of {' and '.join(of)}" for kind, of in kinds.items() if [*of] != [main]]
        return ", ".join([*others, f"else {main}"]) if others else main

    def with_generations(self, chosen: Mapping[str, str]) -> "Topology":
        """The same, where each of these hosts is of that generation. Raises LabError."""
        of = {self.host(name).name: generation.load(to) for name, to in chosen.items()}
        hosts = (
            replace(host, generation=of.get(host.name, host.generation)) for host in self.hosts
        )
        return replace(self, hosts=tuple(hosts))

    @property
    def description(self) -> str:
        """All that makes this topology: its file's text, and each host's generation."""
        return json.dumps([self.text, [host.generation.name for host in self.hosts]])

    @property
    def netmask(self) -> int:
        """The prefix's length, as in /24."""
        return ipaddress.ip_network(self.prefix).prefixlen


def load(file: Path | str, name: str = "", ceph: str = "") -> Topology:
    """Read and check `file`. Raises LabError that names the key at fault.

    `name` is the generation of all hosts, `ceph` the one of the Ceph hosts where it is another.
    """
    path = Path(file)
    try:
        text = path.read_text()
        data = tomllib.loads(text)
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}: expected a topology file") from error
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"{path}: not TOML: {error}") from error
    try:
        topology = _topology(data, text, _Chosen(name or generation.default(), ceph))
    except KeyError as error:
        raise LabError(f"{path}: the key {error} is missing") from error
    _check(path, topology)
    return topology


@dataclass(frozen=True)
class _Chosen:
    """The generation that was asked for, and the Ceph hosts' where it is another."""

    name: str
    ceph: str

    def of(self, image: str) -> Generation:
        return generation.load((image == "ceph" and self.ceph) or self.name)


def _topology(data: dict[str, Any], text: str, chosen: _Chosen) -> Topology:
    hosts = tuple(
        LabHost(
            name,
            item["address"],
            item["image"],
            tuple(item["runs"]),
            chosen.of(item["image"]),
            item.get("cluster", ""),
        )
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
        if host.cluster and host.image != "ceph":
            raise LabError(f"{where}.cluster: {host.cluster!r}: expected on Ceph hosts alone")
    for service in ONCE:
        if len(topology.running(service)) != 1:
            found = len(topology.running(service))
            raise LabError(f"{path}: {service} on {found} hosts, expected exactly 1")
    if not topology.running("nova-compute"):
        raise LabError(f"{path}: nova-compute: expected at least one host")
    for part in topology.clusters or (topology,):
        for service in ("ceph-mon", "ceph-mgr", "ceph-osd"):
            if not part.running(service):
                of = f" of the cluster {name!r}" if (name := part.hosts[0].cluster) else ""
                raise LabError(f"{path}: {service}: expected at least one host{of}")
