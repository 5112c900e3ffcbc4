"""Every value that a site file says or leaves to its default, and where it comes from.

Pure.  What could be a secret is shown as that alone: `inv config` is pasted into tickets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic_core import to_jsonable_python

from fabfile.core.contract import Json
from fabfile.model.site import Site
from fabfile.model.site_schema import as_toml
from fabfile.model.site_tables import Table

DEFAULT, OF_SERVICES = "default", "what its services use"
_LOGIN = re.compile(r"://[^/\s@]*@")
_COMMANDS = ("sudo_password_command", "supplied_keyring", "supplied_conf")
"""What may be commands: their words can hold a secret, or say where one is."""
_NAMED = (
    r"[\w-]*(?:passw|passphrase|secret(?!_uuid)|token|credential|authorization|key(?!ring|file))"
)
_GIVEN = re.compile(rf"(?i)((?:^|[\s\"';])-*{_NAMED}[\w-]*\s*[=:]\s*)\S.*", re.DOTALL)
_FLAG = re.compile(rf"(?i)--?{_NAMED}[\w-]*")
_HIDDEN = "(not shown)"
Path = tuple[str, ...]


@dataclass(frozen=True)
class Effective:
    """One value.

    key: dotted; shown: as TOML; origin: 'site.toml:12', 'default', or a release.
    hosts: where it counts, if not wherever the service is.
    """

    key: str
    shown: str
    origin: str
    hosts: tuple[str, ...] = ()


def of_site(site: Site, said: Mapping[Path, int], file: str) -> list[Effective]:
    """Every setting of a checked site file, in the tables' order.

    said: the lines of its keys; file: how it is called in what is shown.
    """
    return [
        Effective(dotted(path), _shown(path, value), _origin(path, said, file))
        for path, value in _values((), _counted(site))
    ]


def not_said(table: Table, at: str = "") -> Iterator[str]:
    """The settings that nobody says and that have no default; NAME where the site's word stands."""
    for name, value in table.counted.items():
        if value is None:
            yield at + name
        elif isinstance(value, Table):
            yield from not_said(value, f"{at}{name}.")
        elif isinstance(value, dict):
            for one in value.values():
                if isinstance(one, Table):
                    yield from not_said(one, f"{at}{name}.NAME.")


def dotted(path: Iterable[str]) -> str:
    """A path as the site file would have it."""
    return ".".join(p if re.fullmatch(r"[A-Za-z0-9_-]+", p) else as_toml(p) for p in path)


def _counted(value: object) -> Json:
    if isinstance(value, Table):
        return _counted(value.counted)
    if isinstance(value, dict):
        return {key: _counted(one) for key, one in value.items()}
    return to_jsonable_python(value)


def _values(at: Path, value: Json) -> Iterator[tuple[Path, Json]]:
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _values((*at, key), one)
    elif value is not None:
        yield at, value


def _origin(path: Path, said: Mapping[Path, int], file: str) -> str:
    """Where a value, or a list or inline table around it, is said."""
    if path in said:
        return f"{file}:{said[path]}"
    return OF_SERVICES if path[-1] in ("rwx", "rx") and path[:-1] in said else DEFAULT


def _shown(path: Path, value: Json) -> str:
    if path[-1] in _COMMANDS and isinstance(value, list):
        return f"(a command of {len(value)} words, not shown)"
    value = _without_secrets(value)
    return _LOGIN.sub("://(a login, not shown)@", as_toml(value))


def _without_secrets(value: Json) -> Json:
    """Words of commands without what is given as a secret: TOKEN=x, --password x, Key: x."""
    if isinstance(value, str):
        return _GIVEN.sub(rf"\1{_HIDDEN}", value)
    if not isinstance(value, list):
        return value
    found, hides = [], False
    for word in value:
        found.append(_HIDDEN if hides else _without_secrets(word))
        hides = isinstance(word, str) and bool(_FLAG.fullmatch(word)) and not hides
    return found
