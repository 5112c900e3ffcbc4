"""Where a backend's volumes lie, and what must not be changed under them.

A section's driver, pool and cluster say where, as Cinder reads them: its own value, else that
of [backend_defaults], else the driver's default.  Volumes have no other address: with another
pool or cluster in their section, none of them is found.  A backend in [DEFAULT], which is LVM's
where no driver is named (until Newton), is not started any more beside enabled_backends.
Source: cinder/volume/configuration.py, cinder/cmd/volume.py, cinder/volume/drivers/rbd.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fabfile.core.contract import CLOUD, BadInput, Facts, Failed, Host, Json, Read, Refused
from fabfile.core.text import counted
from fabfile.model.deployment import DEFAULT, Backend, Binding
from fabfile.model.option_values import items
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import in_force
from fabfile.resources.in_force import Options, same

DRIVER = "cinder.volume.drivers.rbd.RBDDriver"
DRIVERS = (DRIVER, "cinder.volume.driver.RBDDriver")
"""The RBD driver, and what it was called before Havana."""
BY_DEFAULT = "RBD"
"""The volume_backend_name that the RBD driver reports where its section has none."""
BESIDE = "cinder.default_section = 'NAME', and it gets that section with its volumes"
"""What is to be typed for a backend of [DEFAULT] that is not the site's."""
VOLUMES = Read("volumes", "volumes")
SERVICES = Read("volume_services", "volume_services")
_DEFAULTS = {"volume_driver": "cinder.volume.drivers.lvm.LVMVolumeDriver", "rbd_pool": "rbd"}
OF_LVM = ("lvm_", "iscsi_", "target_", "volume_group", "volumes_dir", "volume_clear", "iet_conf")
"""How options begin by which a file shows that it is LVM's."""


def options_of(seen: Mapping[str, Json]) -> dict[tuple[str, str], str]:
    """What is in force of a cinder-volume's options."""
    return in_force.options(seen, CINDER_VOLUME.key)


def enabled(options: Options) -> list[str]:
    """The sections that are started as backends; none where the backend is in [DEFAULT]."""
    return items(options.get(("DEFAULT", "enabled_backends"), ""))


def started(options: Options) -> list[str]:
    """As enabled(), with [DEFAULT] where nothing is listed: that is what Cinder started then."""
    return enabled(options) or [DEFAULT]


def own_name(seen: Mapping[str, Json], options: Options) -> str:
    """The name by which a host's services are known to Cinder.  Raises Failed for none."""
    named = options.get(("DEFAULT", "host")) or (seen.get("host") or {}).get("hostname")
    if not named:
        raise Failed(
            subject="a host with cinder-volume",
            expected="its hostname, by which Cinder knows its services",
            found="none",
            advice="look at: hostname, and at /etc/hostname there",
        )
    return str(named)


def service(options: Options, own: str, section: str) -> str:
    """The whole name of a section's service, host@section; of the one in [DEFAULT] the host."""
    if section == DEFAULT:
        return own
    return f"{options.get((same(section), 'backend_host')) or own}@{section}"


def value(options: Options, section: str, key: str) -> str:
    """An option of a backend as Cinder reads it; '' where it has no default."""
    return options.get((same(section), key), _DEFAULTS.get(key, ""))


def elsewhere(
    site: Site, backend: Backend, options: Options, section: str
) -> dict[str, tuple[str, str]]:
    """{option: (found, expected)} of what would put a section's volumes somewhere else."""
    use = _use(site, backend)
    wanted = {
        "volume_driver": DRIVERS,
        "rbd_pool": (backend.pool,),
        "rbd_ceph_conf": use.confs,
        "rbd_cluster_name": (use.cluster.name, ""),
    }
    found = {key: value(options, section, key) for key in wanted}
    return {key: (found[key], fit[0]) for key, fit in wanted.items() if found[key] not in fit}


def _use(site: Site, backend: Backend) -> Binding:
    """A backend where cinder-volume runs: it finds its cluster alike on every host."""
    host = site.with_role(CINDER_VOLUME.role)[0]
    return next(b for b in site.written_of(host, CINDER_VOLUME) if b.section == backend.name)


def ceph_conf(site: Site, backend: Backend) -> str:
    """The ceph.conf by which cinder-volume finds a backend's cluster."""
    return _use(site, backend).conf


def refuse_another_storage(
    site: Site, backend: Backend, options: Options, section: str, where: str
) -> None:
    """Raises BadInput where a section's volumes do not lie where the site's backend looks."""
    if not elsewhere(site, backend, options, section):
        return
    found = ", ".join(
        f"{key} = {options.get((same(section), key), '(none)')}"
        for key in ("volume_driver", "rbd_pool", "rbd_ceph_conf", "rbd_cluster_name")
        if key != "rbd_cluster_name" or value(options, section, key)
    )
    raise BadInput(
        subject=f"{backend.said}.replaces: {where}: [{section}]",
        expected=f"volume_driver = {DRIVER}, rbd_pool = {backend.pool} and rbd_ceph_conf = "
        f"{ceph_conf(site, backend)}",
        found=found,
        advice="its volumes lie elsewhere and cannot be given to this backend: take "
        f"{backend.said}.replaces out" + (f", and say {BESIDE}" if section == DEFAULT else ""),
    )


# What is in use under the site's backend


def has_sections(facts: Facts) -> bool:
    """Whether this release's backends have sections; in Grizzly's table there is [DEFAULT]."""
    return _lists(facts.release.get("cinder", {}))


def _lists(table: Mapping[str, Json]) -> bool:
    return "enabled_backends" in table.get("options", {}).get("DEFAULT", {})


def at_stake(site: Site, facts: Facts) -> bool:
    """Whether there is a backend whose volumes, if it has any, would not be found any more."""
    return any(
        any(
            elsewhere_now(site, facts, backend, options_of(facts.hosts[host.name]))
            for backend in site.cinder.all
        )
        or default_backend(site, facts, options_of(facts.hosts[host.name]))
        for host in site.with_role(CINDER_VOLUME.role)
        if facts.hosts.get(host.name, {}).get("cinder.conf")
    )


def elsewhere_now(
    site: Site, facts: Facts, backend: Backend, options: Options
) -> dict[str, tuple[str, str]]:
    """As elsewhere(), of a backend's own section; nothing where it is not there yet.

    Of a section that is not started, and whose volumes nobody can see, what it says itself.
    """
    name = same(backend.name)
    started = name in map(same, enabled(options))
    known = started or name in {section for section, _ in options}
    if not has_sections(facts) or not known:
        return {}
    found = elsewhere(site, backend, options, backend.name)
    if started or "volumes" in facts.hosts.get(CLOUD, {}):
        return found
    return {key: one for key, one in found.items() if (name, key) in options}


def default_backend(site: Site, facts: Facts, options: Options) -> str:
    """What shows that a file has a backend in [DEFAULT] that would be gone; '' for nothing."""
    table = facts.release.get("cinder", {})
    if not has_sections(facts):
        named = ("DEFAULT", "volume_driver") in options
        off = elsewhere(site, site.cinder.all[0], options, "DEFAULT") if named else {}
        return _shown({key: found for key, (found, _) in off.items()}) or (
            "" if named else _of_lvm(table, options)
        )
    is_ours = any(one.replaces == DEFAULT for one in site.cinder.all)
    return "" if is_ours else in_default(table, options)


def in_default(table: Mapping[str, Json], options: Options) -> str:
    """What shows that a file has its backend in [DEFAULT], whosever it is; '' for nothing.

    table: the release's, of Cinder: one whose backends have sections.
    """
    if enabled(options) or not _lists(table):
        return ""
    driver = options.get(("DEFAULT", "volume_driver"))
    return f"volume_driver = {driver}" if driver else _of_lvm(table, options)


def _of_lvm(table: Mapping[str, Json], options: Options) -> str:
    """The options that are LVM's, which is the driver where none is named."""
    if not table.get("lvm_by_default"):
        return ""
    return _shown(
        {
            key: value
            for (section, key), value in options.items()
            if section == "DEFAULT" and key.startswith(OF_LVM)
        }
    )


def refuse_in_use(site: Site, facts: Facts, host: Host) -> None:
    """Raises Refused where volumes of a host would be looked for elsewhere, or may be."""
    if not in_force.is_read(facts.hosts[host.name], CINDER_VOLUME.key):
        return  # what is in force is not known
    options = options_of(facts.hosts[host.name])
    file = site.platform_of(host).file(CINDER_VOLUME)
    for backend in site.cinder.all:
        if off := elsewhere_now(site, facts, backend, options):
            said = _said_by(facts.hosts[host.name], backend, off, file)
            _refuse_section(facts, host, backend, said, off)
    found = default_backend(site, facts, options)
    if found and not (site.cinder.default_section and has_sections(facts)):
        _refuse_default(site, facts, host, file, found)


def _refuse_section(
    facts: Facts, host: Host, backend: Backend, file: str, off: Mapping[str, tuple[str, str]]
) -> None:
    volumes = _volumes(facts, host, options_of(facts.hosts[host.name]), backend.name)
    stays = "rbd_cluster_name" in off  # nothing of ours sets it: we would not find the keyring
    if volumes == [] and not stays:
        return
    now = _shown({key: found for key, (found, _) in off.items()})
    raise Refused(
        host=host.name,
        subject=file,
        expected=_shown({key: wanted for key, (_, wanted) in off.items()}),
        found=f"[{backend.name}] {now}; {_count(volumes)}",
        why="volumes lie where their section says, and would not be found any more",
        advice=_ways(backend, off),
    )


def _said_by(seen: Mapping[str, Json], backend: Backend, off: Iterable[str], file: str) -> str:
    """The file, or variable, that counts for one of the options; by default the service's own."""
    places = (same(backend.name), in_force.BACKEND_DEFAULTS)
    for source in reversed(in_force.sources(seen, CINDER_VOLUME.key)):
        said = (key for section, key, _ in source.lines if same(section) in places)
        if source.name and any(key in off for key in said):
            return source.name
    return file


def _ways(backend: Backend, off: Mapping[str, tuple[str, str]]) -> str:
    """What a person does: adopt what is there, or go beside it."""
    said, alone = backend.said, backend.said == "cinder"
    name = "cinder.backend" if alone else "name in [cinder.backends]"
    ways = [
        f"give the site's backend a section of its own: another {name} than {backend.name!r}, "
        f"and a {said}.volume_type of its own"
    ]
    if set(off) == {"rbd_pool"}:
        pool = off["rbd_pool"][0]
        ways.append(
            f"or adopt the pool: {said}.pool = {pool!r}, with [pools.{pool}], and {pool!r} in rwx "
            f"of clients.{backend.client}"
        )
    if "rbd_ceph_conf" in off and off["rbd_ceph_conf"][0]:
        ways.append(
            f"or, if {off['rbd_ceph_conf'][0]} is of this very cluster (its fsid), name "
            f"{off['rbd_ceph_conf'][1]} there yourself"
        )
    if "rbd_cluster_name" in off:
        ways.append("or, if it is this very cluster, take rbd_cluster_name out yourself")
    ways.append(
        f"or, if the volumes lie in pool {backend.pool} (the file was changed since), set the "
        "file right yourself"
    )
    return "; ".join(ways)


def _refuse_default(site: Site, facts: Facts, host: Host, file: str, found: str) -> None:
    volumes = _volumes(facts, host, options_of(facts.hosts[host.name]), "")
    if volumes == []:
        return
    does = (
        "enabled_backends would orphan its volumes"
        if has_sections(facts)
        else "its volumes would be looked for in RBD"
    )
    ways = (
        "move it to a section of its own first: if its volumes are the site's, say "
        f"{site.cinder.all[0].said}.replaces = {DEFAULT!r}; else {BESIDE}"
        if has_sections(facts)
        else "let another host's cinder-volume have the RBD backend"
    )
    advice = f"{ways}; if it has no volume, take these options out of [DEFAULT]"
    raise Refused(
        f"{host.name}: {file} has its backend in [DEFAULT] ({found}; {_count(volumes)}): {does}; "
        f"{advice}",
        host=host.name,
        subject=file,
        found=f"its backend in [DEFAULT] ({found}; {_count(volumes)})",
        why=does,
        advice=advice,
    )


def _volumes(facts: Facts, host: Host, options: Options, section: str) -> list[str] | None:
    """The volumes of a host's backend, or of the one in [DEFAULT]; None where nobody can say."""
    asked = facts.hosts.get(CLOUD, {}).get("volumes")
    if asked is None:
        return None
    own = own_name(facts.hosts[host.name], options)
    mine = service(options, own, section) if section else own
    return [
        str(one["id"])
        for one in asked
        if one["host"].partition("#")[0].lower() == mine.lower()  # MySQL compares them so
    ]


def _count(volumes: Sequence[str] | None) -> str:
    if volumes is None:
        return "whether volumes are on it cannot be seen (name the cloud in the site file)"
    if not volumes:
        return "no volume on it"
    more = f" and {len(volumes) - 3} more" if len(volumes) > 3 else ""
    return f"{counted(len(volumes), 'volume')} on it: {', '.join(volumes[:3])}{more}"


def _shown(options: Mapping[str, str]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in options.items())


def notes(site: Site, facts: Facts, host: Host) -> list[str]:
    """What is changed under a backend that is there and has no volumes; another cephx user."""
    if not has_sections(facts):
        return []
    options = options_of(facts.hosts[host.name])
    found = []
    for backend in site.cinder.all:
        found += [
            f"{host.name}: [{backend.name}] {key} = {now or '(none)'} becomes {wanted}; no volume "
            "is on it"
            for key, (now, wanted) in elsewhere_now(site, facts, backend, options).items()
        ]
        user, client = value(options, backend.name, "rbd_user"), backend.client
        if user and user != client:
            found.append(
                f"{host.name}: [{backend.name}] rbd_user = {user} becomes {client}: volumes that "
                f"are attached keep client.{user} and its libvirt secret until they are attached "
                f"anew, so leave both; or stay with it: {backend.said}.client = {user!r}"
            )
    return found
