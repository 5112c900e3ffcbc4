"""What a host with packages would still be given: what deployers' files are compared with."""

from fabfile.core.contract import Facts
from fabfile.resources import service_config

from ..unit import states


def lacking(release, uuids, service, now, **tables):
    """What a host with packages would still be given, had its service this file."""
    hosts = dict(states.HOSTS)
    if "clusters" in tables:
        hosts["west01"] = {"roles": ["ceph"], "cluster": "west"}
    site = states.site(release=release, hosts=hosts, **tables)
    facts = Facts({}, uuids, states.release(release))
    mine = [b for b in site.bindings if b.service == service and b.section]
    on_first = [b for b in mine if b.host == mine[0].host]
    return service_config.ServiceConfig(service).beside(site, facts, on_first, now)
