"""The order of the whole: which resources make up an integration, and whose task each is."""

from __future__ import annotations

from typing import Any

from fabfile.resources import (
    auth,
    backup_tools,
    ceph_conf,
    client_packages,
    keyrings,
    libvirt_secret,
    operator_sudo,
    pools,
    restarts,
    service_config,
    volume_hosts,
)

TASKS: tuple[tuple[str, Any], ...] = (
    ("hosts.sudoers", operator_sudo),
    ("hosts.packages", client_packages),
    ("backup.tools", backup_tools.tools),
    ("ceph.pools", pools),
    ("ceph.auth", auth),
    ("hosts.conf", ceph_conf),
    ("ceph.keyrings", keyrings),
    ("compute.secret", libvirt_secret),
    ("controller.glance", service_config.glance),
    ("controller.cinder", service_config.cinder),
    ("controller.cinder", volume_hosts),
    ("compute.nova", service_config.nova),
    ("services.restart", restarts),
    ("controller.cinder", service_config.volume_type),
)
"""(the task that does it alone, the resource), in the procedure's order; restarts see what the
others change."""


def stages() -> list[Any]:
    """Every resource, in that order."""
    return [resource for _, resource in TASKS]
