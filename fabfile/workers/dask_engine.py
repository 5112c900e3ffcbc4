"""Carries an engine's calls over a dask.distributed scheduler to its workers.

Calls go by the scheduler's broadcast (see wire), not as dask's tasks: the scheduler
would do those again, elsewhere, unasked, when a worker dies; what writes must not be.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from fabfile.core import own_files, site_file
from fabfile.core.contract import BadInput, Unreachable
from fabfile.workers import wire

TIMEOUT = 10
"""Seconds until the scheduler has to answer."""


class Dask:
    """The workers of the scheduler that a site file names in [dask]."""

    def __init__(self, table: Any) -> None:
        """Raises BadInput, or Unreachable where there is no such scheduler."""
        if table is None:
            raise BadInput(
                "--engine dask: expected [dask] in the site file, with scheduler, ca, cert and key"
            )
        if not find_spec("distributed"):
            raise BadInput(
                "--engine dask: dask.distributed is missing; `make dask` puts "
                "it into a checkout, pip install distributed into where this is installed"
            )
        ca, cert, key = (_file(name, getattr(table, name)) for name in ("ca", "cert", "key"))
        try:
            self._scheduler = wire.Scheduler(table.scheduler, ca, cert, key, TIMEOUT)
            there = self._scheduler.workers()
        except OSError as error:  # ssl's are
            raise Unreachable(f"dask.scheduler: {table.scheduler}: {error}") from None
        plain = [worker for worker in there if not worker.startswith("tls://")]
        if plain:
            raise BadInput(
                f"dask.scheduler: workers listen without TLS at {', '.join(plain)}: "
                "give each its certificate (docs/scale.md)"
            )

    def workers(self) -> set[str]:
        """See Carrier; one that came without TLS since is none."""
        return {worker for worker in self._all() if worker.startswith("tls://")}

    def _all(self) -> set[str]:
        try:
            return self._scheduler.workers()
        except OSError:
            return set()

    def call(self, worker: str, function: Any, *args: Any) -> Any:
        """See Carrier."""
        try:
            data = self._scheduler.run(worker, function, *args)
        except ConnectionError:
            raise
        except OSError as error:
            raise ConnectionError(f"the scheduler is gone: {error}") from None
        return wire.heard(function, data)

    def close(self) -> None:
        """See Carrier: each call has closed its own."""


def _file(name: str, path: str) -> str:
    found = site_file.expanded(path, f"dask.{name}")
    if not found.is_file():
        raise BadInput(f"dask.{name}: {found}: no such file")
    own_files.refuse_alterable(found, f"dask.{name}")
    return str(found)
