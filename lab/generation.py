"""Reads a generation's file: Debian's suite and all that differs with it.

A generation is one release of Debian with the OpenStack, Ceph and libvirt that are in it. Its
file is data; a file may be `like` another one and say what differs. Knows no host.
"""

import functools
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "generations"
DEFAULT = "bookworm"
VARIABLE = "STACKRBD_LAB_GENERATION"
KINDS = ("ceph", "controller", "compute")

Words = tuple[str, ...]
Options = dict[str, dict[str, str]]


# One of each name: `load` keeps it.
@dataclass(frozen=True, eq=False)
class Generation:
    """One generation, as its file describes it; lab/generations/bookworm.toml says what is what."""

    name: str
    suites: Words
    source_options: str
    packages: Mapping[str, Words]
    standin: Mapping[str, Mapping[str, str]]
    units: Mapping[str, Words]
    unwanted: Mapping[str, Words]
    nspawn_options: Words
    nspawn_environment: Mapping[str, str]
    nspawn_resolv_conf: str
    guest_mbr_signature: bool
    charset: str
    settings: Mapping[str, Options]

    @property
    def suite(self) -> str:
        """The suite that a system of this generation is made of."""
        return self.suites[0]

    @property
    def ceph_client(self) -> Words:
        """The packages of the Ceph client."""
        return self.packages["ceph_client"]


def names() -> list[str]:
    """The generations that have a file."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def default() -> str:
    """The generation of a lab for which none is named: of the environment, else `DEFAULT`."""
    return os.environ.get(VARIABLE) or DEFAULT


@functools.cache
def load(name: str) -> Generation:
    """The generation called `name`. Raises LabError that names the file and the key at fault."""
    if name not in names():
        raise LabError(f"no generation {name!r}, expected one of {', '.join(names())}")
    data = _data(name)
    try:
        return _generation(name, data)
    except KeyError as error:
        raise LabError(f"{FOLDER / name}.toml: the key {error} is missing") from error


def _data(name: str, of: Words = ()) -> dict[str, Any]:
    """A file over the one that it is like."""
    file = FOLDER / f"{name}.toml"
    if name in of:
        raise LabError(f"{file}: is like itself: {' -> '.join((*of, name))}")
    try:
        data = tomllib.loads(file.read_text())
    except OSError as error:
        raise LabError(f"{file}: {error.strerror}: expected a generation's file") from error
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"{file}: not TOML: {error}") from error
    like = data.pop("like", None)
    if not like:
        return data
    below = _data(like, (*of, name))
    _check_known(file, data, below)
    return _over(below, data)


def _over(below: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in data.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _over(merged[key], value)
        else:
            merged[key] = value
    return merged


# Their keys are not words of ours.
_FREE = ("settings", "environment")


def _check_known(file: Path, data: dict[str, Any], below: dict[str, Any]) -> None:
    """A key that the file below does not have would say nothing: a misspelt one."""
    for key, value in data.items():
        if key not in below:
            raise LabError(f"{file}: {key!r}: expected one of {', '.join(below)}")
        if key not in _FREE and isinstance(value, dict):
            _check_known(file, value, below[key])


def _generation(name: str, data: dict[str, Any]) -> Generation:
    return Generation(
        name=name,
        suites=tuple(data["suites"]),
        source_options=data["source_options"],
        packages=_lists(data["packages"]),
        standin=data["standin"],
        units=_lists(data["units"]),
        unwanted=_lists(data["unwanted"]),
        nspawn_options=tuple(data["nspawn"]["options"]),
        nspawn_environment=data["nspawn"]["environment"],
        nspawn_resolv_conf=data["nspawn"]["resolv_conf"],
        guest_mbr_signature=data["guest"]["mbr_signature"],
        charset=data["database"]["charset"],
        settings=data["settings"],
    )


def _lists(table: dict[str, list[str]]) -> dict[str, Words]:
    return {key: tuple(words) for key, words in table.items()}


def text(generation: Generation) -> str:
    """All that its file says of hosts, as one text: part of the names of what is made from it."""
    words = (generation.units, generation.unwanted, generation.settings, generation.charset)
    return json.dumps([generation.name, *words], sort_keys=True)
