"""Findings about options that no resource sets: dead or unsafe ones, odd UUIDs, old stores.

Which are dead or unsafe in which release is data (config/hazards.toml).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fabfile.core.contract import Json, Seen
from fabfile.doctor.finding import NOTE, RESTART_ALL, WARNING, Finding, Step, root, words
from fabfile.doctor.observation import Looked
from fabfile.model import services
from fabfile.model.option_values import items
from fabfile.model.site import Site
from fabfile.resources import in_force, sed
from fabfile.resources.service_config import OLD_DATADIR, OLD_STORES

SERVICES = ("glance", "cinder", "cinder.backup", "nova")


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them."""
    for host, seen in looked.facts.hosts.items():
        for service in in_force.apart(seen, SERVICES):
            found = _said(site, host, service, seen)
            yield from _hazards(looked, services.called(service).project, found)
            yield from _upper_case(found)
        if seen.get("glance.conf") and (seen.get("glance.files") or {}).get("out"):
            yield from _file_store(host, _file(site, host, "glance"), _in_force(seen))
        yield from _ceph_args(site, looked, host, seen)


def _in_force(seen: Seen) -> Mapping[str, Mapping[str, str]]:
    """What glance-api has of its options, whoever says it."""
    return in_force.by_section(in_force.options(seen, "glance"))


def _file(site: Site, host: str, service: str) -> str:
    return str(site.platform_of(site.host(host)).file(services.called(service)))


@dataclass(frozen=True)
class _Option:
    """An option that is in force on a host; where: as a person is told."""

    host: str
    unit: str
    where: str
    said: in_force.Said

    @property
    def place(self) -> str:
        """Where it is said, as a finding's thing."""
        return f"{self.where} [{self.said.section}]" if self.said.source.is_file else self.where

    def mended(self, new: str | None) -> Step:
        """Gives it another value, or takes it out."""
        section, key = self.said.section, self.said.key
        if not self.said.source.is_file:
            then = f"set {self.where}={new} in" if new else f"take {self.where} out of"
            return words(
                f"{then} the environment of {self.unit} (its unit, or a file that it names)"
            )
        if new:
            return root(sed.setting(self.where, section, key, new))
        return root(sed.without(self.where, section, key))


def _said(site: Site, host: str, service: str, seen: Seen) -> list[_Option]:
    """What a service has of its options: in its own file or wherever else it reads them."""
    unit = site.platform_of(site.host(host)).unit(services.called(service))
    own = in_force.Source(_file(site, host, service), ())
    told = in_force.said(seen, service)
    told = [one if one.source.name else replace(one, source=own) for one in told]
    return [_Option(host, unit, one.source.name, one) for one in told]


def _hazards(looked: Looked, service: str, found: Sequence[_Option]) -> Iterator[Finding]:
    told = in_force.by_section(
        {(in_force.same(one.said.section), one.said.key): one.said.value for one in found}
    )
    for hazard in looked.hazards:
        if hazard["service"] != service or not _in_release(hazard, looked):
            continue
        if "beside" in hazard and not _is_beside(hazard["beside"], told):
            continue
        for one in found:
            section = in_force.same(one.said.section)
            if one.said.key != hazard["key"] or hazard["section"] not in ("*", section):
                continue
            if re.fullmatch(hazard.get("value", ".*"), one.said.value, re.S):
                yield _hazard(one, hazard)


def _is_beside(other: str, told: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether the other option is set; its value is compared as it stands, as a choice is."""
    name, equals, wanted = other.partition(" = ")
    section, _, key = name.partition(".")
    value = told.get(section, {}).get(key, "")
    return value == wanted if equals else bool(value)


def _hazard(one: _Option, hazard: Mapping[str, Json]) -> Finding:
    key, new = hazard["key"], hazard.get("set")
    steps: tuple[Step, ...] = (one.mended(new),)
    if hazard["severity"] != NOTE:
        steps += (RESTART_ALL,)
    return Finding(
        hazard["severity"],
        f"option.{key}",
        (one.host,),
        one.place,
        f"{key} = {one.said.value}",
        f"{key} = {new}" if new else f"no {key}",
        hazard["cause"],
        steps,
    )


def _in_release(hazard: Mapping[str, Json], looked: Looked) -> bool:
    """Whether the site's release is one of the hazard's; not, where it is not known."""
    if "since" not in hazard and "until" not in hazard:
        return True
    if looked.release not in looked.releases:
        return False
    at = looked.releases.index
    first = at(hazard["since"]) if "since" in hazard else 0
    last = at(hazard["until"]) if "until" in hazard else len(looked.releases)
    return first <= at(looked.release) <= last


def _upper_case(found: Iterable[_Option]) -> Iterator[Finding]:
    for one in found:
        uuid = one.said.value if one.said.key == "rbd_secret_uuid" else ""
        if uuid != uuid.lower() and re.fullmatch(r"[0-9a-fA-F-]{36}", uuid):
            yield Finding(
                NOTE,
                "uuid.upper",
                (one.host,),
                one.place,
                f"rbd_secret_uuid = {uuid}",
                f"rbd_secret_uuid = {uuid.lower()}",
                "OpenStack and libvirt read it alike; tools that compare text take it for another",
                (one.mended(uuid.lower()),),
            )


def _file_store(host: str, path: str, told: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """Images in files, and no store in force that reads files."""
    enabled = told.get("DEFAULT", {}).get("enabled_backends")
    stores = told.get("glance_store", {}).get("stores", OLD_STORES)
    kinds = (
        [part.partition(":")[2].strip() for part in enabled.split(",")]
        if enabled
        else [part.strip() for part in stores.split(",")]
    )
    if {"file", "filesystem", "glance.store.filesystem.Store"} & set(kinds):
        return
    steps = []
    if enabled and "file" in [in_force.same(one.partition(":")[0]) for one in items(enabled)]:
        steps = [words("name a store of kind file, and a name that no other store has")]
    elif enabled:
        steps = [root(sed.setting(path, "DEFAULT", "enabled_backends", f"{enabled},file:file"))]
        if "file" not in told:
            datadir = f"filesystem_store_datadir = {OLD_DATADIR}"
            steps.append(root(sed.appended(path, "[file]", datadir)))
    else:
        steps = [root(sed.setting(path, "glance_store", "stores", f"{stores},file"))]
    yield Finding(
        WARNING,
        "glance.files",
        (host,),
        path,
        f"images in {OLD_DATADIR}, no store for files",
        "a file store beside the RBD store",
        "the older images cannot be read any more",
        (*steps, RESTART_ALL),
    )


def _ceph_args(site: Site, looked: Looked, host: str, seen: Seen) -> Iterator[Finding]:
    """Grizzly's CEPH_ARGS: needless since, and appended again and again by some tools."""
    lines = (seen.get("cinder.defaults") or {}).get("out", "").splitlines()
    live = [line for line in lines if not re.match(r"\d+:\s*#", line)]
    if live and looked.release != "grizzly":
        path = site.platform_of(site.host(host)).environment[services.CINDER_VOLUME.name]
        yield Finding(
            NOTE,
            "ceph.args",
            (host,),
            path,
            f"CEPH_ARGS in {len(live)} lines",
            "none",
            "needed by Grizzly alone: since Havana the driver names its user itself",
            (root(sed.edit("/CEPH_ARGS/d", path)),),
        )
