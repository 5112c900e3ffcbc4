"""What comes over a wire: an agent's words, a worker's answers."""

import contextlib
import importlib.util
import io
import json
import struct
import time
import types

from fabfile.core import answers, framing, strict_json
from fabfile.core.contract import Host, Read
from fabfile.flow.inspect import survey
from fabfile.workers import assign, pool, shard, wire

from ...unit import clouds, test_framing
from .case import Target, as_data, as_document


def _frames(case, data):
    expected = answers.Expected("n1", _WORK)
    asked = {Host("n1", ()): [Read(**{k: v for k, v in r.items()}) for r in _WORK["reads"]]}
    facts = survey.TimedCollector(asked)
    frames, at = framing.Frames(test_framing.NONCE), 0
    awaited = assign.Awaited({"n1": _WORK})
    while at < len(data):
        size = case.rng.choice((1, 7, 100, 65536))
        for message in frames.feed(data[at : at + size]):
            if message["t"] in ("bytes", "want"):
                continue
            if not answers.is_message(message):
                raise answers.unasked("n1")
            for one in awaited.on_message("n1", expected.take(message)):
                facts.on_message("n1", one)
        at += size
    facts.clocks(), facts.faults(), facts.missing()
    assert frames.noise <= len(data) + 1


_WORK = {
    "reads": [
        {"id": "host", "verb": "host", "args": {}, "most": 1000},
        {"id": "rows", "verb": "rows", "args": {}, "most": 1000},
        {"id": "units", "verb": "units", "args": {"names": ["a"]}, "most": 1000},
    ],
    "steps": [{"id": 0}, {"id": 1}],
}


def _streams():
    said = (
        {"t": "busy", "who": "run r1"},
        {"t": "held", "number": 3},
        {"t": "part", "id": "rows", "lines": ["a", "b"]},
        {"t": "read", "id": "rows", "value": 2},
        {"t": "read", "id": "host", "value": clouds.machine(1)},
        {"t": "read", "id": "units", "value": clouds.units("a")},
        {"t": "begin", "step": 0, "waits": True},
        {"t": "done", "step": 0},
        {"t": "begin", "step": 1},
        {"t": "failed", "step": 1, "why": "no"},
        {"t": "refused", "why": "no"},
        {"t": "again", "why": "no"},
        {"t": "stage", "what": "x"},
        {"t": "transferred", "value": {}},
        {"t": "end"},
    )
    lines = [test_framing.said(json.dumps(one).encode()) for one in said]
    return [b"".join(lines), test_framing.STREAM, *lines]


# A worker's answers


def _news(said, faults=None, warnings=()):
    return {"said": {"said": said, "faults": faults, "warnings": list(warnings)}}


def _worker_answers():
    """(what was asked, the answer): of each kind."""
    said = [["n1", {"t": "begin", "step": 0}], ["n1", {"t": "done", "step": 0}]]
    read = [["n1", {"t": "read", "id": "host", "value": clouds.machine(1)}]]
    over = {"n1": ["Unreachable", "n1: no answer"], "n2": ["Failed", "x"]}
    return [
        (shard.here, {"said": ["rack1-a", "0" * 64]}),
        (shard.begin, {"said": None}),
        (shard.news, _news(said)),
        (shard.news, _news(read, {}, ["known_hosts:3: left out"])),
        (shard.news, _news([], over)),
        (shard.news, {"error": "KeyError: 'r1'"}),
    ]


def _damaged_answer(rng, found):
    asked, answer = found
    return asked, as_document(rng, answer)


def _worker(case, found):
    """What a worker says, from its bytes to what a run makes of it."""
    asked, data = found
    try:
        heard = wire.heard(asked, data)
    except ConnectionError as error:
        case.say(f"worker w is gone ({error})")
        return
    if asked is shard.here:
        case.texts.extend(heard)
    if asked is not shard.news:
        return
    facts = survey.TimedCollector({Host("n1", ()): [Read("host", "host")]})
    run = types.SimpleNamespace(_warnings={})
    awaited = assign.Awaited({"n1": _WORK})
    faults = pool.Elsewhere._pass_on(run, ["n1"], heard, awaited, facts.on_message)
    facts.clocks(), facts.faults(), facts.missing()
    for text in (*map(str, faults.values()), *run._warnings):
        case.say(text)


class _Line:
    """A connection that has these bytes and no more."""

    def __init__(self, data):
        self._left = io.BytesIO(data)

    def settimeout(self, seconds):
        assert seconds > 0

    def recv(self, most):
        return self._left.read(most)


def _packed(*messages):
    """Messages as dask's frames: how many, how long each is, and they."""
    import msgpack  # noqa: PLC0415 (comes with an extra)

    packed = [one if isinstance(one, bytes) else msgpack.dumps(one) for one in messages]
    return struct.pack(f"<{len(packed) + 1}Q", len(packed), *map(len, packed)) + b"".join(packed)


def _schedulers():
    marked = {"__Serialized__": 1}
    answer = {"tls://w:1": {"status": "OK", "result": marked}}
    header = {"num-sub-frames": 2, "compression": [None, None]}
    failed = {"tls://w:1": {"status": "error", "exception_text": "KeyError"}}
    return [
        _packed(answer, header, b'{"said": ', b"null}"),
        _packed(answer, {**header, "compression": ["lz4", None]}, b"x", b"y"),
        _packed(failed),
        _packed({"tls://w:1": 2}),
    ]


def _scheduler(case, data):
    """A scheduler's frames, and the bytes of the worker's answer in them."""
    made = wire.Scheduler.__new__(wire.Scheduler)
    made._timeout = 5.0

    def asked(message, patience):
        return wire._answer(wire._read(_Line(data), time.monotonic() + patience))

    made._asked = asked
    for act in (made.workers, lambda: made.run("tls://w:1", shard.here)):
        try:
            act()
        except OSError as error:
            case.texts.append(str(error))


def _json(case, data):
    with contextlib.suppress(ValueError):
        strict_json.loads(data)


TARGETS = {
    "frames": Target("wire messages", _streams, as_data, _frames, share=30),
    "worker": Target("workers' answers", _worker_answers, _damaged_answer, _worker, share=20),
    "json": Target("wire messages", _streams, as_data, _json),
}
if importlib.util.find_spec("distributed"):  # an extra
    TARGETS["scheduler"] = Target("workers' answers", _schedulers, as_data, _scheduler)
