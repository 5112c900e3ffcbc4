"""A site whose hosts, cloud and files answer what a fuzzed input says, and the tasks on it.

What hosts say goes the whole way: as a line of an agent's, through the frames, the shapes and
the collector, to the task.  Nothing is connected to.
"""

import contextlib
import functools
import json
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from fabfile.cloud import connection
from fabfile.core import answers, framing, site_file
from fabfile.core.contract import Stop, Unknown
from fabfile.flow import limit as limits
from fabfile.flow import session as sessions
from fabfile.flow.session import Options, Session
from fabfile.flow.terminal.screen import Screen
from fabfile.model import site as sites

from ..unit import states

NONCE = b"\x1enonce"


def line_of(message):
    """As the agent says it."""
    return NONCE + b" " + json.dumps(message).encode("ascii") + b"\n"


def pages(value):
    """An answer that comes in parts, as the agent sends it."""
    return isinstance(value, list) and all(isinstance(line, str) for line in value)


class Fleet:
    """Hosts that answer {host: {read id: value}}; wire: what becomes of each host's bytes."""

    warnings = ()

    def __init__(self, hosts, wire=lambda data: data):
        self.hosts_, self._wire = hosts, wire
        self.trips, self.conversations, self.stopping = {}, self, None

    def work(self, works, heard):
        faults = {}
        for host, work in works.items():
            self.trips[host] = self.trips.get(host, 0) + 1
            try:
                if not self._converse(host, work, heard):
                    faults[host] = Unknown(host=host, found="the connection was cut")
            except Stop as stop:
                faults[host] = stop
        return faults

    def _said(self, host, work):
        known = self.hosts_.get(host, {})
        for read in work.get("reads", ()):
            name, word = read["id"], read["id"].partition(" ")[0]
            columns = "information_schema.columns" in str(read["args"].get("sql"))
            key = "columns" if columns else name if name in known else word
            if key not in known:
                yield line_of({"t": "read", "id": name, "error": "no"})
                continue
            value = known[key]
            if read["verb"] in answers.IN_PARTS and pages(value):
                yield line_of({"t": "part", "id": name, "lines": value})
                value = len(value)
            yield line_of({"t": "read", "id": name, "value": value})
        yield line_of({"t": "end"})

    def _converse(self, host, work, heard):
        """As core.ssh.conversing listens."""
        expected, frames = answers.Expected(host, work), framing.Frames(NONCE)
        for message in frames.feed(self._wire(b"".join(self._said(host, work)))):
            if not answers.is_message(message):
                raise answers.unasked(host)
            if message["t"] == "end":
                return True
            if message["t"] != "beat":
                heard(host, expected.take(message))
        return False

    def raise_if_stopped(self):
        """Nobody stops."""

    stop = close = raise_if_stopped


_ATTRIBUTES = dict.fromkeys(
    ("id", "name", "host", "status", "state", "binary", "volume_id", "instance", "connection_info")
)
_ATTRIBUTES |= dict.fromkeys(("extra_specs", "container", "object_count"))
"""What the SDK's objects have, None where the API does not say it."""


def api(told):
    """A connection to a cloud whose API lists this: {collection: [{attribute: value}]}."""

    def listed(name):
        return lambda **_: iter(
            [SimpleNamespace(**{**_ATTRIBUTES, **one}) for one in told.get(name, ())]
        )

    def get(path):
        name = "qos_associations" if path.endswith("/associations") else path[1:].replace("-", "_")
        text = json.dumps({name: told[name]})
        return SimpleNamespace(
            status_code=200,
            ok=True,
            content=text,
            headers={},
            url=path,
            json=lambda: json.loads(text),
        )

    names = ("volumes", "backups", "services", "attachments", "types")
    storage = SimpleNamespace(get=get, **{name: listed(name) for name in names})
    return SimpleNamespace(block_storage=storage)


def _paced(site):
    limited = limits.limited(site, "")
    return limited, sessions.rollout.of(site, limited, "", "", "")


@contextlib.contextmanager
def task(site, hosts, cloud, wire=lambda data: data, **options):
    """While this holds, open_session() opens a session of this site with these hosts."""
    fleet, chosen = Fleet(hosts, wire), Options(site="site.toml", **options)

    def opened(context, _options, task_="", others=None):
        limited, paced = _paced(site)
        return Session(
            context,
            chosen,
            task_,
            Path("site.toml"),
            site,
            Screen(chosen.json),
            set(limited),
            paced,
            fleet,
            "2026-01-01T00-00-00Z-abcd",
        )

    patched = [
        mock.patch(f"fabfile.flow.{where}.open_session", opened)
        for where in ("inspect.survey", "inspect.reporting", "inspect.reconcile", "move_monitors")
    ]
    with contextlib.ExitStack() as stack:
        for patch in patched:
            stack.enter_context(patch)
        stack.enter_context(mock.patch.object(connection, "connect", lambda *_: api(cloud)))
        yield functools.partial(opened, {}, chosen)


def now(hosts):
    """The same hosts with the clocks of this moment."""
    for seen in hosts.values():
        if isinstance(seen.get("host"), dict):
            seen["host"] = {**seen["host"], "time": time.time(), "monotonic": 1e6}
    return hosts


@functools.cache
def whole_site():
    """A site with all that a site file can ask for."""
    hosts = {**states.HOSTS, "ctl": {"roles": ["glance", "cinder", "database"]}}
    table = {
        "name": "test",
        "cloud": "c",
        "hosts": hosts,
        "sudoers": {"user": "op"},
        "backup": {
            "recipients": ["age1" + "q" * 58],
            "folder": "records",
            "signing_key": "record.sign",
        },
    }
    return sites.check(table, "site.toml", site_file.platforms())
