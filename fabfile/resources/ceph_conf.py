"""/etc/ceph and ceph.conf on the hosts that use the cluster.

Written from the live monitor map, readable by QEMU and every service.  A file of
another cluster is refused; of this one, only a stale monitor list is replaced.
Source: procedure steps 4 and 5.
"""

from __future__ import annotations

import re
from typing import Any

from fabfile.core.contract import BadInput, Change, Facts, Host, Read
from fabfile.resources import cluster
from fabfile.resources.client_packages import client_hosts

PATH = "/etc/ceph/ceph.conf"
UNITS = {"glance": "glance-api", "cinder": "cinder-volume"}


def reads(site: Any, host: Host) -> list[Read]:
    """The monitor map, and the folder and file on each client host."""
    found = cluster.reads(site, host)
    if host in client_hosts(site) and "ceph" not in host.roles:
        found.append(Read("ceph.folder", "file", {"path": "/etc/ceph"}))
        found.append(Read("ceph.conf", "file", {"path": PATH, "text": True}))
    return found


def plan(site: Any, facts: Facts) -> list[Change]:
    """The folder, the file, its monitors and its mode."""
    seen = cluster.seen(site, facts)
    changes: list[Change] = []
    for host in client_hosts(site):
        if host.name not in facts.hosts or "ceph" in host.roles:
            continue
        wave = 1 if {"glance", "cinder"} & set(host.roles) else 2
        if facts.of(host.name, "ceph.folder") is None:
            args = {"path": "/etc/ceph", "mode": "0755", "owner": "root", "group": "root"}
            changes.append(Change(host.name, "/etc/ceph", "make", "+", "folder", args, wave))
        changes += _file(host, facts.of(host.name, "ceph.conf"), seen, wave)
    return changes


def minimal(seen: cluster.Cluster) -> str:
    """A client's ceph.conf; no line is indented: some parsers refuse that."""
    return (
        "# written by stackrbd from the cluster's monitor map\n"
        f"[global]\nfsid = {seen.fsid}\nmon_host = {' '.join(seen.monitors)}\n"
    )


_SETTING = re.compile(r"^\s*(fsid|mon[ _-]host)\s*=\s*(.*?)\s*$", re.M)


def _settings(text: str) -> dict[str, str]:
    return {re.sub("[ -]", "_", key): value for key, value in _SETTING.findall(text)}


def _addresses(text: str) -> set[str]:
    """IP addresses of a mon_host, whatever its notation."""
    return set(re.findall(r"\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\]", text))


def _file(host: Host, found: Any, seen: cluster.Cluster, wave: int) -> list[Change]:
    text = minimal(seen)
    if found is not None:
        settings = _settings(found["text"])
        if settings.get("fsid", seen.fsid).lower() != seen.fsid.lower():
            raise BadInput(
                f"{host.name}: {PATH}: expected cluster {seen.fsid}, found {settings['fsid']}; "
                "this host belongs to another cluster"
            )
        if _addresses(settings.get("mon_host", "")) == _addresses(" ".join(seen.monitors)):
            return _mode(host.name, found, wave)
        text = _with_monitors(found["text"], seen)
    units = tuple(unit for role, unit in UNITS.items() if role in host.roles)
    args = {
        "path": PATH,
        "content": [text],
        "mode": "0644",
        "owner": "root",
        "group": "root",
        "before": found["sha256"] if found else None,
    }
    diff = tuple(f"+ {line}" for line in text.splitlines())
    sentence = "monitors of the live monitor map" if found else "write, readable by QEMU"
    sign = "~" if found else "+"
    return [Change(host.name, PATH, sentence, sign, "write", args, wave, diff, restarts=units)]


def _with_monitors(text: str, seen: cluster.Cluster) -> str:
    line = f"mon_host = {' '.join(seen.monitors)}"
    replaced, count = re.subn(r"^\s*mon[ _-]host\s*=.*$", line, text, count=1, flags=re.M)
    if count:
        return replaced
    return re.sub(r"^\[global\].*$", lambda m: f"{m.group()}\n{line}", text, count=1, flags=re.M)


def _mode(host: str, found: Any, wave: int) -> list[Change]:
    if int(found["mode"], 8) & 0o044 == 0o044:
        return []
    args = {"path": PATH, "mode": "0644", "owner": found["owner"], "group": found["group"]}
    diff = (f"- mode {found['mode']}", "+ mode 0644")
    return [Change(host, PATH, "readable by QEMU", "~", "attributes", args, wave, diff)]
