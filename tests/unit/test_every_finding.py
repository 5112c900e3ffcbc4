"""A walk over every kind of finding: what is printed can be typed, whatever the names are.

The clouds of the other tests are the input.  Each finding of theirs is looked at three ways: its
commands as they are, with each answer taken away, and with names that a hostile host would give.
"""

import ast
import copy
import functools
import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import fabfile
from fabfile.audit import frozen_monitors
from fabfile.core.contract import (
    CLOUD,
    BadInput,
    Command,
    Facts,
    Failed,
    Refused,
    Stop,
    Unreachable,
    typed,
)
from fabfile.doctor import ceph, checks, reachability
from fabfile.doctor.finding import commands
from fabfile.doctor.observation import Looked
from fabfile.model import advice
from fabfile.model.advice import LOOKS, RULES, Effect, lacking, may_be_typed, rule, shown
from fabfile.model.releases import Other
from fabfile.resources import backup_tools, client_limits, service_config

from . import (
    clouds,
    test_client_limits,
    test_clone_format,
    test_daemons,
    test_evidence,
    test_hygiene,
    test_instance_disks,
    test_kolla,
    test_mirroring,
    test_monitors,
    test_supplied,
    test_upgrades,
    test_volume_backups,
    test_volume_hosts,
)
from . import test_doctor as broken
from . import test_reconcile as rows
from .clouds import INSTANCE, MONITOR, VOLUME, altered, said
from .states import (
    FSID,
    OTHER,
    ZED,
    answer,
    conf,
    file,
    release,
    secret,
    site,
)

SOURCES = Path(fabfile.__file__).parent
BASE = {**clouds.hosts(), CLOUD: clouds.API}
HOSTILE = (
    "$(touch x)",
    "`touch x`",
    "; rm -rf /",
    "a\nrm -rf /",
    "--forced",
    "x' ; rm -rf / #",
    'x" && rm -rf / "',
    "x\x1b[2J",
    "x\u202ey",
    "* ~ ${HOME} |&<>",
    "é" * 5,
)
"""What a host may say for a name."""
PLAIN = "safe-name"


# The inputs


def rows_of(test):
    """The first column of another test's table."""
    (mark,) = [m for m in test.pytestmark if m.name == "parametrize"]
    return [row[0] for row in mark.args[1]]


def without_ceph(found):
    """The first Ceph host has no ceph program; those that would begin it are found."""
    change, errors = test_daemons.without_ceph(found)
    return change, {"errors": errors}


def silent(*ids, host, stop):
    """A cloud in which some questions had no answer."""

    def change(cloud):
        for name in ids:
            cloud[host].pop(name, None)

    return change, {"errors": {(host, name): stop for name in ids}}


def health(code, *details, message="so", more=(), units=test_daemons.PACKAGES, by=""):
    def change(cloud):
        check = {
            "severity": "HEALTH_WARN",
            "summary": {"message": message, "count": len(details)},
            "detail": [{"message": text} for text in details],
        }
        checks_ = {code: check, **{name: {} for name in more}}
        cloud["ceph01"]["ceph.health"] = answer({"checks": checks_})
        cloud["ceph01"]["ceph.orchestrator"] = said(f'"{by}"\n') if by else said(code=2)
        cloud["ceph05"] = {"host": clouds.machine(5), "ceph.daemons": said(units)}

    return change, {"site": site(hosts=test_daemons.CEPHS)}


OF_CEPH = [name for name in BASE["ceph01"] if name.startswith("ceph.")]
OF_LIBVIRT = ("libvirt.secrets", "guests", "domains")
NO_SOCKET = Failed("virsh -q list: exit code 1: no socket")


def unreached(kind):
    stop = kind(host="n2", found="it is so")
    return (lambda cloud: cloud.pop("n2")), {"unreachable": {"n2": stop}}


def of_packages(**versions):
    return lambda cloud: cloud["n1"]["packages"].update(versions)


def conf_of(text, host="ctl"):
    return lambda cloud: cloud[host].update({"ceph.conf": file(clouds.CEPH_CONF + text)})


def unshared(cloud):
    xml = cloud["n1"]["libvirt.secrets"][FSID]["xml"]
    xml["out"] = re.sub(r"<usage.*</usage>", "", xml["out"], flags=re.S)


def in_pool(cloud):
    broken.orphan(cloud, **{"images.volumes": said(f"volume-{VOLUME}\nvolume-9\n")})


def rotated(cloud):
    new = broken.fingerprint("new")
    altered(cloud, "ceph01", "ceph.users", lambda d: d["auth_dump"][0].update(key=new))


def without_sudoers(cloud):
    for name in site().hosts:
        cloud[name]["sudoers"] = None


def handed(cloud):
    """A cluster of another team's, one of whose pools a client cannot read."""
    del cloud["ceph01"]
    cloud["ctl"]["ceph.supplied"] = test_supplied.answer()
    cloud["ctl"]["as.volumes.volumes"] = said(code=1) | {"err": "rbd: couldn't connect\n"}


def data_pool(cloud):
    more = clouds.pool("data", type=3, flags_names="hashpspool")
    altered(cloud, "ceph01", "ceph.pools", lambda pools: pools.append(more))


def contained(cloud):
    """A compute in containers, that copy nothing of Ceph's."""
    there = {**test_kolla.RIGHT, **test_kolla.NONE, "kolla": {"/etc/kolla": True}}
    for name in ("compute", "libvirt"):
        there[f"copies.nova_{name}"] = file(test_kolla.config())
    cloud["n1"].update(there)


DATA = site(
    pools={"images": {}, "volumes": {}, "data": {}},
    clients={
        "volumes": {"rwx": ["volumes", "data"], "rx": ["images"]},
        "images": {"rwx": ["images"]},
    },
)


REPLACED = site(
    cinder={"client": "volumes-2"}, clients={"volumes-2": {"replaces": "volumes"}, "images": {}}
)


def nothing(cloud):
    """A cloud that was never integrated."""
    altered(cloud, "ceph01", "ceph.users", lambda d: d["auth_dump"].clear())
    cloud["ctl"].update({"cinder.conf": conf(), "glance.conf": conf()})
    for name in broken.COMPUTES:
        cloud[name].update({"nova.conf": conf(), "libvirt.secrets": {}, "domains": {}})
    cloud[CLOUD].update(volumes=[], attachments=[])


def no_tools(cloud):
    tools = dict.fromkeys([*backup_tools.PACKAGES, *backup_tools.TOOLS])
    cloud["ctl"]["packages.records"] = tools


def several_backends(cloud):
    active = cloud["ctl"]["cinder.conf"]["active"]
    active[:] = [line for line in active if line[1] != "enabled_backends"]
    active += [["DEFAULT", "enabled_backends", "lvm,rbd"]]
    active += [["lvm", "volume_driver", "cinder.volume.drivers.lvm.LVMVolumeDriver"]]


def renamed(cloud):
    cloud[CLOUD]["volumes"] = [test_volume_hosts.volume("ctl@old#old")]
    cloud[CLOUD]["volume_services"].append({"host": "ctl@old", "up": False, "enabled": True})
    cloud["ctl"]["cinder.conf"]["active"] += [list(o) for o in test_volume_hosts.section("old")]
    cloud["ctl"]["host"]["hostname"] = "ctl"


def old_client(cloud):
    cloud["n1"]["packages"]["librados2"] = "12.2.13-0ubuntu0.18.04.11"
    named = f"mon_host = [v2:{MONITOR}:3300,v1:{MONITOR}:6789]"
    text = clouds.CEPH_CONF.replace(f"mon_host = {MONITOR}:6789", named)
    cloud["n1"]["ceph.conf"] = file(text)


def backed_up(rows, active=()):
    """A cloud with cinder-backup, as Cinder and its file tell of it."""

    def change(cloud):
        cloud["ctl"].update(test_volume_backups.asked(active))
        cloud["ctl"].update(dict.fromkeys(("keyring.backups",), None))
        cloud["ctl"].update({"keyrings.backups": {}, "keyfiles.backups": {}})
        cloud[CLOUD].update(backup_services=rows, backups=[])

    return change


def of_hazard(one):
    """A cloud with an option that is dead or unsafe."""
    host = "n1" if one["service"] == "nova" else "ctl"
    section = one["section"] if one["section"] != "*" else "rbd"
    value = next(
        v
        for v in (
            "x",
            "True",
            "False",
            "",
            "rbd",
            "cinder.backup.drivers.ceph",
            "cinder.backup.drivers.ceph.CephBackupDriver",
            FSID,
            "None",
            "0",
            "cinder.volume.driver.RBDDriver",
        )
        if re.fullmatch(one.get("value", ".*"), v, re.S)
    )

    def change(cloud):
        broken.an_option(one["service"], section, one["key"], value, host)(cloud)
        other, _, wanted = one.get("beside", "").partition(" = ")
        if other:
            broken.an_option(one["service"], *other.split("."), wanted or "x", host)(cloud)

    return change


HERES = (
    {"fabric": "2.0", "invoke": "1.0"},
    {"private": {"/home/op/my $(x) clouds.yaml": 0o644}},
    {"known_hosts": ["line 3: no key"]},
    {"records": {"newest": None, "verified": None, "unfit": {}}},
    {"records": {"newest": 10**7, "verified": 10**7, "unfit": {"r $(x)": "is not signed"}}},
)
REFUSED = (
    broken.later,
    lambda c: c["n1"].update({"libvirt.secrets": secret(FSID, private="yes")}),
    broken.ceph_conf(clouds.CEPH_CONF.replace(FSID, OTHER)),
    conf_of("keyring = /etc/ceph/keyring\n"),
    conf_of(f"[client.volumes]\n\tkey = sha256:{'c' * 64}\n"),
    of_packages(librados2="12.2.1", librbd1="12.2.1"),
    broken.in_pools(application_metadata={"cinder-volume": {}}),
    broken.in_pools(type=3, erasure_code_profile="x"),
)
INPUTS = [
    *((change, {}) for change in rows_of(broken.test_what_no_resource_knows)),
    *((change, {}) for change in rows_of(broken.test_what_the_resources_find)),
    *((change, {}) for change in rows_of(broken.test_secrets)),
    *(
        (test_hygiene.both(change), {"site": site(**more)} if more else {})
        for change, more in test_hygiene.INPUTS
    ),
    *(health(code) for code in ceph._codes(site().cluster.platform)),
    health("OSD_DOWN", test_daemons.OSD),
    health("OSD_DOWN", test_daemons.OSD, units=test_daemons.CEPHADM, by="cephadm"),
    health("OSD_DOWN", test_daemons.OSD, by="rook", units=""),
    health("MON_DOWN", test_daemons.MON),
    health("MON_DOWN", test_daemons.MON.replace("mon.ceph05", "mon.h5"), units=test_daemons.SNAP),
    health("OSDMAP_FLAGS", message="noout,pauserd flag(s) set", more=["PG_DEGRADED"]),
    health("AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED", more=["AUTH_INSECURE_GLOBAL_ID_RECLAIM"]),
    *map(unreached, [*broken.FAULTS, Unreachable]),
    silent(*OF_CEPH, host="ceph01", stop=Failed("ceph: exit code 1: timed out")),
    *(without_ceph(found) for found in ("/snap/bin/ceph\n", "")),
    silent(*OF_LIBVIRT, host="n1", stop=NO_SOCKET),
    silent("disk", host="n1", stop=Failed("no answer")),
    silent("ceph.conf", host="n1", stop=Stop(subject="/etc/ceph/ceph.conf", found="a folder")),
    (in_pool, {}),
    (broken.orphan, {}),
    *test_mirroring.BROKEN,
    (lambda cloud: cloud[CLOUD]["volume_services"][0].update(up=False), {}),
    (
        lambda cloud: None,
        {"clocks": {**dict.fromkeys(site().hosts, (-0.1, 0.9)), "n1": (119.0, 121.0)}},
    ),
    (lambda cloud: None, {"doubts": (("identity", BadInput(found="several", advice="set it")),)}),
    (unshared, {}),
    (lambda cloud: altered(cloud, "ceph01", "ceph.users", lambda d: d["auth_dump"].pop(0)), {}),
    (rotated, {}),
    (lambda cloud: None, {"site": REPLACED}),
    (
        lambda cloud: altered(cloud, "ceph01", "ceph.users", lambda d: d["auth_dump"].pop(0)),
        {"site": REPLACED},
    ),
    (nothing, {}),
    (without_sudoers, {"site": site(sudoers={"user": "op"})}),
    (test_clone_format.features("luminous", "luminous"), {}),
    (test_clone_format.features("luminous", "jewel"), {}),
    (
        lambda cloud: None,
        {"site": site(nova={"ephemeral": True, "pool": "volumes", "client": "volumes"})},
    ),
    (no_tools, {"site": site(backup={"recipients": ["age1" + "q" * 58]})}),
    (several_backends, {}),
    (broken.unsealed(), {"errors": broken.NO_VIRSH}),
    *((lambda cloud: None, {"other_release": Other(kind, "n")}) for kind in broken.OTHERS),
    (broken.of_ceph("22.0.0"), {}),
    (renamed, {"site": site(cloud="c", cinder={"replaces": "old"})}),
    *((lambda cloud: None, {"here": told}) for told in HERES),
    (lambda cloud: None, {"here": {"guest": ("vmlinuz",)}, "facts": release("2026.2")}),
    (old_client, {}),
    *(
        (of_hazard(one), {"release": one.get("until", one.get("since", "zed"))})
        for one in clouds.HAZARDS
    ),
    *((change, {}) for change in REFUSED),
    (backed_up([]), {"site": test_volume_backups.backed_up()}),
    (backed_up([test_volume_backups.DOWN]), {"site": test_volume_backups.backed_up()}),
    (
        backed_up([test_volume_backups.ROW], test_volume_backups.ON_CEPH),
        {"site": test_volume_backups.backed_up(), "facts": release("2026.2")},
    ),
    (broken.an_option("cinder", "DEFAULT", "backup_ceph_user", "b", "ctl"), {}),
    (data_pool, {"site": DATA}),
    (contained, {"site": site(hosts=test_kolla.MIXED)}),
    (handed, {"site": test_supplied.only()}),
    (test_upgrades.step({18: 3}, {16: 6}, "octopus", ctl="31.0.0", n1="2:26.2.2-1"), {}),
    (test_upgrades.step(libs={"n1": "20.2.4"}), {}),
    (test_upgrades.gone, {}),
    (
        lambda cloud: cloud[CLOUD].update(qos_specs={}),
        {"site": site(cloud="c", cinder={"qos": {"total_iops_sec": "9"}})},
    ),
    (lambda cloud: None, {"site": site(pools={"volumes": {"min_size": 1}, "images": {}})}),
    (
        lambda cloud: None,
        {
            "site": site(
                pools={"volumes": {}, "images": {}, "data": {"erasure": {"k": 2, "m": 1}}},
                clients={"volumes": {}, "images": {}},
                cinder={"data_pool": "data"},
            )
        },
    ),
]
"""(change of the healthy cloud, what else is seen): one for each kind of finding."""


def looked(change, **more):
    answers = copy.deepcopy(BASE)
    change(answers)
    return of_answers(answers, **more)


def of_answers(answers, **more):
    given = {
        "clocks": dict.fromkeys(BASE, (-0.1, 0.9)),
        "releases": clouds.RELEASES,
        "release": "zed",
        "hazards": clouds.HAZARDS,
        **more,
    }
    given.pop("site", None)
    return Looked(
        Facts(answers, given.pop("known", {"uuid.volumes": FSID}), given.pop("facts", ZED)), **given
    )


def found(seen, site_=None):
    return checks.findings(site_ or site(), seen)[0]


def others():
    """Refusals that no doctor meets, for they are of what is about to be done."""
    old = test_client_limits.facts("10.2.11-2", test_client_limits.needs("luminous"))
    nova = test_instance_disks.compute((("DEFAULT", "force_raw_images", "no"),))
    wanted = (
        lambda: client_limits.plan(site(), old, test_client_limits.LED),
        lambda: service_config.nova.plan(
            test_instance_disks.HERE, test_instance_disks.facts(n1=nova)
        ),
        *(partial(service_config.cinder.plan, *given) for given in test_volume_backups.REFUSED),
    )
    found_ = []
    for plan in wanted:
        with pytest.raises(Refused) as stop:
            plan()
        found_.append(stop.value)
    return found_


@functools.cache
def walked():
    """([(input, its findings)] of every input, {(file, line) of each refusal's making})."""
    begun, made = Refused.__init__, set()

    def refused(self, *args, **more):
        frame = sys._getframe(1)
        made.add((frame.f_code.co_filename, frame.f_lineno))
        begun(self, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Refused, "__init__", refused)
        inputs = [
            ((change, more), found(looked(change, **more), more.get("site")))
            for change, more in INPUTS
        ]
        others()
    return inputs, made


# What the walk goes over


def literal(node):
    """The regular expression of a code that the source says; None where it is another's."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) or ".+" for part in node.values)
    return None


def codes_of_the_source():
    """Every code (its regular expression) that a module of the doctor's gives."""
    severities = {"ERROR", "WARNING", "NOTE"}
    wanted = set()
    for path in (SOURCES / "doctor").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
                wanted.add(literal(node.args[1]))
            of_change = isinstance(node, ast.Tuple) and len(node.elts) == 5
            if of_change and getattr(node.elts[0], "id", "") in severities:
                wanted.add(literal(node.elts[1]))
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_one":
                wanted.add(literal(node.args[0]))
    wanted |= {code for code, _, _ in reachability._FAULTS.values()}
    wanted |= {f"ceph.{code}" for code in ceph._codes(site().cluster.platform)}
    wanted |= {f"option.{one['key']}" for one in clouds.HAZARDS}
    wanted |= {f"libvirt.value.{kind}" for kind in ("plain", "name", "nothing", "other", "old")}
    return wanted - {None}


_ELSEWHERE = {re.escape("options.head"), r"pending\..+"}
"""Of releases under Upstart alone; of a resource to come.  A task mends either."""


def test_every_kind_of_finding_is_walked_over():
    """A new finding needs an input here."""
    seen = {one.code for _, found_ in walked()[0] for one in found_}
    missing = {
        c
        for c in codes_of_the_source() - _ELSEWHERE
        if not any(re.fullmatch(c, one) for one in seen)
    }
    assert len(seen) > 100 and missing == set()


DOCTOR = (SOURCES.parent / "docs" / "doctor.md").read_text()


def test_every_code_has_its_row_and_every_row_its_code():
    """docs/doctor.md; capitals there stand for any name."""
    page = DOCTOR.partition("## Every code")[2].partition("\n## ")[0]
    rows = re.findall(r"`([a-z][\w.]*)`", "".join(re.findall(r"^\|([^|]+)\|", page, re.M)))
    forms = {row: re.sub(r"[A-Z]+", ".+", re.escape(row)) for row in rows}
    seen = {re.escape(one.code) for _, found_ in walked()[0] for one in found_}
    codes = codes_of_the_source() | seen

    def are_one(row, code):
        plain = re.sub(r"\\(.)", r"\1", code).replace(".+", "x")
        return re.fullmatch(forms[row], plain) or re.fullmatch(code, row)

    assert len(rows) == len(forms)
    assert {code for code in codes if not any(are_one(row, code) for row in rows)} == set()
    assert {row for row in rows if not any(are_one(row, code) for code in codes)} == set()


@functools.cache
def refusals_that_mend():
    """{file: [(first, last line)]} of every Refused with commands."""
    told = {}
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            named = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refused"
            if named and any(one.arg == "mend" for one in node.keywords):
                told.setdefault(str(path), []).append((node.lineno, node.end_lineno))
    return told


def test_every_refusal_with_commands_is_walked_over():
    made = walked()[1]
    mends = [command for stop in others() for command in stop.mend]
    assert mends and all(rule(command) for command in mends)
    lines = [(path, span) for path, spans in refusals_that_mend().items() for span in spans]
    missing = [
        f"{path}:{first}"
        for path, (first, last) in lines
        if not any(p == path and first <= line <= last for p, line in made)
    ]
    assert len(lines) > 5 and missing == []


# (a) Nothing that takes away or interrupts without all looks

SAMPLES = {
    "UUID": VOLUME,
    "NAME": "volumes",
    "UNIT": "ceph-osd@17",
    "TASK": "ceph.auth",
    "SPEC": "volumes/x",
    "SNAP": "volumes/x@s",
    "HEX": "5e1f",
    "NUMBER": "3",
    "SIZE": "3G",
    "RATIO": "0.95",
    "PATH": "/etc/x",
    "SERVICE": "ctl@rbd#rbd",
    "ENTITY": "client.volumes",
    "USER": "client.volumes",
    "DAEMON": "osd",
    "DAEMON-ID": "osd.17",
    "FLAG": "noout",
    "TEXT": "allow *",
    "LINE": "x = y",
}
"""{a shape: a word of it}."""


def of_form(form):
    """A command of a form, with nothing looked at."""
    words = [SAMPLES.get(word.removesuffix("..."), word) for word in form.split()]
    return Command(tuple(words), tuple(words), into="/etc/x" if words[0] == "printf" else "")


def test_every_form_that_takes_away_or_interrupts_needs_looks():
    for form, one in RULES.items():
        assert one.needs <= set(LOOKS), form
        assert bool(one.needs) == (one.effect >= Effect.RESTARTS), form
        assert rule(of_form(form)) == one, form  # no other row is in its way
    assert {name for one in RULES.values() for name in one.needs} == set(LOOKS)


@pytest.mark.parametrize("form", [form for form, one in RULES.items() if one.needs])
def test_one_look_that_is_missing_is_enough(form):
    command, needs = of_form(form), RULES[form].needs
    assert may_be_typed(command.having_seen(*needs))
    assert shown(command.having_seen(*needs)) == shlex.join(command.argv)
    for name in needs:
        without = command.having_seen(*needs - {name})
        assert not may_be_typed(without)
        assert shown(without) == f"look first at: {LOOKS[name]}"
        assert shown(of_form("ceph df"), without) == f"look first at: {LOOKS[name]}"


_HARMS = re.compile(
    r"\b(restart|stop|kill|reboot|delete|rm|mv|purge|destroy|undefine|disable|disable-now|mask|unset"
    r"|caps|update_host|repair|lost|out|down|reset|--force|--detached|size|min_size|reweight|chmod"
    r"|chown|truncate|blocklist|blacklist|evict|shelve|set-[a-z]+-ratio|umount|zap)\b"
)
"""Words of commands that take away or interrupt, whoever classified them."""
_HARMLESS = (
    "inv ",
    "chmod 600 ",
    "openstack volume set --size",
    "rbd resize --size",  # it shrinks nothing without --allow-shrink
    "printf ",
    *(f"restart {unit}" for unit in ("systemd-timesyncd", "chrony", "chronyd", "ntp", "ntpsec")),
)


@pytest.mark.parametrize(
    "deed", ["restart", "start", "unmask", "enable", "enable-now", "disable-now"]
)
def test_no_command_names_several_units(deed):
    """systemd 262 does nothing with any of several when it does not know one."""
    assert rule(typed(deed, "nova-compute"))
    assert rule(typed(deed, "nova-compute", "libvirtd")) is None


def test_the_table_calls_no_harm_a_look():
    looks = [form for form, one in RULES.items() if one.effect < Effect.RESTARTS]
    assert [f for f in looks if _HARMS.search(f) and not f.startswith(_HARMLESS)] == []


def steps_of(findings, site_=None):
    """[(code, the command, how it is shown)] of all findings."""
    return [
        (one.code, step.command, told)
        for one in findings
        for step, told in zip(one.mend, commands(one, site_ or site(), ""), strict=True)
        if step.command
    ]


def dangerous(findings, site_=None):
    """{(code, command) of what is shown and takes away or interrupts}."""
    return {
        (code, told["run"])
        for code, command, told in steps_of(findings, site_)
        if told["kind"] != "words" and rule(command).effect >= Effect.RESTARTS
    }


def test_every_command_of_every_finding_has_a_row():
    """A finding whose command has no form would never say how it is mended."""
    for (_, more), findings in walked()[0]:
        for code, command, told in steps_of(findings, more.get("site")):
            assert rule(command) is not None, (code, command)
            assert (told["kind"] == "words") == bool(lacking(command)), (code, command)


def test_what_is_taken_away_is_given_back_by_no_missing_answer():
    """Each answer of each host is taken away in turn: no command that does harm comes by it."""
    gone, harmful = set(), {}
    for (change, more), findings in walked()[0]:
        shown_ = dangerous(findings, more.get("site"))
        for code, _ in shown_:
            harmful.setdefault(code, (change, more, shown_))
    for code, (change, more, before) in harmful.items():
        whole = copy.deepcopy(BASE)
        change(whole)
        for host, read in [(h, r) for h, seen in whole.items() for r in seen]:
            if host == "n2" or read.startswith(_OF_NO_MATTER):
                continue
            answers = {h: dict(seen) for h, seen in whole.items()}
            del answers[host][read]
            unseen = {(host, read): Failed("no answer"), **more.get("errors", {})}
            now = found(of_answers(answers, **{**more, "errors": unseen}), more.get("site"))
            after = dangerous(now, more.get("site"))
            # A monitor that was seen not to run is started where the cluster is silent.
            new = {(c, text) for c, text in after - before if c != "ceph.silent"}
            assert new == set(), (code, host, read)
            lost = {c for c, _ in before - after} & {one.code for one in now}
            gone |= lost
    # Of each, there is an answer without which it is still found, and not mended by a command.
    assert set(harmful) - gone <= _BY_ITSELF, set(harmful) - gone
    assert set(harmful) >= {"cinder.orphans", "guest.uuid", "keyring.admin", "user.broad"}


_OF_NO_MATTER = ("disk", "kolla", "ceph.folder", "pending", "keyring", "keyfile", "guests")
_BY_ITSELF = {
    "keyring.open",
    "ceph.AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED",
    "libvirt.credentials",  # a key that its own host cannot open
    "refused.compute.secret",  # nothing is said of a secret where the keys were not seen
}
"""Kinds of which the one answer that makes the finding is all that speaks for the command."""


# (b) Words from outside


def told_of(findings, site_=None):
    """Every text that is shown of findings, and [(command, how it is shown)]."""
    texts, typed_ = [], []
    for one in findings:
        texts += [one.thing, one.found, one.expected, one.cause]
        for step, told in zip(one.mend, commands(one, site_ or site(), ""), strict=True):
            if told["kind"] == "words":
                texts.append(told["run"])
            else:
                typed_.append((step.command, told["run"]))
    return texts, typed_


def tokens(text):
    """A shell's words and operators; raises ValueError where a quote is open."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    return list(lexer)


def expected_tokens(command):
    into = [">>", command.into] if command.into else []
    rest = ["||", *expected_tokens(command.otherwise)] if command.otherwise else []
    return [*command.argv, *into, *rest]


def renamed_in(value, old, new):
    """Everything in which a name is, with another in its place; JSON in a text stays JSON."""
    if isinstance(value, dict):
        return {key: renamed_in(one, old, new) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [renamed_in(one, old, new) for one in value]
    if not isinstance(value, str) or old not in value:
        return value
    if value.startswith(("{", "[{", '["')):
        try:
            return json.dumps(renamed_in(json.loads(value), old, new))
        except ValueError:
            pass
    return value.replace(old, new)


NAMES = {
    "pool": "volumes",
    "user": "client.volumes",
    "volume": VOLUME,
    "instance": INSTANCE,
    "uuid": FSID,
    "backend": "ctl@old",
    "monitor": "ceph01",
    "address": MONITOR,
    "keyring": "ceph.client.",
    "section": "rbd",
    "osd": "osd.17",
    "host": "ceph05",
    "flag": "noout",
    "option": "/etc/nova/x.conf",
    "owner": "gnocchi",
}
"""What outside gives a name to, as the inputs have it."""
KEYS = ("uuid", "instance")
"""Names that are keys of answers: those that are not of their shape are renamed there too."""


def with_hostile_names(count):
    """(name, hostile word, findings, site) of inputs in which one name is a hostile one."""
    tried = 0
    for number, (change, more) in enumerate(INPUTS):
        whole = copy.deepcopy(BASE)
        change(whole)
        dumped = repr(whole)
        for place, (kind, old) in enumerate(NAMES.items()):
            new = HOSTILE[(number * 7 + place) % len(HOSTILE)]
            if old not in dumped or (number + place) % count:
                continue
            answers = {
                host: {read: renamed_in(one, old, new) for read, one in seen.items()}
                for host, seen in whole.items()
            }
            if kind == "instance":
                for seen in answers.values():
                    if INSTANCE in seen.get("domains", {}):
                        seen["domains"] = {new: seen["domains"][INSTANCE]}
            tried += 1
            yield kind, new, of_answers(answers, **more), more.get("site")
    assert tried > 100


def test_every_word_from_outside_is_one_word_of_the_shell():
    argvs = set()
    for kind, new, seen, site_ in with_hostile_names(9):
        try:
            findings = found(seen, site_)
        except (Stop, ValueError, KeyError, TypeError):
            continue  # answers of another shape do not come as far: core.answers
        texts, typed_ = told_of(findings, site_)
        for command, text in typed_:
            shown_ = text if command.deed[0] != "inv" else shown(command)
            assert tokens(shown_) == expected_tokens(command), (kind, new)
            assert text.isprintable(), (kind, new, text)
            assert tokens(text)[: len(command.argv)] == list(command.argv)
            argvs |= {one.argv for one in (command, command.otherwise) if one}
            plain = [w for w in command.argv[1:] if new in w and command.deed[0] not in _OF_TEXT]
            assert not plain or new == "é" * 5, (kind, new, text)
        for text in texts:
            assert not _in_a_command(text, new), (kind, new, text)
    # What Python's quoting says, a real shell says too.
    script = "".join(f"printf '%s\\0' {shlex.join(argv)}\n" for argv in sorted(argvs))
    ran = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    assert ran.stdout.decode().split("\0")[:-1] == [word for argv in sorted(argvs) for word in argv]


_OF_TEXT = ("sed", "printf", "ceph", "chmod", "rm", "mv", "ls", "du")
"""Programs that are given free text or a path, as one word."""
_PROGRAMS = (
    r"(?:openstack|inv|rbd (?:trash|snap)|virsh|nova-manage|systemctl|ceph (?:osd|auth|daemon))"
)


def _in_a_command(text, word):
    """Whether a text has a hostile word raw behind a command's first words."""
    return re.search(rf"\b{_PROGRAMS} [a-z][^;:,()]*{re.escape(word)}", text) is not None


@pytest.mark.parametrize(
    "form", [f for f in RULES if set(f.replace("...", "").split()) & set(SAMPLES)]
)
def test_no_form_takes_a_hostile_word_unless_it_is_quoted(form):
    command = of_form(form)
    shapes = [pair for pair in enumerate(form.replace("...", "").split()) if pair[1] in SAMPLES]
    words_ = (*HOSTILE, *(f"/{word}" for word in HOSTILE))
    for (place, shape), word in [(at, word) for at in shapes for word in words_]:
        argv = (*command.argv[:place], word, *command.argv[place + 1 :])
        one = replace(command, argv=argv, deed=argv, looked=frozenset(LOOKS))
        if may_be_typed(one):
            assert shape in ("TEXT", "LINE", "PATH") and word.isprintable()
            assert tokens(shown(one)) == expected_tokens(one)
        else:
            assert shown(one) == advice._NO_FORM


@pytest.mark.parametrize("word", [*HOSTILE, "", OTHER[:-1], f"{OTHER} #add here"])
def test_reconcile_prints_no_row_that_is_not_an_id(word):
    """A row's id, a name and a location from outside, in every state that reconcile knows."""
    for changed, pools in test_evidence.STATES.values():
        for old in (rows.V, rows.W, rows.N, rows.G, rows.B, rows.A):
            before = rows.some(
                **{
                    kind: [
                        type(one)(*(str(cell).replace(old, word) for cell in one)) for one in some
                    ]
                    for kind, some in {**rows.HEALTHY, **changed}.items()
                }
            )
            listed = {p: {n.replace(old, word) for n in some} for p, some in pools.items()}
            for one in rows.closer(rows.compared(before, rows.names(**listed))):
                for command in one.commands:
                    argvs = [word in w for w in command.argv]
                    if may_be_typed(command) and word and any(argvs):
                        raise AssertionError((one, word))
                    assert shown(command).isprintable()


@pytest.mark.parametrize("word", HOSTILE)
@pytest.mark.parametrize("state", ["active", "stopped", "paused", "shelved"])
@pytest.mark.parametrize("locked", ["0", "1"])
def test_ids_of_instances_and_volumes_are_in_no_command_of_the_monitors(word, state, locked):
    cell = word.replace("\n", "\\n")
    lines = test_monitors.rows(
        ("nova", cell, test_monitors.GONE), state=state, instance=cell, locked=locked
    )
    seen = test_monitors.facts(lines)
    (note,) = frozen_monitors.Frozen("q").notes(test_monitors.HERE, seen, [])
    assert f"--hard-reboot {word}" not in note and f"reboot '{word}" not in note
    assert ("no command is shown" in note) == (state == "active")
    for asked in ({"refresh": True}, {"restart": (word,)}):
        try:
            frozen_monitors.Frozen("q", **asked).plan(test_monitors.HERE, seen)
        except BadInput as error:
            assert f"unlock {word}" not in str(error) and f"unlock '{word}" not in str(error)


# A text is made of a command in one place


@pytest.mark.parametrize("make", [str, "{}".format, lambda one: f"{one}", lambda one: f"{one:>9}"])
def test_a_command_is_no_text_by_itself(make):
    with pytest.raises(TypeError, match="advice"):
        make(typed("openstack", "image", "delete", "x"))


_BEGINS = re.compile(
    r"(?:^|[\s;:(])(?:openstack|inv|rbd|virsh|nova-manage|cinder-manage|systemctl|chmod|chown|rm|mv|sed"
    r"|ceph (?:osd|auth|daemon|orch|health)|ssh-copy-id|ssh-keygen|apt-get|kill) [^;:,]*$"
)
_CHECKED = ("shlex.quote(", "shlex.join(", "advice.shown(", "shown(")
_OUR_OWN = ("run", "stops", "name", "self._session.id", "os.geteuid()", "text[-200:]")
"""Numbers and ids that we made ourselves, and words that are no command's."""


def test_no_text_puts_a_name_behind_a_command():
    """A sentence that holds a command gets it from model.advice, or quotes each word of it."""
    raw = []
    for path in SOURCES.rglob("*.py"):
        if path.is_relative_to(SOURCES / "report") or path.is_relative_to(SOURCES / "core/remote"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            parts = node.values if isinstance(node, ast.JoinedStr) else []
            for before, value in zip(parts, parts[1:], strict=False):
                if isinstance(before, ast.Constant) and isinstance(value, ast.FormattedValue):
                    word = ast.unparse(value.value)
                    known = word.startswith(_CHECKED) or word in (*_OUR_OWN, "node")
                    if _BEGINS.search(before.value) and not known:
                        raw.append(f"{path}:{node.lineno}: {word}")
    assert raw == []
