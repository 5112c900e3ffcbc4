"""One operator's sudoers file: everything, as root, without a password.

Said plainly, because scripts as root are ALL in effect.  Source: procedure step 2.
"""

from __future__ import annotations

from typing import Any

from fabfile.core.contract import Change, Facts, Host, Read


def path_of(user: str) -> str:
    """One file for one operator; sudo skips names with a dot."""
    return "/etc/sudoers.d/90-stackrbd-" + user.replace(".", "_")


def content(site: Any) -> str:
    """The file's text."""
    until = f"NOTAFTER={site.sudoers.until} " if site.sudoers.until else ""
    return (
        "# stackrbd: this operator may run EVERYTHING as root without a password.\n"
        f"{site.sudoers.user} ALL=(root) {until}NOPASSWD: ALL\n"
    )


def reads(site: Any, host: Host) -> list[Read]:
    """The file itself."""
    if not site.sudoers:
        return []
    return [Read("sudoers", "file", {"path": path_of(site.sudoers.user), "text": True})]


def plan(site: Any, facts: Facts) -> list[Change]:
    """Writes the file where it differs; visudo looks at it before it counts."""
    if not site.sudoers:
        return []
    return [
        _write(site, host, facts.of(host.name, "sudoers"))
        for host in site.all_hosts()
        if host.name in facts.hosts and not _right(site, facts.of(host.name, "sudoers"))
    ]


def _right(site: Any, seen: Any) -> bool:
    if not seen or seen["text"] != content(site):
        return False
    return (seen["owner"], seen["group"], seen["mode"]) == ("root", "root", "0440")


def _write(site: Any, host: Host, seen: Any) -> Change:
    wave = 0 if "ceph" in host.roles else 2 if "compute" in host.roles else 1
    args = {
        "path": path_of(site.sudoers.user),
        "content": [content(site)],
        "mode": "0440",
        "owner": "root",
        "group": "root",
        "before": seen["sha256"] if seen else None,
        "check": ["visudo", "-cf", "{}"],
    }
    diff = tuple(f"+ {line}" for line in content(site).splitlines())
    sentence = f"{site.sudoers.user} may run ALL as root without a password"
    sign = "~" if seen else "+"
    path = str(args["path"])
    return Change(
        host.name, path, sentence, sign, "write", args, wave, diff, kind="sudoers", subject=path
    )
