"""What stand-ins of a fleet have in common: host by host, with answers as agents give them."""

import itertools

from fabfile.command import converging
from fabfile.core import journal
from fabfile.core.contract import Read, Stop
from fabfile.flow.session import Options
from fabfile.model import releases


class StandIn:
    """What a fleet does, by two words of its own.

    one(host, work, say) does a host's work, and gives what went wrong, if anything did;
    values(host) gives what each verb reads there, as {verb: value}.
    """

    def work(self, works, heard):
        faults = {}
        for host, work in works.items():
            fault = self.one(host, work, lambda h=host, **message: heard(h, message))
            if fault:
                faults[host] = fault
        return faults

    def answer(self, host, read, say):
        known = {"os": "debian", "name": "Debian", "machine_id": host, "boot_id": "b"}
        versions = {
            **dict.fromkeys(releases.PACKAGES),
            "nova-common": "2:26.2.2-1",
            "glance-common": None,
            "cinder-common": None,
        }
        known |= {"like": [], "version": "12", "codename": "bookworm"}
        values = {"host": {**known, "hostname": host}, "packages": versions, **self.values(host)}
        say(t="read", id=read["id"], value=values[read["verb"]])


def owed(site, host):
    """The reads of a resource that restarts what is owed."""
    return [Read("pending_restarts", "pending_restarts")] if host.name != "ceph01" else []


def owing(site, facts):
    """The hosts that owe a restart."""
    found = site.all_hosts()
    return [host for host in found if facts.hosts.get(host.name, {}).get("pending_restarts")]


def at_home(tmp_path, monkeypatch, text):
    """A home for runs, which are numbered, and the site's file in it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    numbers = itertools.count()
    monkeypatch.setattr(journal, "new_id", lambda: f"run-{next(numbers):03}")
    (tmp_path / "site.toml").write_text(text)
    return str(tmp_path / "site.toml")


def outcome(resource, **flags):
    """The exit code of a task that converges a resource, and what ended it."""
    with converging({}, Options(**{"yes": True, **flags}), "integrate") as made:
        try:
            return made.report(made.converge([resource])), ""
        except Stop as stop:
            return stop.code, str(stop)
