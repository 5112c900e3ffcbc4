"""What a part of the desired state is to the flow, and what a doctor asks of it.

Each module of this folder ends with its own: that is its one registration.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from fabfile.core.contract import Change, Facts, Host, Read
from fabfile.model.site import Site

HOST = Read("host", "host")
"""Who a host is: asked of every one, beside what the resources ask."""


def _no_changes(site: Site, facts: Facts) -> Sequence[Change]:
    return ()


def _no_notes(site: Site, facts: Facts, changes: Sequence[Change]) -> Sequence[str]:
    return ()


def _no_reads(site: Site, facts: Facts) -> Sequence[Read]:
    return ()


def _no_hosts(site: Site) -> Collection[str]:
    return ()


@dataclass(frozen=True)
class Stays:
    """What a removal leaves where it is.  thing: as a change names it; host: '' for the cluster."""

    host: str
    thing: str
    why: str


Leaves = Sequence[Change | Stays]
"""What a removal does, in the order of phases.Leaving, and what it does not take away."""


def _leaves_nothing(site: Site, rest: Site, facts: Facts) -> Leaves:
    return ()


@dataclass(frozen=True)
class Resource:
    """A part of the desired state.

    task: the task that brings it about alone.
    reads: what has to be known of a host; empty where that is not concerned.
    plan: what is missing; pure.  Raises BadInput for what must not be altered.
    notes: sentences for the operator on what is planned.
    follow_up_reads: further questions to the cloud, where what was seen makes them necessary.
    reread_hosts: hosts that are asked again after the work also where nothing was done on them.
    verify_with: what looks again when the work was done, where it is not the resource itself.
    sees_changes: whether plan is told, third, what was planned before it.
    of_a_cluster: whether it is planned for each cluster for itself.
    leaving: what takes away that the site wants, and the rest of it does not any more (inv
    remove): by what was seen alone, so that what is gone already is not planned again.
    """

    task: str
    reads: Callable[[Site, Host], Sequence[Read]]
    plan: Callable[..., Sequence[Change]] = _no_changes
    notes: Callable[[Site, Facts, Sequence[Change]], Sequence[str]] = _no_notes
    follow_up_reads: Callable[[Site, Facts], Sequence[Read]] = _no_reads
    reread_hosts: Callable[[Site], Collection[str]] = _no_hosts
    verify_with: Resource | None = None
    sees_changes: bool = False
    of_a_cluster: bool = False
    leaving: Callable[[Site, Site, Facts], Leaves] = _leaves_nothing

    @property
    def leaves(self) -> bool:
        """Whether it makes something that a removal takes away."""
        return self.leaving is not _leaves_nothing

    def planned(self, site: Site, facts: Facts, before: Sequence[Change]) -> Sequence[Change]:
        """Its plan behind those changes."""
        return self.plan(site, facts, before) if self.sees_changes else self.plan(site, facts)
