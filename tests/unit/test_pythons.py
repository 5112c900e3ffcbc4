"""The agent under each Python that a host may have, where the locale knows ASCII or Latin-1 alone.

sudo over SSH gives a program the locale of whoever logs in, or none.  Up to 3.6 Python then has
ASCII for names of files, words of programs and the environment; and any Python has Latin-1 where
the locale says so.  What is on a host is bytes all the same, and what is said is UTF-8.
"""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fabfile.core import agent_program
from fabfile.core.remote import reads, steps

from . import interpreters
from .test_agent import ME, Agent, step

NAME = "größe-日本"
ODD = b"odd-\xff.conf"
"""A name that is no UTF-8."""
CONF = "[DEFAULT]\na = ü\n"
SERVICE = "import time\ntime.sleep(600)\n"
SYSTEMCTL = """#!/bin/sh
case "$*" in
*MainPID,User*)
  echo 'MainPID={pid}'; echo 'Environment=OS_UNIT__B=ü'
  echo 'EnvironmentFiles={top}/{name}.env (ignore_errors=no)' ;;
*list-units*) echo 'nova-compute.service loaded active running {name}' ;;
*"show "*) printf 'Id=u\\nLoadState=loaded\\nActiveState=active\\nSubState=running\\n'
  printf 'Result=success\\nMainPID=1\\nNRestarts=0\\nJob=\\n' ;;
*) echo "$*" >> {top}/systemctl.log ;;
esac
"""
DOCKER = """#!/bin/sh
echo '[{{"State": {{"Running": true}}, "Config": {{"Env": ["KOLLA_CONFIG_STRATEGY=ü"]}}}}]'
"""
PROGRAMS = {
    "systemctl": SYSTEMCTL,
    "dpkg-query": "#!/bin/sh\necho 'ii  {name} 1.0'\n",
    "dpkg": "#!/bin/sh\necho amd64\n",
    "journalctl": "#!/bin/sh\n",
    "restorecon": '#!/bin/sh\n[ -z "$2" ] || echo "Would relabel $3 from a:ü to a:c"\n',
    "rpm": "#!/bin/sh\necho 'package a is not installed'; exit 1\n",
    "dnf": "#!/bin/sh\necho \"$*\" >> '{top}/dnf.log'; echo 'Nothing to do.'\n",
    "apt-get": "#!/bin/sh\necho \"$*\" >> '{top}/apt.log'\n",
    "mariadb": '#!/bin/sh\ncat "${{1#--defaults-extra-file=}}"\n',
    "docker": DOCKER,
    "age": "#!/bin/sh\nexec cat\n",
    "sudo": '#!/bin/sh\necho "no $4"; exit 1\n',
}
DENIED = (
    'type=AVC msg=audit({now}.1:2): avc:  denied  {{ read }} for  pid=1 comm="ü" name="ceph.conf" '
    "scontext=u:r:glance_api_t:s0 tcontext=u:o:tmp_t:s0 tclass=file permissive=0\n"
)
LATIN = "de_DE.ISO-8859-1"
HOSTS = [(6, "POSIX"), (6, LATIN), (11, LATIN), (13, LATIN)]
HOSTS += [(minor, "C") for minor in interpreters.MINORS]


@functools.cache
def latin(folder):
    """A folder with a locale that knows no UTF-8, or None where none can be made."""
    made = Path(folder) / LATIN
    argv = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", "--no-archive", str(made)]
    try:
        subprocess.run(argv, capture_output=True, timeout=60, check=False)
    except OSError:
        return None
    return folder if made.is_dir() else None


@pytest.fixture(scope="session")
def locales(tmp_path_factory):
    return tmp_path_factory.mktemp("locales")


class Host:
    """A host whose names are not ASCII: its folder, its programs, and a service that runs."""

    def __init__(self, top, locales, minor, locale):
        self.top, self.minor, self.python = top, minor, interpreters.found(minor)
        if self.python is None:
            pytest.skip(f"no python3.{minor} on this machine (PATH, ~/.pyenv/versions)")
        self.environment = {"PATH": os.environ["PATH"], "LC_ALL": locale, "SUDO_USER": "jörg"}
        if locale == LATIN:
            if latin(locales) is None:
                pytest.skip("no locale of Latin-1 can be made here (localedef, its sources)")
            self.environment["LOCPATH"] = str(locales)
        (top / "bin").mkdir()
        self.folder = top / NAME
        self.folder.mkdir()
        self.conf = self.folder / "nova.conf"
        self.conf.write_text(CONF)
        (top / "enforce").write_text("1")
        (top / "audit.log").write_text(DENIED.format(now=int(time.time())))
        (top / f"{NAME}.env").write_text("OS_FILE__C=ö\n")
        (self.folder / f"{NAME}.conf").write_text("[x]\nb = é\n")
        (self.folder / os.fsdecode(ODD)).write_text("[x]\nb = odd\n")
        self.service = self._serve()
        for name, text in PROGRAMS.items():
            program = text.format(top=top, name=NAME, pid=self.service.pid)
            (top / "bin" / name).write_text(program)
            (top / "bin" / name).chmod(0o755)
        self._started = []

    def _serve(self):
        script = self.top / "nova-compute.py"
        script.write_text(SERVICE)
        argv = [sys.executable, str(script), f"--config-dir={NAME}", "--config-file", "no.conf"]
        return subprocess.Popen(argv, cwd=self.top, env={"OS_GIVEN__A": "ü"})

    def agent(self, **work):
        host, path = self, f"{self.top}/bin:/usr/local/sbin:"

        class Here(Agent):
            python, environment = host.python, host.environment

            def program(self, names, as_lines=None, silence=30.0):
                instead = {
                    "/sys/fs/selinux/enforce": f"{host.top}/enforce",
                    "/var/log/audit/audit.log": f"{host.top}/audit.log",
                    "/var/lib/stackrbd": str(self.state),
                    "/usr/local/sbin:": path,
                    "SILENCE = 5.0, 30.0": "SILENCE = 5.0, 600.0",
                    "settle=4.0": "settle=0.0",
                    "pause, up = 0.5": "pause, up = 0.05",
                }
                texts = agent_program.sources(names)
                for old, new in instead.items():
                    texts = [(name, text.replace(old, new)) for name, text in texts]
                return agent_program.as_text(texts)

        self._started.append(Here(self.top, deadline=600, **work))
        return self._started[-1]

    def ask(self, questions, agent=None):
        """{verb: its answer}; lines of an answer in parts are put together.

        agent: one that has the modules for it, and has done its work.
        """
        asked = [{"id": verb, "verb": verb, "args": args} for verb, args in questions.items()]
        found, parts = {}, {}
        if agent:
            agent.give(reads=asked)
        for message in (agent or self.agent(reads=asked)).all():
            assert "error" not in message, message
            if message["t"] == "part":
                parts.setdefault(message["id"], []).extend(message["lines"])
            else:
                found[message["id"]] = message["value"]
        return {**found, **parts}

    def end(self):
        for one in [self.service, *(agent.process for agent in self._started)]:
            one.kill()
            one.wait()


@pytest.fixture(params=HOSTS, ids=lambda one: f"3.{one[0]}-{one[1]}")
def host(request, tmp_path, locales):
    made = Host(tmp_path, locales, *request.param)
    yield made
    made.end()


@pytest.fixture
def questions(tmp_path):
    """Each verb of reading, with what is not ASCII in every place that takes a text."""
    folder = tmp_path / NAME
    conf, plain = str(folder / "nova.conf"), str(folder / f"{NAME}.conf")
    named = tmp_path / "named"
    named.write_text(f"include = {plain}\n")
    return {
        "host": {},
        "file": {"path": plain, "text": True},
        "options": {"path": plain},
        "sources": {"unit": "nova-compute", "project": "nova", "main": conf},
        "named_files": {
            "path": str(named),
            "match": "^include = (.*)$",
            "between": "\\s+",
            "words": {},
            "mask": [],
        },
        "argv": {"argv": ["echo", NAME]},
        "lines": {"argv": ["echo", NAME]},
        "digest": {"argv": ["echo", NAME]},
        "rows": {"sql": "SELECT 'ü';", "defaults": plain},
        "secret": {"argv": ["echo", NAME]},
        "each": {"argv": ["echo", NAME], "match": "\\S+", "then": {"x": {"argv": ["echo", "{}"]}}},
        "packages": {"names": [NAME]},
        "repositories": {"names": ["a"]},
        "containers": {"names": [NAME]},
        "repository": {"line": "deb http://ü.example/ü stable main", "path": plain},
        "units": {"names": [NAME]},
        "running_units": {},
        "pending_restarts": {},
        "exists": {"paths": [conf, plain, str(folder / "ü")]},
        "disk": {"paths": [str(folder)]},
        "confinement": {"paths": [conf], "seconds": 60},
        "run": {"run": "r1"},
        "runs": {},
    }


def test_every_question_is_asked(questions):
    assert set(questions) == set(reads.READS)


def test_what_is_read_is_bytes_whatever_the_locale(host, questions):
    found = host.ask(questions)
    conf, plain = str(host.conf), questions["options"]["path"]
    text = (host.folder / f"{NAME}.conf").read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    assert (found["file"]["text"], found["file"]["sha256"]) == (text.decode(), digest)
    assert (found["options"]["active"], found["options"]["owner"]) == (
        [["x", "b", "é"]],
        ME["owner"],
    )
    assert found["named_files"][plain]["text"] == text.decode()
    assert found["rows"] == text.decode().splitlines()
    assert found["argv"]["out"].strip() == found["secret"] == found["lines"][0] == NAME
    echoed = f"{NAME}\n".encode()
    told = {"sha256": hashlib.sha256(echoed).hexdigest(), "bytes": len(echoed)}
    assert found["digest"] == told
    assert found["each"][NAME]["x"]["out"].strip() == NAME
    assert found["packages"] == {NAME: "1.0"}
    about = {"running": True, "strategy": "ü", "folder": "", "engine": "docker"}
    assert found["containers"] == {NAME: about}
    assert [entry["file"] for entry in found["repository"]["own"]] == [plain]
    assert found["confinement"]["labels"] == [{"path": conf, "is": "a:ü", "should": "a:c"}]
    assert [one["comm"] for one in found["confinement"]["denials"]] == ["ü"]
    assert found["repositories"]["would"] == [] and "-C" in (host.top / "dnf.log").read_text()
    assert list(found["exists"].values()) == [True, True, False]
    assert found["disk"][str(host.folder)][1] > 0
    assert found["units"][NAME]["LoadState"] == "loaded"
    sources = found["sources"]
    assert sources["environment"] == {"OS_GIVEN__A": "ü", "OS_UNIT__B": "ü", "OS_FILE__C": "ö"}
    assert sources["files"] == [
        [plain, [["x", "b", "é"]]],
        [conf, []],
        [str(host.folder / ODD.decode("utf-8", "replace")), [["x", "b", "odd"]]],
    ]
    assert found["host"]["python"] == f"3.{host.minor}"
    assert found["host"]["sudo_unknown"].endswith("no jörg"), "sudo was asked for that user"


@pytest.fixture
def works(host, tmp_path):
    """Each verb of changing: [(how it is made ready, its arguments, what is so afterwards)]."""
    folder = tmp_path / NAME
    conf, content, own = folder / "nova.conf", "written ü\n", {**ME, "mode": "0640"}
    written, placed = folder / "ü-written", folder / "ü-placed"
    given, gone, brought = folder / "ü-given", folder / "ü-gone", tmp_path / "brought-é"
    for path in (given, gone, brought):
        path.write_text(f"{path.name}\n")
    for name in ("live-ü", "new-ü"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    owed = tmp_path / "state" / "pending_restarts" / "ü-elsewhere"
    owed.parent.mkdir(parents=True, exist_ok=True)
    owed.touch()
    exchanged = {"path": str(tmp_path / "live-ü"), "new": str(tmp_path / "new-ü")}
    check = {"check": ["grep", "ü", "{}"]}
    return [
        (
            "edit",
            {
                "path": str(conf),
                "edits": [["DEFAULT", "ö", "日本"]],
                "before": hashlib.sha256(CONF.encode()).hexdigest(),
                "begins": ["ctl@ü"],
            },
            lambda: "ö = 日本" in conf.read_text("utf-8"),
        ),
        (
            "write",
            {"path": str(written), "content": [content], "before": None, **check, **own},
            lambda: written.read_text("utf-8") == content,
        ),
        (
            "attributes",
            {"path": str(given), **ME, "mode": "0600"},
            lambda: given.stat().st_mode & 0o777 == 0o600,
        ),
        (
            "remove",
            {"path": str(gone), "before": hashlib.sha256(gone.read_bytes()).hexdigest()},
            lambda: not gone.exists(),
        ),
        (
            "place",
            {"path": str(placed), "staged": str(brought), "before": None, **own},
            lambda: placed.read_bytes() == brought.read_bytes(),
        ),
        ("folder", {"path": str(folder / "d-ö"), **ME, "mode": "0750"}, (folder / "d-ö").is_dir),
        ("no_folder", {"path": str(folder / "e-ö")}, lambda: not (folder / "e-ö").exists()),
        (
            "exchange",
            {**exchanged, "old": str(tmp_path / "old-ü"), "unit": "mariadb"},
            lambda: (
                (tmp_path / "live-ü" / "new-ü").exists()
                and (tmp_path / "old-ü" / "live-ü").exists()
            ),
        ),
        (
            "run",
            {"argv": ["tee", str(folder / "told-ü")], "stdin": ["é\n"]},
            lambda: (folder / "told-ü").read_text("utf-8") == "é\n",
        ),
        (
            "install",
            {"packages": [NAME]},
            lambda: NAME in (tmp_path / "apt.log").read_text("utf-8"),
        ),
        ("restart", {"units": ["ü"], "settle": 0}, lambda: _told(tmp_path, "restart", "ü")),
        ("restarted", {"units": ["ü-elsewhere"]}, lambda: not owed.exists()),
        ("stop", {"units": ["ü"]}, lambda: _told(tmp_path, "stop", "ü")),
        ("enable", {"units": ["ü"]}, lambda: _told(tmp_path, "enable", "ü")),
    ]


def _told(top, verb, unit):
    lines = (top / "systemctl.log").read_text("utf-8").splitlines()
    return any(line.startswith(verb) and line.endswith(f"{unit}.service") for line in lines)


def test_what_is_changed_is_bytes_whatever_the_locale(host, works):
    (host.folder / "e-ö").mkdir()
    assert {verb for verb, *_ in works} == set(steps.STEPS), "a new verb gets its row"
    made = [step(number, verb, ["ü-unit"], **args) for number, (verb, args, _) in enumerate(works)]
    agent = host.agent(steps=made, log=True)
    said = agent.all()
    assert [m for m in said if m["t"] == "failed"] == []
    assert [m["step"] for m in said if m["t"] == "done"] == list(range(len(works)))
    assert [verb for verb, _, holds in works if not holds()] == []
    kept = host.ask({"run": {"run": "r1"}, "pending_restarts": {}, "runs": {}}, agent)
    assert (kept["runs"], kept["pending_restarts"]) == (["r1"], ["ü-unit"])
    (back,) = [one for one in kept["run"] if one["verb_was"] == "edit"]
    assert back["now"] == back["is"] != back["was"]
    assert back["begins"] == ["ctl@ü"]
    agent.give(steps=[step(0, back["verb"], **back["args"])], run="r2", number=2)
    undone = agent.all()
    assert undone[-1]["t"] == "done", undone
    assert host.conf.read_text("utf-8") == CONF


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed here")
def test_a_backup_holds_names_as_they_are_and_says_which_it_leaves(host):
    work = {
        "recipients": ["age1"],
        "folders": [str(host.folder)],
        "said": {"who": "jörg"},
        "commands": {},
        "dumped": None,
        "about": {},
    }
    os.symlink("nova.conf", host.folder / "link-ü")
    os.symlink(b"to-\xff", os.fsencode(host.folder / "link"))
    agent = host.agent(transfer="create", args=work)
    (ended,) = [m for m in _messages(agent) if m["t"] in ("transferred", "refused")]
    assert ended["t"] == "transferred", ended
    held = ended["value"]["files"]
    names = {"", "/nova.conf", f"/{NAME}.conf", "/link-ü"}
    assert set(held) == {f"{host.folder}{name}" for name in names}
    assert sorted(line.partition(": ")[2] for line in ended["value"]["left"]) == [
        "odd-\ufffd.conf is no name in UTF-8",
        "to-\ufffd is no name in UTF-8",
    ]


def _messages(agent):
    """What an agent says beside the bytes that it sends."""
    found, stream = [], agent.process.stdout
    for line in stream:
        message = json.loads(line.partition(b" ")[2])
        if message["t"] == "bytes":
            stream.read(message["size"])
        elif message["t"] == "end":
            return found
        else:
            found.append(message)
    return found
