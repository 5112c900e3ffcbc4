"""hosts.*: what a host needs before it can use the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fabfile.command import command

if TYPE_CHECKING:
    from invoke import Context

    from fabfile.flow.session import Options
    from fabfile.resources.resource import Resource


@command
def sudoers() -> list[Resource]:
    """Let the operator run ALL as root without a password (may ask for it once)."""
    from fabfile.resources import operator_sudo  # noqa: PLC0415 (start-up time)

    return [operator_sudo.RESOURCE]


@command
def packages() -> list[Resource]:
    """Install the Ceph client from its signed source."""
    from fabfile.resources import client_packages, containers  # noqa: PLC0415 (start-up time)

    return [client_packages.RESOURCE, containers.RESOURCE]


@command
def conf() -> list[Resource]:
    """Make /etc/ceph and ceph.conf from the live monitor map."""
    from fabfile.resources import ceph_conf  # noqa: PLC0415 (start-up time)

    return [ceph_conf.RESOURCE]


@command
def deployer() -> list[Resource]:
    """Write what the deployer (Kolla, OpenStack-Ansible) is told of Ceph into its own files."""
    from fabfile.resources import deployer as resource  # noqa: PLC0415 (start-up time)

    return [resource.RESOURCE]


@command(flags=("site", "limit", "yes"), texts={"yes": "the fingerprints were compared"})
def trust(context: Context, options: Options) -> int:
    """Take unknown hosts' keys into known_hosts, after their fingerprints were compared."""
    from fabfile.flow import host_keys  # noqa: PLC0415 (start-up time)

    return host_keys.trust(context, options)


@command(flags=("site", "limit", "json"), texts={"limit": "hosts to look at"}, local=True)
def check(context: Context, options: Options) -> int:
    """Check that each host has what the agent needs (python3, sudo, systemd)."""
    from fabfile.flow.inspect import preflight  # noqa: PLC0415 (start-up time)

    return preflight.show(context, options)
