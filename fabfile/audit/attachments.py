"""What Nova and Cinder keep of instances and their attached volumes of RBD: the rows, and no more.

Of what may hold a key, only what a caller names is read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fabfile.audit import database_rows
from fabfile.audit.database_rows import Schemas
from fabfile.core.contract import Facts, Json
from fabfile.model.site import Site


class Instance(NamedTuple):
    """One instance: its vm_state, the nova-compute that has it, and whether it is locked."""

    id: str
    state: str
    host: str
    locked: bool


class Attachment(NamedTuple):
    """What one side keeps of one attached volume; side: 'nova' or 'cinder'; client: if asked."""

    side: str
    instance: str
    volume: str
    monitors: frozenset[str]
    client: str


@dataclass(frozen=True)
class Kept:
    """What the databases keep: {id: instance}, and the attachments of RBD volumes."""

    instances: Mapping[str, Instance]
    attachments: tuple[Attachment, ...]


def statements(found: Schemas, told: Callable[[str], str]) -> Iterator[str]:
    """A question a table; told: of a table's alias, what is read of its connection_info."""
    for schema in found.nova:
        n = database_rows.quoted(schema)
        locked = "i.locked" if (schema, "instances", "locked") in found.columns else "0"
        what = ("i.uuid", "i.vm_state", "i.host", locked)
        yield database_rows.select("instance", f"{n}.instances i", "i.deleted = 0", *what)
        where = f"b.deleted = 0 AND b.volume_id IS NOT NULL AND {_of_rbd('b')}"
        of = ("b.instance_uuid", "b.volume_id", told("b"))
        yield database_rows.select("nova", f"{n}.block_device_mapping b", where, *of)
    if (found.cinder, "volume_attachment", "connection_info") in found.columns:
        c = database_rows.quoted(found.cinder)
        where = f"a.deleted = 0 AND {_of_rbd('a')}"
        of = ("a.instance_uuid", "a.volume_id", told("a"))
        yield database_rows.select("cinder", f"{c}.volume_attachment a", where, *of)


def _of_rbd(table: str) -> str:
    kind = f"JSON_EXTRACT({table}.connection_info, '$.driver_volume_type')"
    return f"JSON_UNQUOTE({kind}) = 'rbd'"


def told_at(table: str, name: str) -> str:
    """One key of connection_info: Nova nests it in 'data'; Cinder does not, in some releases."""
    asked = (f"JSON_EXTRACT({table}.connection_info, '$.{at}')" for at in (f"data.{name}", name))
    return f"COALESCE({', '.join(asked)})"


def kept(lines: Iterable[str], read: Callable[[str], tuple[frozenset[str], str]]) -> Kept:
    """The answers to statements(); read: (monitors, client) of what was told of one."""
    instances: dict[str, Instance] = {}
    found: list[Attachment] = []
    for line in lines:
        match database_rows.cells(line):
            case "instance", name, state, host, locked:
                instances[name] = Instance(name, state, host, locked not in ("0", ""))
            case "nova" | "cinder" as side, instance, volume, told:
                found.append(Attachment(side, instance, volume, *read(told)))
            case _:
                raise database_rows.odd(line)
    return Kept(instances, tuple(found))


def lines(site: Site, facts: Facts, read: str) -> list[str]:
    """The rows that the database hosts answered to a read."""
    hosts = site.with_role("database")
    return [line for h in hosts for line in facts.hosts.get(h.name, {}).get(read, ())]


def addresses(told: Json) -> frozenset[str]:
    """Monitors' addresses, of a list of them; none for anything else."""
    return (
        frozenset(str(one).strip("[]") for one in told) if isinstance(told, list) else frozenset()
    )
