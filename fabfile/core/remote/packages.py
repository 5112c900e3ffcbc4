"""The packages of this host, by the package manager that it has.

What apt and dnf have in common is this: versions() and install().  Python 3.6, standard library
alone.
"""

import os
import re

from . import apt, containers, dnf, processes

VENVS = "venvs"
"""Among a platform's ways: [project, a unit whose program may be a venv's]."""
_VERSIONS = """
import sys
try:
    from importlib.metadata import version
except ImportError:
    from pkg_resources import get_distribution
    version = lambda name: get_distribution(name).version
print(version(sys.argv[1]))
"""
_PROJECT = re.compile(r"(?:openstack-)?(nova|cinder|glance)(?:-common)?\Z")
_PROGRAM = re.compile(r"^ExecStart=\{ path=(/\S+)/bin/[^/\s]+ ;", re.M)


def manager():
    """The module of this host's package manager: where dpkg has a record, it is apt."""
    return apt if os.path.exists(apt.STATUS) else dnf


def versions(names):
    """{package: version, or None where it is not installed}."""
    if containers.TELLS in processes.WAYS:
        return apt.listed(names, containers.package_lines(names))
    found = manager().versions(names)
    by_project = {}
    for name in names:
        project = _PROJECT.match(name)
        if found.get(name) is None and project:
            by_project.setdefault(project.group(1), []).append(name)
    for project, of_it in by_project.items():
        if all(found.get(name) is None for name in of_it):
            found.update(dict.fromkeys(of_it[:1], _in_venv(project)))
    return found


def _in_venv(project):
    """The version that the Python of a running service knows; None where it is of no venv.

    Of several venvs, an upgrade's old ones too, a unit's own counts.
    """
    for name, unit in processes.WAYS.get(VENVS, ()):
        if name != project:
            continue
        try:
            _, out, _ = processes.call(["systemctl", "show", "-p", "ExecStart", "--", unit])
            for place in _PROGRAM.findall(out):
                if os.path.exists(place + "/pyvenv.cfg"):
                    argv = [place + "/bin/python3", "-I", "-c", _VERSIONS, project]
                    code, version, _ = processes.call(argv)
                    if code == 0:
                        return version.strip() or None
        except processes.Failed:  # no systemd, or a venv without its Python
            continue
    return None


def install(names, source=None):
    """Installs packages; source: the file that names the site's own source of them."""
    manager().install(names, source)
