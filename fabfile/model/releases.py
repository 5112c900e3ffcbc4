"""What each OpenStack release needs, as data read from config/releases/.

Knows the form of those files and finds the one of a site; decides nothing else.
A file that is `like` another release says only what differs; false takes a key out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fabfile.core.contract import BadInput, Facts, Json, Read
from fabfile.model.option_values import whole

Table = Mapping[str, Json]
PACKAGES = {
    **{"nova-common": 0, "glance-common": 1, "cinder-common": 5},
    **{"openstack-nova-common": 0, "openstack-glance": 1, "openstack-cinder": 5},
}
"""Package: how far its major version is behind Nova's (since Liberty); Debian's names, RDO's."""
READ = Read("packages", "packages", {"names": sorted(PACKAGES)})
_NOVAS = [name for name, behind in PACKAGES.items() if behind == 0]
_NUMBER = re.compile(r"(?:\d+:)?v?(20\d\d\.\d|\d{1,4})(?=[.~+-]|$)")
"""Of a package's version: year and half, as up to Kilo, or its major number.

'1:34.0.0~rc1-2', '3:32.0.0+git2025100112.ab-0ubuntu1', '2015.1~rc1-1', '34-1'.
"""
_YEAR = re.compile(r"20\d\d\.\d")
_TO_COME = 20
"""So many numbers above the newest can be a release to come; a date cannot."""


@dataclass(frozen=True)
class Other:
    """That the hosts have another release than the one that counts.

    kind: 'newer' than all that are known; named in the site file while some packages are of
    another ('mixed'), or all of them ('stale').
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Chosen:
    """A site's release: the name and data that count, and whether the hosts have another one."""

    name: str
    table: Table
    other: Other | None = None


def nova_package(seen: Mapping[str, str | None]) -> str | None:
    """The version of Nova's package on a host that was asked READ; None where none is there."""
    return next((seen[name] for name in _NOVAS if seen.get(name)), None)


def asked(facts: Facts) -> bool:
    """Whether some host was asked for what tells the release."""
    return any(set(PACKAGES) & set(seen.get(READ.id, {})) for seen in facts.hosts.values())


def names(tables: Sequence[Table]) -> list[str]:
    """The releases' names, the oldest first: years and halves came before numbers."""
    versions = _versions(tables)
    return [versions[v] for v in sorted(versions, key=lambda v: ("." not in v, float(v)))]


def choose(site: Any, facts: Facts, tables: Sequence[Table]) -> Chosen:
    """The site's release: found on the hosts where the site file says 'auto'.

    One that is newer than all tables is taken as the newest of them.  Raises BadInput for an
    older one, for a word that names none, and for hosts of several where none is named.
    """
    known = {name: table for table in tables for name in table["versions"].values()}
    found = of_packages(facts, tables)
    named = site.release != "auto"
    name = _by_name(site.release, tables) if named else _one_of(found)
    if name in known:
        return Chosen(name, _whole(known[name], known), _differing(name, found) if named else None)
    order = names(tables)
    if not _is_to_come(name, tables):
        words = f"one of {order[0]} to {order[-1]} ({', '.join(known)})"
        raise BadInput(
            subject="release",
            expected=words,
            found=repr(name) if named else name,
            advice="" if named else "name the nearest release in the site file",
        )
    note = (
        f"OpenStack {name} is newer than all releases that are known here: it is taken as "
        f"{order[-1]}; look for an update of this program, and try it on one compute first "
        "(--limit)"
    )
    return Chosen(order[-1], _whole(known[order[-1]], known), Other("newer", note))


def _versions(tables: Sequence[Table]) -> dict[str, str]:
    return {str(v): str(name) for table in tables for v, name in table["versions"].items()}


def _by_name(word: str, tables: Sequence[Table]) -> str:
    """A release's name, also where its other one is given ('hibiscus')."""
    other = {key: name for table in tables for key, name in table.get("codenames", {}).items()}
    return str(other.get(word.lower(), word))


def _differing(name: str, found: Mapping[str, Sequence[str]]) -> Other | None:
    """Whether packages are of another release than the one that the site file names."""
    odd = {one: where for one, where in found.items() if one != name}
    if not odd:
        return None
    listed = "; ".join(f"of {one}: {', '.join(where)}" for one, where in odd.items())
    text = f"the site file names the release {name}, which counts; there are packages {listed}"
    return Other("mixed" if name in found else "stale", text)


def _is_to_come(name: str, tables: Sequence[Table]) -> bool:
    """Whether it can be a release after all that are known: 'Nova 35', or '2027.1'."""
    number = name.removeprefix("Nova ")
    if _YEAR.fullmatch(number):
        newest = names(tables)[-1]
        return bool(_YEAR.fullmatch(newest)) and float(number) > float(newest)
    most = max((whole(v) or 0 for v in _versions(tables)), default=0)
    return most < (whole(number) or 0) <= most + _TO_COME


def _whole(table: Table, known: Mapping[str, Table]) -> Table:
    """The table, with the rest of the release that it is like."""
    if "like" not in table:
        return table
    rest = _whole(known[table["like"]], known)
    return {**laid_over(rest, table), "versions": table["versions"]}


def laid_over(rest: Table, table: Table) -> dict[str, Json]:
    """One table over another; false takes a key out."""
    found = dict(rest)
    for key, value in table.items():
        below = found.get(key, {})
        found[key] = laid_over(below, value) if isinstance(value, Mapping) else value
    return {key: value for key, value in found.items() if value is not False}


def of_packages(facts: Facts, tables: Sequence[Table]) -> dict[str, list[str]]:
    """{a release's name, or 'Nova 35': ['nova-common on n1']}, of all packages that were read."""
    versions, found = _versions(tables), {}  # type: ignore[var-annotated]
    for host, seen in sorted(facts.hosts.items()):
        for package in sorted(set(PACKAGES) & set(seen.get(READ.id, {}))):
            if match := _NUMBER.match(seen[READ.id][package] or ""):
                number = _of_nova(package, match.group(1))
                is_name = number in versions.values()  # a package may bear the release's own name
                name = number if is_name else versions.get(number, f"Nova {number}")
                found.setdefault(name, []).append(f"{package} on {host}")
    return found


def _one_of(found: Mapping[str, Sequence[str]]) -> str:
    """The one release of the packages.  Raises BadInput where there is none, or several."""
    if not found:
        raise BadInput(
            subject="release",
            expected="a package of Nova, Cinder or Glance to tell it",
            found="none",
            advice="name the release in the site file",
        )
    if len(found) > 1:
        listed = "; ".join(f"of {name}: {', '.join(where)}" for name, where in found.items())
        raise BadInput(
            subject="release",
            expected="packages of one release",
            found=f"several: {listed}",
            advice="finish the upgrade, or name the release in the site file",
        )
    (name,) = found
    return name


def number(text: str) -> str:
    """The major version, or year and half, of a package's version; '' where it has none."""
    found = _NUMBER.match(text)
    return found.group(1) if found else ""


def _of_nova(package: str, number: str) -> str:
    """Nova's number for a package's: year and half up to Kilo, the same for all three."""
    return number if "." in number else str(int(number) + PACKAGES[package])
