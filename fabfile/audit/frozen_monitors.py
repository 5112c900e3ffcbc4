"""Monitor lists that are frozen: in the attachments of both databases, and in running guests.

A running guest follows the monitor map by itself.  What it is started with, or migrated
with, is the list that Nova keeps in block_device_mapping.connection_info (and Cinder in
volume_attachment): once no monitor of that list is left, it cannot be.  A hard reboot writes
that same list again; only a new attachment has the live one.  Since Xena (24),
`nova-manage volume_attachment refresh` makes one, of an instance that is stopped.
Source: nova/cmd/manage.py and nova/virt/block_device.py (Zed); nova LP#1741364.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from fabfile.audit import attachments
from fabfile.audit.attachments import Instance, Kept
from fabfile.audit.database_rows import Schemas
from fabfile.core import strict_json
from fabfile.core.contract import CLOUD, BadInput, Change, Facts, Host, Read, typed
from fabfile.model import advice, releases
from fabfile.model.services import NOVA_COMPUTE
from fabfile.model.site import Site
from fabfile.resources import by_cluster, cluster, domains, in_force
from fabfile.resources.resource import Resource

XENA = 24
ROWS, CONTROL, CONNECTOR = "monitors.rows", "nova-manage", "monitors.connector"
"""Reads; of CONTROL, what in_force asks of a program: its file, and what else it reads."""
_CONTROL_HOSTS = ("database", "glance", "cinder")
"""Roles of the hosts on which nova-manage may be set up."""
MOST_GUESTS = 1000
_MANAGE = ["nova-manage", "volume_attachment"]
_AS_NOVA = ["runuser", "-u", "nova", "--"]
_REFRESH = (
    'umask 077; f=$(mktemp) && cat > "$f" && nova-manage volume_attachment refresh "$1" "$2" "$f"; '
    'code=$?; rm -f "$f"; exit $code'
)
"""It wants the connector's file by name, and reads it as nova."""
_STOP, _REFRESHED, _START = 1, 2, 3
"""The waves of the three."""


@dataclass(frozen=True)
class Need:
    """What one instance needs for its monitor lists, and in words why.

    what: 'nothing', 'refresh' (it is stopped), 'restart' (stop, refresh and start) or
    'hard reboot' (its running domain alone is out of date).
    volumes: those whose attachment is out of date.
    """

    instance: Instance
    what: str
    volumes: tuple[str, ...]
    why: str


# What the databases say


def question(found: Schemas) -> str:
    """The rows that matter: of what may hold a key, the monitors alone are read."""
    return "".join(f"{one};\n" for one in attachments.statements(found, _hosts))


def _hosts(table: str) -> str:
    return attachments.told_at(table, "hosts")


def kept(lines: Iterable[str]) -> Kept:
    """The answers to question()."""
    return attachments.kept(lines, _monitors)


def _monitors(told: str) -> tuple[frozenset[str], str]:
    try:
        found = strict_json.loads(told or "[]")
    except ValueError:
        return frozenset(), ""
    return attachments.addresses(found), ""


# What is out of date


def live(site: Site, facts: Facts) -> list[frozenset[str]]:
    """The addresses of each cluster's live monitor map."""
    return [cluster.seen(part, by_cluster.facts_of(part, facts)).addresses for part in site.parts]


def nearest(known: Collection[str], clusters: Iterable[frozenset[str]]) -> frozenset[str]:
    """The live monitors of the cluster of which a list may be; of all, where none of them is."""
    all_ = list(clusters)
    near = [now for now in all_ if now & set(known)]
    return near[0] if near else frozenset[str]().union(*all_)


def gone(known: Collection[str], now: Collection[str]) -> bool:
    """Whether a list has no monitor that is still there: nothing starts with it."""
    return bool(known) and bool(now) and not set(known) & set(now)


def outdated(known: Collection[str], now: Collection[str]) -> bool:
    """Whether a list is another than the live one."""
    return bool(known) and bool(now) and set(known) != set(now)


def needs(site: Site, facts: Facts, found: Kept) -> list[Need]:
    """One for each instance that has anything out of date, in the order of their ids."""
    clusters = live(site, facts)
    pools = {pool for part in site.parts for pool in part.pools}
    stale: dict[str, set[str]] = {}
    dead: set[str] = set()
    for one in found.attachments:
        now = nearest(one.monitors, clusters)
        if outdated(one.monitors, now):
            stale.setdefault(one.instance, set()).add(one.volume)
            dead |= {one.instance} if gone(one.monitors, now) else set()
    frozen = {
        domain
        for _, domain, disk in domains.running(facts.hosts)
        if disk.image.partition("/")[0] in pools
        and outdated(disk.monitors, nearest(disk.monitors, clusters))
    }
    return [
        _need(instance, tuple(sorted(stale.get(name, ()))), name in dead)
        for name in sorted({*stale, *frozen})
        if (instance := found.instances.get(name))
    ]


def _need(instance: Instance, volumes: tuple[str, ...], dead: bool) -> Need:
    some = "none of its monitors is left" if dead else "some of its monitors are gone"
    if not volumes:
        return Need(
            instance,
            "hard reboot",
            (),
            "it runs on, and its attachments are up to date: "
            "a new start has the live monitors; before a live migration, a hard "
            "reboot",
        )
    if instance.state == "stopped":
        then = "it cannot be started" if dead else "it starts as long as one is left"
        return Need(instance, "refresh", volumes, f"{some}: {then}")
    if instance.state == "active":
        then = (
            "it runs on, and can be neither started anew nor migrated"
            if dead
            else "it runs on, and starts and migrates as long as one is left"
        )
        return Need(instance, "restart", volumes, f"{some}: {then}")
    then = "it attaches its volumes anew when it is unshelved"
    if instance.state != "shelved_offloaded":  # one that is shelved alone is started as it is
        then = "bring it to rest (stopped) first"
    return Need(instance, "nothing", volumes, f"{some}; it is {instance.state}: {then}")


# The resource


@dataclass(frozen=True)
class Frozen:
    """As a resource: says what each instance needs, and plans what was asked for.

    sql: the question to the databases, or '' where they are not asked.
    refresh: whether every stopped instance's attachments are made anew.
    restart: the running instances that are stopped, refreshed and started, or rebooted.
    computes: whose connector is wanted for that.
    """

    sql: str
    refresh: bool = False
    restart: tuple[str, ...] = ()
    computes: frozenset[str] = frozenset()

    @property
    def resource(self) -> Resource:
        """As the last resource of the task ceph.mons."""
        again = self.reread_hosts
        return Resource("ceph.mons", self.reads, self.plan, self.notes, reread_hosts=again)

    def reads(self, site: Site, host: Host) -> list[Read]:
        """The map, the rows, the running guests, and what a refresh needs."""
        found = by_cluster.reads(site, host, cluster.reads)
        if "compute" in host.roles:
            found.append(domains.read(site.platform_of(host), MOST_GUESTS))
        if self.sql and host in site.with_role("database"):
            args = {"sql": self.sql, "defaults": site.database.defaults_file}
            found.append(Read(ROWS, "rows", args))
        return found + (means(site, host, self.computes) if self._asked else [])

    def reread_hosts(self, site: Site) -> set[str]:
        """The hosts of which another look is needed when instances were worked on."""
        if not self._asked:
            return set()
        return {host.name for host in site.with_role("database", "compute")}

    @property
    def _asked(self) -> bool:
        return self.refresh or bool(self.restart)

    def plan(self, site: Site, facts: Facts) -> list[Change]:
        """Raises BadInput for what cannot be done, with what can be."""
        if not self._asked:
            return []
        found = self._kept(site, facts)
        _refuse_unknown(found, self.restart)
        wanted = [
            need
            for need in needs(site, facts, found)
            if need.instance.id in self.restart or (self.refresh and need.what == "refresh")
        ]
        changes = [c for need in wanted for c in self._for(site, facts, need)]
        due = {change.args.get("instance") for change in changes if change.verb == "server_start"}
        for name in self.restart:
            if found.instances[name].state == "stopped" and name not in due:
                changes.append(server(name, "start", _START))
        return changes

    def notes(self, site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
        """One for each instance: what is out of date, and what mends it."""
        done = {c.subject for c in changes}
        if not self._rows(site, facts):
            return ["attachments were not looked at: no host that was read has the role 'database'"]
        found = needs(site, facts, self._kept(site, facts))
        return [sentence(need) for need in found if need.instance.id not in done]

    def _rows(self, site: Site, facts: Facts) -> bool:
        return any(ROWS in facts.hosts.get(h.name, {}) for h in site.with_role("database"))

    def _kept(self, site: Site, facts: Facts) -> Kept:
        return kept(attachments.lines(site, facts, ROWS))

    def _for(self, site: Site, facts: Facts, need: Need) -> list[Change]:
        name = need.instance.id
        if not need.volumes:
            return [server(name, "hard_reboot", _START)]
        if need.what == "nothing":
            raise BadInput(f"instance {name}: {need.why}")
        place = control(site, facts)
        anew = [refreshed(place, facts, need, volume) for volume in need.volumes]
        stop = [server(name, "stop", _STOP)] if need.what == "restart" else []
        start = [server(name, "start", _START)] if name in self.restart else []
        return [*stop, *anew, *start]


def means(site: Site, host: Host, computes: Collection[str]) -> list[Read]:
    """What a new attachment needs: a host with nova-manage, and the computes' connectors."""
    found: list[Read] = []
    if host in site.with_role(*_CONTROL_HOSTS):
        conf = site.platform_of(host).file(NOVA_COMPUTE)
        found += [*in_force.reads_of(CONTROL, NOVA_COMPUTE.key, CONTROL, conf), releases.READ]
    if host.name in computes:
        argv = [*_AS_NOVA, *_MANAGE, "get_connector", "--json"]
        found.append(Read(CONNECTOR, "argv", {"argv": argv, "timeout": 60}))
    return found


def sentence(need: Need) -> str:
    """One instance's need in a line, with the command for it."""
    name = need.instance.id
    reboot = typed("inv", "ceph.mons", "--hard-reboot", name)
    command = {
        "refresh": typed("inv", "ceph.mons", "--refresh"),
        "restart": reboot,
        "hard reboot": reboot,
    }.get(need.what)
    then = f"; {advice.shown(command)}" if command else ""
    volumes = f", volume {', '.join(need.volumes)}" if need.volumes else ""
    return f"instance {name} ({need.instance.state}){volumes}: {need.why}{then}"


def computes(found: Kept, site: Site, facts: Facts) -> frozenset[str]:
    """The site's computes that have an instance whose attachment is out of date."""
    named = {need.instance.host for need in needs(site, facts, found) if need.volumes}
    return frozenset(
        host.name
        for host in site.with_role("compute")
        if {host.name, hostname_of(facts, host.name)} & named
    )


def hostname_of(facts: Facts, host: str) -> str:
    return str(facts.hosts.get(host, {}).get("host", {}).get("hostname", ""))


def _refuse_unknown(found: Kept, names: Iterable[str]) -> None:
    missing = [name for name in names if name not in found.instances]
    if missing:
        raise BadInput(
            f"--hard-reboot: expected the id of an instance, found {', '.join(missing)}, which "
            "Nova does not have; openstack server list --all-projects has the ids"
        )


def server(instance: str, verb: str, wave: int) -> Change:
    """An instance that is stopped, started or made anew."""
    words = {"stop": "stop", "start": "start, with the live monitors", "hard_reboot": "hard reboot"}
    return Change(
        CLOUD,
        f"instance {instance}",
        words[verb],
        "!",
        f"server_{verb}",
        {"instance": instance},
        wave,
        kind="instance",
        subject=instance,
    )


def refreshed(control: str, facts: Facts, need: Need, volume: str) -> Change:
    """One attachment that is made anew.  Raises BadInput where it cannot be."""
    name = need.instance.id
    if need.instance.locked:
        unlock = advice.shown(typed("openstack", "server", "unlock", name))
        raise BadInput(
            f"instance {name} is locked, and nova-manage does not touch what is: {unlock}"
        )
    connector = _connector(facts, need.instance.host)
    argv = [*_AS_NOVA, "sh", "-c", _REFRESH, "refresh", name, volume]
    args = {"argv": argv, "stdin": [connector], "timeout": 300}
    return Change(
        control,
        f"attachment of volume {volume} to instance {name}",
        "make it anew, with the live monitors",
        "~",
        "run",
        args,
        _REFRESHED,
        kind="attachment",
        subject=name,
        stays="an attachment keeps the live monitors",
    )


def _connector(facts: Facts, nova_host: str) -> str:
    """What nova-compute's host says of itself, as JSON.  Raises BadInput."""
    for host, seen in facts.hosts.items():
        if CONNECTOR in seen and nova_host in (host, hostname_of(facts, host)):
            told = re.search(r"^\{.*\}\s*$", seen[CONNECTOR]["out"], re.M)
            if told:
                return told.group().strip()
    raise BadInput(
        f"{nova_host}: expected a compute of the site file that says its connector, found none; "
        "name that host in the site file"
    )


def control(site: Site, facts: Facts) -> str:
    """The host where nova-manage can refresh.  Raises BadInput with what to do without it."""
    without = "expected a host with nova-manage and [api_database] in nova.conf, found none"
    for host in site.with_role(*_CONTROL_HOSTS):
        seen = facts.hosts.get(host.name, {})
        options = in_force.options(seen, CONTROL)
        if ("api_database", "connection") not in options:
            continue
        _refuse_older(host.name, releases.nova_package(seen[releases.READ.id]))
        if not {("cinder", "auth_type"), ("cinder", "auth_section")} & set(options):
            raise BadInput(
                f"{host.name}: {site.platform_of(host).file(NOVA_COMPUTE)}: [cinder] auth_type: "
                "expected the account by which nova-manage asks Cinder for a new attachment, "
                "found none; give [cinder] the options of [keystone_authtoken] there"
            )
        return host.name
    raise BadInput(f"{', '.join(_CONTROL_HOSTS)}: {without}; {WITHOUT}")


WITHOUT = (
    "shelve and unshelve the instance (any release), or detach and attach a volume that is not its "
    "root disk: both make a new attachment"
)
"""The way of releases before Xena."""


def _refuse_older(host: str, version: str | None) -> None:
    major = re.match(r"(?:\d+:)?(\d+)\.", version or "")
    if not major or int(major.group(1)) < XENA:
        raise BadInput(
            f"{host}: expected Nova {XENA} (Xena) or later, whose nova-manage can refresh an "
            f"attachment, found {version or 'no package of it'}; {WITHOUT}"
        )
