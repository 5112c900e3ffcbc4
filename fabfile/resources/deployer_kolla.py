"""Kolla-Ansible's input: its variables, and overrides of what its templates do not say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from fabfile.core.contract import Change, Json, Refused
from fabfile.model import option_values, services
from fabfile.model.deployment import Binding
from fabfile.model.option_values import BOOLEAN
from fabfile.resources import secret_uuid
from fabfile.resources.deployer_files import (
    CONF_MODE,
    GLOBALS,
    Maker,
    Told,
    Variables,
    attributes,
    beyond,
    change,
    filled,
    is_value,
    items_of,
    lacking_of,
    refuse_clusters,
    refuse_logins,
    rendered,
    wanted_values,
)
from fabfile.resources.in_force import same

_OTHER_BACKENDS = r"(enable_)?cinder_backend_\w+"


class Kolla(Told):
    """Kolla-Ansible's globals.yml, passwords.yml and config/."""

    @cached_property
    def uuids(self) -> Mapping[str, str]:
        """Nova's own, and one for all volumes."""
        found = {}
        cinder = self.written("cinder")[0]
        new = self.fsid_of(cinder).lower()
        found[self.own.uuids["cinder"]] = self.uuid_named("cinder", cinder, new)
        if self.site.nova.ephemeral:
            nova = self.written("nova")[0]
            new = secret_uuid.derived(nova.client, self.fsid_of(nova))
            found[self.own.uuids["nova"]] = self.uuid_named("nova", nova, new)
        return found

    def uuid_of(self, one: Binding) -> str:
        own = one.service == services.NOVA_COMPUTE and self.site.nova.ephemeral and one.section
        return self.uuids[self.own.uuids["nova" if own else "cinder"]]

    def refuse(self) -> None:
        _refuse(self)

    def wanted(self) -> Variables:
        values = wanted_values(self) | dict.fromkeys(_kept(self), "yes")
        return Variables(values, _wanted_lists(self), {})

    def files_of(self, one: Binding) -> Iterator[tuple[str, Maker]]:
        yield from super().files_of(one)
        yield self.own.overrides[one.service.key][-1], _override

    def notes(self, changes: Sequence[Change]) -> list[str]:
        found = []
        if kept := _kept(self):
            found.append(
                f"{self.host}: {', '.join(kept)}: images that are there stay readable; Kolla runs "
                'one glance-api for as long as it is on: say "no" once none is left there'
            )
        switch = self.own.switches["nova"][0]
        if self.site.nova.ephemeral and not is_value(self.has(switch), "yes"):
            found.append(self.disks_move(switch))
        return found


def _refuse(told: Told) -> None:
    """Raises BadInput for what no file of its own makes it do."""
    site, own = told.site, told.own
    others = [one for one in site.handed if one.service != services.NOVA_COMPUTE]
    refuse_clusters(told, [*others, *(told.written("nova") if site.nova.ephemeral else [])])
    refuse_logins(told)
    volumes = told.written("cinder")[0].cluster.label
    for key, wanted in (("nova", site.nova.ephemeral), ("cinder.backup", True)):
        for one in told.written(key) if wanted else ():
            if one.cluster.label != volumes:
                raise beyond(told, f"{key} on the cluster of Cinder's backends", one.cluster.label)
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


def _refuse_nova(told: Told) -> None:
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


def _refuse_pools(told: Told) -> None:
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


def _own_pool(told: Told, mine: Sequence[Binding]) -> bool:
    """Whether the first one's item in a list says its pool itself."""
    return any(
        "pool" in there
        for name, table in told.form.lists.items()
        if mine and table["service"] == mine[0].service.key
        for there in items_of(told.globals.get(name))
        if there.get("name") == mine[0].section
    )


def _refuse_places(told: Told) -> None:
    """An item of a list that is in use stays where it is: so does what is stored there."""
    for name, items in _wanted_lists(told).items():
        there = {one.get("name"): one for one in items_of(told.globals.get(name))}
        for item in items:
            found = there.get(item["name"], {})
            for key in ("cluster", "pool"):
                if key in item and key in found and not is_value(found[key], item[key]):
                    raise Refused(
                        host=told.host,
                        subject=told.path(told.own.globals),
                        expected=f"{name}, {item['name']}: {key}: {item[key]}",
                        found=str(found[key])[:80],
                        why="what is stored there would be lost to OpenStack",
                        advice=f"name that {key} in the site file; another one is another item",
                    )


def _refuse_backups(told: Told) -> None:
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


def _override(told: Told, one: Binding, path: str) -> Iterator[Change]:
    """What the release's tables want, and the deployer does not make by itself."""
    key = one.service.key
    mine = told.written(key)
    if not mine:
        return
    now = {**_rendered(told, mine), **_overridden(told, key)}
    lacking = lacking_of(told, mine, now)
    if not lacking:
        return
    _refuse_other_backends(told, lacking, now)
    seen, whole = told.there(path), told.below(path)
    edits = [[*at, option.value] for at, option in lacking.items()]
    diff = [line for s, k, v in edits for line in _diff(s, k, now.get((same(s), k)), v)]
    sentence = f"set {', '.join(f'{section}.{name}' for section, name, _ in edits)}"
    if seen:
        args = {"edits": edits, "before": seen["sha256"]}
        yield change(told, whole, sentence, "~", args, diff)
        return
    owned = attributes(told.seen[GLOBALS], CONF_MODE)
    args = {**owned, "content": [_as_file(edits)], "before": None}
    yield change(told, whole, sentence, "+", args, diff)


def _diff(section: str, key: str, old: str | None, new: str) -> Iterator[str]:
    if old is not None:
        yield f"- [{section}] {key} = {old}"
    yield f"+ [{section}] {key} = {new}"


def _as_file(edits: Sequence[Sequence[str]]) -> str:
    sections: dict[str, list[str]] = {}
    for section, key, value in edits:
        sections.setdefault(section, []).append(f"{key} = {value}\n")
    return "\n".join(f"[{name}]\n{''.join(lines)}" for name, lines in sections.items())


def _rendered(told: Told, mine: Sequence[Binding]) -> dict[tuple[str, str], str]:
    """What the deployer writes into a service's file by itself, once it is told."""
    if mine[0].service == services.NOVA_COMPUTE and not told.site.nova.ephemeral:
        return {}
    return rendered(told, mine)


def _overridden(told: Told, key: str) -> dict[tuple[str, str], str]:
    """What is laid over that, whoever wrote it; the last one counts."""
    return {
        (same(section), name): value
        for path in told.own.overrides[key]
        for section, name, value in (told.there(path) or {}).get("active", ())
    }


def _refuse_other_backends(told: Told, lacking: Mapping[Any, Any], now: Mapping[Any, str]) -> None:
    """An own list of backends would set the deployer's other ones aside, whose names it has."""
    if told.form.lists or ("DEFAULT", "enabled_backends") not in lacking:
        return
    on = [name for name in told.globals if is_value(told.has(name), "yes")]
    others = [
        name
        for name in (*on, *told.later, *(told.in_inventory - {*told.globals}))
        if re.fullmatch(_OTHER_BACKENDS, name) and name != told.own.switches["cinder"][0]
    ]
    path = told.own.overrides["cinder"][-1]
    if others and told.has("enabled_backends") == "" and not _lists_backends(told):
        raise Refused(
            host=told.host,
            subject=told.below(path),
            expected="enabled_backends in [DEFAULT], with all of the cloud's backends",
            found=f"none, and {', '.join(sorted(others))} in {told.own.globals}",
            why="a second backend on Ceph needs the whole list there in this release",
            advice=f"write it there: those that are enabled, and "
            f"{now['DEFAULT', 'enabled_backends']}; this task adds the others on Ceph",
        )


def _lists_backends(told: Told) -> bool:
    return ("DEFAULT", "enabled_backends") in _overridden(told, "cinder")


def _kept(told: Told) -> list[str]:
    """Variables that would turn off by themselves, with what is stored by them."""
    return [
        name
        for name, switch in told.own.keeps.items()
        if not told.said(name) and not is_value(told.said(switch), "yes")
    ]


def _wanted_lists(told: Told) -> dict[str, list[dict[str, Json]]]:
    """The default store first: that is Kolla's own rule for a new list."""
    found = {}
    for name, table in told.form.lists.items():
        mine = told.default_first(table["service"])
        found[name] = [filled(table["item"], told.words(one)) for one in mine]
    return found
