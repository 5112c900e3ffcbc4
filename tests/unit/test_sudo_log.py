"""What sudo writes down of what passes through the agent, by its own words."""

import pytest

from fabfile.core.contract import Unreachable
from fabfile.core.remote import sudo_log
from fabfile.flow import limit
from fabfile.model import sudo_log as faults

ALL = "    (root) NOPASSWD: ALL"
PYTHON = "/usr/bin/python3"


def listed(*rules, matching="env_reset, use_pty", bound=""):
    """What `sudo -l -U alice` says."""
    parts = (
        [f"Matching Defaults entries for alice on ceph01:\n    {matching}\n\n"] if matching else []
    )
    if bound:
        parts.append(f"Runas and Command-specific defaults for alice:\n    {bound}\n\n")
    rules = "\n".join(rules or (ALL,))
    return "".join(parts) + f"User alice may run the following commands on ceph01:\n{rules}\n"


def kept(text):
    """What is kept, 'unknown' where that cannot be said."""
    seen = sudo_log.judged(text, PYTHON)
    return "unknown" if seen["sudo_unknown"] else ",".join(seen["sudo_keeps"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (listed(), ""),
        (listed(matching=""), ""),
        (listed(matching="env_reset, log_input, use_pty"), "log_input"),
        (listed(matching="env_reset, log_output, use_pty"), "log_output"),
        (
            listed(matching="env_reset,\\n    log_output, log_input".replace("\\n", "\n")),
            "log_input,log_output",
        ),
        (listed(matching="log_stdin, log_stdout"), "log_stdin,log_stdout"),
        (listed(matching="log_output, !log_output"), ""),
        (listed(matching="!log_output, log_output"), "log_output"),
        (listed(matching="log_output, !log_stdout"), ""),
        # What sudo writes of itself, and of a terminal, has no keys.
        (
            listed(
                matching="log_host, log_year, logfile=/var/log/sudo.log, log_ttyout, log_subcmds"
            ),
            "",
        ),
        (listed(matching="secure_path=/usr/bin\\:/bin, iolog_dir=/var/log/log_outputs"), ""),
        # For a target user.
        (listed(bound="Defaults>root log_output"), "log_output"),
        (listed(bound="Defaults>alice log_output"), ""),
        (listed(bound="Defaults>ADMINS log_output"), "log_output"),
        (listed(bound="Defaults>bob,root log_output"), "log_output"),
        (listed(matching="log_output", bound="Defaults>root !log_output"), ""),
        (listed(matching="log_output", bound="Defaults>alice !log_output"), "log_output"),
        (listed(matching="log_output", bound="Defaults>%ops !log_output"), "log_output"),
        # For a command.
        (listed(bound="Defaults!/usr/bin/python3 log_output"), "log_output"),
        (listed(bound="Defaults!/usr/bin/python3* log_output, log_input"), "log_input,log_output"),
        (listed(bound="Defaults!/usr/bin/su log_output"), ""),
        (listed(bound="Defaults!/usr/bin/su,/usr/bin/python3 set_home, log_output"), "log_output"),
        (listed(bound="Defaults!/usr/bin/su -, /usr/bin/bash log_output"), ""),
        (listed(bound="Defaults!ALL log_output"), "log_output"),
        (listed(bound="Defaults!SHELLS log_output"), "log_output"),
        (listed(bound="Defaults!/usr/bin/ log_output"), "log_output"),
        (listed(bound="Defaults!^/usr/bin/.*$ log_output"), "log_output"),
        (listed(bound="Defaults!sha256:abc /usr/bin/x log_output"), "log_output"),
        (listed(bound="Defaults!/usr/bin/sudoreplay !log_output"), ""),
        (
            listed(matching="log_output", bound="Defaults!/usr/bin/sudoreplay !log_output"),
            "log_output",
        ),
        # The line that is advised.
        (
            listed(
                matching="log_input, log_output",
                bound="Defaults!/usr/bin/python3* !log_input, !log_output",
            ),
            "",
        ),
        (
            listed(matching="log_input, log_output", bound="Defaults!/usr/bin/python3* !log_input"),
            "log_output",
        ),
        (
            listed(
                matching="log_output",
                bound="Defaults>root\n    log_output\n    Defaults!/usr/bin/p*\n    !log_output",
            ),
            "",
        ),
        (
            listed(matching="log_output", bound="Defaults!/usr/bin/python3 -c * !log_output"),
            "log_output",
        ),
        (listed(matching="log_output", bound="Defaults!PYTHON !log_output"), "log_output"),
        (
            listed(matching="log_output", bound="Defaults!ALL,!/usr/bin/python3 !log_output"),
            "log_output",
        ),
        # Tags of rules: the last that fits counts, and more than any Defaults.
        (listed("    (root) NOPASSWD: LOG_OUTPUT: ALL"), "LOG_OUTPUT:"),
        (listed("    (root) LOG_INPUT: LOG_OUTPUT: NOPASSWD: ALL"), "LOG_INPUT:,LOG_OUTPUT:"),
        (listed("    (ALL : ALL) NOTAFTER=20300101000000Z LOG_OUTPUT: ALL"), "LOG_OUTPUT:"),
        (listed("    (ALL) LOG_OUTPUT: /usr/bin/su, /usr/bin/python3"), "LOG_OUTPUT:"),
        (listed("    (ALL) LOG_OUTPUT: /usr/bin/su, NOLOG_OUTPUT: /usr/bin/python3"), ""),
        (listed("    (ALL) LOG_OUTPUT: /usr/bin/su", ALL), ""),
        (listed("    (ALL) LOG_OUTPUT: ALL", ALL), ""),
        (listed(ALL, "    (ALL) LOG_OUTPUT: ALL"), "LOG_OUTPUT:"),
        (listed(ALL, "    (nova) LOG_OUTPUT: ALL"), ""),
        (listed(ALL, "    (%ops) LOG_OUTPUT: ALL"), "LOG_OUTPUT:"),
        (listed(ALL, "    (root) LOG_OUTPUT: /usr/bin/python3 -I *"), "LOG_OUTPUT:"),
        (listed(ALL, "    (root) NOPASSWD:\n        LOG_OUTPUT: ALL"), "LOG_OUTPUT:"),
        (listed("    (root) NOLOG_OUTPUT: ALL", matching="log_output"), ""),
        (
            listed(
                "    (root) LOG_OUTPUT: ALL",
                bound="Defaults!/usr/bin/python3* !log_input, !log_output",
            ),
            "LOG_OUTPUT:",
        ),
        # What cannot be read is not harmless.
        ("", "unknown"),
        ("Matching Defaults entries for alice on h:\n    env_reset\n", "unknown"),
        ("User alice is not allowed to run sudo on h.\n", "unknown"),
        (
            "L'utilisateur alice peut utiliser les commandes suivantes :\n    (root) ALL\n",
            "unknown",
        ),
        (listed("    (nova) ALL"), "unknown"),
        (listed("    (root) /usr/bin/ceph"), "unknown"),
    ],
)
def test_what_sudo_keeps(text, expected):
    assert kept(text) == expected


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            (1, "", "sudo: sorry, you must have a\ntty"),
            "exit code 1: sudo: sorry, you must have a tty",
        ),
        ((1, "", ""), "exit code 1"),
        (sudo_log.processes.Failed("sudo: no answer within 20 s"), "no answer within 20 s"),
        ((0, "", ""), "no rule there has /usr/bin/python3 run as root"),
    ],
)
def test_a_sudo_that_cannot_be_asked_is_refused_in_words(monkeypatch, answer, said):
    def call(argv, **how):
        assert argv == ["sudo", "-n", "-l", "-U", "alice"]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(sudo_log, "_seen", {})
    monkeypatch.setattr(sudo_log.processes, "call", call)
    environment = {"SUDO_USER": "alice", "SUDO_COMMAND": f"{PYTHON} -I -S -c x"}
    seen = sudo_log.seen(environment)
    assert said in seen["sudo_unknown"] and "\n" not in seen["sudo_unknown"]
    with pytest.raises(Unreachable, match=r"n1: it cannot be seen whether sudo keeps .*`sudo -l"):
        limit.refuse_where_input_is_kept({"n1": {"host": seen}})


def test_without_sudo_nothing_is_kept():
    assert sudo_log.seen({}) == {"sudo_keeps": [], "sudo_unknown": ""}
    assert faults.fault({}) is None


@pytest.mark.parametrize(
    ("kept", "advice"),
    [
        (["log_output"], "Defaults!/usr/bin/python3* !log_input, !log_output"),
        (["LOG_OUTPUT:"], "NOLOG_INPUT: NOLOG_OUTPUT:"),
    ],
)
def test_what_is_advised_ends_it(kept, advice):
    found, way = faults.fault({"sudo_keeps": kept, "sudo_unknown": ""})
    assert kept[0] in found and advice in way
