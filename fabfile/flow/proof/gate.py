"""The gate between batches: the canary has to live where something was just changed.

Knows who is asked before the next batch begins, and that a batch at which it is closed is
taken back; how a canary runs is verify's matter, how a run is taken back the converger's.
"""

from __future__ import annotations

from collections.abc import Collection

from fabfile.core.contract import INV, Interrupted, Stop, Unproved
from fabfile.core.journal import Journal
from fabfile.flow.converge import Converger
from fabfile.flow.proof import verify
from fabfile.flow.terminal import outcomes


class CanaryGate:
    """One run's gate: what has passed, and what comes next."""

    def __init__(self, converger: Converger, record: Journal) -> None:
        self._converger, self._record = converger, record
        self._session = converger.session
        self._passed: list[str] = []

    def passed(self, hosts: Collection[str]) -> None:
        """Runs the canary on hosts on which all was done that was to be done there.

        On computes the whole of it; where there are none, Glance and Cinder alone; an
        instance migrates to those that are here or have passed before.  Raises Unproved, or
        Interrupted.
        """
        computes, storage = self._of(hosts, "compute"), self._of(hosts, "glance", "cinder")
        if not computes and not storage:
            return
        self._record.event("gate", hosts=computes or storage)
        self._session.screen.step("-", f"canary: {outcomes.named(computes or storage)}")
        failed = self._run_canary(computes)
        if failed:
            raise Unproved(f"the canary died:\n  {failed}")
        self._passed += computes

    def _of(self, hosts: Collection[str], *roles: str) -> list[str]:
        return [
            host.name
            for host in self._session.site.all_hosts()
            if host.name in hosts and set(roles) & set(host.roles)
        ]

    def _run_canary(self, computes: list[str]) -> str:
        site = self._session.site
        try:
            return verify.failures(
                verify.run_canary(
                    self._session,
                    self._record,
                    computes,
                    [*self._passed, *computes],
                    site.verify.at_once,
                    True,
                    None if computes else verify.dependents(self._session),
                )
            )
        except Interrupted:
            raise
        except Stop as stop:
            raise Unproved(f"the canary cannot fly: {stop}") from stop

    def closed(self, hosts: Collection[str], why: Stop) -> Stop:
        """Takes a batch back; what ends the run."""
        names = outcomes.named(sorted(hosts))
        self._session.screen.step("-", f"the gate is closed; taking back {names}: {why}")
        self._record.event("gate closed", hosts=sorted(hosts), why=str(why))
        said = self._taken_back(hosts, names)
        for host in hosts:
            self._converger.failed.setdefault(
                host, Unproved(host=host, found=f"the gate was closed; {said}")
            )
        kind: type[Stop] = type(why)
        found: Stop = kind(f"{why}\n{said}; no later batch was begun")
        return found

    def _taken_back(self, hosts: Collection[str], names: str) -> str:
        try:
            plan = self._converger.take_back(hosts)
        except Interrupted:
            raise
        except Stop as stop:
            limit = ",".join(sorted(hosts))
            return (
                f"taking it back on {names} did not work ({' '.join(str(stop).split())}): "
                f"{INV} undo --run {self._session.id} --limit {limit}"
            )
        return (
            f"{names}: what this run did there was taken back"
            if plan
            else (f"{names}: this run did nothing there that can be taken back but restarts")
        )
