"""Several hosts of cinder-volume that serve the same volumes at once: Cinder's `cluster`.

A service that comes into a cluster takes its own volumes there as it starts: their rows get a
cluster_name beside their host, and from then on the API asks the cluster.  Nothing takes them out
again, nor moves them into another one, but people with cinder-manage, while no service runs: so the
option is looked at here, and never written.  Volumes of a cluster do not go by their host any more,
so that no backend of one is renamed either.
Source: cinder/service.py (added_to_cluster), init_host of cinder/volume/manager.py,
service_topic_queue of cinder/objects/base.py, ClusterCommands of cinder/cmd/manage.py (Victoria to
2026.2).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fabfile.core.contract import BadInput, Facts, Host, Json, Refused
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import volume_storage
from fabfile.resources.in_force import Options, same

_DEFAULT = "file://$state_path"
"""[coordination] backend_url where nobody says any: locks that another host does not see."""


def cluster(options: Options) -> str:
    """The cluster of which a host's services are; '' for none.  Cinder takes the spaces off too."""
    return options.get(("DEFAULT", "cluster"), "").strip()


def _all(site: Site, facts: Facts) -> dict[str, tuple[Host, Options]]:
    """{host: its options}, of those with cinder-volume that were read."""
    return {
        host.name: (host, volume_storage.options_of(facts.hosts[host.name]))
        for host in site.with_role(CINDER_VOLUME.role)
        if facts.hosts.get(host.name, {}).get(f"{CINDER_VOLUME.key}.conf")
    }


def refuse(site: Site, facts: Facts, host: Host, table: Mapping[str, Json]) -> None:
    """Raises a Stop where a host's services are not in the site's cluster as they have to be.

    table: the release's, of Cinder.
    """
    wanted = site.cinder.active_active
    if not wanted:
        return
    if not table.get("active_active"):
        raise BadInput(
            subject="cinder.active_active",
            expected="none before Rocky, whose driver for RBD is the first to be made for it",
            found=wanted,
        )
    options = volume_storage.options_of(facts.hosts[host.name])
    file = site.platform_of(host).file(CINDER_VOLUME)
    url = options.get(("coordination", "backend_url"), _DEFAULT)
    if url.startswith("file:"):
        raise Refused(
            host=host.name,
            subject=file,
            expected="[coordination] backend_url of a service that all hosts ask (etcd3, redis...)",
            found=url,
            why="locks in files are this host's alone: two would work on one volume at once",
            advice="set up such a service, and name it on every host first",
        )
    _refuse_differing(site, facts, host, url)
    ours = {same(one.name) for one in site.cinder.all}
    for section in volume_storage.enabled(options):
        driver = volume_storage.value(options, section, "volume_driver")
        if driver not in volume_storage.DRIVERS and same(section) not in ours:
            raise Refused(
                host=host.name,
                subject=file,
                expected="backends whose driver is made for active-active, as RBD's is",
                found=f"[{section}] volume_driver = {driver}",
                why="`cluster` is for all backends of a host, and that one would not start",
                advice="let another host's cinder-volume have that backend",
            )
        if (same(section), "backend_host") in options:
            raise Refused(
                host=host.name,
                subject=file,
                expected="no backend_host beside a cluster, where each host has its own name",
                found=f"[{section}] backend_host = {options[same(section), 'backend_host']}",
                advice="take it out everywhere, and give one host its volumes (docs/several.md)",
            )
    if (found := cluster(options)) != wanted:
        raise Refused(
            host=host.name,
            subject=file,
            expected=f"[DEFAULT] cluster = {wanted}",
            found=found or "none",
            why="volumes come out of a cluster by hand alone, so it is yours to set",
            advice="on one host after the other, set it and restart cinder-volume (docs/several.md)"
            if not found
            else f"of volumes that are in {found}: cinder-manage cluster rename (docs/several.md)",
        )


def _refuse_differing(site: Site, facts: Facts, host: Host, url: str) -> None:
    """Hosts that lock elsewhere, or that are one and the same to Cinder."""
    here = facts.hosts[host.name]
    own = volume_storage.own_name(here, volume_storage.options_of(here))
    for other, (_, theirs) in _all(site, facts).items():
        if other == host.name:
            continue
        if theirs.get(("coordination", "backend_url"), _DEFAULT) != url:
            raise Refused(
                host=host.name,
                subject="[coordination] backend_url",
                expected=f"the same as on {other}",
                found="another",
                why="two would work on one volume at once",
                advice="name the same service on every host",
            )
        if volume_storage.own_name(facts.hosts[other], theirs) == own:
            raise Refused(
                host=host.name,
                subject="[DEFAULT] host",
                expected=f"another name than on {other}: each of a cluster has its own",
                found=own,
                advice="take `host` out, where the hosts' own names differ, once no volume has it "
                "(docs/several.md)",
            )


def refuse_moves(site: Site, facts: Facts, places: Collection[str]) -> None:
    """Raises Refused where volumes of a cluster would be moved by their host alone."""
    for name, (host, options) in _all(site, facts).items():
        if places and cluster(options):
            raise Refused(
                host=name,
                subject=site.platform_of(host).file(CINDER_VOLUME),
                expected="no [DEFAULT] cluster, where a backend gets another name",
                found=f"cluster = {cluster(options)}, and {', '.join(sorted(places)[:5])}",
                why="the API asks a volume's cluster, which keeps the section's old name in it",
                advice="by hand, with every cinder-volume stopped: rename the section, then "
                "cinder-manage volume update_host and cluster rename (docs/several.md)",
            )
