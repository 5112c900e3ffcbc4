"""A real MariaDB of the tests' own: in a folder, on a socket, ended by its process id.

Its programs, and age's, are the system's, or those of Debian's packages that `make apart`
unpacked into the project's folder .apart.
"""

import itertools
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from fabfile.backup import age
from fabfile.core import agent_program
from tests.unit.test_agent import Agent, sources

PROGRAMS = ("mariadb", "mariadb-dump", "mariadb-admin", "mariadbd", "mariadb-install-db", "age")
ROOTS = (Path("/"), Path(__file__).resolve().parents[2] / ".apart")


def found(program):
    """(a root, the program below it), or None."""
    for root in ROOTS:
        for folder in ("usr/bin", "usr/sbin"):
            if (root / folder / program).exists():
                return root, root / folder / program
    return None


@pytest.fixture(scope="session")
def programs():
    """A folder with all of them, to be put in front of PATH."""
    missing = [name for name in PROGRAMS if not found(name)]
    if missing:
        pytest.skip(f"{', '.join(missing)}: not here: make apart brings them")
    # Where users without rights can go: pytest's own folders are closed to others.
    folder = Path(tempfile.mkdtemp(prefix="sb-", dir="/tmp"))
    folder.chmod(0o755)
    for name in PROGRAMS:
        root, path = found(name)
        more = ""
        if name in ("mariadbd", "mariadb-install-db") and root != Path("/"):
            more = f"--basedir={root}/usr --lc-messages-dir={root}/usr/share/mysql"
            first = "--no-defaults" if name == "mariadb-install-db" else ""
            more = f"{first} {more} --plugin-dir={root}/usr/lib/mysql/plugin"
        script = folder / name
        libraries = f"{root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu"
        set_ = "" if root == Path("/") else f"export LD_LIBRARY_PATH={libraries}\n"
        # The options that say which files are read come first, whoever gives them.
        script.write_text(
            f'#!/bin/sh\n{set_}first=\ncase "$1" in --no-defaults|--defaults*) first=$1; shift;; '
            f'esac\nexec {path} $first {more} "$@"\n'
        )
        script.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


class Server:
    """A live server: the one that the agent takes for the host's own."""

    def __init__(self, programs, folder):
        self.programs, self.folder = programs, folder
        self.data, self.socket = folder / "data", folder / "s"
        self.defaults = folder / "client.cnf"
        self.defaults.write_text(f"[client]\nuser=root\nsocket={self.socket}\n")
        self.process = None

    client_program, server_program = "mariadb", "mariadbd"
    making = ("mariadb-install-db", "--skip-test-db", "--skip-name-resolve")
    more = altered = ()

    def make(self):
        program, *words = self.making
        argv = [self.programs / program, *words, "--user=root", f"--datadir={self.data}"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        self.start()

    def start(self):
        program = self.programs / self.server_program
        argv = ["nice", "-n", "10", program, "--no-defaults", "--user=root", *self.more]
        argv += [f"--datadir={self.data}", f"--socket={self.socket}", "--skip-networking"]
        argv += [f"--pid-file={self.folder}/pid", f"--log-error={self.folder}/server.log"]
        self.process = subprocess.Popen([*argv, "--innodb-buffer-pool-size=64M"])
        until = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < until:
            if self.socket.exists() and self.sql("SELECT 1", check=False) == "1\n":
                return
            time.sleep(0.2)
        raise AssertionError((self.folder / "server.log").read_text()[-2000:])

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def client(self):
        argv = [str(self.programs / self.client_program), f"--defaults-extra-file={self.defaults}"]
        return [*argv, "--default-character-set=utf8mb4", "-NB"]

    def sql(self, text, check=True):
        """What the server answers."""
        done = subprocess.run(
            self.client(), input=text, text=True, capture_output=True, check=False
        )
        assert not (check and done.returncode), done.stderr
        return done.stdout

    def all(self):
        """Everything that it holds, as its own checksums tell it."""
        tables = self.sql(
            "SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables WHERE "
            "table_type = 'BASE TABLE' AND table_schema NOT IN ('mysql', 'sys', "
            "'information_schema', 'performance_schema')"
        ).split()
        return self.sql("".join(f"CHECKSUM TABLE {name};\n" for name in sorted(tables)))


@pytest.fixture
def folder():
    """Short: a socket's path has at most 107 characters."""
    path = Path(tempfile.mkdtemp(prefix="sr-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def server(programs, folder):
    """A fresh live server."""
    live = Server(programs, folder)
    live.make()
    yield live
    live.stop()


class HostAgent(Agent):
    """An agent that finds the tests' programs and takes their server for the host's."""

    live = None
    altered = ()
    """More of the agent's text that is another one here: (old, new)."""

    def bring(self):
        """The modules that a backup needs, as they come before one."""
        more = [
            name for names in agent_program.needed_for({"transfer": "create"}) for name in names
        ]
        more = [name for name in more if name not in agent_program.READING]
        self.process.stdin.write(self.program(tuple(more)))

    def program(self, names, as_lines=agent_program.as_code, silence=30.0):
        """These modules, with the tests' programs and server for the host's."""
        found = sources(names, str(self.state), silence)
        return as_lines([(name, self._altered(text)) for name, text in found])

    def _altered(self, text):
        text = text.replace('"PATH": "', f'"PATH": "{self.live.programs}:')
        for old, new in self.altered:
            text = text.replace(old, new)
        text = text.replace('USER = "mysql"', 'USER = "nobody"')  # which every machine has
        text = text.replace("/run/stackrbd-throwaway-", f"{self.live.folder}/stackrbd-way-")
        return text.replace(
            "    mine = mine or settings()\n", f"    mine = {{'datadir': '{self.live.data}'}}\n"
        )

    def record(self, recipients, **more):
        """Asks for a backup; (its bytes, its manifest or None, why not)."""
        heads = {"alembic_version": "version_num"}
        args = {
            "recipients": recipients,
            "folders": [],
            "said": {},
            "commands": {},
            "dumped": {"defaults": str(self.live.defaults), "heads": heads},
            "about": {"site": "lab"},
            **more,
        }
        self.give(transfer="create", args=args)
        return self.take()

    def take(self):
        """What comes of a backup under way."""
        data, again = b"", 0
        while True:
            line = self.process.stdout.readline()
            message = message_of(line)
            if message is None or message["t"] in ("transferred", "refused"):
                break
            if message["t"] == "bytes":
                data += self.process.stdout.read(message["size"])
            elif message["t"] == "again":
                data, again = b"", again + 1
        said = message or {"why": "cut"}
        self.again = again
        return data, said.get("value"), said.get("why")

    def restore(self, data, manifest, identity, keep=False):
        """Sends a backup; (what came of it, why not)."""
        secret = {"secret": identity.reveal()}
        args = {"identity": secret, "manifest": manifest, "folders": ["/etc"], "keep": keep}
        self.give(transfer="restore", args=args)
        pieces = iter([data[at : at + 100_000] for at in range(0, len(data), 100_000)])
        for line in self.process.stdout:
            message = message_of(line)
            if message["t"] == "want":
                piece = next(pieces, b"")
                self.process.stdin.write(b"bytes:%d\n" % len(piece) + piece)
                self.process.stdin.flush()
            elif message["t"] in ("transferred", "refused"):
                return message.get("value"), message.get("why")
        return None, "cut"


def message_of(line):
    """The next message; None at the end."""
    return json.loads(line.partition(b"\x1enonce ")[2]) if line else None


@pytest.fixture
def agent(server, folder):
    """Starts agents on the tests' host."""
    started, numbers = [], itertools.count(1)

    def start():
        HostAgent.live, HostAgent.altered = server, server.altered
        one = HostAgent(folder, silence=600.0, reads=[])  # no beats go to it from here
        one.all()
        one.bring()
        give = one.give
        one.give = lambda **work: give(**{"run": f"r{next(numbers)}", "deadline": 600, **work})
        started.append(one)
        return one

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.fixture(scope="session")
def key():
    """(the private key, its recipient)."""
    return age.new_identity()
