"""What is printed where: lines, rows on a terminal, JSON; few hosts and many."""

import io
import json
import os
import re
import subprocess
import sys
import time

import pytest

from fabfile.core.contract import Change, Plan
from fabfile.flow.terminal import live, screen
from fabfile.flow.terminal.progress import MANY, Row
from fabfile.flow.terminal.screen import Screen

FEW = {f"n{number}": 1 for number in range(3)}
FLEET = {f"n{number}": 1 for number in range(MANY + 1)}
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A window of 60 columns and 10 lines."""
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", "COLUMNS": "60", "LINES": "10"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(screen, "_NEXT_ROWS", 0.01)
    made = Terminal()

    def on(as_json=False):  # here: between fixture and test, pytest sets the streams anew
        monkeypatch.setattr(sys, "stdout", made)
        monkeypatch.setattr(sys, "stderr", made)
        return Screen(as_json)

    made.screen = on
    return made


def wait_for(out, words):
    until = time.monotonic() + 10
    while words not in out.getvalue():
        assert time.monotonic() < until, out.getvalue()
        time.sleep(0.01)


def test_few_hosts_have_a_line_a_step(capsys):
    shown = Screen(False)
    with shown.at_work("done", FEW):
        shown.done("n1", "+ a file: write")
    assert re.fullmatch(r"\d\d:\d\d:\d\d n1 {13}\+ a file: write\n", capsys.readouterr().out)


def test_many_hosts_have_a_line_together_and_one_for_each_failure(capsys):
    shown = Screen(False)
    with shown.at_work("done", FLEET) as told:
        for host in FLEET:
            told(host, "done")
            shown.done(host, "+ a file: write")
        shown.step("n7", "FAILED + a file: write")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1)[1].split() for line in lines] == [
        ["n7", "FAILED", "+", "a", "file:", "write"],
        ["-", "done:", "21", "of", "21", "hosts", "in", "0", "s"],
    ]


def test_a_log_has_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(screen, "_NEXT_LINE", 0.01)
    monkeypatch.setattr("fabfile.flow.terminal.progress._FIRST", 0.05)
    with Screen(False).at_work("read", FLEET):
        time.sleep(0.3)
    assert 2 <= capsys.readouterr().out.count("read: 0 of 21 hosts") <= 8


def test_rows_are_there_while_hosts_are_at_work_and_gone_afterwards(terminal):
    shown = terminal.screen()
    with shown.at_work("done", FEW):
        shown.event("begin", host="n1", thing="a file")
        wait_for(terminal, "0 of 1  a file")
        shown.step("n1", "a line that stays")
    text = terminal.getvalue()
    assert text.count(HIDE) == text.count(SHOW) == 1
    assert text.rindex(SHOW) > text.index("a line that stays")
    shown.say("after")
    assert terminal.getvalue().endswith("after\n")


def test_rows_are_taken_away_when_the_work_fails(terminal):
    with pytest.raises(KeyboardInterrupt), terminal.screen().at_work("done", FEW):
        wait_for(terminal, "0 of 3 hosts")
        raise KeyboardInterrupt
    assert terminal.getvalue().count(SHOW) == 1


def test_the_cursor_is_put_right_where_the_process_ends_at_once(terminal, monkeypatch):
    written = []
    monkeypatch.setattr(screen.os, "write", lambda handle, data: written.append(data))
    terminal.fileno = lambda: 1
    shown = terminal.screen()
    shown.leave()
    assert written == []
    with shown.at_work("done", FEW):
        wait_for(terminal, HIDE)
        shown.leave()
    assert written == [SHOW.encode() + b"\n"]


@pytest.mark.parametrize("columns, lines", [("60", "10"), ("20", "5"), ("12", "3"), ("300", "80")])
def test_rows_fit_the_window(terminal, monkeypatch, columns, lines):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", lines)
    rows = live.Rows(terminal, True)
    terminal.truncate(0)
    rows.draw([Row(f"n{n}", "x" * 200 + "\nmore", n == 1) for n in range(rows.room)], "y" * 200)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).lstrip("\0").split("\n")
    rows.close()
    assert max(map(len, drawn)) <= int(columns)
    assert len(drawn) <= max(2, min(int(lines) - 1, 13))


def test_no_color_is_respected(terminal, monkeypatch):
    for colour in ("", "1"):
        if colour:
            monkeypatch.setenv("NO_COLOR", colour)
        terminal.truncate(0)
        shown = terminal.screen()
        with shown.at_work("done", FEW):
            shown.event("failed", host="n1", why="no")
            wait_for(terminal, "FAILED no")
        assert ("31m" in terminal.getvalue()) is not bool(colour)


@pytest.mark.parametrize("name, value", [("TERM", "dumb"), ("CI", "true")])
def test_no_rows_where_nobody_looks_at_them(terminal, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with terminal.screen().at_work("done", FEW):
        time.sleep(0.1)
    assert terminal.getvalue() == ""


def test_json_on_a_terminal_has_no_rows_in_it(terminal):
    shown = terminal.screen(True)
    with shown.at_work("done", FEW):
        shown.event("begin", host="n1")
        time.sleep(0.1)
    assert json.loads(terminal.getvalue())["event"] == "begin"


def test_work_within_work_is_not_shown_twice(capsys):
    shown = Screen(False)
    with shown.at_work("done", FLEET), shown.at_work("read", FLEET) as told:
        told("n1", "read")
    assert capsys.readouterr().out.count("hosts in") == 1


def test_what_a_host_says_reaches_no_terminal_raw(terminal):
    shown = terminal.screen()
    with shown.at_work("done", FEW):
        shown.event("failed", host="n1", why="a\x1b[2Jb")
        wait_for(terminal, "FAILED a?[2Jb")


def many(count):
    return Plan(
        tuple(Change(f"n{n}", "a file", "write", "+", "write", {}, 2) for n in range(count)),
        tuple(f"n{n}: a note" for n in range(count)),
        {f"n{count + n}": f"10.0.0.{n}:22 is deaf" for n in range(count)},
    )


def test_a_plan_counts_hosts_and_the_clouds_api_beside(capsys):
    type_ = Change("cloud", "volume type rbd", "bind", "~", "volume_type", {}, 3)
    Screen(False).plan(Plan((*many(4).changes, type_)), diff=False)
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.endswith("0 restarts on 4 hosts and the cloud's API")


def test_a_plan_of_a_thousand_hosts_is_a_page(capsys):
    Screen(False).plan(many(1000), diff=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "n0, n1, n2, n3, n4, n5, n6, n7 and 992 more"
    assert lines[1:3] == [
        "  + a file: write",
        "Plan: 1000 to add, 0 to change, 0 to remove, 0 restarts on 1000 hosts",
    ]
    assert lines[-2] == "Note: 980 more such notes (--json has all)"
    assert lines[-1].startswith("Left out: 1000 hosts: is deaf: n1000, n1001, ")
    assert len(lines) == 3 + MANY + 2


def test_each_document_is_a_line(capsys):
    shown = Screen(True)
    shown.event("plan", changes=[{"diff": ("a\nb",)}])
    shown.json({"site": "x"})
    shown.say("for people")
    out, err = capsys.readouterr()
    first, last = (json.loads(line) for line in out.splitlines())
    assert (first["event"], last, err) == ("plan", {"site": "x"}, "for people\n")
    Screen(False).json({"site": "x"})
    assert capsys.readouterr().out == ""


SAID = """
from fabfile.flow.terminal.screen import Screen
from pathlib import Path
screen = Screen({as_json})
for _ in range(1000):
    screen.say("\\u00fc" * 100)
    screen.json({{"a": "b" * 100}})
Path({path!r}).write_text("came to its end")
"""


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("out", ["| true", "2>&1 | true", "> /dev/full", ">&-", ">&- 2>&-"])
def test_the_work_goes_on_where_nobody_listens(tmp_path, out, as_json):
    path = tmp_path / "end"
    program = SAID.format(path=str(path), as_json=as_json)
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {out}', sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert path.read_text() == "came to its end"
    assert "Traceback" not in done.stderr
    assert ("No space left" in done.stderr) == ("full" in out)


def test_rows_that_nobody_sees_stop_nothing(terminal, monkeypatch):
    there = terminal.screen()
    monkeypatch.setattr(screen, "_into_nothing", lambda out: None)

    def gone(*args, **how):
        raise BrokenPipeError(32, "Broken pipe")

    with there.at_work("done", FEW):
        wait_for(terminal, "0 of 3")
        monkeypatch.setattr(live.Rows, "say", gone)
        there.say("a line")


def test_the_end_of_input_is_no_answer(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert screen.answer("? ") == "" and not screen.attended()
    monkeypatch.setattr(sys, "stdin", None)
    assert not screen.attended()
