"""What a pool is like: set when it is made, shown where it is there, altered by `manage` alone."""

import json
import sys

import pytest

from fabfile.core.contract import BadInput, Facts, Failed
from fabfile.core.remote import processes, reads, state, steps
from fabfile.resources import ceph_conf, librados, pool_settings, pools
from fabfile.resources.rollback import Undone

from .states import FSID, HOSTS, answer, cluster, file, site

RULES = [
    {
        "rule_id": 0,
        "rule_name": "replicated_rule",
        "steps": [{"op": "take", "item_name": "default"}],
    },
    {
        "rule_id": 3,
        "rule_name": "theirs",
        "steps": [
            {"op": "take", "item": -2, "item_name": "default~ssd"},
            {"op": "chooseleaf_firstn", "num": 0, "type": "host"},
            {"op": "emit"},
        ],
    },
]
OURS = {"rule_id": 4, "rule_name": "replicated_nvme", "steps": RULES[1]["steps"]}
DF = {"pools": [{"name": "volumes", "stats": {"stored": 1 << 30, "bytes_used": 5 << 30}}]}


def pool(name="volumes", **more):
    made = {
        "pool_name": name,
        "type": 1,
        "size": 3,
        "min_size": 2,
        "pg_num": 32,
        "pg_autoscale_mode": "on",
        "crush_rule": 0,
        "quota_max_bytes": 0,
        "quota_max_objects": 0,
        "options": {},
        "application_metadata": {"rbd": {}},
    }
    return {**made, **more}


def here(**wanted):
    return site(pools={"volumes": wanted, "images": {}})


def facts(*there, rules=RULES, classes=("hdd", "ssd"), **more):
    seen = cluster(pools=[pool("images"), *there], **more)
    seen |= {
        "ceph.rules": answer(list(rules)),
        "ceph.classes": answer(list(classes)),
        "ceph.df": answer(DF),
    }
    return Facts({"ceph01": seen})


def words(change):
    argv = change.args["argv"]
    return " ".join(argv[5:] if argv[0] == "ceph" else argv)


def plan(wanted, *there, **more):
    return [words(c) for c in pools.plan(here(**wanted), facts(*there, **more))]


DIFFERENT = [
    # wanted, what is there otherwise, (what it is now, what it becomes), the command
    ({"size": 2}, {}, ("size 3", "size 2"), "osd pool set volumes size 2"),
    (
        {"size": 1},
        {},
        ("size 3", "size 1"),
        "osd pool set volumes size 1 --yes-i-really-mean-it",
    ),
    ({"min_size": 1}, {}, ("min_size 2", "min_size 1"), "osd pool set volumes min_size 1"),
    (
        {"pg_autoscale_mode": "warn"},
        {},
        ("pg_autoscale_mode on", "pg_autoscale_mode warn"),
        "osd pool set volumes pg_autoscale_mode warn",
    ),
    (
        {"pg_num": 64},
        {"pg_autoscale_mode": "off"},
        ("pg_num 32", "pg_num 64"),
        "osd pool set volumes pg_num 64",
    ),
    (
        {"target_size_ratio": 0.4},
        {},
        ("target_size_ratio 0", "target_size_ratio 0.4"),
        "osd pool set volumes target_size_ratio 0.4",
    ),
    (
        {"target_size_ratio": 0},
        {"options": {"target_size_ratio": 0.25}},
        ("target_size_ratio 0.25", "target_size_ratio 0"),
        "osd pool set volumes target_size_ratio 0",
    ),
    (
        {"compression_mode": "aggressive"},
        {},
        ("compression_mode none", "compression_mode aggressive"),
        "osd pool set volumes compression_mode aggressive",
    ),
    (
        {"compression_algorithm": "zstd"},
        {"options": {"compression_algorithm": "snappy"}},
        ("compression_algorithm snappy", "compression_algorithm zstd"),
        "osd pool set volumes compression_algorithm zstd",
    ),
    (
        {"quota": "2G"},
        {},
        ("max_bytes 0", "max_bytes 2147483648"),
        "osd pool set-quota volumes max_bytes 2147483648",
    ),
    (
        {"quota_objects": 0},
        {"quota_max_objects": 7},
        ("max_objects 7", "max_objects 0"),
        "osd pool set-quota volumes max_objects 0",
    ),
    (
        {"device_class": "ssd"},
        {},
        ("crush_rule replicated_rule", "crush_rule replicated_ssd"),
        "osd pool set volumes crush_rule replicated_ssd",
    ),
    (
        {"crush_rule": "theirs"},
        {},
        ("crush_rule replicated_rule", "crush_rule theirs"),
        "osd pool set volumes crush_rule theirs",
    ),
]
MOVES = {"size", "pg_num", "target_size_ratio", "crush_rule"}


@pytest.mark.parametrize("wanted, there, diff, command", DIFFERENT)
def test_a_pool_that_is_there_is_compared_and_altered_by_manage_alone(wanted, there, diff, command):
    seen = facts(pool(**there))
    old, new = diff
    assert pools.plan(here(**wanted), seen) == []
    (note,) = pool_settings.notes(here(**wanted), seen, [])
    value = new.partition(" ")[2]
    assert note.startswith(f"pool volumes: {old}, {value} in the site file: it stays as it is;")
    assert "manage = true under [pools.volumes]" in note

    managed = here(**wanted, manage=True)
    changes = pools.plan(managed, seen)
    change = changes[-1]
    assert (words(change), change.sign, change.diff) == (command, "~", (f"- {old}", f"+ {new}"))
    said = pool_settings.notes(managed, seen, changes)
    assert len(said) == (old.partition(" ")[0] in MOVES)
    felt = "copies are taken away" if old.startswith("size") else "(5.0 GiB) moves"
    assert all(f"{old} becomes {value}" in one and felt in one for one in said)


@pytest.mark.parametrize("wanted, there, diff, command", DIFFERENT)
def test_what_was_there_is_the_way_back(wanted, there, diff, command):
    change = pools.plan(here(**wanted, manage=True), facts(pool(**there)))[-1]
    if "set-quota" in command:
        assert change.stays.startswith(diff[0].replace(" ", " was "))
        assert "undo" not in change.args
        return
    back = change.args["undo"]
    absent = diff[0] == "compression_mode none"  # it is not set, and is not to be then
    old = "compression_mode unset" if absent else diff[0]
    assert " ".join(back["args"]["argv"][5:]).startswith(f"osd pool set volumes {old}")
    if (key := diff[0].split()[0]) in ("size", "pg_num"):
        assert back["guard"]["argv"][3:] == ["osd", "pool", "ls", "detail"]
        return
    assert back["guard"]["argv"][5:] == ["osd", "pool", "get", "volumes", key]


@pytest.mark.parametrize(
    "wanted, there",
    [
        ({"size": 3, "min_size": 2}, {}),
        # the autoscaler has its own mind of pg_num
        ({"pg_num": 64}, {}),
        ({"pg_num": 64, "pg_autoscale_mode": "on"}, {"pg_autoscale_mode": "on"}),
        # a split under way is as good as done
        ({"pg_num": 64}, {"pg_autoscale_mode": "off", "pg_num_target": 64}),
        ({"target_size_ratio": 0.4}, {"options": {"target_size_ratio": 0.4}}),
        ({"target_size_ratio": 1}, {"options": {"target_size_ratio": 1.0}}),
        # whatever its rule is called
        ({"device_class": "ssd"}, {"crush_rule": 3}),
        ({"quota": "0"}, {}),
        ({"compression_mode": "none"}, {}),
    ],
)
def test_what_is_right_is_neither_shown_nor_altered(wanted, there):
    for more in ({}, {"manage": True}):
        assert plan({**wanted, **more}, pool(**there)) == []
        assert pool_settings.notes(here(**wanted, **more), facts(pool(**there)), []) == []


def test_a_new_pool_gets_all_that_the_site_file_says():
    wanted = {
        "size": 2,
        "pg_num": 16,
        "min_size": 1,
        "device_class": "ssd",
        "pg_autoscale_mode": "off",
        "quota": "1T",
    }
    assert plan(wanted) == [
        "osd pool create volumes 16 16",
        "osd pool set volumes size 2",
        "osd crush rule create-replicated replicated_ssd default host ssd",
        "osd pool set volumes min_size 1",
        "osd pool set volumes crush_rule replicated_ssd",
        "osd pool set volumes pg_autoscale_mode off",
        "osd pool set-quota volumes max_bytes 1099511627776",
        "rbd pool init volumes",
    ]


def test_a_rule_is_made_once_for_all_pools_of_its_class():
    it = site(pools={name: {"device_class": "ssd"} for name in ("volumes", "images")})
    seen = cluster() | {"ceph.rules": answer(RULES[:1]), "ceph.classes": answer(["ssd"])}
    changes = pools.plan(it, Facts({"ceph01": seen}))
    made = [c for c in changes if c.kind == "crush_rule"]
    assert [(c.thing, c.args["undo"]["args"]["argv"][5:]) for c in made] == [
        ("CRUSH rule replicated_ssd", ["osd", "crush", "rule", "rm", "replicated_ssd"])
    ]
    assert sum("crush_rule replicated_ssd" in words(c) for c in changes) == 2
    order = [c.kind for c in changes]
    assert order.index("crush_rule") < order.index("pool_setting")


@pytest.mark.parametrize(
    "wanted, more, said",
    [
        ({"crush_rule": "x"}, {}, "pools.volumes.crush_rule: expected one of replicated_rule, th"),
        ({"device_class": "nvme"}, {}, "pools.volumes.device_class: expected one of hdd, ssd"),
        (
            {"device_class": "nvme"},
            {"rules": [*RULES, OURS], "classes": ["nvme"]},
            "CRUSH rule replicated_nvme: expected OSDs of class nvme alone, found default~ssd",
        ),
        (
            {"pg_autoscale_mode": "on"},
            {"major": 12},
            "expected no pg_autoscale_mode before Ce",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(wanted, more, said):
    there = pool(pg_autoscale_mode="off") if "major" in more else pool()
    with pytest.raises(BadInput, match=said):
        plan({**wanted, "manage": True}, there, **more)


@pytest.mark.parametrize("odd", [{"rule_id": "x"}, {"rule_name": "a\nb"}, {"steps": 5}])
def test_a_rule_that_is_none_is_an_answer_that_is_none(odd):
    with pytest.raises(Failed, match="ceph rules: expected JSON as Ceph writes it"):
        plan({"device_class": "ssd"}, pool(), rules=[{**RULES[0], **odd}])


def kept(change):
    """What the host keeps of a change that was done, and that nobody changed since."""
    label = {key: getattr(change, key) for key in ("thing", "sentence", "sign", "wave", "kind")}
    done = {"step": 0, "state": "done", "verb_was": change.verb, "was": None, "is": "b", "now": "b"}
    named = {"subject": change.subject, "stays": change.stays}
    return {**label, **named, **done, **change.args.get("undo", {})}


@pytest.mark.parametrize(
    "there, wanted, by, goes",
    [
        ([], {}, {"volumes"}, False),
        ([pool()], {"manage": True}, {"volumes"}, True),
        ([pool()], {"manage": True}, {"volumes", "theirs"}, False),
        ([pool()], {"manage": True}, set(), True),
    ],
    ids=["the run's pool", "the pool goes back", "another's pool", "none"],
)
def test_undo_takes_a_rule_away_where_no_pool_lies_by_it_then(there, wanted, by, goes):
    it = here(device_class="ssd", **wanted)
    changes = pools.plan(it, facts(*there, rules=RULES[:1]))
    ours = {"rule_id": 7, "rule_name": "replicated_ssd", "steps": RULES[1]["steps"]}
    now = [pool(name, crush_rule=7) for name in by] + [pool("images")]
    seen = {"run": [kept(change) for change in changes], "ceph.pools": answer(now)}
    seen |= {"ceph.rules": answer([*RULES[:1], ours])}
    told = Facts({"ceph01": seen, "ctl": {"run": []}})
    undone = Undone("r1")
    it = here()  # the site file asks for no class any more
    assert {"ceph.rules", "ceph.pools"} <= {read.id for read in undone.reads(it, it.admin)}
    back = undone.plan(it, told)
    assert ["rule rm" in words(c) for c in back].count(True) == goes
    said = [note for note in undone.notes(it, told, back) if "CRUSH rule" in note]
    assert len(said) == (not goes) and all("lies by it" in note for note in said)


@pytest.mark.parametrize(
    "wanted, asked",
    [
        ({}, set()),
        ({"size": 3}, set()),
        ({"device_class": "ssd"}, {"ceph.rules", "ceph.classes"}),
        ({"crush_rule": "x"}, {"ceph.rules", "ceph.classes"}),
        ({"size": 3, "manage": True}, {"ceph.df"}),
    ],
)
def test_what_is_asked_besides_is_what_the_site_file_needs(wanted, asked):
    it = here(**wanted)
    plain = {read.id for read in pools.cluster.reads(it, it.admin)}
    assert {read.id for read in pools.reads(it, it.admin)} - plain == asked
    assert pools.reads(it, it.host("ctl")) == []


def test_an_erasure_coded_pool_is_made_for_data_alone():
    it = site(
        pools={"volumes": {}, "images": {}, "data": {"erasure": {"k": 2, "m": 1}, "pg_num": 8}},
        clients={"volumes": {}, "images": {}},
    )
    seen = Facts({"ceph01": cluster(pools=[pool(), pool("images")])})
    assert [words(c) for c in pools.plan(it, seen)] == [
        "osd erasure-code-profile set stackrbd-data k=2 m=1 crush-failure-domain=host",
        "osd pool create data 8 8 erasure stackrbd-data",
        "osd pool set data allow_ec_overwrites true",
        "osd pool application enable data rbd",
    ]
    there = pool("data", type=3, erasure_code_profile="x", flags_names="hashpspool,ec_overwrites")
    seen = Facts({"ceph01": cluster(pools=[pool(), pool("images"), there])})
    assert pools.plan(it, seen) == []
    # A run that ended half-way is brought to its end.
    begun = {**there, "flags_names": "hashpspool", "application_metadata": {}}
    seen = Facts({"ceph01": cluster(pools=[pool(), pool("images"), begun])})
    assert [words(c) for c in pools.plan(it, seen)] == [
        "osd pool set data allow_ec_overwrites true",
        "osd pool application enable data rbd",
    ]
    seen = Facts({"ceph01": cluster(pools=[pool(), pool("images"), pool("data")])})
    with pytest.raises(BadInput, match="expected an erasure-coded pool, found a replicated one"):
        pools.plan(it, seen)


@pytest.mark.parametrize(
    "wanted, said",
    [
        ({"erasure": {"k": 2, "m": 1}}, "pools.volumes: expected no erasure, as cinder keeps im"),
        ({"size": 2, "min_size": 3}, "pools.volumes: min_size: expected at most size"),
        ({"crush_rule": "a", "device_class": "ssd"}, "expected crush_rule or device_class, found"),
        ({"erasure": {"k": 2, "m": 1}, "size": 3}, "size: expected none beside erasure"),
        ({"erasure": {"k": 1, "m": 1}}, "pools.volumes.erasure.k: expected to be greater than or"),
        ({"quota": "5X"}, "pools.volumes.quota: expected to be bytes, as 500G or 2T"),
        ({"pg_autoscale_mode": "maybe"}, "pools.volumes.pg_autoscale_mode: expected to be 'on'"),
        ({"target_size_ratio": float("nan")}, "pools.volumes.target_size_ratio"),
        ({"min_siez": 2}, "pools.volumes.min_siez: no such setting; did you mean 'min_size'?"),
    ],
)
def test_a_fault_of_the_site_file_is_named(wanted, said):
    with pytest.raises(BadInput) as caught:
        here(**wanted)
    assert said in str(caught.value)


# Data in a pool of its own


POOLS = {"volumes": {}, "fast": {}, "images": {}, "data": {"erasure": {"k": 2, "m": 1}}}
DATA = {"rbd": {"pool": "volumes"}, "big": {"pool": "fast", "client": "big", "data_pool": "data"}}
CLIENTS = {"volumes": {}, "big": {}, "images": {}}


def apart(**more):
    given = {"pools": POOLS, "clients": CLIENTS, "cinder": {"backends": DATA}, **more}
    return site(**given)


CONF = f"[global]\nfsid = {FSID}\nmon_host = 10.0.0.1:6789\n"
OWN = "[client.big]\nrbd_default_data_pool = data\n"


def conf_of(text, it=None):
    """What ceph.conf of the controller becomes; None where it stays."""
    it = it or apart()
    there = file(text) if text is not None else None
    seen = {"ceph.folder": {"kind": "directory"}, "ceph.conf": there}
    changes = ceph_conf.plan(it, Facts({"ceph01": cluster(), "ctl": seen}))
    if not changes:
        return None
    (change,) = changes
    lines = (text or "").splitlines(keepends=True)
    found = ""
    for part in change.args["content"]:
        found += part if isinstance(part, str) else "".join(lines[slice(*part["lines"])])
    return found


@pytest.mark.parametrize(
    "text, expected",
    [
        (CONF, f"{CONF}\n{OWN}"),
        (f"{CONF}\n{OWN}", None),
        # in whatever form librados reads it
        (f"{CONF}[client.big]\nrbd default data pool = data\n", None),
        (f"{CONF}[client]\nrbd_default_data_pool = data\n", None),
        (
            f"{CONF}[client.big]\nrbd default data pool = old  # once\nkeyring = /k\n",
            f"{CONF}[client.big]\nrbd_default_data_pool = data\nkeyring = /k\n",
        ),
        (
            f"{CONF}[client.big]\nkeyring = /k\n[client.x]\n",
            f"{CONF}[client.big]\nrbd_default_data_pool = data\nkeyring = /k\n[client.x]\n",
        ),
        # all clients' pool is not this one's
        (
            f"{CONF}[client]\nrbd_default_data_pool = other\n",
            f"{CONF}[client]\nrbd_default_data_pool = other\n\n{OWN}",
        ),
        (CONF.replace("10.0.0.1", "10.0.0.9"), f"{CONF}\n{OWN}"),
    ],
)
def test_the_clients_own_section_names_the_data_pool(text, expected):
    assert conf_of(text) == expected
    if expected:
        assert conf_of(expected) is None
        assert librados.setting(expected, "big", "rbd_default_data_pool")[1] == "data"
        assert conf_of(text, site(pools=POOLS, clients={"volumes": {}, "images": {}})) != expected


def test_a_new_file_has_it_too():
    assert conf_of(None).endswith(f"mon_host = 10.0.0.1:6789\n\n{OWN}")


def test_the_client_may_write_its_data_pool():
    it = apart()
    assert it.clients["big"].rwx == ["fast", "data"]
    assert it.clients["volumes"].rwx == ["volumes"]


@pytest.mark.parametrize(
    "more, said",
    [
        (
            {"clients": {**CLIENTS, "big": {"rwx": ["fast"]}}},
            "clients.big.rwx: expected 'data' too, into which cinder.backends.big writes",
        ),
        (
            {"cinder": {"backends": {**DATA, "rbd": {"pool": "volumes", "client": "big"}}}},
            "cinder: backends: expected one data_pool for all of client big, found 'data' in",
        ),
        (
            {"cinder": {"backends": {**DATA, "big": {**DATA["big"], "data_pool": "date"}}}},
            "cinder.backends.big.data_pool: expected one of data, fast, images, volumes, found 'd",
        ),
        (
            {"hosts": {**HOSTS, "ctl": {"roles": ["glance", "cinder", "ceph"]}}},
            "cinder: data_pool: expected no host of the roles cinder and ceph, found ctl",
        ),
    ],
)
def test_a_data_pool_that_cannot_be_is_refused(more, said):
    with pytest.raises(BadInput) as caught:
        apart(**more)
    assert said in str(caught.value)


# What a running cloud would feel of it


def managed(wanted, there, checks=(), stats=None, rules=RULES):
    """(the sentences of the plan, the notes) where the table alters the pool that is there."""
    it, seen = here(manage=True, **wanted), facts(pool(**there), checks=checks, rules=rules)
    if stats is not None:
        told = {"pools": [{"name": "volumes", "stats": stats}]}
        seen.hosts["ceph01"]["ceph.df"] = answer(told)
    changes = pool_settings.plan(it, seen, "volumes")
    return [one.sentence for one in changes], pool_settings.notes(it, seen, changes)


STORED = {"stored": 2 << 30, "bytes_used": 6 << 30, "objects": 700}
ERASURE = {
    "rule_id": 5,
    "rule_name": "ec",
    "type": 3,
    "steps": [{"op": "take", "item_name": "default"}, {"op": "chooseleaf_indep", "type": "host"}],
}


@pytest.mark.parametrize(
    "wanted, there, more, said",
    [
        # A pool that is full refuses every write from then on.
        ({"quota": "1G"}, {}, {"stats": STORED}, "more than 2147483648, which it holds"),
        ({"quota": "2G"}, {}, {"stats": STORED}, "more than 2147483648"),
        ({"quota": "1G"}, {"quota_max_bytes": 9 << 30}, {"stats": STORED}, "more than 2147483648"),
        ({"quota_objects": 700}, {}, {"stats": STORED}, "more than 700"),
        # Before Nautilus, what is used is what is stored.
        ({"quota": "5G"}, {}, {"stats": {"bytes_used": 6 << 30}}, "more than 6442450944"),
        ({"quota": "5G"}, {}, {"stats": {}}, "how much it holds"),
        ({"quota_objects": 5}, {}, {"stats": {}}, "how much it holds"),
        # More copies than there are.
        ({"min_size": 3}, {"size": 2}, {}, "at most its size, 2"),
        ({"min_size": 4}, {}, {}, "at most its size, 3"),
        # Placement groups that have less stop at once.
        ({"min_size": 3}, {}, {"checks": ["PG_DEGRADED"]}, "PG_DEGRADED"),
        ({"min_size": 2}, {"min_size": 1}, {"checks": ["OSD_DOWN"]}, "OSD_DOWN"),
        ({"min_size": 2}, {"min_size": 1}, {"checks": ["PG_AVAILABILITY"]}, "PG_AVAILABILITY"),
        # Ceph takes no rule of the other kind.
        ({"crush_rule": "ec"}, {}, {"rules": [*RULES, ERASURE]}, "for replicated pools"),
    ],
)
def test_what_would_stop_guests_is_refused_before_anything_is_written(wanted, there, more, said):
    with pytest.raises(BadInput, match=said):
        managed(wanted, there, **more)


@pytest.mark.parametrize(
    "wanted, there, more",
    [
        ({"quota": "3G"}, {}, {"stats": STORED}),
        ({"quota": "0"}, {"quota_max_bytes": 1}, {"stats": STORED}),
        ({"quota": "1G"}, {"quota_max_bytes": 1 << 20}, {"stats": STORED}),  # more than before
        ({"quota_objects": 701}, {}, {"stats": STORED}),
        ({"min_size": 1}, {}, {"checks": ["PG_DEGRADED", "OSD_DOWN"]}),
        ({"min_size": 2}, {"min_size": 1}, {"checks": ["POOL_NO_REDUNDANCY"]}),
        ({"min_size": 2}, {"size": 2}, {}),
    ],
)
def test_what_stops_nobody_is_planned(wanted, there, more):
    assert managed(wanted, there, **more)[0] or wanted["min_size"] == 2


@pytest.mark.parametrize(
    "wanted, there, said",
    [
        ({"min_size": 3}, {}, "every OSD that is down stops"),
        ({"size": 2, "min_size": 2}, {}, "every OSD that is down stops"),
        ({"size": 2}, {}, "copies are taken away"),
        ({"size": 1}, {}, "a disk that dies takes"),
        ({"pg_autoscale_mode": "on"}, {"pg_autoscale_mode": "off"}, "moves"),
        ({"pg_autoscale_mode": "on"}, {"pg_autoscale_mode": "warn"}, "moves"),
    ],
)
def test_what_is_felt_later_is_said_before(wanted, there, said):
    assert said in " ".join(managed(wanted, there)[1])


OF_OSDS = {
    "rule_id": 6,
    "rule_name": "replicated_ssd",
    "type": 1,
    "steps": [
        {"op": "take", "item_name": "default~ssd"},
        {"op": "chooseleaf_firstn", "num": 0, "type": "osd"},
    ],
}


def test_a_rule_of_our_name_with_copies_on_one_host_is_taken_by_its_name_alone():
    rules = [RULES[0], OF_OSDS]
    with pytest.raises(BadInput, match="a copy on each host, found .*osd"):
        managed({"device_class": "ssd"}, {}, rules=rules)
    named, _ = managed({"crush_rule": "replicated_ssd"}, {}, rules=rules)
    assert named == ["crush_rule replicated_ssd"]
    step = {**OF_OSDS["steps"][1], "type": "rack"}  # farther apart than asked
    apart = {**OF_OSDS, "steps": [OF_OSDS["steps"][0], step]}
    named, _ = managed({"device_class": "ssd"}, {}, rules=[RULES[0], apart])
    assert named == ["crush_rule replicated_ssd"]


@pytest.mark.parametrize(
    "wanted, there, expected",
    [
        # With its size, Ceph sets min_size anew: 1 of two copies, 2 of three, 3 of five; before
        # Octopus it does not, where it is no more than the size.
        ({"size": 2}, {}, "size 2"),
        ({"size": 2, "min_size": 2}, {}, "size 2, min_size 2"),
        ({"size": 2, "min_size": 1}, {}, "size 2, min_size 1"),
        ({"size": 3, "min_size": 1}, {"size": 2, "min_size": 1}, "size 3, min_size 1"),
        ({"size": 3, "min_size": 2}, {"size": 2, "min_size": 1}, "size 3, min_size 2"),
        ({"size": 5, "min_size": 2}, {}, "size 5, min_size 2"),
    ],
)
@pytest.mark.parametrize("octopus", [True, False])
def test_a_pool_has_its_min_size_with_its_size_and_both_are_taken_back(
    ceph, wanted, there, expected, octopus
):
    before = {"size": 3, "min_size": 2, "pg_num": 32, "target": 32, "octopus": octopus, **there}
    ceph.write(before)
    (change,) = pool_settings.plan(here(manage=True, **wanted), facts(pool(**there)), "volumes")
    assert change.sentence == expected
    step = ceph.carried_out(change)
    assert {**ceph.read(), **wanted} == ceph.read()
    assert step["now"] == step["is"] != step["was"]
    assert ceph.taken_back(step)["now"] == step["was"] and ceph.read() == before


@pytest.mark.parametrize("later", [{"min_size": 3}, {"size": 4}])
def test_a_min_size_that_somebody_sets_after_the_size_is_not_overwritten(ceph, later):
    ceph.write({"size": 2, "min_size": 2, "pg_num": 32, "target": 32, "octopus": True})
    there = pool(size=2, min_size=2)
    (change,) = pool_settings.plan(here(size=3, manage=True), facts(there), "volumes")
    step = ceph.carried_out(change)
    ceph.write({**ceph.read(), **later})
    assert ceph.looked_at(step)["now"] not in (step["is"], step["was"])


@pytest.mark.parametrize("old, new", [(32, 64), (64, 32), (32, 320)])
def test_placement_groups_that_managers_still_split_are_nobodys_change(ceph, old, new):
    ceph.write({"size": 3, "min_size": 2, "pg_num": old, "target": old, "octopus": True})
    there = pool(pg_num=old, pg_autoscale_mode="off")
    (change,) = pool_settings.plan(here(pg_num=new, manage=True), facts(there), "volumes")
    step = ceph.carried_out(change)
    assert (ceph.read()["pg_num"], ceph.read()["target"]) == (old, new)
    ceph.write({**ceph.read(), "pg_num": (old + new) // 2})
    assert ceph.looked_at(step)["now"] == step["is"]
    ceph.write({**ceph.read(), "pg_num": new})
    assert ceph.looked_at(step)["now"] == step["is"]
    assert ceph.taken_back(step)["now"] == step["was"]  # long before the merge is done
    assert (ceph.read()["pg_num"], ceph.read()["target"]) == (new, old)
    ceph.write({**ceph.read(), "target": 128})
    assert ceph.looked_at(step)["now"] not in (step["is"], step["was"])


@pytest.mark.parametrize("wanted", [{"size": 3}, {"size": 4, "min_size": 3}, {"min_size": 2}])
def test_a_min_size_that_comes_with_a_size_is_not_raised_while_copies_are_missing(wanted):
    there = {"size": 2, "min_size": 1}
    assert managed(wanted, there)[0]
    with pytest.raises(BadInput, match="PG_DEGRADED"):
        managed(wanted, there, checks=["PG_DEGRADED"])
    assert managed({"size": 3, "min_size": 1}, there, checks=["PG_DEGRADED"])[0]


_CEPH = """#!{python} -IS
import json, sys
words = sys.argv[sys.argv.index("osd") + 1:]
at = "{state}"
now = json.load(open(at))
if words == ["pool", "ls", "detail"]:
    more = " pg_num_target %d" % now["target"] if now["target"] != now["pg_num"] else ""
    form = "pool %d '%s' replicated size %d min_size %d crush_rule 0 object_hash rjenkins pg_num %d"
    form += " pgp_num 32%s autoscale_mode off last_change %d flags hashpspool stripe_width 0"
    print(form % (1, "volumes2", 9, 9, 9, "", 7) + " pg_num_max 32 pg_num_min 1 application mgr")
    print(form % (2, "volumes", now["size"], now["min_size"], now["pg_num"], more, 8))
    sys.exit()
assert words[:3] == ["pool", "set", "volumes"], words
key, value = words[3], int(words[4])
now["target" if key == "pg_num" else key] = value
if key == "size" and (now["octopus"] or value < now["min_size"]):
    now["min_size"] = value - value // 2 if now["octopus"] else value
json.dump(now, open(at, "w"))
"""


class _Ceph:
    """A ceph program of a pool, and what a host keeps of a step."""

    def __init__(self, folder):
        self._state = folder / "state"
        program = folder / "ceph"
        program.write_text(_CEPH.format(python=sys.executable, state=self._state))
        program.chmod(0o755)

    def write(self, state):
        self._state.write_text(json.dumps(state))

    def read(self):
        return json.loads(self._state.read_text())

    def carried_out(self, change):
        (step,) = self._done("there", change.args)
        return step

    def looked_at(self, step):
        return {**step, "now": reads.now_of(step["guard"])}

    def taken_back(self, step):
        self._done("back", step["args"])
        return self.looked_at(step)

    def _done(self, run, args):
        state.begin(run, False)
        label = {"thing": "x", "sentence": "x", "sign": "~", "wave": 0}
        steps._one(run, {"id": 0, "verb": "run", "args": args, **label})
        return reads.run(run)


@pytest.fixture
def ceph(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "STATE", str(tmp_path / "kept"))
    path = f"{tmp_path}:{processes.ENVIRONMENT['PATH']}"
    monkeypatch.setitem(processes.ENVIRONMENT, "PATH", path)
    return _Ceph(tmp_path)
