"""The Ceph client's packages, and the signed source that they come from.

Debian and Ubuntu; other families are refused in a sentence.  Source: procedure
step 3, with `signed-by` in place of apt-key.
"""

from __future__ import annotations

import re
from typing import Any

from fabfile.core.contract import BadInput, Change, Facts, Host, Read
from fabfile.resources.restarts import UNITS

SOURCE_LIST = "/etc/apt/sources.list.d/stackrbd-ceph.list"
CLIENT = ("ceph-common", "python3-rbd", "qemu-block-extra")


def client_hosts(site: Any) -> list[Host]:
    """The hosts that use the cluster."""
    return site.with_role(*UNITS)


def is_client(host: Host) -> bool:
    """Whether a host is one of them."""
    return bool(set(UNITS) & set(host.roles))


def wave_of(host: Host) -> int:
    """The wave in which a client host is worked on: that of its first service."""
    return min(UNITS[role][1] for role in host.roles if role in UNITS)


def packages_of(host: Host) -> list[str]:
    """What a host needs: qemu's rbd driver also where qemu-img talks to RBD."""
    return list(CLIENT)


def reads(site: Any, host: Host) -> list[Read]:
    """The system, the packages, and the source's two files."""
    if not is_client(host):
        return []
    found = [
        Read("host", "host"),
        Read("packages", "packages", {"names": packages_of(host)}),
        Read("kolla", "exists", {"paths": ["/etc/kolla"]}),
    ]
    if site.packages.source:
        found.append(Read("apt.source", "file", {"path": SOURCE_LIST}))
        found.append(Read("apt.key", "file", {"path": key_path(site)}))
    return found


def key_path(site: Any) -> str:
    """Where the source says that its key is.  Raises BadInput if it does not say."""
    found = re.search(r"signed-by=(/[A-Za-z0-9_./-]+)", site.packages.source)
    if not found:
        raise BadInput(
            subject="packages.source", expected="[signed-by=/path/to/key]", found="no path"
        )
    return found.group(1)


def supported(host: str, seen: Any) -> None:
    """Raises BadInput for a system that this tool does not know."""
    if not {seen["host"]["os"], *seen["host"]["like"]} & {"debian", "ubuntu"}:
        found = seen["host"]["name"]
        raise BadInput(
            f"{host}: expected Debian or Ubuntu, found {found}",
            host=host,
            subject="system",
            expected="Debian or Ubuntu",
            found=found,
        )
    if seen["kolla"]["/etc/kolla"]:
        raise BadInput(
            f"{host}: /etc/kolla is there: containers by Kolla are not supported yet",
            host=host,
            subject="/etc/kolla",
            found="it is there",
            why="containers by Kolla are not supported yet",
        )


def plan(site: Any, facts: Facts) -> list[Change]:
    """Key and source where the site names one, then what is not installed."""
    changes: list[Change] = []
    for host in client_hosts(site):
        seen = facts.hosts.get(host.name)
        if seen is None:
            continue
        supported(host.name, seen)
        wave = wave_of(host)
        missing = [name for name in packages_of(host) if seen["packages"][name] is None]
        if not missing or not site.packages.install:
            continue
        if site.packages.source:
            changes += _source(site, facts, host.name, seen, wave)
        source = SOURCE_LIST if site.packages.source else None
        changes.append(
            Change(
                host.name,
                "packages",
                "install " + " ".join(missing),
                "+",
                "install",
                {"packages": missing, "source": source},
                wave,
                kind="packages",
                subject=" ".join(missing),
            )
        )
    return changes


def _source(site: Any, facts: Facts, host: str, seen: Any, wave: int) -> list[Change]:
    texts = {
        key_path(site): ("apt.key", facts.known["apt.key"]),
        SOURCE_LIST: ("apt.source", site.packages.source + "\n"),
    }
    changes = []
    for path, (read, text) in texts.items():
        old = seen[read]["sha256"] if seen[read] else None
        args = {"path": path, "content": [text], "mode": "0644", "owner": "root", "group": "root"}
        sentence = "the source's key" if read == "apt.key" else "the source of the Ceph client"
        sign = "~" if old else "+"
        changes.append(
            Change(
                host,
                path,
                sentence,
                sign,
                "write",
                {**args, "before": old},
                wave,
                kind="source",
                subject=path,
            )
        )
    return changes
