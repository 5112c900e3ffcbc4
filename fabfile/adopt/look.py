"""What a machine is asked of which nobody knows yet what it is for: all in one trip."""

from __future__ import annotations

from fabfile.adopt.candidates import Chosen
from fabfile.adopt.found import SERVICES
from fabfile.core.contract import Host, Json, Read
from fabfile.model import releases
from fabfile.model.site import Site
from fabfile.resources import ceph_conf, clone_format, cluster, in_force, secret_uuid

UNITS, THERE = "adopt.units", "adopt.there"
KOLLA = "/etc/kolla"


def provisional(chosen: Chosen, ssh: Json) -> dict[str, Json]:
    """A site of the candidates, by which they are reached and asked; none of it is kept.

    ssh: its [ssh].  Where nobody is said to be Ceph's, the first one is.
    """
    hosts = {}
    for one in chosen.candidates:
        table: dict[str, Json] = {"roles": list(one.roles) or ["database"]}
        for key in ("address", "user", "port"):
            if (value := getattr(one, key)) is not None:
                table[key] = value
        hosts[one.name] = table
    if not chosen.with_role("ceph"):
        next(iter(hosts.values()))["roles"].append("ceph")
    return {"name": "adopted", "hosts": hosts, "ssh": ssh}


def admin_key(site: Site, host: Host) -> str:
    """Where the keyring of the cluster's administrator is."""
    return site.platform_of(host).keyring("admin")


def reads(site: Site, host: Host, is_admin: bool) -> list[Read]:
    """What a candidate is asked; is_admin: it answers for the cluster too."""
    platform = site.platform_of(host)
    units = [platform.unit(service) for service in SERVICES]
    names = sorted({*releases.PACKAGES, *platform.packages["libraries"]})
    found = [
        Read("host", "host"),
        Read("packages", "packages", {"names": names}),
        Read(UNITS, "units", {"names": [*units, *platform.daemons["database"]]}),
        Read(THERE, "exists", {"paths": [KOLLA, admin_key(site, host)]}),
        ceph_conf.read_of(site, host),
    ]
    for service in SERVICES:
        found += in_force.reads(site, host, service)
    if "compute" in host.roles:
        found.append(secret_uuid.secrets_of(site, host))
    return [*found, *(of_the_cluster(site, host) if is_admin else [])]


def of_the_cluster(site: Site, host: Host) -> list[Read]:
    """What the cluster is asked, through its first host."""
    return [*cluster.reads(site, host), *cluster.crush(site), clone_format.read_required(site)]
