"""The agent as it runs on a host: a process of its own, fed by standard input."""

import base64
import contextlib
import functools
import grp
import hashlib
import itertools
import json
import os
import pwd
import resource
import subprocess
import sys
import time

import pytest

from fabfile.core import agent_program
from fabfile.core.remote import processes

NONCE = "\x1enonce"
ME = {
    "owner": pwd.getpwuid(os.getuid()).pw_name,
    "group": grp.getgrgid(os.getgid()).gr_name,
}


@functools.cache
def sources(names, state, silence):
    """An agent's modules whose state is elsewhere: read once for all agents of a test."""
    return [
        (
            name,
            text.replace("/var/lib/stackrbd", state).replace(
                "SILENCE = 5.0, 30.0", f"SILENCE = 5.0, {silence}"
            ),
        )
        for name, text in agent_program.sources(names)
    ]


@functools.cache
def packed(names, as_lines, state, silence):
    """The program of those modules."""
    return as_lines(sources(names, state, silence))


class Agent:
    """A running agent whose state is below a folder of the test's."""

    python, environment = sys.executable, None

    def __init__(self, folder, silence=30.0, as_lines=agent_program.as_code, **work):
        self.state = folder / "state"
        needed = tuple(name for names in agent_program.needed_for(work) for name in names)
        program = self.program(needed, as_lines, silence)
        self.process = subprocess.Popen(
            [self.python, "-I", "-S", "-c", agent_program.BOOTSTRAP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
        )
        self.give(b"noise\n" + program, **work)

    def program(self, names, as_lines=agent_program.as_code, silence=30.0):
        """These modules as they go to the agent."""
        return packed(names, as_lines, str(self.state), silence)

    def give(self, first=b"", **work):
        """One more piece of work.

        An agent that refuses ends, and may do so before it is given all: what
        it said is heard all the same.
        """
        common = {
            "nonce": NONCE,
            "deadline": 60,
            "site": "lab",
            "number": 1,
            "run": "r1",
            "who": "run r1 of a test",
            "patience": 1,
            "then": [],
            "prunes": True,
        }
        if "reads" in work and "number" not in work:
            del common["number"]  # a look without the lock
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(first + json.dumps({**common, **work}).encode() + b"\n")
            self.process.stdin.flush()

    def hear(self, kind=None):
        """The next message (of a kind); None at the end."""
        for line in self.process.stdout:
            message = json.loads(line.decode().partition(NONCE + " ")[2])
            if message["t"] != "beat" and kind in (None, message["t"]):
                return message
        return None

    def all(self):
        """Its messages up to 'end', or to its own."""
        messages = iter(self.hear, None)
        return list(itertools.takewhile(lambda message: message["t"] != "end", messages))

    def end(self):
        self.process.stdin.close()
        return self.process.wait(10)


@pytest.fixture
def agent(tmp_path):
    started = []

    def start(*how, **work):
        started.append(Agent(tmp_path, *how, **work))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


def step(number, verb, restarts=(), **args):
    return {
        "id": number,
        "verb": verb,
        "args": args,
        "restarts": restarts,
        "thing": f"thing {number}",
        "sentence": "does",
        "sign": "~",
        "wave": 1,
    }


def sh(script, **more):
    return {"argv": ["sh", "-c", script], **more}


def steps_of(agent, run="r1"):
    """What the host kept of a run, as a later question would have it."""
    (message,) = agent(reads=[{"id": "x", "verb": "run", "args": {"run": run}}]).all()
    return message["value"]


def test_a_host_keeps_why_a_step_stays(agent):
    agent(steps=[{**step(0, "run", **sh("true")), "stays": "it has a reason"}]).all()
    (kept,) = steps_of(agent)
    assert kept["stays"] == "it has a reason" and "verb" not in kept


def test_steps_are_announced_before_and_after(agent, tmp_path):
    work = [step(0, "run", **sh(f"echo a > {tmp_path}/a")), step(1, "run", **sh("exit 3"))]
    said = agent(steps=[*work, step(2, "run", **sh(f"echo c > {tmp_path}/c"))]).all()
    assert [(m["t"], m["step"]) for m in said] == [
        ("begin", 0),
        ("done", 0),
        ("begin", 1),
        ("failed", 1),
    ]
    assert "exit code 3" in said[-1]["why"]
    assert (tmp_path / "a").exists()
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("first", ["", "exec >&- 2>&-; "], ids=["says nothing", "has closed"])
def test_a_command_past_its_time_is_ended_with_all_that_it_started(agent, tmp_path, first):
    script = f"{first}(sleep 1.4; echo late > {tmp_path}/late) & sleep 9"
    (_, failed) = agent(steps=[step(0, "run", **sh(script, timeout=1))]).all()
    assert "no answer within 1 s" in failed["why"]
    time.sleep(0.6)
    assert not (tmp_path / "late").exists()


@pytest.mark.parametrize("verb", ["run", "lines"])
def test_programs_end_with_an_agent_that_is_killed_and_those_before_are_left(agent, tmp_path, verb):
    script = f"echo $$ > {tmp_path}/pid; (sleep 1.5; echo late > {tmp_path}/late) & sleep 9"
    begun = sh(f"(sleep 1; echo stays > {tmp_path}/stays) >/dev/null 2>&1 &")
    if verb == "run":
        running = agent(steps=[step(0, "run", **begun), step(1, "run", **sh(script))])
    else:
        asked = [("first", "argv", begun), ("then", "lines", sh(script))]
        reads = [{"id": name, "verb": verb, "args": args} for name, verb, args in asked]
        running = agent(reads=reads)
    until = time.monotonic() + 10
    while not (tmp_path / "pid").exists() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)
    running.process.kill()
    time.sleep(1.6)
    assert (tmp_path / "stays").exists() and not (tmp_path / "late").exists()


def test_a_stream_past_its_time_is_ended(agent):
    read = {"id": "x", "verb": "lines", "args": sh("echo a; sleep 20", timeout=1)}
    said = agent(reads=[read]).all()
    assert "took longer than 1 s" in said[-1]["error"]


def test_output_without_an_end_is_cut(agent):
    read = {"id": "x", "verb": "argv", "args": {"argv": ["yes"], "timeout": 20}}
    (said,) = agent(reads=[read]).all()
    assert "bytes of output" in said["error"]


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize(
    "name, kind, said",
    [
        ("folder", "file", "expected a file, found a directory; move it away"),
        ("plain", "directory", "expected a directory, found a file; move it away"),
        ("pipe", "file", "expected a file, found something else; move it away"),
        ("plain", "file", None),
        ("folder", "directory", None),
        ("none", "file", None),
    ],
)
def test_something_else_in_a_files_place_is_said(agent, tmp_path, name, kind, said, text):
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    args = {"path": str(tmp_path / name), "kind": kind, "text": text}
    (message,) = agent(reads=[{"id": "x", "verb": "file", "args": args}]).all()
    assert message.get("error") == (f"{tmp_path / name}: {said}" if said else None)


def test_a_secret_is_not_in_the_words_of_a_failure(agent):
    script = 'read x; echo "I was told $x" >&2; exit 1'
    (_, failed) = agent(steps=[step(0, "run", **sh(script, stdin=[{"secret": "hush"}]))]).all()
    assert "I was told ***" in failed["why"]
    assert "hush" not in json.dumps(steps_of(agent))


CEPH_KEY = "AQDk3yZmAAAAABAAsecretsecretsecretXYZ12=="
PLAIN_KEY = "Zr8-a-key-of-no-known-form-Kq3xW"


@pytest.mark.parametrize("key", [CEPH_KEY, PLAIN_KEY])
@pytest.mark.parametrize(
    "script",
    [
        *(f"cat >&2; head -c {pad} /dev/zero | tr '\\0' . >&2; exit 1" for pad in (570, 580, 595)),
        "head -c 65520 /dev/zero | tr '\\0' . >&2; cat >&2; exit 1",  # the output's own bound
        "base64 -w0 >&2; exit 1",
        "cat; exit 1",
    ],
)
@pytest.mark.parametrize("old", [False, True], ids=["sent", "brought back"])
def test_no_part_of_a_secret_is_in_the_words_of_a_failure(agent, tmp_path, key, script, old):
    part = {"secret": key}
    if old:
        kept = hashlib.sha256(key.encode()).hexdigest()
        (tmp_path / "state/runs/r0").mkdir(parents=True)
        (tmp_path / "state/runs/r0" / kept).write_text(key)
        part = {"run": "r0", "kept": kept}
    (_, failed) = agent(steps=[step(0, "run", **sh(script, stdin=[part]))]).all()
    told = failed["why"] + json.dumps(steps_of(agent))
    encoded = base64.b64encode(key.encode()).decode()
    parts = {text[at : at + 8] for text in (key, encoded) for at in range(len(text) - 7)}
    assert not [part for part in parts if part in told], failed["why"]
    assert "exit code 1" in failed["why"]


def test_old_passwords_of_a_file_that_is_brought_back_are_in_no_words(agent, tmp_path):
    text = "[DEFAULT]\ntransport_url = rabbit://u:0ldPassw0rd@h/\n[k]\npassword: An0therOne\n"
    kept = hashlib.sha256(text.encode()).hexdigest()
    (tmp_path / "state/runs/r0").mkdir(parents=True)
    (tmp_path / "state/runs/r0" / kept).write_text(text)
    script = "sed 's/.*[=:] //' >&2; exit 1"
    part = {"run": "r0", "kept": kept}
    (_, failed) = agent(steps=[step(0, "run", **sh(script, stdin=[part]))]).all()
    assert "0ldPassw0rd" not in failed["why"] and "An0therOne" not in failed["why"]
    assert "[DEFAULT]" in failed["why"]


def test_it_finishes_its_step_and_begins_no_other_when_the_asker_leaves(agent, tmp_path):
    slow = step(0, "run", **sh(f"sleep 1; echo a > {tmp_path}/a"))
    running = agent(steps=[slow, step(1, "run", **sh(f"echo b > {tmp_path}/b"))])
    assert running.hear()["t"] == "begin"
    running.process.stdin.close()
    assert [m["t"] for m in running.all()] == ["done"]
    assert (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_two_at_once_and_the_second_is_told_who(agent):
    first = agent(steps=[step(0, "run", **sh("sleep 3"))])
    first.hear()
    (said,) = agent(steps=[step(0, "run", **sh("true"))], who="run r2", patience=0.3).all()
    assert said == {"t": "busy", "who": "run r1 of a test"}


def test_a_newer_run_waits_for_the_older_ones_step_and_fences_it_off(agent, tmp_path):
    marks = tmp_path / "marks"
    old = [step(0, "run", **sh(f"sleep 3; echo old0 >> {marks}"))]
    old.append(step(1, "run", **sh(f"echo old1 >> {marks}")))
    first = agent(steps=old)
    first.hear()
    new = [step(0, "run", **sh(f"echo new >> {marks}"))]
    second = agent(steps=new, number=2, run="r2", patience=10)
    assert [m["t"] for m in second.all()] == ["begin", "done"]
    assert [m["t"] for m in first.all()] == ["done", "busy"]
    assert marks.read_text() == "old0\nnew\n"
    (said,) = agent(steps=old).all()
    assert said["t"] == "busy"


def test_a_look_under_the_lock_waits_for_an_older_runs_step(agent, tmp_path):
    slow = step(0, "run", **sh(f"sleep 1; echo a > {tmp_path}/a"))
    agent(steps=[slow]).hear()
    read = {"id": "x", "verb": "exists", "args": {"paths": [f"{tmp_path}/a"]}}
    (said,) = agent(reads=[read], number=2, patience=10).all()
    assert said["value"] == {f"{tmp_path}/a": True}
    (said,) = agent(steps=[slow]).all()
    assert said["t"] == "busy"  # the older run is fenced off by the look already


def test_a_look_without_the_lock_writes_nothing(agent):
    looking = agent(reads=[{"id": "x", "verb": "host", "args": {}}])
    assert looking.all()
    assert not looking.state.exists()


def test_the_sites_lock_is_one_and_frees_itself(agent):
    first = agent(hold=True)
    number = first.hear("held")["number"]
    (said,) = agent(hold=True, who="run r2").all()
    assert said == {"t": "busy", "who": "run r1 of a test"}
    first.process.kill()
    first.process.wait()
    assert agent(hold=True).hear("held")["number"] > number


@pytest.mark.parametrize("there", [True, False])
def test_a_write_can_be_taken_back(agent, tmp_path, there):
    path = tmp_path / "conf"
    if there:
        path.write_text("old\n")
        path.chmod(0o604)
    before = hashlib.sha256(b"old\n").hexdigest() if there else None
    owner, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    wanted = {
        "path": str(path),
        "content": ["new\n"],
        "mode": "0640",
        "owner": owner,
        "group": group,
        "before": before,
    }
    agent(steps=[step(0, "write", **wanted)]).all()
    assert path.read_text() == "new\n"
    (kept,) = steps_of(agent)
    assert (kept["state"], kept["now"], kept["verb_was"]) == ("done", kept["is"], "write")
    back = step(0, kept["verb"], **kept["args"])
    agent(steps=[back], run="r2").all()
    if there:
        assert (path.read_text(), oct(path.stat().st_mode & 0o777)) == ("old\n", "0o604")
    else:
        assert not path.exists()
    (kept,) = steps_of(agent)
    assert kept["now"] == kept["was"]


def test_the_old_answer_of_a_command_is_kept_for_its_undo(agent, tmp_path):
    path = tmp_path / "value"
    path.write_text("old")
    undo = {
        "verb": "run",
        "args": sh(f"cat > {path}", stdin=[{"old": ["cat", str(path)]}]),
        "guard": {"argv": ["cat", str(path)]},
    }
    agent(steps=[step(0, "run", **sh(f"printf new > {path}", undo=undo))]).all()
    (kept,) = steps_of(agent)
    assert kept["is"] == kept["now"] != kept["was"]
    agent(steps=[step(0, kept["verb"], **kept["args"])], run="r2").all()
    assert path.read_text() == "old"


def test_an_agent_does_one_work_after_the_other(agent, tmp_path):
    working = agent(steps=[step(0, "run", **sh(f"echo a > {tmp_path}/a"))])
    assert [m["t"] for m in working.all()] == ["begin", "done"]
    working.give(reads=[{"id": "x", "verb": "exists", "args": {"paths": [str(tmp_path / "a")]}}])
    assert [m["value"] for m in working.all()] == [{str(tmp_path / "a"): True}]
    working.give(steps=[step(1, "run", **sh("exit 3"))])
    assert [m["t"] for m in working.all()] == ["begin", "failed"]
    assert working.end() == 0


def test_it_comes_as_text_to_any_python(agent, tmp_path):
    said = agent(30.0, agent_program.as_text, steps=[step(0, "run", **sh("true"))]).all()
    assert [m["t"] for m in said] == ["begin", "done"]


def test_a_python_of_another_kind_says_so_and_runs_nothing(agent, monkeypatch):
    monkeypatch.setattr("importlib.util.MAGIC_NUMBER", b"else")
    refusing = agent(steps=[step(0, "run", **sh("true"))])
    assert refusing.hear() is None
    assert refusing.process.wait(10) == agent_program.OTHER_PYTHON


def test_it_looks_again_when_its_steps_are_done(agent, tmp_path):
    look = [{"id": "x", "verb": "exists", "args": {"paths": [str(tmp_path / "a")]}}]
    made = step(0, "run", **sh(f"echo a > {tmp_path}/a"))
    said = agent(steps=[made], then=look).all()
    assert [m["t"] for m in said] == ["begin", "done", "read"]
    assert said[-1]["value"] == {str(tmp_path / "a"): True}


def test_it_does_not_look_after_a_step_that_failed(agent, tmp_path):
    look = [{"id": "x", "verb": "exists", "args": {"paths": ["/etc"]}}]
    said = agent(steps=[step(0, "run", **sh("exit 3"))], then=look).all()
    assert [m["t"] for m in said] == ["begin", "failed"]


def test_it_holds_no_lock_while_it_waits_for_work(agent):
    agent(steps=[step(0, "run", **sh("true"))]).all()
    said = agent(steps=[step(0, "run", **sh("true"))], number=2).all()
    assert [m["t"] for m in said] == ["begin", "done"]


def test_it_leaves_when_it_hears_nothing(agent):
    waiting = agent(0.3, reads=[])
    waiting.all()
    assert waiting.process.wait(10) == 0


def test_a_restart_is_owed_before_the_write(agent, tmp_path):
    slow = step(0, "run", ["nova-compute"], **sh("sleep 5"))
    running = agent(steps=[slow])
    running.hear()
    owed = running.state / "pending_restarts" / "nova-compute"
    until = time.monotonic() + 4
    while not owed.exists() and time.monotonic() < until:
        time.sleep(0.05)
    running.process.kill()
    assert owed.exists()


def test_nothing_is_owed_for_a_write_that_was_refused(agent, tmp_path):
    refused = {
        "path": str(tmp_path / "no" / "conf"),
        "content": ["x"],
        "mode": "0600",
        "owner": "root",
        "group": "root",
        "before": None,
    }
    running = agent(steps=[step(0, "write", ["nova-compute"], **refused)])
    assert running.all()[-1]["t"] == "failed"
    assert list((running.state / "pending_restarts").iterdir()) == []


def test_what_it_keeps_is_for_root_alone(agent, tmp_path):
    undo = {"verb": "run", "args": sh("cat", stdin=[{"old": ["echo", "k"]}])}
    running = agent(steps=[step(0, "run", **sh("true", undo=undo))])
    running.all()
    modes = {p.stat().st_mode & 0o077 for p in running.state.rglob("*")}
    assert modes == {0}


def test_old_runs_are_pruned(agent, tmp_path):
    for number in range(25):
        (tmp_path / "state" / "runs" / f"r{number:02}").mkdir(parents=True)
    os.utime(tmp_path / "state" / "runs" / "r24", (0, 0))
    agent(steps=[step(0, "run", **sh("true"))], run="r25").all()
    (said,) = agent(reads=[{"id": "x", "verb": "runs", "args": {}}]).all()
    assert said["value"] == [f"r{number:02}" for number in (*range(6, 24), 25)]


@pytest.mark.parametrize("run", ["../x", "a/b", "", "x" * 99])
def test_a_run_is_no_path(agent, run):
    (said,) = agent(reads=[{"id": "x", "verb": "run", "args": {"run": run}}]).all()
    assert "not the name of a run" in said["error"]


def test_what_has_no_bound_comes_in_parts(agent):
    script = "seq -f 'volume-00000000-0000-0000-0000-%012.0f and a row of some length' 200000"
    read = {"id": "x", "verb": "lines", "args": {"argv": ["sh", "-c", script]}}
    *parts, end = agent(reads=[read]).all()
    assert end == {"t": "read", "id": "x", "value": 200_000}
    lines = [line for part in parts for line in part["lines"]]
    assert len(parts) > 20
    assert lines[-1] == "volume-00000000-0000-0000-0000-000000200000 and a row of some length"


@pytest.mark.parametrize("script, said", [("echo a; exit 3", "exit code 3"), ("sleep 9", "longer")])
def test_parts_that_do_not_end_well_are_an_error(agent, script, said):
    read = {"id": "x", "verb": "lines", "args": {"argv": ["sh", "-c", script], "timeout": 0.5}}
    assert said in agent(reads=[read]).all()[-1]["error"]


def test_a_program_that_ends_before_it_was_told_all_says_why():
    asked = processes.lines(
        ["sh", "-c", "echo access denied >&2; exit 1"], b"SELECT 1;\n" * 100_000
    )
    with pytest.raises(processes.Failed, match="access denied"):
        list(asked)


def test_a_brought_file_is_put_in_place_and_taken_back(agent, tmp_path):
    path, staged = tmp_path / "conf", tmp_path / "staged"
    staged.write_text("new\n")
    path.write_text("old\n")
    owner, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    args = {
        "path": str(path),
        "staged": str(staged),
        "mode": "0640",
        "owner": owner,
        "group": group,
        "before": hashlib.sha256(b"old\n").hexdigest(),
    }
    agent(steps=[step(0, "place", **args)]).all()
    assert (path.read_text(), oct(path.stat().st_mode & 0o777)) == ("new\n", "0o640")
    (kept,) = steps_of(agent)
    agent(steps=[step(0, kept["verb"], **kept["args"])], run="r2").all()
    assert path.read_text() == "old\n"
    staged.unlink()
    (_, failed) = agent(steps=[step(0, "place", **args)], run="r3").all()
    assert "is gone" in failed["why"]


OLD = 90 * 86400


@pytest.mark.parametrize("newer, age", [(20, 0), (0, OLD + 1)])
def test_the_run_that_is_taken_back_is_not_pruned(agent, tmp_path, newer, age):
    path = tmp_path / "conf"
    path.write_text("old\n")
    wanted = {"path": str(path), "content": ["new\n"], "mode": "0644", **ME}
    before = hashlib.sha256(b"old\n").hexdigest()
    agent(steps=[step(0, "write", **wanted, before=before)]).all()
    for number in range(newer):
        (tmp_path / "state/runs" / f"r2{number:02}").mkdir()
    then = time.time() - age
    os.utime(tmp_path / "state/runs/r1", (then, then))
    (kept,) = steps_of(agent)
    back = [step(0, "run", **sh("true")), step(1, kept["verb"], **kept["args"])]
    for one in back:  # as each wave is a piece of work
        said = agent(steps=[one], run="r3", prunes=False).all()
    assert len(steps_of(agent)) == 1
    assert (said[-1]["t"], path.read_text()) == ("done", "old\n")


def test_what_is_no_run_lies_there_unminded(agent, tmp_path):
    (tmp_path / "state/runs/lost+found").mkdir(parents=True)
    assert agent(steps=[step(0, "run", **sh("true"))]).all()[-1]["t"] == "done"
    assert (tmp_path / "state/runs/lost+found").exists()


def test_a_line_that_was_cut_does_not_take_the_next_with_it(agent, tmp_path):
    agent(steps=[step(0, "run", **sh("true"))]).all()
    with (tmp_path / "state/runs/r1/steps.jsonl").open("a") as stream:
        stream.write('null\n{"step": 1, "sta')
    agent(steps=[step(1, "run", **sh("true"))]).all()
    assert [(s["step"], s["state"]) for s in steps_of(agent)] == [(0, "done"), (1, "done")]


def test_a_record_that_cannot_be_kept_is_a_failure(agent, tmp_path):
    (tmp_path / "state/runs/r1/steps.jsonl").mkdir(parents=True)
    said = agent(steps=[step(0, "run", **sh(f"touch {tmp_path}/x"))]).all()
    assert said[-1]["t"] == "failed" and "Is a directory" in said[-1]["why"]
    assert not (tmp_path / "x").exists()


def test_a_record_without_room_is_cut_nowhere(agent, tmp_path):
    path = tmp_path / "state/runs/r1/steps.jsonl"
    full = agent(steps=[step(0, "run", **sh("true"))])
    full.all()
    whole = path.read_text()
    room = len(whole) + 40, len(whole) + 40
    resource.prlimit(full.process.pid, resource.RLIMIT_FSIZE, room)
    full.give(steps=[step(1, "run", **sh(f"touch {tmp_path}/x"))])
    assert full.all()[-1]["t"] == "failed"
    assert path.read_text() == whole and not (tmp_path / "x").exists()


def test_numbers_go_on_where_the_last_one_is_gone(agent, tmp_path):
    """Another first host, or a disk that was full: every other host knows the old numbers."""
    first = agent(hold=True)
    number = first.hear("held")["number"]
    first.end()
    (lock,) = (tmp_path / "state/sites").iterdir()
    lock.write_text("")
    time.sleep(1.01 - time.time() % 1)  # numbers begin with the time, in seconds
    assert agent(hold=True).hear("held")["number"] > number


@pytest.mark.parametrize("text", ["null", "[]", "x"])
def test_a_fence_that_is_none(agent, tmp_path, text):
    (tmp_path / "state").mkdir()
    (tmp_path / "state/fence").write_text(text)
    assert agent(steps=[step(0, "run", **sh("true"))]).all()[-1]["t"] == "done"


GUARD = {
    "argv": ["sh", "-c", "echo $0 >&2; exit 1", "error: Secret not found"],
    "absent": "secret not found",
}


def test_what_cannot_be_asked_is_not_absent(agent, tmp_path):
    back = {"verb": "run", "args": sh("true")}
    agent(steps=[step(0, "run", undo={**back, "guard": GUARD}, **sh("true"))]).all()
    (kept,) = steps_of(agent)
    assert (kept["was"], kept["now"]) == (None, None)
    deaf = {**GUARD, "argv": [*GUARD["argv"][:3], "error: failed to connect"]}
    said = agent(steps=[step(0, "run", undo={**back, "guard": deaf}, **sh("true"))]).all()
    assert said[-1]["t"] == "failed" and "failed to connect" in said[-1]["why"]


@pytest.mark.parametrize(
    "script, left",
    [("echo new > conf; exit 5", True), ("exit 5", False), ("rm guard; exit 5", None)],
)
def test_what_a_failed_step_left_is_kept_and_its_cause_is_told(agent, tmp_path, script, left):
    (tmp_path / "conf").write_text("old\n")
    (tmp_path / "guard").touch()
    asked = f"cd {tmp_path}; test -e guard || exit 3; cat conf"
    guard = {"argv": ["sh", "-c", asked], "absent": "nothing is there"}
    undo = {"verb": "run", "args": sh("true"), "guard": guard}
    work = sh(f"cd {tmp_path}; echo the-true-cause >&2; {script}")
    said = agent(steps=[step(0, "run", restarts=["u"], undo=undo, **work)]).all()
    assert "the-true-cause" in said[-1]["why"]
    (tmp_path / "guard").touch()
    (kept,) = steps_of(agent)
    assert kept["state"] == "failed" and kept["why"] == said[-1]["why"]
    assert ("is" in kept) == bool(left)
    assert (tmp_path / "state/pending_restarts/u").exists() == (left is not False)


@pytest.mark.parametrize("number", [None, "x", [], {}])
def test_a_number_that_is_none(agent, tmp_path, number):
    for place, name in (("sites/lab", "number"), ("fence", "lab")):
        path = tmp_path / "state" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({name: number}))
    assert agent(hold=True).hear("held")["number"] > 0
    assert agent(steps=[step(0, "run", **sh("true"))]).all()[-1]["t"] == "done"


@pytest.mark.parametrize("wrong", [{"mode": 0o777}, {"mode": 0o770}, {"owner": 65534}])
def test_a_state_folder_that_others_may_write_is_refused_in_words(agent, tmp_path, wrong):
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(wrong.get("mode", 0o755))
    os.chown(tmp_path / "state", wrong.get("owner", os.getuid()), -1)
    for work in ({"steps": [step(0, "run", **sh("true"))]}, {"hold": True}):
        (said,) = agent(**work).all()
        assert said["t"] == "refused" and "expected a folder of root's alone" in said["why"]


def test_what_is_known_does_not_wait_for_the_slowest_answer(agent):
    """Answers go together, and half a second later at the most."""
    slow = {"argv": ["sh", "-c", "sleep 20"]}
    running = agent(
        reads=[
            {"id": "slow", "verb": "argv", "args": slow},
            *({"id": f"quick{n}", "verb": "exists", "args": {"paths": ["/"]}} for n in range(9)),
        ]
    )
    started = time.monotonic()
    assert {running.hear("read")["id"] for _ in range(9)} == {f"quick{n}" for n in range(9)}
    assert time.monotonic() - started < 10
    running.end()


@pytest.mark.parametrize(
    "work, expected",
    [
        ({"reads": []}, ["READING"]),
        ({"steps": [{"verb": "write"}]}, ["READING", "WRITING"]),
        ({"steps": [{"verb": "exchange"}]}, ["READING", "WRITING", "EXCHANGING"]),
        ({"reads": [{"verb": "rows"}]}, ["READING", "DATABASE"]),
        ({"transfer": "create"}, ["READING", "DATABASE", "BACKUP"]),
    ],
)
def test_an_agent_gets_the_modules_that_its_work_needs(work, expected):
    assert agent_program.needed_for(work) == tuple(getattr(agent_program, n) for n in expected)


def code_in(code):
    yield code
    for one in code.co_consts:
        if hasattr(one, "co_consts"):
            yield from code_in(one)


FAR = "def f(x):\n    x = (x +" + "\n#" * 2000 + "\n    1)\n    return [\n\nx, 1 / 0]\n"


@pytest.mark.parametrize("name, text", [*agent_program.sources(agent_program.EVERY), ("far", FAR)])
def test_code_without_columns_has_the_same_lines(name, text):
    def by_line(code):
        return [
            (start, line) for start, end, line in code.co_lines() for start in range(start, end)
        ]

    before = list(code_in(compile(text, name, "exec", optimize=2)))
    after = list(code_in(agent_program.without_columns(compile(text, name, "exec", optimize=2))))
    assert [by_line(code) for code in after] == [by_line(code) for code in before]
    assert [code.co_code for code in after] == [code.co_code for code in before]
    assert sys.version_info < (3, 11) or {
        (column, end) for code in after for _, _, column, end in code.co_positions()
    } == {(None, None)}
