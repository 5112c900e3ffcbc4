"""Kolla-Ansible of a release in an environment of its own, and what its genconfig makes."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
VENVS = ROOT / ".handover"
_NODE = """\
node_config_directory: "{folder}/node"
node_config: "{folder}/kolla"
node_custom_config: "{folder}/kolla/config"
network_interface: "lo"
neutron_external_interface: "none"
kolla_internal_vip_address: "127.0.0.1"
enable_haproxy: "no"
enable_cinder: "yes"
"""
_TOOLBOX = """\
from ansible.module_utils.basic import AnsibleModule
spec = {name: {"type": "raw"} for name in (
    "container_engine", "module_name", "module_args", "module_extra_vars", "user", "timeout",
    "api_version")}
AnsibleModule(spec, supports_check_mode=True).exit_json(changed=False, resources=[])
"""
"""Instead of the container by which a running cloud is asked for its hypervisors."""


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
    venv = VENVS / version
    return {
        **os.environ,
        "VIRTUAL_ENV": str(venv),
        "PATH": f"{venv}/bin:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
    }


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
    words = ["-i", f"{share}/inventory/all-in-one", "--configdir", f"{folder}/kolla"]
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
