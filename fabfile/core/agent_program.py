"""The agent's program as it goes to a host: what starts it there, and its modules.

Knows which modules an agent has, and how they are packed; does not know how they are sent.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import marshal
import sys
import types
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fabfile.core.contract import Json

READING = (
    "places",
    "files",
    "options",
    "processes",
    "containers",
    "units",
    "state",
    "apt",
    "dnf",
    "packages",
    "configuration",
    "sudo_log",
    "confinement",
    "reads",
    "agent",
)
WRITING = ("steps",)
EXCHANGING = ("folders",)
DATABASE = ("server_kinds", "users_by_sql", "database")
"""The agent's modules: those of every agent, and those that are sent before steps alone, before
the exchange of a folder, or before questions to a database: to load them takes a host's time."""
BACKUP = (
    "transfer",
    "digests",
    "backup_paths",
    "sandbox",
    "archive",
    "throwaway",
    "backup_create",
    "backup_restore",
    "backup_work",
)
EVERY = (*READING, *WRITING, *EXCHANGING, *DATABASE, *BACKUP)
_REMOTE = Path(__file__).parent / "remote"
OTHER_PYTHON = 77
"""The exit code of a host whose Python cannot run what was compiled here."""
BOOTSTRAP = """\
import gc,sys,json,types,zlib,marshal,_frozen_importlib_external as f
gc.disable()
p=types.ModuleType('stackrbd_remote');p.__path__=[];sys.modules[p.__name__]=p
def load(l):
 _,k,_,d=l.split(b':',3)
 k,d=k.decode(),zlib.decompress(d[1:])
 if k!='-' and k!=f.MAGIC_NUMBER.hex():sys.exit(77)
 for n,c in json.loads(d.decode()) if k=='-' else marshal.loads(d):
  m=types.ModuleType('stackrbd_remote.'+n);m.__package__=p.__name__
  sys.modules[m.__name__]=m;setattr(p,n,m)
  exec(compile(c,n+'.py','exec') if k=='-' else c,m.__dict__)
b=sys.stdin.buffer
l=b.readline()
while l and not l.startswith(b'stackrbd:'):l=b.readline()
if not l:sys.exit(76)
load(l+b.read(int(l.split(b':')[2])))
gc.enable()
p.agent.main(load)
"""


def sources(names: Iterable[str]) -> list[tuple[str, str]]:
    """Modules of the agent, in the order in which they import each other."""
    return [(name, (_REMOTE / f"{name}.py").read_text()) for name in names]


def _packed(kind: str, data: bytes) -> bytes:
    """As they go over the wire: a line that says how many bytes come, and these.

    They are most of what a trip sends.
    """
    small = zlib.compress(data)
    return f"stackrbd:{kind}:{len(small)}:\n".encode() + small


def as_text(modules: Sequence[tuple[str, str]]) -> bytes:
    """For any Python."""
    return _packed("-", json.dumps(modules).encode())


def as_code(modules: Sequence[tuple[str, str]]) -> bytes:
    """For a Python like this one, which is spared a third of the agent's start."""
    code = [
        (name, without_columns(compile(text, f"{name}.py", "exec", optimize=2)))
        for name, text in modules
    ]
    return _packed(importlib.util.MAGIC_NUMBER.hex(), marshal.dumps(code))


_LINE_ALONE, _NO_LINE, _MOST_UNITS = 13, 15, 8
"""Kinds of an entry in a table of lines, and how many units of code it stands for at the most.

Source: Objects/locations.md of CPython 3.11 to 3.13, InternalDocs/code_objects.md of 3.14.
"""


def without_columns(code: types.CodeType) -> types.CodeType:
    """The same code, whose tracebacks have lines and no columns: these are 40 % of what is sent."""
    inner = tuple(
        without_columns(one) if isinstance(one, types.CodeType) else one for one in code.co_consts
    )
    if sys.version_info < (3, 11):
        return code.replace(co_consts=inner)  # it has no columns
    table, before = bytearray(), code.co_firstlineno
    for start, end, line in code.co_lines():
        units = (end - start) // 2
        while units:
            some = min(units, _MOST_UNITS)
            units -= some
            kind = _NO_LINE if line is None else _LINE_ALONE
            table.append(0x80 | kind << 3 | some - 1)
            if line is not None:
                table += _signed(line - before)
                before = line
    return code.replace(co_consts=inner, co_linetable=bytes(table))


def _signed(number: int) -> bytes:
    """A number in pieces of six bits, the lowest one first; bit 0 of it all is the sign."""
    rest, found = abs(number) << 1 | (number < 0), bytearray()
    while rest > 63:
        found.append(rest & 63 | 64)
        rest >>= 6
    return bytes(found) + bytes([rest])


@functools.cache
def packed(names: tuple[str, ...], compiled: bool) -> bytes:
    """Read and packed once, for all hosts and trips."""
    return (as_code if compiled else as_text)(sources(names))


def needed_for(work: Mapping[str, Json]) -> tuple[tuple[str, ...], ...]:
    """The modules that an agent needs for a piece of work."""
    asked = {read["verb"] for read in work.get("reads", ())}
    needed: list[tuple[str, ...]] = [READING]
    if "steps" in work:
        needed.append(WRITING)
    if any(step["verb"] == "exchange" for step in work.get("steps", ())):
        needed.append(EXCHANGING)
    if "rows" in asked or "transfer" in work:
        needed.append(DATABASE)
    if "transfer" in work:
        needed.append(BACKUP)
    return tuple(needed)
