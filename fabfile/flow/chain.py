"""The order of the whole: which resources make up an integration."""

from __future__ import annotations

from typing import Any

from fabfile.resources import (
    auth,
    backup,
    ceph_conf,
    client_packages,
    keyrings,
    libvirt_secret,
    operator_sudo,
    pools,
    restarts,
    settings,
)


def stages() -> list[Any]:
    """Every resource, in the procedure's order; restarts see what the others change."""
    return [
        operator_sudo,
        client_packages,
        backup.tools,
        pools,
        auth,
        ceph_conf,
        keyrings,
        libvirt_secret,
        settings.glance,
        settings.cinder,
        settings.nova,
        restarts,
        settings.volume_type,
    ]
