"""ceph.mons: brings ceph.conf, attachments and guests after monitors that were moved.

Knows in which order the databases are asked; what is out of date, and what mends it, is the
resources' to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fabfile.audit import database_rows, frozen_monitors
from fabfile.core.contract import BadInput, Facts, Read
from fabfile.flow.converge import Options, Run
from fabfile.resources import ceph_conf, cluster, restarts


def follow(context: Any, flags: Mapping[str, Any], refresh: bool, restart: Sequence[str]) -> int:
    """The task; restart: ids of instances.  Raises BadInput where it cannot be done."""
    with Run(context, Options(**flags), "ceph.mons") as run:
        _refuse(run, refresh or bool(restart))
        frozen = _frozen(run, refresh, tuple(dict.fromkeys(restart)))
        stages = [ceph_conf, ceph_conf.of_the_cluster, restarts, frozen]
        return run.report(run.converge(stages))


def _refuse(run: Run, asked: bool) -> None:
    if not asked:
        return
    if run.options.limit:
        raise BadInput(
            "--limit: expected none beside --refresh and --hard-reboot, which are about instances "
            "and not hosts"
        )
    if not run.site.cloud:
        raise BadInput(
            "cloud: expected the name of a cloud of clouds.yaml, by whose API instances "
            "are stopped and started, found none in the site file"
        )
    _ = run.site.database_host


def _frozen(run: Run, refresh: bool, restart: tuple[str, ...]) -> frozen_monitors.Frozen:
    if not run.site.with_role("database"):
        return frozen_monitors.Frozen("")
    schemas = database_rows.schemas(_lines(run, database_rows.COLUMNS))
    sql = frozen_monitors.question(schemas)
    if not (refresh or restart):
        return frozen_monitors.Frozen(sql)
    return frozen_monitors.Frozen(sql, refresh, restart, _computes(run, sql))


def _computes(run: Run, sql: str) -> frozenset[str]:
    """The computes whose connector a refresh needs: asking for one takes seconds."""
    site = run.site
    asked = {host: [Read("host", "host")] for host in site.with_role("compute")}
    asked[site.admin] = [*asked.get(site.admin, []), *cluster.reads(site, site.admin)]
    facts = Facts(run.ask(asked))
    return frozen_monitors.computes(frozen_monitors.kept(_lines(run, sql)), site, facts)


def _lines(run: Run, sql: str) -> list[str]:
    host = run.site.database_host
    args = {"sql": sql, "defaults": run.site.database.defaults_file}
    lines: list[str] = run.ask({host: [Read("rows", "rows", args)]})[host.name]["rows"]
    return lines
