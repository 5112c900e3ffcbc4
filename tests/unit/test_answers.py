"""A host that answers something else than it was asked is not believed."""

import pytest

from fabfile.core import answers
from fabfile.core.remote import reads

FILE = {"kind": "file", "mode": "0644", "owner": "root", "group": "root", "sha256": "aa"}
TOLD = {"code": 0, "out": "", "err": ""}
SOURCES = {"main": "/m", "running": True, "files": [], "environment": {}}
STEP = {"state": "done", "thing": "a", "sentence": "b", "sign": "+", "wave": 1, "verb_was": "edit"}


def test_every_read_has_its_shape():
    assert set(answers._SHAPES) == set(reads.READS)


@pytest.mark.parametrize(
    "verb, value",
    [
        ("file", None),
        ("file", FILE),
        ("file", {**FILE, "text": "x"}),
        ("options", None),
        ("options", {**FILE, "active": [["a", "b", "c"]]}),
        ("sources", SOURCES),
        ("sources", {**SOURCES, "files": [["/x", [["a", "b", "c"]]]], "environment": {"A": "b"}}),
        ("argv", TOLD),
        ("each", {"uuid": {"xml": TOLD}}),
        ("packages", {"a": None, "b": "1"}),
        ("pending_restarts", ["nova-compute"]),
        ("exists", {"/x": True}),
        ("secret", "x"),
        ("run", []),
        ("run", [STEP, {"state": "failed", "why": "x"}]),
    ],
)
def test_what_the_agent_says(verb, value):
    assert answers.fits(verb, value)


@pytest.mark.parametrize(
    "verb, value",
    [
        ("file", []),
        ("file", {}),
        ("file", {**FILE, "text": 1}),
        ("options", FILE),
        ("options", {**FILE, "active": [["a", "b"]]}),
        ("options", {**FILE, "active": [["a", "b", 3]]}),
        ("sources", {}),
        ("sources", []),
        ("sources", {**SOURCES, "running": 1}),
        ("sources", {**SOURCES, "main": None}),
        ("sources", {**SOURCES, "files": [["/x", "y"]]}),
        ("sources", {**SOURCES, "files": [["/x"]]}),
        ("sources", {**SOURCES, "files": ["ab"]}),
        ("sources", {**SOURCES, "files": {"/x": []}}),
        ("sources", {**SOURCES, "environment": {"A": 1}}),
        ("argv", {**TOLD, "out": None}),
        ("argv", None),
        ("each", {"uuid": TOLD}),
        ("packages", {"a": 1}),
        ("pending_restarts", [1]),
        ("exists", {"/x": "yes"}),
        ("secret", {"x": 1}),
        ("run", [{}]),
        ("run", [{**STEP, "wave": "1"}]),
        ("host", {"os": "debian"}),
    ],
)
def test_what_it_never_says(verb, value):
    assert not answers.fits(verb, value)


@pytest.mark.parametrize(
    "message",
    [
        {"t": "end"},
        {"t": "beat"},
        {"t": "busy", "who": "run r1"},
        {"t": "held", "number": 3},
        {"t": "read", "id": "x", "value": None},
        {"t": "read", "id": "x", "error": "no"},
        {"t": "begin", "step": 0, "waits": True},
        {"t": "done", "step": 0},
        {"t": "failed", "step": 0, "why": "no"},
    ],
)
def test_what_the_agent_tells(message):
    assert answers.is_message(message)


@pytest.mark.parametrize(
    "message",
    [
        {"t": "rm"},
        {"t": ["end"]},
        {"t": None},
        {"t": "busy"},
        {"t": "held", "number": "3"},
        {"t": "read", "id": 1, "value": 1},
        {"t": "read", "id": "x"},
        {"t": "done"},
        {"t": "done", "step": "0"},
        {"t": "failed", "step": 0},
        {"t": "failed", "step": 0, "why": {"a": 1}},
    ],
)
def test_what_it_never_tells(message):
    assert not answers.is_message(message)


@pytest.mark.parametrize("error, fits", [("no virsh", True), (5, False), (None, False)])
def test_why_a_read_failed_is_a_text(error, fits):
    assert answers.is_message({"t": "read", "id": "x", "error": error}) == fits
