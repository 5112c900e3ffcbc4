"""The agent's program as it goes to a host: what starts it there, and its modules.

Knows which modules an agent has, and how they are packed; does not know how they are sent.
"""

from __future__ import annotations

import base64
import functools
import importlib.util
import json
import marshal
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fabfile.core.contract import Json

READING = (
    "places",
    "files",
    "options",
    "processes",
    "units",
    "state",
    "packages",
    "configuration",
    "sudo_log",
    "reads",
    "agent",
)
WRITING = ("steps",)
EXCHANGING = ("folders",)
DATABASE = ("database",)
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
import gc,sys,json,types,zlib,marshal,binascii,_frozen_importlib_external as f
gc.disable()
p=types.ModuleType('stackrbd_remote');p.__path__=[];sys.modules[p.__name__]=p
def load(l):
 k,d=l[9:].split(b':')
 d=zlib.decompress(binascii.a2b_base64(d))
 if k!=b'-' and k!=binascii.hexlify(f.MAGIC_NUMBER):sys.exit(77)
 for n,c in json.loads(d.decode()) if k==b'-' else marshal.loads(d):
  m=types.ModuleType('stackrbd_remote.'+n);m.__package__=p.__name__
  sys.modules[m.__name__]=m;setattr(p,n,m)
  exec(compile(c,n+'.py','exec') if k==b'-' else c,m.__dict__)
b=sys.stdin.buffer
l=b.readline()
while l and not l.startswith(b'stackrbd:'):l=b.readline()
if not l:sys.exit(76)
load(l)
gc.enable()
p.agent.main(load)
"""


def sources(names: Iterable[str]) -> list[tuple[str, str]]:
    """Modules of the agent, in the order in which they import each other."""
    return [(name, (_REMOTE / f"{name}.py").read_text()) for name in names]


def _packed(kind: str, data: bytes) -> bytes:
    """As they go over the wire: 50 kB of text would be most of what a trip sends."""
    return f"stackrbd:{kind}:".encode() + base64.b64encode(zlib.compress(data, 6)) + b"\n"


def as_text(modules: Sequence[tuple[str, str]]) -> bytes:
    """For any Python."""
    return _packed("-", json.dumps(modules).encode())


def as_code(modules: Sequence[tuple[str, str]]) -> bytes:
    """For a Python like this one, which is spared a third of the agent's start."""
    code = [(name, compile(text, f"{name}.py", "exec", optimize=2)) for name, text in modules]
    return _packed(importlib.util.MAGIC_NUMBER.hex(), marshal.dumps(code))


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
