"""What was seen, and what could not be looked at: all that a verdict is made from.

Knows the further questions that no resource asks; decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from fabfile.core.contract import CLOUD, Facts, Host, Json, Read, Stop
from fabfile.model import services
from fabfile.model.deployment import Binding
from fabfile.model.releases import Other
from fabfile.model.site import Site
from fabfile.resources import by_cluster, by_place, client_limits, cluster, domains
from fabfile.resources.resource import Resource
from fabfile.resources.service_config import OLD_DATADIR

DISKS = ("/", "/etc", "/var", "/var/log", "/var/lib/nova", "/var/lib/stackrbd")
UNITS, ORCHESTRATOR = "ceph.daemons", "ceph.orchestrator"
"""Reads: Ceph's units on its hosts; who orchestrates the cluster."""
PROGRAMS = "programs"
CONFINEMENT = "confinement"
"""Read: which of the programs by which `ceph` is begun are there, outside of PATH too."""
CEPH_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "/snap/bin/ceph": ("/snap/bin/ceph",),
    "/snap/bin/microceph.ceph": ("/snap/bin/microceph.ceph",),
    "/usr/sbin/cephadm": ("/usr/sbin/cephadm", "shell", "--", "ceph"),
    "/usr/bin/cephadm": ("/usr/bin/cephadm", "shell", "--", "ceph"),
    "/usr/local/sbin/cephadm": ("/usr/local/sbin/cephadm", "shell", "--", "ceph"),
    "/usr/local/bin/cephadm": ("/usr/local/bin/cephadm", "shell", "--", "ceph"),
    "/opt/bin/cephadm": ("/opt/bin/cephadm", "shell", "--", "ceph"),
}
"""{a program: how `ceph` is begun with it}: MicroCeph's snap, and cephadm's container."""
MOST_GUESTS = 64
"""Running guests of a compute whose disks are looked at: a virsh each."""


@dataclass(frozen=True)
class Looked:
    """One look at a whole site.

    facts: the answers; known['uuid.CLIENT'] only where the UUID is beyond doubt.
    unreachable: {host: why}.
    errors: {(host, read id): why it could not be looked at}; where something of another kind
    than asked is there, subject is its path and found what it is.
    clocks: {host: (least, most)} seconds by which its clock is before ours.
    here: what is known of the operator's own machine.
    releases: the names of all OpenStack releases, the oldest first; release: the site's;
    other_release: that the hosts have another one than that.
    doubts: what cannot be told of the site as a whole (code, why).
    """

    facts: Facts
    unreachable: Mapping[str, Stop] = field(default_factory=dict)
    errors: Mapping[tuple[str, str], Stop] = field(default_factory=dict)
    clocks: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    here: Mapping[str, Json] = field(default_factory=dict)
    releases: tuple[str, ...] = ()
    release: str = ""
    other_release: Other | None = None
    hazards: tuple[Mapping[str, Json], ...] = ()
    doubts: tuple[tuple[str, Stop], ...] = ()

    def seen(self, host: str, read: str) -> Json:
        """One answer, or None where there is none."""
        return self.facts.hosts.get(host, {}).get(read)


def reads(site: Site, host: Host) -> list[Read]:
    """What no resource asks and a doctor wants to know."""
    if host.name == CLOUD:
        return []
    found = [Read("disk", "disk", {"paths": list(DISKS)})]
    found += by_cluster.reads(site, host, _of_a_cluster)
    platform = site.platform_of(host)
    names = [platform.unit(service) for service in services.on(host)]
    if not names:
        return found
    found.append(Read("units", "units", {"names": names}))
    found.append(Read("packages", "packages", {"names": list(platform.packages["libraries"])}))
    if "glance" in host.roles:
        container = platform.container(services.GLANCE_API)
        argv = [
            *([container] if container else []),
            "find",
            OLD_DATADIR,
            "-maxdepth",
            "1",
            "-type",
            "f",
            "-print",
            "-quit",
        ]
        found.append(Read("glance.files", "argv", {"argv": argv, "ok": [0, 1]}))
    path = platform.environment.get(services.CINDER_VOLUME.name)
    if "cinder" in host.roles and path:
        argv = ["grep", "-n", "CEPH_ARGS", path]
        found.append(Read("cinder.defaults", "argv", {"argv": argv, "ok": [0, 1, 2]}))
    if "compute" in host.roles:
        found += _of_a_compute(site, host)
    return [*found, _confined(site, host)]


def _confined(site: Site, host: Host) -> Read:
    """What SELinux and AppArmor denied within a day, and the labels of what is written there."""
    bindings = site.bindings_of(host)
    paths = {one.platform.ceph["folder"] for one in bindings} | {one.conf for one in bindings}
    paths |= {one.keyring_path for one in bindings if one.keyring}
    paths |= {one.file for one in bindings}
    args = {"paths": sorted(paths), "seconds": 24 * 3600}
    return Read(CONFINEMENT, "confinement", args)


def _of_a_cluster(site: Site, host: Host) -> Iterator[Read]:
    """What is asked of a cluster, and of its files on the hosts that use it."""
    if "ceph" in host.roles:
        yield from _of_ceph(site, host)
    if host == site.admin:
        ratios = {
            "argv": cluster.ceph(site, "osd", "dump"),
            "only": r'"[a-z]*full_ratio":\s*[0-9.]+',
        }
        yield Read("ceph.ratios", "argv", ratios)
        yield client_limits.kinds(site)
        yield cluster.df(site)
    yield from by_place.reads(site, host, _of_a_place)


def _of_a_place(site: Site, host: Host) -> Iterator[Read]:
    """What is asked with a service's own files of the cluster, and which of them are there."""
    if site.is_supplied:
        mine = {b.client: b for b in site.bindings_of(host) if b.keyring}
        for use in (one for one in site.uses() if one.client in mine):
            yield client_read(mine[use.client], use.pool)
    if services.on(host):
        folder = site.platform_of(host).ceph["folder"]
        named = ["-maxdepth", "1", "-name", "*.keyring", "-printf", r"%f %m %u %g\n"]
        yield Read("ceph.keyrings", "argv", {"argv": ["find", folder, *named], "ok": [0, 1]})


def client_read(binding: Binding, pool: str) -> Read:
    """Whether a client may list a pool's images, with its own keyring; a letter of them comes."""
    login = ["--cluster", binding.cluster.name, "-c", binding.named_conf, "--id", binding.client]
    argv = binding.platform.command("rbd-of-services", *login, "ls", "-p", pool)
    args = {"argv": argv, "ok": list(range(256)), "only": r"\A[^\n]"}
    return Read(f"as.{binding.client}.{pool}", "argv", args)


def _of_ceph(site: Site, host: Host) -> list[Read]:
    """How Ceph's daemons run there.  The monitors answer who orchestrates, without a manager."""
    argv = site.platform_of(host).command("units", "ceph-*@*", "snap.microceph.*")
    found = [Read(UNITS, "argv", {"argv": argv, "ok": [0, 1], "only": r"(?m)^\S+ +\S+ +\S+"})]
    if host == site.admin:
        programs = ["find", "-L", *CEPH_PROGRAMS, "-maxdepth", "0"]
        found.append(Read(PROGRAMS, "argv", {"argv": programs, "ok": [0, 1]}))
        asked = cluster.ceph(site, "config", "get", "mgr", "mgr/orchestrator/orchestrator")
        found.append(Read(ORCHESTRATOR, "argv", {"argv": asked, "ok": [0, 2, 22]}))
    return found


def _of_a_compute(site: Site, host: Host) -> list[Read]:
    platform = site.platform_of(host)
    return [
        Read("libvirt.daemons", "units", {"names": list(platform.daemons["libvirt"])}),
        domains.read(platform, MOST_GUESTS),
    ]


def calm(site: Site, facts: Facts) -> Facts:
    """The facts of clusters that may be worked on: their health has findings of its own."""
    calm = {"code": 0, "out": '{"checks": {}}', "err": ""}
    hosts = dict(facts.hosts)
    for part in site.parts:
        health, admin = by_cluster.tagged(part, "ceph.health"), part.admin.name
        if health in hosts.get(admin, {}):
            hosts[admin] = {**hosts[admin], health: calm}
    return replace(facts, hosts=hosts)


RESOURCE = Resource("doctor", reads)
"""It asks, and plans nothing."""
