"""What deployers' input has in common: files on a deploy host, edited by the lines that are ours.

Knows no deployer: variables in YAML, UUIDs of libvirt's secrets, ceph.conf and keyrings, where
config/deployers/ says.  Files keep their owner and each line that is not ours; what is secret in
them stays on its host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from fabfile.core.contract import BadInput, Change, Facts, Host, Json, Ref, Refused, Seen
from fabfile.model import option_values, services
from fabfile.model.deployers import Deployer, Form
from fabfile.model.deployment import OWN, Binding
from fabfile.model.option_values import BOOLEAN, TEXT
from fabfile.model.phases import Phase
from fabfile.model.site import Site
from fabfile.resources import (
    by_cluster,
    ceph_conf,
    cluster,
    in_force,
    keyrings,
    secret_uuid,
    wanted_options,
    yaml_text,
)
from fabfile.resources.auth import key_of
from fabfile.resources.in_force import same
from fabfile.resources.service_config import ServiceConfig

KIND = "deployer"
GLOBALS, PASSWORDS, LATER = "deployer.globals", "deployer.passwords", "deployer.later"
IN_INVENTORY = "deployer.inventory"
_HIDDEN = r"[\w.-]*(?:passw|secret(?!_uuid)|token|key(?!ring)|credential)[\w.-]*"
CREDENTIALS = [
    rf"(?i)^[ \t]*-?[ \t]*[\"']?{_HIDDEN}[\"']?[ \t]*:[ \t]*((?![|>!&*{{\[])\S.*)$",
    rf"(?i)[{{,][ \t]*[\"']?{_HIDDEN}[\"']?[ \t]*:[ \t]*(\"[^\"\n]*\"|'[^'\n]*'|[^\s,}}][^,}}\n]*)",
]
"""Values of variables that stay on their host: some keep passwords there."""
_KEYRING_MODE, CONF_MODE = "0640", "0644"
_UUID_KEY = r"(?m)^[\ufeff \t]*[\"']?{name}[\"']?[ \t]*:"
_UUID_LINE = (
    r"(?m)^\ufeff?([\"']?){name}\1[ \t]*:[ \t]*[\"']?([^\"'\s#]*)[\"']?[ \t\r]*(?:#.*)?$"
    r"(?!\n(?:[ \t\r]*(?:#.*)?\n)*[ \t]+[^\s#])"
)
"""A variable on a line of its own: nothing below is a part of it."""
VAULT = "$ANSIBLE_VAULT"
BOM = "\ufeff"
_FINGERPRINT = re.compile("sha256:[0-9a-f]{64}|\ufffd")
"""What stands for a secret, or for bytes that are no text: never to be written."""


def is_asked(site: Site, host: Host) -> bool:
    return site.written_by is not None and "deploy" in host.roles


def folder_of(site: Site) -> str:
    """The deployer's folder."""
    given = site.deploy.folder if site.deploy else None
    return given or (site.written_by.folder if site.written_by else "")


def inventory_of(site: Site) -> str:
    """For the command that applies it; '' for a deployer that makes its own."""
    return (site.deploy.inventory or "") if site.deploy else ""


def _filled(template: str, one: Binding) -> str:
    of_cluster = "" if one.cluster.name == OWN else f"{one.cluster.name}."
    return template.format(cluster=one.cluster.name, client=one.client, of_cluster=of_cluster)


def beside_of(site: Site, own: Deployer) -> list[str]:
    """The inventory, and where Ansible looks for variables beside it."""
    found = inventory_of(site)
    words = {"inventory": found, "beside": found.rpartition("/")[0], "folder": folder_of(site)}
    return [place.format(**words) for place in own.beside]


def variables_of(own: Deployer) -> set[str]:
    """Every variable that is written, or asked after, in any release."""
    tables = (table for form in own.forms.values() for table in form.globals.values())
    lists = (name for form in own.forms.values() for name in form.lists)
    asked = {*own.keeps, *own.defaults, *own.uuids.values(), *own.known, own.config}
    return {*asked, *(name for table in tables for name in table), *lists}


def opens(one: Binding) -> bool:
    """Whether the deployer hands on the client's key: to the service itself, or to libvirt."""
    return one.keyring or one.secret


def conf_of(own: Deployer, one: Binding) -> str:
    return _filled(own.confs[one.service.key], one)


def keyring_of(own: Deployer, one: Binding) -> str:
    return _filled(own.keyrings[one.service.key], one)


def folders(site: Site, own: Deployer) -> list[str]:
    """The folders below the deployer's, each before those in it."""
    overrides = [own.overrides.get(one.service.key) for one in site.handed]
    files = [paths[-1] for paths in overrides if paths]
    files += [conf_of(own, one) for one in site.handed]
    files += [keyring_of(own, one) for one in site.handed if opens(one)]
    found = {own.below}
    for path in files:
        parts = f"{own.below}/{path}".split("/")[:-1]
        found |= {"/".join(parts[:n]) for n in range(1, len(parts) + 1)}
    return [f"{folder_of(site)}/{name}" for name in sorted(found)]


Maker = Callable[["Told", Binding, str], Iterator[Change]]
"""Makes one of the files that are handed on: of a binding, at a path."""


@dataclass(frozen=True)
class Variables:
    """What variables are to be.  lists: items that are known by a name; tables: {(variable, key,
    ...): value}, beside which other keys stay.
    """

    values: Mapping[str, Json]
    lists: Mapping[str, Sequence[Json]]
    tables: Mapping[tuple[str, ...], Json]


@dataclass(frozen=True)
class Told:
    """What a deployer is to be told, and what it was; each kind says what is its own."""

    site: Site
    facts: Facts
    own: Deployer
    form: Form
    seen: Seen

    @property
    def host(self) -> str:
        return self.site.with_role("deploy")[0].name

    def path(self, name: str) -> str:
        return f"{folder_of(self.site)}/{name}"

    @property
    def beside(self) -> str:
        """The inventory, in which variables may be too."""
        return beside_of(self.site, self.own)[0]

    def below(self, path: str) -> str:
        """Where one of the files is that it hands on to services."""
        return self.path(f"{self.own.below}/{path}")

    def there(self, path: str) -> Json:
        """What is there of such a file; None for none."""
        return self.seen[f"{self.own.below}/{path}"]

    def of(self, key: str) -> list[Binding]:
        """The bindings of a service, those first that are written into its file."""
        mine = [one for one in self.site.handed if one.service.key == key]
        return sorted(mine, key=lambda one: not one.section)

    def written(self, key: str) -> list[Binding]:
        """Those with a section; of Nova's, only where its own disks are on RBD."""
        return [one for one in self.of(key) if one.section]

    def default_first(self, key: str) -> list[Binding]:
        """As written(), Glance's default store before the others."""
        default = self.site.glance.default.name if key == services.GLANCE_API.key else ""
        return sorted(self.written(key), key=lambda one: bool(default) and one.section != default)

    @property
    def uuids(self) -> Mapping[str, str]:
        """{the variable: its UUID}, of libvirt's secrets.  Raises BadInput."""
        raise NotImplementedError

    def uuid_of(self, one: Binding) -> str:
        """The UUID under which libvirt has a binding's key."""
        raise NotImplementedError

    def refuse(self) -> None:
        """Raises BadInput for what its files cannot make it do, or would take from somebody."""
        raise NotImplementedError

    def wanted(self) -> Variables:
        """What its variables are to be, beside those of its form."""
        raise NotImplementedError

    def files_of(self, one: Binding) -> Iterator[tuple[str, Maker]]:
        """(a file below its folder of these, what makes it), for a binding."""
        yield conf_of(self.own, one), ceph_conf_file
        if opens(one):
            yield keyring_of(self.own, one), keyring_file

    def notes(self, changes: Sequence[Change]) -> list[str]:
        """What else a person is to know of these changes."""
        raise NotImplementedError

    def fsid_of(self, one: Binding) -> str:
        part = self.site.part(one.cluster.label)
        return cluster.seen(part, by_cluster.facts_of(part, self.facts)).fsid

    def uuid_there(self, key: str) -> str:
        """A service's UUID, as its file of passwords has it; '' for none.  Raises Refused."""
        return _uuid_in(self, self.own.uuids[key])

    def uuid_named(self, key: str, one: Binding, new: str) -> str:
        """A variable's UUID: the one that is there, the site file's, or a new one."""
        name, path = self.own.uuids[key], self.path(self.own.passwords)
        there = self.uuid_there(key)
        places = {
            self.path(self.own.globals): self.globals,
            self.path(self.own.later): self.later,
            self.beside: self.in_inventory,
        }
        for place, names in places.items():
            if not there and name in names:
                raise Refused(
                    host=self.host,
                    subject=path,
                    expected=f"{name}: the UUID that is in use",
                    found=f"it in {place}",
                    why="a UUID in use is never replaced",
                    advice="move it here, as it is",
                )
        if there and one.secret_uuid and there != one.secret_uuid.lower():
            raise BadInput(
                host=self.host,
                subject=f"clients.{one.client}.secret_uuid",
                expected=f"{there}, which is {name} in {path}",
                found=one.secret_uuid,
                advice="a UUID in use is never replaced: take the setting out",
            )
        return there or (one.secret_uuid or new).lower()

    def disks_move(self, variable: str) -> str:
        """What follows from Nova's own disks on Ceph."""
        return (
            f"{self.host}: {variable}: disks of new instances are on Ceph from then on; an "
            "instance whose disks are on a compute does not start from there again: move it first"
        )

    def words(self, one: Binding) -> dict[str, str]:
        """What a template leaves open, of a binding."""
        first = (self.default_first(one.service.key) or [one])[0]
        names = [b.section for b in self.written(one.service.key) or [one]]
        return {
            "client": one.client,
            "pool": one.pool,
            "cluster": one.cluster.name,
            "conf": one.conf,
            "conf_src": self.below(conf_of(self.own, one)),
            "keyring": one.keyring_path,
            "keyring_src": self.below(keyring_of(self.own, one)),
            "uuid": self.uuid_of(one),
            "backend": one.section,
            "store": one.section,
            "first": first.section,
            "first_client": first.client,
            "first_pool": first.pool,
            "backends": ",".join(names),
            "stores": ", ".join(f"{name}:rbd" for name in names),
        }

    def has(self, name: str) -> str:
        """A variable in force, which is the deployer's own where nobody says it."""
        return self.said(name) or self.own.defaults.get(name, "")

    def said(self, name: str) -> str:
        """A variable as it is said; a reference to another one is looked up, once."""
        return self.resolved(self.globals.get(name, ""))

    def resolved(self, found: Json) -> str:
        """A value as it is written, or the variable's whose name alone it is."""
        reference = (
            re.fullmatch(r"\s*\{\{\s*(\w+)\s*\}\}\s*", found) if type(found) is str else None
        )
        return str(self.globals.get(reference.group(1), found) if reference else found)

    def at(self, path: Sequence[str]) -> str:
        """A value in tables in each other; '' where there is none."""
        found: Json = self.globals
        for name in path:
            found = found.get(name, "") if isinstance(found, Mapping) else ""
        return self.resolved(found)

    @cached_property
    def globals(self) -> dict[str, Json]:
        """The variables that are there.  Raises Refused."""
        text = self.seen[GLOBALS]["text"]
        try:
            return yaml_text.read(text)
        except ValueError as error:
            raise self._unreadable(str(error)) from None

    @cached_property
    def later(self) -> set[str]:
        """The variables in files that count more.  Raises Refused where one cannot be read."""
        where = self.path(self.own.later)
        found = self._names(LATER, where)
        if VAULT in found:
            raise Refused(
                host=self.host,
                subject=where,
                expected="none that Ansible Vault has encrypted",
                found="one",
                why=f"what is there counts more than {self.own.globals}",
                advice="keep secrets alone encrypted, each as a value (!vault)",
            )
        return found

    @cached_property
    def in_inventory(self) -> set[str]:
        """The variables that the inventory says.  Raises Refused where it cannot be read."""
        return self._names(IN_INVENTORY, self.beside)

    def _names(self, read: str, where: str) -> set[str]:
        seen, missing = self.seen[read], "No such file or directory"
        if errors := [line for line in seen["err"].splitlines() if missing not in line]:
            raise Refused(
                host=self.host,
                subject=where,
                expected="files that can be read",
                found=errors[0][:200],
                advice="mend that: what is not seen there may be in force",
            )
        return names_in(seen["out"])

    def _unreadable(self, why: str) -> Refused:
        return Refused(
            host=self.host,
            subject=self.path(self.own.globals),
            expected="variables in YAML",
            found=why,
            advice="mend the file; it is edited by its lines, which stay as they are",
        )


def names_in(out: str) -> set[str]:
    """Variables' names, of lines that have one each and what is around it."""
    return set(re.findall(r"\$?\w+", out))


def _uuid_lines(text: str, name: str) -> list[re.Match[str]]:
    return list(re.finditer(_UUID_LINE.format(name=name), text))


def _uuid_in(told: Told, name: str) -> str:
    """A UUID of passwords; '' for none.  Raises Refused for what cannot be read or edited."""
    text = told.seen[PASSWORDS]["text"]
    lines = _uuid_lines(text, name)
    value = lines[-1].group(2) if lines else ""
    if text.startswith(VAULT):
        found = "a file that Ansible Vault has encrypted"
    elif len(lines) != len(re.findall(_UUID_KEY.format(name=name), text)) or re.match(
        r"(?:[\s\ufeff]|#.*\n)*\{", text
    ):
        found = "a value of another form"
    elif value.lower() in ("", "null", "~"):
        return ""
    elif uuid := option_values.as_uuid(value):
        return uuid
    else:
        found = repr(value[:80])
    raise Refused(
        host=told.host,
        subject=told.path(told.own.passwords),
        expected=f"{name}: a UUID, or nothing, on a line of its own",
        found=found,
        why="volumes are attached by it, and it is no password",
        advice=f"keep {name} where it can be read: {told.own.readable}; or take the encryption off",
    )


def refuse_unclear(told: Told) -> None:
    """Raises Refused where what is in use cannot be told: that is never "not in use"."""
    own, below = told.own, told.path(told.own.below)
    switches = [name for name, _ in own.switches.values()]
    for name in dict.fromkeys([*switches, *own.keeps.values(), *own.keeps, *own.answers]):
        value = told.has(name)
        if value and not any(option_values.equal(BOOLEAN, value, word) for word in ("yes", "no")):
            raise unclear(told, f"{name}: yes or no", value)
    config = told.said(own.config).rstrip("/")
    if config not in ("", below, f"{{{{ node_config }}}}/{own.below}"):
        raise Refused(
            host=told.host,
            subject=told.path(own.globals),
            expected=f"{own.config}: {below}",
            found=config[:200],
            why=f"{own.name} would not read what is written below {below}",
            advice=f"move that folder to {below}, and take {own.config} out",
        )


def unclear(told: Told, expected: str, found: str) -> Refused:
    """Of a variable that another expression decides."""
    return Refused(
        host=told.host,
        subject=told.path(told.own.globals),
        expected=expected,
        found=found[:80],
        why="whether it is in use cannot be told",
        advice="write there what it comes to",
    )


def in_use(told: Told, expected: str, found: str, what: str = "pool") -> Refused:
    """Of a place that another name would set aside."""
    return Refused(
        host=told.host,
        subject=told.path(told.own.globals),
        expected=expected,
        found=found[:80],
        why="what is stored there would be lost to OpenStack",
        advice=f"name that {what} in the site file",
    )


def beyond(told: Told, expected: str, found: str) -> BadInput:
    return BadInput(
        subject=f"deployer {told.own.name} of {', '.join(told.form.releases)}",
        expected=expected,
        found=found,
        why="its roles and templates know no more",
    )


def refuse_logins(told: Told) -> None:
    """Raises BadInput for more stores or clients than the form has."""
    stores, form = told.site.glance.all, told.form
    if form.store and [one.name for one in stores] != [form.store]:
        said = ", ".join(one.name for one in stores)
        raise beyond(told, f"one store, called {form.store} (glance.store)", said)
    for key in form.one_client:
        logins = {(one.cluster.label, one.client) for one in told.written(key)}
        if key == "glance":
            logins = {("", client) for _, client in logins}
        if len(logins) > 1:
            names = ", ".join(sorted(client for _, client in logins))
            raise beyond(told, f"one client, of one cluster, for all of {key}'s pools", names)


def refuse_clusters(told: Told, mine: Iterable[Binding]) -> None:
    """Raises BadInput for a cluster of another name than the form has for its service."""
    for one in mine:
        name = told.form.clusters.get(one.service.key, one.cluster.name)
        if one.cluster.name != name:
            raise beyond(told, f"{one.service.key} on a cluster called {name}", one.cluster.name)


def refuse_later(told: Told) -> None:
    """Variables of ours in a file that counts more than globals.yml, or in one that counts less."""
    ours = variables_of(told.own) - {*told.own.uuids.values()}
    if named := sorted(ours & told.in_inventory - {*told.globals}):
        raise Refused(
            host=told.host,
            subject=told.beside,
            expected=f"no {', '.join(named)} there, or in group_vars and host_vars beside it",
            found="a file that has it",
            why=f"{told.own.globals} counts more: what is in use by it would be set aside unseen",
            advice=f"move it to {told.own.globals}, as it is",
        )
    named = sorted(ours & told.later)
    if named:
        raise Refused(
            host=told.host,
            subject=told.path(told.own.later),
            expected=f"no {', '.join(named)} there",
            found="a file that has it",
            why=f"it is read after {told.own.globals}, and counts more",
            advice="take it out there",
        )


def rendered(told: Told, mine: Sequence[Binding]) -> dict[tuple[str, str], str]:
    """What a deployer writes into a service's file by itself, once it is told of its bindings."""
    return {
        (same(section.format(**words)), key): text.format(**words)
        for words in map(told.words, mine)
        for section, options in told.form.renders.get(mine[0].service.key, {}).items()
        for key, text in options.items()
    }


def lacking_of(
    told: Told, mine: Sequence[Binding], now: in_force.Options
) -> Mapping[wanted_options.At, wanted_options.Option]:
    """What the release's tables want of bindings of a service, and is not there by then."""
    known = {
        f"{b.cluster.tag}{secret_uuid.known_as(b.client)}": told.uuid_of(b)
        for b in told.of(mine[0].service.key)
    }
    facts = replace(told.facts, known={**told.facts.known, **known})
    return ServiceConfig(mine[0].service).beside(told.site, facts, mine, now)


def attributes(seen: Json, mode: str) -> dict[str, str]:
    return {"owner": seen["owner"], "group": seen["group"], "mode": mode}


def change(told: Told, path: str, sentence: str, sign: str, args: Json, diff: Any) -> Change:  # noqa: PLR0913, PLR0917
    verb = "folder" if "kind" in args else "edit" if "edits" in args else "write"
    args = {name: value for name, value in args.items() if name != "kind"}
    return Change(
        told.host,
        path,
        sentence,
        sign,
        verb,
        {"path": path, **args},
        Phase.CONTROL,
        diff=tuple(diff),
        kind=KIND,
        subject=path,
    )


def _content(told: Told, path: str, old: str, new: str) -> list[Any]:
    """The new text of lines that stay on their host, and of ours.  Raises Refused."""
    parts = ceph_conf.parts(old, new)
    if any(isinstance(part, str) and _FINGERPRINT.search(part) for part in parts):
        raise Refused(
            host=told.host,
            subject=path,
            expected="lines of ours without secrets, in UTF-8",
            found="one with a secret, or with bytes that are no UTF-8",
            why="such lines stay on their host as they are, and are not written anew",
            advice="move what is secret to a line of its own, or mend the bytes",
        )
    return parts


def made_folders(told: Told) -> Iterator[Change]:
    owned = attributes(told.seen[GLOBALS], "0755")
    for path in folders(told.site, told.own):
        if told.seen[path] is None:
            yield change(told, path, "make", "+", {**owned, "kind": "folder"}, ())


def variables_change(told: Told) -> Iterator[Change]:
    """The variables that are not as they are to be."""
    wanted = told.wanted()
    values = {name: new for name, new in wanted.values.items() if not _has_value(told, name, new)}
    lists, found = dict(wanted.lists), told.globals
    for name, items in lists.items():
        lists[name] = [one for one in items if not _has_item(told, found.get(name), one)]
    lists = {name: items for name, items in lists.items() if items}
    tables = {at: new for at, new in wanted.tables.items() if not is_value(told.at(at), new)}
    if not values and not lists and not tables:
        return
    seen, path = told.seen[GLOBALS], told.path(told.own.globals)
    try:
        text = yaml_text.altered(seen["text"], values, lists, tables)
    except ValueError as error:
        raise told._unreadable(str(error)) from None
    args = {
        **attributes(seen, seen["mode"]),
        "content": _content(told, path, seen["text"], text),
        "before": seen["sha256"],
    }
    sentence = f"set {', '.join([*values, *lists, *('.'.join(at) for at in tables)])}"
    yield change(told, path, sentence, "~", args, ceph_conf.changed(seen["text"], text))


def wanted_values(told: Told) -> dict[str, Json]:
    """Of each service, what its first binding says; Nova's where its own disks are on RBD."""
    found: dict[str, Json] = {}
    for key, table in told.form.globals.items():
        mine = told.default_first(key)
        if mine and (key != "nova" or told.site.nova.ephemeral):
            found |= filled(table, told.words(mine[0]))
    return found


def filled(table: Mapping[str, Json], words: Mapping[str, str]) -> dict[str, Json]:
    """A table of templates, with a binding's words in them."""
    return {
        name: filled(value, words)
        if isinstance(value, Mapping)
        else value.format(**words)
        if isinstance(value, str)
        else value
        for name, value in table.items()
    }


def items_of(found: Json) -> list[Mapping[str, Json]]:
    """The items of a list that are known by a name."""
    items = found if isinstance(found, list) else []
    return [one for one in items if yaml_text.known_as(one)]


def _has_value(told: Told, name: str, wanted: Json) -> bool:
    if isinstance(wanted, Mapping):
        return _has_all(told, told.globals.get(name), wanted)
    return is_value(told.said(name), wanted)


def _has_item(told: Told, found: Json, wanted: Json) -> bool:
    """Whether a list has an item that says at least that."""
    if isinstance(wanted, str):
        return isinstance(found, list) and wanted in found
    there = {yaml_text.known_as(one): one for one in items_of(found)}
    return _has_all(told, there.get(yaml_text.known_as(wanted), {}), wanted)


def _has_all(told: Told, found: Json, wanted: Mapping[str, Json]) -> bool:
    """Whether a mapping says at least that."""
    return isinstance(found, Mapping) and all(
        _has_all(told, found.get(key), value)
        if isinstance(value, Mapping)
        else is_value(told.resolved(found.get(key, "")), value)
        for key, value in wanted.items()
    )


def is_value(found: Json, wanted: Json) -> bool:
    """Whether a scalar, as it is written, is what it is to be."""
    if type(found) is not str:
        return False
    is_flag = wanted is True or wanted == "yes"
    return option_values.equal(BOOLEAN if is_flag else TEXT, found, "yes" if is_flag else wanted)


def passwords_change(told: Told) -> Iterator[Change]:
    """A secret's UUID that is not there yet; nothing else of the file leaves its host."""
    seen, path = told.seen[PASSWORDS], told.path(told.own.passwords)
    text = seen["text"]
    for name, uuid in told.uuids.items():
        if name in told.globals or _uuid_in(told, name):
            continue
        text = _with_uuid(text, name, uuid)
    if text == seen["text"]:
        return
    args = {
        **attributes(seen, seen["mode"]),
        "content": _content(told, path, seen["text"], text),
        "before": seen["sha256"],
    }
    new = [line for line in ceph_conf.changed(seen["text"], text) if line.startswith("+")]
    yield change(told, path, f"set {', '.join(told.uuids)}", "~", args, new)


def _with_uuid(text: str, name: str, uuid: str) -> str:
    """The text with a UUID: in the last empty place of its variable, or at the end."""
    lines = _uuid_lines(text, name)
    if not lines:
        ending = "" if text.endswith("\n") or not text else "\n"
        return f"{text}{ending}{name}: {uuid}\n"
    begin, end = lines[-1].span(2)
    before = " " if text[begin - 1] == ":" else ""
    behind = " " if text[end : end + 1] == "#" else ""
    return f"{text[:begin]}{before}{uuid}{behind}{text[end:]}"


def ceph_conf_file(told: Told, one: Binding, path: str) -> Iterator[Change]:
    part = told.site.part(one.cluster.label)
    seen = cluster.seen(part, by_cluster.facts_of(part, told.facts))
    found = told.there(path)
    mine = [b for b in told.site.handed if b.cluster.label == one.cluster.label]
    monitors = ceph_conf.Monitors(seen, seen.monitors)
    whole = told.below(path)
    options = ceph_conf.of_clients(part, mine)
    text = ceph_conf.text_of(told.host, whole, found, monitors, options)
    old = found["text"] if found else ""
    if text == old:
        return
    owned = attributes(found, found["mode"]) if found else attributes(told.seen[GLOBALS], CONF_MODE)
    args = {
        **owned,
        "content": ceph_conf.parts(old, text),
        "before": found["sha256"] if found else None,
    }
    sentence = "monitors of the live monitor map" if found else "write, for its services"
    yield change(told, whole, sentence, "~" if found else "+", args, ceph_conf.changed(old, text))


def keyring_file(told: Told, one: Binding, path: str) -> Iterator[Change]:
    part, found = told.site.part(one.cluster.label), told.there(path)
    users = cluster.seen(part, by_cluster.facts_of(part, told.facts)).users
    key = users.get(f"client.{one.client}", {}).get("key")
    if (
        found
        and key
        and (found["text"].startswith(VAULT) or keyrings.held(found["text"], one.client) == key)
    ):
        return
    owned = attributes(found or told.seen[PASSWORDS], found["mode"] if found else _KEYRING_MODE)
    args = {
        **owned,
        "content": [
            f"[client.{one.client}]\n\tkey = ",
            Ref(key_of(one.cluster, one.client)),
            "\n",
            *(keyrings.of_others(found, one.client) if found else ()),
        ],
        "before": found["sha256"] if found else None,
    }
    diff = [f"+ key {key or '(made during the run)'}"]
    sentence = f"write the key of client.{one.client}"
    yield change(told, told.below(path), sentence, "~" if found else "+", args, diff)


def sealed_keyrings(told: Told) -> list[str]:
    paths = {keyring_of(told.own, one): one for one in told.site.handed if opens(one)}
    return [
        f"{told.host}: {told.path(f'config/{path}')}: Ansible Vault has encrypted it, and it stays "
        f"as it is: that it has the key of client.{one.client} is yours to see to"
        for path, one in paths.items()
        if (found := told.there(path)) and found["text"].startswith(VAULT)
    ]
