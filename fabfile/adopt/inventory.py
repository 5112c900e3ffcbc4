"""Ansible's inventories, INI and YAML: which hosts there are, and in which groups; Kolla's too.

Reads names, addresses and groups; no variable but those by which a host is reached, no template,
no script.  Source: docs.ansible.com, How to build your inventory (the 'ini' and 'yaml' plugins).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fabfile.core.contract import BadInput, Json

MOST_GROUPS = 2_000
MOST = 20_000
"""Hosts of an inventory, patterns written out."""
_DEEPEST = 64
_SECTION = re.compile(r"\[\s*([^:\]\s]+)\s*(?::\s*(\w+))?\s*\]\s*(?:[#;].*)?")
_RANGE = re.compile(r"\[(\d+|[A-Za-z]):(\d+|[A-Za-z])(?::(\d+))?\]")
_YAML = re.compile(r"(?m)\A(?:\s*(?:#.*)?\n)*(?:---|[\w.-]+:\s*(?:#.*)?$|\{)")
_REACHED = {
    "address": ("ansible_host", "ansible_ssh_host"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "connection": ("ansible_connection",),
}
Vars = dict[str, str]


@dataclass(frozen=True)
class Listed:
    """A host of an inventory; groups: all that it is in, the outer ones too, in small letters with
    hyphens.  address, user, port: as Ansible reaches it, '' where nobody says."""

    name: str
    groups: frozenset[str]
    address: str = ""
    user: str = ""
    port: str = ""


@dataclass
class _Group:
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    vars: Vars = field(default_factory=dict)


@dataclass
class _Tree:
    groups: dict[str, _Group] = field(default_factory=dict)
    vars: dict[str, Vars] = field(default_factory=dict)
    visits: int = 0

    def group(self, name: str) -> _Group:
        if name not in self.groups and len(self.groups) >= MOST_GROUPS:
            raise BadInput(f"expected at most {MOST_GROUPS} groups, found more")
        return self.groups.setdefault(name, _Group())

    def below(self, group: str, child: str) -> None:
        """Puts one group below another."""
        self.group(group).children[child] = None
        self.group(child)

    def add(self, group: str, pattern: str, given: Vars) -> None:
        for name in _written_out(pattern):
            self.group(group).hosts[name] = None
            self.vars.setdefault(name, {}).update(given)
            if len(self.vars) > MOST:
                raise BadInput(f"expected at most {MOST} hosts, found more")


def parsed(text: str, where: str) -> list[Listed]:
    """The hosts, in their order.  Raises BadInput, where: the inventory's file."""
    try:
        tree = _yaml(text) if _is_yaml(text, where) else _ini(text)
        return list(_listed(tree))
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None


def _is_yaml(text: str, where: str) -> bool:
    return where.endswith((".yml", ".yaml", ".json")) or bool(_YAML.match(text))


def _listed(tree: _Tree) -> Iterator[Listed]:
    inside: dict[str, list[str]] = {}
    for name in tree.groups:
        for host in _hosts_of(tree, name):
            inside.setdefault(host, []).append(name)
    for host, given in tree.vars.items():
        groups = sorted(inside.get(host, ()), key=lambda name: name != "all")
        known: Vars = {}
        for name in groups:
            known |= tree.groups[name].vars
        reached = {what: _said(names, {**known, **given}) for what, names in _REACHED.items()}
        if reached.pop("connection") != "local":
            yield Listed(host, frozenset(map(_plain, groups)), **reached)


def _hosts_of(tree: _Tree, name: str) -> dict[str, None]:
    """A group's hosts and those of the groups below it; a group may be below itself."""
    if name == "all":
        return dict.fromkeys(tree.vars)
    found: dict[str, None] = {}
    looked, ahead = set(), [name]
    while ahead:
        group = ahead.pop()
        if group not in looked:
            looked.add(group)
            found |= tree.groups[group].hosts
            ahead += tree.groups[group].children
    return found


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _said(names: tuple[str, ...], given: Mapping[str, str]) -> str:
    """A variable's value; what is a template is not known here."""
    text = next((given[name] for name in names if given.get(name)), "")
    return "" if "{{" in text else text


def _written_out(pattern: str) -> Iterator[str]:
    """The names of 'compute[01:20]'."""
    match = _RANGE.search(pattern)
    if not match:
        yield pattern
        return
    first, last, step = match[1], match[2], int((match[3] or "1")[:6]) or 1
    if first.isdigit() != last.isdigit() or len(first) > 9 or len(last) > 9:
        raise BadInput(f"{pattern[:80]!r}: expected a range as [01:20] or [a:f]")
    if first.isdigit():
        span = range(int(first), int(last) + 1, step)
        inner = [str(number).zfill(len(first)) for number in span[:MOST]]
    else:
        inner = [chr(number) for number in range(ord(first), ord(last) + 1, step)]
    for word in inner:
        yield from _written_out(pattern[: match.start()] + word + pattern[match.end() :])


# INI


def _ini(text: str) -> _Tree:
    tree, group, kind = _Tree(), "ungrouped", ""
    for number, whole in enumerate(text.splitlines(), 1):
        line = whole.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            match = _SECTION.fullmatch(line)
            if not match or match[2] not in (None, "children", "vars"):
                raise BadInput(f"line {number}: expected [GROUP], found {line[:80]!r}")
            group, kind = match[1], match[2] or ""
            tree.group(group)
            continue
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise BadInput(f"line {number}: {error}") from None
        _line(tree, group, kind, words, line)
    return tree


def _line(tree: _Tree, group: str, kind: str, words: list[str], line: str) -> None:
    if kind == "vars":
        name, _, value = line.partition("=")
        tree.group(group).vars[name.strip()] = value.strip().strip("'\"")
    elif words and kind == "children":
        tree.below(group, words[0])
    elif words:
        pairs = (word.partition("=") for word in words[1:])
        tree.add(group, words[0], {name: value for name, _, value in pairs})


# YAML


def _yaml(text: str) -> _Tree:
    import yaml  # noqa: PLC0415 (start-up time)

    class Loader(yaml.SafeLoader):  # type: ignore[misc] # PyYAML has no types
        """Whatever has a tag of its own, as a vault's secrets do, is none of ours."""

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    try:
        found = yaml.load(text, Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Its own sentence quotes the line, in which a password may be.
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        what = getattr(error, "problem", None) or type(error).__name__
        raise BadInput(f"{line}expected YAML: {what}") from None
    tree = _Tree()
    for name, group in _table(found, "an inventory").items():
        _group(tree, str(name), group, 0)
    return tree


def _group(tree: _Tree, name: str, told: Json, depth: int) -> None:
    tree.visits += 1  # an anchor may stand for a table of anchors, and so on
    if depth > _DEEPEST or tree.visits > MOST:
        raise BadInput(f"{name[:80]}: expected fewer groups in each other")
    table, group = _table(told, f"group {name[:80]}"), tree.group(name)
    group.vars |= _vars(table.get("vars"))
    hosts = table.get("hosts")
    named = {hosts: None} if isinstance(hosts, str) else _table(hosts, "hosts")
    for host, given in named.items():
        tree.add(name, str(host), _vars(given))
    for child, below in _table(table.get("children"), "children").items():
        tree.below(name, str(child))
        _group(tree, str(child), below, depth + 1)


def _table(told: Json, what: str) -> dict[Json, Json]:
    if told is None:
        return {}
    if not isinstance(told, dict):
        raise BadInput(f"{what}: expected a table, found {type(told).__name__}")
    return told


def _vars(told: Json) -> Vars:
    given = told if isinstance(told, dict) else {}
    wanted = {name for names in _REACHED.values() for name in names}
    return {k: str(v) for k, v in given.items() if k in wanted and isinstance(v, (str, int))}
