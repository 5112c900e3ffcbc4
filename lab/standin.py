"""A package of our own that stands in for the Ceph client's packages.

Debian's python3-nova depends on python3-ceph, and nova-compute-kvm on
qemu-block-extra: every compute of Debian holds the Ceph client from its first
hour. The lab's hosts must not, since `hosts.packages` is to install it. This
package provides those two names and nothing of their contents, so that dpkg and
apt see a whole system.
"""

from collections.abc import Mapping
from pathlib import Path

from lab.programs import run

NAME = "stackrbd-lab-standin"
_CONTROL = """\
Package: {name}
Version: 1
Architecture: all
Maintainer: stackrbd lab <root@localhost>
Depends: {depends}
Provides: {provides}
Description: lets a host be without the Ceph client
 Provides the names that OpenStack's packages depend on.
"""


def build(relations: Mapping[str, str], folder: Path) -> Path:
    """Make the stand-in package with these `depends` and `provides` in `folder`; its file."""
    tree = folder / "standin"
    (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
    control = _CONTROL.format(name=NAME, **relations)
    (tree / "DEBIAN/control").write_text(control)
    package = folder / f"{NAME}_1_all.deb"
    run(["dpkg-deb", "--root-owner-group", "--build", tree, package])
    return package
