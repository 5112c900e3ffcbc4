"""What the answers settle for a site as a whole: the secrets' UUIDs, the source's key, the release.

One way for those who act, whom a doubt stops, and for those who look, who collect doubts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from fabfile.core import own_files, site_file
from fabfile.core.contract import BadInput, Facts, Json, Stop
from fabfile.flow import limit
from fabfile.model import releases
from fabfile.model.site import Site
from fabfile.resources import by_cluster, secret_uuid

About = Callable[[str], AbstractContextManager[None]]
"""What a doubt of that code is made of, which the block inside raises as a Stop."""


def strictly(code: str) -> AbstractContextManager[None]:
    """A doubt stops: for those who act."""
    return contextlib.nullcontext()


@dataclass(frozen=True)
class Doubts:
    """A doubt is kept, as (code, why): for those who look."""

    kept: list[tuple[str, Stop]] = field(default_factory=list)

    @contextlib.contextmanager
    def about(self, code: str) -> Iterator[None]:
        """Keeps the Stop that the block raises."""
        try:
            yield
        except Stop as stop:
            self.kept.append((code, stop))


@dataclass
class Settled:
    """known: {'uuid.CLIENT', 'packages.key'} as far as it is beyond doubt; the release, its data.

    other: that the hosts have another release than the one that counts.
    """

    known: dict[str, str] = field(default_factory=dict)
    release: str = ""
    table: Mapping[str, Json] = field(default_factory=dict)
    other: releases.Other | None = None


def settle(site: Site, facts: Facts, about: About = strictly) -> Settled:
    """What these answers settle; nothing is settled that no host was asked for.

    Raises Stop where about does not keep it.
    """
    found = Settled()
    with about("hosts.one"):
        limit.refuse_one_host_under_two_names(facts.hosts)
    with about("here.key"):
        found.known |= {"packages.key": text_of(site.packages.key)} if site.packages.key else {}
    with about("identity"):
        found.known |= secret_uuid.resolve(site, facts, _answered(site, facts))
    with about("release"):
        if releases.asked(facts) or site.deployer:
            chosen = releases.choose(site, facts, site_file.releases())
            found.release, found.table, found.other = chosen.name, chosen.table, chosen.other
        if site.written_by:
            found.table = {**found.table, "form": site.written_by.form(found.release)}
    return found


def _answered(site: Site, facts: Facts) -> list[Site]:
    """The parts whose cluster answered, where the places that hold a UUID were asked for."""
    if not any(secret_uuid.IDS & set(seen) for seen in facts.hosts.values()):
        return []
    return [
        part
        for part in site.parts
        if {read.id for read in by_cluster.reads(part, part.admin, secret_uuid.reads)}
        <= set(facts.hosts.get(part.admin.name, {}))
    ]


def text_of(path: str) -> str:
    """The text of a source's key.  Raises BadInput."""
    try:
        file = site_file.expanded(path, "packages.key")
        return own_files.read(file, "packages.key").decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"packages.key: {path}: expected an ASCII-armoured key: {error}",
            subject=f"packages.key: {path}",
            expected="an ASCII-armoured key",
            found=str(error),
        ) from None
