"""Findings about an upgrade on its way: who is too far from whom, what comes before, what after.

What each release needs is data (fabfile/model/upgrades.py).  A site whose parts are of one age has
none of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fabfile.doctor import parts, versions
from fabfile.doctor.finding import ERROR, NOTE, Finding, Step, root, words
from fabfile.doctor.observation import Looked
from fabfile.model import ceph_releases, releases, services, upgrades
from fabfile.model.site import Site
from fabfile.resources import ceph_conf, client_packages, clone_format, sed


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them."""
    yield from _daemons(site, looked)
    yield from _window(site, looked)
    yield from _clients(site, looked)
    yield from _nova(site, looked)
    for place in site.places:
        yield from _dead(place, parts.looked_at(place, looked))


def ahead(site: Site, looked: Looked) -> list[str]:
    """What comes next of a site whose parts are as they are, and what that needs before."""
    return [*_cluster_ahead(site, looked), *_nova_ahead(site, looked)]


def _cluster_ahead(site: Site, looked: Looked) -> Iterator[str]:
    cluster_is = versions.of_cluster(site, looked)
    names = ceph_releases.NAMES
    if cluster_is is None or not 0 < cluster_is < len(names):
        return
    coming = range(cluster_is + 1, min(cluster_is + upgrades.BACK, len(names)) + 1)
    to = " or ".join(names[number - 1] for number in coming)
    yield f"Ceph {cluster_is} ({names[cluster_is - 1]}) can go to {to}, and no further at once"
    required = _required(looked, site.admin.name)
    if required is not None and required < cluster_is:
        yield (
            f"before: require_osd_release is {names[required - 1]}: raise it to "
            f"{names[cluster_is - 1]}, once every OSD runs that (docs/upgrades.md)"
        )
    for number in coming:
        for text in upgrades.CEPH[number].before if number in upgrades.CEPH else ():
            yield f"before {names[number - 1]}: {text} ({upgrades.CEPH[number].source})"
        if late := _behind(site, looked, number - upgrades.BACK):
            hosts = ", ".join(late)
            yield f"before {names[number - 1]}: librados2 of {hosts} is too old: clients first"


def _librados(site: Site, looked: Looked) -> Iterator[tuple[str, str, ceph_releases.Version]]:
    """(host, the package's version, that as numbers) of the hosts that use the cluster."""
    for host in client_packages.client_hosts(site):
        seen = looked.facts.hosts.get(host.name, {})
        text = seen.get("packages", {}).get("librados2")
        if one := ceph_releases.version(text):
            yield host.name, text, one


def _behind(site: Site, looked: Looked, oldest: int) -> list[str]:
    """The hosts whose librados is older than that."""
    return sorted(host for host, _, one in _librados(site, looked) if one.major < oldest)


def _nova_ahead(site: Site, looked: Looked) -> Iterator[str]:
    have = [n for host in site.with_role("compute") if (n := _major(looked, host.name))]
    allowed = [new for new, old in upgrades.NOVA_OLDEST.items() if have and old <= min(have)]
    if not allowed or max(allowed) <= min(have):
        return
    yield (
        f"Nova's control services can go to {max(allowed)} while a compute has {min(have)}: "
        "they go first, the computes after them"
    )
    for number in range(min(have) + 1, max(allowed) + 1):
        for text in upgrades.OPENSTACK[number].before if number in upgrades.OPENSTACK else ():
            yield f"before Nova {number}: {text} ({upgrades.OPENSTACK[number].source})"


# The cluster


def _daemons(site: Site, looked: Looked) -> Iterator[Finding]:
    """Daemons of several versions, and what that needs, of the releases that come in."""
    found = versions.ceph(site, looked)
    if len(found) < 2:
        return
    yield Finding(
        NOTE,
        "ceph.versions",
        (site.admin.name,),
        "the daemons",
        ", ".join(f"{n} of {v}" for v, n in sorted(found.items())),
        "one version",
        "an upgrade is under way, or was left half done",
        (
            root(site.cluster.platform.by_hand("ceph", "versions")),
            *_steps({one.major for text in found if (one := ceph_releases.version(text))}),
        ),
    )


def _steps(majors: set[int]) -> Iterator[Step]:
    """The order, and what the releases that come in need besides."""
    if len(majors) < 2:
        return
    yield words(
        "monitors first, then managers, then OSDs, host by host with noout set; OpenStack's hosts "
        "after the cluster, and services restarted there (docs/upgrades.md)"
    )
    coming = [upgrades.CEPH[n] for n in sorted(majors)[1:] if n in upgrades.CEPH]
    for when, rows in (("before", _all(coming, "before")), ("after", _all(coming, "after"))):
        for text, source in rows:
            yield words(f"{when}: {text} ({source})")


def _all(coming: list[upgrades.Steps], when: str) -> list[tuple[str, str]]:
    return [(text, one.source) for one in coming for text in getattr(one, when)]


def _required(looked: Looked, admin: str) -> int | None:
    """The release that the map requires of OSDs; None where it was not told."""
    answer = looked.seen(admin, clone_format.REQUIRED)
    found = re.search(r'"require_osd_release":\s*"([^"]*)"', answer["out"]) if answer else None
    return ceph_releases.named(found.group(1)) if found else None


def _window(site: Site, looked: Looked) -> Iterator[Finding]:
    """OSDs that would not boot, as what the map requires is too old for them."""
    admin = site.admin.name
    required, kinds = _required(looked, admin), versions.kinds(looked, admin)
    newest = max(set().union(*kinds.values()), default=0)
    if required is None or newest <= required + upgrades.BACK:
        return
    name = ceph_releases.NAMES[required - 1] if required <= len(ceph_releases.NAMES) else required
    oldest = min(kinds["osd"] or kinds["mon"])
    yield Finding(
        ERROR,
        "ceph.osd.release",
        (admin,),
        "the daemons",
        f"Ceph {newest}, and require_osd_release is {name} ({required})",
        f"at most {upgrades.BACK} releases between them",
        "an OSD of that release does not boot: the next one that is restarted stays down",
        (
            root(site.cluster.platform.by_hand("ceph", "versions")),
            words(
                f"restart no OSD; once all run Ceph {required + 1} or later, ceph osd "
                "require-osd-release with the name of the oldest one's release; it cannot be taken "
                "back"
                if oldest > required
                else f"go by a release in between: all OSDs to {required + upgrades.BACK} at most, "
                "then ceph osd require-osd-release, then on"
            ),
        ),
    )


# The clients


def _clients(site: Site, looked: Looked) -> Iterator[Finding]:
    """Libraries of OpenStack's hosts that are as far from the cluster as they may be, or ahead."""
    cluster_is = versions.of_cluster(site, looked)
    if cluster_is is None:
        return
    for host, text, one in _librados(site, looked):
        if one.major == cluster_is - upgrades.BACK:
            yield Finding(
                NOTE,
                "library.next",
                (host,),
                "librados2",
                text,
                f"the cluster's {cluster_is}",
                f"{upgrades.BACK} releases behind: as far as is tested; the next upgrade of the "
                "cluster would leave it behind",
                (
                    words(
                        "clients first: these hosts before the cluster goes on (docs/upgrades.md)"
                    ),
                ),
            )
        elif one.major > cluster_is:
            yield Finding(
                NOTE,
                "library.newer",
                (host,),
                "librados2",
                text,
                f"the cluster's {cluster_is}",
                "the hosts went first: it works for the time of an upgrade, and Cinder supports "
                "client and cluster of one release alone",
                (words("the cluster is next (docs/upgrades.md)"),),
            )


# Nova


def _major(looked: Looked, host: str) -> int | None:
    text = releases.nova_package(looked.facts.hosts.get(host, {}).get(releases.READ.id, {}))
    number = releases.number(text or "")
    return int(number) if number and "." not in number else None


def _nova(site: Site, looked: Looked) -> Iterator[Finding]:
    """Computes beside which the control services of Nova do not start any more."""
    computes = {host.name for host in site.with_role("compute")}
    known = {host.name: _major(looked, host.name) for host in site.all_hosts()}
    control = [(n, host) for host, n in known.items() if n and host not in computes]
    newest, where = max(control, default=(0, ""))
    oldest = upgrades.NOVA_OLDEST.get(newest)
    for host in sorted(computes):
        have = known.get(host)
        if oldest and have and have < oldest:
            yield Finding(
                ERROR,
                "nova.compute.old",
                (host,),
                services.NOVA_COMPUTE.name,
                f"Nova {have}; {where} has {newest}",
                f"Nova {oldest} or later",
                f"Nova {newest} refuses to start beside it (TooOldComputeService): its services "
                "stay down after their next restart",
                (
                    words(
                        f"upgrade the compute to a release from {oldest} to {newest}, or take its "
                        "service out (openstack compute service delete) once it has no instances"
                    ),
                    words(
                        "in the middle of an upgrade over several releases: [workarounds] "
                        f"{upgrades.NOVA_CHECK_OFF} = true in nova.conf of every host of Nova's, "
                        "until the last compute is upgraded (docs/upgrades.md)"
                    ),
                ),
            )


# ceph.conf


def _dead(site: Site, looked: Looked) -> Iterator[Finding]:
    """Options of ceph.conf that this host's librados does not read any more."""
    for host in site.all_hosts():
        seen = looked.facts.hosts.get(host.name, {})
        one = ceph_releases.version(seen.get("packages", {}).get("librados2"))
        if not seen.get("ceph.conf") or one is None:
            continue
        for gone in upgrades.CEPH_CONF:
            line = re.search(_line_of(gone.key), seen["ceph.conf"]["text"], re.M | re.I)
            if line and one.reaches(gone.since):
                path = ceph_conf.path_of(site, host)
                yield Finding(
                    NOTE,
                    "ceph.conf.dead",
                    (host.name,),
                    path,
                    line.group(0).strip(),
                    f"no {gone.key}",
                    gone.cause,
                    (root(sed.edit(f"/{_line_of(gone.key)}/I{_WITH_THE_REST}", path)),),
                )


def _line_of(key: str) -> str:
    """Ceph takes spaces, underscores and dashes for the same."""
    return r"^[ \t]*" + key.replace("_", r"[ _-]") + r"[ \t]*=.*"


_WITH_THE_REST = r"{:a;/\\$/{N;ba};d}"
"""A line that ends with a backslash goes on in the next."""
