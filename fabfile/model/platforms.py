"""How a host's services are configured, run and installed: data of config/platforms/.

Knows the form of those files; which one a host is, is the site's to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

from fabfile.core.contract import BadInput, Command, Json
from fabfile.model.services import Service

MANAGERS = {"apt": "packages.source", "dnf": "packages.baseurl"}
"""{package manager: the site file's key that names its source}."""
RBD = "rbd-of-services"
"""The command by which rbd is begun as a service has it."""


@dataclass(frozen=True)
class Platform:
    """One file of config/platforms/.

    manager: the package manager, a key of MANAGERS.
    units, files, owners, upstart, environment: {a service's name: what it is here}.
    containers: {a container's name: its service, its folder on the host, what it takes from there
    and for which user}; none where services run on the host itself.
    ceph: where Ceph's files are, for all services of a host; ceph_folders: {a service's name: a
    folder of its own}, of those that have it elsewhere.
    daemons: {what: the units that do it}; backup: what is taken of every host.
    needed: programs without which no work is done there.
    commands: {a program's name: the argument list that begins it}.
    ways: {a program: other ways of beginning it, tried in turn on a host that does not have it}.
    typed: {a program or a deed: how a person begins it, where that differs or we never do}.
    """

    name: str
    manager: str
    systems: Sequence[str]
    units: Mapping[str, str]
    files: Mapping[str, str]
    owners: Mapping[str, str]
    containers: Mapping[str, Mapping[str, str]]
    upstart: Mapping[str, str]
    environment: Mapping[str, str]
    packages: Mapping[str, Sequence[str]]
    source: Mapping[str, str]
    ceph: Mapping[str, str]
    ceph_folders: Mapping[str, str]
    daemons: Mapping[str, Sequence[str]]
    backup: Mapping[str, Sequence[str]]
    needed: Sequence[str]
    commands: Mapping[str, Sequence[str]]
    ways: Mapping[str, Sequence[Sequence[str]]]
    typed: Mapping[str, Sequence[str]]

    def unit(self, service: Service) -> str:
        """What restarts a service.  Raises BadInput where this platform has none."""
        return self._known("units", self.units, service)

    def file(self, service: Service) -> str:
        """A service's main file of options.  Raises BadInput where this platform has none."""
        return self._known("files", self.files, service)

    def owner(self, service: Service) -> str:
        """The user as whom a service runs.  Raises BadInput where this platform has none."""
        return self._known("owners", self.owners, service)

    def at(self, service: Service) -> Platform:
        """As one of its services has it: Ceph's files in its folder, programs in its container."""
        if service.name not in self._of_services:
            self._of_services[service.name] = self._made_at(service)
        return self._of_services[service.name]

    @cached_property
    def _of_services(self) -> dict[str, Platform]:
        """Made once: every host's bindings have one of these."""
        return {}

    def _made_at(self, service: Service) -> Platform:
        folder = self.ceph_folders.get(service.name)
        container = self.container(service)
        if not (folder or container):
            return self
        ceph, commands = dict(self.ceph), dict(self.commands)
        if folder:
            ceph = {name: _moved(path, ceph["folder"], folder) for name, path in ceph.items()}
            ceph["folder"] = folder
        commands[RBD] = [word.replace("{container}", container) for word in commands[RBD]]
        return replace(self, ceph=ceph, ceph_folders={}, commands=commands)

    def container(self, service: Service) -> str:
        """The container in which a service runs; '' where it runs on the host itself."""
        rows = self.containers.items()
        own = (n for n, r in rows if r["service"] == service.name and r["takes"] == "ceph")
        return next(own, "")

    def keyring(self, client: str) -> str:
        """Where librados looks for a client's keyring."""
        return self.ceph["keyring"].format(client=client)

    def inside(self, path: str) -> str:
        """A path of the host's folder of Ceph's files as its services have it."""
        return _moved(path, self.ceph["folder"], self.ceph["inside"])

    def outside(self, path: str) -> str:
        """A path of Ceph's files as services have it, as the host has it."""
        return _moved(path, self.ceph["inside"], self.ceph["folder"])

    def command(self, program: str, *words: str) -> list[str]:
        """An argument list for a program of this platform.  Raises BadInput."""
        if program not in self.commands:
            raise BadInput(f"platform {self.name}: commands: expected {program}, found none")
        return [*self.commands[program], *words]

    def question(self, program: str, *words: str) -> dict[str, Json]:
        """A command's part of a read, for a program that takes several commands in one word.

        An agent begins it once for all that it is asked so.  Raises BadInput.
        """
        argv = self.command(program, *words)
        return {"argv": argv, "program": len(argv) - len(words)}

    def by_hand(self, deed: str, *words: str) -> Command:
        """A command as a person types it into a shell.  Raises BadInput."""
        begin = self.typed[deed] if deed in self.typed else self.command(deed)
        return Command((*begin, *words), (deed, *words))

    def as_there(self, command: Command, begun: Json) -> Command:
        """A command as a person types it on a host that has its program in another way alone.

        begun: {a program: the words that begin it}, as the host said; other words than those of
        `ways` count for nothing.
        """
        program, *rest = command.argv
        words = begun.get(program) if isinstance(begun, Mapping) else None
        if not isinstance(words, list) or not any(
            _is_way(words, w) for w in self.ways.get(program, ())
        ):
            return command
        return replace(command, argv=(*words, *rest))

    def _known(self, what: str, table: Mapping[str, str], service: Service) -> str:
        if service.name not in table:
            raise BadInput(f"platform {self.name}: {what}: expected {service.name}, found none")
        return table[service.name]


def _is_way(words: Sequence[Json], way: Sequence[str]) -> bool:
    """Whether these are a way's words; '*' stands for what a path's part may be."""
    forms = [re.escape(word).replace(r"\*", "[A-Za-z0-9._-]+") for word in way]
    return len(words) == len(forms) and all(
        isinstance(word, str) and re.fullmatch(form, word)
        for word, form in zip(words, forms, strict=True)
    )


def _moved(path: str, old: str, new: str) -> str:
    return new + path[len(old) :] if old and new and path.startswith(f"{old}/") else path


def librados_name(conf: str) -> str:
    """What librados calls a cluster ($cluster) by the name of its ceph.conf.

    Source: md_config_t::parse_config_files of Ceph.
    """
    name = conf.rpartition("/")[2]
    return name.removesuffix(".conf") if name.endswith(".conf") else "ceph"


def made_of(table: Mapping[str, Json]) -> Platform:
    """A platform of a parsed TOML file.  Raises BadInput where it is not whole."""
    names = {field.name for field in fields(Platform)}
    if set(table) != names:
        odd = ", ".join(sorted(names ^ set(table)))
        raise BadInput(f"platform {table.get('name', '?')}: missing, or not known: {odd}")
    if table["manager"] not in MANAGERS:
        raise BadInput(
            f"platform {table['name']}: manager: expected one of {', '.join(MANAGERS)}, found "
            f"{table['manager']!r}"
        )
    return Platform(**table)


def altered(table: Mapping[str, Json], changes: Mapping[str, Json], where: str) -> dict[str, Json]:
    """A platform's table with a site's own rows in place of its own.

    Each row is of the form that the table has beside it.  Raises BadInput for another form, and
    for what no platform has.
    """
    found = dict(table)
    for name, change in changes.items():
        if name not in table or name == "name":
            known = ", ".join(sorted({*table} - {"name"}))
            raise BadInput(f"{where}: expected one of {known}, found {name!r}")
        _refuse_form(table[name], change, f"{where}.{name}")
        found[name] = {**table[name], **change} if isinstance(change, Mapping) else change
    return found


def _refuse_form(base: Json, change: Json, where: str) -> None:
    """Raises BadInput where a change has not the form of what is there."""
    if _form(base) != _form(change):
        raise BadInput(f"{where}: expected {_form(base)}, found {_form(change)}")
    if isinstance(base, Mapping):
        for name, value in change.items():
            like = base.get(name, next(iter(base.values()), ""))
            _refuse_form(like, value, f"{where}.{name}")


def _form(value: Json) -> str:
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, str):
        return "a text"
    nested = isinstance(value, list) and any(isinstance(one, list) for one in value)
    return "a list of argument lists" if nested else "a list of texts"
