"""Faults B: sudo."""

import pytest

from tests.lab.conftest import ACCESS, Terminal, inv, on

from .conftest import done_and_undone, refused

pytestmark = pytest.mark.lab
ASKED = 'sudo_password_command = ["cat"'
OURS = "/etc/sudoers.d/90-stackrbd-operator"


def without_our_file(host="compute01"):
    """sudo asks for the password there."""
    return done_and_undone(host, f"mv {OURS} /root/ours", f"mv /root/ours {OURS}")


def defaults(words, host="compute01"):
    path = "/etc/sudoers.d/99-fault"
    return done_and_undone(
        host, f"printf '%s\\n' '{words}' > {path}; chmod 440 {path}", f"rm -f {path}"
    )


@pytest.fixture
def silent_site(site):
    """No command that would print the password."""
    line = 'sudo_password_command = ["cat", "/var/cache/stackrbd/lab/access/operator.password"]'
    return site((line, ""))


def test_21_every_host_that_wants_a_password_is_named(cloud, silent_site):
    with without_our_file("compute01"), without_our_file("compute02"):
        said = refused(4, "integrate", "--check", *silent_site)
    for host in ("compute01", "compute02"):
        assert f"{host}: sudo asks for a password; run hosts.sudoers first" in said


def test_21_the_password_goes_over_standard_input(cloud):
    with without_our_file("compute01"):
        inv("integrate", "--check", expect=2)  # our own file is missing


def test_21_a_password_that_is_typed_once_serves_all_hosts(cloud, silent_site):
    password = (ACCESS / "operator.password").read_text().strip()
    with without_our_file("compute01"), without_our_file("compute02"):
        run = Terminal("compute.secret", "--check", *silent_site)
        run.until("sudo's password on compute01, compute02: ")
        run.type(password)
        assert run.end() == 0, run.text
    assert password not in run.text
    assert run.text.count("sudo's password") == 1


def test_22_a_wrong_password_is_tried_once(cloud, site, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong\n")
    words = site(("/var/cache/stackrbd/lab/access/operator.password", str(wrong)))
    count = "journalctl -o cat --no-pager _COMM=sudo | grep -c 'authentication failure' || true"
    with without_our_file("compute01"):
        before = int(on("compute01", script=count))
        said = refused(4, "compute.secret", "--check", "--limit", "compute01", *words)
        assert "compute01: sudo does not accept the password" in said
        assert int(on("compute01", script=count)) == before + 1


def test_23_use_pty_works(cloud):
    with defaults("Defaults use_pty"):
        inv("integrate", "--check")


def test_23_requiretty_is_said(cloud):
    with defaults("Defaults requiretty"):
        said = refused(4, "integrate", "--check")
    assert "compute01" in said and "requiretty" in said


@pytest.mark.parametrize("log", ["log_input", "log_output"])
def test_23_a_sudo_that_keeps_what_passes_gets_no_key(cloud, log):
    with defaults(f"Defaults {log}"):
        said = refused(4, "integrate", "--check")
    assert f"compute01: sudo keeps what passes through it ({log})" in said


def test_24_a_list_of_commands_is_not_enough(cloud, silent_site):
    path = "/etc/sudoers.d/99-fault"
    line = "operator ALL=(root) NOPASSWD: /usr/bin/ceph"
    # The operator is in the group sudo; for this test, not.
    do = f"gpasswd -qd operator sudo; printf '%s\\n' '{line}' > {path}; chmod 440 {path}"
    with (
        without_our_file(),
        done_and_undone("compute01", do, f"rm {path}; adduser -q operator sudo"),
    ):
        said = refused(4, "integrate", "--check", *silent_site)
    assert "compute01" in said and "sudo" in said


def test_25_as_root_itself(cloud, site):
    words = site(("compute01 = { roles", 'compute01 = { user = "root", roles'))
    inv("integrate", "--check", *words)
