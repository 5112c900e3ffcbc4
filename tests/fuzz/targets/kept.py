"""What is kept of runs: journals and plans here, steps on a host, and the undo of them."""

import contextlib
import functools
import json
from unittest import mock

from fabfile.core import journal
from fabfile.core.contract import Plan, Stop
from fabfile.core.remote import state
from fabfile.flow import converge, history, plan_file
from fabfile.flow import limit as limits
from fabfile.flow import rollout as rollouts
from fabfile.flow.converge import Converger
from fabfile.flow.inspect import reporting
from fabfile.flow.terminal.screen import Screen
from fabfile.report import document as documents
from fabfile.report.metrics import metrics
from fabfile.resources.rollback import Undone

from ...unit import clouds, reports, states, test_rollback
from .. import world
from .case import AGENTS, Target, as_data, as_document, as_value
from .hosts import api_of

EVENTS = [
    {
        "time": 1.0,
        "event": "run",
        "who": "op@here",
        "pid": 1,
        "site": "test",
        "file": "/s",
        "task": "integrate",
        "limit": "",
        "number": 7,
    },
    {"time": 2.0, "event": "left out", "host": "n2", "why": "no answer"},
    {"time": 3.0, "event": "begin", "host": "n1", "step": 0, "thing": "a file"},
    {"time": 4.0, "event": "done", "host": "n1", "step": 0, "thing": "a file"},
    {"time": 5.0, "event": "done", "host": "cloud", "step": 1, "thing": "volume type rbd"},
    {
        "time": 6.0,
        "event": "proof",
        "name": "an image",
        "ok": True,
        "detail": "x",
        "seconds": 3.9,
        "host": "n1",
    },
    {
        "time": 7.0,
        "event": "proof",
        "name": "it is attached",
        "ok": False,
        "detail": "gone",
        "seconds": 1.0,
    },
    {
        "time": 8.0,
        "event": "ended",
        "code": 1,
        "done": {"n1": 1},
        "failed": {"n2": "no"},
        "why": "it failed",
    },
]
CHANGES = [
    {
        "host": "n1",
        "thing": "a file",
        "sentence": "write",
        "sign": "+",
        "verb": "write",
        "args": {"path": "/x"},
        "wave": 2,
        "diff": ["+ x"],
        "restarts": [],
        "kind": "file",
        "subject": "/x",
        "stays": "",
    },
    {
        "host": "cloud",
        "thing": "volume type rbd",
        "sentence": "make it",
        "sign": "+",
        "verb": "volume_type",
        "args": {"name": "rbd", "backend_name": "rbd"},
        "wave": 3,
        "diff": [],
        "restarts": [],
        "kind": "volume_type",
        "subject": "rbd",
        "stays": "",
    },
]


def _journals():
    verify = [{**EVENTS[0], "task": "verify"}, *EVENTS[5:]]
    return [(EVENTS, CHANGES), (verify, []), (EVENTS[:3], CHANGES)]


def _damaged_journal(rng, found):
    events, changes = found
    what = rng.random()
    if what < 0.6:
        events = as_value(rng, events)
    if what > 0.4:
        changes = as_value(rng, changes)
    rows = events if isinstance(events, list) else [events]
    lines = [json.dumps(one).encode("utf-8", "surrogatepass") for one in rows]
    text, plan = b"\n".join(lines) + b"\n", json.dumps(changes).encode()
    if rng.random() < 0.25:
        text, plan = as_data(rng, text), as_data(rng, plan)
    return text, plan


def _journal(case, found):
    text, plan = found
    with mock.patch.dict("os.environ", XDG_STATE_HOME=str(case.folder)):
        folder = journal.folder() / "r1"
        case.file(folder / "events.jsonl", text)
        case.file(folder / "plan.json", plan)
        site = states.site()
        as_json, run = case.rng.random() < 0.3, case.rng.choice(("", "r1"))
        history.history(as_json)
        acts = (
            lambda: history.show("r1", as_json),
            lambda: limits.limited(site, limits.resolved(site, "@failed")),
            lambda: _undo(case, site, history.undone(run, site, set(site.hosts)), {}),
            lambda: history.last("test"),
        )
        for act in acts:
            with contextlib.suppress(Stop):
                act()
        runs = reporting.runs("test")
        if case.rng.random() < 0.8:
            return  # a page takes a hundred times longer than what it is made from
        told = {**_page_of(), "runs": runs}
        for name, made in {**reporting.texts(told), "x.prom": metrics(told)}.items():
            case.page(name, made)
        documents.last(told["runs"], True)


@functools.cache
def _page_of():
    return reports.told(runs=())


def _undo(case, site, undone, run):
    """The plan of an undo whose hosts answer this."""
    admin = {"images.volumes": states.said_by("[]"), "images.images": states.said_by("[]")}
    admin |= {"trash.volumes": states.said_by("[]"), "trash.images": states.said_by("[]")}
    hosts = {
        host: {"host": clouds.machine(n), "run": [], "pending_restarts": [], **run.get(host, {})}
        for n, host in enumerate(site.hosts)
    }
    hosts["ceph01"] = {**admin, **hosts["ceph01"]}
    with world.task(site, world.now(hosts), api_of(clouds.API), diff=True) as opened:
        Converger(opened("undo")).preview([undone.resource])


STEPS = (
    *(test_rollback.WROTE, test_rollback.ADDED, test_rollback.RESTARTED, test_rollback.USER),
    *(test_rollback.POOL, test_rollback.FOLDER, test_rollback.INSIDE),
)


def _steps(case, found):
    """What a host kept of a run, from its file to the plan that takes it back."""
    data, roll = found
    with mock.patch.object(state, "STATE", str(case.folder)):
        case.file("runs/r1/steps.jsonl", data)
        try:
            steps = state.steps("r1")
        except AGENTS:
            return
    for step in steps:
        if step.get("guard"):
            step["now"] = case.rng.choice((None, "0640 bb", "aa"))
    host = "ceph01" if roll < 0.4 else "n1"
    run = {host: {"run": json.loads(json.dumps(steps))}}
    _undo(case, states.site(), Undone("r1"), run)


def _damaged_steps(rng, steps):
    made = as_value(rng, list(steps))
    rows = made if isinstance(made, list) else [made]
    data = "\n".join(map(json.dumps, rows)).encode() + b"\n"
    return as_data(rng, data) if rng.random() < 0.2 else data, rng.random()


def _plans():
    site = {"file": "/SITE", "sha256": "0" * 64}
    return [
        {
            "stackrbd plan": 1,
            "made": "2026-01-01T00:00:00Z",
            "by": "op@here",
            "site": site,
            "limit": "n*",
            "max_fail": "1",
            "left_out": {"n2": "it is silent"},
            "changes": CHANGES,
        }
    ]


def _plan_file(case, data):
    kept = plan_file.load(str(case.file("plan.json", data)))
    left = plan_file.left_out(kept)
    case.say(Screen(False).left_out({host: str(why) for host, why in left.items()}) or "")
    site = states.site()
    with contextlib.suppress(Stop):
        plan_file.site_of(kept)
    with contextlib.suppress(Stop):
        limits.limited(site, limits.resolved(site, kept["limit"]))
    with contextlib.suppress(Stop):
        rollouts.of(site, set(site.hosts), "", "", kept["max_fail"])
    with world.task(site, {}, {}) as opened, contextlib.suppress(Stop):
        Converger(opened("apply")).leave_out(left)
    converge._refuse_stale(kept["changes"], Plan())


TARGETS = {
    "journal": Target("journals", _journals, _damaged_journal, _journal, share=20),
    "steps": Target(
        "steps.jsonl",
        lambda: [list(STEPS), *([s] for s in STEPS)],
        _damaged_steps,
        _steps,
        share=20,
    ),
    "plan-file": Target("plan files", _plans, as_document, _plan_file, share=20),
}
