"""Which machines may belong to a cloud: by OpenStack's API, an inventory, and the operator.

Knows what a service, or a group of an inventory, says of a host; what really runs there, the host
says itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fabfile.adopt.forms import fits
from fabfile.adopt.inventory import Listed
from fabfile.core.contract import CLOUD, BadInput, Json
from fabfile.model import site_tables

_CONTROL = ("control", "controller", "controllers", "controllers-hosts", "os-infra-hosts")
GROUPS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "ceph": (("mons", "mon", "ceph-mon", "ceph-mons"), ("ceph", "ceph-hosts")),
    "glance": (("glance-api",), ("glance", "image-hosts"), _CONTROL),
    "cinder": (("cinder-volume",), ("storage", "storage-hosts"), ("cinder",), _CONTROL),
    "compute": (("nova-compute",), ("compute", "computes", "compute-hosts", "hypervisors")),
    "database": (("mariadb", "galera", "galera-all"), ("database", "databases"), _CONTROL),
}
"""{role: groups of inventories, the most exact first; the first that has hosts counts}: Kolla's,
OpenStack-Ansible's and ceph-ansible's names, and what people call theirs."""
_ROLES_OF = {"nova-compute": "compute", "cinder-volume": "cinder"}
"""Other services that the API knows run on hosts that may have Glance or the databases."""


@dataclass(frozen=True)
class Candidate:
    """A machine that is asked.  roles: what it is said to be for; said: by whom it is named.

    platform: what it runs, where that is another than a site's that names none.
    """

    name: str
    roles: tuple[str, ...] = ()
    address: str | None = None
    user: str | None = None
    port: int | None = None
    said: tuple[str, ...] = ()
    platform: str | None = None

    @property
    def row(self) -> dict[str, Json]:
        """What a site file says of it, beside its roles."""
        said = {key: getattr(self, key) for key in ("platform", "address", "user", "port")}
        return {key: value for key, value in said.items() if value is not None}


@dataclass(frozen=True)
class Chosen:
    """candidates: those that are asked, Ceph's first; odd: names that are none of a host's."""

    candidates: tuple[Candidate, ...]
    odd: tuple[str, ...] = ()

    def with_role(self, role: str) -> list[str]:
        """The names of those that are said to be for that."""
        return [one.name for one in self.candidates if role in one.roles]

    def with_ceph(self, names: Collection[str]) -> Chosen:
        """The same, where it turned out that these are Ceph's."""
        found = (
            replace(one, roles=("ceph", *one.roles)) if one.name in names else one
            for one in self.candidates
        )
        return replace(self, candidates=tuple(found))

    def on_platforms(self, names: Mapping[str, str]) -> Chosen:
        """The same, where it turned out what these run: {host: its platform}."""
        found = (replace(one, platform=names.get(one.name)) for one in self.candidates)
        return replace(self, candidates=tuple(found))


def chosen(ceph: Sequence[str], listed: Sequence[Listed], api: Json) -> Chosen:
    """All that are named, each once.

    api: as fabfile.cloud.machines.read() has it, or None.  Raises BadInput for a --ceph that is no
    host's name.
    """
    found: dict[str, Candidate] = {}
    odd: list[str] = []
    for name in ceph:
        if not fits(site_tables.Address, name):
            raise BadInput(f"--ceph: expected a host's name or address, found {name[:80]!r}")
        _add(found, Candidate(name, ("ceph",), said=("--ceph",)))
    for one in [*_of_inventory(listed, bool(ceph)), *_of_api(api or {})]:
        if fits(site_tables.Address, one.name):
            _add(found, one)
        else:
            odd.append(one.name)
    addresses = {told["host"]: told["address"] for told in (api or {}).get("hypervisors", ())}
    named: dict[str, Candidate] = {}
    for one in found.values():
        made = _named(one, addresses)
        if named.setdefault(made.name, made) is not made:
            odd.append(one.name)  # two of one short name
    return Chosen(tuple(named.values()), tuple(dict.fromkeys(odd)))


def _of_inventory(listed: Sequence[Listed], ceph_is_named: bool) -> Iterator[Candidate]:
    roles: dict[str, list[str]] = {}
    for role, tiers in GROUPS.items():
        if role == "ceph" and ceph_is_named:
            continue
        there = ([one for one in listed if one.groups.intersection(tier)] for tier in tiers)
        for one in next(filter(None, there), []):
            roles.setdefault(one.name, []).append(role)
    for one in listed:
        if one.name in roles:
            yield Candidate(
                one.name,
                tuple(roles[one.name]),
                one.address if fits(site_tables.Address, one.address) else None,
                one.user if fits(site_tables.Name, one.user) else None,
                int(one.port) if re.fullmatch(r"[1-9][0-9]{0,3}|[1-5][0-9]{4}", one.port) else None,
                ("the inventory",),
            )


def _of_api(api: Json) -> Iterator[Candidate]:
    for told in sorted(api.get("services", ()), key=lambda told: str(told["host"])):
        role = _ROLES_OF.get(told["binary"])
        name = told["host"].partition("@")[0]
        yield Candidate(name, (role,) if role else (), said=(f"the API ({told['binary']})",))


def _add(found: dict[str, Candidate], one: Candidate) -> None:
    """Beside the others, or to the one that is the same machine by its name or address."""
    first = _same(found, one)
    if not first:
        found[one.name.lower()] = one
        return
    old = found[first]
    found[first] = replace(
        old,
        roles=tuple(dict.fromkeys((*old.roles, *one.roles))),
        said=tuple(dict.fromkeys((*old.said, *one.said))),
        address=old.address or one.address,
        user=old.user or one.user,
        port=old.port or one.port,
    )


def _same(found: Mapping[str, Candidate], one: Candidate) -> str:
    name = one.name.lower()
    if name in found:
        return name
    names: Iterable[str] = found
    if "." in name and not _is_address(name):
        names = [known for known in found if known == name.partition(".")[0]]
    else:
        names = [n for n in found if not _is_address(n) and n.partition(".")[0] == name]
    same = [n for n in found if found[n].address and found[n].address in (one.address, one.name)]
    fitting = [*names, *same]
    return fitting[0] if fitting else ""


def _is_address(name: str) -> bool:
    return ":" in name or bool(re.fullmatch(r"[0-9.]+", name))


def _named(one: Candidate, addresses: Mapping[str, str]) -> Candidate:
    """With a name that a site file takes, and the address that it had for one."""
    name, taken = one.name, {*site_tables.ROLES, CLOUD, "here"}
    if fits(site_tables.Name, name) and name.lower() not in taken:
        return one
    address = one.address or addresses.get(name) or name
    short = re.sub(r"[^A-Za-z0-9_-]", "-", name if _is_address(name) else name.partition(".")[0])
    return replace(
        one,
        name=f"host-{short}"[:63] if short in taken or ":" in name else short[:63],
        address=address,
    )
