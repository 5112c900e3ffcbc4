"""MySQL's programs, of Debian's unstable: unpacked by `make apart`, run by their own loader.

Debian 12 has none, and theirs want newer libraries than it has: those of the lab's image of
unstable.

    python -m tests.apart.mysql
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lab import generation, images, more_packages

from . import programs as mariadb

PROGRAMS = ("mysqld", "mysql", "mysqldump", "mysqladmin")
PACKAGES = ("mysql-server-core", "mysql-client-core")
PLACE = mariadb.ROOTS[1] / "mysql"
_LIBRARIES, _LOADER = "usr/lib/x86_64-linux-gnu", "ld-linux-x86-64.so.2"


def _image():
    return images.Image(generation.load("sid"), "ceph")


def bring():
    """Unpacks them, with what they need, below the project's folder .apart."""
    images.build([_image()])
    PLACE.mkdir(parents=True, exist_ok=True)
    for package in more_packages.fetched(_image().generation, _image().kind, *PACKAGES):
        subprocess.run(["dpkg-deb", "-x", package, PLACE], check=True)


def _first(paths):
    return next(path for path in paths if path.exists())


def _script(name):
    """A program of PLACE in a shell's words, by the image's loader and libraries."""
    program = _first(PLACE / folder / name for folder in ("usr/bin", "usr/sbin"))
    roots = [PLACE, *images.layers_of(_image())]
    loader = _first(root / _LIBRARIES / _LOADER for root in roots)
    path = ":".join(str(root / _LIBRARIES) for root in roots)
    more = ""
    if name == "mysqld":
        more = f"--basedir={PLACE}/usr --lc-messages-dir={PLACE}/usr/share/mysql"
        more += f" --plugin-dir={PLACE}/usr/lib/mysql/plugin"
    return (
        '#!/bin/sh\nfirst=\ncase "$1" in --no-defaults|--defaults*) first=$1; shift;; esac\n'
        f'exec {loader} --library-path {path} {program} $first {more} "$@"\n'
    )


@pytest.fixture(scope="session")
def mysql_programs():
    """A folder with all of them, and age, to be put in front of PATH."""
    if not (PLACE / "usr/sbin/mysqld").exists():
        pytest.skip("MySQL is not here: make apart brings it")
    folder = Path(tempfile.mkdtemp(prefix="sm-", dir="/tmp"))
    folder.chmod(0o755)
    for name in PROGRAMS:
        (folder / name).write_text(_script(name))
        (folder / name).chmod(0o755)
    os.symlink(mariadb.found("age")[1], folder / "age")
    yield folder
    shutil.rmtree(folder)


class MySQL(mariadb.Server):
    """A live server of MySQL."""

    client_program, server_program = "mysql", "mysqld"
    making = ("mysqld", "--no-defaults", "--initialize-insecure", "--secure-file-priv=NULL")
    more = ("--mysqlx=OFF", "--skip-log-bin", "--secure-file-priv=NULL")
    # Also where MariaDB is installed, the agent finds MySQL's programs alone.
    altered = (
        ('server=("mariadbd", "mysqld")', 'server=("mysqld",)'),
        ('client=("mariadb", "mysql")', 'client=("mysql",)'),
    )


if __name__ == "__main__":
    sys.exit(bring())
