"""hosts.*: what a host needs before it can use the cluster."""

from typing import Any

from invoke import task

from fabfile.command import HELP, command, guarded, refuse_dry


@command
def sudoers() -> list[Any]:
    """Let the operator run ALL as root without a password (may ask for it once)."""
    from fabfile.resources import operator_sudo  # noqa: PLC0415

    return [operator_sudo]


@command
def packages() -> list[Any]:
    """Install the Ceph client from its signed source."""
    from fabfile.resources import client_packages  # noqa: PLC0415

    return [client_packages]


@command
def conf() -> list[Any]:
    """Make /etc/ceph and ceph.conf from the live monitor map."""
    from fabfile.resources import ceph_conf  # noqa: PLC0415

    return [ceph_conf]


@task(help={**{n: HELP[n] for n in ("site", "limit")}, "yes": "the fingerprints were compared"})
def trust(context: Any, site: str = "", limit: str = "", yes: bool = False) -> None:
    """Take unknown hosts' keys into known_hosts, after their fingerprints were compared."""
    from fabfile.flow import host_keys  # noqa: PLC0415

    refuse_dry(context)
    guarded(lambda: host_keys.trust(context, site, limit, yes))


@task(help={name: HELP[name] for name in ("site",)})
def check(context: Any, site: str = "") -> None:
    """Check that each host has what the agent needs (python3, sudo, systemd)."""
    from fabfile.flow.inspect import preflight  # noqa: PLC0415

    guarded(lambda: preflight.show(context, site))
