"""See it first, get exactly that, take it back: on the real cloud."""

import json
import signal
import time
from pathlib import Path

import pytest

from .conftest import Terminal, inv, on, result, running, start

pytestmark = pytest.mark.lab
KEPT = (
    "/etc/ceph /etc/glance /etc/cinder /etc/nova /etc/sudoers.d /etc/apt/sources.list.d "
    "/etc/apt/keyrings /etc/libvirt/secrets /etc/init"
)
SECRETS = """
for uuid in $(virsh -q secret-list 2>/dev/null | awk '{print $1}'); do
  virsh -q secret-dumpxml $uuid; virsh -q secret-get-value $uuid | sha256sum
done
"""
CAPS = "ceph auth ls --format json"


HOSTS = ("ceph01", "controller01", "compute01", "compute02")


def state(hosts=HOSTS):
    """Files by content, owner and mode; caps; libvirt's secrets: {host: text}."""
    found = {}
    for host in hosts:
        script = f"find {KEPT} -type f -printf '%p %m %u %g ' -exec sha256sum '{{}}' ';'"
        lines = on(host, script=f"{script} 2>/dev/null | sort\n{SECRETS}").splitlines()
        # What the packages brought stays: undo says so.
        found[host] = [line for line in lines if "/etc/ceph/rbdmap" not in line]
    users = json.loads(on("ceph01", *CAPS.split()))["auth_dump"]
    found["caps"] = {u["entity"]: u["caps"] for u in users if u["entity"].startswith("client.")}
    return found


@pytest.fixture(scope="module")
def before(lab):
    """The unconnected cloud, with the Ceph client's packages and nothing else of ours."""
    inv("hosts.packages", "--yes")
    for host in ("controller01", "compute01", "compute02"):
        on(host, script="rm -f /etc/apt/sources.list.d/stackrbd* /etc/apt/keyrings/stackrbd*")
    return state()


WATCHED = "/etc /root /home /tmp /var/tmp /var/lib/libvirt /var/lib/stackrbd /run/libvirt/secrets"


def touched(mark):
    """Every file and folder of the watched ones that was written since."""
    found = []
    for host in running():
        # libvirt probes QEMU in its own time, and makes sockets for that.
        itself = "-path '/var/lib/libvirt/qemu*' -prune -o"
        script = f"find {WATCHED} {itself} -newerct @{mark} -print 2>/dev/null | sort; true"
        found += [f"{host}: {line}" for line in on(host, script=script).splitlines()]
    return found


def test_looking_writes_nothing_on_any_host(before):
    time.sleep(2)
    mark = int(time.time())
    time.sleep(1)
    shown = inv("plan")
    inv("integrate", "--check", "--diff", expect=2)
    inv("integrate", expect=3)  # nobody to ask
    assert "(made during the run)" in shown
    assert touched(mark) == []


def test_a_kept_plan_is_done_and_nothing_else(before, tmp_path):
    kept = tmp_path / "plan.json"
    inv("plan", "--out", str(kept))
    shown = json.loads(kept.read_text())
    done = result(inv("apply", str(kept), "--yes", "--json"))
    assert [(c["host"], c["thing"]) for c in done["changes"]] == [
        (c["host"], c["thing"]) for c in shown["changes"]
    ]
    inv("integrate", "--check")
    assert "stale" in inv("apply", str(kept), "--yes", expect=3, also_errors=True)


def test_undo_brings_back_every_byte(before):
    integrated = state()
    assert integrated != before
    shown = inv("undo", "--check", expect=2)
    assert "a pool is never deleted" in shown
    inv("undo", "--yes")
    assert state() == before
    for host, unit in (
        ("controller01", "glance-api"),
        ("controller01", "cinder-volume"),
        ("compute01", "nova-compute"),
        ("compute02", "nova-compute"),
    ):
        assert on(host, "systemctl", "is-active", unit).strip() == "active"
    inv("integrate", "--yes")
    inv("integrate", "--check")


def test_undo_refuses_what_somebody_changed_since(before):
    on("compute01", script="echo '# a hand was here' >> /etc/ceph/ceph.conf")
    said = inv("undo", "--yes", expect=3, also_errors=True)
    assert "stale" in said and "compute01: /etc/ceph/ceph.conf" in said
    on("compute01", script="sed -i '$d' /etc/ceph/ceph.conf")


def test_a_plan_is_stale_when_a_hand_was_faster(before, tmp_path):
    on("compute02", script="sed -i '/^rbd_user/d' /etc/nova/nova.conf")
    kept = tmp_path / "plan.json"
    inv("plan", "--out", str(kept))
    on("compute02", script="echo '# a hand' >> /etc/nova/nova.conf")
    said = inv("apply", str(kept), "--yes", expect=3, also_errors=True)
    assert "stale" in said and "compute02: /etc/nova/nova.conf" in said
    inv("integrate", "--yes")


@pytest.mark.parametrize("answer, code", [("yes", 0), ("y", 3), ("no", 3)])
def test_on_a_terminal_it_shows_the_plan_and_asks(before, answer, code):
    on("compute02", script="sed -i '/^rbd_user/d' /etc/nova/nova.conf")
    run = Terminal("integrate", "--diff")
    run.until("Do this? Only 'yes' goes on: ")
    assert "+ [libvirt] rbd_user = volumes" in run.text
    run.type(answer)
    assert run.end() == code, run.text
    inv("integrate", "--check", expect=0 if code == 0 else 2)
    inv("integrate", "--yes")


def test_a_ctrl_c_at_the_question_writes_nothing(before):
    on("compute02", script="sed -i '/^rbd_user/d' /etc/nova/nova.conf")
    run = Terminal("integrate")
    run.until("Do this?")
    run.type("\x03")
    assert run.end() == 130, run.text
    inv("integrate", "--check", expect=2)
    inv("integrate", "--yes")


def undone():
    """Work for a run: two options on each compute."""
    for host in ("compute01", "compute02"):
        on(host, script="sed -i '/^rbd_user/d;/^rbd_secret_uuid/d' /etc/nova/nova.conf")


def agents():
    """Processes of ours on the lab's hosts."""
    said = {host: on(host, script="pgrep -fa stackrbd_remote || true") for host in running()}
    return [line for lines in said.values() for line in lines.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_finishes_the_step_and_stops(before, number):
    undone()
    run = start("integrate", "--yes")
    run.until("compute01 ")
    run.process.send_signal(number)
    assert run.end() == 130, run.text
    assert "Stopping" in run.text and "done" in run.text
    time.sleep(1)
    assert agents() == []
    inv("integrate", "--yes")
    inv("integrate", "--check")


def test_killed_without_a_word_and_the_next_run_begins_at_once(before):
    undone()
    run = start("integrate", "--yes")
    run.until("compute01 ")
    run.process.kill()
    run.end()
    inv("integrate", "--yes")
    inv("integrate", "--check")
    assert agents() == []


def test_two_at_once_and_the_second_says_who(before):
    undone()
    first = start("integrate", "--yes")
    first.until("reading")
    said = inv("integrate", "--yes", expect=5, also_errors=True)
    assert "the site is locked by run" in said
    assert first.end() == 0
    inv("integrate", "--check")


def test_history_names_every_run_and_how_it_ended(before):
    runs = json.loads(inv("history", "--json"))["runs"]
    assert {"done", "interrupted", "not ended"} <= {run["outcome"] for run in runs}
    newest = runs[0]
    shown = json.loads(inv("show", "--run", newest["run"], "--json"))
    assert len(shown["plan"]) >= newest["changes"] > 0
    folder = Path.home() / ".local/state/stackrbd/runs" / newest["run"]
    assert {p.stat().st_mode & 0o077 for p in (folder, *folder.iterdir())} == {0}
    logged = on("compute01", "journalctl", "-t", "stackrbd", "-o", "cat", "--no-pager")
    assert newest["run"] in logged


def test_ephemeral_disks_by_choice_and_back(before, site):
    """A pool, a client, a keyring and a secret of their own; an instance boots from RBD."""
    there = site(
        ("[pools]\n", "[pools]\nvms = { size = 1, pg_num = 8 }\n"),
        ("[clients]\n", '[clients]\nvms = { rwx = ["vms"], rx = ["images"] }\n'),
        ("[packages]\n", "[nova]\nephemeral = true\n\n[packages]\n"),
    )
    inv("integrate", "--yes", *there)
    inv("integrate", "--check", *there)
    for host in ("compute01", "compute02"):
        conf = on(host, "cat", "/etc/nova/nova.conf")
        assert "\nimages_type = rbd\n" in conf and "\nrbd_user = vms\n" in conf
        assert len(on(host, "virsh", "-q", "secret-list").splitlines()) == 2
        keyring = "/etc/ceph/ceph.client.vms.keyring"
        assert on(host, "stat", "-c", "%a,%U", keyring).strip() == "640,nova"
    inv("verify", *there, "--limit", "compute01", timeout=900)
    inv("undo", "--yes", *there)
    inv("integrate", "--check")
