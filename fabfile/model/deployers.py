"""Programs of others that write the services' configuration: data of config/deployers/.

Knows the form of those files: what such a program is told on its deploy host, and what it makes of
that by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from fabfile.core.contract import BadInput, Json
from fabfile.model.releases import laid_over

Tables = Mapping[str, Mapping[str, Json]]


@dataclass(frozen=True)
class Form:
    """What a deployer of some releases is told.

    releases: of OpenStack.  one_client: services of which all stores or backends log in as one;
    store: the one name that it can have, '' for any; clusters: {service: the one name of its
    cluster}.  command: what applies it.
    globals: {service: {variable: template}}; lists: {variable: its service, and an item}.
    renders: {service: {section: {option: template}}} that it then writes itself.
    """

    releases: Sequence[str]
    one_client: Sequence[str]
    store: str
    clusters: Mapping[str, str]
    command: Sequence[str]
    globals: Tables
    lists: Tables
    renders: Mapping[str, Tables]


@dataclass(frozen=True)
class Deployer:
    """One file of config/deployers/.

    globals, passwords: its files, by their names in its folder; later: those that count more, and
    how grep finds them (later_in); beside: its inventory and what else may have variables.
    readable: where a UUID may be that the encryption of its secrets would hide.
    below: the folder of what it hands on; config: the variable that names another one.
    known: other variables that matter; watched: patterns of more; answers: what else is yes or no,
    and has to be known.  uuids: {service: the variable of its secret's UUID}; keyrings, confs,
    overrides: by service, below that folder; tables: {service: the variable that overrides its
    file}.  switches: {service: what puts it onto Ceph, and its pool}; defaults: variables' own
    values.
    keeps: {variable: that of Ceph's which would turn it off, and with it what is stored there}.
    """

    name: str
    folder: str
    globals: str
    passwords: str
    later: str
    later_in: Sequence[str]
    beside: Sequence[str]
    readable: str
    below: str
    config: str
    known: Sequence[str]
    watched: Sequence[str]
    answers: Sequence[str]
    uuids: Mapping[str, str]
    keyrings: Mapping[str, str]
    confs: Mapping[str, str]
    overrides: Mapping[str, Sequence[str]]
    tables: Mapping[str, str]
    switches: Mapping[str, Sequence[str]]
    defaults: Mapping[str, str]
    keeps: Mapping[str, str]
    forms: Mapping[str, Form]

    @property
    def needs_inventory(self) -> bool:
        """Whether its inventory has to be named."""
        return any("{inventory}" in place for place in self.beside)

    def form(self, release: str) -> Form:
        """What it is told of that OpenStack release.  Raises BadInput for one it is not known."""
        for one in self.forms.values():
            if release in one.releases:
                return one
        known = ", ".join(name for one in self.forms.values() for name in one.releases)
        raise BadInput(
            subject="release",
            expected=f"one whose {self.name} is known here: {known}",
            found=release,
        )


def made_of(table: Mapping[str, Json]) -> Deployer:
    """A deployer of a parsed TOML file.  Raises BadInput where it is not whole."""
    forms = {name: _form(table["forms"], name) for name in table.get("forms", {})}
    return Deployer(**_whole(Deployer, {**table, "forms": forms}, str(table.get("name", "?"))))


def _form(forms: Mapping[str, Json], name: str) -> Form:
    return Form(**_whole(Form, _like(forms, name), name))


def _like(forms: Mapping[str, Json], name: str) -> dict[str, Json]:
    """A form, with the rest of the one that it is like; false takes a key out."""
    table = dict(forms[name])
    rest = _like(forms, table.pop("like")) if "like" in table else {}
    return laid_over(rest, table)


def _whole(kind: type, table: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    names = {field.name for field in fields(kind)}
    if odd := names ^ set(table):
        raise BadInput(f"deployer {name}: missing, or not known: {', '.join(sorted(odd))}")
    return table
