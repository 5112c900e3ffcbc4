"""Faults A: reaching hosts."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fabfile.core import journal
from tests.lab.conftest import ACCESS, inv, on, running, start

from .conftest import alter, cut, done_and_undone, mended, nova_conf, refused, silent

pytestmark = pytest.mark.lab
KNOWN = f"UserKnownHostsFile {ACCESS}/known_hosts"
ADDRESS = {"controller01": "198.18.53.21", "compute01": "198.18.53.31", "compute02": "198.18.53.32"}


@pytest.fixture
def known(tmp_path, site):
    """A site whose known_hosts the test may spoil: (its path, the --site words)."""
    path = tmp_path / "known_hosts"
    shutil.copy(ACCESS / "known_hosts", path)
    return path, site(ssh=[(KNOWN, f"UserKnownHostsFile {path}")])


def without(path, host):
    """Takes a host's line out of a known_hosts; the line."""
    lines = path.read_text().splitlines(keepends=True)
    (line,) = [x for x in lines if ADDRESS[host] in x.split()[0]]
    path.write_text("".join(x for x in lines if x != line))
    return line


def attempts(host):
    """How many logins sshd has seen."""
    return on(host, "journalctl", "-u", "ssh", "-o", "cat", "--no-pager").count("Accepted")


def test_01_an_unknown_host_key_is_shown_and_nobody_logs_in(cloud, known):
    path, site = known
    without(path, "compute01")
    before = attempts("compute01")
    said = refused(4, "integrate", "--check", *site)
    fingerprint = on("compute01", "ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub").split()
    assert fingerprint[1] in said and "inv hosts.trust" in said
    assert attempts("compute01") == before + 2  # the two questions of this test itself
    assert fingerprint[1] in refused(3, "hosts.trust", *site)  # nobody to compare it
    assert ADDRESS["compute01"] not in path.read_text()
    inv("hosts.trust", "--yes", *site)
    inv("integrate", "--check", *site)


def test_02_a_changed_host_key_stops_the_run_before_any_write(cloud, known):
    path, site = known
    line = without(path, "compute02")
    other = next(x for x in path.read_text().splitlines() if ADDRESS["controller01"] in x)
    path.write_text(path.read_text() + line.split()[0] + " " + " ".join(other.split()[1:]) + "\n")
    alter("compute01")
    untouched = nova_conf()
    said = refused(4, "integrate", "--yes", *site)
    assert "compute02" in said and "not the one in known_hosts" in said
    assert nova_conf() == untouched
    refused(4, "hosts.trust", "--yes", *site)  # never takes a changed key
    mended()


@pytest.mark.parametrize(
    "line, said",
    [
        ("@cert-authority * {key}", "certificate authority"),
        ("@revoked * {key}", "marked @revoked"),
        ("garbage", "is not in known_hosts"),
        ("{host} ssh-ed25519 AAAA", "is not in known_hosts"),
    ],
)
def test_03_every_kind_of_line(cloud, known, line, said):
    path, site = known
    own = without(path, "compute01")
    key = " ".join(own.split()[1:3])
    path.write_text(path.read_text() + line.format(key=key, host=own.split()[0]) + "\n")
    assert said in refused(4, "integrate", "--check", *site)
    path.write_text(path.read_text() + own)
    if line.startswith("@revoked"):
        assert said in refused(4, "integrate", "--check", *site)
    else:
        inv("integrate", "--check", *site)  # the bad line is only warned of


def test_03_hashed_names_and_patterns(cloud, known):
    path, site = known
    subprocess.run(["ssh-keygen", "-qHf", str(path)], check=True, capture_output=True)
    assert ADDRESS["compute01"] not in path.read_text()
    inv("integrate", "--check", *site)
    shutil.copy(ACCESS / "known_hosts", path)
    line = without(path, "compute01")
    path.write_text(path.read_text() + "!198.18.53.32,198.18.53.3? " + line.split(" ", 1)[1])
    inv("integrate", "--check", *site)


def test_04_dead_hosts_are_all_named_at_once_and_nothing_is_written(cloud):
    alter("compute01")
    untouched = nova_conf()
    with silent("compute02", "controller01"):
        began = time.monotonic()
        said = refused(4, "integrate", "--yes")
    assert "compute02" in said and "controller01" in said and "nothing was written" in said
    assert time.monotonic() - began < 30
    assert nova_conf() == untouched
    mended()


def test_05_a_frozen_sshd(cloud):
    # In its own time: the stopped daemon could not be told to go on by itself.
    on(
        "compute02",
        script="pid=$(cat /run/sshd.pid); (kill -STOP $pid; sleep 40; kill -CONT $pid) "
        ">/dev/null 2>&1 & sleep 0.5",
    )
    began = time.monotonic()
    said = refused(4, "integrate", "--check")
    assert "compute02" in said
    assert time.monotonic() - began < 30
    time.sleep(max(0, 42 - (time.monotonic() - began)))


@pytest.fixture
def through(site):
    """compute01 is reached through controller01."""
    block = f"    HostName {ADDRESS['compute01']}\n"
    return site(ssh=[(block, block + "    ProxyJump controller01\n")])


def test_06_a_bastion_whose_target_is_dead(cloud, through):
    inv("integrate", "--check", *through)
    with silent("compute01"):
        began = time.monotonic()
        said = refused(4, "integrate", "--check", *through)
    assert "bastion controller01" in said and "compute01" in said
    assert time.monotonic() - began < 40


def test_06_a_bastions_own_key_is_checked(cloud, known, site, tmp_path):
    path, _ = known
    without(path, "controller01")
    block = f"    HostName {ADDRESS['compute01']}\n"
    words = site(
        ssh=[(KNOWN, f"UserKnownHostsFile {path}"), (block, block + "    ProxyJump controller01\n")]
    )
    said = refused(4, "compute.nova", "--check", "--limit", "compute01", *words)
    assert "controller01" in said and "is not in known_hosts" in said


SLOW = (
    "systemctl stop nova-compute; mkdir -p /run/systemd/system/nova-compute.service.d; "
    "printf '[Service]\\nExecStartPre=/bin/sleep 30\\n' > "
    "/run/systemd/system/nova-compute.service.d/slow.conf; systemctl daemon-reload"
)
QUICK = (
    "rm -rf /run/systemd/system/nova-compute.service.d; systemctl daemon-reload; "
    "systemctl restart nova-compute"
)


def slow_restart(host="compute01"):
    """nova-compute takes half a minute to start there."""
    return done_and_undone(host, SLOW, QUICK)


def test_07_a_bastion_that_dies_leaves_unknown(cloud, through):
    alter("compute01")
    with slow_restart():
        run = start("integrate", "--yes", *through)
        run.until("compute01      ~ /etc/nova/nova.conf")
        with cut("controller01"):
            run.until("UNKNOWN")
            time.sleep(1)
        assert run.end() == 7, run.text
    assert "it answers again" in run.text or "does not answer" in run.text
    mended()


def test_08_an_sshd_with_too_many_guests(cloud):
    """Others hold all of sshd's places for unauthenticated connections, for some seconds."""
    with sshd("MaxStartups 2:100:2"):
        guests = [
            subprocess.Popen(["bash", "-c", f"exec 3<>/dev/tcp/{ADDRESS['compute01']}/22; sleep 3"])
            for _ in range(2)
        ]
        time.sleep(0.5)
        inv("integrate", "--check")
        for guest in guests:
            guest.wait()


@pytest.mark.parametrize("after", [0.4, 1.5, 4.0])
def test_09_a_cut_during_the_work_leaves_unknown_and_a_whole_file(cloud, after):
    alter("compute01")
    with slow_restart():
        run = start("integrate", "--yes")
        run.until("Plan:")
        time.sleep(after)
        with cut("compute01"):
            time.sleep(32)
        ended = run.end()
        assert ended in (4, 7), run.text  # 4: cut before the agent was there
        if ended == 7:
            assert "compute01: the connection was cut" in run.text
            events = journal.read(next(iter(journal.runs()))[0])[0]
            assert {"unknown", "asked again"} <= {e["event"] for e in events}
        assert re.search("^rbd_secret_uuid", nova_conf(), re.M)
    mended()


def test_11_a_half_open_connection_is_noticed_within_30_s(cloud):
    alter("compute01")
    with slow_restart():
        run = start("integrate", "--yes")
        run.until("compute01      ~ /etc/nova/nova.conf")
        began = time.monotonic()
        with silent("compute01"):
            run.until("UNKNOWN")
            assert time.monotonic() - began < 30
        assert run.end() == 7
    mended()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_13_a_signal_and_a_second_one(cloud, number):
    alter("compute01")
    with slow_restart():
        run = start("integrate", "--yes")
        run.until("compute01      ~ /etc/nova/nova.conf")
        run.process.send_signal(number)
        run.until("Stopping")
        began = time.monotonic()
        run.process.send_signal(number)
        assert run.end() == 130
        assert time.monotonic() - began < 3
    mended()
    assert still_at_work() == {}


def still_at_work():
    """{host: what is left there of our agents}, after they had a moment to leave."""
    time.sleep(1)
    said = {host: on(host, script="pgrep -af stackrbd_remote || true") for host in running()}
    return {host: lines for host, lines in said.items() if lines}


def sshd(setting, host="compute01"):
    """sshd with one more setting, ahead of the others."""
    do = f"sed -i '1i {setting}' /etc/ssh/sshd_config; systemctl reload ssh; sleep 0.5"
    return done_and_undone(host, do, "sed -i '1d' /etc/ssh/sshd_config; systemctl reload ssh")


def test_15_an_agent_with_many_keys(cloud, tmp_path, site):
    words = site(
        ssh=[("    IdentitiesOnly yes\n", ""), (f"    IdentityFile {ACCESS}/id_ed25519\n", "")]
    )
    with sshd("MaxAuthTries 3"), ssh_agent(tmp_path, 8) as environment:
        inv("integrate", "--check", env=environment)  # IdentitiesOnly
        said = refused(4, "integrate", "--check", *words, env=environment)
    assert "IdentitiesOnly" in said


class ssh_agent:  # noqa: N801 (reads as a verb)
    """An agent with so many keys; its environment."""

    def __init__(self, folder, count):
        self._folder, self._count = Path(folder), count

    def __enter__(self):
        text = subprocess.run(
            ["ssh-agent", "-s"], capture_output=True, text=True, check=True
        ).stdout
        self._made = dict(re.findall(r"(SSH_\w+)=([^;]+);", text))
        for number in range(self._count):
            key = self._folder / f"key{number}"
            subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", str(key)], check=True)
            subprocess.run(
                ["ssh-add", "-q", str(key)], env={**os.environ, **self._made}, check=True
            )
        return self._made

    def __exit__(self, *_):
        os.kill(int(self._made["SSH_AGENT_PID"]), signal.SIGTERM)


def test_16_the_agent_is_never_forwarded(cloud, tmp_path, site):
    words = site(
        ssh=[("    IdentitiesOnly yes\n", "    IdentitiesOnly yes\n    ForwardAgent yes\n")]
    )
    alter("compute01")
    with ssh_agent(tmp_path, 1) as environment, slow_restart():
        run = start("integrate", "--yes", *words, env=environment)
        run.until("compute01      ~ /etc/nova/nova.conf")
        sockets = on("compute01", script="find /tmp -name 'agent.*'")
        run.end()
    assert sockets == ""
    mended()


def test_17_noise_before_the_agent_speaks(cloud):
    noise = "printf 'echo welcome; printf \"\\\\033[31mred\\\\n\"; echo >&2 noise\\n' > ~operator/.bashrc"
    with done_and_undone(
        "compute01",
        f"cp -a ~operator/.bashrc /root/rc 2>/dev/null; {noise}",
        "rm -f ~operator/.bashrc; mv /root/rc ~operator/.bashrc 2>/dev/null; true",
    ):
        inv("integrate", "--check")


@pytest.mark.parametrize(
    "setting", ["ForceCommand internal-sftp", "ForceCommand /bin/false", "PermitTTY no"]
)
def test_17_a_forced_command(cloud, setting):
    do = f"printf 'Match User operator\\n  {setting}\\n' >> /etc/ssh/sshd_config; systemctl reload ssh"
    undo = (
        "head -n -2 /etc/ssh/sshd_config > /etc/ssh/x; cat /etc/ssh/x > /etc/ssh/sshd_config; "
        "rm /etc/ssh/x; systemctl reload ssh"
    )
    with done_and_undone("compute01", do, undo):
        time.sleep(0.5)
        if setting == "PermitTTY no":
            inv("integrate", "--check")
        else:
            said = refused(4, "integrate", "--check")
            assert "compute01: the agent did not start" in said


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/bin/false"])
def test_17_a_login_shell_that_is_none(cloud, shell):
    with done_and_undone(
        "compute01", f"usermod -s {shell} operator", "usermod -s /bin/bash operator"
    ):
        assert "compute01: the agent did not start" in refused(4, "integrate", "--check")


def test_18_no_python3(cloud):
    with done_and_undone(
        "compute01",
        "mv /usr/bin/python3 /usr/bin/python3.away",
        "mv /usr/bin/python3.away /usr/bin/python3",
    ):
        assert "python3 or sudo is missing" in refused(4, "integrate", "--check")
        assert "compute01: lacks python3" in refused(4, "hosts.check")


def test_19_one_machine_under_two_names(cloud, site):
    twice = f'compute01 = {{ roles = ["compute"] }}\nagain = {{ address = "{ADDRESS["compute01"]}", roles = ["compute"] }}'
    words = site(('compute01 = { roles = ["compute"] }', twice))
    said = refused(3, "integrate", "--check", *words)
    assert "compute01 and again are one machine" in said


def test_20_another_cloud_behind_the_names(cloud, site):
    other = "11111111-2222-4333-8444-555555555555"
    words = site(('release = "auto"', f'release = "auto"\nfsid = "{other}"'))
    said = refused(3, "integrate", "--check", *words)
    assert other in said and "another cloud" in said
