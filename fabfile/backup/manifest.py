"""A backup's manifest: its form, checked before anything in it is used.

Whoever signed it may have been deceived by a host, and one that nobody signed can say anything.
Knows what a manifest must look like; not whose it is, nor whether it fits a site.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, NoReturn

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.types import Strict

from fabfile.core.contract import BadInput, Json
from fabfile.core.remote import backup_paths

FORMAT = 1
LARGEST = 64 * 1024 * 1024
"""Bytes: those of a few hosts of backup_paths.MOST files each are a fourth of it."""
_MOST = 200_000
_MOST_FAULTS = 5


def _of_form(pattern: str, words: str) -> AfterValidator:
    def checked(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {words}, found {text[:80]!r}")
        return text

    return AfterValidator(checked)


_Text = Annotated[str, Strict(), Field(max_length=10_000)]
_Line = Annotated[_Text, _of_form(r"[^\x00-\x1f\x7f]*", "one line")]
_Name = Annotated[_Text, _of_form(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", "a name")]
_Unit = Annotated[_Text, _of_form(r"[A-Za-z0-9][A-Za-z0-9:_.@-]{0,250}", "a unit's name")]
_Schema = Annotated[_Line, _of_form(r"[^-].{0,63}", "a database's name")]
"""A word that begins with - would be an option of the program that dumps."""
_Sha256 = Annotated[_Text, _of_form(r"[0-9a-f]{64}", "a sha256")]
_Version = Annotated[_Text, _of_form(r"[0-9][A-Za-z0-9.+:~_-]{0,199}", "a version")]
_Server = Annotated[_Text, _of_form(r"[0-9]+\.[0-9]+[A-Za-z0-9.+:~_() -]{0,199}", "a version")]
"""A MariaDB as it says itself: '11.8.9-MariaDB-0+deb13u1 from Debian', of Debian 13."""
_Number = Annotated[int, Strict(), Field(ge=0, le=2**60)]
_Time = Annotated[int, Strict(), Field(ge=0, le=2**40)]
_Rows = tuple[_Number, _Sha256]


def _not_null(value: Json) -> Json:
    if value is None:
        raise ValueError("expected a table, or nothing at all")
    return value


class _Table(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _Database(_Table):
    version: _Server
    schemas: list[_Schema] = Field(max_length=_MOST)
    tables: dict[_Line, _Rows] = Field(max_length=_MOST)
    heads: dict[_Line, list[_Line]] = {}
    unsafe: list[_Line] = Field(max_length=_MOST)
    loose: list[_Line] = Field(max_length=_MOST)
    space: _Number
    size: _Number
    first: _Text


class _Held(_Table):
    """What a host's part holds."""

    size: _Number
    sha256: _Sha256
    files: dict[str, Json] = Field(max_length=backup_paths.MOST)
    left: list[_Line] = Field([], max_length=_MOST)
    units: list[_Unit] = Field(max_length=_MOST)
    versions: dict[_Name, _Version] = Field(max_length=_MOST)
    database: Annotated[_Database | None, BeforeValidator(_not_null)] = None


class _Manifest(_Table):
    format: Annotated[int, Strict(), Field(ge=FORMAT, le=FORMAT)]
    site: _Name
    fsid: _Name
    record: _Name
    time: _Time
    hosts: dict[_Name, _Held] = Field(min_length=1, max_length=10_000)


def parse(data: bytes, where: str) -> dict[str, Json]:
    """The manifest in a file's bytes.  Raises BadInput that says what is wrong in it."""
    try:
        found = json.loads(data.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise BadInput(f"{where}: the backup is broken: {why}") from None
    faults = faults_of(found)
    if faults:
        raise BadInput(
            f"{where}: the backup is broken: expected a backup of format {FORMAT}, found another: "
            + "; ".join(faults[:_MOST_FAULTS])
        )
    return dict(found)


def faults_of(found: Json) -> list[str]:
    """What is wrong with a manifest's form, each with its place."""
    try:
        _Manifest.model_validate(found)
    except ValidationError as error:
        return [
            f"{'.'.join(str(part)[:80] for part in one['loc']) or 'all of it'}: {one['msg'][:200]}"
            for one in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    return [
        f"hosts.{host}.files: {why}"
        for host, held in found["hosts"].items()
        for path, entry in held["files"].items()
        if (why := backup_paths.fault(path, entry, held["files"]))
    ]


def strangers(held: Mapping[str, Json], folders: list[str]) -> list[str]:
    """The files of a host's part that are not below these folders, each as a sentence."""
    files = held["files"]
    found = (backup_paths.fault(path, entry, files, folders) for path, entry in files.items())
    return [why for why in found if why]


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
