"""The lab's network: a bridge, and a route that keeps its packets on this machine.

The prefix is unreachable by any other way from before the first host until after
the last one: with the bridge down, packets would else leave by the default route.
"""

import json

from lab.places import SUFFIX
from lab.programs import run, succeeds
from lab.topology import Topology

# Any route of a link wins over it; the default route does not (longer prefix).
_METRIC = "4242"


def up(topology: Topology) -> None:
    """Set the guard route first, then the bridge with the control side's address."""
    if not _guard_is_set(topology.prefix):
        run(["ip", "route", "add", *_guard(topology.prefix)])
    if bridge_exists(topology.bridge):
        return
    run(["ip", "link", "add", topology.bridge, "type", "bridge"])
    address = f"{topology.control}/{topology.netmask}"
    run(["ip", "address", "add", address, "dev", topology.bridge])
    run(["ip", "link", "set", topology.bridge, "up"])


def down(bridge: str, prefix: str) -> None:
    """Remove the bridge, then the guard route; what is not there is left out."""
    if bridge_exists(bridge):
        run(["ip", "link", "delete", bridge])
    if _guard_is_set(prefix):
        run(["ip", "route", "delete", *_guard(prefix)])


def link_of(host: str) -> str:
    """The name that systemd-nspawn gives a host's link on this side.

    One of more than the kernel's 15 characters is the link's alternative name.
    """
    return f"vb-{machine_of(host)}"


def ends_of(host: str) -> tuple[str, str]:
    """(the kernel's own name of a host's link, the bridge that it is on, or '')."""
    (seen,) = json.loads(run(["ip", "-json", "link", "show", "dev", link_of(host)]))
    return seen["ifname"], seen.get("master", "")


def machine_of(host: str) -> str:
    """The name that systemd-nspawn knows a host by: once on a machine, whichever lab's it is."""
    return f"{host}{SUFFIX}"


def remove_link(host: str) -> None:
    """Remove a host's link where the kernel still holds it after the host's end."""
    if bridge_exists(link_of(host)):
        run(["ip", "link", "delete", link_of(host)])


def bridge_exists(bridge: str) -> bool:
    """Whether the link is there."""
    return succeeds(["ip", "link", "show", "dev", bridge])


def host_file(address: str, netmask: int) -> str:
    """systemd-networkd's file for a host: one address and no way out."""
    return (
        "[Match]\nName=host0\n\n"
        f"[Network]\nAddress={address}/{netmask}\n"
        "LinkLocalAddressing=no\nIPv6AcceptRA=no\nDHCP=no\nLLDP=no\n"
    )


def _guard(prefix: str) -> list[str]:
    return ["unreachable", prefix, "metric", _METRIC]


def _guard_is_set(prefix: str) -> bool:
    return bool(run(["ip", "route", "show", "type", "unreachable", prefix]).strip())
