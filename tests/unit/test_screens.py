"""Each screen in a window of 80 and of 200 columns: what runs over, and what is still whole."""

import os
import pty
import re
import subprocess
import sys
from dataclasses import asdict

import pytest

from fabfile.core.contract import Change, Plan
from fabfile.core.site_file import PROJECT
from fabfile.core.text import fitted, hung, table
from fabfile.doctor import checks, secret_holders
from fabfile.doctor.finding import ERROR, Finding, here, task, words
from fabfile.doctor.summary import summary
from fabfile.flow.terminal.screen import Screen
from fabfile.model.phases import Phase
from fabfile.report import text

from .. import screens
from .clouds import looked
from .reports import a_thousand, broken
from .states import site

sizes = pytest.mark.parametrize("columns", [80, 200])
MANY = tuple(f"compute{n:04d}.example.org" for n in range(1000))


@pytest.mark.parametrize(
    "columns, expected",
    [
        (0, ["a     bb  c", "aaaa  b   ccc"]),
        (13, ["a     bb  c", "aaaa  b   ccc"]),
        (12, ["a     bb  c", "aaaa  b  ccc"]),
        (9, ["a     bb", "    c", "aaaa  b", "    ccc"]),
        (8, ["a     bb", "    c", "aaaa  b", "    ccc"]),
    ],
)
def test_a_table_is_as_wide_as_what_is_in_it(columns, expected):
    assert table([("a", "bb", "c"), ("aaaa", "b", "ccc")], columns) == expected


def test_a_table_of_nothing():
    assert table([], 80) == []


@pytest.mark.parametrize(
    "said, columns, expected",
    [
        ("one two three", 0, ["  why one two three"]),
        ("one two three four five six", 28, ["  why one two three four", "      five six"]),
        ("", 80, ["  why "]),
        ("/a-path/that/is-not-broken x", 26, ["  why /a-path/that/is-not-broken", "      x"]),
    ],
)
def test_what_is_folded_hangs_below_itself(said, columns, expected):
    assert list(hung("  why ", said, columns)) == expected


def too_wide(lines, columns):
    """Lines that run over, but for one word or command that is to be copied whole."""
    whole = re.compile(r" +(mend +)?(\(on .*\) )?(inv|stackrbd|ceph|virsh|sed|chmod) |^ *\S+$")
    return [line for line in lines if len(line) > columns and not whole.match(line)]


@sizes
@pytest.mark.parametrize("hosts", [4, 1000])
@pytest.mark.parametrize("name", screens.SCREENS)
def test_a_tasks_screen(name, hosts, columns, monkeypatch, capsys):
    monkeypatch.setattr(Screen, "columns", columns)
    screens.SCREENS[name](Screen(False), hosts)
    lines = capsys.readouterr().out.splitlines()
    assert lines and too_wide(lines, columns) == []
    if name != "hosts.trust":  # each key is to be compared
        assert len(lines) < 80


@pytest.mark.parametrize(
    "text, columns, expected",
    [
        ("  one two three", 0, ["  one two three"]),
        ("  one two three four five", 25, ["  one two three four five"]),
        ("  one two three four five six", 25, ["  one two three four", "    five six"]),
        ("a\nb", 80, ["a", "b"]),
        ("", 80, [""]),
    ],
)
def test_a_sentence_is_folded_below_its_own_beginning(text, columns, expected):
    assert list(fitted(text, columns)) == expected


def states(change):
    seen = looked(change)
    found, plan = checks.findings(site(), seen)
    told = {**summary(site(), seen, plan), "last_run": None}
    return found, told, secret_holders.table(site(), seen)


@sizes
@pytest.mark.parametrize("change", [lambda cloud: None, broken], ids=["healthy", "broken"])
def test_four_hosts(columns, change):
    found, told, rows = states(change)
    assert too_wide(text.status(told, columns), columns) == []
    assert too_wide(text.findings(found, site(), " --site my.toml", columns), columns) == []
    assert too_wide(text.places([asdict(row) for row in rows], columns), columns) == []


@sizes
def test_a_thousand_hosts(columns):
    cause = "libvirt has another secret there, so that no volume of Ceph's can be attached " * 3
    mend = (task("compute.secret"), here("ssh-keygen", "-R", "x"), words("look first " * 30))
    one = Finding(ERROR, "x", MANY, "libvirt's secret", "another one", "this one", cause, mend[:2])
    lines = list(text.findings([one], site(), "", columns))
    assert too_wide(lines, columns) == [] and len(lines) < 20
    document = a_thousand()
    lines = text.places(document["secrets"], columns)
    assert too_wide(lines, columns) == []


@pytest.mark.parametrize("number, told", [(3, 3), (4, 1), (1000, 1)])
def test_hosts_that_are_down_are_told_once_whatever_their_addresses(number, told):
    down = [
        Finding(
            ERROR, "x", (f"n{n}",), "reach", f"10.0.0.{n}:22 is deaf", "an answer", "it is down"
        )
        for n in range(number)
    ]
    lines = list(text.findings(down, site(), "", 80))
    heads = [line for line in lines if line.startswith("ERROR")]
    assert len(heads) == told and ("n0, n1, n2, n3" in heads[0]) == (told == 1)
    assert sum("10.0.0" in line for line in lines) == (told if told > 1 else 0)


def seen_in_a_window(argv, columns, tmp_path):
    """The lines that a command writes into a window, and its exit code."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns), "XDG_STATE_HOME": str(tmp_path), "CI": ""}
    with subprocess.Popen(
        [sys.executable, "-m", "invoke", *argv],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        cwd=PROJECT,
        env=env,
    ) as process:
        os.close(theirs)
        found = b""
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:
                break
            found += piece
    os.close(ours)
    return found.decode().replace("\r", "").splitlines(), process.returncode


@sizes
@pytest.mark.parametrize(
    "argv, code, holds",
    [
        ([], 0, "make demo"),
        (["history"], 0, "no runs are recorded"),
        (["show", "--run", "x"], 3, "inv history"),
        (["plan", "--site", "/none/site.toml"], 3, "inv init"),
        (["apply", "/none"], 3, "inv plan --out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_in_a_window(columns, argv, code, holds, tmp_path):
    lines, returned = seen_in_a_window(argv, columns, tmp_path)
    assert returned == code and any(holds in line for line in lines)
    assert "Traceback" not in "".join(lines)


@sizes
def test_a_plan_in_a_window(columns, capsys, monkeypatch):
    monkeypatch.setattr(Screen, "columns", columns)
    diff = ("+ [rbd] rbd_user = volumes " + "x" * 200,)
    sentence = "put the ceph.conf there that names the monitors which are in the quorum now " * 3
    changes = [
        Change(host, "/etc/ceph/ceph.conf", sentence, "~", "put", {}, Phase.COMPUTE, diff)
        for host in MANY
    ]
    plan = Plan(tuple(changes), ("what is felt later " * 20,), left_out={"n1": "no answer " * 20})
    Screen(False).plan(plan, diff=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in too_wide(lines, columns) if "[rbd]" not in line] == []
    assert len(lines) < 25 and any(
        line.startswith("  ~ /etc/ceph/ceph.conf: put") for line in lines
    )
