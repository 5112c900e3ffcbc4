"""A few inputs of each kind from outside, damaged: what `make fuzz` does for an hour.

And what it has found: one host's odd answer ends no look at the others.
"""

import copy

import pytest

from fabfile.audit import database_rows, frozen_monitors, rbd_images
from fabfile.cloud import holdings, volume_types
from fabfile.core import shapes
from fabfile.core.contract import BadInput, Facts, Failed, Stop
from fabfile.core.remote import processes, server_kinds, state, units
from fabfile.doctor import checks
from fabfile.flow.inspect import survey
from fabfile.resources import rollback, volume_storage
from tests.fuzz import runner, targets, world

from . import clouds, states, test_rollback

INPUTS = 330
"""All in all; the seed stays, so that a failure is the change's own."""


@pytest.mark.parametrize("name", runner.TARGETS)
def test_damaged_inputs_end_well(name):
    failed = [one for case in runner.few("unit", INPUTS, name) if (one := runner.run(case))]
    assert not failed, f"python -m tests.fuzz --case '{failed[0].case}'\n{failed[0].trace}"


def test_a_seed_makes_the_same_input_again():
    for name in runner.TARGETS:
        (_, one), (_, other) = (runner.damaged(name, f"x/{name}/1") for _ in range(2))
        assert repr(one) == repr(other)


def test_what_the_runner_takes_for_a_failure(monkeypatch):
    def acting(act):
        monkeypatch.setitem(runner.TARGETS, "json", targets.Target("x", list, list, act))
        monkeypatch.setattr(runner, "damaged", lambda name, case: (None, case))
        failure = runner.run("x/json/1")
        return failure and failure.error.partition(":")[0]

    def stops(case, found):
        raise BadInput("a\x1b[2J")

    assert acting(lambda case, found: None) is None
    assert acting(stops) is None
    assert acting(lambda case, found: {}["x"]) == "KeyError"
    assert acting(lambda case, found: print("a\x1b[2J")) == "Odd"
    assert acting(lambda case, found: case.page("x.html", "\u202e")) == "Odd"
    assert acting(lambda case, found: bytearray(1 << 30)) == "MemoryError"
    monkeypatch.setattr(runner, "DEADLINE", 0.05)
    assert acting(lambda case, found: [None for _ in iter(int, 1)]) == "TooLong"


@pytest.mark.parametrize("key", [b"", b"x", b"-----BEGIN OPENSSH PRIVATE KEY-----\n", None])
def test_a_key_of_this_machine_that_is_none_ends_no_look_at_hosts(tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "record.sign"
    path.write_bytes(key or b"")
    path.chmod(0o644 if key is None else 0o600)
    hosts, site = world.now(clouds.hosts()), world.whole_site()
    with world.task(
        site, hosts, {"volumes": (), "services": (), "attachments": (), "types": ()}
    ) as opened:
        seen = survey.look(opened("doctor"))
    assert "here.records" in dict(seen.doubts) and seen.seen("n1", "host")
    found = [one for one in checks.findings(site, seen)[0] if one.code == "here.records"]
    assert "record.sign" in found[0].cause


# What it has found: each was a traceback, or ended a look


def without_host(host):
    return lambda cloud: cloud[host].pop("host")


def xml_of(text):
    def change(cloud):
        cloud["n1"]["libvirt.secrets"] = {
            states.OTHER: {"xml": clouds.said(text), "value": clouds.said(code=1)},
            **cloud["n1"]["libvirt.secrets"],
        }
        cloud["n2"]["libvirt.secrets"] = {}

    return change


@pytest.mark.parametrize("host", ["ceph01", "ctl", "n1"])
def test_a_look_at_hosts_of_which_one_does_not_say_who_it_is(host):
    def change(cloud):
        cloud[host].pop("host")
        cloud["n2"]["libvirt.secrets"] = {}

    change_of_cloud = clouds.found(change, states.site(cinder={"replaces": "old"}))
    assert host == "ceph01" or "n2" in {name for one in change_of_cloud for name in one.hosts}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<",
        "<secret>",
        "x" * 9999,
        "<?xml version='1.0' encoding='x'?><a/>",
        "\udc80",
        "<a>\0</a>",
    ],
)
def test_one_secret_that_is_no_xml_ends_no_look_at_the_others(text):
    found = clouds.found(xml_of(text))
    assert "n2" in {name for one in found for name in one.hosts}
    assert not [one for one in found if one.code == "libvirt.usage"]


def test_a_host_without_a_name_is_named_as_such():
    with pytest.raises(Failed, match="expected its hostname"):
        volume_storage.own_name({}, {})
    assert volume_storage.own_name({}, {("DEFAULT", "host"): "x"}) == "x"


@pytest.mark.parametrize(
    "value, shape",
    [
        ({"*": 5}, {"*": str}),
        ({"a?": 5}, {"a?": str, "*": str}),
        ({"*": []}, {"a": str, "*": {}}),
    ],
)
def test_no_name_is_passed_over(value, shape):
    assert shapes.misfit(value, shape)


@pytest.mark.parametrize(
    "line",
    ["", "volume", "stranger\ta", "volume\ta", "volume" + "\tx" * 7, "image\ta\tb\tc\td\te"]
    + ["volume\tv\tv\tin-use\t" + size + "\th\t" for size in ("²", "-1", "x", "1.5", "9" * 5000)],
)
def test_a_line_that_is_no_row_is_named(line):
    for read in (database_rows.rows, database_rows.schemas, frozen_monitors.kept):
        with pytest.raises(Failed, match="expected a row of what was asked for, found"):
            read([line])


@pytest.mark.parametrize("hosts", ["[" * 100_000, "NaN", "5", '{"a": 1}', "x"])
def test_monitors_that_are_no_list_are_none(hosts):
    (kept,) = frozen_monitors.kept([f"nova\ti\tv\t{hosts}"]).attachments
    assert kept.monitors == frozenset()


@pytest.mark.parametrize(
    "answer", [5, "x", [5], {}, {"watchers": 5}, {"watchers": [5]}, {"watchers": [{"address": 5}]}]
)
def test_what_rbd_does_not_say_is_named(answer):
    if answer != {}:  # without watchers there are none
        with pytest.raises(Failed, match="rbd status: expected JSON as rbd writes it"):
            rbd_images.watchers(clouds.answer(answer))
    with pytest.raises(Failed, match="rbd ls -l: expected JSON"):
        rbd_images.listed("p", [str(answer)])


ROW = {"id": "v", "name": "n", "host": "ctl@rbd#rbd", "status": "in-use"}
INFO = {"driver_volume_type": "rbd", "auth_username": "u", "hosts": ["10.0.0.1"]}


def listed(**told):
    return world.api(
        {"volumes": [], "backups": [], "services": [], "attachments": [], "types": [], **told}
    )


@pytest.mark.parametrize(
    "told",
    [
        *(
            {"volumes": [{**ROW, key: odd}]}
            for key in ("id", "host", "status")
            for odd in (5, ["x"])
        ),
        {"volumes": [{**ROW, "host": "a\x1b[2J"}]},
        {"services": [{"binary": "cinder-volume", "host": None}]},
        {"services": [{"binary": "cinder-volume", "host": {}}]},
        *({"attachments": [{"connection_info": odd}]} for odd in (5, [5], "x", {"data": 5})),
        {"attachments": [{"connection_info": {**INFO, "hosts": "10.0.0.1"}}]},
        {"attachments": [{"connection_info": {**INFO, "hosts": [5]}}]},
        {"attachments": [{"connection_info": {**INFO, "auth_username": []}}]},
        {"attachments": [{"volume_id": 5}]},
        {"backups": [{"id": 5}]},
        {"backups": [{"id": "b", "status": "available", "object_count": "7"}]},
        {"backups": [{"id": "b", "status": "available", "container": ["x"]}]},
    ],
)
def test_what_cinder_does_not_say_is_named(told):
    with pytest.raises(Failed, match="cinder: "):
        holdings.read(listed(**told))


@pytest.mark.parametrize("odd", [{"name": None}, {"extra_specs": []}, {"extra_specs": {"a": 5}}])
def test_a_type_that_is_none_is_named(odd):
    with pytest.raises(Failed, match="cinder: types"):
        volume_types.read(listed(types=[{"name": "rbd", "extra_specs": {}, **odd}]))


STEP = '{"step": 0, "state": "begun"}\n'


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"step": {}}',
        '{"step": [1]}',
        '{"step": null}',
        "5",
        "[]",
        '{"step": 0',
        "\udc80",
    ],
)
def test_a_line_that_is_no_step_is_passed_over(tmp_path, monkeypatch, line):
    monkeypatch.setattr(state, "STATE", str(tmp_path))
    (tmp_path / "runs" / "r1").mkdir(parents=True)
    data = (STEP + line + "\n" + STEP).encode("utf-8", "surrogateescape")
    (tmp_path / "runs" / "r1" / "steps.jsonl").write_bytes(data)
    assert state.steps("r1") == [{"step": 0, "state": "begun"}]


@pytest.mark.parametrize("text", ["", "x", "10", "10.", "a10.1", "." * 9, "9" * 5000 + ".1"])
def test_a_version_without_numbers_is_named(text):
    with pytest.raises(processes.Failed, match="expected numbers, found"):
        server_kinds.number_of(text)


def test_an_empty_line_is_no_unit(monkeypatch):
    monkeypatch.setattr(units, "expect", lambda *_: (0, "a.service loaded\n\n \n", ""))
    assert units.running() == ["a"]


@pytest.mark.parametrize("listed_", ["{", "5", "{}", "[" * 100_000, "null", "NaN"])
def test_a_user_stays_whose_pools_nobody_could_list(listed_):
    seen = test_rollback.facts(ceph=[test_rollback.USER], images=listed_)
    assert rollback.Undone("r1").plan(states.site(), seen) == []
    (note,) = rollback.Undone("r1").notes(states.site(), seen, [])
    assert "was not seen" in note


def test_what_was_made_in_a_cloud_that_the_site_file_no_longer_names():
    undone = rollback.Undone("r1", [copy.deepcopy(test_rollback.MADE)])
    with pytest.raises(Stop, match="expected the name of a cloud.*--limit"):
        undone.plan(states.site(), Facts({}))
