"""How doctor and status look on a terminal: lines of text; nothing is printed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from fabfile.core.contract import INV, Json
from fabfile.core.text import counted, hung, named, table, without_own
from fabfile.doctor.diagnosis import short
from fabfile.doctor.finding import Finding, commands, label
from fabfile.model.site import Site

_GiB = 1024**3
_NARROWEST, _WIDEST = 15, 20
"""Characters of a label of the summary; behind a longer one its text begins later."""


def findings(
    found: Sequence[Finding], site: Site, words_of_site: str, columns: int = 0
) -> Iterator[str]:
    """Each finding: what, where, expected, why, and what mends it.

    columns: the window's, to which sentences are folded; a command stays one line, to be copied.
    """
    for one in _alike(found):
        where = named(one.hosts) or "the site"
        yield from hung(f"{one.severity.upper():<8} ", f"{where}: {one.thing}", columns)
        for what, text in (("found", one.found), ("expected", one.expected), ("why", one.cause)):
            if text:
                yield from hung(f"         {what:<9}", text, columns)
        before = ""
        for command in commands(one, site, words_of_site):
            place = f"(on {named(command['hosts'])}, as root) " if command["hosts"] else ""
            how = label(command)
            head, said = f"         {how if how != before else '':<9}", f"{place}{command['run']}"
            yield from hung(head, said, columns if command["kind"] == "words" else 0)
            before = how


_FEW = 3
"""Hosts that are told apart by their own addresses; more of the same are told once."""


def _alike(found: Sequence[Finding]) -> list[Finding]:
    """Those of which the same was found, but for each host's own address, as one."""
    groups: dict[Finding, list[Finding]] = {}
    for one in found:
        own = one.hosts[0] if len(one.hosts) == 1 else ""
        same = replace(one, hosts=(), found=without_own(own, one.found)) if own else one
        groups.setdefault(same, []).append(one)
    told: list[Finding] = []
    for same, ones in groups.items():
        many = len(ones) > _FEW
        told += [replace(same, hosts=tuple(one.hosts[0] for one in ones))] if many else ones
    return told


def places(rows: Sequence[Mapping[str, Json]], columns: int = 0) -> list[str]:
    """The truth table of secrets; keys as fingerprints."""
    found = [("      place", "where", "client", "value", "secret UUID", "")]
    for row, number in folded(rows):
        place = f"  {'NOT' if row['odd'] else 'ok':<4}{row['kind']}"
        value = short(row["value"]) if row["value"] else ""
        why = f"<- {row['odd']}" if row["odd"] else ""
        where = _where(row, number)
        found.append((place, where, row["client"], value, row["uuid"], why))
    return table(found, columns)


def folded(rows: Sequence[Mapping[str, Json]]) -> list[tuple[Mapping[str, Json], int]]:
    """(row, 0) of each; guests and attachments that are as they should be as (one, number)."""
    found: list[tuple[Mapping[str, Json], int]] = []
    equal: dict[tuple[str, str, str], list[Mapping[str, Json]]] = {}
    for row in rows:
        if row["kind"] in ("guest", "attachment") and not row["odd"]:
            equal.setdefault((row["kind"], row["client"], row["uuid"]), []).append(row)
        else:
            found.append((row, 0))
    return found + [(some[0], len(some)) for some in equal.values()]


def _where(row: Mapping[str, Json], number: int) -> str:
    if number:
        return counted(number, row["kind"])
    guest = row["kind"] in ("guest", "attachment")
    return f"{named(row['hosts'])} {row['name']}" if guest else named(row["hosts"])


def status(told: Mapping[str, Json], columns: int = 0) -> Iterator[str]:
    """The summary's lines, folded to a window's columns."""
    lines = list(_status(told))
    width = max(_NARROWEST, *(len(name) for name, _ in lines if len(name) <= _WIDEST))
    for name, said in lines:
        apart = "" if len(name) <= width else " "
        yield from hung(f"  {name:<{width}} {apart}", said, columns)


def _status(told: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    by_hosts: dict[str, list[str]] = {}
    for role, hosts in told["roles"].items():
        if hosts:
            by_hosts.setdefault(named(hosts), []).append(role)
    for hosts, roles in by_hosts.items():
        yield (", ".join(roles), hosts)
    if told["silent"]:
        yield ("silent", named(told["silent"]))
    sides = {f" {name}": side for name, side in told.get("clusters", {}).items()} or {"": told}
    yield from (line for label, side in sides.items() for line in _ceph(label, side))
    packages = told["openstack"]["packages"]
    if packages:
        each = ", ".join(sorted(packages))
        yield ("OpenStack", f"{told['openstack']['release'] or 'of no one release'}: {each}")
        if told["openstack"]["note"]:
            yield ("", told["openstack"]["note"])
    for kind, hosts in told["libvirt"].items():
        yield ("libvirt", f"{kind} on {named(hosts)}")
    yield from (line for label, side in sides.items() for line in _pools(label, side))
    for text in _drift(told["drift"]):
        yield ("drift", text)
    for number, text in enumerate(told.get("upgrades", ())):
        yield ("" if number else "upgrades", text)
    last = told["last_run"]
    yield (
        "last run",
        "{run}: {task}, {outcome}, ".format(**last)
        + f"{counted(last['changes'], 'change')}, by {last['who']}"
        if last
        else "none is recorded here",
    )


def _ceph(label: str, side: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """A cluster; label: ' NAME' where there are several."""
    if "ceph" not in side:
        return
    ceph = side["ceph"]
    versions = ", ".join(f"{v} ({counted(n, 'daemon')})" for v, n in ceph["versions"].items())
    quorum = f"{ceph['quorum']} of {ceph['monitors']} monitors in quorum"
    health = " ".join([ceph["health"], *ceph["codes"]]).strip()
    parts = (versions, health, quorum, f"fsid {ceph['fsid']}")
    yield (f"Ceph{label}", "; ".join(filter(None, parts)))


def _pools(label: str, side: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    for name, pool in side.get("pools", {}).items():
        used = "" if pool["bytes"] is None else f", {pool['bytes'] / _GiB:.2f} GiB used"
        full = "" if pool["full"] is None else f", {pool['full'] * 100:.1f} % full"
        kinds = ", ".join(pool["applications"]) or "no application"
        yield (
            f"pool{label} {name}",
            f"{kinds}, size {pool['size']}, {pool['pg_num']} placement groups{used}{full}",
        )


def _drift(drift: Mapping[str, Json]) -> Iterator[str]:
    """What differs, and where that is not known."""
    if drift["changes"]:
        changes = counted(drift["changes"], "change")
        yield f"{changes} on {named(drift['hosts'])} ({', '.join(drift['tasks'])}); see {INV} plan"
    elif drift["known"]:
        yield "none: everything is as it should be"
    if drift["unknown"]:
        yield f"unknown on {named(drift['unknown'])}; see {INV} doctor"
