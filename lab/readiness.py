"""Waits until hosts, APIs and services answer; knows who should, not how it is made."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lab import endpoints, hosts, remote
from lab.errors import LabError
from lab.progress import say
from lab.topology import LabHost, Topology

_SSH_SECONDS = 120
_API_SECONDS = 240
_START_AGAIN = (
    "! systemctl -q is-failed $u || { systemctl reset-failed $u; systemctl start --no-block $u; }"
)
_TELL = 'echo "    $u: $(systemctl is-active $u)"; journalctl -u $u -n 5 -o cat --no-pager'
# No proxy may come between: the environment's is not for these addresses.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait(topology: Topology, some: list[LabHost]) -> None:
    """Wait for these hosts' ssh, then for all of their APIs and units."""
    wait_for_ssh(some)
    wait_for_apis(topology, some)
    try:
        _each(some, _API_SECONDS, _units_come_up, "not all units are active")
    except LabError as error:
        idle = "".join(_of_idle_units(host, _TELL) for host in some)
        raise LabError(f"{error}\n{idle}") from None
    say("services: all units are active")


def wait_for_ssh(some: list[LabHost]) -> None:
    """Wait until the operator's login works everywhere. Raises LabError."""
    _each(some, _SSH_SECONDS, remote.answers, "ssh does not answer")
    say(f"ssh: {len(some)} host(s) answer")


def wait_for_apis(topology: Topology, some: list[LabHost]) -> None:
    """Wait until every API on these hosts answers. Raises LabError."""
    addresses = {host.address for host in some}
    there = [item for item in endpoints.of(topology) if item.address in addresses]
    for item in there:
        until_answers(item)
    if there:
        say(f"apis: {', '.join(item.name for item in there)} answer")


def until_answers(item: endpoints.Endpoint) -> None:
    """Wait until one API answers. Raises LabError."""
    complaint = f"{item.name} at {item.root}: no answer"
    _until(_API_SECONDS, lambda: answers(item.root), complaint)


def answers(url: str) -> bool:
    """Whether an API answers at all; one that asks for a token does."""
    try:
        with _OPENER.open(url, timeout=20):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def units_are_active(host: LabHost) -> bool:
    """Whether all units that the host should run are active."""
    units = host.units
    return not units or _active(host, units)


def _units_come_up(host: LabHost) -> bool:
    """As units_are_active(); one that gave up before its database came is started again."""
    if units_are_active(host):
        return True
    _of_idle_units(host, _START_AGAIN)
    return False


def _of_idle_units(host: LabHost, action: str) -> str:
    units = host.units
    loop = f"for u in {' '.join(units)}; do systemctl -q is-active $u || {{ {action}; }}; done"
    return remote.script(host, loop) if units else ""


def _active(host: LabHost, units: list[str]) -> bool:
    try:
        # Of several at once, systemctl asks for only one that is active.
        checks = "".join(f"systemctl -q is-active {unit}\n" for unit in units)
        remote.script(host, checks)
    except LabError:
        return False
    return True


def _each(
    some: list[LabHost],
    seconds: float,
    condition: Callable[[LabHost], bool],
    complaint: str,
) -> None:
    def one(host: LabHost) -> None:
        log = hosts.folder(host.name) / "console.log"
        _until(
            seconds,
            lambda: condition(host),
            f"{host.name}: {complaint} (its console: {log})",
            lambda: hosts.carrier(host.name) is not None,
        )

    with ThreadPoolExecutor(max_workers=max(1, len(some))) as pool:
        list(pool.map(one, some))


def _until(
    seconds: float,
    condition: Callable[[], bool],
    complaint: str,
    alive: Callable[[], bool] = lambda: True,
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if not alive():
            raise LabError(f"{complaint}: the host has ended")
        if time.monotonic() > deadline:
            raise LabError(f"{complaint} after {seconds:.0f} s; look: inv lab.status")
        time.sleep(0.5)
