"""Findings about the machines: clocks, room, sudo; and about the operator's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from fabfile.core.contract import Json, Seen, typed
from fabfile.doctor.finding import (
    ERROR,
    HERE,
    NOTE,
    WARNING,
    Finding,
    Step,
    here,
    root,
    words,
)
from fabfile.doctor.observation import Looked
from fabfile.model import sudo_log
from fabfile.model.platforms import Platform
from fabfile.model.site import Site
from fabfile.resources import guest_kernel

SKEW, BAD_SKEW = 5.0, 60.0
"""Seconds: cephx and Keystone bear some; after 60 Nova and Cinder call a service down."""
DOUBT = 2.0
MiB = 1024 * 1024
LITTLE, NONE = 512 * MiB, 32 * MiB
FEW_INODES = 1000


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them."""
    yield from _clocks(site, looked)
    for host in site.all_hosts():
        seen = looked.facts.hosts.get(host.name, {})
        yield from _disks(host.name, seen.get("disk", {}))
        yield from _sudo(host.name, seen)
    yield from _here(looked)


# Clocks


def doubtful(site: Site, clocks: Json) -> set[str]:
    """Hosts whose clock may be off: worth a second, closer look, the reference among them."""
    reference = _reference(site, clocks)
    if reference is None:
        return set()
    # A host's least offset is sharp: its answer was on the way for a moment only.
    off = {h for h, (least, _) in clocks.items() if abs(least - clocks[reference][0]) > DOUBT}
    if abs(clocks[reference][0]) > DOUBT:
        off.add(reference)
    return off | {reference} if off else set()


def _reference(site: Site, clocks: Json) -> str | None:
    """A monitor's host: its clock is the one that cephx goes by."""
    return next((h.name for h in site.with_role("ceph") if h.name in clocks), None)


def set_clock(platform: Platform) -> Step:
    """Sets a host's clock by whichever program keeps it."""
    restart = platform.by_hand("restart", *platform.daemons["clock"])
    return root(replace(restart, otherwise=platform.by_hand("step-clock")))


def _clocks(site: Site, looked: Looked) -> Iterator[Finding]:
    reference = _reference(site, looked.clocks)
    if reference is None:
        return
    low, high = looked.clocks[reference]
    clocks = {**looked.clocks, HERE: (0.0, 0.0)}
    for host, (least, most) in clocks.items():
        if host == reference:
            continue
        surely = max(least - high, low - most)
        if surely <= SKEW:
            continue
        about = (least + most - low - high) / 2
        yield Finding(
            ERROR if surely > BAD_SKEW else WARNING,
            "clock",
            (host,),
            "the clock",
            f"about {about:+.0f} s against {reference}",
            "the same time on every host",
            "cephx tickets and Keystone tokens are made for a time; services that are 60 s off "
            "count as down",
            (
                set_clock(
                    site.cluster.platform if host == HERE else site.platform_of(site.host(host))
                ),
            ),
        )


# Room and sudo


def _disks(host: str, disks: dict[str, list[int]]) -> Iterator[Finding]:
    said = set()
    for path, (free, size, inodes_free, inodes) in disks.items():
        if (size, inodes, free) in said:
            continue
        said.add((size, inodes, free))
        few = inodes and inodes_free < FEW_INODES
        if free >= LITTLE and not few:
            continue
        bad = free < NONE or few
        found = f"{inodes_free} inodes" if few else f"{free // MiB} MiB free"
        yield Finding(
            ERROR if bad else WARNING,
            "disk",
            (host,),
            path,
            found,
            f"{LITTLE // MiB} MiB free",
            "files cannot be written whole; logs and databases stop",
            (root(typed("du", "-xhd1", path)), words("and make room")),
        )


def _sudo(host: str, seen: Seen) -> Iterator[Finding]:
    if fault := sudo_log.fault(seen.get("host") or {}):
        yield Finding(
            ERROR,
            "sudo.log",
            (host,),
            "sudo",
            fault[0],
            "python3 without a log of what it reads and says",
            "keys pass through the agent's standard input and output",
            (words(fault[1]),),
        )


# Here


def _here(looked: Looked) -> Iterator[Finding]:
    told = looked.here
    stop = guest_kernel.refusal(told.get("guest", ()), looked.facts.release.get("nova", {}))
    if stop:
        mend = (words(stop.advice),)
        about = (stop.subject, stop.found, stop.expected, stop.why)
        yield Finding(WARNING, "here.guest", (HERE,), *about, mend)
    for name, least in (("fabric", (3, 2)), ("invoke", (2, 2))):
        version = told.get(name, "")
        if version and tuple(int(n) for n in re.findall(r"\d+", version)[:2]) < least:
            yield Finding(
                ERROR,
                "here.packages",
                (HERE,),
                name,
                version,
                ".".join(map(str, least)),
                "plain `pip install` brought it in through patchwork's metadata",
                (here("make", "install"),),
            )
    for path, mode in told.get("private", {}).items():
        if mode & 0o077:
            yield Finding(
                WARNING,
                "here.private",
                (HERE,),
                path,
                f"mode {mode:04o}",
                "mode 0600",
                "others on this machine can read the cloud's password",
                (here("chmod", "600", path),),
            )
    for line in told.get("known_hosts", ()):
        yield Finding(
            NOTE,
            "here.known_hosts",
            (HERE,),
            "known_hosts",
            line,
            "lines that are keys",
            "the line counts for nothing",
            (words("correct it or take it out"),),
        )
