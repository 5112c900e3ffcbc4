"""How doctor and status look: on a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fabfile.core.contract import Json
from fabfile.doctor.diagnosis import short
from fabfile.doctor.finding import Finding, commands
from fabfile.doctor.secret_holders import Place
from fabfile.flow.terminal.outcomes import named
from fabfile.flow.terminal.screen import Screen

_GiB = 1024**3


def findings(screen: Screen, found: Sequence[Finding], site: Any, words_of_site: str) -> None:
    """Each finding: what, where, expected, why, and what mends it."""
    for one in found:
        where = named(one.hosts) or "the site"
        screen.say(f"{one.severity.upper():<8} {where}: {one.thing}")
        for label, text in (("found", one.found), ("expected", one.expected), ("why", one.cause)):
            if text:
                screen.say(f"         {label:<9}{text}")
        for label, command in zip(
            ("mend", *[""] * len(one.mend)), commands(one, site, words_of_site), strict=False
        ):
            place = f"(on {named(command['hosts'])}, as root) " if command["hosts"] else ""
            screen.say(f"         {label:<9}{place}{command['run']}")


def places(screen: Screen, rows: Sequence[Place]) -> None:
    """The truth table of secrets; keys as fingerprints."""
    screen.say(f"  {'':<4}{'place':<12}{'where':<26}{'client':<10}{'secret UUID':<37}{'value':<20}")
    for row, where in _few(rows):
        mark = "NOT" if row.odd else "ok"
        value = short(row.value) if row.value else ""
        why = f"  <- {row.odd}" if row.odd else ""
        screen.say(
            f"  {mark:<4}{row.kind:<12}{where:<26}{row.client:<10}{row.uuid:<37}{value:<20}{why}"
        )


def _few(rows: Sequence[Place]) -> Iterator[tuple[Place, str]]:
    """(row, where) of each; guests and attachments that are as they should be, as a number."""
    counted: dict[tuple[str, str, str], list[Place]] = {}
    for row in rows:
        if row.kind in ("guest", "attachment") and not row.odd:
            counted.setdefault((row.kind, row.client, row.uuid), []).append(row)
        elif row.kind in ("guest", "attachment"):
            yield row, f"{named(row.hosts)} {row.name}"
        else:
            yield row, named(row.hosts)
    for (kind, *_), equal in counted.items():
        yield equal[0], f"{len(equal)} {kind}{'' if len(equal) == 1 else 's'}"


def status(screen: Screen, told: Mapping[str, Json]) -> None:
    """The summary's lines."""
    by_hosts: dict[str, list[str]] = {}
    for role, hosts in told["roles"].items():
        if hosts:
            by_hosts.setdefault(named(hosts), []).append(role)
    for hosts, roles in by_hosts.items():
        _line(screen, ", ".join(roles), hosts)
    if told["silent"]:
        _line(screen, "silent", named(told["silent"]))
    if "ceph" in told:
        ceph = told["ceph"]
        versions = ", ".join(f"{v} ({n} daemons)" for v, n in ceph["versions"].items())
        quorum = f"{ceph['quorum']} of {ceph['monitors']} monitors in quorum"
        health = " ".join([ceph["health"], *ceph["codes"]]).strip()
        parts = (versions, health, quorum, f"fsid {ceph['fsid']}")
        _line(screen, "Ceph", "; ".join(filter(None, parts)))
    packages = told["openstack"]["packages"]
    if packages:
        each = ", ".join(sorted(packages))
        _line(screen, "OpenStack", f"{told['openstack']['release'] or 'of no one release'}: {each}")
    for kind, hosts in told["libvirt"].items():
        _line(screen, "libvirt", f"{kind} on {named(hosts)}")
    for name, pool in told.get("pools", {}).items():
        used = "" if pool["bytes"] is None else f", {pool['bytes'] / _GiB:.2f} GiB used"
        full = "" if pool["full"] is None else f", {pool['full'] * 100:.1f} % full"
        kinds = ", ".join(pool["applications"]) or "no application"
        _line(
            screen,
            f"pool {name}",
            f"{kinds}, size {pool['size']}, {pool['pg_num']} placement groups{used}{full}",
        )
    for text in _drift(told["drift"]):
        _line(screen, "drift", text)
    last = told["last_run"]
    _line(
        screen,
        "last run",
        "{run}: {task}, {outcome}, {changes} changes, by {who}".format(**last)
        if last
        else "none is recorded here",
    )


def _drift(drift: Mapping[str, Json]) -> Iterator[str]:
    """What differs, and where that is not known."""
    if drift["changes"]:
        changes = f"{drift['changes']} change{'' if drift['changes'] == 1 else 's'}"
        yield f"{changes} on {named(drift['hosts'])} ({', '.join(drift['tasks'])}); see inv plan"
    elif drift["known"]:
        yield "none: everything is as it should be"
    if drift["unknown"]:
        yield f"unknown on {named(drift['unknown'])}; see inv doctor"


def _line(screen: Screen, label: str, text: str) -> None:
    screen.say(f"  {label:<15} {text}")
