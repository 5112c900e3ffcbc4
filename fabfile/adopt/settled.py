"""A draft brought to where its plan is empty, as far as the site file has words for that.

What an integration would improve on a cloud that works is left as it is, each with a remark that
says what it would be; the plan is the resources' own, of what the hosts answered.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fabfile.adopt.clusters import At
from fabfile.adopt.draft import Draft, Remark
from fabfile.core.contract import CLOUD, BadInput, Change, Json
from fabfile.doctor import pending_plan
from fabfile.doctor.observation import Looked
from fabfile.model import site as sites
from fabfile.model.site import Site
from fabfile.resources import clone_format
from fabfile.resources.service_config import RECOMMENDED

Tables = Sequence[Mapping[str, Json]]


@dataclass(frozen=True)
class Settled:
    """draft: the last one; changes: what its plan would still do; refused: what it would not."""

    draft: Draft
    changes: tuple[Change, ...] = ()
    refused: tuple[str, ...] = ()


def loadable(draft: Draft, tables: Tables) -> Draft:
    """The draft, without what the site file refuses in the end: then no service is described."""
    fault = fault_of(draft, tables)
    if not fault:
        return draft
    raw = copy.deepcopy(draft.raw)
    for key in ("glance", "cinder", "nova", "pools", "clients", "clusters", "platform_changes"):
        raw.pop(key, None)
    admin = next(name for name, table in raw["hosts"].items() if "ceph" in table["roles"])
    gone = {name: (t, "its services could not be described") for name, t in raw["hosts"].items()}
    of_ceph = {**raw["hosts"][admin], "roles": ["ceph"]}
    of_ceph.pop("cluster", None)
    hosts = {admin: of_ceph}
    text = f"its services could not be described: {fault}"
    return Draft(
        {**raw, "hosts": hosts, "release": "auto"},
        (*draft.remarks, Remark(("hosts",), text)),
        {**draft.left_out, **{name: one for name, one in gone.items() if name != admin}},
    )


def fault_of(draft: Draft, tables: Tables) -> str:
    """Why the site file cannot be read; '' where it can."""
    try:
        sites.check(draft.raw, "site", tables)
    except BadInput as error:
        return str(error)
    return ""


def settled(draft: Draft, looked: Looked, tables: Tables) -> Settled:
    """looked: at the site of the draft.  Of a cloud that is not connected, nothing is altered."""
    for leave in _LEFT_AS_IS if draft.connected else ():
        plan = _planned(draft, looked, tables)
        further = leave(draft, plan.changes)
        if further is not draft and not fault_of(further, tables):
            after = _planned(further, looked, tables)
            if _size(after) < _size(plan):
                draft = replace(further, remarks=(*further.remarks, *_advised(plan, after)))
    return _planned(draft, looked, tables)


def _size(one: Settled) -> tuple[int, int]:
    """How much it would do: refusals, and changes, each option of a file one."""
    edits = sum(len(change.args.get("edits", [0])) for change in one.changes)
    return len(one.refused), edits


def _planned(draft: Draft, looked: Looked, tables: Tables) -> Settled:
    site = sites.check(draft.raw, "site", tables)
    plan = pending_plan.plan(site, _of_the_site(site, looked))
    refused = [f"{f.thing}: {f.found}" for f in plan.refused.values()]
    doubts = [str(stop) for _, stop in looked.doubts]
    doubts += [str(stop) for stop in looked.unreachable.values()]
    doubts += [
        f"{host}: {read} could not be looked at: {stop}"
        for (host, read), stop in looked.errors.items()
        if host in site.hosts or host == CLOUD
    ]
    return Settled(
        draft,
        tuple(change for _, change in plan.changes),
        tuple(dict.fromkeys([*refused, *doubts])),
    )


def _of_the_site(site: Site, looked: Looked) -> Looked:
    """Without the hosts that the site does not have."""
    hosts = {n: s for n, s in looked.facts.hosts.items() if n in site.hosts or n == CLOUD}
    return replace(looked, facts=replace(looked.facts, hosts=hosts))


# What is left as it is


def _with(draft: Draft, at: At, value: Json, texts: Iterable[str]) -> Draft:
    raw = copy.deepcopy(draft.raw)
    table = raw
    for key in at[:-1]:
        table = table.setdefault(key, {})
    table[at[-1]] = value
    remarks = [Remark(at, text, False) for text in texts]
    return replace(draft, raw=raw, remarks=(*draft.remarks, *remarks))


def _packages(draft: Draft, changes: Sequence[Change]) -> Draft:
    missing = [f"{c.host}: {c.sentence}" for c in changes if c.kind == "packages"]
    return _with(draft, ("packages", "install"), False, missing) if missing else draft


def _caps(draft: Draft, changes: Sequence[Change]) -> Draft:
    for change in changes:
        if change.kind == "user" and change.sign == "~":
            lines = [f"with manage = true: {line}" for line in change.diff]
            at = (*_cluster(draft, change), "clients", change.subject, "manage")
            draft = _with(draft, at, False, lines)
    return draft


def _clones(draft: Draft, changes: Sequence[Change]) -> Draft:
    for change in changes:
        if change.kind == clone_format.KIND:
            at = (*_cluster(draft, change), "clone_v2")
            draft = _with(draft, at, False, [f"without this: {change.sentence}"])
    return draft


def _cluster(draft: Draft, change: Change) -> At:
    """Where the tables are of the cluster on whose host something would change."""
    label = draft.raw["hosts"].get(change.host, {}).get("cluster")
    return ("clusters", label) if label else ()


def _recommended(draft: Draft, changes: Sequence[Change]) -> Draft:
    edits = any(c.kind in ("options", RECOMMENDED) for c in changes)
    return _with(draft, ("recommended",), False, ()) if edits else draft


def _advised(before: Settled, after: Settled) -> Iterator[Remark]:
    """The options that are not set any more."""
    kept = {(c.host, c.thing, *edit) for c in after.changes for edit in c.args.get("edits", ())}
    for change in before.changes:
        gone = [
            f"{section}.{key} = {value}"
            for section, key, value in change.args.get("edits", ())
            if (change.host, change.thing, section, key, value) not in kept
        ]
        if gone:
            text = f"without this, {change.host}: {change.thing}: {', '.join(gone)}"
            yield Remark(("recommended",), text, False)


_LEFT_AS_IS: tuple[Callable[[Draft, Sequence[Change]], Draft], ...] = (
    _packages,
    _caps,
    _clones,
    _recommended,
)
