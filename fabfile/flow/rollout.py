"""How many hosts at a time, and how many may fail: --forks, --serial, --max-fail.

Knows numbers, shares and waves; what is done on a host, and what failed there, is not
its matter.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from fabfile.core.contract import BadInput, Stop
from fabfile.flow.terminal import outcomes
from fabfile.model.site import Site
from fabfile.model.site_tables import MOST_FORKS, SERIAL, SHARE

Work = TypeVar("Work")
GATED = "1,10%,50%"
"""What --serial is where a gate is between batches and nothing is said."""


@dataclass(frozen=True)
class Rollout:
    """How a run goes over its hosts.

    forks: hosts at a time.  serial: the words of --serial, or ''.
    computes: the run's hosts that are taken in batches; spare: those of them that are
    nothing else, and may fail.  allowed: how many of these may.
    """

    forks: int
    serial: str
    computes: frozenset[str]
    spare: frozenset[str]
    allowed: int

    def batches(self, wave: Mapping[str, Work]) -> list[dict[str, Work]]:
        """The wave's hosts that are no computes, if any, then its computes by --serial."""
        others = {host: work for host, work in wave.items() if host not in self.computes}
        rest = [host for host in wave if host in self.computes]
        if not self.serial or not rest:
            return [dict(wave)] if wave else []
        found = [others] if others else []
        for size in sizes(self.serial, len(rest)):
            found.append({host: wave[host] for host in rest[:size]})
            rest = rest[size:]
        return found

    def tolerates(self, failed: Collection[str]) -> bool:
        """Whether a run goes on although these hosts failed."""
        return set(failed) <= self.spare and len(failed) <= self.allowed

    def raise_if_stopped(self, failed: Mapping[str, Stop]) -> None:
        """Raises the hosts' faults as one, where they are more than --max-fail allows."""
        if not failed or self.tolerates(failed):
            return
        allowed = self.allowed
        raise outcomes.worst(
            failed,
            f"--max-fail allows {allowed} computes to fail, and no other host" if allowed else "",
        )


def of(  # noqa: PLR0913, PLR0917 (flags)
    site: Site,
    limited: Collection[str],
    forks: str,
    serial: str,
    max_fail: str,
    gated: bool = False,
) -> Rollout:
    """The pace by the flags; where one is empty, by the site file.  Raises BadInput.

    gated: there is a gate between batches, so that without a word there are some.
    """
    here = [host for host in site.with_role("compute") if host.name in limited]
    serial = serial or site.rollout.serial or (GATED if gated else "")
    if serial:
        sizes(serial, 1)
    return Rollout(
        forks=_forks(forks) if forks else site.ssh.forks,
        serial=serial,
        computes=frozenset(host.name for host in here),
        spare=frozenset(host.name for host in here if set(host.roles) == {"compute"}),
        allowed=_allowed(max_fail or site.rollout.max_fail, len(here)),
    )


def sizes(serial: str, hosts: int) -> list[int]:
    """How many hosts each batch has; the last word repeats until there are no more.

    Raises BadInput for what is no number, share, or list of them.
    """
    if not re.fullmatch(SERIAL, serial):
        raise BadInput(
            "--serial: expected N or N% (at least 1), or a list such as 1,10%,50%, "
            f"found {serial!r}"
        )
    words = [word.strip() for word in serial.split(",")]
    found: list[int] = []
    while sum(found) < hosts:
        word = words[min(len(found), len(words) - 1)]
        found.append(min(max(1, _share(word, hosts)), hosts - sum(found)))
    return found


def _share(word: str, hosts: int) -> int:
    """So many of the hosts; of a share, whole hosts."""
    number = int(word.removesuffix("%"))
    return hosts * number // 100 if word.endswith("%") else number


def _allowed(word: str, hosts: int) -> int:
    if not re.fullmatch(SHARE, word):
        raise BadInput(f"--max-fail: expected N, or N% of the run's computes, found {word!r}")
    return _share(word, hosts)


def _forks(word: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", word) or not 1 <= int(word) <= MOST_FORKS:
        raise BadInput(f"--forks: expected 1 to {MOST_FORKS}, found {word!r}")
    return int(word)
