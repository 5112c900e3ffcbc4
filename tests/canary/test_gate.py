"""Rollouts that the canary stops: at the compute where it dies, which is taken back."""

import contextlib

import pytest

from tests.lab.conftest import inv, on, start
from tests.lab.holdings import held
from tests.lab.test_integrate import state

pytestmark = pytest.mark.lab
CONF = "/etc/nova/nova.conf"
ALTERED = "sed -i 's/^rbd_user = .*/rbd_user = altered/' " + CONF
DROP_IN = "/run/systemd/system/nova-compute.service.d"
SCRIPT = "/usr/local/bin/fault.sh"
DIES = f"""
cat > {SCRIPT} <<'X'
grep -q '^rbd_user = volumes' {CONF} && sleep 3 && echo last words && exit 1
exec /etc/init.d/nova-compute systemd-start
X
mkdir -p {DROP_IN}
printf '[Service]\\nExecStart=\\nExecStart=/bin/sh {SCRIPT}\\n' > {DROP_IN}/fault.conf
printf 'Restart=no\\n' >> {DROP_IN}/fault.conf
systemctl daemon-reload
systemctl restart nova-compute
"""
LIVES = f"rm -r {DROP_IN} {SCRIPT}; systemctl daemon-reload; systemctl restart nova-compute"
WRONG = """
uuid=$(virsh -q secret-list | awk '{print $1; exit}')
echo bm90IHRoZSBrZXk= | virsh -q secret-set-value --secret $uuid --file /dev/stdin
"""


@contextlib.contextmanager
def altered(host="compute01", do="true", undo="true"):
    """Makes work for integrate on both computes, and a fault on one; mends all of it."""
    for compute in ("compute01", "compute02"):
        on(compute, script=ALTERED)
    on(host, script=do)
    try:
        yield
    finally:
        on(host, script=undo)
        inv("integrate", "--yes")
        inv("integrate", "--check")


def touched(before, but):
    """The files and services that are not as they were, besides those of a host."""
    now = state()
    return [at for at in now if now[at] != before[at] and at != but and at[0] != but]


def stands(host):
    return on(host, "systemctl", "is-active", "nova-compute").strip() == "active"


def test_a_service_that_comes_up_and_dies_is_taken_back_and_no_other_is_touched(integrated):
    with altered(do=DIES, undo=LIVES):
        conf, before, there = on("compute01", "cat", CONF), state(), held()
        said = inv("integrate", "--yes", "--canary", "--serial", "1", expect=1, also_errors=True)
        assert "compute01: nova-compute" in said and "last words" in said
        assert "compute01: what this run did there was taken back; no later batch" in said
        assert "compute02: 0 of 2 done; not begun" in said
        assert on("compute01", "cat", CONF) == conf
        assert stands("compute01")
        assert touched(before, but="compute01") == []
        assert held() == there


def test_a_secret_made_wrong_after_the_plan_is_found_by_the_canary(integrated):
    with altered():
        conf, before, there = on("compute01", "cat", CONF), state(), held()
        run = start("integrate", "--yes", "--canary", "--serial", "1")
        run.until("Plan: ")
        on("compute01", script=WRONG)
        assert run.end(timeout=600) == 6
        assert "the canary died:" in run.text and "compute01: an instance boots" in run.text
        assert "compute01: what this run did there was taken back; no later batch" in run.text
        assert "compute02: 0 of 2 done; not begun" in run.text
        assert on("compute01", "cat", CONF) == conf
        assert stands("compute01")
        assert touched(before, but="compute01") == []
        assert held() == there


def test_restarts_alone_stop_at_a_compute_whose_secret_is_wrong(integrated):
    on("compute01", script=WRONG)
    try:
        before, there = state(), held()
        said = inv(
            "services.restart",
            "--all",
            "--yes",
            "--canary",
            "--serial",
            "1",
            expect=6,
            also_errors=True,
            timeout=900,
        )
        assert "compute01: this run did nothing there that can be taken back but restarts" in said
        kept = {at for at in touched(before, but="compute01")}
        assert kept == {("controller01", "glance-api"), ("controller01", "cinder-volume")}
        assert held() == there
    finally:
        inv("integrate", "--yes")
        inv("integrate", "--check")


def test_a_healthy_rollout_goes_through_the_gate_batch_by_batch(integrated):
    there = held()
    with altered():
        said = inv("integrate", "--yes", "--canary", "--serial", "1", timeout=900)
        first, second = said.index("canary: compute01"), said.index("canary: compute02")
        begun = said.index("compute02      ~ ")
        assert first < said.index("compute01      ", first) < begun < second
        assert held() == there
