"""`python -m tests.screens [COLUMNS] [HOSTS]`: what tasks say on a terminal, of made-up clouds.

To be looked at, at 80 and 200 columns, on a dark and a light background; the widths are held by
tests/unit/test_screens.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict

from fabfile.audit import compare
from fabfile.cloud.checks import Check
from fabfile.core.contract import Change, Failed, Plan, UnknownHostKey, Unreachable
from fabfile.doctor import checks, secret_holders
from fabfile.doctor.summary import summary
from fabfile.flow import history, host_keys
from fabfile.flow.inspect import now, preflight
from fabfile.flow.inspect import reconcile as comparison
from fabfile.flow.proof import verify
from fabfile.flow.terminal import outcomes
from fabfile.flow.terminal.screen import Screen
from fabfile.model.phases import Phase
from fabfile.report import text

from .unit import reports, states
from .unit.clouds import looked

UUID = "6238f9e6-0382-4cef-a3f3-795a22ddc50e"
SENTENCE = "the ceph.conf there names monitors that are gone: guests that start now do not start"


class Fake:
    """A session or record whose parts nobody asks but the screen."""

    def __init__(self, screen: Screen) -> None:
        self.screen, self.site, self.fleet = screen, states.site(), self
        self.trips, self.id = {}, "2026-11-27T22-00-00Z-ab12"

    def event(self, *words: object, **more: object) -> None:
        pass


def _names(hosts: int) -> list[str]:
    return [f"compute{n:04d}.example.org" for n in range(hosts)]


def plan(screen: Screen, hosts: int) -> None:
    """plan, integrate, undo, remove: one document."""
    diff = ("- [libvirt] rbd_user = nova", f"+ [libvirt] rbd_secret_uuid = {UUID}")
    set_ = "set libvirt.rbd_user, libvirt.rbd_secret_uuid, libvirt.disk_cachemodes"
    changes = [
        Change(name, "/etc/nova/nova.conf", set_, "~", "edit", {}, Phase.COMPUTE, diff)
        for name in _names(hosts)
    ]
    changes.append(
        Change("ceph01", "pool volumes", "create it, of 32 groups", "+", "run", {}, Phase.CLUSTER)
    )
    left = {"ctl": f"10.0.0.1:22 does not answer within 10 s; {SENTENCE}"}
    screen.plan(Plan(tuple(changes), (SENTENCE * 2,), left_out=left), diff=True)


def recap(screen: Screen, hosts: int) -> None:
    """integrate, apply: how it ended, and a step that failed."""
    names = _names(hosts)
    screen.step(names[0], f"FAILED /etc/nova/nova.conf: {SENTENCE}")
    faults = {name: Failed(f"{name}: {SENTENCE}") for name in names[: len(names) // 2]}
    for line in outcomes.recap(dict.fromkeys(names, 6), {}, names, faults):
        screen.say(f"  {line}")


def doctor(screen: Screen, hosts: int) -> None:
    """doctor: findings, and hosts that are down."""
    down = {n: Unreachable(f"{n}: x", found=f"10.0.{n[1:]}.1:22 is deaf") for n in ("n1", "n2")}
    seen = looked(reports.broken, unreachable=down if hosts < 5 else {})
    found, _ = checks.findings(states.site(), seen)
    screen.say_all(text.findings(found, states.site(), " --site mysite.toml", screen.columns))


def status(screen: Screen, hosts: int) -> None:
    """status: the summary, and who holds which secret."""
    if hosts > 4:
        screen.say_all(text.places(reports.a_thousand()["secrets"], screen.columns))
        return
    seen = looked(reports.broken)
    told, rows = summary(states.site(), seen, checks.findings(states.site(), seen)[1]), []
    rows = [asdict(row) for row in secret_holders.table(states.site(), seen)]
    screen.say_all(text.status({**told, "last_run": None}, screen.columns))
    screen.say_all(text.places(rows, screen.columns))


def proof(screen: Screen, hosts: int) -> None:
    """verify: a line a check."""
    found = [Check(f"{name}: {SENTENCE}", True, SENTENCE, 12.5, name) for name in _names(hosts)]
    verify._report(Fake(screen), Fake(screen), found[:12])


def reconcile(screen: Screen, hosts: int) -> None:
    """reconcile: what does not agree."""
    look = Fake(screen)
    look.label, look.notes, look.counts = "ceph", [SENTENCE], {"rows": hosts, "names": 1}
    found = [
        compare.Finding("orphaned", "volume", "volumes", f"volume-{UUID}", UUID, SENTENCE * 2, ()),
        compare.Finding("missing", "volume", "volumes", "", UUID, SENTENCE, ()),
    ]
    comparison._report(Fake(screen), [(look, found)])


def trust(screen: Screen, hosts: int) -> None:
    """hosts.trust: keys to compare."""
    print_of = "SHA256:" + "a" * 43
    keys = [
        UnknownHostKey(name, f"{name} ecdsa-sha2-nistp256 AAAA", print_of, "/dev/null")
        for name in _names(hosts)
    ]
    host_keys.to_compare(screen, keys)


def check(screen: Screen, hosts: int) -> None:
    """hosts.check: who is ready, and who is not."""
    names = _names(hosts)
    deaf = {name: Unreachable(f"{name}: {SENTENCE}") for name in names[1:]}
    try:
        preflight.report(screen, {names[0]: [], **deaf})
    except Unreachable as stop:
        screen.say(str(stop))


def show(screen: Screen, hosts: int) -> None:
    """show: what a run planned and did."""
    changes = [{"host": n, "sign": "~", "thing": "x", "sentence": SENTENCE} for n in _names(hosts)]
    history.planned(screen, changes, {(_names(hosts)[0], 0)})


def next_(screen: Screen, hosts: int) -> None:
    """inv alone: where a site stands."""
    stands, found = now.after([])
    now.tell(screen, f"a-cloud-of-mine (/home/operator/clouds/site.toml): {stands}", found)


SCREENS: dict[str, Callable[[Screen, int], None]] = {
    "now": next_,
    "hosts.check": check,
    "hosts.trust": trust,
    "plan": plan,
    "integrate": recap,
    "verify": proof,
    "doctor": doctor,
    "status": status,
    "reconcile": reconcile,
    "show": show,
}


def main(columns: int = 80, hosts: int = 4) -> int:
    """Shows each, as a window of so many columns gets it."""
    Screen.columns = columns  # type: ignore[assignment, method-assign]
    for name, show_one in SCREENS.items():
        screen = Screen(False)
        print(f"\x1b[1m$ inv {name}\x1b[0m")
        show_one(screen, hosts)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
