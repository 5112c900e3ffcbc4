"""The QoS specs of a backend's volume type: planned, set, and taken back as they were."""

import copy
import json
from types import SimpleNamespace as Thing

import pytest

from fabfile.cloud import qos
from fabfile.core.contract import CLOUD, BadInput, Facts, Failed
from fabfile.resources import volume_qos
from fabfile.resources.rollback import Undone

from .states import ZED, cluster, site

LIMITS = {"total_iops_sec": "2000", "total_bytes_sec": "100000000"}
WANTED = {"consumer": "front-end", **LIMITS}


def here(**more):
    return site(cloud="c", cinder={"volume_type": "quick", "qos": {**LIMITS, **more}})


class Api:
    """Cinder's API as far as QoS specs go: {name: {'specs': ..., 'types': [...]}}."""

    def __init__(self, there, types=("quick", "slow")):
        self.there, self.kinds = there, types
        self.block_storage = self

    def types(self, is_public=None):
        assert is_public == "None", "private types have QoS specs too"
        return [Thing(name=name, id=f"type-{name}") for name in self.kinds]

    def _answer(self, body=None, code=200):
        text = json.dumps(body) if body is not None else ""
        return Thing(
            status_code=code, content=text, json=lambda: body, headers={}, url="", ok=code < 400
        )

    def _told(self, name):
        specs = dict(self.there[name]["specs"])
        return {"id": f"id-{name}", "name": name, "consumer": specs.pop("consumer"), "specs": specs}

    def get(self, path, params=None):
        _, _, identifier, deed = f"{path}//".split("/")[:4]
        if not identifier:
            return self._answer({"qos_specs": [self._told(name) for name in self.there]})
        types = self.there[identifier.removeprefix("id-")]["types"]
        if deed == "associations":
            found = [
                {"id": f"type-{name}", "name": name, "association_type": "volume_type"}
                for name in types
            ]
            return self._answer({"qos_associations": found})
        name = params["vol_type_id"].removeprefix("type-")
        types.append(name) if deed == "associate" else types.remove(name)
        return self._answer()

    def post(self, path, json):
        body = dict(json["qos_specs"])
        name = body.pop("name")
        self.there[name] = {"specs": body, "types": []}
        return self._answer({"qos_specs": self._told(name)})

    def put(self, path, json):
        _, _, identifier, deed = f"{path}/".split("/")[:4]
        specs = self.there[identifier.removeprefix("id-")]["specs"]
        if deed == "delete_keys":
            for key in json["keys"]:
                del specs[key]
        else:
            specs.update(json["qos_specs"])
        return self._answer()

    def delete(self, path):
        name = path.rpartition("id-")[2]
        assert not self.there[name]["types"]  # Cinder refuses it otherwise
        del self.there[name]
        return self._answer()


def facts(there):
    return Facts({CLOUD: {"qos_specs": there, "volume_types": {}}, "ceph01": cluster()}, {}, ZED)


def plan(there, **more):
    return volume_qos.plan(here(**more), facts(copy.deepcopy(there)))


STATES = [
    # what is there, (sign, sentence)
    (
        {},
        (
            "+",
            "consumer = front-end, total_iops_sec = 2000, total_bytes_sec = 100000000, for volumes "
            "of type quick",
        ),
    ),
    ({"quick": {"specs": WANTED, "types": []}}, ("~", "for volumes of type quick")),
    (
        {"quick": {"specs": {**WANTED, "total_iops_sec": "5", "x": "y"}, "types": ["quick"]}},
        ("~", "total_iops_sec = 2000"),
    ),
    (
        {"quick": {"specs": {"consumer": "back-end", "total_iops_sec": "2000"}, "types": []}},
        ("~", "consumer = front-end, total_bytes_sec = 100000000, for volumes of type quick"),
    ),
    ({"quick": {"specs": WANTED, "types": ["slow"]}}, ("~", "for volumes of type quick")),
    ({"quick": {"specs": {**WANTED, "x": "y"}, "types": ["quick", "slow"]}}, None),
]


@pytest.mark.parametrize("there, expected", STATES)
def test_what_is_missing_is_planned(there, expected):
    changes = plan(there)
    assert [(c.sign, c.sentence) for c in changes] == ([expected] if expected else [])


@pytest.mark.parametrize("there", [there for there, expected in STATES if expected])
def test_it_is_set_as_planned_and_taken_back_as_it_was(there):
    before, api = copy.deepcopy(there), Api(copy.deepcopy(there))
    (change,) = plan(there)
    qos.VERBS[change.verb](api, **change.args)
    seen = qos.read(api)
    assert seen["quick"]["specs"].items() >= WANTED.items()
    assert plan(seen) == []
    qos.VERBS[change.verb](api, **change.args)  # once more does no harm
    assert qos.read(api) == seen
    done = {"thing": change.thing, "sign": change.sign, "verb": "qos", "args": change.args}
    asked = Undone("r1", [done]).reads(here(), Thing(name=CLOUD))
    assert [read.id for read in asked] == ["volume_types", "qos_specs"]
    (back,) = Undone("r1", [done])._cloud(facts(seen))
    qos.VERBS[back.verb](api, **back.args)
    assert api.there == before
    assert Undone("r1", [done])._cloud(facts(api.there)) == []


@pytest.mark.parametrize(
    "there",
    [{}, {"quick": {"specs": {"consumer": "front-end", "total_iops_sec": "5"}, "types": []}}],
)
def test_what_another_type_has_since_is_no_longer_ours_to_take_back(there):
    """Cinder deletes no specs that a type has: the undo ended there, half done."""
    api = Api(copy.deepcopy(there))
    (change,) = plan(there)
    qos.VERBS[change.verb](api, **change.args)
    api.there["quick"]["types"].append("slow")
    seen = qos.read(api)
    done = {"thing": change.thing, "sign": change.sign, "verb": "qos", "args": change.args}
    (back,) = Undone("r1", [done])._cloud(facts(seen))
    assert (back.sign, back.sentence) == ("~", "no longer for type quick")
    (note,) = Undone("r1", [done]).notes(here(), facts(seen), [back])
    assert note == "QoS quick stays as it is: volumes of type slow have it since the run"
    qos.VERBS[back.verb](api, **back.args)
    assert qos.read(api) == {"quick": {**seen["quick"], "types": ["slow"]}}
    assert Undone("r1", [done])._cloud(facts(api.there)) == []


def test_what_somebody_changed_since_stays():
    api = Api({"quick": {"specs": {"consumer": "front-end"}, "types": ["quick"]}})
    (change,) = plan(api.there)
    qos.VERBS[change.verb](api, **change.args)
    api.there["quick"]["specs"]["total_iops_sec"] = "9"
    done = {"thing": change.thing, "sign": change.sign, "verb": "qos", "args": change.args}
    (back,) = Undone("r1", [done])._cloud(facts(qos.read(api)))
    assert back.sentence == "as before: total_bytes_sec"
    assert back.args["was"] == {"total_bytes_sec": None}
    qos.VERBS[back.verb](api, **back.args)
    assert api.there["quick"]["specs"] == {"consumer": "front-end", "total_iops_sec": "9"}


def test_a_type_with_other_limits_is_not_taken_from_them():
    with pytest.raises(BadInput, match=r"cinder\.qos: expected a volume type quick with no QoS"):
        plan({"theirs": {"specs": WANTED, "types": ["quick"]}})


@pytest.mark.parametrize(
    "specs, types",
    [
        ({"consumer": "back-end", "total_iops_sec": "2000"}, ["slow"]),
        ({**WANTED, "total_iops_sec": "1"}, ["quick", "slow"]),
        ({"consumer": "front-end"}, ["slow"]),
        ({**WANTED, "consumer": "both"}, ["a", "b", "c"]),
        ({"consumer": "front-end", "read_iops_sec": "5"}, ["quick", "Quick"]),
    ],
)
def test_limits_that_other_types_have_too_are_not_altered(specs, types):
    there = {"quick": {"specs": specs, "types": types}}
    other = next(one for one in types if one != "quick")
    with pytest.raises(BadInput, match=f"of type {other}") as refused:
        plan(there)
    assert "disassociate" in str(refused.value)


@pytest.mark.parametrize(
    "specs, types, told",
    [
        ({**WANTED, "read_iops_sec": "5"}, [], ["read_iops_sec = 5"]),
        ({**WANTED, "a": "1", "b": "2"}, ["slow"], ["a = 1", "b = 2"]),
        ({**WANTED, "read_iops_sec": "5"}, ["quick"], []),
        (WANTED, [], []),
    ],
)
def test_what_else_a_type_is_limited_by_from_now_on_is_said(specs, types, told):
    seen = facts({"quick": {"specs": specs, "types": types}})
    changes = volume_qos.plan(here(), seen)
    said = " ".join(volume_qos.notes(here(), seen, changes))
    assert [one in said for one in told] == [True] * len(told)
    assert told or "by" not in said.split()


def test_nothing_is_asked_where_the_site_file_limits_nothing():
    cloud = Thing(name=CLOUD)
    assert volume_qos.reads(here(), cloud) == [volume_qos.READ]
    assert volume_qos.reads(site(cloud="c"), cloud) == []
    assert volume_qos.reads(site(cinder={"qos": LIMITS}), cloud) == []
    assert volume_qos.plan(here(), Facts({}, {}, ZED)) == []


@pytest.mark.parametrize(
    "told",
    [
        {"qos_specs": 5},
        {"qos_specs": [{"id": "1", "name": "a\nb", "consumer": "both", "specs": {}}]},
        {"qos_specs": [{"id": "1", "name": "a", "consumer": "both", "specs": {"x": {}}}]},
        [],
    ],
)
def test_an_api_that_says_something_else_is_named(told):
    api = Api({})
    api.get = lambda path: api._answer(told)
    with pytest.raises(Failed, match="expected what the API's reference has"):
        qos.read(api)


@pytest.mark.parametrize("told", [{}, [], {"qos_specs": []}, {"qos_specs": {"name": "quick"}}])
def test_an_api_that_says_something_else_of_what_it_made_is_named(told):
    api = Api({})
    api.post = lambda path, json: api._answer(told)
    with pytest.raises(Failed, match="expected what the API's reference has"):
        qos.ensure(api, "quick", WANTED, {}, bound=False)


@pytest.mark.parametrize(
    "given, said",
    [
        ({"consumer": "nobody", "x": "1"}, "cinder: qos: expected consumer = one of front-end, ba"),
        ({"consumer": "both"}, "cinder: qos: expected a limit beside its consumer, found none"),
        (
            {"total_iops_sec": 5},
            "cinder.qos.total_iops_sec: expected to be a valid string, f",
        ),
    ],
)
def test_a_fault_of_the_site_file_is_named(given, said):
    with pytest.raises(BadInput) as caught:
        site(cinder={"qos": given})
    assert said in str(caught.value)
