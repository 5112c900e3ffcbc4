"""The bootstrapped state of a cloud: made once, kept in the cache as a layer a host.

Knows in which order a cloud is made from its images; `cloud` starts hosts from what
is kept here.
"""

import shutil
from pathlib import Path

from lab import (
    access,
    apt_repository,
    cache_key,
    ceph,
    endpoints,
    generation,
    hosts,
    images,
    layers,
    openstack_bootstrap,
    openstack_objects,
    openstack_settings,
    options,
    passwords,
    places,
    readiness,
    seed,
)
from lab.generation import Generation
from lab.images import Image
from lab.passwords import Passwords
from lab.progress import say
from lab.topology import LabHost, Topology

_MADE_BY = (
    *(apt_repository, ceph, endpoints, openstack_bootstrap, openstack_objects),
    *(openstack_settings, options, passwords, seed),
)
_CLOUDS_YAML = "clouds.yaml"


def place(topology: Topology) -> Path:
    """Where the state is kept: named by all that it is made from."""
    parts = [images.key(image_of(host)) for host in topology.hosts]
    parts += sorted({generation.text(host.generation) for host in topology.hosts})
    # The hosts hold these keys: a state with others is of no use.
    parts += [topology.description, access.fingerprint(topology)]
    of = "-".join(sorted({host.generation.name for host in topology.hosts}))
    return places.CLOUDS / f"{of}-{topology.name}-{cache_key.of(parts, _MADE_BY)}"


def image_of(host: LabHost) -> Image:
    """The image that a host is made from."""
    return Image(host.generation, host.image)


def layers_of(state: Path, host: LabHost) -> list[Path]:
    """What a host starts from, topmost first.

    The images are those of its bootstrap, also after newer ones were built.
    """
    lower = (state / f"{host.name}.layers").read_text().split()
    return [state / host.name, *map(Path, lower)]


def clouds_yaml(state: Path) -> str:
    """The admin's file of that cloud."""
    return (state / _CLOUDS_YAML).read_text()


def make(topology: Topology) -> None:
    """Make the cloud, stop it cleanly and keep each host's changes. Raises LabError.

    A failure leaves the hosts as they are, to be looked at.
    """
    say(f"no bootstrapped state of {topology.name!r} in the cache: making it")
    target = place(topology)
    part = places.BUILDS / "cloud"
    layers.remove_tree(part)
    part.mkdir(parents=True)
    secret = Passwords()
    _start(topology, secret)
    readiness.wait_for_ssh(list(topology.hosts))
    for cluster in topology.clusters:
        ceph.bootstrap(cluster)
    openstack_bootstrap.bootstrap(topology, secret, part / _CLOUDS_YAML)
    say("stopping all hosts cleanly, to keep what was made")
    names = [host.name for host in topology.hosts]
    hosts.stop(names, patience=hosts.CLEANLY)
    for name in names:
        hosts.unmount(name)
        layers.keep(hosts.folder(name) / "upper", part / name)
        hosts.remove(name)
    for host in topology.hosts:
        lower = "\n".join(map(str, images.layers_of(image_of(host))))
        (part / f"{host.name}.layers").write_text(lower + "\n")
    layers.keep(part, target)


def _start(topology: Topology, secret: Passwords) -> None:
    """Start all hosts from their images, with their own files in them."""
    # An earlier attempt that was broken off leaves hosts of no use.
    hosts.drop(hosts.started())
    for host in topology.hosts:
        root = hosts.mount(host, images.layers_of(image_of(host)))
        seed.write(root, host, topology)
        openstack_bootstrap.configure(root, host, topology, secret)
        if "apt-repository" in host.runs:
            install_repository(root, topology.home("keystone").generation)
    for host in topology.hosts:
        hosts.start(host, topology)


def install_repository(root: Path, generation: Generation) -> None:
    """The lab's own apt repository and what serves it, into a host's mounted root."""
    shutil.copytree(apt_repository.folder(generation), root / "srv/apt")
    unit = root / "etc/systemd/system" / apt_repository.UNIT
    unit.write_text(apt_repository.unit_file())
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / apt_repository.UNIT).symlink_to(f"../{apt_repository.UNIT}")
