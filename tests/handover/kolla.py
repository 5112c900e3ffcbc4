"""Kolla-Ansible of a release in an environment of its own, and what its genconfig makes.

`python -m tests.handover.kolla [VERSION]` makes the environments.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
VENVS = ROOT / ".handover"


class Version(NamedTuple):
    """What a version of Kolla-Ansible deploys, and by what."""

    release: str
    ansible: int
    """The package of that number has the collections, and the newest core for Python 3.11 that the
    version takes (ansible_version_max of its role prechecks)."""


VERSIONS = {
    "15.6.0": Version("zed", 6),
    "16.7.0": Version("2023.1", 7),
    "17.9.0": Version("2023.2", 8),
    "18.8.0": Version("2024.1", 9),
    "19.8.0": Version("2024.2", 10),
    "20.6.0": Version("2025.1", 11),
    "21.3.0": Version("2025.2", 12),
    "22.2.0": Version("2026.1", 12),
}
"""The last ones that start on Python 3.11; 23 wants 3.12."""
_NODE = """\
node_config_directory: "{folder}/node"
network_interface: "lo"
neutron_external_interface: "none"
kolla_internal_vip_address: "127.0.0.1"
enable_haproxy: "no"
enable_cinder: "yes"
libvirt_enable_sasl: "no"
"""
_WITHOUT_CEPH = ("cinder-api", "cinder-scheduler", "nova-novncproxy")
"""Groups of the inventory that stay empty: each file of a service costs a second."""
_TOOLBOX = """\
from ansible.module_utils.basic import AnsibleModule
spec = {name: {"type": "raw"} for name in (
    "container_engine", "module_name", "module_args", "module_extra_vars", "user", "timeout",
    "api_version")}
AnsibleModule(spec, supports_check_mode=True).exit_json(changed=False, resources=[])
"""
"""Instead of the container by which a running cloud is asked for its hypervisors."""


def install(version: str) -> None:
    """Make its environment, unless it is there."""
    venv, ansible = VENVS / version, VERSIONS[version].ansible
    words = [f"kolla-ansible=={version}", f"ansible>={ansible},<{ansible + 1}"]
    done = venv / ".installed"
    if done.exists() and done.read_text().split() == words:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
    # Most of it are modules that nobody runs here: half of the space.
    subprocess.run([venv / "bin/pip", "install", "--quiet", "--no-compile", *words], check=True)
    done.write_text(" ".join(words))


def installed() -> dict[str, str]:
    """{version: its release}."""
    there = [one for one in VERSIONS if (VENVS / one / ".installed").exists()]
    return {version: VERSIONS[version].release for version in there}


def example(version: str, name: str) -> str:
    """A file as Kolla-Ansible brings it."""
    return (VENVS / version / "share/kolla-ansible/etc_examples/kolla" / name).read_text()


def globals_of(version: str, folder: Path) -> str:
    """Its example, and what makes this machine a node of a cloud."""
    return example(version, "globals.yml") + _NODE.format(folder=folder)


def passwords_of(version: str, folder: Path) -> str:
    """Its example, filled in by its own program."""
    path = folder / "passwords.yml"
    path.write_text(example(version, "passwords.yml"))
    path.chmod(0o600)
    subprocess.run(
        [VENVS / version / "bin/kolla-genpwd", "-p", path], check=True, env=_environment(version)
    )
    return path.read_text()


def _environment(version: str) -> dict[str, str]:
    venv, kept = VENVS / version, VENVS / version / "compiled"
    kept.mkdir(exist_ok=True)
    found = {
        **os.environ,
        "VIRTUAL_ENV": str(venv),
        "PATH": f"{venv}/bin:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_PIPELINING": "1",
        "PYTHONPATH": str(Path(__file__).parent / "compiled"),
        "HANDOVER_COMPILED": str(kept),
    }
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


def _inventory(share: Path) -> str:
    """Its own one of a single host, without the services that know nothing of Ceph."""
    named = "|".join(_WITHOUT_CEPH)
    pattern = rf"(?m)^\[({named}):children\]\n(?:[^\n\[]+\n)+"
    text, count = re.subn(pattern, r"[\1]\n", (share / "inventory/all-in-one").read_text())
    assert count == len(_WITHOUT_CEPH)
    return text


def rendered(version: str, folder: Path, texts: dict[str, str]) -> Path:
    """The folder that stands for /etc/kolla on a node, made of these files of a deploy host."""
    for name, text in texts.items():
        path = folder / "kolla" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
    venv = VENVS / version
    share = venv / "share/kolla-ansible/ansible"
    (share / "library/kolla_toolbox.py").write_text(_TOOLBOX)
    (folder / "inventory").write_text(_inventory(share))
    words = ["-i", f"{folder}/inventory", "--configdir", f"{folder}/kolla"]
    words += ["--passwords", f"{folder}/kolla/passwords.yml", "--tags", "glance,cinder,nova-cell"]
    words += ["-e", f"ansible_python_interpreter={venv}/bin/python3", "-e", "ansible_become=false"]
    at_end = int(version.partition(".")[0]) < 19
    argv = ["kolla-ansible", *([] if at_end else ["genconfig"]), *words]
    argv += ["genconfig"] if at_end else []
    (folder / "node").mkdir()
    done = subprocess.run(
        argv, env=_environment(version), capture_output=True, text=True, timeout=1800, check=False
    )
    (folder / "log").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return folder / "node"


if __name__ == "__main__":
    for one in sys.argv[1:] or VERSIONS:
        install(one)
