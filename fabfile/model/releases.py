"""What each OpenStack release needs, as data read from config/releases/.

Knows the form of those files and finds the one of a site; decides nothing else.
A file that is `like` another release says only what differs; false takes a key out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fabfile.core.contract import BadInput, Facts, Json, Read

Table = Mapping[str, Json]
PACKAGES = {"nova-common": 0, "glance-common": 1, "cinder-common": 5}
"""Package: how far its major version is behind Nova's (since Liberty)."""
READ = Read("packages", "packages", {"names": sorted(PACKAGES)})


def asked(facts: Facts) -> bool:
    """Whether some host was asked for what tells the release."""
    return any(set(PACKAGES) & set(seen.get(READ.id, {})) for seen in facts.hosts.values())


def choose(site: Any, facts: Facts, tables: Sequence[Table]) -> tuple[str, Table]:
    """(name, data) of the site's release, found on the hosts where it says 'auto'.

    Raises BadInput for a release that no file knows, or hosts of several.
    """
    known = {name: table for table in tables for name in table["versions"].values()}
    name = site.release
    if name == "auto":
        name = _found(facts, tables)
    if name not in known:
        raise BadInput(subject="release", expected=f"one of {', '.join(known)}", found=repr(name))
    return name, _whole(known[name], known)


def _whole(table: Table, known: Mapping[str, Table]) -> Table:
    """The table, with the rest of the release that it is like."""
    if "like" not in table:
        return table
    rest = _whole(known[table["like"]], known)
    return {**_laid_over(rest, table), "versions": table["versions"]}


def _laid_over(rest: Table, table: Table) -> dict[str, Json]:
    found = dict(rest)
    for key, value in table.items():
        below = found.get(key, {})
        found[key] = _laid_over(below, value) if isinstance(value, Mapping) else value
    return {key: value for key, value in found.items() if value is not False}


def _found(facts: Facts, tables: Sequence[Table]) -> str:
    found: dict[str, list[str]] = {}
    for host, seen in sorted(facts.hosts.items()):
        for package in sorted(set(PACKAGES) & set(seen.get(READ.id, {}))):
            version = seen[READ.id][package]
            match = re.match(r"(?:\d+:)?(20\d\d\.\d|\d+(?=\.))", version or "")
            if match:
                major = _of_nova(package, match.group(1))
                found.setdefault(major, []).append(f"{package} on {host}")
    if not found:
        raise BadInput(
            subject="release",
            expected="a package of Nova, Cinder or Glance to tell it",
            found="none",
            advice="name the release in the site file",
        )
    if len(found) > 1:
        listed = "; ".join(f"of {m}: {', '.join(where)}" for m, where in sorted(found.items()))
        raise BadInput(
            subject="release",
            expected="packages of one release",
            found=f"several (by Nova's number) {listed}",
            advice="finish the upgrade, or name the release in the site file",
        )
    (major,) = found
    for table in tables:
        if major in table["versions"]:
            return str(table["versions"][major])
    raise BadInput(
        subject="release",
        found=f"Nova {major} is not known",
        advice="name the nearest release in the site file",
    )


def _of_nova(package: str, number: str) -> str:
    """Nova's number for a package's: year and half up to Kilo, the same for all three."""
    return number if "." in number else str(int(number) + PACKAGES[package])
