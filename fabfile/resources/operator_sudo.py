"""One operator's sudoers file: everything, as root, without a password.

Said plainly, because scripts as root are ALL in effect.  Source: procedure step 2.
"""

from __future__ import annotations

from fabfile.core.contract import Change, Facts, Host, Read, Seen
from fabfile.model import services
from fabfile.model.phases import Phase
from fabfile.model.site import Site
from fabfile.model.site_tables import Sudoers
from fabfile.resources.resource import Resource


def path_of(user: str) -> str:
    """One file for one operator; sudo skips names with a dot."""
    return "/etc/sudoers.d/90-stackrbd-" + user.replace(".", "_")


def content(sudoers: Sudoers) -> str:
    """The file's text."""
    until = f"NOTAFTER={sudoers.until} " if sudoers.until else ""
    return (
        "# stackrbd: this operator may run EVERYTHING as root without a password.\n"
        f"{sudoers.user} ALL=(root) {until}NOPASSWD: ALL\n"
    )


def reads(site: Site, host: Host) -> list[Read]:
    """The file itself."""
    if not site.sudoers:
        return []
    return [Read("sudoers", "file", {"path": path_of(site.sudoers.user), "text": True})]


def plan(site: Site, facts: Facts) -> list[Change]:
    """Writes the file where it differs; visudo looks at it before it counts."""
    if not site.sudoers:
        return []
    return [
        _write(site.sudoers, host, facts.of(host.name, "sudoers"))
        for host in site.all_hosts()
        if host.name in facts.hosts and not _right(site.sudoers, facts.of(host.name, "sudoers"))
    ]


def _right(sudoers: Sudoers, seen: Seen) -> bool:
    if not seen or seen["text"] != content(sudoers):
        return False
    return (seen["owner"], seen["group"], seen["mode"]) == ("root", "root", "0440")


def _phase(host: Host) -> Phase:
    """The cluster's own hosts first, a compute with the computes, the rest between."""
    if "ceph" in host.roles:
        return Phase.CLUSTER
    return max((s.phase for s in services.on(host)), default=Phase.CONTROL)


def _write(sudoers: Sudoers, host: Host, seen: Seen) -> Change:
    wave = _phase(host)
    args = {
        "path": path_of(sudoers.user),
        "content": [content(sudoers)],
        "mode": "0440",
        "owner": "root",
        "group": "root",
        "before": seen["sha256"] if seen else None,
        "check": ["visudo", "-cf", "{}"],
    }
    diff = tuple(f"+ {line}" for line in content(sudoers).splitlines())
    sentence = f"{sudoers.user} may run ALL as root without a password"
    sign = "~" if seen else "+"
    path = str(args["path"])
    return Change(
        host.name, path, sentence, sign, "write", args, wave, diff, kind="sudoers", subject=path
    )


RESOURCE = Resource("hosts.sudoers", reads, plan)
