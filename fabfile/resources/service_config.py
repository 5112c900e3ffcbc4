"""The options of Glance, Cinder and Nova, beside what is there.

Old stores and backends stay in force.  Which options a release needs is data
(config/releases); this module fills it in and compares.  Source: steps 9 to 11.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fabfile.core.contract import CLOUD, BadInput, Change, Facts, Host, Json, Read, Refused, Seen
from fabfile.model import releases, services
from fabfile.model.deployment import LIBRADOS_CONF, OWN, Backend, Binding
from fabfile.model.phases import Leaving, Phase
from fabfile.model.services import CINDER_BACKUP, CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import (
    active_active,
    by_cluster,
    cluster,
    default_backend,
    glance_stores,
    in_force,
    instance_disks,
    mirroring,
    removed,
    rotation,
    secret_uuid,
    sed,
    volume_backups,
    volume_hosts,
    volume_storage,
    wanted_options,
)
from fabfile.resources.in_force import same
from fabfile.resources.removed import Edit
from fabfile.resources.resource import Leaves, Resource, Stays

OLD_DATADIR = "/var/lib/glance/images"
OLD_STORES = "file,http"
_AS_NEW = {"old_datadir": OLD_DATADIR, "old_stores": OLD_STORES}
_OPEN = {
    name: f"<{name} from the hosts>"
    for name in ("uuid", "replica_uuid", "default_conf", "old_datadir", "old_stores")
}
_DEFAULT_TYPE = "default_volume_type"
_DEFAULT_STORE = ("default_backend", "default_store")
_NAMED = "DEFAULT.enabled_backends"
"""Where it is made in absence of any, the stores of the older list get names."""
RECOMMENDED = "recommended"
"""The kind of a change of options that are recommended, and no more."""


@dataclass(frozen=True)
class _Lacking:
    """What one service lacks in the file that it reads.

    now: what is in force for it; sections: those that the site file names.
    """

    binding: Binding
    options: Mapping[wanted_options.At, wanted_options.Option]
    now: in_force.Options
    sections: frozenset[str]


@dataclass(frozen=True)
class ServiceConfig:
    """One of the three projects: it reads and plans its file."""

    service: services.Service

    def resource(self, task: str) -> Resource:
        """As the resource of that task."""
        return Resource(
            task, self.reads, self.plan, self.notes, self.follow_up_reads, leaving=self.leaving
        )

    @property
    def name(self) -> str:
        """Its table in the site file and in a release."""
        return self.service.key

    @property
    def role(self) -> str:
        """The role of the hosts on which it runs."""
        return self.service.role

    def reads(self, site: Site, host: Host) -> list[Read]:
        """The service's file (active lines) and, on computes, the release."""
        ask = cluster.reads if self.name == "glance" else secret_uuid.reads
        found = by_cluster.reads(site, host, ask)
        if self.role in host.roles:
            found.append(releases.READ)
            found += in_force.reads(site, host, self.service)
            if self.name == "nova":
                found += instance_disks.reads(site, host)
            if path := site.platform_of(host).upstart.get(self.service.name):
                found.append(Read(f"{self.name}.head", "file", {"path": path, "text": True}))
        if self.name == "cinder" and (of_backup := volume_backups.reads(site, host)):
            found += [releases.READ, *of_backup]
        return found

    def follow_up_reads(self, site: Site, facts: Facts) -> list[Read]:
        """The backups of volumes, where their driver changes."""
        return volume_backups.follow_up_reads(site, facts) if self.name == "cinder" else []

    def plan(self, site: Site, facts: Facts) -> list[Change]:
        """The edits of each host's file that are not in force there."""
        roles = [one.role for one in services.SERVICES if one.project == self.name]
        hosts = [host for host in site.with_role(*roles) if host.name in facts.hosts]
        if not hosts:
            return []
        data = facts.release[self.name]
        _refuse_several(site, self.name, data)
        if self.name == "nova":
            instance_disks.refuse(site, facts)
        changes: list[Change] = []
        for host in hosts:
            bindings = site.written_of(host, self.service)
            found = [self._lacking(site, facts, bindings, data)] if bindings else []
            for binding in site.written_of(host, CINDER_BACKUP) if self.name == "cinder" else ():
                found.append(_of_backups(site, facts, binding, data))
            found = [_without_others(one, found) for one in found]
            for file in dict.fromkeys(one.binding.file for one in found):
                read_by = [one for one in found if one.binding.file == file]
                is_volumes = any(one.binding.service == CINDER_VOLUME for one in read_by)
                begins = volume_hosts.begins(site, facts, host) if is_volumes else ()
                changes += _edited(self.service, facts, read_by, data, begins)
            if "head" in data and bindings:
                words, seen = _words(site, facts, bindings[0]), facts.hosts[host.name]
                changes += _head(bindings[0], data["head"], words, seen[f"{self.name}.head"])
        return changes

    def notes(self, site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
        """Files of which somebody else says that they are theirs."""
        found = []
        for change in changes:
            if change.kind not in ("options", RECOMMENDED) or change.subject != self.name:
                continue
            if any(tuple(edit[:2]) in volume_backups.WHERE for edit in change.args["edits"]):
                found += volume_backups.notes(site, facts, change.host)
            if ["DEFAULT", _DEFAULT_TYPE] in [edit[:2] for edit in change.args["edits"]]:
                found.append(_new_default(site, facts, change))
            new = ["DEFAULT", "enabled_backends"] in [edit[:2] for edit in change.args["edits"]]
            if new and self.name == CINDER_VOLUME.key:
                found += _unbound(site, facts, change.host)
            zones = [v for _, k, v in change.args["edits"] if k == "backend_availability_zone"]
            if zones:
                found.append(
                    f"{change.host}: volumes in the zone {', '.join(zones)} can be made when "
                    "cinder-api knows it: at once where it is restarted, else within an hour "
                    "(az_cache_duration)"
                )
            if self.name == "nova":
                found += instance_disks.notes(site, facts, site.host(change.host))
            seen = facts.hosts[change.host]
            file = seen.get(f"{self.name}.conf") or seen.get(f"{CINDER_BACKUP.key}.conf") or {}
            says = file.get("managed")
            if says:
                found.append(
                    f"{change.host}: {change.thing} says {says.strip()!r}: whatever manages it "
                    "may set these options back; give them to it too"
                )
        return found

    def leaving(self, site: Site, rest: Site, facts: Facts) -> Leaves:
        """What a file has of bindings that go: sections, their names in lists, and defaults.

        Raises Refused where that cannot be taken out here, or nothing would be left.
        """
        found: list[Change | Stays] = []
        for host in site.with_role(self.role):
            answers = facts.hosts.get(host.name, {})
            bindings = site.written_of(host, self.service)
            if answers.get(f"{self.name}.conf") and bindings:
                left = rest.written_of(rest.host(host.name), self.service)
                found += self._taken_out(site, rest, facts, (bindings, left))
        return found

    def _taken_out(
        self,
        site: Site,
        rest: Site,
        facts: Facts,
        bindings: tuple[Sequence[Binding], Sequence[Binding]],
    ) -> Iterator[Change | Stays]:
        """Of one host; bindings: as they are, and as they are to be."""
        data, before, after = facts.release[self.name], *bindings
        answers = facts.hosts[before[0].host.name]
        now = in_force.options(answers, self.name, data.get("old_names"))
        kept = {same(one.section) for one in after}
        gone = [one for one in before if same(one.section) not in kept]
        edits: list[Edit] = []
        if self.name == "nova":
            edits = _other_identity(site, rest, facts, bindings, now)
        elif gone:
            edits = removed.lists(self.service, gone, now, rest)
        own = answers[f"{self.name}.conf"]["active"]
        if self.name != "nova":
            edits += removed.sections(own, [one.section for one in gone])
        for source in in_force.sources(answers, self.name):
            theirs = {same(line[0]) for line in source.lines}
            if source.lines != tuple(map(tuple, own)):
                for one in gone:
                    if same(one.section) in theirs:
                        why = f"it is in {source.name}"
                        yield Stays(one.host.name, f"[{one.section}]", why)
        if edits:
            yield _edit_out(self.service, before[0], edits, facts, now)

    def _lacking(
        self, site: Site, facts: Facts, bindings: Sequence[Binding], data: Json
    ) -> _Lacking:
        """What is not in force on a host of what the bindings of one service are to have."""
        binding = bindings[0]
        host, file = binding.host.name, binding.file
        answers = facts.hosts[host]
        if self.name == "cinder":
            volume_storage.refuse_in_use(site, facts, binding.host)
        _refuse_without_file(binding, answers)
        own = [one.section for one in bindings]
        now: in_force.Options = in_force.options(answers, self.name, data.get("old_names"), own)
        environment = (answers.get(f"{self.name}.sources") or {}).get("environment", {})
        old = {
            "default_conf": environment.get("CEPH_CONF", LIBRADOS_CONF),
            "old_datadir": now.get(("glance_store", "filesystem_store_datadir"), OLD_DATADIR),
            "old_stores": now.get(("DEFAULT", "known_stores"), OLD_STORES),
        }
        _keep_apart(binding, data, now)
        rotation.refuse_unready(site, facts, bindings, now)
        if self.name == "glance":
            said = in_force.sources(answers, self.name)
            lines_of = [(same(section), key) for one in said for section, key, _ in one.lines]
            now = glance_stores.listed_plainly(now)
            glance_stores.refuse(bindings, data, now, lines_of)
        have = now
        if self.name == "cinder":
            active_active.refuse(site, facts, binding.host, data)
            for one in bindings:
                mirroring.refuse_others(site, facts, one)
            if default_backend.section(site, data, now):
                default_backend.refuse(site, now, host, file)
            listed = volume_hosts.enabled(site, data, answers, f"{host}: {file}")
            have = {**now, ("DEFAULT", "enabled_backends"): listed} if listed else now
        parts = [
            self._part(site, one, data, now, {**_words(site, facts, one), **old})
            for one in bindings
        ]
        made_of = wanted_options.File(
            site, self.name, data, parts, have, site.keeps_disks(binding.host)
        )
        return _compared(binding, made_of, now)

    def beside(
        self, site: Site, facts: Facts, bindings: Sequence[Binding], now: in_force.Options
    ) -> Mapping[wanted_options.At, wanted_options.Option]:
        """What the bindings of one service lack in a file that another program writes.

        now: what that file is going to have by itself.  Raises BadInput as plan() does.
        """
        data = facts.release[self.service.project]
        parts_of = [(one, _words(site, facts, one)) for one in bindings]
        made_of = self._made_of(site, parts_of, data, now)
        found = _compared(bindings[0], made_of, now).options
        return found if self.service != CINDER_BACKUP else _without_backends(site, found)

    def as_said(
        self, site: Site, bindings: Sequence[Binding], release: Json
    ) -> Mapping[wanted_options.At, wanted_options.Option]:
        """All that the bindings of one service are to have in a file where nothing stands yet.

        release: the whole table; what only hosts know stays open in words.  Raises BadInput.
        """
        parts_of = [(one, _words_of_site(site, one) | _OPEN | _named_uuid(one)) for one in bindings]
        data = release[self.service.project]
        made_of = self._made_of(site, parts_of, data, {})
        disks = site.keeps_disks(bindings[0].host)
        wanted = wanted_options.wanted(replace(made_of, disks=disks))
        return wanted if self.service != CINDER_BACKUP else _without_backends(site, wanted)

    def _made_of(
        self,
        site: Site,
        parts_of: Sequence[tuple[Binding, Mapping[str, str]]],
        data: Json,
        now: in_force.Options,
    ) -> wanted_options.File:
        """A file that is written apart from what else its host has; parts_of: the words of each."""
        _refuse_several(site, self.service.project, data)
        if self.service == CINDER_BACKUP:
            tables = volume_backups.table(site, data)  # refuses a release that has none
            data = data["backup"]
            parts = [wanted_options.Part(words, tables) for _, words in parts_of]
        else:
            parts = [
                self._part(site, one, data, now, {**_AS_NEW, "default_conf": LIBRADOS_CONF, **said})
                for one, said in parts_of
            ]
        return wanted_options.File(site, self.service.project, data, parts, now)

    def _part(
        self,
        site: Site,
        binding: Binding,
        data: Json,
        now: in_force.Options,
        words: Mapping[str, str],
    ) -> wanted_options.Part:
        """What the file is to have of one binding."""
        tables = self._tables(site, binding, data, now)
        at_first = self._at_first(site, binding, data, now)
        if self.name == "cinder" and "{backend}" in data["options"]:
            at_first += _taken_along(site, binding, data, now)
        return wanted_options.Part(words, tables, at_first)

    def _tables(
        self, site: Site, binding: Binding, data: Json, now: in_force.Options
    ) -> list[Json]:
        """The tables of options that are written of a binding, the weakest first."""
        own = data.get("options", {})
        tables: list[Json] = [_without_default(own) if site.glance.keep_default else own]
        if self.name == "nova" and binding.keyring:
            if "ephemeral" not in data:
                raise BadInput(
                    subject="nova.ephemeral", expected="false before Havana", found="true"
                )
            tables.append(data["ephemeral"])
        if self.name == "cinder":
            tables += _of_backend(site, binding.section, data, now)
            tables += [data["cluster"]] if binding.cluster.name != OWN and "cluster" in data else []
        return tables

    def _at_first(
        self, site: Site, binding: Binding, data: Json, now: in_force.Options
    ) -> list[Json]:
        """What is written where the file does not name such things yet, the weakest first."""
        absent = data.get("when_absent", {}).items()
        tables: list[Json] = [extra for name, extra in absent if not now.get(_place(name))]
        if self.name == "glance" and _NAMED in dict(absent) and not now.get(_place(_NAMED)):
            uses = site.written_of(binding.host, self.service)
            tables.append(glance_stores.moved(uses, now))
            if site.glance.keep_default:
                default = glance_stores.default(uses, now)
                tables.append({"glance_store": {"default_backend": default}})
        return tables


def _without_default(table: Json) -> dict[str, Json]:
    """A table of options without what names the default store, whatever a release calls it."""
    return {
        section: {key: value for key, value in options.items() if key not in _DEFAULT_STORE}
        for section, options in table.items()
    }


def _refuse_without_file(binding: Binding, answers: Json) -> None:
    """Raises BadInput where there is nothing to write into."""
    name, file, host = binding.service.key, binding.file, binding.host.name
    if answers[f"{name}.conf"] is None:
        raise BadInput(
            f"{host}: expected {file}, found no such file; is {name} there?",
            host=host,
            subject=file,
            expected="a file",
            found="no such file",
            advice=f"is {name} there?",
        )


def _of_backups(site: Site, facts: Facts, binding: Binding, data: Json) -> _Lacking:
    """As _lacking, of cinder-backup, which reads the file of cinder-volume."""
    answers = facts.hosts[binding.host.name]
    _refuse_without_file(binding, answers)
    tables = volume_backups.table(site, data)
    volume_backups.refuse(site, facts, binding, data["backup"])
    now = volume_backups.options_of(answers)
    part = wanted_options.Part(_words(site, facts, binding), tables)
    made_of = wanted_options.File(site, CINDER_VOLUME.key, data["backup"], [part], now)
    found = _compared(binding, made_of, now)
    return replace(found, options=_without_backends(site, found.options))


def _without_backends(
    site: Site, options: Mapping[wanted_options.At, wanted_options.Option]
) -> dict[wanted_options.At, wanted_options.Option]:
    """What is asked of a backend is cinder-volume's matter."""
    backends = {backend.name for backend in site.cinder.all}
    return {at: option for at, option in options.items() if at[0] not in backends}


def _compared(binding: Binding, made_of: wanted_options.File, now: in_force.Options) -> _Lacking:
    wanted = wanted_options.wanted(made_of)
    missing = wanted_options.missing(replace(made_of, now=now), wanted)
    words = [part.words for part in made_of.parts]
    named = {s.format(**w) for s in made_of.data.get("options", {}) if "{" in s for w in words}
    moved = made_of.site.cinder.default_section
    named |= {s for s, _ in wanted if s.startswith(glance_stores.RESERVED) or s == moved}
    return _Lacking(binding, {at: wanted[at] for at in missing}, now, frozenset(named))


def _edited(
    service: services.Service,
    facts: Facts,
    services_of: Sequence[_Lacking],
    data: Json,
    begins: Sequence[str] = (),
) -> list[Change]:
    """One edit of a file, for all who read it; each is restarted for what is its own matter.

    begins: the services of Cinder's that there are by it, which go when it is taken back.
    """
    lacking = [one for one in services_of if one.options]
    if not lacking:
        return []
    answers = facts.hosts[lacking[0].binding.host.name]
    options: dict[wanted_options.At, wanted_options.Option] = {}
    lines: list[str] = []
    for one in lacking:
        edits = [(*at, option.value) for at, option in one.options.items()]
        _refuse_unread(one.binding, answers)
        after = in_force.before_and_after(answers, one.binding.service.key)[1]
        _refuse_shadows(one.binding, edits, after, data)
        for section, key, value in (e for e in edits if e[:2] not in options):
            lines += _diff(section, key, one.now.get((same(section), key)), value)
        options |= one.options
    binding = lacking[0].binding
    keys = ", ".join(f"{section}.{key}" for section, key in options)
    sections = frozenset().union(*(one.sections for one in services_of))
    every = data.get("backup", {}).get("loads_backends")
    units = dict.fromkeys(one.binding.unit for one in (services_of if every else lacking))
    return [
        Change(
            binding.host.name,
            binding.file,
            f"set {keys}",
            "~",
            "edit",
            {
                "path": binding.file,
                "edits": [[*at, option.value] for at, option in options.items()],
                "before": answers[f"{binding.service.key}.conf"]["sha256"],
                "validate": _validation(data, sections),
                **({"begins": [*begins]} if begins else {}),
            },
            service.phase,
            tuple(lines),
            restarts=() if data.get("by_hand") else tuple(units),
            kind=RECOMMENDED if all(o.recommended for o in options.values()) else "options",
            subject=service.key,
        )
    ]


def _other_identity(
    site: Site,
    rest: Site,
    facts: Facts,
    bindings: tuple[Sequence[Binding], Sequence[Binding]],
    now: in_force.Options,
) -> list[Edit]:
    """Nova's own user and secret, where they are those of what goes: the rest's, or none."""
    data = facts.release["nova"]
    was, then = (
        wanted_options.wanted(
            wanted_options.File(
                of,
                "nova",
                data,
                [
                    wanted_options.Part(_words(site, facts, one), [data.get("options", {})])
                    for one in some
                ],
                now,
            )
        )
        for of, some in zip((site, rest), bindings, strict=True)
    )
    found: list[Edit] = []
    for at, option in was.items():
        new = then.get(at)
        if option.equals(now.get((same(at[0]), at[1]))) and (
            new is None or not new.equals(option.value)
        ):
            found.append((*at, new.value if new else None))
    return found


def _edit_out(
    service: services.Service,
    binding: Binding,
    edits: Sequence[Edit],
    facts: Facts,
    now: in_force.Options,
) -> Change:
    data, answers = facts.release[service.key], facts.hosts[binding.host.name]
    _refuse_unread(binding, answers)
    after = in_force.before_and_after(answers, service.key)[1]
    told = [(section, key or "", new) for section, key, new in edits if new is not None]
    _refuse_shadows(binding, told, after, data)
    lines: list[str] = []
    for section, key, new in edits:
        old = now.get((same(section), key or ""))
        lines += [f"- [{section}]"] if key is None else []
        lines += [f"- [{section}] {key} = {old}"] if key and old is not None else []
        lines += [f"+ [{section}] {key} = {new}"] if new is not None else []
    units = {binding.unit: None}
    if data.get("backup", {}).get("loads_backends") and CINDER_BACKUP in services.on(binding.host):
        units[binding.platform.unit(CINDER_BACKUP)] = None
    named = dict.fromkeys(f"[{section}]" for section, key, _ in edits if key is None)
    others = [f"{s}.{k} = {v}" for s, k, v in edits if v is not None]
    sentence = "; ".join(filter(None, (f"without {', '.join(named)}" * bool(named), *others)))
    return Change(
        binding.host.name,
        binding.file,
        sentence or "without what goes",
        "~",
        "edit",
        {
            "path": binding.file,
            "edits": [list(edit) for edit in edits],
            "before": answers[f"{service.key}.conf"]["sha256"],
            "validate": _validation(data, ()),
        },
        Leaving.COMPUTE if service.phase == Phase.COMPUTE else Leaving.CONTROL,
        tuple(lines),
        restarts=() if data.get("by_hand") else tuple(units),
        kind="options",
        subject=service.key,
    )


def _without_others(one: _Lacking, services_of: Sequence[_Lacking]) -> _Lacking:
    """Without what cinder-backup alone reads, where that one is there and has it."""
    names = {other.binding.service for other in services_of}
    if one.binding.service == CINDER_BACKUP or CINDER_BACKUP not in names:
        return one
    mine = {at: o for at, o in one.options.items() if not volume_backups.is_own(*at)}
    return replace(one, options=mine)


def _of_backend(site: Site, section: str, data: Json, now: in_force.Options) -> list[Json]:
    """What one of Cinder's backends has besides, and what is said for all of them."""
    tables: list[Json] = []
    backend = site.cinder.of_section(section)
    if "{backend}" in data["options"]:
        volume_hosts.refuse_borne(site, backend, now)
        names = {"volume_backend_name": volume_hosts.backend_name(backend, now)}
        if host := volume_hosts.backend_host(backend, now):
            names["backend_host"] = host
        tables.append({"{backend}": names})
    if backend.zone:
        if "zone" not in data:
            raise BadInput(
                subject=f"{backend.said}.availability_zone",
                expected="none before Pike, where all backends of a host are in one zone",
                found=backend.zone,
                advice="say storage_availability_zone in [options.cinder.DEFAULT]",
            )
        tables.append(data["zone"])
    if backend.replicates_to:
        if "replication" not in data:
            raise BadInput(
                subject=f"{backend.said}.replicates_to",
                expected="none before Ocata, whose driver for RBD is the first to replicate",
                found=backend.replicates_to,
            )
        tables.append(data["replication"])
    if site.cinder.default_volume_type:
        tables.append({"DEFAULT": {_DEFAULT_TYPE: site.cinder.default_volume_type}})
    return tables


def _taken_along(site: Site, binding: Binding, data: Json, now: in_force.Options) -> Iterator[Json]:
    """What sections that come have of those whose place they take, [DEFAULT] among them."""
    if theirs := default_backend.section(site, data, now):
        yield wanted_options.as_table(theirs, default_backend.carried(now))
    backend = site.cinder.of_section(binding.section)
    yield wanted_options.as_table(binding.section, default_backend.along(site, backend, now))


def _new_default(site: Site, facts: Facts, change: Change) -> str:
    """That volumes of no type go elsewhere from now on, whoever makes them."""
    options = in_force.options(facts.hosts[change.host], CINDER_VOLUME.key)
    before = options.get(("DEFAULT", _DEFAULT_TYPE), "none")
    when = "cinder-api is restarted; integrate restarts cinder-volume alone"
    if site.platform_of(site.host(change.host)).container(CINDER_VOLUME):
        when = "cinder-api, whose container has a file of its own, has that option too"
    return (
        f"{change.host}: {_DEFAULT_TYPE} = {site.cinder.default_volume_type} (before: {before}): a "
        "volume for which nobody names a type becomes one of that type, for all who use the cloud, "
        f"as soon as {when}"
    )


UNNAMED = "__DEFAULT__"
"""The type of volumes for which nobody named one; since Train, where nothing is configured."""


def _unbound(site: Site, facts: Facts, host: str) -> Iterator[str]:
    """Whose volumes may be put on a backend that is new beside others; known by their types."""
    options = in_force.options(facts.hosts[host], CINDER_VOLUME.key)
    there = set(map(same, volume_storage.enabled(options)))
    if theirs := default_backend.section(site, facts.release["cinder"], options):
        there.add(same(theirs))
    new = [one for one in site.cinder.all if same(one.name) not in there]
    types = facts.hosts.get(CLOUD, {}).get("volume_types")
    default = options.get(("DEFAULT", _DEFAULT_TYPE), "")
    if not there or not new:
        return
    names = {volume_hosts.backend_name(one, options) for one in new}
    ours = {one.volume_type for one in site.cinder.all} - {default}
    bound = {name: specs.get(volume_hosts.BOUND) for name, specs in (types or {}).items()}
    open_to = [n for n, to in bound.items() if n not in ours and (not to or to in names)]
    listed = [f"type {n}" for n in sorted(open_to)[:5]] + ["others"] * (len(open_to) > 5)
    if not default and not bound.get(UNNAMED) and not site.cinder.default_volume_type:
        listed.insert(0, "no type")
    if listed:
        to = ", ".join(one.name for one in new)
        yield (
            f"{host}: volumes of {', '.join(listed)} may be put on {to} from then on, as the "
            "scheduler likes: no other backend is named for them (volume_backend_name of a type; "
            f"{_DEFAULT_TYPE} of volumes of no type)"
        )


def _refuse_several(site: Site, name: str, data: Json) -> None:
    """Raises BadInput for more backends, stores, or clients, than a release can have."""
    backends = site.cinder.all
    if name == "cinder" and len(backends) > 1 and "{backend}" not in data["options"]:
        raise BadInput(
            subject="cinder.backends",
            expected="one backend before Havana",
            found=", ".join(one.name for one in backends),
        )
    if name == "cinder" and "{backend}" not in data["options"]:
        for use in (one for one in site.bindings if one.service == CINDER_VOLUME):
            if use.cluster.name != OWN:
                raise BadInput(
                    subject="cinder.cluster",
                    expected=f"a cluster that librados calls {OWN} before Havana",
                    found=use.cluster.name,
                )
    stores = site.glance.all
    if name == "glance" and len(stores) > 1 and "{store}" not in data.get("options", {}):
        raise BadInput(
            subject="glance.stores",
            expected="one RBD store before Train",
            found=", ".join(one.name for one in stores),
            why="a list of kinds has one store of each",
        )
    clients = {f"{one.client} of {one.cluster}": one.client for one in backends}
    options = data.get("options", {}).values()
    if name == "nova" and len(clients) > 1 and any("rbd_user" in one for one in options):
        raise BadInput(
            subject="cinder.backends",
            expected="one client for all of them before Ocata",
            found=", ".join(dict.fromkeys(clients.values()) if site.is_of_one else clients),
            why="Nova attaches every volume by its own user and secret there",
            advice="name one client in every backend's table",
        )


def _place(name: str) -> tuple[str, str]:
    section, _, key = name.partition(".")
    return section, key


def _words(site: Site, facts: Facts, binding: Binding) -> dict[str, str]:
    """What a release's tables leave open, filled in."""
    replica = mirroring.uuid(facts, mirroring.words(site, binding)[1])
    own = {"uuid": secret_uuid.known_of(facts, binding)}
    return {**_words_of_site(site, binding), **own, **replica}


def _words_of_site(site: Site, binding: Binding) -> dict[str, str]:
    """The same, without what only hosts know."""
    return {
        "pool": binding.pool,
        "client": binding.client,
        "conf": binding.named_conf,
        "cluster": binding.cluster.name,
        "store": binding.section,
        "default_store": site.glance.default.name,
        "backend": binding.section,
        "zone": next((b.zone for b in site.cinder.all if b.name == binding.section), ""),
        "direct_url": str(site.glance.show_image_direct_url),
        **mirroring.words(site, binding)[0],
    }


def _named_uuid(binding: Binding) -> dict[str, str]:
    """The word of its secret's UUID, where the site file names that."""
    return {"uuid": binding.secret_uuid} if binding.secret_uuid else {}


def _diff(section: str, key: str, old: str | None, new: str) -> Iterator[str]:
    if old is not None:
        yield f"- [{section}] {key} = {old}"
    yield f"+ [{section}] {key} = {new}"


def _validation(data: Json, sections: Iterable[str]) -> Json:
    """What oslo-config-validator is told: sections named by the site are none of its own."""
    if "namespaces" not in data:
        return None
    return {"namespaces": list(data["namespaces"]), "exclude": sorted(sections)}


def _refuse_unread(binding: Binding, answers: Json) -> None:
    """Refuses to write a file that the service does not read."""
    name = binding.service.key
    if not in_force.is_read(answers, name):
        read = [source.name for source in in_force.sources(answers, name) if source.lines]
        raise Refused(
            host=binding.host.name,
            subject=binding.unit,
            expected=f"a process that reads {binding.file}",
            found=f"one that reads {', '.join(read) or 'other files'}",
            advice=f"begin it with --config-file {binding.file}, or without any",
        )


def _refuse_shadows(
    binding: Binding,
    edits: Sequence[tuple[str, str, str]],
    after: Sequence[in_force.Source],
    data: Json,
) -> None:
    """Refuses to write what something that counts more would set aside.

    after: what the service reads after its own file, by its command line and its environment.
    """
    old_names = data.get("old_names", {})
    for section, key, value in edits:
        names = {(same(section), key)}
        if old := old_names.get(f"{section}.{key}"):
            names.add(tuple(old.split(".", 1)))
        for source in reversed(after):
            for theirs in source.lines:
                if (same(theirs[0]), theirs[1]) in names:
                    raise _shadow(binding, source, theirs, value)


def _shadow(binding: Binding, source: in_force.Source, line: in_force.Line, value: str) -> Refused:
    section, key, found = line
    taken_out = f"take the line out of {source.name} first"
    if not source.is_file:
        taken_out = (
            f"take {source.name} out of the environment of {binding.unit} first (its unit, or a "
            "file that the unit names), and restart it"
        )
    return Refused(
        host=binding.host.name,
        subject=source.name,
        found=f"[{section}] {key} = {found}",
        why=f"the service reads it after {binding.file}, where {value} is to be",
        advice=taken_out,
        mend=[sed.without(source.name, section, key)] if source.is_file else (),
    )


def _keep_apart(binding: Binding, data: Json, now: in_force.Options) -> None:
    """Refuses to write beside an option that would leave ours without effect."""
    host, file = binding.host.name, binding.file
    for name, reason in data.get("not_beside", {}).items():
        if tuple(name.split(".", 1)) in now:
            raise BadInput(
                f"{host}: {file} has {name}: {reason}",
                host=host,
                subject=file,
                found=name,
                why=reason,
            )


def _head(binding: Binding, head: Json, words: dict[str, str], seen: Seen) -> list[Change]:
    """A line at the head of the service's upstart file, once."""
    host, path = binding.host.name, binding.platform.upstart[binding.service.name]
    line = head["line"].format(**words)
    if seen is None:
        raise BadInput(
            f"{host}: expected {path}, found no such file",
            host=host,
            subject=path,
            expected="a file",
            found="no such file",
        )
    if line in seen["text"].splitlines():
        return []
    args = {
        "path": path,
        "content": [line + "\n" + seen["text"]],
        "mode": seen["mode"],
        "owner": seen["owner"],
        "group": seen["group"],
        "before": seen["sha256"],
    }
    return [
        Change(
            host,
            path,
            f"begin with {line}",
            "~",
            "write",
            args,
            Phase.CONTROL,
            (f"+ {line}",),
            kind="head",
            subject=path,
        )
    ]


glance = ServiceConfig(services.GLANCE_API).resource("controller.glance")
cinder = ServiceConfig(CINDER_VOLUME).resource("controller.cinder")
nova = ServiceConfig(services.NOVA_COMPUTE).resource("compute.nova")


def _type_reads(site: Site, host: Host) -> list[Read]:
    """The types, once, from the cloud."""
    typed = any(one.volume_type for one in site.cinder.all)
    asked = host.name == CLOUD and site.cloud and typed
    return [Read("volume_types", "volume_types")] if asked else []


def _type_plan(site: Site, facts: Facts) -> list[Change]:
    """Makes each backend's type, or binds it."""
    if "volume_types" not in facts.hosts.get(CLOUD, {}):
        return []
    types = facts.of(CLOUD, "volume_types")
    return [
        change
        for one in site.cinder.all
        if one.volume_type
        for change in _type_of(site, facts, one, one.volume_type, types.get(one.volume_type))
    ]


def _type_of(
    site: Site, facts: Facts, backend: Backend, name: str, found: Mapping[str, str] | None
) -> list[Change]:
    """What one type lacks; found: its extra specs, None where it is not there."""
    wanted, said = volume_hosts.bound_name(site, facts, backend), backend.said
    bound = (found or {}).get(volume_hosts.BOUND)
    if bound and bound != wanted:
        raise BadInput(
            f"{said}.volume_type: {name} is bound to backend {bound}, expected {wanted}; "
            f"name another type; or, where {wanted} takes that backend's place, say "
            f"{said}.replaces = {bound!r}",
            subject=f"{said}.volume_type",
            expected=f"{name} bound to backend {wanted}",
            found=f"{name} bound to backend {bound}",
            advice=f"name another type; or, where {wanted} takes that backend's place, say "
            f"{said}.replaces = {bound!r}",
        )
    has = {key: (found or {}).get(key) for key in backend.specs}
    was = {key: old for key, old in has.items() if old != backend.specs[key]}
    if bound and not was:
        return []
    args: dict[str, Json] = {"name": name, "backend_name": wanted}
    words = [] if bound else [f"bind to backend {wanted}"]
    words += [f"{key} = {backend.specs[key]}" for key in was]
    if was:
        args["specs"] = {key: backend.specs[key] for key in was}
        args["was"] = was if bound else {volume_hosts.BOUND: None, **was}
    lines = [
        line
        for key, old in was.items()
        for line in ([f"- {key} = {old}"] * (old is not None) + [f"+ {key} = {backend.specs[key]}"])
    ]
    return [
        Change(
            CLOUD,
            f"volume type {name}",
            ", ".join(words),
            "~" if found is not None else "+",
            "volume_type",
            args,
            wave=Phase.API,
            diff=tuple(lines),
            kind="volume_type",
            subject=name,
        )
    ]


def _type_leaving(site: Site, rest: Site, facts: Facts) -> Leaves:
    """The types of backends that go; one that names another backend, or one beside it, stays."""
    types = facts.hosts.get(CLOUD, {}).get("volume_types", {})
    kept = {backend.volume_type for backend in rest.cinder.all}
    found: list[Change | Stays] = []
    for one in site.cinder.all:
        name = one.volume_type
        if name is None or name in kept or name not in types:
            continue
        specs, thing = dict(types[name]), f"volume type {name}"
        if why := volume_hosts.type_stays(site, rest, facts, one):
            found.append(Stays(CLOUD, thing, why))
            continue
        args = {"name": name, "made": True, "was": specs}
        lines = tuple(f"- {key} = {value}" for key, value in specs.items())
        found.append(
            Change(
                CLOUD,
                thing,
                "take away",
                "-",
                "no_volume_type",
                args,
                Leaving.API,
                lines,
                kind="volume_type",
                subject=name,
            )
        )
    return found


volume_type = Resource("controller.cinder", _type_reads, _type_plan, leaving=_type_leaving)
"""The volume type that is bound to the new backend, through Cinder's API."""
