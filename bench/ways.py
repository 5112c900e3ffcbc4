"""The ways to the same end state: how each is called, and the files that it wants.

Knows the command lines of stackrbd, OpenSSH, pyinfra and Ansible; all get the same
addresses, keys, known_hosts and number of hosts at a time.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import prepared, wanted
from bench.fleet import Simulated
from bench.places import HERE, KEYS, PEERS, PROJECT, RUN

SSH_CONFIG, SITE, WANTED = RUN / "ssh_config", RUN / "site.toml", RUN / "wanted.json"
_SSH_CONFIG = """\
Host 127.*
    User root
    IdentityFile {key}
    IdentitiesOnly yes
    UserKnownHostsFile {known}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    KexAlgorithms curve25519-sha256
    Ciphers aes128-gcm@openssh.com
"""


@dataclass(frozen=True)
class Way:
    """A name for the table, a command, and where it runs."""

    name: str
    argv: Sequence[str]
    cwd: Path
    env: dict[str, str]


def write_files(hosts: Sequence[Simulated], forks: int, more: str = "") -> None:
    """All that the ways read, below the run's folder; more: further tables of the site file."""
    known = RUN / "known_hosts"
    known.write_text(
        "".join(f"{h.address} {prepared.public(f'host{h.number:05d}')}\n" for h in hosts)
    )
    write_site(hosts, forks, more)
    WANTED.write_text(json.dumps(wanted.as_data()))
    addresses = [h.address for h in hosts[1:]]
    (RUN / "addresses").write_text("\n".join(addresses) + "\n")
    data = {
        "ssh_config_file": str(SSH_CONFIG),
        "ssh_known_hosts_file": str(known),
        "ssh_strict_host_key_checking": "yes",
    }
    (RUN / "inventory.py").write_text(f"computes = ({addresses!r}, {data!r})\n")
    (RUN / "script.sh").write_text(_script())
    python = f"W = {wanted.as_data()!r}\n" + (HERE / "peers/script.py").read_text()
    (RUN / "script.py").write_text(python)


def write_site(hosts: Sequence[Simulated], forks: int, more: str = "") -> None:
    """The site file, and how its hosts are reached."""
    known = RUN / "known_hosts"
    SSH_CONFIG.write_text(_SSH_CONFIG.format(key=KEYS / "client", known=known))
    SITE.write_text(_site(hosts, forks) + more)


def _site(hosts: Sequence[Simulated], forks: int) -> str:
    lines = [f'name = "bench"\n[ssh]\nconfig = "{SSH_CONFIG}"\nforks = {forks}\n[hosts]']
    for host in hosts:
        role = "compute" if host.number else "ceph"
        lines.append(f'{host.name} = {{ roles = ["{role}"], address = "{host.address}" }}')
    return "\n".join(lines) + "\n"


def _script() -> str:
    data = wanted.as_data()
    data["packages"] = " ".join(data["packages"])
    values = [f"{k}={shlex.quote(v)}" for k, v in data.items() if isinstance(v, str)]
    return "\n".join([*values, (HERE / "peers/script.sh").read_text()])


def environment() -> dict[str, str]:
    """What all ways find in their environment."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TERM")}
    return {
        **kept,
        "BENCH_WANTED": str(WANTED),
        "XDG_STATE_HOME": str(RUN / "state"),
        "ANSIBLE_LOCAL_TEMP": str(RUN / "ansible"),
        "ANSIBLE_HOME": str(RUN / "ansible"),
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_SSH_ARGS": f"-F {SSH_CONFIG} -o ControlMaster=auto -o ControlPersist=60s",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(RUN / "cp"),
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
    }


def stackrbd(forks: int) -> Way:
    """The product's own task, from its own checkout."""
    inv = str(Path(sys.executable).parent / "inv")
    return Way("stackrbd", [inv, "integrate", "--yes", "--site", str(SITE)], PROJECT, environment())


def before(checkout: Path) -> Way:
    """The same task of another checkout, such as one of the commit before a change."""
    return replace(stackrbd(0), name="before", cwd=checkout)


def openssh(forks: int) -> Way:
    """One shell script a host on standard input of ssh, so many at a time: the least there is."""
    return _loop("openssh, sh", "sh -s", "script.sh", forks)


def openssh_python(forks: int) -> Way:
    """The same loop with a script in Python, as hosts' work of this kind is mostly written."""
    return _loop("openssh, python", "python3 -I -S -", "script.py", forks)


def _loop(name: str, program: str, script: str, forks: int) -> Way:
    one = f'exec ssh -F {SSH_CONFIG} -o BatchMode=yes "$1" "sudo -n {program}" < {RUN}/{script}'
    argv = ["xargs", "-a", f"{RUN}/addresses", "-P", str(forks), "-I{}", "sh", "-c", one, "_", "{}"]
    return Way(name, argv, RUN, environment())


def pyinfra(forks: int) -> Way:
    """Its own inventory and operations."""
    argv = [f"{PEERS}/bin/pyinfra", "-y", "--parallel", str(forks), "inventory.py"]
    return Way("pyinfra", [*argv, f"{HERE}/peers/deploy.py"], RUN, environment())


def ansible(forks: int) -> Way:
    """A playbook, with pipelining and kept connections."""
    argv = [f"{PEERS}/bin/ansible-playbook", "-f", str(forks), "-i", f"{RUN}/addresses"]
    return Way("ansible", [*argv, f"{HERE}/peers/playbook.yml"], RUN, environment())


WAYS: dict[str, Callable[[int], Way]] = {
    "stackrbd": stackrbd,
    "openssh": openssh,
    "openssh-python": openssh_python,
    "pyinfra": pyinfra,
    "ansible": ansible,
}
