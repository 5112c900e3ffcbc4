"""What was looked at beside rows and names: all that could say that a finding is none.

What was not looked at settles nothing: then a finding has no command (fabfile/model/advice.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabfile.audit.database_rows import Rows, Schemas
from fabfile.core.contract import Host, Json, Read
from fabfile.core.shapes import LINE
from fabfile.model.services import CINDER_BACKUP, CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import cluster, in_force, volume_backups, volume_storage

_WITHOUT_PRODUCT = ("admin", "bootstrap-", "crash")
"""Ceph's own users, by the beginnings of their names."""


@dataclass(frozen=True)
class Evidence:
    """looked: what was looked at for all findings, by the names of model.advice.LOOKS.

    pools: those of the cluster, None where they were not asked for.  owned: the pools that
    nobody but this cloud's users may write.  hosts: the names under which those cinder-volume
    serve whose options were seen.
    """

    looked: frozenset[str] = frozenset()
    pools: frozenset[str] | None = None
    owned: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()

    def has(self, pool: str) -> bool:
        """Whether the cluster has a pool, as far as its pools were asked for."""
        return self.pools is None or pool in self.pools

    def of_pool(self, pool: str) -> frozenset[str]:
        """What was looked at for what is in a pool."""
        return self.looked | ({"owners"} if pool in self.owned else set())

    def of_volume(self, host: str) -> frozenset[str]:
        """What was looked at for a volume of 'host@backend#pool'."""
        mine = host.partition("@")[0] in self.hosts
        return self.looked if mine else self.looked - {"backend"}


NOTHING = Evidence()
"""Nothing was looked at."""


def reads(site: Site) -> list[Read]:
    """What the cluster is asked besides: its pools, and who may write them."""
    listed = cluster.ceph(site, "auth", "list")
    return [
        Read("pools", "argv", {"argv": cluster.ceph(site, "osd", "pool", "ls")}, told=[LINE]),
        Read("users", "argv", {"argv": listed, "mask": [cluster.KEYS]}, told=cluster.USERS),
    ]


def gathered(
    site: Site, answers: Mapping[str, Mapping[str, Json]], schemas: Schemas, rows: Rows
) -> Evidence:
    """From the answers to reads of the cluster and of every cinder-volume, and the databases."""
    admin = answers.get(site.admin.name, {})
    looked = {"databases"} if not schemas.others else set()
    if cells_are_seen(schemas, rows):
        looked.add("cells")
    hosts = site.with_role("cinder")
    files = [answers.get(host.name, {}) for host in hosts]
    options = [in_force.options(seen, CINDER_VOLUME.key) for seen in files]
    known = all(seen.get("cinder.conf") is not None for seen in files)
    if known and all(_is_our_backend(site, one) for one in options):
        looked.add("backend")
    if _backups_are_ours(site, answers):
        looked.add("backups")
    listed = _document(admin.get("pools"), list)
    pools = None if listed is None else frozenset(map(str, listed))
    users = _document(admin.get("users"), dict)
    owned: set[str] = set()
    if pools is not None and users is not None:
        ours = {f"client.{name}" for name in _our_users(site, options)}
        owned = {pool for pool in pools if not set(writers(users, pool)) - ours}
    names = {name for host, seen in zip(hosts, files, strict=True) for name in _names(host, seen)}
    names |= {
        value
        for one in options
        for (_, key), value in one.items()
        if key in ("host", "backend_host")
    }
    return Evidence(frozenset(looked), pools, frozenset(owned), frozenset(names))


def cells_are_seen(schemas: Schemas, rows: Rows) -> bool:
    """Whether every cell's instances were read: its database is one of those, on that server.

    Where a cell's database is named by a template of Nova's, or is on another server than the
    others, it was not read.
    """
    places = [cell.place.rpartition("/") for cell in rows.cell]
    servers = {server for server, _, _ in places}
    names = {name for _, _, name in places}
    return bool(places) and len(servers) == 1 and names <= set(schemas.nova)


def writers(users: Mapping[str, Json], pool: str) -> Iterator[str]:
    """The cephx users, beside Ceph's own, that may write a pool.  users: of 'ceph auth ls'."""
    for user in users.get("auth_dump", ()):
        entity = str(user.get("entity", ""))
        name = entity.removeprefix("client.")
        if entity == name or name.startswith(_WITHOUT_PRODUCT):
            continue
        caps = user.get("caps")
        text = str(caps.get("osd", "")) if isinstance(caps, dict) else "allow *"
        if any(_may_write(grant, pool) for grant in _grants(text)):
            yield entity


def _grants(text: str) -> Sequence[str]:
    return [grant.strip() for grant in re.split(r"[,;]", text) if grant.strip()]


def _may_write(grant: str, pool: str) -> bool:
    """Whether a grant of the OSDs' is one to write; one that is not understood is."""
    named = re.search(r"\bpool[= ]\s*([^\s]+)", grant)
    if named and named.group(1).strip("'\"") != pool:
        return False
    if re.match(r"profile\s+rbd-read-only\b", grant):
        return False
    allowed = re.match(r"allow\s+(\S+)", grant)
    return (
        not allowed
        or "w" in allowed.group(1).replace("class-write", "w")
        or (allowed.group(1) == "*")
    )


def _document(answer: Json, kind: type) -> Json:
    """A command's JSON, None where there is none of that kind."""
    if not answer or answer["code"]:
        return None
    try:
        found = json.loads(answer["out"])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, kind) else None


def _is_our_backend(site: Site, options: in_force.Options) -> bool:
    """Whether each backend's section has the site's pool and cluster."""

    return not any(
        set(volume_storage.elsewhere(site, one, options, one.name)) - {"volume_driver"}
        for one in site.cinder.all
    )


def _backups_are_ours(site: Site, answers: Mapping[str, Mapping[str, Json]]) -> bool:
    """Whether every cinder-backup was looked at, and keeps its backups in the site's cluster.

    It is looked for beside cinder-volume where the site file says nothing of it.
    """
    service = CINDER_BACKUP if site.cinder.backup else CINDER_VOLUME
    return all(
        (seen := answers.get(host.name, {})).get(f"{service.key}.conf") is not None
        and _is_our_backup(site, host, in_force.options(seen, service.key))
        for host in site.with_role(service.role)
    )


def _is_our_backup(site: Site, host: Host, options: in_force.Options) -> bool:
    """Whether cinder-backup, as this file has it, keeps its backups in the site's cluster."""
    driver = options.get(("DEFAULT", "backup_driver"), "")
    conf = options.get(("DEFAULT", "backup_ceph_conf")) or volume_backups.CONF
    platform = site.platform_of(host)
    return "drivers.ceph" in driver and conf == platform.inside(platform.ceph["conf"])


def _our_users(site: Site, options: Iterable[in_force.Options]) -> set[str]:
    named = {
        value
        for one in options
        for (_, key), value in one.items()
        if key in ("rbd_user", "backup_ceph_user")
    }
    return {*site.clients, *named}


def _names(host: Host, seen: Mapping[str, Json]) -> set[str]:
    itself = str((seen.get("host") or {}).get("hostname", ""))
    return {host.name, itself} - {""}
