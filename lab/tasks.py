"""The lab's tasks: up, down, status, reset, upgrade.

Loads nothing but Invoke: `inv --list` must stay quick.
"""

from collections.abc import Callable
from typing import Any

from invoke import Collection, Exit, task


@task(
    help={
        "topology": "file that describes the hosts (default: lab/topologies/small.toml)",
        "generation": "Debian's release and what is in it: bookworm (default) or another one of "
        "lab/generations",
        "ceph-generation": "the Ceph hosts' generation, where it is another",
        "without": "names of hosts to leave out for now, separated by commas",
        "from-scratch": "drop the caches first and build all of it anew",
    }
)
def up(  # noqa: PLR0913 - a flag each
    _context: Any,
    topology: str = "",
    generation: str = "",
    ceph_generation: str = "",
    without: str = "",
    from_scratch: bool = False,
) -> None:
    """Bring up a whole small cloud on this machine (root, Debian 12).

    Hosts that are left out by --without are started by a later `lab.up`.
    """
    from lab import cloud  # noqa: PLC0415

    names = tuple(name for name in without.split(",") if name)
    loaded = (topology, generation, ceph_generation)
    _say_errors(lambda: cloud.up(_topology(*loaded), names, from_scratch))


@task
def down(_context: Any) -> None:
    """Stop the lab and leave nothing of it but its cache."""
    from lab import cloud  # noqa: PLC0415

    _say_errors(cloud.down)


@task
def reset(_context: Any) -> None:
    """Back to the unconnected cloud, as `lab.up` left it."""
    from lab import cloud  # noqa: PLC0415

    _say_errors(cloud.reset)


@task(
    help={
        "generation": "the one whose packages they get",
        "hosts": "names, separated by commas (default: all of Ceph's hosts)",
    }
)
def upgrade(_context: Any, generation: str, hosts: str = "") -> None:
    """Start hosts again with another generation's packages; their data stays."""
    from lab import cloud  # noqa: PLC0415

    names = tuple(name for name in hosts.split(",") if name)
    _say_errors(lambda: cloud.upgrade(names, generation))


@task
def status(_context: Any) -> None:
    """Show which hosts run, and what answers."""
    from lab import cloud  # noqa: PLC0415

    _say_errors(cloud.status)


def _topology(file: str, generation: str, ceph: str) -> Any:
    from lab import topology  # noqa: PLC0415

    return topology.load(file or topology.FOLDER / "small.toml", generation, ceph)


def _say_errors(action: Callable[[], None]) -> None:
    from lab.errors import LabError  # noqa: PLC0415

    try:
        action()
    except (LabError, OSError) as error:
        raise Exit(f"lab: {error}", code=1) from None
    except KeyboardInterrupt:
        raise Exit("lab: interrupted; to clear away: inv lab.down", code=130) from None


ns = Collection("lab", up, down, status, reset, upgrade)
