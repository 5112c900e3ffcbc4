"""Carries an engine's calls over a dask.distributed scheduler to its workers.

Knows that scheduler and TLS.  Calls go by Client.run, not as dask's tasks: the scheduler
would do those again, elsewhere, unasked, when a worker dies; what writes must not be.
"""

from __future__ import annotations

import contextlib
from typing import Any

from fabfile.core import own_files, site_file
from fabfile.core.contract import BadInput, Unreachable

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
        try:
            from distributed import Client, Security  # noqa: PLC0415 (an extra, slow to load)
        except ImportError:
            raise BadInput("--engine dask: dask.distributed is missing: `make dask`") from None
        security = Security(
            require_encryption=True,
            tls_ca_file=_file("ca", table.ca),
            tls_client_cert=_file("cert", table.cert),
            tls_client_key=_file("key", table.key),
        )
        try:
            self._client = Client(
                table.scheduler, security=security, timeout=TIMEOUT, set_as_default=False
            )
        except OSError as error:  # ssl's are, and dask's own
            raise Unreachable(f"dask.scheduler: {table.scheduler}: {error}") from None
        plain = [worker for worker in self._all() if not worker.startswith("tls://")]
        if plain:
            self.close()
            raise BadInput(
                f"dask.scheduler: workers listen without TLS at {', '.join(plain)}: "
                "give each its certificate (docs/scale.md)"
            )

    def workers(self) -> set[str]:
        """See Carrier; one that came without TLS since is none."""
        return {worker for worker in self._all() if worker.startswith("tls://")}

    def _all(self) -> set[str]:
        try:
            return set(self._client.nthreads())
        except Exception:  # what a lost scheduler makes dask raise has no common class
            return set()

    def call(self, worker: str, function: Any, *args: Any) -> Any:
        """See Carrier."""
        try:
            answer = self._client.run(function, *args, workers=[worker], on_error="return")[worker]
        except OSError:
            raise ConnectionError("the scheduler is gone") from None
        if isinstance(answer, OSError):
            raise ConnectionError("the connection to it ended")
        if isinstance(answer, Exception):
            raise ConnectionError(str(answer) or type(answer).__name__)
        return answer

    def close(self) -> None:
        """See Carrier."""
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._client.close(timeout=TIMEOUT)


def _file(name: str, path: str) -> str:
    found = site_file.expanded(path, f"dask.{name}")
    if not found.is_file():
        raise BadInput(f"dask.{name}: {found}: no such file")
    own_files.refuse_alterable(found, f"dask.{name}")
    return str(found)
