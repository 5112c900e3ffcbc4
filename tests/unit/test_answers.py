"""A host that answers something else than it was asked is not believed."""

import pytest

from fabfile.core import answers, strict_json
from fabfile.core.contract import Facts, Failed, Read, Unreachable
from fabfile.core.remote import reads
from fabfile.resources import cluster as of_ceph

from .states import FSID, answer, cluster, site

FILE = {"kind": "file", "mode": "0644", "owner": "root", "group": "root", "sha256": "aa"}
TOLD = {"code": 0, "out": "", "err": ""}
REPOSITORY = {"id": "baseos", "file": "/etc/yum.repos.d/x.repo", "gpgcheck": True}
LABEL = {"path": "/x", "is": "a", "should": "b"}
DENIAL = {
    **{"by": "selinux", "does": "read", "who": "a_t", "what": "x", "kind": "file", "comm": "y"},
    **{"permitted": False, "last": 1.0},
}
WOULD = {"does": "install", "name": "a+b", "version": "2:1-1.el9", "repository": "baseos"}
SOURCES = {"main": "/m", "running": True, "files": [], "environment": {}}
STEP = {"step": 0, "state": "done", "thing": "a", "sentence": "b", "sign": "+", "wave": 1}
STEP["verb_was"] = "edit"

GUARDED = {
    **STEP,
    "verb": "write",
    "args": {"path": "/x"},
    "guard": {"path": "/x"},
    "becomes": "bb",
    "holds": ["volumes"],
    **dict.fromkeys(("was", "is", "now")),
}
RESTARTED = {**STEP, "verb_was": "restart", "verb": "restart", "args": {"units": ["nova-api"]}}
MOVED = {**STEP, "verb": "run", "args": {"argv": []}, "volumes": "ctl@rbd#rbd"}


def gone(step, key):
    return {name: value for name, value in step.items() if name != key}


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
        ("confinement", {"selinux": "off", "labels": [], "denials": []}),
        ("confinement", {"selinux": "permissive", "labels": [LABEL], "denials": [DENIAL]}),
        ("repositories", {"enabled": [], "held": {}, "would": None}),
        ("repositories", {"enabled": [REPOSITORY], "held": {"a": "x: a*"}, "would": [WOULD]}),
        ("pending_restarts", ["nova-compute"]),
        ("exists", {"/x": True}),
        ("secret", "x"),
        ("run", []),
        ("run", [STEP, {"step": 1, "state": "failed", "why": "x"}]),
        ("run", [GUARDED, RESTARTED, MOVED]),
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
        ("confinement", {"selinux": "on", "labels": [], "denials": []}),
        ("confinement", {"selinux": "off", "labels": [{**LABEL, "is": "\x1b[31m"}], "denials": []}),
        ("confinement", {"selinux": "off", "labels": [], "denials": [{**DENIAL, "by": "me"}]}),
        ("repositories", {"enabled": [], "held": {}}),
        ("repositories", {"enabled": [], "held": {"a": "x\ny"}, "would": None}),
        ("repositories", {"enabled": [], "held": {}, "would": [{**WOULD, "name": "a b"}]}),
        ("repositories", {"enabled": [], "held": {}, "would": [{**WOULD, "does": "burn"}]}),
        ("repositories", {"enabled": [{**REPOSITORY, "gpgcheck": 1}], "held": {}, "would": None}),
        ("pending_restarts", [1]),
        ("exists", {"/x": "yes"}),
        ("secret", {"x": 1}),
        ("run", [{}]),
        ("run", [{**STEP, "wave": "1"}]),
        ("run", {}),
        ("run", [[]]),
        ("run", [{"step": 0, "state": "done"}]),
        ("run", [{"state": "failed", "why": "x"}]),
        ("run", [{"step": 0, "state": "failed", "verb_was": "edit"}]),
        *(("run", [gone(GUARDED, key)]) for key in ("args", "was", "now", "is", "sign")),
        ("run", [{**GUARDED, "args": {}}]),
        ("run", [{**GUARDED, "now": 5}]),
        ("run", [{**GUARDED, "becomes": 5}]),
        ("run", [{**GUARDED, "holds": [{}]}]),
        ("run", [{**GUARDED, "begins": [{}]}]),
        ("run", [{**GUARDED, "step": {}}]),
        ("run", [{**RESTARTED, "args": {"units": 5}}]),
        ("run", [{**RESTARTED, "verb": "start", "args": {}}]),
        ("run", [{**MOVED, "volumes": []}]),
        ("run", [gone(MOVED, "args")]),
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


WORK = {
    "reads": [{"id": "rows", "verb": "rows", "most": 1000}, {"id": "host", "verb": "host"}],
    "steps": [{"id": 0}],
    "deadline": 1,
}


@pytest.mark.parametrize(
    "messages",
    [
        [{"t": "part", "id": "rows", "lines": ["x" * 1001]}],
        [{"t": "part", "id": "rows", "lines": []}] * 100,
        [{"t": "part", "id": "rows", "lines": [""] * 100}],
        [{"t": "part", "id": "rows", "lines": [5]}],
        [{"t": "part", "id": "other", "lines": []}],
        [{"t": "read", "id": "host", "value": 1}] * 2,
        [{"t": "read", "id": "other", "value": 1}],
        [{"t": "done", "step": 0}],
        [{"t": "begin", "step": 0}] * 2,
        [{"t": "begin", "step": 7}],
        [{"t": "busy", "who": "x"}] * 100,
    ],
)
def test_no_more_is_taken_than_was_asked(messages):
    expected = answers.Expected("n1", WORK)
    with pytest.raises(Unreachable, match="^n1"):
        for message in messages:
            expected.take(message)


def test_what_is_asked_is_taken_and_long_words_are_cut():
    expected = answers.Expected("n1", WORK)
    for message in (
        {"t": "beat"},
        {"t": "part", "id": "rows", "lines": ["a"]},
        {"t": "read", "id": "rows", "value": 1},
        {"t": "begin", "step": 0},
    ):
        assert expected.take(message) == message
    assert len(expected.take({"t": "failed", "step": 0, "why": "x" * 9999})["why"]) == 4096


@pytest.mark.parametrize("number", [-1, 10**18, True])
def test_a_runs_number_is_one_that_the_next_run_can_pass(number):
    assert not answers.is_message({"t": "held", "number": number})


@pytest.mark.parametrize(
    "text", ["NaN", "1e999", "[" * 100_000, "9" * 5000, '"\\ud800"', "[", "-Infinity"]
)
def test_json_that_is_none_or_without_bounds(text):
    with pytest.raises(ValueError):
        strict_json.loads(text)


_UNIT = {"LoadState": "loaded", "ActiveState": "active"}


@pytest.mark.parametrize(
    "read, value",
    [
        (Read("p", "packages", {"names": ["a"]}), {}),
        (Read("p", "packages", {"names": ["a"]}), {"a": "1", "nova-common": 5}),
        (Read("e", "exists", {"paths": ["/x"]}), {}),
        (Read("e", "exists", {"paths": ["/x"]}), {"/x": True, "/y": "yes"}),
        (Read("u", "units", {"names": ["a"]}), {"a": _UNIT, "b": []}),
        (Read("f", "file", {"path": "/x", "text": True}), FILE),
        (Read("f", "file", {"path": "/x"}), {**FILE, "mode": "rw"}),
        (Read("d", "disk", {"paths": ["/"]}), {"/": []}),
        (Read("u", "units", {"names": ["a"]}), {"a": {}}),
        (Read("e", "each", {"then": {"xml": {}}}), {"x": {}}),
        (Read("a", "argv", {"argv": ["x"], "peel": True}), TOLD),
        (Read("a", "argv", {"argv": ["x"]}), {**TOLD, "code": 5}),
        (Read("a", "argv", {"argv": ["x"]}, told=[]), {**TOLD, "out": "{}"}),
        (Read("s", "secret", {"argv": ["x"]}), "a\n[client]"),
    ],
)
def test_an_answer_has_what_its_question_asks_for(read, value):
    assert answers.wrong(read, value).count("expected") == 1


EVIL = "\n[client]\nadmin_socket = /etc/cron.d/x\n#"


@pytest.mark.parametrize(
    "monmap",
    [
        {"fsid": FSID + EVIL, "mons": [{"rank": 0, "addr": "10.0.0.1:6789/0"}]},
        {"fsid": FSID, "mons": [{"rank": 0, "addr": "10.0.0.1:6789" + EVIL}]},
        {"fsid": FSID, "mons": [{"rank": 0, "addr": "10.0.0.1:6789 keyring=/x"}]},
        *(
            {"fsid": FSID, "mons": [{"rank": 0, "public_addrs": {"addrvec": [address]}}]}
            for address in (
                {"type": "v2", "addr": "10.0.0.1:3300" + EVIL},
                {"type": "v2" + EVIL, "addr": "10.0.0.1:3300"},
                {"type": "v2", "addr": "mon,[x]:3300"},
            )
        ),
    ],
)
def test_a_monitor_map_writes_no_line_of_its_own(monmap):
    facts = Facts({"ceph01": {**cluster(), "ceph.monmap": answer(monmap)}, "n1": {}})
    with pytest.raises(Failed, match="^ceph01: ceph monmap"):
        of_ceph.seen(site(), facts)
