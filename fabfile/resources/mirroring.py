"""Volumes that are mirrored into another cluster: Cinder's replication_device, and RBD's mirroring.

Cinder's driver enables mirroring image by image, for volumes of types that ask for it, so that both
pools mirror images and not all of the pool ("cannot enable mirroring: pool is not in image mirror
mode").  Daemons (rbd-mirror) copy, each into its own cluster, from the peer that its pool names.
They are the cluster's own, as the token is by which peers know each other: nothing of it is made
here, and all of it is looked at.
Source: cinder/volume/drivers/rbd.py (Ocata to Zed); docs.ceph.com/en/latest/rbd/rbd-mirroring.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabfile.core import strict_json
from fabfile.core.contract import Change, Command, Facts, Host, Json, Read, Refused, Seen
from fabfile.model import advice
from fabfile.model.deployment import Backend, Binding
from fabfile.model.option_values import as_uuid
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import by_cluster, in_force, secret_uuid
from fabfile.resources.in_force import same
from fabfile.resources.resource import Resource

DEVICE = "replication_device"
_NO_POOL, _NOT_MIRRORED = 2, 22
_FITS, _PULLS = "image", ("rx-only", "rx-tx")
OK = "OK"


@dataclass(frozen=True)
class Mirrored:
    """A pool of a cluster that is mirrored: other is the cluster on the other side.

    copies: whether volumes are written to the other one, and this one has the copies.
    """

    pool: str
    other: str
    copies: bool


@dataclass(frozen=True)
class Fault:
    """What keeps a pool from being mirrored.

    what: 'off', 'peer', 'daemon' or 'images'; command: what mends it where one does; else advice.
    """

    pool: Mirrored
    what: str
    found: str
    expected: str
    why: str
    advice: str = ""
    command: Command | None = None


def mirrored(part: Site) -> list[Mirrored]:
    """The pools of one cluster that are, each once; copies go before what is copied."""
    label, backends = part.label, part.whole.cinder.all
    there = [one for one in part.cinder.all if one.replicates_to]
    found = {one.pool: Mirrored(one.pool, one.replicates_to, False) for one in there}
    here = [one for one in backends if one.replicates_to == label]
    return list(
        {**found, **{one.pool: Mirrored(one.pool, one.cluster, True) for one in here}}.values()
    )


# What is asked


def reads(site: Site, host: Host) -> list[Read]:
    """Of each such pool its mode and peers, and how its daemons are."""
    found = []
    for one in mirrored(site) if host == site.admin else ():
        for kind, read in (("info", _info(one.pool)), ("status", _status(one.pool))):
            argv = site.cluster.rbd("mirror", "pool", kind, one.pool, "--format", "json")
            args = {"argv": argv, "ok": [0, _NO_POOL, _NOT_MIRRORED]}
            found.append(Read(read, "argv", args))
    return found


def _info(pool: str) -> str:
    return f"ceph.mirror.{pool}"


def _status(pool: str) -> str:
    return f"ceph.mirrored.{pool}"


# What is wrong


def faults(part: Site, facts: Facts) -> Iterator[Fault]:
    """Of one cluster, whose facts have plain names; of a pool that was not seen, nothing."""
    seen = facts.hosts.get(part.admin.name, {})
    for pool in mirrored(part):
        info = _told(seen.get(_info(pool.pool)))
        if info is None:
            continue
        mode = info.get("mode", "")
        if mode != _FITS:
            yield _off(part, pool, str(mode)[:40])
            continue
        yield from _peers(part, pool, info.get("peers"))
        yield from _daemons(pool, _told(seen.get(_status(pool.pool))) or {})


def _told(answer: Seen | None) -> Mapping[str, Json] | None:
    """What rbd says as JSON; None for what it did not say."""
    if not answer or answer["code"] != 0:
        return None
    try:
        found = strict_json.loads(answer["out"])
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _off(part: Site, pool: Mirrored, mode: str) -> Fault:
    enable = part.cluster.platform.by_hand("rbd", "mirror", "pool", "enable", pool.pool, _FITS)
    if mode == "disabled":
        why = "no volume of a type with replication_enabled can be made"
        return Fault(pool, "off", "mirroring disabled", f"mirroring mode {_FITS}", why, "", enable)
    why = "Cinder enables it volume by volume, which RBD refuses in another mode"
    advice_ = f"if no other image of the pool is to be mirrored: {advice.shown(enable)}"
    return Fault(pool, "off", f"mirroring mode {mode!r}", f"mirroring mode {_FITS}", why, advice_)


def _peers(part: Site, pool: Mirrored, told: Json) -> Iterator[Fault]:
    """Whether a daemon here knows from where to copy; before Octopus peers have no direction."""
    peers = [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
    if any(one.get("direction", _PULLS[0]) in _PULLS for one in peers):
        return
    why = (
        "nothing is copied into it"
        if pool.copies
        else "after a failover nothing that was written there comes back"
    )
    bootstrap = ("rbd", "mirror", "pool", "peer", "bootstrap")
    other = part.whole.part(pool.other).cluster.platform
    create = other.by_hand(*bootstrap, "create", "--site-name", pool.other, pool.pool)
    names = ("--site-name", part.label, pool.pool)
    take = part.cluster.platform.by_hand(*bootstrap, "import", *names, "/root/token")
    yield Fault(
        pool,
        "peer",
        "no peer to copy from" if not peers else "a peer that copies from here alone",
        f"the cluster {pool.other} as a peer",
        why,
        f"on a host of {pool.other}: {advice.shown(create)} (what it prints holds a key: into a "
        f"file for root alone, /root/token); on {part.admin.name}, with that file: "
        f"{advice.shown(take)}; then take the files away",
    )


def _daemons(pool: Mirrored, told: Mapping[str, Json]) -> Iterator[Fault]:
    """How the daemons are that copy into this cluster, and what they copy."""
    summary = told.get("summary")
    summary = summary if isinstance(summary, dict) else {}
    health = str(summary.get("daemon_health", summary.get("health", "")))[:20]
    if health and health != OK:
        yield Fault(
            pool,
            "daemon",
            f"daemon health {health}",
            "an rbd-mirror of this cluster at work",
            "nothing is copied into it",
            "install rbd-mirror on a host of this cluster and start one with a user of its own "
            "(docs.ceph.com, RBD mirroring); or see the log of the one that is there",
        )
        return
    images = str(summary.get("image_health", OK))[:20]
    if pool.copies and images not in (OK, "UNKNOWN"):
        states = summary.get("states")
        shown = ", ".join(f"{n} {s}" for s, n in states.items()) if isinstance(states, dict) else ""
        yield Fault(
            pool,
            "images",
            f"image health {images}" + (f" ({shown[:200]})" if shown else ""),
            "every copy up to date",
            "after a failover these volumes would be older, or not there",
            "see each image's state: rbd mirror pool status --verbose, with the pool's name",
        )


# What is said beside a plan


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """What is still to be done in the clusters, for whom a replication_device is written."""
    if not any(_writes(change) for change in changes):
        return []
    found = []
    for part in site.parts:
        if part.is_supplied and mirrored(part):
            pools = ", ".join(one.pool for one in mirrored(part))
            found.append(f"{part.label}: whether {pools} is mirrored, that cluster's team knows")
            continue
        for fault in faults(part, by_cluster.facts_of(part, facts)):
            way = advice.shown(fault.command) if fault.command else fault.advice
            found.append(
                f"{part.admin.name}: pool {fault.pool.pool} of {part.label}: {fault.found}: "
                f"{fault.why}; {way}"
            )
    return found


def _writes(change: Change) -> bool:
    edits = change.args.get("edits", ()) if isinstance(change.args, Mapping) else ()
    return change.kind == "options" and any(edit[1] == DEVICE for edit in edits)


# The option


def words(site: Site, binding: Binding) -> tuple[dict[str, str], Binding | None]:
    """What the option of a backend's section says of its replica, and the replica's binding.

    The UUID is the replica's secret's, which only hosts may know.
    """
    named = (one for one in site.cinder.all if one.name == binding.section)
    backend = next(named, None) if binding.service == CINDER_VOLUME else None
    if backend is None or not backend.replicates_to:
        return {}, None
    replica = _replica(site, binding, backend)
    found = {
        "replica": replica.cluster.name,
        "replica_conf": replica.named_conf,
        "replica_user": replica.client,
    }
    return found, replica


def _replica(site: Site, binding: Binding, backend: Backend) -> Binding:
    return next(
        one
        for one in site.whole.bindings_of(site.whole.host(binding.host.name))
        if one.service == CINDER_VOLUME
        and (one.cluster.label, one.client) == (backend.replicates_to, backend.replicates_as)
    )


def uuid(facts: Facts, replica: Binding | None) -> dict[str, str]:
    """The word of a replica's secret."""
    return {"replica_uuid": secret_uuid.known_of(facts, replica)} if replica else {}


def refuse_others(site: Site, facts: Facts, binding: Binding) -> None:
    """Raises Refused where a section names another replica, or another secret of it.

    Of this option every line counts, and a UUID is in what volumes were attached with.
    """
    found, replica = words(site, binding)
    if replica is None:
        return
    lines = [
        value
        for source in in_force.sources(facts.hosts[binding.host.name], CINDER_VOLUME.key)
        for section, key, value in source.lines
        if same(section) == same(binding.section) and key == DEVICE
    ]
    said = site.cinder.of_section(binding.section).said
    told = [dict(item.strip().partition(":")[::2] for item in one.split(",")) for one in lines]
    if len(told) > 1 or any(one.get("backend_id") != found["replica"] for one in told):
        raise Refused(
            host=binding.host.name,
            subject=binding.file,
            expected=f"one {DEVICE} in [{binding.section}], with backend_id:{found['replica']}",
            found=f"{len(lines)}: {'; '.join(line[:120] for line in lines)}",
            why="every line of it counts, and volumes may have failed over to each of them",
            advice=f"take out what is not meant, or take {said}.replicates_to out",
        )
    wanted = uuid(facts, replica)["replica_uuid"]
    for other in {as_uuid(one.get("secret_uuid", "")) for one in told} - {"", wanted}:
        raise Refused(
            host=binding.host.name,
            subject=binding.file,
            expected=f"[{binding.section}] {DEVICE} with secret_uuid:{wanted}",
            found=other,
            why="what has failed over is attached by it",
            advice=f"say {site.part(replica.cluster.label).said_of_client(replica.client)}"
            f".secret_uuid = {other!r}",
        )


RESOURCE = Resource("ceph.pools", lambda s, h: by_cluster.reads(s, h, reads), notes=notes)
