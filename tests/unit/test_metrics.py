"""Prometheus' text: names, units, escaping, and no line for what is not known."""

import re

import pytest

from fabfile.core.contract import Unreachable
from fabfile.report.metrics import metrics

from .clouds import MADE
from .reports import HOSTILE, NOW, PROOF, RUNS, broken, check, run, told, verify

LINE = re.compile(r'([a-z_:]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (-?[0-9.e+]+)')


def parsed(text):
    """{(name, its labels but the site): value}; refuses what is no line of the format."""
    found, told_of, typed = {}, set(), set()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, words = line[7:].partition(" ")
            assert words and name not in told_of
            told_of.add(name)
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split()
            assert kind == "gauge" and name in told_of
            typed.add(name)
        else:
            name, labels, value = LINE.fullmatch(line).groups()
            assert name in typed
            pairs = dict(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels))
            assert pairs.pop("site")
            key = (name, *sorted(pairs.items()))
            assert key not in found
            found[key] = float(value)
    return found


def value(document, name, **labels):
    return parsed(metrics(document)).get((f"stackrbd_{name}", *sorted(labels.items())))


def test_a_healthy_site():
    document = told(runs=RUNS)
    for name, labels, expected in (
        ("healthy", {}, 1),
        ("report_timestamp_seconds", {}, NOW),
        ("host_answered", {"host": "n2"}, 1),
        ("changes_pending", {"host": "n2"}, 0),
        ("changes_pending", {"host": "cloud"}, 0),
        ("drift_known", {}, 1),
        ("findings", {"severity": "error"}, 0),
        ("secrets_differing", {}, 0),
        ("key_created_timestamp_seconds", {"client": "volumes"}, MADE),
        ("last_run_success", {}, 1),
        ("last_run_exit_code", {}, 0),
        ("last_run_timestamp_seconds", {}, NOW - 3600),
        ("last_run_duration_seconds", {}, 12.5),
        ("last_verify_success", {}, 1),
        ("last_verify_timestamp_seconds", {}, NOW - 7200),
        ("last_verify_checks", {"result": "passed"}, 3),
        ("last_verify_checks", {"result": "failed"}, 0),
        ("build_info", {"version": "0.1.0"}, 1),
        ("ceph_daemons", {"version": "16.2.15"}, 1),
        ("openstack_hosts", {"service": "nova", "version": "26.2.2", "release": "zed"}, 2),
    ):
        assert value(document, name, **labels) == expected, name


def test_a_broken_site():
    runs = [run(outcome="failed", code=1), verify(*PROOF, check("x", False), code=6)]
    document = told(broken, runs=runs)
    for name, labels, expected in (
        ("healthy", {}, 0),
        ("changes_pending", {"host": "n2"}, 1),
        ("changes_pending", {"host": "n1"}, 0),
        ("findings", {"severity": "error"}, 2),
        ("secrets_differing", {}, 1),
        ("last_run_success", {}, 0),
        ("last_run_exit_code", {}, 1),
        ("last_verify_success", {}, 0),
        ("last_verify_checks", {"result": "failed"}, 1),
    ):
        assert value(document, name, **labels) == expected, name


def test_what_is_not_known_has_no_line():
    gone = {"n2": Unreachable("n2: no")}
    document = told(
        lambda c: [c.pop("n2"), c.pop("cloud"), c["ceph01"].pop("ceph.kinds")],
        runs=[run(outcome="not ended", code=None)],
        unreachable=gone,
    )
    assert value(document, "host_answered", host="n2") == 0
    assert value(document, "drift_known") == 0
    for name, labels in (
        ("changes_pending", {"host": "n2"}),
        ("changes_pending", {"host": "cloud"}),
        ("key_created_timestamp_seconds", {"client": "volumes"}),
        ("last_run_exit_code", {}),
        ("last_verify_success", {}),
        ("last_verify_checks", {"result": "passed"}),
    ):
        assert value(document, name, **labels) is None, name
    assert value(document, "last_run_success") == 0


def test_a_host_that_was_not_asked_has_no_line():
    document = told(lambda cloud: cloud.pop("n2"))
    assert value(document, "host_answered", host="n2") is None


def test_nothing_is_known_and_nothing_breaks():
    document = told(lambda cloud: cloud.clear(), known={}, release="")
    assert value(document, "findings", severity="error") is not None


@pytest.mark.parametrize("text", [HOSTILE, 'a"} 1\nstackrbd_healthy{site="x', "\\", "\r\n", "é"])
def test_labels_are_escaped(text):
    def change(cloud):
        cloud["n1"]["packages"]["nova-common"] = text

    document = told(change)
    found = parsed(metrics({**document, "version": text}))
    assert found["stackrbd_healthy",] in (0, 1)
    assert sum(key[0] == "stackrbd_build_info" for key in found) == 1
    metrics(document).encode()
