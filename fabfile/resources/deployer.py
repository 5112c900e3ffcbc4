"""What a deployer is told of Ceph on its own host: where its files are edited, services come right.

For a cloud whose containers and files another program writes (Kolla): what is written beside it is
lost at its next run.  So its variables, secrets' UUIDs, ceph.conf, keyrings and overrides are
planned, on its deploy host; config/deployers has what it makes of them by itself, and overrides say
the rest of what the release's tables want.  Files keep their owner and each line that is not ours.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from fabfile.core.contract import (
    INV,
    BadInput,
    Change,
    Facts,
    Host,
    Json,
    Read,
    Ref,
    Refused,
    Seen,
)
from fabfile.model import option_values, services
from fabfile.model.deployers import Deployer, Form
from fabfile.model.deployment import Binding
from fabfile.model.option_values import BOOLEAN, TEXT
from fabfile.model.phases import Phase
from fabfile.model.site import Site
from fabfile.resources import by_cluster, ceph_conf, cluster, keyrings, secret_uuid, yaml_text
from fabfile.resources.auth import key_of
from fabfile.resources.in_force import PLAIN, same
from fabfile.resources.resource import Resource
from fabfile.resources.service_config import ServiceConfig

KIND = "deployer"
_GLOBALS, _PASSWORDS, _LATER = "deployer.globals", "deployer.passwords", "deployer.later"
_IN_INVENTORY = "deployer.inventory"
_CREDENTIALS = [
    r"(?i)^[ \t]*-?[ \t]*(?!(?:cinder_)?rbd_secret_uuid)[\w.-]*"
    r"(?:passw|secret|token|key(?!ring)|credential)[\w.-]*[ \t]*:[ \t]*((?![|>!&*{\[])\S.*)$"
]
"""Values of globals.yml that stay on their host: some keep passwords there."""
_KEYRING_MODE, _CONF_MODE = "0640", "0644"
_UUID_KEY = r"(?m)^[\ufeff \t]*[\"']?{name}[\"']?[ \t]*:"
_UUID_LINE = (
    r"(?m)^\ufeff?([\"']?){name}\1[ \t]*:[ \t]*[\"']?([^\"'\s#]*)[\"']?[ \t\r]*(?:#.*)?$"
    r"(?!\n(?:[ \t\r]*(?:#.*)?\n)*[ \t]+[^\s#])"
)
"""A variable on a line of its own: nothing below is a part of it."""
_VAULT = "$ANSIBLE_VAULT"
_BOM = "\ufeff"
_FINGERPRINT = re.compile("sha256:[0-9a-f]{64}|\ufffd")
"""What stands for a secret, or for bytes that are no text: never to be written."""
_OTHER_BACKENDS = r"(enable_)?cinder_backend_\w+"


def _is_asked(site: Site, host: Host) -> bool:
    return site.written_by is not None and "deploy" in host.roles


def _base(site: Site) -> str:
    """The deployer's folder."""
    given = site.deploy.folder if site.deploy else None
    return given or (site.written_by.folder if site.written_by else "")


def _inventory(site: Site) -> str:
    return site.deploy.inventory if site.deploy else ""


def reads(site: Site, host: Host) -> list[Read]:
    """The deployer's files, with what is secret in them masked; the clusters' side."""
    found = by_cluster.reads(site, host, cluster.reads)
    own = site.written_by
    if not own or not _is_asked(site, host):
        return found
    base = _base(site)
    text = {"text": True}
    names = "|".join([*sorted(_variables(own)), _OTHER_BACKENDS])
    later = rf"^({_BOM})?[[:space:]{{]*[\"']?({names})[\"']?[[:space:]]*:|^\{_VAULT}"
    said = rf"^([^#;]*[[:space:]{{])?[\"']?({names})[\"']?[[:space:]]*[:=]"
    uuids = "|".join(own.uuids.values())
    not_ours = rf"^(?![\ufeff \t]*[\"']?(?:{uuids})[\"']?[ \t]*:|\{_VAULT})[\ufeff \t]*[#{{]?(.*\S)"
    found += [
        Read(
            _GLOBALS, "file", {"path": f"{base}/{own.globals}", **text, "mask": list(_CREDENTIALS)}
        ),
        Read(_PASSWORDS, "file", {"path": f"{base}/{own.passwords}", **text, "mask": [not_ours]}),
        _search(_LATER, later, ["--include=*.yml", f"{base}/{own.later}"]),
        _search(_IN_INVENTORY, said, _inventories(site)),
    ]
    for path in _folders(site, own):
        found.append(Read(path, "file", {"path": path, "kind": "directory"}))
    for path in dict.fromkeys(path for paths in own.overrides.values() for path in paths):
        found.append(_read_of(base, path, "options", {"plain": PLAIN}))
    for one in site.handed:
        masks = {**text, "mask": ceph_conf.CREDENTIALS}
        found.append(_read_of(base, _conf(own, one), "file", masks))
        if _opens(one):
            found.append(
                _read_of(base, _keyring(own, one), "file", {**text, "mask": list(keyrings.MASK)})
            )
    return found


def _search(name: str, pattern: str, where: Sequence[str]) -> Read:
    """What matches in files and folders, links too; 2 is where one is not there.

    What stands before a name may be another one's password, and stays there.
    """
    before = r"^(.*\S)[ \t{]+[\"']?\w+[\"']?[ \t]*[:=]$"
    argv = ["grep", "-RIhoE", pattern, *where]
    return Read(name, "argv", {"argv": argv, "ok": [0, 1, 2], "mask": [before]})


def _inventories(site: Site) -> list[str]:
    """The inventory, and where Ansible looks for variables beside it."""
    beside = _inventory(site).rpartition("/")[0]
    return [_inventory(site), f"{beside}/group_vars", f"{beside}/host_vars"]


def _read_of(base: str, path: str, verb: str, args: Mapping[str, Json]) -> Read:
    return Read(f"config/{path}", verb, {"path": f"{base}/config/{path}", **args})


def _variables(own: Deployer) -> set[str]:
    """Every variable that is written, or asked after, in any release."""
    tables = (table for form in own.forms.values() for table in form.globals.values())
    lists = (name for form in own.forms.values() for name in form.lists)
    asked = {*own.keeps, *own.defaults, *own.uuids.values(), own.config}
    return {*asked, *(name for table in tables for name in table), *lists}


def _opens(one: Binding) -> bool:
    """Whether the deployer hands on the client's key: to the service itself, or to libvirt."""
    return one.keyring or one.secret


def _filled(template: str, one: Binding) -> str:
    return template.format(cluster=one.cluster.name, client=one.client)


def _conf(own: Deployer, one: Binding) -> str:
    return _filled(own.confs[one.service.key], one)


def _keyring(own: Deployer, one: Binding) -> str:
    return _filled(own.keyrings[one.service.key], one)


def _folders(site: Site, own: Deployer) -> list[str]:
    """The folders below the deployer's, each before those in it."""
    files = [own.overrides[one.service.key][-1] for one in site.handed]
    files += [_conf(own, one) for one in site.handed]
    files += [_keyring(own, one) for one in site.handed if _opens(one)]
    found = {"config"}
    for path in files:
        parts = f"config/{path}".split("/")[:-1]
        found |= {"/".join(parts[:n]) for n in range(1, len(parts) + 1)}
    return [f"{_base(site)}/{name}" for name in sorted(found)]


@dataclass(frozen=True)
class _Told:
    """What a deployer is to be told, and what it was."""

    site: Site
    facts: Facts
    own: Deployer
    form: Form
    seen: Seen

    @property
    def host(self) -> str:
        return self.site.with_role("deploy")[0].name

    def path(self, name: str) -> str:
        return f"{_base(self.site)}/{name}"

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

    @cached_property
    def uuids(self) -> dict[str, str]:
        """{the variable: its UUID}: the one that is there, the site file's, or a new one."""
        found = {}
        cinder = self.written("cinder")[0]
        found[self.own.uuids["cinder"]] = self._uuid("cinder", cinder, self._fsid(cinder).lower())
        if self.site.nova.ephemeral:
            nova = self.written("nova")[0]
            new = secret_uuid.derived(nova.client, self._fsid(nova))
            found[self.own.uuids["nova"]] = self._uuid("nova", nova, new)
        return found

    def _fsid(self, one: Binding) -> str:
        part = self.site.part(one.cluster.label)
        return cluster.seen(part, by_cluster.facts_of(part, self.facts)).fsid

    def _uuid(self, key: str, one: Binding, new: str) -> str:
        name, path = self.own.uuids[key], self.path(self.own.passwords)
        there = _uuid_in(self.seen[_PASSWORDS]["text"], name, self.host, path)
        places = {
            self.path(self.own.globals): self.globals,
            self.path(self.own.later): self.later,
            _inventory(self.site): self.in_inventory,
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

    def uuid_of(self, one: Binding) -> str:
        """The UUID under which libvirt has a binding's key: Nova's own, else that of volumes."""
        own = one.service == services.NOVA_COMPUTE and self.site.nova.ephemeral and one.section
        return self.uuids[self.own.uuids["nova" if own else "cinder"]]

    def words(self, one: Binding) -> dict[str, str]:
        """What a template leaves open, of a binding."""
        all_of_them = self.written(one.service.key) or [one]
        first = all_of_them[0]
        if one.service == services.GLANCE_API:
            default = self.site.glance.default.name
            first = next((b for b in all_of_them if b.section == default), first)
        names = [b.section for b in all_of_them]
        return {
            "client": one.client,
            "pool": one.pool,
            "cluster": one.cluster.name,
            "conf": one.conf,
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
        found = self.globals.get(name, "")
        reference = (
            re.fullmatch(r"\s*\{\{\s*(\w+)\s*\}\}\s*", found) if type(found) is str else None
        )
        return str(self.globals.get(reference.group(1), found) if reference else found)

    @cached_property
    def globals(self) -> dict[str, Json]:
        """The variables that are there.  Raises Refused."""
        text = self.seen[_GLOBALS]["text"]
        try:
            return yaml_text.read(text)
        except ValueError as error:
            raise self._unreadable(str(error)) from None

    @cached_property
    def later(self) -> set[str]:
        """The variables in files that count more.  Raises Refused where one cannot be read."""
        where = self.path(self.own.later)
        found = self._names(_LATER, where)
        if _VAULT in found:
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
        return self._names(_IN_INVENTORY, _inventory(self.site))

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


def _uuid_in(text: str, name: str, host: str, path: str) -> str:
    """A UUID of passwords.yml; '' for none.  Raises Refused for what cannot be read or edited."""
    lines = _uuid_lines(text, name)
    value = lines[-1].group(2) if lines else ""
    if text.startswith(_VAULT):
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
        host=host,
        subject=path,
        expected=f"{name}: a UUID, or nothing, on a line of its own",
        found=found,
        why="volumes are attached by it, and it is no password",
        advice=f"keep {name} where it can be read: in a file of its own that is passed by "
        "--passwords, and the folder of that by [deploy] folder; or take the encryption off",
    )


def plan(site: Site, facts: Facts) -> list[Change]:
    """What the deployer's files lack.  Raises Refused for what it cannot carry out."""
    told = _told(site, facts)
    if not told:
        return []
    _refuse_unclear(told)
    _refuse_later(told)
    _refuse(told)
    return [*_made_folders(told), *_globals(told), *_passwords(told), *_below_config(told)]


def _told(site: Site, facts: Facts) -> _Told | None:
    """None where there is no deployer, or its host was left out.  Raises Refused."""
    own = site.written_by
    host = site.with_role("deploy")[0].name if own else ""
    if not own or host not in facts.hosts:
        return None
    seen = facts.hosts[host]
    for read, name in ((_GLOBALS, own.globals), (_PASSWORDS, own.passwords)):
        if seen[read] is None:
            raise Refused(
                host=host,
                subject=f"{_base(site)}/{name}",
                expected=f"a file of {own.name}'s",
                found="no such file",
                advice=f"name its folder ([deploy] folder), or make it as {own.name}'s guide says",
            )
    return _Told(site, facts, own, facts.release["form"], seen)


# What it cannot carry out


def _refuse(told: _Told) -> None:
    """Raises BadInput for what no file of its own makes it do."""
    site, form, own = told.site, told.form, told.own
    for one in site.handed:
        if form.clusters not in ("", one.cluster.name):
            raise _beyond(told, f"a cluster called {form.clusters}", one.cluster.name)
    stores = site.glance.all
    if form.store and [one.name for one in stores] != [form.store]:
        said = ", ".join(one.name for one in stores)
        raise _beyond(told, f"one store, called {form.store} (glance.store)", said)
    for key in form.one_client:
        logins = {(one.cluster.label, one.client) for one in told.written(key)}
        if key == "glance":
            logins = {("", client) for _, client in logins}
        if len(logins) > 1:
            names = ", ".join(sorted(client for _, client in logins))
            raise _beyond(told, f"one client, of one cluster, for all of {key}'s pools", names)
    volumes = told.written("cinder")[0].cluster.label
    for key, wanted in (("nova", site.nova.ephemeral), ("cinder.backup", True)):
        for one in told.written(key) if wanted else ():
            if one.cluster.label != volumes:
                raise _beyond(told, f"{key} on the cluster of Cinder's backends", one.cluster.label)
    if option_values.equal(BOOLEAN, told.has(own.switches["nova"][0]), "yes"):
        _refuse_nova(told)
    _refuse_pools(told)
    _refuse_places(told)
    if not option_values.equal(BOOLEAN, told.has("enable_cinder"), "yes"):
        raise Refused(
            host=told.host,
            subject=told.path(own.globals),
            expected='enable_cinder: "yes"',
            found="nothing of it, or another value",
            advice="decide on it, and write it there",
        )
    if not site.cinder.backup:
        _refuse_backups(told)


def _refuse_unclear(told: _Told) -> None:
    """Raises Refused where what is in use cannot be told: that is never "not in use"."""
    own, base = told.own, _base(told.site)
    switches = [name for name, _ in own.switches.values()]
    for name in dict.fromkeys([*switches, *own.keeps.values(), *own.keeps, *own.answers]):
        value = told.has(name)
        if value and not any(option_values.equal(BOOLEAN, value, word) for word in ("yes", "no")):
            raise Refused(
                host=told.host,
                subject=told.path(own.globals),
                expected=f"{name}: yes or no",
                found=value[:80],
                why="whether it is in use cannot be told",
                advice="write there what it comes to",
            )
    config = told.said(own.config).rstrip("/")
    if config not in ("", f"{base}/config", "{{ node_config }}/config"):
        raise Refused(
            host=told.host,
            subject=told.path(own.globals),
            expected=f"{own.config}: {base}/config",
            found=config[:200],
            why=f"{own.name} would not read what is written below {base}/config",
            advice=f"move that folder to {base}/config, and take {own.config} out",
        )


def _beyond(told: _Told, expected: str, found: str) -> BadInput:
    return BadInput(
        subject=f"deployer {told.own.name} of {', '.join(told.form.releases)}",
        expected=expected,
        found=found,
        why="its roles and templates know no more",
    )


def _refuse_nova(told: _Told) -> None:
    """Disks on RBD of which the site file says nothing: their user would change with Cinder's."""
    switch, pool = told.own.switches["nova"]
    if not told.site.nova.ephemeral:
        raise Refused(
            host=told.host,
            subject=told.path(told.own.globals),
            expected=f"{switch}: no, as nova.ephemeral of the site file has it",
            found=f"{switch}: yes",
            advice=f"say [nova] ephemeral = true, with its client and pool ({told.has(pool)}), "
            "in the site file",
        )


def _refuse_pools(told: _Told) -> None:
    """A pool that is in use is another one's place, never replaced."""
    for key, (switch, variable) in told.own.switches.items():
        on = option_values.equal(BOOLEAN, told.has(switch), "yes")
        name = told.form.globals[key].get("cinder_backend_ceph_name")
        mine = told.default_first(key)
        same_place = not name or told.has("cinder_backend_ceph_name") in ("", mine[0].section)
        same_place = same_place and not _own_pool(told, mine)
        if on and mine and same_place and told.has(variable) != mine[0].pool:
            raise Refused(
                host=told.host,
                subject=told.path(told.own.globals),
                expected=f"{variable}: {mine[0].pool}",
                found=told.has(variable),
                why="what is in that pool would be lost to OpenStack",
                advice="name that pool in the site file; another one is another backend",
            )


def _own_pool(told: _Told, mine: Sequence[Binding]) -> bool:
    """Whether the first one's item in a list says its pool itself."""
    return any(
        "pool" in there
        for name, table in told.form.lists.items()
        if mine and table["service"] == mine[0].service.key
        for there in _items(told.globals.get(name))
        if there.get("name") == mine[0].section
    )


def _refuse_places(told: _Told) -> None:
    """An item of a list that is in use stays where it is: so does what is stored there."""
    for name, items in _wanted_lists(told).items():
        there = {one.get("name"): one for one in _items(told.globals.get(name))}
        for item in items:
            found = there.get(item["name"], {})
            for key in ("cluster", "pool"):
                if key in item and key in found and not _is(found[key], item[key]):
                    raise Refused(
                        host=told.host,
                        subject=told.path(told.own.globals),
                        expected=f"{name}, {item['name']}: {key}: {item[key]}",
                        found=str(found[key])[:80],
                        why="what is stored there would be lost to OpenStack",
                        advice=f"name that {key} in the site file; another one is another item",
                    )


def _refuse_backups(told: _Told) -> None:
    """Kolla deploys cinder-backup unless told otherwise, and wants a keyring for it."""
    there = told.has("enable_cinder_backup"), told.has("cinder_backup_driver")
    if option_values.equal(BOOLEAN, there[0], "yes") and there[1] == "ceph":
        raise Refused(
            host=told.host,
            subject=told.path(told.own.globals),
            expected='[cinder.backup] in the site file, or enable_cinder_backup: "no"',
            found="neither",
            why=f"{told.own.name} deploys cinder-backup with Ceph's driver where nothing is said, "
            "and stops without a keyring for it",
            advice="decide on one of the two (docs/volume-backups.md)",
        )


def _refuse_later(told: _Told) -> None:
    """Variables of ours in a file that counts more than globals.yml, or in one that counts less."""
    ours = _variables(told.own) - {*told.own.uuids.values()}
    if named := sorted(ours & told.in_inventory - {*told.globals}):
        raise Refused(
            host=told.host,
            subject=_inventory(told.site),
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


# What is written


def _attributes(seen: Json, mode: str) -> dict[str, str]:
    return {"owner": seen["owner"], "group": seen["group"], "mode": mode}


def _change(told: _Told, path: str, sentence: str, sign: str, args: Json, diff: Any) -> Change:  # noqa: PLR0913, PLR0917
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


def _content(told: _Told, path: str, old: str, new: str) -> list[Any]:
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


def _made_folders(told: _Told) -> Iterator[Change]:
    owned = _attributes(told.seen[_GLOBALS], "0755")
    for path in _folders(told.site, told.own):
        if told.seen[path] is None:
            yield _change(told, path, "make", "+", {**owned, "kind": "folder"}, ())


def _globals(told: _Told) -> Iterator[Change]:
    """The variables that are not as they are to be."""
    values, lists = _wanted_values(told), _wanted_lists(told)
    values = {name: new for name, new in values.items() if not _is(told.said(name), new)}
    for name, items in lists.items():
        there = {one.get("name"): one for one in _items(told.globals.get(name))}
        lists[name] = [one for one in items if not _has_all(there.get(one["name"], {}), one)]
    lists = {name: items for name, items in lists.items() if items}
    if not values and not lists:
        return
    seen, path = told.seen[_GLOBALS], told.path(told.own.globals)
    try:
        text = yaml_text.altered(seen["text"], values, lists)
    except ValueError as error:
        raise told._unreadable(str(error)) from None
    args = {
        **_attributes(seen, seen["mode"]),
        "content": _content(told, path, seen["text"], text),
        "before": seen["sha256"],
    }
    sentence = f"set {', '.join([*values, *lists])}"
    yield _change(told, path, sentence, "~", args, ceph_conf.changed(seen["text"], text))


def _wanted_values(told: _Told) -> dict[str, str]:
    """Of each service, what its first binding says; Nova's where its own disks are on RBD."""
    found: dict[str, str] = {}
    for key, table in told.form.globals.items():
        mine = told.default_first(key)
        if mine and (key != "nova" or told.site.nova.ephemeral):
            found |= {name: text.format(**told.words(mine[0])) for name, text in table.items()}
    return found | dict.fromkeys(_kept(told), "yes")


def _kept(told: _Told) -> list[str]:
    """Variables that would turn off by themselves, with what is stored by them."""
    return [
        name
        for name, switch in told.own.keeps.items()
        if not told.said(name) and not _is(told.said(switch), "yes")
    ]


def _wanted_lists(told: _Told) -> dict[str, list[dict[str, Json]]]:
    """The default store first: that is Kolla's own rule for a new list."""
    found = {}
    for name, table in told.form.lists.items():
        mine = told.default_first(table["service"])
        found[name] = [
            {
                key: value.format(**told.words(one)) if isinstance(value, str) else value
                for key, value in table["item"].items()
            }
            for one in mine
        ]
    return found


def _items(found: Json) -> list[Mapping[str, Json]]:
    """The items of a list that are known by a name."""
    items = found if isinstance(found, list) else []
    return [one for one in items if isinstance(one, Mapping) and isinstance(one.get("name"), str)]


def _has_all(found: Mapping[str, Json], wanted: Mapping[str, Json]) -> bool:
    return all(_is(found.get(key), value) for key, value in wanted.items())


def _is(found: Json, wanted: Json) -> bool:
    """Whether a scalar, as it is written, is what it is to be."""
    if type(found) is not str:
        return False
    is_flag = wanted is True or wanted == "yes"
    return option_values.equal(BOOLEAN if is_flag else TEXT, found, "yes" if is_flag else wanted)


def _passwords(told: _Told) -> Iterator[Change]:
    """A secret's UUID that is not there yet; nothing else of the file leaves its host."""
    seen, path = told.seen[_PASSWORDS], told.path(told.own.passwords)
    text = seen["text"]
    for name, uuid in told.uuids.items():
        if _uuid_in(text, name, told.host, path):
            continue
        text = _with_uuid(text, name, uuid)
    if text == seen["text"]:
        return
    args = {
        **_attributes(seen, seen["mode"]),
        "content": _content(told, path, seen["text"], text),
        "before": seen["sha256"],
    }
    new = [line for line in ceph_conf.changed(seen["text"], text) if line.startswith("+")]
    yield _change(told, path, f"set {', '.join(told.uuids)}", "~", args, new)


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


def _below_config(told: _Told) -> Iterator[Change]:
    """Each file once, whichever services share it."""
    done: set[str] = set()
    for one in told.site.handed:
        for path, make in _files_of(told, one):
            if path not in done:
                done.add(path)
                yield from make(told, one, path)


def _files_of(told: _Told, one: Binding) -> Iterator[tuple[str, Any]]:
    yield _conf(told.own, one), _ceph_conf
    if _opens(one):
        yield _keyring(told.own, one), _keyring_file
    yield told.own.overrides[one.service.key][-1], _override


def _ceph_conf(told: _Told, one: Binding, path: str) -> Iterator[Change]:
    part = told.site.part(one.cluster.label)
    seen = cluster.seen(part, by_cluster.facts_of(part, told.facts))
    found = told.seen[f"config/{path}"]
    mine = [b for b in told.site.handed if b.cluster.label == one.cluster.label]
    monitors = ceph_conf.Monitors(seen, seen.monitors)
    whole = told.path(f"config/{path}")
    options = ceph_conf.of_clients(part, mine)
    text = ceph_conf.text_of(told.host, whole, found, monitors, options)
    old = found["text"] if found else ""
    if text == old:
        return
    owned = (
        _attributes(found, found["mode"]) if found else _attributes(told.seen[_GLOBALS], _CONF_MODE)
    )
    args = {
        **owned,
        "content": ceph_conf.parts(old, text),
        "before": found["sha256"] if found else None,
    }
    sentence = "monitors of the live monitor map" if found else "write, for its services"
    yield _change(told, whole, sentence, "~" if found else "+", args, ceph_conf.changed(old, text))


def _keyring_file(told: _Told, one: Binding, path: str) -> Iterator[Change]:
    part, found = told.site.part(one.cluster.label), told.seen[f"config/{path}"]
    users = cluster.seen(part, by_cluster.facts_of(part, told.facts)).users
    key = users.get(f"client.{one.client}", {}).get("key")
    if (
        found
        and key
        and (found["text"].startswith(_VAULT) or keyrings.held(found["text"], one.client) == key)
    ):
        return
    owned = _attributes(found or told.seen[_PASSWORDS], found["mode"] if found else _KEYRING_MODE)
    args = {
        **owned,
        "content": [f"[client.{one.client}]\n\tkey = ", Ref(key_of(one.cluster, one.client)), "\n"],
        "before": found["sha256"] if found else None,
    }
    diff = [f"+ key {key or '(made during the run)'}"]
    sentence = f"write the key of client.{one.client}"
    yield _change(told, told.path(f"config/{path}"), sentence, "~" if found else "+", args, diff)


def _override(told: _Told, one: Binding, path: str) -> Iterator[Change]:
    """What the release's tables want, and the deployer does not make by itself."""
    key = one.service.key
    mine = told.written(key)
    if not mine:
        return
    known = {
        f"{b.cluster.tag}{secret_uuid.known_as(b.client)}": told.uuid_of(b) for b in told.of(key)
    }
    facts = replace(told.facts, known={**told.facts.known, **known})
    now = {**_rendered(told, mine), **_overridden(told, key)}
    lacking = ServiceConfig(one.service).beside(told.site, facts, mine, now)
    if not lacking:
        return
    _refuse_other_backends(told, lacking, now)
    seen, whole = told.seen[f"config/{path}"], told.path(f"config/{path}")
    edits = [[*at, option.value] for at, option in lacking.items()]
    diff = [line for s, k, v in edits for line in _diff(s, k, now.get((same(s), k)), v)]
    sentence = f"set {', '.join(f'{section}.{name}' for section, name, _ in edits)}"
    if seen:
        args = {"edits": edits, "before": seen["sha256"]}
        yield _change(told, whole, sentence, "~", args, diff)
        return
    owned = _attributes(told.seen[_GLOBALS], _CONF_MODE)
    args = {**owned, "content": [_as_file(edits)], "before": None}
    yield _change(told, whole, sentence, "+", args, diff)


def _diff(section: str, key: str, old: str | None, new: str) -> Iterator[str]:
    if old is not None:
        yield f"- [{section}] {key} = {old}"
    yield f"+ [{section}] {key} = {new}"


def _as_file(edits: Sequence[Sequence[str]]) -> str:
    sections: dict[str, list[str]] = {}
    for section, key, value in edits:
        sections.setdefault(section, []).append(f"{key} = {value}\n")
    return "\n".join(f"[{name}]\n{''.join(lines)}" for name, lines in sections.items())


def _rendered(told: _Told, mine: Sequence[Binding]) -> dict[tuple[str, str], str]:
    """What the deployer writes into a service's file by itself, once it is told."""
    if mine[0].service == services.NOVA_COMPUTE and not told.site.nova.ephemeral:
        return {}
    return {
        (same(section.format(**words)), key): text.format(**words)
        for words in map(told.words, mine)
        for section, options in told.form.renders.get(mine[0].service.key, {}).items()
        for key, text in options.items()
    }


def _overridden(told: _Told, key: str) -> dict[tuple[str, str], str]:
    """What is laid over that, whoever wrote it; the last one counts."""
    return {
        (same(section), name): value
        for path in told.own.overrides[key]
        for section, name, value in (told.seen[f"config/{path}"] or {}).get("active", ())
    }


def _refuse_other_backends(told: _Told, lacking: Mapping[Any, Any], now: Mapping[Any, str]) -> None:
    """An own list of backends would set the deployer's other ones aside, whose names it has."""
    if told.form.lists or ("DEFAULT", "enabled_backends") not in lacking:
        return
    on = [name for name in told.globals if _is(told.has(name), "yes")]
    others = [
        name
        for name in (*on, *told.later, *(told.in_inventory - {*told.globals}))
        if re.fullmatch(_OTHER_BACKENDS, name) and name != told.own.switches["cinder"][0]
    ]
    path = told.own.overrides["cinder"][-1]
    if others and told.has("enabled_backends") == "" and not _lists_backends(told):
        raise Refused(
            host=told.host,
            subject=told.path(f"config/{path}"),
            expected="enabled_backends in [DEFAULT], with all of the cloud's backends",
            found=f"none, and {', '.join(sorted(others))} in {told.own.globals}",
            why="a second backend on Ceph needs the whole list there in this release",
            advice=f"write it there: those that are enabled, and "
            f"{now['DEFAULT', 'enabled_backends']}; this task adds the others on Ceph",
        )


def _lists_backends(told: _Told) -> bool:
    return ("DEFAULT", "enabled_backends") in _overridden(told, "cinder")


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """What a person does then: the deployer's own command puts it onto the hosts."""
    mine = [change for change in changes if change.kind == KIND]
    told = _told(site, facts)
    if not told:
        return []
    sealed = _sealed_keyrings(told)
    if not mine:
        return sealed
    words = [word.format(inventory=_inventory(site)) for word in told.form.command]
    found = [
        *sealed,
        f"{told.host}: no host of the cloud is touched and nothing is restarted: then run "
        f"{shlex.join(words)} there, and {INV} verify",
    ]
    if kept := _kept(told):
        found.append(
            f"{told.host}: {', '.join(kept)}: images that are there stay readable; Kolla runs one "
            'glance-api for as long as it is on: say "no" once none is left there'
        )
    switch = told.own.switches["nova"][0]
    if site.nova.ephemeral and not _is(told.has(switch), "yes"):
        found.append(
            f"{told.host}: {switch}: disks of new instances are on Ceph from then on; an instance "
            "whose disks are on a compute does not start from there again: move it first"
        )
    return found


def _sealed_keyrings(told: _Told) -> list[str]:
    paths = {_keyring(told.own, one): one for one in told.site.handed if _opens(one)}
    return [
        f"{told.host}: {told.path(f'config/{path}')}: Ansible Vault has encrypted it, and it stays "
        f"as it is: that it has the key of client.{one.client} is yours to see to"
        for path, one in paths.items()
        if (found := told.seen[f"config/{path}"]) and found["text"].startswith(_VAULT)
    ]


RESOURCE = Resource("hosts.deployer", reads, plan, notes)
