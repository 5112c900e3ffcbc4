"""Findings about volumes and guests: backends that are nobody's, frozen identities.

Knows what OpenStack's API and the running guests tell of attachments and volumes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from fabfile.audit import frozen_monitors
from fabfile.core.contract import CLOUD, Command, Json, Stop, typed
from fabfile.doctor import parts
from fabfile.doctor.finding import (
    ERROR,
    NOTE,
    RESTART_ALL,
    WARNING,
    Finding,
    Step,
    here,
    root,
    task,
    words,
)
from fabfile.doctor.observation import MOST_GUESTS, Looked
from fabfile.model import advice
from fabfile.model.deployment import Backend
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import (
    by_cluster,
    cluster,
    domains,
    in_force,
    secret_uuid,
    volume_hosts,
    volume_storage,
)
from fabfile.resources.libvirt_secret import usage_of

_LISTED = {
    "volumes": ("volume", "list"),
    "attachments": ("--os-volume-api-version", "3.27", "volume", "attachment", "list"),
}
_REFRESH = ("nova-manage", "volume_attachment", "refresh")


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them."""
    yield from _orphans(site, looked)
    yield from _guests(site, looked)
    yield from _attachments(site, looked)
    yield from _fleeting(site, looked)
    yield from _left_out(site, looked)


# Volumes whose service is nowhere


def orphaned(looked: Looked) -> dict[str, list[str]]:
    """{host@backend#pool: volumes} where no service of that name is up."""
    services = looked.seen(CLOUD, "volume_services")
    if services is None:
        return {}
    up = {service["host"] for service in services if service["up"]}
    found: dict[str, list[str]] = {}
    for volume in looked.seen(CLOUD, "volumes") or ():
        if volume["host"] and volume["host"].partition("#")[0] not in up:
            found.setdefault(volume["host"], []).append(volume["id"])
    return found


def _orphans(site: Site, looked: Looked) -> Iterator[Finding]:
    enabled = {
        backend
        for seen in looked.facts.hosts.values()
        for backend in volume_storage.enabled(volume_storage.options_of(seen))
    }
    moved = _moved(site, looked)
    for place, volumes in orphaned(looked).items():
        if place in moved:
            continue  # the plan's
        service = place.partition("#")[0]
        backend = service.partition("@")[2]
        number = f"{len(volumes)} volume{'s' if len(volumes) > 1 else ''} on {place}"
        if backend in enabled:
            yield Finding(
                ERROR,
                "cinder.down",
                tuple(h.name for h in site.with_role("cinder")),
                place,
                number,
                f"{service} up",
                "its cinder-volume is down, or its driver did not start: see its log",
                (RESTART_ALL,),
            )
            continue
        yield Finding(
            ERROR,
            "cinder.orphans",
            (CLOUD,),
            place,
            number,
            "a service of that name",
            "the backend's section (or backend_host) was renamed or taken out: Cinder does "
            "nothing with its volumes any more",
            _adopt(site, looked, place, volumes),
        )


def _moved(site: Site, looked: Looked) -> set[str]:
    """The places whose volumes `integrate` moves."""
    if not looked.facts.release:
        return set()
    try:
        return {move.old for move in volume_hosts.moves(site, looked.facts)}
    except Stop:
        return set()


def _adopt(site: Site, looked: Looked, place: str, volumes: list[str]) -> tuple[Step, ...]:
    """Gives the volumes to the one RBD backend that is up and in whose pool they lie."""
    new = _rbd_services(looked)
    cinder = next(iter(site.with_role("cinder")))
    platform = site.platform_of(cinder)
    ours = [_backend_of(site, service) for service in new]
    fits = [s for s, one in zip(new, ours, strict=True) if _holds(site, looked, one, volumes)]
    if len(fits) == 1 and all(ours):
        argv = tuple(volume_hosts.update_host(platform, place, fits[0]))
        move = Command(argv, argv[argv.index("cinder-manage") :])
        gone = _is_gone(site, looked, place)
        return (root(move.having_seen("service") if gone else move, cinder.name),)
    several = ", ".join(new) or "none is up"
    return (
        words(
            "name the section as before; or, where all its volumes lie in the pool of one that is "
            f"up ({several}), give them to that one (cinder-manage volume update_host)"
        ),
    )


def _backend_of(site: Site, service: str) -> Backend | None:
    """The site's backend of host@backend#pool, if it is one."""
    section = in_force.same(service.partition("@")[2].partition("#")[0])
    return next((b for b in site.cinder.all if in_force.same(b.name) == section), None)


def _holds(site: Site, looked: Looked, one: Backend | None, volumes: Iterable[str]) -> bool:
    """Whether all of the volumes were seen in a backend's pool."""
    if one is None:
        return not list(volumes)
    part = site.part(one.cluster)
    listed = looked.seen(part.admin.name, by_cluster.tagged(part, f"images.{one.pool}"))
    there = set(listed["out"].split()) if listed else set()
    return all(f"volume-{volume}" in there for volume in volumes)


def _is_gone(site: Site, looked: Looked, place: str) -> bool:
    """Whether a place's service is no more, and not only down; and no volume was left out.

    Its host is one of the site's, and every file of cinder-volume was seen.
    """
    host = place.partition("@")[0]
    cinders = site.with_role("cinder")
    answers = [looked.facts.hosts.get(one.name, {}) for one in cinders]
    names = {one.name for one in cinders}
    names |= {str((seen.get("host") or {}).get("hostname")) for seen in answers}
    for seen in answers:
        for options in in_force.by_section(in_force.options(seen, CINDER_VOLUME.key)).values():
            names |= {options.get("host", ""), options.get("backend_host", "")}
    left_out = "volumes" in (looked.seen(CLOUD, "left_out") or {})
    complete = all(seen.get("cinder.conf") is not None for seen in answers)
    return host in names and complete and not left_out


def _rbd_services(looked: Looked) -> list[str]:
    """host@backend#pool of the services on the RBD driver that are up."""
    names = {
        backend: options.get(
            (in_force.same(backend), "volume_backend_name"), volume_storage.BY_DEFAULT
        )
        for options in map(volume_storage.options_of, looked.facts.hosts.values())
        for backend in volume_storage.enabled(options)
        if volume_storage.value(options, backend, "volume_driver") in volume_storage.DRIVERS
    }
    services = looked.seen(CLOUD, "volume_services") or ()
    up = [s["host"] for s in services if s["up"] and s["host"].partition("@")[2] in names]
    return [f"{host}#{names[host.partition('@')[2]]}" for host in up]


# What is frozen in guests and attachments


def _should_be(
    site: Site, looked: Looked, user: str, monitors: Iterable[str], uuid: str
) -> tuple[str, frozenset[str]]:
    """(the secret's UUID, the live monitors) of what logs in as that user; '' where in doubt."""
    found = parts.of_disk(site, looked, user, set(monitors), uuid)
    uuids = {parts.wanted_uuid(part, looked, user) for part in found}
    live = [parts.live_monitors(part, looked) for part in found or site.parts]
    return uuids.pop() if len(uuids) == 1 else "", frozenset[str]().union(*live)


def _guests(site: Site, looked: Looked) -> Iterator[Finding]:
    pools = {pool for part in site.parts for pool in part.pools}
    for host, domain, disk in domains.running(looked.facts.hosts):
        if disk.image.partition("/")[0] in pools:
            right = _should_be(site, looked, disk.user, disk.monitors, disk.uuid)
            yield from _disk(looked, host, domain, disk, right)


def _disk(
    looked: Looked, host: str, domain: str, disk: Json, right: tuple[str, frozenset[str]]
) -> Iterator[Finding]:
    wanted, live = right
    thing = f"guest {domain}"
    if wanted and disk.uuid and disk.uuid != wanted:
        yield Finding(
            WARNING,
            "guest.uuid",
            (host,),
            thing,
            f"{disk.image}: secret {disk.uuid}",
            wanted,
            "it was attached with another UUID: it runs, and cannot be migrated or started anew",
            (_started_anew(looked, domain, disk, wanted),),
        )
    if frozen_monitors.gone(disk.monitors, live) and not _attached_anew(looked, domain, disk, live):
        yield Finding(
            WARNING,
            "guest.monitors",
            (host,),
            thing,
            f"{disk.image}: monitors {', '.join(sorted(disk.monitors))}",
            ", ".join(sorted(live)),
            "the monitors were moved since it was started: it runs, and cannot be migrated or "
            "started anew with that list",
            (task("ceph.mons", "--hard-reboot", domain, limited=False),),
        )


def _started_anew(looked: Looked, domain: str, disk: domains.Disk, wanted: str) -> Step:
    """A hard reboot: it takes the UUID from the attachment, and mends where that one is right."""
    kept = {
        one["uuid"]
        for one in looked.seen(CLOUD, "attachments") or ()
        if one["instance"] == domain and disk.image.endswith(one["volume"])
    }
    command = typed("openstack", "server", "reboot", "--hard", domain)
    reboot = command.having_seen("attachment") if kept == {wanted} else command
    return Step("here", command=reboot)


def _attached_anew(looked: Looked, domain: str, disk: domains.Disk, live: frozenset[str]) -> bool:
    """Whether what it is started with next is up to date: the attachment, not the guest."""
    return any(
        one["instance"] == domain
        and disk.image.endswith(one["volume"])
        and not frozen_monitors.gone(_plain(one["monitors"]), live)
        for one in looked.seen(CLOUD, "attachments") or ()
    )


def _plain(addresses: Iterable[str]) -> set[str]:
    return {address.strip("[]") for address in addresses}


def _attachments(site: Site, looked: Looked) -> Iterator[Finding]:
    for attachment in looked.seen(CLOUD, "attachments") or ():
        said = (attachment[name] for name in ("user", "monitors", "uuid"))
        wanted, live = _should_be(site, looked, *said)
        thing = f"attachment of volume {attachment['volume']}"
        instance = attachment["instance"]
        refresh = words(
            "with the instance stopped, on a host with nova-manage (since Xena; connector.json is "
            "what its compute says to nova-manage volume_attachment get_connector --json): "
            + advice.shown(typed(*_REFRESH, instance, attachment["volume"], "/root/connector.json"))
        )
        if wanted and attachment["uuid"] and attachment["uuid"] != wanted:
            yield Finding(
                WARNING,
                "attachment.uuid",
                (CLOUD,),
                thing,
                f"secret {attachment['uuid']}",
                wanted,
                "the database keeps what was in cinder.conf when the volume was attached",
                (refresh,),
            )
        known = _plain(attachment["monitors"])
        if frozen_monitors.gone(known, live):
            yield Finding(
                WARNING,
                "attachment.monitors",
                (CLOUD,),
                thing,
                f"monitors {', '.join(sorted(known))}",
                ", ".join(sorted(live)),
                "the database keeps the monitors of the day when the volume was attached: the "
                "instance can be neither started nor migrated with them",
                (_mons(instance),),
            )


def _mons(instance: str) -> Step:
    refresh = advice.shown(typed("inv", "ceph.mons", "--refresh"))
    reboot = advice.shown(typed("inv", "ceph.mons", "--hard-reboot", instance))
    return words(
        f"if it is stopped: {refresh}; if it runs (it is stopped, refreshed, started): {reboot}"
    )


def _fleeting(site: Site, looked: Looked) -> Iterator[Finding]:
    """Secrets of ours that libvirt forgets when it ends, or that have no usage name."""
    wanted = {v for k, v in looked.facts.known.items() if k.rpartition("/")[2].startswith("uuid.")}
    keys = {key for part in site.parts for key in _keys(part, parts.looked_of(part, looked))}
    for host in site.with_role("compute"):
        by_hand = site.platform_of(host).by_hand
        for uuid, answers in (looked.seen(host.name, secret_uuid.SECRETS) or {}).items():
            if uuid.lower() not in wanted:
                continue
            thing, xml = f"libvirt secret {uuid.lower()}", answers["xml"]["out"]
            undefine = by_hand("virsh", "secret-undefine", uuid)
            if answers["value"]["out"].strip() in keys:
                undefine = undefine.having_seen("key")
            anew = (root(undefine), task("compute.secret"))
            if re.search(r"ephemeral=['\"]yes", xml):
                yield Finding(
                    WARNING,
                    "libvirt.ephemeral",
                    (host.name,),
                    thing,
                    "ephemeral",
                    "kept on disk",
                    "it is gone when libvirt restarts, and no guest starts then",
                    anew,
                )
            elif usage_of(xml) == "":
                yield Finding(
                    NOTE,
                    "libvirt.usage",
                    (host.name,),
                    thing,
                    "no usage name of kind ceph",
                    "one",
                    "it was not made for Ceph; QEMU takes it, people do not find it",
                    anew,
                )


def _keys(site: Site, looked: Looked) -> set[str]:
    """Fingerprints of the keys that Ceph has of the site's clients."""
    users = cluster.users_seen(looked.facts, site.admin.name) or {}
    ours = [users.get(f"client.{name}", {}) for name in site.clients]
    return {user["key"] for user in ours if user.get("key")}


def _left_out(site: Site, looked: Looked) -> Iterator[Finding]:
    """Where there are more guests, volumes or attachments than one look takes in."""
    why = "a look is to take seconds; what is wrong with the others is not known"
    for host, seen in looked.facts.hosts.items():
        run = len(seen.get("guests", {}).get("out", "").split())
        found = len(seen.get("domains") or ())
        if run > found >= MOST_GUESTS:
            yield Finding(
                NOTE,
                "guests.left.out",
                (host,),
                "guests",
                f"{found} of {run} looked at",
                "all",
                why,
                (words("look at another's disks by: virsh dumpxml, and the guest's name"),),
            )
    for name, number in (looked.seen(CLOUD, "left_out") or {}).items():
        yield Finding(
            NOTE,
            f"{name}.left.out",
            (CLOUD,),
            name,
            f"the first {number} looked at",
            "all",
            why,
            (here("openstack", *_LISTED[name], "--all-projects"),),
        )
