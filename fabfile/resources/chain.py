"""The order of the whole: which resources make up an integration."""

from __future__ import annotations

from fabfile.resources import (
    auth,
    backup_tools,
    ceph_conf,
    client_limits,
    client_packages,
    clone_format,
    containers,
    deployer,
    keyrings,
    libvirt_secret,
    mirroring,
    operator_sudo,
    pools,
    restarts,
    service_config,
    volume_hosts,
    volume_qos,
)

RESOURCES = (
    operator_sudo.RESOURCE,
    client_packages.RESOURCE,
    containers.RESOURCE,
    backup_tools.TOLD,
    pools.RESOURCE,
    mirroring.RESOURCE,
    auth.RESOURCE,
    clone_format.RESOURCE,
    ceph_conf.RESOURCE,
    keyrings.RESOURCE,
    libvirt_secret.RESOURCE,
    service_config.glance,
    service_config.cinder,
    volume_hosts.RESOURCE,
    service_config.nova,
    deployer.RESOURCE,
    client_limits.RESOURCE,
    restarts.RESOURCE,
    clone_format.RESTARTED,
    service_config.volume_type,
    volume_qos.RESOURCE,
    containers.TOLD,
)
"""In the procedure's order; restarts see what the others change."""
BESIDES = (backup_tools.RESOURCE,)
"""What no integration does, as storage does not need it, and a doctor looks at all the same."""
