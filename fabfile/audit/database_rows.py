"""What OpenStack's databases say of what is in the pools: which rows are asked, and their form.

Knows the tables and columns of Cinder, Glance and Nova, of those that a release has; asks
nothing itself.  A row of the answer begins with its kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fabfile.core.contract import BadInput, Failed

SYSTEM = ("information_schema", "mysql", "performance_schema", "sys")
_MARKS = {
    "cinder": ("volumes", "snapshots"),
    "glance": ("images", "image_locations"),
    "nova": ("instances", "block_device_mapping"),
}
"""The tables by which a service's database is known, whatever its name."""
CELLS = "cell_mappings"
"""The table of Nova's API database that has a row of each cell, since Newton."""
_LOOKED_AT = sorted(
    {*(t for marks in _MARKS.values() for t in marks), "volume_attachment", "backups", CELLS}
)
COLUMNS = (
    "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE "
    f"table_name IN {tuple(_LOOKED_AT)} AND table_schema NOT IN {SYSTEM};"
)
"""The first question: 'schema, table, column' of all that the second may name."""


SCHEMAS = f"SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN {SYSTEM};"
"""Every database that is not the server's own."""


class Volume(NamedTuple):
    """name_id: the id in the image's name, another one after a migration; size: GiB."""

    id: str
    name_id: str
    status: str
    size: str
    host: str
    migration: str


class Snapshot(NamedTuple):
    """volume: the name_id of its volume; size: GiB."""

    id: str
    volume: str
    status: str
    size: str
    host: str


class Attachment(NamedTuple):
    """Cinder's side of an attachment."""

    id: str
    volume: str
    instance: str
    status: str


class Backup(NamedTuple):
    """metadata: Cinder's JSON, that names the base image of an incremental one."""

    id: str
    volume: str
    status: str
    service: str
    metadata: str
    pool: str


class Image(NamedTuple):
    """One location of an image, or none (''); size: bytes."""

    id: str
    status: str
    size: str
    location: str


class Instance(NamedTuple):
    """power: Nova's number, 1 for one that runs."""

    id: str
    state: str
    power: str
    host: str


class Cell(NamedTuple):
    """One of Nova's cells; place: 'server/database', or '' where that is not told."""

    id: str
    place: str


class Disk(NamedTuple):
    """Nova's side of an attachment; volume is '' for a disk of the instance's own."""

    instance: str
    volume: str
    kind: str
    boot: str


KINDS: Mapping[str, Any] = {
    "volume": Volume,
    "snapshot": Snapshot,
    "attachment": Attachment,
    "backup": Backup,
    "image": Image,
    "instance": Instance,
    "disk": Disk,
    "cell": Cell,
}


@dataclass(frozen=True)
class Rows:
    """All rows of one moment: {kind: rows}."""

    volume: frozenset[Volume] = frozenset()
    snapshot: frozenset[Snapshot] = frozenset()
    attachment: frozenset[Attachment] = frozenset()
    backup: frozenset[Backup] = frozenset()
    image: frozenset[Image] = frozenset()
    instance: frozenset[Instance] = frozenset()
    disk: frozenset[Disk] = frozenset()
    cell: frozenset[Cell] = frozenset()


@dataclass(frozen=True)
class Schemas:
    """The databases that hold the rows, and the columns that they have.

    others: those that look like Cinder's or Glance's too, and are not read.
    """

    cinder: str
    glance: str
    nova: tuple[str, ...]
    columns: frozenset[tuple[str, str, str]] = field(repr=False, default=frozenset())
    others: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """All of them."""
        return [self.cinder, self.glance, *self.nova]


def schemas(lines: Iterable[str]) -> Schemas:
    """Which database is whose, of the answers to COLUMNS.

    Raises BadInput where Cinder's or Glance's is not there, or could be several.
    """
    columns = frozenset(_column(line) for line in lines)
    tables = {(schema, table) for schema, table, _ in columns}
    found = {
        service: sorted(s for s in {s for s, _ in tables} if all((s, t) in tables for t in marks))
        for service, marks in _MARKS.items()
    }
    others = []
    for service in ("cinder", "glance"):
        others += [name for name in found[service] if name != service]
        if len(found[service]) > 1 and service in found[service]:
            found[service] = [service]
        if len(found[service]) != 1:
            names = ", ".join(found[service]) or "none"
            raise BadInput(
                f"databases: expected one of {service}'s, found {names}; is the host with the "
                "role 'database' the one that holds OpenStack's?"
            )
    one = {found["cinder"][0], found["glance"][0]}
    return Schemas(
        found["cinder"][0],
        found["glance"][0],
        tuple(found["nova"]),
        columns,
        tuple(name for name in others if name not in one),
    )


def _column(line: str) -> tuple[str, str, str]:
    schema, table, column = cells(line) if line.count("\t") == 2 else (None, None, None)
    if schema is None or table is None or column is None:
        raise odd(line)
    return schema, table, column


def question(found: Schemas) -> str:
    """The second question: every row that matters, its kind first."""
    return "".join(f"{statement};\n" for statement in _statements(found))


def _statements(found: Schemas) -> Iterator[str]:
    c, g = quoted(found.cinder), quoted(found.glance)

    def has(table: str, column: str) -> bool:
        return (found.cinder, table, column) in found.columns

    def name_id(table: str) -> str:
        if has("volumes", "_name_id"):
            return f"COALESCE(NULLIF({table}._name_id, ''), {table}.id)"
        return f"{table}.id"

    moving = "v.migration_status" if has("volumes", "migration_status") else "''"
    yield select(
        "volume",
        f"{c}.volumes v",
        "v.deleted = 0",
        "v.id",
        name_id("v"),
        "v.status",
        "v.size",
        "v.host",
        moving,
    )
    yield select(
        "snapshot",
        f"{c}.snapshots s JOIN {c}.volumes v ON v.id = s.volume_id",
        "s.deleted = 0",
        "s.id",
        name_id("v"),
        "s.status",
        "s.volume_size",
        "v.host",
    )
    if has("volume_attachment", "instance_uuid"):
        yield select(
            "attachment",
            f"{c}.volume_attachment a",
            "a.deleted = 0",
            "a.id",
            "a.volume_id",
            "a.instance_uuid",
            "a.attach_status",
        )
    if has("backups", "service"):
        more = "b.service_metadata" if has("backups", "service_metadata") else "''"
        yield select(
            "backup",
            f"{c}.backups b",
            "b.deleted = 0",
            "b.id",
            "b.volume_id",
            "b.status",
            "b.service",
            more,
            "b.container",
        )
    yield select(
        "image",
        f"{g}.images i LEFT JOIN {g}.image_locations l ON l.image_id = i.id AND "
        "(l.deleted = 0 OR i.status = 'pending_delete')",
        "i.deleted = 0 OR i.status = 'pending_delete'",
        "i.id",
        "i.status",
        "i.size",
        "l.value",
    )
    for schema in sorted({s for s, t, _ in found.columns if t == CELLS}):
        # What comes before the @ is an account and its password.
        place = (
            "IF(LOCATE('@', m.database_connection) = 0, '', SUBSTRING_INDEX("
            "SUBSTRING_INDEX(m.database_connection, '@', -1), '?', 1))"
        )
        yield select("cell", f"{quoted(schema)}.{CELLS} m", "1", "m.uuid", place)
    for n in map(quoted, found.nova):
        yield select(
            "instance",
            f"{n}.instances i",
            "i.deleted = 0",
            "i.uuid",
            "i.vm_state",
            "i.power_state",
            "i.host",
        )
        yield select(
            "disk",
            f"{n}.block_device_mapping b",
            "b.deleted = 0 AND (b.volume_id IS NOT NULL OR b.destination_type = 'local')",
            "b.instance_uuid",
            "b.volume_id",
            "b.destination_type",
            "b.boot_index",
        )


def quoted(name: str) -> str:
    """A database's name, for a statement."""
    return "`" + name.replace("`", "``") + "`"


def select(kind: str, table: str, where: str, *columns: str) -> str:
    """A statement whose rows begin with their kind; NULL becomes ''."""
    asked = ", ".join(f"IFNULL({column}, '')" for column in columns)
    return f"SELECT '{kind}', {asked} FROM {table} WHERE {where}"


def rows(lines: Iterable[str]) -> Rows:
    """The answers to question(), by kind."""
    found: dict[str, list[NamedTuple]] = {kind: [] for kind in KINDS}
    for line in lines:
        kind, *values = cells(line)
        if kind not in KINDS or len(values) != _COLUMNS[kind] or not _is_sized(kind, values):
            raise odd(line)
        found[kind].append(KINDS[kind](*values))
    return Rows(**{kind: frozenset(some) for kind, some in found.items()})  # type: ignore[arg-type]


_COLUMNS = {kind: len(row._fields) for kind, row in KINDS.items()}
_SIZED = {"volume", "snapshot"}
_SIZE = re.compile(r"[0-9]{0,15}")


def _is_sized(kind: str, values: Sequence[str]) -> bool:
    """Whether a row of those that have a size in GiB says it as a number, or as nothing."""
    return kind not in _SIZED or _SIZE.fullmatch(values[3]) is not None


def odd(line: str) -> Failed:
    """What is raised for a line that is no row of what was asked for."""
    return Failed(
        f"databases: expected a row of what was asked for, found {line[:80]!r}; look at what "
        "database.defaults_file makes the client say"
    )


_ESCAPED = {"\\n": "\n", "\\t": "\t", "\\0": "\0", "\\\\": "\\"}


def cells(line: str) -> Sequence[str]:
    """A row's columns, as the client's --batch writes them."""
    values = line.split("\t")
    if "\\" not in line:
        return values
    return [_plain(value) for value in values]


def _plain(value: str) -> str:
    parts, rest = [], value
    while True:
        before, slash, rest = rest.partition("\\")
        parts.append(before)
        if not slash:
            return "".join(parts)
        parts.append(_ESCAPED.get(slash + rest[:1], slash + rest[:1]))
        rest = rest[1:]
