"""Runs a program of this machine; a failure becomes a LabError with its last lines.

Secrets go in by standard input only: arguments are for all to read.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import LabError

_LAST_LINES = 15
# Of temporary files: Debian 11's dbconfig-common is not configured where it is missing.
_FOLDERS = ("TMPDIR", "TMP", "TEMP")


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    log: Path | None = None,
    env: dict[str, str] | None = None,
    timeout: float | None = None,
) -> str:
    """Run `argv` and return its standard output.

    `log` gets both outputs instead, for programs that say much. `env` is added
    to ours. Raises LabError when it cannot start, fails or takes too long.
    """
    words = [str(word) for word in argv]
    sink = open(log, "ab") if log else None  # noqa: SIM115 - closed below
    try:
        done = subprocess.run(
            words,
            input=None if stdin is None else stdin.encode(),
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=sink or subprocess.PIPE,
            stderr=sink or subprocess.PIPE,
            env=environment(words, env or {}),
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{words[0]}: not found on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(words)}: no end after {timeout:.0f} s") from error
    finally:
        if sink:
            sink.close()
    if done.returncode != 0:
        said = _tail(log.read_bytes() if log else done.stderr + done.stdout)
        where = f" (all of it: {log})" if log else ""
        raise LabError(f"{' '.join(words)}: exit {done.returncode}{where}\n{said}")
    return "" if sink else done.stdout.decode(errors="replace")


def environment(words: Sequence[str], more: Mapping[str, str]) -> dict[str, str]:
    """Ours and more; what runs in a chroot finds no folder there that is named for this machine."""
    ours = {**os.environ, "LC_ALL": "C.UTF-8", **more}
    if "chroot" in words:
        for name in _FOLDERS:
            ours.pop(name, None)
    return ours


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Whether `argv` exits 0; its output is dropped."""
    return (
        subprocess.run(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
        == 0
    )


def _tail(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
    return "\n".join(f"    {line}" for line in lines)
