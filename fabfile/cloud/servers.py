"""Instances, stopped and started through Nova's API.

Knows the states that each verb ends in; which instances, and why, is not known here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fabfile.cloud.connection import Cloud, failures
from fabfile.core.contract import Failed

if TYPE_CHECKING:
    from openstack.compute.v2._proxy import Proxy as Compute

_PATIENCE = 400
"""Seconds: a guest that does not hear the power button is given 60 s by Nova, or its image's."""
_PAUSE = 2
_MIGRATION = 3600
"""Seconds: a guest's memory goes over while it writes to it."""


def stop(connection: Cloud, instance: str) -> None:
    """Stops it and waits; nothing where it is stopped.  Raises Failed."""
    _brought(connection, instance, "SHUTOFF", lambda c: c.stop_server(instance))


def start(connection: Cloud, instance: str) -> None:
    """Starts it and waits; nothing where it is up.  Raises Failed."""
    _brought(connection, instance, "ACTIVE", lambda c: c.start_server(instance))


def hard_reboot(connection: Cloud, instance: str) -> None:
    """Makes its domain anew and waits.  Raises Failed."""
    _brought(connection, instance, "ACTIVE", lambda c: c.reboot_server(instance, "HARD"), True)


def migrate(connection: Cloud, instance: str) -> None:
    """Moves it live to another compute, which Nova chooses, and waits.  Raises Failed."""
    compute = connection.compute
    try:
        before = compute.get_server(instance)
        under_way = before.task_state == "migrating"  # by a run that was stopped, or by somebody
        if not under_way:
            compute.live_migrate_server(instance, host=None, block_migration="auto")
        until = time.monotonic() + _MIGRATION
        server = compute.get_server(instance)
        while server.task_state:  # Nova sets it before it answers
            if time.monotonic() > until:
                raise Failed(
                    f"nova: instance {instance} still migrates after {_MIGRATION} s: openstack "
                    "server migration list says how far it is; run it again to go on"
                )
            time.sleep(_PAUSE)
            server = compute.get_server(instance)
    except failures() as error:
        raise Failed(f"nova: instance {instance} was not migrated: {error}") from error
    stayed = server.hypervisor_hostname == before.hypervisor_hostname and not under_way
    if server.status == "ERROR" or stayed:
        raise Failed(
            f"nova: instance {instance} ({server.status}) is on {server.hypervisor_hostname} "
            "still: Nova gave the migration up; openstack server event list says why, and "
            "nova-compute's logs there and on the other side"
        )


def _brought(
    connection: Cloud,
    instance: str,
    state: str,
    act: Callable[[Compute], object],
    always: bool = False,
) -> None:
    compute = connection.compute
    try:
        server = compute.get_server(instance)
        if server.status == state and not always:
            return
        act(compute)
        compute.wait_for_server(server, state, ["ERROR"], _PAUSE, _PATIENCE)
    except failures() as error:
        raise Failed(
            f"nova: instance {instance} did not come to {state}: {error}; see its console, and "
            "openstack server event list for what Nova says"
        ) from error


VERBS: dict[str, Callable[..., None]] = {
    "server_stop": stop,
    "server_start": start,
    "server_hard_reboot": hard_reboot,
    "server_migrate": migrate,
}
