"""Hosts' answers and the cloud's API, through the tasks that ask for them."""

import functools
import json

from fabfile.audit import database_rows, frozen_monitors
from fabfile.backup import contents
from fabfile.core import journal
from fabfile.core.contract import CLOUD, Facts, Plan, Read, Stop
from fabfile.flow import converge, move_monitors
from fabfile.flow.converge import Converger
from fabfile.flow.inspect import reconcile, reporting, survey
from fabfile.flow.session import Options
from fabfile.report.metrics import metrics
from fabfile.resources import backup_tools, ceph_conf, chain, client_limits, restarts

from ...unit import (
    clouds,
    states,
    test_every_finding,
    test_evidence,
    test_monitors,
    test_reconcile,
)
from .. import mutation, world
from .case import Target, as_data, as_value

TOOLS = {"age": "1", "zstd": "1"}


@functools.cache
def _clouds():
    """[(site, {host: answers}, what the cloud's API lists)]: every broken cloud of the tests."""
    found = []
    for change, more in test_every_finding.INPUTS:
        told = test_every_finding.copy.deepcopy(test_every_finding.BASE)
        change(told)
        site = more.get("site") or states.site(cloud="c")
        found.append((site, told, api_of(told.pop(CLOUD, {}))))
    whole = clouds.hosts()
    whole["ctl"]["packages.records"] = {**dict.fromkeys(backup_tools.PACKAGES), **TOOLS}
    return [*found, (world.whole_site(), whole, api_of(clouds.API))]


def api_of(seen):
    """What the API listed, of what was made of it."""
    attached = [
        {
            "volume_id": one["volume"],
            "instance": one["instance"],
            "connection_info": {
                "driver_volume_type": "rbd",
                "auth_username": one["user"],
                "secret_uuid": one["uuid"],
                "hosts": one["monitors"],
            },
        }
        for one in seen.get("attachments", ())
    ]
    services = [
        {
            "binary": "cinder-volume",
            "host": one["host"],
            "state": "up" if one["up"] else "down",
            "status": "enabled" if one["enabled"] else "disabled",
        }
        for one in seen.get("volume_services", ())
    ]
    types = [
        {"name": name, "extra_specs": specs} for name, specs in seen.get("volume_types", {}).items()
    ]
    return {
        "volumes": seen.get("volumes", []),
        "services": services,
        "attachments": attached,
        "backups": [
            {"id": "b", "container": "backups", "object_count": 0, "status": "available"},
        ],
        "types": types,
        "qos_specs": [
            {"id": name, "name": name, "consumer": "front-end", "specs": {"total_iops_sec": "9"}}
            for name in seen.get("qos_specs", ["rbd"])
        ],
        "qos_associations": [{"id": "1", "name": "rbd", "association_type": "volume_type"}],
    }


def _damaged_cloud(rng, found):
    site, hosts, api = found
    hosts = {host: dict(seen) for host, seen in hosts.items()}
    for _ in range(mutation.times(rng)):
        roll, host = rng.random(), rng.choice([name for name in hosts if hosts[name]] or [None])
        if host is None or roll < 0.1:
            api = _damaged_api(rng, api)
        elif roll < 0.17:
            hosts[host].pop(rng.choice(list(hosts[host])))
        elif roll < 0.19:
            hosts[host] = {}
        else:
            read = rng.choice(list(hosts[host]))
            hosts[host][read] = mutation.value(rng, hosts[host][read])
    return site, hosts, api, rng.random()


def _damaged_api(rng, api):
    """Values of another kind; an attribute that is missing is None, as the SDK has it."""
    name = rng.choice(list(api))
    rows = [dict(row) for row in api[name]]
    for row in rows[:1]:
        key = rng.choice(list(row))
        row[key] = mutation.value(rng, row[key])
    return {**api, name: rows if rng.random() < 0.9 else rows * 3}


def _wire(case, roll):
    """What becomes of the hosts' bytes: mostly nothing."""
    return (lambda data: as_data(case.rng, data)) if roll < 0.1 else (lambda data: data)


def _on_hosts(act):
    """A target's function of (case, opened(), roll) on damaged hosts."""

    def acting(case, found):
        site, hosts, api, roll = found
        given = {"json": roll > 0.8, "diff": True}
        with world.task(site, world.now(hosts), api, _wire(case, roll), **given) as opened:
            act(case, opened, roll)

    return acting


def _looking(act):
    """A look ends with what it found, whatever a host says: a Stop would be one host's word."""

    def looking(case, opened, roll):
        try:
            act(case, opened, roll)
        except Stop as stop:
            raise AssertionError(f"a look was ended by {type(stop).__name__}: {stop}") from stop

    return looking


def _doctor(case, opened, roll):
    code = (survey.doctor, survey.status)[roll > 0.6]({}, Options())
    assert code in (0, 3, 4)


def _report(case, opened, roll):
    with opened("report") as session:
        told = reporting.look(session)
        for name, text in {**reporting.texts(told), "x.prom": metrics(told)}.items():
            case.page(name, text)


ALL = (*chain.RESOURCES, *chain.BESIDES, ceph_conf.of_the_cluster)
TASKS = (
    chain.RESOURCES,
    *([one] for one in ALL),
    [restarts.every],
    [*chain.RESOURCES, restarts.after_moves, restarts.after_clones],
    [client_limits.RESOURCE],
)
"""What tasks converge: the whole, and each of them alone."""


def _plan(case, opened, roll):
    converger = Converger(opened("integrate"))
    plan = converger.preview(TASKS[0] if roll < 0.5 else case.rng.choice(TASKS))
    data = journal.as_data(plan.changes)
    converge._refuse_stale(data, plan)
    converger.report(Plan(notes=plan.notes))


def _backup(case, opened, roll):
    session = opened("backup.create")
    site = session.site
    asked = {host: [Read("host", "host"), *contents.reads(site, host)] for host in site.all_hosts()}
    facts = Facts(session.ask({host: reads for host, reads in asked.items() if reads}))
    contents.refuse_without_tools(site, facts)
    about = contents.of_cluster(site, facts)
    held = {host.name: contents.of_host(site, facts, host.name) for host in contents.hosts(site)}
    contents.secrets(facts)
    contents.stopped(site, facts, list(held))
    json.dumps([about, held])


def backup_clouds():
    site, hosts, api = _clouds()[-1]
    hosts = {name: dict(seen) for name, seen in hosts.items()}
    units_ = ["mariadb", "nova-api", "cinder-volume", "rabbitmq-server", "apache2"]
    hosts["ctl"]["units.active"] = units_
    for name in ("n1", "n2"):
        hosts[name]["secrets"] = clouds.said(f" UUID  Usage\n----\n {states.FSID}  ceph x\n")
    return [(site, hosts, api)]


def _mons(case, opened, roll):
    again = ((), (test_monitors.A,))[roll > 0.5]
    move_monitors.follow({}, Options(), roll > 0.3, again)


def _mons_clouds():
    found = []
    for lines in (test_monitors.STALE, test_monitors.STOPPED):
        hosts = clouds.hosts()
        seen = test_monitors.facts(lines, None).hosts
        control = {**states.file(""), "active": test_monitors.CONTROL["active"]}
        hosts["ceph01"] |= {**seen["ceph01"], "ceph.conf": states.file(clouds.CEPH_CONF)}
        hosts["ctl"] |= {"columns": test_evidence.COLUMNS, "rows": lines, "monitors.rows": lines}
        hosts["ctl"] |= {frozen_monitors.CONTROL: control}
        hosts["ctl"]["packages"] |= test_monitors.NOVA
        hosts["n1"][frozen_monitors.CONNECTOR] = seen["n1"][frozen_monitors.CONNECTOR]
        found.append((test_monitors.HERE, hosts, api_of(clouds.API)))
    return found


def _reconcile(case, opened, roll):
    reconcile.show({}, Options(), roll > 0.5)


@functools.cache
def _reconcile_clouds():
    rows = [
        "\t".join((kind, *row)) for kind, some in test_reconcile.HEALTHY.items() for row in some
    ]
    rows += [f"cell\t{test_reconcile.an_id(n)}\tdb/{name}" for n, name in enumerate(["nova"])]
    volume, orphan = f"volume-{test_reconcile.V}", f"volume-{test_reconcile.S}"
    listed = [
        {"image": volume, "id": "a", "size": 2 << 30, "format": 2},
        {"image": volume, "snapshot": f"snapshot-{test_reconcile.S}", "size": 2 << 30},
        {"image": test_reconcile.G, "id": "c", "size": 4096},
    ]
    hosts = clouds.hosts()
    hosts["ctl"] |= {"columns": test_evidence.COLUMNS, "rows": rows}
    trashed = [{"id": "5e1f", "name": orphan, "source": "USER", "status": "expired at x"}]
    pools = clouds.answer(["volumes", "images", "vms", "bak"])
    hosts["ceph01"] |= {
        "ceph.pools": pools,
        "pools": pools,
        "users": hosts["ceph01"]["ceph.users"],
        "ls": [volume, orphan, test_reconcile.G, f"{test_reconcile.N}_disk", "odd"],
        "trash": [f"5e1f {orphan}"],
        "all": json.dumps(listed, indent=1).split("\n"),
        "info": clouds.answer({"name": orphan, "size": 1 << 30, "features": ["layering"]}),
        "children": clouds.answer([{"pool": "volumes", "image": "x"}]),
        "status": clouds.answer({"watchers": [{"address": "10.0.0.9:0/1"}]}),
        "long": clouds.answer(trashed),
    }
    older = {**hosts, "ceph01": {**hosts["ceph01"], "children": clouds.answer([])}}
    older["ceph01"]["status"] = clouds.answer({"watchers": {"w": {"address": "10.0.0.9:0/1"}}})
    return [(world.whole_site(), one, api_of(clouds.API)) for one in (hosts, older)]


def _schemas(lines):
    if not world.pages(lines):
        return
    found = database_rows.schemas(lines)
    database_rows.question(found), frozen_monitors.question(found)


TARGETS = {
    "doctor": Target(
        "hosts' answers, the cloud's API",
        _clouds,
        _damaged_cloud,
        _on_hosts(_looking(_doctor)),
        share=40,
    ),
    "report": Target(
        "hosts' answers, the cloud's API",
        _clouds,
        _damaged_cloud,
        _on_hosts(_looking(_report)),
        share=4,
    ),
    "plan": Target(
        "hosts' answers, the cloud's API", _clouds, _damaged_cloud, _on_hosts(_plan), share=60
    ),
    "backup": Target(
        "hosts' answers, the cloud's API",
        backup_clouds,
        _damaged_cloud,
        _on_hosts(_backup),
        share=10,
    ),
    "mons": Target("database rows", _mons_clouds, _damaged_cloud, _on_hosts(_mons), share=20),
    "reconcile": Target(
        "database rows, rbd", _reconcile_clouds, _damaged_cloud, _on_hosts(_reconcile), share=40
    ),
    "database-rows": Target(
        "database rows",
        lambda: [test_evidence.COLUMNS],
        as_value,
        lambda case, lines: _schemas(lines),
    ),
}
