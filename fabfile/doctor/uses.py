"""Who uses a pool, a key or a file, as far as the services' own files of options say it.

What a finding advises must not take away what one of them needs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from fabfile.doctor.observation import Looked
from fabfile.model import services
from fabfile.model.site import Site
from fabfile.resources import auth, by_place, in_force, volume_backups

_CONF = {"cinder": "rbd_ceph_conf", "glance": "rbd_store_ceph_conf", "nova": "images_rbd_ceph_conf"}
_BACKUPS_CONF = "backup_ceph_conf"
_USER = {"cinder": "rbd_user", "glance": "rbd_store_user", "nova": "rbd_user"}
_POOL = {"cinder": "rbd_pool", "glance": "rbd_store_pool", "nova": "images_rbd_pool"}
_DEFAULT_POOL = {"cinder": "rbd", "glance": "images", "nova": "rbd"}
Section = tuple[str, str, Mapping[str, str]]
"""(service, the section's name, its options)."""


def pools_of(site: Site, looked: Looked, client: str) -> tuple[set[str], bool]:
    """(the pools that services write as this client, whether every service's file was seen)."""
    found = set(auth.data_pools(site, looked.facts, client))
    for host in looked.facts.hosts:
        for service, _, options in _sections(looked, host):
            if (
                _is_rbd(service, options)
                and options.get(_USER[service]) == client
                and _may_lead_here(site, host, options.get(_CONF[service], ""))
            ):
                found.add(options.get(_POOL[service], _DEFAULT_POOL[service]))
            if (
                _backs_up(options)
                and options.get("backup_ceph_user", "cinder") == client
                and _may_lead_here(site, host, options.get(_BACKUPS_CONF, ""))
            ):
                found.add(options.get("backup_ceph_pool", "backups"))
    complete = all(files_seen(site, looked, host.name) for host in site.all_hosts())
    return {pool for pool in found if is_pool(pool)}, complete and all(map(is_pool, found))


def leads_here(site: Site, host: str, path: str) -> bool:
    """Whether a ceph.conf that a host's service names leads to a part's cluster; '': it names none.

    Then it is librados' own one, whichever cluster is asked about.
    """
    platform = site.platform_of(site.host(host))
    return (path or volume_backups.CONF) == platform.inside(platform.ceph["conf"])


def _may_lead_here(site: Site, host: str, path: str) -> bool:
    """As leads_here(); of a site of one cluster, everything is taken for it."""
    return site.is_whole or (host in site.hosts and leads_here(site, host, path))


def is_pool(name: str) -> bool:
    """Whether it is a pool's name, and not a grant beside it."""
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) is not None


def rbd_pools(site: Site, looked: Looked) -> set[str]:
    """The cluster's pools that are for RBD."""
    answer = looked.seen(site.admin.name, "ceph.pools")
    return {
        pool["pool_name"]
        for pool in (json.loads(answer["out"]) if answer else ())
        if "rbd" in pool.get("application_metadata", {})
    }


def services_of(looked: Looked, host: str, client: str) -> set[services.Service]:
    """The services of a host whose files have them log in as this client."""
    return {
        services.called(service)
        for service, _, options in _sections(looked, host)
        if (_is_rbd(service, options) and options.get(_USER[service]) == client)
        or (_backs_up(options) and options.get("backup_ceph_user", "cinder") == client)
    }


def admins(looked: Looked, host: str) -> list[str]:
    """The sections of a host's files that log in as client.admin, by name or without one."""
    return [
        f"{service}.conf [{name}]"
        for service, name, options in _sections(looked, host)
        if (
            _is_rbd(service, options)
            and options.get(_USER[service], "admin").removeprefix("client.") in ("", "admin")
        )
        or (_backs_up(options) and options.get("backup_ceph_user") == "admin")
    ]


def others_of_conf(site: Site, looked: Looked, host: str, path: str) -> list[str]:
    """The sections of a host's files, beside the site's own, that read this ceph.conf.

    path: on the host; a service in a container has it by another name, and reads its own alone.
    """
    place = by_place.on(site, host, path)
    if host in place.hosts:
        path = place.platform_of(place.host(host)).inside(path)
    here = place.place.project if place.place else ""
    ours = {(use.service.key, in_force.same(use.section)) for use in site.uses()}
    return [
        f"{service}.conf [{name}]"
        for service, name, options in _sections(looked, host)
        if here in ("", service)
        and (
            _is_rbd(service, options)
            and (service, name) not in ours
            and (options.get(_CONF[service]) or volume_backups.CONF) == path
            or _backs_up(options)
            and not site.cinder.backup
            and (options.get(_BACKUPS_CONF) or volume_backups.CONF) == path
        )
    ]


def files_seen(site: Site, looked: Looked, host: str) -> bool:
    """Whether every service's file of a host was seen."""
    seen = looked.facts.hosts.get(host, {})
    return all(f"{service.key}.conf" in seen for service in services.on(site.host(host)))


def _is_rbd(service: str, options: Mapping[str, str]) -> bool:
    if service == "cinder":
        return "drivers.rbd" in options.get("volume_driver", "")
    if service == "nova":
        return options.get("images_type", "") == "rbd"
    return any(key.startswith("rbd_store_") for key in options)


def _backs_up(options: Mapping[str, str]) -> bool:
    return "backup.drivers.ceph" in options.get("backup_driver", "")


def _sections(looked: Looked, host: str) -> Iterator[Section]:
    """Of all that each service reads; cinder-backup's file is Cinder's, or one of its own."""
    seen = looked.facts.hosts.get(host, {})
    for service in in_force.apart(seen, ("cinder", "cinder.backup", "glance", "nova")):
        found = in_force.by_section(in_force.options(seen, service))
        for name, options in found.items():
            yield service.partition(".")[0], name, options
