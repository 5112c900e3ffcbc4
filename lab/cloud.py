"""The life of a lab: up, down, reset, status.

Puts the other modules in order; knows no details of any.
"""

import contextlib
import fcntl
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from lab import (
    access,
    apt_repository,
    cephadm,
    cgroups,
    containers,
    endpoints,
    full_upgrade,
    guest,
    hosts,
    images,
    kept,
    layers,
    machine,
    modular,
    network,
    openstack_bootstrap,
    places,
    readiness,
    reinstall,
    remote,
    seed,
)
from lab.errors import LabError
from lab.progress import never_silent, say
from lab.topology import LabHost, Topology, load

_CLOUDS_YAML = places.ACCESS / "clouds.yaml"
_RUNNING = places.STATE / "topology.toml"
# Which generations its hosts are of: the words that it was asked for with.
_GENERATIONS = places.STATE / "generations.json"
# {host: generation} of those that were upgraded since.
_UPGRADED = places.STATE / "upgraded.json"
# Names the kept state that the hosts were started from; a bootstrap has none.
_STARTED_FROM = places.STATE / "started-from"
_BUILDERS = "builders"


def up(topology: Topology, without: tuple[str, ...], scratch: bool) -> None:
    """Bring the cloud up, from the cache where it can. Raises LabError.

    `without` names hosts to leave out; a later `up` starts them.
    """
    machine.require()
    for name in without:
        topology.host(name)
    with _alone():
        _refuse_another(topology)
        wanted = [host for host in topology.hosts if host.name not in without]
        if not scratch and _is_up(wanted):
            say(f"the lab {topology.name!r} of {topology.generations} is up already")
            return
        if scratch:
            _forget()
        with never_silent(f"logs are in {places.LOGS}"):
            _bring_up(topology, wanted)
    status()
    print(f"access: {places.ACCESS}\nnext: inv integrate")


def down() -> None:
    """Stop all hosts and remove all that is not in the cache. Raises LabError."""
    machine.require()
    with _alone():
        topology = running()
        hosts.end(cgroups.members(_BUILDERS))
        names = hosts.started()
        say(f"stopping {len(names)} host(s)")
        hosts.drop(names)
        layers.remove_tree(places.BUILDS)
        cgroups.remove()
        if topology:
            for host in topology.hosts:
                network.remove_link(host.name)
            network.down(topology.bridge, topology.prefix)
        layers.remove_tree(places.STATE)
    places.LOCK.unlink(missing_ok=True)
    say("nothing of the lab is left but its cache")


def reset() -> None:
    """Back to the unconnected cloud: stop, drop what was changed, start."""
    machine.require()
    with _alone():
        topology = running()
        if topology is None or _started_from() is None:
            raise LabError("no whole lab is running, expected one to reset: inv lab.up")
        names = hosts.started()
        say(f"stopping {len(names)} host(s)")
        hosts.drop(names)
        _UPGRADED.unlink(missing_ok=True)
        topology = running() or topology
        back = [host for host in topology.hosts if host.name in names]
        _start(topology, back)
        readiness.wait(topology, back)


def upgrade(names: tuple[str, ...], to: str) -> None:
    """Start hosts again with another generation's packages, one after the other; data stays.

    names: none: all of Ceph's. These start from the other image; OpenStack's hosts, on which
    packages were installed since, are upgraded as they are. Raises LabError.
    """
    machine.require()
    with _alone():
        topology, state = running(), _started_from()
        if topology is None or state is None:
            raise LabError("no whole lab is running, expected one to upgrade: inv lab.up")
        chosen = names or tuple(host.name for host in topology.hosts if host.image == "ceph")
        after = topology.with_generations(dict.fromkeys(chosen, to))
        anew = [name for name in chosen if topology.host(name).image == "ceph"]
        with cgroups.within(_BUILDERS), _building(to):
            images.build({kept.image_of(after.host(name)) for name in anew})
        for name in anew:
            reinstall.check(topology.host(name), after.host(name), state)
        for name in chosen:
            _upgrade(topology.host(name), to, state)


def _upgrade(old: LabHost, to: str, state: Path) -> None:
    there = json.loads(_UPGRADED.read_text()) if _UPGRADED.is_file() else {}
    say(f"{old.name} stops, and starts again with the packages of {to}")
    hosts.stop([old.name], patience=hosts.CLEANLY)
    # First: a host whose new start fails is of the new generation already.
    _UPGRADED.write_text(json.dumps({**there, old.name: to}))
    topology = running()
    if topology is None:
        raise LabError("the lab is gone, expected it: inv lab.up")
    host = topology.host(old.name)
    if host.image == "ceph":
        reinstall.remount(host, topology, state)
    else:
        with cgroups.within(_BUILDERS), _building(to):
            full_upgrade.upgrade(hosts.root(host.name), old, host.generation)
    hosts.start(host, topology)
    if host.image == "ceph":
        readiness.wait(topology, [host])
    else:
        # Its services wait for their databases, and for computes that are new enough.
        readiness.wait_for_ssh([host])


def lose(name: str) -> None:
    """Destroy a host's whole file system; it comes back as its packages left it, bare.

    Same name, address, ssh host key and operator; nothing configured, nothing enabled.
    """
    machine.require()
    with _alone():
        topology = running()
        if topology is None:
            raise LabError("no lab is running, expected one that can lose a host: inv lab.up")
        host = topology.host(name)
        say(f"{name} loses its file system")
        hosts.drop([name])
        root = hosts.mount(host, images.layers_of(kept.image_of(host)))
        seed.write(root, host, topology)
        hosts.start(host, topology)
        readiness.wait_for_ssh([host])


def into_containers(name: str) -> None:
    """Start a host again with its services in containers, as Kolla has them. Raises LabError."""
    _move(name, containers.move)


def into_cephadm(name: str) -> None:
    """Make the one Ceph host anew, with a cluster that cephadm deploys. Raises LabError."""
    _move(name, lambda host, topology, _: cephadm.move(host, topology))


def into_modules(name: str) -> None:
    """Switch a compute from libvirtd to libvirt's modules, as it runs. Raises LabError."""
    _move(name, lambda host, *_: modular.move(host))


def _move(name: str, action: Callable[[LabHost, Topology, Path], None]) -> None:
    machine.require()
    with _alone():
        topology, state = running(), _started_from()
        if topology is None or state is None:
            raise LabError("no whole lab is running, expected one with that host: inv lab.up")
        host = topology.host(name)
        with cgroups.within(_BUILDERS), _building(host.generation.name):
            action(host, topology, state)


def status() -> None:
    """Print a row per host and per API."""
    machine.require()
    topology = running()
    if topology is None:
        print("no lab is running; start it: inv lab.up")
        return
    print(f"the lab {topology.name!r} of {topology.generations}")
    for host in topology.hosts:
        services = " ".join(host.runs)
        print(f"{host.name:14} {host.address:16} {_state(host):12} {services}")
    for item in endpoints.of(topology):
        state = "answers" if readiness.answers(item.root) else "no answer"
        print(f"{item.name:14} {item.root:29} {state}")


def running() -> Topology | None:
    """The topology of the lab that was started and not taken down, or None."""
    if not _RUNNING.is_file():
        return None
    # A lab that was started before there were others than the default one has no such file.
    named = json.loads(_GENERATIONS.read_text()) if _GENERATIONS.is_file() else {}
    since = json.loads(_UPGRADED.read_text()) if _UPGRADED.is_file() else {}
    return load(_RUNNING, **named).with_generations(since)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One of these at a time; what it runs can be told by its control group."""
    with open(places.LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(
                "another lab task is at work, expected none: wait for its end, or "
                "interrupt it, then inv lab.down"
            ) from None
        yield


@contextlib.contextmanager
def _building(name: str) -> Iterator[None]:
    """One lab at a time adds to the cache that all share; another one waits.

    What is of different generations is in different places, and is built at once.
    """
    places.CACHE.mkdir(parents=True, exist_ok=True)
    with open(places.CACHE / f"building-{name}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another lab adds to what all share: waiting for its end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _each_building(topology: Topology) -> Iterator[None]:
    # By name: two labs that want the same two do not wait for each other.
    with contextlib.ExitStack() as stack:
        for name in sorted({host.generation.name for host in topology.hosts}):
            stack.enter_context(_building(name))
        yield


def _named(topology: Topology) -> dict[str, str]:
    """The words of `load` that give these hosts their generations again."""
    ceph = next(host for host in topology.hosts if host.image == "ceph").generation.name
    return {"name": topology.home("keystone").generation.name, "ceph": ceph}


def _is_up(wanted: list[LabHost]) -> bool:
    return bool(_started_from()) and all(hosts.carrier(host.name) for host in wanted)


def _bring_up(topology: Topology, wanted: list[LabHost]) -> None:
    with cgroups.within(_BUILDERS):
        with _building("machine"):
            machine.prepare()
        if not _started_from():
            with _each_building(topology):
                _prepare(topology)
                if not kept.place(topology).is_dir():
                    kept.make(topology)
        _start(topology, [host for host in wanted if not hosts.carrier(host.name)])
    readiness.wait(topology, wanted)


def _prepare(topology: Topology) -> None:
    """Network, images, keys: all that is there before the first host."""
    places.STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    _GENERATIONS.write_text(json.dumps(_named(topology)))
    _RUNNING.write_text(topology.text)
    # First of all: its guard route holds before any host is there.
    network.up(topology)
    images.build({kept.image_of(host) for host in topology.hosts})
    ours = topology.home("keystone").generation
    apt_repository.build(ours)
    guest.build(topology.home("nova-compute").generation)
    access.prepare(topology)
    openstack_bootstrap.keep_pristine(ours)
    access.write_private(places.ACCESS / "release.asc", apt_repository.release_key(ours))


def _start(topology: Topology, some: list[LabHost]) -> None:
    """Start hosts from the kept state; one that ended by itself goes on as it was."""
    state = _started_from() or kept.place(topology)
    _STARTED_FROM.write_text(str(state))
    access.write_private(_CLOUDS_YAML, kept.clouds_yaml(state))
    say(f"starting {', '.join(host.name for host in some)}")
    for host in some:
        # Nothing of its former life may hold its root any more.
        hosts.stop([host.name])
        hosts.mount(host, kept.layers_of(state, host))
        hosts.start(host, topology)


def _started_from() -> Path | None:
    """The kept state under the running hosts; None before and in a bootstrap."""
    if not _STARTED_FROM.is_file():
        return None
    state = Path(_STARTED_FROM.read_text())
    return state if state.is_dir() else None


def _state(host: LabHost) -> str:
    if not hosts.carrier(host.name):
        return "not started"
    if not remote.answers(host):
        return "no ssh"
    return "running" if readiness.units_are_active(host) else "starting"


def _refuse_another(topology: Topology) -> None:
    there = running()
    if there and there.description != topology.description:
        raise LabError(
            f"the lab {there.name!r} of {there.generations} is there, expected none or "
            f"{topology.name!r} of {topology.generations} as its file is now: "
            "take it down first: inv lab.down"
        )


def _forget() -> None:
    """Drop all that `up` would take from the cache, downloaded packages too."""
    others = [place for place in places.others() if place.is_dir()]
    if others:
        raise LabError(
            f"another lab runs from the cache ({others[0]}), expected none: take it down first"
        )
    if hosts.started():
        raise LabError("a lab is running, expected none: take it down: inv lab.down")
    caches = (places.IMAGES, places.CLOUDS, places.REPOSITORY, places.DOWNLOADS)
    for folder in (*caches, guest.FOLDER):
        layers.remove_tree(folder)
