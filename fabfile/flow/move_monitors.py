"""ceph.mons: brings ceph.conf, attachments and guests after monitors that were moved.

Knows in which order the databases are asked; what is out of date, and what mends it, is the
resources' to say.
"""

from __future__ import annotations

from collections.abc import Sequence

from invoke import Context

from fabfile.audit import database_rows, frozen_monitors
from fabfile.core.contract import BadInput, Facts, Read
from fabfile.flow.converge import Converger
from fabfile.flow.session import Options, Session, open_session
from fabfile.resources import by_cluster, ceph_conf, cluster, restarts


def follow(context: Context, options: Options, refresh: bool, restart: Sequence[str]) -> int:
    """The task; restart: ids of instances.  Raises BadInput where it cannot be done."""
    with open_session(context, options, "ceph.mons") as session:
        _refuse(session, refresh or bool(restart))
        frozen = _frozen(session, refresh, tuple(dict.fromkeys(restart)))
        converger = Converger(session)
        files = [ceph_conf.RESOURCE, ceph_conf.of_the_cluster]
        stages = [*files, restarts.RESOURCE, frozen.resource]
        return converger.report(converger.converge(stages))


def _refuse(session: Session, asked: bool) -> None:
    if not asked:
        return
    if session.options.limit:
        raise BadInput(
            "--limit: expected none beside --refresh and --hard-reboot, which are about instances "
            "and not hosts"
        )
    if not session.site.cloud:
        raise BadInput(
            "cloud: expected the name of a cloud of clouds.yaml, by whose API instances "
            "are stopped and started, found none in the site file"
        )
    _ = session.site.database_host


def _frozen(session: Session, refresh: bool, restart: tuple[str, ...]) -> frozen_monitors.Frozen:
    if not session.site.with_role("database"):
        return frozen_monitors.Frozen("")
    schemas = database_rows.schemas(lines(session, database_rows.COLUMNS))
    sql = frozen_monitors.question(schemas)
    if not (refresh or restart):
        return frozen_monitors.Frozen(sql)
    return frozen_monitors.Frozen(sql, refresh, restart, _computes(session, sql))


def _computes(session: Session, sql: str) -> frozenset[str]:
    """The computes whose connector a refresh needs: asking for one takes seconds."""
    site = session.site
    asked = {host: [Read("host", "host")] for host in site.with_role("compute")}
    for admin in site.admins:
        mine = by_cluster.reads(site, admin, cluster.reads)
        asked[admin] = [*asked.get(admin, []), *mine]
    facts = Facts(session.with_supplied(session.ask(asked)))
    return frozen_monitors.computes(frozen_monitors.kept(lines(session, sql)), site, facts)


def lines(session: Session, sql: str) -> list[str]:
    """What the databases answer, a row a line."""
    host = session.site.database_host
    args = {"sql": sql, "defaults": session.site.database.defaults_file}
    found: list[str] = session.ask({host: [Read("rows", "rows", args)]})[host.name]["rows"]
    return found
