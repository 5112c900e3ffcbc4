"""The packages of this host, by the package manager that it has.

What apt and dnf have in common is this: versions() and install().  Python 3.6, standard library
alone.
"""

import os
import re

from . import apt, containers, dnf, processes, units

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
_PROGRAM = r"\{ path=(/\S+)/bin/[^/\s]+ ;"


def manager():
    """The module of this host's package manager: where dpkg has a record, it is apt."""
    return apt if os.path.exists(apt.STATUS) else dnf


def versions(names):
    """{package: version, or None where it is not installed}."""
    if containers.TELLS in processes.WAYS:
        return apt.listed(names, containers.package_lines(names))
    found = manager().versions(names)
    by_project = {}  # type: ignore[var-annotated]
    for name in names:
        project = _PROJECT.match(name)
        if project:
            by_project.setdefault(project.group(1), []).append(name)
    unknown = [p for p, of_it in by_project.items() if not any(map(found.get, of_it))]
    for project, version in _in_venvs(unknown).items():
        found[by_project[project][0]] = version
    return found


def units_of_venvs():
    """The units of which versions() may ask."""
    return [unit for _, unit in processes.WAYS.get(VENVS, ())]


def _in_venvs(projects):
    """{project: the version that the Python of a running service knows}, of those in a venv.

    Of several venvs, an upgrade's old ones too, a unit's own counts.
    """
    asked = [way for way in processes.WAYS.get(VENVS, ()) if way[0] in projects]
    found = {}  # type: ignore[var-annotated]
    try:
        shown = units.of_processes([unit for _, unit in asked])
    except processes.Failed:
        return {}  # no systemd
    for project, unit in asked:
        for program in shown[unit].get("ExecStart", ()):
            place = re.match(_PROGRAM, program)
            if place and project not in found and os.path.exists(place.group(1) + "/pyvenv.cfg"):
                found.update(_told_by(place.group(1) + "/bin/python3", project))
    return found


def _told_by(python, project):
    """{project: its version}, or nothing where that Python does not know it, or is not there."""
    try:
        code, version, _ = processes.call([python, "-I", "-c", _VERSIONS, project])
    except processes.Failed:
        return {}
    return {project: version.strip()} if code == 0 and version.strip() else {}


def install(names, source=None):
    """Installs packages; source: the file that names the site's own source of them."""
    manager().install(names, source)
