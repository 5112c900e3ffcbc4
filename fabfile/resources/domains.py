"""Running guests as libvirt has them: the RBD disks in a domain's XML.

Knows what is kept of the XML, and that nothing else of it leaves the host; judges nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fabfile.core.contract import Json, Read
from fabfile.model.platforms import Platform

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_DISK = (
    r"<disk |<auth username='[^']*'|<secret type='ceph'[^>]*>|<source protocol='rbd'[^>]*"
    r"|<host name='[^']*' port='[^']*'"
)
"""What tells a disk's identity and monitors; the rest stays there."""
READ = "domains"


def read(platform: Platform, most: int) -> Read:
    """The running domains of a compute, so many of them, by their instances' UUIDs."""
    kept = {"argv": platform.command("virsh", "dumpxml", "{}"), "ok": [0, 1], "only": _DISK}
    listed = platform.question("virsh", "list", "--uuid")
    return Read(READ, "each", {**listed, "match": _UUID, "most": most, "then": {"disks": kept}})


@dataclass(frozen=True)
class Disk:
    """An RBD disk of a running guest: whose key it uses, and the monitors it knows."""

    image: str
    user: str
    uuid: str
    monitors: tuple[str, ...]


def disks(text: str) -> list[Disk]:
    """The RBD disks in what was kept of a domain's XML."""
    found = []
    for part in text.split("<disk ")[1:]:
        source = re.search(r"<source protocol='rbd'[^>\n]*? name='([^']*)'", part)
        if source:
            user = re.search(r"username='([^']*)'", part)
            uuid = re.search(r"<secret type='ceph'[^>]*uuid='([^']*)'", part)
            found.append(
                Disk(
                    source.group(1),
                    user.group(1) if user else "",
                    uuid.group(1).lower() if uuid else "",
                    tuple(re.findall(r"<host name='([^']*)'", part)),
                )
            )
    return found


def running(hosts: Mapping[str, Json]) -> Iterator[tuple[str, str, Disk]]:
    """(compute, domain, disk) of every RBD disk that was seen."""
    for host, seen in hosts.items():
        for domain, answers in (seen.get(READ) or {}).items():
            for disk in disks(answers["disks"]["out"]):
                yield host, domain, disk
