"""What a backup holds besides the databases, and what must be so before one is restored.

Knows OpenStack's folders, packages and services, and the order in which these start; pure.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence

from fabfile.backup import manifest as manifests
from fabfile.core.contract import INV, BadInput, Change, Facts, Host, Json, Read
from fabfile.core.remote import server_kinds
from fabfile.model.platforms import Platform
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import by_cluster, cluster, in_force
from fabfile.resources.backup_tools import INSTALLED, TOOLS, hosts
from fabfile.resources.resource import Resource


def folders(site: Site, host: Host) -> list[str]:
    """What is taken of a host: the services' settings, ceph.conf, and what the site adds.

    Keyrings are not: the cluster has the keys, and integrate puts them back.
    """
    platform = site.platform_of(host)
    also = [posixpath.normpath("/" + path.lstrip("/")) for path in site.backup.also]
    used = [one.conf for one in site.bindings_of(host)]
    confs = dict.fromkeys(used if platform.ceph_folders else [platform.ceph["conf"], *used])
    return [*platform.backup["folders"], *confs, *also]


COMMANDS = {"rabbitmq.json": ["rabbitmqctl", "-q", "export_definitions", "-"]}
HEADS = {"alembic_version": "version_num", "migrate_version": "CONCAT(repository_id, ' ', version)"}
"""The tables in which migrations keep where they are: {table: what tells it}."""
_ORDER = (
    ("mariadb", "mysql", "mysqld"),
    ("memcached", "epmd"),
    ("rabbitmq-server",),
    ("apache2", "keystone"),
    ("glance-", "placement-", "barbican-"),
    ("neutron-",),
    ("nova-",),
    ("cinder-",),
    ("heat-", "octavia-", "designate-", "manila-", "magnum-", "haproxy"),
)
"""The order in which services start: the first part of their units' names."""
DATABASE_UNITS, _QUEUE = _ORDER[0], 2
_STAYS = re.compile(r"nova-compute|.*-agent|.*-cleanup|.*-metadata-agent")
"""What serves guests that run, and goes on doing so."""
_MOST_NAMED = 8
_FOR_GOOD = "it was taken away for good"
UNITS = Read("units.active", "running_units")


def rank(site: Site, unit: str) -> int | None:
    """A unit's place in the order; None for what is not OpenStack's, or is left alone."""
    if _STAYS.fullmatch(unit):
        return None
    for place, starts in enumerate(_ORDER):
        if any(
            unit == start or (start.endswith("-") and unit.startswith(start)) for start in starts
        ):
            return place
    return len(_ORDER) - 2 if unit in site.backup.units else None


def active(site: Site, units: Sequence[str]) -> list[str]:
    """OpenStack's units of those at work, in the order in which they start."""
    ranked = [(place, u) for u in units if (place := rank(site, u)) is not None]
    return [unit for _, unit in sorted(ranked)]


def groups(site: Site, units: Iterable[str]) -> list[list[str]]:
    """Units by their place in the order, the first to start first."""
    found: dict[int, list[str]] = {}
    for unit in sorted(units):
        place = rank(site, unit)
        if place is not None:
            found.setdefault(place, []).append(unit)
    # A unit of the site's own is there before those of its place, which may need it.
    return [
        part
        for place in sorted(found)
        for part in (
            [u for u in found[place] if u in site.backup.units],
            [u for u in found[place] if u not in site.backup.units],
        )
        if part
    ]


# Making one


def reads(site: Site, host: Host) -> list[Read]:
    """What a backup says of a host, and (of the first Ceph host) of the cluster."""
    found = by_cluster.reads(site, host, cluster.reads)
    if host in hosts(site):
        found += [INSTALLED, UNITS]
    if "cinder" in host.roles:
        found += in_force.reads(site, host, CINDER_VOLUME)
    if "compute" in host.roles:
        listed = {"argv": site.platform_of(host).command("virsh", "secret-list")}
        found.append(Read("secrets", "argv", listed))
    return found


def refuse_without_tools(site: Site, facts: Facts) -> None:
    """Raises BadInput where no backup can be made, or none of the databases."""
    if not site.backup.recipients:
        raise BadInput(
            "backup.recipients: expected at least one, for whom backups are sealed, "
            f"found none; {INV} backup.key makes a key"
        )
    _ = site.database_host  # exactly one holds the databases
    for host in hosts(site):
        missing = [name for name in TOOLS if not facts.of(host.name, INSTALLED.id)[name]]
        if missing:
            raise BadInput(
                f"{host.name}: not installed: {', '.join(missing)}; {INV} backup.tools "
                "installs what is missing"
            )


def of_cluster(site: Site, facts: Facts) -> dict[str, Json]:
    """The Ceph side, without keys; of several clusters, the first."""
    part = site.parts[0]
    seen = cluster.seen(part, by_cluster.facts_of(part, facts))
    return {
        "fsid": seen.fsid,
        "monitors": list(seen.monitors),
        "pools": {
            name: {
                key: pool.get(key)
                for key in ("pool_id", "size", "min_size", "pg_num", "type", "application_metadata")
            }
            for name, pool in seen.pools.items()
        },
        "users": {name: user.get("caps", {}) for name, user in seen.users.items()},
    }


def of_host(site: Site, facts: Facts, host: str) -> dict[str, Json]:
    """What a backup says of one host besides what is taken there."""
    seen = facts.hosts[host]
    versions = {name: text for name, text in seen[INSTALLED.id].items() if text}
    found = {"versions": versions, "units": active(site, seen[UNITS.id])}
    options = in_force.options(seen, CINDER_VOLUME.key)
    if ("DEFAULT", "enabled_backends") in options:
        found["backends"] = {
            "enabled": options["DEFAULT", "enabled_backends"],
            "host": options.get(("DEFAULT", "host"), host),
            "backend_host": {s: v for (s, k), v in options.items() if k == "backend_host"},
            "pools": {s: v for (s, k), v in options.items() if k == "rbd_pool"},
        }
    return found


def secrets(facts: Facts) -> dict[str, list[str]]:
    """{compute: the UUIDs that its libvirt holds}; computes that did not answer are left out."""
    return {
        host: re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", seen["secrets"]["out"].lower())
        for host, seen in facts.hosts.items()
        if "secrets" in seen
    }


# Restoring one


def refuse_unfit(
    site: Site, manifest: Mapping[str, Json], facts: Facts, bare: bool = False
) -> None:
    """Raises BadInput for a backup that is not this cloud's, or too new for its packages.

    bare: what makes backups is installed on the way, where the site installs packages.
    """
    part = site.parts[0]
    fsid = cluster.fsid(part, by_cluster.facts_of(part, facts))
    faults = []
    comes = {"ceph-common", *(TOOLS if bare and site.packages.install else ())}
    if manifest["site"] != site.name:
        faults.append(f"it is of the site {manifest['site']!r}, expected {site.name!r}")
    if manifest["fsid"].lower() != fsid:
        faults.append(f"it is of the cluster {manifest['fsid']}, found {fsid}: another cloud")
    for host, held in manifest["hosts"].items():
        if host not in site.hosts:
            faults.append(f"it holds host {host}, which the site has not")
            continue
        strange = manifests.strangers(held, folders(site, site.host(host)))
        faults += [f"{host}: {why}" for why in strange[:_MOST_NAMED]]
        if strange:
            faults.append(f"{host}: a path that is yours belongs into backup.also of the site file")
        installed = facts.of(host, INSTALLED.id)
        for package, version in held["versions"].items():
            if package not in comes:
                faults += _unfit(host, package, version, installed.get(package))
    if faults:
        raise BadInput("the backup does not fit:\n  " + "\n  ".join(faults))


def _unfit(host: str, package: str, then: str, now: str | None) -> list[str]:
    if now is None:
        return [
            f"{host}: {package} ({then}) is not installed; a bare host needs its packages first"
        ]
    if _major(then) > _major(now):
        return [
            f"{host}: it has the schema of {package} {then}, found {now}: an older one cannot "
            "read it"
        ]
    return []


def _major(version: str) -> tuple[int, ...]:
    """What changes a schema: (26,) of '3:26.2.2-1~deb12u3', (10, 11) of MariaDB's."""
    numbers = [int(n) for n in re.findall(r"\d+", version.rpartition(":")[2].split("-")[0])]
    return tuple(numbers[: 2 if numbers and numbers[0] in (10, 11) else 1])


def stopped(site: Site, facts: Facts, names: Sequence[str]) -> list[Change]:
    """The services of these hosts, stopped: the last to start first; databases stay up."""
    changes = []
    for host in names:
        units = [u for u in active(site, facts.of(host, UNITS.id)) if u not in DATABASE_UNITS]
        for group in reversed(groups(site, units)):
            words = ", ".join(group)
            changes.append(Change(host, words, "stop", "!", "stop", {"units": group}, 1))
    return changes


_IMPORT = """set -e
umask 077
folder=$(mktemp -d /run/stackrbd-queue.XXXXXX)
trap 'rm -rf -- "$folder"' EXIT
trap 'exit 1' HUP INT TERM
cat > "$folder/definitions.json"
chown rabbitmq "$folder/definitions.json"
chmod 0711 "$folder"
rabbitmqctl -q import_definitions "$folder/definitions.json" < /dev/null
"""
"""Definitions of its standard input, from a file that rabbitmq's user may read.

Under Erlang 27 (RabbitMQ 4) rabbitmqctl waits for ever for a standard input that it does not read.
"""


def _database_unit(platform: Platform, version: str) -> str:
    """The unit of the server that a backup is of: the platform's, by the server's kind."""
    key = server_kinds.named(version).key
    return next((unit for unit in platform.daemons["database"] if unit.startswith(key)), key)


class PutBack:
    """As a resource: files, databases and services of hosts are as a backup has them.

    manifest: the backup's; taken: {host: {'folder', 'staged', 'live'}} of what was restored
    beside the live ones, or nothing where that is still to come.
    """

    def __init__(
        self, manifest: Mapping[str, Json], taken: Mapping[str, Mapping[str, Json]], run: str
    ) -> None:
        self._manifest, self._taken, self._run = manifest, taken, run

    @property
    def resource(self) -> Resource:
        """As a resource of the task backup.restore."""
        return Resource("backup.restore", self.reads, self.plan)

    def reads(self, site: Site, host: Host) -> list[Read]:
        """Every file that the backup has, as it is now; units; what waits to be put in place."""
        if host.name not in self._manifest["hosts"]:
            return []
        taken = self._taken.get(host.name, {})
        waiting = [taken["folder"]] if taken.get("folder") else []
        if taken:
            waiting += [taken["staged"], f"{taken['staged']}/said/rabbitmq.json"]
        found = [UNITS, INSTALLED, Read("waiting", "exists", {"paths": waiting})]
        for path, (kind, *_) in self._manifest["hosts"][host.name]["files"].items():
            if kind == "link":
                found.append(Read(f"at {path}", "exists", {"paths": [path]}))
            else:
                found.append(Read(f"at {path}", "file", {"path": path, "kind": kind}))
        return found

    def plan(self, site: Site, facts: Facts) -> list[Change]:
        """Files first, then the databases, the queue, and services in their order."""
        changes: list[Change] = []
        for host, held in self._manifest["hosts"].items():
            seen = facts.hosts[host]
            changes += self._files(host, held, seen)
            databases = self._databases(site, host, held, seen)
            changes += databases
            changes += self._services(site, host, held, seen, bool(databases))
            changes += self._queue(host, seen)
            changes += self._cleared(host, seen)
        return sorted(changes, key=lambda change: change.wave)

    def _files(self, host: str, held: Mapping[str, Json], seen: Mapping[str, Json]) -> list[Change]:
        changes = []
        staged = self._taken.get(host, {}).get("staged", "")
        for path, (kind, mode, owner, group, content) in held["files"].items():
            now = seen[f"at {path}"]
            if kind == "link":
                if not now[path]:
                    argv = ["ln", "-sT", "--", content, path]
                    changes.append(
                        Change(
                            host,
                            path,
                            f"link to {content}",
                            "+",
                            "run",
                            {"argv": argv},
                            1,
                            stays="a link of the backup is kept",
                        )
                    )
                continue
            own = {"path": path, "mode": mode, "owner": owner, "group": group}
            as_it_was = now and (now["mode"], now["owner"], now["group"]) == (mode, owner, group)
            if kind == "directory":
                if not as_it_was:
                    sign = "~" if now else "+"
                    changes.append(Change(host, path, f"folder, {owner}", sign, "folder", own, 1))
            elif not as_it_was or now["sha256"] != content:
                before = now["sha256"] if now else None
                args = {**own, "staged": f"{staged}/files{path}", "before": before}
                words = "as the backup has it" if now else "from the backup"
                changes.append(Change(host, path, words, "~" if now else "+", "place", args, 1))
        return changes

    def _databases(
        self, site: Site, host: str, held: Mapping[str, Json], seen: Mapping[str, Json]
    ) -> list[Change]:
        taken = self._taken.get(host)
        if "database" not in held or (taken and not seen["waiting"].get(taken["folder"])):
            return []
        count = len(held["database"]["tables"])
        sentence = f"{len(held['database']['schemas'])} databases ({count} tables) of the backup"
        live = taken["live"] if taken else ""
        unit = _database_unit(site.platform_of(site.host(host)), held["database"]["version"])
        args = {
            "path": live,
            "new": taken["folder"] if taken else "",
            "old": self.old(live),
            "unit": unit,
        }
        sentence += f", in the place of the old ones, which are kept ({unit} rests meanwhile)"
        return [Change(host, "databases", sentence, "~", "exchange", args, 2)]

    def old(self, live: str) -> str:
        """Where the databases are kept that were there before."""
        return f"{live}.stackrbd-before-{self._run}"

    def _queue(self, host: str, seen: Mapping[str, Json]) -> list[Change]:
        taken = self._taken.get(host)
        path = f"{taken['staged']}/said/rabbitmq.json" if taken else ""
        if not path or not seen["waiting"].get(path):
            return []
        args = {
            "argv": ["sh", "-c", _IMPORT],
            "stdin": [{"staged": path}],
            "timeout": 120,
        }
        sentence = "users, permissions and queues of the backup"
        return [
            Change(
                host,
                "queue",
                sentence,
                "~",
                "run",
                args,
                4,
                stays="what the queue had before was not kept",
            )
        ]

    def _services(
        self,
        site: Site,
        host: str,
        held: Mapping[str, Json],
        seen: Mapping[str, Json],
        starts: bool,
    ) -> list[Change]:
        """Enabled and started in their order; starts: whether the databases' own step does that."""
        at_work = active(site, seen[UNITS.id])
        changes = []
        for group in groups(site, [unit for unit in held["units"] if unit not in at_work]):
            place = rank(site, group[0]) or 0
            wave = 3 if place <= _QUEUE else 5 + place
            words = ", ".join(group)
            changes.append(
                Change(
                    host,
                    words,
                    "enable",
                    "!",
                    "enable",
                    {"units": group},
                    wave,
                    stays="a unit stays enabled",
                )
            )
            if not (starts and group[0] in DATABASE_UNITS):
                start = {"units": group}
                changes.append(
                    Change(host, words, "start, and watch it stand", "!", "restart", start, wave)
                )
        return changes

    def _cleared(self, host: str, seen: Mapping[str, Json]) -> list[Change]:
        """The backup's files, taken away once all is in its place."""
        staged = self._taken.get(host, {}).get("staged")
        if not staged or not seen["waiting"].get(staged):
            return []
        args = {"argv": ["rm", "-rf", "--", staged], "timeout": 300}
        return [
            Change(
                host,
                staged,
                "the backup's files, no longer needed",
                "-",
                "run",
                args,
                50,
                stays=_FOR_GOOD,
            )
        ]


class Stopped:
    """As a resource: OpenStack's services of these hosts are at rest, their database is not."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    @property
    def resource(self) -> Resource:
        """As a resource of the task backup.restore."""
        return Resource("backup.restore", self.reads, self.plan)

    def reads(self, site: Site, host: Host) -> list[Read]:
        """What is at work."""
        return [UNITS] if host.name in self._names else []

    def plan(self, site: Site, facts: Facts) -> list[Change]:
        """The services stopped, the last to start first."""
        return stopped(site, facts, self._names)


def as_if_stopped(facts: Facts, names: Sequence[str]) -> Facts:
    """The facts as they will be then: for a plan that is shown before."""
    found = {
        host: {**seen, UNITS.id: [u for u in seen[UNITS.id] if u in DATABASE_UNITS]}
        if host in names
        else seen
        for host, seen in facts.hosts.items()
    }
    return Facts(found, facts.known, facts.release)


class Old:
    """As a resource: no databases are left that a restore kept beside the live ones."""

    def __init__(self, live: str) -> None:
        self._folder, _, self._name = live.rstrip("/").rpartition("/")

    @property
    def resource(self) -> Resource:
        """As a resource of the task backup.settle."""
        return Resource("backup.settle", self.reads, self.plan)

    def reads(self, site: Site, host: Host) -> list[Read]:
        """What is there beside the live ones."""
        if host != site.database_host:
            return []
        pattern = f"{self._name}.stackrbd-before-*"
        argv = ["find", self._folder, "-maxdepth", "1", "-name", pattern]
        return [Read("old", "argv", {"argv": argv})]

    def plan(self, site: Site, facts: Facts) -> list[Change]:
        """All of them, for good."""
        host = site.database_host.name
        return settled(host, sorted(facts.of(host, "old")["out"].split("\n")[:-1]))


def settled(host: str, folders: Sequence[str]) -> list[Change]:
    """What a restore kept of the old databases, taken away for good."""
    return [
        Change(
            host,
            folder,
            "the databases from before a restore, for good",
            "-",
            "run",
            {"argv": ["rm", "-rf", "--", folder], "timeout": 3600},
            1,
            stays=_FOR_GOOD,
        )
        for folder in folders
    ]
