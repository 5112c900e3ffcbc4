"""The Ceph client's packages, and the signed source that they come from.

Debian, Ubuntu and the EL family, each by its own package manager (apt_source, dnf_source); other
families are refused in a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fabfile.core.contract import BadInput, Change, Facts, Host, Read, Seen
from fabfile.model import ceph_releases, services
from fabfile.model.ceph_releases import Feature
from fabfile.model.phases import Phase
from fabfile.model.site import Site
from fabfile.resources.apt_source import Apt
from fabfile.resources.dnf_source import Dnf
from fabfile.resources.package_source import PackageSource
from fabfile.resources.resource import Resource

KOLLA = "/etc/kolla"
SOURCES: Mapping[str, PackageSource] = {"apt": Apt(), "dnf": Dnf()}
"""{a platform's package manager: how it is told a source}."""


def client_hosts(site: Site) -> list[Host]:
    """The hosts that use the cluster."""
    return site.with_role(*services.ROLES)


def is_client(host: Host) -> bool:
    """Whether a host is one of them."""
    return bool(services.on(host))


def packages_of(site: Site, host: Host) -> list[str]:
    """What a host needs: the client, and what its services need beside it."""
    packages = site.platform_of(host).packages
    own = (name for service in services.on(host) for name in packages.get(service.name, ()))
    return [*packages["client"], *own]


def source_of_platform(site: Site, host: Host) -> PackageSource:
    """How a host's package manager is told the site's source."""
    return SOURCES[site.platform_of(host).manager]


def older_client(seen: Seen, package: str, feature: Feature) -> str:
    """The library of a host that may not know something, or that it may get; '' for none."""
    text = seen["packages"].get(package)
    version = ceph_releases.version(text)
    if text is None:
        system = seen["host"]
        last = feature.older_systems.get(system.get("os", ""))
        if last and _numbers(system.get("version", "")) <= last:
            return f"{package} of {system.get('name')}, if that gets its own"
    elif version is None or not feature.known_to(version):
        return f"{package} {text}"
    return ""


def _numbers(text: str) -> tuple[int, ...]:
    """(18, 4) of '18.04'; nothing is older than a system that has no number (sid)."""
    return tuple(map(int, re.findall(r"\d+", text))) or (10**6,)


def reads(site: Site, host: Host) -> list[Read]:
    """The system, the packages, and the source's two files."""
    if not is_client(host):
        return []
    names = packages_of(site, host)
    return [
        Read("host", "host"),
        Read("packages", "packages", {"names": names}),
        Read("kolla", "exists", {"paths": [KOLLA]}),
        *(source_reads(site, host, names) if names else ()),
    ]


def source_reads(site: Site, host: Host, names: Sequence[str]) -> list[Read]:
    """What has to be known before packages are installed from wherever they come."""
    return source_of_platform(site, host).reads(site, host, names)


def supported(site: Site, host: Host, seen: Seen) -> None:
    """Raises BadInput for a system that is not of the host's platform."""
    platform, found = site.platform_of(host), seen["host"]["name"]
    system = {seen["host"]["os"], *seen["host"]["like"]}
    if not system & set(platform.systems):
        others = [one.name for one in site.platforms if system & set(one.systems)]
        advice = f'say platform = "{others[0]}" of it in [hosts]' if others else ""
        raise BadInput(
            host=host.name,
            subject="system",
            expected=f"one of the platform {platform.name} ({', '.join(platform.systems)})",
            found=found,
            advice=advice,
        )
    if seen["kolla"][KOLLA] and not platform.containers:
        raise BadInput(
            host=host.name,
            subject=KOLLA,
            expected="none on a host of packages",
            found="it is there",
            why="services in Kolla's containers read other files",
            advice='hand over to Kolla-Ansible (deployer = "kolla"), or say '
            f'platform = "kolla" for {host.name} in [hosts] (docs/platforms.md)',
        )
    if platform.containers and not seen["kolla"][KOLLA]:
        raise BadInput(
            host=host.name,
            subject=KOLLA,
            expected=f"the files of a host of the platform {platform.name}",
            found="no such folder",
            advice="take platform from this host in [hosts]",
        )


def plan(site: Site, facts: Facts) -> list[Change]:
    """Key and source where the site names one, then what is not installed."""
    changes: list[Change] = []
    for host in client_hosts(site):
        seen = facts.hosts.get(host.name)
        if seen is None:
            continue
        supported(site, host, seen)
        phase = services.first_phase(host)
        missing = [name for name in packages_of(site, host) if seen["packages"][name] is None]
        if not missing or not site.packages.install:
            continue
        source, written = source_of(site, facts, host, phase, missing)
        changes += written
        changes.append(
            Change(
                host.name,
                "packages",
                "install " + " ".join(missing),
                "+",
                "install",
                {"packages": missing, "source": source},
                phase,
                kind="packages",
                subject=" ".join(missing),
                stays="packages stay installed",
            )
        )
    return changes


def source_of(
    site: Site, facts: Facts, host: Host, phase: Phase, missing: Sequence[str]
) -> tuple[str | None, list[Change]]:
    """(the file that names the site's own source there, what puts it there), of who installs.

    None where the site has no source.  missing: what is installed.  Raises Refused where that
    cannot be, or is not to be.
    """
    source, seen = source_of_platform(site, host), facts.hosts[host.name]
    source.refuse(host, seen, missing)
    if not source.is_named(site):
        return None, []
    if own := source.stands_in(host, seen):
        return own, []
    return source.file(site, host), source.written(site, facts, host, phase)


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """Where the packages come from, if not from the site's own source; and what comes with them."""
    found: list[str] = []
    for change in changes:
        if change.verb != "install":
            continue
        host = site.host(change.host)
        source, named = source_of_platform(site, host), change.args["source"]
        if named not in (None, source.file(site, host)):
            found.append(
                f"{change.host}: {named} lists the repository of {source.said} already, signed "
                "by another key: packages come from there, and nothing is listed twice"
            )
        found += source.notes(change.host, facts.hosts.get(change.host, {}))
    return found


RESOURCE = Resource("hosts.packages", reads, plan, notes)
