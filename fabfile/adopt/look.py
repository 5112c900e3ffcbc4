"""What a machine is asked of which nobody knows yet what it is for: all in one trip.

A second one goes only where there is more than one cluster: to the first host of each other one,
and to hosts whose services name another ceph.conf than the usual one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fabfile.adopt import found
from fabfile.adopt.candidates import Chosen
from fabfile.adopt.forms import fits
from fabfile.adopt.found import SERVICES
from fabfile.core.contract import Facts, Host, Json, Read, Seen
from fabfile.doctor.observation import calm
from fabfile.model import releases, site_tables
from fabfile.model.site import Site
from fabfile.resources import ceph_conf, clone_format, cluster, in_force, secret_uuid
from fabfile.resources.cluster import Cluster

UNITS, THERE = "adopt.units", "adopt.there"
KOLLA = "/etc/kolla"


def provisional(chosen: Chosen, ssh: Json) -> dict[str, Json]:
    """A site of the candidates, by which they are reached and asked; none of it is kept.

    ssh: its [ssh].  Where nobody is said to be Ceph's, the first one is.
    """
    hosts = {
        one.name: {"roles": list(one.roles) or ["database"], **one.row} for one in chosen.candidates
    }
    if not chosen.with_role("ceph"):
        next(iter(hosts.values()))["roles"].append("ceph")
    return {"name": "adopted", "hosts": hosts, "ssh": ssh}


def of_other_platforms(
    site: Site, answers: Mapping[str, Seen], tables: Sequence[Mapping[str, Json]]
) -> dict[str, str]:
    """{host: the platform that it is of}, of hosts that are of another than they were asked as.

    tables: config/platforms.  A system that none of these knows stays what it was taken for.
    """
    found = {}
    for name, seen in answers.items():
        told = seen.get("host") or {}
        system = {told.get("os", ""), *told.get("like", ())}
        fit = [str(table["name"]) for table in tables if system & set(table["systems"])]
        if fit and site.platform_of(site.host(name)).name not in fit:
            found[name] = fit[0]
    return found


def admin_key(site: Site, host: Host) -> str:
    """Where the keyring of the cluster's administrator is."""
    return site.platform_of(host).keyring("admin")


def reads(site: Site, host: Host, is_admin: bool) -> list[Read]:
    """What a candidate is asked; is_admin: it answers for the cluster too."""
    platform = site.platform_of(host)
    units = [platform.unit(service) for service in SERVICES]
    names = sorted({*releases.PACKAGES, *platform.packages["libraries"]})
    asked = [
        Read("host", "host"),
        Read("packages", "packages", {"names": names}),
        Read(UNITS, "units", {"names": [*units, *platform.daemons["database"]]}),
        Read(THERE, "exists", {"paths": [KOLLA, admin_key(site, host)]}),
        ceph_conf.read_of(site, host),
    ]
    for service in SERVICES:
        asked += in_force.reads(site, host, service)
    if "compute" in host.roles:
        asked.append(secret_uuid.secrets_of(site, host))
    return [*asked, *(of_the_cluster(site) if is_admin else [])]


def of_the_cluster(site: Site) -> list[Read]:
    """What a cluster is asked, through its first host, whichever that is."""
    of_all = cluster.reads(site, site.admin)
    return [*of_all, *cluster.crush(site), clone_format.read_required(site)]


def further(site: Site, answers: Mapping[str, Seen]) -> dict[Host, list[Read]]:
    """What hosts are asked once more, by what they said; empty where there is one cluster.

    Raises Stop where the first cluster's own answers are missing.
    """
    asked: dict[Host, list[Read]] = {}
    first = cluster.seen(site, calm(site, Facts(answers)))
    for name in first_of_others(site, answers, first):
        asked.setdefault(site.host(name), []).extend(of_the_cluster(site))
    for name, seen in answers.items():
        usual = ceph_conf.path_of(site, site.host(name))
        for path in found.confs(seen):
            if path != usual and fits(site_tables.HostPath, path):
                args = {"path": path, "text": True, "mask": ceph_conf.CREDENTIALS}
                read = Read(f"{found.CONF}{path}", "file", args)
                asked.setdefault(site.host(name), []).append(read)
    return asked


def first_of_others(
    site: Site, answers: Mapping[str, Seen], first: Cluster
) -> dict[str, tuple[str, ...]]:
    """{the host that each other cluster is asked by: all of its Ceph hosts}, by their ceph.conf.

    It is the first of those that have an administrator's keyring, where one has.
    """
    others: dict[str, list[str]] = {}
    for host in site.with_role("ceph"):
        text = found.conf_text(answers.get(host.name, {}), "")
        if host == site.admin or not text or is_of(text, first):
            continue
        others.setdefault(_named(text), []).append(host.name)

    def has_no_key(name: str) -> bool:
        there = answers[name].get(THERE) or {}
        return not there.get(admin_key(site, site.host(name)))

    return {min(names, key=has_no_key): tuple(names) for names in others.values()}


def first_of_each(answers: Mapping[str, Seen], names: Sequence[str]) -> list[str]:
    """Of hosts that hold an administrator's keyring the first, and the first of each other fsid."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(found.fsid(found.conf_text(answers[name], "")), name)
    return [name for fsid, name in first.items() if fsid or name == names[0]]


def is_of(text: str, one: Cluster) -> bool:
    """Whether a ceph.conf may lead to a cluster: by its fsid, or its monitors where it has none.

    One that tells neither leads to whichever is asked for first.
    """
    if said := found.fsid(text):
        return said == one.fsid.lower()
    there = cluster.addresses(" ".join(found.monitors(text)))
    return not there or bool(one.addresses & there)


def _named(text: str) -> str:
    return found.fsid(text) or " ".join(sorted(cluster.addresses(" ".join(found.monitors(text)))))
