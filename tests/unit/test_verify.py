"""verify --canary: whom it is about, what is told and recorded of it, and how it ends."""

import json
import os
import signal

import pytest

from fabfile.cloud.checks import Check
from fabfile.core import journal
from fabfile.core.contract import BadInput, Interrupted, Stop, Unproved, Unreachable
from fabfile.flow.proof import verify
from fabfile.flow.session import Options
from fabfile.model import releases

from . import test_offered
from .test_rollout import GATED, fleet  # noqa: F401 (a fixture)


@pytest.fixture
def flown(fleet, monkeypatch):  # noqa: F811
    """A canary that says what it is told to: checks, or what it raises."""
    with open(fleet.site, "a") as site:
        site.write(GATED + "verify.at_once = 2\n")
    fleet.checks, fleet.raises, fleet.flights, fleet.expected = [], None, [], None

    def prove(connect, settings, flight, ceph, listener):
        fleet.expected = flight.dependents
        fleet.flights.append((settings.computes, flight.targets, flight.at_once, flight.backend))
        for check in fleet.checks:
            listener.raise_if_stopped()
            listener.on_check(check)
        if fleet.raises:
            fleet.raises(listener)
        return fleet.checks

    monkeypatch.setattr("fabfile.cloud.canary.prove", prove)
    fleet.cloud = test_offered.cloud(["m1.tiny", "m1.small"], ["cirros"])
    monkeypatch.setattr("fabfile.cloud.connection.connect", lambda *_: fleet.cloud)
    return fleet


def check(name, host="", ok=True, seconds=2.0, detail="it is so"):
    return Check(f"{host}: {name}" if host else name, ok, detail, seconds, host)


def canary(fleet, sample="", at_once="", **flags):  # noqa: F811
    return verify.canary({}, Options(site=fleet.site, **flags), sample, at_once)


def events():
    return next(iter(journal.runs()))[1]


ALL = ("both", "n1", "n2", "n3", "n4", "n5")


@pytest.mark.parametrize(
    "words, expected",
    [
        ({}, (ALL, ALL, 2, "")),
        ({"limit": "n1,n2"}, (("n1", "n2"), ("n1", "n2"), 2, "")),
        ({"limit": "n1"}, (("n1",), ("n1",), 2, "")),
        ({"at_once": "7"}, (ALL, ALL, 7, "")),
    ],
)
def test_whom_it_is_about(flown, words, expected):
    assert canary(flown, **words) == 0
    assert flown.flights == [expected]


def test_what_is_right_with_clones_is_that_of_the_release(flown):
    """Which is told by the packages of Glance's and Cinder's hosts; here, Zed."""
    canary(flown)
    assert flown.expected.v2 is None
    assert flown.expected.answers["image"] == {"v1": "in use", "v2": "in use"}
    assert flown.expected.answers["snapshot"] == {"v1": "busy", "v2": "deleted"}


def test_of_a_release_that_is_not_told_nothing_is_expected(flown):
    plain = flown.values
    untold = dict.fromkeys(releases.PACKAGES)
    flown.values = lambda host: {**plain(host), "packages": untold}
    canary(flown)
    assert dict(flown.expected.answers) == {}


def test_a_sample_migrates_to_all_of_the_limit(flown):
    canary(flown, sample="2", limit="n*")
    ((computes, targets, *_),) = flown.flights
    assert len(computes) == 2 and set(computes) < set(targets)
    assert targets == ("n1", "n2", "n3", "n4", "n5")


@pytest.mark.parametrize(
    "words", [{"sample": "0"}, {"at_once": "0"}, {"at_once": "65"}, {"at_once": "x"}]
)
def test_bad_words_are_said_before_anything_is_made(flown, words):
    with pytest.raises(BadInput, match="expected"):
        canary(flown, **words)
    assert flown.flights == [] and list(journal.runs()) == []


def test_each_check_is_recorded_as_it_ends_with_its_time(flown, capsys):
    flown.checks = [check("an image in Glance"), check("it is attached", "n1", seconds=3.5)]
    canary(flown)
    proved = [event for event in events() if event["event"] == "proof"]
    assert [(p["name"], p["host"], p["seconds"]) for p in proved] == [
        ("an image in Glance", "", 2.0),
        ("n1: it is attached", "n1", 3.5),
    ]
    assert (events()[0]["task"], events()[-1]["code"]) == ("verify", 0)
    assert "  1 of 1  it is attached: median 3.5 s, longest 3.5 s on n1\n" in (
        capsys.readouterr().out
    )


def test_what_failed_is_named_and_the_exit_code_is_that_of_a_proof(flown, capsys):
    flown.checks = [
        check("it is attached", "n1", False, detail="Nova gave up"),
        check("it is attached", "n2"),
    ]
    with pytest.raises(Stop) as stopped:
        canary(flown)
    assert stopped.value.code == 6
    assert str(stopped.value) == "the canary died:\n  n1: it is attached: Nova gave up"
    assert events()[-1]["code"] == 6 and "Nova gave up" in events()[-1]["why"]
    out = capsys.readouterr().out
    assert "n1             FAILED    2.0 s  it is attached: Nova gave up\n" in out
    assert "  1 of 2  it is attached: median 2.0 s, longest 2.0 s on n2\n" in out


def test_with_json_the_last_document_is_the_result(flown, capsys):
    flown.checks = [check("it is attached", "n1")]
    canary(flown, json=True)
    *streamed, result = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in streamed] == ["proof", "ended"]
    assert [one["name"] for one in result["checks"]] == ["n1: it is attached"]


def test_a_canary_that_lives_ends_with_a_verdict(flown, capsys):
    flown.checks = [check("it is attached", "n1"), check("it is attached", "n2")]
    canary(flown)
    assert capsys.readouterr().out.splitlines()[-1] == "Proved: 2 of 2 checks"


@pytest.fixture
def proved(flown, monkeypatch):
    """What verify finds without --canary: the fleet's checks."""
    monkeypatch.setattr("fabfile.cloud.proof.prove", lambda *_: flown.checks)

    def run(**flags):
        return verify.prove({}, Options(site=flown.site, **flags))

    return run


def test_what_is_proved_ends_with_a_verdict(flown, proved, capsys):
    flown.checks = [check("an image in Glance"), check("it is attached", "n1")]
    assert proved() == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Proved: 2 of 2 checks"
    assert proved(json=True) == 0
    *_, result = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["name"] for one in result["checks"]] == ["an image in Glance", "n1: it is attached"]


def test_what_is_not_proved_says_how_much(flown, proved, capsys):
    flown.checks = [check("an image in Glance"), check("it is attached", "n1", False)]
    with pytest.raises(Unproved, match="1 of 2 checks failed; see the lines .* begin with NOT"):
        proved()
    said = capsys.readouterr().out
    assert "  NOT " in said and "Proved" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_at_the_next_step_and_is_recorded(flown, number):
    def signalled(listener):
        os.kill(os.getpid(), number)
        for _ in range(10_000_000):
            listener.raise_if_stopped()

    flown.raises = signalled
    with pytest.raises(Interrupted, match="what the canary made is removed"):
        canary(flown)
    assert events()[-1]["code"] == 130


def test_a_cloud_that_does_not_answer_is_recorded(flown):
    def silent(listener):
        raise Unreachable("cloud x: Keystone does not answer")

    flown.raises = silent
    with pytest.raises(Unreachable):
        canary(flown)
    assert events()[-1]["code"] == 4


def test_without_means_it_says_what_is_missing(fleet):  # noqa: F811
    with pytest.raises(BadInput, match="verify --canary: expected `cloud`"):
        canary(fleet)


@pytest.mark.parametrize("task", ["verify", "verify --canary"])
def test_without_a_guest_it_says_where_and_all_that_is_needed(fleet, task):  # noqa: F811
    with open(fleet.site, "a") as site:
        site.write('cloud = "x"\n')
    with pytest.raises(BadInput) as stopped:
        begin(fleet, task)
    said = str(stopped.value)
    assert said.startswith(f"{task}: expected in [verify] of {fleet.site} an `image`")
    for word in ("`guest`", "`flavor`", "m1.tiny", "docs/verify.md"):
        assert word in said


MANY = [f"f{number:02}" for number in range(12)]


@pytest.mark.parametrize("task", ["verify", "verify --canary"])
@pytest.mark.parametrize(
    "lines, flavors, images, said",
    [
        ("", ["a", "b"], [], ["verify.flavor: 'm1.tiny': there is none", "one of: a, b"]),
        ("", [], [], ["verify.flavor: 'm1.tiny'", "expected one of: none is there"]),
        ("", MANY, [], [f"one of: {', '.join(MANY[:10])} and 2 more"]),
        ('verify.image = "x"\n', ["m1.tiny"], ["y"], ["verify.image: 'x': there", "one of: y"]),
        ('verify.image = "x"\n', ["m1.tiny"], ["x", "x"], ["verify.image: 'x': several"]),
        (
            'verify.image = "x"\nverify.flavor = "f"\n',
            ["a"],
            ["y"],
            ["verify.flavor: 'f'", "one of: a\n", "verify.image: 'x'", "one of: y"],
        ),
    ],
)
def test_what_is_not_there_is_refused_before_anything_is_made(  # noqa: PLR0913, PLR0917
    flown, monkeypatch, task, lines, flavors, images, said
):
    def made(*_):
        raise AssertionError("something is made")

    monkeypatch.setattr("fabfile.cloud.proof.prove", made)
    with open(flown.site, "a") as site:
        site.write(lines)
    flown.cloud = test_offered.cloud(flavors, images)
    with pytest.raises(BadInput) as stopped:
        begin(flown, task)
    assert flown.flights == [] and stopped.value.code == 3
    assert f"{task}: {flown.site}: " in str(stopped.value)
    for word in said:
        assert word in str(stopped.value)
    assert events()[-1]["code"] == 3


def begin(fleet, task):  # noqa: F811
    return canary(fleet) if "canary" in task else verify.prove({}, Options(site=fleet.site))


TWO = """
[cinder.backends.rbd]
pool = "volumes"
[cinder.backends.fast]
pool = "fast"
volume_type = "quick"
[pools]
volumes = {}
fast = {}
images = {}
[clients]
volumes = {}
images = {}
"""


def test_each_backend_is_proved_by_its_type_in_its_pool(flown, monkeypatch):
    with open(flown.site, "a") as site:
        site.write(TWO)
    asked, proved = [], []

    def answers(host):
        return {"argv": {"code": 0, "out": '{"images": [{"used_size": 7}]}', "err": ""}}

    def prove(connect, settings, flight, ceph, listener):
        plain, flown.values = flown.values, answers
        try:
            asked.append(ceph("used", "v1"))
        finally:
            flown.values = plain
        proved.append((settings.volume_type, settings.about, flight.dependents is None))
        return [check("it is attached", "n1")]

    argvs = []
    questions = verify.rbd.questions
    monkeypatch.setattr(
        "fabfile.cloud.rbd.questions",
        lambda rbd, pool, backups: argvs.append(pool) or questions(rbd, pool),
    )
    monkeypatch.setattr("fabfile.cloud.canary.prove", prove)
    assert canary(flown) == 0
    assert proved == [("rbd", "rbd", False), ("quick", "fast", True)]
    assert (argvs, asked) == (["volumes", "fast"], [7, 7])
