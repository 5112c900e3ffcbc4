"""/etc/ceph and ceph.conf on the hosts that use the cluster.

Written from the live monitor map, readable by QEMU and every service.  A file of
another cluster is refused; of this one, only a stale monitor list is replaced.
Source: procedure steps 4 and 5.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fabfile.core.contract import Change, Facts, Host, Json, Read, Refused, Seen, typed
from fabfile.model import services
from fabfile.model.ceph_releases import MSGR2
from fabfile.model.deployment import Binding
from fabfile.model.phases import Leaving, Phase
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import by_cluster, by_place, client_packages, cluster, librados
from fabfile.resources.client_packages import client_hosts, is_client
from fabfile.resources.resource import Leaves, Resource, Stays

CREDENTIALS = [
    r"^[ \t]*key[ \t]*=[ \t]*[\"']?([^\"'\s;#\\]+)",
    r"(?i)^(?![ \t]*key[ \t]*=[ \t]*[\"']?sha256:)[^=\n]*"
    r"(?:key(?!ring|stone|file[ \t]*=)|secret|passw|token)[^=\n]*=[ \t]*"
    r"((?!\\$)\S[^\n]*?)(?=\\?$)",
    r"(?<=\\\n)[ \t]*((?![\d.,:;/\[\] \t]*\\?$)\S[^\n]*?)(?=\\?$)",
    r"(?<!client\.)(A[Qg][A-D][A-Za-z0-9+/]{6,}={0,2})",
]
"""Values that stay on their host: a client's key, and what a gateway there logs in with.

A value that goes on in the next line does so too, unless it is of addresses alone.  A
client's `key` leaves as the fingerprint of itself, so that it can be compared.
"""


LIBRARY = "librados2"
DATA_POOL = "rbd_default_data_pool"
KEYRING = "keyring"
_OF_A_KIND = re.compile(r"\b(?:v[12]|any):|:3300\b", re.I)
"""What a librados before Nautilus cannot read in mon_host, or not reach."""


def path_of(site: Site, host: Host) -> str:
    """Where a host has the file."""
    return site.platform_of(host).ceph["conf"]


def read_of(site: Site, host: Host) -> Read:
    """The file, without others' credentials."""
    args = {"path": path_of(site, host), "text": True, "mask": CREDENTIALS}
    return Read("ceph.conf", "file", args)


def reads(site: Site, host: Host) -> list[Read]:
    """The monitor map, and the folder and file on each client host."""
    found = cluster.reads(site, host)
    if is_client(host) and "ceph" not in host.roles:
        folder = site.platform_of(host).ceph["folder"]
        found.append(Read("ceph.folder", "file", {"path": folder, "kind": "directory"}))
        found.append(read_of(site, host))
        found.append(Read("packages", "packages", {"names": [LIBRARY]}))
        found.append(Read("host", "host"))
    return found


def plan(site: Site, facts: Facts) -> list[Change]:
    """The folder, the file, its monitors and its mode."""
    seen = cluster.seen(site, facts)
    changes: list[Change] = []
    for host in client_hosts(site):
        if host.name not in facts.hosts or "ceph" in host.roles:
            continue
        phase, folder = services.first_phase(host), site.platform_of(host).ceph["folder"]
        if facts.of(host.name, "ceph.folder") is None:
            args = {"path": folder, "mode": "0755", "owner": "root", "group": "root"}
            changes.append(
                Change(
                    host.name,
                    folder,
                    "make",
                    "+",
                    "folder",
                    args,
                    phase,
                    kind="folder",
                    subject=folder,
                )
            )
        monitors = _monitors(host, facts.hosts[host.name], seen)
        found = facts.of(host.name, "ceph.conf")
        changes += _file(site, host, found, monitors, of_clients(site, site.bindings_of(host)))
    return changes


@dataclass(frozen=True)
class Monitors:
    """The cluster's monitors as a host's librados can read them.

    addresses: as mon_host has them; older: the library there that knows v1 addresses alone.
    """

    cluster: cluster.Cluster
    addresses: tuple[str, ...]
    older: str = ""

    @property
    def setting(self) -> str:
        """The line of ceph.conf."""
        return f"mon_host = {' '.join(self.addresses)}\n"

    def are(self, value: str) -> bool:
        """Whether a mon_host names them, in whatever notation this librados knows."""
        if self.older and _OF_A_KIND.search(value):
            return False
        return cluster.addresses(value) == cluster.addresses(self.setting)


def older_client(seen: Seen) -> str:
    """The librados of a host that cannot read addresses of v2; '' for none."""
    known = "packages" in seen and "host" in seen
    return client_packages.older_client(seen, LIBRARY, MSGR2) if known else ""


def unreadable(seen: Seen) -> bool:
    """Whether a host's ceph.conf names monitors in a way that its librados cannot read."""
    text = (seen.get("ceph.conf") or {}).get("text", "")
    named = [line.value for line in librados.lines(text) if line.key == "mon_host"]
    return bool(older_client(seen)) and any(map(_OF_A_KIND.search, named))


def _monitors(host: Host, seen: Seen, live: cluster.Cluster) -> Monitors:
    """Raises Refused where a host's librados can reach no monitor."""
    older = older_client(seen)
    if older and not live.older:
        raise Refused(
            host=host.name,
            subject=LIBRARY,
            expected=f"{MSGR2.since()} or later",
            found=older,
            why="the monitors have addresses of v2 alone, which it cannot read",
            advice="upgrade the Ceph client there, or give the monitors addresses of v1 too "
            "(ceph mon set-addrs)",
        )
    return Monitors(live, live.older if older else live.monitors, older)


def minimal(monitors: Monitors) -> str:
    """A client's ceph.conf; no line is indented: some parsers refuse that.

    Of a cluster that is supplied, the one that was handed over.
    """
    if given := monitors.cluster.conf:
        return _with_monitors(given if given.endswith("\n") else f"{given}\n", monitors)
    return (
        "# written by stackrbd from the cluster's monitor map\n"
        f"[global]\nfsid = {monitors.cluster.fsid}\n{monitors.setting}"
    )


def data_pools(site: Site, bindings: Sequence[Binding]) -> dict[str, str]:
    """{client: the pool in which RBD keeps the data of what it makes}, of a host's backends."""
    sections = (b.section for b in bindings if b.service == CINDER_VOLUME and b.section)
    backends = map(site.cinder.of_section, sections)
    return {one.client: one.data_pool for one in backends if one.data_pool}


def of_clients(site: Site, bindings: Sequence[Binding]) -> list[tuple[str, str, str]]:
    """(client, option, value) of what a host's clients have in sections of their own.

    bindings: the host's, of the cluster of a part of a site.

    A cluster beside the site's own: where its keyrings are, for a program that does not know by
    what name to look for them (an older rados.py calls every cluster ceph).
    """
    found = [(client, DATA_POOL, pool) for client, pool in data_pools(site, bindings).items()]
    if site.cluster.tag:
        found += [(b.client, KEYRING, b.named_keyring) for b in bindings if b.keyring]
    return list(dict.fromkeys(found))


def _with_options(text: str, options: Sequence[tuple[str, str, str]]) -> str:
    """The text with each client's options, in its own section."""
    for client, option, value in options:
        found = librados.setting(text, client, option)
        if found and (found[1] == value or option == KEYRING):
            continue  # where another keyring is named, keyrings says what becomes of that
        own, line = f"client.{client}", f"{option} = {value}\n"
        heading = re.search(rf"^[ \t]*\[{re.escape(own)}\].*$\n?", text, re.M)
        if found and found[0] == own:
            text = "".join(
                line if (one.section, one.key) == (own, option) else one.text
                for one in librados.lines(text)
            )
        elif heading:
            before = text[: heading.end()].rstrip("\n")
            text = f"{before}\n{line}{text[heading.end() :]}"
        else:
            text = f"{text.rstrip(chr(10))}\n\n[{own}]\n{line}"
    return text


def text_of(
    host: str, path: str, found: Json, seen: Monitors, options: Sequence[tuple[str, str, str]]
) -> str:
    """What a client's file is to hold; found: the one that is there, which keeps what it says.

    Raises Refused for the file of another cluster.
    """
    if found is None or not found["text"].strip():
        return _with_options(minimal(seen), options)
    _refuse_another_cluster(host, path, found["text"], seen.cluster)
    return _with_options(_with_monitors(found["text"], seen), options)


def _file(
    site: Site,
    host: Host,
    found: Json,
    seen: Monitors,
    options: Sequence[tuple[str, str, str]],
) -> list[Change]:
    path, phase, platform = path_of(site, host), services.first_phase(host), site.platform_of(host)
    text = text_of(host.name, path, found, seen, options)
    if found is not None and text == found["text"]:
        return _mode(host.name, path, found, phase, platform.ceph["mode"])
    units = tuple(platform.unit(s) for s in services.on(host) if s.reads_conf)
    args = {
        "path": path,
        "content": parts(found["text"] if found else "", text),
        "mode": platform.ceph["mode"],
        "owner": "root",
        "group": "root",
        "before": found["sha256"] if found else None,
    }
    diff = changed(found["text"] if found else "", text)
    known = "at their addresses of v1: this client knows no others" if seen.older else ""
    sentence = (
        f"monitors of the live monitor map {known}".strip() if found else "write, readable by QEMU"
    )
    if found and found["text"].strip() and _with_monitors(found["text"], seen) == found["text"]:
        told = (f"client.{c} in {value}" for c, option, value in options if option == DATA_POOL)
        sentence = f"where RBD keeps the data of new volumes: {', '.join(told)}"
        if site.cluster.tag:
            sentence = "what its clients have of their own"
    sign = "~" if found else "+"
    return [
        Change(
            host.name,
            path,
            sentence,
            sign,
            "write",
            args,
            phase,
            diff,
            restarts=units,
            kind="ceph_conf",
            subject=path,
        )
    ]


_MADE = "# written by stackrbd"


def leaving(site: Site, rest: Site, facts: Facts) -> Leaves:
    """What clients that go have in ceph.conf; the file, where the host uses the cluster no more."""
    found: list[Change | Stays] = []
    for host in client_hosts(site):
        seen = facts.hosts.get(host.name, {}).get("ceph.conf")
        if not seen or "ceph" in host.roles:
            continue
        path = path_of(site, host)
        if site.cluster.tag and not (host.name in rest.hosts and rest.bindings_of(host)):
            if not seen["text"].startswith(_MADE):
                found.append(Stays(host.name, path, "it is not of our making alone"))
                continue
            found.append(_leaves(host.name, path, "take away", seen, None))
            continue
        mine = of_clients(rest, rest.bindings_of(host)) if host.name in rest.hosts else []
        gone = [one for one in of_clients(site, site.bindings_of(host)) if one not in mine]
        text = _without_options(seen["text"], gone)
        if text != seen["text"]:
            said = ", ".join(f"client.{client}" for client, _, _ in gone)
            found.append(_leaves(host.name, path, f"without what {said} has there", seen, text))
    return found


def _leaves(host: str, path: str, sentence: str, seen: Json, text: str | None) -> Change:
    """Of a file that a host may still read, or that it reads no more (None)."""
    args: dict[str, Json] = {"path": path, "before": seen["sha256"]}
    if text is not None:
        args |= {name: seen[name] for name in ("mode", "owner", "group")}
        args["content"] = parts(seen["text"], text)
    return Change(
        host,
        path,
        sentence,
        "-" if text is None else "~",
        "remove" if text is None else "write",
        args,
        Leaving.KEYS,
        changed(seen["text"], text or ""),
        kind="ceph_conf",
        subject=path,
    )


def _without_options(text: str, options: Sequence[tuple[str, str, str]]) -> str:
    """The text without these options of clients, and without sections that then say nothing."""
    for client, option, value in options:
        own = f"client.{client}"
        text = "".join(
            one.text
            for one in librados.lines(text)
            if (one.section, one.key, one.value) != (own, option, value)
        )
        empty = rf"(?:(?<!\\\n)^[ \t]*\n)?^[ \t]*\[{re.escape(own)}\][ \t]*\n(?=\s*(?:\[|\Z))"
        text = re.sub(empty, "", text, flags=re.M)
    return text


def _own_reads(site: Site, host: Host) -> list[Read]:
    """The file of each Ceph host."""
    found = cluster.reads(site, host)
    if "ceph" in host.roles:
        found.append(read_of(site, host))
    return found


def _own_plan(site: Site, facts: Facts) -> list[Change]:
    """Brings every mon_host that is out of date up to date."""
    seen = cluster.seen(site, facts)
    changes = []
    for host in site.with_role("ceph"):
        found = facts.hosts.get(host.name, {}).get("ceph.conf")
        if not found or not any(line.key == "mon_host" for line in librados.lines(found["text"])):
            continue
        _refuse_another_cluster(host.name, path_of(site, host), found["text"], seen)
        text = _replaced(found["text"], Monitors(seen, seen.monitors))
        if text != found["text"]:
            changes.append(_monitors_alone(host.name, path_of(site, host), found, text, seen))
    return changes


def _monitors_alone(host: str, path: str, found: Json, text: str, seen: cluster.Cluster) -> Change:
    args = {name: found[name] for name in ("mode", "owner", "group")}
    content = parts(found["text"], text)
    args |= {"path": path, "content": content, "before": found["sha256"]}
    diff = (f"+ mon_host = {' '.join(seen.monitors)}",)
    return Change(
        host,
        path,
        "monitors of the live monitor map",
        "~",
        "write",
        args,
        Phase.CLUSTER,
        diff,
        kind="ceph_conf",
        subject=path,
    )


_MASKED = re.compile(r"sha256:[0-9a-f]{64}")


def parts(old: str, new: str) -> list[Any]:
    """The new text as the host puts it together: lines that stay never leave it.

    So does a last line that has no end, where something comes behind it: it may be masked.
    """
    before, after = (re.findall("[^\n]*\n|[^\n]+", text) for text in (old, new))
    unended = old != "" and not old.endswith("\n")
    mine, others = (_ended(lines) if unended else lines for lines in (before, after))
    found: list[Any] = []
    for kind, i1, i2, j1, j2 in _blocks(mine, others):
        if kind == "equal":
            keep(found, i1, i2)
        else:
            found.append("".join(after[j1:j2]))
        if kind == "equal" and unended and i2 == len(before) and after[j2 - 1].endswith("\n"):
            found.append("\n")
    return [part for part in found if part]


def keep(found: list[Any], first: int, end: int) -> None:
    """Adds lines of before to parts(): to the last one, where they follow it."""
    if found and isinstance(found[-1], dict) and found[-1]["lines"][1] == first:
        found[-1]["lines"][1] = end
    else:
        found.append({"lines": [first, end]})


def _blocks(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """As difflib's opcodes; a line with what is masked is its own of before, whatever is alike.

    difflib finds the longest block that is alike, blank lines too, and takes what it passed over
    for new: a fingerprint would be written in the place of a password.
    """
    i = j = 0
    for at, line in [*enumerate(new), (len(new), "")]:
        if at < len(new) and not (_MASKED.search(line) and line in old[i:]):
            continue
        there = old.index(line, i) if at < len(new) else len(old)
        between = difflib.SequenceMatcher(None, old[i:there], new[j:at], False)
        for kind, i1, i2, j1, j2 in between.get_opcodes():
            yield kind, i + i1, i + i2, j + j1, j + j2
        if at < len(new):
            yield "equal", there, there + 1, at, at + 1
        i, j = there + 1, at + 1


def _ended(lines: Sequence[str]) -> list[str]:
    return [line if line.endswith("\n") else f"{line}\n" for line in lines]


def changed(old: str, new: str) -> tuple[str, ...]:
    """The lines that are to go and to come."""
    lines = difflib.ndiff(old.splitlines(), new.splitlines())
    return tuple(line for line in lines if line[0] in "+-")


def _refuse_another_cluster(host: str, path: str, text: str, seen: cluster.Cluster) -> None:
    for line in librados.lines(text):
        if line.key == "fsid" and line.value.lower() not in ("", seen.fsid.lower()):
            raise Refused(
                host=host,
                subject=path,
                expected=f"cluster {seen.fsid}",
                found=line.value,
                advice="this host belongs to another cluster",
                mend=[typed("mv", path, f"{path}.of-another-cluster")],
            )


def _with_monitors(text: str, seen: Monitors) -> str:
    """The text with the live monitors wherever it names monitors, and in [global].

    It is the very same text where they are those already, in whatever notation.
    """
    text = _replaced(text, seen)
    if any(line.key == "mon_host" and line.section == "global" for line in librados.lines(text)):
        return text
    setting = seen.setting
    heading = re.search(r"^[ \t]*\[global\].*$\n?", text, re.M)
    if not heading:
        return f"[global]\n{setting}{text}"
    before, after = text[: heading.end()].rstrip("\n"), text[heading.end() :]
    return f"{before}\n{setting}{after}"


def _replaced(text: str, seen: Monitors) -> str:
    """The text with the live monitors wherever it names others."""
    return "".join(
        seen.setting if line.key == "mon_host" and not seen.are(line.value) else line.text
        for line in librados.lines(text)
    )


def _mode(host: str, path: str, found: Json, phase: Phase, mode: str) -> list[Change]:
    readers = int(mode, 8) & 0o044
    if int(found["mode"], 8) & readers == readers:
        return []
    args = {"path": path, "mode": mode, "owner": found["owner"], "group": found["group"]}
    diff = (f"- mode {found['mode']}", f"+ mode {mode}")
    return [
        Change(
            host,
            path,
            "readable by QEMU",
            "~",
            "attributes",
            args,
            phase,
            diff,
            kind="ceph_conf",
            subject=path,
        )
    ]


RESOURCE = by_cluster.each(by_place.each(Resource("hosts.conf", reads, plan, leaving=leaving)))
of_the_cluster = by_cluster.each(Resource("ceph.mons", _own_reads, _own_plan), alters=True)
"""The cluster's own file on its own hosts: the monitors that it names, and nothing else.

Whoever deployed the cluster owns the rest, and a file that names no monitors stays as it is.
"""
