"""The packages of this host, by the package manager that it has.

What apt and dnf have in common is this: versions() and install().  Python 3.6, standard library
alone.
"""

import os

from . import apt, containers, dnf, processes


def manager():
    """The module of this host's package manager: where dpkg has a record, it is apt."""
    return apt if os.path.exists(apt.STATUS) else dnf


def versions(names):
    """{package: version, or None where it is not installed}."""
    if containers.TELLS in processes.WAYS:
        return apt.listed(names, containers.package_lines(names))
    return manager().versions(names)


def install(names, source=None):
    """Installs packages; source: the file that names the site's own source of them."""
    manager().install(names, source)
