"""Whether a host's answer has the shape that its question has.

Knows the shapes of the agent's messages and reads; a host that says something else is
not believed.
"""

from __future__ import annotations

from collections.abc import Callable

from fabfile.core.contract import Json, Unreachable

Fits = Callable[[Json], bool]
"""Whether a value has a shape."""


def _texts(value: Json, *names: str) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(n), str) for n in names)


def _told(value: Json) -> bool:
    """A command's answer."""
    return _texts(value, "out", "err") and isinstance(value.get("code"), int)


def _described(value: Json) -> bool:
    """What a path is, or that nothing is there."""
    if value is None:
        return True
    named = _texts(value, "kind", "mode", "owner", "group")
    return named and all(isinstance(value.get(n, ""), str) for n in ("sha256", "text"))


def _lines(value: Json) -> bool:
    """Active lines: [[section, key, value]]."""
    return isinstance(value, list) and all(
        isinstance(line, list) and len(line) == 3 and all(isinstance(w, str) for w in line)
        for line in value
    )


def _sources(value: Json) -> bool:
    """What a service reads: [[path, active lines]], and its environment."""
    files = value["files"]
    return (
        isinstance(value["main"], str)
        and isinstance(value["running"], bool)
        and isinstance(files, list)
        and all(len(one) == 2 and isinstance(one[0], str) and _lines(one[1]) for one in files)
        and isinstance(value["environment"], dict)
        and all(isinstance(text, str) for text in value["environment"].values())
    )


def _names(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _steps(value: Json) -> bool:
    return isinstance(value, list) and all(
        _texts(s, "state", "thing", "sentence", "sign", "verb_was")
        and isinstance(s.get("wave"), int)
        and isinstance(s.get("args", {}), dict)
        for s in value
        if not (isinstance(s, dict) and s.get("state") == "failed")
    )


def _each(fits: Fits) -> Fits:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


_SHAPES: dict[str, Fits] = {
    "host": lambda value: (
        _texts(value, "os", "name", "machine_id", "boot_id", "hostname")
        and all(isinstance(value.get(name, 0.0), float) for name in ("time", "monotonic"))
    ),
    "file": _described,
    "options": lambda v: v is None or (_described(v) and _lines(v.get("active"))),
    "sources": _sources,
    "named_files": _each(_described),
    "argv": _told,
    "lines": _names,
    "rows": _names,
    "secret": lambda value: isinstance(value, str),
    "each": _each(_each(_told)),
    "packages": _each(lambda value: value is None or isinstance(value, str)),
    "units": _each(lambda value: isinstance(value, dict)),
    "running_units": _names,
    "pending_restarts": _names,
    "disk": _each(lambda value: isinstance(value, list) and all(type(n) is int for n in value)),
    "exists": _each(lambda value: isinstance(value, bool)),
    "run": _steps,
    "runs": _names,
}


_MESSAGES: dict[str, dict[str, type]] = {
    "beat": {},
    "end": {},
    "busy": {"who": str},
    "held": {"number": int},
    "read": {"id": str},
    "part": {"id": str, "lines": list},
    "again": {"why": str},
    "stage": {"what": str},
    "transferred": {"value": dict},
    "refused": {"why": str},
    "begin": {"step": int},
    "done": {"step": int},
    "failed": {"step": int, "why": str},
}


IN_PARTS = {"lines", "rows"}
"""Verbs whose answers come in messages 'part', a page each, before their 'read'."""


def unasked(host: str) -> Unreachable:
    """What is raised for a host that says something else."""
    return Unreachable(host=host, found="answers what it was not asked")


def is_message(message: dict[str, Json]) -> bool:
    """Whether the agent says such things at all."""
    fields = _MESSAGES.get(str(message["t"]))
    if fields is None or (message["t"] == "read" and not {"value", "error"} & set(message)):
        return False
    if not isinstance(message.get("error", ""), str):
        return False
    return all(isinstance(message.get(name), kind) for name, kind in fields.items())


def fits(verb: str, value: Json) -> bool:
    """Whether the value can be an answer to a read of that verb."""
    try:
        return bool(_SHAPES[verb](value))
    except (AttributeError, KeyError, TypeError):
        return False
