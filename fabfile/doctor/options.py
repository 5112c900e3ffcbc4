"""Findings about options that no resource sets: dead or unsafe ones, odd UUIDs, old stores.

Which are dead or unsafe in which release is data (config/hazards.toml).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from fabfile.core.contract import Json, Seen
from fabfile.doctor.finding import NOTE, RESTART_ALL, WARNING, Finding, Step, root
from fabfile.doctor.observation import Looked
from fabfile.doctor.secret_holders import sections
from fabfile.model import services
from fabfile.model.site import Site
from fabfile.resources import in_force, sed
from fabfile.resources.service_config import OLD_DATADIR, OLD_STORES

SERVICES = ("glance", "cinder", "nova")


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them."""
    for host, seen in looked.facts.hosts.items():
        for service in SERVICES:
            conf = seen.get(f"{service}.conf")
            if conf:
                path = _file(site, host, service)
                yield from _hazards(looked, host, service, path, conf)
                yield from _upper_case(host, path, conf)
        if seen.get("glance.conf") and (seen.get("glance.files") or {}).get("out"):
            yield from _file_store(host, _file(site, host, "glance"), _in_force(seen))
        yield from _ceph_args(site, looked, host, seen)


def _in_force(seen: Seen) -> Mapping[str, Mapping[str, str]]:
    """What glance-api has of its options, whoever says it."""
    return in_force.by_section(in_force.options(seen, "glance"))


def _file(site: Site, host: str, service: str) -> str:
    return str(site.platform_of(site.host(host)).file(services.called(service)))


def _hazards(looked: Looked, host: str, service: str, path: str, conf: Json) -> Iterator[Finding]:
    told = sections(conf)
    for hazard in looked.hazards:
        if hazard["service"] != service or not _in_release(hazard, looked):
            continue
        if "beside" in hazard and not _is_beside(hazard["beside"], told):
            continue
        for section, options in told.items():
            value = options.get(hazard["key"])
            if value is None or hazard["section"] not in ("*", section):
                continue
            if re.fullmatch(hazard.get("value", ".*"), value, re.S):
                yield _hazard(host, path, section, value, hazard)


def _is_beside(other: str, told: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether the other option is set; its value is compared as it stands, as a choice is."""
    name, equals, wanted = other.partition(" = ")
    section, _, key = name.partition(".")
    value = told.get(section, {}).get(key, "")
    return value == wanted if equals else bool(value)


def _hazard(host: str, path: str, section: str, value: str, hazard: Mapping[str, Json]) -> Finding:
    key = hazard["key"]
    new = hazard.get("set")
    command = sed.setting(path, section, key, new) if new else sed.without(path, section, key)
    steps: tuple[Step, ...] = (root(command),)
    if hazard["severity"] != NOTE:
        steps += (RESTART_ALL,)
    return Finding(
        hazard["severity"],
        f"option.{key}",
        (host,),
        f"{path} [{section}]",
        f"{key} = {value}",
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


def _upper_case(host: str, path: str, conf: Json) -> Iterator[Finding]:
    for section, options in sections(conf).items():
        uuid = options.get("rbd_secret_uuid", "")
        if uuid != uuid.lower() and re.fullmatch(r"[0-9a-fA-F-]{36}", uuid):
            yield Finding(
                NOTE,
                "uuid.upper",
                (host,),
                f"{path} [{section}]",
                f"rbd_secret_uuid = {uuid}",
                f"rbd_secret_uuid = {uuid.lower()}",
                "OpenStack and libvirt read it alike; tools that compare text take it for another",
                (root(sed.setting(path, section, "rbd_secret_uuid", uuid.lower())),),
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
    if enabled:
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
