"""reconcile: asks the databases and the pools, and shows where they do not agree.

What counts as a finding is the resources' to say; nothing is written anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fabfile.audit import compare, evidence, rbd_images
from fabfile.audit import database_rows as tables
from fabfile.audit.compare import Finding, Places
from fabfile.audit.database_rows import Rows
from fabfile.audit.evidence import Evidence
from fabfile.core.contract import INV, BadInput, Facts, Json, Read, Unproved
from fabfile.core.text import counted
from fabfile.flow.session import Options, Session, open_session
from fabfile.flow.terminal.progress import MANY
from fabfile.model.services import CINDER_BACKUP, CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.resources import cluster, in_force

DEADLINE = 3600
"""Seconds that one trip may take: `rbd ls -l` opens every image of a pool."""
_A_TRIP = 500
"""Images that are asked about in one trip."""
_MOST_SUSPECTS = 2000
"""Findings that are looked at closer; of more, something else is wrong."""


def show(context: Any, options: Options, details: bool) -> int:
    """Prints every finding with its command.  Raises Unproved where there is any."""
    with open_session(context, options, "reconcile") as session:
        looks = [(look, look.findings(details)) for look in _looks(session)]
        _report(session, looks)
        if number := sum(len(found) for _, found in looks):
            raise Unproved(f"{number} things do not agree; nothing was changed")
    return 0


def _looks(session: Session) -> list[Look]:
    """One for each cluster in which OpenStack keeps something.

    Raises BadInput for one that is another team's: who else writes its pools cannot be asked.
    """
    for part in session.site.parts:
        if part.is_supplied:
            raise BadInput(
                f'clusters.{part.label}: expected an admin\'s access, found access = "supplied": '
                "what nobody's row names may be another cloud's, and who writes a pool only an "
                f"admin can ask; that team may run {INV} reconcile with an access of its own"
            )
    return [Look(session, part) for part in session.site.parts if part.uses()]


class Look:
    """One look at both sides of a site: its rows, and one cluster's images."""

    def __init__(self, session: Session, part: Site | None = None) -> None:
        self._session, self._site = session, part or session.site
        self.label = self._site.label
        self._host = session.site.database_host
        self.notes: list[str] = []
        self.counts: Counter[str] = Counter()

    def findings(self, details: bool) -> list[Finding]:
        """Rows, names, rows again; then whatever is suspicious, or all images, more closely."""
        places, answers = self._places()
        schemas = tables.schemas(self._lines(tables.COLUMNS))
        before = self._rows(schemas)
        strange = compare.strangers(places, before, self._pools())
        names = self._names([p for p in compare.pools(places, before) if p not in strange])
        seen = evidence.gathered(self._site, answers, schemas, before)
        images = self._images(names) if details else {}
        after = self._rows(schemas)
        found = compare.compare(places, before, names, after, seen)
        if len(found) > _MOST_SUSPECTS:
            self.notes.append(f"{counted(len(found), 'finding')}: shown as the names alone tell")
        else:
            found = rbd_images.looked_at(
                places, found, self._told(rbd_images.suspects(self._site.cluster, found))
            )
        if details:
            open_at = self._watchers(rbd_images.to_watch(places, before, after))
            found += rbd_images.differing(places, before, after, images, open_at)
        self._note(places, schemas, before, names)
        for pool in strange:
            self.notes.append(
                f"rows name the pool {pool[:80]!r}, which the cluster has not: these rows were left"
                " out, and nothing is settled by them"
            )
        self._note_unseen(places, before, seen, schemas)
        begun = answers[self._site.admin.name]["host"].get("begun")
        return [self._as_there(one, begun) for one in found]

    def _as_there(self, finding: Finding, begun: Json) -> Finding:
        """The same, with its commands as they are begun on the cluster's host."""
        platform = self._site.cluster.platform
        commands = tuple(platform.as_there(one, begun) for one in finding.commands)
        return replace(finding, commands=commands)

    def _places(self) -> tuple[Places, Mapping[str, Mapping[str, Json]]]:
        """The places, and the answers that say what else may be there."""
        site = self._site
        asked = {site.admin: [*cluster.identity(site), *evidence.reads(site)]}
        for host in site.with_role("cinder"):
            own = in_force.reads(site, host, CINDER_VOLUME)
            asked[host] = [*asked.get(host, []), *own]
        for host in site.with_role("cinder-backup"):
            own = in_force.reads(site, host, CINDER_BACKUP)
            asked[host] = [*asked.get(host, []), *own]
        # Cinder's name for a host, and how the commands are begun that are shown.
        answers = self._session.ask({h: [Read("host", "host"), *own] for h, own in asked.items()})
        options = {
            key: value
            for seen in answers.values()
            for (section, key), value in in_force.options(seen, CINDER_VOLUME.key).items()
            if section == "DEFAULT"
        }
        return compare.places(site, cluster.fsid(site, Facts(answers)), options), answers

    def _lines(self, sql: str) -> list[str]:
        args = {"sql": sql, "defaults": self._site.database.defaults_file}
        answers = self._session.ask({self._host: [Read("rows", "rows", args)]}, DEADLINE)
        lines: list[str] = answers[self._host.name]["rows"]
        return lines

    def _rows(self, schemas: tables.Schemas) -> Rows:
        self._session.screen.step(self._host.name, "reading rows")
        return tables.rows(self._lines(tables.question(schemas)))

    def _asked_of_ceph(self, reads: Sequence[Read]) -> Mapping[str, Json]:
        admin = self._site.admin
        return self._session.ask({admin: reads}, DEADLINE)[admin.name]

    def _pools(self) -> list[str]:
        site = self._site
        read = Read("ceph.pools", "argv", {"argv": cluster.ceph(site, "osd", "pool", "ls")})
        return cluster.pool_names(site, Facts({site.admin.name: self._asked_of_ceph([read])}))

    def _names(self, pools: Sequence[str]) -> compare.Names:
        self._session.screen.step(self._site.admin.name, f"reading names in {', '.join(pools)}")
        ceph = self._site.cluster
        asked = [Read(f"ls {p}", "lines", {"argv": rbd_images.names_of(ceph, p)}) for p in pools]
        asked += [
            Read(f"trash {p}", "lines", {"argv": rbd_images.trash_of(ceph, p)}) for p in pools
        ]
        seen = self._asked_of_ceph(asked)
        return rbd_images.names(
            {p: seen[f"ls {p}"] for p in pools}, {p: seen[f"trash {p}"] for p in pools}
        )

    def _images(self, names: compare.Names) -> dict[rbd_images.Spec, rbd_images.Held]:
        found: dict[rbd_images.Spec, rbd_images.Held] = {}
        for pool in names.there:
            self._session.screen.step(self._site.admin.name, f"reading every image of {pool}")
            args = {"argv": rbd_images.all_of(self._site.cluster, pool), "timeout": DEADLINE}
            found |= rbd_images.listed(
                pool, self._asked_of_ceph([Read("all", "lines", args)])["all"]
            )
        return found

    def _told(self, asked: Mapping[str, tuple[list[str], Sequence[int]]]) -> dict[str, Json]:
        reads = [
            Read(name, "argv", {"argv": argv, "ok": list(ok)}) for name, (argv, ok) in asked.items()
        ]
        answers: dict[str, Json] = {}
        for at in range(0, len(reads), _A_TRIP):
            answers |= self._asked_of_ceph(reads[at : at + _A_TRIP])
        return answers

    def _watchers(
        self, specs: Sequence[rbd_images.Spec]
    ) -> dict[rbd_images.Spec, tuple[str, ...] | None]:
        self._session.screen.step(
            self._site.admin.name, f"asking who has {counted(len(specs), 'volume')} open"
        )
        answers = self._told(rbd_images.watching(self._site.cluster, specs))
        return {
            (pool, name): rbd_images.watchers(answers[f"status {pool}/{name}"])
            for pool, name in specs
        }

    def _note(
        self, places: Places, schemas: tables.Schemas, rows: Rows, names: compare.Names
    ) -> None:
        self.counts["rows"] = sum(len(some) for some in vars(rows).values())
        self.counts["names"] = sum(map(len, names.there.values()))
        self.notes.append(f"rows are those of {', '.join(schemas.names())}")
        others = Counter(v.host for v in rows.volume if v.host and not places.owns(v.host))
        for host, count in others.most_common(MANY):
            self.notes.append(
                f"{counted(count, 'volume')} of {host}, of another backend: not looked at"
            )
        for pool, count in compare.foreign(places, names).items():
            self.notes.append(
                f"pool {pool}: {counted(count, 'name')} not of OpenStack's form: left alone"
            )

    def _note_unseen(
        self, places: Places, rows: Rows, seen: Evidence, schemas: tables.Schemas
    ) -> None:
        """What was not looked at, and so settles nothing."""
        if schemas.others:
            names = ", ".join(schemas.others)
            self.notes.append(f"{names} look like another cloud's databases: not read")
        if "cells" not in seen.looked:
            self.notes.append(
                "not all of Nova's cells are in these databases, or that was not told: an instance "
                "that is not found here may be in another cell's"
            )
        if count := compare.elsewhere(places, rows):
            self.notes.append(f"{count} locations of images are in another cluster: not looked at")


def _settles(finding: Finding) -> str:
    told = finding.as_data()
    return f"to settle it: {told['command']}" if told["command"] else told["look"]


def _report(session: Session, looks: Sequence[tuple[Look, list[Finding]]]) -> None:
    several, notes, data = len(looks) > 1, [], []
    for look, found in looks:
        if several:
            session.screen.say(f"cluster {look.label}: {counted(len(found), 'finding')}")
        notes += [f"cluster {look.label}: {note}" if several else note for note in look.notes]
        data += [one.as_data() | ({"cluster": look.label} if several else {}) for one in found]
        for one in found:
            where = f"{one.pool}/{one.name}" if one.name else one.row
            session.screen.say(f"{one.kind:<9} {one.thing:<9} {where}")
            if one.name and one.row not in one.name:
                session.screen.say(f"          row {one.row}")
            session.screen.say(f"          {one.sentence}")
            if settles := _settles(one):
                command = one.as_data()["command"]
                session.screen.say(f"          {settles}", whole=bool(command))
    for note in notes:
        session.screen.say(f"Note: {note}")
    rows = max((look.counts["rows"] for look, _ in looks), default=0)
    counts = {"rows": rows, "names": sum(look.counts["names"] for look, _ in looks)}
    session.screen.say(
        f"{counted(len(data), 'finding')} in {counted(counts['rows'], 'row')} and "
        f"{counted(counts['names'], 'name')}"
    )
    session.screen.json(
        {
            "site": session.site.name,
            "findings": data,
            "counts": counts,
            "notes": notes,
            "trips": session.fleet.trips,
        }
    )
