"""The options of Glance, Cinder and Nova, beside what is there.

Old stores and backends stay in force.  Which options a release needs is data
(config/releases); this module fills it in and compares.  Source: steps 9 to 11.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fabfile.core.contract import CLOUD, BadInput, Change, Facts, Host, Json, Read, Refused, Seen
from fabfile.model import releases, services
from fabfile.model.deployment import Binding
from fabfile.model.phases import Phase
from fabfile.model.site import Site
from fabfile.resources import (
    cluster,
    glance_stores,
    in_force,
    instance_disks,
    secret_uuid,
    sed,
    volume_hosts,
    volume_storage,
    wanted_options,
)
from fabfile.resources.in_force import same
from fabfile.resources.resource import Resource

OLD_DATADIR = "/var/lib/glance/images"
OLD_STORES = "file,http"
_NAMED = "DEFAULT.enabled_backends"
"""Where it is made in absence of any, the stores of the older list get names."""
RECOMMENDED = "recommended"
"""The kind of a change of options that are recommended, and no more."""


@dataclass(frozen=True)
class ServiceConfig:
    """One of the three services: it reads and plans its file."""

    service: services.Service

    def resource(self, task: str) -> Resource:
        """As the resource of that task."""
        return Resource(task, self.reads, self.plan, self.notes)

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
        found = (
            cluster.reads(site, host) if self.name == "glance" else secret_uuid.reads(site, host)
        )
        if self.role in host.roles:
            found.append(releases.READ)
            found += in_force.reads(site, host, self.service)
            if self.name == "nova":
                found += instance_disks.reads(site, host)
            if path := site.platform_of(host).upstart.get(self.service.name):
                found.append(Read(f"{self.name}.head", "file", {"path": path, "text": True}))
        return found

    def plan(self, site: Site, facts: Facts) -> list[Change]:
        """The edits of each host's file that are not in force there."""
        hosts = [host for host in site.with_role(self.role) if host.name in facts.hosts]
        if not hosts:
            return []
        data = facts.release[self.name]
        if self.name == "nova":
            instance_disks.refuse(site, facts)
        changes: list[Change] = []
        for host in hosts:
            binding = self._binding(site, host)
            words = _words(site, facts, binding)
            seen = facts.hosts[host.name]
            if self.name == "cinder":
                volume_storage.refuse_in_use(site, facts, host)
            changes += self._file(site, binding, data, words, seen)
            if "head" in data:
                changes += _head(binding, data["head"], words, seen[f"{self.name}.head"])
        return changes

    def notes(self, site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
        """Files of which somebody else says that they are theirs."""
        found = []
        for change in changes:
            if change.kind not in ("options", RECOMMENDED) or change.subject != self.name:
                continue
            if self.name == "nova":
                found += instance_disks.notes(site, facts, site.host(change.host))
            says = facts.of(change.host, f"{self.name}.conf").get("managed")
            if says:
                found.append(
                    f"{change.host}: {change.thing} says {says.strip()!r}: whatever manages it "
                    "may set these options back; give them to it too"
                )
        return found

    def _binding(self, site: Site, host: Host) -> Binding:
        """The one that the file is about: where Nova has disks of its own, these count."""
        return [one for one in site.bindings_of(host) if one.service == self.service][-1]

    def _file(
        self, site: Site, binding: Binding, data: Json, words: dict[str, str], answers: Json
    ) -> list[Change]:
        host, file = binding.host.name, binding.file
        seen = answers[f"{self.name}.conf"]
        if seen is None:
            raise BadInput(
                f"{host}: expected {file}, found no such file; is {self.name} there?",
                host=host,
                subject=file,
                expected="a file",
                found="no such file",
                advice=f"is {self.name} there?",
            )
        now = in_force.options(answers, self.name, data.get("old_names"), binding.section)
        environment = (answers.get(f"{self.name}.sources") or {}).get("environment", {})
        words = {
            **words,
            "default_conf": environment.get("CEPH_CONF", binding.platform.ceph["conf"]),
            "old_datadir": now.get(("glance_store", "filesystem_store_datadir"), OLD_DATADIR),
            "old_stores": now.get(("DEFAULT", "known_stores"), OLD_STORES),
        }
        _keep_apart(binding, data, now)
        if self.name == "glance":
            said = in_force.sources(answers, self.name)
            lines_of = [(same(section), key) for one in said for section, key, _ in one.lines]
            glance_stores.refuse(binding, _NAMED in data.get("when_absent", {}), now, lines_of)
        have = now
        if self.name == "cinder":
            listed = volume_hosts.enabled(site, answers, f"{host}: {file}")
            have = {**now, ("DEFAULT", "enabled_backends"): listed} if listed else now
        tables = self._tables(site, data, now)
        made_of = wanted_options.File(site, self.name, data, words, have)
        wanted = wanted_options.wanted(made_of, tables)
        missing = wanted_options.missing(replace(made_of, now=now), wanted)
        edits = [(*at, wanted[at].value) for at in missing]
        if not edits:
            return []
        _refuse_unread(binding, answers)
        _refuse_shadows(binding, edits, in_force.before_and_after(answers, self.name)[1], data)
        lines = [line for s, k, v in edits for line in _diff(s, k, now.get((same(s), k)), v)]
        keys = ", ".join(f"{s}.{k}" for s, k, _ in edits)
        return [
            Change(
                host,
                file,
                f"set {keys}",
                "~",
                "edit",
                {
                    "path": file,
                    "edits": [list(e) for e in edits],
                    "before": seen["sha256"],
                    "validate": _validation(data, words),
                },
                self.service.phase,
                tuple(lines),
                restarts=() if data.get("by_hand") else (binding.unit,),
                kind=RECOMMENDED if all(wanted[at].recommended for at in missing) else "options",
                subject=self.name,
            )
        ]

    def _tables(self, site: Site, data: Json, now: in_force.Options) -> list[Json]:
        """The tables of options that are written, the weakest first."""
        absent = data.get("when_absent", {}).items()
        tables = [extra for name, extra in absent if not now.get(_place(name))]
        if self.name == "glance" and _NAMED in dict(absent) and not now.get(_place(_NAMED)):
            tables.append(glance_stores.moved(now))
        tables.append(data.get("options", {}))
        if self.name == "nova" and site.nova.ephemeral:
            if "ephemeral" not in data:
                raise BadInput(
                    subject="nova.ephemeral", expected="false before Havana", found="true"
                )
            tables.append(data["ephemeral"])
        if self.name == "cinder" and "{backend}" in data["options"]:
            names = {"volume_backend_name": volume_hosts.backend_name(site, now)}
            if host := volume_hosts.backend_host(site, now):
                names["backend_host"] = host
            tables.append({"{backend}": names})
        return tables


def _place(name: str) -> tuple[str, str]:
    section, _, key = name.partition(".")
    return section, key


def _words(site: Site, facts: Facts, binding: Binding) -> dict[str, str]:
    """What a release's tables leave open, filled in."""
    return {
        "pool": binding.pool,
        "client": binding.client,
        "conf": binding.conf,
        "uuid": facts.known.get(secret_uuid.known_as(binding.client), ""),
        "store": binding.section,
        "backend": binding.section,
        "direct_url": str(site.glance.show_image_direct_url),
    }


def _diff(section: str, key: str, old: str | None, new: str) -> Iterator[str]:
    if old is not None:
        yield f"- [{section}] {key} = {old}"
    yield f"+ [{section}] {key} = {new}"


def _validation(data: Json, words: dict[str, str]) -> Json:
    """What oslo-config-validator is told: sections named by the site are none of its own."""
    if "namespaces" not in data:
        return None
    own = sorted({s.format(**words) for s in data.get("options", {}) if "{" in s})
    return {"namespaces": list(data["namespaces"]), "exclude": own}


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
cinder = ServiceConfig(services.CINDER_VOLUME).resource("controller.cinder")
nova = ServiceConfig(services.NOVA_COMPUTE).resource("compute.nova")


def _type_reads(site: Site, host: Host) -> list[Read]:
    """The types, once, from the cloud."""
    asked = host.name == CLOUD and site.cloud and site.cinder.volume_type
    return [Read("volume_types", "volume_types")] if asked else []


def _type_plan(site: Site, facts: Facts) -> list[Change]:
    """Makes the type, or binds it."""
    name = site.cinder.volume_type
    if "volume_types" not in facts.hosts.get(CLOUD, {}) or not name:
        return []
    backend = volume_hosts.bound_name(site, facts)
    found = facts.of(CLOUD, "volume_types").get(name)
    bound = (found or {}).get("volume_backend_name")
    if bound == backend:
        return []
    if bound:
        raise BadInput(
            f"cinder.volume_type: {name} is bound to backend {bound}, expected {backend}; "
            f"name another type; or, where {backend} takes that backend's place, say "
            f"cinder.replaces = {bound!r}",
            subject="cinder.volume_type",
            expected=f"{name} bound to backend {backend}",
            found=f"{name} bound to backend {bound}",
            advice=f"name another type; or, where {backend} takes that backend's place, say "
            f"cinder.replaces = {bound!r}",
        )
    args = {"name": name, "backend_name": backend}
    sentence = f"bind to backend {backend}"
    sign = "~" if found else "+"
    return [
        Change(
            CLOUD,
            f"volume type {name}",
            sentence,
            sign,
            "volume_type",
            args,
            wave=Phase.API,
            kind="volume_type",
            subject=name,
        )
    ]


volume_type = Resource("controller.cinder", _type_reads, _type_plan)
"""The volume type that is bound to the new backend, through Cinder's API."""
