"""The Ceph client's packages, and the signed source that they come from.

Debian and Ubuntu; other families are refused in a sentence.  Source: procedure
step 3, with `signed-by` in place of apt-key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fabfile.core.contract import BadInput, Change, Facts, Host, Json, Read, Refused, Seen
from fabfile.model import ceph_releases, services
from fabfile.model.ceph_releases import Feature
from fabfile.model.phases import Phase
from fabfile.model.platforms import Platform
from fabfile.model.site import Site
from fabfile.resources.resource import Resource

_OF_A_RELEASE = {
    "signed-by",
    "trusted",
    "snapshot",
    "inrelease-path",
    "check-date",
    "date-max-future",
    "check-valid-until",
    "valid-until-min",
    "valid-until-max",
    "allow-insecure",
    "allow-weak",
    "allow-downgrade-to-insecure",
}
"""Options that APT takes for all entries of one repository and suite: where two entries differ, it
reads no source of the host at all (apt-pkg/deb/debmetaindex.cc, "Conflicting values set")."""


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


def source_list(site: Site, host: Host) -> str | None:
    """The file that names the site's own source of packages, if the site has one."""
    return site.platform_of(host).source["list"] if site.packages.source else None


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
    found = [
        Read("host", "host"),
        Read("packages", "packages", {"names": packages_of(site, host)}),
        Read("kolla", "exists", {"paths": ["/etc/kolla"]}),
    ]
    return [*found, *source_reads(site, host)]


def source_reads(site: Site, host: Host) -> list[Read]:
    """The two files of the site's own source, their folders, and who else lists it."""
    listed = source_list(site, host)
    if not listed:
        return []
    return [
        Read("apt.source", "file", {"path": listed}),
        Read("apt.key", "file", {"path": key_path(site)}),
        Read("apt.folders", "exists", {"paths": _folders(site)}),
        Read("apt.repository", "repository", {"line": site.packages.source, "path": listed}),
    ]


def key_path(site: Site) -> str:
    """Where the source says that its key is.  Raises BadInput if it does not say."""
    found = re.search(r"signed-by=(/[A-Za-z0-9_./-]+)", site.packages.source or "")
    if not found:
        raise BadInput(
            subject="packages.source", expected="[signed-by=/path/to/key]", found="no path"
        )
    return found.group(1)


def _folders(site: Site) -> list[str]:
    """The folders that the key is in, from the top; Debian 11 and Ubuntu 20.04 (apt before 2.4)
    have no /etc/apt/keyrings."""
    names = key_path(site).split("/")
    return ["/".join(names[:depth]) for depth in range(2, len(names))]


def supported(platform: Platform, host: str, seen: Seen) -> None:
    """Raises BadInput for a system that this tool does not know."""
    if not {seen["host"]["os"], *seen["host"]["like"]} & set(platform.systems):
        found = seen["host"]["name"]
        raise BadInput(
            f"{host}: expected Debian or Ubuntu, found {found}",
            host=host,
            subject="system",
            expected="Debian or Ubuntu",
            found=found,
        )
    if seen["kolla"]["/etc/kolla"]:
        raise BadInput(
            f"{host}: /etc/kolla is there: containers by Kolla are not supported yet",
            host=host,
            subject="/etc/kolla",
            found="it is there",
            why="containers by Kolla are not supported yet",
        )


def plan(site: Site, facts: Facts) -> list[Change]:
    """Key and source where the site names one, then what is not installed."""
    changes: list[Change] = []
    for host in client_hosts(site):
        seen = facts.hosts.get(host.name)
        if seen is None:
            continue
        supported(site.platform_of(host), host.name, seen)
        phase = services.first_phase(host)
        missing = [name for name in packages_of(site, host) if seen["packages"][name] is None]
        if not missing or not site.packages.install:
            continue
        source, written = source_of(site, facts, host, phase)
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
    site: Site, facts: Facts, host: Host, phase: Phase
) -> tuple[str | None, list[Change]]:
    """(the file that names the site's own source there, what puts it there), of who installs.

    None where the site has no source.  Raises Refused, see _listed().
    """
    source, seen = source_list(site, host), facts.hosts[host.name]
    if not source:
        return None, []
    if listed := _listed(host.name, seen):
        return str(listed["file"]), []
    return source, _source(site, facts, host, seen, source, phase)


def _listed(host: str, seen: Seen) -> Json:
    """The entry of that host's own by which the repository is taken; None where the site's is.

    Raises Refused where APT would read no source of the host once the site's is beside it.
    """
    found = seen["apt.repository"]
    if found["refused"]:
        raise Refused(
            host=host,
            subject="APT",
            expected="sources that it can read",
            found=found["refused"],
            why="nothing can be installed there",
            advice="mend the file that it names",
        )
    for own in found["own"]:
        odd = [entry for entry in found["entries"] if _conflicts(entry, own)]
        usable = [entry for entry in odd if _stands_in(entry, own, found["arch"])]
        if odd and (seen["apt.source"] or not usable):
            raise _two_sources(host, odd[0])
        if odd:
            return usable[0]
    return None


def _of_release(entry: Json) -> dict[str, str]:
    return {name: value for name, value in entry["options"].items() if name in _OF_A_RELEASE}


def _conflicts(entry: Json, own: Json) -> bool:
    """Whether APT refuses the two beside each other.

    One that says nothing takes the options of a later one; it is no way round (apt 2.6).
    """
    theirs = _of_release(entry)
    return theirs != _of_release(own) and bool(theirs or not _is_before(entry, own))


def _is_before(entry: Json, own: Json) -> bool:
    """Whether APT reads it first: /etc/apt/sources.list, then the folder in its names' order."""
    return bool(entry["file"] == "/etc/apt/sources.list" or entry["file"] < own["file"])


def _stands_in(entry: Json, own: Json, arch: str) -> bool:
    """Whether it gives all that the site's would, as well verified: by another key alone."""
    theirs, ours = _of_release(entry), _of_release(own)
    wanted = (own["options"].get("arch") or arch).split(",")
    given = (entry["options"].get("arch") or arch).split(",")
    return (
        entry["type"] == own["type"]
        and bool(theirs.pop("signed-by", ""))
        and theirs == {name: value for name, value in ours.items() if name != "signed-by"}
        and set(own["components"]) <= set(entry["components"])
        and set(wanted) <= set(given)
    )


def _two_sources(host: str, entry: Json) -> Refused:
    said = _of_release(entry)
    options = " ".join(f"{name}={said[name]}" for name in sorted(said) if "\n" not in said[name])
    return Refused(
        host=host,
        subject=entry["file"],
        expected="one way of listing the repository of packages.source",
        found=f"{entry['type']} [{options}]" if said else f"{entry['type']} without options",
        why="APT reads no source of a host where two entries of one repository and suite differ",
        advice="take that entry out (or its host's file of the site's source, if both are there), "
        "or give packages.source the same options, signed-by among them",
    )


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """Where the packages come from, if not from the site's own source."""
    own = {source_list(site, host) for host in site.all_hosts()}
    return [
        f"{change.host}: {change.args['source']} lists the repository of packages.source already, "
        "signed by another key: packages come from there, and nothing is listed twice"
        for change in changes
        if change.verb == "install" and change.args["source"] not in own
    ]


def _source(  # noqa: PLR0913, PLR0917 (what is written, and where)
    site: Site, facts: Facts, host: Host, seen: Seen, listed: str, phase: Phase
) -> list[Change]:
    texts = {
        key_path(site): ("apt.key", facts.known["apt.key"]),
        listed: ("apt.source", f"{site.packages.source}\n"),
    }
    changes = [
        Change(
            host.name,
            path,
            "the folder of the source's key",
            "+",
            "folder",
            {"path": path, "mode": "0755", "owner": "root", "group": "root"},
            phase,
            kind="source",
            subject=path,
        )
        for path in _folders(site)
        if seen.get("apt.folders", {}).get(path) is False
    ]
    for path, (read, text) in texts.items():
        old = seen[read]["sha256"] if seen[read] else None
        args = {"path": path, "content": [text], "mode": "0644", "owner": "root", "group": "root"}
        sentence = "the source's key" if read == "apt.key" else "the source of the Ceph client"
        sign = "~" if old else "+"
        changes.append(
            Change(
                host.name,
                path,
                sentence,
                sign,
                "write",
                {**args, "before": old},
                phase,
                kind="source",
                subject=path,
            )
        )
    return changes


RESOURCE = Resource("hosts.packages", reads, plan, notes)
