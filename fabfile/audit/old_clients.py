"""Clients whose place was taken: which instances still have their disks by them, and their end.

A disk is opened as the client that its attachment names, which stands in both databases.  A live
migration makes a new attachment, and the guest goes over without a pause of its own; a hard reboot
alone starts it with the old one.  A client is retired when nobody has it any more: no guest, no
attachment, no service, no session at a monitor.  Source: docs/rotation.md; nova/compute/manager.py
(pre_live_migration) and nova/virt/block_device.py (Zed).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fabfile.audit import attachments, frozen_monitors
from fabfile.audit.attachments import Instance, Kept
from fabfile.audit.database_rows import Schemas
from fabfile.audit.frozen_monitors import Need, server
from fabfile.core import strict_json
from fabfile.core.contract import CLOUD, INV, BadInput, Change, Facts, Host, Json, Read, Seen, typed
from fabfile.model import advice, services
from fabfile.model.phases import Phase
from fabfile.model.site import Site
from fabfile.resources import (
    auth,
    by_cluster,
    by_place,
    cluster,
    domains,
    in_force,
    keyrings,
    librados,
    rotation,
    secret_uuid,
)
from fabfile.resources.resource import Resource

ROWS = "clients.rows"
MOVES = ("migrate", "reboot")
_MIGRATE, _STOP, _REFRESH, _START = 1, 1, 2, 3
"""The waves in which instances are moved."""
_OFFLOADED = "shelved_offloaded"
_SHELVED = (
    "it is shelved on its compute, and is started there with the attachment that it has: unshelve "
    "it, or offload it (nova shelve-offload)"
)
"""Source: unshelve_instance of nova/conductor/manager.py (Zed)."""
_MOVED = (
    f"its monitors are none of the site's clusters: {INV} ceph.mons where they were moved; if it "
    "is of another cluster, name that one under [clusters]"
)


def question(found: Schemas) -> str:
    """The rows that matter: of what may hold a key, the client's name and the monitors alone.

    '' where Nova's database is not there: Cinder's alone does not tell who has what.
    """
    if not found.nova:
        return ""
    return "".join(f"{one};\n" for one in attachments.statements(found, _told))


def _told(table: str) -> str:
    """[client, monitors] as JSON."""
    names = (attachments.told_at(table, name) for name in ("auth_username", "hosts"))
    return f"JSON_ARRAY({', '.join(names)})"


def kept(lines: Iterable[str]) -> Kept:
    """The answers to question()."""
    return attachments.kept(lines, _client_of)


def _client_of(told: str) -> tuple[frozenset[str], str]:
    try:
        client, hosts = strict_json.loads(told)
    except (ValueError, TypeError):
        return frozenset(), ""
    return attachments.addresses(hosts), str(client or "")


# Who still has it


def needs(
    site: Site, facts: Facts, found: Kept, old: str, elsewhere: Collection[str] = ()
) -> list[Need]:
    """What each instance needs that has a disk by a client of a part's cluster.

    what: 'migrate' (it runs, with volumes by the client), 'refresh' (it is stopped), 'hard reboot'
    (its running domain alone has it), 'rest' (a person first), 'nothing' (shelved).
    elsewhere: as rotation.is_of has it.
    """
    now = cluster.seen(site, facts).addresses
    volumes: dict[str, set[str]] = {}
    sure: set[str] = set()
    for one in found.attachments:
        if one.client == old and rotation.is_of(now, one.monitors, elsewhere):
            volumes.setdefault(one.instance, set()).add(one.volume)
            sure |= {one.instance} if rotation.is_of(now, one.monitors) else set()
    disks = rotation.open_disks(site, facts, old, elsewhere)
    running = {domain: host for host, domain in disks}
    sure |= {domain for _, domain in rotation.open_disks(site, facts, old)}
    return [
        _need(
            found.instances.get(name, Instance(name, "", running.get(name, ""), False)),
            tuple(sorted(volumes.get(name, ()))),
            name in sure,
            name in running,
        )
        for name in sorted({*volumes, *running})
    ]


def _need(instance: Instance, volumes: tuple[str, ...], is_sure: bool, runs: bool) -> Need:
    if instance.state == _OFFLOADED and not runs:
        return Need(instance, "nothing", volumes, "it attaches them anew when it is unshelved")
    if not is_sure:
        return Need(instance, "rest", volumes, _MOVED)
    if not volumes:
        return Need(instance, "hard reboot", (), "its domain has a disk by it")
    if not instance.state:
        return Need(instance, "rest", volumes, "no instance of Nova's has it: detach the volume")
    if instance.state in ("active", "stopped"):
        what = "migrate" if instance.state == "active" else "refresh"
        return Need(instance, what, volumes, "its attachments name it")
    why = f"it is {instance.state}: bring it to rest (stopped)"
    return Need(instance, "rest", volumes, _SHELVED if instance.state == "shelved" else why)


def sentence(need: Need, old: str) -> str:
    """One instance's need in a line, with the command for it."""
    name = need.instance.id
    rotate = ("inv", "ceph.rotate", "--instance", name, "--move")
    commands = {
        "migrate": [typed(*rotate, "migrate"), typed(*rotate, "reboot")],
        "refresh": [typed(*rotate, "migrate")],
        "hard reboot": [typed(*rotate, "reboot")],
    }
    way = " or ".join(advice.shown(one) for one in commands.get(need.what, ()))
    volumes = f", volume {', '.join(need.volumes)}" if need.volumes else ""
    state = f" ({need.instance.state})" if need.instance.state else ""
    said = f"instance {name or '-'}{state}{volumes}: still client.{old}: {need.why}"
    return f"{said}; {way}" if way else said


def computes(
    site: Site, facts: Facts, found: Kept, move: str, only: Sequence[str]
) -> frozenset[str]:
    """The site's computes whose connector a move may need: asking for one takes seconds."""
    old = {old for part in site.parts for old in part.replaced.values()}
    named = {one.instance for one in found.attachments if one.client in old}
    states = ("active", "stopped") if move == "reboot" else ("stopped",)
    hosts = {
        one.host
        for name, one in found.instances.items()
        if name in named and one.state in states and name in (only or named)
    }
    return frozenset(
        host.name
        for host in site.with_role("compute")
        if {host.name, frozen_monitors.hostname_of(facts, host.name)} & hosts
    )


# The resource


@dataclass(frozen=True)
class OldClients:
    """As a resource: moves instances where asked, else retires what nobody has any more.

    sql: the question to the databases, or '' where they are not asked.
    move: how instances are moved, '' for not at all; only: these alone.
    computes: whose connector is wanted for that.
    """

    sql: str
    move: str = ""
    only: tuple[str, ...] = ()
    computes: frozenset[str] = frozenset()

    @property
    def resource(self) -> Resource:
        """As the last resource of the task ceph.rotate."""
        again = self.reread_hosts
        return Resource("ceph.rotate", self.reads, self.plan, self.notes, reread_hosts=again)

    def reads(self, site: Site, host: Host) -> list[Read]:
        """The cluster and its sessions, guests, secrets, options, keyrings, and the rows."""
        found = by_cluster.reads(site, host, _reads_of_cluster)
        for service in services.on(host):
            found += in_force.reads(site, host, service)
        if "compute" in host.roles:
            platform = site.platform_of(host)
            found.append(domains.read(platform, frozen_monitors.MOST_GUESTS))
            found.append(secret_uuid.secrets_of(site, host))
        if self.sql and host in site.with_role("database"):
            args = {"sql": self.sql, "defaults": site.database.defaults_file}
            found.append(Read(ROWS, "rows", args))
        return found + (frozen_monitors.means(site, host, self.computes) if self.move else [])

    def reread_hosts(self, site: Site) -> set[str]:
        """The hosts of which another look is needed when instances were moved."""
        moved = site.with_role("database", "compute") if self.move else []
        return {host.name for host in moved} | {admin.name for admin in site.admins}

    def plan(self, site: Site, facts: Facts) -> list[Change]:
        """Raises BadInput for what cannot be moved, with what can be."""
        found, unseen = self._kept(site, facts), _unseen(site, facts)
        changes = []
        for part in site.parts:
            mine, others = by_cluster.facts_of(part, facts), _elsewhere(site, facts, part)
            with by_cluster.saying_which(part):
                for old in part.replaced.values():
                    if self.move:
                        wanted = needs(part, mine, found, old, others)
                        changes += self._moves(site, facts, wanted, found.instances)
                    elif not unseen and not self.in_use(part, mine, found, old, others):
                        changes += retirement(part, mine, old)
        # One instance may have several old clients: it is stopped and started once.
        return list({(one.host, one.thing, one.verb): one for one in changes}.values())

    def notes(self, site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
        """Who still has an old client, and what moves it; what an operator does in the end."""
        found, said = self._kept(site, facts), _unseen(site, facts)
        unseen = bool(said)
        done = {change.subject for change in changes if change.kind in ("instance", "attachment")}
        for part in site.parts:
            mine, others = by_cluster.facts_of(part, facts), _elsewhere(site, facts, part)
            for new, old in part.replaced.items():
                left = self.in_use(part, mine, found, old, others, done)
                said += [*left, *_with_others(part, mine, old)]
                if any(one.kind == "user" and one.subject == old for one in changes):
                    said += _granted_more(part, mine, new, old)
                if not unseen and not left and not retirement(part, mine, old) and not self.move:
                    table = part.said_of_client(new)
                    said.append(f"client.{old} is gone: take {table}.replaces out of the site file")
        return said

    def in_use(  # noqa: PLR0913, PLR0917 (what was seen, and where)
        self,
        site: Site,
        facts: Facts,
        found: Kept,
        old: str,
        elsewhere: Collection[str] = (),
        done: Iterable[str] = (),
    ) -> list[str]:
        """What speaks against retiring a client of a part's cluster, in words.

        elsewhere: as rotation.is_of has it.  done: instances that are moved by what is planned.
        """
        said = [
            sentence(need, old)
            for need in needs(site, facts, found, old, elsewhere)
            if need.what != "nothing" and need.instance.id not in done
        ]
        said += [f"{place} names client.{old}" for place in rotation.named_by(site, facts, old)]
        if not self.sql:
            said.append(
                "attachments were not looked at: no host of the role 'database' has Nova's database"
            )
        if site.is_supplied:
            return said
        at = rotation.logged_in(site, facts, old)
        if at is None:
            where = advice.shown(typed("ceph", "daemon", "mon.ID", "sessions"))
            said.append(
                f"client.{old}: the monitors do not say who is logged in (Octopus or later do): "
                f"look on each monitor's host ({where}), and take the user away by hand"
            )
        elif at and not said and not done:
            said.append(f"client.{old} is logged in from {', '.join(at)}: end what that is")
        return said

    def _kept(self, site: Site, facts: Facts) -> Kept:
        return kept(attachments.lines(site, facts, ROWS))

    def _moves(
        self, site: Site, facts: Facts, wanted: Sequence[Need], there: Mapping[str, Instance]
    ) -> list[Change]:
        """What is asked for; one that --move reboot names runs then, also where a run ended
        between its stop and its start."""
        known = {need.instance.id: need for need in wanted}
        changes: list[Change] = []
        for name in self.only or tuple(known):
            need = known.get(name)
            state = there[name].state if name in there else ""
            asleep = self.move == "reboot" and name in self.only and state == "stopped"
            if need is None or need.what == "nothing":  # moved already
                changes += [_started(name)] if asleep else []
                continue
            if need.instance.locked and need.what in ("migrate", "hard reboot"):
                unlock = advice.shown(typed("openstack", "server", "unlock", name))
                raise BadInput(f"instance {name} is locked: {unlock}")
            if self.only or need.what != "rest":
                changes += self._moved(site, facts, need)
                changes += [_started(name)] if asleep else []
        return changes

    def _moved(self, site: Site, facts: Facts, need: Need) -> list[Change]:
        name = need.instance.id
        if need.what == "rest":
            raise BadInput(f"instance {name}: {need.why}")
        if need.what == "hard reboot":
            return [server(name, "hard_reboot", _START)] if self.move == "reboot" else []
        if need.what == "migrate" and self.move == "migrate":
            return [_migrated(name)]
        place = frozen_monitors.control(site, facts)
        anew = [
            replace(
                frozen_monitors.refreshed(place, facts, need, volume),
                sentence="make it anew, as the new client",
                stays="an attachment keeps the new client",
            )
            for volume in need.volumes
        ]
        if need.what == "refresh":
            return anew
        return [server(name, "stop", _STOP), *anew, _started(name)]


def _started(name: str) -> Change:
    return replace(server(name, "start", _START), sentence="start, as the new client")


def _migrated(instance: str) -> Change:
    return Change(
        CLOUD,
        f"instance {instance}",
        "migrate live, to the new client",
        "~",
        "server_migrate",
        {"instance": instance},
        _MIGRATE,
        kind="instance",
        subject=instance,
        stays="a guest keeps the new client",
    )


# The end


def _unseen(site: Site, facts: Facts) -> list[str]:
    """Hosts that did not answer, in words: a guest, or an option, of theirs may have the client."""
    roles = {"database", *(service.role for service in services.SERVICES)}
    return [
        f"{host.name} was not looked at: while it is not, nobody is retired"
        for host in site.all_hosts()
        if roles & set(host.roles) and host.name not in facts.hosts
    ]


def _elsewhere(site: Site, facts: Facts, part: Site) -> set[str]:
    """The monitors of the site's other clusters."""
    others = [one for one in site.parts if one.label != part.label]
    return {
        address for one in others for address in cluster.live(one, by_cluster.facts_of(one, facts))
    }


def _reads_of_cluster(site: Site, host: Host) -> list[Read]:
    """The cluster, its sessions, and a host's keyrings of old clients."""
    found = cluster.reads(site, host)
    if host == site.admin and site.replaced:
        found.append(rotation.sessions(site))
    return found + by_place.reads(
        site,
        host,
        lambda place, at: (keyrings.read_of(old, path) for old, path in _keyrings(place, at)),
    )


def _keyrings(site: Site, host: Host) -> list[tuple[str, str]]:
    """[(client whose place was taken, where its keyring is)] of a host."""
    found = [
        (site.replaced[binding.client], binding.platform.keyring(site.replaced[binding.client]))
        for binding in site.bindings_of(host)
        if binding.keyring and binding.client in site.replaced
    ]
    return list(dict.fromkeys(found))


def _keyrings_of(site: Site, facts: Facts, host: Host, old: str) -> Iterator[tuple[str, Seen]]:
    """(path, what was seen there) of a client's keyrings on a host, in each of its places."""
    for place in site.places:
        there = by_place.facts_of(place, facts).hosts.get(host.name, {})
        if seen := there.get(f"keyring.{old}"):
            paths = _keyrings(place, place.host(host.name))
            yield from ((path, seen) for name, path in paths if name == old)


def retirement(site: Site, facts: Facts, old: str) -> list[Change]:
    """What is left of a client that nobody has: keyrings, libvirt's secrets, and then the user."""
    user = cluster.seen(site, facts).users.get(f"client.{old}")
    changes = []
    for host in site.all_hosts():
        for path, seen in _keyrings_of(site, facts, host, old):
            if not _others_in(seen, old):
                changes.append(_without_keyring(host, path, old, seen["sha256"]))
        changes += _without_secrets(site, facts, host, old, (user or {}).get("key", ""))
    if user and not site.is_supplied:
        changes.append(_without_user(site, old))
    return changes


def _others_in(seen: Mapping[str, Json], old: str) -> list[str]:
    """Whose keys a keyring holds beside a client's."""
    return sorted(set(librados.clients_in(seen.get("text", ""))) - {f"client.{old}"})


def _with_others(site: Site, facts: Facts, old: str) -> Iterator[str]:
    """Keyrings of the old client that stay, as others have their keys there."""
    for host in site.all_hosts():
        for path, seen in _keyrings_of(site, facts, host, old):
            if others := _others_in(seen, old):
                yield f"{host.name}: {path} stays: it has {', '.join(others)} too"


def _granted_more(site: Site, facts: Facts, new: str, old: str) -> Iterator[str]:
    """That the old client may be somebody else's too, who has no session while he is idle."""
    seen = cluster.seen(site, facts)
    wanted = auth.clients(site, seen, facts.release)[new]
    if more := auth.beyond(wanted, seen.users.get(f"client.{old}", {}).get("caps", {})):
        yield (
            f"client.{old} has {more}, which the site file does not give client.{new}: see that "
            "nobody else logs in by its key; one who is idle has no session"
        )


def _without_keyring(host: Host, path: str, old: str, digest: str) -> Change:
    args = {"path": path, "before": digest}
    words = f"take away: nobody is client.{old} any more"
    phase = services.first_phase(host)
    return Change(host.name, path, words, "-", "remove", args, phase, kind="keyring", subject=old)


def _without_secrets(site: Site, facts: Facts, host: Host, old: str, key: str) -> Iterator[Change]:
    """Those that hold its key; of another team's user, of whom no key is known, those named so."""
    command = site.platform_of(host).command
    name = f"<name>{secret_uuid.usage_name(site.cluster, old)}</name>"
    for uuid, answers in (facts.hosts.get(host.name, {}).get(secret_uuid.SECRETS) or {}).items():
        held = answers["value"]["out"].strip() if answers["value"]["code"] == 0 else ""
        if (key and held == key) or (site.is_supplied and name in answers["xml"]["out"]):
            yield Change(
                host.name,
                f"libvirt secret {uuid}",
                f"undefine: it holds the key of client.{old}",
                "-",
                "run",
                {"argv": command("virsh", "secret-undefine", uuid)},
                Phase.COMPUTE,
                kind="secret",
                subject=uuid,
                stays=f"{INV} compute.secret makes it anew where the site file names client.{old}",
            )


def _without_user(site: Site, old: str) -> Change:
    entity = f"client.{old}"
    ask = site.cluster.ceph("auth", "get", entity)
    undo = {
        "verb": "run",
        "args": {"argv": site.cluster.ceph("auth", "import", "-i", "-"), "stdin": [{"old": ask}]},
        "guard": {"argv": ask, "absent": "ENOENT"},
    }
    return Change(
        site.admin.name,
        f"user {entity}",
        "delete: nobody logs in by its key any more",
        "-",
        "run",
        {"argv": site.cluster.ceph("auth", "del", entity), "undo": undo},
        Phase.API,
        kind="user",
        subject=old,
    )
