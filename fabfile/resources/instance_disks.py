"""Instances' own disks, and what must not be changed under them.

A compute has one place for the disks that Nova makes itself: roots, ephemeral disks, swap, config
drives.  It looks for those of all its instances where its nova.conf says today, so an instance
that was made elsewhere does not start again (spawned once, it runs on until then).
Source: nova/virt/libvirt/driver.py (_get_guest_storage_config, get_disk_config_image_type),
imagebackend.py; force_raw_images: init_host, since Train.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from fabfile.core.contract import BadInput, Facts, Host, Json, Read, Refused
from fabfile.core.text import counted
from fabfile.model.deployment import Binding
from fabfile.model.option_values import BOOLEAN, equal
from fabfile.model.services import NOVA_COMPUTE
from fabfile.model.site import Site
from fabfile.resources import in_force, sed
from fabfile.resources.in_force import Options, same

READ = "nova.disks"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEPT = r"<disk |<source [^>]*|<serial>[^<]*"
"""What tells where a disk is, and that it is a volume of Cinder's; the rest stays there."""
_MOST = 1024
_IMAGES = re.compile(r"(?:libvirt_)?images_(type|rbd_pool|rbd_ceph_conf)")
_DEFAULTS = {"type": "default", "rbd_pool": "rbd", "rbd_ceph_conf": ""}


def reads(site: Site, host: Host) -> list[Read]:
    """All instances of a compute and their disks, where these are asked onto RBD."""
    if not site.keeps_disks(host):
        return []
    platform = site.platform_of(host)
    args = {
        **platform.question("virsh", "list", "--all", "--uuid"),
        "match": _UUID,
        "most": _MOST,
        "all": True,  # one that was not looked at would count as one that has none
        "then": {
            "disks": {
                "argv": platform.command("virsh", "dumpxml", "{}"),
                "ok": [0, 1],
                "only": _KEPT,
            },
        },
    }
    return [Read(READ, "each", args)]


def refuse(site: Site, facts: Facts) -> None:
    """Raises BadInput where instances' disks would be looked for elsewhere, or may be.

    All computes in one: a fleet is emptied together, or left out together.
    """
    found: dict[str, str] = {}
    for host in site.with_role(NOVA_COMPUTE.role):
        seen = facts.hosts.get(host.name, {})
        if not seen.get("nova.conf") or not in_force.is_read(seen, NOVA_COMPUTE.key):
            continue
        data = facts.release[NOVA_COMPUTE.key]
        options = in_force.options(seen, NOVA_COMPUTE.key, data.get("old_names"))
        (use,) = site.written_of(host, NOVA_COMPUTE)
        if use.keyring and "ephemeral" in data:
            _refuse_not_raw(use, seen, options)
            found |= _elsewhere(use, data["ephemeral"], options, seen)
        else:
            _refuse_another_user(use, data, options)
    if found:
        raise _refused(site, found)


def notes(site: Site, facts: Facts, host: Host) -> list[str]:
    """Another cephx user of disks that are on RBD already."""
    seen, data = facts.hosts[host.name], facts.release[NOVA_COMPUTE.key]
    options = in_force.options(seen, NOVA_COMPUTE.key, data.get("old_names"))
    places = _places(data.get("ephemeral", {}))
    user = options.get((places["type"][0], "rbd_user"), "") if places else ""
    client = site.nova.client
    if not site.keeps_disks(host) or _now(places, options).get("type") != "rbd":
        return []
    if user in ("", client):
        return []
    return [
        f"{host.name}: rbd_user = {user} becomes {client}: instances that run keep client.{user} "
        "and its libvirt secret until they are started anew, so leave both; or stay with it: "
        f"nova.client = {user!r}"
    ]


# Where disks are


def _places(table: Mapping[str, Json]) -> dict[str, tuple[str, str]]:
    """{'type', 'rbd_pool', 'rbd_ceph_conf': its place in the file} of a release's table."""
    return {
        match[1]: (section, key)
        for section, options in table.items()
        for key in options
        if (match := _IMAGES.fullmatch(key))
    }


def _now(places: Mapping[str, tuple[str, str]], options: Options) -> dict[str, str]:
    return {
        name: options.get((same(section), key), _DEFAULTS[name])
        for name, (section, key) in places.items()
    }


def _elsewhere(
    use: Binding, table: Mapping[str, Json], options: Options, seen: Mapping[str, Json]
) -> dict[str, str]:
    """{host: what is there}, where disks are that would not be found; {} where none are."""
    places = _places(table)
    now = _now(places, options)
    if now.get("type") != "rbd":
        fits: Mapping[str, tuple[str, ...]] = {"type": ("rbd",)}
    else:
        fits = {"rbd_pool": (use.pool,), "rbd_ceph_conf": use.confs}
    moves = {name: now[name] for name, fit in fits.items() if now.get(name) not in fit}
    if not moves:
        return {}
    said = ", ".join(f"{places[name][1]} = {value}" for name, value in moves.items())
    if (guests := seen.get(READ)) is None:
        return {use.host.name: f"{said}; its instances' disks cannot be seen"}
    found = sorted(
        uuid
        for uuid, answers in guests.items()
        if any("rbd_ceph_conf" in moves or d != use.pool for d in own(answers["disks"]["out"]))
    )
    if not found:
        return {}
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    count = f"{counted(len(found), 'instance')} with disks there: {', '.join(found[:5])}{more}"
    return {use.host.name: f"{said}; {count}"}


def own(text: str) -> Iterator[str]:
    """The RBD pool of each disk that is not a volume's, '' for one that is not on RBD.

    text: what was kept of a domain's XML; Nova gives a volume's disk its UUID as a serial number.
    """
    for disk in text.split("<disk ")[1:]:
        source = re.search(r"<source ([^>]*)", disk)
        if source and "<serial>" not in disk:
            image = re.search(r"protocol='rbd'[^>]*? name='([^'/]*)/", source[1] + " ")
            yield image[1] if image else ""


def _refused(site: Site, found: Mapping[str, str]) -> Refused:
    pool, many = site.nova.pool, len(found) > 1
    names = ",".join(f"!{name}" for name in list(found)[:8])
    return Refused(
        host="" if many else next(iter(found)),
        subject="nova.ephemeral",
        expected=f"no instance with disks outside of pool {pool}",
        found="; ".join(f"{host}: {what}" for host, what in found.items())
        if many
        else next(iter(found.values())),
        why=f"Nova would look for them in pool {pool}, and these instances would not start again",
        advice=f"leave these computes out (--limit '{names}'); or empty them first: shelve each "
        "instance (its root disk becomes an image, its ephemeral disks and swap are lost), "
        "integrate, and unshelve it; or leave them out of nova.hosts, or nova.ephemeral out of the "
        "site file",
    )


def _refuse_not_raw(use: Binding, seen: Mapping[str, Json], options: Options) -> None:
    """Images must be raw on RBD: since Train, nova-compute does not start otherwise."""
    at = ("DEFAULT", "force_raw_images")
    if not equal(BOOLEAN, options.get(at), "false"):
        return
    said = [s for s in in_force.sources(seen, NOVA_COMPUTE.key) if at in _keys(s)]
    named = said[-1].name if said else use.file
    raise Refused(
        host=use.host.name,
        subject=named or use.file,
        expected="force_raw_images = true, which is its default",
        found=f"force_raw_images = {options[at]}",
        why="RBD takes raw images alone: nova-compute refuses to start with images_type = rbd",
        advice="take that line out first",
        mend=[sed.without(named, *at)] if named.startswith("/") else (),
    )


def _keys(source: in_force.Source) -> list[tuple[str, str]]:
    return [(same(section), key) for section, key, _ in source.lines]


def _refuse_another_user(use: Binding, data: Mapping[str, Json], options: Options) -> None:
    """Disks that are on RBD already keep the user that opens them.

    Raises BadInput: Nova has one rbd_user, and it is these disks' since Ocata (Cinder's volumes
    come with their own).
    """
    for images in (("libvirt", "images_type"), ("DEFAULT", "libvirt_images_type")):
        if options.get(images) != "rbd":
            continue
        section = images[0]
        user = options.get((section, "rbd_user"), "")
        written = "rbd_user" in data.get("options", {}).get(section, {})
        if not written or user == use.client:
            continue
        prefix = images[1].removesuffix("images_type")
        pool = options.get((section, f"{prefix}images_rbd_pool"), _DEFAULTS["rbd_pool"])
        raise BadInput(
            host=use.host.name,
            subject=f"{use.file} [{section}]",
            expected=f"rbd_user = {use.client}, or no disks of Nova's on RBD",
            found=f"rbd_user = {user or '(none)'} with {images[1]} = rbd: instances' own disks are "
            f"in pool {pool}",
            why=f"client.{use.client} may not open that pool, and they would not start again",
            advice=f"say so in the site file: nova.ephemeral = true, nova.pool = {pool!r} and "
            f"nova.client = {user or use.client!r}, with [pools.{pool}] and that client's caps",
        )
