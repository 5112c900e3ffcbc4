"""Whether what a host says can be an answer to what it was asked.

Knows the shapes of the agent's messages and reads, and how much may be said; a host that says
something else, or more, is not believed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from fabfile.core import strict_json
from fabfile.core.contract import Json, Message, Read, Unbelieved
from fabfile.core.shapes import LINE, Row, Shape, Text, misfit

IN_PARTS = {"lines", "rows"}
"""Verbs whose answers come in messages 'part', a page each, before their 'read'."""
_ARGV = {"code": int, "out": str, "err": str, "peeled?": str}
_PATH = {
    "kind": Text("file|directory|other", "a kind"),
    "mode": Text("[0-7]{4}", "a mode of four digits"),
    "owner": LINE,
    "group": LINE,
    "mtime?": float,
    "sha256?": LINE,
    "text?": str,
}
_ACTIVE = [Row((str, str, str))]
_STEP = {
    "state": Text("begun|done|failed", "a state"),
    "thing": LINE,
    "sentence": LINE,
    "sign": Text("[-+~!]", "a sign"),
    "verb_was": LINE,
    "wave": int,
    "step": int,
    "kind?": LINE,
    "subject?": LINE,
    "stays?": LINE,
    "why?": str,
    **dict.fromkeys(("is?", "was?", "now?"), (None, str)),
    "becomes?": str,
    "names?": [LINE],
    "begins?": [LINE],
    "holds?": [LINE],
}
_SOURCE = {"file": LINE, "type": LINE, "components": [LINE], "options": {"*": str}}
_REPOSITORY = {"id": LINE, "file": LINE, "gpgcheck": bool}
_VERSION = Text(r"[A-Za-z0-9.+:~^_-]{1,200}", "a version")
_DONE_BY_DNF = {
    "does": Text("install|upgrade|reinstall|downgrade|remove", "what is done"),
    "name": Text(r"[A-Za-z0-9.+_-]{1,200}", "a package's name"),
    "version": _VERSION,
    "repository": Text("[!-~]{1,200}", "a repository's name"),
}
_DENIAL = {
    "by": Text("selinux|apparmor", "who denied"),
    **dict.fromkeys(("does", "who", "what", "kind", "comm"), LINE),
    "permitted": bool,
    "last": float,
}
_NOT_BEGUN = {"step": int, "state": Text("failed", "a step that failed"), "why?": str}
_BACK = {"verb": LINE, "args": {}}
_RESTART = {"verb": LINE, "args": {"units": [LINE]}}
_OF_A_PATH = {"verb": LINE, "args": {"path": LINE}}
_SHAPES: dict[str, Shape] = {
    "host": {
        **dict.fromkeys(("os", "version", "codename", "name", "machine_id", "boot_id"), LINE),
        "hostname": LINE,
        "sudo_keeps?": [LINE],
        "sudo_unknown?": LINE,
        "like": [LINE],
        "python?": LINE,
        "time?": float,
        "monotonic?": float,
    },
    "file": (None, _PATH),
    "options": (None, {**_PATH, "active": _ACTIVE, "managed?": (None, str)}),
    "sources": {
        "main": LINE,
        "running": bool,
        "files": [Row((LINE, _ACTIVE))],
        "environment": {"*": str},
    },
    "named_files": {"*": (None, _PATH)},
    "argv": _ARGV,
    "lines": [str],
    "digest": {"sha256": Text("[0-9a-f]{64}", "a SHA-256"), "bytes": int},
    "rows": [str],
    "secret": Text("[!-~]{1,1024}", "one word of printable letters"),
    "each": {"*": {"*": _ARGV}},
    "packages": {"*": (None, _VERSION)},
    "containers": {
        "*": (None, {"running": bool, **dict.fromkeys(("strategy", "folder", "engine"), LINE)})
    },
    "repository": {"own": [_SOURCE], "entries": [_SOURCE], "arch": LINE, "refused": str},
    "repositories": {
        "enabled": [_REPOSITORY],
        "held": {"*": LINE},
        "would": (None, [_DONE_BY_DNF]),
    },
    "units": {"*": {"*": str}},
    "running_units": [LINE],
    "pending_restarts": [LINE],
    "disk": {"*": Row((int, int, int, int))},
    "exists": {"*": bool},
    "confinement": {
        "selinux": Text("enforcing|permissive|off", "a mode"),
        "labels": [dict.fromkeys(("path", "is", "should"), LINE)],
        "denials": [_DENIAL],
    },
    "run": [{}],
    "runs": [LINE],
}
_UNIT = {"LoadState": LINE, "ActiveState": LINE, "*": str}


def _asked(read: Read) -> Shape:
    """The shape that a question asks for: all names that it gives are to be in the answer.

    What else is named there has its shape too: several resources ask by the same id.
    """
    shape, args = _SHAPES[read.verb], read.args
    if read.verb in ("packages", "containers", "exists") and args:
        return {
            **dict.fromkeys(args["paths" if read.verb == "exists" else "names"], shape["*"]),
            **shape,
        }
    if read.verb == "units" and args:
        return {**dict.fromkeys(args["names"], _UNIT), **shape}
    if read.verb == "each" and args:
        return {"*": {what: _argv(question) for what, question in args["then"].items()}}
    if read.verb == "argv":
        return _argv(args)
    if read.verb in ("file", "options") and args:
        kind = args.get("kind", "file")
        here = {**shape[1], "kind": Text(kind, f"a {kind}")}
        needed = ["sha256"] if kind == "file" else []
        needed += ["text"] if args.get("text") else []
        return (None, {**here, **{name: here[f"{name}?"] for name in needed}})
    return shape


def _step(step: Json) -> Shape:
    """What is kept of a step, by what it says itself: how far it came, and how it is taken back."""
    if not {"verb", "verb_was"} & set(step):
        return _NOT_BEGUN
    if "verb" not in step:
        return _STEP
    verb = step["verb"]
    back = _RESTART if "restart" in (verb, step.get("verb_was")) else _BACK
    back = _OF_A_PATH if verb in ("write", "remove", "no_folder") else back
    if rows := {"volumes", "service"} & set(step):
        return {**_STEP, **back, **dict.fromkeys(rows, LINE)}
    if step.get("verb_was") == "restart":
        return {**_STEP, **back}
    looked = dict.fromkeys(("was", "now", *(["is"] if step.get("state") == "done" else ())))
    return {**_STEP, **back, "guard?": {}, **dict.fromkeys(looked, (None, str))}


def _argv(args: Mapping[str, Json]) -> Shape:
    return {**_ARGV, "peeled": str} if args.get("peel") else _ARGV


def wrong(read: Read, value: Json) -> str:
    """'' for what can be an answer to that question; else what is expected, and what is there."""
    if read.verb in IN_PARTS:
        # A million of them: all at once, and not one by one.
        right = isinstance(value, list) and all(type(line) is str for line in value)
        return "" if right else "expected lines, found something else"
    said = misfit(value, _asked(read))
    if not said and read.verb == "run":
        return next(filter(None, (misfit(step, _step(step)) for step in value)), "")
    if said or read.verb != "argv":
        return said
    if read.args and value["code"] not in read.args.get("ok", [0]):
        return (
            f"expected an end with one of {list(read.args.get('ok', [0]))}, found {value['code']}"
        )
    return _document(read, value) if read.told is not None and not value["code"] else ""


def _document(read: Read, value: Json) -> str:
    try:
        return misfit(strict_json.loads(value["out"]), read.told)
    except ValueError as error:
        return f"expected JSON, found {value['out'][:80]!r} ({str(error)[:80]})"


def fits(verb: str, value: Json) -> bool:
    """Whether the value can be an answer to a read of that verb, whatever its arguments."""
    return not wrong(Read("", verb), value)


# Messages

_MESSAGES: dict[str, Shape] = {
    "beat": {},
    "end": {},
    "busy": {"who": str},
    "held": {"number": int},
    "read": {"id": str, "error?": str},
    "part": {"id": str, "lines": list},
    "again": {"why": str},
    "stage": {"what": str},
    "transferred": {"value": {}},
    "refused": {"why": str},
    "begin": {"step": int, "waits?": bool},
    "done": {"step": int},
    "failed": {"step": int, "why": str},
}
_LONGEST = 4096
"""Letters of who is at work, and of why something failed: what is longer is cut."""
_LATEST = 4102444800
"""2100: the numbers of runs begin with the time, and hosts refuse a lower one for ever."""


def unasked(host: str) -> Unbelieved:
    """What is raised for a host that says something else."""
    return Unbelieved(host=host, found="answers what it was not asked")


def is_message(message: Message) -> bool:
    """Whether the agent says such things at all."""
    shape = _MESSAGES.get(message["t"]) if isinstance(message["t"], str) else None
    if shape is None or (message["t"] == "read" and not {"value", "error"} & set(message)):
        return False
    if message["t"] == "held" and not misfit(message, shape):
        return bool(0 <= message["number"] < _LATEST)
    return not misfit(message, shape)


class Expected:
    """What may still be said to one piece of work: each thing once, and no more bytes than asked.

    until: when it has to be over (time.monotonic()); GRACE seconds after the agent's own deadline.
    """

    GRACE = 60.0
    _FEW = 64
    """Messages of other kinds: a backup's stages, who holds a lock."""

    def __init__(self, host: str, work: Mapping[str, Json]) -> None:
        self._host, self._few = host, self._FEW
        reads = [*work.get("reads", ()), *work.get("then", ())]
        self._reads = {read["id"]: int(read.get("most", Read.most)) for read in reads}
        self._steps: dict[int, str] = {step["id"]: "" for step in work.get("steps", ())}
        self.until = time.monotonic() + float(work.get("deadline", 600)) + self.GRACE

    def take(self, message: Message) -> Message:
        """The message, long texts cut.  Raises Unbelieved for another shape, or one too many."""
        if not is_message(message) or not self._is_due(message["t"], message):
            raise unasked(self._host)
        return {
            **message,
            **{
                name: message[name][:_LONGEST]
                for name in ("who", "why", "error", "what")
                if isinstance(message.get(name), str)
            },
        }

    def _is_due(self, kind: str, message: Message) -> bool:
        if kind in ("beat", "end"):
            return True
        if kind == "part":
            return self._part(message["id"], message["lines"])
        if kind == "read":
            return self._reads.pop(message["id"], None) is not None
        if kind in ("begin", "done", "failed"):
            before = "" if kind == "begin" else "begin"
            due = self._steps.get(message["step"]) == before
            self._steps[message["step"]] = kind
            return due
        self._few -= 1
        return self._few >= 0

    def _part(self, read: str, lines: Json) -> bool:
        if read not in self._reads or any(type(line) is not str for line in lines):
            return False
        # An empty line takes memory too.
        self._reads[read] -= sum(len(line) + 64 for line in lines) + 64
        if self._reads[read] < 0:
            raise Unbelieved(
                host=self._host,
                subject=read,
                found="answers without end",
                expected="an answer that ends",
                advice="look at what that host is at",
            )
        return True
