"""Runs a shell script on a host, as root, by ssh: what the bootstrap needs.

The product has its own way in; this one is the lab's and stays small.
"""

import subprocess

from lab import access
from lab.errors import LabError
from lab.topology import LabHost

_LAST_LINES = 20


def ssh_argv(host: LabHost, user: str = "root") -> list[str]:
    """The ssh command up to the host's name."""
    options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    return ["ssh", "-F", str(access.SSH_CONFIG), *options, f"{user}@{host.name}"]


def answers(host: LabHost) -> bool:
    """Whether the operator's login works; one that takes too long does not, yet."""
    try:
        done = subprocess.run(
            [*ssh_argv(host, "operator"), "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def script(host: LabHost, text: str, *, program: str = "bash -eu") -> str:
    """Run `text` on the host as root and return its standard output.

    It travels on standard input into a file first: a command inside that reads
    standard input would else eat the rest of it, and an argument could be read by
    all. Raises LabError with its last lines.
    """
    inner = f"umask 077; f=$(mktemp); cat > $f; trap 'rm -f $f' EXIT; {program} $f < /dev/null"
    done = subprocess.run(
        [*ssh_argv(host), inner], input=text.encode(), capture_output=True, check=False
    )
    if done.returncode != 0:
        output = (done.stdout + done.stderr).decode(errors="replace").strip()
        said = "\n".join(f"    {line}" for line in output.splitlines()[-_LAST_LINES:])
        raise LabError(f"{host.name}: a script ended with {done.returncode}\n{said}")
    return done.stdout.decode(errors="replace")
