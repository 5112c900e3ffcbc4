"""Which hosts a run is about, and whether they are fit for it."""

from __future__ import annotations

import difflib
import fnmatch
import random
import re
from collections.abc import Mapping, Sequence

from fabfile.core import journal
from fabfile.core.contract import INV, BadInput, Json, Unreachable
from fabfile.model import sudo_log
from fabfile.model.site import Site
from fabfile.model.site_tables import SHARE

FAILED = "@failed"
"""In --limit: the hosts that the site's last run left behind."""


def resolved(site: Site, limit: str) -> str:
    """A --limit with names in the place of @failed.

    Raises BadInput where no run is recorded that says who failed, or where nobody did.
    """
    words = []
    for word in (w.strip() for w in limit.split(",")):
        if word.removeprefix("!") == FAILED:
            words += [word.replace(FAILED, host) for host in _failed(site)]
        else:
            words.append(word)
    return ",".join(words)


def _failed(site: Site) -> list[str]:
    for run, events in journal.runs():
        failed = events[-1].get("failed")
        if events[0].get("site") != site.name:
            continue
        journal.refuse_unread(run, events)
        if failed is None:
            continue
        found = [host for host in site.hosts if host in failed]
        if not found:
            raise BadInput(f"--limit {FAILED}: run {run}, the last here, left no host behind")
        return found
    raise BadInput(
        f"--limit {FAILED}: expected a run on site {site.name!r} that says how its hosts fared; "
        f"none is recorded here (see {INV} history): name the hosts"
    )


def limited(site: Site, limit: str) -> set[str]:
    """The hosts of --limit: names, globs and roles by commas, '!' takes away.

    Raises BadInput, with the nearest name, for a word that fits no host.
    """
    if not limit:
        return set(site.hosts)
    words = [w.strip() for w in limit.split(",") if w.strip()]
    found: set[str] = set() if any(not w.startswith("!") for w in words) else set(site.hosts)
    for word in words:
        hits = _fitting(site, word.removeprefix("!"))
        found = found - hits if word.startswith("!") else found | hits
    if not found or not words:
        raise BadInput(f"--limit: {limit!r} leaves no host")
    return found


def _fitting(site: Site, pattern: str) -> set[str]:
    hits = {
        h.name
        for h in site.all_hosts()
        if fnmatch.fnmatchcase(h.name, pattern) or pattern in h.roles
    }
    if not hits:
        near = difflib.get_close_matches(pattern, list(site.hosts), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        known = ", ".join(site.hosts)
        raise BadInput(f"--limit: {pattern!r} is no host or role{hint}; hosts are {known}")
    return hits


def sampled(names: Sequence[str], word: str, seed: str) -> list[str]:
    """So many of the names (N, or N% of them, at least one), in their order; '' is all.

    seed: the same one chooses the same.  Raises BadInput.
    """
    if not word:
        return list(names)
    if not re.fullmatch(SHARE, word) or int(word.removesuffix("%")) == 0:
        raise BadInput(f"--sample: expected N, or N% of the computes (at least 1), found {word!r}")
    number = int(word.removesuffix("%"))
    size = len(names) * number // 100 if word.endswith("%") else number
    # By chance, so that a nightly sample comes round to all.
    chosen = set(random.Random(seed).sample(names, min(max(1, size), len(names))))  # noqa: S311
    return [name for name in names if name in chosen]


def refuse_where_input_is_kept(answers: Mapping[str, Mapping[str, Json]]) -> None:
    """Raises Unreachable where sudo would write keys into its log, or may: they go to a host on
    the agent's standard input, and come from one on its standard output."""
    kept: dict[str, list[str]] = {}
    for name, seen in answers.items():
        if fault := sudo_log.fault(seen.get("host") or {}):
            kept.setdefault(f"{fault[0]}; {fault[1]}", []).append(name)
    if kept:
        raise Unreachable("\n".join(f"{', '.join(n)}: {why}" for why, n in kept.items()))


def refuse_one_host_under_two_names(answers: Mapping[str, Mapping[str, Json]]) -> None:
    """Raises BadInput where two hosts of the site have one machine-id and one boot."""
    names: dict[tuple[str, str], str] = {}
    for name, seen in answers.items():
        if "host" not in seen or not seen["host"].get("boot_id"):
            continue
        machine = (seen["host"]["machine_id"], seen["host"]["boot_id"])
        if machine[0] and machine in names:
            raise BadInput(
                subject="hosts",
                found=f"{names[machine]} and {name} are one machine (machine-id {machine[0]})",
                advice="give it one entry, with all its roles",
            )
        names[machine] = name
