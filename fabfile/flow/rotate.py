"""ceph.rotate: a client's place taken by another one, a stage at a time.

Knows the stages and their order; which one is due, the state of the world says, so that a run that
was stopped anywhere is gone on with by the same command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from invoke import Context

from fabfile.audit import database_rows, old_clients
from fabfile.core.contract import INV, BadInput, Facts, Read
from fabfile.flow import move_monitors
from fabfile.flow.converge import Converger
from fabfile.flow.session import Options, Session, open_session
from fabfile.resources import (
    auth,
    by_cluster,
    ceph_conf,
    client_limits,
    keyrings,
    libvirt_secret,
    restarts,
    rotation,
    service_config,
)
from fabfile.resources.resource import Resource


@dataclass(frozen=True)
class Stage:
    """One stage: what brings it about, and what comes after it."""

    name: str
    resources: tuple[Resource, ...]
    then: str


STAGES = (
    Stage(
        "the new user, its keyrings and its secret on every compute",
        (
            auth.RESOURCE,
            ceph_conf.RESOURCE,
            keyrings.RESOURCE,
            libvirt_secret.RESOURCE,
            client_limits.RESOURCE,
        ),
        "services go over to it",
    ),
    Stage(
        "services go over to it",
        (service_config.glance, service_config.cinder, service_config.nova, restarts.RESOURCE),
        "guests are moved, at your pace",
    ),
)
"""Those before guests are moved: a service names a client that everybody can attach by."""


KINDS = ("aes256k",)
"""What --to may name."""


def rotate(
    context: Context, options: Options, move: str, instances: Sequence[str], to: str = ""
) -> int:
    """The task; to: of which kind new keys must be.  Raises BadInput where it cannot be done."""
    with open_session(context, options, "ceph.rotate") as session:
        _refuse(session, move, instances)
        session.refuse_another_cluster()
        if to and to not in KINDS:
            raise BadInput(f"--to: expected {' or '.join(KINDS)}, found {to!r}")
        for stage in STAGES:
            converger = Converger(session)
            resources = stage.resources
            facts = converger.probe(resources)
            for part in session.site.parts if to and stage == STAGES[0] else ():
                rotation.refuse_old_kind(part, by_cluster.facts_of(part, facts))
            if not converger.plan(resources, facts):
                continue
            if move:
                raise BadInput(
                    f"--move: expected it after another stage, which is still due: {stage.name}; "
                    f"{INV} ceph.rotate does it"
                )
            session.screen.say(f"Due: {stage.name}.")
            code = converger.report(converger.converge(resources))
            session.screen.say(f"Next, by {INV} ceph.rotate: {stage.then}.")
            return code
        converger = Converger(session)
        last = _old_clients(session, move, tuple(dict.fromkeys(instances)))
        return converger.report(converger.converge([last.resource]))


def _refuse(session: Session, move: str, instances: Sequence[str]) -> None:
    site = session.site
    if not any(part.replaced for part in site.parts):
        raise BadInput(
            'clients: expected one with replaces = "OLD", and the services that had OLD on it, '
            "found none (docs/rotation.md)"
        )
    if move and move not in old_clients.MOVES:
        raise BadInput(f"--move: expected {' or '.join(old_clients.MOVES)}, found {move!r}")
    if instances and not move:
        raise BadInput("--instance: expected --move beside it, which says how it is moved")
    if move and not site.cloud:
        raise BadInput(
            "cloud: expected the name of a cloud of clouds.yaml, by whose API instances are moved, "
            "found none in the site file"
        )
    if move:
        _ = site.database_host


def _old_clients(session: Session, move: str, only: tuple[str, ...]) -> old_clients.OldClients:
    site = session.site
    if not site.with_role("database"):
        return old_clients.OldClients("")
    schemas = database_rows.schemas(move_monitors.lines(session, database_rows.COLUMNS))
    sql = old_clients.question(schemas)
    if not move:
        return old_clients.OldClients(sql)
    if not sql:
        raise BadInput(
            f"{site.database_host.name}: expected Nova's database, by which instances are moved, "
            "found none there; give the role 'database' to the host that holds it"
        )
    found = old_clients.kept(move_monitors.lines(session, sql))
    if missing := [name for name in only if name not in found.instances]:
        raise BadInput(
            f"--instance: expected the id of an instance, found {', '.join(missing)}, which Nova "
            "does not have; openstack server list --all-projects has the ids"
        )
    asked = {host: [Read("host", "host")] for host in site.with_role("compute")}
    computes = old_clients.computes(site, Facts(session.ask(asked)), found, move, only)
    return old_clients.OldClients(sql, move, only, computes)
